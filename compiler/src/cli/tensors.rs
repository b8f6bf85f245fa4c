//! `mnc tensors`: the names and shapes that a weights file must have.

use mnc::Result;
use mnc::graph::{Graph, Knobs, Resolution};
use mnc::weights::naming::Naming;

use super::output::print;
use super::{network, text};

/// Lists the tensors that a weights file of a network must have
///
/// One line for each tensor: its name and shape in the safetensors file, the layer it belongs to and what it is there.
/// Dtypes may be F32, F16 and BF16.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  mnc tensors mobilenet-v1 --naming huggingface
  mnc tensors net.toml --alpha 0.5
  mnc tensors downloaded/ --naming plain")]
pub(super) struct Args {
    /// A built-in network, the path of a description, or a folder with weights
    network: String,
    /// Whose names: our own (the layers' names), or those of an exporter [default: those of the folder's weights, else plain]
    #[arg(long, value_parser = network::naming())]
    naming: Option<&'static Naming>,
    /// Width multiplier [default: that of the folder's weights, else 1]
    #[arg(long, value_parser = network::alpha)]
    alpha: Option<f64>,
    /// Input size, N or HxW; matters only to a dense layer without pooling before it
    #[arg(long, value_name = "N|HxW", value_parser = network::resolution)]
    resolution: Option<Resolution>,
}

pub(super) fn run(args: &Args) -> Result<()> {
    let known = network::known(&args.network)?;
    let knobs = Knobs { alpha: args.alpha.unwrap_or(known.alpha), resolution: args.resolution };
    let graph = Graph::build(&known.description, &knobs)?;
    let naming = args.naming.or(known.naming).unwrap_or(&Naming::PLAIN);
    let rows = naming.tensors(&graph)?.into_iter().map(|tensor| {
        vec![tensor.tensor, format!("{:?}", tensor.shape), tensor.layer, tensor.role.to_string()]
    });
    print(&text::table(&["tensor", "shape", "layer", "role"], rows))
}
