use super::*;
use crate::describe::Description;
use crate::graph::{Graph, Knobs};
use crate::passes;
use crate::quantize::sample::{with_integers, with_integers_but};
use crate::reference;
use crate::sample::{RandomNetwork, inputs};
use crate::weights::Parameters;

/// Of every node of both networks, the channels that the smaller one has kept, on inputs whose bytes reach both ends; and how many
/// channels it hasn't.
fn check(network: &Fused, seed: u64) -> usize {
    let n_left = check_with(network, seed, false);
    if seed.is_multiple_of(4) {
        assert!(check_with(network, seed, true) <= n_left, "seed {seed}");
    }
    n_left
}

fn check_with(network: &Fused, seed: u64, keep_pairs: bool) -> usize {
    let (smaller, all) = reduced(network.clone(), keep_pairs);
    let fit = |network: &Fused| -> Vec<bool> {
        let channels = |node: &FusedNode| network.nodes[node.inputs[0].0].shape().channels;
        let fit = |node: &FusedNode| {
            node.integer.as_ref().is_some_and(|numbers| numbers.pairs_fit(&node.layer, channels(node)))
        };
        network.nodes.iter().map(fit).collect()
    };
    let still_fit = |(before, after): (&bool, &bool)| *after || !*before;
    assert!(!keep_pairs || fit(network).iter().zip(&fit(&smaller)).all(still_fit), "seed {seed}");
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
    let text = format!(
        "name = \"net\"\nclasses = 3\ninput = {{ height = 7, width = 6, channels = 3 }}\n{layers}\
         [[layer]]\nkind = \"dense\"\n"
    );
    let graph = Graph::build(&Description::parse(&text, "net.toml").unwrap(), &Knobs::default()).unwrap();
    let fused = passes::run(&graph, &Parameters::random(&graph, seed)).unwrap();
    with_integers_but(&fused, seed, &[]).unwrap()
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
    let smaller = without_constant_channels(network.clone(), false);
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
    assert_eq!(without_constant_channels(network, false).nodes[1].shape().channels, 16);
}

#[test]
fn pairs_of_weights_that_fit_leave_together() {
    let constant = |channels: std::ops::Range<usize>, weight: i8| {
        let mut network = pair();
        network.nodes[3].integer.as_mut().unwrap().weights.fill(weight);
        for bias in network.nodes[2].integer.as_mut().unwrap().bias.chunks_mut(16) {
            bias[channels.clone()].fill(-(1 << 24));
        }
        let smaller = |keep_pairs: bool| {
            check_with(&network, 1, keep_pairs);
            without_constant_channels(network.clone(), keep_pairs).nodes[2].shape().channels
        };
        [smaller(false), smaller(true)]
    };
    assert_eq!(constant(3..4, 64), [15, 16]);
    assert_eq!(constant(2..4, 64), [14, 14]);
    assert_eq!(constant(3..5, 64), [14, 16]);
    // They don't fit.
    assert_eq!(constant(3..4, 65), [15, 15]);
}
