//! A request, resolved: the one way from what is asked for to compiled code, for the command, the macro and build scripts.
//!
//! In steps, between which a door may stop: [`Job::resolve`] reads everything small, [`Job::open`] the weights, and
//! [`Opened::run`] makes numbers and compiles. What was found on the way is in named fields, for whoever tells of it.

mod integers;
mod settle;

use std::path::{Path, PathBuf};

use mnc_runtime::info::MOST_CHANNELS;

use self::integers::Integers;
use crate::compile::{Compiled, Marks, Options, check_sizes, compile_fused};
use crate::describe::{Description, builtin};
use crate::error::{Error, ErrorKind, Place, Result, plural, quoted};
use crate::files::Kind;
use crate::graph::{Graph, Knobs, MAX_ALPHA, Resolution};
use crate::passes::{self, Domain, Fused, without_constant_channels};
use crate::quantize::others;
use crate::request::{
    self, Configured, Constant, Download, Files, Labels, Numbers, Renames, Request, Written, labels,
};
use crate::schedule::tuning::Tuning;
use crate::target::Target;
use crate::weights::layout::Layout;
use crate::weights::names::Renamed;
use crate::weights::naming::Naming;
use crate::weights::{Parameters, Weights};

/// A request with the texts behind its names; weights are not read yet.
#[derive(Clone, Debug)]
pub struct Job {
    /// The network as its author wrote it.
    pub written: Written,
    /// The network as the configurations have it.
    pub configured: Configured,
    /// The input's size, where it was asked for.
    pub resolution: Option<Resolution>,
    /// The width multiplier that was asked for.
    pub alpha: Option<f64>,
    /// The naming that was asked for.
    pub naming: Option<&'static Naming>,
    /// What the weights' tensors are called, where the user says it.
    pub renames: Renames,
    /// Where the numbers come from.
    pub numbers: Numbers,
    /// Where the names of the outputs come from.
    pub labels: Labels,
    /// The file with the labels and its text, where the user named one.
    pub labels_file: Option<(PathBuf, String)>,
    /// What nobody says of how the weights were trained, with value and reason; nothing where there are none.
    pub assumed: Vec<String>,
    /// How the network is known, where nobody named it.
    pub recognised: Option<String>,
    /// What was made of the weights' tensors before they were read: other names, another order of axes. Known with the weights.
    pub translated: Vec<String>,
    /// The files of the weights: one, or an index and its shards.
    pub weight_files: Vec<PathBuf>,
    /// What was made of the file's tensors where it isn't plain.
    pub notes: Vec<Note>,
    /// What the user says of the names in the file.
    prefix: Option<String>,
    /// Whether tensors that no layer wants are refused.
    strict: bool,
    /// Whether the user says what the labels are.
    has_own_labels: bool,
    /// Whether the user names a configuration, or wants none.
    has_own_configuration: bool,
    /// What becomes of channels that are the same whatever the input is.
    pub constant: Constant,
}

/// Something to tell of the tensors of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// In a word: `prefix`, `left out`.
    pub subject: &'static str,
    /// What.
    pub text: String,
}

/// The subject of what may mean that the network is another one.
const WARNING: &str = "WARNING";

impl Note {
    /// Of a file beside the weights.
    fn unread(path: &Path) -> Note {
        let name = quoted(&request::file_name(path));
        let text = format!(
            "{name} is not read: write what it says of pictures (input_size, mean, std, interpolation, crop_pct) into config.json"
        );
        Note { subject: WARNING, text }
    }
}

/// A job with its weights.
#[derive(Clone, Debug)]
pub struct Opened {
    job: Job,
    /// Of `Numbers::File`.
    weights: Option<Weights<'static>>,
    /// In place of them, where `mnc quantize` has written the file.
    integers: Option<Integers>,
}

/// What a network is compiled to.
#[derive(Clone, Copy, Debug)]
pub struct Settings<'a> {
    /// What it is compiled for.
    pub target: &'a Target,
    /// The prefix of every exported symbol.
    pub name: &'a str,
    /// Choices that replace those of the schedule's cost model.
    pub tuning: Option<&'a Tuning>,
    /// Whether the weights lie in the object.
    pub is_inside: bool,
}

impl<'a> Settings<'a> {
    /// An object with its weights, everything else by default.
    pub fn new(target: &'a Target, name: &'a str) -> Settings<'a> {
        Settings { target, name, tuning: None, is_inside: true }
    }
}

/// Where alpha came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlphaSource {
    /// The user asked for it.
    Asked,
    /// The shapes of the weights.
    Weights,
    /// The model configuration.
    Config,
    /// Nobody said anything.
    Default,
}

impl Job {
    /// Reads the description, the configurations and the labels.
    ///
    /// # Errors
    /// A file that can't be read, or is not what it should be; a knob out of its range; a naming that nobody knows.
    pub fn resolve(request: &Request, files: &mut impl Files) -> Result<Job> {
        match Download::open(request, files)? {
            Some(Download { request: found, recognised }) => {
                let job = Job::of(found.network.read(files)?, &found, files)?;
                Ok(Job { recognised: Some(recognised), has_own_configuration: names_one(request), ..job })
            }
            None => Job::of(request.network.read(files)?, request, files),
        }
    }

    /// As [`Job::resolve`], where the description has been read.
    ///
    /// # Errors
    /// As [`Job::resolve`].
    pub fn of(written: Written, request: &Request, files: &mut impl Files) -> Result<Job> {
        let resolution = match (&request.resolution, request.rho) {
            (Some(_), Some(_)) => {
                return Err(options("rho", "found a resolution too, expected one of the two"));
            }
            (Some(text), None) => Some(text.parse()?),
            (None, Some(rho)) => Some(Resolution::from_rho(written.description.input, rho)?),
            (None, None) => None,
        };
        let request = &request::located(request, files)?;
        let mut configured = Configured::read(files, &written.description, request)?;
        configured.description.is_headless |= request.features;
        let naming = request.naming.as_deref().map(Naming::asked).transpose()?;
        check_names(request)?;
        check_constant(request)?;
        if let Some(alpha) = request.alpha
            && !(0.0 < alpha && alpha <= MAX_ALPHA)
        {
            let detail = format!("found {alpha}, expected a number above 0, at most {MAX_ALPHA}");
            return Err(options("alpha", detail));
        }
        let word = request.labels.as_deref().and_then(Labels::of_word);
        let labels_file = match &request.labels {
            Some(path) if word.is_none() => Some((path.clone(), files.text(path, Kind::Labels)?)),
            Some(_) | None => None,
        };
        let is_trained = match request.numbers {
            Numbers::File(_) => true,
            Numbers::Random(_) | Numbers::Runtime | Numbers::Missing(_) => false,
        };
        let labels = match (&labels_file, word) {
            (Some((_, text)), _) => Labels::Named(labels(text)),
            (None, Some(word)) => word,
            // They name the classes of one output.
            (None, None) if 1 < written.description.outputs.len() || configured.description.is_headless => {
                Labels::None
            }
            (None, None) => Labels::configured(configured.labels.clone(), is_trained && is_builtin(&written)),
        };
        let assumed = match request.numbers {
            Numbers::File(_) => configured.assumed(written.said),
            Numbers::Random(_) | Numbers::Runtime | Numbers::Missing(_) => Vec::new(),
        };
        let doubt = configured.doubt.iter().map(|text| Note { subject: WARNING, text: text.clone() });
        let unread = configured.unread.iter().map(|path| Note::unread(path));
        let notes = doubt.chain(unread).collect();
        Ok(Job {
            written,
            configured,
            resolution,
            alpha: request.alpha,
            naming,
            renames: Renames::read(request, files)?,
            numbers: request.numbers.clone(),
            labels,
            labels_file,
            assumed,
            recognised: None,
            translated: Vec::new(),
            weight_files: match &request.numbers {
                Numbers::File(path) => request::weight_files(path, files)?,
                Numbers::Random(_) | Numbers::Runtime | Numbers::Missing(_) => Vec::new(),
            },
            notes,
            prefix: request.prefix.clone(),
            strict: request.strict,
            has_own_labels: request.labels.is_some(),
            has_own_configuration: names_one(request),
            constant: request.constant,
        })
    }

    /// Reads the weights, where there are any.
    ///
    /// # Errors
    /// A file that can't be read, or is not what it should be.
    pub fn open(mut self, files: &mut impl Files) -> Result<Opened> {
        let mut weights = match &self.numbers {
            Numbers::File(path) => Some(request::weights(path, files)?),
            Numbers::Random(_) | Numbers::Runtime | Numbers::Missing(_) => None,
        };
        if let Some(integers) = weights.as_ref().map(Integers::of).transpose()?.flatten() {
            self.take(&integers)?;
            return Ok(Opened { job: self, weights: None, integers: Some(integers) });
        }
        if let Some(weights) = &mut weights {
            if let Some(renamed) = self.renames.apply(weights)? {
                self.tell(&renamed);
                weights.check_layers(self.description())?;
            }
            if weights.are_averages() {
                let told = "moving averages (ExponentialMovingAverage), which the file has alone";
                self.translated.push(told.to_owned());
            }
            self.settle(weights)?;
            self.tell_axes(weights);
            if weights.is_quantised() {
                let text = "bytes and integers, quantised by others".to_owned();
                self.notes.push(Note { subject: "int8", text });
            }
        }
        Ok(Opened { job: self, weights, integers: None })
    }

    /// In which order the axes are, where it isn't that of the arithmetic's description.
    fn tell_axes(&mut self, weights: &Weights<'_>) {
        let Ok(graph) = self.graph(1.0, None) else { return };
        let Some(naming) = self.naming.or_else(|| weights.detect(&graph).ok()) else { return };
        match weights.layout(&graph, naming) {
            // Two orders are an error as soon as they are read.
            Ok(Layout::Oihw) | Err(_) => {}
            Ok(layout) => {
                let told = format!("axes {layout}: filters are brought into the order of {}", Layout::Oihw);
                self.translated.push(told);
            }
        }
    }

    /// What the file of names did.
    fn tell(&mut self, renamed: &Renamed) {
        let Renamed { n_renamed, n_ignored, unused } = renamed;
        let place = self.renames.file().map_or(String::new(), |(path, _)| request::file_name(path));
        let mut told = format!("{place}: {n_renamed} {} renamed", plural(*n_renamed, "tensor"));
        if 0 < *n_ignored {
            told += &format!(", {n_ignored} left out");
        }
        if !unused.is_empty() {
            let lines: Vec<String> = unused.iter().map(ToString::to_string).collect();
            told += &format!("; nothing to ignore for line {}", lines.join(", "));
        }
        self.translated.push(told);
    }

    /// The network as the configurations have it.
    pub fn description(&self) -> &Description {
        &self.configured.description
    }

    /// The network of these knobs.
    ///
    /// # Errors
    /// Knobs that are out of range, and a shape that can't be.
    pub fn graph(&self, alpha: f64, resolution: Option<Resolution>) -> Result<Graph> {
        Graph::build(self.description(), &Knobs { alpha, resolution })
    }

    /// What was made of the weights' tensors, and what of them is left out: each in a line.
    pub fn told(&self) -> Vec<String> {
        let translated = self.translated.iter().map(|text| format!("tensors: {text}"));
        translated.chain(self.notes.iter().map(|note| format!("{}: {}", note.subject, note.text))).collect()
    }

    /// What may mean that the network is another one than its weights are of.
    pub fn warnings(&self) -> impl Iterator<Item = &str> {
        self.notes.iter().filter(|note| note.subject == WARNING).map(|note| &*note.text)
    }

    /// What makes its network less than a trained one.
    fn marks(&self) -> Marks {
        let random_weights = match self.numbers {
            Numbers::Random(seed) => Some(seed),
            Numbers::File(_) | Numbers::Runtime | Numbers::Missing(_) => None,
        };
        Marks { random_weights, assumed: self.assumed.clone() }
    }
}

impl Opened {
    /// What was resolved.
    pub fn job(&self) -> &Job {
        &self.job
    }

    /// Whether the network computes in bytes and integers.
    pub fn is_int8(&self) -> bool {
        self.integers.is_some() || self.weights.as_ref().is_some_and(Weights::is_quantised)
    }

    /// The same with another fate of the channels that are the same whatever the input is.
    pub fn with_constant(mut self, constant: Constant) -> Opened {
        self.job.constant = constant;
        self
    }

    /// The weights file, where there is one.
    pub fn weights(&self) -> Option<&Weights<'static>> {
        self.weights.as_ref()
    }

    /// The alpha that was asked for, if it gives the network of the weights; else the weights' own, else the configuration's,
    /// else 1.
    ///
    /// # Errors
    /// An alpha that isn't that of the weights, and weights whose alpha nobody can tell.
    pub fn alpha(&self) -> Result<(f64, AlphaSource)> {
        let Job { naming, alpha: asked, .. } = &self.job;
        if let Some(integers) = &self.integers {
            return Ok((integers.alpha(*asked)?, AlphaSource::Weights));
        }
        let stated = match (asked, self.job.configured.alpha) {
            (Some(alpha), _) => Some((*alpha, AlphaSource::Asked)),
            (None, Some(alpha)) => Some((alpha, AlphaSource::Config)),
            (None, None) => None,
        };
        let Some(weights) = &self.weights else {
            return Ok(stated.unwrap_or((1.0, AlphaSource::Default)));
        };
        match (weights.infer_alpha(self.job.description(), *naming), stated) {
            (Ok(inferred), Some((alpha, AlphaSource::Asked))) => {
                // Rounding makes one network of many alphas.
                let nodes = |alpha| Ok(self.job.graph(alpha, None)?.nodes);
                if alpha == inferred || nodes(alpha)? == nodes(inferred)? {
                    return Ok((alpha, AlphaSource::Asked));
                }
                let place = weights.place();
                let detail =
                    format!("found {alpha}, expected {inferred}, the alpha of the tensors in {place}");
                Err(Error::new(ErrorKind::Weights, Place::flag("alpha"), detail))
            }
            (Ok(inferred), _) => Ok((inferred, AlphaSource::Weights)),
            // An alpha of many digits can't be found, only believed; the tensors are checked against it all the same.
            (Err(_), Some(stated)) => Ok(stated),
            (Err(error), None) => Err(error),
        }
    }

    /// The network of the job's own knobs, and where its alpha came from.
    ///
    /// # Errors
    /// As [`Opened::alpha`] and [`Job::graph`].
    pub fn graph(&self) -> Result<(Graph, AlphaSource)> {
        let (alpha, source) = self.alpha()?;
        Ok((self.job.graph(alpha, self.job.resolution)?, source))
    }

    /// The name of each output of a graph of this job, in order; may be empty.
    ///
    /// # Errors
    /// A number of labels that isn't that of its outputs.
    pub fn labels(&self, graph: &Graph) -> Result<Vec<String>> {
        self.job.labels.names(graph).map_err(|detail| match &self.job.labels_file {
            Some((path, _)) => Error::new(ErrorKind::Io, Place::file(path), detail),
            None => options("labels", detail),
        })
    }

    /// The numbers of a graph of this job, if it can be compiled at all.
    ///
    /// # Errors
    /// A network that is too large, which is told before its weights are drawn or read; weights that don't fit; none.
    pub fn parameters(&self, graph: &Graph, settings: &Settings<'_>) -> Result<Parameters> {
        check_sizes(graph, settings.target, settings.is_inside)?;
        if self.is_int8() {
            let place = match &self.integers {
                Some(Integers { place, .. }) => Place::file(place),
                None => Place::file(self.weights.as_ref().expect("integers are of a file").place()),
            };
            let detail = "found a network in integers, expected its numbers in f32, before it was quantised";
            return Err(Error::new(ErrorKind::Weights, place, detail));
        }
        self.numbers(graph)
    }

    /// The same of a network in f32 that isn't too large.
    fn numbers(&self, graph: &Graph) -> Result<Parameters> {
        match &self.job.numbers {
            Numbers::File(_) => {
                let weights = self.weights.as_ref().expect("`open` has read the file");
                if let Some(detail) = &self.job.configured.undecided {
                    let place = Place::file(weights.place());
                    return Err(Error::new(ErrorKind::Weights, place, detail.clone()));
                }
                weights.parameters(graph, self.job.naming)
            }
            Numbers::Random(seed) => Ok(Parameters::random(graph, *seed)),
            Numbers::Runtime => Ok(Parameters::zeros(graph)),
            Numbers::Missing(fault) => Err(Error::of(ErrorKind::Options, fault.clone())),
        }
    }

    /// The network that is scheduled, of a graph of this job: its numbers with everything folded, or the integers of its file
    /// without their constant channels, without which its numbers are where it is asked for.
    ///
    /// # Errors
    /// As [`Opened::parameters`]; numbers that can't be folded; an input without bounds whose constant channels are to leave.
    pub fn fused(&self, graph: &Graph, settings: &Settings<'_>) -> Result<Fused> {
        let constant = self.job.constant;
        let of_others = self.weights.as_ref().filter(|weights| weights.is_quantised());
        check_sizes(graph, settings.target, settings.is_inside)?;
        let network = match (&self.integers, of_others) {
            (Some(integers), _) => integers.network(graph)?,
            (None, Some(weights)) => others::read(weights, graph, self.job.naming)?,
            (None, None) => return self.fused_numbers(graph),
        };
        let keep_fit = !settings.target.isa.native_dot;
        Ok(match constant {
            Constant::Kept => network,
            Constant::LeftOutOfInt8 | Constant::LeftOut => {
                without_constant_channels(network, &Domain::Integers { keep_fit })
            }
        })
    }

    /// The same of a network in f32.
    fn fused_numbers(&self, graph: &Graph) -> Result<Fused> {
        let leaves_out = match self.job.constant {
            Constant::Kept => {
                let detail =
                    "found with a network in f32, expected one in int8: channels of f32 stay in any case";
                return Err(options("keep-constant", detail));
            }
            Constant::LeftOutOfInt8 => false,
            Constant::LeftOut => true,
        };
        let channels = graph.input_shape().channels;
        if leaves_out && MOST_CHANNELS < channels {
            let detail = format!(
                "found an input of {channels} channels, expected a picture of 1 to {MOST_CHANNELS}: other numbers have no bounds"
            );
            return Err(options("drop-constant", detail));
        }
        let network = passes::run(graph, &self.numbers(graph)?)?;
        let of_pictures = || Domain::of_pictures(&graph.preprocess.constants());
        Ok(if leaves_out { without_constant_channels(network, &of_pictures()) } else { network })
    }

    /// Compiles a graph of this job with such numbers.
    ///
    /// # Errors
    /// Everything of [`compile_fused`].
    pub fn compile(&self, graph: Graph, fused: Fused, settings: &Settings<'_>) -> Result<Compiled> {
        let options = Options { name: settings.name, labels: &self.labels(&graph)? };
        let compiled = compile_fused(graph, fused, settings.target, &options, settings.tuning)?;
        Ok(compiled.with_marks(&self.marks()))
    }

    /// What makes the network less than a trained one.
    pub fn marks(&self) -> Marks {
        self.integers.as_ref().map_or_else(|| self.job.marks(), Integers::marks)
    }

    /// Makes the numbers of a graph of this job, and compiles it.
    ///
    /// # Errors
    /// As [`Opened::fused`] and [`Opened::compile`].
    pub fn run(&self, graph: Graph, settings: &Settings<'_>) -> Result<Compiled> {
        let fused = self.fused(&graph, settings)?;
        self.compile(graph, fused, settings)
    }
}

/// Compiles what is asked for, from names to code without a stop.
///
/// # Errors
/// As [`Job::resolve`], [`Job::open`] and [`Opened::run`].
pub fn run(request: &Request, files: &mut impl Files, settings: &Settings<'_>) -> Result<Compiled> {
    let opened = Job::resolve(request, files)?.open(files)?;
    let (graph, _) = opened.graph()?;
    opened.run(graph, settings)
}

/// Whether a request names a configuration, or wants none.
fn names_one(request: &Request) -> bool {
    request.config.is_some() || request.preprocessor.is_some()
}

/// Whether a network is one of ours, as it is.
fn is_builtin(written: &Written) -> bool {
    builtin(&written.description.name).is_some_and(|network| network.text == written.text)
}

/// Names and axes are those of a file.
fn check_names(request: &Request) -> Result<()> {
    match request.numbers {
        // A network that was never asked for its numbers may name the file all the same.
        Numbers::File(_) | Numbers::Missing(_) => return Ok(()),
        Numbers::Random(_) | Numbers::Runtime => {}
    }
    let knobs = [
        (request.names.is_some(), "names"),
        (request.axes.is_some(), "axes"),
        (request.prefix.is_some(), "prefix"),
        (request.strict, "strict"),
    ];
    for (is_there, knob) in knobs {
        if is_there {
            let detail = "found without a file of weights, expected one whose tensors it speaks of";
            return Err(options(knob, detail));
        }
    }
    Ok(())
}

/// What is constant is known by the weights.
fn check_constant(request: &Request) -> Result<()> {
    if request.constant == Constant::LeftOut && matches!(request.numbers, Numbers::Runtime) {
        let detail = "found with weights that are brought at run time, expected some that are known when the network is compiled";
        return Err(options("drop-constant", detail));
    }
    Ok(())
}

fn options(knob: &str, detail: impl Into<String>) -> Error {
    Error::new(ErrorKind::Options, Place::flag(knob), detail)
}
