//! The module of `mnc compile --emit python`, without and with what else a Python may have.

use std::path::PathBuf;
use std::process::{Command, Output};

use mnc::{Compiled, Options, reference};
use mnc_tests::command::mnc;
use mnc_tests::folder::Folder;
use mnc_tests::{bits, need, networks};

/// A folder with the module of `mobilenet-v1`, alpha 0.25, 32 x 32, and the same network compiled here.
fn module(more: &[&str]) -> Option<(Folder, Compiled)> {
    let (mnc, target) = (mnc()?, need::host_targets().into_iter().next()?);
    let folder = Folder::new();
    let network =
        ["mobilenet-v1", "--random-weights", "1", "--alpha", "0.25", "--resolution", "32", "--quiet"];
    let emit = ["--name", "net", "--emit", "python", "-o", "net/"];
    need::run(
        Command::new(mnc).current_dir(folder.path()).arg("compile").args(network).args(emit).args(more),
    );
    let (graph, parameters) = networks::builtin("mobilenet-v1", 0.25, 32);
    let options = Options { name: "net", labels: &[] };
    let compiled = mnc::compile(graph, &parameters, &target, &options).expect("it is legal");
    Some((folder, compiled))
}

/// Runs a program with the folder's module on the path. `-S`: nothing but the standard library.
fn python(folder: &Folder, flags: &[&str], program: &str) -> Option<Output> {
    let python = need::program("python3")?;
    let mut command = Command::new(python);
    command.current_dir(folder.path()).env("PYTHONPATH", "net").env("PYTHONDONTWRITEBYTECODE", "1");
    Some(command.args(flags).args(["-c", program]).output().expect("Python can be started"))
}

/// Whether this CPU can run the network. `None` where it said that it can't.
fn text(output: &Output, compiled: &Compiled) -> Option<String> {
    let error = String::from_utf8_lossy(&output.stderr);
    if error.contains("this CPU lacks a feature") {
        need::skip_cpu(compiled);
        return None;
    }
    assert!(output.status.success(), "{error}");
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

const RUN: &str = "
import array, net
data = open('inputs', 'rb').read()
size = 4 * 32 * 32 * 3
inputs = [array.array('f', data[start:start + size]) for start in range(0, len(data), size)]
assert net.INPUT_SHAPE == (32, 32, 3) and net.OUTPUT_SHAPE == (1001,), net.INFO
one = [net.run(input) for input in inputs]
many = net.run_batch(inputs, threads=8)
lists = net.run_batch([input.tolist() for input in inputs])
bytes_of = lambda outputs: b''.join(output.tobytes() for output in outputs)
assert bytes_of(one) == bytes_of(many) == bytes_of(lists)
open('outputs', 'wb').write(bytes_of(one))
best = net.top(one[0], 3)
assert [answer['score'] for answer in best] == sorted(one[0], reverse=True)[:3], best
assert 0 < best[0]['probability'] < 1 and best[0]['label'] is None, best
print(type(one[0]).__name__)
";

#[test]
fn it_gives_the_bits_of_the_reference() {
    check(&[]);
}

/// The module maps the file and binds each thread's workspace to it.
#[test]
fn weights_may_lie_in_a_file() {
    check(&["--weights-file", "net/net.weights"]);
}

fn check(more: &[&str]) {
    let Some((folder, compiled)) = module(more) else { return };
    let inputs: Vec<Vec<f32>> = (0..24).map(|seed| networks::input(compiled.program.input, seed)).collect();
    folder.write("inputs", bits::to_bytes(&inputs.concat()));
    let expected: Vec<f32> =
        inputs.iter().flat_map(|input| reference::output(&compiled.fused, input)).collect();
    // Without site-packages, and with whatever this Python has.
    for flags in [&["-S"][..], &[]] {
        let Some(output) = python(&folder, flags, RUN) else { return };
        let Some(kind) = text(&output, &compiled) else { return };
        assert!(kind == "array" || (kind == "ndarray" && flags.is_empty()), "{kind}");
        let found = bits::from_bytes(&std::fs::read(folder.path().join("outputs")).expect("it was written"));
        bits::compare(&found, &expected).unwrap_or_else(|error| panic!("{flags:?}: {error}"));
    }
}

#[test]
fn mistakes_are_exceptions() {
    let Some((folder, _)) = module(&[]) else { return };
    for (call, expected) in [
        ("net.run([0.0] * 5)", "ValueError: input: found 5, expected (32, 32, 3): 3072 floats"),
        ("net.run(bytes(12288))", "ValueError: input: found 12288, expected (32, 32, 3): 3072 floats"),
        ("net.classify(['missing.jpg'])", "ModuleNotFoundError: No module named 'PIL'"),
    ] {
        let Some(output) = python(&folder, &["-S"], &format!("import net\n{call}")) else { return };
        check_error(&output, call, expected);
    }
}

/// An exception ends Python with 1, and its name begins a line.
fn check_error(output: &Output, call: &str, expected: &str) {
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{call}: {error}");
    assert!(error.lines().any(|line| line.starts_with(expected)), "{call}: {error}");
}

/// With Pillow, a picture that isn't there or is none raises what Pillow raises, and the next call works.
#[test]
fn pictures_are_pillows() {
    let Some((folder, compiled)) = module(&[]) else { return };
    let Some(python) = python_with_pillow() else { return };
    let photo = need::workspace().join("examples/person-detector/photos/astronaut.jpg");
    folder.write("text.jpg", "no picture");
    let run = |program: &str| {
        let mut command = Command::new(&python);
        command.current_dir(folder.path()).env("PYTHONPATH", "net").env("PYTHONDONTWRITEBYTECODE", "1");
        command.args(["-c", program]).output().expect("Python can be started")
    };
    let missing = "import net\nnet.classify(['missing.jpg'])";
    check_error(&run(missing), missing, "FileNotFoundError: [Errno 2] No such file or directory: ");
    let text = "import net\nnet.classify(['text.jpg'])";
    check_error(&run(text), text, "PIL.UnidentifiedImageError: ");
    let program = format!(
        "import net\ntry: net.classify('missing.jpg')\nexcept OSError: pass\n\
         [answer] = net.classify([{photo:?}], k=3)\nprint(len(answer['top']))"
    );
    if let Some(printed) = self::text(&run(&program), &compiled) {
        assert_eq!(printed, "3");
    }
}

/// The Python that `.ci/run` has made, or the system's, whichever has Pillow and NumPy.
fn python_with_pillow() -> Option<PathBuf> {
    let own = need::workspace().join("target/python/bin/python");
    let candidates = [Some(own), need::optional_program("python3")];
    let found = candidates.into_iter().flatten().find(|python| {
        let output = Command::new(python).args(["-c", "import numpy, PIL"]).output();
        output.is_ok_and(|output| output.status.success())
    });
    if found.is_none() {
        need::skip("a Python with Pillow and NumPy");
    }
    found
}

/// The module names the library by its file: the folder may be moved, and both come from `--emit python` alone.
#[test]
fn the_library_comes_with_it() {
    let Some((folder, compiled)) = module(&[]) else { return };
    std::fs::rename(folder.path().join("net"), folder.path().join("elsewhere")).expect("it can be moved");
    let program =
        "import sys; sys.path.insert(0, 'elsewhere'); import net; print(net.INFO['name'], len(net.LABELS))";
    let Some(output) = python(&folder, &["-S"], program) else { return };
    assert_eq!(text(&output, &compiled).as_deref(), Some("net 0"));
}
