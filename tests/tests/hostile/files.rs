//! Hostile objects: sections, symbols, relocations, descriptions, fields at their limits.

use object::write::{Symbol, SymbolSection};
use object::{SymbolFlags, SymbolKind, SymbolScope, elf};

use super::forge::{Forgery, NO_STEPS, entry, forge, nothing};
use super::{broken, check};

fn changed(change: impl Fn(&mut Forgery)) -> Vec<u8> {
    forge(&entry(false, nothing, nothing), &entry(true, nothing, nothing), change)
}

#[test]
fn sections_of_no_use() {
    const CODE: u32 = elf::SHF_ALLOC | elf::SHF_EXECINSTR;
    const DATA: u32 = elf::SHF_ALLOC | elf::SHF_WRITE;
    let sections = [
        (".init", elf::SHT_PROGBITS, CODE),
        (".fini", elf::SHT_PROGBITS, CODE),
        (".text.startup", elf::SHT_PROGBITS, CODE),
        (".plt", elf::SHT_PROGBITS, CODE),
        (".init_array", elf::SHT_INIT_ARRAY, DATA),
        (".fini_array", elf::SHT_FINI_ARRAY, DATA),
        (".preinit_array", elf::SHT_PREINIT_ARRAY, DATA),
        (".init_array", elf::SHT_INIT_ARRAY, elf::SHF_ALLOC),
        (".init_array.0", elf::SHT_PROGBITS, elf::SHF_ALLOC),
        (".ctors", elf::SHT_PROGBITS, elf::SHF_ALLOC),
        (".dtors", elf::SHT_PROGBITS, elf::SHF_ALLOC),
        (".eh_frame", elf::SHT_PROGBITS, elf::SHF_ALLOC),
        (".note.gnu.property", elf::SHT_NOTE, elf::SHF_ALLOC),
        (".interp", elf::SHT_PROGBITS, elf::SHF_ALLOC),
        (".rodata.str", elf::SHT_PROGBITS, elf::SHF_ALLOC | elf::SHF_MERGE | elf::SHF_STRINGS),
        (".gnu.warning.net_run", elf::SHT_PROGBITS, 0),
        (".gnu.linkonce.t.x", elf::SHT_PROGBITS, CODE),
        (".deplibs", elf::SHT_LLVM_DEPENDENT_LIBRARIES, 0),
        (".text", elf::SHT_PROGBITS, CODE),
        (".rodata", elf::SHT_PROGBITS, elf::SHF_ALLOC),
        (".text", elf::SHT_PROGBITS, CODE | elf::SHF_GROUP),
        (".tbss", elf::SHT_NOBITS, elf::SHF_ALLOC | elf::SHF_TLS),
    ];
    assert_eq!(broken(&changed(|_| {})), "");
    for (name, kind, flags) in sections {
        let bytes = changed(|forgery| {
            forgery.section(name, (kind, flags), &[0x90; 16]);
        });
        check(&format!("section {name} with flags {flags:#x}"), &bytes, name);
    }
    for name in [".data", ".bss", ".data.rel.ro", ".text"] {
        let bytes = changed(|forgery| {
            forgery.section(name, (elf::SHT_PROGBITS, DATA), &[0; 8]);
        });
        check(&format!("a writable {name}"), &bytes, "no writable section");
    }
    // What assemblers write without being asked.
    let empty = changed(|forgery| {
        forgery.section(".data", (elf::SHT_PROGBITS, DATA), &[]);
    });
    assert_eq!(broken(&empty), "");
}

/// The stack of the host stays as it is.
#[test]
fn an_executable_stack_is_refused() {
    let bytes = changed(|_| {});
    let note = b".note.GNU-stack";
    let at = bytes.windows(note.len()).position(|window| window == note).expect("it has the note");
    // Under another name there is none.
    let mut without = bytes.clone();
    without[at + 1] = b'x';
    check("no note", &without, "no section .note.GNU-stack");
    let file = object::File::parse(bytes.as_slice()).expect("it is an object");
    use object::{Object as _, ObjectSection as _};
    let index = file.section_by_name(".note.GNU-stack").expect("it is there").index().0;
    let table = u64::from_le_bytes(bytes[40..48].try_into().expect("eight bytes")) as usize;
    let mut executable = bytes.clone();
    executable[table + index * 64 + 8] |= elf::SHF_EXECINSTR as u8;
    check("a note that asks for it", &executable, "executable");
}

fn symbol(name: &str, section: SymbolSection, kind: SymbolKind) -> Symbol {
    Symbol {
        name: name.as_bytes().to_vec(),
        value: 0,
        size: 8,
        kind,
        scope: SymbolScope::Dynamic,
        weak: false,
        section,
        flags: SymbolFlags::None,
    }
}

#[test]
fn symbols_of_no_use() {
    let with = |symbol: &dyn Fn(&Forgery) -> Symbol| {
        changed(|forgery| {
            let symbol = symbol(forgery);
            forgery.object.add_symbol(symbol);
        })
    };
    let text = |forgery: &Forgery| SymbolSection::Section(forgery.text);
    check(
        "another entry",
        &with(&|f| symbol("net_other", text(f), SymbolKind::Text)),
        "net_other is no entry",
    );
    check("main", &with(&|f| symbol("main", text(f), SymbolKind::Text)), "main");
    check("_init", &with(&|f| symbol("_init", text(f), SymbolKind::Text)), "_init");
    check(
        "a weak one",
        &with(&|f| Symbol { weak: true, ..symbol("net_w", text(f), SymbolKind::Text) }),
        "net_w",
    );
    check("data", &with(&|f| symbol("net_d", SymbolSection::Section(f.rodata), SymbolKind::Data)), "net_d");
    check(
        "a function among constants",
        &with(&|f| symbol("net_c", SymbolSection::Section(f.rodata), SymbolKind::Text)),
        "net_c",
    );
    check("an absolute one", &with(&|_| symbol("net_a", SymbolSection::Absolute, SymbolKind::Text)), "net_a");
    check("a common one", &with(&|_| symbol("net_m", SymbolSection::Common, SymbolKind::Data)), "net_m");
    check("one of each thread", &with(&|f| symbol("net_t", text(f), SymbolKind::Tls)), "net_t");
    check("an undefined one", &with(&|_| symbol("puts", SymbolSection::Undefined, SymbolKind::Text)), "puts");
    let flags = |info: u8, other: u8| SymbolFlags::Elf { st_info: info, st_other: other };
    for (what, info, other) in [
        ("an indirect function", elf::STB_GLOBAL << 4 | elf::STT_GNU_IFUNC, 0),
        ("a unique one", elf::STB_GNU_UNIQUE << 4 | elf::STT_FUNC, 0),
        ("a hidden one", elf::STB_GLOBAL << 4 | elf::STT_FUNC, elf::STV_HIDDEN),
        ("a protected one", elf::STB_GLOBAL << 4 | elf::STT_FUNC, elf::STV_PROTECTED),
        ("one without a type", elf::STB_GLOBAL << 4, 0),
        ("a local indirect function", elf::STB_LOCAL << 4 | elf::STT_GNU_IFUNC, 0),
    ] {
        let bytes =
            with(&|f| Symbol { flags: flags(info, other), ..symbol("net_s", text(f), SymbolKind::Text) });
        check(what, &bytes, "net_s");
    }
    check(
        "a second net_run",
        &with(&|f| symbol("net_run", text(f), SymbolKind::Text)),
        "a second symbol net_run",
    );
}

/// No entry that its header names is missing.
#[test]
fn every_entry_is_there() {
    let (run, parallel) = (entry(false, nothing, nothing), entry(true, nothing, nothing));
    for missing in ["net_run", "net_run_parallel", "net_info"] {
        let mut forgery = Forgery::new(8);
        if missing != "net_run" {
            forgery.function("net_run", &run);
        }
        if missing != "net_run_parallel" {
            forgery.function("net_run_parallel", &parallel);
        }
        if missing != "net_info" {
            forgery.info();
        }
        check(missing, &forgery.bytes(), missing.trim_start_matches("net_"));
    }
    // A picture for an input means two more.
    let mut forgery = Forgery::new(3);
    forgery.function("net_run", &run);
    forgery.function("net_run_parallel", &parallel);
    forgery.info();
    check("no entries for bytes", &forgery.bytes(), "found no function net_run_u8");
    check("nothing at all", &Forgery::new(8).bytes(), "found no function");
    let other = changed(|forgery| {
        forgery.function("net_bind", &[0x31, 0xc0, 0xc3]);
    });
    check("an entry that such a network doesn't have", &other, "net_bind is no entry");
}

#[test]
fn relocations_of_no_use() {
    let with = |kind: u32, offset: u64, addend: i64| {
        changed(move |forgery| {
            let json = forgery.json;
            forgery.relocate(offset, json, kind, addend);
        })
    };
    for kind in [
        elf::R_X86_64_64,
        elf::R_X86_64_32S,
        elf::R_X86_64_GOTPCRELX,
        elf::R_X86_64_TPOFF32,
        elf::R_X86_64_IRELATIVE,
        elf::R_X86_64_PC64,
        elf::R_X86_64_PC8,
    ] {
        check(&format!("kind {kind}"), &with(kind, 8, 0), "a relocation of kind");
    }
    check("over an instruction's code", &with(elf::R_X86_64_PC32, 0, 0), "no address of its own");
    check("behind the end", &with(elf::R_X86_64_PC32, 1 << 40, 0), "outside of the code");
    check("at the end of everything", &with(elf::R_X86_64_PC32, u64::MAX, 0), "outside of the code");
    let elsewhere = changed(|forgery| {
        let (rodata, json) = (forgery.rodata, forgery.json);
        let flags = object::RelocationFlags::Elf { r_type: elf::R_X86_64_PC32 };
        let relocation = object::write::Relocation { offset: 0, symbol: json, addend: 0, flags };
        forgery.object.add_relocation(rodata, relocation).expect("it is of this architecture");
    });
    check("of constants", &elsewhere, "another section than the code");
}

/// The description is hostile input too.
#[test]
fn descriptions_that_lie() {
    let bytes = changed(|_| {});
    let put = |old: &str, new: &str| {
        let mut bytes = bytes.clone();
        let at = bytes.windows(old.len()).position(|window| window == old.as_bytes());
        let at = at.unwrap_or_else(|| panic!("{old} is in the description"));
        // Spaces behind it keep the length.
        let new = format!("{new:<width$}", width = old.len());
        assert_eq!(old.len(), new.len());
        bytes[at..at + new.len()].copy_from_slice(new.as_bytes());
        bytes
    };
    check("no rows", &put("\"height\":4", "\"height\":0"), "expected sizes of a network");
    check("no columns", &put("\"width\":4", "\"width\":0"), "expected sizes of a network");
    check("no images", &put("\"batch\":1", "\"batch\":0"), "expected sizes of a network");
    check("another name", &put("\"name\":\"net\"", "\"name\":\"ten\""), "called ten");
    check("no JSON", &put("\"schema\"", "\"schem?\""), "description");
    let info = super::forge::description(8);
    let large = |old: &str, new: &str| {
        let text = info.replacen(old, new, 1);
        assert_ne!(text, info, "{old} is in the description");
        let mut forgery = Forgery::with(&(text + "\0" + NO_STEPS + "\0"));
        forgery.function("net_run", &entry(false, nothing, nothing));
        forgery.function("net_run_parallel", &entry(true, nothing, nothing));
        forgery.info();
        forgery.bytes()
    };
    let most = "18446744073709551615";
    for (old, new) in [
        ("\"height\":4", format!("\"height\":{most}")),
        ("\"width\":4", "\"width\":1099511627776".to_owned()),
        ("\"batch\":1", format!("\"batch\":{most}")),
        ("\"shape\":[4,4,8]", format!("\"shape\":[{most},4,8]")),
        ("\"shape\":[4,4,8]", "\"shape\":[]".to_owned()),
        ("\"workspace_bytes\":", "\"workspace_bytes\":9".to_owned()),
        ("\"workspace_bytes\":", "\"workspace_bytes\":999999999999".to_owned()),
    ] {
        // An empty shape is one number: the only case that is no fault.
        let found = broken(&large(old, &new));
        assert!(old.contains("shape") || !found.is_empty(), "{new}: {found}");
    }
}

/// Any field of a file at its limits: an answer, never a panic.
#[test]
fn fields_at_their_limits() {
    use object::Object as _;
    let bytes = changed(|_| {});
    let number = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes")) as usize;
    let table = number(40);
    let n_sections = object::File::parse(bytes.as_slice()).expect("it is an object").sections().count() + 1;
    let mut places: Vec<(usize, usize)> = Vec::new();
    places.extend((16..64).step_by(2).map(|at| (at, 2)));
    places.extend([(24, 8), (32, 8), (40, 8)]);
    for section in 0..n_sections {
        let start = table + section * 64;
        places.extend([0, 4, 40, 44].map(|at| (start + at, 4)));
        places.extend([8, 16, 24, 32, 48, 56].map(|at| (start + at, 8)));
    }
    for (section, fields) in [(elf::SHT_SYMTAB, 24), (elf::SHT_RELA, 24)] {
        for idx in 0..n_sections {
            let header = table + idx * 64;
            if bytes[header + 4..header + 8] == section.to_le_bytes() {
                let (start, size) = (number(header + 24), number(header + 32));
                places.extend((start..start + size).step_by(8).map(|at| (at, 8)));
                assert_eq!(size % fields, 0);
            }
        }
    }
    let (mut n_tried, mut n_broken) = (0, 0);
    for (at, size) in places {
        for value in [
            0u64,
            1,
            0x7f,
            0xff,
            0xffff,
            0x7fff_ffff,
            0xffff_ffff,
            1 << 40,
            i64::MAX as u64,
            u64::MAX - 7,
            u64::MAX,
        ] {
            let mut changed = bytes.clone();
            changed[at..at + size].copy_from_slice(&value.to_le_bytes()[..size]);
            n_tried += 1;
            n_broken += usize::from(!broken(&changed).is_empty());
        }
    }
    println!("{n_tried} files, {n_broken} refused");
    assert!(n_tried / 3 < n_broken, "{n_broken} of {n_tried}");
}
