//! The registers of x86-64 with AVX2 and FMA, 256 bits wide, alone or with an extension that has dot products of bytes.

mod extension;

use core::arch::x86_64::*;
use core::marker::PhantomData;

use self::extension::Extension;
use super::{LANES, N_REGISTERS, Registers};

/// The `ymm` registers of a processor with AVX2, FMA and an extension.
#[derive(Debug)]
pub struct Ymm<E>([__m256; N_REGISTERS], PhantomData<E>);

/// The registers of AVX2 and FMA.
pub type Avx2 = Ymm<extension::NoVnni>;

/// The same with AVX-VNNI: dot products on CPUs without AVX-512.
pub type AvxVnni = Ymm<extension::AvxVnni>;

/// The same with AVX512-VNNI, in the registers of AVX512-VL.
pub type Avx512Vnni = Ymm<extension::Avx512Vnni>;

impl<E: Extension> Ymm<E> {
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

    /// Registers of zeros.
    ///
    /// # Safety
    /// The processor has AVX2, FMA and the extension.
    #[inline(always)]
    unsafe fn zeros() -> Self {
        // SAFETY: the caller's.
        Ymm([unsafe { _mm256_setzero_ps() }; N_REGISTERS], PhantomData)
    }

    /// Whether the processor has the instructions that the type stands for; without an operating system to ask, whether the crate
    /// is compiled for them.
    #[inline]
    pub(crate) fn is_available() -> bool {
        E::is_available()
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

// These two have the processor's instructions, as `Extension::dot` has, so that rustc inlines others with them there. A kernel has so
// many of these operations that builds take nearly twice the time where LLVM meets each as a tree of calls.

/// As [`Registers::load_bytes`], of one register.
///
/// # Safety
/// The processor has AVX2; there is a register; `N` bytes can be read, and are eight at most.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn load_bytes<const N: usize>(dst: *mut __m256, from: *const u8) {
    let mut lanes = [0u8; LANES];
    // SAFETY: the caller's.
    unsafe { core::ptr::copy_nonoverlapping(from, lanes.as_mut_ptr(), N) }
    let value = _mm256_cvtepu8_epi32(_mm_cvtsi64_si128(i64::from_le_bytes(lanes)));
    // SAFETY: the caller's.
    unsafe { *dst = _mm256_castsi256_ps(value) }
}

/// As [`Registers::store_bytes`], of one register.
///
/// # Safety
/// The processor has AVX2; there is a register; `N` bytes can be written, and are eight at most.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn store_bytes<const N: usize>(src: *const __m256, to: *mut u8) {
    // To 16 bits with a sign, then to 8 without: between 0 and 255 in both steps. Each half of the register has its four bytes.
    // SAFETY: the caller's.
    let value = _mm256_castps_si256(unsafe { *src });
    let halves = _mm256_packs_epi32(value, value);
    let bytes_of_halves = _mm256_packus_epi16(halves, halves);
    let (low, high) =
        (_mm256_castsi256_si128(bytes_of_halves), _mm256_extracti128_si256::<1>(bytes_of_halves));
    let lanes = _mm_cvtsi128_si64(_mm_unpacklo_epi32(low, high)).to_le_bytes();
    // SAFETY: the caller's.
    unsafe { core::ptr::copy_nonoverlapping(lanes.as_ptr(), to, N) }
}

// "There are registers": a value of the type exists, so the processor has AVX2, FMA and the extension.
impl<E: Extension> Registers for Ymm<E> {
    type Base = Avx2;

    #[inline(always)]
    unsafe fn with(kernel: impl FnOnce(&mut Self)) {
        // SAFETY: the caller's.
        unsafe { E::with(kernel) }
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
        self.0[dst] = unsafe { from.wrapping_add(elements).cast::<__m256>().read_unaligned() };
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
        unsafe { to.wrapping_add(elements).cast::<__m256>().write_unaligned(self.0[src]) }
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
        // SAFETY: there are registers; the caller vouches for the memory.
        unsafe { load_bytes::<N>(&raw mut self.0[dst], from.wrapping_byte_add(bytes).cast()) }
    }

    #[inline(always)]
    unsafe fn store_bytes<const N: usize>(&self, src: usize, to: *mut f32, bytes: usize) {
        // SAFETY: there are registers; the caller vouches for the memory.
        unsafe { store_bytes::<N>(&raw const self.0[src], to.wrapping_byte_add(bytes).cast()) }
    }

    #[inline(always)]
    fn dot<const PAIRS_FIT: bool>(&mut self, acc: usize, a: usize, b: usize) {
        let [a, b] = [&raw const self.0[a], &raw const self.0[b]];
        // SAFETY: there are registers, and these are some of them.
        unsafe { E::dot::<PAIRS_FIT>(&raw mut self.0[acc], a, b) }
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
