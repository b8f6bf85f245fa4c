//! The checks before a safetensors file is believed: bytes -> nothing, or every fault of the header.
//!
//! The header says what each tensor is and where; a hostile one says what isn't there. Nothing is allocated here but in
//! proportion to the bytes of the header that are really in the file. Knows no layer and no naming.

use std::fmt;

use safetensors::Dtype;
use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::{foreign, push_listed};
use crate::error::{Error, ErrorKind, Fault, Faults, Place, Result, quoted};

/// The format's own bound on the header.
const MAX_HEADER_BYTES: usize = 100_000_000;
/// A MobileNet has a few hundred tensors. The bound keeps a header of a hundred megabytes from growing tenfold in memory.
const MAX_TENSORS: usize = 100_000;
/// The deepest tensor that we read has four axes.
const MAX_RANK: usize = 8;
/// The header's length comes first, as a little-endian u64.
pub(super) const LENGTH_BYTES: usize = 8;

/// Checks that the header is whole and that its tensors cover the data exactly: no gap, no overlap, no excess.
pub(super) fn check(bytes: &[u8], place: &str) -> Result<()> {
    if let Some(detail) = foreign::told(bytes, place) {
        return Err(Error::new(ErrorKind::Weights, Place::file(place), detail));
    }
    let wrong = |detail: String| Error::new(ErrorKind::Weights, header(place), detail);
    let Some((length, rest)) = bytes.split_first_chunk::<LENGTH_BYTES>() else {
        return Err(wrong(format!("found {} bytes, expected 8 that give the header's length", bytes.len())));
    };
    let length = u64::from_le_bytes(*length);
    let n_header_bytes = match usize::try_from(length) {
        Ok(length) if length <= MAX_HEADER_BYTES.min(rest.len()) => length,
        _ if (MAX_HEADER_BYTES as u64) < length => {
            return Err(wrong(format!("found a length of {length}, expected at most {MAX_HEADER_BYTES}")));
        }
        _ => {
            return Err(wrong(format!(
                "found a length of {length}, expected at most the {} bytes left: the file is truncated",
                rest.len()
            )));
        }
    };
    let (header, data) = rest.split_at(n_header_bytes);
    let text = std::str::from_utf8(header).map_err(|error| {
        wrong(format!("found a byte that is not UTF-8 at offset {}, expected JSON", error.valid_up_to()))
    })?;
    let mut current = None;
    let entries = parse(text, &mut current).map_err(|error| match current {
        Some(name) => Error::new(ErrorKind::Weights, tensor_place(place, &name), error.to_string()),
        None => wrong(error.to_string()),
    })?;

    let mut found = check_names(&entries, place);
    found.extend(entries.iter().filter_map(|entry| check_entry(entry, data.len(), place)));
    // Where a single tensor is wrong, so is the cover: only the cause is reported.
    if found.is_empty() {
        found.extend(check_cover(&entries, data.len(), place));
    }
    let mut faults = Faults::new(ErrorKind::Weights);
    push_listed(&mut faults, Place::file(place), found);
    faults.propagate()
}

/// How errors name a tensor of a file.
pub(super) fn tensor_place(place: &str, name: &str) -> Place {
    Place::Tensor { file: place.to_owned(), name: name.to_owned() }
}

/// How errors name the start of a file.
pub(super) fn header(place: &str) -> Place {
    Place::Entry { file: place.to_owned(), key: "header".to_owned() }
}

/// One tensor as the header describes it, nothing of it checked.
struct Entry {
    name: String,
    info: Info,
}

#[derive(Deserialize)]
#[serde(expecting = "an object with dtype, shape and data_offsets")]
struct Info {
    dtype: String,
    shape: Axes,
    data_offsets: (u64, u64),
}

/// The crate reads a JSON object into a hash map, where the last of two equal names wins; here it is a fault.
fn check_names(entries: &[Entry], place: &str) -> Vec<Fault> {
    let mut names: Vec<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
    names.sort_unstable();
    names
        .chunk_by(|a, b| a == b)
        .filter(|same| 1 < same.len())
        .map(|same| Fault {
            place: tensor_place(place, same[0]),
            detail: format!("found {} times, expected once", same.len()),
        })
        .collect()
}

/// Dtype known, size without overflow and as the offsets say, offsets inside the file.
fn check_entry(Entry { name, info }: &Entry, n_data_bytes: usize, place: &str) -> Option<Fault> {
    let fault = |detail: String| Some(Fault { place: tensor_place(place, name), detail });
    let Ok(dtype) = serde_json::from_value::<Dtype>(info.dtype.as_str().into()) else {
        return fault(format!("found dtype {}, expected F32, F64, F16 or BF16", quoted(&info.dtype)));
    };
    let (begin, end) = info.data_offsets;
    if end < begin {
        return fault(format!("found data offsets [{begin}, {end}], expected the end not before the begin"));
    }
    let n_bits = info
        .shape
        .0
        .iter()
        .try_fold(1u64, |product, &extent| product.checked_mul(extent))
        .and_then(|n_elements| n_elements.checked_mul(dtype.bitsize() as u64));
    let Some(n_bits) = n_bits else {
        return fault(format!("found shape {:?}, expected a size that fits 64 bits", info.shape.0));
    };
    if n_bits % 8 != 0 || n_bits / 8 != end - begin {
        return fault(format!(
            "found {} bytes of data, expected {} for {} {:?}",
            end - begin,
            n_bits.div_ceil(8),
            info.dtype,
            info.shape.0
        ));
    }
    if (n_data_bytes as u64) < end {
        return fault(format!(
            "ends at byte {end} of the data, found {n_data_bytes} bytes of data: the file is truncated"
        ));
    }
    None
}

/// In the order of their offsets the tensors follow each other from the first byte of the data to the last.
fn check_cover(entries: &[Entry], n_data_bytes: usize, place: &str) -> Vec<Fault> {
    let mut sorted: Vec<&Entry> = entries.iter().collect();
    sorted.sort_by_key(|entry| entry.info.data_offsets);
    let mut covered = 0;
    let mut found = Vec::new();
    for Entry { name, info } in sorted {
        let (begin, end) = info.data_offsets;
        if begin != covered {
            let what = if begin < covered { "an overlap with" } else { "a gap after" };
            found.push(Fault {
                place: tensor_place(place, name),
                detail: format!("begins at byte {begin}, {what} the tensor before it, expected {covered}"),
            });
        }
        covered = covered.max(end);
    }
    if found.is_empty() && covered != n_data_bytes as u64 {
        found.push(Fault {
            place: Place::file(place),
            detail: format!(
                "found {n_data_bytes} bytes of data, expected the {covered} that the header describes"
            ),
        });
    }
    found
}

/// Reads the header's JSON; when it fails inside a tensor, `current` has that tensor's name.
fn parse(text: &str, current: &mut Option<String>) -> serde_json::Result<Vec<Entry>> {
    let mut json = serde_json::Deserializer::from_str(text);
    let entries = Header { current }.deserialize(&mut json)?;
    json.end()?;
    Ok(entries)
}

struct Header<'c> {
    current: &'c mut Option<String>,
}

impl<'de> DeserializeSeed<'de> for Header<'_> {
    type Value = Vec<Entry>;
    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Vec<Entry>, D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Header<'_> {
    type Value = Vec<Entry>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with one entry per tensor")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vec<Entry>, A::Error> {
        let mut entries = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            if name == "__metadata__" {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            if entries.len() == MAX_TENSORS {
                return Err(A::Error::custom(format!(
                    "found more than {MAX_TENSORS} tensors, expected fewer"
                )));
            }
            *self.current = Some(name);
            let info = map.next_value()?;
            entries.push(Entry { name: self.current.take().unwrap_or_default(), info });
        }
        Ok(entries)
    }
}

/// A shape of at most [`MAX_RANK`] axes.
struct Axes(Vec<u64>);

impl<'de> Deserialize<'de> for Axes {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Axes, D::Error> {
        struct AxesVisitor;
        impl<'de> Visitor<'de> for AxesVisitor {
            type Value = Axes;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a shape: an array of whole numbers")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Axes, A::Error> {
                let mut axes = Vec::new();
                while let Some(extent) = seq.next_element()? {
                    if axes.len() == MAX_RANK {
                        return Err(A::Error::custom(format!(
                            "found more than {MAX_RANK} axes, expected fewer"
                        )));
                    }
                    axes.push(extent);
                }
                Ok(Axes(axes))
            }
        }
        json.deserialize_seq(AxesVisitor)
    }
}

#[cfg(test)]
mod tests;
