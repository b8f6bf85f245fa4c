//! Each pixel as often as a whole factor says, in both directions: output (y, x) = input (y / factor, x / factor).
//!
//! Register map: one vector.

use super::{Family, FeatureMap, KernelName, NamedTile};
use crate::code::{Access, Builder, Code};
use crate::graph::layer::Activation;
use crate::target::Isa;

/// A larger map of the same pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Upsample {
    /// Rows and columns of the output for one of the input.
    pub factor: usize,
    /// Padded.
    pub input: FeatureMap,
    /// Padded.
    pub output: FeatureMap,
}

impl Upsample {
    pub(super) fn name(&self, isa: &Isa) -> KernelName {
        KernelName {
            dtype: self.input.dtype,
            family: Family::Upsample,
            tile: NamedTile::row(self.factor, isa.lanes),
            activation: Activation::None,
            isa: isa.tag.to_owned(),
        }
    }

    pub(super) fn code(&self, isa: &Isa) -> Code {
        let Upsample { factor, input: map_in, output: map_out } = *self;
        let mut b = Builder::new(isa);
        let input = b.parameter("input", Access::Read);
        let output = b.parameter("output", Access::Write);
        let vector = b.register();
        b.repeat(map_in.shape.height, |b| {
            // The same row of the input for each of its rows of the output.
            b.repeat(factor, |b| {
                let pixel = b.pointer();
                b.set_pointer(pixel, input, 0);
                b.repeat(map_in.shape.width, |b| {
                    let (from, to) = (b.pointer(), b.pointer());
                    b.set_pointer(from, pixel, 0);
                    b.set_pointer(to, output, 0);
                    b.repeat(map_in.shape.channels.div_ceil(isa.lanes), |b| {
                        b.load(vector, from.at(0));
                        for copy in 0..factor {
                            b.store(vector, to.at(copy * map_out.pixel_stride));
                        }
                        b.advance(from, isa.lanes);
                        b.advance(to, isa.lanes);
                    });
                    b.free_pointers([from, to]);
                    b.advance(pixel, map_in.pixel_stride);
                    b.advance(output, factor * map_out.pixel_stride);
                });
                b.free_pointers([pixel]);
            });
            b.advance(input, map_in.row_stride());
        });
        b.finish()
    }
}
