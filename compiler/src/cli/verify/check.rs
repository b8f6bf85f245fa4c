//! Runs a subject on inputs in every manner, and compares each value that it leaves with the reference.

use mnc::graph::shape::Shape;
use mnc::passes::{Fused, FusedId};
use mnc::schedule::Output;
use mnc::{Compiled, Error, ErrorKind, Place, Result, reference};
use mnc_runtime::abi::Status;
use mnc_runtime::orders::{Manner, Order, Outcome};
use serde::Serialize;

use super::child::Child;
use super::compare::{Difference, compare};
use super::looks::{Look, numbers};
use super::subject::Subject;

/// The numbers of one run.
#[derive(Clone, Debug)]
pub(super) struct Input {
    /// Where they come from.
    pub(super) label: String,
    pub(super) values: Vec<f32>,
}

/// How often, and how.
#[derive(Clone, Debug)]
pub(super) struct Work {
    pub(super) manners: Vec<Manner>,
    /// Of the reference.
    pub(super) n_threads: usize,
}

/// Something that isn't as it should be.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Fault {
    /// The layer whose value is wrong; none for a run without an end.
    pub(super) layer: Option<String>,
    pub(super) step: Option<String>,
    pub(super) kernel: Option<String>,
    /// How the value was seen.
    pub(super) seen: Option<&'static str>,
    pub(super) input: String,
    pub(super) run: String,
    pub(super) difference: Option<Difference>,
    /// What happened instead of an answer.
    pub(super) failure: Option<String>,
    /// Position of input and layer, by which the first fault is known.
    #[serde(skip)]
    pub(super) order: (usize, usize),
}

/// What all runs gave.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Verdict {
    pub(super) n_outputs: usize,
    /// In the worst run.
    pub(super) n_outputs_differ: usize,
    pub(super) n_layers: usize,
    /// Layers whose values were seen as the network wrote them.
    pub(super) n_layers_seen: usize,
    /// Layers inside of chains, seen in a network that ends behind them.
    pub(super) n_layers_cut: usize,
    pub(super) n_inputs: usize,
    pub(super) n_runs: usize,
    pub(super) n_runs_wrong: usize,
    /// In the order of inputs and layers; no more than some.
    pub(super) faults: Vec<Fault>,
}

/// Most faults that are kept.
const MOST_FAULTS: usize = 100;
/// Most processes that may stop before nobody starts another.
const MOST_STOPS: usize = 3;

/// How a value was seen.
const WHOLE: &str = "as the network writes it";
const OUTPUT: &str = "in the output";
const CUT: &str = "in a network that ends there";

impl Verdict {
    pub(super) fn is_right(&self) -> bool {
        self.n_runs_wrong == 0
    }
}

/// A subject whose process runs.
struct Runner<'a> {
    subject: &'a Subject,
    child: Child,
    n_stops: usize,
    /// The layer behind which it is cut, of the whole network.
    cut: Option<FusedId>,
}

/// Compares the subject, and its networks that end inside of chains, with the reference. `note` is called for each input with
/// the reference's values once, and with nothing after each run.
///
/// # Errors
/// A program that can't be started, and a CPU that can't run it.
pub(super) fn check(
    subject: &Subject,
    cuts: &[(FusedId, Subject)],
    inputs: &[Input],
    work: &Work,
    note: &mut dyn FnMut(&[Vec<f32>]),
) -> Result<Verdict> {
    let runner = |subject, cut| Ok(Runner { subject, child: Subject::start(subject)?, n_stops: 0, cut });
    let mut whole = runner(subject, None)?;
    let mut rest: Vec<Runner<'_>> =
        cuts.iter().map(|(layer, cut)| runner(cut, Some(*layer))).collect::<Result<_>>()?;
    let fused = &subject.compiled.fused;
    let n_outputs = subject.info.batch * subject.compiled.program.output_len();
    let n_layers_seen = match &subject.looks {
        Some(looks) if subject.has_steps => looks.by_step.len(),
        Some(looks) => looks.by_call.len(),
        None => 0,
    };
    let mut verdict = Verdict {
        n_outputs,
        n_outputs_differ: 0,
        n_layers: fused.nodes.len() - 1,
        n_layers_seen,
        n_layers_cut: cuts.len(),
        n_inputs: inputs.len() * subject.info.batch,
        n_runs: 0,
        n_runs_wrong: 0,
        faults: Vec::new(),
    };
    for (input_idx, input) in inputs.iter().enumerate() {
        let expected = expected(fused, &input.values, work.n_threads);
        note(&expected);
        for manner in &work.manners {
            let faults = whole.run(*manner, input, &expected)?;
            verdict.note(faults, input_idx, &fused.outputs);
            note(&[]);
            if MOST_STOPS <= whole.n_stops {
                return Ok(verdict.sorted());
            }
        }
        for cut in &mut rest {
            for manner in cut_manners(&work.manners) {
                let faults = cut.run(manner, input, &expected)?;
                verdict.note(faults, input_idx, &[]);
            }
            note(&[]);
            if MOST_STOPS <= cut.n_stops {
                return Ok(verdict.sorted());
            }
        }
    }
    Ok(verdict.sorted())
}

/// A cut network shows a layer; threads are tried on the whole one, and once here.
fn cut_manners(manners: &[Manner]) -> Vec<Manner> {
    let most = manners.iter().rfind(|manner| matches!(manner, Manner::Threads(_)));
    [Manner::Serial].into_iter().chain(most.copied()).collect()
}

/// The values of all layers, images one behind the other.
pub(super) fn expected(fused: &Fused, input: &[f32], n_threads: usize) -> Vec<Vec<f32>> {
    let mut values: Vec<Vec<f32>> = vec![Vec::new(); fused.nodes.len()];
    for image in input.chunks_exact(fused.nodes[0].shape().len()) {
        let of_image = reference::run_on(fused, image, n_threads);
        values.iter_mut().zip(of_image).for_each(|(all, value)| all.extend(value));
    }
    values
}

impl Verdict {
    /// Takes in a run of a network that returns these layers.
    fn note(&mut self, mut faults: Vec<Fault>, input_idx: usize, outputs: &[FusedId]) {
        self.n_runs += 1;
        self.n_runs_wrong += usize::from(!faults.is_empty());
        faults.iter_mut().for_each(|fault| fault.order.0 = input_idx);
        // A layer may be seen twice: as the network writes it, and in the output.
        let n_differ = |output: &FusedId| {
            let of_output = faults.iter().filter(|fault| fault.order.1 == output.0);
            of_output.filter_map(|fault| Some(fault.difference.as_ref()?.n_differ)).max().unwrap_or(0)
        };
        self.n_outputs_differ = self.n_outputs_differ.max(outputs.iter().map(n_differ).sum());
        self.faults.extend(faults);
        if MOST_FAULTS < self.faults.len() {
            self.faults.sort_by_key(|fault| fault.order);
            self.faults.truncate(MOST_FAULTS);
        }
    }

    fn sorted(mut self) -> Verdict {
        self.faults.sort_by_key(|fault| fault.order);
        self
    }
}

impl<'a> Runner<'a> {
    /// What is wrong with a run; values by layer of the whole network.
    fn run(&mut self, manner: Manner, input: &Input, expected: &[Vec<f32>]) -> Result<Vec<Fault>> {
        let views = self.views(manner);
        let order = Order::Run(manner, views.iter().map(|look| look.view).collect());
        let answer = match self.child.ask(&order, &input.values) {
            Ok(bytes) => Outcome::from_bytes(&bytes).ok_or_else(|| "an answer without an end".to_owned()),
            Err(failure) => {
                self.n_stops += 1;
                if self.n_stops < MOST_STOPS {
                    self.child = self.subject.start()?;
                }
                Err(failure.to_string())
            }
        };
        let failed = |failure: String| {
            vec![Fault { failure: Some(failure), order: (0, usize::MAX), ..self.fault(manner, input) }]
        };
        let outcome = match answer {
            Ok(outcome) => outcome,
            Err(failure) => return Ok(failed(failure)),
        };
        match Status::from_code(outcome.status) {
            Status::Ok => {}
            Status::MissingCpuFeature => {
                let features = self.subject.info.cpu_features.join(", ");
                let detail = format!("this CPU can't run it, expected one with {features}");
                return Err(Error::new(ErrorKind::Io, Place::named(&self.subject.info.isa), detail));
            }
            status => return Ok(failed(format!("status {}: {status}", outcome.status))),
        }
        let looks =
            self.subject.looks.as_ref().filter(|_| manner != Manner::Serial && manner != Manner::Steps);
        if let Some(looks) = looks.filter(|looks| looks.n_calls != outcome.n_calls) {
            let (found, expected) = (outcome.n_calls, looks.n_calls);
            return Ok(failed(format!("found {found} calls of the pool, expected {expected}")));
        }
        let mut faults = Vec::new();
        let mut rest = outcome.seen.as_slice();
        for look in views {
            let Some((bytes, behind)) = rest.split_at_checked(look.view.bytes as usize) else {
                return Ok(failed("an answer without an end".to_owned()));
            };
            rest = behind;
            faults.extend(self.compare(look.layer, &look.numbers(bytes), expected).map(|difference| Fault {
                step: self.subject.info.steps.get(look.step).map(|step| step.name.clone()),
                kernel: Some(self.subject.kernel(look.step).to_owned()),
                seen: Some(WHOLE),
                ..self.difference(look.layer, difference, manner, input)
            }));
        }
        for (output, found) in self.outputs(&numbers(&outcome.output)) {
            faults.extend(self.compare(output, &found, expected).map(|difference| Fault {
                seen: Some(if self.cut.is_some() { CUT } else { OUTPUT }),
                ..self.difference(output, difference, manner, input)
            }));
        }
        Ok(faults)
    }

    /// The layers that the network returns, by their place in the whole network, each with what was found of all images.
    fn outputs(&self, found: &[f32]) -> Vec<(FusedId, Vec<f32>)> {
        let Compiled { program, fused, .. } = &self.subject.compiled;
        let layers = self.cut.map_or(fused.outputs.clone(), |layer| vec![layer]);
        let part = |(layer, output): (FusedId, &Output)| {
            let first = output.offset / output.tensor.dtype.bytes();
            let images = found.chunks(program.output_len());
            let values = images.flat_map(|image| image.iter().skip(first).take(output.tensor.shape.len()));
            (layer, values.copied().collect())
        };
        layers.into_iter().zip(&program.outputs).map(part).collect()
    }

    /// What is looked at: nothing in a network that is cut, whose output alone is new.
    fn views(&self, manner: Manner) -> &'a [Look] {
        match (&self.subject.looks, manner) {
            _ if self.cut.is_some() => &[],
            (None, _) | (_, Manner::Serial) => &[],
            (Some(looks), Manner::Steps) => &looks.by_step,
            (
                Some(looks),
                Manner::Threads(_) | Manner::Forwards | Manner::Backwards | Manner::Shuffled(_),
            ) => &looks.by_call,
        }
    }

    fn compare(&self, layer: FusedId, found: &[f32], expected: &[Vec<f32>]) -> Option<Difference> {
        compare(found, &expected[layer.0], self.shape(layer))
    }

    /// The layer's shape, by its place in the whole network.
    fn shape(&self, layer: FusedId) -> Shape {
        let fused = &self.subject.compiled.fused;
        match self.cut {
            Some(_) => fused.nodes[fused.outputs[0].0].shape(),
            None => fused.nodes[layer.0].shape(),
        }
    }

    fn difference(&self, layer: FusedId, difference: Difference, manner: Manner, input: &Input) -> Fault {
        let fused = &self.subject.compiled.fused;
        let node = if self.cut.is_some() { fused.outputs[0] } else { layer };
        Fault {
            layer: Some(fused.nodes[node.0].value_name().to_owned()),
            difference: Some(difference),
            order: (0, layer.0),
            ..self.fault(manner, input)
        }
    }

    fn fault(&self, manner: Manner, input: &Input) -> Fault {
        Fault {
            layer: None,
            step: None,
            kernel: None,
            seen: None,
            input: input.label.clone(),
            run: name(manner),
            difference: None,
            failure: None,
            order: (0, 0),
        }
    }
}

/// A manner in words.
pub(super) fn name(manner: Manner) -> String {
    match manner {
        Manner::Serial => "alone".to_owned(),
        Manner::Steps => "step by step".to_owned(),
        Manner::Threads(1) => "a pool of 1 thread".to_owned(),
        Manner::Threads(threads) => format!("a pool of {threads} threads"),
        Manner::Forwards => "pieces forwards".to_owned(),
        Manner::Backwards => "pieces backwards".to_owned(),
        Manner::Shuffled(seed) => format!("pieces shuffled (seed {seed})"),
    }
}
