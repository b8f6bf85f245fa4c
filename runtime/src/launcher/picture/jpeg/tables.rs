//! The tables of codes that a JPEG has, and those that it leaves out.

use super::bits::Codes;
use super::scan::Part;
use super::{damaged, usual};

/// The tables of codes, constant coefficients first, by their places.
#[derive(Default)]
pub(super) struct Tables {
    tables: [[Option<Codes>; 4]; 2],
    /// Segments with those that the file should have and doesn't.
    pub(super) usual: Vec<u8>,
}

impl Tables {
    pub(super) fn read(&mut self, mut segment: &[u8]) -> Result<(), String> {
        let cut = || damaged("a table of codes is cut off");
        while let Some((&head, rest)) = segment.split_first() {
            let (counts, symbols) = rest.split_first_chunk::<16>().ok_or_else(cut)?;
            let len = counts.iter().copied().map(usize::from).sum();
            let (symbols, rest) = symbols.split_at_checked(len).ok_or_else(cut)?;
            let table = self
                .tables
                .get_mut(usize::from(head >> 4))
                .and_then(|class| class.get_mut(usize::from(head & 15)));
            let table = table.ok_or_else(|| damaged("a table of codes has no such place"))?;
            // The longest differences of constant coefficients have 11 bits.
            if head >> 4 == 0 && symbols.iter().any(|symbol| 11 < *symbol) {
                return Err(damaged("a table of codes has a symbol that means nothing"));
            }
            *table = Some(Codes::new(counts, symbols).ok_or_else(|| damaged("a table has too many codes"))?);
            segment = rest;
        }
        Ok(())
    }

    /// Puts the usual tables where a scan needs some and the file has none.
    pub(super) fn complete(&mut self, needs_dc: bool, needs_ac: bool, codes: u8) -> Result<(), String> {
        for (class, place, needs) in [(0, codes >> 4, needs_dc), (1, codes & 15, needs_ac)] {
            let place = usize::from(place);
            let table = self.tables[class].get_mut(place).filter(|_| needs);
            if let Some(table @ None) = table {
                *table = usual::codes(class, place);
                if let Some(table) = table {
                    table.write((class << 4 | place) as u8, &mut self.usual);
                }
            }
            if needs && self.tables[class].get(place).is_none_or(Option::is_none) {
                return Err(damaged("a scan has no table of codes"));
            }
        }
        Ok(())
    }

    pub(super) fn part(&self, component: usize, codes: u8) -> Part<'_> {
        let table =
            |class: usize, place: u8| self.tables[class].get(usize::from(place)).and_then(Option::as_ref);
        Part { component, dc: table(0, codes >> 4), ac: table(1, codes & 15) }
    }
}
