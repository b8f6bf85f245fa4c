//! A shared ELF library -> what a loader would make of it, read by a closed list: segments, dynamic tags, symbols, relocations.
//!
//! Loaders look at segments and at what the dynamic section names, by address; section headers are for people, and nothing here reads
//! them. Segments must not share a page, so that each byte in memory has one place in the file.

use object::LittleEndian;
use object::elf::{self, FileHeader64};
use object::read::elf::{FileHeader as _, ProgramHeader as _, Sym as _};

use super::Faults;
use super::image::{Image, Section};
use super::machine::{Origin, Value};

const E: LittleEndian = LittleEndian;
const PAGE: u64 = 4096;
/// Of a library of ours: a handful.
const MOST_SYMBOLS: usize = 4096;
/// Addresses farther up are nobody's, and sums with them can't wrap.
const MOST_ADDRESS: u64 = 1 << 40;

/// Dynamic tags that say where the tables are, and how large.
const TABLES: [i64; 12] = [
    elf::DT_HASH,
    elf::DT_GNU_HASH,
    elf::DT_STRTAB,
    elf::DT_SYMTAB,
    elf::DT_STRSZ,
    elf::DT_SYMENT,
    elf::DT_RELA,
    elf::DT_RELASZ,
    elf::DT_RELAENT,
    elf::DT_RELACOUNT,
    elf::DT_SONAME,
    elf::DT_PLTGOT,
];

/// A segment in memory.
struct Segment<'a> {
    start: u64,
    bytes: &'a [u8],
    flags: u32,
}

impl Segment<'_> {
    fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }
}

/// The segments, and where the dynamic section is.
struct Memory<'a> {
    segments: Vec<Segment<'a>>,
    dynamic: Option<(u64, u64)>,
    /// What becomes read-only after loading.
    protected: Option<(u64, u64)>,
}

impl<'a> Memory<'a> {
    /// Those bytes, if they lie in one segment.
    fn bytes(&self, address: u64, length: u64) -> Option<&'a [u8]> {
        let end = address.checked_add(length)?;
        let segment =
            self.segments.iter().find(|segment| segment.start <= address && end <= segment.end())?;
        segment.bytes.get((address - segment.start) as usize..(end - segment.start) as usize)
    }

    /// The same, if nobody writes them, a loader neither.
    fn constant(&self, address: u64, length: u64) -> Option<&'a [u8]> {
        let bytes = self.bytes(address, length)?;
        let is_writable = |segment: &&Segment<'_>| segment.flags & elf::PF_W != 0;
        let touches = |segment: &Segment<'_>| address < segment.end() && segment.start < address + length;
        (!self.segments.iter().filter(is_writable).any(touches)).then_some(bytes)
    }

    fn word(&self, address: u64) -> Option<u32> {
        self.constant(address, 4)?.try_into().ok().map(u32::from_le_bytes)
    }
}

/// Whether a file is a program: what no loader takes for a library.
pub(super) fn is_program(header: &FileHeader64<LittleEndian>, bytes: &[u8]) -> bool {
    match header.e_type(E) {
        elf::ET_EXEC => true,
        elf::ET_DYN => says_program(header.program_headers(E, bytes).unwrap_or(&[]), bytes).is_some(),
        _ => false,
    }
}

/// Whether a position-independent file says that it is a program, in the memory where a loader looks.
fn says_program(headers: &[elf::ProgramHeader64<LittleEndian>], bytes: &[u8]) -> Option<()> {
    let mut memory = Memory { segments: Vec::new(), dynamic: None, protected: None };
    let mut end = 0u64;
    for header in headers {
        let start = header.p_vaddr(E);
        match header.p_type(E) {
            elf::PT_LOAD if start / PAGE * PAGE < end => return None,
            elf::PT_LOAD => {
                end = start.checked_add(header.p_memsz(E))?.checked_next_multiple_of(PAGE)?;
                let content = header.data(E, bytes).ok()?;
                start.checked_add(content.len() as u64)?;
                memory.segments.push(Segment { start, bytes: content, flags: header.p_flags(E) });
            }
            elf::PT_DYNAMIC if memory.dynamic.is_some() => return None,
            elf::PT_DYNAMIC => memory.dynamic = Some((start, header.p_memsz(E))),
            _ => {}
        }
    }
    let flags = tags(&memory)?.into_iter().filter(|(tag, _)| *tag == elf::DT_FLAGS_1);
    let [(_, flags)] = flags.collect::<Vec<_>>()[..] else { return None };
    (flags & u64::from(elf::DF_1_PIE) != 0).then_some(())
}

/// Whether a program can write what it can run.
pub(super) fn is_writable_and_executable(header: &FileHeader64<LittleEndian>, bytes: &[u8]) -> bool {
    let headers = header.program_headers(E, bytes).unwrap_or(&[]);
    let both = elf::PF_W | elf::PF_X;
    headers.iter().any(|header| match header.p_type(E) {
        elf::PT_LOAD => header.p_flags(E) & both == both,
        elf::PT_GNU_STACK => header.p_flags(E) & elf::PF_X != 0,
        _ => false,
    })
}

/// Reads a file. What is not on the list is a fault; `None` when there is nothing that could be walked.
pub(super) fn read<'a>(
    header: &FileHeader64<LittleEndian>,
    bytes: &'a [u8],
    faults: &mut Faults,
) -> Option<Image<'a>> {
    let headers = match header.program_headers(E, bytes) {
        Ok(headers) => headers,
        Err(error) => {
            faults.form.push(format!("program headers: {error}"));
            return None;
        }
    };
    if header.e_entry(E) != 0 {
        faults.form.push("an address at which a program starts".to_owned());
    }
    let memory = segments(headers, bytes, faults)?;
    let mut image = Image::default();
    for segment in &memory.segments {
        let name = match segment.flags {
            flags if flags & elf::PF_X != 0 => "the code",
            flags if flags & elf::PF_W != 0 => "what the loader writes",
            _ => "constants",
        };
        let is_code = segment.flags & elf::PF_X != 0;
        let (protected, length) = memory.protected.unwrap_or((0, 0));
        let is_protected = protected <= segment.start && segment.end() <= protected.saturating_add(length);
        if segment.flags & elf::PF_W != 0 && !is_protected {
            faults.writable.push(format!("a segment at {:#x}", segment.start));
        }
        let section = Section {
            name: name.to_owned(),
            origin: Origin::image(0),
            start: segment.start,
            bytes: segment.bytes,
            is_constant: segment.flags & elf::PF_W == 0,
        };
        if is_code { image.sections.insert(0, section) } else { image.sections.push(section) }
    }
    let n_code = memory.segments.iter().filter(|segment| segment.flags & elf::PF_X != 0).count();
    if n_code != 1 {
        faults.form.push(format!("{n_code} executable segments, expected one"));
        return None;
    }
    let Some(tags) = tags(&memory) else {
        faults.form.push("no dynamic section in a segment".to_owned());
        return None;
    };
    check_tags(&tags, faults);
    let of = |wanted: i64| tags.iter().find(|(tag, _)| *tag == wanted).map(|(_, value)| *value);
    if of(elf::DT_SYMENT).is_some_and(|size| size != 24) || of(elf::DT_RELAENT).is_some_and(|size| size != 24)
    {
        faults.form.push("symbols or relocations of another size".to_owned());
    }
    symbols(&memory, &of, &mut image, faults);
    relocations(&memory, &of, &mut image, faults);
    Some(image)
}

/// Segments as they are loaded. Overlapping ones, and those that a file holds in part only, aren't understood.
fn segments<'a>(
    headers: &[elf::ProgramHeader64<LittleEndian>],
    bytes: &'a [u8],
    faults: &mut Faults,
) -> Option<Memory<'a>> {
    let mut memory = Memory { segments: Vec::new(), dynamic: None, protected: None };
    let mut has_stack = false;
    for header in headers {
        let (start, size) = (header.p_vaddr(E), header.p_memsz(E));
        let flags = header.p_flags(E);
        match header.p_type(E) {
            elf::PT_LOAD => {
                let known = [elf::PF_R, elf::PF_R | elf::PF_X, elf::PF_R | elf::PF_W];
                let is_known = known.contains(&flags) && header.p_filesz(E) == size;
                let before = memory.segments.last().map_or(0, |segment| segment.end().next_multiple_of(PAGE));
                let is_apart = before <= start / PAGE * PAGE && start % PAGE == header.p_offset(E) % PAGE;
                let end = start.checked_add(size).filter(|end| *end <= MOST_ADDRESS);
                let content = header.data(E, bytes).ok().filter(|content| content.len() as u64 == size);
                match (content, end) {
                    (Some(content), Some(_)) if is_known && is_apart => {
                        memory.segments.push(Segment { start, bytes: content, flags });
                    }
                    _ => faults.form.push(format!(
                        "a segment at {start:#x} of {size} bytes with flags {flags:#x}, expected pages of its own from \
                         the file, and not both writable and executable"
                    )),
                }
            }
            elf::PT_DYNAMIC if memory.dynamic.is_none() => memory.dynamic = Some((start, size)),
            elf::PT_GNU_STACK if !has_stack && flags & elf::PF_X == 0 => has_stack = true,
            elf::PT_GNU_STACK => {
                has_stack = true;
                faults.form.push("an executable stack is asked for".to_owned());
            }
            elf::PT_GNU_RELRO if memory.protected.is_none() => memory.protected = Some((start, size)),
            elf::PT_NULL => {}
            kind => faults.form.push(format!("a program header of type {kind:#x}")),
        }
    }
    if !has_stack {
        faults.form.push("no program header for the stack: loaders make it executable".to_owned());
    }
    (!memory.segments.is_empty()).then_some(memory)
}

/// The dynamic section as a loader reads it, up to its end.
fn tags(memory: &Memory<'_>) -> Option<Vec<(i64, u64)>> {
    let (start, size) = memory.dynamic?;
    let content = memory.bytes(start, size)?;
    let number = |bytes: &[u8; 8]| u64::from_le_bytes(*bytes);
    let rows = content.as_chunks::<16>().0.iter().map(|row| {
        let (words, _) = row.as_chunks::<8>();
        (number(&words[0]) as i64, number(&words[1]))
    });
    let rows: Vec<_> = rows.take_while(|(tag, _)| *tag != 0).collect();
    // The end must be there, or a loader reads on.
    (rows.len() * 16 < content.len()).then_some(rows)
}

fn check_tags(tags: &[(i64, u64)], faults: &mut Faults) {
    for (idx, (tag, value)) in tags.iter().enumerate() {
        let is_known = match *tag {
            _ if TABLES.contains(tag) => true,
            elf::DT_FLAGS => value & !u64::from(elf::DF_BIND_NOW) == 0,
            elf::DT_FLAGS_1 => value & !u64::from(elf::DF_1_NOW) == 0,
            elf::DT_BIND_NOW => true,
            _ => false,
        };
        if !is_known {
            faults.form.push(format!("dynamic tag {} of value {value:#x}", tag_name(*tag)));
        }
        if tags[..idx].iter().any(|(other, _)| other == tag) {
            faults.form.push(format!("dynamic tag {} twice", tag_name(*tag)));
        }
    }
}

/// The tags that people know, for messages.
fn tag_name(tag: i64) -> String {
    let name = match tag {
        elf::DT_NEEDED => "DT_NEEDED",
        elf::DT_INIT => "DT_INIT",
        elf::DT_FINI => "DT_FINI",
        elf::DT_INIT_ARRAY => "DT_INIT_ARRAY",
        elf::DT_FINI_ARRAY => "DT_FINI_ARRAY",
        elf::DT_PREINIT_ARRAY => "DT_PREINIT_ARRAY",
        elf::DT_TEXTREL => "DT_TEXTREL",
        elf::DT_RPATH => "DT_RPATH",
        elf::DT_RUNPATH => "DT_RUNPATH",
        elf::DT_JMPREL => "DT_JMPREL",
        elf::DT_FLAGS => "DT_FLAGS",
        elf::DT_FLAGS_1 => "DT_FLAGS_1",
        _ => return format!("{tag:#x}"),
    };
    name.to_owned()
}

/// How many symbols the hash tables lead to: a loader finds no other.
fn n_symbols(memory: &Memory<'_>, of: &dyn Fn(i64) -> Option<u64>) -> Option<usize> {
    let mut most = 0;
    if let Some(at) = of(elf::DT_HASH) {
        most = memory.word(at.checked_add(4)?)? as usize;
    }
    if let Some(at) = of(elf::DT_GNU_HASH) {
        let field = |idx: u64| memory.word(at.checked_add(idx * 4)?);
        let (n_buckets, first, n_bloom) = (field(0)?, field(1)?, field(2)?);
        let buckets = at.checked_add(16)?.checked_add(u64::from(n_bloom) * 8)?;
        let chains = buckets.checked_add(u64::from(n_buckets) * 4)?;
        if MOST_SYMBOLS < n_buckets as usize {
            return None;
        }
        for bucket in 0..u64::from(n_buckets) {
            let mut symbol = memory.word(buckets + bucket * 4)?;
            if symbol == 0 {
                continue;
            }
            loop {
                if MOST_SYMBOLS < symbol as usize {
                    return None;
                }
                most = most.max(symbol as usize + 1);
                let chain = u64::from(symbol.checked_sub(first)?);
                if memory.word(chains.checked_add(chain * 4)?)? & 1 != 0 {
                    break;
                }
                symbol += 1;
            }
        }
    }
    (most <= MOST_SYMBOLS).then_some(most)
}

fn symbols(memory: &Memory<'_>, of: &dyn Fn(i64) -> Option<u64>, image: &mut Image<'_>, faults: &mut Faults) {
    let table = n_symbols(memory, of).and_then(|n_symbols| {
        let table = memory.constant(of(elf::DT_SYMTAB)?, n_symbols as u64 * 24)?;
        let (rows, _) = object::pod::slice_from_bytes::<elf::Sym64<LittleEndian>>(table, n_symbols).ok()?;
        Some((rows, memory.constant(of(elf::DT_STRTAB)?, of(elf::DT_STRSZ)?)?))
    });
    let Some((rows, strings)) = table else {
        return faults.form.push("a table of symbols that isn't constant, or too large".to_owned());
    };
    for symbol in rows.iter().skip(1) {
        let rest = strings.get(symbol.st_name(E) as usize..).unwrap_or(&[]);
        let Some(end) = rest.iter().position(|byte| *byte == 0) else {
            faults.form.push("a symbol's name without an end".to_owned());
            continue;
        };
        let name = String::from_utf8_lossy(&rest[..end]).into_owned();
        let (kind, bind, other) = (symbol.st_type(), symbol.st_bind(), symbol.st_other());
        let index = symbol.st_shndx(E);
        if index == elf::SHN_UNDEF {
            faults.undefined.push(name);
            continue;
        }
        let place = image.code_place(Value::at(Origin::image(0), symbol.st_value(E)));
        let is_function = kind == elf::STT_FUNC && bind == elf::STB_GLOBAL && other == elf::STV_DEFAULT;
        match place.filter(|_| is_function && index < elf::SHN_LORESERVE) {
            Some(place) if image.functions.insert(name.clone(), place).is_none() => {}
            Some(_) => faults.form.push(format!("a second symbol {name}")),
            None => faults.form.push(format!(
                "symbol {name} of type {kind}, binding {bind} and visibility {other}, expected a global function in the code"
            )),
        }
        faults.exported.push(name);
    }
}

/// What a loader writes: addresses of the library's own parts, into words that only it writes.
fn relocations(
    memory: &Memory<'_>,
    of: &dyn Fn(i64) -> Option<u64>,
    image: &mut Image<'_>,
    faults: &mut Faults,
) {
    const MOST: u64 = 4096;
    let size = of(elf::DT_RELASZ).unwrap_or(0);
    if size == 0 {
        return;
    }
    let content = of(elf::DT_RELA).filter(|_| size <= MOST * 24).and_then(|at| memory.constant(at, size));
    let Some(content) = content else {
        return faults.form.push("relocations that aren't constant, or too many".to_owned());
    };
    let dynamic = memory.dynamic.unwrap_or((0, 0));
    for row in content.as_chunks::<24>().0 {
        let (words, _) = row.as_chunks::<8>();
        let [at, info, addend] = [words[0], words[1], words[2]].map(u64::from_le_bytes);
        let is_writable = memory.segments.iter().any(|segment| {
            segment.flags & elf::PF_W != 0
                && segment.start <= at
                && at.checked_add(8).is_some_and(|end| end <= segment.end())
        });
        let is_dynamic = at < dynamic.0.saturating_add(dynamic.1) && dynamic.0 < at.saturating_add(8);
        if info != u64::from(elf::R_X86_64_RELATIVE) || !is_writable || is_dynamic {
            faults.form.push(format!(
                "a relocation of kind {} at {at:#x}, expected addresses of the library's own in what the loader writes",
                info as u32
            ));
            continue;
        }
        let value = Value::at(Origin::image(0), addend);
        image.words.insert(Value::at(Origin::image(0), at), value);
    }
}
