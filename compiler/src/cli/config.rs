//! The JSON beside the weights: where it is looked for, and what it changed.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use mnc::describe::{ChannelOrder, ConvSpec, Description, LayerKind, Padding, Resize, Rounding};
use mnc::graph::layer::Activation;
use mnc::weights::config::{ModelConfig, PreprocessorConfig};
use mnc::{Error, Result, request};

/// The files that the user named, or where they are looked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sources<'a> {
    /// `--config`.
    pub(super) config: Option<&'a Path>,
    /// `--preprocessor`.
    pub(super) preprocessor: Option<&'a Path>,
    /// The weights beside which they are looked for.
    pub(super) weights: Option<&'a Path>,
}

/// A description after the files that speak of it.
#[derive(Clone, Debug)]
pub(super) struct Configured {
    pub(super) description: Description,
    pub(super) alpha: Option<f64>,
    pub(super) labels: Option<Vec<String>>,
    /// Each file that was read and what it changed.
    pub(super) read: Vec<(PathBuf, Vec<String>)>,
}

/// Reads both files, if there are any, and applies them.
pub(super) fn apply(mut description: Description, sources: Sources<'_>) -> Result<Configured> {
    let mut read = Vec::new();
    let (mut alpha, mut labels) = (None, None);
    let mut config_size = None;
    if let Some(path) = find(sources.config, sources.weights, "config.json") {
        let config = ModelConfig::parse(&text(&path)?, &path.display().to_string())?;
        let before = description.clone();
        config.apply(&mut description);
        let mut changes = changes(&before, &description);
        alpha = config.alpha();
        labels = config.labels();
        changes.extend(alpha.map(|alpha| format!("alpha {alpha}")));
        changes.extend(labels.as_ref().map(|labels| format!("{} labels", labels.len())));
        config_size = config.resolution().map(|_| size(&description));
        read.push((path, changes));
    }
    if let Some(path) = find(sources.preprocessor, sources.weights, "preprocessor_config.json") {
        let config = PreprocessorConfig::parse(&text(&path)?, &path.display().to_string())?;
        let before = description.clone();
        config.apply(&mut description);
        // The model's own word stands: a preprocessor of another size is that of another resolution.
        if let Some((height, width)) = config_size {
            (description.input.height, description.input.width) = (height, width);
        }
        read.push((path, changes(&before, &description)));
    }
    Ok(Configured { description, alpha, labels, read })
}

fn size(description: &Description) -> (usize, usize) {
    (description.input.height, description.input.width)
}

fn text(path: &Path) -> Result<String> {
    fs::read_to_string(path).or_else(|error| super::fail(path, format!("{error}, expected a JSON file")))
}

/// The file that the user named, unless that is `none`; else the first that exists beside the weights.
fn find(named: Option<&Path>, weights: Option<&Path>, name: &str) -> Option<PathBuf> {
    match named {
        Some(named) if named == OsStr::new("none") => None,
        Some(named) => Some(named.to_owned()),
        None => request::beside(weights?, name).into_iter().find(|path| path.is_file()),
    }
}

/// What is different, in the words of a description.
fn changes(before: &Description, after: &Description) -> Vec<String> {
    let mut changes = Vec::new();
    let mut note = |differs: bool, text: String| {
        if differs {
            changes.push(text);
        }
    };
    let input = after.input;
    note(before.input != input, format!("input {}x{}x{}", input.height, input.width, input.channels));
    note(before.classes != after.classes, format!("{} classes", after.classes));
    note(
        before.rounding != after.rounding,
        match after.rounding {
            Rounding::Floor { minimum } => format!("alpha rounded down, at least {minimum} channels"),
            Rounding::Nearest { multiple } => format!("alpha rounded to multiples of {multiple}"),
        },
    );
    let epsilon = after.batch_norm_epsilon;
    note(before.batch_norm_epsilon != epsilon, format!("epsilon {epsilon}"));
    note(
        before.padding != after.padding,
        match after.padding {
            Padding::Same => "padding same".to_owned(),
            Padding::Symmetric => "padding symmetric".to_owned(),
            Padding::Valid => "padding valid".to_owned(),
        },
    );
    if let Some((_, new)) =
        specs(before).zip(specs(after)).find(|(old, new)| old.activation != new.activation)
    {
        note(
            true,
            match new.activation {
                Activation::None => "no activation".to_owned(),
                Activation::Relu => "relu".to_owned(),
                Activation::Relu6 => "relu6".to_owned(),
            },
        );
    }
    let (old, new) = (&before.preprocess, &after.preprocess);
    note(
        old.resize != new.resize,
        match new.resize {
            Resize::Cover { ratio } => format!("resize to {ratio:.3} times the input, then crop"),
            Resize::Stretch => "resize by stretching".to_owned(),
        },
    );
    let numbers = (new.scale, &new.mean, &new.std);
    note((old.scale, &old.mean, &old.std) != numbers, {
        let [black, white] = [0.0, 255.0].map(|byte| {
            let normalise = |(mean, std): (&f64, &f64)| (byte * new.scale - mean) / std;
            super::text::numbers(&new.mean.iter().zip(&new.std).map(normalise).collect::<Vec<f64>>())
        });
        format!("pixels from {black} to {white}")
    });
    note(
        old.channel_order != new.channel_order,
        match new.channel_order {
            ChannelOrder::Rgb => "RGB".to_owned(),
            ChannelOrder::Bgr => "BGR".to_owned(),
        },
    );
    changes
}

fn specs(description: &Description) -> impl Iterator<Item = &ConvSpec> {
    description.layers.iter().filter_map(|layer| match &layer.kind {
        LayerKind::Conv { spec, .. } | LayerKind::Depthwise { spec } | LayerKind::Separable { spec, .. } => {
            Some(spec)
        }
        LayerKind::Add { .. }
        | LayerKind::GlobalAveragePool
        | LayerKind::Dense { .. }
        | LayerKind::Softmax => None,
    })
}

/// Labels from a file, one a line.
pub(super) fn labels(path: &Path) -> Result<Vec<String>, Error> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(request::labels(&text)),
        Err(error) => super::fail(path, format!("{error}, expected a text file with one label a line")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_named() {
        let description = mnc::describe::builtin("mobilenet-v1").unwrap().description();
        let config =
            r#"{"model_type": "mobilenet_v1", "image_size": 96, "num_labels": 2, "hidden_act": "relu"}"#;
        let mut after = description.clone();
        ModelConfig::parse(config, "config.json").unwrap().apply(&mut after);
        assert_eq!(changes(&description, &after), ["input 96x96x3", "2 classes", "relu"]);
        assert!(changes(&after, &after).is_empty());
    }
}
