//! How programs of another processor run here: under qemu's user mode.

use std::env;
use std::path::PathBuf;

use mnc::{Result, Target};
use target_lexicon::{Architecture, HOST, OperatingSystem};

/// What stands before a program on the command line.
#[derive(Clone, Debug, Default)]
pub(super) struct Emulator {
    /// None where programs run by themselves.
    pub(super) words: Vec<String>,
}

/// The emulator for a target; none for this machine's own.
///
/// # Errors
/// A target whose programs don't run here at all, and an emulator that isn't installed.
pub(super) fn emulator(target: &Target) -> Result<Emulator> {
    let triple = &target.triple;
    let same_system = triple.operating_system == HOST.operating_system;
    if same_system && triple.architecture == HOST.architecture {
        return Ok(Emulator::default());
    }
    if !same_system || triple.operating_system != OperatingSystem::Linux {
        let detail =
            format!("programs for {triple} don't run on {HOST}: verify it there, or its Linux twin here");
        return super::super::usage("--target", detail);
    }
    let (name, cpu) = match triple.architecture {
        Architecture::X86_64 => ("qemu-x86_64", "max"),
        Architecture::Aarch64(_) => ("qemu-aarch64", "max"),
        // The least that the instruction set `rv64gcv` promises.
        _ => ("qemu-riscv64", "rv64,v=true,vlen=128,zba=true,zbb=true,zbs=true"),
    };
    match find(name) {
        Some(path) => {
            let words = [path.to_string_lossy().into_owned(), "-cpu".to_owned(), cpu.to_owned()];
            Ok(Emulator { words: words.to_vec() })
        }
        None => super::super::usage(
            "--target",
            format!(
                "found no {name} on the search path, expected it to run code for {triple} (`apt-get install qemu-user`)"
            ),
        ),
    }
}

/// A program on the search path.
pub(super) fn find(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}
