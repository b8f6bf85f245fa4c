//! Networks with random numbers: built-in ones, and random ones; processors for which small networks are cut as large ones are.

use mnc::graph::shape::Shape;
use mnc::graph::{Graph, Knobs, Resolution};
pub use mnc::sample::RandomNetwork;
use mnc::target::{AARCH64, Isa, Policy, RISCV64, X86_64_V3};
use mnc::weights::Parameters;

use crate::random::Random;

/// Processors whose caches are so small that small networks are computed in bands, and to whose threads little work is worth
/// having. On the second a pointwise layer takes one row or a few at a time, and a part is often one band.
pub static SMALL_CACHES: [Isa; 4] = [
    Isa {
        name: "small-cache-v3",
        l2_bytes: 4 << 10,
        policy: Policy { least_part_cycles: 200, ..X86_64_V3.policy },
        ..X86_64_V3
    },
    Isa {
        name: "tiny-cache-v3",
        l1_bytes: 2 << 10,
        l2_bytes: 24 << 10,
        policy: Policy { least_part_cycles: 200, ..X86_64_V3.policy },
        ..X86_64_V3
    },
    Isa {
        name: "small-cache-neon",
        l2_bytes: 2 << 10,
        policy: Policy { least_part_cycles: 200, ..AARCH64.policy },
        ..AARCH64
    },
    Isa {
        name: "small-cache-rvv",
        l2_bytes: 4 << 10,
        policy: Policy { least_part_cycles: 200, ..RISCV64.policy },
        ..RISCV64
    },
];

/// A small network without an activation before its outputs, which takes pictures of any size.
pub const TINY: &str = r#"
name = "tiny"
classes = 3
input = { height = 8, width = 8, channels = 3 }
preprocess = { resize = "stretch" }
layer = [
    { kind = "conv", filters = 8, stride = 2 },
    { kind = "global_average_pool" },
    { kind = "dense" },
]
"#;

/// A built-in network with random numbers.
///
/// # Panics
/// When there is no such network.
pub fn builtin(name: &str, alpha: f64, resolution: usize) -> (Graph, Parameters) {
    builtin_at(name, alpha, Resolution { height: resolution, width: resolution })
}

/// The same, not square.
///
/// # Panics
/// When there is no such network.
pub fn builtin_at(name: &str, alpha: f64, resolution: Resolution) -> (Graph, Parameters) {
    let description = mnc::describe::builtin(name).expect("it is built in").description();
    let knobs = Knobs { alpha, resolution: Some(resolution) };
    let graph = Graph::build(&description, &knobs).expect("the knobs are legal");
    let parameters = Parameters::random(&graph, 1);
    (graph, parameters)
}

/// Plain numbers, as many as a shape has elements.
pub fn input(shape: Shape, seed: u64) -> Vec<f32> {
    let mut random = Random::new(seed);
    (0..shape.len()).map(|_| random.signed()).collect()
}
