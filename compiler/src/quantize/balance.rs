//! Scales of single channels.
//!
//! The bytes of a value have one scale, but each channel may have a finer one for nothing: the layer before multiplies the sums of each
//! channel by a number anyway, and weights behind take the scale up. Bytes of a finer scale are rounded less. But they are larger too,
//! and so are the errors of the rounded weights that they meet: a channel gets the scale at which the two are least together, and never
//! one that its numbers don't fit.
//!
//! Additions by themselves, means and products by a gate take channel for channel. Their operands and results share how much finer each
//! channel is than the value: then one number for all channels says how bytes become those of the result. An addition that is part of a
//! layer has a factor for each channel.

use super::check::Form;
use super::ranges;
use super::statistics::{Norm, Seen};
use super::weights;
use crate::graph::layer::Layer;
use crate::passes::{Bytes, Fused, FusedId, FusedNode, MOST_WEIGHT, is_clamp};

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
    /// By node, how it is computed.
    pub(super) forms: &'a [Form],
}

/// What the bytes of a node stand for.
#[derive(Clone, Debug, Default)]
pub(super) struct Scales {
    /// Of its value; none where that is numbers.
    pub(super) bytes: Option<Bytes>,
    /// The scale of each channel of the value; none where all are the same.
    pub(super) of_channels: Vec<f32>,
}

impl Known<'_> {
    /// Of every node; or the first of which the numbers aren't finite.
    pub(super) fn scales(&self) -> Result<Vec<Scales>, usize> {
        let nodes = &self.network.nodes;
        let mut all = vec![Scales::default(); nodes.len()];
        for (idx, node) in nodes.iter().enumerate().skip(1).filter(|(idx, _)| self.forms[*idx].has_bytes) {
            all[idx].bytes = Some(ranges::bytes(node, &self.seen[idx], self.norms[idx].as_ref()).ok_or(idx)?);
        }
        let (groups, is_same) = self.groups();
        for (group, is_same) in is_same.iter().enumerate().skip(1) {
            let is_member = |idx: &usize| groups[*idx] == group && all[*idx].bytes.is_some();
            let members: Vec<usize> = (1..nodes.len()).filter(is_member).collect();
            if !is_same && !members.is_empty() {
                self.balance(&members, &mut all);
            }
        }
        Ok(all)
    }

    /// By node its group: values that share how much finer their channels are; and by group whether none is.
    fn groups(&self) -> (Vec<usize>, Vec<bool>) {
        let nodes = &self.network.nodes;
        let mut groups: Vec<usize> = (0..nodes.len()).collect();
        let mut is_same = vec![false; nodes.len()];
        let tie = |groups: &mut Vec<usize>, is_same: &mut Vec<bool>, a: usize, b: usize| {
            let (kept, joined) = (groups[a].min(groups[b]), groups[a].max(groups[b]));
            is_same[kept] |= is_same[joined];
            groups.iter_mut().filter(|group| **group == joined).for_each(|group| *group = kept);
        };
        let in_integers = nodes.iter().enumerate().skip(1).filter(|(idx, _)| !self.forms[*idx].in_f32);
        for (idx, node) in in_integers {
            let pixels = |id: FusedId| nodes[id.0].shape().pixels();
            match (&node.layer, node.inputs.as_slice()) {
                (Layer::Add, [a, b]) => {
                    tie(&mut groups, &mut is_same, a.0, idx);
                    tie(&mut groups, &mut is_same, b.0, idx);
                }
                (Layer::Multiply, [a, b]) => {
                    let (map, gate) = if pixels(*a) < pixels(*b) { (*b, *a) } else { (*a, *b) };
                    is_same[groups[gate.0]] = true;
                    is_same[groups[idx]] |= pixels(map) == pixels(gate) || !is_clamp(node.activation);
                    tie(&mut groups, &mut is_same, map.0, idx);
                }
                (_, [input]) if node.filter.is_none() => tie(&mut groups, &mut is_same, input.0, idx),
                _ => {}
            }
            // What makes numbers of bytes without weights has one multiplier.
            if !self.forms[idx].has_bytes && node.filter.is_none() {
                is_same[groups[idx]] = true;
            }
        }
        (groups, is_same)
    }

    /// Gives the channels of some values their scales.
    fn balance(&self, members: &[usize], all: &mut [Scales]) {
        // How fine each channel may be, as a share of the value.
        let mut least = vec![LEAST; self.network.nodes[members[0]].shape().channels];
        for idx in members {
            let bytes = all[*idx].bytes.as_mut().expect("members have bytes");
            let (with_zero_point, scales) = self.least_scales(*idx, *bytes);
            *bytes = with_zero_point;
            let shares = scales.iter().map(|scale| scale / f64::from(bytes.scale));
            least.iter_mut().zip(shares).for_each(|(least, share)| *least = least.max(share));
        }
        let mut shares: Vec<f64> = least.iter().map(|least| least.min(1.0)).collect();
        for _ in 0..ROUNDS {
            let mut noise = vec![(0.0, 0.0); shares.len()];
            for idx in members {
                let whole = f64::from(all[*idx].bytes.expect("members have bytes").scale);
                let scales: Vec<f64> = shares.iter().map(|share| whole * share).collect();
                let reads = |node: &&FusedNode| node.filter.is_some() && node.inputs[0].0 == *idx;
                for reader in self.network.nodes.iter().enumerate().filter(|(_, node)| reads(node)) {
                    let more = self.noise(*idx, reader.0, &scales);
                    for (noise, (of_bytes, of_weights)) in noise.iter_mut().zip(more) {
                        noise.0 += of_bytes * whole * whole;
                        noise.1 += of_weights / (whole * whole);
                    }
                }
            }
            for (share, ((of_bytes, of_weights), least)) in
                shares.iter_mut().zip(noise.into_iter().zip(&least))
            {
                let best = if 0.0 < of_bytes { (of_weights / of_bytes).sqrt().sqrt() } else { 1.0 };
                *share = (best * COARSER).max(*least).min(1.0);
            }
        }
        let largest = shares.iter().copied().fold(0.0, f64::max);
        if shares.iter().all(|share| *share == largest) {
            return;
        }
        for idx in members {
            let Scales { bytes, of_channels } = &mut all[*idx];
            let bytes = bytes.as_mut().expect("members have bytes");
            // The scale of the value is the largest.
            bytes.scale = (f64::from(bytes.scale) * largest) as f32;
            let whole = f64::from(bytes.scale);
            of_channels.extend(shares.iter().map(|share| (whole * (share / largest)) as f32));
        }
    }

    /// The finest scale of each channel that its numbers fit, and bytes with the zero point with which these are finest together.
    fn least_scales(&self, idx: usize, bytes: Bytes) -> (Bytes, Vec<f64>) {
        let (zero, scale) = (f64::from(bytes.zero_point), f64::from(bytes.scale));
        let all = (-zero * scale, (255.0 - zero) * scale);
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
        let (node, seen) = (&self.network.nodes[idx], &self.seen[idx]);
        let mut least = MARGIN * f64::from(seen.least_of[channel]);
        let mut most = MARGIN * f64::from(seen.most_of[channel]);
        // Means and deviations are those before an addition.
        if node.filter.is_some() && !node.adds() {
            let spread = DEVIATIONS * seen.deviation[channel];
            let norm = self.norms[idx].as_ref();
            most = most.max(norm.map_or(seen.mean[channel] + spread, |norm| norm.most_of(channel)));
            least = least.min(seen.mean[channel] - spread);
        }
        (least.clamp(low, 0.0), most.clamp(0.0, high))
    }

    /// Of each channel that a layer with weights reads: what a square of its scale is worth in the squares of the layer's errors, and what
    /// one over a square of it is. Errors of an output channel count as shares of its deviation.
    fn noise(&self, idx: usize, reader: usize, scales: &[f64]) -> Vec<(f64, f64)> {
        let (node, power) = (&self.network.nodes[reader], &self.seen[idx].power);
        let Some(filter) = &node.filter else { unreachable!("only layers with weights are asked") };
        let n = filter.bias.len();
        let deviation = |channel: usize| self.seen[reader].deviation[channel].powi(2).max(1e-12);
        let reads = weights::reads(&node.layer, scales.len(), n);
        let mut steps = vec![0.0f64; n];
        let each = |k: usize, channel: usize| f64::from(filter.weights[k * n + channel]);
        for k in 0..filter.weights.len() / n {
            for (channel, step) in steps.iter_mut().enumerate() {
                *step =
                    step.max(each(k, channel).abs() * scales[reads(k, channel).1] / f64::from(MOST_WEIGHT));
            }
        }
        let mut noise = vec![(0.0, 0.0); scales.len()];
        for k in 0..filter.weights.len() / n {
            for (channel, step) in steps.iter().enumerate() {
                let (_, input) = reads(k, channel);
                let w = each(k, channel);
                noise[input].0 += w * w / deviation(channel);
                // A depthwise channel's step follows its scale, and weights in f32 have none.
                if !matches!(node.layer, Layer::Depthwise { .. }) && !self.forms[reader].in_f32 {
                    noise[input].1 += step * step * power[input] / deviation(channel);
                }
            }
        }
        noise
    }
}
