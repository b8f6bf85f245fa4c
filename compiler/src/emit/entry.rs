//! The functions around the kernels, in Cranelift IR on every target: the entries that callers see, what a pool calls, and what
//! the launcher of an executable finds.
//!
//! They check what the caller passes, choose the version that the processor can run and call kernels with constant offsets;
//! they know no instruction.

pub(super) mod bytes;
mod environment;
mod quantise;
pub(super) mod weights;

use std::mem::offset_of;

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::{I32, I64};
use cranelift_codegen::ir::{
    Block, FuncRef, Function, GlobalValue, InstBuilder, SigRef, StackSlot, StackSlotData, StackSlotKind,
    Value,
};
use cranelift_codegen::isa::TargetFrontendConfig;
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext, Switch};
use mnc_runtime::abi::{ABI_VERSION, ModelAbi, Parallel, Status};

pub(super) use self::environment::Environment;
use super::clif::{Frontend, memory};
use super::weights_file::WeightsFile;
use crate::plan::WORKSPACE_ALIGN;
use crate::program::{Argument, Call, Program, State, Task};

/// A version of the network as seen from inside a function.
pub(super) struct Body<'a> {
    pub(super) program: &'a Program,
    /// By position in [`Program::kernels`].
    pub(super) kernels: Vec<FuncRef>,
    /// The packed constants; `None` when the network has no numbers.
    pub(super) constants: Option<Constants<'a>>,
    /// A function that returns nonzero when the CPU has what the kernels need.
    pub(super) cpu_check: Option<FuncRef>,
    /// What sets the floating-point environment.
    pub(super) environment: Environment,
    /// What a pool calls; `None` until it is written.
    pub(super) task: Option<FuncRef>,
    /// The calls of one step; `None` until it is written.
    pub(super) step: Option<FuncRef>,
}

impl Body<'_> {
    fn step(&self) -> FuncRef {
        self.step.expect("a version's steps are written before its entries")
    }
}

/// Where the packed constants are.
#[derive(Clone, Copy)]
pub(super) enum Constants<'a> {
    /// In the object.
    Inside(GlobalValue),
    /// In a file of which each bound workspace knows where it is.
    Outside(&'a WeightsFile),
}

/// Fills `func` with `int32_t NAME_run(const float *input, float *output, void *workspace)`.
pub(super) fn run(frontend: &mut Frontend, func: &mut Function, versions: &[Body<'_>]) {
    let (mut b, parameters) = begin(&mut frontend.context, func);
    let [input, output, workspace] = parameters[..] else {
        unreachable!("the entry takes three pointers");
    };
    check_arguments(&mut b, &parameters, workspace);
    check_bound(&mut b, versions, workspace);
    let kept = environment(versions).keep(&mut b);
    for (block, body) in choose_version(&mut b, versions, workspace).into_iter().zip(versions) {
        b.switch_to_block(block);
        kept.set(&mut b);
        let input = quantise_input(&mut b, body, input, workspace);
        run_version(&mut b, body, [input, output, workspace]);
        kept.restore(&mut b);
        return_status(&mut b, Status::Ok);
    }
    finish(b, frontend.config);
}

/// Makes what the steps read of the caller's numbers, and says where it is: bytes in the workspace, or those numbers.
fn quantise_input(b: &mut FunctionBuilder<'_>, body: &Body<'_>, input: Value, workspace: Value) -> Value {
    let Some(call) = &body.program.quantise else { return input };
    // It writes no output.
    let buffers = Buffers::of(b, body, [input, input, workspace]);
    emit_call(b, body, &buffers, call);
    byte_input(b, body.program, workspace)
}

/// Where the steps of a network that reads bytes find them.
fn byte_input(b: &mut FunctionBuilder<'_>, program: &Program, workspace: Value) -> Value {
    b.ins().iadd_imm_s(workspace, program.normalised_offset as i64)
}

/// All steps of a version: input as they read it, output, workspace.
fn run_version(b: &mut FunctionBuilder<'_>, body: &Body<'_>, pointers: [Value; 3]) {
    (0..body.program.steps.len()).for_each(|idx| call_step(b, body, pointers, idx));
}

fn call_step(
    b: &mut FunctionBuilder<'_>,
    body: &Body<'_>,
    [input, output, workspace]: [Value; 3],
    idx: usize,
) {
    let idx = b.ins().iconst(I64, idx as i64);
    b.ins().call(body.step(), &[input, output, workspace, idx]);
}

/// What the parallel entry hands to its tasks, on its stack: the three buffers and the number of the step's first task.
const TASK_BYTES: u32 = 32;
const TASK_FIRST: i32 = 24;

/// Fills `func` with `int32_t NAME_run_parallel(const float *input, float *output, void *workspace, const struct
/// mnc_parallel *pool)`: each step is handed to the pool, whose return is the barrier before the next.
pub(super) fn run_parallel(
    frontend: &mut Frontend,
    func: &mut Function,
    versions: &[Body<'_>],
    run_signature: SigRef,
) {
    let (mut b, parameters) = begin(&mut frontend.context, func);
    let [input, output, workspace, pool] = parameters[..] else {
        unreachable!("the parallel entry takes four pointers");
    };
    check_arguments(&mut b, &parameters, workspace);
    check_pool(&mut b, pool);
    check_bound(&mut b, versions, workspace);
    let slot = b.create_sized_stack_slot(StackSlotData::new(StackSlotKind::ExplicitSlot, TASK_BYTES, 3));
    for (block, body) in choose_version(&mut b, versions, workspace).into_iter().zip(versions) {
        b.switch_to_block(block);
        run_tasks(&mut b, body, (Input::Numbers(input), output, workspace, pool), slot, run_signature);
        return_status(&mut b, Status::Ok);
    }
    finish(b, frontend.config);
}

/// What an entry has got.
#[derive(Clone, Copy)]
enum Input {
    /// The caller's numbers.
    Numbers(Value),
    /// What the steps read.
    OfSteps(Value),
}

/// All steps of a version on the pool; `slot` is for what its tasks are told. The pool's own code runs in the environment of the
/// caller.
fn run_tasks(
    b: &mut FunctionBuilder<'_>,
    body: &Body<'_>,
    (input, output, workspace, pool): (Input, Value, Value, Value),
    slot: StackSlot,
    run_signature: SigRef,
) {
    let kept = body.environment.keep(b);
    let mut is_default = false;
    let input = match input {
        Input::Numbers(numbers) if body.program.quantise.is_some() => {
            kept.set(b);
            is_default = true;
            quantise_input(b, body, numbers, workspace)
        }
        Input::Numbers(input) | Input::OfSteps(input) => input,
    };
    let pointers = [input, output, workspace];
    for (idx, buffer) in pointers.into_iter().enumerate() {
        b.ins().stack_store(I64, buffer, slot, idx as i32 * 8);
    }
    let context = b.ins().load(I64, memory(), pool, offset_of!(Parallel, ctx) as i32);
    let run = b.ins().load(I64, memory(), pool, offset_of!(Parallel, run) as i32);
    let task = b.ins().func_addr(I64, body.task.expect("a version's tasks are written before its entries"));
    let argument = b.ins().stack_addr(I64, slot, 0);
    let mut first_task = 0;
    for (idx, step) in body.program.steps.iter().enumerate() {
        match step.tasks.len() {
            // The next step's tasks do it.
            0 => {}
            1 => {
                if !is_default {
                    kept.set(b);
                    is_default = true;
                }
                call_step(b, body, pointers, idx);
            }
            n_tasks => {
                if is_default {
                    kept.restore(b);
                    is_default = false;
                }
                for mark in step.tasks.iter().filter_map(|task| task.mark) {
                    let nothing = b.ins().iconst(I32, 0);
                    b.ins().store(memory(), nothing, workspace, mark_offset(body.program, mark));
                }
                let first = b.ins().iconst(I64, first_task as i64);
                b.ins().stack_store(I64, first, slot, TASK_FIRST);
                let count = b.ins().iconst(I64, n_tasks as i64);
                b.ins().call_indirect(run_signature, run, &[context, task, argument, count]);
                first_task += n_tasks;
            }
        }
    }
    if is_default {
        kept.restore(b);
    }
}

/// The tasks that a pool gets, in the order of their numbers: a step of a single one is the caller's.
fn pool_tasks(program: &Program) -> Vec<&Task> {
    program.steps.iter().filter(|step| 1 < step.tasks.len()).flat_map(|step| &step.tasks).collect()
}

/// Fills `func` with `void task(void *arg, size_t index)`, which the pool calls: task `index` of the step that `arg` names.
pub(super) fn task(frontend: &mut Frontend, func: &mut Function, body: &Body<'_>) {
    let (mut b, parameters) = begin(&mut frontend.context, func);
    let [argument, index] = parameters[..] else {
        unreachable!("a task takes a pointer and an index");
    };
    let mut field = |offset: i32| b.ins().load(I64, memory(), argument, offset);
    let (pointers, first) = ([field(0), field(8), field(16)], field(TASK_FIRST));
    let buffers = Buffers::of(&mut b, body, pointers);
    let number = b.ins().iadd(first, index);
    let kept = body.environment.keep(&mut b);
    kept.set(&mut b);
    switch_over(&mut b, number, &pool_tasks(body.program), |b, task| run_task(b, body, &buffers, task));
    kept.restore(&mut b);
    b.ins().return_(&[]);
    finish(b, frontend.config);
}

/// Where a mark lies in the workspace.
fn mark_offset(program: &Program, mark: usize) -> i32 {
    assert!(mark < State::N_MARKS, "a chain has few parts");
    (program.state_offset + State::MARKS + mark * 4) as i32
}

/// The calls of a task, the short way if the task is done from which it may resume.
///
/// A mark is zeroed before the step goes to the pool, which orders that before each of its tasks. It is set once, by a store that
/// releases, behind all that its task wrote; it is looked at once, by a load that acquires, before anything of the other task is
/// read. So a task that sees a mark sees the other's rows. One that sees zero, though the other may be done, begins anew and
/// reads nothing of it: being late costs time alone.
fn run_task(b: &mut FunctionBuilder<'_>, body: &Body<'_>, buffers: &Buffers, task: &Task) {
    let address = |b: &mut FunctionBuilder<'_>, mark| {
        b.ins().iadd_imm_s(buffers.workspace, i64::from(mark_offset(body.program, mark)))
    };
    let mut rest = task.calls.as_slice();
    if let Some(resume) = &task.resume {
        let [from_start, resumed, on] = [(); 3].map(|()| b.create_block());
        let mark = address(b, resume.mark);
        let is_done = b.ins().atomic_load(I32, memory(), mark);
        b.ins().brif(is_done, resumed, &[], from_start, &[]);
        let first;
        (first, rest) = rest.split_at(resume.replaced);
        for (block, calls) in [(from_start, first), (resumed, &resume.calls)] {
            b.switch_to_block(block);
            emit_calls(b, body, buffers, calls);
            b.ins().jump(on, &[]);
        }
        b.switch_to_block(on);
    }
    emit_calls(b, body, buffers, rest);
    if let Some(mark) = task.mark {
        let mark = address(b, mark);
        let done = b.ins().iconst(I32, 1);
        b.ins().atomic_store(memory(), done, mark);
    }
}

/// Fills `func` with `void step(const void *input, float *output, void *workspace, uint64_t idx)`: the calls of one step, which
/// every entry and a profile have in common: a network has hundreds of them. The input is what the steps read, be it bytes or
/// numbers. Nothing happens past the last step.
pub(super) fn step(frontend: &mut Frontend, func: &mut Function, body: &Body<'_>) {
    let (mut b, parameters) = begin(&mut frontend.context, func);
    let [input, output, workspace, idx] = parameters[..] else {
        unreachable!("a step takes three pointers and a number");
    };
    let buffers = Buffers::of(&mut b, body, [input, output, workspace]);
    let steps: Vec<&[Call]> = body.program.steps.iter().map(|step| step.calls.as_slice()).collect();
    switch_over(&mut b, idx, &steps, |b, calls| emit_calls(b, body, &buffers, calls));
    b.ins().return_(&[]);
    finish(b, frontend.config);
}

/// Fills `func` with a step as the launcher runs it, of a network that reads bytes: the input is numbers, of which the first step
/// makes them.
pub(super) fn step_of_numbers(frontend: &mut Frontend, func: &mut Function, body: &Body<'_>) {
    let (mut b, parameters) = begin(&mut frontend.context, func);
    let [input, output, workspace, idx] = parameters[..] else {
        unreachable!("a step takes three pointers and a number");
    };
    let [step, first] = [(); 2].map(|()| b.create_block());
    b.ins().brif(idx, step, &[], first, &[]);
    b.switch_to_block(first);
    quantise_input(&mut b, body, input, workspace);
    b.ins().jump(step, &[]);
    b.switch_to_block(step);
    let bytes = byte_input(&mut b, body.program, workspace);
    b.ins().call(body.step(), &[bytes, output, workspace, idx]);
    b.ins().return_(&[]);
    finish(b, frontend.config);
}

/// Does what the case asks for that `number` selects, and nothing past the last one.
fn switch_over<T: Copy>(
    b: &mut FunctionBuilder<'_>,
    number: Value,
    cases: &[T],
    mut emit: impl FnMut(&mut FunctionBuilder<'_>, T),
) {
    let leave = b.create_block();
    let blocks: Vec<Block> = cases.iter().map(|_| b.create_block()).collect();
    let mut switch = Switch::new();
    blocks.iter().enumerate().for_each(|(idx, block)| switch.set_entry(idx as u128, *block));
    switch.emit(b, number, leave);
    for (block, case) in blocks.into_iter().zip(cases) {
        b.switch_to_block(block);
        emit(b, *case);
        b.ins().jump(leave, &[]);
    }
    b.switch_to_block(leave);
}

/// A function's builder, in its first block, and its parameters.
fn begin<'a>(
    context: &'a mut FunctionBuilderContext,
    func: &'a mut Function,
) -> (FunctionBuilder<'a>, Vec<Value>) {
    let mut b = FunctionBuilder::new(func, context);
    let start = b.create_block();
    b.append_block_params_for_function_params(start);
    b.switch_to_block(start);
    let parameters = b.block_params(start).to_vec();
    (b, parameters)
}

fn finish(mut b: FunctionBuilder<'_>, config: TargetFrontendConfig) {
    b.seal_all_blocks();
    b.finalize(config);
}

/// Returns a status unless no pointer is null and the workspace is aligned.
fn check_arguments(b: &mut FunctionBuilder<'_>, pointers: &[Value], workspace: Value) {
    for pointer in pointers {
        let is_null = b.ins().icmp_imm_u(IntCC::Equal, *pointer, 0);
        return_if(b, is_null, Status::NullPointer);
    }
    let misaligned = b.ins().band_imm_u(workspace, WORKSPACE_ALIGN as i64 - 1);
    return_if(b, misaligned, Status::MisalignedWorkspace);
}

/// Returns a status unless there is a function behind the pool.
fn check_pool(b: &mut FunctionBuilder<'_>, pool: Value) {
    let run = b.ins().load(I64, memory(), pool, offset_of!(Parallel, run) as i32);
    let is_null = b.ins().icmp_imm_u(IntCC::Equal, run, 0);
    return_if(b, is_null, Status::NullPointer);
}

/// The versions of an object share what sets the floating-point environment.
fn environment(versions: &[Body<'_>]) -> Environment {
    versions.last().expect("an object holds a version").environment
}

/// Returns a status unless the workspace has been bound to the weights, where they are not in the object.
fn check_bound(b: &mut FunctionBuilder<'_>, versions: &[Body<'_>], workspace: Value) {
    let body = versions.last().expect("an object holds a version");
    let Some(Constants::Outside(file)) = body.constants else { return };
    for differs in weights::marks_differ(b, file, workspace, body.program.state_offset) {
        return_if(b, differs, Status::NotBound);
    }
}

/// Jumps to the block of the version that the processor can run, or returns a status. The processor is asked unless the
/// workspace holds the proof that it has been.
fn choose_version(b: &mut FunctionBuilder<'_>, versions: &[Body<'_>], workspace: Value) -> Vec<Block> {
    let blocks: Vec<Block> = versions.iter().map(|_| b.create_block()).collect();
    for (body, block) in versions.iter().zip(&blocks) {
        let Some(proof) = proof(body.program) else { continue };
        let no_proof = b.create_block();
        for (offset, word) in proof {
            let next = b.create_block();
            let found = b.ins().load(I64, memory(), workspace, offset);
            let expected = b.ins().iconst(I64, word);
            let same = b.ins().icmp(IntCC::Equal, found, expected);
            b.ins().brif(same, next, &[], no_proof, &[]);
            b.switch_to_block(next);
        }
        b.ins().jump(*block, &[]);
        b.switch_to_block(no_proof);
    }
    for (body, block) in versions.iter().zip(&blocks) {
        ask_processor(b, body, *block, |b| {
            for (offset, word) in proof(body.program).into_iter().flatten() {
                let word = b.ins().iconst(I64, word);
                b.ins().store(memory(), word, workspace, offset);
            }
        });
    }
    if versions.iter().all(|body| body.cpu_check.is_some()) {
        return_status(b, Status::MissingCpuFeature);
    }
    blocks
}

/// Jumps to `block`, after doing what is to be done `before`, if the processor can run the version or needn't be asked.
fn ask_processor(
    b: &mut FunctionBuilder<'_>,
    body: &Body<'_>,
    block: Block,
    before: impl FnOnce(&mut FunctionBuilder<'_>),
) {
    let Some(check) = body.cpu_check else {
        before(b);
        b.ins().jump(block, &[]);
        return;
    };
    let (found, lacks) = (b.create_block(), b.create_block());
    let call = b.ins().call(check, &[]);
    let has = b.inst_results(call)[0];
    b.ins().brif(has, found, &[], lacks, &[]);
    b.switch_to_block(found);
    before(b);
    b.ins().jump(block, &[]);
    b.switch_to_block(lacks);
}

/// The words that prove that the processor has been asked, with their places in the workspace; `None` where nothing is asked.
fn proof(program: &Program) -> Option<[(i32, i64); 2]> {
    let [low, high] = program.isa.cpu_check?.proof();
    let offset = (program.state_offset + State::PROOF) as i32;
    Some([(offset, low as i64), (offset + 8, high as i64)])
}

/// Where the arguments of calls are counted from.
struct Buffers {
    input: Value,
    output: Value,
    workspace: Value,
    constants: Option<Value>,
}

impl Buffers {
    fn of(b: &mut FunctionBuilder<'_>, body: &Body<'_>, [input, output, workspace]: [Value; 3]) -> Buffers {
        let constants = body.constants.map(|constants| match constants {
            Constants::Inside(symbol) => b.ins().symbol_value(I64, symbol),
            Constants::Outside(_) => {
                let offset = body.program.state_offset + State::WEIGHTS;
                b.ins().load(I64, memory(), workspace, offset as i32)
            }
        });
        Buffers { input, output, workspace, constants }
    }
}

fn emit_calls(b: &mut FunctionBuilder<'_>, body: &Body<'_>, buffers: &Buffers, calls: &[Call]) {
    calls.iter().for_each(|call| emit_call(b, body, buffers, call));
}

fn emit_call(b: &mut FunctionBuilder<'_>, body: &Body<'_>, buffers: &Buffers, call: &Call) {
    let arguments: Vec<Value> = call
        .arguments
        .iter()
        .map(|argument| {
            let (base, bytes) = match *argument {
                Argument::Input(bytes) => (buffers.input, bytes),
                Argument::Output(bytes) => (buffers.output, bytes),
                Argument::Workspace { offset, .. } => (buffers.workspace, offset),
                Argument::Constants(bytes) => {
                    (buffers.constants.expect("a program whose calls take constants has some"), bytes)
                }
            };
            if bytes == 0 { base } else { b.ins().iadd_imm_s(base, bytes as i64) }
        })
        .collect();
    b.ins().call(body.kernels[call.kernel], &arguments);
}

fn return_if(b: &mut FunctionBuilder<'_>, condition: Value, status: Status) {
    let (leave, stay) = (b.create_block(), b.create_block());
    b.ins().brif(condition, leave, &[], stay, &[]);
    b.switch_to_block(leave);
    return_status(b, status);
    b.switch_to_block(stay);
}

fn return_status(b: &mut FunctionBuilder<'_>, status: Status) {
    let code = b.ins().iconst(I32, i64::from(status.code()));
    b.ins().return_(&[code]);
}

/// Fills `func` with `const char *NAME_info(void)`.
pub(super) fn info(frontend: &mut Frontend, func: &mut Function, text: GlobalValue) {
    let (mut b, _) = begin(&mut frontend.context, func);
    let address = b.ins().symbol_value(I64, text);
    b.ins().return_(&[address]);
    finish(b, frontend.config);
}

/// What [`model`] refers to of a version.
pub(super) struct ModelRefs<'a> {
    pub(super) body: Body<'a>,
    /// A step that takes the caller's numbers.
    pub(super) step: FuncRef,
    pub(super) run: FuncRef,
    pub(super) run_parallel: FuncRef,
    pub(super) info: GlobalValue,
    pub(super) info_len: usize,
    /// `NAME_bind`; `None` where the weights are in the object.
    pub(super) bind: Option<FuncRef>,
    /// `mnc_detecting` of the launcher, where the outputs become boxes.
    pub(super) detecting: Option<FuncRef>,
    /// `NAME_run_u8` and `NAME_run_u8_parallel`; `None` where the input is no picture.
    pub(super) run_bytes: Option<[FuncRef; 2]>,
}

/// Fills `func` with `void mnc_model(ModelAbi *)`, by which the launcher of an executable finds its network: the version that
/// the processor can run, or the last.
pub(super) fn model(frontend: &mut Frontend, func: &mut Function, versions: &[ModelRefs<'_>]) {
    let (mut b, parameters) = begin(&mut frontend.context, func);
    let table = parameters[0];
    let blocks: Vec<Block> = versions.iter().map(|_| b.create_block()).collect();
    let (last, wider) = blocks.split_last().expect("an object holds a version");
    for (version, block) in versions.iter().zip(wider) {
        ask_processor(&mut b, &version.body, *block, |_| {});
    }
    b.ins().jump(*last, &[]);
    for (refs, block) in versions.iter().zip(&blocks) {
        b.switch_to_block(*block);
        let program = refs.body.program;
        let [run, run_parallel, step] =
            [refs.run, refs.run_parallel, refs.step].map(|function| b.ins().func_addr(I64, function));
        let info = b.ins().symbol_value(I64, refs.info);
        let run_bytes = [0, 1].map(|idx| Some(refs.run_bytes?[idx]));
        let mut address = |function: Option<FuncRef>| match function {
            Some(function) => b.ins().func_addr(I64, function),
            None => b.ins().iconst(I64, 0),
        };
        let [bind, detecting] = [refs.bind, refs.detecting].map(&mut address);
        let [run_u8, run_u8_parallel] = run_bytes.map(&mut address);
        let mut number = |number: u64| b.ins().iconst(I64, number as i64);
        let fields = [
            (offset_of!(ModelAbi, abi_version), number(ABI_VERSION)),
            (offset_of!(ModelAbi, run), run),
            (offset_of!(ModelAbi, run_parallel), run_parallel),
            (offset_of!(ModelAbi, info), info),
            (offset_of!(ModelAbi, info_len), number(refs.info_len as u64)),
            (offset_of!(ModelAbi, workspace_bytes), number(program.workspace_bytes as u64)),
            (offset_of!(ModelAbi, input_len), number((program.batch * program.input.len()) as u64)),
            (offset_of!(ModelAbi, output_len), number((program.batch * program.output_len()) as u64)),
            (offset_of!(ModelAbi, step), step),
            (offset_of!(ModelAbi, n_steps), number(program.steps.len() as u64)),
            (offset_of!(ModelAbi, bind), bind),
            (offset_of!(ModelAbi, detecting), detecting),
            (offset_of!(ModelAbi, run_u8), run_u8),
            (offset_of!(ModelAbi, run_u8_parallel), run_u8_parallel),
        ];
        for (offset, value) in fields {
            b.ins().store(memory(), value, table, offset as i32);
        }
        b.ins().return_(&[]);
    }
    finish(b, frontend.config);
}
