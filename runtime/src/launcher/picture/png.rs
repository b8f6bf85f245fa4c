//! PNG -> pixels, every checksum checked and the file read to its end.

mod metadata;

use super::format::Format;
use super::memory::Memory;
use super::rows::{Rows, Shape};
use super::{Decoded, Picture, Samples, check_size};
use metadata::Metadata;
use png::{BitDepth, ColorType, DecodeOptions, Decoder, DecodingError, Limits, Transformations};
use std::io::Cursor;
use std::ops::Range;

/// What the decoder may hold of chunks that aren't pixels.
const MAX_CHUNK_BYTES: usize = 8 << 20;

/// Decodes a picture, or what there is to read it from row by row: where it doesn't fit into the memory, and isn't wanted whole.
pub(super) fn decode<'b>(bytes: &'b [u8], whole: bool, memory: &mut Memory) -> Result<Decoded<'b>, String> {
    let mut decoder = decoder(bytes);
    let header = decoder.read_header_info().map_err(broken)?;
    let (width, height, is_interlaced) = (header.width as usize, header.height as usize, header.interlaced);
    check_size(width, height)?;
    let too_large = |error: String| format!("found {width} x {height} pixels, {error}");
    // A few rows before and after the filter, beside the window of the decompression.
    let rows = 8 * (width as u64 * 8 + 1);
    let beside = rows + bytes.len().min(MAX_CHUNK_BYTES) as u64;
    memory.expect(beside).map_err(too_large)?;
    let mut reader = decoder.read_info().map_err(broken)?;
    let samples = match reader.output_color_type() {
        (ColorType::Grayscale, depth) => Samples::big_endian(1, 1, depth == BitDepth::Sixteen),
        (ColorType::GrayscaleAlpha, depth) => Samples::big_endian(2, 1, depth == BitDepth::Sixteen),
        (ColorType::Rgb, depth) => Samples::big_endian(3, 3, depth == BitDepth::Sixteen),
        (ColorType::Rgba, depth) => Samples::big_endian(4, 3, depth == BitDepth::Sixteen),
        (ColorType::Indexed, _) => return Err(Format::Png.damaged("indices without a palette")),
    };
    let metadata = Metadata::find(bytes);
    let (channels, orientation) = (samples.kept, metadata.orientation());
    let len = reader.output_buffer_size().ok_or_else(|| too_large("expected fewer".to_string()))?;
    match memory.expect(len as u64 + beside) {
        Err(_) if !whole && !is_interlaced => {
            let shape = Shape { width, height, channels, orientation };
            return Ok(Decoded::Rows(Box::new(PngRows { bytes, shape, samples, beside })));
        }
        fits => fits.map_err(too_large)?,
    }
    let mut pixels = memory.buffer(len).map_err(too_large)?;
    reader.next_frame(&mut pixels).map_err(broken)?;
    // The chunks behind the pixels have checksums too, and the last of them says that the file is whole.
    reader.finish().map_err(broken)?;
    Ok(Decoded::Whole(Picture { width, height, channels, pixels: samples.narrow(pixels), orientation }))
}

fn decoder(bytes: &[u8]) -> Decoder<Cursor<&[u8]>> {
    let mut options = DecodeOptions::default();
    // Nobody reads these: they may be large, and inflate to anything.
    options.set_ignore_text_chunk(true);
    options.set_ignore_iccp_chunk(true);
    options.set_ignore_adler32(false);
    options.set_skip_ancillary_crc_failures(false);
    let mut decoder = Decoder::new_with_options(Cursor::new(bytes), options);
    decoder.set_limits(Limits { bytes: MAX_CHUNK_BYTES });
    decoder.set_transformations(Transformations::EXPAND);
    decoder
}

/// A picture that isn't interlaced, row by row. All of the file is read, whichever rows are wanted, so that damage is found.
struct PngRows<'b> {
    bytes: &'b [u8],
    shape: Shape,
    samples: Samples,
    /// What the decoder takes.
    beside: u64,
}

impl Rows for PngRows<'_> {
    fn shape(&self) -> Shape {
        self.shape
    }

    fn read(
        &self,
        rows: Range<usize>,
        memory: &mut Memory,
        take: &mut dyn FnMut(usize, &[u8]),
    ) -> Result<(), String> {
        memory.expect(self.beside)?;
        let mut reader = decoder(self.bytes).read_info().map_err(broken)?;
        let mut line = Vec::new();
        for y in 0..self.shape.height {
            let row = reader.next_row().map_err(broken)?;
            let row = row.ok_or_else(|| Format::Png.damaged("a row is missing"))?;
            if rows.contains(&y) {
                line.clear();
                line.extend_from_slice(row.data());
                line = self.samples.narrow(line);
                take(y, &line);
            }
        }
        reader.finish().map_err(broken)
    }
}

fn broken(error: DecodingError) -> String {
    match error {
        DecodingError::LimitsExceeded => {
            format!("found a PNG with more than {MAX_CHUNK_BYTES} bytes beside its pixels, expected fewer")
        }
        error => Format::Png.damaged(error),
    }
}
