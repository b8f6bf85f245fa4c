//! Depthwise convolution: output (y, x, c) = activation(bias + sum over the taps of channel c).
//!
//! Channels are innermost in memory, so a step computes one vector of channels for a block of `rows` x `pixels` neighbours: each
//! input vector is loaded once and used by every output under whose window it lies. Loop order: blocks of rows, blocks of a row,
//! vectors of channels. Borders have code of their own.
//!
//! Register map: an accumulator for each pixel, the weights of the kernel rows that are in use, one input vector. With one row
//! that is one kernel row, up to seven columns of it at a time. With several, a kernel row stays from the first input row that
//! it is applied to, for the first row of outputs, to the last one, for the last.

use std::ops::Range;

use mnc_runtime::filter::Packing;

use super::ending::Operands;
use super::epilogue::{Sum, store_activated};
use super::tile::{Cursor, Run, runs};
use super::{Ending, Family, FeatureMap, KernelName, NamedTile};
use crate::code::{Access, Address, Builder, Code, Reg};
use crate::graph::shape::{Axis, Window};
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
    /// What becomes of each sum.
    pub ending: Ending,
    /// Output rows of one step; several only where the kernel has few enough columns.
    pub rows: usize,
    /// Output pixels of each of them.
    pub pixels: usize,
}

/// Kernel columns whose weights are in registers at a time.
const MOST_FACTORS: usize = 7;

/// Bytes between the rows of a step, at most: such a distance fits into 31 bits.
const MOST_REACH: usize = 1 << 30;

/// Kernels of more rows than this loop over them; smaller ones are written out.
const MOST_UNROLLED_ROWS: usize = 3;

/// A use of an input row: the output pixels of a step that take it under one row of the kernel.
#[derive(Clone, Copy)]
struct Use<'a> {
    /// One for each pixel.
    accumulators: &'a [Reg],
    /// The weights of the kernel columns that are looked at.
    factors: &'a [Reg],
}

impl Depthwise {
    /// Pixels of each of so many rows that the registers leave room for beside the weights of the kernel rows in use, an input
    /// vector and a spare one; 0 where there is no such step.
    pub fn most_pixels(&self, rows: usize, isa: &Isa) -> usize {
        let Depthwise { window, input, output, .. } = *self;
        let n_columns = window.columns.kernel;
        if rows == 1 {
            return self.ending.registers(isa) - self.ending.operands(n_columns.min(MOST_FACTORS) + 2);
        }
        // The rows of a step lie at distances that are part of the instructions.
        let below = window.rows.covered(rows) * input.row_bytes();
        let reach = below.max(rows * output.row_bytes());
        if MOST_FACTORS < n_columns || MOST_REACH < reach {
            return 0;
        }
        let n_factors = kernel_rows_in_use(window, rows) * n_columns;
        self.ending.registers(isa).saturating_sub(self.ending.operands(n_factors + 2)) / rows
    }

    pub(super) fn name(&self, isa: &Isa) -> KernelName {
        KernelName {
            dtype: self.input.dtype,
            family: Family::Depthwise(self.window.slide()),
            tile: NamedTile { rows: self.rows, pixels: self.pixels, channels: isa.lanes },
            activation: self.ending.activation(),
            isa: isa.tag.to_owned(),
        }
    }

    /// By vector of channels: the bias, then the taps.
    pub(super) fn packing(&self, isa: &Isa) -> Packing {
        let n_vectors = self.output.shape.channels.div_ceil(isa.lanes);
        Packing::new(self.filter_rows() - 1, (isa.lanes, n_vectors), 0)
    }

    /// Words of a channel: bias, of integers also multiplier, and weights.
    pub(super) fn filter_rows(&self) -> usize {
        self.ending.head_rows() + self.window.taps()
    }

    pub(super) fn code(&self, isa: &Isa) -> Code {
        let Depthwise { window, input: map_in, output: map_out, .. } = self;
        let columns = self.columns();
        let mut b = Builder::with_registers(isa, self.ending.registers(isa));
        let input = b.parameter("input", Access::Read);
        let weights = b.parameter("weights", Access::Read);
        let output = b.parameter("output", Access::Write);
        for rows in &self.rows() {
            let taps: Vec<String> = rows.taps.iter().map(|taps| format!("{taps:?}")).collect();
            let (taps, first) = (taps.join(" "), rows.first);
            b.heading(match rows.len() {
                1 => format!("{} rows from {first} on, kernel rows {taps}", rows.count),
                len => format!("{} times {len} rows from {first} on, kernel rows {taps}", rows.count),
            });
            let (row_in, row_out) = (b.pointer(), b.pointer());
            b.set_pointer(row_in, input, self.row_offset(rows));
            b.set_pointer(row_out, output, (rows.first * map_out.row_words()) as isize);
            b.repeat(rows.count, |b| {
                for columns in &columns {
                    let at = Cursor { input: row_in, filter: weights, output: row_out };
                    self.tiles(b, isa, at, Block { rows, columns });
                }
                b.advance(row_in, rows.len() * window.rows.stride * map_in.row_words());
                b.advance(row_out, rows.len() * map_out.row_words());
            });
            b.free_pointers([row_in, row_out]);
        }
        b.finish()
    }

    /// The output rows, those that take the same taps together.
    fn rows(&self) -> Vec<Run> {
        let height = self.input.shape.height;
        runs(self.output.shape.height, self.rows, |y| self.window.rows.taps(y, height))
    }

    /// The steps of an output row, those that take the same taps together.
    fn columns(&self) -> Vec<Run> {
        let width = self.input.shape.width;
        runs(self.output.shape.width, self.pixels, |x| self.window.columns.taps(x, width))
    }

    /// Words from the start of the input to the first row that a run of output rows reads.
    fn row_offset(&self, run: &Run) -> isize {
        self.window.rows.offset(run.first, 0) * self.input.row_words() as isize
            + (self.first_row(run) * self.input.row_words()) as isize
    }

    /// Of the input rows from the upper end of a run's first window on, the first that one of its rows takes.
    fn first_row(&self, run: &Run) -> usize {
        let axis = self.window.rows;
        let first = |(row, taps): (usize, &Range<usize>)| row * axis.stride + taps.start * axis.dilation;
        let taken = run.taps.iter().enumerate().filter(|(_, taps)| !taps.is_empty()).map(first).min();
        taken.unwrap_or_else(|| first((0, &run.taps[0])))
    }

    /// The steps of a block, over all vectors of channels.
    fn tiles(&self, b: &mut Builder, isa: &Isa, at: Cursor, block: Block<'_>) {
        let Depthwise { window, input: map_in, output: map_out, .. } = self;
        let run = block.columns;
        let (tile_in, tile_out) = (b.pointer(), b.pointer());
        let left = window.columns.offset(run.first, 0);
        b.heading(format!("{} tiles of {} pixels from column {} on", run.count, run.len(), run.first));
        b.set_pointer(tile_in, at.input, left * map_in.pixel_words() as isize);
        b.set_pointer(tile_out, at.output, (run.first * map_out.pixel_words()) as isize);
        b.repeat(run.count, |b| {
            let (vector_in, vector_out, taps) = (b.pointer(), b.pointer(), b.pointer());
            b.set_pointer(vector_in, tile_in, 0);
            b.set_pointer(vector_out, tile_out, 0);
            b.set_pointer(taps, at.filter, 0);
            b.repeat(map_out.shape.channels.div_ceil(isa.lanes), |b| {
                self.step(b, isa, Cursor { input: vector_in, filter: taps, output: vector_out }, block);
                b.advance(vector_in, map_in.words(isa.lanes));
                b.advance(vector_out, map_out.words(isa.lanes));
                b.advance(taps, self.filter_rows() * isa.lanes);
            });
            b.free_pointers([vector_in, vector_out, taps]);
            b.advance(tile_in, run.len() * window.columns.stride * map_in.pixel_words());
            b.advance(tile_out, run.len() * map_out.pixel_words());
        });
        b.free_pointers([tile_in, tile_out]);
    }

    /// One vector of channels of one tile.
    fn step(&self, b: &mut Builder, isa: &Isa, at: Cursor, block: Block<'_>) {
        let (n_rows, n_pixels) = (block.rows.len(), block.columns.len());
        let accumulators = b.registers(n_rows * n_pixels);
        let border = |idx: usize| {
            self.ending.border(&block.rows.taps[idx / n_pixels], &block.columns.taps[idx % n_pixels])
        };
        let borders: Vec<usize> = (0..accumulators.len()).map(border).collect();
        for (idx, acc) in accumulators.iter().enumerate() {
            match borders[..idx].iter().position(|border| *border == borders[idx]) {
                None => b.load(*acc, at.filter.at(borders[idx] * isa.lanes)),
                Some(before) => b.copy(*acc, accumulators[before]),
            }
        }
        if n_rows == 1 {
            self.one_row(b, isa, at, block, &accumulators);
        } else {
            self.several_rows(b, isa, at, block, &accumulators);
        }
        let scratch = self.ending.scratch(b);
        let map = self.output;
        let place = |idx: usize| idx / n_pixels * map.row_words() + idx % n_pixels * map.pixel_words();
        let sum = |(idx, register): (usize, &Reg)| Sum {
            register: *register,
            addend: None,
            place: at.output.at(place(idx)),
        };
        let sums: Vec<Sum> = accumulators.iter().enumerate().map(sum).collect();
        match self.ending {
            Ending::Float(activation) => store_activated(b, activation, &scratch, &sums),
            Ending::Bytes(bytes) => bytes.store(b, scratch[0], &places(&sums)),
            Ending::Integer(ending) => {
                let row = ending.multiplier_row();
                let [multiplier, factor] = [row, row + 1].map(|row| at.filter.at(row * isa.lanes));
                let sums = places(&sums);
                ending.store(b, Operands { multiplier, factor, residuals: &[] }, &scratch, &sums);
            }
        }
        b.free(accumulators.iter().copied().chain(scratch));
    }

    /// The taps of a step of one output row, kernel row by kernel row.
    fn one_row(&self, b: &mut Builder, isa: &Isa, at: Cursor, block: Block<'_>, accumulators: &[Reg]) {
        let kernel_rows = block.rows.taps[0].clone();
        let n_weights = self.window.columns.kernel * isa.lanes;
        let row_step = self.window.rows.dilation * self.input.row_words();
        let first_row = self.ending.head_rows() * isa.lanes + kernel_rows.start * n_weights;
        let taps = block.columns.taps.as_slice();
        let kernel_row = |b: &mut Builder, input: Address, weights: Address| {
            let n_columns = self.window.columns.kernel;
            for first in (0..n_columns).step_by(MOST_FACTORS) {
                let columns = first..n_columns.min(first + MOST_FACTORS);
                let factors = load_factors(b, isa, weights, columns.clone(), taps);
                self.input_row(b, input, (columns, taps), &[Use { accumulators, factors: &factors }]);
                b.free(factors);
            }
        };
        if kernel_rows.len() <= MOST_UNROLLED_ROWS {
            for row in 0..kernel_rows.len() {
                kernel_row(b, at.input.at(row * row_step), at.filter.at(first_row + row * n_weights));
            }
            return;
        }
        let (row, weights) = (b.pointer(), b.pointer());
        b.set_pointer(row, at.input, 0);
        b.set_pointer(weights, at.filter, first_row as isize);
        b.repeat(kernel_rows.len(), |b| {
            kernel_row(b, row.at(0), weights.at(0));
            b.advance(row, row_step);
            b.advance(weights, n_weights);
        });
        b.free_pointers([row, weights]);
    }

    /// The taps of a step of several output rows, input row by input row: each is loaded once for all of them.
    fn several_rows(&self, b: &mut Builder, isa: &Isa, at: Cursor, block: Block<'_>, accumulators: &[Reg]) {
        let (n_pixels, n_columns) = (block.columns.len(), self.window.columns.kernel);
        let axis = self.window.rows;
        let first = self.first_row(block.rows);
        let users: Vec<Vec<(usize, usize)>> =
            (first..axis.covered(block.rows.len())).map(|row| users(axis, &block.rows.taps, row)).collect();
        let taps = block.columns.taps.as_slice();
        let mut factors: Vec<Vec<Reg>> = vec![Vec::new(); axis.kernel];
        for (input_row, of_row) in users.iter().enumerate() {
            for (_, ky) in of_row {
                if factors[*ky].is_empty() {
                    let weights = at.filter.at((self.ending.head_rows() + ky * n_columns) * isa.lanes);
                    factors[*ky] = load_factors(b, isa, weights, 0..n_columns, taps);
                }
            }
            let as_use = |(row, ky): &(usize, usize)| Use {
                accumulators: &accumulators[row * n_pixels..][..n_pixels],
                factors: &factors[*ky],
            };
            let uses: Vec<Use<'_>> = of_row.iter().map(as_use).collect();
            let input = at.input.at(input_row * self.input.row_words());
            self.input_row(b, input, (0..n_columns, taps), &uses);
            for (_, ky) in of_row {
                let is_needed = users[input_row + 1..].iter().flatten().any(|(_, other)| other == ky);
                if !is_needed {
                    b.free(std::mem::take(&mut factors[*ky]));
                }
            }
        }
    }

    /// An input row, from the leftmost tap of the first pixel on, under some columns of the kernel; for each pixel, the kernel
    /// columns that are inside of the map.
    fn input_row(
        &self,
        b: &mut Builder,
        input: Address,
        (columns, taps): (Range<usize>, &[Range<usize>]),
        uses: &[Use<'_>],
    ) {
        let axis = self.window.columns;
        let lanes = b.lanes();
        let element = b.register();
        for column in columns.start * axis.dilation..axis.covered(taps.len()) {
            let mut users = users(axis, taps, column);
            users.retain(|(_, kx)| columns.contains(kx));
            if users.is_empty() || uses.is_empty() {
                continue;
            }
            let from = input.after(column * self.input.pixel_words());
            match self.ending {
                Ending::Float(_) | Ending::Bytes(_) => b.load(element, from),
                Ending::Integer(_) => b.load_bytes(element, from, lanes),
            }
            for Use { accumulators, factors } in uses {
                for (pixel, kx) in &users {
                    self.ending.add_product(b, accumulators[*pixel], element, factors[kx - columns.start]);
                }
            }
        }
        b.free([element]);
    }
}

/// Each sum with where it is stored.
fn places(sums: &[Sum]) -> Vec<(Reg, Address)> {
    sums.iter().map(|sum| (sum.register, sum.place)).collect()
}

/// The output pixels of a step: rows, and columns of each of them.
#[derive(Clone, Copy)]
struct Block<'a> {
    rows: &'a Run,
    columns: &'a Run,
}

/// Of the outputs of a block along an axis, with the taps that are inside of the map, those under whose window an input element lies,
/// each with its tap. The element is counted from the first tap of the first output.
fn users(axis: Axis, taps: &[Range<usize>], element: usize) -> Vec<(usize, usize)> {
    let tap = |output: usize| {
        let distance = element.checked_sub(output * axis.stride)?;
        distance.is_multiple_of(axis.dilation).then_some(distance / axis.dilation)
    };
    let outputs = taps.iter().enumerate();
    outputs
        .filter_map(|(output, inside)| {
            tap(output).filter(|tap| inside.contains(tap)).map(|tap| (output, tap))
        })
        .collect()
}

/// Loads the weights of some columns of a kernel row, those of them that a pixel takes.
fn load_factors(
    b: &mut Builder,
    isa: &Isa,
    weights: Address,
    columns: Range<usize>,
    taps: &[Range<usize>],
) -> Vec<Reg> {
    let factors = b.registers(columns.len());
    for (kx, factor) in columns.zip(&factors) {
        if taps.iter().any(|inside| inside.contains(&kx)) {
            b.load(*factor, weights.after(kx * isa.lanes));
        }
    }
    factors
}

/// Kernel rows whose weights a step of so many output rows needs at once, at most.
fn kernel_rows_in_use(window: Window, rows: usize) -> usize {
    let axis = window.rows;
    let span = |ky: usize| ky * axis.dilation..=ky * axis.dilation + (rows - 1) * axis.stride;
    let in_use = |input_row: usize| (0..axis.kernel).filter(|ky| span(*ky).contains(&input_row)).count();
    (0..axis.covered(rows)).map(in_use).max().unwrap_or(0)
}
