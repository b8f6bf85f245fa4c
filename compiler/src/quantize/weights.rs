//! A layer's filter in f32 -> its weights as signed bytes, its biases and multipliers.
//!
//! An input x of channel c is scale_c (q + zero_c) for a byte q. With u for one step of a sum of an output channel, its weights are
//! w scale_c / u, rounded; its bias at a border is b / u and the sum of weight times zero_c over the taps inside, rounded. b is not the
//! filter's but the one that leaves the channel's mean on the calibration pictures what it is in f32: rounded weights of one sign of
//! error times inputs that are never below 0 add up to a shift, which is most of the error that there would be.

use super::forward::taps;
use crate::graph::layer::Layer;
use crate::graph::shape::Shape;
use crate::passes::{
    Addition, Bytes, Filter, FusedNode, Integer, MOST_WEIGHT, MULTIPLIER_STEP, is_clamp, together,
};

/// A dead channel's bias would leave an i32 if its weights said what a step is.
const MOST_BIAS: f64 = (1u64 << 29) as f64;
/// The least step, as a share of that of the output: what is smaller changes no byte.
const LEAST_STEP: f64 = 1e-7;
/// What weights of one sign may add up to whose products are added up within 16 bits: 255 times as much is still an i16.
const MOST_SUM: i32 = 128;
/// Doublings of a step before a channel is given up.
const MOST_DOUBLINGS: usize = 48;

/// What the bytes of an input stand for, by channel: x = scale (q + zero).
#[derive(Clone, Debug)]
pub(super) struct Meaning {
    pub(super) scale: Vec<f64>,
    pub(super) zero: Vec<f64>,
}

impl Meaning {
    /// Of a value of so many channels, which have such scales if they are not all the same.
    pub(super) fn of(bytes: Bytes, n_channels: usize, scales: &[f32]) -> Meaning {
        let zero = -f64::from(bytes.zero_point);
        let of_channel = |channel: usize| f64::from(scales.get(channel).copied().unwrap_or(bytes.scale));
        let scale = (0..n_channels).map(of_channel).collect();
        Meaning { scale, zero: vec![zero; n_channels] }
    }
}

/// The bytes under each tap of a layer on the calibration pictures.
#[derive(Clone, Debug)]
pub(super) struct Inputs {
    /// Their sum, `[taps][channels]`.
    sums: Vec<u64>,
    /// How often each tap was inside of the map, on all pictures.
    inside: Vec<u64>,
    /// Positions of the window, on all pictures.
    positions: u64,
}

impl Inputs {
    pub(super) fn new(layer: &Layer, input: Shape) -> Inputs {
        let (n_taps, channels) = match layer.window() {
            Some(window) => (window.taps(), input.channels),
            // Each pixel of the map is a tap of a dense layer.
            None => (input.pixels(), input.channels),
        };
        Inputs { sums: vec![0; n_taps * channels], inside: vec![0; n_taps], positions: 0 }
    }

    /// Counts one picture.
    pub(super) fn add(&mut self, layer: &Layer, shape: (Shape, Shape), x: &[u8]) {
        let (input, output) = shape;
        let m = input.channels;
        let Some(window) = layer.window() else {
            self.sums.iter_mut().zip(x).for_each(|(sum, q)| *sum += u64::from(*q));
            self.inside.iter_mut().for_each(|inside| *inside += 1);
            self.positions += 1;
            return;
        };
        self.positions += output.pixels() as u64;
        // 2^20 positions of 255 fit.
        let mut line = vec![0u32; self.sums.len()];
        for position in 0..output.pixels() {
            taps(window, input, (position / output.width, position % output.width), |tap, pixel| {
                self.inside[tap] += 1;
                let sums = line[tap * m..][..m].iter_mut();
                sums.zip(&x[pixel * m..][..m]).for_each(|(sum, q)| *sum += u32::from(*q));
            });
        }
        self.sums.iter_mut().zip(line).for_each(|(sum, more)| *sum += u64::from(more));
    }

    pub(super) fn merge(&mut self, other: &Inputs) {
        self.sums.iter_mut().zip(&other.sums).for_each(|(sum, more)| *sum += more);
        self.inside.iter_mut().zip(&other.inside).for_each(|(sum, more)| *sum += more);
        self.positions += other.positions;
    }
}

/// A layer whose weights become bytes.
pub(super) struct Task<'a> {
    pub(super) node: &'a FusedNode,
    pub(super) filter: &'a Filter,
    pub(super) input: Shape,
    pub(super) meaning: &'a Meaning,
    /// Of the output; none where that is numbers.
    pub(super) bytes: Option<Bytes>,
    /// Of each output channel its own scale; none where all have that of the bytes.
    pub(super) scales: &'a [f32],
    /// How a residual is added.
    pub(super) addition: Option<Addition>,
    /// What a byte 0 of it stands for, of each output channel; none without it.
    pub(super) zeros: &'a [f64],
    pub(super) inputs: &'a Inputs,
    /// Of each output channel before the activation, in f32: the mean on the same pictures.
    pub(super) means: &'a [f64],
    /// Whether weights keep within [`MOST_SUM`].
    pub(super) pair_safe: bool,
}

/// The numbers of one output channel.
struct Channel {
    weights: Vec<i8>,
    /// By border.
    bias: Vec<i32>,
    multiplier: f32,
}

/// Where the weights of a layer over so many channels get their inputs: of a weight, by its place before the output channel and by that
/// of n, the tap and the input channel.
pub(super) fn reads(layer: &Layer, channels: usize, n: usize) -> impl Fn(usize, usize) -> (usize, usize) {
    let (m, per_group) = match layer {
        Layer::Depthwise { .. } => (1, 1),
        Layer::Grouped { groups, .. } => (channels / groups, n / groups),
        _ => (channels, n),
    };
    move |k, channel| (k / m, channel / per_group * m + k % m)
}

impl Task<'_> {
    /// Its numbers; or the channel that can't have any, and why.
    pub(super) fn run(&self) -> Result<Integer, String> {
        let n = self.filter.bias.len();
        let depth = self.filter.weights.len() / n;
        let borders = self.node.layer.taps_by_border(self.input);
        let mut integer = Integer {
            weights: vec![0; depth * n],
            bias: vec![0; borders.len() * n],
            multiplier: vec![0.0; n],
            addition: self.addition.clone(),
        };
        for idx in 0..n {
            let channel = self.channel(idx, depth, &borders)?;
            for (k, w) in channel.weights.iter().enumerate() {
                integer.weights[k * n + idx] = *w;
            }
            for (border, bias) in channel.bias.iter().enumerate() {
                integer.bias[border * n + idx] = *bias;
            }
            integer.multiplier[idx] = channel.multiplier;
        }
        Ok(integer)
    }

    fn channel(&self, idx: usize, depth: usize, borders: &[Vec<usize>]) -> Result<Channel, String> {
        let n = self.filter.bias.len();
        let reads = reads(&self.node.layer, self.input.channels, n);
        let from: Vec<(usize, usize)> = (0..depth).map(|k| reads(k, idx)).collect();
        let wanted = |(k, (_, channel)): (usize, &(usize, usize))| {
            f64::from(self.filter.weights[k * n + idx]) * self.meaning.scale[*channel]
        };
        let wanted: Vec<f64> = from.iter().enumerate().map(wanted).collect();
        let is_paired = self.pair_safe && !matches!(self.node.layer, Layer::Depthwise { .. });
        let m = from.iter().take_while(|(tap, _)| *tap == 0).count();
        let first = from.first().map_or(0, |(_, channel)| *channel);
        let mut step = wanted.iter().fold(0.0f64, |most, w| most.max(w.abs())) / f64::from(MOST_WEIGHT);
        if is_paired {
            let largest = wanted.chunks(m).flat_map(|tap| sums_of_tap(tap, first)).fold(0.0, f64::max);
            step = step.max(largest / f64::from(MOST_SUM));
        }
        step = step.max(self.means[idx].abs().max(f64::from(self.filter.bias[idx]).abs()) / MOST_BIAS);
        step = step.max(self.bytes.map_or(0.0, |bytes| f64::from(bytes.scale) * LEAST_STEP));
        if step < f64::from(f32::MIN_POSITIVE) {
            step = 1.0;
        }
        // Twice a multiplier of few bits is another.
        step = self.rounded_up(idx, step);
        for _ in 0..MOST_DOUBLINGS {
            let mut weights: Vec<i8> = wanted.iter().map(|w| rounded_weight(w / step)).collect();
            if is_paired {
                weights.chunks_mut(m).for_each(|tap| make_safe(tap, first));
            }
            if let Some(channel) = self.finished(idx, weights, step, (&from, borders)) {
                return Ok(channel);
            }
            step *= 2.0;
        }
        Err(format!(
            "the sums of channel {idx} can't be kept below 2^31, expected numbers less far apart; compile the network in f32"
        ))
    }

    /// The scale of an output channel's bytes, where its multiplier makes them.
    fn scale(&self, idx: usize) -> Option<f64> {
        let bytes = self.bytes.filter(|_| is_clamp(self.node.activation))?;
        Some(f64::from(self.scales.get(idx).copied().unwrap_or(bytes.scale)))
    }

    /// The step, or the next larger one whose multiplier is of [few bits](crate::passes::Mantissas), where these are of use. A multiplier of
    /// many such bits hardly changes; where it is one of few, a step is so small against that of the output that the rounding of weights
    /// is far below that of the bytes.
    fn rounded_up(&self, idx: usize, step: f64) -> f64 {
        match self.scale(idx) {
            Some(scale) if self.addition.is_none() => {
                (step / scale / MULTIPLIER_STEP).ceil() * MULTIPLIER_STEP * scale
            }
            _ => step,
        }
    }

    /// With biases; `None` where a sum can't be proved.
    fn finished(
        &self,
        idx: usize,
        weights: Vec<i8>,
        step: f64,
        (from, borders): (&[(usize, usize)], &[Vec<usize>]),
    ) -> Option<Channel> {
        let Inputs { sums, inside, positions } = self.inputs;
        let m = self.input.channels;
        let mut total = 0.0;
        for (w, (tap, channel)) in weights.iter().zip(from) {
            let inputs = sums[tap * m + channel] as f64 + self.meaning.zero[*channel] * inside[*tap] as f64;
            total += f64::from(*w) * inputs;
        }
        let corrected = self.means[idx] - step * (total / *positions as f64);
        let start = corrected + self.zeros.get(idx).copied().unwrap_or(0.0);
        let mut constants = vec![0.0; inside.len()];
        for (w, (tap, channel)) in weights.iter().zip(from) {
            constants[*tap] += f64::from(*w) * self.meaning.zero[*channel];
        }
        let at = |inside: &Vec<usize>| -> Option<i32> {
            let constant: f64 = inside.iter().map(|tap| constants[*tap]).sum();
            let bias = (start / step + constant).round_ties_even();
            (bias.abs() < (1u64 << 31) as f64).then_some(bias as i32)
        };
        let bias: Option<Vec<i32>> = borders.iter().map(at).collect();
        let multiplier = (step / self.scale(idx).unwrap_or(1.0)) as f32;
        let addition = match &self.addition {
            Some(Addition::Channels(factors)) => Some(Addition::Channels(vec![factors[idx]])),
            _ => None,
        };
        let channel = Integer { weights, bias: bias?, multiplier: vec![multiplier], addition };
        let is_proved = multiplier.is_finite() && multiplier != 0.0 && channel.is_proved();
        is_proved.then_some(Channel { weights: channel.weights, bias: channel.bias, multiplier })
    }
}

fn rounded_weight(w: f64) -> i8 {
    let most = f64::from(MOST_WEIGHT);
    w.round_ties_even().clamp(-most, most) as i8
}

/// What the weights of one sign add up to of those whose products do, without the sign; of one tap, from such a channel on.
fn sums_of_tap(tap: &[f64], first: usize) -> impl Iterator<Item = f64> {
    together(first..first + tap.len()).flat_map(|channels| {
        [1.0, -1.0].map(|sign| channels.iter().map(|channel| (tap[*channel] * sign).max(0.0)).sum())
    })
}

/// Takes from the largest of those of one sign that are added up until they are small enough together.
fn make_safe(tap: &mut [i8], first: usize) {
    for channels in together(first..first + tap.len()) {
        for sign in [1, -1] {
            let size = |weight: i8| (i32::from(weight) * i32::from(sign)).max(0);
            while MOST_SUM < channels.iter().map(|channel| size(tap[*channel])).sum() {
                let largest = channels.iter().max_by_key(|channel| size(tap[**channel]));
                tap[*largest.expect("their sum is above 0")] -= sign;
            }
        }
    }
}
