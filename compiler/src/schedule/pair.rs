//! Pairs: a depthwise layer and the pointwise layer behind it, whose parts for threads run in one go.
//!
//! The rows that a part of the pointwise layer reads are then still in the cache of the core that wrote them, and all threads
//! wait for each other once instead of twice, which in a small network is a large share of the time.

use super::choose::LEAST_PART_CYCLES;
use super::{Schedule, Step};
use crate::kernels::{Kernel, Split};

/// The filter of the pointwise layer is read once for each part, so it has to stay in the second-level cache, of which maps
/// want a share too.
const FILTER_SHARE: usize = 2;

/// Parts of a pair, at most: every one of them reads the whole filter, and rows of few pixels make narrow register tiles.
const MOST_PARTS: usize = 4;

/// Joins the last step to the one before it, if the two are such a pair. Not in a batch: there the pointwise layer takes all
/// images at once.
pub(super) fn join(schedule: &mut Schedule) {
    let isa = schedule.isa;
    if schedule.batch != 1 {
        return;
    }
    let [.., depthwise, pointwise] = schedule.steps.as_slice() else { return };
    let fits = match (kernel(depthwise), kernel(pointwise)) {
        (Some(Kernel::Depthwise(_)), Some(Kernel::Pointwise(kernel))) => {
            let filter_bytes = kernel.input.shape.channels * kernel.output.shape.channels * 4;
            pointwise.reads == [depthwise.writes] && filter_bytes < isa.l2_bytes / FILTER_SHARE
        }
        _ => false,
    };
    let map = schedule.value(depthwise.writes).map;
    let parts =
        ((depthwise.cycles + pointwise.cycles) / LEAST_PART_CYCLES).min(MOST_PARTS).min(map.shape.height);
    if !fits || parts < 2 {
        return;
    }
    let reason = format!("; each part right behind its rows of {}", depthwise.name);
    let last = schedule.steps.len() - 1;
    schedule.steps[last].joined = true;
    schedule.steps[last].reason += &reason;
    schedule.steps[last - 1..].iter_mut().for_each(|step| step.split = Split::Rows(parts));
}

fn kernel(step: &Step) -> Option<&Kernel> {
    match step.stages.as_slice() {
        [stage] => Some(&stage.kernel),
        _ => None,
    }
}
