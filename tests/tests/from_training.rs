//! The pages from training to `mnc`: their own code is run, block by block, in one folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use mnc::describe::Description;
use mnc::graph::{Graph, Knobs};
use mnc::weights::Parameters;
use mnc::weights::naming::{Naming, Role, TensorSpec};
use mnc::{passes, reference};
use mnc_tests::command::mnc;
use mnc_tests::folder::Folder;
use mnc_tests::need;

/// The blocks of a page in a language, in their order.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let text = fs::read_to_string(need::workspace().join("docs").join(page)).expect("the page is there");
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line == format!("```{language}") {
            let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            blocks.push(block.join("\n") + "\n");
        }
    }
    assert!(!blocks.is_empty(), "{page} has blocks of {language}");
    blocks
}

/// A Python that has these packages: one of the continuous integration, or the first on the path.
fn python(packages: &str) -> Option<PathBuf> {
    let own = ["target/python", "target/pytorch"].map(|venv| need::workspace().join(venv).join("bin/python"));
    let own = own.into_iter().filter(|python| python.exists()).map(Some);
    let all = own.chain([need::optional_program("python3")]);
    let has = |python: &PathBuf| {
        let mut command = Command::new(python);
        with_backend(&mut command).args(["-c", &format!("import {packages}")]);
        let output = command.output();
        output.is_ok_and(|output| output.status.success())
    };
    all.flatten().find(has)
}

/// Keras takes TensorFlow where nobody says which it is to take.
fn with_backend(command: &mut Command) -> &mut Command {
    command.env("TF_CPP_MIN_LOG_LEVEL", "3");
    match std::env::var_os("KERAS_BACKEND") {
        Some(_) => command,
        None => command.env("KERAS_BACKEND", "jax"),
    }
}

/// Runs the commands of a page. `mnc` is the one of these sources.
fn run_commands(mnc: &Path, folder: &Folder, blocks: &[String]) -> String {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let with_own = std::iter::once(mnc.parent().expect("it lies in a folder").to_owned());
    let path =
        std::env::join_paths(with_own.chain(std::env::split_paths(&path))).expect("no name has a colon");
    let commands = format!("set -e\n{}", blocks.concat());
    let mut command = Command::new("sh");
    let output = need::run(command.current_dir(folder.path()).env("PATH", path).args(["-c", &commands]));
    String::from_utf8(output.stdout).expect("it prints text")
}

#[test]
fn from_keras() {
    let Some(mnc) = mnc() else { return };
    let Some(python) = python("keras, safetensors.numpy") else {
        return need::skip_optional("the Python packages keras and safetensors");
    };
    let folder = Folder::new();
    let program = blocks("from-keras.md", "python").concat();
    let mut command = Command::new(python);
    need::run(with_backend(&mut command).current_dir(folder.path()).args(["-c", &program]));
    let printed = run_commands(mnc, &folder, &blocks("from-keras.md", "sh"));
    assert!(folder.path().join("classify").exists(), "an executable is compiled");
    assert!(printed.contains("4 of 4  within"), "{printed}");
}

#[test]
fn from_pytorch() {
    let Some(mnc) = mnc() else { return };
    let Some(python) = python("torch, safetensors.torch") else {
        return need::skip_optional("the Python packages torch and safetensors");
    };
    let folder = Folder::new();
    let program = blocks("from-pytorch.md", "python").concat();
    need::run(Command::new(python).current_dir(folder.path()).args(["-c", &program]));
    let printed = run_commands(mnc, &folder, &blocks("from-pytorch.md", "sh"));
    assert!(folder.path().join("classify").exists(), "an executable is compiled");
    assert!(printed.contains("4 of 4  within"), "{printed}");
}

/// Networks of `keras.applications` whose maps are odd, on their own files alone: what no file says is Keras's, to the padding.
const APPLICATIONS: &str = r#"
import keras, numpy as np, sys
from safetensors.numpy import save_file

applications = keras.applications
models = {
    "mobilenet-v1 150": applications.MobileNet(
        weights=None, alpha=0.25, input_shape=(150, 150, 3), classes=3, classifier_activation=None),
    "mobilenet-v1 75x107": applications.MobileNet(
        weights=None, alpha=0.1, input_shape=(75, 107, 3), include_top=False, pooling="avg"),
    "mobilenet-v2 107x75": applications.MobileNetV2(
        weights=None, alpha=0.35, input_shape=(107, 75, 3), classes=3, classifier_activation=None),
    "mobilenet-v3-small 75": applications.MobileNetV3Small(
        weights=None, alpha=0.5, input_shape=(75, 75, 3), classes=3, classifier_activation=None, include_preprocessing=False),
}
random = np.random.default_rng(1)
for at, (name, model) in enumerate(models.items()):
    weights = []
    for weight in model.weights:
        if weight.path.endswith("kernel"):
            # So large that the answer depends on every tap.
            taps = 9 if "dw" in weight.path or "depthwise" in weight.path else np.prod(weight.shape[:-1])
            numbers = random.normal(0, (2 / taps) ** 0.5, weight.shape)
        else:
            is_spread = weight.path.endswith(("gamma", "moving_variance"))
            numbers = random.uniform(*((0.5, 1.5) if is_spread else (-0.2, 0.2)), weight.shape)
        weights.append(numbers.astype("float32"))
    model.set_weights(weights)
    save_file({weight.path: keras.ops.convert_to_numpy(weight) for weight in model.weights}, f"{at}.safetensors")
    pictures = random.uniform(-1, 1, (2, *model.input_shape[1:])).astype("float32")
    save_file({"input": pictures, "logits": model.predict(pictures, verbose=0)}, f"{at}.recorded.safetensors")
    print(name)
"#;

#[test]
fn keras_without_a_description() {
    let Some(mnc) = mnc() else { return };
    let Some(python) = python("keras, safetensors.numpy") else {
        return need::skip_optional("the Python packages keras and safetensors");
    };
    let folder = Folder::new();
    let mut command = Command::new(python);
    let output = need::run(with_backend(&mut command).current_dir(folder.path()).args(["-c", APPLICATIONS]));
    let names = String::from_utf8(output.stdout).expect("it prints text");
    assert_eq!(names.lines().count(), 4);
    for (at, name) in names.lines().enumerate() {
        let (network, size) = name.split_once(' ').expect("a network and a size");
        let weights = format!("{at}.safetensors");
        let recorded = format!("{at}.recorded.safetensors");
        let mut command = Command::new(mnc);
        command.current_dir(folder.path()).args(["verify", network, "--weights", &weights]);
        command.args(["--resolution", size, "--against", &recorded, "--tolerance", "1e-3"]);
        let output = need::run(&mut command);
        let printed = String::from_utf8(output.stdout).expect("it prints text");
        assert!(printed.contains("2 of 2  within"), "{name}: {printed}");
    }
}

/// What PyTorch calls a tensor of the page's module.
fn in_the_module(spec: &TensorSpec) -> String {
    let layer = spec.layer.trim_end_matches(".norm");
    let what = if spec.layer.ends_with(".norm") { "bn" } else { "conv" };
    let word = match spec.role {
        Role::Weight | Role::Gamma => "weight",
        Role::Bias | Role::Beta => "bias",
        Role::Mean => "running_mean",
        Role::Variance => "running_var",
    };
    let number: usize =
        layer.rsplit('_').next().and_then(|number| number.parse().ok()).expect("layers are counted");
    match layer {
        "conv_1" => format!("{what}1.{word}"),
        "dense_1" => format!("linear.{word}"),
        _ if layer.starts_with("conv_dw") => format!("layers.{}.{what}1.{word}", number - 1),
        _ => format!("layers.{}.{what}2.{word}", number - 1),
    }
}

/// The page's commands for files such as its program writes, without PyTorch: its names and shapes with numbers of our own.
#[test]
fn commands_of_from_pytorch() {
    let Some(mnc) = mnc() else { return };
    let folder = Folder::new();
    let commands = blocks("from-pytorch.md", "sh");
    run_commands(mnc, &folder, &commands[..1]);
    let text = fs::read_to_string(folder.path().join("net.toml")).expect("the page's commands write it");
    let description = Description::parse(&text, "net.toml").unwrap_or_else(|error| panic!("{error}"));
    let graph = Graph::build(&description, &Knobs { alpha: 0.25, resolution: None }).expect("it is legal");
    let parameters = Parameters::random(&graph, 1);

    let specs = Naming::PLAIN.tensors(&graph).expect("every layer has a name");
    let mut tensors: Vec<(String, Vec<usize>, Vec<f32>)> = Vec::new();
    for spec in &specs {
        tensors.push((in_the_module(spec), spec.shape.clone(), parameters.tensor(&graph, spec)));
    }
    save(&folder, "net.safetensors", &tensors);
    let [height, width] = [96, 96];
    let input: Vec<f32> = (0..height * width * 3).map(|at| (at * 37 % 101) as f32 / 101.0).collect();
    let logits = reference::output(&passes::run(&graph, &parameters).expect("it is legal"), &input);
    // PyTorch has channels first.
    let pixels = height * width;
    let channels_first: Vec<f32> = (0..3)
        .flat_map(|channel| (0..pixels).map(move |pixel| pixel * 3 + channel))
        .map(|at| input[at])
        .collect();
    let recorded = [
        ("input".to_owned(), vec![1, 3, height, width], channels_first),
        ("logits".to_owned(), vec![1, logits.len()], logits),
    ];
    save(&folder, "recorded.safetensors", &recorded);
    let printed = run_commands(mnc, &folder, &commands[1..]);
    assert!(printed.contains("1 of 1  within"), "{printed}");
    let names = fs::read_to_string(folder.path().join("names.toml")).expect("the page's commands write it");
    let page = fs::read_to_string(need::workspace().join("docs/from-pytorch.md")).expect("the page is there");
    let shown =
        page.lines().filter_map(|line| line.strip_prefix("    \"")).filter(|line| line.contains(" = "));
    let shown: Vec<String> = shown.map(|line| format!("\"{line}")).collect();
    assert_eq!(shown.len(), 2);
    for line in shown {
        assert!(names.lines().any(|other| other == line), "{line} is not in\n{names}");
    }
    assert!(folder.path().join("classify").exists(), "an executable is compiled");
}

fn save(folder: &Folder, name: &str, tensors: &[(String, Vec<usize>, Vec<f32>)]) {
    let bytes: Vec<Vec<u8>> =
        tensors.iter().map(|(.., numbers)| numbers.iter().flat_map(|x| x.to_le_bytes()).collect()).collect();
    let views = tensors.iter().zip(&bytes).map(|((name, shape, _), bytes)| {
        let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape.clone(), bytes);
        (name.clone(), view.expect("the bytes have the shape"))
    });
    let file = safetensors::serialize(views, None).expect("names are unique");
    folder.write(name, &file);
}
