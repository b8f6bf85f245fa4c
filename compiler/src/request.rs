//! What a user asks for, a network with its weights and knobs, as the macro and build scripts take it.
//!
//! In: names and paths, and a way to read files. Out: the numbers of a network, ready to be compiled. The order in which the
//! files have their say is that of `mnc compile`. Reads nothing itself: files are the business of the door that asks.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use crate::compile::{Compiled, Marks, Options, check_sizes, compile};
use crate::describe::{self, BUILTIN, Description, Rounding};
use crate::error::{Error, ErrorKind, Result};
use crate::files::Kind;
use crate::graph::{Graph, Knobs, MAX_ALPHA, Resolution};
use crate::target::Target;
use crate::weights::config::{ModelConfig, PreprocessorConfig, Said};
use crate::weights::naming::Naming;
use crate::weights::{Parameters, Weights};

/// Where the network's description comes from.
#[derive(Clone, Debug)]
pub enum Network {
    /// A built-in network's name, or the path of a description.
    Named(String),
    /// A description as text, and what errors call it.
    Inline {
        /// TOML.
        text: String,
        /// The file in `file:line:column`.
        place: String,
    },
}

/// Where the numbers come from.
#[derive(Clone, Debug)]
pub enum Numbers {
    /// A safetensors file.
    File(PathBuf),
    /// Drawn at random, to measure or to test.
    Random(u64),
    /// Brought by who runs the network. The compiled one has zeros, a place for each layer.
    Runtime,
}

/// A network, its weights, and the knobs.
#[derive(Clone, Debug)]
pub struct Request {
    /// The network.
    pub network: Network,
    /// Its numbers.
    pub numbers: Numbers,
    /// The name of the tensors' naming; found out if `None`.
    pub naming: Option<String>,
    /// The model's configuration, `none` for none; looked for beside the weights if `None`.
    pub config: Option<PathBuf>,
    /// The preprocessor's configuration, likewise.
    pub preprocessor: Option<PathBuf>,
    /// A file with the name of an output on each line; else those of the configuration.
    pub labels: Option<PathBuf>,
    /// Width multiplier, checked against the weights; else theirs.
    pub alpha: Option<f64>,
    /// Resolution multiplier.
    pub rho: Option<f64>,
    /// `160` or `192x160`.
    pub resolution: Option<String>,
}

impl Request {
    /// A network with its weights, everything else by default.
    pub fn new(network: Network, numbers: Numbers) -> Request {
        Request {
            network,
            numbers,
            naming: None,
            config: None,
            preprocessor: None,
            labels: None,
            alpha: None,
            rho: None,
            resolution: None,
        }
    }

    /// Reads the files and compiles the network for `target`; `name` prefixes the symbols of an object.
    ///
    /// # Errors
    /// A file that can't be read, or is not what it should be; knobs that don't fit; everything of [`compile`].
    pub fn compile(&self, files: &mut impl Files, target: &Target, name: &str) -> Result<Compiled> {
        let (description, own) = self.description(files)?;
        let rho = |rho| Resolution::from_rho(description.input, rho);
        let resolution = match (&self.resolution, self.rho) {
            (Some(_), Some(_)) => {
                return Err(options("rho", "found a resolution too, expected one of the two"));
            }
            (Some(text), None) => Some(resolution(text)?),
            (None, value) => value.map(rho).transpose()?,
        };
        let configured = configure(files, description, self.sources())?;
        let assumed = configured.assumed(own);
        let description = &configured.description;
        let naming = self.naming()?;
        let asked = (self.alpha()?, configured.alpha);
        let without_weights = || {
            let (alpha, _) = choose_alpha((description, naming), None, asked)?;
            Graph::build(description, &Knobs { alpha, resolution })
        };
        let (graph, parameters) = match &self.numbers {
            Numbers::Random(seed) => {
                let graph = without_weights()?;
                check_sizes(&graph, target, true)?;
                let parameters = Parameters::random(&graph, *seed);
                (graph, parameters)
            }
            Numbers::Runtime => {
                let graph = without_weights()?;
                check_sizes(&graph, target, true)?;
                let parameters = Parameters::zeros(&graph);
                (graph, parameters)
            }
            Numbers::File(path) => {
                let bytes = read(files, path, Kind::Weights)?;
                let place = path.display().to_string();
                let weights = Weights::parse(&bytes, &place)?;
                let (alpha, _) = choose_alpha((description, naming), Some((&weights, &place)), asked)?;
                let graph = Graph::build(description, &Knobs { alpha, resolution })?;
                check_sizes(&graph, target, true)?;
                let parameters = weights.parameters(&graph, naming)?;
                (graph, parameters)
            }
        };
        let labels = match &self.labels {
            Some(path) => labels(files, path)?,
            None => configured.labels.unwrap_or_default(),
        };
        let compiled = compile(graph, &parameters, target, &Options { name, labels: &labels })?;
        Ok(compiled.with_marks(&match self.numbers {
            Numbers::File(_) => Marks { random_weights: None, assumed },
            Numbers::Random(seed) => Marks { random_weights: Some(seed), assumed: Vec::new() },
            Numbers::Runtime => Marks::default(),
        }))
    }

    /// The description, and what it says of the training.
    fn description(&self, files: &mut impl Files) -> Result<(Description, Said)> {
        match &self.network {
            Network::Inline { text, place } => Ok((Description::parse(text, place)?, said_by(text))),
            Network::Named(name) => {
                if let Some(builtin) = describe::builtin(name) {
                    return Ok((builtin.description(), Said::default()));
                }
                let names: Vec<&str> = BUILTIN.iter().map(|builtin| builtin.name).collect();
                let expected = format!("{} or {}", names.join(", "), Kind::Network.expected());
                let bytes = files.read(Path::new(name), Kind::Network);
                let bytes = bytes.map_err(|error| unread(Path::new(name), &error, &expected))?;
                let text = text(Path::new(name), bytes, &expected)?;
                Ok((Description::parse(&text, name)?, said_by(&text)))
            }
        }
    }

    /// Where the configurations are.
    fn sources(&self) -> Sources<'_> {
        let weights = match &self.numbers {
            Numbers::File(path) => Some(path.as_path()),
            Numbers::Random(_) | Numbers::Runtime => None,
        };
        Sources { config: self.config.as_deref(), preprocessor: self.preprocessor.as_deref(), weights }
    }

    fn alpha(&self) -> Result<Option<f64>> {
        match self.alpha {
            Some(alpha) if !(0.0 < alpha && alpha <= MAX_ALPHA) => Err(options(
                "alpha",
                format!("found {alpha}, expected a number above 0, at most {MAX_ALPHA}"),
            )),
            alpha => Ok(alpha),
        }
    }

    /// The naming that was asked for.
    ///
    /// # Errors
    /// There is none of this name.
    pub fn naming(&self) -> Result<Option<&'static Naming>> {
        let Some(name) = &self.naming else { return Ok(None) };
        let known: Vec<&str> = Naming::ALL.iter().map(|naming| naming.name).collect();
        let detail = || format!("found {name:?}, expected one of {}", known.join(", "));
        Naming::by_name(name).map(Some).ok_or_else(|| options("naming", detail()))
    }
}

/// The configurations that the user named, or where they are looked for.
#[derive(Clone, Copy, Debug)]
pub struct Sources<'a> {
    /// The model's configuration, `none` for none.
    pub config: Option<&'a Path>,
    /// The preprocessor's, likewise.
    pub preprocessor: Option<&'a Path>,
    /// The weights beside which they are looked for.
    pub weights: Option<&'a Path>,
}

/// A description after the files that speak of it.
#[derive(Clone, Debug)]
pub struct Configured {
    /// What all of them make of it.
    pub description: Description,
    /// The model's width multiplier.
    pub alpha: Option<f64>,
    /// The model's names of its outputs.
    pub labels: Option<Vec<String>>,
    /// Each file that was read, and what it made of the description; alpha and labels are of the first.
    pub read: Vec<(PathBuf, Description)>,
    /// What the files say of the training.
    said: Said,
    /// Why the model's configuration says no more.
    config: Silence,
    /// Why the preprocessor's says no more.
    preprocessor: Silence,
}

/// Why a configuration says no more than it does.
#[derive(Clone, Debug)]
enum Silence {
    /// There is none.
    NoFile(&'static str),
    /// The user wants none: then nothing is assumed silently.
    Unwanted,
    /// It was read, and that is all: its name, for a path has no place in what is compiled.
    Read(String),
}

impl std::fmt::Display for Silence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Silence::NoFile(name) => write!(f, "no {name}"),
            Silence::Unwanted => f.write_str("none is wanted"),
            Silence::Read(file) => write!(f, "{file} doesn't say"),
        }
    }
}

impl Silence {
    fn of(found: Option<&Path>, named: Option<&Path>, name: &'static str) -> Silence {
        match (found, named) {
            (Some(path), _) => {
                let name = path.file_name().unwrap_or(path.as_os_str());
                Silence::Read(name.to_string_lossy().into_owned())
            }
            (None, Some(_)) => Silence::Unwanted,
            (None, None) => Silence::NoFile(name),
        }
    }
}

impl Configured {
    /// What nobody says of how the weights were trained, with the value that is taken and the reason. `own` is what the
    /// description says by itself: nothing if it is a built-in one, whose values are those of one exporter's weights.
    pub fn assumed(&self, own: Said) -> Vec<String> {
        let Description { padding, batch_norm_epsilon, rounding, .. } = &self.description;
        let said = self.said.or(own);
        let config = &self.config;
        let [wants_config, wants_preprocessor] =
            [config, &self.preprocessor].map(|silence| !matches!(silence, Silence::Unwanted));
        let rounding = match rounding {
            Rounding::Floor { minimum } => format!("alpha rounded down, at least {minimum} channels"),
            Rounding::Nearest { multiple } => format!("alpha rounded to multiples of {multiple}"),
        };
        [
            (wants_preprocessor && !said.preprocess, format!("{PREPROCESSING}: {}", self.preprocessor)),
            (wants_config && !said.padding, format!("padding {}: {config}", padding.word())),
            (wants_config && !said.epsilon, format!("epsilon {batch_norm_epsilon}: {config}")),
            (wants_config && !said.rounding, format!("{rounding}: {config}")),
        ]
        .into_iter()
        .filter_map(|(is_assumed, text)| is_assumed.then_some(text))
        .collect()
    }
}

/// What an assumption about pictures begins with.
pub const PREPROCESSING: &str = "preprocessing";

/// What the text of a user's description says by itself.
pub fn said_by(text: &str) -> Said {
    let has = |key: &str| Description::has_key(text, key);
    Said {
        preprocess: has("preprocess"),
        padding: has("padding"),
        epsilon: has("batch_norm_epsilon"),
        rounding: has("alpha"),
    }
}

/// Reads both configurations, if there are any, and applies them: first the model's, then the preprocessor's.
///
/// # Errors
/// A file that can't be read, or is not what it should be.
pub fn configure(
    files: &mut impl Files,
    description: Description,
    sources: Sources<'_>,
) -> Result<Configured> {
    let [config, preprocessor] =
        [(sources.config, "config.json"), (sources.preprocessor, "preprocessor_config.json")].map(
            |(named, name)| {
                let found = find(files, named, sources.weights, name);
                (Silence::of(found.as_deref(), named, name), found)
            },
        );
    let mut configured = Configured {
        description,
        alpha: None,
        labels: None,
        read: Vec::new(),
        said: Said::default(),
        config: config.0,
        preprocessor: preprocessor.0,
    };
    let description = &mut configured.description;
    let mut size = None;
    if let Some(path) = config.1 {
        let config =
            ModelConfig::parse(&read_text(files, &path, Kind::Configuration)?, &path.display().to_string())?;
        config.apply(description);
        configured.said = config.said();
        (configured.alpha, configured.labels) = (config.alpha(), config.labels());
        size = config.resolution().map(|_| (description.input.height, description.input.width));
        configured.read.push((path, description.clone()));
    }
    if let Some(path) = preprocessor.1 {
        let config = PreprocessorConfig::parse(
            &read_text(files, &path, Kind::Configuration)?,
            &path.display().to_string(),
        )?;
        config.apply(description);
        configured.said = configured.said.or(config.said());
        // The model's own word stands: a preprocessor of another size is that of another resolution.
        if let Some((height, width)) = size {
            (description.input.height, description.input.width) = (height, width);
        }
        configured.read.push((path, description.clone()));
    }
    Ok(configured)
}

/// How a door reads files, and what it makes of paths that aren't absolute.
pub trait Files {
    /// Whether there is such a file.
    fn is_file(&self, path: &Path) -> bool;

    /// Its content, within the bound of its kind. An error's text says where the file was looked for.
    ///
    /// # Errors
    /// Those of [`crate::files::read`].
    fn read(&mut self, path: &Path, kind: Kind) -> io::Result<Vec<u8>>;
}

/// Reads a file of a package, and says in our words where it was looked for.
///
/// # Errors
/// Those of [`crate::files::read`].
pub fn read_tried(path: &Path, kind: Kind) -> io::Result<Vec<u8>> {
    crate::files::read(path, kind).map_err(|error| tried(&error, path))
}

/// An error of the file system begins with a capital letter and ends with a number.
fn tried(error: &io::Error, path: &Path) -> io::Error {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or("");
    let (first, rest) = text.split_at(text.chars().next().map_or(0, char::len_utf8));
    io::Error::new(error.kind(), format!("{}{rest}, tried {}", first.to_lowercase(), path.display()))
}

fn options(place: &str, detail: impl Into<String>) -> Error {
    Error::new(ErrorKind::Options, place, detail)
}

fn resolution(text: &str) -> Result<Resolution> {
    text.parse().map_err(|error: Error| options("resolution", error.faults()[0].detail.clone()))
}

fn read(files: &mut impl Files, path: &Path, kind: Kind) -> Result<Vec<u8>> {
    files.read(path, kind).map_err(|error| unread(path, &error, kind.expected()))
}

fn read_text(files: &mut impl Files, path: &Path, kind: Kind) -> Result<String> {
    text(path, read(files, path, kind)?, kind.expected())
}

fn text(path: &Path, bytes: Vec<u8>, expected: &str) -> Result<String> {
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        unread(path, &format_args!("found a byte that is not UTF-8 at offset {at}"), expected)
    })
}

fn unread(path: &Path, why: &dyn std::fmt::Display, expected: &str) -> Error {
    Error::new(ErrorKind::Io, path.display().to_string(), format!("{why}, expected {expected}"))
}

/// Labels from a file, one a line.
///
/// # Errors
/// A file that can't be read, or is not text.
pub fn labels(files: &mut impl Files, path: &Path) -> Result<Vec<String>> {
    let text = read_text(files, path, Kind::Labels)?;
    Ok(text.trim_start_matches('\u{feff}').lines().map(str::to_owned).collect())
}

/// The file that the user named, unless that is `none`; else the first of [`beside`] that exists.
fn find(files: &impl Files, named: Option<&Path>, weights: Option<&Path>, name: &str) -> Option<PathBuf> {
    match named {
        Some(named) if named == OsStr::new("none") => None,
        Some(named) => Some(named.to_owned()),
        None => beside(weights?, name).into_iter().find(|path| files.is_file(path)),
    }
}

/// Where a configuration of weights `DIR/X.safetensors` may lie: `DIR/X.NAME`, X shortened at its dots, and `DIR/NAME`.
///
/// ```
/// # use std::path::Path;
/// let found = mnc::request::beside(Path::new("dir/v1_0.25.f16.safetensors"), "config.json");
/// let expected = ["v1_0.25.f16.config.json", "v1_0.25.config.json", "v1_0.config.json", "config.json"];
/// assert_eq!(found, expected.map(|name| Path::new("dir").join(name)));
/// ```
pub fn beside(weights: &Path, name: &str) -> Vec<PathBuf> {
    let folder = weights.parent().unwrap_or(Path::new(""));
    let mut stems = Vec::new();
    let mut stem = weights.file_stem().and_then(OsStr::to_str).unwrap_or("");
    while !stem.is_empty() {
        stems.push(format!("{stem}.{name}"));
        stem = stem.rsplit_once('.').map_or("", |(shorter, _)| shorter);
    }
    stems.push(name.to_owned());
    stems.iter().map(|stem| folder.join(stem)).collect()
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

/// The alpha that was asked for, if it gives the network of the weights; else the weights' own, else the configuration's,
/// else 1.
///
/// # Errors
/// An alpha that isn't that of the weights, and weights whose alpha nobody can tell.
pub fn choose_alpha(
    (description, naming): (&Description, Option<&'static Naming>),
    weights: Option<(&Weights<'_>, &str)>,
    (asked, configured): (Option<f64>, Option<f64>),
) -> Result<(f64, AlphaSource)> {
    let stated = match (asked, configured) {
        (Some(alpha), _) => Some((alpha, AlphaSource::Asked)),
        (None, Some(alpha)) => Some((alpha, AlphaSource::Config)),
        (None, None) => None,
    };
    let Some((weights, place)) = weights else {
        return Ok(stated.unwrap_or((1.0, AlphaSource::Default)));
    };
    match (weights.infer_alpha(description, naming), stated) {
        (Ok(inferred), Some((alpha, AlphaSource::Asked))) => {
            if same_channels(description, alpha, inferred)? {
                return Ok((alpha, AlphaSource::Asked));
            }
            let detail = format!("found {alpha}, expected {inferred}, the alpha of the tensors in {place}");
            Err(Error::new(ErrorKind::Weights, "alpha", detail))
        }
        (Ok(inferred), _) => Ok((inferred, AlphaSource::Weights)),
        // An alpha of many digits can't be found, only believed; the tensors are checked against it all the same.
        (Err(_), Some(stated)) => Ok(stated),
        (Err(error), None) => Err(error),
    }
}

/// Whether two alphas give the same network: rounding makes one of many.
fn same_channels(description: &Description, a: f64, b: f64) -> Result<bool> {
    let build = |alpha| Graph::build(description, &Knobs { alpha, resolution: None });
    Ok(a == b || build(a)?.nodes == build(b)?.nodes)
}
