//! Hostile libraries: segments, dynamic tags and symbols, as a loader sees them.

use std::process::Command;

use mnc_tests::folder::Folder;
use mnc_tests::need;
use object::elf;

use super::forge::{entry, forge, nothing};
use super::{broken, check};

const HEADER: usize = 64;
const PROGRAM_HEADER: usize = 56;

/// A shared library of an honest object.
fn library() -> Option<Vec<u8>> {
    let cc = need::program("cc")?;
    if !cfg!(all(target_arch = "x86_64", target_os = "linux")) {
        need::skip_optional("a linker for x86-64");
        return None;
    }
    let object = forge(&entry(false, nothing, nothing), &entry(true, nothing, nothing), |_| {});
    let folder = Folder::new();
    let file = folder.write("net.o", object);
    let path = folder.path().join("libnet.so");
    let flags =
        ["-shared", "-nostdlib", "-Wl,-z,noexecstack,-z,text,--build-id=none,-soname,libnet.so", "-o"];
    need::run(Command::new(cc).args(flags).arg(&path).arg(file));
    Some(std::fs::read(path).expect("it was written"))
}

fn number(bytes: &[u8], at: usize, size: usize) -> u64 {
    bytes[at..at + size].iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn put(bytes: &[u8], at: usize, size: usize, value: u64) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at..at + size].copy_from_slice(&value.to_le_bytes()[..size]);
    bytes
}

/// Where the program headers of a type are.
fn headers(bytes: &[u8], kind: u32) -> Vec<usize> {
    let all = (0..number(bytes, 56, 2) as usize).map(|idx| HEADER + idx * PROGRAM_HEADER);
    all.filter(|at| number(bytes, *at, 4) == u64::from(kind)).collect()
}

/// Where the row of a dynamic tag is.
fn tag(bytes: &[u8], tag: i64) -> usize {
    let dynamic = headers(bytes, elf::PT_DYNAMIC)[0];
    let (start, size) = (number(bytes, dynamic + 8, 8) as usize, number(bytes, dynamic + 32, 8) as usize);
    let mut rows = (start..start + size).step_by(16);
    rows.find(|at| number(bytes, *at, 8) as i64 == tag).expect("the tag is there")
}

#[test]
fn libraries_are_what_a_loader_sees() {
    let Some(library) = library() else { return };
    assert_eq!(broken(&library), "");
    let soname = tag(&library, elf::DT_SONAME);
    for (what, wanted, value) in [
        ("DT_INIT", elf::DT_INIT, 0x1000),
        ("DT_FINI", elf::DT_FINI, 0x1000),
        ("DT_INIT_ARRAY", elf::DT_INIT_ARRAY, 0x1000),
        ("DT_FINI_ARRAY", elf::DT_FINI_ARRAY, 0x1000),
        ("DT_PREINIT_ARRAY", elf::DT_PREINIT_ARRAY, 0x1000),
        ("DT_NEEDED", elf::DT_NEEDED, 1),
        ("DT_TEXTREL", elf::DT_TEXTREL, 0),
        ("DT_RPATH", elf::DT_RPATH, 1),
        ("DT_RUNPATH", elf::DT_RUNPATH, 1),
        ("DT_JMPREL", elf::DT_JMPREL, 0x1000),
        ("DT_FLAGS", elf::DT_FLAGS, u64::from(elf::DF_TEXTREL)),
        ("DT_FLAGS", elf::DT_FLAGS, u64::from(elf::DF_STATIC_TLS)),
        ("DT_FLAGS_1", elf::DT_FLAGS_1, u64::from(elf::DF_1_INITFIRST)),
        ("DT_FLAGS_1", elf::DT_FLAGS_1, u64::from(elf::DF_1_INTERPOSE)),
        ("0x7ffffffd", 0x7fff_fffd, 1),
        ("0x6ffffef8", 0x6fff_fef8, 1),
        ("0x24", 36, 0x1000),
    ] {
        let bytes = put(&put(&library, soname, 8, wanted as u64), soname + 8, 8, value);
        check(what, &bytes, what);
    }
    // A program says so; a library that says so offers functions.
    let pie = put(&put(&library, soname, 8, elf::DT_FLAGS_1 as u64), soname + 8, 8, u64::from(elf::DF_1_PIE));
    check("a library that says that it is a program", &pie, "offers functions as a library does");
    check(
        "a library that is an executable",
        &put(&library, 16, 2, u64::from(elf::ET_EXEC)),
        "offers functions",
    );
    let stack = headers(&library, elf::PT_GNU_STACK)[0];
    check("an executable stack", &put(&library, stack + 4, 4, 7), "an executable stack");
    check(
        "no word on the stack",
        &put(&library, stack, 4, u64::from(elf::PT_NULL)),
        "loaders make it executable",
    );
    for kind in [elf::PT_INTERP, elf::PT_TLS, elf::PT_NOTE, elf::PT_GNU_EH_FRAME, elf::PT_SHLIB, 0x7000_0001]
    {
        check(
            &format!("a program header of type {kind:#x}"),
            &put(&library, stack, 4, u64::from(kind)),
            "a program header",
        );
    }
    for load in headers(&library, elf::PT_LOAD) {
        check("a segment for everything", &put(&library, load + 4, 4, 7), "writable and executable");
        check(
            "a segment of a larger size in memory",
            &put(&library, load + 40, 8, 1 << 20),
            "expected pages of its own",
        );
        check("a segment at another place", &put(&library, load + 8, 8, 0x10), "expected");
        let wrap = put(&library, load + 16, 8, u64::MAX - 0xfff);
        assert!(!broken(&wrap).is_empty(), "a segment at the end of everything");
    }
    let relro = headers(&library, elf::PT_GNU_RELRO)[0];
    check(
        "memory that stays writable",
        &put(&library, relro, 4, u64::from(elf::PT_NULL)),
        "no writable section",
    );
}

/// A section's header shows another code than the segment has.
#[test]
fn sections_are_not_believed() {
    use object::{Object as _, ObjectSection as _, ObjectSymbol as _};
    let Some(library) = library() else { return };
    let file = object::File::parse(library.as_slice()).expect("it is a library");
    let text = file.section_by_name(".text").expect("it has code");
    let (start, size) = text.file_range().expect("it lies in the file");
    let run =
        file.dynamic_symbols().find(|symbol| symbol.name() == Ok("net_run")).expect("it is there").address();
    let table = number(&library, 40, 8) as usize;
    let header = table + text.index().0 * 64;
    let mut bytes = library.clone();
    let copy = bytes.len() as u64;
    bytes.extend_from_slice(&library[start as usize..(start + size) as usize]);
    let mut bytes = put(&bytes, header + 24, 8, copy);
    let at = (start + run - text.address()) as usize;
    bytes[at..at + 2].copy_from_slice(&[0x0f, 0x0b]);
    check("a clean copy in the section", &bytes, "ud2");
    // Without any section header it is the same library.
    let bare = put(&put(&put(&library, 40, 8, 0), 60, 2, 0), 62, 2, 0);
    assert_eq!(broken(&bare), "");
}

#[test]
fn dynamic_symbols_and_tables() {
    let Some(library) = library() else { return };
    let table = number(&library, tag(&library, elf::DT_SYMTAB) + 8, 8) as usize;
    let last = (1..4).map(|idx| table + idx * 24).collect::<Vec<_>>();
    for symbol in last {
        check("an indirect function", &put(&library, symbol + 4, 1, 0x1a), "of type 10");
        check("a weak one", &put(&library, symbol + 4, 1, 0x22), "binding 2");
        check("a hidden one", &put(&library, symbol + 5, 1, 2), "visibility 2");
        check("an absolute one", &put(&library, symbol + 6, 2, 0xfff1), "expected a global function");
        check("an undefined one", &put(&library, symbol + 6, 2, 0), "no undefined symbol");
        check("one outside", &put(&library, symbol + 8, 8, 1 << 45), "expected a global function");
        check("a name outside", &put(&library, symbol, 4, 0xffff_ff00), "without an end");
    }
    for wanted in [elf::DT_SYMTAB, elf::DT_STRTAB, elf::DT_STRSZ, elf::DT_GNU_HASH] {
        let row = tag(&library, wanted);
        for value in [0, 7, 1 << 20, 1 << 63, u64::MAX] {
            let found = broken(&put(&library, row + 8, 8, value));
            assert!(!found.is_empty(), "dynamic tag {wanted:#x} with {value:#x}");
        }
    }
    let hash = number(&library, tag(&library, elf::DT_GNU_HASH) + 8, 8) as usize;
    for at in (hash..hash + 32).step_by(4) {
        for value in [0, 1, 0xffff, 0xffff_ffff] {
            // An answer, whatever it is: an empty table is a library without functions.
            broken(&put(&library, at, 4, value));
        }
    }
}
