//! The limits of this machine, for predictions: measured in the process of the command itself, in half a second. And what they are of.

use mnc::cost::Report;
use mnc::graph::Graph;
use mnc::passes::Fused;
use mnc::predict::{Machine, Prediction, predict, predict_integers};
use mnc::target::Isa;
use mnc_runtime::limits::Limits;
use mnc_runtime::peak::Probe;

/// Samples of each limit, of which the best counts: a shared core is at its best now and then only.
const N_SAMPLES: usize = 8;

/// The peaks of multiply-adds of one core, in GFLOP/s, of two instruction sets that take turns: some milliseconds. `None` where one
/// can't be measured.
pub(super) fn peaks(isas: [&Isa; 2]) -> Option<[f64; 2]> {
    let [one, other] = isas.map(|isa| Probe::new(isa.name));
    let probes = [one?, other?];
    let mut best = [0.0; 2];
    for _ in 0..N_SAMPLES {
        for (best, probe) in best.iter_mut().zip(probes) {
            *best = probe.fma().max(*best);
        }
    }
    Some(best)
}

/// What one core of this machine can do in f32, or in products of bytes. `None` where there is no probe for the instruction set, or this
/// CPU lacks it.
pub(super) fn measure(isa: &Isa, is_int8: bool) -> Option<Machine> {
    let mut limits = Limits::new(isa.name, is_int8);
    for _ in 0..N_SAMPLES {
        limits.sample_fma();
        limits.sample_reads();
    }
    Some(Machine { fma_gflops: limits.fma_gflops()?, reads: limits.reads().to_vec() })
}

/// A network as far as its costs are told.
#[derive(Clone, Debug)]
pub(super) struct Network {
    pub(super) graph: Graph,
    /// Of one in int8.
    pub(super) integers: Option<Fused>,
}

impl Network {
    /// What it costs.
    pub(super) fn report(&self) -> Report {
        match &self.integers {
            Some(network) => Report::of_integers(&self.graph, network),
            None => Report::of(&self.graph),
        }
    }

    /// How long it will take on a machine that was measured for it; `None` where nobody knows the kernels' shares.
    pub(super) fn predict(&self, isa: &Isa, machine: &Machine) -> Option<Prediction> {
        match &self.integers {
            Some(network) => predict_integers(network, &self.report(), isa, machine),
            None => predict(&self.graph, isa, machine),
        }
    }
}
