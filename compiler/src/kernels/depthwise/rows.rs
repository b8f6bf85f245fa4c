//! Depthwise convolution of bytes, several rows of the input at a time: four where one instruction adds up the products of four bytes,
//! else two, of numbers of 16 bits.
//!
//! Bytes of those rows in the same column are zipped into words, one for each channel; with zeros between them where there are two. A
//! word serves every output row under whose window some of its rows lie: with a kernel of three rows and stride 1 a word of four serves
//! two, whose words of weights are (w0, w1, w2, 0) and (0, w0, w1, w2). A step computes four vectors of channels, as many as a vector has
//! bytes.
//!
//! Zips work in each 16 bytes by themselves, and so do the two steps that narrow sums to bytes. Between them lane e of vector v holds
//! channel 16 (e / 4) + 4 v + e mod 4 of the step's channels, and the filter is packed in that order.
//!
//! Register map: an accumulator for each vector of each pixel, the words of a column or the rows that become them; weights come from
//! memory, but for those that there are registers for.

use super::{Block, Depthwise, Form, users};
use crate::code::{Address, Builder, PART, Ptr, Reg, Unit};
use crate::kernels::ending::Operands;
use crate::kernels::narrow::narrow;
use crate::kernels::tile::{Cursor, Run};
use crate::kernels::{Ending, IntegerEnding, WORD};
use crate::target::Isa;

/// Vectors of channels of a step.
pub(super) const VECTORS: usize = 4;
/// Registers beside the accumulators: the words, and one more to make them.
const OPERANDS: usize = VECTORS + 1;
/// What an access to a part of a vector may take where there are no masks.
const SPARES: usize = 2;

/// The rows of a word, of which the first is so many words' from the first row of a step's windows, and an output row that takes some.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Pair {
    output_row: usize,
    word: usize,
}

/// The words of weights of some channels: as many in registers as there is room for, the others in memory.
pub(super) struct Words {
    filter: Ptr,
    /// Of the first, row by row of the packed filter, vector by vector.
    resident: Vec<Reg>,
}

impl Words {
    /// Gives the registers back.
    pub(super) fn free(self, b: &mut Builder) {
        b.free(self.resident);
    }
}

/// Channels of a step.
pub(super) fn width(isa: &Isa) -> usize {
    VECTORS * isa.lanes
}

/// Where the words of a vector of channels lie in a row of the packed filter.
pub(super) fn place(filter: Ptr, row: usize, vector: usize, isa: &Isa) -> Address {
    filter.at(row * width(isa) + vector * isa.lanes)
}

/// Which of the channels of a step is in a position of the packed filter.
pub(super) fn channel_at(position: usize, isa: &Isa) -> usize {
    let (vector, lane) = (position / isa.lanes, position % isa.lanes);
    let words = PART / WORD;
    PART * (lane / words) + words * vector + lane % words
}

impl Depthwise {
    /// Which words of weights there are, kernel columns apart.
    fn pairs(&self) -> Vec<Pair> {
        let axis = self.window.rows;
        let all = (0..self.rows).flat_map(|output_row| {
            (0..axis.covered(self.rows).div_ceil(self.form.rows())).map(move |word| Pair { output_row, word })
        });
        all.filter(|pair| self.kernel_rows(*pair).iter().any(Option::is_some)).collect()
    }

    /// Words of a channel behind the head.
    pub(super) fn n_words_of_rows(&self) -> usize {
        self.pairs().len() * self.window.columns.kernel
    }

    /// The taps whose weights a word has, of so many behind the head.
    pub(super) fn taps_of_rows(&self, word: usize) -> Vec<Option<usize>> {
        let n_columns = self.window.columns.kernel;
        let pair = self.pairs()[word / n_columns];
        self.kernel_rows(pair).into_iter().map(|row| Some(row? * n_columns + word % n_columns)).collect()
    }

    /// Pixels of each of so many rows that the registers leave room for.
    pub(super) fn most_pixels_of_words(&self, rows: usize, isa: &Isa) -> usize {
        let room = self.registers_for_words(isa).saturating_sub(self.ending.operands(OPERANDS));
        let most = room / (rows * VECTORS);
        if matches!(self.form, Form::Flat(_)) { most.min(1) } else { most }
    }

    /// Registers of the kernel.
    pub(super) fn registers_for_words(&self, isa: &Isa) -> usize {
        let has_part =
            matches!(self.form, Form::Rows(_)) && !self.output.shape.channels.is_multiple_of(width(isa));
        self.ending.registers(isa) - if has_part { SPARES } else { 0 }
    }

    /// The whole map for the channels of a step, then for the next: words of weights are four times as long as weights, and the
    /// first-level cache holds those of few channels.
    pub(super) fn words_of_rows(&self, b: &mut Builder, isa: &Isa, at: Cursor) {
        let (width, channels) = (width(isa), self.output.shape.channels);
        let columns = self.columns();
        let map = |b: &mut Builder, lanes: usize| {
            let weights = self.load_words(b, isa, at.filter, self.rows * self.pixels);
            self.blocks(b, at, (&columns, 1), &|b, at, block| {
                self.step_of_words(b, isa, (at, &weights), block, lanes);
            });
            weights.free(b);
        };
        b.repeat(channels / width, |b| {
            map(b, isa.lanes);
            self.advance(b, at, width);
        });
        if let rest @ 1.. = channels % width {
            // What is behind the channels in a pixel is there to be read and written, to the end of a vector's worth of bytes.
            let lanes = self.output.words(rest.next_multiple_of(isa.lanes));
            map(b, lanes);
        }
    }

    /// The words of weights at a place of the packed filter, for steps of so many sums.
    pub(super) fn load_words(&self, b: &mut Builder, isa: &Isa, filter: Ptr, n_sums: usize) -> Words {
        let room =
            self.registers_for_words(isa).saturating_sub(VECTORS * n_sums + self.ending.operands(OPERANDS));
        let n_resident = room.min(VECTORS * self.n_words_of_rows());
        let load = |idx: usize| {
            let register = b.register();
            b.load(register, place(filter, self.ending.head_rows() + idx / VECTORS, idx % VECTORS, isa));
            register
        };
        Words { filter, resident: (0..n_resident).map(load).collect() }
    }

    /// sum += the products of words of rows with those of weights, of a kernel column.
    pub(super) fn add_products(
        &self,
        b: &mut Builder,
        isa: &Isa,
        weights: &Words,
        (position, kx, vector): (usize, usize, usize),
        (sum, word): (Reg, Reg),
    ) {
        let row = position * self.window.columns.kernel + kx;
        let from = || place(weights.filter, self.ending.head_rows() + row, vector, isa);
        match (weights.resident.get(VECTORS * row + vector), isa.native_dot) {
            // Nobody has asked whether pairs of rows fit.
            (Some(resident), true) => b.dot(sum, word, *resident, false),
            (None, true) => b.dot_load(sum, word, from()),
            (Some(resident), false) => b.dot_pairs(sum, word, *resident),
            (None, false) => b.dot_pairs_load(sum, word, from()),
        }
    }

    /// Four vectors of channels of one tile, of which the first `lanes` words of four channels are in memory.
    fn step_of_words(
        &self,
        b: &mut Builder,
        isa: &Isa,
        (at, weights): (Cursor, &Words),
        block: Block<'_>,
        lanes: usize,
    ) {
        let Block { rows, columns } = block;
        let n_pixels = columns.len();
        let row_of_filter = |row: usize, vector: usize| place(at.filter, row, vector, isa);
        let sums: Vec<Vec<Reg>> = (0..VECTORS).map(|_| b.registers(rows.len() * n_pixels)).collect();
        for (vector, sums) in sums.iter().enumerate() {
            self.start(b, block, sums, |row| row_of_filter(row, vector));
        }
        let load = |b: &mut Builder, dst: Reg, from: Address| b.load_part(dst, from, lanes);
        for column in 0..self.window.columns.covered(n_pixels) {
            let pixels = users(self.window.columns, &columns.taps, column);
            if pixels.is_empty() {
                continue;
            }
            self.each_word(b, rows, |b, word, pairs| {
                let words = self.words(b, &self.rows_of_word(at, rows, word, column), &load);
                for (position, output_row) in pairs {
                    for (pixel, kx) in &pixels {
                        for (vector, word) in words.iter().enumerate() {
                            let sum = sums[vector][output_row * n_pixels + pixel];
                            self.add_products(b, isa, weights, (*position, *kx, vector), (sum, *word));
                        }
                    }
                }
                b.free(words);
            });
        }
        self.finish(b, sums, row_of_filter, |idx| at.output.at(self.place(block, idx)), lanes);
    }

    /// What there is to do for each word of rows of the input that a block takes: with the output rows that take some of them, each with
    /// the position of its words among those of the filter.
    pub(super) fn each_word(
        &self,
        b: &mut Builder,
        rows: &Run,
        mut word: impl FnMut(&mut Builder, usize, &[(usize, usize)]),
    ) {
        let all = self.pairs();
        for idx in 0..self.window.rows.covered(rows.len()).div_ceil(self.form.rows()) {
            let all = all.iter().enumerate();
            let taken = all.filter(|(_, pair)| pair.word == idx && self.takes(rows, **pair));
            let taken: Vec<(usize, usize)> =
                taken.map(|(position, pair)| (position, pair.output_row)).collect();
            if !taken.is_empty() {
                word(b, idx, &taken);
            }
        }
    }

    /// Whether the output row is one of a block's and takes a row of the word that is inside of the map.
    fn takes(&self, rows: &Run, pair: Pair) -> bool {
        let taken = self.kernel_rows(pair);
        let inside = rows.taps.get(pair.output_row);
        inside.is_some_and(|inside| taken.iter().flatten().any(|row| inside.contains(row)))
    }

    /// Where the rows of a word lie in a column; those outside of the map, and those that nobody takes, nowhere.
    pub(super) fn rows_of_word(
        &self,
        at: Cursor,
        rows: &Run,
        word: usize,
        column: usize,
    ) -> Vec<Option<Address>> {
        let first = self.first_row(rows);
        let address = |row: usize| {
            let is_taken = !users(self.window.rows, &rows.taps, row).is_empty();
            is_taken.then(|| {
                at.input.at((row - first) * self.input.row_words() + column * self.input.pixel_words())
            })
        };
        (0..self.form.rows()).map(|row| address(word * self.form.rows() + row)).collect()
    }

    /// The words of some rows, a register for each vector of channels.
    pub(super) fn words(
        &self,
        b: &mut Builder,
        rows: &[Option<Address>],
        load: &dyn Fn(&mut Builder, Reg, Address),
    ) -> Vec<Reg> {
        let load = |b: &mut Builder, row: usize| {
            let register = b.register();
            match rows[row] {
                Some(from) => load(b, register, from),
                None => b.constant(register, 0.0),
            }
            register
        };
        // Two by two.
        let halves = |b: &mut Builder, low: usize| {
            let (even, odd) = (load(b, low), load(b, low + 1));
            let lower = b.register();
            b.zip(lower, (even, odd), Unit::Byte, false);
            b.zip(even, (even, odd), Unit::Byte, true);
            b.free([odd]);
            [lower, even]
        };
        let first = halves(b, 0);
        let (second, unit) = if rows.len() == 2 {
            let zeros = b.register();
            b.constant(zeros, 0.0);
            ([zeros; 2], Unit::Byte)
        } else {
            (halves(b, 2), Unit::Pair)
        };
        let mut words = Vec::with_capacity(VECTORS);
        for (low, high) in first.into_iter().zip(second) {
            let lower = b.register();
            b.zip(lower, (low, high), unit, false);
            b.zip(low, (low, high), unit, true);
            words.extend([lower, low]);
            if rows.len() != 2 {
                b.free([high]);
            }
        }
        if rows.len() == 2 {
            b.free([second[0]]);
        }
        words
    }

    /// Makes bytes of sums and stores as many words of them: for each vector of channels, those of all pixels.
    pub(super) fn finish(
        &self,
        b: &mut Builder,
        sums: Vec<Vec<Reg>>,
        row_of_filter: impl Fn(usize, usize) -> Address,
        place: impl Fn(usize) -> Address,
        lanes: usize,
    ) {
        let Ending::Integer(ending @ IntegerEnding { bytes: Some(bytes), .. }) = self.ending else {
            unreachable!("words of rows are of bytes and become bytes");
        };
        let scratch = self.ending.scratch(b);
        for (vector, sums) in sums.iter().enumerate() {
            let row = ending.multiplier_row();
            let [multiplier, factor] = [row, row + 1].map(|row| row_of_filter(row, vector));
            let operands = Operands { multiplier, factor, residuals: &[] };
            ending.integers(b, operands, &scratch, (sums, bytes));
        }
        b.free(scratch);
        for idx in 0..sums[0].len() {
            let vectors: Vec<Reg> = sums.iter().map(|sums| sums[idx]).collect();
            let bytes = narrow(b, &vectors);
            b.store_part(bytes, place(idx), lanes);
        }
        b.free(sums.into_iter().flatten());
    }

    /// The rows of the kernel that the output row applies to each of the word's.
    fn kernel_rows(&self, Pair { output_row, word }: Pair) -> Vec<Option<usize>> {
        let (axis, all) = (self.window.rows, 0..self.window.rows.kernel);
        let kernel_row = |row: usize| {
            let row = (word * self.form.rows() + row).checked_sub(output_row * axis.stride)?;
            users(axis, std::slice::from_ref(&all), row).first().map(|(_, ky)| *ky)
        };
        (0..self.form.rows()).map(kernel_row).collect()
    }
}
