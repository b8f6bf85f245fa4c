//! What tests need beyond a Rust toolchain, and what happens where it is missing: the test says so and passes, unless
//! `MNC_REQUIRE_ALL=1`.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Mutex;

use mnc::target::{Isa, PLATFORMS, Platform};
use mnc::{Compiled, Target};

/// Notes that something is missing.
///
/// # Panics
/// Where nothing may be missing.
pub fn skip(missing: &str) {
    let require_all = std::env::var("MNC_REQUIRE_ALL").as_deref() == Ok("1");
    assert!(!require_all, "{missing}: missing, and MNC_REQUIRE_ALL=1 allows no skip");
    say(missing);
}

/// Notes that something is missing that no test insists on: what neither a package of the system nor cargo brings.
pub fn skip_optional(missing: &str) {
    say(missing);
}

/// Once for each test program, and past the test harness, which would show it of failing tests only.
fn say(missing: &str) {
    static SAID: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let is_new = SAID.lock().expect("nothing panics while it is locked").insert(missing.to_owned());
    if is_new {
        let _ = writeln!(std::io::stderr(), "skipped: {missing}");
    }
}

/// Notes that this CPU can't run code for a target. No setting can add a feature to a CPU, so this is never a failure, but for
/// the default instruction set of the platform; the interpreter runs the programs of all the others.
///
/// # Panics
/// Where nothing may be missing and the target is the platform's default.
pub fn skip_cpu(compiled: &Compiled) {
    let missing = format!("a CPU with {}", compiled.info.cpu_features.join(", "));
    if host().is_some_and(|platform| platform.isas[0] == compiled.target.isa) {
        return skip(&missing);
    }
    say(&missing);
}

/// A program on the search path.
pub fn program(name: &str) -> Option<PathBuf> {
    let found = optional_program(name);
    if found.is_none() {
        skip(&format!("the program {name}"));
    }
    found
}

/// The same for a program that no test insists on.
pub fn optional_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// Whether Rust's standard library for another target is installed, which no test insists on.
pub fn has_std(triple: &str) -> bool {
    let print = Command::new("rustc").args(["--print", "target-libdir", "--target", triple]).output();
    let library = print.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    let is_there = library.is_ok_and(|folder| Path::new(&folder).is_dir());
    if !is_there {
        skip_optional(&format!("Rust's standard library for {triple} (`rustup target add` brings it)"));
    }
    is_there
}

/// A file or folder of the trained weights and photographs that lie beside the workspace.
pub fn shared_data(name: &str) -> Option<PathBuf> {
    let path = workspace().join("../shared/data").join(name);
    if path.exists() {
        return Some(path);
    }
    skip(&format!("../shared/data/{name}"));
    None
}

/// The root of the repository.
pub fn workspace() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    root.expect("the package lies in the workspace").to_owned()
}

/// The platform of this process, if the compiler has it. Only Linux is linked in tests.
pub fn host() -> Option<&'static Platform> {
    let arch = std::env::consts::ARCH.replace("riscv64", "riscv64gc");
    let triple = format!("{arch}-unknown-{}-gnu", std::env::consts::OS);
    let found = PLATFORMS.iter().find(|platform| platform.triple == triple);
    if found.is_none() {
        skip(&format!("{triple} among the targets"));
    }
    found
}

/// The targets that run in this process: every instruction set of its platform, whether or not the CPU has it, and those
/// that choose one at entry.
pub fn host_targets() -> Vec<Target> {
    host().into_iter().flat_map(targets_of).collect()
}

/// The targets of a platform, those of several instruction sets last.
pub fn targets_of(platform: &Platform) -> Vec<Target> {
    let target = |isa: &&Isa| Target::new(platform.triple, Some(isa.name)).expect("a row of the table");
    let mut targets: Vec<Target> = platform.isas.iter().map(target).collect();
    targets.extend(platform.isas.iter().map(target).filter_map(|target| target.multiversion().ok()));
    targets
}

/// A target with that instruction set; any of its platforms.
///
/// # Panics
/// When no platform has it.
pub fn target_of(isa: &Isa) -> Target {
    let platform =
        PLATFORMS.iter().find(|platform| platform.isas.contains(&isa)).expect("each belongs to a platform");
    Target::new(platform.triple, Some(isa.name)).expect("a row of the table")
}

/// Runs a command that has to succeed.
///
/// # Panics
/// With all that it printed, when it fails.
pub fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    if !output.status.success() {
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        panic!("{command:?}: {}\n{out}{err}", output.status);
    }
    output
}
