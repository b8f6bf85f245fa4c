//! WebP -> pixels, after its chunks have been found whole; of an animation the first frame, on a black canvas.
//!
//! Alpha is dropped in all formats, so the chunk that holds it is left alone, and so is all that animations say of blending: the
//! decoder gets the chunk of the pixels as a file of its own.

mod tables;

use super::format::Format;
use super::memory::Memory;
use super::{Picture, Samples, check_size, exif};
use image_webp::WebPDecoder;
use std::io::Cursor;

pub(super) fn decode(bytes: &[u8], memory: &mut Memory) -> Result<Picture, String> {
    let Found { canvas, place, lossless, data, exif, xmp } = find(bytes)?;
    let name = if lossless { *b"VP8L" } else { *b"VP8 " };
    memory.expect(2 * data.len() as u64 + 20).map_err(|error| format!("found a file, {error}"))?;
    let file =
        [&chunk(*b"RIFF", data.len() + 12), &b"WEBP"[..], &chunk(name, data.len()), data, &[0]].concat();
    let mut decoder = WebPDecoder::new(Cursor::new(&file)).map_err(damaged)?;
    let (width, height) = decoder.dimensions();
    let (width, height) = (width as usize, height as usize);
    check_size(width, height)?;
    if canvas.is_some_and(|canvas| place.is_none() && canvas != (width, height)) {
        return Err(damaged("its pixels have another size than it says"));
    }
    let too_large = |error: String| format!("found {width} x {height} pixels, {error}");
    let samples = Samples::native(if decoder.has_alpha() { 4 } else { 3 }, 3, false);
    let n_pixels = width.next_multiple_of(16) as u64 * height.next_multiple_of(16) as u64;
    // Planes of brightness and colour with a copy of the data, or four bytes a pixel with what undoes its transforms.
    let decoder_bytes = if lossless { 5 * n_pixels } else { 3 * n_pixels / 2 } + 2 * data.len() as u64;
    let len = width * height * samples.decoded;
    memory.expect(len as u64 + decoder_bytes).map_err(too_large)?;
    if lossless {
        let table_bytes = tables::bytes(data).ok_or_else(|| damaged("its codes can't be read"))?;
        memory.expect(len as u64 + decoder_bytes + table_bytes).map_err(too_large)?;
    }
    let mut pixels = memory.buffer(len).map_err(too_large)?;
    decoder.read_image(&mut pixels).map_err(damaged)?;
    let pixels = samples.narrow(pixels);
    let orientation = exif::orientation(exif, xmp);
    let picture = Picture { width, height, channels: 3, pixels, orientation };
    match (place, canvas) {
        (Some(place), Some(canvas)) if canvas != (width, height) => on_canvas(picture, place, canvas, memory),
        _ => Ok(picture),
    }
}

/// A frame on a black canvas.
fn on_canvas(
    frame: Picture,
    (left, top): (usize, usize),
    (width, height): (usize, usize),
    memory: &mut Memory,
) -> Result<Picture, String> {
    check_size(width, height)?;
    if width < left + frame.width || height < top + frame.height {
        return Err(damaged("a frame reaches beyond it"));
    }
    let mut pixels = memory
        .buffer(3 * width * height)
        .map_err(|error| format!("found {width} x {height} pixels, {error}"))?;
    for (y, row) in frame.pixels.chunks_exact(3 * frame.width).enumerate() {
        pixels[3 * ((top + y) * width + left)..][..row.len()].copy_from_slice(row);
    }
    memory.give(frame.pixels.len());
    Ok(Picture { width, height, pixels, ..frame })
}

/// What a file holds.
struct Found<'b> {
    /// The size of the picture, where it says it apart from the pixels.
    canvas: Option<(usize, usize)>,
    /// Where the first frame of an animation lies on it.
    place: Option<(usize, usize)>,
    lossless: bool,
    /// The pixels.
    data: &'b [u8],
    exif: Option<&'b [u8]>,
    xmp: Option<&'b [u8]>,
}

fn find(bytes: &[u8]) -> Result<Found<'_>, String> {
    let cut = || damaged("it ends too early");
    let len = bytes.get(4..).and_then(<[u8]>::first_chunk).map_or(0, |len| u32::from_le_bytes(*len));
    let len = usize::try_from(len).unwrap_or(usize::MAX);
    // What follows is somebody else's.
    let chunks =
        chunks(bytes.get(8..).and_then(|rest| rest.get(..len)).ok_or_else(cut)?.get(4..).ok_or_else(cut)?);
    let chunks = chunks.ok_or_else(cut)?;
    let first = |chunks: &[Chunk<'_>], name: &[u8; 4]| chunks.iter().position(|chunk| chunk.0 == name);
    let named = |name: &[u8; 4]| first(&chunks, name).map(|idx| chunks[idx].1);
    let number = |bytes: &[u8], at: usize| match bytes.get(at..at + 3) {
        Some(&[low, middle, high]) => {
            Ok(usize::from(low) | usize::from(middle) << 8 | usize::from(high) << 16)
        }
        _ => Err(cut()),
    };
    let canvas = match named(b"VP8X") {
        Some(header) => Some((1 + number(header, 4)?, 1 + number(header, 7)?)),
        None => None,
    };
    let (exif, xmp) = (named(b"EXIF"), named(b"XMP "));
    let pixels =
        |chunks: &[Chunk<'_>]| chunks.iter().position(|(name, _)| *name == b"VP8 " || *name == b"VP8L");
    let no_pixels = || damaged("it has no pixels");
    if let Some(frame) = named(b"ANMF") {
        let place = Some((2 * number(frame, 0)?, 2 * number(frame, 3)?));
        let inner = self::chunks(frame.get(16..).ok_or_else(cut)?).ok_or_else(cut)?;
        let (name, data) = inner[pixels(&inner).ok_or_else(no_pixels)?];
        return Ok(Found { canvas, place, lossless: name == b"VP8L", data, exif, xmp });
    }
    let (name, data) = chunks[pixels(&chunks).ok_or_else(no_pixels)?];
    Ok(Found { canvas, place: None, lossless: name == b"VP8L", data, exif, xmp })
}

/// A name and what belongs to it.
type Chunk<'b> = (&'b [u8; 4], &'b [u8]);

/// All of them; `None` if the last is cut off.
fn chunks(mut bytes: &[u8]) -> Option<Vec<Chunk<'_>>> {
    let mut chunks = Vec::new();
    while let Some((name, rest)) = bytes.split_first_chunk() {
        let (len, rest) = rest.split_first_chunk()?;
        let len = u32::from_le_bytes(*len) as usize;
        chunks.push((name, rest.get(..len)?));
        // The next begins at an even place.
        bytes = rest.get(len + len % 2..).unwrap_or_default();
    }
    Some(chunks)
}

/// The head of a chunk. Its length was read from 32 bits.
fn chunk(name: [u8; 4], len: usize) -> Vec<u8> {
    [name, (len as u32).to_le_bytes()].concat()
}

fn damaged(detail: impl std::fmt::Display) -> String {
    Format::WebP.damaged(detail)
}
