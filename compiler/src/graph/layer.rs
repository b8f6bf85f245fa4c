//! What a layer computes, in the paper's symbols.
//!
//! With an input of D_F x D_F x M and an output of N channels (arXiv 1704.04861, section 3.1), a standard convolution costs
//! D_K^2 M N D_F^2 multiply-adds, a depthwise one D_K^2 M D_F^2, a pointwise (1x1) one M N D_F^2.
//!
//! What other modules want to know of a layer is a method here: whoever adds a kind answers for it in one place.

use std::fmt;

use super::shape::{Shape, Window};
use crate::describe::Sides;

/// What an activation does to each element x (see [`crate::reference::activate`] for the order of operations, NaN and -0).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Activation {
    /// x
    None,
    /// max(0, x)
    Relu,
    /// min(6, max(0, x))
    Relu6,
    /// x where it is above 0, else slope x
    LeakyRelu {
        /// What multiplies numbers below 0.
        slope: Slope,
    },
    /// min(1, max(0, x / 6 + 1 / 2))
    HardSigmoid,
    /// x hard_sigmoid(x)
    HardSwish,
    /// 1 / (1 + exp(-x))
    Sigmoid,
    /// x sigmoid(x)
    Swish,
}

/// What a pool makes of the numbers under its window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pooling {
    /// The largest of those inside of the map; NaN if one of them is.
    Max,
    /// The sum of those inside of the map, over their number.
    Average {
        /// Whether taps in the padding are counted too.
        counts_padding: bool,
    },
}

impl Pooling {
    /// By how many a sum is divided of which so many taps are inside of the map.
    pub fn divisor(self, window: Window, n_inside: usize) -> usize {
        match self {
            Pooling::Average { counts_padding: true } => window.taps(),
            Pooling::Average { counts_padding: false } | Pooling::Max => n_inside,
        }
    }
}

/// The order in which the weights of a dense layer, as files have them, take the elements of its input. Maps lie in memory as rows,
/// columns, channels whatever it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Flatten {
    /// Row, column, channel, as TensorFlow flattens a map.
    Hwc,
    /// Channel, row, column, as PyTorch does.
    Chw,
}

/// The slope of a leaky ReLU: an f32 above 0, at most 1.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Slope(u32);

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
    /// Convolution in groups: the output channels of each see the input channels of the same group only. With as many groups as
    /// input channels, a depthwise convolution of channel multiplier N / M.
    Grouped {
        /// The sliding window.
        window: Window,
        /// N, the number of output channels.
        n: usize,
        /// A divisor of M and N.
        groups: usize,
        /// Whether the layer has a bias of its own.
        bias: bool,
    },
    /// Batch normalisation at inference: gamma (x - mean) / sqrt(variance + epsilon) + beta, per channel.
    BatchNorm {
        /// Added to the variance.
        epsilon: f64,
        /// Whether files have its gamma; 1 otherwise.
        gamma: bool,
        /// Whether files have its beta; 0 otherwise.
        beta: bool,
    },
    /// An activation by itself.
    Activation(Activation),
    /// Elementwise sum of two maps of one shape.
    Add,
    /// Elementwise product of two maps of one shape; where one of them is 1x1xC, every pixel of the other takes that one.
    Multiply,
    /// One number of those under a window, per channel.
    Pool {
        /// Which.
        pooling: Pooling,
        /// The sliding window.
        window: Window,
    },
    /// Maps of one height and width, their channels behind each other.
    Concat,
    /// Each pixel so many times in both directions.
    Upsample {
        /// Rows and columns of the output for one of the input.
        factor: usize,
    },
    /// Mean over all pixels, per channel.
    GlobalAveragePool,
    /// Fully connected layer over all elements of its input.
    Dense {
        /// N, the number of outputs.
        n: usize,
        /// How files order its weights; its sums run over rows, columns and channels in any case.
        flatten: Flatten,
        /// Whether the layer has a bias.
        bias: bool,
    },
    /// exp(x - max) / sum over the channels of each pixel.
    Softmax,
}

impl Activation {
    /// Every one, as descriptions list them; one slope stands for all.
    pub const ALL: [Activation; 8] = [
        Activation::Relu6,
        Activation::Relu,
        Activation::None,
        Activation::LeakyRelu { slope: Slope(0.25f32.to_bits()) },
        Activation::HardSigmoid,
        Activation::HardSwish,
        Activation::Sigmoid,
        Activation::Swish,
    ];

    /// A leaky ReLU; `None` where [`Slope::new`] gives none.
    pub fn leaky_relu(slope: f32) -> Option<Activation> {
        Slope::new(slope).map(|slope| Activation::LeakyRelu { slope })
    }

    /// What multiplies numbers below 0, if it is a leaky ReLU.
    pub fn slope(self) -> Option<f32> {
        if let Activation::LeakyRelu { slope } = self { Some(slope.get()) } else { None }
    }

    /// The word for it in files and in names of nodes.
    pub fn word(self) -> &'static str {
        match self {
            Activation::None => "none",
            Activation::Relu => "relu",
            Activation::Relu6 => "relu6",
            Activation::LeakyRelu { .. } => "leaky_relu",
            Activation::HardSigmoid => "hard_sigmoid",
            Activation::HardSwish => "hard_swish",
            Activation::Sigmoid => "sigmoid",
            Activation::Swish => "swish",
        }
    }
}

impl Flatten {
    /// Both with their names in descriptions.
    pub const NAMES: [(&str, Flatten); 2] = [("hwc", Flatten::Hwc), ("chw", Flatten::Chw)];
}

impl Slope {
    /// Slopes below have no use, and their digits would make long names.
    pub const LEAST: f32 = 1e-4;

    /// A slope; `None` when it is below [`Slope::LEAST`] or above 1. With those between, max(slope x, x) is the leaky ReLU.
    pub fn new(slope: f32) -> Option<Slope> {
        (Slope::LEAST..=1.0).contains(&slope).then(|| Slope(slope.to_bits()))
    }

    /// The number.
    pub fn get(self) -> f32 {
        f32::from_bits(self.0)
    }
}

impl fmt::Debug for Slope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.get())
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
            Layer::Grouped { window, n, groups, .. } => {
                let input = one()?;
                let m = input.channels;
                if !m.is_multiple_of(*groups) || !n.is_multiple_of(*groups) {
                    return Err(format!(
                        "found {groups} groups of {m} input and {n} output channels, expected a divisor of both"
                    ));
                }
                slide(*window, input, *n)
            }
            Layer::Depthwise { window, .. } => one().and_then(|input| slide(*window, input, input.channels)),
            Layer::BatchNorm { .. } | Layer::Activation(_) | Layer::Softmax => one(),
            Layer::Add => match inputs {
                [left, right] if left == right => Ok(*left),
                [left, right] => Err(format!("found {right} to add to {left}, expected {left}")),
                _ => Err(format!("found {} inputs, expected 2", inputs.len())),
            },
            Layer::Multiply => match inputs {
                [left, right] if left == right || is_gate(*right, *left) => Ok(*left),
                [left, right] if is_gate(*left, *right) => Ok(*right),
                [left, right] => {
                    let gate = Shape { height: 1, width: 1, ..*left };
                    let gate = if gate == *left { String::new() } else { format!(" or {gate}") };
                    Err(format!("found {right} to multiply with {left}, expected {left}{gate}"))
                }
                _ => Err(format!("found {} inputs, expected 2", inputs.len())),
            },
            Layer::Pool { window, .. } => one().and_then(|input| pool(*window, input)),
            Layer::Concat => concat(inputs),
            Layer::Upsample { factor } => one().and_then(|input| {
                let side = |extent: usize| extent.checked_mul(*factor).filter(|side| *side != 0);
                let sides = side(input.height).zip(side(input.width));
                let (height, width) = sides.ok_or_else(|| {
                    format!(
                        "found a factor of {factor} for {input}, expected 1 or more, and sides below 2^64"
                    )
                })?;
                Ok(Shape { height, width, ..input })
            }),
            Layer::GlobalAveragePool => {
                one().map(|input| Shape { height: 1, width: 1, channels: input.channels })
            }
            Layer::Dense { n, .. } => one().map(|_| Shape { height: 1, width: 1, channels: *n }),
        }
    }

    /// The window of a filter that slides over the input, where there is one.
    pub fn window(&self) -> Option<Window> {
        match self {
            Layer::Conv { window, .. } | Layer::Depthwise { window, .. } | Layer::Grouped { window, .. } => {
                Some(*window)
            }
            Layer::Input
            | Layer::BatchNorm { .. }
            | Layer::Activation(_)
            | Layer::Add
            | Layer::Multiply
            | Layer::Pool { .. }
            | Layer::Concat
            | Layer::Upsample { .. }
            | Layer::GlobalAveragePool
            | Layer::Dense { .. }
            | Layer::Softmax => None,
        }
    }

    /// The taps of its window inside of a map of this shape, at each of the window's [borders](Window::borders). A layer without a window
    /// has a tap for each pixel, and no border.
    pub(crate) fn taps_by_border(&self, input: Shape) -> Vec<Vec<usize>> {
        let Some(window) = self.window() else { return vec![(0..input.pixels()).collect()] };
        let borders = window.borders((input.height, input.width));
        let taps = borders.into_iter().map(|(rows, columns)| {
            rows.flat_map(|row| columns.clone().map(move |column| row * window.columns.kernel + column))
                .collect()
        });
        taps.collect()
    }

    /// The filter over an input of this shape; `None` for a layer without weights. A batch norm's vectors are no filter.
    ///
    /// ```
    /// use mnc::graph::layer::{Flatten, Layer};
    /// use mnc::graph::shape::Shape;
    /// let dense = Layer::Dense { n: 10, flatten: Flatten::Hwc, bias: true };
    /// let filter = dense.filter(Shape { height: 1, width: 1, channels: 64 }).unwrap();
    /// assert_eq!((filter.n_weights(), filter.file_axes()), (640, vec![10, 64]));
    /// ```
    pub fn filter(&self, input: Shape) -> Option<FilterShape> {
        let window = self.window().map(|window| window.slide().kernel);
        match *self {
            Layer::Conv { n, bias, .. } => {
                Some(FilterShape { window, m: input.channels, n, groups: 1, is_flat: false, has_bias: bias })
            }
            Layer::Grouped { n, groups, bias, .. } => {
                let m = input.channels / groups;
                Some(FilterShape { window, m, n, groups, is_flat: false, has_bias: bias })
            }
            Layer::Depthwise { bias, .. } => {
                let n = input.channels;
                Some(FilterShape { window, m: 1, n, groups: n, is_flat: false, has_bias: bias })
            }
            Layer::Dense { n, flatten, bias } => {
                let (window, m) = match flatten {
                    Flatten::Hwc => (None, input.len()),
                    // In files its weights lie as those of a convolution with one window, as large as the map.
                    Flatten::Chw => {
                        (Some(Sides { rows: input.height, columns: input.width }), input.channels)
                    }
                };
                Some(FilterShape { window, m, n, groups: 1, is_flat: true, has_bias: bias })
            }
            Layer::Input
            | Layer::BatchNorm { .. }
            | Layer::Activation(_)
            | Layer::Add
            | Layer::Multiply
            | Layer::Pool { .. }
            | Layer::Concat
            | Layer::Upsample { .. }
            | Layer::GlobalAveragePool
            | Layer::Softmax => None,
        }
    }

    /// Whether each row of its output is made of a few rows of one input, so that it can be computed in bands.
    pub fn reads_rows(&self) -> bool {
        self.window().is_some()
    }

    /// Whether each pixel of its output is made of the same pixel of an input of this shape, by one product of matrices:
    /// images of a batch may then lie below each other as one tall map.
    pub fn looks_at_single_pixels(&self, input: Shape) -> bool {
        match self {
            Layer::Conv { window, .. } => *window == Window::POINTWISE,
            Layer::Dense { .. } => input.pixels() == 1,
            Layer::Input
            | Layer::Depthwise { .. }
            | Layer::Grouped { .. }
            | Layer::BatchNorm { .. }
            | Layer::Activation(_)
            | Layer::Add
            | Layer::Multiply
            | Layer::Pool { .. }
            | Layer::Concat
            | Layer::Upsample { .. }
            | Layer::GlobalAveragePool
            | Layer::Softmax => false,
        }
    }

    /// Whether its bytes stand for what those of its inputs do: each is one of theirs, or the mean of some.
    pub fn keeps_scales(&self) -> bool {
        match self {
            Layer::Pool { .. } | Layer::Concat | Layer::Upsample { .. } => true,
            Layer::Input
            | Layer::Conv { .. }
            | Layer::Depthwise { .. }
            | Layer::Grouped { .. }
            | Layer::BatchNorm { .. }
            | Layer::Activation(_)
            | Layer::Add
            | Layer::Multiply
            | Layer::GlobalAveragePool
            | Layer::Dense { .. }
            | Layer::Softmax => false,
        }
    }

    /// Whether it can apply an activation to each element before it is written.
    pub fn takes_activation(&self) -> bool {
        match self {
            Layer::Conv { .. }
            | Layer::Depthwise { .. }
            | Layer::Grouped { .. }
            | Layer::Add
            | Layer::Multiply
            | Layer::Dense { .. } => true,
            Layer::Input
            | Layer::BatchNorm { .. }
            | Layer::Activation(_)
            | Layer::Pool { .. }
            | Layer::Concat
            | Layer::Upsample { .. }
            | Layer::GlobalAveragePool
            | Layer::Softmax => false,
        }
    }
}

/// The extent of a layer's filter: each of `n` outputs of a pixel is a sum over the taps of a window and over `m` channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FilterShape {
    /// Rows and columns of the window; of a dense layer those of the map where files have its channels first, else `None`.
    pub window: Option<Sides>,
    /// Input elements under each tap: M of a standard convolution, 1 of a depthwise one, H W C of a dense layer without window.
    pub m: usize,
    /// N, the output channels.
    pub n: usize,
    /// Into how many groups the channels fall that have nothing to do with each other: M in a depthwise convolution, else 1.
    pub groups: usize,
    /// Whether files have the elements under all taps as one axis.
    pub is_flat: bool,
    /// Whether the layer has a bias of its own, before a batch norm adds one.
    pub has_bias: bool,
}

impl FilterShape {
    /// Positions of the window.
    pub fn taps(&self) -> usize {
        self.window.map_or(1, Sides::area)
    }

    /// Multiply-adds of one output element; the weights of one output channel.
    pub fn fan_in(&self) -> usize {
        self.taps() * self.m
    }

    /// Weights in all, without any bias.
    pub fn n_weights(&self) -> usize {
        self.fan_in() * self.n
    }

    /// The shape of the tensor in files that PyTorch writes: `[N, M, D_K, D_K]`, depthwise `[M, 1, D_K, D_K]`, dense `[N, M]`.
    pub fn file_axes(&self) -> Vec<usize> {
        if self.is_flat {
            return vec![self.n, self.fan_in()];
        }
        let window = self.window.map(|Sides { rows, columns }| [rows, columns]);
        [self.n, self.m].into_iter().chain(window.into_iter().flatten()).collect()
    }

    /// The same in the paper's symbols: `N=512, M=256, D_K=3`.
    pub fn symbols(&self) -> String {
        if self.is_flat {
            return format!("N={}, M={}", self.n, self.fan_in());
        }
        let extents =
            if self.groups == 1 { format!("N={}, M={}", self.n, self.m) } else { format!("M={}", self.n) };
        match self.window {
            Some(sides) if 1 < sides.area() || self.groups != 1 => match sides.side() {
                Some(d_k) => format!("{extents}, D_K={d_k}"),
                None => format!("{extents}, D_K={sides}"),
            },
            Some(_) | None => extents,
        }
    }
}

/// A window that has something under it wherever it stands.
fn pool(window: Window, input: Shape) -> Result<Shape, String> {
    let output = slide(window, input, input.channels)?;
    let axes = [(window.rows, input.height, output.height), (window.columns, input.width, output.width)];
    for (axis, extent, n_positions) in axes {
        if (0..n_positions).any(|position| axis.taps(position, extent).is_empty()) {
            let (before, after, span) = (axis.before, axis.after, axis.span());
            return Err(format!(
                "found a padding of {before} and {after} for a window of {span}, expected one under which every window has an \
                 element of the map"
            ));
        }
    }
    Ok(output)
}

/// The channels of all of them behind each other.
fn concat(inputs: &[Shape]) -> Result<Shape, String> {
    let [first, others @ ..] = inputs else { return Err("found no input, expected 2 or more".to_string()) };
    let mut joined = *first;
    for other in others {
        let (Shape { height, width, .. }, side) = (*first, Shape { channels: first.channels, ..*other });
        if side != *first {
            return Err(format!(
                "found {other} to put beside {first}, expected {height} rows and {width} columns"
            ));
        }
        joined.channels = joined.channels.saturating_add(other.channels);
    }
    Ok(joined)
}

/// Whether a map is one pixel for every pixel of another.
fn is_gate(gate: Shape, map: Shape) -> bool {
    gate == Shape { height: 1, width: 1, ..map }
}

fn slide(window: Window, input: Shape, channels: usize) -> Result<Shape, String> {
    let Some((height, width)) = window.output(input.height, input.width) else {
        let span = Sides { rows: window.rows.span(), columns: window.columns.span() };
        return Err(format!("found an input of {input} for a window of {span}, expected {span} at least"));
    };
    Ok(Shape { height, width, channels })
}
