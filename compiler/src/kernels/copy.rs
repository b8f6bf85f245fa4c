//! Copies a map between two layouts: from the caller's tight input to a padded map, from a padded map to the tight output.
//! Also the rows that one band leaves for the next, to the start of their buffer: elements are taken in ascending order, so that
//! the rows may overlap those that they replace.
//!
//! Register map: one vector.

use super::{Family, FeatureMap, KernelName, NamedTile};
use crate::code::{Access, Builder, Code};
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
        match self.input.dtype {
            Dtype::F32 => self.code_f32(isa),
            Dtype::U8 => self.code_u8(isa),
        }
    }

    /// As [`Copy::code_f32`], by bytes.
    fn code_u8(&self, isa: &Isa) -> Code {
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
                b.load_bytes(vector, from.at(0), isa.lanes);
                b.store_bytes(vector, to.at(0), isa.lanes);
                b.advance_bytes(from, isa.lanes);
                b.advance_bytes(to, isa.lanes);
            });
            if rest != 0 {
                b.load_bytes(vector, from.at(0), rest);
                // As far as the output has room: words or whole vectors of it may be read later.
                let room = self.output.pixel_stride - full * isa.lanes;
                b.store_bytes(vector, to.at(0), room.min(isa.lanes));
            }
            b.advance_bytes(input, self.input.pixel_stride);
            b.advance_bytes(output, self.output.pixel_stride);
            b.free_pointers([from, to]);
        });
        b.finish()
    }

    fn code_f32(&self, isa: &Isa) -> Code {
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
