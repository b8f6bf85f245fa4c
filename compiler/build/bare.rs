//! The launcher without a C library, for each architecture of Linux: compiled, never linked, so that it takes the
//! standard library of the target and no linker for it.

use std::collections::{HashMap, HashSet};
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use object::read::archive::ArchiveFile;
use object::{
    File, Object, ObjectSection, ObjectSymbol, RelocationTarget, SectionFlags, SymbolFlags, SymbolKind,
};
use object::{SymbolSection, elf, write};

use super::{cargo_rustc, variable};

const TARGETS: [&str; 2] = ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"];

/// Leaves the objects in `out_dir` and returns the Rust expression that embeds them.
pub(super) fn build(manifest: &Path, build_dir: &Path, out_dir: &Path) -> Result<String, String> {
    let mut source = String::from("[\n");
    for target in TARGETS {
        let objects = if has_standard_library(target) {
            let paths = target_objects(manifest, build_dir, out_dir, target)?;
            let includes: Vec<String> =
                paths.iter().map(|path| format!("include_bytes!({path:?})")).collect();
            format!("Some(&[{}])", includes.join(", "))
        } else {
            "None".to_owned()
        };
        source += &format!("    BareLauncher {{ triple: {target:?}, objects: {objects} }},\n");
    }
    source += "]\n";
    Ok(source)
}

fn has_standard_library(target: &str) -> bool {
    let output =
        Command::new(variable("RUSTC")).args(["--print", "target-libdir", "--target", target]).output();
    let folder = output.ok().map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    folder.is_some_and(|folder| {
        fs::read_dir(folder).is_ok_and(|mut entries| {
            entries.any(|entry| {
                entry.is_ok_and(|entry| entry.file_name().to_string_lossy().starts_with("libstd-"))
            })
        })
    })
}

fn target_objects(
    manifest: &Path,
    build_dir: &Path,
    out_dir: &Path,
    target: &str,
) -> Result<Vec<PathBuf>, String> {
    // Code of a program that is loaded anywhere, and that still finds thread-local variables in one instruction.
    let flags = ["--cfg", "mnc_main", "--cfg", "mnc_bare", "-C", "relocation-model=pie"];
    let archive = cargo_rustc(manifest, build_dir, (target, "bare"), &flags)?;
    let bytes = fs::read(&archive).map_err(|error| format!("{}: {error}", archive.display()))?;
    let fault = |error: object::Error| format!("{}: {error}", archive.display());
    let mut paths = Vec::new();
    for (idx, member) in needed(&bytes).map_err(fault)?.into_iter().enumerate() {
        let path = out_dir.join(format!("bare-{target}-{idx}.o"));
        let stripped = strip(member).map_err(|error| format!("{}: {error}", archive.display()))?;
        fs::write(&path, stripped).map_err(|error| format!("{}: {error}", path.display()))?;
        paths.push(path);
    }
    Ok(paths)
}

/// The members of an archive that define what the entry needs, and what they need.
fn needed(archive: &[u8]) -> object::Result<Vec<&[u8]>> {
    let file = ArchiveFile::parse(archive)?;
    let members: Vec<&[u8]> = file.members().map(|member| member?.data(archive)).collect::<Result<_, _>>()?;
    let mut definitions: HashMap<String, usize> = HashMap::new();
    for (idx, member) in members.iter().enumerate() {
        for symbol in File::parse(*member)?.symbols() {
            if symbol.is_definition() && !symbol.is_local() {
                definitions.entry(symbol.name()?.to_owned()).or_insert(idx);
            }
        }
    }
    let mut taken = Vec::new();
    let mut known = HashSet::new();
    let mut wanted = vec!["_start".to_owned()];
    while let Some(symbol) = wanted.pop() {
        let Some(idx) = definitions.get(&symbol).filter(|idx| known.insert(**idx)) else { continue };
        taken.push(members[*idx]);
        let undefined = File::parse(members[*idx])?;
        for symbol in undefined.symbols().filter(ObjectSymbol::is_undefined) {
            wanted.push(symbol.name()?.to_owned());
        }
    }
    Ok(taken)
}

/// The object without what isn't loaded (debug information), and without what only unwinding or constructors would read.
fn strip(member: &[u8]) -> Result<Vec<u8>, Box<dyn Error>> {
    let file = File::parse(member)?;
    let mut out = write::Object::new(file.format(), file.architecture(), file.endianness());
    let mut sections = HashMap::new();
    for section in file.sections().filter(is_needed) {
        let id = out.add_section(Vec::new(), section.name_bytes()?.to_vec(), section.kind());
        let copy = out.section_mut(id);
        copy.flags = section.flags();
        if section.kind().is_bss() {
            copy.append_bss(section.size(), section.align());
        } else {
            copy.set_data(section.data()?, section.align());
        }
        sections.insert(section.index(), id);
    }
    let mut symbols = HashMap::new();
    for symbol in file.symbols() {
        let place = match symbol.section() {
            SymbolSection::Section(index) => match sections.get(&index) {
                Some(id) => write::SymbolSection::Section(*id),
                None => continue,
            },
            SymbolSection::Undefined => write::SymbolSection::Undefined,
            SymbolSection::Absolute => write::SymbolSection::Absolute,
            _ => continue,
        };
        let id = match (symbol.kind(), place) {
            (SymbolKind::Section, write::SymbolSection::Section(section)) => out.section_symbol(section),
            _ => out.add_symbol(write::Symbol {
                name: symbol.name_bytes()?.to_vec(),
                value: symbol.address(),
                size: symbol.size(),
                // The assembler leaves the kind of its labels open.
                kind: if symbol.kind() == SymbolKind::Unknown { SymbolKind::Label } else { symbol.kind() },
                scope: symbol.scope(),
                weak: symbol.is_weak(),
                section: place,
                flags: SymbolFlags::None,
            }),
        };
        symbols.insert(symbol.index(), id);
    }
    for section in file.sections() {
        let Some(id) = sections.get(&section.index()) else { continue };
        for (offset, relocation) in section.relocations() {
            let RelocationTarget::Symbol(index) = relocation.target() else { continue };
            let symbol = symbols[&index];
            let (addend, flags) = (relocation.addend(), relocation.flags());
            out.add_relocation(*id, write::Relocation { offset, symbol, addend, flags })?;
        }
    }
    Ok(out.write()?)
}

fn is_needed<'a>(section: &impl ObjectSection<'a>) -> bool {
    let SectionFlags::Elf { sh_flags } = section.flags() else { return false };
    let unused = [".eh_frame", ".gcc_except_table", ".init_array"];
    let name = section.name().unwrap_or("");
    sh_flags & u64::from(elf::SHF_ALLOC) != 0 && !unused.iter().any(|prefix| name.starts_with(prefix))
}
