//! [`CpuCheck`] -> the function that asks the processor, as raw instructions: Cranelift IR has none for it.

use super::x86::{self, Question};
use crate::target::CpuCheck;

/// A function without arguments whose result is not zero where the processor has what is asked for; position independent and without
/// relocations.
pub(super) fn cpu_check(check: CpuCheck, question: Question) -> Vec<u8> {
    match check {
        CpuCheck::X86(level) => x86::cpu_check(level, question),
        // mrs x0, id_aa64isar0_el1; ubfx x0, x0, #44, #4: the field of DP.
        CpuCheck::Aarch64Dotprod => words([0xd538_0600, 0xd36c_bc00, RETURN]),
        // mrs x0, id_aa64isar1_el1; ubfx x0, x0, #52, #4: the field of I8MM.
        CpuCheck::Aarch64I8mm => words([0xd538_0620, 0xd374_dc00, RETURN]),
    }
}

/// aarch64's `ret`.
const RETURN: u32 = 0xd65f_03c0;

fn words(words: [u32; 3]) -> Vec<u8> {
    words.into_iter().flat_map(u32::to_le_bytes).collect()
}
