//! The paper's equations in plain loops: the definition of correct.
//!
//! Every output element is one chain of fused multiply-adds: it starts from the bias and takes kernel rows, kernel columns
//! and input channels in ascending order, each step rounded once to f32 ([`f32::mul_add`]). No reader, tile, lane count or
//! number of threads may change a bit of it, and tests compare with `==`.
//!
//! What the corners do:
//! - **Padding**: a tap outside the feature map is outside the chain: it is skipped, not multiplied with zero. (The
//!   difference shows in the sign of zero only, and in what an infinite weight would do.)
//! - **NaN** in the input propagates through every layer, activations included, to each output that depends on it. Which NaN
//!   (sign and payload) is the processor's choice; its position is not.
//! - **-0** stays -0 through an activation; an average starts from +0.
//! - **Infinities** behave as IEEE 754 says: `relu6(inf)` is 6, `relu(inf)` is inf.
//! - **Denormals** are kept: no reader flushes them to zero.

use crate::graph::layer::Activation;
use crate::graph::shape::{Shape, Window};
use crate::passes::{Fused, FusedNode, FusedOp};

/// The outputs of every node for one input, by [`FusedId`](crate::passes::FusedId), each in NHWC order.
///
/// # Panics
/// When the input's length is not that of node 0.
pub fn run(network: &Fused, input: &[f32]) -> Vec<Vec<f32>> {
    assert_eq!(input.len(), network.nodes[0].shape.len(), "the input has the shape of the input node");
    let mut values: Vec<Vec<f32>> = Vec::with_capacity(network.nodes.len());
    for node in &network.nodes {
        let value = match node.inputs.as_slice() {
            [] => input.to_vec(),
            inputs => {
                let maps: Vec<(Shape, &[f32])> =
                    inputs.iter().map(|id| (network.nodes[id.0].shape, values[id.0].as_slice())).collect();
                compute(node, &maps)
            }
        };
        debug_assert_eq!(value.len(), node.shape.len(), "{} fills its shape", node.name);
        values.push(value);
    }
    values
}

/// The value of the network's first output for one input.
pub fn output(network: &Fused, input: &[f32]) -> Vec<f32> {
    run(network, input).swap_remove(network.outputs[0].0)
}

fn compute(node: &FusedNode, inputs: &[(Shape, &[f32])]) -> Vec<f32> {
    let (shape, x) = inputs[0];
    match &node.op {
        FusedOp::Input => x.to_vec(),
        FusedOp::Conv { window, weights, bias, activation } => {
            activated(conv(*window, weights, bias, shape, x, node.shape), *activation)
        }
        FusedOp::Depthwise { window, weights, bias, activation } => {
            activated(depthwise(*window, weights, bias, shape, x, node.shape), *activation)
        }
        FusedOp::Add { activation } => {
            activated(x.iter().zip(inputs[1].1).map(|(a, b)| a + b).collect(), *activation)
        }
        FusedOp::GlobalAveragePool => global_average_pool(shape, x),
        FusedOp::Dense { weights, bias, activation } => activated(dense(weights, bias, x), *activation),
        FusedOp::Softmax => x.chunks_exact(shape.channels).flat_map(softmax).collect(),
    }
}

/// The activation of one element; NaN and -0 pass.
pub fn activate(x: f32, activation: Activation) -> f32 {
    let relu = if 0.0 > x { 0.0 } else { x };
    match activation {
        Activation::None => x,
        Activation::Relu => relu,
        Activation::Relu6 => {
            if 6.0 < relu {
                6.0
            } else {
                relu
            }
        }
    }
}

fn activated(mut values: Vec<f32>, activation: Activation) -> Vec<f32> {
    values.iter_mut().for_each(|x| *x = activate(*x, activation));
    values
}

/// Section 3.1: G\[k,l,n\] = sum over i, j, m of K\[i,j,m,n\] F\[k+i-1, l+j-1, m\].
fn conv(window: Window, weights: &[f32], bias: &[f32], shape: Shape, x: &[f32], out: Shape) -> Vec<f32> {
    let (m, n) = (shape.channels, out.channels);
    let mut output = Vec::with_capacity(out.len());
    for y in 0..out.height {
        for column in 0..out.width {
            let mut chain = bias.to_vec();
            for ky in window.rows(y, shape.height) {
                for kx in window.columns(column, shape.width) {
                    let pixel = pixel(window, shape, (y, ky), (column, kx));
                    for ci in 0..m {
                        let factor = x[pixel * m + ci];
                        let filter = &weights[((ky * window.d_k + kx) * m + ci) * n..][..n];
                        chain.iter_mut().zip(filter).for_each(|(acc, w)| *acc = factor.mul_add(*w, *acc));
                    }
                }
            }
            output.extend(chain);
        }
    }
    output
}

/// Section 3.1, equation 3: one filter per channel.
fn depthwise(window: Window, weights: &[f32], bias: &[f32], shape: Shape, x: &[f32], out: Shape) -> Vec<f32> {
    let m = shape.channels;
    let mut output = Vec::with_capacity(out.len());
    for y in 0..out.height {
        for column in 0..out.width {
            let mut chain = bias.to_vec();
            for ky in window.rows(y, shape.height) {
                for kx in window.columns(column, shape.width) {
                    let pixel = pixel(window, shape, (y, ky), (column, kx));
                    let filter = &weights[(ky * window.d_k + kx) * m..][..m];
                    let factors = &x[pixel * m..][..m];
                    for (acc, (factor, w)) in chain.iter_mut().zip(factors.iter().zip(filter)) {
                        *acc = factor.mul_add(*w, *acc);
                    }
                }
            }
            output.extend(chain);
        }
    }
    output
}

/// The input pixel under a tap that is known to be inside: (output row, kernel row), (output column, kernel column).
fn pixel(window: Window, shape: Shape, (y, ky): (usize, usize), (column, kx): (usize, usize)) -> usize {
    (y * window.stride + ky - window.pads.top) * shape.width + column * window.stride + kx - window.pads.left
}

/// Pixels in row order are added to +0; the sum is multiplied by the constant 1 / pixels, rounded to f32.
fn global_average_pool(shape: Shape, x: &[f32]) -> Vec<f32> {
    let mut sums = vec![0.0f32; shape.channels];
    for pixel in x.chunks_exact(shape.channels) {
        sums.iter_mut().zip(pixel).for_each(|(sum, x)| *sum += x);
    }
    let reciprocal = pool_reciprocal(shape.pixels());
    sums.iter_mut().for_each(|sum| *sum *= reciprocal);
    sums
}

/// What a sum over so many pixels is multiplied by.
pub fn pool_reciprocal(pixels: usize) -> f32 {
    1.0 / pixels as f32
}

fn dense(weights: &[f32], bias: &[f32], x: &[f32]) -> Vec<f32> {
    let mut chain = bias.to_vec();
    for (factor, filter) in x.iter().zip(weights.chunks_exact(bias.len())) {
        chain.iter_mut().zip(filter).for_each(|(acc, w)| *acc = factor.mul_add(*w, *acc));
    }
    chain
}

/// exp(x - max) / sum: the maximum from the first element on, the sum in ascending order from +0.
fn softmax(x: &[f32]) -> Vec<f32> {
    let max = x[1..].iter().fold(x[0], |max, x| if *x > max { *x } else { max });
    let exps: Vec<f32> = x.iter().map(|x| exp(x - max)).collect();
    let sum = exps.iter().fold(0.0f32, |sum, exp| sum + exp);
    exps.iter().map(|exp| exp / sum).collect()
}

/// The constants of [`exp`], shared with the kernel that computes it.
pub mod exp_constants {
    /// Below this the result is 0 to the last bit that matters: 2^-126 is the smallest normal f32.
    pub const LOWEST: f32 = -87.0;
    /// log2(e)
    pub const LOG2_E: f32 = std::f32::consts::LOG2_E;
    /// 1.5 * 2^23 + 127: adding it leaves the rounded integer plus the exponent bias in the low bits.
    pub const MAGIC: f32 = 12_583_039.0;
    /// ln(2), high part: the first 10 bits, so that products with small integers are exact.
    pub const LN2_HIGH: f32 = 355.0 / 512.0;
    /// ln(2) - [`LN2_HIGH`].
    pub const LN2_LOW: f32 = -2.121_944_4e-4;
    /// exp(r) on |r| <= ln(2)/2 as a Taylor-like polynomial (Cephes' `expf`), highest power first, above 1 + r.
    pub const POLYNOMIAL: [f32; 6] =
        [1.987_569_1e-4, 1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 5e-1];
}

/// exp(x) for x <= 0, the one stated polynomial: x is clamped from below, split into n ln(2) + r, the polynomial of r is
/// scaled by 2^n. Within 2 ulp of the true value.
pub fn exp(x: f32) -> f32 {
    use exp_constants::{LN2_HIGH, LN2_LOW, LOG2_E, LOWEST, MAGIC, POLYNOMIAL};
    // The comparison's order lets a NaN pass.
    let x = if LOWEST > x { LOWEST } else { x };
    let shifted = x.mul_add(LOG2_E, MAGIC);
    let n = shifted - MAGIC;
    let r = n.mul_add(-LN2_HIGH, x);
    let r = n.mul_add(-LN2_LOW, r);
    let mut p = POLYNOMIAL[0];
    for coefficient in &POLYNOMIAL[1..] {
        p = p.mul_add(r, *coefficient);
    }
    let p = (r * r).mul_add(p, r) + 1.0;
    let power = f32::from_bits(shifted.to_bits() << 23);
    p * power
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn activations_at_their_corners() {
        let cases = [
            (-1.0, 0.0, 0.0),
            (3.0, 3.0, 3.0),
            (7.0, 7.0, 6.0),
            (-0.0, -0.0, -0.0),
            (f32::INFINITY, f32::INFINITY, 6.0),
            (f32::NEG_INFINITY, 0.0, 0.0),
        ];
        for (x, relu, relu6) in cases {
            assert_eq!(activate(x, Activation::None).to_bits(), x.to_bits());
            assert_eq!(activate(x, Activation::Relu).to_bits(), f32::to_bits(relu), "relu({x})");
            assert_eq!(activate(x, Activation::Relu6).to_bits(), f32::to_bits(relu6), "relu6({x})");
        }
        assert!(activate(f32::NAN, Activation::Relu6).is_nan());
    }

    #[test]
    fn exp_is_within_two_ulp() {
        for step in 0..=870_000 {
            let x = -(step as f32) / 10_000.0;
            let exact = f64::from(x).exp();
            // An ulp is between half of epsilon and epsilon of the value.
            let bound = exact * f64::from(f32::EPSILON);
            assert!((f64::from(exp(x)) - exact).abs() <= bound, "exp({x}) = {}, exactly {exact}", exp(x));
        }
        assert_eq!(exp(0.0), 1.0);
        assert!(exp(f32::NEG_INFINITY) < 2e-38);
        assert!(exp(f32::NAN).is_nan());
    }

    #[test]
    fn softmax_sums_to_one() {
        let p = softmax(&[1.0, 3.0, -200.0, 3.0]);
        assert!((p.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        assert_eq!(p[1], p[3]);
    }

    #[test]
    fn a_padded_tap_is_outside_the_chain() {
        // An infinite weight above the image would make NaN out of a product with zero.
        let window = Window {
            d_k: 3,
            stride: 1,
            pads: crate::graph::shape::Pads { top: 1, left: 1, bottom: 1, right: 1 },
        };
        let mut weights = vec![1.0; 9];
        weights[0] = f32::INFINITY;
        let shape = Shape { height: 1, width: 1, channels: 1 };
        assert_eq!(depthwise(window, &weights, &[0.5], shape, &[2.0], shape), [2.5]);
    }
}
