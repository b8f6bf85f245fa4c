//! The weights file of a network whose weights aren't in its executable: where it is, and its bytes in memory.

use crate::info::WeightsFile;
use memmap2::Mmap;
use std::env;
use std::fs::File;
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

/// Maps the file: processes that run the network share its pages, and those that nobody reads cost nothing.
pub(crate) fn map(path: &Path) -> Result<Mmap, String> {
    let place = |e: std::io::Error| format!("{}: {e}, expected the network's weights", path.display());
    let file = File::open(path).map_err(place)?;
    if !file.metadata().map_err(place)?.is_file() {
        return Err(format!("{}: not a plain file, expected the network's weights", path.display()));
    }
    // SAFETY: the mapping is private and only read. That nobody writes to the file while the program runs is asked of the
    // user in `--help`, as every program that maps its input must.
    unsafe { Mmap::map(&file) }.map_err(place)
}
