//! The pages against the source: each text of an error is on a page, and the pages have no word that none has.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use mnc_tests::need::workspace;

use crate::page::{Pattern, unknown};
use crate::source::{self, Texts};

/// Whose errors users meet.
const FOLDERS: [&str; 3] = ["compiler/src", "runtime/src", "macros/src"];
const PYTHON: &str = "compiler/src/emit/python/module.py";

/// What stands before a message: of the command, of clap, of Python.
const STARTS: [&str; 6] =
    ["error: invalid value ", "error: ", "NAME.Error: ", "TypeError: ", "ValueError: ", "ImportError: "];

/// The pages, and how many of their lines the cases bring about at least; the others are held by the source alone.
const PAGES: [(&str, usize); 5] = [
    ("docs/refusals.md", 114),
    ("docs/refusals/commands.md", 27),
    ("docs/refusals/descriptions.md", 47),
    ("docs/refusals/executables.md", 19),
    ("docs/refusals/inspect.md", 1),
];

/// Texts that no user is refused with: the file, or what its path begins with, what is in them (all if none is said), and why.
const OTHERS: [(&str, &[&str], &str); 23] = [
    ("compiler/src/code/", &[], "the interpreter of kernels, which only our own tests give wrong ones"),
    ("compiler/src/program/interpret.rs", &[], "likewise"),
    ("compiler/src/graph/verify.rs", &[], "asserted of graphs that were built"),
    ("compiler/src/graph/layer.rs", &["found a second input"], "which no description can say"),
    ("compiler/src/sample.rs", &[], "descriptions of random networks"),
    (
        "compiler/src/schedule.rs",
        &["one of several outputs", "has no room for whole vectors"],
        "the reason for a copy",
    ),
    (
        "compiler/src/job.rs",
        &["is not read: write what it says", "bytes and integers, quantised"],
        "lines of the summary",
    ),
    (
        "compiler/src/job/integers.rs",
        &["bytes and integers, calibrated", "; sigma of a logit's error", "; in f32 for their error"],
        "a line of the summary",
    ),
    (
        "compiler/src/job/settle.rs",
        &[
            "numbers of {dtype} to F32",
            "the file has no classifier: the",
            "as many as the weights' classifier",
            "{}, by its tensors",
            "another copy of the network",
            "that no layer wants, {} bytes",
            "of them named as layers are",
        ],
        "lines of the summary",
    ),
    ("compiler/src/inspect.rs", &["a program, ", "not told: only x86-64"], "what isn't told of programs"),
    ("compiler/src/cli/inspect.rs", &["as its manifest says"], "a promise that is kept"),
    (
        "compiler/src/cli/bench.rs",
        &["not known", "interleaved rounds", "a picture's bytes", "products of bytes", "FMA or integer"],
        "a table",
    ),
    (
        "compiler/src/cli/compile.rs",
        &["read description", "read weights", "build graph", "generate code", "write files"],
        "stages as they are shown while they last",
    ),
    (
        "compiler/src/cli/cost.rs",
        &["those of the tables of arXiv", "Channels that are one byte"],
        "what stands below a table",
    ),
    ("compiler/src/cli/doubts.rs", &["this virtual machine's time"], "a doubt beside a measurement"),
    (
        "compiler/src/cli/explore/budget.rs",
        &["one run in twenty", "nearly fits", "the most accurate within"],
        "what was chosen",
    ),
    ("compiler/src/cli/explore/claims/", &[], "what is told of the paper"),
    ("compiler/src/cli/explore.rs", &["as the network writes it"], "who chose the weights"),
    ("compiler/src/cli/quantize/report.rs", &[], "the report"),
    (
        "compiler/src/cli/targets.rs",
        &["Lanes are f32 elements", "where the CPU has it"],
        "what stands below a table",
    ),
    (
        "compiler/src/cli/verify/",
        &[
            "as the network writes it",
            "recorded input",
            "a pool of",
            "pieces ",
            "pools of",
            "step by step",
            "in a network that ends there",
            "random input",
            "special values",
            "zeros and denormals",
            "images a run",
            "scheduled for a small cache",
            "weights in a file",
            "mnc verify --random 1",
            "without a word",
            "{height}x{width}x{channels} -> ",
        ],
        "names of runs, inputs and networks",
    ),
    ("compiler/src/emit/static_link/inputs.rs", &["(no symbol)"], "the name of none"),
    ("macros/src/inline.rs", &["input = {{"], "the description that the macro makes of its layers"),
];

/// The source, without its tests.
fn files() -> Vec<(PathBuf, String)> {
    fn walk(folder: &Path, files: &mut Vec<(PathBuf, String)>) {
        let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)
            .expect("the folder can be read")
            .map(|entry| entry.expect("the entry can be read").path())
            .collect();
        paths.sort();
        for path in paths {
            let is_tests = path.file_stem().is_some_and(|name| name == "tests");
            if path.is_dir() && !is_tests {
                walk(&path, files);
            } else if path.extension().is_some_and(|ending| ending == "rs") && !is_tests {
                let text = std::fs::read_to_string(&path).expect("the file can be read");
                let from_root = path.strip_prefix(workspace()).expect("it lies in the workspace");
                files.push((from_root.to_owned(), text));
            }
        }
    }
    let mut files = Vec::new();
    FOLDERS.iter().for_each(|folder| walk(&workspace().join(folder), &mut files));
    let tests: BTreeSet<PathBuf> = files.iter().flat_map(|(path, text)| test_modules(path, text)).collect();
    files.retain(|(path, _)| !tests.contains(path));
    files
}

/// The files of modules that only tests have.
fn test_modules(path: &Path, text: &str) -> Vec<PathBuf> {
    let declared = text.split("#[cfg(test)]\nmod ").skip(1).filter_map(|rest| rest.split_once(';'));
    let names = declared.filter(|(name, _)| name.chars().all(|c| c.is_alphanumeric() || c == '_'));
    names.map(|(name, _)| path.with_extension("").join(name).with_extension("rs")).collect()
}

/// The texts of the source's errors, those of the Python module among them.
fn texts() -> Texts {
    let mut texts = source::texts(files());
    let module = std::fs::read_to_string(workspace().join(PYTHON)).expect("the module is there");
    for text in python(&module) {
        texts.entry(text).or_default().insert((PathBuf::from(PYTHON), String::new()));
    }
    texts
}

/// The strings of lines that raise something or say what was expected, and those of statuses.
fn python(module: &str) -> Vec<String> {
    let mut texts = Vec::new();
    let mut in_statuses = false;
    for line in module.lines() {
        in_statuses = (in_statuses || line.starts_with("_STATUS = {")) && line != "}";
        let says = ["raise ", "Error(", "expected", "_not_floats(", "aren't", "how = "];
        if in_statuses || says.iter().any(|word| line.contains(word)) {
            let plain = |text: &str| text.trim_end_matches("\\n").replace('{', "{{").replace('}', "}}");
            let filled =
                |text: String| ["%s", "%d", "%r"].iter().fold(text, |text, sign| text.replace(sign, "{}"));
            texts.extend(line.split('"').skip(1).step_by(2).map(|text| filled(plain(text))));
        }
    }
    texts
}

/// The messages that pages show, by the page.
pub(super) fn pages() -> BTreeMap<&'static str, BTreeSet<String>> {
    let lines = |name: &str| {
        let text = std::fs::read_to_string(workspace().join(name)).expect("the page is there");
        text.lines().filter_map(|line| line.strip_prefix("    ")).map(str::to_owned).collect()
    };
    PAGES.map(|(name, _)| (name, lines(name))).into()
}

#[test]
fn every_page_is_held() {
    let folder = std::fs::read_dir(workspace().join("docs/refusals")).expect("the folder is there");
    for entry in folder {
        let name = format!("docs/refusals/{}", entry.expect("it can be read").file_name().to_string_lossy());
        assert!(PAGES.iter().any(|(page, _)| *page == name), "{name} is no page that this test reads");
    }
}

#[test]
fn every_text_of_an_error_is_on_a_page() {
    let (texts, pages) = (texts(), pages());
    assert!(1000 < texts.len(), "{} texts of errors in the source", texts.len());
    let mut used = [false; OTHERS.len()];
    let mut missing = BTreeSet::new();
    for (text, places) in &texts {
        let patterns = Pattern::all(text);
        let lacks = |pattern: &&Pattern| {
            1 < pattern.n_words() && !pages.values().flatten().any(|line| pattern.find(line).is_some())
        };
        if !patterns.iter().any(|pattern| lacks(&pattern)) {
            continue;
        }
        for (path, function) in places {
            let is_of = |(start, said, _): &(&str, &[&str], &str)| {
                let is_there = path.to_str().is_some_and(|path| path.starts_with(start));
                is_there && (said.is_empty() || said.iter().any(|said| text.contains(said)))
            };
            match OTHERS.iter().position(is_of) {
                Some(idx) => used[idx] = true,
                None => drop(missing.insert(format!("{}, {function}: {text:?}", path.display()))),
            }
        }
    }
    let missing: Vec<String> = missing.into_iter().collect();
    assert!(
        missing.is_empty(),
        "docs/refusals.md and docs/refusals/ have no line for\n{}\nwrite one, with words in capitals for what differs",
        missing.join("\n")
    );
    for ((path, _, _), used) in OTHERS.iter().zip(used) {
        assert!(used, "{path}: has no text that is missing: the exception can go");
    }
}

/// Every word of a line that no command has brought about is in a text of the source that fits the line.
pub(super) fn check_words(pages: &BTreeMap<&str, BTreeSet<String>>, found: &BTreeSet<String>) {
    let patterns: Vec<Pattern> = texts().keys().flat_map(|text| Pattern::all(text)).collect();
    let (mut stale, mut fewer) = (String::new(), String::new());
    for (page, least) in PAGES {
        let (told, others): (Vec<&String>, Vec<&String>) =
            pages[page].iter().partition(|line| found.contains(*line));
        for line in others {
            let kind = STARTS.iter().find(|start| line.starts_with(*start)).map_or(0, |start| start.len());
            let words = unknown(&line[kind..], &patterns);
            if !words.is_empty() {
                stale += &format!("{page}: no text has {words:?} of\n    {line}\n");
            }
        }
        if told.len() < least {
            fewer += &format!("{page}: {} lines, expected {least} at least\n", told.len());
        }
    }
    assert!(stale.is_empty(), "what nothing says any more:\n{stale}");
    assert!(fewer.is_empty(), "lines that cases bring about:\n{fewer}");
}

#[test]
fn patterns_fit_lines() {
    let fits = |text: &str, line: &str| Pattern::all(text).iter().all(|pattern| pattern.find(line).is_some());
    assert!(fits("found {x:?}, expected {{i}} or {}", "FILE: found X, expected {i} or Y"));
    assert!(!fits("found {x:?}, expected {{i}} or {}", "FILE: found X, expected {i}"));
    assert!(!fits("expected {} found", "found X, expected Y"));
    let words = |line: &str, text: &str| unknown(line, &Pattern::all(text));
    assert!(words("FILE: found HEIGHTxWIDTH, expected 2", "found {h}x{w}, expected {n}").is_empty());
    assert_eq!(
        words("FILE: found X, awaited 2", "found {}, expected {}").into_iter().collect::<Vec<_>>(),
        ["awaited", "found"]
    );
}

#[test]
fn texts_are_found_where_they_are_made() {
    let source = r#"
        const WANTED: &str = "a constant of words";
        struct Row { expected: &'static str }
        fn read(row: &Row, n: usize) -> Result<(), String> {
            let what = if n == 1 { "one of two" } else { "two of two" };
            let fail = |detail: &str| Err(detail.to_owned());
            check(n, "an argument of words")?;
            if n == 2 { return fail("a closure of words"); }
            Err(format!("found {what}, expected {WANTED} or {}", row.expected))
        }
        fn check(n: usize, expected: &str) -> Result<(), String> { named(n).ok_or_else(|| format!("{n} is not {expected}")) }
        fn row() -> Row { Row { expected: "a field of words" } }
        fn other() { let _ = helper(&"nothing of errors"); assert!(true, "asserted of words"); }
        fn told() { print(&format!("so many were expected of them")); }
        #[cfg(test)]
        mod tests { fn x() { Err("of a test") } }
    "#;
    let found = source::texts(vec![(PathBuf::from("a/b.rs"), source.to_owned())]);
    let found: Vec<&str> = found.keys().map(String::as_str).collect();
    let expected = [
        "a closure of words",
        "a constant of words",
        "a field of words",
        "an argument of words",
        "found {what}, expected {WANTED} or {}",
        "one of two",
        "so many were expected of them",
        "two of two",
        "{n} is not {expected}",
    ];
    assert_eq!(found, expected);
}
