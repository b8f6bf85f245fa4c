//! Trained weights that were published, and what other engines make of them.

use mnc::job::Job;
use mnc::request::{Network, Numbers, Package, Request};
use mnc::{Compiled, Target};
use mnc_tests::checkpoints::{self, Checkpoint, shared};
use mnc_tests::folder::Folder;
use mnc_tests::need;
use mnc_tests::recorded::{maps, maps_f64, read, rows};
use safetensors::SafeTensors;

use super::{TOLERANCE, check_bits, compile, run};

/// The network of those weights, for the first target that runs here.
pub(super) fn compiled(checkpoint: &Checkpoint, resolution: Option<&str>) -> Option<Compiled> {
    let target: Target = need::host_targets().into_iter().next()?;
    let network = Network::Named(checkpoint.network.to_string_lossy().into_owned());
    let mut request = Request::new(network, Numbers::File(checkpoint.weights.clone()));
    request.resolution = resolution.map(str::to_owned);
    let opened =
        Job::resolve(&request, &mut Package::new("")).and_then(|job| job.open(&mut Package::new("")));
    let compiled = opened.and_then(|opened| compile(&opened, &target));
    Some(compiled.unwrap_or_else(|error| panic!("{}: {error}", checkpoint.weights.display())))
}

/// The furthest of our numbers from those evaluated in f64, relative to their range, is near.
fn check(name: &str, compiled: &Compiled, inputs: &[Vec<f32>], expected: &[Vec<f64>]) {
    assert_eq!(inputs.len(), expected.len(), "{name}");
    let answers = run(compiled, inputs);
    for (found, expected) in answers.iter().zip(expected) {
        check_near(name, found, expected);
    }
    check_bits(name, compiled, (&inputs[0], &answers[0]));
}

fn check_near(name: &str, found: &[f32], expected: &[f64]) {
    assert_eq!(found.len(), expected.len(), "{name}");
    let (lowest, highest) = expected.iter().fold((f64::MAX, f64::MIN), |(a, b), x| (a.min(*x), b.max(*x)));
    for (found, expected) in found.iter().zip(expected) {
        let distance = (f64::from(*found) - expected).abs() / (highest - lowest);
        assert!(distance <= TOLERANCE, "{name}: {distance:e} of the range off");
    }
}

/// F16, with batch norms whose variances are subnormal or 0.
#[test]
fn mobilenetv2_torchvision() {
    let folder = Folder::new();
    let Some(checkpoint) = checkpoints::mobilenetv2_torchvision(&folder) else { return };
    let Some(io) = shared("expected/mobilenetv2_torchvision.io.safetensors") else { return };
    let Some(compiled) = compiled(&checkpoint, None) else { return };
    let io = read(&io);
    check("mobilenetv2_torchvision", &compiled, &maps(&io, "input"), &rows(&io, "logits_f64"));
}

/// The same numbers under the names of three exporters are one network to the bit, each with its exporter's configuration.
#[test]
fn one_network_under_three_namings() {
    let own = Folder::new();
    let Some(checkpoint) = checkpoints::mobilenetv2_torchvision(&own) else { return };
    let Some(keys) = shared("expected/mobilenetv2_torchvision.keys.json") else { return };
    let Some(expected) = compiled(&checkpoint, None) else { return };
    let (bytes, keys) = (read(&checkpoint.weights), read(&keys));
    let file = SafeTensors::deserialize(&bytes).expect("it is safetensors");
    let keys: serde_json::Value = serde_json::from_slice(&keys).expect("it is JSON");
    let rows = keys["keys"].as_array().expect("an array of keys");
    for exporter in ["huggingface", "timm"] {
        let name = |row: &serde_json::Value, exporter: &str| row[exporter].as_str().map(str::to_owned);
        let tensors = rows.iter().filter_map(|row| {
            let theirs = name(row, "torchvision").expect("a name");
            Some((name(row, exporter)?, file.tensor(&theirs).expect("the file has it")))
        });
        let folder = Folder::new();
        folder.write("model.safetensors", safetensors::serialize(tensors, None).expect("names are unique"));
        folder.write("config.json", keys[format!("{exporter}_config")].to_string());
        let numbers = Numbers::File(folder.path().join("model.safetensors"));
        let request = Request::new(Network::Named(folder.path().display().to_string()), numbers);
        let target = expected.target.clone();
        let opened = Job::resolve(&request, &mut Package::new(""))
            .and_then(|job| job.open(&mut Package::new("")))
            .unwrap_or_else(|error| panic!("{exporter}: {error}"));
        assert_eq!(
            opened.weights().expect("a file").detect(&opened.graph().unwrap().0).unwrap().name,
            exporter
        );
        let found = compile(&opened, &target).unwrap_or_else(|error| panic!("{exporter}: {error}"));
        assert!(found.fused == expected.fused, "{exporter}: another network");
    }
}

#[test]
fn pp_lcnet_orientation() {
    let folder = Folder::new();
    let Some(checkpoint) = checkpoints::pp_lcnet_orientation(&folder) else { return };
    let Some(io) = shared("expected/pp_lcnet_1.0_224_orientation.io.safetensors") else { return };
    let Some(compiled) = compiled(&checkpoint, None) else { return };
    let io = read(&io);
    check("pp_lcnet", &compiled, &maps(&io, "input"), &rows(&io, "logits_f64"));
}

/// Square and not. The features of strides 4 and 8 were recorded in f32, whose own distance from f64 is 1.3e-6 of their range.
#[test]
fn mobilenetv3_large_backbone() {
    let folder = Folder::new();
    let Some(checkpoint) = checkpoints::mobilenetv3_large_backbone(&folder) else { return };
    let Some(io) = shared("expected/mobilenetv3_large_0.75_backbone.io.safetensors") else { return };
    let io = read(&io);
    for (resolution, ending) in [("128", ""), ("96x160", "_96x160")] {
        let Some(compiled) = compiled(&checkpoint, Some(resolution)) else { return };
        let inputs = maps(&io, &format!("input{ending}"));
        let widened = |name: &str| -> Vec<Vec<f64>> {
            let maps = maps(&io, name).into_iter();
            maps.map(|map| map.into_iter().map(f64::from).collect()).collect()
        };
        let name = "mobilenetv3_large_0.75_backbone";
        let answers = run(&compiled, &inputs);
        let mut start = 0;
        for expected in [
            widened(&format!("stride4{ending}")),
            widened(&format!("stride8{ending}")),
            maps_f64(&io, &format!("stride16_f64{ending}")),
            maps_f64(&io, &format!("stride32_f64{ending}")),
        ] {
            let end = start + expected[0].len();
            for (found, expected) in answers.iter().zip(&expected) {
                check_near(name, &found[start..end], expected);
            }
            start = end;
        }
        assert_eq!(start, answers[0].len());
        check_bits(name, &compiled, (&inputs[0], &answers[0]));
    }
}
