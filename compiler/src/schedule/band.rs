//! Bands: a chain of layers with large maps, as the first of a network are, a few rows at a time.
//!
//! Such maps are larger than the second-level cache, and written whole each of them would go to memory and come back. A band
//! takes the layers of a chain in turn over the rows that the next few rows of the last layer need. Between two layers lies a
//! buffer of a few rows; what the next band still needs of them (the rows under the upper part of its first window) is moved
//! to the buffer's start. No row is computed twice, except where a part for another thread begins.

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
}

/// The moves that compute `rows` of the last stage, at most `band_rows` of them at a time.
pub fn walk(stages: &[&Kernel], rows: Range<usize>, band_rows: usize) -> Vec<Move> {
    let last = stages.len() - 1;
    let input_rows = |stage: usize, rows: Range<usize>| stages[stage].input_rows(rows);
    // For each stage, the first row that isn't computed yet and the row at the start of its buffer.
    let mut done = vec![rows.start; stages.len()];
    for stage in (0..last).rev() {
        done[stage] = input_rows(stage + 1, done[stage + 1]..done[stage + 1] + 1).start;
    }
    let mut base = done.clone();
    base[last] = 0;

    let mut moves = Vec::new();
    let n_bands = rows.len().div_ceil(band_rows);
    for band in 0..n_bands {
        let mut end = vec![rows.start + (band + 1) * rows.len() / n_bands; stages.len()];
        for stage in (0..last).rev() {
            // What the next stage has computed already was read from rows that are here as well.
            let next = done[stage + 1]..end[stage + 1];
            end[stage] =
                if next.is_empty() { done[stage] } else { input_rows(stage + 1, next).end.max(done[stage]) };
        }
        for stage in 0..stages.len() {
            if done[stage] < end[stage] {
                moves.push(Move::Compute {
                    stage,
                    rows: done[stage]..end[stage],
                    input_base: if stage == 0 { 0 } else { base[stage - 1] },
                    output_base: base[stage],
                });
            }
        }
        done = end;
        if band + 1 == n_bands {
            break;
        }
        for stage in 0..last {
            let next = done[stage + 1];
            let kept = input_rows(stage + 1, next..next + 1).start.min(done[stage]).max(base[stage]);
            if kept < done[stage] && base[stage] < kept {
                moves.push(Move::Keep { stage, rows: kept..done[stage], base: base[stage] });
            }
            base[stage] = kept;
        }
    }
    moves
}

/// Rows that the buffer behind each stage but the last must hold.
pub fn capacities(moves: &[Move], n_stages: usize) -> Vec<usize> {
    let mut capacities = vec![0; n_stages - 1];
    for step in moves {
        if let Move::Compute { stage, rows, output_base, .. } = step
            && let Some(capacity) = capacities.get_mut(*stage)
        {
            *capacity = (*capacity).max(rows.end - output_base);
        }
    }
    capacities
}

/// The rows of the last stage's output in as many even ranges as there are parts.
pub fn parts(height: usize, parts: usize) -> Vec<Range<usize>> {
    (0..parts).map(|part| part * height / parts..(part + 1) * height / parts).collect()
}

/// The filters of a chain are read once a band and must leave room for the maps.
const FILTER_SHARE: usize = 2;
/// The buffers of a band must leave room for filters and input.
const BUFFER_SHARE: usize = 2;

/// The nodes of a chain that begins with `first`: each but the last has a large map that only the next node reads.
pub(super) fn chain(network: &Fused, first: FusedId, isa: &Isa) -> Vec<FusedId> {
    let mut chain = vec![first];
    let mut filter_bytes = network.nodes[first.0].op.n_numbers() * 4;
    if !has_rows(&network.nodes[first.0].op) {
        return chain;
    }
    while let Some(next) = network.nodes.get(chain[chain.len() - 1].0 + 1) {
        let id = chain[chain.len() - 1];
        let readers =
            network.nodes.iter().flat_map(|node| &node.inputs).filter(|input| **input == id).count();
        let private = next.inputs == [id] && readers == 1 && !network.outputs.contains(&id);
        filter_bytes += next.op.n_numbers() * 4;
        let large = isa.l2_bytes < network.nodes[id.0].shape.len() * 4;
        if !(private && large && has_rows(&next.op) && filter_bytes < isa.l2_bytes / FILTER_SHARE) {
            break;
        }
        chain.push(FusedId(id.0 + 1));
    }
    chain
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

/// The most rows of the last stage whose buffers leave room in the second-level cache, at least one.
pub(super) fn band_rows(stages: &[&Kernel], height: usize, isa: &Isa) -> usize {
    let bytes = |band_rows: usize| -> usize {
        let capacities = capacities(&walk(stages, 0..height, band_rows), stages.len());
        stages.iter().zip(capacities).map(|(stage, rows)| rows * stage.output().row_stride() * 4).sum()
    };
    (1..=height).rev().find(|rows| bytes(*rows) <= isa.l2_bytes / BUFFER_SHARE).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::layer::Activation;
    use crate::graph::shape::{Pads, Shape, Window};
    use crate::kernels::{Depthwise, FeatureMap};

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

    /// Each stage computes the rows that its part needs once and in order, and reads only rows that are in the buffer.
    #[test]
    fn every_row_is_computed_once_from_rows_that_are_there() {
        let (first, second, third) = (depthwise(1, 24), depthwise(2, 24), depthwise(1, 12));
        let stages = [&first, &second, &third];
        for band_rows in 1..=12 {
            let moves = walk(&stages, 0..12, band_rows);
            let capacities = capacities(&moves, stages.len());
            let (mut done, mut base) = ([0; 3], [0; 3]);
            for step in &moves {
                match step {
                    Move::Compute { stage, rows, input_base, output_base } => {
                        assert_eq!(
                            rows.start, done[*stage],
                            "stage {stage} leaves no row out and repeats none"
                        );
                        done[*stage] = rows.end;
                        assert_eq!(*output_base, base[*stage]);
                        if *stage != 0 {
                            let needed = stages[*stage].input_rows(rows.clone());
                            assert_eq!(*input_base, base[stage - 1]);
                            assert!(base[stage - 1] <= needed.start && needed.end <= done[stage - 1]);
                        }
                        assert!(*stage == 2 || rows.end - output_base <= capacities[*stage]);
                    }
                    Move::Keep { stage, rows, base: before } => {
                        assert_eq!((*before, rows.end), (base[*stage], done[*stage]));
                        base[*stage] = rows.start;
                    }
                }
                // A buffer of which nothing is kept begins with the next row.
                for stage in 0..2 {
                    let next =
                        moves.iter().skip_while(|other| *other != step).skip(1).find_map(
                            |other| match other {
                                Move::Compute { stage: of, output_base, .. } if *of == stage => {
                                    Some(*output_base)
                                }
                                _ => None,
                            },
                        );
                    if let Some(next) = next.filter(|next| *next == done[stage]) {
                        base[stage] = next;
                    }
                }
            }
            assert_eq!(done, [24, 12, 12]);
        }
    }

    #[test]
    fn parts_share_no_row_of_the_last_stage() {
        assert_eq!(parts(7, 3), [0..2, 2..4, 4..7]);
        let (first, second) = (depthwise(1, 24), depthwise(2, 24));
        let second_part = walk(&[&first, &second], 6..12, 12);
        // The row above the first window of the part is computed again.
        assert!(matches!(&second_part[0], Move::Compute { stage: 0, rows, .. } if *rows == (11..24)));
    }
}
