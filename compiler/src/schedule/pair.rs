//! Pairs: a depthwise layer and the pointwise layer behind it, whose parts for threads run in one go.
//!
//! The rows that a part of the pointwise layer reads are then still in the cache of the core that wrote them, and all threads
//! wait for each other once instead of twice, which in a small network is a large share of the time.

use super::{Schedule, Step};
use crate::kernels::{Kernel, Split};

/// Of the second-level cache, the share that a filter may fill which every part reads anew, or a map that every panel does.
const CACHE_SHARE: usize = 2;

/// Parts of a pair, at most: every one of them reads the whole filter, and rows of few pixels make narrow register tiles.
const MOST_PARTS: usize = 4;

/// Pixels of a part for each lane of a vector, at least, when the filter comes from beyond the second-level cache: with two
/// multiply-adds a cycle it then arrives at two bytes a cycle or fewer, which a busy machine still gives.
const LEAST_PIXELS: usize = 4;

/// Joins the last step to the one before it, if the two are such a pair. Not in a batch: there the pointwise layer takes all
/// images at once.
pub(super) fn join(schedule: &mut Schedule) {
    let isa = schedule.isa;
    if schedule.batch != 1 {
        return;
    }
    let [.., depthwise, pointwise] = schedule.steps.as_slice() else { return };
    let (Some(Kernel::Depthwise(_)), Some(Kernel::Pointwise(kernel))) = (only(depthwise), only(pointwise))
    else {
        return;
    };
    let map = schedule.value(depthwise.writes).map;
    let parts =
        ((depthwise.cycles + pointwise.cycles) / isa.least_part_cycles).min(MOST_PARTS).min(map.shape.height);
    if pointwise.reads != [depthwise.writes] || parts < 2 {
        return;
    }
    let stays = |elements: usize| elements * 4 < isa.l2_bytes / CACHE_SHARE;
    let (filter, input) = (kernel.input.shape.channels * kernel.output.shape.channels, map.len());
    // A part of the rows reads less of the input between two panels. A part of the channels reads all of it for each of them,
    // and half of it was written by another core.
    let rows_stay = !stays(input) && LEAST_PIXELS * isa.lanes <= map.shape.pixels() / parts;
    if !(stays(filter) || rows_stay) {
        return;
    }
    let reason = format!("; each part right behind its rows of {}", depthwise.name);
    let last = schedule.steps.len() - 1;
    schedule.steps[last].joined = true;
    schedule.steps[last].reason += &reason;
    schedule.steps[last - 1..].iter_mut().for_each(|step| step.split = Split::Rows(parts));
    // One thread is better off without parts, but where the input stays in the cache only part by part, and where parts
    // share their kernels and no large filter is read anew for each.
    schedule.steps[last - 1].whole_alone = !isa.few_kernels;
    schedule.steps[last].whole_alone = stays(input);
}

fn only(step: &Step) -> Option<&Kernel> {
    match step.stages.as_slice() {
        [stage] => Some(&stage.kernel),
        _ => None,
    }
}
