//! `--orders`: runs the network as [`crate::orders`] asks on standard input, and shows what it left in memory.
//!
//! Before each run workspace and output are filled with NaN, so that what nobody wrote is seen to be read.

use super::args;
use super::inputs::Loader;
use super::model::Model;
use super::picture::Memory;
use super::prepare::Prepare;
use crate::abi::{Parallel, Status, Task};
use crate::orders::{Manner, Order, Outcome, Region, View, write_answer};
use crate::pool::Pool;
use std::ffi::c_void;
use std::io::{self, Read, Write};
use std::path::PathBuf;

/// Carries out orders until there are no more.
pub(super) fn obey(model: &mut Model, from: &mut impl Read, to: &mut impl Write) -> io::Result<()> {
    while let Some(order) = Order::read(from)? {
        match order {
            Order::Info => write_answer(to, Ok(model.info_json()))?,
            Order::Prepare(path) => {
                let answer = prepare(model, path);
                write_answer(to, answer.as_deref().map_err(String::as_str))?;
            }
            Order::Run(manner, views) => {
                let mut input = vec![0; size_of_val(&*model.input)];
                from.read_exact(&mut input)?;
                for (value, bytes) in model.input.iter_mut().zip(input.as_chunks().0) {
                    *value = f32::from_le_bytes(*bytes);
                }
                let answer = run(model, manner, views).map(|outcome| outcome.to_bytes());
                write_answer(to, answer.as_deref().map_err(String::as_str))?;
            }
        }
    }
    Ok(())
}

fn prepare(model: &Model, path: Vec<u8>) -> Result<Vec<u8>, String> {
    let mut input = vec![0.0; model.info.input.len()];
    let loader = Loader { prepare: Prepare::new(&model.info)?, keeps: false };
    loader.load(&to_path(path)?, &mut input, Memory::new(args::MOST_MEMORY))?;
    Ok(input.into_iter().flat_map(f32::to_le_bytes).collect())
}

#[cfg(unix)]
fn to_path(bytes: Vec<u8>) -> Result<PathBuf, String> {
    use std::os::unix::ffi::OsStringExt;
    Ok(std::ffi::OsString::from_vec(bytes).into())
}

#[cfg(not(unix))]
fn to_path(bytes: Vec<u8>) -> Result<PathBuf, String> {
    String::from_utf8(bytes).map(PathBuf::from).map_err(|_| "expected a path in UTF-8".to_string())
}

fn run(model: &mut Model, manner: Manner, views: Vec<View>) -> Result<Outcome, String> {
    for view in &views {
        let end = view.offset.checked_add(view.bytes);
        if end.is_none_or(|end| (model.memory(view.region).1 as u64) < end) {
            return Err(format!("found a look at {view:?}, expected one inside of the network's memory"));
        }
    }
    model.spoil();
    let memory = [Region::Workspace, Region::Output].map(|region| model.memory(region).0);
    let mut watch = Watch { views, memory, seen: Vec::new(), point: 0, manner, pool: None };
    let status = match manner {
        Manner::Serial => model.run(),
        Manner::Steps => model.run().inspect(|()| {
            // Whether this CPU can run the steps is known now; what the run has left is not.
            model.spoil();
            for step_idx in 0..model.info.steps.len() {
                model.step(step_idx);
                watch.look();
            }
            watch.point = 0;
        }),
        Manner::Threads(threads) => {
            let pool = Pool::new(threads as usize);
            watch.pool = Some(pool.parallel());
            model.run_on(&watch.parallel())
        }
        Manner::Forwards | Manner::Backwards | Manner::Shuffled(_) => model.run_on(&watch.parallel()),
    };
    let code = status.err().map_or(0, Status::code);
    let output = model.output().iter().flat_map(|x| x.to_le_bytes()).collect();
    Ok(Outcome { status: code, n_calls: watch.point, seen: watch.seen, output })
}

/// A pool that looks at the network's memory after each step.
struct Watch {
    views: Vec<View>,
    /// Where workspace and output begin.
    memory: [*const u8; 2],
    seen: Vec<u8>,
    /// Steps, or calls, so far.
    point: u64,
    manner: Manner,
    /// Who does the work of a call; the caller itself if nobody.
    pool: Option<Parallel>,
}

impl Watch {
    fn parallel(&mut self) -> Parallel {
        Parallel { ctx: (&raw mut *self).cast(), run: watched }
    }

    /// Copies what is to be seen now.
    fn look(&mut self) {
        for view in self.views.iter().filter(|view| view.point == self.point) {
            let start = self.memory[usize::from(view.region == Region::Output)];
            // SAFETY: `run` has checked the view against the length of the memory, which outlives this; between two steps
            // nobody writes to it.
            let bytes =
                unsafe { std::slice::from_raw_parts(start.add(view.offset as usize), view.bytes as usize) };
            self.seen.extend_from_slice(bytes);
        }
        self.point += 1;
    }

    /// The order in which the caller does so many pieces by itself.
    fn pieces(&self, count: usize) -> Vec<usize> {
        let mut pieces: Vec<usize> = (0..count).collect();
        match self.manner {
            Manner::Backwards => pieces.reverse(),
            Manner::Shuffled(seed) => {
                let mut state = seed ^ self.point.wrapping_mul(0xd134_2543_de82_ef95);
                for idx in (1..count).rev() {
                    // The constants of Knuth's MMIX; the high bits are the good ones.
                    state =
                        state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    pieces.swap(idx, ((state >> 33) % (idx as u64 + 1)) as usize);
                }
            }
            Manner::Serial | Manner::Steps | Manner::Threads(_) | Manner::Forwards => {}
        }
        pieces
    }
}

/// [`Parallel::run`] of a [`Watch`].
///
/// # Safety
///
/// `ctx` is a [`Watch`] that nobody else has, and `task` may be called with `arg` and any index below `count`.
unsafe extern "C" fn watched(ctx: *mut c_void, task: Task, arg: *mut c_void, count: usize) {
    // SAFETY: the caller vouches for `ctx`; a network calls its pool from one thread.
    let watch = unsafe { &mut *ctx.cast::<Watch>() };
    match &watch.pool {
        // SAFETY: the pool lives as long as the run, and the caller vouches for the task.
        Some(pool) => unsafe { (pool.run)(pool.ctx, task, arg, count) },
        None => watch.pieces(count).into_iter().for_each(|index| {
            // SAFETY: the index is below `count`.
            unsafe { task(arg, index) }
        }),
    }
    watch.look();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::launcher::model::tests::example_model;
    use crate::orders::read_answer;

    /// The answers to such orders.
    fn answers(orders: &[(Order, &[f32])]) -> Vec<Result<Vec<u8>, String>> {
        let mut model = example_model();
        let mut bytes = Vec::new();
        for (order, input) in orders {
            order.write(&mut bytes).unwrap();
            let rest = model.input.len() - input.len();
            if matches!(order, Order::Run(..)) {
                let values = input.iter().copied().chain(std::iter::repeat_n(0.0, rest));
                bytes.extend(values.flat_map(f32::to_le_bytes));
            }
        }
        let mut out = Vec::new();
        obey(&mut model, &mut bytes.as_slice(), &mut out).unwrap();
        let mut out = out.as_slice();
        let answers = orders.iter().map(|_| read_answer(&mut out).unwrap()).collect();
        assert!(out.is_empty(), "an answer to each order");
        answers
    }

    #[test]
    fn runs_are_seen() {
        let view = View { point: 0, region: Region::Output, offset: 4, bytes: 8 };
        let manners =
            [Manner::Serial, Manner::Steps, Manner::Threads(3), Manner::Backwards, Manner::Shuffled(1)];
        let input = [1.0, 2.0, 3.0];
        let orders = manners.map(|manner| (Order::Run(manner, vec![view]), &input[..]));
        for (answer, manner) in answers(&orders).into_iter().zip(manners) {
            let outcome = Outcome::from_bytes(&answer.unwrap()).unwrap();
            let bytes: Vec<u8> = input.into_iter().flat_map(f32::to_le_bytes).collect();
            assert_eq!((outcome.status, &outcome.output), (0, &bytes), "{manner:?}");
            let is_seen = manner != Manner::Serial;
            assert_eq!(outcome.seen, if is_seen { &bytes[4..] } else { &[] }, "{manner:?}");
            let has_pool = is_seen && manner != Manner::Steps;
            assert_eq!(outcome.n_calls, u64::from(has_pool), "{manner:?}");
        }
    }

    #[test]
    fn a_look_outside_is_refused() {
        for (offset, bytes) in [(8, 8), (u64::MAX, 2), (13, 0)] {
            let view = View { point: 0, region: Region::Output, offset, bytes };
            let answer = &answers(&[(Order::Run(Manner::Steps, vec![view]), &[])])[0];
            assert!(answer.as_ref().is_err_and(|error| error.contains("inside of")), "{answer:?}");
        }
    }

    #[test]
    fn every_order_of_pieces_has_all_of_them() {
        let pieces = |manner, point| {
            let memory = [std::ptr::null(); 2];
            Watch { views: Vec::new(), memory, seen: Vec::new(), point, manner, pool: None }.pieces(8)
        };
        assert_eq!(pieces(Manner::Forwards, 0), [0, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(pieces(Manner::Backwards, 0), [7, 6, 5, 4, 3, 2, 1, 0]);
        let mut all = std::collections::BTreeSet::new();
        for point in 0..50 {
            let mut shuffled = pieces(Manner::Shuffled(3), point);
            all.insert(shuffled.clone());
            shuffled.sort_unstable();
            assert_eq!(shuffled, pieces(Manner::Forwards, 0));
        }
        assert!(40 < all.len(), "{} orders of 50", all.len());
    }
}
