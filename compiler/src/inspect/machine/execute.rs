//! What instructions do to registers and flags.

use super::Machine;
use super::decode::{Operand, Step};
use super::instructions::Form;
use super::state::State;
use super::value::{Flags, Origin, Value, cut, subtract, sum};

impl Machine<'_> {
    /// The value of an operand, cut to its width. `address` is that of the memory operand.
    pub(super) fn operand(&self, state: &mut State, operand: Operand, bits: u32, address: Value) -> Value {
        match operand {
            Operand::General(register) => state.general[usize::from(register)].cut(bits),
            Operand::Immediate(number) => Value::number(number).cut(bits),
            Operand::Memory => self.load(state, address, u64::from(bits) / 8),
            Operand::Vector(_) | Operand::Mask(_) | Operand::Nothing => Value::UNKNOWN,
        }
    }

    /// An instruction over general registers and flags.
    pub(super) fn arithmetic(&self, state: &mut State, step: &Step, address: Value) {
        let bits = u32::from(step.bits);
        let left = self.operand(state, step.to, bits, address);
        let from_bits = match step.from {
            Operand::Immediate(_) | Operand::Nothing => bits,
            _ => u32::from(step.from_bits),
        };
        let right = self.operand(state, step.from, from_bits, address);
        // A pointer that was put aside comes back in two registers as well as in one.
        let is_same = (step.to == step.from && matches!(step.to, Operand::General(_)))
            || (bits == 64 && !left.is_unknown() && left == right);
        let both = |left: Value, right: Value| left.known().zip(right.known());
        let result = match step.form {
            Form::Move | Form::ZeroExtend => right,
            Form::SignExtend => right.both(right, |number, _| {
                let unused = 64 - from_bits;
                ((number << unused) as i64 >> unused) as u64
            }),
            Form::MoveIf => match state.condition(step.condition) {
                Some(true) => right,
                Some(false) => left,
                None if left == right => left,
                None => Value::UNKNOWN,
            },
            Form::SetIf => state
                .condition(step.condition)
                .map_or(Value::UNKNOWN, |holds| Value::number(u64::from(holds))),
            Form::Add => left.add(right),
            Form::Increment => left.add(Value::number(1)),
            Form::Subtract | Form::Xor if is_same => Value::number(0),
            Form::Subtract | Form::Compare => left.sub(right),
            Form::Decrement => left.sub(Value::number(1)),
            Form::Negate => Value::number(0).sub(left),
            Form::Not => left.both(left, |number, _| !number),
            Form::And | Form::Test | Form::Or if is_same => left,
            // Of a pointer the lower bits may be known where the upper ones aren't.
            Form::And | Form::Test => match step.to {
                Operand::General(register) => state.general[usize::from(register)].and(right),
                _ => left.and(right),
            },
            Form::Or => left.both(right, |left, right| left | right),
            Form::Xor => self.xor(left, right),
            Form::ShiftLeft => match right.known().map(|right| right & u64::from(bits - 1)) {
                Some(distance) => left.mul(Value::number(1 << distance)),
                None => Value::UNKNOWN,
            },
            Form::ShiftRight => left.both(right, |left, right| left >> (right & u64::from(bits - 1))),
            Form::ShiftArithmetic => left.both(right, |left, right| {
                let unused = 64 - bits;
                ((left << unused) as i64 >> unused >> (right & u64::from(bits - 1))) as u64
            }),
            Form::RotateRight => match step.third {
                Operand::Immediate(distance) => right.both(right, |number, _| rotate(number, distance, bits)),
                _ => Value::UNKNOWN,
            },
            Form::Multiply => left.mul(right),
            Form::MultiplyBy => match step.third {
                Operand::Immediate(factor) => right.mul(Value::number(factor)),
                _ => Value::UNKNOWN,
            },
            _ => Value::UNKNOWN,
        };
        let result = result.cut(bits);
        let before = state.flags;
        state.flags = match step.form {
            Form::Move
            | Form::ZeroExtend
            | Form::SignExtend
            | Form::MoveIf
            | Form::SetIf
            | Form::Not
            | Form::RotateRight => before,
            Form::Add => both(left, right).map_or(Flags::default(), |(left, right)| sum(left, right, bits)),
            Form::Subtract | Form::Compare if is_same => subtract(0, 0, bits),
            Form::Subtract | Form::Compare if bits == 64 => left.compare(right, self.stride),
            Form::Subtract | Form::Compare => {
                both(left, right).map_or(Flags::default(), |(left, right)| subtract(left, right, bits))
            }
            Form::Increment | Form::Decrement => {
                let flags = left.known().map_or(Flags::default(), |left| match step.form {
                    Form::Increment => sum(left, 1, bits),
                    _ => subtract(left, 1, bits),
                });
                // These leave the carry as it was.
                Flags { carry: before.carry, ..flags }
            }
            Form::Negate => left.known().map_or(Flags::default(), |left| subtract(0, left, bits)),
            Form::And | Form::Test | Form::Or | Form::Xor => {
                let flags = match result.known() {
                    Some(result) => Flags::of(result, bits),
                    None if is_same && bits == 64 => result.compare(Value::number(0), self.stride),
                    None => Flags::default(),
                };
                Flags { carry: Some(false), overflow: Some(false), ..flags }
            }
            _ => Flags::default(),
        };
        match (step.form, step.to) {
            (Form::Compare | Form::Test, _) => {}
            (_, Operand::General(register)) => state.set(usize::from(register), bits, result),
            (_, Operand::Memory) => self.store(state, address, u64::from(bits) / 8, result),
            _ => {}
        }
    }

    /// The first word of a binding is a known one over the address of the weights.
    fn xor(&self, left: Value, right: Value) -> Value {
        let bound = Value::at(Origin::BOUND, 0);
        if let Some(binding) = &self.binding {
            let key = Value::number(binding.mark[0]);
            for (one, other) in [(left, right), (right, left)] {
                if other == binding.pointer && one == bound {
                    return key;
                }
                if other == binding.pointer && one == Value::at(Origin::NOT_BOUND, 0) {
                    return Value::number(binding.mark[0] ^ 1);
                }
                if other == binding.pointer && one == key {
                    return bound;
                }
            }
        }
        left.both(right, |left, right| left ^ right)
    }
}

fn rotate(number: u64, distance: u64, bits: u32) -> u64 {
    if bits == 64 {
        number.rotate_right(distance as u32 & 63)
    } else {
        u64::from((cut(number, 32) as u32).rotate_right(distance as u32 & 31))
    }
}
