//! `--random`: networks, sizes, schedules, instruction sets and runs that a seed determines, each verified as a whole.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use mnc::cost::Report;
use mnc::describe::BUILTIN;
use mnc::graph::{Graph, Knobs, Resolution};
use mnc::random::Random;
use mnc::sample::{self, RandomNetwork};
use mnc::target::{AARCH64, Isa, PLATFORMS, Policy, RISCV64, X86_64_V3, X86_64_V4};
use mnc::weights::Parameters;
use mnc::{Error, ErrorKind, Options, Place, Result, Target};
use mnc_runtime::orders::Manner;
use serde::Serialize;

use super::super::link::{self, Linker};
use super::super::output::print;
use super::super::text::thousands;
use super::super::{host, rounds};
use super::check::{Input, Verdict, Work, check};
use super::report::{Document, fault_text, line};
use super::subject::{Subject, Workshop};
use super::{Args, cuts, emulator, n_cores};

/// Processors whose caches are so small that small networks are computed in bands, and to whose threads little work is worth
/// having: what large networks do, in the time that small ones take. Their code runs where that of their namesakes does.
static SMALL: [Isa; 4] =
    [small(X86_64_V3, 4 << 10), small(X86_64_V4, 4 << 10), small(AARCH64, 2 << 10), small(RISCV64, 2 << 10)];

const fn small(isa: Isa, l2_bytes: usize) -> Isa {
    Isa { l2_bytes, policy: Policy { least_part_cycles: 200, ..isa.policy }, ..isa }
}

/// Most multiply-adds of a built-in network: 0.25 at 384.
const MOST_MULT_ADDS: u64 = 130_000_000;

/// What a seed determines.
struct Case {
    seed: u64,
    /// In words.
    text: String,
    graph: Graph,
    parameters: Parameters,
    target: Target,
    linker: Option<Linker>,
    has_weights_file: bool,
    inputs: Vec<Input>,
    work: Work,
}

impl Case {
    fn draw(seed: u64, targets: &[Target]) -> Case {
        let mut random = Random::new(seed ^ 0x7665_7269_6679);
        let (mut graph, parameters, description) = if random.percent(60) {
            let network =
                if random.percent(35) { RandomNetwork::tall(seed) } else { RandomNetwork::new(seed) };
            let alpha = network.graph.alpha;
            (network.graph, network.parameters, format!("alpha = {alpha}\n{}", network.toml))
        } else {
            builtin(&mut random, seed)
        };
        let is_small = graph.name.starts_with("random");
        if is_small && random.percent(15) {
            graph.batch = random.within(2, 3);
        }
        let target = random.within(0, targets.len() - 1);
        let mut target = targets[target].clone();
        let twin = SMALL.iter().find(|isa| isa.name == target.isa.name && target.wider.is_empty());
        let twin = twin.filter(|_| random.percent(if is_small { 60 } else { 20 }));
        if let Some(isa) = twin {
            target.isa = isa;
        }
        let has_own = link::program(&target, Some(Linker::Internal)).is_ok();
        let linker = (has_own && random.percent(95)).then_some(Linker::Internal);
        let has_weights_file = random.percent(8);
        let (few, many) = (2, random.within(3, 8) as u64);
        let mut manners = vec![Manner::Serial, Manner::Steps, Manner::Forwards, Manner::Backwards];
        manners.extend([Manner::Shuffled(seed), Manner::Threads(few), Manner::Shuffled(seed + 1)]);
        manners.extend([Manner::Threads(many), Manner::Threads(few)]);
        let len = graph.batch * graph.input_shape().len();
        let kinds = ["plain", "some special values", "special values", "zeros and denormals"];
        let inputs = sample::inputs(len, seed).into_iter().zip(kinds);
        let inputs = inputs.take(if is_small { 4 } else { 2 });
        let inputs =
            inputs.map(|(values, kind)| Input { label: format!("random input ({kind})"), values }).collect();
        let cache = if twin.is_some() { ", scheduled for a small cache" } else { "" };
        let outside = if has_weights_file { ", weights in a file" } else { "" };
        let text = format!(
            "{} alpha {} {}, {} images a run, for {target}{cache}{outside}, linked by {}\n{description}",
            graph.name,
            graph.alpha,
            graph.input_shape(),
            graph.batch,
            if linker.is_some() { "mnc" } else { "cc" },
        );
        let work = Work { manners, n_threads: 1 };
        Case { seed, text, graph, parameters, target, linker, has_weights_file, inputs, work }
    }

    /// What its runs give; `Err` says why there were none.
    fn check(&self, patience: Duration) -> Result<(Subject, Verdict)> {
        let workshop = Workshop::new(patience)?;
        let name = Options::name_of(&self.graph.name);
        let options = Options { name: &name, labels: &[] };
        let compiled = mnc::compile(self.graph.clone(), &self.parameters, &self.target, &options)?;
        let compiled =
            if self.has_weights_file { compiled.with_weights_file("network.weights") } else { compiled };
        let subject = workshop.make(compiled, self.linker)?;
        let verdict = check(&subject, &[], &self.inputs, &self.work, &mut |_| ())?;
        if verdict.is_right() || subject.looks.as_ref().is_none_or(|looks| looks.inner.is_empty()) {
            return Ok((subject, verdict));
        }
        // Which layer of a chain it is, networks that end inside of it tell.
        let cuts = cuts(&workshop, &subject)?;
        let verdict = check(&subject, &cuts, &self.inputs, &self.work, &mut |_| ())?;
        Ok((subject, verdict))
    }
}

/// A built-in network of any width and size that isn't too much work, tall and odd ones among them.
fn builtin(random: &mut Random, seed: u64) -> (Graph, Parameters, String) {
    let builtin =
        if random.percent(70) { &BUILTIN[0] } else { &BUILTIN[random.within(0, BUILTIN.len() - 1)] };
    let description = builtin.description();
    loop {
        let side = |random: &mut Random| random.within(32, 420);
        let (height, width) = if random.percent(30) {
            let side = 32 * random.within(1, 13);
            (side, side)
        } else {
            (side(random), side(random))
        };
        // A large size is kept, and meets narrow widths.
        for _ in 0..20 {
            let alpha = match random.within(0, 9) {
                0..6 => random.within(8, 40) as f64 / 100.0,
                6..9 => random.pick(&[0.25, 0.5, 0.75, 1.0]),
                _ => random.within(40, 140) as f64 / 100.0,
            };
            let knobs = Knobs { alpha, resolution: Some(Resolution { height, width }) };
            let Ok(graph) = Graph::build(&description, &knobs) else { break };
            if Report::of(&graph).total.mult_adds <= MOST_MULT_ADDS {
                let parameters = Parameters::random(&graph, seed);
                return (graph, parameters, String::new());
            }
        }
    }
}

/// What all networks gave.
#[derive(Serialize)]
struct Drawn {
    n_networks: u64,
    n_runs: u64,
    seed: u64,
    seconds: f64,
    is_right: bool,
    wrong: Option<Wrong>,
}

/// The first network that is wrong.
#[derive(Serialize)]
struct Wrong {
    seed: u64,
    network: String,
    /// Verifies it again.
    command: String,
    /// What happened where there is no verdict.
    failure: Option<String>,
    #[serde(flatten)]
    document: Option<Document>,
    #[serde(skip)]
    text: String,
    #[serde(skip)]
    line: String,
}

/// Verifies so many networks, of the seeds from `--seed` on, until one is wrong.
pub(super) fn run(args: &Args, n_networks: u64) -> Result<()> {
    let started = Instant::now();
    let targets = targets(args)?;
    let progress = rounds::progress("networks", n_networks as usize);
    let (next, n_done, n_runs) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let stop = AtomicBool::new(false);
    let wrong: Mutex<Option<Wrong>> = Mutex::new(None);
    let worker = || {
        while !stop.load(Ordering::Relaxed) {
            let idx = next.fetch_add(1, Ordering::Relaxed);
            if n_networks <= idx {
                return;
            }
            let seed = args.seed.wrapping_add(idx);
            match verify(seed, &targets, args) {
                Ok(runs) => {
                    n_runs.fetch_add(runs as u64, Ordering::Relaxed);
                    n_done.fetch_add(1, Ordering::Relaxed);
                    progress.inc(1);
                }
                Err(found) => {
                    stop.store(true, Ordering::Relaxed);
                    let mut first = wrong.lock().expect("nothing panics while it is locked");
                    if first.as_ref().is_none_or(|first| found.seed < first.seed) {
                        *first = Some(*found);
                    }
                }
            }
        }
    };
    thread::scope(|scope| (0..n_cores()).for_each(|_| drop(scope.spawn(worker))));
    progress.finish_and_clear();
    let wrong = wrong.into_inner().expect("nothing panicked while it was locked");
    let drawn = Drawn {
        n_networks: n_done.into_inner() + u64::from(wrong.is_some()),
        n_runs: n_runs.into_inner(),
        seed: args.seed,
        seconds: started.elapsed().as_secs_f64(),
        is_right: wrong.is_none(),
        wrong,
    };
    print(&if args.json {
        serde_json::to_string_pretty(&drawn).expect("it is numbers and strings") + "\n"
    } else {
        drawn.to_text()
    })?;
    match drawn.wrong {
        None => Ok(()),
        Some(wrong) => {
            Err(Error::new(ErrorKind::Io, Place::named(format!("seed {}", wrong.seed)), wrong.line))
        }
    }
}

impl Drawn {
    fn to_text(&self) -> String {
        let what = format!(
            "{} random networks, {} runs, seeds from {}, {:.0} s",
            thousands(self.n_networks),
            thousands(self.n_runs),
            self.seed,
            self.seconds
        );
        match &self.wrong {
            None => format!("0 differ: {what}\n"),
            Some(wrong) => {
                format!("1 differs: {what}\n{}{}\nagain with: {}\n", wrong.text, wrong.network, wrong.command)
            }
        }
    }
}

/// The instruction sets that are drawn from: those asked for, or all that run here.
fn targets(args: &Args) -> Result<Vec<Target>> {
    if args.target.is_some() || args.target_cpu.is_some() || args.multiversion {
        let target = args.chosen_target()?;
        emulator::emulator(&target)?;
        return Ok(vec![target]);
    }
    let default = host::target(None, None)?;
    let triple = default.triple.to_string();
    let isas = PLATFORMS.iter().find(|platform| platform.triple == triple).map_or(&[][..], |it| it.isas);
    let mut targets: Vec<Target> = isas
        .iter()
        .filter(|isa| host::runs(isa))
        .filter_map(|isa| Target::new(&triple, Some(isa.name)).ok())
        .collect();
    let wider = targets.clone().into_iter().filter_map(|target| target.multiversion().ok());
    targets.extend(wider.collect::<Vec<_>>());
    if targets.is_empty() {
        let detail = format!("this CPU runs no code for {triple}, expected one with {}", default.isa.name);
        return super::super::usage("--random", detail);
    }
    Ok(targets)
}

/// Verifies the network of a seed; how many runs it took.
fn verify(seed: u64, targets: &[Target], args: &Args) -> Result<usize, Box<Wrong>> {
    let started = Instant::now();
    let mut text = String::new();
    // The compiler is under test as well: where it panics, the seed is what matters.
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let case = Case::draw(seed, targets);
        text.clone_from(&case.text);
        case.check(args.patience()).map(|(subject, verdict)| (case, subject, verdict))
    }));
    let mut options: Vec<String> = Vec::new();
    let mut option = |name: &str, value: &Option<String>| {
        options.extend(value.iter().map(|value| format!(" {name} {value}")));
    };
    option("--target", &args.target);
    option("--target-cpu", &args.target_cpu);
    options.extend(args.multiversion.then(|| " --multiversion".to_owned()));
    let command = format!("mnc verify --random 1 --seed {seed}{}", options.concat());
    let failed = |failure: String| {
        let (network, text) = (text.clone(), format!("  first     {failure}\n"));
        let (command, line) = (command.clone(), failure.clone());
        Box::new(Wrong { seed, network, command, failure: Some(failure), document: None, text, line })
    };
    match outcome {
        Ok(Ok((_, _, verdict))) if verdict.is_right() => Ok(verdict.n_runs),
        Ok(Ok((case, subject, verdict))) => {
            let first = &verdict.faults[0];
            let (text, line) = (fault_text(first), line(first));
            let document = Document::new(&subject, verdict, &case.work, (case.seed, started.elapsed()));
            let network = case.text;
            let document = Some(document);
            Err(Box::new(Wrong { seed, network, command, failure: None, document, text, line }))
        }
        Ok(Err(error)) => Err(failed(error.to_string())),
        Err(panic) => {
            let words = panic.downcast_ref::<String>().map(String::as_str);
            let words = words.or(panic.downcast_ref::<&str>().copied()).unwrap_or("without a word");
            Err(failed(format!("mnc panicked: {words}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Enough of what has been wrong before is drawn.
    #[test]
    fn everything_is_drawn() {
        let targets = [Target::new("x86_64-unknown-linux-gnu", None).unwrap()];
        let cases: Vec<Case> = (0..120).map(|seed| Case::draw(seed, &targets)).collect();
        let check = |what: &str, least: usize, has: &dyn Fn(&Case) -> bool| {
            let n = cases.iter().filter(|case| has(case)).count();
            assert!(least <= n, "{what}: {n} of {}, expected {least}", cases.len());
        };
        check("random layers", 50, &|case| case.graph.name.starts_with("random"));
        check("built-in networks", 30, &|case| !case.graph.name.starts_with("random"));
        check("large maps", 15, &|case| 250 * 250 < case.graph.input_shape().pixels());
        check("tall maps", 5, &|case| {
            let shape = case.graph.input_shape();
            200 < shape.height && shape.width * 3 < shape.height * 2
        });
        check("batches", 5, &|case| 1 < case.graph.batch);
        check("weights files", 3, &|case| case.has_weights_file);
        check("small caches", 30, &|case| case.text.contains("small cache"));
        assert_eq!(Case::draw(7, &targets).text, Case::draw(7, &targets).text);
    }
}
