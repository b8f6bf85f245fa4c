//! What was measured so far, on disk: an interrupted run goes on where it stopped.
//!
//! A measurement belongs to the bytes of the executable that was measured and to the machine. So one by another compiler, of
//! other weights or for other instructions is not taken for this one, and a compiler that writes the same bytes as before need
//! not measure again.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use mnc::Result;
use mnc::predict::Machine;
use mnc_runtime::measured::Latencies;
use mnc_runtime::measured::profile::Profile;
use serde::{Deserialize, Serialize};

use super::super::files::{self, Kind};
use super::map::Accuracy;

/// Changes when the file means something else.
const SCHEMA: u32 = 1;

/// What every measurement of a file has in common.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Conditions {
    /// As the system calls it.
    pub(super) cpu: String,
    /// That work on each inference.
    pub(super) threads: usize,
}

/// What was measured of one executable.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Record {
    /// For whoever reads the file: `mobilenet-v1 0.5@160`.
    pub(super) label: String,
    /// One process each.
    pub(super) rounds: Vec<Latencies>,
    /// Time by step.
    pub(super) profile: Option<Profile>,
    /// By the fingerprint of the pictures.
    pub(super) accuracies: BTreeMap<u64, Accuracy>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Document {
    schema: u32,
    conditions: Conditions,
    /// The limits that predictions were made with, by instruction set.
    machines: BTreeMap<String, Machine>,
    /// By the fingerprint of the executable.
    records: BTreeMap<u64, Record>,
}

/// The file and what is in it.
#[derive(Debug)]
pub(super) struct Store {
    path: PathBuf,
    document: Document,
}

impl Store {
    /// Opens the file, or begins one. Measurements under other conditions are dropped; the second value says so.
    pub(super) fn open(path: &Path, conditions: Conditions) -> Result<(Store, Option<String>)> {
        let empty = |conditions| Document {
            schema: SCHEMA,
            conditions,
            machines: BTreeMap::new(),
            records: BTreeMap::new(),
        };
        let text = match files::read_bytes(path, Kind::Measurements) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok((Store { path: path.to_owned(), document: empty(conditions) }, None));
            }
            Err(error) => return super::super::fail(path, format!("{error}, expected to read it")),
        };
        let (document, note) = match serde_json::from_slice::<Document>(&text) {
            Ok(document) if document.schema == SCHEMA && document.conditions == conditions => {
                (document, None)
            }
            Ok(document) => {
                let Conditions { cpu, threads } = document.conditions;
                let why =
                    format!("what is in it was measured on {cpu} with {threads} threads: beginning anew");
                (empty(conditions), Some(why))
            }
            Err(error) => (empty(conditions), Some(format!("{error}: beginning anew"))),
        };
        let note = note.map(|why| format!("{}: {why}", path.display()));
        Ok((Store { path: path.to_owned(), document }, note))
    }

    /// What is known of an executable.
    pub(super) fn record(&self, fingerprint: u64) -> Option<&Record> {
        self.document.records.get(&fingerprint)
    }

    /// The limits of this machine for an instruction set: those that are kept, or those that `measure` finds.
    pub(super) fn machine(
        &mut self,
        isa: &str,
        measure: impl FnOnce() -> Option<Machine>,
    ) -> Option<&Machine> {
        let machines = &mut self.document.machines;
        if !machines.contains_key(isa) {
            machines.insert(isa.to_owned(), measure()?);
        }
        machines.get(isa)
    }

    /// Keeps one more measurement, on disk at once. Older executables of the same network are forgotten.
    pub(super) fn keep(
        &mut self,
        fingerprint: u64,
        label: &str,
        change: impl FnOnce(&mut Record),
    ) -> Result<()> {
        let records = &mut self.document.records;
        records.retain(|key, record| *key == fingerprint || record.label != label);
        let record = records.entry(fingerprint).or_default();
        record.label = label.to_owned();
        change(record);
        let json = serde_json::to_vec(&self.document).expect("numbers and strings always have a JSON form");
        files::write(&self.path, &json, false)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn conditions(threads: usize) -> Conditions {
        Conditions { cpu: "Example 9000".to_owned(), threads }
    }

    #[test]
    fn measurements_survive_and_other_conditions_drop_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("measurements.json");
        let accuracy = Accuracy { top1: 50.0, top5: Some(75.5) };
        let (mut store, note) = Store::open(&path, conditions(1)).unwrap();
        assert_eq!(note, None);
        store.keep(1, "net 1.0@224", |record| record.accuracies.extend([(7, accuracy)])).unwrap();
        store.keep(2, "net 0.5@224", |_| {}).unwrap();
        let machine = Machine { fma_gflops: 100.0, reads: Vec::new() };
        assert_eq!(store.machine("isa", || None), None);
        assert_eq!(store.machine("isa", || Some(machine.clone())), Some(&machine));
        store.keep(2, "net 0.5@224", |_| {}).unwrap();

        let (mut store, note) = Store::open(&path, conditions(1)).unwrap();
        assert_eq!(note, None);
        assert_eq!(store.record(1).unwrap().accuracies[&7], accuracy);
        assert_eq!(store.machine("isa", || unreachable!("it is kept")), Some(&machine));
        // Another compiler's bytes of the same network.
        store.keep(3, "net 1.0@224", |_| {}).unwrap();
        assert_eq!((store.record(1), store.record(2).is_some()), (None, true));

        let (store, note) = Store::open(&path, conditions(2)).unwrap();
        assert!(note.unwrap().ends_with("was measured on Example 9000 with 1 threads: beginning anew"));
        assert_eq!(store.record(2), None);
    }

    #[test]
    fn what_is_no_store_is_begun_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("measurements.json");
        fs::write(&path, "{\"schema\": 1").unwrap();
        let (store, note) = Store::open(&path, conditions(1)).unwrap();
        assert!(note.unwrap().contains("beginning anew"));
        assert_eq!(store.record(1), None);
    }
}
