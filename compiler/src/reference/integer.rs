//! Layers in integers: exact sums of bytes times signed bytes, and what becomes of them.
//!
//! - acc = bias + sum over the taps inside of the map of q w, an i32 that never overflows: [`Integer::is_proved`].
//! - v = f32(acc) multiplier, the conversion and the product each rounded once, to nearest even.
//! - Where the activation is more than bounds, or where the output is numbers: v = activation(v). Then v is a number of the network;
//!   for bytes it is multiplied by 1 / scale of its channel, rounded once.
//! - y = round(v) + zero point, to nearest even, kept between low and high.
//! - What makes bytes of numbers computes v as layers of f32 do, and y of it.
//! - Where the byte b of a residual is added to the sum, v = fma(f32(b), factor of the channel, v) comes before y.
//! - Where bytes are added to bytes, y and the byte of the residual become that of their sum: [`ByteSum::apply`].
//!
//! Of a pool with a window, an upsampling and a concat, bytes stand for what those of the inputs do: they are copied, or the largest of
//! some. A mean's acc = sum of (q - zero point) over the taps inside of the map, v = f32(acc) (1 / divisor), and y follows.
//!
//! A product's acc is (a - zero of a) (b - zero of b); an addition by itself has the byte of its first input for y.

use super::{Sliding, by_rows, concat, pool_reciprocal, upsample};
use crate::graph::layer::{Layer, Pooling};
use crate::graph::shape::{Shape, Window};
use crate::passes::{Addition, ByteInput, ByteSum, Bytes, FusedNode, Integer, factors, finish, to_byte};

/// The bytes of an input, as numbers.
pub(super) fn input(bytes: &ByteInput, input: &[f32]) -> Vec<f32> {
    let channels = (0..bytes.scale.len()).cycle();
    input.iter().zip(channels).map(|(x, channel)| f32::from(bytes.byte(channel, *x))).collect()
}

/// The bytes of numbers that are in steps of their scales.
pub(crate) fn to_bytes(numbers: &[f32], Bytes { zero_point, low, high, .. }: Bytes) -> Vec<f32> {
    numbers.iter().map(|v| to_byte(*v, zero_point, low, high)).collect()
}

/// The output of a node, from its inputs' shapes and bytes.
pub(super) fn compute(
    node: &FusedNode,
    numbers: &Integer,
    inputs: &[(Shape, &[f32])],
    n_threads: usize,
) -> Vec<f32> {
    if let (Some(Addition::Tensor(addition)), [.., (_, other)]) = (&numbers.addition, inputs) {
        let own =
            if node.layer == Layer::Add { inputs[0].1 } else { &layer(node, numbers, inputs, n_threads) };
        return add(*addition, own, other, node.bytes.expect("verified: an addition gives bytes"));
    }
    layer(node, numbers, inputs, n_threads)
}

/// The sums of two maps of bytes.
fn add(addition: ByteSum, own: &[f32], other: &[f32], sum: Bytes) -> Vec<f32> {
    let pairs = own.iter().zip(other);
    pairs.map(|(a, b)| f32::from(addition.apply(*a as u8, *b as u8, sum))).collect()
}

/// The same before an addition of bytes that is part of the layer.
fn layer(node: &FusedNode, numbers: &Integer, inputs: &[(Shape, &[f32])], n_threads: usize) -> Vec<f32> {
    let (shape, x) = inputs[0];
    let sums = Sums { numbers, shape, x, out: node.shape() };
    let added = match (&numbers.addition, inputs) {
        (Some(Addition::Channels(_)), [.., (_, residual)]) => Some(*residual),
        _ => None,
    };
    // Of the elements from a first one on.
    let finished_from = |first: usize, row: Vec<i32>| -> Vec<f32> {
        let multipliers = numbers.multiplier.iter().cycle();
        let scaled = row.iter().zip(multipliers).zip(factors(node)).enumerate();
        let each = scaled.map(|(idx, ((acc, m), factor))| {
            let v = *acc as f32 * m;
            finish(node, added.map_or(v, |residual| residual[first + idx].mul_add(factor, v)), factor)
        });
        each.collect()
    };
    let finished = |row: Vec<i32>| finished_from(0, row);
    let Shape { height, width, channels } = node.shape();
    let rows = |row: &(dyn Fn(usize) -> Vec<i32> + Sync)| {
        by_rows(height, n_threads, &|y| finished_from(y * width * channels, row(y)))
    };
    match node.layer {
        Layer::Conv { window, .. } => rows(&|y| sums.row(y, window, 1)),
        Layer::Grouped { window, groups, .. } => rows(&|y| sums.row(y, window, groups)),
        Layer::Depthwise { window, .. } => rows(&|y| sums.row(y, window, sums.shape.channels)),
        Layer::Dense { .. } => finished(sums.dense()),
        Layer::GlobalAveragePool => finished(sums.pool()),
        Layer::Multiply => finished(sums.products(inputs[1].1)),
        Layer::Concat => concat(inputs),
        Layer::Upsample { factor } => upsample(shape, x, factor),
        Layer::Pool { pooling, window } => {
            let pool = Sliding::without_weights(window, inputs[0], node.shape());
            let bytes = node.bytes.expect("verified: bytes that are kept are bytes");
            by_rows(height, n_threads, &|y| match pooling {
                Pooling::Max => pool.pool_row(y, pooling),
                Pooling::Average { .. } => pool.byte_means_row(y, pooling, bytes),
            })
        }
        Layer::Input | Layer::BatchNorm { .. } | Layer::Activation(_) | Layer::Add | Layer::Softmax => {
            unreachable!("verified: {} doesn't compute in integers", node.name)
        }
    }
}

struct Sums<'a> {
    numbers: &'a Integer,
    shape: Shape,
    x: &'a [f32],
    out: Shape,
}

impl Sums<'_> {
    /// A row of a convolution whose channels fall into so many groups; M of a depthwise one.
    fn row(&self, y: usize, window: Window, groups: usize) -> Vec<i32> {
        let (channels, n) = (self.shape.channels, self.out.channels);
        let (m, per_group) = (channels / groups, n / groups);
        let borders = window.borders((self.shape.height, self.shape.width));
        let rows = window.rows.taps(y, self.shape.height);
        let mut sums = Vec::with_capacity(self.out.width * n);
        for column in 0..self.out.width {
            let columns = window.columns.taps(column, self.shape.width);
            let border = Window::border(&borders, &rows, &columns);
            let bias = &self.numbers.bias[border * n..][..n];
            let mut acc: Vec<i64> = bias.iter().map(|bias| i64::from(*bias)).collect();
            for ky in rows.clone() {
                for kx in columns.clone() {
                    let row = window.rows.offset(y, ky) as usize;
                    let pixel = row * self.shape.width + window.columns.offset(column, kx) as usize;
                    let tap = ky * window.columns.kernel + kx;
                    for ci in 0..m {
                        let weights = &self.numbers.weights[(tap * m + ci) * n..][..n];
                        for (idx, (acc, w)) in acc.iter_mut().zip(weights).enumerate() {
                            let q = self.x[pixel * channels + idx / per_group * m + ci];
                            *acc += q as i64 * i64::from(*w);
                        }
                    }
                }
            }
            sums.extend(acc.into_iter().map(exact));
        }
        sums
    }

    fn dense(&self) -> Vec<i32> {
        let n = self.out.channels;
        let mut acc: Vec<i64> = self.numbers.bias.iter().map(|bias| i64::from(*bias)).collect();
        for (q, weights) in self.x.iter().zip(self.numbers.weights.chunks_exact(n)) {
            acc.iter_mut().zip(weights).for_each(|(acc, w)| *acc += *q as i64 * i64::from(*w));
        }
        acc.into_iter().map(exact).collect()
    }

    /// Of each element, the product with that of another map. One of the two may have a single pixel, which every pixel of the other
    /// takes.
    fn products(&self, other: &[f32]) -> Vec<i32> {
        let [first, second] = [0, 1].map(|idx| i64::from(self.numbers.bias[idx]));
        let pairs = (0..self.x.len().max(other.len())).map(|idx| (idx % self.x.len(), idx % other.len()));
        pairs.map(|(a, b)| exact((self.x[a] as i64 + first) * (other[b] as i64 + second))).collect()
    }

    /// Of each channel, the bias and all pixels.
    fn pool(&self) -> Vec<i32> {
        let mut acc = vec![i64::from(self.numbers.bias[0]); self.shape.channels];
        for pixel in self.x.chunks_exact(self.shape.channels) {
            acc.iter_mut().zip(pixel).for_each(|(acc, q)| *acc += *q as i64);
        }
        acc.into_iter().map(exact).collect()
    }
}

impl Sliding<'_> {
    /// The means of a row of a pool over bytes, as bytes.
    fn byte_means_row(
        &self,
        y: usize,
        pooling: Pooling,
        Bytes { zero_point, low, high, .. }: Bytes,
    ) -> Vec<f32> {
        let m = self.shape.channels;
        let Window { rows, columns } = self.window;
        let mut output = Vec::with_capacity(self.out.width * m);
        for column in 0..self.out.width {
            let mut acc = vec![0i64; m];
            let mut n_inside = 0;
            for ky in rows.taps(y, self.shape.height) {
                for kx in columns.taps(column, self.shape.width) {
                    n_inside += 1;
                    let pixel = &self.x[self.pixel((y, ky), (column, kx)) * m..][..m];
                    acc.iter_mut().zip(pixel).for_each(|(acc, q)| *acc += *q as i64 - i64::from(zero_point));
                }
            }
            let reciprocal = pool_reciprocal(pooling.divisor(self.window, n_inside));
            output.extend(
                acc.into_iter().map(|acc| to_byte(exact(acc) as f32 * reciprocal, zero_point, low, high)),
            );
        }
        output
    }
}

fn exact(acc: i64) -> i32 {
    i32::try_from(acc).expect("a sum that has been proved stays below 2^31")
}
