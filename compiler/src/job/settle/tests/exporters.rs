//! What is known and assumed of weights of each exporter where no configuration lies beside them.

use super::*;
use crate::describe::{Padding, Resize, Rounding};
use crate::graph::Resolution;
use crate::graph::layer::Layer;
use crate::job::Opened;
use crate::weights::config::Relative;

/// A narrow network's file under a naming, alone in a folder.
fn alone(name: &str, naming: &Naming, path: &str) -> Memory {
    let (rows, _) = network(name, naming);
    Memory([(PathBuf::from(path), write(&rows))].into())
}

fn open_file(network: &str, files: &mut Memory, path: &str) -> Result<Opened> {
    opened(network, files, |request| request.numbers = Numbers::File(path.into()))
}

/// Rows and columns of padding before and behind each window that strides.
fn strided(opened: &Opened, side: usize) -> Vec<[usize; 2]> {
    let (alpha, _) = opened.alpha().unwrap();
    let resolution = Resolution { height: side, width: side };
    let graph = opened.job().graph(alpha, Some(resolution)).unwrap();
    let pads = graph.nodes.iter().filter_map(|node| match &node.layer {
        Layer::Conv { window, .. } | Layer::Depthwise { window, .. } if window.rows.stride == 2 => {
            assert_eq!(window.rows, window.columns);
            Some([window.rows.before, window.rows.after])
        }
        _ => None,
    });
    pads.collect()
}

/// Keras's MobileNet pads each depthwise layer that strides below and right alone, its first layer as TensorFlow does; its other
/// networks pad as TensorFlow does. The numbers are those of ZeroPadding2D((0, 1), (0, 1)), of `correct_pad` and of "same".
#[test]
fn keras_pads_odd_maps_its_own_way() {
    let (one, none) = ([1, 1], [0, 1]);
    for (name, side, expected) in [
        ("mobilenet-v1", 150, vec![none; 5]),
        ("mobilenet-v1", 300, vec![none; 5]),
        ("mobilenet-v1", 149, vec![one, none, none, none, none]),
        // 75, 38, 19, 10
        ("mobilenet-v2", 150, vec![none, one, none, one, none]),
        ("mobilenet-v2", 224, vec![none; 5]),
        // 75, 38, 19, 10; windows of 3, 3, 5 and 5.
        ("mobilenet-v3-small", 150, vec![none, one, none, [2, 2], [1, 2]]),
    ] {
        let opened =
            open_file(name, &mut alone(name, &Naming::KERAS, "w.safetensors"), "w.safetensors").unwrap();
        assert_eq!(strided(&opened, side), expected, "{name} at {side}");
    }
    let opened = open_file(
        "mobilenet-v1",
        &mut alone("mobilenet-v1", &Naming::SLIM, "w.safetensors"),
        "w.safetensors",
    );
    assert_eq!(strided(&opened.unwrap(), 150), [none, one, none, one, none]);
}

/// What Keras and TF-slim have in their code is known; how pictures were made is assumed.
#[test]
fn keras_and_slim_have_their_own_values() {
    for (name, naming, model, padding, rounding, resize) in [
        (
            "mobilenet-v1",
            &Naming::KERAS,
            "keras.applications MobileNet",
            Padding::Keras,
            Rounding::Floor { minimum: 1 },
            "Stretch(Ratio(1.0)) nearest",
        ),
        (
            "mobilenet-v2",
            &Naming::KERAS,
            "keras.applications MobileNetV2",
            Padding::Same,
            Rounding::NearestOfWhole { multiple: 8, minimum: 8 },
            "Stretch(Ratio(1.0)) nearest",
        ),
        (
            "mobilenet-v3-small",
            &Naming::KERAS,
            "keras.applications MobileNetV3Small",
            Padding::Same,
            Rounding::Nearest { multiple: 8 },
            "Stretch(Ratio(1.0)) nearest",
        ),
        (
            "mobilenet-v1",
            &Naming::SLIM,
            "TF-slim mobilenet_v1",
            Padding::Same,
            Rounding::Floor { minimum: 8 },
            "Stretch(CropPct(0.875)) bilinear",
        ),
        (
            "mobilenet-v3-large",
            &Naming::SLIM,
            "TF-slim mobilenet_v3",
            Padding::Same,
            Rounding::Nearest { multiple: 8 },
            "Stretch(CropPct(0.875)) bilinear",
        ),
    ] {
        // So wide that every rounding has the same channels: then the exporter's stays.
        let graph = Graph::build(&builtin(name).unwrap().description(), &Knobs::default()).unwrap();
        let file = Parameters::zeros(&graph).to_safetensors(&graph, naming).unwrap();
        let mut files = Memory([(PathBuf::from("w.safetensors"), file)].into());
        let opened = open_file(name, &mut files, "w.safetensors").unwrap();
        let job = opened.job();
        assert_eq!(job.configured.exporter.as_ref().unwrap().model, model);
        let found = job.description();
        assert_eq!(
            (found.padding, found.rounding, found.batch_norm_epsilon),
            (padding, rounding, 1e-3),
            "{model}"
        );
        let preprocess = &found.preprocess;
        assert_eq!(format!("{:?} {}", preprocess.resize, preprocess.resample.name()), resize, "{model}");
        assert_eq!((preprocess.mean[0], preprocess.std[0], preprocess.scale), (0.5, 0.5, 1.0 / 255.0));
        let whose = if naming.name == "keras" { "Keras's" } else { "TF-slim's" };
        let told = format!("preprocessing: no preprocessor_config.json, so {whose}");
        assert_eq!(job.assumed, [told], "{model}");
    }
}

/// A description says what it says: Keras's code adds the rest.
#[test]
fn a_described_network_of_keras() {
    let (rows, _) = network("mobilenet-v1", &Naming::KERAS);
    let text = builtin("mobilenet-v1").unwrap().text.to_owned();
    let silent: Vec<&str> = text.lines().filter(|line| !line.starts_with("padding")).collect();
    let silent = silent.join("\n").replace("name = \"mobilenet-v1\"", "name = \"mine\"");
    for (text, expected) in [(text, vec![[0, 1], [1, 1], [0, 1], [1, 1], [0, 1]]), (silent, vec![[0, 1]; 5])]
    {
        let mut files = Memory(
            [(PathBuf::from("w.safetensors"), write(&rows)), (PathBuf::from("net.toml"), text.into_bytes())]
                .into(),
        );
        let opened = open_file("net.toml", &mut files, "w.safetensors").unwrap();
        assert_eq!(strided(&opened, 150), expected);
        assert!(!matches!(opened.job().description().preprocess.resize, Resize::Stretch(_)), "it says it");
    }
}

/// Widths below the built-in network's minimum are Keras's own.
#[test]
fn keras_rounds_down_without_a_minimum() {
    let mut description = builtin("mobilenet-v1").unwrap().description();
    description.rounding = Rounding::Floor { minimum: 1 };
    let (rows, parameters) = network_of(&description, &Naming::KERAS);
    let (found, _) = read(&rows, |_| {}).unwrap();
    assert_eq!(found, parameters);
}

/// timm's V3 has two sorts of models of the same tensors.
#[test]
fn models_of_timm_that_tensors_do_not_tell_apart() {
    for (name, model) in
        [("mobilenet-v3-large", "mobilenetv3_large_100"), ("mobilenet-v3-small", "mobilenetv3_small_100")]
    {
        let values = |path: &str, config: Option<&str>| -> Result<(String, f64, f64)> {
            let mut files = alone(name, &Naming::TIMM, path);
            if let Some(config) = config {
                files.0.insert(Path::new(path).with_file_name("config.json"), config.as_bytes().to_vec());
            }
            let by_name = open_file(name, &mut files, path)?;
            let by_file = opened(path, &mut files, |_| {})?;
            let (graph, _) = by_name.graph()?;
            let target = crate::Target::rust();
            by_name.parameters(&graph, &crate::job::Settings::new(&target, "net"))?;
            assert_eq!(by_name.job().description(), by_file.job().description());
            let found = by_name.job().description();
            Ok((found.padding.to_string(), found.batch_norm_epsilon, found.preprocess.mean[0]))
        };
        let error = values("d/model.safetensors", None).unwrap_err().to_string();
        assert_eq!(
            error,
            format!(
                "d/model.safetensors: found tensors that timm's {model} and tf_{model} have, which differ in padding and epsilon; \
                 expected {{\"architecture\": \"{model}\"}} or the other in a config.json beside the file, or --config FILE"
            )
        );
        let (own, tensorflow) = (("symmetric".to_owned(), 1e-5, 0.485), ("same".to_owned(), 1e-3, 0.5));
        for (path, config, expected) in [
            (format!("{model}.ra_in1k.safetensors"), None, &own),
            (format!("tf_{model}-427764d5.safetensors"), None, &tensorflow),
            (format!("tf_{model}/model.safetensors"), None, &tensorflow),
            ("d/w.safetensors".to_owned(), Some(format!(r#"{{"architecture": "{model}"}}"#)), &own),
            ("d/w.safetensors".to_owned(), Some(format!(r#"{{"architecture": "tf_{model}"}}"#)), &tensorflow),
        ] {
            assert_eq!(&values(&path, config.as_deref()).unwrap(), expected, "{path}");
        }
        // Who says the two facts isn't asked.
        let mut files = alone(name, &Naming::TIMM, "w.safetensors");
        let text = builtin(name).unwrap().text;
        assert!(text.contains("padding") && text.contains("batch_norm_epsilon"));
        files.0.insert("net.toml".into(), text.as_bytes().to_vec());
        open_file("net.toml", &mut files, "w.safetensors").unwrap();
    }
}

/// A model that is built otherwise than the network of its family is known by its tensors, named or not.
#[test]
fn relatives_are_told_by_their_tensors() {
    let mut n_tried = 0;
    for network in crate::describe::BUILTIN {
        for relative in Relative::of(network.name) {
            let naming = Naming::by_name(relative.naming).unwrap();
            let mut description = network.description();
            relative.apply(&mut description);
            let graph = Graph::build(&description, &Knobs { alpha: 0.5, resolution: None }).unwrap();
            let parameters = Parameters::random(&graph, 3);
            let bytes = parameters.to_safetensors(&graph, naming).unwrap();
            let mut files = Memory([(PathBuf::from("w.safetensors"), bytes)].into());
            for opened in [
                open_file(network.name, &mut files, "w.safetensors"),
                opened("w.safetensors", &mut files, |_| {}),
            ] {
                let opened = opened.unwrap_or_else(|error| panic!("{}: {error}", relative.model));
                let (graph, _) = opened.graph().unwrap();
                assert_eq!(
                    opened.weights().unwrap().parameters(&graph, None).unwrap(),
                    parameters,
                    "{}",
                    relative.model
                );
                let told = texts(&opened.job().notes);
                assert_eq!(told, [format!("model: {}, by its tensors", relative.model)]);
                let exporter = opened.job().configured.exporter.as_ref().unwrap();
                assert!(relative.naming != "timm" || exporter.model == format!("timm {}", relative.model));
            }
            n_tried += 1;
        }
    }
    assert_eq!(n_tried, 15);
}

/// A configuration of another network than the one that is named.
#[test]
fn a_configuration_of_another_network() {
    let try_it = |network: &str, config: &str| {
        let mut files = alone("mobilenet-v1", &Naming::TIMM, "d/w.safetensors");
        files.0.insert("d/config.json".into(), config.as_bytes().to_vec());
        files.0.insert("net.toml".into(), MINE.replace("NAME", "mine").into_bytes());
        open_file(network, &mut files, "d/w.safetensors").map(|opened| texts(&opened.job().notes))
    };
    const MINE: &str = "name = \"NAME\"\nclasses = 2\n[[layer]]\nkind = \"global_average_pool\"\n[[layer]]\nkind = \"dense\"\n";
    let error = try_it("mobilenet-v1", r#"{"architecture": "mobilenetv2_100"}"#).unwrap_err().to_string();
    assert_eq!(
        error,
        "d/config.json: found \"mobilenetv2_100\", which is mobilenet-v2, expected a configuration of mobilenet-v1: compile \
         mobilenet-v2, or use --config none"
    );
    let error = try_it("mobilenet-v1", r#"{"architectures": ["MobileNetV2Model"]}"#).unwrap_err().to_string();
    assert!(error.starts_with("d/config.json: found \"MobileNetV2Model\", which is mobilenet-v2"), "{error}");
    let told = try_it("mobilenet-v1", r#"{"architecture": "resnet50"}"#).unwrap();
    assert_eq!(
        told,
        [
            "WARNING: the configuration is of \"resnet50\", which mnc doesn't know as mobilenet-v1: what it says was followed all \
          the same"
        ]
    );
    assert!(try_it("mobilenet-v1", r#"{"architecture": "mobilenetv1_125"}"#).unwrap().is_empty());
}
