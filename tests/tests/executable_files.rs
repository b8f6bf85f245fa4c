//! What executables read and write: nothing hangs, nothing fills memory, nothing is overwritten, nothing changes under them.

#![cfg(unix)]

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use mnc_tests::command::mnc;
use mnc_tests::folder::Folder;
use mnc_tests::need;

/// An executable with its weights in a file beside it, by each linker that there is.
fn executables(folder: &Folder) -> Vec<PathBuf> {
    let Some(mnc) = mnc() else { return Vec::new() };
    let mut made = Vec::new();
    for linker in ["cc", "internal"] {
        if linker == "cc" && need::program("cc").is_none() {
            continue;
        }
        let mut command = Command::new(mnc);
        command.current_dir(folder.path()).args(["compile", "mobilenet-v1", "--random-weights", "1"]);
        command.args(["--alpha", "0.25", "--resolution", "32", "-q", "--linker", linker, "-o", linker]);
        need::run(command.args(["--weights-file", "net.weights"]));
        made.push(folder.path().join(linker));
    }
    if let Some(first) = made.first() {
        let output = Command::new(first).args(["--bench", "1"]).output().expect("it starts");
        if String::from_utf8_lossy(&output.stderr).contains("expected a CPU with") {
            need::skip("a CPU with the default instruction set");
            return Vec::new();
        }
    }
    made
}

/// Exit code and standard error, in a shell that gives it a gigabyte.
fn run(folder: &Folder, program: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -v 1000000; exec \"$@\"", "sh"]).arg(program).args(arguments);
    let output = command.current_dir(folder.path()).stdin(Stdio::null()).output().expect("a shell starts");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn only_plain_files_are_read() {
    let folder = Folder::new();
    File::create(folder.path().join("long")).expect("it can be made").set_len(1 << 40).expect("it is sparse");
    let mut bad = vec!["/dev/zero", ".", "long"];
    if Command::new("mkfifo").arg(folder.path().join("fifo")).status().is_ok_and(|status| status.success()) {
        bad.push("fifo");
    }
    for program in executables(&folder) {
        for path in &bad {
            for arguments in [
                &["--bench", "1", "--weights", path][..],
                &["--labels", path, "--info"],
                &["--bench", "1", path],
            ] {
                // A folder has no pictures, which is another message, and a FIFO may bring one.
                let is_picture = arguments[1] == "1" && arguments[2] == *path;
                if is_picture && (*path == "." || *path == "fifo") {
                    continue;
                }
                let (code, err) = run(&folder, &program, arguments);
                assert_eq!(code, Some(1), "{arguments:?}: {err}");
                let told: &[&str] = if is_picture {
                    &["expected JPEG, PNG, WebP, GIF, BMP or PNM"]
                } else {
                    &["not a plain file", "found 1099511627776 bytes"]
                };
                let is_told = told.iter().any(|words| err.contains(words));
                assert!(is_told && err.contains(path), "{arguments:?}: {err}");
            }
        }
    }
}

/// `./net photos | head -1`, where whoever started it ignores the signal of a pipe that nobody reads, as many services do: it ends
/// quietly, and what it did decides its exit code.
#[test]
fn a_reader_may_stop() {
    let folder = Folder::new();
    fs::write(folder.path().join("a.pgm"), b"P5 1 1 255 x").expect("it is written");
    for program in executables(&folder) {
        for (arguments, is_err, code) in [
            (&["--help"][..], false, 0),
            (&["--info"], false, 0),
            (&["a.pgm"], false, 0),
            (&["--json", "a.pgm"], false, 0),
            (&["a.pgm", "none.jpg"], true, 1),
            (&["none.jpg"], true, 1),
            (&["--no-such-option"], true, 2),
        ] {
            let mut command = Command::new("sh");
            command.args(["-c", "trap '' PIPE; exec \"$@\"", "sh"]).arg(&program).args(arguments);
            command.current_dir(folder.path()).stdin(Stdio::null());
            let (reader, closed) = std::io::pipe().expect("a pipe");
            drop(reader);
            let output = match is_err {
                true => command.stdout(Stdio::piped()).stderr(closed),
                false => command.stdout(closed).stderr(Stdio::piped()),
            };
            let output = output.spawn().and_then(|child| child.wait_with_output()).expect("it ends");
            let said = String::from_utf8_lossy(if is_err { &output.stdout } else { &output.stderr });
            assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
            assert!(!said.contains("panicked"), "{arguments:?}: {said}");
        }
    }
}

/// A roofline goes through links and into devices, and over nothing that is read.
#[test]
fn pictures_are_written_like_all_files() {
    let folder = Folder::new();
    for program in executables(&folder) {
        let name = program.file_name().and_then(|name| name.to_str()).expect("UTF-8");
        let profile = |svg: &str, more: &[&str]| {
            let arguments = [&["--profile=1", "--json", "--svg", svg][..], more].concat();
            run(&folder, &program, &arguments)
        };
        let (code, err) = profile("a.svg", &[]);
        if err.contains("--svg:") {
            need::skip("a CPU whose limits can be measured");
            continue;
        }
        assert_eq!(code, Some(0), "{err}");
        std::os::unix::fs::symlink("b.svg", folder.path().join("link.svg")).expect("a link");
        assert_eq!(profile("link.svg", &[]).0, Some(0));
        assert!(folder.path().join("link.svg").is_symlink() && folder.path().join("b.svg").is_file());
        let (code, err) = profile("/dev/full", &[]);
        assert!(code == Some(1) && err.contains("/dev/full: No space left on device"), "{err}");
        let before = fs::read(folder.path().join("net.weights")).expect("it is there");
        for (svg, more) in
            [("net.weights", &[][..]), ("./net.weights", &["--weights", "net.weights"]), (name, &[])]
        {
            let (code, err) = profile(svg, more);
            assert!(code == Some(2) && err.contains("is an input, expected another file"), "{svg}: {err}");
        }
        assert!(fs::read(folder.path().join("net.weights")).expect("it is there") == before);
        let is_litter = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().starts_with(".mnc");
        let entries = fs::read_dir(folder.path()).expect("the folder can be listed");
        assert_eq!(entries.filter(|entry| entry.as_ref().is_ok_and(is_litter)).count(), 0);
        for made in ["a.svg", "b.svg", "link.svg"] {
            fs::remove_file(folder.path().join(made)).expect("it was made");
        }
    }
}

/// Whether a process has a handler for SIGTERM.
fn listens(pid: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let caught = caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    caught.is_some_and(|mask| mask & 1 << 14 != 0)
}

/// A run over pictures is interrupted: the document is closed, and the program ends by the signal.
#[test]
fn interrupted_documents_are_closed() {
    need::heed_signals();
    use std::io::Read as _;
    use std::os::unix::process::ExitStatusExt as _;
    let folder = Folder::new();
    folder.write("a.ppm", [&b"P6 32 32 255\n"[..], &[7; 32 * 32 * 3]].concat());
    let signal = |child: &std::process::Child, name: &str| {
        need::run(Command::new("sh").args(["-c", &format!("kill -{name} {}", child.id())]));
    };
    let start = |program: &Path, arguments: &[&str]| {
        let mut command = Command::new(program);
        command.current_dir(folder.path()).args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        command.spawn().expect("it starts")
    };
    for program in executables(&folder) {
        // It waits for a picture that doesn't come, with answers or without.
        for (pictures, n_answers) in [(&["a.ppm", "a.ppm", "none.ppm", "-"][..], 3), (&["-"], 0)] {
            for (name, number) in [("INT", 2), ("TERM", 15), ("HUP", 1)] {
                let mut child = start(&program, &[&["--json", "--threads", "2"], pictures].concat());
                let mut out = child.stdout.take().expect("it is piped");
                let (mut text, mut some) = (Vec::new(), [0; 1]);
                // Each answer has one line; without any, it listens before it reads.
                while text.iter().filter(|byte| **byte == b'\n').count() < n_answers {
                    out.read_exact(&mut some).expect("it goes on");
                    text.push(some[0]);
                }
                while !listens(child.id()) {
                    std::thread::yield_now();
                }
                signal(&child, name);
                out.read_to_end(&mut text).expect("it ends");
                let status = child.wait().expect("it ends");
                assert_eq!(status.signal(), Some(number), "{status}");
                let document: serde_json::Value =
                    serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{error}: {text:?}"));
                assert_eq!(document.as_array().map(Vec::len), Some(n_answers), "{document}");
            }
        }
        // At any moment, of a run over many.
        let pictures = ["a.ppm"; 400];
        let whole = std::time::Instant::now();
        let output = start(&program, &[&["--json", "--raw"], &pictures[..]].concat());
        assert!(output.wait_with_output().expect("it ends").status.success());
        let whole = whole.elapsed();
        for part in 1..=12 {
            let child = start(&program, &[&["--json", "--raw"], &pictures[..]].concat());
            std::thread::sleep(whole * part / 13);
            signal(&child, "INT");
            let output = child.wait_with_output().expect("it ends");
            if output.stdout.is_empty() && output.status.signal() == Some(2) {
                // Before it knew what to do.
                continue;
            }
            let document: Vec<serde_json::Value> =
                serde_json::from_slice(&output.stdout).expect("a document");
            let is_whole = document.len() == pictures.len();
            assert!(is_whole || output.status.signal() == Some(2), "{}: {}", output.status, document.len());
        }
        // Told to ignore the signal, it does.
        let line = format!("trap '' INT; exec {:?} --json a.ppm -", program);
        let mut child = start(Path::new("sh"), &["-c", &line]);
        while !listens(child.id()) {
            std::thread::yield_now();
        }
        signal(&child, "INT");
        drop(child.stdin.take());
        let output = child.wait_with_output().expect("it ends");
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let document: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).expect("a document");
        assert_eq!(document.len(), 2);
    }
}

/// Weights that are cut, or written over, while the network runs: it goes on with those that it has.
#[test]
fn weights_may_change_meanwhile() {
    use std::io::{BufRead as _, BufReader};
    let folder = Folder::new();
    let weights = folder.path().join("net.weights");
    for program in executables(&folder) {
        let whole = fs::read(&weights).expect("it was written");
        let answer = |output: &[u8]| {
            let text = String::from_utf8_lossy(output).into_owned();
            text.lines().find(|line| line.starts_with("#out")).map(str::to_owned)
        };
        let arguments = ["--bench", "2000", "--harness", "--warmup", "1"];
        let expected =
            Command::new(&program).args(["--bench", "0", "--harness"]).output().expect("it starts");
        let mut child =
            Command::new(&program).args(arguments).stdout(Stdio::piped()).spawn().expect("it starts");
        let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        // It has run once when it says something.
        let first = lines.next().expect("it says something").expect("it can be read");
        File::options().write(true).open(&weights).expect("it is there").set_len(0).expect("it can be cut");
        let rest: Vec<String> = lines.map(|line| line.expect("it can be read")).collect();
        let status = child.wait().expect("it ends");
        assert!(status.success(), "{status}");
        let found = std::iter::once(first).chain(rest).find(|line| line.starts_with("#out"));
        assert_eq!(found, answer(&expected.stdout));
        // What is cut before it starts is an error.
        let (code, err) = run(&folder, &program, &["--bench", "1"]);
        assert!(code == Some(1) && err.contains("found 0 bytes"), "{err}");
        fs::write(&weights, whole).expect("it can be put back");
    }
}
