//! What pictures show, as their user says it: a label for each.
//!
//! A label is the number of an output or its name. It comes from a file with a line for each picture, or from the folder that the
//! picture lies in.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use mnc::{Error, ErrorKind, Place, Result, request};
use mnc_runtime::pictures::is_picture;

use super::fail;
use super::files::{self, Kind};

/// The labels of pictures, by their paths below a folder. `file` holds `PATH,LABEL` or `PATH<tab>LABEL` a line, paths from the folder;
/// without it each picture's label is the name of the folder below `folder` that it lies in.
pub(super) fn read(folder: &Path, file: Option<&Path>) -> Result<BTreeMap<PathBuf, String>> {
    match file {
        Some(file) => from_file(file),
        None => from_folders(folder),
    }
}

/// The output that the label of a picture means.
pub(super) fn class_of(picture: &Path, label: &str, names: &[String], n_outputs: usize) -> Result<usize> {
    class(label, names, n_outputs).map_or_else(
        || {
            let detail = format!(
                "found label {label:?}, expected a number below {n_outputs} or the name of an output"
            );
            fail(picture, detail)
        },
        Ok,
    )
}

/// The output that a label means: its number, its name, or one of the names that commas separate in it.
fn class(label: &str, names: &[String], n_outputs: usize) -> Option<usize> {
    let plain = |text: &str| text.trim().to_lowercase().replace('_', " ");
    let label = plain(label);
    if let Ok(number) = label.parse() {
        return Some(number).filter(|number| *number < n_outputs);
    }
    names.iter().position(|name| plain(name) == label || name.split(',').any(|name| plain(name) == label))
}

fn from_file(file: &Path) -> Result<BTreeMap<PathBuf, String>> {
    let mut labels = BTreeMap::new();
    let lines = request::labels(&files::read_text(file, Kind::Labels)?);
    for (idx, text) in lines.iter().enumerate().filter(|(_, text)| !text.trim().is_empty()) {
        let Some((path, label)) = text.split_once('\t').or_else(|| text.split_once(',')) else {
            let place = Place::line(&file.display().to_string(), idx + 1);
            return Err(Error::new(ErrorKind::Io, place, format!("found {text:?}, expected PATH,LABEL")));
        };
        labels.insert(PathBuf::from(path.trim()), label.trim().to_owned());
    }
    if labels.is_empty() {
        return fail(file, "found no line, expected PATH,LABEL for each picture");
    }
    Ok(labels)
}

fn from_folders(folder: &Path) -> Result<BTreeMap<PathBuf, String>> {
    let list = |folder: &Path| -> Result<Vec<PathBuf>> {
        let entries = fs::read_dir(folder).and_then(|entries| entries.collect::<std::io::Result<Vec<_>>>());
        match entries {
            Ok(entries) => Ok(entries.into_iter().map(|entry| entry.path()).collect()),
            Err(error) => fail(folder, format!("{error}, expected a folder of pictures")),
        }
    };
    let mut labels = BTreeMap::new();
    for class in list(folder)?.into_iter().filter(|path| path.is_dir()) {
        let label = class.file_name().unwrap_or_default().to_string_lossy().into_owned();
        for picture in list(&class)?.into_iter().filter(|path| is_picture(path)) {
            let below = picture.strip_prefix(folder).expect("it was listed there").to_owned();
            labels.insert(below, label.clone());
        }
    }
    if labels.is_empty() {
        return fail(
            folder,
            "found no pictures in folders below it, expected a folder for each class, or --image-labels FILE",
        );
    }
    Ok(labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_numbers_or_names() {
        let names = ["background", "tench, Tinca tinca", "great white shark"].map(str::to_owned);
        let check = |label, expected| assert_eq!(class(label, &names, 3), expected, "{label}");
        check("1", Some(1));
        check("0002", Some(2));
        check("3", None);
        check("Tench", Some(1));
        check("tinca tinca", Some(1));
        check("great_white_shark", Some(2));
        check("shark", None);
    }
}
