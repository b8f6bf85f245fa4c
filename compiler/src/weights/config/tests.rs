mod pictures;

use super::*;
use crate::describe::builtin;

fn description() -> Description {
    builtin("mobilenet-v1").unwrap().description()
}

/// Every field of the built-in description that a configuration changes, with its new value; or the faults.
fn check(text: &str, expected: &[&str]) {
    let config = ModelConfig::parse(text, "c");
    check_changes(
        config.map(|config| move |description: &mut Description| config.apply(description)),
        expected,
    );
}

/// The same for a preprocessor's configuration.
fn check_preprocessor(text: &str, expected: &[&str]) {
    let config = PreprocessorConfig::parse(text, "p");
    check_changes(
        config.map(|config| move |description: &mut Description| config.apply(description)),
        expected,
    );
}

fn check_changes(apply: Result<impl FnOnce(&mut Description)>, expected: &[&str]) {
    let found: Vec<String> = match apply {
        Ok(apply) => {
            let mut changed = description();
            apply(&mut changed);
            fields(&changed)
                .into_iter()
                .zip(fields(&description()))
                .filter(|(a, b)| a != b)
                .map(|(a, _)| a)
                .collect()
        }
        Err(error) => error.faults().iter().map(ToString::to_string).collect(),
    };
    assert_eq!(found, expected);
}

fn fields(description: &Description) -> Vec<String> {
    let mut description = description.clone();
    let mut specs: Vec<String> = description
        .layers
        .iter_mut()
        .filter_map(|layer| layer.kind.spec())
        .map(|spec| format!("{:?} {:?}", spec.padding, spec.activation))
        .collect();
    specs.dedup();
    let input = description.input;
    let preprocess = &description.preprocess;
    vec![
        format!("input {}x{}x{}", input.height, input.width, input.channels),
        format!("classes {}", description.classes),
        format!("{:?}", description.rounding),
        format!("epsilon {}", description.batch_norm_epsilon),
        format!("padding {:?}", description.padding),
        format!("{:?}", preprocess.resize),
        format!("scale {}", preprocess.scale),
        format!("{} filter, rounded {:?}", preprocess.resample.name(), preprocess.crop_rounding),
        format!("{:?}", preprocess.channel_order),
        format!("fill {:?}", preprocess.fill),
        format!("mean {:?}", preprocess.mean),
        format!("std {:?}", preprocess.std),
        format!("layers {}", specs.join(", ")),
        format!("scores {:?}", description.scores),
    ]
}

#[test]
fn hugging_face() {
    check("{}", &[]);
    // What transformers writes for google/mobilenet_v1_0.75_192, and keys of no interest.
    check(
        r#"{"architectures": ["MobileNetV1ForImageClassification"], "model_type": "mobilenet_v1",
            "classifier_dropout_prob": 0.999, "depth_multiplier": 0.75, "hidden_act": "relu6", "image_size": 192,
            "initializer_range": 0.02, "layer_norm_eps": 0.001, "min_depth": 8, "num_channels": 3, "tf_padding": true,
            "torch_dtype": "float32", "transformers_version": "4.27.0.dev0"}"#,
        &["input 192x192x3"],
    );
    check(
        r#"{"image_size": 96, "num_channels": 1, "min_depth": 4, "hidden_act": "relu", "tf_padding": false,
            "layer_norm_eps": 1e-5, "num_labels": 2, "id2label": {"1": "no", "0": "yes"}}"#,
        &[
            "input 96x96x1",
            "classes 2",
            "Floor { minimum: 4 }",
            "epsilon 0.00001",
            "padding Symmetric",
            "layers Symmetric Relu",
        ],
    );
    check(r#"{"id2label": {"0": "a", "1": "b", "2": "c"}, "hidden_act": null}"#, &["classes 3"]);
}

#[test]
fn timm() {
    // As timm writes it: what isn't said is timm's default, and that is neither TensorFlow's padding nor its epsilon.
    check(
        r#"{"architecture": "mobilenetv1_125", "num_classes": 1000, "num_features": 1280,
            "pretrained_cfg": {"input_size": [3, 256, 256], "crop_pct": 0.9, "mean": [0.485, 0.456, 0.406],
            "std": [0.229, 0.224, 0.225], "num_classes": 1000, "pool_size": [8, 8], "interpolation": "bicubic"}}"#,
        &[
            "input 256x256x3",
            "classes 1000",
            "Nearest { multiple: 8 }",
            "epsilon 0.00001",
            "padding Symmetric",
            "Cover(CropPct(0.9))",
            "bicubic filter, rounded Even",
            "mean [0.485, 0.456, 0.406]",
            "std [0.229, 0.224, 0.225]",
            "layers Symmetric Relu6",
        ],
    );
    check(
        r#"{"architecture": "net", "num_classes": 7, "model_args": {"num_classes": 1001, "pad_type": "same"}}"#,
        &[],
    );
    let channels = |text: &str| ModelConfig::parse(text, "c").unwrap().channels;
    let pretrained = r#""architecture": "mobilenetv2_100", "pretrained_cfg": {"input_size": [3, 32, 32]}"#;
    assert_eq!(channels(&format!("{{{pretrained}}}")), Some(3));
    assert_eq!(channels(&format!(r#"{{{pretrained}, "model_args": {{"in_chans": 1}}}}"#)), Some(1));
    let error = ModelConfig::parse(&format!(r#"{{{pretrained}, "in_chans": "grey"}}"#), "c").unwrap_err();
    assert!(error.to_string().contains("in_chans"), "{error}");
}

#[test]
fn alphas_and_labels() {
    let parse = |text: &str| ModelConfig::parse(text, "c").unwrap();
    for (text, alpha) in [
        (r#"{"architecture": "mobilenetv1_100"}"#, Some(1.0)),
        (r#"{"architecture": "mobilenetv1_125"}"#, Some(1.25)),
        (r#"{"architecture": "mobilenetv1_100h"}"#, Some(1.0)),
        (r#"{"architecture": "mobilenetv1_0"}"#, None),
        (r#"{"architecture": "resnet50"}"#, None),
        (r#"{"depth_multiplier": 1}"#, Some(1.0)),
        (r#"{"model_type": "mobilenet_v1"}"#, Some(1.0)),
        ("{}", None),
    ] {
        assert_eq!(parse(text).alpha(), alpha, "{text}");
    }
    let labels: Vec<String> = (0..12).map(|index| format!("label {index}")).collect();
    let by_index: serde_json::Map<String, serde_json::Value> =
        labels.iter().enumerate().map(|(index, label)| (index.to_string(), label.as_str().into())).collect();
    assert_eq!(parse(&serde_json::json!({"id2label": by_index}).to_string()).labels(), Some(labels.clone()));
    let timm = serde_json::json!({"architecture": "a", "pretrained_cfg": {"label_names": labels}});
    assert_eq!(parse(&timm.to_string()).labels(), Some(labels));
}

/// A file of timm's kind may have the names by number, as transformers writes them; what the weights were made of says nothing of
/// their classes.
#[test]
fn classes_and_labels_of_the_wrapper() {
    let parse = |keys: &str| {
        let config = ModelConfig::parse(&format!(r#"{{"architecture": "mobilenetv1_100", {keys}}}"#), "c")?;
        Ok::<_, crate::Error>((config.labels(), config.said().classes, {
            let mut description = builtin("mobilenet-v1").unwrap().description();
            config.apply(&mut description);
            description.classes
        }))
    };
    let labels = Some(vec!["cat".to_owned(), "dog".to_owned()]);
    assert_eq!(parse(r#""id2label": {"1": "dog", "0": "cat"}"#).unwrap(), (labels.clone(), true, 2));
    let both =
        r#""label_names": ["cat", "dog"], "id2label": {"0": "x"}, "pretrained_cfg": {"num_classes": 1000}"#;
    assert_eq!(parse(both).unwrap(), (labels, true, 2));
    assert_eq!(parse(r#""num_labels": 3"#).unwrap(), (None, true, 3));
    assert_eq!(parse(r#""num_labels": 3, "num_classes": 4"#).unwrap(), (None, true, 4));
    assert_eq!(parse(r#""pretrained_cfg": {"num_classes": 1000}"#).unwrap(), (None, false, 1001));
    assert_eq!(
        parse(r#""num_classes": 3, "id2label": {"0": "cat", "1": "dog"}"#).unwrap_err().to_string(),
        "c: found 2 labels, expected one for each of 3 classes"
    );
}

/// What stands in a configuration's place, and what editors put in front of it.
#[test]
fn files_that_are_no_json() {
    for (text, expected) in [
        ("", "c: found an empty file, expected JSON: download the file again"),
        (
            "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
            "c: found a Git LFS pointer, expected JSON: run `git lfs pull` in its repository",
        ),
        (
            "<!DOCTYPE html><html></html>",
            "c: found an HTML page, expected JSON: download the file itself, not the page that shows it",
        ),
        ("hello", "c:1:1: expected value"),
    ] {
        check(text, &[expected]);
    }
    let config = ModelConfig::parse("\u{feff}{\"image_size\": [96, 128]}", "c").unwrap();
    let resolution = config.resolution().unwrap();
    assert_eq!((resolution.height, resolution.width), (96, 128));
    check(
        r#"{"image_size": [96]}"#,
        &["c: image_size: found [96], expected a whole number from 1 to 16777216, or [height, width]"],
    );
}

#[test]
fn faults() {
    check("{", &["c:1:1: EOF while parsing an object"]);
    check("[1]", &["c: found [1], expected a JSON object"]);
    check(
        r#"{"model_type": "resnet", "depth_multiplier": -1, "image_size": 0, "num_channels": 2.5, "min_depth": "8",
            "hidden_act": "gelu", "tf_padding": 1, "layer_norm_eps": -0.1, "num_labels": 99999999999}"#,
        &[
            r#"c: model_type: found "resnet", expected "mobilenet_v1" or "mobilenet_v2"; for a description of another network leave the file out (--config none)"#,
            r#"c: min_depth: found "8", expected a whole number from 1 to 16777216"#,
            "c: depth_multiplier: found -1, expected a number above 0",
            "c: image_size: found 0, expected a whole number from 1 to 16777216, or [height, width]",
            "c: num_channels: found 2.5, expected a whole number from 1 to 16777216",
            r#"c: hidden_act: found "gelu", expected "relu", "relu6", "hard_swish" or "swish""#,
            "c: tf_padding: found 1, expected true or false",
            "c: layer_norm_eps: found -0.1, expected a number from 0 up",
            "c: num_labels: found 99999999999, expected a whole number from 1 to 16777216",
        ],
    );
    let expected = "expected an object of names with the keys 0, 1, 2 and so on";
    check(
        r#"{"id2label": {"0": "a", "2": "b"}}"#,
        &[&format!(r#"c: id2label: found {{"0":"a","2":"b"}}, {expected}"#)],
    );
    check(
        r#"{"num_labels": 3, "id2label": {"0": "a"}}"#,
        &["c: found 1 labels, expected one for each of 3 classes"],
    );
    check(
        r#"{"architecture": "mobilenetv1_100", "model_args": {"pad_type": "reflect"},
            "pretrained_cfg": {"input_size": [3, 224], "crop_pct": 1.5, "std": [0]}}"#,
        &[
            "c: pretrained_cfg: input_size: found [3,224], expected [channels, height, width]",
            "c: pretrained_cfg: crop_pct: found 1.5, expected a number from 0.25 to 1",
            "c: pretrained_cfg: std: found [0], expected an array of numbers above 0",
            r#"c: model_args: pad_type: found "reflect", expected "same", "valid" or """#,
        ],
    );
    check(
        &format!(r#"{{"hidden_act": "{}"}}"#, "x".repeat(1_000_000)),
        &[&format!(
            r#"c: hidden_act: found "{}..., expected "relu", "relu6", "hard_swish" or "swish""#,
            "x".repeat(59)
        )],
    );
}

#[test]
fn preprocessors() {
    // google/mobilenet_v1_1.0_224: what the description has already.
    check_preprocessor(
        r#"{"crop_size": {"height": 224, "width": 224}, "do_center_crop": true, "do_normalize": true,
            "do_rescale": true, "do_resize": true, "feature_extractor_type": "MobileNetV1FeatureExtractor",
            "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5], "resample": 2,
            "rescale_factor": 0.00392156862745098, "size": {"shortest_edge": 256}}"#,
        &[],
    );
    check_preprocessor("{}", &[]);
    check_preprocessor(
        r#"{"size": {"height": 96, "width": 128}, "do_normalize": false, "do_rescale": false}"#,
        &["input 96x128x3", "Stretch(Ratio(1.0))", "scale 1", "mean [0.0, 0.0, 0.0]", "std [1.0, 1.0, 1.0]"],
    );
    check_preprocessor(
        r#"{"size": 182, "crop_size": 160, "image_mean": 0, "image_std": 0.25}"#,
        &["input 160x160x3", "Cover(Ratio(1.1375))", "mean [0.0, 0.0, 0.0]", "std [0.25, 0.25, 0.25]"],
    );
    check_preprocessor(
        r#"{"size": [96, 128], "resample": 3, "do_flip_channel_order": true, "future_key": 1}"#,
        &["input 96x128x3", "Stretch(Ratio(1.0))", "bicubic filter, rounded Down", "Bgr"],
    );
    check_preprocessor(
        r#"{"size": {"height": 256, "width": 256}, "crop_size": {"height": 224, "width": 224}, "resample": 0}"#,
        &["Stretch(Ratio(1.1428571428571428))", "nearest filter, rounded Down"],
    );
    check_preprocessor(r#"{"do_resize": false, "do_center_crop": false, "resample": 3}"#, &["Keep"]);
    check_preprocessor(r#"{"do_resize": false, "crop_size": 160}"#, &["input 160x160x3", "Crop"]);
    // Within another file, as newer versions write it.
    check_preprocessor(
        r#"{"image_processor": {"size": {"shortest_edge": 182}, "crop_size": 160}, "processor_class": "X"}"#,
        &["input 160x160x3", "Cover(Ratio(1.1375))"],
    );
    check_preprocessor(r#"{"crop_size": {"height": 160, "width": 160}}"#, &["input 160x160x3"]);
    check_preprocessor(
        r#"{"size": {"height": 96, "width": 96}, "crop_size": 96}"#,
        &["input 96x96x3", "Stretch(Ratio(1.0))"],
    );
}

#[test]
fn preprocessors_that_cannot_be_followed() {
    check_preprocessor(
        r#"{"resample": 6, "do_resize": 0, "do_rescale": 1, "rescale_factor": 0, "image_std": [0.5, 0]}"#,
        &[
            "p: do_resize: found 0, expected true or false",
            "p: resample: found 6, expected 0 (nearest), 1 (lanczos), 2 (bilinear), 3 (bicubic), 4 (box) or 5 (hamming)",
            "p: do_rescale: found 1, expected true or false",
            "p: rescale_factor: found 0, expected a number from 1e-9 to 1e9",
            "p: image_std: found [0.5,0], expected a number or an array of numbers, from 1e-9 to 1e9",
        ],
    );
    check_preprocessor(
        r#"{"size": {"height": 256, "width": 256}, "crop_size": {"height": 224, "width": 160}}"#,
        &[
            "p: crop_size: found 224x160, expected at most the 256x256 of size, at least a quarter, and of its proportions",
        ],
    );
    check_preprocessor(
        r#"{"size": {"shortest_edge": 256}, "crop_size": [192, 256]}"#,
        &["p: crop_size: found 192x256 with a shortest_edge, expected a square"],
    );
    check_preprocessor(
        r#"{"do_solarize": true, "crop_margin": 3, "zoom_size": 2, "do_grayscale": true, "do_align": false, "crop_pct": 0.9}"#,
        &[
            "p: crop_margin: found 3, expected no such key: mnc doesn't know it, and by its name it changes pictures; take the key out, or say it in a description's [preprocess] and leave the file out (--preprocessor none)",
            "p: do_grayscale: found true, expected null or false: mnc can't do what this key asks for; take the key out, or say it in a description's [preprocess] and leave the file out (--preprocessor none)",
            "p: do_solarize: found true, expected no such key: mnc doesn't know it, and by its name it changes pictures; take the key out, or say it in a description's [preprocess] and leave the file out (--preprocessor none)",
            "p: zoom_size: found 2, expected no such key: mnc doesn't know it, and by its name it changes pictures; take the key out, or say it in a description's [preprocess] and leave the file out (--preprocessor none)",
            "p: crop_pct: found 0.9, expected none: the class that is named doesn't read it",
        ],
    );
    check_preprocessor(
        r#"{"do_flip_channel_order": true, "image_mean": [0.485, 0.456, 0.406], "image_std": [1, 1, 1]}"#,
        &["p: do_flip_channel_order: found true, expected false, or the same mean and std for all channels"],
    );
    check_preprocessor(
        r#"{"size": {"shortest_edge": 128}, "crop_size": 224}"#,
        &["p: size: shortest_edge: found 128, expected at least 224, the side that is cut out"],
    );
    check_preprocessor(
        r#"{"size": {"shortest_edge": 16777216}, "crop_size": 224}"#,
        &["p: size: shortest_edge: found 16777216, expected at most 896, 4 times what is cut out"],
    );
    check_preprocessor(
        r#"{"size": {"shortest_edge": 128}, "do_center_crop": false}"#,
        &[
            "p: do_center_crop: found false with a size by its shortest_edge, expected true: a network's input has one size",
        ],
    );
    check_preprocessor(
        r#"{"crop_size": {"shortest_edge": 128}}"#,
        &[r#"p: crop_size: found {"shortest_edge":128}, expected height and width"#],
    );
    for (bound, size) in [
        ("longest_edge", r#"{"longest_edge":128}"#),
        ("longest_edge", r#"{"longest_edge":300,"shortest_edge":256}"#),
        ("max_height", r#"{"max_height":9,"max_width":9}"#),
        ("max_width", r#"{"height":9,"max_width":9}"#),
    ] {
        let expected = format!(
            "height and width, or shortest_edge: with {bound} images have many sizes, and a network's input has one; say \
             resize = \"border\" or \"stretch\" in a description's [preprocess] and leave the file out (--preprocessor none)"
        );
        for key in ["size", "crop_size"] {
            check_preprocessor(
                &format!(r#"{{"{key}": {size}}}"#),
                &[&format!("p: {key}: found {size}, expected {expected}")],
            );
        }
    }
    for size in ["[224]", "-224", "2.5e9"] {
        let found = if size == "2.5e9" { "2500000000.0" } else { size };
        let expected = "height and width, or shortest_edge and no other, from 1 to 16777216";
        check_preprocessor(
            &format!(r#"{{"size": {size}}}"#),
            &[&format!("p: size: found {found}, expected {expected}")],
        );
    }
    check_preprocessor(
        r#"{"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5]}"#,
        &["p: image_std: found 1 numbers, expected 3 as in image_mean"],
    );
}

/// A layer that says its padding itself keeps it, and a linear one stays linear.
#[test]
fn layers_that_differ() {
    let mut changed = description();
    let set = |description: &mut Description, index: usize, padding, activation| {
        let spec = description.layers[index].kind.spec_mut().unwrap();
        (spec.padding, spec.activation) = (padding, activation);
    };
    set(&mut changed, 0, Padding::Valid, Activation::None);
    let mut expected = changed.clone();
    ModelConfig::parse(r#"{"tf_padding": false, "hidden_act": "relu"}"#, "c").unwrap().apply(&mut changed);
    expected.padding = Padding::Symmetric;
    for index in 1..expected.layers.len() - 2 {
        set(&mut expected, index, Padding::Symmetric, Activation::Relu);
    }
    assert_eq!(changed, expected);
}

/// Whatever the text: a result, no panic.
#[test]
fn arbitrary_text() {
    use crate::random::Random;
    let valid = r#"{"architecture": "mobilenetv1_100", "pretrained_cfg": {"input_size": [3, 8, 8], "mean": [0.5]},
        "size": {"shortest_edge": 9}, "crop_size": 8, "image_mean": [0.5], "id2label": {"0": "a"}, "image_size": 8}"#;
    let mut random = Random::new(13);
    for _ in 0..5_000 {
        let mut bytes = valid.as_bytes().to_vec();
        for _ in 0..=random.bits() % 3 {
            let at = random.bits() as usize % bytes.len();
            bytes[at] = br#"0123456789[]{},:"-.e"#[random.bits() as usize % 20];
        }
        let text = String::from_utf8(bytes).unwrap();
        if let Ok(config) = ModelConfig::parse(&text, "c") {
            config.apply(&mut description());
        }
        if let Ok(config) = PreprocessorConfig::parse(&text, "p") {
            config.apply(&mut description());
        }
    }
}

/// The rule of transformers' `ImageClassificationPipeline`, and what it doesn't know: a regression has no probabilities.
#[test]
fn outputs_are_shown_as_the_network_was_trained() {
    check(r#"{"num_labels": 1}"#, &["classes 1", "scores Some(Sigmoid)"]);
    check(r#"{"id2label": {"0": "cat"}}"#, &["classes 1", "scores Some(Sigmoid)"]);
    let single = r#"{"num_labels": 1, "problem_type": "single_label_classification"}"#;
    check(single, &["classes 1", "scores Some(Sigmoid)"]);
    check(r#"{"num_labels": 1, "problem_type": "regression"}"#, &["classes 1", "scores Some(Values)"]);
    check(r#"{"num_labels": 3, "problem_type": "regression"}"#, &["classes 3", "scores Some(Values)"]);
    let multi = r#"{"num_labels": 2, "problem_type": "multi_label_classification"}"#;
    check(multi, &["classes 2", "scores Some(Sigmoid)"]);
    check(r#"{"num_labels": 2, "problem_type": null}"#, &["classes 2"]);
    check(r#"{"problem_type": "single_label_classification"}"#, &["scores Some(Softmax)"]);
    check(r#"{"architecture": "x", "num_classes": 1}"#, &["classes 1", "scores Some(Sigmoid)"]);
    check(
        r#"{"architecture": "x", "num_classes": 4, "problem_type": "multi_label_classification"}"#,
        &["classes 4", "scores Some(Sigmoid)"],
    );
    check(
        r#"{"problem_type": "ranking"}"#,
        &[
            r#"c: problem_type: found "ranking", expected "single_label_classification" or "multi_label_classification" or "regression""#,
        ],
    );
}

/// Of a built-in network's description what the configuration changes in its layers.
fn check_layers(network: &str, text: &str, expected: &[&str]) {
    let before = builtin(network).unwrap().description();
    let mut after = before.clone();
    ModelConfig::parse(text, "c").unwrap_or_else(|error| panic!("{error}")).apply(&mut after);
    let graph = |description: &Description| {
        let graph =
            crate::graph::Graph::build(description, &crate::graph::Knobs { alpha: 0.5, resolution: None });
        let graph = graph.unwrap_or_else(|error| panic!("{error}"));
        let line = |node: &crate::graph::Node| {
            let origin = node.origin?;
            let filter = graph.filter(node)?;
            Some(format!("{}.{} {:?} {}", origin.stage, origin.block, origin.role, filter.n))
        };
        graph.nodes.iter().filter_map(line).collect::<Vec<String>>()
    };
    let (before, after) = (graph(&before), graph(&after));
    let mut found: Vec<String> =
        after.iter().filter(|line| !before.contains(line)).map(|line| format!("+ {line}")).collect();
    found.extend(before.iter().filter(|line| !after.contains(line)).map(|line| format!("- {line}")));
    assert_eq!(found, expected, "{text}");
}

#[test]
fn layers_of_mobilenet_v2() {
    // What transformers writes by default.
    let text = r#"{"architectures": ["MobileNetV2ForImageClassification"], "depth_divisible_by": 8,
        "depth_multiplier": 0.5, "expand_ratio": 6.0, "finegrained_output": true, "first_layer_is_expansion": true,
        "hidden_act": "relu6", "layer_norm_eps": 0.001, "min_depth": 8, "model_type": "mobilenet_v2",
        "output_stride": 32, "tf_padding": true}"#;
    check_layers("mobilenet-v2", text, &[]);
    check_layers("mobilenet-v2", r#"{"model_type": "mobilenet_v2"}"#, &[]);
    let v2 = |key: &str| format!(r#"{{"model_type": "mobilenet_v2", {key}}}"#);
    check_layers(
        "mobilenet-v2",
        &v2(r#""first_layer_is_expansion": false"#),
        &["+ 0.0 Expand 16", "+ 0.0 Project 8", "- 0.0 Pointwise 8"],
    );
    check_layers(
        "mobilenet-v2",
        &v2(r#""finegrained_output": false"#),
        &["+ 0.0 Head 640", "- 0.0 Head 1280"],
    );
    let d = r#"{"architecture": "mobilenetv2_110d"}"#;
    let expected = [
        "+ 0.0 Stem 32",
        "+ 0.0 Depthwise 32",
        "+ 1.2 Expand 96",
        "+ 1.2 Depthwise 96",
        "+ 1.2 Project 16",
        "+ 2.3 Expand 96",
        "+ 2.3 Depthwise 96",
        "+ 2.3 Project 16",
        "+ 3.4 Expand 192",
        "+ 3.4 Depthwise 192",
        "+ 3.4 Project 32",
        "+ 4.3 Expand 288",
        "+ 4.3 Depthwise 288",
        "+ 4.3 Project 48",
        "+ 5.3 Expand 480",
        "+ 5.3 Depthwise 480",
        "+ 5.3 Project 80",
        "- 0.0 Stem 16",
        "- 0.0 Depthwise 16",
    ];
    check_layers("mobilenet-v2", d, &expected);
    check_layers("mobilenet-v1", r#"{"architecture": "mobilenetv1_100h"}"#, &["+ 0.0 Head 1024"]);
    // Another network than the file is of keeps its layers.
    check_layers("mobilenet-v1", &v2(r#""first_layer_is_expansion": false"#), &[]);
}

#[test]
fn keys_of_mobilenet_v2_that_cannot_be_followed() {
    check(
        r#"{"model_type": "mobilenet_v2", "output_stride": 24, "expand_ratio": 0.5, "min_depth": 0}"#,
        &[
            "c: min_depth: found 0, expected a whole number from 1 to 16777216",
            "c: expand_ratio: found 0.5, expected a number from 1 to 64",
            "c: output_stride: found 24, expected 8, 16 or 32",
        ],
    );
}

#[test]
fn architectures() {
    let network =
        |text: &str| ModelConfig::parse(text, "c").unwrap().architecture().map(|found| found.builtin());
    for (name, expected) in [
        ("mobilenetv1_100h", "mobilenet-v1"),
        ("mobilenetv2_140", "mobilenet-v2"),
        ("mobilenetv3_large_075", "mobilenet-v3-large"),
        ("mobilenetv3_rw", "mobilenet-v3-large"),
        ("mobilenet_v3_small", "mobilenet-v3-small"),
        ("mobilenetv3_small_050", "mobilenet-v3-small"),
        ("tf_mobilenetv3_large_100", "mobilenet-v3-large"),
        ("tf_mobilenetv3_large_minimal_100", "mobilenet-v3-large-minimalistic"),
        ("tf_mobilenetv3_small_minimal_100", "mobilenet-v3-small-minimalistic"),
        ("mobilenetv4_conv_small_050", "mobilenet-v4-conv-small"),
        ("mobilenetv4_conv_medium", "mobilenet-v4-conv-medium"),
        ("mobilenetv4_conv_large", "mobilenet-v4-conv-large"),
    ] {
        let found = network(&format!(r#"{{"architecture": "{name}"}}"#)).unwrap().unwrap();
        assert_eq!(found.name, expected);
    }
    for (key, expected) in [
        (r#""architectures": ["MobileNetV2ForImageClassification"]"#, "mobilenet-v2"),
        (r#""model_type": "mobilenet_v1""#, "mobilenet-v1"),
    ] {
        assert_eq!(network(&format!("{{{key}}}")).unwrap().unwrap().name, expected);
    }
    assert!(network("{}").is_none());
    for text in [
        r#"{"architecture": "mobilenetv4_hybrid_medium"}"#,
        r#"{"architecture": "mobilenetv4_conv_aa_large"}"#,
        r#"{"architecture": "mobilenetv2_100x"}"#,
        r#"{"architecture": "mobilenetv2_110h"}"#,
        r#"{"architecture": "mobilenetv1_"}"#,
        r#"{"architectures": ["MobileNetV2ForSemanticSegmentation"], "model_type": "mobilenet_v2"}"#,
    ] {
        assert!(network(text).unwrap().is_err(), "{text}");
    }
    assert_eq!(
        network(r#"{"architecture": "mobilenetv4_hybrid_large"}"#).unwrap().unwrap_err(),
        "found \"mobilenetv4_hybrid_large\", expected MobileNetV1ForImageClassification or \
         MobileNetV2ForImageClassification of Hugging Face, or timm's mobilenetv1_*, mobilenetv2_*, mobilenetv3_*, \
         tf_mobilenetv3_* or mobilenetv4_conv_small, _medium or _large, or a description of the network \
         and these weights"
    );
}
