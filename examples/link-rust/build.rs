//! Links the static library that `mnc compile --emit staticlib,header -o person/` wrote, and takes its sizes from the header.

use std::path::Path;
use std::{env, fs};

fn main() {
    let variable = |name| env::var(name).expect("cargo sets it");
    let folder = variable("CARGO_MANIFEST_DIR") + "/person";
    println!("cargo::rerun-if-changed={folder}");
    println!("cargo::rustc-link-search=native={folder}");
    println!("cargo::rustc-link-lib=static=person");

    let header = fs::read_to_string(format!("{folder}/person.h")).expect("mnc wrote the header");
    // #define PERSON_INPUT_WIDTH 96
    let constant = |line: &str| {
        let (name, value) = line.strip_prefix("#define PERSON_")?.split_once(' ')?;
        Some(format!("pub const {name}: usize = {value};\n"))
    };
    let constants: String = header.lines().filter_map(constant).collect();
    fs::write(Path::new(&variable("OUT_DIR")).join("sizes.rs"), constants).expect("OUT_DIR is writable");
}
