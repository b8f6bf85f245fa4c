//! What pictures take together while several threads read them.
//!
//! The limit of [`Memory`](super::Memory) is that of one picture; as many of them as there are threads would take as many times the
//! limit. So those whose turn it isn't share one limit more, and wait for each other. The batch whose answers come next never
//! waits for memory, so that the others' turn comes: all together take at most twice the limit.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// The batches of pictures on their way, by their places on the command line.
#[derive(Debug)]
pub(crate) struct Together {
    /// For all batches but the one whose turn it is.
    limit: u64,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// The batch whose answers come next.
    turn: usize,
    /// What batches hold.
    held: Vec<(usize, u64)>,
}

impl Together {
    pub(crate) fn new(limit: u64) -> Together {
        Together { limit, state: Mutex::default(), changed: Condvar::new() }
    }

    /// The next batch has its turn; pictures of the one before are gone.
    pub(crate) fn advance(&self) {
        self.lock().turn += 1;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_until(&self, is_true: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        let mut state = self.lock();
        while !is_true(&state) {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state
    }
}

/// What a picture of a batch holds of the memory of all.
#[derive(Debug)]
pub(crate) struct Share {
    together: Arc<Together>,
    batch: usize,
    bytes: u64,
}

impl Share {
    pub(crate) fn new(together: Arc<Together>, batch: usize) -> Share {
        Share { together, batch, bytes: 0 }
    }

    /// Holds at least so many bytes; waits until they are there.
    pub(super) fn grow(&mut self, bytes: u64) {
        if bytes <= self.bytes {
            return;
        }
        let more = bytes - self.bytes;
        let fits = |state: &State| {
            let others = state.held.iter().filter(|(batch, _)| *batch != state.turn);
            let held = others.fold(more, |sum, (_, bytes)| sum.saturating_add(*bytes));
            state.turn == self.batch || held <= self.together.limit
        };
        self.together.wait_until(fits).held.push((self.batch, more));
        self.bytes = bytes;
    }

    /// Holds no more than so many bytes.
    pub(super) fn shrink(&mut self, bytes: u64) {
        if self.bytes <= bytes {
            return;
        }
        let mut state = self.together.lock();
        let mut less = self.bytes - bytes;
        for (_, held) in state.held.iter_mut().filter(|(batch, _)| *batch == self.batch) {
            let part = less.min(*held);
            *held -= part;
            less -= part;
        }
        state.held.retain(|(_, held)| *held != 0);
        self.bytes = bytes;
        drop(state);
        self.together.changed.notify_all();
    }

    /// Waits until the answers of all batches before have been given.
    pub(super) fn wait_for_turn(&self) {
        drop(self.together.wait_until(|state| state.turn == self.batch));
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.shrink(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::launcher::picture::Memory;
    use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
    use std::thread;

    /// Eight threads want all that a picture may take, and a thread that gives answers lets them go in order.
    #[test]
    fn together_they_take_at_most_twice_the_limit() {
        const LIMIT: u64 = 1000;
        const BATCHES: usize = 200;
        let together = Arc::new(Together::new(LIMIT));
        let (held, most) = (AtomicU64::new(0), AtomicU64::new(0));
        let next = Mutex::new(0);
        let done = (Mutex::new(vec![false; BATCHES]), Condvar::new());
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    loop {
                        let batch = {
                            let mut next = next.lock().unwrap();
                            *next += 1;
                            *next - 1
                        };
                        if BATCHES <= batch {
                            return;
                        }
                        let mut memory = Memory::among(LIMIT, &together, batch);
                        for part in [300, 200, 500] {
                            memory.take(part).unwrap();
                            most.fetch_max(held.fetch_add(part, SeqCst) + part, SeqCst);
                            thread::yield_now();
                        }
                        assert!(memory.take(1).is_err());
                        held.fetch_sub(LIMIT, SeqCst);
                        drop(memory);
                        done.0.lock().unwrap()[batch] = true;
                        done.1.notify_all();
                    }
                });
            }
            for batch in 0..BATCHES {
                let mut is_done = done.0.lock().unwrap();
                while !is_done[batch] {
                    is_done = done.1.wait(is_done).unwrap();
                }
                drop(is_done);
                together.advance();
            }
        });
        let most = most.into_inner();
        assert!((LIMIT..=2 * LIMIT).contains(&most), "{most}");
        assert_eq!(together.lock().held, []);
    }

    /// What is kept counts until its batch has had its turn.
    #[test]
    fn pictures_that_are_kept_make_others_wait() {
        let together = Arc::new(Together::new(100));
        let mut kept = Memory::among(100, &together, 1);
        kept.take(80).unwrap();
        kept.keep(50);
        let mut first = Memory::among(100, &together, 0);
        first.take(100).unwrap();
        drop(first);
        thread::scope(|scope| {
            let waiting = scope.spawn(|| {
                let mut memory = Memory::among(100, &together, 2);
                memory.take(50).unwrap();
                memory.expect(60 - 50).unwrap();
                together.lock().turn
            });
            thread::sleep(std::time::Duration::from_millis(20));
            assert!(!waiting.is_finished());
            together.advance();
            assert_eq!(waiting.join().unwrap(), 1);
        });
        drop(kept);
        assert_eq!(together.lock().held, []);
    }
}
