//! How far a run has come, and what it has done to the values so far. What was written of a value is known as one span, from the
//! first byte to the last.

use super::super::value::Origin;

/// Bytes from the first to behind the last; none if they are the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: u64,
    pub(super) end: u64,
}

impl Span {
    pub(super) fn is_empty(self) -> bool {
        self.start == self.end
    }

    pub(super) fn holds(self, other: Span) -> bool {
        other.is_empty() || (self.start <= other.start && other.end <= self.end)
    }

    pub(super) fn join(self, other: Span) -> Span {
        match (self.is_empty(), other.is_empty()) {
            (true, _) => other,
            (_, true) => self,
            _ => Span { start: self.start.min(other.start), end: self.end.max(other.end) },
        }
    }

    pub(super) fn meet(self, other: Span) -> Span {
        let (start, end) = (self.start.max(other.start), self.end.min(other.end));
        if start < end { Span { start, end } } else { Span::default() }
    }
}

/// What a call does to a value, or to the workspace by a pointer into no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::inspect::machine) struct Effect {
    pub(super) origin: Origin,
    /// Without what it has written itself before.
    pub(super) read: Span,
    pub(super) written: Span,
}

/// Bytes of a value that a task reads and hasn't written itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) value: usize,
    pub(super) read: Span,
    /// Whose read was the first.
    pub(super) kernel: Option<u64>,
}

/// How far a run has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::inspect::machine) struct Track {
    /// Which of the layouts.
    pub(super) version: Option<usize>,
    /// The step that is next.
    pub(super) next: usize,
    /// The step whose calls run now.
    pub(super) step: Option<usize>,
    /// The function that may be that step, as long as it has called no kernel.
    pub(super) entered: Option<u64>,
    /// Calls around those of kernels.
    pub(super) depth: usize,
    /// The kernel that runs now.
    pub(super) kernel: Option<u64>,
    /// For each value, what was written of it.
    pub(super) written: Vec<Span>,
    /// What was written before the first step.
    pub(super) early: Span,
    /// What tasks read that others must have written.
    pub(super) wanted: Vec<Wanted>,
    /// Of the call that runs now.
    pub(super) effects: Vec<Effect>,
}

impl Track {
    /// Which of the layouts the values are those of, once it is known. It never changes on the way.
    pub(in crate::inspect::machine) fn version(&self) -> Option<usize> {
        self.version
    }

    /// A function has returned, or was left out; so many calls are left.
    pub(in crate::inspect::machine) fn leave(&mut self, depth: usize) -> Vec<Effect> {
        if depth == self.depth {
            self.kernel = None;
        }
        if depth < self.depth {
            (self.step, self.entered) = (None, None);
        }
        std::mem::take(&mut self.effects)
    }

    /// Of two ways through a task: what is written by both, and read by one.
    pub(in crate::inspect::machine) fn both(mut self, other: Track) -> Track {
        self.written.iter_mut().zip(&other.written).for_each(|(one, other)| *one = one.meet(*other));
        self.early = self.early.meet(other.early);
        other.wanted.into_iter().for_each(|wanted| self.want(wanted));
        self
    }

    /// Adds what a task has done. Tasks run at once: none sees what another has written.
    pub(in crate::inspect::machine) fn add_task(&mut self, done: Track) {
        self.written.iter_mut().zip(&done.written).for_each(|(all, one)| *all = all.join(*one));
        self.early = self.early.join(done.early);
        done.wanted.into_iter().for_each(|wanted| self.want(wanted));
    }

    /// What another task must have written before the pool comes back.
    pub(super) fn want(&mut self, wanted: Wanted) {
        match self.wanted.iter_mut().find(|known| known.value == wanted.value) {
            Some(known) => known.read = known.read.join(wanted.read),
            None => self.wanted.push(wanted),
        }
    }

    pub(super) fn effect(&mut self, origin: Origin) -> &mut Effect {
        let known = self.effects.iter().position(|effect| effect.origin == origin);
        let idx = known.unwrap_or_else(|| {
            self.effects.push(Effect { origin, read: Span::default(), written: Span::default() });
            self.effects.len() - 1
        });
        &mut self.effects[idx]
    }
}
