//! `mnc explore` as a user meets it, on networks that are compiled in no time. No test looks at how long anything took.

#[path = "support/command.rs"]
mod command;

use std::fs;
use std::path::Path;

use command::{has_compiler, json, mnc, stdout};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// Three small members.
const SMALL: &[&str] = &["explore", "--alpha", "0.25", "--resolution", "32,48,64x32", "--folder", "out"];

const ONE_ROUND: &[&str] = &["--rounds", "1"];

const ONE_ROUND_AS_JSON: &[&str] = &["--rounds", "1", "--json"];

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder for temporary files")
}

fn read(folder: &Path, name: &str) -> String {
    fs::read_to_string(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn a_map_is_a_table_json_csv_and_a_page() {
    if !has_compiler() {
        return;
    }
    let folder = folder();
    let table = stdout(folder.path(), SMALL, ONE_ROUND);
    for text in [
        "mobilenet-v1 on ",
        "0.25@32 ",
        "0.25@48 ",
        "0.25@64x32 ",
        "1 interleaved rounds",
        "wrote index.html",
    ] {
        assert!(table.contains(text), "{text} in\n{table}");
    }
    assert!(table.contains("Accuracy: nobody has published any"), "{table}");
    let csv = read(folder.path(), "out/family.csv");
    assert_eq!(csv.lines().count(), 4);
    let document: serde_json::Value =
        serde_json::from_str(&read(folder.path(), "out/family.json")).expect("JSON");
    let member = &document["members"][2];
    assert_eq!((member["height"].as_u64(), member["width"].as_u64()), (Some(64), Some(32)));
    assert!(0.0 < member["median"].as_f64().expect("a latency"));
    let kinds = member["kinds"].as_array().expect("a list");
    assert!(kinds.iter().any(|kind| kind["kind"] == "pointwise"), "{kinds:?}");
    let page = read(folder.path(), "out/index.html");
    assert!(page.contains("Latency against multiply-adds") && !page.contains("<script"), "{page}");
}

/// Nothing predicts how long its kernels take: no number is made up, and none is missing where it was measured.
#[test]
fn a_target_without_a_prediction_is_said_to_have_none() {
    if !has_compiler() || !cfg!(target_arch = "x86_64") {
        return;
    }
    let folder = folder();
    let more = ["--rounds", "1", "--target-cpu", "x86-64-v3-cranelift"];
    let (code, table, err) = mnc(folder.path(), SMALL, &more);
    if err.contains("this CPU can't run code for") {
        mnc_need::skip_optional("a CPU with AVX2");
        return;
    }
    assert_eq!(code, 0, "{err}");
    assert!(table.contains("\nNo prediction for this target: "), "{table}");
    for name in ["index.html", "family.json", "family.csv"] {
        let text = read(folder.path(), &format!("out/{name}"));
        assert!(!text.contains("NaN"), "{name}: {text}");
    }
    assert!(read(folder.path(), "out/index.html").contains("No prediction for this target: "));
    let document: serde_json::Value =
        serde_json::from_str(&read(folder.path(), "out/family.json")).expect("JSON");
    for member in document["members"].as_array().expect("a list") {
        for key in ["kinds", "layers"] {
            for part in member[key].as_array().expect("a list") {
                assert!(part["microseconds"].is_f64(), "{part}");
            }
        }
        assert!(member["shared_out"].is_f64(), "{member}");
    }
}

/// An executable of random numbers is made where it was asked for in words, and says what it is.
#[test]
fn a_chosen_network_of_random_weights_says_so() {
    if !has_compiler() {
        return;
    }
    let folder = folder();
    let members = ["explore", "--alpha", "0.25", "--resolution", "128", "--folder", "out", "--rounds", "1"];
    let wish = ["--max-latency", "100s", "--random-weights", "7", "-o", "chosen"];
    let (code, _, err) = mnc(folder.path(), &members, &wish);
    assert_eq!(code, 0, "{err}");
    let info = std::process::Command::new(folder.path().join("chosen")).arg("--info").output();
    let info = String::from_utf8(info.expect("it runs").stdout).expect("UTF-8");
    assert!(info.contains(", RANDOM (seed 7)\n"), "{info}");
}

#[test]
fn what_was_measured_is_not_measured_again() {
    if !has_compiler() {
        return;
    }
    let folder = folder();
    let first = json(folder.path(), SMALL, ONE_ROUND_AS_JSON);
    let kept = read(folder.path(), "out/measurements.json");
    assert_eq!(json(folder.path(), SMALL, ONE_ROUND_AS_JSON)["members"], first["members"]);
    assert_eq!(read(folder.path(), "out/measurements.json"), kept);

    // One more round is measured, and the first is kept.
    stdout(folder.path(), SMALL, &["--rounds", "2"]);
    let records = |text: &str| -> serde_json::Value { serde_json::from_str(text).expect("JSON") };
    let (old, new) = (records(&kept), records(&read(folder.path(), "out/measurements.json")));
    for (key, record) in old["records"].as_object().expect("records") {
        let rounds = new["records"][key]["rounds"].as_array().expect("rounds");
        assert_eq!((rounds.len(), &rounds[0]), (2, &record["rounds"][0]));
    }

    // Another number of threads is another measurement.
    let (code, _, err) = mnc(folder.path(), SMALL, &["--rounds", "1", "--threads", "2"]);
    assert_eq!(code, 0, "{err}");
    assert!(err.starts_with("note: out/measurements.json: what is in it was measured on "), "{err}");
}

#[test]
fn budgets_choose_and_compile() {
    if !has_compiler() {
        return;
    }
    // The network of the repository, on its two photographs.
    let root = fs::canonicalize(ROOT).expect("the repository is there");
    let weights = root.join("examples/person-detector").display().to_string();
    let folder = folder();
    fs::write(folder.path().join("labels.csv"), "astronaut.jpg,person\nchelsea.jpg,1\n")
        .expect("it is writable");
    let photos = root.join("examples/person-detector/photos").display().to_string();
    let explore = ["explore", "--weights-dir", &weights, "--images", &photos, "--image-labels", "labels.csv"];
    let more = ["--resolution", "96,64", "--rounds", "1", "--folder", "out"];
    let fits = ["--max-latency", "10s", "--max-size", "5MB", "-o", "chosen"];
    let (code, out, err) = mnc(folder.path(), &explore, &[&more[..], &fits].concat());
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("is the most accurate within the budgets: top-1 100.0 % (measured)"), "{out}");
    assert!(out.contains("Accuracy: measured with these weights on the 2 labelled pictures of "), "{out}");
    assert!(read(folder.path(), "out/family.csv").contains("person.safetensors, trained at 96"));
    let chosen =
        std::process::Command::new(folder.path().join("chosen")).args(["--top", "1", &photos]).output();
    let answer = String::from_utf8(chosen.expect("it runs").stdout).expect("UTF-8");
    assert!(answer.contains("  person  (0)"), "{answer}");

    let (code, out, err) =
        mnc(folder.path(), &explore, &[&more[..], &["--max-size", "1kB", "-o", "none"]].concat());
    assert_eq!(code, 1, "{out}");
    assert!(err.contains("error: budgets: nothing is within --max-size 1.0 kB; 0.25@"), "{err}");
    assert!(!folder.path().join("none").exists());

    let (code, _, err) = mnc(folder.path(), &explore, &[&more[..], &["--alpha", "0.5"]].concat());
    let expected = "error: --alpha: found 0.5, expected one that the weights have: 0.25 (person.safetensors, trained at 96)\n";
    assert_eq!((code, err.as_str()), (2, expected));
}

/// Each member is there in both forms, what is known of int8 stands beside it, and the choice looks at both.
#[test]
fn int8_stands_beside_f32() {
    if !has_compiler() {
        return;
    }
    let root = fs::canonicalize(ROOT).expect("the repository is there");
    let detector = root.join("examples/person-detector");
    let folder = folder();
    let name = |name: &str| folder.path().join(name);
    fs::create_dir(name("weights")).expect("it is writable");
    for file in ["person.safetensors", "config.json", "preprocessor_config.json"] {
        fs::copy(detector.join(file), name("weights").join(file)).expect("it is there");
    }
    fs::write(name("labels.csv"), "astronaut.jpg,person\nchelsea.jpg,1\n").expect("it is writable");
    let photos = detector.join("photos").display().to_string();
    let explore =
        ["explore", "--weights-dir", "weights", "--images", &photos, "--image-labels", "labels.csv"];
    let more = ["--resolution", "96", "--rounds", "1", "--folder", "out", "--int8", "--pair-safe"];
    // Only int8 has so little.
    let wish = ["--max-memory", "150kB", "-o", "chosen", "--json"];
    let (code, out, err) = mnc(folder.path(), &explore, &[&more[..], &wish].concat());
    assert!(code == 0 && err.ends_with("wrote chosen (0.25@96 int8)\n"), "{err}");
    let document: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    let members = document["members"].as_array().expect("a list");
    let column = |key: &str| members.iter().map(|member| member[key].to_string()).collect::<Vec<_>>();
    assert_eq!(column("dtype"), ["\"f32\"", "\"int8\""]);
    let less = |key: &str| {
        let [f32, int8] = [0, 1].map(|idx| members[idx][key].as_f64().expect("a number"));
        int8 < f32
    };
    for key in ["executable_bytes", "workspace_bytes", "parameters", "multiply_adds"] {
        assert!(less(key), "{key}: {members:?}");
    }
    assert!(members[0]["fidelity"].is_null(), "{members:?}");
    let fidelity = &members[1]["fidelity"];
    assert!(5.0 < fidelity["logits_snr_db"].as_f64().expect("a number"), "{fidelity}");
    assert!(0.5 < fidelity["same_answer"].as_f64().expect("a number"), "{fidelity}");
    assert_eq!(fidelity["judged_on"], "16 other parts of the two photographs of `mnc`");
    // With the trained weights both are right.
    assert!(members.iter().all(|member| member["accuracy"]["top1"] == 100.0), "{members:?}");
    let page = read(folder.path(), "out/index.html");
    for text in ["0.25@96 int8", "<rect class=\"dot", "squares are int8", "SNR, dB"] {
        assert!(page.contains(text), "{text} in\n{page}");
    }

    // A file of `mnc quantize` is one member, at its resolution.
    let quantize =
        ["quantize", "mobilenet-v1", "--weights", "weights/person.safetensors", "--resolution", "64"];
    stdout(folder.path(), &quantize, &["--pair-safe", "-o", "weights/person.int8.safetensors"]);
    let more = ["--resolution", "96,64", "--rounds", "1", "--folder", "out", "--csv"];
    let csv = stdout(folder.path(), &["explore", "--weights-dir", "weights"], &more);
    let member = |line: &str| line.split(',').skip(1).take(4).collect::<Vec<_>>().join(" ");
    let members: Vec<String> = csv.lines().skip(1).map(member).collect();
    assert_eq!(members, ["0.25 96 96 f32", "0.25 64 64 f32", "0.25 64 64 int8"], "{csv}");
    assert!(csv.trim_end().ends_with(",person.int8.safetensors"), "{csv}");
}

/// Random numbers have no accuracy, in int8 either, and no distance from f32 that means anything.
#[test]
fn int8_of_random_numbers_is_measured_and_not_judged() {
    if !has_compiler() {
        return;
    }
    let folder = folder();
    let explore = ["explore", "--alpha", "0.25", "--resolution", "32", "--folder", "out"];
    let table = stdout(folder.path(), &explore, &["--rounds", "1", "--int8"]);
    assert!(table.contains("0.25@32 int8 ") && table.contains("\nint8 takes "), "{table}");
    assert!(!table.contains("SNR"), "{table}");
    let document: serde_json::Value =
        serde_json::from_str(&read(folder.path(), "out/family.json")).expect("JSON");
    let dtypes: Vec<&serde_json::Value> =
        document["dtypes"].as_array().expect("a list").iter().map(|means| &means["dtype"]).collect();
    assert_eq!(dtypes, ["f32", "int8"]);
    assert!(document["members"][1]["fidelity"].is_null() && document["members"][1]["accuracy"].is_null());
}

#[test]
fn mistakes_are_named_before_any_work() {
    let folder = folder();
    let check = |args: &[&str], expected_code: i32, expected: &str| {
        let (code, _, err) = mnc(folder.path(), &["explore"], args);
        assert_eq!(code, expected_code, "{args:?}: {err}");
        assert!(err.contains(expected), "{args:?}: {err}");
    };
    check(&["--max-latency", "10"], 2, "expected a time above 0 with its unit (us, ms or s), such as 10ms");
    check(&["--max-latency", "5MB"], 2, "expected a time above 0");
    check(&["--max-size", "5ms"], 2, "expected a size above 0 with its unit");
    check(&["--max-memory", "-1MB"], 2, "");
    check(&["--max-latency", "1ms", "--max-latency", "2ms"], 2, "cannot be used multiple times");
    check(
        &["-o", "chosen"],
        2,
        "-o: found no budget to choose by, expected --max-latency, --max-size or --max-memory",
    );
    check(
        &["--max-size", "1MB", "-o", "chosen"],
        2,
        "-o: found no weights, expected trained ones with --weights-dir DIR, or --random-weights SEED for an executable",
    );
    check(&["--max-size", "1MB", "--random-weights", "1", "-o", "-"], 2, "-o: expected the name of a file");
    check(&["--images", "photos"], 2, "--weights-dir");
    check(&["--claims", "mobilenet-v1-shallow"], 2, "expected mobilenet-v1 without --weights-dir");
    check(
        &["--weights-dir", "missing"],
        1,
        "missing: No such file or directory (os error 2), expected a folder of safetensors",
    );
    check(&["--weights-dir", "."], 1, ".: found no weights of this network, expected .safetensors files");
    check(&["--calibrate", "photos"], 2, "--calibrate: found without --int8, expected both");
    check(
        &["--int8", "--calibrate", "photos"],
        2,
        "--calibrate: found without weights, expected trained ones",
    );
    let quantize =
        ["quantize", "mobilenet-v1", "--alpha", "0.25", "--resolution", "32", "--random-weights", "1"];
    stdout(folder.path(), &quantize, &["-o", "net.int8.safetensors"]);
    let expected = "--resolution: found 48x48, expected one that the weights have: 0.25 (net.int8.safetensors, int8 at 32)";
    check(&["--weights-dir", ".", "--resolution", "48"], 2, expected);
    check(&["mobilenet-v2", "--weights-dir", "."], 1, "found no weights of this network");
    let expected =
        "net.int8.safetensors: found weights, expected a network: `mnc explore NETWORK --weights-dir FOLDER`";
    check(&["net.int8.safetensors"], 1, expected);
    fs::remove_file(folder.path().join("net.int8.safetensors")).expect("it has been written");
    let left: Vec<_> = fs::read_dir(folder.path()).expect("it is there").collect();
    assert!(left.is_empty(), "{left:?}");
}
