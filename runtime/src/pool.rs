//! The runtime's own thread pool behind [`Parallel`]: made for a network's few dozen short steps, back to back.
//!
//! - Threads start with the first work that needs them. The caller is one of the threads of its pool.
//! - Between steps workers spin, so that a warm [`Parallel::run`] costs a fraction of a microsecond and no system call;
//!   after [`SPIN`] without work they sleep, and an idle pool burns nothing.
//! - The caller takes pieces from the front, workers from the back: in a network, the same thread tends to meet the same
//!   rows or channels again in the next step and in the next inference, while they are in its cache.
//! - A pool has one job at a time. A caller that finds it busy, be it another thread or a piece of work that comes back
//!   to its own pool, runs its pieces itself: nobody queues and nothing can wait in a circle.
//!
//! How much of a job is left is one word, `front..back`, and claiming a piece is one compare-and-swap on it. The job
//! itself is read after a claim only: whoever holds a piece keeps the job from ending, and so from being replaced.

use crate::abi::{Parallel, Task};
use std::any::Any;
use std::cell::UnsafeCell;
use std::ffi::c_void;
use std::hint;
use std::mem::ManuallyDrop;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long a thread looks for work, or for the end of others' work, before it sleeps: longer than the serial steps of
/// a network, shorter than anybody notices. With more threads than cores nobody spins.
pub const SPIN: Duration = Duration::from_micros(100);

/// So many threads, the caller's included, that share the pieces of one job at a time.
///
/// ```
/// use mnc_runtime::pool::Pool;
/// use std::sync::atomic::{AtomicUsize, Ordering};
///
/// let pool = Pool::new(2);
/// let sum = AtomicUsize::new(0);
/// pool.run(100, |index| {
///     sum.fetch_add(index, Ordering::Relaxed);
/// });
/// assert_eq!(sum.into_inner(), 4950);
/// ```
#[derive(Debug)]
pub struct Pool {
    shared: Arc<Shared>,
}

impl Pool {
    /// A pool of `threads` threads, of which none is started yet. Zero is taken as one: the caller alone.
    pub fn new(threads: usize) -> Pool {
        let n_threads = threads.max(1);
        Pool { shared: Arc::new(Shared { n_threads, ..Shared::default() }) }
    }

    /// Threads that work on a job, the caller's included.
    pub fn threads(&self) -> usize {
        self.shared.n_threads
    }

    /// Calls `task` once with each index below `count`, in any order, and returns when all calls have.
    ///
    /// # Panics
    ///
    /// When a call panics: with the payload of one of them, after all the others.
    pub fn run(&self, count: usize, task: impl Fn(usize) + Sync) {
        let job = Closure { task, panic: Mutex::new(None) };
        let arg = (&raw const job).cast_mut().cast();
        // SAFETY: `arg` is the closure that this instance of the trampoline expects; it lives past the call, and
        // `Sync` lets threads share it.
        unsafe { self.shared.run(closure_task(&job), arg, count) }
        if let Some(payload) = job.panic.into_inner().unwrap_or_else(PoisonError::into_inner) {
            resume_unwind(payload);
        }
    }

    /// The pool as a compiled network takes it. Whoever uses it must keep the pool; moving the pool is fine.
    pub fn parallel(&self) -> Parallel {
        Parallel { ctx: Arc::as_ptr(&self.shared).cast_mut().cast(), run: run_abi }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.quit.store(true, SeqCst);
        self.shared.wake_workers();
        if let Some(crew) = self.shared.crew.get() {
            for handle in lock(&crew.handles).drain(..) {
                // A worker can't panic: what it runs either catches panics or aborts.
                let _ = handle.join();
            }
        }
    }
}

/// [`Parallel::run`] of every pool.
///
/// # Safety
///
/// `ctx` is from [`Pool::parallel`] of a pool that lives, and `task` may be called with `arg` and any index below
/// `count` from any thread.
unsafe extern "C" fn run_abi(ctx: *mut c_void, task: Task, arg: *mut c_void, count: usize) {
    // SAFETY: `ctx` is the pointer of an `Arc` that the pool holds; not dropping this one leaves its count alone.
    let shared = ManuallyDrop::new(unsafe { Arc::from_raw(ctx.cast_const().cast::<Shared>()) });
    // SAFETY: the caller vouches for the task.
    unsafe { shared.run(task, arg, count) }
}

/// A closure on its way through the C interface, where a panic must not pass.
struct Closure<F> {
    task: F,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

/// The trampoline of a closure's type.
fn closure_task<F: Fn(usize) + Sync>(_: &Closure<F>) -> Task {
    /// # Safety
    ///
    /// `arg` points to a `Closure<F>`.
    unsafe extern "C" fn call<F: Fn(usize) + Sync>(arg: *mut c_void, index: usize) {
        // SAFETY: the caller vouches for `arg`.
        let job = unsafe { &*arg.cast::<Closure<F>>() };
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| (job.task)(index))) {
            *lock(&job.panic) = Some(payload);
        }
    }
    call::<F>
}

/// What is to be called with each index.
#[derive(Clone, Copy, Debug)]
struct Job {
    task: Task,
    arg: *mut c_void,
}

/// Two cache lines, which is what processors fetch at once: nobody's writing disturbs the readers of a neighbour.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Apart<T>(T);

/// What spinning workers watch, and what they need next.
#[derive(Debug, Default)]
struct Board {
    /// The indices that nobody has claimed: `front` in the low half, `back` in the high half. Empty between jobs.
    left: AtomicU64,
    job: UnsafeCell<Option<Job>>,
}

/// What the caller watches in the end.
#[derive(Debug, Default)]
struct Reports {
    /// Pieces that workers have finished of the current job.
    n_finished: AtomicUsize,
    caller_sleeps: AtomicBool,
}

#[derive(Debug, Default)]
struct Shared {
    n_threads: usize,
    board: Apart<Board>,
    reports: Apart<Reports>,
    /// Whether a job is on. Who turns it on may write the board.
    busy: Apart<AtomicBool>,
    /// Workers that sleep; written under the lock of `rounds`.
    n_sleepers: AtomicUsize,
    /// How many times sleepers were woken.
    rounds: Mutex<u64>,
    wake: Condvar,
    done_lock: Mutex<()>,
    done: Condvar,
    quit: AtomicBool,
    crew: OnceLock<Crew>,
}

/// What the first job starts.
#[derive(Debug)]
struct Crew {
    handles: Mutex<Vec<JoinHandle<()>>>,
    /// [`SPIN`], or nothing where spinning would keep another thread of the pool from its core.
    spin: Duration,
}

// SAFETY: all but the board's job is made of locks and atomics. The job is written by the thread that holds `busy`, while
// nothing is left to claim and nobody holds a piece; it is read by threads that hold a piece. Its pointers go to threads
// with the consent of whoever called `run_abi` or `Pool::run`.
unsafe impl Sync for Shared {}
// SAFETY: as above; nothing in it belongs to a thread.
unsafe impl Send for Shared {}

impl Shared {
    /// # Safety
    ///
    /// `task` may be called with `arg` and any index below `count` from any thread, until this returns.
    unsafe fn run(self: &Arc<Shared>, task: Task, arg: *mut c_void, count: usize) {
        let Ok(back @ 2..) = u32::try_from(count) else {
            // One piece or none, or more than the word can hold, which no network has.
            // SAFETY: the caller vouches for the task.
            return unsafe { serve(task, arg, 0..count) };
        };
        // Acquire: what the caller of the job before wrote to the board, and read, is over.
        if self.n_threads == 1 || self.busy.0.load(Relaxed) || self.busy.0.swap(true, Acquire) {
            // SAFETY: the caller vouches for the task.
            return unsafe { serve(task, arg, 0..count) };
        }
        let spin = self.crew.get_or_init(|| self.start()).spin;
        let (board, reports) = (&self.board.0, &self.reports.0);
        // SAFETY: `busy` is ours, so no other caller writes; and the job before ended with all of its pieces reported,
        // so no worker holds a piece, without which none reads.
        unsafe { *board.job.get() = Some(Job { task, arg }) };
        // Nobody adds to it before having claimed a piece of this job.
        reports.n_finished.store(0, Relaxed);
        // Publishes the two stores above (release), and comes before the look at the sleepers in the one order of all
        // SeqCst operations: see `sleep`. The first piece is ours from the start.
        board.left.store(pack(1, back), SeqCst);
        if self.n_sleepers.load(SeqCst) != 0 {
            self.wake_workers();
        }
        let mut n_own = 1;
        // SAFETY: the caller vouches for the task, and claims are below `count`.
        unsafe { task(arg, 0) };
        while let Some(index) = self.claim(|front, back| (front, pack(front + 1, back))) {
            // SAFETY: as above.
            unsafe { task(arg, index) };
            n_own += 1;
        }
        self.wait_for_reports(count - n_own, spin);
        // Release: for the next caller.
        self.busy.0.store(false, Release);
    }

    /// Takes one index away from `left`, if there is one: `take` says which, and what remains.
    fn claim(&self, take: impl Fn(u32, u32) -> (u32, u64)) -> Option<usize> {
        let left = &self.board.0.left;
        let mut seen = left.load(Relaxed);
        loop {
            let (front, back) = unpack(seen);
            if back <= front {
                return None;
            }
            let (index, rest) = take(front, back);
            // Acquire: the word comes from the store that published its job, or from a claim after it, which as a
            // read-modify-write continues that store's release sequence; so the job is visible to whoever claims. That
            // the word may have been emptied and filled since `seen` was loaded does no harm: equal words mean that this
            // index of the current job is free, whichever job that is.
            match left.compare_exchange_weak(seen, rest, Acquire, Relaxed) {
                Ok(_) => return Some(index as usize),
                Err(now) => seen = now,
            }
        }
    }

    fn wait_for_reports(&self, n_expected: usize, spin: Duration) {
        let reports = &self.reports.0;
        // Acquire: the reports are read-modify-writes of one chain, so the last value brings what all workers wrote.
        let is_done = || reports.n_finished.load(Acquire) == n_expected;
        if spin_until(spin, is_done) {
            return;
        }
        let mut guard = lock(&self.done_lock);
        // SeqCst, here and in `report`: either this load sees the last report, or that report's thread sees the flag; and
        // then it takes the lock before it notifies, so not before we wait.
        reports.caller_sleeps.store(true, SeqCst);
        while reports.n_finished.load(SeqCst) != n_expected {
            guard = self.done.wait(guard).unwrap_or_else(PoisonError::into_inner);
        }
        reports.caller_sleeps.store(false, Relaxed);
    }

    /// Starts the workers: fewer if the system refuses, for the caller can do without.
    fn start(self: &Arc<Shared>) -> Crew {
        let n_cores = thread::available_parallelism().map_or(1, usize::from);
        let spin = if self.n_threads <= n_cores { SPIN } else { Duration::ZERO };
        let worker = |_| {
            let shared = Arc::clone(self);
            thread::Builder::new().name("mnc-pool".to_string()).spawn(move || shared.work(spin)).ok()
        };
        Crew { handles: Mutex::new((1..self.n_threads).map_while(worker).collect()), spin }
    }

    /// The life of a worker.
    fn work(&self, spin: Duration) {
        loop {
            let mut n_finished = 0;
            while let Some(index) = self.claim(|front, back| (back - 1, pack(front, back - 1))) {
                // SAFETY: a piece is claimed and not reported, so the job is published and stays.
                let job = unsafe { *self.board.0.job.get() };
                let Job { task, arg } = job.expect("a job is written before its pieces are published");
                // SAFETY: who called `run` vouches for the task until all pieces are reported.
                unsafe { task(arg, index) };
                n_finished += 1;
            }
            if n_finished != 0 {
                self.report(n_finished);
            }
            if self.quit.load(Relaxed) {
                return;
            }
            if !spin_until(spin, || self.has_news()) {
                self.sleep();
            }
        }
    }

    /// Whether a worker has a reason to leave its idleness.
    fn has_news(&self) -> bool {
        let (front, back) = unpack(self.board.0.left.load(SeqCst));
        front < back || self.quit.load(SeqCst)
    }

    fn report(&self, n_finished: usize) {
        // Release: what the pieces wrote; and the order that `wait_for_reports` speaks of.
        self.reports.0.n_finished.fetch_add(n_finished, SeqCst);
        if self.reports.0.caller_sleeps.load(SeqCst) {
            drop(lock(&self.done_lock));
            self.done.notify_one();
        }
    }

    /// Returns once somebody has called [`Shared::wake_workers`], or at once if there is news.
    fn sleep(&self) {
        let mut round = lock(&self.rounds);
        // In the one order of all SeqCst operations either this comes first, and a caller that publishes sees a sleeper;
        // or the caller's word comes first, and `has_news` sees it.
        self.n_sleepers.fetch_add(1, SeqCst);
        if self.has_news() {
            self.n_sleepers.fetch_sub(1, SeqCst);
            return;
        }
        let asleep_since = *round;
        while *round == asleep_since {
            round = self.wake.wait(round).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Wakes all sleepers, and takes them off the count at once: until they are awake, no step of the network pays for
    /// waking them again.
    #[cold]
    fn wake_workers(&self) {
        let mut round = lock(&self.rounds);
        *round += 1;
        self.n_sleepers.store(0, SeqCst);
        drop(round);
        self.wake.notify_all();
    }
}

/// # Safety
///
/// `task` may be called with `arg` and the indices.
unsafe fn serve(task: Task, arg: *mut c_void, indices: Range<usize>) {
    for index in indices {
        // SAFETY: the caller vouches for it.
        unsafe { task(arg, index) };
    }
}

const fn pack(front: u32, back: u32) -> u64 {
    (back as u64) << 32 | front as u64
}

const fn unpack(word: u64) -> (u32, u32) {
    (word as u32, (word >> 32) as u32)
}

/// Waits for `is_ready` without a system call, but no longer than `limit`. Whether it became ready.
fn spin_until(limit: Duration, is_ready: impl Fn() -> bool) -> bool {
    if limit.is_zero() {
        return is_ready();
    }
    let mut since: Option<Instant> = None;
    loop {
        // The clock costs as much as many looks.
        for _ in 0..64 {
            if is_ready() {
                return true;
            }
            hint::spin_loop();
        }
        match since {
            None => since = Some(Instant::now()),
            Some(since) if limit <= since.elapsed() => return false,
            Some(_) => {}
        }
    }
}

/// Whoever held a lock of ours and panicked left nothing half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
