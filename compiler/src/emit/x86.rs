//! Reader of [`Code`]: x86-64 machine code with 256-bit (AVX2, FMA) or 512-bit (AVX-512) vectors, both with VNNI or without.
//!
//! A table, not a register allocator: vector register `n` of the kernel language is `ymm n` or `zmm n`, pointer `n` is the
//! n-th general register of [`POINTERS`], each operation is one instruction (a constant and a partial access are a few).
//! Kernels are called with the System V convention on every platform; their first pointers are its first argument registers.

mod cpu;
mod float_control;
mod forms;
mod listing;
mod products;

use iced_x86::code_asm::CodeAssembler;
use iced_x86::{BlockEncoderOptions, Code as Opcode, IcedError, Instruction, MemoryOperand, Register};

pub(super) use self::cpu::{Question, cpu_check};
pub(super) use self::float_control::{restore_mxcsr, set_mxcsr};
use self::forms::{AVX2, AVX512, Forms, NO_HALVES};
pub(super) use self::listing::listing;
use self::products::Factor;
use crate::code::{Address, Binary, Code, Half, Narrowed, Op, Ptr, Reg, Unit};

/// The general registers of pointers, in order. The first six carry the System V arguments.
const POINTERS: [Register; 14] = [
    Register::RDI,
    Register::RSI,
    Register::RDX,
    Register::RCX,
    Register::R8,
    Register::R9,
    Register::R10,
    Register::R11,
    Register::RBX,
    Register::RBP,
    Register::R12,
    Register::R13,
    Register::R14,
    Register::R15,
];
/// Holds bits on their way into a mask register, and the caller's nothing.
const SCRATCH: Register = Register::EAX;
/// Registers of [`POINTERS`] that the System V convention leaves to the callee to save.
const CALLEE_SAVED: [Register; 6] =
    [Register::RBX, Register::RBP, Register::R12, Register::R13, Register::R14, Register::R15];

/// A kernel's machine code, position independent and without relocations.
pub(super) struct Kernel {
    pub(super) bytes: Vec<u8>,
    /// Headings of the kernel with the offset of the instruction that follows.
    pub(super) headings: Vec<(usize, String)>,
}

/// Writes a kernel of 8 or 16 lanes, for a processor that has dot products or not.
pub(super) fn kernel(code: &Code, native_dot: bool) -> Kernel {
    let forms = [&AVX2, &AVX512].into_iter().find(|forms| forms.lanes == code.lanes);
    let forms = forms.expect("x86-64 has vectors of 8 and of 16 lanes");
    Writer::write(code, forms, native_dot).expect("every operation of a generated kernel has an encoding")
}

struct Writer<'a> {
    a: CodeAssembler,
    forms: &'a Forms,
    native_dot: bool,
    /// General registers free for loop counters, innermost loops first.
    counters: Vec<Register>,
    /// Depth of the loops that keep their counter on the stack.
    stack_slots: usize,
    /// The bits of the kernel's constants, which lie on the stack behind those counters.
    constants: Vec<u32>,
    /// Its integers for each lane, which lie behind the constants.
    tables: Vec<Vec<u8>>,
    /// Vector registers that the kernel doesn't use, for masks.
    spare: Vec<Reg>,
    /// Headings with the position of the instruction that follows.
    headings: Vec<(usize, String)>,
}

impl Writer<'_> {
    fn write(code: &Code, forms: &Forms, native_dot: bool) -> Result<Kernel, IcedError> {
        assert!(code.n_pointers <= POINTERS.len(), "a kernel has at most {} pointers", POINTERS.len());
        let n_vectors = if forms.lanes == AVX512.lanes { 32 } else { 16 };
        let depth = loop_depth(&code.body);
        let free = &POINTERS[code.n_pointers..];
        // Inner loops get registers; what is left over of the outer ones counts on the stack.
        let in_registers = depth.min(free.len());
        let counters = free[free.len() - in_registers..].to_vec();
        let saved: Vec<Register> = CALLEE_SAVED
            .into_iter()
            .filter(|register| POINTERS[..code.n_pointers].contains(register) || counters.contains(register))
            .collect();
        let mut writer = Writer {
            a: CodeAssembler::new(64)?,
            forms,
            native_dot,
            counters,
            stack_slots: depth - in_registers,
            constants: constants(&code.body, products::word_of(code, native_dot)),
            tables: tables(&code.body),
            spare: (code.n_registers..n_vectors).map(|number| Reg(number as u8)).collect(),
            headings: Vec::new(),
        };
        for register in &saved {
            writer.emit(Instruction::with1(Opcode::Push_r64, *register)?)?;
        }
        let n_words = writer.constants.len() + writer.tables.len() * forms.lanes / 4;
        let frame = (writer.stack_slots * 8 + n_words.next_multiple_of(2) * 4) as i32;
        if frame != 0 {
            writer.emit(Instruction::with2(Opcode::Sub_rm64_imm32, Register::RSP, frame)?)?;
        }
        let tables = writer.tables.iter().flat_map(|table| table.as_chunks().0);
        let words = tables.map(|bytes| u32::from_le_bytes(*bytes));
        let words: Vec<u32> = writer.constants.iter().copied().chain(words).collect();
        for (idx, bits) in words.into_iter().enumerate() {
            writer.emit(Instruction::with2(Opcode::Mov_rm32_imm32, writer.constant_slot(idx), bits)?)?;
        }
        writer.load_product_word(code)?;
        writer.ops(&code.body, 0)?;
        if frame != 0 {
            writer.emit(Instruction::with2(Opcode::Add_rm64_imm32, Register::RSP, frame)?)?;
        }
        // Mixing dirty upper halves with the SSE code of the caller is slow on some processors.
        writer.emit(Instruction::with(Opcode::VEX_Vzeroupper))?;
        for register in saved.iter().rev() {
            writer.emit(Instruction::with1(Opcode::Pop_r64, *register)?)?;
        }
        writer.emit(Instruction::with(Opcode::Retnq))?;
        writer.finish()
    }

    fn finish(mut self) -> Result<Kernel, IcedError> {
        let result = self.a.assemble_options(0, BlockEncoderOptions::RETURN_NEW_INSTRUCTION_OFFSETS)?.inner;
        let offset = |position: usize| result.new_instruction_offsets[position] as usize;
        let headings = self.headings.into_iter().map(|(position, text)| (offset(position), text)).collect();
        Ok(Kernel { bytes: result.code_buffer, headings })
    }

    fn emit(&mut self, instruction: Instruction) -> Result<(), IcedError> {
        self.a.add_instruction(instruction)
    }

    fn ops(&mut self, ops: &[Op], depth: usize) -> Result<(), IcedError> {
        ops.iter().try_for_each(|op| self.op(op, depth))
    }

    fn op(&mut self, op: &Op, depth: usize) -> Result<(), IcedError> {
        let forms = self.forms;
        match *op {
            Op::Const { dst, value } => self.constant(dst, value.to_bits()),
            Op::ConstInteger { dst, value } => self.constant(dst, value as u32),
            Op::Copy { dst, src } => {
                self.emit(Instruction::with2(forms.copy, self.vector(dst), self.vector(src))?)
            }
            Op::Load { dst, from, lanes } => {
                let load = Instruction::with2(forms.load, self.vector(dst), memory(from))?;
                match usize::from(lanes) {
                    all if all == forms.lanes => self.emit(load),
                    half if half * 2 == forms.lanes => {
                        let load = forms.load_half[usize::from(dst.0 / 16)];
                        self.emit(Instruction::with2(load, self.half(dst), memory(from))?)
                    }
                    _ => self.load_part(dst, from, lanes, load),
                }
            }
            Op::LoadLanes { dst, from, first, lanes } => {
                assert!(self.forms.lanes == AVX512.lanes, "only where there are masks");
                let from = Address { offset: from.offset - 4 * i32::from(first), ..from };
                let mut load = Instruction::with2(forms.load, self.vector(dst), memory(from))?;
                self.mask(first, lanes)?;
                load.set_op_mask(Register::K1);
                load.set_zeroing_masking(true);
                self.emit(load)
            }
            Op::Splat { dst, from } => {
                self.emit(Instruction::with2(forms.splat_memory, self.vector(dst), memory(from))?)
            }
            Op::LoadTwice { dst, from } => {
                let (load, _) = forms.halves.expect(NO_HALVES);
                self.emit(Instruction::with2(load, self.vector(dst), memory(from))?)
            }
            Op::Join { dst, low, high } => {
                let (_, shuffle) = forms.halves.expect(NO_HALVES);
                // Two bits for each quarter of the result: the first two quarters are of `low`, the others of `high`.
                let quarters = |half: Half| if half.is_upper { 0b1110 } else { 0b0100 };
                let (which, dst) = (quarters(low) | quarters(high) << 4, self.vector(dst));
                let (low, high) = (self.vector(low.src), self.vector(high.src));
                self.emit(Instruction::with4(shuffle, dst, low, high, which)?)
            }
            Op::Fma { acc, a, b } => {
                let (acc, a, b) = (self.vector(acc), self.vector(a), self.vector(b));
                self.emit(Instruction::with3(forms.fma, acc, a, b)?)
            }
            Op::MulAdd { x, factor, addend } => self.of_two(forms.mul_add, x, factor, addend),
            Op::FmaLane { .. } => {
                unreachable!("x86-64 has no multiply-add by lane, and its instruction sets say so")
            }
            Op::Binary { op, dst, a, b } => {
                let opcode = match op {
                    Binary::Add => forms.add,
                    Binary::Sub => forms.sub,
                    Binary::Mul => forms.mul,
                    Binary::Div => forms.div,
                    // The second operand wins on NaN and on zeros, as the language says.
                    Binary::Max => forms.max,
                    Binary::Min => forms.min,
                    Binary::AddIntegers => forms.add_integers,
                    Binary::MulIntegers => forms.mul_integers,
                };
                self.of_two(opcode, dst, a, b)
            }
            Op::ConstLanes { dst, ref values } => {
                let at = self.table_slot(values);
                self.emit(Instruction::with2(forms.widen_bytes, self.vector(dst), at)?)
            }
            Op::Permute { dst, src, order } => self.of_two(forms.permute, dst, order, src),
            Op::LoadBytes { dst, from, lanes } => self.load_bytes(dst, from, lanes),
            Op::Dot { acc, a, b, pairs_fit } => self.dot(acc, a, b, pairs_fit),
            Op::DotLoad { acc, a, from } => {
                assert!(self.native_dot, "only kernels for a dot product take weights from memory");
                self.emit(Instruction::with3(forms.dot, self.vector(acc), self.vector(a), memory(from))?)
            }
            Op::DotWords { acc, a, from } => self.dot_words(acc, a, from),
            Op::WidenBytes { dst, src, bytes, is_signed } => self.widen_bytes(dst, src, bytes, is_signed),
            Op::Zip { dst, a, b, unit, is_upper } => {
                let [lower, upper] = match unit {
                    Unit::Byte => forms.zips[0],
                    Unit::Pair => forms.zips[1],
                };
                self.of_two(if is_upper { upper } else { lower }, dst, a, b)
            }
            Op::Parts { dst, a, b, order } => {
                let order = order.iter().rev().fold(0, |bits, part| bits << 2 | u32::from(*part));
                let [dst, a, b] = [dst, a, b].map(|register| self.vector(register));
                self.emit(Instruction::with4(
                    Opcode::EVEX_Vshuff32x4_zmm_k1z_zmm_zmmm512b32_imm8,
                    dst,
                    a,
                    b,
                    order,
                )?)
            }
            Op::Narrow { dst, a, b, to } => {
                let opcode = match to {
                    Narrowed::Signed16 => forms.to_signed_16,
                    Narrowed::Bytes => forms.to_bytes,
                };
                self.of_two(opcode, dst, a, b)
            }
            Op::DotPairs { acc, a, b } => self.dot_pairs(acc, a, Factor::Register(b)),
            Op::DotPairsLoad { acc, a, from } => self.dot_pairs(acc, a, Factor::Memory(from)),
            Op::ToFloat { dst, src } => {
                self.emit(Instruction::with2(forms.to_float, self.vector(dst), self.vector(src))?)
            }
            Op::ToInteger { dst, src } => {
                self.emit(Instruction::with2(forms.to_integer, self.vector(dst), self.vector(src))?)
            }
            Op::StoreBytes { src, to, lanes } => self.store_bytes(src, to, lanes),
            Op::ShiftLeft { dst, src, bits } => self.shift(forms.shift_left, dst, src, bits),
            Op::ShiftRight { dst, src, bits } => self.shift(forms.shift_right, dst, src, bits),
            Op::Store { src, to, lanes } => {
                let store = Instruction::with2(forms.store, memory(to), self.vector(src))?;
                match usize::from(lanes) {
                    all if all == forms.lanes => self.emit(store),
                    half if half * 2 == forms.lanes => {
                        let store = forms.store_half[usize::from(src.0 / 16)];
                        self.emit(Instruction::with2(store, memory(to), self.half(src))?)
                    }
                    _ => self.store_part(src, to, lanes, store),
                }
            }
            Op::Prefetch { at } => self.emit(Instruction::with1(Opcode::Prefetcht1_m8, memory(at))?),
            Op::SetPointer { dst, from, bytes } => self.set_pointer(dst, from, bytes),
            Op::Loop { count, ref body } => self.repeat(count, body, depth),
            Op::Heading(ref text) => {
                self.headings.push((self.a.instructions().len(), text.clone()));
                Ok(())
            }
        }
    }

    fn of_two(&mut self, opcode: Opcode, dst: Reg, a: Reg, b: Reg) -> Result<(), IcedError> {
        self.emit(Instruction::with3(opcode, self.vector(dst), self.vector(a), self.vector(b))?)
    }

    fn shift(&mut self, opcode: Opcode, dst: Reg, src: Reg, bits: u8) -> Result<(), IcedError> {
        self.emit(Instruction::with3(opcode, self.vector(dst), self.vector(src), u32::from(bits))?)
    }

    fn constant(&mut self, dst: Reg, bits: u32) -> Result<(), IcedError> {
        let register = self.vector(dst);
        if bits == 0 {
            return self.emit(Instruction::with3(self.forms.xor, register, register, register)?);
        }
        let at = self.constant_place(bits);
        self.emit(Instruction::with2(self.forms.splat_memory, register, at)?)
    }

    fn constant_place(&self, bits: u32) -> MemoryOperand {
        let idx = self.constants.iter().position(|known| *known == bits);
        self.constant_slot(idx.expect("the kernel has been searched for constants"))
    }

    fn load_bytes(&mut self, dst: Reg, from: Address, lanes: u8) -> Result<(), IcedError> {
        let widen = self.forms.widen_bytes;
        let mut load = Instruction::with2(widen, self.vector(dst), memory(from))?;
        if usize::from(lanes) == self.forms.lanes {
            return self.emit(load);
        }
        if self.forms.lanes == AVX512.lanes {
            self.mask(0, lanes)?;
            load.set_op_mask(Register::K1);
            load.set_zeroing_masking(true);
            return self.emit(load);
        }
        let to = xmm(dst);
        self.emit(Instruction::with3(Opcode::VEX_Vpxor_xmm_xmm_xmmm128, to, to, to)?)?;
        for lane in 0..lanes {
            let at = memory(Address { offset: from.offset + i32::from(lane), ..from });
            let insert = Opcode::VEX_Vpinsrb_xmm_xmm_r32m8_imm8;
            self.emit(Instruction::with4(insert, to, to, at, u32::from(lane))?)?;
        }
        self.emit(Instruction::with2(widen, self.vector(dst), to)?)
    }

    fn store_bytes(&mut self, src: Reg, to: Address, lanes: u8) -> Result<(), IcedError> {
        let from = self.vector(src);
        if self.forms.lanes == AVX512.lanes {
            // The store takes its numbers for ones without a sign.
            let (max, zero) = (Opcode::EVEX_Vpmaxsd_zmm_k1z_zmm_zmmm512b32, self.constant_place(0));
            let mut at_least_0 = Instruction::with3(max, from, from, zero)?;
            at_least_0.set_is_broadcast(true);
            self.emit(at_least_0)?;
            let mut store = Instruction::with2(Opcode::EVEX_Vpmovusdb_xmmm128_k1z_zmm, memory(to), from)?;
            if usize::from(lanes) != self.forms.lanes {
                self.mask(0, lanes)?;
                store.set_op_mask(Register::K1);
            }
            return self.emit(store);
        }
        // 32 bits to 16 and to 8, each half of the vector by itself: two words of four bytes.
        self.emit(Instruction::with3(Opcode::VEX_Vpackssdw_ymm_ymm_ymmm256, from, from, from)?)?;
        self.emit(Instruction::with3(Opcode::VEX_Vpermq_ymm_ymmm256_imm8, from, from, 0b1000u32)?)?;
        self.emit(Instruction::with3(Opcode::VEX_Vpackuswb_xmm_xmm_xmmm128, xmm(src), xmm(src), xmm(src))?)?;
        if usize::from(lanes) == self.forms.lanes {
            return self.emit(Instruction::with2(Opcode::VEX_Vmovq_xmmm64_xmm, memory(to), xmm(src))?);
        }
        for lane in 0..lanes {
            let at = memory(Address { offset: to.offset + i32::from(lane), ..to });
            let extract = Opcode::VEX_Vpextrb_r32m8_xmm_imm8;
            self.emit(Instruction::with3(extract, at, xmm(src), u32::from(lane))?)?;
        }
        Ok(())
    }

    /// Where a constant lies from the kernel's start on.
    ///
    /// With a move from a general register instead of a load, between two tiles' multiply-adds, a 1x1 convolution over 8
    /// channels reached 64 instead of 92 % of a Zen 3's peak.
    fn constant_slot(&self, idx: usize) -> MemoryOperand {
        MemoryOperand::with_base_displ(Register::RSP, (self.stack_slots * 8 + idx * 4) as i64)
    }

    /// Where the integers for each lane lie.
    fn table_slot(&self, values: &[u8]) -> MemoryOperand {
        let idx = self.tables.iter().position(|known| known == values);
        let idx = idx.expect("the kernel has been searched for tables");
        self.constant_slot(self.constants.len() + idx * self.forms.lanes / 4)
    }

    fn load_part(
        &mut self,
        dst: Reg,
        from: Address,
        lanes: u8,
        mut load: Instruction,
    ) -> Result<(), IcedError> {
        if self.forms.lanes == AVX512.lanes {
            self.mask(0, lanes)?;
            load.set_op_mask(Register::K1);
            load.set_zeroing_masking(true);
            return self.emit(load);
        }
        let mask = self.vector_mask(lanes)?;
        self.emit(Instruction::with3(
            Opcode::VEX_Vmaskmovps_ymm_ymm_m256,
            self.vector(dst),
            self.vector(mask),
            memory(from),
        )?)
    }

    fn store_part(
        &mut self,
        src: Reg,
        to: Address,
        lanes: u8,
        mut store: Instruction,
    ) -> Result<(), IcedError> {
        if self.forms.lanes == AVX512.lanes {
            self.mask(0, lanes)?;
            store.set_op_mask(Register::K1);
            return self.emit(store);
        }
        let mask = self.vector_mask(lanes)?;
        self.emit(Instruction::with3(
            Opcode::VEX_Vmaskmovps_m256_ymm_ymm,
            memory(to),
            self.vector(mask),
            self.vector(src),
        )?)
    }

    /// k1 = so many lanes from the first one on.
    fn mask(&mut self, first: u8, lanes: u8) -> Result<(), IcedError> {
        let bits = ((1u32 << lanes) - 1) << first;
        self.emit(Instruction::with2(Opcode::Mov_r32_imm32, SCRATCH, bits)?)?;
        self.emit(Instruction::with2(Opcode::VEX_Kmovw_kr_r32, Register::K1, SCRATCH)?)
    }

    /// A spare vector register with all bits set in the first `lanes` lanes of eight.
    fn vector_mask(&mut self, lanes: u8) -> Result<Reg, IcedError> {
        let [mask, part, ..] = self.spare[..] else {
            panic!("a kernel with partial accesses leaves two vector registers");
        };
        let (low, high) = (u32::from(lanes.min(4)), u32::from(lanes.saturating_sub(4)));
        let ones =
            |reg: Reg| Instruction::with3(Opcode::VEX_Vpcmpeqd_xmm_xmm_xmmm128, xmm(reg), xmm(reg), xmm(reg));
        let keep = |reg: Reg, lanes: u32| {
            Instruction::with3(Opcode::VEX_Vpsrldq_xmm_xmm_imm8, xmm(reg), xmm(reg), (4 - lanes) * 4)
        };
        self.emit(ones(mask)?)?;
        self.emit(keep(mask, low)?)?;
        self.emit(ones(part)?)?;
        self.emit(keep(part, high)?)?;
        let (mask_ymm, part_xmm) = (self.vector(mask), xmm(part));
        self.emit(Instruction::with4(
            Opcode::VEX_Vinserti128_ymm_ymm_xmmm128_imm8,
            mask_ymm,
            mask_ymm,
            part_xmm,
            1u32,
        )?)?;
        Ok(mask)
    }

    fn set_pointer(&mut self, dst: Ptr, from: Ptr, bytes: i64) -> Result<(), IcedError> {
        let (to, base) = (general(dst), general(from));
        let bytes = i32::try_from(bytes).expect("a step inside a kernel fits 32 bits");
        if to == base {
            let short = i8::try_from(bytes).is_ok();
            let add = if short { Opcode::Add_rm64_imm8 } else { Opcode::Add_rm64_imm32 };
            return self.emit(Instruction::with2(add, to, bytes)?);
        }
        if bytes == 0 {
            return self.emit(Instruction::with2(Opcode::Mov_r64_rm64, to, base)?);
        }
        let address = MemoryOperand::with_base_displ(base, i64::from(bytes));
        self.emit(Instruction::with2(Opcode::Lea_r64_m, to, address)?)
    }

    fn repeat(&mut self, count: u32, body: &[Op], depth: usize) -> Result<(), IcedError> {
        let mut top = self.a.create_label();
        let slot = MemoryOperand::with_base_displ(Register::RSP, depth as i64 * 8);
        let counter = depth.checked_sub(self.stack_slots).map(|idx| self.counters[idx]);
        match counter {
            Some(register) => {
                self.emit(Instruction::with2(Opcode::Mov_r32_imm32, register.full_register32(), count)?)?;
            }
            None => self.emit(Instruction::with2(Opcode::Mov_rm32_imm32, slot, count)?)?,
        }
        self.a.set_label(&mut top)?;
        self.ops(body, depth + 1)?;
        match counter {
            Some(register) => self.emit(Instruction::with1(Opcode::Dec_rm32, register.full_register32())?)?,
            None => self.emit(Instruction::with1(Opcode::Dec_rm32, slot)?)?,
        }
        self.a.jne(top)
    }

    /// The lower half of a vector register.
    fn half(&self, register: Reg) -> Register {
        let base = if self.forms.lanes == AVX512.lanes { Register::YMM0 } else { Register::XMM0 };
        base + u32::from(register.0)
    }

    fn vector(&self, register: Reg) -> Register {
        let base = if self.forms.lanes == AVX512.lanes { Register::ZMM0 } else { Register::YMM0 };
        base + u32::from(register.0)
    }
}

fn xmm(register: Reg) -> Register {
    Register::XMM0 + u32::from(register.0)
}

fn general(ptr: Ptr) -> Register {
    POINTERS[usize::from(ptr.0)]
}

fn memory(at: Address) -> MemoryOperand {
    MemoryOperand::with_base_displ(general(at.ptr), i64::from(at.offset))
}

/// The bits of all constants that are read from memory, each once, and another word.
fn constants(ops: &[Op], word: Option<u32>) -> Vec<u32> {
    let mut found = Vec::from_iter(word);
    for op in ops {
        match op {
            Op::Const { value, .. } if value.to_bits() != 0 => found.push(value.to_bits()),
            Op::ConstInteger { value, .. } if *value != 0 => found.push(*value as u32),
            // A word that a form of the operation needs, nobody else's to read.
            Op::StoreBytes { .. } => found.push(0),
            Op::Loop { body, .. } => found.extend(constants(body, None)),
            _ => {}
        }
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// The integers for each lane, each list once.
fn tables(ops: &[Op]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    for op in ops {
        match op {
            Op::ConstLanes { values, .. } => found.push(values.clone()),
            Op::Loop { body, .. } => found.extend(tables(body)),
            _ => {}
        }
    }
    found.sort_unstable();
    found.dedup();
    found
}

fn loop_depth(ops: &[Op]) -> usize {
    let depth = |op: &Op| if let Op::Loop { body, .. } = op { 1 + loop_depth(body) } else { 0 };
    ops.iter().map(depth).max().unwrap_or(0)
}
