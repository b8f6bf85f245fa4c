//! Options that can't be: of the command, and of executables. None of the messages names all networks, targets or kinds of layers, or
//! depends on the machine.

use super::Case;

/// `mnc compile net.toml` with random weights and these options.
fn compiled(more: &[&'static str]) -> Case {
    Case::mnc([], &[&["compile", "net.toml", "--random-weights", "1"], more].concat())
}

/// `mnc explore` of a small part of the family.
fn explored(more: &[&'static str]) -> Case {
    Case::mnc([], &[&["explore", "-o", "map"], more].concat())
}

/// `mnc verify net.toml` with random weights and these options.
fn verified(more: &[&'static str]) -> Case {
    Case::mnc([], &[&["verify", "net.toml", "--random-weights", "1"], more].concat())
}

pub(super) fn cases() -> Vec<Case> {
    let labels = ("labels.txt", b"cat\n".to_vec());
    vec![
        Case::mnc([], &["compile", "mobilenet-v1", "--emit", "header", "-o", "net.h"]),
        Case::mnc([("net/", Vec::new())], &["compile", "net", "--random-weights", "1"]),
        Case::mnc([("a.toml", vec![0xff, 0xfe])], &["cost", "a.toml"]),
        Case::mnc([("a.toml/", Vec::new())], &["cost", "a.toml"]),
        compiled(&["--emit", "header", "-o", "missing/net.h"]),
        compiled(&["--emit", "header", "-o", "net.toml"]),
        compiled(&["--emit", "python", "--name", "import", "-o", "import"]),
        compiled(&["--emit", "python", "--name", "json", "-o", "json"]),
        compiled(&["--emit", "python", "--batch", "4", "-o", "net"]),
        compiled(&["--emit", "obj,header", "-o", "-"]),
        compiled(&["--emit", "header", "--weights-file", "net.weights", "-o", "net.toml"]),
        compiled(&["--emit", "cmake", "-o", "net"]),
        compiled(&["--target", "vax"]),
        compiled(&["--target", "x86_64-unknown-linux-gnu", "--target-cpu", "x86-64-v4", "--multiversion"]),
        compiled(&["--target", "riscv64gc-unknown-linux-gnu", "--linker", "internal", "-o", "net"]),
        compiled(&["--labels", "labels.txt", "--emit", "header", "-o", "net.h"]),
        Case::mnc([], &["inspect", "net.toml"]),
        Case::mnc([], &["bench", "mobilenet-v1", "--threads", "0"]),
        Case::mnc([], &["profile", "other"]),
        verified(&["--inputs", "0"]),
        verified(&["--tolerance=-1"]),
        verified(&["--against", "net.toml"]),
        verified(&["--images", "none.jpg"]),
        explored(&["--max-latency", "5"]),
        explored(&["--max-size", "5"]),
        explored(&["--random-weights", "1"]),
        Case::mnc([], &["quantize", "net.toml", "--weights", "none.safetensors", "-o", "net.safetensors"]),
        Case::net([], &[]),
        Case::net([], &["--colour", "a.jpg"]),
        Case::net([], &["-x", "a.jpg"]),
        Case::net([], &["--top", "0", "a.jpg"]),
        Case::net([], &["--top"]),
        Case::net([], &["--labels"]),
        Case::net([], &["--threads", "0", "a.jpg"]),
        Case::net([], &["--threads"]),
        Case::net([], &["--max-picture-memory", "lots", "a.jpg"]),
        Case::net([], &["--max-picture-memory"]),
        Case::net([], &["--bench", "0"]),
        Case::net([], &["--warmup", "3", "a.jpg"]),
        Case::net([], &["--bench", "1", "--harness", "--json"]),
        Case::net([], &["--profile", "1", "--threads", "2"]),
        Case::net([], &["--svg", "a.svg", "a.jpg"]),
        Case::net([], &["--weights", "a.safetensors", "a.jpg"]),
        Case::net([labels], &["--labels", "labels.txt", "a.jpg"]),
        Case::net([], &["--labels", "none.txt", "a.jpg"]),
        Case::net([], &["none.jpg"]),
    ]
}
