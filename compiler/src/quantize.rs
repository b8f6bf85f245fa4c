//! A network in f32 -> the same in bytes and integers, and how far the two are apart.
//!
//! Bytes stand for numbers by one scale for each value, weights by one for each output channel; [`crate::passes::Integer`] and
//! [`crate::reference`] say what is computed. Here the scales are chosen and the biases corrected, on pictures that need no labels:
//! docs/int8.md tells why each choice is made. The same network and pictures give the same numbers on any number of threads.

mod check;
pub mod crops;
pub mod file;
mod forward;
pub mod leaves;
mod parts;
mod ranges;
mod report;
pub mod sample;
mod statistics;
#[cfg(test)]
mod tests;
mod weights;

pub use self::report::{Certificate, Comparison, Distance, compare};

use self::forward::{Ready, Value, compute};
use self::parts::parallel;
use self::statistics::{Norm, Seen, gather, norms};
use self::weights::{Inputs, Meaning, Task};
use crate::error::{Error, ErrorKind, Place, Result};
use crate::graph::Graph;
use crate::graph::layer::Layer;
use crate::graph::tensor::{Dtype, Tensor};
use crate::passes::{self, ByteInput, Bytes, Fused, FusedNode, Integer};
use crate::weights::Parameters;

/// Pictures as bytes, each as the network's input has them: rows, columns, channels in its order.
#[derive(Clone, Copy, Debug)]
pub struct Pictures<'a> {
    /// Of each picture as many as the input has elements.
    pub bytes: &'a [Vec<u8>],
    /// For each channel, what makes numbers of bytes: see [`crate::describe::Preprocess::constants`].
    pub constants: &'a [(f32, f32)],
    /// How many threads share the work.
    pub n_threads: usize,
}

impl Pictures<'_> {
    /// What the network in f32 takes for a picture.
    fn numbers(&self, idx: usize) -> Vec<f32> {
        let constants = self.constants.iter().cycle();
        let numbers = self.bytes[idx].iter().zip(constants);
        numbers.map(|(q, (multiplier, offset))| f32::from(*q).mul_add(*multiplier, *offset)).collect()
    }
}

/// What the user chooses.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Whether the weights of two neighbouring input channels, 2k and 2k + 1, add up to at most 128 where they have one sign: then
    /// CPUs that add pairs of products in 16 bits give the same answers, in half of the steps.
    pub pair_safe: bool,
}

/// Steps of work of which [`quantize`] tells, one call for each: one layer on one picture.
pub fn n_steps(graph: &Graph, n_pictures: usize) -> Result<usize> {
    Ok(2 * (passes::shapes(graph)?.nodes.len() - 1) * n_pictures)
}

/// Whether a network can be quantised at all, before its numbers are read.
///
/// # Errors
/// As [`quantize`], but for what numbers do.
pub fn check(graph: &Graph) -> Result<()> {
    let constants = graph.preprocess.constants();
    byte_input(&constants)?;
    check::numbers(&passes::shapes(graph)?).map(|_| ())
}

/// Makes a network of bytes and integers, calibrated on pictures; also returns the network in f32.
///
/// # Errors
/// A layer that can't be computed in integers yet, numbers that no scale holds, and everything of [`passes::run`].
///
/// # Panics
/// When there is no picture, or one of another length than the input.
pub fn quantize(
    graph: &Graph,
    parameters: &Parameters,
    pictures: &Pictures<'_>,
    options: Options,
    done: &(dyn Fn() + Sync),
) -> Result<(Fused, Fused)> {
    let network = passes::run(graph, parameters)?;
    let is_numbers = check::numbers(&network)?;
    let len = network.nodes[0].shape().len();
    assert!(!pictures.bytes.is_empty(), "a network is calibrated on something");
    assert!(pictures.bytes.iter().all(|picture| picture.len() == len), "pictures have the input's length");
    let byte_input = byte_input(pictures.constants)?;
    let seen = gather(&Ready::new(&network), pictures, done);
    let norms = norms(graph, parameters, &network, &seen);
    let mut work = Work {
        nodes: Vec::with_capacity(network.nodes.len()),
        values: vec![pictures.bytes.to_vec()],
        meanings: vec![Some(input_meaning(pictures.constants))],
    };
    work.nodes.push(FusedNode { tensor: bytes_of(&network.nodes[0]), ..network.nodes[0].clone() });
    for (idx, node) in network.nodes.iter().enumerate().skip(1) {
        let about = About { seen: &seen[idx], norm: norms[idx].as_ref(), is_numbers: is_numbers[idx] };
        work.next(node, &about, options, (pictures.n_threads, done))?;
        work.forget(&network, idx);
    }
    let integers = Fused { nodes: work.nodes, byte_input: Some(byte_input), ..network.clone() };
    integers.verify();
    Ok((network, integers))
}

fn bytes_of(node: &FusedNode) -> Tensor {
    Tensor { dtype: Dtype::U8, ..node.tensor }
}

/// The bytes of an input's numbers. Those of every byte come back.
fn byte_input(constants: &[(f32, f32)]) -> Result<ByteInput> {
    let input = ByteInput {
        scale: constants.iter().map(|(multiplier, _)| 1.0 / multiplier).collect(),
        offset: constants
            .iter()
            .map(|(multiplier, offset)| (-f64::from(*offset) / f64::from(*multiplier)) as f32)
            .collect(),
    };
    for (idx, (multiplier, offset)) in constants.iter().enumerate() {
        let comes_back = |q: u8| {
            let x = f32::from(q).mul_add(*multiplier, *offset);
            x.mul_add(input.scale[idx], input.offset[idx]).round_ties_even() == f32::from(q)
        };
        if !(0..=255).all(comes_back) {
            let detail = format!(
                "channel {idx}: found multiplier {multiplier} and offset {offset}, expected numbers that tell all 256 bytes apart in f32"
            );
            return Err(Error::new(ErrorKind::Options, Place::named("preprocess"), detail));
        }
    }
    Ok(input)
}

fn input_meaning(constants: &[(f32, f32)]) -> Meaning {
    let wide = constants.iter().map(|(multiplier, offset)| (f64::from(*multiplier), f64::from(*offset)));
    Meaning {
        scale: wide.clone().map(|(multiplier, _)| multiplier).collect(),
        zero: wide.map(|(multiplier, offset)| offset / multiplier).collect(),
    }
}

/// What is known of a node in f32.
struct About<'a> {
    seen: &'a Seen,
    norm: Option<&'a Norm>,
    /// Whether its output stays numbers.
    is_numbers: bool,
}

/// The network so far.
struct Work {
    nodes: Vec<FusedNode>,
    /// By node, of each picture: the bytes, as long as somebody needs them.
    values: Vec<Vec<Vec<u8>>>,
    /// By node, where it has bytes.
    meanings: Vec<Option<Meaning>>,
}

impl Work {
    /// Adds a node in integers and computes it on every picture.
    fn next(
        &mut self,
        node: &FusedNode,
        about: &About<'_>,
        options: Options,
        (n_threads, done): (usize, &(dyn Fn() + Sync)),
    ) -> Result<()> {
        let from = node.inputs[0].0;
        let shape = self.nodes[from].shape();
        let wrong = |detail: String| Error::new(ErrorKind::Weights, Place::layer(&node.name), detail);
        if node.layer == Layer::Softmax {
            self.nodes.push(node.clone());
            self.values.push(Vec::new());
            self.meanings.push(None);
            (0..self.values[0].len()).for_each(|_| done());
            return Ok(());
        }
        let meaning = self.meanings[from].clone().expect("checked: integers are computed of bytes");
        let is_pool = node.filter.is_none();
        let bytes = match (about.is_numbers, is_pool) {
            (true, _) => None,
            // The mean of bytes is a byte of the same scale.
            (false, true) => self.nodes[from].bytes,
            (false, false) => {
                Some(ranges::bytes(node.activation, about.seen, about.norm).ok_or_else(|| {
                    wrong("gives infinite numbers on the calibration's pictures".to_owned())
                })?)
            }
        };
        let inputs = &self.values[from];
        let integer = match &node.filter {
            None => pool(&meaning, shape.pixels(), bytes),
            Some(filter) => {
                let count = |idx: usize| {
                    let mut counted = Inputs::new(&node.layer, shape);
                    counted.add(&node.layer, (shape, node.shape()), &inputs[idx]);
                    counted
                };
                let mut counted = Inputs::new(&node.layer, shape);
                parallel(inputs.len(), n_threads, &count).iter().for_each(|more| counted.merge(more));
                let task = Task {
                    node,
                    filter,
                    input: shape,
                    meaning: &meaning,
                    bytes,
                    inputs: &counted,
                    means: &about.seen.mean,
                    // The camera's bytes go through kernels of their own.
                    pair_safe: options.pair_safe && from != 0,
                };
                task.run().map_err(wrong)?
            }
        };
        let tensor = if bytes.is_some() { bytes_of(node) } else { node.tensor };
        let node = FusedNode { filter: None, tensor, bytes, integer: Some(integer), ..node.clone() };
        let values = self.values_of(&node, n_threads, done);
        self.meanings.push(bytes.map(|bytes| Meaning::of(bytes, node.shape().channels)));
        self.nodes.push(node);
        self.values.push(values);
        Ok(())
    }

    /// The bytes of a node that is next, of each picture; none of one that has numbers.
    fn values_of(&self, node: &FusedNode, n_threads: usize, done: &(dyn Fn() + Sync)) -> Vec<Vec<u8>> {
        let from = node.inputs[0].0;
        let shape = self.nodes[from].shape();
        let inputs = &self.values[from];
        if node.bytes.is_none() {
            inputs.iter().for_each(|_| done());
            return Vec::new();
        }
        let products = forward::Products::of(shape, node);
        parallel(inputs.len(), n_threads, &|idx| {
            let value =
                compute(node, products.as_ref(), shape, &Value::Bytes(inputs[idx].clone()), &mut |_| ());
            done();
            match value {
                Value::Bytes(bytes) => bytes,
                Value::Numbers(_) => unreachable!("a node with bytes gives bytes"),
            }
        })
    }

    /// Drops what this node was the last to read, and its own value if nobody will.
    fn forget(&mut self, network: &Fused, idx: usize) {
        let read = network.nodes[idx].inputs.iter().map(|id| id.0);
        for earlier in read.chain([idx]).filter(|earlier| *earlier != 0) {
            let is_read =
                network.nodes[idx + 1..].iter().any(|node| node.inputs.iter().any(|id| id.0 == earlier));
            if !is_read {
                self.values[earlier] = Vec::new();
            }
        }
    }
}

/// A mean over so many pixels.
fn pool(meaning: &Meaning, pixels: usize, bytes: Option<Bytes>) -> Integer {
    let step = if bytes.is_some() { 1.0 } else { meaning.scale[0] };
    Integer {
        weights: Vec::new(),
        bias: vec![(meaning.zero[0] * pixels as f64) as i32],
        multiplier: vec![(step / pixels as f64) as f32],
    }
}
