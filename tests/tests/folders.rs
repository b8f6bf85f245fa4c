//! Folders as they are downloaded, and files of weights, in place of a network: what the command makes of them, and says of it.

use std::path::Path;
use std::process::{Command, Output};

use mnc_tests::command::mnc;
use mnc_tests::folder::Folder;
use mnc_tests::need;
use mnc_tests::recipes::Recipes;

/// The person detector's folder, with its weights as hubs call them.
fn person() -> Folder {
    let folder = Folder::new();
    let source = need::workspace().join("examples/person-detector");
    for (from, to) in [
        ("person.safetensors", "model.safetensors"),
        ("config.json", "config.json"),
        ("preprocessor_config.json", "preprocessor_config.json"),
    ] {
        folder.write(to, std::fs::read(source.join(from)).expect("the example has the file"));
    }
    folder
}

fn run(folder: &Folder, mnc: &Path, args: &[&str]) -> Output {
    Command::new(mnc).current_dir(folder.path()).args(args).output().expect("the command starts")
}

/// What it says where it fails.
fn fails(folder: &Folder, mnc: &Path, args: &[&str]) -> String {
    let output = run(folder, mnc, args);
    let text = String::from_utf8_lossy(&output.stderr).trim_end().to_owned();
    assert_eq!(output.status.code(), Some(1), "{args:?}: {text}");
    text
}

/// The rows of the summary that say what a network is.
fn summary(folder: &Folder, mnc: &Path, args: &[&str]) -> Vec<String> {
    let output = run(folder, mnc, &[&["compile", "--emit", "obj", "-o", "x.o"], args].concat());
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{args:?}: {text}");
    let is_of_interest = |line: &&str| {
        ["mobilenet", "  recognised", "  known", "  labels", "  assumed"]
            .iter()
            .any(|start| line.starts_with(start))
    };
    text.lines().filter(is_of_interest).map(str::to_owned).collect()
}

#[test]
fn a_folder_is_enough() {
    let (Some(mnc), folder) = (mnc(), person()) else { return };
    let photo = need::workspace().join("examples/person-detector/photos");
    let photo =
        std::fs::read_dir(photo).expect("there are photographs").next().expect("one").expect("it is there");
    let output = run(&folder, mnc, &["compile", ".", "-o", "classify"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let answer = need::run(Command::new(folder.path().join("classify")).arg(photo.path()));
    assert!(String::from_utf8_lossy(&answer.stdout).contains("person"), "labels are those of the folder");

    let named = ["mobilenet-v1", "--weights", "model.safetensors"];
    let mut expected = summary(&folder, mnc, &named);
    expected.insert(1, "  recognised MobileNetV1ForImageClassification, says config.json".to_owned());
    let object = || std::fs::read(folder.path().join("x.o")).expect("it was written");
    let by_name = object();
    assert_eq!(summary(&folder, mnc, &["."]), expected);
    assert_eq!(object(), by_name, "the network is the one that is named");
    // A file of weights is what its folder says.
    assert_eq!(summary(&folder, mnc, &["model.safetensors"]), expected);
    let report = need::run(Command::new(mnc).current_dir(folder.path()).args(["verify", "."]));
    assert!(!report.stdout.is_empty());
}

/// The commands that count, list, print and measure take a folder, and say the same of it as of the network and alpha that it has.
#[test]
fn every_command_takes_a_folder() {
    let (Some(mnc), folder) = (mnc(), person()) else { return };
    let stdout = |args: &[&str]| {
        let output = run(&folder, mnc, args);
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    // Two classes, where the description has a thousand.
    let text = stdout(&["describe", "mobilenet-v1"]).replace("classes = 1001", "classes = 2");
    folder.write("net.toml", text);
    for file in [".", "model.safetensors"] {
        let counted = |network: &str, more: &[&str]| {
            let size = ["--resolution", "96", "--json"];
            let report = stdout(&[&["cost", network], &size[..], more].concat());
            serde_json::from_str::<serde_json::Value>(&report).expect("it is JSON")["total"].clone()
        };
        assert_eq!(counted(file, &[]), counted("net.toml", &["--alpha", "0.25"]), "{file}");
        assert_ne!(counted(file, &["--alpha", "0.5"]), counted(file, &[]), "alpha can still be chosen");
        let listed = stdout(&["tensors", file]);
        assert_eq!(listed, stdout(&["tensors", "net.toml", "--alpha", "0.25", "--naming", "huggingface"]));
        let ours = stdout(&["tensors", file, "--naming", "plain", "--alpha", "0.5"]);
        assert_eq!(ours, stdout(&["tensors", "net.toml", "--alpha", "0.5"]));
        let described = stdout(&["describe", file]);
        let (first, rest) = described.split_once('\n').expect("several lines");
        let found = "# Recognised MobileNetV1ForImageClassification, says config.json; alpha 0.25. This is the built-in description.";
        assert_eq!((first, rest), (found, stdout(&["describe", "mobilenet-v1"]).as_str()));
    }
    let bench = ["bench", ".", "--resolution", "32", "--rounds", "1", "--runs", "1", "--json"];
    let report: serde_json::Value = serde_json::from_str(&stdout(&bench)).expect("it is JSON");
    assert_eq!(
        (&report["networks"][0]["alpha"], &report["networks"][0]["network"]),
        (&0.25.into(), &"mobilenet-v1".into())
    );

    let empty = Folder::new();
    for command in ["cost", "tensors", "describe", "bench"] {
        let text = fails(&empty, mnc, &[command, "."]);
        assert_eq!(
            text, "error: .: found no weights in this folder, expected model.safetensors",
            "{command}"
        );
    }
}

#[test]
fn a_folder_is_explored() {
    let (Some(mnc), folder) = (mnc(), person()) else { return };
    let output = run(&folder, mnc, &["explore", ".", "--resolution", "96", "--folder", "map"]);
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{err}");
    assert!(out.contains("0.25@96") || err.contains("0.25@96"), "{out}{err}");
}

/// Without a configuration the tensors say which network it is.
#[test]
fn tensors_tell_the_network() {
    let (Some(mnc), folder) = (mnc(), person()) else { return };
    let found = summary(&folder, mnc, &[".", "--config", "none"]);
    let by = "by the tensors of model.safetensors, in the naming huggingface (Hugging Face MobileNetV1 and \
              MobileNetV2ForImageClassification)";
    assert_eq!(found[1], format!("  recognised {by}"));
}

/// timm's tensors don't say with which padding and epsilon they were trained, and its models have two of each.
#[test]
fn what_timm_does_not_say_is_assumed() {
    let (Some(mnc), Some(recipes)) = (mnc(), Recipes::read()) else { return };
    let folder = Folder::new();
    recipes.get("timm.mobilenetv3_small_050").write(folder.path());
    std::fs::remove_file(folder.path().join("config.json")).expect("timm writes one");
    let error = fails(&folder, mnc, &["compile", ".", "-o", "net"]);
    let both = "error: ./model.safetensors: found tensors that timm's mobilenetv3_small_100 and tf_mobilenetv3_small_100 have,";
    assert!(error.starts_with(both), "{error}");
    // What needs no numbers doesn't ask.
    assert!(run(&folder, mnc, &["cost", "."]).status.success());
    let (model, named) = ("model.safetensors", "mobilenetv3_small_050.lamb_in1k.safetensors");
    std::fs::rename(folder.path().join(model), folder.path().join(named)).expect("it is there");
    let found = summary(&folder, mnc, &[named]);
    let assumed = found.iter().find(|line| line.starts_with("  assumed")).expect("something is assumed");
    let expected =
        "padding symmetric, epsilon 0.00001, alpha rounded to multiples of 8 (no config.json, so timm's)";
    assert!(assumed.contains(expected), "{found:?}");
}

#[test]
fn folders_that_are_no_network() {
    let (Some(mnc), folder) = (mnc(), person()) else { return };
    let empty = Folder::new();
    let compile = ["compile", ".", "-o", "net"];
    assert_eq!(
        fails(&empty, mnc, &compile),
        "error: .: found no weights in this folder, expected model.safetensors"
    );
    empty.write("pytorch_model.bin", "");
    let pickled = "error: .: found pytorch_model.bin, expected model.safetensors: write safetensors with \
         `safetensors.torch.save_file(torch.load(FILE, map_location=\"cpu\"), \"model.safetensors\")` (docs/from-pytorch.md)";
    assert_eq!(fails(&empty, mnc, &compile), pickled);
    assert_eq!(
        fails(&empty, mnc, &["compile", ".", "--random-weights", "1", "-o", "net"]),
        "error: .: found neither a config.json that names the architecture nor weights, expected one of the two"
    );
    for name in ["a.safetensors", "b.safetensors"] {
        empty.write(name, "");
    }
    assert_eq!(
        fails(&empty, mnc, &compile),
        "error: .: found 2 files of weights and no model.safetensors, expected --weights to name one"
    );

    let output = run(&folder, mnc, &["compile", ".", "--emit", "obj", "-o", "model.safetensors"]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(text.trim_end(), "error: -o: model.safetensors is an input, expected another file");
    assert!(std::fs::read(folder.path().join("model.safetensors")).expect("it is there").len() > 10_000);
    for (architecture, expected) in [
        ("mobilenetv4_hybrid_medium", "found \"mobilenetv4_hybrid_medium\", expected MobileNetV1ForImage"),
        ("mobilenetv2_100", "7 faults in the weights:"),
    ] {
        folder.write("config.json", format!("{{\"architecture\": \"{architecture}\"}}"));
        let text = fails(&folder, mnc, &compile);
        assert!(text.contains(expected), "{text}");
    }
}
