//! Files as the command meets them: what it writes into, what it never overwrites, what it refuses to read.

#![cfg(unix)]

#[path = "support/fault.rs"]
mod fault;

use std::fs;
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use fault::{Folder, Ran, small};

/// A node of our own that swallows everything, as `/dev/null` does. Only root may make one, and not in every container.
fn null(folder: &Folder, name: &str) -> bool {
    let made =
        Command::new("mknod").arg(folder.path(name)).args(["c", "1", "3"]).stderr(Stdio::null()).status();
    let can_write = || fs::OpenOptions::new().write(true).open(folder.path(name)).is_ok();
    let is_there = made.is_ok_and(|status| status.success()) && can_write();
    if !is_there {
        mnc_need::skip_optional("the right to make device nodes");
    }
    is_there
}

/// Every sort of output goes into a device, and the device stays.
#[test]
fn devices_are_written_into() {
    let folder = Folder::new();
    if !null(&folder, "null") {
        return;
    }
    let cases: [&[&str]; 5] = [
        &["--linker", "internal", "-o", "null"],
        &["--emit", "obj", "-o", "null"],
        &["--emit", "header", "-o", "null"],
        &["--emit", "manifest", "-o", "null"],
        &["--emit", "obj", "-o", "net.o", "--weights-file", "null"],
    ];
    for more in cases {
        let ran = folder.run(small(more));
        if ran.err.contains("--linker internal") {
            continue;
        }
        assert_eq!(ran.code, Some(0), "{more:?}: {}", ran.err);
        assert!(fs::symlink_metadata(folder.path("null")).unwrap().file_type().is_char_device(), "{more:?}");
    }
    let ran = folder.run(small(&["--emit", "obj,header", "-o", "null"]));
    assert_eq!(ran.code, Some(1));
    assert!(
        ran.err.contains("null: is no plain file, expected a file or a folder for several formats"),
        "{}",
        ran.err
    );
    assert_eq!(folder.names(), ["net.o", "null"]);
}

/// What a reader of a FIFO, of standard output and of a descriptor gets is what a file would hold.
#[test]
fn streams_are_written_into() {
    let folder = Folder::new();
    assert_eq!(folder.run(small(&["--emit", "obj", "-o", "net.o"])).code, Some(0));
    let expected = folder.read("net.o");
    for output in ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"] {
        let mut command = folder.command(small(&["--emit", "obj", "-q", "-o", output]));
        let ran = command.output().expect("mnc runs");
        assert!(ran.status.success(), "{output}: {}", String::from_utf8_lossy(&ran.stderr));
        assert!(ran.stdout == expected, "{output}");
    }
    // A file that a shell has opened gets the bytes where it is, at its end.
    symlink("/proc/self/fd/3", folder.path("link")).unwrap();
    for output in ["/dev/fd/3", "link"] {
        fs::write(folder.path("log"), "").unwrap();
        let script = format!(
            "echo first >&3; {} -o {output}; echo last >&3",
            folder.shell(&small(&["--emit", "header"]))
        );
        let ran = Ran::of(folder.sh(&format!("exec 3>>log; {script}")));
        assert_eq!(ran.code, Some(0), "{}", ran.err);
        let text = String::from_utf8(folder.read("log")).unwrap();
        assert!(
            text.starts_with("first\n") && text.contains("_run(") && text.ends_with("last\n"),
            "{output}: {text}"
        );
    }
    if Command::new("mkfifo").arg(folder.path("fifo")).status().is_ok_and(|status| status.success()) {
        let mut child = folder.command(small(&["--emit", "obj", "-q", "-o", "fifo"])).spawn().unwrap();
        let mut found = Vec::new();
        fs::File::open(folder.path("fifo")).unwrap().read_to_end(&mut found).unwrap();
        assert!(child.wait().unwrap().success());
        assert!(found == expected);
        assert!(fs::symlink_metadata(folder.path("fifo")).unwrap().file_type().is_fifo());
    }
    let _listener = std::os::unix::net::UnixListener::bind(folder.path("socket")).unwrap();
    let ran = folder.run(small(&["--emit", "obj", "-o", "socket"]));
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains("socket: is a socket, expected to write it"), "{}", ran.err);
}

/// An executable that went into a stream is no file that could be run; the summary says neither.
#[test]
fn the_summary_speaks_of_files_that_are_there() {
    let folder = Folder::new();
    let exe = ["--linker", "internal", "-o"];
    let tells = |ran: &Ran, expected: bool| {
        assert_eq!(ran.code, Some(0), "{}", ran.err);
        assert_eq!(ran.err.contains("now run"), expected, "{}", ran.err);
        assert_eq!(ran.err.contains("  wrote      into "), !expected, "{}", ran.err);
    };
    tells(&folder.run(small(&[&exe[..], &["net"]].concat())), true);
    // A file that another program has opened, by the descriptor's name.
    let line = folder.shell(&small(&[&exe[..], &["/dev/fd/3"]].concat()));
    tells(&Ran::of(folder.sh(&format!("{line} 3> log"))), false);
    assert!(folder.read("log").starts_with(b"\x7fELF"));
    if null(&folder, "null") {
        tells(&folder.run(small(&[&exe[..], &["null"]].concat())), false);
    }
    if Command::new("mkfifo").arg(folder.path("fifo")).status().is_ok_and(|status| status.success()) {
        let line = folder.shell(&small(&[&exe[..], &["fifo"]].concat()));
        tells(&Ran::of(folder.sh(&format!("cat fifo > read & {line}; code=$?; wait; exit $code"))), false);
        assert!(folder.read("read") == folder.read("net"));
    }
}

/// A device that is full fails, and with it the set; nothing is left of it.
#[test]
fn a_full_device_fails() {
    let folder = Folder::new();
    if !Path::new("/dev/full").exists() {
        return mnc_need::skip("/dev/full");
    }
    let ran = folder.run(small(&["--emit", "header", "-o", "/dev/full"]));
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains("/dev/full: No space left on device"), "{}", ran.err);
    let ran =
        folder.run(small(&["--emit", "obj,header,manifest", "-o", "net", "--weights-file", "/dev/full"]));
    assert_eq!(ran.code, Some(1), "{}", ran.err);
    assert!(folder.names().is_empty(), "{:?}", folder.names());
    assert!(fs::metadata("/dev/full").unwrap().file_type().is_char_device());
}

#[test]
fn links_modes_and_owners_are_kept() {
    let folder = Folder::new();
    fs::create_dir(folder.path("other")).unwrap();
    fs::write(folder.path("other/net.o"), "old").unwrap();
    fs::set_permissions(folder.path("other/net.o"), fs::Permissions::from_mode(0o640)).unwrap();
    // Only root may give a file away.
    let gave = std::os::unix::fs::chown(folder.path("other/net.o"), Some(12345), Some(54321)).is_ok();
    symlink("other/net.o", folder.path("link.o")).unwrap();
    symlink("other/new.h", folder.path("link.h")).unwrap();
    for (format, output) in [("obj", "link.o"), ("header", "link.h")] {
        let ran = folder.run(small(&["--emit", format, "-o", output]));
        assert_eq!(ran.code, Some(0), "{}", ran.err);
        assert!(folder.path(output).is_symlink());
    }
    assert!(folder.read("other/net.o").starts_with(b"\x7fELF") && folder.read("other/new.h").len() > 100);
    let old = fs::metadata(folder.path("other/net.o")).unwrap();
    assert_eq!(old.mode() & 0o777, 0o640);
    if gave {
        assert_eq!((old.uid(), old.gid()), (12345, 54321));
    }
    for link in ["a", "b"] {
        symlink("same", folder.path(link)).unwrap();
    }
    let ran = folder.run(small(&["--emit", "obj", "-o", "a", "--weights-file", "b"]));
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains("another file of the set goes there"), "{}", ran.err);
    assert!(!folder.path("same").exists());
    symlink("gone/x", folder.path("astray")).unwrap();
    let ran = folder.run(small(&["--emit", "obj", "-o", "astray"]));
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains("astray: is a link to gone/x, whose folder isn't there"), "{}", ran.err);
}

/// Inputs that were named, that were found, and by other names.
#[test]
fn no_input_is_overwritten() {
    let folder = Folder::new();
    let detector = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/person-detector");
    let copies = [
        ("person.safetensors", "w.safetensors"),
        ("config.json", "config.json"),
        ("preprocessor_config.json", "preprocessor_config.json"),
    ];
    for (from, to) in copies {
        fs::copy(detector.join(from), folder.path(to)).expect("the repository has it");
    }
    fs::write(folder.path("names.txt"), "yes\nno\n").unwrap();
    fs::write(folder.path("net.toml"), folder.run(["describe", "mobilenet-v1"]).out).unwrap();
    fs::hard_link(folder.path("config.json"), folder.path("hard")).unwrap();
    symlink("preprocessor_config.json", folder.path("soft")).unwrap();
    let ran = folder.run([
        "compile",
        "mobilenet-v1",
        "--weights",
        "w.safetensors",
        "--emit",
        "obj",
        "-o",
        "x.o",
        "--schedule",
        "net.toml",
    ]);
    assert_ne!(ran.code, Some(0), "a description is no schedule");
    let before = folder.contents();
    let base = ["compile", "net.toml", "--weights", "w.safetensors", "--labels", "names.txt"];
    let inputs = [
        "w.safetensors",
        "config.json",
        "preprocessor_config.json",
        "names.txt",
        "net.toml",
        "hard",
        "soft",
        "./names.txt",
    ];
    for input in inputs {
        for more in [
            &["--emit", "header", "-o", input][..],
            &["--emit", "obj", "-o", "net.o", "--weights-file", input],
        ] {
            let ran = folder.run(base.iter().chain(more));
            assert_eq!(ran.code, Some(2), "{more:?}: {}", ran.err);
            assert!(ran.err.contains("is an input, expected another file"), "{more:?}: {}", ran.err);
        }
        let ran = folder.run(base.iter().chain(&[
            "--emit",
            "obj",
            "-o",
            "net.o",
            "--target-cpu",
            "native",
            "--tune",
            input,
        ]));
        assert_eq!(ran.code, Some(2), "--tune {input}: {}", ran.err);
        assert!(ran.err.contains("is an input, expected another file"), "{}", ran.err);
    }
    for output in ["t.toml", "./t.toml"] {
        let ran = folder.run(base.iter().chain(&["--emit", "obj", "-o", output, "--tune", "t.toml"]));
        assert_eq!(ran.code, Some(2));
        assert!(ran.err.contains("--tune: t.toml is written already, expected another file"), "{}", ran.err);
    }
    assert!(folder.contents() == before);
}

/// What can't be read ends with a line, at once and without its content in memory: FIFOs, devices, folders, endless files.
#[test]
fn only_plain_files_of_a_sane_length_are_read() {
    let folder = Folder::new();
    let has_fifo =
        Command::new("mkfifo").arg(folder.path("fifo")).status().is_ok_and(|status| status.success());
    fs::File::create(folder.path("long")).unwrap().set_len(1 << 40).unwrap();
    fs::File::create(folder.path("zeros")).unwrap().set_len(4 << 30).unwrap();
    let mut bad = vec![
        ("/dev/zero", "not a plain file (a device)"),
        (".", "not a plain file (a folder)"),
        ("long", "found 1099511627776 bytes, expected at most"),
    ];
    if has_fifo {
        bad.push(("fifo", "not a plain file (a FIFO)"));
    }
    let weights = ["compile", "mobilenet-v1", "--emit", "obj", "-o", "net.o", "--weights"];
    for (path, expected) in bad {
        let commands: [Vec<&str>; 9] = [
            [&weights[..], &[path]].concat(),
            small_with(&["--labels", path]),
            small_with(&["--config", path]),
            small_with(&["--preprocessor", path]),
            small_with(&["--schedule", path]),
            vec!["compile", path, "--random-weights", "1", "--emit", "obj", "-o", "net.o"],
            vec!["cost", path],
            vec!["inspect", path],
            vec!["bench", path],
        ];
        for command in commands {
            // A shell's limit on memory: what were read anyway would end in an abort.
            let ran = Ran::of(folder.sh(&format!("ulimit -v 2000000; {}", folder.shell(&command))));
            assert_eq!(ran.code, Some(1), "{command:?}: {}", ran.err);
            // A folder may be a network, and this one is none.
            let expected = match command[..2] {
                ["compile", "."] => "found neither a config.json that names",
                ["cost" | "bench", "."] => "found no weights in this folder",
                // So may weights be a folder of shards.
                _ if command.ends_with(&["--weights", "."]) => "found no weights in this folder",
                _ => expected,
            };
            assert!(ran.err.contains(path) && ran.err.contains(expected), "{command:?}: {}", ran.err);
            assert_eq!(ran.err.lines().count(), 1, "{command:?}: {}", ran.err);
        }
    }
    // Its header says at once that it isn't one; four gigabytes need not be read for that.
    let ran = Ran::of(
        folder.sh(&format!("ulimit -v 2000000; {}", folder.shell(&[&weights[..], &["zeros"]].concat()))),
    );
    assert_eq!(ran.code, Some(1), "{}", ran.err);
    assert!(ran.err.contains("zeros: header"), "{}", ran.err);
}

fn small_with<'a>(more: &[&'a str]) -> Vec<&'a str> {
    let base = ["compile", "mobilenet-v1", "--random-weights", "1", "--alpha", "0.25", "--resolution", "32"];
    [&base[..], &["--emit", "obj", "-o", "net.o"], more].concat()
}

/// Descriptions and labels come through pipes where a user asks for it.
#[test]
fn pipes_are_read_where_they_make_sense() {
    let folder = Folder::new();
    let mnc = folder.shell(&[] as &[&str]);
    let rest = "--random-weights 1 --alpha 0.25 --resolution 32 --emit header -q -o";
    let script = format!(
        "{mnc} describe mobilenet-v1 | {mnc} compile - {rest} a.h && \
         {mnc} describe mobilenet-v1 | {mnc} compile /dev/stdin {rest} b.h && cmp a.h b.h"
    );
    let ran = Ran::of(folder.sh(&script));
    assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
    if mnc_need::program("bash").is_some() {
        let script =
            format!("{mnc} compile <({mnc} describe mobilenet-v1) {rest} c.h --labels <(yes | head -n 1001)");
        let mut command = Command::new("bash");
        command.args(["-c", &script]).current_dir(folder.path("."));
        let ran = Ran::of(command);
        assert_eq!(ran.code, Some(0), "{}", ran.err);
    }
}

/// The manifest speaks of the bytes that were compiled, and a set is named after any of its files.
#[test]
fn names_and_sums_of_a_set() {
    let folder = Folder::new();
    for (output, format) in [
        ("net.json", "obj,manifest"),
        ("libnet.a", "staticlib,obj,manifest"),
        ("net.pc", "obj,header,pkg-config,manifest"),
    ] {
        let ran = folder.run(small(&["--emit", format, "-o", output]));
        assert_eq!(ran.code, Some(0), "{}", ran.err);
        for name in ["net.o", "net.json", output] {
            assert!(folder.path(name).is_file(), "{output}: {name}");
        }
    }
    // A name that other files can't state is refused; a single file may be called anything.
    use std::os::unix::ffi::OsStrExt;
    let name = std::ffi::OsStr::from_bytes(b"n\xffet.o");
    let run = |formats: &str| {
        let mut command = folder.command(small(&["--emit", formats, "-q", "-o"]));
        Ran::of({
            command.arg(name);
            command
        })
    };
    assert_eq!(run("obj").code, Some(0));
    let ran = run("obj,manifest");
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains("found a name that is not UTF-8"), "{}", ran.err);
}

/// `mnc completions bash | head -1`, and the same of standard error: work goes on, and its exit code is that of the work.
#[test]
fn a_reader_may_stop() {
    let folder = Folder::new();
    let without = |args: &[&str], is_err: bool| {
        let mut command = folder.command(args);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let (out, out_writer) = std::io::pipe().expect("a pipe");
        let (err, err_writer) = std::io::pipe().expect("a pipe");
        // Nobody reads one of the two from the start.
        let kept = match is_err {
            true => (drop(err), out).1,
            false => (drop(out), err).1,
        };
        let mut child = command.stdout(out_writer).stderr(err_writer).spawn().expect("mnc runs");
        drop(command);
        let said = std::io::read_to_string(kept).expect("text");
        (child.wait().expect("mnc ends").code(), said)
    };
    let random = ["mobilenet-v1", "--random-weights", "1", "--alpha", "0.25", "--resolution", "32"];
    let compile = [&["compile", "-o", "net"], &random[..]].concat();
    let dump = [&["compile", "--dump", "plan"], &random[..]].concat();
    let profile = [&["profile"], &random[..]].concat();
    for (args, is_err, code) in [
        (&["completions", "bash"][..], false, 0),
        (&["tensors", "mobilenet-v1"], false, 0),
        (&dump, false, 0),
        (&profile, false, 0),
        (&compile, true, 0),
        (&["compile", "mobilenet-v1", "--weights", "none.safetensors"], true, 1),
        (&["compile", "mobilenet-v1", "--target", "z80"], true, 2),
        (&["compile", "--no-such-option"], true, 2),
    ] {
        let (found, said) = without(args, is_err);
        assert_eq!(found, Some(code), "{args:?}: {said}");
        assert!(!said.contains("panicked") && !said.contains("SIGPIPE"), "{args:?}: {said}");
    }
    assert!(folder.path("net").is_file(), "the work was done");
}
