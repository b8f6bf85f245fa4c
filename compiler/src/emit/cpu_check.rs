//! [`CpuCheck`] -> the function that asks the processor, as raw instructions: Cranelift IR has none for it.

use super::x86::{self, Question};
use crate::target::CpuCheck;

/// A function without arguments whose result is not zero where the processor has what is asked for; position independent and without
/// relocations.
pub(super) fn cpu_check(check: CpuCheck, question: Question) -> Vec<u8> {
    match check {
        CpuCheck::X86(level) => x86::cpu_check(level, question),
        CpuCheck::Aarch64I8mm => [
            0xd538_0620_u32, // mrs x0, id_aa64isar1_el1
            0xd374_dc00,     // ubfx x0, x0, #52, #4: the field of I8MM
            0xd65f_03c0,     // ret
        ]
        .iter()
        .flat_map(|word| word.to_le_bytes())
        .collect(),
    }
}
