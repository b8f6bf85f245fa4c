//! Elementwise sum of two maps of one shape: output = activation(a + b).
//!
//! Register map: two input vectors, two bounds of the activation.

use super::tile::Bounds;
use super::{Family, FeatureMap, KernelName, NamedTile};
use crate::code::{Access, Binary, Builder, Code};
use crate::graph::layer::Activation;
use crate::target::Isa;

/// An elementwise sum.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Add {
    /// First operand, padded.
    pub a: FeatureMap,
    /// Second operand, padded.
    pub b: FeatureMap,
    /// Padded.
    pub output: FeatureMap,
    /// Applied to each sum.
    pub activation: Activation,
}

impl Add {
    pub(super) fn name(&self, isa: &Isa) -> KernelName {
        KernelName {
            family: Family::Add,
            tile: NamedTile { pixels: 1, channels: isa.lanes },
            activation: self.activation,
            isa: isa.tag.to_owned(),
        }
    }

    pub(super) fn code(&self, isa: &Isa) -> Code {
        let mut b = Builder::new(isa);
        let maps = [self.a, self.b, self.output];
        let pixels = [
            b.parameter("a", Access::Read),
            b.parameter("b", Access::Read),
            b.parameter("output", Access::Write),
        ];
        let (sum, other, scratch) = (b.register(), b.register(), b.registers(2));
        let bounds = Bounds::new(&mut b, self.activation, &scratch);
        b.repeat(self.output.shape.pixels(), |b| {
            let vectors = pixels.map(|pixel| {
                let vector = b.pointer();
                b.set_pointer(vector, pixel, 0);
                vector
            });
            b.repeat(self.output.shape.channels.div_ceil(isa.lanes), |b| {
                b.load(sum, vectors[0].at(0));
                b.load(other, vectors[1].at(0));
                b.binary(Binary::Add, sum, sum, other);
                bounds.apply(b, sum);
                b.store(sum, vectors[2].at(0));
                vectors.iter().for_each(|vector| b.advance(*vector, isa.lanes));
            });
            b.free_pointers(vectors);
            pixels.iter().zip(maps).for_each(|(pixel, map)| b.advance(*pixel, map.pixel_stride));
        });
        b.finish()
    }
}
