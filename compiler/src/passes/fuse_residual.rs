//! [`Fused`] -> [`Fused`]: an addition becomes part of the 1x1 convolution whose output it reads, as at the end of each block of
//! MobileNetV2.
//!
//! The convolution then adds the other operand, its residual, to each sum before it stores it, and the map is not written, read
//! and written again. The bits are those of the two layers. Knows no numbers and no target.

use super::{Fused, FusedId, FusedNode, count_readers};
use crate::graph::layer::{Activation, Layer};
use crate::graph::shape::Window;

/// Fuses each addition that can be; the others stay nodes.
pub(super) fn run(network: Fused) -> Fused {
    let reads = network.nodes.iter().flat_map(|node| &node.inputs).chain(&network.outputs);
    let n_readers = count_readers(network.nodes.len(), reads.map(|id| id.0));
    let mut nodes: Vec<FusedNode> = Vec::with_capacity(network.nodes.len());
    // By position in `network`: where the value is to be found now.
    let mut moved: Vec<FusedId> = Vec::with_capacity(network.nodes.len());
    for node in network.nodes {
        let operands: Vec<FusedId> = node.inputs.iter().map(|id| moved[id.0]).collect();
        if let (Layer::Add, [a, b]) = (&node.layer, operands.as_slice()) {
            // Of two convolutions the later one: the other operand must be there when it runs.
            let (sum, residual) = (a.max(b), a.min(b));
            let is_private = node.inputs.iter().any(|id| moved[id.0] == *sum && n_readers[id.0] == 1);
            if a != b && is_private && can_add(&nodes[sum.0]) {
                let before = &mut nodes[sum.0];
                before.inputs.push(*residual);
                before.residual = Some(node.name);
                before.activation = node.activation;
                moved.push(*sum);
                continue;
            }
        }
        moved.push(FusedId(nodes.len()));
        nodes.push(FusedNode { inputs: operands, ..node });
    }
    let outputs = network.outputs.iter().map(|id| moved[id.0]).collect();
    Fused { nodes, outputs, output_names: network.output_names, byte_input: None }
}

/// Whether a node's kernel can add a map to its sums, and nothing is applied to them before.
fn can_add(node: &FusedNode) -> bool {
    let is_pointwise = matches!(node.layer, Layer::Conv { window: Window::POINTWISE, .. });
    is_pointwise && node.activation == Activation::None && node.residual.is_none()
}
