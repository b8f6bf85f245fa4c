//! An object, read back: what it holds, and whether it keeps its promises. The proof is in the bytes; nothing that the
//! compiler knew is asked.
//!
//! Structure (symbols, sections, relocations) is read off any object or shared library. Of x86-64 code the machine in
//! `machine` walks every instruction that a call of an entry point runs, with real pointers and loop counters and
//! without the arithmetic on vectors: where it reads, writes and jumps doesn't depend on numbers, so one walk stands for
//! all runs. Of plans it knows what the file itself says of its workspace.

mod image;
mod library;
mod machine;
mod object_file;
#[doc(hidden)]
pub mod probe;
mod walk;

use mnc_runtime::info::Info;
use object::elf::{self, FileHeader64};
use object::read::elf::FileHeader as _;
use object::{LittleEndian, Object, ObjectSection, ObjectSymbol, SectionKind};
use serde::Serialize;

use crate::error::{Error, ErrorKind, Place, Result};
use image::Image;
use walk::Description;
pub use walk::Walk;

/// A promise, and whether the file keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Promise {
    /// What is promised.
    pub promise: &'static str,
    /// `Some(false)`: broken; `None`: this file doesn't let us tell.
    pub kept: Option<bool>,
    /// What was found.
    pub found: String,
}

/// All that a file says.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// `elf`, `mach-o` or `coff`, and what kind of file.
    pub format: String,
    /// What the network says of itself; `None` when the file holds no description.
    pub info: Option<Info>,
    /// Bytes of machine code, with its tables and constants.
    pub code_bytes: u64,
    /// Bytes that are only read: weights, the description.
    pub constant_bytes: u64,
    /// Relocations by kind.
    pub relocations: Vec<(String, usize)>,
    /// Bytes of stack below the caller's, for the deepest of the entry points; `None` when the code wasn't walked.
    pub stack_bytes: Option<u64>,
    /// What was walked: an entry for each entry point.
    pub walks: Vec<Walk>,
    /// The promises.
    pub promises: Vec<Promise>,
}

impl Report {
    /// Whether no promise is broken.
    pub fn is_kept(&self) -> bool {
        self.promises.iter().all(|promise| promise.kept != Some(false))
    }
}

/// What is wrong with a file's structure, by promise.
#[derive(Debug, Default)]
struct Faults {
    undefined: Vec<String>,
    writable: Vec<String>,
    /// What isn't on the list of what is understood.
    form: Vec<String>,
    /// All names that others see; no faults by themselves.
    exported: Vec<String>,
}

const UNDEFINED: &str = "no undefined symbol";
const WRITABLE: &str = "no writable section";
const FORM: &str = "nothing that isn't understood";
const EXPORTS: &str = "exports begin with the network's name";
const ENTRIES: &str = "the entries of its description, and no others";
const MEMORY: &str = "every access inside its buffers";
const STACK: &str = "stack known and given back";

/// Reads a file.
///
/// # Errors
/// What isn't an object file, library or program that we can read.
pub fn inspect(bytes: &[u8]) -> Result<Report> {
    let file = object::File::parse(bytes).map_err(|error| {
        fault("file", format!("{error}, expected an object, library or executable of mnc"))
    })?;
    let mut faults = Faults::default();
    let mut image = None;
    let header = elf_header(bytes);
    let is_program = match header {
        Some(header) => library::is_program(header, bytes) || prepares(&file),
        None => file.kind() == object::ObjectKind::Executable,
    };
    let is_x86 = file.architecture() == object::Architecture::X86_64;
    match header {
        _ if is_program => {}
        Some(header) if header.e_type(LittleEndian) == elf::ET_REL => {
            image = object_file::read(header, bytes, &mut faults);
        }
        Some(header) if is_x86 => image = library::read(header, bytes, &mut faults),
        _ => {
            faults.undefined = undefined(&file);
            faults.writable = writable(&file);
            faults.exported = exported(&file).collect();
        }
    }
    let image = image.filter(|_| is_x86);
    let (description, told) = find_description(bytes, image.as_ref());
    let name = description.as_ref().map_or("", |description| description.info.name.as_str());
    let mut promises = Vec::new();
    if is_program {
        let header = header.filter(|header| library::is_writable_and_executable(header, bytes));
        programs(&file, header.is_some(), name, &mut promises);
    } else {
        promises.push(verdict(UNDEFINED, &faults.undefined, "none"));
        promises.push(verdict(WRITABLE, &faults.writable, "none"));
        let prefix = format!("{name}_");
        let others: Vec<String> =
            faults.exported.iter().filter(|symbol| !symbol.starts_with(&prefix)).cloned().collect();
        promises.push(verdict(EXPORTS, &others, &faults.exported.join(", ")));
        if header.is_some() {
            promises.push(verdict(FORM, &faults.form, "sections, symbols and relocations of our own"));
        }
    }
    if let Err(found) = told {
        promises.push(Promise { promise: "description", kept: Some(false), found });
    }
    let mut walks = Vec::new();
    match (&description, &image) {
        (Some(description), Some(image)) => {
            walks = walk_all(image, description, &faults.exported, &mut promises);
        }
        (_, None) if is_x86 && header.is_some() && !is_program => {
            let found = "there is nothing in it that can be walked".to_owned();
            promises.push(Promise { promise: MEMORY, kept: Some(false), found });
        }
        (Some(_), None) => {
            let found = if is_program {
                "a program, or a library with one's code: its symbols are gone; inspect the object of the same network"
            } else {
                "not told: only x86-64 code in ELF files is walked"
            };
            promises.extend([MEMORY, STACK].map(|promise| unknown(promise, found)));
        }
        (None, _) => {}
    }
    let bytes_of = |wanted: &dyn Fn(SectionKind) -> bool| {
        let sections = file.sections().filter(|section| wanted(section.kind()));
        sections.fold(0u64, |all, section| all.saturating_add(section.size()))
    };
    Ok(Report {
        format: format!("{:?} {:?}, {:?}", file.format(), file.kind(), file.architecture()).to_lowercase(),
        code_bytes: bytes_of(&|kind| kind == SectionKind::Text),
        constant_bytes: bytes_of(&|kind| {
            matches!(kind, SectionKind::ReadOnlyData | SectionKind::ReadOnlyString)
        }),
        relocations: relocations(&file),
        stack_bytes: walks.iter().map(|walk| walk.stack_bytes).max(),
        walks,
        promises,
        info: description.map(|description| description.info),
    })
}

fn fault(place: &str, detail: String) -> Error {
    Error::new(ErrorKind::Io, Place::named(place), detail)
}

fn unknown(promise: &'static str, found: &str) -> Promise {
    Promise { promise, kept: None, found: found.to_owned() }
}

/// The header of an ELF file of our kind: 64 bits, little-endian.
fn elf_header(bytes: &[u8]) -> Option<&FileHeader64<LittleEndian>> {
    let header = FileHeader64::<LittleEndian>::parse(bytes).ok()?;
    header.endian().ok()?;
    Some(header)
}

/// The description, and whether it is where it should be: what `NAME_info` returns, where that can be walked; otherwise by
/// the bytes with which each begins, for executables have no symbols.
fn find_description(
    bytes: &[u8],
    image: Option<&Image<'_>>,
) -> (Option<Description>, std::result::Result<(), String>) {
    const START: &[u8] = b"{\"schema\":";
    const MOST: usize = 64;
    let starts = bytes.windows(START.len()).enumerate().filter(|(_, window)| *window == START).take(MOST);
    let first = || starts.map(|(at, _)| at).find_map(|at| Description::of(&bytes[at..]).ok());
    let Some(image) = image else {
        let description = first();
        let found = "found none, expected the JSON that mnc puts into each object";
        let told = if description.is_some() { Ok(()) } else { Err(found.to_owned()) };
        return (description, told);
    };
    let mut told = Err("found no function NAME_info, expected one that returns the description".to_owned());
    for (symbol, function) in image.functions.iter().filter(|(symbol, _)| symbol.ends_with("_info")).take(8) {
        match walk::description(image, *function) {
            Ok((description, _)) if format!("{}_info", description.info.name) == *symbol => {
                return (Some(description), Ok(()));
            }
            Ok((Description { info, .. }, _)) => {
                told = Err(format!("{symbol} returns the description of a network called {}", info.name));
            }
            Err(fault) => told = Err(format!("{symbol}: {fault}")),
        }
    }
    (first(), told)
}

/// The number of names, and the first few.
fn list(names: &[String]) -> String {
    const SHOWN: usize = 5;
    let shown = names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    if SHOWN < names.len() {
        format!("{}: {shown}, …", names.len())
    } else {
        format!("{}: {shown}", names.len())
    }
}

fn verdict(promise: &'static str, broken: &[String], kept: &str) -> Promise {
    let found = if broken.is_empty() { kept.to_owned() } else { list(broken) };
    Promise { promise, kept: Some(broken.is_empty()), found }
}

/// Programs bring their launcher, which asks for a C library; a file that offers functions as a library does is none.
fn programs(file: &object::File<'_>, is_open: bool, name: &str, promises: &mut Vec<Promise>) {
    let names = undefined(file);
    if names.is_empty() {
        promises.push(Promise { promise: UNDEFINED, kept: Some(true), found: "none".to_owned() });
    } else {
        let found = format!("a program, which asks its C library for {}", names.len());
        promises.push(unknown(UNDEFINED, &found));
    }
    promises.push(if is_open {
        let found = "a segment, or the stack, is writable and executable".to_owned();
        Promise { promise: WRITABLE, kept: Some(false), found }
    } else {
        unknown(WRITABLE, "a program; none is writable and executable")
    });
    let prefix = format!("{name}_");
    let symbols = file.dynamic_symbols().filter(|symbol| symbol.is_definition());
    let offered: Vec<String> = symbols.filter_map(|symbol| Some(symbol.name().ok()?.to_owned())).collect();
    let offered: Vec<String> =
        offered.into_iter().filter(|symbol| !name.is_empty() && symbol.starts_with(&prefix)).collect();
    promises.push(if prepares(file) {
        unknown(EXPORTS, &format!("a library for Python: {}, mnc_prepare", list(&offered)))
    } else if offered.is_empty() {
        unknown(EXPORTS, "a program")
    } else {
        let found = format!("a program that offers functions as a library does: {}", list(&offered));
        Promise { promise: EXPORTS, kept: Some(false), found }
    });
}

fn undefined(file: &object::File<'_>) -> Vec<String> {
    let symbols = file.symbols().chain(file.dynamic_symbols());
    let mut names: Vec<String> = symbols
        .filter(|symbol| symbol.is_undefined())
        .filter_map(|symbol| Some(symbol.name().ok()?.to_owned()))
        .filter(|name| !name.is_empty())
        .collect();
    names.sort();
    names.dedup();
    names
}

fn writable(file: &object::File<'_>) -> Vec<String> {
    // What the linker of a shared library writes for the loader is written once, before the library runs.
    let is_loaders =
        |name: &str| [".dynamic", ".got", ".got.plt", ".eh_frame", ".data.rel.ro"].contains(&name);
    file.sections()
        .filter(|section| section.size() != 0)
        .filter(|section| match section.flags() {
            object::SectionFlags::Elf { sh_flags } => {
                let needed = u64::from(elf::SHF_ALLOC | elf::SHF_WRITE);
                sh_flags & needed == needed
            }
            _ => matches!(
                section.kind(),
                SectionKind::Data | SectionKind::UninitializedData | SectionKind::Common
            ),
        })
        .filter_map(|section| Some(section.name().ok()?.to_owned()))
        .filter(|name| file.kind() != object::ObjectKind::Dynamic || !is_loaders(name))
        .collect()
}

/// Exported symbols, without the underscore that C names carry in Mach-O files.
fn exported<'a>(file: &'a object::File<'a>) -> impl Iterator<Item = String> + 'a {
    let is_library = file.kind() == object::ObjectKind::Dynamic;
    let symbols = if is_library { file.dynamic_symbols() } else { file.symbols() };
    let underscore = file.format() == object::BinaryFormat::MachO;
    symbols.filter(|symbol| symbol.is_global() && symbol.is_definition()).filter_map(move |symbol| {
        let name = symbol.name().ok()?;
        Some(if underscore { name.trim_start_matches('_').to_owned() } else { name.to_owned() })
    })
}

/// Whether a library has the launcher's preparation of pictures in it, as those for Python have.
fn prepares(file: &object::File<'_>) -> bool {
    file.kind() == object::ObjectKind::Dynamic && exported(file).any(|symbol| symbol == "mnc_prepare")
}

fn relocations(file: &object::File<'_>) -> Vec<(String, usize)> {
    let mut counts = std::collections::BTreeMap::new();
    for section in file.sections() {
        for (_, relocation) in section.relocations() {
            let kind = format!("{:?} {:?}", relocation.kind(), relocation.encoding()).to_lowercase();
            *counts.entry(kind).or_insert(0) += 1;
        }
    }
    counts.into_iter().collect()
}

/// Walks every entry point that there must be, and adds what that proves.
fn walk_all(
    image: &Image<'_>,
    description: &Description,
    exported: &[String],
    promises: &mut Vec<Promise>,
) -> Vec<Walk> {
    let info = &description.info;
    let promised = walk::promised(info);
    let symbol = |name: &str| format!("{}_{name}", info.name);
    let mut missing: Vec<String> = Vec::new();
    for name in &promised {
        let symbol = symbol(name);
        if !image.functions.contains_key(&symbol) {
            missing.push(format!("found no function {symbol}"));
        }
    }
    let others = exported.iter().filter(|other| !promised.iter().any(|name| symbol(name) == **other));
    let faults: Vec<String> =
        missing.into_iter().chain(others.map(|other| format!("{other} is no entry of it"))).collect();
    promises.push(verdict(ENTRIES, &faults, &format!("{} of {}", promised.len(), promised.len())));
    let (mut walks, mut faults) = (Vec::new(), Vec::new());
    match walk::Sizes::of(description) {
        Ok(sizes) => {
            for name in promised {
                let symbol = symbol(name);
                let Some(function) = image.functions.get(&symbol).copied() else { continue };
                let entry = walk::Entry { image, info, sizes: &sizes, name, function };
                match entry.walk() {
                    Ok(walk) => walks.push(walk),
                    Err(violation) => faults.push(format!("{symbol}: {violation}")),
                }
            }
        }
        Err(fault) => faults.push(fault),
    }
    if walks.is_empty() && faults.is_empty() {
        faults.push("no entry was walked".to_owned());
    }
    let accesses = walks.iter().fold(0u64, |all, walk| all.saturating_add(walk.accesses));
    let instructions = walks.iter().fold(0u64, |all, walk| all.saturating_add(walk.instructions));
    promises.push(verdict(MEMORY, &faults, &format!("{accesses} accesses in {instructions} instructions")));
    if faults.is_empty() {
        let depth = walks.iter().map(|walk| walk.stack_bytes).max().unwrap_or(0);
        let found = format!("{depth} bytes; registers of the caller as they were");
        promises.push(Promise { promise: STACK, kept: Some(true), found });
    }
    walks
}
