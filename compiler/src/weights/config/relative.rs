//! Models that exporters build otherwise than the built-in network of their family, for weights without a configuration: their
//! tensors tell them.

use super::architecture;
use super::change::Change;
use super::{ModelConfig, timm};
use crate::describe::Description;

/// One of them.
#[derive(Clone, Debug)]
pub struct Relative {
    /// As its exporter calls it: `mobilenetv1_100h`.
    pub model: &'static str,
    /// Under whose names its tensors are.
    pub naming: &'static str,
    changes: Vec<Change>,
}

/// Those of timm. Of those that differ in their width alone one is enough.
const TIMM: [(&str, &str); 4] = [
    (architecture::V1, "mobilenetv1_100h"),
    (architecture::V2, "mobilenetv2_110d"),
    (architecture::V2, "mobilenetv2_120d"),
    (architecture::V3_LARGE, timm::RW),
];

/// Those of V2 of which a key of transformers' configuration speaks, and TF-slim's, whose last convolution may get narrower.
const V2: [(&str, &str, &str); 3] = [
    (
        "huggingface",
        "MobileNetV2 with first_layer_is_expansion false",
        r#""first_layer_is_expansion": false"#,
    ),
    ("huggingface", "MobileNetV2 with finegrained_output false", r#""finegrained_output": false"#),
    ("slim", "mobilenet_v2 without finegrain_classification_mode", r#""finegrained_output": false"#),
];

/// V3 as its exporters cut it off behind the pool, where a layer stands before the classifier.
const V3_WITHOUT_TOP: [(&str, &str); 2] =
    [("keras", "MobileNetV3 with include_top=False"), ("torchvision", "the features of mobilenet_v3 alone")];
const V3: [&str; 4] = [
    architecture::V3_LARGE,
    architecture::V3_SMALL,
    architecture::V3_LARGE_MINIMALISTIC,
    architecture::V3_SMALL_MINIMALISTIC,
];

impl Relative {
    /// The relatives of a built-in network.
    pub fn of(network: &str) -> Vec<Relative> {
        let changes = |text: &str| ModelConfig::parse(text, "").expect("it is our own").changes;
        let timm = TIMM.iter().filter(|(other, _)| *other == network).map(|(_, model)| Relative {
            model,
            naming: "timm",
            changes: changes(&format!(r#"{{"architecture": "{model}"}}"#)),
        });
        let v2 = V2.iter().filter(|_| network == architecture::V2).map(|(naming, model, key)| Relative {
            model,
            naming,
            changes: changes(&format!(r#"{{"model_type": "mobilenet_v2", {key}}}"#)),
        });
        let without_top = V3_WITHOUT_TOP
            .iter()
            .filter(|_| V3.contains(&network))
            .map(|(naming, model)| Relative { model, naming, changes: vec![Change::DropTop] });
        timm.chain(v2).chain(without_top).collect()
    }

    /// Makes the description of the built-in network that of the model.
    pub fn apply(&self, description: &mut Description) {
        self.changes.iter().for_each(|change| change.apply(description));
    }
}
