//! Which numbers the bytes of a value stand for.

use super::statistics::{Norm, Seen};
use crate::graph::layer::Activation;
use crate::passes::{Bytes, FusedNode};

/// What a plain ReLU may give beyond the largest number of the calibration, where nothing else is known of it: clipping costs more than
/// a coarser scale.
const MARGIN: f64 = 1.3;

/// The bytes of the output of a node; `None` where it isn't finite.
pub(super) fn bytes(node: &FusedNode, seen: &Seen, norm: Option<&Norm>) -> Option<Bytes> {
    let [least, most] = [seen.least, seen.most].map(f64::from);
    let (least, most) = match node.activation {
        Activation::Relu6 => (0.0, 6.0),
        Activation::HardSigmoid | Activation::Sigmoid => (0.0, 1.0),
        Activation::Relu => {
            // What lies beyond is so rare that a finer scale is worth more.
            let known = norm.map(Norm::most).filter(|known| 0.0 < *known);
            (0.0, known.unwrap_or(MARGIN * most))
        }
        // Means of other pictures are soon larger, and clipped means are lost for all that follows.
        Activation::None if node.filter.is_none() && node.inputs.len() == 1 => {
            (MARGIN * least.min(0.0), MARGIN * most.max(0.0))
        }
        Activation::None | Activation::LeakyRelu { .. } | Activation::HardSwish | Activation::Swish => {
            (least.min(0.0), most.max(0.0))
        }
    };
    between(least, most)
}

/// The bytes of a scale that is known already, between what an activation gives. One that is more than bounds may give every byte.
pub(super) fn bounded(scale: f32, zero_point: u8, activation: Activation) -> Bytes {
    let (low, high) = match activation {
        Activation::Relu => (zero_point, u8::MAX),
        // A cast keeps within the bytes.
        Activation::Relu6 => (zero_point, (f32::from(zero_point) + (6.0 / scale).round()) as u8),
        Activation::None
        | Activation::LeakyRelu { .. }
        | Activation::HardSigmoid
        | Activation::HardSwish
        | Activation::Sigmoid
        | Activation::Swish => (0, u8::MAX),
    };
    Bytes { scale, zero_point, low, high }
}

/// The bytes of several values that stand for the same.
pub(super) fn joint(of_values: &[Bytes]) -> Option<Bytes> {
    let reached = of_values.iter().map(|bytes| reach(*bytes));
    let (least, most) = reached.fold((0.0, 0.0), |(low, high), reach| (reach.0.min(low), reach.1.max(high)));
    between(least, most)
}

/// Between which numbers 256 bytes stay.
pub(super) fn reach(Bytes { scale, zero_point, .. }: Bytes) -> (f64, f64) {
    let (zero, scale) = (f64::from(zero_point), f64::from(scale));
    (-zero * scale, (255.0 - zero) * scale)
}

/// The largest scale of a channel behind an activation, as a share of that of the value: where an activation ends at a number, the
/// highest byte may stand for no more, for nothing else cuts there.
pub(super) fn most_share(bytes: Bytes, activation: Activation) -> f64 {
    // Of a value's own bytes f32 may have rounded the scale.
    const ROUNDED: f64 = 1.0 + 1e-6;
    let (_, most) = reach(bytes);
    if activation == Activation::Relu6 && 6.0 * ROUNDED < most { 6.0 / most } else { 1.0 }
}

fn between(least: f64, most: f64) -> Option<Bytes> {
    // A value that is 0 on every picture has any scale.
    let range = if most - least > f64::from(f32::MIN_POSITIVE) * 1e6 { most - least } else { 1.0 };
    let scale = (range / 255.0) as f32;
    let zero_point = (-least / f64::from(scale)).round().clamp(0.0, 255.0) as u8;
    let reaches = (range.is_finite() && scale.is_finite()).then_some(scale)?;
    // What an activation can't give isn't given.
    let low = if least < 0.0 { 0 } else { zero_point };
    Some(Bytes { scale: reaches, zero_point, low, high: 255 })
}
