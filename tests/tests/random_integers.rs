//! Random networks in integers, some of whose layers stay f32: compiled code, interpreter and reference agree bit for bit, for every instruction set, on one thread
//! and on several, whether the input comes as numbers or as bytes, and with constant channels or without.

use mnc::passes::{Domain, without_constant_channels};
use mnc::quantize::sample::with_integers;
use mnc::target::{ISAS, X86_64_V3};
use mnc::{Compiled, Options, Target, passes, reference};
use mnc_runtime::abi::Status;
use mnc_tests::link::Linked;
use mnc_tests::networks::{RandomNetwork, SMALL_CACHES};
use mnc_tests::turns::shuffled;
use mnc_tests::{bits, each, need, pool};

/// Seeds of networks of which some have layers in f32: usually.
const N_SEEDS: u64 = 160;
/// Networks of one shared library.
const BATCH: usize = 20;

/// The network of a seed, if the numbers of its outputs are proved.
fn network(seed: u64) -> Option<(RandomNetwork, passes::Fused)> {
    let network = if seed.is_multiple_of(8) { RandomNetwork::tall(seed) } else { RandomNetwork::new(seed) };
    let fused = passes::run(&network.graph, &network.parameters).ok()?;
    let fused = with_integers(&fused, seed)?;
    fused.verify();
    Some((network, fused))
}

fn compile(network: &RandomNetwork, fused: &passes::Fused, target: &Target, name: &str) -> Compiled {
    let options = Options { name, labels: &[] };
    mnc::compile_fused(network.graph.clone(), fused.clone(), target, &options, None)
        .unwrap_or_else(|error| panic!("seed {}: {error}\n{}", network.seed, network.toml))
}

/// As it is, and where that is another one without its constant channels: each has to give the answers of the first.
fn with_and_without(seed: u64, fused: &passes::Fused) -> Vec<passes::Fused> {
    let smaller =
        without_constant_channels(fused.clone(), &Domain::Integers { keep_fit: seed.is_multiple_of(2) });
    let is_smaller = smaller.nodes != fused.nodes;
    [fused.clone()].into_iter().chain(is_smaller.then_some(smaller)).collect()
}

fn small_caches(target: Target) -> Target {
    Target { isa: &SMALL_CACHES[0], ..target }
}

#[test]
fn compiled_equals_reference() {
    let mut targets = need::host_targets();
    let v3 = targets.iter().find(|target| target.isa.name == X86_64_V3.name).cloned();
    targets.extend(v3.map(small_caches));
    let seeds = need::n_seeds(N_SEEDS);
    let networks: Vec<_> = (0..seeds).filter_map(network).collect();
    assert!(seeds as usize * 9 / 10 <= networks.len(), "{} networks", networks.len());
    let batches: Vec<&[_]> = networks.chunks(BATCH).collect();
    let check = |batch: &&[(RandomNetwork, passes::Fused)]| {
        let compiled: Vec<((&RandomNetwork, &passes::Fused), Compiled)> = batch
            .iter()
            .flat_map(|(network, fused)| {
                let networks = with_and_without(network.seed, fused).into_iter().enumerate();
                let all = networks.flat_map(|(nth, fused)| {
                    let compile = move |(idx, target): (usize, &Target)| {
                        compile(network, &fused, target, &format!("n{}_{idx}_{nth}", network.seed))
                    };
                    targets.iter().enumerate().map(compile).collect::<Vec<Compiled>>()
                });
                all.map(move |compiled| ((network, fused), compiled)).collect::<Vec<_>>()
            })
            .collect();
        let object = |compiled: &Compiled| compiled.object().expect("the network can be emitted");
        let objects = compiled.iter().map(|(_, compiled)| (compiled.info.name.as_str(), object(compiled)));
        let Some(linked) = Linked::new(objects) else { return };
        for ((network, fused), compiled) in &compiled {
            let function = linked.network(compiled);
            let case =
                |what: &str| format!("seed {}, {what}, {}:\n{}", network.seed, compiled.target, network.toml);
            for (idx, input) in network.inputs().iter().enumerate() {
                let found = match function.run(input) {
                    Ok(found) => found,
                    Err(Status::MissingCpuFeature) => {
                        need::skip_cpu(compiled);
                        break;
                    }
                    Err(status) => panic!("{}: {status}", case("run")),
                };
                let expected = reference::output(fused, input);
                bits::compare(&found, &expected).unwrap_or_else(|error| panic!("{error}: {}", case("run")));
                let pool = [&pool::ALL_AT_ONCE, &pool::FORWARDS, &pool::BACKWARDS][idx.min(2)];
                let found = function.run_on(input, pool).unwrap_or_else(|status| panic!("{status}"));
                bits::compare(&found, &expected)
                    .unwrap_or_else(|error| panic!("{error}: {}", case("parallel")));
            }
        }
    };
    each(&batches, check);
}

#[test]
fn interpreter_equals_reference() {
    let small = small_caches(need::target_of(ISAS[0]));
    let targets: Vec<Target> = ISAS.iter().map(|isa| need::target_of(isa)).chain([small]).collect();
    let check = |seed: &u64| {
        let Some((network, fused)) = network(*seed) else { return };
        let inputs = network.inputs();
        let expected: Vec<Vec<f32>> = inputs.iter().map(|input| reference::output(&fused, input)).collect();
        let networks = with_and_without(*seed, &fused);
        for (target, fused) in targets.iter().flat_map(|target| networks.iter().map(move |it| (target, it))) {
            let compiled = compile(&network, fused, target, "net");
            let case = format!("seed {seed}, {target}:\n{}", network.toml);
            for (input, expected) in inputs.iter().zip(&expected) {
                let found = compiled.program.interpret(input).unwrap_or_else(|v| panic!("{v}: {case}"));
                bits::compare(&found, expected).unwrap_or_else(|error| panic!("{error}: {case}"));
            }
            let found = compiled.program.interpret_tasks(&inputs[1], &mut shuffled(*seed));
            let found = found.unwrap_or_else(|v| panic!("tasks, {v}: {case}"));
            bits::compare(&found, &expected[1]).unwrap_or_else(|error| panic!("tasks, {error}: {case}"));
        }
    };
    each(&(0..need::n_seeds(N_SEEDS)).collect::<Vec<_>>(), check);
}
