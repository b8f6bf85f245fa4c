//! Integers of another quantiser, with their scales.

use std::sync::OnceLock;

use mnc::describe::Description;
use mnc::graph::{Graph, Knobs};
use mnc::quantize::others;
use mnc::weights::naming::{Naming, Role};
use mnc::weights::{Form, Norms, Weights};
use safetensors::Dtype;
use safetensors::tensor::TensorView;

use super::Target;
use super::binary::SMALL;
use crate::random::Random;

/// The small network without its batch norms, and with an addition.
fn folded() -> Graph {
    let named = SMALL.replace("kind = \"separable\"", "name = \"block\"\nkind = \"separable\"");
    let text = named.replace(
        "[[layer]]\nkind = \"global_average_pool\"",
        "[[layer]]\nkind = \"pointwise\"\nfilters = 5\nactivation = \"none\"\n\
         [[layer]]\nkind = \"add\"\nfrom = \"block\"\n[[layer]]\nkind = \"global_average_pool\"",
    );
    let mut description = Description::parse(&text, "small.toml").expect("it is legal");
    Form { is_headless: false, norms: Norms::Folded }.apply(&mut description);
    Graph::build(&description, &Knobs::default()).expect("it is legal")
}

/// A file of it: signed weights, or unsigned ones with zero points.
fn file(dtype: Dtype) -> Vec<u8> {
    let graph = folded();
    let mut random = Random::new(1);
    let mut tensors: Vec<(String, Dtype, Vec<usize>, Vec<u8>)> = Vec::new();
    let f32s = |n: usize, x: f32| x.to_le_bytes().repeat(n);
    for spec in Naming::PLAIN.tensors(&graph).expect("every layer has a name") {
        let len: usize = spec.shape.iter().product();
        if spec.role == Role::Weight {
            let (n, bytes) = (spec.shape[0], (0..len).map(|_| random.bits() as u8).collect());
            tensors.push((format!("{}.weight_scale", spec.layer), Dtype::F32, vec![n], f32s(n, 0.01)));
            tensors.push((format!("{}.weight_zero_point", spec.layer), dtype, vec![1], vec![120]));
            tensors.push((spec.tensor, dtype, spec.shape, bytes));
        } else {
            tensors.push((spec.tensor, Dtype::I32, spec.shape, 1000i32.to_le_bytes().repeat(len)));
        }
    }
    for node in &graph.nodes {
        tensors.push((format!("{}.output_scale", node.name), Dtype::F32, vec![1], f32s(1, 0.05)));
        tensors.push((format!("{}.output_zero_point", node.name), dtype, vec![1], vec![3]));
    }
    let views = tensors.iter().map(|(name, dtype, shape, bytes)| {
        let view = TensorView::new(*dtype, shape.clone(), bytes).expect("the lengths agree");
        (name, view)
    });
    safetensors::serialize(views, None).expect("it can be written")
}

pub(super) const QUANTISED: Target = Target {
    name: "quantised",
    run: |bytes| {
        static GRAPH: OnceLock<Graph> = OnceLock::new();
        let graph = GRAPH.get_or_init(folded);
        let Ok(weights) = Weights::parse(bytes, "fuzz.safetensors") else { return false };
        let Ok(network) = others::read(&weights, graph, None) else { return false };
        // No sum leaves an i32.
        let input: Vec<f32> = (0..graph.input_shape().len()).map(|idx| (idx % 3) as f32 - 1.0).collect();
        mnc::reference::output(&network, &input).len() == 3
    },
    seeds: || [Dtype::I8, Dtype::U8].map(file).into(),
    words: &[
        "\"dtype\":\"I8\"",
        "\"I32\"",
        "\"U8\"",
        "\"shape\":[",
        "\"data_offsets\":[",
        "weight_scale",
        "weight_zero_point",
        "output_scale",
        "output_zero_point",
        "4294967296",
    ],
    n_inputs: 20_000,
};
