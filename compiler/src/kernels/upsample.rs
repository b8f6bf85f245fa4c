//! Each pixel as often as a whole factor says, in both directions: output (y, x) = input (y / factor, x / factor). Bytes go in words, four
//! to a lane.
//!
//! Register map: one vector.

use super::{Family, FeatureMap, KernelName, NamedTile, padded_channels};
use crate::code::{Access, Builder, Code, Ptr};
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
        // Behind the channels there is room for whole vectors of elements.
        let words = map_in.words(padded_channels(map_in.shape.channels, isa));
        let copy_words = |b: &mut Builder, [from, to]: [Ptr; 2], words: usize| {
            b.load_part(vector, from.at(0), words);
            for copy in 0..factor {
                b.store_part(vector, to.at(copy * map_out.pixel_words()), words);
            }
        };
        b.repeat(map_in.shape.height, |b| {
            // The same row of the input for each of its rows of the output.
            b.repeat(factor, |b| {
                let pixel = b.pointer();
                b.set_pointer(pixel, input, 0);
                b.repeat(map_in.shape.width, |b| {
                    let (from, to) = (b.pointer(), b.pointer());
                    b.set_pointer(from, pixel, 0);
                    b.set_pointer(to, output, 0);
                    b.repeat(words / isa.lanes, |b| {
                        copy_words(b, [from, to], isa.lanes);
                        b.advance(from, isa.lanes);
                        b.advance(to, isa.lanes);
                    });
                    if !words.is_multiple_of(isa.lanes) {
                        copy_words(b, [from, to], words % isa.lanes);
                    }
                    b.free_pointers([from, to]);
                    b.advance(pixel, map_in.pixel_words());
                    b.advance(output, factor * map_out.pixel_words());
                });
                b.free_pointers([pixel]);
            });
            b.advance(input, map_in.row_words());
        });
        b.finish()
    }
}
