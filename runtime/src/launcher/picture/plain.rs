//! BMP and PNM -> pixels.

use super::format::Format;
use super::memory::Memory;
use super::{Picture, Samples, check_size};
use image::codecs::bmp::BmpDecoder;
use image::codecs::pnm::PnmDecoder;
use image::metadata::Orientation;
use image::{ColorType, ImageDecoder, ImageError};
use std::io::Cursor;

pub(super) fn decode_bmp(bytes: &[u8], memory: &mut Memory) -> Result<Picture, String> {
    let broken = |error| damaged(Format::Bmp, error);
    let decoder = BmpDecoder::new(Cursor::new(bytes)).map_err(broken)?;
    check_runs(bytes)?;
    decode(decoder, Format::Bmp, memory)
}

pub(super) fn decode_pnm(bytes: &[u8], memory: &mut Memory) -> Result<Picture, String> {
    let decoder = PnmDecoder::new(Cursor::new(bytes)).map_err(|error| damaged(Format::Pnm, error))?;
    decode(decoder, Format::Pnm, memory)
}

/// The decoder stops at the last pixel: runs may have lost their end. A compressed BMP says how long they are.
fn check_runs(bytes: &[u8]) -> Result<(), String> {
    let word = |at: usize| {
        let word = bytes.get(at..).and_then(<[u8]>::first_chunk);
        word.map_or(0, |word| u64::from(u32::from_le_bytes(*word)))
    };
    // The field is part of every header that can say that there are runs.
    const OFFSET: usize = 10;
    const HEADER: usize = 14;
    const COMPRESSION: usize = 30;
    const IMAGE_BYTES: usize = 34;
    let has_runs = 40 <= word(HEADER) && matches!(word(COMPRESSION), 1 | 2);
    let (found, expected) = (bytes.len() as u64, word(OFFSET) + word(IMAGE_BYTES));
    if has_runs && found < expected {
        return Err(Format::Bmp.damaged(format!("found {found} bytes, expected {expected}")));
    }
    Ok(())
}

fn decode(decoder: impl ImageDecoder, format: Format, memory: &mut Memory) -> Result<Picture, String> {
    let (width, height) = decoder.dimensions();
    let (width, height) = (width as usize, height as usize);
    check_size(width, height)?;
    let too_large = |error: String| format!("found {width} x {height} pixels, {error}");
    let samples = match decoder.color_type() {
        ColorType::L8 => Samples::native(1, 1, false),
        ColorType::L16 => Samples::native(1, 1, true),
        ColorType::La8 => Samples::native(2, 1, false),
        ColorType::La16 => Samples::native(2, 1, true),
        ColorType::Rgb8 => Samples::native(3, 3, false),
        ColorType::Rgb16 => Samples::native(3, 3, true),
        ColorType::Rgba8 => Samples::native(4, 3, false),
        ColorType::Rgba16 => Samples::native(4, 3, true),
        other => return Err(format!("found {other:?} pixels, expected 8 or 16 bits of grey or RGB")),
    };
    let len = decoder.total_bytes();
    // A row of bytes beside the pixels.
    memory.expect(len.saturating_add(4 * width as u64)).map_err(too_large)?;
    let mut pixels = memory.buffer(len as usize).map_err(too_large)?;
    decoder.read_image(&mut pixels).map_err(|error| damaged(format, error))?;
    let pixels = samples.narrow(pixels);
    Ok(Picture { width, height, channels: samples.kept, pixels, orientation: Orientation::NoTransforms })
}

fn damaged(format: Format, error: ImageError) -> String {
    match error {
        ImageError::Unsupported(error) => {
            format!("found a {} of a kind that isn't read, expected a common one: {error}", format.name())
        }
        ImageError::IoError(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            format.damaged("the file ends too early")
        }
        error => format.damaged(error),
    }
}
