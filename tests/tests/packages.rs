//! What `mnc compile --emit …` writes into a folder, from the side of build systems: CMake, pkg-config, `dlopen`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use mnc::emit::archive::archive;
use mnc::emit::manifest::{File, Manifest};
use mnc::target::PLATFORMS;
use mnc::{Compiled, Options, Target, reference};
use mnc_tests::command::mnc;
use mnc_tests::folder::Folder;
use mnc_tests::{bits, each, need, networks};
use object::read::archive::ArchiveFile;
use object::{Object as _, ObjectSymbol as _};

const ALL: &str = "manifest,obj,staticlib,cdylib,header,cmake,pkg-config";

/// The network that all tests here take: `mobilenet-v1`, alpha 0.25, 32 x 32, with the numbers of `--random-weights 1`.
const NETWORK: [&str; 8] =
    ["mobilenet-v1", "--random-weights", "1", "--alpha", "0.25", "--resolution", "32", "--quiet"];

fn compiled(target: &Target) -> Compiled {
    let (graph, parameters) = networks::builtin("mobilenet-v1", 0.25, 32);
    mnc::compile(graph, &parameters, target, &Options { name: "net", labels: &[] }).expect("it is legal")
}

/// An empty folder in which the command has been run.
fn emitted(formats: &str) -> Option<Folder> {
    let mnc = mnc()?;
    let folder = Folder::new();
    let arguments = ["--name", "net", "-o", "net/", "--emit", formats];
    need::run(Command::new(mnc).current_dir(folder.path()).arg("compile").args(NETWORK).args(arguments));
    Some(folder)
}

/// What `run.c` answers, linked with the network, is the reference's answer.
fn check_program(program: &Path, folder: &Folder) {
    let compiled = compiled(&need::host_targets()[0]);
    let input = networks::input(compiled.program.input, 1);
    folder.write("inputs", bits::to_bytes(&input));
    let output = Command::new(program).current_dir(folder.path()).args(["inputs", "outputs"]).output();
    let output = output.unwrap_or_else(|error| panic!("{}: {error}", program.display()));
    // The CPU lacks what the default instruction set needs.
    if output.status.code() == Some(3) {
        return need::skip_cpu(&compiled);
    }
    assert!(output.status.success(), "{output:?}");
    let found = bits::from_bytes(&fs::read(folder.path().join("outputs")).expect("it wrote its outputs"));
    let expected = reference::output(&compiled.fused, &input);
    bits::compare(&found, &expected).unwrap_or_else(|error| panic!("{}: {error}", program.display()));
}

#[test]
fn the_manifest_tells_what_was_read_and_written() {
    let Some(mnc) = mnc() else { return };
    let folder = Folder::new();
    let weights = need::workspace().join("examples/person-detector/person.safetensors");
    let weights = weights.canonicalize().expect("the repository has weights");
    let emit = ["--rho", "0.5", "--name", "net", "-o", "net/", "--emit", ALL];
    let mut command = Command::new(mnc);
    command.current_dir(folder.path()).args(["compile", "mobilenet-v1", "-q", "--weights"]).arg(&weights);
    need::run(command.args(emit));

    let text = fs::read(folder.path().join("net/net.json")).expect("it was asked for");
    let manifest = Manifest::from_json(&text).expect("the manifest can be read back");
    assert_eq!((manifest.alpha, manifest.rho), (0.25, Some(0.5)));
    assert_eq!((manifest.input.height, manifest.output.shape.as_slice()), (112, &[1, 1, 2][..]));
    assert_eq!(manifest.labels, ["person", "non_person"]);
    assert_eq!(manifest.parameters, 208_114);
    let text = manifest.description.join("\n") + "\n";
    let builtin = mnc::describe::builtin("mobilenet-v1").expect("it is built in");
    assert_eq!(text, builtin.text, "the author's own TOML, which can be compiled again");
    assert!(manifest.changed.iter().all(|line| !line.contains('{')), "{:?}", manifest.changed);
    let kinds = |files: &[File]| files.iter().map(|file| file.kind.clone()).collect::<Vec<_>>();
    assert_eq!(kinds(&manifest.inputs), ["network", "weights", "configuration", "configuration"]);
    assert_eq!(kinds(&manifest.outputs), ["obj", "staticlib", "cdylib", "header", "cmake", "pkg-config"]);
    for file in &manifest.outputs {
        let content = fs::read(folder.path().join("net").join(&file.file)).expect("it was written");
        assert_eq!(*file, File::new(&file.kind, &file.file, &content));
    }
    let content = fs::read(&weights).expect("it is there");
    assert_eq!(manifest.inputs[1], File::new("weights", "person.safetensors", &content));
    if let Some(sha256sum) = need::optional_program("sha256sum") {
        let printed = need::run(Command::new(sha256sum).arg(&weights)).stdout;
        assert!(String::from_utf8_lossy(&printed).starts_with(&manifest.inputs[1].sha256));
    }
    let names = fs::read_dir(folder.path().join("net")).expect("the folder was made").count();
    assert_eq!(names, 7, "the manifest and what it lists");
}

#[test]
fn the_same_command_writes_the_same_bytes() {
    let Some([one, two]) = (|| Some([emitted(ALL)?, emitted(ALL)?]))() else { return };
    for entry in fs::read_dir(one.path().join("net")).expect("the folder was made") {
        let name = entry.expect("it can be listed").file_name();
        let read = |folder: &Folder| fs::read(folder.path().join("net").join(&name)).expect("both have it");
        assert!(read(&one) == read(&two), "{} differs", name.display());
    }
}

#[test]
fn cmake_finds_the_package() {
    let Some(cmake) = need::program("cmake") else { return };
    for (formats, libraries) in
        [(ALL, "net;net_shared"), ("header,cdylib,cmake", "net"), ("header,obj,cmake", "net")]
    {
        let Some(folder) = emitted(formats) else { return };
        folder.write("CMakeLists.txt", include_str!("../fixtures/CMakeLists.txt"));
        folder.write("run.c", include_str!("../fixtures/run.c"));
        let mut configure = Command::new(&cmake);
        configure.current_dir(folder.path()).args(["-S", ".", "-B", "build", "--log-level=ERROR"]);
        configure.arg(format!("-DCMAKE_PREFIX_PATH={}", folder.path().join("net").display()));
        need::run(configure.arg(format!("-DLIBRARIES={libraries}")));
        need::run(Command::new(&cmake).current_dir(folder.path()).args(["--build", "build"]));
        for library in libraries.split(';') {
            check_program(&folder.path().join(format!("build/run_{library}")), &folder);
        }
    }
}

#[test]
fn pkg_config_has_the_flags() {
    let Some([pkg_config, cc]) = (|| Some([need::program("pkg-config")?, need::program("cc")?]))() else {
        return;
    };
    for formats in [ALL, "header,cdylib,pkg-config", "header,obj,pkg-config"] {
        let Some(folder) = emitted(formats) else { return };
        folder.write("run.c", include_str!("../fixtures/run.c"));
        let net = folder.path().join("net");
        let mut command = Command::new(&pkg_config);
        let flags =
            need::run(command.env("PKG_CONFIG_PATH", &net).args(["--cflags", "--libs", "net"])).stdout;
        let flags = String::from_utf8(flags).expect("flags are text");
        let mut command = Command::new(&cc);
        command.current_dir(folder.path()).args(["run.c", "-o", "run"]).args(flags.split_whitespace());
        need::run(command.arg(format!("-Wl,-rpath,{}", net.display())));
        check_program(&folder.path().join("run"), &folder);
    }
}

/// Folders with spaces, and flags that a shell splits.
#[test]
fn pkg_config_finds_folders_with_spaces() {
    let Some([pkg_config, cc]) = (|| Some([need::program("pkg-config")?, need::program("cc")?]))() else {
        return;
    };
    for name in ["with space", "two  spaces and ä"] {
        for formats in ["header,staticlib,pkg-config", "header,cdylib,pkg-config"] {
            let Some(folder) = emitted(formats) else { return };
            let net = folder.path().join(name);
            fs::rename(folder.path().join("net"), &net).expect("a package may be moved");
            folder.write("run.c", include_str!("../fixtures/run.c"));
            let mut command = Command::new("sh");
            command.current_dir(folder.path()).env("PKG_CONFIG_PATH", &net);
            command.env("PKG_CONFIG", &pkg_config).env("CC_OF_TEST", &cc).env("NET", &net);
            let script =
                r#"eval "$CC_OF_TEST run.c -o run $("$PKG_CONFIG" --cflags --libs net)" -Wl,-rpath,'"$NET"'"#;
            need::run(command.args(["-c", script]));
            check_program(&folder.path().join("run"), &folder);
            // The older pkg-config puts the folder in as it is, and splits flags as a shell does.
            let text = fs::read_to_string(net.join("net.pc")).expect("it was written");
            assert!(text.contains("prefix=\"${pcfiledir}\""), "{text}");
            let value = |key: &str| {
                let line = text.lines().find_map(|line| line.strip_prefix(key));
                let net = format!("\"{}\"", net.display());
                line.expect("the file has it").replace("${prefix}", &net)
            };
            let split = format!("printf '%s\\n' {} {}", value("Cflags: "), value("Libs: "));
            let words = need::run(Command::new("sh").args(["-c", &split])).stdout;
            let words = String::from_utf8(words).expect("UTF-8");
            let include = format!("-I{}", net.display());
            assert_eq!(words.lines().next(), Some(&*include), "{words}");
            assert_eq!(words.lines().count(), if formats.contains("static") { 2 } else { 3 }, "{words}");
        }
    }
}

/// A shared library that needs no other and exports the functions of the header alone.
#[test]
fn a_shared_library_stands_alone() {
    let Some(folder) = emitted("cdylib") else { return };
    let path: PathBuf = folder.path().join("net/libnet.so");
    let bytes = fs::read(&path).expect("it was asked for");
    let file = object::File::parse(&*bytes).expect("a shared library is an object file");
    assert!(file.imports().expect("imports can be listed").is_empty());
    let exports = file.exports().expect("exports can be listed");
    let mut names: Vec<_> = exports.iter().map(|export| String::from_utf8_lossy(export.name())).collect();
    names.sort();
    assert_eq!(names, ["net_info", "net_run", "net_run_parallel", "net_run_u8", "net_run_u8_parallel"]);
}

/// Static libraries for every platform, taken apart: one member, which is the object, and its functions in the index.
#[test]
fn static_libraries_of_every_platform() {
    let targets: Vec<Target> = PLATFORMS
        .iter()
        .map(|platform| Target::new(platform.triple, None).expect("a row of the table"))
        .collect();
    each(&targets, |target| {
        let compiled = compiled(target);
        let object = compiled.object().expect("it can be emitted");
        let library = archive(&object, "net.o", target).expect("it can be archived");
        let parsed = ArchiveFile::parse(&*library).unwrap_or_else(|error| panic!("{target}: {error}"));
        let members: Vec<_> = parsed.members().collect::<Result<_, _>>().expect("members can be read");
        assert_eq!(members.len(), 1, "{target}");
        assert_eq!(members[0].name(), b"net.o", "{target}");
        assert!(members[0].data(&*library).expect("it lies in the file") == object, "{target}");
        let symbols = parsed.symbols().expect("the index can be read").expect("there is an index");
        let mut found: Vec<String> = symbols
            .map(|symbol| String::from_utf8_lossy(symbol.expect("a row").name()).into_owned())
            .collect();
        found.sort();
        let file = object::File::parse(&*object).expect("it is an object");
        let mut expected: Vec<String> = file
            .symbols()
            .filter(|symbol| symbol.is_global() && symbol.is_definition())
            .map(|symbol| symbol.name().expect("UTF-8").to_owned())
            .collect();
        expected.sort();
        assert_eq!(found, expected, "{target}");
    });
}
