//! The built-in networks are those of the exporters: layer by layer, every filter has the shape that its tensor has in the
//! checkpoints of timm, torchvision and transformers.

use mnc::describe::{self, Description};
use mnc::graph::{Graph, Knobs};
use mnc_tests::recipes::Recipes;

/// A built-in network, alpha, and the recipes that have exactly its filters.
const SAME: &[(&str, f64, &[&str])] = &[
    ("mobilenet-v2", 1.0, &["timm.mobilenetv2_100", "torchvision.mobilenet_v2"]),
    ("mobilenet-v2", 0.5, &["timm.mobilenetv2_050", "hf.mobilenet_v2_0.5_128_stride16"]),
    ("mobilenet-v2", 1.4, &["timm.mobilenetv2_140", "hf.mobilenet_v2_1.4_224"]),
    ("mobilenet-v2", 0.35, &["hf.mobilenet_v2_0.35_96"]),
    ("mobilenet-v3-large", 1.0, &["timm.mobilenetv3_large_100", "torchvision.mobilenet_v3_large"]),
    ("mobilenet-v3-large", 0.75, &["timm.tf_mobilenetv3_large_075"]),
    ("mobilenet-v3-small", 1.0, &["timm.mobilenetv3_small_100", "torchvision.mobilenet_v3_small"]),
    ("mobilenet-v3-small", 0.5, &["timm.mobilenetv3_small_050"]),
    ("mobilenet-v3-small-minimalistic", 1.0, &["timm.tf_mobilenetv3_small_minimal_100"]),
    ("mobilenet-v4-conv-small", 1.0, &["timm.mobilenetv4_conv_small"]),
    ("mobilenet-v4-conv-medium", 1.0, &["timm.mobilenetv4_conv_medium"]),
    ("mobilenet-v4-conv-large", 1.0, &["timm.mobilenetv4_conv_large"]),
];

/// The shapes of a network's filters, in order, in a file's axes; 1x1 windows at the end are left out, as exporters write some
/// 1x1 convolutions as dense layers.
fn filters(description: &Description, alpha: f64) -> Vec<Vec<usize>> {
    let graph = Graph::build(description, &Knobs { alpha, resolution: None }).expect("it is a network");
    let filters = graph.nodes.iter().filter_map(|node| graph.filter(node));
    filters.map(|filter| plain(filter.file_axes())).collect()
}

fn plain(mut shape: Vec<usize>) -> Vec<usize> {
    if let [.., 1, 1] = shape[..] {
        shape.truncate(2);
    }
    shape
}

#[test]
fn filters_are_those_of_the_exporters() {
    let Some(recipes) = Recipes::read() else { return };
    for (network, alpha, names) in SAME {
        for name in *names {
            let shapes = recipes.get(name).shapes();
            let expected: Vec<Vec<usize>> = shapes
                .into_iter()
                .filter(|(_, shape)| 2 <= shape.len())
                .map(|(_, shape)| plain(shape))
                .collect();
            let classes = expected.last().expect("a classifier")[0];
            let description =
                Description { classes, ..describe::builtin(network).expect("it is built in").description() };
            assert_eq!(filters(&description, *alpha), expected, "{network} {alpha}, {name}");
        }
    }
}
