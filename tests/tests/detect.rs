//! A detector through every door: the boxes of executables, C, Rust and Python are those of a decoder that is written here, and of
//! each other to the last bit.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Output};

use mnc::describe::Description;
use mnc::graph::{Graph, Knobs};
use mnc::weights::Parameters;
use mnc::{Compiled, Options, Target, reference};
use mnc_runtime::detect::Found;
use mnc_tests::command::mnc;
use mnc_tests::folder::Folder;
use mnc_tests::user_crate::{self, UserCrate};
use mnc_tests::{bits, need, networks};
use serde_json::Value;

/// All of a detector's static executable but its weights; what paints takes the most of what it has beyond a classifier.
const MOST_BYTES_BESIDE_WEIGHTS: u64 = 1_450_000;

/// Two maps, pairs and squares, one class beside the background: with random weights, many boxes and some that overlap.
const NETWORK: &str = r#"
name = "spots"
classes = 3
input = { height = 24, width = 40, channels = 3 }
alpha = { minimum = 1 }
preprocess = { resize = "cover", ratio = 1.25 }
outputs = ["where-2", "what-1", "what-2", "where-1"]
layer = [
    { kind = "conv", name = "map-1", filters = 16, stride = 4 },
    { kind = "conv", name = "map-2", filters = 16, stride = 2 },
    { kind = "pointwise", name = "what-1", input = "map-1", filters = 6, activation = "none", batch_norm = false },
    { kind = "pointwise", name = "where-1", input = "map-1", filters = 8, activation = "none", batch_norm = false },
    { kind = "pointwise", name = "what-2", input = "map-2", filters = 9, activation = "none", batch_norm = false },
    { kind = "pointwise", name = "where-2", input = "map-2", filters = 12, activation = "none", batch_norm = false },
]
[detect]
scores = ["what-1", "what-2"]
locations = ["where-1", "where-2"]
probability = "RULE"
background = 0
threshold = 0.4
overlap = 0.45
candidates = 50
most_boxes = 20
order = "ORDER"
center_variance = 0.1
size_variance = 0.2
priors = [{ sizes = [6, [12, 5]] }, { sizes = [14, 20, [30, 10]], stride = 8 }]
"#;

/// Rows, columns, sizes of a cell's priors in pixels, and pixels from cell to cell.
type Grid = (usize, usize, &'static [[f64; 2]], f64);
const GRIDS: [Grid; 2] =
    [(6, 10, &[[6.0, 6.0], [12.0, 5.0]], 4.0), (3, 5, &[[14.0, 14.0], [20.0, 20.0], [30.0, 10.0]], 8.0)];
const INPUT: [f64; 2] = [40.0, 24.0];
const N_CLASSES: usize = 3;

fn network(rule: &str, order: &str) -> String {
    NETWORK.replace("RULE", rule).replace("ORDER", order)
}

fn compile(text: &str, target: &Target) -> Compiled {
    let description = Description::parse(text, "spots.toml").unwrap_or_else(|error| panic!("{error}"));
    let graph = Graph::build(&description, &Knobs::default()).unwrap_or_else(|error| panic!("{error}"));
    let parameters = Parameters::random(&graph, 5);
    let labels = ["nothing", "cat", "dog"].map(str::to_owned);
    let options = Options { name: "spots", labels: &labels };
    mnc::compile(graph, &parameters, target, &options).unwrap_or_else(|error| panic!("{error}"))
}

/// Corners in parts of the input.
#[derive(Clone, Debug)]
struct Expected {
    class: usize,
    prior: usize,
    score: f64,
    edges: [f64; 4],
}

/// The decoder as its papers tell it, with the standard library's exponential.
fn expected(compiled: &Compiled, output: &[f32], rule: &str, order: &str) -> Vec<Expected> {
    let part = |name: &str| {
        let part = compiled.info.output.parts.iter().find(|part| part.name == name).expect("it is an output");
        part.of(output)
    };
    let mut all = Vec::new();
    let mut prior = 0;
    for ((rows, columns, sizes, step), (what, place)) in
        GRIDS.into_iter().zip([("what-1", "where-1"), ("what-2", "where-2")])
    {
        let (what, place) = (part(what), part(place));
        for (idx, (scores, numbers)) in what.chunks_exact(N_CLASSES).zip(place.chunks_exact(4)).enumerate() {
            let (cell, size) = (idx / sizes.len(), sizes[idx % sizes.len()]);
            let centre = [(cell % columns) as f64 + 0.5, (cell / columns) as f64 + 0.5];
            assert!(cell / columns < rows);
            let total: f64 = scores.iter().map(|x| f64::from(*x).exp()).sum();
            for (class, score) in scores.iter().enumerate().skip(1) {
                let power = f64::from(*score).exp();
                let score = if rule == "softmax" { power / total } else { power / (1.0 + power) };
                let numbers: Vec<f64> = numbers.iter().map(|number| f64::from(*number)).collect();
                let [x, y, w, h] = if order == "xywh" { [0, 1, 2, 3] } else { [1, 0, 3, 2] };
                let mut edges = [0.0; 4];
                for (axis, (along, extent)) in [(x, w), (y, h)].into_iter().enumerate() {
                    let middle =
                        centre[axis] * step / INPUT[axis] + 0.1 * numbers[along] * size[axis] / INPUT[axis];
                    let extent = (0.2 * numbers[extent]).exp() * size[axis] / INPUT[axis];
                    (edges[axis], edges[axis + 2]) = (middle - extent / 2.0, middle + extent / 2.0);
                }
                if 0.4 < score {
                    all.push(Expected { class, prior, score, edges });
                }
            }
            prior += 1;
        }
    }
    all.sort_by(|a, b| b.score.partial_cmp(&a.score).expect("scores are numbers"));
    all.truncate(50);
    let mut kept: Vec<Expected> = Vec::new();
    for this in all {
        let is_hidden = |other: &Expected| {
            let [a, b] = [&this.edges, &other.edges];
            let shared: f64 =
                (0..2).map(|at| (a[at + 2].min(b[at + 2]) - a[at].max(b[at])).max(0.0)).product();
            let area = |edges: &[f64; 4]| (edges[2] - edges[0]) * (edges[3] - edges[1]);
            other.class == this.class && 0.45 < shared / (area(a) + area(b) - shared)
        };
        if !kept.iter().any(is_hidden) && kept.len() < 20 {
            kept.push(this);
        }
    }
    kept
}

/// The same boxes, but for the last digits of another exponential.
fn check_close(found: &[Found], expected: &[Expected]) {
    assert_eq!(found.len(), expected.len(), "{found:?}\n{expected:?}");
    for (found, expected) in found.iter().zip(expected) {
        let numbers = [found.left, found.top, found.right, found.bottom, found.score];
        let [a, b, c, d] = expected.edges;
        let far =
            numbers.iter().zip([a, b, c, d, expected.score]).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(
            (found.class, found.prior) == (expected.class, expected.prior) && far < 1e-12,
            "{found:?} {expected:?}"
        );
    }
}

/// Whether this machine runs a target's code; the outputs of an input, by the reference.
fn outputs(compiled: &Compiled, seed: u64) -> (Vec<f32>, Vec<f32>) {
    let input = networks::input(compiled.program.input, seed);
    let output = reference::output(&compiled.fused, &input);
    (input, output)
}

fn found(compiled: &Compiled, output: &[f32]) -> Vec<Found> {
    let detect = compiled.info.detect.as_ref().expect("it is a detector");
    let mut memory = vec![Found::default(); detect.rule.candidates];
    detect.detector().boxes(output, &mut memory).to_vec()
}

#[test]
fn boxes_are_those_of_the_papers() {
    let Some(target) = need::host_targets().into_iter().next() else { return };
    let mut n_found = 0;
    for (rule, order) in [("softmax", "xywh"), ("sigmoid", "yxhw")] {
        let compiled = compile(&network(rule, order), &target);
        for seed in 0..20 {
            let (_, output) = outputs(&compiled, seed);
            let found = found(&compiled, &output);
            check_close(&found, &expected(&compiled, &output, rule, order));
            n_found += found.len();
        }
    }
    assert!(100 < n_found, "{n_found} boxes in 40 inputs, expected some in each");
}

/// A folder with the network, an input and everything that `mnc` makes of it.
fn folder(rule: &str) -> Option<(Folder, Compiled, Vec<f32>)> {
    let (mnc, platform) = (mnc()?, need::host()?);
    let target = Target::new(platform.triple, Some(platform.isas[0].name)).expect("a row of the table");
    let text = network(rule, "xywh");
    let compiled = compile(&text, &target);
    let (input, output) = outputs(&compiled, 3);
    let folder = Folder::new();
    folder.write("spots.toml", text);
    folder.write("labels.txt", "nothing\ncat\ndog\n");
    folder.write("input.f32", bits::to_bytes(&input));
    folder.write(
        "photo.ppm",
        [b"P6 50 90 255\n".to_vec(), (0..50 * 90 * 3u32).map(|i| ((i * i) >> 3) as u8).collect()].concat(),
    );
    let emits = [
        &["-o", "cc"][..],
        &["-o", "own", "--linker", "internal"],
        &["--emit", "python,header,obj", "-o", "net/"],
    ];
    for emit in emits {
        let arguments = [
            "compile",
            "spots.toml",
            "--random-weights",
            "5",
            "--labels",
            "labels.txt",
            "--quiet",
            "--name",
            "spots",
        ];
        need::run(Command::new(mnc).current_dir(folder.path()).args(arguments).args(emit));
    }
    Some((folder, compiled, output))
}

fn run(folder: &Folder, program: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(folder.path().join(program));
    command.current_dir(folder.path()).args(arguments).output().expect("the program starts")
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The boxes of the first file of a document.
fn boxes(output: &Output) -> Vec<Value> {
    let document: Value = serde_json::from_slice(&output.stdout).expect("one JSON document");
    document[0]["boxes"].as_array().expect("an array of boxes").clone()
}

#[test]
fn executables_print_boxes() {
    let Some((folder, compiled, output)) = folder("softmax") else { return };
    let found = found(&compiled, &output);
    let answer = run(&folder, "cc", &["--json", "input.f32"]);
    let shown = boxes(&answer);
    assert!(!shown.is_empty() && shown.len() <= found.len());
    // A file of numbers is a picture of the input's size; what is outside of it is cut off.
    let mut inside = found.iter().filter_map(|found| {
        let cut = |edge: f64, side: f64| (edge * side).clamp(0.0, side);
        let edges = [
            cut(found.left, INPUT[0]),
            cut(found.top, INPUT[1]),
            cut(found.right, INPUT[0]),
            cut(found.bottom, INPUT[1]),
        ];
        (edges[0] < edges[2] && edges[1] < edges[3]).then_some((found, edges))
    });
    let names = ["left", "top", "right", "bottom"];
    for this in &shown {
        let (found, edges) = inside.next().expect("as many as there are");
        assert_eq!(this["score"].as_f64(), Some(found.score));
        assert_eq!(this["prior"].as_u64(), Some(found.prior as u64));
        assert_eq!(this["label"], ["nothing", "cat", "dog"][found.class]);
        for (name, edge) in names.iter().zip(edges) {
            let shown = this[name].as_f64().expect("a number");
            assert!((shown - edge).abs() < 1e-12, "{shown} {edge}");
        }
    }
    assert!(inside.next().is_none());
    let lines = text(&run(&folder, "cc", &["--top", "2", "input.f32", "photo.ppm"]));
    let first = &shown[0];
    let [left, top, right, bottom] = names.map(|name| first[name].as_f64().expect("a number"));
    let line = format!(
        "input.f32\n  {:.4}  {}  ({})  from {left:.1}, {top:.1} to {right:.1}, {bottom:.1}\n",
        first["score"].as_f64().expect("a number"),
        first["label"].as_str().expect("text"),
        first["index"]
    );
    assert!(lines.starts_with(&line) && lines.contains("\n\nphoto.ppm\n"), "{lines}");
    for arguments in [&["--json", "input.f32"][..], &["--json", "photo.ppm"]] {
        assert_eq!(
            boxes(&run(&folder, "own", arguments)),
            boxes(&run(&folder, "cc", arguments)),
            "{arguments:?}"
        );
    }
    let weight_bytes = compiled.info.weight_bytes;
    let bytes = std::fs::metadata(folder.path().join("own")).expect("it was linked").len() - weight_bytes;
    assert!(bytes < MOST_BYTES_BESIDE_WEIGHTS, "{bytes} bytes");
    let info = text(&run(&folder, "own", &["--info"]));
    assert!(info.contains("\nanswers        boxes with a score above 0.4, by 165 priors\n"), "{info}");
    let help = text(&run(&folder, "own", &["--help"]));
    assert!(help.contains("--draw PATH") && help.contains("finds things in photographs"), "{help}");
    let raw: Value =
        serde_json::from_slice(&run(&folder, "cc", &["--json", "--raw", "input.f32"]).stdout).expect("JSON");
    assert_eq!(raw[0]["outputs"].as_object().expect("a map").len(), 4);
    assert_eq!(raw[0]["boxes"].as_array().map(Vec::len), Some(shown.len()));
}

#[test]
fn pictures_are_painted() {
    let Some((folder, ..)) = folder("sigmoid") else { return };
    for program in ["cc", "own"] {
        let painted = format!("{program}.png");
        let answer = run(&folder, program, &["--draw", &painted, "photo.ppm"]);
        assert_eq!(answer.status.code(), Some(0), "{answer:?}");
        let picture = image_size(&folder.path().join(&painted));
        assert_eq!(picture, (50, 90));
    }
    let both =
        ["cc.png", "own.png"].map(|name| std::fs::read(folder.path().join(name)).expect("it was painted"));
    assert!(both[0] == both[1], "the two programs paint alike");
    std::fs::create_dir(folder.path().join("painted")).expect("the folder is ours");
    folder.write("tall.ppm", [b"P6 1 700 255\n".to_vec(), vec![7; 2100]].concat());
    folder.write("dot.ppm", b"P5 1 1 255\n\x07".as_slice());
    let answer = run(&folder, "own", &["--draw", "painted", "--json", "photo.ppm", "tall.ppm", "dot.ppm"]);
    assert_eq!(answer.status.code(), Some(0), "{answer:?}");
    for (name, size) in [("photo.png", (50, 90)), ("tall.png", (1, 700)), ("dot.png", (1, 1))] {
        assert_eq!(image_size(&folder.path().join("painted").join(name)), size);
    }
    let fails = |arguments: &[&str], code: i32, expected: &str| {
        let answer = run(&folder, "own", arguments);
        let error = String::from_utf8_lossy(&answer.stderr).into_owned();
        assert!(answer.status.code() == Some(code) && error.contains(expected), "{arguments:?}: {answer:?}");
        answer
    };
    std::fs::copy(folder.path().join("own.png"), folder.path().join("photo.png"))
        .expect("the folder is ours");
    let before = std::fs::read(folder.path().join("photo.png")).expect("it is there");
    fails(&["--draw", "photo.png", "photo.png"], 2, "--draw: photo.png is an input, expected another place");
    fails(&["--draw", ".", "photo.png"], 2, "./photo.png is an input");
    fails(&["--draw", "x.png", "photo.ppm", "tall.ppm"], 2, "found 2 files to paint and one name, x.png");
    fails(&["--draw", "painted", "photo.ppm", "photo.png"], 2, "would both be painted to painted/photo.png");
    fails(
        &["--draw", "x.jpg", "photo.ppm"],
        2,
        "found x.jpg, expected a file that ends in .png, or a folder",
    );
    fails(&["--draw", "none/", "photo.ppm"], 2, "found no folder none/");
    fails(&["--draw", "none/x.png", "photo.ppm"], 1, "none/x.png: ");
    // An answer that can't be painted is an answer.
    let answer = fails(
        &["--draw", "x.png", "--json", "input.f32"],
        1,
        "input.f32: found an input, expected a picture",
    );
    assert!(!boxes(&answer).is_empty());
    assert!(!folder.path().join("x.png").exists());
    assert!(before == std::fs::read(folder.path().join("photo.png")).expect("it is there"));
}

/// Columns and rows of a PNG that can be read to its end.
fn image_size(path: &Path) -> (u32, u32) {
    let picture = image::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    (picture.width(), picture.height())
}

/// A C program that reads outputs of images and prints the bits of the boxes in them.
const PROGRAM: &str = r#"
#include "spots.h"
#include <stdio.h>
#include <string.h>
static float output[SPOTS_OUTPUT_LEN];
static struct spots_box boxes[SPOTS_CANDIDATES];
static void show(double x) { uint64_t bits; memcpy(&bits, &x, 8); printf(" %016llx", (unsigned long long)bits); }
int main(void) {
  while (fread(output, sizeof output, 1, stdin) == 1) {
    size_t n = spots_detect(output, boxes), i;
    printf("%d\n", (int)n);
    for (i = 0; i < n; i++) {
      printf("%d %d", (int)boxes[i].label, (int)boxes[i].prior);
      show(boxes[i].score); show(boxes[i].left); show(boxes[i].top); show(boxes[i].right); show(boxes[i].bottom);
      printf("\n");
    }
  }
  return 0;
}
"#;

/// Outputs as networks give them, and what none should give.
fn hard_outputs(compiled: &Compiled) -> Vec<Vec<f32>> {
    let odd = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, 1e4, -1e4, -0.0, 1e-40, 3.0, 3.0];
    let mut all: Vec<Vec<f32>> = (0..12).map(|seed| outputs(compiled, seed).1).collect();
    for (idx, output) in all.iter_mut().enumerate().skip(4) {
        for (at, value) in output.iter_mut().enumerate().filter(|(at, _)| (at * 7 + idx) % 11 < idx - 3) {
            *value = odd[(at * 5 + idx) % odd.len()];
        }
    }
    all.push(vec![0.0; all[0].len()]);
    all.push(vec![f32::NAN; all[0].len()]);
    all
}

/// How many boxes there are, then a line for each: class, prior, and the bits of its numbers.
fn bits_of(found: &[Found]) -> String {
    let mut text = format!("{}\n", found.len());
    for Found { class, prior, score, left, top, right, bottom } in found {
        write!(text, "{class} {prior}").expect("a String takes every write");
        for number in [score, left, top, right, bottom] {
            write!(text, " {:016x}", number.to_bits()).expect("a String takes every write");
        }
        text.push('\n');
    }
    text
}

/// A crate of a user, whose network is the macro's.
const MAIN: &str = r#"
use mnc_runtime::detect::Found;

mnc_macros::mobilenet! {
    struct Spots {
        network: "data/spots.toml",
        weights: random(5),
        labels: "data/labels.txt",
    }
}

fn main() {
    let bytes = include_bytes!("../data/input.f32");
    let mut input = [0.0; Spots::INPUT_LEN];
    for (value, bytes) in input.iter_mut().zip(bytes.chunks_exact(4)) {
        *value = f32::from_le_bytes(bytes.try_into().unwrap());
    }
    let mut workspace = SpotsWorkspace::boxed();
    let mut memory = [Found::default(); Spots::CANDIDATES];
    let found = Spots::detect(Spots::run(&input, &mut workspace), &mut memory);
    println!("{}", found.len());
    for Found { class, prior, score, left, top, right, bottom } in found {
        print!("{class} {prior}");
        [score, left, top, right, bottom].iter().for_each(|number| print!(" {:016x}", number.to_bits()));
        println!();
    }
    assert_eq!(Spots::LABELS[1], "cat");
    assert_eq!(Spots::DETECTOR.maps.len(), 2);
}
"#;

#[test]
fn the_macro_makes_boxes() {
    let Some(target) = need::host_targets().into_iter().next() else { return };
    let text = network("softmax", "yxhw");
    let compiled = compile(&text, &target);
    let (input, output) = outputs(&compiled, 3);
    let manifest = user_crate::MACRO;
    let Some(package) = UserCrate::new(env!("CARGO_TARGET_TMPDIR"), "macro-detect", manifest) else { return };
    package.write("data/spots.toml", text);
    package.write("data/labels.txt", "nothing\ncat\ndog\n");
    package.write("data/input.f32", bits::to_bytes(&input));
    package.write("src/main.rs", MAIN);
    let found = found(&compiled, &output);
    assert!(!found.is_empty());
    assert_eq!(self::text(&need::run(&mut package.cargo(&["run", "--release"]))), bits_of(&found));
}

/// With optimisation, as C++, and on processors whose compilers fuse multiplications with additions.
#[test]
fn the_headers_function_has_the_same_bits() {
    let Some(target) = need::host_targets().into_iter().next() else { return };
    // A compiler, its flags, and an emulator for what it makes.
    let all: [(&str, &[&str], Option<&str>); 4] = [
        ("cc", &["-std=c99", "-O0", "-pedantic"], None),
        ("cc", &["-std=gnu11", "-O3", "-march=native"], None),
        ("g++", &["-x", "c++", "-std=c++11", "-O2", "-march=native", "-pedantic"], None),
        ("aarch64-linux-gnu-gcc", &["-O3", "-static"], Some("qemu-aarch64")),
    ];
    // The flags are those of x86-64.
    let compilers = if cfg!(target_arch = "x86_64") { &all[..] } else { &all[..1] };
    for rule in ["softmax", "sigmoid", "values"] {
        let compiled = compile(&network(rule, if rule == "values" { "yxhw" } else { "xywh" }), &target);
        let folder = Folder::new();
        folder.write("main.c", PROGRAM);
        folder.write("spots.h", compiled.header());
        let outputs = hard_outputs(&compiled);
        folder.write("outputs.f32", bits::to_bytes(&outputs.concat()));
        let expected: String = outputs.iter().map(|output| bits_of(&found(&compiled, output))).collect();
        for (compiler, flags, emulator) in compilers {
            let Some(cc) = need::program(compiler) else { continue };
            let emulator = emulator.map(need::program);
            if emulator == Some(None) {
                continue;
            }
            let mut command = Command::new(cc);
            command.current_dir(folder.path()).args(["-Wall", "-Wextra", "-Werror"]).args(*flags);
            need::run(command.args(["main.c", "-o", "main"]));
            let program = folder.path().join("main");
            let mut command = match emulator.flatten() {
                Some(emulator) => {
                    let mut command = Command::new(emulator);
                    command.arg(program);
                    command
                }
                None => Command::new(program),
            };
            let stdin = std::fs::File::open(folder.path().join("outputs.f32")).expect("it was written");
            let output = command.stdin(stdin).output().expect("the program starts");
            assert!(output.status.success());
            assert!(
                text(&output) == expected,
                "{rule}, {compiler} {flags:?}:\n{}\n{expected}",
                text(&output)
            );
        }
    }
}

const PYTHON: &str = "
import array, json, sys, spots
spots.detect
values = array.array('f', open('outputs.f32', 'rb').read())
n = len(values) // int(sys.argv[1])
answers = []
for first in range(0, len(values), n):
    outputs, at = {}, first
    for name, shape in spots.OUTPUT_SHAPES.items():
        length = shape[0] * shape[1] * shape[2]
        outputs[name], at = values[at:at + length], at + length
    answers.append(spots.boxes(outputs, (1 << 20, 1 << 20)))
run = spots.boxes(spots.run(array.array('f', open('input.f32', 'rb').read())))
photo = None
if spots.numpy is not None:
    from PIL import Image
    photo = spots.detect(Image.open('photo.ppm'))
print(json.dumps([answers, run, photo]))
";

#[test]
fn python_finds_the_same_to_the_last_bit() {
    let Some((folder, compiled, _)) = folder("softmax") else { return };
    let Some(python) = need::program("python3") else { return };
    let venv = need::workspace().join("target/python/bin/python");
    let python = if venv.exists() { venv } else { python };
    let outputs = hard_outputs(&compiled);
    folder.write("outputs.f32", bits::to_bytes(&outputs.concat()));
    let n_outputs = outputs.len().to_string();
    for flags in [&["-S"][..], &[]] {
        let mut command = Command::new(&python);
        command.current_dir(folder.path()).env("PYTHONPATH", "net").args(["-B"]).args(flags);
        let output = need::run(command.args(["-c", PYTHON, &n_outputs]));
        let answer: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        for (idx, output) in outputs.iter().enumerate() {
            let found = found(&compiled, output);
            let shown = answer[0][idx].as_array().expect("an array");
            let mut scores = found.iter().map(|found| (found.prior as u64, found.class as u64, found.score));
            for this in shown {
                let of = (this["prior"].as_u64(), this["index"].as_u64(), this["score"].as_f64());
                // Boxes outside of the picture aren't shown.
                assert!(
                    scores.any(|(prior, class, score)| of == (Some(prior), Some(class), Some(score))),
                    "{idx}: {this}"
                );
            }
        }
        let same = |at: usize, file: &str| {
            assert_eq!(
                answer[at].as_array().expect("an array"),
                &boxes(&run(&folder, "cc", &["--json", file])),
                "{file}"
            );
        };
        same(1, "input.f32");
        if !answer[2].is_null() {
            same(2, "photo.ppm");
        }
    }
}

/// Outputs are compared, and that what makes boxes of them is what the description says.
#[test]
fn verify_knows_boxes() {
    let Some((folder, ..)) = folder("softmax") else { return };
    let verify = |network: &str| {
        let mut command = Command::new(mnc().expect("it has just been used"));
        let arguments =
            ["verify", network, "--random-weights", "5", "--executable", "own", "--threads", "1,2"];
        command.current_dir(folder.path()).args(arguments).output().expect("it starts")
    };
    let answer = verify("spots.toml");
    assert!(answer.status.success() && text(&answer).contains("\n0 of 1,155 outputs differ"), "{answer:?}");
    folder.write("other.toml", network("softmax", "xywh").replace("threshold = 0.4", "threshold = 0.45"));
    let answer = verify("other.toml");
    let error = String::from_utf8_lossy(&answer.stderr).into_owned();
    let expected = "found a network that makes other boxes, expected the [detect] of NETWORK";
    assert!(!answer.status.success() && error.contains(expected), "{answer:?}");
}

#[test]
fn labels_are_of_classes() {
    let Some((folder, ..)) = folder("softmax") else { return };
    folder.write("two.txt", "cat\ndog\n");
    let mut command = Command::new(mnc().expect("it has just been used"));
    let arguments = ["compile", "spots.toml", "--random-weights", "5", "--labels", "two.txt", "-o", "x"];
    let output = command.current_dir(folder.path()).args(arguments).output().expect("it starts");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(
        error.contains("two.txt: found 2 labels, expected 3, one for each class, the background included"),
        "{error}"
    );
    let answer = run(&folder, "cc", &["--labels", "two.txt", "input.f32"]);
    let error = String::from_utf8_lossy(&answer.stderr);
    assert!(error.contains("two.txt: found 2 labels, expected 3, one a line"), "{error}");
    folder.write("three.txt", "a\nb\nc\n");
    let lines = text(&run(&folder, "cc", &["--labels", "three.txt", "--top", "1", "input.f32"]));
    assert!(lines.contains("  b  (1)  from ") || lines.contains("  c  (2)  from "), "{lines}");
}
