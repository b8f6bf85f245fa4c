//! What becomes of two registers in each 16 bytes by itself.

use super::{Machine, Violation};
use crate::code::{Narrowed, PART, Reg, Unit};

impl Machine<'_> {
    /// dst = what becomes of each 16 bytes of two registers.
    pub(super) fn part_by_part(
        &mut self,
        dst: Reg,
        (a, b): (Reg, Reg),
        become_of: impl Fn([u8; PART], [u8; PART]) -> Vec<u8>,
    ) -> Result<(), Violation> {
        let bytes = |span: std::ops::Range<usize>| -> Vec<u8> {
            self.registers[span].iter().flat_map(|lane| lane.to_bits().to_le_bytes()).collect()
        };
        let (a, b) = (bytes(self.read(a)?), bytes(self.read(b)?));
        let parts = a.as_chunks().0.iter().zip(b.as_chunks().0);
        let parts: Vec<u8> = parts.flat_map(|(a, b)| become_of(*a, *b)).collect();
        for (lane, bytes) in self.write(dst).iter_mut().zip(parts.as_chunks().0) {
            *lane = f32::from_bits(u32::from_le_bytes(*bytes));
        }
        Ok(())
    }
}

/// Bytes of both in turn.
pub(super) fn zipped(a: [u8; PART], b: [u8; PART], unit: Unit, is_upper: bool) -> Vec<u8> {
    let len = match unit {
        Unit::Byte => 1,
        Unit::Pair => 2,
    };
    let first = if is_upper { PART / 2 } else { 0 };
    let [a, b] = [&a, &b].map(|part| part[first..][..PART / 2].chunks(len));
    a.zip(b).flat_map(|(a, b)| [a, b].concat()).collect()
}

/// The numbers of both in half as many bits.
pub(super) fn narrowed(a: [u8; PART], b: [u8; PART], to: Narrowed) -> Vec<u8> {
    let all = [a, b].concat();
    match to {
        Narrowed::Signed16 => {
            let numbers = all.as_chunks().0.iter().map(|bytes| i32::from_le_bytes(*bytes));
            let nearest = |number: i32| number.clamp(i16::MIN.into(), i16::MAX.into()) as i16;
            numbers.flat_map(|number| nearest(number).to_le_bytes()).collect()
        }
        Narrowed::Bytes => {
            let numbers = all.as_chunks().0.iter().map(|bytes| i16::from_le_bytes(*bytes));
            numbers.map(|number| number.clamp(0, u8::MAX.into()) as u8).collect()
        }
    }
}
