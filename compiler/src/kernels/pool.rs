//! Global average: per channel, the pixels in row order are added to +0 and the sum is multiplied by 1 / pixels. Of bytes, their sum is
//! an integer, and what becomes of it are bytes again.
//!
//! Register map: up to eight accumulators (vectors of channels) to hide the latency of the addition, one input vector.

use super::tile::{Tile, panels};
use super::{ByteEnding, Family, FeatureMap, KernelName, NamedTile};
use crate::code::{Access, Address, Binary, Builder, Code, Reg};
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
    /// Of a map of bytes, what becomes of the sums.
    pub integers: Option<PoolNumbers>,
}

/// What becomes of the sums of a map of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PoolNumbers {
    /// What they start from.
    pub bias: i32,
    /// The bits of what they are multiplied by, as f32.
    pub multiplier: u32,
    /// How that becomes bytes; it stays a number without.
    pub bytes: Option<ByteEnding>,
}

/// Vectors of channels that are summed side by side.
const STEP: Tile = Tile { mr: 1, vectors: 8 };

impl GlobalAveragePool {
    pub(super) fn name(&self, isa: &Isa) -> KernelName {
        KernelName {
            dtype: self.input.dtype,
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
                sums.iter().for_each(|sum| match self.integers {
                    None => b.constant(*sum, 0.0),
                    Some(numbers) => b.constant_integer(*sum, numbers.bias),
                });
                b.set_pointer(pixel, input, 0);
                b.repeat(self.input.shape.pixels(), |b| {
                    for (idx, sum) in sums.iter().enumerate() {
                        let from = pixel.at(self.input.words(idx * isa.lanes));
                        match self.integers {
                            None => {
                                b.load(element, from);
                                b.binary(Binary::Add, *sum, *sum, element);
                            }
                            Some(_) => {
                                b.load_bytes(element, from, isa.lanes);
                                b.binary(Binary::AddIntegers, *sum, *sum, element);
                            }
                        }
                    }
                    b.advance(pixel, self.input.pixel_words());
                });
                let place = |idx: usize| output.at(self.output.words(idx * isa.lanes));
                let sums: Vec<(Reg, Address)> =
                    sums.into_iter().enumerate().map(|(idx, sum)| (sum, place(idx))).collect();
                self.store(b, element, &sums);
                b.advance(input, self.input.words(vectors * isa.lanes));
                b.advance(output, self.output.words(vectors * isa.lanes));
                b.free(sums.into_iter().map(|(sum, _)| sum).chain([element]));
                b.free_pointers([pixel]);
            });
        }
        b.finish()
    }

    fn store(&self, b: &mut Builder, passing: Reg, sums: &[(Reg, Address)]) {
        let Some(PoolNumbers { multiplier, bytes, .. }) = self.integers else {
            b.constant(passing, pool_reciprocal(self.input.shape.pixels()));
            for (sum, place) in sums {
                b.binary(Binary::Mul, *sum, *sum, passing);
                b.store(*sum, *place);
            }
            return;
        };
        b.constant(passing, f32::from_bits(multiplier));
        for (sum, _) in sums {
            b.to_float(*sum, *sum);
            b.binary(Binary::Mul, *sum, *sum, passing);
        }
        match bytes {
            Some(bytes) => bytes.store(b, passing, sums),
            None => sums.iter().for_each(|(sum, place)| b.store(*sum, *place)),
        }
    }
}
