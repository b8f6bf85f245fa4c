//! A folder of trained weights -> the checkpoint of each member.
//!
//! What alpha a file has is read from its tensors. At which resolution it was trained stands in the configuration beside it: a
//! network runs at any, but is less accurate at others, so a member says what it was made from. A file of `mnc quantize` is one member:
//! it was made for one resolution.

use std::fs;
use std::path::{Path, PathBuf};

use mnc::describe::InputSpec;
use mnc::graph::Resolution;
use mnc::graph::shape::Shape;
use mnc::job::{Job, Settings};
use mnc::request::{Network, Numbers, Request, Written};
use mnc::{Error, ErrorKind, Place, Result, Target};

use super::super::network::{Disk, Names};
use super::super::{fail, usage};
use super::dtype::Dtype;
use super::map::Member;

/// A file of weights.
#[derive(Clone, Debug)]
pub(super) struct Checkpoint {
    path: PathBuf,
    /// Of its tensors.
    pub(super) alpha: f64,
    /// What its network computes in.
    dtype: Dtype,
    /// Of its configuration, if there is one.
    trained: Option<Resolution>,
    /// The one that it runs at, if it doesn't run at any.
    only: Option<Resolution>,
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

/// Which sizes are looked at.
#[derive(Clone, Debug)]
pub(super) struct Sizes {
    pub(super) sizes: Vec<Resolution>,
    /// Whether the user said so: then there are no others.
    pub(super) are_asked: bool,
}

/// The members of an alpha that there are weights for, those of one size in a row; `quantises` where weights in f32 give int8 too.
pub(super) fn members(
    checkpoints: &[Checkpoint],
    alpha: f64,
    sizes: &Sizes,
    quantises: bool,
) -> Result<Vec<Member>> {
    let of_alpha = || checkpoints.iter().filter(|checkpoint| checkpoint.alpha == alpha);
    if of_alpha().next().is_none() {
        return usage(
            "--alpha",
            format!("found {alpha}, expected one that the weights have: {}", listed(checkpoints)),
        );
    }
    let mut all = sizes.sizes.clone();
    if !sizes.are_asked {
        all.extend(of_alpha().filter_map(|checkpoint| checkpoint.only));
    }
    let gives = |member: &Member| {
        of_alpha().any(|checkpoint| {
            let is_made = quantises && checkpoint.dtype == Dtype::F32 && member.dtype == Dtype::Int8;
            (checkpoint.dtype == member.dtype || is_made) && checkpoint.runs_at(member.resolution())
        })
    };
    let of_size = |size: &Resolution| Dtype::ALL.map(|dtype| Member::new(alpha, *size, dtype));
    let members: Vec<Member> = all.iter().flat_map(of_size).filter(gives).collect();
    if members.is_empty() {
        let asked: Vec<String> = sizes.sizes.iter().map(ToString::to_string).collect();
        let (asked, there) = (asked.join(", "), listed(checkpoints));
        return usage("--resolution", format!("found {asked}, expected one that the weights have: {there}"));
    }
    Ok(members)
}

/// The checkpoint of a member that there are weights for: of its alpha, in its dtype, else in f32; trained at its resolution, else at
/// the nearest.
pub(super) fn choose(checkpoints: &[Checkpoint], member: Member) -> Result<&Checkpoint> {
    let of = |dtype: Dtype| -> Vec<&Checkpoint> {
        let is_of = |checkpoint: &&Checkpoint| {
            let is_alike = checkpoint.alpha == member.alpha && checkpoint.dtype == dtype;
            is_alike && checkpoint.runs_at(member.resolution())
        };
        checkpoints.iter().filter(is_of).collect()
    };
    let fitting = Some(of(member.dtype)).filter(|own| !own.is_empty()).unwrap_or_else(|| of(Dtype::F32));
    let distance = |checkpoint: &Checkpoint| match checkpoint.only.or(checkpoint.trained) {
        Some(trained) => (trained.height as f64 / member.height as f64).ln().abs(),
        None => f64::INFINITY,
    };
    let nearest = fitting.iter().map(|checkpoint| distance(checkpoint)).fold(f64::INFINITY, f64::min);
    match fitting.into_iter().filter(|checkpoint| distance(checkpoint) == nearest).collect::<Vec<_>>()[..] {
        [checkpoint] => Ok(checkpoint),
        [first, second, ..] => usage(
            "--weights-dir",
            format!(
                "found {} and {}, both of alpha {}{}, expected one of them",
                first.file(),
                second.file(),
                member.alpha,
                first.about()
            ),
        ),
        [] => unreachable!("a member is one that there are weights for"),
    }
}

/// Each alpha, with what is known of its training.
pub(super) fn listed(checkpoints: &[Checkpoint]) -> String {
    let each = checkpoints
        .iter()
        .map(|checkpoint| format!("{} ({}{})", checkpoint.alpha, checkpoint.file(), checkpoint.about()));
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
        let job = opened.job();
        let InputSpec { height, width, .. } = job.description().input;
        let (alpha, trained, only) = match opened.weights() {
            Some(weights) => {
                let is_told = !job.configured.read.is_empty();
                let alpha = weights.infer_alpha(job.description(), job.naming)?;
                (alpha, is_told.then_some(Resolution { height, width }), None)
            }
            None => {
                // Whether it is of this network, is known when its layers are read.
                let (graph, _) = opened.graph()?;
                let target = Target::new("x86_64-unknown-linux-gnu", None)?;
                opened.fused(&graph, &Settings::new(&target, "network"))?;
                let Shape { height, width, .. } = graph.input_shape();
                (graph.alpha, None, Some(Resolution { height, width }))
            }
        };
        let (path, dtype) = (path.to_owned(), Dtype::of(opened.is_int8()));
        Ok(Checkpoint { path, alpha, dtype, trained, only, job: job.clone() })
    }

    fn runs_at(&self, resolution: Resolution) -> bool {
        self.only.is_none_or(|only| only == resolution)
    }

    /// What a member at this resolution is made from, for people.
    pub(super) fn text(&self, resolution: Resolution) -> String {
        match self.trained {
            Some(trained) if trained != resolution => format!("{}{}", self.file(), self.about()),
            Some(_) | None => self.file(),
        }
    }

    fn file(&self) -> String {
        self.path.file_name().map_or(String::new(), |name| name.to_string_lossy().into_owned())
    }

    /// What it is for, as far as it is known.
    fn about(&self) -> String {
        let side = |resolution| Member::new(self.alpha, resolution, self.dtype).side();
        match (self.only, self.trained) {
            (Some(only), _) => format!(", {} at {}", self.dtype, side(only)),
            (None, Some(trained)) => format!(", trained at {}", side(trained)),
            (None, None) => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn square(side: usize) -> Resolution {
        Resolution { height: side, width: side }
    }

    fn checkpoint(name: &str, alpha: f64, trained: Option<usize>) -> Checkpoint {
        let network = Network::Named("mobilenet-v1".to_owned());
        Checkpoint {
            path: PathBuf::from(format!("dir/{name}.safetensors")),
            alpha,
            dtype: Dtype::F32,
            trained: trained.map(square),
            only: None,
            job: Job::resolve(&Request::new(network, Numbers::Random(1)), &mut Disk).unwrap(),
        }
    }

    #[test]
    fn the_nearest_resolution_is_chosen_and_named() {
        let checkpoints =
            [checkpoint("a", 1.0, Some(224)), checkpoint("b", 1.0, Some(128)), checkpoint("c", 0.5, None)];
        let check = |alpha, side, expected: &str| {
            let found = choose(&checkpoints, Member::new(alpha, square(side), Dtype::F32)).unwrap();
            assert_eq!(found.text(square(side)), expected, "{alpha}@{side}");
        };
        check(1.0, 224, "a.safetensors");
        check(1.0, 192, "a.safetensors, trained at 224");
        check(1.0, 160, "b.safetensors, trained at 128");
        check(0.5, 160, "c.safetensors");
        let sizes = Sizes { sizes: vec![square(160)], are_asked: true };
        let error = members(&checkpoints, 0.6, &sizes, false).unwrap_err();
        let expected = "--alpha: found 0.6, expected one that the weights have: 1 (a.safetensors, trained at 224), \
                        1 (b.safetensors, trained at 128), 0.5 (c.safetensors)";
        assert_eq!(error.to_string(), expected);
        assert_eq!(alphas(&checkpoints), [1.0, 0.5]);
    }

    #[test]
    fn twins_are_refused() {
        let checkpoints = [checkpoint("a", 1.0, Some(224)), checkpoint("b", 1.0, Some(224))];
        let error = choose(&checkpoints, Member::new(1.0, square(128), Dtype::F32)).unwrap_err();
        let expected = "--weights-dir: found a.safetensors and b.safetensors, both of alpha 1, trained at 224, expected one of them";
        assert_eq!(error.to_string(), expected);
    }

    /// A file of int8 is one member, and comes before what could be made of f32.
    #[test]
    fn int8_is_of_one_resolution_or_made_of_f32() {
        let int8 = |name: &str, alpha, side| Checkpoint {
            dtype: Dtype::Int8,
            only: Some(square(side)),
            ..checkpoint(name, alpha, None)
        };
        let checkpoints = [checkpoint("a", 1.0, None), int8("b", 1.0, 128), int8("c", 0.5, 96)];
        let check = |alpha, asked: &[usize], quantises, expected: Result<&str, &str>| {
            let are_asked = !asked.is_empty();
            let sides = if are_asked { asked } else { &[224, 192] };
            let sizes = Sizes { sizes: sides.iter().copied().map(square).collect(), are_asked };
            let found = members(&checkpoints, alpha, &sizes, quantises).map(|members| {
                let text = |member: &Member| {
                    let file = choose(&checkpoints, *member).unwrap().text(member.resolution());
                    format!("{member} of {}", file.trim_end_matches(".safetensors"))
                };
                members.iter().map(text).collect::<Vec<_>>().join(", ")
            });
            let found = found.map_err(|error| error.to_string());
            assert_eq!(
                found,
                expected.map(str::to_owned).map_err(str::to_owned),
                "{alpha} {asked:?} {quantises}"
            );
        };
        check(1.0, &[], false, Ok("1.0@224 of a, 1.0@192 of a, 1.0@128 of a, 1.0@128 int8 of b"));
        check(1.0, &[128, 96], true, Ok("1.0@128 of a, 1.0@128 int8 of b, 1.0@96 of a, 1.0@96 int8 of a"));
        check(1.0, &[96], false, Ok("1.0@96 of a"));
        check(0.5, &[], true, Ok("0.5@96 int8 of c"));
        check(0.5, &[224, 96], true, Ok("0.5@96 int8 of c"));
        let expected = "--resolution: found 224x224, expected one that the weights have: 1 (a.safetensors), \
                        1 (b.safetensors, int8 at 128), 0.5 (c.safetensors, int8 at 96)";
        check(0.5, &[224], true, Err(expected));
    }
}
