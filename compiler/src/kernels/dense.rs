//! Fully connected layer: output `[n]` = activation(input `[depth]` x filter `[depth][n]` + bias), depth = H W C of the input.
//!
//! One row only, so the panels are as wide as the registers allow: each weight is used once and the filter streams by.
//!
//! Register map: `vectors` accumulators, one broadcast input element, the rest take turns with weights.

use mnc_runtime::filter::Packing;

use super::panel::{FilterRows, Panels};
use super::tile::{Finish, Reduction, Registers, Row, Rows, Tile, panels};
use super::{Ending, Family, FeatureMap, KernelName, NamedTile};
use crate::code::{Access, Builder, Code};
use crate::target::Isa;

/// A fully connected layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Dense {
    /// Any map; its elements in NHWC order are the depth. May be tight.
    pub input: FeatureMap,
    /// 1 x 1 x N, padded.
    pub output: FeatureMap,
    /// What becomes of each sum.
    pub ending: Ending,
    /// Vectors of one panel.
    pub vectors: usize,
}

impl Dense {
    fn tile(&self) -> Tile {
        Tile { mr: 1, vectors: self.vectors }
    }

    pub(super) fn name(&self, isa: &Isa) -> KernelName {
        KernelName {
            dtype: self.input.dtype,
            family: Family::Dense,
            tile: NamedTile::of(self.tile(), isa),
            activation: self.ending.activation(),
            isa: isa.tag.to_owned(),
        }
    }

    pub(super) fn packing(&self, isa: &Isa) -> Packing {
        Panels::packing(self.output.shape.channels, self.filter_rows(), self.tile(), isa)
    }

    pub(super) fn filter_rows(&self) -> FilterRows {
        FilterRows { head: self.ending.head_rows(), depth: self.input.shape.pixels() * self.input.depth() }
    }

    pub(super) fn code(&self, isa: &Isa) -> Code {
        let rows = self.filter_rows();
        let mut b = Builder::with_registers(isa, self.ending.registers(isa));
        let input = b.parameter("input", Access::Read);
        let weights = b.parameter("weights", Access::Read);
        let output = b.parameter("output", Access::Write);
        for (vectors, count) in panels(self.output.shape.channels, self.tile(), isa) {
            let panels = Panels::new(vectors, rows, isa);
            b.heading(format!("{count} panels of {} channels", vectors * isa.lanes));
            b.repeat(count, |b| {
                let registers = Registers::take(b, isa, 1, panels, self.ending);
                let pixel = b.pointer();
                b.set_pointer(pixel, input, 0);
                registers.start(b, weights, |_| 0);
                b.repeat(self.input.shape.pixels(), |b| {
                    let rows = &[Row { offset: 0, early: 0, accumulators: 0 }];
                    let depth = self.input.depth();
                    Reduction { registers: &registers, rows, depth, stream: None }
                        .emit(b, isa, pixel, weights);
                    b.advance(pixel, self.input.pixel_words());
                });
                // The reduction leaves the pointer behind the first panel of the tile.
                let filter = registers.head(b, weights, rows.total() * panels.width);
                let output_rows = Rows { start: output, map: self.output };
                registers.finish(b, isa, Finish { residual: None, output: output_rows, filter });
                registers.free_head(b, weights, filter);
                b.advance(weights, panels.len() - panels.at(rows.total(), 0));
                b.advance(output, self.output.words(vectors * isa.lanes));
                b.free_pointers([pixel]);
                registers.give_back(b);
            });
        }
        b.finish()
    }
}
