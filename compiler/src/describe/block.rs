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
            BlockPart::Project => true,
            BlockPart::Sum => self.residual,
        };
        let all =
            [BlockPart::Start, BlockPart::Expand, BlockPart::Middle, BlockPart::Project, BlockPart::Sum];
        all.into_iter().filter(|part| is_part(*part)).collect()
    }

    /// The window, normalisation and activation of a layer of it; those of the projection for a sum, which has none.
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
            (BlockPart::Project | BlockPart::Sum, _) => {
                ConvSpec { activation: Activation::None, ..pointwise }
            }
        }
    }
}
