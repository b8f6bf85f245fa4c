//! An object, read back: what it holds, and whether it keeps its promises. The proof is in the bytes; nothing that the
//! compiler knew is asked.
//!
//! Structure (symbols, sections, relocations) is read off any object or shared library. Of x86-64 code the machine in
//! [`machine`] walks every instruction that a call of an entry point runs, with real pointers and loop counters and
//! without the arithmetic on vectors: where it reads, writes and jumps doesn't depend on numbers, so one walk stands for
//! all runs. It knows nothing of kernels or plans.

mod image;
pub mod machine;
mod walk;

use mnc_runtime::info::Info;
use object::{Object, ObjectSection, ObjectSymbol, SectionFlags, SectionKind, elf};
use serde::Serialize;

use crate::error::{Error, ErrorKind, Result};
use image::Image;
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

/// Reads a file.
///
/// # Errors
/// What isn't an object file, library or program that we can read.
pub fn inspect(bytes: &[u8]) -> Result<Report> {
    let file = object::File::parse(bytes).map_err(|error| {
        fault("file", format!("{error}, expected an object, library or executable of mnc"))
    })?;
    let info = find_info(bytes);
    let name = info.as_ref().map_or("", |info| info.name.as_str());
    let mut promises = vec![undefined(&file), writable(&file, bytes), exports(&file, name)];
    if info.is_none() {
        let found = "found none, expected the JSON that mnc puts into each object".to_owned();
        promises.push(Promise { promise: "description", kept: Some(false), found });
    }
    let walks = match &info {
        Some(info) => walks(&file, info, &mut promises)?,
        None => Vec::new(),
    };
    let bytes_of = |wanted: &dyn Fn(SectionKind) -> bool| {
        file.sections().filter(|section| wanted(section.kind())).map(|section| section.size()).sum()
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
        info,
    })
}

fn fault(place: &str, detail: String) -> Error {
    Error::new(ErrorKind::Io, place, detail)
}

/// The description that every artefact carries, by the bytes with which it begins: executables have no symbols.
fn find_info(bytes: &[u8]) -> Option<Info> {
    const START: &[u8] = b"{\"schema\":";
    let mut starts = bytes.windows(START.len()).enumerate().filter(|(_, window)| *window == START);
    starts.find_map(|(at, _)| {
        let end = bytes[at..].iter().position(|byte| *byte == 0)?;
        Info::from_json(&bytes[at..at + end]).ok()
    })
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

/// Executables bring their launcher, which asks for a C library.
fn undefined(file: &object::File<'_>) -> Promise {
    let symbols = file.symbols().chain(file.dynamic_symbols());
    let mut names: Vec<String> = symbols
        .filter(|symbol| symbol.is_undefined())
        .filter_map(|symbol| Some(symbol.name().ok()?.to_owned()))
        .filter(|name| !name.is_empty())
        .collect();
    names.sort();
    names.dedup();
    if is_program(file) && !names.is_empty() {
        let found = format!("a program, which asks its C library for {}", names.len());
        return Promise { promise: "no undefined symbol", kept: None, found };
    }
    verdict("no undefined symbol", &names, "none")
}

/// Whether a file is a program. Position-independent ones look like libraries, but ask for a loader.
fn is_program(file: &object::File<'_>) -> bool {
    file.kind() == object::ObjectKind::Executable || file.section_by_name(".interp").is_some()
}

fn writable(file: &object::File<'_>, bytes: &[u8]) -> Promise {
    const PROMISE: &str = "no writable section";
    if is_program(file) {
        let both = writable_and_executable(bytes);
        let found = if both {
            "a segment is writable and executable"
        } else {
            "a program; none is writable and executable"
        };
        return Promise {
            promise: PROMISE,
            kept: if both { Some(false) } else { None },
            found: found.to_owned(),
        };
    }
    // What the linker of a shared library writes for the loader is written once, before the library runs.
    let is_loaders =
        |name: &str| [".dynamic", ".got", ".got.plt", ".eh_frame", ".data.rel.ro"].contains(&name);
    let names: Vec<String> = file
        .sections()
        .filter(|section| section.size() != 0)
        .filter(|section| match section.flags() {
            SectionFlags::Elf { sh_flags } => {
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
        .collect();
    verdict(PROMISE, &names, "none")
}

fn writable_and_executable(bytes: &[u8]) -> bool {
    use object::read::elf::{ElfFile64, FileHeader as _, ProgramHeader as _};
    let Ok(file) = ElfFile64::<object::Endianness>::parse(bytes) else { return false };
    let headers = file.elf_header().program_headers(file.endian(), bytes).unwrap_or(&[]);
    let both = elf::PF_W | elf::PF_X;
    headers.iter().any(|header| {
        header.p_type(file.endian()) == elf::PT_LOAD && header.p_flags(file.endian()) & both == both
    })
}

fn exports(file: &object::File<'_>, name: &str) -> Promise {
    const PROMISE: &str = "exports begin with the network's name";
    if is_program(file) {
        return Promise { promise: PROMISE, kept: None, found: "a program".to_owned() };
    }
    let symbols: Vec<String> = exported(file).collect();
    let prefix = format!("{name}_");
    let others: Vec<String> = symbols.iter().filter(|symbol| !symbol.starts_with(&prefix)).cloned().collect();
    verdict(PROMISE, &others, &symbols.join(", "))
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

/// Walks every entry point and adds what that proves.
fn walks(file: &object::File<'_>, info: &Info, promises: &mut Vec<Promise>) -> Result<Vec<Walk>> {
    const MEMORY: &str = "every access inside its buffers";
    const STACK: &str = "stack known and given back";
    let unknown = |promise, found: &str| Promise { promise, kept: None, found: found.to_owned() };
    if file.architecture() != object::Architecture::X86_64 || file.format() != object::BinaryFormat::Elf {
        let found = "not told: only x86-64 code in ELF files is walked";
        promises.extend([unknown(MEMORY, found), unknown(STACK, found)]);
        return Ok(Vec::new());
    }
    if is_program(file) {
        promises
            .push(unknown(MEMORY, "a program: its symbols are gone; inspect the object of the same network"));
        promises.push(unknown(STACK, "a program: its symbols are gone"));
        return Ok(Vec::new());
    }
    let image = Image::load(file).map_err(|detail| fault("file", detail))?;
    let mut walks = Vec::new();
    let mut faults = Vec::new();
    for symbol in exported(file) {
        match walk::entry(&image, info, &symbol) {
            Some(Ok(walk)) => walks.push(walk),
            Some(Err(violation)) => faults.push(format!("{symbol}: {violation}")),
            None => promises.push(unknown(MEMORY, &format!("{symbol} is not an entry point that is walked"))),
        }
    }
    let accesses: u64 = walks.iter().map(|walk| walk.accesses).sum();
    let instructions: u64 = walks.iter().map(|walk| walk.instructions).sum();
    let kept = format!("{accesses} accesses in {instructions} instructions");
    promises.push(verdict(MEMORY, &faults, &kept));
    if faults.is_empty() {
        let depth = walks.iter().map(|walk| walk.stack_bytes).max().unwrap_or(0);
        let found = format!("{depth} bytes; registers of the caller as they were");
        promises.push(Promise { promise: STACK, kept: Some(true), found });
    }
    Ok(walks)
}
