//! The JSON that lies beside trained weights -> what it changes in a [`Description`].
//!
//! [`ModelConfig`] is Hugging Face's or timm's `config.json`, [`PreprocessorConfig`] Hugging Face's
//! `preprocessor_config.json`. Of the many keys only those are read that decide what the network computes; the others are
//! ignored. Knows no tensors.

mod json;
mod preprocessor;

use self::json::Object;
pub use self::preprocessor::PreprocessorConfig;
use crate::describe::{Description, Padding, Resize, Rounding, Scores};
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
}

impl Said {
    /// What either says.
    pub fn or(self, other: Said) -> Said {
        Said {
            preprocess: self.preprocess || other.preprocess,
            padding: self.padding || other.padding,
            epsilon: self.epsilon || other.epsilon,
            rounding: self.rounding || other.rounding,
        }
    }
}

/// What a `config.json` says about a network. A key that the file doesn't have leaves the description as it is, unless the
/// exporter's own default is known: then leaving the key out means that default.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ModelConfig {
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
    scores: Option<Scores>,
}

impl ModelConfig {
    /// Reads a `config.json`, timm's when it has the key `architecture`, Hugging Face's otherwise. `place` names the file
    /// in errors.
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
            Some(architecture) => read_timm(&root, &architecture, &mut faults),
            None => read_hugging_face(&root, &mut faults),
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

    /// What of the training the file speaks of.
    pub fn said(&self) -> Said {
        Said {
            preprocess: self.resize.is_some() || self.mean.is_some() || self.std.is_some(),
            padding: self.padding.is_some(),
            epsilon: self.epsilon.is_some(),
            rounding: self.rounding.is_some(),
        }
    }

    /// Changes the description to what the file says: input, classes, rounding, epsilon, normalisation of the image,
    /// padding where a layer has the network's, activation where a layer has one.
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
        set(&mut description.rounding, self.rounding);
        set(&mut description.batch_norm_epsilon, self.epsilon);
        set(&mut description.preprocess.resize, self.resize);
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
    }
}

/// Overwrites what the file speaks of.
fn set<T>(target: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *target = value;
    }
}

/// The keys of transformers' `MobileNetV1Config`.
fn read_hugging_face(root: &Object<'_>, faults: &mut Faults) -> ModelConfig {
    let model_type = root.read("model_type", r#""mobilenet_v1""#, faults, |value| {
        json::string(value).filter(|name| name == "mobilenet_v1")
    });
    let mut config = ModelConfig {
        alpha: root.read("depth_multiplier", json::POSITIVE, faults, json::positive),
        height_width: root.read("image_size", json::COUNT, faults, json::count).map(|size| (size, size)),
        channels: root.read("num_channels", json::COUNT, faults, json::count),
        rounding: root
            .read("min_depth", json::COUNT, faults, json::count)
            .map(|minimum| Rounding::Floor { minimum }),
        activation: root.read("hidden_act", ACTIVATIONS, faults, activation),
        padding: root
            .read("tf_padding", "true or false", faults, serde_json::Value::as_bool)
            .map(|is_tf| if is_tf { Padding::Same } else { Padding::Symmetric }),
        epsilon: root.read("layer_norm_eps", json::NOT_NEGATIVE, faults, json::not_negative),
        classes: root.read("num_labels", json::COUNT, faults, json::count),
        labels: root.read(
            "id2label",
            "an object of names with the keys 0, 1, 2 and so on",
            faults,
            json::by_index,
        ),
        ..ModelConfig::default()
    };
    if config.classes.is_none() {
        config.classes = config.labels.as_ref().map(Vec::len);
    }
    config.scores = scores(root, config.classes, faults);
    if model_type.is_some() {
        config.alpha.get_or_insert(1.0);
        config.rounding.get_or_insert(Rounding::Floor { minimum: 8 });
        config.activation.get_or_insert(Activation::Relu6);
        config.padding.get_or_insert(Padding::Same);
        config.epsilon.get_or_insert(1e-3);
    }
    config
}

/// The keys of a timm model's `config.json`: some at the top, some in `model_args`, some in `pretrained_cfg`.
fn read_timm(root: &Object<'_>, architecture: &str, faults: &mut Faults) -> ModelConfig {
    let args = root.object("model_args", faults);
    let pretrained = root.object("pretrained_cfg", faults);
    // What the model was made with stands before what its weights came with.
    let places: Vec<&Object<'_>> = args.iter().chain([root]).chain(&pretrained).collect();
    let find = |key: &str| places.iter().copied().find(|object| object.has(key)).unwrap_or(root);

    let input_size = find("input_size").read("input_size", "[channels, height, width]", faults, |value| {
        <[usize; 3]>::try_from(json::list(value, json::count)?).ok()
    });
    let crop_pct = find("crop_pct").read("crop_pct", "a number above 0, at most 1", faults, |value| {
        json::positive(value).filter(|&share| share <= 1.0)
    });
    let mut config = ModelConfig {
        height_width: input_size.map(|[_, height, width]| (height, width)),
        channels: input_size.map(|[channels, ..]| channels),
        activation: find("act_layer").read("act_layer", ACTIVATIONS, faults, activation),
        padding: find("pad_type").read("pad_type", r#""same", "valid" or """#, faults, |value| {
            match value.as_str()? {
                "same" => Some(Padding::Same),
                "valid" => Some(Padding::Valid),
                "" => Some(Padding::Symmetric),
                _ => None,
            }
        }),
        epsilon: find("bn_eps").read("bn_eps", json::NOT_NEGATIVE, faults, json::not_negative),
        classes: find("num_classes").read("num_classes", json::COUNT, faults, json::count),
        labels: find("label_names")
            .read("label_names", "an array of names", faults, |value| json::list(value, json::string)),
        mean: find("mean")
            .read("mean", "an array of numbers", faults, |value| json::list(value, json::number)),
        std: find("std")
            .read("std", "an array of numbers above 0", faults, |value| json::list(value, json::positive)),
        resize: crop_pct.map(|share| Resize::Cover { ratio: 1.0 / share }),
        ..ModelConfig::default()
    };
    config.scores = scores(find("problem_type"), config.classes, faults);
    if let Some(variant) = architecture.strip_prefix("mobilenetv1_") {
        // `mobilenetv1_125` is alpha 1.25; a letter after the digits names another head.
        let digits = variant.trim_end_matches(|c: char| c.is_ascii_lowercase());
        config.alpha =
            digits.parse::<u16>().ok().filter(|&percent| 0 < percent).map(|p| f64::from(p) / 100.0);
        config.rounding = Some(Rounding::Nearest { multiple: 8 });
        config.activation.get_or_insert(Activation::Relu6);
        config.padding.get_or_insert(Padding::Symmetric);
        config.epsilon.get_or_insert(1e-5);
    }
    config
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

const ACTIVATIONS: &str = r#""relu" or "relu6""#;

fn activation(value: &serde_json::Value) -> Option<Activation> {
    match value.as_str()? {
        "relu" => Some(Activation::Relu),
        "relu6" => Some(Activation::Relu6),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
