//! Fully connected layer: output `[n]` = activation(input `[depth]` x filter `[depth][n]` + bias), depth = H W C of the input.
//!
//! One row only, so the panels are as wide as the registers allow: each weight is used once and the filter streams by.
//!
//! Register map: `vectors` accumulators, one broadcast input element, the rest take turns with weights.

use mnc_runtime::filter::Packing;

use super::panel::Panels;
use super::tile::{Finish, Reduction, Registers, Row, Rows, Tile, panels};
use super::{Family, FeatureMap, KernelName, NamedTile};
use crate::code::{Access, Builder, Code};
use crate::graph::layer::Activation;
use crate::target::Isa;

/// A fully connected layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Dense {
    /// Any map; its elements in NHWC order are the depth. May be tight.
    pub input: FeatureMap,
    /// 1 x 1 x N, padded.
    pub output: FeatureMap,
    /// Applied to each output element.
    pub activation: Activation,
    /// Vectors of one panel.
    pub vectors: usize,
}

impl Dense {
    fn tile(&self) -> Tile {
        Tile { mr: 1, vectors: self.vectors }
    }

    pub(super) fn name(&self, isa: &Isa) -> KernelName {
        KernelName {
            family: Family::Dense,
            tile: NamedTile::of(self.tile(), isa),
            activation: self.activation,
            isa: isa.tag.to_owned(),
        }
    }

    pub(super) fn packing(&self, isa: &Isa) -> Packing {
        Panels::packing(self.output.shape.channels, self.input.shape.len(), self.tile(), isa)
    }

    pub(super) fn code(&self, isa: &Isa) -> Code {
        let mut b = Builder::new(isa);
        let input = b.parameter("input", Access::Read);
        let weights = b.parameter("weights", Access::Read);
        let output = b.parameter("output", Access::Write);
        for (vectors, count) in panels(self.output.shape.channels, self.tile(), isa) {
            let panels = Panels::new(vectors, self.input.shape.len(), isa);
            b.heading(format!("{count} panels of {} channels", vectors * isa.lanes));
            b.repeat(count, |b| {
                let registers = Registers::take(b, isa, 1, panels);
                let pixel = b.pointer();
                b.set_pointer(pixel, input, 0);
                registers.start(b, weights);
                b.repeat(self.input.shape.pixels(), |b| {
                    let rows = &[Row { offset: 0, accumulators: 0 }];
                    let depth = self.input.shape.channels;
                    Reduction { registers: &registers, rows, depth, stream: None }
                        .emit(b, isa, pixel, weights);
                    b.advance(pixel, self.input.pixel_stride);
                });
                let rows = Rows { start: output, pixel_stride: self.output.pixel_stride };
                registers.finish(
                    b,
                    isa,
                    Finish { activation: self.activation, residual: None, output: rows },
                );
                // The reduction leaves the pointer behind the first panel of the tile.
                b.advance(weights, panels.len() - panels.at(self.input.shape.len() + 1, 0));
                b.advance(output, vectors * isa.lanes);
                b.free_pointers([pixel]);
                registers.give_back(b);
            });
        }
        b.finish()
    }
}
