//! 1x1 convolution with stride 1: output `[pixels][n]` = activation(input `[pixels][depth]` x filter `[depth][n]` + bias + residual
//! `[pixels][n]`), the residual only where there is one.
//!
//! Loop order: panels of the filter outside, register tiles of pixels inside, so that a panel stays in the first-level cache
//! while the pixels pass by. No reordering of the input (paper, section 3.2).
//!
//! Register map: `mr x vectors` accumulators; of the rest, `vectors` hold weights and the others take turns with one
//! broadcast input element each. Two pixels may share an accumulator in the last vector ([`super::halves`]).

use mnc_runtime::filter::Packing;

use super::halves::{PanelRun, panel_runs};
use super::panel::{FilterRows, Panels};
use super::tile::{Cursor, Finish, Reduction, Registers, Row, Rows, Stream, Tile, split_evenly};
use super::{Ending, Family, FeatureMap, KernelName, NamedTile};
use crate::code::{Access, Builder, Code, Ptr};
use crate::target::Isa;

/// A pointwise convolution; input and output have the same pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pointwise {
    /// M channels; may be tight.
    pub input: FeatureMap,
    /// Added to each sum before the activation: N channels, padded.
    pub residual: Option<FeatureMap>,
    /// N channels, padded.
    pub output: FeatureMap,
    /// What becomes of each sum.
    pub ending: Ending,
    /// Register tile.
    pub tile: Tile,
    /// Words behind its filter that it fetches for the layers that follow, whose filters lie there.
    pub ahead: usize,
}

/// Where the kernel is.
#[derive(Clone, Copy)]
struct At {
    cursor: Cursor,
    residual: Option<Ptr>,
    /// The next line to fetch, which is farther ahead with each panel; `None` where it is always the next panel's.
    ahead: Option<Ptr>,
}

/// One register tile of a pointwise convolution.
struct TileOf {
    /// Pixels.
    mr: usize,
    /// The filter of its channels.
    panels: Panels,
    /// What is fetched meanwhile.
    stream: Option<Stream>,
}

impl Pointwise {
    pub(super) fn name(&self, isa: &Isa) -> KernelName {
        KernelName {
            dtype: self.input.dtype,
            family: if self.residual.is_some() { Family::PointwiseAdd } else { Family::Pointwise },
            tile: NamedTile::of(self.tile, isa),
            activation: self.ending.activation(),
            isa: isa.tag.to_owned(),
        }
    }

    pub(super) fn packing(&self, isa: &Isa) -> Packing {
        Panels::packing(self.output.shape.channels, self.filter_rows(), self.tile, isa)
    }

    pub(super) fn filter_rows(&self) -> FilterRows {
        FilterRows { head: self.ending.head_rows(), depth: self.input.depth() }
    }

    pub(super) fn code(&self, isa: &Isa) -> Code {
        let mut b = Builder::with_registers(isa, self.ending.registers(isa));
        let input = b.parameter("input", Access::Read);
        let residual = self.residual.map(|_| b.parameter("residual", Access::Read));
        let panel = b.parameter("weights", Access::Read);
        let output = b.parameter("output", Access::Write);
        let runs = panel_runs(self.output.shape.channels, self.tile, isa, self.ending);
        let ahead = (self.ahead != 0).then(|| {
            let next = b.pointer();
            let first = Panels::new(runs[0].vectors, self.filter_rows(), isa);
            b.set_pointer(next, panel, first.len() as isize);
            next
        });
        for run in runs {
            let PanelRun { vectors, count, ends_in_half } = run;
            let width = vectors * isa.lanes;
            let shared = if ends_in_half { ", the last vector shared by two pixels" } else { "" };
            b.heading(format!("{count} panels of {width} channels{shared}"));
            b.repeat(count, |b| {
                let panels = Panels::new(vectors, self.filter_rows(), isa).ending_in_half(ends_in_half);
                let at = At { cursor: Cursor { input, filter: panel, output }, residual, ahead };
                self.panel(b, isa, at, panels);
                b.advance(panel, panels.len());
                b.advance(output, self.output.words(width));
                residual.into_iter().for_each(|residual| b.advance(residual, self.output.words(width)));
            });
        }
        b.finish()
    }

    /// All pixels of one tile's channels. The first tiles fetch what the next panels hold, in equal shares, until it is there.
    fn panel(&self, b: &mut Builder, isa: &Isa, At { cursor: at, residual, ahead }: At, panels: Panels) {
        let tiles = split_evenly(self.input.shape.pixels(), self.tile.mr);
        let n_tiles = tiles.iter().map(|(_, count)| count).sum();
        let share = (self.ahead * panels.vectors).div_ceil(self.output.shape.channels.div_ceil(isa.lanes));
        let fetched = panels.len() + share;
        let (lines, mut fetching) = Stream::spread(fetched, self.input.depth(), n_tiles, isa);
        let (row_in, row_out) = (b.pointer(), b.pointer());
        b.set_pointer(row_in, at.input, 0);
        b.set_pointer(row_out, at.output, 0);
        let next = ahead.unwrap_or_else(|| {
            let next = b.pointer();
            b.set_pointer(next, at.filter, panels.len() as isize);
            next
        });
        let row_residual = residual.map(|residual| {
            let row = b.pointer();
            b.set_pointer(row, residual, 0);
            row
        });
        let at =
            At { cursor: Cursor { input: row_in, output: row_out, ..at }, residual: row_residual, ahead };
        for (mr, count) in tiles {
            let n_fetching = fetching.min(count);
            fetching -= n_fetching;
            for (count, stream) in [(n_fetching, Some(Stream { next, lines })), (count - n_fetching, None)] {
                if count == 0 {
                    continue;
                }
                b.heading(format!("{count} tiles of {mr} pixels"));
                b.repeat(count, |b| {
                    self.tile(b, isa, at, TileOf { mr, panels, stream });
                    b.advance(row_in, mr * self.input.pixel_words());
                    b.advance(row_out, mr * self.output.pixel_words());
                    for (row, map) in row_residual.iter().zip(self.residual) {
                        b.advance(*row, mr * map.pixel_words());
                    }
                });
            }
        }
        let own = ahead.is_none().then_some(next);
        b.free_pointers([row_in, row_out].into_iter().chain(own).chain(row_residual));
    }

    /// One register tile.
    fn tile(&self, b: &mut Builder, isa: &Isa, At { cursor: at, residual, .. }: At, tile: TileOf) {
        let TileOf { mr, panels, stream } = tile;
        let registers = Registers::take(b, isa, mr, panels, self.ending);
        let row = |row: usize| Row { offset: row * self.input.pixel_bytes(), early: 0, accumulators: row };
        let rows: Vec<Row> = (0..mr).map(row).collect();
        let weights = b.pointer();
        b.set_pointer(weights, at.filter, 0);
        registers.start(b, weights, |_| 0);
        let depth = self.input.depth();
        Reduction { registers: &registers, rows: &rows, depth, stream }.emit(b, isa, at.input, weights);
        let rows = |start: Ptr, map: FeatureMap| Rows { start, map };
        let residual = residual.zip(self.residual).map(|(start, map)| rows(start, map));
        let output = rows(at.output, self.output);
        registers.finish(b, isa, Finish { residual, output, filter: at.filter });
        b.free_pointers([weights]);
        registers.give_back(b);
    }
}
