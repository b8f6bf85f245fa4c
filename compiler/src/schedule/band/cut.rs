//! Which layers make a chain, and how many rows a band of it has.
//!
//! A network may have thousands of layers, so chains have a bounded length, and those that end with the same layer share their
//! work: how far a stage is after each band depends on the stages behind it alone.
//!
//! Maps and filters count as if their elements were f32. So a network in int8 is cut as the same one in f32, and its workspace is a
//! quarter as large: small machines lack memory before they lack cache.

use super::{band_ends, end_of, first_needed, kept, rows_at_once};
use crate::graph::tensor::Dtype;
use crate::kernels::{FeatureMap, Kernel};
use crate::passes::{Fused, FusedId};
use crate::target::Isa;

/// Layers of a chain, at most: their filters fill the cache long before, but for tiny ones.
const MOST_STAGES: usize = 32;

/// The nodes from `first` on of which each computes rows from rows that only the one before it gives: those of which chains
/// can be made.
pub(in crate::schedule) fn run(network: &Fused, first: FusedId) -> Vec<FusedId> {
    let mut run = vec![first];
    if !network.nodes[first.0].layer.reads_rows() {
        return run;
    }
    while let Some(next) = network.nodes.get(run[run.len() - 1].0 + 1) {
        let id = run[run.len() - 1];
        let readers =
            network.nodes.iter().flat_map(|node| &node.inputs).filter(|input| **input == id).count();
        // A residual is a map from before the run: what lies in it has one reader, the next.
        let private = next.inputs[0] == id && readers == 1 && !network.outputs.contains(&id);
        if !(private && next.layer.reads_rows()) {
            break;
        }
        run.push(FusedId(id.0 + 1));
    }
    run
}

/// Of a row, as it counts.
fn row_bytes(map: FeatureMap) -> usize {
    map.row_stride() * Dtype::F32.bytes()
}

/// Of the filter of a stage, as it counts; depthwise ones have words of few bytes anyway.
fn filter_bytes(stage: &Kernel, isa: &Isa) -> usize {
    let bytes = stage.filter_bytes(isa);
    match stage {
        Kernel::Depthwise(_) => bytes,
        _ => bytes * Dtype::F32.bytes() / stage.input().dtype.bytes(),
    }
}

/// Of the map behind a stage, as it counts.
fn map_bytes(stage: &Kernel) -> usize {
    stage.output().shape.height * row_bytes(stage.output())
}

/// A cut of the first stages of a run, ordered as cuts are preferred.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Cut {
    /// Bytes between two chains that don't stay in the second-level cache.
    far_bytes: usize,
    /// Layers in bands.
    banded: usize,
    /// Where the last chain begins.
    last_chain: usize,
}

/// Cuts a run of stages into chains, as their lengths: the cut of which the fewest bytes between two chains don't stay in the
/// second-level cache; among equals that with the fewest layers in bands.
pub(in crate::schedule) fn cut(stages: &[&Kernel], isa: &Isa) -> Vec<usize> {
    let n = stages.len();
    let far = |stage: usize| {
        let bytes = map_bytes(stages[stage]);
        if isa.l2_bytes < bytes { bytes } else { 0 }
    };
    // For each number of stages, the cheapest.
    let mut best = vec![Cut { far_bytes: 0, banded: 0, last_chain: 0 }];
    for end in 1..=n {
        let far_behind = if end < n { far(end - 1) } else { 0 };
        let cuts = (1..=longest(&stages[..end], isa)).map(|len| {
            let before = &best[end - len];
            Cut {
                far_bytes: before.far_bytes + far_behind,
                banded: before.banded + if len == 1 { 0 } else { len },
                last_chain: end - len,
            }
        });
        best.push(cuts.min().expect("a stage by itself fits"));
    }
    let mut lens = Vec::new();
    let mut end = n;
    while end != 0 {
        let first = best[end].last_chain;
        lens.push(end - first);
        end = first;
    }
    lens.reverse();
    lens
}

/// Stages of the longest chain that ends with the last of `stages` and may be worth it: it and all that are shorter stay in the
/// second-level cache.
fn longest(stages: &[&Kernel], isa: &Isa) -> usize {
    let most = stages.len().min(MOST_STAGES);
    let [before @ .., last] = &stages[stages.len() - most..] else { unreachable!("a run has a stage") };
    // A chain whose maps all stay in the cache costs as many bytes as its layers one by one.
    if before.iter().all(|stage| map_bytes(stage) <= isa.l2_bytes) {
        return 1;
    }
    let mut chain = Chain::of(last, 1, isa);
    let fitting = before.iter().rev().take_while(|stage| {
        chain.put_before(stage);
        chain.fits()
    });
    1 + fitting.count()
}

/// The most rows of the last stage whose buffers leave room in the second-level cache, at least one.
pub(in crate::schedule) fn band_rows(stages: &[&Kernel], height: usize, isa: &Isa) -> usize {
    let [before @ .., last] = stages else { unreachable!("a chain has stages") };
    let fits = |rows: &usize| {
        let mut chain = Chain::of(last, *rows, isa);
        before.iter().rev().for_each(|stage| chain.put_before(stage));
        chain.fits()
    };
    (1..=height).rev().find(fits).unwrap_or(1)
}

/// Of the second-level cache, what filters and buffers of a chain may fill: pages of its other tenants lie where they lie.
const CACHE_SHARE: (usize, usize) = (3, 4);

/// The bytes of a chain that grows from its last stage towards the front.
pub(super) struct Chain<'a> {
    isa: &'a Isa,
    first: &'a Kernel,
    /// Rows of the first stage that are computed in the beginning and after each band.
    done: Vec<usize>,
    /// Filters, and the buffers between groups.
    bytes: usize,
    /// Of the group in front: bytes of a row behind each stage but the last of it.
    group_row_bytes: usize,
    /// Rows that it computes at a time.
    group_rows: usize,
}

impl<'a> Chain<'a> {
    /// A chain of one stage, so many rows of it at a time.
    pub(super) fn of(last: &'a Kernel, band_rows: usize, isa: &'a Isa) -> Chain<'a> {
        let ends = band_ends(0..last.output().shape.height, band_rows);
        let done = [0].into_iter().chain(ends).collect();
        let bytes = filter_bytes(last, isa);
        Chain { isa, first: last, done, bytes, group_row_bytes: 0, group_rows: usize::MAX }
    }

    /// Puts a stage before the first.
    pub(super) fn put_before(&mut self, stage: &'a Kernel) {
        #[cfg(test)]
        super::tests::N_STAGES_LOOKED_AT.set(super::tests::N_STAGES_LOOKED_AT.get() + 1);
        let next = self.first;
        let mut done = Vec::with_capacity(self.done.len());
        done.push(first_needed(next, self.done[0]));
        for rows in self.done.windows(2) {
            let end = end_of(next, rows[0]..rows[1], done[done.len() - 1]);
            done.push(end);
        }
        let row_bytes = row_bytes(stage.output());
        if matches!(next, Kernel::Pointwise(_)) {
            self.group_row_bytes += row_bytes;
            self.group_rows = self.group_rows.min(rows_at_once(next, self.isa));
        } else {
            self.bytes += self.group_bytes() + most_rows(next, &self.done, &done) * row_bytes;
            (self.group_row_bytes, self.group_rows) = (0, usize::MAX);
        }
        self.bytes += filter_bytes(stage, self.isa);
        (self.first, self.done) = (stage, done);
    }

    /// The buffers between the stages of the group in front.
    fn group_bytes(&self) -> usize {
        if self.group_row_bytes == 0 {
            return 0;
        }
        let rows = |band: &[usize]| {
            let rows = band[1] - band[0];
            if rows == 0 { 0 } else { rows.div_ceil(rows.div_ceil(self.group_rows)) }
        };
        self.done.windows(2).map(rows).max().unwrap_or(0) * self.group_row_bytes
    }

    /// Filters and buffers.
    pub(super) fn bytes(&self) -> usize {
        self.bytes + self.group_bytes()
    }

    /// Whether they stay in the second-level cache.
    fn fits(&self) -> bool {
        self.bytes() * CACHE_SHARE.1 <= self.isa.l2_bytes * CACHE_SHARE.0
    }
}

/// Rows that the buffer before a stage holds at once; how far it is itself, and the stage before it, in the beginning and after each
/// band.
fn most_rows(stage: &Kernel, done: &[usize], before: &[usize]) -> usize {
    let (mut base, mut most) = (before[0], 0);
    for (band, row) in before.windows(2).zip(&done[1..]) {
        if band[0] < band[1] {
            most = most.max(band[1] - base);
        }
        base = kept(stage, *row, base..band[1]);
    }
    most
}
