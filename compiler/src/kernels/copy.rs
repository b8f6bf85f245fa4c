//! Copies a map between two layouts: from the caller's tight input to a padded map, from a padded map to the tight output.
//! Also the rows that one band leaves for the next, to the start of their buffer: elements are taken in ascending order, so that
//! the rows may overlap those that they replace.
//!
//! Register map: one vector.

use super::{Family, FeatureMap, KernelName, NamedTile};
use crate::code::{Access, Builder, Code};
use crate::graph::layer::Activation;
use crate::target::Isa;

/// A copy of one shape between two layouts, or within one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Copy {
    /// Tight or padded.
    pub input: FeatureMap,
    /// Tight or padded.
    pub output: FeatureMap,
}

impl Copy {
    pub(super) fn name(&self, isa: &Isa) -> KernelName {
        KernelName {
            family: Family::Copy,
            tile: NamedTile::row(1, isa.lanes),
            activation: Activation::None,
            isa: isa.tag.to_owned(),
        }
    }

    pub(super) fn code(&self, isa: &Isa) -> Code {
        let channels = self.input.shape.channels;
        let (full, rest) = (channels / isa.lanes, channels % isa.lanes);
        let mut b = Builder::new(isa);
        let input = b.parameter("input", Access::Read);
        let output = b.parameter("output", Access::Write);
        let vector = b.register();
        b.repeat(self.input.shape.pixels(), |b| {
            let (from, to) = (b.pointer(), b.pointer());
            b.set_pointer(from, input, 0);
            b.set_pointer(to, output, 0);
            b.repeat(full, |b| {
                b.load(vector, from.at(0));
                b.store(vector, to.at(0));
                b.advance(from, isa.lanes);
                b.advance(to, isa.lanes);
            });
            if rest != 0 {
                b.load_part(vector, from.at(0), rest);
                // Zeros behind the channels of a padded map: whole vectors of it may be read later.
                b.store_part(vector, to.at(0), if self.output.is_padded(isa) { isa.lanes } else { rest });
            }
            b.advance(input, self.input.pixel_stride);
            b.advance(output, self.output.pixel_stride);
            b.free_pointers([from, to]);
        });
        b.finish()
    }
}
