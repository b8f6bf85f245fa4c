//! `mnc cost`: what a network costs, as a table, JSON or CSV.

mod predict;

use mnc::cost::{Cost, KindCost, LayerCost, Report};
use mnc::graph::{Graph, Knobs};
use mnc::job::Settings;
use mnc::passes::{self, Fused};
use mnc::plan::Plan;
use mnc::program::Program;
use mnc::schedule::Schedule;
use mnc::weights::Parameters;
use mnc::{Result, Target};
use serde::Serialize;

use super::machine::Network;
use super::network::Known;
use super::output::print;
use super::text::{fold, table, thousands};
use super::{host, network, quantize};

/// Counts multiply-adds, parameters and memory of a network
///
/// By the formulas of the paper (arXiv 1704.04861, sections 3.1 to 3.4): batch norm, activation and pooling are not
/// counted, padding is counted as if it were image. Several values of alpha or of the resolution give a line for each
/// combination.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  mnc cost mobilenet-v1
  mnc cost mobilenet-v1 --alpha 1,0.75,0.5,0.25 --resolution 224,192,160,128
  mnc cost mobilenet-v1 --alpha 0.5 --predict
  mnc cost net.int8.safetensors
  mnc cost net.toml --alpha 0.5 --csv > layers.csv
  mnc cost downloaded/")]
pub(super) struct Args {
    /// A built-in network, the path of a description, or a folder or a file with weights, in f32 or int8
    network: String,
    #[command(flatten)]
    part: network::Part,
    #[command(flatten)]
    family: network::Family,
    #[command(flatten)]
    int8: quantize::Int8,
    /// Platform whose workspace is told [default: this machine's]
    #[arg(long, value_name = "TRIPLE")]
    target: Option<String>,
    /// Predict the latency of one inference on this machine instead, from the counts and from what a core can do
    #[arg(long, conflicts_with = "target")]
    predict: bool,
    /// Instruction set of the prediction [default: native, the best of this machine]
    #[arg(
        long,
        value_name = "CPU",
        requires = "predict",
        default_value = "native",
        hide_default_value = true
    )]
    target_cpu: String,
    /// One JSON document: all layers of each variant
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// Comma-separated values: the layers of one variant, or a line for each of several
    #[arg(long)]
    csv: bool,
}

/// Only a folder has weights here.
pub(super) fn own_words(command: clap::Command) -> clap::Command {
    let help = "Width multipliers, separated by commas [default: that of a folder's weights, else 1]";
    command.mut_arg("alpha", |argument| argument.help(help))
}

pub(super) fn run(args: &Args) -> Result<()> {
    args.int8.check()?;
    let known = network::known(&args.network, &args.part)?;
    let is_int8 = known.is_int8() || args.int8.is_asked();
    let cpu = args.predict.then_some(args.target_cpu.as_str());
    let target = host::target(args.target.as_deref(), cpu)?;
    let target = if is_int8 { host::for_int8(target, cpu)? } else { target };
    let mut members = args.family.members(&known.description, known.alpha)?;
    // A file of int8 is of one size.
    if let (true, [only]) = (known.is_int8(), members.as_mut_slice()) {
        only.resolution = only.resolution.or(known.resolution);
    }
    let network = |knobs: &Knobs| -> Result<Network> {
        let graph = Graph::build(&known.description, knobs)?;
        let integers = integers(args, &known, &graph, &target)?;
        Ok(Network { graph, integers })
    };
    let networks = members.iter().map(network).collect::<Result<Vec<Network>>>()?;
    if args.predict {
        return print(&predict::output(&networks, &target, (args.json, args.csv))?);
    }
    let mut reports = Vec::new();
    for network in &networks {
        let mut report = network.report();
        report.workspace_bytes = workspace_bytes(network, &report, target.isa)?;
        reports.push(report);
    }
    let is_one = reports.len() == 1;
    print(&match (is_one, args.json, args.csv) {
        (true, true, _) => json(&Document { schema: SCHEMA, report: &reports[0] }),
        (false, true, _) => {
            let document = |report| Document { schema: SCHEMA, report };
            json(&reports.iter().map(document).collect::<Vec<_>>())
        }
        (true, _, true) => reports[0].to_csv(),
        (false, _, true) => variants_csv(&reports),
        (true, ..) => layers_table(&reports[0]) + &footer(&target.to_string(), is_int8),
        (false, ..) => variants_table(&reports) + &footer(&target.to_string(), is_int8),
    })
}

/// The network in bytes and integers, where it is one or shall be: that of the weights, whose constant channels are known, or one of
/// random numbers, which has all of its channels.
fn integers(args: &Args, known: &Known, graph: &Graph, target: &Target) -> Result<Option<Fused>> {
    match &known.opened {
        Some(opened) if opened.is_int8() || args.int8.is_asked() => {
            let opened = args.int8.of(opened.clone(), graph)?;
            opened.fused(graph, &Settings::new(target, "network")).map(Some)
        }
        None if args.int8.is_asked() => args.int8.of_random(graph, 1).map(Some),
        Some(_) | None => Ok(None),
    }
}

/// The workspace that compiling would plan, whatever the weights. Networks whose weights wouldn't fit into memory are
/// counted without.
fn workspace_bytes(
    network: &Network,
    report: &Report,
    isa: &'static mnc::target::Isa,
) -> Result<Option<usize>> {
    const MOST_WEIGHT_BYTES: u64 = 1 << 30;
    if MOST_WEIGHT_BYTES < report.total.weight_bytes {
        return Ok(None);
    }
    let Network { graph, integers } = network;
    let fused = match integers {
        Some(integers) => integers.clone(),
        None => passes::run(graph, &Parameters::zeros(graph))?,
    };
    Ok(Some(Program::workspace_bytes(&Plan::build(Schedule::build(&fused, isa)))))
}

/// The version of the JSON.
const SCHEMA: u32 = 1;

#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    #[serde(flatten)]
    report: &'a Report,
}

fn json(document: &impl Serialize) -> String {
    serde_json::to_string_pretty(document).expect("numbers and strings always have a JSON form") + "\n"
}

/// What a variant is reduced to in a list of several.
struct Variant {
    alpha: f64,
    input: String,
    cost: Cost,
    workspace_bytes: Option<usize>,
    reduction: Option<f64>,
}

impl Variant {
    fn of(report: &Report) -> Variant {
        Variant {
            alpha: report.alpha,
            input: report.input.to_string(),
            cost: report.total,
            workspace_bytes: report.workspace_bytes,
            reduction: reduction(report),
        }
    }
}

/// Multiply-adds over those of the same network with a standard convolution for each depthwise and pointwise pair.
fn reduction(report: &Report) -> Option<f64> {
    let mut saved = 0.0;
    for layer in &report.layers {
        if let Some(reduction) = layer.reduction {
            // 1/D_K^2 of the standard convolution is the pointwise layer, 1/N the depthwise one.
            let n = layer.output.channels as f64;
            let standard = layer.cost.mult_adds as f64 / (reduction - 1.0 / n);
            saved += standard * (1.0 - reduction);
        }
    }
    let own = report.total.mult_adds as f64;
    (saved != 0.0).then(|| own / (own + saved))
}

fn layers_table(report: &Report) -> String {
    let percent = |part: u64, whole: u64| match whole {
        0 => "-".to_owned(),
        whole => format!("{:.2}", 100.0 * part as f64 / whole as f64),
    };
    let Report { total, .. } = report;
    let numbers = |cost: &Cost| {
        [
            thousands(cost.mult_adds),
            percent(cost.mult_adds, total.mult_adds),
            thousands(cost.parameters),
            percent(cost.parameters, total.parameters),
            thousands(cost.weight_bytes),
        ]
    };
    let layer_row = |layer: &LayerCost| {
        let mut row = vec![layer.name.clone(), layer.kind.to_string(), layer.output.to_string()];
        row.extend(numbers(&layer.cost));
        row.push(match report.is_int8 {
            true => thousands(layer.cost.output_bytes),
            false => layer.reduction.map_or(String::new(), |reduction| format!("{reduction:.4}")),
        });
        row
    };
    let mut last = vec!["total".to_owned(), String::new(), String::new()];
    last.extend(numbers(total));
    last.push(match report.is_int8 {
        true => thousands(total.output_bytes),
        false => reduction(report).map_or(String::new(), |reduction| format!("{reduction:.4}")),
    });
    let headings = [
        "layer",
        "kind",
        "output",
        ">multiply-adds",
        ">%",
        ">parameters",
        ">%",
        ">weight bytes",
        if report.is_int8 { ">output bytes" } else { ">reduction" },
    ];
    let layers = table(&headings, report.layers.iter().map(layer_row).chain([last]));

    let kind_row = |kind: &KindCost| {
        let mut row = vec![kind.kind.to_string(), kind.n_layers.to_string()];
        row.extend(numbers(&kind.cost));
        row
    };
    let counted = |kind: &&KindCost| kind.cost.mult_adds != 0 || kind.cost.weight_bytes != 0;
    let headings = ["kind", ">layers", ">multiply-adds", ">%", ">parameters", ">%", ">weight bytes"];
    let kinds = table(&headings, report.kinds.iter().filter(counted).map(kind_row));
    let workspace = report
        .workspace_bytes
        .map_or("not planned".to_owned(), |bytes| format!("{} bytes", thousands(bytes as u64)));
    format!(
        "{}, alpha {}, input {}{}\n\n{layers}\n{kinds}\nworkspace  {workspace}\n",
        report.network,
        report.alpha,
        report.input,
        in_int8(report)
    )
}

fn variants_table(reports: &[Report]) -> String {
    let rows = reports.iter().map(Variant::of).map(|variant| {
        let Variant { alpha, input, cost, workspace_bytes, reduction } = variant;
        vec![
            alpha.to_string(),
            input,
            thousands(cost.mult_adds),
            thousands(cost.parameters),
            thousands(cost.weight_bytes),
            workspace_bytes.map_or("-".to_owned(), |bytes| thousands(bytes as u64)),
            reduction.map_or("-".to_owned(), |reduction| format!("{reduction:.4}")),
        ]
    });
    let headings = [
        ">alpha",
        "input",
        ">multiply-adds",
        ">parameters",
        ">weight bytes",
        ">workspace bytes",
        ">reduction",
    ];
    format!("{}{}\n\n{}", reports[0].network, in_int8(&reports[0]), table(&headings, rows))
}

fn variants_csv(reports: &[Report]) -> String {
    let mut csv = "alpha,height,width,channels,multiply_adds,parameters,parameters_folded,parameters_batch_norm,weight_bytes,\
                   workspace_bytes,reduction,output_bytes\n"
        .to_owned();
    for report in reports {
        let Variant { alpha, cost, workspace_bytes, reduction, .. } = Variant::of(report);
        let input = report.input;
        let workspace = workspace_bytes.map_or(String::new(), |bytes| bytes.to_string());
        let reduction = reduction.map_or(String::new(), |reduction| format!("{reduction:.6}"));
        csv += &format!(
            "{alpha},{},{},{},{},{},{},{},{},{workspace},{reduction},{}\n",
            input.height,
            input.width,
            input.channels,
            cost.mult_adds,
            cost.parameters,
            cost.parameters_folded,
            cost.parameters_batch_norm,
            cost.weight_bytes,
            cost.output_bytes,
        );
    }
    csv
}

fn in_int8(report: &Report) -> &'static str {
    if report.is_int8 { ", int8" } else { "" }
}

fn footer(target: &str, is_int8: bool) -> String {
    if is_int8 {
        return fold(&format!(
            "\nChannels that are one byte whatever the input is aren't counted where the weights show which they are.\n\
             Weight bytes: one for each weight, four for each bias at each border and for each multiplier; f32's where a layer is f32.\n\
             Output bytes: as if each were stored. Workspace: on {target}.\n"
        ));
    }
    fold(&format!(
        "\nMultiply-adds and parameters are those of the tables of arXiv 1704.04861: batch norm is left out.\n\
         Weight bytes are f32 with batch norm folded. Workspace: on {target}.\n\
         Reduction: multiply-adds over those of standard convolutions, 1/N + 1/D_K^2 for a separable layer (section 3.1).\n"
    ))
}
