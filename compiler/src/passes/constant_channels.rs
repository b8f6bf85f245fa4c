//! A network -> the same without the channels that are constant whatever the input is: one byte in integers, one number in f32.
//!
//! The interval of a channel's sum over all inputs says between which [values](spans) it stays. Where that is one, what the layers behind
//! would add up of it is part of their biases, and the channel leaves both layers. So does a channel that nobody needs any more. Layers
//! that take channel for channel tie those of their input and output: both leave, or both stay. Knows no target.
//!
//! In integers no byte and no number of the rest changes: every border has a bias of its own, and sums are exact. In f32 a product is
//! added to what the chain is before it, so a constant that isn't 0 changes how the rest is rounded when it becomes part of the bias; and
//! a layer has one bias for all borders, so it leaves only where all windows have the same taps inside. A 0 leaves every chain as it is,
//! but for the sign of another 0, which no layer makes a difference of.

mod bytes;
mod spans;

use self::spans::{Span, spans};
use super::ties::Ties;
use super::{CHANNELS_OF_WORDS, Filter, Fit, Fused, FusedId, FusedNode, Integer};
use crate::graph::layer::Layer;
use crate::graph::shape::Shape;

/// Over which inputs a channel has to be constant, and so of which layers channels are taken.
#[derive(Clone, Debug, PartialEq)]
pub enum Domain {
    /// All bytes of the input: of layers that compute in integers.
    Integers {
        /// Whether weights that [fit](super::Fit) together still do, for targets that add their products up within 16 bits: the channels
        /// of such a pair, or of such two words, leave together or not at all.
        keep_fit: bool,
    },
    /// Numbers of the input between bounds: of the layers of a network in f32.
    Floats {
        /// Of each channel of the input, the least number and the largest, both finite.
        bounds: Vec<(f32, f32)>,
    },
}

impl Domain {
    /// The numbers that the bytes of pictures become: for each channel, byte times multiplier plus offset.
    pub fn of_pictures(constants: &[(f32, f32)]) -> Domain {
        let number = |byte: u8, multiplier: f32, offset: f32| f32::from(byte).mul_add(multiplier, offset);
        let bounds = constants.iter().map(|(multiplier, offset)| {
            let [a, b] = [0, u8::MAX].map(|byte| number(byte, *multiplier, *offset));
            (a.min(b), a.max(b))
        });
        Domain::Floats { bounds: bounds.collect() }
    }

    fn keeps_fit(&self) -> bool {
        match self {
            Domain::Integers { keep_fit } => *keep_fit,
            Domain::Floats { .. } => false,
        }
    }
}

/// The network without its constant channels. The outputs keep theirs, and so does every value of which another layer than
/// convolutions, dense layers and a global average pool takes part. In f32 answers may differ in their last digits, on inputs within the
/// bounds.
///
/// # Panics
/// When bounds are not those of the input's channels, or of a network in integers.
pub fn without_constant_channels(network: Fused, domain: &Domain) -> Fused {
    reduced(network, domain).0
}

/// Also which channels of each node it has kept.
fn reduced(mut network: Fused, domain: &Domain) -> (Fused, Vec<Vec<usize>>) {
    if let Domain::Floats { bounds } = domain {
        assert_eq!(bounds.len(), network.nodes[0].shape().channels, "every channel of the input has bounds");
        assert!(network.byte_input.is_none(), "bounds of numbers are those of a network in f32");
    }
    let mut all: Vec<Vec<usize>> =
        network.nodes.iter().map(|node| (0..node.shape().channels).collect()).collect();
    // Channels that have left may leave others without readers.
    loop {
        let spans = spans(&network, domain);
        let leaves = leaves(&network, &spans, domain);
        if !leaves.iter().flatten().any(|leaves| *leaves) {
            break;
        }
        shrink(&mut network, domain, &spans, &leaves);
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
fn shrink(network: &mut Fused, domain: &Domain, spans: &[Vec<Span>], leaves: &[Vec<bool>]) {
    let shapes: Vec<Shape> = network.nodes.iter().map(FusedNode::shape).collect();
    for (idx, node) in network.nodes.iter_mut().enumerate() {
        let Some(Summing { from, reads, .. }) = Summing::of(node, domain, |from| shapes[from]) else {
            continue;
        };
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

/// What a node that sums its first input takes of it.
struct Summing<'a> {
    numbers: Numbers<'a>,
    from: usize,
    reads: Reads,
}

/// What it multiplies with.
#[derive(Clone, Copy)]
enum Numbers<'a> {
    Integers(&'a Integer),
    /// None of a pool.
    Floats(Option<&'a Filter>),
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
    fn of<'a>(node: &'a FusedNode, domain: &Domain, input: impl Fn(usize) -> Shape) -> Option<Summing<'a>> {
        let numbers = match domain {
            Domain::Integers { .. } => Numbers::Integers(node.integer.as_ref()?),
            Domain::Floats { .. } => Numbers::Floats(node.filter.as_ref()),
        };
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

    /// Whether each of its output channels has to stay: what is added has them too, or they are no bytes.
    fn keeps_outputs(&self, node: &FusedNode) -> bool {
        match self.numbers {
            Numbers::Integers(numbers) => node.bytes.is_none() || numbers.addition.is_some(),
            Numbers::Floats(_) => node.residual.is_some(),
        }
    }

    /// Of each channel of its input, whether it has to be there for the sums to be what they are; of a node that reads all of them.
    fn needs(&self, node: &FusedNode, input: Shape, spans: &[Span]) -> Vec<bool> {
        let n = node.shape().channels;
        let mut has_weights = vec![false; input.channels];
        let mut see = |at: usize, is_there: bool| has_weights[at % input.channels] |= is_there;
        match self.numbers {
            Numbers::Integers(Integer { weights, .. }) => {
                let rows = weights.chunks(n).enumerate();
                rows.for_each(|(at, row)| see(at, row.iter().any(|w| *w != 0)));
                let needs = |(span, has_weights): (&Span, bool)| has_weights && span.constant().is_none();
                spans.iter().zip(has_weights).map(needs).collect()
            }
            Numbers::Floats(filter) => {
                let Filter { weights, bias } = filter.expect("it has weights");
                let rows = weights.chunks(n).enumerate();
                rows.for_each(|(at, row)| see(at, row.iter().any(|w| *w != 0.0)));
                let folds = node.layer.taps_by_border(input).len() == 1 && stay_finite(weights, bias, spans);
                let needs = |(span, has_weights): (&Span, bool)| match span.constant() {
                    Some(constant) => has_weights && constant != 0.0 && !folds,
                    // No number times 0 may be NaN.
                    None => has_weights || !span.is_known(),
                };
                spans.iter().zip(has_weights).map(needs).collect()
            }
        }
    }
}

/// Whether biases stay far from what an f32 can't hold, whichever constants become part of them.
fn stay_finite(weights: &[f32], bias: &[f32], spans: &[Span]) -> bool {
    const MOST: f64 = 1e30;
    let mut sums: Vec<f64> = bias.iter().map(|bias| f64::from(bias.abs())).collect();
    for (at, row) in weights.chunks(bias.len()).enumerate() {
        let Some(constant) = spans[at % spans.len()].constant().filter(|constant| *constant != 0.0) else {
            continue;
        };
        sums.iter_mut().zip(row).for_each(|(sum, w)| *sum += (f64::from(*w) * f64::from(constant)).abs());
    }
    sums.iter().all(|sum| *sum < MOST)
}

/// Of each channel of each node, whether it leaves.
fn leaves(network: &Fused, spans: &[Vec<Span>], domain: &Domain) -> Vec<Vec<bool>> {
    let mut ties = Ties::new(network);
    // By node and channel: whether somebody needs it as it is.
    let mut is_needed: Vec<Vec<bool>> =
        network.nodes.iter().map(|node| vec![false; node.shape().channels]).collect();
    network.outputs.iter().for_each(|id| is_needed[id.0].fill(true));
    for (idx, node) in network.nodes.iter().enumerate() {
        let Some(summing) = Summing::of(node, domain, |from| network.nodes[from].shape()) else {
            is_needed[idx].fill(true);
            node.inputs.iter().for_each(|id| is_needed[id.0].fill(true));
            continue;
        };
        // What is added to others has their channels.
        node.inputs[1..].iter().for_each(|id| is_needed[id.0].fill(true));
        if summing.keeps_outputs(node) {
            is_needed[idx].fill(true);
        }
        let (from, all) = (summing.from, 0..node.shape().channels);
        match summing.reads {
            Reads::Pixels => all.for_each(|channel| ties.tie((from, channel), (idx, channel))),
            Reads::Group { m, n } => all.for_each(|channel| {
                let first = channel / n * m;
                (first..first + m).for_each(|input| ties.tie((from, input), (idx, channel)));
            }),
            Reads::All => {
                let needs = summing.needs(node, network.nodes[from].shape(), &spans[from]);
                is_needed[from].iter_mut().zip(needs).for_each(|(is_needed, needs)| *is_needed |= needs);
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
    if domain.keeps_fit() {
        keep_what_fits(network, &mut ties, &mut stays);
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

/// Where pairs alone would let one in so many of the channels go, that saves more than it does to add up the pairs of two words.
const MANY: usize = 4;

/// Of input channels whose weights fit together, all stay where one of them does.
fn keep_what_fits(network: &Fused, ties: &mut Ties, stays: &mut [bool]) {
    let channels = |id: FusedId| network.nodes[id.0].shape().channels;
    let fit = |node: &FusedNode| {
        let numbers = node.integer.as_ref().filter(|numbers| !numbers.weights.is_empty())?;
        let is_depthwise = matches!(node.layer, Layer::Depthwise { .. });
        let input = *node.inputs.first().filter(|_| !is_depthwise)?;
        Some((input, numbers.fit(&node.layer, channels(input)))).filter(|(_, fit)| Fit::One < *fit)
    };
    let inputs: Vec<(FusedId, Fit)> = network.nodes.iter().filter_map(fit).collect();
    let pairs: Vec<(FusedId, usize)> = inputs.iter().map(|(id, _)| (*id, 2)).collect();
    keep_groups(network, &pairs, ties, stays);
    let words = inputs.iter().filter(|(id, fit)| {
        let n = channels(*id);
        let n_leaving = (0..n).filter(|channel| !stays[ties.set(id.0, *channel)]).count();
        *fit == Fit::Four && n_leaving * MANY < n
    });
    let words: Vec<(FusedId, usize)> = words.map(|(id, _)| (*id, CHANNELS_OF_WORDS)).collect();
    keep_groups(network, &[pairs, words].concat(), ties, stays);
}

/// All of a group of so many channels of a value stay where one of them does; fewer behind the last whole one are no group.
fn keep_groups(network: &Fused, groups: &[(FusedId, usize)], ties: &mut Ties, stays: &mut [bool]) {
    // One that stays may be tied to one of another group.
    loop {
        let n_before = stays.iter().filter(|stays| **stays).count();
        for (id, size) in groups {
            let channels: Vec<usize> = (0..network.nodes[id.0].shape().channels).collect();
            for group in channels.chunks_exact(*size) {
                let sets: Vec<usize> = group.iter().map(|channel| ties.set(id.0, *channel)).collect();
                let one_stays = sets.iter().any(|set| stays[*set]);
                sets.iter().for_each(|set| stays[*set] = one_stays);
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
        if let Reads::Pixels = reads {
            // In integers one bias and one multiplier for all.
            node.scales = of_kept(&node.scales, self.input.channels, kept);
            return;
        }
        if let Some(Filter { weights, bias }) = &mut node.filter {
            let n = bias.len();
            if let Reads::All = reads {
                self.fold_numbers(weights, bias, &borders);
                self.take_rows(weights, n);
            }
            *weights = of_kept(weights, n, kept);
            *bias = of_kept(bias, n, kept);
            return;
        }
        let integer = node.integer.as_mut().expect("it sums");
        let n = integer.multiplier.len();
        if let Reads::All = reads {
            self.fold(integer, &borders);
            self.take_rows(&mut integer.weights, n);
        }
        integer.weights = of_kept(&integer.weights, n, kept);
        integer.bias = of_kept(&integer.bias, n, kept);
        integer.multiplier = of_kept(&integer.multiplier, n, kept);
        node.scales = of_kept(&node.scales, n, kept);
    }

    /// Takes away what inputs that leave are multiplied with.
    fn take_rows<T: Copy>(&self, weights: &mut Vec<T>, n: usize) {
        let rows = weights.chunks(n).enumerate();
        let rows = rows.filter(|(at, _)| !self.leaves[at % self.input.channels]);
        *weights = rows.flat_map(|(_, row)| row).copied().collect();
    }

    /// Adds to each bias what the inputs that leave would add up to there.
    fn fold(&self, integer: &mut Integer, borders: &[Vec<usize>]) {
        let (n, m) = (integer.multiplier.len(), self.input.channels);
        for (bias, inside) in integer.bias.chunks_mut(n).zip(borders) {
            for tap in inside {
                let leaving = (0..m).filter(|input| self.leaves[*input]);
                for input in leaving {
                    // Of one that isn't constant all weights are 0.
                    let byte = self.spans[input].low as i32;
                    let weights = &integer.weights[(tap * m + input) * n..][..n];
                    bias.iter_mut().zip(weights).for_each(|(bias, w)| *bias += byte * i32::from(*w));
                }
            }
        }
    }

    /// The same of numbers, in f64 and rounded once. Where windows differ in the taps inside, only zeros leave, and what has no weights.
    fn fold_numbers(&self, weights: &[f32], bias: &mut [f32], borders: &[Vec<usize>]) {
        let [inside] = borders else { return };
        let (n, m) = (bias.len(), self.input.channels);
        let constant = |input: usize| self.spans[input].constant().filter(|constant| *constant != 0.0);
        let leaving = (0..m).filter(|input| self.leaves[*input]);
        let constants: Vec<(usize, f64)> =
            leaving.filter_map(|input| constant(input).map(|constant| (input, constant.into()))).collect();
        if constants.is_empty() {
            return;
        }
        let mut sums: Vec<f64> = bias.iter().map(|bias| f64::from(*bias)).collect();
        for tap in inside {
            for (input, constant) in &constants {
                let row = &weights[(tap * m + input) * n..][..n];
                sums.iter_mut().zip(row).for_each(|(sum, w)| *sum += constant * f64::from(*w));
            }
        }
        bias.iter_mut().zip(sums).for_each(|(bias, sum)| *bias = sum as f32);
    }
}

/// Of each row of so many numbers, those of the channels that are kept.
fn of_kept<T: Copy>(numbers: &[T], n: usize, kept: &[usize]) -> Vec<T> {
    numbers.chunks(n).flat_map(|row| kept.iter().map(|channel| row[*channel])).collect()
}

#[cfg(test)]
mod tests;
