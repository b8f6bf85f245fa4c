//! Objects -> which section each symbol lies in, and which sections the entry reaches.

use std::collections::{BTreeSet, HashMap};

use object::read::elf::{ElfFile64, ElfSection64};
use object::{Endianness, Object, ObjectSection, ObjectSymbol, Relocation, RelocationTarget};
use object::{SectionIndex, SymbolIndex, SymbolSection};

use super::{Machine, fault};
use crate::error::{self, ErrorKind, Faults, Result};

pub(super) type File<'a> = ElfFile64<'a, Endianness>;
pub(super) type Section<'a, 'f> = ElfSection64<'a, 'f, Endianness>;

/// A section of one of the objects. Sorted in the order of the objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct SectionId {
    pub(super) file: usize,
    pub(super) index: usize,
}

/// What a symbol stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// So many bytes into a section.
    Section(SectionId, u64),
    /// A number.
    Absolute(u64),
    /// Nothing: a weak symbol that nobody defines, whose address is zero.
    Nothing,
}

/// The objects and their global symbols.
pub(super) struct Inputs<'a> {
    pub(super) machine: Machine,
    files: Vec<File<'a>>,
    /// Where each global symbol is defined.
    definitions: HashMap<&'a str, Definition>,
}

#[derive(Clone, Copy)]
struct Definition {
    place: Place,
    file: usize,
    weak: bool,
}

impl<'a> Inputs<'a> {
    pub(super) fn parse(objects: &[&'a [u8]]) -> Result<Inputs<'a>> {
        let mut files = Vec::with_capacity(objects.len());
        for (idx, bytes) in objects.iter().enumerate() {
            let file = File::parse(*bytes)
                .map_err(|error| fault(name(idx), format!("{error}, expected a 64-bit ELF object")))?;
            files.push(file);
        }
        let machine = |file: &File<'a>| file.elf_header().e_machine.get(file.endian());
        let first = files.first().map_or(0, machine);
        let known = Machine::of(first).ok_or_else(|| {
            fault(name(0), format!("found machine {first}, expected x86-64 (62) or aarch64 (183)"))
        })?;
        if let Some(idx) = files.iter().position(|file| machine(file) != first) {
            return Err(fault(
                name(idx),
                format!("found machine {}, expected that of {}, {first}", machine(&files[idx]), name(0)),
            ));
        }
        let definitions = definitions(&files)?;
        Ok(Inputs { machine: known, files, definitions })
    }

    pub(super) fn section(&self, id: SectionId) -> Section<'a, '_> {
        let section = self.files[id.file].section_by_index(SectionIndex(id.index));
        section.expect("sections are named by symbols that were looked up")
    }

    /// The place that a relocation of a section in `file` is about; the error is the symbol's name.
    pub(super) fn target(&self, file: usize, relocation: &Relocation) -> Result<Place, String> {
        match relocation.target() {
            RelocationTarget::Symbol(index) => self.place(file, index),
            RelocationTarget::Absolute => Ok(Place::Absolute(0)),
            _ => Err("(no symbol)".to_owned()),
        }
    }

    fn place(&self, file: usize, index: SymbolIndex) -> Result<Place, String> {
        let symbol = self.files[file].symbol_by_index(index).map_err(|error| error.to_string())?;
        if symbol.is_local() {
            return local_place(file, &symbol).ok_or_else(|| "(a local symbol without a place)".to_owned());
        }
        let name = symbol.name().map_err(|error| error.to_string())?;
        match self.definitions.get(name) {
            Some(definition) => Ok(definition.place),
            None if symbol.is_weak() => Ok(Place::Nothing),
            None => Err(name.to_owned()),
        }
    }

    /// Where the program begins.
    pub(super) fn entry(&self, entry: &str) -> Result<Place> {
        let definition = self.definitions.get(entry);
        definition
            .map(|definition| definition.place)
            .ok_or_else(|| fault(entry, "found no definition, expected one in the objects"))
    }

    /// The sections that the entry needs, and those that they need.
    pub(super) fn reach(&self, entry: &str) -> Result<BTreeSet<SectionId>> {
        let mut faults = Faults::new(ErrorKind::Emit);
        let mut reached = BTreeSet::new();
        let mut open = Vec::new();
        let mut visit = |place: Place, open: &mut Vec<SectionId>| {
            if let Place::Section(id, _) = place
                && reached.insert(id)
            {
                open.push(id);
            }
        };
        visit(self.entry(entry)?, &mut open);
        let mut missing = BTreeSet::new();
        while let Some(id) = open.pop() {
            for (_, relocation) in self.section(id).relocations() {
                match self.target(id.file, &relocation) {
                    Ok(place) => visit(place, &mut open),
                    Err(symbol) => {
                        missing.insert((symbol, id.file));
                    }
                }
            }
        }
        for (symbol, file) in missing {
            faults.push(error::Place::named(symbol), format!("needed by {}, found in no object", name(file)));
        }
        faults.propagate()?;
        Ok(reached)
    }
}

/// What an object is called in messages.
pub(super) fn name(file: usize) -> String {
    format!("object {}", file + 1)
}

/// Global symbols: strong before weak, and the first of several weak ones.
fn definitions<'a>(files: &[File<'a>]) -> Result<HashMap<&'a str, Definition>> {
    let mut definitions: HashMap<&'a str, Definition> = HashMap::new();
    let mut faults = Faults::new(ErrorKind::Emit);
    for (file, object) in files.iter().enumerate() {
        for symbol in object.symbols().filter(|symbol| !symbol.is_local() && symbol.is_definition()) {
            let (Ok(text), Some(place)) = (symbol.name(), local_place(file, &symbol)) else { continue };
            let new = Definition { place, file, weak: symbol.is_weak() };
            match definitions.get(text) {
                Some(known) if !known.weak && !new.weak => {
                    let detail =
                        format!("defined by {} and by {}, expected one", name(known.file), name(file));
                    faults.push(error::Place::named(text), detail);
                }
                Some(known) if new.weak || !known.weak => {}
                _ => {
                    definitions.insert(text, new);
                }
            }
        }
    }
    faults.propagate()?;
    Ok(definitions)
}

/// The place of a symbol that its own object defines.
fn local_place<'a>(file: usize, symbol: &impl ObjectSymbol<'a>) -> Option<Place> {
    match symbol.section() {
        SymbolSection::Section(index) => {
            Some(Place::Section(SectionId { file, index: index.0 }, symbol.address()))
        }
        SymbolSection::Absolute => Some(Place::Absolute(symbol.address())),
        _ => None,
    }
}
