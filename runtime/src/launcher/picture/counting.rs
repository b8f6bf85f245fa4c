//! The allocator of this crate's tests: how much memory a thread holds, and how much it held at most.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::ptr::null_mut;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static MOST: Cell<isize> = const { Cell::new(0) };
    /// What was allocated last. Given back before anything else happens it was a question whether there is room, and no memory
    /// that is used.
    static LAST: Cell<*mut u8> = const { Cell::new(null_mut()) };
}

/// The bytes that `work` held at most on this thread, beside what the thread held before.
pub(super) fn most_bytes(work: impl FnOnce()) -> u64 {
    let before = HELD.get();
    note_last();
    MOST.set(before);
    work();
    note_last();
    (MOST.get() - before) as u64
}

/// Counts the last allocation as memory that is used.
fn note_last() {
    LAST.set(null_mut());
    MOST.set(MOST.get().max(HELD.get()));
}

struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

/// Counts memory that was handed out, if there was any.
fn note_new(memory: *mut u8, layout: Layout) {
    if !memory.is_null() {
        HELD.set(HELD.get() + layout.size() as isize);
        LAST.set(memory);
    }
}

// SAFETY: every call goes to the system's allocator as it came. What is counted is in cells without destructors, which allocate
// nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note_last();
        // SAFETY: the caller's promises are those of the system's allocator.
        let memory = unsafe { System.alloc(layout) };
        note_new(memory, layout);
        memory
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note_last();
        // SAFETY: as above.
        let memory = unsafe { System.alloc_zeroed(layout) };
        note_new(memory, layout);
        memory
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        if LAST.get() != memory {
            note_last();
        }
        HELD.set(HELD.get() - layout.size() as isize);
        LAST.set(null_mut());
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        note_last();
        // SAFETY: as above.
        let memory = unsafe { System.realloc(memory, layout, bytes) };
        if !memory.is_null() {
            HELD.set(HELD.get() + bytes as isize - layout.size() as isize);
            note_last();
        }
        memory
    }
}
