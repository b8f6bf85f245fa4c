//! What processors have beyond AVX2 and FMA: nothing, or one instruction that adds up the products of four bytes.
//!
//! Each has a function of its own in which kernels are inlined, for a function's instructions can't be a parameter of its type.

use core::arch::x86_64::*;

use super::Ymm;

/// An extension, and how dot products are made with it. Nobody outside can name it.
pub trait Extension: Sized {
    /// Whether the processor has AVX2, FMA and the extension.
    fn is_available() -> bool;

    /// As [`Registers::with`](crate::simd::Registers::with).
    ///
    /// # Safety
    /// The processor has AVX2, FMA and the extension.
    unsafe fn with(kernel: impl FnOnce(&mut Ymm<Self>));

    /// As [`Registers::dot`](crate::simd::Registers::dot).
    ///
    /// # Safety
    /// The processor has AVX2, FMA and the extension.
    unsafe fn dot<const PAIRS_FIT: bool>(acc: *mut __m256, a: *const __m256, b: *const __m256);
}

macro_rules! extension {
    ($(#[$doc:meta])* $name:ident: $($feature:tt),+; |$sum:ident, $a:ident, $b:ident| $dot:expr) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub enum $name {}

        impl Extension for $name {
            #[cfg(feature = "std")]
            #[inline]
            fn is_available() -> bool {
                $(std::is_x86_feature_detected!($feature))&&+
            }

            #[cfg(not(feature = "std"))]
            #[inline]
            fn is_available() -> bool {
                cfg!(all($(target_feature = $feature),+))
            }

            #[inline]
            $(#[target_feature(enable = $feature)])+
            unsafe fn with(kernel: impl FnOnce(&mut Ymm<Self>)) {
                // SAFETY: the caller's.
                kernel(&mut unsafe { Ymm::zeros() });
            }

            #[inline]
            $(#[target_feature(enable = $feature)])+
            unsafe fn dot<const PAIRS_FIT: bool>(acc: *mut __m256, a: *const __m256, b: *const __m256) {
                // SAFETY: the caller's.
                let (sum, a, b) = unsafe { (*acc, *a, *b) };
                let ($sum, $a, $b) =
                    (_mm256_castps_si256(sum), _mm256_castps_si256(a), _mm256_castps_si256(b));
                let sum = _mm256_castsi256_ps($dot);
                // SAFETY: likewise.
                unsafe { *acc = sum }
            }
        }
    };
}

extension! {
    /// None.
    NoVnni: "avx2", "fma"; |sum, a, b| if PAIRS_FIT {
        let pairs = _mm256_maddubs_epi16(a, b);
        _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
    } else {
        // The products have 16 bits each: those of the lower byte of each 16 bits, then those of the upper one.
        let lower = (
            _mm256_and_si256(a, _mm256_set1_epi16(0xff)),
            _mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(b)),
        );
        let upper = (_mm256_srli_epi16::<8>(a), _mm256_srai_epi16::<8>(b));
        let sum = _mm256_add_epi32(sum, _mm256_madd_epi16(lower.0, lower.1));
        _mm256_add_epi32(sum, _mm256_madd_epi16(upper.0, upper.1))
    }
}

extension! {
    /// AVX-VNNI.
    AvxVnni: "avx2", "fma", "avxvnni"; |sum, a, b| _mm256_dpbusd_avx_epi32(sum, a, b)
}

extension! {
    /// AVX512-VNNI with AVX512-VL, which brings it to registers of 256 bits.
    Avx512Vnni: "avx2", "fma", "avx512vl", "avx512vnni"; |sum, a, b| _mm256_dpbusd_epi32(sum, a, b)
}
