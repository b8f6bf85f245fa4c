//! A folder, the command in it, and what it leaves there.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

pub(crate) const MNC: &str = env!("CARGO_BIN_EXE_mnc");

/// A network that is compiled in no time.
pub(crate) fn small(more: &[&str]) -> Vec<String> {
    let base = ["compile", "mobilenet-v1", "--random-weights", "1", "--alpha", "0.25", "--resolution", "32"];
    base.iter().chain(more).map(|word| (*word).to_owned()).collect()
}

/// A folder for files, and one for temporary files.
pub(crate) struct Folder {
    files: TempDir,
    pub(crate) temporary: TempDir,
}

impl Folder {
    pub(crate) fn new() -> Folder {
        let new = || tempfile::tempdir().expect("a folder for temporary files");
        Folder { files: new(), temporary: new() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Everything in the folder, hidden files too.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.files.path()).expect("the folder is there");
        let name = |entry: fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
        let mut names: Vec<String> = entries.map(|entry| name(entry.expect("a readable entry"))).collect();
        names.sort();
        names
    }

    /// Every file with its content.
    #[allow(dead_code, reason = "not every test program compares contents")]
    pub(crate) fn contents(&self) -> BTreeMap<String, Vec<u8>> {
        self.names()
            .into_iter()
            .map(|name| (name.clone(), fs::read(self.path(&name)).unwrap_or_default()))
            .collect()
    }

    /// What is left where temporary files go.
    #[allow(dead_code, reason = "not every test program leaves something")]
    pub(crate) fn litter(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.temporary.path()).expect("the folder is there");
        entries.map(|entry| entry.expect("a readable entry").path()).collect()
    }

    pub(crate) fn command<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(MNC);
        command.args(args).current_dir(self.files.path()).env("TMPDIR", self.temporary.path());
        command.env_remove("CC").env_remove("MNC_LINK_SECONDS").stdin(Stdio::null());
        command
    }

    pub(crate) fn run<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Ran {
        Ran::of(self.command(args))
    }

    /// The command as a shell's word list.
    pub(crate) fn shell<S: AsRef<str>>(&self, args: &[S]) -> String {
        let quoted = |word: &str| format!("'{word}'");
        let words: Vec<String> =
            std::iter::once(quoted(MNC)).chain(args.iter().map(|word| quoted(word.as_ref()))).collect();
        words.join(" ")
    }

    /// A shell's script in the folder.
    pub(crate) fn sh(&self, script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]).current_dir(self.files.path()).env("TMPDIR", self.temporary.path());
        command.env_remove("CC").env_remove("MNC_LINK_SECONDS").stdin(Stdio::null());
        command
    }
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ran {
    /// `None` after a signal.
    pub(crate) code: Option<i32>,
    #[allow(dead_code, reason = "not every test program reads it")]
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    pub(crate) fn of(mut command: Command) -> Ran {
        let Output { status, stdout, stderr } =
            command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ran { code: status.code(), out: text(stdout), err: text(stderr) }
    }
}
