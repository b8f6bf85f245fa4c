//! What turns the numbers of an input into the bytes that a network in integers reads, step for step as `reference`.

use cranelift_codegen::ir::condcodes::FloatCC;
use cranelift_codegen::ir::types::{F32, F32X4, I32X4, I64};
use cranelift_codegen::ir::{ConstantData, Function, InstBuilder, Value};
use cranelift_frontend::FunctionBuilder;

use super::bytes::{repeat, variable};
use super::{begin, finish};
use crate::emit::clif::{Frontend, LANES, MOST_INTEGER, lane_order, memory};
use crate::graph::tensor::Dtype;
use crate::passes::ByteInput;

/// Fills `func` with `void quantise(const float *from, uint8_t *to)` for so many elements, the first of channel 0.
pub(in crate::emit) fn quantise(
    frontend: &mut Frontend,
    func: &mut Function,
    bytes: &ByteInput,
    n_elements: usize,
) {
    let (mut b, parameters) = begin(&mut frontend.context, func);
    let [from, to] = parameters[..] else { unreachable!("it takes two pointers") };
    // After so many elements vectors and channels begin together again.
    let channels = bytes.scale.len();
    let period = if channels.is_power_of_two() { channels.max(LANES) } else { LANES * channels };
    let (from, to) = (variable(&mut b, from), variable(&mut b, to));
    if let n_periods @ 1.. = n_elements / period {
        let count = b.ins().iconst(I64, n_periods as i64);
        let left = variable(&mut b, count);
        repeat(&mut b, left, |b| {
            let pointers = (b.use_var(from), b.use_var(to));
            (0..period).step_by(LANES).for_each(|idx| vector(b, bytes, pointers, idx));
            let next = b.ins().iadd_imm_s(pointers.0, (period * Dtype::F32.bytes()) as i64);
            b.def_var(from, next);
            let next = b.ins().iadd_imm_s(pointers.1, period as i64);
            b.def_var(to, next);
        });
    }
    let pointers = (b.use_var(from), b.use_var(to));
    (0..n_elements % period).for_each(|idx| element(&mut b, bytes, pointers, idx));
    b.ins().return_(&[]);
    finish(b, frontend.config);
}

/// Four elements from `idx` on.
fn vector(b: &mut FunctionBuilder<'_>, bytes: &ByteInput, (from, to): (Value, Value), idx: usize) {
    let x = b.ins().load(F32X4, memory(), from, (idx * Dtype::F32.bytes()) as i32);
    store_vector(b, bytes, (x, to), idx);
}

/// Stores the bytes of four numbers, those of elements from `idx` on.
pub(super) fn store_vector(
    b: &mut FunctionBuilder<'_>,
    bytes: &ByteInput,
    (x, to): (Value, Value),
    idx: usize,
) {
    let word = quantised(b, bytes, x, idx);
    b.ins().store(memory(), word, to, idx as i32);
}

/// One element.
fn element(b: &mut FunctionBuilder<'_>, bytes: &ByteInput, (from, to): (Value, Value), idx: usize) {
    let x = b.ins().load(F32, memory(), from, (idx * Dtype::F32.bytes()) as i32);
    store_element(b, bytes, (x, to), idx);
}

/// Stores the byte of a number, that of element `idx`. It is the first of a vector: of single numbers Cranelift compares with jumps.
pub(super) fn store_element(
    b: &mut FunctionBuilder<'_>,
    bytes: &ByteInput,
    (x, to): (Value, Value),
    idx: usize,
) {
    let x = b.ins().splat(F32X4, x);
    let word = quantised(b, bytes, x, idx);
    b.ins().istore8(memory(), word, to, idx as i32);
}

/// The bytes of four elements, the first of which is element `idx`, as one word.
fn quantised(b: &mut FunctionBuilder<'_>, bytes: &ByteInput, x: Value, idx: usize) -> Value {
    let mut constant = |lane: &dyn Fn(usize) -> f32| {
        let lanes: Vec<u8> = (0..LANES).flat_map(|at| lane(idx + at).to_le_bytes()).collect();
        let constant = b.func.dfg.constants.insert(ConstantData::from(lanes.as_slice()));
        b.ins().vconst(F32X4, constant)
    };
    let channel = |at: usize| at % bytes.scale.len();
    let scale = constant(&|at| bytes.scale[channel(at)]);
    let offset = constant(&|at| bytes.offset[channel(at)]);
    let [least, most, magic] = [0.0, 255.0, 3.0 * MOST_INTEGER].map(|value| constant(&|_| value));
    let v = b.ins().fma(x, scale, offset);
    // The bound wins where v is no number.
    let is_above = b.ins().fcmp(FloatCC::GreaterThan, v, least);
    let is_above = b.ins().bitcast(F32X4, lane_order(), is_above);
    let v = b.ins().bitselect(is_above, v, least);
    let is_below = b.ins().fcmp(FloatCC::LessThan, v, most);
    let is_below = b.ins().bitcast(F32X4, lane_order(), is_below);
    let v = b.ins().bitselect(is_below, v, most);
    // Rounded in the low bits of a large number, as kernels do it.
    let v = b.ins().fadd(v, magic);
    let v = b.ins().bitcast(I32X4, lane_order(), v);
    let zero = b.ins().bitcast(I32X4, lane_order(), magic);
    let v = b.ins().isub(v, zero);
    let v = b.ins().snarrow(v, v);
    let v = b.ins().unarrow(v, v);
    let v = b.ins().bitcast(I32X4, lane_order(), v);
    b.ins().extractlane(v, 0)
}
