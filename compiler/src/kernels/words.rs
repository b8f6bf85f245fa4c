//! Products of two words at a time, where no instruction adds up four products and those of two words fit into 16 bits: their pairs are
//! added up there, so that widening them to 32 bits is done once for both.
//!
//! The weights are operands from memory: every pixel of a tile takes them from the first-level cache anew, which costs no more than a
//! broadcast does, and leaves the registers to sums.

use super::tile::{Registers, Row};
use crate::code::{Builder, Ptr, Reg};

impl Registers {
    /// Two words of the reduction, `k` words into it, for all pixels of the tile.
    pub(super) fn step_words(&self, b: &mut Builder, rows: &[Row], k: usize, input: Ptr, weights: Ptr) {
        let (elements, _) = self.scratch.as_chunks::<2>();
        for (row, elements) in rows.iter().zip(elements.iter().cycle()) {
            let elements: [Reg; 2] = *elements;
            for (word, element) in elements.into_iter().enumerate() {
                row.splat(b, element, input, k + word);
            }
            for (idx, acc) in self.accumulators[row.accumulators].iter().enumerate() {
                let from = [k, k + 1].map(|k| weights.at(self.panels.at(k, idx)));
                b.dot_words(*acc, elements, from);
            }
        }
    }
}
