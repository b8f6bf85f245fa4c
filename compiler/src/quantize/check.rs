//! Which layers are computed in integers and which in f32, and which values are bytes.

use crate::error::{Error, ErrorKind, Faults, Place, Result};
use crate::graph::layer::Layer;
use crate::passes::{Fused, FusedId, FusedNode, is_clamp};

/// How a node is computed, and what its value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Form {
    /// Whether it computes numbers of numbers.
    pub(super) in_f32: bool,
    /// Whether there are bytes of its value: a layer in integers reads them, or it is a sum of bytes.
    pub(super) has_bytes: bool,
    /// Whether these stand for what the bytes of its inputs do.
    pub(super) keeps_bytes: bool,
}

/// Whether a node is computed in f32 in any case: it has no form in integers, or none over the network's input.
pub(super) fn stays_f32(node: &FusedNode) -> bool {
    let takes_input = |inputs: &[FusedId]| inputs.iter().any(|id| id.0 == 0);
    if node.adds() && !is_clamp(node.activation) {
        return true;
    }
    match node.layer {
        Layer::Softmax => true,
        Layer::BatchNorm { .. } | Layer::Activation(_) => unreachable!("part of other nodes"),
        Layer::GlobalAveragePool
        | Layer::Multiply
        | Layer::Add
        | Layer::Pool { .. }
        | Layer::Concat
        | Layer::Upsample { .. } => takes_input(&node.inputs),
        Layer::Conv { .. } | Layer::Depthwise { .. } | Layer::Grouped { .. } | Layer::Dense { .. } => {
            takes_input(&node.inputs[1..])
        }
        Layer::Input => false,
    }
}

/// Of every node, where those of such names, or in which such an addition is, stay f32.
///
/// # Errors
/// A name that no layer has.
pub(super) fn forms(network: &Fused, kept: &[String]) -> Result<Vec<Form>> {
    let mut faults = Faults::new(ErrorKind::Options);
    let is_called = |node: &FusedNode, name: &String| node.name == *name || node.value_name() == name;
    for name in kept {
        if !network.nodes[1..].iter().any(|node| is_called(node, name)) {
            let detail = "found no such layer to keep in f32, expected one of those that the report of `mnc quantize` lists";
            faults.push(Place::layer(name), detail);
        }
    }
    faults.propagate()?;
    let mut in_f32: Vec<bool> = network
        .nodes
        .iter()
        .map(|node| stays_f32(node) || kept.iter().any(|name| is_called(node, name)))
        .collect();
    follow_neighbours(network, &mut in_f32);
    let form = |(idx, node): (usize, &FusedNode)| {
        let mut readers = network.nodes.iter().zip(&in_f32).filter(|(_, in_f32)| !**in_f32);
        let is_read = readers.any(|(reader, _)| reader.inputs.iter().any(|id| id.0 == idx));
        let has_bytes = is_read || idx == 0 || (node.adds() && !in_f32[idx]);
        let keeps_bytes = node.layer.keeps_scales() && !in_f32[idx];
        Form { in_f32: in_f32[idx], has_bytes, keeps_bytes }
    };
    Ok(network.nodes.iter().enumerate().map(form).collect())
}

/// Layers that keep the scales of their inputs are computed in f32 where no layer in integers reads them, or none comes before them:
/// numbers that become bytes and numbers again would only be rounded.
fn follow_neighbours(network: &Fused, in_f32: &mut [bool]) {
    let nodes = &network.nodes;
    let keeps = |idx: &usize| nodes[*idx].layer.keeps_scales();
    for idx in (1..nodes.len()).rev().filter(keeps) {
        let mut readers = (idx + 1..nodes.len()).filter(|reader| !in_f32[*reader]);
        let is_read = readers.any(|reader| nodes[reader].inputs.iter().any(|id| id.0 == idx));
        in_f32[idx] |= !is_read;
    }
    for idx in (1..nodes.len()).filter(keeps) {
        in_f32[idx] |= nodes[idx].inputs.iter().all(|id| in_f32[id.0]);
    }
}

/// By node the first of those whose bytes have one zero point and one range: what layers in integers that keep the scales of their
/// inputs tie together.
pub(super) fn kept_together(network: &Fused, forms: &[Form]) -> Vec<usize> {
    let mut first: Vec<usize> = (0..network.nodes.len()).collect();
    for (idx, node) in network.nodes.iter().enumerate().filter(|(idx, _)| forms[*idx].keeps_bytes) {
        for input in &node.inputs {
            let (a, b) = (first[input.0].min(first[idx]), first[input.0].max(first[idx]));
            first.iter_mut().filter(|first| **first == b).for_each(|first| *first = a);
        }
        debug_assert!(first[idx] < idx, "{}: its inputs come before", node.name);
    }
    first
}

/// An error about a layer's numbers.
pub(super) fn wrong(node: &FusedNode, detail: impl Into<String>) -> Error {
    Error::new(ErrorKind::Weights, Place::layer(&node.name), detail)
}
