//! Trained networks in bytes and integers, on photographs that played no part in making them.

use std::time::Instant;

use mnc::graph::Graph;
use mnc::passes::{Domain, Fused, without_constant_channels};
use mnc::quantize::crops::{Photograph, crops};
use mnc::quantize::{Certificate, Options, Pictures, Quantized, compare, leaves, quantize};
use mnc::reference;
use mnc::target::X86_64_V3;
use mnc_runtime::abi::Status;
use mnc_runtime::info::{self, Input};
use mnc_runtime::launcher::input_for;
use mnc_tests::link::Linked;
use mnc_tests::need::{self, Cases};
use mnc_tests::recorded::{TRAINED, Trained};

/// The bytes that a network takes of a picture; `info` says how it is brought to size.
fn bytes(graph: &Graph, resize: Option<info::Resize>, picture: &[u8]) -> Vec<u8> {
    let shape = graph.input_shape();
    let input = Input { height: shape.height, width: shape.width, channels: shape.channels };
    let mut preprocess = mnc::preprocess(&graph.preprocess, shape);
    preprocess.resize = resize.unwrap_or(preprocess.resize);
    (preprocess.multiplier, preprocess.offset) = (vec![1.0; shape.channels], vec![0.0; shape.channels]);
    let numbers = input_for(&input, &preprocess, picture).expect("it is a picture");
    numbers.iter().map(|x| *x as u8).collect()
}

/// The two photographs of the repository.
fn photographs() -> Vec<Photograph> {
    let read = |(name, width, height): (&str, usize, usize)| {
        let path = need::workspace().join("examples/person-detector/photos").join(name);
        let file = std::fs::read(path).expect("the photograph is there");
        let mut graph = Graph::build(
            &mnc::describe::builtin("mobilenet-v1").expect("it is built in").description(),
            &mnc::graph::Knobs {
                alpha: 0.25,
                resolution: Some(format!("{height}x{width}").parse().expect("a size")),
            },
        )
        .expect("it is legal");
        graph.preprocess.channel_order = mnc::describe::ChannelOrder::Rgb;
        Photograph { width, height, pixels: bytes(&graph, Some(info::Resize::Keep), &file) }
    };
    [("astronaut.jpg", 512, 512), ("chelsea.jpg", 451, 300)].map(read).to_vec()
}

/// 16 synthetic pictures and 16 parts of the two photographs.
fn calibration(graph: &Graph) -> Vec<Vec<u8>> {
    let shape = graph.input_shape();
    let parts = crops(&photographs(), (shape.height, shape.width), 16, 1);
    let parts = parts.iter().map(|part| bytes(graph, Some(info::Resize::Stretch), &part.to_pnm()));
    leaves::pictures(shape, 16, 1).into_iter().chain(parts).collect()
}

/// The photographs beside the repository: every so many of them.
fn judges(graph: &Graph, every: usize) -> Option<Vec<Vec<u8>>> {
    let mut paths: Vec<std::path::PathBuf> = Vec::new();
    for folder in ["images", "images/extra"] {
        let folder = need::shared_data(folder)?;
        let entries = std::fs::read_dir(folder).expect("the folder can be read");
        let files = entries.map(|entry| entry.expect("the entry can be read").path());
        // The cat is one of the two of the calibration.
        paths.extend(files.filter(|path| path.is_file() && !path.ends_with("skimage_chelsea.png")));
    }
    paths.sort();
    let read = |path: &std::path::PathBuf| bytes(graph, None, &std::fs::read(path).expect("it can be read"));
    Some(paths.iter().step_by(every).map(read).collect())
}

fn certificate(trained: &Trained, options: &Options, every: usize) -> Option<Certificate> {
    let mut network = trained.read()?;
    if trained.weights.contains("vww") {
        // It was trained on numbers from 0 to 1.
        let preprocess = &mut network.graph.preprocess;
        (preprocess.mean, preprocess.std) = (vec![0.0; 3], vec![1.0; 3]);
    }
    let judges = judges(&network.graph, every)?;
    let constants = network.graph.preprocess.constants();
    let n_threads = std::thread::available_parallelism().map_or(1, usize::from);
    let pictures = |bytes| Pictures { bytes, constants: &constants, n_threads };
    let calibration = calibration(&network.graph);
    let started = Instant::now();
    let Quantized { numbers, integers, choices } =
        quantize(&network.graph, &network.parameters, &pictures(&calibration), options, &|| ())
            .expect("every layer has integers");
    let seconds = started.elapsed().as_secs_f64();
    assert!(choices.is_empty(), "{}: {choices:?}", trained.weights);
    let started = Instant::now();
    let comparison = compare(&numbers, &integers, &pictures(&judges), &|| ());
    let certificate = comparison.certificate.expect("it is a classifier");
    println!(
        "{}: {options:?}: {seconds:.1} s and {:.1} s: {certificate:?}",
        trained.weights,
        started.elapsed().as_secs_f64()
    );
    Some(certificate)
}

/// At most so many photographs have another answer, and the logits have at least that signal to noise.
fn check(trained: &Trained, every: usize, n_others: usize, snr_db: f64) {
    check_with(trained, &Options::default(), (every, n_others), snr_db);
}

fn check_with(trained: &Trained, options: &Options, (every, n_others): (usize, usize), snr_db: f64) {
    let every = if Cases::asked() == Cases::All { 1 } else { every };
    let Some(certificate) = certificate(trained, options, every) else { return };
    let Certificate { n_pictures, n_same, .. } = certificate;
    assert!(n_pictures <= n_same + n_others, "{}: {certificate:?}", trained.weights);
    assert!(snr_db <= certificate.snr_db, "{}: {certificate:?}", trained.weights);
    // The margin keeps what it promises: less than one in 40.
    assert!(40 * certificate.n_beyond_other < certificate.n_beyond, "{}: {certificate:?}", trained.weights);
    assert!(n_pictures < 2 * certificate.n_beyond, "{}: {certificate:?}", trained.weights);
}

#[test]
fn v1_10_224() {
    check(&TRAINED[4], 4, 1, 23.0);
}

#[test]
fn v1_05_160() {
    check(&TRAINED[3], 1, 2, 25.0);
}

#[test]
fn v1_025_128() {
    check(&TRAINED[0], 1, 4, 24.0);
}

/// Half a decibel or so.
#[test]
fn v1_025_128_with_safe_pairs() {
    check_with(&TRAINED[0], &Options { pair_safe: true, ..Options::default() }, (1, 8), 24.0);
}

#[test]
fn person_detector() {
    check(&TRAINED[2], 1, 1, 28.0);
}

/// More than half of the person detector's channels are one byte whatever the picture is; without them no answer is another.
#[test]
fn constant_channels_of_the_person_detector() {
    let ours = TRAINED.iter().find(|trained| trained.is_ours).expect("the repository has one");
    let network = ours.read().expect("its files are there");
    let graph = &network.graph;
    let constants = graph.preprocess.constants();
    let pictures = calibration(graph);
    let pictures = Pictures { bytes: &pictures, constants: &constants, n_threads: 2 };
    let Quantized { integers: with, .. } =
        quantize(graph, &network.parameters, &pictures, &Options::default(), &|| ())
            .expect("every layer has integers");
    let without = without_constant_channels(with.clone(), &Domain::Integers { keep_fit: false });
    let target = need::target_of(&X86_64_V3);
    let compile = |fused: &Fused| {
        let options = mnc::Options { name: "net", labels: &[] };
        mnc::compile_fused(graph.clone(), fused.clone(), &target, &options, None).expect("it compiles")
    };
    let (whole, compiled) = (compile(&with), compile(&without));
    let told = compiled.info.constant_channels.expect("int8 tells it");
    println!("{told:?}, {} multiply-adds", compiled.info.multiply_adds);
    assert_eq!((told.channels, told.weights_before, told.multiply_adds_before), (2736, 208_112, 7_489_664));
    assert_eq!(whole.info.constant_channels.map(|told| (told.left_out, told.weights)), Some((0, 208_112)));
    assert!(1_400 <= told.left_out && told.weights < 50_000, "{told:?}");
    let steps: u64 = compiled.info.steps.iter().map(|step| step.multiply_adds).sum();
    assert_eq!(steps, compiled.info.multiply_adds);
    for input in &network.inputs {
        let expected = reference::output(&with, input);
        assert_eq!(reference::output(&without, input), expected);
        assert_eq!(compiled.program.interpret(input).expect("no access is wrong"), expected);
    }
}

/// The same of networks in f32, for pictures: machine code of what is left is its reference to the last bit, and its answers are those
/// of the whole network but for their last digits.
#[test]
fn constant_channels_in_f32() {
    let detectors = TRAINED.iter().filter(|trained| trained.is_ours || trained.weights.contains("vww"));
    let target = need::target_of(&X86_64_V3);
    for trained in detectors {
        let Some(mut network) = trained.read() else { continue };
        if !trained.is_ours {
            // It was trained on numbers from 0 to 1.
            let preprocess = &mut network.graph.preprocess;
            (preprocess.mean, preprocess.std) = (vec![0.0; 3], vec![1.0; 3]);
        }
        let graph = &network.graph;
        let constants = graph.preprocess.constants();
        let whole = mnc::passes::run(graph, &network.parameters).expect("it has a form");
        let smaller = without_constant_channels(whole.clone(), &Domain::of_pictures(&constants));
        let options = mnc::Options { name: "net", labels: &[] };
        let compile = |fused: &Fused| {
            mnc::compile_fused(graph.clone(), fused.clone(), &target, &options, None).expect("it compiles")
        };
        let compiled = compile(&smaller);
        assert_eq!(compile(&whole).info.constant_channels, None);
        let told = compiled.info.constant_channels.expect("channels have left");
        println!("{}: {told:?}, {} multiply-adds", trained.weights, compiled.info.multiply_adds);
        assert!(told.in_f32 && !compiled.info.is_int8());
        assert_eq!(
            (told.channels, told.weights_before, told.multiply_adds_before),
            (2736, 208_112, 7_489_664)
        );
        assert!(1_000 <= told.left_out && told.weights < 100_000, "{told:?}");
        let steps: u64 = compiled.info.steps.iter().map(|step| step.multiply_adds).sum();
        assert_eq!(steps, compiled.info.multiply_adds);
        let linked = Linked::one(&compiled);
        let linked = linked.as_ref().map(|linked| linked.network(&compiled));
        let mut most = 0.0f32;
        for picture in calibration(graph) {
            let numbers = picture.iter().zip(constants.iter().cycle());
            let input: Vec<f32> = numbers.map(|(byte, (m, o))| f32::from(*byte).mul_add(*m, *o)).collect();
            let expected = reference::output(&smaller, &input);
            let before = reference::output(&whole, &input);
            let differences = expected.iter().zip(&before).map(|(a, b)| (a - b).abs());
            most = differences.fold(most, f32::max);
            assert_eq!(compiled.program.interpret(&input).expect("no access is wrong"), expected);
            match linked.as_ref().map(|network| network.run(&input)) {
                None => {}
                Some(Err(Status::MissingCpuFeature)) => need::skip_cpu(&compiled),
                Some(found) => assert_eq!(found, Ok(expected)),
            }
        }
        println!("{}: answers differ by {most} at most", trained.weights);
        assert!(most <= 1e-5, "{}: {most}", trained.weights);
    }
}
