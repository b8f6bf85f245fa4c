//! What is measured: executables that the user names, and networks that are compiled for the purpose, each in every alpha,
//! resolution and instruction set asked for.

use std::path::{Path, PathBuf};
use std::time::Instant;

use mnc::describe;
use mnc::graph::Knobs;
use mnc::job::{Job, Settings};
use mnc::request::{Numbers, Request};
use mnc::target::Isa;
use mnc::{Compiled, Fault, Options, Place, Result, Target};

use super::executable::Executable;
use super::files::Kind;
use super::guard::Scratch;
use super::link::Program;
use super::machine::Network;
use super::network::{self, Disk, Family};
use super::text::tell;
use super::{host, link, quantize, rounds, summary};

/// The arguments about networks that are compiled to be measured.
#[derive(Debug, clap::Args)]
pub(super) struct Variants {
    /// Trained weights of the networks: safetensors
    #[arg(long, short, value_name = "FILE", conflicts_with = "random_weights", help_heading = "Network")]
    weights: Option<PathBuf>,
    /// Weights drawn at random from this seed instead; the speed is the same [default: 1]
    #[arg(long, value_name = "SEED", help_heading = "Network")]
    random_weights: Option<u64>,
    #[command(flatten)]
    reading: network::Reading,
    #[command(flatten)]
    constants: network::Constants,
    #[command(flatten)]
    int8: quantize::Int8,
    /// Instruction sets, separated by commas; `native` is the best of this machine [default: the machine's first]
    #[arg(long, value_name = "CPU", value_delimiter = ',', help_heading = "Network")]
    target_cpu: Vec<String>,
    #[command(flatten)]
    family: Family,
}

/// Executables, and the folder in which those lie that were compiled for this: it goes when they do.
#[derive(Debug)]
pub(super) struct Executables {
    /// In the order of the names.
    pub(super) list: Vec<Executable>,
    /// Of each, the network that was compiled for this.
    pub(super) networks: Vec<Option<(Network, &'static Isa)>>,
    folder: Workbench,
}

/// Opens or compiles what each name stands for: a built-in network, a description (`.toml`), a folder or a file of weights, or an
/// executable.
pub(super) fn executables(names: &[String], args: &Variants) -> Result<Executables> {
    args.int8.check()?;
    let mut found = Executables { list: Vec::new(), networks: Vec::new(), folder: Workbench::new()? };
    for name in names {
        if !is_network(name) {
            found.list.push(Executable::open(Path::new(name))?);
            found.networks.push(None);
        } else {
            compile(name, args, &mut found)?;
        }
    }
    Ok(found)
}

/// Whether a name isn't that of an executable: a description is a text with layers, whatever it is called.
fn is_network(name: &str) -> bool {
    let has_layers = || {
        let text = mnc::files::read(Path::new(name), Kind::Network).map(String::from_utf8);
        matches!(text, Ok(Ok(text)) if text.contains("layer") && !text.starts_with("#!") && !text.contains('\0'))
    };
    describe::builtin(name).is_some() || name.ends_with(".toml") || network::is_download(name) || has_layers()
}

/// Compiles all variants of a network.
fn compile(name: &str, args: &Variants, found: &mut Executables) -> Result<()> {
    let numbers = match (&args.weights, args.random_weights) {
        (Some(path), _) => Numbers::File(path.clone()),
        // A folder has weights of its own.
        (None, None) if network::is_download(name) => {
            Numbers::Missing(Fault { place: Place::flag("--weights"), detail: "found none".to_owned() })
        }
        (None, seed) => Numbers::Random(seed.unwrap_or(1)),
    };
    let request = args.constants.of(args.reading.of(Request::new(network::named(name)?, numbers)));
    let opened = Job::resolve(&request, &mut Disk)?.open(&mut Disk)?;
    let job = opened.job();
    network::warn(job);
    let alpha = match opened.weights() {
        Some(weights) if !args.family.has_alpha() => weights.infer_alpha(job.description(), job.naming)?,
        _ if opened.is_int8() => opened.alpha()?.0,
        _ => 1.0,
    };
    let mut members = args.family.members(job.description(), alpha)?;
    // A file of int8 is of one size.
    if let (true, [only]) = (opened.is_int8(), members.as_mut_slice()) {
        only.resolution = only.resolution.or(job.resolution);
    }
    let targets = targets(&args.target_cpu, opened.is_int8() || args.int8.is_asked())?;
    let progress = rounds::progress("compiling", members.len() * targets.len());
    for Knobs { alpha, resolution } in members {
        let size = resolution.map_or(String::new(), |resolution| format!("@{resolution}"));
        progress.set_message(format!("{name} {alpha}{size}"));
        let graph = job.graph(alpha, resolution)?;
        let member = args.int8.of(opened.clone(), &graph)?;
        for target in &targets {
            let started = Instant::now();
            let symbols = Options::name_of(&graph.name);
            let compiled = member.run(graph.clone(), &Settings::new(target, &symbols))?;
            if let Some(slow) = summary::slow_sums(&compiled) {
                tell(format_args!("warning: {name} {alpha}{size}: {slow}\n"));
            }
            found.list.push(found.folder.link(&compiled, started)?);
            let integers = member.is_int8().then(|| compiled.fused.clone());
            // Predictions in f32 are those of the whole network.
            let is_whole = compiled.info.constant_channels.is_none_or(|told| !told.in_f32);
            let network = Network { graph: graph.clone(), integers };
            found.networks.push(is_whole.then_some((network, target.isa)));
            progress.inc(1);
        }
    }
    progress.finish_and_clear();
    Ok(())
}

fn targets(cpus: &[String], is_int8: bool) -> Result<Vec<Target>> {
    let target = |cpu: Option<&str>| {
        let target = host::target(None, cpu)?;
        if is_int8 { host::for_int8(target, cpu) } else { Ok(target) }
    };
    match cpus {
        [] => Ok(vec![target(None)?]),
        cpus => cpus.iter().map(|cpu| target(Some(cpu))).collect(),
    }
}

/// A temporary folder of executables.
#[derive(Debug)]
pub(super) struct Workbench {
    folder: Scratch,
    program: Program,
    n_made: std::cell::Cell<usize>,
}

impl Workbench {
    /// An empty one, for this machine.
    pub(super) fn new() -> Result<Workbench> {
        let program = link::program(&host::target(None, None)?, None)?;
        Ok(Workbench { folder: Scratch::new()?, program, n_made: std::cell::Cell::new(0) })
    }

    /// Links a compiled network to an executable in the folder; its compile time counts from `started`.
    pub(super) fn link(&self, compiled: &Compiled, started: Instant) -> Result<Executable> {
        let n_made = self.n_made.get();
        self.n_made.set(n_made + 1);
        let path = self.folder.join(&format!("{}-{n_made}", compiled.info.name));
        Executable::link(compiled, self.program, &path, started)
    }
}
