//! What the walk knows at one moment: registers, flags, stack, masks, how the processor rounds.

use iced_x86::ConditionCode;

use super::decode::{Mask, Memory};
use super::layout::Track;
use super::value::{Flags, Origin, Value, cut};

/// General registers, in the order of their numbers: rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8 to r15.
pub(in crate::inspect) const GENERAL: usize = 16;
pub(super) const RSP: usize = 4;
/// Those that a function gives back as they were: rbx, rbp, r12 to r15.
const KEPT: [usize; 6] = [3, 5, 12, 13, 14, 15];
/// Those of arguments, in order: rdi, rsi, rdx, rcx, r8, r9.
pub(super) const ARGUMENTS: [usize; 6] = [7, 6, 2, 1, 8, 9];
/// Those that a caller hands over nothing in: rax, r10, r11.
const IDLE: [usize; 3] = [0, 10, 11];
/// Vector registers.
pub(super) const VECTORS: usize = 32;

/// Bytes of stack that a walk has: more than any entry point takes, far less than any stack has.
pub(super) const STACK_BYTES: u64 = 32 << 10;
/// What lies there already, the caller's.
const CALLERS_BYTES: u64 = 4096;
/// Below the stack pointer so much is a function's own.
pub(super) const RED_ZONE: u64 = 128;
/// Functions that have been called and haven't returned.
const MOST_CALLS: usize = 32;

/// How the processor rounds, flushes and reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Control {
    /// As the caller had it.
    Callers,
    /// As a C program starts.
    Default,
}

/// MXCSR at the start of a C program.
const DEFAULT_CONTROL: u64 = 0x1f80;

/// What decides how a function goes: where it is, and all that it can read of its caller's registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Called {
    pub(super) target: u64,
    pub(super) general: [Value; GENERAL],
    pub(super) control: Control,
}

/// A function that has been called and hasn't returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) called: Called,
    /// Where on the stack its return address lies.
    pub(super) slot: u64,
    back: Value,
    /// Whether it has called nobody, looked at nothing but its arguments and buffers, and written into buffers only.
    pub(super) is_leaf: bool,
    /// Whether a jump in it was taken both ways.
    pub(super) has_ways: bool,
}

/// Four bytes on the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    Unknown,
    Number(u32),
    /// The lower half of a value.
    Low(Value),
    High(Value),
}

/// Where the walk goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// So many bytes into the part of the image that holds code.
    Code(u64),
    /// Back at the caller.
    Caller,
}

/// Everything that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::inspect) struct State {
    pub(super) ip: Place,
    pub(super) general: [Value; GENERAL],
    pub(super) flags: Flags,
    stack: Vec<Word>,
    /// The lowest word that may be known.
    lowest_word: usize,
    /// Vectors whose bytes are all zeros or ones each: a bit a byte, of the lower 32.
    pub(super) masks: [Option<u32>; VECTORS],
    /// Mask registers.
    pub(super) op_mask: [Option<u64>; 8],
    pub(super) calls: Vec<Call>,
    pub(super) control: Control,
    /// The three words by which a workspace is bound to weights, where there are such, and whether they were written.
    pub(super) binding: [Value; 3],
    pub(super) is_bound_anew: bool,
    /// Where the caller's return address lies.
    start: u64,
    /// Where the stack ends that may be read: a task's arguments lie in its caller's.
    pub(super) readable: u64,
    /// What has become of the values of the workspace.
    pub(super) track: Track,
}

impl State {
    /// At the first instruction of a function that has been called with those arguments.
    pub(in crate::inspect) fn new(function: u64, arguments: &[Value]) -> State {
        // As the convention has it: a multiple of 16 before the call.
        let start = STACK_BYTES - CALLERS_BYTES - 8;
        let mut state = State {
            ip: Place::Code(function),
            general: [Value::UNKNOWN; GENERAL],
            flags: Flags::default(),
            stack: vec![Word::Unknown; STACK_BYTES as usize / 4],
            lowest_word: STACK_BYTES as usize / 4,
            masks: [None; VECTORS],
            op_mask: [None; 8],
            calls: Vec::new(),
            control: Control::Callers,
            binding: [Value::UNKNOWN; 3],
            is_bound_anew: false,
            start,
            readable: start + 8,
            track: Track::default(),
        };
        state.set_arguments(start, arguments);
        state
    }

    /// Puts in what a probe wants to be known.
    pub(in crate::inspect) fn prepare(
        &mut self,
        general: [Value; GENERAL],
        top: u64,
        stack: &[Value],
        lowest: u64,
    ) {
        self.general = general;
        self.general[RSP] = Value::at(Origin::STACK, top);
        for (idx, word) in stack.iter().enumerate() {
            self.store(lowest + idx as u64 * 4, 4, *word);
        }
    }

    /// Replaces what is known beside registers and stack.
    pub(in crate::inspect) fn set_masks(
        &mut self,
        masks: [Option<u32>; VECTORS],
        op_masks: [Option<u64>; 8],
    ) {
        (self.masks, self.op_mask) = (masks, op_masks);
    }

    /// Zero, sign, carry, overflow, parity.
    pub(in crate::inspect) fn set_flags(&mut self, flags: [Option<bool>; 5]) {
        let [zero, sign, carry, overflow, parity] = flags;
        self.flags = Flags { zero, sign, carry, overflow, parity };
    }

    /// What [`State::set_flags`] sets.
    pub(in crate::inspect) fn all_flags(&self) -> [Option<bool>; 5] {
        let Flags { zero, sign, carry, overflow, parity } = self.flags;
        [zero, sign, carry, overflow, parity]
    }

    /// All general registers, and which of them is the stack pointer.
    pub(in crate::inspect) fn registers(&self) -> ([Value; GENERAL], usize) {
        (self.general, RSP)
    }

    /// What [`State::set_masks`] sets.
    pub(in crate::inspect) fn all_masks(&self) -> ([Option<u32>; VECTORS], [Option<u64>; 8]) {
        (self.masks, self.op_mask)
    }

    /// Four bytes of the stack.
    pub(in crate::inspect) fn word(&self, offset: u64) -> Value {
        self.load(offset, 4)
    }

    fn set_arguments(&mut self, start: u64, arguments: &[Value]) {
        self.general = [Value::UNKNOWN; GENERAL];
        self.general[RSP] = Value::at(Origin::STACK, start);
        KEPT.iter().for_each(|register| self.general[*register] = Value::at(Origin::kept(*register), 0));
        for (register, argument) in ARGUMENTS.iter().zip(arguments) {
            self.general[*register] = *argument;
        }
        self.store(start, 8, Value::at(Origin::CALLER, 0));
        self.start = start;
        self.forget_the_rest();
    }

    /// Turns the state at the pool's call into that of a task on the same stack, as if the pool itself took none of it.
    pub(super) fn begin_task(&mut self, task: u64, arguments: [Value; 2]) -> Result<(), String> {
        let top = self.stack_pointer()?;
        // A multiple of 16 before the call, as the convention has it.
        let start = (top / 16 * 16).checked_sub(8).ok_or("the stack ends")?;
        self.forget_below(top);
        self.calls.clear();
        self.ip = Place::Code(task);
        self.control = Control::Callers;
        self.set_arguments(start, &arguments);
        Ok(())
    }

    /// Where the stack ends that may be written.
    pub(super) fn writable(&self) -> u64 {
        self.start
    }

    /// How deep below the caller's stack pointer a place on the stack is.
    pub(in crate::inspect) fn depth(lowest: u64) -> u64 {
        (STACK_BYTES - CALLERS_BYTES).saturating_sub(lowest)
    }

    pub(super) fn stack_pointer(&self) -> Result<u64, String> {
        let top = self.general[RSP];
        if top.origin == Origin::STACK && top.rows == 0 && top.offset <= STACK_BYTES {
            Ok(top.offset)
        } else {
            Err("a stack pointer that isn't known".to_owned())
        }
    }

    /// What the caller gets back.
    pub(super) fn check_return(&self) -> Result<(), String> {
        if self.general[RSP] != Value::at(Origin::STACK, self.start + 8) {
            return Err("returns with another stack pointer than it was called with".to_owned());
        }
        for register in KEPT {
            if self.general[register] != Value::at(Origin::kept(register), 0) {
                return Err(format!("returns without the caller's register {register}"));
            }
        }
        self.check_control("returns")
    }

    /// The caller's code runs with the caller's rounding, flushing and exceptions.
    pub(super) fn check_control(&self, what: &str) -> Result<(), String> {
        match self.control {
            Control::Callers => Ok(()),
            Control::Default => Err(format!("{what} with another MXCSR than the caller's")),
        }
    }

    /// What MXCSR would be written as: flags of exceptions come and go, so of the default nothing is remembered.
    pub(super) fn control_value(&self) -> Value {
        match self.control {
            Control::Callers => Value::at(Origin::CONTROL, 0),
            Control::Default => Value::UNKNOWN,
        }
    }

    pub(super) fn set_control(&mut self, value: Value) -> Result<(), String> {
        self.control = match value.known() {
            Some(DEFAULT_CONTROL) => Control::Default,
            None if value == Value::at(Origin::CONTROL, 0) => Control::Callers,
            _ => return Err("MXCSR becomes neither the default nor the caller's".to_owned()),
        };
        Ok(())
    }

    /// Goes into a function: what its caller doesn't hand over isn't known there.
    pub(super) fn enter(&mut self, target: u64) -> Called {
        IDLE.iter().for_each(|register| self.general[*register] = Value::UNKNOWN);
        self.forget_the_rest();
        Called { target, general: self.general, control: self.control }
    }

    pub(super) fn push_call(&mut self, called: Called, back: Value) -> Result<(), String> {
        if let Some(outer) = self.calls.last_mut() {
            outer.is_leaf = false;
        }
        if MOST_CALLS <= self.calls.len() {
            return Err(format!("more than {MOST_CALLS} calls inside of each other"));
        }
        let slot = self.stack_pointer()?;
        self.calls.push(Call { called, slot, back, is_leaf: true, has_ways: false });
        Ok(())
    }

    /// Takes the return address, which must be that of the call, where the call has put it.
    pub(super) fn pop_call(&mut self) -> Result<Option<Call>, String> {
        let top = self.stack_pointer()?;
        let call = self.calls.pop();
        let (slot, back) =
            call.as_ref().map_or((self.start, Value::at(Origin::CALLER, 0)), |call| (call.slot, call.back));
        if top != slot || self.load(top, 8) != back {
            return Err("returns to another place than it was called from".to_owned());
        }
        self.general[RSP] = Value::at(Origin::STACK, top + 8);
        self.forget_below(top + 8);
        self.ip = if call.is_some() { Place::Code(back.offset) } else { Place::Caller };
        Ok(call)
    }

    /// Whether a function that returns now has kept what a function keeps.
    pub(super) fn gives_back(&self, call: &Call) -> bool {
        let before = &call.called.general;
        KEPT.iter().all(|register| self.general[*register] == before[*register])
            && self.general[RSP] == Value::at(Origin::STACK, call.slot + 8)
            && self.control == call.called.control
    }

    /// Calls of the functions that run now can't be left out another time.
    pub(super) fn mark_calls(&mut self) {
        self.calls.iter_mut().for_each(|call| call.is_leaf = false);
    }

    /// A jump is taken both ways: none of the functions that run now is done when one of them has ended.
    pub(super) fn mark_ways(&mut self) {
        self.mark_calls();
        self.calls.iter_mut().for_each(|call| call.has_ways = true);
    }

    /// After a call: what the convention lets a function spoil isn't known.
    pub(super) fn clobber(&mut self) {
        for register in (0..GENERAL).filter(|register| !KEPT.contains(register) && *register != RSP) {
            self.general[register] = Value::UNKNOWN;
        }
        self.forget_the_rest();
    }

    fn forget_the_rest(&mut self) {
        self.flags = Flags::default();
        self.masks = [None; VECTORS];
        self.op_mask = [None; 8];
    }

    pub(super) fn address(&self, memory: &Memory) -> Value {
        let mut address = memory.start;
        if let Some(base) = memory.base {
            address = address.add(self.general[usize::from(base)]);
        }
        if let Some((index, scale)) = memory.index {
            address = address.add(self.general[usize::from(index)].mul(Value::number(u64::from(scale))));
        }
        address
    }

    /// The first byte behind the address that is touched, and how many.
    pub(super) fn touched(&self, memory: &Memory) -> Result<(u64, u64), String> {
        let size = u64::from(memory.element_bytes);
        let n_elements = u64::from(memory.bytes) / size.max(1);
        let elements = match memory.mask {
            Mask::All => return Ok((0, u64::from(memory.bytes))),
            Mask::Register(register) => {
                self.op_mask[usize::from(register)].map(|bits| bits & ((1 << n_elements) - 1))
            }
            // The sign of each element: the upper bit of its last byte.
            Mask::Vector(vector) => self.masks[usize::from(vector)].map(|bytes| {
                (0..n_elements)
                    .filter(|element| bytes >> (element * size + size - 1) & 1 != 0)
                    .fold(0, |bits, element| bits | 1 << element)
            }),
        };
        let elements: u64 = elements.ok_or("a partial access whose mask isn't known")?;
        if elements == 0 {
            return Ok((0, 0));
        }
        let (first, last) = (u64::from(elements.trailing_zeros()), 63 - u64::from(elements.leading_zeros()));
        Ok((first * size, (last - first + 1) * size))
    }

    /// The lower bits of a register become a value; of 32 bits, the upper ones zero.
    pub(super) fn set(&mut self, register: usize, bits: u32, value: Value) {
        self.general[register] = match bits {
            64 | 32 => value.cut(bits),
            _ => {
                let upper = |old: u64| old & !cut(u64::MAX, bits);
                self.general[register].both(value.cut(bits), |old, new| upper(old) | new)
            }
        };
    }

    /// The words at a place of the stack, which has been found to be there.
    fn words(offset: u64, bytes: u64) -> std::ops::Range<usize> {
        let end = offset.saturating_add(bytes).min(STACK_BYTES);
        (offset.min(end) / 4) as usize..end.div_ceil(4) as usize
    }

    /// What lies on the stack, in the lower bits.
    pub(super) fn load(&self, offset: u64, bytes: u64) -> Value {
        let is_aligned = offset.is_multiple_of(4);
        let control = Value::at(Origin::CONTROL, 0);
        match (bytes, &self.stack[State::words(offset, bytes)]) {
            (8, [Word::Number(low), Word::Number(high)]) if is_aligned => {
                Value::number(u64::from(*low) | u64::from(*high) << 32)
            }
            (8, [Word::Low(low), Word::High(high)]) if is_aligned && low == high => *low,
            (8, [Word::Low(low), Word::Number(0)]) if is_aligned && *low == control => *low,
            (4, [Word::Low(low)]) if is_aligned && *low == control => *low,
            (1 | 2 | 4, [Word::Number(word)]) => {
                Value::number(cut(u64::from(*word) >> (offset % 4 * 8), bytes as u32 * 8))
            }
            _ => Value::UNKNOWN,
        }
    }

    /// Puts a value there; one of a part of a word isn't remembered.
    pub(super) fn store(&mut self, offset: u64, bytes: u64, value: Value) {
        let words = State::words(offset, bytes);
        self.lowest_word = self.lowest_word.min(words.start);
        let is_aligned = offset.is_multiple_of(4);
        match (bytes, &mut self.stack[words]) {
            (8, [low, high]) if is_aligned => {
                (*low, *high) = match value.known() {
                    _ if value.is_unknown() => (Word::Unknown, Word::Unknown),
                    Some(number) => (Word::Number(number as u32), Word::Number((number >> 32) as u32)),
                    None => (Word::Low(value), Word::High(value)),
                };
            }
            (4, [word]) if is_aligned => {
                let value = value.cut(32);
                *word = match value.known() {
                    Some(number) => Word::Number(number as u32),
                    None if value.is_unknown() => Word::Unknown,
                    None => Word::Low(value),
                };
            }
            (_, words) => words.fill(Word::Unknown),
        }
    }

    /// What lies below the stack pointer is anybody's, a signal's too.
    pub(super) fn forget_below(&mut self, top: u64) {
        let top = (top / 4) as usize;
        if self.lowest_word < top {
            self.stack[self.lowest_word..top].fill(Word::Unknown);
            self.lowest_word = top;
        }
    }

    pub(super) fn condition(&self, condition: ConditionCode) -> Option<bool> {
        let Flags { zero, sign, carry, overflow, parity } = self.flags;
        let not = |flag: Option<bool>| flag.map(|flag| !flag);
        let or = |one: Option<bool>, other: Option<bool>| match (one, other) {
            (Some(true), _) | (_, Some(true)) => Some(true),
            (Some(false), Some(false)) => Some(false),
            _ => None,
        };
        let less = sign.zip(overflow).map(|(sign, overflow)| sign != overflow);
        match condition {
            ConditionCode::o => overflow,
            ConditionCode::no => not(overflow),
            ConditionCode::b => carry,
            ConditionCode::ae => not(carry),
            ConditionCode::e => zero,
            ConditionCode::ne => not(zero),
            ConditionCode::be => or(carry, zero),
            ConditionCode::a => not(or(carry, zero)),
            ConditionCode::s => sign,
            ConditionCode::ns => not(sign),
            ConditionCode::p => parity,
            ConditionCode::np => not(parity),
            ConditionCode::l => less,
            ConditionCode::ge => not(less),
            ConditionCode::le => or(zero, less),
            ConditionCode::g => not(or(zero, less)),
            ConditionCode::None => None,
        }
    }
}
