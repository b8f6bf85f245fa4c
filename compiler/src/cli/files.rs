//! Files of the command, in and out: inputs within the bounds of every door, some of them through pipes, and outputs that never
//! take the place of an input.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

pub(super) use mnc::files::Kind;
use mnc::{Error, ErrorKind, Place, Result};
use mnc_runtime::files::{self, Failure, Rename, Witness};
pub(super) use mnc_runtime::files::{Output, folder, is_stream, same_file};

use super::guard;

/// Whether a pipe will do: what is small, and read once.
fn may_be_piped(kind: Kind) -> bool {
    matches!(kind, Kind::Network | Kind::Labels | Kind::Names | Kind::Configuration | Kind::Schedule)
}

/// What has been read so far. The command's own measurements are no input: they are replaced by newer ones.
static INPUTS: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// A file is an input, whoever reads it.
pub(super) fn takes(path: &Path) {
    INPUTS.lock().unwrap_or_else(PoisonError::into_inner).push(path.to_owned());
}

/// The bytes of an input.
pub(super) fn read_bytes(path: &Path, kind: Kind) -> io::Result<Vec<u8>> {
    if kind != Kind::Measurements {
        takes(path);
    }
    match may_be_piped(kind) {
        true => files::read_or_pipe(path, kind.most_bytes()),
        false => mnc::files::read(path, kind),
    }
}

/// The bytes of an input; the error names the file.
pub(super) fn read(path: &Path, kind: Kind) -> Result<Vec<u8>> {
    read_bytes(path, kind)
        .or_else(|error| super::fail(path, format!("{error}, expected {}", kind.expected())))
}

/// The text of an input.
pub(super) fn read_text(path: &Path, kind: Kind) -> Result<String> {
    String::from_utf8(read(path, kind)?).or_else(|error| {
        let at = error.utf8_error().valid_up_to();
        let detail = format!("found a byte that is not UTF-8 at offset {at}, expected {}", kind.expected());
        super::fail(path, detail)
    })
}

/// Fails if a file to write is one that has been read, by this name, through a link or by another name.
pub(super) fn check_not_read(place: &str, path: &Path) -> Result<()> {
    let inputs = INPUTS.lock().unwrap_or_else(PoisonError::into_inner);
    if inputs.iter().any(|input| same_file(path, input)) {
        return super::usage(place, format!("{} is an input, expected another file", path.display()));
    }
    Ok(())
}

/// Writes one file, whole or not at all.
pub(super) fn write(path: &Path, bytes: &[u8], is_executable: bool) -> Result<()> {
    write_set(&[Output { path, bytes, is_executable }])
}

/// Writes a set of files, whole or not at all.
pub(super) fn write_set(outputs: &[Output<'_>]) -> Result<()> {
    outputs.iter().try_for_each(|output| check_not_read("-o", output.path))?;
    for output in outputs {
        // Only `-o FOLDER/` names one that isn't there.
        std::fs::create_dir_all(folder(output.path)).map_err(|error| unwritten(output.path, &error))?;
    }
    files::write_set(outputs, &mut Guard).map_err(|Failure { path, error }| unwritten(&path, &error))
}

/// Writes a file into a folder of our own, where nobody else looks and nothing outlasts this process.
pub(super) fn write_scratch(path: &Path, bytes: &[u8], is_executable: bool) -> Result<()> {
    let write = || {
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, if is_executable { 0o700 } else { 0o600 });
        io::Write::write_all(&mut options.open(path)?, bytes)
    };
    let _ = is_executable;
    write().map_err(|error| unwritten(path, &error))
}

fn unwritten(path: &Path, error: &io::Error) -> Error {
    Error::new(ErrorKind::Io, Place::file(path), format!("{error}, expected to write it"))
}

/// Tells the guard of temporary files.
struct Guard;

impl Witness for Guard {
    fn begins(&mut self, temporary: &Path, make: impl FnOnce() -> io::Result<File>) -> io::Result<File> {
        guard::file_begins(temporary, make)
    }

    fn commits<T>(&mut self, renames: &[Rename], commit: impl FnOnce() -> T) -> T {
        guard::renames_begin(renames, commit)
    }

    fn ends(&mut self, renames: &[Rename]) {
        renames.iter().for_each(|rename| guard::file_ends(&rename.from));
    }
}
