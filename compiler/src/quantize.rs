//! A network in f32 -> the same in bytes and integers, and how far the two are apart.
//!
//! Bytes stand for numbers by one scale for each value, weights by one for each output channel; [`crate::passes::Integer`] and
//! [`crate::reference`] say what is computed. Here the scales are chosen and the biases corrected, on pictures that need no labels:
//! docs/int8.md tells why each choice is made. The same network and pictures give the same numbers on any number of threads.

mod assembly;
mod balance;
mod check;
mod choose;
mod cost;
pub mod crops;
pub mod file;
mod forward;
pub mod leaves;
pub mod others;
mod parts;
mod ranges;
mod report;
pub mod sample;
mod statistics;
#[cfg(test)]
mod tests;
mod weights;

#[cfg(test)]
pub(crate) use self::assembly::with_numbers;
pub use self::choose::Choice;
pub use self::report::{Certificate, Comparison, Distance, compare};

use self::assembly::Assembly;
use self::balance::{Known, Scales};
use self::check::Form;
use self::forward::{Ready, Value, compute};
use self::parts::parallel;
use self::statistics::{Norm, Seen, gather, norms};
use self::weights::{Inputs, Meaning, Task};
use crate::error::{Error, ErrorKind, Place, Result};
use crate::graph::Graph;
use crate::graph::layer::Layer;
use crate::graph::shape::Shape;
use crate::graph::tensor::{Dtype, Tensor};
use crate::passes::{
    self, Addition, ByteInput, ByteSum, Bytes, Filter, Fused, FusedId, FusedNode, Integer, is_clamp,
};
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
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Whether of each eight input channels the weights of 0, 1, 4 and 5, and of 2, 3, 6 and 7, add up to at most 128 where they have one
    /// sign: then CPUs that add products up in 16 bits give the same answers in fewer steps.
    pub pair_safe: bool,
    /// The layers that are computed in f32, by name.
    pub keep_f32: Vec<String>,
    /// Whether no others are for the sake of the measured error.
    pub only_named: bool,
}

/// Steps of work of which [`quantize`] tells, one call for each: one layer on one picture.
pub fn n_steps(graph: &Graph, n_pictures: usize) -> Result<usize> {
    Ok(2 * (passes::shapes(graph)?.nodes.len() - 1) * n_pictures)
}

/// Whether a network can be quantised at all, with such layers in f32, before its numbers are read.
///
/// # Errors
/// As [`quantize`], but for what numbers do.
pub fn check(graph: &Graph, options: &Options) -> Result<()> {
    let constants = graph.preprocess.constants();
    byte_input(&constants)?;
    check::forms(&passes::shapes(graph)?, &options.keep_f32).map(|_| ())
}

/// A network in both forms.
#[derive(Clone, Debug)]
pub struct Quantized {
    /// In f32.
    pub numbers: Fused,
    /// In bytes and integers.
    pub integers: Fused,
    /// The layers of it that the measured error left in f32.
    pub choices: Vec<Choice>,
}

/// Makes a network of bytes and integers, calibrated on pictures.
///
/// # Errors
/// A layer to keep that isn't there, numbers that no scale holds, and everything of [`passes::run`].
///
/// # Panics
/// When there is no picture, or one of another length than the input.
pub fn quantize(
    graph: &Graph,
    parameters: &Parameters,
    pictures: &Pictures<'_>,
    options: &Options,
    done: &(dyn Fn() + Sync),
) -> Result<Quantized> {
    let network = passes::run(graph, parameters)?;
    let forms = check::forms(&network, &options.keep_f32)?;
    let len = network.nodes[0].shape().len();
    assert!(!pictures.bytes.is_empty(), "a network is calibrated on something");
    assert!(pictures.bytes.iter().all(|picture| picture.len() == len), "pictures have the input's length");
    let byte_input = byte_input(pictures.constants)?;
    let (seen, expected) = gather(&Ready::new(&network), pictures, &choose::judged(&network), done);
    let norms = norms(graph, parameters, &network, &seen);
    let calibrated = Calibrated { network, seen, norms, byte_input, options };
    let Made { mut integers, judged } = calibrated.quantize(&forms, pictures, done)?;
    let mut choices = Vec::new();
    if !options.only_named && !choose::holds(&expected, &judged) {
        choices = choose::layers(&calibrated, pictures);
    }
    if !choices.is_empty() {
        let chosen = choices.iter().flat_map(|choice| &choice.layers);
        let kept: Vec<String> = options.keep_f32.iter().chain(chosen).cloned().collect();
        let forms = check::forms(&calibrated.network, &kept)?;
        integers = calibrated.quantize(&forms, pictures, &|| ())?.integers;
    }
    Ok(Quantized { numbers: calibrated.network, integers, choices })
}

/// A network in f32 and what its values are like.
struct Calibrated<'a> {
    network: Fused,
    seen: Vec<Seen>,
    norms: Vec<Option<Norm>>,
    byte_input: ByteInput,
    options: &'a Options,
}

/// A network in integers.
struct Made {
    integers: Fused,
    /// Of each picture the values of the nodes by which it is judged.
    judged: Vec<Vec<Vec<f32>>>,
}

impl Calibrated<'_> {
    /// The network whose layers are computed in such forms, with its biases corrected on pictures.
    fn quantize(&self, forms: &[Form], pictures: &Pictures<'_>, done: &(dyn Fn() + Sync)) -> Result<Made> {
        let Calibrated { network, seen, norms, byte_input, options } = self;
        let known = Known { network, seen, norms, forms };
        let scales = known.scales().map_err(|idx| {
            let detail =
                "gives infinite numbers on the calibration's pictures, expected finite ones: check the weights";
            Error::new(ErrorKind::Weights, Place::layer(&network.nodes[idx].name), detail)
        })?;
        let mut work = Work {
            assembly: Assembly::new(&network.nodes[0], byte_input.clone()),
            values: vec![pictures.bytes.iter().cloned().map(Value::Bytes).collect()],
            of_input: input_meaning(pictures.constants),
            options,
            n_threads: pictures.n_threads,
        };
        let judged = choose::judged(network);
        for (idx, node) in network.nodes.iter().enumerate().skip(1) {
            let about = About { form: forms[idx], means: &seen[idx].mean, scales: &scales[idx] };
            work.next(node, &about)?;
            work.compute(network.is_read_after(idx, idx) || judged.contains(&idx));
            work.forget(network, idx, &judged);
            pictures.bytes.iter().for_each(|_| done());
        }
        let of_picture = |picture| judged.iter().map(|idx| work.meant(*idx, picture)).collect();
        let judged = (0..pictures.bytes.len()).map(of_picture).collect();
        Ok(Made { integers: work.assembly.finish(network)?, judged })
    }
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
        if !input.keeps(idx, *multiplier, *offset) {
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

/// What is known of a node in f32, and what its bytes shall stand for.
struct About<'a> {
    form: Form,
    /// Of each channel before the activation.
    means: &'a [f64],
    scales: &'a Scales,
}

/// The network so far.
struct Work<'a> {
    assembly: Assembly,
    /// By node of it, of each picture, as long as somebody needs them.
    values: Vec<Vec<Value>>,
    /// What the bytes of the network's input stand for.
    of_input: Meaning,
    options: &'a Options,
    n_threads: usize,
}

impl Work<'_> {
    /// Adds a node, in its form.
    fn next(&mut self, node: &FusedNode, about: &About<'_>) -> Result<()> {
        let Scales { bytes, of_channels } = about.scales;
        let bytes = *bytes;
        let node = FusedNode { inputs: self.assembly.inputs(node, about.form)?, ..node.clone() };
        // Of what makes numbers of its inputs' bytes.
        self.compute(true);
        if about.form.in_f32 {
            self.assembly.push_f32(node, bytes.map(|bytes| (bytes, of_channels.clone())));
            return Ok(());
        }
        if about.form.keeps_bytes {
            let inputs: Vec<&FusedNode> = node.inputs.iter().map(|id| &self.assembly.nodes[id.0]).collect();
            let kept = node.keeping_bytes(&inputs).expect("scales: its inputs have one zero point");
            self.assembly.push(kept);
            return Ok(());
        }
        let mut integer = match &node.filter {
            Some(filter) => self.filter(&node, filter, about)?,
            None => self.without_filter(&node, bytes),
        };
        if let (Layer::Add, Some(sum)) = (&node.layer, bytes) {
            let [own, other] = [0, 1].map(|input| self.bytes(&node, input));
            let addition = ByteSum::of(own, other, sum).ok_or_else(|| {
                check::wrong(&node, format!(
                    "adds bytes of {} and {} each, expected a sum of a scale that isn't a million times as fine: found {}",
                    own.scale, other.scale, sum.scale
                ))
            })?;
            integer.addition = Some(Addition::Tensor(addition));
        }
        let tensor = if bytes.is_some() { bytes_of(&node) } else { node.tensor };
        let (scales, integer) = (of_channels.clone(), Some(integer));
        self.assembly.push(FusedNode { filter: None, tensor, bytes, scales, integer, ..node });
        Ok(())
    }

    /// What the bytes of an input stand for, that isn't the network's.
    fn bytes(&self, node: &FusedNode, input: usize) -> Bytes {
        self.assembly.nodes[node.inputs[input].0].bytes.expect("checked: bytes of a layer")
    }

    /// The numbers of a layer with weights.
    fn filter(&self, node: &FusedNode, filter: &Filter, about: &About<'_>) -> Result<Integer> {
        let from = node.inputs[0].0;
        let input = &self.assembly.nodes[from];
        let shape = input.shape();
        let inputs = &self.values[from];
        let count = |idx: usize| {
            let mut counted = Inputs::new(&node.layer, shape);
            let Value::Bytes(bytes) = &inputs[idx] else { unreachable!("integers are computed of bytes") };
            counted.add(&node.layer, (shape, node.shape()), bytes);
            counted
        };
        let mut counted = Inputs::new(&node.layer, shape);
        parallel(inputs.len(), self.n_threads, &count).iter().for_each(|more| counted.merge(more));
        let Scales { bytes, of_channels } = about.scales;
        let residual = node.residual.as_ref().zip(*bytes).map(|(_, bytes)| {
            let residual = &self.assembly.nodes[node.inputs[node.inputs.len() - 1].0];
            let of_residual = residual.bytes.expect("checked: bytes of a layer");
            let Meaning { scale, zero } = Meaning::of(of_residual, node.shape().channels, &residual.scales);
            let zeros = scale.iter().zip(&zero).map(|(scale, zero)| scale * zero).collect();
            (node.residual_addition(residual, bytes, of_channels), zeros)
        });
        let (addition, zeros): (Option<Addition>, Option<Vec<f64>>) = residual.unzip();
        let meaning = match input.bytes {
            Some(bytes) => &Meaning::of(bytes, shape.channels, &input.scales),
            None => &self.of_input,
        };
        let task = Task {
            node,
            filter,
            input: shape,
            meaning,
            bytes: *bytes,
            scales: of_channels,
            addition,
            zeros: &zeros.unwrap_or_default(),
            inputs: &counted,
            means: about.means,
            // The camera's bytes go through kernels of their own.
            pair_safe: self.options.pair_safe && from != 0,
        };
        task.run().map_err(|detail| check::wrong(node, detail))
    }

    /// The numbers of a mean, a product or an addition by itself.
    fn without_filter(&self, node: &FusedNode, bytes: Option<Bytes>) -> Integer {
        let zero = |input: usize| -i32::from(self.bytes(node, input).zero_point);
        let scale = |input: usize| f64::from(self.bytes(node, input).scale);
        // Where the activation is more than bounds, it takes numbers.
        let step = bytes.filter(|_| is_clamp(node.activation)).map_or(1.0, |bytes| f64::from(bytes.scale));
        let (bias, multiplier) = match node.layer {
            Layer::Add => (Vec::new(), Vec::new()),
            Layer::Multiply => (vec![zero(0), zero(1)], vec![(scale(0) * scale(1) / step) as f32]),
            _ => {
                let pixels = self.assembly.nodes[node.inputs[0].0].shape().pixels();
                (vec![zero(0) * pixels as i32], vec![(scale(0) / (step * pixels as f64)) as f32])
            }
        };
        Integer { weights: Vec::new(), bias, multiplier, addition: None }
    }

    /// Computes the nodes that were added on every picture; those that nobody needs, or not.
    fn compute(&mut self, is_needed: bool) {
        let nodes = &self.assembly.nodes;
        for idx in self.values.len()..nodes.len() {
            let node = &nodes[idx];
            let shapes: Vec<Shape> = node.inputs.iter().map(|id| nodes[id.0].shape()).collect();
            let products = forward::Products::of(shapes[0], node);
            let value = |picture: usize| {
                let stored = |id: &FusedId| self.values[id.0][picture].stored();
                let inputs: Vec<Vec<f32>> = node.inputs.iter().map(stored).collect();
                let inputs: Vec<(Shape, &[f32])> =
                    shapes.iter().copied().zip(inputs.iter().map(Vec::as_slice)).collect();
                compute(node, products.as_ref(), &inputs, &mut |_| ())
            };
            let n_pictures = if is_needed { self.values[0].len() } else { 0 };
            self.values.push(parallel(n_pictures, self.n_threads, &value));
        }
    }

    /// What a node of the network in f32 has for a picture.
    fn meant(&self, idx: usize, picture: usize) -> Vec<f32> {
        let id = self.assembly.forms_of(idx).last().expect("it has been added");
        let node = &self.assembly.nodes[id.0];
        self.values[id.0][picture].meant(node.bytes, &node.scales)
    }

    /// Drops what this node of the network in f32 was the last to read, but for the values by which the network is judged.
    fn forget(&mut self, network: &Fused, idx: usize, judged: &[usize]) {
        let read = network.nodes[idx].inputs.iter().map(|id| id.0);
        let is_over = |earlier: &usize| {
            *earlier != 0 && !judged.contains(earlier) && !network.is_read_after(*earlier, idx)
        };
        for earlier in read.filter(is_over) {
            self.assembly.forms_of(earlier).for_each(|id| self.values[id.0] = Vec::new());
        }
    }
}
