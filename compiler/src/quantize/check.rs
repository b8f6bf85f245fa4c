//! Which layers can be computed in integers, and which values stay numbers.

use crate::error::{ErrorKind, Faults, Place, Result};
use crate::graph::layer::Layer;
use crate::passes::{Fused, FusedNode, is_clamp};

/// Why a node can't be computed in integers; nothing of one that can, or that stays in f32.
fn refusal(node: &FusedNode) -> Option<&'static str> {
    if node.adds() && !is_clamp(node.activation) {
        return Some("an addition with an activation other than ReLU and ReLU6");
    }
    match node.layer {
        Layer::Pool { .. } => Some("a pool with a window"),
        Layer::Concat => Some("a concat"),
        Layer::Upsample { .. } => Some("an upsample"),
        Layer::BatchNorm { .. } | Layer::Activation(_) => unreachable!("part of other nodes"),
        Layer::Input
        | Layer::Conv { .. }
        | Layer::Depthwise { .. }
        | Layer::Grouped { .. }
        | Layer::Add
        | Layer::Multiply
        | Layer::GlobalAveragePool
        | Layer::Dense { .. }
        | Layer::Softmax => None,
    }
}

/// By node, whether its value is numbers, not bytes: outputs are that nobody else reads, what a softmax reads, and the softmax. Sums are
/// bytes in any case.
///
/// # Errors
/// Every layer that can't be computed in integers, and values that are wanted as numbers and as bytes.
pub(super) fn numbers(network: &Fused) -> Result<Vec<bool>> {
    let mut faults = Faults::new(ErrorKind::Graph);
    let mut is_numbers = vec![false; network.nodes.len()];
    for id in &network.outputs {
        let is_read =
            network.nodes.iter().any(|node| node.inputs.contains(id) && node.layer != Layer::Softmax);
        is_numbers[id.0] = !is_read && !network.nodes[id.0].adds();
    }
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
        if node.layer == Layer::Softmax {
            is_numbers[idx] = true;
            continue;
        }
        for before in node.inputs.iter().filter(|id| is_numbers[id.0]) {
            let before = &network.nodes[before.0].name;
            let detail = format!(
                "reads {before}, whose value belongs to a softmax and stays f32, expected bytes; compile the network in f32"
            );
            faults.push(Place::layer(&node.name), detail);
        }
        let (takes, what) = match node.layer {
            Layer::GlobalAveragePool => (&node.inputs[..], "averages"),
            Layer::Multiply => (&node.inputs[..], "multiplies"),
            Layer::Add => (&node.inputs[..], "adds"),
            _ if node.residual.is_some() => (&node.inputs[1..], "adds"),
            _ => (&[][..], ""),
        };
        if takes.iter().any(|id| id.0 == 0) {
            let detail = format!(
                "{what} the network's input, expected a layer with weights before it; compile the network in f32"
            );
            faults.push(Place::layer(node.value_name()), detail);
        }
        if is_numbers[idx] && node.adds() {
            let detail = "is an addition that a softmax reads, expected a layer with weights before that; compile the network in f32";
            faults.push(Place::layer(node.value_name()), detail);
        }
    }
    if is_numbers[0] || network.outputs.iter().any(|id| id.0 == 0) {
        let detail = "is an output or goes into a softmax, expected a layer with weights behind it; compile the network in f32";
        faults.push(Place::layer(&network.nodes[0].name), detail);
    }
    faults.propagate()?;
    Ok(is_numbers)
}
