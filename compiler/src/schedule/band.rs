//! Bands: a chain of layers with large maps, as the first of a network are, a few rows at a time.
//!
//! Such maps are larger than the second-level cache, and written whole each of them would go to memory and come back. A band
//! takes the layers of a chain in turn over the rows that the next few rows of the last layer need. Between two layers lies a
//! buffer of a few rows; what the next band still needs of them (the rows under the upper part of its first window) is moved
//! to the buffer's start. No row is computed twice, except where a part for a thread begins: but where the part before is done
//! by then, whoever did it, the rows that both need are taken over from its buffer ([`Walk::resumed`]).
//!
//! A pointwise layer takes each row as soon as the layer before it has written it, out of a buffer that stays in the
//! first-level cache: it looks at no row twice.

use std::ops::Range;

use crate::kernels::Kernel;
use crate::passes::{Fused, FusedId, FusedOp};
use crate::target::Isa;

/// One action of a band.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Move {
    /// Computes rows of a stage.
    Compute {
        /// Position in the step's stages.
        stage: usize,
        /// Rows of the stage's output.
        rows: Range<usize>,
        /// The row of the stage's input that lies at the start of the buffer before it; 0 for the first stage.
        input_base: usize,
        /// The row of the stage's output that lies at the start of the buffer behind it; 0 for the last stage.
        output_base: usize,
    },
    /// Moves rows to the start of the buffer behind a stage.
    Keep {
        /// Position in the step's stages.
        stage: usize,
        /// Rows of the stage's output.
        rows: Range<usize>,
        /// The row that lies at the start of the buffer.
        base: usize,
    },
    /// Takes rows over to the start of the buffer behind a stage, from where the part before has left them.
    Take {
        /// Position in the step's stages.
        stage: usize,
        /// Rows of the stage's output.
        rows: Range<usize>,
        /// The row that lies at the start of the other part's buffer.
        base: usize,
    },
}

/// How far the stages of a chain are.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Front {
    /// For each stage, the first row that isn't computed yet.
    done: Vec<usize>,
    /// For each stage, the row at the start of the buffer behind it; 0 for the last, which has none.
    base: Vec<usize>,
}

/// A part of a chain: some rows of its last stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Walk {
    /// The moves of each band, in order.
    pub bands: Vec<Vec<Move>>,
    /// How far the stages are in the end.
    end: Front,
    /// Where the first band ends.
    first_band_end: usize,
}

impl Walk {
    /// The walk to `rows` of the last stage, at most `band_rows` of them at a time.
    pub fn new(stages: &[&Kernel], rows: Range<usize>, band_rows: usize, isa: &Isa) -> Walk {
        let last = stages.len() - 1;
        let mut done = vec![rows.start; stages.len()];
        for stage in (0..last).rev() {
            done[stage] = stages[stage + 1].input_rows(done[stage + 1]..done[stage + 1] + 1).start;
        }
        let mut front = Front { base: done.clone(), done };
        front.base[last] = 0;

        let n_bands = rows.len().div_ceil(band_rows);
        let band_end = |band: usize| rows.start + (band + 1) * rows.len() / n_bands;
        let bands = (0..n_bands).map(|band| {
            let mut moves = front.advance(stages, band_end(band), isa);
            if band + 1 != n_bands {
                moves.extend(front.keep(stages));
            }
            moves
        });
        let bands = bands.collect();
        Walk { bands, end: front, first_band_end: band_end(0) }
    }

    /// Rows that the buffer behind each stage but the last must hold. Who resumes needs no more.
    pub fn capacities(&self) -> Vec<usize> {
        let mut capacities = vec![0; self.end.done.len() - 1];
        for step in self.bands.iter().flatten() {
            if let Move::Compute { stage, rows, output_base, .. } = step
                && let Some(capacity) = capacities.get_mut(*stage)
            {
                *capacity = (*capacity).max(rows.end - output_base);
            }
        }
        capacities
    }

    /// What stands in for the first band once the part before, whose walk is `before`, is done.
    pub fn resumed(&self, stages: &[&Kernel], before: &Walk, isa: &Isa) -> Vec<Move> {
        let old = &before.end;
        let mut front = old.clone();
        front.keep(stages);
        let take = |stage: usize| {
            let rows = front.base[stage]..old.done[stage];
            (!rows.is_empty()).then_some(Move::Take { stage, rows, base: old.base[stage] })
        };
        let mut moves: Vec<Move> = (0..stages.len() - 1).filter_map(take).collect();
        moves.extend(front.advance(stages, self.first_band_end, isa));
        if 1 < self.bands.len() {
            moves.extend(front.keep(stages));
        }
        moves
    }
}

impl Front {
    /// Computes until the last stage is at `end`.
    fn advance(&mut self, stages: &[&Kernel], end: usize, isa: &Isa) -> Vec<Move> {
        let last = stages.len() - 1;
        let mut ends = vec![end; stages.len()];
        for stage in (0..last).rev() {
            // What the next stage has computed already was read from rows that are here as well.
            let next = self.done[stage + 1]..ends[stage + 1];
            let needed = if next.is_empty() { 0 } else { stages[stage + 1].input_rows(next).end };
            ends[stage] = needed.max(self.done[stage]);
        }
        let mut moves = Vec::new();
        for group in groups(stages, isa) {
            let (head, tail) = (group.stages.start, group.stages.end - 1);
            for rows in chunks(self.done[head]..ends[head], group.rows) {
                for stage in group.stages.clone() {
                    moves.push(Move::Compute {
                        stage,
                        rows: rows.clone(),
                        input_base: match stage.checked_sub(1) {
                            None => 0,
                            Some(before) if stage == head => self.base[before],
                            Some(_) => rows.start,
                        },
                        output_base: if stage == tail { self.base[stage] } else { rows.start },
                    });
                }
            }
        }
        self.done = ends;
        moves
    }

    /// Moves what is still needed to the start of each buffer.
    fn keep(&mut self, stages: &[&Kernel]) -> Vec<Move> {
        let mut moves = Vec::new();
        for stage in 0..stages.len() - 1 {
            let next = self.done[stage + 1];
            let first = stages[stage + 1].input_rows(next..next + 1).start;
            let (base, done) = (self.base[stage], self.done[stage]);
            let kept = first.min(done).max(base);
            if kept < done && base < kept {
                moves.push(Move::Keep { stage, rows: kept..done, base });
            }
            self.base[stage] = kept;
        }
        moves
    }
}

/// A stage and the pointwise ones behind it, which take each of its rows at once.
struct Group {
    stages: Range<usize>,
    /// Rows that they compute at a time.
    rows: usize,
}

/// The rows between two stages of a group must leave room for weights in the first-level cache.
const ROWS_SHARE: usize = 2;

fn groups(stages: &[&Kernel], isa: &Isa) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for (stage, kernel) in stages.iter().enumerate() {
        match groups.last_mut() {
            Some(group) if matches!(kernel, Kernel::Pointwise(_)) => {
                let row_bytes = kernel.input().row_stride() * 4;
                group.stages.end = stage + 1;
                group.rows = group.rows.min(isa.l1_bytes / ROWS_SHARE / row_bytes).max(1);
            }
            _ => groups.push(Group { stages: stage..stage + 1, rows: usize::MAX }),
        }
    }
    groups
}

/// Rows in pieces of at most `most`, as even as can be.
fn chunks(rows: Range<usize>, most: usize) -> impl Iterator<Item = Range<usize>> {
    let n_chunks = rows.len().div_ceil(most);
    let at = move |chunk: usize| rows.start + chunk * rows.len() / n_chunks;
    (0..n_chunks).map(move |chunk| at(chunk)..at(chunk + 1))
}

/// The rows of the last stage's output in as many even ranges as there are parts.
pub fn parts(height: usize, parts: usize) -> Vec<Range<usize>> {
    (0..parts).map(|part| part * height / parts..(part + 1) * height / parts).collect()
}

/// The nodes from `first` on of which each computes rows from rows that only the one before it gives: those of which chains
/// can be made.
pub(super) fn run(network: &Fused, first: FusedId) -> Vec<FusedId> {
    let mut run = vec![first];
    if !has_rows(&network.nodes[first.0].op) {
        return run;
    }
    while let Some(next) = network.nodes.get(run[run.len() - 1].0 + 1) {
        let id = run[run.len() - 1];
        let readers =
            network.nodes.iter().flat_map(|node| &node.inputs).filter(|input| **input == id).count();
        let private = next.inputs == [id] && readers == 1 && !network.outputs.contains(&id);
        if !(private && has_rows(&next.op)) {
            break;
        }
        run.push(FusedId(id.0 + 1));
    }
    run
}

/// Whether the layer computes rows from rows.
fn has_rows(op: &FusedOp) -> bool {
    match op {
        FusedOp::Conv { .. } | FusedOp::Depthwise { .. } => true,
        FusedOp::Input
        | FusedOp::Add { .. }
        | FusedOp::GlobalAveragePool
        | FusedOp::Dense { .. }
        | FusedOp::Softmax => false,
    }
}

/// Cuts a run of stages into chains, as their lengths: the cut of which the fewest bytes between two chains don't stay in the
/// second-level cache; among equals that with the fewest layers in bands.
pub(super) fn cut(stages: &[&Kernel], isa: &Isa) -> Vec<usize> {
    let n = stages.len();
    // For each number of stages, the cheapest cut: bytes, layers in bands, where its last chain begins.
    let mut best: Vec<(usize, usize, usize)> = vec![(0, 0, 0)];
    for end in 1..=n {
        let bytes = stages[end - 1].output().len() * 4;
        let far = if end < n && isa.l2_bytes < bytes { bytes } else { 0 };
        let fitting = (0..end).rev().take_while(|first| fits(&stages[*first..end], 1, isa));
        let cuts = fitting.map(|first| {
            let (before, banded, _) = best[first];
            let len = end - first;
            (before + far, banded + if len == 1 { 0 } else { len }, first)
        });
        best.push(cuts.min().expect("a stage by itself fits"));
    }
    let mut lens = Vec::new();
    let mut end = n;
    while end != 0 {
        let first = best[end].2;
        lens.push(end - first);
        end = first;
    }
    lens.reverse();
    lens
}

/// Of the second-level cache, what filters and buffers of a chain may fill: pages of its other tenants lie where they lie.
const CACHE_SHARE: (usize, usize) = (3, 4);

/// Whether filters and buffers of a chain stay in the second-level cache.
fn fits(stages: &[&Kernel], band_rows: usize, isa: &Isa) -> bool {
    if stages.len() == 1 {
        return true;
    }
    let height = stages[stages.len() - 1].output().shape.height;
    let capacities = Walk::new(stages, 0..height, band_rows, isa).capacities();
    let buffers = stages.iter().zip(capacities).map(|(stage, rows)| rows * stage.output().row_stride() * 4);
    let filters = stages.iter().filter_map(|stage| stage.packing(isa)).map(|packing| packing.len() * 4);
    (buffers.sum::<usize>() + filters.sum::<usize>()) * CACHE_SHARE.1 <= isa.l2_bytes * CACHE_SHARE.0
}

/// The most rows of the last stage whose buffers leave room in the second-level cache, at least one.
pub(super) fn band_rows(stages: &[&Kernel], height: usize, isa: &Isa) -> usize {
    (1..=height).rev().find(|rows| fits(stages, *rows, isa)).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::layer::Activation;
    use crate::graph::shape::{Pads, Shape, Window};
    use crate::kernels::{Depthwise, FeatureMap, Pointwise, Tile};
    use crate::target::X86_64_V3;

    fn depthwise(stride: usize, height: usize) -> Kernel {
        let map = |height: usize| FeatureMap::tight(Shape { height, width: 8, channels: 8 });
        let pads = Pads { top: 1, left: 1, bottom: 1, right: 1 };
        Kernel::Depthwise(Depthwise {
            window: Window { d_k: 3, stride, pads },
            input: map(height),
            output: map(height.div_ceil(stride)),
            activation: Activation::None,
            pixels: 4,
        })
    }

    fn pointwise(height: usize, width: usize) -> Kernel {
        let map = FeatureMap::tight(Shape { height, width, channels: 8 });
        let tile = Tile { mr: 6, vectors: 1 };
        Kernel::Pointwise(Pointwise { input: map, output: map, activation: Activation::None, tile })
    }

    /// Rows in the buffers behind all stages but the last; a row is known by its number.
    struct Rows<'a> {
        stages: &'a [&'a Kernel],
        buffers: Vec<Vec<Option<usize>>>,
        /// For each stage, the rows that it has computed.
        computed: Vec<Vec<usize>>,
    }

    impl Rows<'_> {
        fn new<'a>(stages: &'a [&'a Kernel], walk: &Walk) -> Rows<'a> {
            let buffers = walk.capacities().into_iter().map(|rows| vec![None; rows]).collect();
            Rows { stages, buffers, computed: vec![Vec::new(); stages.len()] }
        }

        /// Makes the moves, which must find all that they read; `before` are the buffers of the part before.
        fn make(&mut self, moves: &[Move], before: &[Vec<Option<usize>>]) {
            for step in moves {
                match step {
                    Move::Compute { stage, rows, input_base, output_base } => {
                        for row in self.stages[*stage].input_rows(rows.clone()).filter(|_| *stage != 0) {
                            assert_eq!(self.buffers[stage - 1][row - input_base], Some(row));
                        }
                        for row in rows.clone() {
                            self.computed[*stage].push(row);
                            if let Some(buffer) = self.buffers.get_mut(*stage) {
                                buffer[row - output_base] = Some(row);
                            }
                        }
                    }
                    Move::Keep { stage, rows, base } => {
                        for (to, row) in rows.clone().enumerate() {
                            self.buffers[*stage][to] = self.buffers[*stage][row - base];
                        }
                    }
                    Move::Take { stage, rows, base } => {
                        for (to, row) in rows.clone().enumerate() {
                            assert_eq!(before[*stage][row - base], Some(row));
                            self.buffers[*stage][to] = Some(row);
                        }
                    }
                }
            }
        }
    }

    /// Each stage computes its rows once and in order, and finds the rows that it reads in the buffer before it: also across
    /// the border between two parts when the first is done.
    #[test]
    fn every_row_is_computed_once_from_rows_that_are_there() {
        // Whose rows are so wide that a pointwise stage takes them one by one.
        let (first, second, third, last) =
            (depthwise(1, 24), depthwise(2, 24), pointwise(12, 512), depthwise(1, 12));
        let stages = [&first, &second, &third, &last];
        let all = [24, 12, 12, 12].map(|rows| (0..rows).collect::<Vec<usize>>());
        for band_rows in 1..=12 {
            let walk = Walk::new(&stages, 0..12, band_rows, &X86_64_V3);
            let mut whole = Rows::new(&stages, &walk);
            assert_eq!(whole.buffers[1].len(), 1, "a row between two stages of a group");
            whole.make(&walk.bands.concat(), &[]);
            assert_eq!(whole.computed, all);

            for border in 1..12 {
                let [upper, lower] =
                    [0..border, border..12].map(|rows| Walk::new(&stages, rows, band_rows, &X86_64_V3));
                let mut above = Rows::new(&stages, &upper);
                above.make(&upper.bands.concat(), &[]);
                let mut below = Rows::new(&stages, &lower);
                below.make(&lower.resumed(&stages, &upper, &X86_64_V3), &above.buffers);
                below.make(&lower.bands[1..].concat(), &[]);
                let both: Vec<Vec<usize>> =
                    above.computed.iter().zip(&below.computed).map(|(a, b)| [&a[..], b].concat()).collect();
                assert_eq!(both, all, "bands of {band_rows} rows, border at {border}");
            }
        }
    }

    #[test]
    fn chains_end_where_the_least_leaves_the_cache() {
        let lens = |height| {
            let stages = [&depthwise(1, height), &depthwise(2, height), &pointwise(height / 2, 8)];
            cut(&stages, &X86_64_V3)
        };
        // Maps of 2 KiB stay in the cache; of 1 MiB and half of it only the smaller do.
        assert_eq!(lens(8), [1, 1, 1]);
        assert_eq!(lens(4096), [2, 1]);
    }

    #[test]
    fn parts_share_no_row_of_the_last_stage() {
        assert_eq!(parts(7, 3), [0..2, 2..4, 4..7]);
        let (first, second) = (depthwise(1, 24), depthwise(2, 24));
        let second_part = Walk::new(&[&first, &second], 6..12, 12, &X86_64_V3);
        // The row above the first window of the part is computed again.
        assert!(
            matches!(&second_part.bands[0][0], Move::Compute { stage: 0, rows, .. } if *rows == (11..24))
        );
    }
}
