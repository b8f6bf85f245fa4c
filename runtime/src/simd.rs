//! Sixteen vector registers of eight f32, over which the kernels of `mobilenet!` are written.
//!
//! One text of a kernel serves every processor: [`Registers`] are those of AVX2 where an x86-64 CPU has it with FMA, with the dot
//! products of AVX512-VNNI or AVX-VNNI where it has one of them, pairs of NEON's on aarch64, arrays elsewhere. All of them give the same bits: each lane of each operation is IEEE 754 binary32,
//! rounded once, to nearest even. Which NaN comes out is the processor's choice. For networks in int8 a lane may hold an i32 as well,
//! or four bytes, which memory has in ascending order.
//!
//! Registers are numbered and addresses are a pointer and a count of elements, as in the compiler's kernel language. Inlined,
//! nothing is left of the numbers; called, as the arrays' functions are, an operation costs the caller a few constants.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;

#[cfg(target_arch = "x86_64")]
pub use avx2::{Avx2, Avx512Vnni, AvxVnni};
#[cfg(target_arch = "aarch64")]
pub use neon::Neon;
pub use portable::Portable;

/// Elements of a register.
pub const LANES: usize = 8;

/// How many registers there are.
pub const N_REGISTERS: usize = 16;

/// The registers of one kernel. Whoever has them is on a processor with the type's instructions.
///
/// # Panics
/// Every function does with a register that isn't there.
pub trait Registers: Sized {
    /// The registers for kernels without [`dot`](Registers::dot): those that all with the same other instructions share, so that
    /// a network has such a kernel once. A processor with the type's instructions has theirs.
    type Base: Registers;

    /// Runs a kernel on registers of zeros, in a function that may use the type's instructions; the kernel is meant to be
    /// inlined there.
    ///
    /// # Safety
    /// The processor has the type's instructions.
    unsafe fn with(kernel: impl FnOnce(&mut Self));

    /// All lanes of `dst` become `value`.
    fn constant(&mut self, dst: usize, value: f32);

    /// dst = src
    fn copy(&mut self, dst: usize, src: usize);

    /// Consecutive elements of memory. No alignment beyond an element's is asked for.
    ///
    /// # Safety
    /// Eight elements can be read, `elements` after `from`.
    unsafe fn load(&mut self, dst: usize, from: *const f32, elements: usize);

    /// The first `N` lanes from consecutive elements of memory, zeros behind them.
    ///
    /// # Safety
    /// `N` elements can be read, `elements` after `from`.
    unsafe fn load_part<const N: usize>(&mut self, dst: usize, from: *const f32, elements: usize);

    /// One element of memory into all lanes.
    ///
    /// # Safety
    /// It can be read, `elements` after `from`.
    unsafe fn splat(&mut self, dst: usize, from: *const f32, elements: usize);

    /// To consecutive elements of memory.
    ///
    /// # Safety
    /// Eight elements can be written, `elements` after `to`.
    unsafe fn store(&self, src: usize, to: *mut f32, elements: usize);

    /// The first `N` lanes to consecutive elements of memory.
    ///
    /// # Safety
    /// `N` elements can be written, `elements` after `to`.
    unsafe fn store_part<const N: usize>(&self, src: usize, to: *mut f32, elements: usize);

    /// acc = a * b + acc, rounded once.
    fn fma(&mut self, acc: usize, a: usize, b: usize);

    /// x = x * factor + addend, rounded once.
    fn mul_add(&mut self, x: usize, factor: usize, addend: usize);

    /// dst = a + b
    fn add(&mut self, dst: usize, a: usize, b: usize);

    /// dst = a - b
    fn sub(&mut self, dst: usize, a: usize, b: usize);

    /// dst = a * b
    fn mul(&mut self, dst: usize, a: usize, b: usize);

    /// dst = a / b
    fn div(&mut self, dst: usize, a: usize, b: usize);

    /// dst = a > b ? a : b, so b when either is NaN and when both are zero.
    fn max(&mut self, dst: usize, a: usize, b: usize);

    /// dst = a < b ? a : b, so b when either is NaN and when both are zero.
    fn min(&mut self, dst: usize, a: usize, b: usize);

    /// dst = the bits of each lane of src, shifted left, zeros coming in.
    fn shift_left<const BITS: i32>(&mut self, dst: usize, src: usize);

    /// All lanes of `dst` become the integer `value`.
    fn constant_integer(&mut self, dst: usize, value: i32);

    /// The first `N` lanes become integers, each a byte of memory without a sign; the others zero.
    ///
    /// # Safety
    /// `N` bytes can be read, `bytes` after `from`.
    unsafe fn load_bytes<const N: usize>(&mut self, dst: usize, from: *const f32, bytes: usize);

    /// The integers of the first `N` lanes, kept between 0 and 255, to consecutive bytes of memory.
    ///
    /// # Safety
    /// `N` bytes can be written, `bytes` after `to`.
    unsafe fn store_bytes<const N: usize>(&self, src: usize, to: *mut f32, bytes: usize);

    /// The integers of acc, plus four products each: the bytes of a's lane, without a sign, times those of b's, with one. Sums wrap.
    /// `PAIRS_FIT` promises of every lane of b that its first two bytes times any bytes add up to an i16, and its last two.
    fn dot<const PAIRS_FIT: bool>(&mut self, acc: usize, a: usize, b: usize);

    /// dst = integers as numbers, rounded to nearest even.
    fn to_float(&mut self, dst: usize, src: usize);

    /// dst = numbers between -2^31 and 2^31 as integers, rounded to nearest even; of others any integer.
    fn to_integer(&mut self, dst: usize, src: usize);

    /// dst = a + b of integers. Sums wrap.
    fn add_integers(&mut self, dst: usize, a: usize, b: usize);

    /// dst = a * b of integers. Products wrap.
    fn mul_integers(&mut self, dst: usize, a: usize, b: usize);

    /// dst = integers shifted right, the sign coming in.
    fn shift_right<const BITS: i32>(&mut self, dst: usize, src: usize);

    /// A hint that a cache line will be read soon. Any address will do.
    #[inline(always)]
    fn prefetch(_: *const f32, _: usize) {}
}

#[cfg(test)]
mod tests;
