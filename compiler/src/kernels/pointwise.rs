//! 1x1 convolution with stride 1: output `[pixels][n]` = activation(input `[pixels][depth]` x filter `[depth][n]` + bias).
//!
//! Loop order: panels of the filter outside, register tiles of pixels inside, so that a panel stays in the first-level cache
//! while the pixels pass by. No reordering of the input (paper, section 3.2).
//!
//! Register map: `mr x vectors` accumulators; of the rest, `vectors` hold weights and the others take turns with one
//! broadcast input element each.

use mnc_runtime::filter::Packing;

use super::panel::Panels;
use super::tile::{Registers, Stream, Tile, panels, reduce, split_evenly};
use super::{Family, FeatureMap, KernelName, NamedTile};
use crate::code::{Access, Builder, Code, Ptr};
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
                self.panel(b, isa, (input, panel, output), panels);
                b.advance(panel, panels.len());
                b.advance(output, width);
            });
        }
        b.finish()
    }

    /// All pixels of one tile's channels.
    fn panel(&self, b: &mut Builder, isa: &Isa, (input, panel, output): (Ptr, Ptr, Ptr), panels: Panels) {
        let tiles = split_evenly(self.input.shape.pixels(), self.tile.mr);
        let n_tiles = tiles.iter().map(|(_, count)| count).sum();
        let (lines, mut fetching) = Stream::spread(panels.len(), self.input.shape.channels, n_tiles, isa);
        let (row_in, row_out, next) = (b.pointer(), b.pointer(), b.pointer());
        b.set_pointer(row_in, input, 0);
        b.set_pointer(row_out, output, 0);
        b.set_pointer(next, panel, panels.len() as isize);
        for (mr, count) in tiles {
            let with = fetching.min(count);
            fetching -= with;
            for (count, stream) in [(with, Some(Stream { next, lines })), (count - with, None)] {
                if count == 0 {
                    continue;
                }
                self.tiles(b, isa, (row_in, panel, row_out), (mr, panels, count), stream);
            }
        }
        b.free_pointers([row_in, row_out, next]);
    }

    /// `count` register tiles side by side; input and output move on.
    fn tiles(
        &self,
        b: &mut Builder,
        isa: &Isa,
        (input, panel, output): (Ptr, Ptr, Ptr),
        (mr, panels, count): (usize, Panels, usize),
        stream: Option<Stream>,
    ) {
        b.heading(format!("{count} tiles of {mr} pixels"));
        b.repeat(count, |b| {
            self.tile(b, isa, (input, panel, output), (mr, panels), stream);
            b.advance(input, mr * self.input.pixel_stride);
            b.advance(output, mr * self.output.pixel_stride);
        });
    }

    /// One register tile.
    fn tile(
        &self,
        b: &mut Builder,
        isa: &Isa,
        (input, panel, output): (Ptr, Ptr, Ptr),
        (mr, panels): (usize, Panels),
        stream: Option<Stream>,
    ) {
        let registers = Registers::take(b, isa, mr, panels);
        let rows: Vec<(usize, usize)> = (0..mr).map(|row| (row * self.input.pixel_stride, row)).collect();
        let weights = b.pointer();
        b.set_pointer(weights, panel, 0);
        registers.start(b, weights);
        reduce(b, isa, &registers, &rows, (input, weights), (self.input.shape.channels, stream));
        registers.finish(b, self.activation, output, self.output.pixel_stride, isa);
        b.free_pointers([weights]);
        registers.give_back(b);
    }
}
