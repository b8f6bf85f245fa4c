//! The question to the processor that stands before the first wide instruction.

use iced_x86::IcedError;
use iced_x86::code_asm::{CodeAssembler, eax, ebx, ecx, r8, r9d, rbx};

use crate::target::X86Level;

/// The bits of CPUID and XCR0 that a level needs.
struct Bits {
    /// Leaf 1, ECX.
    leaf_1_ecx: u32,
    /// Leaf 7, EBX.
    leaf_7_ebx: u32,
    /// Leaf 7, ECX.
    leaf_7_ecx: u32,
    /// Leaf 7, subleaf 1, EAX.
    leaf_7_1_eax: u32,
    /// What the operating system keeps over a task switch.
    xcr0: u32,
}

/// FMA, OSXSAVE (XGETBV exists), AVX; BMI1, AVX2, BMI2; SSE and AVX state.
const V3: Bits = Bits {
    leaf_1_ecx: 1 << 12 | 1 << 27 | 1 << 28,
    leaf_7_ebx: 1 << 3 | 1 << 5 | 1 << 8,
    leaf_7_ecx: 0,
    leaf_7_1_eax: 0,
    xcr0: 0b110,
};

/// Beside that of V3: AVX_VNNI.
const V3_VNNI: Bits = Bits { leaf_7_1_eax: 1 << 4, ..V3 };

/// Beside that of V3: AVX512F, DQ, CD, BW, VL; mask registers and the upper halves and registers of ZMM.
const V4: Bits = Bits {
    leaf_7_ebx: V3.leaf_7_ebx | 1 << 16 | 1 << 17 | 1 << 28 | 1 << 30 | 1 << 31,
    xcr0: V3.xcr0 | 0b1110_0000,
    ..V3
};

/// Beside that of V4: AVX512_VNNI.
const V4_VNNI: Bits = Bits { leaf_7_ecx: 1 << 11, ..V4 };

/// What is asked of the processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Question {
    /// Whether it has the level.
    Has,
    /// Whether it also gains by it over the level below: not where it computes 512-bit vectors in two halves.
    Gains,
}

/// Leaf 1, EAX: the bits of family and extended family, and those of AMD's family 25. Of its processors Zen 4 has AVX-512, in
/// two halves: networks of alpha 0.25 were measured 9 to 11 % slower there than with AVX2, alpha 0.5 alike, alpha 1 1.5 % faster.
const FAMILY: u32 = 0x0ff0_0f00;
const ZEN_4: u32 = 0x00a0_0f00;

/// The bytes of a function without parameters that returns 1 when processor and operating system have that level, else 0. It
/// uses nothing beyond the x86-64 baseline.
///
/// Register map: eax result and scratch, r8 the caller's rbx, which CPUID overwrites; r9d features that are missing; ecx and edx scratch.
pub(crate) fn cpu_check(level: X86Level, question: Question) -> Vec<u8> {
    let bits = match level {
        X86Level::V3 => V3,
        X86Level::V3Vnni => V3_VNNI,
        X86Level::V4 => V4,
        X86Level::V4Vnni => V4_VNNI,
    };
    write(&bits, question).expect("the check is a fixed sequence of encodable instructions")
}

fn write(bits: &Bits, question: Question) -> Result<Vec<u8>, IcedError> {
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
    if question == Question::Gains {
        a.and(eax, FAMILY as i32)?;
        a.cmp(eax, ZEN_4 as i32)?;
        a.je(lacks)?;
    }
    // What is missing of all leaves, for one jump: `mnc inspect` goes every way that a check may end.
    a.mov(r9d, ecx)?;
    a.not(r9d)?;
    a.and(r9d, bits.leaf_1_ecx as i32)?;
    a.mov(eax, 7)?;
    a.xor(ecx, ecx)?;
    a.cpuid()?;
    a.not(ebx)?;
    a.and(ebx, bits.leaf_7_ebx as i32)?;
    a.or(r9d, ebx)?;
    if bits.leaf_7_ecx != 0 {
        a.not(ecx)?;
        a.and(ecx, bits.leaf_7_ecx as i32)?;
        a.or(r9d, ecx)?;
    }
    if bits.leaf_7_1_eax != 0 {
        // Of leaf 7 a subleaf that there isn't is zeros.
        a.mov(eax, 7)?;
        a.mov(ecx, 1)?;
        a.cpuid()?;
        a.not(eax)?;
        a.and(eax, bits.leaf_7_1_eax as i32)?;
        a.or(r9d, eax)?;
    }
    // Without OSXSAVE there is no XGETBV.
    a.cmp(r9d, 0)?;
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

#[cfg(test)]
mod tests {
    use iced_x86::{Decoder, DecoderOptions, Instruction, Mnemonic, OpKind, Register};

    use super::{Question, V3, V3_VNNI, V4, V4_VNNI, X86Level, cpu_check};

    /// What a processor answers.
    #[derive(Clone, Copy)]
    struct Processor {
        highest_leaf: u32,
        leaf_1_eax: u32,
        leaf_1_ecx: u32,
        leaf_7_ebx: u32,
        leaf_7_ecx: u32,
        leaf_7_1_eax: u32,
        xcr0: u32,
    }

    const ZEN_5: Processor = Processor {
        highest_leaf: 16,
        leaf_1_eax: 0x00b0_0f21,
        leaf_1_ecx: 0x7eda_3203,
        leaf_7_ebx: 0xf1bf_97ab,
        leaf_7_ecx: 0x1840_5fce,
        leaf_7_1_eax: 0x0000_0030,
        xcr0: 0b1110_0111,
    };
    const HASWELL: Processor = Processor {
        highest_leaf: 13,
        leaf_1_eax: 0x0003_06c3,
        leaf_1_ecx: 0x7ffa_fbff,
        leaf_7_ebx: 0x0000_27ab,
        leaf_7_ecx: 0,
        leaf_7_1_eax: 0,
        xcr0: 0b111,
    };
    /// No AVX-512.
    const ALDER_LAKE: Processor = Processor {
        highest_leaf: 32,
        leaf_1_eax: 0x0009_0672,
        leaf_1_ecx: 0x7ffa_fbff,
        leaf_7_ebx: 0x239c_27eb,
        leaf_7_ecx: 0x9840_07ac,
        leaf_7_1_eax: 0x0040_0810,
        xcr0: 0b111,
    };

    /// Runs the few instructions that a check is made of.
    fn answer(code: &[u8], processor: Processor) -> u32 {
        let instructions: Vec<Instruction> =
            Decoder::with_ip(64, code, 0, DecoderOptions::NONE).iter().collect();
        let mut registers = [0x5555_5555_u64; 16];
        let before = registers[3];
        let (mut ip, mut difference) = (0, (0, 0));
        loop {
            let at = *instructions.iter().find(|at| at.ip() == ip).expect("jumps lead to instructions");
            ip = at.next_ip();
            let to = if at.op0_kind() == OpKind::Register { at.op0_register().number() } else { 0 };
            let value = match at.op1_kind() {
                OpKind::Register if at.op_count() == 2 => registers[at.op1_register().number()],
                _ if at.op_count() == 2 => at.immediate(1),
                _ => 0,
            };
            let found = registers[to];
            let is_32_bit = at.op0_register().size() == 4;
            let write = |value: u64| if is_32_bit { value & 0xffff_ffff } else { value };
            match at.mnemonic() {
                Mnemonic::Mov => registers[to] = write(value),
                Mnemonic::Xor => registers[to] = write(found ^ value),
                Mnemonic::And => registers[to] = write(found & value),
                Mnemonic::Or => registers[to] = write(found | value),
                Mnemonic::Not => registers[to] = write(!found),
                Mnemonic::Cmp => difference = (found as u32, value as u32),
                Mnemonic::Jb if difference.0 < difference.1 => ip = at.near_branch_target(),
                Mnemonic::Je if difference.0 == difference.1 => ip = at.near_branch_target(),
                Mnemonic::Jne if difference.0 != difference.1 => ip = at.near_branch_target(),
                Mnemonic::Jb | Mnemonic::Je | Mnemonic::Jne => {}
                Mnemonic::Cpuid => {
                    let [eax, ebx, ecx] = match (registers[0], registers[1]) {
                        (0, 0) => [processor.highest_leaf, 1, 2],
                        (1, 0) => [processor.leaf_1_eax, 3, processor.leaf_1_ecx],
                        (7, 0) => [4, processor.leaf_7_ebx, processor.leaf_7_ecx],
                        (7, 1) => [processor.leaf_7_1_eax, 5, 6],
                        leaf => panic!("asked for {leaf:?}"),
                    };
                    (registers[0], registers[3], registers[1]) = (eax.into(), ebx.into(), ecx.into());
                    registers[2] = 6;
                }
                Mnemonic::Xgetbv => {
                    assert_eq!(registers[1], 0);
                    registers[0] = processor.xcr0.into();
                }
                Mnemonic::Ret => {
                    assert_eq!(registers[3], before, "the caller's rbx is as it was");
                    return registers[Register::EAX.number()] as u32;
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn processors_are_told_apart() {
        let zen_4 = Processor { leaf_1_eax: 0x00a1_0f11, leaf_7_1_eax: 0x0000_0020, ..ZEN_5 };
        let skylake_x = Processor { leaf_1_eax: 0x0005_0654, leaf_7_ecx: 0x0000_0008, ..ZEN_5 };
        let narrow = |processor| answer(&cpu_check(X86Level::V3Vnni, Question::Has), processor);
        assert_eq!([ZEN_5, ALDER_LAKE, zen_4, HASWELL].map(narrow), [1, 1, 0, 0]);
        for bit in 0..32 {
            let has = [V3_VNNI.leaf_7_1_eax, V3_VNNI.leaf_7_ebx, V3_VNNI.leaf_1_ecx, V3_VNNI.xcr0]
                .map(|bits| u32::from(bits >> bit & 1 == 0));
            let without = |bits: u32| bits & !(1 << bit);
            let lacks = [
                Processor { leaf_7_1_eax: without(ALDER_LAKE.leaf_7_1_eax), ..ALDER_LAKE },
                Processor { leaf_7_ebx: without(ALDER_LAKE.leaf_7_ebx), ..ALDER_LAKE },
                Processor { leaf_1_ecx: without(ALDER_LAKE.leaf_1_ecx), ..ALDER_LAKE },
                Processor { xcr0: without(ALDER_LAKE.xcr0), ..ALDER_LAKE },
            ];
            assert_eq!(lacks.map(narrow), has, "bit {bit}");
        }
        let vnni = |processor| answer(&cpu_check(X86Level::V4Vnni, Question::Has), processor);
        assert_eq!(vnni(ALDER_LAKE), 0);
        assert_eq!([ZEN_5, zen_4, skylake_x, HASWELL].map(vnni), [1, 1, 0, 0]);
        for bit in 0..32 {
            let has = [V4_VNNI.leaf_7_ecx, V4_VNNI.leaf_7_ebx].map(|bits| u32::from(bits >> bit & 1 == 0));
            let without = |bits: u32| bits & !(1 << bit);
            let lacks_ecx = Processor { leaf_7_ecx: without(ZEN_5.leaf_7_ecx), ..ZEN_5 };
            let lacks_ebx = Processor { leaf_7_ebx: without(ZEN_5.leaf_7_ebx), ..ZEN_5 };
            assert_eq!([lacks_ecx, lacks_ebx].map(vnni), has, "bit {bit}");
        }
        let check = |processor: Processor, [v3, v4, gains]: [u32; 3]| {
            let asked = [
                (X86Level::V3, Question::Has),
                (X86Level::V4, Question::Has),
                (X86Level::V4, Question::Gains),
            ];
            let found = asked.map(|(level, question)| answer(&cpu_check(level, question), processor));
            assert_eq!(found, [v3, v4, gains], "{:#x}", processor.leaf_1_eax);
        };
        check(ZEN_5, [1, 1, 1]);
        check(skylake_x, [1, 1, 1]);
        check(zen_4, [1, 1, 0]);
        check(HASWELL, [1, 0, 0]);
        check(ALDER_LAKE, [1, 0, 0]);
        // Old, without the leaf; with vectors that the operating system doesn't keep.
        check(Processor { highest_leaf: 6, ..ZEN_5 }, [0, 0, 0]);
        check(Processor { xcr0: 0b111, ..ZEN_5 }, [1, 0, 0]);
        check(Processor { xcr0: 0b011, ..ZEN_5 }, [0, 0, 0]);
        for bit in 0..32 {
            let has = |bits: u32| u32::from(bits >> bit & 1 == 0);
            let [v3, v4] = [V3, V4].map(|bits| has(bits.leaf_7_ebx));
            check(Processor { leaf_7_ebx: ZEN_5.leaf_7_ebx & !(1 << bit), ..ZEN_5 }, [v3, v4, v4]);
            let both = has(V4.leaf_1_ecx);
            check(Processor { leaf_1_ecx: ZEN_5.leaf_1_ecx & !(1 << bit), ..ZEN_5 }, [both; 3]);
        }
    }
}
