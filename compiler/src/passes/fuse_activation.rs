//! [`Folded`] -> [`Fused`]: each activation becomes part of the layer before it.
//!
//! Knows no numbers and no target.

use super::fold_batch_norm::{Folded, FoldedNode, FoldedOp};
use super::{Fused, FusedId, FusedNode, FusedOp, count_readers};
use crate::error::{ErrorKind, Faults, Result};
use crate::graph::layer::Activation;

/// Fuses every activation into the layer before it.
///
/// An activation that can't be fused is a fault: one after a layer that can't apply it (the input, a pool, a softmax,
/// another activation), or whose input is used elsewhere too.
pub(super) fn run(folded: Folded) -> Result<Fused> {
    let reads = folded.nodes.iter().flat_map(|node| &node.inputs).chain(&folded.outputs);
    let n_readers = count_readers(folded.nodes.len(), reads.map(|id| id.0));
    let mut faults = Faults::new(ErrorKind::Graph);
    let mut nodes: Vec<FusedNode> = Vec::with_capacity(folded.nodes.len());
    // By position in `folded`: where the value is to be found now.
    let mut moved: Vec<FusedId> = Vec::with_capacity(folded.nodes.len());
    for FoldedNode { name, op, inputs, shape } in folded.nodes {
        let activation = match op {
            FoldedOp::Layer(op) => {
                moved.push(FusedId(nodes.len()));
                let inputs = inputs.into_iter().map(|id| moved[id.0]).collect();
                nodes.push(FusedNode { name, op, inputs, shape });
                continue;
            }
            FoldedOp::Activation(activation) => activation,
        };
        let id = moved[inputs[0].0];
        moved.push(id);
        let before = &mut nodes[id.0];
        let n_readers = n_readers[inputs[0].0];
        match slot(&mut before.op) {
            None => faults.push(
                name,
                format!(
                    "can't be fused: found it after {}, expected a convolution, an add or a dense layer",
                    before.name
                ),
            ),
            Some(slot) if *slot != Activation::None => faults.push(
                name,
                format!("can't be fused: found an activation on {} already, expected none", before.name),
            ),
            Some(_) if 1 < n_readers => faults.push(
                name,
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
    Ok(Fused { nodes, outputs })
}

/// Where an operation keeps its activation, if it applies one.
fn slot(op: &mut FusedOp) -> Option<&mut Activation> {
    match op {
        FusedOp::Conv { activation, .. }
        | FusedOp::Depthwise { activation, .. }
        | FusedOp::Add { activation }
        | FusedOp::Dense { activation, .. } => Some(activation),
        FusedOp::Input | FusedOp::GlobalAveragePool | FusedOp::Softmax => None,
    }
}
