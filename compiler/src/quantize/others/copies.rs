//! Weights of nine bits: uint8 less a zero point reaches from -255 to 255, which no signed byte holds.
//!
//! Such a weight is the sum of two or three that do. The layer reads each channel of its input so often, once for each: so many times the
//! work, and the same sum to the last bit.

use crate::graph::layer::{Activation, Layer};
use crate::graph::shape::{Shape, Window};
use crate::graph::tensor::{Dtype, Tensor};
use crate::passes::{Bytes, FusedId, FusedNode, Integer, MOST_WEIGHT};

const MOST: i32 = MOST_WEIGHT as i32;

/// Of how many signed bytes the weights are sums: one, where all of them are such.
pub(super) fn count(weights: &[i32]) -> usize {
    let most = weights.iter().map(|w| w.unsigned_abs()).max().unwrap_or(0);
    most.div_ceil(MOST.unsigned_abs()).max(1) as usize
}

/// Of weights in the order `[taps][M][N]`, those of a layer with so many copies of each input channel.
pub(super) fn split(weights: &[i32], n: usize, n_copies: usize) -> Vec<i8> {
    let part = |w: i32, copy: usize| {
        let left = w.abs() - copy as i32 * MOST;
        (w.signum() * left.clamp(0, MOST)) as i8
    };
    let copies = |row: &[i32]| -> Vec<i8> {
        (0..n_copies).flat_map(|copy| row.iter().map(move |w| part(*w, copy))).collect()
    };
    weights.chunks(n).flat_map(copies).collect()
}

/// The layer that reads them, of an input of so many channels.
pub(super) fn layer(layer: &Layer, channels: usize) -> Layer {
    match *layer {
        Layer::Depthwise { window, bias } => Layer::Grouped { window, n: channels, groups: channels, bias },
        ref same => same.clone(),
    }
}

/// The node behind one that has so many copies of each of its channels, one beside the other.
pub(super) fn of(node: &FusedNode, id: FusedId, bytes: Bytes, n_copies: usize) -> FusedNode {
    let shape = node.shape();
    let n = n_copies * shape.channels;
    let zero_point = bytes.zero_point;
    FusedNode {
        name: format!("{}_copies", node.value_name()),
        layer: Layer::Grouped { window: Window::POINTWISE, n, groups: shape.channels, bias: false },
        filter: None,
        activation: Activation::None,
        residual: None,
        inputs: vec![id],
        tensor: Tensor { dtype: Dtype::U8, shape: Shape { channels: n, ..shape } },
        bytes: Some(Bytes { low: 0, high: u8::MAX, ..bytes }),
        integer: Some(Integer {
            weights: vec![1; n],
            // What the zero point adds behind the product.
            bias: vec![-i32::from(zero_point); n],
            multiplier: vec![1.0; n],
            addition: None,
        }),
        scales: Vec::new(),
    }
}
