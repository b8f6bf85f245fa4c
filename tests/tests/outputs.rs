//! A network of several outputs, through every door: each output under its name, with the reference's bits.

use std::fmt::Write as _;
use std::process::Command;

use mnc::describe::Description;
use mnc::graph::{Graph, Knobs};
use mnc::weights::Parameters;
use mnc::{Compiled, Options, Target, reference};
use mnc_tests::command::mnc;
use mnc_tests::folder::Folder;
use mnc_tests::{bits, need, networks};
use serde_json::Value;

/// An output that another layer reads, one that ends on a whole vector, and one that doesn't; in another order than the layers.
const NETWORK: &str = r#"
name = "several"
classes = 3
input = { height = 9, width = 7, channels = 3 }
preprocess = { resize = "stretch" }
outputs = ["box-es", "map", "classes"]
layer = [
    { kind = "conv", name = "map", filters = 16, stride = 2 },
    { kind = "pointwise", name = "box-es", filters = 5, scaled = false, activation = "none" },
    { kind = "global_average_pool", input = "map" },
    { kind = "dense" },
    { kind = "softmax", name = "classes" },
]
"#;

/// Names with rows, columns and channels.
const OUTPUTS: [(&str, [usize; 3]); 3] = [("box-es", [5, 4, 5]), ("map", [5, 4, 16]), ("classes", [1, 1, 3])];

fn compile(target: &Target, batch: usize) -> Compiled {
    let description = Description::parse(NETWORK, "several.toml").expect("it is well formed");
    let mut graph = Graph::build(&description, &Knobs::default()).expect("it is a network");
    graph.batch = batch;
    let parameters = Parameters::random(&graph, 3);
    mnc::compile(graph, &parameters, target, &Options { name: "net", labels: &[] }).expect("it is legal")
}

/// The values of each output for an input.
fn expected(compiled: &Compiled, input: &[f32]) -> Vec<Vec<f32>> {
    let all = reference::output(&compiled.fused, input);
    let mut rest = all.as_slice();
    let outputs = OUTPUTS.map(|(_, shape)| {
        let (output, behind) = rest.split_at(shape.iter().product());
        rest = behind;
        output.to_vec()
    });
    assert!(rest.is_empty());
    outputs.to_vec()
}

#[test]
fn the_description_says_where_each_lies() {
    for target in need::host_targets() {
        let compiled = compile(&target, 1);
        let mut first = 0;
        for (part, (name, shape)) in compiled.info.output.parts.iter().zip(OUTPUTS) {
            let found = (part.name.as_str(), part.offset_bytes, part.shape.as_slice());
            assert_eq!(found, (name, 4 * first as u64, &shape[..]));
            first += part.len();
        }
        assert_eq!(compiled.info.output.shape, [first]);
        let kinds: Vec<String> =
            compiled.info.output.parts.iter().map(|part| format!("{:?}", part.kind)).collect();
        assert_eq!(kinds, ["Features", "Features", "Probabilities"]);
    }
}

/// Images of a batch are what they are alone, their outputs one image behind the other.
#[test]
fn images_of_a_batch_have_all_of_their_outputs() {
    for target in need::host_targets() {
        let [one, batch] = [1, 3].map(|batch| compile(&target, batch));
        let images: Vec<Vec<f32>> = (0..3).map(|seed| networks::input(one.program.input, seed)).collect();
        let expected: Vec<f32> =
            images.iter().flat_map(|image| reference::output(&one.fused, image)).collect();
        let found = batch.program.interpret(&images.concat()).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(bits::compare(&found, &expected), Ok(()), "{target}");
    }
}

/// A C program that finds each output by the header's constants.
fn program() -> String {
    let mut program = String::from(
        "#include \"net.h\"\n#include <stdio.h>\n#include <string.h>\n\
         static float input[NET_INPUT_LEN], output[NET_OUTPUT_LEN];\n\
         static _Alignas(NET_WORKSPACE_ALIGN) unsigned char workspace[NET_WORKSPACE_BYTES];\n\
         static void show(const char *name, const float *values, size_t n, size_t h, size_t w, size_t c) {\n  \
         printf(\"%s %zu %zu %zu\\n\", name, h, w, c);\n  \
         for (size_t i = 0; i < n; i++) { unsigned bits; memcpy(&bits, values + i, 4); printf(\"%08x\\n\", bits); }\n}\n\
         int main(void) {\n  if (fread(input, 4, NET_INPUT_LEN, stdin) != NET_INPUT_LEN) return 2;\n  \
         int status = net_run(input, output, workspace);\n  if (status) return status == -3 ? 3 : 4;\n",
    );
    for (name, _) in OUTPUTS {
        let upper = format!("NET_OUTPUT_{}", name.to_uppercase().replace('-', "_"));
        writeln!(
            program,
            "  show(\"{name}\", output + {upper}_OFFSET, {upper}_LEN, {upper}_HEIGHT, {upper}_WIDTH, {upper}_CHANNELS);"
        )
        .expect("a String takes every write");
    }
    program + "  return 0;\n}\n"
}

#[test]
fn a_c_program_finds_each_by_the_header() {
    let Some(cc) = need::program("cc") else { return };
    for target in need::host_targets() {
        let compiled = compile(&target, 1);
        let folder = Folder::new();
        folder.write("main.c", program());
        folder.write("net.h", compiled.header());
        folder.write("net.o", compiled.object().expect("it can be emitted"));
        let input = networks::input(compiled.program.input, 1);
        folder.write("input.f32", bits::to_bytes(&input));
        let flags = ["-std=c11", "-Wall", "-Wextra", "-Werror", "main.c", "net.o", "-o", "main"];
        need::run(Command::new(&cc).current_dir(folder.path()).args(flags));
        let stdin = std::fs::File::open(folder.path().join("input.f32")).expect("it was written");
        let output =
            Command::new(folder.path().join("main")).stdin(stdin).output().expect("the program starts");
        match output.status.code() {
            Some(0) => {}
            Some(3) => {
                need::skip_cpu(&compiled);
                continue;
            }
            _ => panic!("{}", output.status),
        }
        let mut text = String::new();
        for ((name, [height, width, channels]), values) in OUTPUTS.iter().zip(expected(&compiled, &input)) {
            writeln!(text, "{name} {height} {width} {channels}").expect("a String takes every write");
            values.iter().for_each(|value| {
                writeln!(text, "{:08x}", value.to_bits()).expect("a String takes every write");
            });
        }
        assert_eq!(String::from_utf8(output.stdout).expect("UTF-8"), text, "{target}");
    }
}

/// A folder with the network as executable, object with header, and Python module; what else `mnc` says to it.
fn folder() -> Option<(Folder, Compiled, Vec<f32>)> {
    let (mnc, platform) = (mnc()?, need::host()?);
    let target = Target::new(platform.triple, Some(platform.isas[0].name)).expect("a row of the table");
    let compiled = compile(&target, 1);
    let input = networks::input(compiled.program.input, 1);
    let folder = Folder::new();
    folder.write("several.toml", NETWORK);
    folder.write("input.f32", bits::to_bytes(&input));
    for emit in
        [&["-o", "answer"][..], &["--emit", "python", "-o", "net/"], &["--emit", "obj", "-o", "net.o"]]
    {
        let arguments = ["compile", "several.toml", "--random-weights", "3", "--quiet", "--name", "net"];
        need::run(Command::new(mnc).current_dir(folder.path()).args(arguments).args(emit));
    }
    Some((folder, compiled, input))
}

#[test]
fn executables_print_each_under_its_name() {
    let Some((folder, compiled, input)) = folder() else { return };
    let run = |arguments: &[&str]| {
        let mut command = Command::new(folder.path().join("answer"));
        let output = need::run(command.current_dir(folder.path()).args(arguments));
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    let expected = expected(&compiled, &input);
    let mut text = String::from("input.f32\n");
    for ((name, [height, width, channels]), values) in OUTPUTS.iter().zip(&expected) {
        writeln!(text, "{name} ({height} x {width} x {channels})").expect("a String takes every write");
        values.iter().for_each(|value| writeln!(text, "  {value:?}").expect("a String takes every write"));
    }
    assert_eq!(run(&["input.f32"]), text);
    assert_eq!(run(&["--raw", "input.f32"]), text);
    let answer: Value = serde_json::from_str(&run(&["--json", "input.f32"])).expect("JSON");
    for ((name, _), values) in OUTPUTS.iter().zip(&expected) {
        let found = answer[0]["outputs"][name].as_array().expect("an array of its values");
        let found: Vec<f32> = found.iter().map(|value| value.as_f64().expect("a number") as f32).collect();
        assert_eq!(bits::compare(&found, values), Ok(()), "{name}");
    }
    assert!(answer[0].get("output").is_none() && answer[0].get("top").is_none(), "{answer}");
    let line = "\noutput         box-es 5 x 4 x 5 f32, features; map 5 x 4 x 16 f32, features; \
                classes 1 x 1 x 3 f32, probabilities\n";
    assert!(run(&["--info"]).contains(line));
}

const PYTHON: &str = "
import array, json, sys, net
outputs = net.run(array.array('f', open('input.f32', 'rb').read()))
assert list(outputs) == list(net.OUTPUT_SHAPES) == ['box-es', 'map', 'classes'], outputs
if net.numpy is not None:
    assert all(outputs[name].shape == shape for name, shape in net.OUTPUT_SHAPES.items())
again = net.run_batch([[0.5] * 189] * 2, threads=2)
assert len(again) == 2 and all(list(outputs) == list(net.OUTPUT_SHAPES) for outputs in again)
try:
    net.classify(['input.f32'])
except (TypeError, ImportError) as error:
    print(error, file=sys.stderr)
sys.stdout.buffer.write(b''.join(outputs[name].tobytes() for name in outputs))
";

#[test]
fn python_returns_a_dictionary() {
    let Some((folder, compiled, input)) = folder() else { return };
    let Some(python) = need::program("python3") else { return };
    // Without what isn't of the standard library, and with it.
    for flags in [&["-S"][..], &[]] {
        let mut command = Command::new(&python);
        command.current_dir(folder.path()).env("PYTHONPATH", "net").args(["-B"]).args(flags);
        let output = need::run(command.args(["-c", PYTHON]));
        let found = bits::from_bytes(&output.stdout);
        assert_eq!(bits::compare(&found, &expected(&compiled, &input).concat()), Ok(()));
    }
}

#[test]
fn verify_compares_all_of_them_and_inspect_proves_the_code() {
    let Some((folder, ..)) = folder() else { return };
    let mnc = mnc().expect("it has just been used");
    let run = |arguments: &[&str]| {
        let output = need::run(Command::new(mnc).current_dir(folder.path()).args(arguments));
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    let text = run(&["verify", "several.toml", "--random-weights", "3"]);
    // 5 x 4 x 5, 5 x 4 x 16 and 3.
    assert!(text.contains("0 of 423"), "{text}");
    run(&["inspect", "net.o"]);
    run(&["inspect", "answer"]);
}

/// What names one output, or the classes of one, has no place here.
#[test]
fn labels_are_refused() {
    let Some((folder, ..)) = folder() else { return };
    folder.write("labels.txt", "a\nb\nc\n");
    let mut command = Command::new(mnc().expect("it has just been used"));
    let arguments = ["compile", "several.toml", "--random-weights", "3", "--labels", "labels.txt", "-o", "x"];
    let output = command.current_dir(folder.path()).args(arguments).output().expect("it starts");
    let error = String::from_utf8_lossy(&output.stderr);
    let expected =
        "labels.txt: found labels for a network of 3 outputs, expected none: they name classes of one output";
    assert!(!output.status.success() && error.contains(expected), "{error}");
    // What a configuration says of a classifier is left aside.
    folder.write("config.json", r#"{"num_labels": 3, "id2label": {"0": "a", "1": "b", "2": "c"}}"#);
    let mut command = Command::new(mnc().expect("it has just been used"));
    let arguments =
        ["compile", "several.toml", "--random-weights", "3", "--config", "config.json", "--quiet", "-o", "x"];
    need::run(command.current_dir(folder.path()).args(arguments));
}
