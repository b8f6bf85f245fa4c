//! `mnc quantize` as a user meets it: a file and a report, the same for any number of threads, and what is refused.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use mnc::graph::{Graph, Knobs};
use mnc::quantize::file;
use mnc::weights::Parameters;
use mnc::weights::naming::Naming;
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
    let told = "resized to cover 37x37, then cropped; RGB from -1 to 1";
    assert!(text.contains(&format!("preprocessing  {told}")), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 120), "{text}");
    let written = bytes(folder.path(), "mobilenet-v1.int8.safetensors");
    let (network, provenance) = file::read(&written, "net", &graph()).unwrap();
    assert!(network.nodes.iter().filter(|node| node.integer.is_some()).count() == 29, "all but the input");
    assert!(provenance.sigma.is_some_and(|sigma| 0.0 < sigma));

    assert_eq!(stdout(folder.path(), NETWORK, &["-q", "-o", "quiet"]), "");
    assert!(bytes(folder.path(), "quiet") == written);

    let more = ["--threads", "3", "-o", "three.safetensors", "--images", PHOTOS];
    let document = json(folder.path(), NETWORK, &more);
    assert!(bytes(folder.path(), "three.safetensors") == written, "threads change the file");
    assert_eq!(document["preprocessing"], told);
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
        &[&["pooled.toml", "--keep-f32", "other"][..], &random].concat(),
        "other: found no such layer to keep in f32, expected one of those that the report of `mnc quantize` lists",
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
    for flag in ["--calibrate", "--images"] {
        let expected = "gone: found no such folder, expected one with pictures";
        check(&[&NETWORK[1..], &[flag, "gone"]].concat(), expected);
    }
    assert!(!folder.path().join("mobilenet-v1.int8.safetensors").exists(), "nothing is written");
}

/// Nothing takes the place of a picture that was read.
#[test]
fn pictures_are_inputs() {
    let folder = folder();
    let photos = folder.path().join("photos");
    fs::create_dir(&photos).unwrap();
    let photo = photos.join("cat.jpg");
    fs::copy(Path::new(PHOTOS).join("chelsea.jpg"), &photo).unwrap();
    let before = fs::read(&photo).unwrap();
    let compile = [&["compile"], &NETWORK[1..], &["--int8"]].concat();
    for (command, option) in [(NETWORK, "--calibrate"), (NETWORK, "--images"), (&compile[..], "--calibrate")]
    {
        let (code, _, error) =
            mnc(folder.path(), &[command, &[option, "photos", "-o", "photos/cat.jpg"]].concat());
        assert_eq!(code, 2, "{error}");
        assert!(error.contains("-o: photos/cat.jpg is an input, expected another file"), "{error}");
        assert!(fs::read(&photo).unwrap() == before, "{option}: the picture is as it was");
    }
    let (code, _, error) = mnc(folder.path(), &[NETWORK, &["-o", "-"]].concat());
    assert_eq!(code, 2, "{error}");
    assert!(error.contains("-o: found -, expected a file"), "{error}");
    let (code, out, warning) = mnc(folder.path(), &[NETWORK, &["--calibrate", "photos", "--json"]].concat());
    let expected = "warning: --calibrate: found one picture, which is little; 32 are enough\n";
    assert_eq!((code, &*warning), (0, expected));
    let document: Value = serde_json::from_str(&out).expect("one JSON document");
    assert_eq!(document["calibration"], "1 picture of photos");
}

/// int8 computes the channels of all groups as those of one: a small file makes no large program of that.
#[test]
fn many_groups_are_refused() {
    let folder = folder();
    let net = "name = \"net\"\nclasses = 2\ninput = { height = 2, width = 2, channels = 3 }\n\
               [[layer]]\nkind = \"pointwise\"\nfilters = 3000\n\
               [[layer]]\nkind = \"conv\"\nname = \"grouped\"\nfilters = 3000\ngroups = 1500\n\
               [[layer]]\nkind = \"global_average_pool\"\n";
    fs::write(folder.path().join("net.toml"), net).unwrap();
    let quantize = ["quantize", "net.toml", "--random-weights", "1"];
    stdout(folder.path(), &quantize, &["--keep-f32", "none", "-o", "whole"]);
    let compile = ["compile", "net.toml", "--emit", "obj", "-o", "net.o", "-q", "--weights"];
    let (code, _, error) = mnc(folder.path(), &[&compile[..], &["whole"]].concat());
    assert!(code != 0 && error.starts_with("error: grouped: found a filter of "), "{code}: {error}");
    assert!(error.contains("with weights of 0 for the other groups, as int8 computes them"), "{error}");
    stdout(folder.path(), &quantize, &["--keep-f32", "none,grouped", "-o", "kept"]);
    stdout(folder.path(), &compile, &["kept"]);
}

/// A layer without a form in integers stays f32, and so does one that the user keeps; a pool between layers in f32 joins them.
#[test]
fn layers_stay_f32() {
    let folder = folder();
    let net = "name = \"net\"\nclasses = 5\ninput = { height = 24, width = 24, channels = 3 }\n\
               [[layer]]\nkind = \"conv\"\nname = \"first\"\nfilters = 8\n[[layer]]\nkind = \"max_pool\"\n\
               [[layer]]\nkind = \"conv\"\nname = \"second\"\nfilters = 8\n[[layer]]\nkind = \"dense\"\n\
               [[layer]]\nkind = \"softmax\"\n";
    fs::write(folder.path().join("net.toml"), net).unwrap();
    let quantize = ["quantize", "net.toml", "--random-weights", "1"];
    let f32s = |document: &Value| -> Vec<String> {
        let layers = document["layers"].as_array().unwrap().iter();
        layers
            .filter(|layer| layer["scale"].is_null())
            .map(|layer| layer["name"].as_str().unwrap().to_owned())
            .collect()
    };
    let whole = json(folder.path(), &quantize, &["-o", "whole"]);
    let kept = json(folder.path(), &quantize, &["--keep-f32", "second", "-o", "kept"]);
    assert_eq!(f32s(&whole), ["dense_1", "softmax_1"], "the classifier's numbers go to a softmax");
    assert_eq!(f32s(&kept), ["first", "max_pool_1", "second", "dense_1", "softmax_1"]);
    for file in ["whole", "kept"] {
        stdout(folder.path(), &["verify", "net.toml", "--weights", file], &[]);
    }
}

/// With labels, how often both are right: from a file, from folders, and not where nobody says it.
#[test]
fn accuracy_beside_f32() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name);
    let net = "name = \"net\"\nclasses = 3\ninput = { height = 16, width = 16, channels = 3 }\n\
               [[layer]]\nkind = \"conv\"\nfilters = 8\n[[layer]]\nkind = \"global_average_pool\"\n\
               [[layer]]\nkind = \"dense\"\n";
    fs::write(path("net.toml"), net).unwrap();
    let quantize = ["quantize", "net.toml", "--random-weights", "1"];
    let accuracy = |more: &[&str]| json(folder.path(), &quantize, more)["images"]["accuracy"].clone();
    assert_eq!(accuracy(&["--images", PHOTOS]), Value::Null);
    let photo = |to: &Path| fs::copy(Path::new(PHOTOS).join("chelsea.jpg"), to).unwrap();
    for class in ["0", "0001", "2"] {
        fs::create_dir_all(path("classes").join(class)).unwrap();
        photo(&path("classes").join(class).join("same.jpg"));
    }
    // One picture under each class: each network is right once, whatever it says.
    let once = serde_json::json!({"pictures": 3, "int8_right": 1, "f32_right": 1});
    assert_eq!(accuracy(&["--images", "classes"]), once);
    let right: Vec<Value> = (0..3)
        .map(|class| {
            fs::write(path("labels.csv"), format!("0/same.jpg,{class}\n2/same.jpg\t{class}\n")).unwrap();
            accuracy(&["--images", "classes", "--image-labels", "labels.csv"])["f32_right"].clone()
        })
        .collect();
    assert_eq!(right.iter().filter(|right| **right == 2).count(), 1, "{right:?}");
    assert_eq!(right.iter().filter(|right| **right == 0).count(), 2, "{right:?}");
    let text = stdout(folder.path(), &quantize, &["--images", "classes"]);
    assert!(text.contains("right answer   of 3 in int8 1 (33.3 %), in f32 1 (33.3 %)"), "{text}");

    fs::rename(path("classes/0001"), path("classes/cat")).unwrap();
    let check = |network: &[&str], exit_code: i32, expected: &str| {
        let (code, _, error) = mnc(folder.path(), &[network, &["--images", "classes"]].concat());
        let error = error.split_whitespace().collect::<Vec<&str>>().join(" ");
        assert!(code == exit_code && error.contains(expected), "{code}: {error}");
    };
    check(&quantize, 1, "found label \"cat\", expected a number below 3 or the name of an output");
    let map = net.split("[[layer]]\nkind = \"global").next().unwrap();
    fs::write(path("map.toml"), map).unwrap();
    check(
        &["quantize", "map.toml", "--random-weights", "1"],
        2,
        "--images: found labels of pictures, expected a network with one output of several classes for them",
    );
}

/// Quantises and compiles a network: in one go, from the file that `mnc quantize` writes, and from that and the network's name. The
/// object, which is the same.
fn in_one_go_and_in_two(folder: &Path, network: &[&str], name: &str, how: &[&str]) -> Vec<u8> {
    let artefacts = ["-q", "--emit", "obj,header,manifest", "--name", "net", "-o"];
    let file = format!("{name}.int8.safetensors");
    stdout(folder, &[&["quantize"], network, how, &["-o", &file]].concat(), &[]);
    let compile = |numbers: &[&str], output: &str| {
        let output = format!("{name}.{output}");
        stdout(folder, &[&["compile"], numbers, &artefacts, &[&output]].concat(), &[]);
        ["o", "h"].map(|ending| bytes(folder, &format!("{output}.{ending}")))
    };
    let one = compile(&[network, &["--int8"], how].concat(), "one");
    let two = compile(&[&file], "two");
    assert!(one == two, "{name}: the file alone gives other bytes");
    if network[0].starts_with("mobilenet") {
        assert!(
            one == compile(&[network[0], "--weights", &file], "named"),
            "{name}: the file gives other bytes"
        );
    }
    let [object, _] = one;
    object
}

/// `mnc compile --int8` gives the bytes of `mnc quantize` and `mnc compile` of its file.
#[test]
fn in_one_go() {
    let folder = folder();
    let check = |name: &str, how: &[&str]| in_one_go_and_in_two(folder.path(), &NETWORK[1..], name, how);
    let usual = check("usual", &[]);
    assert!(usual != check("pairs", &["--pair-safe"]), "--pair-safe changes weights");
    assert!(usual != check("photos", &["--calibrate", PHOTOS]), "the pictures matter");
    let manifest: Value = serde_json::from_slice(&bytes(folder.path(), "usual.two.json")).unwrap();
    let inputs = manifest["inputs"].as_array().unwrap();
    assert!(inputs.iter().any(|input| input["file"] == "usual.int8.safetensors"), "{manifest:#}");

    let f32 = [&["compile"], &NETWORK[1..], &["--pair-safe"]].concat();
    let (code, _, error) = mnc(folder.path(), &f32);
    let expected = "--pair-safe: found without --int8, expected both: it says how int8 is made";
    assert!(code == 2 && error.contains(expected), "{error}");
    let again = ["compile", "mobilenet-v1", "--weights", "usual.int8.safetensors", "--int8"];
    let (code, _, error) = mnc(folder.path(), &again);
    let expected = "found a network in integers, expected its numbers in f32, before it was quantised";
    assert!(code == 1 && error.contains(expected), "{error}");
}

/// A file alone says of which network it is, with all that configurations and the names of tensors said of it.
#[test]
fn the_file_is_enough() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name);
    let described = stdout(folder.path(), &["describe", "mobilenet-v1"], &[]);
    fs::write(path("mine.toml"), described.replace("mobilenet-v1", "mine")).unwrap();
    let mine = [&["mine.toml"], &NETWORK[2..]].concat();
    in_one_go_and_in_two(folder.path(), &mine, "mine", &[]);
    // A description of yours is held against the file.
    let compile = ["compile", "mine.toml", "--weights", "mine.int8.safetensors", "--dump", "fused"];
    assert!(stdout(folder.path(), &compile, &[]).contains("conv_pw_13"));
    fs::write(
        path("mine.toml"),
        described.replace("mobilenet-v1", "mine").replace("\"same\"", "\"symmetric\""),
    )
    .unwrap();
    let (code, _, error) = mnc(folder.path(), &compile);
    assert!(code == 1 && error.contains("it was quantised from another network"), "{error}");

    // torchvision's names say padding, epsilon and pictures, and the tensors how many classes there are.
    let weights = |network: &str, naming: &Naming, classes: usize, file: &str| {
        let mut description = mnc::describe::builtin(network).unwrap().description();
        description.classes = classes;
        let graph = Graph::build(&description, &Knobs { alpha: 0.25, resolution: None }).unwrap();
        fs::write(path(file), Parameters::random(&graph, 1).to_safetensors(&graph, naming).unwrap()).unwrap();
    };
    weights("mobilenet-v2", &Naming::TORCHVISION, 5, "v2.safetensors");
    let network = ["mobilenet-v2", "--weights", "v2.safetensors", "--resolution", "64"];
    in_one_go_and_in_two(folder.path(), &network, "torch", &[]);
    let text = stdout(folder.path(), &["compile", "torch.int8.safetensors", "--dump", "description"], &[]);
    assert!(text.contains("classes 5") && text.contains("padding Symmetric"), "{text}");

    // A configuration that only the trained weights have beside them names the outputs.
    fs::create_dir(path("hf")).unwrap();
    weights("mobilenet-v1", &Naming::HUGGING_FACE, 3, "hf/model.safetensors");
    let config = r#"{"model_type": "mobilenet_v1", "image_size": 64, "hidden_act": "relu",
        "id2label": {"0": "cat", "1": "dog", "2": "fox"}}"#;
    fs::write(path("hf/config.json"), config).unwrap();
    let object = in_one_go_and_in_two(
        folder.path(),
        &["mobilenet-v1", "--weights", "hf/model.safetensors"],
        "hf",
        &[],
    );
    let has = |word: &[u8]| object.windows(word.len()).any(|bytes| bytes == word);
    assert!(has(b"\"fox\"") && !has(b"\"tench\""), "the labels are lost");
    // What is said beside the file is what it was quantised with, or refused.
    let other = ["compile", "hf.int8.safetensors", "--config", "none", "--dump", "fused"];
    let (code, _, error) = mnc(folder.path(), &other);
    assert!(code == 1 && error.contains("it was quantised from another network"), "{error}");
}

/// Who compiles to measure or to verify takes `--int8` as `mnc compile` does, for each member and instruction set.
#[test]
fn other_doors_quantise_too() {
    let folder = folder();
    let network = [&NETWORK[1..], &["--int8", "--pair-safe"]].concat();
    let short = ["--rounds", "1", "--runs", "1", "--warmup", "0"];
    let (code, out, error) = mnc(folder.path(), &[&["bench"], &network[..], &short].concat());
    assert_eq!(code, 0, "{error}");
    assert!(out.contains("integer peak of a core") && out.contains("GOP/s"), "{out}");
    assert!(!out.contains("GFLOP/s") && !error.contains("in pairs"), "{out}{error}");
    let members = ["--alpha", "0.25,0.125", "--json"];
    let (code, out, error) = mnc(
        folder.path(),
        &[&["bench", "mobilenet-v1", "--resolution", "32", "--int8"], &short[..], &members].concat(),
    );
    assert_eq!(code, 0, "{error}");
    let document: Value = serde_json::from_str(&out).expect("one JSON document");
    for (network, alpha) in document["networks"].as_array().unwrap().iter().zip([0.25, 0.125]) {
        assert!(network["alpha"] == alpha && network["latencies"]["is_int8"] == true, "{network:#}");
    }
    let svg = ["--runs", "1", "--svg", "roofline.svg"];
    let (code, out, error) = mnc(folder.path(), &[&["profile"], &network[..], &svg].concat());
    assert_eq!(code, 0, "{error}");
    assert!(out.contains("GOP/s") && out.contains("op/byte") && !out.contains("flop"), "{out}");
    let svg = String::from_utf8(bytes(folder.path(), "roofline.svg")).unwrap();
    assert!(
        svg.contains(">integer peak ") && svg.contains(", int8</text>") && !svg.contains("GFLOP"),
        "{svg}"
    );
    let verify = ["--threads", "2", "--runs", "1"];
    let report = json(folder.path(), &[&["verify"], &network[..], &verify].concat(), &[]);
    assert_eq!(report["is_right"], true, "{report:#}");
    for command in ["bench", "profile", "verify"] {
        let (code, _, error) = mnc(folder.path(), &[&[command], &NETWORK[1..], &["--pair-safe"]].concat());
        assert!(code == 2 && error.contains("--pair-safe: found without --int8"), "{command}: {error}");
    }
}

/// Weights are known by their content, and so is a description: whatever they are called, every command takes them for what they are.
#[test]
fn names_say_nothing() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name);
    stdout(folder.path(), NETWORK, &["-o", "net.int8.safetensors"]);
    fs::copy(path("net.int8.safetensors"), path("net.bin")).unwrap();
    let described = stdout(folder.path(), &["describe", "mobilenet-v1"], &[]);
    fs::write(path("net.txt"), described).unwrap();
    let outputs = |args: &[&str]| {
        ["net.int8.safetensors", "net.bin"].map(|name| {
            let args: Vec<&str> = args.iter().map(|arg| if *arg == "NET" { name } else { *arg }).collect();
            stdout(folder.path(), &args, &[]).replace(name, "NET")
        })
    };
    for args in [&["cost", "NET"][..], &["describe", "NET"], &["compile", "NET", "--dump", "fused"]] {
        let [named, other] = outputs(args);
        assert!(named == other, "{args:?}: {other}");
    }
    let short = ["--rounds", "1", "--runs", "1", "--warmup", "0", "--json"];
    let few = ["--alpha", "0.25", "--resolution", "32"];
    for (name, more) in [("net.bin", &[][..]), ("net.txt", &few)] {
        let (code, out, error) = mnc(folder.path(), &[&["bench", name], &short[..], more].concat());
        assert_eq!(code, 0, "{error}");
        let document: Value = serde_json::from_str(&out).expect("one JSON document");
        assert_eq!(document["networks"][0]["network"], "mobilenet-v1", "{name}");
    }
    let report = json(folder.path(), &["verify", "net.bin", "--threads", "2", "--runs", "1"], &[]);
    assert_eq!(report["is_right"], true, "{report:#}");
}
