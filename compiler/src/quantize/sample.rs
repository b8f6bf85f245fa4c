//! Random numbers for networks in integers: those of a quantised network could be any of them.

use super::{check, with_numbers};
use crate::graph::layer::{Activation, Layer};
use crate::graph::tensor::{Dtype, Tensor};
use crate::passes::{Addition, ByteInput, Bytes, Fused, FusedNode, Integer, MOST_WEIGHT, is_clamp};
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
            _ => {
                let inputs: Vec<&FusedNode> = node.inputs.iter().map(|id| &nodes[id.0]).collect();
                integers(&mut random, node, &inputs, is_number)
            }
        });
    }
    let channels = network.nodes[0].shape().channels;
    let byte_input = ByteInput {
        scale: (0..channels).map(|_| random.within(1, 140) as f32).collect(),
        offset: (0..channels).map(|_| random.within(0, 255) as f32 + 0.5).collect(),
    };
    with_numbers(Fused { nodes, byte_input: Some(byte_input), ..network.clone() }).ok()
}

/// A node over these with random integers; its output stays numbers or becomes bytes.
pub(crate) fn integers(
    random: &mut Random,
    node: &FusedNode,
    inputs: &[&FusedNode],
    is_number: bool,
) -> FusedNode {
    let (layer, input) = (&node.layer, inputs[0].shape());
    let [n_weights, n_biases, n] = Integer::extents(layer, input);
    // Pairs of the larger ones don't fit.
    let most = random.pick(&[MOST_WEIGHT.unsigned_abs().into(), 64, 3]);
    let mut weights: Vec<i8> =
        (0..n_weights).map(|_| (random.within(0, 2 * most) as i32 - most as i32) as i8).collect();
    let n_different = if random.percent(50) { n_biases } else { n };
    let bias: Vec<i32> = match layer {
        Layer::Multiply => (0..2).map(|_| -(random.within(0, 255) as i32)).collect(),
        _ => (0..n_different).map(|_| random.within(0, 40_000) as i32 - 20_000).collect(),
    };
    let mut bias: Vec<i32> = bias.iter().copied().cycle().take(n_biases).collect();
    if n_weights != 0 && random.percent(50) {
        make_constant(random, &mut weights, &mut bias, n);
    }
    // Sums of a size that leaves some bytes at the bounds.
    let spread = match (layer, layer.filter(input)) {
        (_, Some(filter)) => (filter.fan_in() as f32).sqrt() * most as f32 * 40.0,
        (Layer::Multiply, None) => 20_000.0,
        (_, None) => (input.pixels() as f32).sqrt() * 150.0,
    };
    let multiplier = (0..n).map(|_| random.within(40, 160) as f32 / spread).collect();
    let bytes = random_bytes(random);
    let adds = node.adds();
    let activation = match (adds, layer.takes_activation()) {
        (true, _) => {
            let clamps = Activation::ALL.into_iter().filter(|activation| is_clamp(*activation));
            random.pick(&clamps.collect::<Vec<_>>())
        }
        (false, true) => random.pick(&Activation::ALL),
        (false, false) => Activation::None,
    };
    let addition = adds.then(|| {
        let of_input = |idx: usize| inputs[idx].bytes.expect("checked: sums are of bytes");
        let own = if *layer == Layer::Add { of_input(0) } else { random_bytes(random) };
        Addition::of(own, of_input(inputs.len() - 1), bytes).expect("scales are near each other")
    });
    // Without weights there is one factor behind an activation.
    let may_differ = n_weights != 0 || is_clamp(activation);
    let channels = node.shape().channels;
    let has_scales = 1 < channels && may_differ && !is_number && random.percent(50);
    let n_scales = if has_scales { channels } else { 0 };
    let sixteenths = (0..n_scales).map(|idx| if idx == 0 { 16 } else { random.within(1, 16) });
    let scales = sixteenths.map(|n| bytes.scale * n as f32 / 16.0).collect();
    let dtype = if is_number { Dtype::F32 } else { Dtype::U8 };
    FusedNode {
        filter: None,
        activation,
        tensor: Tensor { dtype, ..node.tensor },
        bytes: (!is_number).then_some(bytes),
        integer: Some(Integer { weights, bias, multiplier, scales, addition }),
        ..node.clone()
    }
}

fn random_bytes(random: &mut Random) -> Bytes {
    let scale = random.pick(&[0.037, 0.02, 0.07, 0.3]);
    let [a, b, zero_point] = [(); 3].map(|()| random.within(0, 255) as u8);
    if random.percent(50) {
        Bytes { scale, zero_point: random.pick(&[0, zero_point]), low: 0, high: u8::MAX }
    } else {
        Bytes { scale, zero_point, low: a.min(b), high: a.max(b) }
    }
}

/// Makes some channels one byte whatever the input is, some of them only at some borders, and some that hardly anything is read of.
fn make_constant(random: &mut Random, weights: &mut [i8], bias: &mut [i32], n: usize) {
    /// More than the sums of most layers, and far from what an i32 holds.
    const FAR: i32 = 1 << 24;
    let share = random.pick(&[10, 40, 90]);
    for channel in 0..n {
        if !random.percent(share) {
            continue;
        }
        let biases = bias.iter_mut().skip(channel).step_by(n);
        match random.within(0, 3) {
            0 => weights.iter_mut().skip(channel).step_by(n).for_each(|w| *w = 0),
            1 => biases.for_each(|bias| *bias = -FAR),
            2 => biases.for_each(|bias| *bias = FAR),
            _ => biases.filter(|_| random.percent(80)).for_each(|bias| *bias = -FAR),
        }
    }
    for row in weights.chunks_mut(n).filter(|_| random.percent(10)) {
        row.fill(0);
    }
}
