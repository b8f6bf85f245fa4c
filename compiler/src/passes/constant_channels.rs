//! A network in integers -> the same without the channels that are one byte whatever the input is.
//!
//! The interval of a channel's sum over all inputs says between which bytes it stays. Where that is one byte, what the layers behind
//! would add up of it is part of their biases, of every border's own, and the channel leaves both layers. So does a channel that nobody
//! needs any more. Layers that take channel for channel tie those of their input and output: both leave, or both stay. No byte and no
//! number of the rest changes. Knows no target.

use super::ties::Ties;
use super::{Bytes, Fused, FusedId, FusedNode, Integer, factors, finish};
use crate::graph::layer::{Activation, Layer};
use crate::graph::shape::Shape;

/// Sums of which each is looked at where the activation is no rising function.
const FEW_SUMS: i64 = 4096;

/// The bytes between which a channel stays.
type Span = (u8, u8);

/// The network without its constant channels. The outputs keep theirs, and so does every value of which another layer than
/// convolutions, dense layers and a global average pool takes part. Where pairs are kept, weights that fit together in pairs still do:
/// the channels of such a pair leave together or not at all, and targets that add products in pairs stay fast.
pub fn without_constant_channels(network: Fused, keep_pairs: bool) -> Fused {
    reduced(network, keep_pairs).0
}

/// Also which channels of each node it has kept.
fn reduced(mut network: Fused, keep_pairs: bool) -> (Fused, Vec<Vec<usize>>) {
    let mut all: Vec<Vec<usize>> =
        network.nodes.iter().map(|node| (0..node.shape().channels).collect()).collect();
    // Channels that have left may leave others without readers.
    loop {
        let spans = spans(&network);
        let leaves = leaves(&network, &spans, keep_pairs);
        if !leaves.iter().flatten().any(|leaves| *leaves) {
            break;
        }
        shrink(&mut network, &spans, &leaves);
        for (all, leaves) in all.iter_mut().zip(&leaves) {
            *all = kept(leaves).into_iter().map(|channel| all[channel]).collect();
        }
    }
    if cfg!(debug_assertions) {
        network.verify();
    }
    (network, all)
}

/// The network without those that leave.
fn shrink(network: &mut Fused, spans: &[Vec<Span>], leaves: &[Vec<bool>]) {
    let shapes: Vec<Shape> = network.nodes.iter().map(FusedNode::shape).collect();
    for (idx, node) in network.nodes.iter_mut().enumerate() {
        let Some(Summing { from, reads, .. }) = Summing::of(node, |from| shapes[from]) else { continue };
        let ends = Ends {
            input: shapes[from],
            spans: &spans[from],
            leaves: &leaves[from],
            kept: kept(&leaves[idx]),
        };
        ends.take_from(node, reads);
    }
}

fn kept(leaves: &[bool]) -> Vec<usize> {
    leaves.iter().enumerate().filter(|(_, leaves)| !**leaves).map(|(channel, _)| channel).collect()
}

/// Of each node with bytes, the span of each channel; nothing of the others.
fn spans(network: &Fused) -> Vec<Vec<Span>> {
    let mut spans: Vec<Vec<Span>> = Vec::with_capacity(network.nodes.len());
    for node in &network.nodes {
        let n = node.shape().channels;
        let summing = Summing::of(node, |from| network.nodes[from].shape());
        spans.push(match (node.bytes, summing) {
            // The input's bytes stand for what its channels say.
            (None, _) if node.layer == Layer::Input => vec![(0, u8::MAX); n],
            (None, _) => Vec::new(),
            (Some(bytes), Some(of)) if of.numbers.addition.is_none() => {
                let sums = sums(node, &of, network.nodes[of.from].shape(), &spans[of.from]);
                let scaled = of.numbers.multiplier.iter().copied().cycle().zip(factors(node));
                sums.iter().zip(scaled).map(|(sums, scaled)| span(node, bytes, *sums, scaled)).collect()
            }
            (Some(bytes), _) => vec![(bytes.low, bytes.high); n],
        });
    }
    spans
}

/// The bytes that such sums become, with what they are multiplied by before and behind the activation.
fn span(node: &FusedNode, bytes: Bytes, (least, most): (i64, i64), (multiplier, factor): (f32, f32)) -> Span {
    let byte = |sum: i64| finish(node, sum as f32 * multiplier, factor) as u8;
    let (a, b) = (byte(least), byte(most));
    let is_rising = match node.activation {
        // Each step of them is rounded, which keeps the order.
        Activation::None
        | Activation::Relu
        | Activation::Relu6
        | Activation::LeakyRelu { .. }
        | Activation::HardSigmoid => true,
        // Their polynomial promises none, and two of them fall before they rise.
        Activation::Sigmoid | Activation::Swish | Activation::HardSwish => false,
    };
    if is_rising {
        return (a.min(b), a.max(b));
    }
    if FEW_SUMS <= most - least {
        return (bytes.low, bytes.high);
    }
    (least..=most).map(byte).fold((a, a), |(low, high), byte| (low.min(byte), high.max(byte)))
}

/// Between which numbers the sums of each output channel stay, at any border.
fn sums(node: &FusedNode, of: &Summing<'_>, input: Shape, spans: &[Span]) -> Vec<(i64, i64)> {
    let Summing { numbers, reads, .. } = of;
    let n = numbers.multiplier.len();
    let (m, per_group) = match *reads {
        Reads::All => (input.channels, n),
        Reads::Group { m, n } => (m, n),
        Reads::Pixels => {
            let (bias, pixels) = (i64::from(numbers.bias[0]), input.pixels() as i64);
            let sum = |byte: u8| bias + pixels * i64::from(byte);
            return spans.iter().map(|(low, high)| (sum(*low), sum(*high))).collect();
        }
    };
    let add_tap = |sums: &mut [(i64, i64)], tap: &[i8]| {
        for (input, weights) in tap.chunks(n).enumerate() {
            for (channel, (sum, w)) in sums.iter_mut().zip(weights).enumerate() {
                let (low, high) = spans[channel / per_group * m + input];
                let [low, high] = [low, high].map(|byte| i64::from(*w) * i64::from(byte));
                *sum = (sum.0 + low.min(high), sum.1 + low.max(high));
            }
        }
    };
    let starts = |bias: &[i32]| -> Vec<(i64, i64)> {
        bias.iter().map(|bias| (i64::from(*bias), i64::from(*bias))).collect()
    };
    let mut taps = numbers.weights.chunks(m * n);
    let borders = node.layer.taps_by_border(input);
    if borders.len() == 1 && borders[0].len() == taps.len() {
        let mut sums = starts(&numbers.bias);
        taps.for_each(|tap| add_tap(&mut sums, tap));
        return sums;
    }
    let of_tap = |tap: &[i8]| {
        let mut sums = vec![(0, 0); n];
        add_tap(&mut sums, tap);
        sums
    };
    let taps: Vec<Vec<(i64, i64)>> = taps.by_ref().map(of_tap).collect();
    let at_border = |(inside, bias): (&Vec<usize>, &[i32])| {
        let add = |sums: &mut (i64, i64), more: &(i64, i64)| *sums = (sums.0 + more.0, sums.1 + more.1);
        let mut sums = starts(bias);
        inside.iter().for_each(|tap| sums.iter_mut().zip(&taps[*tap]).for_each(|(sum, more)| add(sum, more)));
        sums
    };
    let all = borders.iter().zip(numbers.bias.chunks(n)).map(at_border);
    let both = |a: Vec<(i64, i64)>, b: Vec<(i64, i64)>| {
        a.iter().zip(&b).map(|(a, b)| (a.0.min(b.0), a.1.max(b.1))).collect()
    };
    all.reduce(both).expect("a window has a position")
}

/// What a node that sums its first input takes of it.
struct Summing<'a> {
    numbers: &'a Integer,
    from: usize,
    reads: Reads,
}

/// What an output channel reads.
#[derive(Clone, Copy)]
enum Reads {
    /// All channels.
    All,
    /// Those of its group.
    Group {
        /// How many there are.
        m: usize,
        /// Output channels that read the same.
        n: usize,
    },
    /// Its own, every pixel once.
    Pixels,
}

impl Summing<'_> {
    fn of(node: &FusedNode, input: impl Fn(usize) -> Shape) -> Option<Summing<'_>> {
        let numbers = node.integer.as_ref()?;
        let FusedId(from) = *node.inputs.first()?;
        let reads = match node.layer {
            Layer::Conv { .. } | Layer::Dense { .. } => Reads::All,
            Layer::Depthwise { .. } => Reads::Group { m: 1, n: 1 },
            Layer::Grouped { groups, n, .. } => {
                Reads::Group { m: input(from).channels / groups, n: n / groups }
            }
            Layer::GlobalAveragePool => Reads::Pixels,
            Layer::Input
            | Layer::BatchNorm { .. }
            | Layer::Activation(_)
            | Layer::Add
            | Layer::Multiply
            | Layer::Pool { .. }
            | Layer::Concat
            | Layer::Upsample { .. }
            | Layer::Softmax => return None,
        };
        Some(Summing { numbers, from, reads })
    }
}

/// Of each channel of each node, whether it leaves.
fn leaves(network: &Fused, spans: &[Vec<Span>], keep_pairs: bool) -> Vec<Vec<bool>> {
    let mut ties = Ties::new(network);
    // By node and channel: whether somebody needs it as it is.
    let mut is_needed: Vec<Vec<bool>> =
        network.nodes.iter().map(|node| vec![false; node.shape().channels]).collect();
    network.outputs.iter().for_each(|id| is_needed[id.0].fill(true));
    for (idx, node) in network.nodes.iter().enumerate() {
        let Some(Summing { numbers, from, reads }) = Summing::of(node, |from| network.nodes[from].shape())
        else {
            is_needed[idx].fill(true);
            node.inputs.iter().for_each(|id| is_needed[id.0].fill(true));
            continue;
        };
        // What is added to others has their channels.
        node.inputs[1..].iter().for_each(|id| is_needed[id.0].fill(true));
        if node.bytes.is_none() || numbers.addition.is_some() {
            is_needed[idx].fill(true);
        }
        let (channels, all) = (network.nodes[from].shape().channels, 0..node.shape().channels);
        match reads {
            Reads::Pixels => all.for_each(|channel| ties.tie((from, channel), (idx, channel))),
            Reads::Group { m, n } => all.for_each(|channel| {
                let first = channel / n * m;
                (first..first + m).for_each(|input| ties.tie((from, input), (idx, channel)));
            }),
            Reads::All => {
                for (at, weights) in numbers.weights.chunks(all.len()).enumerate() {
                    let (low, high) = spans[from][at % channels];
                    is_needed[from][at % channels] |= low != high && weights.iter().any(|w| *w != 0);
                }
            }
        }
    }
    let mut stays = vec![false; ties.len()];
    for (node, is_needed) in is_needed.iter().enumerate() {
        for (channel, is_needed) in is_needed.iter().enumerate() {
            stays[ties.set(node, channel)] |= is_needed;
        }
    }
    keep_one_of_each(network, &mut ties, &mut stays);
    if keep_pairs {
        keep_whole_pairs(network, &mut ties, &mut stays);
    }
    let channels = |(idx, node): (usize, &FusedNode)| -> Vec<bool> {
        (0..node.shape().channels).map(|channel| !stays[ties.set(idx, channel)]).collect()
    };
    network.nodes.iter().enumerate().map(channels).collect()
}

/// No map is empty: where all channels of a value would leave, its first set stays.
fn keep_one_of_each(network: &Fused, ties: &mut Ties, stays: &mut [bool]) {
    // What stays for one value stays for those that are tied to it, so one round is enough.
    for (idx, node) in network.nodes.iter().enumerate() {
        let n = node.shape().channels;
        if !(0..n).any(|channel| stays[ties.set(idx, channel)]) {
            stays[ties.set(idx, 0)] = true;
        }
    }
}

/// Of input channels whose weights fit together, both stay where one of them does.
fn keep_whole_pairs(network: &Fused, ties: &mut Ties, stays: &mut [bool]) {
    let channels = |id: FusedId| network.nodes[id.0].shape().channels;
    let fit = |node: &&FusedNode| {
        let Some(numbers) = node.integer.as_ref().filter(|numbers| !numbers.weights.is_empty()) else {
            return false;
        };
        !matches!(node.layer, Layer::Depthwise { .. })
            && numbers.pairs_fit(&node.layer, channels(node.inputs[0]))
    };
    let mut inputs: Vec<FusedId> = network.nodes.iter().filter(fit).map(|node| node.inputs[0]).collect();
    inputs.dedup();
    // One that stays may be tied to one of another pair.
    loop {
        let n_before = stays.iter().filter(|stays| **stays).count();
        for input in &inputs {
            for first in (1..channels(*input)).step_by(2).map(|second| second - 1) {
                let pair = [first, first + 1].map(|channel| ties.set(input.0, channel));
                let one_stays = pair.iter().any(|set| stays[*set]);
                pair.iter().for_each(|set| stays[*set] = one_stays);
            }
        }
        if stays.iter().filter(|stays| **stays).count() == n_before {
            return;
        }
    }
}

/// What a node reads, and which channels leave on both sides of it.
struct Ends<'a> {
    input: Shape,
    spans: &'a [Span],
    leaves: &'a [bool],
    /// Of its output.
    kept: Vec<usize>,
}

impl Ends<'_> {
    /// Takes the channels from a node that sums.
    fn take_from(&self, node: &mut FusedNode, reads: Reads) {
        let kept = &self.kept;
        let borders = node.layer.taps_by_border(self.input);
        node.tensor.shape.channels = kept.len();
        if let Layer::Conv { n, .. } | Layer::Dense { n, .. } = &mut node.layer {
            *n = kept.len();
        } else if let Layer::Grouped { n, groups, .. } = &mut node.layer {
            // They leave whole.
            (*groups, *n) = (kept.len() / (*n / *groups), kept.len());
        }
        let integer = node.integer.as_mut().expect("it sums");
        let n = integer.multiplier.len();
        match reads {
            // One bias and one multiplier for all.
            Reads::Pixels => {
                node.scales = of_kept(&node.scales, self.input.channels, kept);
                return;
            }
            Reads::Group { .. } => {}
            Reads::All => {
                self.fold(integer, &borders);
                let rows = integer.weights.chunks(n).enumerate();
                let rows = rows.filter(|(at, _)| !self.leaves[at % self.input.channels]);
                integer.weights = rows.flat_map(|(_, row)| row).copied().collect();
            }
        }
        integer.weights = of_kept(&integer.weights, n, kept);
        integer.bias = of_kept(&integer.bias, n, kept);
        integer.multiplier = of_kept(&integer.multiplier, n, kept);
        node.scales = of_kept(&node.scales, n, kept);
    }

    /// Adds to each bias what the inputs that leave would add up to there.
    fn fold(&self, integer: &mut Integer, borders: &[Vec<usize>]) {
        let (n, m) = (integer.multiplier.len(), self.input.channels);
        for (bias, inside) in integer.bias.chunks_mut(n).zip(borders) {
            for tap in inside {
                let leaving = (0..m).filter(|input| self.leaves[*input]);
                for input in leaving {
                    // Of one that isn't constant all weights are 0.
                    let byte = i32::from(self.spans[input].0);
                    let weights = &integer.weights[(tap * m + input) * n..][..n];
                    bias.iter_mut().zip(weights).for_each(|(bias, w)| *bias += byte * i32::from(*w));
                }
            }
        }
    }
}

/// Of each row of so many numbers, those of the channels that are kept.
fn of_kept<T: Copy>(numbers: &[T], n: usize, kept: &[usize]) -> Vec<T> {
    numbers.chunks(n).flat_map(|row| kept.iter().map(|channel| row[*channel])).collect()
}

#[cfg(test)]
mod tests;
