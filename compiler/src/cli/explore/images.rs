//! Labelled pictures -> how often a network is right.
//!
//! A label is the number of an output or its name. It comes from a file with a line for each picture, or from the folder that the
//! picture lies in.

use std::collections::BTreeMap;
use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};

use mnc::{Error, ErrorKind, Place, Result, request};
use mnc_runtime::pictures::is_picture;

use super::super::executable::{Answer, Executable};
use super::super::fail;
use super::super::files::{self, Kind};
use super::map::Accuracy;

/// Pictures with a label each.
#[derive(Clone, Debug)]
pub(super) struct Images {
    folder: PathBuf,
    /// By path below the folder: the label as written.
    labels: BTreeMap<PathBuf, String>,
}

impl Images {
    /// The pictures of a folder. `file` holds `PATH,LABEL` or `PATH<tab>LABEL` a line, paths from the folder; without it each
    /// picture's label is the name of the folder below `folder` that it lies in.
    pub(super) fn read(folder: &Path, file: Option<&Path>) -> Result<Images> {
        let labels = match file {
            Some(file) => from_file(file)?,
            None => from_folders(folder)?,
        };
        Ok(Images { folder: folder.to_owned(), labels })
    }

    pub(super) fn len(&self) -> usize {
        self.labels.len()
    }

    /// A number that changes when the pictures or their labels do.
    pub(super) fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        for (path, label) in &self.labels {
            let bytes = fs::metadata(self.folder.join(path)).map_or(0, |metadata| metadata.len());
            (path, label, bytes).hash(&mut hasher);
        }
        hasher.finish()
    }

    /// Shows all pictures to a network.
    pub(super) fn accuracy(&self, executable: &Executable) -> Result<Accuracy> {
        let answers = executable.classify(&self.folder)?;
        self.score(&answers, &executable.info.labels, executable.n_outputs())
    }

    fn score(&self, answers: &[Answer], names: &[String], n_outputs: usize) -> Result<Accuracy> {
        let by_path: BTreeMap<&Path, &Answer> = answers
            .iter()
            .filter_map(|answer| Some((answer.file.strip_prefix(&self.folder).ok()?, answer)))
            .collect();
        let mut right = [0usize; 2];
        for (path, label) in &self.labels {
            let Some(answer) = by_path.get(path.as_path()) else {
                return fail(&self.folder.join(path), "found no such picture, expected one for its label");
            };
            if let Some(error) = &answer.error {
                return fail(&self.folder.join(path), error);
            }
            let Some(class) = class(label, names, n_outputs) else {
                return fail(
                    &self.folder.join(path),
                    format!(
                        "found label {label:?}, expected a number below {n_outputs} or the name of an output"
                    ),
                );
            };
            let place = answer.top.iter().position(|top| top.index == class);
            right[0] += usize::from(place == Some(0));
            right[1] += usize::from(place.is_some());
        }
        let [top1, top5] = right.map(|right| 100.0 * right as f64 / self.labels.len() as f64);
        Ok(Accuracy { top1, top5: Some(top5) })
    }
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
    use crate::cli::executable::Top;

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

    #[test]
    fn answers_are_counted() {
        let answer = |file: &str, order: [usize; 2]| Answer {
            file: PathBuf::from(file),
            top: order.map(|index| Top { index }).to_vec(),
            error: None,
        };
        let answers = [answer("dir/a.jpg", [1, 0]), answer("dir/b.jpg", [0, 1]), answer("dir/c.jpg", [0, 1])];
        let images = |labels: &[(&str, &str)]| Images {
            folder: PathBuf::from("dir"),
            labels: labels.iter().map(|(path, label)| (PathBuf::from(path), (*label).to_owned())).collect(),
        };
        let score = |labels: &[(&str, &str)]| {
            images(labels).score(&answers, &[], 3).map_err(|error| error.to_string())
        };
        assert_eq!(score(&[("a.jpg", "1"), ("b.jpg", "1")]), Ok(Accuracy { top1: 50.0, top5: Some(100.0) }));
        assert_eq!(score(&[("a.jpg", "2")]), Ok(Accuracy { top1: 0.0, top5: Some(0.0) }));
        let expected = "dir/d.jpg: found no such picture, expected one for its label";
        assert_eq!(score(&[("d.jpg", "1")]), Err(expected.to_owned()));
        let error = Some("found a damaged JPEG".to_owned());
        let damaged = [Answer { file: PathBuf::from("dir/a.jpg"), top: Vec::new(), error }];
        let found = images(&[("a.jpg", "1")]).score(&damaged, &[], 3).map_err(|error| error.to_string());
        assert_eq!(found, Err("dir/a.jpg: found a damaged JPEG".to_owned()));
        let expected = "dir/a.jpg: found label \"cat\", expected a number below 3 or the name of an output";
        assert_eq!(score(&[("a.jpg", "cat")]), Err(expected.to_owned()));
    }
}
