use object::read::elf::{ElfFile64, FileHeader as _, ProgramHeader as _};
use object::{Endianness, elf};

use super::link;
use crate::emit::launcher::bare_launcher_for;
use crate::graph::{Graph, Knobs};
use crate::weights::Parameters;
use crate::{Options, Target};

const TRIPLES: [&str; 2] = ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-musl"];

fn target(triple: &str) -> Target {
    Target::new(triple, None).unwrap()
}

/// The object of a small network, as executables have it.
fn network(target: &Target) -> Vec<u8> {
    let description = crate::describe::builtin("mobilenet-v1").unwrap().description();
    let knobs = Knobs { alpha: 0.25, resolution: Some("32".parse().unwrap()) };
    let graph = Graph::build(&description, &knobs).unwrap();
    let parameters = Parameters::random(&graph, 1);
    let options = Options { name: "net", labels: &[] };
    crate::compile(graph, &parameters, target, &options).unwrap().executable_object().unwrap()
}

/// The launcher without a C library; that of this machine is always there.
fn launcher(target: &Target) -> Option<&'static [&'static [u8]]> {
    let launcher = bare_launcher_for(target).unwrap();
    if launcher.objects.is_none() {
        let is_host = launcher.triple == target_lexicon::HOST.to_string();
        assert!(!is_host, "the compiler was built beside this machine's standard library");
        mnc_need::skip_optional(&format!("Rust's standard library for {}", launcher.triple));
    }
    launcher.objects
}

fn check_error(objects: &[&[u8]], entry: &str, expected: &str) {
    let error = link(objects, entry).unwrap_err().to_string();
    assert!(error.contains(expected), "{error}");
}

#[test]
fn programs_are_static_and_nothing_is_written_and_executed() {
    for target in TRIPLES.map(target) {
        let Some(launcher) = launcher(&target) else { continue };
        let network = network(&target);
        let objects: Vec<&[u8]> = launcher.iter().copied().chain([network.as_slice()]).collect();
        let program = link(&objects, "_start").unwrap();
        assert_eq!(program, link(&objects, "_start").unwrap(), "the same input gives the same bytes");
        let file = ElfFile64::<Endianness>::parse(program.as_slice()).unwrap();
        let header = file.elf_header();
        assert_eq!(header.e_type(Endianness::Little), elf::ET_DYN);
        let entry = header.e_entry(Endianness::Little);
        let headers = header.program_headers(Endianness::Little, program.as_slice()).unwrap();
        let mut holds_entry = false;
        for header in headers {
            let (kind, flags) = (header.p_type(Endianness::Little), header.p_flags(Endianness::Little));
            assert_ne!(kind, elf::PT_INTERP, "the program needs no other");
            assert_ne!(flags & (elf::PF_W | elf::PF_X), elf::PF_W | elf::PF_X);
            let (start, bytes) = (header.p_vaddr(Endianness::Little), header.p_filesz(Endianness::Little));
            holds_entry |= flags & elf::PF_X != 0 && (start..start + bytes).contains(&entry);
        }
        assert!(holds_entry);
    }
}

#[test]
fn what_is_missing_or_twofold_is_named() {
    let objects = TRIPLES.map(|triple| network(&target(triple)));
    let [x86, arm] = [&objects[0][..], &objects[1][..]];
    check_error(&[x86], "_start", "_start: found no definition, expected one in the objects");
    check_error(&[x86, x86], "net_run", "net_run: defined by object 1 and by object 2, expected one");
    check_error(&[x86, arm], "net_run", "object 2: found machine 183, expected that of object 1, 62");
    check_error(&[b"junk"], "net_run", "expected a 64-bit ELF object");
    check_error(&[], "net_run", "object 1: found machine 0, expected x86-64 (62) or aarch64 (183)");
    if let Some(objects) = launcher(&target(TRIPLES[0])) {
        check_error(objects, "_start", "mnc_model: needed by object 1, found in no object");
    }
}
