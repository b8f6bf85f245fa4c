//! Runs on pools: whatever the network, the instruction set, the pool and its threads, the bits are those of one thread.
//!
//! At each of 40 resolutions MobileNetV1, one of its two relatives and one of the later networks in turn are compiled for two instruction
//! sets, the first and one of the others in turn, and every fifth of them goes through the interpreter; with `MNC_CASES=all` all of them are
//! compiled for all and interpreted.

use mnc::describe::{Builtin, Description};
use mnc::graph::{Graph, Knobs, Resolution};
use mnc::program::Program;
use mnc::schedule::Place;
use mnc::target::{ISAS, X86_64_V3};
use mnc::weights::Parameters;
use mnc::{Compiled, Options, Target, reference};
use mnc_runtime::abi::Status;
use mnc_runtime::pool::Pool;
use mnc_tests::link::{Linked, Network};
use mnc_tests::need::{self, Cases};
use mnc_tests::networks::{self, RandomNetwork, SMALL_CACHES, fitted_caches, resolutions};
use mnc_tests::pool::{ALL_AT_ONCE, BACKWARDS, FORWARDS, Shuffled};
use mnc_tests::turns::{backwards, forwards, shuffled};
use mnc_tests::{bits, each};

/// Objects of one shared library.
const BATCH: usize = 12;

/// All that runs in this process, and with x86-64 the processors with small caches.
fn targets() -> Vec<Target> {
    let mut targets = need::host_targets();
    if let Some(v3) = targets.iter().find(|target| target.isa.name == X86_64_V3.name).cloned() {
        targets.extend(SMALL_CACHES[..2].iter().map(|isa| Target { isa, ..v3.clone() }));
    }
    targets
}

/// A network, where it comes from and what it is compiled for.
struct Case {
    place: String,
    graph: Graph,
    parameters: Parameters,
    targets: Vec<Target>,
    is_interpreted: bool,
}

/// A compiled network of a case.
struct Found<'a> {
    case: &'a Case,
    compiled: Compiled,
}

impl Found<'_> {
    fn fault(&self, what: &str, detail: &str) -> String {
        format!("{} for {}, {what}: {detail}", self.case.place, self.compiled.target)
    }

    /// Every pool against one thread.
    fn check(&self, network: &Network<'_>, seed: u64) -> Vec<String> {
        let input = networks::input(self.case.graph.input_shape(), seed);
        let expected = match network.run(&input) {
            Ok(expected) => expected,
            Err(Status::MissingCpuFeature) => {
                need::skip_cpu(&self.compiled);
                return Vec::new();
            }
            Err(status) => return vec![self.fault("one thread", &status.to_string())],
        };
        let mut faults = Vec::new();
        let [shuffled, again] = [seed, !seed].map(Shuffled::new);
        let threads = Shuffled::on_threads(seed);
        let pools = [
            ("forwards", FORWARDS),
            ("backwards", BACKWARDS),
            ("shuffled", shuffled.parallel()),
            ("shuffled again", again.parallel()),
            ("a thread after the other", threads.parallel()),
            ("all at once", ALL_AT_ONCE),
        ];
        for (what, pool) in pools {
            let found = network.run_on(&input, &pool).map_err(|status| status.to_string());
            if let Err(error) = found.and_then(|found| bits::compare(&found, &expected)) {
                faults.push(self.fault(what, &error));
            }
        }
        for n_threads in 2..=8 {
            let pool = Pool::new(n_threads);
            let found = network.run_on(&input, &pool.parallel()).map_err(|status| status.to_string());
            if let Err(error) = found.and_then(|found| bits::compare(&found, &expected)) {
                faults.push(self.fault(&format!("{n_threads} threads"), &error));
            }
        }
        faults
    }

    /// The program's tasks, every access held to the value that it was meant for.
    fn interpret(&self, seed: u64) -> Vec<String> {
        let input = networks::input(self.case.graph.input_shape(), seed);
        let program: &Program = &self.compiled.program;
        let found = [
            program.interpret_tasks(&input, forwards),
            program.interpret_tasks(&input, backwards),
            program.interpret_tasks(&input, shuffled(seed)),
        ];
        let expected = reference::output(&self.compiled.fused, &input);
        let check = |found: Result<Vec<f32>, mnc::code::interpret::Violation>| {
            let same =
                found.map_err(|fault| fault.to_string()).and_then(|found| bits::compare(&found, &expected));
            same.err().map(|error| self.fault("interpreted", &error))
        };
        found.into_iter().filter_map(check).collect()
    }

    /// Whether a part of a chain may resume.
    fn resumes(&self) -> bool {
        self.compiled.program.steps.iter().flat_map(|step| &step.tasks).any(|task| task.resume.is_some())
    }
}

/// Checks all cases; how many compiled networks have parts that may resume.
fn check(cases: &[Case]) -> usize {
    let jobs: Vec<(usize, &Case, &Target)> = cases
        .iter()
        .flat_map(|case| case.targets.iter().map(move |target| (case, target)))
        .enumerate()
        .map(|(idx, (case, target))| (idx, case, target))
        .collect();
    let batches: Vec<&[(usize, &Case, &Target)]> = jobs.chunks(BATCH).collect();
    let check = |batch: &&[(usize, &Case, &Target)]| -> (Vec<String>, usize) {
        let compile = |(idx, case, target): &(usize, &'_ Case, &Target)| {
            let options = Options { name: &format!("n{idx}"), labels: &[] };
            mnc::compile(case.graph.clone(), &case.parameters, target, &options)
                .unwrap_or_else(|error| panic!("{} for {target}: {error}", case.place))
        };
        let found: Vec<Found<'_>> =
            batch.iter().map(|job| Found { case: job.1, compiled: compile(job) }).collect();
        let objects = found.iter().map(|found| {
            let object = found.compiled.object().expect("the network can be emitted");
            (found.compiled.info.name.as_str(), object)
        });
        let mut faults = Vec::new();
        if let Some(linked) = Linked::new(objects) {
            for (found, (idx, ..)) in found.iter().zip(*batch) {
                faults.extend(found.check(&linked.network(&found.compiled), *idx as u64));
            }
        }
        for (found, (idx, ..)) in found.iter().zip(*batch).filter(|(found, _)| found.case.is_interpreted) {
            faults.extend(found.interpret(*idx as u64));
        }
        (faults, found.iter().filter(|found| found.resumes()).count())
    };
    let (faults, n_resuming): (Vec<Vec<String>>, Vec<usize>) = each(&batches, check).into_iter().unzip();
    let faults = faults.concat();
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults[..faults.len().min(20)].join("\n"));
    n_resuming.into_iter().sum()
}

#[test]
fn builtin_networks_at_forty_resolutions() {
    let all = targets();
    let Some((first, others)) = all.split_first() else { return };
    let is_thorough = Cases::asked() == Cases::All;
    let mut cases = Vec::new();
    let (first_of_all, later) = mnc::describe::BUILTIN.split_at(1);
    let (relatives, newer) = later.split_at(2);
    for (idx, (height, width)) in resolutions().into_iter().enumerate() {
        let in_turn = |networks: &'static [Builtin]| {
            if is_thorough { networks } else { &networks[idx % networks.len()..][..1] }
        };
        for network in [first_of_all, in_turn(relatives), in_turn(newer)].concat() {
            let resolution = Resolution { height, width };
            // Narrow ones are cheap; a little wider and narrower ones have other bands.
            let alpha = [0.25, 0.25, 0.25, 0.23, 0.1, 0.35][if idx < 3 { 0 } else { idx % 6 }];
            // Whole convolutions cost ten times as much.
            let alpha = if network.name.contains("full-conv") { alpha / 4.0 } else { alpha };
            let (graph, parameters) = networks::builtin_at(network.name, alpha, resolution);
            let other = others.get(idx % others.len().max(1));
            let targets = if is_thorough {
                all.clone()
            } else {
                [Some(first), other].into_iter().flatten().cloned().collect()
            };
            let place = format!("{} {alpha}@{height}x{width}", network.name);
            let is_interpreted = is_thorough || idx.is_multiple_of(5);
            cases.push(Case { place, graph, parameters, targets, is_interpreted });
        }
    }
    let n_resuming = check(&cases);
    assert!(cases.len() / 3 <= n_resuming, "{n_resuming} networks have parts that may resume");
}

/// A window of 3x3, then one of 1x1 that skips every second row, then others behind.
#[test]
fn rows_that_are_skipped() {
    let gap = |idx: usize, (height, width): (usize, usize), more: &str| {
        let text = format!(
            "name = \"gap\"\nclasses = 3\nactivation = \"relu\"\n\
             input = {{ height = {height}, width = {width}, channels = 3 }}\n\
             [[layer]]\nkind = \"conv\"\nfilters = 16\n[[layer]]\nkind = \"conv\"\nkernel = 1\nstride = 2\nfilters = 16\n\
             {more}[[layer]]\nkind = \"global_average_pool\"\n[[layer]]\nkind = \"dense\"\n"
        );
        let description = Description::parse(&text, "gap.toml").expect("it is a legal description");
        let graph = Graph::build(&description, &Knobs::default()).expect("the knobs are legal");
        let parameters = Parameters::random(&graph, idx as u64);
        Case { place: text, graph, parameters, targets: targets(), is_interpreted: true }
    };
    let behind = [
        "",
        "[[layer]]\nkind = \"depthwise\"\nkernel = 5\n",
        "[[layer]]\nkind = \"pointwise\"\nfilters = 8\n",
    ];
    let sizes = [(49, 470), (97, 333), (51, 470), (200, 120)];
    let cases = behind.iter().flat_map(|more| sizes.map(|size| (size, *more)));
    let cases: Vec<Case> = cases.enumerate().map(|(idx, (size, more))| gap(idx, size, more)).collect();
    assert!(cases.len() <= check(&cases), "each has parts that may resume");
}

#[test]
fn random_networks_with_tall_maps() {
    let is_thorough = Cases::asked() == Cases::All;
    let seeds: Vec<u64> = (0..need::n_seeds(120)).collect();
    let case = |seed: &u64| {
        let RandomNetwork { toml, graph, parameters, .. } = RandomNetwork::tall(*seed);
        let mut targets = targets();
        let v3 = need::host_targets().into_iter().find(|target| target.isa.name == X86_64_V3.name);
        targets.extend(v3.map(|target| fitted_caches(&graph, target, *seed)));
        let place = format!("seed {seed}, alpha {}\n{toml}", graph.alpha);
        Case { place, graph, parameters, targets, is_interpreted: seed.is_multiple_of(4) || is_thorough }
    };
    let n_resuming = check(&each(&seeds, case));
    assert!(seeds.len() / 2 <= n_resuming, "{n_resuming} networks have parts that may resume");
}

/// As many layers as a description may have: no step of the compiler takes the square of them.
#[test]
fn thousands_of_layers() {
    for kind in ["pointwise\"\nfilters = 4", "depthwise\""] {
        let text = format!(
            "name = \"deep\"\nclasses = 3\ninput = {{ height = 4, width = 4, channels = 4 }}\n\
             [[layer]]\nkind = \"{kind}\nrepeat = 4094\n[[layer]]\nkind = \"global_average_pool\"\n"
        );
        let description = Description::parse(&text, "deep.toml").expect("it is a legal description");
        let graph = Graph::build(&description, &Knobs::default()).expect("the knobs are legal");
        let parameters = Parameters::random(&graph, 1);
        for isa in ISAS {
            let options = Options { name: "deep", labels: &[] };
            let compiled = mnc::compile(graph.clone(), &parameters, &need::target_of(isa), &options);
            let compiled = compiled.unwrap_or_else(|error| panic!("{error}"));
            assert!(
                compiled.plan.schedule.values.iter().filter(|value| value.place == Place::Workspace).count()
                    > 4000
            );
            let input = networks::input(graph.input_shape(), 1);
            let expected = reference::output(&compiled.fused, &input);
            assert_eq!(compiled.program.interpret(&input), Ok(expected), "{}", isa.name);
        }
    }
}
