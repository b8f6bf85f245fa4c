//! Global average: per channel, the pixels in row order are added to +0 and the sum is multiplied by 1 / pixels.
//!
//! Register map: up to eight accumulators (vectors of channels) to hide the latency of the addition, one input vector.

use super::tile::{Tile, panels};
use super::{Family, FeatureMap, KernelName, NamedTile};
use crate::code::{Access, Binary, Builder, Code};
use crate::graph::layer::Activation;
use crate::reference::pool_reciprocal;
use crate::target::Isa;

/// A global average pool.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct GlobalAveragePool {
    /// Padded.
    pub input: FeatureMap,
    /// 1 x 1 x C, padded.
    pub output: FeatureMap,
}

/// Vectors of channels that are summed side by side.
const STEP: Tile = Tile { mr: 1, vectors: 8 };

impl GlobalAveragePool {
    pub(super) fn name(&self, isa: &Isa) -> KernelName {
        KernelName {
            family: Family::GlobalAveragePool,
            tile: NamedTile::of(STEP, isa),
            activation: Activation::None,
            isa: isa.tag.to_owned(),
        }
    }

    pub(super) fn code(&self, isa: &Isa) -> Code {
        let mut b = Builder::new(isa);
        let input = b.parameter("input", Access::Read);
        let output = b.parameter("output", Access::Write);
        for (vectors, count) in panels(self.input.shape.channels, STEP, isa) {
            b.repeat(count, |b| {
                let sums = b.registers(vectors);
                let element = b.register();
                let pixel = b.pointer();
                sums.iter().for_each(|sum| b.constant(*sum, 0.0));
                b.set_pointer(pixel, input, 0);
                b.repeat(self.input.shape.pixels(), |b| {
                    for (idx, sum) in sums.iter().enumerate() {
                        b.load(element, pixel.at(idx * isa.lanes));
                        b.binary(Binary::Add, *sum, *sum, element);
                    }
                    b.advance(pixel, self.input.pixel_stride);
                });
                b.constant(element, pool_reciprocal(self.input.shape.pixels()));
                for (idx, sum) in sums.iter().enumerate() {
                    b.binary(Binary::Mul, *sum, *sum, element);
                    b.store(*sum, output.at(idx * isa.lanes));
                }
                b.advance(input, vectors * isa.lanes);
                b.advance(output, vectors * isa.lanes);
                b.free(sums.into_iter().chain([element]));
                b.free_pointers([pixel]);
            });
        }
        b.finish()
    }
}
