//! Random numbers for networks in integers: those of a quantised network could be any of them.

use super::check;
use crate::graph::layer::{Activation, Layer};
use crate::graph::shape::Shape;
use crate::graph::tensor::{Dtype, Tensor};
use crate::passes::{ByteInput, Bytes, Fused, FusedNode, Integer, MOST_WEIGHT};
use crate::random::Random;

/// The network with every layer in integers, of numbers that the seed determines: weights of the whole range or a small one, one bias
/// or one for each border, any bounds and zero points. `None` for a network with a layer that has no form in integers, or one that reads
/// an output again.
pub fn with_integers(network: &Fused, seed: u64) -> Option<Fused> {
    let is_numbers = check::numbers(network).ok()?;
    let mut random = Random::new(seed ^ 0x696e_7400_0000);
    let mut nodes: Vec<FusedNode> = Vec::with_capacity(network.nodes.len());
    for (node, is_number) in network.nodes.iter().zip(is_numbers) {
        nodes.push(match node.layer {
            Layer::Input => {
                let bytes = Bytes { scale: 1.0, zero_point: 0, low: 0, high: u8::MAX };
                let tensor = Tensor { dtype: Dtype::U8, ..node.tensor };
                FusedNode { tensor, bytes: Some(bytes), ..node.clone() }
            }
            Layer::Softmax => node.clone(),
            _ => integers(&mut random, node, network.nodes[node.inputs[0].0].shape(), is_number),
        });
    }
    let channels = network.nodes[0].shape().channels;
    let byte_input = ByteInput {
        scale: (0..channels).map(|_| random.within(1, 140) as f32).collect(),
        offset: (0..channels).map(|_| random.within(0, 255) as f32 + 0.5).collect(),
    };
    Some(Fused { nodes, byte_input: Some(byte_input), ..network.clone() })
}

/// A node over an input of that shape with random integers; its output stays numbers or becomes bytes.
pub(crate) fn integers(random: &mut Random, node: &FusedNode, input: Shape, is_number: bool) -> FusedNode {
    let layer = &node.layer;
    let n_borders = layer.window().map_or(1, |window| window.borders((input.height, input.width)).len());
    let (n, n_weights, fan_in) = match layer.filter(input) {
        Some(filter) => (filter.n, filter.n_weights(), filter.fan_in()),
        None => (1, 0, input.pixels()),
    };
    // Pairs of the larger ones don't fit.
    let most = random.pick(&[MOST_WEIGHT.unsigned_abs().into(), 64, 3]);
    let weights = (0..n_weights).map(|_| (random.within(0, 2 * most) as i32 - most as i32) as i8).collect();
    let n_biases = if random.percent(50) { n_borders } else { 1 };
    let some: Vec<i32> = (0..n_biases * n).map(|_| random.within(0, 40_000) as i32 - 20_000).collect();
    let bias = some.iter().copied().cycle().take(n_borders * n).collect();
    // Sums of a size that leaves some bytes at the bounds.
    let spread = (fan_in as f32).sqrt() * if n_weights == 0 { 150.0 } else { most as f32 * 40.0 };
    let multiplier = (0..n).map(|_| random.within(40, 160) as f32 / spread).collect();
    let [a, b, zero_point] = [(); 3].map(|()| random.within(0, 255) as u8);
    let bytes = if random.percent(50) {
        Bytes { scale: 0.037, zero_point: 0, low: 0, high: u8::MAX }
    } else {
        Bytes { scale: 0.037, zero_point, low: a.min(b), high: a.max(b) }
    };
    let activation = if layer.takes_activation() { random.pick(&Activation::ALL) } else { Activation::None };
    let dtype = if is_number { Dtype::F32 } else { Dtype::U8 };
    FusedNode {
        filter: None,
        activation,
        tensor: Tensor { dtype, ..node.tensor },
        bytes: (!is_number).then_some(bytes),
        integer: Some(Integer { weights, bias, multiplier }),
        ..node.clone()
    }
}
