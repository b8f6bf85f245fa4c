//! Pools for `NAME_run_parallel` that keep to the letter of their promise and to nothing beyond it.

use std::ffi::c_void;

use mnc_runtime::abi::{Parallel, Task};

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
    struct Shared(*mut c_void);
    // SAFETY: the network promises that its tasks may run on any threads.
    unsafe impl Sync for Shared {}
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
