//! The kernel of a node, its register tile, and into which parts it is cut for threads.
//!
//! In: a layer and the layouts around it. Knows no other node.

use super::depthwise;
use super::tiling::{self, Choice, Product};
use super::tuning::LayerChoice;
use crate::graph::layer::{Activation, Layer, Pooling};
use crate::graph::shape::{Shape, Window};
use crate::kernels::{
    Borders, ByteAddition, ByteEnding, ByteProduct, ByteResidual, Concat, Conv, Dense, Depthwise,
    Elementwise, ElementwiseNumbers, Ending, Factor, FeatureMap, Form, GlobalAveragePool, Grouped,
    IntegerEnding, Kernel, Operation, Pointwise, PoolNumbers, Softmax, Split, Tile, Upsample, WindowPool,
};
use crate::passes::{Addition, ByteSum, Bytes, FusedNode, Integer, is_clamp};
use crate::target::Isa;

/// A kernel, the cycles that it is expected to take, and why it was chosen.
pub(super) struct Chosen {
    pub(super) kernel: Kernel,
    pub(super) cycles: usize,
    pub(super) reason: String,
}

/// Whether the layer's kernel loads nothing behind the elements of its input, and so reads a map without gaps.
pub(super) fn broadcasts(layer: &Layer) -> bool {
    match layer {
        Layer::Input | Layer::Conv { .. } | Layer::Grouped { .. } | Layer::Dense { .. } | Layer::Concat => {
            true
        }
        Layer::Depthwise { .. }
        | Layer::Add
        | Layer::Multiply
        | Layer::GlobalAveragePool
        | Layer::Pool { .. }
        | Layer::Upsample { .. }
        | Layer::Softmax => false,
        Layer::BatchNorm { .. } | Layer::Activation(_) => {
            unreachable!("part of other nodes since the passes")
        }
    }
}

/// Whether the layer's kernel reads such a map although its pixels are no whole words.
pub(super) fn reads_tight(layer: &Layer, map: FeatureMap, isa: &Isa) -> bool {
    let is_conv = matches!(layer, Layer::Conv { window, .. } if *window != Window::POINTWISE);
    is_conv && Conv::reads_tight(map, isa)
}

pub(super) fn choose(
    node: &FusedNode,
    inputs: &[FeatureMap],
    output: FeatureMap,
    isa: &Isa,
    wanted: Option<&LayerChoice>,
) -> Chosen {
    let input = inputs[0];
    let why = wanted.map_or(String::new(), |wanted| format!(", {}", wanted.reason));
    let vectors = |map: FeatureMap| map.shape.pixels() * map.shape.channels.div_ceil(isa.lanes);
    let tiled = |product: Product, kernel: &dyn Fn(Tile) -> Kernel| {
        let wanted = wanted.map(|wanted| wanted.kernel.tile.of_lanes(isa.lanes));
        let Choice { tile, cycles } = match wanted {
            Some(tile) => tiling::expected(product, tile, isa),
            None => tiling::choose(product, isa),
        };
        let reason = format!("{}x{} tile{why}", tile.mr, tile.vectors * isa.lanes);
        Chosen { kernel: kernel(tile), cycles, reason }
    };
    let ending = ending(node, input);
    let activation = node.activation;
    let elementwise = |operation: Operation| Chosen {
        kernel: Kernel::Elementwise(Elementwise {
            operation,
            a: inputs[0],
            b: inputs[1],
            output,
            activation: activation_and_bytes(node).0,
            integers: elementwise_numbers(node),
        }),
        cycles: vectors(output) * if node.integer.is_some() { 8 } else { 2 },
        reason: "bound by memory".to_owned(),
    };
    match node.layer {
        Layer::Input => unreachable!("the input is not computed"),
        Layer::BatchNorm { .. } | Layer::Activation(_) => {
            unreachable!("part of other nodes since the passes")
        }
        // A dense layer of several rows is that of a batch; the kernel for one row adds nothing.
        Layer::Conv { window: Window::POINTWISE, .. } | Layer::Dense { .. }
            if output.shape.pixels() != 1 || node.residual.is_some() =>
        {
            let (pixels, depth, n) = (output.shape.pixels(), input.depth(), output.shape.channels);
            let residual = node.residual.as_ref().map(|_| inputs[1]);
            tiled(Product { groups: 1, pixels, depth, n, ending }, &|tile| {
                Kernel::Pointwise(Pointwise { input, residual, output, ending, tile, ahead: 0 })
            })
        }
        Layer::Conv { window: Window::POINTWISE, .. } | Layer::Dense { .. } => {
            let room = (ending.registers(isa) - ending.operands(DENSE_OPERANDS)).min(MOST_CHAINS);
            // Whole panels.
            let of_panel = isa.policy.panel_channels.map_or(1, |channels| channels.div_ceil(isa.lanes));
            let chains = room / of_panel * of_panel;
            Chosen {
                kernel: Kernel::Dense(Dense { input, output, ending, vectors: chains }),
                // Each weight is loaded once, from beyond the caches.
                cycles: input.shape.pixels() * input.depth() * vectors(output),
                reason: format!("one row: {chains} chains side by side hide the latency"),
            }
        }
        Layer::Depthwise { window, .. } => {
            let kernel = Depthwise { window, input, output, ending, form: Form::Taps, rows: 1, pixels: 1 };
            let kernel = match wanted {
                Some(wanted) => kernel.with_tile(wanted.kernel.tile, isa),
                None => depthwise::choose(kernel, isa),
            };
            let Depthwise { form, rows, pixels, .. } = kernel;
            let width = output.shape.width;
            let at_once = if rows == 1 { String::new() } else { format!(", {rows} at a time,") };
            let words = match form {
                Form::Taps => String::new(),
                Form::Rows(rows) => format!(", words of {rows} rows"),
                Form::Flat(rows) => format!(", words of {rows} rows, pixels side by side"),
            };
            Chosen {
                kernel: Kernel::Depthwise(kernel),
                // Half of the peak: a load and its share of the weights for each few multiply-adds.
                cycles: vectors(output) * window.taps(),
                reason: format!("rows of {width}{at_once} in even steps of at most {pixels}{words}{why}"),
            }
        }
        Layer::Grouped { window, groups, .. } if node.integer.is_none() => {
            let (m, n) = (input.shape.channels / groups, output.shape.channels / groups);
            Chosen {
                kernel: Kernel::Grouped(Grouped { window, groups, input, output, activation }),
                cycles: vectors(output) * isa.lanes.div_ceil(n) * window.taps() * m,
                reason: format!("{groups} groups of {m} to {n} channels"),
            }
        }
        // In integers, the channels of other groups have weights of 0.
        Layer::Conv { window, .. } | Layer::Grouped { window, .. } => {
            let Shape { height: groups, width: pixels, channels: n } = output.shape;
            let depth = window.taps() * input.depth();
            tiled(Product { groups, pixels, depth, n, ending }, &|tile| {
                Kernel::Conv(Conv { window, input, output, ending, tile })
            })
        }
        Layer::GlobalAveragePool => Chosen {
            kernel: Kernel::GlobalAveragePool(GlobalAveragePool { input, output, integers: pool(node) }),
            cycles: vectors(input),
            reason: "eight sums side by side".to_owned(),
        },
        Layer::Add => elementwise(Operation::Add),
        Layer::Multiply => elementwise(Operation::Multiply),
        Layer::Pool { pooling, window } => Chosen {
            kernel: Kernel::WindowPool(WindowPool {
                pooling,
                window,
                input,
                output,
                zero_point: node.bytes.map_or(0, |bytes| bytes.zero_point),
            }),
            // A maximum that keeps NaN takes four operations.
            cycles: vectors(output) * window.taps() * if pooling == Pooling::Max { 4 } else { 2 },
            reason: "pixel by pixel".to_owned(),
        },
        Layer::Concat => Chosen {
            kernel: Kernel::Concat(Concat { inputs: inputs.to_vec(), output }),
            cycles: vectors(output) * 2,
            reason: "bound by memory".to_owned(),
        },
        Layer::Upsample { factor } => Chosen {
            kernel: Kernel::Upsample(Upsample { factor, input, output }),
            cycles: vectors(output) * 2,
            reason: "bound by memory".to_owned(),
        },
        Layer::Softmax => Chosen {
            kernel: Kernel::Softmax(Softmax { input, output }),
            cycles: input.shape.len() * isa.fma_latency,
            reason: "chains over the channels".to_owned(),
        },
    }
}

/// What the kernel of a node sums, and what becomes of the sums.
fn ending(node: &FusedNode, input: FeatureMap) -> Ending {
    let Some(numbers) = &node.integer else {
        return node.bytes.map_or(Ending::Float(node.activation), |bytes| Ending::Bytes(bounds(bytes)));
    };
    let n = numbers.multiplier.len();
    let extent = (input.shape.height, input.shape.width);
    let differ = |_: &Window| n < numbers.packed_bias().len();
    let borders = node.layer.window().filter(differ).map(|window| Borders { window, extent });
    let fit = numbers.fit(&node.layer, input.shape.channels);
    let (activation, bytes) = activation_and_bytes(node);
    let addition = numbers.addition.as_ref().map(|addition| match addition {
        Addition::Tensor(sum) => ByteResidual::Tensor(addition_of(node, *sum)),
        Addition::Channels(_) => ByteResidual::Channels,
    });
    let in_mantissas = node.mantissas().is_some();
    Ending::Integer(IntegerEnding { fit, activation, bytes, addition, in_mantissas, borders })
}

/// The activation, where it is more than bounds, and how the numbers of a node become bytes, if they do; before an addition.
fn activation_and_bytes(node: &FusedNode) -> (Activation, Option<ByteEnding>) {
    let (activation, bytes) = node.ending();
    let Some(bytes) = bytes else { return (activation, None) };
    let factor = match (is_clamp(activation), node.scales.as_slice()) {
        (true, _) => Factor::One,
        (false, []) => Factor::Same((1.0 / bytes.scale).to_bits()),
        (false, _) => Factor::OfChannel,
    };
    let activation = if is_clamp(activation) { Activation::None } else { activation };
    (activation, Some(ByteEnding { factor, ..bounds(bytes) }))
}

fn bounds(bytes: Bytes) -> ByteEnding {
    let Bytes { zero_point, low, high, .. } = bytes;
    ByteEnding { factor: Factor::One, zero_point, low, high }
}

/// The addition of bytes that is part of a node, or is it.
fn addition_of(node: &FusedNode, sum: ByteSum) -> ByteAddition {
    let ByteSum { bias, multipliers, shift, .. } = sum;
    let bytes = bounds(node.bytes.expect("verified: an addition gives bytes"));
    ByteAddition { bias, multipliers, shift, bytes }
}

/// What becomes of the sums of a pool of bytes.
fn pool(node: &FusedNode) -> Option<PoolNumbers> {
    let Integer { bias, multiplier, .. } = node.integer.as_ref()?;
    let (_, bytes) = activation_and_bytes(node);
    Some(PoolNumbers { bias: bias[0], multiplier: multiplier[0].to_bits(), bytes })
}

/// What becomes of two bytes.
fn elementwise_numbers(node: &FusedNode) -> Option<ElementwiseNumbers> {
    let Integer { bias, multiplier, addition, .. } = node.integer.as_ref()?;
    if let Some(Addition::Tensor(sum)) = addition {
        return Some(ElementwiseNumbers::Sum(addition_of(node, *sum)));
    }
    let (_, bytes) = activation_and_bytes(node);
    let multiplier = multiplier[0].to_bits();
    Some(ElementwiseNumbers::Product(ByteProduct { addends: [bias[0], bias[1]], multiplier, bytes }))
}

/// Registers of the dense kernel that are not accumulators: one input element, three weights in flight.
const DENSE_OPERANDS: usize = 4;
/// Chains that hide the latency of a multiply-add on any processor we know; more only lengthen the code.
const MOST_CHAINS: usize = 12;
/// Parts that a step is cut into, at most: enough to feed eight threads, few enough to keep the code small.
const MOST_PARTS: usize = 8;
/// Parts of a chain, at most: at each border between two parts a few rows are computed twice, or taken over.
pub(super) const MOST_BAND_PARTS: usize = 4;

/// How a step is shared out among threads: by rows where the maps are larger than the filter, so that each thread reads its
/// own rows, else by channels, so that each reads its own weights.
pub(super) fn split(kernel: &Kernel, cycles: usize, isa: &Isa) -> Split {
    let parts = (cycles / isa.policy.least_part_cycles).min(MOST_PARTS);
    if parts < 2 {
        return Split::Whole;
    }
    let by_size = |maps: usize, filter: usize, rows: usize| {
        if filter < maps && parts <= rows { Split::Rows(parts) } else { Split::Channels(parts) }
    };
    match kernel {
        Kernel::Conv(Conv { window, input, output, .. }) => {
            let filter = window.taps() * input.shape.channels * output.shape.channels;
            by_size(input.len() + output.len(), filter, output.shape.height)
        }
        Kernel::Pointwise(Pointwise { input, output, tile, .. }) => {
            let filter = input.shape.channels * output.shape.channels;
            by_size(input.len() + output.len(), filter, output.shape.pixels() / tile.mr)
        }
        Kernel::Grouped(_) => Split::Rows(parts),
        Kernel::Depthwise(Depthwise { output, .. }) => {
            // A part of a row's channels should still be a few cache lines.
            let least_rows = 4 * parts;
            let by_rows = least_rows <= output.shape.height || output.shape.channels < parts * isa.lanes;
            if by_rows { Split::Rows(parts) } else { Split::Channels(parts) }
        }
        Kernel::Dense(_) | Kernel::GlobalAveragePool(_) => Split::Channels(parts),
        Kernel::Elementwise(_) | Kernel::WindowPool(_) | Kernel::Concat(_) | Kernel::Upsample(_) => {
            Split::Rows(parts)
        }
        Kernel::Softmax(_) | Kernel::Quantise(_) | Kernel::Copy(_) => Split::Whole,
    }
}
