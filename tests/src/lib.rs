//! What the integration tests of `mnc` share: networks, links into this process, comparisons, and what to do where
//! something that a test needs is missing.
//!
//! Readers of one network are compared bit for bit ([`bits`]); a tolerance stands only beside answers recorded from other
//! engines ([`recorded`]).

pub mod bits;
pub mod checkpoints;
pub mod command;
pub mod folder;
pub mod fuzz;
pub mod guarded;
pub mod link;
pub mod need;
pub mod networks;
pub mod picture;
pub mod pool;
pub mod random;
pub mod recipes;
pub mod recorded;
pub mod steps;
pub mod turns;
pub mod user_crate;

use std::sync::atomic::{AtomicUsize, Ordering};

/// Does `work` for every item on all processors; the results in the order of the items.
///
/// # Panics
/// When `work` does.
pub fn each<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut done = Vec::new();
        loop {
            let idx = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(idx) else { return done };
            done.push((idx, work(item)));
        }
    };
    let n_threads = std::thread::available_parallelism().map_or(1, usize::from);
    // The threads work for the test of this one, whose name is the test's.
    let test = std::thread::current().name().unwrap_or("?").to_owned();
    let mut results: Vec<(usize, R)> = std::thread::scope(|scope| {
        let spawn = |_| std::thread::Builder::new().name(test.clone()).spawn_scoped(scope, worker);
        let threads: Vec<_> =
            (0..n_threads).map(|idx| spawn(idx).expect("a thread can be started")).collect();
        let join = |thread: std::thread::ScopedJoinHandle<'_, Vec<(usize, R)>>| {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        threads.into_iter().flat_map(join).collect()
    });
    results.sort_by_key(|(idx, _)| *idx);
    results.into_iter().map(|(_, result)| result).collect()
}
