//! Pools for `NAME_run_parallel` that keep to the letter of their promise and to nothing beyond it.

use std::ffi::c_void;
use std::sync::{Mutex, PoisonError};

use mnc_runtime::abi::{Parallel, Task};

use crate::random::Random;

/// A pool that runs the pieces of a step from the first to the last, on the caller's thread.
pub const FORWARDS: Parallel = Parallel { ctx: std::ptr::null_mut(), run: forwards };

/// A pool that runs the pieces of a step from the last to the first, on the caller's thread.
pub const BACKWARDS: Parallel = Parallel { ctx: std::ptr::null_mut(), run: backwards };

/// A pool that runs each piece of a step on a thread of its own, all of them at once.
pub const ALL_AT_ONCE: Parallel = Parallel { ctx: std::ptr::null_mut(), run: all_at_once };

unsafe extern "C" fn forwards(_: *mut c_void, task: Task, arg: *mut c_void, count: usize) {
    for index in 0..count {
        // SAFETY: the network asked for this call.
        unsafe { task(arg, index) };
    }
}

unsafe extern "C" fn backwards(_: *mut c_void, task: Task, arg: *mut c_void, count: usize) {
    for index in (0..count).rev() {
        // SAFETY: the network asked for this call.
        unsafe { task(arg, index) };
    }
}

unsafe extern "C" fn all_at_once(_: *mut c_void, task: Task, arg: *mut c_void, count: usize) {
    let shared = &Shared(arg);
    let start = &std::sync::Barrier::new(count);
    std::thread::scope(|scope| {
        for index in 0..count {
            scope.spawn(move || {
                start.wait();
                // SAFETY: the network asked for this call.
                unsafe { task(shared.0, index) };
            });
        }
    });
}

/// A pool that runs the pieces of a step one at a time, in another order for each step.
#[derive(Debug)]
pub struct Shuffled {
    random: Mutex<Random>,
    /// Whether each piece has a thread of its own.
    has_threads: bool,
}

impl Shuffled {
    /// On the caller's thread.
    pub fn new(seed: u64) -> Shuffled {
        Shuffled { random: Mutex::new(Random::new(seed)), has_threads: false }
    }

    /// Each piece on a thread of its own, which ends before the next begins.
    pub fn on_threads(seed: u64) -> Shuffled {
        Shuffled { has_threads: true, ..Shuffled::new(seed) }
    }

    /// The pool as a compiled network takes it.
    pub fn parallel(&self) -> Parallel {
        Parallel { ctx: (&raw const *self).cast_mut().cast(), run: shuffled }
    }
}

unsafe extern "C" fn shuffled(ctx: *mut c_void, task: Task, arg: *mut c_void, count: usize) {
    // SAFETY: the pointer is from `Shuffled::parallel`, of a pool that is still there.
    let pool = unsafe { &*ctx.cast::<Shuffled>() };
    let order = pool.random.lock().unwrap_or_else(PoisonError::into_inner).permutation(count);
    let shared = &Shared(arg);
    // SAFETY: the network asked for this call.
    let run = move |index| unsafe { task(shared.0, index) };
    for index in order {
        if pool.has_threads {
            std::thread::scope(|scope| drop(scope.spawn(move || run(index))));
        } else {
            run(index);
        }
    }
}

/// What the network hands to its tasks.
struct Shared(*mut c_void);

// SAFETY: the network promises that its tasks may run on any threads.
unsafe impl Sync for Shared {}
