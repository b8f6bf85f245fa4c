//! Builds the launcher, the program around the network of an executable, so that `mnc` can carry it as bytes.
//!
//! The runtime beside this package is built as a static library for the target of `mnc` itself, then linked into one
//! relocatable object that keeps only what `main`, `mnc_detecting` and `mnc_prepare` reach: 2 MB instead of 9, and a quicker link for each executable.
//! Beside it, for the compiler's own linker, stands the launcher without a C library (`bare.rs`).

#[path = "bare.rs"]
mod bare;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Writes the Rust expressions that embed the launchers into `OUT_DIR`.
pub(super) fn embed() {
    let out_dir = PathBuf::from(variable("OUT_DIR"));
    let target = variable("TARGET");
    match build(&out_dir, &target) {
        Ok([launcher, bare]) => {
            fs::write(out_dir.join("launcher.rs"), launcher).expect("OUT_DIR is writable");
            fs::write(out_dir.join("bare.rs"), bare).expect("OUT_DIR is writable");
        }
        // Cargo shows one line an instruction.
        Err(message) => message.lines().for_each(|line| println!("cargo::error={line}")),
    }
}

/// Leaves the launchers in `out_dir` and returns the Rust expressions that embed them: the one for the system's linker,
/// those for our own.
fn build(out_dir: &Path, target: &str) -> Result<[String; 2], String> {
    let workspace = PathBuf::from(variable("CARGO_MANIFEST_DIR")).join("..");
    let manifest = workspace.join("runtime/Cargo.toml");
    if !manifest.is_file() {
        return Err(format!(
            "{}: not found, expected the sources of mnc-runtime: the command mnc embeds a launcher built from them; \
             build mnc inside its repository, or without the feature `cli`",
            manifest.display()
        ));
    }
    for input in ["runtime/src", "runtime/Cargo.toml", "Cargo.toml", "Cargo.lock"] {
        println!("cargo::rerun-if-changed={}", workspace.join(input).display());
    }
    println!("cargo::rerun-if-env-changed=MNC_LAUNCHER_CC");
    let build_dir = shared_build_dir(out_dir);
    let libraries_path = build_dir.join(LIBRARIES);
    let print = format!("--print=native-static-libs={}", libraries_path.display());
    let archive = cargo_rustc(&manifest, &build_dir, (target, "launcher"), &["--cfg", "mnc_main", &print])?;
    let libraries = native_libraries(&build_dir)?;
    let object = out_dir.join("launcher.o");
    if !prelink(&archive, &object, target) {
        println!("cargo::warning=launcher: no C compiler for {target} to shrink it with, embedding it whole");
        fs::copy(&archive, &object).map_err(|e| format!("{}: {e}", archive.display()))?;
    }
    let is_archive = fs::read(&object).is_ok_and(|bytes| bytes.starts_with(b"!<arch>"));
    let launcher = format!(
        "Launcher {{\n    triple: {target:?},\n    bytes: include_bytes!({object:?}),\n    is_archive: {is_archive},\n    \
         libraries: &{libraries:?},\n}}\n"
    );
    Ok([launcher, bare::build(&manifest, &build_dir, out_dir)?])
}

/// The nearest target directory that holds `out_dir`, so that dev, release and clippy builds share one launcher.
/// Cargo locks a directory per profile, and `launcher` is no profile of an outer build: nobody waits in a circle.
fn shared_build_dir(out_dir: &Path) -> PathBuf {
    let target_dir = out_dir.ancestors().skip(1).find(|dir| dir.join("CACHEDIR.TAG").is_file());
    target_dir.unwrap_or(out_dir).join("mnc-launcher")
}

/// Builds the runtime as a static library, for a target and with a feature.
fn cargo_rustc(
    manifest: &Path,
    build_dir: &Path,
    (target, feature): (&str, &str),
    flags: &[&str],
) -> Result<PathBuf, String> {
    let mut command = Command::new(variable("CARGO"));
    command
        .args(["rustc", "--lib", "--crate-type", "staticlib", "--features", feature])
        .args(["--profile", "launcher", "--locked", "--target", target, "--manifest-path"])
        .arg(manifest)
        .arg("--target-dir")
        .arg(build_dir)
        .arg("--")
        .args(flags)
        // The nearest `.cargo/config.toml`, with its vendored sources, is found from here.
        .current_dir(manifest.parent().expect("a manifest is in a folder"))
        // What an outer build was told is not meant for this one: not clippy's wrapper, and above all no flags such
        // as `-C target-cpu=native`, for the launcher must reach its own error message on any CPU of the target.
        .env("CARGO_ENCODED_RUSTFLAGS", anonymous_paths(manifest).join("\x1f"))
        .env("CARGO_BUILD_BUILD_DIR", build_dir)
        .env_remove("RUSTC_WORKSPACE_WRAPPER")
        .env_remove("CLIPPY_ARGS");
    let output = command.output().map_err(|e| format!("{command:?}: {e}"))?;
    if !output.status.success() {
        let log = String::from_utf8_lossy(&output.stderr);
        return Err(format!("launcher: {command:?} failed, expected a static library:\n{log}"));
    }
    let profile_dir = build_dir.join(target).join("launcher");
    let names = ["libmnc_runtime.a", "mnc_runtime.lib"];
    let archive = names.iter().map(|name| profile_dir.join(name)).find(|path| path.is_file());
    archive.ok_or_else(|| format!("{}: found no {names:?} there", profile_dir.display()))
}

/// Flags that keep the builder's folders out of panic messages, and so out of every executable.
fn anonymous_paths(manifest: &Path) -> Vec<String> {
    let home = |name| env::var_os(name).map(PathBuf::from);
    let cargo_home =
        home("CARGO_HOME").or_else(|| home("HOME").or_else(|| home("USERPROFILE")).map(|h| h.join(".cargo")));
    let runtime = manifest.parent().and_then(|folder| folder.canonicalize().ok());
    let folders = [(cargo_home, "cargo"), (runtime, "runtime")];
    let remap = |(folder, name): (Option<PathBuf>, _)| {
        folder.map(|folder| format!("--remap-path-prefix={}={name}", folder.display()))
    };
    folders.into_iter().filter_map(remap).collect()
}

/// Where rustc writes the libraries of the system that the launcher needs.
const LIBRARIES: &str = "native-libraries.txt";

fn native_libraries(build_dir: &Path) -> Result<Vec<String>, String> {
    let path = build_dir.join(LIBRARIES);
    let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let mut libraries: Vec<String> = Vec::new();
    for library in text.split_whitespace() {
        if !libraries.iter().any(|known| known == library) {
            libraries.push(library.to_string());
        }
    }
    Ok(libraries)
}

/// What the standard library keeps for link-time optimisation, which is over, and tables for unwinding, which a program
/// that aborts when it panics never does.
const DISCARD: &str = "SECTIONS { /DISCARD/ : { *(.llvmbc) *(.llvmcmd) *(.eh_frame) *(.gcc_except_table*) } } INSERT AFTER .comment;\n";

/// Links the archive into one object without debug information, local symbols, bitcode or tables for unwinding. Whether
/// that worked: it takes an ELF linker, which other targets don't have.
fn prelink(archive: &Path, object: &Path, target: &str) -> bool {
    if !target.contains("linux") {
        return false;
    }
    let script = object.with_extension("ld");
    let is_written = fs::write(&script, DISCARD).is_ok();
    let discard = format!("-Wl,-T,{}", script.display());
    // A linker that doesn't know such a script leaves them in.
    (is_written && prelink_with(archive, object, &[&discard])) || prelink_with(archive, object, &[])
}

fn prelink_with(archive: &Path, object: &Path, flags: &[&str]) -> bool {
    let compiler = env::var_os("MNC_LAUNCHER_CC").or(env::var_os("RUSTC_LINKER")).unwrap_or("cc".into());
    let command = Command::new(compiler)
        .args([
            "-r",
            "-nostdlib",
            "-Wl,--gc-sections,--undefined=main,--undefined=mnc_detecting,--undefined=mnc_prepare,--entry=main,--strip-debug,--discard-all",
        ])
        .args(flags)
        .arg(archive)
        .arg("-o")
        .arg(object)
        .output();
    command.is_ok_and(|output| output.status.success())
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("cargo sets {name} for build scripts"))
}
