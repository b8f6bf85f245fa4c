//! Trained networks: the answers that other engines gave, and one result from all of our readers.

use mnc::graph::layer::{Activation, Layer};
use mnc::passes::{Filter, Fused, FusedId, FusedNode};
use mnc::{Compiled, Options, reference};
use mnc_runtime::abi::Status;
use mnc_tests::link::Linked;
use mnc_tests::recorded::{TRAINED, Trained, maps, read};
use mnc_tests::{bits, each, need, pool};

/// What our logits may differ from those evaluated in f64.
///
/// Each step of a chain is rounded by up to 2^-24 of its partial sum, as a rule of another sign each time: a classifier's chain
/// of 1024 steps with partial sums of up to 30, the size of the largest logits, is off by about
/// 1024^0.5 * 2^-24 * 30 = 6e-5, and the 27 layers before it hand their errors on. Found: 6.3e-5 for 1.0@224, 3.3e-5 and less for
/// the others; onnxruntime in f32 is up to 7.0e-5 away.
const TOLERANCE: f64 = 1e-4;

/// Interpreting 1.0@224 takes seconds: large networks give two inputs to the interpreter, the others all.
const LARGE: u64 = 100_000_000;

fn check(trained: &Trained) {
    let Some(network) = trained.read() else { return };
    let fused = mnc::passes::run(&network.graph, &network.parameters).expect("the network is legal");
    let expected = each(&network.inputs, |input| reference::output(&fused, input));

    assert!(!expected.is_empty() && expected.len() == network.logits.len(), "an answer for each input");
    for (idx, (ours, recorded)) in expected.iter().zip(&network.logits).enumerate() {
        let furthest = furthest(ours, recorded);
        assert!(furthest <= TOLERANCE, "{}: input {idx}: {furthest:e} from the answer", trained.weights);
    }

    for target in need::host_targets() {
        let options = Options { name: "trained", labels: &[] };
        let compiled = mnc::compile(network.graph.clone(), &network.parameters, &target, &options)
            .unwrap_or_else(|error| panic!("{}: {error}", trained.weights));
        let place = format!("{} for {target}", trained.weights);
        check_compiled(&place, &compiled, &network.inputs, &expected);
        let n_inputs = if LARGE < compiled.info.multiply_adds { 2 } else { network.inputs.len() };
        each(&(0..n_inputs).collect::<Vec<usize>>(), |&idx| {
            let found = compiled
                .program
                .interpret(&network.inputs[idx])
                .unwrap_or_else(|error| panic!("{place}: {error}"));
            bits::compare(&found, &expected[idx])
                .unwrap_or_else(|error| panic!("{place}: interpreter: {error}"));
        });
    }
}

fn check_compiled(place: &str, compiled: &Compiled, inputs: &[Vec<f32>], expected: &[Vec<f32>]) {
    let Some(linked) = Linked::one(compiled) else { return };
    let network = linked.network(compiled);
    for (idx, (input, expected)) in inputs.iter().zip(expected).enumerate() {
        let found = network.run(input);
        if found.is_ok() {
            let parallel = network.run_on(input, &pool::ALL_AT_ONCE);
            let same = bits::compare(&parallel.expect("the CPU has what it takes"), expected);
            same.unwrap_or_else(|error| panic!("{place}: in parallel: input {idx}: {error}"));
        }
        match found {
            Ok(found) => bits::compare(&found, expected)
                .unwrap_or_else(|error| panic!("{place}: compiled: input {idx}: {error}")),
            Err(Status::MissingCpuFeature) => {
                return need::skip_cpu(compiled);
            }
            Err(status) => panic!("{place}: {status}"),
        }
    }
}

/// The largest distance; infinite where one is NaN.
fn furthest(ours: &[f32], recorded: &[f64]) -> f64 {
    assert_eq!(ours.len(), recorded.len());
    let distance = |(ours, recorded): (&f32, &f64)| (f64::from(*ours) - recorded).abs();
    ours.iter().zip(recorded).map(distance).fold(0.0, |most, x| if x <= most { most } else { x })
}

macro_rules! networks {
    ($($name:ident $idx:literal)*) => {
        $(#[test] fn $name() { check(&TRAINED[$idx]); })*
    };
}

networks! {
    v1_025_128 0
    v1_025_128_synthetic_batch_norm 1
    v1_025_96_visual_wake_words 2
    v1_05_160 3
    v1_10_224 4
    v1_025_96_person 6
    v1_025_96_person_of_the_repository 7
}

/// timm's file has the numbers of the other 1.0@224 under other names and with another epsilon: folded, the two are one network
/// to the bit, and what holds of that one holds of this.
#[test]
fn v1_10_224_timm() {
    let (Some(timm), Some(twin)) = (TRAINED[5].read(), TRAINED[4].read()) else { return };
    assert_ne!(timm.parameters, twin.parameters);
    assert_eq!(timm.logits, twin.logits);
    let options = Options { name: "trained", labels: &[] };
    for isa in mnc::target::ISAS {
        let target = need::target_of(isa);
        let [timm, twin] = [&timm, &twin].map(|network| {
            mnc::compile(network.graph.clone(), &network.parameters, &target, &options)
                .expect("the network is legal")
        });
        assert!(timm.fused == twin.fused && timm.program == twin.program, "{target}: the networks differ");
    }
}

/// The output of each of the 27 convolutions, evaluated in f64: of each by itself, on the recorded output of the one before,
/// and of all in a row.
///
/// By itself, a chain of n steps on inputs rounded to f32 can't be further off than (n + 2) 2^-24 S, where S is the sum of
/// the chain's magnitudes, and isn't further than 1e-4. In a row, a layer hands on the error of the one before up to as many
/// times as the magnitudes of a filter add up to, which is 63 for `conv_dw_1` and 12 for the next ones: 2e-6 behind the stem
/// became 1.2e-4 at `conv_pw_3` in 6 of 32768 elements, where it is largest.
#[test]
fn layers_of_v1_025_128() {
    const IN_A_ROW: f64 = 2e-4;
    let Some(network) = TRAINED[0].read() else { return };
    let Some(path) = need::shared_data("expected/mobilenet_v1_0.25_128.layers.safetensors") else { return };
    let file = read(&path);
    let fused = mnc::passes::run(&network.graph, &network.parameters).expect("the network is legal");
    let mut before = maps(&file, "input").swap_remove(0);
    let values = reference::run(&fused, &before);

    let mut layer = 0;
    for (idx, value) in values.iter().enumerate().skip(1) {
        let Some(magnitudes) = magnitudes(&fused, idx) else { continue };
        let recorded = maps(&file, &format!("layer.{layer:02}")).swap_remove(0);
        let name = &fused.nodes[idx].name;
        let exact: Vec<f64> = recorded.iter().map(|x| f64::from(*x)).collect();
        let in_a_row = furthest(value, &exact);
        assert!(in_a_row <= IN_A_ROW, "{name}: {in_a_row:e} from the answer");

        let ours = reference::output(&alone(&fused, idx), &before);
        let by_itself = furthest(&ours, &exact);
        assert!(by_itself <= TOLERANCE, "{name} by itself: {by_itself:e} from the answer");
        let sizes: Vec<f32> = before.iter().map(|x| x.abs()).collect();
        let bounds = reference::output(&magnitudes.0, &sizes);
        for ((ours, exact), bound) in ours.iter().zip(&exact).zip(bounds) {
            let bound = (magnitudes.1 + 2) as f64 * f64::from(bound) * f64::powi(2.0, -24);
            let distance = (f64::from(*ours) - exact).abs();
            assert!(
                distance <= bound,
                "{name} by itself: {distance:e} from the answer, expected {bound:e} at most"
            );
        }
        before = recorded;
        layer += 1;
    }
    assert_eq!(layer, 27);
}

/// One node as a network.
fn alone(fused: &Fused, idx: usize) -> Fused {
    let node = &fused.nodes[idx];
    let input = FusedNode {
        layer: Layer::Input,
        filter: None,
        activation: Activation::None,
        residual: None,
        inputs: Vec::new(),
        ..fused.nodes[node.inputs[0].0].clone()
    };
    let node = FusedNode { inputs: vec![FusedId(0)], ..node.clone() };
    Fused {
        nodes: vec![input, node],
        outputs: vec![FusedId(1)],
        output_names: vec!["output".to_owned()],
        byte_input: None,
    }
}

/// A convolution that adds up the magnitudes of its chain, and the steps of that chain; `None` for other nodes.
fn magnitudes(fused: &Fused, idx: usize) -> Option<(Fused, usize)> {
    let mut network = alone(fused, idx);
    let node = &mut network.nodes[1];
    if node.activation != Activation::Relu6 || node.layer.window().is_none() {
        return None;
    }
    node.activation = Activation::None;
    let Filter { weights, bias } = node.filter.as_mut().expect("a convolution has a filter");
    weights.iter_mut().chain(bias.iter_mut()).for_each(|x| *x = x.abs());
    let steps = weights.len() / bias.len();
    Some((network, steps))
}

/// The programs of other processors run in the interpreter, whose arithmetic is that of every reader.
#[test]
fn programs_of_every_instruction_set() {
    // One whose batch norms were trained, and the one that the repository always has.
    for network in [TRAINED[1].read(), TRAINED[7].read()].into_iter().flatten() {
        let input = &network.inputs[0];
        for isa in mnc::target::ISAS {
            let target = need::target_of(isa);
            let options = Options { name: "trained", labels: &[] };
            let compiled =
                mnc::compile(network.graph.clone(), &network.parameters, &target, &options).expect("legal");
            let found = compiled.program.interpret(input).unwrap_or_else(|error| panic!("{target}: {error}"));
            bits::compare(&found, &reference::output(&compiled.fused, input))
                .unwrap_or_else(|error| panic!("{target}: {error}"));
        }
    }
}
