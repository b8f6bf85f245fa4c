//! A folder of trained weights -> the checkpoint of each member.
//!
//! What alpha a file has is read from its tensors. At which resolution it was trained stands in the configuration beside it: a
//! network runs at any, but is less accurate at others, so a member says what it was made from.

use std::fs;
use std::path::{Path, PathBuf};

use mnc::describe::InputSpec;
use mnc::graph::Resolution;
use mnc::job::Job;
use mnc::request::{Network, Numbers, Request, Written};
use mnc::{Error, ErrorKind, Place, Result};

use super::super::network::{Disk, Names};
use super::super::{fail, usage};
use super::map::Member;

/// A file of weights.
#[derive(Clone, Debug)]
pub(super) struct Checkpoint {
    path: PathBuf,
    /// Of its tensors.
    pub(super) alpha: f64,
    /// Of its configuration, if there is one.
    trained: Option<Resolution>,
    /// What is compiled.
    pub(super) job: Job,
}

/// Every checkpoint of the network in a folder, by file name, and a line for each file that is none.
pub(super) fn scan(
    folder: &Path,
    written: &Written,
    called: &Names,
) -> Result<(Vec<Checkpoint>, Vec<String>)> {
    let expected = |error: std::io::Error| {
        Error::new(ErrorKind::Io, Place::file(folder), format!("{error}, expected a folder of safetensors"))
    };
    let entries = fs::read_dir(folder).and_then(|entries| entries.collect::<std::io::Result<Vec<_>>>());
    let mut paths: Vec<PathBuf> = entries.map_err(expected)?.into_iter().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "safetensors") && path.is_file());
    paths.sort();
    let (mut checkpoints, mut notes) = (Vec::new(), Vec::new());
    for path in paths {
        match Checkpoint::open(&path, written, called) {
            Ok(checkpoint) => {
                let file = checkpoint.file();
                notes.extend(checkpoint.job.warnings().map(|warning| format!("{file}: {warning}")));
                checkpoints.push(checkpoint);
            }
            Err(error) => notes.push(format!("left out: {error}")),
        }
    }
    if checkpoints.is_empty() {
        let why = notes.first().map_or(String::new(), |note| format!("; {note}"));
        return fail(folder, format!("found no weights of this network, expected .safetensors files{why}"));
    }
    Ok((checkpoints, notes))
}

/// The checkpoint of a member: of its alpha, trained at its resolution, else at the nearest.
pub(super) fn choose(checkpoints: &[Checkpoint], member: Member) -> Result<&Checkpoint> {
    let of_alpha: Vec<&Checkpoint> =
        checkpoints.iter().filter(|checkpoint| checkpoint.alpha == member.alpha).collect();
    if of_alpha.is_empty() {
        return usage(
            "--alpha",
            format!("found {}, expected one that the weights have: {}", member.alpha, listed(checkpoints)),
        );
    }
    let distance = |checkpoint: &Checkpoint| match checkpoint.trained {
        Some(trained) => (trained.height as f64 / member.height as f64).ln().abs(),
        None => f64::INFINITY,
    };
    let nearest = of_alpha.iter().map(|checkpoint| distance(checkpoint)).fold(f64::INFINITY, f64::min);
    match of_alpha.into_iter().filter(|checkpoint| distance(checkpoint) == nearest).collect::<Vec<_>>()[..] {
        [checkpoint] => Ok(checkpoint),
        [first, second, ..] => usage(
            "--weights-dir",
            format!(
                "found {} and {}, both of alpha {}{}, expected one of them",
                first.file(),
                second.file(),
                member.alpha,
                first.trained()
            ),
        ),
        [] => unreachable!("one of them is the nearest"),
    }
}

/// Each alpha, with what is known of its training.
pub(super) fn listed(checkpoints: &[Checkpoint]) -> String {
    let each = checkpoints
        .iter()
        .map(|checkpoint| format!("{} ({}{})", checkpoint.alpha, checkpoint.file(), checkpoint.trained()));
    each.collect::<Vec<_>>().join(", ")
}

/// The alphas that there are, the widest first.
pub(super) fn alphas(checkpoints: &[Checkpoint]) -> Vec<f64> {
    let mut alphas: Vec<f64> = checkpoints.iter().map(|checkpoint| checkpoint.alpha).collect();
    alphas.sort_by(|a, b| b.total_cmp(a));
    alphas.dedup();
    alphas
}

impl Checkpoint {
    fn open(path: &Path, written: &Written, called: &Names) -> Result<Checkpoint> {
        let network = Network::Named(written.file.clone());
        let request = called.of(Request::new(network, Numbers::File(path.to_owned())));
        let opened = Job::of(written.clone(), &request, &mut Disk)?.open(&mut Disk)?;
        let Some(weights) = opened.weights() else {
            let detail =
                "found a network of `mnc quantize`, which has one resolution, expected weights in f32";
            return fail(path, detail);
        };
        let job = opened.job();
        let InputSpec { height, width, .. } = job.description().input;
        Ok(Checkpoint {
            path: path.to_owned(),
            alpha: weights.infer_alpha(job.description(), job.naming)?,
            trained: (!job.configured.read.is_empty()).then_some(Resolution { height, width }),
            job: job.clone(),
        })
    }

    /// What a member at this resolution is made from, for people.
    pub(super) fn text(&self, resolution: Resolution) -> String {
        match self.trained {
            Some(trained) if trained != resolution => format!("{}{}", self.file(), self.trained()),
            Some(_) | None => self.file(),
        }
    }

    fn file(&self) -> String {
        self.path.file_name().map_or(String::new(), |name| name.to_string_lossy().into_owned())
    }

    fn trained(&self) -> String {
        self.trained.map_or(String::new(), |trained| {
            format!(", trained at {}", Member::new(self.alpha, trained).side())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint(name: &str, alpha: f64, trained: Option<usize>) -> Checkpoint {
        let network = Network::Named("mobilenet-v1".to_owned());
        Checkpoint {
            path: PathBuf::from(format!("dir/{name}.safetensors")),
            alpha,
            trained: trained.map(|side| Resolution { height: side, width: side }),
            job: Job::resolve(&Request::new(network, Numbers::Random(1)), &mut Disk).unwrap(),
        }
    }

    #[test]
    fn the_nearest_resolution_is_chosen_and_named() {
        let checkpoints =
            [checkpoint("a", 1.0, Some(224)), checkpoint("b", 1.0, Some(128)), checkpoint("c", 0.5, None)];
        let check = |alpha, side, expected: Result<&str, &str>| {
            let resolution = Resolution { height: side, width: side };
            let found = choose(&checkpoints, Member::new(alpha, resolution));
            let found =
                found.map(|checkpoint| checkpoint.text(resolution)).map_err(|error| error.to_string());
            assert_eq!(found, expected.map(str::to_owned).map_err(str::to_owned), "{alpha}@{side}");
        };
        check(1.0, 224, Ok("a.safetensors"));
        check(1.0, 192, Ok("a.safetensors, trained at 224"));
        check(1.0, 160, Ok("b.safetensors, trained at 128"));
        check(0.5, 160, Ok("c.safetensors"));
        check(
            0.6,
            160,
            Err(
                "--alpha: found 0.6, expected one that the weights have: 1 (a.safetensors, trained at 224), \
                 1 (b.safetensors, trained at 128), 0.5 (c.safetensors)",
            ),
        );
        assert_eq!(alphas(&checkpoints), [1.0, 0.5]);
    }

    #[test]
    fn twins_are_refused() {
        let checkpoints = [checkpoint("a", 1.0, Some(224)), checkpoint("b", 1.0, Some(224))];
        let error = choose(&checkpoints, Member { alpha: 1.0, height: 128, width: 128 }).unwrap_err();
        let expected = "--weights-dir: found a.safetensors and b.safetensors, both of alpha 1, trained at 224, expected one of them";
        assert_eq!(error.to_string(), expected);
    }
}
