//! The namings that there are, as tables.
//!
//! A further exporter is a const here, its name in [`Naming::ALL`] and a listing in the tests; a further family of networks is a
//! [`Family`] of its exporter.

use super::{Axes, Family, Naming, Rule, When};
use crate::graph::Role;
use crate::weights::layout::Layout;

const TORCH_FILTER: [&str; 2] = ["weight", "bias"];
const TORCH_NORM: [&str; 4] = ["weight", "bias", "running_mean", "running_var"];
const TF_NORM: [&str; 4] = ["gamma", "beta", "moving_mean", "moving_variance"];
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
        separator: '.',
        filter_words: TORCH_FILTER,
        depthwise_word: TORCH_FILTER[0],
        norm_words: TORCH_NORM,
        bookkeeping: TORCH_BOOKKEEPING,
    };

    /// timm, `mobilenetv1_*` to `mobilenetv4_conv_*`, and what it builds of the same blocks.
    pub const TIMM: Naming = Naming {
        name: "timm",
        exporter: "timm mobilenetv1_* to mobilenetv4_conv_*",
        families: &[TIMM_BLOCKS, TIMM_V4],
        layout: Layout::Oihw,
        separator: '.',
        filter_words: TORCH_FILTER,
        depthwise_word: TORCH_FILTER[0],
        norm_words: TORCH_NORM,
        bookkeeping: TORCH_BOOKKEEPING,
    };

    /// torchvision, `mobilenet_v2`, `mobilenet_v3_large` and `mobilenet_v3_small`.
    pub const TORCHVISION: Naming = Naming {
        name: "torchvision",
        exporter: "torchvision mobilenet_v2 and mobilenet_v3_*",
        families: &[TORCHVISION_V2, TORCHVISION_V3],
        layout: Layout::Oihw,
        separator: '.',
        filter_words: TORCH_FILTER,
        depthwise_word: TORCH_FILTER[0],
        norm_words: TORCH_NORM,
        bookkeeping: TORCH_BOOKKEEPING,
    };

    /// Keras, `keras.applications.MobileNet`, `MobileNetV2`, `MobileNetV3Large` and `MobileNetV3Small`; the variables as Keras 3 calls
    /// them.
    pub const KERAS: Naming = Naming {
        name: "keras",
        exporter: "keras.applications MobileNet, V2, V3",
        families: &[KERAS_V1, KERAS_V2, KERAS_V3],
        layout: Layout::Hwio,
        separator: '/',
        filter_words: ["kernel", "bias"],
        depthwise_word: "kernel",
        norm_words: TF_NORM,
        bookkeeping: &[],
    };

    /// TF-slim, `mobilenet_v1`, `mobilenet_v2` and `mobilenet_v3`.
    pub const SLIM: Naming = Naming {
        name: "slim",
        exporter: "TF-slim mobilenet_v1, v2, v3",
        families: &[SLIM_V1, SLIM_V2, SLIM_V3],
        layout: Layout::Hwio,
        separator: '/',
        filter_words: ["weights", "biases"],
        depthwise_word: "depthwise_weights",
        norm_words: TF_NORM,
        bookkeeping: &[],
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
        separator: '.',
        filter_words: TORCH_FILTER,
        depthwise_word: TORCH_FILTER[0],
        norm_words: ["gamma", "beta", "mean", "variance"],
        bookkeeping: &[],
    };

    /// Every naming, in the order in which they are tried.
    pub const ALL: &[&Naming] = &[
        &Naming::HUGGING_FACE,
        &Naming::TIMM,
        &Naming::TORCHVISION,
        &Naming::KERAS,
        &Naming::SLIM,
        &Naming::PLAIN,
    ];
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

/// Convolutions by their number, the norm's a layer of its own.
const KERAS_V1: Family = Family {
    rules: &[
        rule(Role::Stem, "conv1", "conv1_bn"),
        rule(Role::Depthwise, "conv_dw_{i+1}", "conv_dw_{i+1}_bn"),
        rule(Role::Pointwise, "conv_pw_{i+1}", "conv_pw_{i+1}_bn"),
        rule(Role::Classifier, "conv_preds", ""),
    ],
    axes: Axes::TwoIn(&[]),
};

/// The first block has no number.
const KERAS_V2: Family = Family {
    rules: &[
        rule(Role::Stem, "Conv1", "bn_Conv1"),
        rule_when(When::First, Role::Expand, "expanded_conv_expand", "expanded_conv_expand_BN"),
        rule_when(When::First, Role::Depthwise, "expanded_conv_depthwise", "expanded_conv_depthwise_BN"),
        rule_when(When::First, Role::Pointwise, "expanded_conv_project", "expanded_conv_project_BN"),
        rule_when(When::First, Role::Project, "expanded_conv_project", "expanded_conv_project_BN"),
        rule(Role::Expand, "block_{i}_expand", "block_{i}_expand_BN"),
        rule(Role::Depthwise, "block_{i}_depthwise", "block_{i}_depthwise_BN"),
        rule(Role::Project, "block_{i}_project", "block_{i}_project_BN"),
        rule(Role::Head, "Conv_1", "Conv_1_bn"),
        rule(Role::Classifier, "predictions", ""),
    ],
    axes: Axes::TwoIn(&[Role::Classifier]),
};

/// Keras 2 has slashes in the names: `expanded_conv_1/expand/BatchNorm`.
const KERAS_V3: Family = {
    const fn first(role: Role, filter: &'static str, norm: &'static str) -> Rule {
        rule_when(When::First, role, filter, norm)
    }
    Family {
        rules: &[
            rule(Role::Stem, "conv", "conv_bn"),
            first(Role::Depthwise, "expanded_conv_depthwise", "expanded_conv_depthwise_bn"),
            first(Role::Reduce, "expanded_conv_squeeze_excite_conv", ""),
            first(Role::Gate, "expanded_conv_squeeze_excite_conv_1", ""),
            first(Role::Pointwise, "expanded_conv_project", "expanded_conv_project_bn"),
            first(Role::Project, "expanded_conv_project", "expanded_conv_project_bn"),
            rule(Role::Expand, "expanded_conv_{i}_expand", "expanded_conv_{i}_expand_bn"),
            rule(Role::Depthwise, "expanded_conv_{i}_depthwise", "expanded_conv_{i}_depthwise_bn"),
            rule(Role::Reduce, "expanded_conv_{i}_squeeze_excite_conv", ""),
            rule(Role::Gate, "expanded_conv_{i}_squeeze_excite_conv_1", ""),
            rule(Role::Project, "expanded_conv_{i}_project", "expanded_conv_{i}_project_bn"),
            rule(Role::Conv, "conv_1", "conv_1_bn"),
            rule(Role::Head, "conv_2", ""),
            rule(Role::Classifier, "logits", ""),
        ],
        axes: Axes::TwoIn(&[]),
    }
};

/// The two prefixes of a layer in a scope.
macro_rules! scoped {
    ($scope:literal, $role:expr, $layer:literal) => {
        rule(
            $role,
            concat!("Mobilenet", $scope, "/", $layer),
            concat!("Mobilenet", $scope, "/", $layer, "/BatchNorm"),
        )
    };
    ($scope:literal, first $role:expr, $layer:literal) => {
        rule_when(
            When::First,
            $role,
            concat!("Mobilenet", $scope, "/", $layer),
            concat!("Mobilenet", $scope, "/", $layer, "/BatchNorm"),
        )
    };
}

const SLIM_V1: Family = Family {
    rules: &[
        scoped!("V1", Role::Stem, "Conv2d_0"),
        scoped!("V1", Role::Depthwise, "Conv2d_{i+1}_depthwise"),
        scoped!("V1", Role::Pointwise, "Conv2d_{i+1}_pointwise"),
        rule(Role::Classifier, "MobilenetV1/Logits/Conv2d_1c_1x1", ""),
    ],
    axes: Axes::TwoIn(&[]),
};

const SLIM_V2: Family = Family {
    rules: &[
        scoped!("V2", Role::Stem, "Conv"),
        scoped!("V2", first Role::Depthwise, "expanded_conv/depthwise"),
        scoped!("V2", first Role::Pointwise, "expanded_conv/project"),
        scoped!("V2", first Role::Project, "expanded_conv/project"),
        scoped!("V2", Role::Expand, "expanded_conv_{i}/expand"),
        scoped!("V2", Role::Depthwise, "expanded_conv_{i}/depthwise"),
        scoped!("V2", Role::Project, "expanded_conv_{i}/project"),
        scoped!("V2", Role::Head, "Conv_1"),
        rule(Role::Classifier, "MobilenetV2/Logits/Conv2d_1c_1x1", ""),
    ],
    axes: Axes::TwoIn(&[]),
};

const SLIM_V3: Family = Family {
    rules: &[
        scoped!("V3", Role::Stem, "Conv"),
        scoped!("V3", first Role::Depthwise, "expanded_conv/depthwise"),
        scoped!("V3", first Role::Reduce, "expanded_conv/squeeze_excite/Conv"),
        scoped!("V3", first Role::Gate, "expanded_conv/squeeze_excite/Conv_1"),
        scoped!("V3", first Role::Pointwise, "expanded_conv/project"),
        scoped!("V3", first Role::Project, "expanded_conv/project"),
        scoped!("V3", Role::Expand, "expanded_conv_{i}/expand"),
        scoped!("V3", Role::Depthwise, "expanded_conv_{i}/depthwise"),
        scoped!("V3", Role::Reduce, "expanded_conv_{i}/squeeze_excite/Conv"),
        scoped!("V3", Role::Gate, "expanded_conv_{i}/squeeze_excite/Conv_1"),
        scoped!("V3", Role::Project, "expanded_conv_{i}/project"),
        scoped!("V3", Role::Conv, "Conv_1"),
        rule(Role::Head, "MobilenetV3/Conv_2", ""),
        rule(Role::Classifier, "MobilenetV3/Logits/Conv2d_1c_1x1", ""),
    ],
    axes: Axes::TwoIn(&[]),
};
