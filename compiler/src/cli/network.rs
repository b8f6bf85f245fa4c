//! NETWORK with its weights and the two knobs, as arguments; and the files behind them.

use std::io;
use std::path::{Path, PathBuf};

use clap::builder::{PossibleValuesParser, TypedValueParser};
use mnc::describe::{self, BUILTIN, Description};
use mnc::graph::{Knobs, MAX_ALPHA, Resolution};
use mnc::job::{Job, Opened};
use mnc::request::{Constant, Download, Files, Network, Numbers, Request, Written};
use mnc::weights::layout::Layout;
use mnc::weights::naming::Naming;
use mnc::{Fault, Place, Result};

use super::files::{self, Kind};
use super::text::tell;

/// How the tensors of weights are read.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Reading {
    #[command(flatten)]
    names: Names,
    #[command(flatten)]
    part: Part,
    /// Model configuration, or `none` [default: looked for beside the weights]
    #[arg(long, value_name = "FILE", help_heading = "Network")]
    config: Option<PathBuf>,
    /// Preprocessor configuration, or `none` [default: looked for beside the weights]
    #[arg(long, value_name = "FILE", help_heading = "Network")]
    preprocessor: Option<PathBuf>,
}

/// What the tensors of weights are called.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct Names {
    /// Whose tensor names the weights have [default: the one that fits]
    #[arg(long, value_parser = naming(), help_heading = "Network")]
    naming: Option<&'static Naming>,
    /// What the weights' tensors are called, line by line (docs/names.md; `mnc tensors --match` proposes it)
    #[arg(long, value_name = "FILE", help_heading = "Network")]
    names: Option<PathBuf>,
    /// Order of the filters' axes: OIHW (PyTorch), HWIO (TensorFlow, Keras) or OHWI (TFLite) [default: that of their shapes]
    #[arg(long, value_name = "ORDER", value_parser = axes(), help_heading = "Network")]
    axes: Option<Layout>,
}

/// Which part of weights is taken.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct Part {
    /// What tensor names begin with before the naming's, such as `ema.` [default: what they share]
    #[arg(long, value_name = "PREFIX", help_heading = "Network")]
    prefix: Option<String>,
    /// Refuse weights with tensors that no layer wants, instead of leaving them out
    #[arg(long, help_heading = "Network")]
    strict: bool,
    /// Leave the classifier out: the network returns the features that it would read
    #[arg(long, help_heading = "Network")]
    features: bool,
}

impl Part {
    /// What names begin with.
    pub(super) fn prefix(&self) -> Option<&str> {
        self.prefix.as_deref()
    }

    /// Whether no tensor may be left out.
    pub(super) fn is_strict(&self) -> bool {
        self.strict
    }

    /// The same of a network whose tensors aren't read.
    pub(super) fn without_names(&self) -> Part {
        Part { prefix: None, strict: false, features: self.features }
    }
}

impl Reading {
    /// The request with what is asked for here.
    pub(super) fn of(&self, request: Request) -> Request {
        let request = self.part.of(self.names.of(request));
        Request { config: self.config.clone(), preprocessor: self.preprocessor.clone(), ..request }
    }
}

impl Names {
    /// The request with what is asked for here.
    pub(super) fn of(&self, request: Request) -> Request {
        Request {
            naming: self.naming.map(|naming| naming.name.to_owned()),
            names: self.names.clone(),
            axes: self.axes.map(|axes| axes.name().to_owned()),
            ..request
        }
    }
}

impl Part {
    /// The request with what is asked for here.
    fn of(&self, request: Request) -> Request {
        Request { prefix: self.prefix.clone(), strict: self.strict, features: self.features, ..request }
    }
}

/// What becomes of channels that are the same whatever the input is.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct Constants {
    /// Keep channels of int8 that are one byte whatever the input is; they are left out otherwise, which changes no answer
    #[arg(long, help_heading = "Network")]
    keep_constant: bool,
    /// Leave channels out of a network in f32 too that are the same for every picture: inputs that are no picture get another answer, and
    /// the last digits of answers may differ
    #[arg(long, conflicts_with = "keep_constant", help_heading = "Network")]
    drop_constant: bool,
}

impl Constants {
    /// The request with what is asked for here.
    pub(super) fn of(self, request: Request) -> Request {
        let constant = match (self.keep_constant, self.drop_constant) {
            (true, _) => Constant::Kept,
            (false, true) => Constant::LeftOut,
            (false, false) => Constant::LeftOutOfInt8,
        };
        Request { constant, ..request }
    }
}

/// Whose numbers a network has, and which member of its family it is.
#[derive(Debug, clap::Args)]
pub(super) struct Source {
    /// Trained weights: safetensors, F32, F64, F16 or BF16; a file, an index of shards, or a folder
    #[arg(long, short, value_name = "FILE", conflicts_with = "random_weights", help_heading = "Network")]
    weights: Option<PathBuf>,
    /// Weights drawn at random instead, to measure speed without training
    #[arg(long, value_name = "SEED", help_heading = "Network")]
    random_weights: Option<u64>,
    #[command(flatten)]
    reading: Reading,
    /// Width multiplier; checked against the weights [default: theirs]
    #[arg(long, value_name = "A", value_parser = alpha, help_heading = "The paper's knobs")]
    alpha: Option<f64>,
    /// Resolution multiplier of the description's input, such as 0.714
    #[arg(long, value_name = "R", value_parser = rho, help_heading = "The paper's knobs")]
    rho: Option<f64>,
    /// Input size, N or HEIGHTxWIDTH, 1 to 1024 [default: that of the configuration, else of the description]
    #[arg(long, value_name = "N|HxW", value_parser = resolution, conflicts_with = "rho")]
    #[arg(help_heading = "The paper's knobs")]
    resolution: Option<Resolution>,
}

impl Source {
    /// What is asked for of a network.
    pub(super) fn request(&self, network: &str) -> Result<Request> {
        let numbers = match (&self.weights, self.random_weights) {
            (Some(path), _) => Numbers::File(path.clone()),
            (None, Some(seed)) => Numbers::Random(seed),
            (None, None) => Numbers::Missing(Fault {
                place: Place::flag("--weights"),
                detail: format!(
                    "found none, expected a file (`mnc tensors {network}` lists what must be in it), or --random-weights SEED"
                ),
            }),
        };
        let request = self.reading.of(Request::new(named(network)?, numbers));
        Ok(Request {
            alpha: self.alpha,
            rho: self.rho,
            resolution: self.resolution.map(|resolution| resolution.to_string()),
            ..request
        })
    }
}

/// Files as the user of a shell names them.
pub(super) struct Disk;

impl Files for Disk {
    fn is_file(&self, path: &Path) -> bool {
        path.is_file()
    }

    fn folder(&self, path: &Path) -> Option<Vec<String>> {
        mnc::files::folder(path)
    }

    fn start(&self, path: &Path) -> Vec<u8> {
        mnc::files::start(path)
    }

    fn read(&mut self, path: &Path, kind: Kind) -> io::Result<Vec<u8>> {
        let is_stdin = kind == Kind::Network && path == Path::new("-");
        files::read_bytes(if is_stdin { Path::new("/dev/stdin") } else { path }, kind)
    }

    fn expected(&self, kind: Kind) -> String {
        kind.expected().to_owned()
    }
}

/// The network that the user names: a built-in description, or a file.
pub(super) fn named(network: &str) -> Result<Network> {
    let path = Path::new(network);
    if describe::builtin(network).is_none() && network != "-" && !path.exists() && !network.ends_with(".toml")
    {
        let names: Vec<&str> = BUILTIN.iter().map(|builtin| builtin.name).collect();
        let detail = format!(
            "no such network, expected {}, the path of a description such as net.toml, or a folder with weights",
            names.join(", ")
        );
        return super::fail(path, detail);
    }
    Ok(Network::Named(network.to_owned()))
}

/// What is known of a network without compiling it.
pub(super) struct Known {
    /// With what the configuration beside its weights changes.
    pub(super) description: Description,
    /// That of its weights, else 1.
    pub(super) alpha: f64,
    /// That of its weights.
    pub(super) naming: Option<&'static Naming>,
    /// By what the network was recognised, where it was found and not named.
    pub(super) recognised: Option<String>,
    /// The size that the files say.
    pub(super) resolution: Option<Resolution>,
    /// With its weights, where it was found.
    pub(super) opened: Option<Opened>,
}

impl Known {
    /// Whether it computes in bytes and integers.
    pub(super) fn is_int8(&self) -> bool {
        self.opened.as_ref().is_some_and(Opened::is_int8)
    }
}

/// The network that the user names: a built-in one, a description, or a folder or a file of weights, which say what they are of.
pub(super) fn known(network: &str, part: &Part) -> Result<Known> {
    let missing = Fault { place: Place::flag("--weights"), detail: String::new() };
    let request = part.of(Request::new(named(network)?, Numbers::Missing(missing)));
    if !is_download(network) {
        for (is_there, flag) in [(part.prefix.is_some(), "--prefix"), (part.strict, "--strict")] {
            if is_there {
                let detail = "found without weights, expected a folder or a file of weights as the network";
                return super::usage(flag, detail);
            }
        }
        let Written { mut description, .. } = written(network)?;
        description.is_headless |= part.features;
        return Ok(Known {
            description,
            alpha: 1.0,
            naming: None,
            recognised: None,
            resolution: None,
            opened: None,
        });
    }
    let opened = Job::resolve(&request, &mut Disk)?.open(&mut Disk)?;
    let (graph, _) = opened.graph()?;
    let naming = opened.weights().map(|weights| weights.detect(&graph)).transpose()?;
    let job = opened.job();
    warn(job);
    Ok(Known {
        description: job.description().clone(),
        alpha: graph.alpha,
        naming,
        recognised: job.recognised.clone(),
        resolution: job.resolution,
        opened: Some(opened),
    })
}

/// Tells, where no summary does, what may mean that the network is another one than the weights are of.
pub(super) fn warn(job: &Job) {
    for warning in job.warnings() {
        tell(format_args!("warning: {warning}\n"));
    }
}

/// Whether it is a folder or a file of weights, not a name or a description.
pub(super) fn is_download(network: &str) -> bool {
    describe::builtin(network).is_none()
        && (Path::new(network).is_dir() || mnc::request::is_weights(network, &Disk))
}

/// The same, as its author wrote it.
pub(super) fn written(network: &str) -> Result<Written> {
    named(network)?.read(&mut Disk)
}

/// The name of the built-in network whose weights lie in a folder; `None` where the network is no folder.
pub(super) fn of_folder(network: &str) -> Result<Option<String>> {
    if !Path::new(network).is_dir() {
        return Ok(None);
    }
    let missing = Fault { place: Place::flag("--weights"), detail: String::new() };
    let request = Request::new(named(network)?, Numbers::Missing(missing));
    let found = Download::open(&request, &mut Disk)?;
    Ok(found.and_then(|found| match found.request.network {
        Network::Named(name) => Some(name),
        Network::Inline { .. } => None,
    }))
}

/// Members of the family M(alpha, rho): every width at every resolution.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Family {
    /// Width multipliers, separated by commas [default: that of the weights, else 1]
    #[arg(long, value_name = "A", value_delimiter = ',', value_parser = alpha, help_heading = "The paper's knobs")]
    alpha: Vec<f64>,
    /// Resolution multipliers of the description's input, separated by commas
    #[arg(long, value_name = "R", value_delimiter = ',', value_parser = rho, conflicts_with = "resolution")]
    #[arg(help_heading = "The paper's knobs")]
    rho: Vec<f64>,
    /// Input sizes, N or HEIGHTxWIDTH, separated by commas [default: that of the description]
    #[arg(long, value_name = "N|HxW", value_delimiter = ',', value_parser = resolution)]
    #[arg(help_heading = "The paper's knobs")]
    resolution: Vec<Resolution>,
}

impl Family {
    /// The knobs of each member; `usual_alpha` where nobody chose one.
    pub(super) fn members(&self, description: &Description, usual_alpha: f64) -> Result<Vec<Knobs>> {
        let by_rho = self.rho.iter().map(|rho| Resolution::from_rho(description.input, *rho).map(Some));
        let by_size = self.resolution.iter().map(|resolution| Ok(Some(*resolution)));
        let mut resolutions: Vec<Option<Resolution>> = by_rho.chain(by_size).collect::<Result<_>>()?;
        if resolutions.is_empty() {
            resolutions.push(None);
        }
        let alphas = if self.alpha.is_empty() { &[usual_alpha][..] } else { &self.alpha };
        let member = |alpha: &f64| {
            let alpha = *alpha;
            resolutions.iter().map(move |resolution| Knobs { alpha, resolution: *resolution })
        };
        Ok(alphas.iter().flat_map(member).collect())
    }

    /// Whether alpha was chosen.
    pub(super) fn has_alpha(&self) -> bool {
        !self.alpha.is_empty()
    }
}

/// A width multiplier in its range.
pub(super) fn alpha(text: &str) -> Result<f64, String> {
    let expected = || format!("expected a number above 0, at most {MAX_ALPHA}");
    text.parse().ok().filter(|alpha| 0.0 < *alpha && *alpha <= MAX_ALPHA).ok_or_else(expected)
}

/// A resolution multiplier; whether it fits is known with the network.
pub(super) fn rho(text: &str) -> Result<f64, String> {
    let rho: Option<f64> = text.parse().ok();
    rho.filter(|rho| 0.0 < *rho && rho.is_finite()).ok_or_else(|| "expected a number above 0".to_owned())
}

/// Most images of a batch: what more would gain is lost in the caches.
const MOST_IMAGES: usize = 256;

/// Images of one run.
pub(super) fn batch(text: &str) -> Result<usize, String> {
    let batch = text.parse().ok().filter(|batch| (1..=MOST_IMAGES).contains(batch));
    batch.ok_or_else(|| format!("expected a number of images from 1 to {MOST_IMAGES}"))
}

/// `160` or `192x160`.
pub(super) fn resolution(text: &str) -> Result<Resolution, String> {
    text.parse().map_err(|error: mnc::Error| error.faults()[0].detail.clone())
}

/// A naming by its name.
pub(super) fn naming() -> impl TypedValueParser<Value = &'static Naming> {
    PossibleValuesParser::new(Naming::ALL.iter().map(|naming| naming.name))
        .map(|name| Naming::by_name(&name).expect("the values are the namings' names"))
}

/// An order of axes by its name.
pub(super) fn axes() -> impl TypedValueParser<Value = Layout> {
    PossibleValuesParser::new(Layout::ALL.map(Layout::name))
        .map(|name| Layout::by_name(&name).expect("the values are the orders' names"))
}
