//! Wanted networks -> compiled, timed in turns, profiled and scored; what was measured before is not measured again.

use std::collections::hash_map::DefaultHasher;
use std::hash::Hasher;
use std::time::Instant;

use mnc::cost::Report;
use mnc::graph::Graph;
use mnc::job::{Job, Settings};
use mnc::predict::Prediction;
use mnc::request::Numbers;
use mnc::{Compiled as Code, Options, Result};
use mnc_runtime::measured::Latencies;
use mnc_runtime::measured::profile::Profile;

use super::super::doubts::Timed;
use super::super::executable::Executable;
use super::super::machine::Network;
use super::super::network::Disk;
use super::super::rounds::progress;
use super::super::text::tell;
use super::super::variants::Workbench;
use super::super::{quantize, summary};
use super::dtype::{Dtype, Means};
use super::images::Images;
use super::map::{Fidelity, KindTime, LayerTime, Measured, Member};
use super::published;
use super::store::Store;

/// A network to be measured.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) graph: Graph,
    pub(super) member: Member,
    /// What it is compiled from, for people.
    pub(super) weights: String,
    /// What the graph is one of, with its numbers.
    pub(super) job: Job,
    /// The family of which published accuracies speak.
    pub(super) published: Option<&'static published::Family>,
    /// Whether it is on the map, and the user's pictures are for it.
    pub(super) is_member: bool,
}

/// Under which circumstances.
#[derive(Clone, Copy, Debug)]
pub(super) struct Circumstances<'a> {
    /// Of each dtype that is measured.
    pub(super) dtypes: &'a [Means],
    /// How members in int8 are made.
    pub(super) int8: &'a quantize::Int8,
    pub(super) threads: usize,
    pub(super) rounds: usize,
    pub(super) images: Option<&'a Images>,
}

impl<'a> Circumstances<'a> {
    fn means(&self, dtype: Dtype) -> &'a Means {
        self.dtypes.iter().find(|means| means.dtype == dtype).expect("there are means for every member")
    }
}

/// A compiled network.
#[derive(Debug)]
pub(super) struct Compiled {
    pub(super) executable: Executable,
    fingerprint: u64,
    prediction: Option<Prediction>,
    report: Report,
    fidelity: Option<Fidelity>,
    wanted: Wanted,
}

/// Compiles everything, and quantises it where it isn't yet.
pub(super) fn compile(
    wanted: Vec<Wanted>,
    workbench: &Workbench,
    circumstances: Circumstances<'_>,
) -> Result<Vec<Compiled>> {
    let bar = progress("compiling", wanted.len());
    let mut compiled = Vec::with_capacity(wanted.len());
    let mut slow = Vec::new();
    for wanted in wanted {
        bar.set_message(wanted.label());
        let started = Instant::now();
        let Means { dtype, target, machine } = circumstances.means(wanted.member.dtype);
        let (code, fidelity) = wanted.compile(circumstances)?;
        slow.extend(summary::slow_sums(&code).map(|why| (wanted.label(), why)));
        let executable = workbench.link(&code, started)?;
        let mut hasher = DefaultHasher::new();
        hasher.write(&executable.read()?);
        let network =
            Network { graph: wanted.graph.clone(), integers: dtype.is_int8().then_some(code.fused) };
        compiled.push(Compiled {
            executable,
            fingerprint: hasher.finish(),
            prediction: machine.as_ref().and_then(|machine| network.predict(target.isa, machine)),
            report: network.report(),
            fidelity,
            wanted,
        });
        bar.inc(1);
    }
    bar.finish_and_clear();
    // Of a map it is true of most members.
    if let Some((label, why)) = slow.first() {
        let others = match slow.len() - 1 {
            0 => String::new(),
            n => format!(" and {n} more"),
        };
        tell(format_args!("warning: {label}{others}: {why}\n"));
    }
    Ok(compiled)
}

/// Measures what the store doesn't have yet.
pub(super) fn measure(
    compiled: &[Compiled],
    circumstances: Circumstances<'_>,
    store: &mut Store,
) -> Result<()> {
    let Circumstances { threads, rounds, images, .. } = circumstances;
    let done = |store: &Store, subject: &Compiled| {
        store.record(subject.fingerprint).map_or(0, |record| record.rounds.len().min(rounds))
    };
    let n_done: usize = compiled.iter().map(|subject| done(store, subject)).sum();
    // A profile and the pictures count as a turn each.
    let bar = progress("measuring", compiled.len() * (rounds + 1 + usize::from(images.is_some())));
    bar.inc(n_done as u64);
    bar.reset_eta();
    for round in 0..rounds {
        let mut turns: Vec<&Compiled> = compiled.iter().collect();
        if round % 2 == 1 {
            // Back, so that nobody always follows the same one.
            turns.reverse();
        }
        for subject in turns.into_iter().filter(|subject| done(store, subject) <= round).collect::<Vec<_>>() {
            bar.set_message(subject.wanted.label());
            let latencies = subject.executable.bench(threads, subject.n_runs(), WARM_UP, false)?;
            store.keep(subject.fingerprint, &subject.key(), |record| record.rounds.push(latencies))?;
            bar.inc(1);
        }
    }
    for subject in compiled {
        bar.set_message(subject.wanted.label());
        let known = store.record(subject.fingerprint);
        if known.is_none_or(|record| record.profile.is_none()) {
            let profile = subject.executable.profile(subject.n_runs())?;
            store.keep(subject.fingerprint, &subject.key(), |record| record.profile = Some(profile))?;
        }
        bar.inc(1);
        let Some(images) = images.filter(|_| subject.wanted.is_member) else { continue };
        let pictures = images.fingerprint();
        let known = store.record(subject.fingerprint);
        if known.is_none_or(|record| !record.accuracies.contains_key(&pictures)) {
            let accuracy = images.accuracy(&subject.executable)?;
            store.keep(subject.fingerprint, &subject.key(), |record| {
                record.accuracies.insert(pictures, accuracy);
            })?;
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(())
}

/// Runs of a process before the first that counts.
const WARM_UP: usize = 10;

impl Wanted {
    /// `mobilenet-v1 0.5@160`.
    fn label(&self) -> String {
        format!("{} {}", self.graph.name, self.member)
    }

    /// The code, and how far it is from f32 where it was quantised for it.
    fn compile(&self, circumstances: Circumstances<'_>) -> Result<(Code, Option<Fidelity>)> {
        let Circumstances { int8, .. } = circumstances;
        let name = Options::name_of(&self.graph.name);
        let settings = Settings::new(&circumstances.means(self.member.dtype).target, &name);
        let opened = self.job.clone().open(&mut Disk)?;
        let graph = self.graph.clone();
        match (self.member.dtype, &self.job.numbers) {
            (Dtype::Int8, Numbers::Random(seed)) => {
                let integers = int8.of_random(&graph, *seed)?;
                // How far random numbers are from themselves in f32 says nothing.
                Ok((opened.compile(graph, integers, &settings)?, None))
            }
            (Dtype::Int8, _) if !opened.is_int8() => {
                let (opened, judged) = int8.judged(opened, &graph)?;
                let fidelity = judged.map(|(certificate, judged_on)| Fidelity {
                    logits_snr_db: certificate.snr_db,
                    same_answer: certificate.predicted,
                    judged_on,
                });
                Ok((opened.run(graph, &settings)?, fidelity))
            }
            (Dtype::Int8 | Dtype::F32, _) => Ok((opened.run(graph, &settings)?, None)),
        }
    }
}

impl Compiled {
    /// The name under which the store forgets older executables.
    fn key(&self) -> String {
        format!("{}, {}", self.wanted.label(), self.executable.info.isa)
    }

    /// Timed runs of a process: a quarter of a second on a core of 200 GFLOP/s, the same number in every run of mnc.
    fn n_runs(&self) -> usize {
        (25_000_000_000 / self.report.total.mult_adds.max(1)).clamp(20, 400) as usize
    }

    /// What the store has of it, to be doubted.
    pub(super) fn timed(&self, store: &Store, circumstances: Circumstances<'_>) -> Timed {
        let record = store.record(self.fingerprint).expect("it was measured");
        let rounds = &record.rounds[..circumstances.rounds];
        let prediction = self.prediction.as_ref().filter(|_| circumstances.threads == 1);
        Timed::new(self.wanted.label(), rounds, prediction.map(|prediction| prediction.microseconds / 1e3))
    }

    /// What the store has of it, as a member of a map.
    pub(super) fn measured(&self, store: &Store, circumstances: Circumstances<'_>) -> Measured {
        let record = store.record(self.fingerprint).expect("it was measured");
        let rounds = &record.rounds[..circumstances.rounds];
        let latencies = Latencies::merge(rounds).expect("there is a round, and a run in it");
        let profile = record.profile.as_ref().expect("it was measured");
        let (layers, shared_out) = layer_times(profile, &self.report, self.prediction.as_ref());
        let Wanted { member, weights, published, is_member, .. } = &self.wanted;
        // It is one of one thread.
        let prediction = self.prediction.as_ref().filter(|_| circumstances.threads == 1);
        let accuracy = match circumstances.images {
            Some(images) => record.accuracies.get(&images.fingerprint()).copied(),
            None => published.and_then(|family| family.accuracy(*member)),
        };
        Measured {
            network: self.wanted.graph.name.clone(),
            member: *member,
            isa: self.executable.info.isa.clone(),
            mult_adds: self.report.total.mult_adds,
            parameters: self.report.total.parameters,
            executable_bytes: self.executable.bytes,
            workspace_bytes: self.executable.info.workspace_bytes,
            predicted_ms: prediction.map(|prediction| prediction.microseconds / 1e3),
            latency: latencies.summary,
            share_of_peak: latencies.at_min.share_of_peak,
            fma_peak_gflops: latencies.work.fma_peak_gflops,
            n_runs: latencies.milliseconds.len(),
            kinds: kind_times(&layers),
            shared_out,
            layers,
            weights: weights.clone(),
            fidelity: self.fidelity.clone(),
            accuracy: accuracy.filter(|_| *is_member),
            paper: published.and_then(|family| family.printed(*member)).filter(|_| *is_member),
        }
    }
}

/// The time of each layer, and which part of all time had to be shared out: layers that are computed together are measured
/// together, and their time is divided as the prediction has it, without one by their multiply-adds.
fn layer_times(profile: &Profile, report: &Report, prediction: Option<&Prediction>) -> (Vec<LayerTime>, f64) {
    let idx = |name: &str| report.layers.iter().position(|layer| layer.name == name);
    let expected = |idx: usize| match prediction {
        Some(prediction) => prediction.layers[idx].microseconds,
        None => report.layers[idx].cost.mult_adds as f64,
    };
    let mut layers: Vec<LayerTime> = report
        .layers
        .iter()
        .map(|layer| LayerTime {
            name: layer.name.clone(),
            kind: layer.kind.to_string(),
            mult_adds: layer.cost.mult_adds,
            microseconds: 0.0,
        })
        .collect();
    let mut shared = 0.0;
    for step in &profile.steps {
        let (first, last) = step.info.name.split_once("..").unwrap_or((&step.info.name, &step.info.name));
        match idx(first).zip(idx(last)) {
            Some((first, last)) => {
                let whole: f64 = (first..=last).map(expected).sum();
                let n_layers = (last - first + 1) as f64;
                for (idx, layer) in layers[first..=last].iter_mut().enumerate() {
                    // A pool, a sum and a softmax have no multiply-adds.
                    let share = if 0.0 < whole { expected(first + idx) / whole } else { 1.0 / n_layers };
                    layer.microseconds += step.microseconds * share;
                }
                if first != last {
                    shared += step.microseconds;
                }
            }
            None => layers.push(LayerTime {
                name: step.info.name.clone(),
                kind: "layout".to_owned(),
                mult_adds: 0,
                microseconds: step.microseconds,
            }),
        }
    }
    (layers, shared / profile.total.microseconds.max(f64::MIN_POSITIVE))
}

fn kind_times(layers: &[LayerTime]) -> Vec<KindTime> {
    let mut kinds: Vec<KindTime> = Vec::new();
    for layer in layers {
        match kinds.iter_mut().find(|kind| kind.kind == layer.kind) {
            Some(kind) => kind.microseconds += layer.microseconds,
            None => kinds.push(KindTime { kind: layer.kind.clone(), microseconds: layer.microseconds }),
        }
    }
    kinds
}
