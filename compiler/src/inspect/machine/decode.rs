//! Bytes -> steps: what an instruction means to the walk. Each address is decoded once.

use std::collections::HashMap;

use iced_x86::{
    ConditionCode, Formatter as _, Instruction, InstructionInfoFactory, IntelFormatter, Mnemonic, OpAccess,
    OpKind, Register,
};

use super::super::image::Image;
use super::Machine;
use super::state::{State, VECTORS};

/// How many bits of a general register an instruction is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Width {
    W64,
    W32,
    /// 8 or 16 bits: their values aren't followed.
    Narrow,
}

impl Width {
    pub(super) fn of(bytes: u64) -> Width {
        match bytes {
            8 => Width::W64,
            4 => Width::W32,
            _ => Width::Narrow,
        }
    }

    pub(super) fn bytes(self) -> u64 {
        match self {
            Width::W64 => 8,
            Width::W32 => 4,
            Width::Narrow => 1,
        }
    }
}

/// Where a value comes from or goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operand {
    General(usize),
    Immediate(u64),
    Memory,
    Nothing,
}

impl Operand {
    pub(super) fn value(self, state: &State) -> Option<u64> {
        match self {
            Operand::General(register) => state.general[register],
            Operand::Immediate(value) => Some(value),
            Operand::Memory | Operand::Nothing => None,
        }
    }

    /// The value, from memory too.
    pub(super) fn loaded(self, state: &State, address: u64, machine: &Machine<'_>) -> Option<u64> {
        match self {
            Operand::Memory => machine.load(state, address, Width::W64),
            _ => self.value(state),
        }
    }
}

/// What is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Move,
    MoveIf(ConditionCode),
    Extend32,
    Add,
    Sub,
    And,
    Or,
    Xor,
    Compare,
    Test,
    ShiftLeft,
    Multiply,
    /// The source times a constant.
    MultiplyBy(u64),
    Increment,
    Decrement,
    /// Something else: what it writes isn't known afterwards.
    Unknown,
    /// The masks of partial accesses: all bytes set, shifted right, one put above another, moved into a mask register.
    MaskOnes(usize),
    MaskShift(usize, usize, u32),
    MaskInsert(usize, usize, usize),
    MaskMove(usize),
}

/// An instruction over general registers, flags or masks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arithmetic {
    pub(super) operation: Operation,
    pub(super) to: Operand,
    pub(super) from: Operand,
    pub(super) width: Width,
    /// General registers that it writes, a bit each.
    pub(super) written: u16,
    pub(super) writes_flags: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// On vectors: no general register and no flag is written.
    Vector,
    Load {
        to: usize,
        width: Width,
    },
    Store {
        from: Operand,
        width: Width,
    },
    Lea {
        to: usize,
        width: Width,
    },
    Jump(u64),
    JumpTo(Operand),
    JumpIf {
        target: u64,
        condition: ConditionCode,
    },
    Call(u64),
    CallTo(Operand),
    Return,
    Push(Operand),
    Pop(usize),
    /// Keeps how the processor rounds (`stmxcsr`).
    SaveControl,
    /// Changes it (`ldmxcsr`).
    LoadControl,
    Other(Arithmetic),
    Forbidden,
}

/// A memory operand.
#[derive(Clone, Copy, Debug)]
pub(super) struct Memory {
    pub(super) base: Option<usize>,
    pub(super) index: Option<(usize, u64)>,
    pub(super) displacement: u64,
    pub(super) bytes: u64,
    pub(super) writes: bool,
    /// Not so for `lea` and prefetches.
    pub(super) is_access: bool,
    pub(super) mask: Mask,
}

/// Which elements of four bytes are touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mask {
    All,
    /// Those of this mask register.
    Register(usize),
    /// Those whose bytes are set in this vector.
    Vector(usize),
}

impl Memory {
    /// The first byte behind the address that is touched, and how many.
    pub(super) fn touched(
        &self,
        vectors: &[Option<u32>],
        registers: &[Option<u64>; 8],
    ) -> Result<(u64, u64), String> {
        let elements = match self.mask {
            Mask::All => return Ok((0, self.bytes)),
            Mask::Register(register) => registers[register].map(|bits| bits & ((1 << (self.bytes / 4)) - 1)),
            Mask::Vector(vector) => vectors[vector].map(|bytes| {
                (0..8)
                    .filter(|element| bytes >> (element * 4) & 0xf != 0)
                    .fold(0, |bits, element| bits | 1 << element)
            }),
        };
        let elements: u64 = elements.ok_or("a partial access whose mask isn't known")?;
        if elements == 0 {
            return Ok((0, 0));
        }
        let (first, last) = (u64::from(elements.trailing_zeros()), 63 - u64::from(elements.leading_zeros()));
        Ok((first * 4, (last - first + 1) * 4))
    }
}

/// An instruction as the walk takes it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    pub(super) next: u64,
    pub(super) memory: Option<Memory>,
    pub(super) kind: Kind,
    /// The vector that is written, or one that nobody reads.
    pub(super) vector_written: u8,
    /// Whether it writes memory by vectors: what lies on the stack there isn't known any more.
    pub(super) stack_clobber: bool,
}

/// Decodes the image's code where the walk comes by.
pub(super) struct Decoder<'a> {
    image: &'a Image,
    steps: Vec<Step>,
    known: HashMap<u64, u32>,
    /// For the section that was asked for last: its address, and the step at each byte of it, plus one.
    section: (u64, Vec<u32>),
    factory: InstructionInfoFactory,
}

impl<'a> Decoder<'a> {
    pub(super) fn new(image: &'a Image) -> Decoder<'a> {
        let code =
            image.sections.iter().filter(|section| section.is_code).max_by_key(|section| section.bytes.len());
        let section = code.map_or((0, Vec::new()), |section| (section.address, vec![0; section.bytes.len()]));
        Decoder {
            image,
            steps: Vec::new(),
            known: HashMap::new(),
            section,
            factory: InstructionInfoFactory::new(),
        }
    }

    /// The instruction at an address.
    pub(super) fn step(&mut self, ip: u64) -> Result<Step, String> {
        let offset = ip.wrapping_sub(self.section.0) as usize;
        if let Some(number) = self.section.1.get(offset).filter(|number| **number != 0) {
            return Ok(self.steps[*number as usize - 1]);
        }
        if let Some(number) = self.known.get(&ip) {
            return Ok(self.steps[*number as usize - 1]);
        }
        let instruction = self.instruction(ip)?;
        let step = self.translate(&instruction);
        self.steps.push(step);
        let number = self.steps.len() as u32;
        match self.section.1.get_mut(offset) {
            Some(slot) => *slot = number,
            None => {
                self.known.insert(ip, number);
            }
        }
        Ok(step)
    }

    fn instruction(&self, ip: u64) -> Result<Instruction, String> {
        let section = self.image.section(ip).filter(|section| section.is_code);
        let section = section.ok_or_else(|| format!("{ip:#x} isn't code"))?;
        let bytes = &section.bytes[(ip - section.address) as usize..];
        let instruction = iced_x86::Decoder::with_ip(64, bytes, ip, 0).decode();
        if instruction.is_invalid() { Err(format!("{ip:#x} is no instruction")) } else { Ok(instruction) }
    }

    /// The place and the instruction, for messages.
    pub(super) fn text(&self, ip: u64) -> String {
        let mut text = format!("{:#x} ", ip.wrapping_sub(self.section.0));
        if let Ok(instruction) = self.instruction(ip) {
            IntelFormatter::new().format(&instruction, &mut text);
        }
        text
    }

    fn translate(&mut self, i: &Instruction) -> Step {
        let info = self.factory.info(i);
        let written = info
            .used_registers()
            .iter()
            .filter(|used| is_write(used.access()) && (used.register().is_gpr()))
            .fold(0u16, |bits, used| bits | 1 << used.register().full_register().number());
        let vector = info
            .used_registers()
            .iter()
            .find(|used| is_write(used.access()) && used.register().is_vector_register())
            .map_or(VECTORS as u8, |used| used.register().number() as u8);
        let n_accesses = info.used_memory().len();
        let used = info
            .used_memory()
            .first()
            .map(|used| (used.memory_size().size() as u64, is_write(used.access())));
        let explicit = (0..i.op_count()).any(|op| i.op_kind(op) == OpKind::Memory);
        let memory = explicit.then(|| memory(i, used));
        let writes_flags = i.rflags_modified() != 0;
        let arithmetic = |operation, to, from, width| {
            Kind::Other(Arithmetic { operation, to, from, width, written, writes_flags })
        };
        let is_stack_kind = matches!(
            i.mnemonic(),
            Mnemonic::Push | Mnemonic::Pop | Mnemonic::Call | Mnemonic::Ret | Mnemonic::Leave
        );
        let has_segment = matches!(i.memory_segment(), Register::FS | Register::GS) && explicit;
        let implicit = !explicit && n_accesses != 0 && !is_stack_kind;
        let kind = if is_forbidden(i.mnemonic()) || has_segment || implicit {
            Kind::Forbidden
        } else {
            kind(i, written, writes_flags, &arithmetic)
        };
        let stack_clobber = matches!(kind, Kind::Vector) && memory.is_some_and(|memory| memory.writes);
        Step { next: i.next_ip(), memory, kind, vector_written: vector, stack_clobber }
    }
}

fn is_write(access: OpAccess) -> bool {
    matches!(access, OpAccess::Write | OpAccess::CondWrite | OpAccess::ReadWrite | OpAccess::ReadCondWrite)
}

/// What asks the operating system, touches the machine, or stops; and what changes how others compute.
fn is_forbidden(mnemonic: Mnemonic) -> bool {
    matches!(
        mnemonic,
        Mnemonic::Syscall
            | Mnemonic::Sysenter
            | Mnemonic::Int
            | Mnemonic::Int1
            | Mnemonic::Int3
            | Mnemonic::Hlt
            | Mnemonic::Ud0
            | Mnemonic::Ud1
            | Mnemonic::Ud2
            | Mnemonic::In
            | Mnemonic::Out
            | Mnemonic::Std
            | Mnemonic::Vstmxcsr
            | Mnemonic::Vldmxcsr
            | Mnemonic::Fldcw
            | Mnemonic::Wrfsbase
            | Mnemonic::Wrgsbase
            | Mnemonic::Leave
            | Mnemonic::Enter
    )
}

fn general(register: Register) -> usize {
    register.full_register().number()
}

fn memory(i: &Instruction, used: Option<(u64, bool)>) -> Memory {
    let base = i.memory_base();
    let index = i.memory_index();
    let is_relative = base == Register::RIP || base == Register::EIP;
    let has = |register: Register| register != Register::None && register.is_gpr();
    let is_vector_mask = matches!(i.mnemonic(), Mnemonic::Vmaskmovps);
    let mask = match i.op_mask() {
        Register::None if is_vector_mask => Mask::Vector(vector_mask(i)),
        Register::None => Mask::All,
        register => Mask::Register(register.number()),
    };
    Memory {
        base: (has(base) && !is_relative).then(|| general(base)),
        index: has(index).then(|| (general(index), u64::from(i.memory_index_scale()))),
        // For RIP-relative operands this is the address itself.
        displacement: i.memory_displacement64(),
        bytes: used.map_or(0, |(bytes, _)| bytes),
        writes: used.is_some_and(|(_, writes)| writes),
        is_access: used.is_some() && !is_prefetch(i.mnemonic()),
        mask,
    }
}

/// The mask is the operand between the two others.
fn vector_mask(i: &Instruction) -> usize {
    i.op1_register().number()
}

fn is_prefetch(mnemonic: Mnemonic) -> bool {
    matches!(
        mnemonic,
        Mnemonic::Prefetcht0
            | Mnemonic::Prefetcht1
            | Mnemonic::Prefetcht2
            | Mnemonic::Prefetchnta
            | Mnemonic::Prefetchw
    )
}

fn operand(i: &Instruction, op: u32) -> Operand {
    match i.op_kind(op) {
        OpKind::Register if i.op_register(op).is_gpr64() || i.op_register(op).is_gpr32() => {
            Operand::General(general(i.op_register(op)))
        }
        OpKind::Memory => Operand::Memory,
        OpKind::Register => Operand::Nothing,
        _ => i.try_immediate(op).map_or(Operand::Nothing, Operand::Immediate),
    }
}

fn width(i: &Instruction, op: u32) -> Width {
    match i.op_kind(op) {
        OpKind::Register => Width::of(i.op_register(op).size() as u64),
        OpKind::Memory => Width::of(i.memory_size().size() as u64),
        _ => Width::Narrow,
    }
}

fn kind(
    i: &Instruction,
    written: u16,
    writes_flags: bool,
    arithmetic: &dyn Fn(Operation, Operand, Operand, Width) -> Kind,
) -> Kind {
    let two = |operation| arithmetic(operation, operand(i, 0), operand(i, 1), width(i, 0));
    let vector = |op: u32| i.op_register(op).number();
    match i.mnemonic() {
        Mnemonic::Mov => match (operand(i, 0), operand(i, 1)) {
            (Operand::General(to), Operand::Memory) => Kind::Load { to, width: width(i, 0) },
            (Operand::Memory, from) => Kind::Store { from, width: width(i, 0) },
            _ => two(Operation::Move),
        },
        Mnemonic::Movsxd => two(Operation::Extend32),
        Mnemonic::Lea => Kind::Lea { to: general(i.op0_register()), width: width(i, 0) },
        Mnemonic::Add => two(Operation::Add),
        Mnemonic::Sub => two(Operation::Sub),
        Mnemonic::And => two(Operation::And),
        Mnemonic::Or => two(Operation::Or),
        Mnemonic::Xor => two(Operation::Xor),
        Mnemonic::Cmp => two(Operation::Compare),
        Mnemonic::Test => two(Operation::Test),
        Mnemonic::Shl => two(Operation::ShiftLeft),
        Mnemonic::Imul if i.op_count() == 2 => two(Operation::Multiply),
        Mnemonic::Imul if i.op_count() == 3 => two(Operation::MultiplyBy(i.immediate(2))),
        Mnemonic::Inc => arithmetic(Operation::Increment, operand(i, 0), Operand::Immediate(1), width(i, 0)),
        Mnemonic::Dec => arithmetic(Operation::Decrement, operand(i, 0), Operand::Immediate(1), width(i, 0)),
        Mnemonic::Push => Kind::Push(operand(i, 0)),
        Mnemonic::Pop => Kind::Pop(general(i.op0_register())),
        Mnemonic::Ret => Kind::Return,
        Mnemonic::Stmxcsr => Kind::SaveControl,
        Mnemonic::Ldmxcsr => Kind::LoadControl,
        Mnemonic::Jmp if i.op0_kind() == OpKind::NearBranch64 => Kind::Jump(i.near_branch64()),
        Mnemonic::Jmp => Kind::JumpTo(operand(i, 0)),
        Mnemonic::Call if i.op0_kind() == OpKind::NearBranch64 => Kind::Call(i.near_branch64()),
        Mnemonic::Call => Kind::CallTo(operand(i, 0)),
        Mnemonic::Kmovw | Mnemonic::Kmovd | Mnemonic::Kmovq if i.op0_register().is_k() => {
            arithmetic(Operation::MaskMove(vector(0)), Operand::Nothing, operand(i, 1), Width::W32)
        }
        Mnemonic::Vpcmpeqd if i.op0_register().is_xmm() && i.op1_register() == i.op2_register() => {
            arithmetic(Operation::MaskOnes(vector(0)), Operand::Nothing, Operand::Nothing, Width::Narrow)
        }
        Mnemonic::Vpsrldq if i.op0_register().is_xmm() => {
            let shift = Operation::MaskShift(vector(0), vector(1), i.immediate(2) as u32);
            arithmetic(shift, Operand::Nothing, Operand::Nothing, Width::Narrow)
        }
        Mnemonic::Vinserti128 if i.op2_kind() == OpKind::Register && i.immediate(3) == 1 => {
            let insert = Operation::MaskInsert(vector(0), vector(1), vector(2));
            arithmetic(insert, Operand::Nothing, Operand::Nothing, Width::Narrow)
        }
        _ if i.is_jcc_short_or_near() => {
            Kind::JumpIf { target: i.near_branch64(), condition: i.condition_code() }
        }
        _ if i.condition_code() != ConditionCode::None
            && written != 0
            && operand(i, 1) != Operand::Nothing =>
        {
            two(Operation::MoveIf(i.condition_code()))
        }
        _ if written == 0 && !writes_flags => Kind::Vector,
        _ => arithmetic(Operation::Unknown, Operand::Nothing, Operand::Nothing, Width::Narrow),
    }
}
