//! What torchvision's code says of its models. It writes no configuration.

use super::ModelConfig;
use super::architecture::{self, Architecture};
use crate::describe::{CropRounding, Margin, Padding, Resample, Resize, Rounding};

/// Each model with its network and the epsilon of its batch norms.
const MODELS: [(&str, &str, f64); 3] = [
    ("mobilenet_v2", architecture::V2, 1e-5),
    ("mobilenet_v3_large", architecture::V3_LARGE, 1e-3),
    ("mobilenet_v3_small", architecture::V3_SMALL, 1e-3),
];

/// The model of that name, as torchvision's code makes it.
pub(super) fn named(name: &str) -> Option<ModelConfig> {
    let (_, network, epsilon) = MODELS.into_iter().find(|(model, ..)| *model == name)?;
    Some(ModelConfig {
        architecture: Some(Architecture::new(name.to_owned(), Some(network))),
        rounding: Some(Rounding::Nearest { multiple: 8 }),
        padding: Some(Padding::Symmetric),
        epsilon: Some(epsilon),
        mean: Some(vec![0.485, 0.456, 0.406]),
        std: Some(vec![0.229, 0.224, 0.225]),
        crop_rounding: Some(CropRounding::Even),
        resample: Some(Resample::Bilinear),
        resize: Some(Resize::Cover(Margin::Ratio(256.0 / 224.0))),
        ..ModelConfig::default()
    })
}

impl ModelConfig {
    /// What torchvision's model of a built-in network is made with, if it has one: PyTorch's padding, the epsilon of the model's own
    /// batch norms, and the pictures that its weights were trained on.
    ///
    /// ```
    /// use mnc::weights::config::ModelConfig;
    /// assert!(ModelConfig::torchvision("mobilenet-v1").is_none());
    /// ```
    pub fn torchvision(network: &str) -> Option<ModelConfig> {
        let (model, ..) = MODELS.into_iter().find(|(_, other, _)| *other == network)?;
        named(model)
    }
}
