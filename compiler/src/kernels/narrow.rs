//! Integers of several vectors of channels become bytes in one go, where the instruction set narrows two registers into one.
//!
//! It narrows each 16 bytes by themselves. So of four vectors the first 16 bytes of the result have four channels of each, and a
//! permutation of words brings them into order.

use super::WORD;
use crate::code::{Address, Builder, Narrowed, PART, Reg};

/// The bytes of two or four vectors of integers, each 16 bytes by themselves; of two they lie there twice. In the first register.
pub(super) fn narrow(b: &mut Builder, vectors: &[Reg]) -> Reg {
    let halves: Vec<Reg> = vectors
        .chunks(2)
        .map(|pair| {
            let [first, second] = *pair else { panic!("vectors are narrowed two by two") };
            b.narrow(first, (first, second), Narrowed::Signed16);
            first
        })
        .collect();
    let (first, last) = (halves[0], halves[halves.len() - 1]);
    b.narrow(first, (first, last), Narrowed::Bytes);
    first
}

/// Which word of what [`narrow()`] gives of so many vectors each word in the order of their channels is.
pub(super) fn order(b: &mut Builder, dst: Reg, n_vectors: usize) {
    let lanes = b.lanes();
    let words = PART / WORD;
    let n_parts = lanes / words;
    let word = |idx: usize| {
        let (vector, part) = (idx / n_parts, idx % n_parts);
        if vector < n_vectors { (words * part + vector) as u8 } else { 0 }
    };
    b.constant_lanes(dst, (0..lanes).map(word).collect());
}

/// Stores the bytes of vectors of integers that lie one behind the other, run by run: of four vectors at once, of two that are left, of
/// one that is left then. The register is for orders.
pub(super) fn store_all(b: &mut Builder, free: Reg, runs: &[(Vec<Reg>, Address)]) {
    let lanes = b.lanes();
    let words = |n_vectors: usize| n_vectors * lanes / WORD;
    for len in [WORD, 2, 1] {
        let mut is_ordered = false;
        for (vectors, at) in runs {
            // What larger groups have left over begins with a group of its own.
            let first = vectors.len() / (2 * len) * (2 * len);
            let first = if len == WORD { 0 } else { first };
            for (idx, group) in vectors[first..].chunks_exact(len).enumerate() {
                let place = at.after(words(first + idx * len));
                if len == 1 {
                    b.store_bytes(group[0], place, lanes);
                    continue;
                }
                if !is_ordered {
                    order(b, free, len);
                    is_ordered = true;
                }
                let narrowed = narrow(b, group);
                b.permute(narrowed, narrowed, free);
                b.store_part(narrowed, place, words(len));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::code::Access;
    use crate::code::interpret::{Argument, Region, Runner, run};
    use crate::graph::tensor::Dtype;
    use crate::target::ISAS;

    #[test]
    fn bytes_are_in_the_order_of_their_channels() {
        for isa in ISAS.iter().filter(|isa| isa.zips_bytes) {
            for n_vectors in 1..=7 {
                let n = n_vectors * isa.lanes;
                // Some of them are no bytes.
                let value = |idx: usize| match idx % 7 {
                    5 => -(idx as i32) * 70_000,
                    6 => 300 + idx as i32 * 70_000,
                    _ => idx as i32,
                };
                let values: Vec<i32> = (0..n).map(value).collect();
                let mut b = Builder::new(isa);
                let (input, output) =
                    (b.parameter("input", Access::Read), b.parameter("output", Access::Write));
                let (vectors, words) = (b.registers(n_vectors), b.register());
                for (idx, vector) in vectors.iter().enumerate() {
                    b.load(*vector, input.at(idx * isa.lanes));
                }
                store_all(&mut b, words, &[(vectors, output.at(0))]);
                let mut regions = [
                    Region::constant(
                        "input",
                        Dtype::F32,
                        values.iter().flat_map(|x| x.to_le_bytes()).collect(),
                    ),
                    Region::uninitialised("output", Dtype::U8, n),
                ];
                let arguments = [0, 1].map(|region| Argument { region, byte: 0 });
                let runner = Runner { number: 1, first_of_step: 1, after: Vec::new() };
                run(&b.finish(), &mut regions, &arguments, &runner).unwrap();
                let expected: Vec<u8> = values.iter().map(|value| (*value).clamp(0, 255) as u8).collect();
                assert_eq!(regions[1].contents().unwrap(), expected, "{} {n_vectors}", isa.name);
            }
        }
    }
}
