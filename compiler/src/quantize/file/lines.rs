//! What each layer of a network computes, in a line: two networks with the same lines compute the same, but for their numbers.

use crate::graph::layer::Layer;
use crate::graph::shape::Axis;
use crate::passes::{Fused, FusedId, FusedNode};

/// Of every node.
pub(super) fn of(network: &Fused) -> Vec<String> {
    // What a value is converted of has its layer's name.
    let name = |id: &FusedId| {
        let mut node = &network.nodes[id.0];
        while network.is_conversion(node) {
            node = &network.nodes[node.inputs[0].0];
        }
        node.name.as_str()
    };
    let line = |node: &FusedNode| {
        let inputs: Vec<&str> = node.inputs.iter().map(name).collect();
        let inputs = if inputs.is_empty() { String::new() } else { format!(" of {}", inputs.join(", ")) };
        format!("{}: {}{inputs}, {}", node.name, computed(node), node.shape())
    };
    let own = network.nodes.iter().filter(|node| !network.is_conversion(node));
    let mut lines: Vec<String> = own.map(line).collect();
    lines.push(format!("outputs: {}", network.outputs.iter().map(name).collect::<Vec<&str>>().join(", ")));
    lines
}

fn computed(node: &FusedNode) -> String {
    let kind = match &node.layer {
        Layer::Input => "input".to_owned(),
        Layer::Conv { .. } => "conv".to_owned(),
        Layer::Depthwise { .. } => "depthwise".to_owned(),
        Layer::Grouped { groups, .. } => format!("conv in {groups} groups"),
        Layer::BatchNorm { .. } => "batch norm".to_owned(),
        Layer::Activation(_) => "activation".to_owned(),
        Layer::Add => "add".to_owned(),
        Layer::Multiply => "multiply".to_owned(),
        Layer::Pool { pooling, .. } => format!("pool {pooling:?}"),
        Layer::Concat => "concat".to_owned(),
        Layer::Upsample { factor } => format!("upsample {factor}"),
        Layer::GlobalAveragePool => "global average pool".to_owned(),
        Layer::Dense { .. } => "dense".to_owned(),
        Layer::Softmax => "softmax".to_owned(),
    };
    let axis = |axis: Axis| {
        let Axis { kernel, stride, dilation, before, after } = axis;
        format!("{kernel} by {stride}, taps {dilation} apart, padding {before} and {after}")
    };
    let window = match &node.layer {
        Layer::Pool { window, .. } => Some(*window),
        layer => layer.window(),
    };
    let window = window.map_or(String::new(), |window| {
        format!(" (rows {}; columns {})", axis(window.rows), axis(window.columns))
    });
    let activation = node.activation.word();
    let slope = node.activation.slope().map_or(String::new(), |slope| format!(" {slope}"));
    format!("{kind}{window}, {activation}{slope}")
}
