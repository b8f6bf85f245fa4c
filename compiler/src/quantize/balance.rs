//! Scales of single channels.
//!
//! The bytes of a value have one scale, but each channel may have a finer one for nothing: the layer before multiplies the sums of each
//! channel by a number anyway, and weights behind take the scale up. Bytes of a finer scale are rounded less. But they are larger too,
//! and so are the errors of the rounded weights that they meet: a channel gets the scale at which the two are least together, and never
//! one that its numbers don't fit.
//!
//! A layer that keeps the scales of its inputs (a pool with a window, a concat, an upsampling) ties values closer: they have one zero
//! point and one range, and each channel the same scale before and behind.
//!
//! Additions by themselves, means and products by a gate take channel for channel. Their operands and results share how much finer each
//! channel is than the value: then one number for all channels says how bytes become those of the result. An addition that is part of a
//! layer has a factor for each channel.

use std::collections::HashMap;

use super::check::{Form, kept_together};
use super::ranges;
use super::statistics::{Norm, Seen};
use super::weights;
use crate::graph::layer::Layer;
use crate::passes::{Bytes, Fused, FusedId, FusedNode, MOST_WEIGHT, Ties, is_clamp};

/// Values that share how much finer their channels are.
struct Groups {
    /// By node.
    of: Vec<usize>,
    /// By group, whether no channel is finer.
    is_same: Vec<bool>,
    /// Which channels they share it for.
    channels: Ties,
    /// By node, the first of those whose bytes have one range.
    together: Vec<usize>,
}

impl Groups {
    /// Ties the channels of a value to those of another, from such a channel of that on.
    fn tie(&mut self, network: &Fused, a: usize, (b, first): (usize, usize)) {
        let (kept, joined) = (self.of[a].min(self.of[b]), self.of[a].max(self.of[b]));
        self.is_same[kept] |= self.is_same[joined];
        self.of.iter_mut().filter(|group| **group == joined).for_each(|group| *group = kept);
        (0..network.nodes[a].shape().channels)
            .for_each(|channel| self.channels.tie((a, channel), (b, first + channel)));
    }
}

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
        let own: Vec<Option<Bytes>> = all.iter().map(|scales| scales.bytes).collect();
        let mut groups = self.groups();
        let n_together = |first: usize| groups.together.iter().filter(|of| **of == first).count();
        let joint: Vec<usize> = (1..nodes.len()).filter(|idx| 1 < n_together(*idx)).collect();
        for first in &joint {
            let of_values: Vec<Bytes> =
                self.makers(&groups, *first).iter().filter_map(|idx| own[*idx]).collect();
            let bytes = ranges::joint(&of_values).ok_or(*first)?;
            let members = (1..nodes.len()).filter(|idx| groups.together[*idx] == *first);
            members.for_each(|idx| all[idx].bytes = Some(bytes));
        }
        for group in 1..nodes.len() {
            let is_member = |idx: &usize| groups.of[*idx] == group && all[*idx].bytes.is_some();
            let members: Vec<usize> = (1..nodes.len()).filter(is_member).collect();
            if !groups.is_same[group] && !members.is_empty() {
                self.balance(&members, &own, &mut groups, &mut all);
            }
        }
        for idx in joint.iter().flat_map(|first| self.makers(&groups, *first)) {
            let Bytes { scale, zero_point, .. } = all[idx].bytes.expect("it has a joint range");
            all[idx].bytes = Some(ranges::bounded(scale, zero_point, nodes[idx].activation));
        }
        Ok(all)
    }

    /// Of the values that have one range, those that no layer has kept from its inputs.
    fn makers(&self, groups: &Groups, first: usize) -> Vec<usize> {
        let is_maker = |idx: &usize| groups.together[*idx] == first && !self.forms[*idx].keeps_bytes;
        (1..self.network.nodes.len()).filter(is_maker).collect()
    }

    fn groups(&self) -> Groups {
        let nodes = &self.network.nodes;
        let mut groups = Groups {
            of: (0..nodes.len()).collect(),
            is_same: vec![false; nodes.len()],
            channels: Ties::new(self.network),
            together: kept_together(self.network, self.forms),
        };
        let in_integers = nodes.iter().enumerate().skip(1).filter(|(idx, _)| !self.forms[*idx].in_f32);
        for (idx, node) in in_integers {
            let pixels = |id: FusedId| nodes[id.0].shape().pixels();
            match (&node.layer, node.inputs.as_slice()) {
                (layer, inputs) if layer.keeps_scales() => {
                    let mut first = 0;
                    for input in inputs {
                        groups.tie(self.network, input.0, (idx, first));
                        first += nodes[input.0].shape().channels;
                    }
                }
                (Layer::Add, [a, b]) => {
                    groups.tie(self.network, a.0, (idx, 0));
                    groups.tie(self.network, b.0, (idx, 0));
                }
                (Layer::Multiply, [a, b]) => {
                    let (map, gate) = if pixels(*a) < pixels(*b) { (*b, *a) } else { (*a, *b) };
                    groups.is_same[groups.of[gate.0]] = true;
                    groups.is_same[groups.of[idx]] |=
                        pixels(map) == pixels(gate) || !is_clamp(node.activation);
                    groups.tie(self.network, map.0, (idx, 0));
                }
                (_, [input]) if node.filter.is_none() => groups.tie(self.network, input.0, (idx, 0)),
                _ => {}
            }
            // What makes numbers of bytes without weights has one multiplier.
            if !self.forms[idx].has_bytes && node.filter.is_none() {
                groups.is_same[groups.of[idx]] = true;
            }
        }
        groups
    }

    /// Gives the channels of some values their scales.
    fn balance(&self, members: &[usize], own: &[Option<Bytes>], groups: &mut Groups, all: &mut [Scales]) {
        let (sets, n_sets) = self.sets(members, groups);
        // How fine each channel may be, and how coarse, as a share of the value.
        let (mut least, mut most) = (vec![LEAST; n_sets], vec![1.0f64; n_sets]);
        for first in members.iter().filter(|idx| groups.together[**idx] == **idx) {
            let makers = self.makers(groups, *first);
            let (bytes, scales) =
                self.least_scales(&makers, own, all[*first].bytes.expect("members have bytes"));
            let mut scales = scales.iter();
            for idx in makers {
                let node = &self.network.nodes[idx];
                let most_share = ranges::most_share(bytes, node.activation);
                for (set, scale) in sets[idx].iter().zip(scales.by_ref()) {
                    least[*set] = least[*set].max(scale / f64::from(bytes.scale));
                    most[*set] = most[*set].min(most_share);
                }
            }
            let together = members.iter().filter(|idx| groups.together[**idx] == *first);
            together.for_each(|idx| all[*idx].bytes = Some(bytes));
        }
        let mut shares: Vec<f64> = least.iter().zip(&most).map(|(least, most)| least.min(*most)).collect();
        for _ in 0..ROUNDS {
            let mut noise = vec![(0.0, 0.0); shares.len()];
            for idx in members {
                let whole = f64::from(all[*idx].bytes.expect("members have bytes").scale);
                let scales: Vec<f64> = sets[*idx].iter().map(|set| whole * shares[*set]).collect();
                let reads = |node: &&FusedNode| node.filter.is_some() && node.inputs[0].0 == *idx;
                for reader in self.network.nodes.iter().enumerate().filter(|(_, node)| reads(node)) {
                    let more = self.noise(*idx, reader.0, &scales);
                    for (set, (of_bytes, of_weights)) in sets[*idx].iter().zip(more) {
                        noise[*set].0 += of_bytes * whole * whole;
                        noise[*set].1 += of_weights / (whole * whole);
                    }
                }
            }
            for (share, ((of_bytes, of_weights), (least, most))) in
                shares.iter_mut().zip(noise.into_iter().zip(least.iter().zip(&most)))
            {
                let best = if 0.0 < of_bytes { (of_weights / of_bytes).sqrt().sqrt() } else { 1.0 };
                *share = (best * COARSER).max(*least).min(*most);
            }
        }
        if shares.iter().all(|share| *share == shares[0]) && most.iter().all(|most| *most == 1.0) {
            return;
        }
        for idx in members {
            let Scales { bytes, of_channels } = &mut all[*idx];
            let bytes = bytes.as_mut().expect("members have bytes");
            let of_sets: Vec<f64> = sets[*idx].iter().map(|set| shares[*set]).collect();
            let largest = of_sets.iter().copied().fold(0.0, f64::max);
            // The scale of the value is the largest.
            bytes.scale = (f64::from(bytes.scale) * largest) as f32;
            let whole = f64::from(bytes.scale);
            if of_sets.iter().any(|share| *share != largest) {
                of_channels.extend(of_sets.iter().map(|share| (whole * (share / largest)) as f32));
            }
        }
    }

    /// By node of a group, of each channel the set for which one share is chosen; and how many sets there are.
    fn sets(&self, members: &[usize], groups: &mut Groups) -> (Vec<Vec<usize>>, usize) {
        let nodes = &self.network.nodes;
        let mut sets = vec![Vec::new(); nodes.len()];
        let mut known = HashMap::new();
        for idx in members {
            let set = |channel| {
                let (set, n_known) = (groups.channels.set(*idx, channel), known.len());
                *known.entry(set).or_insert(n_known)
            };
            sets[*idx] = (0..nodes[*idx].shape().channels).map(set).collect();
        }
        (sets, known.len())
    }

    /// The finest scale of each channel that its numbers fit, value by value of those that have one range, and bytes with the zero point with
    /// which these are finest together.
    fn least_scales(&self, makers: &[usize], own: &[Option<Bytes>], bytes: Bytes) -> (Bytes, Vec<f64>) {
        let all = ranges::reach(bytes);
        let of_maker = |idx: &usize| {
            let own = ranges::reach(own[*idx].expect("members have bytes"));
            let n_channels = self.network.nodes[*idx].shape().channels;
            (0..n_channels).map(|channel| self.range(*idx, channel, own)).collect::<Vec<_>>()
        };
        let ranges: Vec<(f64, f64)> = makers.iter().flat_map(of_maker).collect();
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
