//! Scales of single channels.
//!
//! The bytes of a value have one scale, but where only layers with weights read it each channel may have a finer one for nothing: the
//! layer before multiplies its sums by a number of each channel anyway, and the weights behind take the scale up. Bytes of a finer
//! scale are rounded less. But they are larger too, and so are the errors of the rounded weights that they meet: a channel gets the
//! scale at which the two are least together, and never one that its numbers don't fit.

use super::statistics::{Norm, Seen};
use crate::graph::layer::Layer;
use crate::passes::{Bytes, Fused, FusedNode, MOST_WEIGHT};

/// A channel's scale, at least, as a share of the largest.
const LEAST: f64 = 1.0 / 64.0;
/// The steps of the weights behind depend on the scales before: rounds until both have settled.
const ROUNDS: usize = 4;
/// What other pictures may show of a single channel, of which those of the calibration show less than of all together: so many times the
/// largest number seen, and so many deviations from the mean. With 1 and 6 the clipped numbers cost MobileNetV1 0.5 three decibels.
const MARGIN: f64 = 2.0;
const DEVIATIONS: f64 = 10.0;
/// Zero points that are tried for numbers of both signs.
const ZERO_POINTS: [u8; 10] = [16, 24, 32, 48, 64, 96, 128, 160, 192, 224];

/// How much coarser a scale is than where both errors are least together, which leaves room for numbers that no picture showed. With 1
/// the logits of MobileNetV1 0.5 lose 1.4 dB, those of the person detector 1.7.
const COARSER: f64 = 1.5;

/// What is known of a network in f32.
pub(super) struct Known<'a> {
    pub(super) network: &'a Fused,
    pub(super) seen: &'a [Seen],
    pub(super) norms: &'a [Option<Norm>],
}

impl Known<'_> {
    /// For a value with such bytes: those that it gets, and the scale of each channel; none where all have that of the bytes.
    pub(super) fn balanced(&self, idx: usize, bytes: Bytes) -> (Bytes, Vec<f32>) {
        let node = &self.network.nodes[idx];
        let is_free = node.filter.is_some() && node.residual.is_none();
        if !is_free || self.network.outputs.iter().any(|id| id.0 == idx) {
            return (bytes, Vec::new());
        }
        let readers: Vec<usize> = (0..self.network.nodes.len())
            .filter(|reader| self.network.nodes[*reader].inputs.iter().any(|id| id.0 == idx))
            .collect();
        let has_weights = |reader: &usize| {
            let reader = &self.network.nodes[*reader];
            let is_residual = reader.inputs[1..].iter().any(|id| id.0 == idx);
            reader.filter.is_some() && !is_residual
        };
        if !readers.iter().all(has_weights) {
            return (bytes, Vec::new());
        }
        let (bytes, least) = self.least_scales(idx, bytes);
        let whole = f64::from(bytes.scale);
        let mut scales = least.clone();
        for _ in 0..ROUNDS {
            let noise = readers.iter().map(|reader| self.noise(idx, *reader, &scales));
            let noise = noise.reduce(|a, b| a.iter().zip(&b).map(|(a, b)| (a.0 + b.0, a.1 + b.1)).collect());
            for (idx, (of_bytes, of_weights)) in noise.unwrap_or_default().into_iter().enumerate() {
                let best = if 0.0 < of_bytes { (of_weights / of_bytes).sqrt().sqrt() } else { whole };
                scales[idx] = (best * COARSER).min(whole).max(least[idx]);
            }
        }
        let scales: Vec<f32> = scales.iter().map(|scale| *scale as f32).collect();
        let largest = scales.iter().copied().fold(0.0, f32::max);
        let is_same = scales.iter().all(|scale| *scale == largest);
        (Bytes { scale: largest, ..bytes }, if is_same { Vec::new() } else { scales })
    }

    /// The finest scale of each channel that its numbers fit, and bytes with the zero point with which these are finest together.
    fn least_scales(&self, idx: usize, bytes: Bytes) -> (Bytes, Vec<f64>) {
        let reach = |bytes: Bytes| {
            let (zero, scale) = (f64::from(bytes.zero_point), f64::from(bytes.scale));
            (-zero * scale, (255.0 - zero) * scale)
        };
        let all = reach(bytes);
        let n_channels = self.network.nodes[idx].shape().channels;
        let ranges: Vec<(f64, f64)> = (0..n_channels).map(|channel| self.range(idx, channel, all)).collect();
        let with = |zero_point: u8| {
            let zero = f64::from(zero_point);
            let fits = |(low, high): (f64, f64)| {
                let below = if zero_point == 0 { 0.0 } else { -low / zero };
                below.max(high / (255.0 - zero))
            };
            let whole = fits(all);
            let scales = ranges.iter().map(|range| fits(*range).clamp(whole * LEAST, whole)).collect();
            (Bytes { scale: whole as f32, zero_point, ..bytes }, scales)
        };
        if bytes.zero_point == 0 {
            return with(0);
        }
        let tried = ZERO_POINTS.into_iter().chain([bytes.zero_point]).map(with);
        let size = |scales: &Vec<f64>| scales.iter().map(|scale| scale.ln()).sum::<f64>();
        tried.min_by(|a, b| size(&a.1).total_cmp(&size(&b.1))).expect("some are tried")
    }

    /// Between which numbers a channel stays; those of the whole value are known.
    fn range(&self, idx: usize, channel: usize, (low, high): (f64, f64)) -> (f64, f64) {
        let (seen, norm) = (&self.seen[idx], &self.norms[idx]);
        let spread = DEVIATIONS * seen.deviation[channel];
        let most = norm.as_ref().map_or(seen.mean[channel] + spread, |norm| norm.most_of(channel));
        let most = most.max(MARGIN * f64::from(seen.most_of[channel]));
        let least = (seen.mean[channel] - spread).min(MARGIN * f64::from(seen.least_of[channel]));
        (least.clamp(low, 0.0), most.clamp(0.0, high))
    }

    /// Of each channel that a layer with weights reads: what a square of its scale is worth in the squares of the layer's errors, and what
    /// one over a square of it is. Errors of an output channel count as shares of its deviation.
    fn noise(&self, idx: usize, reader: usize, scales: &[f64]) -> Vec<(f64, f64)> {
        let (node, power) = (&self.network.nodes[reader], &self.seen[idx].power);
        let Some(filter) = &node.filter else { unreachable!("only layers with weights are asked") };
        let n = filter.bias.len();
        let deviation = |channel: usize| self.seen[reader].deviation[channel].powi(2).max(1e-12);
        let reads = reads(node, scales.len(), n);
        let mut steps = vec![0.0f64; n];
        let each = |k: usize, channel: usize| f64::from(filter.weights[k * n + channel]);
        for k in 0..filter.weights.len() / n {
            for (channel, step) in steps.iter_mut().enumerate() {
                *step = step.max(each(k, channel).abs() * scales[reads(k, channel)] / f64::from(MOST_WEIGHT));
            }
        }
        let mut noise = vec![(0.0, 0.0); scales.len()];
        for k in 0..filter.weights.len() / n {
            for (channel, step) in steps.iter().enumerate() {
                let input = reads(k, channel);
                let w = each(k, channel);
                noise[input].0 += w * w / deviation(channel);
                // A depthwise channel's step follows its scale.
                if !matches!(node.layer, Layer::Depthwise { .. }) {
                    noise[input].1 += step * step * power[input] / deviation(channel);
                }
            }
        }
        noise
    }
}

/// The input channel of a weight: of so many of them, by its place before the output channel and by that.
fn reads(node: &FusedNode, channels: usize, n: usize) -> impl Fn(usize, usize) -> usize {
    let (m, per_group) = match node.layer {
        Layer::Depthwise { .. } => (1, 1),
        Layer::Grouped { groups, .. } => (channels / groups, n / groups),
        _ => (channels, n),
    };
    move |k, channel| channel / per_group * m + k % m
}
