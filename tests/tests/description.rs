//! `docs/description.md` is true: its examples are legal networks, and it names every key.

use mnc::describe::Description;
use mnc::graph::layer::Activation;
use mnc::graph::{Graph, Knobs};
use mnc_tests::networks::kinds;

const DOCS: &str = include_str!("../../docs/description.md");

/// The text of each block fenced as TOML.
fn examples() -> Vec<&'static str> {
    DOCS.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap_or("")).collect()
}

#[test]
fn examples_are_legal() {
    let examples = examples();
    assert_eq!(examples.len(), 8, "examples found in docs/description.md");
    for example in examples {
        let description =
            Description::parse(example, "example.toml").unwrap_or_else(|error| panic!("{error}\n{example}"));
        if let Err(error) = Graph::build(&description, &Knobs::default()) {
            panic!("{error}\n{example}");
        }
    }
}

/// The errors that the page shows are those that its first example gives when it is broken so.
#[test]
fn the_errors_shown_are_real() {
    let broken = examples()[0].replace("filters = 16\nstride = 2", "filters = 16\nfilter = 16\nstride = 5");
    let error = Description::parse(&broken, "tiny.toml").expect_err("the description is broken");
    let shown: String = error.to_string().lines().map(|line| format!("    {line}\n")).collect();
    assert!(DOCS.contains(&shown), "docs/description.md lacks\n{shown}");
}

/// Kinds and keys are learnt from the errors that list them, so that a new one can't be forgotten here.
#[test]
fn every_kind_and_key_is_documented() {
    let mut text = "zzzzzzzz = 1\n[input]\nzzzzzzzz = 1\n[alpha]\nzzzzzzzz = 1\n[preprocess]\nzzzzzzzz = 1\n\
                    [detect]\nzzzzzzzz = 1\npriors = [{ zzzzzzzz = 1 }]\n"
        .to_string();
    let kinds = kinds();
    for kind in &kinds {
        assert!(DOCS.contains(&format!("\n| `\"{kind}\"` |")), "docs/description.md has no row for {kind:?}");
        text += &format!("[[layer]]\nkind = \"{kind}\"\nzzzzzzzz = 1\n");
    }
    let error = Description::parse(&text, "keys.toml").expect_err("there are unknown keys");
    let lists: Vec<&str> = error
        .faults()
        .iter()
        .filter(|fault| fault.detail.contains("zzzzzzzz"))
        .filter_map(|fault| fault.detail.split_once(", expected ").map(|(_, keys)| keys))
        .collect();
    assert_eq!(lists.len(), 6 + kinds.len(), "{lists:?}");
    let rule =
        Description::parse("[detect]\npriors = { zzzzzzzz = 1 }\n", "keys.toml").expect_err("likewise");
    let unknown = rule.faults().iter().find(|fault| fault.detail.contains("zzzzzzzz"));
    let of_rule =
        unknown.and_then(|fault| fault.detail.split_once(", expected ")).expect("it lists the keys").1;
    for key in lists.iter().copied().chain([of_rule]).flat_map(|keys| keys.split('`').skip(1).step_by(2)) {
        let documented = [format!("| `{key}` |"), format!("| `[{key}]` |"), format!("| `[[{key}]]` |")];
        assert!(
            documented.iter().any(|row| DOCS.contains(row)),
            "docs/description.md has no row for `{key}`"
        );
    }
}

#[test]
fn every_activation_is_documented() {
    const ARITHMETIC: &str = include_str!("../../docs/arithmetic.md");
    for word in Activation::ALL.map(Activation::word) {
        assert!(DOCS.contains(&format!("| `\"{word}\"` |")), "docs/description.md has no row for {word}");
        let is_told = word == "none" || ARITHMETIC.contains(&format!("| `{word}` |"));
        assert!(is_told, "docs/arithmetic.md has no row for {word}");
    }
}

/// What is written of a description is read as the same one: every built-in network, and random ones with every key.
#[test]
fn descriptions_come_back() {
    for builtin in mnc::describe::BUILTIN {
        let description = builtin.description();
        let text = description.to_toml().unwrap_or_else(|| panic!("{} can't be written", builtin.name));
        assert_eq!(Description::parse(&text, "net.toml").expect("it was read"), description);
    }
    for seed in 0..600 {
        let network = mnc::sample::RandomNetwork::new(seed);
        let description = Description::parse(&network.toml, "net.toml").expect("it is legal");
        assert!(description.to_toml().is_some(), "seed {seed} can't be written:\n{}", network.toml);
    }
}
