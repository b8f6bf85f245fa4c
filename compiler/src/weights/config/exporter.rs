//! What an exporter's code says of its networks where no file beside the weights says it.

use super::{ModelConfig, PreprocessorConfig, Said, architecture};
use crate::describe::{Description, InputSpec};

/// An exporter's own values of what weights don't tell.
#[derive(Clone, Debug)]
pub struct Exporter {
    /// The model that they are of: `timm mobilenetv1_100`.
    pub model: String,
    /// Whose they are: `timm's`.
    pub whose: &'static str,
    /// Whether all models of these names have them. Else they are what is usual, and assumed.
    pub is_certain: bool,
    config: ModelConfig,
    preprocessor: Option<PreprocessorConfig>,
}

/// The models of timm, each with what its weights were trained on: pictures' mean and deviation, the share that is cut out.
const TIMM: [(&str, &str, &str); 9] = [
    (architecture::V1, "mobilenetv1_100", HALF),
    (architecture::V2, "mobilenetv2_100", IMAGENET),
    (architecture::V3_LARGE, "mobilenetv3_large_100", IMAGENET),
    (architecture::V3_SMALL, "mobilenetv3_small_100", IMAGENET),
    (architecture::V3_LARGE_MINIMALISTIC, "tf_mobilenetv3_large_minimal_100", TENSORFLOW),
    (architecture::V3_SMALL_MINIMALISTIC, "tf_mobilenetv3_small_minimal_100", TENSORFLOW),
    (architecture::V4_SMALL, "mobilenetv4_conv_small", IMAGENET),
    (architecture::V4_MEDIUM, "mobilenetv4_conv_medium", LARGER),
    (architecture::V4_LARGE, "mobilenetv4_conv_large", LARGEST),
];
const IMAGENET: &str = r#""mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225], "crop_pct": 0.875, "interpolation": "bicubic""#;
const HALF: &str =
    r#""mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "crop_pct": 0.875, "interpolation": "bicubic""#;
const TENSORFLOW: &str =
    r#""mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "crop_pct": 0.875, "interpolation": "bilinear""#;
const LARGER: &str = r#""input_size": [3, 256, 256], "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225],
    "crop_pct": 0.95, "interpolation": "bicubic""#;
const LARGEST: &str = r#""input_size": [3, 384, 384], "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225],
    "crop_pct": 0.95, "interpolation": "bicubic""#;

impl Exporter {
    /// That of a naming, for a network: a built-in one by its name, any other by its parts.
    ///
    /// ```
    /// use mnc::weights::config::Exporter;
    /// assert_eq!(Exporter::of("timm", "mobilenet-v2").unwrap().model, "timm mobilenetv2_100");
    /// assert_eq!(Exporter::of("huggingface", "mobilenet-v1").unwrap().model, "Hugging Face MobileNetV1ForImageClassification");
    /// assert!(Exporter::of("plain", "mobilenet-v1").is_none());
    /// ```
    pub fn of(naming: &str, network: &str) -> Option<Exporter> {
        let parse = |text: &str| ModelConfig::parse(text, "").expect("it is our own");
        match naming {
            "torchvision" => {
                let config = ModelConfig::torchvision(network)?;
                let name = config.architecture().map_or("", |architecture| architecture.name());
                let model = format!("torchvision {name}");
                Some(Exporter { model, whose: "torchvision's", is_certain: true, config, preprocessor: None })
            }
            "timm" => {
                let known = TIMM.iter().find(|(name, ..)| *name == network);
                let (_, name, pictures) = known.unwrap_or(&("", "mobilenetv2_100", IMAGENET));
                let config =
                    parse(&format!(r#"{{"architecture": "{name}", "pretrained_cfg": {{{pictures}}}}}"#));
                let name = if known.is_some() { name } else { "models" };
                Some(Exporter {
                    model: format!("timm {name}"),
                    whose: "timm's",
                    is_certain: false,
                    config,
                    preprocessor: None,
                })
            }
            "huggingface" => {
                let version = if network == architecture::V2 { 2 } else { 1 };
                let config = parse(&format!(r#"{{"model_type": "mobilenet_v{version}"}}"#));
                let text = r#"{"resample": 2, "rescale_factor": 0.00392156862745098, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}"#;
                let preprocessor = PreprocessorConfig::parse(text, "").expect("it is our own");
                Some(Exporter {
                    model: format!("Hugging Face MobileNetV{version}ForImageClassification"),
                    whose: "Hugging Face's",
                    is_certain: false,
                    config,
                    preprocessor: Some(preprocessor),
                })
            }
            _ => None,
        }
    }

    /// Changes of a description what nobody else has said; of one that a user wrote neither layers nor widths.
    pub fn apply(&self, description: &mut Description, said: Said, is_builtin: bool) {
        let mut config = ModelConfig { classes: None, labels: None, activation: None, ..self.config.clone() };
        let pictures = |description: &Description| (description.input, description.preprocess.clone());
        let before = pictures(description);
        if said.padding {
            config.padding = None;
        }
        if said.epsilon {
            config.epsilon = None;
        }
        if said.rounding || !is_builtin {
            config.rounding = None;
        }
        let has_three = description.input.channels == 3;
        config.apply(description);
        if let Some(preprocessor) = &self.preprocessor {
            preprocessor.apply(description);
        }
        let (input, preprocess) = pictures(description);
        let keeps_pictures = said.preprocess || !has_three;
        description.preprocess = if keeps_pictures { before.1 } else { preprocess };
        let channels = before.0.channels;
        description.input =
            if is_builtin && !said.resolution { InputSpec { channels, ..input } } else { before.0 };
    }

    /// Of what it speaks.
    pub fn said(&self) -> Said {
        let preprocess = self.preprocessor.as_ref().map_or(Said::default(), PreprocessorConfig::said);
        Said { classes: false, ..self.config.said().or(preprocess) }
    }
}
