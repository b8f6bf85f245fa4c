//! Bytes of a JPEG, PNG, WebP, GIF, BMP or PNM file -> 8-bit pixels in one or three channels, or what is wrong with the file.
//!
//! A damaged file is refused whatever its format: half a picture would get an answer like any other.

#[cfg(test)]
mod counting;
mod exif;
mod format;
mod gif;
mod jpeg;
mod memory;
mod plain;
mod png;
mod rows;
mod together;
mod webp;

pub(crate) use self::format::{Format, HEAD_BYTES};
pub(crate) use self::memory::{Memory, unreadable};
pub(crate) use self::rows::{Decoded, Grey, Rows, Shape};
pub(crate) use self::together::Together;
use image::metadata::Orientation;

/// Pixels by rows, channels innermost, as they are in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Picture {
    /// Columns in the file; see [`Picture::size`].
    pub(crate) width: usize,
    /// Rows in the file.
    pub(crate) height: usize,
    /// 1 (grey) or 3 (red, green, blue).
    pub(crate) channels: usize,
    pub(crate) pixels: Vec<u8>,
    /// How the camera was held.
    pub(crate) orientation: Orientation,
}

/// The longest side, JPEG's own limit: the resize needs memory by the longer side too.
const MAX_SIDE: usize = 65535;

pub(crate) fn check_size(width: usize, height: usize) -> Result<(), String> {
    if width.min(height) == 0 || MAX_SIDE < width.max(height) {
        let expected = format!("expected at least one and at most {MAX_SIDE} a side");
        return Err(format!("found {width} x {height} pixels, {expected}"));
    }
    Ok(())
}

impl Picture {
    /// Decodes a file; alpha is dropped. The error says what was found and expected, without the file's name.
    pub(crate) fn decode(format: Format, bytes: &[u8], memory: &mut Memory) -> Result<Picture, String> {
        match format {
            Format::Jpeg => jpeg::decode(bytes, true, memory).map(Decoded::whole),
            Format::Png => png::decode(bytes, true, memory).map(Decoded::whole),
            Format::WebP => webp::decode(bytes, memory),
            Format::Gif => gif::decode(bytes, memory),
            Format::Bmp => plain::decode_bmp(bytes, memory),
            Format::Pnm => plain::decode_pnm(bytes, memory),
        }
    }

    /// The same, or what there is to read it from row by row if it is too large.
    pub(crate) fn decode_or_rows<'b>(
        format: Format,
        bytes: &'b [u8],
        memory: &mut Memory,
    ) -> Result<Decoded<'b>, String> {
        match format {
            Format::Jpeg => jpeg::decode(bytes, false, memory),
            Format::Png => png::decode(bytes, false, memory),
            _ => Picture::decode(format, bytes, memory).map(Decoded::Whole),
        }
    }

    /// The picture in one channel.
    pub(crate) fn into_grey(mut self) -> Picture {
        if self.channels == 1 {
            return self;
        }
        let n_pixels = self.pixels.len() / 3;
        for pixel in 0..n_pixels {
            self.pixels[pixel] = luma([0, 1, 2].map(|channel| self.pixels[3 * pixel + channel]));
        }
        self.pixels.truncate(n_pixels);
        Picture { channels: 1, ..self }
    }

    /// Columns and rows of the upright picture.
    pub(crate) fn size(&self) -> (usize, usize) {
        if Way::of(self.orientation).swaps { (self.height, self.width) } else { (self.width, self.height) }
    }

    /// A row of the upright picture; `line` is as long as one, for where the pixels aren't side by side in the file.
    pub(crate) fn row<'a>(&'a self, y: usize, line: &'a mut [u8]) -> &'a [u8] {
        let (w, h, n) = (self.width, self.height, self.channels);
        let Way { swaps, flips_x, flips_y } = Way::of(self.orientation);
        if !swaps && !flips_x {
            let y = if flips_y { h - 1 - y } else { y };
            return &self.pixels[y * w * n..(y + 1) * w * n];
        }
        for (x, pixel) in line.chunks_exact_mut(n).enumerate() {
            let (from_x, from_y) = if swaps { (y, x) } else { (x, y) };
            let from_x = if flips_x { w - 1 - from_x } else { from_x };
            let from_y = if flips_y { h - 1 - from_y } else { from_y };
            pixel.copy_from_slice(&self.pixels[(from_y * w + from_x) * n..][..n]);
        }
        line
    }
}

/// The luma of ITU-R 601 in Pillow's fixed point.
fn luma(pixel: [u8; 3]) -> u8 {
    let [r, g, b] = pixel.map(u32::from);
    ((r * 19595 + g * 38470 + b * 7471 + 0x8000) >> 16) as u8
}

/// Where a pixel of the upright picture is in the file: its place, x and y swapped, then counted from the end.
#[derive(Clone, Copy)]
pub(crate) struct Way {
    pub(crate) swaps: bool,
    pub(crate) flips_x: bool,
    pub(crate) flips_y: bool,
}

impl Way {
    pub(crate) fn of(orientation: Orientation) -> Way {
        let (swaps, flips_x, flips_y) = match orientation {
            Orientation::NoTransforms => (false, false, false),
            Orientation::FlipHorizontal => (false, true, false),
            Orientation::FlipVertical => (false, false, true),
            Orientation::Rotate180 => (false, true, true),
            Orientation::Rotate90FlipH => (true, false, false),
            Orientation::Rotate270 => (true, true, false),
            Orientation::Rotate90 => (true, false, true),
            Orientation::Rotate270FlipH => (true, true, true),
        };
        Way { swaps, flips_x, flips_y }
    }
}

/// Samples as they were decoded.
struct Samples {
    /// Channels, alpha included.
    decoded: usize,
    /// Channels without alpha.
    kept: usize,
    /// How two bytes are one sample; `None` for samples of one byte.
    wide: Option<fn([u8; 2]) -> u16>,
}

impl Samples {
    fn native(decoded: usize, kept: usize, is_wide: bool) -> Samples {
        Samples { decoded, kept, wide: is_wide.then_some(u16::from_ne_bytes) }
    }

    fn big_endian(decoded: usize, kept: usize, is_wide: bool) -> Samples {
        Samples { decoded, kept, wide: is_wide.then_some(u16::from_be_bytes) }
    }

    /// Drops alpha and the lower half of 16 bits. The result keeps the buffer of what was decoded.
    fn narrow(&self, mut bytes: Vec<u8>) -> Vec<u8> {
        let Samples { decoded, kept, wide } = *self;
        let sample_bytes = if wide.is_some() { 2 } else { 1 };
        if (decoded, sample_bytes) == (kept, 1) {
            return bytes;
        }
        let n_pixels = bytes.len() / (decoded * sample_bytes);
        for pixel in 0..n_pixels {
            for c in 0..kept {
                let at = (pixel * decoded + c) * sample_bytes;
                bytes[pixel * kept + c] = match wide {
                    None => bytes[at],
                    Some(join) => ((u32::from(join([bytes[at], bytes[at + 1]])) + 128) / 257) as u8,
                };
            }
        }
        bytes.truncate(n_pixels * kept);
        bytes
    }
}

#[cfg(test)]
mod tests;
