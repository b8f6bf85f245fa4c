//! The question to the processor that stands before the first wide instruction.

use iced_x86::IcedError;
use iced_x86::code_asm::{CodeAssembler, eax, ebx, ecx, r8, rbx};

use crate::target::X86Level;

/// The bits of CPUID and XCR0 that a level needs.
struct Bits {
    /// Leaf 1, ECX.
    leaf_1_ecx: u32,
    /// Leaf 7, EBX.
    leaf_7_ebx: u32,
    /// What the operating system keeps over a task switch.
    xcr0: u32,
}

/// FMA, OSXSAVE (XGETBV exists), AVX; BMI1, AVX2, BMI2; SSE and AVX state.
const V3: Bits =
    Bits { leaf_1_ecx: 1 << 12 | 1 << 27 | 1 << 28, leaf_7_ebx: 1 << 3 | 1 << 5 | 1 << 8, xcr0: 0b110 };

/// Beside that of V3: AVX512F, DQ, CD, BW, VL; mask registers and the upper halves and registers of ZMM.
const V4: Bits = Bits {
    leaf_7_ebx: V3.leaf_7_ebx | 1 << 16 | 1 << 17 | 1 << 28 | 1 << 30 | 1 << 31,
    xcr0: V3.xcr0 | 0b1110_0000,
    ..V3
};

/// The bytes of a function without parameters that returns 1 when processor and operating system have that level, else 0. It
/// uses nothing beyond the x86-64 baseline.
///
/// Register map: eax result and scratch, r8 the caller's rbx, which CPUID overwrites; ecx and edx scratch.
pub(crate) fn cpu_check(level: X86Level) -> Vec<u8> {
    let bits = match level {
        X86Level::V3 => V3,
        X86Level::V4 => V4,
    };
    write(&bits).expect("the check is a fixed sequence of encodable instructions")
}

fn write(bits: &Bits) -> Result<Vec<u8>, IcedError> {
    let mut a = CodeAssembler::new(64)?;
    let mut lacks = a.create_label();
    a.mov(r8, rbx)?;
    // The highest leaf first: asking for one beyond it gives the data of another.
    a.xor(eax, eax)?;
    a.xor(ecx, ecx)?;
    a.cpuid()?;
    a.cmp(eax, 7)?;
    a.jb(lacks)?;
    a.mov(eax, 1)?;
    a.xor(ecx, ecx)?;
    a.cpuid()?;
    a.and(ecx, bits.leaf_1_ecx as i32)?;
    a.cmp(ecx, bits.leaf_1_ecx as i32)?;
    a.jne(lacks)?;
    a.mov(eax, 7)?;
    a.xor(ecx, ecx)?;
    a.cpuid()?;
    a.and(ebx, bits.leaf_7_ebx as i32)?;
    a.cmp(ebx, bits.leaf_7_ebx as i32)?;
    a.jne(lacks)?;
    a.xor(ecx, ecx)?;
    a.xgetbv()?;
    a.and(eax, bits.xcr0 as i32)?;
    a.cmp(eax, bits.xcr0 as i32)?;
    a.jne(lacks)?;
    a.mov(eax, 1)?;
    a.mov(rbx, r8)?;
    a.ret()?;
    a.set_label(&mut lacks)?;
    a.xor(eax, eax)?;
    a.mov(rbx, r8)?;
    a.ret()?;
    a.assemble(0)
}
