//! A scan of a JPEG -> whether its data is whole: every block is there, and nothing else.
//!
//! Decoders fill what is missing with grey and answer. So the codes are read once before, without their values: a cut, a flipped
//! bit in a code or a lost restart interval leaves too little or too much data, or a code that doesn't exist.

use super::super::memory::Memory;
use super::apart::Apart;
use super::bits::{Bits, Codes, Fault};

/// One colour channel of the frame.
#[derive(Clone, Debug)]
pub(super) struct Component {
    pub(super) id: u8,
    /// Blocks of a unit of interleaved data, across and down.
    pub(super) across: usize,
    pub(super) down: usize,
    /// Blocks that the picture covers.
    pub(super) width: usize,
    pub(super) height: usize,
    /// Blocks of a row and rows, those beyond the picture's edge included.
    pub(super) stride: usize,
    pub(super) rows: usize,
    /// Of a progressive picture: a bit for each coefficient that isn't zero so far.
    nonzero: Vec<u64>,
    /// The number of its quantisation table.
    pub(super) table: u8,
    /// That table, as the component's scan found it.
    pub(super) steps: [u16; 64],
    /// What pixels of 8 bits can give.
    range: Range,
    /// By coefficient: how many low bits are still to come; `None` before the first scan.
    pub(super) missing_bits: [Option<u8>; 64],
}

impl Component {
    pub(super) fn new(id: u8, sampling: u8, table: u8) -> Component {
        let (across, down) = (usize::from(sampling >> 4), usize::from(sampling & 15));
        Component {
            id,
            across,
            down,
            width: 0,
            height: 0,
            stride: 0,
            rows: 0,
            nonzero: Vec::new(),
            table,
            steps: [1; 64],
            range: Range { dc: [0; 2], bits: [0; 64] },
            missing_bits: [None; 64],
        }
    }

    pub(super) fn n_blocks(&self) -> u64 {
        self.stride as u64 * self.rows as u64
    }

    /// Makes room for what refinements need to know.
    pub(super) fn remember(&mut self, memory: &mut Memory) -> Result<(), String> {
        self.nonzero = memory.words(self.stride * self.rows)?;
        Ok(())
    }

    pub(super) fn forget(&mut self, memory: &mut Memory) {
        memory.give(self.nonzero.len() * 8);
        self.nonzero = Vec::new();
    }
}

/// The coefficients that pixels of 8 bits can have, in units of a quantisation table. What is far outside is a damaged code, or one
/// that a damaged one before it has put there.
#[derive(Clone, Copy, Debug)]
struct Range {
    /// Least and most of the constant coefficient.
    dc: [i32; 2],
    /// By coefficient: most bits of its absolute value.
    bits: [u8; 64],
}

/// 64 pixels from -128 to 127 have no coefficient beyond 1024. Encoders that fight ringing pretend that white is up to 31 levels
/// whiter.
const MOST: i32 = 8 * (128 + 31);

impl Component {
    /// Takes over the quantisation table that a scan finds, in the order of the coefficients.
    pub(super) fn quantise(&mut self, table: &[u16; 64]) {
        self.steps = *table;
        let steps = table.map(|step| i32::from(step.max(1)));
        self.range.dc = [-1024 / steps[0] - 1, MOST / steps[0] + 1];
        // Rounded to the nearest step.
        self.range.bits = steps.map(|step| (32 - (MOST / step + 1).leading_zeros()) as u8);
    }
}

/// A component in a scan: its place in the frame and its codes, as far as the scan needs them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part<'c> {
    pub(super) component: usize,
    pub(super) dc: Option<&'c Codes>,
    pub(super) ac: Option<&'c Codes>,
}

/// Which coefficients a scan of a progressive picture has, and which of their bits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Band {
    pub(super) start: u32,
    pub(super) end: u32,
    /// How many low bits later scans send.
    pub(super) low: u32,
    /// Whether earlier scans have sent the upper bits.
    pub(super) refines: bool,
}

/// Reads the data of a scan and returns where it ends. `band` is that of a progressive picture.
pub(super) fn check<'b>(
    bits: Bits<'b>,
    components: &mut [Component],
    parts: &[Part<'_>],
    band: Option<Band>,
    units: Units,
    mut found: Found<'_, 'b>,
) -> Result<usize, Fault> {
    let mut reader = Reader { bits, empty_blocks: 0, constants: [0; 4] };
    let mut n_units = 0;
    for y in 0..units.down {
        found.marks.push(Mark { bits: reader.bits.clone(), constants: reader.constants });
        for x in 0..units.across {
            if units.restart_interval != 0 && n_units != 0 && n_units % units.restart_interval == 0 {
                reader.end_of_run()?;
                let end = reader.bits.restart(n_units / units.restart_interval - 1)?;
                found.filling(end..reader.bits.at - 2);
                reader.constants = [0; 4];
            }
            n_units += 1;
            for part in parts {
                let component = &mut components[part.component];
                let (across, down) =
                    if parts.len() == 1 { (1, 1) } else { (component.across, component.down) };
                for row in y * down..(y + 1) * down {
                    for block in
                        row * component.stride + x * across..row * component.stride + (x + 1) * across
                    {
                        match &mut found.apart {
                            None => reader.block(part, band, component, block)?,
                            Some(apart) => {
                                let before = reader.bits.clone();
                                reader.block(part, band, component, block)?;
                                let constant = reader.constants[part.component];
                                apart.block(before, part, component, block, constant)?;
                            }
                        }
                    }
                }
            }
        }
        if let Some(apart) = &mut found.apart {
            apart.end_row();
        }
    }
    reader.end_of_run()?;
    let end = reader.bits.end()?;
    // Some encoders close the last interval with a marker too.
    if units.restart_interval != 0 && n_units % units.restart_interval == 0 {
        let mut behind = reader.bits.clone();
        if behind.restart(n_units / units.restart_interval - 1).is_ok() && behind.end() == Ok(behind.at) {
            reader.bits = behind;
        }
    }
    found.filling(end..reader.bits.at);
    Ok(reader.bits.at)
}

/// Where a scan puts what the decoder doesn't take as it is.
pub(super) struct Found<'f, 'b> {
    pub(super) clean: &'f mut Clean,
    /// Where the rows of units begin.
    pub(super) marks: &'f mut Vec<Mark<'b>>,
    pub(super) bytes: &'f [u8],
    /// For the blocks, if the scan doesn't have all components of a sequential picture.
    pub(super) apart: Option<&'f mut Apart>,
}

/// Where a row of units begins, before a restart marker that may be there.
#[derive(Debug)]
pub(super) struct Mark<'b> {
    pub(super) bits: Bits<'b>,
    /// By component: the constant coefficient of the block before.
    pub(super) constants: [i32; 4],
}

impl Found<'_, '_> {
    fn filling(&mut self, filling: std::ops::Range<usize>) {
        if !filling.is_empty() {
            self.clean.copy_up_to(self.bytes, filling.start);
            self.clean.at = filling.end;
        }
    }
}

/// A copy of the file, without the filling between data and markers, up to `at`; empty as long as there is no filling.
#[derive(Debug, Default)]
pub(super) struct Clean {
    pub(super) copy: Vec<u8>,
    pub(super) at: usize,
}

impl Clean {
    /// Copies what of the file follows the last filling. Room for all of the file was asked for; a buffer that grows by doubling
    /// would take twice as much.
    pub(super) fn copy_up_to(&mut self, bytes: &[u8], end: usize) {
        if self.copy.capacity() == 0 {
            self.copy.reserve_exact(bytes.len() + MOST_USUAL_BYTES);
        }
        self.copy.extend_from_slice(&bytes[self.at..end]);
    }
}

/// The usual tables, four of them, take less.
const MOST_USUAL_BYTES: usize = 1024;

/// The units of a scan: blocks, or groups of them if several components are interleaved.
#[derive(Clone, Copy, Debug)]
pub(super) struct Units {
    pub(super) across: usize,
    pub(super) down: usize,
    /// Units between two restart markers; 0 for none.
    pub(super) restart_interval: usize,
}

struct Reader<'b> {
    bits: Bits<'b>,
    /// Blocks to come of which a progressive scan sends nothing new.
    empty_blocks: u32,
    /// By component: the constant coefficient of the last block.
    constants: [i32; 4],
}

impl Reader<'_> {
    fn end_of_run(&mut self) -> Result<(), Fault> {
        if self.empty_blocks == 0 { Ok(()) } else { Err(Fault::RunPastTheEnd) }
    }

    fn block(
        &mut self,
        part: &Part<'_>,
        band: Option<Band>,
        component: &mut Component,
        block: usize,
    ) -> Result<(), Fault> {
        let Component { range, nonzero, .. } = component;
        match (band, part.dc, part.ac) {
            (None, Some(dc), Some(ac)) => {
                self.constant(dc, part.component, range, 0)?;
                self.sequential(ac, &range.bits)
            }
            (Some(Band { start: 0, refines: true, .. }), ..) => self.bits.skip(1),
            (Some(Band { start: 0, low, .. }), Some(dc), _) => self.constant(dc, part.component, range, low),
            (Some(band @ Band { refines: false, .. }), _, Some(ac)) => {
                self.first(ac, band, &range.bits, &mut nonzero[block])
            }
            (Some(band), _, Some(ac)) => self.refinement(ac, band, &mut nonzero[block]),
            _ => unreachable!("a scan has the tables of its kind"),
        }
    }

    /// The constant coefficient of a block without its `low` bits, as a difference to that of the block before.
    #[inline]
    fn constant(&mut self, dc: &Codes, component: usize, range: &Range, low: u32) -> Result<(), Fault> {
        let n_bits = u32::from(self.bits.symbol(dc, false)?);
        let constant = &mut self.constants[component];
        *constant += self.bits.number(n_bits)?;
        let [least, most] = range.dc;
        if (least >> low..=most >> low).contains(constant) { Ok(()) } else { Err(Fault::TooLarge) }
    }

    /// Coefficients 1 to 63 of a block: how many zeros precede each, until none follows.
    #[inline]
    fn sequential(&mut self, ac: &Codes, most_bits: &[u8; 64]) -> Result<(), Fault> {
        let mut at = 1;
        while at < 64 {
            let symbol = self.bits.symbol(ac, true)?;
            match (symbol >> 4, symbol & 15) {
                (0, 0) => return Ok(()),
                (15, 0) => at += 16,
                (_, 0) => return Err(Fault::UnknownCode),
                (zeros, n_bits) => {
                    at += usize::from(zeros);
                    if *most_bits.get(at).ok_or(Fault::PastTheBlock)? < n_bits {
                        return Err(Fault::TooLarge);
                    }
                    at += 1;
                }
            }
        }
        if at == 64 { Ok(()) } else { Err(Fault::PastTheBlock) }
    }

    fn first(
        &mut self,
        ac: &Codes,
        band: Band,
        most_bits: &[u8; 64],
        nonzero: &mut u64,
    ) -> Result<(), Fault> {
        if self.empty_blocks != 0 {
            self.empty_blocks -= 1;
            return Ok(());
        }
        let mut at = band.start;
        while at <= band.end {
            let symbol = self.bits.symbol(ac, true)?;
            let zeros = u32::from(symbol >> 4);
            match symbol & 15 {
                0 if zeros == 15 => at += 16,
                0 => {
                    self.empty_blocks = (1 << zeros) + self.bits.take(zeros)? - 1;
                    return Ok(());
                }
                n_bits => {
                    at += zeros;
                    if band.end < at {
                        return Err(Fault::PastTheBlock);
                    }
                    if most_bits[at as usize] < n_bits + band.low as u8 {
                        return Err(Fault::TooLarge);
                    }
                    *nonzero |= 1 << at;
                    at += 1;
                }
            }
        }
        if at <= band.end + 1 { Ok(()) } else { Err(Fault::PastTheBlock) }
    }

    /// One more bit of each coefficient that isn't zero; between them come those that become so.
    fn refinement(&mut self, ac: &Codes, band: Band, nonzero: &mut u64) -> Result<(), Fault> {
        let mut at = band.start;
        if self.empty_blocks == 0 {
            while at <= band.end {
                let symbol = self.bits.symbol(ac, false)?;
                let (mut zeros, is_new) = (u32::from(symbol >> 4), symbol & 15 != 0);
                if is_new {
                    if symbol & 15 != 1 {
                        return Err(Fault::UnknownCode);
                    }
                    self.bits.skip(1)?;
                } else if zeros != 15 {
                    self.empty_blocks = (1 << zeros) + self.bits.take(zeros)?;
                    break;
                }
                while at <= band.end {
                    if *nonzero >> at & 1 != 0 {
                        self.bits.skip(1)?;
                    } else if zeros == 0 {
                        break;
                    } else {
                        zeros -= 1;
                    }
                    at += 1;
                }
                if is_new {
                    if band.end < at {
                        return Err(Fault::PastTheBlock);
                    }
                    *nonzero |= 1 << at;
                }
                at += 1;
            }
        }
        if self.empty_blocks != 0 {
            self.empty_blocks -= 1;
            // Bits from `at` to the end of the band; none if it is behind.
            let rest = (u64::MAX >> (63 - band.end)).checked_shr(at).map_or(0, |mask| mask << at);
            self.bits.skip((*nonzero & rest).count_ones())?;
        }
        Ok(())
    }
}
