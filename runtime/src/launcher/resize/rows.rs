//! The resize of a picture that comes row by row: the same pixels as of the whole, and none of them held for longer than its turn.
//!
//! The first pass goes along the upright picture's rows. Where they are the file's rows, each is narrowed as it comes. Where they are
//! its columns, a row of the file is one column of the upright picture, and is added to the sums of those columns of the
//! result that it has a part in. Sums are of whole numbers, so their order changes nothing.

use super::super::picture::{Memory, Picture, Rows, Shape, Way};
use super::{HALF, Tap, Window, along_columns, along_grey_row, along_rgb_row, taps, to_pixel};
use crate::info::Resample;
use image::metadata::Orientation;

/// As [`resize`](super::resize).
pub(crate) fn resize_rows(
    picture: &dyn Rows,
    filter: Resample,
    columns: Window,
    rows: Window,
    memory: &mut Memory,
) -> Result<Picture, String> {
    let Shape { width, height, channels, orientation } = picture.shape();
    let way = Way::of(orientation);
    let upright = if way.swaps { (height, width) } else { (width, height) };
    let (across, down) = (taps(upright.0, columns, filter), taps(upright.1, rows, filter));
    // The rows of the upright picture that the window reads.
    let (first, end) = span(&down);
    let narrow_stride = columns.len * channels;
    let narrow_bytes = (end - first) * narrow_stride;
    let narrow = if way.swaps {
        let (left, right) = span(&across);
        let mut sums = Sums { across: &across, len: (end - first) * channels, sums: Vec::new() };
        memory.expect(4 * narrow_bytes as u64)?;
        memory.take(4 * narrow_bytes as u64)?;
        sums.sums.resize(sums.across.len() * sums.len, HALF);
        let mut line = memory.buffer((end - first) * channels)?;
        let from = if way.flips_y { height - right..height - left } else { left..right };
        // Where the upright picture's rows are among the columns of the file.
        let part = if way.flips_x { width - end..width - first } else { first..end };
        picture.read(from, memory, &mut |y, row| {
            let row = &row[part.start * channels..part.end * channels];
            let x = if way.flips_y { height - 1 - y } else { y };
            sums.add(x, turned(row, channels, way.flips_x, &mut line));
        })?;
        memory.take(narrow_bytes as u64)?;
        sums.into_narrow(channels)
    } else {
        let mut narrow = memory.buffer(narrow_bytes)?;
        let mut line = memory.buffer(width * channels)?;
        let from = if way.flips_y { height - end..height - first } else { first..end };
        picture.read(from, memory, &mut |y, row| {
            let y = if way.flips_y { height - 1 - y } else { y };
            let to = &mut narrow[(y - first) * narrow_stride..][..narrow_stride];
            let row = turned(row, channels, way.flips_x, &mut line);
            match channels {
                1 => along_grey_row(row, &across, to),
                _ => along_rgb_row(row.as_chunks().0, &across, to.as_chunks_mut().0),
            }
        })?;
        narrow
    };
    let pixels = along_columns(&narrow, first, &down, narrow_stride, memory)?;
    let orientation = Orientation::NoTransforms;
    Ok(Picture { width: columns.len, height: rows.len, channels, pixels, orientation })
}

/// From the first pixel that the taps read to behind the last.
fn span(taps: &[Tap]) -> (usize, usize) {
    let first = taps.iter().map(|tap| tap.start).min().unwrap_or(0);
    (first, taps.iter().map(|tap| tap.start + tap.weights.len()).max().unwrap_or(0))
}

/// A row, from its end if it lies the other way round.
fn turned<'r>(row: &'r [u8], channels: usize, flips: bool, line: &'r mut [u8]) -> &'r [u8] {
    if !flips {
        return row;
    }
    for (to, from) in line.chunks_exact_mut(channels).zip(row.chunks_exact(channels).rev()) {
        to.copy_from_slice(from);
    }
    line
}

/// Sums for columns of the result, one column after the other.
struct Sums<'t> {
    across: &'t [Tap],
    /// Of a column.
    len: usize,
    sums: Vec<i32>,
}

impl Sums<'_> {
    /// Adds a column of the upright picture.
    fn add(&mut self, x: usize, column: &[u8]) {
        for (tap, sums) in self.across.iter().zip(self.sums.chunks_exact_mut(self.len)) {
            let weight = x.checked_sub(tap.start).and_then(|at| tap.weights.get(at));
            if let Some(&weight) = weight {
                sums.iter_mut().zip(column).for_each(|(sum, &pixel)| *sum += i32::from(pixel) * weight);
            }
        }
    }

    /// The columns as rows.
    fn into_narrow(self, channels: usize) -> Vec<u8> {
        let mut narrow = vec![0; self.sums.len()];
        let stride = self.across.len() * channels;
        for (j, column) in self.sums.chunks_exact(self.len).enumerate() {
            for (i, pixel) in column.chunks_exact(channels).enumerate() {
                let to = &mut narrow[i * stride + j * channels..][..channels];
                to.iter_mut().zip(pixel).for_each(|(to, sum)| *to = to_pixel(*sum));
            }
        }
        narrow
    }
}

#[cfg(test)]
mod tests {
    use super::super::resize;
    use super::*;
    use crate::launcher::picture::Grey;

    /// Whatever the size, the window, the filter and the way that the camera was held: streamed is whole.
    #[test]
    fn rows_give_the_pixels_of_the_whole() {
        let mut state = 7u64;
        let mut below = |n: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % n
        };
        for round in 0..3000 {
            let (width, height) = (1 + below(40), 1 + below(40));
            let channels = if below(2) == 0 { 1 } else { 3 };
            let pixels = (0..width * height * channels).map(|_| below(256) as u8).collect();
            let orientation = Orientation::from_exif(1 + below(8) as u8).unwrap();
            let picture = Picture { width, height, channels, pixels, orientation };
            let mut window = || {
                let full = 1 + below(50);
                let start = below(full);
                Window { full, start, len: 1 + below(full - start) }
            };
            let (columns, rows) = (window(), window());
            let filter = [
                Resample::Nearest,
                Resample::Box,
                Resample::Bilinear,
                Resample::Hamming,
                Resample::Bicubic,
                Resample::Lanczos,
            ][below(6)];
            let memory = || Memory::new(1 << 20);
            let streamed = resize_rows(&picture, filter, columns, rows, &mut memory());
            let whole = resize(&picture, filter, columns, rows, &mut memory());
            assert_eq!(streamed, whole, "round {round}: {columns:?} {rows:?} {filter:?} {orientation:?}");
            let grey = resize_rows(&Grey(&picture), filter, columns, rows, &mut memory());
            let whole = resize(&picture.clone().into_grey(), filter, columns, rows, &mut memory());
            assert_eq!(grey, whole, "round {round}, in grey");
        }
    }
}
