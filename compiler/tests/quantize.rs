//! `mnc quantize` as a user meets it: a file and a report, the same for any number of threads, and what is refused.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use mnc::graph::{Graph, Knobs};
use mnc::quantize::file;
use serde_json::Value;

const NETWORK: &[&str] =
    &["quantize", "mobilenet-v1", "--random-weights", "1", "--alpha", "0.25", "--resolution", "32"];
const PHOTOS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/person-detector/photos");

/// Exit code, standard output, standard error.
fn mnc(folder: &Path, args: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mnc"));
    let output = command.args(args).current_dir(folder).stdin(Stdio::null()).output().expect("mnc runs");
    let text = |bytes| String::from_utf8(bytes).expect("output is UTF-8");
    (output.status.code().expect("not ended by a signal"), text(output.stdout), text(output.stderr))
}

/// Standard output of what must succeed without a word on standard error.
fn stdout(folder: &Path, args: &[&str], more: &[&str]) -> String {
    let (code, out, error) = mnc(folder, &[args, more].concat());
    assert_eq!((code, error.as_str()), (0, ""), "{args:?} {more:?}");
    out
}

/// The one JSON document that it prints.
fn json(folder: &Path, args: &[&str], more: &[&str]) -> Value {
    let text = stdout(folder, args, &[more, &["--json"]].concat());
    serde_json::from_str(&text).expect("one JSON document")
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder for temporary files")
}

fn graph() -> Graph {
    let description = mnc::describe::builtin("mobilenet-v1").unwrap().description();
    Graph::build(&description, &Knobs { alpha: 0.25, resolution: Some("32".parse().unwrap()) }).unwrap()
}

fn bytes(folder: &Path, name: &str) -> Vec<u8> {
    fs::read(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn a_file_and_a_report() {
    let folder = folder();
    let text = stdout(folder.path(), NETWORK, &["--threads", "1"]);
    assert!(text.contains("judged on      16 other parts of the two photographs of `mnc`"), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 120), "{text}");
    let written = bytes(folder.path(), "mobilenet-v1.int8.safetensors");
    let (network, provenance) = file::read(&written, "net", &graph()).unwrap();
    assert!(network.nodes.iter().filter(|node| node.integer.is_some()).count() == 29, "all but the input");
    assert!(provenance.sigma.is_some_and(|sigma| 0.0 < sigma));

    let more = ["--threads", "3", "-o", "three.safetensors", "--images", PHOTOS];
    let document = json(folder.path(), NETWORK, &more);
    assert!(bytes(folder.path(), "three.safetensors") == written, "threads change the file");
    assert_eq!(document["layers"].as_array().unwrap().len(), 29);
    assert_eq!(document["classifier"]["pictures"], 16);
    assert_eq!(document["classifier"]["sigma"].as_f64(), provenance.sigma);
    assert_eq!(document["images"]["classifier"]["pictures"], 2);
    assert!(document["layers"].as_array().unwrap().iter().all(|layer| layer["snr_db"].as_f64() > Some(5.0)));
}

#[test]
fn pictures_of_the_user() {
    let folder = folder();
    let photos = folder.path().join("photos");
    fs::create_dir(&photos).unwrap();
    for idx in 0..9 {
        let name = ["astronaut.jpg", "chelsea.jpg"][idx % 2];
        fs::copy(Path::new(PHOTOS).join(name), photos.join(format!("{idx}.jpg"))).unwrap();
    }
    let document = json(folder.path(), NETWORK, &["--calibrate", "photos", "-o", "own"]);
    assert_eq!(document["calibration"], "7 pictures of photos");
    assert_eq!(document["judged"], "2 other pictures of photos");
    let brought = json(folder.path(), NETWORK, &["-o", "brought"]);
    assert_ne!(bytes(folder.path(), "own"), bytes(folder.path(), "brought"), "the pictures matter");
    assert_eq!(brought["calibration"], "16 synthetic pictures and 16 parts of the two photographs of `mnc`");
    let pairs = ["--pair-safe", "-o", "pairs"];
    json(folder.path(), NETWORK, &pairs);
    let (_, provenance) = file::read(&bytes(folder.path(), "pairs"), "net", &graph()).unwrap();
    assert!(provenance.pair_safe);
}

#[test]
fn what_cannot_be_quantised_is_named() {
    let folder = folder();
    fs::create_dir(folder.path().join("empty")).unwrap();
    let net = "name = \"net\"\nclasses = 2\ninput = { height = 4, width = 4, channels = 4 }\n\
               [[layer]]\nkind = \"conv\"\nfilters = 2\n";
    fs::write(folder.path().join("net.toml"), net).unwrap();
    fs::write(folder.path().join("w.jpg"), b"no picture").unwrap();
    let check = |arguments: &[&str], expected: &str| {
        let (code, _, error) = mnc(folder.path(), &[&["quantize"], arguments].concat());
        assert!(code != 0 && error.contains(expected), "{arguments:?}: {error}");
    };
    let random = ["--random-weights", "1"];
    let pooled = net.replace("channels = 4 }", "channels = 3 }")
        + "[[layer]]\nkind = \"max_pool\"\nname = \"pooled\"\n";
    fs::write(folder.path().join("pooled.toml"), pooled).unwrap();
    check(
        &[&["pooled.toml"][..], &random].concat(),
        "pooled: found a pool with a window, which isn't computed in int8 yet, expected a network without; compile it in f32",
    );
    check(
        &[&["net.toml"][..], &random].concat(),
        "--calibrate: found a network of 4 input channels, expected 1 or 3: it is calibrated on pictures",
    );
    check(&["mobilenet-v1"], "--weights: found none, expected a file");
    check(
        &[&NETWORK[1..], &["--calibrate", "empty"]].concat(),
        "empty: found no picture, expected files that end in",
    );
    check(&[&NETWORK[1..], &["--calibrate", "."]].concat(), "w.jpg: found");
    assert!(!folder.path().join("mobilenet-v1.int8.safetensors").exists(), "nothing is written");
}

/// A file alone says of which network it is.
#[test]
fn the_file_is_enough() {
    let folder = folder();
    stdout(folder.path(), NETWORK, &["-o", "net.int8.safetensors"]);
    let text = stdout(folder.path(), &["compile", "net.int8.safetensors", "--dump", "fused"], &[]);
    assert!(text.contains("conv_pw_13"), "{text}");
    let described = ["describe", "mobilenet-v1"];
    let toml = stdout(folder.path(), &described, &[]).replace("mobilenet-v1", "mine");
    fs::write(folder.path().join("mine.toml"), toml).unwrap();
    let quantize = [&["quantize", "mine.toml"], &NETWORK[2..]].concat();
    stdout(folder.path(), &quantize, &["-o", "mine.int8.safetensors"]);
    let (code, _, error) = mnc(folder.path(), &["compile", "mine.int8.safetensors"]);
    let error = error.split_whitespace().collect::<Vec<&str>>().join(" ");
    let expected = "error: mine.int8.safetensors: found int8 of \"mine\", which isn't built in, expected its description too: mnc compile NET.toml --weights FILE";
    assert_eq!((code, error.as_str()), (1, expected));
    stdout(
        folder.path(),
        &["compile", "mine.toml", "--weights", "mine.int8.safetensors", "--dump", "fused"],
        &[],
    );
}
