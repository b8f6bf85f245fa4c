//! The JSON that lies beside trained weights -> what it changes in a [`Description`].
//!
//! [`ModelConfig`] is Hugging Face's or timm's `config.json`, [`Exporter`] what an exporter's code says in place of one;
//! [`PreprocessorConfig`] is Hugging Face's `preprocessor_config.json`. Every key is followed, refused, or known to mean nothing here;
//! the table is `keys.rs`. Knows no tensors.

mod architecture;
mod change;
mod exporter;
mod hugging_face;
mod json;
mod keys;
mod preprocessor;
mod relative;
mod tensorflow;
mod timm;
mod torchvision;

pub use self::architecture::Architecture;
use self::change::Change;
pub use self::exporter::{Exporter, PYTORCH};
use self::json::Object;
pub use self::preprocessor::PreprocessorConfig;
pub use self::relative::Relative;
use crate::describe::{CropRounding, Description, Padding, Resample, Resize, Rounding, Scores};
use crate::error::{ErrorKind, Faults, Place, Result};
use crate::graph::Resolution;
use crate::graph::layer::Activation;

/// Of which facts that weights don't tell somebody has spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// How a picture becomes an input.
    pub preprocess: bool,
    /// How windows are padded.
    pub padding: bool,
    /// The epsilon of batch norms.
    pub epsilon: bool,
    /// How alpha rounds channels.
    pub rounding: bool,
    /// How many classes there are.
    pub classes: bool,
    /// How large the input is.
    pub resolution: bool,
}

impl Said {
    /// None of them.
    pub const NOTHING: Said = Said {
        preprocess: false,
        padding: false,
        epsilon: false,
        rounding: false,
        classes: false,
        resolution: false,
    };

    /// What either says.
    pub fn or(self, other: Said) -> Said {
        Said {
            preprocess: self.preprocess || other.preprocess,
            padding: self.padding || other.padding,
            epsilon: self.epsilon || other.epsilon,
            rounding: self.rounding || other.rounding,
            classes: self.classes || other.classes,
            resolution: self.resolution || other.resolution,
        }
    }
}

/// What a `config.json` says about a network. A key that the file doesn't have leaves the description as it is, unless the
/// exporter's own default is known: then leaving the key out means that default.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ModelConfig {
    architecture: Option<Architecture>,
    /// What its architecture has otherwise than the built-in network.
    changes: Vec<Change>,
    alpha: Option<f64>,
    height_width: Option<(usize, usize)>,
    channels: Option<usize>,
    rounding: Option<Rounding>,
    activation: Option<Activation>,
    padding: Option<Padding>,
    epsilon: Option<f64>,
    classes: Option<usize>,
    labels: Option<Vec<String>>,
    mean: Option<Vec<f64>>,
    std: Option<Vec<f64>>,
    resize: Option<Resize>,
    resample: Option<Resample>,
    crop_rounding: Option<CropRounding>,
    fill: Option<Vec<u8>>,
    /// Keys that nobody knows.
    unknown: Vec<String>,
    scores: Option<Scores>,
    /// Whether the model has no classifier.
    is_headless: bool,
}

impl ModelConfig {
    /// Reads a `config.json`, timm's when it has the key `architecture` or timm's keys of pictures, Hugging Face's otherwise. `place`
    /// names the file in errors.
    ///
    /// ```
    /// use mnc::weights::config::ModelConfig;
    /// let text = r#"{"depth_multiplier": 0.5, "id2label": {"0": "cat", "1": "dog"}}"#;
    /// let config = ModelConfig::parse(text, "config.json")?;
    /// assert_eq!(config.alpha(), Some(0.5));
    /// assert_eq!(config.labels().unwrap(), ["cat", "dog"]);
    ///
    /// let error = ModelConfig::parse(r#"{"tf_padding": "yes"}"#, "config.json").unwrap_err();
    /// assert_eq!(error.to_string(), r#"config.json: tf_padding: found "yes", expected true or false"#);
    /// # Ok::<(), mnc::Error>(())
    /// ```
    pub fn parse(text: &str, place: &str) -> Result<ModelConfig> {
        let root = json::parse(text, place)?;
        let root = json::root(&root, place)?;
        let mut faults = Faults::new(ErrorKind::Weights);
        let config = match root.read("architecture", "a string", &mut faults, json::string) {
            Some(architecture) => timm::read(&root, Some(&architecture), &mut faults),
            None if timm::is_plain(&root) => timm::read(&root, None, &mut faults),
            None => hugging_face::read(&root, &mut faults),
        };
        if let (Some(classes), Some(labels)) = (config.classes, &config.labels)
            && classes != labels.len()
        {
            faults.push(
                Place::file(place),
                format!("found {} labels, expected one for each of {classes} classes", labels.len()),
            );
        }
        faults.propagate()?;
        Ok(config)
    }

    /// Which network the file is of, if it names one.
    ///
    /// ```
    /// use mnc::weights::config::ModelConfig;
    /// let config = ModelConfig::parse(r#"{"architecture": "mobilenetv1_125"}"#, "config.json")?;
    /// assert_eq!(config.architecture().unwrap().network(), Some("mobilenet-v1"));
    /// # Ok::<(), mnc::Error>(())
    /// ```
    pub fn architecture(&self) -> Option<&Architecture> {
        self.architecture.as_ref()
    }

    /// The model of timm that the file is of, if it is one that is known.
    pub fn timm(&self) -> Option<&str> {
        self.architecture.as_ref().map(Architecture::name).filter(|name| timm::model(name).is_some())
    }

    /// The width multiplier that the file states. The tensors' shapes have the last word.
    pub fn alpha(&self) -> Option<f64> {
        self.alpha
    }

    /// The classes' names in the order of the outputs.
    pub fn labels(&self) -> Option<Vec<String>> {
        self.labels.clone()
    }

    /// The input's rows and columns, if the file states them.
    pub fn resolution(&self) -> Option<Resolution> {
        self.height_width.map(|(height, width)| Resolution { height, width })
    }

    /// Keys that nobody knows, which are passed over.
    pub fn unknown(&self) -> &[String] {
        &self.unknown
    }

    /// What of the training the file speaks of.
    pub fn said(&self) -> Said {
        Said {
            preprocess: self.resize.is_some() || self.mean.is_some() || self.std.is_some(),
            padding: self.padding.is_some(),
            epsilon: self.epsilon.is_some(),
            rounding: self.rounding.is_some(),
            classes: self.classes.is_some(),
            resolution: self.height_width.is_some(),
        }
    }

    /// Changes the description to what the file says: input, classes, rounding, epsilon, normalisation of the image,
    /// padding where a layer has the network's, activation where a layer has one. Of the built-in network also the layers that
    /// the file's architecture has otherwise.
    ///
    /// ```
    /// use mnc::weights::config::ModelConfig;
    /// let mut description = mnc::describe::builtin("mobilenet-v1").unwrap().description();
    /// ModelConfig::parse(r#"{"image_size": 96, "num_labels": 2}"#, "config.json")?.apply(&mut description);
    /// assert_eq!((description.input.height, description.classes), (96, 2));
    /// # Ok::<(), mnc::Error>(())
    /// ```
    pub fn apply(&self, description: &mut Description) {
        let input = &mut description.input;
        (input.height, input.width) = self.height_width.unwrap_or((input.height, input.width));
        set(&mut input.channels, self.channels);
        set(&mut description.classes, self.classes);
        description.is_headless |= self.is_headless;
        set(&mut description.rounding, self.rounding);
        set(&mut description.batch_norm_epsilon, self.epsilon);
        set(&mut description.preprocess.resize, self.resize);
        set(&mut description.preprocess.resample, self.resample);
        set(&mut description.preprocess.crop_rounding, self.crop_rounding);
        set(&mut description.preprocess.fill, self.fill.clone());
        // It speaks of one output.
        if description.outputs.len() < 2 {
            description.scores = self.scores.or(description.scores);
        }
        if self.mean.is_some() || self.std.is_some() {
            // timm's means are those of values in 0 to 1.
            description.preprocess.scale = 1.0 / 255.0;
        }
        set(&mut description.preprocess.mean, self.mean.clone());
        set(&mut description.preprocess.std, self.std.clone());

        let old_padding = description.padding;
        set(&mut description.padding, self.padding);
        for layer in &mut description.layers {
            let Some(spec) = layer.kind.spec_mut() else { continue };
            if spec.padding == old_padding {
                spec.padding = description.padding;
            }
            if spec.activation != Activation::None {
                set(&mut spec.activation, self.activation);
            }
        }
        let network = self.architecture.as_ref().and_then(Architecture::network);
        if network == Some(&*description.name) {
            self.changes.iter().for_each(|change| change.apply(description));
        }
    }
}

/// What is wrong with so many means or deviations.
fn not_one_each(found: usize, channels: usize) -> String {
    format!("found {found} numbers, expected {channels}, one for each channel of the input")
}

/// Overwrites what the file speaks of.
fn set<T>(target: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *target = value;
    }
}

/// What transformers' pipeline for image classification makes of the outputs, with one difference: it shows sigmoids of a
/// single output that was trained for regression, and we the output itself.
fn scores(object: &Object<'_>, classes: Option<usize>, faults: &mut Faults) -> Option<Scores> {
    let kinds = [
        ("single_label_classification", Scores::Softmax),
        ("multi_label_classification", Scores::Sigmoid),
        ("regression", Scores::Values),
    ];
    let expected = kinds.map(|(name, _)| format!("{name:?}")).join(" or ");
    let stated = object.read("problem_type", &expected, faults, |value| {
        let name = value.as_str()?;
        kinds.iter().find(|(kind, _)| *kind == name).map(|(_, rule)| *rule)
    });
    match (stated, classes) {
        (None | Some(Scores::Softmax), Some(1)) => Some(Scores::Sigmoid),
        (stated, _) => stated,
    }
}

/// That of MobileNetV1 and V2.
const USUAL_ACTIVATION: Activation = Activation::Relu6;

/// Whether a configuration says that the model has no classes: then it has no classifier.
fn has_no_classes(object: &Object<'_>, key: &str) -> bool {
    object.value(key).and_then(serde_json::Value::as_u64) == Some(0)
}

const ACTIVATIONS: &str = r#""relu", "relu6", "hard_swish" or "swish""#;

fn activation(value: &serde_json::Value) -> Option<Activation> {
    match value.as_str()? {
        "relu" => Some(Activation::Relu),
        "relu6" => Some(Activation::Relu6),
        "hard_swish" | "hardswish" => Some(Activation::HardSwish),
        "swish" | "silu" => Some(Activation::Swish),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
