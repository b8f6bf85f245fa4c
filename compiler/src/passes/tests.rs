use super::*;
use crate::describe::{Description, builtin};
use crate::graph::layer::{Flatten, Layer};
use crate::graph::shape::Window;
use crate::graph::{Knobs, Node, NodeId};
use crate::weights::NodeParameters;

/// A graph of one-pixel maps of two channels from (name, layer, inputs); the last node is the output.
fn graph(layers: &[(&str, Layer, &[usize])]) -> Graph {
    let description = builtin("mobilenet-v1").unwrap().description();
    let shape = Shape { height: 1, width: 1, channels: 2 };
    let node = |(name, layer, inputs): &(&str, Layer, &[usize])| Node {
        name: (*name).to_owned(),
        layer: layer.clone(),
        inputs: inputs.iter().map(|&index| NodeId(index)).collect(),
        tensor: Tensor::f32(shape),
        origin: None,
    };
    Graph {
        name: "net".to_owned(),
        alpha: 1.0,
        nodes: layers.iter().map(node).collect(),
        outputs: vec![NodeId(layers.len() - 1)],
        output_names: vec!["output".to_owned()],
        preprocess: description.preprocess,
        scores: description.scores,
        is_headless: false,
        detect: None,
        batch: 1,
    }
}

const RELU6: Layer = Layer::Activation(Activation::Relu6);
const NORM: Layer = Layer::BatchNorm { epsilon: 0.25, gamma: true, beta: true };

fn conv(bias: bool) -> Layer {
    Layer::Conv { window: Window::POINTWISE, n: 2, bias }
}

/// One word per fused node, or the faults.
fn check(layers: &[(&str, Layer, &[usize])], expected: &str) {
    let graph = graph(layers);
    let found = match run(&graph, &Parameters::random(&graph, 5)) {
        Ok(fused) => {
            let words: Vec<String> = fused.nodes.iter().map(describe).collect();
            format!(
                "{}; returns {:?}",
                words.join(", "),
                fused.outputs.iter().map(|id| id.0).collect::<Vec<_>>()
            )
        }
        Err(error) => error.to_string(),
    };
    assert_eq!(found, expected);
}

fn describe(node: &FusedNode) -> String {
    let inputs: Vec<usize> = node.inputs.iter().map(|id| id.0).collect();
    let activation = match node.layer.takes_activation() {
        true => format!(" {:?}", node.activation),
        false => String::new(),
    };
    let addition = node.residual.as_ref().map_or(String::new(), |name| format!("+{name}"));
    format!("{}{addition}{inputs:?}{activation}", node.name)
}

#[test]
fn additions_become_residuals() {
    let relu = || Layer::Activation(Activation::Relu);
    check(
        &[
            ("input", Layer::Input, &[]),
            ("a", conv(true), &[0]),
            ("add", Layer::Add, &[0, 1]),
            ("relu", relu(), &[2]),
            ("b", conv(true), &[3]),
            ("b.norm", NORM, &[4]),
            ("add_2", Layer::Add, &[5, 3]),
            ("c", conv(true), &[6]),
            ("d", conv(true), &[6]),
            ("add_3", Layer::Add, &[7, 8]),
            ("add_4", Layer::Add, &[9, 6]),
        ],
        "input[], a+add[0, 0] Relu, b+add_2[1, 1] None, c[2] None, d+add_3[2, 3] None, add_4[4, 2] None; returns [5]",
    );
    // An activation before the addition, another reader, the same operand twice, a layer that isn't 1x1.
    let depthwise = Layer::Depthwise { window: Window::POINTWISE, bias: true };
    check(
        &[
            ("input", Layer::Input, &[]),
            ("a", conv(true), &[0]),
            ("relu", relu(), &[1]),
            ("add", Layer::Add, &[2, 0]),
            ("b", conv(true), &[3]),
            ("add_2", Layer::Add, &[4, 3]),
            ("add_3", Layer::Add, &[4, 5]),
            ("c", conv(true), &[6]),
            ("add_4", Layer::Add, &[7, 7]),
            ("d", depthwise, &[8]),
            ("add_5", Layer::Add, &[8, 9]),
        ],
        "input[], a[0] Relu, add[1, 0] None, b[2] None, add_2[3, 2] None, add_3[3, 4] None, c[5] None, add_4[6, 6] None, \
         d[7] None, add_5[7, 8] None; returns [9]",
    );
}

#[test]
fn chains_and_branches() {
    let depthwise = Layer::Depthwise { window: Window::POINTWISE, bias: true };
    check(
        &[
            ("input", Layer::Input, &[]),
            ("a", conv(false), &[0]),
            ("a.norm", NORM, &[1]),
            ("a.relu6", RELU6, &[2]),
            ("b", depthwise, &[3]),
            ("b.norm", NORM, &[4]),
            ("add", Layer::Add, &[5, 3]),
            ("add.relu", Layer::Activation(Activation::Relu), &[6]),
            ("pool", Layer::GlobalAveragePool, &[7]),
            ("dense", Layer::Dense { n: 2, flatten: Flatten::Hwc, bias: false }, &[8]),
            ("dense.relu6", RELU6, &[9]),
            ("softmax", Layer::Softmax, &[10]),
        ],
        "input[], a[0] Relu6, b[1] None, add[2, 1] Relu, pool[3], dense[4] Relu6, softmax[5]; returns [6]",
    );
    check(&[("input", Layer::Input, &[])], "input[]; returns [0]");
    // The identity needs no layer before it, and hides no reader.
    let none = Layer::Activation(Activation::None);
    check(&[("input", Layer::Input, &[]), ("none", none.clone(), &[0])], "input[]; returns [0]");
    check(
        &[
            ("input", Layer::Input, &[]),
            ("a", conv(true), &[0]),
            ("a.none", none, &[1]),
            ("a.relu6", RELU6, &[2]),
            ("add", Layer::Add, &[1, 3]),
        ],
        "a.relu6: can't be fused: a has 2 readers, expected this activation alone",
    );
}

#[test]
fn what_stays_alone_is_a_fault() {
    check(
        &[
            ("input", Layer::Input, &[]),
            ("a", conv(true), &[0]),
            ("a.norm", NORM, &[1]),
            ("add", Layer::Add, &[1, 2]),
        ],
        "a.norm: can't be folded: a has 2 readers, expected this batch norm alone",
    );
    check(
        &[("input", Layer::Input, &[]), ("norm", NORM, &[0]), ("norm_2", NORM, &[1])],
        "2 faults in the network:\n  \
         norm: can't be folded: found it after input, expected a layer with weights before it\n  \
         norm_2: can't be folded: found it after norm, expected a layer with weights before it",
    );
    check(
        &[
            ("input", Layer::Input, &[]),
            ("a", conv(true), &[0]),
            ("relu6", RELU6, &[1]),
            ("add", Layer::Add, &[1, 2]),
        ],
        "relu6: can't be fused: a has 2 readers, expected this activation alone",
    );
    check(
        &[
            ("input", Layer::Input, &[]),
            ("relu6", RELU6, &[0]),
            ("pool", Layer::GlobalAveragePool, &[1]),
            ("relu6_2", RELU6, &[2]),
            ("a", conv(true), &[3]),
            ("relu6_3", RELU6, &[4]),
            ("relu6_4", RELU6, &[5]),
        ],
        "3 faults in the network:\n  \
         relu6: can't be fused: found it after input, expected a convolution, an add, a multiply or a dense layer\n  \
         relu6_2: can't be fused: found it after pool, expected a convolution, an add, a multiply or a dense layer\n  \
         relu6_4: can't be fused: found an activation on a already, expected none",
    );
    // A layer whose own output is returned as well.
    let mut returned =
        graph(&[("input", Layer::Input, &[]), ("a", conv(true), &[0]), ("a.norm", NORM, &[1])]);
    returned.outputs.push(NodeId(1));
    returned.output_names.push("conv".to_owned());
    let error = run(&returned, &Parameters::random(&returned, 5)).unwrap_err();
    assert_eq!(error.to_string(), "a.norm: can't be folded: a has 2 readers, expected this batch norm alone");
}

/// The folded weights and bias of a 2 -> 2 pointwise layer, or the faults.
fn fold(
    weights: [f32; 4],
    bias: Option<[f32; 2]>,
    norm: [[f32; 2]; 4],
    epsilon: f64,
) -> Result<(Vec<f32>, Vec<f32>)> {
    let graph = graph(&[
        ("input", Layer::Input, &[]),
        ("a", conv(bias.is_some()), &[0]),
        ("a.norm", Layer::BatchNorm { epsilon, gamma: true, beta: true }, &[1]),
    ]);
    let [gamma, beta, mean, variance] = norm.map(|part| part.to_vec());
    let parameters = Parameters(vec![
        NodeParameters::None,
        NodeParameters::Filter { weights: weights.to_vec(), bias: bias.map(|bias| bias.to_vec()) },
        NodeParameters::BatchNorm { gamma, beta, mean, variance },
    ]);
    let fused = run(&graph, &parameters)?;
    let Filter { weights, bias } = fused.nodes[1].filter.clone().expect("a convolution has a filter");
    Ok((weights, bias))
}

#[test]
fn folded_numbers() {
    // Scales are 2 / sqrt(3.75 + 0.25) = 1 and -3 / sqrt(2 + 0.25) = -2; the output channel is innermost.
    let norm = [[2.0, -3.0], [10.0, 20.0], [1.0, 2.0], [3.75, 2.0]];
    assert_eq!(
        fold([1.0, 2.0, 3.0, 4.0], Some([5.0, 6.0]), norm, 0.25).unwrap(),
        (vec![1.0, -4.0, 3.0, -8.0], vec![14.0, 12.0])
    );
    assert_eq!(
        fold([1.0, 2.0, 3.0, 4.0], None, norm, 0.25).unwrap(),
        (vec![1.0, -4.0, 3.0, -8.0], vec![9.0, 24.0])
    );
}

/// An f32 above 0 as a whole number times a power of two.
fn exactly(x: f32) -> (u128, i32) {
    let (bits, bias) = (x.to_bits(), 150);
    assert!(x.is_normal() && 0.0 < x);
    (u128::from(bits & 0x7f_ffff | 0x80_0000), (bits >> 23) as i32 - bias)
}

/// How a 2^i and b 2^j compare.
fn compare((a, i): (u128, i32), (b, j): (u128, i32)) -> std::cmp::Ordering {
    let shift = |x: u128, by: i32| x.checked_mul(1 << by.max(0)).expect("the numbers are of one size");
    shift(a, i - j).cmp(&shift(b, j - i))
}

/// A folded weight is the f32 nearest to weight gamma / sqrt(variance + epsilon), by whole numbers: squared, and with the
/// variance and epsilon multiples of 2^-10, both sides of the comparison are. Rounded to f32 at each step, it often isn't.
#[test]
fn rounded_once() {
    let mut n_differs_from_f32 = 0;
    for step in 1..200u16 {
        let (gamma, weight) = (0.3 + f32::from(step) / 7.0, 1.1 / f32::from(step));
        let (unit, n_units) = (f32::powi(2.0, -10), 1 + 97 * step);
        let variance = f32::from(n_units - 1) * unit;
        let norm = [[gamma; 2], [0.0; 2], [0.0; 2], [variance; 2]];
        let (weights, _) = fold([weight; 4], None, norm, f64::from(unit)).unwrap();
        assert_eq!(weights, [weights[0]; 4]);
        let (folded, w, g) = (exactly(weights[0]), exactly(weight), exactly(gamma));
        let product = ((w.0 * g.0).pow(2), 2 * (w.1 + g.1));
        // Half a unit of its last place below and above, times sqrt(variance + epsilon).
        let edge = |doubled: u128| (doubled.pow(2) * u128::from(n_units), 2 * (folded.1 - 1) - 10);
        assert!(compare(edge(2 * folded.0 - 1), product).is_lt(), "{weight} {gamma} {variance}: too large");
        assert!(compare(product, edge(2 * folded.0 + 1)).is_lt(), "{weight} {gamma} {variance}: too small");
        n_differs_from_f32 += usize::from(weights[0] != weight * (gamma / (variance + unit).sqrt()));
    }
    assert!(20 < n_differs_from_f32, "{n_differs_from_f32} of 199 differ");
}

/// Where the source was folded before it was written, its weights come back to the bit.
#[test]
fn identity_norms_change_nothing() {
    for epsilon in [1e-3, 1e-5] {
        let variance = (1.0 - epsilon) as f32;
        for step in 0..2_000u32 {
            // All of the significand's range, near its ends as well: the relative step of an f32 varies by two.
            let weight = f32::from_bits(0x3f80_0000 + step * 4194) * if step % 2 == 0 { 1.0 } else { -1e-3 };
            let norm = [[1.0; 2], [weight, -0.0], [0.0; 2], [variance; 2]];
            let (weights, bias) = fold([weight; 4], None, norm, epsilon).unwrap();
            assert!(weights.iter().chain(&bias[..1]).all(|x| x.to_bits() == weight.to_bits()), "{weight}");
            assert_eq!(bias[1].to_bits(), (-0.0f32).to_bits());
        }
    }
}

#[test]
fn folded_numbers_must_be_finite() {
    let check = |norm: [[f32; 2]; 4], epsilon: f64, expected: &str| {
        let error = fold([1.0, 2.0, 3.0, 2e38], None, norm, epsilon).unwrap_err();
        assert_eq!(error.to_string(), expected);
    };
    check(
        [[1.0, 2.0], [0.0; 2], [0.0; 2], [1.0; 2]],
        0.0,
        "a.norm: folded weight of channel 1 is inf, expected a finite f32 (gamma 2, beta 0, mean 0, variance 1, epsilon 0)",
    );
    check(
        [[1.0, 1.0], [0.0; 2], [0.0; 2], [0.0, 1.0]],
        0.0,
        "a.norm: folded bias of channel 0 is NaN, expected a finite f32 (gamma 1, beta 0, mean 0, variance 0, epsilon 0)",
    );
}

#[test]
fn whole_networks() {
    for builtin in crate::describe::BUILTIN {
        let description: Description = builtin.description();
        for alpha in [0.25, 1.0] {
            let graph = Graph::build(&description, &Knobs { alpha, resolution: None }).unwrap();
            let fused = run(&graph, &Parameters::random(&graph, 1)).unwrap();
            let is_layer =
                |node: &&Node| !matches!(node.layer, Layer::BatchNorm { .. } | Layer::Activation(_));
            let layers: Vec<&str> =
                graph.nodes.iter().filter(is_layer).map(|node| node.name.as_str()).collect();
            let parts = fused.nodes.iter().flat_map(|node| [Some(&node.name), node.residual.as_ref()]);
            let names: Vec<&str> = parts.flatten().map(String::as_str).collect();
            assert_eq!(names, layers, "{}", graph.name);
            // The blocks' additions: all of them.
            assert!(fused.nodes.iter().all(|node| node.layer != Layer::Add), "{}", graph.name);
            let n_layers: usize = description.layers.iter().map(|layer| layer.n_layers()).sum();
            assert!(layers.len() <= 1 + n_layers, "{}", graph.name);
        }
    }
}

/// A network that ends earlier computes what the whole one computes there, without what it doesn't need.
#[test]
fn a_cut_network_returns_that_layer() {
    let toml = "name = \"net\"\nclasses = 3\ninput = { height = 6, width = 5, channels = 8 }\n\
        [[layer]]\nname = \"a\"\nkind = \"pointwise\"\nfilters = 8\n\
        [[layer]]\nname = \"b\"\nkind = \"depthwise\"\n\
        [[layer]]\nname = \"c\"\nkind = \"add\"\nfrom = \"input\"\n\
        [[layer]]\nname = \"d\"\nkind = \"add\"\nfrom = \"a\"\n";
    let description = Description::parse(toml, "net.toml").unwrap();
    let graph = Graph::build(&description, &Knobs::default()).unwrap();
    let fused = run(&graph, &Parameters::random(&graph, 1)).unwrap();
    let input: Vec<f32> = (0..graph.input_shape().len()).map(|idx| idx as f32 / 7.0 - 4.0).collect();
    let whole = crate::reference::run(&fused, &input);
    for (idx, value) in whole.iter().enumerate().skip(1) {
        let cut = fused.cut(FusedId(idx));
        cut.verify();
        assert_eq!(cut.nodes.len(), idx + 1, "{} needs all before it", fused.nodes[idx].name);
        assert_eq!(&crate::reference::output(&cut, &input), value);
    }
    // Nothing behind the input is needed for a layer that reads the input alone.
    let mut bypassed = fused;
    bypassed.nodes[3].inputs = vec![FusedId(0), FusedId(0)];
    assert_eq!(bypassed.cut(FusedId(3)).nodes.len(), 2);
}
