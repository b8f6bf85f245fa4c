//! Stage 4: [`Graph`] with its parameters -> [`Fused`].
//!
//! Batch norms are folded into the weights before them, activations into the layer before them. A [`Fused`] network cannot
//! express either by itself any more. One pass per file; between the two the network is a `Folded`, which can't express a
//! batch norm. Knows no target.

mod fold_batch_norm;
mod fuse_activation;

use crate::error::Result;
use crate::graph::Graph;
use crate::graph::layer::Activation;
use crate::graph::shape::{Shape, Window};
use crate::weights::Parameters;

/// Runs every pass, in their order.
///
/// Fails where a batch norm or an activation has no layer before it to become part of, or where a folded number is not a
/// finite f32.
///
/// ```
/// use mnc::graph::{Graph, Knobs, layer::Activation};
/// use mnc::passes::{self, FusedOp};
/// use mnc::weights::Parameters;
/// let description = mnc::describe::builtin("mobilenet-v1").unwrap().description();
/// let graph = Graph::build(&description, &Knobs { alpha: 0.25, resolution: None })?;
/// let fused = passes::run(&graph, &Parameters::random(&graph, 1))?;
/// // The input, 27 convolutions that had a batch norm and a ReLU6 each, pool, dense.
/// assert_eq!((graph.nodes.len(), fused.nodes.len()), (84, 30));
/// assert_eq!(fused.nodes[2].name, "conv_dw_1");
/// assert!(matches!(fused.nodes[2].op, FusedOp::Depthwise { activation: Activation::Relu6, .. }));
/// # Ok::<(), mnc::Error>(())
/// ```
///
/// # Panics
///
/// If the parameters are not this graph's (see [`Parameters::verify`]).
pub fn run(graph: &Graph, parameters: &Parameters) -> Result<Fused> {
    let folded = fold_batch_norm::run(graph, parameters)?;
    let fused = fuse_activation::run(folded)?;
    if cfg!(debug_assertions) {
        fused.verify();
    }
    Ok(fused)
}

/// The network without numbers, each filter empty: enough to schedule and to plan it, before its numbers take memory.
///
/// # Errors
/// As [`run`], but for what numbers do.
pub fn shapes(graph: &Graph) -> Result<Fused> {
    fuse_activation::run(fold_batch_norm::shapes(graph)?)
}

/// A node's position in [`Fused::nodes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FusedId(pub usize);

/// What one fused node computes. Weights are f32, rounded once from f64.
#[derive(Clone, Debug, PartialEq)]
pub enum FusedOp {
    /// The network's input.
    Input,
    /// Standard convolution; pointwise when the window is [`Window::POINTWISE`].
    Conv {
        /// The sliding window.
        window: Window,
        /// `[D_K][D_K][M][N]`, the order of the chain of multiply-adds, output channel innermost.
        weights: Vec<f32>,
        /// `[N]`
        bias: Vec<f32>,
        /// Applied to each output element.
        activation: Activation,
    },
    /// Depthwise convolution.
    Depthwise {
        /// The sliding window.
        window: Window,
        /// `[D_K][D_K][M]`
        weights: Vec<f32>,
        /// `[M]`
        bias: Vec<f32>,
        /// Applied to each output element.
        activation: Activation,
    },
    /// Elementwise sum of its two inputs.
    Add {
        /// Applied to each output element.
        activation: Activation,
    },
    /// Mean over all pixels, per channel.
    GlobalAveragePool,
    /// Fully connected layer over the input's H x W x C elements in that order.
    Dense {
        /// `[M][N]` with M = H W C of the input, output innermost.
        weights: Vec<f32>,
        /// `[N]`
        bias: Vec<f32>,
        /// Applied to each output element.
        activation: Activation,
    },
    /// Softmax over the channels of each pixel.
    Softmax,
}

impl FusedOp {
    /// Weights and biases in all.
    pub fn n_numbers(&self) -> usize {
        match self {
            FusedOp::Conv { weights, bias, .. }
            | FusedOp::Depthwise { weights, bias, .. }
            | FusedOp::Dense { weights, bias, .. } => weights.len() + bias.len(),
            FusedOp::Input | FusedOp::Add { .. } | FusedOp::GlobalAveragePool | FusedOp::Softmax => 0,
        }
    }
}

/// One fused node.
#[derive(Clone, Debug, PartialEq)]
pub struct FusedNode {
    /// The name of the layer that it computes: `conv_dw_3`.
    pub name: String,
    /// What it computes.
    pub op: FusedOp,
    /// Its inputs; each id is smaller than the node's own.
    pub inputs: Vec<FusedId>,
    /// The shape of its output. After [`FusedOp::Dense`]: 1 x 1 x N.
    pub shape: Shape,
}

/// The network that is scheduled: no batch norm, no lone activation.
#[derive(Clone, Debug, PartialEq)]
pub struct Fused {
    /// The nodes, each after its inputs; node 0 is the only [`FusedOp::Input`].
    pub nodes: Vec<FusedNode>,
    /// The nodes whose values the network returns.
    pub outputs: Vec<FusedId>,
}

impl Fused {
    /// The network that returns the value of one of its layers, without the nodes that this doesn't need.
    pub fn cut(&self, layer: FusedId) -> Fused {
        let mut is_needed = vec![false; self.nodes.len()];
        (is_needed[0], is_needed[layer.0]) = (true, true);
        for (idx, node) in self.nodes.iter().enumerate().rev() {
            if is_needed[idx] {
                node.inputs.iter().for_each(|input| is_needed[input.0] = true);
            }
        }
        let place = |id: &FusedId| FusedId(is_needed[..id.0].iter().filter(|needed| **needed).count());
        let kept = self.nodes.iter().zip(&is_needed).filter(|(_, needed)| **needed);
        let moved =
            |node: &FusedNode| FusedNode { inputs: node.inputs.iter().map(place).collect(), ..node.clone() };
        Fused { nodes: kept.map(|(node, _)| moved(node)).collect(), outputs: vec![place(&layer)] }
    }

    /// Asserts what later stages rely on: inputs precede their users, shapes follow from windows, every vector has the
    /// length that its layer needs, every number is finite.
    ///
    /// # Panics
    ///
    /// If one of these doesn't hold; after [`run`] all do.
    pub fn verify(&self) {
        assert!(!self.outputs.is_empty(), "a network returns something");
        assert!(self.outputs.iter().all(|id| id.0 < self.nodes.len()), "outputs are nodes");
        for (index, node) in self.nodes.iter().enumerate() {
            let name = &node.name;
            assert!(!node.shape.is_empty(), "{name}: no map is empty");
            assert!(node.inputs.iter().all(|id| id.0 < index), "{name}: inputs come before");
            assert_eq!(index == 0, node.op == FusedOp::Input, "{name}: node 0 is the only input");
            let inputs: Vec<Shape> = node.inputs.iter().map(|id| self.nodes[id.0].shape).collect();
            verify_op(node, &inputs);
        }
    }
}

fn verify_op(FusedNode { name, op, shape, .. }: &FusedNode, inputs: &[Shape]) {
    let n = shape.channels;
    let numbers = |weights: &[f32], bias: &[f32], n_weights: usize| {
        assert_eq!(weights.len(), n_weights, "{name}: the filter has the layer's extent");
        assert_eq!(bias.len(), n, "{name}: the bias has N elements");
        assert!(weights.iter().chain(bias).all(|x| x.is_finite()), "{name}: numbers are finite");
    };
    match (op, inputs) {
        (FusedOp::Input, []) => {}
        (FusedOp::Conv { window, weights, bias, .. }, [input]) => {
            numbers(weights, bias, window.d_k * window.d_k * input.channels * n);
            verify_window(name, *window, *input, *shape);
        }
        (FusedOp::Depthwise { window, weights, bias, .. }, [input]) => {
            assert_eq!(n, input.channels, "{name}: a depthwise convolution keeps the channels");
            numbers(weights, bias, window.d_k * window.d_k * n);
            verify_window(name, *window, *input, *shape);
        }
        (FusedOp::Dense { weights, bias, .. }, [input]) => {
            assert_eq!(shape.pixels(), 1, "{name}: a dense layer's output is one pixel");
            numbers(weights, bias, input.len() * n);
        }
        (FusedOp::Add { .. }, [a, b]) => {
            assert!(a == shape && b == shape, "{name}: all shapes of an add agree");
        }
        (FusedOp::GlobalAveragePool, [input]) => {
            assert_eq!(
                *shape,
                Shape { height: 1, width: 1, ..*input },
                "{name}: one pixel, the same channels"
            );
        }
        (FusedOp::Softmax, [input]) => assert_eq!(shape, input, "{name}: softmax keeps the shape"),
        (
            FusedOp::Input
            | FusedOp::Conv { .. }
            | FusedOp::Depthwise { .. }
            | FusedOp::Dense { .. }
            | FusedOp::Add { .. }
            | FusedOp::GlobalAveragePool
            | FusedOp::Softmax,
            _,
        ) => panic!("{name}: the layer has the number of inputs that it needs"),
    }
}

fn verify_window(name: &str, window: Window, input: Shape, output: Shape) {
    let expected = window.output(input.height, input.width);
    assert_eq!(Some((output.height, output.width)), expected, "{name}: the output follows from the window");
}

/// How often each of `n_nodes` nodes occurs in `reads`.
fn count_readers(n_nodes: usize, reads: impl Iterator<Item = usize>) -> Vec<usize> {
    let mut n_readers = vec![0; n_nodes];
    reads.for_each(|index| n_readers[index] += 1);
    n_readers
}

#[cfg(test)]
mod tests;
