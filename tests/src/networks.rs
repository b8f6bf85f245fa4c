//! Networks with random numbers: built-in ones, and random ones; processors for which small networks are cut as large ones are.

use std::path::Path;

use mnc::describe::Description;
use mnc::graph::shape::Shape;
use mnc::graph::{Graph, Knobs, Resolution};
use mnc::job::{Job, Settings};
use mnc::passes::Fused;
use mnc::request::{Constant, Network::Named, Numbers, Package, Request};
pub use mnc::sample::RandomNetwork;
use mnc::target::{AARCH64, Isa, Policy, RISCV64, X86_64_V3};
use mnc::weights::Parameters;
use mnc::{Fault, Place, Target};

use crate::need::{self, Cases};
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

/// Seeds of random networks for tests in which each costs a linker, an emulator or the compiler of Rust. Together they have every kind
/// of layer and what is rare of them, which a test of `other_cpus.rs` holds.
pub const FEW_SEEDS: [u64; 15] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 29, 221, 371];

/// Those of them that are asked for.
pub fn few_seeds() -> &'static [u64] {
    match Cases::asked() {
        Cases::Few => &FEW_SEEDS[..2],
        Cases::Usual | Cases::All => &FEW_SEEDS,
    }
}

/// The kinds of layers, from the error that lists them, so that a new one can't be forgotten.
///
/// # Panics
/// When the error lists none.
pub fn kinds() -> Vec<String> {
    let error = Description::parse("[[layer]]\nkind = 1\n", "kinds.toml").expect_err("1 is no kind");
    let list =
        error.faults().iter().find_map(|fault| fault.detail.strip_prefix("`kind`: found 1, expected "));
    list.expect("the fault lists them").split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The network of a file that has all of it, its weights included.
///
/// # Panics
/// When it has none.
pub fn in_file(path: &Path) -> Fused {
    let detail = "the file has them".to_owned();
    let numbers = Numbers::Missing(Fault { place: Place::flag("weights"), detail });
    of_request(&Request::new(Named(path.display().to_string()), numbers))
}

/// The person detector of the repository in f32, without the channels that are the same for every picture; and its folder.
///
/// # Panics
/// When it is refused.
pub fn person_without_constant() -> (String, Fused) {
    let folder = need::workspace().join("examples/person-detector").display().to_string();
    let detail = "the folder has them".to_owned();
    let numbers = Numbers::Missing(Fault { place: Place::flag("weights"), detail });
    let request = Request { constant: Constant::LeftOut, ..Request::new(Named(folder.clone()), numbers) };
    (folder, of_request(&request))
}

/// The network of a request, with its constant channels left out.
///
/// # Panics
/// When it is refused.
pub fn of_request(request: &Request) -> Fused {
    let mut files = Package::new("");
    let fused = Job::resolve(request, &mut files).and_then(|job| job.open(&mut files)).and_then(|opened| {
        let (graph, _) = opened.graph()?;
        opened.fused(&graph, &Settings::new(&Target::rust(), "net"))
    });
    fused.unwrap_or_else(|error| panic!("{:?}: {error}", request.network))
}

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

/// Sides of inputs, square and not, odd and even: 40, or 4 where few are asked for. The first four are those at which parts once
/// resumed wrongly.
pub fn resolutions() -> Vec<(usize, usize)> {
    let square =
        [384, 368, 400, 448, 32, 33, 57, 96, 127, 128, 160, 191, 192, 224, 225, 255, 256, 288, 299, 320];
    let mut sides: Vec<(usize, usize)> = square.map(|side| (side, side)).to_vec();
    sides.extend([
        (192, 363),
        (312, 257),
        (271, 333),
        (512, 512),
        (511, 40),
        (40, 511),
        (32, 512),
        (512, 33),
    ]);
    let mut random = Random::new(40);
    while sides.len() < 40 {
        sides.push((random.within(32, 512), random.within(32, 512)));
    }
    if Cases::asked() == Cases::Few {
        sides.truncate(4);
    }
    sides
}

/// An x86-64 whose second-level cache holds about the largest map: chains have bands as tall as their parts, or nearly.
pub fn fitted_caches(graph: &Graph, target: Target, seed: u64) -> Target {
    let mut random = Random::new(seed);
    let largest = graph.nodes.iter().map(|node| node.shape().len() * 4).max().unwrap_or(0);
    let l2_bytes = largest * random.within(40, 200) / 100;
    let l1_bytes = random.pick(&[1, 4, 32]) << 10;
    let isa = Isa {
        name: "fitted-cache-v3",
        l1_bytes,
        l2_bytes,
        policy: Policy { least_part_cycles: 200, ..X86_64_V3.policy },
        ..X86_64_V3
    };
    // Instruction sets live as long as the process.
    Target { isa: Box::leak(Box::new(isa)), ..target }
}
