//! Which layers can be computed in integers, and which values stay numbers.

use crate::error::{ErrorKind, Faults, Place, Result};
use crate::graph::layer::Layer;
use crate::passes::{Fused, FusedNode};

/// Why a node can't be computed in integers; nothing of one that can, or that stays in f32.
fn refusal(node: &FusedNode) -> Option<&'static str> {
    match (&node.residual, &node.layer) {
        (Some(_), _) | (None, Layer::Add) => Some("an addition"),
        (None, Layer::Multiply) => Some("a product"),
        (None, Layer::Pool { .. }) => Some("a pool with a window"),
        (None, Layer::Concat) => Some("a concat"),
        (None, Layer::Upsample { .. }) => Some("an upsample"),
        (None, Layer::BatchNorm { .. } | Layer::Activation(_)) => unreachable!("part of other nodes"),
        (
            None,
            Layer::Input
            | Layer::Conv { .. }
            | Layer::Depthwise { .. }
            | Layer::Grouped { .. }
            | Layer::GlobalAveragePool
            | Layer::Dense { .. }
            | Layer::Softmax,
        ) => None,
    }
}

/// By node, whether its value is numbers, not bytes: outputs are, what a softmax reads, and the softmax.
///
/// # Errors
/// Every layer that can't be computed in integers, and values that are wanted as numbers and as bytes.
pub(super) fn numbers(network: &Fused) -> Result<Vec<bool>> {
    let mut faults = Faults::new(ErrorKind::Graph);
    let mut is_numbers = vec![false; network.nodes.len()];
    network.outputs.iter().for_each(|id| is_numbers[id.0] = true);
    for node in &network.nodes {
        if let Some(what) = refusal(node) {
            let detail = format!(
                "found {what}, which isn't computed in int8 yet, expected a network without; compile it in f32"
            );
            faults.push(Place::layer(node.value_name()), detail);
        }
        if node.layer == Layer::Softmax {
            is_numbers[node.inputs[0].0] = true;
        }
    }
    faults.propagate()?;
    let mut faults = Faults::new(ErrorKind::Graph);
    for (idx, node) in network.nodes.iter().enumerate().skip(1) {
        is_numbers[idx] |= node.layer == Layer::Softmax;
        let from = node.inputs[0].0;
        let before = &network.nodes[from].name;
        if node.layer != Layer::Softmax && is_numbers[from] {
            let detail = format!(
                "reads {before}, whose value is an output or belongs to a softmax and stays f32, expected bytes; compile the network in f32"
            );
            faults.push(Place::layer(&node.name), detail);
        }
        if node.layer == Layer::GlobalAveragePool && from == 0 {
            let detail = "averages the network's input, expected a layer with weights before it; compile the network in f32";
            faults.push(Place::layer(&node.name), detail);
        }
    }
    if is_numbers[0] {
        let detail = "is an output or goes into a softmax, expected a layer with weights behind it; compile the network in f32";
        faults.push(Place::layer(&network.nodes[0].name), detail);
    }
    faults.propagate()?;
    Ok(is_numbers)
}
