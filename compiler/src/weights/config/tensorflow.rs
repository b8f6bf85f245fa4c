//! What the code of Keras's applications and of TF-slim says of their networks. Neither writes a configuration.

use super::ModelConfig;
use super::architecture::{self, Architecture};
use super::exporter::{CODE, Exporter};
use crate::describe::{Description, LayerKind, Margin, Padding, Resample, Resize, Rounding};

/// A network's own code, and how its pictures are made.
struct Code {
    model: &'static str,
    rounding: Rounding,
    padding: Padding,
    resize: Resize,
    resample: Resample,
}

const MULTIPLES: Rounding = Rounding::Nearest { multiple: 8 };

/// `keras.applications` for an input of fixed size. Pictures are what `keras.utils.load_img` and the application's
/// `preprocess_input` make of them; V3 has the latter in its first layer.
pub(super) fn keras(description: &Description) -> Exporter {
    let is_v1 = match description.name.as_str() {
        architecture::V1 => true,
        name if architecture::known(name).is_some() => false,
        _ => description.layers.iter().any(|layer| matches!(layer.kind, LayerKind::Separable { .. })),
    };
    let (model, rounding) = match description.name.as_str() {
        architecture::V1 => ("MobileNet", Rounding::Floor { minimum: 1 }),
        architecture::V2 => ("MobileNetV2", Rounding::NearestOfWhole { multiple: 8, minimum: 8 }),
        architecture::V3_LARGE | architecture::V3_LARGE_MINIMALISTIC => ("MobileNetV3Large", MULTIPLES),
        architecture::V3_SMALL | architecture::V3_SMALL_MINIMALISTIC => ("MobileNetV3Small", MULTIPLES),
        _ => ("models", MULTIPLES),
    };
    let padding = if is_v1 { Padding::Keras } else { Padding::Same };
    let resize = Resize::Stretch(Margin::NONE);
    let code = Code { model, rounding, padding, resize, resample: Resample::Nearest };
    Exporter {
        model: format!("keras.applications {model}"),
        whose: "Keras's",
        // V1's first convolution pads by itself.
        stem: is_v1.then_some(Padding::Same),
        ..code.exporter(description)
    }
}

/// `mobilenet_v1` to `mobilenet_v3` of the research models. Pictures are what its `preprocess_for_eval` makes of them: the middle of
/// both sides, stretched.
pub(super) fn slim(description: &Description) -> Exporter {
    let (model, rounding) = match description.name.as_str() {
        architecture::V1 => ("mobilenet_v1", Rounding::Floor { minimum: 8 }),
        architecture::V2 => ("mobilenet_v2", MULTIPLES),
        architecture::V3_LARGE
        | architecture::V3_SMALL
        | architecture::V3_LARGE_MINIMALISTIC
        | architecture::V3_SMALL_MINIMALISTIC => ("mobilenet_v3", MULTIPLES),
        _ => ("models", MULTIPLES),
    };
    let resize = Resize::Stretch(Margin::CropPct(0.875));
    let code = Code { model, rounding, padding: Padding::Same, resize, resample: Resample::Bilinear };
    Exporter { model: format!("TF-slim {model}"), whose: "TF-slim's", ..code.exporter(description) }
}

impl Code {
    fn exporter(self, description: &Description) -> Exporter {
        let config = ModelConfig {
            architecture: Some(Architecture::new(
                self.model.to_owned(),
                architecture::known(&description.name),
            )),
            rounding: Some(self.rounding),
            padding: Some(self.padding),
            epsilon: Some(1e-3),
            mean: Some(vec![0.5; 3]),
            std: Some(vec![0.5; 3]),
            resize: Some(self.resize),
            resample: Some(self.resample),
            ..ModelConfig::default()
        };
        Exporter { model: String::new(), whose: "", certain: CODE, config, preprocessor: None, stem: None }
    }
}
