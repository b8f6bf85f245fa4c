//! Two maps, element by element: output = activation(a + b), or a * b; of bytes what [`ElementwiseNumbers`] says.
//!
//! One of the two may have a single pixel that every pixel of the other takes: the gate of a squeeze-and-excite block.
//!
//! Register map: two input vectors, those of the activation or, of bytes, one for constants.

use super::epilogue::{self, Epilogue};
use super::{ByteAddition, ByteEnding, Family, FeatureMap, KernelName, NamedTile};
use crate::code::{Access, Address, Binary, Builder, Code, Reg};
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
    /// Of maps of bytes, how their bytes become that of the result.
    pub integers: Option<ElementwiseNumbers>,
}

/// How two bytes become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ElementwiseNumbers {
    /// That of their sum.
    Sum(ByteAddition),
    /// That of their product.
    Product(ByteProduct),
}

/// How two bytes become that of their product, or its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ByteProduct {
    /// What is added to each before.
    pub addends: [i32; 2],
    /// The bits of what the product is multiplied by, as f32.
    pub multiplier: u32,
    /// How that becomes bytes; it stays a number without.
    pub bytes: Option<ByteEnding>,
}

impl ByteProduct {
    /// Of integers in two registers; the second is overwritten.
    fn store(
        self,
        b: &mut Builder,
        [result, other]: [Reg; 2],
        epilogue: &Epilogue,
        (passing, place): (Reg, Address),
    ) {
        for (register, addend) in [result, other].into_iter().zip(self.addends) {
            if addend != 0 {
                b.constant_integer(passing, addend);
                b.binary(Binary::AddIntegers, register, register, passing);
            }
        }
        b.binary(Binary::MulIntegers, result, result, other);
        b.to_float(result, result);
        b.constant(passing, f32::from_bits(self.multiplier));
        b.binary(Binary::Mul, result, result, passing);
        epilogue.apply(b, result);
        match self.bytes {
            Some(bytes) => bytes.store(b, passing, &[(result, place)]),
            None => b.store(result, place),
        }
    }
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
        let n_registers = if self.integers.is_some() { isa.integer_registers } else { isa.vector_registers };
        let mut b = Builder::with_registers(isa, n_registers);
        let step = |map: FeatureMap| if self.is_shared(map) { 0 } else { map.pixel_words() };
        let maps = [self.a, self.b, self.output];
        let steps = maps.map(step);
        let pixels = [
            b.parameter("a", Access::Read),
            b.parameter("b", Access::Read),
            b.parameter("output", Access::Write),
        ];
        let (result, other) = (b.register(), b.register());
        let integers = self.integers.map(|numbers| (numbers, b.register()));
        let scratch = epilogue::scratch(&mut b, self.activation);
        let epilogue = Epilogue::new(&mut b, self.activation, &scratch).expect("all registers are free");
        b.repeat(self.output.shape.pixels(), |b| {
            let vectors = pixels.map(|pixel| {
                let vector = b.pointer();
                b.set_pointer(vector, pixel, 0);
                vector
            });
            b.repeat(self.output.shape.channels.div_ceil(isa.lanes), |b| {
                let [from, with, place] = [0, 1, 2].map(|idx| vectors[idx].at(0));
                match integers {
                    Some((numbers, passing)) => {
                        b.load_bytes(result, from, isa.lanes);
                        match numbers {
                            ElementwiseNumbers::Sum(addition) => {
                                addition.store(b, [passing, other], &[with], &[(result, place)]);
                            }
                            ElementwiseNumbers::Product(product) => {
                                b.load_bytes(other, with, isa.lanes);
                                product.store(b, [result, other], &epilogue, (passing, place));
                            }
                        }
                    }
                    None => {
                        b.load(result, from);
                        b.load(other, with);
                        b.binary(self.operation.binary(), result, result, other);
                        epilogue.apply(b, result);
                        b.store(result, place);
                    }
                }
                let steps = vectors.iter().zip(maps);
                steps.for_each(|(vector, map)| b.advance(*vector, map.words(isa.lanes)));
            });
            b.free_pointers(vectors);
            pixels.iter().zip(steps).for_each(|(pixel, step)| b.advance(*pixel, step));
        });
        b.finish()
    }
}
