//! What a network in bytes and integers costs: [`Graph`] and its [`Fused`] -> [`Report`].

use crate::cost::{Cost, Report, of_layer, output_bytes};
use crate::graph::Graph;
use crate::graph::shape::Shape;
use crate::passes::{Fused, FusedNode, Integer};

impl Report {
    /// Counts a graph in bytes and integers: what the network of it computes, without the channels that were taken away, and the bytes of
    /// its numbers. What is saved over standard convolutions isn't counted.
    pub fn of_integers(graph: &Graph, network: &Fused) -> Report {
        let mut layers = Report::of(graph).layers;
        for layer in &mut layers {
            let find = |name_of: fn(&FusedNode) -> &str| {
                let mut nodes = network.nodes.iter().filter(|node| !network.is_conversion(node));
                nodes.find(|node| name_of(node) == layer.name)
            };
            let node = find(|node| &node.name);
            // An addition may be part of the node before it.
            let stored = find(FusedNode::value_name).or(node);
            layer.reduction = None;
            if let Some(node) = node {
                layer.cost = of_node(node, network.nodes[node.inputs[0].0].shape(), layer.cost);
            }
            if let Some(stored) = stored {
                layer.output = stored.shape();
                layer.cost.output_bytes = output_bytes(stored.tensor);
            }
        }
        Report { is_int8: true, ..Report::of_layers(graph, layers) }
    }
}

/// What a node of a network in int8 costs, where its layer cost so much in f32.
fn of_node(node: &FusedNode, input: Shape, before: Cost) -> Cost {
    let cost = of_layer(&node.layer, input, node.shape());
    let (n_biases, weight_bytes) = match (&node.integer, &node.filter) {
        (Some(Integer { weights, bias, multiplier, .. }), _) => {
            let n = if weights.is_empty() { 0 } else { multiplier.len() };
            (n, weights.len() + (bias.len() + multiplier.len()) * size_of::<i32>())
        }
        (None, Some(filter)) => (filter.bias.len(), filter.bytes()),
        (None, None) => (0, 0),
    };
    let folded = cost.weights + n_biases as u64;
    let has_own = before.weights < before.parameters;
    Cost {
        parameters: if has_own { folded } else { cost.weights },
        parameters_folded: folded,
        parameters_batch_norm: folded,
        weight_bytes: weight_bytes as u64,
        ..cost
    }
}
