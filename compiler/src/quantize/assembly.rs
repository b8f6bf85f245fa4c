//! A network of which some layers are computed in integers and some in f32, node by node: between them stand nodes that make numbers of
//! bytes, or bytes of numbers.

use super::bytes_of;
use super::check::{Form, wrong};
use crate::error::Result;
use crate::passes::{ByteInput, Bytes, Fused, FusedId, FusedNode, Integer};

/// The network so far.
pub(super) struct Assembly {
    pub(super) nodes: Vec<FusedNode>,
    byte_input: ByteInput,
    /// By node of the network in f32: its value in both forms, as far as there are nodes of them.
    values: Vec<Value>,
}

#[derive(Clone, Copy, Default)]
struct Value {
    bytes: Option<FusedId>,
    numbers: Option<FusedId>,
}

impl Assembly {
    /// With the input alone.
    pub(super) fn new(input: &FusedNode, byte_input: ByteInput) -> Assembly {
        let node = FusedNode { tensor: bytes_of(input), ..input.clone() };
        let value = Value { bytes: Some(FusedId(0)), numbers: None };
        Assembly { nodes: vec![node], byte_input, values: vec![value] }
    }

    /// Where a node of the network in f32 finds its inputs.
    ///
    /// # Errors
    /// Bytes of which the numbers may leave what an f32 rounds.
    pub(super) fn inputs(&mut self, node: &FusedNode, form: Form) -> Result<Vec<FusedId>> {
        let find = |id: &FusedId| match (form.in_f32, self.values[id.0]) {
            (true, _) => self.numbers(*id),
            // Of one that a file is wrong about there are no bytes.
            (false, Value { bytes, numbers }) => Ok(bytes.or(numbers).expect("it has been added")),
        };
        node.inputs.iter().map(find).collect()
    }

    /// The numbers of a node's value.
    fn numbers(&mut self, id: FusedId) -> Result<FusedId> {
        let Value { bytes, numbers } = self.values[id.0];
        if let Some(numbers) = numbers {
            return Ok(numbers);
        }
        let bytes = bytes.expect("it has been added");
        let made = if bytes.0 == 0 { self.input_numbers() } else { self.nodes[bytes.0].numbers(bytes) };
        if made.integer.as_ref().is_some_and(|integer| !integer.is_proved()) {
            return Err(wrong(&made, "its numbers may leave 2^31, expected an output of smaller ones"));
        }
        let made = self.append(made);
        self.values[id.0].numbers = Some(made);
        Ok(made)
    }

    /// What the bytes of the input stand for, which is no whole number of bytes from 0: in parts of a byte, which are as fine as weights are.
    fn input_numbers(&self) -> FusedNode {
        const PARTS: i8 = crate::passes::MOST_WEIGHT;
        let ByteInput { scale, offset } = &self.byte_input;
        let parts = f64::from(PARTS);
        let integer = Integer {
            weights: vec![PARTS; scale.len()],
            bias: offset
                .iter()
                .map(|offset| (-parts * f64::from(*offset)).round_ties_even() as i32)
                .collect(),
            multiplier: scale.iter().map(|scale| (1.0 / (parts * f64::from(*scale))) as f32).collect(),
            addition: None,
        };
        FusedNode { integer: Some(integer), ..self.nodes[0].converted(FusedId(0)) }
    }

    /// Adds a node that the network in f32 doesn't have.
    pub(super) fn append(&mut self, node: FusedNode) -> FusedId {
        self.nodes.push(node);
        FusedId(self.nodes.len() - 1)
    }

    /// Adds the next node of the network, in integers.
    pub(super) fn push(&mut self, node: FusedNode) {
        let has_bytes = node.bytes.is_some();
        let id = Some(self.append(node));
        self.values.push(if has_bytes {
            Value { bytes: id, numbers: None }
        } else {
            Value { bytes: None, numbers: id }
        });
    }

    /// Adds the next node of the network, in f32, and behind it one that makes such bytes of it, with such scales of the channels.
    pub(super) fn push_f32(&mut self, node: FusedNode, bytes: Option<(Bytes, Vec<f32>)>) {
        let numbers = self.append(node);
        let made = bytes.map(|(bytes, scales)| self.nodes[numbers.0].quantised(numbers, bytes, scales));
        let bytes = made.map(|made| self.append(made));
        self.values.push(Value { bytes, numbers: Some(numbers) });
    }

    /// The nodes that have the value of one of the network.
    pub(super) fn forms_of(&self, idx: usize) -> impl Iterator<Item = FusedId> {
        let Value { bytes, numbers } = self.values[idx];
        [bytes, numbers].into_iter().flatten()
    }

    /// The whole network, which returns numbers.
    ///
    /// # Errors
    /// As [`Assembly::inputs`].
    pub(super) fn finish(mut self, network: &Fused) -> Result<Fused> {
        let outputs = network.outputs.iter().map(|id| self.numbers(*id)).collect::<Result<_>>()?;
        let output_names = network.output_names.clone();
        let fused = Fused { nodes: self.nodes, outputs, output_names, byte_input: Some(self.byte_input) };
        fused.verify();
        Ok(fused)
    }
}

/// A network in integers with a node behind every output that is bytes, which makes numbers of them.
#[cfg(test)]
pub(crate) fn with_numbers(network: &Fused) -> Result<Fused> {
    let byte_input = network.byte_input.clone().expect("the input of integers is bytes");
    let mut assembly = Assembly::new(&network.nodes[0], byte_input);
    network.nodes[1..].iter().for_each(|node| assembly.push(node.clone()));
    assembly.finish(network)
}
