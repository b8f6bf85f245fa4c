//! Which members are measured, and from which numbers.

use mnc::describe::{self, Description};
use mnc::graph::{Graph, Knobs, Resolution};
use mnc::weights::Parameters;
use mnc::{Marks, Result};

use super::super::network::Written;
use super::super::usage;
use super::Args;
use super::checkpoints::{self, Checkpoint};
use super::map::Member;
use super::survey::Wanted;

/// The members of the paper's figures.
const ALPHAS: [f64; 4] = [1.0, 0.75, 0.5, 0.25];
const SIDES: [usize; 4] = [224, 192, 160, 128];

/// Which members there are, and the numbers of each.
pub(super) struct Family {
    pub(super) members: Vec<Member>,
    /// Of `--weights-dir`; empty without.
    checkpoints: Vec<Checkpoint>,
    seed: u64,
    /// What a user should know before the work begins.
    pub(super) notes: Vec<String>,
}

impl Family {
    /// The members that the arguments ask for.
    pub(super) fn new(args: &Args, written: &Written) -> Result<Family> {
        let (checkpoints, notes) = match &args.weights_dir {
            Some(folder) => checkpoints::scan(folder, written)?,
            None => (Vec::new(), Vec::new()),
        };
        let alphas = match (args.alpha.as_slice(), checkpoints.is_empty()) {
            ([], true) => ALPHAS.to_vec(),
            ([], false) => checkpoints::alphas(&checkpoints),
            (alphas, _) => alphas.to_vec(),
        };
        let by_rho = args.rho.iter().map(|rho| Resolution::from_rho(written.description.input, *rho));
        let mut sizes =
            by_rho.chain(args.resolution.iter().map(|size| Ok(*size))).collect::<Result<Vec<_>>>()?;
        if sizes.is_empty() {
            sizes = SIDES.map(|side| Resolution { height: side, width: side }).to_vec();
        }
        let mut members: Vec<Member> = Vec::new();
        for member in alphas.iter().flat_map(|alpha| sizes.iter().map(|size| Member::new(*alpha, *size))) {
            if !members.contains(&member) {
                members.push(member);
            }
        }
        Ok(Family { members, checkpoints, seed: args.random_weights.unwrap_or(1), notes })
    }

    /// Every member as a network to be measured.
    pub(super) fn wanted(&self, written: &Description) -> Result<Vec<Wanted>> {
        let mut classes = None;
        let mut wanted = Vec::new();
        for member in &self.members {
            let resolution = member.resolution();
            if self.checkpoints.is_empty() {
                wanted.push(random(written, *member, true)?);
                continue;
            }
            let checkpoint = checkpoints::choose(&self.checkpoints, *member)?;
            let weights = checkpoint.text(resolution);
            let n_classes = checkpoint.description.classes;
            let (first, others) = classes.get_or_insert_with(|| (n_classes, weights.clone()));
            if n_classes != *first {
                let detail = format!(
                    "found {n_classes} classes in {weights}, but {first} in {others}, expected one task"
                );
                return usage("--weights-dir", detail);
            }
            let labels = checkpoint.labels.clone();
            wanted.push(Wanted {
                graph: checkpoint.graph(resolution)?,
                member: *member,
                weights,
                labels,
                is_member: true,
            });
        }
        Ok(wanted)
    }

    /// The numbers of a network, and what its description has to tell of them.
    pub(super) fn numbers(&self, wanted: &Wanted) -> Result<(Parameters, Marks)> {
        if self.checkpoints.is_empty() {
            let marks = Marks { random_weights: Some(self.seed), assumed: Vec::new() };
            return Ok((Parameters::random(&wanted.graph, self.seed), marks));
        }
        let checkpoint = checkpoints::choose(&self.checkpoints, wanted.member)?;
        let marks = Marks { random_weights: None, assumed: checkpoint.assumed.clone() };
        Ok((checkpoint.parameters(&wanted.graph)?, marks))
    }
}

/// A network with random numbers.
fn random(description: &Description, member: Member, is_member: bool) -> Result<Wanted> {
    let knobs = Knobs { alpha: member.alpha, resolution: Some(member.resolution()) };
    let graph = Graph::build(description, &knobs)?;
    Ok(Wanted { graph, member, weights: "random numbers".to_owned(), labels: Vec::new(), is_member })
}

/// Table 1.
pub(super) const WHOLE: Member = Member { alpha: 1.0, height: 224, width: 224 };
/// The first row of Table 5.
pub(super) const NARROW: Member = Member { alpha: 0.75, height: 224, width: 224 };
/// The first row of Table 4.
pub(super) const FULL_CONV: &str = "mobilenet-v1-full-conv";
/// The second row of Table 5.
pub(super) const SHALLOW: &str = "mobilenet-v1-shallow";

/// The networks that the claims are judged by and that aren't members of the map.
pub(super) fn witnesses(members: &[Member]) -> Result<Vec<Wanted>> {
    let builtin = |name| describe::builtin(name).expect("it is built in").description();
    let mut wanted = Vec::new();
    for member in [WHOLE, NARROW].into_iter().filter(|member| !members.contains(member)) {
        wanted.push(random(&builtin("mobilenet-v1"), member, false)?);
    }
    for name in [FULL_CONV, SHALLOW] {
        wanted.push(random(&builtin(name), WHOLE, false)?);
    }
    Ok(wanted)
}
