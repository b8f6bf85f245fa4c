//! The embedded launcher, linked with a network in C: what a user of an executable meets.

use mnc::emit::launcher::launcher_for;
use mnc_tests::need;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Links the launcher with the stub; `None` where there is no C compiler.
fn executable(name: &str, status: i32) -> Option<PathBuf> {
    executable_for("x86-64-v9", name, status)
}

fn executable_for(isa: &str, name: &str, status: i32) -> Option<PathBuf> {
    let cc = need::program("cc")?;
    let folder = folder();
    let launcher =
        launcher_for(&target_lexicon::HOST.to_string()).expect("mnc carries its own target's launcher");
    let object = folder.join(format!("{name}-launcher.{}", if launcher.is_archive { "a" } else { "o" }));
    fs::write(&object, launcher.bytes).unwrap();
    let program = folder.join(name);
    need::run(
        Command::new(cc)
            .arg(format!("-DSTATUS={status}"))
            .arg(format!("-DISA=\"{isa}\""))
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/stub_model.c"))
            .arg(&object)
            .args(launcher.libraries)
            .args(["-O1", "-s", "-Wl,--gc-sections", "-o"])
            .arg(&program),
    );
    Some(program)
}

fn folder() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("launcher");
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// A file of 2 x 2 pixels whose first four values are 1, 3, 2 and 0.
fn photo(name: &str) -> PathBuf {
    let path = folder().join(name);
    fs::write(&path, b"P6 2 2 255\n\x01\x03\x02\0\0\0\0\0\0\0\0\0").unwrap();
    path
}

fn run(program: &Path, args: &[&str]) -> Output {
    Command::new(program).args(args).output().unwrap()
}

/// Runs and compares exit code, standard output and standard error; `{p}` stands for the program's name.
fn check(program: &Path, args: &[&str], code: i32, stdout: &str, stderr: &str) {
    let output = run(program, args);
    let name = program.file_name().unwrap().to_str().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), stderr.replace("{p}", name), "{args:?}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), stdout.replace("{p}", name), "{args:?}");
    assert_eq!(output.status.code(), Some(code), "{args:?}");
}

#[test]
fn photographs_are_classified() {
    let Some(program) = executable("classifies", 0) else { return };
    let photo = photo("classified.ppm");
    let photo = photo.to_str().unwrap();
    let block = format!("{photo}\n  0.6439  one  (1)\n  0.2369  two  (2)\n");
    check(&program, &["--top", "2", photo], 0, &block, "");
    check(&program, &["--top=2", photo, photo], 0, &format!("{block}\n{block}"), "");
    check(&program, &["--raw", photo], 0, "1.0\n3.0\n2.0\n0.0\n", "");

    let missing = "{p}: /nowhere.jpg: No such file or directory (os error 2), expected a readable file\n";
    check(&program, &["--top=2", "/nowhere.jpg", photo], 1, &block, missing);

    let output = run(&program, &["--json", "--top=1", "--raw", photo, photo]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json.as_array().unwrap().len(), 2);
    assert_eq!(json[1]["file"], photo);
    assert_eq!(json[1]["top"][0]["label"], "one");
    assert_eq!(json[1]["top"][0]["logit"], 3.0);
    assert_eq!(json[1]["output"], serde_json::json!([1.0, 3.0, 2.0, 0.0]));
    assert!(json[1]["milliseconds"].as_f64().unwrap() < 1000.0);
}

#[test]
fn raw_inputs_and_standard_input_are_read() {
    let Some(program) = executable("reads", 0) else { return };
    let values = [0.1f32, f32::NAN, -0.0, 1e-40, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0];
    let bytes: Vec<u8> = values.iter().copied().flat_map(f32::to_le_bytes).collect();
    let path = folder().join("input.f32");
    fs::write(&path, &bytes).unwrap();
    check(&program, &["--raw", path.to_str().unwrap()], 0, "0.1\nNaN\n-0.0\n1e-40\n", "");

    let mut child = Command::new(&program)
        .args(["--raw", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&bytes).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "0.1\nNaN\n-0.0\n1e-40\n");
}

#[test]
fn options_do_what_help_says() {
    let Some(program) = executable("helps", 0) else { return };
    check(&program, &["--version"], 0, "stub-net, alpha 0.5 (mnc 0.0.0)\n", "");
    check(&program, &["--top"], 2, "", "{p}: --top: found nothing, expected a number above 0\n");
    check(
        &program,
        &[],
        2,
        "",
        "{p}: found no file, expected photographs or folders; --help shows examples\n",
    );
    let help = run(&program, &["--help"]);
    assert_eq!(help.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&help.stdout).contains("Usage: helps [OPTIONS] FILE-OR-FOLDER...\n"));
    let info: serde_json::Value =
        serde_json::from_slice(&run(&program, &["--info", "--json"]).stdout).unwrap();
    assert_eq!(info["network"], "stub-net");

    let bench = run(&program, &["--bench", "3"]);
    let text = String::from_utf8(bench.stdout).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 6, "{text}");
    assert!(lines[..3].iter().all(|line| line.parse::<f64>().is_ok()), "{text}");
    assert!(
        lines[3].starts_with("min ") && lines[3].contains("  median ") && lines[3].contains("  p95 "),
        "{text}"
    );

    let (photo, labels) = (photo("labelled.ppm"), folder().join("labels.txt"));
    fs::write(&labels, "a\nb\nc\nd\n").unwrap();
    let (photo, labels) = (photo.to_str().unwrap(), labels.to_str().unwrap());
    let block = format!("{photo}\n  0.6439  b  (1)\n");
    check(&program, &["-k1", "--labels", labels, photo], 0, &block, "");
    let error = format!("{{p}}: {photo}: found 2 labels, expected 4, one a line\n");
    fs::write(photo, "a\nb\n").unwrap();
    check(&program, &["--labels", photo, photo], 1, "", &error);
}

#[test]
fn threads_change_no_bit() {
    let Some(program) = executable("threads", 0) else { return };
    let bytes: Vec<u8> =
        [0.1f32, -0.0, 1e-40, 5.5].repeat(3).into_iter().flat_map(f32::to_le_bytes).collect();
    let path = folder().join("threads.f32");
    fs::write(&path, &bytes).unwrap();
    let path = path.to_str().unwrap();
    for threads in ["1", "2", "3", "9", "auto"] {
        check(
            &program,
            &["--raw", "--threads", threads, path, path],
            0,
            &"0.1\n-0.0\n1e-40\n5.5\n".repeat(2),
            "",
        );
    }
    let error = "{p}: --threads: found \"many\", expected a number from 1 to 1024, or auto\n";
    check(&program, &["--threads", "many", path], 2, "", error);
}

#[test]
fn a_benchmark_says_how_fast_that_is() {
    let Some(program) = executable("benches", 0) else { return };
    let number = |line: &&str| line.parse::<f64>().is_ok();
    for threads in ["1", "2"] {
        let output = run(&program, &["--bench", "3", "--warmup", "2", "--threads", threads]);
        let text = String::from_utf8(output.stdout).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.iter().copied().filter(|line| number(line)).count(), 3, "{text}");
        assert!(
            lines[4].starts_with(&format!("# {threads} thread")) && lines[4].contains("FMA peak"),
            "{text}"
        );
        assert!(lines[5].starts_with("# min: ") && lines[5].contains(" GFLOP/s"), "{text}");
    }
    let output = run(&program, &["--bench=2", "--json", "--threads", "2"]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((json["milliseconds"].as_array().unwrap().len(), &json["threads"]), (2, &2.into()));
    assert!(0.0 < json["at_min"]["gflops"].as_f64().unwrap());
}

#[test]
fn a_harness_gets_what_it_asks_for() {
    let Some(program) = executable("harnessed", 0) else { return };
    let photo = photo("harnessed.ppm");
    let photo = photo.to_str().unwrap();
    let output = run(&program, &["--bench", "2", "--harness", photo]);
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].strip_prefix("#load_ms ").unwrap().parse::<f64>().is_ok(), "{text}");
    assert!(lines[1].strip_prefix("#first_ms ").unwrap().parse::<f64>().is_ok(), "{text}");
    assert_eq!(lines[2], "#out 1.0 3.0 2.0 0.0");
    assert!(lines[3].parse::<f64>().is_ok() && lines[4].parse::<f64>().is_ok(), "{text}");
    for threads in ["1", "2"] {
        let output = run(&program, &["--bench", "2", "--harness", "--bytes", "--threads", threads, photo]);
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(text.lines().nth(2), Some("#out 1.0 3.0 2.5 0.0"), "{text}");
    }
    let output = run(&program, &["--bench=0", "--warmup=0", "--harness", photo]);
    assert_eq!(String::from_utf8(output.stdout).unwrap().lines().count(), 3);
    let error = "{p}: --bench: found \"0\", expected a number above 0, or --harness\n";
    check(&program, &["--bench=0"], 2, "", error);
}

#[test]
fn a_profile_lists_the_steps() {
    let Some(program) = executable("profiled", 0) else { return };
    let svg = folder().join("roofline.svg");
    let output = run(&program, &["--profile=5", "--json"]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let steps = json["steps"].as_array().unwrap();
    assert_eq!(
        (steps.len(), &steps[0]["name"], &steps[1]["kind"]),
        (2, &"first".into(), &"depthwise".into())
    );
    assert!(0.0 < json["total"]["run_microseconds"].as_f64().unwrap());
    let text = String::from_utf8(run(&program, &["--profile=5"]).stdout).unwrap();
    assert!(text.starts_with("stub-net 0.5, 2 x 2, x86-64-v9: one thread, the best of 5 runs\n"), "{text}");
    assert!(text.contains("no probe for x86-64-v9") && text.contains("\nsecond "), "{text}");

    // Nobody knows the peak of an instruction set of the future.
    let error = "{p}: --svg: found no limits of this core for x86-64-v9, expected a roof to draw\n";
    check(&program, &["--profile=1", "--svg", svg.to_str().unwrap()], 1, "", error);
    assert!(!svg.exists());
}

#[test]
fn a_roofline_is_drawn_where_the_peak_is_known() {
    let isa = if cfg!(target_arch = "x86_64") { "x86-64-v3" } else { "armv8-a" };
    let Some(program) = executable_for(isa, "draws", 0) else { return };
    let svg = folder().join("drawn.svg");
    let output = run(&program, &["--profile=5", "--svg", svg.to_str().unwrap()]);
    let text = String::from_utf8(output.stdout).unwrap();
    if !output.status.success() {
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.contains("found no limits of this core"), "{error}");
        return need::skip(&format!("a CPU with {isa}"));
    }
    assert!(text.contains(" GFLOP/s in multiply-adds; reads "), "{text}");
    let svg = fs::read_to_string(svg).unwrap();
    assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"), "{svg}");
    assert_eq!(svg.matches("<title>").count(), 2, "{svg}");
}

#[test]
fn a_cpu_that_lacks_a_feature_is_told() {
    let Some(program) = executable("lacks", -3) else { return };
    let photo = photo("refused.ppm");
    let error = "{p}: this CPU can't run code for x86-64-v9, expected a CPU with avx9; \
                 compile the network again for this machine\n";
    check(&program, &[photo.to_str().unwrap()], 1, "", error);
    check(&program, &["--bench=1"], 1, "", error);
    check(&program, &["--bench=1", "--threads=2"], 1, "", error);
    check(&program, &["--profile"], 1, "", error);
}

#[test]
fn a_closed_pipe_is_no_error() {
    let Some(program) = executable("pipes", 0) else { return };
    let photo = photo("piped.ppm");
    let mut child = Command::new(&program)
        .args(vec![photo; 2000])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

/// An executable has 1.5 MB for all but weights; a quarter of a megabyte is for kernels.
#[test]
fn an_executable_without_its_network_is_small() {
    let Some(program) = executable("measured", 0) else { return };
    let len = fs::metadata(program).unwrap().len();
    assert!(len < 1_250_000, "{len} bytes, expected below 1250000");
}
