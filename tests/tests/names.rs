//! Hostile names: of networks, of layers, of files, of types. Each works in C, C++, Python and Rust, or is refused with the
//! reason.

use std::collections::{BTreeSet, HashSet};
use std::process::Command;

use mnc::describe::Description;
use mnc::emit::rust::bindings::{bindings, check_type_name};
use mnc::emit::rust::{self, Names, Tables, Weights};
use mnc::graph::{Graph, Knobs};
use mnc::weights::Parameters;
use mnc::weights::naming::Naming;
use mnc::{Compiled, Options, Target};
use mnc_tests::folder::Folder;
use mnc_tests::networks::{self, RandomNetwork};
use mnc_tests::user_crate::UserCrate;
use mnc_tests::{bits, need};

/// C identifiers: keywords, our own words, the system's, and such as only differ by case.
const PREFIXES: [&str; 30] = [
    "int",
    "class",
    "template",
    "register",
    "import",
    "None",
    "self",
    "fn",
    "NAME",
    "LIBRARY",
    "MY_NAME",
    "MY_LIBRARY",
    "NAME_run",
    "net",
    "Net",
    "NET",
    "net_run",
    "net_run_parallel",
    "mnc",
    "MNC",
    "_",
    "__net",
    "_stdint",
    "_STDINT",
    "_stddef",
    "stdint",
    "INT8",
    "SIZE",
    "main",
    "x_H",
];

fn compile_text(text: &str, target: &Target) -> Compiled {
    let description = Description::parse(text, "test").expect("it is legal");
    let graph = Graph::build(&description, &Knobs { alpha: 1.0, resolution: None }).expect("it is legal");
    let parameters = Parameters::random(&graph, 1);
    mnc::compile(graph, &parameters, target, &Options { name: "net", labels: &[] }).expect("it is legal")
}

/// All headers in one program.
#[test]
fn headers_stand_beside_each_other_in_c_and_cpp() {
    let target = Target::new("x86_64-unknown-linux-gnu", None).expect("a row of the table");
    let mut compiled = compile_text(
        "name = \"net\"\nclasses = 2\ninput = { height = 4, width = 4, channels = 3 }\n\
         [[layer]]\nkind = \"pointwise\"\nfilters = 2\n",
        &target,
    );
    let folder = Folder::new();
    let mut program = String::new();
    for (idx, prefix) in PREFIXES.iter().enumerate() {
        compiled.info.name = (*prefix).to_owned();
        folder.write(&format!("{idx}.h"), compiled.header());
        program += &format!("#include \"{idx}.h\"\n");
    }
    program += "int main(void) {\n  size_t sum = 0;\n";
    for prefix in PREFIXES {
        program += &format!(
            "  sum += sizeof({prefix}_run) * {0}_INPUT_LEN + {0}_OUTPUT_LEN;\n",
            prefix.to_uppercase()
        );
        program += &format!("  sum += ({prefix}_run_u8 == 0) + ({prefix}_info == 0);\n");
    }
    program += "  return (int)sum;\n}\n";
    // `sizeof` of a function is of its pointer here.
    let program = program.replace("sizeof(", "sizeof(&");
    folder.write("all.c", program);
    for (compiler, language, standard) in
        [("gcc", "c", "c99"), ("g++", "c++", "c++98"), ("clang", "c", "c11"), ("clang++", "c++", "c++20")]
    {
        let Some(compiler) = need::program(compiler) else { continue };
        let flags =
            ["-x", language, "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-Wno-address", "-fsyntax-only"];
        let mut command = Command::new(compiler);
        // Clang says of each function that it is never null.
        command.args(flags).arg("-Wno-tautological-pointer-compare").arg(format!("-std={standard}"));
        need::run(command.arg("all.c").current_dir(folder.path()));
    }
}

/// Modules whose prefix looks like the template's own places, or is private to a class; files that have to be quoted.
#[test]
fn python_modules_load_the_library_of_their_prefix() {
    let Some(target) = need::host_targets().into_iter().next() else { return };
    let (Some(cc), Some(python)) = (need::program("cc"), need::program("python3")) else { return };
    let long = "x".repeat(200);
    let library = "lib \"'\\$é@NAME@.so";
    for outside in [false, true] {
        let network = RandomNetwork::new(1);
        let input = &network.inputs()[0];
        let expected = mnc::reference::output(
            &mnc::passes::run(&network.graph, &network.parameters).expect("it is legal"),
            input,
        );
        for prefix in ["MY_NAME", "LIBRARY", "NAME", "__net", "_", "int", "INFO", long.as_str()] {
            let options = Options { name: prefix, labels: &[] };
            let compiled = mnc::compile(network.graph.clone(), &network.parameters, &target, &options);
            let compiled = compiled.expect("it is legal");
            let compiled = if outside { compiled.with_weights_file("net.weights") } else { compiled };
            let folder = Folder::new();
            folder.write("net.o", compiled.object().expect("it can be emitted"));
            folder.write("module.py", mnc::emit::python::module(&compiled.info, library));
            if let Some(weights) = compiled.weights_file() {
                folder.write("net.weights", weights);
            }
            folder.write("input", bits::to_bytes(input));
            let flags = ["-shared", "-nostdlib", "-o", library, "net.o"];
            need::run(Command::new(&cc).current_dir(folder.path()).args(flags));
            let run = "import array, module\ninput = array.array('f', open('input', 'rb').read())\n\
                       open('output', 'wb').write(module.run(input).tobytes())\n";
            let output = Command::new(&python)
                .current_dir(folder.path())
                .args(["-S", "-c", run])
                .output()
                .expect("Python can be started");
            let said = String::from_utf8_lossy(&output.stderr);
            if said.contains("this CPU lacks a feature") {
                return need::skip_cpu(&compiled);
            }
            assert!(output.status.success(), "{prefix}: {said}");
            let found = std::fs::read(folder.path().join("output")).expect("the program wrote its output");
            assert_eq!(bits::compare(&bits::from_bytes(&found), &expected), Ok(()), "{prefix}");
        }
    }
}

#[test]
fn prefixes_that_are_no_identifiers_are_refused() {
    let (graph, parameters) = networks::builtin("mobilenet-v1", 0.25, 32);
    let target = Target::new("x86_64-unknown-linux-gnu", None).expect("a row of the table");
    let long = "x".repeat(201);
    for name in ["", "3x", "a b", "a-b", "é", "a\0", "a\"", "a*/", long.as_str()] {
        let error = mnc::compile(graph.clone(), &parameters, &target, &Options { name, labels: &[] });
        let error = error.expect_err(name).to_string();
        assert!(error.starts_with("name: found "), "{name}: {error}");
        assert!(error.contains("expected a C identifier of at most 200 letters, digits and _"), "{error}");
    }
}

/// A network whose layers' functions in Rust would have one name, and whose layers are called like words of the language.
fn hostile_layers() -> String {
    let layer = |kind: &str, name: &str, more: &str| {
        format!("[[layer]]\nkind = \"{kind}\"\nname = \"{name}\"\n{more}\n")
    };
    let mut text =
        "name = \"net\"\nclasses = 2\ninput = { height = 24, width = 24, channels = 128 }\n".to_owned();
    // A pair: its first step has parts in the second alone, and so a function for one thread.
    text += &layer("depthwise", "a", "");
    text += &layer("pointwise", "p", "filters = 128");
    let hostile =
        ["a_whole", "a_whole_2", "step_a", "A", "a-whole", "fn", "Self", "self", "crate", "type", "R", "r-1"];
    for (idx, name) in hostile.iter().enumerate() {
        // A kernel, and so a module, for each.
        text += &layer("pointwise", name, &format!("filters = {}", 8 + idx));
    }
    text
}

/// Types of users: words of the language, of its prelude, and no words at all.
const TYPES: [&str; 52] = [
    "Net",
    "net",
    "NET",
    "NAME",
    "LIBRARY",
    "MY_NAME",
    "Größe",
    "Сеть",
    "网络",
    "_Net",
    "__",
    "Net2",
    "Some",
    "None",
    "Ok",
    "Err",
    "Option",
    "Result",
    "Vec",
    "Box",
    "String",
    "Fn",
    "Send",
    "Sync",
    "Sized",
    "Copy",
    "Clone",
    "Default",
    "Drop",
    "From",
    "Into",
    "Iterator",
    "NetWorkspace",
    "main",
    "core",
    "std",
    "alloc",
    "mnc_runtime",
    "i8",
    "i16",
    "i64",
    "i128",
    "u16",
    "u128",
    "union",
    "auto",
    "raw",
    "dyn",
    "gen",
    "type",
    "Self",
    "self",
];

/// The identifiers of a text.
fn identifiers(text: &str) -> impl Iterator<Item = String> {
    let is_letter = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let words = text.split(move |letter| !is_letter(letter)).filter(|word| !word.is_empty());
    words.filter(|word| !word.starts_with(|first: char| first.is_ascii_digit())).map(str::to_owned)
}

/// Both forms of the macro's text around a type, as the macro puts them together, and the bindings of an object.
fn texts(text: &str, type_name: &str) -> [String; 3] {
    let mut compiled = compile_text(text, &Target::rust());
    compiled.info.name = format!("mnc_{}", Options::name_of(type_name));
    compiled.info.labels = ["\"", "\\", "*/", "{0}", "\n"].map(str::to_owned).to_vec();
    let tables = Tables::new(&compiled.graph, &Naming::PLAIN).expect("each layer has a name");
    let n_bytes = compiled.program.constants.len();
    let bytes = format!("const BYTES: &[u8; {n_bytes}] = &[0; {n_bytes}];\n");
    let expand = |weights, bytes: &str| {
        let names = Names { type_name, visibility: "pub(crate)", weights };
        let source = rust::network(&compiled.program, &compiled.info, &names);
        let (types, items) = (source.types, source.items);
        format!("pub(crate) struct {type_name};\n{types}\nconst _: () = {{\n{bytes}{items}}};\n")
    };
    [
        expand(Weights::Constants("*BYTES"), &bytes),
        expand(Weights::Runtime(&tables), ""),
        bindings(&compiled.program, &compiled.info, type_name),
    ]
}

/// For each type that isn't refused, rustc takes every text around it. The types are those of a list, and every identifier that is
/// in a text around another one.
#[test]
fn rustc_takes_every_type_that_is_not_refused() {
    let manifest = "[dependencies]\nmnc-runtime = { path = \"{root}/runtime\" }\n";
    let Some(package) = UserCrate::new(env!("CARGO_TARGET_TMPDIR"), "names", manifest) else { return };
    let small = "name = \"fn\"\nclasses = 2\ninput = { height = 1, width = 1, channels = 1 }\n\
                 [[layer]]\nkind = \"pointwise\"\nname = \"Some\"\nfilters = 2\n\
                 [[layer]]\nkind = \"dense\"\nname = \"type\"\n";
    let mut types: BTreeSet<String> = TYPES.map(str::to_owned).into();
    for text in texts(small, "Net") {
        // What is in a kernel's module of its own has no type of the user beside it.
        let kernels = text.find("/// The kernels of").unwrap_or(text.len());
        let rest = text.find("\nconst _: () = {").unwrap_or(0);
        types.extend(identifiers(&text[..kernels]).chain(identifiers(&text[rest..])));
    }
    let mut program = "#![deny(warnings)]\n\
         #![allow(dead_code, non_camel_case_types, non_snake_case, uncommon_codepoints, mixed_script_confusables)]\n"
        .to_owned();
    let mut n_types = 0;
    let mut refused = BTreeSet::new();
    for type_name in &types {
        if check_type_name(type_name).is_err() {
            refused.insert(type_name.as_str());
            continue;
        }
        n_types += 1;
        for (idx, text) in texts(small, type_name).into_iter().enumerate() {
            program += &format!("mod m{n_types}_{idx} {{\n{text}}}\n");
        }
    }
    for (idx, text) in texts(&hostile_layers(), "Net").into_iter().enumerate() {
        program += &format!("mod layers_{idx} {{\n{text}}}\n");
    }
    // A user may call a type by any word of the prelude.
    for free in ["Some", "None", "Option", "Box", "Sized", "Größe", "NAME", "WEIGHTS", "union", "main"] {
        assert!(!refused.contains(free) && (types.contains(free) || free == "WEIGHTS"), "{free}");
    }
    for word in ["dyn", "gen", "type", "Self", "self", "Threads", "f32", "at"] {
        assert!(refused.contains(word), "{word}");
    }
    package.write("src/lib.rs", program);
    need::run(&mut package.cargo(&["check", "--release"]));
}

/// Functions and modules of layers, in the text.
#[test]
fn functions_and_modules_in_rust_have_names_of_their_own() {
    let compiled = compile_text(&hostile_layers(), &Target::rust());
    let names = Names { type_name: "Net", visibility: "", weights: Weights::Constants("*BYTES") };
    let source = rust::network(&compiled.program, &compiled.info, &names);
    assert!(source.items.contains("fn step_a_whole<"), "a step of one thread's own:\n{}", source.items);
    let words = |text: &str, before: &str, behind: char| -> Vec<String> {
        let found = text.split(before).skip(1).filter_map(|rest| Some(rest.split_once(behind)?.0.to_owned()));
        found.collect()
    };
    let functions = words(&source.items, "\n    unsafe fn ", '<');
    let modules = words(&source.types, "pub(crate) mod ", ' ');
    assert!(13 < functions.len() && 12 < modules.len(), "{functions:?} {modules:?}");
    for names in [functions, modules] {
        let mut seen = HashSet::new();
        for name in names {
            let is_identifier = name.starts_with(|first: char| first.is_ascii_lowercase())
                && name
                    .chars()
                    .all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_');
            assert!(is_identifier, "{name}");
            assert!(!["fn", "self", "crate", "type"].contains(&name.as_str()), "{name} is a keyword");
            assert!(seen.insert(name.clone()), "{name} twice");
        }
    }
}
