//! Pairs: a depthwise layer and the pointwise layer behind it, whose parts for threads run in one go.
//!
//! The rows that a part of the pointwise layer reads are then still in the cache of the core that wrote them, and all threads
//! wait for each other once instead of twice, which in a small network is a large share of the time.

use super::{Half, Schedule, Share, Step, Work};
use crate::graph::tensor::Dtype;
use crate::kernels::Kernel;

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
    let parts = ((depthwise.cycles + pointwise.cycles) / isa.policy.least_part_cycles)
        .min(MOST_PARTS)
        .min(map.shape.height);
    if pointwise.reads[0] != depthwise.writes || parts < 2 {
        return;
    }
    let stays = |bytes: usize| bytes < isa.l2_bytes / CACHE_SHARE;
    let weights = kernel.input.shape.channels * kernel.output.shape.channels;
    let (filter, input) = (weights * Dtype::F32.bytes(), map.bytes());
    // A part of the rows reads less of the input between two panels. A part of the channels reads all of it for each of them,
    // and half of it was written by another core.
    let rows_stay = !stays(input) && LEAST_PIXELS * isa.lanes <= map.shape.pixels() / parts;
    if !(stays(filter) || rows_stay) {
        return;
    }
    let reason = format!("; each part right behind its rows of {}", depthwise.name);
    // One thread computes a layer whole, for that is faster, with two exceptions: parts keep an input in the cache that doesn't fit
    // into it whole; and where few kernels are wanted, the parts have them already.
    let first = Share::Pair { half: Half::First, parts, whole_alone: !isa.policy.few_kernels };
    let second = Share::Pair { half: Half::Second, parts, whole_alone: stays(input) };
    let [.., depthwise, pointwise] = schedule.steps.as_mut_slice() else { unreachable!("seen above") };
    pointwise.reason += &reason;
    for (step, new) in [(depthwise, first), (pointwise, second)] {
        if let Work::Layer { share, .. } = &mut step.work {
            *share = new;
        }
    }
}

/// The kernel of a step of one layer.
fn only(step: &Step) -> Option<&Kernel> {
    match &step.work {
        Work::Layer { stage, .. } => Some(&stage.kernel),
        Work::Chain(_) | Work::Copy(_) => None,
    }
}
