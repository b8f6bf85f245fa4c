//! What a value is: its shape, and how its elements are stored.

use std::fmt;

use super::shape::Shape;

/// A value between two layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tensor {
    /// H x W x C of one image.
    pub shape: Shape,
    /// How an element is stored.
    pub dtype: Dtype,
}

impl Tensor {
    /// Numbers as they are trained.
    pub const fn f32(shape: Shape) -> Tensor {
        Tensor { shape, dtype: Dtype::F32 }
    }
}

/// How an element is stored. Sizes and offsets outside of kernels are bytes; this is what makes bytes of elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dtype {
    /// IEEE 754 binary32, little-endian.
    F32,
    /// A byte, 0 to 255. What number it stands for is its node's affair.
    U8,
}

impl Dtype {
    /// Bytes of one element.
    pub const fn bytes(self) -> usize {
        match self {
            Dtype::F32 => size_of::<f32>(),
            Dtype::U8 => 1,
        }
    }

    /// The word for it in names of kernels.
    pub const fn word(self) -> &'static str {
        match self {
            Dtype::F32 => "f32",
            Dtype::U8 => "u8",
        }
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// The little-endian bytes of numbers.
pub fn f32_bytes(numbers: &[f32]) -> Vec<u8> {
    numbers.iter().map(|number| number.to_le_bytes()).collect::<Vec<_>>().into_flattened()
}

/// The numbers of little-endian bytes.
///
/// # Panics
/// When the last number is cut off.
pub fn f32_numbers(bytes: &[u8]) -> Vec<f32> {
    let (numbers, rest) = bytes.as_chunks();
    assert!(rest.is_empty(), "a number has {} bytes", Dtype::F32.bytes());
    numbers.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}
