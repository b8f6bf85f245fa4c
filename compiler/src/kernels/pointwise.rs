//! 1x1 convolution with stride 1: output `[pixels][n]` = activation(input `[pixels][depth]` x filter `[depth][n]` + bias).
//!
//! Loop order: panels of the filter outside, register tiles of pixels inside, so that a panel stays in the first-level cache
//! while the pixels pass by. No reordering of the input (paper, section 3.2).
//!
//! Register map: `mr x vectors` accumulators; of the rest, `vectors` hold weights and the others take turns with one
//! broadcast input element each.

use mnc_runtime::filter::Packing;

use super::panel::Panels;
use super::tile::{Cursor, Reduction, Registers, Row, Stream, Tile, panels, split_evenly};
use super::{Family, FeatureMap, KernelName, NamedTile};
use crate::code::{Access, Builder, Code};
use crate::graph::layer::Activation;
use crate::target::Isa;

/// A pointwise convolution; input and output have the same pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pointwise {
    /// M channels; may be tight.
    pub input: FeatureMap,
    /// N channels, padded.
    pub output: FeatureMap,
    /// Applied to each output element.
    pub activation: Activation,
    /// Register tile.
    pub tile: Tile,
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
            family: Family::Pointwise,
            tile: NamedTile::of(self.tile, isa),
            activation: self.activation,
            isa: isa.tag.to_owned(),
        }
    }

    pub(super) fn packing(&self, isa: &Isa) -> Packing {
        Panels::packing(self.output.shape.channels, self.input.shape.channels, self.tile, isa)
    }

    pub(super) fn code(&self, isa: &Isa) -> Code {
        let depth = self.input.shape.channels;
        let mut b = Builder::new(isa);
        let input = b.parameter("input", Access::Read);
        let panel = b.parameter("weights", Access::Read);
        let output = b.parameter("output", Access::Write);
        for (vectors, count) in panels(self.output.shape.channels, self.tile, isa) {
            let width = vectors * isa.lanes;
            b.heading(format!("{count} panels of {width} channels"));
            b.repeat(count, |b| {
                let panels = Panels::new(vectors, depth, isa);
                self.panel(b, isa, Cursor { input, filter: panel, output }, panels);
                b.advance(panel, panels.len());
                b.advance(output, width);
            });
        }
        b.finish()
    }

    /// All pixels of one tile's channels. The first tiles fetch what the next panels hold, in equal shares, until it is there.
    fn panel(&self, b: &mut Builder, isa: &Isa, at: Cursor, panels: Panels) {
        let tiles = split_evenly(self.input.shape.pixels(), self.tile.mr);
        let n_tiles = tiles.iter().map(|(_, count)| count).sum();
        let (lines, mut fetching) = Stream::spread(panels.len(), self.input.shape.channels, n_tiles, isa);
        let (row_in, row_out, next) = (b.pointer(), b.pointer(), b.pointer());
        b.set_pointer(row_in, at.input, 0);
        b.set_pointer(row_out, at.output, 0);
        b.set_pointer(next, at.filter, panels.len() as isize);
        let at = Cursor { input: row_in, output: row_out, ..at };
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
                    b.advance(at.input, mr * self.input.pixel_stride);
                    b.advance(at.output, mr * self.output.pixel_stride);
                });
            }
        }
        b.free_pointers([row_in, row_out, next]);
    }

    /// One register tile.
    fn tile(&self, b: &mut Builder, isa: &Isa, at: Cursor, TileOf { mr, panels, stream }: TileOf) {
        let registers = Registers::take(b, isa, mr, panels);
        let row = |row: usize| Row { offset: row * self.input.pixel_stride, accumulators: row };
        let rows: Vec<Row> = (0..mr).map(row).collect();
        let weights = b.pointer();
        b.set_pointer(weights, at.filter, 0);
        registers.start(b, weights);
        let depth = self.input.shape.channels;
        Reduction { registers: &registers, rows: &rows, depth, stream }.emit(b, isa, at.input, weights);
        registers.finish(b, self.activation, at.output, self.output.pixel_stride, isa);
        b.free_pointers([weights]);
        registers.give_back(b);
    }
}
