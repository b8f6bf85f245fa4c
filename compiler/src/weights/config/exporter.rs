//! What an exporter's code says of its networks where no file beside the weights says it.

use super::{ModelConfig, PreprocessorConfig, Said, architecture, tensorflow, timm};
use crate::describe::{Description, InputSpec, LayerKind, Padding};

/// An exporter's own values of what weights don't tell.
#[derive(Clone, Debug)]
pub struct Exporter {
    /// The model that they are of: `timm mobilenetv1_100`.
    pub model: String,
    /// Whose they are: `timm's`.
    pub whose: &'static str,
    /// Which of its values all models of these names have. The others are what is usual, and assumed.
    pub certain: Said,
    pub(super) config: ModelConfig,
    pub(super) preprocessor: Option<PreprocessorConfig>,
    /// How the first convolution is padded, where it isn't as the others are.
    pub(super) stem: Option<Padding>,
}

/// What the code of a network says, however it was trained.
pub(super) const CODE: Said = Said { padding: true, epsilon: true, rounding: true, ..Said::NOTHING };

/// Whose names are nobody's, on modules of PyTorch.
pub const PYTORCH: &str = "pytorch";

/// The plainest model of timm of each built-in network.
const TIMM: [(&str, &str); 9] = [
    (architecture::V1, "mobilenetv1_100"),
    (architecture::V2, "mobilenetv2_100"),
    (architecture::V3_LARGE, "mobilenetv3_large_100"),
    (architecture::V3_SMALL, "mobilenetv3_small_100"),
    (architecture::V3_LARGE_MINIMALISTIC, "tf_mobilenetv3_large_minimal_100"),
    (architecture::V3_SMALL_MINIMALISTIC, "tf_mobilenetv3_small_minimal_100"),
    (architecture::V4_SMALL, "mobilenetv4_conv_small"),
    (architecture::V4_MEDIUM, "mobilenetv4_conv_medium"),
    (architecture::V4_LARGE, "mobilenetv4_conv_large"),
];

/// On which pictures the weights of timm's models were trained, by what the models' names begin with.
const PICTURES: [(&str, &str); 5] = [
    ("mobilenetv1_", HALF),
    ("tf_mobilenetv3_", TENSORFLOW),
    ("mobilenetv4_conv_medium", LARGER),
    ("mobilenetv4_conv_large", LARGEST),
    ("", IMAGENET),
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
    /// let network = mnc::describe::builtin("mobilenet-v2").unwrap().description();
    /// assert_eq!(Exporter::of("timm", &network).unwrap().model, "timm mobilenetv2_100");
    /// assert_eq!(Exporter::of("keras", &network).unwrap().model, "keras.applications MobileNetV2");
    /// assert!(Exporter::of("plain", &network).is_none());
    /// ```
    pub fn of(naming: &str, description: &Description) -> Option<Exporter> {
        let network = description.name.as_str();
        let parse = |text: &str| ModelConfig::parse(text, "").expect("it is our own");
        match naming {
            PYTORCH => Exporter::pytorch(description),
            "torchvision" => {
                let Some(config) = ModelConfig::torchvision(network) else {
                    return Exporter::pytorch(description);
                };
                let name = config.architecture().map_or("", |architecture| architecture.name());
                let model = format!("torchvision {name}");
                // Newer weights of a model come with another size of its pictures.
                let certain = Said { classes: false, preprocess: false, ..config.said() };
                Some(Exporter {
                    model,
                    whose: "torchvision's",
                    certain,
                    config,
                    preprocessor: None,
                    stem: None,
                })
            }
            "keras" => Some(tensorflow::keras(description)),
            "slim" => Some(tensorflow::slim(description)),
            "timm" => match TIMM.iter().find(|(name, _)| *name == network) {
                Some((_, model)) => Exporter::timm(model),
                None => {
                    let found = Exporter::timm("mobilenetv2_100")?;
                    Some(Exporter { model: "timm models".to_owned(), ..found })
                }
            },
            "huggingface" => {
                let version = if network == architecture::V2 { 2 } else { 1 };
                let config = parse(&format!(r#"{{"model_type": "mobilenet_v{version}"}}"#));
                let text = r#"{"resample": 2, "rescale_factor": 0.00392156862745098, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}"#;
                let preprocessor = PreprocessorConfig::parse(text, "").expect("it is our own");
                Some(Exporter {
                    model: format!("Hugging Face MobileNetV{version}ForImageClassification"),
                    whose: "Hugging Face's",
                    certain: Said::NOTHING,
                    config,
                    preprocessor: Some(preprocessor),
                    stem: None,
                })
            }
            _ => None,
        }
    }

    /// What modules of PyTorch do when nobody tells them otherwise: padding on both sides alike, its epsilon, and pictures as torchvision
    /// prepares them. `None` where the network is described so already.
    fn pytorch(description: &Description) -> Option<Exporter> {
        let usual = ModelConfig::torchvision(architecture::V2)?;
        let is_so = description.padding == Padding::Symmetric && description.batch_norm_epsilon == 1e-5;
        (!is_so).then(|| Exporter {
            model: "PyTorch modules".to_owned(),
            whose: "PyTorch's",
            certain: Said::NOTHING,
            config: ModelConfig { architecture: None, rounding: None, ..usual },
            preprocessor: None,
            stem: None,
        })
    }

    /// That of a model of timm; `None` where it isn't known.
    ///
    /// ```
    /// use mnc::weights::config::Exporter;
    /// assert_eq!(Exporter::timm("mobilenetv1_100h").unwrap().model, "timm mobilenetv1_100h");
    /// assert_eq!(Exporter::timm("timm/mobilenetv1_100h.ra").unwrap().model, "timm mobilenetv1_100h");
    /// assert!(Exporter::timm("resnet50").is_none());
    /// ```
    pub fn timm(model: &str) -> Option<Exporter> {
        timm::model(model)?;
        let model = timm::plain(model);
        let (_, pictures) = PICTURES.iter().find(|(start, _)| model.starts_with(start))?;
        let text = format!(r#"{{"architecture": "{model}", "pretrained_cfg": {{{pictures}}}}}"#);
        Some(Exporter {
            model: format!("timm {model}"),
            whose: "timm's",
            certain: Said::NOTHING,
            config: ModelConfig::parse(&text, "").expect("it is our own"),
            preprocessor: None,
            stem: None,
        })
    }

    /// The model of timm that a file of weights or its folder is called after, among those of the built-in network whose tensors don't
    /// tell them apart; `None` where there is only one.
    ///
    /// # Errors
    /// None is in the names: the models.
    pub fn timm_by_name(network: &str, names: &[&str]) -> Result<Option<&'static str>, [&'static str; 2]> {
        let models = match network {
            architecture::V3_LARGE => ["mobilenetv3_large_100", "tf_mobilenetv3_large_100"],
            architecture::V3_SMALL => ["mobilenetv3_small_100", "tf_mobilenetv3_small_100"],
            _ => return Ok(None),
        };
        let called = |what: &str| names.iter().any(|name| name.contains(what));
        match (called("mobilenetv3"), called("tf_mobilenetv3")) {
            (_, true) => Ok(Some(models[1])),
            (true, false) => Ok(Some(models[0])),
            (false, false) => Err(models),
        }
    }

    /// Changes of a description what nobody else has said; of one that a user wrote neither layers nor widths.
    pub fn apply(&self, description: &mut Description, said: Said, is_builtin: bool) {
        // Layers are those of the tensors already.
        let mut config = ModelConfig {
            classes: None,
            labels: None,
            activation: None,
            changes: Vec::new(),
            ..self.config.clone()
        };
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
        if let Some(padding) = self.stem.filter(|_| !said.padding) {
            let stem = description.layers.iter_mut().find_map(|layer| match &mut layer.kind {
                LayerKind::Conv { spec, .. } => Some(spec),
                _ => None,
            });
            if let Some(spec) = stem.filter(|spec| spec.padding == description.padding) {
                spec.padding = padding;
            }
        }
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
}
