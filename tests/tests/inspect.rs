//! `mnc inspect`: objects as they are keep every promise, and what was tampered with is refused.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use mnc::inspect::{Report, inspect};
use mnc::target::PLATFORMS;
use mnc::{Compiled, Options, Target};
use mnc_tests::command::mnc;
use mnc_tests::folder::Folder;
use mnc_tests::networks::RandomNetwork;
use mnc_tests::{need, networks};
use object::{Object as _, ObjectSection as _, ObjectSymbol as _};

const X86: &str = "x86_64-unknown-linux-gnu";

fn compiled(target: &Target) -> Compiled {
    let (graph, parameters) = networks::builtin("mobilenet-v1", 0.25, 32);
    mnc::compile(graph, &parameters, target, &Options { name: "net", labels: &[] }).expect("it is legal")
}

fn x86_targets() -> Vec<Target> {
    let platform = PLATFORMS.iter().find(|platform| platform.triple == X86).expect("a row of the table");
    need::targets_of(platform)
}

fn object() -> Vec<u8> {
    compiled(&x86_targets()[0]).object().expect("it can be written")
}

/// The promises that are broken.
fn broken(bytes: &[u8]) -> Vec<(&'static str, String)> {
    let report = inspect(bytes).expect("it is an object");
    let broken = report.promises.into_iter().filter(|promise| promise.kept == Some(false));
    broken.map(|promise| (promise.promise, promise.found)).collect()
}

fn kept(report: &Report, promise: &str) -> Option<bool> {
    let found = report.promises.iter().find(|known| known.promise == promise);
    found.unwrap_or_else(|| panic!("{promise} in {report:?}")).kept
}

#[test]
fn every_x86_64_object_keeps_its_promises() {
    for target in x86_targets() {
        let compiled = compiled(&target);
        let report = inspect(&compiled.object().expect("it can be written")).expect("it can be read");
        assert!(report.promises.iter().all(|promise| promise.kept == Some(true)), "{target}: {report:#?}");
        let of = |entry: &str| report.walks.iter().find(|walk| walk.entry == entry).expect("it is walked");
        for entry in ["net_run_u8", "net_run_u8_parallel"] {
            assert_eq!(of(entry).returns, [0, -1, -2, -3, -4], "{target}");
        }
        for entry in ["net_run", "net_run_parallel"] {
            assert_eq!(of(entry).returns, [0, -1, -2, -3], "{target}");
            // Each of the network's calls reads and writes something.
            let n_calls = compiled.program.steps.iter().map(|step| step.calls.len()).sum::<usize>();
            assert!(n_calls as u64 * 100 < of(entry).accesses, "{target}: {report:#?}");
        }
        let info = report.info.expect("each object has a description");
        assert_eq!(info.workspace_bytes, compiled.info.workspace_bytes);
    }
}

/// Batches, and weights in a file to which workspaces are bound.
#[test]
fn other_forms_keep_their_promises() {
    let Some(mnc) = mnc() else { return };
    let folder = Folder::new();
    let network =
        ["compile", "mobilenet-v1", "--random-weights", "1", "--alpha", "0.25", "--resolution", "32", "-q"];
    for (more, entries) in [(&["--batch", "3"][..], 5), (&["--weights-file", "net.weights"], 6)] {
        let mut command = Command::new(mnc);
        command
            .current_dir(folder.path())
            .args(network)
            .args(["--target", X86, "--emit", "obj", "-o", "net.o"]);
        need::run(command.args(more));
        let report =
            inspect(&fs::read(folder.path().join("net.o")).expect("it was written")).expect("it can be read");
        assert!(report.promises.iter().all(|promise| promise.kept == Some(true)), "{more:?}: {report:#?}");
        assert_eq!(report.walks.len(), entries, "{more:?}: {report:#?}");
    }
}

#[test]
fn random_networks_keep_their_promises() {
    for seed in 0..30 {
        let RandomNetwork { graph, parameters, .. } = RandomNetwork::new(seed);
        for target in x86_targets() {
            let options = Options { name: "net", labels: &[] };
            let compiled = mnc::compile(graph.clone(), &parameters, &target, &options).expect("it is legal");
            let broken = broken(&compiled.object().expect("it can be written"));
            assert!(broken.is_empty(), "seed {seed}, {target}: {broken:?}");
        }
    }
}

/// What isn't walked is told as unknown, not as kept.
#[test]
fn other_targets_are_read_without_a_walk() {
    for platform in PLATFORMS.iter().filter(|platform| !platform.triple.starts_with("x86_64")) {
        let target = Target::new(platform.triple, None).expect("a row of the table");
        let report =
            inspect(&compiled(&target).object().expect("it can be written")).expect("it can be read");
        assert!(report.is_kept(), "{target}: {report:#?}");
        assert_eq!(kept(&report, "no undefined symbol"), Some(true));
        assert_eq!(kept(&report, "no writable section"), Some(true));
        assert_eq!(kept(&report, "every access inside its buffers"), None);
        assert_eq!(report.stack_bytes, None);
    }
    for triple in ["x86_64-apple-darwin", "x86_64-pc-windows-msvc"] {
        let target = Target::new(triple, None).expect("a row of the table");
        let report =
            inspect(&compiled(&target).object().expect("it can be written")).expect("it can be read");
        assert_eq!(kept(&report, "no undefined symbol"), Some(true), "{target}");
        assert_eq!(kept(&report, "no writable section"), Some(true), "{target}");
        assert_eq!(kept(&report, "every access inside its buffers"), None, "{target}");
    }
}

/// The position of the header of a section of an ELF object.
fn section_header(bytes: &[u8], name: &str) -> usize {
    let file = object::File::parse(bytes).expect("it is an object");
    let index = file.section_by_name(name).expect("it has the section").index().0;
    let start = u64::from_le_bytes(bytes[40..48].try_into().expect("eight bytes"));
    start as usize + index * 64
}

#[test]
fn a_writable_section_is_refused() {
    let mut bytes = object();
    let flags = section_header(&bytes, ".rodata") + 8;
    bytes[flags] |= object::elf::SHF_WRITE as u8;
    assert_eq!(broken(&bytes), [("no writable section", "1: .rodata".to_owned())]);
}

#[test]
fn an_undefined_symbol_is_refused() {
    let mut bytes = object();
    let file = object::File::parse(bytes.as_slice()).expect("it is an object");
    let index = file.symbols().find(|symbol| symbol.name() == Ok("net_info")).expect("it is there").index().0;
    let table = section_header(&bytes, ".symtab");
    let start = u64::from_le_bytes(bytes[table + 24..table + 32].try_into().expect("eight bytes"));
    let section_of_symbol = start as usize + index * 24 + 6;
    bytes[section_of_symbol..section_of_symbol + 2].fill(0);
    let broken = broken(&bytes);
    assert!(broken.contains(&("no undefined symbol", "1: net_info".to_owned())), "{broken:?}");
    assert!(broken.iter().any(|(promise, _)| *promise == "description"), "{broken:?}");
}

/// Puts another text of the same length into the object's description.
fn describe_anew(bytes: &mut [u8], old: &str, new: &str) {
    assert_eq!(old.len(), new.len());
    let at = bytes.windows(old.len()).position(|window| window == old.as_bytes());
    let at = at.unwrap_or_else(|| panic!("{old} is in the description"));
    bytes[at..at + new.len()].copy_from_slice(new.as_bytes());
}

#[test]
fn less_memory_than_the_code_touches_is_refused() {
    let compiled = compiled(&x86_targets()[0]);
    let workspace_bytes = compiled.info.workspace_bytes;
    for (old, new, place) in [
        (
            format!("\"workspace_bytes\":{workspace_bytes}"),
            format!("\"workspace_bytes\":{}", workspace_bytes - 64),
            "the workspace",
        ),
        ("\"height\":32,\"width\":32".to_owned(), "\"height\":31,\"width\":32".to_owned(), "the input"),
        ("\"shape\":[1,1,1001]".to_owned(), "\"shape\":[1,1,1000]".to_owned(), "the output"),
    ] {
        let mut bytes = compiled.object().expect("it can be written");
        describe_anew(&mut bytes, &old, &new);
        let broken = broken(&bytes);
        let [("every access inside its buffers", found)] = broken.as_slice() else { panic!("{broken:?}") };
        assert!(found.contains(&format!("of {place}, which has")), "{found}");
    }
}

/// Whatever a byte of code is changed to: an answer, not a panic. Most changes break a promise; those that only change numbers
/// don't, which is what the manifest is for.
#[test]
fn any_byte_of_code_may_be_changed() {
    let bytes = object();
    let file = object::File::parse(bytes.as_slice()).expect("it is an object");
    let (start, size) =
        file.section_by_name(".text").and_then(|text| text.file_range()).expect("it has code");
    let mut n_broken = 0;
    const N_CHANGES: u64 = 150;
    for change in 0..N_CHANGES {
        let mut changed = bytes.clone();
        let at = start + change * 7919 % size;
        changed[at as usize] ^= 1 << (change % 8);
        n_broken += u64::from(!broken(&changed).is_empty());
    }
    assert!(0 < n_broken && n_broken < N_CHANGES, "{n_broken} of {N_CHANGES}");
}

#[test]
fn what_is_no_object_is_an_error() {
    let bytes = object();
    for bytes in [&b"hello"[..], &[], &bytes[..100], &bytes[..bytes.len() / 2]] {
        assert!(inspect(bytes).is_err(), "{} bytes", bytes.len());
    }
}

fn run_inspect(mnc: &Path, folder: &Folder, arguments: &[&str]) -> Output {
    let mut command = Command::new(mnc);
    command.current_dir(folder.path()).arg("inspect").args(arguments);
    command.output().expect("mnc can be started")
}

/// The command, from an empty folder: objects, libraries and executables, and the manifest beside them.
#[test]
fn the_manifest_tells_every_changed_byte() {
    let Some(mnc) = mnc() else { return };
    let folder = Folder::new();
    let compile =
        ["compile", "mobilenet-v1", "--random-weights", "1", "--alpha", "0.25", "--resolution", "32", "-q"];
    let emit = ["--name", "net", "-o", "net/", "--emit", "obj,header,cdylib,exe,manifest"];
    need::run(Command::new(mnc).current_dir(folder.path()).args(compile).args(emit));
    for file in ["net/net.o", "net/libnet.so", "net/net"] {
        let output = run_inspect(mnc, &folder, &[file]);
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{file}: {output:?}");
        assert!(text.contains("kept    as its manifest says"), "{text}");
    }
    let json = run_inspect(mnc, &folder, &["net/net.o", "--json"]);
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).expect("it prints JSON");
    assert_eq!(json["is_kept"], true);
    assert_eq!(json["info"]["name"], "net");
    assert!(json["stack_bytes"].as_u64().is_some_and(|bytes| 0 < bytes && bytes < 4096), "{json}");

    // The header beside it belongs to another network, with other sizes.
    let header = folder.path().join("net/net.h");
    let honest = fs::read(&header).expect("it was written");
    fs::write(&header, [honest.as_slice(), b"\n"].concat()).expect("it can be written");
    let output = run_inspect(mnc, &folder, &["net/net.o"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("the other files of its manifest (net.h differs from its manifest"), "{text}");
    fs::remove_file(&header).expect("it can be removed");
    let output = run_inspect(mnc, &folder, &["net/net.o"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("not beside it: net.h"), "{text}");

    // A weight is changed: the code is as safe as before, but the object isn't the one that was made.
    let path = folder.path().join("net/net.o");
    let mut bytes = fs::read(&path).expect("it was written");
    bytes[4096] ^= 1;
    fs::write(&path, &bytes).expect("it can be written");
    for arguments in [&["net/net.o"][..], &["net/net.o", "--manifest", "net/net.json"]] {
        let output = run_inspect(mnc, &folder, arguments);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(text.contains("broken: differs from its manifest (SHA-256 "), "{text}");
    }
    let output = run_inspect(mnc, &folder, &["net/net.json"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
}
