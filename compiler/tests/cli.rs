//! The command `mnc` as a user meets it: what it prints, what it writes, how it fails.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

const MNC: &str = env!("CARGO_BIN_EXE_mnc");
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// A network that is compiled in no time: alpha 0.25 at 32 x 32, numbers drawn at random.
const SMALL: &[&str] =
    &["compile", "mobilenet-v1", "--random-weights", "1", "--alpha", "0.25", "--resolution", "32"];

fn small(more: &[&str]) -> Vec<String> {
    SMALL.iter().chain(more).map(|arg| (*arg).to_owned()).collect()
}

/// An empty folder to run `mnc` in.
struct Folder(TempDir);

impl Folder {
    fn new() -> Folder {
        Folder(tempfile::tempdir().expect("a folder for temporary files"))
    }

    /// With a copy of the person detector, where the repository has it.
    fn with_person_detector() -> Folder {
        let folder = Folder::new();
        copy(&Path::new(ROOT).join("examples/person-detector"), &folder.path("examples/person-detector"));
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn command<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(MNC);
        command.args(args).current_dir(self.0.path()).env_remove("CC").stdin(Stdio::null());
        command
    }

    fn run<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Ran {
        Ran::of(&mut self.command(args))
    }

    /// Runs what must succeed and hands back its standard output.
    fn stdout<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> String {
        let ran = self.run(args);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        ran.stdout
    }

    /// Everything in the folder, hidden files too.
    fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.path()).expect("the folder is there");
        let name = |entry: fs::DirEntry| entry.file_name().into_string().expect("UTF-8");
        let mut names: Vec<String> = entries.map(|entry| name(entry.expect("a readable entry"))).collect();
        names.sort();
        names
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path(name), content).expect("the folder is writable");
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("the folder is writable");
    for entry in fs::read_dir(from).expect("the repository has the folder") {
        let path = entry.expect("a readable entry").path();
        let to = to.join(path.file_name().expect("an entry has a name"));
        if path.is_dir() {
            copy(&path, &to);
        } else {
            fs::copy(&path, &to).expect("the folder is writable");
        }
    }
}

#[derive(Debug)]
struct Ran {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Ran {
    fn of(command: &mut Command) -> Ran {
        let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let Output { status, stdout, stderr } = output;
        let text = |bytes| String::from_utf8(bytes).expect("output is UTF-8");
        Ran { code: status.code().expect("no signal ends it"), stdout: text(stdout), stderr: text(stderr) }
    }
}

#[test]
fn help_shows_examples() {
    let folder = Folder::new();
    let help = folder.stdout(["--help"]);
    for command in [
        "compile",
        "bench",
        "profile",
        "describe",
        "cost",
        "explore",
        "tensors",
        "targets",
        "quantize",
        "completions",
    ] {
        assert!(help.contains(&format!("\n  {command} ")), "{command} in\n{help}");
        let own = folder.stdout(["help", command]);
        assert!(own.contains("Examples:\n  mnc "), "{own}");
        assert_eq!(own, folder.stdout([command, "--help"]));
    }
    assert_eq!(folder.stdout(["--version"]), format!("mnc {}\n", env!("CARGO_PKG_VERSION")));
    let none = folder.run([] as [&str; 0]);
    assert_eq!((none.code, none.stdout.as_str()), (2, ""));
    assert!(none.stderr.contains("Usage: mnc <COMMAND>"));
}

/// The exit code, and how standard error begins: the place is what the user typed.
#[test]
fn mistakes_are_named() {
    let folder = Folder::new();
    folder.write("net.toml", "name = \"net\"\nclases = 2\n");
    folder.write("three.txt", "a\nb\nc\n");
    let pool = "name = \"pool\"\nclasses = 3\ninput = { height = 4, width = 4, channels = 3 }\n\
                [[layer]]\nkind = \"global_average_pool\"\n";
    folder.write("pool.toml", pool);
    folder.write("empty.safetensors", "");
    let typed = |words: &str| words.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let cases = [
        (
            typed("compile resnet"),
            1,
            "resnet: no such network, expected mobilenet-v1, mobilenet-v1-shallow, ",
        ),
        (typed("compile gone.toml"), 1, "gone.toml: "),
        (typed("compile net.toml"), 1, "4 faults in the network description:\n  net.toml:1:1: "),
        (
            typed("compile mobilenet-v1"),
            2,
            "--weights: found none, expected a file (`mnc tensors mobilenet-v1` ",
        ),
        (typed("compile mobilenet-v1 --weights gone"), 1, "gone: "),
        (
            typed("compile mobilenet-v1 --weights ."),
            1,
            "./empty.safetensors: found an empty file, expected a safetensors file",
        ),
        (
            typed("compile mobilenet-v1 --weights empty.safetensors"),
            1,
            "empty.safetensors: found an empty file, expected a safetensors file: download the file again",
        ),
        (
            typed("compile mobilenet-v1 --alpha 5"),
            2,
            "invalid value '5' for '--alpha <A>': expected a number ",
        ),
        (
            typed("compile mobilenet-v1 --resolution 0"),
            2,
            "invalid value '0' for '--resolution <N|HxW>': found ",
        ),
        (
            typed("compile mobilenet-v1 --resolution 64 --rho 1"),
            2,
            "the argument '--resolution <N|HxW>' cannot ",
        ),
        (typed("compile mobilenet-v1 --rho 0.001"), 2, "rho: found 0.001, which makes 224x224 into 0x0"),
        (typed("describe resnet"), 1, "resnet: no built-in network, expected one of mobilenet-v1, "),
        (typed("cost mobilenet-v1 --target pdp11"), 2, "pdp11: "),
        (
            typed("cost mobilenet-v1 --target mips-unknown-linux-gnu"),
            2,
            "mips-unknown-linux-gnu: unknown target, ",
        ),
        (small(&["--target-cpu", "pentium"]), 2, "pentium: unknown CPU of "),
        (small(&["--emit", "exe,elf"]), 2, "invalid value 'elf' for '--emit <FORMATS>'"),
        (small(&["--emit", "obj", "--name", "3x"]), 2, "name: found \"3x\", expected a C identifier"),
        (
            small(&["--emit", "python", "--name", "import"]),
            2,
            "--emit python: found \"import\", a keyword of Python, expected a name that it can import: choose another --name or -o",
        ),
        (
            small(&["--emit", "python", "--name", "json"]),
            2,
            "--emit python: found \"json\", a module that Python programs import, expected a name ",
        ),
        (
            small(&["--emit", "python", "-o", "my-net.py"]),
            2,
            "--emit python: found \"my-net\", which is no identifier of Python, expected a name ",
        ),
        (
            small(&["--emit", "python", "-o", "new/", "--weights-file", "net.weights"]),
            2,
            "--weights-file: expected a file in new, where the module of --emit python looks for it",
        ),
        (
            small(&["--labels", "three.txt"]),
            1,
            "three.txt: found 3 labels, expected 1001, one for each output",
        ),
        (small(&["--labels", "gone.txt"]), 1, "gone.txt: "),
        (small(&["-o", "gone/net"]), 1, "gone/net: found no folder gone, expected it to exist"),
        (
            small(&["--emit", "obj,cmake"]),
            2,
            "--emit cmake: expected header and one of staticlib, cdylib, obj beside it",
        ),
        (
            small(&["--emit", "cdylib", "--target", "x86_64-pc-windows-msvc"]),
            2,
            "--emit cdylib: shared libraries for x86_64-pc-windows-msvc aren't made here",
        ),
        (
            small(&["--emit", "cdylib", "--target", "riscv64gc-unknown-linux-gnu"]),
            2,
            "--emit cdylib: for riscv64gc-unknown-linux-gnu, expected a cross compiler in CC, such as CC=riscv64-linux-gnu-gcc",
        ),
        (
            small(&["--batch", "0"]),
            2,
            "invalid value '0' for '--batch <N>': expected a number of images from 1 to 256",
        ),
        (
            small(&["--batch", "2", "--tune", "x.toml"]),
            2,
            "the argument '--batch <N>' cannot be used with '--tune",
        ),
        (
            small(&["--emit", "obj", "-o", "net.o", "--weights-file", "net.o"]),
            2,
            "--weights-file: net.o is written already, expected another file",
        ),
        (
            small(&["--weights-file", "gone/net.weights"]),
            1,
            "gone/net.weights: found no folder gone, expected it to exist",
        ),
        (
            typed("compile pool.toml --random-weights 1 -o pool --weights-file pool.weights"),
            2,
            "weights: found none in this network, expected some to keep in a file: leave --weights-file out",
        ),
        (
            small(&["--emit", "exe,obj", "-o", "-"]),
            2,
            "-o -: standard output takes one of --emit exe, obj, staticlib, header, asm, clif, or a dump",
        ),
        (small(&["-o", "three.txt", "--labels", "three.txt"]), 2, "-o: three.txt is an input"),
        (
            small(&["--target", "riscv64gc-unknown-linux-gnu"]),
            2,
            "--emit exe: this mnc makes executables for ",
        ),
    ];
    let before = folder.files();
    for (args, code, message) in cases {
        let ran = folder.run(&args);
        assert!(ran.stderr.starts_with(&format!("error: {message}")), "{args:?}: {}", ran.stderr);
        assert_eq!((ran.code, ran.stdout.as_str()), (code, ""), "{args:?}");
        assert_eq!(folder.files(), before, "{args:?} wrote something");
    }
}

#[test]
fn descriptions_come_back() {
    let folder = Folder::new();
    let list = folder.stdout(["describe"]);
    for name in ["mobilenet-v1-shallow", "mobilenet-v1-full-conv", "mobilenet-v4-conv-small"] {
        assert!(list.contains(&format!("\n{name} ")), "{list}");
        folder.write("x.toml", folder.stdout(["describe", name]));
        let graph = |network| folder.stdout(["compile", network, "--dump", "graph"]);
        assert_eq!(graph(name), graph("x.toml"));
    }
    folder.write("x.toml", folder.stdout(["describe", "mobilenet-v1"]));
    let mut from_file = small(&["--emit", "obj", "-o", "file.o", "-q"]);
    from_file[1] = "x.toml".to_owned();
    folder.stdout(from_file);
    folder.stdout(small(&["--emit", "obj", "-o", "builtin.o", "-q"]));
    assert!(folder.read("file.o") == folder.read("builtin.o"), "the same network, the same bytes");
}

#[test]
fn every_format_is_written() {
    let folder = Folder::new();
    let ran = folder.run(small(&["--emit", "obj,header,asm,clif", "--name", "net", "-o", "v1_0.25"]));
    assert_eq!((ran.code, ran.stdout.as_str()), (0, ""), "{}", ran.stderr);
    assert_eq!(folder.files(), ["v1_0.25.clif", "v1_0.25.h", "v1_0.25.o", "v1_0.25.s"]);
    for part in
        ["mobilenet-v1, alpha 0.25\n", "32x32x3 -> 1x1x1001", "multiply-adds", "wrote      v1_0.25.o ("]
    {
        assert!(ran.stderr.contains(part), "{part} in\n{}", ran.stderr);
    }
    let text = |name: &str| String::from_utf8(folder.read(name)).expect("UTF-8");
    assert!(
        text("v1_0.25.h").contains("int32_t net_run(const float *input, float *output, void *workspace);")
    );
    for name in ["v1_0.25.s", "v1_0.25.clif"] {
        let text = text(name);
        assert!(text.starts_with("; @generated by mnc"), "{name}");
        assert!(
            text.contains("\n; net_conv_1_") && text.contains("\n; net_run\n"),
            "{name} names its functions"
        );
    }
    assert_eq!(folder.stdout(small(&["--emit", "header", "--name", "net", "-o", "-"])), text("v1_0.25.h"));

    let quiet = folder.run(small(&["--emit", "obj", "--target", "aarch64-unknown-linux-gnu", "-q"]));
    assert_eq!((quiet.code, quiet.stderr.as_str()), (0, ""));
    const EM_AARCH64: u8 = 183;
    assert_eq!(folder.read("mobilenet_v1.o")[18], EM_AARCH64);
}

#[test]
fn stages_are_printed() {
    let folder = Folder::new();
    for stage in ["description", "graph", "fused", "schedule", "plan", "program"] {
        let dump = folder.stdout(small(&["--dump", stage]));
        assert!(dump.starts_with(stage), "{stage}:\n{dump}");
    }
    assert!(folder.files().is_empty());
    let graph = folder.stdout(["compile", "mobilenet-v1", "--rho", "0.714", "--dump", "graph"]);
    assert!(graph.contains("160x160x3"), "no weights are needed:\n{graph}");
    let plan = folder.stdout(small(&["--dump", "plan", "--emit", "obj", "-o", "net.o"]));
    assert!(plan.starts_with("plan: workspace of "));
    assert_eq!(folder.files(), ["net.o"], "with -o the compiler goes on");
}

#[test]
fn an_executable_is_whole_or_not_there() {
    let folder = Folder::new();
    let arguments = small(&["--emit", "obj,exe", "-o", "net", "--linker", "cc"]);
    let missing = Ran::of(folder.command(&arguments).env("PATH", ""));
    assert_eq!(missing.code, 1);
    assert!(missing.stderr.starts_with("error: cc: "), "{}", missing.stderr);
    let advice = if cfg!(target_os = "macos") { "xcode-select --install" } else { "apt-get install gcc" };
    assert!(missing.stderr.contains(advice), "{}", missing.stderr);
    assert!(folder.files().is_empty(), "{:?}", folder.files());
    if mnc_need::program("cc").is_none() {
        return;
    }
    let failed = Ran::of(folder.command(&arguments).env("CC", "cc -lno-such-library"));
    assert_eq!(failed.code, 1);
    assert!(
        failed.stderr.starts_with("error: cc: the link failed (exit status: 1)\n  "),
        "{}",
        failed.stderr
    );
    assert!(failed.stderr.contains("no-such-library"), "the linker's own words: {}", failed.stderr);
    assert!(folder.files().is_empty(), "{:?}", folder.files());

    folder.write("net", "an older file");
    assert_eq!(folder.run(&arguments).code, 0);
    assert_eq!(folder.files(), ["net", "net.o"]);
    let first = folder.read("net");
    assert_eq!(folder.run(&arguments).code, 0);
    assert!(first == folder.read("net"), "the same input, the same bytes");
    let info = Ran::of(Command::new(folder.path("net")).arg("--info"));
    assert!(info.stdout.contains("network        mobilenet-v1, alpha 0.25\n"), "{}", info.stdout);
}

#[cfg(unix)]
#[test]
fn only_executables_are_executable() {
    use std::os::unix::fs::PermissionsExt;
    if mnc_need::program("cc").is_none() {
        return;
    }
    let folder = Folder::new();
    folder.stdout(small(&["--emit", "obj,exe", "-o", "net"]));
    let mode = |name| fs::metadata(folder.path(name)).expect("it was written").permissions().mode() & 0o111;
    assert_ne!(mode("net"), 0);
    assert_eq!(mode("net.o"), 0);
}

/// What lies beside the weights is read, said and can be left out.
#[test]
fn configurations_are_found() {
    let folder = Folder::with_person_detector();
    let weights = "examples/person-detector/person.safetensors";
    let args = ["compile", "mobilenet-v1", "--weights", weights, "--emit", "header", "-o", "x.h"];
    let ran = folder.run(args);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    for part in [
        "mobilenet-v1, alpha 0.25 (read from the weights)\n",
        "config.json: input 96x96x3, 2 classes, relu, alpha 0.25, 2 labels\n",
        "preprocessor_config.json: resize to 1.146 times the input, then crop, pixels from 0 to 1\n",
    ] {
        assert!(ran.stderr.contains(part), "{part} in\n{}", ran.stderr);
    }
    let with = |more: &[&str]| folder.run(args.iter().chain(more));
    for (more, message) in [
        (["--alpha", "0.5"], "alpha: found 0.5, expected 0.25, the alpha of the tensors in examples/person"),
        (["--config", "gone.json"], "gone.json: "),
        (
            ["--naming", "timm"],
            "examples/person-detector/person.safetensors: found tensors named as by huggingface",
        ),
    ] {
        let ran = with(&more);
        assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{more:?}: {}", ran.stderr);
        assert!(ran.stderr.starts_with(&format!("error: {message}")), "{more:?}: {}", ran.stderr);
    }
    // Another alpha that rounds to the same channels is the same network.
    assert_eq!(with(&["--alpha", "0.2501"]).code, 0);
    let resolution = with(&["--resolution", "64x80"]);
    assert!(resolution.stderr.contains("64x80x3 -> 1x1x2"), "{}", resolution.stderr);

    fs::rename(folder.path("examples/person-detector/config.json"), folder.path("my.json"))
        .expect("it is there");
    let named = with(&["--config", "my.json", "--preprocessor", "none"]);
    assert!(named.stderr.contains("my.json: input 96x96x3"), "{}", named.stderr);
    assert!(!named.stderr.contains("preprocessor"), "{}", named.stderr);
}

/// What nobody said of the training is told wherever the network is described.
#[test]
fn what_is_assumed_is_told() {
    let folder = Folder::with_person_detector();
    let (here, there) = (folder.path("person.safetensors"), "examples/person-detector/person.safetensors");
    fs::copy(folder.path(there), here).expect("it is there");
    folder.write(
        "config.json",
        r#"{"image_size": 96, "num_labels": 2, "hidden_act": "relu", "layer_norm_eps": 0.001}"#,
    );
    let compile = |network: &str, more: &[&str]| {
        let args = ["compile", network, "--weights", "person.safetensors", "--emit", "obj,header,manifest"];
        let ran = folder.run(args.iter().chain(&["-o", "net"]).chain(more));
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        let manifest: serde_json::Value = serde_json::from_slice(&folder.read("net.json")).expect("JSON");
        (ran.stderr, String::from_utf8(folder.read("net.h")).expect("UTF-8"), manifest["assumed"].clone())
    };
    let (summary, header, assumed) = compile("mobilenet-v1", &[]);
    assert!(
        summary.contains("RGB from -1 to 1 (assumed: no preprocessor_config.json, so Hugging Face's)\n"),
        "{summary}"
    );
    let facts =
        "padding same, alpha rounded down, at least 8 channels (config.json doesn't say, so Hugging Face's)";
    assert!(summary.contains(&format!("  assumed    {facts}\n")), "{summary}");
    let all = [
        "preprocessing: no preprocessor_config.json, so Hugging Face's",
        "padding same: config.json doesn't say, so Hugging Face's",
        "alpha rounded down, at least 8 channels: config.json doesn't say, so Hugging Face's",
    ];
    assert_eq!(assumed, serde_json::json!(all));
    assert!(all.iter().all(|fact| header.contains(fact)), "{header}");

    // Said by the user: in a description, by a file, or by wanting none.
    folder.write("net.toml", folder.stdout(["describe", "mobilenet-v1"]));
    let nothing = serde_json::json!([]);
    for (network, more) in [
        ("net.toml", &[][..]),
        ("mobilenet-v1", &["--config", "examples/person-detector/config.json", "--preprocessor", "none"]),
        (
            "mobilenet-v1",
            &[
                "--config",
                "examples/person-detector/config.json",
                "--preprocessor",
                "examples/person-detector/preprocessor_config.json",
            ],
        ),
    ] {
        let (summary, header, assumed) = compile(network, more);
        assert!(!summary.contains("assumed") && !header.contains("ssumed"), "{network} {more:?}: {summary}");
        assert_eq!(assumed, nothing, "{network} {more:?}");
    }
}

/// Random weights are told by everything that such a network has.
#[test]
fn random_weights_are_told() {
    if mnc_need::program("cc").is_none() {
        return;
    }
    let folder = Folder::with_person_detector();
    let ran = folder.run(small(&["--emit", "obj,header,manifest,python", "-o", "net/", "--name", "net"]));
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let line = "  weights    RANDOM (seed 1): what this network answers means nothing\n";
    assert!(ran.stderr.contains(line) && !ran.stderr.contains("assumed"), "{}", ran.stderr);
    let header = String::from_utf8(folder.read("net/net.h")).expect("UTF-8");
    assert!(header.contains("\n/* RANDOM WEIGHTS, of seed 1: what this network answers means nothing. */\n"));
    let manifest: serde_json::Value = serde_json::from_slice(&folder.read("net/net.json")).expect("JSON");
    assert_eq!(manifest["random_weights"], 1);

    folder.stdout(small(&["-o", "net.exe", "-q"]));
    let program =
        |args: &[&str]| Ran::of(Command::new(folder.path("net.exe")).args(args).current_dir(folder.0.path()));
    assert!(program(&["--info"]).stdout.contains(" bytes, RANDOM (seed 1)\n"));
    let photo = "examples/person-detector/photos/chelsea.jpg";
    let ran = program(&["--json", photo]);
    assert_eq!(ran.stderr, "net.exe: the weights are random (seed 1): the answers mean nothing\n");
    let answers: serde_json::Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!(answers[0]["random_weights"], 1);
    assert_eq!(program(&[photo]).stderr, ran.stderr);
}

/// The first commands of README.md, as they stand there: what it shows is what comes out.
#[test]
fn the_readme_is_true() {
    if mnc_need::program("cc").is_none() {
        return;
    }
    let readme =
        fs::read_to_string(Path::new(ROOT).join("README.md")).expect("the repository has a README.md");
    let blocks: Vec<&str> = readme.split("```").skip(1).step_by(2).collect();
    let [commands, summary, answers, ..] = blocks[..] else { panic!("README.md begins with three blocks") };
    let commands = commands.strip_prefix("sh\n").and_then(|commands| commands.split_once('\n'));
    let (compile, classify) = commands.expect("the first block is two commands");
    let folder = Folder::with_person_detector();
    let compile = compile.strip_prefix("cargo run --bin mnc -- ").expect("the first command runs mnc");
    let ran = folder.run(compile.split(' '));
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    // Time, target and the linker's sizes differ from machine to machine.
    let steady = |text: &str| -> Vec<String> {
        let varies = |line: &&str| {
            ["took", "target", "faster", "wrote"].iter().any(|word| line.trim().starts_with(word))
        };
        text.trim().lines().filter(|line| !varies(line)).map(str::to_owned).collect()
    };
    assert_eq!(steady(&ran.stderr), steady(summary.trim_start_matches("text")));

    let (program, photos) = classify.trim().split_once(' ').expect("the second command has an argument");
    let ran = Ran::of(Command::new(folder.path(program)).arg(photos).current_dir(folder.0.path()));
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    assert_eq!(ran.stdout.trim(), answers.trim_start_matches("text").trim());
}

#[test]
fn costs_are_counted() {
    let folder = Folder::new();
    let cost =
        |more: &str| folder.stdout(["cost", "mobilenet-v1"].into_iter().chain(more.split_whitespace()));
    let table = cost("");
    for part in [
        "conv_pw_13  pointwise      7x7x1024       51,380,224    9.03   1,048,576   24.90     4,198,400     0.1121\n",
        "total                                    568,741,376  100.00   4,211,113  100.00    16,888,228     0.1168\n",
        "pointwise          13    539,492,352  94.86   3,139,584  74.55    12,582,144\n",
        "arXiv 1704.04861",
    ] {
        assert!(table.contains(part), "{part} in\n{table}");
    }
    let csv = cost("--csv");
    assert_eq!(csv.lines().nth(1), Some("conv_1,conv 3x3,112,112,32,10838016,864,896,928,3584,,1605632"));
    let json: serde_json::Value =
        serde_json::from_str(&cost("--alpha 0.5 --resolution 160 --json")).expect("JSON");
    assert_eq!(json["total"]["multiply_adds"], 76_525_312);
    assert!(json["workspace_bytes"].is_u64());

    let variants = cost("--alpha 1,0.75,0.5,0.25 --resolution 224,192,160,128");
    assert_eq!(variants.lines().filter(|line| line.contains("x3 ")).count(), 16, "{variants}");
    let csv = cost("--alpha 1,0.5 --rho 1,0.714 --csv");
    let start = "0.5,160,160,3,76525312,1321161,1326633,1332105,5306532,";
    assert!(csv.lines().nth(4).is_some_and(|line| line.starts_with(start)), "{csv}");
    let json: serde_json::Value = serde_json::from_str(&cost("--alpha 1,0.5 --json")).expect("JSON");
    assert_eq!(json.as_array().map(Vec::len), Some(2));
    assert_eq!(folder.run(["cost", "mobilenet-v1", "--json", "--csv"]).code, 2);
}

#[test]
fn lists() {
    let folder = Folder::new();
    let targets = folder.stdout(["targets"]);
    for part in ["x86_64-unknown-linux-gnu ", "\nrv64gcv ", "native picks"] {
        assert!(targets.contains(part), "{part} in\n{targets}");
    }
    let tensors = folder.stdout(["tensors", "mobilenet-v1", "--naming", "huggingface", "--alpha", "0.25"]);
    let words: Vec<&str> = tensors.lines().nth(1).expect("a line").split_whitespace().collect();
    let first = ["mobilenet_v1.conv_stem.convolution.weight", "[8,", "3,", "3,", "3]", "conv_1", "weight"];
    assert_eq!(words, first);
    let plain = folder.stdout(["tensors", "mobilenet-v1-full-conv"]);
    assert!(plain.contains("\nconv_14.norm.gamma "), "{plain}");
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        assert!(folder.stdout(["completions", shell]).contains("mnc"), "{shell}");
    }
}
