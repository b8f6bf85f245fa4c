//! Which members are measured, and from which numbers.

use mnc::Result;
use mnc::graph::Resolution;
use mnc::job::Job;
use mnc::request::{Network, Numbers, Request, Written};

use super::super::network::Disk;
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
    /// The network with random numbers, for where there are no others.
    random: Job,
    /// What a user should know before the work begins.
    pub(super) notes: Vec<String>,
}

impl Family {
    /// The members that the arguments ask for.
    pub(super) fn new(args: &Args, written: Written) -> Result<Family> {
        let (checkpoints, notes) = match &args.weights_dir {
            Some(folder) => checkpoints::scan(folder, &written)?,
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
        let network = Network::Named(args.network.clone());
        let numbers = Numbers::Random(args.random_weights.unwrap_or(1));
        let random = Job::of(written, &Request::new(network, numbers), &mut Disk)?;
        Ok(Family { members, checkpoints, random, notes })
    }

    /// Every member as a network to be measured.
    pub(super) fn wanted(&self) -> Result<Vec<Wanted>> {
        let mut classes = None;
        let mut wanted = Vec::new();
        for member in &self.members {
            let resolution = member.resolution();
            if self.checkpoints.is_empty() {
                wanted.push(random(self.random.clone(), *member, true)?);
                continue;
            }
            let checkpoint = checkpoints::choose(&self.checkpoints, *member)?;
            let weights = checkpoint.text(resolution);
            let n_classes = checkpoint.job.description().classes;
            let (first, others) = classes.get_or_insert_with(|| (n_classes, weights.clone()));
            if n_classes != *first {
                let detail = format!(
                    "found {n_classes} classes in {weights}, but {first} in {others}, expected one task"
                );
                return usage("--weights-dir", detail);
            }
            let graph = checkpoint.job.graph(checkpoint.alpha, Some(resolution))?;
            let job = checkpoint.job.clone();
            wanted.push(Wanted { graph, job, member: *member, weights, is_member: true });
        }
        Ok(wanted)
    }

    /// The networks that the claims are judged by and that aren't members of the map.
    pub(super) fn witnesses(&self) -> Result<Vec<Wanted>> {
        let job = |name: &str| {
            let network = Network::Named(name.to_owned());
            Job::resolve(&Request::new(network, self.random.numbers.clone()), &mut Disk)
        };
        let missing = [WHOLE, NARROW].into_iter().filter(|member| !self.members.contains(member));
        let own = missing.map(|member| random(self.random.clone(), member, false));
        let others = [FULL_CONV, SHALLOW].into_iter().map(|name| random(job(name)?, WHOLE, false));
        own.chain(others).collect()
    }
}

/// A network with random numbers.
fn random(job: Job, member: Member, is_member: bool) -> Result<Wanted> {
    let graph = job.graph(member.alpha, Some(member.resolution()))?;
    Ok(Wanted { graph, job, member, weights: "random numbers".to_owned(), is_member })
}

/// Table 1.
pub(super) const WHOLE: Member = Member { alpha: 1.0, height: 224, width: 224 };
/// The first row of Table 5.
pub(super) const NARROW: Member = Member { alpha: 0.75, height: 224, width: 224 };
/// The first row of Table 4.
pub(super) const FULL_CONV: &str = "mobilenet-v1-full-conv";
/// The second row of Table 5.
pub(super) const SHALLOW: &str = "mobilenet-v1-shallow";
