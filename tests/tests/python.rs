//! The module of `mnc compile --emit python`, without and with what else a Python may have.

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

/// The module reads the file and binds each thread's workspace to it.
#[test]
fn weights_may_lie_in_a_file() {
    check(&["--weights-file", "net/net.weights"]);
}

/// A file that is cut while the network runs changes nothing: a page of a mapped file that is gone would be SIGBUS.
const CUT: &str = "
import os, threading, net
zeros = [0.0] * (32 * 32 * 3)
first = net.run(zeros)
os.truncate('net/net.weights', 0)
others = []
thread = threading.Thread(target=lambda: others.append(net.run(zeros)))
thread.start()
thread.join()
assert list(net.run(zeros)) == list(others[0]) == list(first)
print('right')
";

#[test]
#[cfg(unix)]
fn weights_files_are_plain_and_may_change_meanwhile() {
    let Some((folder, compiled)) = module(&["--weights-file", "net/net.weights"]) else { return };
    let weights = folder.path().join("net/net.weights");
    let whole = std::fs::read(&weights).expect("it was written");
    let Some(output) = python(&folder, &["-S"], CUT) else { return };
    assert_eq!(text(&output, &compiled).unwrap_or("right".to_owned()), "right");
    let check = |expected: &str| {
        let output = python(&folder, &["-S"], "import net").expect("Python is there");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && error.contains(expected), "expected {expected}: {error}");
    };
    check(&format!("net.weights: found 0 bytes, expected {} bytes", whole.len()));
    std::fs::remove_file(&weights).expect("it is there");
    check("net.weights");
    std::os::unix::fs::symlink("/dev/zero", &weights).expect("a link");
    check("net.weights: not a plain file, expected the network's weights");
    std::fs::remove_file(&weights).expect("it is there");
    if folder.fifo("net/net.weights").is_some() {
        check("net.weights: not a plain file, expected the network's weights");
        std::fs::remove_file(&weights).expect("it is there");
    }
    let mut other = whole;
    other[100_000] ^= 1;
    std::fs::write(&weights, other).expect("it can be written");
    check("the weights file isn't the one that was written with the library, or is damaged");
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

/// Without NumPy: an input has the numbers of a picture in their order, and an array says what its numbers are.
const INPUTS: &str = "
import array, ctypes, net
flat = array.array('f', [i % 7 / 7 for i in range(32 * 32 * 3)])
expected = net.run(flat).tobytes()
shaped = lambda *shape: memoryview(flat).cast('B').cast('f', shape)
read_only = memoryview(flat.tobytes()).cast('f')
doubles = array.array('d', flat)
pointer = (ctypes.c_float * len(flat))(*flat)
for good in (read_only, doubles, pointer, flat.tolist(), tuple(flat), shaped(32, 32, 3), shaped(1, 32, 32, 3),
             shaped(1, 1, 32, 32, 3), shaped(1, 3072), shaped(1024, 3), shaped(32, 96), read_only.toreadonly()):
    assert net.run(good).tobytes() == expected, good
backwards = memoryview(array.array('f', reversed(flat)))[::-1]
assert net.run(backwards).tobytes() == expected
for bad in (shaped(3, 32, 32), shaped(1, 3, 32, 32), shaped(3, 32, 32, 1), shaped(96, 32), shaped(2, 16, 32, 3), [0.0] * 5):
    try:
        net.run(bad)
    except ValueError as error:
        assert 'expected (32, 32, 3): 3072 floats' in str(error), error
    else:
        raise SystemExit('accepted: %r' % (bad,))
for bad in (bytes(12288), bytearray(3072), memoryview(bytes(3072)), array.array('i', range(3072)), array.array('B', bytes(3072))):
    try:
        net.run(bad)
    except TypeError as error:
        assert 'expected floats' in str(error) and 'prepare' in str(error), error
    else:
        raise SystemExit('accepted: %r' % (bad,))
print('right')
";

#[test]
fn inputs_of_another_order_or_type_are_refused() {
    let Some((folder, compiled)) = module(&[]) else { return };
    let Some(output) = python(&folder, &["-S"], INPUTS) else { return };
    assert_eq!(text(&output, &compiled).unwrap_or("right".to_owned()), "right");
}

/// The same with NumPy, and what pictures need, where this Python has it.
const PICTURES: &str = "
import io, json, net, numpy
from PIL import Image
x = numpy.random.default_rng(1).random((32, 32, 3), numpy.float32)
expected = net.run(x).tobytes()
for good in (x[None], x.ravel(), x.tolist(), numpy.asfortranarray(x), x.astype(numpy.float64), x.reshape(32, 96)):
    assert net.run(good).tobytes() == expected, good
for bad, kind in ((x.transpose(2, 0, 1), ValueError), (x[None].transpose(0, 3, 1, 2), ValueError),
                  ((x * 255).astype(numpy.uint8), TypeError), (x.astype(numpy.int64), TypeError), (x > 0, TypeError),
                  (numpy.zeros((96, 32), numpy.float32), ValueError)):
    try:
        net.run(bad)
    except kind:
        pass
    else:
        raise SystemExit('accepted: %r' % (bad.shape,))
try:
    net.prepare(x)
except TypeError as error:
    assert 'uint8' in str(error), error
else:
    raise SystemExit('accepted floats for bytes')
picture = Image.fromarray((x * 255).astype(numpy.uint8)).resize((60, 40))
exif = Image.Exif()
exif[0x112] = 6
picture.save('lying.png', exif=exif)
picture.transpose(Image.Transpose.ROTATE_270).save('upright.png')
with Image.open('lying.png') as lying, Image.open('upright.png') as upright:
    assert (net.prepare(lying) == net.prepare(upright)).all()
open('cut.png', 'wb').write(open('upright.png', 'rb').read()[:200])
open('empty.txt', 'w').close()
answers = net.classify(['upright.png', 'missing.png', 'cut.png', 'lying.png'], threads=3)
assert ['error' in answer for answer in answers] == [False, True, True, False], answers
assert answers[0]['top'] == answers[3]['top'] and answers[1]['path'] == 'missing.png', answers
print('right')
";

#[test]
fn pictures_are_prepared_as_the_executables_do() {
    let Some((folder, compiled)) = module(&[]) else { return };
    let Some(output) = python_with_pillow(&folder, &["-c", PICTURES]) else { return };
    assert_eq!(text(&output, &compiled).unwrap_or("right".to_owned()), "right");
    // As a program: one bad file costs a line and the exit code.
    let arguments = ["net/net.py", "upright.png", "missing.png", "lying.png"];
    let Some(output) = python_with_pillow(&folder, &arguments) else { return };
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(out.lines().count() == 2 && out.starts_with("upright.png\t"), "{out}");
    let lines: Vec<&str> = err.lines().collect();
    assert!(lines.len() == 2 && lines[0].contains("the weights are random"), "{err}");
    assert!(lines[1].starts_with("net.py: missing.png: "), "{err}");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn mistakes_are_told() {
    let Some((folder, _)) = module(&[]) else { return };
    for (call, expected) in [
        ("net.run([0.0] * 5)", "ValueError: input: found 5, expected (32, 32, 3): 3072 floats"),
        ("net.classify(['missing.jpg'])", "ImportError: pictures need NumPy"),
    ] {
        let Some(output) = python(&folder, &["-S"], &format!("import net\n{call}")) else { return };
        check_error(&output, call, expected);
    }
    for (arguments, code, start) in [
        (&["--help"][..], 0, "usage: python net.py PICTURE|FOLDER...\n"),
        (&[], 2, "net.py: found nothing, expected pictures or folders\n"),
        (&["--top", "a.jpg"], 2, "net.py: found --top, expected pictures or folders\n"),
    ] {
        let Some(python) = need::program("python3") else { return };
        let mut command = Command::new(python);
        let output = command.current_dir(folder.path()).args(["-S", "net/net.py"]).args(arguments).output();
        let output = output.expect("Python can be started");
        let shown =
            String::from_utf8_lossy(if code == 0 { &output.stdout } else { &output.stderr }).into_owned();
        assert!(output.status.code() == Some(code) && shown.starts_with(start), "{arguments:?}: {output:?}");
    }
}

/// An exception ends Python with 1, and its name begins a line.
fn check_error(output: &Output, call: &str, expected: &str) {
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{call}: {error}");
    assert!(error.lines().any(|line| line.starts_with(expected)), "{call}: {error}");
}

/// With Pillow, a picture that isn't there or is none has Pillow's words for it, and the others their answers.
#[test]
fn pictures_are_pillows() {
    let Some((folder, compiled)) = module(&[]) else { return };
    let photo = need::workspace().join("examples/person-detector/photos/astronaut.jpg");
    folder.write("text.jpg", "no picture");
    let program = format!(
        "import net\n[missing, text, answer] = net.classify(['missing.jpg', 'text.jpg', {photo:?}], k=3)\n\
         assert 'No such file' in missing['error'] and missing['path'] == 'missing.jpg', missing\n\
         assert 'cannot identify' in text['error'] and 'top' not in text, text\n\
         print(len(answer['top']))"
    );
    let Some(output) = python_with_pillow(&folder, &["-c", &program]) else { return };
    assert_eq!(text(&output, &compiled).unwrap_or("3".to_owned()), "3");
}

/// Runs the Python that `.ci/run` has made, or the system's, whichever has Pillow and NumPy.
fn python_with_pillow(folder: &Folder, arguments: &[&str]) -> Option<Output> {
    let own = need::workspace().join("target/python/bin/python");
    let candidates = [Some(own), need::optional_program("python3")];
    let found = candidates.into_iter().flatten().find(|python| {
        let output = Command::new(python).args(["-c", "import numpy, PIL"]).output();
        output.is_ok_and(|output| output.status.success())
    });
    let Some(python) = found else {
        need::skip("a Python with Pillow and NumPy");
        return None;
    };
    let mut command = Command::new(python);
    command.current_dir(folder.path()).env("PYTHONPATH", "net").env("PYTHONDONTWRITEBYTECODE", "1");
    Some(command.args(arguments).output().expect("Python can be started"))
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
