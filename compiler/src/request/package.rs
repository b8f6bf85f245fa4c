//! The files of a cargo package, as the macro and build scripts name them: by paths from its folder.

use std::io;
use std::path::{Path, PathBuf};

use super::Files;
use crate::files::{self, Kind};

/// Files below a package's folder, and those of them that were read.
#[derive(Clone, Debug)]
pub struct Package {
    folder: PathBuf,
    /// With the folder, in the order in which they were read.
    pub read: Vec<PathBuf>,
}

impl Package {
    /// Nothing is read yet.
    pub fn new(folder: impl Into<PathBuf>) -> Package {
        Package { folder: folder.into(), read: Vec::new() }
    }
}

impl Files for Package {
    fn is_file(&self, path: &Path) -> bool {
        self.folder.join(path).is_file()
    }

    fn folder(&self, path: &Path) -> Option<Vec<String>> {
        files::folder(&self.folder.join(path))
    }

    fn start(&self, path: &Path) -> Vec<u8> {
        files::start(&self.folder.join(path))
    }

    fn read(&mut self, path: &Path, kind: Kind) -> io::Result<Vec<u8>> {
        let path = self.folder.join(path);
        let bytes = files::read(&path, kind).map_err(|error| tried(&error, &path))?;
        // Weights are read twice where they tell the network.
        if !self.read.contains(&path) {
            self.read.push(path);
        }
        Ok(bytes)
    }
}

/// In our words, with the place where the file was looked for: an error of the file system begins with a capital letter and ends
/// with a number.
fn tried(error: &io::Error, path: &Path) -> io::Error {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or("");
    let (first, rest) = text.split_at(text.chars().next().map_or(0, char::len_utf8));
    io::Error::new(error.kind(), format!("{}{rest}, tried {}", first.to_lowercase(), path.display()))
}
