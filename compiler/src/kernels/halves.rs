//! Two pixels in one vector: the last vector of a layer's channels, where half of its lanes or more would be idle.
//!
//! 24 channels are a vector of 16 lanes and half of one, so the last halves of two neighbouring pixels share an accumulator: its
//! lower lanes are the first pixel's, its upper lanes the second's. A step of the reduction joins the broadcast elements of both
//! and takes the weights twice. In the end the halves part, each into the lower lanes of a register, as if each pixel had had one
//! all along; so that activations and stores know nothing of it. The lanes behind the channels hold other numbers then, which
//! are scratch.

use super::Ending;
use super::tile::{Registers, Row, Tile, panels};
use crate::code::{Builder, Ptr, Reg};
use crate::graph::tensor::Dtype;
use crate::target::Isa;

/// Registers of a step beside accumulators and weights: the elements of two pixels, and both joined.
pub(super) const OPERANDS: usize = 3;

/// Panels of as many vectors.
pub(super) struct PanelRun {
    pub(super) vectors: usize,
    pub(super) count: usize,
    /// Whether two pixels share the last of the vectors.
    pub(super) ends_in_half: bool,
}

/// [`panels`] with the last one apart if two pixels share its last vector.
pub(super) fn panel_runs(n: usize, tile: Tile, isa: &Isa, ending: Ending) -> Vec<PanelRun> {
    let all = panels(n, tile, isa).into_iter();
    let mut all: Vec<PanelRun> =
        all.map(|(vectors, count)| PanelRun { vectors, count, ends_in_half: false }).collect();
    if isa.ends_in_half(n) && ending.dtype() == Dtype::F32 {
        let PanelRun { vectors, count, .. } = all.pop().expect("a layer has channels");
        if 1 < count {
            all.push(PanelRun { vectors, count: count - 1, ends_in_half: false });
        }
        all.push(PanelRun { vectors, count: 1, ends_in_half: true });
    }
    all
}

impl Registers {
    /// Starts the chains of the shared accumulators.
    pub(super) fn start_halves(&self, b: &mut Builder, weights: Ptr) {
        let Some((first, others)) = self.halves.split_first() else { return };
        b.load_twice(*first, weights.at(self.panels.at(0, self.n_whole())));
        others.iter().for_each(|acc| b.copy(*acc, *first));
    }

    /// One element of the reduction, `k` steps into it, for all pixels of the tile.
    pub(super) fn step_halves(&self, b: &mut Builder, rows: &[Row], k: usize, input: Ptr, weights: Ptr) {
        assert_eq!(
            rows.len(),
            self.accumulators.len(),
            "two pixels that share an accumulator take the same taps"
        );
        let n_whole = self.n_whole();
        let (factors, elements) = self.scratch.split_at(n_whole + 1);
        let (last, factors) = factors.split_last().expect("one for the halves");
        for (idx, factor) in factors.iter().enumerate() {
            b.load(*factor, weights.at(self.panels.at(k, idx)));
        }
        b.load_twice(*last, weights.at(self.panels.at(k, n_whole)));
        let mut turns = elements.iter().copied().cycle();
        let mut next = || turns.next().expect("there are operands");
        for (pair, shared) in rows.chunks(2).zip(&self.halves) {
            let elements: Vec<Reg> = pair
                .iter()
                .map(|row| {
                    let element = next();
                    row.splat(b, element, input, k);
                    for (acc, factor) in self.accumulators[row.accumulators].iter().zip(factors) {
                        b.fma(*acc, element, *factor);
                    }
                    element
                })
                .collect();
            let element = match elements[..] {
                [low, high] => {
                    let joined = next();
                    b.join(joined, low.lower(), high.upper());
                    joined
                }
                // A last pixel without a neighbour has both halves.
                _ => elements[0],
            };
            b.fma(*shared, element, *last);
        }
    }

    /// A register for the last vector of each pixel, out of the scratch ones, and what is left of these; none where no pixels share.
    pub(super) fn part_halves(&self, b: &mut Builder) -> (Vec<Reg>, &[Reg]) {
        if self.halves.is_empty() {
            return (Vec::new(), &self.scratch);
        }
        let n_rows = self.accumulators.len();
        let (others, left) = self.scratch.split_at(n_rows / 2);
        for (shared, other) in self.halves.iter().zip(others) {
            b.join(*other, shared.upper(), shared.lower());
        }
        let last = |row: usize| if row.is_multiple_of(2) { self.halves[row / 2] } else { others[row / 2] };
        ((0..n_rows).map(last).collect(), left)
    }

    /// Vectors of a pixel that it has for itself.
    fn n_whole(&self) -> usize {
        self.panels.vectors - 1
    }
}
