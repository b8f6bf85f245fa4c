//! `mnc bench` and `mnc profile` as a user meets them. No test looks at how long anything took.

#[path = "support/command.rs"]
mod command;

use command::{has_compiler, json, mnc, stdout};
use serde_json::Value;

/// A network that is compiled in no time.
const SMALL: &[&str] = &["mobilenet-v1", "--alpha", "0.25", "--resolution", "32"];

/// A folder with the executable `net`; `None` without a C compiler.
fn folder_with_net() -> Option<tempfile::TempDir> {
    if !has_compiler() {
        return None;
    }
    let folder = tempfile::tempdir().expect("a folder for temporary files");
    let compile = [&["compile"], SMALL, &["--random-weights", "1", "--quiet", "-o", "net"]].concat();
    stdout(folder.path(), &compile, &[]);
    Some(folder)
}

#[test]
fn executables_and_networks_take_turns() {
    let Some(folder) = folder_with_net() else { return };
    let bench = ["bench", "./net", "mobilenet-v1", "--resolution", "32", "--alpha", "0.25,0.5"];
    let document = json(folder.path(), &bench, &["--rounds", "2", "--runs", "3", "-t", "1,2", "--json"]);
    assert_eq!((&document["rounds"], &document["warm_up"]), (&2.into(), &10.into()));
    assert!(document["warnings"].is_array(), "a quiet machine has none, and says that too");
    let networks = document["networks"].as_array().expect("a list");
    let of = |network: &Value| {
        let threads = network["latencies"]["threads"].as_u64();
        (network["label"].as_str().map(str::to_owned), threads)
    };
    let labels = ["./net: mobilenet-v1 0.25@32", "mobilenet-v1 0.25@32", "mobilenet-v1 0.5@32"];
    let expected: Vec<_> = labels
        .iter()
        .flat_map(|label| [1, 2].map(|threads| (Some((*label).to_owned()), Some(threads))))
        .collect();
    assert_eq!(networks.iter().map(of).collect::<Vec<_>>(), expected);
    for network in networks {
        let latencies = &network["latencies"];
        assert_eq!(latencies["milliseconds"].as_array().map(Vec::len), Some(6), "two rounds of three runs");
        let number =
            |value: &Value| value.as_f64().unwrap_or_else(|| panic!("a number is missing: {network}"));
        let (min, median) = (number(&latencies["min"]), number(&latencies["median"]));
        assert!(0.0 < min && min <= median, "{network}");
        assert!(min < number(&network["start"]["median"]), "a process takes longer than its run: {network}");
        assert_eq!(
            network["compile_seconds"].is_null(),
            network["label"].as_str().unwrap().starts_with("./net")
        );
    }
    let size = std::fs::metadata(folder.path().join("net")).expect("it is there").len();
    assert_eq!(networks[0]["executable_bytes"], size);
    // Nothing stays behind.
    assert_eq!(std::fs::read_dir(folder.path()).expect("it can be read").count(), 1);
}

#[test]
fn tables_have_a_line_for_each() {
    let Some(folder) = folder_with_net() else { return };
    let table = stdout(folder.path(), &["bench", "net", "net"], &["--rounds", "1", "--runs", "2"]);
    assert_eq!(table.matches("net: mobilenet-v1 0.25@32").count(), 4, "{table}");
    assert!(table.contains("start to first result") && table.contains("speedup"), "{table}");
}

#[test]
fn a_profile_is_the_executables_own() {
    let Some(folder) = folder_with_net() else { return };
    let svg = folder.path().join("roof.svg");
    let profile = json(folder.path(), &["profile", "./net", "--runs", "2", "--json"], &["--svg", "roof.svg"]);
    assert_eq!((&profile["n_runs"], &profile["network"]), (&2.into(), &"mobilenet-v1".into()));
    let text = std::fs::read_to_string(svg).expect("the picture is written");
    assert!(text.starts_with("<svg"), "{text}");
    let table = stdout(folder.path(), &["profile"], &[SMALL, &["--runs", "2"]].concat());
    assert!(table.contains("conv_pw_13") && table.contains("a whole run"), "{table}");
}

#[test]
fn what_cannot_be_measured_is_said() {
    let Some(folder) = folder_with_net() else { return };
    let check = |args: &[&str], code: i32, expected: &str| {
        let (found, _, err) = mnc(folder.path(), args, &[]);
        assert!(found == code && err.contains(expected), "{args:?}: {found} {err}");
    };
    std::fs::write(folder.path().join("text"), "echo hello").expect("the folder is writable");
    check(&["bench", "text"], 1, "error: text: not made by mnc, expected an executable of `mnc compile`");
    check(&["bench", "nowhere"], 1, "expected a network or an executable made by mnc");
    check(&["bench", "nowhere.toml"], 1, "expected a description in TOML");
    check(&["bench"], 2, "required");
    check(&["bench", "net", "--threads", "0"], 2, "expected a number from 1 to 1024, or auto");
    check(&["bench", "net", "--rounds", "0"], 2, "--rounds");
    check(&["profile", "mobilenet-v1", "--alpha", "0.25,0.5"], 2, "found 2 networks, expected one");
}

#[test]
fn what_was_tuned_can_be_built_again() {
    let Some(folder) = folder_with_net() else { return };
    let path = folder.path();
    let read = |name: &str| std::fs::read(path.join(name)).expect("it was written");
    let compile = [&["compile"], SMALL, &["--random-weights", "1", "--quiet"]].concat();
    let (code, _, told) = mnc(path, &compile, &["--emit", "obj", "-o", "a.o", "--tune", "t.toml"]);
    assert_eq!(code, 0, "{told}");
    // On a busy machine warnings come first.
    assert!(told.lines().any(|line| line.starts_with("tune: ")), "{told}");
    let schedule = ["--emit", "obj", "-o", "b.o", "--schedule", "t.toml"];
    stdout(path, &compile, &schedule);
    assert_eq!(read("a.o"), read("b.o"));

    // A choice of one's own, with its reason in the dump; the answers are tested elsewhere.
    let mut text = String::from_utf8(read("t.toml")).expect("UTF-8");
    let kernel = stdout(path, &compile, &["--dump", "schedule"]);
    let kernel = kernel.split("f32_pointwise_").nth(1).expect("a pointwise layer");
    let (_, rest) = kernel.split_once('_').expect("a tile");
    let (rest, _) = rest.split_once('(').expect("a call");
    text = text.split("\n[[").next().expect("a head").replace("layer = []\nchain = []\n", "");
    text += &format!(
        "\n[[layer]]\nname = \"conv_pw_1\"\nkernel = \"f32_pointwise_2x16_{rest}\"\nreason = \"I like it\"\n"
    );
    std::fs::write(path.join("mine.toml"), &text).expect("the folder is writable");
    let dump = stdout(path, &compile, &["--schedule", "mine.toml", "--dump", "schedule"]);
    assert!(dump.contains("f32_pointwise_2x16_") && dump.contains("2x16 tile, I like it"), "{dump}");

    let check = |text: &str, expected: &str| {
        std::fs::write(path.join("bad.toml"), text).expect("the folder is writable");
        let (code, _, err) = mnc(path, &compile, &["--schedule", "bad.toml"]);
        assert!(code == 1 && err.contains(expected), "{code} {err}");
    };
    let line = text.lines().position(|line| line.starts_with("name")).expect("a layer") + 1;
    check(&text.replace("conv_pw_1", "conv_pw_77"), &format!("bad.toml:{line}: found no layer conv_pw_77"));
    check(&text.replace("alpha = 0.25", "alpha = 0.5"), "bad.toml: made for mobilenet-v1, alpha 0.5");
    let (code, _, err) = mnc(path, &compile, &["--schedule", "nowhere.toml"]);
    assert!(code == 1 && err.contains("expected a schedule that `mnc compile --tune` wrote"), "{err}");
    let (code, _, err) =
        mnc(path, &compile, &["--target", "riscv64gc-unknown-linux-gnu", "--emit", "obj", "--tune", "x"]);
    assert!(code == 2 && err.contains("candidates are timed on this machine"), "{err}");
    assert!(!path.join("x").exists());
}
