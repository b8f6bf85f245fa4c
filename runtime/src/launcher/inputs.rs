//! Paths as typed -> files in order, and a file -> the network's input.

use super::picture::{Decoded, Format, HEAD_BYTES, Memory, Picture, unreadable};
use super::prepare::Prepare;
use crate::pictures::{ENDINGS, is_picture};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// The endings of files that hold an input as it is.
const RAW: [&str; 3] = ["f32", "raw", "bin"];

/// The files to be answered for, and what there is to say of those that aren't.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    pub(crate) files: Vec<Listed>,
    /// A line for each folder of which files were skipped.
    pub(crate) notes: Vec<String>,
}

/// A file, or what can't be listed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) path: PathBuf,
    pub(crate) fault: Option<String>,
}

/// Replaces folders by the pictures in them, sorted, folders within folders too. A folder without a picture is a fault.
pub(crate) fn list(paths: &[PathBuf]) -> Listing {
    let mut listing = Listing::default();
    for path in paths {
        if !path.is_dir() {
            listing.files.push(Listed { path: path.clone(), fault: None });
            continue;
        }
        let n_before = listing.files.len();
        let mut skipped = BTreeMap::new();
        walk(path, &mut listing.files, &mut skipped);
        let skipped = skipped_text(&skipped);
        if listing.files.len() == n_before {
            let endings = ENDINGS.map(|ending| format!(".{ending}")).join(" ");
            let skipped = skipped.map_or(String::new(), |skipped| format!("; skipped {skipped}"));
            let fault = Some(format!("found no picture, expected files that end in {endings}{skipped}"));
            listing.files.push(Listed { path: path.clone(), fault });
        } else if let Some(skipped) = skipped {
            listing.notes.push(format!("{}: skipped {skipped}", path.display()));
        }
    }
    listing
}

/// What was left out of a folder, counted by sort.
type Skipped = BTreeMap<String, usize>;

fn walk(folder: &Path, files: &mut Vec<Listed>, skipped: &mut Skipped) {
    let entries = fs::read_dir(folder).and_then(|entries| entries.collect::<io::Result<Vec<_>>>());
    let mut entries = match entries {
        Ok(entries) => entries,
        Err(error) => {
            let fault = Some(format!("{error}, expected a folder"));
            return files.push(Listed { path: folder.to_owned(), fault });
        }
    };
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        // A link to a folder is left alone: it may lead back here.
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let path = entry.path();
        if is_folder {
            walk(&path, files, skipped);
        } else if is_picture(&path) && path.is_file() {
            files.push(Listed { path, fault: None });
        } else {
            *skipped.entry(sort(&path)).or_default() += 1;
        }
    }
}

/// What people call a file that isn't taken.
fn sort(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
    match ending {
        _ if path.is_dir() => "links to folders".to_string(),
        _ if name.starts_with("._") => "._*".to_string(),
        _ if name.starts_with('.') => "hidden".to_string(),
        Some(_) if is_picture(path) => "no plain files".to_string(),
        Some(ending) => format!(".{ending}"),
        None => "without an ending".to_string(),
    }
}

/// `3 files: .txt (1), .webp (2)`; the rest of many sorts together.
fn skipped_text(skipped: &Skipped) -> Option<String> {
    const MOST_SORTS: usize = 8;
    let n: usize = skipped.values().sum();
    let mut sorts: Vec<String> =
        skipped.iter().take(MOST_SORTS).map(|(sort, n)| format!("{sort} ({n})")).collect();
    let n_others: usize = skipped.values().skip(MOST_SORTS).sum();
    if n_others != 0 {
        sorts.push(format!("others ({n_others})"));
    }
    (n != 0).then(|| format!("{n} {}: {}", if n == 1 { "file" } else { "files" }, sorts.join(", ")))
}

/// What a file was that is in the network's input now.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// Columns and rows of the upright picture; none if the file holds an input.
    pub(crate) size: Option<(usize, usize)>,
    /// The picture, where it is wanted.
    pub(crate) picture: Option<Picture>,
    /// What the picture takes, as long as it is there.
    _memory: Memory,
}

impl Loaded {
    pub(crate) fn new(size: Option<(usize, usize)>, picture: Option<Picture>, mut memory: Memory) -> Loaded {
        memory.keep(picture.as_ref().map_or(0, |picture| picture.pixels.capacity()));
        Loaded { size, picture, _memory: memory }
    }
}

/// How a file becomes an input.
#[derive(Debug)]
pub(crate) struct Loader {
    pub(crate) prepare: Prepare,
    /// Whether the picture is wanted as well.
    pub(crate) keeps: bool,
}

impl Loader {
    /// Reads a file, or standard input for `-`, into the network's input, with so much memory. The error says what was found and
    /// expected, without the path.
    pub(crate) fn load(&self, path: &Path, input: &mut [f32], memory: Memory) -> Result<Loaded, String> {
        if path == "-" {
            memory.wait_for_turn();
            let source = Source { reader: io::stdin().lock(), len: None, is_stdin: true };
            return self.load_from(source, input, memory);
        }
        // A pipe may be named twice, and whoever writes to it may wait for an answer: each is read in its turn.
        if !fs::metadata(path).is_ok_and(|metadata| metadata.is_file()) {
            memory.wait_for_turn();
        }
        let reader = File::open(path).map_err(unreadable)?;
        let metadata = reader.metadata().map_err(unreadable)?;
        let len = metadata.is_file().then_some(metadata.len());
        if ends_in(path, &RAW) {
            raw(reader, len, input)?;
            return Ok(Loaded::new(None, None, memory));
        }
        self.load_from(Source { reader, len, is_stdin: false }, input, memory)
    }

    /// The same of a file's bytes.
    pub(crate) fn load_bytes(
        &self,
        bytes: &[u8],
        input: &mut [f32],
        memory: Memory,
    ) -> Result<Loaded, String> {
        let source = Source { reader: bytes, len: Some(bytes.len() as u64), is_stdin: false };
        self.load_from(source, input, memory)
    }

    fn load_from(
        &self,
        mut source: Source<impl Read>,
        input: &mut [f32],
        mut memory: Memory,
    ) -> Result<Loaded, String> {
        // What isn't a picture isn't read any further.
        let mut head = Vec::with_capacity(HEAD_BYTES);
        source.reader.by_ref().take(HEAD_BYTES as u64).read_to_end(&mut head).map_err(unreadable)?;
        let format = match Format::of(&head) {
            // Standard input has no name that could end in `.f32`: its length tells.
            Err(error) if source.is_stdin => {
                raw(head.chain(source.reader), None, input).map_err(|_| error)?;
                return Ok(Loaded::new(None, None, memory));
            }
            format => format?,
        };
        let bytes = memory.read(&head, source.reader, source.len)?;
        if source.is_stdin && format == Format::Pnm && bytes.len() == size_of_val(input) {
            // Three bytes of an input may look like the start of a PNM.
            raw(&*bytes, None, input)?;
            return Ok(Loaded::new(None, None, memory));
        }
        let picture = if self.keeps {
            Picture::decode(format, &bytes, &mut memory)?
        } else {
            match Picture::decode_or_rows(format, &bytes, &mut memory)? {
                Decoded::Whole(picture) => picture,
                Decoded::Rows(rows) => {
                    let size = self.prepare.fill_rows(&*rows, input, &mut memory)?;
                    return Ok(Loaded::new(Some(size), None, memory));
                }
            }
        };
        memory.give(bytes.capacity());
        drop(bytes);
        let picture = self.prepare.fill(picture, input, &mut memory)?;
        let size = Some(picture.size());
        Ok(Loaded::new(size, self.keeps.then_some(picture), memory))
    }
}

/// An open file.
struct Source<R> {
    reader: R,
    /// What a plain file says of itself. Pipes and devices say nothing, and may never end.
    len: Option<u64>,
    is_stdin: bool,
}

fn ends_in(path: &Path, endings: &[&str]) -> bool {
    let ending = path.extension().and_then(OsStr::to_str);
    ending.is_some_and(|ending| endings.iter().any(|known| known.eq_ignore_ascii_case(ending)))
}

/// Little-endian floats, exactly as many as the network takes; `len` bytes, where the file says it.
fn raw(mut source: impl Read, len: Option<u64>, input: &mut [f32]) -> Result<(), String> {
    let expected = size_of_val(input);
    let wrong = |found: &str| {
        Err(format!("found {found} bytes, expected {expected}: {} little-endian floats", input.len()))
    };
    if let Some(len) = len.filter(|len| *len != expected as u64) {
        return wrong(&len.to_string());
    }
    // One more shows that there is more.
    let mut bytes = Vec::with_capacity(expected + 1);
    source.by_ref().take(expected as u64 + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if expected < bytes.len() {
        return wrong(&format!("more than {expected}"));
    }
    if bytes.len() < expected {
        return wrong(&bytes.len().to_string());
    }
    for (value, bytes) in input.iter_mut().zip(bytes.as_chunks().0) {
        *value = f32::from_le_bytes(*bytes);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_takes_exactly_the_floats_of_the_input() {
        let bytes: Vec<u8> =
            [1.5f32, -0.0, f32::MIN_POSITIVE].into_iter().flat_map(f32::to_le_bytes).collect();
        let mut input = [0.0; 3];
        raw(&*bytes, Some(12), &mut input).unwrap();
        assert_eq!(input.map(f32::to_bits), [1.5f32, -0.0, f32::MIN_POSITIVE].map(f32::to_bits));
        let error = "found 11 bytes, expected 12: 3 little-endian floats";
        assert_eq!(raw(&bytes[1..], Some(11), &mut input), Err(error.to_string()));
        assert_eq!(raw(&bytes[1..], None, &mut input), Err(error.to_string()));
        let error = "found more than 12 bytes, expected 12: 3 little-endian floats";
        assert_eq!(raw(io::repeat(0), None, &mut input), Err(error.to_string()));
    }

    #[test]
    fn folders_are_searched_for_pictures_in_order() {
        let folder = std::env::temp_dir().join(format!("mnc-runtime-list-{}", std::process::id()));
        let inner = folder.join("b");
        fs::create_dir_all(&inner).unwrap();
        let pictures = ["c.JPG", "a.png", "d.jfif", "e.JPE", "f.WebP", "b/z.ppm"];
        let others =
            ["notes.txt", "b/input.f32", "._c.JPG", ".DS_Store", "noext", "f.tif", "b/g.TIF", "Thumbs.db"];
        for name in pictures.iter().chain(&others) {
            fs::write(folder.join(name), "").unwrap();
        }
        let named = folder.join("notes.txt");
        let listing = list(&[named.clone(), folder.clone()]);
        let empty = folder.join("empty");
        fs::create_dir_all(&empty).unwrap();
        let none = list(std::slice::from_ref(&empty));
        fs::remove_dir_all(&folder).unwrap();
        let found: Vec<PathBuf> = listing.files.into_iter().map(|file| file.path).collect();
        let in_folder =
            ["a.png", "b/z.ppm", "c.JPG", "d.jfif", "e.JPE", "f.WebP"].map(|name| folder.join(name));
        assert_eq!(found, [vec![named], in_folder.to_vec()].concat());
        let note = "skipped 8 files: ._* (1), .db (1), .f32 (1), .tif (2), .txt (1), hidden (1), without an ending (1)";
        assert_eq!(listing.notes, [format!("{}: {note}", folder.display())]);
        let fault = "found no picture, expected files that end in \
                     .jpg .jpeg .jpe .jfif .png .webp .gif .bmp .ppm .pgm .pbm .pnm .pam";
        assert_eq!(none.files, [Listed { path: empty, fault: Some(fault.to_string()) }]);
        assert!(none.notes.is_empty());
    }
}
