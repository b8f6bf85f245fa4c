//! Graph x parameters -> [`Folded`]: each batch norm becomes part of the filter and bias before it.
//!
//! gamma (w x + b - mean) / sqrt(variance + epsilon) + beta is a filter w scale and a bias beta - (mean - b) scale with
//! scale = gamma / sqrt(variance + epsilon). All of it in f64, rounded to f32 once: where variance is the f32 nearest to
//! 1 - epsilon, gamma 1 and mean 0, scale is within 1.5e-8 of 1, less than half an f32 step, and the filter comes back to
//! the bit. Knows nothing of activations but that they are nodes.

use mnc_runtime::filter::{self, BatchNorm, Filter, NotFinite, Order, Packing};

use super::{FusedId, FusedOp, count_readers};
use crate::error::{ErrorKind, Faults, Result};
use crate::graph::layer::{Activation, Layer};
use crate::graph::shape::Shape;
use crate::graph::{Graph, Node};
use crate::weights::{NodeParameters, Parameters};

/// The network without batch norms; activations are nodes still.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Folded {
    /// The nodes, each after its inputs.
    pub(super) nodes: Vec<FoldedNode>,
    /// Positions of the nodes whose values the network returns.
    pub(super) outputs: Vec<FusedId>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct FoldedNode {
    pub(super) name: String,
    pub(super) op: FoldedOp,
    pub(super) inputs: Vec<FusedId>,
    pub(super) shape: Shape,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum FoldedOp {
    /// A layer, without activation so far.
    Layer(FusedOp),
    /// An activation by itself, never [`Activation::None`].
    Activation(Activation),
}

/// Folds every batch norm into the layer before it.
///
/// A batch norm that can't be folded is a fault: one after a layer without weights, or whose input is used elsewhere too.
pub(super) fn run(graph: &Graph, parameters: &Parameters) -> Result<Folded> {
    parameters.verify(graph);
    fold_all(graph, Some(parameters))
}

/// The same without numbers: every filter is empty.
pub(super) fn shapes(graph: &Graph) -> Result<Folded> {
    fold_all(graph, None)
}

fn fold_all(graph: &Graph, parameters: Option<&Parameters>) -> Result<Folded> {
    check_places(graph)?;
    let mut faults = Faults::new(ErrorKind::Weights);
    let mut nodes: Vec<FoldedNode> = Vec::with_capacity(graph.nodes.len());
    // By the graph's id: where the value is to be found now.
    let mut moved: Vec<FusedId> = Vec::with_capacity(graph.nodes.len());
    for (idx, node) in graph.nodes.iter().enumerate() {
        let parameters = parameters.map(|parameters| &parameters.0[idx]);
        if let Layer::BatchNorm { epsilon } = &node.layer {
            let id = moved[node.inputs[0].0];
            if let Some(NodeParameters::BatchNorm { gamma, beta, mean, variance }) = parameters {
                let norm = BatchNorm { epsilon: *epsilon, gamma, beta, mean, variance };
                fold(&node.name, norm, &mut nodes[id.0].op, &mut faults);
            }
            moved.push(id);
            continue;
        }
        if node.layer == Layer::Activation(Activation::None) {
            moved.push(moved[node.inputs[0].0]);
            continue;
        }
        moved.push(FusedId(nodes.len()));
        nodes.push(FoldedNode {
            name: node.name.clone(),
            op: convert(node, parameters),
            inputs: node.inputs.iter().map(|id| moved[id.0]).collect(),
            shape: node.shape,
        });
    }
    faults.propagate()?;
    let outputs = graph.outputs.iter().map(|id| moved[id.0]).collect();
    Ok(Folded { nodes, outputs })
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
            faults.push(&node.name, detail);
        } else if 1 < n_readers {
            let detail =
                format!("can't be folded: {name} has {n_readers} readers, expected this batch norm alone");
            faults.push(&node.name, detail);
        }
    }
    faults.propagate()
}

/// The layer with f32 weights, a bias in any case, and no activation.
fn convert(node: &Node, parameters: Option<&NodeParameters>) -> FoldedOp {
    let filter = || match parameters {
        None => (Vec::new(), Vec::new()),
        Some(NodeParameters::Filter { weights, bias }) => {
            (weights.clone(), bias.clone().unwrap_or_else(|| vec![0.0; node.shape.channels]))
        }
        Some(NodeParameters::None | NodeParameters::BatchNorm { .. }) => {
            unreachable!("verified: it has a filter")
        }
    };
    let activation = Activation::None;
    FoldedOp::Layer(match node.layer {
        Layer::Input => FusedOp::Input,
        Layer::Conv { window, .. } => {
            let (weights, bias) = filter();
            FusedOp::Conv { window, weights, bias, activation }
        }
        Layer::Depthwise { window, .. } => {
            let (weights, bias) = filter();
            FusedOp::Depthwise { window, weights, bias, activation }
        }
        Layer::Dense { .. } => {
            let (weights, bias) = filter();
            FusedOp::Dense { weights, bias, activation }
        }
        Layer::Add => FusedOp::Add { activation },
        Layer::GlobalAveragePool => FusedOp::GlobalAveragePool,
        Layer::Softmax => FusedOp::Softmax,
        Layer::Activation(activation) => return FoldedOp::Activation(activation),
        Layer::BatchNorm { .. } => unreachable!("a batch norm is folded, not converted"),
    })
}

/// Folds a norm into a layer's filter; both have the output channel N innermost.
fn fold(name: &str, norm: BatchNorm<'_>, op: &mut FoldedOp, faults: &mut Faults) {
    let (FoldedOp::Layer(FusedOp::Conv { weights, bias, .. })
    | FoldedOp::Layer(FusedOp::Depthwise { weights, bias, .. })
    | FoldedOp::Layer(FusedOp::Dense { weights, bias, .. })) = op
    else {
        unreachable!("checked: a batch norm follows a layer with weights");
    };
    let n = bias.len();
    let order = Order::chain(n, weights.len() / n);
    let mut folded = vec![0.0; n + weights.len()];
    let filter = Filter { weights, order, bias: Some(bias), norm: Some(norm) };
    if let Err(fault) = filter::pack(&filter, &Packing::chain(n, order.depth()), &mut folded) {
        let NotFinite { is_bias, channel, value } = fault;
        let what = if is_bias { "bias" } else { "weight" };
        let BatchNorm { epsilon, gamma, beta, mean, variance } = norm;
        faults.push(
            name,
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
