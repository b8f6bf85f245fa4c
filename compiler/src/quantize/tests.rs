//! Random networks of the layers that can be quantised.

use super::forward::{Value, run};
use super::*;
use crate::describe::Description;
use crate::graph::Knobs;
use crate::random::Random;
use crate::reference;
use crate::sample::RandomNetwork;
use crate::weights::NodeParameters;

/// Random bytes: even ones, and those that reach both ends.
fn noise(len: usize, n: usize, seed: u64) -> Vec<Vec<u8>> {
    let mut random = Random::new(seed ^ 0x6e6f_6973_6500);
    let mut picture = |idx: usize| {
        let mut byte = |_| match idx % 3 {
            0 => random.bits() as u8,
            1 => random.pick(&[0, 255]),
            _ => 96 + (random.bits() % 64) as u8,
        };
        (0..len).map(&mut byte).collect()
    };
    (0..n).map(&mut picture).collect()
}

/// A network of a description.
fn graph(text: &str) -> Result<Graph> {
    Graph::build(&Description::parse(text, "net.toml")?, &Knobs::default())
}

/// A network of layers that all can be quantised, with random numbers.
pub(super) fn network(seed: u64) -> (Graph, Parameters) {
    let mut random = Random::new(seed ^ 0x696e_7438);
    let activations =
        ["relu6", "relu", "none", "hard_swish", "swish", "sigmoid", "hard_sigmoid", "leaky_relu"];
    let channels = random.pick(&[1, 2, 3, 3, 3, 5]);
    let (height, width) = (random.within(3, 20), random.within(3, 20));
    let padding = random.pick(&["same", "symmetric", "keras", "valid"]);
    let mut text = format!(
        "name = \"int8-{seed}\"\nclasses = {}\npadding = {padding:?}\n\
         input = {{ height = {height}, width = {width}, channels = {channels} }}\n[preprocess]\nresize = \"stretch\"\n",
        random.within(2, 40)
    );
    if random.percent(70) {
        let mean: Vec<f64> = (0..channels).map(|_| random.uniform()).collect();
        let std: Vec<f64> = (0..channels).map(|_| 0.1 + random.uniform()).collect();
        text += &format!("mean = {mean:?}\nstd = {std:?}\n");
    }
    let mut n_layers = random.within(1, 6);
    while 0 < n_layers {
        let filters = format!("scaled = false\nfilters = {}\n", random.within(1, 40));
        let stride = format!("stride = {}\n", random.pick(&[1, 1, 2, 3]));
        let kernel = format!("kernel = {}\n{stride}", random.within(1, 5));
        let layer = match random.within(0, 5) {
            0 => format!("kind = \"conv\"\n{kernel}{filters}"),
            1 => format!("kind = \"depthwise\"\n{kernel}"),
            2 => format!("kind = \"pointwise\"\n{filters}"),
            3 => format!("kind = \"depthwise\"\nmultiplier = {}\n{kernel}", random.within(2, 3)),
            4 => format!("kind = \"conv\"\n{kernel}scaled = false\nfilters = 12\ngroups = 2\n"),
            _ => format!("kind = \"separable\"\n{kernel}{filters}"),
        };
        let activation = random.pick(&activations);
        let slope = if activation == "leaky_relu" { "slope = 0.125\n" } else { "" };
        let more = format!("{text}[[layer]]\n{layer}activation = {activation:?}\n{slope}");
        if graph(&more).is_ok() {
            (text, n_layers) = (more, n_layers - 1);
        }
    }
    let heads = [
        "",
        "[[layer]]\nkind = \"global_average_pool\"\n",
        "[[layer]]\nkind = \"global_average_pool\"\n[[layer]]\nkind = \"dense\"\n",
        "[[layer]]\nkind = \"dense\"\n",
        "[[layer]]\nkind = \"global_average_pool\"\n[[layer]]\nkind = \"dense\"\n[[layer]]\nkind = \"softmax\"\n",
    ];
    text += random.pick(&heads);
    let graph = graph(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let parameters = Parameters::random(&graph, seed);
    (graph, parameters)
}

/// A third of a network's layers, or none.
pub(super) fn some_layers(graph: &Graph, seed: u64) -> Vec<String> {
    let mut random = Random::new(seed ^ 0x6b65_6570);
    let share = random.pick(&[0, 33]);
    let network = passes::shapes(graph).expect("its layers can be fused");
    let names = network.nodes[1..].iter().map(|node| node.name.clone());
    names.filter(|_| random.percent(share)).collect()
}

pub(super) fn quantized(
    (graph, parameters): &(Graph, Parameters),
    options: &Options,
    n_threads: usize,
) -> Result<(Fused, Fused)> {
    let bytes = noise(graph.input_shape().len(), 5, 1);
    let constants = graph.preprocess.constants();
    let pictures = Pictures { bytes: &bytes, constants: &constants, n_threads };
    let Quantized { numbers, integers, .. } = quantize(graph, parameters, &pictures, options, &|| ())?;
    Ok((numbers, integers))
}

/// The fast loops have every value of the reference, which is given the numbers of the same bytes: up to the layers with weights in f32,
/// whose sums they add up in another order.
fn check(graph: &Graph, integers: &Fused, seed: u64) {
    integers.verify();
    let constants = graph.preprocess.constants();
    let bytes = noise(graph.input_shape().len(), 3, seed);
    let pictures = Pictures { bytes: &bytes, constants: &constants, n_threads: 1 };
    let inputs: Vec<Value> = bytes.iter().map(|bytes| Value::Bytes(bytes.clone())).collect();
    for (idx, found) in run(integers, &inputs, 2).iter().enumerate() {
        let expected = reference::run(integers, &pictures.numbers(idx));
        let mut is_exact: Vec<bool> = Vec::new();
        for ((found, expected), node) in found.iter().zip(&expected).zip(&integers.nodes) {
            let adds_up = node.filter.is_some() && !integers.is_conversion(node);
            is_exact.push(!adds_up && node.inputs.iter().all(|id| is_exact[id.0]));
            if is_exact[is_exact.len() - 1] {
                assert_eq!(found, expected, "{} of {}", node.name, graph.name);
            }
        }
    }
}

#[test]
fn fast_loops_are_the_reference() {
    for seed in 0..mnc_need::n_seeds(150) {
        let network = network(seed);
        let (pair_safe, only_named) = (seed % 2 == 1, seed % 3 == 1);
        let options = Options { pair_safe, keep_f32: some_layers(&network.0, seed), only_named };
        let (_, integers) =
            quantized(&network, &options, 1).unwrap_or_else(|error| panic!("{seed}: {error}"));
        check(&network.0, &integers, seed);
        let threads = quantized(&network, &options, 3).expect("as on one thread").1;
        assert!(integers == threads, "{seed}: threads change a number");
    }
}

/// Networks as other tests have them: numbers far apart, every kind of layer, some of the layers in f32. Refused are only numbers that
/// no integers hold.
#[test]
fn any_network_is_quantised() {
    let n_seeds = mnc_need::n_seeds(400);
    let (mut n_quantised, mut refusals) = (0, std::collections::BTreeSet::new());
    for seed in 0..n_seeds {
        let RandomNetwork { graph, parameters, .. } = RandomNetwork::new(seed);
        let options = Options { keep_f32: some_layers(&graph, seed), ..Options::default() };
        let network = (graph, parameters);
        match quantized(&network, &options, 1) {
            Ok((_, integers)) => {
                check(&network.0, &integers, seed);
                n_quantised += 1;
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Weights, "{seed}: {error}");
                refusals.extend(error.faults().iter().map(|fault| fault.detail.clone()));
            }
        }
    }
    println!("{n_quantised} quantised; {refusals:?}");
    assert!(n_seeds * 9 / 10 < n_quantised, "{n_quantised} of {n_seeds} were quantised: {refusals:?}");
}

/// Bytes stand for what the numbers were, within what rounding does: the error is far below the signal.
#[test]
fn integers_are_close() {
    let mut worst = f64::INFINITY;
    let mut sum = 0.0;
    for seed in 0..60 {
        let network = network(seed);
        let (numbers, integers) = quantized(&network, &Options::default(), 1).expect("it can be quantised");
        let bytes = noise(network.0.input_shape().len(), 5, 1);
        let constants = network.0.preprocess.constants();
        let pictures = Pictures { bytes: &bytes, constants: &constants, n_threads: 1 };
        let comparison = compare(&numbers, &integers, &pictures, &|| ());
        let last = &comparison.layers[comparison.layers.len() - 1];
        worst = worst.min(last.snr_db);
        sum += last.snr_db.min(60.0);
    }
    println!("worst {worst:.1} dB, mean {:.1} dB", sum / 60.0);
    assert!(25.0 < sum / 60.0, "{:.1} dB", sum / 60.0);
}

#[test]
fn sums_of_16_bits_are_safe() {
    let mut n_found = [0; 3];
    for seed in 0..60 {
        let network = network(seed);
        let options = Options { pair_safe: true, ..Options::default() };
        let (_, integers) = quantized(&network, &options, 1).expect("it can be quantised");
        for node in &integers.nodes {
            let Some(integer) = node.integer.as_ref().filter(|integer| !integer.weights.is_empty()) else {
                continue;
            };
            // The camera's bytes are three to a word.
            if node.inputs[0].0 != 0 {
                let channels = integers.nodes[node.inputs[0].0].shape().channels;
                let best = integer.best_fit(&node.layer, channels);
                assert_eq!(integer.fit(&node.layer, channels), best, "{seed}: {}", node.name);
                n_found[best as usize] += 1;
            }
        }
    }
    assert!(n_found[1..].iter().all(|n| 20 < *n), "{n_found:?}");
}

/// An addition by itself gives the channels of its operands and its sum the same shares. Where the sums all reach far, small channels of an operand
/// are left with a byte or two, of which the depthwise layer beside makes numbers as large as any.
fn tied() -> (Graph, Parameters) {
    let plain = "activation = \"none\"\nbatch_norm = false\nbias = false\n";
    let text = format!(
        "name = \"tied\"\nclasses = 2\noutputs = [\"taken\", \"sum\"]\n\
         input = {{ height = 8, width = 8, channels = 3 }}\n[preprocess]\nresize = \"stretch\"\n\
         [[layer]]\nname = \"stem\"\nkind = \"pointwise\"\nfilters = 8\n{plain}\
         [[layer]]\nname = \"taken\"\nkind = \"depthwise\"\nkernel = 3\n{plain}\
         [[layer]]\nname = \"mixed\"\nkind = \"conv\"\nkernel = 3\nfilters = 8\n{plain}\
         [[layer]]\nname = \"sum\"\nkind = \"add\"\nfrom = \"stem\"\n"
    );
    let graph = graph(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let mut parameters = Parameters::random(&graph, 1);
    let mut set = |name: &str, of: &dyn Fn(usize, usize) -> f32| {
        let id = graph.id(name).expect("the network has it");
        let NodeParameters::Filter { weights, .. } = &mut parameters.0[id.0] else {
            panic!("{name}: no weights")
        };
        weights.iter_mut().enumerate().for_each(|(at, w)| *w = of(at / 8, at % 8));
    };
    set("stem", &|m, n| if n == 0 { 1.0 } else { 0.004 / (1 + (m + n) % 3) as f32 });
    let taps = [0.0, -50.0, 0.0, -50.0, 200.0, -50.0, 0.0, -50.0, 0.0];
    set("taken", &|tap, n| if n == 0 { taps[tap] / 1000.0 } else { taps[tap] });
    // Its middle tap alone: behind a pointwise layer the addition would be part of that.
    set("mixed", &|m, n| if m / 8 == 4 { [0.7, -0.9, 0.5, 0.8][(m + n) % 4] } else { 0.0 });
    (graph, parameters)
}

#[test]
fn the_addition_that_ties_channels_is_left_in_f32() {
    let (graph, parameters) = tied();
    let bytes = noise(graph.input_shape().len(), 9, 1);
    let constants = graph.preprocess.constants();
    let pictures = |n_threads| Pictures { bytes: &bytes, constants: &constants, n_threads };
    let made = |options: &Options, n_threads| {
        let made = quantize(&graph, &parameters, &pictures(n_threads), options, &|| ());
        made.expect("it can be quantised")
    };
    let worst = |made: &Quantized| {
        let layers = compare(&made.numbers, &made.integers, &pictures(1), &|| ()).layers;
        layers.iter().map(|layer| layer.snr_db).fold(f64::INFINITY, f64::min)
    };
    let chosen = made(&Options::default(), 1);
    let named = made(&Options { only_named: true, ..Options::default() }, 1);
    println!("{:?}: {:.1} dB, without {:.1} dB", chosen.choices, worst(&chosen), worst(&named));
    let [choice] = chosen.choices.as_slice() else { panic!("{:?}", chosen.choices) };
    assert_eq!((choice.layers.as_slice(), choice.fell.as_str()), (&["sum".to_owned()][..], "taken"));
    assert!(choice.fell_db[0] + 10.0 < choice.fell_db[1], "{choice:?}");
    assert!(named.choices.is_empty() && worst(&named) + 10.0 < worst(&chosen));
    assert!(made(&Options::default(), 3).integers == chosen.integers, "threads change a number");
    // What a user names is what is chosen.
    let keep_f32 = vec!["sum".to_owned()];
    let asked = made(&Options { keep_f32, ..Options::default() }, 1);
    assert!(asked.choices.is_empty() && asked.integers == chosen.integers);
    check(&graph, &chosen.integers, 1);
}

/// Layers that keep the scales of their inputs between others, some of whose values reach 40 times as far as a ReLU6.
pub(super) fn kept() -> (Graph, Parameters) {
    let conv = |name: &str, input: &str, activation: &str| {
        format!(
            "[[layer]]\nname = {name:?}\nkind = \"conv\"\nkernel = 3\nstride = 1\nfilters = 12\ninput = {input:?}\n\
             activation = {activation:?}\nbatch_norm = false\nbias = true\n"
        )
    };
    let layer = |name: &str, input: &str, kind: &str| {
        format!("[[layer]]\nname = {name:?}\nkind = {kind}\ninput = {input:?}\n")
    };
    let text = [
        "name = \"kept\"\nclasses = 2\noutputs = [\"last\", \"scores\"]\n\
         input = { height = 12, width = 10, channels = 3 }\n[preprocess]\nresize = \"stretch\"\n"
            .to_owned(),
        conv("stem", "input", "relu6"),
        layer("largest", "stem", "\"max_pool\"\nkernel = 3\nstride = 1\npadding = \"same\""),
        layer("means", "stem", "\"average_pool\"\nkernel = 2\nstride = 2"),
        layer("large", "means", "\"upsample\"\nfactor = 2"),
        conv("wide", "largest", "none"),
        layer("joined", "wide", "\"concat\"\nfrom = [\"largest\", \"large\"]"),
        conv("last", "joined", "relu6"),
        layer("mean", "joined", "\"global_average_pool\""),
        layer("scores", "mean", "\"dense\""),
    ];
    let text = text.concat();
    let graph = graph(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let mut parameters = Parameters::random(&graph, 3);
    let id = graph.id("wide").expect("the network has it");
    let NodeParameters::Filter { weights, .. } = &mut parameters.0[id.0] else { panic!("wide: no weights") };
    weights.iter_mut().for_each(|w| *w *= 40.0);
    (graph, parameters)
}

#[test]
fn bytes_are_kept_with_their_scales() {
    let network = kept();
    let (numbers, integers) = quantized(&network, &Options::default(), 1).expect("it can be quantised");
    check(&network.0, &integers, 1);
    let node = |name: &str| {
        let mut nodes = integers.nodes.iter();
        nodes
            .find(|node| node.name == name && node.bytes.is_some())
            .unwrap_or_else(|| panic!("{name}: no bytes"))
    };
    for name in ["largest", "means", "large", "joined"] {
        assert!(node(name).integer.is_some(), "{name} is computed of bytes");
    }
    let scales = |name: &str| node(name).scales_of(node(name).bytes.unwrap(), &node(name).scales);
    let parts = ["wide", "largest", "large"].map(&scales);
    assert_eq!(scales("joined"), parts.concat());
    let zero_point = |name: &str| node(name).bytes.unwrap().zero_point;
    assert!(["stem", "wide", "large"].iter().all(|name| zero_point(name) == zero_point("joined")));
    // A ReLU6 ends at 6 whatever the range of the others is, and channels that reach less far have finer scales.
    let [stem, wide] = ["stem", "wide"].map(node);
    let highest = f32::from(stem.bytes.unwrap().high - zero_point("stem"));
    let (of_stem, of_wide) = (stem.bytes.unwrap(), wide.bytes.unwrap());
    println!("{of_stem:?} {of_wide:?}");
    assert!(scales("stem").iter().all(|scale| highest * scale <= 6.0001));
    assert_eq!(of_stem.low, zero_point("stem"));
    assert!(8.0 * of_stem.scale < of_wide.scale);
    let bytes = noise(network.0.input_shape().len(), 5, 1);
    let constants = network.0.preprocess.constants();
    let pictures = Pictures { bytes: &bytes, constants: &constants, n_threads: 1 };
    for layer in compare(&numbers, &integers, &pictures, &|| ()).layers {
        println!("{} {:.1} dB", layer.name, layer.snr_db);
        assert!(24.5 < layer.snr_db, "{}: {:.1} dB", layer.name, layer.snr_db);
    }
}

/// Bytes that become numbers at once would only be rounded, and so would numbers of layers in f32.
#[test]
fn layers_that_keep_scales_follow_their_neighbours() {
    let (graph, _) = kept();
    let network = passes::shapes(&graph).expect("its layers can be fused");
    let in_f32 = |kept: &[&str]| -> Vec<String> {
        let kept: Vec<String> = kept.iter().map(|name| (*name).to_owned()).collect();
        let forms = check::forms(&network, &kept).expect("they are layers of it");
        let nodes = network.nodes.iter().zip(forms).filter(|(_, form)| form.in_f32);
        nodes.map(|(node, _)| node.name.clone()).collect()
    };
    assert!(in_f32(&[]).is_empty());
    assert_eq!(in_f32(&["joined"]), ["means", "large", "joined"]);
    assert_eq!(in_f32(&["stem"]), ["stem", "largest", "means", "large"]);
    assert_eq!(in_f32(&["last", "mean"]), ["means", "large", "joined", "last", "mean"]);
}
