//! Narrow terminals: what `mnc` prints fits, and what its help shows can be pasted.

use std::path::Path;
use std::process::{Command, Stdio};

const MNC: &str = env!("CARGO_BIN_EXE_mnc");
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
const WEIGHTS: &str = "examples/person-detector/person.safetensors";

/// Standard output and standard error, as wide as that.
fn run(folder: &Path, columns: usize, arguments: &[&str]) -> String {
    let mut command = Command::new(MNC);
    command.args(arguments).current_dir(folder).env("COLUMNS", columns.to_string()).stdin(Stdio::null());
    let output = command.output().expect("the command starts");
    let error = String::from_utf8(output.stderr).expect("it prints text");
    assert!(output.status.success(), "{arguments:?}: {error}");
    String::from_utf8(output.stdout).expect("it prints text") + &error
}

/// No line is too long, unless a word of it is: paths and sums stay whole.
fn check_width(text: &str, columns: usize, what: &[&str]) {
    for line in text.lines() {
        let has_long_word = line.split_whitespace().any(|word| columns < word.chars().count() + 20);
        assert!(line.chars().count() <= columns || has_long_word, "{what:?}: {line:?} in\n{text}");
    }
}

#[test]
fn examples_can_be_pasted() {
    let help = run(Path::new(ROOT), 80, &["--help"]);
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let listed = listed.take_while(|line| !line.is_empty()).filter(|line| !line.starts_with("   "));
    let commands: Vec<&str> = listed.filter_map(|line| line.split_whitespace().next()).collect();
    assert!(commands.contains(&"compile") && 10 < commands.len(), "{commands:?}");
    let mut n_examples = 0;
    for command in commands.iter().filter(|command| **command != "help").map(|it| vec![*it]).chain([vec![]]) {
        let arguments = [&command[..], &["--help"]].concat();
        let text = run(Path::new(ROOT), 80, &arguments);
        check_width(&text, 80, &arguments);
        let examples =
            text.split("Examples:\n").nth(1).unwrap_or_else(|| panic!("{command:?} has no examples"));
        let mut goes_on = false;
        for line in examples.lines().take_while(|line| line.is_empty() || line.starts_with("  ")) {
            let line = line.trim_end();
            let is_start = ["  mnc ", "  ./", "  CC="].iter().any(|start| line.starts_with(start));
            let is_right = line.is_empty() || if goes_on { line.starts_with("    ") } else { is_start };
            assert!(is_right, "{command:?}: {line:?} is no example that can be pasted");
            goes_on = line.ends_with('\\');
            n_examples += 1;
        }
        assert!(!goes_on, "{command:?}: the last example has no end");
    }
    assert!(30 < n_examples, "{n_examples}");
}

#[test]
fn sixty_columns_are_enough() {
    let folder = tempfile::tempdir().expect("a folder for temporary files");
    let weights = Path::new(ROOT).join(WEIGHTS).canonicalize().expect("the repository has it");
    let weights = weights.to_str().expect("UTF-8");
    let network = ["mobilenet-v1", "--random-weights", "1", "--alpha", "0.25", "--resolution", "32"];
    let compile = [&["compile"], &network[..], &["--emit", "obj,manifest", "-o", "net"]].concat();
    for arguments in [
        &compile[..],
        &["compile", "mobilenet-v1", "--weights", weights, "--emit", "obj", "-o", "person.o"],
        &["inspect", "net.o"],
        &["cost", "mobilenet-v1"],
        &["cost", "mobilenet-v1", "--alpha", "1,0.5", "--resolution", "224,160"],
        &["tensors", "mobilenet-v1"],
        &["targets"],
        &["describe"],
        &[&["quantize"], &network[..]].concat(),
    ] {
        let text = run(folder.path(), 60, arguments);
        check_width(&text, 60, arguments);
        // A card says all that the row said.
        let wide = run(folder.path(), 1000, arguments);
        let words = |text: &str| -> std::collections::BTreeSet<String> {
            text.split_whitespace().filter(|word| word.len() < 40).map(str::to_owned).collect()
        };
        let lost: Vec<String> = words(&wide).difference(&words(&text)).cloned().collect();
        let is_time = |word: &String| word.ends_with(|c: char| c.is_ascii_digit()) && word.contains('.');
        assert!(lost.iter().all(is_time), "{arguments:?}: {lost:?} are missing in\n{text}");
    }
}
