//! Work in parts for threads, whose results come back in order: how many threads there are changes nothing.

use std::thread;

/// What a function makes of each index below `n`.
pub(super) fn parallel<T: Send>(n: usize, n_threads: usize, each: &(dyn Fn(usize) -> T + Sync)) -> Vec<T> {
    let n_parts = n_threads.clamp(1, n.max(1));
    if n_parts == 1 {
        return (0..n).map(each).collect();
    }
    thread::scope(|scope| {
        let part = |idx: usize| idx * n / n_parts..(idx + 1) * n / n_parts;
        let parts: Vec<_> =
            (0..n_parts).map(|idx| scope.spawn(move || part(idx).map(each).collect::<Vec<T>>())).collect();
        let join = |part: thread::ScopedJoinHandle<'_, Vec<T>>| {
            part.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        parts.into_iter().flat_map(join).collect()
    })
}
