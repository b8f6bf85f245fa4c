//! Kernel names: computed, never typed by hand, and parsed back.
//!
//! `<dtype>_<family>_<tile>[_<activation>]_<isa>`, for instance `f32_pointwise_6x16_relu6_fma3` or
//! `f32_depthwise_3x3s2_7x8_relu6_fma3`: tiles are pixels x channels, those of several rows rows x pixels x channels.

use std::fmt;
use std::str::FromStr;

use super::elementwise::Operation;
use super::tile::Tile;
use crate::describe::{Sides, Slide};
use crate::graph::layer::Activation;
use crate::graph::tensor::Dtype;
use crate::target::Isa;

/// A kernel family with what its name says of the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// Standard convolution.
    Conv(Slide),
    /// 1x1 convolution.
    Pointwise,
    /// 1x1 convolution with a residual.
    PointwiseAdd,
    /// Depthwise convolution.
    Depthwise(Slide),
    /// Convolution in groups.
    Grouped(Slide),
    /// Fully connected layer.
    Dense,
    /// Global average.
    GlobalAveragePool,
    /// Elementwise sum or product.
    Elementwise(Operation),
    /// Maximum over a window.
    MaxPool(Slide),
    /// Mean over a window.
    AveragePool(Slide),
    /// Maps side by side.
    Concat,
    /// Each pixel several times.
    Upsample,
    /// Softmax.
    Softmax,
    /// Bytes of an input's numbers.
    Quantise,
    /// Change of layout.
    Copy,
}

impl Family {
    /// Those that know no window.
    pub const WINDOWLESS: [Family; 11] = [
        Family::Pointwise,
        Family::PointwiseAdd,
        Family::Dense,
        Family::GlobalAveragePool,
        Family::Elementwise(Operation::Add),
        Family::Elementwise(Operation::Multiply),
        Family::Concat,
        Family::Upsample,
        Family::Softmax,
        Family::Quantise,
        Family::Copy,
    ];
}

/// The tile of a name: pixels x channels of one step, or rows x pixels x channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NamedTile {
    /// Rows; 1 is not written.
    pub rows: usize,
    /// Pixels, of each row.
    pub pixels: usize,
    /// Channels, in elements.
    pub channels: usize,
}

impl NamedTile {
    /// A tile of one row.
    pub fn row(pixels: usize, channels: usize) -> NamedTile {
        NamedTile { rows: 1, pixels, channels }
    }

    pub(super) fn of(tile: Tile, isa: &Isa) -> NamedTile {
        NamedTile::row(tile.mr, tile.vectors * isa.lanes)
    }

    /// The register tile, for an instruction set of so many lanes.
    pub(crate) fn of_lanes(self, lanes: usize) -> Tile {
        Tile { mr: self.pixels, vectors: self.channels / lanes }
    }
}

impl fmt::Display for NamedTile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.rows != 1 {
            write!(f, "{}x", self.rows)?;
        }
        write!(f, "{}x{}", self.pixels, self.channels)
    }
}

impl FromStr for NamedTile {
    type Err = ();

    fn from_str(text: &str) -> Result<NamedTile, ()> {
        let numbers: Result<Vec<usize>, _> = text.split('x').map(str::parse).collect();
        match numbers.as_deref() {
            Ok(&[pixels, channels]) => Ok(NamedTile::row(pixels, channels)),
            Ok(&[rows, pixels, channels]) if rows != 1 => Ok(NamedTile { rows, pixels, channels }),
            _ => Err(()),
        }
    }
}

/// The name of a kernel.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KernelName {
    /// What it computes of.
    pub dtype: Dtype,
    /// What it computes.
    pub family: Family,
    /// Its register tile.
    pub tile: NamedTile,
    /// What it applies at the end; not written when there is none.
    pub activation: Activation,
    /// [`Isa::tag`].
    pub isa: String,
}

impl fmt::Display for KernelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_", self.dtype)?;
        match self.family {
            Family::Conv(slide) => write!(f, "conv_{slide}")?,
            Family::Pointwise => f.write_str("pointwise")?,
            Family::PointwiseAdd => f.write_str("pointwiseadd")?,
            Family::Depthwise(slide) => write!(f, "depthwise_{slide}")?,
            Family::Grouped(slide) => write!(f, "grouped_{slide}")?,
            Family::Dense => f.write_str("dense")?,
            Family::GlobalAveragePool => f.write_str("pool")?,
            Family::Elementwise(operation) => f.write_str(operation.word())?,
            Family::MaxPool(slide) => write!(f, "maxpool_{slide}")?,
            Family::AveragePool(slide) => write!(f, "avgpool_{slide}")?,
            Family::Concat => f.write_str("concat")?,
            Family::Upsample => f.write_str("upsample")?,
            Family::Softmax => f.write_str("softmax")?,
            Family::Quantise => f.write_str("quantise")?,
            Family::Copy => f.write_str("copy")?,
        }
        write!(f, "_{}", self.tile)?;
        if self.activation != Activation::None {
            write!(f, "_{}", tag(self.activation))?;
        }
        write!(f, "_{}", self.isa)
    }
}

impl FromStr for KernelName {
    type Err = String;

    fn from_str(text: &str) -> Result<KernelName, String> {
        let fault = |what: &str| format!("kernel name {text:?} has no {what}");
        let mut words = text.split('_').peekable();
        let mut next = |what: &str| words.next().ok_or_else(|| fault(what));
        let dtype = next("dtype")?;
        let dtype = [Dtype::F32, Dtype::U8].into_iter().find(|known| known.word() == dtype);
        let dtype = dtype.ok_or_else(|| fault("dtype"))?;
        let family = next("family")?;
        let family = match family {
            "conv" => Family::Conv(slide(next("window")?).map_err(fault)?),
            "depthwise" => Family::Depthwise(slide(next("window")?).map_err(fault)?),
            "grouped" => Family::Grouped(slide(next("window")?).map_err(fault)?),
            "pointwise" => Family::Pointwise,
            "pointwiseadd" => Family::PointwiseAdd,
            "dense" => Family::Dense,
            "pool" => Family::GlobalAveragePool,
            "maxpool" => Family::MaxPool(slide(next("window")?).map_err(fault)?),
            "avgpool" => Family::AveragePool(slide(next("window")?).map_err(fault)?),
            "concat" => Family::Concat,
            "upsample" => Family::Upsample,
            "softmax" => Family::Softmax,
            "quantise" => Family::Quantise,
            "copy" => Family::Copy,
            word => {
                let known = Operation::ALL.into_iter().find(|operation| operation.word() == word);
                Family::Elementwise(known.ok_or_else(|| fault("known family"))?)
            }
        };
        let tile = next("tile")?.parse().map_err(|()| fault("tile"))?;
        let mut isa = next("instruction set")?;
        let activation = activation(isa).unwrap_or(Activation::None);
        if activation != Activation::None {
            isa = next("instruction set")?;
        }
        Ok(KernelName { dtype, family, tile, activation, isa: isa.to_owned() })
    }
}

/// The slide of its text, or what the text lacks.
fn slide(text: &str) -> Result<Slide, &'static str> {
    let (kernel, steps) = text.split_once('s').ok_or("stride")?;
    let (stride, dilation) = steps.split_once('d').unwrap_or((steps, "1"));
    let number = |text: &str| text.parse().ok();
    let sides = |text: &str| match text.split_once('x') {
        Some((rows, columns)) => Some(Sides { rows: number(rows)?, columns: number(columns)? }),
        None => number(text).map(Sides::square),
    };
    Ok(Slide {
        kernel: sides(kernel).ok_or("kernel side")?,
        stride: sides(stride).ok_or("stride")?,
        dilation: sides(dilation).ok_or("dilation")?,
    })
}

/// An activation in the name of a kernel, one word: `hardswish`, `leakyrelu0p25` with its slope.
fn tag(activation: Activation) -> String {
    let word = activation.word().replace('_', "");
    let slope = activation.slope().map_or(String::new(), |slope| slope.to_string());
    word + &slope.replace('.', "p")
}

/// The activation of such a word.
fn activation(word: &str) -> Option<Activation> {
    let digits = word.trim_start_matches(|c: char| c.is_ascii_alphabetic()).replace('p', ".");
    let leaky = digits.parse().ok().and_then(Activation::leaky_relu);
    let mut known =
        Activation::ALL.into_iter().filter(|activation| *activation != Activation::None).chain(leaky);
    known.find(|activation| tag(*activation) == word)
}
