//! The JSON beside trained weights, found and applied: a description -> the one that the weights were trained as.
//!
//! The order in which the files have their say, and what is assumed where none of them speaks. Knows no tensors.

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};

use super::{Files, Numbers, Request, file_name};
use crate::describe::{self, Description, Rounding};
use crate::error::{Error, ErrorKind, Place, Result, quoted};
use crate::files::Kind;
use crate::weights::config::{self as exporter, ModelConfig, PreprocessorConfig, Said};

/// A description after the files that speak of it.
#[derive(Clone, Debug)]
pub struct Configured {
    /// What all of them make of it.
    pub description: Description,
    /// The model's width multiplier.
    pub alpha: Option<f64>,
    /// The model's names of its outputs.
    pub labels: Option<Vec<String>>,
    /// Each file that was read; alpha and labels are of the first.
    pub read: Vec<Reading>,
    /// What the weights' own exporter makes of it where no file speaks of the model.
    pub exporter: Option<Exporter>,
    /// What speaks against that the model's configuration is of this network.
    pub doubt: Option<String>,
    /// Models that differ in what nobody says, where nothing tells which of them it is: what was found, and what to do.
    pub undecided: Option<String>,
    /// Whether the configuration names a model.
    names_model: bool,
    /// The model of timm that it names.
    timm: Option<String>,
    /// Files beside the weights that may speak of pictures, in a format that isn't read.
    pub unread: Vec<PathBuf>,
    /// What the files say of the training.
    said: Said,
    /// Why the model's configuration says no more.
    config: Silence,
    /// Why the preprocessor's says no more.
    preprocessor: Silence,
}

/// What is known of weights by their tensors and files.
#[derive(Clone, Copy, Debug)]
pub struct Trained<'a> {
    /// Whose names the tensors have.
    pub naming: &'a str,
    /// The model, where it is built otherwise than the network.
    pub relative: Option<&'a str>,
    /// The names of the file and its folder.
    pub names: &'a [&'a str],
    /// Whether the network is a built-in one, as it is.
    pub is_builtin: bool,
}

/// What the code of an exporter says where no configuration does.
#[derive(Clone, Debug)]
pub struct Exporter {
    /// The model: `torchvision mobilenet_v2`.
    pub model: String,
    /// Whose values they are: `timm's`.
    pub whose: &'static str,
    /// What it made of the description, and the weights of its classes.
    pub after: Description,
}

/// A configuration that was read.
#[derive(Clone, Debug)]
pub struct Reading {
    /// As it was named or found.
    pub path: PathBuf,
    /// JSON.
    pub text: String,
    /// What it made of the description.
    pub after: Description,
    /// Its keys that nobody knows.
    pub unknown: Vec<String>,
}

/// Why a configuration says no more than it does.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Silence {
    /// There is none.
    NoFile(&'static str),
    /// The user wants none: then nothing is assumed silently.
    Unwanted,
    /// It was read, and that is all: its name, for a path has no place in what is compiled.
    Read(String),
}

impl fmt::Display for Silence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Silence::NoFile(name) => write!(f, "no {name}"),
            Silence::Unwanted => f.write_str("none is wanted"),
            Silence::Read(file) => write!(f, "{file} doesn't say"),
        }
    }
}

impl Configured {
    /// Reads both configurations, if there are any, and applies them: first the model's, then the preprocessor's.
    ///
    /// # Errors
    /// A file that can't be read, or is not what it should be.
    pub fn read(files: &mut impl Files, description: &Description, request: &Request) -> Result<Configured> {
        let weights = match &request.numbers {
            Numbers::File(path) => Some(path.as_path()),
            Numbers::Random(_) | Numbers::Runtime | Numbers::Missing(_) => None,
        };
        let named = [(&request.config, "config.json"), (&request.preprocessor, "preprocessor_config.json")];
        let [(model, config), (pictures, preprocessor)] =
            named.map(|(named, name)| find(files, named.as_deref(), weights, name));
        // Newer versions of transformers write it within another file.
        let (pictures, preprocessor) = match pictures {
            None if preprocessor == Silence::NoFile("preprocessor_config.json") => {
                match find(files, None, weights, "processor_config.json") {
                    (Some(path), silence) => (Some(path), silence),
                    (None, _) => (None, preprocessor),
                }
            }
            pictures => (pictures, preprocessor),
        };
        let mut configured = Configured {
            description: description.clone(),
            alpha: None,
            labels: None,
            read: Vec::new(),
            exporter: None,
            doubt: None,
            undecided: None,
            names_model: false,
            timm: None,
            unread: match &request.preprocessor {
                Some(_) => Vec::new(),
                None => weights.map_or(Vec::new(), |weights| unread(files, weights)),
            },
            said: Said::default(),
            config,
            preprocessor,
        };
        let description = &mut configured.description;
        let mut size = None;
        if let Some(path) = model {
            let text = files.text(&path, Kind::Configuration)?;
            let config = ModelConfig::parse(&text, &path.display().to_string())?;
            configured.doubt = doubt(&config, description)
                .map_err(|detail| Error::new(ErrorKind::Weights, Place::file(&path), detail))?;
            config.apply(description);
            configured.said = config.said();
            configured.names_model = config.architecture().is_some();
            configured.timm = config.timm().map(str::to_owned);
            (configured.alpha, configured.labels) = (config.alpha(), config.labels());
            size = config.resolution().map(|_| (description.input.height, description.input.width));
            let unknown = config.unknown().to_vec();
            configured.read.push(Reading { path, text, after: description.clone(), unknown });
        }
        if let Some(path) = pictures {
            let text = files.text(&path, Kind::Configuration)?;
            let place = path.display().to_string();
            let config = PreprocessorConfig::parse(&text, &place)?;
            config.check_channels(description.input.channels, &place)?;
            config.apply(description);
            configured.said = configured.said.or(config.said());
            // The model's own word stands: a preprocessor of another size is that of another resolution.
            if let Some((height, width)) = size {
                (description.input.height, description.input.width) = (height, width);
            }
            let unknown = config.unknown().to_vec();
            configured.read.push(Reading { path, text, after: description.clone(), unknown });
        }
        fit_channels(&mut configured)?;
        Ok(configured)
    }

    /// Takes what the code of the weights' exporter says, of all that no file and no description says: `own` is what the description
    /// says by itself. Whether there was something.
    pub fn take_exporter(&mut self, trained: &Trained<'_>, own: Said) -> bool {
        let Trained { naming, relative, names, is_builtin } = *trained;
        let mut said = self.said.or(own);
        // Who wants no configuration says that the description is right.
        said.preprocess |= self.preprocessor == Silence::Unwanted;
        let is_all_said = said.padding && said.epsilon && said.preprocess && (said.rounding || !is_builtin);
        if is_all_said || (!is_builtin && self.config == Silence::Unwanted) {
            return false;
        }
        let model = relative.or(self.timm.as_deref());
        let is_asked = naming == "timm" && model.is_none() && self.config != Silence::Unwanted;
        let by_name = match exporter::Exporter::timm_by_name(&self.description.name, names) {
            Err([one, other]) if is_asked && !(said.padding && said.epsilon) => {
                self.undecided = Some(format!(
                    "found tensors that timm's {one} and {other} have, which differ in padding and epsilon; expected \
                     {{\"architecture\": \"{one}\"}} or the other in a config.json beside the file, or --config FILE"
                ));
                None
            }
            found => found.ok().flatten().filter(|_| is_asked),
        };
        let found = model.or(by_name).and_then(exporter::Exporter::timm);
        let Some(found) = found.or_else(|| exporter::Exporter::of(naming, &self.description)) else {
            return false;
        };
        found.apply(&mut self.description, said, is_builtin);
        self.said = self.said.or(found.certain);
        self.exporter =
            Some(Exporter { model: found.model, whose: found.whose, after: self.description.clone() });
        true
    }

    /// Takes what a file of int8 says of itself in place of what lies beside it.
    pub fn adopt(&mut self, file: &str, description: Description) {
        self.description = description.clone();
        self.exporter = Some(Exporter { model: file.to_owned(), whose: "the file's", after: description });
        self.alpha = None;
        self.labels = None;
        self.read.clear();
    }

    /// Whether a configuration says which model it is.
    pub fn names_model(&self) -> bool {
        self.names_model
    }

    /// Takes the classes of the weights' classifier, if no file says how many there are. Whether the description had others.
    pub fn take_classes(&mut self, classes: usize) -> bool {
        let had_others = !self.said.classes && self.description.classes != classes;
        if had_others {
            self.description.classes = classes;
        }
        had_others
    }

    /// What nobody says of how the weights were trained, with the value that is taken and the reason. `own` is what the
    /// description says by itself.
    pub fn assumed(&self, own: Said) -> Vec<String> {
        let Description { padding, batch_norm_epsilon, rounding, .. } = &self.description;
        let said = self.said.or(own);
        // Of what it knows for certain nothing is told.
        let usual = self.exporter.as_ref();
        let usual = usual.map_or(String::new(), |exporter| format!(", so {}", exporter.whose));
        let config = &self.config;
        let [wants_config, wants_preprocessor] =
            [config, &self.preprocessor].map(|silence| *silence != Silence::Unwanted);
        let rounding = match rounding {
            Rounding::Floor { minimum } => format!("alpha rounded down, at least {minimum} channels"),
            Rounding::Nearest { multiple } | Rounding::NearestOfWhole { multiple, .. } => {
                format!("alpha rounded to multiples of {multiple}")
            }
        };
        [
            (
                wants_preprocessor && !said.preprocess,
                format!("{PREPROCESSING}: {}{usual}", self.preprocessor),
            ),
            (wants_config && !said.padding, format!("padding {padding}: {config}{usual}")),
            (wants_config && !said.epsilon, format!("epsilon {batch_norm_epsilon}: {config}{usual}")),
            (wants_config && !said.rounding, format!("{rounding}: {config}{usual}")),
        ]
        .into_iter()
        .filter_map(|(is_assumed, text)| is_assumed.then_some(text))
        .collect()
    }
}

/// What speaks against that a configuration is of this network.
///
/// # Errors
/// It is of another built-in one.
fn doubt(config: &ModelConfig, description: &Description) -> Result<Option<String>, String> {
    let Some(architecture) = config.architecture() else { return Ok(None) };
    let name = quoted(architecture.name());
    let network = &description.name;
    match architecture.network() {
        // What a network is that we don't know, its user says.
        _ if describe::builtin(network).is_none() => Ok(None),
        Some(other) if other == network => Ok(None),
        Some(other) => Err(format!(
            "found {name}, which is {other}, expected a configuration of {network}: compile {other}, or use --config none"
        )),
        None => Ok(Some(format!(
            "the configuration is of {name}, which mnc doesn't know as {network}: what it says was followed all the same"
        ))),
    }
}

/// A mean and a deviation for each channel, where a configuration has another number of channels than the description.
fn fit_channels(configured: &mut Configured) -> Result<()> {
    let channels = configured.description.input.channels;
    let preprocess = &mut configured.description.preprocess;
    let fits = |numbers: &mut Vec<f64>| {
        let is_even = numbers.windows(2).all(|pair| pair[0] == pair[1]);
        // What is the same for all colours is that of a grey picture.
        if let (true, 1, Some(first)) = (is_even, channels, numbers.first().copied()) {
            *numbers = vec![first];
        }
        numbers.len() == channels
    };
    let all_fit = [&mut preprocess.mean, &mut preprocess.std].map(fits) == [true; 2];
    if all_fit && [0, channels].contains(&preprocess.fill.len()) {
        return Ok(());
    }
    let place =
        configured.read.last().map_or(Place::named("preprocess"), |reading| Place::file(&reading.path));
    let n = preprocess.mean.len();
    let detail = format!(
        "found {channels} input channels, expected {n}, as many as the numbers of the description's [preprocess]; \
         write {channels} of each there"
    );
    Err(Error::new(ErrorKind::Weights, place, detail))
}

/// What an assumption about pictures begins with.
pub const PREPROCESSING: &str = "preprocessing";

/// The file that is read, and why there is no more.
fn find(
    files: &impl Files,
    named: Option<&Path>,
    weights: Option<&Path>,
    name: &'static str,
) -> (Option<PathBuf>, Silence) {
    let found = find_file(files, named, weights, name);
    let silence = match &found {
        Some(path) => Silence::Read(file_name(path)),
        None if named.is_some() => Silence::Unwanted,
        None => Silence::NoFile(name),
    };
    (found, silence)
}

/// What other programs write beside weights of how pictures are prepared, in formats of their own.
fn unread(files: &impl Files, weights: &Path) -> Vec<PathBuf> {
    const STEMS: [&str; 5] = ["data_config", "args", "hparams", "config", "params"];
    const ENDINGS: [&str; 3] = ["yaml", "yml", "json"];
    let names = STEMS.into_iter().flat_map(|stem| ENDINGS.map(|ending| format!("{stem}.{ending}")));
    let others = names.filter(|name| name != "config.json");
    others.filter_map(|name| beside(weights, &name).into_iter().find(|path| files.is_file(path))).collect()
}

/// The file that the user named, unless that is `none`, else the first of [`beside`] that exists.
pub(super) fn find_file(
    files: &impl Files,
    named: Option<&Path>,
    weights: Option<&Path>,
    name: &str,
) -> Option<PathBuf> {
    match named {
        Some(named) => (named != OsStr::new("none")).then(|| named.to_owned()),
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
