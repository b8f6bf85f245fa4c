//! `mnc verify` as a user meets it: right code, code and numbers that were changed on purpose, recorded answers, faults.

#[path = "support/command.rs"]
mod command;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use command::{has_compiler, json, mnc, stdout};
use mnc::graph::{Graph, Knobs};
use mnc::passes::Fused;
use mnc::reference;
use mnc::weights::Parameters;
use object::{Object as _, ObjectSection as _, ObjectSymbol as _};
use safetensors::{Dtype, tensor::TensorView};
use serde_json::Value;

const NETWORK: &[&str] = &["mobilenet-v1", "--random-weights", "1", "--alpha", "0.25", "--resolution", "32"];
/// Few runs: what they find is looked at here, not how much.
const FEW: &[&str] = &["--threads", "1,3", "--runs", "1"];

/// Exit code, JSON and standard error; on one random input unless more is said.
fn verify(folder: &Path, more: &[&str]) -> (i32, Value, String) {
    let one: &[&str] = if more.contains(&"--inputs") { &[] } else { &["--inputs", "1"] };
    let args = [&["verify"], NETWORK, FEW, one, more, &["--json"]].concat();
    let (code, out, err) = mnc(folder, &args, &[]);
    let document = serde_json::from_str(&out).unwrap_or(Value::Null);
    (code, document, err)
}

/// The same network in this process.
fn fused() -> Fused {
    let description = mnc::describe::builtin("mobilenet-v1").unwrap().description();
    let knobs = Knobs { alpha: 0.25, resolution: Some("32".parse().unwrap()) };
    let graph = Graph::build(&description, &knobs).unwrap();
    mnc::passes::run(&graph, &Parameters::random(&graph, 1)).unwrap()
}

/// A folder, and the network in it as `net` and `net.o`.
fn compiled() -> Option<tempfile::TempDir> {
    if !has_compiler() {
        return None;
    }
    let folder = tempfile::tempdir().expect("a folder for temporary files");
    let compile = [&["compile"], NETWORK, &["--quiet", "--name", "net", "-o", "net"]].concat();
    stdout(folder.path(), &compile, &["--emit", "exe,obj"]);
    Some(folder)
}

/// Changes the one place of a file where these bytes are.
fn patch(path: &Path, from: &[u8], to: &[u8]) {
    let mut bytes = fs::read(path).expect("the file is there");
    let places: Vec<usize> =
        bytes.windows(from.len()).enumerate().filter(|(_, w)| *w == from).map(|(at, _)| at).collect();
    assert_eq!(places.len(), 1, "{}: the bytes are there once", path.display());
    bytes[places[0]..places[0] + to.len()].copy_from_slice(to);
    fs::write(path, bytes).expect("the file can be written");
}

/// The bytes of eight biases of a layer, and the same with one bit of the fourth changed.
fn bias(layer: &str) -> (Vec<u8>, Vec<u8>) {
    let fused = fused();
    let node = fused.nodes.iter().find(|node| node.name == layer).expect("the layer exists");
    let bias = &node.filter.as_ref().expect("the layer has weights").bias;
    let bytes: Vec<u8> = bias[..8].iter().flat_map(|x| x.to_le_bytes()).collect();
    let mut changed = bytes.clone();
    changed[3 * 4 + 2] ^= 0x40;
    (bytes, changed)
}

#[test]
fn right_code_is_right() {
    if !has_compiler() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (code, document, err) = verify(folder.path(), &["--inputs", "4"]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert_eq!(document["is_right"], true);
    let numbers = ["n_outputs", "n_outputs_differ", "n_layers", "n_layers_seen", "n_inputs", "n_runs_wrong"];
    let found = numbers.map(|name| document[name].as_u64().expect("a number"));
    assert_eq!(found, [1001, 0, 29, 29, 4, 0]);
    // Alone, step by step, forwards, backwards, shuffled, one thread, three.
    assert_eq!(document["n_runs"], 4 * 7);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing stays behind");

    let args = [&["verify"], NETWORK, FEW, &["--batch", "2", "--inputs", "1"]].concat();
    let text = stdout(folder.path(), &args, &[]);
    assert!(text.contains("mobilenet-v1 0.25@32, 2 images a run for "), "{text}");
    assert!(text.contains("\n0 of 2,002 outputs differ, 29 layers, 2 inputs\n"), "{text}");
}

/// Layers inside of chains are seen in networks that end there.
#[test]
fn chains_are_seen_too() {
    if !has_compiler() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let toml = "name = \"net\"\nclasses = 1\ninput = { height = 256, width = 300, channels = 3 }\n\
        [[layer]]\nkind = \"conv\"\nfilters = 32\nstride = 2\n\
        [[layer]]\nkind = \"separable\"\nfilters = 32\nrepeat = 2\n";
    fs::write(folder.path().join("net.toml"), toml).unwrap();
    let args = ["verify", "net.toml", "--random-weights", "3", "--json", "--target-cpu"];
    let isa = if cfg!(target_arch = "x86_64") { "x86-64-v3" } else { "native" };
    let document = json(folder.path(), &args, &[&[isa, "--inputs", "1"], FEW].concat());
    let numbers = ["n_layers", "n_layers_seen", "n_layers_cut"];
    let [all, seen, cut] = numbers.map(|name| document[name].as_u64().unwrap());
    assert_eq!(seen + cut, all, "{document}");
    assert!(0 < cut, "the network has a chain: {document}");
}

/// The layer whose numbers were changed is named, with the element and both values.
#[test]
fn a_changed_weight_is_found_in_its_layer() {
    let Some(folder) = compiled() else { return };
    let net = folder.path().join("net");
    let right = verify(folder.path(), &["--executable", "net"]);
    assert_eq!((right.0, &right.1["n_layers_seen"]), (0, &29.into()));
    let (from, to) = bias("conv_pw_5");
    patch(&net, &from, &to);
    let (code, document, err) = verify(folder.path(), &["--executable", "./net"]);
    assert_eq!((code, &document["is_right"]), (1, &false.into()));
    let first = &document["faults"][0];
    assert_eq!((&first["layer"], &first["step"]), (&"conv_pw_5".into(), &"conv_pw_5".into()));
    assert!(first["kernel"].as_str().unwrap().contains("pointwise"), "{first}");
    let difference = &first["difference"];
    assert_eq!(difference["channel"], 3, "the bias that was changed: {difference}");
    assert_ne!(difference["found_bits"], difference["expected_bits"]);
    assert_eq!(document["n_runs_wrong"], document["n_runs"], "every run takes the bias");
    assert!(err.starts_with("error: mobilenet-v1 0.25@32: ") && err.contains("first conv_pw_5, "), "{err}");
    assert_eq!(err.lines().count(), 1, "{err}");
}

#[test]
fn objects_are_verified() {
    let Some(folder) = compiled() else { return };
    let (code, document, err) = verify(folder.path(), &["--object", "net.o"]);
    assert_eq!((code, err.as_str(), &document["is_right"]), (0, "", &true.into()));
    let (from, to) = bias("conv_pw_5");
    patch(&folder.path().join("net.o"), &from, &to);
    let (code, document, _) = verify(folder.path(), &["--object", "net.o"]);
    assert_eq!((code, &document["is_right"]), (1, &false.into()));
    assert!(0 < document["n_outputs_differ"].as_u64().unwrap());
}

/// Code that crashes is a result, and no crash of ours.
#[test]
#[cfg(target_arch = "x86_64")]
fn a_crash_is_reported() {
    let Some(folder) = compiled() else { return };
    let bytes = fs::read(folder.path().join("net.o")).unwrap();
    let file = object::File::parse(bytes.as_slice()).unwrap();
    let kernel = file.symbols().find(|symbol| symbol.name().is_ok_and(|name| name.contains("f32_pool")));
    let kernel = kernel.expect("the network has a pool");
    let section = file.section_by_index(kernel.section_index().unwrap()).unwrap();
    let start = (kernel.address() - section.address()) as usize;
    let code = &section.data().unwrap()[start..start + 24];
    // ud2
    for name in ["net", "net.o"] {
        patch(&folder.path().join(name), code, &[0x0f, 0x0b]);
    }
    for (option, name) in [("--executable", "net"), ("--object", "net.o")] {
        let (code, document, err) = verify(folder.path(), &[option, name]);
        assert_eq!(code, 1, "{err}");
        let failure = document["faults"][0]["failure"].as_str().expect("a run without an answer");
        assert!(failure.starts_with("it stopped: signal: 4"), "{failure}");
        assert!(err.contains("it stopped: signal: 4") && err.lines().count() == 1, "{err}");
    }
}

/// A safetensors file of such tensors.
fn write_tensors(path: &Path, tensors: &[(&str, Vec<usize>, Vec<f32>)]) {
    let bytes: Vec<Vec<u8>> =
        tensors.iter().map(|(.., values)| values.iter().flat_map(|x| x.to_le_bytes()).collect()).collect();
    let views = tensors.iter().zip(&bytes).map(|((name, shape, _), bytes)| {
        (*name, TensorView::new(Dtype::F32, shape.clone(), bytes).expect("the bytes have the shape"))
    });
    fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

/// Rows of pixels as channels of rows.
fn channels_first(values: &[f32], channels: usize) -> Vec<f32> {
    (0..channels).flat_map(|channel| values.iter().skip(channel).step_by(channels)).copied().collect()
}

#[test]
fn recorded_answers_are_compared_within_a_tolerance() {
    if !has_compiler() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let fused = fused();
    let input: Vec<f32> = (0..32 * 32 * 3).map(|idx| (idx % 23) as f32 / 11.5 - 1.0).collect();
    let values = reference::run(&fused, &input);
    let mut logits = values[fused.outputs[0].0].clone();
    logits[700] += 0.01;
    let layer = fused.nodes.iter().position(|node| node.name == "conv_pw_3").unwrap();
    let shape = fused.nodes[layer].shape();
    let of_layer = channels_first(&values[layer], shape.channels);
    let path = folder.path().join("recorded.safetensors");
    let layer_shape = vec![1, shape.channels, shape.height, shape.width];
    let input = ("input", vec![1, 3, 32, 32], channels_first(&input, 3));
    let tensors = [input.clone(), ("logits", vec![1, 1001], logits), ("conv_pw_3", layer_shape, of_layer)];
    write_tensors(&path, &tensors);

    let within = ["--against", "recorded.safetensors", "--tolerance", "0.02", "--inputs", "0"];
    let (code, document, err) = verify(folder.path(), &within);
    assert_eq!((code, err.as_str(), &document["n_inputs"]), (0, "", &1.into()));
    let against = document["against"].as_array().expect("a list");
    assert_eq!(against.len(), 2);
    assert_eq!((&against[0]["layer"], &against[0]["max"]), (&"conv_pw_3".into(), &0.0.into()));
    assert_eq!((&against[1]["tensor"], &against[1]["top1"]), (&"logits".into(), &1.into()));
    assert_eq!(against[1]["at"], serde_json::json!([0, 0, 0, 700]));
    assert!((against[1]["max"].as_f64().unwrap() - 0.01).abs() < 1e-5);

    let beyond = ["--against", "recorded.safetensors", "--tolerance", "0.005", "--inputs", "0"];
    let (code, document, err) = verify(folder.path(), &beyond);
    assert_eq!((code, &document["is_right"], &document["n_runs_wrong"]), (1, &false.into(), &0.into()));
    assert!(err.contains("away from the recorded logits"), "{err}");

    // What doesn't fit is named.
    let check = |tensors: &[(&str, Vec<usize>, Vec<f32>)], expected: &str| {
        write_tensors(&path, tensors);
        let (code, _, err) = verify(folder.path(), &within);
        assert_eq!(code, 1, "{err}");
        assert!(err.contains(expected) && err.lines().count() == 1, "{err}, expected {expected}");
    };
    check(&[("logits", vec![1, 1001], vec![0.0; 1001])], "found no tensor `input`");
    check(std::slice::from_ref(&input), "found neither outputs nor layers");
    check(
        &[input.clone(), ("logits", vec![1, 1000], vec![0.0; 1000])],
        "logits: found the shape [1, 1000], expected",
    );
    check(
        &[input, ("logits", vec![2, 1001], vec![0.0; 2002])],
        "logits: found values of 2 inputs, expected 1",
    );
    check(
        &[("input", vec![1, 3, 16, 16], vec![0.0; 768])],
        "input: found the shape [1, 3, 16, 16], expected",
    );
}

/// What other engines answered to photographs, where the test data is at hand.
#[test]
fn other_engines_agree() {
    let Some(data) = mnc_need::shared_data("") else { return };
    if !has_compiler() {
        return;
    }
    let weights = "weights/mobilenet_v1_0.25_128.safetensors";
    let check = |recorded: &str, n_tensors: usize, n_inputs: u64| {
        let more = ["--against", recorded, "--tolerance", "1e-3", "--threads", "2", "--runs", "1", "--json"];
        let document = json(&data, &["verify", "mobilenet-v1", "--weights", weights], &more);
        assert_eq!(document["n_inputs"], n_inputs);
        let against = document["against"].as_array().unwrap();
        assert_eq!(against.len(), n_tensors);
        let top1 = against.iter().filter_map(|distance| distance["top1"].as_u64());
        assert!(top1.into_iter().all(|top1| top1 == n_inputs), "{document}");
    };
    check("expected/mobilenet_v1_0.25_128.io.safetensors", 1, 8);
    check("expected/mobilenet_v1_0.25_128.layers.safetensors", 27, 1);
}

/// Pictures go through the executable's own code, of an object's network too.
#[test]
fn pictures_are_inputs() {
    let Some(folder) = compiled() else { return };
    let pixels: Vec<u8> = (0..40 * 30 * 3).map(|idx| (idx * 7 % 251) as u8).collect();
    fs::create_dir(folder.path().join("pictures")).unwrap();
    fs::write(folder.path().join("pictures/a.ppm"), [b"P6 40 30 255\n".as_slice(), &pixels].concat())
        .unwrap();
    fs::write(folder.path().join("pictures/notes.txt"), "no picture").unwrap();
    for program in [&[][..], &["--executable", "net"], &["--object", "net.o"]] {
        let args = [program, &["--images", "pictures"]].concat();
        let (code, document, err) = verify(folder.path(), &args);
        assert_eq!((code, err.as_str()), (0, ""), "{program:?}");
        assert_eq!(document["n_inputs"], 2, "the picture, and a random input: {program:?}");
    }
    let (code, _, err) = verify(folder.path(), &["--images", "pictures/notes.txt"]);
    assert_eq!(code, 1);
    assert!(err.contains("pictures/notes.txt: "), "{err}");
    let (code, _, err) = verify(folder.path(), &["--images", "no.jpg"]);
    assert_eq!((code, err.as_str()), (1, "error: no.jpg: no such file, expected a picture\n"));
}

#[test]
fn what_cannot_be_verified_is_said() {
    let Some(folder) = compiled() else { return };
    fs::write(folder.path().join("other"), "#!/bin/sh\n").unwrap();
    let check = |args: &[&str], code: i32, expected: &str| {
        let (found, _, err) = mnc(folder.path(), &[&["verify"], args].concat(), &[]);
        assert!(found == code && err.contains(expected), "{args:?}: {found}, {err}, expected {expected}");
    };
    let random = |alpha: &'static str, resolution: &'static str| {
        ["mobilenet-v1", "--random-weights", "1", "--alpha", alpha, "--resolution", resolution]
    };
    let executable = |of: [&'static str; 7], name: &'static str| [&of[..], &["--executable", name]].concat();
    check(&executable(random("0.25", "64"), "net"), 1, "found a network 32x32x3 -> 1x1x1001, ");
    check(&executable(random("0.5", "32"), "net"), 1, "found a network 32x32x3 -> 1x1x1001, ");
    check(&executable(random("0.25", "32"), "other"), 1, "not made by this mnc, expected an executable");
    check(&executable(random("0.25", "32"), "missing"), 1, "(os error 2), expected an executable");
    check(&["mobilenet-v1"], 2, "--weights: found none");
    check(&[], 2, "NETWORK");
    check(&[NETWORK, &["--inputs", "0"]].concat(), 2, "--inputs: found 0 inputs");
    check(&[NETWORK, &["--target", "x86_64-pc-windows-msvc"]].concat(), 2, "don't run on");
    check(&[NETWORK, &["--threads", "0"]].concat(), 2, "threads");

    // Without the emulator.
    let other = if cfg!(target_arch = "aarch64") { "riscv64gc" } else { "aarch64" };
    let mut command = Command::new(env!("CARGO_BIN_EXE_mnc"));
    command.arg("verify").args(NETWORK).args(["--target", &format!("{other}-unknown-linux-gnu")]);
    let output = command.env("PATH", folder.path()).stdin(Stdio::null()).output().unwrap();
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(2) && err.contains("found no qemu-"), "{err}");
}

#[test]
fn random_networks_are_right() {
    if !has_compiler() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let document = json(folder.path(), &["verify", "--random", "6", "--seed", "1", "--json"], &[]);
    assert_eq!((&document["n_networks"], &document["is_right"]), (&6.into(), &true.into()));
    assert!(document["wrong"].is_null());
}

/// The person detector in f32 without what is the same for every picture: told, and right, whether its maker's options are said again.
#[test]
fn constant_channels_leave_f32() {
    if !has_compiler() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder for temporary files");
    let person = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/person-detector");
    let (code, _, summary) = mnc(folder.path(), &["compile", person, "--drop-constant", "-o", "net"], &[]);
    let told = "of 2,736 channels are the same for every picture and left out:";
    assert!(code == 0 && summary.contains(told), "{summary}");
    let info = Command::new(folder.path().join("net")).arg("--info").output().expect("it runs").stdout;
    assert!(String::from_utf8_lossy(&info).contains(" of 2736 channels are constant)"), "{info:?}");
    for how in [&["--drop-constant"][..], &["--executable", "net"]] {
        let args = [&["verify", person, "--inputs", "1", "--json"], FEW, how].concat();
        let (code, out, error) = mnc(folder.path(), &args, &[]);
        assert_eq!(code, 0, "{how:?}: {out}{error}");
    }
    let wide = "name = \"wide\"\nclasses = 3\ninput = { height = 4, width = 4, channels = 5 }\n\
                [[layer]]\nkind = \"global_average_pool\"\n";
    fs::write(folder.path().join("wide.toml"), wide).expect("it can be written");
    for (args, expected) in [
        (
            &["wide.toml", "--random-weights", "1", "--drop-constant"][..],
            "drop-constant: found an input of 5 channels, expected a picture of 1 to 4: other numbers have no bounds",
        ),
        (
            &[person, "--keep-constant"],
            "keep-constant: found with a network in f32, expected one in int8: channels of f32 stay in any case",
        ),
        (
            &[person, "--keep-constant", "--drop-constant"],
            "'--keep-constant' cannot be used with '--drop-constant'",
        ),
    ] {
        let (code, _, error) = mnc(folder.path(), &[&["compile", "-o", "no"], args].concat(), &[]);
        assert!(code != 0 && error.contains(expected), "{args:?}: {error}");
    }
}
