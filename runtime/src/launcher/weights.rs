//! The weights file of a network whose weights aren't in its executable: where it is, and its bytes in memory.

use crate::abi::Status;
use crate::files;
use crate::info::WeightsFile;
use memmap2::MmapMut;
use std::env;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// The file that the user named, else the one beside the executable.
pub(crate) fn find(named: Option<&Path>, wanted: &WeightsFile) -> Result<PathBuf, String> {
    if let Some(named) = named {
        return Ok(named.to_owned());
    }
    let program = env::current_exe().map_err(|e| format!("{e}, expected to know where the executable is"))?;
    let path = program.with_file_name(&wanted.file);
    if path.is_file() {
        return Ok(path);
    }
    Err(format!("{}: not found, expected the network's weights there, or --weights FILE", path.display()))
}

/// Reads the file into memory that begins with a page. It isn't mapped: a file that another program cuts or writes meanwhile
/// would end this one by a signal, or change its answers. A file of another length isn't read at all.
pub(crate) fn read(path: &Path, wanted: &WeightsFile) -> Result<MmapMut, String> {
    let place = |e: io::Error| format!("{}: {e}, expected the network's weights", path.display());
    let (mut file, len) = files::open(path).map_err(place)?;
    if len != wanted.bytes {
        return Err(wrong(path, len, wanted));
    }
    let mut bytes = MmapMut::map_anon(len.max(1) as usize).map_err(place)?;
    #[cfg(target_os = "linux")]
    let _ = bytes.advise(memmap2::Advice::HugePage);
    file.read_exact(&mut bytes[..len as usize]).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => place(io::Error::other("the file was cut while it was read")),
        _ => place(error),
    })?;
    Ok(bytes)
}

/// Other weights than the network's.
pub(crate) fn wrong(path: &Path, found: u64, wanted: &WeightsFile) -> String {
    let WeightsFile { bytes, sha256, .. } = wanted;
    let why = Status::WrongWeights;
    let path = path.display();
    format!("{path}: found {found} bytes, expected {bytes} bytes, SHA-256 of the weights {sha256}: {why}")
}
