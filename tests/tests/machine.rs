//! What the machine of `mnc inspect` claims of an instruction, against the processor: registers, flags, stack, masks.
//!
//! Instructions are found by drawing bytes: whatever the machine accepts is run here, from random registers, and must leave exactly
//! what is claimed. Branches, calls and what touches MXCSR are held by `hostile.rs`.

#![cfg(all(target_arch = "x86_64", target_os = "linux"))]

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use iced_x86::code_asm::*;
use iced_x86::{
    Code, CpuidFeature, Decoder, EncodingKind, FlowControl, Instruction, InstructionInfoFactory,
    MemoryOperand, OpAccess, OpKind, Register, UsedMemory, UsedRegister,
};
use mnc::inspect::probe::{Knowledge, STACK_BYTES, claim};
use mnc_tests::need::{self, Cases};
use mnc_tests::random::Random;

/// What a processor has before and after one instruction; the code reads and writes it by these places.
#[repr(C, align(64))]
struct Context {
    general: [u64; 16],
    flags: u64,
    own_stack: u64,
    vectors: [[u8; 64]; 32],
    op_masks: [u64; 8],
    out_general: [u64; 16],
    out_flags: u64,
    out_vectors: [[u8; 64]; 32],
    out_op_masks: [u64; 8],
    /// The stack: the pointer is in the middle.
    stack: [u8; 8192],
}

const SIZE: usize = size_of::<Context>().next_multiple_of(4096);
const RSP: usize = 4;
/// Zero, sign, carry, overflow, parity.
const FLAGS: [u32; 5] = [6, 7, 0, 11, 2];

/// Two pages and more: code, then the context, of which the code knows the distance.
struct Processor {
    memory: *mut u8,
    has_avx512: bool,
}

impl Processor {
    fn new() -> Option<Processor> {
        let has = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("bmi2");
        if !has {
            need::skip_optional("a CPU with AVX2, FMA and BMI2");
            return None;
        }
        let has_avx512 = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl");
        if !has_avx512 {
            need::skip_optional("a CPU with AVX-512");
        }
        let protection = libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC;
        // SAFETY: fresh memory at a place of the system's choice.
        let memory = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                4096 + SIZE,
                protection,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if memory == libc::MAP_FAILED {
            need::skip_optional("memory that may be written and run");
            return None;
        }
        Some(Processor { memory: memory.cast(), has_avx512 })
    }

    /// The stack pointer of the instruction.
    fn top(&self) -> u64 {
        self.memory as u64 + 4096 + std::mem::offset_of!(Context, stack) as u64 + 4096
    }

    /// Runs an instruction that neither jumps nor leaves the stack.
    fn run(&mut self, code: &[u8], context: &mut Context) {
        let base = self.memory as u64;
        let bytes = self.assemble(code, base).expect("the frame is a fixed sequence");
        assert!(bytes.len() <= 4096, "the code fits into its page");
        // SAFETY: both copies stay inside of the mapping of `new`, which nobody else uses; the code is the frame that restores all that
        // a function keeps around one instruction that the machine has found to touch the context's stack only.
        unsafe {
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.memory, bytes.len());
            let place = self.memory.add(4096).cast::<Context>();
            std::ptr::copy_nonoverlapping(context, place, 1);
            let function: extern "C" fn() = std::mem::transmute(self.memory);
            function();
            std::ptr::copy_nonoverlapping(place, context, 1);
        }
    }

    fn assemble(&self, code: &[u8], base: u64) -> Result<Vec<u8>, IcedError> {
        let at = |offset: usize| base as i64 + 4096 + offset as i64;
        let place = |register: AsmRegister64, offset: i64| qword_ptr(register + offset);
        let general = [rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15];
        let offset = |field: usize, idx: usize| (field + idx * 8) as i64;
        let kept = [rbx, rbp, r12, r13, r14, r15];
        let (into, out) =
            (std::mem::offset_of!(Context, general), std::mem::offset_of!(Context, out_general));
        let mut a = CodeAssembler::new(64)?;
        for register in kept {
            a.push(register)?;
        }
        a.mov(rax, at(0) as u64)?;
        a.mov(place(rax, std::mem::offset_of!(Context, own_stack) as i64), rsp)?;
        let vectors = std::mem::offset_of!(Context, vectors);
        let out_vectors = std::mem::offset_of!(Context, out_vectors);
        for idx in 0..if self.has_avx512 { 32 } else { 16 } {
            let from = (vectors + idx * 64) as i64;
            a.add_instruction(vector(self.has_avx512, idx, from, true)?)?;
        }
        let masks = [k0, k1, k2, k3, k4, k5, k6, k7];
        if self.has_avx512 {
            for (idx, mask) in masks.into_iter().enumerate() {
                a.kmovq(mask, place(rax, offset(std::mem::offset_of!(Context, op_masks), idx)))?;
            }
        }
        a.push(place(rax, std::mem::offset_of!(Context, flags) as i64))?;
        a.popfq()?;
        for (idx, register) in general.into_iter().enumerate().filter(|(idx, _)| *idx != 0) {
            a.mov(register, place(rax, offset(into, idx)))?;
        }
        a.mov(rax, place(rax, offset(into, 0)))?;
        a.db(code)?;
        // rip-relative from here on: no register is free.
        for idx in 0..general.len() {
            let memory = MemoryOperand::with_base_displ_size(Register::RIP, at(out + idx * 8), 8);
            a.add_instruction(Instruction::with2(Code::Mov_rm64_r64, memory, Register::RAX + idx as u32)?)?;
        }
        a.mov(rax, at(0) as u64)?;
        a.mov(rsp, place(rax, std::mem::offset_of!(Context, own_stack) as i64))?;
        a.pushfq()?;
        a.pop(place(rax, std::mem::offset_of!(Context, out_flags) as i64))?;
        for idx in 0..if self.has_avx512 { 32 } else { 16 } {
            let to = (out_vectors + idx * 64) as i64;
            a.add_instruction(vector(self.has_avx512, idx, to, false)?)?;
        }
        if self.has_avx512 {
            for (idx, mask) in masks.into_iter().enumerate() {
                a.kmovq(place(rax, offset(std::mem::offset_of!(Context, out_op_masks), idx)), mask)?;
            }
        }
        a.vzeroupper()?;
        for register in kept.into_iter().rev() {
            a.pop(register)?;
        }
        a.ret()?;
        a.assemble(base)
    }
}

/// All of a vector register from or to memory.
fn vector(is_wide: bool, idx: usize, at: i64, is_load: bool) -> Result<Instruction, IcedError> {
    let register = if is_wide { Register::ZMM0 } else { Register::YMM0 } + idx as u32;
    let memory = MemoryOperand::with_base_displ(Register::RAX, at);
    match (is_wide, is_load) {
        (true, true) => Instruction::with2(Code::EVEX_Vmovups_zmm_k1z_zmmm512, register, memory),
        (true, false) => Instruction::with2(Code::EVEX_Vmovups_zmmm512_k1z_zmm, memory, register),
        (false, true) => Instruction::with2(Code::VEX_Vmovups_ymm_ymmm256, register, memory),
        (false, false) => Instruction::with2(Code::VEX_Vmovups_ymmm256_ymm, memory, register),
    }
}

/// Of [`draw`]: those with the prefix of AVX-512, those with the longer one of AVX, and all.
const EVEX: RangeInclusive<usize> = 9..=9;
const VEX: RangeInclusive<usize> = 7..=8;
const ALL: RangeInclusive<usize> = 0..=9;

/// The bytes of an instruction, perhaps: of any map, on registers or near the stack pointer.
fn draw(random: &mut Random, encodings: RangeInclusive<usize>) -> Vec<u8> {
    let byte = |random: &mut Random| random.within(0, 255) as u8;
    let mut code = Vec::new();
    // Most have no third register, which is written as all ones.
    let third = if random.percent(60) { 0x78 } else { 0 };
    match random.within(*encodings.start(), *encodings.end()) {
        0..5 => {
            if random.percent(20) {
                code.push(random.pick(&[0x66, 0xf3]));
            }
            if random.percent(60) {
                code.push(0x40 | random.within(0, 15) as u8);
            }
            if random.percent(40) {
                code.push(0x0f);
            }
        }
        5..7 => code.extend([0xc5, third | byte(random)]),
        7..9 => code.extend([
            0xc4,
            random.within(1, 3) as u8 | random.pick(&[0xe0, 0x60, 0xc0]),
            third | byte(random),
        ]),
        _ => {
            let p0 = random.within(1, 3) as u8 | random.pick(&[0xf0, 0xe0, 0xb0]);
            let p2 = random.pick(&[0x48, 0x48, 0x48, 0x49, 0xc9, 0x40, 0x4a, 0x58, 0x28, 0x29]);
            code.extend([0x62, p0, third | 0x04 | byte(random), p2]);
        }
    }
    code.push(byte(random));
    if random.percent(50) {
        code.push(0xc0 | byte(random));
    } else {
        // [rsp + a small distance]
        let distance = random.pick(&[-64i8, -32, -8, -4, 0, 4, 8, 16, 24, 32]);
        code.extend([0x44 | byte(random) & 0x38, 0x24, distance as u8]);
    }
    code.extend((0..8).map(|_| byte(random)));
    code
}

/// Whether this processor may lack the instruction, beyond AVX-512 as [`Processor::new`] asks for it.
fn is_missing(i: &Instruction) -> bool {
    i.cpuid_features().iter().any(|feature| match feature {
        CpuidFeature::AVX512_VNNI => !is_x86_feature_detected!("avx512vnni"),
        CpuidFeature::AVX_VNNI => !is_x86_feature_detected!("avxvnni"),
        _ => false,
    })
}

/// What can't be tried here: what goes elsewhere, moves the stack pointer far, or asks for what the system may refuse.
fn is_out_of_reach(i: &Instruction) -> bool {
    let moves_stack = (0..i.op_count())
        .any(|op| i.op_kind(op) == OpKind::Register && i.op_register(op).full_register() == Register::RSP);
    i.flow_control() != FlowControl::Next
        || moves_stack
        || matches!(i.code(), Code::Xgetbv | Code::Ldmxcsr_m32 | Code::VEX_Vldmxcsr_m32)
        || matches!(i.code(), Code::Cpuid)
}

fn number(random: &mut Random) -> u64 {
    let large =
        (random.within(0, u32::MAX as usize) as u64) << 32 | random.within(0, u32::MAX as usize) as u64;
    random.pick(&[large, large, large >> 32, 0, 1, 0x7fff_ffff, 0x8000_0000, u64::MAX, 1 << 63, 64, 31])
}

/// Random values, of which the machine is told most.
fn situation(random: &mut Random, top: u64, n_vectors: usize) -> (Context, Knowledge) {
    let mut context = Context {
        general: std::array::from_fn(|_| number(random)),
        flags: 0x202,
        own_stack: 0,
        vectors: [[0; 64]; 32],
        op_masks: std::array::from_fn(|_| number(random)),
        out_general: [0; 16],
        out_flags: 0,
        out_vectors: [[0; 64]; 32],
        out_op_masks: [0; 8],
        stack: [0; 8192],
    };
    context.general[RSP] = top;
    let flags: [bool; 5] = std::array::from_fn(|_| random.percent(50));
    for (bit, flag) in FLAGS.into_iter().zip(flags) {
        context.flags |= u64::from(flag) << bit;
    }
    let mut masks = [None; 32];
    for (vector, mask) in context.vectors.iter_mut().zip(&mut masks).take(n_vectors) {
        if random.percent(50) {
            // Whole elements, or any bytes.
            let bits = match random.percent(70) {
                true => (0..8)
                    .fold(0u32, |bits, idx| bits | if random.percent(50) { 0xf << (idx * 4) } else { 0 }),
                false => number(random) as u32,
            };
            *mask = Some(bits);
            (0..32).for_each(|idx| vector[idx] = if bits >> idx & 1 != 0 { 0xff } else { 0 });
        } else {
            // Small numbers: no arithmetic on them asks for long.
            vector.iter_mut().for_each(|byte| *byte = random.within(0, 63) as u8);
        }
    }
    for byte in &mut context.stack {
        *byte = random.within(0, 255) as u8;
    }
    let mut some = |value: u64| (!random.percent(15)).then_some(value);
    let general = context.general.map(&mut some);
    // A processor without AVX-512 has none of these.
    let op_masks = context.op_masks.map(|mask| if n_vectors == 32 { some(mask) } else { None });
    let flags = flags.map(|flag| some(u64::from(flag)).map(|flag| flag != 0));
    let stack = std::array::from_fn(|idx| some(u64::from(word(&context.stack, idx))).map(|word| word as u32));
    (context, Knowledge { general, flags, stack, masks, op_masks, access: None })
}

/// The word of the stack with that number, from [`STACK_BYTES`] below the pointer.
fn word(stack: &[u8], idx: usize) -> u32 {
    let at = 4096 - STACK_BYTES + idx * 4;
    u32::from_le_bytes(stack[at..at + 4].try_into().expect("four bytes"))
}

#[test]
fn the_processor_does_what_the_machine_claims() {
    const N_DRAWN: usize = 1_000_000;
    // Without those of AVX-512.
    const LEAST: usize = 305;
    let Some(mut processor) = Processor::new() else { return };
    let mut random = Random::new(12);
    let mut tried: BTreeMap<String, usize> = BTreeMap::new();
    for _ in 0..N_DRAWN {
        if LEAST <= tried.len() && Cases::asked() == Cases::Few {
            break;
        }
        let drawn = draw(&mut random, ALL);
        let i = Decoder::with_ip(64, &drawn, 0, 0).decode();
        if i.is_invalid() || is_out_of_reach(&i) || is_missing(&i) {
            continue;
        }
        let is_evex = drawn[0] == 0x62;
        let is_mask = (0..i.op_count()).any(|op| i.op_register(op).is_k());
        if (is_evex || is_mask) && !processor.has_avx512 {
            continue;
        }
        let code = &drawn[..i.len()];
        let name = format!("{:?}", i.code());
        // Enough of this one: one in a hundred is left to find rare cases.
        if tried.get(&name).is_some_and(|n| 60 < *n) && !random.percent(1) {
            continue;
        }
        let top = processor.top();
        let (mut context, before) = situation(&mut random, top, if processor.has_avx512 { 32 } else { 16 });
        let Ok(claimed) = claim(code, &before) else { continue };
        let stack = context.stack;
        processor.run(code, &mut context);
        compare(&name, code, (&before, &claimed), (&stack, &context), top);
        *tried.entry(name).or_insert(0) += 1;
    }
    let n_tried: usize = tried.values().sum();
    println!("{} instructions, {n_tried} times: {tried:?}", tried.len());
    assert!(LEAST <= tried.len(), "{} instructions were tried, expected {LEAST}", tried.len());
}

/// Names of forms that the list of the machine has.
fn listed(prefix: &str) -> BTreeSet<String> {
    let list = need::workspace().join("compiler/src/inspect/machine/instructions.rs");
    let list = std::fs::read_to_string(list).expect("the list is there");
    let names = list.split("C::").skip(1).map(|rest| {
        rest.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').next().unwrap_or("")
    });
    names.filter(|name| name.starts_with(prefix)).map(str::to_owned).collect()
}

/// Of AVX-512 and AVX-VNNI, which this processor may lack: what the machine claims is what the assembler's own tables say, of every form.
#[test]
fn the_tables_of_the_assembler_say_the_same() {
    const N_DRAWN: usize = 1_500_000;
    let mut random = Random::new(13);
    let mut factory = InstructionInfoFactory::new();
    let mut missing = listed("EVEX_");
    missing.extend(listed("VEX_Vpdp"));
    let mut n_compared = 0;
    for number in 0..N_DRAWN {
        if missing.is_empty() && Cases::asked() == Cases::Few {
            break;
        }
        let drawn = draw(&mut random, if number % 3 == 0 { VEX } else { EVEX });
        let i = Decoder::with_ip(64, &drawn, 0, 0).decode();
        let may_lack =
            i.encoding() == EncodingKind::EVEX || i.cpuid_features().contains(&CpuidFeature::AVX_VNNI);
        if i.is_invalid() || !may_lack || is_out_of_reach(&i) {
            continue;
        }
        let (_, before) = situation(&mut random, 0, 32);
        let code = &drawn[..i.len()];
        let Ok(claimed) = claim(code, &before) else { continue };
        let info = factory.info(&i);
        compare_tables(&i, (info.used_registers(), info.used_memory()), (&before, &claimed));
        missing.remove(&format!("{:?}", i.code()));
        n_compared += 1;
    }
    println!("{n_compared} instructions compared");
    assert!(missing.is_empty(), "never drawn: {missing:?}");
}

/// What is written is unknown afterwards, all else as before; memory is touched where and as the tables say, with a mask nowhere else.
fn compare_tables(
    i: &Instruction,
    (registers, memory): (&[UsedRegister], &[UsedMemory]),
    (before, claimed): (&Knowledge, &Knowledge),
) {
    let what = || format!("{i} ({:?}) from {before:x?}", i.code());
    let is_write = |access| {
        use OpAccess::{CondWrite, ReadCondWrite, ReadWrite, Write};
        matches!(access, Write | CondWrite | ReadWrite | ReadCondWrite)
    };
    let (mut general, mut masks, mut op_masks) = (before.general, before.masks, before.op_masks);
    // That of the stack pointer counts from where it was.
    general[RSP] = Some(0);
    for used in registers.iter().filter(|used| is_write(used.access())) {
        let (register, number) = (used.register(), used.register().number());
        if register.is_gpr() {
            general[number] = None;
        } else if register.is_vector_register() {
            masks[number] = None;
        } else if register.is_k() {
            op_masks[number] = None;
        }
    }
    assert_eq!(claimed.general, general, "{}", what());
    assert_eq!(claimed.masks, masks, "{}", what());
    assert_eq!(claimed.op_masks, op_masks, "{}", what());
    assert_eq!(claimed.flags, before.flags, "{}", what());
    let is_masked = i.op_mask() != Register::None;
    match (memory, claimed.access) {
        ([], None) => {}
        ([used], Some((at, bytes, writes))) => {
            assert_eq!(is_write(used.access()), writes, "{}", what());
            let index = (i.memory_index() != Register::None)
                .then(|| before.general[i.memory_index().number()].map(|index| index as i64))
                .map_or(0, |index| index.expect("an unknown index is refused"));
            let start = (used.displacement() as i64).wrapping_add(index.wrapping_mul(used.scale().into()));
            let size = used.memory_size().size() as u64;
            let exact = start == at && size == bytes;
            let inside = start <= at && at + bytes as i64 <= start + size as i64;
            assert!(exact || is_masked && inside, "{bytes} bytes at {at}: {}", what());
        }
        // A mask without a bit.
        ([_], None) => assert!(is_masked, "{}", what()),
        _ => panic!("{}", what()),
    }
}

/// Every claim, and that nothing else was written.
fn compare(
    name: &str,
    code: &[u8],
    (before, claimed): (&Knowledge, &Knowledge),
    (stack, after): (&[u8; 8192], &Context),
    top: u64,
) {
    let what = || format!("{name} {code:02x?} from {before:x?}");
    for (idx, claimed) in claimed.general.iter().enumerate() {
        let found =
            if idx == RSP { after.out_general[idx].wrapping_sub(top) } else { after.out_general[idx] };
        assert!(
            claimed.is_none_or(|claimed| claimed == found),
            "register {idx}: found {found:x}, {claimed:x?}: {}",
            what()
        );
    }
    for (claimed, bit) in claimed.flags.iter().zip(FLAGS) {
        let found = after.out_flags >> bit & 1 != 0;
        assert!(
            claimed.is_none_or(|claimed| claimed == found),
            "flag {bit}: found {found}, {claimed:?}: {}",
            what()
        );
    }
    for (idx, claimed) in claimed.stack.iter().enumerate() {
        let found = word(&after.stack, idx);
        assert!(
            claimed.is_none_or(|claimed| claimed == found),
            "word {idx}: found {found:x}, {claimed:x?}: {}",
            what()
        );
    }
    for (idx, claimed) in claimed.masks.iter().enumerate() {
        for byte in 0..32 {
            let expected = claimed.map(|bits| if bits >> byte & 1 != 0 { 0xff } else { 0 });
            let found = after.out_vectors[idx][byte];
            let holds = expected.is_none_or(|expected| expected == found);
            assert!(holds, "vector {idx}, byte {byte}: found {found:x}: {}", what());
        }
    }
    for (idx, claimed) in claimed.op_masks.iter().enumerate() {
        let found = after.out_op_masks[idx];
        assert!(
            claimed.is_none_or(|claimed| claimed == found),
            "mask {idx}: found {found:x}, {claimed:x?}: {}",
            what()
        );
    }
    // What changed on the stack lies in what was said to be written.
    let written =
        claimed.access.filter(|(_, _, writes)| *writes).map_or(0..0, |(at, bytes, _)| at..at + bytes as i64);
    for (at, (old, new)) in stack.iter().zip(&after.stack).enumerate() {
        let place = at as i64 - 4096;
        assert!(old == new || written.contains(&place), "byte {place} of the stack is written: {}", what());
    }
}
