//! The file system as the macro sees it: paths from the folder of the user's manifest.

use std::io;
use std::path::{Path, PathBuf};

use mnc::files::Kind;
use mnc::request::{Files, read_tried};

/// Files below the user's manifest, and those of them that were read.
pub(crate) struct Manifest {
    folder: PathBuf,
    /// Absolute paths.
    pub(crate) read: Vec<PathBuf>,
}

impl Manifest {
    pub(crate) fn new() -> Manifest {
        let folder = std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(PathBuf::new, PathBuf::from);
        Manifest { folder, read: Vec::new() }
    }
}

impl Files for Manifest {
    fn is_file(&self, path: &Path) -> bool {
        self.folder.join(path).is_file()
    }

    fn read(&mut self, path: &Path, kind: Kind) -> io::Result<Vec<u8>> {
        let path = self.folder.join(path);
        let bytes = read_tried(&path, kind)?;
        self.read.push(path);
        Ok(bytes)
    }
}
