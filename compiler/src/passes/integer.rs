//! What a node computes in integers: the numbers of a quantised network.
//!
//! A byte q of a value stands for scale (q - zero point). A layer's weights are signed bytes, one scale for each output channel, and
//! its sum, the bias and then byte times weight for each tap inside of the map, is an exact i32. What happens to the sum is said by
//! [`Integer`] and [`Bytes`], operation by operation, in [`crate::reference`] and in docs/arithmetic.md.

use std::borrow::Cow;
use std::ops::Range;

use super::FusedNode;
use crate::graph::activation::activate;
use crate::graph::layer::{Activation, Layer};
use crate::graph::shape::Shape;
use crate::graph::tensor::{Dtype, Tensor};

/// What the bytes of a value stand for, and between which of them they stay.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bytes {
    /// From one byte to the next; finite and above 0.
    pub scale: f32,
    /// The byte that stands for 0.
    pub zero_point: u8,
    /// The lowest; that of 0 behind a ReLU.
    pub low: u8,
    /// The highest.
    pub high: u8,
}

/// How the numbers of the input become bytes, by channel: q = round(fma(x, scale, offset)), kept between 0 and 255.
#[derive(Clone, Debug, PartialEq)]
pub struct ByteInput {
    /// Bytes for 1.
    pub scale: Vec<f32>,
    /// The byte, seldom a whole one, that stands for 0.
    pub offset: Vec<f32>,
}

impl ByteInput {
    /// The byte of a number of a channel. What is no number becomes 0.
    pub fn byte(&self, channel: usize, x: f32) -> u8 {
        // A cast keeps within the bytes.
        x.mul_add(self.scale[channel], self.offset[channel]).round_ties_even() as u8
    }

    /// Whether each byte of a picture, which stands for byte times multiplier plus offset, is its own byte here.
    pub fn keeps(&self, channel: usize, multiplier: f32, offset: f32) -> bool {
        (0..=u8::MAX).all(|q| self.byte(channel, f32::from(q).mul_add(multiplier, offset)) == q)
    }
}

/// The numbers of a layer that computes in integers.
#[derive(Clone, Debug, PartialEq)]
pub struct Integer {
    /// In the order of [`super::Filter::weights`]; none for a layer without weights.
    pub weights: Vec<i8>,
    /// What the sums start from: for each of the window's [borders](crate::graph::shape::Window::borders) the numbers of all N channels;
    /// one number for a pool. For a product two: what is added to the bytes of each operand before they are multiplied. None for an
    /// addition by itself, and for a layer that [keeps scales](Layer::keeps_scales).
    pub bias: Vec<i32>,
    /// What the sum, or the product, is multiplied by as an f32: of each of the N channels; one number for a layer without weights.
    /// None where there is no bias.
    pub multiplier: Vec<f32>,
    /// The addition that is part of the layer, or is it.
    pub addition: Option<Addition>,
}

/// How bytes of another value are added.
#[derive(Clone, Debug, PartialEq)]
pub enum Addition {
    /// To bytes, with one scale for all channels of each: a layer by itself, and networks of other quantisers.
    Tensor(ByteSum),
    /// To the sums of a layer with weights, before they become bytes: v = fma(f32(b), factor, v) for a byte b, with the factor of its
    /// channel, the scale of b over that of the sum. What the zero point of b is worth is in the layer's biases.
    Channels(Vec<f32>),
}

/// How two bytes become the one that stands for their sum: (bias + a first + b second) >> shift, the sign coming in, and the zero point
/// of the sum; kept between its bounds. It is XNNPACK's rule.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ByteSum {
    /// What the first byte stands for: that of the layer, which is never stored, or of the first input of an addition by itself.
    pub own: Bytes,
    /// Half of a step, so that the shift rounds, and what the zero points are worth.
    pub bias: i32,
    /// What each byte is multiplied by; the larger is below 2^21.
    pub multipliers: [i32; 2],
    /// 1 to 30.
    pub shift: u8,
}

impl ByteSum {
    /// That of bytes with these scales and zero points; `None` where one of them is a million times as coarse as the sum.
    pub fn of(own: Bytes, other: Bytes, sum: Bytes) -> Option<ByteSum> {
        const BITS: i32 = 20;
        let ratios = [own, other].map(|bytes| bytes.scale / sum.scale);
        let most = ratios[0].max(ratios[1]);
        // The power of two below, from the exponent of the f32; that of a denormal is far below all that matters.
        let exponent = (most.to_bits() >> 23) as i32 - 127;
        let shift = (BITS - exponent).min(30);
        if !most.is_finite() || shift < 1 {
            return None;
        }
        let power = f64::from(shift).exp2();
        let multipliers = ratios.map(|ratio| (f64::from(ratio) * power).round_ties_even() as i32);
        let zeros = [own, other].map(|bytes| i32::from(bytes.zero_point));
        let bias = (1 << (shift - 1)) - multipliers[0] * zeros[0] - multipliers[1] * zeros[1];
        Some(ByteSum { own, bias, multipliers, shift: shift as u8 })
    }

    /// The byte of the sum.
    pub fn apply(&self, first: u8, second: u8, sum: Bytes) -> u8 {
        let [a, b] = [first, second].map(i32::from);
        let scaled = (self.bias + a * self.multipliers[0] + b * self.multipliers[1]) >> self.shift;
        let byte = (scaled + i32::from(sum.zero_point)).clamp(sum.low.into(), sum.high.into());
        byte as u8
    }
}

/// The largest weight; its opposite is the smallest.
pub const MOST_WEIGHT: i8 = 127;

impl Integer {
    /// Of each channel, between which numbers its products add up to, whatever the bytes of the input are: the least and the most.
    fn products(&self) -> Vec<[i64; 2]> {
        let n = self.multiplier.len();
        let mut products = vec![[0, 0]; n];
        for row in self.weights.chunks_exact(n.max(1)) {
            for ([least, most], w) in products.iter_mut().zip(row) {
                *least += 255 * i64::from((*w).min(0));
                *most += 255 * i64::from((*w).max(0));
            }
        }
        products
    }

    /// The biases of a channel, of which it has one for each border.
    fn biases(&self, channel: usize) -> impl Iterator<Item = i64> {
        self.bias.iter().skip(channel).step_by(self.multiplier.len()).map(|bias| i64::from(*bias))
    }

    /// Of each channel, the largest absolute value that its sum can take at any point, whatever the bytes of the input are.
    pub(crate) fn bounds(&self) -> impl Iterator<Item = i64> {
        self.products().into_iter().enumerate().map(|(channel, [least, most])| {
            let bias = self.biases(channel).map(i64::abs).max().unwrap_or(0);
            most - least + bias
        })
    }

    /// Of each channel, between which numbers its sum ends, whatever the bytes of the input are.
    pub(crate) fn ranges(&self) -> impl Iterator<Item = [i64; 2]> {
        self.products().into_iter().enumerate().map(|(channel, [least, most])| {
            let biases = || self.biases(channel);
            [biases().min().unwrap_or(0) + least, biases().max().unwrap_or(0) + most]
        })
    }

    /// What the sums start from as a packed filter has it: all borders, or one where all are the same, as with inputs whose byte of 0 is 0.
    pub fn packed_bias(&self) -> &[i32] {
        let n = self.multiplier.len();
        let mut borders = self.bias.chunks_exact(n.max(1));
        let inside = borders.next().unwrap_or(&self.bias);
        if borders.all(|border| border == inside) { inside } else { &self.bias }
    }

    /// Whether each of its sums stays below 2^31, and what it becomes before it is rounded below half of that: no f32 of it is rounded to 2^31.
    pub fn is_proved(&self) -> bool {
        let added = |channel: usize| match &self.addition {
            Some(Addition::Channels(factors)) => 255.0 * factors[channel].abs(),
            Some(Addition::Tensor(_)) | None => 0.0,
        };
        let mut channels = self.multiplier.iter().zip(self.bounds()).enumerate();
        channels.all(|(channel, (multiplier, bound))| is_below(bound, *multiplier, added(channel)))
    }

    /// The same of the numbers of a layer over such an input, of any kind.
    pub fn is_proved_of(&self, layer: &Layer, input: Shape) -> bool {
        let is_below = |bound: i64| is_below(bound, self.multiplier[0], 0.0);
        match layer {
            _ if !self.weights.is_empty() => self.is_proved(),
            Layer::Add => true,
            layer if layer.keeps_scales() => true,
            // Each operand, a byte and what is added to it, stays a number of nine bits.
            Layer::Multiply => self.bias.iter().all(|zero| (-255..=0).contains(zero)) && is_below(255 * 255),
            _ => is_below(i64::from(self.bias[0]).abs() + 255 * (input.pixels() as i64)),
        }
    }

    /// The same with something added to all biases of each channel.
    pub(crate) fn starting(&self, starts: &[i32]) -> Integer {
        let bias = self.bias.iter().zip(starts.iter().cycle()).map(|(bias, start)| bias + start).collect();
        Integer { bias, ..self.clone() }
    }

    /// The same of a convolution without groups, over so many input channels: those of other groups have weights of 0.
    pub fn without_groups(&self, layer: &Layer, channels: usize) -> Cow<'_, Integer> {
        let Layer::Grouped { groups, n, .. } = *layer else { return Cow::Borrowed(self) };
        let (m, per_group) = (channels / groups, n / groups);
        let taps = self.weights.chunks(m * n);
        let weights = taps.flat_map(|tap| {
            (0..channels * n).map(move |at| {
                let (input, output) = (at / n, at % n);
                if input / m == output / per_group { tap[input % m * n + output] } else { 0 }
            })
        });
        Cow::Owned(Integer { weights: weights.collect(), ..self.clone() })
    }

    /// How many products of a layer over so many channels add up within 16 bits, whatever the bytes are that they are made of.
    pub(crate) fn fit(&self, layer: &Layer, channels: usize) -> Fit {
        if !self.pairs_fit(layer, channels) {
            return Fit::One;
        }
        match self.best_fit(layer, channels) {
            Fit::Four if !self.words_fit(channels) => Fit::Two,
            best => best,
        }
    }

    /// The same of a layer whose weights are small enough: words are added up two by two where all of them are of one group and every tap
    /// begins with the first of two.
    pub(crate) fn best_fit(&self, layer: &Layer, channels: usize) -> Fit {
        let has_groups = matches!(layer, Layer::Depthwise { .. } | Layer::Grouped { .. });
        let is_one_tap = self.weights.len() == channels * self.multiplier.len();
        let begins_even = is_one_tap || channels.div_ceil(4).is_multiple_of(2);
        if begins_even && !has_groups { Fit::Four } else { Fit::Two }
    }

    /// Whether of every tap over so many channels the weights fit whose products are [added up together](together).
    fn words_fit(&self, channels: usize) -> bool {
        let n = self.multiplier.len();
        let mut taps = self.weights.chunks((channels * n).max(1));
        taps.all(|tap| {
            together(0..channels).all(|channels| {
                let weights = |output: usize| channels.iter().map(move |channel| tap[channel * n + output]);
                (0..n).all(|output| fit_together(weights(output)))
            })
        })
    }

    /// Whether of every tap of a layer over so many channels the weights of input channels 0 and 1, 2 and 3 and so on fit together. Where
    /// each word of weights has only one of them, they always do.
    fn pairs_fit(&self, layer: &Layer, channels: usize) -> bool {
        if matches!(layer, Layer::Depthwise { .. }) {
            return true;
        }
        let groups = if let Layer::Grouped { groups, .. } = layer { *groups } else { 1 };
        let n = self.multiplier.len();
        let (m, per_group) = (channels / groups, n / groups);
        // Of two channels of other groups an output reads one, and one weight always fits.
        let is_odd: Vec<bool> = (0..n).map(|output| output / per_group * m % 2 == 1).collect();
        let mut taps = self.weights.chunks((m * n).max(1));
        taps.all(|tap| {
            let rows = tap.chunks(n).zip(tap.chunks(n).skip(1)).enumerate();
            rows.flat_map(|(channel, (first, second))| {
                let weights = first.iter().zip(second).zip(&is_odd);
                weights.filter(move |(_, is_odd)| **is_odd == (channel % 2 == 1)).map(|((a, b), _)| [*a, *b])
            })
            .all(fit_together)
        })
    }

    /// How many weights, biases and multipliers a layer over an input of this shape has.
    pub fn extents(layer: &Layer, input: Shape) -> [usize; 3] {
        let n_borders = layer.window().map_or(1, |window| window.borders((input.height, input.width)).len());
        match layer.filter(input) {
            Some(filter) => [filter.n_weights(), filter.n * n_borders, filter.n],
            None => match layer {
                Layer::Add => [0, 0, 0],
                layer if layer.keeps_scales() => [0, 0, 0],
                Layer::Multiply => [0, 2, 1],
                _ => [0, 1, 1],
            },
        }
    }

    /// Asserts the lengths that the node's layer asks for.
    pub(super) fn verify(&self, node: &FusedNode, input: Shape) {
        let (name, layer) = (&node.name, &node.layer);
        let found = [self.weights.len(), self.bias.len(), self.multiplier.len()];
        assert_eq!(found, Integer::extents(layer, input), "{name}: the numbers are those of the layer");
        let filter = layer.filter(input);
        assert!(filter.is_none() || self.is_proved(), "{name}: no sum leaves an i32");
        assert!(self.multiplier.iter().all(|m| m.is_finite()), "{name}: multipliers are finite");
        let may_differ = filter.is_some() || is_clamp(node.activation);
        assert!(node.scales.is_empty() || may_differ, "{name}: without weights there is one factor");
        let is_other = matches!(layer, Layer::GlobalAveragePool | Layer::Multiply | Layer::Add);
        let keeps = layer.keeps_scales();
        assert!(filter.is_some() || is_other || keeps, "{name}: the layer computes in integers");
        assert!(node.bytes.is_some() || !keeps, "{name}: bytes that are kept are bytes");
        let adds = node.adds();
        assert_eq!(self.addition.is_some(), adds, "{name}: an addition says how");
        if let Some(Addition::Channels(factors)) = &self.addition {
            assert!(filter.is_some(), "{name}: only sums of weights have factors for what is added");
            assert_eq!(factors.len(), self.multiplier.len(), "{name}: every channel has a factor");
        }
        let is_sum_of_bytes = node.bytes.is_some() && is_clamp(node.activation);
        assert!(!adds || is_sum_of_bytes, "{name}: an addition gives bytes");
    }
}

impl FusedNode {
    /// A node that [keeps scales](Layer::keeps_scales), over bytes of these nodes: each channel has the scale that it has there. `None`
    /// where one has no bytes, or another byte of 0 than the first.
    pub(crate) fn keeping_bytes(&self, inputs: &[&FusedNode]) -> Option<FusedNode> {
        let of_inputs: Vec<Bytes> = inputs.iter().map(|input| input.bytes).collect::<Option<_>>()?;
        let (first, rest) = of_inputs.split_first()?;
        let mut bytes = *first;
        for other in rest {
            if other.zero_point != bytes.zero_point {
                return None;
            }
            (bytes.low, bytes.high) = (bytes.low.min(other.low), bytes.high.max(other.high));
        }
        if matches!(self.layer, Layer::Pool { .. }) {
            // A mean may count padding, which is 0.
            (bytes.low, bytes.high) = (bytes.low.min(bytes.zero_point), bytes.high.max(bytes.zero_point));
        }
        let of_channels = |(input, bytes): (&&FusedNode, &Bytes)| input.scales_of(*bytes, &input.scales);
        let scales: Vec<f32> = inputs.iter().zip(&of_inputs).flat_map(of_channels).collect();
        bytes.scale = scales.iter().copied().fold(0.0, f32::max);
        let is_one = scales.iter().all(|scale| *scale == bytes.scale);
        Some(FusedNode {
            tensor: Tensor { dtype: Dtype::U8, ..self.tensor },
            bytes: Some(bytes),
            scales: if is_one { Vec::new() } else { scales },
            integer: Some(Integer {
                weights: Vec::new(),
                bias: Vec::new(),
                multiplier: Vec::new(),
                addition: None,
            }),
            ..self.clone()
        })
    }
}

/// For each element, pixel by pixel, what a number behind an activation is multiplied by before it becomes a byte; or what the byte is
/// that is added to its sum.
pub(crate) fn factors(node: &FusedNode) -> impl Iterator<Item = f32> {
    let (_, bytes) = node.ending();
    let of_channels = node.factors();
    let same = bytes.map_or(1.0, |bytes| 1.0 / bytes.scale);
    (0..).map(move |idx: usize| of_channels.get(idx % of_channels.len().max(1)).copied().unwrap_or(same))
}

/// What a node makes of f32(acc) multiplier and the [factor](factors); before an addition of bytes that is part of it.
pub(crate) fn finish(node: &FusedNode, v: f32, factor: f32) -> f32 {
    let (activation, bytes) = node.ending();
    let Some(Bytes { zero_point, low, high, .. }) = bytes else { return activate(v, activation) };
    let v = if is_clamp(activation) { v } else { activate(v, activation) * factor };
    to_byte(v, zero_point, low, high)
}

/// round(v) + zero point, kept between bounds. What is no number becomes the lower bound.
pub(crate) fn to_byte(v: f32, zero_point: u8, low: u8, high: u8) -> f32 {
    let [zero_point, low, high] = [zero_point, low, high].map(f32::from);
    let (least, most) = (low - zero_point, high - zero_point);
    // The bounds are whole numbers, so keeping between them and rounding may change places.
    let v = if v > least { v } else { least };
    let v = if v < most { v } else { most };
    v.round_ties_even() + zero_point
}

/// How many products of bytes and weights add up within 16 bits, whatever the bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fit {
    /// Not even those of a pair.
    One,
    /// Those of each pair of a word of four.
    Two,
    /// Those of two words too: of the first pairs of both, and of the second ones.
    Four,
}

/// Input channels of two words.
pub(crate) const CHANNELS_OF_WORDS: usize = 8;

/// Of so many neighbouring channels those whose products are added up within 16 bits: of all of them 0, 1, 4 and 5, then 2, 3, 6 and 7,
/// and so on; counted from the first of the neighbours.
pub(crate) fn together(neighbours: Range<usize>) -> impl Iterator<Item = Vec<usize>> {
    let first_block = neighbours.start / CHANNELS_OF_WORDS * CHANNELS_OF_WORDS;
    let blocks = (first_block..neighbours.end).step_by(CHANNELS_OF_WORDS);
    let halves = blocks.flat_map(|first| [first, first + 2]);
    halves.map(move |first| {
        let all = [0, 1, 4, 5].map(|channel| first + channel).into_iter();
        all.filter(|channel| neighbours.contains(channel)).map(|channel| channel - neighbours.start).collect()
    })
}

/// Whether weights with the largest bytes stay within an i16, all of them and any of them.
pub(crate) fn fit_together(weights: impl IntoIterator<Item = i8>) -> bool {
    let (mut least, mut most) = (0, 0);
    for product in weights.into_iter().map(|weight| i32::from(weight) * 255) {
        least += product.min(0);
        most += product.max(0);
    }
    [least, most].iter().all(|sum| i16::try_from(*sum).is_ok())
}

/// Whether sums within a bound stay below 2^31, and what they become, with what is added, below half of that.
fn is_below(bound: i64, multiplier: f32, added: f32) -> bool {
    const MOST: i64 = 1 << 31;
    bound < MOST && (bound as f64) * f64::from(multiplier.abs()) + f64::from(added) < (MOST / 2) as f64
}

/// Whether an activation is nothing but bounds, which bytes have in any case.
pub fn is_clamp(activation: Activation) -> bool {
    match activation {
        Activation::None | Activation::Relu | Activation::Relu6 => true,
        Activation::LeakyRelu { .. }
        | Activation::HardSigmoid
        | Activation::HardSwish
        | Activation::Sigmoid
        | Activation::Swish => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::shape::{Axis, Window};
    use crate::random::Random;

    /// The words of a reduction two by two, as kernels take them: from the first of every tap, or from the first of all.
    #[test]
    fn words_fit_as_kernels_take_them() {
        let mut n_found = [0; 3];
        for seed in 0..2000 {
            let mut random = Random::new(seed);
            let (channels, n, kernel) = (random.within(1, 20), random.within(1, 3), random.pick(&[1, 1, 2]));
            let axis = |kernel| Axis { kernel, ..Window::POINTWISE.rows };
            let window = Window { rows: axis(1), columns: axis(kernel) };
            let mut weights: Vec<i8> =
                (0..kernel * channels * n).map(|_| random.pick(&[0, 1, -1, 31, -31, 32, -32])).collect();
            if random.percent(50) {
                let at = random.within(0, weights.len() - 1);
                weights[at] = random.pick(&[34, -127, 127]);
            }
            let numbers = Integer { weights, bias: vec![0; n], multiplier: vec![1.0; n], addition: None };
            let n_words = channels.div_ceil(4);
            let word = |(tap, word): (usize, usize), output: usize| -> [i8; 4] {
                let weight = |ci: usize| numbers.weights[(tap * channels + ci) * n + output];
                std::array::from_fn(|idx| Some(4 * word + idx).filter(|ci| *ci < channels).map_or(0, weight))
            };
            let words: Vec<(usize, usize)> =
                (0..kernel).flat_map(|tap| (0..n_words).map(move |word| (tap, word))).collect();
            let pairs_fit = |output: usize| {
                let mut words = words.iter().map(|at| word(*at, output));
                words.all(|[a, b, c, d]| fit_together([a, b]) && fit_together([c, d]))
            };
            let words_fit = |two: &[(usize, usize)], output: usize| match two {
                [first, second] => {
                    let ([a, b, c, d], [e, f, g, h]) = (word(*first, output), word(*second, output));
                    fit_together([a, b, e, f]) && fit_together([c, d, g, h])
                }
                _ => true,
            };
            let is_split = |two: &[(usize, usize)]| matches!(two, [first, second] if first.0 != second.0);
            let expected = if !(0..n).all(pairs_fit) {
                Fit::One
            } else if (0..n).all(|output| words.chunks(2).all(|two| words_fit(two, output) && !is_split(two)))
            {
                Fit::Four
            } else {
                Fit::Two
            };
            let layer = Layer::Conv { window, n, bias: true };
            assert_eq!(numbers.fit(&layer, channels), expected, "{seed}");
            n_found[expected as usize] += 1;
        }
        assert!(n_found.iter().all(|n| 100 < *n), "{n_found:?}");
    }

    /// Groups change nothing of which weights fit together: those of other groups are 0.
    #[test]
    fn pairs_of_groups() {
        let mut n_fit = 0;
        for seed in 0..600 {
            let mut random = Random::new(seed);
            let groups = random.within(1, 6);
            let (m, per_group, taps) = (random.within(1, 5), random.within(1, 3), random.within(1, 2));
            let (channels, n) = (groups * m, groups * per_group);
            let mut weights: Vec<i8> =
                (0..taps * m * n).map(|_| random.pick(&[0, 1, -1, 63, -63, 64, -64])).collect();
            // Two of them don't fit, if they are a pair.
            let at = random.within(0, weights.len() - 1);
            weights[at..].iter_mut().step_by(n).take(2).for_each(|w| *w = 100);
            let numbers = Integer { weights, bias: vec![0; n], multiplier: vec![1.0; n], addition: None };
            let layer = Layer::Grouped { window: Window::POINTWISE, n, groups, bias: true };
            let joined = numbers.without_groups(&layer, channels);
            let pairs = joined.weights.chunks(channels * n).flat_map(|tap| tap.chunks(2 * n));
            let expected = pairs.filter(|pair| pair.len() == 2 * n).all(|pair| {
                let (first, second) = pair.split_at(n);
                first.iter().zip(second).all(|(a, b)| fit_together([*a, *b]))
            });
            assert_eq!(numbers.pairs_fit(&layer, channels), expected, "{seed}");
            n_fit += usize::from(expected);
        }
        assert!((50..550).contains(&n_fit), "both are drawn: {n_fit}");
    }
}
