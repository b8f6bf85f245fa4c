//! What a layer computes, in the paper's symbols.
//!
//! With an input of D_F x D_F x M and an output of N channels (arXiv 1704.04861, section 3.1), a standard convolution costs
//! D_K^2 M N D_F^2 multiply-adds, a depthwise one D_K^2 M D_F^2, a pointwise (1x1) one M N D_F^2.

use super::shape::{Shape, Window};

/// What an activation does to each element x (see [`crate::reference::activate`] for NaN and -0).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Activation {
    /// x
    None,
    /// max(0, x)
    Relu,
    /// min(6, max(0, x))
    Relu6,
}

/// One node's computation. All shapes are known; numbers (weights) are kept apart, in [`crate::weights::Parameters`].
#[derive(Clone, Debug, PartialEq)]
pub enum Layer {
    /// The network's input.
    Input,
    /// Standard convolution over all M channels; with D_K = 1 and stride 1, the pointwise convolution.
    Conv {
        /// The sliding window.
        window: Window,
        /// N, the number of output channels.
        n: usize,
        /// Whether the layer has a bias of its own.
        bias: bool,
    },
    /// One D_K x D_K filter per channel (channel multiplier 1).
    Depthwise {
        /// The sliding window.
        window: Window,
        /// Whether the layer has a bias of its own.
        bias: bool,
    },
    /// Batch normalisation at inference: gamma (x - mean) / sqrt(variance + epsilon) + beta, per channel.
    BatchNorm {
        /// Added to the variance.
        epsilon: f64,
    },
    /// An activation by itself.
    Activation(Activation),
    /// Elementwise sum of two maps of one shape.
    Add,
    /// Mean over all pixels, per channel.
    GlobalAveragePool,
    /// Fully connected layer over all elements of its input in NHWC order.
    Dense {
        /// N, the number of outputs.
        n: usize,
        /// Whether the layer has a bias.
        bias: bool,
    },
    /// exp(x - max) / sum over the channels of each pixel.
    Softmax,
}

impl Activation {
    /// The word for it in files and in names of nodes.
    pub fn word(self) -> &'static str {
        match self {
            Activation::None => "none",
            Activation::Relu => "relu",
            Activation::Relu6 => "relu6",
        }
    }
}

impl Layer {
    /// The shape of the output for inputs of these shapes, or what was found and expected of them. [`Layer::Input`] has no
    /// inputs and so no answer.
    pub fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        let one = || match inputs {
            [input] => Ok(*input),
            _ => Err(format!("found {} inputs, expected 1", inputs.len())),
        };
        match self {
            Layer::Input => Err("found a second input of the network, expected one".to_string()),
            Layer::Conv { window, n, .. } => slide(*window, one()?, *n),
            Layer::Depthwise { window, .. } => one().and_then(|input| slide(*window, input, input.channels)),
            Layer::BatchNorm { .. } | Layer::Activation(_) | Layer::Softmax => one(),
            Layer::Add => match inputs {
                [left, right] if left == right => Ok(*left),
                [left, right] => Err(format!("found {right} to add to {left}, expected {left}")),
                _ => Err(format!("found {} inputs, expected 2", inputs.len())),
            },
            Layer::GlobalAveragePool => {
                one().map(|input| Shape { height: 1, width: 1, channels: input.channels })
            }
            Layer::Dense { n, .. } => one().map(|_| Shape { height: 1, width: 1, channels: *n }),
        }
    }
}

fn slide(window: Window, input: Shape, channels: usize) -> Result<Shape, String> {
    let Some((height, width)) = window.output(input.height, input.width) else {
        let d_k = window.d_k;
        return Err(format!(
            "found an input of {input} for a window of {d_k}x{d_k}, expected {d_k}x{d_k} at least"
        ));
    };
    Ok(Shape { height, width, channels })
}
