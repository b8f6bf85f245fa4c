//! Stage 6: [`Schedule`] -> [`Plan`]: where in the workspace each value lies.
//!
//! A value lives from the step that writes it to the last step that reads it, the buffer between two layers of a chain during
//! that one step. Values that live at once don't overlap; the bytes of dead values are used again.
//!
//! The input is the caller's, but has a place here as well: an entry that takes bytes normalises them into it. It lives until
//! its last reader has run.

use crate::schedule::{Half, Place, Schedule, Step, ValueId};

/// Alignment of the workspace and of every value in it, as the C interface promises it: a cache line.
pub const WORKSPACE_ALIGN: usize = mnc_runtime::abi::WORKSPACE_ALIGN;

/// A value's place in the workspace and in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// The value.
    pub value: ValueId,
    /// Bytes from the start of the workspace.
    pub offset: usize,
    /// Its size, a multiple of [`WORKSPACE_ALIGN`].
    pub bytes: usize,
    /// The step that writes it.
    pub first_step: usize,
    /// The last step that reads it; for a buffer of a chain, the same step.
    pub last_step: usize,
}

impl Slot {
    fn lives_with(&self, other: &Slot) -> bool {
        self.first_step <= other.last_step && other.first_step <= self.last_step
    }
}

/// A schedule with its memory.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// What runs.
    pub schedule: Schedule,
    /// The values of the workspace, by offset.
    pub slots: Vec<Slot>,
    /// Size of the workspace.
    pub workspace_bytes: usize,
}

impl Plan {
    /// Places the values: larger ones first, each at the lowest offset that is free while it lives. What a run on one thread
    /// leaves alone comes last, so that such a run touches few bytes, over and over.
    pub fn build(schedule: Schedule) -> Plan {
        let mut unplaced = lifetimes(&schedule);
        let is_idle = |slot: &Slot| {
            let value = schedule.value(slot.value);
            value.idle || value.place == Place::Input
        };
        // The value breaks ties, so that the same schedule gives the same plan.
        unplaced.sort_by_key(|slot| (is_idle(slot), std::cmp::Reverse(slot.bytes), slot.value));
        let mut slots: Vec<Slot> = Vec::with_capacity(unplaced.len());
        for mut slot in unplaced {
            let mut neighbours: Vec<&Slot> = slots.iter().filter(|placed| placed.lives_with(&slot)).collect();
            neighbours.sort_by_key(|placed| placed.offset);
            for placed in neighbours {
                if placed.offset < slot.offset + slot.bytes {
                    slot.offset = slot.offset.max(placed.offset + placed.bytes);
                }
            }
            slots.push(slot);
        }
        slots.sort_by_key(|slot| (slot.offset, slot.first_step));
        let workspace_bytes = slots.iter().map(|slot| slot.offset + slot.bytes).max().unwrap_or(0);
        let plan = Plan { schedule, slots, workspace_bytes };
        plan.verify();
        plan
    }

    /// Bytes from the start of the workspace, for a value that lies there and for the normalised input.
    pub fn offset(&self, value: ValueId) -> Option<usize> {
        self.slots.iter().find(|slot| slot.value == value).map(|slot| slot.offset)
    }

    /// Holds the invariant: values that live at once don't overlap.
    pub(crate) fn verify(&self) {
        for (idx, slot) in self.slots.iter().enumerate() {
            assert!(slot.offset % WORKSPACE_ALIGN == 0, "values are aligned");
            for other in &self.slots[..idx] {
                let apart =
                    other.offset + other.bytes <= slot.offset || slot.offset + slot.bytes <= other.offset;
                assert!(apart || !slot.lives_with(other), "values that live at once lie apart");
            }
        }
    }
}

/// A slot at offset 0 for each value of the workspace.
fn lifetimes(schedule: &Schedule) -> Vec<Slot> {
    let mut slots = Vec::new();
    for (idx, value) in schedule.values.iter().enumerate() {
        let id = ValueId(idx);
        let writes = |step: &Step| step.writes == id || step.buffers().contains(&id);
        let first_step = match value.place {
            Place::Output { .. } => continue,
            Place::Input => 0,
            Place::Workspace => schedule.steps.iter().position(writes).expect("every value is written"),
        };
        let last_step = schedule.steps.iter().rposition(|step| step.reads.contains(&id));
        // In a pair of steps one part may still read what another part's second step would overwrite.
        let last_step = last_step
            .map_or(first_step, |idx| idx + usize::from(schedule.steps[idx].half() == Some(Half::First)));
        let bytes = value.bytes().next_multiple_of(WORKSPACE_ALIGN);
        slots.push(Slot { value: id, offset: 0, bytes, first_step, last_step });
    }
    slots
}
