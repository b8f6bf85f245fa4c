//! The keys of blocks.

use super::super::source::Section;
use super::super::{
    BlockSpec, BlockWindow, ConvSpec, Expand, MAX_DILATION, MAX_EXPAND, MAX_KERNEL, MAX_STRIDE, Reduce,
    Sides, Slide, SqueezeSpec,
};
use super::layer::{read_conv, read_filters, read_taps, read_width};
use super::{Defaults, read_padding, read_plain_activation};
use crate::graph::layer::Activation;

/// The keys of a block with one window.
pub(super) const KEYS: &[&str] = &[
    "repeat",
    "stage",
    "expand",
    "expanded",
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
    "residual",
];

/// Those of a block with a window before and one behind the layer that widens.
pub(super) const UNIVERSAL_KEYS: &[&str] = &[
    "repeat",
    "stage",
    "start_kernel",
    "middle_kernel",
    "expand",
    "expanded",
    "filters",
    "scaled",
    "minimum",
    "stride",
    "dilation",
    "padding",
    "activation",
    "batch_norm",
    "bias",
    "residual",
];

/// Those of a gate.
pub(super) const SQUEEZE_KEYS: &[&str] =
    &["reduce", "reduced", "reduce_multiple", "reduce_activation", "gate_activation"];

/// 1x1, depthwise, 1x1; without the first where the map isn't widened.
pub(super) fn read_inverted_residual(section: &Section<'_>, defaults: &Defaults) -> BlockSpec {
    let expand = read_expand(section).filter(|expand| *expand != Expand::Times(1.0));
    let spec = read_conv(section, defaults);
    BlockSpec { expand, ..read_block(section, spec, BlockWindow::Middle) }
}

/// A standard convolution, 1x1.
pub(super) fn read_fused_inverted_residual(section: &Section<'_>, defaults: &Defaults) -> BlockSpec {
    let spec = read_conv(section, defaults);
    BlockSpec { expand: read_required_expand(section), ..read_block(section, spec, BlockWindow::Expand) }
}

/// 1x1, 1x1, and a depthwise convolution before and behind the first where the keys say so.
pub(super) fn read_universal(section: &Section<'_>, defaults: &Defaults) -> BlockSpec {
    let kernel = |key: &str| section.has(key).then(|| section.sides(key, 1..=MAX_KERNEL, 1));
    let (start, middle) = (kernel("start_kernel"), kernel("middle_kernel"));
    let (window, kernel, start_kernel) = match (start, middle) {
        (start, Some(middle)) => (BlockWindow::Middle, middle, start),
        (Some(start), None) => (BlockWindow::Start, start, None),
        (None, None) => {
            for key in ["stride", "dilation", "padding"].into_iter().filter(|key| section.has(key)) {
                let detail = "has no meaning without `start_kernel` or `middle_kernel`, expected it absent";
                section.fault(key, format!("`{key}` {detail}"));
            }
            (BlockWindow::Expand, Sides::square(1), None)
        }
    };
    let slide = Slide {
        kernel,
        stride: section.sides("stride", 1..=MAX_STRIDE, 1),
        dilation: section.sides("dilation", 1..=MAX_DILATION, 1),
    };
    let spec = read_taps(section, defaults, slide, read_padding(section, defaults.padding));
    let expand = read_required_expand(section);
    BlockSpec { start_kernel, expand, ..read_block(section, spec, window) }
}

fn read_block(section: &Section<'_>, spec: ConvSpec, window: BlockWindow) -> BlockSpec {
    BlockSpec {
        spec,
        window,
        start_kernel: None,
        expand: None,
        squeeze: read_squeeze(section),
        filters: read_filters(section),
        residual: section.boolean("residual", true),
    }
}

fn read_expand(section: &Section<'_>) -> Option<Expand> {
    if section.has("expand") && section.has("expanded") {
        section
            .fault("expanded", "`expanded` has no meaning beside `expand`, expected one of them".to_string());
    }
    if section.has("expanded") {
        return Some(Expand::To(read_width(section, "expanded")));
    }
    section.has("expand").then(|| Expand::Times(section.number("expand", 1e-2..=MAX_EXPAND, None)))
}

fn read_required_expand(section: &Section<'_>) -> Option<Expand> {
    let expand = read_expand(section);
    if expand.is_none() {
        section.missing("`expand` or `expanded`", "how wide the block gets");
    }
    expand
}

/// The gate of a layer that may have one: it has where its keys say how many channels are inside.
pub(super) fn read_squeeze(section: &Section<'_>) -> Option<SqueezeSpec> {
    if section.has("reduce") || section.has("reduced") {
        return Some(read_squeeze_excite(section));
    }
    for key in SQUEEZE_KEYS.iter().filter(|key| section.has(key)) {
        let detail = format!("`{key}` has no meaning without `reduce` or `reduced`, expected it absent");
        section.fault(key, detail);
    }
    None
}

/// A gate; a quarter of the channels inside unless its keys say otherwise.
pub(super) fn read_squeeze_excite(section: &Section<'_>) -> SqueezeSpec {
    let is_said = section.has("reduced");
    for key in ["reduce", "reduce_multiple"].into_iter().filter(|key| is_said && section.has(key)) {
        section.fault(key, format!("`{key}` has no meaning beside `reduced`, expected it absent"));
    }
    let reduce = if is_said {
        Reduce::To(read_width(section, "reduced"))
    } else {
        let multiple =
            section.has("reduce_multiple").then(|| section.integer("reduce_multiple", 1..=1024, None));
        Reduce::Times { times: section.number("reduce", 1e-3..=1.0, Some(0.25)), multiple }
    };
    SqueezeSpec {
        reduce,
        activation: read_plain_activation(section, "reduce_activation", Activation::Relu),
        gate: read_plain_activation(section, "gate_activation", Activation::HardSigmoid),
    }
}
