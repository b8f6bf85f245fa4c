//! The JSON beside the weights: what it changed, in words.

use std::path::Path;

use mnc::describe::{ChannelOrder, ConvSpec, CropRounding, Description, Margin, Resize, Rounding, Scores};
use mnc::graph::layer::Activation;
use mnc::job::Job;

/// Each configuration that was read, and what it changed.
pub(super) fn told(job: &Job) -> impl Iterator<Item = (&Path, Vec<String>)> {
    let configured = &job.configured;
    let said = [
        configured.alpha.map(|alpha| format!("alpha {alpha}")),
        configured.labels.as_ref().map(|it| format!("{} labels", it.len())),
    ];
    let mut said = Some(said.into_iter().flatten());
    let mut before = &job.written.description;
    configured.read.iter().map(move |reading| {
        let mut changes = changes(before, &reading.after);
        changes.extend(said.take().into_iter().flatten());
        changes.extend(
            reading.unknown.iter().map(|key| format!("unknown key {} is not followed", mnc::one_line(key))),
        );
        before = &reading.after;
        (reading.path.as_path(), changes)
    })
}

/// What the configurations and the weights' exporter changed, a line for each, by the files' names.
pub(super) fn told_by_files(job: &Job) -> Vec<String> {
    let read = told(job).filter(|(_, changes)| !changes.is_empty());
    let read =
        read.map(|(path, changes)| format!("{}: {}", mnc::request::file_name(path), changes.join(", ")));
    read.chain(told_by_exporter(job)).collect()
}

/// What the weights' exporter says in its code, where no file says it: the model, and what that changed.
pub(super) fn told_by_exporter(job: &Job) -> Option<String> {
    let exporter = job.configured.exporter.as_ref()?;
    let before = job.configured.read.last().map_or(&job.written.description, |reading| &reading.after);
    let changes = changes(before, &exporter.after);
    (!changes.is_empty()).then(|| format!("{}: {}", exporter.model, changes.join(", ")))
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
            Rounding::Nearest { multiple } | Rounding::NearestOfWhole { multiple, .. } => {
                format!("alpha rounded to multiples of {multiple}")
            }
        },
    );
    let epsilon = after.batch_norm_epsilon;
    note(before.batch_norm_epsilon != epsilon, format!("epsilon {epsilon}"));
    note(before.padding != after.padding, format!("padding {}", after.padding));
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
            Resize::Cover(margin) => format!("resize to {}, then crop", times(margin)),
            Resize::Stretch(Margin::NONE) => "resize by stretching".to_owned(),
            Resize::Stretch(margin) => format!("stretch to {}, then crop", times(margin)),
            Resize::Border(margin) => format!("resize to fit {}, on a border", times(margin)),
            Resize::Crop => "crop without a resize".to_owned(),
            Resize::Keep => "no resize".to_owned(),
        },
    );
    note(old.resample != new.resample, format!("{} filter", new.resample.name()));
    note(
        old.crop_rounding != new.crop_rounding,
        match new.crop_rounding {
            CropRounding::Down => "middle rounded down".to_owned(),
            CropRounding::Even => "middle rounded to even".to_owned(),
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

fn times(margin: Margin) -> String {
    match margin {
        Margin::Ratio(ratio) => format!("{ratio:.3} times the input"),
        Margin::CropPct(share) => format!("the input by {share}"),
    }
}

fn specs(description: &Description) -> impl Iterator<Item = &ConvSpec> {
    description.layers.iter().filter_map(|layer| layer.kind.spec())
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
