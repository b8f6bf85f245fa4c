//! Makes bytes of the numbers of an input: the number times the bytes for 1 of its channel, plus the byte that stands for 0.
//!
//! Elements lie one behind the other, whatever their channels are; after some vectors these begin with channel 0 again. The filter has
//! the numbers of so many vectors.
//!
//! Register map: two bounds, the number and its factor; of few vectors their factors and offsets.

use mnc_runtime::filter::Packing;

use super::{Family, FeatureMap, KernelName, NamedTile};
use crate::code::{Access, Address, Binary, Builder, Code, Reg};
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
/// Vectors that are written out at once, about.
const UNROLL: usize = 4;

/// What a vector of numbers is multiplied by, and what is added.
enum Numbers {
    Registers(Reg, Reg),
    Memory(Address, Address),
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

    /// The numbers of all elements that [`Quantise::packing`] has.
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
        let written_out = n_vectors * UNROLL.div_ceil(n_vectors);
        b.repeat(n_elements / lanes / written_out, |b| {
            for vector in 0..written_out {
                let (from, to) = (input.at(vector * lanes), output.at_bytes(vector * lanes));
                quantise(b, (from, to), &numbers(vector), bounds, lanes);
            }
            b.advance(input, written_out * lanes);
            b.advance_bytes(output, written_out * lanes);
        });
        let rest = n_elements % (written_out * lanes);
        for vector in 0..rest.div_ceil(lanes) {
            let (from, to) = (input.at(vector * lanes), output.at_bytes(vector * lanes));
            quantise(&mut b, (from, to), &numbers(vector), bounds, lanes.min(rest - vector * lanes));
        }
        b.finish()
    }
}

/// Some lanes of a vector.
fn quantise(
    b: &mut Builder,
    (from, to): (Address, Address),
    numbers: &Numbers,
    [least, most]: [Reg; 2],
    lanes: usize,
) {
    let (x, byte) = (b.register(), b.register());
    b.load_part(x, from, lanes);
    match *numbers {
        Numbers::Registers(factor, offset) => {
            b.copy(byte, offset);
            b.fma(byte, x, factor);
        }
        Numbers::Memory(factor, offset) => {
            let loaded = b.register();
            b.load(byte, offset);
            b.load(loaded, factor);
            b.fma(byte, x, loaded);
            b.free([loaded]);
        }
    }
    // The bound wins where it is no number.
    b.binary(Binary::Max, byte, byte, least);
    b.binary(Binary::Min, byte, byte, most);
    b.to_integer(byte, byte);
    b.store_bytes(byte, to, lanes);
    b.free([x, byte]);
}
