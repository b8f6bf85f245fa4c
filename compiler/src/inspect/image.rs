//! A file -> its sections at addresses, with everything resolved that one says of another: as a loader would have it.

use std::collections::HashMap;

use object::{File, Object, ObjectKind, ObjectSection, ObjectSymbol};
use object::{
    RelocationEncoding, RelocationKind, RelocationTarget, SectionIndex, SectionKind, SymbolSection,
};

/// A section in memory. Nothing in the file is ever written.
#[derive(Clone, Debug)]
pub(super) struct Loaded {
    pub(super) name: String,
    pub(super) address: u64,
    pub(super) bytes: Vec<u8>,
    pub(super) is_code: bool,
}

/// All sections that a program would have in memory.
#[derive(Clone, Debug)]
pub(super) struct Image {
    pub(super) sections: Vec<Loaded>,
    /// Addresses of the functions that are exported.
    pub(super) functions: HashMap<String, u64>,
}

/// Where an object's sections go: within the reach of 32-bit distances of each other, and far from every buffer.
const BASE: u64 = 0x10_0000_0000;

/// Between two sections, so that what leaves one doesn't land in the next.
const GAP: u64 = 16 << 20;

impl Image {
    pub(super) fn load(file: &File<'_>) -> Result<Image, String> {
        let is_library = file.kind() == ObjectKind::Dynamic;
        let mut sections = Vec::new();
        let mut addresses: HashMap<SectionIndex, u64> = HashMap::new();
        let mut next = BASE;
        for section in file.sections() {
            let is_loaded = matches!(
                section.kind(),
                SectionKind::Text
                    | SectionKind::ReadOnlyData
                    | SectionKind::ReadOnlyString
                    | SectionKind::ReadOnlyDataWithRel
                    | SectionKind::Data
            );
            if !is_loaded || section.size() == 0 {
                continue;
            }
            let address = if is_library { BASE + section.address() } else { next };
            let bytes = section.data().map_err(|error| error.to_string())?.to_vec();
            next = (address + bytes.len() as u64 + GAP).next_multiple_of(section.align().max(4096));
            addresses.insert(section.index(), address);
            sections.push(Loaded {
                name: section.name().unwrap_or("").to_owned(),
                address,
                bytes,
                is_code: section.kind() == SectionKind::Text,
            });
        }
        let mut image = Image { sections, functions: HashMap::new() };
        if is_library {
            image.relocate_library(file)?;
        } else {
            image.relocate_object(file, &addresses, next)?;
        }
        let symbols = if is_library { file.dynamic_symbols() } else { file.symbols() };
        for symbol in symbols.filter(|symbol| symbol.is_global() && symbol.is_definition()) {
            let address = if is_library { Some(BASE + symbol.address()) } else { place(&symbol, &addresses) };
            if let (Ok(name), Some(address)) = (symbol.name(), address) {
                image.functions.insert(name.to_owned(), address);
            }
        }
        Ok(image)
    }

    /// The section that holds an address.
    pub(super) fn section(&self, address: u64) -> Option<&Loaded> {
        self.sections.iter().find(|section| {
            address.checked_sub(section.address).is_some_and(|offset| offset < section.bytes.len() as u64)
        })
    }

    /// Resolves what sections say of each other, with a section of slots for addresses that are looked up.
    fn relocate_object(
        &mut self,
        file: &File<'_>,
        addresses: &HashMap<SectionIndex, u64>,
        slots_at: u64,
    ) -> Result<(), String> {
        let mut slots: Vec<u64> = Vec::new();
        for section in file.sections() {
            let Some(address) = addresses.get(&section.index()).copied() else { continue };
            for (offset, relocation) in section.relocations() {
                let RelocationTarget::Symbol(index) = relocation.target() else {
                    return Err(format!("a relocation at byte {offset} without a symbol"));
                };
                let symbol = file.symbol_by_index(index).map_err(|error| error.to_string())?;
                let Some(target) = place(&symbol, addresses) else { continue };
                let value = match relocation.kind() {
                    RelocationKind::Relative | RelocationKind::PltRelative => target,
                    RelocationKind::GotRelative => {
                        let known = slots.iter().position(|slot| *slot == target);
                        let idx = known.unwrap_or(slots.len());
                        slots.resize(slots.len().max(idx + 1), target);
                        slots_at + idx as u64 * 8
                    }
                    kind => return Err(format!("a relocation of kind {kind:?} at byte {offset}")),
                };
                let distance = value.wrapping_add_signed(relocation.addend()).wrapping_sub(address + offset);
                let loaded = self.sections.iter_mut().find(|loaded| loaded.address == address);
                let bytes = &mut loaded.expect("it was loaded above").bytes;
                let (at, size) = (offset as usize, usize::from(relocation.size()) / 8);
                let field = bytes.get_mut(at..at + size).filter(|_| size == 4 || size == 8);
                let field = field.ok_or_else(|| format!("a relocation at byte {offset} of {size} bytes"))?;
                let fits = size == 8 || i32::try_from(distance as i64).is_ok();
                if !fits || matches!(relocation.encoding(), RelocationEncoding::AArch64Call) {
                    return Err(format!("a relocation at byte {offset} that doesn't fit"));
                }
                field.copy_from_slice(&distance.to_le_bytes()[..size]);
            }
        }
        if !slots.is_empty() {
            let bytes = slots.iter().flat_map(|slot| slot.to_le_bytes()).collect();
            self.sections.push(Loaded { name: "slots".to_owned(), address: slots_at, bytes, is_code: false });
        }
        Ok(())
    }

    /// What the loader of a shared library writes: addresses of its own parts.
    fn relocate_library(&mut self, file: &File<'_>) -> Result<(), String> {
        for (address, relocation) in file.dynamic_relocations().into_iter().flatten() {
            let value = match relocation.target() {
                RelocationTarget::Symbol(index) => {
                    let symbol = file.dynamic_symbol_table().and_then(|table| {
                        use object::ObjectSymbolTable as _;
                        table.symbol_by_index(index).ok()
                    });
                    symbol.filter(ObjectSymbol::is_definition).map(|symbol| BASE + symbol.address())
                }
                _ => Some(BASE.wrapping_add_signed(relocation.addend())),
            };
            let address = BASE + address;
            let section = self.sections.iter_mut().find(|section| {
                (section.address..section.address + section.bytes.len() as u64).contains(&address)
            });
            if let (Some(value), Some(section)) = (value, section) {
                let at = (address - section.address) as usize;
                let field = section.bytes.get_mut(at..at + 8).ok_or("a relocation behind a section's end")?;
                field.copy_from_slice(&value.to_le_bytes());
            }
        }
        Ok(())
    }
}

fn place<'a>(symbol: &impl ObjectSymbol<'a>, addresses: &HashMap<SectionIndex, u64>) -> Option<u64> {
    match symbol.section() {
        SymbolSection::Section(index) => addresses.get(&index).map(|address| address + symbol.address()),
        _ => None,
    }
}
