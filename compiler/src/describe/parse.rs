//! The keys of a network description: TOML tables -> [`Description`].
//!
//! `docs/description.md` is the user's side of this file. What only alpha and the resolution decide (shapes, names of
//! repeated layers) is checked by [`Graph::build`](crate::graph::Graph::build).

mod block;
mod detect;
mod layer;

use std::collections::BTreeSet;

use self::detect::read_detect;
use self::layer::{read_layers, unknown_name};
use super::source::{Section, Source, quote};
use super::{
    ChannelOrder, CropRounding, Description, INPUT_NAME, InputSpec, LayerSpec, MAX_CHANNELS, MAX_OUTPUTS,
    MAX_PAD, MAX_SIDE, Margin, Padding, Pads, Preprocess, Resample, Resize, Rounding, Scores, Sides,
};
use crate::error::Result;
use crate::graph::layer::Activation;

/// Longest file, in bytes: [`MAX_LAYERS`] layers with every key and a comment each need less.
const MAX_TEXT_BYTES: usize = 1 << 20;

/// The padding of a section, or the one that it has without saying so: a rule, one number, one for rows and one for columns, or
/// one for each side.
fn read_padding(section: &Section<'_>, default: Padding) -> Padding {
    const KEY: &str = "padding";
    let rules = [Padding::Same, Padding::Symmetric, Padding::Valid, Padding::Keras]
        .map(|rule| (rule.to_string(), rule));
    if !section.has(KEY) {
        return default;
    }
    if section.is_text(KEY) {
        return section.choice(KEY, &rules.each_ref().map(|(word, rule)| (word.as_str(), *rule)), default);
    }
    let pads = if section.is_table(KEY) {
        let Some(sides) = section.section(KEY) else { return default };
        sides.only(&["top", "left", "bottom", "right"]);
        let side = |key: &str| sides.integer(key, 0..=MAX_PAD, Some(0));
        Pads { top: side("top"), left: side("left"), bottom: side("bottom"), right: side("right") }
    } else {
        let Sides { rows, columns } = section.sides(KEY, 0..=MAX_PAD, 0);
        Pads { top: rows, left: columns, bottom: rows, right: columns }
    };
    Padding::Numbers(pads)
}

/// The activation of a section, or the one that it has without saying so, and its slope, if it is a leaky ReLU.
fn read_activation(section: &Section<'_>, default: Activation) -> Activation {
    let words = Activation::ALL.map(|activation| (activation.word(), activation));
    let activation = section.choice("activation", &words, default);
    if activation.slope().is_none() {
        if section.has("slope") {
            let word = activation.word();
            let detail = format!("`slope` has no meaning with activation \"{word}\", expected it absent");
            section.fault("slope", detail);
        }
        return activation;
    }
    let slope = section.number("slope", 1e-4..=1.0, default.slope().map(f64::from));
    Activation::leaky_relu(slope as f32).unwrap_or(default)
}

/// An activation under a key of its own. None has a slope there.
fn read_plain_activation(section: &Section<'_>, key: &str, default: Activation) -> Activation {
    let plain = Activation::ALL.into_iter().filter(|activation| activation.slope().is_none());
    let words: Vec<(&str, Activation)> = plain.map(|activation| (activation.word(), activation)).collect();
    section.choice(key, &words, default)
}

/// What layers take from the network when they don't say it themselves.
struct Defaults {
    padding: Padding,
    activation: Activation,
}

pub(super) fn parse(text: &str, place: &str) -> Result<Description> {
    let source = Source::new(text, place);
    let description = if text.len() > MAX_TEXT_BYTES {
        source.fault(0, format!("found {} bytes, expected at most {MAX_TEXT_BYTES}", text.len()));
        None
    } else {
        source.parse().map(|root| {
            let file = Section::new(&source, root.get_ref(), "the file".to_string(), 0);
            read_file(&source, &file)
        })
    };
    source.finish()?;
    Ok(description.expect("a file without a description has a fault"))
}

fn read_file(source: &Source<'_>, file: &Section<'_>) -> Description {
    file.only(&[
        "name",
        "classes",
        "activation",
        "slope",
        "padding",
        "batch_norm_epsilon",
        "input",
        "alpha",
        "preprocess",
        "scores",
        "outputs",
        "detect",
        "layer",
    ]);
    let input = read_input(file);
    let defaults = Defaults {
        padding: read_padding(file, Padding::Same),
        activation: read_activation(file, Activation::Relu6),
    };
    let mut description = Description {
        name: file.name("name", true, true).unwrap_or_default(),
        input,
        classes: file.integer("classes", 1..=MAX_CHANNELS, None),
        rounding: read_rounding(file),
        batch_norm_epsilon: file.number("batch_norm_epsilon", 1e-12..=1.0, Some(1e-3)),
        padding: defaults.padding,
        preprocess: read_preprocess(file, input.channels),
        scores: file.has("scores").then(|| file.choice("scores", Scores::NAMES, Scores::Softmax)),
        layers: read_layers(source, file, &defaults),
        is_headless: false,
        outputs: Vec::new(),
        detect: None,
    };
    description.outputs = read_outputs(source, file, &description.layers);
    description.detect = read_detect(source, file, &description.outputs, description.classes);
    description
}

/// The layers that the network returns, each once, by names that stay apart as parts of identifiers.
fn read_outputs(source: &Source<'_>, file: &Section<'_>, layers: &[LayerSpec]) -> Vec<String> {
    if !file.has("outputs") {
        return Vec::new();
    }
    let parts = layers.iter().flat_map(LayerSpec::part_names);
    let names: BTreeSet<String> = parts.chain(layers.iter().filter_map(|layer| layer.name.clone())).collect();
    let mut outputs: Vec<String> = Vec::new();
    for (at, name) in file.names("outputs", MAX_OUTPUTS) {
        let same = outputs.iter().find(|other| identifier(other) == identifier(&name));
        if name == INPUT_NAME {
            source.fault(at, "`outputs`: found \"input\", the network's input, expected the name of a layer");
        } else if !names.contains(name.as_str()) {
            let hint = unknown_name(&name, &names);
            source
                .fault(at, format!("`outputs`: found {}, expected the name of a layer{hint}", quote(&name)));
        } else if same == Some(&name) {
            source.fault(at, format!("`outputs`: found {name:?} twice, expected each layer once"));
        } else if let Some(other) = same {
            source.fault(
                at,
                format!(
                    "`outputs`: found {name:?} beside {other:?}, expected names that differ in more than case, `-` and `_`: they \
                     become parts of identifiers"
                ),
            );
        }
        outputs.push(name);
    }
    outputs
}

/// What of a name is left in an identifier of capitals.
fn identifier(name: &str) -> String {
    name.to_ascii_uppercase().replace('-', "_")
}

fn read_input(file: &Section<'_>) -> InputSpec {
    let Some(input) = file.section("input") else {
        if !file.has("input") {
            file.fault(
                "input",
                "the file has no [input], expected its height, width and channels".to_string(),
            );
        }
        // A stand-in: the usual one, so that the lengths of mean and std are judged sensibly.
        return InputSpec { height: 1, width: 1, channels: 3 };
    };
    input.only(&["height", "width", "channels"]);
    InputSpec {
        height: input.integer("height", 1..=MAX_SIDE, None),
        width: input.integer("width", 1..=MAX_SIDE, None),
        channels: input.integer("channels", 1..=MAX_CHANNELS, None),
    }
}

fn read_rounding(file: &Section<'_>) -> Rounding {
    let Some(alpha) = file.section("alpha") else { return Rounding::Floor { minimum: 8 } };
    alpha.only(&["rounding", "minimum", "multiple"]);
    let without = |other: &str, word: &str| {
        if alpha.has(other) {
            alpha.fault(
                other,
                format!("`{other}` has no meaning with rounding \"{word}\", expected it absent"),
            );
        }
    };
    let multiple = || alpha.integer("multiple", 1..=1024, Some(8));
    let minimum = |default| alpha.integer("minimum", 1..=1024, Some(default));
    match alpha.choice("rounding", &[("floor", 0), ("nearest", 1), ("nearest_of_whole", 2)], 0) {
        0 => {
            without("multiple", "floor");
            Rounding::Floor { minimum: minimum(8) }
        }
        1 => {
            without("minimum", "nearest");
            Rounding::Nearest { multiple: multiple() }
        }
        _ => {
            let multiple = multiple();
            Rounding::NearestOfWhole { multiple, minimum: minimum(multiple) }
        }
    }
}

fn read_preprocess(file: &Section<'_>, channels: usize) -> Preprocess {
    let default = Preprocess {
        resize: Resize::Cover(Margin::USUAL),
        resample: Resample::default(),
        crop_rounding: CropRounding::default(),
        fill: Vec::new(),
        scale: 1.0 / 255.0,
        mean: vec![0.5; channels],
        std: vec![0.5; channels],
        channel_order: ChannelOrder::Rgb,
    };
    let Some(section) = file.section("preprocess") else { return default };
    section.only(&[
        "resize",
        "ratio",
        "crop_pct",
        "resample",
        "crop_rounding",
        "fill",
        "scale",
        "mean",
        "std",
        "channel_order",
    ]);
    let orders = [("rgb", ChannelOrder::Rgb), ("bgr", ChannelOrder::Bgr)];
    let resize = read_resize(&section);
    let filters = Resample::ALL.map(|filter| (filter.name(), filter));
    Preprocess {
        resize,
        resample: section.choice("resample", &filters, default.resample),
        crop_rounding: section.choice(
            "crop_rounding",
            &[("down", CropRounding::Down), ("even", CropRounding::Even)],
            default.crop_rounding,
        ),
        fill: read_fill(&section, resize, channels),
        scale: section.number("scale", 1e-9..=1e9, Some(default.scale)),
        mean: section.numbers("mean", channels, -1e9..=1e9, 0.5),
        std: section.numbers("std", channels, 1e-9..=1e9, 0.5),
        channel_order: section.choice("channel_order", &orders, ChannelOrder::Rgb),
    }
}

/// What lies around an image that keeps its aspect and fits into the input.
fn read_fill(section: &Section<'_>, resize: Resize, channels: usize) -> Vec<u8> {
    match resize {
        Resize::Border(_) => {
            let fill = section.numbers("fill", channels, 0.0..=255.0, 0.0);
            fill.iter().map(|level| level.round_ties_even() as u8).collect()
        }
        Resize::Cover(_) | Resize::Stretch(_) | Resize::Crop | Resize::Keep => {
            section.meaningless("fill", "without resize \"border\"");
            Vec::new()
        }
    }
}

/// How an image is brought to size, and how much of it is cut off.
fn read_resize(section: &Section<'_>) -> Resize {
    let rules = [
        ("cover", Resize::Cover(Margin::USUAL)),
        ("stretch", Resize::Stretch(Margin::NONE)),
        ("border", Resize::Border(Margin::NONE)),
        ("crop", Resize::Crop),
        ("none", Resize::Keep),
    ];
    let mut resize = section.choice("resize", &rules, Resize::Cover(Margin::USUAL));
    match &mut resize {
        Resize::Cover(margin) | Resize::Stretch(margin) | Resize::Border(margin) => {
            if section.has("crop_pct") {
                section.meaningless("ratio", "beside `crop_pct`");
                *margin = Margin::CropPct(section.number("crop_pct", 0.25..=1.0, None));
            } else if section.has("ratio") {
                *margin = Margin::Ratio(section.number("ratio", 1.0..=4.0, None));
            }
        }
        Resize::Crop | Resize::Keep => {
            for key in ["ratio", "crop_pct", "resample"] {
                section.meaningless(key, "without a resize");
            }
            if resize == Resize::Keep {
                section.meaningless("crop_rounding", "with resize \"none\"");
            }
        }
    }
    resize
}
