//! JPEG -> pixels, after its structure and the data of every scan have been found whole.
//!
//! The decoder, zune-jpeg, is fast and forgiving: what a damaged file lacks it fills with grey. So [`check`] goes first. What it
//! doesn't decode (values of coefficients, colours) can't be told from another picture.

mod apart;
mod bits;
mod scan;
mod strips;
mod tables;
mod usual;

use super::format::Format;
use super::memory::Memory;
use super::{Decoded, Picture, check_size, exif};
use apart::Apart;
use bits::Bits;
use image::metadata::Orientation;
use scan::{Band, Clean, Component, Found, Part, Units};
use std::borrow::Cow;
use strips::{Scan, Strips};
use tables::Tables;
use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;

/// Decodes a picture, or what there is to read it from row by row: where it doesn't fit into the memory, and isn't wanted whole.
pub(super) fn decode<'b>(bytes: &'b [u8], whole: bool, memory: &mut Memory) -> Result<Decoded<'b>, String> {
    let Checked { width, height, channels, orientation, decoder_bytes, rewritten, strips } =
        check(bytes, memory)?;
    let too_large = |error: String| format!("found {width} x {height} pixels, {error}");
    let len = width * height * channels;
    match (memory.expect(len as u64 + decoder_bytes), strips) {
        (Err(_), Some(strips)) if !whole => return Ok(Decoded::Rows(Box::new(strips))),
        (fits, _) => fits.map_err(too_large)?,
    }
    let mut pixels = memory.buffer(len).map_err(too_large)?;
    pixels_of(rewritten.as_deref().unwrap_or(bytes), channels, &mut pixels)?;
    Ok(Decoded::Whole(Picture { width, height, channels, pixels, orientation }))
}

fn pixels_of(file: &[u8], channels: usize, pixels: &mut [u8]) -> Result<(), String> {
    let colours = if channels == 1 { ColorSpace::Luma } else { ColorSpace::RGB };
    let options = DecoderOptions::default()
        .set_max_width(usize::MAX)
        .set_max_height(usize::MAX)
        .jpeg_set_max_scans(MAX_SCANS)
        .jpeg_set_out_colorspace(colours);
    JpegDecoder::new_with_options(ZCursor::new(file), options).decode_into(pixels).map_err(unread)
}

/// Encoders write ten of them. Each may visit all blocks and have hardly any data.
const MAX_SCANS: usize = 100;

fn damaged(detail: impl std::fmt::Display) -> String {
    Format::Jpeg.damaged(detail)
}

/// A kind of JPEG that hardly anybody writes.
fn unusual(kind: &str) -> String {
    format!("found {kind} JPEG, expected a baseline or progressive one of 8 bits and 1, 3 or 4 colours")
}

/// The decoder's error about a file that is whole: it doesn't read every kind.
fn unread(detail: impl std::fmt::Display) -> String {
    let detail = detail.to_string().replace('\n', " ");
    format!("found a JPEG of a kind that isn't read, expected a common one: {detail}")
}

/// What is known of a whole file.
#[derive(Debug)]
struct Checked<'b> {
    width: usize,
    height: usize,
    /// 1 (grey) or 3.
    channels: usize,
    orientation: Orientation,
    /// What the decoder takes beside the pixels, and what it reads in place of the file.
    decoder_bytes: u64,
    /// The same picture as the decoder takes it, if it doesn't take the file.
    rewritten: Option<Vec<u8>>,
    /// What it can be read from in strips, if it can.
    strips: Option<Strips<'b>>,
}

/// Reads the whole file, up to the end of the picture. Bytes behind that are somebody else's: phones put films there.
fn check<'b>(bytes: &'b [u8], memory: &mut Memory) -> Result<Checked<'b>, String> {
    let mut file = File {
        bytes,
        at: 2,
        tables: Tables::default(),
        steps: [None; 4],
        frame: None,
        restart_interval: 0,
        exif: None,
        xmp: None,
        adobe: None,
        clean: Clean::default(),
        scans: Vec::new(),
        scan: None,
    };
    // There may have to be a copy.
    memory.expect(bytes.len() as u64).map_err(|error| format!("found a file, {error}"))?;
    let mut header_bytes = 0;
    let mut n_scans = 0;
    loop {
        match file.marker()? {
            // End of the picture.
            0xd9 => break,
            marker @ 0xc0..=0xc2 => {
                let segment = file.segment()?;
                if file.frame.is_some() {
                    return Err(damaged("it has two frames"));
                }
                file.frame = Some(Frame::read(segment, marker == 0xc2)?.prepare(memory)?);
            }
            0xc4 => {
                let segment = file.segment()?;
                file.tables.read(segment)?;
            }
            0xdb => {
                let segment = file.segment()?;
                file.read_steps(segment)?;
            }
            0xc3 => return Err(unusual("a lossless")),
            0xc5..=0xc7 | 0xde | 0xdf => return Err(unusual("a hierarchical")),
            0xc9..=0xcf => return Err(unusual("an arithmetic-coded")),
            0xdc => return Err(unusual("a late-sized")),
            0xdd => match *file.segment()? {
                [high, low] => file.restart_interval = usize::from(u16::from_be_bytes([high, low])),
                _ => return Err(damaged("a restart interval has no number")),
            },
            0xda => {
                header_bytes = header_bytes.max(file.at as u64);
                n_scans += 1;
                if MAX_SCANS < n_scans {
                    return Err(format!("found a JPEG with more than {MAX_SCANS} scans, expected fewer"));
                }
                file.scan(memory)?;
            }
            0xd0..=0xd8 => return Err(damaged("a marker is outside of its place")),
            // A marker without a segment.
            0x01 => {}
            marker => {
                let segment = file.segment()?;
                if marker == 0xe1 {
                    file.note_metadata(segment);
                }
                if marker == 0xee {
                    file.adobe = Some(segment);
                }
            }
        }
    }
    let Some(mut frame) = file.frame.take() else { return Err(damaged("it has no frame")) };
    // The constant coefficient is the first that any picture sends.
    if frame.components.iter().any(|component| component.missing_bits[0].is_none()) {
        return Err(damaged("a colour is missing"));
    }
    frame.components.iter_mut().for_each(|component| component.forget(memory));
    let orientation = exif::orientation(file.exif.as_deref(), file.xmp);
    let strips = file.scan.take().map(|scan| Strips::new(&frame, orientation, file.adobe, scan));
    let rewritten = file.rewrite(&frame);
    let rewritten_bytes = rewritten.as_ref().map_or(0, Vec::len) as u64;
    let decoder_bytes = frame.decoder_bytes() + 2 * header_bytes + rewritten_bytes;
    let (width, height, channels) = (frame.width, frame.height, frame.channels());
    Ok(Checked { width, height, channels, orientation, decoder_bytes, rewritten, strips })
}

/// A file, read up to `at`.
struct File<'b> {
    bytes: &'b [u8],
    at: usize,
    tables: Tables,
    /// Quantisation tables, in the order of the coefficients.
    steps: [Option<[u16; 64]>; 4],
    frame: Option<Frame>,
    restart_interval: usize,
    /// The block of EXIF, from its TIFF header on; of several segments all, which is one block if it is longer than a segment.
    exif: Option<Cow<'b, [u8]>>,
    /// The last block of XMP.
    xmp: Option<&'b [u8]>,
    /// Adobe's segment about the colours.
    adobe: Option<&'b [u8]>,
    clean: Clean,
    /// Scans of a progressive picture, in place of scans that the decoder doesn't take.
    scans: Vec<u8>,
    /// The scan of a sequential picture that has all colours.
    scan: Option<Scan<'b>>,
}

impl<'b> File<'b> {
    /// The next marker. Zeros may precede it, and as many 0xff as somebody likes.
    fn marker(&mut self) -> Result<u8, String> {
        let mut is_marker = false;
        loop {
            let byte = self.bytes.get(self.at).ok_or_else(|| damaged("it ends without its end marker"))?;
            self.at += 1;
            match byte {
                0xff => is_marker = true,
                0 => is_marker = false,
                marker if is_marker => return Ok(*marker),
                _ => return Err(damaged("there is something else where a marker should be")),
            }
        }
    }

    /// What belongs to a marker.
    fn segment(&mut self) -> Result<&'b [u8], String> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let len = rest.first_chunk().map_or(0, |len| usize::from(u16::from_be_bytes(*len)));
        let segment = rest.get(2..len).ok_or_else(|| damaged("it ends within a segment"))?;
        self.at += len;
        Ok(segment)
    }

    /// EXIF or XMP. That there may have to be a copy of the file was asked before.
    fn note_metadata(&mut self, segment: &'b [u8]) {
        if let Some(part) = segment.strip_prefix(b"Exif\0\0") {
            match &mut self.exif {
                Some(exif) => exif.to_mut().extend_from_slice(part),
                none => *none = Some(Cow::Borrowed(part)),
            }
        }
        self.xmp = segment.strip_prefix(b"http://ns.adobe.com/xap/1.0/\0").or(self.xmp);
    }

    /// Quantisation tables.
    fn read_steps(&mut self, mut segment: &[u8]) -> Result<(), String> {
        let cut = || damaged("a quantisation table is cut off");
        while let Some((&head, rest)) = segment.split_first() {
            let wide = match head >> 4 {
                0 => 1,
                1 => 2,
                _ => return Err(cut()),
            };
            let (steps, rest) = rest.split_at_checked(64 * wide).ok_or_else(cut)?;
            let table = self.steps.get_mut(usize::from(head & 15)).ok_or_else(cut)?;
            let step = |at: usize| match wide {
                1 => u16::from(steps[at]),
                _ => u16::from_be_bytes([steps[2 * at], steps[2 * at + 1]]),
            };
            *table = Some(std::array::from_fn(step));
            segment = rest;
        }
        Ok(())
    }

    /// A scan, its data included.
    fn scan(&mut self, memory: &mut Memory) -> Result<(), String> {
        let segment = self.segment()?;
        let frame = self.frame.as_mut().ok_or_else(|| damaged("a scan precedes the frame"))?;
        let (&n_parts, rest) = segment.split_first().ok_or_else(|| damaged("a scan has no header"))?;
        let n_parts = usize::from(n_parts);
        let &[start, end, bits] = rest.get(2 * n_parts..).unwrap_or_default() else {
            return Err(damaged("the header of a scan has another length"));
        };
        let low = u32::from(bits & 15);
        let band = Band { start: start.into(), end: end.into(), low, refines: bits >> 4 != 0 };
        if !(1..=frame.components.len()).contains(&n_parts) {
            return Err(damaged("a scan has more colours than the frame"));
        }
        let mut places = Vec::with_capacity(n_parts);
        for part in rest[..2 * n_parts].as_chunks::<2>().0 {
            let component = frame.components.iter().position(|component| component.id == part[0]);
            let component = component.filter(|known| places.iter().all(|(place, _)| place != known));
            let component = component.ok_or_else(|| damaged("a scan names a colour that it can't have"))?;
            let known = &mut frame.components[component];
            known.note_scan(frame.is_progressive.then_some((band, bits)))?;
            let steps = self.steps.get(usize::from(known.table)).copied().flatten();
            known.quantise(&steps.ok_or_else(|| damaged("a colour has no quantisation table"))?);
            places.push((component, part[1]));
        }
        let is_progressive = frame.is_progressive;
        if is_progressive && (band.start == 0) != (band.end == 0)
            || 1 < n_parts && band.start != 0 && is_progressive
        {
            return Err(damaged("a scan mixes what has to be apart"));
        }
        let needs_dc = !is_progressive || band.start == 0 && !band.refines;
        let needs_ac = !is_progressive || band.start != 0;
        for (_, codes) in &places {
            self.tables.complete(needs_dc, needs_ac, *codes)?;
        }
        let parts: Vec<Part> =
            places.iter().map(|(component, codes)| self.tables.part(*component, *codes)).collect();
        let units = frame.units(&places, self.restart_interval);
        let bits = Bits::new(self.bytes, self.at);
        let band = is_progressive.then_some(band);
        let mut apart = (frame.is_apart && !is_progressive).then(Apart::new);
        if apart.is_some() {
            // Of the scan's data there are three copies for a while; constant coefficients may be longer there.
            let room = 4 * self.bytes.len() as u64;
            memory.expect(room).map_err(|error| format!("found a file, {error}"))?;
        }
        let mut marks = Vec::new();
        let found =
            Found { clean: &mut self.clean, marks: &mut marks, bytes: self.bytes, apart: apart.as_mut() };
        self.at = scan::check(bits, &mut frame.components, &parts, band, units, found)
            .map_err(|fault| damaged(fault.text()))?;
        if let Some(apart) = apart {
            apart.finish(&frame.components, &parts, &mut self.scans);
        } else if !is_progressive {
            self.scan = Scan::new(marks, &parts, units, self.at);
        }
        Ok(())
    }

    /// The file as the decoder takes it, if it doesn't take it as it is.
    fn rewrite(mut self, frame: &Frame) -> Option<Vec<u8>> {
        let end = &[0xff, 0xd9];
        if !self.scans.is_empty() {
            let head = apart::head(0xc2, (frame.width, frame.height), &frame.components, self.adobe);
            return Some([&head, &self.scans, &end[..]].concat());
        }
        if self.clean.copy.is_empty() && self.tables.usual.is_empty() {
            return None;
        }
        self.clean.copy_up_to(self.bytes, self.at);
        // Behind the start marker.
        self.clean.copy.splice(2..2, self.tables.usual);
        Some(self.clean.copy)
    }
}

/// The picture's size and colours.
#[derive(Debug)]
struct Frame {
    width: usize,
    height: usize,
    is_progressive: bool,
    components: Vec<Component>,
    /// Whether a scan didn't have all colours.
    is_apart: bool,
}

impl Frame {
    fn read(segment: &[u8], is_progressive: bool) -> Result<Frame, String> {
        let Some((&[bits, h1, h0, w1, w0, n], list)) = segment.split_first_chunk() else {
            return Err(damaged("its frame is cut off"));
        };
        if bits != 8 || !matches!(n, 1 | 3 | 4) {
            return Err(unusual(&format!("a {bits}-bit, {n}-colour")));
        }
        let (width, height) = (u16::from_be_bytes([w1, w0]).into(), u16::from_be_bytes([h1, h0]).into());
        check_size(width, height)?;
        if list.len() != 3 * usize::from(n) {
            return Err(damaged("its frame has another number of colours"));
        }
        let components: Vec<Component> = list
            .as_chunks::<3>()
            .0
            .iter()
            .map(|[id, sampling, table]| Component::new(*id, *sampling, *table))
            .collect();
        if components.iter().any(|it| !(1..=4).contains(&it.across) || !(1..=4).contains(&it.down)) {
            return Err(damaged("a colour has a resolution that can't be"));
        }
        // The decoder gives other pixels for colours that are finer than the first.
        let first = &components[0];
        let is_part =
            |it: &Component| first.across.is_multiple_of(it.across) && first.down.is_multiple_of(it.down);
        if !components.iter().all(is_part) {
            let sizes: Vec<String> =
                components.iter().map(|it| format!("{} x {}", it.across, it.down)).collect();
            let expected = "expected no colour finer than the first, and whole ratios";
            return Err(format!("found a JPEG with colours sampled {}, {expected}", sizes.join(", ")));
        }
        Ok(Frame { width, height, is_progressive, components, is_apart: false })
    }

    /// The sizes in blocks, and memory for what a progressive picture needs to know of them.
    fn prepare(mut self, memory: &mut Memory) -> Result<Frame, String> {
        let (most_across, most_down) = self.most();
        for it in &mut self.components {
            it.width = (self.width * it.across).div_ceil(8 * most_across);
            it.height = (self.height * it.down).div_ceil(8 * most_down);
            it.stride = self.width.div_ceil(8 * most_across) * it.across;
            it.rows = self.height.div_ceil(8 * most_down) * it.down;
        }
        if self.is_progressive {
            let too_large = |error: String| format!("found {} x {} pixels, {error}", self.width, self.height);
            // More than is asked for here follows; but there is no use in looking at a file that can't be decoded.
            let pixels = (self.width * self.height * self.channels()) as u64;
            memory.expect(pixels + self.decoder_bytes()).map_err(too_large)?;
            for component in &mut self.components {
                component.remember(memory).map_err(too_large)?;
            }
        }
        Ok(self)
    }

    /// Of the decoded picture: grey is grey, everything else becomes RGB.
    fn channels(&self) -> usize {
        if self.components.len() == 1 { 1 } else { 3 }
    }

    fn most(&self) -> (usize, usize) {
        let most = |side: fn(&Component) -> usize| self.components.iter().map(side).max().unwrap_or(1);
        (most(|it| it.across), most(|it| it.down))
    }

    /// What the decoder allocates beside the pixels: rows of blocks, and every coefficient if they come in several scans.
    fn decoder_bytes(&self) -> u64 {
        let (_, most_down) = self.most();
        let columns = self.components.iter().map(|it| it.stride).max().unwrap_or(0) as u64;
        let rows = 12 * 64 * columns * most_down as u64 * self.components.len() as u64;
        let blocks: u64 = self.components.iter().map(Component::n_blocks).sum();
        rows + if self.is_progressive || self.is_apart { 128 * blocks } else { 0 }
    }

    /// The units of a scan of these components.
    fn units(&mut self, places: &[(usize, u8)], restart_interval: usize) -> Units {
        self.is_apart |= places.len() != self.components.len();
        let first = &self.components[places[0].0];
        let (across, down) = match places {
            [_] => (first.width, first.height),
            _ => (first.stride / first.across, first.rows / first.down),
        };
        Units { across, down, restart_interval }
    }
}

impl Component {
    /// Notes which coefficients a scan sends. `band` is that of a progressive scan, with the number of their low bits.
    fn note_scan(&mut self, band: Option<(Band, u8)>) -> Result<(), String> {
        let Some((Band { start, end, .. }, bits)) = band else {
            // A sequential picture sends each colour once.
            let is_first = self.missing_bits[0].replace(0).is_none();
            return if is_first { Ok(()) } else { Err(damaged("a colour is there twice")) };
        };
        let (high, low) = (bits >> 4, bits & 15);
        let is_legal = start <= end && end < 64 && low <= 13 && (high == 0 || high == low + 1);
        let is_late = start == 0 || self.missing_bits[0].is_some();
        let expected = if high == 0 { None } else { Some(high) };
        let places = start as usize..end as usize + 1;
        let sent = self.missing_bits.get_mut(places).filter(|_| is_legal && is_late);
        let sent = sent.filter(|sent| sent.iter().all(|bits| *bits == expected));
        sent.ok_or_else(|| damaged("its scans don't follow each other"))?.fill(Some(low));
        Ok(())
    }
}

#[cfg(test)]
mod tests;
