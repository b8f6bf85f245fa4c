//! What CONTRIBUTING.md says to touch for a new layer kind, activation or kernel is where an old one is named.

use std::collections::BTreeSet;

use mnc_tests::need::workspace;

use super::{code, files, report};

/// A row of the table.
struct Row {
    /// What is added.
    adding: &'static str,
    /// The names of an old one of its sort.
    old: &'static [&'static str],
    /// Files that name it for a reason that no new one has.
    exceptions: &'static [(&'static str, &'static str)],
}

const ROWS: [Row; 3] = [
    Row {
        adding: "a layer kind",
        old: &["Layer::GlobalAveragePool", "LayerKind::GlobalAveragePool", "\"global_average_pool\""],
        exceptions: &[
            ("compiler/src/compile.rs", "a pool hands logits on"),
            ("compiler/src/weights/config/change.rs", "where the head of a network is"),
            ("compiler/src/emit/limits.rs", "a test"),
            ("compiler/src/graph/build/block.rs", "a gate begins with a pool"),
            ("compiler/src/inspect/tests.rs", "a test"),
        ],
    },
    Row {
        adding: "an activation",
        old: &["Activation::Relu6"],
        exceptions: &[
            ("compiler/src/describe/parse.rs", "the default"),
            ("compiler/src/sample.rs", "the usual ones, drawn more often"),
            ("compiler/src/weights/config.rs", "the default of a configuration, and its words"),
        ],
    },
    Row {
        adding: "a kernel",
        old: &["Kernel::GlobalAveragePool", "Family::GlobalAveragePool"],
        exceptions: &[],
    },
];

/// Paths of the table are those below `compiler/src`, or of the repository.
#[test]
fn the_table_of_contributing_is_true() {
    let guide = std::fs::read_to_string(workspace().join("CONTRIBUTING.md")).expect("it is there");
    let sources = files(&[".rs"]);
    let is_source =
        |path: &str| ["compiler/src", "macros/src", "runtime/src"].iter().any(|root| path.starts_with(root));
    let is_test = |path: &str| path.ends_with("tests.rs") || path.contains("/tests/");
    let mut faults = Vec::new();
    for Row { adding, old, exceptions } in &ROWS {
        let start = format!("| {adding} |");
        let row = guide.lines().find_map(|line| line.strip_prefix(&start)).expect("the table has the row");
        let told: Vec<&str> = row.split('|').next().unwrap_or("").split('`').skip(1).step_by(2).collect();
        let named: BTreeSet<String> = (sources.iter())
            .map(|(path, text)| (path.to_string_lossy().into_owned(), text))
            .filter(|(path, _)| is_source(path) && !is_test(path))
            .filter(|(_, text)| code(text).any(|line| old.iter().any(|word| line.contains(word))))
            .map(|(path, _)| path)
            .collect();
        // A folder of the row stands for the files in it that the row doesn't name.
        let of_table = |path: &str| {
            let below = path.strip_prefix("compiler/src/").unwrap_or(path);
            let folder = |told: &&&str| told.ends_with('/') && below.starts_with(**told);
            told.iter().find(|told| **told == below).or_else(|| told.iter().find(folder))
        };
        for path in &named {
            if of_table(path).is_none() && exceptions.iter().all(|(other, _)| other != path) {
                faults.push(format!("{path} names {old:?}, and the row of {adding} doesn't say so"));
            }
        }
        for told in &told {
            if !named.iter().any(|path| of_table(path) == Some(told)) {
                faults.push(format!("the row of {adding} sends to {told}, which doesn't name {old:?}"));
            }
        }
    }
    report(faults);
}
