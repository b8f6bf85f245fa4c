//! Files that lie in memory.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use crate::files::Kind;
use crate::request::Files;

/// Files in memory.
#[derive(Default)]
pub(in super::super) struct Memory(pub(in super::super) BTreeMap<PathBuf, Vec<u8>>);

impl Files for Memory {
    fn is_file(&self, path: &Path) -> bool {
        self.0.contains_key(path)
    }

    fn folder(&self, path: &Path) -> Option<Vec<String>> {
        let below = self.0.keys().filter_map(|file| file.strip_prefix(path).ok());
        let first = |file: &Path| Some(file.iter().next()?.to_str()?.to_owned());
        let mut names: Vec<String> = below.filter_map(first).collect();
        names.dedup();
        (!names.is_empty()).then_some(names)
    }

    fn start(&self, path: &Path) -> Vec<u8> {
        self.0.get(path).cloned().unwrap_or_default()
    }

    fn read(&mut self, path: &Path, _: Kind) -> io::Result<Vec<u8>> {
        self.0.get(path).cloned().ok_or_else(|| io::Error::other("found no such file"))
    }
}
