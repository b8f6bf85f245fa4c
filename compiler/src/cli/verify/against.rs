//! What another framework recorded, beside what this network computes: within a tolerance, for no two frameworks round alike.

use std::path::{Path, PathBuf};

use half::f16;
use mnc::graph::layer::Layer;
use mnc::graph::shape::Shape;
use mnc::passes::{Fused, FusedId};
use mnc::{Error, ErrorKind, Place, Result};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde::Serialize;

use super::super::fail;
use super::super::files::{self, Kind};
use super::check::Input;

/// Recorded values of one tensor.
#[derive(Clone, Debug)]
pub(super) struct Recorded {
    /// Its name in the file.
    pub(super) tensor: String,
    /// The layer whose value it is.
    pub(super) layer: FusedId,
    /// For each recorded input, in the order row, column, channel.
    pub(super) values: Vec<Vec<f64>>,
}

/// What the files have.
#[derive(Clone, Debug)]
pub(super) struct Recording {
    pub(super) inputs: Vec<Input>,
    pub(super) tensors: Vec<Recorded>,
}

/// How far a tensor is from what was recorded.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Distance {
    pub(super) tensor: String,
    pub(super) layer: String,
    pub(super) max: f64,
    pub(super) mean: f64,
    /// Input, row, column and channel of the maximum.
    pub(super) at: [usize; 4],
    pub(super) found: f64,
    pub(super) recorded: f64,
    pub(super) n_elements: usize,
    /// Inputs whose largest element is the recorded one, of a tensor of scores.
    pub(super) top1: Option<usize>,
    pub(super) n_inputs: usize,
    pub(super) is_within: bool,
}

/// The names by which outputs go, the most exact first.
const OUTPUTS: [&str; 5] = ["logits_f64", "logits", "probabilities", "output", "outputs"];

/// Reads the files; a tensor is taken from the first that has it.
///
/// # Errors
/// Files without inputs or outputs, and tensors of other shapes than the network's.
pub(super) fn read(paths: &[PathBuf], wanted: Option<&str>, fused: &Fused) -> Result<Recording> {
    let bytes: Vec<Vec<u8>> =
        paths.iter().map(|path| files::read(path, Kind::Weights)).collect::<Result<_>>()?;
    let files: Vec<(&Path, SafeTensors<'_>)> = paths
        .iter()
        .zip(&bytes)
        .map(|(path, bytes)| match SafeTensors::deserialize(bytes) {
            Ok(file) => Ok((path.as_path(), file)),
            Err(error) => fail(path, format!("{error}, expected safetensors")),
        })
        .collect::<Result<_>>()?;
    let find = |name: &str| files.iter().find_map(|(path, file)| Some((*path, file.tensor(name).ok()?)));
    let Some((path, input)) = find("input").or_else(|| find("inputs")) else {
        return fail(
            paths[0].as_path(),
            "found no tensor `input`, expected one in --against or in a second --against",
        );
    };
    let inputs: Vec<Input> = values(path, "input", &input, fused.nodes[0].shape())?
        .into_iter()
        .enumerate()
        .map(|(idx, values)| Input {
            label: format!("recorded input {}", idx + 1),
            values: values.into_iter().map(|x| x as f32).collect(),
        })
        .collect();
    let mut tensors = Vec::new();
    let mut take = |name: &str, layer: FusedId| -> Result<bool> {
        let Some((path, tensor)) = find(name) else { return Ok(false) };
        let recorded = values(path, name, &tensor, fused.nodes[layer.0].shape())?;
        if recorded.len() != inputs.len() {
            let (found, expected) = (recorded.len(), inputs.len());
            return fail(path, format!("{name}: found values of {found} inputs, expected {expected}"));
        }
        tensors.push(Recorded { tensor: name.to_owned(), layer, values: recorded });
        Ok(true)
    };
    for (name, layer) in layer_tensors(fused, |name| find(name).is_some()) {
        take(&name, layer)?;
    }
    match wanted {
        Some(name) if fused.outputs.len() != 1 => {
            if layer_tensors(fused, |known| known == name).is_empty() {
                let names = fused.output_names.join(", ");
                let detail =
                    format!("found --tensor {name}, expected one of the outputs, {names}, or a layer");
                return fail(paths[0].as_path(), detail);
            }
        }
        Some(name) => {
            if !take(name, output_of(name, fused))? {
                return fail(
                    paths[0].as_path(),
                    format!("found no tensor `{name}`, expected what --tensor names"),
                );
            }
        }
        // Which of several it would be nobody knows: their own names are those of layers.
        None if fused.outputs.len() != 1 => {}
        None => {
            for name in OUTPUTS {
                if take(name, output_of(name, fused))? {
                    break;
                }
            }
        }
    }
    if tensors.is_empty() {
        let detail = format!(
            "found neither outputs nor layers, expected a tensor called {}, or by a layer (`mnc compile --dump fused` lists them), or --tensor NAME",
            OUTPUTS.join(", ")
        );
        return fail(paths[0].as_path(), detail);
    }
    Ok(Recording { inputs, tensors })
}

/// Logits of a network that ends in a softmax are those before it.
fn output_of(name: &str, fused: &Fused) -> FusedId {
    let output = fused.outputs[0];
    let node = &fused.nodes[output.0];
    if name.starts_with("logits") && node.layer == Layer::Softmax { node.inputs[0] } else { output }
}

/// The tensors that are called as the layers are, or `layer.00`, `layer.01`, … for the convolutions in their order.
fn layer_tensors(fused: &Fused, has: impl Fn(&str) -> bool) -> Vec<(String, FusedId)> {
    let nodes = || fused.nodes.iter().enumerate().skip(1);
    let outputs = fused.output_names.iter().cloned().zip(fused.outputs.iter().copied());
    let is_node = |name: &str| fused.nodes.iter().any(|node| node.value_name() == name);
    let outputs = outputs.filter(|(name, _)| !is_node(name));
    let named = nodes().map(|(idx, node)| (node.value_name().to_owned(), FusedId(idx))).chain(outputs);
    let convs = nodes().filter(|(_, node)| node.layer.window().is_some()).enumerate();
    let numbered = convs.map(|(number, (idx, _))| (format!("layer.{number:02}"), FusedId(idx)));
    named.chain(numbered).filter(|(name, _)| has(name)).collect()
}

/// The values of a tensor for each input, in the order row, column, channel: from `[n, C, H, W]`, or `[n, H, W, C]` if only
/// that fits, or `[n, len]`; without the first axis for one input.
fn values(path: &Path, name: &str, tensor: &TensorView<'_>, shape: Shape) -> Result<Vec<Vec<f64>>> {
    let numbers = numbers(tensor).ok_or_else(|| {
        let detail = format!("{name}: found {:?}, expected F64, F32 or F16", tensor.dtype());
        Error::new(ErrorKind::Io, Place::file(path), detail)
    })?;
    let Shape { height, width, channels } = shape;
    let (first, last) = ([channels, height, width], [height, width, channels]);
    let found = tensor.shape();
    let (is_first, is_flat) = match found {
        [_, rest @ ..] if *rest == first => (true, false),
        rest if *rest == first => (true, false),
        [_, rest @ ..] if *rest == last => (false, false),
        rest if *rest == last => (false, false),
        [_, len] if *len == shape.len() && shape.pixels() == 1 => (false, true),
        [len] if *len == shape.len() && shape.pixels() == 1 => (false, true),
        _ => {
            let detail = format!(
                "{name}: found the shape {found:?}, expected [n, {channels}, {height}, {width}] or [n, {height}, {width}, \
                 {channels}]{}",
                if shape.pixels() == 1 { format!(" or [n, {channels}]") } else { String::new() }
            );
            return fail(path, detail);
        }
    };
    let ordered = |image: &[f64]| -> Vec<f64> {
        if !is_first || is_flat {
            return image.to_vec();
        }
        let pixels = height * width;
        let channel_of = |pixel: usize| (0..channels).map(move |channel| image[channel * pixels + pixel]);
        (0..pixels).flat_map(channel_of).collect()
    };
    Ok(numbers.chunks_exact(shape.len()).map(ordered).collect())
}

fn numbers(tensor: &TensorView<'_>) -> Option<Vec<f64>> {
    let data = tensor.data();
    match tensor.dtype() {
        Dtype::F64 => Some(data.as_chunks().0.iter().map(|b| f64::from_le_bytes(*b)).collect()),
        Dtype::F32 => Some(data.as_chunks().0.iter().map(|b| f64::from(f32::from_le_bytes(*b))).collect()),
        Dtype::F16 => Some(data.as_chunks().0.iter().map(|b| f64::from(f16::from_le_bytes(*b))).collect()),
        _ => None,
    }
}

/// How far what was found is from what was recorded; a difference that is no number is as far as can be.
pub(super) fn distance(recorded: &Recorded, found: &[Vec<f32>], fused: &Fused, tolerance: f64) -> Distance {
    let node = &fused.nodes[recorded.layer.0];
    let Shape { width, channels, .. } = node.shape();
    let (mut max, mut sum, mut n_elements, mut worst) = (0.0f64, 0.0, 0, (0, 0));
    let mut top1 = 0;
    for (input, (found, recorded)) in found.iter().zip(&recorded.values).enumerate() {
        for (element, (a, b)) in found.iter().zip(recorded).enumerate() {
            let a = f64::from(*a);
            let both_nan = a.is_nan() && b.is_nan();
            let apart = if both_nan || a == *b { 0.0 } else { (a - b).abs() };
            let apart = if apart.is_nan() { f64::INFINITY } else { apart };
            if max < apart {
                (max, worst) = (apart, (input, element));
            }
            sum += apart;
            n_elements += 1;
        }
        let found: Vec<f64> = found.iter().map(|x| f64::from(*x)).collect();
        top1 += usize::from(largest(&found) == largest(recorded));
    }
    let (input, element) = worst;
    let pixel = element / channels;
    Distance {
        tensor: recorded.tensor.clone(),
        layer: node.value_name().to_owned(),
        max,
        mean: if n_elements == 0 { 0.0 } else { sum / n_elements as f64 },
        at: [input, pixel / width, pixel % width, element % channels],
        found: f64::from(found[input][element]),
        recorded: recorded.values[input][element],
        n_elements,
        top1: (node.shape().pixels() == 1).then_some(top1),
        n_inputs: found.len(),
        is_within: max <= tolerance,
    }
}

/// The first of the largest.
fn largest(values: &[f64]) -> usize {
    let mut best = 0;
    for (idx, value) in values.iter().enumerate() {
        if values[best] < *value {
            best = idx;
        }
    }
    best
}
