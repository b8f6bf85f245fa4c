//! Which members are measured, and from which numbers.

use mnc::Result;
use mnc::describe::InputSpec;
use mnc::graph::Resolution;
use mnc::job::Job;
use mnc::request::{Network, Numbers, Request, Written};

use super::super::network::Disk;
use super::super::usage;
use super::Args;
use super::checkpoints::{self, Checkpoint, Sizes};
use super::dtype::Dtype;
use super::map::Member;
use super::published;
use super::survey::Wanted;

/// Widths of networks of which nothing is published: those of V1's paper.
const ALPHAS: [f64; 4] = [1.0, 0.75, 0.5, 0.25];
/// Sizes are so many sevenths of the description's own, as the paper's 224, 192, 160 and 128 are of 224, in multiples of 32.
const SEVENTHS: [usize; 4] = [7, 6, 5, 4];
const SIDE_MULTIPLE: usize = 32;

/// Which members there are, and the numbers of each.
pub(super) struct Family {
    pub(super) members: Vec<Member>,
    /// Of `--weights-dir`; empty without.
    checkpoints: Vec<Checkpoint>,
    /// What is published of the network, if it is a built-in one.
    published: Option<&'static published::Family>,
    /// The network with random numbers, for where there are no others.
    random: Job,
    /// What a user should know before the work begins.
    pub(super) notes: Vec<String>,
}

impl Family {
    /// The members that the arguments ask for.
    pub(super) fn new(args: &Args, written: Written) -> Result<Family> {
        let (checkpoints, notes) = match &args.weights_dir {
            Some(folder) => checkpoints::scan(folder, &written, &args.called)?,
            None => (Vec::new(), Vec::new()),
        };
        let published = published::Family::by_name(&args.network);
        let alphas = match (args.alpha.as_slice(), checkpoints.is_empty()) {
            ([], true) => published.map_or(ALPHAS.to_vec(), |family| family.alphas.to_vec()),
            ([], false) => checkpoints::alphas(&checkpoints),
            (alphas, _) => alphas.to_vec(),
        };
        let by_rho = args.rho.iter().map(|rho| Resolution::from_rho(written.description.input, *rho));
        let mut sizes =
            by_rho.chain(args.resolution.iter().map(|size| Ok(*size))).collect::<Result<Vec<_>>>()?;
        let are_asked = !sizes.is_empty();
        if !are_asked {
            sizes = sizes_of(written.description.input);
        }
        let sizes = Sizes { sizes, are_asked };
        let quantises = args.int8.is_asked();
        let mut members: Vec<Member> = Vec::new();
        for alpha in alphas {
            let of_alpha = if checkpoints.is_empty() {
                random_members(alpha, &sizes, quantises)
            } else {
                checkpoints::members(&checkpoints, alpha, &sizes, quantises)?
            };
            for member in of_alpha {
                if !members.contains(&member) {
                    members.push(member);
                }
            }
        }
        let network = Network::Named(args.network.clone());
        let numbers = Numbers::Random(args.random_weights.unwrap_or(1));
        let random = Job::of(written, &Request::new(network, numbers), &mut Disk)?;
        Ok(Family { members, checkpoints, published, random, notes })
    }

    /// What the members compute in.
    pub(super) fn dtypes(&self) -> Vec<Dtype> {
        let has = |dtype: &Dtype| self.members.iter().any(|member| member.dtype == *dtype);
        Dtype::ALL.into_iter().filter(has).collect()
    }

    /// Every member as a network to be measured.
    pub(super) fn wanted(&self) -> Result<Vec<Wanted>> {
        let mut classes = None;
        let mut wanted = Vec::new();
        for member in &self.members {
            let resolution = member.resolution();
            if self.checkpoints.is_empty() {
                wanted.push(Wanted {
                    published: self.published,
                    ..random(self.random.clone(), *member, true)?
                });
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
            let (member, published) = (*member, self.published);
            wanted.push(Wanted { graph, job, member, weights, published, is_member: true });
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

/// Members of random numbers, which any size has.
fn random_members(alpha: f64, sizes: &Sizes, quantises: bool) -> Vec<Member> {
    let dtypes = if quantises { &Dtype::ALL[..] } else { &[Dtype::F32] };
    let of_size = |size| dtypes.iter().map(move |dtype| Member::new(alpha, size, *dtype));
    sizes.sizes.iter().copied().flat_map(of_size).collect()
}

/// Rows and columns of a size that nobody asked for: below, MobileNet's last maps are one pixel.
const LEAST_SIDE: usize = 32;

/// The description's own size, and smaller ones that may be asked for.
fn sizes_of(input: InputSpec) -> Vec<Resolution> {
    let smaller = |side: usize, sevenths: usize| {
        let multiples = (side * sevenths) as f64 / (7 * SIDE_MULTIPLE) as f64;
        multiples.round() as usize * SIDE_MULTIPLE
    };
    let own = Resolution { height: input.height, width: input.width };
    let others = SEVENTHS[1..].iter().map(|sevenths| Resolution {
        height: smaller(input.height, *sevenths),
        width: smaller(input.width, *sevenths),
    });
    let is_smaller = |size: &Resolution| {
        let is_large = LEAST_SIDE <= size.height && LEAST_SIDE <= size.width;
        is_large && size.height <= input.height && size.width <= input.width
    };
    let mut sizes = vec![own];
    sizes.extend(others.filter(is_smaller));
    sizes.dedup();
    sizes
}

/// A network with random numbers.
fn random(job: Job, member: Member, is_member: bool) -> Result<Wanted> {
    let graph = job.graph(member.alpha, Some(member.resolution()))?;
    let weights = "random numbers".to_owned();
    Ok(Wanted { graph, job, member, weights, published: None, is_member })
}

/// Table 1.
pub(super) const WHOLE: Member = Member { alpha: 1.0, height: 224, width: 224, dtype: Dtype::F32 };
/// The first row of Table 5.
pub(super) const NARROW: Member = Member { alpha: 0.75, ..WHOLE };
/// The first row of Table 4.
pub(super) const FULL_CONV: &str = "mobilenet-v1-full-conv";
/// The second row of Table 5.
pub(super) const SHALLOW: &str = "mobilenet-v1-shallow";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_shares_of_the_input() {
        let check = |height: usize, width: usize, expected: &str| {
            let sizes = sizes_of(InputSpec { height, width, channels: 3 });
            let texts: Vec<String> = sizes.iter().map(ToString::to_string).collect();
            assert_eq!(texts.join(" "), expected);
        };
        check(224, 224, "224x224 192x192 160x160 128x128");
        check(256, 256, "256x256 224x224 192x192 160x160");
        check(384, 384, "384x384 320x320 288x288 224x224");
        check(240, 320, "240x320 192x288 160x224 128x192");
        check(96, 96, "96x96 64x64");
        // What is smaller may not be asked for.
        check(49, 10, "49x10");
        check(8, 8, "8x8");
        check(1024, 32, "1024x32 864x32 736x32 576x32");
    }
}
