//! The command `mnc`, built from the sources of the test that asks for it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::need;

/// The command. Cargo itself only builds it before tests of its own package.
///
/// # Panics
/// When it can't be built.
pub fn mnc() -> Option<&'static Path> {
    static MNC: OnceLock<PathBuf> = OnceLock::new();
    need::program("cc")?;
    Some(MNC.get_or_init(|| {
        let test = std::env::current_exe().expect("the test knows its own file");
        let folder = test.ancestors().nth(2).expect("tests lie in a profile's deps");
        let profile = match folder.file_name().and_then(|name| name.to_str()) {
            Some("debug") => "dev",
            Some(name) => name,
            None => unreachable!("a profile has a folder"),
        };
        // The features of the whole workspace, as `cargo test --workspace` has them: nothing is compiled twice. An example,
        // for cargo adds the features of dev-dependencies, the launcher's among them, only where something needs those.
        let mut cargo = Command::new(env!("CARGO"));
        cargo.current_dir(need::workspace()).args([
            "build",
            "--workspace",
            "--bin",
            "mnc",
            "--example",
            "pool_cost",
            "--profile",
            profile,
        ]);
        need::run(cargo.arg("--target-dir").arg(folder.parent().expect("a profile lies in a target folder")));
        folder.join("mnc")
    }))
}

/// Writes the person detector in int8, as the command makes it with such options. `None` without the command.
///
/// # Panics
/// When the command doesn't make it.
pub fn quantise_person(to: &Path, options: &[&str]) -> Option<()> {
    let weights = need::workspace().join("examples/person-detector/person.safetensors");
    let mut quantize = Command::new(mnc()?);
    quantize.args(["quantize", "mobilenet-v1", "--weights"]).arg(&weights).args(options);
    need::run(quantize.arg("-o").arg(to));
    Some(())
}
