//! The functions that executables of our own linker have instead of a C library, under Rust's standard library: threads that
//! are joined, detached and follow each other, folders, memory. Linked by `cc` without any library.

use std::path::{Path, PathBuf};
use std::process::Command;

use mnc_tests::folder::Folder;
use mnc_tests::need;
use mnc_tests::user_crate::UserCrate;

/// What the launcher is built with, and no more.
const MANIFEST: &str = "[lib]\ncrate-type = [\"staticlib\"]\n[dependencies]\nlibm = \"0.2\"\ndlmalloc = \"0.2\"\n\
                        [profile.release]\nopt-level = \"s\"\nlto = true\ncodegen-units = 1\npanic = \"abort\"\ndebug-assertions = true\n";

/// The program for a target; `None` where something for it is missing.
fn program(target: &str, cc: &str) -> Option<(UserCrate, PathBuf)> {
    let cc = need::program(cc)?;
    let name = format!("bare-{}", target.split('-').next()?);
    let package = UserCrate::new(env!("CARGO_TARGET_TMPDIR"), &name, MANIFEST)?;
    package.write("src/lib.rs", include_str!("../fixtures/bare_main.rs"));
    let runtime = need::workspace().join("runtime/src");
    package.write("src/bare.rs", std::fs::read(runtime.join("bare.rs")).expect("it is there"));
    std::fs::create_dir(package.path().join("src/bare")).expect("the folder is ours");
    for entry in std::fs::read_dir(runtime.join("bare")).expect("it is there") {
        let path = entry.expect("the entry can be read").path();
        // Folders hold tests.
        if path.is_file() {
            let name = path.file_name().expect("an entry has a name").to_string_lossy().into_owned();
            package.write(&format!("src/bare/{name}"), std::fs::read(&path).expect("it can be read"));
        }
    }
    let mut build = package.cargo(&["build", "--release", "--target", target]);
    need::run(build.env("RUSTFLAGS", "--cfg mnc_bare -C relocation-model=static"));
    let archive = package.built(&format!("{target}/release/lib{}.a", name.replace('-', "_")));
    let program = package.path().join("program");
    let flags = ["-static", "-nostdlib", "-nostartfiles", "-Wl,--gc-sections", "-o"];
    need::run(Command::new(cc).args(flags).arg(&program).arg(archive));
    Some((package, program))
}

fn check(mut command: Command, program: &Path, emulated: &[&str]) {
    let folder = Folder::new();
    let output = need::run(command.arg(program).arg(folder.path()).args(emulated));
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "ok\n",
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn on_this_machine() {
    let Some(host) = need::host().filter(|host| !host.triple.starts_with("riscv64")) else { return };
    if let Some((_package, program)) = program(host.triple, "cc") {
        check(Command::new("env"), &program, &[]);
    }
}

#[test]
fn on_aarch64() {
    const TARGET: &str = "aarch64-unknown-linux-gnu";
    let Some(qemu) = need::program("qemu-aarch64") else { return };
    if !need::has_std(TARGET) {
        return;
    }
    if let Some((_package, program)) = program(TARGET, "aarch64-linux-gnu-gcc") {
        check(Command::new(qemu), &program, &["emulated"]);
    }
}
