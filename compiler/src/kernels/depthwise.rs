//! Depthwise convolution: output (y, x, c) = activation(bias + sum over the taps of channel c).
//!
//! Channels are innermost in memory, so a step computes one vector of channels for a block of `rows` x `pixels` neighbours: each
//! input vector is loaded once and used by every output under whose window it lies. Loop order: blocks of rows, blocks of a row,
//! vectors of channels. Borders have code of their own.
//!
//! Register map: an accumulator for each pixel, the weights of the kernel rows that are in use, one input vector. With one row
//! that is one kernel row, up to seven columns of it at a time. With several, a kernel row stays from the first input row that
//! it is applied to, for the first row of outputs, to the last one, for the last.

mod flat;
mod rows;

use std::ops::Range;

use mnc_runtime::filter::Packing;

use super::ending::Operands;
use super::epilogue::{Sum, store_activated};
use super::tile::{Cursor, Run, runs};
use super::{Ending, Family, FeatureMap, IntegerEnding, KernelName, NamedTile, WORD};
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
    /// What its products are of.
    pub form: Form,
    /// Output rows of one step; several only where the kernel has few enough columns.
    pub rows: usize,
    /// Output pixels of each of them.
    pub pixels: usize,
}

/// What a word of a depthwise product holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// One number, or one byte.
    Taps,
    /// Bytes of so many rows, two or four: see `depthwise/rows.rs`.
    Rows(usize),
    /// The same of several pixels side by side, as many as a vector has room for, which count as one: see `depthwise/flat.rs`.
    Flat(usize),
}

impl Form {
    /// Rows of a word.
    fn rows(self) -> usize {
        match self {
            Form::Taps => 1,
            Form::Rows(rows) | Form::Flat(rows) => rows,
        }
    }
}

/// Kernel columns whose weights are in registers at a time.
const MOST_FACTORS: usize = 7;

/// Bytes between the rows of a step, at most: such a distance fits into 31 bits.
const MOST_REACH: usize = 1 << 30;

/// Rows and columns of a kernel whose taps are all written out, at most: there would be thousands of them.
const MOST_WRITTEN_OUT: usize = 7;

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
        // The rows of a step lie at distances that are part of the instructions.
        let below = window.rows.covered(rows) * input.row_bytes();
        let reach = below.max(rows * output.row_bytes());
        if self.form != Form::Taps {
            return if MOST_REACH < reach { 0 } else { self.most_pixels_of_words(rows, isa) };
        }
        if rows == 1 {
            return self.ending.registers(isa) - self.ending.operands(n_columns.min(MOST_FACTORS) + 2);
        }
        if MOST_FACTORS < n_columns || MOST_REACH < reach {
            return 0;
        }
        let n_factors = kernel_rows_in_use(window, rows) * n_columns;
        self.ending.registers(isa).saturating_sub(self.ending.operands(n_factors + 2)) / rows
    }

    /// The kernel in each form that the instruction set has and that there is a use for, that of taps first.
    pub fn in_all_forms(self, isa: &Isa) -> Vec<Depthwise> {
        let forms = [Form::Taps].into_iter().chain(self.form_of_words(isa));
        forms.map(|form| Depthwise { form, ..self }).collect()
    }

    /// The form of words of rows.
    fn form_of_words(&self, isa: &Isa) -> Option<Form> {
        let gives_bytes =
            matches!(self.ending, Ending::Integer(IntegerEnding { bytes: Some(_), addition: None, .. }));
        let Window { rows, columns } = self.window;
        let is_short = rows.kernel <= MOST_WRITTEN_OUT && columns.kernel <= MOST_WRITTEN_OUT;
        let n_rows = if isa.native_dot { WORD } else { WORD / 2 };
        let form = if self.is_flat(isa) { Form::Flat(n_rows) } else { Form::Rows(n_rows) };
        (gives_bytes && isa.zips_bytes && rows.kernel != 1 && is_short).then_some(form)
    }

    /// The kernel in the form and with the step of such a tile.
    pub fn with_tile(self, tile: NamedTile, isa: &Isa) -> Depthwise {
        let NamedTile { rows, pixels, channels } = tile;
        let is_of_words = channels != isa.lanes;
        let form = self.form_of_words(isa).filter(|_| is_of_words).unwrap_or(Form::Taps);
        Depthwise { form, rows, pixels, ..self }
    }

    pub(super) fn name(&self, isa: &Isa) -> KernelName {
        KernelName {
            dtype: self.input.dtype,
            family: Family::Depthwise(self.window.slide()),
            tile: NamedTile { rows: self.rows, pixels: self.pixels, channels: self.channels(isa) },
            activation: self.ending.activation(),
            isa: isa.tag.to_owned(),
        }
    }

    /// Steps of all channels.
    pub(crate) fn n_steps(&self) -> usize {
        let count = |runs: Vec<Run>| runs.iter().map(|run| run.count).sum::<usize>();
        count(self.rows()) * count(self.columns())
    }

    /// Channels of a step.
    pub(crate) fn channels(&self, isa: &Isa) -> usize {
        match self.form {
            Form::Taps => isa.lanes,
            Form::Rows(_) | Form::Flat(_) => rows::width(isa),
        }
    }

    /// Which of the channels of a step is in a position of the packed filter.
    pub(super) fn channel_at(&self, position: usize, isa: &Isa) -> usize {
        match self.form {
            Form::Taps => position,
            Form::Rows(_) => rows::channel_at(position, isa),
            Form::Flat(_) => rows::channel_at(position, isa) % self.output.pixel_stride,
        }
    }

    /// The taps whose weights a word of the packed filter has, of so many behind the head; the weights share its bytes evenly.
    pub(super) fn taps_of_word(&self, word: usize) -> Vec<Option<usize>> {
        match self.form {
            Form::Taps => vec![Some(word), None, None, None],
            Form::Rows(_) | Form::Flat(_) => self.taps_of_rows(word),
        }
    }

    /// By the channels of a step: the bias, then the taps.
    pub(super) fn packing(&self, isa: &Isa) -> Packing {
        let width = self.channels(isa);
        Packing::new(self.filter_rows() - 1, (width, self.output.shape.channels.div_ceil(width)), 0)
    }

    /// Words of a channel: bias, of integers also multiplier, and weights.
    pub(super) fn filter_rows(&self) -> usize {
        let n_words = match self.form {
            Form::Taps => self.window.taps(),
            Form::Rows(_) | Form::Flat(_) => self.n_words_of_rows(),
        };
        self.ending.head_rows() + n_words
    }

    pub(super) fn code(&self, isa: &Isa) -> Code {
        let registers = match self.form {
            Form::Taps => self.ending.registers(isa),
            Form::Rows(_) | Form::Flat(_) => self.registers_for_words(isa),
        };
        let mut b = Builder::with_registers(isa, registers);
        let input = b.parameter("input", Access::Read);
        let filter = b.parameter("weights", Access::Read);
        let output = b.parameter("output", Access::Write);
        let at = Cursor { input, filter, output };
        match self.form {
            Form::Taps => {
                let columns = (&self.columns()[..], 1);
                self.blocks(&mut b, at, columns, &|b, at, block| self.vectors(b, isa, at, block));
            }
            Form::Rows(_) => self.words_of_rows(&mut b, isa, at),
            Form::Flat(_) => self.flat(&mut b, isa, at),
        }
        b.finish()
    }

    /// A tile after the other: rows, then tiles along them, whose positions are of so many pixels each.
    fn blocks<T>(
        &self,
        b: &mut Builder,
        at: Cursor,
        (columns, n_together): (&[Run<T>], usize),
        tile: &dyn Fn(&mut Builder, Cursor, Block<'_, T>),
    ) {
        let Depthwise { window, input: map_in, output: map_out, .. } = self;
        for rows in &self.rows() {
            let taps: Vec<String> = rows.taps.iter().map(|taps| format!("{taps:?}")).collect();
            let (taps, first) = (taps.join(" "), rows.first);
            b.heading(match rows.len() {
                1 => format!("{} rows from {first} on, kernel rows {taps}", rows.count),
                len => format!("{} times {len} rows from {first} on, kernel rows {taps}", rows.count),
            });
            let (row_in, row_out) = (b.pointer(), b.pointer());
            b.set_pointer(row_in, at.input, self.row_offset(rows));
            b.set_pointer(row_out, at.output, (rows.first * map_out.row_words()) as isize);
            b.repeat(rows.count, |b| {
                for columns in columns {
                    let at = Cursor { input: row_in, output: row_out, ..at };
                    self.tiles(b, at, (Block { rows, columns }, n_together), tile);
                }
                b.advance(row_in, rows.len() * window.rows.stride * map_in.row_words());
                b.advance(row_out, rows.len() * map_out.row_words());
            });
            b.free_pointers([row_in, row_out]);
        }
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

    /// The tiles of a block.
    fn tiles<T>(
        &self,
        b: &mut Builder,
        at: Cursor,
        (block, n_together): (Block<'_, T>, usize),
        tile: &dyn Fn(&mut Builder, Cursor, Block<'_, T>),
    ) {
        let Depthwise { window, input: map_in, output: map_out, .. } = self;
        let run = block.columns;
        let (tile_in, tile_out) = (b.pointer(), b.pointer());
        let (first, len) = (run.first * n_together, run.len() * n_together);
        let left = window.columns.offset(first, 0);
        b.heading(format!("{} tiles of {len} pixels from column {first} on", run.count));
        b.set_pointer(tile_in, at.input, left * map_in.pixel_words() as isize);
        b.set_pointer(tile_out, at.output, (first * map_out.pixel_words()) as isize);
        b.repeat(run.count, |b| {
            tile(b, Cursor { input: tile_in, output: tile_out, ..at }, block);
            b.advance(tile_in, len * window.columns.stride * map_in.pixel_words());
            b.advance(tile_out, len * map_out.pixel_words());
        });
        b.free_pointers([tile_in, tile_out]);
    }

    /// All vectors of channels of one tile.
    fn vectors(&self, b: &mut Builder, isa: &Isa, at: Cursor, block: Block<'_>) {
        let at = at.copied(b);
        b.repeat(self.output.shape.channels.div_ceil(isa.lanes), |b| {
            self.step(b, isa, at, block);
            self.advance(b, at, isa.lanes);
        });
        at.free(b);
    }

    /// On to so many other channels.
    fn advance(&self, b: &mut Builder, at: Cursor, channels: usize) {
        b.advance(at.input, self.input.words(channels));
        b.advance(at.output, self.output.words(channels));
        b.advance(at.filter, self.filter_rows() * channels);
    }

    /// One vector of channels of one tile.
    fn step(&self, b: &mut Builder, isa: &Isa, at: Cursor, block: Block<'_>) {
        let (n_rows, n_pixels) = (block.rows.len(), block.columns.len());
        let accumulators = b.registers(n_rows * n_pixels);
        self.start(b, block, &accumulators, |row| at.filter.at(row * isa.lanes));
        if n_rows == 1 {
            self.one_row(b, isa, at, block, &accumulators);
        } else {
            self.several_rows(b, isa, at, block, &accumulators);
        }
        let scratch = self.ending.scratch(b);
        let sum = |(idx, register): (usize, &Reg)| Sum {
            register: *register,
            addend: None,
            place: at.output.at(self.place(block, idx)),
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

    /// Starts the sums of a block's pixels from their biases, which lie in rows of the packed filter.
    fn start(&self, b: &mut Builder, block: Block<'_>, sums: &[Reg], row: impl Fn(usize) -> Address) {
        let n_pixels = block.columns.len();
        let border = |idx: usize| {
            self.ending.border(&block.rows.taps[idx / n_pixels], &block.columns.taps[idx % n_pixels])
        };
        let borders: Vec<usize> = (0..sums.len()).map(border).collect();
        for (idx, sum) in sums.iter().enumerate() {
            match borders[..idx].iter().position(|border| *border == borders[idx]) {
                None => b.load(*sum, row(borders[idx])),
                Some(before) => b.copy(*sum, sums[before]),
            }
        }
    }

    /// Words from the first pixel of a block to another of its output.
    fn place(&self, block: Block<'_>, idx: usize) -> usize {
        let n_pixels = block.columns.len();
        idx / n_pixels * self.output.row_words() + idx % n_pixels * self.output.pixel_words()
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
struct Block<'a, T = Range<usize>> {
    rows: &'a Run,
    columns: &'a Run<T>,
}

impl<T> Copy for Block<'_, T> {}

impl<T> Clone for Block<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
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
