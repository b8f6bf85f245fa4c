//! Depthwise convolution of bytes in maps of few channels: a vector holds several pixels side by side.
//!
//! Otherwise as [`super::rows`]: several rows at a time, for each column of the kernel the words of the pixels under it, which lie as far
//! along the row as that column. Pixels whose tap is outside of the map stay zero, and so does what they would add. With stride 2 the first
//! half of these pixels are every second of one vector, the others of another that ends with the last of them.

use std::ops::Range;

use super::rows::{self, VECTORS, Words};
use super::{Block, Depthwise};
use crate::code::{Address, Binary, Builder, PART, Reg};
use crate::kernels::tile::{Cursor, Run, runs};
use crate::target::Isa;

/// The taps of the pixels of one vector.
type Pixels = Vec<Range<usize>>;

impl Depthwise {
    /// Pixels of a vector.
    pub(super) fn n_together(&self, isa: &Isa) -> usize {
        rows::width(isa) / self.output.pixel_stride
    }

    /// Whether pixels lie side by side in a vector, one tap's as one output's, or with as many between them as a vector has.
    pub(super) fn is_flat(&self, isa: &Isa) -> bool {
        let Depthwise { window, input, output, .. } = self;
        let width = rows::width(isa);
        isa.masks_lanes
            && window.columns.stride <= 2
            && input.pixel_stride == output.pixel_stride
            && output.pixel_stride < width
            && width.is_multiple_of(output.pixel_stride)
            && output.pixel_stride.is_multiple_of(PART)
    }

    /// The whole map.
    pub(super) fn flat(&self, b: &mut Builder, isa: &Isa, at: Cursor) {
        let (width, n_together) = (self.output.shape.width, self.n_together(isa));
        let taps = |vector: usize| -> Pixels {
            let pixels = vector * n_together..width.min((vector + 1) * n_together);
            pixels.map(|x| self.window.columns.taps(x, self.input.shape.width)).collect()
        };
        let columns = runs(width.div_ceil(n_together), 1, taps);
        let weights = self.load_words(b, isa, at.filter, self.rows);
        self.blocks(b, at, (&columns, n_together), &|b, at, block| {
            self.flat_step(b, isa, (at, &weights), block);
        });
        weights.free(b);
    }

    /// One vector of pixels of each row of a block.
    fn flat_step(
        &self,
        b: &mut Builder,
        isa: &Isa,
        (at, weights): (Cursor, &Words),
        block: Block<'_, Pixels>,
    ) {
        let Block { rows, columns: Run { taps, .. } } = block;
        let pixels = &taps[0];
        let words_of_pixel = self.output.pixel_words();
        let row_of_filter = |row: usize, vector: usize| rows::place(at.filter, row, vector, isa);
        let sums: Vec<Vec<Reg>> = (0..VECTORS).map(|_| b.registers(rows.len())).collect();
        for (vector, sums) in sums.iter().enumerate() {
            for (row, sum) in rows.taps.iter().zip(sums) {
                let borders = pixels.iter().map(|pixel| self.ending.border(row, pixel)).collect();
                self.start_flat(b, *sum, borders, |row| row_of_filter(row, vector));
            }
        }
        for kx in 0..self.window.columns.kernel {
            let is_inside: Vec<bool> = pixels.iter().map(|taps| taps.contains(&kx)).collect();
            if !is_inside.contains(&true) {
                continue;
            }
            let load = |b: &mut Builder, dst: Reg, from: Address| {
                self.load_pixels(b, isa, (dst, from), &is_inside);
            };
            let column = kx * self.window.columns.dilation;
            self.each_word(b, rows, |b, word, pairs| {
                let words = self.words(b, &self.rows_of_word(at, rows, word, column), &load);
                for (position, output_row) in pairs {
                    for (vector, word) in words.iter().enumerate() {
                        let sum = sums[vector][*output_row];
                        self.add_products(b, isa, weights, (*position, kx, vector), (sum, *word));
                    }
                }
                b.free(words);
            });
        }
        let place = |row: usize| at.output.at(row * self.output.row_words());
        self.finish(b, sums, row_of_filter, place, pixels.len() * words_of_pixel);
    }

    /// The input's pixels under one tap of a vector's pixels, of which the first is at an address, the others a stride apart; zeros for
    /// those outside.
    fn load_pixels(&self, b: &mut Builder, isa: &Isa, (dst, from): (Reg, Address), is_inside: &[bool]) {
        let n_together = self.n_together(isa);
        let (half, words) = (n_together / 2, self.input.pixel_words());
        let is_whole = is_inside.len() == n_together && !is_inside.contains(&false);
        // From where on in the row, and which of its pixels are taken.
        let vector = |b: &mut Builder, dst: Reg, first: usize, taken: &[(usize, usize)]| {
            let from = from.after(first * words);
            let mut inside = taken.iter().filter(|(pixel, _)| is_inside.get(*pixel) == Some(&true));
            let Some((_, first)) = inside.next() else { return b.constant(dst, 0.0) };
            let last = inside.next_back().map_or(*first, |(_, last)| *last);
            if is_whole {
                // What lies between pixels inside is inside too.
                b.load(dst, from);
            } else {
                b.load_lanes(dst, from.after(first * words), (first * words, (last + 1 - first) * words));
            }
        };
        if self.window.columns.stride == 1 {
            let all: Vec<(usize, usize)> = (0..n_together).map(|pixel| (pixel, pixel)).collect();
            return vector(b, dst, 0, &all);
        }
        let even: Vec<(usize, usize)> = (0..half).map(|pixel| (pixel, 2 * pixel)).collect();
        let odd: Vec<(usize, usize)> = (0..half).map(|pixel| (half + pixel, 2 * pixel + 1)).collect();
        let last = b.register();
        vector(b, dst, 0, &even);
        vector(b, last, n_together - 1, &odd);
        // Pixels of 16 bytes, or of 32.
        b.parts(dst, (dst, last), if half == 2 { [0, 2, 1, 3] } else { [0, 1, 2, 3] });
        b.free([last]);
    }

    /// Starts the sums of a vector's pixels from their biases, which lie in rows of the packed filter.
    fn start_flat(&self, b: &mut Builder, sum: Reg, borders: Vec<usize>, row: impl Fn(usize) -> Address) {
        let words_of_pixel = self.output.pixel_words();
        let mut first = 0;
        let runs: Vec<&[usize]> = borders.chunk_by(|a, b| a == b).collect();
        if let [run] = runs[..] {
            return b.load(sum, row(run[0]));
        }
        let part = b.register();
        for run in runs {
            let lanes = (first * words_of_pixel, run.len() * words_of_pixel);
            let dst = if first == 0 { sum } else { part };
            b.load_lanes(dst, row(run[0]).after(lanes.0), lanes);
            if first != 0 {
                b.binary(Binary::AddIntegers, sum, sum, part);
            }
            first += run.len();
        }
        b.free([part]);
    }
}
