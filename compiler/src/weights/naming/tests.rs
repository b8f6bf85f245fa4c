use std::path::Path;

use super::*;
use crate::describe::Description;
use crate::graph::Knobs;

const HEAD: &str = r#"
    name = "net"
    classes = 5
    alpha = { minimum = 1 }
    input = { height = 8, width = 8, channels = 3 }
"#;

fn graph(layers: &str) -> Graph {
    let description = Description::parse(&format!("{HEAD}\nlayer = [{layers}]"), "net.toml").unwrap();
    Graph::build(&description, &Knobs::default()).unwrap()
}

/// Small networks of the layers of MobileNet's generations.
const NETWORKS: [(&str, &str); 4] = [
    (
        "separable",
        r#"{ kind = "conv", filters = 4, stride = 2 },
           { kind = "separable", filters = 6 },
           { kind = "separable", filters = 8, stride = 2 },
           { kind = "separable", filters = 8 },
           { kind = "global_average_pool" },
           { kind = "dense" }"#,
    ),
    (
        "inverted residuals",
        r#"{ kind = "conv", filters = 4, stride = 2 },
           { kind = "inverted_residual", stage = 0, filters = 4 },
           { kind = "inverted_residual", stage = 1, expand = 2, filters = 4, repeat = 2 },
           { kind = "pointwise", filters = 8 },
           { kind = "global_average_pool" },
           { kind = "dense" }"#,
    ),
    (
        "gates",
        r#"{ kind = "conv", filters = 4, stride = 2 },
           { kind = "inverted_residual", stage = 0, filters = 4, reduce = 0.5 },
           { kind = "inverted_residual", stage = 1, expand = 2, filters = 4, reduce = 0.5 },
           { kind = "pointwise", stage = 2, filters = 8 },
           { kind = "global_average_pool" },
           { kind = "pointwise", filters = 8, batch_norm = false },
           { kind = "dense" }"#,
    ),
    (
        "bottlenecks",
        r#"{ kind = "conv", filters = 4, stride = 2 },
           { kind = "fused_inverted_residual", stage = 0, expand = 2, filters = 4 },
           { kind = "universal_inverted_bottleneck", stage = 1, start_kernel = 3, middle_kernel = 3, expand = 2, filters = 4 },
           { kind = "universal_inverted_bottleneck", stage = 1, middle_kernel = 3, expand = 2, filters = 4 },
           { kind = "pointwise", stage = 2, filters = 8 },
           { kind = "global_average_pool" },
           { kind = "pointwise", filters = 8 },
           { kind = "dense" }"#,
    ),
];

/// Each naming's tensors for each of them, as in `listings/NAME.txt`: layer, role, tensor, shape; or why it has no names.
#[test]
fn listings() {
    let graphs = NETWORKS.map(|(network, layers)| (network, graph(layers)));
    let mut wrong = Vec::new();
    for naming in Naming::ALL {
        let mut found = String::new();
        for (network, graph) in &graphs {
            found += &format!("# {network}\n");
            match naming.tensors(graph) {
                Ok(specs) => {
                    found.extend(specs.iter().map(|spec| format!("{spec}\n")));
                    let ignored = naming.bookkeeping(graph);
                    found.extend(ignored.iter().map(|tensor| format!("ignored {tensor}\n")));
                }
                Err(error) => found += &format!("{}\n", error.faults()[0]),
            }
        }
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("src/weights/naming/listings")
            .join(format!("{}.txt", naming.name));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, &found).unwrap();
        }
        let expected = std::fs::read_to_string(&path).unwrap_or_default();
        for (found, expected) in
            found.lines().zip(expected.lines()).filter(|(found, expected)| found != expected)
        {
            wrong.push(format!("{}:\n  found    {found}\n  expected {expected}", naming.name));
        }
        if found.lines().count() != expected.lines().count() {
            wrong.push(format!("{}: found {} tensors", naming.name, found.lines().count()));
        }
    }
    assert!(wrong.is_empty(), "{}\nto accept: UPDATE_GOLDEN=1 cargo test -p mnc listings", wrong.join("\n"));
}

/// The first convolutions' tensors, or the faults.
fn check(naming: &Naming, layers: &str, expected: &str) {
    let found = match naming.tensors(&graph(layers)) {
        Ok(specs) => specs.iter().map(|spec| spec.tensor.as_str()).collect::<Vec<_>>().join(" "),
        Err(error) => error.to_string(),
    };
    assert_eq!(found, expected);
}

#[test]
fn biases_and_missing_norms() {
    let layers = r#"{ kind = "conv", filters = 4, batch_norm = false, bias = true },
                    { kind = "depthwise", batch_norm = false, bias = true },
                    { kind = "dense", bias = false }"#;
    check(
        &Naming::HUGGING_FACE,
        layers,
        "mobilenet_v1.conv_stem.convolution.weight mobilenet_v1.conv_stem.convolution.bias \
         mobilenet_v1.layer.0.convolution.weight mobilenet_v1.layer.0.convolution.bias classifier.weight",
    );
    check(&Naming::PLAIN, layers, "conv_1.weight conv_1.bias conv_dw_1.weight conv_dw_1.bias dense_1.weight");
}

const NO_NAME: &str = "found no name for this layer in the naming huggingface (Hugging Face MobileNetV1 and \
                       MobileNetV2ForImageClassification)";

#[test]
fn networks_that_an_exporter_has_no_names_for() {
    let bare = "batch_norm = false";
    check(
        &Naming::TIMM,
        &format!(
            r#"{{ kind = "conv", filters = 4, {bare} }}, {{ kind = "conv", name = "second", filters = 4, {bare} }}"#
        ),
        "conv_stem.weight conv_stem.bias blocks.0.0.conv.weight blocks.0.0.conv.bias",
    );
    check(
        &Naming::HUGGING_FACE,
        &format!(
            r#"{{ kind = "conv", filters = 4, {bare} }}, {{ kind = "conv", name = "second", filters = 4, {bare} }}"#
        ),
        &format!("second: {NO_NAME}"),
    );
    check(
        &Naming::HUGGING_FACE,
        &format!(
            r#"{{ kind = "conv", filters = 4, {bare} }}, {{ kind = "pointwise", name = "p", filters = 4, {bare} }}"#
        ),
        "mobilenet_v2.conv_stem.first_conv.convolution.weight mobilenet_v2.conv_stem.first_conv.convolution.bias \
         mobilenet_v2.conv_1x1.convolution.weight mobilenet_v2.conv_1x1.convolution.bias",
    );
    check(
        &Naming::HUGGING_FACE,
        &format!(
            r#"{{ kind = "depthwise", {bare} }}, {{ kind = "conv", name = "second", filters = 4, {bare} }}"#
        ),
        &format!("second: {NO_NAME}"),
    );
    check(
        &Naming::TIMM,
        r#"{ kind = "dense", name = "a", bias = false }, { kind = "dense", name = "b", bias = false },
           { kind = "dense", bias = false }"#,
        r#"b: found tensor "conv_head.weight" in the naming timm (timm mobilenetv1_* to mobilenetv4_conv_*) for a as well"#,
    );
}

#[test]
fn names_are_unique() {
    for naming in Naming::ALL {
        assert_eq!(Naming::by_name(naming.name), Some(*naming));
    }
}
