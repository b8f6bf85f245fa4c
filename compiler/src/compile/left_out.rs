//! What a network has less than its graph: the channels that a pass has taken from it.

use mnc_runtime::info::ConstantChannels;

use crate::cost::{self, Cost};
use crate::graph::Graph;
use crate::passes::{Fused, FusedId, FusedNode};

/// Of the layers that compute in integers, or of those of a network in f32.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LeftOut {
    /// Channels of layers with weights, but for those whose output is numbers of a network in int8, or the network's.
    channels: u64,
    left_out: u64,
    weights: u64,
    pub(super) mult_adds: u64,
    pub(super) padding_mult_adds: u64,
    in_f32: bool,
}

impl LeftOut {
    pub(super) fn of(graph: &Graph, fused: &Fused) -> LeftOut {
        let mut sum = LeftOut::default();
        let in_f32 = fused.byte_input.is_none();
        for (idx, node) in fused.nodes.iter().enumerate() {
            let is_inner = if in_f32 { !fused.outputs.contains(&FusedId(idx)) } else { node.bytes.is_some() };
            let takes_part = if in_f32 { node.filter.is_some() } else { node.integer.is_some() };
            if takes_part && !fused.is_conversion(node) {
                sum.add(graph, fused, node, is_inner);
            }
        }
        LeftOut { in_f32, ..sum }
    }

    fn add(&mut self, graph: &Graph, fused: &Fused, node: &FusedNode, is_inner: bool) {
        let Some(whole) = graph.by_name(&node.name) else { return };
        let cost: Cost = cost::of_layer(&node.layer, fused.nodes[node.inputs[0].0].shape(), node.shape());
        let all: Cost = cost::of_layer(&whole.layer, graph.input_shapes(whole)[0], whole.shape());
        self.weights += all.weights.saturating_sub(cost.weights);
        self.mult_adds += all.mult_adds.saturating_sub(cost.mult_adds);
        self.padding_mult_adds += all.padding_mult_adds.saturating_sub(cost.padding_mult_adds);
        if all.weights != 0 && is_inner {
            let (before, after) = (whole.shape().channels as u64, node.shape().channels as u64);
            self.channels += before;
            self.left_out += before.saturating_sub(after);
        }
    }

    /// What an artefact tells of it, of a network that costs so much in all and takes so many images. Of one in f32 with all of its
    /// channels there is nothing to tell.
    pub(super) fn info(&self, total: &Cost, batch: u64) -> Option<ConstantChannels> {
        let is_told = !self.in_f32 || self.left_out != 0;
        is_told.then(|| ConstantChannels {
            left_out: self.left_out,
            channels: self.channels,
            weights_before: total.weights,
            weights: total.weights - self.weights,
            multiply_adds_before: batch * total.mult_adds,
            in_f32: self.in_f32,
        })
    }
}
