//! One instruction at a time: what the walk claims of it, so that tests can ask a processor whether that is so.

use super::image::Image;
use super::machine::{Machine, Origin, Terms, Value};

/// General registers, in the order of their numbers.
pub const GENERAL: usize = 16;
/// Bytes of stack on either side of the stack pointer that are told.
pub const STACK_BYTES: usize = 128;

/// What there is before, or what is claimed of it afterwards; `None` is no claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Knowledge {
    /// General registers. That of the stack pointer counts from where it was at the start.
    pub general: [Option<u64>; GENERAL],
    /// Zero, sign, carry, overflow, parity.
    pub flags: [Option<bool>; 5],
    /// Words of four bytes, from [`STACK_BYTES`] below the stack pointer up.
    pub stack: [Option<u32>; STACK_BYTES / 2],
    /// Vectors of 32 bytes that are all zeros or ones: a bit a byte.
    pub masks: [Option<u32>; 32],
    /// Mask registers.
    pub op_masks: [Option<u64>; 8],
    /// The last access of the stack: from where, counted from the stack pointer, how many bytes, and whether it is written.
    pub access: Option<(i64, u64, bool)>,
}

/// Where the probe's stack pointer begins.
const TOP: u64 = 16 << 10;

/// What the walk claims after one instruction.
///
/// # Errors
/// Why the instruction is refused.
pub fn claim(code: &[u8], before: &Knowledge) -> Result<Knowledge, String> {
    let image = Image::of_code(code);
    let terms = Terms::of_code(1);
    let mut machine = Machine::new(&image, &[], &terms);
    let mut state = super::machine::State::new(0, &[]);
    let value = |number: Option<u64>| number.map_or(Value::UNKNOWN, Value::number);
    let general = before.general.map(value);
    let stack = before.stack.map(|word| value(word.map(u64::from)));
    state.prepare(general, TOP, &stack, TOP - STACK_BYTES as u64);
    state.set_flags(before.flags);
    state.set_masks(before.masks, before.op_masks);
    machine.step_once(&mut state)?;
    let top = |value: Value| value.offset.wrapping_sub(TOP);
    let (after, pointer) = state.registers();
    Ok(Knowledge {
        general: std::array::from_fn(|idx| match after[idx] {
            value if idx == pointer => (value.origin == Origin::STACK).then(|| top(value)),
            value => value.known(),
        }),
        flags: state.all_flags(),
        stack: std::array::from_fn(|idx| {
            let word = state.word(TOP - STACK_BYTES as u64 + idx as u64 * 4);
            word.known().map(|word| word as u32)
        }),
        masks: state.all_masks().0,
        op_masks: state.all_masks().1,
        access: machine.last_access().map(|(at, bytes, writes)| (at.wrapping_sub(TOP) as i64, bytes, writes)),
    })
}
