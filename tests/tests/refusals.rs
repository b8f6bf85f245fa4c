//! docs/refusals.md and the pages below it, which have the messages of all refusals.
//!
//! Held in two ways. What the commands say in these cases is on a page as it comes out. And every text that the source puts into an
//! error is on a page with words in capitals in place of what differs, and every word of the pages is in the source.

#[path = "refusals/descriptions.rs"]
mod descriptions;
#[path = "refusals/files.rs"]
mod files;
#[path = "refusals/held.rs"]
mod held;
#[path = "refusals/options.rs"]
mod options;
#[path = "refusals/page.rs"]
mod page;
#[path = "refusals/pictures.rs"]
mod pictures;
#[path = "refusals/preprocessing.rs"]
mod preprocessing;
#[path = "refusals/source.rs"]
mod source;
#[path = "refusals/weights.rs"]
mod weights;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use mnc_tests::command::mnc;
use mnc_tests::folder::Folder;
use mnc_tests::need;

/// Something that a user has, and the command that refuses it.
#[derive(Clone)]
struct Case {
    /// Files by their names, in an empty folder; a name that ends in a slash is a folder.
    files: Vec<(&'static str, Vec<u8>)>,
    /// Of the command.
    arguments: Vec<&'static str>,
    /// What is run.
    program: Runs,
}

/// What refuses.
#[derive(Clone, Copy, PartialEq)]
enum Runs {
    Mnc,
    /// An executable of the two-class network `net.toml`.
    Net,
}

impl Case {
    /// `mnc compile net.toml --weights FILE`, of a file that is there.
    fn weights(name: &'static str, bytes: impl AsRef<[u8]>) -> Case {
        Case::compile([(name, bytes.as_ref().to_vec())], ["--weights", name])
    }

    /// `mnc compile net.toml` with more arguments.
    fn compile<const N: usize, const M: usize>(
        files: [(&'static str, Vec<u8>); N],
        arguments: [&'static str; M],
    ) -> Case {
        let arguments =
            [&["compile", "net.toml", "--emit", "header", "-o", "net.h"][..], &arguments].concat();
        Case { files: files.into(), arguments, program: Runs::Mnc }
    }

    /// `mnc compile mobilenet-v1` with random weights, a configuration beside them and more arguments.
    fn configured(name: &'static str, text: &str, option: &'static str) -> Case {
        let arguments = [
            &["compile", "mobilenet-v1", "--random-weights", "1", "--emit", "header", "-o", "net.h"][..],
            &[option, name],
        ]
        .concat();
        Case { files: vec![(name, text.as_bytes().to_vec())], arguments, program: Runs::Mnc }
    }

    /// `mnc compile FOLDER`, of these files.
    fn folder<const N: usize>(files: [(&'static str, Vec<u8>); N]) -> Case {
        let arguments = vec!["compile", "net", "--emit", "header", "-o", "net.h"];
        Case {
            files: [("net/", Vec::new())].into_iter().chain(files).collect(),
            arguments,
            program: Runs::Mnc,
        }
    }

    /// `mnc ..`, in a folder with these files.
    fn mnc<const N: usize>(files: [(&'static str, Vec<u8>); N], arguments: &[&'static str]) -> Case {
        Case { files: files.into(), arguments: arguments.to_vec(), program: Runs::Mnc }
    }

    /// `./net ..`.
    fn net<const N: usize>(files: [(&'static str, Vec<u8>); N], arguments: &[&'static str]) -> Case {
        Case { files: files.into(), arguments: arguments.to_vec(), program: Runs::Net }
    }

    /// `mnc compile FILE` of this description.
    fn described(text: &str) -> Case {
        let arguments = ["compile", "tiny.toml", "--random-weights", "1", "--emit", "header", "-o", "net.h"];
        Case::mnc([("tiny.toml", text.into())], &arguments)
    }

    /// `./net FILE`.
    fn picture(name: &'static str, bytes: impl AsRef<[u8]>) -> Case {
        Case { files: vec![(name, bytes.as_ref().to_vec())], arguments: vec![name], program: Runs::Net }
    }

    /// The messages, each a line; what else there is to say stands in their place.
    fn messages(&self, mnc: &Path, net: &Path) -> Vec<String> {
        let folder = Folder::new();
        folder.write("net.toml", NETWORK);
        for (name, bytes) in &self.files {
            match name.strip_suffix('/') {
                Some(name) => std::fs::create_dir_all(folder.path().join(name)).expect("it can be made"),
                None => drop(folder.write(name, bytes)),
            }
        }
        let program = match self.program {
            Runs::Mnc => mnc,
            Runs::Net => net,
        };
        let output = Command::new(program)
            .current_dir(folder.path())
            .args(&self.arguments)
            .env_remove("CC")
            .output()
            .expect("the program starts");
        let code = output.status.code();
        let text = String::from_utf8(output.stderr).expect("messages are UTF-8");
        let is_refused = matches!(code, Some(1 | 2)) && !folder.path().join("net.h").exists();
        let is_message = |line: &&str| {
            line.starts_with("error: ")
                || line.starts_with("  ") && !line.starts_with("  tip: ")
                || line.starts_with("net: ") && !line.contains("weights are random")
        };
        let lines = text.lines().filter(is_message);
        let found: Vec<String> = lines.map(|line| line.trim_start().to_owned()).collect();
        if is_refused && !found.is_empty() {
            return found;
        }
        vec![format!("(not refused: {:?} ends with {code:?} and says {text:?})", self.arguments)]
    }
}

/// The network of the cases: grey 8x8 pictures, two classes.
const NETWORK: &str = r#"name = "net"
classes = 2
[input]
height = 8
width = 8
channels = 3
[[layer]]
kind = "conv"
filters = 8
stride = 2
[[layer]]
kind = "global_average_pool"
[[layer]]
kind = "dense"
"#;

/// Compiles the executable of [`NETWORK`].
fn executable(mnc: &Path, folder: &Folder) -> PathBuf {
    folder.write("net.toml", NETWORK);
    let arguments = ["compile", "net.toml", "--random-weights", "1", "--quiet", "-o", "net"];
    need::run(Command::new(mnc).current_dir(folder.path()).args(arguments));
    folder.path().join("net")
}

#[test]
fn the_pages_have_the_messages_as_they_come_out() {
    let Some(mnc) = mnc() else { return };
    let folder = Folder::new();
    let net = executable(mnc, &folder);
    let cases = [
        weights::cases(),
        files::cases(),
        preprocessing::cases(),
        pictures::cases(),
        descriptions::cases(),
        options::cases(),
    ]
    .concat();
    let found: BTreeSet<String> = cases.iter().flat_map(|case| case.messages(mnc, &net)).collect();
    let pages = held::pages();
    let shown = |line: &String| pages.iter().any(|(_, lines)| lines.contains(line));
    let missing: String =
        found.iter().filter(|line| !shown(line)).map(|line| format!("    {line}\n")).collect();
    assert!(missing.is_empty(), "docs/refusals.md, or a page of docs/refusals, lacks\n{missing}");
    held::check_words(&pages, &found);
}
