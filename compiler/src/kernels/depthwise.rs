//! Depthwise convolution: output (y, x, c) = activation(bias + sum over the taps of channel c).
//!
//! Channels are innermost in memory, so a step computes one vector of channels for `pixels` neighbours of a row: each input
//! vector is loaded once and used by every output under whose window it lies. Loop order: output rows, tiles of a row,
//! vectors of channels. Borders have code of their own.
//!
//! Register map: `pixels` accumulators, the weights of up to seven columns of one kernel row, one input vector.

use std::ops::Range;

use mnc_runtime::filter::Packing;

use super::epilogue::{self, Sum, store_activated};
use super::tile::{Cursor, Run, runs};
use super::{Family, FeatureMap, KernelName, NamedTile};
use crate::code::{Access, Address, Builder, Code, Reg};
use crate::graph::layer::Activation;
use crate::graph::shape::Window;
use crate::target::Isa;

/// A depthwise convolution with channel multiplier 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Depthwise {
    /// The sliding window.
    pub window: Window,
    /// Padded.
    pub input: FeatureMap,
    /// Padded.
    pub output: FeatureMap,
    /// Applied to each output element.
    pub activation: Activation,
    /// Output pixels of one step.
    pub pixels: usize,
}

/// Kernel columns whose weights are in registers at a time.
const MOST_FACTORS: usize = 7;

/// Kernels of more rows than this loop over them; smaller ones are written out.
const MOST_UNROLLED_ROWS: usize = 3;

/// One row of the window, over the pixels of a step.
struct KernelRow<'a> {
    /// The input row under it, from the leftmost tap of the first pixel on.
    input: Address,
    /// The row's weights, a vector for each tap.
    weights: Address,
    /// One for each pixel.
    accumulators: &'a [Reg],
    /// For each pixel, the kernel columns that are inside of the map.
    taps: &'a [Range<usize>],
}

impl Depthwise {
    /// Accumulators that the registers leave room for beside the weights of a kernel row, an input vector and a spare one.
    pub fn most_pixels(window: Window, isa: &Isa) -> usize {
        isa.vector_registers - window.columns.kernel.min(MOST_FACTORS) - 2
    }

    pub(super) fn name(&self, isa: &Isa) -> KernelName {
        KernelName {
            family: Family::Depthwise(self.window.slide()),
            tile: NamedTile { pixels: self.pixels, channels: isa.lanes },
            activation: self.activation,
            isa: isa.tag.to_owned(),
        }
    }

    /// By vector of channels: the bias, then the taps.
    pub(super) fn packing(&self, isa: &Isa) -> Packing {
        let n_vectors = self.output.shape.channels.div_ceil(isa.lanes);
        Packing::new(self.window.taps(), (isa.lanes, n_vectors), 0)
    }

    pub(super) fn code(&self, isa: &Isa) -> Code {
        let Depthwise { window, input: map_in, output: map_out, .. } = self;
        let columns = self.columns();
        let mut b = Builder::new(isa);
        let input = b.parameter("input", Access::Read);
        let weights = b.parameter("weights", Access::Read);
        let output = b.parameter("output", Access::Write);
        for run in &self.rows() {
            let kernel_rows = run.taps[0].clone();
            b.heading(format!("{} rows from {} on, kernel rows {kernel_rows:?}", run.count, run.first));
            let (row_in, row_out) = (b.pointer(), b.pointer());
            b.set_pointer(row_in, input, self.row_offset(run));
            b.set_pointer(row_out, output, (run.first * map_out.row_stride()) as isize);
            b.repeat(run.count, |b| {
                for run in &columns {
                    let at = Cursor { input: row_in, filter: weights, output: row_out };
                    self.tiles(b, isa, at, kernel_rows.clone(), run);
                }
                b.advance(row_in, window.rows.stride * map_in.row_stride());
                b.advance(row_out, map_out.row_stride());
            });
            b.free_pointers([row_in, row_out]);
        }
        b.finish()
    }

    /// The output rows, those that take the same taps together.
    fn rows(&self) -> Vec<Run> {
        let height = self.input.shape.height;
        runs(self.output.shape.height, 1, |y| self.window.rows.taps(y, height))
    }

    /// The steps of an output row, those that take the same taps together.
    fn columns(&self) -> Vec<Run> {
        let width = self.input.shape.width;
        runs(self.output.shape.width, self.pixels, |x| self.window.columns.taps(x, width))
    }

    /// Elements from the start of the input to the first row that a run of output rows reads.
    fn row_offset(&self, run: &Run) -> isize {
        self.window.rows.offset(run.first, run.taps[0].start) * self.input.row_stride() as isize
    }

    /// The steps of a run, over all vectors of channels.
    fn tiles(&self, b: &mut Builder, isa: &Isa, at: Cursor, kernel_rows: Range<usize>, run: &Run) {
        let Depthwise { window, input: map_in, output: map_out, .. } = self;
        let (tile_in, tile_out) = (b.pointer(), b.pointer());
        let left = window.columns.offset(run.first, 0);
        b.heading(format!("{} tiles of {} pixels from column {} on", run.count, run.len(), run.first));
        b.set_pointer(tile_in, at.input, left * map_in.pixel_stride as isize);
        b.set_pointer(tile_out, at.output, (run.first * map_out.pixel_stride) as isize);
        b.repeat(run.count, |b| {
            let (vector_in, vector_out, taps) = (b.pointer(), b.pointer(), b.pointer());
            b.set_pointer(vector_in, tile_in, 0);
            b.set_pointer(vector_out, tile_out, 0);
            b.set_pointer(taps, at.filter, 0);
            b.repeat(map_out.shape.channels.div_ceil(isa.lanes), |b| {
                let at = Cursor { input: vector_in, filter: taps, output: vector_out };
                self.step(b, isa, at, kernel_rows.clone(), run);
                b.advance(vector_in, isa.lanes);
                b.advance(vector_out, isa.lanes);
                b.advance(taps, (1 + window.taps()) * isa.lanes);
            });
            b.free_pointers([vector_in, vector_out, taps]);
            b.advance(tile_in, run.len() * window.columns.stride * map_in.pixel_stride);
            b.advance(tile_out, run.len() * map_out.pixel_stride);
        });
        b.free_pointers([tile_in, tile_out]);
    }

    /// One vector of channels of one tile.
    fn step(&self, b: &mut Builder, isa: &Isa, at: Cursor, kernel_rows: Range<usize>, run: &Run) {
        let Depthwise { window, input: map_in, output: map_out, .. } = self;
        let accumulators = b.registers(run.len());
        b.load(accumulators[0], at.filter.at(0));
        accumulators[1..].iter().for_each(|acc| b.copy(*acc, accumulators[0]));
        let (accumulators, taps) = (accumulators.as_slice(), run.taps.as_slice());

        let n_weights = window.columns.kernel * isa.lanes;
        let row_step = window.rows.dilation * map_in.row_stride();
        let first_row = isa.lanes + kernel_rows.start * n_weights;
        if kernel_rows.len() <= MOST_UNROLLED_ROWS {
            for row in 0..kernel_rows.len() {
                let input = at.input.at(row * row_step);
                let weights = at.filter.at(first_row + row * n_weights);
                self.kernel_row(b, isa, KernelRow { input, weights, accumulators, taps });
            }
        } else {
            let (row, weights) = (b.pointer(), b.pointer());
            b.set_pointer(row, at.input, 0);
            b.set_pointer(weights, at.filter, first_row as isize);
            b.repeat(kernel_rows.len(), |b| {
                let at = KernelRow { input: row.at(0), weights: weights.at(0), accumulators, taps };
                self.kernel_row(b, isa, at);
                b.advance(row, row_step);
                b.advance(weights, n_weights);
            });
            b.free_pointers([row, weights]);
        }

        let scratch = epilogue::scratch(b, self.activation);
        let place = |pixel: usize| at.output.at(pixel * map_out.pixel_stride);
        let sum =
            |(pixel, register): (usize, &Reg)| Sum { register: *register, addend: None, place: place(pixel) };
        let sums: Vec<Sum> = accumulators.iter().enumerate().map(sum).collect();
        store_activated(b, self.activation, &scratch, &sums);
        b.free(accumulators.iter().copied().chain(scratch));
    }

    /// The taps of one kernel row: as many columns at a time as have registers for their weights.
    fn kernel_row(&self, b: &mut Builder, isa: &Isa, row: KernelRow<'_>) {
        let n_columns = self.window.columns.kernel;
        for first in (0..n_columns).step_by(MOST_FACTORS) {
            self.kernel_columns(b, isa, &row, first..n_columns.min(first + MOST_FACTORS));
        }
    }

    fn kernel_columns(&self, b: &mut Builder, isa: &Isa, row: &KernelRow<'_>, columns: Range<usize>) {
        let KernelRow { input, weights, accumulators, taps } = *row;
        let axis = self.window.columns;
        let factors = b.registers(columns.len());
        for (kx, factor) in columns.clone().zip(&factors) {
            if taps.iter().any(|inside| inside.contains(&kx)) {
                b.load(*factor, weights.after(kx * isa.lanes));
            }
        }
        let element = b.register();
        for column in columns.start * axis.dilation..(taps.len() - 1) * axis.stride + axis.span() {
            // The outputs under whose window this input column lies, each with its tap.
            let tap = |pixel: usize| {
                let distance = column.checked_sub(pixel * axis.stride)?;
                distance.is_multiple_of(axis.dilation).then_some(distance / axis.dilation)
            };
            let users: Vec<(usize, usize)> = (0..taps.len())
                .filter_map(|pixel| tap(pixel).map(|kx| (pixel, kx)))
                .filter(|(pixel, kx)| taps[*pixel].contains(kx) && columns.contains(kx))
                .collect();
            if users.is_empty() {
                continue;
            }
            b.load(element, input.after(column * self.input.pixel_stride));
            for (pixel, kx) in users {
                b.fma(accumulators[pixel], element, factors[kx - columns.start]);
            }
        }
        b.free(factors.into_iter().chain([element]));
    }
}
