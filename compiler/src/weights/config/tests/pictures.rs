//! What of pictures is read where the files leave it out, and what becomes of every key.

use super::*;
use crate::describe::Margin;

/// What timm leaves out of `pretrained_cfg` has timm's defaults, not the description's.
#[test]
fn timm_has_defaults_of_its_own() {
    let usual = ["mean [0.485, 0.456, 0.406]", "std [0.229, 0.224, 0.225]"];
    let timm = |cfg: &str| format!(r#"{{"architecture": "net", "pretrained_cfg": {{{cfg}}}}}"#);
    check(&timm(""), &[&["Cover(CropPct(0.875))", "bicubic filter, rounded Even"][..], &usual].concat());
    check(
        &timm(
            r#""interpolation": "lanczos", "crop_mode": "squash", "crop_pct": 0.95, "test_crop_pct": 1.0, "tag": "x""#,
        ),
        &[&["Stretch(CropPct(0.95))", "lanczos filter, rounded Even"][..], &usual].concat(),
    );
    let expected = r#""bicubic", "bilinear", "nearest", "lanczos", "box" or "hamming""#;
    check(
        r#"{"architecture": "net", "global_pool": "max", "model_args": {"output_stride": 16, "stem_size": 16, "foo": 1},
            "pretrained_cfg": {"interpolation": "random", "crop_mode": "tiles", "crop_extra": 3, "label_offset": 1}}"#,
        &[
            r#"c: global_pool: found "max", expected null or "avg": mnc can't do what this key asks for; take the key out, or say it in a description (mnc describe) and leave the file out (--config none)"#,
            "c: model_args: output_stride: found 16, expected null or false: mnc can't do what this key asks for; take the key out, or say it in a description (mnc describe) and leave the file out (--config none)",
            "c: model_args: stem_size: found 16, expected null or false: mnc can't do what this key asks for; take the key out, or say it in a description (mnc describe) and leave the file out (--config none)",
            "c: pretrained_cfg: crop_extra: found 3, expected no such key: mnc doesn't know it, and by its name it changes pictures; take the key out, or say it in a description (mnc describe) and leave the file out (--config none)",
            "c: pretrained_cfg: label_offset: found 1, expected null or false: mnc can't do what this key asks for; take the key out, or say it in a description (mnc describe) and leave the file out (--config none)",
            &format!(r#"c: pretrained_cfg: interpolation: found "random", expected {expected}"#),
            r#"c: pretrained_cfg: crop_mode: found "tiles", expected "center", "squash" or "border""#,
        ],
    );
}

/// timm's border is the mean, rounded as Python does.
#[test]
fn timm_puts_pictures_on_a_border() {
    let border = |more: &str| {
        format!(
            r#"{{"architecture": "net", "pretrained_cfg": {{"crop_mode": "border", "crop_pct": 1.0{more}}}}}"#
        )
    };
    check(
        &border(""),
        &[
            "Border(CropPct(1.0))",
            "bicubic filter, rounded Even",
            "fill [124, 116, 104]",
            "mean [0.485, 0.456, 0.406]",
            "std [0.229, 0.224, 0.225]",
        ],
    );
    check(
        &border(r#", "mean": [0.5, 0.5, 0.5], "std": [1, 1, 1]"#),
        &[
            "Border(CropPct(1.0))",
            "bicubic filter, rounded Even",
            "fill [128, 128, 128]",
            "std [1.0, 1.0, 1.0]",
        ],
    );
    check(
        &border(r#", "mean": [127, 127, 127]"#),
        &[
            r#"c: pretrained_cfg: mean: found [127,127,127], expected numbers from 0 to 1, the border of crop_mode "border""#,
        ],
    );
}

/// Files of old versions have all of their keys at the top, with or without the architecture.
#[test]
fn timm_of_old_versions_is_flat() {
    let keys = r#""num_classes": 1001, "input_size": [3, 192, 160], "pool_size": [6, 5], "crop_pct": 0.9,
        "interpolation": "bilinear", "mean": [0.4, 0.5, 0.6], "std": [0.1, 0.2, 0.3], "first_conv": "conv_stem", "classifier": "classifier""#;
    let expected = [
        "input 192x160x3",
        "Cover(CropPct(0.9))",
        "bilinear filter, rounded Even",
        "mean [0.4, 0.5, 0.6]",
        "std [0.1, 0.2, 0.3]",
    ];
    let [input, others @ ..] = expected;
    check(&format!("{{{keys}}}"), &[&[input], &others[..]].concat());
    check(
        &format!(r#"{{"architecture": "timm/mobilenetv2_100.ra_in1k", {keys}}}"#),
        &[
            &[input, "Nearest { multiple: 8 }", "epsilon 0.00001", "padding Symmetric"],
            &others[..],
            &["layers Symmetric Relu6"],
        ]
        .concat(),
    );
    // A single one is enough; the others have timm's defaults.
    check(
        r#"{"interpolation": "bilinear"}"#,
        &[
            "Cover(CropPct(0.875))",
            "bilinear filter, rounded Even",
            "mean [0.485, 0.456, 0.406]",
            "std [0.229, 0.224, 0.225]",
        ],
    );
    let named = |name: &str| {
        let config = ModelConfig::parse(&format!(r#"{{"architecture": "{name}"}}"#), "c").unwrap();
        (config.architecture().unwrap().network(), config.alpha(), config.epsilon)
    };
    let large = Some("mobilenet-v3-large");
    assert_eq!(named("hf-hub:timm/tf_mobilenetv3_large_075.in1k"), (large, Some(0.75), Some(1e-3)));
    assert_eq!(named("mobilenetv3_large_100_miil"), (large, Some(1.0), Some(1e-5)));
    assert_eq!(named("mobilenetv3_rw.rmsp_in1k"), (large, Some(1.0), Some(1e-3)));
    // torchvision's models by a file that says how their pictures are.
    let torchvision = |more: &str| {
        let mut after = description();
        let text = format!(r#"{{"architecture": "mobilenet_v2"{more}}}"#);
        ModelConfig::parse(&text, "c").unwrap().apply(&mut after);
        after.preprocess
    };
    let usual = torchvision("");
    let own = torchvision(r#", "pretrained_cfg": {"mean": [0.5, 0.5, 0.5], "crop_pct": 1.0}"#);
    assert_eq!((&usual.mean[..], &own.mean[..]), (&[0.485, 0.456, 0.406][..], &[0.5; 3][..]));
    assert_eq!((usual.std, usual.resample), (own.std, own.resample));
    assert_eq!(own.resize, Resize::Cover(Margin::CropPct(1.0)));
}

/// There is a mean and a deviation for each channel, or the file says which has too few.
#[test]
fn each_channel_has_its_numbers() {
    let grey =
        |mean: &str| format!(r#"{{"architecture": "net", "in_chans": 1, "pretrained_cfg": {{{mean}}}}}"#);
    let numbers = |text: &str| ModelConfig::parse(text, "c").map(|config| (config.mean, config.std));
    let found = numbers(&grey(r#""mean": [0.25, 0.5, 0.75], "std": [0.5, 0.5, 0.5]"#)).unwrap();
    // As timm's loader does.
    assert_eq!(found, (Some(vec![0.5]), Some(vec![0.5])));
    let three = r#"{"architecture": "net", "pretrained_cfg": {"mean": [0.5], "std": [0.25]}}"#;
    assert_eq!(numbers(three).unwrap(), (Some(vec![0.5; 3]), Some(vec![0.25; 3])));
    check(
        r#"{"architecture": "net", "pretrained_cfg": {"mean": [0.5, 0.5], "std": [1, 1, 1, 1], "in_chans": 3}}"#,
        &[
            "c: pretrained_cfg: mean: found 2 numbers, expected 3, one for each channel of the input",
            "c: pretrained_cfg: std: found 4 numbers, expected 3, one for each channel of the input",
        ],
    );
    let preprocessor = |text: &str, channels| {
        let config = PreprocessorConfig::parse(text, "p").unwrap();
        config.check_channels(channels, "p").map_err(|error| error.to_string())
    };
    let halves = r#"{"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}"#;
    assert_eq!(preprocessor(halves, 3), Ok(()));
    assert_eq!(preprocessor(halves, 1), Ok(()));
    assert_eq!(preprocessor(r#"{"image_mean": 0.5, "image_std": 0.5}"#, 4), Ok(()));
    assert!(preprocessor(halves, 2).is_err());
    let one = r#"{"image_mean": [0.5], "image_std": [0.5]}"#;
    assert!(
        preprocessor(one, 3)
            .unwrap_err()
            .ends_with("p: image_std: found 1 numbers, expected 3, one for each channel of the input")
    );
    let class = r#"{"image_processor_type": "PoolFormerImageProcessor"}"#;
    assert!(preprocessor(class, 1).unwrap_err().contains("image_mean: found 3 numbers, expected 1"));
}

/// Padding to the size that the image has anyway is none.
#[test]
fn padding_that_is_none_is_followed() {
    let pad = |more: &str| format!(r#"{{"size": 256, "crop_size": 192, "do_pad": {more}}}"#);
    let cropped = ["input 192x192x3", "Cover(Ratio(1.3333333333333333))"];
    check_preprocessor(&pad("false"), &cropped);
    check_preprocessor(&pad(r#"null, "pad_size": {"height": 300, "width": 300}"#), &cropped);
    check_preprocessor(&pad(r#"true, "pad_size": {"height": 192, "width": 192}"#), &cropped);
    let refused = "p: do_pad: found true, expected false, or pad_size with the height and width that the image has by then: \
                   mnc doesn't pad so; take the key out, or say it in a description's [preprocess] and leave the file out \
                   (--preprocessor none)";
    check_preprocessor(&pad("true"), &[refused]);
    check_preprocessor(&pad(r#"true, "pad_size": {"height": 256, "width": 192}"#), &[refused]);
}

/// What a class of transformers does where its file doesn't say it.
#[test]
fn classes_have_defaults_of_their_own() {
    let class = |name: &str, more: &str| format!(r#"{{"image_processor_type": "{name}"{more}}}"#);
    check_preprocessor(&class("MobileNetV1ImageProcessor", ""), &[]);
    check_preprocessor(r#"{"feature_extractor_type": "MobileNetV2FeatureExtractor"}"#, &[]);
    check_preprocessor(
        &class("ViTImageProcessorFast", r#", "size": 96"#),
        &["input 96x96x3", "Stretch(Ratio(1.0))"],
    );
    check_preprocessor(
        &class("CLIPImageProcessor", ""),
        &[
            "Cover(Ratio(1.0))",
            "bicubic filter, rounded Down",
            "mean [0.48145466, 0.4578275, 0.40821073]",
            "std [0.26862954, 0.26130258, 0.27577711]",
        ],
    );
    check_preprocessor(
        &class(
            "ConvNextImageProcessor",
            r#", "size": {"shortest_edge": 160}, "crop_pct": 0.9, "resample": 3"#,
        ),
        &["input 160x160x3", "Cover(CropPct(0.9))", "bicubic filter, rounded Down"],
    );
    check_preprocessor(
        &class("ConvNextImageProcessor", r#", "resample": 2"#),
        &["input 384x384x3", "Stretch(Ratio(1.0))"],
    );
    // Twice divided, from -1 to 1 before: (x / 127.5 - 1 - 0.5) / 0.5 / 0.5.
    check_preprocessor(
        &class(
            "EfficientNetImageProcessor",
            r#", "size": {"height": 224, "width": 224}, "resample": 0, "rescale_factor": 0.0078125, "rescale_offset": true"#,
        ),
        &[
            "Stretch(Ratio(1.0))",
            "scale 0.0078125",
            "nearest filter, rounded Down",
            "mean [1.5, 1.5, 1.5]",
            "std [0.25, 0.25, 0.25]",
        ],
    );
    check_preprocessor(
        &class(
            "MobileViTImageProcessor",
            r#", "size": {"shortest_edge": 288}, "resample": 2, "do_normalize": true"#,
        ),
        &["input 256x256x3", "Cover(Ratio(1.125))", "Bgr", "mean [0.0, 0.0, 0.0]", "std [1.0, 1.0, 1.0]"],
    );
    check_preprocessor(
        &class("ConvNextImageProcessor", ""),
        &[
            "p: resample: found null, expected a filter: versions of transformers have different ones by default",
        ],
    );
    let error =
        PreprocessorConfig::parse(&class("SegformerImageProcessor", ""), "p").unwrap_err().to_string();
    assert!(
        error.starts_with(r#"p: image_processor_type: found "SegformerImageProcessor", expected one of MobileNetV1ImageProcessor, "#),
        "{error}"
    );
}

/// Each key of the table does what the table says: one that is followed is read, one that means nothing changes nothing, and one
/// that can't be followed is named.
#[test]
fn every_key_has_its_fate() {
    let faults_of = |result: Result<()>| match result {
        Ok(()) => Vec::new(),
        Err(error) => error.faults().iter().map(ToString::to_string).collect::<Vec<String>>(),
    };
    let preprocessor = |key: &str, value: &str| {
        let text = format!(r#"{{"{key}": {value}}}"#);
        faults_of(PreprocessorConfig::parse(&text, "p").map(|config| assert!(config.unknown().is_empty())))
    };
    let model = |text: String| {
        faults_of(ModelConfig::parse(&text, "c").map(|config| assert!(config.unknown().is_empty(), "{text}")))
    };
    let hugging_face =
        |key: &str, value: &str| model(format!(r#"{{"model_type": "mobilenet_v2", "{key}": {value}}}"#));
    let timm = |key: &str, value: &str| model(format!(r#"{{"architecture": "a", "{key}": {value}}}"#));
    let args = |key: &str, value: &str| timm("model_args", &format!(r#"{{"{key}": {value}}}"#));
    let cfg = |key: &str, value: &str| timm("pretrained_cfg", &format!(r#"{{"{key}": {value}}}"#));
    type Ask<'a> = &'a dyn Fn(&str, &str) -> Vec<String>;
    let tables: [(&keys::Keys, Ask<'_>); 5] = [
        (keys::PREPROCESSOR, &preprocessor),
        (keys::HUGGING_FACE, &hugging_face),
        (keys::TIMM, &timm),
        (keys::MODEL_ARGS, &args),
        (keys::PRETRAINED_CFG, &cfg),
    ];
    let mut n_keys = 0;
    for (table, ask) in tables {
        for (fate, key) in table.iter().flat_map(|(fate, names)| names.iter().map(move |name| (*fate, *name)))
        {
            n_keys += 1;
            // No key that is followed takes this.
            let faults = ask(key, r#"[{"nonsense": "x"}]"#);
            let named = faults.iter().any(|fault| fault.contains(&format!("{key}: found ")));
            assert_eq!(named, fate != keys::Fate::Nothing, "{key} {fate:?}: {faults:?}");
            assert!(faults.is_empty() || fate != keys::Fate::Nothing, "{key}: {faults:?}");
            if let keys::Fate::Refused { default } = fate {
                for harmless in ["null", "false", "0", r#""""#, &format!("{default:?}")] {
                    assert!(ask(key, harmless).is_empty(), "{key} {harmless}: {:?}", ask(key, harmless));
                }
            }
        }
        assert_eq!(
            table.iter().flat_map(|(_, names)| names.iter()).collect::<std::collections::BTreeSet<_>>().len(),
            table.iter().map(|(_, names)| names.len()).sum::<usize>(),
            "each key once"
        );
    }
    assert!(150 < n_keys, "{n_keys}");
    // The others are told to people.
    assert_eq!(
        PreprocessorConfig::parse(r#"{"colour": 1, "shade": null}"#, "p").unwrap().unknown(),
        ["colour"]
    );
    let text = r#"{"architecture": "a", "colour": 1, "pretrained_cfg": {"shade": [2]}}"#;
    assert_eq!(ModelConfig::parse(text, "c").unwrap().unknown(), ["colour", "pretrained_cfg: shade"]);
}
