use super::*;
use crate::describe::Description;
use crate::graph::layer::{Activation, Slope};
use crate::graph::{Graph, Knobs};
use crate::passes::{self, Bytes};
use crate::quantize::sample::{with_integers, with_integers_but};
use crate::random::Random;
use crate::reference;
use crate::sample::{RandomNetwork, inputs};
use crate::weights::Parameters;

/// Channels leave one by one.
const ALONE: Domain = Domain::Integers { keep_fit: false };

/// Of every node of both networks, the channels that the smaller one has kept, on inputs whose bytes reach both ends; and how many
/// channels it hasn't.
fn check(network: &Fused, seed: u64) -> usize {
    let n_left = check_with(network, seed, false);
    if seed.is_multiple_of(4) {
        assert!(check_with(network, seed, true) <= n_left, "seed {seed}");
    }
    n_left
}

fn check_with(network: &Fused, seed: u64, keep_fit: bool) -> usize {
    let (smaller, all) = reduced(network.clone(), &Domain::Integers { keep_fit });
    let fit = |network: &Fused| -> Vec<Fit> {
        let channels = |node: &FusedNode| network.nodes[node.inputs[0].0].shape().channels;
        let fit = |node: &FusedNode| {
            node.integer.as_ref().map_or(Fit::One, |numbers| numbers.fit(&node.layer, channels(node)))
        };
        network.nodes.iter().map(fit).collect()
    };
    // Where many leave, pairs are enough.
    let still_fit = |(before, after): (&Fit, &Fit)| Fit::Two.min(*before) <= *after;
    assert!(!keep_fit || fit(network).iter().zip(&fit(&smaller)).all(still_fit), "seed {seed}");
    let n_left = |(node, kept): (&FusedNode, &Vec<usize>)| node.shape().channels - kept.len();
    assert_eq!(smaller.outputs, network.outputs, "seed {seed}");
    for input in inputs(network.nodes[0].shape().len(), seed) {
        let (with, without) = (reference::run(network, &input), reference::run(&smaller, &input));
        for ((node, kept), (with, without)) in network.nodes.iter().zip(&all).zip(with.iter().zip(&without)) {
            let pixels = with.chunks(node.shape().channels);
            let with: Vec<f32> = pixels.flat_map(|pixel| kept.iter().map(|idx| pixel[*idx])).collect();
            assert!(same(without, &with), "seed {seed}: {}", node.name);
        }
    }
    network.nodes.iter().zip(&all).map(n_left).sum()
}

/// NaN is NaN: layers in f32 may give it.
fn same(a: &[f32], b: &[f32]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a == b || a.is_nan() && b.is_nan())
}

/// The network of a description in integers of that seed.
fn network(layers: &str, seed: u64) -> Fused {
    with_integers_but(&in_f32(layers, seed), seed, &[]).unwrap()
}

/// The same in f32.
fn in_f32(layers: &str, seed: u64) -> Fused {
    let text = format!(
        "name = \"net\"\nclasses = 3\ninput = {{ height = 7, width = 6, channels = 3 }}\n{layers}\
         [[layer]]\nkind = \"dense\"\n"
    );
    let graph = Graph::build(&Description::parse(&text, "net.toml").unwrap(), &Knobs::default()).unwrap();
    passes::run(&graph, &Parameters::random(&graph, seed)).unwrap()
}

/// Windows that hang over in every way, strides, groups, pools and several readers of a value.
#[test]
fn no_byte_of_the_rest_changes() {
    let (mut n_networks, mut n_smaller) = (0, 0);
    let n_seeds = mnc_need::n_seeds(600);
    for seed in 0..n_seeds {
        let drawn = RandomNetwork::new(seed);
        let Some(network) = with_integers(&passes::run(&drawn.graph, &drawn.parameters).unwrap(), seed)
        else {
            continue;
        };
        n_networks += 1;
        n_smaller += u64::from(check(&network, seed) != 0);
    }
    assert!(
        n_seeds * 5 / 6 <= n_networks && n_seeds / 15 <= n_smaller,
        "{n_smaller} of {n_networks} of {n_seeds}"
    );
}

/// The same where every seed has many: windows of odd sizes over maps of odd sizes, strides, groups.
#[test]
fn every_border_has_its_own_constant() {
    let layers = [
        "[[layer]]\nkind = \"conv\"\nkernel = 3\nfilters = 9\n[[layer]]\nkind = \"depthwise\"\nkernel = 3\n\
         [[layer]]\nkind = \"conv\"\nkernel = 5\nstride = 2\nfilters = 7\n",
        "[[layer]]\nkind = \"conv\"\nkernel = 2\nfilters = 12\n[[layer]]\nkind = \"depthwise\"\nkernel = 5\nstride = 2\n\
         [[layer]]\nkind = \"conv\"\nkernel = 1\nfilters = 5\n[[layer]]\nkind = \"global_average_pool\"\n",
        "[[layer]]\nkind = \"conv\"\nkernel = 3\nstride = 3\nfilters = 8\n\
         [[layer]]\nkind = \"conv\"\nkernel = 3\nfilters = 12\ngroups = 4\n\
         [[layer]]\nkind = \"depthwise\"\nkernel = 3\n",
        "[[layer]]\nkind = \"separable\"\nfilters = 16\n[[layer]]\nkind = \"separable\"\nfilters = 16\n\
         [[layer]]\nkind = \"separable\"\nstride = 2\nfilters = 8\n",
    ];
    for layers in layers {
        let left: Vec<usize> = (0..120).map(|seed| check(&network(layers, seed), seed)).collect();
        let n_smaller = left.iter().filter(|left| **left != 0).count();
        assert!(20 <= n_smaller, "{n_smaller} of {}: {layers}", left.len());
    }
}

const PAIR: &str = "[[layer]]\nkind = \"conv\"\nkernel = 1\nfilters = 16\n[[layer]]\nkind = \"depthwise\"\nkernel = 3\n\
                    [[layer]]\nkind = \"conv\"\nkernel = 1\nfilters = 8\n";

/// The network of [`PAIR`] whose sums reach everywhere, so that no channel is constant.
fn pair() -> Fused {
    let mut network = network(PAIR, 0);
    for node in &mut network.nodes[1..] {
        node.activation = Activation::None;
        let integer = node.integer.as_mut().unwrap();
        integer.weights.fill(100);
        integer.bias.fill(0);
        integer.multiplier.fill(0.01);
        if let Some(bytes) = &mut node.bytes {
            *bytes = Bytes { scale: 0.5, zero_point: 3, low: 0, high: 255 };
        }
    }
    network
}

/// The channels of each layer of [`PAIR`] behind the pass.
fn channels(network: &Fused) -> [usize; 3] {
    check(network, 1);
    let smaller = without_constant_channels(network.clone(), &ALONE);
    [1, 2, 3].map(|idx| smaller.nodes[idx].shape().channels)
}

#[test]
fn a_channel_leaves_all_layers_that_it_goes_through() {
    assert_eq!(channels(&pair()), [16, 16, 8]);
    // Constant from the first layer on: the bias of the second at its nine borders is one byte all the same.
    let mut network = pair();
    network.nodes[1].integer.as_mut().unwrap().bias[2] = -(1 << 24);
    network.nodes[2].integer.as_mut().unwrap().bias[2..].iter_mut().step_by(16).for_each(|bias| *bias = 700);
    assert_eq!(channels(&network), [15, 15, 8]);
    // A depthwise channel that is one byte at every border leaves, and nobody needs its input.
    let mut network = pair();
    network.nodes[2].integer.as_mut().unwrap().bias[1..]
        .iter_mut()
        .step_by(16)
        .for_each(|bias| *bias = -(1 << 24));
    assert_eq!(channels(&network), [15, 15, 8]);
    // One border differs.
    network.nodes[2].integer.as_mut().unwrap().bias[4 * 16 + 1] = 0;
    assert_eq!(channels(&network), [16, 16, 8]);
    // Nobody reads it.
    let mut network = pair();
    network.nodes[3].integer.as_mut().unwrap().weights[2 * 8..][..8].fill(0);
    assert_eq!(channels(&network), [15, 15, 8]);
    // Every value keeps one.
    let mut network = pair();
    network.nodes[1].integer.as_mut().unwrap().bias.fill(1 << 24);
    network.nodes[2].integer.as_mut().unwrap().weights.fill(0);
    assert_eq!(channels(&network), [1, 1, 1]);
    // It is an output.
    network.outputs = vec![FusedId(1), FusedId(4)];
    network.output_names = vec!["conv_1".to_owned(), "dense_1".to_owned()];
    assert_eq!(without_constant_channels(network, &ALONE).nodes[1].shape().channels, 16);
}

#[test]
fn pairs_of_weights_that_fit_leave_together() {
    let constant = |channels: std::ops::Range<usize>, weight: i8| {
        let mut network = pair();
        network.nodes[3].integer.as_mut().unwrap().weights.fill(weight);
        for bias in network.nodes[2].integer.as_mut().unwrap().bias.chunks_mut(16) {
            bias[channels.clone()].fill(-(1 << 24));
        }
        let smaller = |keep_fit: bool| {
            check_with(&network, 1, keep_fit);
            without_constant_channels(network.clone(), &Domain::Integers { keep_fit }).nodes[2]
                .shape()
                .channels
        };
        [smaller(false), smaller(true)]
    };
    assert_eq!(constant(3..4, 64), [15, 16]);
    assert_eq!(constant(2..4, 64), [14, 14]);
    assert_eq!(constant(3..5, 64), [14, 16]);
    // They don't fit.
    assert_eq!(constant(3..4, 65), [15, 15]);
    // Those of two words fit, which is worth more than one channel in eight and less than half of them.
    assert_eq!(constant(2..4, 32), [14, 16]);
    assert_eq!(constant(2..10, 32), [8, 8]);
}

/// What a random network in f32 may have: which channels are constant.
#[derive(Clone, Copy, PartialEq)]
enum Constants {
    /// 0 or another number.
    Any,
    /// 0 alone.
    Zeros,
}

/// The network with other numbers: some channels stay at one end of their activation, or have no weights at all.
fn with_constants(mut network: Fused, seed: u64, constants: Constants) -> Fused {
    let mut random = Random::new(seed ^ 0x636f_6e73);
    let share = random.pick(&[20, 50, 80]);
    for node in &mut network.nodes {
        let Some(Filter { weights, bias }) = &mut node.filter else { continue };
        if constants == Constants::Zeros {
            node.activation = random.pick(&[Activation::Relu, Activation::HardSwish]);
        } else if node.residual.is_none() && random.percent(30) {
            let leaky = Activation::LeakyRelu { slope: Slope::new(0.25).unwrap() };
            node.activation = random.pick(&[Activation::Relu6, Activation::Relu, leaky, Activation::Sigmoid]);
        }
        let n = bias.len();
        for channel in 0..n {
            if !random.percent(share) {
                continue;
            }
            let kind = if constants == Constants::Any { random.within(0, 3) } else { 0 };
            if kind <= 1 {
                // Far below 0 for ReLU, and far above 6.
                bias[channel] = [-1e3, 1e3][kind];
                continue;
            }
            weights[channel..].iter_mut().step_by(n).for_each(|w| *w = [0.0, -0.0][kind - 2]);
            bias[channel] = random.pick(&[0.0, -0.0, 1.25, -3.5, 7.1]);
        }
    }
    network
}

/// Pictures that reach both ends of the bounds, and inputs between.
fn pictures(shape: Shape, bounds: &[(f32, f32)], seed: u64) -> Vec<Vec<f32>> {
    let mut random = Random::new(seed);
    let mut input = |ends: u64| -> Vec<f32> {
        let element = |idx: usize| {
            let (low, high) = bounds[idx % bounds.len()];
            let between = low + (high - low) * random.within(0, 255) as f32 / 255.0;
            match random.within(0, 2) {
                0 if random.percent(ends) => low,
                1 if random.percent(ends) => high,
                _ => between.clamp(low, high),
            }
        };
        (0..shape.len()).map(element).collect()
    };
    vec![
        input(0),
        input(50),
        input(100),
        bounds.iter().map(|(low, _)| *low).cycle().take(shape.len()).collect(),
    ]
}

/// Every number of a network in f32 is inside of its span. The channels that the smaller network has kept are those of the larger one:
/// the same where all that left were 0 or nobody read them, else close. Returns how many left, and whether all were 0.
fn check_f32(network: &Fused, seed: u64) -> (usize, bool) {
    let shape = network.nodes[0].shape();
    let mut random = Random::new(seed);
    let bounds =
        (0..shape.channels).map(|_| random.pick(&[(0.0, 1.0), (-1.0, 1.0), (-2.1, 2.6), (0.5, 0.5)]));
    let domain = Domain::Floats { bounds: bounds.collect() };
    let Domain::Floats { bounds } = &domain else { unreachable!() };
    let spans = spans(network, &domain);
    let (smaller, all) = reduced(network.clone(), &domain);
    let n_left = |(node, kept): (&FusedNode, &Vec<usize>)| node.shape().channels - kept.len();
    let mut are_zeros = true;
    for input in pictures(shape, bounds, seed) {
        let (with, without) = (reference::run(network, &input), reference::run(&smaller, &input));
        let nodes = || network.nodes.iter().zip(&all).zip(with.iter().zip(&without));
        for ((node, kept), (with, _)) in nodes() {
            for (idx, x) in with.iter().enumerate() {
                let channel = idx % node.shape().channels;
                let span = spans[idx_of(network, node)][channel];
                let is_inside = !span.is_known() || (span.low <= *x && *x <= span.high);
                assert!(is_inside, "seed {seed}: {} {channel}: {x} in {span:?}", node.name);
                are_zeros &= kept.contains(&channel) || *x == 0.0;
            }
        }
        // What is rounded otherwise may be as large as the largest number.
        let most = with.iter().flatten().fold(0.0f32, |most, x| most.max(x.abs()));
        for ((node, kept), (with, without)) in nodes() {
            let pixels = with.chunks(node.shape().channels);
            let with: Vec<f32> = pixels.flat_map(|pixel| kept.iter().map(|idx| pixel[*idx])).collect();
            let is_close =
                |(a, b): (&f32, &f32)| a == b || (a - b).abs() <= 1e-4 * most || a.is_nan() && b.is_nan();
            let is_right = if are_zeros {
                same(without, &with)
            } else {
                without.len() == with.len() && without.iter().zip(&with).all(is_close)
            };
            assert!(is_right, "seed {seed}: {}: {are_zeros}", node.name);
        }
    }
    (network.nodes.iter().zip(&all).map(n_left).sum(), are_zeros)
}

fn idx_of(network: &Fused, node: &FusedNode) -> usize {
    network.nodes.iter().position(|other| std::ptr::eq(other, node)).expect("it is one of them")
}

#[test]
fn numbers_stay_in_their_spans() {
    let (mut n_smaller, mut n_of_zeros) = (0, 0);
    let n_seeds = mnc_need::n_seeds(300);
    for seed in 0..n_seeds {
        let drawn = RandomNetwork::new(seed);
        let fused = passes::run(&drawn.graph, &drawn.parameters).unwrap();
        for constants in [Constants::Any, Constants::Zeros] {
            let (n_left, are_zeros) = check_f32(&with_constants(fused.clone(), seed, constants), seed);
            n_smaller += u64::from(n_left != 0);
            n_of_zeros += u64::from(n_left != 0 && are_zeros);
        }
    }
    println!("{n_smaller} and {n_of_zeros} of {n_seeds}");
    assert!(n_seeds / 3 <= n_smaller && n_seeds / 6 <= n_of_zeros, "{n_smaller}, {n_of_zeros} of {n_seeds}");
}

/// The channels of each layer of [`PAIR`] in f32 behind the pass.
fn channels_in_f32(network: &Fused) -> [usize; 3] {
    check_f32(network, 1);
    let smaller = without_constant_channels(network.clone(), &Domain::of_pictures(&[(1.0 / 255.0, 0.0); 3]));
    [1, 2, 3].map(|idx| smaller.nodes[idx].shape().channels)
}

/// The network of [`PAIR`] in f32 of which no channel is constant.
fn pair_in_f32() -> Fused {
    let mut network = in_f32(PAIR, 0);
    for node in &mut network.nodes[1..] {
        if let Some(Filter { weights, bias }) = &mut node.filter {
            node.activation =
                if node.layer.takes_activation() { Activation::Relu6 } else { Activation::None };
            weights.fill(0.01);
            bias.fill(0.25);
        }
    }
    network
}

fn filter(network: &mut Fused, idx: usize) -> &mut Filter {
    network.nodes[idx].filter.as_mut().unwrap()
}

#[test]
fn a_channel_in_f32_leaves_all_layers_that_it_goes_through() {
    assert_eq!(channels_in_f32(&pair_in_f32()), [16, 16, 8]);
    // 0 from the first layer on: the second has its bias at every border.
    let mut network = pair_in_f32();
    filter(&mut network, 1).bias[2] = -1e3;
    assert_eq!(channels_in_f32(&network), [15, 15, 8]);
    let smaller = without_constant_channels(network.clone(), &Domain::Floats { bounds: vec![(0.0, 1.0); 3] });
    let folded = (0.25 + 0.25 * f64::from(0.01f32)) as f32;
    assert_eq!(smaller.nodes[3].filter.as_ref().unwrap().bias, [folded; 8]);
    // 6 from the first layer on: the second has other sums at its borders.
    let mut network = pair_in_f32();
    filter(&mut network, 1).bias[2] = 1e3;
    assert_eq!(channels_in_f32(&network), [16, 16, 8]);
    // They are above 6 at each.
    filter(&mut network, 2).weights[2..].iter_mut().step_by(16).for_each(|w| *w = 1.0);
    assert_eq!(channels_in_f32(&network), [15, 15, 8]);
    // Nobody reads it.
    let mut network = pair_in_f32();
    filter(&mut network, 3).weights[2 * 8..][..8].fill(0.0);
    assert_eq!(channels_in_f32(&network), [15, 15, 8]);
    // It may be infinite, and so NaN where nobody reads it.
    filter(&mut network, 1).weights[2] = f32::MAX;
    filter(&mut network, 1).bias[2] = f32::MAX;
    [1, 2].iter().for_each(|idx| network.nodes[*idx].activation = Activation::None);
    assert_eq!(channels_in_f32(&network), [16, 16, 8]);
    // Every value keeps one.
    let mut network = pair_in_f32();
    [1, 2, 3].iter().for_each(|idx| filter(&mut network, *idx).bias.fill(-1e3));
    assert_eq!(channels_in_f32(&network), [1, 1, 1]);
    // The next biases would be no numbers.
    let mut network = pair_in_f32();
    filter(&mut network, 2).bias[2] = 1e3;
    filter(&mut network, 3).weights.fill(1e30);
    network.nodes[3].activation = Activation::None;
    assert_eq!(channels_in_f32(&network), [16, 16, 8]);
}

/// A constant leaves a window that hangs over the border only if it is 0.
#[test]
fn borders_have_one_bias_in_f32() {
    let padded = |padding: usize, bias: f32| {
        let layers = format!(
            "[[layer]]\nkind = \"conv\"\nkernel = 1\nfilters = 8\n\
             [[layer]]\nkind = \"conv\"\nkernel = 3\nfilters = 5\npadding = {padding}\n"
        );
        let mut network = in_f32(&layers, 3);
        network.nodes[1].activation = Activation::Relu6;
        filter(&mut network, 1).weights.fill(0.01);
        filter(&mut network, 1).bias.fill(0.25);
        filter(&mut network, 1).bias[1] = bias;
        check_f32(&network, 2);
        let domain = Domain::Floats { bounds: vec![(0.0, 1.0); 3] };
        without_constant_channels(network, &domain).nodes[1].shape().channels
    };
    assert_eq!([padded(1, -1e3), padded(1, 1e3)], [7, 8]);
    assert_eq!([padded(0, -1e3), padded(0, 1e3)], [7, 7]);
}
