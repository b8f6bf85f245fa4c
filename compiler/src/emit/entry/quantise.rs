//! What turns normalised values of a picture into the bytes that a network in integers reads, step for step as `reference`.

use cranelift_codegen::ir::condcodes::FloatCC;
use cranelift_codegen::ir::types::{F32X4, I32X4};
use cranelift_codegen::ir::{ConstantData, InstBuilder, Value};
use cranelift_frontend::FunctionBuilder;

use crate::emit::clif::{LANES, MOST_INTEGER, lane_order, memory};
use crate::passes::ByteInput;

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
