//! The registers of aarch64, whose baseline has 32 of 128 bits: two for each of ours.

use core::arch::aarch64::*;

use super::{LANES, N_REGISTERS, Registers};

/// Pairs of `q` registers.
#[derive(Debug)]
pub struct Neon([Pair; N_REGISTERS]);

#[derive(Clone, Copy, Debug)]
struct Pair(float32x4_t, float32x4_t);

impl Pair {
    #[inline(always)]
    fn splat(value: f32) -> Pair {
        // SAFETY: NEON is part of the baseline.
        let half = unsafe { vdupq_n_f32(value) };
        Pair(half, half)
    }

    /// # Safety
    /// Eight elements can be read.
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Pair {
        // SAFETY: NEON is part of the baseline; the caller vouches for the memory.
        unsafe { Pair(vld1q_f32(from), vld1q_f32(from.add(4))) }
    }

    /// # Safety
    /// Eight elements can be written.
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: NEON is part of the baseline; the caller vouches for the memory.
        unsafe {
            vst1q_f32(to, self.0);
            vst1q_f32(to.add(4), self.1);
        }
    }

    /// Both halves as integers.
    #[inline(always)]
    fn integers(self) -> [int32x4_t; 2] {
        // SAFETY: NEON is part of the baseline.
        [self.0, self.1].map(|half| unsafe { vreinterpretq_s32_f32(half) })
    }

    #[inline(always)]
    fn of_integers([low, high]: [int32x4_t; 2]) -> Pair {
        // SAFETY: NEON is part of the baseline.
        unsafe { Pair(vreinterpretq_f32_s32(low), vreinterpretq_f32_s32(high)) }
    }

    #[inline(always)]
    fn zip_integers(self, other: Pair, op: impl Fn(int32x4_t, int32x4_t) -> int32x4_t) -> Pair {
        let ([low, high], [other_low, other_high]) = (self.integers(), other.integers());
        Pair::of_integers([op(low, other_low), op(high, other_high)])
    }

    #[inline(always)]
    fn zip(self, other: Pair, op: impl Fn(float32x4_t, float32x4_t) -> float32x4_t) -> Pair {
        Pair(op(self.0, other.0), op(self.1, other.1))
    }
}

impl Registers for Neon {
    type Base = Neon;

    #[inline(always)]
    unsafe fn with(kernel: impl FnOnce(&mut Self)) {
        kernel(&mut Neon([Pair::splat(0.0); N_REGISTERS]));
    }

    #[inline(always)]
    fn constant(&mut self, dst: usize, value: f32) {
        self.0[dst] = Pair::splat(value);
    }

    #[inline(always)]
    fn copy(&mut self, dst: usize, src: usize) {
        self.0[dst] = self.0[src];
    }

    #[inline(always)]
    unsafe fn load(&mut self, dst: usize, from: *const f32, elements: usize) {
        // SAFETY: the caller's.
        self.0[dst] = unsafe { Pair::load(from.wrapping_add(elements)) };
    }

    #[inline(always)]
    unsafe fn load_part<const N: usize>(&mut self, dst: usize, from: *const f32, elements: usize) {
        let mut lanes = [0.0f32; LANES];
        // SAFETY: the caller vouches for N elements; the array has eight.
        unsafe {
            core::ptr::copy_nonoverlapping(from.wrapping_add(elements), lanes.as_mut_ptr(), N);
            self.0[dst] = Pair::load(lanes.as_ptr());
        }
    }

    #[inline(always)]
    unsafe fn splat(&mut self, dst: usize, from: *const f32, elements: usize) {
        // SAFETY: the caller's.
        self.0[dst] = Pair::splat(unsafe { *from.wrapping_add(elements) });
    }

    #[inline(always)]
    unsafe fn store(&self, src: usize, to: *mut f32, elements: usize) {
        // SAFETY: the caller's.
        unsafe { self.0[src].store(to.wrapping_add(elements)) }
    }

    #[inline(always)]
    unsafe fn store_part<const N: usize>(&self, src: usize, to: *mut f32, elements: usize) {
        let mut lanes = [0.0f32; LANES];
        // SAFETY: the array has eight elements; the caller vouches for N.
        unsafe {
            self.0[src].store(lanes.as_mut_ptr());
            core::ptr::copy_nonoverlapping(lanes.as_ptr(), to.wrapping_add(elements), N);
        }
    }

    #[inline(always)]
    fn fma(&mut self, acc: usize, a: usize, b: usize) {
        let (sum, a, b) = (self.0[acc], self.0[a], self.0[b]);
        // SAFETY: NEON is part of the baseline.
        self.0[acc] = unsafe { Pair(vfmaq_f32(sum.0, a.0, b.0), vfmaq_f32(sum.1, a.1, b.1)) };
    }

    #[inline(always)]
    fn mul_add(&mut self, x: usize, factor: usize, addend: usize) {
        let (sum, a, b) = (self.0[addend], self.0[x], self.0[factor]);
        // SAFETY: NEON is part of the baseline.
        self.0[x] = unsafe { Pair(vfmaq_f32(sum.0, a.0, b.0), vfmaq_f32(sum.1, a.1, b.1)) };
    }

    #[inline(always)]
    fn add(&mut self, dst: usize, a: usize, b: usize) {
        // SAFETY: NEON is part of the baseline.
        self.0[dst] = self.0[a].zip(self.0[b], |a, b| unsafe { vaddq_f32(a, b) });
    }

    #[inline(always)]
    fn sub(&mut self, dst: usize, a: usize, b: usize) {
        // SAFETY: NEON is part of the baseline.
        self.0[dst] = self.0[a].zip(self.0[b], |a, b| unsafe { vsubq_f32(a, b) });
    }

    #[inline(always)]
    fn mul(&mut self, dst: usize, a: usize, b: usize) {
        // SAFETY: NEON is part of the baseline.
        self.0[dst] = self.0[a].zip(self.0[b], |a, b| unsafe { vmulq_f32(a, b) });
    }

    #[inline(always)]
    fn div(&mut self, dst: usize, a: usize, b: usize) {
        // SAFETY: NEON is part of the baseline.
        self.0[dst] = self.0[a].zip(self.0[b], |a, b| unsafe { vdivq_f32(a, b) });
    }

    // `fmax` and `fmin` treat NaN and -0 otherwise.
    #[inline(always)]
    fn max(&mut self, dst: usize, a: usize, b: usize) {
        // SAFETY: NEON is part of the baseline.
        self.0[dst] = self.0[a].zip(self.0[b], |a, b| unsafe { vbslq_f32(vcgtq_f32(a, b), a, b) });
    }

    #[inline(always)]
    fn min(&mut self, dst: usize, a: usize, b: usize) {
        // SAFETY: NEON is part of the baseline.
        self.0[dst] = self.0[a].zip(self.0[b], |a, b| unsafe { vbslq_f32(vcltq_f32(a, b), a, b) });
    }

    #[inline(always)]
    fn shift_left<const BITS: i32>(&mut self, dst: usize, src: usize) {
        // SAFETY: NEON is part of the baseline.
        let shift = |half| unsafe { vreinterpretq_f32_u32(vshlq_n_u32::<BITS>(vreinterpretq_u32_f32(half))) };
        let Pair(low, high) = self.0[src];
        self.0[dst] = Pair(shift(low), shift(high));
    }
    #[inline(always)]
    fn constant_integer(&mut self, dst: usize, value: i32) {
        // SAFETY: NEON is part of the baseline.
        self.0[dst] = Pair::of_integers([unsafe { vdupq_n_s32(value) }; 2]);
    }

    #[inline(always)]
    unsafe fn load_bytes<const N: usize>(&mut self, dst: usize, from: *const f32, bytes: usize) {
        let mut lanes = [0u8; LANES];
        // SAFETY: NEON is part of the baseline; the caller vouches for N bytes, of which the array has room for eight.
        self.0[dst] = unsafe {
            core::ptr::copy_nonoverlapping(from.wrapping_byte_add(bytes).cast(), lanes.as_mut_ptr(), N);
            let words = vreinterpretq_s16_u16(vmovl_u8(vld1_u8(lanes.as_ptr())));
            Pair::of_integers([vmovl_s16(vget_low_s16(words)), vmovl_high_s16(words)])
        };
    }

    #[inline(always)]
    unsafe fn store_bytes<const N: usize>(&self, src: usize, to: *mut f32, bytes: usize) {
        let mut lanes = [0u8; LANES];
        let [low, high] = self.0[src].integers();
        // SAFETY: NEON is part of the baseline; the array has eight bytes, and the caller vouches for N.
        unsafe {
            // To 16 bits with a sign, then to 8 without: between 0 and 255 in both steps.
            let words = vqmovn_high_s32(vqmovn_s32(low), high);
            vst1_u8(lanes.as_mut_ptr(), vqmovun_s16(words));
            core::ptr::copy_nonoverlapping(lanes.as_ptr(), to.wrapping_byte_add(bytes).cast(), N);
        }
    }

    // A byte without a sign times one with one always has room in 16 bits.
    #[inline(always)]
    fn dot<const PAIRS_FIT: bool>(&mut self, acc: usize, a: usize, b: usize) {
        let products = self.0[a].zip_integers(self.0[b], |a, b| {
            // SAFETY: NEON is part of the baseline.
            unsafe {
                let (a, b) = (vreinterpretq_u8_s32(a), vreinterpretq_s8_s32(b));
                let low = (vmovl_u8(vget_low_u8(a)), vmovl_s8(vget_low_s8(b)));
                let high = (vmovl_high_u8(a), vmovl_high_s8(b));
                let [low, high] =
                    [low, high].map(|(a, b)| vpaddlq_s16(vmulq_s16(vreinterpretq_s16_u16(a), b)));
                vpaddq_s32(low, high)
            }
        });
        // SAFETY: NEON is part of the baseline.
        self.0[acc] = self.0[acc].zip_integers(products, |a, b| unsafe { vaddq_s32(a, b) });
    }

    #[inline(always)]
    fn to_float(&mut self, dst: usize, src: usize) {
        let [low, high] = self.0[src].integers();
        // SAFETY: NEON is part of the baseline.
        self.0[dst] = unsafe { Pair(vcvtq_f32_s32(low), vcvtq_f32_s32(high)) };
    }

    #[inline(always)]
    fn to_integer(&mut self, dst: usize, src: usize) {
        let Pair(low, high) = self.0[src];
        // SAFETY: NEON is part of the baseline.
        self.0[dst] = Pair::of_integers([low, high].map(|half| unsafe { vcvtnq_s32_f32(half) }));
    }

    #[inline(always)]
    fn add_integers(&mut self, dst: usize, a: usize, b: usize) {
        // SAFETY: NEON is part of the baseline.
        self.0[dst] = self.0[a].zip_integers(self.0[b], |a, b| unsafe { vaddq_s32(a, b) });
    }

    #[inline(always)]
    fn mul_integers(&mut self, dst: usize, a: usize, b: usize) {
        // SAFETY: NEON is part of the baseline.
        self.0[dst] = self.0[a].zip_integers(self.0[b], |a, b| unsafe { vmulq_s32(a, b) });
    }

    #[inline(always)]
    fn shift_right<const BITS: i32>(&mut self, dst: usize, src: usize) {
        // SAFETY: NEON is part of the baseline.
        self.0[dst] =
            Pair::of_integers(self.0[src].integers().map(|half| unsafe { vshrq_n_s32::<BITS>(half) }));
    }
}
