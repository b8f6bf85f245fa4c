//! The module of `mnc compile --emit python`, without and with what else a Python may have.

#[path = "python/around.rs"]
mod around;

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
    let name = ["--name", "net", "-o", "net/"];
    let emit: &[&str] = if more.contains(&"--emit") { &[] } else { &["--emit", "python"] };
    let mut command = Command::new(mnc);
    command.current_dir(folder.path()).arg("compile").args(network).args(name).args(emit).args(more);
    need::run(&mut command);
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
        ("net.prepare('missing.jpg')", "ValueError: missing.jpg: No such file or directory"),
        ("net.prepare(b'XYZ')", "ValueError: found a file that begins with 58 59 5a"),
        ("net.prepare(bytearray(40))", "ValueError: found a file of zeros"),
        ("net.prepare(memoryview(bytes(24)).cast('B', (2, 3, 4)))", "ValueError: picture: found (2, 3, 4)"),
        (
            "net.prepare(memoryview(bytes(24)).cast('f'))",
            "TypeError: picture: found a buffer of format 'f', expected bytes",
        ),
        ("net.run_u8(bytes(5))", "ValueError: picture: found (5,), expected (32, 32, 3)"),
        ("net.run_u8([0.0])", "TypeError: memoryview"),
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

/// Without NumPy and Pillow: files, their bytes and open files give one input, threads and read-only memory too, and the answers are
/// those of the executable to the last bit, errors its words.
const AS_EXECUTABLES: &str = "
import array, io, json, net, subprocess, sys, threading
assert net.PREPARES
files = json.loads(sys.argv[1])
ran = subprocess.run(['net/net', '--json', '--top', '3', '--threads', '1', *files], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
exact = lambda value: array.array('f', [value])[0]
n_right = n_faults = 0
for answer, path in zip(json.loads(ran.stdout), files):
    if 'error' in answer:
        try:
            net.prepare(path)
        except ValueError as error:
            assert str(error) == path + ': ' + answer['error'], (str(error), answer)
            n_faults += 1
            continue
        raise SystemExit('accepted ' + path)
    input = net.prepare(path)
    content = open(path, 'rb').read()
    for other in (content, bytearray(content), memoryview(content), io.BytesIO(content), open(path, 'rb')):
        assert net.prepare(other).tobytes() == input.tobytes(), (path, other)
    for found, expected in zip(net.top(net.run(input), 3), answer['top']):
        assert found['index'] == expected['index'] and found['probability'] == expected['probability'], (path, found, expected)
    n_right += 1
results = [None] * 8
def work(index):
    results[index] = net.run(net.prepare(files[0])).tobytes()
threads = [threading.Thread(target=work, args=(index,)) for index in range(8)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
assert len(set(results)) == 1 and results[0] is not None
print(n_right, n_faults)
";

#[test]
fn pictures_are_the_executables_to_the_last_bit() {
    let Some((folder, compiled)) = module(&["--emit", "exe,python"]) else { return };
    let photos = need::workspace().join("examples/person-detector/photos");
    let shared = need::shared_data("images");
    let mut files = Vec::new();
    for place in [Some(photos), shared].into_iter().flatten() {
        let entries = std::fs::read_dir(&place).expect("a folder").flatten().map(|entry| entry.path());
        files.extend(
            entries.filter(|path| path.extension().is_some_and(|ending| ending == "jpg" || ending == "png")),
        );
    }
    files.sort();
    folder.write("text.jpg", "no picture");
    folder.write("cut.jpg", &std::fs::read(&files[0]).expect("a photograph")[..2000]);
    files.extend(["text.jpg", "cut.jpg", "missing.jpg"].map(std::path::PathBuf::from));
    let files: Vec<&str> = files.iter().map(|path| path.to_str().expect("UTF-8")).collect();
    let list = serde_json::to_string(&files).expect("a list of strings");
    let Some(python) = need::program("python3") else { return };
    let mut command = Command::new(python);
    command.current_dir(folder.path()).env("PYTHONPATH", "net").env("PYTHONDONTWRITEBYTECODE", "1");
    let output = command.args(["-S", "-c", AS_EXECUTABLES, &list]).output().expect("Python can be started");
    let expected = format!("{} 3", files.len() - 3);
    assert_eq!(text(&output, &compiled).unwrap_or(expected.clone()), expected);
}

/// Pixels as bytes, of the network's size: what `NAME_run_u8` takes. Without NumPy.
const BYTES: &str = "
import net
flat = bytes(i * 7 % 256 for i in range(32 * 32 * 3))
input = net.prepare(memoryview(flat).cast('B', (32, 32, 3)))
expected = net.run_u8(flat).tobytes()
for good in (bytearray(flat), memoryview(flat), memoryview(flat).cast('B', (32, 32, 3))):
    assert net.run_u8(good).tobytes() == expected, good
two = net.run_u8(memoryview(flat + flat).cast('B', (2, 32, 32, 3)))
assert [one.tobytes() for one in two] == [expected] * 2
for bad in (flat[1:], memoryview(flat).cast('B', (3, 32, 32)), memoryview(flat).cast('B', (1, 3, 32, 32))):
    try:
        net.run_u8(bad)
    except ValueError as error:
        assert 'expected (32, 32, 3)' in str(error), error
    else:
        raise SystemExit('accepted')
print('right')
";

#[test]
fn bytes_of_the_networks_size_need_no_preparation() {
    let Some((folder, compiled)) = module(&[]) else { return };
    let Some(output) = python(&folder, &["-S"], BYTES) else { return };
    assert_eq!(text(&output, &compiled).unwrap_or("right".to_owned()), "right");
}

/// Every filter, on photographs and on small random pictures, shrinking and growing: the pixels of this Pillow.
const FILTERS: &str = "
import ctypes, json, sys
import net, numpy
from PIL import Image
assert net.PREPARES
random = numpy.random.default_rng(7)
def resized(pixels, size, name):
    info = json.loads(net._info())
    info['input'] = {'width': size[0], 'height': size[1], 'channels': 3}
    info['preprocess'].update(resize={'rule': 'stretch'}, resample=name, multiplier=[1.0] * 3, offset=[0.0] * 3)
    text, message = json.dumps(info).encode(), ctypes.create_string_buffer(500)
    found, data = numpy.empty((size[1], size[0], 3), numpy.float32), pixels.tobytes()
    order = net._Order(text, len(text), 2, ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p), len(data), pixels.shape[1],
                       pixels.shape[0], 3, found.ctypes.data, found.size, ctypes.addressof(message), 500)
    assert net._library.mnc_prepare(ctypes.byref(order)) == 0, message.value
    return found
n = 0
def check(pixels, size):
    global n
    for name in ('nearest', 'box', 'bilinear', 'hamming', 'bicubic', 'lanczos'):
        filter = getattr(Image.Resampling, name.upper())
        # In two steps, for Pillow 13 changes their order for some sizes.
        narrow = Image.fromarray(pixels).resize((size[0], pixels.shape[0]), filter)
        expected = numpy.asarray(narrow.resize(size, filter))
        assert (resized(pixels, size, name) == expected).all(), (name, pixels.shape, size)
        n += 1
for path in sys.argv[1:]:
    pixels = numpy.asarray(Image.open(path).convert('RGB'))
    check(pixels, (97, 61))
    check(pixels, (224, 235))
    check(numpy.ascontiguousarray(pixels[10:47, 5:63]), (131, 170))
for _ in range(200):
    height, width, rows, columns = (int(side) for side in random.integers(1, 70, 4))
    check(random.integers(0, 256, (height, width, 3)).astype(numpy.uint8), (columns, rows))
check(random.integers(0, 256, (3, 2000, 3)).astype(numpy.uint8), (33, 700))
print(n)
";

#[test]
fn filters_are_pillows_to_the_last_bit() {
    let Some((folder, compiled)) = module(&[]) else { return };
    let mut arguments = vec!["-c".to_owned(), FILTERS.to_owned()];
    if let Some(images) = need::shared_data("images") {
        let entries =
            std::fs::read_dir(images.canonicalize().expect("it is there")).expect("a folder").flatten();
        let names = entries.map(|entry| entry.path().to_str().expect("UTF-8").to_owned());
        arguments.extend(names.filter(|name| name.ends_with(".jpg")));
    }
    let expected = ((arguments.len() - 2) * 18 + 201 * 6).to_string();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let Some(output) = python_with_pillow(&folder, &arguments) else { return };
    assert_eq!(text(&output, &compiled).unwrap_or(expected.clone()), expected);
}

/// With NumPy: strides, byte orders, read-only arrays, several images at once; and the same pixels from Pillow without the library.
const ARRAYS: &str = "
import net, numpy
from PIL import Image
random = numpy.random.default_rng(3)
x = random.random((5, 32, 32, 3), numpy.float32)
one = [net.run(image).tobytes() for image in x]
assert net.run(x).tobytes() == b''.join(one) and net.run(x).shape == (5, *net.OUTPUT_SHAPE)
assert net.run(x[:1]).shape == net.OUTPUT_SHAPE and net.run(x[:0]).shape == (0, *net.OUTPUT_SHAPE)
frozen = x[1].copy()
frozen.setflags(write=False)
wide = numpy.zeros((64, 64, 3), numpy.float32)
wide[::2, ::2] = x[1]
for good in (frozen, wide[::2, ::2], x[1].astype('>f4'), x[1].astype('>f8'), numpy.asfortranarray(x[1])):
    assert net.run(good).tobytes() == one[1], good.dtype
pixels = random.integers(0, 256, (40, 50, 3)).astype(numpy.uint8)
small = pixels[3:35, 7:39]
expected = net.run_u8(numpy.ascontiguousarray(small)).tobytes()
backwards = numpy.ascontiguousarray(small[::-1, ::-1])[::-1, ::-1]
frozen = small.copy()
frozen.setflags(write=False)
for good in (small, backwards, frozen, numpy.asfortranarray(small), small[None]):
    assert net.run_u8(good).tobytes() == expected, good.strides
assert net.run_u8(numpy.stack([small] * 3)).tobytes() == expected * 3
flat = small.tobytes()
for good in (flat, bytearray(flat), memoryview(flat), memoryview(flat).cast('c'), memoryview(flat).cast('B', small.shape)):
    assert net.run_u8(good).tobytes() == expected, good
for bad in (0, -1, '2', None, 1.5):
    try:
        net.run_batch([x[0]], threads=bad)
    except ValueError as error:
        assert str(error) == 'threads: found %r, expected a whole number from 1' % (bad,), error
    else:
        raise SystemExit('accepted')
assert net.run_batch(x[:2], threads=3).tobytes() == one[0] + one[1]
for bad, kind in ((small.astype(numpy.float32), TypeError), (small.astype(numpy.int8), TypeError), (pixels, ValueError),
                  (small.transpose(2, 0, 1), ValueError), (small[:, :, 0], ValueError),
                  (flat[1:], ValueError), (memoryview(flat).cast('f'), TypeError)):
    try:
        net.run_u8(bad)
    except kind as error:
        assert 'picture: found' in str(error), error
    else:
        raise SystemExit('accepted')
prepared = net.prepare(pixels)
for same in (Image.fromarray(pixels), numpy.asfortranarray(pixels), numpy.ascontiguousarray(pixels[:, ::-1])[:, ::-1]):
    assert net.prepare(same).tobytes() == prepared.tobytes()
assert net._with_pillow(pixels)[0].tobytes() == prepared.tobytes() and net._with_pillow(pixels)[1] == (50, 40)
grey = net.prepare(numpy.ascontiguousarray(pixels[:, :, 0]))
assert grey.tobytes() == net.prepare(numpy.repeat(pixels[:, :, :1], 3, 2)).tobytes()
for bad in (numpy.zeros((0, 5, 3), numpy.uint8), numpy.zeros((4, 4, 4), numpy.uint8), numpy.zeros(12, numpy.uint8),
            numpy.zeros((1, 70000, 3), numpy.uint8)):
    try:
        net.prepare(bad)
    except ValueError:
        pass
    else:
        raise SystemExit('accepted')
print('right')
";

#[test]
fn arrays_of_all_sorts_are_taken() {
    let Some((folder, compiled)) = module(&[]) else { return };
    let Some(output) = python_with_pillow(&folder, &["-c", ARRAYS]) else { return };
    assert_eq!(text(&output, &compiled).unwrap_or("right".to_owned()), "right");
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
