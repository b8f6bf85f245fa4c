//! Where in the caller's buffer each value lies that the network returns.

use crate::graph::tensor::Tensor;
use crate::passes::Fused;

/// One of the values that the network returns. Those of an image lie one behind the other without gaps, images likewise.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    /// What its users call it.
    pub name: String,
    /// Its shape and how its elements are stored.
    pub tensor: Tensor,
    /// Bytes from the start of what the network returns of an image.
    pub offset: usize,
}

impl Output {
    /// The outputs of a network, in their order.
    pub fn all(network: &Fused) -> Vec<Output> {
        let mut outputs: Vec<Output> = Vec::with_capacity(network.outputs.len());
        for (id, name) in network.outputs.iter().zip(&network.output_names) {
            let offset = outputs.last().map_or(0, Output::end);
            outputs.push(Output { name: name.clone(), tensor: network.nodes[id.0].tensor, offset });
        }
        outputs
    }

    /// Bytes.
    pub fn bytes(&self) -> usize {
        self.tensor.shape.len() * self.tensor.dtype.bytes()
    }

    /// Where the next one begins.
    pub fn end(&self) -> usize {
        self.offset + self.bytes()
    }
}
