//! Standard convolution, any window: output (y, x, n) = activation(bias + sum over taps and input channels).
//!
//! Loop order: panels of the filter, output rows, register tiles of pixels along a row, kernel rows, kernel columns, input
//! channels. Rows and tiles that take the same taps share one loop; the border has code of its own in which the taps outside
//! are left out of the chain.
//!
//! Register map: as in `pointwise`; at the border no two pixels share an accumulator.
//!
//! The caller's bytes have no gaps: of a camera's pixels of three bytes, the word that begins with a pixel ends with a byte of the next,
//! whose weight is 0. Behind the last pixel of a row may be nothing, so its word ends with it and is shifted.

use std::collections::BTreeMap;
use std::ops::Range;

use mnc_runtime::filter::Packing;

use super::halves::{PanelRun, panel_runs};
use super::panel::{FilterRows, Panels};
use super::tile::{Cursor, Finish, Reduction, Registers, Row, Rows, Run, Tile, runs};
use super::{Ending, Family, FeatureMap, KernelName, NamedTile, WORD};
use crate::code::{Access, Builder, Code, Ptr};
use crate::graph::shape::Window;
use crate::graph::tensor::Dtype;
use crate::target::Isa;

/// Words of pixels that [`Conv::shared_row`] has in registers at once, at the least.
const LEAST_ELEMENTS: usize = 6;

/// A standard convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Conv {
    /// The sliding window.
    pub window: Window,
    /// M channels; may be tight, of bytes where [`Conv::reads_tight`].
    pub input: FeatureMap,
    /// N channels, padded.
    pub output: FeatureMap,
    /// What becomes of each sum.
    pub ending: Ending,
    /// Register tile; its pixels lie side by side in a row.
    pub tile: Tile,
}

/// The register tiles of output rows that take the same kernel rows, for the channels of some panels.
struct Tiles<'a> {
    rows: &'a Run,
    columns: &'a [Run<Columns>],
    panels: Panels,
}

/// The kernel columns that a pixel takes.
#[derive(Clone, PartialEq, Eq)]
struct Columns {
    /// Those inside of the map.
    inside: Range<usize>,
    /// From which of them on the words of the input would end behind its row.
    late: usize,
}

/// Which taps of the window are inside of the map.
struct Taps<'a> {
    /// Kernel rows, the same for all pixels of a tile.
    rows: Range<usize>,
    /// Kernel columns of each pixel.
    columns: &'a [Columns],
}

impl Conv {
    pub(super) fn name(&self, isa: &Isa) -> KernelName {
        KernelName {
            dtype: self.input.dtype,
            family: Family::Conv(self.window.slide()),
            tile: NamedTile::of(self.tile, isa),
            activation: self.ending.activation(),
            isa: isa.tag.to_owned(),
        }
    }

    /// Of integers, each tap has words of its own.
    pub(super) fn filter_rows(&self) -> FilterRows {
        FilterRows { head: self.ending.head_rows(), depth: self.window.taps() * self.input.depth() }
    }

    pub(super) fn packing(&self, isa: &Isa) -> Packing {
        Panels::packing(self.output.shape.channels, self.filter_rows(), self.tile, isa)
    }

    pub(super) fn code(&self, isa: &Isa) -> Code {
        let Conv { window, input: map_in, output: map_out, .. } = self;
        let rows = runs(map_out.shape.height, 1, |y| window.rows.taps(y, map_in.shape.height));
        let columns = runs(map_out.shape.width, self.tile.mr, |x| self.columns(x));
        let mut b = Builder::with_registers(isa, self.ending.registers(isa));
        let input = b.parameter("input", Access::Read);
        let panel = b.parameter("weights", Access::Read);
        let output = b.parameter("output", Access::Write);
        for run in panel_runs(map_out.shape.channels, self.tile, isa, self.ending) {
            let PanelRun { vectors, count, ends_in_half } = run;
            let width = vectors * isa.lanes;
            let panels = Panels::new(vectors, self.filter_rows(), isa).ending_in_half(ends_in_half);
            b.heading(format!("{count} panels of {width} channels"));
            b.repeat(count, |b| {
                for rows in &rows {
                    let tiles = Tiles { rows, columns: &columns, panels };
                    self.output_rows(b, isa, Cursor { input, filter: panel, output }, &tiles);
                }
                b.advance(panel, panels.len());
                b.advance(output, map_out.words(width));
            });
        }
        b.finish()
    }

    /// Whether a map of bytes without gaps is read as it is: in words, of which one has all channels, that lie inside of a row or end
    /// with it.
    pub fn reads_tight(map: FeatureMap, isa: &Isa) -> bool {
        let row = map.row_bytes();
        let lies_inside = |x: usize| {
            let (start, end) = (x * map.pixel_bytes(), (x + 1) * map.pixel_bytes());
            start + WORD <= row || WORD <= end
        };
        isa.words_at_any_byte
            && map.dtype == Dtype::U8
            && map.pixel_bytes() < WORD
            && (0..map.shape.width).all(lies_inside)
    }

    /// The kernel columns of an output pixel.
    fn columns(&self, x: usize) -> Columns {
        let (axis, map) = (self.window.columns, self.input);
        let inside = axis.taps(x, map.shape.width);
        let is_late = |kx: &usize| {
            let start = axis.offset(x, *kx) as usize * map.pixel_bytes();
            map.row_bytes() < start + map.depth() * WORD
        };
        let late = inside.clone().find(is_late).unwrap_or(inside.end);
        Columns { inside, late }
    }

    fn output_rows(&self, b: &mut Builder, isa: &Isa, at: Cursor, tiles: &Tiles<'_>) {
        let Conv { window, input: map_in, output: map_out, .. } = self;
        let Tiles { rows, columns, panels } = *tiles;
        let kernel_rows = rows.taps[0].clone();
        let (row_in, row_out) = (b.pointer(), b.pointer());
        b.heading(format!("{} rows from {} on, kernel rows {kernel_rows:?}", rows.count, rows.first));
        let top = window.rows.offset(rows.first, kernel_rows.start);
        b.set_pointer_bytes(row_in, at.input, top * map_in.row_bytes() as isize);
        b.set_pointer(row_out, at.output, (rows.first * map_out.row_words()) as isize);
        b.repeat(rows.count, |b| {
            for run in columns {
                let (tile_in, tile_out) = (b.pointer(), b.pointer());
                let left = window.columns.offset(run.first, 0);
                b.set_pointer_bytes(tile_in, row_in, left * map_in.pixel_bytes() as isize);
                b.set_pointer(tile_out, row_out, (run.first * map_out.pixel_words()) as isize);
                b.repeat(run.count, |b| {
                    let at = Cursor { input: tile_in, output: tile_out, ..at };
                    let taps = Taps { rows: kernel_rows.clone(), columns: &run.taps };
                    self.tile(b, isa, at, taps, panels);
                    b.advance_bytes(tile_in, run.len() * window.columns.stride * map_in.pixel_bytes());
                    b.advance(tile_out, run.len() * map_out.pixel_words());
                });
                b.free_pointers([tile_in, tile_out]);
            }
            b.advance_bytes(row_in, window.rows.stride * map_in.row_bytes());
            b.advance(row_out, map_out.row_words());
        });
        b.free_pointers([row_in, row_out]);
    }

    /// One register tile.
    fn tile(&self, b: &mut Builder, isa: &Isa, at: Cursor, taps: Taps<'_>, panels: Panels) {
        let Conv { window, input: map_in, .. } = self;
        let Taps { rows: kernel_rows, columns: taps } = taps;
        let m = map_in.depth();
        let everywhere = taps.iter().all(|columns| columns.inside == (0..window.columns.kernel));
        // At the border two pixels don't take the same taps.
        let panels = panels.ending_in_half(panels.ends_in_half && everywhere);
        let registers = Registers::take(b, isa, taps.len(), panels, self.ending);
        let weights = b.pointer();
        b.set_pointer(weights, at.filter, 0);
        registers.start(b, weights, |pixel| self.ending.border(&kernel_rows, &taps[pixel].inside));
        let tap_weights = m * panels.width;
        b.advance(weights, kernel_rows.start * window.columns.kernel * tap_weights);

        let pixel_step = window.columns.stride * map_in.pixel_bytes();
        let tile_row = |pixel: usize| Row { offset: pixel * pixel_step, early: 0, accumulators: pixel };
        let reduce = |b: &mut Builder, rows: &[Row], depth: usize, input: Ptr| {
            let reduction = Reduction { registers: &registers, rows, depth, stream: None };
            reduction.emit(b, isa, input, weights);
        };
        let is_dense = window.columns.dilation == 1 && map_in.pixel_bytes() == m * WORD;
        let row = b.pointer();
        b.set_pointer(row, at.input, 0);
        b.repeat(kernel_rows.len(), |b| {
            if everywhere && is_dense {
                // The kernel row lies in consecutive elements: one reduction.
                let all: Vec<Row> = (0..taps.len()).map(tile_row).collect();
                reduce(b, &all, window.columns.kernel * m, row);
            } else if everywhere && self.shares_words(isa, &registers) {
                self.shared_row(b, &registers, taps, (row, weights));
            } else {
                for kx in 0..window.columns.kernel {
                    let inside = (0..taps.len()).filter(|pixel| taps[*pixel].inside.contains(&kx));
                    let tap_row = |pixel: usize| {
                        let is_late = taps[pixel].late <= kx;
                        let early = if is_late { m * WORD - map_in.pixel_bytes() } else { 0 };
                        Row { early, ..tile_row(pixel) }
                    };
                    let inside: Vec<Row> = inside.map(tap_row).collect();
                    if inside.is_empty() {
                        b.advance(weights, tap_weights);
                    } else {
                        let tap = b.pointer();
                        let column = kx * window.columns.dilation;
                        b.set_pointer_bytes(tap, row, (column * map_in.pixel_bytes()) as isize);
                        reduce(b, &inside, m, tap);
                        b.free_pointers([tap]);
                    }
                }
            }
            b.advance_bytes(row, window.rows.dilation * map_in.row_bytes());
        });
        let output = Rows { start: at.output, map: self.output };
        registers.finish(b, isa, Finish { residual: None, output, filter: at.filter });
        b.free_pointers([weights, row]);
        registers.give_back(b);
    }

    /// Whether pixels of a tile have words in common and there are registers for the weights of a kernel row. Where a word has more than one
    /// vector of weights it takes fewer loads than products anyway. Sums of integers may change their order.
    fn shares_words(&self, isa: &Isa, registers: &Registers) -> bool {
        let axis = self.window.columns;
        let has_common =
            axis.stride.is_multiple_of(axis.dilation) && axis.stride < axis.kernel * axis.dilation;
        has_common
            && self.input.dtype == Dtype::U8
            && self.input.depth() == 1
            && registers.panels.vectors == 1
            && isa.native_dot
            && axis.kernel + LEAST_ELEMENTS <= registers.scratch.len()
    }

    /// A kernel row of all pixels of a tile: each word is brought once, for all taps that read it.
    fn shared_row(
        &self,
        b: &mut Builder,
        registers: &Registers,
        taps: &[Columns],
        (row, weights): (Ptr, Ptr),
    ) {
        let (axis, pixel_bytes) = (self.window.columns, self.input.pixel_bytes());
        let (factors, elements) = registers.scratch.split_at(axis.kernel);
        for (kx, factor) in factors.iter().enumerate() {
            b.load(*factor, weights.at(registers.panels.at(kx, 0)));
        }
        // By the place of the word the taps that read it, each with its pixel.
        let mut words: BTreeMap<usize, Vec<(usize, usize)>> = BTreeMap::new();
        for (kx, pixel) in (0..axis.kernel).flat_map(|kx| (0..taps.len()).map(move |pixel| (kx, pixel))) {
            words.entry(pixel * axis.stride + kx * axis.dilation).or_default().push((kx, pixel));
        }
        let words: Vec<(usize, Vec<(usize, usize)>)> = words.into_iter().collect();
        for words in words.chunks(elements.len()) {
            let mut products = Vec::new();
            for ((column, readers), element) in words.iter().zip(elements) {
                let is_late = readers.iter().any(|(kx, pixel)| taps[*pixel].late <= *kx);
                let early = if is_late { WORD - pixel_bytes } else { 0 };
                Row { offset: column * pixel_bytes, early, accumulators: 0 }.splat(b, *element, row, 0);
                products.extend(readers.iter().map(|(kx, pixel)| (*kx, *pixel, *element)));
            }
            // Tap by tap, so that products of one sum are far from each other.
            products.sort_by_key(|(kx, pixel, _)| (*kx, *pixel));
            for (kx, pixel, element) in products {
                registers.ending.add_product(b, registers.accumulators[pixel][0], element, factors[kx]);
            }
        }
        b.advance(weights, axis.kernel * registers.panels.width);
    }
}
