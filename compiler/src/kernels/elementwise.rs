//! Two maps, element by element: output = activation(a + b), or a * b.
//!
//! One of the two may have a single pixel that every pixel of the other takes: the gate of a squeeze-and-excite block.
//!
//! Register map: two input vectors, those of the activation.

use super::epilogue::{self, Epilogue};
use super::{Family, FeatureMap, KernelName, NamedTile};
use crate::code::{Access, Binary, Builder, Code};
use crate::graph::layer::Activation;
use crate::target::Isa;

/// What is done with two elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// a + b
    Add,
    /// a * b
    Multiply,
}

impl Operation {
    /// Every one.
    pub const ALL: [Operation; 2] = [Operation::Add, Operation::Multiply];

    /// The word for it in names of kernels.
    pub fn word(self) -> &'static str {
        match self {
            Operation::Add => "add",
            Operation::Multiply => "multiply",
        }
    }

    fn binary(self) -> Binary {
        match self {
            Operation::Add => Binary::Add,
            Operation::Multiply => Binary::Mul,
        }
    }
}

/// An operation on two maps.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Elementwise {
    /// What is done.
    pub operation: Operation,
    /// First operand, padded: of the output's shape, or of one pixel.
    pub a: FeatureMap,
    /// Second operand, likewise.
    pub b: FeatureMap,
    /// Padded.
    pub output: FeatureMap,
    /// Applied to each result.
    pub activation: Activation,
}

impl Elementwise {
    pub(super) fn name(&self, isa: &Isa) -> KernelName {
        KernelName {
            dtype: self.a.dtype,
            family: Family::Elementwise(self.operation),
            tile: NamedTile::row(1, isa.lanes),
            activation: self.activation,
            isa: isa.tag.to_owned(),
        }
    }

    /// Whether every pixel of the output takes the same pixel of an operand.
    pub(super) fn is_shared(&self, operand: FeatureMap) -> bool {
        operand.shape.pixels() < self.output.shape.pixels()
    }

    pub(super) fn code(&self, isa: &Isa) -> Code {
        let mut b = Builder::new(isa);
        let step = |map: FeatureMap| if self.is_shared(map) { 0 } else { map.pixel_stride };
        let steps = [self.a, self.b, self.output].map(step);
        let pixels = [
            b.parameter("a", Access::Read),
            b.parameter("b", Access::Read),
            b.parameter("output", Access::Write),
        ];
        let (result, other) = (b.register(), b.register());
        let scratch = epilogue::scratch(&mut b, self.activation);
        let epilogue = Epilogue::new(&mut b, self.activation, &scratch).expect("all registers are free");
        b.repeat(self.output.shape.pixels(), |b| {
            let vectors = pixels.map(|pixel| {
                let vector = b.pointer();
                b.set_pointer(vector, pixel, 0);
                vector
            });
            b.repeat(self.output.shape.channels.div_ceil(isa.lanes), |b| {
                b.load(result, vectors[0].at(0));
                b.load(other, vectors[1].at(0));
                b.binary(self.operation.binary(), result, result, other);
                epilogue.apply(b, result);
                b.store(result, vectors[2].at(0));
                vectors.iter().for_each(|vector| b.advance(*vector, isa.lanes));
            });
            b.free_pointers(vectors);
            pixels.iter().zip(steps).for_each(|(pixel, step)| b.advance(*pixel, step));
        });
        b.finish()
    }
}
