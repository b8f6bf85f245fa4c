//! Between which bytes the channels of a layer in integers stay: its sums are exact, so the intervals of their terms add up.

use super::spans::{Span, rises};
use super::{Numbers, Reads, Summing};
use crate::graph::layer::Layer;
use crate::graph::shape::Shape;
use crate::passes::{Bytes, FusedNode, Integer, factors, finish};

/// Sums of which each is looked at where the activation is no rising function.
const FEW_SUMS: i64 = 4096;

/// Of a node with bytes, the span of each channel; nothing of another.
pub(super) fn spans_of(
    node: &FusedNode,
    summing: Option<&Summing<'_>>,
    input: (Shape, &[Span]),
) -> Vec<Span> {
    let n = node.shape().channels;
    match (node.bytes, summing) {
        // The input's bytes stand for what its channels say.
        (None, _) if node.layer == Layer::Input => vec![Span { low: 0.0, high: u8::MAX.into() }; n],
        (None, _) => Vec::new(),
        (Some(bytes), Some(Summing { numbers: Numbers::Integers(numbers), reads, .. }))
            if numbers.addition.is_none() =>
        {
            let sums = sums(node, numbers, *reads, input);
            let scaled = numbers.multiplier.iter().copied().cycle().zip(factors(node));
            sums.iter().zip(scaled).map(|(sums, scaled)| span(node, bytes, *sums, scaled)).collect()
        }
        (Some(bytes), _) => vec![Span::of_bytes(bytes); n],
    }
}

/// The bytes that such sums become, with what they are multiplied by before and behind the activation.
fn span(node: &FusedNode, bytes: Bytes, (least, most): (i64, i64), (multiplier, factor): (f32, f32)) -> Span {
    let byte = |sum: i64| finish(node, sum as f32 * multiplier, factor);
    let (a, b) = (byte(least), byte(most));
    if rises(node.activation) {
        return Span::of(a).joined(Span::of(b));
    }
    if FEW_SUMS <= most - least {
        return Span::of_bytes(bytes);
    }
    (least..=most).map(|sum| Span::of(byte(sum))).fold(Span::of(a), Span::joined)
}

/// Between which numbers the sums of each output channel stay, at any border.
fn sums(
    node: &FusedNode,
    numbers: &Integer,
    reads: Reads,
    (input, spans): (Shape, &[Span]),
) -> Vec<(i64, i64)> {
    let n = numbers.multiplier.len();
    let (m, per_group) = match reads {
        Reads::All => (input.channels, n),
        Reads::Group { m, n } => (m, n),
        Reads::Pixels => {
            let (bias, pixels) = (i64::from(numbers.bias[0]), input.pixels() as i64);
            let sum = |byte: f32| bias + pixels * byte as i64;
            return spans.iter().map(|span| (sum(span.low), sum(span.high))).collect();
        }
    };
    let add_tap = |sums: &mut [(i64, i64)], tap: &[i8]| {
        for (input, weights) in tap.chunks(n).enumerate() {
            for (channel, (sum, w)) in sums.iter_mut().zip(weights).enumerate() {
                let Span { low, high } = spans[channel / per_group * m + input];
                let [low, high] = [low, high].map(|byte| i64::from(*w) * byte as i64);
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
