//! A relocatable ELF file -> what a linker would take from it, read by a closed list: sections, symbols, relocations.

use std::collections::HashMap;

use object::elf::{self, FileHeader64};
use object::read::elf::{FileHeader as _, Rela as _, SectionHeader as _, SectionTable, Sym as _};
use object::{LittleEndian, SectionIndex};

use super::Faults;
use super::image::{FIELD_BYTES, Image, Relocated, Section};
use super::machine::{Origin, Value};

type Header = FileHeader64<LittleEndian>;
type Sections<'a> = SectionTable<'a, Header>;
const E: LittleEndian = LittleEndian;

/// The parts of an image, as origins: code, constants, the linker's slots.
const CODE: usize = 0;
const CONSTANTS: usize = 1;
const SLOTS: usize = 2;

/// Relocations that our objects have, by machine: calls, and addresses by way of slots.
const RELOCATIONS: [(u16, &[u32]); 3] = [
    (elf::EM_X86_64, &[elf::R_X86_64_PC32, elf::R_X86_64_PLT32, elf::R_X86_64_GOTPCREL]),
    (elf::EM_AARCH64, &[elf::R_AARCH64_CALL26, elf::R_AARCH64_ADR_GOT_PAGE, elf::R_AARCH64_LD64_GOT_LO12_NC]),
    (elf::EM_RISCV, &[elf::R_RISCV_CALL_PLT, elf::R_RISCV_GOT_HI20, elf::R_RISCV_PCREL_LO12_I]),
];

/// Reads a file. What is not on the list is a fault; `None` when there is nothing that could be walked.
pub(super) fn read<'a>(header: &Header, bytes: &'a [u8], faults: &mut Faults) -> Option<Image<'a>> {
    let sections = match header.sections(E, bytes) {
        Ok(sections) => sections,
        Err(error) => {
            faults.form.push(format!("sections: {error}"));
            return None;
        }
    };
    if header.e_phnum(E) != 0 {
        faults.form.push("program headers in an object".to_owned());
    }
    let mut image = Image::default();
    let mut places = HashMap::new();
    let mut has_stack_note = false;
    for (index, section) in sections.enumerate() {
        match kind(&sections, section, faults) {
            Kind::Ignored => {}
            Kind::StackNote => has_stack_note = true,
            kind @ (Kind::Code | Kind::Constants) => {
                let part = if matches!(kind, Kind::Code) { CODE } else { CONSTANTS };
                let name = name(&sections, section);
                match section.data(E, bytes) {
                    Ok(_) if places.values().any(|known| *known == part) => {
                        faults.form.push(format!("a second section {name}"));
                    }
                    Ok(content) => {
                        places.insert(index, part);
                        image.sections.push(Section {
                            name,
                            origin: Origin::image(part),
                            start: 0,
                            bytes: content,
                            is_constant: true,
                        });
                    }
                    Err(error) => faults.form.push(format!("section {name}: {error}")),
                }
            }
        }
    }
    if !has_stack_note {
        faults.form.push("no section .note.GNU-stack: linkers make the host's stack executable".to_owned());
    }
    image.sections.sort_by_key(|section| section.origin);
    symbols(&sections, bytes, (&places, &mut image), faults);
    relocations(&sections, (header.e_machine(E), bytes), (&places, &mut image), faults);
    let has_code = image.sections.first().is_some_and(|section| section.origin == Origin::image(CODE));
    has_code.then_some(image)
}

enum Kind {
    Code,
    Constants,
    StackNote,
    /// Nothing that a program has in memory.
    Ignored,
}

fn name(sections: &Sections<'_>, section: &elf::SectionHeader64<LittleEndian>) -> String {
    let name = sections.section_name(E, section).unwrap_or(b"?");
    String::from_utf8_lossy(name).into_owned()
}

/// What a section is, by name, type and flags together.
fn kind(sections: &Sections<'_>, section: &elf::SectionHeader64<LittleEndian>, faults: &mut Faults) -> Kind {
    const ALLOC: u64 = elf::SHF_ALLOC as u64;
    const WRITE: u64 = elf::SHF_WRITE as u64;
    const CODE: u64 = ALLOC | elf::SHF_EXECINSTR as u64;
    const LINK: u64 = elf::SHF_INFO_LINK as u64;
    let name = name(sections, section);
    let (kind, flags, size) = (section.sh_type(E), section.sh_flags(E), section.sh_size(E));
    match (name.as_str(), kind, flags) {
        ("", elf::SHT_NULL, 0) => Kind::Ignored,
        (".text", elf::SHT_PROGBITS, CODE) => Kind::Code,
        (".rodata", elf::SHT_PROGBITS, ALLOC) => Kind::Constants,
        (".note.GNU-stack", elf::SHT_PROGBITS, 0) if size == 0 => Kind::StackNote,
        (".symtab", elf::SHT_SYMTAB, 0) => Kind::Ignored,
        (".strtab" | ".shstrtab", elf::SHT_STRTAB, 0) => Kind::Ignored,
        (".rela.text", elf::SHT_RELA, 0 | LINK) => Kind::Ignored,
        // Assemblers write these, with nothing in them.
        (".data", elf::SHT_PROGBITS, _) | (".bss", elf::SHT_NOBITS, _)
            if flags == ALLOC | WRITE && size == 0 =>
        {
            Kind::Ignored
        }
        _ if flags & WRITE != 0 => {
            faults.writable.push(name.clone());
            if name == ".rodata" && kind == elf::SHT_PROGBITS && flags == ALLOC | WRITE {
                Kind::Constants
            } else {
                Kind::Ignored
            }
        }
        (".note.GNU-stack", ..) => {
            faults.form.push(format!("section .note.GNU-stack with flags {flags:#x} and {size} bytes: linkers make the host's stack executable"));
            Kind::StackNote
        }
        _ => {
            faults.form.push(format!("section {name:?} of type {kind:#x} with flags {flags:#x}"));
            Kind::Ignored
        }
    }
}

/// Where a defined symbol is.
fn place(
    section: Option<SectionIndex>,
    value: u64,
    (places, image): (&HashMap<SectionIndex, usize>, &Image<'_>),
) -> Option<Value> {
    let origin = Origin::image(*places.get(&section?)?);
    let holder = image.sections.iter().find(|section| section.origin == origin)?;
    (value <= holder.bytes.len() as u64).then_some(Value::at(origin, value))
}

fn symbols(
    sections: &Sections<'_>,
    bytes: &[u8],
    (places, image): (&HashMap<SectionIndex, usize>, &mut Image<'_>),
    faults: &mut Faults,
) {
    let table = match sections.symbols(E, bytes, elf::SHT_SYMTAB) {
        Ok(table) => table,
        Err(error) => return faults.form.push(format!("symbols: {error}")),
    };
    if 1 < sections.iter().filter(|section| section.sh_type(E) == elf::SHT_SYMTAB).count() {
        faults.form.push("a second table of symbols".to_owned());
    }
    for (index, symbol) in table.enumerate().skip(1) {
        let name = String::from_utf8_lossy(table.symbol_name(E, symbol).unwrap_or(b"?")).into_owned();
        let section = table.symbol_section(E, symbol, index).ok().flatten();
        let (kind, bind) = (symbol.st_type(), symbol.st_bind());
        let file = kind == elf::STT_FILE && bind == elf::STB_LOCAL;
        let is_known = matches!(kind, elf::STT_NOTYPE | elf::STT_OBJECT | elf::STT_FUNC | elf::STT_SECTION);
        if symbol.st_shndx(E) == elf::SHN_UNDEF {
            faults.undefined.push(name);
        } else if file {
        } else if bind == elf::STB_LOCAL {
            let is_elsewhere = section.is_none();
            if kind == elf::STT_FUNC
                && let Some(place) = place(section, symbol.st_value(E), (places, image))
                && place.origin == Origin::image(CODE)
            {
                image.names.insert(place.offset, name.clone());
            }
            if !is_known || is_elsewhere {
                faults
                    .form
                    .push(format!("symbol {name} of type {kind}, which is in no section or of no use"));
            }
        } else if bind != elf::STB_GLOBAL || kind != elf::STT_FUNC || symbol.st_other() != elf::STV_DEFAULT {
            faults.form.push(format!(
                "symbol {name} of type {kind}, binding {bind} and visibility {}, expected a global function",
                symbol.st_other()
            ));
            faults.exported.push(name);
        } else {
            let place = place(section, symbol.st_value(E), (places, image));
            match place.filter(|place| place.origin == Origin::image(CODE)) {
                Some(place) if image.functions.insert(name.clone(), place.offset).is_none() => {}
                Some(_) => faults.form.push(format!("a second symbol {name}")),
                None => faults.form.push(format!("symbol {name}, which is not in the code")),
            }
            faults.exported.push(name);
        }
    }
}

fn relocations(
    sections: &Sections<'_>,
    (machine, bytes): (u16, &[u8]),
    (places, image): (&HashMap<SectionIndex, usize>, &mut Image<'_>),
    faults: &mut Faults,
) {
    let known = RELOCATIONS.iter().find(|(of, _)| *of == machine).map_or(&[][..], |(_, known)| known);
    for section in sections.iter().filter(|section| section.sh_type(E) == elf::SHT_RELA) {
        let rows = match section.rela(E, bytes) {
            Ok(Some((rows, _))) => rows,
            Ok(None) => continue,
            Err(error) => {
                faults.form.push(format!("relocations: {error}"));
                continue;
            }
        };
        if places.get(&section.info_link(E)) != Some(&CODE) {
            faults.form.push(format!("{} relocations of another section than the code", rows.len()));
            continue;
        }
        let table = match sections.symbol_table_by_index(E, bytes, section.link(E)) {
            Ok(table) => table,
            Err(error) => {
                faults.form.push(format!("relocations: {error}"));
                continue;
            }
        };
        for row in rows {
            let (offset, kind) = (row.r_offset(E), row.r_type(E, false));
            if !known.contains(&kind) {
                faults.form.push(format!("a relocation of kind {kind} at byte {offset:#x}"));
                continue;
            }
            if machine != elf::EM_X86_64 {
                continue;
            }
            let target = row.symbol(E, false).and_then(|index| {
                let symbol = table.symbol(index).ok()?;
                let section = table.symbol_section(E, symbol, index).ok()?;
                place(section, symbol.st_value(E), (places, image))
            });
            let target = target.unwrap_or(Value::UNKNOWN);
            let addend = row.r_addend(E);
            let relocated = if kind == elf::R_X86_64_GOTPCREL {
                let slot = Value::at(Origin::image(SLOTS), image.words.len() as u64 * 8);
                // The field is the instruction's last: the slot itself is meant.
                let target = if addend == -4 { target } else { Value::UNKNOWN };
                image.words.insert(slot, target);
                Relocated::Slot(slot)
            } else if target.is_unknown() {
                Relocated::Place(target)
            } else {
                Relocated::Place(Value { offset: target.offset.wrapping_add_signed(addend), ..target })
            };
            let code_bytes = image.sections.first().map_or(0, |code| code.bytes.len() as u64);
            let fits = offset.checked_add(FIELD_BYTES).is_some_and(|end| end <= code_bytes);
            let before = image.relocated.range(offset.saturating_sub(FIELD_BYTES - 1)..);
            let overlaps =
                before.take(1).any(|(at, _)| offset.checked_add(FIELD_BYTES).is_none_or(|end| *at < end));
            if !fits || overlaps {
                faults
                    .form
                    .push(format!("a relocation at byte {offset:#x}, outside of the code or over another"));
            }
            image.relocated.insert(offset, relocated);
        }
    }
    let slots = image.words.len() * 8;
    if slots != 0 {
        image.sections.push(Section {
            name: "a slot of addresses".to_owned(),
            origin: Origin::image(SLOTS),
            start: 0,
            bytes: zeros(slots, faults),
            is_constant: true,
        });
    }
}

/// The slots' memory; what they hold is known elsewhere.
fn zeros(bytes: usize, faults: &mut Faults) -> &'static [u8] {
    static ZEROS: [u8; 1 << 16] = [0; 1 << 16];
    ZEROS.get(..bytes).unwrap_or_else(|| {
        faults.form.push("more slots of addresses than such a network needs".to_owned());
        &[]
    })
}
