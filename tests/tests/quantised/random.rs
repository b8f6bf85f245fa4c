//! Random networks with random integers, signed and unsigned, with zero points: ours against LiteRT's arithmetic in plain loops, which
//! pads with the zero point and knows nothing of borders, orders or copies.

use mnc::describe::Description;
use mnc::graph::layer::{Activation, Flatten, Layer};
use mnc::graph::shape::{Shape, Window};
use mnc::graph::{Graph, Knobs};
use mnc::passes::{self, Fused, FusedNode, is_clamp};
use mnc::passes::{Domain, without_constant_channels};
use mnc::quantize::others;
use mnc::target::{ISAS, X86_64_V3};
use mnc::weights::naming::Naming;
use mnc::weights::{Form, Norms, Weights};
use mnc::{Compiled, Options, reference};
use mnc_runtime::abi::Status;
use mnc_tests::link::Linked;
use mnc_tests::networks::{RandomNetwork, SMALL_CACHES};
use mnc_tests::random::Random;
use mnc_tests::turns::shuffled;
use mnc_tests::{bits, each, need, pool};
use safetensors::Dtype;

use super::{Tensor, Tensors, file};

const N_SEEDS: u64 = 420;
/// Networks of one shared library.
const BATCH: usize = 20;

/// A network with its file.
pub(super) struct Drawn {
    pub(super) seed: u64,
    pub(super) graph: Graph,
    pub(super) shapes: Fused,
    pub(super) tensors: Tensors,
}

impl Drawn {
    pub(super) fn read(&self) -> mnc::Result<Fused> {
        let file = file(&self.tensors);
        others::read(&Weights::parse(&file, "net.safetensors")?, &self.graph, Some(&Naming::PLAIN))
    }

    pub(super) fn fused(&self) -> Fused {
        self.read().unwrap_or_else(|error| panic!("seed {}: {error}", self.seed))
    }
}

/// The network of a seed, if it has nothing but layers that others compute as we do.
pub(super) fn network(seed: u64) -> Option<Drawn> {
    let drawn = if seed.is_multiple_of(8) { RandomNetwork::tall(seed) } else { RandomNetwork::new(seed) };
    let mut description = Description::parse(&drawn.toml, "net.toml").expect("it is legal");
    Form { is_headless: false, norms: Norms::Folded }.apply(&mut description);
    for layer in &mut description.layers {
        // Half of the activations that bytes don't have as bounds would leave few networks.
        if let Some(spec) = layer.kind.spec_mut().filter(|spec| !is_clamp(spec.activation)) {
            spec.activation = [Activation::None, Activation::Relu, Activation::Relu6][seed as usize % 3];
        }
    }
    let graph = Graph::build(&description, &Knobs { alpha: drawn.graph.alpha, resolution: None }).ok()?;
    let shapes = passes::shapes(&graph).ok()?;
    let is_theirs = |node: &FusedNode| {
        let is_known = !matches!(
            node.layer,
            Layer::Pool { .. } | Layer::Concat | Layer::Upsample { .. } | Layer::Multiply | Layer::Softmax
        );
        let adds = node.residual.is_some() || node.layer == Layer::Add;
        let reads_input = node.inputs.iter().any(|id| id.0 == 0);
        let takes_bytes = adds || node.layer == Layer::GlobalAveragePool;
        is_known && is_clamp(node.activation) && !(takes_bytes && reads_input)
    };
    if !shapes.nodes.iter().all(is_theirs) || shapes.outputs.iter().any(|id| id.0 == 0) {
        return None;
    }
    let tensors = draw(&shapes, &mut Random::new(seed));
    Some(Drawn { seed, graph, shapes, tensors })
}

fn value(random: &mut Random, stem: &str, tensors: &mut Tensors) {
    let scale = random.pick(&[0.037, 0.02, 0.07, 0.3]);
    let any = random.within(0, 255) as u8;
    let zero_point = random.pick(&[0, 255, any]);
    let dtype = random.pick(&[Dtype::I8, Dtype::U8]);
    let byte = if dtype == Dtype::I8 { zero_point ^ 0x80 } else { zero_point };
    tensors.insert(format!("{stem}.output_scale"), Tensor::f32s(&[scale]));
    let tensor = Tensor { dtype, shape: random.pick(&[&[][..], &[1]]).to_vec(), bytes: vec![byte] };
    tensors.insert(format!("{stem}.output_zero_point"), tensor);
}

fn draw(shapes: &Fused, random: &mut Random) -> Tensors {
    let mut tensors = Tensors::new();
    value(random, "input", &mut tensors);
    for node in &shapes.nodes[1..] {
        value(random, &node.name, &mut tensors);
        if let Some(sum) = &node.residual {
            value(random, sum, &mut tensors);
        }
        let input = shapes.nodes[node.inputs[0].0].shape();
        let Some(filter) = node.layer.filter(input) else { continue };
        let mut insert = |word: &str, tensor: Tensor| tensors.insert(format!("{}.{word}", node.name), tensor);
        let dtype = random.pick(&[Dtype::I8, Dtype::U8]);
        let n_zeros = random.pick(&[1, filter.n]);
        // Mostly small ones, or all that there are.
        let most = random.pick(&[255, 255, 100]);
        let mut bytes: Vec<u8> = (0..filter.n_weights()).map(|_| random.within(0, most) as u8).collect();
        if dtype == Dtype::I8 {
            bytes.iter_mut().for_each(|byte| *byte = byte.wrapping_sub(if most == 255 { 128 } else { 50 }));
        }
        let has_zeros = dtype == Dtype::U8 || random.percent(50);
        if has_zeros {
            let zero = |random: &mut Random| match random.within(0, 3) {
                0 => 0,
                1 => 255,
                _ => random.within(100, 150) as u8,
            };
            let zeros = (0..n_zeros).map(|_| zero(random)).collect();
            insert("weight_zero_point", Tensor { dtype, shape: vec![n_zeros], bytes: zeros });
        }
        insert("weight", Tensor { dtype, shape: filter.file_axes(), bytes });
        let spread = (filter.fan_in() as f32).sqrt() * 4000.0;
        let n_scales = random.pick(&[1, filter.n]);
        let scales: Vec<f32> = (0..n_scales).map(|_| random.within(40, 160) as f32 / spread).collect();
        insert("weight_scale", Tensor::f32s(&scales));
        if filter.has_bias {
            let bias: Vec<i32> = (0..filter.n).map(|_| random.within(0, 40_000) as i32 - 20_000).collect();
            insert("bias", Tensor::i32s(&bias));
        }
    }
    tensors
}

/// A map of signed bytes, and what they stand for.
#[derive(Clone)]
struct Map {
    shape: Shape,
    bytes: Vec<i32>,
    scale: f32,
    zero_point: i32,
}

/// LiteRT's answers: the numbers of all outputs.
fn litert(drawn: &Drawn, input: &[u8]) -> Vec<f32> {
    let Drawn { shapes, tensors, .. } = drawn;
    let meaning = |stem: &str| {
        let scale = tensors[&format!("{stem}.output_scale")].numbers()[0];
        let Tensor { dtype, bytes, .. } = &tensors[&format!("{stem}.output_zero_point")];
        let zero_point =
            if *dtype == Dtype::I8 { i32::from(bytes[0].cast_signed()) } else { i32::from(bytes[0]) - 128 };
        (scale, zero_point)
    };
    let (scale, zero_point) = meaning("input");
    let bytes = input.iter().map(|q| i32::from(*q) - 128).collect();
    let mut maps = vec![Map { shape: shapes.nodes[0].shape(), bytes, scale, zero_point }];
    for node in &shapes.nodes[1..] {
        let inputs: Vec<&Map> = node.inputs.iter().map(|id| &maps[id.0]).collect();
        let (scale, zero_point) = meaning(&node.name);
        let own = if node.residual.is_some() { Activation::None } else { node.activation };
        let mut map = Map { shape: node.shape(), bytes: Vec::new(), scale, zero_point };
        map.bytes = match &node.layer {
            Layer::Add => sums(inputs[0], inputs[1], &map),
            Layer::GlobalAveragePool => mean(inputs[0], &map),
            _ => filtered(node, tensors, inputs[0], &map),
        };
        clamp(&mut map, own);
        if let Some(sum) = &node.residual {
            let (scale, zero_point) = meaning(sum);
            let mut total = Map { shape: node.shape(), bytes: Vec::new(), scale, zero_point };
            total.bytes = sums(&map, inputs[1], &total);
            clamp(&mut total, node.activation);
            map = total;
        }
        maps.push(map);
    }
    let numbers = |map: &Map| -> Vec<f32> {
        map.bytes.iter().map(|q| (q - map.zero_point) as f32 * map.scale).collect()
    };
    shapes.outputs.iter().flat_map(|id| numbers(&maps[id.0])).collect()
}

fn clamp(map: &mut Map, activation: Activation) {
    let Map { scale, zero_point, .. } = *map;
    let (low, high) = match activation {
        Activation::Relu => (zero_point, 127),
        Activation::Relu6 => (zero_point, (zero_point + (6.0 / scale).round() as i32).min(127)),
        _ => (-128, 127),
    };
    map.bytes.iter_mut().for_each(|q| *q = (*q).clamp(low, high));
}

fn requantised(acc: i32, multiplier: f32, zero_point: i32) -> i32 {
    ((acc as f32 * multiplier).round_ties_even() as i32).saturating_add(zero_point).clamp(-128, 127)
}

fn sums(a: &Map, b: &Map, sum: &Map) -> Vec<i32> {
    let ratios = [a.scale / sum.scale, b.scale / sum.scale];
    let shift = 20 - ratios[0].max(ratios[1]).log2().floor() as i32;
    let [ma, mb] = ratios.map(|ratio| (f64::from(ratio) * f64::from(shift).exp2()).round_ties_even() as i32);
    let add = |(x, y): (&i32, &i32)| {
        let acc = x * ma + y * mb - ma * a.zero_point - mb * b.zero_point + (1 << (shift - 1));
        ((acc >> shift) + sum.zero_point).clamp(-128, 127)
    };
    a.bytes.iter().zip(&b.bytes).map(add).collect()
}

fn mean(input: &Map, out: &Map) -> Vec<i32> {
    let (channels, pixels) = (input.shape.channels, input.shape.pixels());
    let multiplier = input.scale / (out.scale * pixels as f32);
    let of = |channel: usize| {
        let sum: i32 = input.bytes.iter().skip(channel).step_by(channels).sum();
        requantised(sum - pixels as i32 * input.zero_point, multiplier, out.zero_point)
    };
    (0..channels).map(of).collect()
}

fn filtered(node: &FusedNode, tensors: &Tensors, input: &Map, out: &Map) -> Vec<i32> {
    let tensor = |word: &str| tensors.get(&format!("{}.{word}", node.name));
    let weight = tensor("weight").expect("it has weights");
    let wide = |tensor: &Tensor| -> Vec<i32> {
        let is_signed = tensor.dtype == Dtype::I8;
        let of = |byte: &u8| if is_signed { i32::from(byte.cast_signed()) } else { i32::from(*byte) };
        tensor.bytes.iter().map(of).collect()
    };
    let (weights, zeros) = (wide(weight), tensor("weight_zero_point").map_or(vec![0], wide));
    let scales = tensor("weight_scale").expect("they have scales").numbers();
    let n = weight.shape[0];
    let bias: Vec<i32> = tensor("bias").map_or(vec![0; n], |bias| {
        bias.bytes.as_chunks().0.iter().map(|bytes| i32::from_le_bytes(*bytes)).collect()
    });
    let per_output = weights.len() / n;
    let finish = |channel: usize, acc: i32| {
        let multiplier = input.scale * scales[channel % scales.len()] / out.scale;
        requantised(acc, multiplier, out.zero_point)
    };
    let w = |channel: usize, at: usize| weights[channel * per_output + at] - zeros[channel % zeros.len()];
    let (shape, channels) = (input.shape, input.shape.channels);
    let (window, groups) = match node.layer {
        Layer::Conv { window, .. } => (window, 1),
        Layer::Depthwise { window, .. } => (window, channels),
        Layer::Grouped { window, groups, .. } => (window, groups),
        Layer::Dense { flatten, .. } => {
            let place = |at: usize| match flatten {
                Flatten::Hwc => at,
                Flatten::Chw => at % channels * shape.pixels() + at / channels,
            };
            let of = |channel: usize| {
                let products = input.bytes.iter().enumerate();
                let acc: i32 = products.map(|(at, q)| (q - input.zero_point) * w(channel, place(at))).sum();
                finish(channel, acc + bias[channel])
            };
            return (0..n).map(of).collect();
        }
        _ => unreachable!("{} has no filter", node.name),
    };
    let Window { rows, columns } = window;
    let m = channels / groups;
    let mut bytes = Vec::new();
    for y in 0..out.shape.height {
        for x in 0..out.shape.width {
            for (channel, bias) in bias.iter().enumerate() {
                let mut acc = *bias;
                for at in 0..per_output {
                    let (c, ky, kx) = (
                        at / (rows.kernel * columns.kernel) + channel / (n / groups) * m,
                        at / columns.kernel % rows.kernel,
                        at % columns.kernel,
                    );
                    let row = (y * rows.stride + ky * rows.dilation) as isize - rows.before as isize;
                    let column =
                        (x * columns.stride + kx * columns.dilation) as isize - columns.before as isize;
                    let is_inside =
                        |at: isize, extent: usize| usize::try_from(at).is_ok_and(|at| at < extent);
                    let q = if is_inside(row, shape.height) && is_inside(column, shape.width) {
                        input.bytes[(row as usize * shape.width + column as usize) * channels + c]
                    } else {
                        input.zero_point
                    };
                    acc += (q - input.zero_point) * w(channel, at);
                }
                bytes.push(finish(channel, acc));
            }
        }
    }
    bytes
}

/// Inputs of a network, as bytes and as the numbers that give them.
fn inputs(drawn: &Drawn, fused: &Fused) -> Vec<(Vec<u8>, Vec<f32>)> {
    let bytes = fused.byte_input.as_ref().expect("it reads bytes");
    let mut random = Random::new(drawn.seed);
    let len = fused.nodes[0].shape().len();
    let draws: [Vec<u8>; 3] = [vec![0; len], vec![255; len], (0..len).map(|_| random.bits() as u8).collect()];
    let pair = |draw: Vec<u8>| {
        let numbers: Vec<f32> =
            draw.iter().map(|q| (f32::from(*q) - bytes.offset[0]) / bytes.scale[0]).collect();
        assert!(reference::input_bytes(bytes, &numbers) == draw, "each byte comes back");
        (draw, numbers)
    };
    draws.map(pair).to_vec()
}

fn drawn() -> Vec<Drawn> {
    let drawn: Vec<Drawn> = (0..N_SEEDS).filter_map(network).collect();
    assert!(40 <= drawn.len(), "{} networks", drawn.len());
    drawn
}

fn compile(drawn: &Drawn, fused: &Fused, target: &mnc::Target, name: &str) -> Compiled {
    let options = Options { name, labels: &[] };
    mnc::compile_fused(drawn.graph.clone(), fused.clone(), target, &options, None)
        .unwrap_or_else(|error| panic!("seed {}: {error}", drawn.seed))
}

#[test]
fn reference_and_interpreter_equal_plain_loops() {
    let drawn = drawn();
    let small = mnc::Target { isa: &SMALL_CACHES[0], ..need::target_of(&X86_64_V3) };
    let targets: Vec<mnc::Target> = ISAS.iter().map(|isa| need::target_of(isa)).chain([small]).collect();
    let check = |drawn: &Drawn| {
        let fused = drawn.fused();
        let has_copies = fused.nodes.iter().any(|node| node.name.ends_with("_copies"));
        let networks =
            [without_constant_channels(fused.clone(), &Domain::Integers { keep_fit: false }), fused];
        let inputs = inputs(drawn, &networks[0]);
        for fused in &networks {
            for (bytes, numbers) in &inputs {
                let expected = litert(drawn, bytes);
                bits::compare(&reference::output(fused, numbers), &expected)
                    .unwrap_or_else(|error| panic!("seed {}: {error}", drawn.seed));
            }
        }
        // One instruction set each.
        let target = &targets[drawn.seed as usize % targets.len()];
        for fused in &networks {
            let compiled = compile(drawn, fused, target, "net");
            let case = format!("seed {}, {target}", drawn.seed);
            let (_, numbers) = &inputs[2];
            let expected = reference::output(fused, numbers);
            let found = compiled.program.interpret(numbers).unwrap_or_else(|v| panic!("{v}: {case}"));
            bits::compare(&found, &expected).unwrap_or_else(|error| panic!("{error}: {case}"));
            let found = compiled.program.interpret_tasks(numbers, &mut shuffled(drawn.seed));
            let found = found.unwrap_or_else(|v| panic!("tasks, {v}: {case}"));
            bits::compare(&found, &expected).unwrap_or_else(|error| panic!("tasks, {error}: {case}"));
        }
        has_copies
    };
    let with_copies = each(&drawn, check).into_iter().filter(|has_copies| *has_copies).count();
    println!("{} networks, {with_copies} with weights of nine bits", drawn.len());
    assert!(10 <= with_copies && with_copies + 5 <= drawn.len(), "{with_copies} of {}", drawn.len());
}

#[test]
fn compiled_equals_plain_loops() {
    let drawn = drawn();
    let targets = need::host_targets();
    let check = |batch: &&[Drawn]| {
        let compiled: Vec<(&Drawn, Compiled)> = batch
            .iter()
            .flat_map(|drawn| {
                let fused = without_constant_channels(drawn.fused(), &Domain::Integers { keep_fit: true });
                let compile = |(idx, target): (usize, &mnc::Target)| {
                    (drawn, compile(drawn, &fused, target, &format!("n{}_{idx}", drawn.seed)))
                };
                targets.iter().enumerate().map(compile).collect::<Vec<_>>()
            })
            .collect();
        let object = |compiled: &Compiled| compiled.object().expect("the network can be emitted");
        let objects = compiled.iter().map(|(_, compiled)| (compiled.info.name.as_str(), object(compiled)));
        let Some(linked) = Linked::new(objects) else { return };
        for (drawn, compiled) in &compiled {
            let network = linked.network(compiled);
            for (bytes, numbers) in &inputs(drawn, &drawn.fused()) {
                let expected = litert(drawn, bytes);
                let found = match network.run(numbers) {
                    Err(Status::MissingCpuFeature) => {
                        need::skip_cpu(compiled);
                        break;
                    }
                    found => found.unwrap_or_else(|status| panic!("seed {}: {status}", drawn.seed)),
                };
                let case = format!("seed {}, {}", drawn.seed, compiled.target);
                bits::compare(&found, &expected).unwrap_or_else(|error| panic!("{case}: {error}"));
                let found = network.run_on(numbers, &pool::ALL_AT_ONCE).expect("it runs");
                bits::compare(&found, &expected).unwrap_or_else(|error| panic!("{case}, pool: {error}"));
            }
        }
    };
    each(&drawn.chunks(BATCH).collect::<Vec<_>>(), check);
}
