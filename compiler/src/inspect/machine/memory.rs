//! What memory there is, and what of it may be touched.

use super::Machine;
use super::state::{RED_ZONE, STACK_BYTES, State};
use super::value::{Origin, Value};

/// What code may do with a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::inspect) enum Access {
    /// It is the caller's, and stays as it is.
    Read,
    /// The code writes there too.
    Write,
}

/// A buffer of the caller: rows of bytes, which lie a stride apart.
#[derive(Clone, Copy, Debug)]
pub(in crate::inspect) struct Buffer {
    /// As in messages.
    pub(in crate::inspect) name: &'static str,
    pub(in crate::inspect) origin: Origin,
    pub(in crate::inspect) rows: u64,
    /// Of one row.
    pub(in crate::inspect) bytes: u64,
    pub(in crate::inspect) access: Access,
}

/// Words of the pool's structure.
const WORD: u64 = 8;

impl Machine<'_> {
    /// Holds an access against what there is in memory.
    pub(super) fn access(
        &mut self,
        state: &mut State,
        address: Value,
        bytes: u64,
        writes: bool,
    ) -> Result<(), String> {
        self.totals.accesses += 1;
        if address.origin != Origin::STACK {
            self.expect_progress();
        }
        let inside = |size: u64| address.offset <= size && bytes <= size - address.offset;
        if address.origin == Origin::STACK && address.rows == 0 {
            return self.access_stack(state, address.offset, bytes, writes);
        }
        if let Some(buffer) = self.buffers.iter().find(|buffer| buffer.origin == address.origin) {
            let is_row = u64::try_from(address.rows).is_ok_and(|row| row < buffer.rows);
            if !inside(buffer.bytes) || !is_row {
                return Err(format!("{bytes} bytes {}", outside(address, buffer)));
            }
            if writes && buffer.access == Access::Read {
                return Err(format!("{} is written, {bytes} bytes at byte {}", buffer.name, address.offset));
            }
            // What a function finds there isn't in its arguments.
            if buffer.origin == Origin::WORKSPACE && self.bound_words(address, bytes).is_some() {
                state.mark_calls();
            }
            if buffer.origin == Origin::WORKSPACE && !self.layouts.is_empty() {
                self.touch_workspace(state, (address.offset, bytes), buffer.bytes, writes)?;
            }
            return Ok(());
        }
        if let Some(idx) = address.origin.value_idx() {
            return self.touch_value(state, idx, address, (bytes, writes));
        }
        if address.origin.image_part().is_some() && address.rows == 0 {
            let section = self
                .image
                .section(address)
                .filter(|section| bytes <= section.bytes.len() as u64 - (address.offset - section.start));
            return match section {
                Some(section) if writes => Err(format!("{} is written", section.name)),
                Some(_) => Ok(()),
                None => Err(format!("{bytes} bytes behind the end of what the file holds")),
            };
        }
        Err("an address that isn't known".to_owned())
    }

    fn access_stack(
        &mut self,
        state: &mut State,
        offset: u64,
        bytes: u64,
        writes: bool,
    ) -> Result<(), String> {
        let end = offset.checked_add(bytes).filter(|end| *end <= STACK_BYTES);
        let end = end.ok_or("more stack than an entry point takes")?;
        if offset < state.stack_pointer()?.saturating_sub(RED_ZONE) {
            return Err("the stack far below its pointer".to_owned());
        }
        let limit = if writes { state.writable() } else { state.readable };
        if limit < end {
            let what = if writes { "written" } else { "read" };
            return Err(format!("the caller's part of the stack is {what}"));
        }
        // What lies above isn't in a function's arguments.
        if let Some(call) = state.calls.last_mut()
            && call.slot < end
        {
            call.is_leaf = false;
        }
        self.totals.lowest = self.totals.lowest.min(offset);
        self.last_access = Some((offset, bytes, writes));
        Ok(())
    }

    /// Which of the words of a binding an access of the workspace touches.
    fn bound_words(&self, address: Value, bytes: u64) -> Option<std::ops::Range<u64>> {
        let start = self.binding.as_ref()?.offset;
        let end = address.offset.saturating_add(bytes);
        let (first, last) = (address.offset.max(start), end.min(start + 3 * WORD));
        (first < last).then(|| (first - start) / WORD..(last - start).div_ceil(WORD))
    }

    /// The value at an address, if it is known; of fewer than 8 bytes in the lower bits.
    pub(super) fn load(&self, state: &State, address: Value, bytes: u64) -> Value {
        let is_word = bytes == WORD && address.offset.is_multiple_of(WORD);
        match address.origin {
            _ if address.rows != 0 => Value::UNKNOWN,
            Origin::STACK => state.load(address.offset, bytes),
            Origin::POOL if is_word && address.offset == 0 => Value::at(Origin::POOL_CONTEXT, 0),
            Origin::POOL if is_word && address.offset == WORD => self.pool_run,
            Origin::WORKSPACE if is_word => match self.bound_words(address, bytes) {
                Some(words) => state.binding[words.start as usize],
                None => Value::UNKNOWN,
            },
            _ => self.image.load(address, bytes),
        }
    }

    /// Puts a value to an address that has been found to be writable.
    pub(super) fn store(&self, state: &mut State, address: Value, bytes: u64, value: Value) {
        if address.rows != 0 {
            return;
        }
        match address.origin {
            Origin::STACK => state.store(address.offset, bytes, value),
            Origin::WORKSPACE => {
                let Some(words) = self.bound_words(address, bytes) else { return };
                let is_word = bytes == WORD && address.offset.is_multiple_of(WORD);
                state.is_bound_anew = true;
                for word in words {
                    state.binding[word as usize] = if is_word { value } else { Value::UNKNOWN };
                }
            }
            _ => {}
        }
    }
}

/// Where an address outside of a buffer is, in words.
fn outside(address: Value, buffer: &Buffer) -> String {
    let (offset, Buffer { name, bytes, .. }) = (address.offset as i64, buffer);
    if buffer.rows == 1 && address.rows == 0 {
        format!("at byte {offset} of {name}, which has {bytes}")
    } else {
        format!(
            "at byte {offset} of row {} of {name}, which has {} rows of {bytes}",
            address.rows, buffer.rows
        )
    }
}
