//! Maps of one height and width side by side: of each pixel the channels of the first input, then those of the next.
//!
//! Channels may begin anywhere in a vector of the output, so each input ends with a part of a vector, and so does the output. Bytes go in
//! words where they begin with one on both sides, else one by one into lanes.
//!
//! Register map: one vector.

use super::{Family, FeatureMap, KernelName, NamedTile, WORD};
use crate::code::{Access, Builder, Code, Ptr, Reg};
use crate::graph::layer::Activation;
use crate::graph::tensor::Dtype;
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
            let mut first = 0;
            for (input, map) in inputs.iter().zip(&self.inputs) {
                let bytes = map.shape.channels * map.dtype.bytes();
                let has_words = map.has_whole_words() && self.output.has_whole_words();
                let words = if has_words && first % WORD == 0 { bytes / WORD } else { 0 };
                b.set_pointer(from, *input, 0);
                move_elements(b, (vector, Dtype::F32), [from, to], words);
                if bytes != words * WORD {
                    b.advance(from, words % isa.lanes);
                    move_elements(b, (vector, Dtype::U8), [from, to], bytes - words * WORD);
                }
                b.advance_bytes(*input, map.pixel_bytes());
                first += bytes;
            }
            let behind = self.output.shape.channels % isa.lanes;
            if behind != 0 && self.output.is_padded(isa) {
                // Zeros behind the channels of a padded map: whole vectors of it may be read later.
                b.constant(vector, 0.0);
                store(b, (vector, self.output.dtype), to, isa.lanes - behind);
            }
            b.advance_bytes(output, self.output.pixel_bytes());
            b.free_pointers([from, to]);
        });
        b.finish()
    }
}

/// Moves so many words or bytes; `to` comes to lie behind them, `from` behind the whole vectors.
fn move_elements(b: &mut Builder, (vector, dtype): (Reg, Dtype), [from, to]: [Ptr; 2], count: usize) {
    let lanes = b.lanes();
    let element = dtype.bytes();
    let step = |b: &mut Builder, lanes: usize| {
        match dtype {
            Dtype::F32 => b.load_part(vector, from.at(0), lanes),
            Dtype::U8 => b.load_bytes(vector, from.at(0), lanes),
        }
        store(b, (vector, dtype), to, lanes);
    };
    b.repeat(count / lanes, |b| {
        step(b, lanes);
        b.advance_bytes(from, lanes * element);
        b.advance_bytes(to, lanes * element);
    });
    if !count.is_multiple_of(lanes) {
        step(b, count % lanes);
        b.advance_bytes(to, count % lanes * element);
    }
}

fn store(b: &mut Builder, (vector, dtype): (Reg, Dtype), to: Ptr, lanes: usize) {
    match dtype {
        Dtype::F32 => b.store_part(vector, to.at(0), lanes),
        Dtype::U8 => b.store_bytes(vector, to.at(0), lanes),
    }
}
