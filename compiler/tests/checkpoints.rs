//! Options about the tensors of checkpoints, in every command that takes weights; and what is told where there is no summary.

#[path = "support/command.rs"]
mod command;

use std::path::Path;

use command::mnc;
use mnc::describe::builtin;
use mnc::graph::{Graph, Knobs};
use mnc::weights::naming::Naming;
use mnc::weights::{Parameters, Weights};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};

/// A narrow network of two classes under timm's names, below a prefix, and tensors that no layer wants.
fn checkpoint(path: &Path, prefix: &str, more: &[&str]) {
    let mut description = builtin("mobilenet-v1").expect("it is built in").description();
    description.classes = 2;
    let graph = Graph::build(&description, &Knobs { alpha: 0.25, resolution: None }).expect("it is legal");
    let file = Parameters::random(&graph, 1).to_safetensors(&graph, &Naming::TIMM).expect("timm has names");
    assert!(Weights::parse(&file, "w").is_ok());
    let file = SafeTensors::deserialize(&file).expect("it is a safetensors file");
    let number = [0; 4];
    let others = more.iter().map(|name| {
        let view = TensorView::new(Dtype::F32, vec![1, 1, 1, 1], &number).expect("a number has four bytes");
        ((*name).to_owned(), view)
    });
    let own = file.tensors().into_iter().map(|(name, view)| (format!("{prefix}{name}"), view));
    let bytes = safetensors::serialize(own.chain(others), None).expect("names are unique");
    std::fs::write(path, bytes).expect("the folder can be written");
}

const LAYER: &str = "blocks.5.3.conv_pw.weight";
const WARNING: &str =
    "1 of them named as layers are (\"blocks.5.3.conv_pw.weight\"): does the description lack a layer?";

/// The parts that a summary has, and a manifest; `-q` is quiet but for what may be a wrong network.
#[test]
fn what_is_left_out_is_told() {
    let folder = tempfile::tempdir().expect("a folder for temporary files");
    let folder = folder.path();
    checkpoint(&folder.join("w.safetensors"), "", &[LAYER, "epoch"]);
    checkpoint(&folder.join("fine.safetensors"), "module.", &["epoch"]);
    let compile = |weights: &str, more: &[&str]| {
        let base = ["compile", "mobilenet-v1", "--weights", weights, "--resolution", "32"];
        let (code, _, err) =
            mnc(folder, &base, &[&["--emit", "obj,manifest", "-o", "net.o"][..], more].concat());
        assert_eq!(code, 0, "{err}");
        let manifest = std::fs::read(folder.join("net.json")).expect("a manifest is written");
        let manifest: serde_json::Value = serde_json::from_slice(&manifest).expect("it is JSON");
        (err, manifest["notes"].clone())
    };
    let (err, notes) = compile("w.safetensors", &["--quiet"]);
    assert_eq!(err, format!("warning: {WARNING}\n"));
    let left = format!("left out: 2 tensors that no layer wants, 8 bytes: \"{LAYER}\", \"epoch\"");
    let classes = "classes: 2, as many as the weights' classifier has";
    assert_eq!(notes, serde_json::json!([classes, left, format!("WARNING: {WARNING}")]));
    let (err, notes) = compile("fine.safetensors", &["--quiet"]);
    assert_eq!(err, "");
    let prefix = "prefix: \"module.\" taken off the names";
    let left = "left out: 1 tensor that no layer wants, 4 bytes: \"epoch\"";
    assert_eq!(notes, serde_json::json!([prefix, classes, left]));
    let (err, _) = compile("w.safetensors", &[]);
    assert!(err.contains("WARNING") && !err.contains("warning:"), "{err}");

    // The others have no summary.
    let (code, _, err) = mnc(folder, &["cost", "fine.safetensors"], &[]);
    assert_eq!((code, err.as_str()), (0, ""));
    let (code, _, err) =
        mnc(folder, &["verify", "mobilenet-v1", "--weights", "w.safetensors", "--resolution", "32"], &[]);
    assert!(code == 0 && err.starts_with(&format!("warning: {WARNING}\n")), "{err}");
}

/// `--prefix`, `--strict` and `--features` where weights are read.
#[test]
fn every_command_takes_the_options() {
    let folder = tempfile::tempdir().expect("a folder for temporary files");
    let folder = folder.path();
    checkpoint(&folder.join("w.safetensors"), "model.", &["epoch"]);
    let bench = [
        "bench",
        "mobilenet-v1",
        "--weights",
        "w.safetensors",
        "--resolution",
        "32",
        "--rounds",
        "1",
        "--runs",
        "1",
    ];
    let profile =
        ["profile", "mobilenet-v1", "--weights", "w.safetensors", "--resolution", "32", "--runs", "1"];
    let commands = [&bench[..], &profile, &["cost", "w.safetensors"], &["tensors", "w.safetensors"]];
    for command in commands {
        let needs_linker = matches!(command[0], "bench" | "profile");
        if needs_linker && !command::has_compiler() {
            continue;
        }
        for more in [&["--prefix", "model."][..], &["--features"], &[]] {
            let (code, _, err) = mnc(folder, command, more);
            assert_eq!(code, 0, "{command:?} {more:?}: {err}");
        }
        let (code, _, err) = mnc(folder, command, &["--strict", "--features"]);
        assert_eq!(code, 1, "{command:?}: {err}");
        assert_eq!(
            err.lines().last(),
            Some(
                "error: w.safetensors: found 1 tensor that no layer wants (\"epoch\"), expected none: strict was asked for"
            )
        );
        let (code, _, err) = mnc(folder, command, &["--prefix", "ema."]);
        assert!(
            code == 1 && err.contains("error: prefix: found \"ema.\", expected what names in w.safetensors"),
            "{err}"
        );
    }
    let rows = |more: &[&str]| command::json(folder, &["tensors", "w.safetensors", "--json"], more);
    let (all, features) = (rows(&[]), rows(&["--features"]));
    let count = |document: &serde_json::Value| document["tensors"].as_array().expect("a list").len();
    assert_eq!(count(&all) - count(&features), 2, "the classifier's");
    assert_eq!(all["schema"], 1);
    // Of a network without weights the classifier alone can be left out.
    let (code, out, _) = mnc(folder, &["tensors", "mobilenet-v1", "--features"], &[]);
    assert!(code == 0 && !out.contains("dense_1"), "{out}");
    for (flag, more) in [("--prefix", &["--prefix", "a."][..]), ("--strict", &["--strict"])] {
        for command in ["cost", "tensors"] {
            let (code, _, err) = mnc(folder, &[command, "mobilenet-v1"], more);
            let expected = format!(
                "error: {flag}: found without weights, expected a folder or a file of weights as the network"
            );
            assert_eq!((code, err.lines().next()), (2, Some(&*expected)), "{command}");
        }
    }
}

/// `mnc tensors --match` of a file with two copies takes the one with the prefix, and finds the others too many if it is strict.
#[test]
fn a_proposal_takes_the_options() {
    let folder = tempfile::tempdir().expect("a folder for temporary files");
    let folder = folder.path();
    checkpoint(&folder.join("w.safetensors"), "student.", &["epoch"]);
    let found = |more: &[&str]| {
        mnc(folder, &["tensors", "mobilenet-v1", "--match", "w.safetensors", "-o", "names.toml"], more)
    };
    for (more, n_left) in
        [(&[][..], 1), (&["--prefix", "student."], 0), (&["--prefix", "student", "--strict"], 0)]
    {
        let (code, _, err) = found(more);
        assert_eq!(code, 0, "{err}");
        assert_eq!(err.contains("1 left over: epoch"), n_left == 1, "{more:?}: {err}");
    }
    std::fs::remove_file(folder.join("names.toml")).expect("it was written");
    let (code, _, err) = found(&["--strict"]);
    assert_eq!(
        (code, err.trim_end()),
        (
            1,
            "error: w.safetensors: found 1 tensor that no layer wants (\"epoch\"), expected none: strict was asked for"
        )
    );
    assert!(!folder.join("names.toml").exists());
    let (code, _, err) = found(&["--prefix", "teacher."]);
    assert!(
        code == 1 && err.contains("prefix: found \"teacher.\", expected what names in w.safetensors"),
        "{err}"
    );
}

/// A folder of checkpoints with names of somebody's own.
#[test]
fn explore_takes_names() {
    if !command::has_compiler() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder for temporary files");
    let folder = folder.path();
    let network = "name = \"tiny\"\nclasses = 2\ninput = { height = 8, width = 8, channels = 3 }\n[alpha]\nminimum = 1\n\
                   [[layer]]\nkind = \"conv\"\nfilters = 8\nbatch_norm = false\n[[layer]]\nkind = \"global_average_pool\"\n\
                   [[layer]]\nkind = \"dense\"\n";
    std::fs::write(folder.join("net.toml"), network).expect("the folder can be written");
    std::fs::create_dir(folder.join("trained")).expect("the folder can be written");
    let numbers = vec![0; 4 * 8 * 27];
    let tensors: [(&str, &[usize]); 4] =
        [("stem/w", &[8, 3, 3, 3]), ("stem/b", &[8]), ("head/w", &[2, 8]), ("head/b", &[2])];
    let views = tensors.map(|(name, shape)| {
        let bytes = &numbers[..4 * shape.iter().product::<usize>()];
        (name, TensorView::new(Dtype::F32, shape.to_vec(), bytes).expect("the bytes have the shape"))
    });
    let file = safetensors::serialize(views, None).expect("names are unique");
    std::fs::write(folder.join("trained/a.safetensors"), file).expect("the folder can be written");
    let names = "axes = \"OIHW\"\nconv_1.weight = \"stem/w\"\nconv_1.bias = \"stem/b\"\ndense_1.weight = \"head/w\"\ndense_1.bias = \"head/b\"\n";
    std::fs::write(folder.join("names.toml"), names).expect("the folder can be written");
    let explore = ["explore", "net.toml", "--weights-dir", "trained", "--resolution", "8", "--rounds", "1"];
    let (code, _, err) = mnc(folder, &explore, &[]);
    assert!(code == 1 && err.contains("found no weights of this network"), "{err}");
    let (code, out, err) = mnc(folder, &explore, &["--names", "names.toml"]);
    assert!(code == 0 && out.contains("1.0@8 "), "{out}{err}");
}
