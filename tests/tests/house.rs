//! The rules of the house that a compiler doesn't hold: who may know whom, what may stand in a file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use mnc_tests::need::workspace;

#[path = "house/places.rs"]
mod places;
#[path = "house/unsafe_code.rs"]
mod unsafe_code;

/// The modules of `compiler/src` in the order of the pipeline. A module may use those before it.
const ORDER: [&str; 26] = [
    "error",
    "random",
    "describe",
    "graph",
    "weights",
    "cost",
    "sample",
    "passes",
    "reference",
    "quantize",
    "target",
    "predict",
    "code",
    "kernels",
    "schedule",
    "plan",
    "program",
    "emit",
    "compile",
    "inspect",
    "files",
    "request",
    "job",
    "build",
    "dump",
    "cli",
];

/// Uses against the order, each with its reason.
const EXCEPTIONS: [(&str, &str, &str); 3] = [
    (
        "describe",
        "graph::layer::Activation",
        "a description's activations are those of a layer: one enum, where it computes",
    ),
    ("describe", "graph::layer::Pooling", "likewise its pools"),
    ("describe", "graph::layer::Flatten", "likewise the orders of dense weights"),
];

/// Cranelift's files.
const CRANELIFT: &[&str] = &[
    "compiler/src/emit/clif.rs",
    "compiler/src/emit/entry.rs",
    "compiler/src/emit/entry",
    "compiler/src/emit/object.rs",
];

/// Crates that only these files, or files below these folders, may name.
const OWNERS: [(&str, &[&str]); 7] = [
    ("cranelift_codegen", CRANELIFT),
    ("cranelift_frontend", CRANELIFT),
    ("cranelift_module", CRANELIFT),
    ("cranelift_object", CRANELIFT),
    (
        "iced_x86",
        &[
            "compiler/src/emit/x86.rs",
            "compiler/src/emit/x86",
            "compiler/src/inspect",
            "tests/tests/hostile.rs",
            "tests/tests/hostile",
            "tests/tests/avx_vnni.rs",
            "tests/tests/encoder.rs",
            "tests/tests/inspect_integers.rs",
            "tests/tests/machine.rs",
        ],
    ),
    ("proc_macro2", &["compiler/src/emit/rust.rs", "compiler/src/emit/rust", "macros"]),
    ("quote", &["compiler/src/emit/rust.rs", "compiler/src/emit/rust", "macros"]),
];

/// Longer files are split.
const MOST_LINES: usize = 600;

/// The text of every file with one of these endings, by its path from the root. Nothing that is built or downloaded.
fn files(endings: &[&str]) -> BTreeMap<PathBuf, String> {
    fn walk(folder: &Path, endings: &[&str], files: &mut BTreeMap<PathBuf, String>) {
        for entry in std::fs::read_dir(folder).expect("the folder can be read") {
            let path = entry.expect("the entry can be read").path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("");
            if path.is_dir() {
                if name != "target" && name != ".git" {
                    walk(&path, endings, files);
                }
            } else if endings.iter().any(|ending| name.ends_with(ending)) {
                let text = std::fs::read_to_string(&path)
                    .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                let from_root = path.strip_prefix(workspace()).expect("it lies in the workspace");
                files.insert(from_root.to_owned(), text);
            }
        }
    }
    let mut files = BTreeMap::new();
    walk(&workspace(), endings, &mut files);
    files
}

fn report(faults: Vec<String>) {
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// The code of a file: its lines up to its tests, without comments and documentation.
fn code(text: &str) -> impl Iterator<Item = &str> {
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or(text);
    code.lines().map(|line| line.split("//").next().unwrap_or("").trim_end())
}

/// The paths after `crate::` or `mnc::` in code, a group of them split: `use crate::a::{b, c}` gives `a::b` and `a::c`.
fn uses(text: &str, root: &str) -> Vec<String> {
    let text = code(text).collect::<Vec<&str>>().join("\n");
    let starts = text.match_indices(root).filter(|(at, _)| {
        let before = text[..*at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':')
    });
    let mut paths = Vec::new();
    for (at, _) in starts {
        split(&text[at + root.len()..], "", &mut paths);
    }
    paths
}

/// Splits one use tree that `text` begins with.
fn split(text: &str, prefix: &str, paths: &mut Vec<String>) {
    let is_path = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    let end = text.find(|c| !is_path(c)).unwrap_or(text.len());
    let path = format!("{prefix}{}", &text[..end]);
    if !text[end..].starts_with('{') {
        paths.push(path);
        return;
    }
    let (mut depth, mut item) = (0, end + 1);
    for (at, c) in text[end..].char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if (c == ',' && depth == 1) || depth == 0 {
            let part = text[item..end + at].trim();
            if !part.is_empty() {
                split(part, &path, paths);
            }
            item = end + at + 1;
        }
        if depth == 0 {
            return;
        }
    }
}

#[test]
fn use_trees_are_split() {
    let text =
        "use crate::a::{b, c::{D, e}};\nuse mycrate::x;\n// crate::comment\nfn f() { crate::g::h(); }\n";
    assert_eq!(uses(text, "crate::"), ["a::b", "a::c::D", "a::c::e", "g::h"]);
}

#[test]
fn modules_know_only_those_before_them() {
    let place = |module: &str| ORDER.iter().position(|name| *name == module);
    let mut faults = Vec::new();
    let mut used = vec![false; EXCEPTIONS.len()];
    for (path, text) in files(&[".rs"]) {
        let Ok(file) = path.strip_prefix("compiler/src") else { continue };
        let module = file.iter().next().and_then(|name| name.to_str()).unwrap_or("").trim_end_matches(".rs");
        if module == "lib" || module == "main" || path.ends_with("tests.rs") {
            continue;
        }
        let Some(own) = place(module) else {
            faults.push(format!("{}: the module {module} has no place in the order", path.display()));
            continue;
        };
        for path_used in uses(&text, "crate::") {
            let target = path_used.split("::").next().unwrap_or("");
            // What lib.rs re-exports at the root is not a module.
            let Some(other) = place(target) else { continue };
            if own < other {
                let exception =
                    EXCEPTIONS.iter().position(|(from, to, _)| *from == module && *to == path_used);
                match exception {
                    Some(idx) => used[idx] = true,
                    None => faults
                        .push(format!("{} uses crate::{path_used}, which comes after it", path.display())),
                }
            }
        }
    }
    for ((from, to, _), used) in EXCEPTIONS.iter().zip(used) {
        if !used {
            faults.push(format!("{from} doesn't use {to}: the exception can go"));
        }
    }
    report(faults);
}

/// Every file of the list exists, and every module of the crate is on it.
#[test]
fn the_order_is_complete() {
    let source = workspace().join("compiler/src");
    for module in ORDER {
        assert!(source.join(format!("{module}.rs")).exists(), "{module} is no module");
    }
}

#[test]
fn crates_have_owners() {
    let mut faults = Vec::new();
    for (path, text) in files(&[".rs"]) {
        for (name, owners) in OWNERS {
            let may = owners.iter().any(|owner| path.starts_with(owner));
            if !may && !uses(&text, &format!("{name}::")).is_empty() {
                faults.push(format!("{} names {name}, which belongs to {owners:?}", path.display()));
            }
        }
    }
    report(faults);
}

#[test]
fn files_are_short_and_finished() {
    // Put together here, so that this file may stand in the list.
    let unfinished = [
        ["to", "do!("].concat(),
        ["unimple", "mented!("].concat(),
        ["#[ign", "ore"].concat(),
        ["should", "_panic"].concat(),
    ];
    let machines = ["work", "home", "root"].map(|folder| format!("/{folder}/"));
    let mut faults = Vec::new();
    for (path, text) in files(&[".rs"]) {
        let n_lines = text.lines().count();
        let is_generated = path.starts_with("tests/golden");
        if MOST_LINES < n_lines && !is_generated {
            faults.push(format!("{}: {n_lines} lines, expected {MOST_LINES} at most", path.display()));
        }
        for word in unfinished.iter().filter(|word| text.contains(*word)) {
            faults.push(format!("{}: has {word}", path.display()));
        }
    }
    for (path, text) in files(&[".rs", ".md", ".toml", ".c", ".h", ".yml", ".txt", "justfile", "run"]) {
        for word in machines.iter().filter(|word| names_folder(&text, word)) {
            faults.push(format!("{}: names {word}, a folder of one machine", path.display()));
        }
    }
    report(faults);
}

/// What writes to the command's streams, or an executable's, takes it that nobody may read them: the macros panic then.
#[test]
fn nobody_prints_with_macros_that_panic() {
    let macros = ["println!(", "eprintln!(", "print!(", "eprint!("];
    let mut faults = Vec::new();
    for (path, text) in files(&[".rs"]) {
        let is_ours = path.starts_with("compiler/src") || path.starts_with("runtime/src");
        // Cargo reads what a build script prints.
        if path == Path::new("compiler/src/build.rs") {
            continue;
        }
        let is_test = path.components().any(|part| part.as_os_str() == "tests") || path.ends_with("tests.rs");
        for line in code(&text).filter(|_| is_ours && !is_test) {
            let before = |at: usize| line[..at].chars().next_back();
            let prints = |word: &&&str| {
                line.match_indices(**word).any(|(at, _)| before(at).is_none_or(|c| !c.is_alphanumeric()))
            };
            if macros.iter().find(prints).is_some() {
                faults.push(format!(
                    "{}: {}: write with what passes a closed stream over",
                    path.display(),
                    line.trim()
                ));
            }
        }
    }
    report(faults);
}

/// Whether the text has this absolute path; `x/work/y` has not.
fn names_folder(text: &str, folder: &str) -> bool {
    text.match_indices(folder).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '}' | '~'))
    })
}

/// The files that a newcomer looks for.
#[test]
fn the_changelog_has_this_version() {
    let path = workspace().join("CHANGELOG.md");
    let text = std::fs::read_to_string(path).expect("the repository has a CHANGELOG.md");
    let version = env!("CARGO_PKG_VERSION");
    assert!(text.contains(&format!("## [{version}]")), "CHANGELOG.md has no section of {version}");
}

/// Links between our own documents, relative to the file that has them.
#[test]
fn links_lead_somewhere() {
    let mut faults = Vec::new();
    for (path, text) in files(&[".md"]) {
        // The weights' own documentation came with them.
        if path.starts_with("examples/person-detector") {
            continue;
        }
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for target in targets.filter(|target| !target.contains("://") && !target.starts_with("mailto:")) {
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let folder = workspace().join(path.parent().unwrap_or(Path::new("")));
            let file = if file.is_empty() { workspace().join(&path) } else { folder.join(file) };
            if !file.exists() {
                faults.push(format!("{}: {target} isn't there", path.display()));
            } else if !anchor.is_empty() && file.extension().is_some_and(|ending| ending == "md") {
                let text = std::fs::read_to_string(&file).expect("the document can be read");
                if !text.lines().any(|line| line.starts_with('#') && slug(line) == anchor) {
                    faults.push(format!("{}: {target} has no such heading", path.display()));
                }
            }
        }
    }
    report(faults);
}

/// The anchor of a heading, as code hosts make it.
fn slug(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    text.chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}
