//! The machine code of kernels, read by a disassembler that isn't ours: GNU's `objdump` and the library that has written the code must
//! see the same instructions at the same places, with the same operands.

use std::process::Command;

use iced_x86::{Decoder, Formatter as _, IntelFormatter, MemorySizeOptions};
use mnc::describe::Description;
use mnc::graph::{Graph, Knobs};
use mnc::quantize::sample::with_integers;
use mnc::target::{Isa, Reader, X86_64_V3, X86_64_V3_VNNI, X86_64_V4};
use mnc::weights::Parameters;
use mnc::{Compiled, Options, passes};
use mnc_tests::folder::Folder;
use mnc_tests::networks::RandomNetwork;
use mnc_tests::{need, networks};
use object::{Object as _, ObjectSection as _, ObjectSymbol as _};

/// Networks of the golden folders, a built-in one and random ones.
fn all() -> Vec<(Graph, Parameters)> {
    let mut all = Vec::new();
    let folder = need::workspace().join("tests/golden");
    let mut files: Vec<_> = std::fs::read_dir(folder).expect("it can be read").flatten().collect();
    files.sort_by_key(std::fs::DirEntry::path);
    for file in files {
        let text = std::fs::read_to_string(file.path().join("network.toml")).expect("each has a network");
        let description = Description::parse(&text, "network.toml").expect("it is legal");
        let graph = Graph::build(&description, &Knobs::default()).expect("it is legal");
        let parameters = Parameters::random(&graph, 1);
        all.push((graph, parameters));
    }
    assert!(3 < all.len(), "the golden networks are there");
    all.push(networks::builtin("mobilenet-v1", 0.25, 64));
    all.extend((0..12).map(|seed| {
        let RandomNetwork { graph, parameters, .. } = RandomNetwork::new(seed);
        (graph, parameters)
    }));
    all
}

/// The bytes of all kernels, one behind the other.
fn kernels(compiled: &Compiled) -> Vec<u8> {
    let bytes = compiled.object().expect("it can be written");
    let file = object::File::parse(bytes.as_slice()).expect("it is an object");
    let text = file.section_by_name(".text").expect("it has code").data().expect("it lies in the file");
    let mut all = Vec::new();
    for kernel in &compiled.program.kernels {
        let name = format!("{}_{}", compiled.info.name, kernel.symbol);
        let symbol = file.symbols().find(|symbol| symbol.name() == Ok(&name));
        let symbol = symbol.unwrap_or_else(|| panic!("{name} is in the object"));
        all.extend_from_slice(&text[symbol.address() as usize..][..symbol.size() as usize]);
    }
    all
}

/// Each instruction with its place, as `objdump` writes it.
fn ours(code: &[u8]) -> Vec<String> {
    let mut formatter = IntelFormatter::new();
    let options = formatter.options_mut();
    options.set_hex_prefix("0x");
    options.set_hex_suffix("");
    options.set_uppercase_hex(false);
    options.set_small_hex_numbers_in_decimal(false);
    options.set_branch_leading_zeros(false);
    options.set_show_branch_size(false);
    options.set_memory_size_options(MemorySizeOptions::Never);
    Decoder::with_ip(64, code, 0, 0)
        .into_iter()
        .map(|instruction| {
            let mut text = format!("{:x} ", instruction.ip());
            formatter.format(&instruction, &mut text);
            text
        })
        .collect()
}

/// Without the sizes of memory and with single spaces.
fn theirs(listing: &str) -> Vec<String> {
    let lines = listing.lines().filter_map(|line| line.trim_start().split_once(":\t"));
    lines
        .map(|(place, text)| {
            // Where there are two encodings, `objdump` says which.
            let mut words: Vec<&str> = text.split_whitespace().filter(|word| *word != "{vex}").collect();
            // `YMMWORD PTR [rdi]` is `[rdi]`, also behind a comma.
            let mut joined = String::new();
            while let Some(word) = (!words.is_empty()).then(|| words.remove(0)) {
                if words.first() == Some(&"PTR") {
                    words.remove(0);
                    let kept = word.rfind(',').map_or("", |comma| &word[..=comma]);
                    joined += kept;
                    continue;
                }
                joined += word;
                if !words.is_empty() && !word.ends_with(',') && joined.split(' ').count() < 2 {
                    joined.push(' ');
                }
            }
            // A distance of zero that has a byte of its own is no other place.
            format!("{place} {}", joined.replace("+0x0]", "]"))
        })
        .collect()
}

#[test]
fn listings_of_two_disassemblers_are_alike() {
    // Simplified as `objdump` writes them; the last has a label, which is no part of the instruction.
    let listing =
        "   0:\tvmovups ymm0,YMMWORD PTR [rdi+0x20]\n   8:\tmov    DWORD PTR [rsp],0x3f\n  1f:\tret\n";
    assert_eq!(theirs(listing), ["0 vmovups ymm0,[rdi+0x20]", "8 mov [rsp],0x3f", "1f ret"]);
    assert_eq!(theirs("  1a:\t{vex} vpdpbusd ymm0,ymm1,ymm2\n"), ["1a vpdpbusd ymm0,ymm1,ymm2"]);
}

#[test]
fn objdump_sees_what_was_written() {
    let Some(objdump) = need::program("objdump") else { return };
    let folder = Folder::new();
    let options = Options { name: "net", labels: &[] };
    let networks = all();
    const CASES: [(&Isa, bool); 4] = [
        (&X86_64_V3, false),
        (&X86_64_V4, false),
        // Of AVX-512 in int8 the two write operands differently.
        (&X86_64_V3, true),
        (&X86_64_V3_VNNI, true),
    ];
    for (isa, is_int8) in CASES {
        assert_eq!(isa.reader, Reader::X86);
        let mut code = Vec::new();
        for (graph, parameters) in &networks {
            let fused = passes::run(graph, parameters).expect("it is legal");
            let Some(fused) = (if is_int8 { with_integers(&fused, 1) } else { Some(fused) }) else {
                continue;
            };
            let compiled = mnc::compile_fused(graph.clone(), fused, &need::target_of(isa), &options, None);
            code.extend(kernels(&compiled.expect("it is legal")));
        }
        let file = folder.write("code.bin", &code);
        let mut command = Command::new(&objdump);
        command.args(["-D", "-b", "binary", "-m", "i386:x86-64", "-M", "intel", "--no-show-raw-insn"]);
        let output = need::run(command.arg(file));
        let (ours, theirs) = (ours(&code), theirs(&String::from_utf8_lossy(&output.stdout)));
        let differs = ours.iter().zip(&theirs).find(|(ours, theirs)| ours != theirs);
        assert_eq!(differs, None, "{}, int8 {is_int8}: ours and objdump's", isa.name);
        assert_eq!(ours.len(), theirs.len(), "{}", isa.name);
        println!("{}, int8 {is_int8}: {} instructions", isa.name, ours.len());
        assert!(10_000 < ours.len(), "{} instructions", ours.len());
    }
}
