//! `mnc compile`: a network and its weights -> an executable, an object, a header, texts.

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use mnc::describe::Description;
use mnc::dump::Stage;
use mnc::emit::manifest::{File, Origin};
use mnc::graph::Graph;
use mnc::job::{Job, Opened, Settings};
use mnc::plan::Plan;
use mnc::program::Program;
use mnc::request::{self, Request};
use mnc::{Compiled, Options, Result};

use super::artefacts::{self, Tools};
use super::link::Linker;
use super::network::Disk;
use super::output::{self, Destination, Format};
use super::summary::Summary;
use super::text::tell;
use super::{config, files, host, link, network, quantize, tune};

/// Compiles a network with its weights
///
/// Alpha is read from the shapes of the weights' tensors, everything else that weights don't tell from the files that
/// Hugging Face and timm put beside them: for DIR/X.safetensors these are DIR/X.config.json or DIR/config.json, and
/// DIR/X.preprocessor_config.json or DIR/preprocessor_config.json (X may be shortened at its dots). What they changed
/// is in the summary.
///
/// A folder in place of the network is one as it was downloaded: its model.safetensors is compiled, and its config.json, or else
/// the tensors, say which network it is.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// A built-in network (`mnc describe` lists them), the path of a description, a folder with weights and their config.json, or
    /// a file of weights; - is a description from standard input
    network: String,

    #[command(flatten)]
    source: network::Source,
    #[command(flatten)]
    constants: network::Constants,
    #[command(flatten)]
    int8: quantize::Int8,
    /// Names of the outputs, one a line; `imagenet` for the built-in names of its 1000 classes, or 1001 with "background" first;
    /// `none` for none [default: those of the model configuration, else ImageNet's where trained weights of a built-in network
    /// have as many classes]
    #[arg(long, value_name = "FILE|imagenet|none", help_heading = "Network")]
    labels: Option<PathBuf>,

    /// Where to: a file, of whose name those of several formats are made, or a folder (FOLDER/ is made); - is standard output,
    /// for one format that names no other file [default: the network's name]
    #[arg(long, short, value_name = "FILE", help_heading = "Output")]
    output: Option<PathBuf>,
    /// What to write, separated by commas
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "exe",
        value_name = "FORMATS",
        help_heading = "Output"
    )]
    emit: Vec<Format>,
    /// Images of one run, 1 to 256, one behind the other in input and output; each gets the bits that it gets alone
    #[arg(long, value_name = "N", default_value = "1", hide_default_value = true)]
    #[arg(value_parser = network::batch, conflicts_with_all = ["tune", "schedule"], help_heading = "Output")]
    batch: usize,
    /// Keep the weights in FILE instead of in the code; callers of the object may map and share it, an executable reads it and
    /// looks for it beside itself
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    weights_file: Option<PathBuf>,
    /// Prefix of the exported symbols, a C identifier [default: made of the network's name]
    #[arg(long, value_name = "PREFIX", help_heading = "Output")]
    name: Option<String>,
    /// Platform (`mnc targets` lists them) [default: this machine's]
    #[arg(long, value_name = "TRIPLE", help_heading = "Output")]
    target: Option<String>,
    /// Instruction set, or `native` for the best of this machine [default: the target's first]
    #[arg(long, value_name = "CPU", help_heading = "Output")]
    target_cpu: Option<String>,
    /// Code for each wider instruction set too, chosen at entry by what the CPU has; the weights are shared
    #[arg(long, help_heading = "Output")]
    multiversion: bool,
    #[command(flatten)]
    schedule: tune::Args,
    /// Who links an executable [default: cc if there is one, else internal]
    #[arg(long, value_enum, value_name = "LINKER", help_heading = "Output")]
    linker: Option<Linker>,
    /// Print a stage of the compiler, and stop there unless -o is given
    #[arg(long, value_name = "STAGE", value_parser = stage(), help_heading = "Output")]
    dump: Option<Stage>,

    /// No summary
    #[arg(long, short, conflicts_with = "verbose")]
    quiet: bool,
    /// Also the time of each part, and the linker's command
    #[arg(long, short)]
    verbose: bool,
}

const EXAMPLES: &str = "\
Examples:
  mnc compile mobilenet-v1 --weights model.safetensors -o classify
  mnc compile mobilenet_v2_1.0_224/ -o classify
  mnc compile net.toml --weights net.safetensors --resolution 192x160 \\
    --labels names.txt
  mnc compile mobilenet-v1 --weights w.safetensors --emit obj,header \\
    --target aarch64-unknown-linux-gnu
  mnc compile mobilenet-v1 --weights w.safetensors -o net/ \\
    --emit staticlib,header,cmake,pkg-config,manifest
  mnc compile mobilenet-v1 --random-weights 1 --alpha 0.5 -o half
  ./half --bench 100
  mnc compile mobilenet-v1 --weights w.safetensors -o classify \\
    --target-cpu native --tune mine.toml
  mnc compile mobilenet-v1 --weights w.safetensors --emit asm -o - | less
  mnc compile mobilenet-v1 --weights w.safetensors -o classify \\
    --weights-file classify.weights
  mnc compile mobilenet-v1 --weights w.safetensors --int8 -o classify
  mnc compile mobilenet-v1 --alpha 0.25 --dump graph";

fn stage() -> impl TypedValueParser<Value = Stage> {
    PossibleValuesParser::new(Stage::ALL.map(Stage::name)).map(|name| {
        let found = Stage::ALL.into_iter().find(|stage| stage.name() == name);
        found.expect("the values are the stages' names")
    })
}

pub(super) fn run(args: &Args) -> Result<()> {
    args.int8.check()?;
    let mut clock = Clock::new(args.verbose);
    let target = host::target(args.target.as_deref(), args.target_cpu.as_deref())?;
    let target = if args.multiversion { target.multiversion()? } else { target };
    let request =
        Request { labels: args.labels.clone(), ..args.constants.of(args.source.request(&args.network)?) };
    let job = Job::resolve(&request, &mut Disk)?;
    let name = args.name.clone().unwrap_or_else(|| Options::name_of(&job.written.description.name));
    clock.note("read description");

    let stops = args.dump.is_some() && args.output.as_deref().is_none_or(|output| output == "-");
    let outputs = if stops {
        Vec::new()
    } else {
        output::destinations(&args.emit, args.output.as_deref(), &name, &target)?
    };
    let outputs = output::with_weights_file(outputs, args.weights_file.as_deref())?;
    let weights = job.weight_files.clone();
    let configurations = job.configured.read.iter().map(|read| read.path.clone());
    let configurations: Vec<PathBuf> = configurations.collect();
    let labels = job.labels_file.as_ref().map(|(path, _)| path.clone());
    let inputs = [labels.as_deref(), Some(Path::new(&args.network))];
    if 1 < args.batch && outputs.iter().any(|(format, _)| *format == Format::Python) {
        return super::usage(
            "--batch",
            "found beside --emit python, expected none: leave it out, run(images) of the module takes any number of images and \
             run_batch(images, threads=N) runs them on several threads",
        );
    }
    check_python(&outputs)?;
    let inputs: Vec<&Path> = inputs
        .into_iter()
        .flatten()
        .chain(weights.iter().chain(&configurations).map(PathBuf::as_path))
        .chain(args.schedule.read())
        .collect();
    if let Some(tuned) = args.schedule.written() {
        output::check(tuned, false)?;
        output::check_new("--tune", tuned, &outputs)?;
    }
    output::check_not_an_input(&outputs, &args.schedule.written().into_iter().collect::<Vec<_>>(), &inputs)?;
    // Before any work: an executable that can't be linked is not worth the time.
    let program = match outputs.iter().any(|(format, _)| *format == Format::Exe) {
        true => Some(link::program(&target, args.linker)?),
        false => None,
    };
    let tools = Tools { program, verbose: args.verbose };

    let opened = job.open(&mut Disk)?;
    let is_int8 = opened.is_int8() || args.int8.is_asked();
    let target = if is_int8 { host::for_int8(target, args.target_cpu.as_deref())? } else { target };
    let (mut graph, alpha_source) = opened.graph()?;
    graph.batch = args.batch;
    if stops && dump_early(args.dump, opened.job().description(), &graph)? {
        return Ok(());
    }
    clock.note("build graph");

    let opened = args.int8.of(opened, &graph)?;
    let job = opened.job();
    if is_int8 {
        clock.note("quantise");
    }

    let is_inside = args.weights_file.is_none();
    let settings = Settings { is_inside, ..Settings::new(&target, &name) };
    let fused = opened.fused(&graph, &settings)?;
    clock.note("read weights");

    opened.labels(&graph)?;
    let tuning = tune::tuning(&args.schedule, &graph, &fused, &target)?;
    let compiled = opened.compile(graph, fused, &Settings { tuning: tuning.as_ref(), ..settings })?;
    let compiled = match outputs.iter().find(|(format, _)| *format == Format::WeightsFile) {
        Some((_, file)) => compiled.with_weights_file(&file.file_name()),
        None => compiled,
    };
    clock.note("compile");
    if let Some(stage) = args.dump {
        dump(stage, job.description(), &compiled)?;
    }
    if stops {
        return Ok(());
    }
    let origin = || {
        Ok(Origin {
            description: job.written.text.clone(),
            changed: config::told_by_files(job),
            full: job.written.description.input,
            notes: job.told(),
            inputs: files_read(&opened),
        })
    };
    let artefacts = artefacts::make(&compiled, &outputs, &tools, origin)?;
    clock.note("generate code");
    artefacts::write(&artefacts)?;
    clock.note("write files");
    if !args.quiet {
        let written = artefacts.iter().filter_map(|made| match &made.destination {
            Destination::Stdout => None,
            Destination::File(path) => Some((made.format, path.as_path(), made.bytes.len())),
        });
        let summary = Summary {
            compiled: &compiled,
            job,
            alpha_source,
            written: written.collect(),
            elapsed: clock.started.elapsed(),
        };
        summary.print();
    } else {
        network::warn(job);
    }
    Ok(())
}

/// A module that nobody can import, or that looks for its weights where they aren't.
fn check_python(outputs: &[(Format, Destination)]) -> Result<()> {
    let path = |wanted: Format| {
        outputs.iter().find_map(|(format, destination)| match destination {
            Destination::File(path) if *format == wanted => Some(path.as_path()),
            Destination::File(_) | Destination::Stdout => None,
        })
    };
    let Some(module) = path(Format::Python) else { return Ok(()) };
    let name = module.file_stem().unwrap_or_default().to_string_lossy();
    if let Err(detail) = mnc::emit::python::check_name(&name) {
        return super::usage("--emit python", format!("{detail}: choose another --name or -o"));
    }
    if let Some(weights) = path(Format::WeightsFile)
        && files::folder(weights) != files::folder(module)
    {
        let folder = files::folder(module).display();
        let detail = format!("expected a file in {folder}, where the module of --emit python looks for it");
        return super::usage("--weights-file", detail);
    }
    Ok(())
}

/// The files that were read, for a manifest: as they were then, whatever they are now.
fn files_read(opened: &Opened) -> Vec<File> {
    let job = opened.job();
    let file = |kind, path: &Path, bytes: &[u8]| File::new(kind, &request::file_name(path), bytes);
    let mut files = vec![File::new("network", &job.written.file, job.written.text.as_bytes())];
    files.extend(opened.weight_files().map(|(place, bytes)| file("weights", Path::new(place), bytes)));
    files.extend(job.labels_file.iter().map(|(path, text)| file("labels", path, text.as_bytes())));
    files.extend(job.renames.file().map(|(path, text)| file("names", path, text.as_bytes())));
    let configurations = job.configured.read.iter();
    files.extend(configurations.map(|read| file("configuration", &read.path, read.text.as_bytes())));
    files
}

/// Prints a stage that exists before there are weights. Whether it did.
fn dump_early(stage: Option<Stage>, description: &Description, graph: &Graph) -> Result<bool> {
    match stage {
        Some(Stage::Description) => output::print(&description.to_string())?,
        Some(Stage::Graph) => output::print(&graph.to_string())?,
        Some(Stage::Fused | Stage::Schedule | Stage::Plan | Stage::Program) | None => return Ok(false),
    }
    Ok(true)
}

fn dump(stage: Stage, description: &Description, compiled: &Compiled) -> Result<()> {
    output::print(&match stage {
        Stage::Description => description.to_string(),
        Stage::Graph => compiled.graph.to_string(),
        Stage::Fused => compiled.fused.to_string(),
        Stage::Schedule => versions(compiled, |plan, _| plan.schedule.to_string()),
        Stage::Plan => versions(compiled, |plan, _| plan.to_string()),
        Stage::Program => versions(compiled, |_, program| program.to_string()),
    })
}

/// The text of each version of the network, the widest first.
fn versions(compiled: &Compiled, text: impl Fn(&Plan, &Program) -> String) -> String {
    let wider = compiled.wider.iter().map(|version| (&version.plan, &version.program));
    let texts = wider.chain([(&compiled.plan, &compiled.program)]).map(|(plan, program)| text(plan, program));
    texts.collect::<Vec<_>>().join("\n")
}

/// Tells, when asked to, what each part took.
struct Clock {
    started: Instant,
    last: Instant,
    verbose: bool,
}

impl Clock {
    fn new(verbose: bool) -> Clock {
        let now = Instant::now();
        Clock { started: now, last: now, verbose }
    }

    fn note(&mut self, part: &str) {
        if self.verbose {
            tell(format_args!("{part:<18} {:7.1} ms\n", self.last.elapsed().as_secs_f64() * 1e3));
        }
        self.last = Instant::now();
    }
}
