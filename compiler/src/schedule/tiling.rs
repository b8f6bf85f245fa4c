//! The register tile of a matrix-like layer, by a small cost model over [`Isa`].
//!
//! A tile of `mr` pixels and `vectors` vectors takes, for each element of the reduction, `mr * vectors` multiply-adds and
//! `mr + vectors` loads, and no less than the latency of one multiply-add, since each accumulator is one chain. Beginning
//! and end of a tile (bias, activation, stores) cost a fixed number of instructions for each accumulator.

use crate::graph::tensor::Dtype;
use crate::kernels::{Ending, Tile, split_evenly};
use crate::target::Isa;

/// The extents of a matrix product `[groups * pixels][depth] x [depth][n]`; a tile never spans two groups.
#[derive(Clone, Copy, Debug)]
pub(super) struct Product {
    /// Independent runs of pixels: rows of a convolution, 1 for a pointwise layer.
    pub(super) groups: usize,
    /// Pixels of one run.
    pub(super) pixels: usize,
    /// Length of the reduction.
    pub(super) depth: usize,
    /// Output channels.
    pub(super) n: usize,
    /// What becomes of the sums.
    pub(super) ending: Ending,
}

/// A tile and the cycles that the model expects of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Choice {
    pub(super) tile: Tile,
    pub(super) cycles: usize,
}

/// More vectors than this in a panel lengthen the code and save no load worth having.
const MOST_VECTORS: usize = 4;
/// Instructions at beginning and end of a tile for each accumulator: load or copy of the bias, two bounds, store.
const EDGE_INSTRUCTIONS: usize = 4;
/// One in so many loads costs a cycle that nothing hides: a miss, a bank conflict. What decides between tiles that keep the
/// multipliers equally busy is the number of their loads.
const LOADS_A_STALL: usize = 10;
/// Instructions that a core starts in one cycle.
const ISSUE_WIDTH: usize = 4;
/// Fewer sums side by side don't hide the latency of a dot product well.
const LEAST_CHAINS: usize = 12;
/// Instructions that it has in flight: the end of a tile of fewer runs beside the products of the next.
const WINDOW: usize = 448;

/// The tile of fewest expected cycles; among equals the one of more vectors, which reads the input less often.
pub(super) fn choose(product: Product, isa: &Isa) -> Choice {
    let tiles: Vec<Tile> = largest(product.n, product.ending, isa).collect();
    let has_lower = hides_ends(product.ending, isa);
    let is_filled = |tile: &Tile| !has_lower || tile.vectors <= product.n.div_ceil(isa.lanes);
    let tiles = tiles.into_iter().rev().filter(is_filled).flat_map(|most| {
        let fewest = LEAST_CHAINS.div_ceil(most.vectors).min(most.mr);
        let least = if has_lower { fewest } else { most.mr };
        (least..=most.mr).rev().map(move |mr| Tile { mr, ..most })
    });
    let choices = tiles.map(|tile| expected(product, tile, isa));
    choices.min_by_key(|choice| choice.cycles).expect("the narrowest tile leaves room for its operands")
}

/// A tile that somebody else has chosen.
pub(super) fn expected(product: Product, tile: Tile, isa: &Isa) -> Choice {
    Choice { tile, cycles: cycles(product, tile, isa) }
}

/// The tile of most pixels over `n` channels for each number of vectors, the fewest vectors first.
pub(super) fn largest(n: usize, ending: Ending, isa: &Isa) -> impl Iterator<Item = Tile> {
    (1..=MOST_VECTORS)
        .filter(move |vectors| fills_panels(*vectors, n, isa))
        .filter_map(move |vectors| most_pixels(vectors, ending, isa).map(|mr| Tile { mr, vectors }))
}

/// Whether there are registers enough for a tile, and panels that it fills.
pub(super) fn is_legal(tile: Tile, n: usize, ending: Ending, isa: &Isa) -> bool {
    largest(n, ending, isa).any(|most| most.vectors == tile.vectors && (1..=most.mr).contains(&tile.mr))
}

/// Whether a tile of so many vectors ends where a panel of packed weights does, or is the only one.
fn fills_panels(vectors: usize, n: usize, isa: &Isa) -> bool {
    let width = vectors * isa.lanes;
    n <= width || isa.policy.panel_channels.is_none_or(|channels| width.is_multiple_of(channels))
}

/// The pixels that the registers leave room for beside the weights and the input elements in flight.
fn most_pixels(vectors: usize, ending: Ending, isa: &Isa) -> Option<usize> {
    let registers = ending.registers(isa);
    let mr = if has_register_of_pixel(ending, isa) {
        // One register of input for each pixel, mr * vectors + vectors + mr in all, and one to spare: Cranelift spills when
        // every register is taken.
        (registers - ending.operands(1 + vectors)) / (vectors + 1)
    } else {
        // Two input elements take turns; where bytes are widened, one does, and it and the weights are two registers each. Of two words the
        // weights stay in memory, but for a last one without a second.
        let of_step = if ending.widens_bytes(isa) {
            2 * vectors + 2
        } else {
            vectors + if ending.adds_words(isa) { 1 } else { 2 }
        };
        let of_elements = registers.saturating_sub(ending.operands(of_step)) / vectors;
        // Or the weights do, over no more pixels than vectors: 3 x 32 in sixteen registers, where 6 x 16 loads more.
        let is_short = ending.dtype() == Dtype::U8 && isa.native_dot;
        let most = if is_short { vectors } else { 0 };
        let of_weights = (1..=most).rev().find(|mr| mr * vectors + ending.operands(mr + 1) <= registers);
        of_elements.max(of_weights.unwrap_or(0))
    };
    (mr != 0).then_some(mr.min(MOST_PIXELS))
}

/// Whether each pixel has a register of input: multiply-adds take factors from lanes of it, and a dot product that is many instructions
/// needs as many.
fn has_register_of_pixel(ending: Ending, isa: &Isa) -> bool {
    isa.lane_fma && !(ending.dtype() == Dtype::U8 && isa.native_dot)
}

/// Whether sums are short enough for the end of a tile to matter: four products of bytes at once.
fn hides_ends(ending: Ending, isa: &Isa) -> bool {
    ending.dtype() == Dtype::U8 && isa.native_dot
}

/// Longer columns of pixels gain nothing: loads are hidden from about ten on.
const MOST_PIXELS: usize = 14;

fn cycles(product: Product, tile: Tile, isa: &Isa) -> usize {
    let total = product.n.div_ceil(isa.lanes);
    let ends_in_half = isa.ends_in_half(product.n) && product.ending.dtype() == Dtype::F32;
    let (full, rest) = (total / tile.vectors, total % tile.vectors);
    let last = if rest == 0 { (full - 1, tile.vectors) } else { (full, rest) };
    let panels = [(tile.vectors, last.0, false), (last.1, 1, ends_in_half)];
    let mut cycles = 0;
    for (vectors, n_panels, ends_in_half) in panels.into_iter().filter(|(_, count, _)| *count != 0) {
        for (mr, n_tiles) in split_evenly(product.pixels, tile.mr) {
            let loads = if has_register_of_pixel(product.ending, isa) {
                vectors + mr.div_ceil(isa.lanes)
            } else {
                vectors + mr
            };
            // Whole cycles have chosen the tiles that are known to be good; among those with halves, half a cycle decides.
            let fma_time = if ends_in_half {
                (mr * vectors - mr / 2) * LOADS_A_STALL / isa.fma_per_cycle
            } else {
                (mr * vectors).div_ceil(isa.fma_per_cycle) * LOADS_A_STALL
            };
            let least = isa.fma_latency.max(loads.div_ceil(isa.loads_per_cycle)) * LOADS_A_STALL;
            let edges = mr * vectors * EDGE_INSTRUCTIONS;
            let step = fma_time.max(least) + loads;
            let in_flight = edges + product.depth * (mr * vectors + loads);
            let exposed = if hides_ends(product.ending, isa) { in_flight.min(WINDOW) } else { WINDOW };
            let edges = (edges * exposed).div_ceil(ISSUE_WIDTH * WINDOW);
            cycles += n_panels * n_tiles * (product.depth * step / LOADS_A_STALL + edges);
        }
    }
    cycles * product.groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::layer::Activation;
    use crate::kernels::IntegerEnding;
    use crate::passes::Fit;
    use crate::target::{AARCH64, X86_64_V3, X86_64_V3_VNNI, X86_64_V4, X86_64_V4_VNNI};

    #[test]
    fn the_known_good_tiles_are_chosen() {
        let ending = Ending::Float(Activation::None);
        let layer = |pixels, depth, n| Product { groups: 1, pixels, depth, n, ending };
        let tile = |product, isa| {
            let Tile { mr, vectors } = choose(product, isa).tile;
            (mr, vectors)
        };
        assert_eq!(tile(layer(196, 512, 512), &X86_64_V3), (6, 2));
        assert_eq!(tile(layer(196, 512, 512), &X86_64_V4), (6, 4));
        assert_eq!(tile(layer(196, 512, 512), &AARCH64), (9, 2));
        // The last vector of 24 or 40 channels is shared by two pixels.
        assert_eq!(tile(layer(784, 88, 24), &X86_64_V4), (14, 2));
        assert_eq!(tile(layer(784, 120, 40), &X86_64_V4), (6, 4));
        // Half a panel is enough for eight channels.
        assert_eq!(tile(layer(4096, 27, 8), &X86_64_V3), (13, 1));
        // 32 channels are two vectors of sixteen: all of them in one panel.
        assert_eq!(tile(layer(12544, 27, 32), &X86_64_V4), (14, 2));
    }
    /// Dot products of bytes need no registers of their own: where there are sixteen, the weights of 32 channels take turns.
    #[test]
    fn tiles_of_bytes_fill_the_registers() {
        let tile = |depth, n, activation, isa| {
            let ending = IntegerEnding {
                fit: Fit::Two,
                activation,
                bytes: None,
                addition: None,
                in_mantissas: false,
                borders: None,
            };
            let ending = Ending::Integer(ending);
            let Tile { mr, vectors } = choose(Product { groups: 1, pixels: 196, depth, n, ending }, isa).tile;
            (mr, vectors)
        };
        // In quads of channels.
        for (depth, n) in [(128, 512), (64, 256), (16, 64)] {
            assert_eq!(tile(depth, n, Activation::Relu, &X86_64_V3_VNNI), (3, 4));
            assert_eq!(tile(depth, n, Activation::Relu, &X86_64_V4_VNNI), (6, 4));
        }
        // Of short sums smaller tiles end while the next one begins.
        assert_eq!(tile(8, 64, Activation::Relu, &X86_64_V3_VNNI), (3, 4));
        assert_eq!(tile(8, 64, Activation::Relu, &X86_64_V4_VNNI), (3, 4));
        assert_eq!(tile(4, 32, Activation::Relu, &X86_64_V4_VNNI), (7, 2));
        // Two words at a time, whose weights stay in memory.
        let of_words = |vectors| {
            let ending = IntegerEnding {
                fit: Fit::Four,
                activation: Activation::None,
                bytes: None,
                addition: None,
                in_mantissas: false,
                borders: None,
            };
            most_pixels(vectors, Ending::Integer(ending), &X86_64_V3)
        };
        assert_eq!([1, 2, 3, 4].map(of_words), [Some(11), Some(5), Some(3), Some(2)]);
        // 16 channels are two vectors.
        assert_eq!(tile(128, 16, Activation::Relu, &X86_64_V3_VNNI), (6, 2));
        // What becomes of the sums needs registers too.
        assert_eq!(tile(128, 512, Activation::Swish, &X86_64_V3_VNNI), (2, 4));
    }
}
