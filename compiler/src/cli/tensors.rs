//! `mnc tensors`: the names and shapes that a weights file must have, and which tensors of a file they seem to be.

use std::path::{Path, PathBuf};

use mnc::Result;
use mnc::graph::{Graph, Knobs, Resolution};
use mnc::weights::layout::Layout;
use mnc::weights::naming::{Naming, TensorSpec};
use mnc::weights::propose::{Proposal, Row};
use mnc::weights::{Leftovers, Weights};
use serde_json::{Value, json};

use super::files::{self, Kind};
use super::output::print;
use super::text::tell;
use super::{network, text};

/// Lists the tensors that a weights file of a network must have
///
/// One line for each tensor: its name and shape in the safetensors file, the layer it belongs to and what it is there.
/// Dtypes may be F32, F16 and BF16.
///
/// With --match, which tensors of a file with other names these seem to be, by shapes, order and words. Look the table over: what
/// fits is not always what is right. `mnc compile --names FILE` takes what -o writes, once every ? in it is decided.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  mnc tensors mobilenet-v1 --naming huggingface
  mnc tensors net.toml --alpha 0.5 --json
  mnc tensors downloaded/ --naming plain
  mnc tensors mobilenet-v1 --match theirs.safetensors -o names.toml
  mnc compile mobilenet-v1 --weights theirs.safetensors \\
    --names names.toml -o classify")]
pub(super) struct Args {
    /// A built-in network, the path of a description, or a folder with weights
    network: String,
    /// Whose names: our own (the layers' names), or those of an exporter [default: those of the folder's weights, else plain]
    #[arg(long, value_parser = network::naming(), conflicts_with = "matched")]
    naming: Option<&'static Naming>,
    #[command(flatten)]
    part: network::Part,
    /// Width multiplier [default: that of the weights, else 1]
    #[arg(long, value_parser = network::alpha)]
    alpha: Option<f64>,
    /// Input size, N or HxW; matters only to a dense layer without pooling before it
    #[arg(long, value_name = "N|HxW", value_parser = network::resolution)]
    resolution: Option<Resolution>,
    /// Propose which tensors of this file, whatever they are called, are the network's
    #[arg(long = "match", value_name = "WEIGHTS")]
    matched: Option<PathBuf>,
    /// Where to write the proposal, for --names
    #[arg(long, short, value_name = "FILE", requires = "matched")]
    output: Option<PathBuf>,
    /// Order of the filters' axes in that file [default: that of their shapes]
    #[arg(long, value_name = "ORDER", value_parser = network::axes(), requires = "matched")]
    axes: Option<Layout>,
    /// One JSON document
    #[arg(long)]
    json: bool,
}

/// The version of the JSON.
const SCHEMA: u32 = 1;

pub(super) fn run(args: &Args) -> Result<()> {
    if let Some(weights) = &args.matched {
        return propose(args, weights);
    }
    let known = network::known(&args.network, &args.part)?;
    let knobs = Knobs { alpha: args.alpha.unwrap_or(known.alpha), resolution: args.resolution };
    let graph = Graph::build(&known.description, &knobs)?;
    let naming = args.naming.or(known.naming).unwrap_or(&Naming::PLAIN);
    let tensors = naming.tensors(&graph)?;
    if args.json {
        let rows: Vec<Value> = tensors.iter().map(|spec| tensor(spec, json!(spec.tensor))).collect();
        let document = json!({
            "schema": SCHEMA,
            "network": graph.name,
            "alpha": graph.alpha,
            "classes": known.description.classes,
            "naming": naming.name,
            "axes": naming.layout().name(),
            "tensors": rows,
        });
        return print_json(&document);
    }
    let rows = tensors.into_iter().map(|tensor| {
        vec![tensor.tensor, format!("{:?}", tensor.shape), tensor.layer, tensor.role.to_string()]
    });
    print(&text::table(&["tensor", "shape", "layer", "role"], rows))
}

/// What both documents say of a tensor.
fn tensor(spec: &TensorSpec, name: Value) -> Value {
    json!({
        "tensor": name,
        "shape": spec.shape,
        "layer": spec.layer,
        "role": spec.role.to_string(),
    })
}

fn propose(args: &Args, path: &Path) -> Result<()> {
    // The prefix and what is strict are those of this file, not of a folder that is the network.
    let description = network::known(&args.network, &args.part.without_names())?.description;
    let bytes = files::read(path, Kind::Weights)?;
    let mut weights = Weights::parse(bytes, &path.display().to_string())?;
    if let Some(axes) = args.axes {
        weights.set_layout(axes);
    }
    if let Some(prefix) = args.part.prefix() {
        weights.keep_prefix(prefix)?;
    }
    let proposal = weights.propose(&description, args.alpha)?;
    if args.part.is_strict() && !proposal.left.is_empty() {
        return super::fail(path, Leftovers::refusal(&proposal.left));
    }
    if let Some(output) = &args.output {
        files::write(output, proposal.text(&description.name).as_bytes(), false)?;
    }
    if args.json {
        let rows = proposal.rows.iter().map(|row| {
            let mut row_json = tensor(&row.spec, json!(row.tensor));
            row_json["name"] = json!(row.spec.tensor);
            row_json["also_fits"] = json!(row.also);
            row_json
        });
        let document = json!({
            "schema": SCHEMA,
            "network": description.name,
            "alpha": proposal.alpha,
            "classes": proposal.classes,
            "naming": Naming::PLAIN.name,
            "axes": proposal.layout.name(),
            "tensors": rows.collect::<Vec<_>>(),
            "left_over": proposal.left,
        });
        print_json(&document)?;
    } else {
        let rows = proposal.rows.iter().map(|row| {
            let tensor = row.tensor.clone().unwrap_or_else(|| "nothing fits".to_owned());
            vec![row.spec.tensor.clone(), tensor, format!("{:?}", row.spec.shape), others(row)]
        });
        print(&text::table(&["layer's tensor", "in the file", "shape", "also fits"], rows))?;
    }
    tell(told(&proposal, args.output.as_deref()));
    Ok(())
}

/// What fits as well, the first few of it.
fn others(row: &Row) -> String {
    const FEW: usize = 3;
    let few: Vec<&str> = row.also.iter().take(FEW).map(String::as_str).collect();
    let more = row.also.len().saturating_sub(FEW);
    if more == 0 { few.join(", ") } else { format!("{}, {more} more", few.join(", ")) }
}

/// What was found, and what is to be done.
fn told(proposal: &Proposal, output: Option<&Path>) -> String {
    let Proposal { rows, alpha, classes, layout, left, .. } = proposal;
    let n_found = rows.iter().filter(|row| row.tensor.is_some()).count();
    let n_asked = rows.iter().filter(|row| row.tensor.is_some() && !row.also.is_empty()).count();
    let mut lines = vec![format!(
        "{n_found} of {} tensors found: alpha {alpha}, {classes} classes, axes {layout}",
        rows.len()
    )];
    if 0 < n_asked {
        lines.push(format!(
            "{n_asked} have a second choice: the file has a ? before each, and --names refuses it until you decide"
        ));
    }
    if !left.is_empty() {
        let few: Vec<&str> = left.iter().take(5).map(String::as_str).collect();
        let more = if left.len() <= 5 { "" } else { ", ..." };
        lines.push(format!("{} left over: {}{more}", left.len(), few.join(", ")));
    }
    lines.push(match output {
        Some(output) => format!("wrote {}: check it, then --names {0}", output.display()),
        None => "-o names.toml writes it down, for --names".to_owned(),
    });
    lines.join("\n") + "\n"
}

fn print_json(document: &Value) -> Result<()> {
    print(
        &(serde_json::to_string_pretty(document).expect("names and numbers always have a JSON form") + "\n"),
    )
}
