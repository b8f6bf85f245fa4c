//! The descriptions that come with the compiler.

use super::Description;

/// A description that comes with the compiler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Builtin {
    /// What the user asks for: `mobilenet-v1`.
    pub name: &'static str,
    /// One line for a list of networks.
    pub summary: &'static str,
    /// The file, as TOML.
    pub text: &'static str,
}

impl Builtin {
    /// The description that the text holds.
    ///
    /// ```
    /// let network = mnc::describe::builtin("mobilenet-v1").unwrap().description();
    /// assert_eq!((network.input.height, network.classes), (224, 1001));
    /// ```
    pub fn description(&self) -> Description {
        let place = format!("{}.toml", self.name);
        Description::parse(self.text, &place).expect("a test parses every built-in description")
    }
}

/// Every built-in description.
///
/// ```
/// for network in mnc::describe::BUILTIN {
///     println!("{:24} {}", network.name, network.summary);
/// }
/// ```
pub const BUILTIN: &[Builtin] = &[
    Builtin {
        name: "mobilenet-v1",
        summary: "MobileNet as in Table 1 of arXiv 1704.04861: 13 depthwise separable blocks, 224x224x3, 1001 classes",
        text: include_str!("mobilenet-v1.toml"),
    },
    Builtin {
        name: "mobilenet-v1-shallow",
        summary: "Table 5's shallow MobileNet: without the five separable blocks at 14x14x512",
        text: include_str!("mobilenet-v1-shallow.toml"),
    },
    Builtin {
        name: "mobilenet-v1-full-conv",
        summary: "Table 4's conv MobileNet: a standard 3x3 convolution in place of each separable block",
        text: include_str!("mobilenet-v1-full-conv.toml"),
    },
    Builtin {
        name: "mobilenet-v2",
        summary: "MobileNetV2 as in Table 2 of arXiv 1801.04381: 17 inverted residuals, 224x224x3, 1001 classes",
        text: include_str!("mobilenet-v2.toml"),
    },
    Builtin {
        name: "mobilenet-v3-large",
        summary: "MobileNetV3-Large as in Table 1 of arXiv 1905.02244: 15 inverted residuals, 224x224x3, 1000 classes",
        text: include_str!("mobilenet-v3-large.toml"),
    },
    Builtin {
        name: "mobilenet-v3-large-minimalistic",
        summary: "the same with 3x3 windows and ReLU alone, and without squeeze-and-excite",
        text: include_str!("mobilenet-v3-large-minimalistic.toml"),
    },
    Builtin {
        name: "mobilenet-v3-small",
        summary: "MobileNetV3-Small as in Table 2 of arXiv 1905.02244: 11 inverted residuals, 224x224x3, 1000 classes",
        text: include_str!("mobilenet-v3-small.toml"),
    },
    Builtin {
        name: "mobilenet-v3-small-minimalistic",
        summary: "the same with 3x3 windows and ReLU alone, and without squeeze-and-excite",
        text: include_str!("mobilenet-v3-small-minimalistic.toml"),
    },
    Builtin {
        name: "mobilenet-v4-conv-small",
        summary: "MobileNetV4-Conv-Small of arXiv 2404.10518: 12 universal inverted bottlenecks, 224x224x3, 1000 classes",
        text: include_str!("mobilenet-v4-conv-small.toml"),
    },
    Builtin {
        name: "mobilenet-v4-conv-medium",
        summary: "MobileNetV4-Conv-Medium: 21 universal inverted bottlenecks, 256x256x3, 1000 classes",
        text: include_str!("mobilenet-v4-conv-medium.toml"),
    },
    Builtin {
        name: "mobilenet-v4-conv-large",
        summary: "MobileNetV4-Conv-Large: 26 universal inverted bottlenecks, 384x384x3, 1000 classes",
        text: include_str!("mobilenet-v4-conv-large.toml"),
    },
];

/// The built-in description of that name.
///
/// ```
/// assert!(mnc::describe::builtin("mobilenet-v1-shallow").is_some());
/// assert!(mnc::describe::builtin("resnet").is_none());
/// ```
pub fn builtin(name: &str) -> Option<&'static Builtin> {
    BUILTIN.iter().find(|builtin| builtin.name == name)
}
