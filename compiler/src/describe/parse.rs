//! The keys of a network description: TOML tables -> [`Description`].
//!
//! `docs/description.md` is the user's side of this file. What only alpha and the resolution decide (shapes, names of
//! repeated layers) is checked by [`Graph::build`](crate::graph::Graph::build).

use std::collections::BTreeSet;

use super::source::{Section, Source, nearest, quote};
use super::{
    ChannelOrder, ConvSpec, Description, INPUT_NAME, InputSpec, LayerKind, LayerSpec, MAX_CHANNELS,
    MAX_KERNEL, MAX_LAYERS, MAX_SIDE, MAX_STRIDE, Padding, Preprocess, Resize, Rounding, Scores,
};
use crate::error::Result;
use crate::graph::layer::Activation;

/// Longest file, in bytes: [`MAX_LAYERS`] layers with every key and a comment each need less.
const MAX_TEXT_BYTES: usize = 1 << 20;

/// Most names that a misspelt one is compared with.
const MAX_HINTS: usize = 256;

const PADDINGS: &[(&str, Padding)] =
    &[("same", Padding::Same), ("symmetric", Padding::Symmetric), ("valid", Padding::Valid)];
/// The words of activations.
fn activations() -> [(&'static str, Activation); Activation::ALL.len()] {
    Activation::ALL.map(|activation| (activation.word(), activation))
}

/// `kind` as written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Conv,
    Depthwise,
    Pointwise,
    Separable,
    Add,
    GlobalAveragePool,
    Dense,
    Softmax,
}

const KINDS: &[(&str, Kind)] = &[
    ("conv", Kind::Conv),
    ("depthwise", Kind::Depthwise),
    ("pointwise", Kind::Pointwise),
    ("separable", Kind::Separable),
    ("add", Kind::Add),
    ("global_average_pool", Kind::GlobalAveragePool),
    ("dense", Kind::Dense),
    ("softmax", Kind::Softmax),
];

/// The keys that a layer of any kind may have.
const COMMON_KEYS: &[&str] = &["kind", "name", "input"];

/// Those that one of this kind may have beside them.
fn keys(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Conv | Kind::Separable => &[
            "repeat",
            "filters",
            "scaled",
            "kernel",
            "stride",
            "padding",
            "activation",
            "batch_norm",
            "bias",
        ],
        Kind::Depthwise => &["repeat", "kernel", "stride", "padding", "activation", "batch_norm", "bias"],
        Kind::Pointwise => &["repeat", "filters", "scaled", "activation", "batch_norm", "bias"],
        Kind::Add => &["from", "activation"],
        Kind::Dense => &["units", "activation", "bias"],
        Kind::GlobalAveragePool | Kind::Softmax => &[],
    }
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
        "padding",
        "batch_norm_epsilon",
        "input",
        "alpha",
        "preprocess",
        "scores",
        "layer",
    ]);
    let input = read_input(file);
    let defaults = Defaults {
        padding: file.choice("padding", PADDINGS, Padding::Same),
        activation: file.choice("activation", &activations(), Activation::Relu6),
    };
    Description {
        name: file.name("name", true, true).unwrap_or_default(),
        input,
        classes: file.integer("classes", 1..=MAX_CHANNELS, None),
        rounding: read_rounding(file),
        batch_norm_epsilon: file.number("batch_norm_epsilon", 1e-12..=1.0, Some(1e-3)),
        padding: defaults.padding,
        preprocess: read_preprocess(file, input.channels),
        scores: file.has("scores").then(|| file.choice("scores", Scores::NAMES, Scores::Softmax)),
        layers: read_layers(source, file, &defaults),
    }
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
    let nearest = alpha.choice("rounding", &[("floor", false), ("nearest", true)], false);
    let (word, other) = if nearest { ("nearest", "minimum") } else { ("floor", "multiple") };
    if alpha.has(other) {
        alpha.fault(other, format!("`{other}` has no meaning with rounding \"{word}\", expected it absent"));
    }
    if nearest {
        Rounding::Nearest { multiple: alpha.integer("multiple", 1..=1024, Some(8)) }
    } else {
        Rounding::Floor { minimum: alpha.integer("minimum", 1..=1024, Some(8)) }
    }
}

fn read_preprocess(file: &Section<'_>, channels: usize) -> Preprocess {
    let default = Preprocess {
        resize: Resize::Cover { ratio: 8.0 / 7.0 },
        scale: 1.0 / 255.0,
        mean: vec![0.5; channels],
        std: vec![0.5; channels],
        channel_order: ChannelOrder::Rgb,
    };
    let Some(section) = file.section("preprocess") else { return default };
    section.only(&["resize", "ratio", "scale", "mean", "std", "channel_order"]);
    let cover = section.choice("resize", &[("cover", true), ("stretch", false)], true);
    if !cover && section.has("ratio") {
        section
            .fault("ratio", "`ratio` has no meaning with resize \"stretch\", expected it absent".to_string());
    }
    let resize = if cover {
        Resize::Cover { ratio: section.number("ratio", 1.0..=4.0, Some(8.0 / 7.0)) }
    } else {
        Resize::Stretch
    };
    let orders = [("rgb", ChannelOrder::Rgb), ("bgr", ChannelOrder::Bgr)];
    Preprocess {
        resize,
        scale: section.number("scale", 1e-9..=1e9, Some(default.scale)),
        mean: section.numbers("mean", channels, -1e9..=1e9, 0.5),
        std: section.numbers("std", channels, 1e-9..=1e9, 0.5),
        channel_order: section.choice("channel_order", &orders, ChannelOrder::Rgb),
    }
}

fn read_layers(source: &Source<'_>, file: &Section<'_>, defaults: &Defaults) -> Vec<LayerSpec> {
    // Names of the layers before the current one; the network's input has one too.
    let mut names: BTreeSet<String> = BTreeSet::from([INPUT_NAME.to_string()]);
    let mut layers: Vec<LayerSpec> = Vec::new();
    let mut n_layers = 0;
    for section in file.sections("layer") {
        let at = section.at;
        let (layer, section) = read_layer(section, defaults);
        let from = match &layer.kind {
            LayerKind::Add { from, .. } => Some(from),
            _ => None,
        };
        for (key, earlier) in [("input", layer.input.as_ref()), ("from", from)] {
            let Some(earlier) = earlier.filter(|earlier| !earlier.is_empty() && !names.contains(*earlier))
            else {
                continue;
            };
            // Comparing each with each takes too long in a hostile file.
            let known: Vec<&str> = names.iter().map(String::as_str).take(MAX_HINTS).collect();
            let hint =
                nearest(earlier, &known).map_or(String::new(), |near| format!(", did you mean {near:?}?"));
            let found = quote(earlier);
            section
                .fault(key, format!("`{key}`: found {found}, expected the name of an earlier layer{hint}"));
        }
        if let Some(name) = &layer.name
            && !names.insert(name.clone())
        {
            let owner = if name == INPUT_NAME { "the network's input" } else { "an earlier layer" };
            section.fault(
                "name",
                format!("`name`: found \"{name}\", which names {owner}, expected a name of its own"),
            );
        }
        n_layers += layer.n_layers();
        if n_layers > MAX_LAYERS {
            source.fault(
                at,
                format!("found more than {MAX_LAYERS} layers up to here, repeats counted, expected fewer"),
            );
            break;
        }
        layers.push(layer);
    }
    layers
}

/// One layer, and its section under a name that tells its kind. A layer of unknown kind is read no further: whatever else
/// seems wrong with it may come from that.
fn read_layer<'s>(section: Section<'s>, defaults: &Defaults) -> (LayerSpec, Section<'s>) {
    let Some(kind) = section.required_choice("kind", KINDS) else {
        let name = section.name("name", false, false);
        return (LayerSpec { name, input: None, repeat: 1, kind: LayerKind::Softmax }, section);
    };
    let word = KINDS.iter().find(|(_, known)| *known == kind).map_or("", |(word, _)| word);
    let section = section.called(format!("a layer of kind \"{word}\""));
    section.only(&[COMMON_KEYS, keys(kind)].concat());
    let layer = LayerSpec {
        name: section.name("name", false, false),
        input: section.name("input", false, false),
        repeat: if keys(kind).contains(&"repeat") {
            section.integer("repeat", 1..=MAX_LAYERS, Some(1))
        } else {
            1
        },
        kind: read_kind(&section, kind, defaults),
    };
    (layer, section)
}

fn read_kind(section: &Section<'_>, kind: Kind, defaults: &Defaults) -> LayerKind {
    let filters = || section.integer("filters", 1..=MAX_CHANNELS, None);
    let scaled = || section.boolean("scaled", true);
    match kind {
        Kind::Conv => {
            LayerKind::Conv { spec: read_conv(section, defaults), filters: filters(), scaled: scaled() }
        }
        Kind::Pointwise => {
            let spec = read_taps(section, defaults, 1, 1, Padding::Valid);
            LayerKind::Conv { spec, filters: filters(), scaled: scaled() }
        }
        Kind::Separable => {
            LayerKind::Separable { spec: read_conv(section, defaults), filters: filters(), scaled: scaled() }
        }
        Kind::Depthwise => LayerKind::Depthwise { spec: read_conv(section, defaults) },
        Kind::Add => LayerKind::Add {
            from: section.name("from", false, true).unwrap_or_default(),
            activation: section.choice("activation", &activations(), Activation::None),
        },
        Kind::GlobalAveragePool => LayerKind::GlobalAveragePool,
        Kind::Dense => LayerKind::Dense {
            units: section.has("units").then(|| section.integer("units", 1..=MAX_CHANNELS, None)),
            activation: section.choice("activation", &activations(), Activation::None),
            bias: section.boolean("bias", true),
        },
        Kind::Softmax => LayerKind::Softmax,
    }
}

fn read_conv(section: &Section<'_>, defaults: &Defaults) -> ConvSpec {
    let kernel = section.integer("kernel", 1..=MAX_KERNEL, Some(3));
    let stride = section.integer("stride", 1..=MAX_STRIDE, Some(1));
    let padding = section.choice("padding", PADDINGS, defaults.padding);
    read_taps(section, defaults, kernel, stride, padding)
}

fn read_taps(
    section: &Section<'_>,
    defaults: &Defaults,
    kernel: usize,
    stride: usize,
    padding: Padding,
) -> ConvSpec {
    let batch_norm = section.boolean("batch_norm", true);
    ConvSpec {
        kernel,
        stride,
        padding,
        activation: section.choice("activation", &activations(), defaults.activation),
        batch_norm,
        bias: section.boolean("bias", !batch_norm),
    }
}
