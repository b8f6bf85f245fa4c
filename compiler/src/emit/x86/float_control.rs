//! The two functions that give a run the floating-point environment in which C programs start, and give the caller's back.
//!
//! Both take a place of 8 bytes on the caller's stack, in the System V convention. Writing MXCSR costs as much as looking at it
//! (6 cycles for a look and two writes on a Zen 5), so both write without a question: no branch depends on the caller's modes.

use iced_x86::IcedError;
use iced_x86::code_asm::{CodeAssembler, dword_ptr, rdi};

/// MXCSR at the start of a program: round to nearest, denormals kept, no exception traps, no exception so far.
const DEFAULT_MXCSR: u32 = 0x1f80;

/// The bytes of `void set(uint32_t place[2])`: the caller's MXCSR into the first word, and the default into MXCSR.
pub(crate) fn set_mxcsr() -> Vec<u8> {
    let write = |a: &mut CodeAssembler| {
        a.stmxcsr(dword_ptr(rdi))?;
        a.mov(dword_ptr(rdi + 4), DEFAULT_MXCSR)?;
        a.ldmxcsr(dword_ptr(rdi + 4))
    };
    assemble(write)
}

/// The bytes of `void restore(const uint32_t place[2])`: the first word into MXCSR.
pub(crate) fn restore_mxcsr() -> Vec<u8> {
    assemble(|a| a.ldmxcsr(dword_ptr(rdi)))
}

fn assemble(write: impl Fn(&mut CodeAssembler) -> Result<(), IcedError>) -> Vec<u8> {
    let assemble = || {
        let mut a = CodeAssembler::new(64)?;
        write(&mut a)?;
        a.ret()?;
        a.assemble(0)
    };
    assemble().expect("the function is a fixed sequence of encodable instructions")
}
