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
//! - **-0** stays -0 through an activation, the sigmoids aside; an average starts from +0.
//! - **Infinities** behave as IEEE 754 says: `relu6(inf)` is 6, `relu(inf)` is inf, `hard_swish(-inf)` is -inf times 0, NaN.
//! - **Denormals** are kept: no reader flushes them to zero.

mod integer;

pub(crate) use integer::to_bytes;
use std::thread;

pub use crate::graph::activation::{SIXTH, activate, exp, exp_constants};
use crate::graph::layer::{Activation, Layer, Pooling};
use crate::graph::shape::{Shape, Window};
use crate::passes::{ByteInput, Filter, Fused, FusedNode};

/// The outputs of every node for one input, by [`FusedId`](crate::passes::FusedId), each in NHWC order. A value of bytes is given as
/// their numbers, 0 to 255; the input is given in the network's own numbers in any case.
///
/// # Panics
/// When the input's length is not that of node 0.
pub fn run(network: &Fused, input: &[f32]) -> Vec<Vec<f32>> {
    run_on(network, input, 1)
}

/// As [`run`], on so many threads: each computes some rows of a map, and every element is the same chain as on one thread.
///
/// # Panics
/// As [`run`].
pub fn run_on(network: &Fused, input: &[f32], n_threads: usize) -> Vec<Vec<f32>> {
    assert_eq!(input.len(), network.nodes[0].shape().len(), "the input has the shape of the input node");
    let mut values: Vec<Vec<f32>> = Vec::with_capacity(network.nodes.len());
    for node in &network.nodes {
        let value = match node.inputs.as_slice() {
            [] => match &network.byte_input {
                None => input.to_vec(),
                Some(bytes) => integer::input(bytes, input),
            },
            inputs => {
                let maps: Vec<(Shape, &[f32])> =
                    inputs.iter().map(|id| (network.nodes[id.0].shape(), values[id.0].as_slice())).collect();
                compute(node, &maps, n_threads)
            }
        };
        debug_assert_eq!(value.len(), node.shape().len(), "{} fills its shape", node.name);
        values.push(value);
    }
    values
}

/// What the network returns for one input: its outputs one behind the other.
pub fn output(network: &Fused, input: &[f32]) -> Vec<f32> {
    let values = run(network, input);
    network.outputs.iter().flat_map(|id| &values[id.0]).copied().collect()
}

/// The output of a node for inputs of these shapes.
pub(crate) fn compute(node: &FusedNode, inputs: &[(Shape, &[f32])], n_threads: usize) -> Vec<f32> {
    let (shape, x) = inputs[0];
    let rows = |row: &(dyn Fn(usize) -> Vec<f32> + Sync)| by_rows(node.shape().height, n_threads, row);
    if let Some(numbers) = &node.integer {
        return integer::compute(node, numbers, inputs, n_threads);
    }
    let filter = || node.filter.as_ref().expect("a layer with weights has a filter");
    let sliding = |window| {
        let Filter { weights, bias } = filter();
        Sliding { window, weights, bias, shape, x, out: node.shape() }
    };
    let mut values: Vec<f32> = match node.layer {
        Layer::Input => x.to_vec(),
        Layer::Conv { window, .. } => {
            let layer = sliding(window);
            rows(&|y| layer.conv_row(y))
        }
        Layer::Depthwise { window, .. } => {
            let layer = sliding(window);
            rows(&|y| layer.depthwise_row(y))
        }
        Layer::Grouped { window, groups, .. } => {
            let layer = sliding(window);
            rows(&|y| layer.grouped_row(y, groups))
        }
        Layer::Add => x.iter().zip(inputs[1].1).map(|(a, b)| a + b).collect(),
        Layer::Multiply => multiply(x, inputs[1].1),
        Layer::Pool { pooling, window } => {
            rows(&|y| Sliding::without_weights(window, inputs[0], node.shape()).pool_row(y, pooling))
        }
        Layer::Concat => concat(inputs),
        Layer::Upsample { factor } => upsample(shape, x, factor),
        Layer::GlobalAveragePool => global_average_pool(shape, x),
        Layer::Dense { .. } => dense(filter(), x),
        Layer::Softmax => x.chunks_exact(shape.channels).flat_map(softmax).collect(),
        Layer::BatchNorm { .. } | Layer::Activation(_) => {
            unreachable!("part of other nodes since the passes")
        }
    };
    if let (Some(_), [.., (_, residual)]) = (&node.residual, inputs) {
        values.iter_mut().zip(*residual).for_each(|(sum, residual)| *sum += residual);
    }
    let values = activated(values, node.activation);
    match node.bytes {
        Some(bytes) if node.layer != Layer::Input => to_bytes(&values, bytes),
        _ => values,
    }
}

/// The bytes of an input, in its own numbers, of a network that reads bytes.
pub fn input_bytes(bytes: &ByteInput, input: &[f32]) -> Vec<u8> {
    integer::input(bytes, input).into_iter().map(|byte| byte as u8).collect()
}

/// The rows of a map one after the other. Each thread computes neighbours.
fn by_rows(height: usize, n_threads: usize, row: &(dyn Fn(usize) -> Vec<f32> + Sync)) -> Vec<f32> {
    let n_parts = n_threads.clamp(1, height);
    let part = |idx: usize| (idx * height / n_parts..(idx + 1) * height / n_parts).flat_map(row).collect();
    if n_parts == 1 {
        return part(0);
    }
    thread::scope(|scope| {
        let parts: Vec<_> = (0..n_parts).map(|idx| scope.spawn(move || part(idx))).collect();
        let join = |part: thread::ScopedJoinHandle<'_, Vec<f32>>| {
            part.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        parts.into_iter().flat_map(join).collect()
    })
}

fn activated(mut values: Vec<f32>, activation: Activation) -> Vec<f32> {
    values.iter_mut().for_each(|x| *x = activate(*x, activation));
    values
}

/// A layer with a window: its numbers, the map that it slides over, and the shape of its output.
struct Sliding<'a> {
    window: Window,
    weights: &'a [f32],
    bias: &'a [f32],
    shape: Shape,
    x: &'a [f32],
    out: Shape,
}

impl<'a> Sliding<'a> {
    fn without_weights(window: Window, (shape, x): (Shape, &'a [f32]), out: Shape) -> Sliding<'a> {
        Sliding { window, weights: &[], bias: &[], shape, x, out }
    }

    /// Section 3.1: G\[k,l,n\] = sum over i, j, m of K\[i,j,m,n\] F\[k+i-1, l+j-1, m\], for one k.
    fn conv_row(&self, y: usize) -> Vec<f32> {
        let (m, n) = (self.shape.channels, self.out.channels);
        let mut output = Vec::with_capacity(self.out.width * n);
        for column in 0..self.out.width {
            let mut chain = self.bias.to_vec();
            for ky in self.window.rows.taps(y, self.shape.height) {
                for kx in self.window.columns.taps(column, self.shape.width) {
                    let pixel = self.pixel((y, ky), (column, kx));
                    for ci in 0..m {
                        let factor = self.x[pixel * m + ci];
                        let filter =
                            &self.weights[((ky * self.window.columns.kernel + kx) * m + ci) * n..][..n];
                        chain.iter_mut().zip(filter).for_each(|(acc, w)| *acc = factor.mul_add(*w, *acc));
                    }
                }
            }
            output.extend(chain);
        }
        output
    }

    /// Maximum from minus infinity on, or sum from +0 on times the constant 1 / taps, of the taps in row order; for one row.
    fn pool_row(&self, y: usize, pooling: Pooling) -> Vec<f32> {
        let m = self.shape.channels;
        let Window { rows, columns } = self.window;
        let start = if pooling == Pooling::Max { f32::NEG_INFINITY } else { 0.0 };
        let mut output = Vec::with_capacity(self.out.width * m);
        for column in 0..self.out.width {
            let mut results = vec![start; m];
            let mut n_inside = 0;
            for ky in rows.taps(y, self.shape.height) {
                for kx in columns.taps(column, self.shape.width) {
                    n_inside += 1;
                    let elements = &self.x[self.pixel((y, ky), (column, kx)) * m..][..m];
                    for (result, x) in results.iter_mut().zip(elements) {
                        *result = match pooling {
                            Pooling::Max if x > result || x.is_nan() => *x,
                            Pooling::Max => *result,
                            Pooling::Average { .. } => *result + x,
                        };
                    }
                }
            }
            if pooling != Pooling::Max {
                let reciprocal = pool_reciprocal(pooling.divisor(self.window, n_inside));
                results.iter_mut().for_each(|result| *result *= reciprocal);
            }
            output.extend(results);
        }
        output
    }

    /// Section 3.1, equation 3: one filter per channel; for one k.
    fn depthwise_row(&self, y: usize) -> Vec<f32> {
        let m = self.shape.channels;
        let mut output = Vec::with_capacity(self.out.width * m);
        for column in 0..self.out.width {
            let mut chain = self.bias.to_vec();
            for ky in self.window.rows.taps(y, self.shape.height) {
                for kx in self.window.columns.taps(column, self.shape.width) {
                    let pixel = self.pixel((y, ky), (column, kx));
                    let filter = &self.weights[(ky * self.window.columns.kernel + kx) * m..][..m];
                    let factors = &self.x[pixel * m..][..m];
                    for (acc, (factor, w)) in chain.iter_mut().zip(factors.iter().zip(filter)) {
                        *acc = factor.mul_add(*w, *acc);
                    }
                }
            }
            output.extend(chain);
        }
        output
    }

    /// A convolution over the input channels of the same group, of `groups`; for one k.
    fn grouped_row(&self, y: usize, groups: usize) -> Vec<f32> {
        let (channels, n) = (self.shape.channels, self.out.channels);
        let m = channels / groups;
        let mut output = Vec::with_capacity(self.out.width * n);
        for column in 0..self.out.width {
            let mut chain = self.bias.to_vec();
            for ky in self.window.rows.taps(y, self.shape.height) {
                for kx in self.window.columns.taps(column, self.shape.width) {
                    let pixel = self.pixel((y, ky), (column, kx));
                    for ci in 0..m {
                        let tap = ky * self.window.columns.kernel + kx;
                        let filter = &self.weights[(tap * m + ci) * n..][..n];
                        for (idx, (acc, w)) in chain.iter_mut().zip(filter).enumerate() {
                            let group = idx / (n / groups);
                            *acc = self.x[pixel * channels + group * m + ci].mul_add(*w, *acc);
                        }
                    }
                }
            }
            output.extend(chain);
        }
        output
    }

    /// The input pixel under a tap that is known to be inside: (output row, kernel row), (output column, kernel column).
    fn pixel(&self, (y, ky): (usize, usize), (column, kx): (usize, usize)) -> usize {
        let Window { rows, columns } = self.window;
        // Taps inside are at no negative place.
        (rows.offset(y, ky) as usize) * self.shape.width + columns.offset(column, kx) as usize
    }
}

/// Each element by that of the other map; the shorter of two, a pixel, is taken for every pixel anew.
fn multiply(a: &[f32], b: &[f32]) -> Vec<f32> {
    let (map, other) = if a.len() < b.len() { (b, a) } else { (a, b) };
    map.iter().zip(other.iter().cycle()).map(|(a, b)| a * b).collect()
}

/// Of each pixel the channels of the first map, then those of the next.
fn concat(maps: &[(Shape, &[f32])]) -> Vec<f32> {
    let pixel =
        |idx: usize| maps.iter().flat_map(move |(shape, x)| &x[idx * shape.channels..][..shape.channels]);
    (0..maps[0].0.pixels()).flat_map(pixel).copied().collect()
}

/// Each pixel `factor` times in both directions.
fn upsample(shape: Shape, x: &[f32], factor: usize) -> Vec<f32> {
    let Shape { height, width, channels } = shape;
    let row = |y: usize| {
        (0..width * factor)
            .flat_map(move |column| &x[(y / factor * width + column / factor) * channels..][..channels])
    };
    (0..height * factor).flat_map(row).copied().collect()
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

fn dense(filter: &Filter, x: &[f32]) -> Vec<f32> {
    let mut chain = filter.bias.clone();
    for (factor, filter) in x.iter().zip(filter.weights.chunks_exact(filter.bias.len())) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_change_no_bit() {
        use crate::describe::builtin;
        use crate::graph::{Graph, Knobs};
        use crate::weights::Parameters;
        let description = builtin("mobilenet-v1").unwrap().description();
        let knobs = Knobs { alpha: 0.25, resolution: Some("35x32".parse().unwrap()) };
        let graph = Graph::build(&description, &knobs).unwrap();
        let network = crate::passes::run(&graph, &Parameters::random(&graph, 1)).unwrap();
        let input: Vec<f32> = (0..graph.input_shape().len()).map(|idx| (idx % 17) as f32 - 8.0).collect();
        let bits = |n_threads| -> Vec<Vec<u32>> {
            let values = run_on(&network, &input, n_threads);
            values.iter().map(|value| value.iter().map(|x| x.to_bits()).collect()).collect()
        };
        let one = bits(1);
        assert!([2, 3, 7, 64].iter().all(|n_threads| bits(*n_threads) == one));
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
        use crate::describe::{Padding, Slide};
        let window = Window::resolve(Slide::square(3, 1), Padding::Symmetric, (1, 1));
        let mut weights = vec![1.0; 9];
        weights[0] = f32::INFINITY;
        let shape = Shape { height: 1, width: 1, channels: 1 };
        let layer = Sliding { window, weights: &weights, bias: &[0.5], shape, x: &[2.0], out: shape };
        assert_eq!(layer.depthwise_row(0), [2.5]);
    }
}
