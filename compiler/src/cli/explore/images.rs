//! Labelled pictures -> how often a network is right.

use std::collections::BTreeMap;
use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};

use mnc::Result;

use super::super::executable::{Answer, Executable};
use super::super::{fail, files, labelled};
use super::map::Accuracy;

/// Pictures with a label each.
#[derive(Clone, Debug)]
pub(super) struct Images {
    folder: PathBuf,
    /// By path below the folder: the label as written.
    labels: BTreeMap<PathBuf, String>,
}

impl Images {
    /// The pictures of a folder with the labels of a file, or of the folders below.
    pub(super) fn read(folder: &Path, file: Option<&Path>) -> Result<Images> {
        let labels = labelled::read(folder, file)?;
        labels.keys().for_each(|path| files::takes(&folder.join(path)));
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
            let class = labelled::class_of(&self.folder.join(path), label, names, n_outputs)?;
            let place = answer.top.iter().position(|top| top.index == class);
            right[0] += usize::from(place == Some(0));
            right[1] += usize::from(place.is_some());
        }
        let [top1, top5] = right.map(|right| 100.0 * right as f64 / self.labels.len() as f64);
        Ok(Accuracy { top1, top5: Some(top5) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::executable::Top;

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
