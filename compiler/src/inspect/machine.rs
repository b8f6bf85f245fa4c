//! x86-64 code -> every address that it reads, writes or jumps to, by running it without its arithmetic on vectors.
//!
//! General registers, the stack and the masks of partial accesses have values, or are unknown; numbers in vectors are
//! always unknown. An address must be known; a jump that depends on something unknown is taken both ways. So what holds
//! here holds of every run with such pointers, whatever the numbers.

mod decode;
mod state;

use std::collections::{HashMap, HashSet};

use super::image::Image;
use decode::{Decoder, Kind, Step, Width};
pub(super) use state::{GENERAL, State};

/// What code may do with a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// It is the caller's, and stays as it is.
    Read,
    /// The code writes there too.
    Write,
}

/// A buffer of the caller.
#[derive(Clone, Copy, Debug)]
pub struct Buffer {
    /// As in messages.
    pub name: &'static str,
    /// Where it begins.
    pub address: u64,
    /// How long it is.
    pub bytes: u64,
    /// What code may do with it.
    pub access: Access,
}

/// The stack of a walk ends here.
pub(super) const STACK_TOP: u64 = 0x7000_0000_0000;
/// More than any entry point takes, far less than any stack has.
pub(super) const STACK_BYTES: u64 = 64 << 10;
/// Returning there ends a walk.
pub(super) const RETURN_TO: u64 = 0x6000_0000_0000;
/// Calling there asks the caller's pool for tasks.
pub(super) const POOL_RUN: u64 = 0x6100_0000_0000;

/// Unknown conditions that one walk may meet: the question to the processor has a handful, a step in bands one for each part.
const MOST_FORKS: usize = 256;
/// Instructions of one walk.
const MOST_INSTRUCTIONS: u64 = 20_000_000_000;

/// What a walk adds up.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Totals {
    pub(super) instructions: u64,
    pub(super) accesses: u64,
    /// The lowest value of the stack pointer, and the lowest address touched on the stack.
    pub(super) lowest: u64,
    /// Ways to the end, by the value that was returned.
    pub(super) returns: [Option<u64>; 8],
    n_returns: usize,
}

/// The code and the buffers of one walk.
pub(super) struct Machine<'a> {
    image: &'a Image,
    buffers: &'a [Buffer],
    decoder: Decoder<'a>,
    totals: Totals,
    n_forks: usize,
    /// Calls of functions that call nobody, with all registers: the same call does the same.
    done: HashSet<(u64, [Option<u64>; GENERAL])>,
    words: HashMap<u64, u64>,
}

impl<'a> Machine<'a> {
    /// `words` are 64-bit values in buffers that the code may load: the fields of the caller's pool.
    pub(super) fn new(image: &'a Image, buffers: &'a [Buffer], words: HashMap<u64, u64>) -> Machine<'a> {
        let totals = Totals { lowest: STACK_TOP, ..Totals::default() };
        Machine {
            image,
            buffers,
            decoder: Decoder::new(image),
            totals,
            n_forks: 0,
            done: HashSet::new(),
            words,
        }
    }

    /// Walks from a function's first instruction to its return, every way; arguments as the calling convention has them.
    pub(super) fn call(mut self, function: u64, arguments: &[u64]) -> Result<Totals, String> {
        let mut open = vec![State::new(function, arguments)];
        while let Some(mut state) = open.pop() {
            while let Some(other) = self.run(&mut state)? {
                self.fork(&state)?;
                open.push(other);
            }
            self.end(&state)?;
        }
        Ok(self.totals)
    }

    /// Counts a jump that is taken both ways.
    fn fork(&mut self, state: &State) -> Result<(), String> {
        self.n_forks += 1;
        if MOST_FORKS < self.n_forks {
            return Err(format!("at {:#x}: jumps depend on what isn't known", state.ip));
        }
        Ok(())
    }

    /// What must hold when the entry point returns.
    fn end(&mut self, state: &State) -> Result<(), String> {
        state.check_return()?;
        let code = state.general[0].map(|value| value & 0xffff_ffff);
        let known = self.totals.returns[..self.totals.n_returns].contains(&code);
        if !known && self.totals.n_returns < self.totals.returns.len() {
            self.totals.returns[self.totals.n_returns] = code;
            self.totals.n_returns += 1;
        }
        Ok(())
    }

    /// Runs until the walk ends (`None`) or a jump may go either way: then the other way is handed back.
    fn run(&mut self, state: &mut State) -> Result<Option<State>, String> {
        while state.ip != RETURN_TO {
            self.totals.instructions += 1;
            if MOST_INSTRUCTIONS < self.totals.instructions {
                return Err("the walk doesn't end".to_owned());
            }
            if state.ip == POOL_RUN {
                self.pool(state)?;
                continue;
            }
            let step = self.decoder.step(state.ip)?;
            let place = state.ip;
            let other =
                self.step(state, &step).map_err(|fault| format!("{}: {fault}", self.decoder.text(place)))?;
            if other.is_some() {
                return Ok(other);
            }
        }
        Ok(None)
    }

    fn step(&mut self, state: &mut State, step: &Step) -> Result<Option<State>, String> {
        let found = step.memory.as_ref().map(|memory| state.address(memory));
        let address = match (&step.memory, found) {
            (Some(memory), Some(address)) if memory.is_access => {
                let address = address.ok_or("an address that isn't known")?;
                let (first, bytes) = memory.touched(&state.masks, &state.op_mask)?;
                self.access(address.wrapping_add(first), bytes, memory.writes)?;
                if memory.writes {
                    state.note_write(address);
                }
                address
            }
            _ => 0,
        };
        state.ip = step.next;
        match step.kind {
            Kind::Vector => {
                if step.stack_clobber && address.wrapping_sub(STACK_TOP - STACK_BYTES) < STACK_BYTES {
                    state.forget(address, step.memory.as_ref().map_or(0, |memory| memory.bytes));
                }
                state.masks[usize::from(step.vector_written)] = None;
            }
            Kind::Load { to, width } => {
                let value = self.load(state, address, width);
                state.set(to, width, value);
            }
            Kind::Store { from, width } => state.store(address, width, from.value(state)),
            Kind::Jump(target) => state.ip = target,
            Kind::JumpTo(from) => state.ip = self.target(from.loaded(state, address, self))?,
            Kind::JumpIf { target, condition } => match state.condition(condition) {
                Some(true) => state.ip = target,
                Some(false) => {}
                None => {
                    let mut other = state.clone();
                    other.ip = target;
                    return Ok(Some(other));
                }
            },
            Kind::Call(target) => self.enter(state, target)?,
            Kind::CallTo(from) => {
                let target = self.target(from.loaded(state, address, self))?;
                self.enter(state, target)?;
            }
            Kind::Return => {
                let to = state.pop().ok_or("a return to an address that isn't known")?;
                self.leave(state);
                state.ip = to;
            }
            Kind::Push(from) => {
                let value = from.loaded(state, address, self);
                self.push(state, value)?;
            }
            Kind::Pop(to) => {
                let value = state.pop();
                state.general[to] = value;
            }
            Kind::SaveControl => state.save_control(address),
            Kind::LoadControl => state.load_control(address)?,
            Kind::Lea { to, width } => state.set(to, width, found.flatten()),
            Kind::Other(ref arithmetic) => {
                let loaded = step.memory.as_ref().filter(|memory| memory.is_access).map(|memory| {
                    (address, Width::of(memory.bytes), self.load(state, address, Width::of(memory.bytes)))
                });
                state.arithmetic(arithmetic, loaded);
            }
            Kind::Forbidden => return Err("an instruction that a network has no use for".to_owned()),
        }
        Ok(None)
    }

    /// Goes into a function, unless the same call has been seen to the end.
    fn enter(&mut self, state: &mut State, target: u64) -> Result<(), String> {
        // What a call may leave as it likes is nobody's argument.
        for register in [0, 10, 11] {
            state.general[register] = None;
        }
        if self.done.contains(&(target, state.general)) {
            state.clobber();
            return Ok(());
        }
        let called = (target, state.general);
        let back = state.ip;
        self.push(state, Some(back))?;
        if let Some(outer) = state.calls.last_mut() {
            outer.is_leaf = false;
        }
        state.calls.push(state::Call { called, is_leaf: target != POOL_RUN });
        state.ip = target;
        Ok(())
    }

    fn leave(&mut self, state: &mut State) {
        if let Some(call) = state.calls.pop()
            && call.is_leaf
            && state.gives_back(&call)
        {
            // A result is used by nobody who calls a kernel: it has none.
            self.done.insert(call.called);
            state.clobber();
        }
    }

    fn push(&mut self, state: &mut State, value: Option<u64>) -> Result<(), String> {
        let top = state.general[state::RSP].ok_or("a stack pointer that isn't known")?.wrapping_sub(8);
        state.general[state::RSP] = Some(top);
        self.access(top, 8, true)?;
        state.store(top, Width::W64, value);
        Ok(())
    }

    /// The caller's pool: runs every task, one after the other.
    fn pool(&mut self, state: &mut State) -> Result<(), String> {
        let [task, argument, count] = [6, 2, 1].map(|register| state.general[register]);
        let (Some(task), Some(count)) = (task, count) else {
            return Err("the pool is handed a task or a count that isn't known".to_owned());
        };
        if 64 < count {
            return Err(format!("the pool is handed {count} tasks"));
        }
        state.check_control("the pool is called")?;
        let mut back = state.clone();
        for index in 0..count {
            let mut inner = state.clone();
            inner.begin_task(task, [argument, Some(index)]);
            self.push(&mut inner, Some(RETURN_TO))?;
            inner.calls.clear();
            // Every way, for a task looks whether another is done. What it leaves behind is in buffers, not in its state.
            let mut open = vec![inner];
            while let Some(mut inner) = open.pop() {
                while let Some(other) = self.run(&mut inner)? {
                    self.fork(&inner)?;
                    open.push(other);
                }
                inner.check_return()?;
            }
        }
        let to = back.pop().ok_or("a return to an address that isn't known")?;
        back.calls.pop();
        back.clobber();
        back.ip = to;
        *state = back;
        Ok(())
    }

    fn target(&self, target: Option<u64>) -> Result<u64, String> {
        let target = target.ok_or("a jump to an address that isn't known")?;
        let is_code = self.image.section(target).is_some_and(|section| section.is_code);
        if is_code || target == POOL_RUN {
            Ok(target)
        } else {
            Err(format!("a jump to {target:#x}, which isn't code"))
        }
    }

    /// Holds an access against what there is in memory.
    fn access(&mut self, address: u64, bytes: u64, writes: bool) -> Result<(), String> {
        if bytes == 0 {
            return Ok(());
        }
        self.totals.accesses += 1;
        let inside = |start: u64, size: u64| {
            address.checked_sub(start).is_some_and(|offset| offset <= size && bytes <= size - offset)
        };
        if inside(STACK_TOP - STACK_BYTES, STACK_BYTES) {
            self.totals.lowest = self.totals.lowest.min(address);
            return Ok(());
        }
        let buffer = self.buffers.iter().find(|buffer| inside(buffer.address, buffer.bytes));
        match buffer {
            Some(buffer) if writes && buffer.access == Access::Read => {
                return Err(format!(
                    "{} is written, {bytes} bytes at byte {}",
                    buffer.name,
                    address - buffer.address
                ));
            }
            Some(_) => return Ok(()),
            None => {}
        }
        let section =
            self.image.sections.iter().find(|section| inside(section.address, section.bytes.len() as u64));
        match section {
            Some(section) if writes => Err(format!("{} is written", section.name)),
            Some(_) => Ok(()),
            None => Err(format!("{bytes} bytes {}", self.outside(address))),
        }
    }

    /// Where an address outside of everything is, in words.
    fn outside(&self, address: u64) -> String {
        let near = self.buffers.iter().min_by_key(|buffer| {
            address.abs_diff(buffer.address).min(address.abs_diff(buffer.address + buffer.bytes))
        });
        match near {
            Some(buffer) => {
                let offset = address.wrapping_sub(buffer.address) as i64;
                format!("at byte {offset} of {}, which has {}", buffer.name, buffer.bytes)
            }
            None => format!("at {address:#x}, where nothing is"),
        }
    }

    /// The integer at an address, if it is known.
    fn load(&self, state: &State, address: u64, width: Width) -> Option<u64> {
        if let Some(value) = state.load(address, width) {
            return value;
        }
        if width == Width::W64
            && let Some(word) = self.words.get(&address)
        {
            return Some(*word);
        }
        let section = self.image.section(address)?;
        let at = (address - section.address) as usize;
        let bytes = section.bytes.get(at..at + width.bytes() as usize)?;
        let mut word = [0; 8];
        word[..bytes.len()].copy_from_slice(bytes);
        Some(u64::from_le_bytes(word))
    }
}
