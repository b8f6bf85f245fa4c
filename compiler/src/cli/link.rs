//! Object + launcher -> executable, object -> shared library, by the system's C compiler.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use mnc::emit::launcher::{Launcher, launcher_for};
use mnc::target::ObjectFormat;
use mnc::{Error, ErrorKind, Result, Target};

/// The launcher for a target.
///
/// # Errors
/// A target that this `mnc` has no launcher for.
pub(super) fn launcher(target: &Target) -> Result<&'static Launcher> {
    let triple = target.triple.to_string();
    match launcher_for(&triple) {
        Some(launcher) => Ok(launcher),
        None => super::usage(
            "--emit exe",
            format!(
                "this mnc makes executables for {} only, not for {triple}: use --emit obj,header and link the object with a \
                 cross compiler",
                target_lexicon::HOST
            ),
        ),
    }
}

/// The bytes of the executable. `verbose` shows the command.
pub(super) fn link(object: &[u8], launcher: &Launcher, verbose: bool) -> Result<Vec<u8>> {
    let program = if launcher.is_archive { "liblauncher.a" } else { "launcher.o" };
    let files = [("network.o", object), (program, launcher.bytes)];
    run_compiler(&files, verbose, |command| {
        command.args(launcher.libraries).args(flags(launcher.triple));
    })
}

/// The bytes of a shared library called `file_name`, which needs no other: it exports what the object does.
///
/// # Errors
/// A target for which there is nothing to link with, and what the linker refuses.
pub(super) fn shared(object: &[u8], file_name: &str, target: &Target, verbose: bool) -> Result<Vec<u8>> {
    let triple = &target.triple;
    let place = "--emit cdylib";
    let is_host = triple.architecture == target_lexicon::HOST.architecture
        && triple.operating_system == target_lexicon::HOST.operating_system;
    let format = target.object_format();
    if format == ObjectFormat::Coff || (format == ObjectFormat::MachO && !is_host) {
        let how = "use --emit obj,header and link the object there";
        return super::usage(place, format!("shared libraries for {triple} aren't made here: {how}"));
    }
    if !is_host && env::var_os("CC").is_none() {
        let architecture = triple.architecture.to_string().replace("riscv64gc", "riscv64");
        let compiler = format!("CC={architecture}-linux-gnu-gcc");
        let detail = format!("for {triple}, expected a cross compiler in CC, such as {compiler}");
        return super::usage(place, detail);
    }
    run_compiler(&[("network.o", object)], verbose, |command| {
        match format {
            ObjectFormat::MachO => {
                command.arg("-dynamiclib").arg(format!("-Wl,-install_name,@rpath/{file_name}"))
            }
            ObjectFormat::Elf | ObjectFormat::Coff => command
                .args(["-shared", "-nostdlib", "-Wl,--no-undefined,-z,text,-z,noexecstack,--build-id=none"])
                .arg(format!("-Wl,-soname,{file_name}")),
        };
    })
}

/// Runs the C compiler over those files in a folder of their own and reads what it wrote.
fn run_compiler(files: &[(&str, &[u8])], verbose: bool, flags: impl Fn(&mut Command)) -> Result<Vec<u8>> {
    let folder = tempfile::Builder::new().prefix("mnc-").tempdir().map_err(|error| {
        Error::new(
            ErrorKind::Io,
            env::temp_dir().display().to_string(),
            format!("{error}, expected to write there"),
        )
    })?;
    let linked = folder.path().join("linked");
    let mut compiler = compiler();
    let name = compiler.remove(0);
    let mut command = Command::new(&name);
    command.args(&compiler).arg("-o").arg(&linked);
    for (file, bytes) in files {
        let path = folder.path().join(file);
        super::output::write(&path, bytes, false)?;
        command.arg(path);
    }
    flags(&mut command);
    if verbose {
        eprintln!("{command:?}");
    }
    let place = name.to_string_lossy();
    let output = command.output().map_err(|error| missing(&place, &error))?;
    if !output.status.success() {
        let log = String::from_utf8_lossy(&output.stderr);
        let log: String = log.lines().map(|line| format!("\n  {line}")).collect();
        return Err(Error::new(ErrorKind::Emit, place, format!("the link failed ({}){log}", output.status)));
    }
    std::fs::read(&linked)
        .map_err(|error| Error::new(ErrorKind::Emit, place, format!("{error}, expected it to write a file")))
}

/// Small, and the same bytes for the same input. Cranelift's objects don't say that they need no executable stack.
fn flags(triple: &str) -> &'static [&'static str] {
    if triple.contains("apple") {
        &["-Wl,-dead_strip", "-Wl,-x"]
    } else {
        &["-Wl,--gc-sections,-s,-z,noexecstack,--build-id=none"]
    }
}

/// `CC`, with its arguments, or `cc`.
fn compiler() -> Vec<OsString> {
    let words: Vec<OsString> =
        env::var("CC").unwrap_or_default().split_whitespace().map(OsString::from).collect();
    if words.is_empty() { vec!["cc".into()] } else { words }
}

/// Whether there is something to link with.
pub(super) fn has_compiler() -> bool {
    let name = &compiler()[0];
    let is_there = |path: PathBuf| path.is_file() || path.with_extension("exe").is_file();
    if Path::new(name).components().count() > 1 {
        return is_there(name.into());
    }
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|folder| is_there(folder.join(OsStr::new(name))))
}

fn missing(name: &str, error: &io::Error) -> Error {
    let how = match env::consts::OS {
        "macos" => "`xcode-select --install`",
        _ => {
            "`apt-get install gcc` on Debian and Ubuntu, `dnf install gcc` on Fedora, `apk add gcc musl-dev` on Alpine"
        }
    };
    let detail = format!(
        "{error}: executables and shared libraries are linked by a C compiler, install one ({how}), or name one in CC, or use --emit obj,header"
    );
    Error::new(ErrorKind::Emit, name, detail)
}
