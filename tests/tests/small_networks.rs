//! Networks of other fields that people bring as descriptions: their known sizes, and compiled code against the reference.

use mnc::cost::Report;
use mnc::describe::Description;
use mnc::graph::{Graph, Knobs};
use mnc::weights::Parameters;
use mnc::{Options, reference};
use mnc_runtime::abi::Status;
use mnc_tests::link::Linked;
use mnc_tests::{bits, need};

fn graph(toml: &str) -> Graph {
    let description = Description::parse(toml, "network.toml").unwrap_or_else(|error| panic!("{error}"));
    Graph::build(&description, &Knobs::default()).unwrap_or_else(|error| panic!("{error}"))
}

/// On every instruction set of this machine.
fn check(toml: &str) {
    let graph = graph(toml);
    let parameters = Parameters::random(&graph, 3);
    let input: Vec<f32> = (0..graph.input_shape().len()).map(|idx| (idx % 23) as f32 / 11.0 - 1.0).collect();
    for target in need::host_targets() {
        let options = Options { name: "net", labels: &[] };
        let compiled = mnc::compile(graph.clone(), &parameters, &target, &options)
            .unwrap_or_else(|error| panic!("{error}"));
        let expected = reference::output(&compiled.fused, &input);
        let Some(linked) = Linked::one(&compiled) else { return };
        match linked.network(&compiled).run(&input) {
            Err(Status::MissingCpuFeature) => need::skip_cpu(&compiled),
            found => {
                let found = found.unwrap_or_else(|status| panic!("{target}: {status}"));
                bits::compare(&found, &expected).unwrap_or_else(|error| panic!("{target}: {error}"));
            }
        }
    }
}

/// MLPerf Tiny's keyword spotting: a kernel and a map that aren't square. Its paper counts 2.7 million multiply-adds.
#[test]
fn keyword_spotting() {
    let toml = r#"
name = "ds-cnn"
classes = 12
activation = "relu"
input = { height = 49, width = 10, channels = 1 }
[[layer]]
kind = "conv"
filters = 64
kernel = [10, 4]
stride = 2
[[layer]]
kind = "separable"
filters = 64
repeat = 4
[[layer]]
kind = "global_average_pool"
[[layer]]
kind = "dense"
[[layer]]
kind = "softmax"
"#;
    let graph = graph(toml);
    let shape = graph.node(graph.nodes[1].inputs[0]).shape();
    assert_eq!((shape.height, shape.width), (49, 10));
    assert_eq!((graph.nodes[1].shape().height, graph.nodes[1].shape().width), (25, 5));
    let blocks = 4 * (9 * 64 + 64 * 64) * 125;
    assert_eq!(Report::of(&graph).total.mult_adds, (40 * 64 * 125 + blocks + 64 * 12) as u64);
    check(toml);
    check(&toml.replace("stride = 2", "stride = [2, 1]"));
    check(&toml.replace("kind = \"separable\"", "kind = \"separable\"\ndilation = 2"));
}

/// What face detectors and Keras's heads are made of.
#[test]
fn other_activations_and_pools() {
    check(
        r#"
name = "parts"
classes = 4
activation = "leaky_relu"
slope = 0.1
input = { height = 33, width = 31, channels = 3 }
[[layer]]
kind = "conv"
filters = 12
kernel = 3
stride = 2
[[layer]]
kind = "max_pool"
kernel = 2
stride = 2
[[layer]]
kind = "separable"
filters = 20
[[layer]]
kind = "average_pool"
kernel = 3
stride = 1
[[layer]]
kind = "conv"
filters = 9
kernel = 1
activation = "sigmoid"
[[layer]]
kind = "global_average_pool"
[[layer]]
kind = "dense"
"#,
    );
}

/// A layer that does nothing once a network is trained, and one of another framework, are named.
#[test]
fn layers_that_there_are_not() {
    for kind in ["dropout", "lstm"] {
        let toml = format!(
            "name = \"net\"\nclasses = 2\ninput = {{ height = 8, width = 8, channels = 3 }}\n[[layer]]\nkind = \"{kind}\"\n"
        );
        let error = Description::parse(&toml, "net.toml").unwrap_err().to_string();
        assert!(error.contains(kind) && error.contains("expected \"conv\""), "{error}");
    }
}
