//! [`Fused`] without batch norms -> [`Fused`]: each activation becomes part of the layer before it.
//!
//! Knows no numbers and no target.

use super::{Fused, FusedId, FusedNode, count_readers};
use crate::error::{ErrorKind, Faults, Place, Result};
use crate::graph::layer::{Activation, Layer};

/// Fuses every activation into the layer before it.
///
/// An activation that can't be fused is a fault: one after a layer that can't apply it (the input, a pool, a softmax,
/// another activation), or whose input is used elsewhere too.
pub(super) fn run(folded: Fused) -> Result<Fused> {
    let reads = folded.nodes.iter().flat_map(|node| &node.inputs).chain(&folded.outputs);
    let n_readers = count_readers(folded.nodes.len(), reads.map(|id| id.0));
    let mut faults = Faults::new(ErrorKind::Graph);
    let mut nodes: Vec<FusedNode> = Vec::with_capacity(folded.nodes.len());
    // By position in `folded`: where the value is to be found now.
    let mut moved: Vec<FusedId> = Vec::with_capacity(folded.nodes.len());
    for node in folded.nodes {
        let Layer::Activation(activation) = node.layer else {
            moved.push(FusedId(nodes.len()));
            let inputs = node.inputs.iter().map(|id| moved[id.0]).collect();
            nodes.push(FusedNode { inputs, ..node });
            continue;
        };
        let FusedNode { name, inputs, .. } = node;
        let id = moved[inputs[0].0];
        moved.push(id);
        let before = &mut nodes[id.0];
        let n_readers = n_readers[inputs[0].0];
        let slot = if before.layer.takes_activation() { Some(&mut before.activation) } else { None };
        match slot {
            None => faults.push(
                Place::layer(&name),
                format!(
                    "can't be fused: found it after {}, expected a convolution, an add, a multiply or a dense layer",
                    before.name
                ),
            ),
            Some(slot) if *slot != Activation::None => faults.push(
                Place::layer(&name),
                format!("can't be fused: found an activation on {} already, expected none", before.name),
            ),
            Some(_) if 1 < n_readers => faults.push(
                Place::layer(&name),
                format!(
                    "can't be fused: {} has {n_readers} readers, expected this activation alone",
                    before.name
                ),
            ),
            Some(slot) => *slot = activation,
        }
    }
    faults.propagate()?;
    let outputs = folded.outputs.iter().map(|id| moved[id.0]).collect();
    Ok(Fused { nodes, outputs, output_names: folded.output_names, byte_input: None })
}
