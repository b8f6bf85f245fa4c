//! What goes wrong around the command: signals, compilers that misbehave, no room, no memory, no environment.

#![cfg(unix)]

#[path = "support/fault.rs"]
mod fault;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fault::{Folder, MNC, Ran, small};

/// Whether something comes true within a minute; a busy machine may take long.
fn eventually(mut is_true: impl FnMut() -> bool) -> bool {
    let started = Instant::now();
    while !is_true() {
        if Duration::from_secs(60) < started.elapsed() {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    true
}

fn signal(child: &Child, name: &str) {
    // The shell's own: a small machine has no program of this name. The child may have ended by itself.
    let kill = format!("kill -{name} {}", child.id());
    Command::new("sh").args(["-c", &kill]).stderr(Stdio::null()).status().expect("a shell runs");
}

/// A compiler of our own: a script with that body.
fn compiler(folder: &Folder, name: &str, body: &str) -> String {
    let path = folder.path(name);
    fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path.to_str().unwrap().to_owned()
}

fn with_compiler(folder: &Folder, cc: &str, more: &[&str]) -> Ran {
    let mut command = folder.command(small(&[&["--linker", "cc", "-o", "net"], more].concat()));
    command.env("CC", cc);
    Ran::of(command)
}

/// A compiler fails, writes nothing, junk, half of a program, something for another machine, or nothing but noise.
#[test]
fn a_compiler_is_not_believed() {
    let folder = Folder::new();
    let out = r#"while [ "$1" != -o ]; do shift; done; out=$2;"#;
    let cases = [
        ("exit 3", "the link failed (exit status: 3)"),
        ("exit 0", "No such file or directory (os error 2), expected it to write an executable"),
        (
            &format!("{out} echo junk > \"$out\""),
            "it wrote 5 bytes that no loader knows, expected an executable",
        ),
        (&format!("{out} : > \"$out\""), "it wrote 0 bytes that no loader knows"),
        (&format!("{out} head -c 5000 '{MNC}' > \"$out\""), "expected an executable"),
        (&format!("{out} mkdir \"$out\""), "not a plain file (a folder), expected it to write an executable"),
        (
            &format!("{out} ln -s /dev/zero \"$out\""),
            "not a plain file (a device), expected it to write an executable",
        ),
        (&format!("{out} truncate -s 1T \"$out\""), "expected at most"),
        ("kill -9 $$", "the link failed (signal: 9"),
        (r#"printf '\033]0;title\007\033[2Jbad\nnews\n' >&2; exit 1"#, "\n  ]0;title[2Jbad\n  news"),
        (
            "echo '/usr/bin/ld: cannot find -lgcc_s: No such file or directory' >&2; exit 1",
            "--linker internal links without those of the system",
        ),
    ];
    for (body, expected) in cases {
        let cc = compiler(&folder, "cc", body);
        let ran = with_compiler(&folder, &cc, &[]);
        if ran.err.contains("expected at most") && !expected.contains("at most") {
            panic!("{body}: {}", ran.err);
        }
        assert_eq!(ran.code, Some(1), "{body}: {}", ran.err);
        assert!(ran.err.contains(expected), "{body}: {}", ran.err);
        assert!(!ran.err.chars().any(|c| c.is_control() && c != '\n'), "{body}: {:?}", ran.err);
        assert_eq!(folder.names(), ["cc"], "{body}");
        assert!(folder.litter().is_empty(), "{body}");
    }
    let gone = with_compiler(&folder, "/gone/cc", &[]);
    assert!(gone.code == Some(1) && gone.err.contains("--linker internal"), "{}", gone.err);
    // Fifty megabytes of errors: some are shown, all are taken.
    let cc = compiler(&folder, "cc", "yes 'an error' | head -c 50000000 >&2; exit 1");
    let ran = with_compiler(&folder, &cc, &[]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains("an error") && ran.err.len() < 200_000, "{} bytes", ran.err.len());
}

/// A compiler that hangs is stopped, and with it what it started.
#[test]
fn a_compiler_that_hangs_is_stopped() {
    let folder = Folder::new();
    let cc = compiler(&folder, "cc", "sleep 1000 & echo $! > pid; sleep 1000");
    let mut command = folder.command(small(&["--linker", "cc", "-o", "net"]));
    command.env("CC", &cc).env("MNC_LINK_SECONDS", "1");
    let ran = Ran::of(command);
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains("it didn't end within 1 s and was stopped"), "{}", ran.err);
    let pid = fs::read_to_string(folder.path("pid")).unwrap();
    assert!(eventually(|| !is_alive(pid.trim())), "process {pid} runs on");
    assert_eq!(folder.names(), ["cc", "pid"]);
    assert!(folder.litter().is_empty());
    let mut command = folder.command(small(&["--linker", "cc", "-o", "net"]));
    let ran = Ran::of({
        command.env("CC", &cc).env("MNC_LINK_SECONDS", "soon");
        command
    });
    assert!(
        ran.code == Some(2)
            && ran.err.contains("MNC_LINK_SECONDS: found \"soon\", expected a number of seconds"),
        "{}",
        ran.err
    );
}

/// A process that has ended and that nobody has asked about yet counts as dead.
fn is_alive(pid: &str) -> bool {
    match fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => !stat.contains(") Z "),
        Err(_) => {
            !cfg!(target_os = "linux")
                && Command::new("sh")
                    .args(["-c", &format!("kill -0 {pid}")])
                    .status()
                    .is_ok_and(|s| s.success())
        }
    }
}

/// Killed while the compiler runs: after SIGINT and SIGTERM all is tidy as soon as the command has ended, after SIGKILL soon.
#[test]
fn signals_leave_nothing() {
    mnc_need::heed_signals();
    use std::os::unix::process::ExitStatusExt;
    for (name, number) in [("INT", 2), ("TERM", 15), ("HUP", 1), ("KILL", 9)] {
        let folder = Folder::new();
        let cc = compiler(
            &folder,
            "cc",
            "mktemp > /dev/null; sleep 1000 & echo $! > pid.part; mv pid.part pid; sleep 1000",
        );
        let mut command = folder.command(small(&["--linker", "cc", "-o", "net"]));
        let mut child = command.env("CC", &cc).stderr(Stdio::null()).spawn().expect("mnc runs");
        assert!(eventually(|| folder.path("pid").exists()), "the compiler was never called");
        assert_eq!(folder.litter().len(), 1, "a folder for the link");
        signal(&child, name);
        assert_eq!(child.wait().unwrap().signal(), Some(number));
        let pid = fs::read_to_string(folder.path("pid")).unwrap();
        if name == "KILL" {
            assert!(eventually(|| folder.litter().is_empty()), "SIG{name} left {:?}", folder.litter());
        }
        assert!(folder.litter().is_empty(), "SIG{name} left {:?}", folder.litter());
        assert!(eventually(|| !is_alive(pid.trim())), "SIG{name} left process {pid}");
        assert_eq!(folder.names(), ["cc", "pid"], "SIG{name}");
    }
}

/// A signal that comes as soon as the compiler runs, when the command has hardly learnt that it does.
#[test]
fn a_compiler_that_has_just_begun_is_not_left() {
    mnc_need::heed_signals();
    let folder = Folder::new();
    let cc = compiler(&folder, "cc", "echo $$ > pid; kill -TERM $PPID; sleep 1000");
    for _ in 0..12 {
        let mut command = folder.command(small(&["--linker", "cc", "-o", "net"]));
        let status = command.env("CC", &cc).stderr(Stdio::null()).status().expect("mnc runs");
        assert_eq!(status.code(), None);
        let pid = fs::read_to_string(folder.path("pid")).unwrap();
        let is_gone = eventually(|| !is_alive(pid.trim()));
        if !is_gone {
            let _ = Command::new("sh").args(["-c", &format!("kill -9 {pid}")]).status();
        }
        assert!(is_gone, "process {pid} goes on");
    }
    assert!(folder.litter().is_empty());
}

/// Killed at any moment while a package is written over an older one: the files are all old or all new.
#[test]
fn a_package_is_of_one_network_whenever_its_writer_is_killed() {
    mnc_need::heed_signals();
    let folder = Folder::new();
    let package = |seed: &str| {
        let formats = [
            "--emit",
            "obj,staticlib,header,cmake,pkg-config,manifest",
            "-q",
            "--weights-file",
            "p/net.weights",
        ];
        let mut args = small(&[&formats[..], &["--name", "net", "-o", "p/"]].concat());
        let at = args.iter().position(|word| word == "1").expect("the seed");
        args[at] = seed.to_owned();
        args
    };
    let read = |folder: &Folder| {
        let entries = fs::read_dir(folder.path("p")).expect("the package is there");
        let mut files: Vec<_> = entries
            .map(|entry| entry.unwrap().path())
            .map(|path| (path.clone(), fs::read(path).unwrap_or_default()))
            .collect();
        files.sort();
        files
    };
    assert_eq!(folder.run(package("1")).code, Some(0));
    let one = read(&folder);
    let started = Instant::now();
    assert_eq!(folder.run(package("2")).code, Some(0));
    let whole = started.elapsed();
    let two = read(&folder);
    assert_eq!((one.len(), two.len()), (7, 7));
    let mut n_killed = 0;
    for round in 0..40u32 {
        let (seed, name) = ([["1"], ["2"]][round as usize % 2][0], ["KILL", "INT"][round as usize / 2 % 2]);
        let mut child = folder.command(package(seed)).stderr(Stdio::null()).spawn().expect("mnc runs");
        // Most of them in the last part of its time, in which it writes.
        std::thread::sleep(whole * (20 + 2 * round) / 100);
        signal(&child, name);
        n_killed += usize::from(child.wait().unwrap().code().is_none());
        let mut found = Vec::new();
        let is_whole = eventually(|| {
            found = read(&folder);
            found == one || found == two
        });
        let differ = |all: &[(std::path::PathBuf, Vec<u8>)]| {
            found.iter().filter(|file| !all.contains(file)).map(|(path, _)| path.clone()).collect::<Vec<_>>()
        };
        assert!(
            is_whole,
            "round {round}, SIG{name}: not of one: {:?}, of the other: {:?}",
            differ(&one),
            differ(&two)
        );
    }
    println!("killed {n_killed} of 40");
    assert!(folder.litter().is_empty());
}

/// Several commands write packages of two networks into one folder at once: the last one's is there, whole.
#[test]
fn packages_of_several_writers_do_not_mix() {
    let folder = Folder::new();
    for _ in 0..4 {
        let start = |seed: usize| {
            let mut args = small(&["--emit", "obj,header,manifest", "-q", "--name", "net", "-o", "p/"]);
            args[3] = seed.to_string();
            folder.command(args).spawn().expect("mnc runs")
        };
        let writers: Vec<Child> = (0..6).map(|idx| start(idx % 2)).collect();
        for mut writer in writers {
            assert!(writer.wait().expect("it ends").success());
        }
        let manifest = folder.read("p/net.json");
        let manifest = mnc::emit::manifest::Manifest::from_json(&manifest).expect("it is a manifest");
        for output in &manifest.outputs {
            let content = folder.read(&format!("p/{}", output.file));
            assert_eq!(*output, mnc::emit::manifest::File::new(&output.kind, &output.file, &content));
        }
        assert_eq!(fs::read_dir(folder.path("p")).unwrap().count(), 3);
    }
}

/// No room from a certain byte on, for every part of a package: it fails in words, and the older package is as it was.
#[test]
fn a_full_disk_changes_nothing() {
    let folder = Folder::new();
    let args = |seed: &str| {
        let mut args = small(&[
            "--emit",
            "obj,staticlib,header,manifest",
            "-q",
            "--weights-file",
            "net.weights",
            "-o",
            "net",
        ]);
        args[3] = seed.to_owned();
        args
    };
    assert_eq!(folder.run(args("1")).code, Some(0));
    let before = folder.contents();
    let sizes: Vec<u64> = before.values().map(|content| content.len() as u64).collect();
    let most = sizes.iter().max().unwrap() / 512;
    // In blocks of 512 bytes, as POSIX has it; each limit is too small for another number of the files.
    let mut limits: Vec<u64> = sizes.iter().map(|size| size / 512 - 1).chain([0, 1, most / 2]).collect();
    limits.sort_unstable();
    for limit in limits {
        let ran =
            Ran::of(folder.sh(&format!("trap '' XFSZ; ulimit -f {limit}; {}", folder.shell(&args("2")))));
        assert_eq!(ran.code, Some(1), "limit {limit}: {}", ran.err);
        assert!(
            ran.err.contains("File too large") && ran.err.lines().count() == 1,
            "limit {limit}: {}",
            ran.err
        );
        assert!(folder.contents() == before, "limit {limit}");
    }
    assert!(folder.litter().is_empty());
}

/// A shell in which a disk of any size can be mounted, seen by nobody else. `None` where that isn't allowed.
fn with_disks(folder: &Folder) -> Option<Command> {
    let unshare = mnc_need::program("unshare")?;
    fs::create_dir(folder.path("disk")).expect("the folder is ours");
    for flags in ["-m", "-rm"] {
        let mut command = Command::new(&unshare);
        command
            .args([flags, "sh", "-c"])
            .current_dir(folder.path("."))
            .env("TMPDIR", folder.temporary.path());
        command.stdin(Stdio::null());
        let mut attempt = Command::new(&unshare);
        attempt.args([flags, "sh", "-c", "mount -t tmpfs tmpfs disk"]).current_dir(folder.path("."));
        if attempt.output().is_ok_and(|output| output.status.success()) {
            return Some(command);
        }
    }
    mnc_need::skip_optional("the right to mount");
    None
}

/// A real disk that is full at every write of a set, and one that takes no more files at each of them: nothing is under a final
/// name, and an older set is as it was.
#[test]
fn a_set_is_whole_or_absent_on_a_full_disk() {
    let folder = Folder::new();
    let Some(mut shell) = with_disks(&folder) else { return };
    let sets: [(&[&str], usize); 2] = [
        (&["--emit", "obj,header,manifest", "-o", "disk/net.o"], 3),
        (&["--emit", "obj,staticlib,header,cmake,pkg-config,manifest", "--name", "net", "-o", "disk/"], 6),
    ];
    // Prints for each disk: its options, whether an older set lies on it, the exit code, what is there then, the message.
    let mut script = "try() {\n  mount -t tmpfs -o $1 tmpfs disk || exit 9\n  \
                      if [ \"$2\" = old ]; then cp -r old-$3/. disk/ || exit 8; fi\n  \
                      \"run_$3\" 2> message; code=$?\n  \
                      there=$(ls -A disk | wc -l); if diff -r old-$3 disk > difference; then there=old; fi\n  \
                      echo \"$1 $2 $code $there $(cat message)\"\n  umount disk\n}\n"
        .to_owned();
    let mut expected = Vec::new();
    for (idx, (set, n_files)) in sets.into_iter().enumerate() {
        let args = |seed: &str, set: &[&str]| {
            let mut args = small(&[&["-q"], set].concat());
            args[3] = seed.to_owned();
            args
        };
        let older: Vec<String> =
            set.iter().map(|word| word.replace("disk/", &format!("old-{idx}/"))).collect();
        let older: Vec<&str> = older.iter().map(String::as_str).collect();
        fs::create_dir(folder.path(&format!("old-{idx}"))).expect("the folder is ours");
        assert_eq!(folder.run(args("2", &older)).code, Some(0));
        let entries = fs::read_dir(folder.path(&format!("old-{idx}"))).expect("it was written");
        let mut pages: Vec<u64> =
            entries.map(|entry| entry.unwrap().metadata().unwrap().len().div_ceil(4096)).collect();
        pages.sort_unstable();
        assert_eq!(pages.len(), n_files);
        let total: u64 = pages.iter().sum();
        script += &format!("run_{idx}() {{ {}; }}\n", folder.shell(&args("1", set)));
        for old in [false, true] {
            let word = if old { "old" } else { "new" };
            let before = if old { total } else { 0 };
            // The last pages one by one, for the small files, and steps through the large ones.
            let mut sizes: Vec<u64> = (1..=8).map(|less| total - less).collect();
            sizes.extend((0..6).map(|sixth| total * sixth / 6 + 1));
            for size in sizes {
                script += &format!("try size={}k {word} {idx}\n", 4 * (before + size));
                expected.push((word, false));
            }
            // The root of the disk is a file too.
            let n_before = if old { n_files } else { 0 };
            for n_new in 0..n_files {
                script += &format!("try nr_inodes={} {word} {idx}\n", 1 + n_before + n_new);
                expected.push((word, false));
            }
            script += &format!("try size={}k,nr_inodes={} {word} {idx}\n", 4 * (before + total + 8), 99);
            expected.push((word, true));
        }
    }
    fs::write(folder.path("script"), script).unwrap();
    let ran = Ran::of({
        shell.arg(". ./script");
        shell
    });
    assert_eq!((ran.code, ran.out.lines().count()), (Some(0), expected.len()), "{ran:?}");
    for (line, (old, fits)) in ran.out.lines().zip(expected) {
        let words: Vec<&str> = line.splitn(5, ' ').collect();
        let [_, _, code, there, message] = words[..] else { panic!("{line}") };
        if fits {
            assert!(code == "0" && there != "0" && there != "old", "{line}");
        } else {
            let untouched = if old == "old" { "old" } else { "0" };
            assert_eq!((code, there), ("1", untouched), "{line}");
            assert!(message.contains("No space left on device"), "{line}");
        }
    }
    assert!(folder.litter().is_empty());
}

/// A network whose weights no object can hold, 2.4 GB of them: every command that draws weights says so before it draws any.
#[test]
fn sizes_are_checked_before_weights_are_drawn() {
    let folder = Folder::new();
    let text = "name = \"wide\"\nclasses = 192\ninput = { height = 1024, width = 1024, channels = 3 }\n\
                [[layer]]\nkind = \"dense\"\nunits = 192\n";
    fs::write(folder.path("wide.toml"), text).unwrap();
    for command in [
        &["compile", "wide.toml", "--random-weights", "1", "--emit", "obj", "-o", "net.o"][..],
        &["verify", "wide.toml", "--random-weights", "1"],
        &["bench", "wide.toml"],
        &["profile", "wide.toml"],
    ] {
        let ran = Ran::of(folder.sh(&format!("ulimit -v 1000000; {}", folder.shell(command))));
        assert_eq!(ran.code, Some(2), "{command:?}: {ran:?}");
        assert!(ran.err.contains("dense_1: found a filter of 241591"), "{command:?}: {ran:?}");
    }
}

/// Nothing of the environment is needed, and little of what a process is given.
#[test]
fn little_is_needed() {
    let folder = Folder::new();
    let object = ["--emit", "obj", "-q", "-o", "net.o"];
    let mut bare = Command::new(MNC);
    bare.args(small(&object)).current_dir(folder.path(".")).env_clear();
    assert_eq!(Ran::of(bare).code, Some(0), "an empty environment");
    let expected = folder.read("net.o");
    for limits in [
        "ulimit -n 8",
        "ulimit -v 400000",
        "ulimit -s 64",
        "ulimit -s 64; ulimit -v 400000",
        "ulimit -f 20000",
        "unset HOME TMPDIR; PATH=",
    ] {
        fs::remove_file(folder.path("net.o")).unwrap();
        let ran = Ran::of(folder.sh(&format!("{limits}; exec {}", folder.shell(&small(&object)))));
        assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{limits}");
        assert!(folder.read("net.o") == expected, "{limits}");
    }
    // Too little ends in words, not in a signal.
    for limits in ["ulimit -n 4", "ulimit -n 5"] {
        let ran = Ran::of(folder.sh(&format!("{limits}; exec {}", folder.shell(&small(&object)))));
        assert!(matches!(ran.code, Some(0 | 1)), "{limits}: {ran:?}");
    }
    let mut command = folder.command(small(&["--linker", "cc", "-o", "net"]));
    command.env("TMPDIR", "/gone").env("CC", "true");
    let ran = Ran::of(command);
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains("/gone: ") && ran.err.contains("TMPDIR"), "{}", ran.err);
}

/// A signal that the command was told to ignore stays ignored.
#[test]
fn ignored_signals_stay_ignored() {
    let folder = Folder::new();
    let cc = compiler(&folder, "cc", "kill -HUP $PPID; sleep 0.3; exit 7");
    let script = format!("trap '' HUP; exec {}", folder.shell(&small(&["--linker", "cc", "-o", "net"])));
    let mut command = folder.sh(&script);
    command.env("CC", &cc);
    let ran = Ran::of(command);
    assert!(ran.code == Some(1) && ran.err.contains("exit status: 7"), "{ran:?}");
}

/// Executables that are made only to be measured go too.
#[test]
fn an_interrupted_bench_leaves_nothing() {
    mnc_need::heed_signals();
    if mnc_need::program("cc").is_none() {
        return;
    }
    for name in ["INT", "KILL"] {
        let folder = Folder::new();
        let bench =
            ["bench", "mobilenet-v1", "--alpha", "0.25", "--resolution", "32", "--rounds", "60000", "--json"];
        let child =
            folder.command(bench).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("mnc runs");
        let has_executable = || folder.litter().iter().any(|path| path.join("mobilenet_v1-0").exists());
        assert!(eventually(has_executable), "it never began");
        std::thread::sleep(Duration::from_millis(100));
        signal(&child, name);
        let output = child.wait_with_output().expect("it ends");
        // Its document comes at the end, as a whole.
        assert!(output.status.code().is_none() && output.stdout.is_empty(), "{output:?}");
        if name == "KILL" {
            assert!(eventually(|| folder.litter().is_empty()), "SIG{name} left {:?}", folder.litter());
        }
        assert!(folder.litter().is_empty(), "SIG{name} left {:?}", folder.litter());
    }
}
