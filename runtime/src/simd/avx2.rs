//! The registers of x86-64 with AVX2 and FMA, 256 bits wide.

use core::arch::x86_64::*;

use super::{LANES, N_REGISTERS, Registers};

/// The `ymm` registers.
#[derive(Debug)]
pub struct Avx2([__m256; N_REGISTERS]);

impl Avx2 {
    /// A register as integers.
    #[inline(always)]
    fn integers(&self, src: usize) -> __m256i {
        // SAFETY: there are registers.
        unsafe { _mm256_castps_si256(self.0[src]) }
    }

    #[inline(always)]
    fn set_integers(&mut self, dst: usize, value: __m256i) {
        // SAFETY: there are registers.
        self.0[dst] = unsafe { _mm256_castsi256_ps(value) };
    }

    /// Whether the processor has the instructions that the type stands for.
    #[cfg(feature = "std")]
    pub(crate) fn is_available() -> bool {
        std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("fma")
    }

    /// The same without an operating system to ask: what the crate is compiled for.
    #[cfg(not(feature = "std"))]
    pub(crate) const fn is_available() -> bool {
        cfg!(all(target_feature = "avx2", target_feature = "fma"))
    }
}

/// All bits set in the first `N` of eight lanes.
///
/// # Safety
/// The processor has AVX; `N` is at most eight.
#[inline(always)]
unsafe fn mask<const N: usize>() -> __m256i {
    const ONES_THEN_ZEROS: [i32; 2 * LANES] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];
    // SAFETY: the caller's.
    unsafe { _mm256_loadu_si256(ONES_THEN_ZEROS.as_ptr().add(LANES - N).cast()) }
}

// "There are registers": a value of the type exists, so the processor has AVX2 and FMA.
impl Registers for Avx2 {
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn with(kernel: impl FnOnce(&mut Self)) {
        kernel(&mut Avx2([_mm256_setzero_ps(); N_REGISTERS]));
    }

    #[inline(always)]
    fn constant(&mut self, dst: usize, value: f32) {
        // SAFETY: there are registers.
        self.0[dst] = unsafe { _mm256_set1_ps(value) };
    }

    #[inline(always)]
    fn copy(&mut self, dst: usize, src: usize) {
        self.0[dst] = self.0[src];
    }

    #[inline(always)]
    unsafe fn load(&mut self, dst: usize, from: *const f32, elements: usize) {
        // SAFETY: there are registers; the caller vouches for the memory.
        self.0[dst] = unsafe { _mm256_loadu_ps(from.wrapping_add(elements)) };
    }

    #[inline(always)]
    unsafe fn load_part<const N: usize>(&mut self, dst: usize, from: *const f32, elements: usize) {
        // SAFETY: there are registers; lanes outside of the mask aren't read.
        self.0[dst] = unsafe { _mm256_maskload_ps(from.wrapping_add(elements), mask::<N>()) };
    }

    #[inline(always)]
    unsafe fn splat(&mut self, dst: usize, from: *const f32, elements: usize) {
        // SAFETY: there are registers; the caller vouches for the memory.
        self.0[dst] = unsafe { _mm256_broadcast_ss(&*from.wrapping_add(elements)) };
    }

    #[inline(always)]
    unsafe fn store(&self, src: usize, to: *mut f32, elements: usize) {
        // SAFETY: there are registers; the caller vouches for the memory.
        unsafe { _mm256_storeu_ps(to.wrapping_add(elements), self.0[src]) }
    }

    #[inline(always)]
    unsafe fn store_part<const N: usize>(&self, src: usize, to: *mut f32, elements: usize) {
        // SAFETY: there are registers; lanes outside of the mask aren't written.
        unsafe { _mm256_maskstore_ps(to.wrapping_add(elements), mask::<N>(), self.0[src]) }
    }

    #[inline(always)]
    fn fma(&mut self, acc: usize, a: usize, b: usize) {
        // SAFETY: there are registers.
        self.0[acc] = unsafe { _mm256_fmadd_ps(self.0[a], self.0[b], self.0[acc]) };
    }

    #[inline(always)]
    fn mul_add(&mut self, x: usize, factor: usize, addend: usize) {
        // SAFETY: there are registers.
        self.0[x] = unsafe { _mm256_fmadd_ps(self.0[x], self.0[factor], self.0[addend]) };
    }

    #[inline(always)]
    fn add(&mut self, dst: usize, a: usize, b: usize) {
        // SAFETY: there are registers.
        self.0[dst] = unsafe { _mm256_add_ps(self.0[a], self.0[b]) };
    }

    #[inline(always)]
    fn sub(&mut self, dst: usize, a: usize, b: usize) {
        // SAFETY: there are registers.
        self.0[dst] = unsafe { _mm256_sub_ps(self.0[a], self.0[b]) };
    }

    #[inline(always)]
    fn mul(&mut self, dst: usize, a: usize, b: usize) {
        // SAFETY: there are registers.
        self.0[dst] = unsafe { _mm256_mul_ps(self.0[a], self.0[b]) };
    }

    #[inline(always)]
    fn div(&mut self, dst: usize, a: usize, b: usize) {
        // SAFETY: there are registers.
        self.0[dst] = unsafe { _mm256_div_ps(self.0[a], self.0[b]) };
    }

    #[inline(always)]
    fn max(&mut self, dst: usize, a: usize, b: usize) {
        // SAFETY: there are registers.
        self.0[dst] = unsafe { _mm256_max_ps(self.0[a], self.0[b]) };
    }

    #[inline(always)]
    fn min(&mut self, dst: usize, a: usize, b: usize) {
        // SAFETY: there are registers.
        self.0[dst] = unsafe { _mm256_min_ps(self.0[a], self.0[b]) };
    }

    #[inline(always)]
    fn shift_left<const BITS: i32>(&mut self, dst: usize, src: usize) {
        // SAFETY: there are registers.
        self.set_integers(dst, unsafe { _mm256_slli_epi32::<BITS>(self.integers(src)) });
    }

    #[inline(always)]
    fn constant_integer(&mut self, dst: usize, value: i32) {
        // SAFETY: there are registers.
        self.set_integers(dst, unsafe { _mm256_set1_epi32(value) });
    }

    #[inline(always)]
    unsafe fn load_bytes<const N: usize>(&mut self, dst: usize, from: *const f32, bytes: usize) {
        let mut lanes = [0u8; LANES];
        // SAFETY: there are registers; the caller vouches for N bytes, of which the array has room for eight.
        let value = unsafe {
            core::ptr::copy_nonoverlapping(from.wrapping_byte_add(bytes).cast(), lanes.as_mut_ptr(), N);
            _mm256_cvtepu8_epi32(_mm_cvtsi64_si128(i64::from_le_bytes(lanes)))
        };
        self.set_integers(dst, value);
    }

    #[inline(always)]
    unsafe fn store_bytes<const N: usize>(&self, src: usize, to: *mut f32, bytes: usize) {
        // To 16 bits with a sign, then to 8 without: between 0 and 255 in both steps. Each half of the register has its four bytes.
        // SAFETY: there are registers; the caller vouches for N bytes, of which the array has eight.
        unsafe {
            let value = self.integers(src);
            let halves = _mm256_packs_epi32(value, value);
            let bytes_of_halves = _mm256_packus_epi16(halves, halves);
            let (low, high) =
                (_mm256_castsi256_si128(bytes_of_halves), _mm256_extracti128_si256::<1>(bytes_of_halves));
            let lanes = _mm_cvtsi128_si64(_mm_unpacklo_epi32(low, high)).to_le_bytes();
            core::ptr::copy_nonoverlapping(lanes.as_ptr(), to.wrapping_byte_add(bytes).cast(), N);
        }
    }

    // Without the promise the products have 16 bits each: those of the lower byte of each 16 bits, then those of the upper one.
    #[inline(always)]
    fn dot<const PAIRS_FIT: bool>(&mut self, acc: usize, a: usize, b: usize) {
        let (sum, a, b) = (self.integers(acc), self.integers(a), self.integers(b));
        // SAFETY: there are registers.
        let sum = unsafe {
            if PAIRS_FIT {
                let pairs = _mm256_maddubs_epi16(a, b);
                _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
            } else {
                let lower = (
                    _mm256_and_si256(a, _mm256_set1_epi16(0xff)),
                    _mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(b)),
                );
                let upper = (_mm256_srli_epi16::<8>(a), _mm256_srai_epi16::<8>(b));
                let sum = _mm256_add_epi32(sum, _mm256_madd_epi16(lower.0, lower.1));
                _mm256_add_epi32(sum, _mm256_madd_epi16(upper.0, upper.1))
            }
        };
        self.set_integers(acc, sum);
    }

    #[inline(always)]
    fn to_float(&mut self, dst: usize, src: usize) {
        // SAFETY: there are registers.
        self.0[dst] = unsafe { _mm256_cvtepi32_ps(self.integers(src)) };
    }

    #[inline(always)]
    fn to_integer(&mut self, dst: usize, src: usize) {
        // SAFETY: there are registers.
        self.set_integers(dst, unsafe { _mm256_cvtps_epi32(self.0[src]) });
    }

    #[inline(always)]
    fn add_integers(&mut self, dst: usize, a: usize, b: usize) {
        // SAFETY: there are registers.
        self.set_integers(dst, unsafe { _mm256_add_epi32(self.integers(a), self.integers(b)) });
    }

    #[inline(always)]
    fn mul_integers(&mut self, dst: usize, a: usize, b: usize) {
        // SAFETY: there are registers.
        self.set_integers(dst, unsafe { _mm256_mullo_epi32(self.integers(a), self.integers(b)) });
    }

    #[inline(always)]
    fn shift_right<const BITS: i32>(&mut self, dst: usize, src: usize) {
        // SAFETY: there are registers.
        self.set_integers(dst, unsafe { _mm256_srai_epi32::<BITS>(self.integers(src)) });
    }

    #[inline(always)]
    fn prefetch(at: *const f32, elements: usize) {
        // SAFETY: SSE is part of the baseline, and a prefetch never faults.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(at.wrapping_add(elements).cast()) }
    }
}
