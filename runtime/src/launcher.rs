//! The program around a network: arguments -> files -> inputs -> network -> answers.
//!
//! Before the first inference nothing is done but reading the description. A file that fails costs a line on standard
//! error and the exit code, not the other files.

mod answer;
mod args;
mod bench;
mod detect;
mod inputs;
mod interrupt;
mod model;
mod order;
mod orders;
mod picture;
mod prepare;
mod profile;
mod rank;
mod report;
mod resize;
mod roofline;
#[cfg(test)]
mod tests;
mod weights;

use crate::abi::{ModelAbi, Status};
use crate::files::{self, Output};
use crate::info::{Info, Input, OutputKind, Preprocess};
use args::{Action, Options, Threads};
use inputs::{Listed, Loader};
use model::Model;
pub use order::{Order, fill};
use picture::{Format, Memory, Picture};
use prepare::Prepare;
use report::{Report, Style};
use std::ffi::{OsString, c_char, c_int, c_void};
use std::fmt;
use std::io::{self, BufWriter, Write};
use std::mem::MaybeUninit;
use std::path::Path;
use std::thread;
use std::time::Instant;

/// The input that the program makes of a picture's bytes: what tests and fuzzers call without a network.
///
/// # Errors
/// Bytes that are no picture, or preprocessing that no picture goes through; without the file's name.
pub fn input_of(info: &Info, picture: &[u8]) -> Result<Vec<f32>, String> {
    input_for(&info.input, &info.preprocess, picture)
}

/// The same of what a description says of pictures.
///
/// # Errors
/// As [`input_of`].
pub fn input_for(input: &Input, preprocess: &Preprocess, picture: &[u8]) -> Result<Vec<f32>, String> {
    let prepare = Prepare::of(input, preprocess)?;
    let mut input = vec![0.0; input.len()];
    let mut memory = Memory::new(args::MOST_MEMORY);
    let picture = Picture::decode(Format::of(picture)?, picture, &mut memory)?;
    prepare.fill(picture, &mut input, &mut memory)?;
    Ok(input)
}

/// The same of a picture's file, read within the bounds of every program.
///
/// # Errors
/// As [`input_of`], and a file that can't be read.
pub fn input_from(input: &Input, preprocess: &Preprocess, path: &Path) -> Result<Vec<f32>, String> {
    let loader = Loader { prepare: Prepare::of(input, preprocess)?, keeps: false };
    let mut values = vec![0.0; input.len()];
    loader.load(path, &mut values, Memory::new(args::MOST_MEMORY))?;
    Ok(values)
}

/// How many classes an answer shows.
const USUAL_TOP: usize = 5;

/// Runs the program and returns its exit code: 0; 1 if something failed; 2 if the arguments are wrong.
///
/// # Safety
///
/// `argv` points to `argc` C strings, and `fill` writes a whole [`ModelAbi`] that is true of its network.
pub unsafe fn start(
    argc: c_int,
    argv: *const *const c_char,
    fill: unsafe extern "C" fn(*mut ModelAbi),
) -> c_int {
    let started = Instant::now();
    let mut abi = MaybeUninit::uninit();
    // SAFETY: the caller vouches for `fill`.
    let abi = unsafe {
        fill(abi.as_mut_ptr());
        abi.assume_init()
    };
    // SAFETY: the caller vouches for `argc` and `argv`.
    let mut args = unsafe { arguments(argc, argv) }.into_iter();
    let path = args.next().unwrap_or_default();
    let program = Path::new(&path).file_name().unwrap_or(&path).to_string_lossy();
    // SAFETY: the caller vouches for what `fill` wrote.
    let model = unsafe { Model::new(&abi) };
    let result = model.map_err(Stop::Failed).and_then(|model| run(&program, args, model, started));
    match result {
        Ok(code) => code,
        Err(Stop::Usage(message)) => {
            tell(format_args!("{program}: {message}\n"));
            2
        }
        Err(Stop::Failed(message)) => {
            tell(format_args!("{program}: {message}\n"));
            1
        }
        // Whoever read us has enough.
        Err(Stop::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => 0,
        Err(Stop::Output(error)) => {
            tell(format_args!("{program}: standard output: {error}\n"));
            1
        }
    }
}

/// Writes to standard error. Nobody may be reading it any more: that changes no answer.
pub(crate) fn tell(text: fmt::Arguments<'_>) {
    let _ = io::stderr().write_fmt(text);
}

/// # Safety
///
/// `argv` points to `argc` C strings.
#[cfg(unix)]
unsafe fn arguments(argc: c_int, argv: *const *const c_char) -> Vec<OsString> {
    use std::ffi::{CStr, OsStr};
    use std::os::unix::ffi::OsStrExt;
    let argument = |i| {
        // SAFETY: `i` is below `argc`.
        let bytes = unsafe { CStr::from_ptr(*argv.add(i)) }.to_bytes();
        OsStr::from_bytes(bytes).to_os_string()
    };
    (0..argc as usize).map(argument).collect()
}

/// # Safety
///
/// None here: the standard library asks the system, in whose encoding `argv` isn't.
#[cfg(not(unix))]
unsafe fn arguments(_: c_int, _: *const *const c_char) -> Vec<OsString> {
    std::env::args_os().collect()
}

/// What the object of a detector refers to, as [`ModelAbi::detecting`].
pub fn detecting() -> *const c_void {
    (&raw const detect::DETECTING).cast()
}

/// Why the program ends early.
enum Stop {
    Usage(String),
    Failed(String),
    Output(io::Error),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Stop {
        Stop::Output(error)
    }
}

fn run(
    program: &str,
    args: impl Iterator<Item = OsString>,
    mut model: Model,
    started: Instant,
) -> Result<c_int, Stop> {
    let detecting = model.detecting();
    let options = args::parse(args, detecting.is_some()).map_err(Stop::Usage)?;
    check_svg(&options, &model.info)?;
    let mut out = BufWriter::new(io::stdout().lock());
    if let Some(path) = &options.labels {
        let n_classes = match detecting {
            Some(detecting) => (detecting.n_classes)(model.info_json()).map_err(Stop::Failed)?,
            None => model.output().len() / model.info.batch,
        };
        let labels = labels(path, n_classes).map_err(|e| Stop::Failed(format!("{}: {e}", path.display())))?;
        model.set_labels(labels);
    }
    model.set_threads(match options.threads {
        Threads::Count(threads) => threads,
        Threads::Auto => thread::available_parallelism().map_or(1, usize::from),
    });
    if matches!(options.action, Action::Bench(_) | Action::Profile(_) | Action::Orders | Action::Classify) {
        bind(options.weights.as_deref(), &mut model)?;
    }
    let info = &model.info;
    match options.action {
        Action::Help => {
            let help = detecting.map_or(args::help as fn(&str, &str) -> String, |detecting| detecting.help);
            out.write_all(help(program, &does(info, detecting.is_some())).as_bytes())?;
        }
        Action::Version => writeln!(out, "{}, alpha {} (mnc {})", info.network, info.alpha, info.compiler)?,
        Action::Info if options.json => {
            out.write_all(model.info_json())?;
            writeln!(out)?;
        }
        Action::Info => {
            let answers = detecting.map(|detecting| (detecting.answers)(model.info_json()));
            report::describe(info, answers.transpose().map_err(Stop::Failed)?, &mut out)?;
        }
        Action::Bench(n) => {
            load_first(&options, &mut model)?;
            if options.bytes {
                model.take_bytes().map_err(|error| Stop::Usage(format!("--bytes: {error}")))?;
            }
            bench(&options, model, n, started, &mut out)?;
        }
        Action::Profile(n_runs) => {
            load_first(&options, &mut model)?;
            profile(&options, model, n_runs, &mut out)?;
        }
        Action::Orders => orders::obey(&mut model, &mut io::stdin().lock(), &mut out)?,
        Action::Classify => {
            return match detecting {
                Some(detecting) => (detecting.find)(program, &options, model, out),
                None => classify(program, &options, model, out),
            };
        }
    }
    out.flush()?;
    Ok(0)
}

/// What the program does, with what: a network of sounds or of features classifies no photographs.
fn does(info: &Info, is_detector: bool) -> String {
    let takes_photographs = info.input.channels == 3;
    let does = match info.output.kind {
        _ if is_detector => "finds things in photographs with",
        OutputKind::Logits | OutputKind::Probabilities if takes_photographs => "classifies photographs with",
        OutputKind::Logits | OutputKind::Probabilities | OutputKind::Features => "runs",
    };
    format!("{does} {}, alpha {}", info.network, info.alpha)
}

/// A picture is never drawn over what the program reads, nor over itself.
fn check_svg(options: &Options, info: &Info) -> Result<(), Stop> {
    let Some(svg) = &options.svg else { return Ok(()) };
    let found = info.weights_file.as_ref().and_then(|wanted| weights::find(None, wanted).ok());
    let program = std::env::current_exe().ok();
    let given = options.inputs.iter().chain(&options.labels).chain(&options.weights);
    match given.chain(&found).chain(&program).any(|input| files::same_file(svg, input)) {
        false => Ok(()),
        true => Err(Stop::Usage(format!("--svg: {} is an input, expected another file", svg.display()))),
    }
}

/// Gives the network its weights, where they are in a file.
fn bind(named: Option<&Path>, model: &mut Model) -> Result<(), Stop> {
    match (&model.info.weights_file, named) {
        (None, None) => Ok(()),
        (None, Some(_)) => {
            Err(Stop::Usage("--weights: the weights are in the executable, expected no file".to_string()))
        }
        (Some(wanted), named) => {
            let wanted = wanted.clone();
            let path = weights::find(named, &wanted).map_err(Stop::Failed)?;
            let bytes = weights::read(&path, &wanted).map_err(Stop::Failed)?;
            model.bind(bytes).map_err(|status| {
                Stop::Failed(match status {
                    Status::WrongWeights => weights::wrong(&path, wanted.bytes, &wanted),
                    status => format!("{}: {status}", path.display()),
                })
            })
        }
    }
}

/// Fills the input, every place of a batch, from the first picture there is; without paths it stays zero.
fn load_first(options: &Options, model: &mut Model) -> Result<(), Stop> {
    let Some(path) = options.inputs.first() else { return Ok(()) };
    let loader = Loader { prepare: Prepare::new(&model.info).map_err(Stop::Failed)?, keeps: false };
    let files = inputs::list(std::slice::from_ref(path)).files;
    let Some(Listed { path, fault }) = files.into_iter().next() else { return Ok(()) };
    let (first, others) = model.input.split_at_mut(model.info.input.len());
    let loaded = match fault {
        Some(fault) => Err(fault),
        None => loader.load(&path, first, Memory::new(options.most_memory)),
    };
    loaded.map_err(|error| Stop::Failed(format!("{}: {error}", path.display())))?;
    others.chunks_exact_mut(first.len()).for_each(|other| other.copy_from_slice(first));
    Ok(())
}

fn bench(
    options: &Options,
    mut model: Model,
    n: usize,
    started: Instant,
    out: &mut impl Write,
) -> Result<(), Stop> {
    let info = model.info.clone();
    let refused = |status| refused(status, &info);
    let mut n_warm_up = options.warmup.unwrap_or(bench::warm_up(n));
    if options.harness {
        let load = started.elapsed();
        let first = bench::timed(&mut model).map_err(refused)?;
        bench::write_first(load, first, model.output(), &mut *out)?;
        n_warm_up = n_warm_up.saturating_sub(1);
    }
    (0..n_warm_up).try_for_each(|_| model.run()).map_err(refused)?;
    if let Some(latencies) = bench::bench(&mut model, n).map_err(refused)? {
        bench::write(&latencies, options.json, out)?;
    }
    Ok(())
}

fn profile(
    options: &Options,
    mut model: Model,
    n_runs: Option<usize>,
    out: &mut impl Write,
) -> Result<(), Stop> {
    let profile = profile::measure(&mut model, n_runs).map_err(|status| refused(status, &model.info))?;
    if let Some(path) = &options.svg {
        let svg = roofline::svg(&profile).map_err(|e| Stop::Failed(format!("--svg: {e}")))?;
        let file = Output { path, bytes: svg.as_bytes(), is_executable: false };
        files::write(file)
            .map_err(|e| Stop::Failed(format!("{}: {e}, expected to write there", path.display())))?;
    }
    profile.write(options.json, out)?;
    Ok(())
}

fn classify(program: &str, options: &Options, model: Model, out: impl Write) -> Result<c_int, Stop> {
    let info = model.info.clone();
    let style = Style { json: options.json, raw: options.raw, top: options.top.unwrap_or(USUAL_TOP) };
    let report = Report::new(out, style, &info);
    answer::all(program, options, model, inputs::list(&options.inputs), report)
}

/// More than the names of all outputs that a network may have.
const MOST_LABEL_BYTES: u64 = 16 << 20;

/// One label a line; as many as the network has classes.
fn labels(path: &Path, n_classes: usize) -> Result<Vec<String>, String> {
    let text = files::read_or_pipe(path, MOST_LABEL_BYTES)
        .and_then(|bytes| String::from_utf8(bytes).map_err(io::Error::other))
        .map_err(|e| format!("{e}, expected a text file"))?;
    let labels: Vec<String> = text.lines().map(str::to_string).collect();
    if labels.len() != n_classes {
        return Err(format!("found {} labels, expected {n_classes}, one a line", labels.len()));
    }
    Ok(labels)
}

fn refused(status: Status, info: &Info) -> Stop {
    let detail = match status {
        Status::MissingCpuFeature => format!(
            "this CPU can't run code for {}, expected a CPU with {}; compile the network again for this machine",
            info.isa,
            info.cpu_features.join(", ")
        ),
        status => format!("the network refused to run: {status}"),
    };
    Stop::Failed(detail)
}
