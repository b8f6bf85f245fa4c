//! Random numbers for networks in integers: those of a quantised network could be any of them.

use super::assembly::Assembly;
use super::check;
use crate::graph::layer::{Activation, Layer};
use crate::graph::tensor::{Dtype, Tensor};
use crate::passes::{
    Addition, ByteInput, ByteSum, Bytes, Fused, FusedNode, Integer, MOST_WEIGHT, MULTIPLIER_STEP, is_clamp,
};
use crate::random::Random;

/// The network in integers, of numbers that the seed determines: weights of the whole range or a small one, one bias or one for each
/// border, any bounds and zero points. Every other input has the bytes of a picture. Some layers, or none, stay f32. `None` where the numbers of an output aren't proved.
pub fn with_integers(network: &Fused, seed: u64) -> Option<Fused> {
    let mut random = Random::new(seed ^ 0x6b65_6570);
    let share = random.pick(&[0, 0, 20, 50]);
    let names = network.nodes[1..].iter().map(|node| node.name.clone());
    with_integers_but(network, seed, &names.filter(|_| random.percent(share)).collect::<Vec<_>>())
}

/// The same with such layers in f32, and those that have no form in integers.
pub(crate) fn with_integers_but(network: &Fused, seed: u64, kept: &[String]) -> Option<Fused> {
    let mut random = Random::new(seed ^ 0x696e_7400_0000);
    let forms = check::forms(network, kept).expect("they are layers of it");
    let input = &network.nodes[0];
    let channels = input.shape().channels;
    let mut byte_input = ByteInput {
        scale: (0..channels).map(|_| random.within(1, 140) as f32).collect(),
        offset: (0..channels).map(|_| random.within(0, 255) as f32 + 0.5).collect(),
    };
    if Random::new(seed ^ 0x7069_6374).percent(50) {
        // Those of a picture whose bytes stand for -1 to 1, which is then read as it is.
        [&mut byte_input.scale, &mut byte_input.offset].into_iter().for_each(|numbers| numbers.fill(127.5));
    }
    let bytes = Bytes { scale: 1.0, zero_point: 0, low: 0, high: u8::MAX };
    let input = FusedNode { bytes: Some(bytes), ..input.clone() };
    let mut assembly = Assembly::new(&input, byte_input);
    let together = check::kept_together(network, &forms);
    // Of the values that have one.
    let mut zero_points: Vec<Option<u8>> = vec![None; network.nodes.len()];
    for idx in 1..network.nodes.len() {
        let (node, form, first) = (&network.nodes[idx], forms[idx], together[idx]);
        let node = FusedNode { inputs: assembly.inputs(node, form).ok()?, ..node.clone() };
        if first == idx && together[idx + 1..].contains(&first) {
            zero_points[first] = Some(random.within(0, 255) as u8);
        }
        let zero_point = zero_points[first];
        if form.in_f32 {
            let bytes = form.has_bytes.then(|| {
                let bytes = random_bytes(&mut random, zero_point);
                (bytes, random_scales(&mut random, bytes, node.shape().channels))
            });
            assembly.push_f32(node, bytes);
        } else {
            let inputs: Vec<&FusedNode> = node.inputs.iter().map(|id| &assembly.nodes[id.0]).collect();
            assembly.push(integers(&mut random, &node, &inputs, (!form.has_bytes, zero_point)));
        }
    }
    assembly.finish(network).ok()
}

/// Of some values the scale of each channel, of which the first has that of the bytes; of others none.
fn random_scales(random: &mut Random, bytes: Bytes, channels: usize) -> Vec<f32> {
    let n = if 1 < channels && random.percent(50) { channels } else { 0 };
    let sixteenths = (0..n).map(|idx| if idx == 0 { 16 } else { random.within(1, 16) });
    sixteenths.map(|n| bytes.scale * n as f32 / 16.0).collect()
}

/// A node over these with random integers; its output stays numbers or becomes bytes, perhaps with such a zero point.
pub(crate) fn integers(
    random: &mut Random,
    node: &FusedNode,
    inputs: &[&FusedNode],
    (is_number, zero_point): (bool, Option<u8>),
) -> FusedNode {
    let (layer, input) = (&node.layer, inputs[0].shape());
    if layer.keeps_scales() {
        return node.keeping_bytes(inputs).expect("its inputs have one zero point");
    }
    let [n_weights, n_biases, n] = Integer::extents(layer, input);
    // Pairs of the larger ones don't fit, nor do those of two words of the second.
    let most = random.pick(&[MOST_WEIGHT.unsigned_abs().into(), 64, 32]);
    let mut weights: Vec<i8> =
        (0..n_weights).map(|_| (random.within(0, 2 * most) as i32 - most as i32) as i8).collect();
    let n_different = if random.percent(50) { n_biases } else { n };
    let bias: Vec<i32> = match layer {
        Layer::Multiply => (0..2).map(|_| -(random.within(0, 255) as i32)).collect(),
        _ => {
            // The largest reach the ends of what an f32 can count.
            let most = random.pick(&[20_000, 20_000, 20_000, 1 << 23]);
            (0..n_different).map(|_| random.within(0, 2 * most) as i32 - most as i32).collect()
        }
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
    let has_few_bits = random.percent(50);
    let multiplier = |_| {
        let multiplier = random.within(40, 160) as f32 / spread;
        let step = MULTIPLIER_STEP as f32;
        if has_few_bits { (multiplier / step).ceil() * step } else { multiplier }
    };
    let multiplier = (0..n).map(multiplier).collect();
    let bytes = random_bytes(random, zero_point);
    let adds = node.adds();
    let activation = match (layer.takes_activation(), adds || has_few_bits) {
        // An addition takes no other, and few bits are of use with no other.
        (true, true) => {
            let clamps = Activation::ALL.into_iter().filter(|activation| is_clamp(*activation));
            random.pick(&clamps.collect::<Vec<_>>())
        }
        (true, false) => random.pick(&Activation::ALL),
        (false, _) => Activation::None,
    };
    let addition = adds.then(|| {
        if *layer != Layer::Add && random.percent(50) {
            return Addition::Channels((0..n).map(|_| random.within(10, 200) as f32 / 70.0).collect());
        }
        let of_input = |idx: usize| inputs[idx].bytes.expect("checked: sums are of bytes");
        let own = if *layer == Layer::Add { of_input(0) } else { random_bytes(random, None) };
        let sum = ByteSum::of(own, of_input(inputs.len() - 1), bytes);
        Addition::Tensor(sum.expect("scales are near each other"))
    });
    // Without weights there is one factor behind an activation.
    let may_differ = n_weights != 0 || is_clamp(activation);
    let channels = if may_differ && !is_number { node.shape().channels } else { 0 };
    let scales = random_scales(random, bytes, channels);
    let dtype = if is_number { Dtype::F32 } else { Dtype::U8 };
    FusedNode {
        filter: None,
        activation,
        tensor: Tensor { dtype, ..node.tensor },
        bytes: (!is_number).then_some(bytes),
        scales,
        integer: Some(Integer { weights, bias, multiplier, addition }),
        ..node.clone()
    }
}

fn random_bytes(random: &mut Random, zero_point: Option<u8>) -> Bytes {
    let scale = random.pick(&[0.037, 0.02, 0.07, 0.3]);
    let [a, b, zero] = [(); 3].map(|()| random.within(0, 255) as u8);
    let drawn = if random.percent(50) {
        Bytes { scale, zero_point: random.pick(&[0, zero]), low: 0, high: u8::MAX }
    } else {
        Bytes { scale, zero_point: zero, low: a.min(b), high: a.max(b) }
    };
    Bytes { zero_point: zero_point.unwrap_or(drawn.zero_point), ..drawn }
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
