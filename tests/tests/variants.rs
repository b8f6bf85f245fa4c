//! All 16 members of the paper's family in one C program, side by side and in threads, under the tools that find what a test
//! doesn't see: AddressSanitizer, ThreadSanitizer, valgrind's memcheck and its race detector.
//!
//! The sanitizers see the C program, what it hands over and gets back, and its heap; valgrind sees every instruction of the
//! networks as well, some hundred times slower, so it gets the small ones.

use std::path::Path;
use std::process::{Command, Output};

use mnc::graph::Graph;
use mnc::weights::Parameters;
use mnc::{Compiled, Options, Target};
use mnc_tests::folder::Folder;
use mnc_tests::link::Linked;
use mnc_tests::recorded::{TRAINED, TrainedNetwork};
use mnc_tests::{bits, each, need, networks};

const ALPHAS: [f64; 4] = [1.0, 0.75, 0.5, 0.25];
const RESOLUTIONS: [usize; 4] = [224, 192, 160, 128];

/// One more, small enough for eight threads in valgrind.
const SMALL: (f64, usize) = (0.25, 32);

/// A member of the family.
struct Variant {
    compiled: Compiled,
    object: Vec<u8>,
    input: Vec<f32>,
    /// The class that the recorded answer names, where these are the weights and the input of one.
    label: Option<usize>,
}

fn best<T: PartialOrd>(values: &[T]) -> usize {
    let better = |best: usize, idx: usize| if values[best] < values[idx] { idx } else { best };
    (1..values.len()).fold(0, better)
}

/// The trained weights of that alpha and resolution, where the test data has them.
fn trained(alpha: f64, resolution: usize) -> Option<TrainedNetwork> {
    let idx = match (alpha, resolution) {
        (1.0, 224) => 4,
        (0.5, 160) => 3,
        (0.25, 128) => 0,
        _ => return None,
    };
    TRAINED[idx].read()
}

fn variant(alpha: f64, resolution: usize) -> Variant {
    let name = format!("v1_{}_{resolution}", (alpha * 100.0) as usize);
    let target = Target::new("x86_64-unknown-linux-gnu", None).expect("a row of the table");
    let compile = |graph: Graph, parameters: &Parameters| {
        mnc::compile(graph, parameters, &target, &Options { name: &name, labels: &[] }).expect("it is legal")
    };
    let (compiled, input, label) = match trained(alpha, resolution) {
        Some(trained) => {
            let label = Some(best(&trained.logits[0]));
            (compile(trained.graph, &trained.parameters), trained.inputs[0].clone(), label)
        }
        None => {
            let (graph, parameters) = networks::builtin("mobilenet-v1", alpha, resolution);
            let input = networks::input(graph.input_shape(), 1);
            (compile(graph, &parameters), input, None)
        }
    };
    let object = compiled.object().expect("it can be emitted");
    Variant { compiled, object, input, label }
}

/// A program made of all of them.
fn build(cc: &Path, folder: &Folder, program: &str, flags: &[&str], variants: &[Variant]) {
    let objects = variants.iter().map(|variant| format!("{}.o", variant.compiled.info.name));
    let mut command = Command::new(cc);
    command.current_dir(folder.path()).args([
        "-std=c11",
        "-g",
        "-O1",
        "-Wall",
        "-Wextra",
        "-Wpedantic",
        "-Werror",
    ]);
    command.args(flags).args(["-o", program, "variants.c"]).args(objects).arg("-pthread");
    need::run(&mut command);
}

/// Runs the program on networks of that name. What an earlier run has written is gone before.
fn start(mut command: Command, folder: &Folder, names: &[&str]) -> (Output, String) {
    for name in names {
        let output = folder.path().join(format!("{name}.output"));
        if let Err(error) = std::fs::remove_file(&output) {
            assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{}: {error}", output.display());
        }
    }
    command.current_dir(folder.path()).arg(".").args(names);
    command.env("ASAN_OPTIONS", "detect_leaks=1").env("TSAN_OPTIONS", "halt_on_error=1");
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let told = format!("{command:?}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    (output, told)
}

/// Runs it under a tool on a CPU that has what it takes. What the tools print they print once something is wrong; then the program
/// fails.
fn run(command: Command, folder: &Folder, names: &[&str]) {
    let (output, told) = start(command, folder, names);
    assert!(output.status.success(), "{told}");
}

#[test]
fn all_sixteen_in_one_program() {
    if need::host().is_none_or(|platform| !platform.triple.starts_with("x86_64")) {
        return need::skip("an x86-64 machine");
    }
    let tools = || Some([need::program("gcc")?, need::program("valgrind")?]);
    let Some([gcc, valgrind]) = tools() else { return };
    let pairs: Vec<(f64, usize)> =
        ALPHAS.iter().flat_map(|alpha| RESOLUTIONS.map(|resolution| (*alpha, resolution))).collect();
    let pairs: Vec<(f64, usize)> = pairs.into_iter().chain([SMALL]).collect();
    let variants = each(&pairs, |(alpha, resolution)| variant(*alpha, *resolution));

    let folder = Folder::new();
    folder.write("variants.c", include_str!("../fixtures/variants.c"));
    let mut header = String::new();
    let mut list = "#define NETWORKS(X)".to_owned();
    for Variant { compiled, object, input, .. } in &variants {
        let name = &compiled.info.name;
        folder.write(&format!("{name}.o"), object);
        folder.write(&format!("{name}.h"), compiled.header());
        folder.write(&format!("{name}.input"), bits::to_bytes(input));
        header += &format!("#include \"{name}.h\"\n");
        list += &format!(" X({name}, {})", name.to_uppercase());
    }
    folder.write("networks.h", format!("{header}{list}\n"));
    let names: Vec<&str> = variants.iter().map(|variant| variant.compiled.info.name.as_str()).collect();

    build(&gcc, &folder, "plain", &[], &variants);
    let (output, told) = start(Command::new("./plain"), &folder, &names);
    if output.status.code() == Some(3) {
        return need::skip_cpu(&variants[0].compiled);
    }
    assert!(output.status.success(), "{told}");
    let expected = answers_alone(&variants);
    check_outputs(&folder, &names, &variants, &expected);
    for (program, sanitizer) in [("asan", "-fsanitize=address,undefined"), ("tsan", "-fsanitize=thread")] {
        build(&gcc, &folder, program, &[sanitizer, "-fno-sanitize-recover=all"], &variants);
        run(Command::new(format!("./{program}")), &folder, &names);
        check_outputs(&folder, &names, &variants, &expected);
    }
    // The first of them is the one that runs in eight threads and on a pool.
    let small = ["v1_25_32", "v1_25_128", "v1_50_128"];
    for (tool, names) in [("memcheck", &small[..]), ("helgrind", &small[..2])] {
        let mut command = Command::new(&valgrind);
        command.args([&format!("--tool={tool}"), "--error-exitcode=99", "--quiet", "./plain"]);
        run(command, &folder, names);
        check_outputs(&folder, names, &variants, &expected);
    }
}

/// The bits of each network alone in a library.
fn answers_alone(variants: &[Variant]) -> Vec<Vec<f32>> {
    each(variants, |Variant { compiled, object, input, .. }| {
        let name = compiled.info.name.as_str();
        let linked = Linked::new([(name, object.clone())]).expect("there is a compiler");
        linked.network(compiled).run(input).unwrap_or_else(|status| panic!("{name}: {status}"))
    })
}

/// The program's answers of these names are those bits, and name what was recorded.
fn check_outputs(folder: &Folder, names: &[&str], variants: &[Variant], expected: &[Vec<f32>]) {
    for name in names {
        let idx = variants.iter().position(|variant| variant.compiled.info.name == *name);
        let idx = idx.expect("the names are those of variants");
        let bytes = std::fs::read(folder.path().join(format!("{name}.output")))
            .unwrap_or_else(|error| panic!("{name}: no output: {error}"));
        let found = bits::from_bytes(&bytes);
        bits::compare(&found, &expected[idx]).unwrap_or_else(|error| panic!("{name}: {error}"));
        if let Some(label) = variants[idx].label {
            assert_eq!(best(&found), label, "{name}");
        }
    }
}
