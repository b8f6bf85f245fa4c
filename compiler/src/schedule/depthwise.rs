//! The form and the step of a depthwise kernel, by what its code does.

use crate::code::{Binary, Op};
use crate::graph::shape::Shape;
use crate::kernels::{Depthwise, FeatureMap, Form, Kernel, split_evenly};
use crate::target::Isa;

/// Rows of a depthwise step, at most.
pub(super) const MOST_ROWS: usize = 4;
/// Output pixels of each, at most: beyond twelve the code grows and hardly more is reused.
const MOST_PIXELS: usize = 12;
/// Pixels of a depthwise step of several rows, at most. Measured on a Zen 5 over the layers of MobileNetV2 and V3-large: 15 sums are
/// never far from the best, 20 are 1.3 to 1.8 times slower with hard-swish.
const MOST_SUMS: usize = 16;
/// The same, at least: with 16 registers there is room for eight, which gained nothing over one row.
const LEAST_SUMS: usize = 12;
/// The same where neighbours share less, with a larger stride, and where the code's length is time in the user's build.
const FEW_PIXELS: usize = 7;

/// The kernel in the form and with the step that take the fewest cycles.
pub(super) fn choose(kernel: Depthwise, isa: &Isa) -> Depthwise {
    let (rows, pixels) = step_of_taps(&kernel, isa);
    let by_taps = Depthwise { rows, pixels, ..kernel };
    let forms = kernel.in_all_forms(isa);
    let [_, forms @ ..] = &forms[..] else { unreachable!("taps are a form") };
    if forms.is_empty() {
        return by_taps;
    }
    let of_rows = |kernel: Depthwise, rows: usize| {
        (1..=kernel.most_pixels(rows, isa)).map(move |pixels| Depthwise { rows, pixels, ..kernel })
    };
    let by_words =
        forms.iter().flat_map(|kernel| (1..=MOST_ROWS).flat_map(move |rows| of_rows(*kernel, rows)));
    let all: Vec<(Depthwise, Cost)> =
        [by_taps].into_iter().chain(by_words).map(|kernel| (kernel, Cost::of(&kernel, isa))).collect();
    let fewest = all.iter().map(|(_, cost)| cost.cycles).min().expect("one is there");
    let is_near = |cost: &Cost| cost.cycles <= fewest + fewest / NEAR;
    let near = all.into_iter().filter(|(_, cost)| is_near(cost));
    near.min_by_key(|(_, cost)| cost.n_ops).expect("the fewest are near").0
}

/// The rows and pixels of a depthwise step: of one row, the widest step that splits it evenly, or several rows where fewer vectors
/// are then loaded over the whole map, inputs and weights.
fn step_of_taps(kernel: &Depthwise, isa: &Isa) -> (usize, usize) {
    let Depthwise { window, output: FeatureMap { shape: Shape { height, width, .. }, .. }, .. } = *kernel;
    let most = if window.columns.stride == 1 && !isa.policy.few_kernels { MOST_PIXELS } else { FEW_PIXELS };
    let most = most.min(kernel.most_pixels(1, isa));
    let even = (most.div_ceil(2)..=most).rev().find(|pixels| width.is_multiple_of(*pixels));
    let one_row = (1, even.unwrap_or(most));
    if isa.policy.few_kernels {
        return one_row;
    }
    let loads = |(rows, pixels): &(usize, usize)| -> usize {
        let pieces = |extent, most| split_evenly(extent, most).into_iter();
        let block = |rows, pixels| window.rows.covered(rows) * window.columns.covered(pixels) + window.taps();
        pieces(height, *rows)
            .flat_map(|(rows, times)| {
                pieces(width, *pixels).map(move |(pixels, count)| (rows, pixels, times * count))
            })
            .map(|(rows, pixels, count)| count * block(rows, pixels))
            .sum()
    };
    let several = (2..=MOST_ROWS).flat_map(|rows| {
        let most = (MOST_SUMS / rows).min(kernel.most_pixels(rows, isa));
        (LEAST_SUMS.div_ceil(rows)..=most).map(move |pixels| (rows, pixels))
    });
    [one_row].into_iter().chain(several).min_by_key(loads).expect("one row is there")
}

/// Bytes of an instruction, about.
const INSTRUCTION_BYTES: usize = 7;
/// Bytes of instructions, or of weights, that stay in the first level of the caches beside the rest.
const RESIDENT_BYTES: usize = 24 << 10;
/// Bytes that the second level brings in a cycle.
const BYTES_A_CYCLE: usize = 32;
/// Operations that a core starts in one cycle, of which some are products.
const OPERATIONS_A_CYCLE: usize = 4;

/// Of kernels that take so small a part longer than the fastest, the shortest is the best: the model isn't more exact than that, and code
/// that is used a few times in a run costs time to fetch.
const NEAR: usize = 16;

/// What a kernel takes.
struct Cost {
    /// About: the most of what its operations, its products and its loads take. Code that is longer than the first-level cache comes from
    /// the second for the channels of each step; where a step goes over all channels, weights do.
    cycles: usize,
    /// Length of its code.
    n_ops: usize,
}

impl Cost {
    fn of(kernel: &Depthwise, isa: &Isa) -> Cost {
        let whole = Kernel::Depthwise(*kernel);
        let code = whole.code(isa);
        let Counts { operations, products, loads } = Counts::of(&code.body, isa);
        let busy = (operations / OPERATIONS_A_CYCLE)
            .max(products / isa.fma_per_cycle)
            .max(loads / isa.loads_per_cycle);
        let (bytes, times) = match kernel.form {
            Form::Taps => (whole.filter_bytes(isa), kernel.n_steps()),
            Form::Rows(_) | Form::Flat(_) => {
                let n_channels = kernel.output.shape.channels;
                (code.n_ops() * INSTRUCTION_BYTES, n_channels.div_ceil(kernel.channels(isa)))
            }
        };
        let cycles = busy + if RESIDENT_BYTES < bytes { times * bytes / BYTES_A_CYCLE } else { 0 };
        Cost { cycles, n_ops: code.n_ops() }
    }
}

/// What a kernel does.
#[derive(Clone, Copy, Default)]
struct Counts {
    /// Of vectors, products among them.
    operations: usize,
    products: usize,
    loads: usize,
}

impl Counts {
    fn of(ops: &[Op], isa: &Isa) -> Counts {
        ops.iter().fold(Counts::default(), |sum, op| {
            let Counts { operations, products, loads } = Counts::of_one(op, isa);
            Counts {
                operations: sum.operations + operations,
                products: sum.products + products,
                loads: sum.loads + loads,
            }
        })
    }

    fn of_one(op: &Op, isa: &Isa) -> Counts {
        let is_part = |lanes: u8| usize::from(lanes) != isa.lanes;
        let (operations, products, loads) = match *op {
            // Multiplied in pairs, pairs of pairs, and added.
            Op::Dot { .. } if !isa.native_dot => (3, 2, 0),
            Op::Fma { .. }
            | Op::FmaLane { .. }
            | Op::MulAdd { .. }
            | Op::Dot { .. }
            | Op::Binary { op: Binary::Mul, .. } => (1, 1, 0),
            Op::DotLoad { .. } => (1, 1, 1),
            Op::DotWords { .. } => (5, 3, 2),
            Op::DotPairs { .. } => (2, 1, 0),
            Op::DotPairsLoad { .. } => (2, 1, 1),
            // The mask is made.
            Op::Load { lanes, .. } if is_part(lanes) => (2, 0, 1),
            Op::Store { lanes, .. } if is_part(lanes) => (2, 0, 0),
            Op::LoadLanes { .. } => (2, 0, 1),
            Op::Load { .. } | Op::Splat { .. } | Op::LoadTwice { .. } => (0, 0, 1),
            // Widened on the way.
            Op::LoadBytes { .. } => (1, 0, 1),
            // Bounded, narrowed, and a little more on the way to memory.
            Op::StoreBytes { .. } => (3, 0, 0),
            Op::Loop { count, ref body } => {
                let Counts { operations, products, loads } = Counts::of(body, isa);
                let count = count as usize;
                (count * operations, count * products, count * loads)
            }
            Op::Copy { .. }
            | Op::Const { .. }
            | Op::ConstInteger { .. }
            | Op::ConstLanes { .. }
            | Op::Store { .. }
            | Op::Prefetch { .. }
            | Op::SetPointer { .. }
            | Op::Heading(_) => (0, 0, 0),
            Op::Join { .. }
            | Op::Binary { .. }
            | Op::WidenBytes { .. }
            | Op::Zip { .. }
            | Op::Narrow { .. }
            | Op::Parts { .. }
            | Op::Permute { .. }
            | Op::ToFloat { .. }
            | Op::ToInteger { .. }
            | Op::ShiftLeft { .. }
            | Op::ShiftRight { .. } => (1, 0, 0),
        };
        Counts { operations, products, loads }
    }
}
