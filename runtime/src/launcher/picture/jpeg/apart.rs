//! A sequential JPEG whose colours come in several scans -> a progressive one of the same coefficients.
//!
//! The decoder takes such scans for rows of units and gives other pixels. In a progressive picture a colour of its own is usual. So
//! the constant coefficients of each colour become one scan, and the others another one, with the codes that they have.

use super::bits::{Bits, Codes, Fault, Writer};
use super::scan::{Component, Part};

/// Codes of four bits for the lengths of differences between constant coefficients.
pub(super) const DC: ([u8; 16], [u8; 13]) =
    ([0, 0, 0, 13, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);

/// The colours of one scan, taken apart.
#[derive(Debug)]
pub(super) struct Apart {
    /// By component of the frame.
    colours: [Colour; 4],
}

#[derive(Debug, Default)]
struct Colour {
    constants: Writer,
    others: Writer,
    /// The constant coefficient that was written last.
    last: i32,
    /// Rows of blocks of the unit that is read: their constants and their other coefficients.
    rows: [(Vec<i32>, Writer); 4],
}

impl Apart {
    pub(super) fn new() -> Apart {
        Apart { colours: std::array::from_fn(|_| Colour::default()) }
    }

    /// Takes a block that is known to be whole and begins at `bits`.
    pub(super) fn block(
        &mut self,
        mut bits: Bits<'_>,
        part: &Part<'_>,
        component: &Component,
        block: usize,
        constant: i32,
    ) -> Result<(), Fault> {
        let (row, column) = (block / component.stride, block % component.stride);
        // Units go beyond the edge of the picture; a scan of one colour doesn't.
        if component.height <= row || component.width <= column {
            return Ok(());
        }
        let (Some(dc), Some(ac)) = (part.dc, part.ac) else { return Ok(()) };
        let (constants, others) = &mut self.colours[part.component].rows[row % component.down];
        constants.push(constant);
        bits.symbol(dc, true)?;
        let mut at = 1;
        while at < 64 {
            match bits.copy(ac, others)? {
                0 => break,
                symbol => at += usize::from(symbol >> 4) + 1,
            }
        }
        Ok(())
    }

    /// Writes the rows of the units that were read.
    pub(super) fn end_row(&mut self) {
        for colour in &mut self.colours {
            for (constants, others) in &mut colour.rows {
                for constant in constants.drain(..) {
                    put_constant(constant - colour.last, &mut colour.constants);
                    colour.last = constant;
                }
                colour.others.append(others);
            }
        }
    }

    /// Writes the scans of these colours.
    pub(super) fn finish(self, components: &[Component], parts: &[Part<'_>], to: &mut Vec<u8>) {
        let mut colours = self.colours;
        for part in parts {
            let Colour { constants, others, .. } = std::mem::take(&mut colours[part.component]);
            let id = components[part.component].id;
            Codes::new(&DC.0, &DC.1).expect("there are 16 codes of four bits").write(0, to);
            to.extend([0xff, 0xda, 0, 8, 1, id, 0, 0, 0, 0]);
            constants.finish(to);
            part.ac.expect("a sequential scan has both tables").write(0x10, to);
            to.extend([0xff, 0xda, 0, 8, 1, id, 0, 1, 63, 0]);
            others.finish(to);
        }
    }
}

/// A constant coefficient as the difference to the one before, in the codes of [`DC`].
pub(super) fn put_constant(difference: i32, to: &mut Writer) {
    let n = 32 - difference.unsigned_abs().leading_zeros();
    to.put(n, 4);
    to.put((difference - i32::from(difference < 0)) as u32, n);
}

/// What precedes the scans: `frame` is the marker of its kind, `adobe` says which colours they are.
pub(super) fn head(
    frame: u8,
    (width, height): (usize, usize),
    components: &[Component],
    adobe: Option<&[u8]>,
) -> Vec<u8> {
    let mut head = vec![0xff, 0xd8];
    if let Some(adobe) = adobe {
        head.extend([0xff, 0xee]);
        head.extend((adobe.len() as u16 + 2).to_be_bytes());
        head.extend(adobe);
    }
    for (place, component) in (0u8..).zip(components) {
        head.extend([0xff, 0xdb, 0, 131, 0x10 | place]);
        head.extend(component.steps.iter().flat_map(|step| step.to_be_bytes()));
    }
    head.extend([0xff, frame]);
    head.extend((8 + 3 * components.len() as u16).to_be_bytes());
    head.push(8);
    head.extend((height as u16).to_be_bytes());
    head.extend((width as u16).to_be_bytes());
    head.push(components.len() as u8);
    for (place, component) in (0u8..).zip(components) {
        head.extend([component.id, (component.across << 4 | component.down) as u8, place]);
    }
    head
}
