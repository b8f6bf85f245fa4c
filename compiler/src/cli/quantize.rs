//! `mnc quantize`: a network in f32 and pictures -> the same network in bytes and integers, and how far it is from f32.

mod pictures;
mod report;

use std::path::PathBuf;
use std::thread;
use std::time::Instant;

use mnc::graph::Graph;
use mnc::job::{Job, Opened, Settings};
use mnc::quantize::file::{self, Provenance};
use mnc::quantize::{self, Comparison, Options, Pictures};
use mnc::weights::Parameters;
use mnc::{Place, Result, Target};

use self::pictures::{Set, Sets};
use self::report::Document;
use super::network::Disk;
use super::output::print;
use super::{files, network, rounds};

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

    /// Folder of pictures to calibrate with, such as the network will see [default: pictures that `mnc` brings]
    #[arg(long, value_name = "FOLDER", help_heading = "Pictures")]
    calibrate: Option<PathBuf>,
    /// Folder of pictures on which int8 and f32 are compared beside
    #[arg(long, value_name = "FOLDER", help_heading = "Pictures")]
    images: Option<PathBuf>,
    /// Keep two neighbouring weights of one sign within 128: the same answers, in fewer steps, from CPUs without VNNI
    #[arg(long)]
    pair_safe: bool,
    /// Threads; they change no number [default: one for each core]
    #[arg(long, short, value_name = "T", value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: Option<u16>,

    /// Where to write [default: NETWORK.int8.safetensors]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// One JSON document instead of the report
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  mnc quantize mobilenet-v1 --weights w.safetensors -o net.int8.safetensors
  mnc quantize downloaded/ --calibrate photos/
  mnc quantize mobilenet-v1 --weights w.safetensors --images others/ --json

docs/int8.md tells what is done, and how to read the report.";

pub(super) fn run(args: &Args) -> Result<()> {
    let started = Instant::now();
    let opened = Job::resolve(&args.source.request(&args.network)?, &mut Disk)?.open(&mut Disk)?;
    let (graph, _) = opened.graph()?;
    let parameters = parameters(&opened, &graph)?;
    // What can't be quantised is not worth reading pictures for.
    quantize::check(&graph)?;
    let path = args.output.clone().unwrap_or_else(|| format!("{}.int8.safetensors", graph.name).into());
    files::check_not_read("-o", &path)?;
    let Sets { calibration, judges } = pictures::sets(&graph, args.calibrate.as_deref())?;
    let images = args.images.as_deref().map(|folder| pictures::folder(&graph, folder)).transpose()?;
    let constants = graph.preprocess.constants();
    let n_threads =
        args.threads.map_or_else(|| thread::available_parallelism().map_or(1, usize::from), usize::from);
    let of = |set: &'_ Set| -> Vec<Vec<u8>> { set.bytes.clone() };
    let (calibrating, judging) = (of(&calibration), of(&judges));
    let n_pictures =
        calibrating.len() + judging.len() + images.as_ref().map_or(0, |images| images.bytes.len());
    let progress = rounds::progress("quantising", quantize::n_steps(&graph, n_pictures)?);
    let done = || progress.inc(1);
    let options = Options { pair_safe: args.pair_safe };
    let pictures = Pictures { bytes: &calibrating, constants: &constants, n_threads };
    let (numbers, integers) = quantize::quantize(&graph, &parameters, &pictures, options, &done)?;
    let comparison = quantize::compare(&numbers, &integers, &Pictures { bytes: &judging, ..pictures }, &done);
    let beside: Option<(&Set, Comparison)> = images.as_ref().map(|images| {
        (
            images,
            quantize::compare(&numbers, &integers, &Pictures { bytes: &images.bytes, ..pictures }, &done),
        )
    });
    progress.finish_and_clear();
    let provenance = Provenance {
        calibration: calibration.told.clone(),
        pair_safe: args.pair_safe,
        sigma: comparison.certificate.as_ref().map(|certificate| certificate.sigma),
        judged: comparison.certificate.as_ref().map(|_| judges.told.clone()),
    };
    let bytes = file::write(&integers, &graph, &provenance)?;
    files::write(&path, &bytes, false)?;
    let document = Document::new(report::Source {
        graph: &graph,
        numbers: &numbers,
        sets: (&calibration, &judges),
        comparison: &comparison,
        beside: beside.as_ref().map(|(set, comparison)| (*set, comparison)),
        file: (&path, bytes.len()),
    });
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
