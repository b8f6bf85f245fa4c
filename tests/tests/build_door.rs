//! The door for build scripts: objects for cargo's `TARGET`, whichever it is, and errors that name every path that was tried.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use mnc::passes::Fused;
use mnc::target::PLATFORMS;
use mnc::weights::naming::Naming;
use mnc::{passes, reference, sample};
use mnc_tests::folder::Folder;
use mnc_tests::networks::RandomNetwork;
use mnc_tests::user_crate::{self, Message, UserCrate};
use mnc_tests::{bits, command, need, networks};
use object::read::archive::ArchiveFile;
use object::{Architecture, BinaryFormat, Object as _};

const AARCH64: &str = "aarch64-unknown-linux-gnu";

/// The one object of a static library: its platform, and how many bytes it has.
fn platform_of(library: &Path) -> (Architecture, BinaryFormat) {
    let bytes = std::fs::read(library).unwrap_or_else(|error| panic!("{}: {error}", library.display()));
    let archive = ArchiveFile::parse(&*bytes).expect("it is an archive");
    let member = archive.members().next().expect("it has a member").expect("the member can be read");
    let object = object::File::parse(member.data(&*bytes).expect("it has data")).expect("it is an object");
    (object.architecture(), object.format())
}

/// The library that a build script left.
fn library(out_dir: &Path) -> PathBuf {
    let entries = std::fs::read_dir(out_dir).expect("cargo made the folder");
    let mut files = entries.map(|entry| entry.expect("the entry can be read").path());
    let is_library = |path: &PathBuf| path.extension().is_some_and(|it| it == "a" || it == "lib");
    files.find(is_library).expect("the script wrote a library")
}

/// A user's crate with a network from `data/`; its script compiles it as the variable `CASE` says.
fn package(name: &str, network: &RandomNetwork, cases: &[(&str, &str)]) -> Option<UserCrate> {
    need::program("cc")?;
    let package = UserCrate::new(env!("CARGO_TARGET_TMPDIR"), name, user_crate::BUILD_SCRIPT)?;
    let RandomNetwork { toml, graph, parameters, .. } = network;
    package.write("data/net.toml", toml);
    let weights = parameters.to_safetensors(graph, &Naming::PLAIN).expect("the file can be written");
    package.write("data/net.safetensors", weights);
    let alpha = graph.alpha;
    let whole = format!(
        "Model::new(\"data/net.toml\").weights(\"data/net.safetensors\").naming(\"plain\").alpha({alpha:?})"
    );
    let arms: String = cases.iter().map(|(case, model)| format!("        {case:?} => {model},\n")).collect();
    let script = format!(
        "use mnc::build::Model;\n\nfn main() -> Result<(), mnc::Error> {{\n    \
         let model = match std::env::var(\"CASE\").unwrap_or_default().as_str() {{\n{arms}        _ => {whole},\n    }};\n    \
         model.emit(\"Net\")\n}}\n"
    );
    package.write("build.rs", script);
    // Both ways to say the same picture.
    let bytes = match graph.input_shape().channels {
        1..=4 => {
            "let (row, channels) = (Net::INPUT_WIDTH * Net::INPUT_CHANNELS, Net::INPUT_CHANNELS);\n    \
             let picture: Vec<u8> = (0..Net::INPUT_HEIGHT * (row + 3)).map(|idx| (idx * 37 % 251) as u8).collect();\n    \
             let values: [f32; Net::INPUT_LEN] = std::array::from_fn(|idx| {\n        let channel = idx % channels;\n        \
             let from = if Net::PICTURE.is_reversed { channels - 1 - channel } else { channel };\n        \
             let byte = picture[idx / row * (row + 3) + idx % row - channel + from];\n        \
             f32::from(byte).mul_add(Net::MULTIPLIER[channel], Net::OFFSET[channel])\n    });\n    \
             let mut workspace = NetWorkspace::boxed();\n    \
             let expected = Net::run(&values, &mut workspace).map(f32::to_bits);\n    \
             assert_eq!(Net::run_u8(&picture, row + 3, &mut workspace).map(f32::to_bits), expected);\n    \
             let pool = mnc_runtime::pool::Pool::new(2);\n    \
             let parallel = Net::run_u8_parallel(&picture, row + 3, &mut workspace, &pool);\n    \
             assert_eq!(parallel.map(f32::to_bits), expected);\n    "
        }
        _ => "",
    };
    let start = "include!(concat!(env!(\"OUT_DIR\"), \"/net.rs\"));\n\nfn main() {\n    ";
    let run = "let arguments: Vec<String> = std::env::args().collect();\n    \
               let bytes = std::fs::read(&arguments[1]).unwrap();\n    \
               let input = std::array::from_fn(|idx| f32::from_le_bytes(std::array::from_fn(|byte| bytes[4 * idx + byte])));\n    \
               let mut workspace = NetWorkspace::boxed();\n    \
               let output = Net::run(&input, &mut workspace);\n    \
               let bytes: Vec<u8> = output.iter().flat_map(|value| value.to_le_bytes()).collect();\n    \
               std::fs::write(&arguments[2], bytes).unwrap();\n}\n";
    package.write("src/main.rs", [start, bytes, run].concat());
    Some(package)
}

/// Builds the script, and runs it as cargo does with another `TARGET` and a `CASE` of ours.
fn script(package: &UserCrate) -> impl Fn(&str, &Path, &str) -> Output {
    let messages = package.build(&["--release"]);
    let program = messages.iter().find_map(Message::build_script).expect("there is a build script");
    let folder = package.path().to_owned();
    move |target, out_dir, case| {
        let mut command = Command::new(&program);
        command.current_dir(&folder).env("CARGO_MANIFEST_DIR", &folder).env("CARGO_PKG_NAME", "user");
        command.env("TARGET", target).env("OUT_DIR", out_dir).env("CASE", case);
        command.output().expect("the script runs")
    }
}

#[test]
fn the_object_is_for_the_target() {
    let Some(package) = package("door-targets", &RandomNetwork::new(3), &[]) else { return };
    let run = script(&package);
    for platform in PLATFORMS {
        let out_dir = Folder::new();
        let output = run(platform.triple, out_dir.path(), "");
        let (told, error) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{}: {error}", platform.triple);
        let library = library(out_dir.path());
        let architecture = match platform.triple.split('-').next() {
            Some("x86_64") => Architecture::X86_64,
            Some("aarch64") => Architecture::Aarch64,
            Some("riscv64gc") => Architecture::Riscv64,
            other => panic!("{other:?} is new: which architecture is it?"),
        };
        let format = match platform.triple {
            triple if triple.contains("apple") => BinaryFormat::MachO,
            triple if triple.contains("windows") => BinaryFormat::Coff,
            _ => BinaryFormat::Elf,
        };
        assert_eq!(platform_of(&library), (architecture, format), "{}", platform.triple);
        // Where the linker of that platform looks for it, under the name that it was told.
        let name = if platform.triple.ends_with("msvc") { "mnc_user_net.lib" } else { "libmnc_user_net.a" };
        assert!(library.ends_with(name), "{}: wrote {}", platform.triple, library.display());
        for line in ["cargo::rustc-link-lib=static=mnc_user_net", "cargo::rerun-if-changed=build.rs"] {
            assert!(told.lines().any(|it| it == line), "{}: expected {line} among\n{told}", platform.triple);
        }
    }
}

/// A whole program for another processor.
#[test]
fn cross_compiled_programs_run() {
    let [Some(cc), Some(qemu)] = ["aarch64-linux-gnu-gcc", "qemu-aarch64"].map(need::program) else { return };
    if !need::has_std(AARCH64) {
        return;
    }
    let network = RandomNetwork::new(3);
    let Some(package) = package("door-aarch64", &network, &[]) else { return };
    std::fs::create_dir(package.path().join(".cargo")).expect("the folder is ours");
    package.write(".cargo/config.toml", format!("[target.{AARCH64}]\nlinker = {cc:?}\n"));
    let messages = package.build(&["--release", "--target", AARCH64]);
    let out_dir = messages.iter().find_map(Message::out_dir).expect("the script ran");
    assert_eq!(platform_of(&library(&out_dir)), (Architecture::Aarch64, BinaryFormat::Elf));

    let fused = passes::run(&network.graph, &network.parameters).expect("the network is legal");
    let input = &network.inputs()[0];
    let (from, to) = (package.write("data/input", bits::to_bytes(input)), package.path().join("data/output"));
    let program = package.built(&format!("{AARCH64}/release/{}", package.name()));
    need::run(Command::new(qemu).args(["-L", "/usr/aarch64-linux-gnu"]).arg(program).arg(from).arg(&to));
    let found = bits::from_bytes(&std::fs::read(to).expect("the program wrote its output"));
    bits::compare(&found, &reference::output(&fused, input)).unwrap_or_else(|error| panic!("{error}"));
}

/// A folder as it was downloaded is what the command makes of it: its network, alpha and labels.
#[test]
fn a_folder_is_enough() {
    let cases = [("folder", "Model::new(\"data/person\")")];
    let Some(package) = package("door-folder", &RandomNetwork::new(3), &cases) else { return };
    let example = need::workspace().join("examples/person-detector");
    for (from, to) in [
        ("person.safetensors", "model.safetensors"),
        ("config.json", "config.json"),
        ("preprocessor_config.json", "preprocessor_config.json"),
    ] {
        std::fs::create_dir_all(package.path().join("data/person")).expect("the folder is ours");
        let file = std::fs::read(example.join(from)).expect("the example has the file");
        package.write(&format!("data/person/{to}"), file);
    }
    let out_dir = Folder::new();
    let output = script(&package)("x86_64-unknown-linux-gnu", out_dir.path(), "folder");
    let (told, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{error}");
    for file in ["model.safetensors", "config.json", "preprocessor_config.json"] {
        let line =
            format!("cargo::rerun-if-changed={}", package.path().join("data/person").join(file).display());
        assert!(told.lines().any(|it| it == line), "expected {line} among\n{told}");
    }
    let bindings = std::fs::read_to_string(out_dir.path().join("net.rs")).expect("the script wrote bindings");
    assert!(bindings.contains("mobilenet-v1"), "{bindings}");
    assert!(bindings.contains("\"person\""), "the labels are those of the folder:\n{bindings}");
}

/// A file of int8 is the whole network, whose bindings take numbers and bytes. The same of one in f32 without what is constant.
#[test]
fn int8_runs() {
    // Whichever it is: its program is that of all networks that take pictures.
    let network = RandomNetwork::new(3);
    assert!((1..=4).contains(&network.graph.input_shape().channels), "its input is a picture");
    let Some(package) = package("door-int8", &network, &[]) else { return };
    let file = package.path().join("data/person.int8.safetensors");
    if command::quantise_person(&file, &[]).is_none() {
        return;
    }
    let fused = networks::in_file(&file);
    assert!(fused.byte_input.is_some(), "the file is in int8");
    check_door(&package, "\"data/person.int8.safetensors\"", &fused);
    let (folder, fused) = networks::person_without_constant();
    check_door(&package, &format!("{folder:?}).drop_constant("), &fused);
}

/// The answers of a network that the build script of `door-int8` names, by the reference.
fn check_door(package: &UserCrate, model: &str, fused: &Fused) {
    let script = format!(
        "fn main() -> Result<(), mnc::Error> {{\n    mnc::build::Model::new({model}).emit(\"Net\")\n}}\n"
    );
    package.write("build.rs", script);
    package.build(&["--release"]);
    for (idx, input) in sample::inputs(fused.nodes[0].shape().len(), 9).iter().enumerate() {
        let (from, to) =
            (package.write("data/input", bits::to_bytes(input)), package.path().join("data/output"));
        need::run(Command::new(package.built("release/door-int8")).arg(from).arg(&to));
        let found = bits::from_bytes(&std::fs::read(to).expect("the program wrote its output"));
        let expected = reference::output(fused, input);
        bits::compare(&found, &expected).unwrap_or_else(|error| panic!("{model}: input {idx}: {error}"));
    }
}

/// The cases of the script, each with its error. `{dir}` is the package's folder.
const ERRORS: &[(&str, &str, &str)] = &[
    (
        "no such weights",
        "Model::new(\"mobilenet-v1\").weights(\"data/none.safetensors\")",
        "data/none.safetensors: no such file or directory, tried {dir}/data/none.safetensors, expected a safetensors file",
    ),
    (
        "no such network",
        "Model::new(\"mobilenet-v7\").random_weights(1)",
        "mobilenet-v7: no such file or directory, tried {dir}/mobilenet-v7, expected mobilenet-v1, mobilenet-v1-shallow, \
         mobilenet-v1-full-conv, mobilenet-v2, mobilenet-v3-large, mobilenet-v3-large-minimalistic, mobilenet-v3-small, \
         mobilenet-v3-small-minimalistic, mobilenet-v4-conv-small, mobilenet-v4-conv-medium, mobilenet-v4-conv-large or a \
         description in TOML",
    ),
    (
        "no such configuration",
        "Model::new(\"mobilenet-v1\").random_weights(1).config(\"data/none.json\")",
        "data/none.json: no such file or directory, tried {dir}/data/none.json, expected a JSON file",
    ),
    (
        "no such labels",
        "Model::new(\"data/net.toml\").random_weights(1).labels(\"data/none.txt\")",
        "data/none.txt: no such file or directory, tried {dir}/data/none.txt, expected a text file",
    ),
    (
        "a folder",
        "Model::new(\"data\").random_weights(1)",
        "data: found neither a config.json that names the architecture nor weights, expected one of the two",
    ),
    (
        "a long file",
        "Model::new(\"mobilenet-v1\").random_weights(1).config(\"data/long\")",
        "data/long: found 1099511627776 bytes, expected at most 16777216, tried {dir}/data/long, expected a JSON file",
    ),
    (
        "long weights",
        "Model::new(\"mobilenet-v1\").weights(\"data/long\").config(\"none\").preprocessor(\"none\")",
        "data/long: found 1099511627776 bytes, expected at most 5368709120, tried {dir}/data/long, expected a safetensors file",
    ),
    (
        "a device",
        "Model::new(\"data/net.toml\").random_weights(1).labels(\"/dev/null\")",
        "/dev/null: not a plain file (a device), tried /dev/null, expected a text file",
    ),
    (
        "a FIFO",
        "Model::new(\"data/net.toml\").weights(\"data/fifo\")",
        "data/fifo: not a plain file (a FIFO), tried {dir}/data/fifo, expected a safetensors file",
    ),
    (
        "another FIFO",
        "Model::new(\"mobilenet-v1\").random_weights(1).preprocessor(\"data/fifo-2\")",
        "data/fifo-2: not a plain file (a FIFO), tried {dir}/data/fifo-2, expected a JSON file",
    ),
    (
        "no weights",
        "Model::new(\"mobilenet-v1\")",
        "weights: found none, expected `.weights(\"FILE.safetensors\")` or `.random_weights(1)`",
    ),
    (
        "several faults",
        "Model::new(\"data/faults.toml\").random_weights(1)",
        "2 faults in the network description:\n  \
         data/faults.toml:7:10: `kernel`: found 99, expected a whole number from 1 to 11, or two as [rows, columns]\n  \
         data/faults.toml:10:10: `stride`: found 9, expected a whole number from 1 to 4, or two as [rows, columns]",
    ),
    (
        "no such CPU",
        "Model::new(\"mobilenet-v1\").random_weights(1).target_cpu(\"pdp11\")",
        "pdp11: unknown CPU of x86_64-unknown-linux-gnu, expected one of x86-64-v3, x86-64-v4, x86-64-v3-vnni, x86-64-v4-vnni, x86-64-v3-cranelift",
    ),
];

#[test]
fn errors_say_every_path_that_was_tried() {
    let mut cases: Vec<(&str, &str)> = ERRORS.iter().map(|(case, model, _)| (*case, *model)).collect();
    cases.push((
        "two types",
        "{ let model = Model::new(\"data/net.toml\").random_weights(1); model.emit(\"NET\")?; model }",
    ));
    // One that can be built without the alpha of its weights.
    let network = (0..).map(RandomNetwork::new).find(|network| network.graph.alpha == 1.0);
    let network = network.expect("most networks are drawn with an alpha of 1");
    let Some(package) = package("door-errors", &network, &cases) else { return };
    let faults = "name = \"faults\"\nclasses = 3\ninput = { height = 8, width = 8, channels = 3 }\n\
                  [[layer]]\nkind = \"conv\"\nfilters = 8\nkernel = 99\n[[layer]]\nkind = \"depthwise\"\nstride = 9\n";
    package.write("data/faults.toml", faults);
    package.long_file("data/long");
    let has_fifos = ["data/fifo", "data/fifo-2"].map(|name| package.fifo(name).is_some()) == [true; 2];
    let run = script(&package);
    let mut wrong = String::new();
    for (case, _, expected) in ERRORS {
        if expected.contains("a FIFO") && !has_fifos {
            continue;
        }
        let out_dir = Folder::new();
        let output = run("x86_64-unknown-linux-gnu", out_dir.path(), case);
        let found =
            String::from_utf8_lossy(&output.stderr).replace(&package.path().display().to_string(), "{dir}");
        let is_as_expected = found.trim_end() == format!("Error: {expected}");
        if output.status.success() || !is_as_expected {
            wrong += &format!("\n{case}, found:\n{found}expected:\nError: {expected}\n");
        }
        let n_written = std::fs::read_dir(out_dir.path()).expect("the folder is ours").count();
        assert_eq!(n_written, 0, "{case}: wrote {n_written} files all the same");
    }
    assert!(wrong.is_empty(), "{wrong}");
    // Two types of one script whose libraries would have one name.
    let out_dir = Folder::new();
    let output = run("x86_64-unknown-linux-gnu", out_dir.path(), "two types");
    let error = String::from_utf8_lossy(&output.stderr);
    let expected = "Error: type: found \"Net\" beside \"NET\", expected names that differ in";
    assert!(!output.status.success() && error.starts_with(expected), "{error}");

    // Cargo shows it to whoever builds the crate.
    std::fs::remove_file(package.path().join("data/net.safetensors")).expect("it was there");
    let output = package.cargo(&["build", "--release"]).output().expect("cargo runs");
    let found = String::from_utf8_lossy(&output.stderr);
    let tried = package.path().join("data/net.safetensors");
    let expected = format!(
        "Error: data/net.safetensors: no such file or directory, tried {}, expected a safetensors file",
        tried.display()
    );
    assert!(!output.status.success() && found.contains(&expected), "expected {expected:?}, found:\n{found}");
}
