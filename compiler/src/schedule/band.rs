//! Bands: a chain of layers with large maps, as the first of a network are, a few rows at a time.
//!
//! Such maps are larger than the second-level cache, and written whole each of them would go to memory and come back. A band
//! takes the layers of a chain in turn over the rows that the next few rows of the last layer need. Between two layers lies a
//! buffer of a few rows; what the next band still needs of them (the rows under the upper part of its first window) is moved
//! to the buffer's start. No row is computed twice, except where a part for a thread begins. If the part before is done by
//! then, the rows that both need are taken over from its buffer instead ([`Walk::resumed`]).
//!
//! A pointwise layer takes each row as soon as the layer before it has written it, out of a buffer that stays in the
//! first-level cache: it looks at no row twice.

pub(super) mod cut;
#[cfg(test)]
mod tests;

use std::ops::Range;

use crate::graph::tensor::Dtype;
use crate::kernels::Kernel;
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
    /// Takes rows over into the buffer behind a stage, from where the part before has left them.
    Take {
        /// Position in the step's stages.
        stage: usize,
        /// Rows of the stage's output.
        rows: Range<usize>,
        /// The row that lies at the start of the other part's buffer.
        from_base: usize,
        /// The row that lies at the start of this part's buffer.
        to_base: usize,
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
    /// What stands in for the first band once the part before is done. It leaves the same rows at the same places, so that the
    /// bands after it, and the part behind, go on in the same way after either. `None` for the first part.
    pub resumed: Option<Vec<Move>>,
}

/// The walks of a chain in `n_parts` even parts, at most `band_rows` rows of the last stage at a time.
pub fn walks(stages: &[&Kernel], n_parts: usize, band_rows: usize, isa: &Isa) -> Vec<Walk> {
    let height = stages[stages.len() - 1].output().shape.height;
    let mut before: Option<Front> = None;
    let walk = |rows: Range<usize>| {
        let start = Front::before(stages, rows.start);
        let ends = band_ends(rows, band_rows);
        let mut front = start.clone();
        let mut after_first = None;
        let bands = ends.iter().map(|end| {
            let is_last = end == &ends[ends.len() - 1];
            let moves = front.band(stages, *end, is_last, isa);
            after_first.get_or_insert_with(|| front.clone());
            moves
        });
        let bands: Vec<Vec<Move>> = bands.collect();
        let resumed = before.replace(front).map(|before| {
            let mut front = start;
            let mut moves = front.take(stages, &before);
            moves.extend(front.band(stages, ends[0], ends.len() == 1, isa));
            assert_eq!(
                Some(&front),
                after_first.as_ref(),
                "a part that resumes leaves what the others leave"
            );
            moves
        });
        Walk { bands, resumed }
    };
    parts(height, n_parts).into_iter().map(walk).collect()
}

/// Rows that the buffer behind each stage but the last must hold, in any part of a chain in that many parts or in one, whether
/// or not it resumes.
pub fn capacities(stages: &[&Kernel], n_parts: usize, band_rows: usize, isa: &Isa) -> Vec<usize> {
    let mut capacities = vec![0; stages.len() - 1];
    for walk in [1, n_parts].into_iter().flat_map(|n_parts| walks(stages, n_parts, band_rows, isa)) {
        for step in walk.bands.iter().flatten().chain(walk.resumed.iter().flatten()) {
            let (stage, needed) = match step {
                Move::Compute { stage, rows, output_base, .. } => (stage, rows.end - output_base),
                Move::Take { stage, rows, to_base, .. } => (stage, rows.end - to_base),
                // To the start, where they were all along.
                Move::Keep { .. } => continue,
            };
            if let Some(capacity) = capacities.get_mut(*stage) {
                *capacity = needed.max(*capacity);
            }
        }
    }
    capacities
}

impl Front {
    /// Where a part begins whose first row of the last stage is `row`: with the first rows that this one needs.
    fn before(stages: &[&Kernel], row: usize) -> Front {
        let last = stages.len() - 1;
        let mut done = vec![row; stages.len()];
        for stage in (0..last).rev() {
            done[stage] = first_needed(stages[stage + 1], done[stage + 1]);
        }
        let mut base = done.clone();
        base[last] = 0;
        Front { done, base }
    }

    /// Computes until the last stage is at `end`, and keeps what the next band needs.
    fn band(&mut self, stages: &[&Kernel], end: usize, is_last: bool, isa: &Isa) -> Vec<Move> {
        let mut moves = self.advance(stages, end, isa);
        if !is_last {
            moves.extend(self.keep(stages));
        }
        moves
    }

    /// Takes over what the part before has computed of the rows that are needed from here on. They go where this part, which
    /// has done nothing yet, would put them itself: whether it resumes must make no difference to who comes after.
    fn take(&mut self, stages: &[&Kernel], before: &Front) -> Vec<Move> {
        for (done, before) in self.done.iter_mut().zip(&before.done) {
            // Where rows are skipped, this part may begin behind the last row of the part before.
            *done = (*before).max(*done);
        }
        let take = |stage: usize| {
            let rows = first_needed(stages[stage + 1], self.done[stage + 1])..before.done[stage];
            let (from_base, to_base) = (before.base[stage], self.base[stage]);
            (!rows.is_empty()).then_some(Move::Take { stage, rows, from_base, to_base })
        };
        (0..stages.len() - 1).filter_map(take).collect()
    }

    /// Computes until the last stage is at `end`.
    fn advance(&mut self, stages: &[&Kernel], end: usize, isa: &Isa) -> Vec<Move> {
        let last = stages.len() - 1;
        let mut ends = vec![end; stages.len()];
        for stage in (0..last).rev() {
            ends[stage] = end_of(stages[stage + 1], self.done[stage + 1]..ends[stage + 1], self.done[stage]);
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
            let (base, done) = (self.base[stage], self.done[stage]);
            let kept = kept(stages[stage + 1], self.done[stage + 1], base..done);
            if kept < done && base < kept {
                moves.push(Move::Keep { stage, rows: kept..done, base });
            }
            self.base[stage] = kept;
        }
        moves
    }
}

/// The first row of its input that a stage needs for a row of its output and those after it.
fn first_needed(stage: &Kernel, row: usize) -> usize {
    stage.input_rows(row..row + 1).start
}

/// How far a stage of which `done` rows are computed must be for the next one to compute `rows`.
fn end_of(next: &Kernel, rows: Range<usize>, done: usize) -> usize {
    // What the next stage has computed already was read from rows that are here as well.
    if rows.is_empty() { done } else { next.input_rows(rows).end.max(done) }
}

/// Of the rows in the buffer before a stage, the first that it needs for a row of its output and those after it; the end where
/// it needs none of them.
fn kept(stage: &Kernel, row: usize, rows: Range<usize>) -> usize {
    first_needed(stage, row).min(rows.end).max(rows.start)
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
                group.stages.end = stage + 1;
                group.rows = group.rows.min(rows_at_once(kernel, isa));
            }
            _ => groups.push(Group { stages: stage..stage + 1, rows: usize::MAX }),
        }
    }
    groups
}

/// Rows that a pointwise stage takes from the one before it at a time, at least one. Where products of bytes take long, so do rows, and
/// fewer of them cost nothing: as many as in f32.
fn rows_at_once(stage: &Kernel, isa: &Isa) -> usize {
    let input = stage.input();
    let element = if isa.native_dot { input.dtype } else { Dtype::F32 };
    (isa.l1_bytes / ROWS_SHARE / (input.row_stride() * element.bytes())).max(1)
}

/// Rows in pieces of at most `most`, as even as can be.
fn chunks(rows: Range<usize>, most: usize) -> impl Iterator<Item = Range<usize>> {
    let n_chunks = rows.len().div_ceil(most);
    let at = move |chunk: usize| rows.start + chunk * rows.len() / n_chunks;
    (0..n_chunks).map(move |chunk| at(chunk)..at(chunk + 1))
}

/// The row at which each band ends.
fn band_ends(rows: Range<usize>, band_rows: usize) -> Vec<usize> {
    let n_bands = rows.len().div_ceil(band_rows);
    (1..=n_bands).map(|n| rows.start + n * rows.len() / n_bands).collect()
}

/// The rows of the last stage's output in as many even ranges as there are parts.
pub fn parts(height: usize, parts: usize) -> Vec<Range<usize>> {
    (0..parts).map(|part| part * height / parts..(part + 1) * height / parts).collect()
}
