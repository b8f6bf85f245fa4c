//! One suite for every kernel family: the interpreter of its code against `reference`, bit for bit, for sizes around each
//! edge of the tile.

mod integer;

use super::*;
use crate::describe::{Padding, Sides, Slide};
use crate::graph::layer::{Activation, Flatten, Layer, Pooling};
use crate::graph::shape::{Axis, Window};
use crate::graph::tensor::Tensor;
use crate::graph::{Graph, Knobs};
use crate::passes::{Filter, Fused, FusedId, FusedNode};
use crate::plan::Plan;
use crate::program::Program;
use crate::random::Random;
use crate::reference;
use crate::schedule::tuning::candidates;
use crate::schedule::{Schedule, Share, Stage, Work};
use crate::target::{ISAS, X86_64_V3};
use crate::weights::Parameters;

/// A reproducible stream of values in -1..1.
fn noise(seed: u64, len: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        })
        .collect()
}

fn shape(height: usize, width: usize, channels: usize) -> Shape {
    Shape { height, width, channels }
}

/// A layer by itself, and the same layer behind a pointwise one, where its input is padded and not the caller's; both run
/// in the interpreter for every instruction set.
fn check(input: Shape, output: Shape, layer: &Layer, activation: Activation) {
    // Sums of a size that a ReLU6 sets half to 0 and some to 6.
    let scale = |fan_in: usize| 18.0 / (fan_in as f32).sqrt();
    let node = |name: &str, layer: &Layer, activation, inputs: &[usize], shape: Shape| FusedNode {
        name: name.to_owned(),
        layer: layer.clone(),
        filter: inputs.first().and_then(|_| layer.filter(input)).map(|filter| Filter {
            weights: noise(1, filter.n_weights()).iter().map(|w| w * scale(filter.fan_in())).collect(),
            bias: noise(2, filter.n),
        }),
        activation,
        residual: None,
        inputs: inputs.iter().map(|id| FusedId(*id)).collect(),
        tensor: Tensor::f32(shape),
        bytes: None,
        scales: Vec::new(),
        integer: None,
    };
    let arity = if matches!(layer, Layer::Add | Layer::Multiply) { 2 } else { 1 };
    let before = Layer::Conv { window: Window::POINTWISE, n: input.channels, bias: true };
    let first = || node("input", &Layer::Input, Activation::None, &[], input);
    let alone = vec![first(), node("layer", layer, activation, &vec![0; arity], output)];
    let behind = vec![
        first(),
        node("before", &before, Activation::None, &[0], input),
        node("layer", layer, activation, &[1, 0][..arity], output),
    ];
    for nodes in [alone, behind] {
        check_nodes(nodes);
    }
}

/// A network of these nodes, the last of which it returns.
fn check_nodes(nodes: Vec<FusedNode>) {
    let outputs = vec![FusedId(nodes.len() - 1)];
    let network = Fused { nodes, outputs, output_names: vec!["output".to_owned()], byte_input: None };
    let (input, last) = (network.nodes[0].shape(), &network.nodes[network.outputs[0].0]);
    let x = noise(3, input.len());
    let expected = reference::output(&network, &x);
    for isa in ISAS {
        for split in [Split::Whole, Split::Rows(3), Split::Channels(2)] {
            let mut schedule = Schedule::build(&network, isa);
            for step in &mut schedule.steps {
                if let Work::Layer { share, .. } = &mut step.work {
                    *share = Share::Alone(split);
                }
            }
            let program = Program::build(&Plan::build(schedule), &network);
            let found = program.interpret(&x).unwrap_or_else(|violation| panic!("{}: {violation}", isa.name));
            let same = found.iter().zip(&expected).all(|(a, b)| a.to_bits() == b.to_bits());
            let case = || format!("{} {split:?} {input} -> {}: {:?}", isa.name, last.shape(), last.layer);
            assert!(same && found.len() == expected.len(), "{}", case());
        }
    }
}

/// Every pixel of a map times one pixel, whichever of the two comes first; the map is the caller's input, or padded.
#[test]
fn gates() {
    for (height, width, channels) in [(1, 1, 5), (1, 2, 1), (2, 3, 9), (7, 7, 32), (3, 1, 65)] {
        let (map, gate) = (shape(height, width, channels), shape(1, 1, channels));
        let node = |name: &str, layer: Layer, inputs: &[usize], shape: Shape| FusedNode {
            name: name.to_owned(),
            layer,
            filter: None,
            activation: if inputs.len() == 2 { Activation::Relu6 } else { Activation::None },
            residual: None,
            inputs: inputs.iter().map(|id| FusedId(*id)).collect(),
            tensor: Tensor::f32(shape),
            bytes: None,
            scales: Vec::new(),
            integer: None,
        };
        for (operand, order) in [(0, [0, 2]), (0, [2, 0]), (1, [1, 2]), (1, [2, 1])] {
            check_nodes(vec![
                node("input", Layer::Input, &[], map),
                node("double", Layer::Add, &[0, 0], map),
                node("gate", Layer::GlobalAveragePool, &[operand], gate),
                node("product", Layer::Multiply, &order, map),
            ]);
        }
    }
}

fn windows() -> Vec<Window> {
    let mut windows = Vec::new();
    for kernel in [1, 2, 3, 5, 7] {
        for stride in [1, 2] {
            for (before, after) in
                [(0, 0), (kernel / 2, kernel / 2), ((kernel - 1) / 2, kernel / 2), (0, kernel / 2)]
            {
                let axis = Axis { kernel, stride, dilation: 1, before, after };
                windows.push(Window { rows: axis, columns: axis });
            }
        }
    }
    windows
}

/// A standard and a depthwise convolution of a window, where the map is large enough.
fn check_window(window: Window, input: Shape, n: usize) {
    let Some((height, width)) = window.output(input.height, input.width) else {
        return;
    };
    let conv = Layer::Conv { window, n, bias: true };
    check(input, shape(height, width, n), &conv, Activation::Relu);
    let depthwise = Layer::Depthwise { window, bias: true };
    check(input, shape(height, width, input.channels), &depthwise, Activation::Relu6);
}

#[test]
fn pointwise() {
    for pixels in [1, 5, 6, 7, 8, 15] {
        for (m, n) in [(1, 1), (3, 8), (8, 9), (17, 12), (33, 25)] {
            for activation in Activation::ALL {
                let layer = Layer::Conv { window: Window::POINTWISE, n, bias: true };
                check(shape(1, pixels, m), shape(1, pixels, n), &layer, activation);
            }
        }
    }
}

#[test]
fn conv_and_depthwise() {
    for window in windows() {
        for (height, width, m, n) in [(1, 1, 1, 1), (5, 4, 3, 8), (9, 14, 8, 5), (3, 31, 5, 13)] {
            check_window(window, shape(height, width, m), n);
        }
    }
}

/// The last vector has room for two pixels, of even and of odd numbers of them, or just not.
#[test]
fn pixels_that_share_a_vector() {
    let mut random = Random::new(8);
    for n in [3, 8, 9, 23, 24, 25, 38, 40, 56, 72, 88, 120] {
        for pixels in [1, 2, 3, 14, 15, 28, 29, 31] {
            let layer = Layer::Conv { window: Window::POINTWISE, n, bias: true };
            let m = random.pick(&[1, 7, 16, 17, 35]);
            check(shape(1, pixels, m), shape(1, pixels, n), &layer, random.pick(&Activation::ALL));
        }
    }
}

/// Several panels of chains, the last one narrow, over one pixel.
#[test]
fn pointwise_over_one_pixel() {
    for (m, n) in [(1, 193), (9, 200), (33, 391)] {
        let layer = Layer::Conv { window: Window::POINTWISE, n, bias: true };
        check(shape(1, 1, m), shape(1, 1, n), &layer, Activation::HardSwish);
    }
}

/// Steps of every number of rows that a depthwise kernel can be told to take, over random windows, maps and parts.
#[test]
fn depthwise_steps() {
    let mut random = Random::new(11);
    let mut n_of_rows = [0; 5];
    while n_of_rows[2..].iter().any(|n| *n < 250) {
        let mut axis = || {
            let kernel = random.within(1, 9);
            let dilation = if random.percent(25) { random.within(2, 3) } else { 1 };
            let (before, after) = (random.within(0, kernel + 1), random.within(0, kernel + 1));
            Axis { kernel, stride: random.within(1, 4), dilation, before, after }
        };
        let window = Window { rows: axis(), columns: axis() };
        let input = shape(random.within(1, 19), random.within(1, 17), random.within(1, 40));
        let Some((height, width)) = window.output(input.height, input.width) else { continue };
        let layer = Layer::Depthwise { window, bias: true };
        let n = input.channels;
        let filter = Filter { weights: noise(1, window.taps() * n), bias: noise(2, n) };
        let node = |layer: Layer, filter, inputs: Vec<FusedId>, shape: Shape| FusedNode {
            name: format!("{layer:?}"),
            layer,
            filter,
            activation: Activation::None,
            residual: None,
            inputs,
            tensor: Tensor::f32(shape),
            bytes: None,
            scales: Vec::new(),
            integer: None,
        };
        let output = shape(height, width, n);
        let last = node(layer, Some(filter), vec![FusedId(0)], output);
        let nodes = vec![node(Layer::Input, None, Vec::new(), input), last];
        let network = Fused {
            nodes,
            outputs: vec![FusedId(1)],
            output_names: vec!["output".to_owned()],
            byte_input: None,
        };
        let x = noise(3, input.len());
        let expected = reference::output(&network, &x);
        let isa = random.pick(ISAS);
        let mut schedule = Schedule::build(&network, isa);
        let parts = random.within(1, 5);
        let forced = schedule.steps.iter_mut().find_map(|step| match &mut step.work {
            Work::Layer { stage, share } => {
                *share = Share::Alone(random.pick(&[Split::Rows(parts), Split::Channels(parts)]));
                let Kernel::Depthwise(kernel) = &mut stage.kernel else { panic!("{:?}", stage.kernel) };
                let rows = random.within(2, 4);
                let most = kernel.most_pixels(rows, isa);
                (most != 0).then(|| {
                    (kernel.rows, kernel.pixels) = (rows, random.within(1, most));
                    *kernel
                })
            }
            Work::Chain(_) | Work::Copy(_) => None,
        });
        let Some(kernel) = forced else { continue };
        n_of_rows[kernel.rows] += 1;
        let program = Program::build(&Plan::build(schedule), &network);
        let found = program.interpret(&x).unwrap_or_else(|violation| panic!("{kernel:?}: {violation}"));
        let same = found.iter().zip(&expected).all(|(a, b)| a.to_bits() == b.to_bits());
        assert!(same && found.len() == expected.len(), "{} {kernel:?} in {parts} parts", isa.name);
    }
}

/// Rows that become fewer until one pixel is left: a run of which some are in bands.
#[test]
fn a_run_may_end_with_one_pixel() {
    static SMALL_CACHES: Isa = Isa { l1_bytes: 1 << 10, l2_bytes: 6 << 10, ..X86_64_V3 };
    let node = |name: String, layer: Layer, input: Option<(usize, Shape)>, output: Shape| FusedNode {
        name,
        filter: input
            .and_then(|(_, shape)| layer.filter(shape))
            .map(|filter| Filter { weights: noise(1, filter.n_weights()), bias: noise(2, filter.n) }),
        layer,
        activation: Activation::None,
        residual: None,
        inputs: input.into_iter().map(|(id, _)| FusedId(id)).collect(),
        tensor: Tensor::f32(output),
        bytes: None,
        scales: Vec::new(),
        integer: None,
    };
    let mut map = shape(16, 16, 8);
    let mut nodes = vec![node("input".to_owned(), Layer::Input, None, map)];
    for (idx, stride) in [1, 2, 2, 2, 2].into_iter().enumerate() {
        let window = Window::resolve(Slide::square(3, stride), Padding::Same, (map.height, map.width));
        let (height, width) = window.output(map.height, map.width).unwrap();
        let output = shape(height, width, 8);
        let depthwise = Layer::Depthwise { window, bias: true };
        nodes.push(node(format!("dw_{idx}"), depthwise, Some((idx, map)), output));
        map = output;
    }
    for idx in 5..7 {
        let pointwise = Layer::Conv { window: Window::POINTWISE, n: 8, bias: true };
        nodes.push(node(format!("pw_{idx}"), pointwise, Some((idx, map)), map));
    }
    let outputs = vec![FusedId(nodes.len() - 1)];
    let network = Fused { nodes, outputs, output_names: vec!["output".to_owned()], byte_input: None };
    let schedule = Schedule::build(&network, &SMALL_CACHES);
    let last = schedule.steps[schedule.steps.len() - 1].kernels();
    assert!(schedule.steps[0].chain().is_some() && matches!(last[..], [Kernel::Dense(_)]), "{last:?}");
    let x = noise(3, network.nodes[0].shape().len());
    let found = Program::build(&Plan::build(schedule), &network).interpret(&x).unwrap();
    assert_eq!(found, reference::output(&network, &x));
}

/// Kernels that aren't square, large steps, distant taps, uneven padding.
#[test]
fn unusual_windows() {
    let mut random = Random::new(3);
    for _ in 0..mnc_need::n_seeds(150) {
        let axis = |random: &mut Random| {
            let (kernel, dilation) = (random.within(1, 11), random.pick(&[1, 1, 2, 3]));
            let [before, after] = [0; 2].map(|_| {
                let most = random.pick(&[0, 1, kernel]);
                random.within(0, most)
            });
            Axis { kernel, stride: random.within(1, 4), dilation, before, after }
        };
        let window = Window { rows: axis(&mut random), columns: axis(&mut random) };
        let input = shape(random.within(1, 22), random.within(1, 30), random.within(1, 11));
        check_window(window, input, random.within(1, 20));
    }
}

/// Groups narrower than a vector, as wide, wider, and such that begin in the middle of one.
#[test]
fn groups() {
    let mut random = Random::new(5);
    for n in [1, 2, 3, 4, 5, 7, 8, 9, 13, 16, 17, 24, 40] {
        for groups in [1, 2, 3, 5, 8] {
            let m = random.pick(&[1, 1, 2, 3, 5]);
            let window = random.pick(&[Slide::square(3, 1), Slide::square(5, 2), Slide::POINTWISE]);
            let padding = random.pick(&[Padding::Same, Padding::Valid, Padding::Symmetric]);
            let input = shape(random.within(5, 9), random.within(5, 15), m * groups);
            let window = Window::resolve(window, padding, (input.height, input.width));
            let (height, width) = window.output(input.height, input.width).unwrap();
            let layer = Layer::Grouped { window, n: n * groups, groups, bias: true };
            check(input, shape(height, width, n * groups), &layer, random.pick(&Activation::ALL));
        }
    }
}

/// Every activation behind tiles that leave few registers, and many.
#[test]
fn activations() {
    for activation in Activation::ALL {
        for d_k in [1, 3, 7] {
            let window = Window::resolve(Slide::square(d_k, 1), Padding::Same, (5, 9));
            for channels in [1, 19, 48] {
                let input = shape(5, 9, channels);
                check(input, input, &Layer::Depthwise { window, bias: true }, activation);
                // What follows the sums doesn't depend on how many they are of.
                if d_k < 7 {
                    check(input, input, &Layer::Conv { window, n: channels, bias: true }, activation);
                }
            }
        }
        let input = shape(2, 3, 37);
        check(input, input, &Layer::Add, activation);
        check(
            input,
            shape(1, 1, 101),
            &Layer::Dense { n: 101, flatten: Flatten::Hwc, bias: true },
            activation,
        );
    }
}

/// Every window, with and without padding; numbers that a maximum or a proof of it could lose are among the inputs of random
/// networks.
#[test]
fn window_pools() {
    for window in windows() {
        for (height, width, channels) in [(1, 1, 1), (5, 4, 3), (9, 14, 8), (3, 31, 13)] {
            let input = shape(height, width, channels);
            for pooling in [
                Pooling::Max,
                Pooling::Average { counts_padding: false },
                Pooling::Average { counts_padding: true },
            ] {
                let layer = Layer::Pool { pooling, window };
                // A window with nothing under it is refused.
                if let Ok(output) = layer.output_shape(&[input]) {
                    check(input, output, &layer, Activation::None);
                }
            }
        }
    }
}

/// A map that is added to the sums: the caller's input, another layer's output, or the convolution's own input.
#[test]
fn residuals() {
    let leaky = Activation::leaky_relu(0.25).unwrap();
    for (height, width, channels) in
        [(1, 1, 1), (1, 5, 8), (3, 7, 16), (5, 5, 24), (2, 9, 33), (4, 7, 40), (7, 7, 65)]
    {
        let map = shape(height, width, channels);
        let pointwise = Layer::Conv { window: Window::POINTWISE, n: channels, bias: true };
        let filter = |seed| Filter {
            weights: noise(seed, channels * channels).iter().map(|w| w * 2.0).collect(),
            bias: noise(seed + 1, channels),
        };
        let node = |name: &str, activation, inputs: &[usize]| FusedNode {
            name: name.to_owned(),
            layer: if inputs.is_empty() { Layer::Input } else { pointwise.clone() },
            filter: inputs.first().map(|_| filter(name.len() as u64)),
            activation,
            residual: (inputs.len() == 2).then(|| format!("{name}_add")),
            inputs: inputs.iter().map(|id| FusedId(*id)).collect(),
            tensor: Tensor::f32(map),
            bytes: None,
            scales: Vec::new(),
            integer: None,
        };
        for activation in
            [Activation::None, Activation::Relu6, Activation::HardSwish, Activation::Swish, leaky]
        {
            for inputs in [[1, 0], [1, 1], [0, 1], [0, 0]] {
                check_nodes(vec![
                    node("input", Activation::None, &[]),
                    node("before", Activation::Relu, &[0]),
                    node("sum", activation, &inputs),
                ]);
            }
        }
    }
}

/// Channels begin anywhere in a vector; the maps are the caller's input or padded, and one of them may come twice.
#[test]
fn concats_and_upsamples() {
    let node = |name: &str, layer: Layer, inputs: &[usize], shape: Shape| FusedNode {
        name: name.to_owned(),
        layer,
        filter: None,
        activation: Activation::None,
        residual: None,
        inputs: inputs.iter().map(|id| FusedId(*id)).collect(),
        tensor: Tensor::f32(shape),
        bytes: None,
        scales: Vec::new(),
        integer: None,
    };
    for (height, width, channels) in [(1, 1, 1), (2, 3, 3), (3, 1, 8), (1, 7, 13), (5, 4, 17), (2, 2, 32)] {
        let map = shape(height, width, channels);
        for inputs in [&[0, 1][..], &[1, 0, 1], &[0, 0], &[1, 1, 1, 0, 1, 0, 0, 1]] {
            let joined = shape(height, width, channels * inputs.len());
            let nodes = vec![
                node("input", Layer::Input, &[], map),
                node("double", Layer::Add, &[0, 0], map),
                node("joined", Layer::Concat, inputs, joined),
                // Reads whole vectors of it.
                node("square", Layer::Multiply, &[2, 2], joined),
            ];
            check_nodes(nodes[..3].to_vec());
            check_nodes(nodes);
        }
        for factor in [2, 3, 16] {
            let larger = shape(height * factor, width * factor, channels);
            check(map, larger, &Layer::Upsample { factor }, Activation::None);
        }
    }
}

#[test]
fn dense_pool_pairs_softmax() {
    for (height, width, channels) in [(1, 1, 1), (1, 1, 70), (2, 3, 5), (7, 7, 33), (1, 1, 129)] {
        let input = shape(height, width, channels);
        check(input, shape(1, 1, channels), &Layer::GlobalAveragePool, Activation::None);
        check(input, input, &Layer::Add, Activation::Relu);
        check(input, input, &Layer::Multiply, Activation::Relu6);
        check(input, input, &Layer::Softmax, Activation::None);
        for n in [1, 4, 49, 101] {
            check(
                input,
                shape(1, 1, n),
                &Layer::Dense { n, flatten: Flatten::Hwc, bias: true },
                Activation::None,
            );
        }
    }
}

/// Every kernel of the built-in networks, and whatever else a schedule may be told to take for it.
#[test]
fn names_are_parsed_back() {
    let check = |name: &KernelName| assert_eq!(name.to_string().parse().as_ref(), Ok(name));
    let mut families = [false; 16];
    for network in crate::describe::BUILTIN {
        let knobs = Knobs { alpha: 0.5, resolution: None };
        let graph = Graph::build(&network.description(), &knobs).unwrap();
        let fused = crate::passes::run(&graph, &Parameters::random(&graph, 1)).unwrap();
        for isa in ISAS {
            for step in Schedule::build(&fused, isa).steps {
                for kernel in step.kernels() {
                    let name = kernel.name(isa);
                    check(&name);
                    candidates(kernel, isa).iter().for_each(check);
                    for activation in Activation::ALL {
                        check(&KernelName { activation, ..name.clone() });
                    }
                    families[family_idx(name.family)] = true;
                }
            }
        }
    }
    let slide = Slide {
        kernel: Sides { rows: 10, columns: 4 },
        stride: Sides { rows: 2, columns: 1 },
        dilation: Sides { rows: 1, columns: 3 },
    };
    for slide in [slide, Slide { dilation: Sides::square(2), ..Slide::square(3, 1) }] {
        for family in [Family::Conv(slide), Family::Depthwise(slide), Family::Grouped(slide)] {
            let tile = NamedTile::row(1, 16);
            check(&KernelName {
                dtype: Dtype::F32,
                family,
                tile,
                activation: Activation::None,
                isa: "neon".to_owned(),
            });
            families[family_idx(family)] = true;
        }
    }
    // What no built-in network has.
    let tile = NamedTile::row(1, 16);
    let slide = Window::POINTWISE.slide();
    let pools = [Family::MaxPool(slide), Family::AveragePool(slide)];
    for family in Family::WINDOWLESS.into_iter().chain(pools) {
        let name = KernelName {
            dtype: Dtype::F32,
            family,
            tile,
            activation: Activation::Relu,
            isa: "neon".to_owned(),
        };
        check(&name);
        families[family_idx(family)] = true;
    }
    assert_eq!(families, [true; 16]);
}

fn family_idx(family: Family) -> usize {
    match family {
        Family::Conv(_) => 0,
        Family::Depthwise(_) => 1,
        Family::Pointwise => 2,
        Family::Dense => 3,
        Family::GlobalAveragePool => 4,
        Family::Elementwise(Operation::Add) => 5,
        Family::Elementwise(Operation::Multiply) => 8,
        Family::Concat => 9,
        Family::Upsample => 10,
        Family::MaxPool(_) => 11,
        Family::AveragePool(_) => 12,
        Family::Softmax => 6,
        Family::Copy => 7,
        Family::Grouped(_) => 13,
        Family::PointwiseAdd => 14,
        Family::Quantise => 15,
    }
}

#[test]
fn what_is_no_name_is_refused() {
    for (text, missing) in [
        ("f32_einsum_6x16_fma3", "known family"),
        ("f16_pointwise_6x16_fma3", "dtype"),
        ("", "dtype"),
        ("f32", "family"),
        ("f32_pointwise", "tile"),
        ("f32_pointwise_6_fma3", "tile"),
        ("f32_pointwise_6x_fma3", "tile"),
        ("f32_conv_3x3_6x16_fma3", "stride"),
        ("f32_depthwise_xs1_6x16_fma3", "kernel side"),
        ("f32_pointwise_6x16_relu6", "instruction set"),
        ("f32_pointwise_6x99999999999999999999_fma3", "tile"),
    ] {
        let expected = Err(format!("kernel name {text:?} has no {missing}"));
        assert_eq!(text.parse::<KernelName>(), expected);
    }
}
