//! The built-in networks as exporters call them.

use crate::describe::{self, Builtin};

pub(super) const V1: &str = "mobilenet-v1";
pub(super) const V2: &str = "mobilenet-v2";
pub(super) const V3_LARGE: &str = "mobilenet-v3-large";
pub(super) const V3_SMALL: &str = "mobilenet-v3-small";
pub(super) const V3_LARGE_MINIMALISTIC: &str = "mobilenet-v3-large-minimalistic";
pub(super) const V3_SMALL_MINIMALISTIC: &str = "mobilenet-v3-small-minimalistic";
pub(super) const V4_SMALL: &str = "mobilenet-v4-conv-small";
pub(super) const V4_MEDIUM: &str = "mobilenet-v4-conv-medium";
pub(super) const V4_LARGE: &str = "mobilenet-v4-conv-large";

/// What a configuration says that its network is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Architecture {
    name: String,
    network: Option<&'static str>,
}

impl Architecture {
    pub(super) fn new(name: String, network: Option<&'static str>) -> Architecture {
        Architecture { name, network }
    }

    /// As the file calls it: `MobileNetV2ForImageClassification`, `mobilenetv2_110d`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The name of the built-in network that it is, or a relative of.
    pub fn network(&self) -> Option<&'static str> {
        self.network
    }

    /// That network.
    ///
    /// # Errors
    /// What was found and what is known, where it is none of them.
    pub fn builtin(&self) -> Result<&'static Builtin, String> {
        self.network.and_then(describe::builtin).ok_or_else(|| {
            let name = crate::error::quoted(&self.name);
            format!("found {name}, expected {KNOWN}, or a description of the network and these weights")
        })
    }
}

/// The built-in network of that name.
pub(super) fn known(name: &str) -> Option<&'static str> {
    describe::builtin(name).map(|builtin| builtin.name)
}

/// What is known, for people.
const KNOWN: &str = "MobileNetV1ForImageClassification or MobileNetV2ForImageClassification of Hugging Face, or timm's \
                     mobilenetv1_*, mobilenetv2_*, mobilenetv3_*, tf_mobilenetv3_* or \
                     mobilenetv4_conv_small, _medium or _large";
