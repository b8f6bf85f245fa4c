//! The registry of kernel families: one row each, from which symbol, packing, code and suite follow.
//!
//! A kernel is a small value that fixes every shape, stride and tile; its generator turns it into [`Code`] for an [`Isa`] and
//! its packing lays out the weights in the order in which that code reads them. A kernel knows no layer and no buffer
//! addresses.
//!
//! Extents are called `pixels`, `n`, `depth`; `mr x nr` is only ever the register tile (pixels x channels).

mod concat;
mod conv;
mod copy;
mod dense;
mod depthwise;
mod elementwise;
mod ending;
mod epilogue;
mod grouped;
mod halves;
mod name;
mod narrow;
mod panel;
mod pointwise;
mod pool;
mod quantise;
mod softmax;
mod split;
#[cfg(test)]
mod tests;
mod tile;
mod upsample;
mod widened;
mod window_pool;
mod words;

use std::iter;

use mnc_runtime::filter::Packing;

pub use concat::Concat;
pub use conv::Conv;
pub use copy::Copy;
pub use dense::Dense;
pub use depthwise::{Depthwise, Form};
pub use elementwise::{ByteProduct, Elementwise, ElementwiseNumbers, Operation};
pub use ending::{Borders, ByteAddition, ByteEnding, ByteResidual, Ending, Factor, IntegerEnding};
pub use grouped::Grouped;
pub use name::{Family, KernelName, NamedTile};
pub use pointwise::Pointwise;
pub use pool::{GlobalAveragePool, PoolNumbers};
pub use quantise::Quantise;
pub use softmax::Softmax;
pub use split::{Part, Split};
pub(crate) use tile::split_evenly;
pub use tile::{Tile, padded_channels};
pub use upsample::Upsample;
pub use window_pool::WindowPool;

use crate::code::Code;
use crate::graph::shape::Shape;
use crate::graph::tensor::{Dtype, Tensor, f32_bytes};
use crate::passes::{Filter, Integer};
use crate::target::Isa;

/// Bytes of a lane.
const WORD: usize = 4;

/// A feature map in memory: pixels in row order, `pixel_stride` elements from one to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FeatureMap {
    /// H x W x C.
    pub shape: Shape,
    /// How an element is stored.
    pub dtype: Dtype,
    /// Elements from one pixel to the next, at least C. Where it is at least C rounded up to the lanes of the instruction
    /// set, kernels may read and write whole vectors; the elements behind C are then scratch.
    pub pixel_stride: usize,
}

impl FeatureMap {
    /// A map without gaps, as callers pass the input and take the output.
    pub fn tight(tensor: Tensor) -> FeatureMap {
        let Tensor { shape, dtype } = tensor;
        FeatureMap { shape, dtype, pixel_stride: shape.channels }
    }

    /// Its elements, wherever they lie.
    pub fn tensor(self) -> Tensor {
        Tensor { shape: self.shape, dtype: self.dtype }
    }

    /// So many maps like this one, one behind the other, as one map: what looks at single pixels can't tell.
    pub fn stacked(self, n_maps: usize) -> FeatureMap {
        self.with_height(self.shape.height * n_maps)
    }

    /// Elements from one row to the next.
    pub fn row_stride(self) -> usize {
        self.shape.width * self.pixel_stride
    }

    /// Elements in all, gaps included.
    pub fn len(self) -> usize {
        self.shape.pixels() * self.pixel_stride
    }

    /// Words of four bytes that have so many elements.
    ///
    /// # Panics
    /// When these are no whole words: only the caller's maps of bytes may lie so, which copies and some convolutions read.
    pub fn words(self, elements: usize) -> usize {
        let bytes = elements * self.dtype.bytes();
        assert!(bytes.is_multiple_of(WORD), "{elements} elements of {} are no whole words", self.dtype);
        bytes / WORD
    }

    /// Words from one pixel to the next.
    pub fn pixel_words(self) -> usize {
        self.words(self.pixel_stride)
    }

    /// Words from one row to the next.
    pub fn row_words(self) -> usize {
        self.words(self.row_stride())
    }

    /// Words that the channels of a pixel fill, the last one in part perhaps.
    pub fn depth(self) -> usize {
        (self.shape.channels * self.dtype.bytes()).div_ceil(WORD)
    }

    /// Whether every pixel begins with a word.
    pub fn has_whole_words(self) -> bool {
        self.pixel_bytes().is_multiple_of(WORD)
    }

    /// Bytes from one pixel to the next.
    pub fn pixel_bytes(self) -> usize {
        self.pixel_stride * self.dtype.bytes()
    }

    /// Bytes from one row to the next.
    pub fn row_bytes(self) -> usize {
        self.row_stride() * self.dtype.bytes()
    }

    /// Bytes in all, gaps included.
    pub fn bytes(self) -> usize {
        self.len() * self.dtype.bytes()
    }

    /// So many rows of the map.
    pub fn with_height(self, height: usize) -> FeatureMap {
        FeatureMap { shape: Shape { height, ..self.shape }, ..self }
    }

    /// So many pixels of the map in a row.
    pub fn run(self, pixels: usize) -> FeatureMap {
        FeatureMap { shape: Shape { height: 1, width: pixels, ..self.shape }, ..self }
    }

    /// So many channels of the map, at the same distances.
    pub fn with_channels(self, channels: usize) -> FeatureMap {
        FeatureMap { shape: Shape { channels, ..self.shape }, ..self }
    }

    /// Whether the map has no element.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Whether whole vectors may be read and written at every pixel.
    pub fn is_padded(self, isa: &Isa) -> bool {
        padded_channels(self.shape.channels, isa) <= self.pixel_stride
    }
}

/// One kernel of one family, every shape fixed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Kernel {
    /// Standard convolution.
    Conv(Conv),
    /// 1x1 convolution with stride 1: a matrix product.
    Pointwise(Pointwise),
    /// Depthwise convolution.
    Depthwise(Depthwise),
    /// Convolution in groups.
    Grouped(Grouped),
    /// Fully connected layer.
    Dense(Dense),
    /// Global average.
    GlobalAveragePool(GlobalAveragePool),
    /// Elementwise sum or product.
    Elementwise(Elementwise),
    /// Maximum or mean over a window.
    WindowPool(WindowPool),
    /// Several maps side by side.
    Concat(Concat),
    /// Each pixel several times.
    Upsample(Upsample),
    /// Softmax.
    Softmax(Softmax),
    /// Bytes of an input's numbers.
    Quantise(Quantise),
    /// Between the caller's tight buffers and padded ones, and within the buffer of a band.
    Copy(Copy),
}

impl Kernel {
    /// The name, from which the symbol is made.
    pub fn name(&self, isa: &Isa) -> KernelName {
        match self {
            Kernel::Conv(kernel) => kernel.name(isa),
            Kernel::Pointwise(kernel) => kernel.name(isa),
            Kernel::Depthwise(kernel) => kernel.name(isa),
            Kernel::Grouped(kernel) => kernel.name(isa),
            Kernel::Dense(kernel) => kernel.name(isa),
            Kernel::GlobalAveragePool(kernel) => kernel.name(isa),
            Kernel::Elementwise(kernel) => kernel.name(isa),
            Kernel::Concat(kernel) => kernel.name(isa),
            Kernel::Upsample(kernel) => kernel.name(isa),
            Kernel::WindowPool(kernel) => kernel.name(isa),
            Kernel::Softmax(kernel) => kernel.name(isa),
            Kernel::Quantise(kernel) => kernel.name(isa),
            Kernel::Copy(kernel) => kernel.name(isa),
        }
    }

    /// The program. Its parameters are the inputs, then the packed filter where there is one, then the output.
    pub fn code(&self, isa: &Isa) -> Code {
        match self {
            Kernel::Conv(kernel) => kernel.code(isa),
            Kernel::Pointwise(kernel) => kernel.code(isa),
            Kernel::Depthwise(kernel) => kernel.code(isa),
            Kernel::Grouped(kernel) => kernel.code(isa),
            Kernel::Dense(kernel) => kernel.code(isa),
            Kernel::GlobalAveragePool(kernel) => kernel.code(isa),
            Kernel::Elementwise(kernel) => kernel.code(isa),
            Kernel::Concat(kernel) => kernel.code(isa),
            Kernel::Upsample(kernel) => kernel.code(isa),
            Kernel::WindowPool(kernel) => kernel.code(isa),
            Kernel::Softmax(kernel) => kernel.code(isa),
            Kernel::Quantise(kernel) => kernel.code(isa),
            Kernel::Copy(kernel) => kernel.code(isa),
        }
    }

    /// The layout of the filter that the program reads; `None` for kernels without one.
    pub fn packing(&self, isa: &Isa) -> Option<Packing> {
        match self {
            Kernel::Conv(kernel) => Some(kernel.packing(isa)),
            Kernel::Pointwise(kernel) => Some(kernel.packing(isa)),
            Kernel::Depthwise(kernel) => Some(kernel.packing(isa)),
            Kernel::Grouped(kernel) => Some(kernel.packing(isa)),
            Kernel::Dense(kernel) => Some(kernel.packing(isa)),
            Kernel::Quantise(kernel) => Some(kernel.packing(isa)),
            Kernel::GlobalAveragePool(_)
            | Kernel::Elementwise(_)
            | Kernel::Concat(_)
            | Kernel::Upsample(_)
            | Kernel::WindowPool(_)
            | Kernel::Softmax(_)
            | Kernel::Copy(_) => None,
        }
    }

    /// The filter as the bytes that the program reads; `None` for kernels without one.
    pub fn pack(&self, isa: &Isa, filter: &Filter) -> Option<Vec<u8>> {
        Some(f32_bytes(&filter.pack(&self.packing(isa)?)))
    }

    /// The same of a filter of integers: in each panel the biases, a row for each border ([`Integer::packed_bias`]), then the multipliers,
    /// the factors or addends where channels have such, then words of the weights of up to four input channels under one tap; in a depthwise
    /// filter of one weight, or of those under some rows, of 8 or 16 bits.
    pub fn pack_integers(&self, isa: &Isa, numbers: &Integer, factors: &[f32]) -> Option<Vec<u8>> {
        let packing = self.packing(isa)?;
        let m = match self {
            Kernel::Depthwise(_) => 1,
            Kernel::Conv(_) | Kernel::Pointwise(_) | Kernel::Dense(_) => self.input().shape.channels,
            Kernel::Grouped(_)
            | Kernel::GlobalAveragePool(_)
            | Kernel::Elementwise(_)
            | Kernel::Concat(_)
            | Kernel::Upsample(_)
            | Kernel::WindowPool(_)
            | Kernel::Softmax(_)
            | Kernel::Quantise(_)
            | Kernel::Copy(_) => unreachable!("only layers that compute in integers have such filters"),
        };
        let n = numbers.multiplier.len();
        let bias = numbers.packed_bias();
        let n_biases = bias.len() / n;
        let head = n_biases + 1 + usize::from(!factors.is_empty());
        let taps: Vec<Vec<Option<usize>>> = match self {
            Kernel::Depthwise(kernel) => {
                (head..=packing.depth()).map(|row| kernel.taps_of_word(row - head)).collect()
            }
            _ => Vec::new(),
        };
        let row = |row: usize, channel: usize| -> [u8; WORD] {
            if row < n_biases {
                return bias[row * n + channel].to_le_bytes();
            }
            if row == n_biases {
                return numbers.multiplier[channel].to_le_bytes();
            }
            if row < head {
                return factors[channel].to_le_bytes();
            }
            let weight = |tap: usize, ci: usize| numbers.weights[(tap * m + ci) * n + channel];
            match self {
                Kernel::Depthwise(_) => {
                    let taps = &taps[row - head];
                    let bytes = |tap: &Option<usize>| {
                        let weight = tap.map_or(0, |tap| i32::from(weight(tap, 0)));
                        weight.to_le_bytes().into_iter().take(WORD / taps.len())
                    };
                    let mut bytes = taps.iter().flat_map(bytes);
                    std::array::from_fn(|_| bytes.next().expect("they fill a word"))
                }
                _ => {
                    let words = m.div_ceil(WORD);
                    let (tap, word) = ((row - head) / words, (row - head) % words);
                    let ci = |byte: usize| Some(word * WORD + byte).filter(|ci| *ci < m);
                    std::array::from_fn(|byte| ci(byte).map_or(0, |ci| weight(tap, ci).cast_unsigned()))
                }
            }
        };
        let channel_at = |position: usize| match self {
            Kernel::Depthwise(kernel) => kernel.channel_at(position, isa),
            _ => position,
        };
        let ((width, n_panels), rest) = packing.panels();
        let mut bytes = Vec::with_capacity(packing.len() * WORD);
        let mut first = 0;
        for width in iter::repeat_n(width, n_panels).chain((rest != 0).then_some(rest)) {
            for idx in 0..=packing.depth() {
                for channel in (0..width).map(|position| first + channel_at(position)) {
                    bytes.extend(if channel < n { row(idx, channel) } else { [0; WORD] });
                }
            }
            first += width;
        }
        Some(bytes)
    }

    /// Bytes of that filter, 0 for kernels without one.
    pub fn filter_bytes(&self, isa: &Isa) -> usize {
        self.packing(isa).map_or(0, |packing| packing.len() * Dtype::F32.bytes())
    }

    /// How many inputs it has.
    pub fn n_inputs(&self) -> usize {
        match self {
            Kernel::Elementwise(_) | Kernel::Pointwise(Pointwise { residual: Some(_), .. }) => 2,
            Kernel::Concat(kernel) => kernel.inputs.len(),
            Kernel::Conv(_)
            | Kernel::Pointwise(_)
            | Kernel::Depthwise(_)
            | Kernel::Grouped(_)
            | Kernel::Dense(_)
            | Kernel::GlobalAveragePool(_)
            | Kernel::Upsample(_)
            | Kernel::WindowPool(_)
            | Kernel::Softmax(_)
            | Kernel::Quantise(_)
            | Kernel::Copy(_) => 1,
        }
    }

    /// The first of its inputs.
    pub fn input(&self) -> FeatureMap {
        match self {
            Kernel::Conv(kernel) => kernel.input,
            Kernel::Pointwise(kernel) => kernel.input,
            Kernel::Depthwise(kernel) => kernel.input,
            Kernel::Grouped(kernel) => kernel.input,
            Kernel::Dense(kernel) => kernel.input,
            Kernel::GlobalAveragePool(kernel) => kernel.input,
            Kernel::Elementwise(kernel) => kernel.a,
            Kernel::Concat(kernel) => kernel.inputs[0],
            Kernel::Upsample(kernel) => kernel.input,
            Kernel::WindowPool(kernel) => kernel.input,
            Kernel::Softmax(kernel) => kernel.input,
            Kernel::Quantise(kernel) => kernel.input,
            Kernel::Copy(kernel) => kernel.input,
        }
    }

    /// The map that it adds to its sums.
    pub fn residual(&self) -> Option<FeatureMap> {
        match self {
            Kernel::Pointwise(kernel) => kernel.residual,
            Kernel::Conv(_)
            | Kernel::Depthwise(_)
            | Kernel::Grouped(_)
            | Kernel::Dense(_)
            | Kernel::GlobalAveragePool(_)
            | Kernel::Elementwise(_)
            | Kernel::Concat(_)
            | Kernel::Upsample(_)
            | Kernel::WindowPool(_)
            | Kernel::Softmax(_)
            | Kernel::Quantise(_)
            | Kernel::Copy(_) => None,
        }
    }

    /// Its output.
    pub fn output(&self) -> FeatureMap {
        match self {
            Kernel::Conv(kernel) => kernel.output,
            Kernel::Pointwise(kernel) => kernel.output,
            Kernel::Depthwise(kernel) => kernel.output,
            Kernel::Grouped(kernel) => kernel.output,
            Kernel::Dense(kernel) => kernel.output,
            Kernel::GlobalAveragePool(kernel) => kernel.output,
            Kernel::Elementwise(kernel) => kernel.output,
            Kernel::Concat(kernel) => kernel.output,
            Kernel::Upsample(kernel) => kernel.output,
            Kernel::WindowPool(kernel) => kernel.output,
            Kernel::Softmax(kernel) => kernel.output,
            Kernel::Quantise(kernel) => kernel.output,
            Kernel::Copy(kernel) => kernel.output,
        }
    }
}
