//! How the matrix-like kernels pack a filter `[depth][n]`: in panels of channels, each the bias and then `depth` rows of the
//! panel's channels, with zeros behind `n`.
//!
//! A register tile reads one panel as wide as itself, or several narrow ones side by side. Where instruction sets of several
//! vector widths share weights, panels have one width for all of them ([`Policy`](crate::target::Policy)).

use mnc_runtime::filter::Packing;

use super::tile::{Tile, panels};
use crate::target::Isa;

/// The rows of a panel, each with a word for every channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FilterRows {
    /// Before the reduction: the bias; of integers that of each border, and the multipliers.
    pub(super) head: usize,
    /// Of the reduction: weights, or of integers words of four weights.
    pub(super) depth: usize,
}

impl FilterRows {
    pub(super) fn total(self) -> usize {
        self.head + self.depth
    }
}

/// The panels that one register tile reads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Panels {
    /// Vectors of the tile.
    pub(super) vectors: usize,
    /// Channels of a panel: elements from one of its rows to the next.
    pub(super) width: usize,
    /// Whether two pixels share the last of the vectors ([`super::halves`]).
    pub(super) ends_in_half: bool,
    /// Elements from one panel to the next.
    len: usize,
    /// Rows before the reduction.
    pub(super) head: usize,
    lanes: usize,
}

impl Panels {
    /// Those of a tile of so many vectors over panels of such rows.
    pub(super) fn new(vectors: usize, rows: FilterRows, isa: &Isa) -> Panels {
        let width = isa.policy.panel_channels.unwrap_or(vectors * isa.lanes);
        Panels {
            vectors,
            width,
            ends_in_half: false,
            len: rows.total() * width,
            head: rows.head,
            lanes: isa.lanes,
        }
    }

    /// The same where two pixels may share the last vector.
    pub(super) fn ending_in_half(self, ends_in_half: bool) -> Panels {
        Panels { ends_in_half, ..self }
    }

    /// Elements from a row of the first panel to `vector` of the tile's channels, `rows` further on.
    pub(super) fn at(self, rows: usize, vector: usize) -> usize {
        let channel = vector * self.lanes;
        channel / self.width * self.len + rows * self.width + channel % self.width
    }

    /// Elements of all panels of the tile.
    pub(super) fn len(self) -> usize {
        self.count() * self.len
    }

    fn count(self) -> usize {
        (self.vectors * self.lanes).div_ceil(self.width)
    }

    /// The layout of a filter of such rows as the tiles read it.
    pub(super) fn packing(n: usize, rows: FilterRows, tile: Tile, isa: &Isa) -> Packing {
        let runs = panels(n, tile, isa).into_iter().map(|(vectors, count)| {
            let panels = Panels::new(vectors, rows, isa);
            (panels.width, count * panels.count())
        });
        let (mut full, mut rest) = ((0, 0), 0);
        for (width, count) in runs {
            match full {
                (_, 0) => full = (width, count),
                (same, before) if same == width => full = (width, before + count),
                _ => rest = width,
            }
        }
        Packing::new(rows.total() - 1, full, rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::Filter;
    use crate::target::{X86_64_V3, X86_64_V3_CRANELIFT as FOUR_LANES, X86_64_V4};

    #[test]
    fn packings_are_those_of_the_tiles() {
        let check = |n, vectors, isa, expected| {
            let tile = Tile { mr: 6, vectors };
            assert_eq!(
                Panels::packing(n, FilterRows { head: 1, depth: 3 }, tile, isa).panels(),
                expected,
                "{n} channels, {vectors} vectors"
            );
        };
        check(3, 2, &FOUR_LANES, ((4, 1), 0));
        check(9, 2, &FOUR_LANES, ((8, 1), 4));
        check(64, 2, &FOUR_LANES, ((8, 8), 0));
        // Panels of 16 channels, whatever the tile.
        check(8, 1, &X86_64_V3, ((16, 1), 0));
        check(56, 2, &X86_64_V3, ((16, 4), 0));
        check(56, 4, &X86_64_V4, ((16, 4), 0));
    }

    #[test]
    fn vectors_of_any_width_find_their_channels_in_shared_panels() {
        let (depth, n) = (3, 56);
        let weights: Vec<f32> = (0..depth * n).map(|at| at as f32).collect();
        let bias: Vec<f32> = (0..n).map(|channel| -(channel as f32)).collect();
        let filter = Filter { weights, bias };
        let pack = |vectors, isa| {
            filter.pack(&Panels::packing(n, FilterRows { head: 1, depth }, Tile { mr: 6, vectors }, isa))
        };
        let (narrow, wide) = (pack(2, &X86_64_V3), pack(4, &X86_64_V4));
        assert_eq!(narrow, wide);
        let panels = Panels::new(4, FilterRows { head: 1, depth }, &X86_64_V4);
        assert_eq!(wide[panels.at(0, 2)], -32.0);
        assert_eq!(wide[panels.at(1 + 2, 3)], (2 * n + 48) as f32);
        let panels = Panels::new(2, FilterRows { head: 1, depth }, &X86_64_V3);
        assert_eq!(narrow[panels.len() + panels.at(1, 1)], 24.0);
    }
}
