//! Stage 1: TOML -> [`Description`], the network as written.
//!
//! Neither alpha nor the resolution is applied here, repeats are not expanded, and nothing is known of weights or targets.

mod block;
mod builtin;
pub mod detect;
mod parse;
mod source;
#[cfg(test)]
mod tests;
mod window;
mod write;

pub use self::block::{BlockPart, BlockSpec, BlockWindow, Expand, Reduce, SqueezeSpec};
pub use self::builtin::{BUILTIN, Builtin, builtin};
use self::detect::DetectSpec;
pub(crate) use self::source::edit_distance;
pub use self::window::{Padding, Pads, Sides, Slide};
use crate::error::Result;
use crate::graph::layer::{Activation, Flatten, Pooling};
pub use mnc_runtime::info::{CropRounding, Resample};

/// The name of the network's input, as the `from` of an `add` and as the first node of a graph.
pub const INPUT_NAME: &str = "input";

// Bounds of what a file may ask for. They leave room above any MobileNet, and keep the work and memory of every later
// stage bounded whatever the file says.

/// Most rows or columns of an input.
pub const MAX_SIDE: usize = 1024;
/// Most channels, filters, units or classes, before alpha.
pub const MAX_CHANNELS: usize = 65_536;
/// Largest D_K.
pub const MAX_KERNEL: usize = 11;
/// Largest stride.
pub const MAX_STRIDE: usize = 4;
/// Most filters of a depthwise convolution to a channel.
pub const MAX_MULTIPLIER: usize = 64;
/// Largest distance between taps.
pub const MAX_DILATION: usize = 16;
/// Most rows or columns of padding on one side.
pub const MAX_PAD: usize = 64;
/// Most maps that a `concat` joins.
pub const MAX_JOINED: usize = 8;
/// Largest factor of an `upsample`.
pub const MAX_UPSAMPLE: usize = 16;
/// Most outputs.
pub const MAX_OUTPUTS: usize = 32;
/// Most times that a block widens its map.
pub const MAX_EXPAND: f64 = 64.0;
/// Most layers, repeats counted; a separable layer counts as two, a block as its layers.
pub const MAX_LAYERS: usize = 4096;

/// A network as its author wrote it. Every key is documented in `docs/description.md`.
#[derive(Clone, Debug, PartialEq)]
pub struct Description {
    /// Name of the network, also the default prefix of exported symbols.
    pub name: String,
    /// Input of the network at rho = 1.
    pub input: InputSpec,
    /// Outputs of a dense layer that doesn't say `units` itself.
    pub classes: usize,
    /// How alpha times a channel count becomes a whole number.
    pub rounding: Rounding,
    /// Epsilon of batch normalisation.
    pub batch_norm_epsilon: f64,
    /// Padding of layers that don't say `padding` themselves.
    pub padding: Padding,
    /// How an image becomes the input.
    pub preprocess: Preprocess,
    /// What the outputs mean, if anybody says it.
    pub scores: Option<Scores>,
    /// Whether the network ends before its classifier, and returns the features that this would read. Not written in descriptions: the
    /// layers are the same.
    pub is_headless: bool,
    /// The layers, in order.
    pub layers: Vec<LayerSpec>,
    /// The names of the layers whose outputs the network returns, in that order; none where it returns that of its last layer.
    pub outputs: Vec<String>,
    /// How they become boxes, of a detector.
    pub detect: Option<DetectSpec>,
}

impl Description {
    /// Reads a description from TOML. `place` is what errors call the file; every fault is reported with its line and column.
    ///
    /// ```
    /// use mnc::describe::Description;
    /// let text = r#"
    ///     name = "tiny"
    ///     classes = 10
    ///     input = { height = 32, width = 32, channels = 3 }
    ///     layer = [{ kind = "conv", filters = 8 }, { kind = "global_average_pool" }, { kind = "dense" }]
    /// "#;
    /// let description = Description::parse(text, "tiny.toml")?;
    /// assert_eq!(description.layers.len(), 3);
    ///
    /// let error = Description::parse(&text.replace("classes", "clases"), "tiny.toml").unwrap_err();
    /// assert_eq!(error.faults()[1].to_string(), "tiny.toml:3:5: unknown key \"clases\" in the file, did you mean `classes`?");
    /// # Ok::<(), mnc::Error>(())
    /// ```
    pub fn parse(text: &str, place: &str) -> Result<Description> {
        parse::parse(text, place)
    }

    /// Whether the text of a description has a key at its top; the others have their documented values.
    pub fn has_key(text: &str, key: &str) -> bool {
        toml::de::DeTable::parse(text).is_ok_and(|table| table.get_ref().contains_key(key))
    }
}

/// Input extent before rho.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InputSpec {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Channels, 3 for RGB.
    pub channels: usize,
}

/// How alpha scales a channel count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// `max(floor(alpha * channels), minimum)`: TF-slim and Hugging Face.
    Floor {
        /// Never fewer channels than this.
        minimum: usize,
    },
    /// Nearest multiple of `multiple`, never below it nor more than 10 % below the exact value: Keras, timm.
    Nearest {
        /// The divisor of every channel count.
        multiple: usize,
    },
    /// The same of a product that is rounded to a whole number first: Hugging Face from MobileNetV2 on.
    NearestOfWhole {
        /// The divisor of every channel count.
        multiple: usize,
        /// Never fewer channels than this.
        minimum: usize,
    },
}

/// How many channels a layer makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// So many, whatever alpha is.
    Fixed(usize),
    /// Alpha times `channels`, made whole by the network's [`Rounding`].
    Scaled {
        /// At alpha = 1.
        channels: usize,
        /// Never fewer channels than this.
        minimum: usize,
    },
}

impl Width {
    /// The channels as written.
    pub fn written(self) -> usize {
        match self {
            Width::Fixed(channels) | Width::Scaled { channels, .. } => channels,
        }
    }
}

/// From an 8-bit image to the network's input.
#[derive(Clone, Debug, PartialEq)]
pub struct Preprocess {
    /// How the image is brought to size.
    pub resize: Resize,
    /// By which filter.
    pub resample: Resample,
    /// Where the input begins, if it can't be in the middle.
    pub crop_rounding: CropRounding,
    /// The 8-bit value of each input channel around an image that doesn't cover the input; empty if all do.
    pub fill: Vec<u8>,
    /// Multiplies the 8-bit value first; 1/255 as a rule.
    pub scale: f64,
    /// Subtracted from the scaled value, per channel.
    pub mean: Vec<f64>,
    /// Divides the difference, per channel.
    pub std: Vec<f64>,
    /// Order of the channels in the network's input.
    pub channel_order: ChannelOrder,
}

impl Preprocess {
    /// For each channel a multiplier and an offset: (x scale - mean) / std as one fused multiply-add, x multiplier + offset, its two
    /// constants rounded once.
    pub fn constants(&self) -> Vec<(f32, f32)> {
        let pairs = self.mean.iter().zip(&self.std);
        pairs.map(|(mean, std)| ((self.scale / std) as f32, ((0.0 - mean) / std) as f32)).collect()
    }
}

/// How an image is brought to the network's input size. What is larger than the input loses its margin: the centre is cut out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Resize {
    /// Scale, keeping the aspect, until it just covers the input and its margin.
    Cover(Margin),
    /// Scale both sides to the input's extent and its margin; the aspect is not kept.
    Stretch(Margin),
    /// Scale, keeping the aspect, until it just fits into the input and its margin. What the input has beyond the image is `fill`.
    Border(Margin),
    /// Take the image as it is, which is of the input's size or larger.
    Crop,
    /// Take the image as it is, which is of the input's size.
    Keep,
}

/// How large the image is beside the input that is cut out of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Margin {
    /// So many times the input's extent, to the nearest pixel. 8/7 as a rule: 256 for an input of 224.
    Ratio(f64),
    /// The input's extent by this share, rounded down: 248 for an input of 224 and 0.9.
    CropPct(f64),
}

impl Margin {
    /// No margin.
    pub const NONE: Margin = Margin::Ratio(1.0);
    /// Of 32 for an input of 224.
    pub const USUAL: Margin = Margin::Ratio(8.0 / 7.0);

    /// The extent of the image for one of the input.
    pub fn around(self, extent: usize) -> usize {
        match self {
            Margin::Ratio(ratio) => (extent as f64 * ratio).round() as usize,
            Margin::CropPct(share) => (extent as f64 / share).floor() as usize,
        }
    }
}

/// Order of colour channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelOrder {
    /// Red first.
    Rgb,
    /// Blue first.
    Bgr,
}

/// What a network's outputs mean: how it was trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scores {
    /// One class is right: their softmax gives probabilities.
    Softmax,
    /// Each output is a question of its own: its sigmoid is the probability of a yes.
    Sigmoid,
    /// Quantities, such as an age or a distance.
    Values,
}

impl Scores {
    /// Every rule with its name in descriptions.
    pub const NAMES: &[(&str, Scores)] =
        &[("softmax", Scores::Softmax), ("sigmoid", Scores::Sigmoid), ("values", Scores::Values)];

    /// Its name in descriptions.
    pub fn name(self) -> &'static str {
        let named = Scores::NAMES.iter().find(|(_, rule)| *rule == self);
        named.expect("every rule has a name").0
    }
}

/// One `[[layer]]` of the file.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerSpec {
    /// The author's name for it, unique; layers without one are named by kind and ordinal.
    pub name: Option<String>,
    /// The earlier layer whose output its first repeat reads, or [`INPUT_NAME`]; the layer before it when not written.
    pub input: Option<String>,
    /// How many times it stands in a row, at least 1.
    pub repeat: usize,
    /// The stage of the body that its layers belong to, as exporters count them; counted by strides when not written.
    pub stage: Option<usize>,
    /// What it is.
    pub kind: LayerKind,
}

impl LayerSpec {
    /// What the names of the layers end in that one repeat becomes, in their order: one empty ending where it is a single layer.
    pub fn endings(&self) -> Vec<&'static str> {
        match &self.kind {
            LayerKind::Separable { squeeze, .. } => {
                ["_dw"].into_iter().chain(squeeze.map(|_| "_se")).chain(["_pw"]).collect()
            }
            LayerKind::Block(block) => block.parts().into_iter().map(BlockPart::ending).collect(),
            LayerKind::Conv { .. }
            | LayerKind::Depthwise { .. }
            | LayerKind::SqueezeExcite(_)
            | LayerKind::Add { .. }
            | LayerKind::Multiply { .. }
            | LayerKind::Pool { .. }
            | LayerKind::Concat { .. }
            | LayerKind::Upsample { .. }
            | LayerKind::GlobalAveragePool
            | LayerKind::Dense { .. }
            | LayerKind::Softmax => vec![""],
        }
    }

    /// The names of the layers that it becomes, if its author named it: for each repeat those of its parts.
    pub fn part_names(&self) -> Vec<String> {
        let Some(name) = &self.name else { return Vec::new() };
        let repeat = |idx: usize| if self.repeat == 1 { name.clone() } else { format!("{name}_{idx}") };
        let names = (1..=self.repeat).map(repeat);
        names.flat_map(|name| self.endings().into_iter().map(move |ending| name.clone() + ending)).collect()
    }

    /// How many layers it stands for: its repeats, two each for a separable one, a block's layers.
    pub fn n_layers(&self) -> usize {
        match &self.kind {
            LayerKind::Separable { squeeze, .. } => {
                self.repeat.saturating_mul(2 + squeeze.map_or(0, |_| SqueezeSpec::N_LAYERS))
            }
            LayerKind::Block(block) => self.repeat.saturating_mul(block.n_layers()),
            LayerKind::SqueezeExcite(_) => self.repeat.saturating_mul(SqueezeSpec::N_LAYERS),
            LayerKind::Conv { .. }
            | LayerKind::Depthwise { .. }
            | LayerKind::Add { .. }
            | LayerKind::Multiply { .. }
            | LayerKind::Pool { .. }
            | LayerKind::Concat { .. }
            | LayerKind::Upsample { .. }
            | LayerKind::GlobalAveragePool
            | LayerKind::Dense { .. }
            | LayerKind::Softmax => self.repeat,
        }
    }
}

/// Keys that all convolutions share.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ConvSpec {
    /// Kernel, stride and dilation.
    pub slide: Slide,
    /// Padding, already defaulted from the network's.
    pub padding: Padding,
    /// After the batch norm.
    pub activation: Activation,
    /// Whether a batch norm follows.
    pub norm: Option<NormSpec>,
    /// Whether the convolution has a bias of its own.
    pub bias: bool,
}

/// A batch norm behind a convolution.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NormSpec {
    /// Added to the variance; the network's epsilon when not written.
    pub epsilon: Option<f64>,
    /// Whether it scales.
    pub gamma: bool,
    /// Whether it shifts.
    pub beta: bool,
}

impl NormSpec {
    /// With all of its vectors, and the network's epsilon.
    pub const WHOLE: NormSpec = NormSpec { epsilon: None, gamma: true, beta: true };
}

/// What a described layer is.
#[derive(Clone, Debug, PartialEq)]
pub enum LayerKind {
    /// Standard convolution; `pointwise` is read as one with kernel 1 and stride 1.
    Conv {
        /// Window, normalisation, activation.
        spec: ConvSpec,
        /// N.
        filters: Width,
        /// Groups of channels that have nothing to do with each other.
        groups: usize,
    },
    /// Depthwise convolution.
    Depthwise {
        /// Window, normalisation, activation.
        spec: ConvSpec,
        /// Filters to each channel.
        multiplier: usize,
    },
    /// Depthwise, then pointwise (section 3.1 of the paper); the keys hold for both, kernel and stride for the depthwise.
    Separable {
        /// Window, normalisation, activation.
        spec: ConvSpec,
        /// A gate between the two.
        squeeze: Option<SqueezeSpec>,
        /// N.
        filters: Width,
    },
    /// An inverted residual or one of its relatives. Of several repeats only the first strides.
    Block(BlockSpec),
    /// A gate for each channel of its input.
    SqueezeExcite(SqueezeSpec),
    /// Adds the output of an earlier named layer.
    Add {
        /// That layer's name.
        from: String,
        /// After the sum.
        activation: Activation,
    },
    /// Multiplies with the output of an earlier named layer.
    Multiply {
        /// That layer's name.
        from: String,
        /// After the product.
        activation: Activation,
    },
    /// Maximum or mean over a window.
    Pool {
        /// Which.
        pooling: Pooling,
        /// The window.
        slide: Slide,
        /// Its padding.
        padding: Padding,
    },
    /// Puts its input and the outputs of earlier named layers side by side.
    Concat {
        /// Those layers' names.
        from: Vec<String>,
    },
    /// Each pixel several times.
    Upsample {
        /// How often, in both directions.
        factor: usize,
    },
    /// Mean over all pixels.
    GlobalAveragePool,
    /// Fully connected layer.
    Dense {
        /// Outputs; the network's `classes` when not written.
        units: Option<usize>,
        /// How files order its weights.
        flatten: Flatten,
        /// After the sum.
        activation: Activation,
        /// Whether it has a bias.
        bias: bool,
    },
    /// Softmax over the channels.
    Softmax,
}

impl LayerKind {
    /// Window, normalisation and activation, where the layer has a window.
    pub fn spec(&self) -> Option<&ConvSpec> {
        match self {
            LayerKind::Conv { spec, .. }
            | LayerKind::Depthwise { spec, .. }
            | LayerKind::Separable { spec, .. }
            | LayerKind::Block(BlockSpec { spec, .. }) => Some(spec),
            LayerKind::SqueezeExcite(_)
            | LayerKind::Add { .. }
            | LayerKind::Multiply { .. }
            | LayerKind::Pool { .. }
            | LayerKind::Concat { .. }
            | LayerKind::Upsample { .. }
            | LayerKind::GlobalAveragePool
            | LayerKind::Dense { .. }
            | LayerKind::Softmax => None,
        }
    }

    /// The same, to change it.
    pub fn spec_mut(&mut self) -> Option<&mut ConvSpec> {
        match self {
            LayerKind::Conv { spec, .. }
            | LayerKind::Depthwise { spec, .. }
            | LayerKind::Separable { spec, .. }
            | LayerKind::Block(BlockSpec { spec, .. }) => Some(spec),
            LayerKind::SqueezeExcite(_)
            | LayerKind::Add { .. }
            | LayerKind::Multiply { .. }
            | LayerKind::Pool { .. }
            | LayerKind::Concat { .. }
            | LayerKind::Upsample { .. }
            | LayerKind::GlobalAveragePool
            | LayerKind::Dense { .. }
            | LayerKind::Softmax => None,
        }
    }

    /// The earlier layers that it reads besides its input.
    pub fn from(&self) -> &[String] {
        match self {
            LayerKind::Add { from, .. } | LayerKind::Multiply { from, .. } => std::slice::from_ref(from),
            LayerKind::Concat { from } => from,
            LayerKind::Conv { .. }
            | LayerKind::Depthwise { .. }
            | LayerKind::Separable { .. }
            | LayerKind::Block(_)
            | LayerKind::SqueezeExcite(_)
            | LayerKind::Pool { .. }
            | LayerKind::Upsample { .. }
            | LayerKind::GlobalAveragePool
            | LayerKind::Dense { .. }
            | LayerKind::Softmax => &[],
        }
    }

    /// The widths that it is said to have.
    pub fn widths(&self) -> Vec<Width> {
        match self {
            LayerKind::Conv { filters, .. } => vec![*filters],
            LayerKind::Separable { filters, squeeze, .. } => {
                squeeze.and_then(|squeeze| squeeze.width()).into_iter().chain([*filters]).collect()
            }
            LayerKind::Block(block) => block.widths(),
            LayerKind::SqueezeExcite(squeeze) => squeeze.width().into_iter().collect(),
            LayerKind::Dense { units, .. } => units.map(Width::Fixed).into_iter().collect(),
            LayerKind::Depthwise { .. }
            | LayerKind::Add { .. }
            | LayerKind::Multiply { .. }
            | LayerKind::Pool { .. }
            | LayerKind::Concat { .. }
            | LayerKind::Upsample { .. }
            | LayerKind::GlobalAveragePool
            | LayerKind::Softmax => Vec::new(),
        }
    }

    /// Its gate.
    pub fn squeeze(&self) -> Option<SqueezeSpec> {
        match self {
            LayerKind::Separable { squeeze, .. } => *squeeze,
            LayerKind::Block(block) => block.squeeze,
            LayerKind::SqueezeExcite(squeeze) => Some(*squeeze),
            LayerKind::Conv { .. }
            | LayerKind::Depthwise { .. }
            | LayerKind::Add { .. }
            | LayerKind::Multiply { .. }
            | LayerKind::Pool { .. }
            | LayerKind::Concat { .. }
            | LayerKind::Upsample { .. }
            | LayerKind::GlobalAveragePool
            | LayerKind::Dense { .. }
            | LayerKind::Softmax => None,
        }
    }
}
