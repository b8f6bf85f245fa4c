//! Several images in one run: each gets the bits that it gets alone.

use std::process::Command;

use mnc::{Compiled, Options, Target, reference};
use mnc_runtime::abi::Status;
use mnc_tests::command::mnc;
use mnc_tests::folder::Folder;
use mnc_tests::link::{Linked, Network};
use mnc_tests::networks::{self, RandomNetwork};
use mnc_tests::{bits, each, need, picture, pool};

fn compile(mut network: RandomNetwork, batch: usize, target: &Target, name: &str) -> Compiled {
    network.graph.batch = batch;
    mnc::compile(network.graph, &network.parameters, target, &Options { name, labels: &[] })
        .unwrap_or_else(|error| panic!("{error}\n{}", network.toml))
}

/// The references of so many images, the first inputs of a network over and over.
fn images(compiled: &Compiled, inputs: &[Vec<f32>], batch: usize) -> (Vec<f32>, Vec<f32>) {
    let inputs: Vec<&Vec<f32>> = inputs.iter().cycle().take(batch).collect();
    let outputs: Vec<f32> =
        inputs.iter().flat_map(|input| reference::output(&compiled.fused, input)).collect();
    (inputs.into_iter().flatten().copied().collect(), outputs)
}

fn check(place: &str, (compiled, network): (&Compiled, &Network<'_>), input: &[f32], expected: &[f32]) {
    let runs = [
        ("alone", network.run(input)),
        ("backwards", network.run_on(input, &pool::BACKWARDS)),
        ("at once", network.run_on(input, &pool::ALL_AT_ONCE)),
    ];
    for (how, found) in runs {
        match found {
            Ok(found) => bits::compare(&found, expected)
                .unwrap_or_else(|error| panic!("{place} {how} on {}: {error}", compiled.target)),
            Err(Status::MissingCpuFeature) => need::skip_cpu(compiled),
            Err(status) => panic!("{place} {how}: {status}"),
        }
    }
}

#[test]
fn random_networks() {
    let seeds: Vec<u64> = (0..48).collect();
    for target in need::host_targets() {
        let networks = each(&seeds, |seed| {
            let batch = [2, 3, 5, 8][*seed as usize % 4];
            compile(RandomNetwork::new(*seed), batch, &target, &format!("net_{seed}"))
        });
        let objects = networks
            .iter()
            .map(|compiled| (compiled.info.name.as_str(), compiled.object().expect("it can be emitted")));
        let Some(linked) = Linked::new(objects) else { return };
        each(&seeds, |seed| {
            let compiled = &networks[*seed as usize];
            let inputs = RandomNetwork::new(*seed).inputs();
            let (input, expected) = images(compiled, &inputs, compiled.info.batch);
            check(&format!("seed {seed}"), (compiled, &linked.network(compiled)), &input, &expected);
            let found =
                compiled.program.interpret(&input).unwrap_or_else(|fault| panic!("seed {seed}: {fault}"));
            bits::compare(&found, &expected)
                .unwrap_or_else(|error| panic!("interpreted, seed {seed}: {error}"));
        });
    }
}

/// A whole network whose first layers run in bands, and its pictures of bytes.
#[test]
fn a_network_in_bands() {
    let (mut graph, parameters) = networks::builtin("mobilenet-v1", 0.5, 160);
    graph.batch = 3;
    for target in need::host_targets() {
        let options = Options { name: "net", labels: &[] };
        let compiled = mnc::compile(graph.clone(), &parameters, &target, &options).expect("it is legal");
        let is_banded = |step: &mnc::schedule::Step| step.chain().is_some();
        if target.isa.l2_bytes <= 512 << 10 {
            assert!(compiled.plan.schedule.steps.iter().any(is_banded), "{target}");
        }
        let mut alone = graph.clone();
        alone.batch = 1;
        let alone = mnc::compile(alone, &parameters, &target, &Options { name: "one", labels: &[] });
        let alone = alone.expect("it is legal");
        let objects = [&compiled, &alone]
            .map(|compiled| (compiled.info.name.as_str(), compiled.object().expect("it can be emitted")));
        let Some(linked) = Linked::new(objects) else { return };
        let (network, one) = (linked.network(&compiled), linked.network(&alone));
        let inputs: Vec<Vec<f32>> =
            (0..3).map(|seed| networks::input(compiled.program.input, seed)).collect();
        let expected: Result<Vec<Vec<f32>>, Status> = inputs.iter().map(|input| one.run(input)).collect();
        let expected = match expected {
            Ok(expected) => expected,
            Err(Status::MissingCpuFeature) => {
                need::skip_cpu(&compiled);
                continue;
            }
            Err(status) => panic!("one image on {target}: {status}"),
        };
        check("0.5@160", (&compiled, &network), &inputs.concat(), &expected.concat());

        let stride = network.row_bytes + 5;
        let pixels = picture::random(&compiled.info, stride, 1);
        let input = picture::normalised(&compiled.info, &pixels, stride);
        let expected = network.run(&input).expect("it has just run");
        for pool in [None, Some(&pool::FORWARDS), Some(&pool::BACKWARDS), Some(&pool::ALL_AT_ONCE)] {
            let found = network.run_u8(&pixels, stride, pool).expect("it has just run");
            assert_eq!(bits::compare(&found, &expected), Ok(()));
        }
    }
}

/// An executable for three at a time names two, three and four pictures as one for single ones does.
#[test]
fn executables() {
    let Some(mnc) = mnc() else { return };
    let folder = Folder::new();
    let example = need::workspace().join("examples/person-detector").canonicalize().expect("it is there");
    for batch in ["1", "3"] {
        let mut compile = Command::new(mnc);
        compile.current_dir(folder.path()).args(["compile", "mobilenet-v1", "-q", "--batch", batch]);
        let name = format!("detect{batch}");
        compile.args(["-o", &name, "--weights"]).arg(example.join("person.safetensors"));
        need::run(&mut compile);
    }
    let photos = ["astronaut.jpg", "gone.jpg", "chelsea.jpg", "astronaut.jpg", "chelsea.jpg"];
    let detect = |batch: &str, n_photos: usize| {
        let mut command = Command::new(folder.path().join(format!("detect{batch}")));
        command.current_dir(example.join("photos")).arg("--raw").args(&photos[..n_photos]);
        let output = command.output().expect("it starts");
        (output.status.code(), String::from_utf8(output.stdout).expect("it prints UTF-8"))
    };
    for n_photos in 1..=photos.len() {
        let expected = detect("1", n_photos);
        assert_eq!(detect("3", n_photos), expected, "{n_photos} photographs");
        assert_eq!(expected.0, Some(i32::from(2 <= n_photos)), "one isn't there");
    }
}
