//! `mnc explore`: the family M(alpha, rho) of a network on this machine: the map, the choice within budgets, the paper's claims.

mod budget;
mod chart;
mod checkpoints;
mod claims;
mod dtype;
mod family;
mod front;
mod images;
mod map;
mod page;
mod pictures;
mod published;
mod quantity;
mod store;
mod survey;

use std::path::{Path, PathBuf};

use mnc::describe::Description;
use mnc::graph::Resolution;
use mnc::{Error, ErrorKind, Options, Place, Result, Target};
use mnc_runtime::peak::cpu_name;

use self::budget::Budgets;
use self::claims::{Claim, Evidence};
use self::dtype::{Dtype, Means};
use self::family::{FULL_CONV, Family, NARROW, SHALLOW, WHOLE};
use self::images::Images;
use self::map::{AccuracySource, Map, Measured, Member, Setting};
use self::page::Page;
use self::store::{Conditions, Store};
use self::survey::{Circumstances, Compiled};
use super::doubts::{self, Timed, Watch};
use super::files::Output;
use super::output::{self, Destination, Format};
use super::text::tell;
use super::variants::Workbench;
use super::{files, host, machine, network, quantize};

/// Measures every width and resolution of a network on this machine, and names the best within your limits
///
/// Compiles every width at every resolution, times all of them in interleaved rounds, and writes a page with pictures, a table, JSON
/// and CSV into a folder. The folder also keeps what was measured: an interrupted run goes on where it stopped, and what was
/// measured of the same bytes on the same machine is not measured again.
///
/// Without weights the numbers are drawn at random: speed doesn't depend on them. Accuracies are then those that the authors
/// published for their own weights, and are called so everywhere.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// A built-in network, the path of a description, or a folder with weights and their config.json
    #[arg(default_value = "mobilenet-v1")]
    network: String,
    /// Width multipliers, separated by commas [default: those of the weights, else those published, else 1,0.75,0.5,0.25]
    #[arg(long, value_name = "A", value_delimiter = ',', value_parser = network::alpha, help_heading = "The family")]
    alpha: Vec<f64>,
    /// Resolution multipliers of the description's input, separated by commas
    #[arg(long, value_name = "R", value_delimiter = ',', value_parser = network::rho, conflicts_with = "resolution")]
    #[arg(help_heading = "The family")]
    rho: Vec<f64>,
    /// Input sizes, N or HEIGHTxWIDTH, separated by commas [default: the description's, and 6/7, 5/7 and 4/7 of it in multiples of 32]
    #[arg(long, value_name = "N|HxW", value_delimiter = ',', value_parser = network::resolution)]
    #[arg(help_heading = "The family")]
    resolution: Vec<Resolution>,
    /// Trained weights, a safetensors file for each alpha or for several resolutions of one
    #[arg(long, value_name = "DIR", conflicts_with = "random_weights", help_heading = "The family")]
    weights_dir: Option<PathBuf>,
    #[command(flatten)]
    called: network::Names,
    #[command(flatten)]
    int8: quantize::Int8,
    /// Weights drawn at random from this seed [default: 1]; -o asks for it in words, for its executable answers nothing
    #[arg(long, value_name = "SEED", help_heading = "The family")]
    random_weights: Option<u64>,
    /// Measure accuracy on these pictures: a folder with a folder for each class, named by label or number of output
    #[arg(long, value_name = "DIR", requires = "weights_dir", help_heading = "The family")]
    images: Option<PathBuf>,
    /// Labels of the pictures, PATH,LABEL a line, instead of folders
    #[arg(long, value_name = "FILE", requires = "images", help_heading = "The family")]
    image_labels: Option<PathBuf>,

    /// The longest median latency allowed, such as 10ms
    #[arg(long, value_name = "TIME", value_parser = quantity::milliseconds, help_heading = "The choice")]
    max_latency: Option<f64>,
    /// The largest executable allowed, such as 5MB
    #[arg(long, value_name = "SIZE", value_parser = quantity::bytes, help_heading = "The choice")]
    max_size: Option<u64>,
    /// The most memory allowed for an inference beside weights, input and output, such as 2MB
    #[arg(long, value_name = "SIZE", value_parser = quantity::bytes, help_heading = "The choice")]
    max_memory: Option<u64>,
    /// Write the executable of the most accurate member within the budgets
    #[arg(long, short, value_name = "FILE", help_heading = "The choice")]
    output: Option<PathBuf>,

    /// Also judge the paper's claims, on mobilenet-v1 and its variants
    #[arg(long)]
    claims: bool,
    /// Instruction set [default: native, the best of this machine]
    #[arg(long, value_name = "CPU", default_value = "native", hide_default_value = true)]
    target_cpu: String,
    /// Threads that work on each inference
    #[arg(long, short, value_name = "T", default_value = "1", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: u16,
    /// Processes of each member; they take turns
    #[arg(long, value_name = "N", default_value = "5", value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// Where page, tables and measurements go [default: NETWORK-family]
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
    /// Print JSON instead of the table
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// Print comma-separated values instead of the table
    #[arg(long)]
    csv: bool,
}

const EXAMPLES: &str = "\
Examples:
  mnc explore
  mnc explore mobilenet-v2 --max-latency 2ms
  mnc explore --weights-dir checkpoints --images validation \\
    --max-latency 2ms -o classify
  mnc explore --max-latency 1ms --max-size 5MB --max-memory 2MB
  mnc explore --alpha 1,0.5 --resolution 224,160,96 --threads 2 \\
    --folder two-threads
  mnc explore --claims
  mnc explore --weights-dir checkpoints --images validation --int8
  mnc explore net.toml --weights-dir trained --images photos \\
    --image-labels photos.csv";

/// Int8 comes beside f32 here, not in place of it.
pub(super) fn own_words(command: clap::Command) -> clap::Command {
    let help = "Measure each member in int8 too, made of its weights as `mnc quantize` does";
    command.mut_arg("int8", |argument| argument.help(help))
}

pub(super) fn run(args: &Args) -> Result<()> {
    let args = &unfolded(args)?;
    let budgets = Budgets {
        latency_ms: args.max_latency,
        executable_bytes: args.max_size,
        workspace_bytes: args.max_memory,
    };
    check(args, &budgets)?;
    let target = host::target(None, Some(&args.target_cpu))?;
    let written = network::written(&args.network)?;
    let description = written.description.clone();
    let family = Family::new(args, written)?;
    let destination =
        args.output.as_deref().map(|path| destination(path, &description, &target)).transpose()?;
    let folder = args.folder.clone().unwrap_or_else(|| PathBuf::from(format!("{}-family", description.name)));
    let images = args
        .images
        .as_deref()
        .map(|folder| Images::read(folder, args.image_labels.as_deref()))
        .transpose()?;
    let workbench = Workbench::new()?;
    let mut wanted = family.wanted()?;
    let n_members = wanted.len();
    if args.claims {
        wanted.extend(family.witnesses()?);
    }
    std::fs::create_dir_all(&folder)
        .or_else(|error| super::fail(&folder, format!("{error}, expected a folder or a place for one")))?;
    let cpu = cpu_name().unwrap_or_else(|| "an unnamed CPU".to_owned());
    let conditions = Conditions { cpu: cpu.clone(), threads: args.threads.into() };
    let (mut store, note) = Store::open(&folder.join("measurements.json"), conditions)?;
    let mut dtypes = Vec::new();
    for dtype in family.dtypes() {
        dtypes.push(means(dtype, &target, &args.target_cpu, &mut store)?);
    }
    let circumstances = Circumstances {
        dtypes: &dtypes,
        int8: &args.int8,
        threads: args.threads.into(),
        rounds: args.rounds.into(),
        images: images.as_ref(),
    };
    family.notes.iter().chain(&note).for_each(|note| tell(format_args!("note: {note}\n")));

    let compiled = survey::compile(wanted, &workbench, circumstances)?;
    let watch = Watch::begin();
    survey::measure(&compiled, circumstances, &mut store)?;
    let timed: Vec<Timed> = compiled.iter().map(|subject| subject.timed(&store, circumstances)).collect();
    let measured: Vec<Measured> =
        compiled.iter().map(|subject| subject.measured(&store, circumstances)).collect();
    let map = Map {
        network: description.name,
        setting: setting(cpu, circumstances),
        warnings: watch.doubts(&timed),
        accuracy_source: accuracy_source(args, images.as_ref(), &measured[..n_members]),
        members: measured[..n_members].to_vec(),
    };
    let mut claims = if args.claims { judge(&map, &measured)? } else { Vec::new() };
    if !map.warnings.is_empty() {
        claims::withhold(&mut claims);
    }
    finish(args, (&map, &claims), (&budgets, destination.as_deref()), &compiled, &folder)
}

/// A folder in place of the network is its own weights'.
fn unfolded(args: &Args) -> Result<Args> {
    let mut args = args.clone();
    if Path::new(&args.network).is_file() && network::is_download(&args.network) {
        let detail = "found weights, expected a network: `mnc explore NETWORK --weights-dir FOLDER` takes all files of a folder";
        return super::fail(Path::new(&args.network), detail);
    }
    if let Some(network) = network::of_folder(&args.network)? {
        if args.weights_dir.is_none() && args.random_weights.is_none() {
            args.weights_dir = Some(PathBuf::from(&args.network));
        }
        args.network = network;
    }
    Ok(args)
}

/// Options that make no sense together.
fn check(args: &Args, budgets: &Budgets) -> Result<()> {
    args.int8.check()?;
    if args.weights_dir.is_none() {
        args.int8.check_random()?;
    }
    if args.claims && (args.network != "mobilenet-v1" || args.weights_dir.is_some()) {
        let detail = "found another network or weights, expected mobilenet-v1 without --weights-dir";
        return super::usage("--claims", detail);
    }
    if args.output.is_some() && budgets.is_empty() {
        let detail = "found no budget to choose by, expected --max-latency, --max-size or --max-memory";
        return super::usage("-o", detail);
    }
    if args.output.is_some() && args.weights_dir.is_none() && args.random_weights.is_none() {
        let detail = "found no weights, expected trained ones with --weights-dir DIR, or --random-weights SEED for an \
                      executable that can only be timed";
        return super::usage("-o", detail);
    }
    Ok(())
}

/// The file that the chosen executable goes to: what can't be written is known before any work.
fn destination(path: &Path, network: &Description, target: &Target) -> Result<PathBuf> {
    let name = Options::name_of(&network.name);
    match output::destinations(&[Format::Exe], Some(path), &name, target)?.pop() {
        Some((_, Destination::File(path))) => Ok(path),
        Some((_, Destination::Stdout)) | None => super::usage("-o", "expected the name of a file"),
    }
}

/// What members of a dtype are compiled for and predicted by.
fn means(dtype: Dtype, target: &Target, cpu: &str, store: &mut Store) -> Result<Means> {
    let (target, of) = match dtype {
        Dtype::F32 => (target.clone(), ""),
        Dtype::Int8 => (host::for_int8(target.clone(), Some(cpu))?, ", products of bytes"),
    };
    let limits = format!("{}{of}", target.isa.name);
    let machine = store.machine(&limits, || machine::measure(target.isa, dtype.is_int8())).cloned();
    Ok(Means { dtype, target, machine })
}

/// The paper's networks compute in f32, and so do those of its claims.
fn judge(map: &Map, measured: &[Measured]) -> Result<Vec<Claim>> {
    let map = &map.only(Dtype::F32);
    let find = |network: &str, member: Member| {
        let found = measured.iter().find(|measured| measured.network == network && measured.member == member);
        found.ok_or_else(|| {
            Error::new(
                ErrorKind::Unmet,
                Place::named(network),
                format!("{member} wasn't measured, expected it for the claims"),
            )
        })
    };
    Ok(claims::judge(Evidence {
        map,
        whole: find(&map.network, WHOLE)?,
        narrow: find(&map.network, NARROW)?,
        full_conv: find(FULL_CONV, WHOLE)?,
        shallow: find(SHALLOW, WHOLE)?,
    }))
}

fn setting(cpu: String, circumstances: Circumstances<'_>) -> Setting {
    let Circumstances { dtypes, threads, rounds, .. } = circumstances;
    let compiler = env!("CARGO_PKG_VERSION").to_owned();
    Setting { compiler, cpu, dtypes: dtypes.to_vec(), threads, rounds }
}

/// What the accuracies of a map are.
fn accuracy_source(args: &Args, images: Option<&Images>, members: &[Measured]) -> AccuracySource {
    match (images, &args.images) {
        (Some(images), Some(folder)) => AccuracySource::Measured(format!(
            "measured with these weights on the {} labelled pictures of {}",
            images.len(),
            folder.display()
        )),
        _ if members.iter().any(|member| member.accuracy.is_some()) => {
            let source = published::Family::by_name(&args.network).map_or("", |family| family.source);
            let has_int8 = members.iter().any(|member| member.member.dtype == Dtype::Int8);
            // A network of random numbers has no accuracy, and one that loses some has another than its authors'.
            let of_f32 = if has_int8 { "; that of int8 is not known without --images" } else { "" };
            AccuracySource::Published(format!("{source}{of_f32}"))
        }
        _ => {
            AccuracySource::Unknown(format!("nobody has published any for these members of {}", args.network))
        }
    }
}

/// Writes the files, prints the table and the answers, and the chosen executable last.
fn finish(
    args: &Args,
    (map, claims): (&Map, &[Claim]),
    (budgets, destination): (&Budgets, Option<&Path>),
    compiled: &[Compiled],
    folder: &Path,
) -> Result<()> {
    let choice = if budgets.is_empty() { None } else { Some(budgets.choose(map)) };
    let answer = choice.as_ref().map(|choice| match choice {
        Ok(choice) => choice.text(map),
        Err(error) => error.to_string(),
    });
    let figures = pictures::all(map, budgets);
    let page = Page { map, answer: answer.as_deref(), figures: &figures, claims };
    let mut texts = vec![
        ("index.html", page.to_html()),
        ("family.json", document(map, claims)),
        ("family.csv", map.to_csv()),
    ];
    texts.extend(
        pictures::accuracy_by_latency(map, budgets).map(|figure| ("front.svg", page::standalone(&figure))),
    );
    let paths: Vec<PathBuf> = texts.iter().map(|(name, _)| folder.join(name)).collect();
    let set: Vec<Output<'_>> = texts
        .iter()
        .zip(&paths)
        .map(|((_, text), path)| Output { path, bytes: text.as_bytes(), is_executable: false })
        .collect();
    files::write_set(&set)?;
    if args.json || args.csv {
        output::print(&if args.json { document(map, claims) } else { map.to_csv() })?;
    } else {
        let names: Vec<&str> = texts.iter().map(|(name, _)| *name).collect();
        let choice = choice.as_ref().and_then(|choice| choice.as_ref().ok());
        let choice = choice.map_or(String::new(), |choice| format!("\n{}", choice.text(map)));
        let claims = claims::to_text(claims);
        let place = folder.display();
        output::print(&format!(
            "{}{claims}{choice}\nwrote {} to {place}\n",
            map.to_table(),
            names.join(", ")
        ))?;
    }
    doubts::warn(&map.warnings);
    let Some(choice) = choice.transpose()? else { return Ok(()) };
    let Some(path) = destination else { return Ok(()) };
    let idx = map.members.iter().position(|member| member.member == choice.chosen.member);
    let chosen = &compiled[idx.expect("what was chosen is on the map")];
    files::write(path, &chosen.executable.read()?, true)?;
    tell(format_args!("wrote {} ({})\n", path.display(), choice.chosen.member));
    Ok(())
}

/// Map and claims as one JSON document.
fn document(map: &Map, claims: &[Claim]) -> String {
    #[derive(serde::Serialize)]
    struct Document<'a> {
        #[serde(flatten)]
        map: &'a Map,
        prediction_median_error: Option<f64>,
        claims: &'a [Claim],
    }
    let document = Document { map, prediction_median_error: map.median_error(), claims };
    serde_json::to_string_pretty(&document).expect("numbers and strings always have a JSON form") + "\n"
}
