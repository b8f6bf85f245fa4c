//! Every piece once, whoever calls and however threads come and go.

use super::*;
use std::sync::Barrier;

/// How often each index was met.
fn visits(pool: &Pool, count: usize) -> Vec<usize> {
    let visits: Vec<AtomicUsize> = (0..count).map(|_| AtomicUsize::new(0)).collect();
    pool.run(count, |index| {
        visits[index].fetch_add(1, Relaxed);
    });
    visits.into_iter().map(AtomicUsize::into_inner).collect()
}

/// Returns once all workers of the pool sleep.
fn until_parked(pool: &Pool) {
    let crew = pool.shared.crew.get().expect("the pool has run");
    let n_workers = lock(&crew.handles).len();
    while pool.shared.n_sleepers.load(SeqCst) != n_workers {
        thread::yield_now();
    }
}

#[test]
fn every_index_is_met_once() {
    for threads in 0..6 {
        let pool = Pool::new(threads);
        assert_eq!(pool.threads(), threads.max(1));
        for count in (0..40).chain([1000]) {
            assert_eq!(visits(&pool, count), vec![1; count], "{threads} threads");
        }
    }
}

#[test]
fn threads_start_with_the_first_work_that_needs_them() {
    let pool = Pool::new(3);
    assert_eq!(visits(&pool, 1), [1]);
    assert!(pool.shared.crew.get().is_none());
    assert_eq!(visits(&pool, 2), [1; 2]);
    assert_eq!(lock(&pool.shared.crew.get().unwrap().handles).len(), 2);
    let alone = Pool::new(1);
    assert_eq!(visits(&alone, 9), [1; 9]);
    assert!(alone.shared.crew.get().is_none());
}

#[test]
fn all_threads_take_part() {
    let pool = Pool::new(3);
    // Nobody passes before three threads are there.
    let barrier = Barrier::new(3);
    let threads = Mutex::new(Vec::new());
    pool.run(3, |_| {
        barrier.wait();
        lock(&threads).push(thread::current().id());
    });
    let threads = lock(&threads);
    assert!(threads.contains(&thread::current().id()));
    assert!(threads[0] != threads[1] && threads[1] != threads[2] && threads[0] != threads[2]);
}

#[test]
fn sleepers_wake() {
    let pool = Pool::new(3);
    for _ in 0..20 {
        assert_eq!(visits(&pool, 7), [1; 7]);
        until_parked(&pool);
    }
    // The caller sleeps as well: it does one piece at once, a worker does the other later than any spinning lasts.
    let barrier = Barrier::new(2);
    pool.run(2, |index| {
        barrier.wait();
        if index == 1 {
            while !pool.shared.reports.0.caller_sleeps.load(SeqCst) {
                thread::yield_now();
            }
        }
    });
}

#[test]
fn a_task_may_use_its_own_pool() {
    let pool = Pool::new(2);
    let n_visits = AtomicUsize::new(0);
    pool.run(8, |_| {
        pool.run(8, |_| {
            pool.run(2, |_| {
                n_visits.fetch_add(1, Relaxed);
            });
        });
    });
    assert_eq!(n_visits.into_inner(), 128);
}

#[test]
fn a_task_may_use_another_pool() {
    let (outer, inner) = (Pool::new(2), Pool::new(3));
    let n_visits = AtomicUsize::new(0);
    for _ in 0..50 {
        outer.run(4, |_| {
            inner.run(4, |_| {
                n_visits.fetch_add(1, Relaxed);
            });
        });
    }
    assert_eq!(n_visits.into_inner(), 800);
}

#[test]
fn callers_at_once_all_get_their_work_done() {
    let pool = Pool::new(3);
    // Miri takes its time.
    let n_runs = if cfg!(miri) { 5 } else { 500 };
    thread::scope(|scope| {
        for count in 2..6 {
            let pool = &pool;
            scope.spawn(move || {
                for _ in 0..n_runs {
                    assert_eq!(visits(pool, count), vec![1; count]);
                }
            });
        }
    });
}

#[test]
fn pools_are_dropped_in_any_state() {
    for round in 0..60 {
        let pool = Pool::new(1 + round % 4);
        match round % 3 {
            0 => {}
            1 => assert_eq!(visits(&pool, 5), [1; 5]),
            _ => {
                assert_eq!(visits(&pool, 5), [1; 5]);
                if 1 < pool.threads() {
                    until_parked(&pool);
                }
            }
        }
    }
}

#[test]
fn many_pools_live_side_by_side() {
    let pools: Vec<Pool> = (0..12).map(|i| Pool::new(1 + i % 4)).collect();
    for count in 0..30 {
        for pool in &pools {
            assert_eq!(visits(pool, count), vec![1; count]);
        }
    }
}

#[test]
fn a_panic_reaches_the_caller_and_the_pool_goes_on() {
    let pool = Pool::new(2);
    for bad in 0..6 {
        let n_visits = AtomicUsize::new(0);
        let result = catch_unwind(AssertUnwindSafe(|| {
            pool.run(6, |index| {
                n_visits.fetch_add(1, Relaxed);
                // Without the hook, and so without a line on standard error.
                if index == bad {
                    resume_unwind(Box::new(index));
                }
            });
        }));
        assert_eq!(result.unwrap_err().downcast_ref(), Some(&bad));
        assert_eq!(n_visits.into_inner(), 6);
    }
    assert_eq!(visits(&pool, 6), [1; 6]);
}

#[test]
fn the_c_interface_outlives_a_move() {
    /// # Safety
    ///
    /// `arg` points to three numbers.
    unsafe extern "C" fn double(arg: *mut c_void, index: usize) {
        // SAFETY: the test runs three pieces on three numbers, and each piece has its own.
        unsafe { *arg.cast::<u32>().add(index) *= 2 };
    }
    let pool = Pool::new(2);
    let parallel = pool.parallel();
    let pool = Box::new(pool);
    let mut numbers = [1u32, 2, 3];
    // SAFETY: the pool lives, and `double` doubles one number of three.
    unsafe { (parallel.run)(parallel.ctx, double, numbers.as_mut_ptr().cast(), 3) };
    assert_eq!(numbers, [2, 4, 6]);
    drop(pool);
}

/// Steps as a network has them: each reads what other threads wrote in the one before, through plain memory.
#[test]
fn a_step_sees_all_of_the_step_before() {
    struct Cells(Vec<UnsafeCell<u64>>);
    // SAFETY: below, a cell is written by the one piece that has its index, and read in the next step.
    unsafe impl Sync for Cells {}
    impl Cells {
        fn new(len: usize) -> Cells {
            Cells((0..len as u64).map(UnsafeCell::new).collect())
        }
        fn at(&self, index: usize) -> *mut u64 {
            self.0[index].get()
        }
    }
    // Miri checks the orderings, and takes its time.
    let divisor = if cfg!(miri) { 300 } else { 1 };
    for (threads, len, n_steps) in [(2, 2, 20_000), (2, 7, 5_000), (3, 5, 2_000), (5, 16, 300)] {
        let n_steps = n_steps / divisor;
        let pool = Pool::new(threads);
        let (mut from, mut to) = (Cells::new(len), Cells::new(len));
        let mut expected: Vec<u64> = (0..len as u64).collect();
        for step in 0..n_steps {
            pool.run(len, |index| {
                // SAFETY: nobody writes `from` in this step, and this piece alone writes its cell of `to`.
                unsafe { *to.at(index) = (*from.at((index + 1) % len)).wrapping_mul(31) + step };
            });
            expected.rotate_left(1);
            expected.iter_mut().for_each(|value| *value = value.wrapping_mul(31) + step);
            (from, to) = (to, from);
        }
        let found: Vec<u64> = from.0.into_iter().map(UnsafeCell::into_inner).collect();
        assert_eq!(found, expected, "{threads} threads");
    }
}
