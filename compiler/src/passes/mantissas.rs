//! Sums of integers as the mantissas of f32s.
//!
//! From 2^23 to 2^24 an f32 is a whole number, and its bits are a constant plus that number. So a sum of integers that starts there
//! from its bias is, where it ends, an f32: 2^23 + offset + acc, without a conversion. One fma then multiplies it, takes the
//! constant off and rounds to a whole number: fma(2^23 + offset + acc, m, 1.5 2^23 - (2^23 + offset) m) is 1.5 2^23 + round(acc m), and its
//! bits are those of 1.5 2^23 plus the integer.
//!
//! The reference rounds twice: acc m to an f32, then that to a whole number. Both give the same byte where the multiplier m is a
//! multiple of 2^-16: acc m is exact then as long as it is below 2^8, and what is larger is cut off by the bounds of a byte.

use super::{FusedNode, Integer, is_clamp};

/// What the sums of a layer start from beside their bias, and what is added to their product.
#[derive(Clone, Debug, PartialEq)]
pub struct Mantissas {
    /// Of each channel, added to its biases: the bits of 2^23 + offset.
    pub starts: Vec<i32>,
    /// Of each channel: 1.5 2^23 - (2^23 + offset) m.
    pub addends: Vec<f32>,
}

/// From here on an f32 is a whole number: 2^23.
const FIRST: f64 = 8_388_608.0;
/// 1 / 2^16: what multipliers are multiples of.
pub(crate) const STEP: f64 = 1.0 / 65_536.0;
/// An offset is a multiple of it; so its product with a multiplier is a whole number.
const OFFSET_STEP: u64 = 1 << 16;

impl Mantissas {
    /// What a rounded product stands upon: 1.5 2^23, halfway between where whole numbers begin and where odd ones end.
    pub const WHOLE: f32 = 12_582_912.0;

    /// Of integers that become bytes by nothing but a multiplier; `None` where a channel's sums may leave a mantissa, or rounding at once
    /// may give another byte.
    fn of(numbers: &Integer) -> Option<Mantissas> {
        let n = numbers.multiplier.len();
        let mut all = Mantissas { starts: Vec::with_capacity(n), addends: Vec::with_capacity(n) };
        for (multiplier, [least, most]) in numbers.multiplier.iter().zip(numbers.ranges()) {
            let multiplier = f64::from(*multiplier);
            let offset = (-least).max(0).unsigned_abs().next_multiple_of(OFFSET_STEP) as i64;
            let is_mantissa = offset <= FIRST as i64 && most + offset < FIRST as i64;
            let is_exact = 0.0 < multiplier && (multiplier / STEP).fract() == 0.0;
            let is_small = least.abs().max(most.abs()) as f64 * multiplier < FIRST / 2.0 - 1.0;
            let addend = f64::from(Mantissas::WHOLE) - (FIRST + offset as f64) * multiplier;
            if !is_mantissa || !is_exact || !is_small || f64::from(addend as f32) != addend {
                return None;
            }
            all.starts.push((FIRST as f32).to_bits().cast_signed() + offset as i32);
            all.addends.push(addend as f32);
        }
        Some(all)
    }
}

impl FusedNode {
    /// Its sums as mantissas, where they may be such.
    pub fn mantissas(&self) -> Option<Mantissas> {
        let numbers = self.integer.as_ref()?;
        let is_plain = numbers.addition.is_none() && is_clamp(self.activation) && self.bytes.is_some();
        if !is_plain || numbers.weights.is_empty() {
            return None;
        }
        Mantissas::of(numbers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::passes::integer::to_byte;
    use crate::random::Random;

    /// Rounding at once gives the bytes of the reference for every sum that a channel may end with, halves among them; and a layer is
    /// told apart whose sums leave a mantissa or whose multipliers have more bits.
    #[test]
    fn rounding_at_once_gives_the_same_bytes() {
        let (mut n_found, mut n_halves) = (0, 0);
        for seed in 0..400 {
            let mut random = Random::new(seed);
            let weights: Vec<i8> = (0..random.within(1, 40))
                .map(|_| random.within(0, 254) as u8 as i8)
                .map(|w| w.max(-127))
                .collect();
            let bias = random.within(0, 1 << 18) as i32 - (1 << 17);
            let multiplier = (random.within(1, 1 << 11) as f64 * STEP) as f32;
            let numbers = Integer { weights, bias: vec![bias], multiplier: vec![multiplier], addition: None };
            let Some(Mantissas { starts, addends }) = Mantissas::of(&numbers) else { continue };
            n_found += 1;
            let [least, most] = numbers.ranges().next().expect("there is a channel");
            let zero_point = random.within(0, 255) as u8;
            for acc in least..=most {
                let v = acc as f32 * multiplier;
                let expected = to_byte(v, zero_point, 0, u8::MAX);
                let start = f32::from_bits((starts[0] + acc as i32).cast_unsigned());
                let sum = start.mul_add(multiplier, addends[0]).to_bits().cast_signed();
                let integer = sum - Mantissas::WHOLE.to_bits().cast_signed() + i32::from(zero_point);
                assert_eq!(integer.clamp(0, 255) as f32, expected, "{seed}: {acc} times {multiplier}");
                n_halves += usize::from(v.abs().fract() == 0.5 && v.abs() < 255.0);
            }
        }
        assert!(100 < n_found && 1000 < n_halves, "{n_found} layers, {n_halves} halves");
        let numbers = |multiplier: f32, bias: i32| Integer {
            weights: vec![127, -127],
            bias: vec![bias],
            multiplier: vec![multiplier],
            addition: None,
        };
        let step = STEP as f32;
        assert!(Mantissas::of(&numbers(3.0 * step, -1000)).is_some());
        assert_eq!(Mantissas::of(&numbers(3.5 * step, 0)), None, "more bits");
        assert_eq!(Mantissas::of(&numbers(-step, 0)), None, "bounds change places");
        assert_eq!(Mantissas::of(&numbers(step, 1 << 23)), None, "leaves the mantissa");
        assert_eq!(Mantissas::of(&numbers(step, -(1 << 23) - 1)), None, "leaves the mantissa");
        assert_eq!(Mantissas::of(&numbers(step, i32::MIN / 2)), None, "leaves the mantissa");
        assert_eq!(Mantissas::of(&numbers(256.0, 0)), None, "the product is too large");
    }
}
