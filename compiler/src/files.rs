//! Inputs of every door (the command, the macro, build scripts): what a file is read for, and with which bound.
//!
//! In: a path, and the kind of file that is expected there. Out: its bytes. A FIFO or a device is refused without waiting for it,
//! and a file's length is known before its content is read. No stage of the pipeline calls this: they take bytes and text.

mod weights;

use std::io::{self, Read};
use std::path::Path;

use crate::weights::START_BYTES;

/// What a file is read for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A description in TOML.
    Network,
    /// A safetensors file.
    Weights,
    /// Names of outputs, or labels of pictures.
    Labels,
    /// What the tensors of weights are called.
    Names,
    /// The JSON beside weights.
    Configuration,
    /// What `--tune` wrote.
    Schedule,
    /// The JSON beside artefacts.
    Manifest,
    /// An object, a library or an executable.
    Artefact,
    /// What `mnc explore` measured.
    Measurements,
}

impl Kind {
    /// No honest file is longer.
    pub fn most_bytes(self) -> u64 {
        match self {
            Kind::Network | Kind::Schedule => 1 << 20,
            Kind::Configuration | Kind::Names => 16 << 20,
            Kind::Labels | Kind::Manifest => 64 << 20,
            Kind::Measurements => 1 << 30,
            // Weights of a network are at most 4 GiB, and executables have theirs inside.
            Kind::Weights | Kind::Artefact => 5 << 30,
        }
    }

    /// What an error says was expected.
    pub fn expected(self) -> &'static str {
        match self {
            Kind::Network => "a description in TOML",
            Kind::Weights => "a safetensors file",
            Kind::Labels => "a text file",
            Kind::Names => "a file of names",
            Kind::Configuration => "a JSON file",
            Kind::Schedule => "a schedule that `mnc compile --tune` wrote",
            Kind::Manifest => "a manifest",
            Kind::Artefact => "what `mnc compile` wrote",
            Kind::Measurements => "what was measured before",
        }
    }
}

/// The bytes of an input.
///
/// # Errors
/// What can't be opened, isn't a plain file, is longer than the kind allows, or needs more memory than there is.
pub fn read(path: &Path, kind: Kind) -> io::Result<Vec<u8>> {
    match kind {
        Kind::Weights => weights::read(path, kind.most_bytes()),
        _ => mnc_runtime::files::read(path, kind.most_bytes()),
    }
}

/// The first bytes of a plain file, enough to tell what it is; none where there is no such file.
pub fn start(path: &Path) -> Vec<u8> {
    let mut start = Vec::new();
    if let Ok((file, _)) = mnc_runtime::files::open(path)
        && file.take(START_BYTES as u64).read_to_end(&mut start).is_err()
    {
        start.clear();
    }
    start
}

/// The names of a folder's files, sorted; `None` where it is no folder that can be read.
pub fn folder(path: &Path) -> Option<Vec<String>> {
    let entries = std::fs::read_dir(path).ok()?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut names: Vec<String> = names.collect();
    names.sort();
    Some(names)
}
