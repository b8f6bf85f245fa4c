//! Object + launcher -> executable, object -> shared library: by the system's C compiler, executables also by our own linker.

mod product;

use std::env;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use clap::ValueEnum;
use mnc::emit::launcher::{BareLauncher, Launcher, bare_launcher_for, launcher_for};
use mnc::emit::static_link;
use mnc::target::ObjectFormat;
use mnc::{Error, ErrorKind, Place, Result, Target};

use self::product::Product;
use super::guard::Scratch;
use super::text::tell;
use super::{child, files};

/// Who links an executable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Linker {
    /// The system's C compiler, or what CC names
    Cc,
    /// This program: a static executable of Linux, without a C library
    Internal,
}

/// A linker with the launcher that it links around a network.
#[derive(Clone, Copy, Debug)]
pub(super) enum Program {
    /// For the system's C compiler.
    Cc(&'static Launcher),
    /// For our own.
    Internal(&'static [&'static [u8]]),
}

/// The program around a target's network, by the linker that was asked for; without a wish, by the C compiler if there is one
/// for the target, and by our own if not.
///
/// # Errors
/// A target that this `mnc` has no launcher for.
pub(super) fn program(target: &Target, wish: Option<Linker>) -> Result<Program> {
    let system = launcher_for(&target.triple.to_string());
    let own = bare_launcher_for(target);
    match (wish, system, own) {
        (Some(Linker::Internal), _, Some(launcher)) => internal(launcher),
        (Some(Linker::Internal), _, None) => {
            let detail = format!(
                "internal makes executables for Linux on x86-64 and aarch64, not for {}",
                target.triple
            );
            super::usage("--linker", detail)
        }
        (Some(Linker::Cc), Some(launcher), _) => Ok(Program::Cc(launcher)),
        (None, Some(launcher), own) if own.is_none() || has_compiler() || env::var_os("CC").is_some() => {
            Ok(Program::Cc(launcher))
        }
        (None, _, Some(launcher)) => internal(launcher),
        (_, None, _) | (None, Some(_), None) => super::usage(
            "--emit exe",
            format!(
                "this mnc makes executables for {} (and with --linker internal for Linux on x86-64 and aarch64), not for {}: \
                 use --emit obj,header and link the object with a cross compiler",
                target_lexicon::HOST,
                target.triple
            ),
        ),
    }
}

fn internal(launcher: &BareLauncher) -> Result<Program> {
    match launcher.objects {
        Some(objects) => Ok(Program::Internal(objects)),
        None => super::usage(
            "--linker internal",
            format!(
                "this mnc was built without the launcher for {0}, because Rust's standard library for it was missing: build \
                 mnc again after `rustup target add {0}`",
                launcher.triple
            ),
        ),
    }
}

/// The bytes of the executable. `verbose` shows the command.
pub(super) fn link(object: &[u8], program: Program, verbose: bool) -> Result<Vec<u8>> {
    match program {
        Program::Cc(launcher) => {
            let name = if launcher.is_archive { "liblauncher.a" } else { "launcher.o" };
            let target = Target::new(launcher.triple, None)?;
            let product = Product::new(product::Kind::Executable, &target);
            run_compiler(&[("network.o", object), (name, launcher.bytes)], product, verbose, |command| {
                command.args(launcher.libraries).args(flags(launcher.triple));
            })
        }
        Program::Internal(objects) => {
            let all: Vec<&[u8]> = objects.iter().copied().chain([object]).collect();
            static_link::link(&all, "_start")
        }
    }
}

/// The launcher whose preparation of pictures a shared library for Python can have.
fn pictures_for(target: &Target) -> Option<&'static Launcher> {
    let is_elf = target.object_format() == ObjectFormat::Elf;
    launcher_for(&target.triple.to_string()).filter(|launcher| is_elf && !launcher.is_archive)
}

/// The bytes of a shared library for Python: the network named `name` and, where there is a launcher for the target, its preparation
/// of pictures as `mnc_prepare`. That part needs the system's C library.
///
/// # Errors
/// Those of [`shared`].
pub(super) fn python_library(
    object: &[u8],
    name: &str,
    file_name: &str,
    target: &Target,
    verbose: bool,
) -> Result<Vec<u8>> {
    let Some(launcher) = pictures_for(target) else { return shared(object, file_name, target, verbose) };
    let exports = format!("VERSION {{ {{ global: {name}_*; mnc_prepare; local: *; }}; }}\n");
    let files: [(&str, &[u8]); 3] =
        [("network.o", object), ("launcher.o", launcher.bytes), ("exports.map", exports.as_bytes())];
    run_compiler(&files, Product::new(product::Kind::Library, target), verbose, |command| {
        // The linker takes a file that is no object for a script.
        command
            .args(["-shared", "-nostartfiles"])
            .args(launcher.libraries)
            .arg("-Wl,--gc-sections,-s,--no-undefined,-z,text,-z,noexecstack,-z,relro,-z,now,--build-id=none")
            .arg(format!("-Wl,-soname,{file_name}"));
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
    run_compiler(&[("network.o", object)], Product::new(product::Kind::Library, target), verbose, |command| {
        match format {
            ObjectFormat::MachO => {
                command.arg("-dynamiclib").arg(format!("-Wl,-install_name,@rpath/{file_name}"))
            }
            ObjectFormat::Elf | ObjectFormat::Coff => command
                .args([
                    "-shared",
                    "-nostdlib",
                    "-Wl,--no-undefined,-z,text,-z,noexecstack,-z,relro,-z,now,--build-id=none",
                ])
                .arg(format!("-Wl,-soname,{file_name}")),
        };
    })
}

/// Runs the C compiler over those files in a folder of their own and reads what it wrote, if that is what was asked for.
fn run_compiler(
    files: &[(&str, &[u8])],
    product: Product,
    verbose: bool,
    flags: impl Fn(&mut Command),
) -> Result<Vec<u8>> {
    let folder = Scratch::new()?;
    let linked = folder.join("linked");
    let mut compiler = compiler();
    let name = compiler.remove(0);
    let mut command = Command::new(&name);
    command.args(&compiler).arg("-o").arg(&linked);
    // What the compiler needs for itself goes when the folder goes, also when the compiler is killed.
    for variable in ["TMPDIR", "TMP", "TEMP"] {
        command.env(variable, folder.path());
    }
    for (file, bytes) in files {
        let path = folder.join(file);
        files::write_scratch(&path, bytes, false)?;
        command.arg(path);
    }
    flags(&mut command);
    if verbose {
        tell(format_args!("{command:?}\n"));
    }
    let place = name.to_string_lossy();
    let fault = |detail: String| Error::new(ErrorKind::Emit, Place::named(&*place), detail);
    let limit = time_limit()?;
    let ended = child::run(&mut command, limit).map_err(|error| missing(&place, &error))?;
    let log: String = ended.log.iter().map(|line| format!("\n  {line}")).collect();
    let Some(status) = ended.status else {
        let seconds = limit.as_secs();
        return Err(fault(format!(
            "it didn't end within {seconds} s and was stopped, expected a linker ({LIMIT}=SECONDS gives it more time, \
             --linker internal does without it){log}"
        )));
    };
    if !status.success() {
        return Err(fault(format!("the link failed ({status}){log}{}", advice(&ended.log, product))));
    }
    // Whatever was written is the compiler's word; it may also have written nothing, or for ever.
    let bytes = mnc_runtime::files::read(&linked, MOST_LINKED_BYTES)
        .map_err(|error| fault(format!("{error}, expected it to write {}{log}", product.kind.name())))?;
    product::check(&bytes, product)
        .map_err(|found| fault(format!("it wrote {found}, expected {}{log}", product.kind.name())))?;
    Ok(bytes)
}

/// What goes into an executable is at most this.
const MOST_LINKED_BYTES: u64 = 5 << 30;

/// The variable that changes how long a linker may take.
const LIMIT: &str = "MNC_LINK_SECONDS";

/// Linking takes a second, and some ten of them on a busy machine.
pub(super) fn time_limit() -> Result<Duration> {
    let Some(text) = env::var_os(LIMIT) else { return Ok(Duration::from_secs(60)) };
    match text.to_str().and_then(|text| text.parse().ok()).filter(|seconds| (1..=86_400).contains(seconds)) {
        Some(seconds) => Ok(Duration::from_secs(seconds)),
        None => super::usage(LIMIT, format!("found {text:?}, expected a number of seconds from 1 to 86400")),
    }
}

/// A way out where the system lacks what the compiler looks for.
fn advice(log: &[String], product: Product) -> &'static str {
    let is_missing =
        log.iter().any(|line| line.contains("cannot find -l") || line.contains("unable to find library"));
    match product.kind {
        product::Kind::Executable if is_missing && product.has_internal => {
            "\n  a library is missing here; --linker internal links without those of the system"
        }
        _ => "",
    }
}

/// Small, the same bytes for the same input, and as hard to abuse as the system allows: at any address, with every table of
/// addresses read-only before the first instruction. Cranelift's objects don't say that they need no executable stack.
fn flags(triple: &str) -> Vec<&'static str> {
    if triple.contains("apple") {
        return vec!["-Wl,-dead_strip", "-Wl,-x"];
    }
    let mut flags = vec!["-Wl,--gc-sections,-s,-z,noexecstack,-z,relro,-z,now,--build-id=none"];
    // A user who asks for another sort of program in CC gets it.
    let kinds = ["-static", "-static-pie", "-no-pie", "-nopie", "-pie"];
    if !compiler().iter().any(|word| kinds.iter().any(|kind| word == kind)) {
        flags.push("-pie");
    }
    flags
}

/// `CC`, with its arguments, or `cc`.
pub(super) fn compiler() -> Vec<OsString> {
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
        "{error}: executables and shared libraries are linked by a C compiler, install one ({how}), or name one in CC, or \
         use --linker internal for an executable, or --emit obj,header"
    );
    Error::new(ErrorKind::Emit, Place::named(name), detail)
}
