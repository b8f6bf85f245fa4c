//! Errors of `mobilenet!`: each file of `ui/` fails to compile with the text beside it.
//!
//! `UPDATE_GOLDEN=1 cargo test -p mnc-tests --test macro_errors` writes the texts anew; nothing else does.

use std::path::PathBuf;

use mnc_tests::need;
use mnc_tests::user_crate::UserCrate;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

const BLESS: &str = "UPDATE_GOLDEN=1 cargo test -p mnc-tests --test macro_errors";

fn cases() -> Vec<PathBuf> {
    let folder = need::workspace().join("tests/ui");
    let entries = std::fs::read_dir(folder).expect("the folder can be read");
    let mut cases: Vec<PathBuf> = entries
        .map(|entry| entry.expect("the entry can be read").path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "rs"))
        .collect();
    cases.sort();
    cases
}

/// The file with one more tensor, which is called as a layer's is.
fn with_another_layer(file: &[u8]) -> Vec<u8> {
    let file = SafeTensors::deserialize(file).expect("it is a safetensors file");
    let bytes = [0; 4];
    let more = TensorView::new(Dtype::F32, vec![1, 1, 1, 1], &bytes).expect("a number has four bytes");
    let all = file.tensors().into_iter();
    let all = all.chain([("mobilenet_v1.layer.26.convolution.weight".to_owned(), more)]);
    safetensors::serialize(all, None).expect("names are unique")
}

#[test]
fn errors_point_at_the_words_at_fault() {
    let manifest = "[dependencies]\nmnc-macros = { path = \"{root}/macros\" }\nmnc-runtime = { path = \"{root}/runtime\" }\n";
    let Some(package) = UserCrate::new(env!("CARGO_TARGET_TMPDIR"), "macro-errors", manifest) else { return };
    package.write("data/not-toml.toml", "name = \n");
    package.write("data/not.safetensors", "not safetensors at all");
    let person = need::workspace().join("examples/person-detector/person.safetensors");
    for name in ["data/person.safetensors", "data/misconfigured.safetensors"] {
        std::fs::copy(&person, package.path().join(name)).expect("the folder is ours");
    }
    package.write("data/more.safetensors", with_another_layer(&std::fs::read(&person).expect("it is there")));
    std::fs::copy(person.with_file_name("config.json"), package.path().join("data/more.config.json"))
        .expect("the folder is ours");
    package.write("data/misconfigured.config.json", "{ \"depth_multiplier\": \"a quarter\" }\n");
    package.long_file("data/long");
    let has_fifo = package.fifo("data/fifo").is_some();
    let is_blessing = std::env::var("UPDATE_GOLDEN").as_deref() == Ok("1");
    let mut wrong = String::new();
    let cases = cases();
    assert!(!cases.is_empty(), "there are cases");
    for case in cases {
        let name = case.file_stem().and_then(|stem| stem.to_str()).expect("a name in UTF-8").to_owned();
        if name == "fifo" && !has_fifo {
            continue;
        }
        package.write("src/main.rs", std::fs::read(&case).expect("the case can be read"));
        let output = package.cargo(&["check", "--release"]).output().expect("cargo runs");
        assert!(!output.status.success(), "{name}: compiles");
        let text = String::from_utf8_lossy(&output.stderr);
        let found = text.replace(&package.path().display().to_string(), "$DIR");
        let file = case.with_extension("stderr");
        let expected = std::fs::read_to_string(&file).unwrap_or_default();
        if is_blessing {
            std::fs::write(&file, found).expect("the file can be written");
        } else if expected != found {
            wrong += &format!("\n{name}, found:\n{found}\nexpected:\n{expected}");
        }
    }
    assert!(wrong.is_empty(), "{wrong}\nwhere the new text is right: {BLESS}");
}

/// Whoever uses the macro builds no code generator and no command line.
#[test]
fn few_packages_are_built() {
    const MOST: usize = 42;
    let manifest = "[dependencies]\nmnc-macros = { path = \"{root}/macros\" }\nmnc-runtime = { path = \"{root}/runtime\" }\n";
    let Some(package) = UserCrate::new(env!("CARGO_TARGET_TMPDIR"), "macro-tree", manifest) else { return };
    package.write("src/lib.rs", "");
    let output = need::run(&mut package.cargo(&[
        "tree",
        "--edges",
        "normal,build",
        "--prefix",
        "none",
        "--no-dedupe",
    ]));
    let text = String::from_utf8_lossy(&output.stdout);
    let packages: std::collections::BTreeSet<&str> = text.lines().collect();
    for heavy in ["cranelift", "clap", "iced-x86", "image ", "object "] {
        assert!(!packages.iter().any(|name| name.starts_with(heavy)), "{heavy} is among them:\n{text}");
    }
    assert!(packages.len() <= MOST, "{} packages, expected {MOST} at most:\n{text}", packages.len());
}
