//! Tests of building graphs.

use super::*;
use crate::describe::{self, Padding};

mod detect;

/// A description with an 8 x 8 x 3 input and these layers, one TOML inline table each.
fn network(layers: &[&str]) -> Description {
    let head = "name = \"net\"\nclasses = 5\ninput = { height = 8, width = 8, channels = 3 }\n";
    let text = format!("{head}alpha = {{ minimum = 1 }}\nlayer = [{{ {} }}]", layers.join(" }, { "));
    Description::parse(&text, "net.toml").unwrap_or_else(|error| panic!("{error}"))
}

fn build(layers: &[&str]) -> Result<Graph> {
    Graph::build(&network(layers), &Knobs::default())
}

/// The graph of these layers as `name shape <- inputs`, or its faults.
fn check(layers: &[&str], expected: &[&str]) {
    let line = |graph: &Graph, node: &Node| {
        let inputs: Vec<&str> = node.inputs.iter().map(|id| graph.node(*id).name.as_str()).collect();
        format!("{} {} <- {}", node.name, node.shape(), inputs.join(" "))
    };
    let found: Vec<String> = match build(layers) {
        Ok(graph) => graph.nodes[1..].iter().map(|node| line(&graph, node)).collect(),
        Err(error) => error.faults().iter().map(ToString::to_string).collect(),
    };
    assert_eq!(found, expected);
}

#[test]
fn every_kind_is_named_and_shaped() {
    check(
        &[
            "kind = 'conv', filters = 4, stride = 2",
            "kind = 'separable', filters = 6, activation = 'relu'",
            "kind = 'depthwise', batch_norm = false, activation = 'none', padding = 'valid'",
            "kind = 'pointwise', filters = 6, activation = 'none'",
            "kind = 'conv', kernel = 1, stride = 2, filters = 6, batch_norm = false",
            "kind = 'global_average_pool'",
            "kind = 'dense'",
            "kind = 'softmax'",
        ],
        &[
            "conv_1 4x4x4 <- input",
            "conv_1.norm 4x4x4 <- conv_1",
            "conv_1.relu6 4x4x4 <- conv_1.norm",
            "conv_dw_1 4x4x4 <- conv_1.relu6",
            "conv_dw_1.norm 4x4x4 <- conv_dw_1",
            "conv_dw_1.relu 4x4x4 <- conv_dw_1.norm",
            "conv_pw_1 4x4x6 <- conv_dw_1.relu",
            "conv_pw_1.norm 4x4x6 <- conv_pw_1",
            "conv_pw_1.relu 4x4x6 <- conv_pw_1.norm",
            "conv_dw_2 2x2x6 <- conv_pw_1.relu",
            "conv_pw_2 2x2x6 <- conv_dw_2",
            "conv_pw_2.norm 2x2x6 <- conv_pw_2",
            "conv_2 1x1x6 <- conv_pw_2.norm",
            "conv_2.relu6 1x1x6 <- conv_2",
            "pool_1 1x1x6 <- conv_2.relu6",
            "dense_1 1x1x5 <- pool_1",
            "softmax_1 1x1x5 <- dense_1",
        ],
    );
}

#[test]
fn given_names_repeats_and_adds() {
    check(
        &[
            "kind = 'separable', filters = 3, name = 'x', repeat = 2, batch_norm = false, activation = 'none'",
            "kind = 'depthwise', name = 'y', batch_norm = false",
            "kind = 'add', from = 'x', activation = 'relu'",
            "kind = 'add', from = 'y', name = 'sum'",
            "kind = 'add', from = 'input'",
            "kind = 'depthwise', batch_norm = false, activation = 'none'",
            "kind = 'dense', units = 2, activation = 'relu6'",
        ],
        &[
            "x_1_dw 8x8x3 <- input",
            "x_1_pw 8x8x3 <- x_1_dw",
            "x_2_dw 8x8x3 <- x_1_pw",
            "x_2_pw 8x8x3 <- x_2_dw",
            "y 8x8x3 <- x_2_pw",
            "y.relu6 8x8x3 <- y",
            "add_1 8x8x3 <- y.relu6 x_2_pw",
            "add_1.relu 8x8x3 <- add_1",
            "sum 8x8x3 <- add_1.relu y.relu6",
            "add_3 8x8x3 <- sum input",
            "conv_dw_4 8x8x3 <- add_3",
            "dense_1 1x1x2 <- conv_dw_4",
            "dense_1.relu6 1x1x2 <- dense_1",
        ],
    );
}

/// The squeeze-and-excite block of MobileNetV3, and a product of two maps.
#[test]
fn gates() {
    let bare = "batch_norm = false, activation";
    check(
        &[
            &format!("kind = 'depthwise', name = 'map', {bare} = 'none'"),
            "kind = 'global_average_pool'",
            &format!("kind = 'pointwise', filters = 2, scaled = false, {bare} = 'relu'"),
            &format!("kind = 'pointwise', filters = 3, scaled = false, {bare} = 'none'"),
            "kind = 'multiply', from = 'map', activation = 'relu6'",
            "kind = 'multiply', from = 'map', name = 'square'",
        ],
        &[
            "map 8x8x3 <- input",
            "pool_1 1x1x3 <- map",
            "conv_pw_1 1x1x2 <- pool_1",
            "conv_pw_1.relu 1x1x2 <- conv_pw_1",
            "conv_pw_2 1x1x3 <- conv_pw_1.relu",
            "multiply_1 8x8x3 <- conv_pw_2 map",
            "multiply_1.relu6 8x8x3 <- multiply_1",
            "square 8x8x3 <- multiply_1.relu6 map",
        ],
    );
    check(
        &[
            "kind = 'global_average_pool', name = 'gate'",
            &format!("kind = 'conv', filters = 5, {bare} = 'none', input = 'input', stride = 2"),
            "kind = 'multiply', from = 'gate'",
            "kind = 'multiply', from = 'input'",
        ],
        &[
            "multiply_1: found 1x1x3 to multiply with 4x4x5, expected 4x4x5 or 1x1x5",
            "multiply_2: found 8x8x3 to multiply with 4x4x5, expected 4x4x5 or 1x1x5",
        ],
    );
}

#[test]
fn faults_are_collected() {
    check(
        &[
            "kind = 'conv', filters = 4, stride = 2, kernel = 7, name = 'stem', batch_norm = false",
            "kind = 'depthwise', kernel = 5, padding = 'valid', batch_norm = false, activation = 'none'",
            "kind = 'add', from = 'input'",
            "kind = 'conv', filters = 4, name = 'conv_dw_2'",
            "kind = 'depthwise', kernel = 7, padding = 'valid', batch_norm = false, activation = 'none'",
        ],
        &[
            "conv_dw_1: found an input of 4x4x4 for a window of 5x5, expected 5x5 at least",
            "add_1: found 8x8x3 to add to 4x4x4, expected 4x4x4",
            "conv_dw_2: found an input of 4x4x4 for a window of 7x7, expected 7x7 at least",
            "conv_dw_2: found two layers of this name, expected a name of its own for each",
        ],
    );
}

#[test]
fn sizes_are_bounded() {
    let mut description = network(&["kind = 'pointwise', filters = 65536", "kind = 'dense', units = 65536"]);
    description.input.height = 1024;
    description.input.width = 1024;
    let error = Graph::build(&description, &Knobs { alpha: 4.0, resolution: None }).unwrap_err();
    let maps = ["conv_pw_1", "conv_pw_1.norm", "conv_pw_1.relu6"].map(|name| {
        format!("\n  {name}: found a map of 1024x1024x262144, expected at most 268435456 elements")
    });
    let weights = "\n  network: found 18014398510268416 weights, expected at most 1073741824";
    assert_eq!(error.to_string(), format!("4 faults in the network:{}{weights}", maps.concat()));
}

/// A description built by hand may hold anything.
#[test]
fn illegal_descriptions_are_refused() {
    let check = |change: fn(&mut Description), expected: &str| {
        let mut description = network(&["kind = 'conv', filters = 4", "kind = 'dense'"]);
        change(&mut description);
        assert_eq!(Graph::build(&description, &Knobs::default()).unwrap_err().to_string(), expected);
    };
    fn conv(description: &mut Description) -> (&mut describe::ConvSpec, &mut describe::Width) {
        match &mut description.layers[0].kind {
            describe::LayerKind::Conv { spec, filters, .. } => (spec, filters),
            other => panic!("{other:?} isn't the convolution"),
        }
    }
    check(|d| d.input.height = 0, "input: found height 0, expected 1 to 1024");
    check(|d| d.classes = 0, "network: found classes 0, expected 1 to 65536");
    check(|d| conv(d).0.slide.stride.rows = 0, "layer 1: found stride 0, expected 1 to 4");
    check(|d| conv(d).0.slide.kernel.columns = 12, "layer 1: found kernel 12, expected 1 to 11");
    check(
        |d| *conv(d).1 = describe::Width::Fixed(usize::MAX),
        "layer 1: found channels 18446744073709551615, expected 1 to 65536",
    );
    check(
        |d| *conv(d).1 = describe::Width::Scaled { channels: 1, minimum: 0 },
        "layer 1: found minimum 0, expected 1 to 65536",
    );
    check(
        |d| d.rounding = describe::Rounding::Nearest { multiple: 0 },
        "alpha: found multiple 0, expected 1 to 65536",
    );
    check(|d| d.layers.clear(), "network: found number of layers 0, expected 1 to 4096");
    check(|d| d.layers[1].repeat = 4096, "network: found number of layers 4097, expected 1 to 4096");
    check(
        |d| {
            d.layers[1].kind =
                describe::LayerKind::Add { from: "x".to_string(), activation: layer::Activation::None }
        },
        "add_1: found `from` \"x\", expected the name of an earlier layer",
    );
}

#[test]
fn knobs_are_checked() {
    let check = |alpha: f64, side: usize, expected: &str| {
        let resolution = Some(Resolution { height: side, width: side });
        let error = Graph::build(&network(&["kind = 'dense'"]), &Knobs { alpha, resolution }).unwrap_err();
        assert_eq!((error.kind(), error.to_string().as_str()), (crate::ErrorKind::Options, expected));
    };
    for alpha in [0.0, -1.0, 4.1, f64::NAN, f64::INFINITY] {
        check(alpha, 8, &format!("alpha: found {alpha:?}, expected a number above 0, at most 4"));
    }
    let expected = "a side such as 160, or HEIGHTxWIDTH such as 192x160, each from 1 to 1024";
    check(1.0, 0, &format!("resolution: found 0x0, expected {expected}"));
    check(
        0.0,
        1025,
        &format!(
            "2 faults in the options:\n  alpha: found 0.0, expected a number above 0, at most 4\n  \
             resolution: found 1025x1025, expected {expected}"
        ),
    );
}

#[test]
fn alpha_scales_what_is_scaled() {
    let description = network(&[
        "kind = 'conv', filters = 10",
        "kind = 'pointwise', filters = 10, scaled = false",
        "kind = 'separable', filters = 10",
        "kind = 'pointwise', filters = 10, minimum = 9",
        "kind = 'pointwise', filters = 10, minimum = 6",
        "kind = 'dense', units = 10",
    ]);
    let resolution = Some(Resolution { height: 40, width: 33 });
    let graph = Graph::build(&description, &Knobs { alpha: 0.75, resolution }).unwrap();
    let shape = |name: &str| graph.by_name(name).unwrap().shape().to_string();
    assert_eq!(graph.input_shape().to_string(), "40x33x3");
    assert_eq!(shape("conv_1"), "40x33x7");
    assert_eq!(shape("conv_pw_1"), "40x33x10");
    assert_eq!(shape("conv_pw_2"), "40x33x7");
    assert_eq!(shape("conv_pw_3"), "40x33x9");
    assert_eq!(shape("conv_pw_4"), "40x33x7");
    assert_eq!(shape("dense_1"), "1x1x10");
}

#[test]
fn padding_is_resolved() {
    let pads = |padding: &str| {
        let graph =
            build(&[&format!("kind = 'conv', filters = 4, stride = 2, padding = '{padding}'")]).unwrap();
        match graph.nodes[1].layer {
            Layer::Conv { window, .. } => {
                (window.rows.before, window.columns.before, window.rows.after, window.columns.after)
            }
            ref other => panic!("{other:?} isn't the convolution"),
        }
    };
    assert_eq!(pads("same"), (0, 0, 1, 1));
    assert_eq!(pads("symmetric"), (1, 1, 1, 1));
    assert_eq!(pads("valid"), (0, 0, 0, 0));
    assert_eq!(network(&["kind = 'dense'"]).padding, Padding::Same);
}

#[test]
fn mobilenet() {
    let description = describe::builtin("mobilenet-v1").unwrap().description();
    let graph = Graph::build(&description, &Knobs::default()).unwrap();
    // The input, 27 convolutions with norm and activation, the mean and the classifier.
    assert_eq!(graph.nodes.len(), 1 + 27 * 3 + 2);
    assert_eq!(graph.node(graph.outputs[0]).name, "dense_1");
    let shape = |name: &str| graph.by_name(name).unwrap().shape().to_string();
    assert_eq!(shape("conv_1"), "112x112x32");
    assert_eq!(shape("conv_pw_6"), "14x14x512");
    assert_eq!(shape("conv_pw_11"), "14x14x512");
    assert_eq!(shape("conv_dw_13"), "7x7x1024");
    assert_eq!(shape("dense_1"), "1x1x1001");
    assert!(graph.by_name("conv_dw_14").is_none());
}

/// A layer may read any earlier one; what nobody reads is told by its layer's name.
#[test]
fn inputs_have_names() {
    let stem = "kind = 'conv', name = 'stem', filters = 4, batch_norm = false, activation = 'none'";
    let side = "kind = 'depthwise', name = 'side', input = 'stem', batch_norm = false, activation = 'none', repeat = 2";
    let main = "kind = 'depthwise', name = 'main', input = 'input', batch_norm = false, activation = 'none'";
    let more = "kind = 'pointwise', name = 'more', filters = 4, batch_norm = false, activation = 'none'";
    check(
        &[stem, main, more, side, "kind = 'add', from = 'more'"],
        &[
            "stem 8x8x4 <- input",
            "main 8x8x3 <- input",
            "more 8x8x4 <- main",
            "side_1 8x8x4 <- stem",
            "side_2 8x8x4 <- side_1",
            "add_1 8x8x4 <- side_2 more",
        ],
    );
    let relu = "kind = 'conv', name = 'lost', filters = 4";
    check(
        &[relu, "kind = 'pointwise', input = 'input', filters = 4"],
        &[
            "lost: found no layer that reads it, expected one, by its `input` or `from`, or its name in `outputs`",
        ],
    );
}

#[test]
fn verify_finds_what_is_broken() {
    let check = |change: fn(&mut Graph), expected: &str| {
        let conv = "kind = 'conv', filters = 3, batch_norm = false";
        let mut graph = build(&[conv, "kind = 'add', from = 'input'"]).unwrap();
        change(&mut graph);
        assert_eq!(graph.verify().unwrap_err().to_string(), expected);
    };
    check(
        |g| g.nodes[2].inputs[0] = NodeId(2),
        "conv_1.relu6: found input 2 of node 2, expected an earlier node",
    );
    check(
        |g| g.nodes[1].tensor.shape.height = 7,
        "2 faults in the network:\n  conv_1: found a map of 7x8x3, expected 8x8x3\n  \
         conv_1.relu6: found a map of 8x8x3, expected 7x8x3",
    );
    check(
        |g| g.nodes[3].name = "conv_1".to_string(),
        "conv_1: found this name again at node 3, expected unique names",
    );
    check(|g| g.nodes[3].inputs.truncate(1), "add_1: found 1 inputs, expected 2");
    check(|g| g.nodes[3].layer = Layer::Input, "add_1: found a second input of the network, expected one");
    check(|g| g.nodes[0].layer = Layer::Softmax, "input: found it first, expected the network's input there");
    check(
        |g| g.nodes[3].tensor.shape.width = 0,
        "add_1: found an empty map of 8x0x3, expected at least one element",
    );
    check(|g| g.outputs[0] = NodeId(9), "network: found output 9, expected one of 4 nodes");
    check(
        |g| (g.outputs, g.output_names) = (Vec::new(), Vec::new()),
        "network: found no output, expected at least one",
    );
    check(|g| g.output_names.clear(), "network: found 0 names of outputs, expected 1");
}

/// Whatever legal layers stand in whatever order, a graph is built and verifies, or faults name its layers.
#[test]
fn arbitrary_layers_never_panic() {
    // Xorshift: small, and the same numbers on every machine.
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    let mut below = |n: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % n as u64) as usize
    };
    let (mut n_built, mut n_refused) = (0, 0);
    for _ in 0..500 {
        let mut layers: Vec<String> = Vec::new();
        for idx in 0..=below(6) {
            let window = format!(
                "kernel = {}, stride = {}, padding = '{}', batch_norm = {}, repeat = {}",
                1 + below(7),
                1 + below(2),
                ["same", "symmetric", "valid"][below(3)],
                below(2) == 0,
                1 + below(2),
            );
            let filters = 1 + below(6);
            layers.push(match below(9) {
                8 => format!(
                    "kind = 'inverted_residual', expand = {}, filters = {filters}, {window}",
                    1 + below(3)
                ),
                0 => format!("kind = 'conv', name = 'a{idx}', filters = {filters}, {window}"),
                1 => format!("kind = 'separable', filters = {filters}, {window}"),
                2 => format!("kind = 'depthwise', {window}"),
                3 => "kind = 'add', from = 'input'".to_string(),
                7 => "kind = 'multiply', from = 'input'".to_string(),
                4 => "kind = 'global_average_pool'".to_string(),
                5 => "kind = 'dense'".to_string(),
                _ => "kind = 'softmax'".to_string(),
            });
        }
        let layers: Vec<&str> = layers.iter().map(String::as_str).collect();
        match build(&layers) {
            Ok(graph) => {
                graph.verify().unwrap_or_else(|error| panic!("{error}\n{layers:#?}"));
                n_built += 1;
            }
            Err(error) => {
                assert!(error.faults().iter().all(|fault| fault.detail.contains("expected")), "{error}");
                n_refused += 1;
            }
        }
    }
    assert!(n_built > 50 && n_refused > 50, "{n_built} built, {n_refused} refused: both should be met");
}

/// Outputs go by their layer's own name, whatever it becomes; they may be read, and what is neither read nor returned is told.
#[test]
fn outputs_have_names() {
    let network = |outputs: &[&str], scores| {
        let mut description = network(&[
            "kind = 'separable', name = 'stem', filters = 4, repeat = 2, padding = 'same'",
            "kind = 'pointwise', name = 'scores', filters = 2, activation = 'none'",
            "kind = 'softmax', name = 'classes'",
            "kind = 'pointwise', name = 'boxes', input = 'stem', filters = 4",
        ]);
        description.outputs = outputs.iter().map(|name| (*name).to_owned()).collect();
        description.scores = scores;
        Graph::build(&description, &Knobs::default()).map_err(|error| error.to_string())
    };
    let graph = network(&["boxes", "stem", "classes"], Some(Scores::Values)).unwrap();
    assert_eq!(graph.output_names, ["boxes", "stem", "classes"]);
    let nodes: Vec<&str> = graph.outputs.iter().map(|id| graph.node(*id).name.as_str()).collect();
    assert_eq!(nodes, ["boxes.relu6", "stem_2_pw.relu6", "classes"]);
    let check = |outputs: &[&str], scores, expected: &str| {
        assert_eq!(network(outputs, scores).unwrap_err(), expected);
    };
    check(
        &["scores", "stem"],
        None,
        "2 faults in the network:\n  classes: found no layer that reads it, expected one, by its `input` or `from`, or its name in \
         `outputs`\n  boxes: found no layer that reads it, expected one, by its `input` or `from`, or its name in `outputs`",
    );
    check(
        &["classes", "boxes", "input", "boxes", "none"],
        None,
        "3 faults in the network:\n  outputs: found \"input\", the network's input, expected the name of a layer\n  \
         outputs: found \"boxes\" twice, expected each layer once\n  outputs: found \"none\", expected the name of a layer",
    );
    let scores = "scores: found \"sigmoid\" for 2 outputs, expected \"values\"";
    check(&["classes", "boxes"], Some(Scores::Sigmoid), scores);
}

/// Maps side by side, and a smaller one made as large as an earlier one.
#[test]
fn maps_are_joined() {
    let half = "kind = 'depthwise', stride = 2, batch_norm = false, activation = 'none', name = 'half'";
    check(
        &[half, "kind = 'upsample', factor = 2", "kind = 'concat', from = ['input', 'input']"],
        &["half 4x4x3 <- input", "upsample_1 8x8x3 <- half", "concat_1 8x8x9 <- upsample_1 input input"],
    );
    check(
        &[half, "kind = 'concat', from = ['input']"],
        &["concat_1: found 8x8x3 to put beside 4x4x3, expected 4 rows and 4 columns"],
    );
}

#[test]
fn pools_have_something_under_every_window() {
    check(
        &[
            "kind = 'max_pool', kernel = 3, padding = 'same'",
            "kind = 'average_pool', kernel = [1, 2], stride = [1, 3]",
            "kind = 'max_pool', kernel = 1, stride = 1",
        ],
        &[
            "max_pool_1 4x4x3 <- input",
            "average_pool_1 4x1x3 <- max_pool_1",
            "max_pool_2 4x1x3 <- average_pool_1",
        ],
    );
    check(
        &["kind = 'max_pool', stride = 1, padding = { top = 2, bottom = 0, left = 0, right = 0 }"],
        &[
            "max_pool_1: found a padding of 2 and 0 for a window of 2, expected one under which every window has an element of the map",
        ],
    );
}

/// Others read, and the network returns, what is inside of a block; names of parts are those that the layers have.
#[test]
fn parts_of_blocks() {
    let text = |outputs: &str, last: &str| {
        format!(
            "name = \"n\"\nclasses = 2\ninput = {{ height = 8, width = 8, channels = 8 }}\noutputs = [{outputs}]\n\
             [[layer]]\nkind = \"inverted_residual\"\nname = \"x\"\nfilters = 8\nexpand = 2\nreduce = 0.5\n\
             [[layer]]\nkind = \"separable\"\nname = \"y\"\nfilters = 8\nrepeat = 2\n{last}"
        )
    };
    let build = |text: &str| -> Result<Graph> {
        let description = Description::parse(text, "n")?;
        let parts: Vec<Vec<String>> = description.layers.iter().map(|layer| layer.part_names()).collect();
        assert_eq!(parts, Graph::layer_names(&description));
        Graph::build(&description, &Knobs::default())
    };
    let graph = build(&text("\"x_expand\", \"x_se\", \"y_1\", \"y_1_dw\", \"y\"", "")).unwrap_err();
    assert_eq!(graph.to_string(), "n:4:32: `outputs`: found \"y_1\", expected the name of a layer");
    let graph = build(&text("\"x_expand\", \"x_se\", \"y_1_dw\", \"y\"", "")).unwrap();
    let names: Vec<&str> = graph.outputs.iter().map(|id| graph.node(*id).name.as_str()).collect();
    assert_eq!(names, ["x_expand.relu6", "x_se", "y_1_dw.relu6", "y_2_pw.relu6"]);
    let reads = "[[layer]]\nkind = \"add\"\nname = \"sum\"\ninput = \"x_project\"\nfrom = \"y_1_pw\"\n";
    let graph = build(&text("\"sum\", \"y\"", reads)).unwrap();
    let sum = graph.by_name("sum").unwrap();
    let names: Vec<&str> = sum.inputs.iter().map(|id| graph.node(*id).name.as_str()).collect();
    assert_eq!(names, ["x_project.norm", "y_1_pw.relu6"]);
    // A block of other channels at its end has no sum.
    let error = build(&text("\"x_add\", \"y\"", "").replace("filters = 8\nexpand", "filters = 12\nexpand"))
        .unwrap_err();
    assert_eq!(error.to_string(), "outputs: found \"x_add\", expected the name of a layer");
}
