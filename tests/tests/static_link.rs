//! Executables by our own linker: they answer as those of the system's linker do, and need nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use mnc_tests::command::mnc;
use mnc_tests::folder::Folder;
use mnc_tests::need;

/// All of an executable but its weights.
const MOST_BYTES_BESIDE_WEIGHTS: u64 = 1_250_000;

const AARCH64: &str = "aarch64-unknown-linux-gnu";

/// Compiles into a folder; nothing that a linker could be is on the search path of `without`.
fn compile(
    folder: &Folder,
    weights: &Path,
    output: &str,
    arguments: &[&str],
    without: bool,
) -> Option<PathBuf> {
    let mut command = Command::new(mnc()?);
    command.current_dir(folder.path()).args([
        "compile",
        "mobilenet-v1",
        "--quiet",
        "-o",
        output,
        "--weights",
    ]);
    command.arg(weights).args(arguments);
    if without {
        command.env("PATH", folder.path()).env_remove("CC");
    }
    need::run(&mut command);
    Some(folder.path().join(output))
}

fn person() -> PathBuf {
    need::workspace().join("examples/person-detector/person.safetensors").canonicalize().expect("it is there")
}

fn photos() -> PathBuf {
    need::workspace().join("examples/person-detector/photos")
}

/// What a program prints for those arguments, and its exit code.
fn answers(
    runner: Option<&Path>,
    program: &Path,
    arguments: &[&str],
    pictures: &[PathBuf],
) -> (String, Option<i32>) {
    let mut command = match runner {
        Some(runner) => {
            let mut command = Command::new(runner);
            command.arg(program);
            command
        }
        None => Command::new(program),
    };
    let output = command.args(arguments).args(pictures).output().expect("the program can be started");
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (text.replace(&*program.file_name().expect("a name").to_string_lossy(), "PROGRAM"), output.status.code())
}

/// The JSON of answers without the times that they took.
fn untimed(json: &str) -> String {
    let mut parts = json.split("\"milliseconds\":");
    let head = parts.next().unwrap_or("").to_owned();
    parts.fold(head, |text, part| text + part.trim_start_matches(|c: char| c != '}'))
}

fn size(path: &Path) -> u64 {
    fs::metadata(path).expect("the file is there").len()
}

/// Every output of every picture, and the classes' names, on one thread and on several.
fn check(weights: &Path, pictures: &[PathBuf], arguments: &[&str]) {
    if need::host().is_none_or(|host| host.triple == AARCH64) {
        return;
    }
    let folder = Folder::new();
    // Names that no label has in it, since they are replaced in what the programs print.
    let with = |linker: &str| {
        let output = format!("by-{linker}");
        compile(&folder, weights, &output, &[&["--linker", linker], arguments].concat(), false)
    };
    let (Some(theirs), Some(ours)) = (with("cc"), with("internal")) else { return };
    // `mnc` carries a launcher for the processors whose standard library it was built beside.
    let cross = need::has_std(AARCH64)
        .then(|| compile(&folder, weights, "cross", &[&["--target", AARCH64], arguments].concat(), false));
    let cross = cross.flatten().zip(need::program("qemu-aarch64"));
    for options in [&["--raw"][..], &["--top", "3"], &["--threads", "3", "--top", "1"]] {
        let expected = answers(None, &theirs, options, pictures);
        assert_eq!(answers(None, &ours, options, pictures), expected, "{options:?}");
        if let Some((cross, qemu)) = &cross {
            assert_eq!(answers(Some(qemu), cross, options, pictures), expected, "{options:?} on aarch64");
        }
    }
    // The probabilities to their last bit: no C library has a part in them.
    let json = |program: &Path| {
        let output = Command::new(program).args(["--json", "--top", "5"]).args(pictures).output();
        untimed(&String::from_utf8_lossy(&output.expect("the program can be started").stdout))
    };
    assert_eq!(json(&ours), json(&theirs));
    let (info, _) = answers(None, &ours, &["--info", "--json"], &[]);
    let info: serde_json::Value = serde_json::from_str(&info).expect("the program prints JSON");
    let weight_bytes = info["weight_bytes"].as_u64().expect("a number");
    for program in [Some(&ours), cross.as_ref().map(|(cross, _)| cross)].into_iter().flatten() {
        let beside_weights = size(program).saturating_sub(weight_bytes);
        assert!(beside_weights < MOST_BYTES_BESIDE_WEIGHTS, "{}: {beside_weights} bytes", program.display());
    }
}

#[test]
fn the_person_detector_answers_alike() {
    let missing = photos().join("missing.jpg");
    check(&person(), &[photos(), missing], &[]);
}

#[test]
fn all_photographs_are_named_alike() {
    let find = |name: &str| need::shared_data(name)?.canonicalize().ok();
    let files = || {
        let weights = find("weights/mobilenet_v1_0.25_128.safetensors")?;
        Some((weights, [find("images")?, find("images/extra")?], find("labels/labels_1001.txt")?))
    };
    let Some((weights, images, labels)) = files() else { return };
    check(&weights, &images, &["--labels", labels.to_str().expect("UTF-8")]);
}

#[test]
fn it_is_taken_where_there_is_no_other() {
    if need::host().is_none() {
        return;
    }
    let folder = Folder::new();
    let Some(program) = compile(&folder, &person(), "without", &[], true) else { return };
    let (answer, code) = answers(None, &program, &["--top", "1"], &[photos()]);
    assert_eq!(code, Some(0), "{answer}");
    assert!(answer.contains("0.9495  person") && answer.contains("0.9772  non_person"), "{answer}");
    let (answer, code) = answers(None, &program, &["--threads", "2", "--bench", "3", "--harness"], &[]);
    assert!(code == Some(0) && answer.contains("\nmin "), "{answer}");
    let (answer, code) = answers(None, &program, &["--profile=2", "--json"], &[]);
    assert!(code == Some(0) && answer.contains("conv_pw_13"), "{answer}");
}

#[test]
fn other_platforms_are_refused() {
    let Some(mnc) = mnc() else { return };
    let folder = Folder::new();
    let wish = ["--linker", "internal", "--target", "riscv64gc-unknown-linux-gnu", "--weights"];
    let output = Command::new(mnc)
        .current_dir(folder.path())
        .args(["compile", "mobilenet-v1"])
        .args(wish)
        .arg(person())
        .output();
    let output = output.expect("mnc can be started");
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(
        text.contains("internal makes executables for Linux on x86-64 and aarch64, not for riscv64gc"),
        "{text}"
    );
}
