//! On which registers a network runs. What it computes in says which there are to choose from, the processor which of them it has.
//!
//! The choice is one of types: rustc makes kernels for registers that the network may meet, and for no others, also without
//! optimisation.

#[cfg(target_arch = "aarch64")]
use crate::simd::Neon as Baseline;
#[cfg(not(target_arch = "aarch64"))]
use crate::simd::Portable as Baseline;
use crate::simd::Registers;
#[cfg(target_arch = "x86_64")]
use crate::simd::{Avx2, Avx512Vnni, AvxVnni};

/// What runs on any registers.
pub trait OnRegisters {
    /// Runs it.
    ///
    /// # Safety
    /// The processor has the instructions of `R`.
    unsafe fn run<R: Registers>(self);
}

/// What a network computes in. Nobody outside can implement it.
pub trait Arithmetic {
    /// Runs it on the best registers that the processor has.
    fn choose(what: impl OnRegisters);
}

/// Multiply-adds of f32.
#[derive(Debug)]
pub enum F32 {}

/// Dot products of bytes.
#[derive(Debug)]
pub enum Int8 {}

impl Arithmetic for F32 {
    fn choose(what: impl OnRegisters) {
        #[cfg(target_arch = "x86_64")]
        if Avx2::is_available() {
            // SAFETY: just asked.
            return unsafe { what.run::<Avx2>() };
        }
        // SAFETY: the type needs nothing beyond the target's baseline.
        unsafe { what.run::<Baseline>() }
    }
}

impl Arithmetic for Int8 {
    fn choose(what: impl OnRegisters) {
        #[cfg(target_arch = "x86_64")]
        if Avx512Vnni::is_available() {
            // SAFETY: just asked.
            return unsafe { what.run::<Avx512Vnni>() };
        }
        #[cfg(target_arch = "x86_64")]
        if AvxVnni::is_available() {
            // SAFETY: just asked.
            return unsafe { what.run::<AvxVnni>() };
        }
        F32::choose(what);
    }
}
