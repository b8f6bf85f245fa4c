//! What was found, as text and as JSON.

use std::fmt::Write as _;
use std::time::Duration;

use mnc::{Error, ErrorKind, Place, Result};
use mnc_runtime::info::Info;
use mnc_runtime::orders::Manner;
use serde::Serialize;

use super::super::text::{table, thousands};
use super::against::Distance;
use super::check::{Fault, Verdict, Work, name};
use super::compare::Difference;
use super::subject::Subject;

/// All of it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Document {
    network: String,
    alpha: f64,
    batch: usize,
    input: [usize; 3],
    target: String,
    isa: String,
    emulator: Option<String>,
    seed: u64,
    /// How the network was run.
    runs: Vec<String>,
    #[serde(flatten)]
    verdict: Verdict,
    against: Vec<Distance>,
    tolerance: Option<f64>,
    seconds: f64,
    is_right: bool,
}

impl Document {
    pub(super) fn new(
        subject: &Subject,
        verdict: Verdict,
        work: &Work,
        (seed, elapsed): (u64, Duration),
    ) -> Document {
        let Info { network, alpha, batch, input, target, isa, .. } = &subject.info;
        Document {
            network: network.clone(),
            alpha: *alpha,
            batch: *batch,
            input: [input.height, input.width, input.channels],
            target: target.clone(),
            isa: isa.clone(),
            emulator: subject.launch.emulator.words.first().cloned(),
            seed,
            runs: manners(&work.manners),
            is_right: verdict.is_right(),
            verdict,
            against: Vec::new(),
            tolerance: None,
            seconds: elapsed.as_secs_f64(),
        }
    }

    /// With the distances from what another framework recorded.
    pub(super) fn with(mut self, against: Vec<Distance>, tolerance: f64) -> Document {
        self.tolerance = (!against.is_empty()).then_some(tolerance);
        self.is_right = self.is_right && against.iter().all(|distance| distance.is_within);
        self.against = against;
        self
    }

    pub(super) fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a document is numbers and strings") + "\n"
    }

    pub(super) fn to_text(&self) -> String {
        let Verdict { n_outputs, n_outputs_differ, n_layers, n_layers_seen, n_layers_cut, .. } = self.verdict;
        let Verdict { n_inputs, n_runs, n_runs_wrong, .. } = self.verdict;
        let mut text = format!("{} for {} {}\n", self.label(), self.target, self.isa);
        let count =
            |n: usize, what: &str| format!("{} {what}{}", thousands(n as u64), if n == 1 { "" } else { "s" });
        let layers = count(n_layers, "layer");
        let _ = writeln!(
            text,
            "{} of {} outputs differ, {layers}, {}",
            thousands(n_outputs_differ as u64),
            thousands(n_outputs as u64),
            count(n_inputs, "input")
        );
        let mut row = |name: &str, value: &str| {
            let _ = writeln!(text, "  {name:<9} {value}");
        };
        let unseen = n_layers.saturating_sub(n_layers_seen + n_layers_cut);
        let mut seen = vec![format!("{n_layers_seen} as the network writes them")];
        if n_layers_cut != 0 {
            seen.push(format!("{n_layers_cut} inside of chains, in networks that end there"));
        }
        if unseen != 0 {
            seen.push(format!("{unseen} not by themselves"));
        }
        row("layers", &seen.join("; "));
        row(
            "runs",
            &format!("{}, {n_runs_wrong} of them wrong: {}", count(n_runs, "run"), self.runs.join(", ")),
        );
        if let Some(emulator) = &self.emulator {
            row("under", emulator);
        }
        row("seed", &self.seed.to_string());
        row("took", &format!("{:.1} s", self.seconds));
        if let Some(first) = self.verdict.faults.first() {
            text += &fault_text(first);
        }
        if !self.against.is_empty() {
            text += &self.against_text();
        }
        text
    }

    fn label(&self) -> String {
        let [height, width, _] = self.input;
        let side = if height == width { height.to_string() } else { format!("{height}x{width}") };
        let batch = if self.batch == 1 { String::new() } else { format!(", {} images a run", self.batch) };
        format!("{} {}@{side}{batch}", self.network, self.alpha)
    }

    fn against_text(&self) -> String {
        let rows = self.against.iter().map(|distance| {
            let [input, row, column, channel] = distance.at;
            let top1 = distance.top1.map_or(String::new(), |top1| format!("{top1} of {}", distance.n_inputs));
            vec![
                format!("  {}", distance.tensor),
                distance.layer.clone(),
                format!("{:.3e}", distance.max),
                format!("{:.3e}", distance.mean),
                format!("input {}, row {row}, column {column}, channel {channel}", input + 1),
                top1,
                (if distance.is_within { "within" } else { "BEYOND" }).to_owned(),
            ]
        });
        let tolerance = self.tolerance.unwrap_or_default();
        let headings =
            ["  recorded", "layer", ">max", ">mean", "where", ">top-1", &format!("tolerance {tolerance:e}")];
        format!("\n{}", table(&headings, rows))
    }

    /// An error where something is wrong.
    pub(super) fn result(&self) -> Result<()> {
        if self.is_right {
            return Ok(());
        }
        let mut details = Vec::new();
        if let Some(fault) = self.verdict.faults.first() {
            let wrong = format!("{} of {} runs are wrong", self.verdict.n_runs_wrong, self.verdict.n_runs);
            details.push(format!("{wrong}; first {}", line(fault)));
        }
        for distance in self.against.iter().filter(|distance| !distance.is_within) {
            let Distance { tensor, layer, max, found, recorded, .. } = distance;
            let tolerance = self.tolerance.unwrap_or_default();
            details.push(format!(
                "{layer} is {max:e} away from the recorded {tensor} ({found} and {recorded}), expected {tolerance:e} at most"
            ));
        }
        Err(Error::new(ErrorKind::Io, Place::named(self.label()), details.join("; ")))
    }
}

/// What a fault is, on one line.
pub(super) fn line(fault: &Fault) -> String {
    let Fault { layer, difference, failure, input, run, .. } = fault;
    let what = match (layer, difference, failure) {
        (Some(layer), Some(difference), _) => format!("{layer}, {}", difference_text(difference)),
        (_, _, failure) => failure.clone().unwrap_or_default(),
    };
    format!("{what}; {input}, {run}")
}

fn difference_text(difference: &Difference) -> String {
    let Difference {
        element, image, row, column, channel, found, found_bits, expected, expected_bits, ..
    } = difference;
    let image = if *image == 0 { String::new() } else { format!("image {image}, ") };
    format!(
        "element {element} ({image}row {row}, column {column}, channel {channel}): {found} ({found_bits}), expected {expected} \
         ({expected_bits})"
    )
}

/// The first fault, all of it.
pub(super) fn fault_text(fault: &Fault) -> String {
    let mut text = String::new();
    let mut row = |name: &str, value: &str| {
        let _ = writeln!(text, "  {name:<9} {value}");
    };
    match (&fault.layer, &fault.difference) {
        (Some(layer), Some(difference)) => {
            row("first", &format!("layer {layer}, {}", difference_text(difference)));
            let Difference { n_differ, n_elements, .. } = difference;
            let [n_differ, n_elements] = [n_differ, n_elements].map(|n| thousands(*n as u64));
            row("", &format!("{n_differ} of its {n_elements} elements differ"));
        }
        _ => row("first", fault.failure.as_deref().unwrap_or_default()),
    }
    if let (Some(step), Some(kernel)) = (&fault.step, &fault.kernel) {
        row("step", &format!("{step}: {kernel}"));
    }
    if let Some(seen) = fault.seen {
        row("seen", seen);
    }
    row("input", &fault.input);
    row("run", &fault.run);
    text
}

/// Each manner once.
fn manners(manners: &[Manner]) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut threads: Vec<u64> = Vec::new();
    for manner in manners {
        let word = match manner {
            Manner::Threads(n) => {
                if !threads.contains(n) {
                    threads.push(*n);
                }
                continue;
            }
            Manner::Shuffled(_) => "pieces shuffled".to_owned(),
            manner => name(*manner),
        };
        if !words.contains(&word) {
            words.push(word);
        }
    }
    if !threads.is_empty() {
        let threads: Vec<String> = threads.iter().map(u64::to_string).collect();
        words.push(format!("pools of {} threads", threads.join(", ")));
    }
    words
}
