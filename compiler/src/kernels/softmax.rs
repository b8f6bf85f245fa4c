//! Softmax over the channels of each pixel: exp(x - max) / sum, as [`crate::reference`] states it.
//!
//! Maximum and sum are chains over the channels in ascending order. Each step broadcasts one element, so every lane holds the
//! whole chain and no lane is ever added to another.
//!
//! Register map: the chain, one vector, and the temporaries of the exponential.

use super::epilogue::exp;
use super::{Family, FeatureMap, KernelName, NamedTile};
use crate::code::{Access, Binary, Builder, Code};
use crate::graph::layer::Activation;
use crate::target::Isa;

/// A softmax.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Softmax {
    /// Padded.
    pub input: FeatureMap,
    /// Padded.
    pub output: FeatureMap,
}

impl Softmax {
    pub(super) fn name(&self, isa: &Isa) -> KernelName {
        KernelName {
            dtype: self.input.dtype,
            family: Family::Softmax,
            tile: NamedTile::row(1, isa.lanes),
            activation: Activation::None,
            isa: isa.tag.to_owned(),
        }
    }

    pub(super) fn code(&self, isa: &Isa) -> Code {
        let channels = self.input.shape.channels;
        let vectors = channels.div_ceil(isa.lanes);
        let mut b = Builder::new(isa);
        let input = b.parameter("input", Access::Read);
        let output = b.parameter("output", Access::Write);
        let (chain, x) = (b.register(), b.register());
        b.repeat(self.input.shape.pixels(), |b| {
            let (from, to) = (b.pointer(), b.pointer());
            b.heading("maximum");
            b.splat(chain, input.at(0));
            b.set_pointer(from, input, 1);
            b.repeat(channels - 1, |b| {
                b.splat(x, from.at(0));
                b.binary(Binary::Max, chain, x, chain);
                b.advance(from, 1);
            });
            b.heading("exponentials");
            b.set_pointer(from, input, 0);
            b.set_pointer(to, output, 0);
            b.repeat(vectors, |b| {
                b.load(x, from.at(0));
                b.binary(Binary::Sub, x, x, chain);
                let temporaries = b.registers(4);
                exp(b, x, &temporaries);
                b.free(temporaries);
                b.store(x, to.at(0));
                b.advance(from, isa.lanes);
                b.advance(to, isa.lanes);
            });
            b.heading("sum");
            b.constant(chain, 0.0);
            b.set_pointer(to, output, 0);
            b.repeat(channels, |b| {
                b.splat(x, to.at(0));
                b.binary(Binary::Add, chain, chain, x);
                b.advance(to, 1);
            });
            b.heading("quotients");
            b.set_pointer(to, output, 0);
            b.repeat(vectors, |b| {
                b.load(x, to.at(0));
                b.binary(Binary::Div, x, x, chain);
                b.store(x, to.at(0));
                b.advance(to, isa.lanes);
            });
            b.free_pointers([from, to]);
            b.advance(input, self.input.pixel_stride);
            b.advance(output, self.output.pixel_stride);
        });
        b.finish()
    }
}
