//! Registers in arrays: any processor, any compiler.

use super::{LANES, N_REGISTERS, Registers};
use crate::fma::fma;

/// Sixteen arrays of eight.
///
/// The functions are called, not inlined: inlined, a kernel would be thousands of scalar instructions, which take long to
/// compile.
#[derive(Debug)]
pub struct Portable([[f32; LANES]; N_REGISTERS]);

impl Portable {
    #[inline(always)]
    fn zip(&mut self, dst: usize, a: usize, b: usize, op: impl Fn(f32, f32) -> f32) {
        self.0[dst] = core::array::from_fn(|lane| op(self.0[a][lane], self.0[b][lane]));
    }

    #[inline(always)]
    fn zip_integers(&mut self, dst: usize, a: usize, b: usize, op: impl Fn(i32, i32) -> i32) {
        self.zip(dst, a, b, |a, b| bits(op(integer(a), integer(b))));
    }
}

/// The integer of a lane.
#[inline(always)]
fn integer(lane: f32) -> i32 {
    lane.to_bits().cast_signed()
}

/// A lane that holds an integer.
#[inline(always)]
fn bits(integer: i32) -> f32 {
    f32::from_bits(integer.cast_unsigned())
}

/// Rounded to nearest even. Without `std` there is no function for it.
#[inline(always)]
fn rounded(value: f32) -> i32 {
    // From here on every f32 is a whole number, and between here and the double their distance is 1.
    const WHOLE: f32 = 8_388_608.0;
    let sum = if value < 0.0 { (value - WHOLE) + WHOLE } else { (value + WHOLE) - WHOLE };
    (if value.abs() < WHOLE { sum } else { value }) as i32
}

impl Registers for Portable {
    type Base = Portable;

    #[inline(always)]
    unsafe fn with(kernel: impl FnOnce(&mut Self)) {
        kernel(&mut Portable([[0.0; LANES]; N_REGISTERS]));
    }

    #[inline(never)]
    fn constant(&mut self, dst: usize, value: f32) {
        self.0[dst] = [value; LANES];
    }

    #[inline(never)]
    fn copy(&mut self, dst: usize, src: usize) {
        self.0[dst] = self.0[src];
    }

    #[inline(never)]
    unsafe fn load(&mut self, dst: usize, from: *const f32, elements: usize) {
        // SAFETY: the caller vouches for the memory; an array of floats is aligned as one.
        self.0[dst] = unsafe { from.wrapping_add(elements).cast::<[f32; LANES]>().read() };
    }

    #[inline(never)]
    unsafe fn load_part<const N: usize>(&mut self, dst: usize, from: *const f32, elements: usize) {
        self.0[dst] = [0.0; LANES];
        // SAFETY: the caller vouches for the memory.
        let part = unsafe { from.wrapping_add(elements).cast::<[f32; N]>().read() };
        self.0[dst][..N].copy_from_slice(&part);
    }

    #[inline(never)]
    unsafe fn splat(&mut self, dst: usize, from: *const f32, elements: usize) {
        // SAFETY: the caller vouches for the memory.
        self.0[dst] = [unsafe { *from.wrapping_add(elements) }; LANES];
    }

    #[inline(never)]
    unsafe fn store(&self, src: usize, to: *mut f32, elements: usize) {
        // SAFETY: the caller vouches for the memory; an array of floats is aligned as one.
        unsafe { to.wrapping_add(elements).cast::<[f32; LANES]>().write(self.0[src]) }
    }

    #[inline(never)]
    unsafe fn store_part<const N: usize>(&self, src: usize, to: *mut f32, elements: usize) {
        let part: [f32; N] = core::array::from_fn(|lane| self.0[src][lane]);
        // SAFETY: the caller vouches for the memory.
        unsafe { to.wrapping_add(elements).cast::<[f32; N]>().write(part) }
    }

    #[inline(never)]
    fn fma(&mut self, acc: usize, a: usize, b: usize) {
        self.0[acc] = core::array::from_fn(|lane| fma(self.0[a][lane], self.0[b][lane], self.0[acc][lane]));
    }

    #[inline(never)]
    fn mul_add(&mut self, x: usize, factor: usize, addend: usize) {
        self.0[x] =
            core::array::from_fn(|lane| fma(self.0[x][lane], self.0[factor][lane], self.0[addend][lane]));
    }

    #[inline(never)]
    fn add(&mut self, dst: usize, a: usize, b: usize) {
        self.zip(dst, a, b, |a, b| a + b);
    }

    #[inline(never)]
    fn sub(&mut self, dst: usize, a: usize, b: usize) {
        self.zip(dst, a, b, |a, b| a - b);
    }

    #[inline(never)]
    fn mul(&mut self, dst: usize, a: usize, b: usize) {
        self.zip(dst, a, b, |a, b| a * b);
    }

    #[inline(never)]
    fn div(&mut self, dst: usize, a: usize, b: usize) {
        self.zip(dst, a, b, |a, b| a / b);
    }

    #[inline(never)]
    fn max(&mut self, dst: usize, a: usize, b: usize) {
        self.zip(dst, a, b, |a, b| if a > b { a } else { b });
    }

    #[inline(never)]
    fn min(&mut self, dst: usize, a: usize, b: usize) {
        self.zip(dst, a, b, |a, b| if a < b { a } else { b });
    }

    #[inline(never)]
    fn shift_left<const BITS: i32>(&mut self, dst: usize, src: usize) {
        self.0[dst] = self.0[src].map(|value| f32::from_bits(value.to_bits() << BITS));
    }
    #[inline(never)]
    fn constant_integer(&mut self, dst: usize, value: i32) {
        self.0[dst] = [bits(value); LANES];
    }

    #[inline(never)]
    unsafe fn load_bytes<const N: usize>(&mut self, dst: usize, from: *const f32, bytes: usize) {
        self.0[dst] = [0.0; LANES];
        // SAFETY: the caller vouches for the memory.
        let part = unsafe { from.wrapping_byte_add(bytes).cast::<[u8; N]>().read() };
        self.0[dst][..N].copy_from_slice(&part.map(|byte| bits(byte.into())));
    }

    #[inline(never)]
    unsafe fn store_bytes<const N: usize>(&self, src: usize, to: *mut f32, bytes: usize) {
        let part: [u8; N] = core::array::from_fn(|lane| integer(self.0[src][lane]).clamp(0, 255) as u8);
        // SAFETY: the caller vouches for the memory.
        unsafe { to.wrapping_byte_add(bytes).cast::<[u8; N]>().write(part) }
    }

    #[inline(never)]
    fn dot<const PAIRS_FIT: bool>(&mut self, acc: usize, a: usize, b: usize) {
        self.0[acc] = core::array::from_fn(|lane| {
            let [a, b] = [a, b].map(|register| self.0[register][lane].to_bits());
            // The byte without a sign, and the byte with one.
            let product = |byte: u32| {
                let [a, b] = [a, b].map(|word| (word >> (8 * byte)) as u8);
                i32::from(a) * i32::from(b.cast_signed())
            };
            bits(integer(self.0[acc][lane]).wrapping_add(product(0) + product(1) + product(2) + product(3)))
        });
    }

    #[inline(never)]
    fn to_float(&mut self, dst: usize, src: usize) {
        self.0[dst] = self.0[src].map(|value| integer(value) as f32);
    }

    #[inline(never)]
    fn to_integer(&mut self, dst: usize, src: usize) {
        self.0[dst] = self.0[src].map(|value| bits(rounded(value)));
    }

    #[inline(never)]
    fn add_integers(&mut self, dst: usize, a: usize, b: usize) {
        self.zip_integers(dst, a, b, i32::wrapping_add);
    }

    #[inline(never)]
    fn mul_integers(&mut self, dst: usize, a: usize, b: usize) {
        self.zip_integers(dst, a, b, i32::wrapping_mul);
    }

    #[inline(never)]
    fn shift_right<const BITS: i32>(&mut self, dst: usize, src: usize) {
        self.0[dst] = self.0[src].map(|value| bits(integer(value) >> BITS));
    }
}
