//! Weights are the only long input: what can be told from their start is told before the rest is in memory.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::Path;

use mnc_runtime::files;
use serde::Deserialize;

use crate::weights::START_BYTES;

/// Shorter files are read at once.
const LONG: u64 = 64 << 20;

/// The format's own bound on its header.
const MOST_HEADER_BYTES: u64 = 100_000_000;

/// A tensor, as far as it says where the file ends.
#[derive(Deserialize)]
struct Entry {
    data_offsets: Option<(u64, u64)>,
}

/// The bytes of a safetensors file. Of a long one that isn't what its start says only the start is handed back: who reads the
/// header says what is wrong with it.
pub(super) fn read(path: &Path, most_bytes: u64) -> io::Result<Vec<u8>> {
    let (file, len) = files::open(path)?;
    if LONG < len && len <= most_bytes {
        let mut start = Vec::new();
        (&file).take(START_BYTES as u64).read_to_end(&mut start)?;
        let header = start.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        if header == 0 || MOST_HEADER_BYTES < header {
            return Ok(start);
        }
        (&file).take((8 + header).saturating_sub(start.len() as u64)).read_to_end(&mut start)?;
        start.truncate(8 + header as usize);
        let Ok(entries) = serde_json::from_slice::<BTreeMap<String, Entry>>(&start[8..]) else {
            return Ok(start);
        };
        let end = entries.values().filter_map(|entry| entry.data_offsets).map(|(_, end)| end).max();
        let expected = end.unwrap_or(0).saturating_add(8 + header);
        if expected != len {
            return Err(io::Error::other(format!("found {len} bytes, its header says {expected}")));
        }
    }
    drop(file);
    files::read(path, most_bytes)
}
