//! The keys of transformers' `MobileNetV1Config` and `MobileNetV2Config`.

use super::architecture::{self, Architecture};
use super::change::Change;
use super::json::{self, Object};
use super::keys;
use super::{ACTIVATIONS, ModelConfig, USUAL_ACTIVATION, activation, scores};
use crate::describe::{MAX_EXPAND, Padding, Rounding};
use crate::error::Faults;

pub(super) fn read(root: &Object<'_>, faults: &mut Faults) -> ModelConfig {
    let named =
        root.read("architectures", "an array of names", faults, |value| json::list(value, json::string));
    let model_type = root.read("model_type", MODEL_TYPES, faults, |value| {
        json::string(value).filter(|name| ["mobilenet_v1", "mobilenet_v2"].contains(&&**name))
    });
    let is_v2 = model_type.as_deref() == Some("mobilenet_v2");
    let whole =
        ["depth_divisible_by", "min_depth"].map(|key| root.read(key, json::COUNT, faults, json::count));
    let rounding = match (is_v2, whole) {
        (false, [_, minimum]) => minimum.map(|minimum| Rounding::Floor { minimum }),
        (true, [None, None]) => None,
        (true, [multiple, minimum]) => Some(Rounding::NearestOfWhole {
            multiple: multiple.unwrap_or(DIVISOR),
            minimum: minimum.unwrap_or(DIVISOR),
        }),
    };
    let mut config = ModelConfig {
        architecture: architecture(named, model_type.as_deref()),
        alpha: root.read("depth_multiplier", json::POSITIVE, faults, json::positive),
        height_width: root.read("image_size", SIZE, faults, size),
        channels: root.read("num_channels", json::COUNT, faults, json::count),
        rounding,
        activation: root.read("hidden_act", ACTIVATIONS, faults, activation),
        padding: root
            .read("tf_padding", "true or false", faults, serde_json::Value::as_bool)
            .map(|is_tf| if is_tf { Padding::Same } else { Padding::Symmetric }),
        epsilon: root.read("layer_norm_eps", json::NOT_NEGATIVE, faults, json::not_negative),
        unknown: keys::settle(root, keys::HUGGING_FACE, keys::MODEL_WAY, faults),
        ..ModelConfig::default()
    };
    let has_names =
        root.value("id2label").is_some_and(|names| names.as_object().is_none_or(|map| !map.is_empty()));
    let is_body =
        config.architecture.as_ref().is_some_and(|architecture| BODIES.contains(&architecture.name()));
    config.is_headless = is_body || super::has_no_classes(root, "num_labels");
    if !config.is_headless {
        config.classes = root.read("num_labels", json::COUNT, faults, json::count);
    }
    if has_names && !config.is_headless {
        let expected = "an object of names with the keys 0, 1, 2 and so on";
        config.labels = root.read("id2label", expected, faults, json::by_index);
    }
    if config.classes.is_none() {
        config.classes = config.labels.as_ref().map(Vec::len);
    }
    config.scores = scores(root, config.classes, faults);
    if is_v2 {
        config.changes = changes(root, faults);
    }
    // Transformers writes all keys; one that is left out has the default of its class.
    let is_known = config.architecture.as_ref().is_some_and(|architecture| architecture.network().is_some());
    if is_known || model_type.is_some() {
        config.alpha.get_or_insert(1.0);
        let rounding = match is_v2 {
            true => Rounding::NearestOfWhole { multiple: DIVISOR, minimum: DIVISOR },
            false => Rounding::Floor { minimum: DIVISOR },
        };
        config.rounding.get_or_insert(rounding);
        config.activation.get_or_insert(USUAL_ACTIVATION);
        config.padding.get_or_insert(Padding::Same);
        config.epsilon.get_or_insert(1e-3);
    }
    config
}

const MODEL_TYPES: &str = r#""mobilenet_v1" or "mobilenet_v2"; for a description of another network leave the file out (--config none)"#;
const SIZE: &str = "a whole number from 1 to 16777216, or [height, width]";

/// One side, or both.
fn size(value: &serde_json::Value) -> Option<(usize, usize)> {
    match value.is_array() {
        true => <[usize; 2]>::try_from(json::list(value, json::count)?).ok().map(Into::into),
        false => json::count(value).map(|side| (side, side)),
    }
}

/// Networks without their classifiers.
const BODIES: [&str; 2] = ["MobileNetV1Model", "MobileNetV2Model"];

/// What `depth_divisible_by` and `min_depth` are by default.
const DIVISOR: usize = 8;

/// The first of `architectures`; `model_type` alone is a classifier's.
fn architecture(named: Option<Vec<String>>, model_type: Option<&str>) -> Option<Architecture> {
    let by_type = match model_type {
        Some("mobilenet_v1") => Some("MobileNetV1ForImageClassification"),
        Some("mobilenet_v2") => Some("MobileNetV2ForImageClassification"),
        Some(_) | None => None,
    };
    let name = named.and_then(|names| names.into_iter().next()).or_else(|| by_type.map(str::to_owned))?;
    let network = match &*name {
        "MobileNetV1ForImageClassification" | "MobileNetV1Model" => Some(architecture::V1),
        "MobileNetV2ForImageClassification" | "MobileNetV2Model" => Some(architecture::V2),
        _ => None,
    };
    Some(Architecture::new(name, network))
}

/// The keys of MobileNetV2 that say how its layers are built.
fn changes(root: &Object<'_>, faults: &mut Faults) -> Vec<Change> {
    let mut changes = Vec::new();
    let mut is_true = |key: &str| root.read(key, "true or false", faults, serde_json::Value::as_bool);
    if is_true("first_layer_is_expansion") == Some(false) {
        changes.push(Change::WidenFirstBlock);
    }
    if is_true("finegrained_output") == Some(false) {
        changes.push(Change::ScaleHead);
    }
    let ratio = root.read("expand_ratio", "a number from 1 to 64", faults, |value| {
        json::positive(value).filter(|ratio| (1.0..=MAX_EXPAND).contains(ratio))
    });
    changes.extend(ratio.filter(|ratio| *ratio != 6.0).map(Change::Expand));
    let output_stride = root.read("output_stride", "8, 16 or 32", faults, |value| {
        json::count(value).filter(|stride| [8, 16, 32].contains(stride))
    });
    // The network's own is 32.
    let output_stride = output_stride.filter(|&stride| stride < 32);
    changes.extend(output_stride.map(|output_stride| Change::Dilate { output_stride }));
    changes
}
