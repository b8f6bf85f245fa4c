//! The registers of x86-64 with AVX2 and FMA, 256 bits wide.

use core::arch::x86_64::*;

use super::{LANES, N_REGISTERS, Registers};

/// The `ymm` registers.
#[derive(Debug)]
pub struct Avx2([__m256; N_REGISTERS]);

impl Avx2 {
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
        self.0[dst] =
            unsafe { _mm256_castsi256_ps(_mm256_slli_epi32::<BITS>(_mm256_castps_si256(self.0[src]))) };
    }

    #[inline(always)]
    fn prefetch(at: *const f32, elements: usize) {
        // SAFETY: SSE is part of the baseline, and a prefetch never faults.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(at.wrapping_add(elements).cast()) }
    }
}
