//! Paths as typed -> files in order, and a file -> its bytes.

use super::picture::Picture;
use super::prepare::Prepare;
use crate::files;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// What a folder is searched for. A file named outright may end in anything.
const PICTURES: [&str; 9] = ["jpg", "jpeg", "png", "bmp", "ppm", "pgm", "pbm", "pnm", "pam"];

/// The endings of files that hold an input as it is.
const RAW: [&str; 3] = ["f32", "raw", "bin"];

/// The longest file that is read: compressed, it is smaller than what [`Picture`] allows.
const MAX_FILE_BYTES: u64 = 512 << 20;

/// Replaces folders by the pictures in them, sorted, folders within folders too. What can't be listed takes its place
/// as an error.
pub(crate) fn list(paths: &[PathBuf]) -> Vec<Result<PathBuf, String>> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            walk(path, &mut files);
        } else {
            files.push(Ok(path.clone()));
        }
    }
    files
}

fn walk(folder: &Path, files: &mut Vec<Result<PathBuf, String>>) {
    let entries = fs::read_dir(folder).and_then(|entries| entries.collect::<io::Result<Vec<_>>>());
    let mut entries = match entries {
        Ok(entries) => entries,
        Err(error) => return files.push(Err(format!("{}: {error}, expected a folder", folder.display()))),
    };
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        // A link to a folder is left alone: it may lead back here.
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let path = entry.path();
        if is_folder {
            walk(&path, files);
        } else if ends_in(&path, &PICTURES) && path.is_file() {
            files.push(Ok(path));
        }
    }
}

fn ends_in(path: &Path, endings: &[&str]) -> bool {
    let ending = path.extension().and_then(OsStr::to_str);
    ending.is_some_and(|ending| endings.iter().any(|known| known.eq_ignore_ascii_case(ending)))
}

/// Reads a file, or standard input for `-`, into the network's input. The error says what was found and expected,
/// without the path.
pub(crate) fn load(path: &Path, prepare: &Prepare, input: &mut [f32]) -> Result<(), String> {
    let is_stdin = path == "-";
    let read = |error: io::Error| format!("{error}, expected a readable file");
    let named = if is_stdin { Path::new("/dev/stdin") } else { path };
    let bytes = files::read_or_pipe(named, MAX_FILE_BYTES).map_err(read)?;
    // Standard input has no name that could end in `.f32`: its length tells.
    if ends_in(path, &RAW) || is_stdin && bytes.len() == size_of_val(input) {
        return raw(&bytes, input);
    }
    prepare.fill(Picture::decode(&bytes)?, input);
    Ok(())
}

/// Little-endian floats, exactly as many as the network takes.
fn raw(bytes: &[u8], input: &mut [f32]) -> Result<(), String> {
    if bytes.len() != size_of_val(input) {
        let (found, expected) = (bytes.len(), size_of_val(input));
        return Err(format!(
            "found {found} bytes, expected {expected}: {} little-endian floats",
            input.len()
        ));
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
        raw(&bytes, &mut input).unwrap();
        assert_eq!(input.map(f32::to_bits), [1.5f32, -0.0, f32::MIN_POSITIVE].map(f32::to_bits));
        let error = "found 11 bytes, expected 12: 3 little-endian floats";
        assert_eq!(raw(&bytes[1..], &mut input), Err(error.to_string()));
    }

    #[test]
    fn folders_are_searched_for_pictures_in_order() {
        let folder = std::env::temp_dir().join(format!("mnc-runtime-list-{}", std::process::id()));
        let inner = folder.join("b");
        fs::create_dir_all(&inner).unwrap();
        for name in ["c.JPG", "a.png", "notes.txt", "b/z.ppm", "b/input.f32"] {
            fs::write(folder.join(name), "").unwrap();
        }
        let named = folder.join("notes.txt");
        let found: Vec<PathBuf> =
            list(&[named.clone(), folder.clone()]).into_iter().map(Result::unwrap).collect();
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(found, [named, folder.join("a.png"), inner.join("z.ppm"), folder.join("c.JPG")]);
    }
}
