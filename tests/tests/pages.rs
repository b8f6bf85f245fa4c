//! Samples in `docs/`: what the pages show is what comes out.

use std::process::Command;

use mnc_tests::command::mnc;
use mnc_tests::folder::Folder;
use mnc_tests::need;

/// The lines of a sample and of what comes out, without sums of files. How many bytes the constants have is left out too: the
/// description is among them, and grows with every key.
fn steady(text: &str) -> Vec<String> {
    let lines = text.trim().lines().filter(|line| !line.trim().starts_with("constants "));
    lines.map(|line| line.split("SHA-256").next().unwrap_or("").trim().to_owned()).collect()
}

#[test]
fn inspect() {
    let Some(mnc) = mnc() else { return };
    let page = std::fs::read_to_string(need::workspace().join("docs/inspect.md")).expect("the page is there");
    let lines = page.lines().skip_while(|line| *line != "    $ mnc inspect net.o").skip(1);
    let sample: Vec<&str> = lines.take_while(|line| line.is_empty() || line.starts_with("    ")).collect();
    let folder = Folder::new();
    let run = |arguments: &[&str]| {
        let output = need::run(Command::new(mnc).current_dir(folder.path()).args(arguments));
        String::from_utf8(output.stdout).expect("it prints text")
    };
    let network = ["mobilenet-v1", "--random-weights", "1", "--alpha", "0.25", "--resolution", "32"];
    let to =
        ["--target", "x86_64-unknown-linux-gnu", "--emit", "obj,manifest", "--name", "net", "-o", "net.o"];
    run(&[&["compile"], &network[..], &to].concat());
    let found = run(&["inspect", "net.o"]);
    assert!(
        steady(&found) == steady(&sample.join("\n")),
        "docs/inspect.md shows something else than:\n{found}"
    );
}

/// Which CPUs the README promises, and with which recipe a debug build of the macro is fast: each as it was measured.
#[test]
fn what_is_needed_is_said() {
    let page = |name: &str| {
        let text = std::fs::read_to_string(need::workspace().join(name)).expect("the page is there");
        text.split_whitespace().collect::<Vec<&str>>().join(" ")
    };
    let readme = page("README.md");
    let cpus = "An x86-64 CPU needs AVX2 and FMA: Intel's Core and Xeon have them since 2013, AMD's since 2015; Pentium, Celeron and Atom";
    assert!(readme.contains(cpus), "{cpus}");
    assert!(!readme.contains("any x86-64"), "there is no CPU feature that any x86-64 has beyond SSE2");
    let recipe = "[profile.dev.package.net] opt-level = 3";
    assert!(page("docs/macro.md").contains(recipe), "{recipe}");
}
