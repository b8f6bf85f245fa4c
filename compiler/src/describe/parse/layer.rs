//! The keys of a `[[layer]]`.

use std::collections::BTreeSet;

use super::super::source::{Section, Source, nearest, quote};
use super::super::{
    ConvSpec, INPUT_NAME, LayerKind, LayerSpec, MAX_CHANNELS, MAX_DILATION, MAX_JOINED, MAX_KERNEL,
    MAX_LAYERS, MAX_MULTIPLIER, MAX_STRIDE, MAX_UPSAMPLE, NormSpec, Padding, Sides, Slide, Width,
};
use super::{Defaults, block, read_activation, read_padding};
use crate::graph::layer::{Activation, Flatten, Pooling};

/// Most names that a misspelt one is compared with.
const MAX_HINTS: usize = 256;

/// `kind` as written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Conv,
    Depthwise,
    Pointwise,
    Separable,
    InvertedResidual,
    FusedInvertedResidual,
    UniversalInvertedBottleneck,
    SqueezeExcite,
    Add,
    Multiply,
    MaxPool,
    AveragePool,
    Concat,
    Upsample,
    GlobalAveragePool,
    Dense,
    Softmax,
}

const KINDS: &[(&str, Kind)] = &[
    ("conv", Kind::Conv),
    ("depthwise", Kind::Depthwise),
    ("pointwise", Kind::Pointwise),
    ("separable", Kind::Separable),
    ("inverted_residual", Kind::InvertedResidual),
    ("fused_inverted_residual", Kind::FusedInvertedResidual),
    ("universal_inverted_bottleneck", Kind::UniversalInvertedBottleneck),
    ("squeeze_excite", Kind::SqueezeExcite),
    ("add", Kind::Add),
    ("multiply", Kind::Multiply),
    ("max_pool", Kind::MaxPool),
    ("average_pool", Kind::AveragePool),
    ("concat", Kind::Concat),
    ("upsample", Kind::Upsample),
    ("global_average_pool", Kind::GlobalAveragePool),
    ("dense", Kind::Dense),
    ("softmax", Kind::Softmax),
];

/// The keys that a layer of any kind may have.
const COMMON_KEYS: &[&str] = &["kind", "name", "input"];

/// Those that one of this kind may have beside them.
fn keys(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Conv => &[
            "repeat",
            "stage",
            "filters",
            "scaled",
            "minimum",
            "groups",
            "kernel",
            "stride",
            "dilation",
            "padding",
            "activation",
            "batch_norm",
            "bias",
        ],
        Kind::Separable => &[
            "repeat",
            "stage",
            "filters",
            "scaled",
            "minimum",
            "kernel",
            "stride",
            "dilation",
            "padding",
            "activation",
            "batch_norm",
            "bias",
        ],
        Kind::Depthwise => &[
            "repeat",
            "stage",
            "multiplier",
            "kernel",
            "stride",
            "dilation",
            "padding",
            "activation",
            "batch_norm",
            "bias",
        ],
        Kind::Pointwise => {
            &["repeat", "stage", "filters", "scaled", "minimum", "groups", "activation", "batch_norm", "bias"]
        }
        Kind::InvertedResidual | Kind::FusedInvertedResidual => block::KEYS,
        Kind::UniversalInvertedBottleneck => block::UNIVERSAL_KEYS,
        Kind::SqueezeExcite => &["scaled"],
        Kind::Add | Kind::Multiply => &["from", "activation"],
        Kind::MaxPool => &["kernel", "stride", "padding"],
        Kind::AveragePool => &["kernel", "stride", "padding", "count_padding"],
        Kind::Concat => &["from"],
        Kind::Upsample => &["factor"],
        Kind::Dense => &["units", "flatten", "activation", "bias"],
        Kind::GlobalAveragePool | Kind::Softmax => &[],
    }
}

/// Whether a layer of this kind may have a gate.
fn has_squeeze(kind: Kind) -> bool {
    match kind {
        Kind::Separable
        | Kind::InvertedResidual
        | Kind::FusedInvertedResidual
        | Kind::UniversalInvertedBottleneck
        | Kind::SqueezeExcite => true,
        Kind::Conv
        | Kind::Depthwise
        | Kind::Pointwise
        | Kind::Add
        | Kind::Multiply
        | Kind::MaxPool
        | Kind::AveragePool
        | Kind::Concat
        | Kind::Upsample
        | Kind::GlobalAveragePool
        | Kind::Dense
        | Kind::Softmax => false,
    }
}

pub(super) fn read_layers(source: &Source<'_>, file: &Section<'_>, defaults: &Defaults) -> Vec<LayerSpec> {
    // Names of the layers before the current one; the network's input has one too.
    let mut names: BTreeSet<String> = BTreeSet::from([INPUT_NAME.to_string()]);
    let mut layers: Vec<LayerSpec> = Vec::new();
    let mut n_layers = 0;
    for section in file.sections("layer") {
        let at = section.at;
        let (layer, section) = read_layer(section, defaults);
        let input = layer.input.iter().map(|name| ("input", name));
        let earlier = input.chain(layer.kind.from().iter().map(|name| ("from", name)));
        for (key, earlier) in earlier.filter(|(_, name)| !name.is_empty() && !names.contains(*name)) {
            let hint = unknown_name(earlier, &names);
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
        names.extend(layer.part_names());
        layers.push(layer);
    }
    layers
}

/// The end of a fault about a name that no layer has: which may have been meant.
pub(super) fn unknown_name<N: AsRef<str>>(found: &str, names: &BTreeSet<N>) -> String {
    // Comparing each with each takes too long in a hostile file.
    let known: Vec<&str> = names.iter().map(N::as_ref).take(MAX_HINTS).collect();
    nearest(found, &known).map_or(String::new(), |near| format!(", did you mean {near:?}?"))
}

/// One layer, and its section under a name that tells its kind. A layer of unknown kind is read no further: whatever else
/// seems wrong with it may come from that.
fn read_layer<'s>(section: Section<'s>, defaults: &Defaults) -> (LayerSpec, Section<'s>) {
    let Some(kind) = section.required_choice("kind", KINDS) else {
        let name = section.name("name", false, false);
        return (LayerSpec { name, input: None, repeat: 1, stage: None, kind: LayerKind::Softmax }, section);
    };
    let word = KINDS.iter().find(|(_, known)| *known == kind).map_or("", |(word, _)| word);
    let section = section.called(format!("a layer of kind \"{word}\""));
    // A leaky ReLU's slope may stand wherever an activation may.
    let slope: &[&str] = if keys(kind).contains(&"activation") { &["slope"] } else { &[] };
    let squeeze: &[&str] = if has_squeeze(kind) { block::SQUEEZE_KEYS } else { &[] };
    section.only(&[COMMON_KEYS, keys(kind), squeeze, slope].concat());
    let layer = LayerSpec {
        name: section.name("name", false, false),
        input: section.name("input", false, false),
        repeat: if keys(kind).contains(&"repeat") {
            section.integer("repeat", 1..=MAX_LAYERS, Some(1))
        } else {
            1
        },
        stage: section.has("stage").then(|| section.integer("stage", 0..=MAX_LAYERS, None)),
        kind: read_kind(&section, kind, defaults),
    };
    (layer, section)
}

fn read_kind(section: &Section<'_>, kind: Kind, defaults: &Defaults) -> LayerKind {
    let from = || section.name("from", false, true).unwrap_or_default();
    let activation = || read_activation(section, Activation::None);
    let groups = || section.integer("groups", 1..=MAX_CHANNELS, Some(1));
    match kind {
        Kind::Conv => LayerKind::Conv {
            spec: read_conv(section, defaults),
            filters: read_filters(section),
            groups: groups(),
        },
        Kind::Pointwise => {
            let spec = read_taps(section, defaults, Slide::POINTWISE, Padding::Valid);
            LayerKind::Conv { spec, filters: read_filters(section), groups: groups() }
        }
        Kind::Separable => {
            let (spec, squeeze) = (read_conv(section, defaults), block::read_squeeze(section));
            LayerKind::Separable { spec, squeeze, filters: read_filters(section) }
        }
        Kind::Depthwise => LayerKind::Depthwise {
            spec: read_conv(section, defaults),
            multiplier: section.integer("multiplier", 1..=MAX_MULTIPLIER, Some(1)),
        },
        Kind::InvertedResidual => LayerKind::Block(block::read_inverted_residual(section, defaults)),
        Kind::FusedInvertedResidual => {
            LayerKind::Block(block::read_fused_inverted_residual(section, defaults))
        }
        Kind::UniversalInvertedBottleneck => LayerKind::Block(block::read_universal(section, defaults)),
        Kind::SqueezeExcite => LayerKind::SqueezeExcite(block::read_squeeze_excite(section)),
        Kind::Add => LayerKind::Add { from: from(), activation: activation() },
        Kind::Multiply => LayerKind::Multiply { from: from(), activation: activation() },
        Kind::MaxPool => read_pool(section, Pooling::Max),
        Kind::AveragePool => {
            read_pool(section, Pooling::Average { counts_padding: section.boolean("count_padding", false) })
        }
        Kind::Concat => {
            let from = section.names("from", MAX_JOINED - 1);
            LayerKind::Concat { from: from.into_iter().map(|(_, name)| name).collect() }
        }
        Kind::Upsample => LayerKind::Upsample { factor: section.integer("factor", 2..=MAX_UPSAMPLE, None) },
        Kind::GlobalAveragePool => LayerKind::GlobalAveragePool,
        Kind::Dense => LayerKind::Dense {
            units: section.has("units").then(|| section.integer("units", 1..=MAX_CHANNELS, None)),
            flatten: section.choice("flatten", &Flatten::NAMES, Flatten::Hwc),
            activation: activation(),
            bias: section.boolean("bias", true),
        },
        Kind::Softmax => LayerKind::Softmax,
    }
}

/// Pools halve a map, without padding, unless they say otherwise.
fn read_pool(section: &Section<'_>, pooling: Pooling) -> LayerKind {
    let slide = Slide {
        kernel: section.sides("kernel", 1..=MAX_KERNEL, 2),
        stride: section.sides("stride", 1..=MAX_STRIDE, 2),
        dilation: Sides::square(1),
    };
    LayerKind::Pool { pooling, slide, padding: read_padding(section, Padding::Valid) }
}

pub(super) fn read_filters(section: &Section<'_>) -> Width {
    match read_width(section, "filters") {
        Width::Scaled { channels, .. } => {
            Width::Scaled { channels, minimum: section.integer("minimum", 1..=MAX_CHANNELS, Some(1)) }
        }
        Width::Fixed(channels) => {
            if section.has("minimum") {
                let detail = "`minimum` has no meaning without `scaled`, expected it absent";
                section.fault("minimum", detail.to_string());
            }
            Width::Fixed(channels)
        }
    }
}

/// The width under a key, to which alpha applies unless the layer says otherwise.
pub(super) fn read_width(section: &Section<'_>, key: &str) -> Width {
    let channels = section.integer(key, 1..=MAX_CHANNELS, None);
    if section.boolean("scaled", true) {
        Width::Scaled { channels, minimum: 1 }
    } else {
        Width::Fixed(channels)
    }
}

pub(super) fn read_conv(section: &Section<'_>, defaults: &Defaults) -> ConvSpec {
    let slide = Slide {
        kernel: section.sides("kernel", 1..=MAX_KERNEL, 3),
        stride: section.sides("stride", 1..=MAX_STRIDE, 1),
        dilation: section.sides("dilation", 1..=MAX_DILATION, 1),
    };
    read_taps(section, defaults, slide, read_padding(section, defaults.padding))
}

pub(super) fn read_taps(
    section: &Section<'_>,
    defaults: &Defaults,
    slide: Slide,
    padding: Padding,
) -> ConvSpec {
    let norm = read_norm(section);
    ConvSpec {
        slide,
        padding,
        activation: read_activation(section, defaults.activation),
        norm,
        bias: section.boolean("bias", norm.is_none()),
    }
}

/// The batch norm of a section: whether there is one, or what is unusual about it.
fn read_norm(section: &Section<'_>) -> Option<NormSpec> {
    const KEY: &str = "batch_norm";
    if !section.is_table(KEY) {
        return section.boolean(KEY, true).then_some(NormSpec::WHOLE);
    }
    let norm = section.section(KEY)?;
    norm.only(&["epsilon", "gamma", "beta"]);
    Some(NormSpec {
        epsilon: norm.has("epsilon").then(|| norm.number("epsilon", 1e-12..=1.0, None)),
        gamma: norm.boolean("gamma", true),
        beta: norm.boolean("beta", true),
    })
}
