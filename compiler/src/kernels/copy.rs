//! Copies a map between two layouts: from the caller's tight input to a padded map, from a padded map to the tight output.
//! Also the rows that one band leaves for the next, to the start of their buffer: elements are taken in ascending order, so that
//! the rows may overlap those that they replace.
//!
//! Register map: one vector.

use super::{Family, FeatureMap, KernelName, NamedTile};
use crate::code::{Access, Builder, Code, Ptr};
use crate::graph::layer::Activation;
use crate::graph::tensor::Dtype;
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
            dtype: self.input.dtype,
            family: Family::Copy,
            tile: NamedTile::row(1, isa.lanes),
            activation: Activation::None,
            isa: isa.tag.to_owned(),
        }
    }

    pub(super) fn code(&self, isa: &Isa) -> Code {
        let dtype = self.input.dtype;
        let channels = self.input.shape.channels;
        let (full, rest) = (channels / isa.lanes, channels % isa.lanes);
        let mut b = Builder::new(isa);
        let input = b.parameter("input", Access::Read);
        let output = b.parameter("output", Access::Write);
        let vector = b.register();
        let load = |b: &mut Builder, from: Ptr, lanes: usize| match dtype {
            Dtype::F32 => b.load_part(vector, from.at(0), lanes),
            Dtype::U8 => b.load_bytes(vector, from.at(0), lanes),
        };
        let store = |b: &mut Builder, to: Ptr, lanes: usize| match dtype {
            Dtype::F32 => b.store_part(vector, to.at(0), lanes),
            Dtype::U8 => b.store_bytes(vector, to.at(0), lanes),
        };
        b.repeat(self.input.shape.pixels(), |b| {
            let (from, to) = (b.pointer(), b.pointer());
            b.set_pointer(from, input, 0);
            b.set_pointer(to, output, 0);
            b.repeat(full, |b| {
                load(b, from, isa.lanes);
                store(b, to, isa.lanes);
                [from, to].iter().for_each(|ptr| b.advance_bytes(*ptr, isa.lanes * dtype.bytes()));
            });
            if rest != 0 {
                load(b, from, rest);
                // Zeros behind the channels, as far as a pixel has room: whole words or vectors of it may be read later.
                let room = self.output.pixel_stride - full * isa.lanes;
                store(b, to, room.min(isa.lanes));
            }
            b.advance_bytes(input, self.input.pixel_bytes());
            b.advance_bytes(output, self.output.pixel_bytes());
            b.free_pointers([from, to]);
        });
        b.finish()
    }
}
