//! Hostile input: for each reader of files a function that takes any bytes and must not panic, seeds that it accepts, and
//! mutations of them. `tests/fuzz.rs` runs a bounded number of each; libFuzzer runs the same functions (`fuzz/`).

mod binary;
mod mutate;
mod network;
mod quantised;
mod shards;
mod text;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::random::Random;
use crate::{each, need};

/// A reader under attack.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// The folder of its seeds in `tests/corpus`, too.
    pub name: &'static str,
    /// Takes any bytes; whether it accepted them. A panic is a fault.
    pub run: fn(&[u8]) -> bool,
    /// Inputs that it accepts, beside those in the folder.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// What to put into a text; none for bytes.
    pub words: &'static [&'static str],
    /// How many inputs a test run tries.
    pub n_inputs: usize,
}

/// Every reader of what somebody else may have written.
pub const TARGETS: [Target; 14] = [
    text::DESCRIPTION,
    text::CONFIG,
    text::PREPROCESSOR,
    text::SCHEDULE,
    text::MANIFEST,
    text::NAMES,
    shards::INDEX_OF_SHARDS,
    binary::SAFETENSORS,
    binary::INT8,
    quantised::QUANTISED,
    binary::WEIGHTS_FILE,
    binary::OBJECT,
    binary::PICTURE,
    network::NETWORK,
];

/// The reader of that name.
///
/// # Panics
/// When there is none.
pub fn target(name: &str) -> &'static Target {
    TARGETS.iter().find(|target| target.name == name).unwrap_or_else(|| panic!("{name} is no target"))
}

/// What a campaign saw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Inputs that were run, seeds included.
    pub n_inputs: usize,
    /// Those of them that were accepted.
    pub n_accepted: usize,
}

impl Target {
    /// The seeds: those of the folder, by name, then those that are made here.
    ///
    /// # Panics
    /// When the folder can't be read.
    pub fn corpus(&self) -> Vec<Vec<u8>> {
        let folder = need::workspace().join("tests/corpus").join(self.name);
        let mut files: Vec<PathBuf> = Vec::new();
        if folder.is_dir() {
            let entries = std::fs::read_dir(&folder).expect("the folder can be read");
            files.extend(entries.map(|entry| entry.expect("the entry can be read").path()));
        }
        files.sort();
        let read = |path: &PathBuf| std::fs::read(path).expect("the seed can be read");
        files.iter().map(read).chain((self.seeds)()).collect()
    }

    /// The input of that number: it depends on nothing but the number and the seeds.
    pub fn input(&self, corpus: &[Vec<u8>], number: u64) -> Vec<u8> {
        mutate::mutate(&mut Random::new(number ^ 0x6675_7a7a_0000), corpus, self.words)
    }

    /// Runs the seeds, then the inputs `from..from + n`, on all processors.
    ///
    /// # Panics
    /// When the reader does; the input lies in `folder` then, and its number is told.
    pub fn campaign(&self, folder: &Path, from: u64, n: usize) -> Outcome {
        const CHUNK: usize = 256;
        let corpus = self.corpus();
        assert!(!corpus.is_empty(), "{} has no seed", self.name);
        let accepted = AtomicUsize::new(0);
        let run = |what: &str, bytes: &[u8]| {
            let found = std::panic::catch_unwind(|| (self.run)(bytes));
            match found {
                Ok(is_accepted) => _ = accepted.fetch_add(usize::from(is_accepted), Ordering::Relaxed),
                Err(panic) => {
                    let path = folder.join(format!("{}-{what}", self.name));
                    std::fs::write(&path, bytes)
                        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                    eprintln!("{}, input {what}: panicked on the bytes in {}", self.name, path.display());
                    std::panic::resume_unwind(panic);
                }
            }
        };
        corpus.iter().enumerate().for_each(|(idx, bytes)| run(&format!("seed-{idx}"), bytes));
        let chunks: Vec<usize> = (0..n).step_by(CHUNK).collect();
        each(&chunks, |start| {
            for idx in *start..n.min(start + CHUNK) {
                let number = from + idx as u64;
                run(&number.to_string(), &self.input(&corpus, number));
            }
        });
        Outcome { n_inputs: corpus.len() + n, n_accepted: accepted.into_inner() }
    }
}
