//! The JSON beside the weights: what it changed, in words.

use std::io;
use std::path::{Path, PathBuf};

use mnc::Result;
use mnc::describe::{ChannelOrder, ConvSpec, Description, Resize, Rounding, Scores};
use mnc::graph::layer::Activation;
pub(super) use mnc::request::Sources;
use mnc::request::{self, Files};

use super::files::{self, Kind};
use super::network::Written;

/// A description after the files that speak of it.
#[derive(Clone, Debug)]
pub(super) struct Configured {
    pub(super) description: Description,
    pub(super) alpha: Option<f64>,
    pub(super) labels: Option<Vec<String>>,
    /// Each file that was read and what it changed.
    pub(super) read: Vec<(PathBuf, Vec<String>)>,
    /// Those files as they were when they were read.
    pub(super) files: Vec<(PathBuf, Vec<u8>)>,
    /// What nobody says of how the weights were trained, with value and reason; nothing where there are none.
    pub(super) assumed: Vec<String>,
}

/// Reads both files, if there are any, and applies them.
pub(super) fn apply(written: Written, sources: Sources<'_>) -> Result<Configured> {
    let Written { description, said } = written;
    let mut before = description.clone();
    let mut disk = Disk { read: Vec::new() };
    let configured = request::configure(&mut disk, description, sources)?;
    let assumed = sources.weights.map_or(Vec::new(), |_| configured.assumed(said));
    let request::Configured { description, alpha, labels, read, .. } = configured;
    let said = [
        alpha.map(|alpha| format!("alpha {alpha}")),
        labels.as_ref().map(|it| format!("{} labels", it.len())),
    ];
    let mut said = Some(said.into_iter().flatten());
    let told = |(path, after): (PathBuf, Description)| {
        let mut changes = changes(&before, &after);
        changes.extend(said.take().into_iter().flatten());
        before = after;
        (path, changes)
    };
    let read = read.into_iter().map(told).collect();
    Ok(Configured { description, alpha, labels, read, files: disk.read, assumed })
}

/// Files as the user of a shell names them.
struct Disk {
    /// Each with its content.
    read: Vec<(PathBuf, Vec<u8>)>,
}

impl Files for Disk {
    fn is_file(&self, path: &Path) -> bool {
        path.is_file()
    }

    fn read(&mut self, path: &Path, kind: Kind) -> io::Result<Vec<u8>> {
        let bytes = files::read_bytes(path, kind)?;
        self.read.push((path.to_owned(), bytes.clone()));
        Ok(bytes)
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
    note(before.padding != after.padding, format!("padding {}", after.padding.word()));
    if let Some((_, new)) =
        specs(before).zip(specs(after)).find(|(old, new)| old.activation != new.activation)
    {
        note(
            true,
            match new.activation {
                Activation::None => "no activation".to_owned(),
                other => other.word().to_owned(),
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
    if let Some(rule) = after.scores {
        note(
            before.scores != after.scores,
            match rule {
                Scores::Softmax => "one right class, so probabilities by softmax".to_owned(),
                Scores::Sigmoid => "a yes or no for each output, so probabilities by sigmoid".to_owned(),
                Scores::Values => "outputs that are no probabilities".to_owned(),
            },
        );
    }
    changes
}

fn specs(description: &Description) -> impl Iterator<Item = &ConvSpec> {
    description.layers.iter().filter_map(|layer| layer.kind.spec())
}

/// Labels from a file, one a line.
pub(super) fn labels(path: &Path) -> Result<Vec<String>> {
    Ok(labels_and_bytes(path)?.0)
}

/// The same, and the file as it was when it was read.
pub(super) fn labels_and_bytes(path: &Path) -> Result<(Vec<String>, Vec<u8>)> {
    let mut disk = Disk { read: Vec::new() };
    let labels = request::labels(&mut disk, path)?;
    let bytes = disk.read.pop().map_or(Vec::new(), |(_, bytes)| bytes);
    Ok((labels, bytes))
}

#[cfg(test)]
mod tests {
    use mnc::weights::config::ModelConfig;

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
