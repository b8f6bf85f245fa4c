//! `mnc compile --tune`: times what the schedule could have chosen instead, and writes down what won.
//!
//! Three rounds of questions, each answered by executables that take turns: the register tile of each layer (one executable
//! has the n-th candidate of every layer at once, since their times don't depend on each other), the bands of each chain, and
//! whether the whole network is faster for it. A candidate wins by more than noise or not at all.

mod verdict;

use std::path::{Path, PathBuf};
use std::time::Instant;

use mnc::graph::Graph;
use mnc::kernels::KernelName;
use mnc::passes::Fused;
use mnc::schedule::tuning::{ChainChoice, LayerChoice, Tuning, candidates};
use mnc::{Compiled, Options, Result, Target};
use mnc_runtime::measured::profile::Profile;
use mnc_runtime::peak::cpu_name;

use self::verdict::{Times, verdict};
use super::doubts::{self, Timed, Watch};
use super::executable::Executable;
use super::files::Kind;
use super::rounds::{self, Measured, Rounds, Subject};
use super::text::tell;
use super::variants::Workbench;
use super::{files, host};

/// Where the schedule's choices come from, if not from its cost model.
#[derive(Debug, clap::Args)]
#[group(id = "schedule_source")]
pub(super) struct Args {
    /// Time other register tiles and bands on this machine, write what won into FILE, and compile with it
    #[arg(long, value_name = "FILE", conflicts_with_all = ["schedule", "multiversion"], help_heading = "Schedule")]
    tune: Option<PathBuf>,
    /// Take the choices from a FILE that --tune wrote; nothing is timed, so the build can be repeated
    #[arg(long, value_name = "FILE", help_heading = "Schedule")]
    schedule: Option<PathBuf>,
}

impl Args {
    /// The file to write.
    pub(super) fn written(&self) -> Option<&Path> {
        self.tune.as_deref()
    }

    /// The file to read.
    pub(super) fn read(&self) -> Option<&Path> {
        self.schedule.as_deref()
    }
}

/// The choices to compile with, read or measured.
pub(super) fn tuning(args: &Args, graph: &Graph, fused: &Fused, target: &Target) -> Result<Option<Tuning>> {
    if let Some(path) = &args.schedule {
        let text = files::read_text(path, Kind::Schedule)?;
        return Tuning::parse(&text, &path.display().to_string()).map(Some);
    }
    let Some(path) = &args.tune else { return Ok(None) };
    if target.triple != target_lexicon::HOST || !host::runs(target.isa) {
        let detail =
            format!("found {target}, expected a target that runs here: candidates are timed on this machine");
        return super::usage("--tune", detail);
    }
    let bench = Bench { workbench: Workbench::new()?, graph, fused, target };
    let tuning = bench.tune()?;
    files::write(path, tuning.to_toml().as_bytes(), false)?;
    let place = path.display().to_string();
    Ok(Some(Tuning { place, ..tuning }))
}

/// Processes of each candidate.
const N_ROUNDS: usize = 7;
/// Profiled runs of a process, of which the best of each step counts.
const N_RUNS: usize = 30;

/// What the whole network must gain, at the median and at its best.
const LEAST_WHOLE_GAIN: f64 = 0.005;

/// What is tuned, and where its candidates are made.
struct Bench<'a> {
    workbench: Workbench,
    graph: &'a Graph,
    fused: &'a Fused,
    target: &'a Target,
}

/// A schedule to time.
struct Candidate {
    tuning: Tuning,
    executable: Executable,
}

impl Bench<'_> {
    fn tune(&self) -> Result<Tuning> {
        let cpu = cpu_name().unwrap_or_else(|| "unknown".to_owned());
        let none = Tuning::new(self.graph, self.target.isa, &cpu);
        let watch = Watch::begin();
        let model = self.compile(&none)?;
        let tiles = self.tune_tiles(&model, &none)?;
        let tuned = self.tune_bands(&model, &tiles)?;
        let n_choices = tuned.layers.len() + tuned.chains.len();
        if n_choices == 0 {
            tell(format_args!("tune: nothing is faster than the cost model's schedule by more than noise\n"));
            return Ok(none);
        }
        let pair = [self.link(none)?, self.link(tuned)?];
        let subjects =
            pair.each_ref().map(|candidate| Subject { executable: &candidate.executable, threads: 1 });
        let measured = rounds::measure(
            &subjects,
            Rounds { n_rounds: N_ROUNDS, n_runs: None, n_warm_up: 10, takes_bytes: false },
        )?;
        let timed = |(label, measured): (&str, &Measured)| {
            Timed::new(format!("{}, {label}", self.graph.name), &measured.rounds, None)
        };
        let pairs = ["as the cost model has it", "tuned"].into_iter().zip(&measured);
        doubts::warn(&watch.doubts(&pairs.map(timed).collect::<Vec<_>>()));
        let [before, after] = [0, 1].map(|i| measured[i].latencies.summary);
        let change = |before: f64, after: f64| format!("{:+.1} %", (after / before - 1.0) * 100.0);
        let told = format!(
            "the network takes {:.3} instead of {:.3} ms (median {}, min {})",
            after.median,
            before.median,
            change(before.median, after.median),
            change(before.min, after.min)
        );
        let [none, tuned] = pair.map(|candidate| candidate.tuning);
        let is_less = |before: f64, after: f64| after < before * (1.0 - LEAST_WHOLE_GAIN);
        if !(is_less(before.median, after.median) && is_less(before.min, after.min)) {
            tell(format_args!(
                "tune: choices that won by themselves: {n_choices}; but {told}; nothing is changed\n"
            ));
            return Ok(none);
        }
        tell(format_args!("tune: choices: {n_choices}; {told}\n"));
        Ok(tuned)
    }

    /// The tile of each layer. Layers of chains are timed by themselves: inside a chain nobody could tell them apart.
    fn tune_tiles(&self, model: &Compiled, none: &Tuning) -> Result<Tuning> {
        let schedule = &model.plan.schedule;
        let layers: Vec<(&str, Vec<KernelName>)> = schedule
            .layers(&model.fused)
            .map(|(name, kernel)| (name, candidates(kernel, schedule.isa)))
            .collect();
        let n_candidates = layers.iter().map(|(_, candidates)| candidates.len()).max().unwrap_or(0);
        let chains = schedule.steps.iter().filter(|step| step.chain().is_some());
        let alone: Vec<ChainChoice> = chains.map(|step| chain(&step.name, 0, "")).collect();
        let nth = |n: usize| {
            let choice = |(name, candidates): &(&str, Vec<KernelName>)| {
                candidates.get(n).map(|kernel| layer(name, kernel.clone(), ""))
            };
            Tuning {
                layers: layers.iter().filter_map(choice).collect(),
                chains: alone.clone(),
                ..none.clone()
            }
        };
        let times = self.time("tiles", (0..n_candidates).map(nth))?;
        let mut tuned = none.clone();
        for (name, candidates) in layers {
            let times =
                times.iter().take(candidates.len()).map(|profiles| sum(profiles, |step| step == name));
            if let Some((n, gain)) = verdict(&times.collect::<Vec<Times>>()) {
                let own = candidates[0].tile;
                let reason = format!(
                    "tuned: measured {:.1} % less than {}x{}",
                    gain * 100.0,
                    own.pixels,
                    own.channels
                );
                tuned.layers.push(layer(name, candidates[n].clone(), &reason));
            }
        }
        Ok(tuned)
    }

    /// The rows of each chain's bands, or none; and whether the tiles that won layer by layer win in the chain.
    fn tune_bands(&self, model: &Compiled, tiles: &Tuning) -> Result<Tuning> {
        let mut tuned = tiles.clone();
        let steps = model.plan.schedule.steps.iter();
        for (step, banded) in steps.filter_map(|step| Some((step, step.chain()?))) {
            let members = banded.stages.iter().map(|stage| model.fused.nodes[stage.node.0].name.as_str());
            let members: Vec<&str> = members.collect();
            let is_member = |name: &str| members.contains(&name);
            let without: Vec<LayerChoice> =
                tuned.layers.iter().filter(|choice| !is_member(&choice.name)).cloned().collect();
            let (own, height) = (banded.band_rows, model.plan.schedule.value(step.writes).map.shape.height);
            let mut all_rows = vec![own];
            for rows in [own / 2, own * 3 / 4, (own * 2).min(height), 0] {
                if !all_rows.contains(&rows) {
                    all_rows.push(rows);
                }
            }
            let mut choices: Vec<(&[LayerChoice], usize)> = Vec::new();
            for rows in all_rows {
                choices.push((&without, rows));
                if without.len() != tuned.layers.len() {
                    choices.push((&tuned.layers, rows));
                }
            }
            let candidate = |(layers, rows): &(&[LayerChoice], usize)| {
                let bands = (*rows != own).then(|| chain(&step.name, *rows, ""));
                let chains = tuned.chains.iter().cloned().chain(bands).collect();
                Tuning { layers: layers.to_vec(), chains, ..tuned.clone() }
            };
            let times = self.time(&step.name, choices.iter().map(candidate))?;
            let in_chain = |found: &str| found == step.name || is_member(found);
            let times: Vec<Times> = times.iter().map(|profiles| sum(profiles, in_chain)).collect();
            let (n, gain) = verdict(&times).unwrap_or((0, 0.0));
            let (layers, rows) = choices[n];
            let bands = (rows != own).then(|| {
                let reason = format!("tuned: measured {:.1} % less than bands of {own} rows", gain * 100.0);
                chain(&step.name, rows, &reason)
            });
            let layers = layers.to_vec();
            tuned.chains.extend(bands);
            tuned.layers = layers;
        }
        Ok(tuned)
    }

    fn compile(&self, tuning: &Tuning) -> Result<Compiled> {
        let name = Options::name_of(&self.graph.name);
        let options = Options { name: &name, labels: &[] };
        mnc::compile_fused(self.graph.clone(), self.fused.clone(), self.target, &options, Some(tuning))
    }

    fn link(&self, tuning: Tuning) -> Result<Candidate> {
        let started = Instant::now();
        let executable = self.workbench.link(&self.compile(&tuning)?, started)?;
        Ok(Candidate { tuning, executable })
    }

    /// The profiles of each candidate, one a round.
    fn time(&self, what: &str, tunings: impl Iterator<Item = Tuning>) -> Result<Vec<Vec<Profile>>> {
        let executables: Vec<Executable> =
            tunings.map(|tuning| Ok(self.link(tuning)?.executable)).collect::<Result<_>>()?;
        rounds::profiles(&executables, N_ROUNDS, N_RUNS, what)
    }
}

/// What the steps of those names took together, round by round.
fn sum(profiles: &[Profile], is_wanted: impl Fn(&str) -> bool) -> Times {
    let steps = |profile: &Profile| {
        let wanted = profile.steps.iter().filter(|step| is_wanted(&step.info.name));
        wanted.map(|step| step.microseconds).sum()
    };
    profiles.iter().map(steps).collect()
}

fn layer(name: &str, kernel: KernelName, reason: &str) -> LayerChoice {
    LayerChoice { name: name.to_owned(), kernel, reason: reason.to_owned(), line: 0 }
}

fn chain(name: &str, band_rows: usize, reason: &str) -> ChainChoice {
    ChainChoice { name: name.to_owned(), band_rows, reason: reason.to_owned(), line: 0 }
}
