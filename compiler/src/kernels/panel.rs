//! How the matrix-like kernels pack a filter `[depth][n]`: in panels of channels, each the bias and then `depth` rows of the
//! panel's channels, with zeros behind `n`.
//!
//! A register tile reads one panel as wide as itself, or several narrow ones side by side. Where instruction sets of several
//! vector widths share weights, panels have one width for all of them ([`Isa::panel_channels`]).

use super::Filter;
use super::tile::{Tile, panels};
use crate::target::Isa;

/// The panels that one register tile reads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Panels {
    /// Vectors of the tile.
    pub(super) vectors: usize,
    /// Channels of a panel: elements from one of its rows to the next.
    pub(super) width: usize,
    /// Elements from one panel to the next.
    len: usize,
    lanes: usize,
}

impl Panels {
    /// Those of a tile of so many vectors over a reduction of `depth`.
    pub(super) fn new(vectors: usize, depth: usize, isa: &Isa) -> Panels {
        let width = isa.panel_channels.unwrap_or(vectors * isa.lanes);
        Panels { vectors, width, len: (depth + 1) * width, lanes: isa.lanes }
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

    /// The filter as the tiles read it.
    pub(super) fn pack(filter: Filter<'_>, tile: Tile, isa: &Isa) -> Vec<f32> {
        let n = filter.bias.len();
        let depth = filter.weights.len() / n;
        let mut packed = Vec::new();
        let mut first = 0;
        for (vectors, count) in panels(n, tile, isa) {
            let panels = Panels::new(vectors, depth, isa);
            for _ in 0..count * panels.count() {
                let channels = first..(first + panels.width).min(n);
                for row in std::iter::once(filter.bias).chain(filter.weights.chunks_exact(n)) {
                    packed.extend_from_slice(&row[channels.clone()]);
                    packed.resize(packed.len() + panels.width - channels.len(), 0.0);
                }
                first += panels.width;
            }
        }
        packed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::{X86_64_V3, X86_64_V3_CRANELIFT as FOUR_LANES, X86_64_V4};

    #[test]
    fn packing_pads_with_zeros() {
        let filter = Filter { weights: &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], bias: &[7.0, 8.0, 9.0] };
        let packed = Panels::pack(filter, Tile { mr: 6, vectors: 2 }, &FOUR_LANES);
        assert_eq!(packed, [7.0, 8.0, 9.0, 0.0, 1.0, 2.0, 3.0, 0.0, 4.0, 5.0, 6.0, 0.0]);
    }

    #[test]
    fn vectors_of_any_width_find_their_channels_in_shared_panels() {
        let (depth, n) = (3, 56);
        let weights: Vec<f32> = (0..depth * n).map(|at| at as f32).collect();
        let bias: Vec<f32> = (0..n).map(|channel| -(channel as f32)).collect();
        let filter = Filter { weights: &weights, bias: &bias };
        let narrow = Panels::pack(filter, Tile { mr: 6, vectors: 2 }, &X86_64_V3);
        let wide = Panels::pack(filter, Tile { mr: 6, vectors: 4 }, &X86_64_V4);
        assert_eq!(narrow, wide);
        let panels = Panels::new(4, depth, &X86_64_V4);
        assert_eq!(wide[panels.at(0, 2)], -32.0);
        assert_eq!(wide[panels.at(1 + 2, 3)], (2 * n + 48) as f32);
        let panels = Panels::new(2, depth, &X86_64_V3);
        assert_eq!(narrow[panels.len() + panels.at(1, 1)], 24.0);
    }
}
