//! A network's values for one picture, layer by layer, by loops that are fast enough for calibration: f32 with sums in any order, and
//! integers as [`crate::reference`] has them, to the bit.
//!
//! Both are products of f32 matrices: a byte times a signed byte, and sums of up to [`BLOCK`] of them, are whole numbers below 2^24,
//! which an f32 holds exactly. Longer sums are added up as i32, block by block.

use std::array::from_fn;

#[cfg(test)]
use super::parts::parallel;
use crate::graph::layer::Layer;
use crate::graph::shape::{Shape, Window};
use crate::passes::{self, Addition, Bytes, Fused, FusedId, FusedNode, is_clamp};
use crate::reference;

/// Steps of a sum in f32: 512 times 255 times 128 is below 2^24.
const BLOCK: usize = 512;
/// Columns of a tile of sums.
const LANES: usize = 8;
/// Rows of a tile of sums: with the weights and one input, sums fill the 16 registers of plain x86-64.
const ROWS: usize = 4;
/// Rows that stay in the cache while all columns are gone through.
const BAND: usize = 64;

/// The value of a node for one picture.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    /// As they are.
    Numbers(Vec<f32>),
    /// See [`Bytes`].
    Bytes(Vec<u8>),
}

impl Value {
    /// The elements as they are stored.
    pub(super) fn stored(&self) -> Vec<f32> {
        match self {
            Value::Numbers(numbers) => numbers.clone(),
            Value::Bytes(bytes) => widened(bytes),
        }
    }

    /// What the elements stand for.
    pub(super) fn meant(&self, bytes: Option<Bytes>, scales: &[f32]) -> Vec<f32> {
        let mut numbers = self.stored();
        if let Some(Bytes { scale, zero_point, .. }) = bytes {
            for (idx, q) in numbers.iter_mut().enumerate() {
                let of_channel = scales.get(idx % scales.len().max(1)).copied();
                *q = (*q - f32::from(zero_point)) * of_channel.unwrap_or(scale);
            }
        }
        numbers
    }

    fn of_bytes(numbers: &[f32]) -> Value {
        Value::Bytes(numbers.iter().map(|q| *q as u8).collect())
    }
}

pub(super) fn widened(bytes: &[u8]) -> Vec<f32> {
    bytes.iter().map(|q| f32::from(*q)).collect()
}

/// What a sum of products is added up in.
trait Sum: Copy + Default {
    fn add(&mut self, part: f32);
}

impl Sum for f32 {
    fn add(&mut self, part: f32) {
        *self += part;
    }
}

impl Sum for i32 {
    fn add(&mut self, part: f32) {
        *self += part as i32;
    }
}

/// A network with its weights in the order of the loops.
pub(super) struct Ready<'n> {
    pub(super) network: &'n Fused,
    layers: Vec<Option<Products>>,
    /// By node: the last that reads it.
    last_reader: Vec<usize>,
}

impl<'n> Ready<'n> {
    /// The whole network.
    pub(super) fn new(network: &'n Fused) -> Ready<'n> {
        let layers = network
            .nodes
            .iter()
            .map(|node| {
                let input = node.inputs.first()?;
                Products::of(network.nodes[input.0].shape(), node)
            })
            .collect();
        let mut last_reader = vec![0; network.nodes.len()];
        for (idx, node) in network.nodes.iter().enumerate() {
            node.inputs.iter().for_each(|id| last_reader[id.0] = idx);
        }
        Ready { network, layers, last_reader }
    }
}

/// A network on its way through one picture.
pub(super) struct Run<'n> {
    ready: &'n Ready<'n>,
    values: Vec<Option<Value>>,
}

impl<'n> Run<'n> {
    /// Before the first layer.
    pub(super) fn new(ready: &'n Ready<'n>, input: Value) -> Run<'n> {
        let mut values = vec![None; ready.network.nodes.len()];
        values[0] = Some(input);
        Run { ready, values }
    }

    /// Computes the next node, of that index; `sums` sees what there is before the activation. Inputs that nobody needs any more are
    /// dropped.
    pub(super) fn step(&mut self, idx: usize, sums: &mut dyn FnMut(&[f32])) -> &Value {
        let node = &self.ready.network.nodes[idx];
        let stored = |id: &FusedId| {
            self.values[id.0].as_ref().expect("a value is there as long as somebody reads it").stored()
        };
        let inputs: Vec<Vec<f32>> = node.inputs.iter().map(stored).collect();
        let shapes = node.inputs.iter().map(|id| self.ready.network.nodes[id.0].shape());
        let inputs: Vec<(Shape, &[f32])> = shapes.zip(inputs.iter().map(Vec::as_slice)).collect();
        let value = compute(node, self.ready.layers[idx].as_ref(), &inputs, sums);
        self.values[idx] = Some(value);
        for input in &node.inputs {
            if self.ready.last_reader[input.0] <= idx {
                self.values[input.0] = None;
            }
        }
        self.values[idx].as_ref().expect("it has just been computed")
    }
}

/// The value of a node whose inputs have these shapes and are stored so.
pub(super) fn compute(
    node: &FusedNode,
    products: Option<&Products>,
    inputs: &[(Shape, &[f32])],
    sums: &mut dyn FnMut(&[f32]),
) -> Value {
    let (shape, x) = inputs[0];
    let Some(products) = products else {
        let value = reference::compute(node, inputs, 1);
        return if node.bytes.is_some() { Value::of_bytes(&value) } else { Value::Numbers(value) };
    };
    let n = node.shape().channels;
    if let Some(filter) = &node.filter {
        let mut values: Vec<f32> = products.run(x);
        for pixel in values.chunks_exact_mut(n) {
            pixel.iter_mut().zip(&filter.bias).for_each(|(x, bias)| *x += bias);
        }
        sums(&values);
        if let (Some(_), [.., (_, residual)]) = (&node.residual, inputs) {
            values.iter_mut().zip(*residual).for_each(|(x, residual)| *x += residual);
        }
        values.iter_mut().for_each(|x| *x = reference::activate(*x, node.activation));
        return match node.bytes {
            Some(bytes) => Value::of_bytes(&reference::to_bytes(&values, bytes)),
            None => Value::Numbers(values),
        };
    }
    let integer = node.integer.as_ref().expect("a layer with weights has them in f32 or as bytes");
    let mut acc: Vec<i32> = products.run(x);
    let borders = Borders::of(&node.layer, shape, node.shape());
    for (pixel, acc) in acc.chunks_exact_mut(n).enumerate() {
        let bias = &integer.bias[borders.at(pixel) * n..][..n];
        acc.iter_mut().zip(bias).for_each(|(acc, bias)| *acc += bias);
    }
    match node.ending() {
        (activation, Some(bytes)) if is_clamp(activation) => {
            let mut own = match (&integer.addition, inputs) {
                (Some(Addition::Channels(factors)), [.., (_, other)]) => {
                    let of_channels = integer.multiplier.iter().zip(factors).cycle();
                    let sums = acc.iter().zip(of_channels).zip(*other);
                    let sums: Vec<f32> = sums
                        .map(|((acc, (m, factor)), other)| other.mul_add(*factor, *acc as f32 * m))
                        .collect();
                    return Value::of_bytes(&reference::to_bytes(&sums, bytes));
                }
                _ => to_bytes(&acc, &integer.multiplier, bytes),
            };
            if let (Some(Addition::Tensor(addition)), [.., (_, other)], Some(sum)) =
                (&integer.addition, inputs, node.bytes)
            {
                own.iter_mut().zip(*other).for_each(|(own, other)| {
                    *own = addition.apply(*own, *other as u8, sum);
                });
            }
            Value::Bytes(own)
        }
        _ => {
            let scaled = acc.iter().zip(integer.multiplier.iter().cycle()).zip(passes::factors(node));
            let values: Vec<f32> =
                scaled.map(|((acc, m), factor)| passes::finish(node, *acc as f32 * m, factor)).collect();
            if node.bytes.is_some() { Value::of_bytes(&values) } else { Value::Numbers(values) }
        }
    }
}

/// As [`passes::finish`] for an activation that is nothing but bounds.
fn to_bytes(acc: &[i32], multipliers: &[f32], bytes: Bytes) -> Vec<u8> {
    // 1.5 2^23: numbers below 2^22 added to it are rounded to whole ones, halves to even.
    const MAGIC: f32 = 12_582_912.0;
    let [zero_point, low, high] = [bytes.zero_point, bytes.low, bytes.high].map(f32::from);
    let (least, most) = (low - zero_point, high - zero_point);
    let mut out = vec![0; acc.len()];
    let pixels = out.chunks_exact_mut(multipliers.len()).zip(acc.chunks_exact(multipliers.len()));
    for (out, acc) in pixels {
        for ((out, acc), m) in out.iter_mut().zip(acc).zip(multipliers) {
            let v = (*acc as f32 * m).max(least).min(most);
            *out = ((v + MAGIC) - MAGIC + zero_point) as i32 as u8;
        }
    }
    out
}

/// Which of a window's [borders](Window::borders) a position of the output has.
pub(super) struct Borders {
    rows: Vec<usize>,
    columns: Vec<usize>,
}

impl Borders {
    /// Of a layer over a map; without a window there is one.
    pub(super) fn of(layer: &Layer, input: Shape, output: Shape) -> Borders {
        let Some(window) = layer.window() else {
            return Borders { rows: vec![0; output.height], columns: vec![0; output.width] };
        };
        let borders = window.borders((input.height, input.width));
        let row = |y| {
            let taps = window.rows.border(y, input.height);
            borders.iter().position(|border| border.0 == taps).expect("every row has its border")
        };
        let column = |x| {
            let taps = window.columns.border(x, input.width);
            borders.iter().position(|border| border.1 == taps).expect("every column has its border")
        };
        Borders {
            rows: (0..output.height).map(row).collect(),
            columns: (0..output.width).map(column).collect(),
        }
    }

    /// Of a pixel of the output.
    pub(super) fn at(&self, pixel: usize) -> usize {
        // Borders are listed by rows, so the first with these columns is in the first rows.
        self.rows[pixel / self.columns.len()] + self.columns[pixel % self.columns.len()]
    }
}

/// A layer's sums of products, its weights in the order of the loops.
pub(super) struct Products {
    input: Shape,
    output: Shape,
    /// `None` for a dense layer.
    window: Option<Window>,
    kind: Kind,
}

enum Kind {
    /// `[taps][channels]`
    Depthwise(Vec<f32>),
    /// Of each group, the panels of its columns.
    Matrices { panels: Vec<Vec<f32>>, m: usize },
}

impl Products {
    /// Of a node with weights and an input of this shape.
    pub(super) fn of(input: Shape, node: &FusedNode) -> Option<Products> {
        let weights = match (&node.filter, &node.integer) {
            (Some(filter), _) => filter.weights.clone(),
            (None, Some(integer)) => integer.weights.iter().map(|w| f32::from(*w)).collect(),
            (None, None) => return None,
        };
        Products::new(&node.layer, input, node.shape(), weights)
    }

    /// Of a layer's weights in the order of [`crate::passes::Filter::weights`].
    fn new(layer: &Layer, input: Shape, output: Shape, weights: Vec<f32>) -> Option<Products> {
        let filter = layer.filter(input)?;
        let kind = if matches!(layer, Layer::Depthwise { .. }) {
            Kind::Depthwise(weights)
        } else {
            let (depth, per_group) = (filter.fan_in(), filter.n / filter.groups);
            let panels = |group: usize| {
                panels(&weights, (depth, filter.n), group * per_group..(group + 1) * per_group)
            };
            Kind::Matrices { panels: (0..filter.groups).map(panels).collect(), m: filter.m }
        };
        Some(Products { input, output, window: layer.window(), kind })
    }

    /// The sums of every output element, without bias.
    fn run<A: Sum>(&self, x: &[f32]) -> Vec<A> {
        let mut sums = vec![A::default(); self.output.len()];
        match (&self.kind, self.window) {
            (Kind::Depthwise(weights), Some(window)) => self.depthwise(window, weights, x, &mut sums),
            (Kind::Matrices { panels, .. }, None) => {
                product(x, x.len(), &panels[0], &mut sums, self.output.channels);
            }
            (Kind::Matrices { panels, m }, Some(Window::POINTWISE)) if panels.len() == 1 => {
                product(x, *m, &panels[0], &mut sums, self.output.channels);
            }
            (Kind::Matrices { panels, m }, Some(window)) => self.conv(window, (panels, *m), x, &mut sums),
            (Kind::Depthwise(_), None) => unreachable!("a depthwise layer has a window"),
        }
        sums
    }

    fn depthwise<A: Sum>(&self, window: Window, weights: &[f32], x: &[f32], sums: &mut [A]) {
        let m = self.input.channels;
        let mut line = vec![0.0f32; m];
        for (position, sums) in sums.chunks_exact_mut(m).enumerate() {
            line.fill(0.0);
            self.taps(window, position, |tap, pixel| {
                let (weights, x) = (&weights[tap * m..][..m], &x[pixel * m..][..m]);
                for ((acc, x), w) in line.iter_mut().zip(x).zip(weights) {
                    *acc += x * w;
                }
            });
            sums.iter_mut().zip(&line).for_each(|(sum, acc)| sum.add(*acc));
        }
    }

    /// One row of the output at a time: what lies under the window as rows of a matrix, padding as zeros.
    fn conv<A: Sum>(&self, window: Window, (panels, m): (&[Vec<f32>], usize), x: &[f32], sums: &mut [A]) {
        let Shape { width, channels: n, .. } = self.output;
        let (depth, per_group) = (window.taps() * m, n / panels.len());
        let mut rows = vec![0.0f32; width * depth];
        let mut part = vec![A::default(); width * per_group];
        for (y, sums) in sums.chunks_exact_mut(width * n).enumerate() {
            for (group, panels) in panels.iter().enumerate() {
                rows.fill(0.0);
                for column in 0..width {
                    self.taps(window, y * width + column, |tap, pixel| {
                        let from = &x[pixel * self.input.channels + group * m..][..m];
                        rows[column * depth + tap * m..][..m].copy_from_slice(from);
                    });
                }
                part.fill(A::default());
                product(&rows, depth, panels, &mut part, per_group);
                for (sums, part) in sums.chunks_exact_mut(n).zip(part.chunks_exact(per_group)) {
                    sums[group * per_group..][..per_group].copy_from_slice(part);
                }
            }
        }
    }

    /// Calls for every tap inside of the map at a position of the output: the tap, and the pixel under it.
    fn taps(&self, window: Window, position: usize, each: impl FnMut(usize, usize)) {
        taps(window, self.input, (position / self.output.width, position % self.output.width), each);
    }
}

/// Every tap inside of the map at an output row and column, with the pixel under it.
pub(super) fn taps(
    window: Window,
    input: Shape,
    (y, column): (usize, usize),
    mut each: impl FnMut(usize, usize),
) {
    let Window { rows, columns } = window;
    for ky in rows.taps(y, input.height) {
        for kx in columns.taps(column, input.width) {
            // Taps inside are at no negative place.
            let pixel = rows.offset(y, ky) as usize * input.width + columns.offset(column, kx) as usize;
            each(ky * columns.kernel + kx, pixel);
        }
    }
}

/// Some columns of a matrix `[depth][n]`, [`LANES`] of them side by side: `[panels][depth][LANES]`, zeros behind the last.
fn panels(weights: &[f32], (depth, n): (usize, usize), columns: std::ops::Range<usize>) -> Vec<f32> {
    let n_panels = columns.len().div_ceil(LANES);
    let mut packed = vec![0.0; n_panels * depth * LANES];
    for (idx, column) in columns.enumerate() {
        let panel = &mut packed[idx / LANES * depth * LANES..];
        for k in 0..depth {
            panel[k * LANES + idx % LANES] = weights[k * n + column];
        }
    }
    packed
}

/// Adds the product of rows of `depth` numbers and a matrix in panels to sums of `n` columns.
fn product<A: Sum>(x: &[f32], depth: usize, panels: &[f32], sums: &mut [A], n: usize) {
    for (x, sums) in x.chunks(BAND * depth).zip(sums.chunks_mut(BAND * n)) {
        for start in (0..depth).step_by(BLOCK) {
            let block = start..depth.min(start + BLOCK);
            for (panel, column) in panels.chunks_exact(depth * LANES).zip((0..n).step_by(LANES)) {
                let panel = &panel[block.start * LANES..block.end * LANES];
                let n_columns = LANES.min(n - column);
                let tiles = x.chunks(ROWS * depth).zip(sums.chunks_mut(ROWS * n));
                for (x, sums) in tiles {
                    let tile = if x.len() == ROWS * depth {
                        tile(from_fn(|idx| &x[idx * depth..][block.clone()]), panel)
                    } else {
                        let mut lines = [[0.0; LANES]; ROWS];
                        for (line, x) in lines.iter_mut().zip(x.chunks_exact(depth)) {
                            [*line] = tile([&x[block.clone()]], panel);
                        }
                        lines
                    };
                    for (line, sums) in tile.iter().zip(sums.chunks_exact_mut(n)) {
                        let sums = sums[column..][..n_columns].iter_mut();
                        sums.zip(line).for_each(|(sum, part)| sum.add(*part));
                    }
                }
            }
        }
    }
}

/// Sums of a few rows and one panel, in registers. Each sum as a new value: rustc makes vectors of these, and not of sums in place.
fn tile<const R: usize>(rows: [&[f32]; R], panel: &[f32]) -> [[f32; LANES]; R] {
    let mut sums = [[0.0f32; LANES]; R];
    let (panel, _) = panel.as_chunks::<LANES>();
    let rows = rows.map(|row| &row[..panel.len()]);
    for (k, weights) in panel.iter().enumerate() {
        let row = |idx: usize| {
            let x = rows[idx][k];
            from_fn(|lane| sums[idx][lane] + x * weights[lane])
        };
        sums = from_fn(row);
    }
    sums
}

/// The values of every node of a network for each input, as they are stored; inputs of a network in integers are bytes.
#[cfg(test)]
pub(super) fn run(network: &Fused, inputs: &[Value], n_threads: usize) -> Vec<Vec<Vec<f32>>> {
    let ready = Ready::new(network);
    parallel(inputs.len(), n_threads, &|idx| {
        let mut run = Run::new(&ready, inputs[idx].clone());
        let first = inputs[idx].stored();
        let rest = (1..network.nodes.len()).map(|node| run.step(node, &mut |_| ()).stored());
        std::iter::once(first).chain(rest).collect()
    })
}
