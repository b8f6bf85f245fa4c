//! GIF -> the pixels of its first frame, on a canvas of the whole picture, after its blocks have been found whole to the trailer.
//!
//! Where the frame doesn't reach, the canvas has the frame's transparent colour, or its first one; the colour of a transparent pixel
//! is what the palette says, as alpha is dropped in all formats. These are Pillow's pixels.

use super::format::Format;
use super::memory::Memory;
use super::{Picture, check_size};
use gif::{DecodeOptions, DecodingError, MemoryLimit};
use image::metadata::Orientation;

pub(super) fn decode(bytes: &[u8], memory: &mut Memory) -> Result<Picture, String> {
    check(bytes).ok_or_else(|| Format::Gif.damaged("it ends too early"))?;
    let mut options = DecodeOptions::new();
    // What is large is counted here.
    options.set_memory_limit(MemoryLimit::Unlimited);
    let mut decoder = options.read_info(bytes).map_err(broken)?;
    let (width, height) = (usize::from(decoder.width()), usize::from(decoder.height()));
    let global = decoder.global_palette().map(<[u8]>::to_vec);
    let frame = decoder.next_frame_info().map_err(broken)?;
    let frame = frame.ok_or_else(|| Format::Gif.damaged("it has no frame"))?;
    let (left, top) = (usize::from(frame.left), usize::from(frame.top));
    let (frame_width, frame_height) = (usize::from(frame.width), usize::from(frame.height));
    let background = usize::from(frame.transparent.unwrap_or(0));
    let palette = frame.palette.clone().or(global).unwrap_or_default();
    // A frame that reaches beyond the canvas makes it larger.
    let (width, height) = (width.max(left + frame_width), height.max(top + frame_height));
    check_size(width, height)?;
    let too_large = |error: String| format!("found {width} x {height} pixels, {error}");
    let mut indices = memory.buffer(frame_width * frame_height).map_err(too_large)?;
    let mut pixels = memory.buffer(3 * width * height).map_err(too_large)?;
    if !indices.is_empty() {
        decoder.read_into_buffer(&mut indices).map_err(broken)?;
    }
    // An index that the palette doesn't have is black; in a palette of all greys in their order, the grey of that number.
    let is_grey = (0..).zip(palette.chunks_exact(3)).all(|(level, colour)| *colour == [level; 3]);
    let colour = |index: usize| match palette.get(3 * index..3 * index + 3) {
        Some(colour) => [colour[0], colour[1], colour[2]],
        None => [if is_grey { index as u8 } else { 0 }; 3],
    };
    let colours: Vec<[u8; 3]> = (0..256).map(colour).collect();
    let (to, _) = pixels.as_chunks_mut::<3>();
    to.fill(colours[background]);
    for (y, row) in indices.chunks_exact(frame_width.max(1)).enumerate() {
        let to = &mut to[(top + y) * width + left..][..frame_width];
        for (pixel, index) in to.iter_mut().zip(row) {
            *pixel = colours[usize::from(*index)];
        }
    }
    memory.give(indices.len());
    Ok(Picture { width, height, channels: 3, pixels, orientation: Orientation::NoTransforms })
}

/// Whether all blocks are there, up to the trailer. What follows it is somebody else's.
fn check(bytes: &[u8]) -> Option<()> {
    let palette = |flags: u8| if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) };
    let mut at = 13 + palette(*bytes.get(10)?);
    loop {
        at += match bytes.get(at)? {
            0x3b => return Some(()),
            // An extension: its kind, then blocks.
            0x21 => 2,
            // A frame: its place, its palette, the width of its codes, then blocks.
            0x2c => 11 + palette(*bytes.get(at + 9)?),
            _ => return None,
        };
        loop {
            let len = usize::from(*bytes.get(at)?);
            at += 1 + len;
            if len == 0 {
                break;
            }
        }
    }
}

fn broken(error: DecodingError) -> String {
    Format::Gif.damaged(error)
}
