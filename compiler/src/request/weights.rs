//! The files of a checkpoint: one, or the shards that an index names, in a folder or in Hugging Face's cache.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{Files, Numbers, Request, download};
use crate::error::{Error, ErrorKind, Faults, Place, Result, quoted};
use crate::files::Kind;
use crate::weights::Weights;

/// How an index of shards ends.
const INDEX: &str = ".safetensors.index.json";
/// Honest checkpoints of networks as small as these have one file, or a few.
const MOST_SHARDS: usize = 1000;

/// Of an index what is needed.
#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// A request whose weights are a file: a folder stands for what lies in it, a shard for its index.
///
/// # Errors
/// A folder without weights.
pub(crate) fn located(request: &Request, files: &mut impl Files) -> Result<Request> {
    let mut request = request.clone();
    if let Numbers::File(path) = &request.numbers {
        request.numbers = Numbers::File(locate(path, files)?);
    }
    Ok(request)
}

fn locate(path: &Path, files: &mut impl Files) -> Result<PathBuf> {
    if files.folder(path).is_some() {
        let folder = snapshot(path, files)?;
        let names = files.folder(&folder).unwrap_or_default();
        return download::weights_in(&folder, &names);
    }
    let index = shard_of(path).map(|(stem, ..)| path.with_file_name(format!("{stem}{INDEX}")));
    Ok(index.filter(|index| files.is_file(index)).unwrap_or_else(|| path.to_owned()))
}

/// The folder of files that a repository in Hugging Face's cache stands for; any other folder is itself.
///
/// # Errors
/// A repository of which it isn't clear which revision is meant.
pub(super) fn snapshot(folder: &Path, files: &mut impl Files) -> Result<PathBuf> {
    let snapshots = folder.join("snapshots");
    let Some(revisions) = files.folder(&snapshots) else { return Ok(folder.to_owned()) };
    if files.folder(&folder.join("blobs")).is_none() && files.folder(&folder.join("refs")).is_none() {
        return Ok(folder.to_owned());
    }
    let main = folder.join("refs/main");
    if files.is_file(&main) {
        let revision = files.text(&main, Kind::Configuration)?;
        if revisions.iter().any(|name| name == revision.trim()) {
            return Ok(snapshots.join(revision.trim()));
        }
    }
    match &revisions[..] {
        [only] => Ok(snapshots.join(only)),
        _ => {
            let detail = format!(
                "found {} revisions and none that refs/main names, expected one: name its folder in snapshots",
                revisions.len()
            );
            Err(Error::new(ErrorKind::Io, Place::file(folder), detail))
        }
    }
}

/// The stem, number and count of a shard: `model-00001-of-00003.safetensors`.
fn shard_of(path: &Path) -> Option<(String, usize, usize)> {
    let name = path.file_name()?.to_str()?.strip_suffix(".safetensors")?;
    let (start, count) = name.rsplit_once("-of-")?;
    let (stem, number) = start.rsplit_once('-')?;
    let digits = |text: &str| match text.len() {
        5 => text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit())),
        _ => None,
    };
    Some((stem.to_owned(), digits(number)?, digits(count)?))
}

/// Whether a file of this name has a part of a checkpoint.
pub(super) fn is_shard(name: &str) -> bool {
    shard_of(Path::new(name)).is_some()
}

/// Whether a file of this name is an index of shards.
pub(super) fn is_index(name: &str) -> bool {
    name.ends_with(INDEX)
}

/// The files that hold a checkpoint, an index first if it has one; and for an index which tensor lies in which.
struct Parts {
    paths: Vec<PathBuf>,
    index: Option<Index>,
}

fn parts(path: &Path, files: &mut impl Files) -> Result<Parts> {
    if path.to_str().is_some_and(is_index) {
        let index = read_index(path, files)?;
        let names: BTreeSet<&String> = index.weight_map.values().collect();
        let paths = names.into_iter().map(|name| path.with_file_name(name)).collect();
        return Ok(Parts { paths, index: Some(index) });
    }
    // Shards without an index are told by their names.
    let paths = match shard_of(path) {
        Some((stem, _, count)) if (2..=MOST_SHARDS).contains(&count) => {
            let name = |number| path.with_file_name(format!("{stem}-{number:05}-of-{count:05}.safetensors"));
            (1..=count).map(name).collect()
        }
        Some(_) | None => vec![path.to_owned()],
    };
    Ok(Parts { paths, index: None })
}

fn read_index(path: &Path, files: &mut impl Files) -> Result<Index> {
    let wrong = |detail: String| Error::new(ErrorKind::Weights, Place::file(path), detail);
    let text = files.text(path, Kind::Configuration)?;
    let index: Index = serde_json::from_str(&text)
        .map_err(|error| wrong(format!("found {error}, expected an index of shards with a `weight_map`")))?;
    let names: BTreeSet<&String> = index.weight_map.values().collect();
    if !(1..=MOST_SHARDS).contains(&names.len()) {
        return Err(wrong(format!("found {} shards, expected 1 to {MOST_SHARDS}", names.len())));
    }
    for name in names {
        let is_plain = Path::new(name).components().count() == 1 && !name.contains(['/', '\\']);
        if !is_plain || name.starts_with("..") || name.is_empty() || name == "." {
            return Err(wrong(format!(
                "found the shard {}, expected a file in the same folder",
                quoted(name)
            )));
        }
        if !files.is_file(&path.with_file_name(name)) {
            let detail =
                format!("found no file {} beside it, which it names: download all shards", quoted(name));
            return Err(wrong(detail));
        }
    }
    Ok(index)
}

/// Every file that reading a checkpoint reads.
///
/// # Errors
/// An index that can't be read, or is not what it should be.
pub(crate) fn weight_files(path: &Path, files: &mut impl Files) -> Result<Vec<PathBuf>> {
    let parts = parts(path, files)?;
    let index = parts.index.is_some().then(|| path.to_owned());
    Ok(index.into_iter().chain(parts.paths).collect())
}

/// Reads a checkpoint.
///
/// # Errors
/// A file that can't be read, or is not what it should be; shards that don't have what their index says.
pub(crate) fn weights(path: &Path, files: &mut impl Files) -> Result<Weights<'static>> {
    let Parts { paths, index } = parts(path, files)?;
    let mut left = Kind::Weights.most_bytes();
    let mut shards = Vec::new();
    for part in &paths {
        let bytes = files.bytes(part, Kind::Weights)?;
        left = left.checked_sub(bytes.len() as u64).ok_or_else(|| {
            let detail =
                format!("found shards of more than {} bytes, expected less", Kind::Weights.most_bytes());
            Error::new(ErrorKind::Weights, Place::file(path), detail)
        })?;
        shards.push(Weights::parse(Cow::Owned(bytes), &part.display().to_string())?);
    }
    if shards.len() == 1 && index.is_none() {
        return Ok(shards.remove(0));
    }
    if let Some(index) = &index {
        check_places(path, index, &paths, &shards)?;
    }
    Weights::join(&path.display().to_string(), shards)
}

/// Each tensor that the index names is in its shard.
fn check_places(path: &Path, index: &Index, paths: &[PathBuf], shards: &[Weights<'_>]) -> Result<()> {
    let mut faults = Faults::new(ErrorKind::Weights);
    let missing = index.weight_map.iter().filter(|(tensor, shard)| {
        let of = paths.iter().position(|part| part.file_name().is_some_and(|name| name == shard.as_str()));
        of.is_none_or(|of| shards[of].shape(tensor).is_none())
    });
    let missing: Vec<(&String, &String)> = missing.collect();
    if let Some((tensor, shard)) = missing.first() {
        let detail = format!(
            "found no tensor {} in {}, where the index says it is, nor {} others where it says: download all again",
            quoted(tensor),
            quoted(shard),
            missing.len() - 1
        );
        faults.push(Place::file(path), detail);
    }
    faults.propagate()
}
