//! What of pictures is read where the files leave it out, and what becomes of every key.

use super::*;

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
            "pretrained_cfg": {"interpolation": "random", "crop_mode": "border", "crop_extra": 3, "label_offset": 1}}"#,
        &[
            r#"c: global_pool: found "max", expected null or "avg": mnc can't do what this key asks for"#,
            "c: model_args: output_stride: found 16, expected null or false: mnc can't do what this key asks for",
            "c: model_args: stem_size: found 16, expected null or false: mnc can't do what this key asks for",
            "c: pretrained_cfg: crop_extra: found 3, expected no such key: mnc doesn't know it, and by its name it changes pictures",
            "c: pretrained_cfg: label_offset: found 1, expected null or false: mnc can't do what this key asks for",
            &format!(r#"c: pretrained_cfg: interpolation: found "random", expected {expected}"#),
            r#"c: pretrained_cfg: crop_mode: found "border", expected "center" or "squash": pictures aren't padded"#,
        ],
    );
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
