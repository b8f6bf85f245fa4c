//! Layers in integers: random networks of them, in the interpreter of every instruction set, against `reference`.

use super::*;
use crate::passes::{ByteInput, Bytes};
use crate::quantize::sample::integers;
use crate::quantize::with_numbers;

/// A node without numbers.
fn node(name: &str, layer: Layer, inputs: Vec<FusedId>, shape: Shape) -> FusedNode {
    FusedNode {
        name: name.to_owned(),
        layer,
        filter: None,
        activation: Activation::None,
        residual: None,
        inputs,
        tensor: Tensor { shape, dtype: Dtype::U8 },
        bytes: None,
        scales: Vec::new(),
        integer: None,
    }
}

fn random_window(random: &mut Random) -> Window {
    let mut axis = || {
        let kernel = random.within(1, 5);
        let dilation = if random.percent(20) { 2 } else { 1 };
        let (before, after) = (random.within(0, kernel), random.within(0, kernel));
        Axis { kernel, stride: random.within(1, 3), dilation, before, after }
    };
    Window { rows: axis(), columns: axis() }
}

fn random_layer(random: &mut Random, input: Shape) -> Layer {
    let window = random_window(random);
    let n = random.within(1, 70);
    match random.within(0, 9) {
        0..=2 => Layer::Conv { window: Window::POINTWISE, n, bias: true },
        3..=4 if window.output(input.height, input.width).is_some() => Layer::Conv { window, n, bias: true },
        5..=7 if window.output(input.height, input.width).is_some() => {
            Layer::Depthwise { window, bias: true }
        }
        8 => Layer::GlobalAveragePool,
        _ => Layer::Dense { n, flatten: Flatten::Hwc, bias: true },
    }
}

/// A layer over the last node, and over an earlier one where it takes two.
fn random_node(random: &mut Random, nodes: &[FusedNode]) -> FusedNode {
    let last = FusedId(nodes.len() - 1);
    let shape_of = |id: &FusedId| nodes[id.0].shape();
    let name = format!("layer_{}", nodes.len());
    let earlier = |is_such: &dyn Fn(Shape) -> bool| -> Vec<FusedId> {
        (1..last.0).map(FusedId).filter(|id| is_such(shape_of(id))).collect()
    };
    let shape = shape_of(&last);
    if 0 < last.0 && random.percent(30) {
        return kept(random, nodes, &name);
    }
    if random.percent(40) {
        let same_extent = |other: Shape| (other.height, other.width) == (shape.height, shape.width);
        let residuals = earlier(&same_extent);
        let operands = earlier(&|other| other == shape);
        let gates = earlier(&|other| other.pixels() == 1 && other.channels == shape.channels);
        match random.within(0, 2) {
            0 if !residuals.is_empty() => {
                let residual = random.pick(&residuals);
                let output = shape_of(&residual);
                let layer = Layer::Conv { window: Window::POINTWISE, n: output.channels, bias: true };
                let conv = node(&name, layer, vec![last, residual], output);
                return FusedNode { residual: Some(format!("{name}_add")), ..conv };
            }
            1 if !operands.is_empty() => {
                return node(&name, Layer::Add, vec![last, random.pick(&operands)], shape);
            }
            2 if 1 < last.0 => {
                let others = [operands, gates].concat();
                if !others.is_empty() {
                    let mut inputs = vec![last, random.pick(&others)];
                    if random.percent(50) {
                        inputs.reverse();
                    }
                    return node(&name, Layer::Multiply, inputs, shape);
                }
            }
            _ => {}
        }
    }
    let layer = random_layer(random, shape);
    let output = layer.output_shape(&[shape]).unwrap();
    node(&name, layer, vec![last], output)
}

/// A layer over the last node that keeps what bytes stand for, or one that joins it with earlier ones.
fn kept(random: &mut Random, nodes: &[FusedNode], name: &str) -> FusedNode {
    let last = FusedId(nodes.len() - 1);
    let of = |id: &FusedId| {
        let node = &nodes[id.0];
        (node.shape().height, node.shape().width, node.bytes.map(|bytes| bytes.zero_point))
    };
    let kernel = random.within(1, 4);
    let axis =
        Axis { kernel, stride: random.within(1, 2), dilation: 1, before: kernel - 1, after: kernel / 2 };
    let window = Window { rows: axis, columns: Axis { stride: random.within(1, 2), ..axis } };
    let joinable: Vec<FusedId> = (1..=last.0).map(FusedId).filter(|id| of(id) == of(&last)).collect();
    let (layer, inputs) = match random.within(0, 4) {
        0 => (Layer::Upsample { factor: random.within(2, 3) }, vec![last]),
        1 => (Layer::Pool { pooling: Pooling::Max, window }, vec![last]),
        2 => {
            let pooling = Pooling::Average { counts_padding: random.percent(50) };
            (Layer::Pool { pooling, window }, vec![last])
        }
        _ => {
            let mut others: Vec<FusedId> = (0..random.within(0, 3)).map(|_| random.pick(&joinable)).collect();
            others.insert(random.within(0, others.len()), last);
            (Layer::Concat, others)
        }
    };
    let shapes: Vec<Shape> = inputs.iter().map(|id| nodes[id.0].shape()).collect();
    let output = layer.output_shape(&shapes).expect("each window has a tap inside of the map");
    node(name, layer, inputs, output)
}

/// The gate of a squeeze-and-excite block: the last node's mean, by which that is multiplied.
fn gated(random: &mut Random, nodes: &mut Vec<FusedNode>) {
    let id = FusedId(nodes.len() - 1);
    let map = nodes[id.0].shape();
    let gate = node("mean", Layer::GlobalAveragePool, vec![id], shape(1, 1, map.channels));
    nodes.push(integers(random, &gate, &[&nodes[id.0]], (false, None)));
    let product = node("gated", Layer::Multiply, vec![id, FusedId(nodes.len() - 1)], map);
    nodes.push(integers(random, &product, &[&nodes[id.0], &nodes[id.0 + 1]], (false, None)));
}

fn random_network(random: &mut Random) -> Fused {
    let channels = random.pick(&[1, 2, 3, 3, 4, 5, 8, 16, 17, 31, 40]);
    let mut nodes = vec![input_node(shape(random.within(1, 12), random.within(1, 12), channels))];
    let n_layers = random.within(1, 5);
    for idx in 1..=n_layers {
        let node = random_node(random, &nodes);
        let is_last = idx == n_layers;
        let inputs: Vec<&FusedNode> = node.inputs.iter().map(|id| &nodes[id.0]).collect();
        let has_bytes = !is_last || node.adds() || node.layer.keeps_scales();
        let made = integers(random, &node, &inputs, (!has_bytes, None));
        nodes.push(made);
        if !is_last && random.percent(15) {
            gated(random, &mut nodes);
        }
    }
    finished(random, nodes)
}

fn input_node(shape: Shape) -> FusedNode {
    let bytes = Bytes { scale: 1.0, zero_point: 0, low: 0, high: 255 };
    FusedNode { bytes: Some(bytes), ..node("input", Layer::Input, Vec::new(), shape) }
}

/// The network of such nodes, of which the last is the output.
fn finished(random: &mut Random, nodes: Vec<FusedNode>) -> Fused {
    let channels = nodes[0].shape().channels;
    let byte_input = ByteInput {
        scale: (0..channels).map(|_| random.within(60, 140) as f32).collect(),
        offset: (0..channels).map(|_| random.within(0, 255) as f32 + 0.5).collect(),
    };
    let outputs = vec![FusedId(nodes.len() - 1)];
    let network =
        Fused { nodes, outputs, output_names: vec!["output".to_owned()], byte_input: Some(byte_input) };
    let network = with_numbers(&network).unwrap();
    network.verify();
    network
}

/// Whether what an instruction set gives is what the reference gives; on one thread, or in tasks, for one image or several.
fn check_network(random: &mut Random, network: &Fused, case: u64, isa: &'static Isa) -> Schedule {
    let batch = random.pick(&[1, 1, 3]);
    let input_len = network.nodes[0].shape().len();
    let x = noise(case, input_len * batch);
    let expected: Vec<f32> = x.chunks(input_len).flat_map(|x| reference::output(network, x)).collect();
    let mut schedule = Schedule::tuned(network, isa, batch, None);
    let parts = random.within(1, 4);
    for step in &mut schedule.steps {
        if let Work::Layer { stage, share } = &mut step.work {
            if let Kernel::Depthwise(kernel) = &mut stage.kernel
                && random.percent(60)
            {
                *kernel = random_step(random, *kernel, isa);
            }
            *share = Share::Alone(random.pick(&[Split::Whole, Split::Rows(parts), Split::Channels(parts)]));
        }
    }
    let program = Program::build(&Plan::build(schedule.clone()), network);
    let layers: Vec<String> =
        network.nodes.iter().map(|node| format!("{:?} {}", node.layer, node.shape())).collect();
    let found = program
        .interpret(&x)
        .unwrap_or_else(|violation| panic!("case {case}, {}: {violation}\n{layers:#?}", isa.name));
    let same = found.iter().zip(&expected).all(|(a, b)| a.to_bits() == b.to_bits());
    assert!(same && found.len() == expected.len(), "case {case}, {}: {layers:#?}", isa.name);
    schedule
}

/// The kernel in any form and with any step.
fn random_step(random: &mut Random, kernel: Depthwise, isa: &Isa) -> Depthwise {
    let kernel = random.pick(&kernel.in_all_forms(isa));
    let rows: Vec<usize> = (1..=4).filter(|rows| kernel.most_pixels(*rows, isa) != 0).collect();
    let rows = random.pick(&rows);
    let pixels = random.within(1, kernel.most_pixels(rows, isa).min(7));
    Depthwise { rows, pixels, ..kernel }
}

/// Depthwise layers over maps of few channels, in every form.
#[test]
fn pixels_side_by_side() {
    let mut random = Random::new(17);
    let mut n_found = [0u64; 3];
    for case in 0..mnc_need::n_seeds(300) {
        let input = shape(random.within(1, 9), random.within(1, 24), random.within(1, 4));
        let few = random.pick(&[3, 8, 16, 16, 24, 32, 40]);
        let layer = Layer::Conv { window: Window::POINTWISE, n: few, bias: true };
        let mut nodes = vec![input_node(input)];
        let conv = node("conv", layer, vec![FusedId(0)], Shape { channels: few, ..input });
        nodes.push(integers(&mut random, &conv, &[&nodes[0]], (false, None)));
        let window = random_window(&mut random);
        if window.output(input.height, input.width).is_none() {
            continue;
        }
        let layer = Layer::Depthwise { window, bias: true };
        let output = layer.output_shape(&[nodes[1].shape()]).unwrap();
        let depthwise = node("depthwise", layer, vec![FusedId(1)], output);
        nodes.push(integers(&mut random, &depthwise, &[&nodes[1]], (false, None)));
        let network = finished(&mut random, nodes);
        for isa in ISAS.iter().filter(|isa| isa.zips_bytes) {
            let schedule = check_network(&mut random, &network, case, isa);
            for step in &schedule.steps {
                if let Work::Layer { stage: Stage { kernel: Kernel::Depthwise(kernel), .. }, .. } = step.work
                {
                    let stride = kernel.window.columns.stride;
                    match kernel.form {
                        Form::Taps => n_found[0] += 1,
                        Form::Rows(_) => n_found[1] += 1,
                        Form::Flat(_) if stride == 2 => n_found[2] += 1,
                        Form::Flat(_) => {}
                    }
                }
            }
        }
    }
    assert!(n_found.iter().all(|n| mnc_need::n_seeds(10) <= *n), "{n_found:?}");
}

#[test]
fn random_networks_of_integers() {
    let mut random = Random::new(15);
    let (mut n_at_once, mut n_others) = (0, 0);
    for case in 0..mnc_need::n_seeds(400) {
        let network = random_network(&mut random);
        for isa in ISAS {
            check_network(&mut random, &network, case, isa);
        }
        for node in network.nodes.iter().filter(|node| node.integer.is_some()) {
            *if node.mantissas().is_some() { &mut n_at_once } else { &mut n_others } += 1;
        }
    }
    let enough = mnc_need::n_seeds(100);
    assert!(enough < n_at_once && enough < n_others, "{n_at_once} layers round at once, {n_others} don't");
}

/// First layers over the caller's pixels of one to three bytes, of which most need no copy with words at any byte.
#[test]
fn first_layers_read_the_callers_bytes() {
    let mut random = Random::new(16);
    let (mut with_copy, mut without) = (0, 0);
    for case in 0..mnc_need::n_seeds(600) {
        let input = shape(random.within(1, 9), random.within(1, 30), random.within(1, 3));
        let mut nodes = vec![input_node(input)];
        let window = random_window(&mut random);
        let n = random.within(1, 40);
        let layer = match window.output(input.height, input.width) {
            Some(_) => Layer::Conv { window, n, bias: true },
            None => continue,
        };
        let output = layer.output_shape(&[input]).unwrap();
        let conv = node("stem", layer, vec![FusedId(0)], output);
        let has_numbers = random.percent(50);
        nodes.push(integers(&mut random, &conv, &[&nodes[0]], (has_numbers, None)));
        let network = finished(&mut random, nodes);
        for isa in ISAS {
            let schedule = check_network(&mut random, &network, case, isa);
            let is_copied = schedule.values.iter().any(|value| value.name == "input.copy");
            assert!(is_copied || isa.words_at_any_byte, "case {case}, {}: no word begins anywhere", isa.name);
            *if is_copied { &mut with_copy } else { &mut without } += usize::from(isa.words_at_any_byte);
        }
    }
    assert!(with_copy < without && with_copy != 0, "{with_copy} with a copy, {without} without");
}
