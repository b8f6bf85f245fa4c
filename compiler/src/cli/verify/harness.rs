//! A C program around a network, linked by the system's compiler or a cross compiler: for plain objects, and for targets that no
//! launcher of this `mnc` fits.

use std::env;
use std::path::PathBuf;
use std::process::Command;

use mnc::{Error, ErrorKind, Place, Result, Target};
use mnc_runtime::info::Info;
use target_lexicon::HOST;

use super::super::guard::Scratch;
use super::super::{child, files, link};

const SOURCE: &str = include_str!("harness.c");

/// What the harness is told of a plain object; an object with the launcher's hook says it by itself.
pub(super) struct Plain<'a> {
    pub(super) info: &'a Info,
}

/// Links the object with the harness in `folder`; the name of the files is `name`.
///
/// # Errors
/// No compiler for the target, and what it refuses.
pub(super) fn link(
    object: &[u8],
    plain: Option<Plain<'_>>,
    target: &Target,
    folder: &Scratch,
    name: &str,
) -> Result<PathBuf> {
    let is_host = target.triple.architecture == HOST.architecture;
    if !is_host && env::var_os("CC").is_none() {
        return Err(no_compiler(target));
    }
    let [source, object_path, program] =
        ["c", "o", "run"].map(|ending| folder.join(&format!("{name}.{ending}")));
    files::write_scratch(&source, SOURCE.as_bytes(), false)?;
    files::write_scratch(&object_path, object, false)?;
    let mut words = link::compiler();
    let compiler = words.remove(0);
    let mut command = Command::new(&compiler);
    command.args(words).args(["-std=c11", "-D_POSIX_C_SOURCE=200809L", "-O1", "-o"]);
    command.arg(&program).arg(&source).arg(&object_path).args(["-pthread", "-lm"]);
    if !is_host {
        // The emulator needs no libraries of the other system then.
        command.arg("-static");
    }
    if let Some(Plain { info }) = plain {
        let output: usize = info.output.shape.iter().product();
        command.arg(format!("-DNAME={}", info.name));
        command.arg(format!("-DINPUT_LEN={}", info.batch * info.input.len()));
        command.arg(format!("-DOUTPUT_LEN={}", info.batch * output));
        command.arg(format!("-DWORKSPACE_BYTES={}", info.workspace_bytes));
        command.args(info.weights_file.as_ref().map(|_| "-DBIND"));
    }
    let place = compiler.to_string_lossy().into_owned();
    let ended = child::run(&mut command, link::time_limit()?).map_err(|error| {
        let detail = format!("{error}, expected a C compiler for {}, in CC if it isn't cc", target.triple);
        Error::new(ErrorKind::Io, Place::named(&*place), detail)
    })?;
    if !ended.status.is_some_and(|status| status.success()) || !program.is_file() {
        let status = ended.status.map_or("stopped after too long".to_owned(), |status| status.to_string());
        let line = ended.log.iter().find(|line| line.contains("error")).or(ended.log.first());
        let detail = format!(
            "it made no program for {} ({status}): {}; expected a C compiler for that target in CC",
            target.triple,
            line.map_or("", String::as_str)
        );
        return Err(Error::new(ErrorKind::Io, Place::named(&*place), detail));
    }
    Ok(program)
}

/// For a target that can't be linked without one.
pub(super) fn no_compiler(target: &Target) -> Error {
    let architecture = target.triple.architecture.to_string().replace("riscv64gc", "riscv64");
    let detail = format!(
        "found no program to put around a network for {}, expected a cross compiler in CC, such as \
         CC={architecture}-linux-gnu-gcc",
        target.triple
    );
    Error::new(ErrorKind::Options, Place::flag("--target"), detail)
}
