//! Cuts a kernel into independent parts, which threads share out among themselves, and into the rows of a band.
//!
//! A piece is a kernel of its own over a piece of the same maps. Each output element is still one chain, so the bits don't
//! depend on the cut. Pieces in the middle of an axis are equal kernels at other offsets and share their code.

use std::ops::Range;

use super::{
    Concat, Conv, Dense, Depthwise, Elementwise, FeatureMap, GlobalAveragePool, Grouped, Kernel, Pointwise,
    Tile, Upsample, WindowPool,
};
use crate::graph::shape::{Axis, Window};
use crate::graph::tensor::Dtype;
use crate::target::Isa;

/// Along which axis of the output a kernel is cut, and into how many parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Split {
    /// Not at all.
    Whole,
    /// Rows; for a pointwise layer, runs of pixels.
    Rows(usize),
    /// Channels, at the border of a panel.
    Channels(usize),
}

impl Split {
    /// How many parts are asked for.
    pub fn parts(self) -> usize {
        match self {
            Split::Whole => 1,
            Split::Rows(parts) | Split::Channels(parts) => parts,
        }
    }
}

/// A piece of a kernel: a kernel, and where its buffers begin in those of the whole, in bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// The piece.
    pub kernel: Kernel,
    /// Bytes into each input.
    pub inputs: Vec<usize>,
    /// Bytes into the packed filter.
    pub filter: usize,
    /// Bytes into the output.
    pub output: usize,
}

impl Kernel {
    /// The parts of a split, in the order of the output. Fewer than asked for where the axis is short; the whole kernel where
    /// it has no such axis.
    pub fn parts(&self, split: Split, isa: &Isa) -> Vec<Part> {
        let whole =
            || vec![Part { kernel: self.clone(), inputs: vec![0; self.n_inputs()], filter: 0, output: 0 }];
        match (self, split) {
            (_, Split::Whole)
            | (Kernel::Softmax(_) | Kernel::Quantise(_) | Kernel::Copy(_), _)
            | (
                Kernel::Elementwise(_) | Kernel::Concat(_) | Kernel::Upsample(_) | Kernel::WindowPool(_),
                Split::Channels(_),
            ) => whole(),
            (Kernel::Concat(kernel), Split::Rows(parts)) => kernel.pixel_parts(parts),
            (Kernel::Upsample(kernel), Split::Rows(parts)) => kernel.input_row_parts(parts),
            (Kernel::Elementwise(kernel), Split::Rows(parts)) => kernel.pixel_parts(parts),
            (Kernel::Conv(_) | Kernel::Depthwise(_) | Kernel::WindowPool(_), Split::Rows(parts))
            | (Kernel::Grouped(_), Split::Rows(parts) | Split::Channels(parts)) => self.row_parts(parts),
            (Kernel::Conv(kernel), Split::Channels(parts)) => kernel.channel_parts(parts, isa),
            (Kernel::Pointwise(kernel), Split::Rows(parts)) => kernel.pixel_parts(parts),
            (Kernel::Pointwise(kernel), Split::Channels(parts)) => kernel.channel_parts(parts, isa),
            (Kernel::Depthwise(kernel), Split::Channels(parts)) => kernel.channel_parts(parts, isa),
            (Kernel::Dense(kernel), Split::Rows(parts) | Split::Channels(parts)) => {
                kernel.channel_parts(parts, isa)
            }
            (Kernel::GlobalAveragePool(kernel), Split::Rows(parts) | Split::Channels(parts)) => {
                kernel.channel_parts(parts, isa)
            }
        }
    }

    /// The kernel over some rows of its output, and the rows of its input that this reads.
    ///
    /// # Panics
    /// When it doesn't compute rows from rows.
    pub fn rows(&self, rows: Range<usize>) -> (Kernel, Range<usize>) {
        let piece = |window: Window, input: FeatureMap, output: FeatureMap| {
            let (window, low, height) = window_rows(window, input.shape.height, (rows.start, rows.len()));
            ((window, input.with_height(height), output.with_height(rows.len())), low..low + height)
        };
        match *self {
            Kernel::Conv(kernel) => {
                let ((window, input, output), read) = piece(kernel.window, kernel.input, kernel.output);
                (Kernel::Conv(Conv { window, input, output, ..kernel }), read)
            }
            Kernel::Depthwise(kernel) => {
                let ((window, input, output), read) = piece(kernel.window, kernel.input, kernel.output);
                (Kernel::Depthwise(Depthwise { window, input, output, ..kernel }), read)
            }
            Kernel::Grouped(kernel) => {
                let ((window, input, output), read) = piece(kernel.window, kernel.input, kernel.output);
                (Kernel::Grouped(Grouped { window, input, output, ..kernel }), read)
            }
            Kernel::WindowPool(kernel) => {
                let ((window, input, output), read) = piece(kernel.window, kernel.input, kernel.output);
                (Kernel::WindowPool(WindowPool { window, input, output, ..kernel }), read)
            }
            Kernel::Pointwise(kernel) => {
                let input = kernel.input.with_height(rows.len());
                let output = kernel.output.with_height(rows.len());
                let residual = kernel.residual.map(|map| map.with_height(rows.len()));
                (Kernel::Pointwise(Pointwise { input, residual, output, ahead: 0, ..kernel }), rows)
            }
            // One row, whole: a pointwise layer over a single pixel.
            Kernel::Dense(kernel) => (Kernel::Dense(kernel), rows),
            Kernel::GlobalAveragePool(_)
            | Kernel::Elementwise(_)
            | Kernel::Concat(_)
            | Kernel::Upsample(_)
            | Kernel::Softmax(_)
            | Kernel::Quantise(_)
            | Kernel::Copy(_) => unreachable!("only what has a window is computed by rows"),
        }
    }

    /// The rows of the input that some rows of the output read.
    pub fn input_rows(&self, rows: Range<usize>) -> Range<usize> {
        self.rows(rows).1
    }

    /// The parts of a kernel that computes rows from rows, each of whole rows; fewer than asked for where there are fewer rows.
    pub fn row_parts(&self, parts: usize) -> Vec<Part> {
        let part = |(first, rows): (usize, usize)| {
            let (kernel, input_rows) = self.rows(first..first + rows);
            let residual = self.residual().map(|map| first * map.row_bytes());
            let inputs = [input_rows.start * self.input().row_bytes()].into_iter().chain(residual).collect();
            Part { kernel, inputs, filter: 0, output: first * self.output().row_bytes() }
        };
        pieces(self.output().shape.height, 1, parts).into_iter().map(part).collect()
    }
}

/// `extent` in at most `parts` pieces of whole `units`, as (first, length), as even as the units allow.
fn pieces(extent: usize, unit: usize, parts: usize) -> Vec<(usize, usize)> {
    let units = extent.div_ceil(unit);
    let parts = parts.clamp(1, units);
    let first = |part: usize| (part * units / parts * unit).min(extent);
    (0..parts).map(|part| (first(part), first(part + 1) - first(part))).collect()
}

/// Some output rows of a sliding window: the window with the padding that is left there, the input's first row and number of
/// rows.
fn window_rows(window: Window, height: usize, (first, rows): (usize, usize)) -> (Window, usize, usize) {
    let axis = window.rows;
    let origin = first * axis.stride;
    let before = axis.before.saturating_sub(origin);
    let low = origin.saturating_sub(axis.before);
    let high = axis.covered(first + rows).saturating_sub(axis.before).min(height);
    let covered = axis.covered(rows);
    // All taps of a row may lie in the padding; a row of input keeps the map from being empty.
    if height <= low {
        // Behind the last row: the taps of all rows, and so before this one.
        let padding = Axis { before: covered, after: 0, ..axis };
        return (Window { rows: padding, ..window }, height - 1, 1);
    }
    let high = high.max(low + 1);
    let after = covered.saturating_sub(before + high - low);
    (Window { rows: Axis { before, after, ..axis }, ..window }, low, high - low)
}

/// The parts of a kernel whose filter is packed in panels of `width` channels, each of so many rows.
fn panel_parts(
    output: FeatureMap,
    (width, rows): (usize, usize),
    parts: usize,
    kernel: impl Fn(FeatureMap) -> Kernel,
) -> Vec<Part> {
    let part = |(first, channels): (usize, usize)| Part {
        kernel: kernel(output.with_channels(channels)),
        inputs: vec![0],
        filter: first * rows * Dtype::F32.bytes(),
        output: first * output.dtype.bytes(),
    };
    pieces(output.shape.channels, width, parts).into_iter().map(part).collect()
}

fn panel_width(tile: Tile, isa: &Isa) -> usize {
    tile.vectors * isa.lanes
}

impl Conv {
    fn channel_parts(&self, parts: usize, isa: &Isa) -> Vec<Part> {
        let panels = (panel_width(self.tile, isa), self.filter_rows().total());
        panel_parts(self.output, panels, parts, |output| Kernel::Conv(Conv { output, ..*self }))
    }
}

impl Pointwise {
    fn pixel_parts(&self, parts: usize) -> Vec<Part> {
        let part = |(first, pixels): (usize, usize)| Part {
            kernel: Kernel::Pointwise(Pointwise {
                input: self.input.run(pixels),
                residual: self.residual.map(|map| map.run(pixels)),
                output: self.output.run(pixels),
                ahead: 0,
                ..*self
            }),
            inputs: [self.input]
                .into_iter()
                .chain(self.residual)
                .map(|map| first * map.pixel_bytes())
                .collect(),
            filter: 0,
            output: first * self.output.pixel_bytes(),
        };
        pieces(self.input.shape.pixels(), self.tile.mr, parts).into_iter().map(part).collect()
    }

    fn channel_parts(&self, parts: usize, isa: &Isa) -> Vec<Part> {
        let panels = (panel_width(self.tile, isa), self.filter_rows().total());
        let part = |mut part: Part| {
            part.inputs.extend(self.residual.map(|_| part.output));
            part
        };
        let kernel = |output: FeatureMap| {
            let residual = self.residual.map(|map| map.with_channels(output.shape.channels));
            Kernel::Pointwise(Pointwise { residual, output, ahead: 0, ..*self })
        };
        panel_parts(self.output, panels, parts, kernel).into_iter().map(part).collect()
    }
}

impl Depthwise {
    fn channel_parts(&self, parts: usize, isa: &Isa) -> Vec<Part> {
        let part = |(first, channels): (usize, usize)| Part {
            kernel: Kernel::Depthwise(Depthwise {
                input: self.input.with_channels(channels),
                output: self.output.with_channels(channels),
                ..*self
            }),
            inputs: vec![first * self.input.dtype.bytes()],
            filter: first * self.filter_rows() * Dtype::F32.bytes(),
            output: first * self.output.dtype.bytes(),
        };
        pieces(self.output.shape.channels, self.channels(isa), parts).into_iter().map(part).collect()
    }
}

impl Dense {
    fn channel_parts(&self, parts: usize, isa: &Isa) -> Vec<Part> {
        let panels = (self.vectors * isa.lanes, self.filter_rows().total());
        panel_parts(self.output, panels, parts, |output| Kernel::Dense(Dense { output, ..*self }))
    }
}

impl GlobalAveragePool {
    fn channel_parts(&self, parts: usize, isa: &Isa) -> Vec<Part> {
        let part = |(first, channels): (usize, usize)| Part {
            kernel: Kernel::GlobalAveragePool(GlobalAveragePool {
                input: self.input.with_channels(channels),
                output: self.output.with_channels(channels),
                ..*self
            }),
            inputs: vec![first * self.input.dtype.bytes()],
            filter: 0,
            output: first * self.output.dtype.bytes(),
        };
        pieces(self.output.shape.channels, isa.lanes, parts).into_iter().map(part).collect()
    }
}

impl Concat {
    fn pixel_parts(&self, parts: usize) -> Vec<Part> {
        let part = |(first, pixels): (usize, usize)| Part {
            kernel: Kernel::Concat(Concat {
                inputs: self.inputs.iter().map(|map| map.run(pixels)).collect(),
                output: self.output.run(pixels),
            }),
            inputs: self.inputs.iter().map(|map| first * map.pixel_bytes()).collect(),
            filter: 0,
            output: first * self.output.pixel_bytes(),
        };
        pieces(self.output.shape.pixels(), 1, parts).into_iter().map(part).collect()
    }
}

impl Upsample {
    fn input_row_parts(&self, parts: usize) -> Vec<Part> {
        let part = |(first, rows): (usize, usize)| Part {
            kernel: Kernel::Upsample(Upsample {
                input: self.input.with_height(rows),
                output: self.output.with_height(rows * self.factor),
                ..*self
            }),
            inputs: vec![first * self.input.row_bytes()],
            filter: 0,
            output: first * self.factor * self.output.row_bytes(),
        };
        pieces(self.input.shape.height, 1, parts).into_iter().map(part).collect()
    }
}

impl Elementwise {
    fn pixel_parts(&self, parts: usize) -> Vec<Part> {
        let part = |(first, pixels): (usize, usize)| {
            let operands = [self.a, self.b].map(|map| {
                if self.is_shared(map) { (map, 0) } else { (map.run(pixels), first * map.pixel_bytes()) }
            });
            let [(a, a_bytes), (b, b_bytes)] = operands;
            Part {
                kernel: Kernel::Elementwise(Elementwise { a, b, output: self.output.run(pixels), ..*self }),
                inputs: vec![a_bytes, b_bytes],
                filter: 0,
                output: first * self.output.pixel_bytes(),
            }
        };
        pieces(self.output.shape.pixels(), 1, parts).into_iter().map(part).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::describe::{Padding, Slide};
    use crate::random::Random;

    #[test]
    fn pieces_cover_the_axis() {
        assert_eq!(pieces(112, 1, 8).len(), 8);
        assert_eq!(pieces(7, 1, 2), [(0, 3), (3, 4)]);
        assert_eq!(
            pieces(1001, 128, 8),
            [(0, 128), (128, 128), (256, 128), (384, 128), (512, 128), (640, 128), (768, 128), (896, 105)]
        );
        assert_eq!(pieces(3, 8, 4), [(0, 3)]);
    }

    #[test]
    fn padding_stays_with_the_outer_rows() {
        let window = Window::resolve(Slide::square(3, 1), Padding::Symmetric, (12, 12));
        let rows = |piece| {
            let (window, low, height) = window_rows(window, 12, piece);
            (window.rows.before, window.rows.after, low, height)
        };
        assert_eq!(rows((0, 4)), (1, 0, 0, 5));
        assert_eq!(rows((4, 4)), (0, 0, 3, 6));
        assert_eq!(rows((8, 4)), (0, 1, 7, 5));
    }

    /// The rows of a piece see the elements that they see in the whole.
    #[test]
    fn pieces_have_the_taps_of_the_whole() {
        let mut random = Random::new(11);
        for _ in 0..20_000 {
            let (kernel, stride, dilation) = (random.within(1, 5), random.within(1, 4), random.within(1, 3));
            let axis =
                Axis { kernel, stride, dilation, before: random.within(0, 9), after: random.within(0, 9) };
            let height = random.within(1, 12);
            let Some(n_rows) = axis.output(height) else { continue };
            let first = random.within(0, n_rows - 1);
            let rows = random.within(1, n_rows - first);
            let window = Window { rows: axis, ..Window::POINTWISE };
            let (piece, low, len) = window_rows(window, height, (first, rows));
            assert!(1 <= len && low + len <= height, "{axis:?} {height} {first} {rows}: {low} {len}");
            let seen = |axis: Axis, y: usize, height: usize, low: usize| -> Vec<(usize, usize)> {
                let row = |tap: usize| (axis.offset(y, tap) as usize + low, tap);
                axis.taps(y, height).map(row).collect()
            };
            for y in 0..rows {
                let expected = seen(axis, first + y, height, 0);
                assert_eq!(seen(piece.rows, y, len, low), expected, "{axis:?} {height} {first} {rows} {y}");
            }
        }
    }
}
