//! x86-64 code -> every address that it reads, writes or jumps to, by running it without its arithmetic on vectors.
//!
//! General registers, the stack and the masks of partial accesses have values, or are unknown; numbers in vectors are
//! always unknown, and so is where anything lies ([`value`]). An address must be known as a distance from the start of a buffer; a jump
//! that depends on something unknown is taken both ways. So what holds here holds of every run with such pointers, whatever the
//! numbers. What isn't understood is refused.

mod decode;
mod execute;
mod instructions;
mod layout;
mod memory;
mod state;
mod value;
mod ways;

use std::collections::HashMap;

use super::image::Image;
use decode::{Decoder, Operand, Step};
use instructions::Form;
use layout::Effect;
pub(super) use layout::Layout;
pub(super) use memory::{Access, Buffer};
pub(super) use state::State;
use state::{Called, Place};
pub(super) use value::{Origin, Stride, Value};
use ways::{Met, Ways};

/// Unknown conditions that one walk may meet: the question to the processor has a handful, and a step in bands two for each part and
/// version. An honest object has a hundred, one of thousands of layers some ten thousand.
const MOST_FORKS: usize = 1 << 16;
/// Tasks that a pool is handed at once.
const MOST_TASKS: u64 = 64;
/// Instructions in a row that touch no buffer.
const MOST_WITHOUT_BUFFERS: u64 = 100_000;
/// What an entry may return.
const MOST_RETURNS: usize = 16;

/// What a walk adds up.
#[derive(Clone, Debug, Default)]
pub(super) struct Totals {
    pub(super) instructions: u64,
    pub(super) accesses: u64,
    /// The lowest place touched on the stack.
    pub(super) lowest: u64,
    /// What was returned, each value once.
    pub(super) returns: Vec<Value>,
    /// Jumps that were taken both ways.
    pub(super) forks: usize,
}

/// By what a workspace is bound to its weights: three words one behind the other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Binding {
    /// Where they begin, in the workspace.
    pub(super) offset: u64,
    /// The first is over the address.
    pub(super) mark: [u64; 2],
    pub(super) pointer: Value,
}

impl Binding {
    /// What a bound workspace holds.
    pub(super) fn words(&self) -> [Value; 3] {
        [Value::at(Origin::BOUND, 0), Value::number(self.mark[1]), self.pointer]
    }
}

/// What a walk may do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    pub(super) stride: Stride,
    pub(super) binding: Option<Binding>,
    /// What lies in the three words at the start.
    pub(super) bound: [Value; 3],
    /// Whether a return of 0 says that the workspace is bound.
    pub(super) binds: bool,
    /// What the pool's structure holds for its function.
    pub(super) pool_run: Value,
    /// Instructions, all ways together.
    pub(super) most_instructions: u64,
}

impl Terms {
    /// Those of code that takes no buffers.
    pub(super) fn of_code(most_instructions: u64) -> Terms {
        Terms {
            stride: Stride { least: 0, most: u64::MAX },
            binding: None,
            bound: [Value::UNKNOWN; 3],
            binds: false,
            pool_run: Value::UNKNOWN,
            most_instructions,
        }
    }
}

/// The code and the buffers of one walk.
pub(super) struct Machine<'a> {
    image: &'a Image<'a>,
    buffers: &'a [Buffer],
    decoder: Decoder<'a>,
    totals: Totals,
    /// Calls of functions that call nobody and look at nothing beside: the same call does the same.
    /// By version, for each has values of its own; with what the call does to them.
    done: HashMap<(Option<usize>, Called), Vec<Effect>>,
    /// What lies in the workspace, of each version in the order in which the walk comes by; empty where nobody asks.
    layouts: Vec<&'a Layout>,
    /// For each version that has been met, the function with which it begins.
    versions: Vec<u64>,
    stride: Stride,
    binding: Option<Binding>,
    bound: [Value; 3],
    binds: bool,
    pool_run: Value,
    most_instructions: u64,
    /// The number of instructions at which the walk ends: no loop of ours goes on for long without a buffer.
    limit: u64,
    most_done: usize,
    in_task: bool,
    /// The last access of the stack: where, how many bytes, and whether it is written.
    last_access: Option<(u64, u64, bool)>,
}

impl<'a> Machine<'a> {
    pub(super) fn new(image: &'a Image<'a>, buffers: &'a [Buffer], terms: &Terms) -> Machine<'a> {
        Machine {
            image,
            buffers,
            decoder: Decoder::new(image),
            totals: Totals { lowest: u64::MAX, ..Totals::default() },
            done: HashMap::new(),
            layouts: Vec::new(),
            versions: Vec::new(),
            stride: terms.stride,
            binding: terms.binding,
            bound: terms.bound,
            binds: terms.binds,
            pool_run: terms.pool_run,
            most_instructions: terms.most_instructions,
            limit: terms.most_instructions.min(MOST_WITHOUT_BUFFERS),
            // A call takes five bytes, and no run makes it more often than it has tasks.
            most_done: image.code().bytes.len() + 1024,
            in_task: false,
            last_access: None,
        }
    }

    /// Holds the kernels to the values of the workspace too.
    pub(super) fn with_layouts(self, layouts: Vec<&'a Layout>) -> Machine<'a> {
        Machine { layouts, ..self }
    }

    /// Walks from a function's first instruction to its return, every way; arguments as the calling convention has them.
    pub(super) fn call(mut self, function: u64, arguments: &[Value]) -> Result<Totals, String> {
        let mut state = State::new(function, arguments);
        state.binding = self.bound;
        let mut ways = Ways::of(state);
        while let Some(mut state) = ways.next() {
            if self.walk(&mut state, &mut ways)? {
                self.end(&state)?;
            }
        }
        Ok(self.totals)
    }

    /// Walks one way to its end, and keeps the others; `false` if it meets one that has been walked.
    fn walk(&mut self, state: &mut State, ways: &mut Ways) -> Result<bool, String> {
        while let Some(mut other) = self.run(state)? {
            state.mark_ways();
            other.mark_ways();
            // Behind the first step states are large, and no jump depends on the way to it.
            let is_early = state.track.version().is_none() && !self.in_task;
            match if is_early { ways.meet(state, other.ip) } else { Met::Nobody } {
                Met::Nobody => {}
                Met::AnotherWay => return Ok(false),
                Met::Itself => return Err("a loop that nothing known ends".to_owned()),
            }
            self.totals.forks += 1;
            if MOST_FORKS < self.totals.forks || !ways.wait(other) {
                return Err("too many jumps depend on what isn't known".to_owned());
            }
        }
        Ok(true)
    }

    /// What must hold when the entry point returns.
    fn end(&mut self, state: &State) -> Result<(), String> {
        state.check_return()?;
        let result = state.general[0];
        if result == Value::number(0) {
            self.end_run(state)?;
        }
        if let Some(binding) = &self.binding
            && (state.is_bound_anew || (self.binds && result == Value::number(0)))
            && state.binding != binding.words()
        {
            return Err("leaves a workspace that isn't bound to its weights".to_owned());
        }
        if !self.totals.returns.contains(&result) {
            if MOST_RETURNS <= self.totals.returns.len() {
                return Err(format!("returns more than {MOST_RETURNS} values"));
            }
            self.totals.returns.push(result);
        }
        Ok(())
    }

    /// Runs until the walk ends (`None`) or a jump may go either way: then the other way is handed back. In a box: a state is large, and
    /// each instruction would move the room for one.
    fn run(&mut self, state: &mut State) -> Result<Option<Box<State>>, String> {
        loop {
            let ip = match state.ip {
                Place::Code(ip) => ip,
                Place::Caller => return Ok(None),
            };
            self.totals.instructions += 1;
            if self.limit < self.totals.instructions {
                let n = self.limit;
                return Err(format!(
                    "{}: goes on after {n} instructions, more than such a network needs",
                    self.decoder.text(ip)
                ));
            }
            let step = *self.decoder.step(ip)?;
            let other =
                self.step(state, &step).map_err(|fault| format!("{}: {fault}", self.decoder.text(ip)))?;
            if other.is_some() {
                return Ok(other);
            }
        }
    }

    /// One instruction, for tests.
    pub(super) fn step_once(&mut self, state: &mut State) -> Result<(), String> {
        let Place::Code(ip) = state.ip else { return Err("the walk has ended".to_owned()) };
        let step = *self.decoder.step(ip)?;
        match self.step(state, &step)? {
            None => Ok(()),
            Some(_) => Err("a jump that may go either way".to_owned()),
        }
    }

    pub(super) fn last_access(&self) -> Option<(u64, u64, bool)> {
        self.last_access
    }

    fn step(&mut self, state: &mut State, step: &Step) -> Result<Option<Box<State>>, String> {
        let mut address = Value::UNKNOWN;
        if let Some(memory) = &step.memory {
            address = state.address(memory);
            if memory.reads || memory.writes {
                let (first, bytes) = state.touched(memory)?;
                if bytes != 0 {
                    let touched = address.add(Value::number(first));
                    self.access(state, touched, bytes, memory.writes)?;
                }
            }
        }
        state.ip = Place::Code(step.next);
        match step.form {
            Form::Jump => state.ip = Place::Code(step.target),
            Form::JumpIf => match state.condition(step.condition) {
                Some(true) => state.ip = Place::Code(step.target),
                Some(false) => {}
                None => {
                    let mut other = Box::new(state.clone());
                    other.ip = Place::Code(step.target);
                    return Ok(Some(other));
                }
            },
            Form::JumpTo => {
                let target = self.operand(state, step.to, 64, address);
                state.ip = Place::Code(self.code_place(target)?);
            }
            Form::Call => self.enter(state, step.target, step.next)?,
            Form::CallTo => {
                let target = self.operand(state, step.to, 64, address);
                if target == Value::at(Origin::POOL_RUN, 0) {
                    state.check_control("calls the pool")?;
                    self.pool(state)?;
                } else {
                    let target = self.code_place(target)?;
                    self.enter(state, target, step.next)?;
                }
            }
            Form::Return => {
                let call = state.pop_call()?;
                let effects = state.track.leave(state.calls.len());
                if let Some(call) = call {
                    let result = state.general[0];
                    if call.is_leaf && state.gives_back(&call) {
                        // A result is used by nobody who calls a kernel: it has none.
                        state.clobber();
                        self.done.insert((state.track.version(), call.called), effects);
                        if self.most_done < self.done.len() {
                            return Err("more calls than such a network needs".to_owned());
                        }
                    } else if call.has_ways {
                        // What its ways leave in registers that it may spoil would keep them apart.
                        state.clobber();
                        state.general[0] = result;
                    }
                }
            }
            Form::Push => {
                let value = self.operand(state, step.to, 64, address);
                self.push(state, value)?;
            }
            Form::Pop => {
                let top = state.stack_pointer()?;
                self.access(state, Value::at(Origin::STACK, top), 8, false)?;
                let value = state.load(top, 8);
                state.general[state::RSP] = Value::at(Origin::STACK, top + 8);
                if let Operand::General(register) = step.to {
                    state.set(usize::from(register), 64, value);
                }
            }
            Form::Lea => {
                if let Operand::General(register) = step.to {
                    state.set(usize::from(register), u32::from(step.bits), address);
                }
            }
            Form::Cpuid => [0, 1, 2, 3].into_iter().for_each(|idx| state.general[idx] = Value::UNKNOWN),
            Form::Xgetbv => [0, 2].into_iter().for_each(|idx| state.general[idx] = Value::UNKNOWN),
            Form::Nothing | Form::Prefetch => {}
            Form::SaveControl => {
                let value = state.control_value();
                state.mark_calls();
                self.store(state, address, 4, value);
            }
            Form::LoadControl => {
                let value = self.load(state, address, 4);
                state.mark_calls();
                state.set_control(value)?;
            }
            Form::Vector
            | Form::VectorOfRegisters
            | Form::Broadcast32
            | Form::MaskedVector
            | Form::MaskedLoad
            | Form::MaskedStore
            | Form::Equal32
            | Form::ShiftBytes
            | Form::Insert128
            | Form::MoveMask
            | Form::ZeroUpper => self.vector(state, step, address),
            _ => self.arithmetic(state, step, address),
        }
        Ok(None)
    }

    /// An instruction over vectors and masks: of numbers nothing is known, nor where one goes, of masks their bytes.
    fn vector(&self, state: &mut State, step: &Step, address: Value) {
        if let Some(memory) = step.memory.as_ref().filter(|memory| memory.writes) {
            self.store(state, address, u64::from(memory.bytes), Value::UNKNOWN);
        }
        let of = |operand: Operand| match operand {
            Operand::Vector(vector) => state.masks[usize::from(vector)],
            _ => None,
        };
        let mask = match (step.form, step.third) {
            (Form::Equal32, Operand::Vector(_)) if step.from == step.third => Some(0xffff),
            (Form::ShiftBytes, Operand::Immediate(distance)) => {
                let lower = |mask: u32| (mask & 0xffff).checked_shr(distance as u32).unwrap_or(0);
                of(step.from).map(lower)
            }
            (Form::Insert128, Operand::Vector(_)) if step.is_upper => {
                of(step.from).zip(of(step.third)).map(|(low, high)| low & 0xffff | high << 16)
            }
            _ => None,
        };
        match (step.form, step.to, step.from) {
            (Form::ZeroUpper, ..) => {
                // Those that AVX-512 has added stay as they are.
                state.masks[..16].iter_mut().for_each(|mask| *mask = mask.map(|mask| mask & 0xffff));
            }
            (Form::MoveMask, Operand::Mask(to), Operand::General(from)) => {
                let bits = state.general[usize::from(from)].cut(32).known();
                state.op_mask[usize::from(to)] = bits.map(|bits| bits & 0xffff);
            }
            (_, Operand::Vector(to), _) => state.masks[usize::from(to)] = mask,
            (_, Operand::General(to), _) => state.general[usize::from(to)] = Value::UNKNOWN,
            _ => {}
        }
    }

    /// Goes into a function, unless the same call has been seen to the end.
    fn enter(&mut self, state: &mut State, target: u64, back: u64) -> Result<(), String> {
        self.begin_call(state, target)?;
        let called = state.enter(target);
        if let Some(effects) = self.done.get(&(state.track.version(), called)).cloned() {
            self.replay(state, &effects)?;
            state.track.leave(state.calls.len());
            if let Some(outer) = state.calls.last_mut() {
                outer.is_leaf = false;
            }
            let top = state.stack_pointer()?;
            state.forget_below(top);
            state.clobber();
            return Ok(());
        }
        let back = Value::at(self.image.code().origin, back);
        self.push(state, back)?;
        state.push_call(called, back)?;
        state.ip = Place::Code(target);
        Ok(())
    }

    fn push(&mut self, state: &mut State, value: Value) -> Result<(), String> {
        let top = state.stack_pointer()?.checked_sub(8).ok_or("the stack ends")?;
        state.general[state::RSP] = Value::at(Origin::STACK, top);
        self.access(state, Value::at(Origin::STACK, top), 8, true)?;
        state.store(top, 8, value);
        Ok(())
    }

    /// The caller's pool: runs every task, one after the other.
    fn pool(&mut self, state: &mut State) -> Result<(), String> {
        let [context, task, argument, count] = [0, 1, 2, 3].map(|idx| state.general[state::ARGUMENTS[idx]]);
        if self.in_task {
            return Err("the pool is called by one of its tasks".to_owned());
        }
        if context != Value::at(Origin::POOL_CONTEXT, 0) {
            return Err("the pool is handed another context than its own".to_owned());
        }
        let task = self.code_place(task)?;
        let count = count.known().filter(|count| *count <= MOST_TASKS);
        let count =
            count.ok_or_else(|| format!("the pool isn't handed a number of tasks up to {MOST_TASKS}"))?;
        state.mark_calls();
        // The return address of the call itself.
        let top = state.stack_pointer()?.checked_sub(8).ok_or("the stack ends")?;
        self.begin_pool(state, (task, argument), count)?;
        self.in_task = true;
        let before = state.clone();
        for index in 0..count {
            let mut inner = before.clone();
            inner.general[state::RSP] = Value::at(Origin::STACK, top);
            inner.begin_task(task, [argument, Value::number(index)])?;
            self.totals.lowest = self.totals.lowest.min(inner.writable());
            // Every way, for a task looks whether another is done. What it leaves behind is in buffers, not in its state.
            let mut ways = Ways::of(inner);
            let mut done = None;
            while let Some(mut inner) = ways.next() {
                self.walk(&mut inner, &mut ways)?;
                inner.check_return()?;
                if inner.is_bound_anew != state.is_bound_anew {
                    return Err("a task binds the workspace to other weights".to_owned());
                }
                done = Some(match done {
                    None => inner.track,
                    Some(done) => inner.track.both(done),
                });
            }
            done.into_iter().for_each(|done| state.track.add_task(done));
        }
        self.in_task = false;
        self.end_pool(state)?;
        let top = state.stack_pointer()?;
        state.forget_below(top);
        state.clobber();
        Ok(())
    }

    /// A buffer is touched: the walk may go on.
    fn expect_progress(&mut self) {
        self.limit = self.most_instructions.min(self.totals.instructions + MOST_WITHOUT_BUFFERS);
    }

    fn code_place(&self, target: Value) -> Result<u64, String> {
        self.image.code_place(target).ok_or_else(|| "a jump to what isn't known to be code".to_owned())
    }
}
