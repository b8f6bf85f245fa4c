//! Every file with `unsafe` or assembly, and why: this list is what a reviewer of memory safety has to read. That each block says
//! on which fact it rests, clippy holds (`undocumented_unsafe_blocks`).

use std::collections::BTreeSet;
use std::path::Path;

use crate::{code, files, report};

/// Files, or folders of the tests, each with its reason.
const FILES: [(&str, &str); 45] = [
    ("compiler/src/emit/rust.rs", "text: the code that the macro expands to"),
    ("compiler/src/emit/rust/bindings.rs", "text: a wrapper of an object's functions"),
    ("compiler/src/emit/rust/interface.rs", "text: the functions that a network in Rust has"),
    ("compiler/src/emit/rust/kernel.rs", "text: kernels over registers and pointers"),
    ("runtime/src/abi.rs", "the types of the C interface, all of which take pointers"),
    ("runtime/src/bare.rs", "no C library below: the entry of the program"),
    ("runtime/src/bare/bytes.rs", "no C library below: `memcpy` and its kin"),
    ("runtime/src/bare/bytes/tests.rs", "calls them by pointers"),
    ("runtime/src/bare/call.rs", "no C library below: the instruction of a system call"),
    ("runtime/src/bare/files.rs", "no C library below: files and folders by their C names"),
    ("runtime/src/bare/files/tests.rs", "calls them by their C types"),
    ("runtime/src/bare/heap.rs", "no C library below: `malloc` and its kin, over the crate `dlmalloc`"),
    ("runtime/src/bare/heap/tests.rs", "calls them by their C types"),
    ("runtime/src/bare/math.rs", "no C library below: names that C gives to functions of `libm`"),
    (
        "runtime/src/bare/relocate.rs",
        "no C library below: the program's own addresses, before anything else runs",
    ),
    ("runtime/src/bare/signals.rs", "no C library below: handlers of signals"),
    ("runtime/src/bare/system.rs", "no C library below: environment, time, randomness"),
    ("runtime/src/bare/threads.rs", "no C library below: threads, their memory and their keys"),
    ("runtime/src/bare/unwind.rs", "no C library below: names of an unwinder that there isn't"),
    ("runtime/src/launcher.rs", "memory for a network, and the call of it"),
    ("runtime/src/launcher/interrupt.rs", "a handler of signals, which ends a document"),
    ("runtime/src/launcher/model.rs", "the table and the functions of the linked network"),
    ("runtime/src/launcher/order.rs", "a picture from another program, by pointers and lengths"),
    ("runtime/src/launcher/orders.rs", "a pool that looks at the network's memory between steps"),
    ("runtime/src/launcher/picture/counting.rs", "the allocator of tests, which counts"),
    ("runtime/src/lib.rs", "`main` of the launcher, which C calls"),
    ("runtime/src/network.rs", "kernels of the macro: pointers, instruction sets, threads"),
    (
        "runtime/src/network/arithmetic.rs",
        "a network is run by instructions that the processor was asked for",
    ),
    ("runtime/src/peak.rs", "probes for one instruction set"),
    ("runtime/src/pool.rs", "tasks of a caller that waits for them, on threads that outlive it"),
    ("runtime/src/pool/tests.rs", "pools are called through the C interface"),
    ("runtime/src/simd.rs", "vector registers: loads and stores through pointers"),
    ("runtime/src/simd/avx2.rs", "vector registers of x86-64"),
    ("runtime/src/simd/avx2/extension.rs", "dot products in them"),
    ("runtime/src/simd/neon.rs", "vector registers of aarch64"),
    ("runtime/src/simd/portable.rs", "vector registers in arrays"),
    ("runtime/src/simd/tests.rs", "all of them against the definitions"),
    ("runtime/src/weights.rs", "weights of the macro that are set at run time"),
    ("examples/link-rust/src/person.rs", "calls an object's functions"),
    ("tests/benches", "asks the system what a child process used"),
    ("tests/fixtures/bare_main.rs", "the program that the functions without a C library are tested with"),
    ("tests/fixtures/macro_main.rs", "a pool for a network of the macro"),
    (
        "tests/need/src/lib.rs",
        "a list that is printed at the end of the program, and signals that nobody ignores",
    ),
    ("tests/src", "compiled code is linked into the test and called"),
    ("tests/tests", "the same, with pointers that are wrong on purpose"),
];

/// Files that have the word, and no need of a reason.
fn is_text(path: &Path) -> bool {
    // Expansions that the macro is compared with, and this list.
    path.starts_with("tests/golden") || path.starts_with("tests/tests/house")
}

#[test]
fn every_file_with_unsafe_is_listed() {
    let mut faults = Vec::new();
    let mut used = BTreeSet::new();
    for (path, text) in files(&[".rs"]) {
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let has_word = |line: &str| line.split(|c| !is_word(c)).any(|word| word == "unsafe");
        let has_unsafe = code(&text).any(|line| has_word(line) || line.contains("asm!("));
        if !has_unsafe || is_text(&path) {
            continue;
        }
        match FILES.iter().find(|(place, _)| path.starts_with(place)) {
            Some((place, _)) => {
                used.insert(*place);
            }
            None => faults.push(format!(
                "{}: has `unsafe` and no line in tests/tests/house/unsafe_code.rs",
                path.display()
            )),
        }
    }
    let stale = FILES.iter().filter(|(place, _)| !used.contains(place));
    faults.extend(stale.map(|(place, _)| format!("{place}: has no `unsafe`: its line can go")));
    report(faults);
}

/// Packages that need none say so to the compiler.
#[test]
fn the_compiler_allows_it_nowhere() {
    for (file, level) in [
        ("compiler/src/lib.rs", "#![forbid(unsafe_code)]"),
        ("compiler/src/main.rs", "#![deny(unsafe_code)]"),
        ("macros/src/lib.rs", "#![forbid(unsafe_code)]"),
    ] {
        let text =
            std::fs::read_to_string(mnc_tests::need::workspace().join(file)).expect("the file is there");
        assert!(text.lines().any(|line| line == level), "{file}: expected {level}");
    }
    let allowing = files(&[".rs"]).into_iter().filter(|(path, text)| {
        path.starts_with("compiler/src") && code(text).any(|line| line.contains("allow(unsafe_code"))
    });
    let allowing: Vec<_> = allowing.map(|(path, _)| path.display().to_string()).collect();
    assert!(allowing.is_empty(), "{allowing:?}");
}
