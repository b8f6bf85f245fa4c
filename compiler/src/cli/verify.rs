//! `mnc verify`: compiled code is run, and every layer's value compared with the reference, bit for bit.

mod against;
mod check;
mod child;
mod compare;
mod draw;
mod emulator;
mod harness;
mod inputs;
mod looks;
mod report;
mod subject;

use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use mnc::job::{Job, Settings};
use mnc::passes::FusedId;
use mnc::request::Constant;
use mnc::{Options, Result, Target};
use mnc_runtime::orders::{MOST_THREADS, Manner};

use self::against::Distance;
use self::check::{Input, Work, check};
pub(super) use self::inputs::list;
use self::report::Document;
use self::subject::{Found, Subject, Workshop};
use super::link::Linker;
use super::network::Disk;
use super::output::print;
use super::{host, network, quantize, rounds, usage};

/// Compares compiled code with the reference, bit for bit
///
/// Compiles NETWORK, or takes --executable or --object, and runs the code here, under qemu for another processor: alone, step
/// by step, with threads, and with the pieces of each step in other orders. What it writes, layer by layer, must have the bits
/// of the reference, which is the paper's equations in plain loops. --against compares with what another framework recorded.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// A built-in network (`mnc describe` lists them) or the path of a description
    #[arg(required_unless_present = "random")]
    network: Option<String>,
    #[command(flatten)]
    source: network::Source,
    #[command(flatten)]
    constants: network::Constants,
    #[command(flatten)]
    int8: quantize::Int8,

    /// Verify this executable of `mnc compile` instead of compiling one
    #[arg(long, value_name = "FILE", conflicts_with_all = ["target", "target_cpu", "multiversion", "linker", "batch"])]
    #[arg(help_heading = "What is verified")]
    executable: Option<PathBuf>,
    /// Verify this object of `mnc compile --emit obj` (a C compiler puts a program around it)
    #[arg(long, value_name = "FILE", conflicts_with_all = ["executable", "target", "target_cpu", "multiversion", "linker", "batch"])]
    #[arg(help_heading = "What is verified")]
    object: Option<PathBuf>,
    /// Platform (`mnc targets` lists them) [default: this machine's]
    #[arg(long, value_name = "TRIPLE", help_heading = "What is verified")]
    target: Option<String>,
    /// Instruction set, or `native` for the best of this machine [default: the target's first]
    #[arg(long, value_name = "CPU", help_heading = "What is verified")]
    target_cpu: Option<String>,
    /// Code for each wider instruction set too; that which this CPU takes is verified
    #[arg(long, help_heading = "What is verified")]
    multiversion: bool,
    /// Images of one run
    #[arg(long, value_name = "N", default_value = "1", hide_default_value = true)]
    #[arg(value_parser = network::batch, help_heading = "What is verified")]
    batch: usize,
    /// Who links the executable [default: cc if there is one, else internal]
    #[arg(long, value_enum, value_name = "LINKER", help_heading = "What is verified")]
    linker: Option<Linker>,

    /// Pictures, folders of them, and files of floats (.f32), prepared by the executable's own code
    #[arg(long, value_name = "PATH", num_args = 1.., help_heading = "Inputs")]
    images: Vec<PathBuf>,
    /// Random inputs: plain numbers; with NaN, infinities, denormals, -0 [default: 4, with other inputs none]
    #[arg(long, value_name = "N", help_heading = "Inputs")]
    inputs: Option<usize>,
    /// Seed of all that is random
    #[arg(long, value_name = "SEED", default_value_t = 1, help_heading = "Inputs")]
    seed: u64,

    /// Numbers of threads, separated by commas
    #[arg(long, short, value_name = "T", value_delimiter = ',', default_value = "1,2,3,4,5,6,7,8")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=MOST_THREADS), help_heading = "Runs")]
    threads: Vec<u64>,
    /// Runs with each number of threads, and shuffled ones
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    #[arg(help_heading = "Runs")]
    runs: u32,
    /// Seconds that one run may take
    #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..))]
    #[arg(help_heading = "Runs")]
    timeout: u64,

    /// Safetensors with another framework's `input` and `logits`, or layers; the first file that has a tensor counts
    #[arg(long, value_name = "FILE", conflicts_with = "random", help_heading = "Another framework")]
    against: Vec<PathBuf>,
    /// The most that any recorded number may be away
    #[arg(long, value_name = "T", default_value_t = 1e-3, requires = "against", value_parser = tolerance)]
    #[arg(help_heading = "Another framework")]
    tolerance: f64,
    /// The tensor that has the outputs [default: logits_f64, logits, probabilities or output]
    #[arg(long, value_name = "NAME", requires = "against", help_heading = "Another framework")]
    tensor: Option<String>,

    /// Draw N networks, sizes, schedules and instruction sets instead of taking one
    #[arg(long, value_name = "N", conflicts_with_all = ["network", "weights", "random_weights", "naming", "names", "axes", "config", "preprocessor"])]
    #[arg(conflicts_with_all = ["alpha", "rho", "resolution", "executable", "object", "images", "inputs", "batch", "threads", "runs", "int8"])]
    #[arg(help_heading = "Random networks")]
    random: Option<u64>,

    /// One JSON document
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  mnc verify mobilenet-v1 --weights w.safetensors --images photos/
  mnc verify mobilenet-v1 --weights w.safetensors --executable ./classify
  mnc verify mobilenet-v1 --weights w.safetensors --threads 1,4 \\
    --target aarch64-unknown-linux-gnu
  CC=riscv64-linux-gnu-gcc mnc verify net.toml --weights w.safetensors \\
    --target riscv64gc-unknown-linux-gnu
  mnc verify mobilenet-v1 --weights w.safetensors --tolerance 1e-4 \\
    --against recorded.safetensors
  mnc verify mobilenet-v1 --weights w.safetensors --int8 --images photos/
  mnc verify --random 100

Exit code: 0; 1 if something differs or failed; 2 if the command line is
wrong.";

fn tolerance(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number: &f64| 0.0 <= *number && number.is_finite());
    number.ok_or_else(|| "expected a number, 0 or more".to_owned())
}

pub(super) fn run(args: &Args) -> Result<()> {
    args.int8.check()?;
    if let Some(n_networks) = args.random {
        return draw::run(args, n_networks);
    }
    let started = Instant::now();
    let name = args.network.as_deref().expect("clap asks for it");
    // What can't be run is not worth reading weights for.
    let workshop = Workshop::new(args.patience())?;
    let subject = args.subject(&workshop, name)?;
    let fused = &subject.compiled.fused;
    let recording = match args.against.as_slice() {
        [] => None,
        paths => Some(against::read(paths, args.tensor.as_deref(), fused)?),
    };
    let recorded_inputs = recording.as_ref().map_or(Vec::new(), |recording| recording.inputs.clone());
    let n_recorded = recorded_inputs.len();
    let inputs = args.all_inputs(&workshop, &subject, recorded_inputs)?;
    let cuts = cuts(&workshop, &subject)?;
    let work = Work { manners: args.manners(subject.has_steps), n_threads: n_cores() };
    let progress = rounds::progress("verifying", inputs.len() * (work.manners.len() + cuts.len()));
    let mut seen: Vec<Vec<Vec<f32>>> =
        recording.iter().flat_map(|recording| &recording.tensors).map(|_| Vec::new()).collect();
    let mut note = |values: &[Vec<f32>]| {
        let tensors = recording.iter().flat_map(|recording| &recording.tensors);
        for (tensor, seen) in tensors.zip(&mut seen) {
            let len = fused.nodes[tensor.layer.0].shape().len();
            let rest = n_recorded - seen.len();
            seen.extend(values[tensor.layer.0].chunks_exact(len).take(rest).map(<[f32]>::to_vec));
        }
    };
    let verdict = check(&subject, &cuts, &inputs, &work, &mut |values| {
        if values.is_empty() {
            progress.inc(1);
        } else {
            note(values);
        }
    })?;
    progress.finish_and_clear();
    let tensors = recording.iter().flat_map(|recording| &recording.tensors);
    let distances: Vec<Distance> = tensors
        .zip(&seen)
        .filter(|(_, seen)| seen.len() == n_recorded)
        .map(|(tensor, seen)| against::distance(tensor, seen, fused, args.tolerance))
        .collect();
    let document = Document::new(&subject, verdict, &work, (args.seed, started.elapsed()));
    let document = document.with(distances, args.tolerance);
    print(&if args.json { document.to_json() } else { document.to_text() })?;
    document.result()
}

/// The networks that end inside of chains.
fn cuts(workshop: &Workshop, subject: &Subject) -> Result<Vec<(FusedId, Subject)>> {
    let inner = subject.looks.iter().flat_map(|looks| &looks.inner);
    inner.map(|layer| Ok((*layer, workshop.cut(subject, *layer)?))).collect()
}

fn n_cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

impl Args {
    fn patience(&self) -> Duration {
        Duration::from_secs(self.timeout)
    }

    fn chosen_target(&self) -> Result<Target> {
        let target = host::target(self.target.as_deref(), self.target_cpu.as_deref())?;
        if self.multiversion { target.multiversion() } else { Ok(target) }
    }

    /// What is verified, made or found.
    fn subject(&self, workshop: &Workshop, name: &str) -> Result<Subject> {
        let found = match (&self.executable, &self.object) {
            (Some(path), _) => Some(workshop.executable(path)?),
            (None, Some(path)) => Some(workshop.object(path)?),
            (None, None) => None,
        };
        let (target, batch, is_inside) = match &found {
            Some(Found { target, info, .. }) => (target.clone(), info.batch, info.weights_file.is_none()),
            None => (self.chosen_target()?, self.batch, true),
        };
        if found.is_none() {
            emulator::emulator(&target)?;
        }
        let request = self.constants.of(self.source.request(name)?);
        let mut opened = Job::resolve(&request, &mut Disk)?.open(&mut Disk)?;
        let is_int8 = opened.is_int8() || self.int8.is_asked();
        let told = found.as_ref().and_then(|found| found.info.constant_channels);
        match told {
            Some(told) if is_int8 && told.left_out == 0 => opened = opened.with_constant(Constant::Kept),
            Some(told) if told.in_f32 && !is_int8 => opened = opened.with_constant(Constant::LeftOut),
            _ => {}
        }
        let target = match (is_int8, &found) {
            (true, None) => host::for_int8(target, self.target_cpu.as_deref())?,
            _ => target,
        };
        network::warn(opened.job());
        let (mut graph, _) = opened.graph()?;
        let opened = self.int8.of(opened, &graph)?;
        graph.batch = batch;
        let symbols = Options::name_of(&graph.name);
        let settings = Settings { is_inside, ..Settings::new(&target, &symbols) };
        let compiled = opened.run(graph, &settings)?;
        match found {
            Some(found) => found.subject(compiled),
            None => workshop.make(compiled, self.linker),
        }
    }

    /// Recorded inputs first, then pictures, then random ones.
    fn all_inputs(&self, workshop: &Workshop, subject: &Subject, recorded: Vec<Input>) -> Result<Vec<Input>> {
        let batch = subject.info.batch;
        let mut images = recorded;
        if !self.images.is_empty() {
            let files = list(&self.images)?;
            let made = if subject.reads_pictures { None } else { Some(workshop.reader(&subject.compiled)?) };
            let mut reader = made.as_ref().unwrap_or(subject).start()?;
            images.extend(inputs::prepared(&files, &mut reader)?);
        }
        let n_random = self.inputs.unwrap_or(if images.is_empty() { 4 } else { 0 });
        let mut all = inputs::batches(images, batch);
        let len = batch * subject.compiled.fused.nodes[0].shape().len();
        all.extend(inputs::random(n_random, len, self.seed));
        if all.is_empty() {
            return usage("--inputs", "found 0 inputs, expected 1 or more");
        }
        Ok(all)
    }

    /// Every way to run the network.
    fn manners(&self, has_steps: bool) -> Vec<Manner> {
        let mut manners = vec![Manner::Serial];
        manners.extend(has_steps.then_some(Manner::Steps));
        manners.extend([Manner::Forwards, Manner::Backwards]);
        for run in 0..u64::from(self.runs) {
            manners.push(Manner::Shuffled(self.seed.wrapping_add(run)));
            manners.extend(self.threads.iter().map(|threads| Manner::Threads(*threads)));
        }
        manners
    }
}
