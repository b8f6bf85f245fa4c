//! How long a network will take, before it is compiled: [`Graph`] x [`Isa`] x [`Machine`] -> [`Prediction`].
//!
//! A roofline, layer by layer. A layer takes as long as its multiply-adds or its bytes, whichever takes longer:
//!
//! - Multiply-adds at the core's measured peak, times the share of it that kernels of this kind reach. Output channels are
//!   counted in whole vectors: 24 channels cost as much as 32 where a vector has 16, except in convolutions, whose pixels share
//!   halves of vectors.
//! - Weights at the speed at which as many bytes as the whole network has are read, for between two runs the others' have
//!   passed; results at the speed of their own size.
//! - A call for each layer.
//!
//! The peak and the speeds are measured on the machine that asks. The shares are constants of the kernels, [`SHARES`]; they
//! come from other networks than those of the paper, so that its family is a test of them. Nothing is measured here.

use mnc_runtime::limits::gb_per_s;
use mnc_runtime::measured::profile::Read;
use serde::{Deserialize, Serialize};

use crate::cost::{Kind, LayerCost, Report};
use crate::describe::Slide;
use crate::graph::Graph;
use crate::graph::layer::Layer;
use crate::graph::tensor::Tensor;
use crate::passes::{Fused, FusedId, FusedNode};
use crate::target::Isa;

/// What one core of a machine can do at most, as [`mnc_runtime::limits::Limits`] measures it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// Multiply-adds, each as two operations, in the vectors of the instruction set.
    pub fma_gflops: f64,
    /// Reading so many bytes over and over, the fewest first.
    pub reads: Vec<Read>,
}

/// What is expected of a layer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LayerTime {
    /// The layer.
    pub name: String,
    /// Its kind.
    pub kind: Kind,
    /// Its multiply-adds at the share of peak of its kind.
    pub compute_microseconds: f64,
    /// Its weights and results at the speed of the memory that they come from.
    pub memory_microseconds: f64,
    /// The longer of the two and a call.
    pub microseconds: f64,
}

/// What is expected of a network: one inference on one thread, undisturbed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Prediction {
    /// Each layer in order.
    pub layers: Vec<LayerTime>,
    /// All of them.
    pub microseconds: f64,
}

/// The share of the core's peak that kernels reach where nothing but multiply-adds holds them up, for an instruction set.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shares {
    /// [`Isa::name`].
    pub isa: &'static str,
    /// Standard convolutions.
    pub conv: f64,
    /// Depthwise convolutions of stride 1, which load as often as they multiply.
    pub depthwise: f64,
    /// Depthwise convolutions of larger strides, which use less of what they load.
    pub depthwise_strided: f64,
    /// 1x1 convolutions and dense layers.
    pub pointwise: f64,
}

/// Measured on an AMD EPYC (family 26) with `--profile` of MobileNetV1 at 0.6@176, 0.35@144, 0.9@208 and 0.15@240: of all
/// steps of a kind that are one layer, multiply-adds in whole vectors over time, set against the peak of the same run
/// (docs/family.md has the commands).
pub const SHARES: [Shares; 2] = [
    Shares { isa: "x86-64-v3", conv: 0.83, depthwise: 0.93, depthwise_strided: 0.73, pointwise: 0.98 },
    Shares { isa: "x86-64-v4", conv: 0.83, depthwise: 0.71, depthwise_strided: 0.39, pointwise: 0.95 },
];

/// The same of bytes and integers, set against the peak of products of bytes, on that EPYC and of those networks (docs/family.md); with AVX2
/// of weights that fit as `--pair-safe` makes them.
pub const INTEGER_SHARES: [Shares; 3] = [
    Shares { isa: "x86-64-v3", conv: 0.44, depthwise: 0.23, depthwise_strided: 0.18, pointwise: 0.96 },
    Shares { isa: "x86-64-v3-vnni", conv: 0.65, depthwise: 0.26, depthwise_strided: 0.17, pointwise: 0.96 },
    Shares { isa: "x86-64-v4-vnni", conv: 0.67, depthwise: 0.33, depthwise_strided: 0.17, pointwise: 0.94 },
];

/// A call and its return, with the arguments.
const CALL_MICROSECONDS: f64 = 0.05;

/// What to expect of a network. `None` for an instruction set whose shares nobody has measured.
///
/// ```
/// use mnc::graph::{Graph, Knobs};
/// use mnc::predict::{Machine, predict};
/// use mnc_runtime::measured::profile::Read;
/// let description = mnc::describe::builtin("mobilenet-v1").unwrap().description();
/// let graph = Graph::build(&description, &Knobs::default())?;
/// let machine = Machine { fma_gflops: 100.0, reads: vec![Read { bytes: 1 << 20, gb_per_s: 50.0 }] };
/// let prediction = predict(&graph, &mnc::target::X86_64_V3, &machine).unwrap();
/// // 569 million multiply-adds at 100 GFLOP/s are 11.4 ms.
/// assert!((11_400.0..13_000.0).contains(&prediction.microseconds));
/// # Ok::<(), mnc::Error>(())
/// ```
pub fn predict(graph: &Graph, isa: &Isa, machine: &Machine) -> Option<Prediction> {
    let shares = SHARES.iter().find(|shares| shares.isa == isa.name)?;
    let report = Report::of(graph);
    let core = Core { shares, isa, machine, weight_bytes: report.total.weight_bytes };
    let layer = |cost: &LayerCost| {
        let node = graph.by_name(&cost.name).expect("a report is made of the graph's layers");
        let values = graph.input_shapes(node).into_iter().chain([node.shape()]).map(Tensor::f32);
        core.time(cost, &node.layer, values)
    };
    Some(Prediction::of(report.layers.iter().map(layer).collect()))
}

/// What to expect of a network in bytes and integers, whose report [`Report::of_integers`] makes, on a machine whose peak is that of products of bytes.
/// `None` for an instruction set whose shares nobody has measured, and for weights whose pairs don't fit where bytes are multiplied in
/// pairs.
pub fn predict_integers(
    network: &Fused,
    report: &Report,
    isa: &Isa,
    machine: &Machine,
) -> Option<Prediction> {
    let shares = INTEGER_SHARES.iter().find(|shares| shares.isa == isa.name)?;
    let shape = |id: &FusedId| network.nodes[id.0].shape();
    // The camera's bytes go through kernels of their own.
    let is_fit = |node: &FusedNode| match &node.integer {
        Some(numbers) if node.inputs[0].0 != 0 => {
            let channels = shape(&node.inputs[0]).channels;
            numbers.fit(&node.layer, channels) == numbers.best_fit(&node.layer, channels)
        }
        Some(_) | None => true,
    };
    if !isa.native_dot && !network.nodes.iter().all(is_fit) {
        return None;
    }
    let core = Core { shares, isa, machine, weight_bytes: report.total.weight_bytes };
    let layer = |cost: &LayerCost| {
        let is_it = |node: &&FusedNode| node.name == cost.name && !network.is_conversion(node);
        match network.nodes.iter().find(is_it) {
            Some(node) => {
                let inputs = node.inputs.iter().map(|id| network.nodes[id.0].tensor);
                core.time(cost, &node.layer, inputs.chain([node.tensor]))
            }
            // Part of the layer before it.
            None => LayerTime {
                name: cost.name.clone(),
                kind: cost.kind,
                compute_microseconds: 0.0,
                memory_microseconds: 0.0,
                microseconds: 0.0,
            },
        }
    };
    Some(Prediction::of(report.layers.iter().map(layer).collect()))
}

impl Prediction {
    fn of(layers: Vec<LayerTime>) -> Prediction {
        let microseconds = layers.iter().map(|layer| layer.microseconds).sum();
        Prediction { layers, microseconds }
    }
}

/// What computes a network of so many bytes of weights.
struct Core<'a> {
    shares: &'a Shares,
    isa: &'a Isa,
    machine: &'a Machine,
    weight_bytes: u64,
}

impl Core<'_> {
    /// A layer that reads and writes such values.
    fn time(&self, cost: &LayerCost, layer: &Layer, values: impl Iterator<Item = Tensor>) -> LayerTime {
        let Core { shares, isa, machine, weight_bytes } = *self;
        let channels = cost.output.channels;
        let work = cost.cost.mult_adds as f64 * paid(layer, channels, isa) as f64 / channels as f64;
        let flops_per_us = shares.of(layer) * machine.fma_gflops * 1e3;
        let compute_microseconds = 2.0 * work / flops_per_us;

        let in_vectors = |channels: usize| channels.next_multiple_of(isa.lanes);
        let bytes_of =
            |Tensor { shape, dtype }: Tensor| shape.pixels() * in_vectors(shape.channels) * dtype.bytes();
        let result_bytes = values.map(bytes_of).sum::<usize>() as u64;
        let at_speed = |bytes: u64, of: u64| {
            // Without measured speeds memory costs nothing.
            gb_per_s(&machine.reads, of).map_or(0.0, |speed| bytes as f64 / (speed * 1e3))
        };
        let memory_microseconds =
            at_speed(cost.cost.weight_bytes, weight_bytes) + at_speed(result_bytes, result_bytes);
        LayerTime {
            name: cost.name.clone(),
            kind: cost.kind,
            compute_microseconds,
            memory_microseconds,
            microseconds: compute_microseconds.max(memory_microseconds) + CALL_MICROSECONDS,
        }
    }
}

/// The channels whose multiply-adds a layer pays for.
fn paid(layer: &Layer, channels: usize, isa: &Isa) -> usize {
    let in_vectors = channels.next_multiple_of(isa.lanes);
    match layer {
        // A layer of fewer channels waits for its elements instead.
        Layer::Conv { .. } if isa.lanes < channels && isa.ends_in_half(channels) => {
            in_vectors - isa.lanes / 2
        }
        _ => in_vectors,
    }
}

impl Shares {
    fn of(&self, layer: &Layer) -> f64 {
        match layer {
            Layer::Conv { window, .. } if window.slide() == Slide::POINTWISE => self.pointwise,
            Layer::Conv { .. } => self.conv,
            Layer::Depthwise { window, .. } if window.columns.stride == 1 => self.depthwise,
            Layer::Depthwise { .. } => self.depthwise_strided,
            Layer::Dense { .. } => self.pointwise,
            // No multiply-adds are counted for the others.
            _ => 1.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::describe;
    use crate::graph::Knobs;
    use crate::target::{ISAS, RISCV64, X86_64_V3, X86_64_V4};

    fn graph(alpha: f64, side: usize) -> Graph {
        let description = describe::builtin("mobilenet-v1").unwrap().description();
        let resolution = Some(crate::graph::Resolution { height: side, width: side });
        Graph::build(&description, &Knobs { alpha, resolution }).unwrap()
    }

    fn machine() -> Machine {
        let reads = [(256 << 10, 200.0), (32 << 20, 50.0)];
        Machine { fma_gflops: 128.0, reads: reads.map(|(bytes, gb_per_s)| Read { bytes, gb_per_s }).to_vec() }
    }

    fn layer<'a>(prediction: &'a Prediction, name: &str) -> &'a LayerTime {
        prediction.layers.iter().find(|layer| layer.name == name).unwrap()
    }

    #[test]
    fn layers_are_bound_by_the_longer_of_work_and_bytes() {
        let prediction = predict(&graph(1.0, 224), &X86_64_V3, &machine()).unwrap();
        let pointwise = layer(&prediction, "conv_pw_7");
        // 14 x 14 x 512 x 512 multiply-adds at the share of 128 GFLOP/s.
        let expected = 2.0 * 51_380_224.0 / (SHARES[0].pointwise * 128e3);
        assert!((pointwise.compute_microseconds - expected).abs() < 1e-6, "{pointwise:?}");
        assert!(pointwise.memory_microseconds < pointwise.compute_microseconds);
        let dense = prediction.layers.iter().find(|layer| layer.kind == Kind::Dense).unwrap();
        // 4.1 MB read at the speed of 17 MB.
        assert!(dense.compute_microseconds < dense.memory_microseconds, "{dense:?}");
        let sum: f64 = prediction.layers.iter().map(|layer| layer.microseconds).sum();
        assert_eq!(sum, prediction.microseconds);
    }

    #[test]
    fn channels_cost_whole_vectors() {
        // The stem has 8 channels at alpha 0.25: half a vector of 16.
        let of =
            |isa| layer(&predict(&graph(0.25, 128), isa, &machine()).unwrap(), "conv_1").compute_microseconds;
        let [v3, v4] = [of(&X86_64_V3), of(&X86_64_V4)];
        assert!((v4 / v3 - 2.0 * SHARES[0].conv / SHARES[1].conv).abs() < 1e-9, "{v3} {v4}");
    }

    #[test]
    fn pixels_share_halves_of_vectors() {
        // 24 channels at alpha 0.375.
        let graph = graph(0.375, 128);
        let of = |isa| layer(&predict(&graph, isa, &machine()).unwrap(), "conv_pw_1").compute_microseconds;
        assert_eq!(graph.by_name("conv_pw_1").unwrap().shape().channels, 24);
        let [v3, v4] = [of(&X86_64_V3), of(&X86_64_V4)];
        assert!((v4 / v3 - SHARES[0].pointwise / SHARES[1].pointwise).abs() < 1e-9, "{v3} {v4}");
    }

    #[test]
    fn shares_are_of_instruction_sets_that_exist() {
        assert!(SHARES.iter().all(|shares| ISAS.iter().any(|isa| isa.name == shares.isa)));
        assert_eq!(predict(&graph(0.25, 32), &RISCV64, &machine()), None);
    }
}
