//! A sequential JPEG that is known to be whole -> its rows, a strip at a time, with the pixels of the whole.
//!
//! The decoder takes whole files only. So each strip becomes one: the blocks of its rows with the codes that they have, the constant
//! coefficients written anew, since their differences begin at the strip's. Colours of a lower resolution are smoothed
//! from row to row: a strip has one row of units more above and below, of which no pixel is taken.

use super::super::memory::Memory;
use super::super::rows::{Rows, Shape};
use super::apart::{self, DC, put_constant};
use super::bits::{Bits, Codes, Fault, Writer};
use super::scan::{Component, Mark, Part, Units};
use super::{Frame, damaged, pixels_of};
use image::metadata::Orientation;
use std::ops::Range;

/// Pixels of a strip, if one row of units doesn't have more.
const STRIP_BYTES: usize = 16 << 20;

/// The one scan of a picture.
#[derive(Debug)]
pub(super) struct Scan<'b> {
    marks: Vec<Mark<'b>>,
    /// The places of the components in the frame, with their codes.
    parts: Vec<(usize, Codes, Codes)>,
    units: Units,
    /// Where its data ends.
    end: usize,
}

impl<'b> Scan<'b> {
    /// `None` without the codes of a sequential picture.
    pub(super) fn new(
        marks: Vec<Mark<'b>>,
        parts: &[Part<'_>],
        units: Units,
        end: usize,
    ) -> Option<Scan<'b>> {
        let part = |part: &Part<'_>| Some((part.component, part.dc?.clone(), part.ac?.clone()));
        Some(Scan { marks, parts: parts.iter().map(part).collect::<Option<_>>()?, units, end })
    }
}

/// The picture.
#[derive(Debug)]
pub(super) struct Strips<'b> {
    shape: Shape,
    components: Vec<Component>,
    adobe: Option<&'b [u8]>,
    scan: Scan<'b>,
    /// Rows of pixels of a row of units.
    unit_rows: usize,
    /// What the decoder takes beside the pixels.
    decoder_bytes: u64,
    pub(super) strip_bytes: usize,
}

impl<'b> Strips<'b> {
    pub(super) fn new(
        frame: &Frame,
        orientation: Orientation,
        adobe: Option<&'b [u8]>,
        scan: Scan<'b>,
    ) -> Strips<'b> {
        let shape =
            Shape { width: frame.width, height: frame.height, channels: frame.channels(), orientation };
        let unit_rows = 8 * if frame.components.len() == 1 { 1 } else { frame.most().1 };
        let decoder_bytes = frame.decoder_bytes();
        let components = frame.components.clone();
        Strips { shape, components, adobe, scan, unit_rows, decoder_bytes, strip_bytes: STRIP_BYTES }
    }

    /// A file of some rows of units and so many rows of pixels.
    fn file(&self, rows: Range<usize>, height: usize) -> Result<Vec<u8>, Fault> {
        let Scan { marks, parts, units, .. } = &self.scan;
        let mut file = apart::head(0xc1, (self.shape.width, height), &self.components, self.adobe);
        Codes::new(&DC.0, &DC.1).expect("there are 16 codes of four bits").write(0, &mut file);
        for (place, (.., ac)) in (0..).zip(parts) {
            ac.write(0x10 | place, &mut file);
        }
        file.extend([0xff, 0xda, 0, 6 + 2 * parts.len() as u8, parts.len() as u8]);
        for (place, (component, ..)) in (0..).zip(parts) {
            file.extend([self.components[*component].id, place]);
        }
        file.extend([0, 63, 0]);
        let mut bits = marks[rows.start].bits.clone();
        let mut constants = marks[rows.start].constants;
        let mut last = [0; 4];
        let mut data = Writer::default();
        for unit in rows.start * units.across..rows.end * units.across {
            if units.restart_interval != 0 && unit != 0 && unit % units.restart_interval == 0 {
                bits.restart(unit / units.restart_interval - 1)?;
                constants = [0; 4];
            }
            for (component, dc, ac) in parts {
                let it = &self.components[*component];
                let n_blocks = if parts.len() == 1 { 1 } else { it.across * it.down };
                for _ in 0..n_blocks {
                    let constant = &mut constants[*component];
                    *constant += difference(&mut bits, dc)?;
                    put_constant(*constant - last[*component], &mut data);
                    last[*component] = *constant;
                    let mut at = 1;
                    while at < 64 {
                        match bits.copy(ac, &mut data)? {
                            0 => break,
                            symbol => at += usize::from(symbol >> 4) + 1,
                        }
                    }
                }
            }
        }
        data.finish(&mut file);
        file.extend([0xff, 0xd9]);
        Ok(file)
    }

    /// What the file of some rows may take while it is written.
    fn file_bytes(&self, rows: &Range<usize>) -> u64 {
        let start = self.scan.marks[rows.start].bits.at;
        let end = self.scan.marks.get(rows.end).map_or(self.scan.end, |mark| mark.bits.at);
        let n_blocks: usize = self.components.iter().map(|it| it.stride * it.down * rows.len()).sum();
        // The data grows by the codes of constants; a buffer that grows is there twice, and so is the data in the end.
        4 * (end.saturating_sub(start) + 2 * n_blocks) as u64
    }
}

fn difference(bits: &mut Bits<'_>, dc: &Codes) -> Result<i32, Fault> {
    let n = bits.symbol(dc, false)?;
    bits.number(u32::from(n))
}

impl Rows for Strips<'_> {
    fn shape(&self) -> Shape {
        self.shape
    }

    fn read(
        &self,
        rows: Range<usize>,
        memory: &mut Memory,
        take: &mut dyn FnMut(usize, &[u8]),
    ) -> Result<(), String> {
        let Shape { height, channels, .. } = self.shape;
        let stride = self.shape.width * channels;
        let n_units = self.scan.marks.len();
        let mut most = (self.strip_bytes / (stride * self.unit_rows)).max(1);
        let (mut at, end) = (rows.start / self.unit_rows, rows.end.div_ceil(self.unit_rows));
        while at < end {
            let until = (at + most).min(end);
            let units = at.saturating_sub(1)..(until + 1).min(n_units);
            let first = units.start * self.unit_rows;
            let strip_height = height.min(units.end * self.unit_rows) - first;
            // The file is there until the pixels are.
            let need = self.file_bytes(&units) + self.decoder_bytes + (strip_height * stride) as u64;
            match memory.expect(need) {
                Err(_) if 1 < most => {
                    most /= 2;
                    continue;
                }
                fits => fits?,
            }
            let file = self.file(units, strip_height).map_err(|fault| damaged(fault.text()))?;
            memory.take(file.capacity() as u64)?;
            let mut pixels = memory.buffer(strip_height * stride)?;
            pixels_of(&file, channels, &mut pixels)?;
            for y in rows.start.max(at * self.unit_rows)..rows.end.min(until * self.unit_rows) {
                take(y, &pixels[(y - first) * stride..][..stride]);
            }
            memory.give(file.capacity() + pixels.len());
            at = until;
        }
        Ok(())
    }
}
