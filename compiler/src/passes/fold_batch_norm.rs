//! Graph x parameters -> [`Fused`] with activations as nodes: each batch norm becomes part of the filter and bias before it.
//!
//! gamma (w x + b - mean) / sqrt(variance + epsilon) + beta is a filter w scale and a bias beta - (mean - b) scale with
//! scale = gamma / sqrt(variance + epsilon). All of it in f64, rounded to f32 once: where variance is the f32 nearest to
//! 1 - epsilon, gamma 1 and mean 0, scale is within 1.5e-8 of 1, less than half an f32 step, and the filter comes back to
//! the bit. Knows nothing of activations but that they are nodes.

use mnc_runtime::filter::{self, BatchNorm, NotFinite, Order, Packing};

use super::{Filter, Fused, FusedId, FusedNode, count_readers};
use crate::error::{ErrorKind, Faults, Place, Result};
use crate::graph::layer::{Activation, Layer};
use crate::graph::{Graph, Node};
use crate::weights::{NodeParameters, Parameters};

/// Folds every batch norm into the layer before it.
///
/// A batch norm that can't be folded is a fault: one after a layer without weights, or whose input is used elsewhere too.
pub(super) fn run(graph: &Graph, parameters: &Parameters) -> Result<Fused> {
    parameters.verify(graph);
    fold_all(graph, Some(parameters))
}

/// The same without numbers: every filter is empty.
pub(super) fn shapes(graph: &Graph) -> Result<Fused> {
    fold_all(graph, None)
}

fn fold_all(graph: &Graph, parameters: Option<&Parameters>) -> Result<Fused> {
    check_places(graph)?;
    let mut faults = Faults::new(ErrorKind::Weights);
    let mut nodes: Vec<FusedNode> = Vec::with_capacity(graph.nodes.len());
    // By the graph's id: where the value is to be found now.
    let mut moved: Vec<FusedId> = Vec::with_capacity(graph.nodes.len());
    for (idx, node) in graph.nodes.iter().enumerate() {
        let parameters = parameters.map(|parameters| &parameters.0[idx]);
        if let Layer::BatchNorm { epsilon, .. } = &node.layer {
            let id = moved[node.inputs[0].0];
            if let Some(NodeParameters::BatchNorm { gamma, beta, mean, variance }) = parameters {
                let (gamma, beta) = (Some(gamma.as_slice()), Some(beta.as_slice()));
                let norm = BatchNorm { epsilon: *epsilon, gamma, beta, mean, variance };
                let filter = nodes[id.0].filter.as_mut().expect("checked: it follows a layer with weights");
                fold(&node.name, norm, filter, &mut faults);
            }
            moved.push(id);
            continue;
        }
        if node.layer == Layer::Activation(Activation::None) {
            moved.push(moved[node.inputs[0].0]);
            continue;
        }
        moved.push(FusedId(nodes.len()));
        nodes.push(FusedNode {
            name: node.name.clone(),
            layer: node.layer.clone(),
            filter: graph.filter(node).map(|_| filter(node, parameters)),
            activation: Activation::None,
            residual: None,
            inputs: node.inputs.iter().map(|id| moved[id.0]).collect(),
            tensor: node.tensor,
            bytes: None,
            scales: Vec::new(),
            integer: None,
        });
    }
    faults.propagate()?;
    let outputs = graph.outputs.iter().map(|id| moved[id.0]).collect();
    Ok(Fused { nodes, outputs, output_names: graph.output_names.clone(), byte_input: None })
}

/// Each batch norm must be the only reader of a layer with weights.
fn check_places(graph: &Graph) -> Result<()> {
    let reads = graph.nodes.iter().flat_map(|node| &node.inputs).chain(&graph.outputs);
    let n_readers = count_readers(graph.nodes.len(), reads.map(|id| id.0));
    let mut faults = Faults::new(ErrorKind::Graph);
    for node in &graph.nodes {
        if !matches!(node.layer, Layer::BatchNorm { .. }) {
            continue;
        }
        let id = node.inputs[0].0;
        let before = &graph.nodes[id];
        let (name, n_readers) = (&before.name, n_readers[id]);
        if graph.filter(before).is_none() {
            let detail =
                format!("can't be folded: found it after {name}, expected a layer with weights before it");
            faults.push(Place::layer(&node.name), detail);
        } else if 1 < n_readers {
            let detail =
                format!("can't be folded: {name} has {n_readers} readers, expected this batch norm alone");
            faults.push(Place::layer(&node.name), detail);
        }
    }
    faults.propagate()
}

/// The numbers of a layer with weights, with a bias in any case.
fn filter(node: &Node, parameters: Option<&NodeParameters>) -> Filter {
    match parameters {
        None => Filter { weights: Vec::new(), bias: Vec::new() },
        Some(NodeParameters::Filter { weights, bias }) => {
            let bias = bias.clone().unwrap_or_else(|| vec![0.0; node.shape().channels]);
            Filter { weights: weights.clone(), bias }
        }
        Some(NodeParameters::None | NodeParameters::BatchNorm { .. }) => {
            unreachable!("verified: it has a filter")
        }
    }
}

/// Folds a norm into a layer's filter; both have the output channel N innermost.
fn fold(name: &str, norm: BatchNorm<'_>, filter: &mut Filter, faults: &mut Faults) {
    let Filter { weights, bias } = filter;
    let n = bias.len();
    let order = Order::chain(n, weights.len() / n);
    let mut folded = vec![0.0; n + weights.len()];
    let source = filter::Filter { weights, order, bias: Some(bias), norm: Some(norm) };
    if let Err(fault) = filter::pack(&source, &Packing::chain(n, order.depth()), &mut folded) {
        let NotFinite { is_bias, channel, value } = fault;
        let what = if is_bias { "bias" } else { "weight" };
        let BatchNorm { epsilon, gamma, beta, mean, variance } = norm;
        let (gamma, beta) = (gamma.unwrap_or_default(), beta.unwrap_or_default());
        faults.push(
            Place::layer(name),
            format!(
                "folded {what} of channel {channel} is {value}, expected a finite f32 (gamma {}, beta {}, mean {}, variance {}, \
                 epsilon {epsilon})",
                gamma[channel], beta[channel], mean[channel], variance[channel],
            ),
        );
        return;
    }
    *weights = folded.split_off(n);
    *bias = folded;
}
