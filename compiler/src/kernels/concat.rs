//! Maps of one height and width side by side: of each pixel the channels of the first input, then those of the next.
//!
//! Channels may begin anywhere in a vector of the output, so each input ends with a part of a vector, and so does the output.
//!
//! Register map: one vector.

use super::{Family, FeatureMap, KernelName, NamedTile};
use crate::code::{Access, Builder, Code};
use crate::graph::layer::Activation;
use crate::target::Isa;

/// Several maps side by side.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Concat {
    /// In the order of their channels, tight or padded; at most [`Concat::MOST_INPUTS`].
    pub inputs: Vec<FeatureMap>,
    /// Tight or padded.
    pub output: FeatureMap,
}

const NAMES: [&str; Concat::MOST_INPUTS] = ["a", "b", "c", "d", "e", "f", "g", "h"];

impl Concat {
    /// Each has a pointer of its own.
    pub const MOST_INPUTS: usize = crate::describe::MAX_JOINED;

    pub(super) fn name(&self, isa: &Isa) -> KernelName {
        KernelName {
            dtype: self.output.dtype,
            family: Family::Concat,
            tile: NamedTile::row(1, isa.lanes),
            activation: Activation::None,
            isa: isa.tag.to_owned(),
        }
    }

    pub(super) fn code(&self, isa: &Isa) -> Code {
        let mut b = Builder::new(isa);
        let inputs: Vec<_> =
            self.inputs.iter().zip(NAMES).map(|(_, name)| b.parameter(name, Access::Read)).collect();
        let output = b.parameter("output", Access::Write);
        let vector = b.register();
        b.repeat(self.output.shape.pixels(), |b| {
            let (from, to) = (b.pointer(), b.pointer());
            b.set_pointer(to, output, 0);
            for (input, map) in inputs.iter().zip(&self.inputs) {
                let (full, rest) = (map.shape.channels / isa.lanes, map.shape.channels % isa.lanes);
                b.set_pointer(from, *input, 0);
                b.repeat(full, |b| {
                    b.load(vector, from.at(0));
                    b.store(vector, to.at(0));
                    b.advance(from, isa.lanes);
                    b.advance(to, isa.lanes);
                });
                if rest != 0 {
                    b.load_part(vector, from.at(0), rest);
                    b.store_part(vector, to.at(0), rest);
                    b.advance(to, rest);
                }
                b.advance(*input, map.pixel_stride);
            }
            let behind = self.output.shape.channels % isa.lanes;
            if behind != 0 && self.output.is_padded(isa) {
                // Zeros behind the channels of a padded map: whole vectors of it may be read later.
                b.constant(vector, 0.0);
                b.store_part(vector, to.at(0), isa.lanes - behind);
            }
            b.advance(output, self.output.pixel_stride);
            b.free_pointers([from, to]);
        });
        b.finish()
    }
}
