//! Pictures that are read row by row: they are larger than the memory that they may take.

use super::memory::Memory;
use super::{Picture, luma};
use image::metadata::Orientation;
use std::ops::Range;

/// What is known of a picture before its pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Columns in the file.
    pub(crate) width: usize,
    /// Rows in the file.
    pub(crate) height: usize,
    /// 1 (grey) or 3 (red, green, blue).
    pub(crate) channels: usize,
    pub(crate) orientation: Orientation,
}

/// A picture whose rows can be read in their order.
pub(crate) trait Rows {
    fn shape(&self) -> Shape;

    /// Calls `take` with the number and the pixels of each of some rows of the file, from above.
    fn read(
        &self,
        rows: Range<usize>,
        memory: &mut Memory,
        take: &mut dyn FnMut(usize, &[u8]),
    ) -> Result<(), String>;
}

/// A picture, or what it can be read from.
pub(crate) enum Decoded<'b> {
    Whole(Picture),
    Rows(Box<dyn Rows + 'b>),
}

impl Decoded<'_> {
    /// What was asked for whole.
    pub(super) fn whole(self) -> Picture {
        match self {
            Decoded::Whole(picture) => picture,
            Decoded::Rows(_) => unreachable!("it was asked for whole"),
        }
    }
}

/// The rows in one channel, as [`Picture::into_grey`] makes them.
pub(crate) struct Grey<'r>(pub(crate) &'r dyn Rows);

impl Rows for Grey<'_> {
    fn shape(&self) -> Shape {
        Shape { channels: 1, ..self.0.shape() }
    }

    fn read(
        &self,
        rows: Range<usize>,
        memory: &mut Memory,
        take: &mut dyn FnMut(usize, &[u8]),
    ) -> Result<(), String> {
        if self.0.shape().channels == 1 {
            return self.0.read(rows, memory, take);
        }
        let mut grey = memory.buffer(self.0.shape().width)?;
        self.0.read(rows, memory, &mut |y, row| {
            grey.iter_mut().zip(row.as_chunks().0).for_each(|(grey, pixel)| *grey = luma(*pixel));
            take(y, &grey);
        })
    }
}

#[cfg(test)]
impl Rows for Picture {
    fn shape(&self) -> Shape {
        let Picture { width, height, channels, orientation, .. } = *self;
        Shape { width, height, channels, orientation }
    }

    fn read(
        &self,
        rows: Range<usize>,
        _: &mut Memory,
        take: &mut dyn FnMut(usize, &[u8]),
    ) -> Result<(), String> {
        let stride = self.width * self.channels;
        rows.for_each(|y| take(y, &self.pixels[y * stride..][..stride]));
        Ok(())
    }
}
