//! `mnc quantize`: a network in f32 and pictures -> the same network in bytes and integers, and how far it is from f32.

mod pictures;
mod report;

use std::path::{Path, PathBuf};
use std::thread;
use std::time::Instant;

use clap::builder::NonEmptyStringValueParser;
use mnc::graph::Graph;
use mnc::job::{Job, Opened, Settings};
use mnc::passes::Fused;
use mnc::quantize::file::{self, Provenance};
use mnc::quantize::{self, Certificate, Choice, Comparison, Options, Pictures, Quantized, leaves};
use mnc::weights::Parameters;
use mnc::{Marks, Place, Result, Target};

use self::pictures::{Set, Sets};
use self::report::Document;
use super::network::Disk;
use super::output::{self, print};
use super::{files, network, rounds, summary};

/// Makes int8 of a network: bytes and integers in place of numbers
///
/// Chooses what the bytes of each layer stand for, makes weights of eight bits, and corrects what their rounding does, on pictures
/// that need no labels. Without --calibrate these are 16 synthetic pictures and 16 parts of two photographs that `mnc` brings. The
/// report tells how far the result is from f32, layer by layer, on pictures that weren't used.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// A built-in network (`mnc describe` lists them), the path of a description, or a folder with weights
    network: String,
    #[command(flatten)]
    source: network::Source,

    #[command(flatten)]
    choices: Choices,
    /// Folder of pictures on which int8 and f32 are compared beside, of more than 1000 on 1000 from everywhere; with a folder for each
    /// class in it, named by label or number of output, also how often both are right
    #[arg(long, value_name = "FOLDER", help_heading = "int8")]
    images: Option<PathBuf>,
    /// Labels of the pictures, PATH,LABEL a line, instead of folders
    #[arg(long, value_name = "FILE", requires = "images", help_heading = "int8")]
    image_labels: Option<PathBuf>,
    /// Threads; they change no number [default: one for each core]
    #[arg(long, short, value_name = "T", value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: Option<u16>,

    /// Where to write [default: NETWORK.int8.safetensors]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// One JSON document instead of the report
    #[arg(long)]
    json: bool,
    /// No report
    #[arg(long, short, conflicts_with = "json")]
    quiet: bool,
}

const EXAMPLES: &str = "\
Examples:
  mnc quantize mobilenet-v1 --weights w.safetensors -o net.int8.safetensors
  mnc quantize downloaded/ --calibrate photos/
  mnc quantize mobilenet-v1 --weights w.safetensors --images others/ --json
  mnc quantize downloaded/ --images photos/ --image-labels labels.csv

docs/int8.md tells what is done, and how to read the report.";

/// How a network is quantised.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Choices {
    /// Folder of pictures to calibrate with, such as the network will see: 32 are enough, more than 128 aren't used, and of 8 or more every
    /// fourth is kept for judging [default: pictures that `mnc` brings]
    #[arg(long, value_name = "FOLDER", help_heading = "int8")]
    calibrate: Option<PathBuf>,
    /// Keep four weights of one sign, of neighbouring input channels, within 128: the same answers, in fewer steps, from CPUs without VNNI
    #[arg(long, help_heading = "int8")]
    pair_safe: bool,
    /// Layers to leave in f32, by the names in the report of `mnc quantize`, beside those that the measured error leaves there; `none`
    /// stands for no such others
    #[arg(
        long,
        value_name = "LAYER,...",
        value_delimiter = ',',
        value_parser = NonEmptyStringValueParser::new(),
        help_heading = "int8"
    )]
    keep_f32: Vec<String>,
}

impl Choices {
    fn options(&self) -> Options {
        let (none, layers): (Vec<String>, Vec<String>) =
            self.keep_f32.iter().cloned().partition(|name| name == "none");
        Options { pair_safe: self.pair_safe, keep_f32: layers, only_named: !none.is_empty() }
    }
}

/// The same on the way to something else.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Int8 {
    /// Make int8 of the weights first, as `mnc quantize` does, without a file of it
    #[arg(long, help_heading = "int8")]
    int8: bool,
    #[command(flatten)]
    choices: Choices,
}

impl Int8 {
    /// Whether it is asked for.
    pub(super) fn is_asked(&self) -> bool {
        self.int8
    }

    /// Refuses choices of what isn't asked for.
    pub(super) fn check(&self) -> Result<()> {
        let Choices { calibrate, pair_safe, keep_f32 } = &self.choices;
        let choices = [
            (calibrate.is_some(), "--calibrate"),
            (*pair_safe, "--pair-safe"),
            (!keep_f32.is_empty(), "--keep-f32"),
        ];
        for (is_there, flag) in choices {
            if is_there && !self.int8 {
                return super::usage(flag, "found without --int8, expected both: it says how int8 is made");
            }
        }
        Ok(())
    }

    /// A network of these weights in int8, if it is asked for.
    pub(super) fn of(&self, opened: Opened, graph: &Graph) -> Result<Opened> {
        if self.int8 { self.judged(opened, graph).map(|(opened, _)| opened) } else { Ok(opened) }
    }

    /// The same where it is known to be asked for, and how far it is from f32: of classifiers, with the pictures that told it.
    pub(super) fn judged(
        &self,
        opened: Opened,
        graph: &Graph,
    ) -> Result<(Opened, Option<(Certificate, String)>)> {
        // Pictures come one by one here.
        let graph = Graph { batch: 1, ..graph.clone() };
        let Made { bytes, comparison, sets, .. } =
            make(&opened, graph, &self.choices, None, n_threads(None))?;
        let told = comparison.certificate.map(|certificate| (certificate, sets.judges.told));
        Ok((opened.quantised(bytes)?, told))
    }

    /// Refuses pictures for numbers that nobody has trained.
    pub(super) fn check_random(&self) -> Result<()> {
        match self.choices.calibrate {
            Some(_) => super::usage("--calibrate", "found without weights, expected trained ones"),
            None => Ok(()),
        }
    }

    /// A network of random numbers in int8, in no time: its speed and size are those of any other.
    pub(super) fn of_random(&self, graph: &Graph, seed: u64) -> Result<Fused> {
        self.check_random()?;
        let graph = &Graph { batch: 1, ..graph.clone() };
        let constants = graph.preprocess.constants();
        let bytes = leaves::pictures(graph.input_shape(), 1, 1);
        let pictures = Pictures { bytes: &bytes, constants: &constants, n_threads: n_threads(None) };
        // The error of random weights tells nothing.
        let options = Options { only_named: true, ..self.choices.options() };
        let parameters = Parameters::random(graph, seed);
        Ok(quantize::quantize(graph, &parameters, &pictures, &options, &|| ())?.integers)
    }
}

/// A network in int8, and how far it is from f32.
struct Made {
    graph: Graph,
    /// In f32.
    numbers: Fused,
    /// The layers that the measured error left in f32.
    choices: Vec<Choice>,
    /// What becomes of a picture before the first layer.
    preprocessing: String,
    sets: Sets,
    comparison: Comparison,
    /// On the user's pictures.
    beside: Option<(Set, Comparison)>,
    /// The file.
    bytes: Vec<u8>,
}

fn n_threads(asked: Option<u16>) -> usize {
    asked.map_or_else(|| thread::available_parallelism().map_or(1, usize::from), usize::from)
}

/// `images` is the folder of the user's pictures, with the file of their labels.
fn make(
    opened: &Opened,
    graph: Graph,
    choices: &Choices,
    images: Option<(&Path, Option<&Path>)>,
    n_threads: usize,
) -> Result<Made> {
    let parameters = parameters(opened, &graph)?;
    // What can't be quantised is not worth reading pictures for.
    let options = choices.options();
    quantize::check(&graph, &options)?;
    let sets = pictures::sets(&graph, choices.calibrate.as_deref())?;
    let images = match images {
        Some((folder, labels)) => Some(pictures::folder(&graph, folder, labels, &opened.labels(&graph)?)?),
        None => None,
    };
    let Sets { calibration, judges } = &sets;
    let constants = graph.preprocess.constants();
    let n_pictures =
        calibration.bytes.len() + judges.bytes.len() + images.as_ref().map_or(0, |images| images.bytes.len());
    let progress = rounds::progress("quantising", quantize::n_steps(&graph, n_pictures)?);
    let done = || progress.inc(1);
    let pictures = Pictures { bytes: &calibration.bytes, constants: &constants, n_threads };
    let Quantized { numbers, integers, choices: chosen } =
        quantize::quantize(&graph, &parameters, &pictures, &options, &done)?;
    let compare = |set: &Set| {
        quantize::compare(&numbers, &integers, &Pictures { bytes: &set.bytes, ..pictures }, &done)
    };
    let comparison = compare(judges);
    let beside = images.map(|images| {
        let comparison = compare(&images);
        (images, comparison)
    });
    progress.finish_and_clear();
    let Marks { random_weights, assumed } = opened.marks();
    let shape = graph.input_shape();
    let preprocessing = summary::images(&mnc::preprocess(&graph.preprocess, shape), shape.channels, &assumed);
    let provenance = Provenance {
        calibration: calibration.told.clone(),
        pair_safe: choices.pair_safe,
        sigma: comparison.certificate.as_ref().map(|certificate| certificate.sigma),
        judged: comparison.certificate.as_ref().map(|_| judges.told.clone()),
        random_weights,
        assumed,
        chosen_f32: chosen.iter().flat_map(|choice| choice.layers.clone()).collect(),
    };
    let bytes = file::write(&integers, &graph, &opened.said(), &provenance)?;
    Ok(Made { graph, numbers, choices: chosen, preprocessing, sets, comparison, beside, bytes })
}

pub(super) fn run(args: &Args) -> Result<()> {
    let started = Instant::now();
    let opened = Job::resolve(&args.source.request(&args.network)?, &mut Disk)?.open(&mut Disk)?;
    let network = &opened.job().description().name;
    let path = args.output.clone().unwrap_or_else(|| format!("{network}.int8.safetensors").into());
    if path == Path::new("-") {
        return super::usage("-o", "found -, expected a file: the report is what goes to standard output");
    }
    output::check(&path, false)?;
    files::check_not_read("-o", &path)?;
    let images = args.images.as_deref().map(|folder| (folder, args.image_labels.as_deref()));
    let (graph, _) = opened.graph()?;
    let made = make(&opened, graph, &args.choices, images, n_threads(args.threads))?;
    files::write(&path, &made.bytes, false)?;
    if args.quiet {
        return Ok(());
    }
    let document = Document::new(&made, &path);
    print(&if args.json { document.to_json() } else { document.to_text(started.elapsed()) })
}

/// The numbers of the network, which has to be one that can be compiled at all.
fn parameters(opened: &Opened, graph: &Graph) -> Result<Parameters> {
    let target = Target::new("x86_64-unknown-linux-gnu", None)?;
    opened.parameters(graph, &Settings::new(&target, "network"))
}

/// An error about the network's input.
fn refused<T>(detail: impl Into<String>) -> Result<T> {
    Err(mnc::Error::new(mnc::ErrorKind::Options, Place::flag("--calibrate"), detail))
}
