//! A face detector of eight outputs, described by the layer table of its recorded answers.

use mnc::Target;
use mnc::describe::Description;
use mnc::graph::{Graph, Knobs};
use mnc::weights::Weights;
use mnc::weights::naming::Naming;
use mnc_tests::need;
use mnc_tests::recorded::{maps, read, vectors};
use safetensors::SafeTensors;
use serde_json::Value;

use super::{check_bits, run};

/// Boxes are encoded as numbers of up to about 10, sums of at most 2304 products: 2304^0.5 * 2^-24 * 10 = 3e-5. Of scores, which have
/// gone through a softmax, the errors are a quarter of the headers' at most. ONNX Runtime in f32 is up to 1.6e-5 away.
const TOLERANCE: f64 = 1e-4;

/// Layers' names with the signs that descriptions allow.
fn plain(name: &Value) -> String {
    name.as_str().expect("a name").replace('.', "_")
}

fn description(layers: &[Value], outputs: &[String]) -> String {
    let mut text = format!(
        "name = \"faces\"\nclasses = 2\npadding = \"symmetric\"\nbatch_norm_epsilon = 1e-5\noutputs = {outputs:?}\n\
         input = {{ height = 240, width = 320, channels = 3 }}\nalpha = {{ minimum = 1 }}\n"
    );
    for layer in layers {
        let kind = layer["kind"].as_str().expect("a kind");
        let (name, from) = (plain(&layer["name"]), plain(&layer["from"]));
        let has_norm = !layer["norm"].is_null();
        let [kernel, stride, padding, dilation, bias, activation] =
            ["kernel", "stride", "padding", "dilation", "bias", "activation"].map(|key| &layer[key]);
        text += &format!(
            "[[layer]]\nkind = \"{kind}\"\nname = \"{name}\"\ninput = \"{from}\"\nkernel = {kernel}\nstride = {stride}\n\
             padding = {padding}\ndilation = {dilation}\nbias = {bias}\nactivation = {activation}\nbatch_norm = {has_norm}\n"
        );
        if kind == "conv" {
            text += &format!("filters = {}\n", layer["out"]);
        }
    }
    text
}

/// The file with the tensors' names in the plain naming.
fn renamed(file: &[u8], layers: &[Value]) -> Vec<u8> {
    let file = SafeTensors::deserialize(file).expect("it is safetensors");
    let mut tensors = Vec::new();
    for layer in layers {
        let (name, ours) = (layer["name"].as_str().expect("a name"), plain(&layer["name"]));
        let bias = layer["bias"]
            .as_bool()
            .expect("yes or no")
            .then(|| (format!("{name}.bias"), format!("{ours}.bias")));
        let norms = ["weight gamma", "bias beta", "running_mean mean", "running_var variance"];
        let norm = layer["norm"].as_str().into_iter().flat_map(|norm| {
            let words = norms.iter().filter_map(|words| words.split_once(' '));
            let ours = &ours;
            words.map(move |(theirs, word)| (format!("{norm}.{theirs}"), format!("{ours}.norm.{word}")))
        });
        let weight = (format!("{name}.weight"), format!("{ours}.weight"));
        for (theirs, ours) in [weight].into_iter().chain(bias).chain(norm.collect::<Vec<_>>()) {
            tensors.push((ours, file.tensor(&theirs).unwrap_or_else(|error| panic!("{theirs}: {error}"))));
        }
    }
    safetensors::serialize(tensors, None).expect("names are unique")
}

#[test]
fn ultraface() {
    let shared = |name: &str| need::shared_data(&format!("next/{name}"));
    let files = ["weights/ultraface_slim_320.safetensors", "expected/ultraface_slim_320.json"].map(shared);
    let ([Some(weights), Some(table)], Some(io)) =
        (files, shared("expected/ultraface_slim_320.io.safetensors"))
    else {
        return;
    };
    let Some(target): Option<Target> = need::host_targets().into_iter().next() else { return };
    let table: Value = serde_json::from_slice(&read(&table)).expect("it is JSON");
    let layers = table["layers"].as_array().expect("an array of layers");
    let headers: Vec<String> = ["classification", "regression"]
        .iter()
        .flat_map(|kind| (0..4).map(move |idx| (kind, idx)))
        .map(|(kind, idx)| format!("{kind}_headers_{idx}{}", if idx == 3 { "" } else { "_2" }))
        .collect();
    let fail = |error: mnc::Error| -> ! { panic!("{error}") };
    let description = Description::parse(&description(layers, &headers), "faces.toml");
    let description = description.unwrap_or_else(|error| fail(error));
    let graph = Graph::build(&description, &Knobs::default()).unwrap_or_else(|error| fail(error));
    let bytes = renamed(&read(&weights), layers);
    let weights = Weights::parse(&bytes, "faces").unwrap_or_else(|error| fail(error));
    let parameters = weights.parameters(&graph, Some(&Naming::PLAIN)).unwrap_or_else(|error| fail(error));
    let options = mnc::Options { name: "faces", labels: &[] };
    let compiled = mnc::compile(graph, &parameters, &target, &options).unwrap_or_else(|error| fail(error));

    let io = read(&io);
    let (scores, boxes) = (vectors(&io, "scores_f64"), vectors(&io, "boxes_f64"));
    let inputs = maps(&io, "input");
    let answers = run(&compiled, &inputs);
    check_bits("ultraface", &compiled, (&inputs[0], &answers[0]));
    for (idx, found) in answers.iter().enumerate() {
        let found: Vec<f64> = found.iter().map(|x| f64::from(*x)).collect();
        // Each output row, column, channel is the recorded order: an anchor's two scores, or its four numbers.
        let (classes, regressions) = found.split_at(scores[idx].len());
        let softmax = classes.chunks_exact(2).flat_map(|pair| {
            let face = 1.0 / (1.0 + f64::exp(pair[0] - pair[1]));
            [1.0 - face, face]
        });
        let pairs = softmax.zip(&scores[idx]).chain(regressions.iter().copied().zip(&boxes[idx]));
        assert_eq!(regressions.len(), boxes[idx].len());
        let furthest = pairs.map(|(found, expected)| (found - expected).abs()).fold(0.0, f64::max);
        assert!(furthest <= TOLERANCE, "input {idx}: {furthest:e} from the answer");
    }
}
