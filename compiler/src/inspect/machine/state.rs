//! What the walk knows at one moment: registers, flags, stack, masks.

use iced_x86::ConditionCode;

use super::decode::{Arithmetic, Memory, Operand, Operation, Width};
use super::{RETURN_TO, STACK_BYTES, STACK_TOP};

/// General registers, in the order of their numbers: rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8 to r15.
pub(in crate::inspect) const GENERAL: usize = 16;
pub(super) const RSP: usize = 4;

/// Those that a function gives back as they were: rbx, rbp, r12 to r15.
const KEPT: [usize; 6] = [3, 5, 12, 13, 14, 15];

/// Those of arguments, in order: rdi, rsi, rdx, rcx, r8, r9.
const ARGUMENTS: [usize; 6] = [7, 6, 2, 1, 8, 9];

/// Vector registers; the place behind them is read by nobody.
pub(super) const VECTORS: usize = 32;

/// What stands in a kept register at the start.
const KEPT_VALUE: u64 = 0x5eed_0000_0000_0000;

/// MXCSR at the start of a C program.
const DEFAULT_CONTROL: u64 = 0x1f80;

/// How the processor rounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Control {
    /// As the caller had it.
    Callers,
    /// As a C program starts.
    Default,
}

/// The flags that conditions ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Flags {
    zero: bool,
    sign: bool,
    carry: bool,
    overflow: bool,
}

/// A function that has been called and hasn't returned.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    /// The function and the registers at its first instruction, but for the return address on the stack.
    pub(super) called: (u64, [Option<u64>; GENERAL]),
    /// Whether it has called nobody so far.
    pub(super) is_leaf: bool,
}

/// Everything that is known; `None` is a value that isn't.
#[derive(Clone, Debug)]
pub(in crate::inspect) struct State {
    pub(super) ip: u64,
    pub(super) general: [Option<u64>; GENERAL],
    flags: Option<Flags>,
    /// In words of four bytes.
    stack: Vec<Option<u32>>,
    /// Vectors whose bytes are all zeros or ones each: a bit a byte, of the lower 32.
    pub(super) masks: [Option<u32>; VECTORS + 1],
    /// Mask registers.
    pub(super) op_mask: [Option<u64>; 8],
    pub(super) calls: Vec<Call>,
    control: Control,
    /// Where on the stack the caller's is kept.
    kept_control: Option<u64>,
    /// The stack pointer with which the entry point must return.
    start: u64,
}

impl State {
    /// At the first instruction of a function that has been called with those arguments.
    pub(super) fn new(function: u64, arguments: &[u64]) -> State {
        // As the convention has it: a multiple of 16 before the call.
        let top = STACK_TOP - 4096 - 8;
        let mut state = State {
            ip: function,
            general: [None; GENERAL],
            flags: None,
            stack: vec![None; STACK_BYTES as usize / 4],
            masks: [None; VECTORS + 1],
            op_mask: [None; 8],
            calls: Vec::new(),
            control: Control::Callers,
            kept_control: None,
            start: top + 8,
        };
        state.general[RSP] = Some(top);
        KEPT.iter().for_each(|register| state.general[*register] = Some(KEPT_VALUE + *register as u64));
        for (register, argument) in ARGUMENTS.iter().zip(arguments) {
            state.general[*register] = Some(*argument);
        }
        state.store(top, Width::W64, Some(RETURN_TO));
        state
    }

    /// Turns the state at the pool's call into that of a task on the same stack, as if the pool itself took none of it.
    pub(super) fn begin_task(&mut self, task: u64, arguments: [Option<u64>; 2]) {
        let top = self.general[RSP].map(|top| top.wrapping_sub(8));
        let stack = std::mem::take(&mut self.stack);
        let mut state = State::new(task, &[]);
        state.stack = stack;
        state.general[RSP] = top;
        state.start = top.unwrap_or(0);
        (state.general[ARGUMENTS[0]], state.general[ARGUMENTS[1]]) = (arguments[0], arguments[1]);
        *self = state;
    }

    /// How deep below the caller's stack pointer an address is.
    pub(in crate::inspect) fn depth(lowest: u64) -> u64 {
        (STACK_TOP - 4096).saturating_sub(lowest)
    }

    /// What the caller gets back.
    pub(super) fn check_return(&self) -> Result<(), String> {
        self.check_control("returns")?;
        if self.general[RSP] != Some(self.start) {
            return Err("returns with another stack pointer than it was called with".to_owned());
        }
        for register in KEPT {
            if self.general[register] != Some(KEPT_VALUE + register as u64) {
                return Err(format!("returns without the caller's register {register}"));
            }
        }
        Ok(())
    }

    /// The caller's code runs with the caller's rounding, flushing and exceptions.
    pub(super) fn check_control(&self, what: &str) -> Result<(), String> {
        match self.control {
            Control::Callers => Ok(()),
            Control::Default => Err(format!("{what} with another MXCSR than the caller's")),
        }
    }

    /// MXCSR is written to memory. Only the caller's is remembered, for flags of exceptions come and go.
    pub(super) fn save_control(&mut self, address: u64) {
        self.forget(address, Width::W32.bytes());
        self.keep_call();
        if self.control == Control::Callers && State::words(address, Width::W32.bytes()).is_some() {
            self.kept_control = Some(address);
        }
    }

    /// MXCSR is read from memory: the caller's from where it is kept, or the default.
    pub(super) fn load_control(&mut self, address: u64) -> Result<(), String> {
        self.keep_call();
        self.control = match self.load(address, Width::W32).flatten() {
            _ if self.kept_control == Some(address) => Control::Callers,
            Some(DEFAULT_CONTROL) => Control::Default,
            _ => return Err("changes MXCSR to neither the default nor the caller's".to_owned()),
        };
        Ok(())
    }

    /// A call that changes or keeps MXCSR isn't one that can be left out, nor are those around it.
    fn keep_call(&mut self) {
        self.calls.iter_mut().for_each(|call| call.is_leaf = false);
    }

    /// Whether a function that returns now has kept what a function keeps.
    pub(super) fn gives_back(&self, call: &Call) -> bool {
        let before = &call.called.1;
        KEPT.iter().all(|register| self.general[*register] == before[*register])
            && self.general[RSP] == before[RSP]
    }

    /// A function that writes into its caller's part of the stack isn't one whose calls can be left out.
    pub(super) fn note_write(&mut self, address: u64) {
        if let Some(call) = self.calls.last_mut()
            && call.called.1[RSP].is_some_and(|top| (top..STACK_TOP).contains(&address))
        {
            call.is_leaf = false;
        }
    }

    /// After a call: what the convention lets a function spoil isn't known.
    pub(super) fn clobber(&mut self) {
        for register in (0..GENERAL).filter(|register| !KEPT.contains(register) && *register != RSP) {
            self.general[register] = None;
        }
        self.flags = None;
        self.masks = [None; VECTORS + 1];
        self.op_mask = [None; 8];
    }

    pub(super) fn address(&self, memory: &Memory) -> Option<u64> {
        let mut address = memory.displacement;
        if let Some(base) = memory.base {
            address = address.wrapping_add(self.general[base]?);
        }
        if let Some((index, scale)) = memory.index {
            address = address.wrapping_add(self.general[index]?.wrapping_mul(scale));
        }
        Some(address)
    }

    pub(super) fn set(&mut self, register: usize, width: Width, value: Option<u64>) {
        self.general[register] = match width {
            Width::W64 => value,
            Width::W32 => value.map(|value| value & 0xffff_ffff),
            Width::Narrow => None,
        };
    }

    pub(super) fn pop(&mut self) -> Option<u64> {
        let top = self.general[RSP]?;
        self.general[RSP] = Some(top.wrapping_add(8));
        self.load(top, Width::W64)?
    }

    /// The stack's words at an address; `None` if it isn't there or crosses words.
    fn words(address: u64, bytes: u64) -> Option<std::ops::Range<usize>> {
        let offset = address
            .checked_sub(STACK_TOP - STACK_BYTES)
            .filter(|offset| *offset <= STACK_BYTES && bytes <= STACK_BYTES - *offset)?;
        Some(offset as usize / 4..((offset + bytes) as usize).div_ceil(4))
    }

    /// What lies on the stack, known or not; `None` if the address isn't there.
    pub(super) fn load(&self, address: u64, width: Width) -> Option<Option<u64>> {
        let words = State::words(address, width.bytes())?;
        let value = match (width, &self.stack[words]) {
            (Width::W64, [Some(low), Some(high)]) if address.is_multiple_of(4) => {
                Some(u64::from(*low) | u64::from(*high) << 32)
            }
            (Width::W32, [Some(word)]) if address.is_multiple_of(4) => Some(u64::from(*word)),
            _ => None,
        };
        Some(value)
    }

    pub(super) fn store(&mut self, address: u64, width: Width, value: Option<u64>) {
        self.forget_control(address, width.bytes());
        let Some(words) = State::words(address, width.bytes()) else { return };
        let is_aligned = address.is_multiple_of(4);
        let value = value.filter(|_| is_aligned);
        match (width, &mut self.stack[words]) {
            (Width::W64, [low, high]) => {
                *low = value.map(|value| value as u32);
                *high = value.map(|value| (value >> 32) as u32);
            }
            (Width::W32, [word]) => *word = value.map(|value| value as u32),
            (_, words) => words.fill(None),
        }
    }

    /// Whatever lies there was overwritten with something unknown.
    pub(super) fn forget(&mut self, address: u64, bytes: u64) {
        self.forget_control(address, bytes);
        if let Some(words) = State::words(address, bytes) {
            self.stack[words].fill(None);
        }
    }

    /// What overwrites a part of the caller's MXCSR overwrites it.
    fn forget_control(&mut self, address: u64, bytes: u64) {
        let overlaps = |kept: &u64| address < kept + 4 && *kept < address.saturating_add(bytes);
        if self.kept_control.as_ref().is_some_and(overlaps) {
            self.kept_control = None;
        }
    }

    pub(super) fn condition(&self, condition: ConditionCode) -> Option<bool> {
        let Flags { zero, sign, carry, overflow } = self.flags?;
        Some(match condition {
            ConditionCode::o => overflow,
            ConditionCode::no => !overflow,
            ConditionCode::b => carry,
            ConditionCode::ae => !carry,
            ConditionCode::e => zero,
            ConditionCode::ne => !zero,
            ConditionCode::be => carry || zero,
            ConditionCode::a => !carry && !zero,
            ConditionCode::s => sign,
            ConditionCode::ns => !sign,
            ConditionCode::l => sign != overflow,
            ConditionCode::ge => sign == overflow,
            ConditionCode::le => zero || sign != overflow,
            ConditionCode::g => !zero && sign == overflow,
            ConditionCode::p | ConditionCode::np | ConditionCode::None => return None,
        })
    }

    /// An instruction over registers, flags or masks; `loaded` is address, width and value of its memory operand.
    pub(super) fn arithmetic(&mut self, a: &Arithmetic, loaded: Option<(u64, Width, Option<u64>)>) {
        let value = |state: &State, operand: Operand| match operand {
            Operand::Memory => loaded.and_then(|(_, _, value)| value),
            other => other.value(state),
        };
        let bits = if a.width == Width::W32 { 32 } else { 64 };
        let cut = |value: u64| if bits == 32 { value & 0xffff_ffff } else { value };
        let (left, right) = (value(self, a.to).map(cut), value(self, a.from).map(cut));
        let both = left.zip(right);
        let same = a.to == a.from && a.to != Operand::Memory;
        let result = match a.operation {
            Operation::Move => right,
            Operation::MoveIf(condition) => match self.condition(condition) {
                Some(true) => right,
                Some(false) => left,
                None => None,
            },
            Operation::Extend32 => right.map(|value| value as u32 as i32 as u64),
            Operation::Add | Operation::Increment => both.map(|(x, y)| x.wrapping_add(y)),
            Operation::Sub | Operation::Xor if same => Some(0),
            Operation::Sub | Operation::Compare | Operation::Decrement => {
                both.map(|(x, y)| x.wrapping_sub(y))
            }
            Operation::And | Operation::Test => both.map(|(x, y)| x & y),
            Operation::Or => both.map(|(x, y)| x | y),
            Operation::Xor => both.map(|(x, y)| x ^ y),
            Operation::ShiftLeft => both.map(|(x, y)| x << (y & (bits - 1))),
            Operation::Multiply => both.map(|(x, y)| x.wrapping_mul(y)),
            Operation::MultiplyBy(factor) => right.map(|value| value.wrapping_mul(factor)),
            Operation::Unknown => None,
            Operation::MaskOnes(to) => return self.masks[to] = Some(0xffff),
            Operation::MaskShift(to, from, bytes) => {
                let shifted = |mask: u32| (mask & 0xffff).checked_shr(bytes).unwrap_or(0);
                return self.masks[to] = self.masks[from].map(shifted);
            }
            Operation::MaskInsert(to, low, high) => {
                let joined = self.masks[low].zip(self.masks[high]);
                return self.masks[to] = joined.map(|(low, high)| low & 0xffff | high << 16);
            }
            Operation::MaskMove(to) => return self.op_mask[to] = right,
        };
        let result = result.map(cut).filter(|_| a.width != Width::Narrow);
        if a.writes_flags {
            self.set_flags(a.operation, (both.or(same.then_some((0, 0))), result), bits);
        }
        match (a.operation, a.to) {
            (Operation::Compare | Operation::Test, _) => {}
            (Operation::Unknown, _) => {
                for register in (0..GENERAL).filter(|register| a.written >> register & 1 != 0) {
                    self.general[register] = None;
                }
            }
            (_, Operand::General(to)) => self.set(to, a.width, result),
            (_, Operand::Memory) => {
                if let Some((address, width, _)) = loaded {
                    self.store(address, width, result);
                }
            }
            _ => {
                for register in (0..GENERAL).filter(|register| a.written >> register & 1 != 0) {
                    self.general[register] = None;
                }
            }
        }
    }

    fn set_flags(
        &mut self,
        operation: Operation,
        (both, result): (Option<(u64, u64)>, Option<u64>),
        bits: u64,
    ) {
        let (Some((x, y)), Some(result)) = (both, result) else {
            self.flags = None;
            return;
        };
        let sign = |value: u64| value >> (bits - 1) & 1 != 0;
        let before = self.flags;
        let (carry, overflow) = match operation {
            Operation::Add => (result < x, sign(x) == sign(y) && sign(result) != sign(x)),
            Operation::Sub | Operation::Compare => (x < y, sign(x) != sign(y) && sign(result) != sign(x)),
            Operation::And | Operation::Or | Operation::Xor | Operation::Test => (false, false),
            // These leave the carry as it was; if it isn't known, nobody here asks for it.
            Operation::Increment => (before.is_some_and(|flags| flags.carry), sign(result) && !sign(x)),
            Operation::Decrement => (before.is_some_and(|flags| flags.carry), !sign(result) && sign(x)),
            _ => {
                self.flags = None;
                return;
            }
        };
        self.flags = Some(Flags { zero: result == 0, sign: sign(result), carry, overflow });
    }
}
