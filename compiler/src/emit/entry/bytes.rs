//! The entries that take a picture's bytes: they normalise them into the workspace and run the network on that. Of a network in integers
//! they keep the bytes, or make those of the normalised numbers where another quantiser has chosen what bytes stand for. A picture whose
//! bytes are kept and that has nothing between its rows is read where it is.
//!
//! A normalised byte is `fma(byte, multiplier, offset)`, rounded once, as whoever prepares a picture for the other entries
//! computes it: the same bits. Padding is no matter here, for padded taps are outside of the chains.

use std::mem::offset_of;

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::{F32, F32X4, I8X16, I32, I32X4, I64};
use cranelift_codegen::ir::{
    BlockArg, ConstantData, FuncRef, Function, InstBuilder, SigRef, StackSlotData, StackSlotKind, Value,
};
use cranelift_frontend::{FunctionBuilder, Variable};
use mnc_runtime::abi::{Parallel, Status};
use mnc_runtime::info::{ChannelOrder, Info};

use super::{
    Body, Environment, Input, TASK_BYTES, begin, check_arguments, check_bound, check_pool, choose_version,
    environment, finish, quantise, return_if, return_status, run_tasks, run_version,
};
use crate::emit::clif::{Frontend, LANES, lane_order, memory};
use crate::graph::tensor::Dtype;
use crate::passes::ByteInput;
use crate::program::Program;
use crate::target::Isa;

/// Values that a task normalises at least, some microseconds' worth.
const LEAST_TASK_VALUES: usize = 8192;
/// Tasks that normalise, at most.
const MOST_TASKS: usize = 8;

/// What the pictures of a network are.
#[derive(Clone, Copy)]
pub(in crate::emit) struct Picture<'a> {
    info: &'a Info,
    reads: Reads<'a>,
}

/// What a network reads.
#[derive(Clone, Copy)]
enum Reads<'a> {
    /// The numbers that a picture's bytes stand for.
    Numbers,
    /// The picture's bytes.
    Picture,
    /// The bytes of the numbers that a picture's bytes stand for.
    Bytes(&'a ByteInput),
}

impl Reads<'_> {
    fn dtype(self) -> Dtype {
        match self {
            Reads::Numbers => Dtype::F32,
            Reads::Picture | Reads::Bytes(_) => Dtype::U8,
        }
    }
}

impl<'a> Picture<'a> {
    /// `None` for a network whose input is no picture.
    pub(in crate::emit) fn of(info: &'a Info, program: &'a Program) -> Option<Picture<'a>> {
        let constants = info.preprocess.multiplier.iter().zip(&info.preprocess.offset).enumerate();
        let keeps = |bytes: &ByteInput| {
            constants
                .clone()
                .all(|(channel, (multiplier, offset))| bytes.keeps(channel, *multiplier, *offset))
        };
        info.takes_bytes().then(|| {
            let reads = match &program.byte_input {
                None => Reads::Numbers,
                Some(bytes) if keeps(bytes) => Reads::Picture,
                Some(bytes) => Reads::Bytes(bytes),
            };
            Picture { info, reads }
        })
    }

    /// Rows of all images of a run.
    fn rows(&self) -> usize {
        self.info.input.height * self.info.batch
    }

    /// Values of a row, and bytes of a row.
    fn row_len(&self) -> usize {
        self.info.input.width * self.info.input.channels
    }

    /// Bytes of a row as the network reads it.
    fn read_bytes(&self) -> usize {
        self.row_len() * self.reads.dtype().bytes()
    }

    /// Whether the network may read a picture without gaps where it is, at any address: its bytes are those of the file.
    fn is_read_in_place(&self, isa: &Isa) -> bool {
        matches!(self.reads, Reads::Picture) && !is_reversed(self.info) && isa.words_at_any_byte
    }

    /// Rows of a task, and how many tasks there are.
    fn tasks(&self) -> (usize, usize) {
        let wanted = (self.rows() * self.row_len() / LEAST_TASK_VALUES).clamp(1, MOST_TASKS);
        let rows = self.rows().div_ceil(wanted);
        (rows, self.rows().div_ceil(rows))
    }
}

/// What the entries call.
pub(in crate::emit) struct Normalise {
    /// [`normalise`].
    pub(in crate::emit) rows: FuncRef,
    /// [`task`].
    pub(in crate::emit) task: FuncRef,
}

/// Fills `func` with `int32_t NAME_run_u8(const uint8_t *rgb, size_t row_stride_bytes, float *output, void *workspace)`.
pub(in crate::emit) fn run_u8(
    frontend: &mut Frontend,
    func: &mut Function,
    versions: &[Body<'_>],
    (picture, normalise): (Picture<'_>, Normalise),
) {
    let (mut b, parameters) = begin(&mut frontend.context, func);
    let [bytes, stride, output, workspace] = parameters[..] else {
        unreachable!("the entry takes three pointers and a size");
    };
    check_arguments(&mut b, &[bytes, output, workspace], workspace);
    check_stride(&mut b, picture, stride);
    check_bound(&mut b, versions, workspace);
    let kept = environment(versions).keep(&mut b);
    for (block, body) in choose_version(&mut b, versions, workspace).into_iter().zip(versions) {
        b.switch_to_block(block);
        let prepared = b.ins().iadd_imm_s(workspace, body.program.normalised_offset as i64);
        kept.set(&mut b);
        let input = input(&mut b, body, (picture, bytes, stride), prepared, |b| {
            let n_rows = b.ins().iconst(I64, picture.rows() as i64);
            b.ins().call(normalise.rows, &[bytes, stride, prepared, n_rows]);
        });
        run_version(&mut b, body, [input, output, workspace]);
        kept.restore(&mut b);
        return_status(&mut b, Status::Ok);
    }
    finish(b, frontend.config);
}

/// Where the steps find the picture: where it is, if they read its bytes and there is nothing between its rows; else where `prepare`
/// brings it.
fn input(
    b: &mut FunctionBuilder<'_>,
    body: &Body<'_>,
    (picture, bytes, stride): (Picture<'_>, Value, Value),
    prepared: Value,
    prepare: impl FnOnce(&mut FunctionBuilder<'_>),
) -> Value {
    if !picture.is_read_in_place(body.program.isa) {
        prepare(b);
        return prepared;
    }
    let [has_gaps, on] = [(); 2].map(|()| b.create_block());
    let input = b.append_block_param(on, I64);
    let is_whole = b.ins().icmp_imm_u(IntCC::Equal, stride, picture.row_len() as i64);
    b.ins().brif(is_whole, on, &[BlockArg::Value(bytes)], has_gaps, &[]);
    b.switch_to_block(has_gaps);
    prepare(b);
    b.ins().jump(on, &[BlockArg::Value(prepared)]);
    b.switch_to_block(on);
    input
}

/// Fills `func` with the same for a pool, whose tasks normalise too.
pub(in crate::emit) fn run_u8_parallel(
    frontend: &mut Frontend,
    func: &mut Function,
    versions: &[Body<'_>],
    (picture, normalise): (Picture<'_>, Normalise),
    run_signature: SigRef,
) {
    let (mut b, parameters) = begin(&mut frontend.context, func);
    let [bytes, stride, output, workspace, pool] = parameters[..] else {
        unreachable!("the parallel entry takes four pointers and a size");
    };
    check_arguments(&mut b, &[bytes, output, workspace, pool], workspace);
    check_pool(&mut b, pool);
    check_stride(&mut b, picture, stride);
    check_bound(&mut b, versions, workspace);
    let slot = b.create_sized_stack_slot(StackSlotData::new(StackSlotKind::ExplicitSlot, TASK_BYTES, 3));
    for (block, body) in choose_version(&mut b, versions, workspace).into_iter().zip(versions) {
        b.switch_to_block(block);
        let prepared = b.ins().iadd_imm_s(workspace, body.program.normalised_offset as i64);
        let input = input(&mut b, body, (picture, bytes, stride), prepared, |b| {
            for (idx, value) in [bytes, stride, prepared].into_iter().enumerate() {
                b.ins().stack_store(I64, value, slot, idx as i32 * 8);
            }
            let context = b.ins().load(I64, memory(), pool, offset_of!(Parallel, ctx) as i32);
            let run = b.ins().load(I64, memory(), pool, offset_of!(Parallel, run) as i32);
            let task = b.ins().func_addr(I64, normalise.task);
            let argument = b.ins().stack_addr(I64, slot, 0);
            let count = b.ins().iconst(I64, picture.tasks().1 as i64);
            b.ins().call_indirect(run_signature, run, &[context, task, argument, count]);
        });
        run_tasks(&mut b, body, (Input::OfSteps(input), output, workspace, pool), slot, run_signature);
        return_status(&mut b, Status::Ok);
    }
    finish(b, frontend.config);
}

/// Fills `func` with `void task(void *arg, size_t index)`: normalises the rows of one task; `arg` holds the picture, its
/// stride, and where to.
pub(in crate::emit) fn task(
    frontend: &mut Frontend,
    func: &mut Function,
    picture: Picture<'_>,
    normalise: FuncRef,
    environment: Environment,
) {
    let (mut b, parameters) = begin(&mut frontend.context, func);
    let [argument, index] = parameters[..] else {
        unreachable!("a task takes a pointer and an index");
    };
    let mut field = |offset: i32| b.ins().load(I64, memory(), argument, offset);
    let [bytes, stride, to] = [field(0), field(8), field(16)];
    let (task_rows, _) = picture.tasks();
    let first = b.ins().imul_imm_s(index, task_rows as i64);
    let all = b.ins().iconst(I64, picture.rows() as i64);
    let left = b.ins().isub(all, first);
    let most = b.ins().iconst(I64, task_rows as i64);
    let is_last = b.ins().icmp(IntCC::UnsignedLessThan, left, most);
    let n_rows = b.ins().select(is_last, left, most);
    let skipped = b.ins().imul(first, stride);
    let bytes = b.ins().iadd(bytes, skipped);
    let skipped = b.ins().imul_imm_s(first, picture.read_bytes() as i64);
    let to = b.ins().iadd(to, skipped);
    let kept = environment.keep(&mut b);
    kept.set(&mut b);
    b.ins().call(normalise, &[bytes, stride, to, n_rows]);
    kept.restore(&mut b);
    b.ins().return_(&[]);
    finish(b, frontend.config);
}

/// Fills `func` with `void normalise(const uint8_t *from, size_t stride, float *to, size_t n_rows)`, for at least one row. A network
/// that reads the picture's bytes gets them as they are, its channels in its order; one that reads others gets those in place of numbers.
pub(in crate::emit) fn normalise(frontend: &mut Frontend, func: &mut Function, picture: Picture<'_>) {
    let (mut b, parameters) = begin(&mut frontend.context, func);
    let [from, stride, to, n_rows] = parameters[..] else {
        unreachable!("it takes two pointers and two sizes");
    };
    let [row, row_to, left] = [from, to, n_rows].map(|value| variable(&mut b, value));
    repeat(&mut b, left, |b| {
        let (from, to) = (b.use_var(row), b.use_var(row_to));
        match picture.reads {
            Reads::Picture => copy_row(b, picture.info, from, to),
            Reads::Numbers | Reads::Bytes(_) => normalise_row(b, picture, from, to),
        }
        let next = b.ins().iadd(from, stride);
        b.def_var(row, next);
        let next = b.ins().iadd_imm_s(to, picture.read_bytes() as i64);
        b.def_var(row_to, next);
    });
    b.ins().return_(&[]);
    finish(b, frontend.config);
}

/// One row: whole vectors while there are, then single values. A network of reversed channels gets single values only.
fn normalise_row(b: &mut FunctionBuilder<'_>, picture: Picture<'_>, from: Value, to: Value) {
    let Picture { info, reads } = picture;
    let element_bytes = reads.dtype().bytes();
    let channels = info.input.channels;
    let row_len = info.input.width * channels;
    let is_reversed = is_reversed(info);
    // After so many values vectors and channels begin together again.
    let period = match channels {
        _ if is_reversed => channels,
        1 | 2 | 4 => LANES,
        _ => LANES * channels,
    };
    let (from, to) = (variable(b, from), variable(b, to));
    if let n_periods @ 1.. = row_len / period {
        let count = b.ins().iconst(I64, n_periods as i64);
        let left = variable(b, count);
        repeat(b, left, |b| {
            let (bytes, values) = (b.use_var(from), b.use_var(to));
            if is_reversed {
                (0..period).for_each(|idx| value(b, picture, (bytes, values), idx));
            } else {
                (0..period).step_by(LANES).for_each(|idx| vector(b, picture, (bytes, values), idx));
            }
            let next = b.ins().iadd_imm_s(bytes, period as i64);
            b.def_var(from, next);
            let next = b.ins().iadd_imm_s(values, (period * element_bytes) as i64);
            b.def_var(to, next);
        });
    }
    let (bytes, values) = (b.use_var(from), b.use_var(to));
    (0..row_len % period).for_each(|idx| value(b, picture, (bytes, values), idx));
}

/// One row as bytes: sixteen at a time while there are, then one by one; a network of reversed channels gets pixel by pixel.
fn copy_row(b: &mut FunctionBuilder<'_>, info: &Info, from: Value, to: Value) {
    let channels = info.input.channels;
    let row_len = info.input.width * channels;
    let is_reversed = is_reversed(info);
    let period = if is_reversed { channels } else { I8X16.bytes() as usize };
    let byte = |b: &mut FunctionBuilder<'_>, (bytes, values): (Value, Value), idx: usize| {
        let byte = b.ins().uload8(I32, memory(), bytes, source(info, idx) as i32);
        b.ins().istore8(memory(), byte, values, idx as i32);
    };
    let (from, to) = (variable(b, from), variable(b, to));
    if let n_periods @ 1.. = row_len / period {
        let count = b.ins().iconst(I64, n_periods as i64);
        let left = variable(b, count);
        repeat(b, left, |b| {
            let (bytes, values) = (b.use_var(from), b.use_var(to));
            if is_reversed {
                (0..period).for_each(|idx| byte(b, (bytes, values), idx));
            } else {
                let vector = b.ins().load(I8X16, memory(), bytes, 0);
                b.ins().store(memory(), vector, values, 0);
            }
            for (pointer, value) in [(from, bytes), (to, values)] {
                let next = b.ins().iadd_imm_s(value, period as i64);
                b.def_var(pointer, next);
            }
        });
    }
    let (bytes, values) = (b.use_var(from), b.use_var(to));
    (0..row_len % period).for_each(|idx| byte(b, (bytes, values), idx));
}

/// Whether the network's channels are in another order than a picture's.
fn is_reversed(info: &Info) -> bool {
    info.preprocess.channel_order == ChannelOrder::Bgr && info.input.channels != 1
}

/// The byte of a pixel's value `idx`, in the order of the file; the first is that of channel 0.
fn source(info: &Info, idx: usize) -> usize {
    let channels = info.input.channels;
    let channel = idx % channels;
    match info.preprocess.channel_order {
        ChannelOrder::Rgb => idx,
        ChannelOrder::Bgr => idx - channel + (channels - 1 - channel),
    }
}

/// Normalises value `idx` of a pixel or of a few; the first is that of channel 0.
fn value(b: &mut FunctionBuilder<'_>, picture: Picture<'_>, (bytes, values): (Value, Value), idx: usize) {
    let Picture { info, reads } = picture;
    let channel = idx % info.input.channels;
    let byte = b.ins().uload8(I32, memory(), bytes, source(info, idx) as i32);
    let level = b.ins().fcvt_from_sint(F32, byte);
    let multiplier = b.ins().f32const(info.preprocess.multiplier[channel]);
    let offset = b.ins().f32const(info.preprocess.offset[channel]);
    let normalised = b.ins().fma(level, multiplier, offset);
    match reads {
        Reads::Bytes(of) => quantise::store_element(b, of, (normalised, values), idx),
        Reads::Numbers | Reads::Picture => {
            b.ins().store(memory(), normalised, values, (idx * Dtype::F32.bytes()) as i32);
        }
    }
}

/// Normalises four values from `idx` on.
fn vector(b: &mut FunctionBuilder<'_>, picture: Picture<'_>, (bytes, values): (Value, Value), idx: usize) {
    let Picture { info, reads } = picture;
    let word = b.ins().load(I32, memory(), bytes, idx as i32);
    let word = b.ins().scalar_to_vector(I32X4, word);
    let levels = b.ins().bitcast(I8X16, lane_order(), word);
    let levels = b.ins().uwiden_low(levels);
    let levels = b.ins().uwiden_low(levels);
    let levels = b.ins().fcvt_from_sint(F32X4, levels);
    let mut constant = |of_channel: &[f32]| {
        let lanes = (0..LANES).flat_map(|lane| of_channel[(idx + lane) % of_channel.len()].to_le_bytes());
        let constant = ConstantData::from(lanes.collect::<Vec<u8>>().as_slice());
        let constant = b.func.dfg.constants.insert(constant);
        b.ins().vconst(F32X4, constant)
    };
    let (multiplier, offset) = (constant(&info.preprocess.multiplier), constant(&info.preprocess.offset));
    let normalised = b.ins().fma(levels, multiplier, offset);
    match reads {
        Reads::Bytes(of) => quantise::store_vector(b, of, (normalised, values), idx),
        Reads::Numbers | Reads::Picture => {
            b.ins().store(memory(), normalised, values, (idx * Dtype::F32.bytes()) as i32);
        }
    }
}

/// A status unless a row fits into the stride, and all rows into half of the address space: then no address wraps.
fn check_stride(b: &mut FunctionBuilder<'_>, picture: Picture<'_>, stride: Value) {
    let row = b.ins().iconst(I64, picture.row_len() as i64);
    let is_short = b.ins().icmp(IntCC::UnsignedLessThan, stride, row);
    return_if(b, is_short, Status::ShortRowStride);
    let most = (i64::MAX - picture.row_len() as i64) / (picture.rows() as i64 - 1).max(1);
    let most = b.ins().iconst(I64, most);
    let is_long = b.ins().icmp(IntCC::UnsignedGreaterThan, stride, most);
    return_if(b, is_long, Status::ShortRowStride);
}

pub(super) fn variable(b: &mut FunctionBuilder<'_>, value: Value) -> Variable {
    let variable = b.declare_var(I64);
    b.def_var(variable, value);
    variable
}

/// Does `body` as often as `left` says, at least once.
pub(super) fn repeat(
    b: &mut FunctionBuilder<'_>,
    left: Variable,
    body: impl FnOnce(&mut FunctionBuilder<'_>),
) {
    let (top, after) = (b.create_block(), b.create_block());
    b.ins().jump(top, &[]);
    b.switch_to_block(top);
    body(b);
    let value = b.use_var(left);
    let value = b.ins().iadd_imm_s(value, -1);
    b.def_var(left, value);
    b.ins().brif(value, top, &[], after, &[]);
    b.switch_to_block(after);
}
