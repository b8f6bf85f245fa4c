//! Checkpoints as their exporters publish them, folders as they are downloaded: which network it is, and the logits of the exporter's
//! own code. The recipes of the shared data make the files (`mnc_tests::recipes`).

#[path = "published/faces.rs"]
mod faces;
#[path = "published/weights.rs"]
mod weights;

use std::path::Path;

use mnc::job::{Job, Opened};
use mnc::request::{Network, Numbers, Package, Request};
use mnc::target::{ISAS, Isa};
use mnc::{Compiled, Fault, Options, Place, Target, reference};
use mnc_runtime::abi::Status;
use mnc_runtime::pool::Pool;
use mnc_tests::folder::Folder;
use mnc_tests::link::Linked;
use mnc_tests::need::{self, Cases};
use mnc_tests::networks::SMALL_CACHES;
use mnc_tests::recipes::{Recipe, Recipes};
use mnc_tests::{bits, networks, pool};

/// What our logits may differ from those evaluated in f64, relative to the largest of them.
///
/// Each step of a chain is rounded by up to 2^-24 of its partial sum, as a rule of another sign each time: a chain of 1280 steps whose
/// partial sums are as large as the largest logit is off by about 1280^0.5 * 2^-24 = 2e-6 of it, and of the layers before, up to 100,
/// each hands on its error. 100 independent ones of that size are 2e-5. The exporters' own f32 is up to 2.5e-5 away. Another epsilon or
/// another padding gives 3e-2 and more.
const TOLERANCE: f64 = 1e-4;

/// What becomes of a recipe's folder.
enum Expected {
    /// It compiles to the exporter's answers; the network is recognised by this.
    Answers(&'static str),
    /// It is described by a file of the tests: no built-in network has this architecture.
    Described(&'static str),
}

use Expected::{Answers, Described};

/// Every recipe.
const EXPECTED: [(&str, Expected); 26] = [
    ("hf.mobilenet_v1_1.0_224_symmetric", Answers("mobilenet-v1")),
    ("hf.mobilenet_v2_0.35_96", Answers("mobilenet-v2")),
    ("hf.mobilenet_v2_0.5_128_stride16", Answers("mobilenet-v2")),
    ("hf.mobilenet_v2_0.75_160_coarse", Answers("mobilenet-v2")),
    ("hf.mobilenet_v2_1.0_224_plain_stem", Answers("mobilenet-v2")),
    ("hf.mobilenet_v2_1.4_224", Answers("mobilenet-v2")),
    ("timm.efficientnet_lite0", Described("efficientnet-lite0")),
    ("timm.lcnet_100", Described("lcnet")),
    ("timm.mobilenetv1_100h", Answers("mobilenet-v1")),
    ("timm.mobilenetv1_125", Answers("mobilenet-v1")),
    ("timm.mobilenetv2_050", Answers("mobilenet-v2")),
    ("timm.mobilenetv2_100", Answers("mobilenet-v2")),
    ("timm.mobilenetv2_110d", Answers("mobilenet-v2")),
    ("timm.mobilenetv2_140", Answers("mobilenet-v2")),
    ("timm.mobilenetv3_large_100", Answers("mobilenet-v3-large")),
    ("timm.mobilenetv3_rw", Answers("mobilenet-v3-large")),
    ("timm.mobilenetv3_small_050", Answers("mobilenet-v3-small")),
    ("timm.mobilenetv3_small_100", Answers("mobilenet-v3-small")),
    ("timm.mobilenetv4_conv_large", Answers("mobilenet-v4-conv-large")),
    ("timm.mobilenetv4_conv_medium", Answers("mobilenet-v4-conv-medium")),
    ("timm.mobilenetv4_conv_small", Answers("mobilenet-v4-conv-small")),
    ("timm.tf_mobilenetv3_large_075", Answers("mobilenet-v3-large")),
    ("timm.tf_mobilenetv3_small_minimal_100", Answers("mobilenet-v3-small-minimalistic")),
    ("torchvision.mobilenet_v2", Answers("mobilenet-v2")),
    ("torchvision.mobilenet_v3_large", Answers("mobilenet-v3-large")),
    ("torchvision.mobilenet_v3_small", Answers("mobilenet-v3-small")),
];

/// Networks of fewer multiply-adds go through `reference` at their own resolution; the five larger recipes would take it 60 s.
const SMALL: u64 = 400_000_000;
/// Those of fewer go through the interpreter at it.
const TINY: u64 = 40_000_000;
/// The resolution at which every recipe goes through both.
const LOW: &str = "64";
/// Second-level caches, one of which cuts a network at it into bands, as real ones do at 224.
const LOW_CACHES: [usize; 3] = [24 << 10, 48 << 10, 96 << 10];
/// Networks that none of them cuts: their maps have become too small beside their filters.
const WITHOUT_BANDS: [&str; 2] = ["timm.mobilenetv4_conv_large", "timm.mobilenetv4_conv_medium"];
/// Most threads.
const MOST_THREADS: usize = 8;

/// Whether there is time for all of it at its own resolution.
fn is_thorough() -> bool {
    Cases::asked() == Cases::All
}

/// Resolves a recipe's folder, whose weights lie there.
fn open(folder: &Folder, network: Option<&Path>, resolution: Option<&str>) -> mnc::Result<Opened> {
    let weights = folder.path().join("model.safetensors");
    let missing = Fault { place: Place::flag("--weights"), detail: "found none".to_owned() };
    let (network, numbers) = match network {
        Some(path) => (path, Numbers::File(weights)),
        None => (folder.path(), Numbers::Missing(missing)),
    };
    let network = Network::Named(network.to_string_lossy().into_owned());
    let mut request = Request::new(network, numbers);
    request.resolution = resolution.map(str::to_owned);
    Job::resolve(&request, &mut Package::new(""))?.open(&mut Package::new(""))
}

fn compile(opened: &Opened, target: &Target) -> mnc::Result<Compiled> {
    let (graph, _) = opened.graph()?;
    let parameters = opened.parameters(&graph, &mnc::job::Settings::new(target, "published"))?;
    let labels = opened.labels(&graph)?;
    mnc::compile(graph, &parameters, target, &Options { name: "published", labels: &labels })
}

fn check(name: &str) {
    let Some(recipes) = Recipes::read() else { return };
    let Some(target) = need::host_targets().into_iter().next() else { return };
    let (_, expected) = EXPECTED.iter().find(|(recipe, _)| *recipe == name).expect("the recipe is listed");
    let (recipe, folder) = (recipes.get(name), Folder::new());
    let description = match expected {
        Described(network) => Some(need::workspace().join(format!("tests/published/{network}.toml"))),
        Answers(_) => None,
    };
    let (Answers(network) | Described(network)) = expected;
    recipe.write(folder.path());
    let open = |resolution| {
        open(&folder, description.as_deref(), resolution).unwrap_or_else(|error| panic!("{name}: {error}"))
    };
    let opened = open(None);
    let compiled = compile(&opened, &target).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(compiled.info.network, *network);
    assert_eq!(opened.job().recognised.is_some(), description.is_none());
    check_answers(name, &recipe, &compiled);
    check_low(name, &open(Some(LOW)), &target);
}

/// Compiled code, interpreter and reference agree at a resolution at which all of them are fast, in bands.
fn check_low(name: &str, opened: &Opened, host: &Target) {
    let compile = |target: &Target| compile(opened, target).unwrap_or_else(|error| panic!("{name}: {error}"));
    let has_bands =
        |compiled: &Compiled| compiled.plan.schedule.steps.iter().any(|step| step.chain().is_some());
    let of_cache = |l2_bytes: usize| {
        // Instruction sets live as long as the process.
        let isa = Box::leak(Box::new(Isa { l2_bytes, ..SMALL_CACHES[1] }));
        compile(&Target { isa, ..need::target_of(ISAS[0]) })
    };
    let bands = LOW_CACHES.into_iter().map(of_cache).find(has_bands);
    assert!(bands.is_some() || WITHOUT_BANDS.contains(&name), "{name}: a chain in bands");
    let compiled: Vec<Compiled> = [compile(host)].into_iter().chain(bands).collect();
    let input = networks::input(compiled[0].program.input, 1);
    let expected = reference::output(&compiled[0].fused, &input);
    for compiled in &compiled {
        let found = compiled.program.interpret(&input).unwrap_or_else(|error| panic!("{name}: {error}"));
        bits::compare(&found, &expected).unwrap_or_else(|error| panic!("{name}: interpreter: {error}"));
        let found = &run(compiled, std::slice::from_ref(&input))[0];
        bits::compare(found, &expected).unwrap_or_else(|error| panic!("{name}: at {LOW}: {error}"));
    }
}

fn check_answers(name: &str, recipe: &Recipe<'_>, compiled: &Compiled) {
    let inputs = recipe.inputs();
    let answers = run(compiled, &inputs);
    for (idx, (found, expected)) in answers.iter().zip(recipe.logits()).enumerate() {
        assert_eq!(found.len(), expected.len(), "{name}");
        let (lowest, highest) =
            expected.iter().fold((f64::MAX, f64::MIN), |(a, b), x| (a.min(*x), b.max(*x)));
        for (class, (found, expected)) in found.iter().zip(&expected).enumerate() {
            let distance = (f64::from(*found) - expected).abs() / (highest - lowest);
            assert!(
                distance <= TOLERANCE,
                "{name}: input {idx}, class {class}: {distance:e} of the range off"
            );
        }
        let top = found.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).expect("there are classes");
        assert_eq!(top.0, recipe.top1()[idx], "{name}: input {idx}: the class with the largest logit");
    }
    check_bits(name, compiled, (&inputs[0], &answers[0]));
}

/// An answer is the reference's to the bit, and the interpreter's.
fn check_bits(name: &str, compiled: &Compiled, (input, answer): (&[f32], &[f32])) {
    let n = compiled.info.multiply_adds;
    if is_thorough() || n < SMALL {
        let expected = reference::output(&compiled.fused, input);
        bits::compare(answer, &expected).unwrap_or_else(|error| panic!("{name}: reference: {error}"));
    }
    if is_thorough() || n < TINY {
        let found = compiled.program.interpret(input).unwrap_or_else(|error| panic!("{name}: {error}"));
        bits::compare(&found, answer).unwrap_or_else(|error| panic!("{name}: interpreter: {error}"));
    }
}

/// The answers of compiled code, alone, on all threads at once and on one to eight; the reference's where this machine can't run it.
fn run(compiled: &Compiled, inputs: &[Vec<f32>]) -> Vec<Vec<f32>> {
    let linked = Linked::one(compiled);
    let network = linked.as_ref().map(|linked| linked.network(compiled));
    let answer = |input: &Vec<f32>| match network.as_ref().map(|network| (network, network.run(input))) {
        Some((network, Ok(found))) => {
            let parallel = network.run_on(input, &pool::ALL_AT_ONCE).expect("the CPU has what it takes");
            bits::compare(&parallel, &found).unwrap_or_else(|error| panic!("in parallel: {error}"));
            for n_threads in 1..=MOST_THREADS {
                let pool = Pool::new(n_threads);
                let parallel = network.run_on(input, &pool.parallel()).expect("the CPU has what it takes");
                bits::compare(&parallel, &found)
                    .unwrap_or_else(|error| panic!("on {n_threads} threads: {error}"));
            }
            found
        }
        Some((_, Err(Status::MissingCpuFeature))) => {
            need::skip_cpu(compiled);
            reference::output(&compiled.fused, input)
        }
        Some((_, Err(status))) => panic!("{status}"),
        None => reference::output(&compiled.fused, input),
    };
    inputs.iter().map(answer).collect()
}

#[test]
fn every_recipe_is_listed() {
    let Some(recipes) = Recipes::read() else { return };
    assert_eq!(recipes.names(), EXPECTED.map(|(name, _)| name));
}

macro_rules! networks {
    ($($test:ident $name:literal)*) => {
        $(#[test] fn $test() { check($name); })*

        #[test]
        fn every_row_is_a_test() {
            assert_eq!([$($name),*], EXPECTED.map(|(name, _)| name));
        }
    };
}

networks! {
    hf_mobilenet_v1_1_0_224_symmetric "hf.mobilenet_v1_1.0_224_symmetric"
    hf_mobilenet_v2_0_35_96 "hf.mobilenet_v2_0.35_96"
    hf_mobilenet_v2_0_5_128_stride16 "hf.mobilenet_v2_0.5_128_stride16"
    hf_mobilenet_v2_0_75_160_coarse "hf.mobilenet_v2_0.75_160_coarse"
    hf_mobilenet_v2_1_0_224_plain_stem "hf.mobilenet_v2_1.0_224_plain_stem"
    hf_mobilenet_v2_1_4_224 "hf.mobilenet_v2_1.4_224"
    timm_efficientnet_lite0 "timm.efficientnet_lite0"
    timm_lcnet_100 "timm.lcnet_100"
    timm_mobilenetv1_100h "timm.mobilenetv1_100h"
    timm_mobilenetv1_125 "timm.mobilenetv1_125"
    timm_mobilenetv2_050 "timm.mobilenetv2_050"
    timm_mobilenetv2_100 "timm.mobilenetv2_100"
    timm_mobilenetv2_110d "timm.mobilenetv2_110d"
    timm_mobilenetv2_140 "timm.mobilenetv2_140"
    timm_mobilenetv3_large_100 "timm.mobilenetv3_large_100"
    timm_mobilenetv3_rw "timm.mobilenetv3_rw"
    timm_mobilenetv3_small_050 "timm.mobilenetv3_small_050"
    timm_mobilenetv3_small_100 "timm.mobilenetv3_small_100"
    timm_mobilenetv4_conv_large "timm.mobilenetv4_conv_large"
    timm_mobilenetv4_conv_medium "timm.mobilenetv4_conv_medium"
    timm_mobilenetv4_conv_small "timm.mobilenetv4_conv_small"
    timm_tf_mobilenetv3_large_075 "timm.tf_mobilenetv3_large_075"
    timm_tf_mobilenetv3_small_minimal_100 "timm.tf_mobilenetv3_small_minimal_100"
    torchvision_mobilenet_v2 "torchvision.mobilenet_v2"
    torchvision_mobilenet_v3_large "torchvision.mobilenet_v3_large"
    torchvision_mobilenet_v3_small "torchvision.mobilenet_v3_small"
}
