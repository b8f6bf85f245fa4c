//! Blocks: what MobileNets from V2 on are made of, each sugar for a few layers.

use super::{ConvSpec, Padding, Sides, Slide, Width};
use crate::graph::layer::Activation;

/// A block that widens its map, filters it by depthwise convolutions, narrows it, and adds its input where shapes allow it.
#[derive(Clone, Debug, PartialEq)]
pub struct BlockSpec {
    /// The window that strides, with the normalisation of all layers and the activation of those that have one.
    pub spec: ConvSpec,
    /// Which layer has that window.
    pub window: BlockWindow,
    /// D_K of a depthwise convolution before the map is widened, beside the one behind that.
    pub start_kernel: Option<Sides>,
    /// How wide the map gets; without it no layer widens it.
    pub expand: Option<Expand>,
    /// The gate before the last layer.
    pub squeeze: Option<SqueezeSpec>,
    /// N of the last layer.
    pub filters: Width,
    /// Whether the block's input is added, where the block strides by 1 and has as many channels at both ends.
    pub residual: bool,
}

/// How wide the map gets inside of a block.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Expand {
    /// So many times the block's input, made whole by the network's [`Rounding`](super::Rounding).
    Times(f64),
    /// So wide.
    To(Width),
}

/// A gate for each channel, made of the means of all channels by two 1x1 convolutions with biases: squeeze-and-excite.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SqueezeSpec {
    /// How many channels lie between the two.
    pub reduce: Reduce,
    /// After the first.
    pub activation: Activation,
    /// After the second.
    pub gate: Activation,
}

impl SqueezeSpec {
    /// The layers that it stands for.
    pub const N_LAYERS: usize = 4;

    /// The width that it is said to have.
    pub(super) fn width(&self) -> Option<Width> {
        match self.reduce {
            Reduce::To(width) => Some(width),
            Reduce::Times { .. } => None,
        }
    }
}

/// How many channels lie inside of a gate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reduce {
    /// So many times the channels that it gates.
    Times {
        /// At most 1, as a rule a quarter.
        times: f64,
        /// The multiple of which the product is made; without it, as the network's [`Rounding`](super::Rounding) says.
        multiple: Option<usize>,
    },
    /// So many.
    To(Width),
}

/// The layer of a block whose window is larger than 1x1 and strides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockWindow {
    /// A depthwise convolution before the map is widened.
    Start,
    /// The convolution that widens it.
    Expand,
    /// The depthwise convolution behind that.
    Middle,
}

/// One layer of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockPart {
    /// A depthwise convolution without activation.
    Start,
    /// The convolution that widens the map.
    Expand,
    /// The depthwise convolution behind it.
    Middle,
    /// The gate.
    Squeeze,
    /// The 1x1 convolution that narrows the map, without activation.
    Project,
    /// The sum with the block's input.
    Sum,
}

impl BlockPart {
    /// What its layer's name ends in, behind the block's.
    pub fn ending(self) -> &'static str {
        match self {
            BlockPart::Start => "_start",
            BlockPart::Expand => "_expand",
            BlockPart::Middle => "_dw",
            BlockPart::Squeeze => "_se",
            BlockPart::Project => "_project",
            BlockPart::Sum => "_add",
        }
    }
}

impl BlockSpec {
    /// Its layers in order; the sum is one of them where shapes allow it.
    pub fn parts(&self) -> Vec<BlockPart> {
        let starts = self.start_kernel.is_some() || self.window == BlockWindow::Start;
        let is_part = |part: BlockPart| match part {
            BlockPart::Start => starts,
            BlockPart::Expand => self.expand.is_some(),
            BlockPart::Middle => self.window == BlockWindow::Middle,
            BlockPart::Squeeze => self.squeeze.is_some(),
            BlockPart::Project => true,
            BlockPart::Sum => self.residual,
        };
        let all = [
            BlockPart::Start,
            BlockPart::Expand,
            BlockPart::Middle,
            BlockPart::Squeeze,
            BlockPart::Project,
            BlockPart::Sum,
        ];
        all.into_iter().filter(|part| is_part(*part)).collect()
    }

    /// How many layers it stands for, the sum among them.
    pub fn n_layers(&self) -> usize {
        self.parts().len() + self.squeeze.map_or(0, |_| SqueezeSpec::N_LAYERS - 1)
    }

    /// The window, normalisation and activation of a layer of it; those of the projection for a gate and a sum, which have none.
    pub fn spec_of(&self, part: BlockPart) -> ConvSpec {
        let pointwise = ConvSpec { slide: Slide::POINTWISE, padding: Padding::Valid, ..self.spec };
        match (part, self.window) {
            (BlockPart::Start, BlockWindow::Start) => ConvSpec { activation: Activation::None, ..self.spec },
            (BlockPart::Start, _) => {
                let stride = Sides::square(1);
                let kernel = self.start_kernel.unwrap_or(self.spec.slide.kernel);
                let slide = Slide { kernel, stride, ..self.spec.slide };
                ConvSpec { slide, activation: Activation::None, ..self.spec }
            }
            (BlockPart::Expand, BlockWindow::Expand) | (BlockPart::Middle, _) => self.spec,
            (BlockPart::Expand, _) => pointwise,
            (BlockPart::Squeeze | BlockPart::Project | BlockPart::Sum, _) => {
                ConvSpec { activation: Activation::None, ..pointwise }
            }
        }
    }

    /// The widths that it is said to have.
    pub(super) fn widths(&self) -> Vec<Width> {
        let expand = match self.expand {
            Some(Expand::To(width)) => Some(width),
            Some(Expand::Times(_)) | None => None,
        };
        let reduce = self.squeeze.and_then(|squeeze| squeeze.width());
        expand.into_iter().chain(reduce).chain([self.filters]).collect()
    }
}
