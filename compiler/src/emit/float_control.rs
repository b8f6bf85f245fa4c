//! [`FloatControl`] -> the functions by which a run sets the floating-point environment and gives the caller's back.
//!
//! Cranelift IR has no access to these registers, so the functions are raw instructions, like the question to the processor. Each takes a
//! place of [`PLACE_BYTES`] on the stack of its caller. The exception flags are given back too: a run leaves no trace.

use super::x86;
use crate::target::FloatControl;

/// Bytes of the place that both functions take.
pub(super) const PLACE_BYTES: u32 = 16;

/// The machine code of both functions, position independent and without relocations.
pub(super) struct Functions {
    /// Keeps what the registers hold in the place, and sets the default.
    pub(super) set: Vec<u8>,
    /// Sets what the place holds.
    pub(super) restore: Vec<u8>,
}

impl Functions {
    pub(super) fn of(control: FloatControl) -> Functions {
        match control {
            FloatControl::Mxcsr => Functions { set: x86::set_mxcsr(), restore: x86::restore_mxcsr() },
            FloatControl::Fpcr => Functions {
                set: bytes(&[
                    0xd53b_4409, // mrs x9, fpcr
                    0xd53b_442a, // mrs x10, fpsr
                    0xa900_2809, // stp x9, x10, [x0]
                    // Zero is the default. Some cores wait for the whole pipeline before they write.
                    0xb400_0049, // cbz x9, ret
                    0xd51b_441f, // msr fpcr, xzr
                    0xd65f_03c0, // ret
                ]),
                restore: bytes(&[
                    0xa940_2809, // ldp x9, x10, [x0]
                    0xb400_0049, // cbz x9, the flags
                    0xd51b_4409, // msr fpcr, x9
                    0xd51b_442a, // msr fpsr, x10
                    0xd65f_03c0, // ret
                ]),
            },
            FloatControl::Fcsr => Functions {
                set: bytes(&[
                    0x0030_12f3, // csrrw t0, fcsr, zero: zero is the default
                    0x0055_3023, // sd t0, 0(a0)
                    0x0000_8067, // ret
                ]),
                restore: bytes(&[
                    0x0005_3283, // ld t0, 0(a0)
                    0x0032_9073, // csrw fcsr, t0
                    0x0000_8067, // ret
                ]),
            },
        }
    }
}

fn bytes(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}
