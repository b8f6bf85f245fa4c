//! Sections -> addresses, places in the file, program headers.
//!
//! Four segments are loaded: what is only read, what is executed, what holds addresses and is only read once these are
//! corrected, what is written; none is both written and executed. Addresses count from the start of the program, wherever
//! that is. Thread-local variables get offsets; their first values lie with the addresses, for they may hold some.

use std::collections::{BTreeMap, BTreeSet};

use object::elf::{self, FileHeader64, Ident, ProgramHeader64};
use object::pod::bytes_of;
use object::{Endianness, ObjectSection, SectionFlags, U16, U32, U64};

use super::inputs::{Inputs, Place, SectionId, name};
use super::{fault, relative, relocate};
use crate::error::Result;

/// The program's own start. Distances stay below 2 GB, as 32-bit fields ask for.
const BASE: u64 = 0;

const LE: Endianness = Endianness::Little;

/// What becomes of a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// First values of thread-local variables.
    ThreadData,
    /// Thread-local variables that begin as zero.
    ThreadZero,
    Constant,
    Code,
    /// Constants with addresses in them, which are corrected once.
    Corrected,
    Data,
    Zero,
}

impl Kind {
    fn of(inputs: &Inputs<'_>, id: SectionId) -> Kind {
        let section = inputs.section(id);
        let SectionFlags::Elf { sh_flags } = section.flags() else {
            unreachable!("the objects are ELF files");
        };
        let has = |flag: u32| sh_flags & u64::from(flag) != 0;
        let is_zero = section.elf_section_header().sh_type.get(LE) == elf::SHT_NOBITS;
        let is_constant = || section.name().is_ok_and(|name| name.starts_with(".data.rel.ro"));
        let is_written = has(elf::SHF_WRITE) && !is_constant();
        match () {
            () if has(elf::SHF_TLS) && is_zero => Kind::ThreadZero,
            () if has(elf::SHF_TLS) => Kind::ThreadData,
            () if has(elf::SHF_EXECINSTR) => Kind::Code,
            () if is_zero => Kind::Zero,
            () if is_written => Kind::Data,
            () if has(elf::SHF_WRITE) || !relocate::words(inputs, id).is_empty() => Kind::Corrected,
            () => Kind::Constant,
        }
    }
}

/// Where a section is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spot {
    /// Of a section of zeros that are thread-local, as if it were loaded behind the others.
    pub(super) address: u64,
    /// Its place in the file, unless it is all zeros.
    pub(super) file_offset: Option<usize>,
}

/// A part of the file and of memory.
#[derive(Clone, Copy, Debug, Default)]
struct Segment {
    kind: u32,
    flags: u32,
    offset: u64,
    address: u64,
    file_bytes: u64,
    bytes: u64,
    align: u64,
}

/// Every place in the executable.
pub(super) struct Layout {
    spots: BTreeMap<SectionId, Spot>,
    /// What the slots hold, for code that looks addresses up, and where the first one is.
    slots: Vec<Place>,
    slots_at: Spot,
    /// The table of words to correct, and the words by which it is found.
    table: Vec<u64>,
    table_at: Spot,
    dynamic_at: Spot,
    thread_local: Segment,
    segments: Vec<Segment>,
    file_bytes: u64,
}

/// Headers: themselves, four loaded segments, thread-local memory, the table's place, what is protected, and the word that the
/// stack isn't executable.
const N_HEADERS: usize = 9;

const HEADER_BYTES: u64 =
    (size_of::<FileHeader64<Endianness>>() + N_HEADERS * size_of::<ProgramHeader64<Endianness>>()) as u64;

/// Pairs of tag and value in the dynamic section.
const N_DYNAMIC: usize = 6;

impl Layout {
    pub(super) fn new(inputs: &Inputs<'_>, reached: &BTreeSet<SectionId>) -> Result<Layout> {
        // The table's size depends on where things are, and where things are on its size.
        let mut room = 0;
        loop {
            let mut layout = Layout::with_table(inputs, reached, room);
            layout.table = relative::table(&layout.addresses_to_correct(inputs)?);
            if layout.table.len() <= room {
                return Ok(layout);
            }
            room = layout.table.len();
        }
    }

    /// With room for a table of so many words.
    fn with_table(inputs: &Inputs<'_>, reached: &BTreeSet<SectionId>, n_words: usize) -> Layout {
        let slots = relocate::slots(inputs, reached);
        let mut sections: BTreeMap<Kind, Vec<SectionId>> = BTreeMap::new();
        for id in reached {
            sections.entry(Kind::of(inputs, *id)).or_default().push(*id);
        }
        let page = inputs.machine.page();
        let mut placer = Placer {
            inputs,
            sections,
            spots: BTreeMap::new(),
            file: HEADER_BYTES,
            address: BASE + HEADER_BYTES,
        };
        let mut constants = Segment {
            kind: elf::PT_LOAD,
            flags: elf::PF_R,
            address: BASE,
            align: page,
            ..Segment::default()
        };
        placer.put(Kind::Constant);
        let table_at = placer.words(n_words);
        placer.close(&mut constants);

        let mut code = placer.segment(elf::PF_R | elf::PF_X);
        placer.put(Kind::Code);
        placer.close(&mut code);

        let mut corrected = placer.segment(elf::PF_R | elf::PF_W);
        let mut thread_local = placer.thread_local();
        placer.put(Kind::Corrected);
        let slots_at = placer.words(slots.len());
        let dynamic_at = placer.words(2 * N_DYNAMIC);
        placer.close(&mut corrected);
        // Up to the end of its last page, so that all of it can be protected.
        placer.address = placer.address.next_multiple_of(page);
        corrected.bytes = placer.address - corrected.address;

        let mut data = placer.segment(elf::PF_R | elf::PF_W);
        placer.put(Kind::Data);
        placer.close(&mut data);
        let file_bytes = placer.file;
        placer.put(Kind::Zero);
        data.bytes = placer.address - data.address;
        thread_local.kind = elf::PT_TLS;
        let stack = Segment {
            kind: elf::PT_GNU_STACK,
            flags: elf::PF_R | elf::PF_W,
            align: 16,
            ..Segment::default()
        };
        let at = |kind, flags, address, offset, bytes| Segment {
            kind,
            flags,
            offset,
            address,
            file_bytes: bytes,
            bytes,
            align: 8,
        };
        let first = size_of::<FileHeader64<Endianness>>() as u64;
        let headers = at(elf::PT_PHDR, elf::PF_R, BASE + first, first, HEADER_BYTES - first);
        let dynamic_offset = dynamic_at.file_offset.map_or(0, |offset| offset as u64);
        let dynamic = at(
            elf::PT_DYNAMIC,
            elf::PF_R | elf::PF_W,
            dynamic_at.address,
            dynamic_offset,
            16 * N_DYNAMIC as u64,
        );
        let protected = Segment { kind: elf::PT_GNU_RELRO, flags: elf::PF_R, align: 1, ..corrected };
        let segments =
            vec![headers, constants, code, corrected, data, thread_local, dynamic, protected, stack];
        let table = Vec::new();
        Layout {
            spots: placer.spots,
            slots,
            slots_at,
            table,
            table_at,
            dynamic_at,
            thread_local,
            segments,
            file_bytes,
        }
    }

    /// The words that hold addresses, by address.
    fn addresses_to_correct(&self, inputs: &Inputs<'_>) -> Result<Vec<u64>> {
        let mut addresses = Vec::new();
        for (id, spot) in &self.spots {
            let words = relocate::words(inputs, *id);
            let kind = Kind::of(inputs, *id);
            let is_writable = matches!(kind, Kind::ThreadData | Kind::Corrected | Kind::Data);
            if let Some(offset) =
                words.iter().find(|offset| !is_writable || (spot.address + **offset) % 8 != 0)
            {
                let place = format!("{}, byte {offset} of its section {}", name(id.file), id.index);
                return Err(fault(place, "an address where none can be corrected"));
            }
            addresses.extend(words.iter().map(|offset| spot.address + offset));
        }
        let held = self.slots.iter().enumerate().filter(|(_, place)| matches!(place, Place::Section(..)));
        addresses.extend(held.map(|(idx, _)| self.slots_at.address + idx as u64 * 8));
        addresses.sort_unstable();
        addresses.dedup();
        Ok(addresses)
    }

    /// By what a loader, or the program itself, finds the table, and that nothing is left to do later.
    fn dynamic(&self) -> [u64; 2 * N_DYNAMIC] {
        const RELR_BYTES: u64 = 35;
        const RELR: u64 = 36;
        const RELR_ENTRY_BYTES: u64 = 37;
        const FLAGS: u64 = 30;
        const BIND_NOW: u64 = 8;
        const FLAGS_1: u64 = 0x6fff_fffb;
        const NOW_AND_PIE: u64 = 0x0800_0001;
        let bytes = self.table.len() as u64 * 8;
        let pairs = [(RELR, self.table_at.address), (RELR_BYTES, bytes), (RELR_ENTRY_BYTES, 8)];
        let flags = [(FLAGS, BIND_NOW), (FLAGS_1, NOW_AND_PIE), (0, 0)];
        let mut words = [0; 2 * N_DYNAMIC];
        for (idx, (tag, value)) in pairs.into_iter().chain(flags).enumerate() {
            (words[2 * idx], words[2 * idx + 1]) = (tag, value);
        }
        words
    }

    /// The sections that have a place, in the order of the objects.
    pub(super) fn sections(&self) -> impl Iterator<Item = SectionId> {
        self.spots.keys().copied()
    }

    pub(super) fn spot(&self, id: SectionId) -> Spot {
        self.spots[&id]
    }

    pub(super) fn address(&self, place: Place) -> u64 {
        match place {
            Place::Section(id, offset) => self.spots[&id].address.wrapping_add(offset),
            Place::Absolute(number) => number,
            Place::Nothing => 0,
        }
    }

    /// The address of the slot that holds a place's address.
    pub(super) fn slot(&self, place: Place) -> u64 {
        let idx = self.slots.iter().position(|slot| *slot == place);
        self.slots_at.address + idx.expect("a slot was made for each place that is looked up") as u64 * 8
    }

    /// From the start of a thread's variables to that address in their template.
    pub(super) fn thread_offset(&self, address: u64) -> u64 {
        address.wrapping_sub(self.thread_local.address)
    }

    /// Bytes and alignment of a thread's variables.
    pub(super) fn thread_memory(&self) -> (u64, u64) {
        (self.thread_local.bytes, self.thread_local.align)
    }

    /// The file, with nothing resolved yet but its slots.
    pub(super) fn image(&self, inputs: &Inputs<'_>, entry: Place) -> Result<Vec<u8>> {
        let mut image = vec![0; self.file_bytes as usize];
        let mut headers = bytes_of(&self.file_header(inputs.machine.number(), self.address(entry))).to_vec();
        self.segments
            .iter()
            .for_each(|segment| headers.extend_from_slice(bytes_of(&program_header(segment))));
        image[..headers.len()].copy_from_slice(&headers);
        for (id, spot) in &self.spots {
            let Some(offset) = spot.file_offset else { continue };
            let section = inputs.section(*id);
            let data = section
                .uncompressed_data()
                .map_err(|error| fault(name(id.file), format!("section {}: {error}", id.index)))?;
            image[offset..offset + data.len()].copy_from_slice(&data);
        }
        let mut put = |spot: Spot, words: &[u64]| {
            let start = spot.file_offset.expect("words are in the file");
            for (word, bytes) in words.iter().zip(image[start..].chunks_exact_mut(8)) {
                bytes.copy_from_slice(&word.to_le_bytes());
            }
        };
        let slots: Vec<u64> = self.slots.iter().map(|place| self.address(*place)).collect();
        put(self.slots_at, &slots);
        put(self.table_at, &self.table);
        put(self.dynamic_at, &self.dynamic());
        Ok(image)
    }

    fn file_header(&self, machine: u16, entry: u64) -> FileHeader64<Endianness> {
        FileHeader64 {
            e_ident: Ident {
                magic: elf::ELFMAG,
                class: elf::ELFCLASS64,
                data: elf::ELFDATA2LSB,
                version: elf::EV_CURRENT,
                os_abi: elf::ELFOSABI_NONE,
                abi_version: 0,
                padding: [0; 7],
            },
            e_type: U16::new(LE, elf::ET_DYN),
            e_machine: U16::new(LE, machine),
            e_version: U32::new(LE, elf::EV_CURRENT.into()),
            e_entry: U64::new(LE, entry),
            e_phoff: U64::new(LE, size_of::<FileHeader64<Endianness>>() as u64),
            e_shoff: U64::new(LE, 0),
            e_flags: U32::new(LE, 0),
            e_ehsize: U16::new(LE, size_of::<FileHeader64<Endianness>>() as u16),
            e_phentsize: U16::new(LE, size_of::<ProgramHeader64<Endianness>>() as u16),
            e_phnum: U16::new(LE, N_HEADERS as u16),
            e_shentsize: U16::new(LE, 0),
            e_shnum: U16::new(LE, 0),
            e_shstrndx: U16::new(LE, 0),
        }
    }
}

fn program_header(segment: &Segment) -> ProgramHeader64<Endianness> {
    ProgramHeader64 {
        p_type: U32::new(LE, segment.kind),
        p_flags: U32::new(LE, segment.flags),
        p_offset: U64::new(LE, segment.offset),
        p_vaddr: U64::new(LE, segment.address),
        p_paddr: U64::new(LE, segment.address),
        p_filesz: U64::new(LE, segment.file_bytes),
        p_memsz: U64::new(LE, segment.bytes),
        p_align: U64::new(LE, segment.align),
    }
}

/// Gives sections places, one behind the other.
struct Placer<'i, 'a> {
    inputs: &'i Inputs<'a>,
    sections: BTreeMap<Kind, Vec<SectionId>>,
    spots: BTreeMap<SectionId, Spot>,
    /// The next byte of the file and of memory.
    file: u64,
    address: u64,
}

impl Placer<'_, '_> {
    /// Room in file and memory.
    fn room(&mut self, bytes: u64, align: u64) -> (u64, u64) {
        let gap = self.address.next_multiple_of(align.max(1)) - self.address;
        let (file, address) = (self.file + gap, self.address + gap);
        (self.file, self.address) = (file + bytes, address + bytes);
        (file, address)
    }

    /// Room for so many words.
    fn words(&mut self, n_words: usize) -> Spot {
        let (offset, address) = self.room(n_words as u64 * 8, 8);
        Spot { address, file_offset: Some(offset as usize) }
    }

    fn put(&mut self, kind: Kind) {
        for id in self.sections.remove(&kind).unwrap_or_default() {
            let section = self.inputs.section(id);
            let (offset, address) = self.room(section.size(), section.align());
            let is_zero = matches!(kind, Kind::Zero | Kind::ThreadZero);
            let file_offset = (!is_zero).then_some(offset as usize);
            self.spots.insert(id, Spot { address, file_offset });
        }
    }

    /// Begins a segment: on a page of its own in memory, right here in the file.
    fn segment(&mut self, flags: u32) -> Segment {
        let align = self.inputs.machine.page();
        self.address = self.address.next_multiple_of(align) + self.file % align;
        let (offset, address) = (self.file, self.address);
        Segment { kind: elf::PT_LOAD, flags, offset, address, align, ..Segment::default() }
    }

    fn close(&self, segment: &mut Segment) {
        segment.bytes = self.address - segment.address;
        segment.file_bytes = segment.bytes;
    }

    /// Thread-local variables: what isn't zero, then what is, which takes no room in the file.
    fn thread_local(&mut self) -> Segment {
        let all = [Kind::ThreadData, Kind::ThreadZero];
        let of_kind = |kind| self.sections.get(kind).into_iter().flatten();
        let align = all.iter().flat_map(of_kind).map(|id| self.inputs.section(*id).align()).max();
        let align = align.unwrap_or(1).max(1);
        let (offset, address) = self.room(0, align);
        let mut segment = Segment { flags: elf::PF_R, offset, address, align, ..Segment::default() };
        self.put(Kind::ThreadData);
        self.close(&mut segment);
        let (file, next) = (self.file, self.address);
        self.put(Kind::ThreadZero);
        segment.bytes = self.address - address;
        (self.file, self.address) = (file, next);
        segment
    }
}
