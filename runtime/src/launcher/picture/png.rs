//! PNG -> pixels, every checksum checked and the file read to its end.

use super::format::Format;
use super::memory::Memory;
use super::{Picture, Samples, check_size, exif};
use png::{BitDepth, ColorType, DecodeOptions, Decoder, DecodingError, Limits, Transformations};
use std::io::Cursor;

/// What the decoder may hold of chunks that aren't pixels.
const MAX_CHUNK_BYTES: usize = 8 << 20;

pub(super) fn decode(bytes: &[u8], memory: &mut Memory) -> Result<Picture, String> {
    let mut options = DecodeOptions::default();
    // Nobody reads these: they may be large, and inflate to anything.
    options.set_ignore_text_chunk(true);
    options.set_ignore_iccp_chunk(true);
    options.set_ignore_adler32(false);
    options.set_skip_ancillary_crc_failures(false);
    let mut decoder = Decoder::new_with_options(Cursor::new(bytes), options);
    decoder.set_limits(Limits { bytes: MAX_CHUNK_BYTES });
    decoder.set_transformations(Transformations::EXPAND);
    let header = decoder.read_header_info().map_err(broken)?;
    let (width, height) = (header.width as usize, header.height as usize);
    check_size(width, height)?;
    let too_large = |error: String| format!("found {width} x {height} pixels, {error}");
    // A few rows before and after the filter, beside the window of the decompression.
    let rows = 8 * (u64::from(header.width) * 8 + 1);
    let chunks = bytes.len().min(MAX_CHUNK_BYTES) as u64;
    memory.expect(rows + chunks).map_err(too_large)?;
    let mut reader = decoder.read_info().map_err(broken)?;
    let samples = match reader.output_color_type() {
        (ColorType::Grayscale, depth) => Samples::big_endian(1, 1, depth == BitDepth::Sixteen),
        (ColorType::GrayscaleAlpha, depth) => Samples::big_endian(2, 1, depth == BitDepth::Sixteen),
        (ColorType::Rgb, depth) => Samples::big_endian(3, 3, depth == BitDepth::Sixteen),
        (ColorType::Rgba, depth) => Samples::big_endian(4, 3, depth == BitDepth::Sixteen),
        (ColorType::Indexed, _) => return Err(Format::Png.damaged("indices without a palette")),
    };
    let len = reader.output_buffer_size().ok_or_else(|| too_large("expected fewer".to_string()))?;
    memory.expect(len as u64 + rows + chunks).map_err(too_large)?;
    let mut pixels = memory.buffer(len).map_err(too_large)?;
    reader.next_frame(&mut pixels).map_err(broken)?;
    // The chunks behind the pixels have checksums too, and the last of them says that the file is whole.
    reader.finish().map_err(broken)?;
    let (exif, xmp) = find_metadata(bytes);
    let orientation = exif::orientation(exif, xmp);
    Ok(Picture { width, height, channels: samples.kept, pixels: samples.narrow(pixels), orientation })
}

/// EXIF and XMP of a file whose chunks are whole, before the pixels or behind them. The decoder keeps only what is before.
fn find_metadata(bytes: &[u8]) -> (Option<&[u8]>, Option<&[u8]>) {
    let (mut exif, mut xmp) = (None, None);
    let mut rest = bytes.get(8..).unwrap_or_default();
    while let Some((head, after)) = rest.split_first_chunk::<8>() {
        let [l3, l2, l1, l0, name @ ..] = *head;
        let len = u32::from_be_bytes([l3, l2, l1, l0]) as usize;
        let Some(data) = after.get(..len) else { break };
        match &name {
            b"eXIf" => exif = Some(data),
            // An international text: its name, that it isn't compressed, and what nobody needs here.
            b"iTXt" => xmp = data.strip_prefix(b"XML:com.adobe.xmp\0\0\0").or(xmp),
            b"IEND" => break,
            _ => {}
        }
        rest = after.get(len + 4..).unwrap_or_default();
    }
    (exif, xmp)
}

fn broken(error: DecodingError) -> String {
    match error {
        DecodingError::LimitsExceeded => {
            format!("found a PNG with more than {MAX_CHUNK_BYTES} bytes beside its pixels, expected fewer")
        }
        error => Format::Png.damaged(error),
    }
}
