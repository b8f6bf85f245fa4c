//! Makes bytes of the numbers of an input: the number times the bytes for 1 of its channel, plus the byte that stands for 0.
//!
//! Elements lie one behind the other, whatever their channels are; after some vectors these begin with channel 0 again. The filter has
//! the numbers of so many vectors.
//!
//! Register map: two bounds, the numbers that become bytes in one go, and one more; of few vectors their factors and offsets.

use mnc_runtime::filter::Packing;

use super::{Family, FeatureMap, KernelName, NamedTile, narrow};
use crate::code::{Access, Address, Binary, Builder, Code, Ptr, Reg};
use crate::graph::layer::Activation;
use crate::graph::tensor::{Dtype, Tensor};
use crate::passes::{ByteInput, Filter, Fused};
use crate::target::Isa;

/// The bytes of an input's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Quantise {
    /// The caller's numbers, without gaps.
    pub input: FeatureMap,
    /// Bytes, without gaps.
    pub output: FeatureMap,
    /// Whether all channels have the same numbers.
    pub channels_are_alike: bool,
}

/// Vectors whose factors and offsets are in registers, at most.
const MOST_RESIDENT: usize = 4;
/// Vectors that become bytes in one go, where the instruction set narrows two registers into one.
const GROUP: usize = 4;

/// What a vector of numbers is multiplied by, and what is added.
enum Numbers {
    Registers(Reg, Reg),
    Memory(Address, Address),
}

/// What becomes of the numbers of some vectors: which vector has which, and the bounds of all.
struct Bytes<'a> {
    numbers: &'a dyn Fn(usize) -> Numbers,
    bounds: [Reg; 2],
}

impl Quantise {
    /// That of a network that reads bytes, over the inputs of a batch.
    pub fn of(network: &Fused, batch: usize) -> Option<(Quantise, &ByteInput)> {
        let bytes = network.byte_input.as_ref()?;
        let map =
            |dtype: Dtype| FeatureMap::tight(Tensor { dtype, ..network.nodes[0].tensor }).stacked(batch);
        let alike = |numbers: &[f32]| numbers.iter().all(|number| number.to_bits() == numbers[0].to_bits());
        let channels_are_alike = alike(&bytes.scale) && alike(&bytes.offset);
        Some((Quantise { input: map(Dtype::F32), output: map(Dtype::U8), channels_are_alike }, bytes))
    }

    pub(super) fn name(&self, isa: &Isa) -> KernelName {
        KernelName {
            dtype: self.output.dtype,
            family: Family::Quantise,
            tile: NamedTile::row(1, isa.lanes),
            activation: Activation::None,
            isa: isa.tag.to_owned(),
        }
    }

    /// Channels after which the numbers of the filter begin again.
    fn n_channels(&self) -> usize {
        if self.channels_are_alike { 1 } else { self.input.shape.channels }
    }

    /// Vectors after which they do.
    fn n_vectors(&self, isa: &Isa) -> usize {
        let channels = self.n_channels();
        (1..=channels)
            .find(|n| (n * isa.lanes).is_multiple_of(channels))
            .expect("as many vectors as channels do")
    }

    /// By vector: the offsets, then the factors.
    pub(super) fn packing(&self, isa: &Isa) -> Packing {
        Packing::new(1, (isa.lanes, self.n_vectors(isa)), 0)
    }

    /// The numbers of as many elements as the packed filter has.
    pub fn filter(&self, isa: &Isa, bytes: &ByteInput) -> Filter {
        let n = self.n_vectors(isa) * isa.lanes;
        let of_elements =
            |of_channel: &[f32]| of_channel[..self.n_channels()].iter().copied().cycle().take(n).collect();
        Filter { weights: of_elements(&bytes.scale), bias: of_elements(&bytes.offset) }
    }

    pub(super) fn code(&self, isa: &Isa) -> Code {
        let lanes = isa.lanes;
        let n_vectors = self.n_vectors(isa);
        let mut b = Builder::with_registers(isa, isa.integer_registers);
        let input = b.parameter("input", Access::Read);
        let filter = b.parameter("weights", Access::Read);
        let output = b.parameter("output", Access::Write);
        let bounds = [0.0, f32::from(u8::MAX)].map(|bound| {
            let register = b.register();
            b.constant(register, bound);
            register
        });
        let at = |vector: usize| {
            let offset = 2 * lanes * (vector % n_vectors);
            (filter.at(offset + lanes), filter.at(offset))
        };
        let is_resident = n_vectors <= MOST_RESIDENT;
        let resident: Vec<(Reg, Reg)> = (0..if is_resident { n_vectors } else { 0 })
            .map(|vector| {
                let ((factor, offset), registers) = (at(vector), (b.register(), b.register()));
                b.load(registers.0, factor);
                b.load(registers.1, offset);
                registers
            })
            .collect();
        let numbers = |vector: usize| match resident.get(vector % n_vectors) {
            Some((factor, offset)) => Numbers::Registers(*factor, *offset),
            None => {
                let (factor, offset) = at(vector);
                Numbers::Memory(factor, offset)
            }
        };
        let n_elements = self.input.shape.len();
        // Of many vectors of numbers there are groups enough in one round.
        let written_out = if is_resident { n_vectors * GROUP } else { n_vectors };
        let bytes = Bytes { numbers: &numbers, bounds };
        b.repeat(n_elements / lanes / written_out, |b| {
            bytes.vectors(b, isa, (input, output), written_out);
            b.advance(input, written_out * lanes);
            b.advance_bytes(output, written_out * lanes);
        });
        let rest = n_elements % (written_out * lanes);
        let (whole, last) = (rest / lanes, rest % lanes);
        bytes.vectors(&mut b, isa, (input, output), whole);
        if last != 0 {
            let x = bytes.integers(&mut b, (input, whole), last);
            b.store_bytes(x, output.at_bytes(whole * lanes), last);
            b.free([x]);
        }
        b.finish()
    }
}

impl Bytes<'_> {
    /// So many whole vectors, one behind the other.
    fn vectors(&self, b: &mut Builder, isa: &Isa, (input, output): (Ptr, Ptr), n_vectors: usize) {
        for first in (0..n_vectors).step_by(GROUP) {
            let group = first..n_vectors.min(first + GROUP);
            let integers: Vec<Reg> =
                group.clone().map(|vector| self.integers(b, (input, vector), isa.lanes)).collect();
            if isa.zips_bytes {
                let free = b.register();
                narrow::store_all(b, free, &[(integers.clone(), output.at_bytes(first * isa.lanes))]);
                b.free([free]);
            } else {
                for (vector, x) in group.zip(&integers) {
                    b.store_bytes(*x, output.at_bytes(vector * isa.lanes), isa.lanes);
                }
            }
            b.free(integers);
        }
    }

    /// The integers of some lanes of a vector.
    fn integers(&self, b: &mut Builder, (input, vector): (Ptr, usize), lanes: usize) -> Reg {
        let x = b.register();
        b.load_part(x, input.at(vector * b.lanes()), lanes);
        match (self.numbers)(vector) {
            Numbers::Registers(factor, offset) => b.mul_add(x, factor, offset),
            Numbers::Memory(factor, offset) => {
                let registers @ [by, added] = [b.register(), b.register()];
                b.load(by, factor);
                b.load(added, offset);
                b.mul_add(x, by, added);
                b.free(registers);
            }
        }
        // The bound wins where it is no number.
        let [least, most] = self.bounds;
        b.binary(Binary::Max, x, x, least);
        b.binary(Binary::Min, x, x, most);
        b.to_integer(x, x);
        x
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::code::interpret::{Argument, Region, Runner, run};
    use crate::graph::shape::Shape;
    use crate::graph::tensor::f32_bytes;
    use crate::random::Random;
    use crate::target::ISAS;

    /// Numbers about the bounds and far beyond them, and what is none.
    fn number(random: &mut Random) -> f32 {
        let rare = [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN, -0.0, 1e-45];
        match random.within(0, 9) {
            0 => random.pick(&rare),
            1 => random.within(0, 1 << 20) as f32 * 1e6 - 5e11,
            2 => random.within(0, 510) as f32 / 2.0,
            _ => random.within(0, 1 << 20) as f32 / 1024.0 - 300.0,
        }
    }

    #[test]
    fn all_numbers_become_their_bytes() {
        let mut random = Random::new(21);
        for case in 0..mnc_need::n_seeds(60) {
            let channels = random.pick(&[1, 2, 3, 4, 5, 7, 11, 16, 33]);
            let shape = Shape { height: random.within(1, 5), width: random.within(1, 9), channels };
            let is_alike = random.percent(30);
            let mut of_channels = |numbers: &[f32]| -> Vec<f32> {
                let first = random.pick(numbers);
                (0..channels).map(|_| if is_alike { first } else { random.pick(numbers) }).collect()
            };
            let (scale, offset) =
                (of_channels(&[1.0, 0.5, 127.5, 3e7, 1e-3]), of_channels(&[0.0, 127.5, 0.5, 255.0]));
            let bytes = ByteInput { scale, offset };
            let map = |dtype| FeatureMap::tight(Tensor { shape, dtype });
            let kernel =
                Quantise { input: map(Dtype::F32), output: map(Dtype::U8), channels_are_alike: is_alike };
            let x: Vec<f32> = (0..shape.len()).map(|_| number(&mut random)).collect();
            let expected: Vec<u8> =
                x.iter().enumerate().map(|(idx, x)| bytes.byte(idx % channels, *x)).collect();
            for isa in ISAS {
                let packed = kernel.filter(isa, &bytes).pack(&kernel.packing(isa));
                let mut regions = [
                    Region::constant("input", Dtype::F32, f32_bytes(&x)),
                    Region::constant("weights", Dtype::F32, f32_bytes(&packed)),
                    Region::uninitialised("output", Dtype::U8, x.len()),
                ];
                let arguments = [0, 1, 2].map(|region| Argument { region, byte: 0 });
                let runner = Runner { number: 1, first_of_step: 1, after: Vec::new() };
                run(&kernel.code(isa), &mut regions, &arguments, &runner)
                    .unwrap_or_else(|violation| panic!("case {case}, {}: {violation}", isa.name));
                assert_eq!(regions[2].contents().unwrap(), expected, "case {case}, {} {shape}", isa.name);
            }
        }
    }
}
