//! Products of bytes where no instruction adds up four of them and pairs of products may be too large for 16 bits: bytes are widened to 16
//! bits, of which pairs of products are added up in 32.
//!
//! To widen takes more instructions than the products do. So the side of a tile that is shorter, its vectors of weights or its pixels, is
//! widened first and stays in registers, two for each word, while the words of the other side take turns in two more.

use super::tile::{Registers, Row};
use crate::code::BytesOfLane::{Even, Odd};
use crate::code::{Builder, Ptr, Reg};

/// The even and the odd bytes of a word.
type Widened = [Reg; 2];

impl Registers {
    /// One word of the reduction, `k` words into it, for all pixels of the tile.
    pub(super) fn step_widened(&self, b: &mut Builder, rows: &[Row], k: usize, input: Ptr, weights: Ptr) {
        let vectors = self.accumulators[rows[0].accumulators].len();
        let weight = |b: &mut Builder, widened: Widened, idx: usize| {
            b.load(widened[0], weights.at(self.panels.at(k, idx)));
            widen(b, widened, true);
        };
        let element = |b: &mut Builder, widened: Widened, row: &Row| {
            row.splat(b, widened[0], input, k);
            widen(b, widened, false);
        };
        let products = |b: &mut Builder, row: &Row, idx: usize, element: Widened, weight: Widened| {
            let acc = self.accumulators[row.accumulators][idx];
            (0..2).for_each(|of_pair| b.dot_pairs(acc, element[of_pair], weight[of_pair]));
        };
        let (pairs, _) = self.scratch.as_chunks::<2>();
        if vectors < rows.len() {
            let (factors, turns) = pairs.split_at(vectors);
            factors.iter().enumerate().for_each(|(idx, factor)| weight(b, *factor, idx));
            for (row, widened) in rows.iter().zip(turns.iter().cycle()) {
                element(b, *widened, row);
                factors.iter().enumerate().for_each(|(idx, factor)| products(b, row, idx, *widened, *factor));
            }
        } else {
            let (elements, turns) = pairs.split_at(rows.len());
            rows.iter().zip(elements).for_each(|(row, widened)| element(b, *widened, row));
            for (idx, widened) in (0..vectors).zip(turns.iter().cycle()) {
                weight(b, *widened, idx);
                rows.iter()
                    .zip(elements)
                    .for_each(|(row, element)| products(b, row, idx, *element, *widened));
            }
        }
    }
}

/// The even and the odd bytes of the word that the first register holds.
fn widen(b: &mut Builder, [even, odd]: Widened, is_signed: bool) {
    b.widen_bytes(odd, even, Odd, is_signed);
    b.widen_bytes(even, even, Even, is_signed);
}
