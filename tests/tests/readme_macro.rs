//! The macro as `README.md` shows it: a new user pastes the section into an empty folder, and it prints what it says.

use std::path::PathBuf;
use std::process::Command;

use mnc_tests::folder::Folder;
use mnc_tests::need;

const SECTION: &str = "## In a Rust crate\n";

/// The code of the section's blocks in this language.
fn block<'a>(section: &'a str, language: &str) -> &'a str {
    let (start, end) = (format!("```{language}\n"), "```");
    let mut blocks = section.split(&start).skip(1).filter_map(|rest| rest.split(end).next());
    let block = blocks.next().unwrap_or_else(|| panic!("the section has no {language}"));
    assert_eq!(blocks.next(), None, "the section has one block in {language}");
    block
}

#[test]
fn the_section_works_as_it_stands() {
    let Some(cargo) = need::program("cargo") else { return };
    let root = need::workspace();
    let readme = std::fs::read_to_string(root.join("README.md")).expect("the repository has a README.md");
    let section = readme.split(SECTION).nth(1).and_then(|rest| rest.split("\n## ").next());
    let section = section.expect("README.md has the section");
    assert!(section.contains("`cargo run --release`"), "the section says how to run it");
    // The folder that it calls `mnc` lies elsewhere here, so that the compiler is built once for all tests.
    let here = |text: &str| text.replace("../mnc", &root.display().to_string());

    let folder = Folder::new();
    let cargo = |folder: PathBuf, arguments: &[&str]| {
        let mut command = Command::new(&cargo);
        command.args(arguments).current_dir(folder).env_remove("RUSTFLAGS").env("CARGO_NET_OFFLINE", "true");
        command.env("CARGO_TARGET_DIR", PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("user-crates"));
        // What this test's own cargo was told is not meant for the other.
        for name in ["CARGO_MANIFEST_DIR", "CARGO_PKG_NAME", "RUSTC_WORKSPACE_WRAPPER"] {
            command.env_remove(name);
        }
        String::from_utf8(need::run(&mut command).stdout).expect("it prints text")
    };
    let mut package = folder.path().to_owned();
    for line in block(section, "sh").lines() {
        match line.split(' ').collect::<Vec<&str>>()[..] {
            ["cargo", ref arguments @ ..] => drop(cargo(package.clone(), arguments)),
            ["cd", name] => package.push(name),
            _ => panic!("expected cargo or cd, found {line}"),
        }
    }
    let manifest = package.join("Cargo.toml");
    let made = std::fs::read_to_string(&manifest).expect("cargo made it");
    assert!(made.ends_with("[dependencies]\n"), "the place to paste to is the end of it:\n{made}");
    let write =
        |name: &str, text: String| std::fs::write(package.join(name), text).expect("the folder is ours");
    write("Cargo.toml", made + &here(block(section, "toml")));
    write("src/main.rs", here(block(section, "rust")));
    // A user's cargo downloads; this one has what the workspace has.
    std::fs::copy(root.join("Cargo.lock"), package.join("Cargo.lock")).expect("the folder is ours");
    let printed = cargo(package.clone(), &["run", "--quiet", "--release"]);
    assert_eq!(printed, block(section, "text"));
}
