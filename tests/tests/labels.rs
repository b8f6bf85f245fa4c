//! The names of classes: whose a compiled network has, and what is said of them.

use std::process::{Command, Output};

use mnc::emit::manifest::Manifest;
use mnc::graph::{Graph, Knobs};
use mnc::weights::Parameters;
use mnc::weights::naming::Naming;
use mnc_tests::command::mnc;
use mnc_tests::folder::Folder;
use mnc_tests::need;

/// Weights of the narrowest MobileNetV1, as Hugging Face has them.
fn weights(classes: usize) -> Vec<u8> {
    let mut description = mnc::describe::builtin("mobilenet-v1").expect("it is built in").description();
    description.classes = classes;
    let graph = Graph::build(&description, &Knobs { alpha: 0.25, resolution: None }).expect("it is legal");
    let parameters = Parameters::random(&graph, 7);
    parameters.to_safetensors(&graph, &Naming::HUGGING_FACE).expect("the file can be written")
}

/// With a checkpoint of so many classes, and a configuration that says only that many.
fn checkpoint(classes: usize) -> Folder {
    let folder = Folder::new();
    folder.write("model.safetensors", weights(classes));
    let config = format!(r#"{{"model_type": "mobilenet_v1", "num_labels": {classes}, "image_size": 32}}"#);
    folder.write("config.json", config);
    folder
}

fn compile(folder: &Folder, args: &[&str]) -> Option<Output> {
    let mut command = Command::new(mnc()?);
    command.current_dir(folder.path()).args(["compile", "--emit", "obj,manifest", "-o", "net"]).args(args);
    Some(command.output().expect("the command starts"))
}

/// The summary's row of labels, and the labels themselves.
fn labels(folder: &Folder, args: &[&str]) -> Option<(String, Vec<String>)> {
    let output = compile(folder, args)?;
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {text}");
    let row = text.lines().find_map(|line| line.strip_prefix("  labels     ")).expect("it has the row");
    let manifest = std::fs::read_to_string(folder.path().join("net.json")).expect("it was written");
    let manifest: Manifest = serde_json::from_str(&manifest).expect("it is a manifest");
    Some((row.to_owned(), manifest.labels))
}

#[test]
fn an_imagenet_classifier_has_imagenets_names() {
    for (classes, first) in [(1001, ["background", "tench"]), (1000, ["tench", "goldfish"])] {
        let folder = checkpoint(classes);
        let Some((row, names)) = labels(&folder, &["."]) else { return };
        assert_eq!(row, format!("{classes} of ImageNet, by the number of classes (--labels none: no names)"));
        assert_eq!((names.len(), [&*names[0], &*names[1]]), (classes, first));
        let (row, names) = labels(&folder, &[".", "--labels", "imagenet"]).expect("as before");
        assert_eq!((row, &*names[classes - 1]), (classes.to_string(), "toilet tissue"));
        let (row, names) = labels(&folder, &[".", "--labels", "none"]).expect("as before");
        assert_eq!((&*row, names.len()), ("none (--labels FILE names the classes)", 0));
    }
}

#[test]
fn names_that_are_given_stay() {
    let folder = checkpoint(1000);
    let own: Vec<String> = (0..1000).map(|idx| format!("own {idx}")).collect();
    let by_index: std::collections::BTreeMap<String, &String> =
        own.iter().enumerate().map(|(idx, name)| (idx.to_string(), name)).collect();
    let config = serde_json::json!({"model_type": "mobilenet_v1", "image_size": 32, "id2label": by_index});
    folder.write("config.json", config.to_string());
    let Some((row, names)) = labels(&folder, &["."]) else { return };
    assert_eq!((&*row, names), ("1000", own.clone()));
    // A file may have the word's name.
    folder.write("imagenet", own.join("\n"));
    assert_eq!(labels(&folder, &[".", "--labels", "./imagenet"]).expect("as before").1, own);
    assert_eq!(labels(&folder, &[".", "--labels", "imagenet"]).expect("as before").1[0], "tench");
    // Nobody says what random numbers, or a network of the user's own, tell apart.
    let random = ["mobilenet-v1", "--random-weights", "1", "--alpha", "0.25", "--resolution", "32"];
    assert!(labels(&folder, &random).expect("as before").1.is_empty());
    let description = need::run(Command::new(mnc().expect("as before")).args(["describe", "mobilenet-v1"]));
    let own = String::from_utf8(description.stdout).expect("TOML").replace("mobilenet-v1", "my-own");
    folder.write("own.toml", own);
    folder.write("model.safetensors", weights(1001));
    let arguments = ["own.toml", "--weights", "model.safetensors", "--config", "none", "--resolution", "32"];
    assert!(labels(&folder, &arguments).expect("as before").1.is_empty());
}

#[test]
fn a_list_that_does_not_fit_is_refused_with_the_way_out() {
    let check = |classes: usize, labels: &str, lines: usize, expected: &str| {
        let folder = checkpoint(classes);
        folder.write("names.txt", "name\n".repeat(lines));
        let Some(output) = compile(&folder, &[".", "--labels", labels]) else { return };
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success());
        assert_eq!(text.trim_end(), format!("error: {expected}"));
    };
    check(
        1001,
        "names.txt",
        1000,
        "names.txt: found 1000 labels, expected 1001, one for each output: TensorFlow's networks have \"background\" first; add \
         it as the first line, or use --labels imagenet",
    );
    check(
        1000,
        "names.txt",
        1001,
        "names.txt: found 1001 labels, expected 1000, one for each output: only TensorFlow's networks have \"background\" first; \
         remove that line, or use --labels imagenet",
    );
    check(5, "names.txt", 4, "names.txt: found 4 labels, expected 5, one for each output");
    check(
        5,
        "imagenet",
        0,
        "labels: found `imagenet` for 5 outputs, expected 1000 outputs, or 1001 with \"background\" first: give a file with a \
         name for each, or none",
    );
}

#[test]
fn labels_of_a_file_are_in_the_executable() {
    let (Some(mnc), Some(_)) = (mnc(), need::program("cc")) else { return };
    let (folder, person) = (Folder::new(), need::workspace().join("examples/person-detector"));
    folder.write("two.txt", "yes\nno, nobody\n");
    let mut compile = Command::new(mnc);
    compile.current_dir(folder.path()).args(["compile", "mobilenet-v1", "--labels", "two.txt", "-o", "net"]);
    need::run(compile.arg("--weights").arg(person.join("person.safetensors")));
    let mut classify = Command::new(folder.path().join("net"));
    let answer = need::run(classify.args(["--top", "1"]).arg(person.join("photos/chelsea.jpg")));
    let text = String::from_utf8_lossy(&answer.stdout);
    assert!(text.ends_with("  0.9772  no, nobody  (1)\n"), "{text}");
}

/// Whoever writes a label, of a file or a configuration, writes one line: nothing else reaches the terminal of a program's user.
#[test]
fn labels_are_one_line() {
    let folder = checkpoint(2);
    for label in ["a\u{1b}[31m", "a\rb", "\u{9b}2J", "a\0b"] {
        folder.write("names.txt", format!("cat\n{label}"));
        let Some(output) = compile(&folder, &[".", "--labels", "names.txt"]) else { return };
        let error = String::from_utf8_lossy(&output.stderr);
        let expected = format!("found the label {label:?}, expected a text of one line");
        assert!(!output.status.success() && error.contains(&expected), "{error}");
    }
    folder.write("names.txt", "n01440764\ttench\n\u{5d9}\u{200f}");
    let names = labels(&folder, &[".", "--labels", "names.txt"]).expect("as before").1;
    assert_eq!(names, ["n01440764\ttench", "\u{5d9}\u{200f}"]);
    // Keys of a configuration are shown too, and so is its path.
    let config = r#"{"model_type": "mobilenet_v1", "num_labels": 2, "image_size": 32, "x\n\u001b[31m": 1}"#;
    folder.write("config.json", config);
    let output = compile(&folder, &["."]).expect("as before");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains(r"unknown key x\n\u{1b}[31m is not followed"), "{text}");
}
