//! `mnc inspect` calls every object of ours sound: networks in f32 and in int8, in bands and parts, at odd sizes, in batches, for every
//! instruction set of x86-64.
//!
//! Of the built-in networks each of 40 resolutions is walked once, for a network and an instruction set in turn; with
//! `MNC_CASES=all` all networks for all of them, and ten times the random ones.

use mnc::graph::{Graph, Resolution};
use mnc::inspect::inspect;
use mnc::passes::{self, Domain, Fused, without_constant_channels};
use mnc::quantize::sample::with_integers;
use mnc::target::{Isa, PLATFORMS, Policy, X86_64_V3, X86_64_V4};
use mnc::{Options, Target};
use mnc_tests::each;
use mnc_tests::need::{self, Cases};
use mnc_tests::networks::{RandomNetwork, SMALL_CACHES, builtin_at, fitted_caches, resolutions};

/// Processors whose caches are as small as those of [`SMALL_CACHES`], with AVX-512.
static SMALL_CACHE_V4: Isa = Isa {
    name: "small-cache-v4",
    l2_bytes: 4 << 10,
    policy: Policy { least_part_cycles: 200, ..X86_64_V4.policy },
    ..X86_64_V4
};

/// Every instruction set of x86-64, alone and as versions of one object, with caches as they are and with small ones.
fn targets() -> Vec<Target> {
    let platform = PLATFORMS.iter().find(|platform| platform.triple == "x86_64-unknown-linux-gnu");
    let mut targets = need::targets_of(platform.expect("a row of the table"));
    let v3 = need::target_of(&X86_64_V3);
    targets.extend(SMALL_CACHES[..2].iter().map(|isa| Target { isa, ..v3.clone() }));
    targets.push(small_versions());
    targets
}

/// An object of two versions, each in bands and parts.
fn small_versions() -> Target {
    let v3 = need::target_of(&X86_64_V3);
    Target { isa: &SMALL_CACHES[0], wider: vec![&SMALL_CACHE_V4], ..v3 }
}

/// A network, where it comes from and what it is compiled for.
struct Case {
    place: String,
    graph: Graph,
    network: Fused,
    targets: Vec<Target>,
}

impl Case {
    /// The same network with random integers, where each of its layers has a form in them; every other one without its constant
    /// channels, every third in a batch.
    fn with_integers(self, seed: u64) -> Option<Case> {
        let mut network = with_integers(&self.network, seed)?;
        if seed.is_multiple_of(2) {
            network = without_constant_channels(network, &Domain::Integers { keep_fit: false });
        }
        let batch = if seed.is_multiple_of(3) { 2 } else { 1 };
        let place = format!("in int8, seed {seed}, batch {batch}: {}", self.place);
        let targets = self.targets.into_iter().map(Target::with_dot_products).collect();
        Some(Case { place, graph: Graph { batch, ..self.graph }, network, targets })
    }

    /// What is broken in its object, and the jumps that were taken both ways.
    fn walk(&self, target: &Target, has_weights_file: bool) -> (Vec<String>, usize) {
        let options = Options { name: "net", labels: &[] };
        let place = format!("{} for {target}", self.place);
        let compiled = mnc::compile_fused(self.graph.clone(), self.network.clone(), target, &options, None)
            .unwrap_or_else(|error| panic!("{place}: {error}"));
        let compiled = if has_weights_file { compiled.with_weights_file("net.weights") } else { compiled };
        let report = inspect(&compiled.object().expect("it can be written")).expect("it can be read");
        let broken = report.promises.iter().filter(|promise| promise.kept != Some(true));
        let mut faults: Vec<String> =
            broken.map(|promise| format!("{place}: {}: {}", promise.promise, promise.found)).collect();
        let info = &compiled.info;
        let n_entries = 3 + 2 * usize::from(info.takes_bytes()) + usize::from(info.weights_file.is_some());
        if report.walks.len() != n_entries {
            faults.push(format!("{place}: {} entries were walked", report.walks.len()));
        }
        (faults, report.walks.iter().map(|walk| walk.forks).max().unwrap_or(0))
    }
}

/// Walks all of them, every fifth with its weights in a file; the most jumps that one way to call an entry takes both ways.
fn check(cases: &[Case]) -> usize {
    let jobs = cases.iter().flat_map(|case| case.targets.iter().map(move |target| (case, target)));
    let jobs: Vec<(usize, (&Case, &Target))> = jobs.enumerate().collect();
    let walk = |(idx, (case, target)): &(usize, (&Case, &Target))| case.walk(target, idx % 5 == 4);
    let (faults, forks): (Vec<Vec<String>>, Vec<usize>) = each(&jobs, walk).into_iter().unzip();
    let faults = faults.concat();
    let most = forks.into_iter().max().unwrap_or(0);
    println!("{} objects, at most {most} jumps taken both ways", jobs.len());
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults[..faults.len().min(20)].join("\n"));
    most
}

/// Each part of a step in bands may resume or not. The ways through the questions to the processor meet again behind them, but for the
/// proof that one was asked before: else each version would be walked once for every way to it.
#[test]
fn versions_of_one_object_take_few_more_ways_than_each_alone() {
    let n_forks = |network: &RandomNetwork, target: Target| {
        let RandomNetwork { toml, graph, parameters, .. } = network;
        let (place, graph) = (toml.clone(), graph.clone());
        let network = passes::run(&graph, parameters).expect("it is legal");
        check(&[Case { place, graph, network, targets: vec![target] }])
    };
    let alone = |isa| Target { isa, ..need::target_of(&X86_64_V3) };
    let most = each(&(14..40).collect::<Vec<u64>>(), |seed| {
        let network = RandomNetwork::tall(*seed);
        let each: usize =
            [&SMALL_CACHES[0], &SMALL_CACHE_V4].map(|isa| n_forks(&network, alone(isa))).iter().sum();
        let both = n_forks(&network, small_versions());
        assert!(both <= 2 * each + 4, "{both} jumps, {each} of each alone: {}", network.toml);
        both
    });
    assert!(most.iter().any(|most| 48 < *most), "some of these networks has many parts: {most:?}");
}

/// Built-in networks, each resolution once.
fn builtin_networks() -> Vec<Case> {
    let (networks, all) = (mnc::describe::BUILTIN, targets());
    let mut cases = Vec::new();
    for (idx, (height, width)) in resolutions().into_iter().enumerate() {
        for (n, network) in networks.iter().enumerate() {
            if Cases::asked() != Cases::All && n != idx % networks.len() {
                continue;
            }
            let alpha = [0.25, 0.1, 0.15, 0.05][idx % 4];
            let alpha = if network.name.contains("full-conv") { alpha / 4.0 } else { alpha };
            let (graph, parameters) = builtin_at(network.name, alpha, Resolution { height, width });
            let place = format!("{} {alpha}@{height}x{width}", network.name);
            let network = passes::run(&graph, &parameters).expect("it is legal");
            cases.push(Case { place, graph, network, targets: in_turn(&all, idx) });
        }
    }
    cases
}

#[test]
fn builtin_networks_at_forty_resolutions() {
    check(&builtin_networks());
}

/// Every built-in network has a form in integers. Without an instruction for dot products their walks are long: every sixth resolution
/// is walked, unless there is time.
#[test]
fn builtin_networks_in_integers() {
    let step = if Cases::asked() == Cases::All { 1 } else { 6 };
    let cases = builtin_networks().into_iter().enumerate().step_by(step);
    let in_integers = |(seed, case): (usize, Case)| {
        case.with_integers(seed as u64).expect("its layers have a form in integers")
    };
    check(&cases.map(in_integers).collect::<Vec<Case>>());
}

/// One of them, or all if there is time.
fn in_turn(all: &[Target], idx: usize) -> Vec<Target> {
    if Cases::asked() == Cases::All { all.to_vec() } else { vec![all[idx % all.len()].clone()] }
}

/// The random network of a seed.
fn random_network(seed: u64) -> Case {
    let network = if seed.is_multiple_of(4) { RandomNetwork::new(seed) } else { RandomNetwork::tall(seed) };
    let mut targets = targets();
    targets.push(fitted_caches(&network.graph, need::target_of(&X86_64_V3), seed));
    let RandomNetwork { toml, graph, parameters, .. } = network;
    let place = format!("seed {seed}, alpha {}\n{toml}", graph.alpha);
    let network = passes::run(&graph, &parameters).expect("it is legal");
    Case { place, graph, network, targets: in_turn(&targets, seed as usize) }
}

#[test]
fn random_networks() {
    let seeds: Vec<u64> = (0..need::n_seeds(70)).collect();
    check(&each(&seeds, |seed| random_network(*seed)));
}

/// Most have layers alone that have a form in integers.
#[test]
fn random_networks_in_integers() {
    let seeds: Vec<u64> = (0..need::n_seeds(120)).collect();
    let cases: Vec<Case> =
        each(&seeds, |seed| random_network(*seed).with_integers(*seed)).into_iter().flatten().collect();
    assert!(seeds.len() / 2 <= cases.len(), "{} networks", cases.len());
    check(&cases);
}
