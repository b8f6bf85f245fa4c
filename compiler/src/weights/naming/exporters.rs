//! The namings that there are, as tables.
//!
//! A further exporter is a const here, its name in [`Naming::ALL`] and a listing in the tests; a further family of networks is a
//! [`Family`] of its exporter.

use super::{Axes, Family, Naming, Rule, When};
use crate::graph::Role;
use crate::weights::layout::Layout;

const TORCH_FILTER: [&str; 2] = ["weight", "bias"];
const TORCH_NORM: [&str; 4] = ["weight", "bias", "running_mean", "running_var"];
const TORCH_BOOKKEEPING: &[&str] = &["num_batches_tracked"];

/// A row of a table.
const fn rule(role: Role, filter: &'static str, norm: &'static str) -> Rule {
    Rule { role: Some(role), when: When::Always, filter, norm }
}

/// A row for some blocks only.
const fn rule_when(when: When, role: Role, filter: &'static str, norm: &'static str) -> Rule {
    Rule { role: Some(role), when, filter, norm }
}

impl Naming {
    /// Hugging Face transformers, `MobileNetV1ForImageClassification` and `MobileNetV2ForImageClassification`.
    pub const HUGGING_FACE: Naming = Naming {
        name: "huggingface",
        exporter: "Hugging Face MobileNetV1 and MobileNetV2ForImageClassification",
        families: &[HUGGING_FACE_V1, HUGGING_FACE_V2],
        layout: Layout::Oihw,
        filter_words: TORCH_FILTER,
        norm_words: TORCH_NORM,
        bookkeeping: TORCH_BOOKKEEPING,
    };

    /// timm, `mobilenetv1_*` to `mobilenetv4_conv_*`, and what it builds of the same blocks.
    pub const TIMM: Naming = Naming {
        name: "timm",
        exporter: "timm mobilenetv1_* to mobilenetv4_conv_*",
        families: &[TIMM_BLOCKS, TIMM_V4],
        layout: Layout::Oihw,
        filter_words: TORCH_FILTER,
        norm_words: TORCH_NORM,
        bookkeeping: TORCH_BOOKKEEPING,
    };

    /// torchvision, `mobilenet_v2`, `mobilenet_v3_large` and `mobilenet_v3_small`.
    pub const TORCHVISION: Naming = Naming {
        name: "torchvision",
        exporter: "torchvision mobilenet_v2 and mobilenet_v3_*",
        families: &[TORCHVISION_V2, TORCHVISION_V3],
        layout: Layout::Oihw,
        filter_words: TORCH_FILTER,
        norm_words: TORCH_NORM,
        bookkeeping: TORCH_BOOKKEEPING,
    };

    /// Our own, for described networks: tensors are called as the description calls the layers.
    pub const PLAIN: Naming = Naming {
        name: "plain",
        exporter: "mnc, by the layers' names",
        families: &[Family {
            rules: &[Rule { role: None, when: When::Always, filter: "{name}", norm: "{name}.norm" }],
            axes: Axes::OfLayer,
        }],
        layout: Layout::Oihw,
        filter_words: TORCH_FILTER,
        norm_words: ["gamma", "beta", "mean", "variance"],
        bookkeeping: &[],
    };

    /// Every naming, in the order in which they are tried.
    pub const ALL: &[&Naming] = &[&Naming::HUGGING_FACE, &Naming::TIMM, &Naming::TORCHVISION, &Naming::PLAIN];
}

/// Blocks are counted by their convolutions.
const HUGGING_FACE_V1: Family = Family {
    rules: &[
        rule(Role::Stem, "mobilenet_v1.conv_stem.convolution", "mobilenet_v1.conv_stem.normalization"),
        rule(Role::Depthwise, "mobilenet_v1.layer.{c}.convolution", "mobilenet_v1.layer.{c}.normalization"),
        rule(Role::Pointwise, "mobilenet_v1.layer.{c}.convolution", "mobilenet_v1.layer.{c}.normalization"),
        rule(Role::Classifier, "classifier", ""),
    ],
    axes: Axes::TwoIn(&[Role::Classifier]),
};

/// The first block is part of the stem.
const HUGGING_FACE_V2: Family = {
    macro_rules! part {
        ($name:literal) => {
            (
                concat!("mobilenet_v2.", $name, ".convolution"),
                concat!("mobilenet_v2.", $name, ".normalization"),
            )
        };
    }
    const fn part(role: Role, names: (&'static str, &'static str)) -> Rule {
        rule(role, names.0, names.1)
    }
    const fn first(role: Role, names: (&'static str, &'static str)) -> Rule {
        rule_when(When::First, role, names.0, names.1)
    }
    Family {
        rules: &[
            part(Role::Stem, part!("conv_stem.first_conv")),
            first(Role::Expand, part!("conv_stem.expand_1x1")),
            first(Role::Depthwise, part!("conv_stem.conv_3x3")),
            first(Role::Pointwise, part!("conv_stem.reduce_1x1")),
            first(Role::Project, part!("conv_stem.reduce_1x1")),
            part(Role::Expand, part!("layer.{i-1}.expand_1x1")),
            part(Role::Depthwise, part!("layer.{i-1}.conv_3x3")),
            part(Role::Project, part!("layer.{i-1}.reduce_1x1")),
            part(Role::Head, part!("conv_1x1")),
            rule(Role::Classifier, "classifier", ""),
        ],
        axes: Axes::TwoIn(&[Role::Classifier]),
    }
};

/// Depthwise-separable blocks, inverted residuals and convolutions: V1 to V3, EfficientNet-Lite, PP-LCNet.
const TIMM_BLOCKS: Family = Family {
    rules: &[
        rule(Role::Stem, "conv_stem", "bn1"),
        rule(Role::Conv, "blocks.{stage}.{block}.conv", "blocks.{stage}.{block}.bn{n}"),
        rule_when(
            When::Fused,
            Role::Expand,
            "blocks.{stage}.{block}.conv_exp",
            "blocks.{stage}.{block}.bn{n}",
        ),
        rule(Role::Expand, "blocks.{stage}.{block}.conv_pw", "blocks.{stage}.{block}.bn{n}"),
        rule(Role::Depthwise, "blocks.{stage}.{block}.conv_dw", "blocks.{stage}.{block}.bn{n}"),
        rule(Role::Reduce, "blocks.{stage}.{block}.se.conv_reduce", ""),
        rule(Role::Gate, "blocks.{stage}.{block}.se.conv_expand", ""),
        rule(Role::Pointwise, "blocks.{stage}.{block}.conv_pw", "blocks.{stage}.{block}.bn{n}"),
        rule_when(
            When::Widened,
            Role::Project,
            "blocks.{stage}.{block}.conv_pwl",
            "blocks.{stage}.{block}.bn{n}",
        ),
        rule(Role::Project, "blocks.{stage}.{block}.conv_pw", "blocks.{stage}.{block}.bn{n}"),
        rule(Role::Head, "conv_head", "bn2"),
        rule(Role::Classifier, "classifier", ""),
    ],
    axes: Axes::TwoIn(&[Role::Classifier]),
};

/// Universal inverted bottlenecks.
const TIMM_V4: Family = Family {
    rules: &[
        rule(Role::Stem, "conv_stem", "bn1"),
        rule(Role::Conv, "blocks.{stage}.{block}.conv", "blocks.{stage}.{block}.bn{n}"),
        rule_when(
            When::Fused,
            Role::Expand,
            "blocks.{stage}.{block}.conv_exp",
            "blocks.{stage}.{block}.bn{n}",
        ),
        rule_when(
            When::Fused,
            Role::Project,
            "blocks.{stage}.{block}.conv_pwl",
            "blocks.{stage}.{block}.bn{n}",
        ),
        rule(
            Role::StartDepthwise,
            "blocks.{stage}.{block}.dw_start.conv",
            "blocks.{stage}.{block}.dw_start.bn",
        ),
        rule(Role::Expand, "blocks.{stage}.{block}.pw_exp.conv", "blocks.{stage}.{block}.pw_exp.bn"),
        rule(Role::Depthwise, "blocks.{stage}.{block}.dw_mid.conv", "blocks.{stage}.{block}.dw_mid.bn"),
        rule(Role::Project, "blocks.{stage}.{block}.pw_proj.conv", "blocks.{stage}.{block}.pw_proj.bn"),
        rule(Role::Head, "conv_head", "norm_head"),
        rule(Role::Classifier, "classifier", ""),
    ],
    axes: Axes::TwoIn(&[Role::Classifier]),
};

/// The stem is the first of the features, the projection's norm a part of its own.
const TORCHVISION_V2: Family = Family {
    rules: &[
        rule(Role::Stem, "features.0.0", "features.0.1"),
        rule(Role::Expand, "features.{i+1}.conv.{p}.0", "features.{i+1}.conv.{p}.1"),
        rule(Role::Depthwise, "features.{i+1}.conv.{p}.0", "features.{i+1}.conv.{p}.1"),
        rule_when(When::First, Role::Pointwise, "features.{i+1}.conv.{p}", "features.{i+1}.conv.{p+1}"),
        rule(Role::Project, "features.{i+1}.conv.{p}", "features.{i+1}.conv.{p+1}"),
        rule(Role::Head, "features.{i+1}.0", "features.{i+1}.1"),
        rule(Role::Classifier, "classifier.1", ""),
    ],
    axes: Axes::TwoIn(&[Role::Classifier]),
};

const TORCHVISION_V3: Family = Family {
    rules: &[
        rule(Role::Stem, "features.0.0", "features.0.1"),
        rule(Role::Expand, "features.{i+1}.block.{p}.0", "features.{i+1}.block.{p}.1"),
        rule(Role::Depthwise, "features.{i+1}.block.{p}.0", "features.{i+1}.block.{p}.1"),
        rule(Role::Reduce, "features.{i+1}.block.{p}.fc1", ""),
        rule(Role::Gate, "features.{i+1}.block.{p}.fc2", ""),
        rule_when(When::First, Role::Pointwise, "features.{i+1}.block.{p}.0", "features.{i+1}.block.{p}.1"),
        rule(Role::Project, "features.{i+1}.block.{p}.0", "features.{i+1}.block.{p}.1"),
        rule(Role::Conv, "features.{i+1}.0", "features.{i+1}.1"),
        rule(Role::Head, "classifier.0", ""),
        rule(Role::Classifier, "classifier.3", ""),
    ],
    axes: Axes::TwoIn(&[Role::Head, Role::Classifier]),
};
