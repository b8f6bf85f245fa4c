//! The entry of a network whose weights lie outside of its object: it binds a workspace to them.
//!
//! What is bound is checked whole: the header word by word, the weights by their checksum. A run then only looks for the mark
//! that this has been done.

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::I64;
use cranelift_codegen::ir::{Function, InstBuilder, Value};
use cranelift_frontend::FunctionBuilder;
use mnc_runtime::abi::Status;

use super::{begin, check_arguments, finish, return_if, return_status};
use crate::emit::clif::{Frontend, memory};
use crate::emit::weights_file::{HEADER_BYTES, MULTIPLIER, ROTATION, SEEDS, WeightsFile};
use crate::plan::WORKSPACE_ALIGN;
use crate::program::State;

/// Whether the workspace holds another mark than [`leave_mark`]'s, for each of the mark's two words.
pub(super) fn marks_differ(
    b: &mut FunctionBuilder<'_>,
    weights: &WeightsFile,
    workspace: Value,
    state_offset: usize,
) -> [Value; 2] {
    let mut load = |place: usize| b.ins().load(I64, memory(), workspace, (state_offset + place) as i32);
    let [low, high, pointer] = [load(State::BOUND), load(State::BOUND + 8), load(State::WEIGHTS)];
    let low = b.ins().bxor(low, pointer);
    [(low, weights.mark()[0]), (high, weights.mark()[1])].map(|(found, word)| {
        let expected = b.ins().iconst(I64, word as i64);
        b.ins().icmp(IntCC::NotEqual, found, expected)
    })
}

/// Marks a workspace as bound to weights at `pointer`. The mark covers the pointer: whoever used the workspace for something
/// else in between meets a status, not a wild address.
fn leave_mark(
    b: &mut FunctionBuilder<'_>,
    weights: &WeightsFile,
    (workspace, pointer): (Value, Value),
    state_offset: usize,
) {
    let [low, high] = weights.mark().map(|word| b.ins().iconst(I64, word as i64));
    let low = b.ins().bxor(low, pointer);
    for (value, place) in [(low, State::BOUND), (high, State::BOUND + 8), (pointer, State::WEIGHTS)] {
        b.ins().store(memory(), value, workspace, (state_offset + place) as i32);
    }
}

/// Fills `func` with `int32_t NAME_bind(void *workspace, const void *weights, size_t weights_bytes)`.
pub(in crate::emit) fn bind(
    frontend: &mut Frontend,
    func: &mut Function,
    weights: &WeightsFile,
    state_offset: usize,
) {
    let (mut b, parameters) = begin(&mut frontend.context, func);
    let [workspace, file, file_bytes] = parameters[..] else {
        unreachable!("the entry takes two pointers and a size");
    };
    check_arguments(&mut b, &[workspace, file], workspace);
    let misaligned = b.ins().band_imm_u(file, WORKSPACE_ALIGN as i64 - 1);
    return_if(&mut b, misaligned, Status::WrongWeights);
    let expected = b.ins().iconst(I64, weights.file_bytes() as i64);
    let is_other = b.ins().icmp(IntCC::NotEqual, file_bytes, expected);
    return_if(&mut b, is_other, Status::WrongWeights);
    for (idx, bytes) in weights.header().as_chunks::<8>().0.iter().enumerate() {
        let found = b.ins().load(I64, memory(), file, idx as i32 * 8);
        let expected = b.ins().iconst(I64, i64::from_le_bytes(*bytes));
        let is_other = b.ins().icmp(IntCC::NotEqual, found, expected);
        return_if(&mut b, is_other, Status::WrongWeights);
    }
    let first = b.ins().iadd_imm_s(file, HEADER_BYTES as i64);
    let found = checksum(&mut b, first, weights.payload_bytes());
    let expected = b.ins().iconst(I64, weights.checksum() as i64);
    let is_damaged = b.ins().icmp(IntCC::NotEqual, found, expected);
    return_if(&mut b, is_damaged, Status::WrongWeights);
    leave_mark(&mut b, weights, (workspace, first), state_offset);
    return_status(&mut b, Status::Ok);
    finish(b, frontend.config);
}

/// [`crate::emit::weights_file::checksum`], in code.
fn checksum(b: &mut FunctionBuilder<'_>, first: Value, bytes: usize) -> Value {
    let lanes = SEEDS.map(|seed| {
        let lane = b.declare_var(I64);
        let seed = b.ins().iconst(I64, seed as i64);
        b.def_var(lane, seed);
        lane
    });
    let pointer = b.declare_var(I64);
    b.def_var(pointer, first);
    let end = b.ins().iadd_imm_s(first, bytes as i64);
    let (top, next, after) = (b.create_block(), b.create_block(), b.create_block());
    b.ins().jump(top, &[]);
    b.switch_to_block(top);
    let place = b.use_var(pointer);
    let is_left = b.ins().icmp(IntCC::UnsignedLessThan, place, end);
    b.ins().brif(is_left, next, &[], after, &[]);
    b.switch_to_block(next);
    for (idx, lane) in lanes.iter().enumerate() {
        let word = b.ins().load(I64, memory(), place, idx as i32 * 8);
        let hash = b.use_var(*lane);
        let hash = mix(b, hash, word);
        b.def_var(*lane, hash);
    }
    let place = b.ins().iadd_imm_s(place, SEEDS.len() as i64 * 8);
    b.def_var(pointer, place);
    b.ins().jump(top, &[]);
    b.switch_to_block(after);
    let zero = b.ins().iconst(I64, 0);
    lanes.iter().fold(zero, |hash, lane| {
        let word = b.use_var(*lane);
        mix(b, hash, word)
    })
}

/// [`crate::emit::weights_file::mix`], in code.
fn mix(b: &mut FunctionBuilder<'_>, hash: Value, word: Value) -> Value {
    let hash = b.ins().bxor(hash, word);
    let multiplier = b.ins().iconst(I64, MULTIPLIER as i64);
    let hash = b.ins().imul(hash, multiplier);
    b.ins().rotl_imm_u(hash, i64::from(ROTATION))
}
