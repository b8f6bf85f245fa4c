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

/// Networks that aren't built in, as someone would describe them: changes to a built-in one, or layers; and their recipe.
fn described() -> Vec<(&'static str, f64, String)> {
    let text = |name: &str| describe::builtin(name).expect("it is built in").text.to_owned();
    // One more block in each stage of several, a stem and a head that don't grow.
    let deeper = |text: String| {
        let text = text
            .replace("repeat = 4", "repeat = 5")
            .replace("repeat = 3", "repeat = 4")
            .replace("repeat = 2", "repeat = 3");
        text.replace("filters = 32\nstride = 2\n\n", "filters = 32\nscaled = false\nstride = 2\n\n")
            .replace("minimum = 1280", "scaled = false")
    };
    let plain_stem = text("mobilenet-v2").replace("stage = 0\n", "stage = 0\nexpanded = 32\n");
    let coarse = text("mobilenet-v2").replace("minimum = 1280\n", "");
    let rw = text("mobilenet-v3-large").replace("reduce = 0.25", "reduce = 0.25\nreduce_multiple = 1");
    let torchvision = text("mobilenet-v3-small");
    let by_width = [
        ("4.5", "72"),
        ("3.67", "88"),
        ("4\n", "96\n"),
        ("6\nkernel = 5\nfilters = 40", "240\nkernel = 5\nfilters = 40"),
    ];
    let torchvision = by_width.iter().fold(torchvision, |text, (times, width)| {
        text.replace(&format!("expand = {times}"), &format!("expanded = {width}"))
    });
    let lite = "name = \"efficientnet-lite0\"\nclasses = 1000\ninput = { height = 224, width = 224, channels = 3 }\n\
        alpha = { rounding = \"nearest\" }\n[[layer]]\nkind = \"conv\"\nfilters = 32\nstride = 2\n"
        .to_owned();
    let blocks = [
        (1, 3, 16, 1, 1),
        (6, 3, 24, 2, 2),
        (6, 5, 40, 2, 2),
        (6, 3, 80, 2, 3),
        (6, 5, 112, 1, 3),
        (6, 5, 192, 2, 4),
        (6, 3, 320, 1, 1),
    ];
    let lite = blocks.iter().enumerate().fold(lite, |text, (stage, (expand, kernel, filters, stride, repeat))| {
        text + &format!(
            "[[layer]]\nkind = \"inverted_residual\"\nstage = {stage}\nexpand = {expand}\nkernel = {kernel}\n\
             filters = {filters}\nstride = {stride}\nrepeat = {repeat}\n"
        )
    }) + "[[layer]]\nkind = \"pointwise\"\nfilters = 1280\n" + END;
    let lcnet = "name = \"lcnet\"\nclasses = 1000\nactivation = \"hard_swish\"\n\
        input = { height = 224, width = 224, channels = 3 }\nalpha = { rounding = \"nearest\" }\n\
        [[layer]]\nkind = \"conv\"\nfilters = 16\nstride = 2\n"
        .to_owned();
    let blocks = [
        (3, 32, 1, ""),
        (3, 64, 2, ""),
        (3, 64, 1, ""),
        (3, 128, 2, ""),
        (3, 128, 1, ""),
        (3, 256, 2, ""),
        (5, 256, 1, "repeat = 5\n"),
        (5, 512, 2, "reduce = 0.25\n"),
        (5, 512, 1, "reduce = 0.25\n"),
    ];
    let lcnet = blocks.iter().fold(lcnet, |text, (kernel, filters, stride, more)| {
        text + &format!("[[layer]]\nkind = \"separable\"\nkernel = {kernel}\nfilters = {filters}\nstride = {stride}\n{more}")
    }) + "[[layer]]\nkind = \"global_average_pool\"\n[[layer]]\nkind = \"pointwise\"\nfilters = 1280\n\
          batch_norm = false\n[[layer]]\nkind = \"dense\"\n";
    vec![
        ("timm.mobilenetv2_110d", 1.1, deeper(text("mobilenet-v2"))),
        ("hf.mobilenet_v2_1.0_224_plain_stem", 1.0, plain_stem),
        ("hf.mobilenet_v2_0.75_160_coarse", 0.75, coarse),
        ("timm.mobilenetv3_rw", 1.0, rw),
        ("torchvision.mobilenet_v3_small", 1.0, torchvision),
        ("timm.efficientnet_lite0", 1.0, lite),
        ("timm.lcnet_100", 1.0, lcnet),
    ]
}

const END: &str = "[[layer]]\nkind = \"global_average_pool\"\n[[layer]]\nkind = \"dense\"\n";

#[test]
fn relatives_can_be_described() {
    let Some(recipes) = Recipes::read() else { return };
    for (name, alpha, text) in described() {
        let description = Description::parse(&text, name).unwrap_or_else(|error| panic!("{error}\n{text}"));
        let expected = tensors(&recipes, name);
        let classes = expected.last().expect("a classifier")[0];
        assert_eq!(filters(&Description { classes, ..description }, alpha), expected, "{name}");
    }
}

/// The shapes of a recipe's filters.
fn tensors(recipes: &Recipes, name: &str) -> Vec<Vec<usize>> {
    let shapes = recipes.get(name).shapes().into_iter();
    shapes.filter(|(_, shape)| 2 <= shape.len()).map(|(_, shape)| plain(shape)).collect()
}

#[test]
fn filters_are_those_of_the_exporters() {
    let Some(recipes) = Recipes::read() else { return };
    for (network, alpha, names) in SAME {
        for name in *names {
            let expected = tensors(&recipes, name);
            let classes = expected.last().expect("a classifier")[0];
            let description =
                Description { classes, ..describe::builtin(network).expect("it is built in").description() };
            assert_eq!(filters(&description, *alpha), expected, "{network} {alpha}, {name}");
        }
    }
}
