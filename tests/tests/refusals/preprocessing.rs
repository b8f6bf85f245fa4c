//! Configurations that ask for what isn't done.

use super::Case;

/// A folder with weights and this configuration.
fn architecture(config: &[u8]) -> Case {
    Case::folder([("net/config.json", config.to_vec()), ("net/model.safetensors", Vec::new())])
}

pub(super) fn cases() -> Vec<Case> {
    let preprocessor = |text| Case::configured("preprocessor_config.json", text, "--preprocessor");
    let config = |text| Case::configured("config.json", text, "--config");
    let timm = |text| Case::configured("config.json", text, "--config");
    vec![
        preprocessor(r#"{"do_pad": true}"#),
        preprocessor(r#"{"do_grayscale": true}"#),
        preprocessor(r#"{"do_rotate": true}"#),
        preprocessor(r#"{"offset": true}"#),
        preprocessor(r#"{"image_processor_type": "ViltImageProcessor"}"#),
        preprocessor(r#"{"size": {"longest_edge": 224}}"#),
        preprocessor(r#"{"size": {"max_height": 224, "max_width": 224}}"#),
        preprocessor(r#"{"size": [224]}"#),
        preprocessor(r#"{"image_mean": [0.5, 0.5], "image_std": 0.5}"#),
        timm(r#"{"architecture": "mobilenetv1_100", "pretrained_cfg": {"mean": [0, 0, 0, 0]}}"#),
        config(r#"{"num_channels": 2}"#),
        preprocessor(r#"{"rescale_factor": -1}"#),
        preprocessor(r#"{"image_mean": [0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}"#),
        preprocessor(r#"{"do_center_crop": false, "size": {"shortest_edge": 256}}"#),
        timm(r#"{"architecture": "mobilenetv1_100", "pretrained_cfg": {"crop_mode": "tiles"}}"#),
        timm(r#"{"architecture": "mobilenetv1_100", "pretrained_cfg": {"interpolation": "area"}}"#),
        timm(r#"{"architecture": "mobilenetv1_100", "pretrained_cfg": {"input_size": [3, 224]}}"#),
        architecture(br#"{"architectures": ["MobileViTForImageClassification"]}"#),
        architecture(br#"{"architecture": "mobilenetv4_hybrid_medium"}"#),
        config(r#"{"num_labels": 3, "id2label": {"0": "cat", "1": "dog"}}"#),
        preprocessor("{"),
        preprocessor(r#"{"resample": 17}"#),
        preprocessor(r#"{"image_mean": "grey"}"#),
        preprocessor(r#"{"image_std": [0, 1, 1]}"#),
        preprocessor(r#"{"size": {"shortest_edge": 200}, "crop_size": {"height": 224, "width": 224}}"#),
        config(r#"{"hidden_act": "mish"}"#),
        config(r#"{"num_labels": -1}"#),
    ]
}
