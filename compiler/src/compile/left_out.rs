//! What a network has less than its graph: the channels that a pass has taken from it.

use mnc_runtime::info::ConstantChannels;

use crate::cost::{self, Cost};
use crate::graph::Graph;
use crate::passes::{Fused, FusedNode};

/// Of the layers that compute in integers.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LeftOut {
    /// Channels of layers with weights, but for those whose output is numbers.
    channels: u64,
    left_out: u64,
    weights: u64,
    pub(super) mult_adds: u64,
    pub(super) padding_mult_adds: u64,
}

impl LeftOut {
    pub(super) fn of(graph: &Graph, fused: &Fused) -> LeftOut {
        let mut sum = LeftOut::default();
        let in_integers = |node: &&FusedNode| node.integer.is_some() && !fused.is_conversion(node);
        fused.nodes.iter().filter(in_integers).for_each(|node| sum.add(graph, fused, node));
        sum
    }

    fn add(&mut self, graph: &Graph, fused: &Fused, node: &FusedNode) {
        let Some(whole) = graph.by_name(&node.name) else { return };
        let cost: Cost = cost::of_layer(&node.layer, fused.nodes[node.inputs[0].0].shape(), node.shape());
        let all: Cost = cost::of_layer(&whole.layer, graph.input_shapes(whole)[0], whole.shape());
        self.weights += all.weights.saturating_sub(cost.weights);
        self.mult_adds += all.mult_adds.saturating_sub(cost.mult_adds);
        self.padding_mult_adds += all.padding_mult_adds.saturating_sub(cost.padding_mult_adds);
        if all.weights != 0 && node.bytes.is_some() {
            let (before, after) = (whole.shape().channels as u64, node.shape().channels as u64);
            self.channels += before;
            self.left_out += before.saturating_sub(after);
        }
    }

    /// What an artefact tells of it, of a network that costs so much in all and takes so many images.
    pub(super) fn info(&self, total: &Cost, batch: u64) -> ConstantChannels {
        ConstantChannels {
            left_out: self.left_out,
            channels: self.channels,
            weights_before: total.weights,
            weights: total.weights - self.weights,
            multiply_adds_before: batch * total.mult_adds,
        }
    }
}
