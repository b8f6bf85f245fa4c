//! What tests need beyond a Rust toolchain: [`mnc_need`]'s rule for where it is missing, and what only networks need.

use std::path::Path;
use std::process::{Command, Output};

use mnc::target::{Isa, PLATFORMS, Platform};
use mnc::{Compiled, Target};
#[cfg(unix)]
pub use mnc_need::heed_signals;
pub use mnc_need::{Cases, n_seeds, optional_program, program, shared_data, skip, skip_optional, workspace};

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
    skip_optional(&missing);
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
