//! What a node computes in integers: the numbers of a quantised network.
//!
//! A byte q of a value stands for scale (q - zero point). A layer's weights are signed bytes, one scale for each output channel, and
//! its sum, the bias and then byte times weight for each tap inside of the map, is an exact i32. What happens to the sum is said by
//! [`Integer`] and [`Bytes`], operation by operation, in [`crate::reference`] and in docs/arithmetic.md.

use std::borrow::Cow;

use super::FusedNode;
use crate::graph::layer::{Activation, Layer};
use crate::graph::shape::Shape;

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

/// The numbers of a layer that computes in integers.
#[derive(Clone, Debug, PartialEq)]
pub struct Integer {
    /// In the order of [`super::Filter::weights`]; none for a layer without weights.
    pub weights: Vec<i8>,
    /// What the sums start from: for each of the window's [borders](crate::graph::shape::Window::borders) the numbers of all N channels;
    /// one number for a layer without weights.
    pub bias: Vec<i32>,
    /// What the sum is multiplied by as an f32: of each of the N channels; one number for a layer without weights.
    pub multiplier: Vec<f32>,
}

/// The largest weight; its opposite is the smallest.
pub const MOST_WEIGHT: i8 = 127;

impl Integer {
    /// The largest absolute value that the sum of a channel can take at any point, whatever the bytes of the input are.
    pub fn bound(&self, channel: usize) -> i64 {
        let n = self.multiplier.len();
        let magnitudes = self.weights.iter().skip(channel).step_by(n);
        let products: i64 = magnitudes.map(|w| i64::from(w.unsigned_abs()) * 255).sum();
        let bias = self.bias.iter().skip(channel).step_by(n).map(|bias| i64::from(bias.unsigned_abs()));
        products + bias.max().unwrap_or(0)
    }

    /// Whether each of its sums stays below 2^31, and so does what it becomes before it is rounded.
    pub fn is_proved(&self) -> bool {
        const MOST: i64 = 1 << 31;
        self.multiplier.iter().enumerate().all(|(channel, multiplier)| {
            let bound = self.bound(channel);
            bound < MOST && (bound as f64) * f64::from(multiplier.abs()) < MOST as f64
        })
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

    /// Asserts the lengths that the node's layer asks for.
    pub(super) fn verify(&self, node: &FusedNode, input: Shape) {
        let (name, layer) = (&node.name, &node.layer);
        let n_borders = layer.window().map_or(1, |window| window.borders((input.height, input.width)).len());
        let filter = layer.filter(input);
        let (n, n_weights) = filter.map_or((1, 0), |filter| (filter.n, filter.n_weights()));
        assert_eq!(self.weights.len(), n_weights, "{name}: weights have the layer's extent");
        assert_eq!(self.bias.len(), n * n_borders, "{name}: every border has its bias");
        assert_eq!(self.multiplier.len(), n, "{name}: every channel has a multiplier");
        assert!(filter.is_none() || self.is_proved(), "{name}: no sum leaves an i32");
        assert!(self.multiplier.iter().all(|m| m.is_finite()), "{name}: multipliers are finite");
        let is_pool = *layer == Layer::GlobalAveragePool;
        assert!(filter.is_some() || is_pool, "{name}: the layer computes in integers");
    }
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
