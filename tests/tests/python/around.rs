//! What is around the module: borders of pictures, threads and processes, batches, `mnc inspect`.

use std::process::Command;

use mnc_tests::command::mnc;
use mnc_tests::folder::Folder;
use mnc_tests::need;

use super::{module, python_with_pillow, text};

/// With Pillow: pictures on a border, by the library and by Pillow alone.
const BORDER: &str = "
import net, numpy
from PIL import Image, ImageOps
random = numpy.random.default_rng(5)
even = net.INFO['preprocess'].get('crop_rounding') == 'even'
for width, height in ((50, 40), (40, 50), (9, 9), (1, 90), (333, 7), (20, 24), (24, 20), (61, 60)):
    pixels = random.integers(0, 256, (height, width, 3)).astype(numpy.uint8)
    prepared, size = net._load(pixels)
    assert size == (width, height)
    assert net._with_pillow(pixels)[0].tobytes() == prepared.tobytes(), (width, height)
    # timm's: the longer side fits, the rest is the border, more of it behind.
    ratio = max(width / 24, height / 20)
    if even:
        full = max(1, round(width / ratio)), max(1, round(height / ratio))
        picture = Image.fromarray(pixels).resize((full[0], height), Image.BILINEAR).resize(full, Image.BILINEAR)
        before = (24 - full[0]) // 2, (20 - full[1]) // 2
        after = (25 - full[0]) // 2, (21 - full[1]) // 2
        expected = numpy.asarray(ImageOps.expand(picture, (*before, *after), (124, 116, 104)), numpy.float32)
        assert numpy.array_equal(prepared, expected), (width, height)
print('right')
";

#[test]
fn pictures_lie_on_their_border() {
    let Some(mnc) = mnc() else { return };
    for rounding in ["even", "down"] {
        let folder = Folder::new();
        let text = format!(
            "name = 'net'\nclasses = 2\ninput = {{ height = 20, width = 24, channels = 3 }}\n\
             [preprocess]\nresize = 'border'\nfill = [124, 116, 104]\ncrop_rounding = '{rounding}'\nscale = 1\n\
             mean = [0, 0, 0]\nstd = [1, 1, 1]\n[[layer]]\nkind = 'global_average_pool'\n[[layer]]\nkind = 'dense'\n"
        );
        folder.write("net.toml", text);
        let arguments =
            ["compile", "net.toml", "--random-weights", "1", "--quiet", "--emit", "python", "-o", "net/"];
        need::run(Command::new(mnc).current_dir(folder.path()).args(arguments));
        let Some(output) = python_with_pillow(&folder, &["-c", BORDER]) else { return };
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && output.stdout == b"right\n", "{rounding}: {error}");
    }
}

/// Threads, forked and spawned processes: each gets the bits of the first run.
const PROCESSES: &str = "
import concurrent.futures, multiprocessing, sys, typing, inspect
import net

def answer(seed):
    return net.run([(seed * 7 + i) % 13 / 13 for i in range(32 * 32 * 3)]).tobytes()

if __name__ == '__main__':
    expected = [answer(seed) for seed in range(12)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert list(pool.map(answer, range(12))) == expected
    for kind in multiprocessing.get_all_start_methods():
        context = multiprocessing.get_context(kind)
        with concurrent.futures.ProcessPoolExecutor(3, mp_context=context) as pool:
            assert list(pool.map(answer, range(12))) == expected, kind
    public = [f for name, f in inspect.getmembers(net, inspect.isfunction) if name[0] != '_' and f.__module__ == 'net']
    assert len(public) >= 8, public
    for function in public:
        hints = typing.get_type_hints(function)
        assert set(hints) == {*inspect.signature(function).parameters, 'return'} or function.__name__ == 'main', function
    assert typing.get_type_hints(net)['LABELS'] == typing.List[str]
    print('right')
";

#[test]
fn threads_and_processes_run_it() {
    let Some((folder, compiled)) = module(&[]) else { return };
    folder.write("processes.py", PROCESSES);
    let Some(python) = need::program("python3") else { return };
    let mut command = Command::new(python);
    command.current_dir(folder.path()).env("PYTHONPATH", "net").args(["-S", "processes.py"]);
    let output = command.output().expect("Python can be started");
    assert_eq!(text(&output, &compiled).unwrap_or("right".to_owned()), "right");
}

/// What the module is made with: one image at a time, and an object beside it that can be inspected; the library can't.
#[test]
fn batches_and_inspection_have_their_way() {
    let Some(mnc) = mnc() else { return };
    let folder = Folder::new();
    let network =
        ["compile", "mobilenet-v1", "--random-weights", "1", "--alpha", "0.25", "--resolution", "32"];
    let run = |arguments: &[&str]| {
        let output =
            Command::new(mnc).current_dir(folder.path()).args(arguments).output().expect("it starts");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let python = ["--name", "net", "-o", "net/", "--emit", "python"];
    let (code, error) = run(&[&network[..], &python, &["--batch", "4"]].concat());
    assert_eq!(code, Some(2), "{error}");
    assert!(error.contains("leave it out, run(images) of the module takes any number of images"), "{error}");
    assert!(!folder.path().join("net").exists());
    let emit = ["--name", "net", "-o", "net/", "--emit", "python,obj,header", "-q"];
    assert_eq!(run(&[&network[..], &emit].concat()), (Some(0), String::new()));
    let inspect = |file: &str| {
        let output = Command::new(mnc).current_dir(folder.path()).args(["inspect", file]).output();
        let output = output.expect("it starts");
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (code, text) = inspect("net/net.o");
    assert!(code == Some(0) && text.contains("kept    every access inside its buffers"), "{text}");
    // What a library with a program's code doesn't let it tell is said to be that.
    let (code, text) = inspect("net/libnet.so");
    assert_eq!(code, Some(0), "{text}");
    for line in [
        "  -       exports begin with the network's name: a library for Python: ",
        "  -       every access inside its buffers: a program, or a library with one's code: ",
    ] {
        assert!(text.contains(line), "{text}");
    }
}
