//! A network that another quantiser has made -> the same in our bytes and integers, with its answers to the last bit.
//!
//! Ours is LiteRT's arithmetic on the CPU, XNNPACK's rule, with bytes from 0 to 255 in place of -128 to 127: zero points move by 128, and
//! what they are worth in a sum is part of the biases. docs/quantised.md tells the file's layout and what is computed of it.

mod copies;

use super::assembly::Assembly;
use super::check::Form;
use super::ranges::bounded;
use super::{bytes_of, check};
use crate::error::{ErrorKind, Faults, Place, Result};
use crate::graph::Graph;
use crate::graph::layer::{Activation, Layer};
use crate::graph::shape::Shape;
use crate::passes::{
    self, Addition, ByteInput, ByteSum, Bytes, Fused, FusedId, FusedNode, Integer, is_clamp,
};
use crate::weights::naming::Naming;
use crate::weights::{INPUT, QuantisedFilter, Weights};

/// Reads the integers of a graph, under a naming or the one that the file's names tell.
///
/// # Errors
/// A layer that isn't computed as other engines do it; tensors that are missing or wrong; sums that may leave 31 bits.
pub fn read(weights: &Weights<'_>, graph: &Graph, naming: Option<&'static Naming>) -> Result<Fused> {
    let shapes = passes::shapes(graph)?;
    check_layers(&shapes)?;
    let filters = weights.quantised_filters(graph, naming)?;
    let filter_of = |name: &str| {
        let idx = graph.nodes.iter().position(|node| node.name == name);
        idx.and_then(|idx| filters[idx].as_ref())
    };
    let mut work = Work::new(weights, &shapes.nodes[0]);
    for node in &shapes.nodes[1..] {
        work.next(node, filter_of);
    }
    let Work { assembly, faults, .. } = work;
    faults.propagate()?;
    assembly.finish(&shapes)
}

/// Every layer is one whose bytes other engines compute as we do.
fn check_layers(network: &Fused) -> Result<()> {
    let mut faults = Faults::new(ErrorKind::Graph);
    for node in &network.nodes {
        if !is_clamp(node.activation) {
            let detail = format!(
                "found the activation {} in a network of another quantiser, expected ReLU, ReLU6 or none: quantise the weights in f32 with `mnc quantize`",
                node.activation.word()
            );
            faults.push(Place::layer(node.value_name()), detail);
        }
        // A softmax is the last, of something in integers.
        let is_behind = |id: &FusedId| network.nodes[id.0].layer == Layer::Softmax;
        let is_of_bytes = node.layer == Layer::Softmax && node.inputs[0].0 != 0;
        if node.inputs.iter().any(is_behind) || (check::stays_f32(node) && !is_of_bytes) {
            let detail = "found a layer that is computed in f32 in a network of another quantiser, expected layers in integers and a softmax behind them: quantise the weights in f32 with `mnc quantize`";
            faults.push(Place::layer(node.value_name()), detail);
        } else if node.layer.keeps_scales() {
            let detail = "found a pool with a window, a concat or an upsampling in a network of another quantiser, expected a network without: quantise the weights in f32 with `mnc quantize`";
            faults.push(Place::layer(&node.name), detail);
        }
        if node.layer == Layer::Multiply {
            let detail = "found a product of maps in a network of another quantiser, expected a network without: quantise the weights in f32 with `mnc quantize`";
            faults.push(Place::layer(&node.name), detail);
        }
    }
    if network.outputs.iter().any(|id| id.0 == 0) {
        let detail = "is an output of a network of another quantiser, expected a layer in integers behind it";
        faults.push(Place::layer(&network.nodes[0].name), detail);
    }
    faults.propagate()
}

/// The network so far.
struct Work<'a> {
    weights: &'a Weights<'a>,
    assembly: Assembly,
    /// What the input's bytes stand for.
    input: Option<Bytes>,
    /// Nodes with so many copies of each channel of another.
    copies: Vec<(FusedId, usize, FusedId)>,
    faults: Faults,
}

impl<'a> Work<'a> {
    /// With the input alone.
    fn new(weights: &'a Weights<'a>, input: &FusedNode) -> Work<'a> {
        let mut faults = Faults::new(ErrorKind::Weights);
        let bytes = bytes(weights, INPUT, Activation::None, &mut faults);
        // Without its bytes there is a fault, and no network.
        let (scale, offset) =
            bytes.map_or((1.0, 0.0), |bytes| (1.0 / bytes.scale, f32::from(bytes.zero_point)));
        let channels = input.shape().channels;
        let byte_input = ByteInput { scale: vec![scale; channels], offset: vec![offset; channels] };
        let assembly = Assembly::new(input, byte_input);
        Work { weights, assembly, input: bytes, copies: Vec::new(), faults }
    }

    /// Adds a node, and those that it needs before it. One with a fault has no bytes.
    fn next<'f>(&mut self, node: &FusedNode, filter_of: impl Fn(&str) -> Option<&'f QuantisedFilter>) {
        let in_f32 = node.layer == Layer::Softmax;
        let inputs = self.assembly.inputs(node, Form { in_f32, has_bytes: !in_f32, keeps_bytes: false });
        let inputs = inputs.unwrap_or_else(|error| {
            let faults = error.faults().iter();
            faults.for_each(|fault| self.faults.push(fault.place.clone(), fault.detail.clone()));
            node.inputs.clone()
        });
        let node = FusedNode { inputs, ..node.clone() };
        if in_f32 {
            self.assembly.push_f32(node, None);
        } else {
            let whole = self.node(&node, filter_of(&node.name)).unwrap_or(node);
            self.assembly.push(whole);
        }
    }

    /// What the bytes of an input stand for, if that is known.
    fn of_input(&self, id: FusedId) -> Option<Bytes> {
        if id.0 == 0 { self.input } else { self.assembly.nodes[id.0].bytes }
    }

    /// The bytes of a value behind an activation.
    fn bytes(&mut self, stem: &str, activation: Activation) -> Option<Bytes> {
        bytes(self.weights, stem, activation, &mut self.faults)
    }

    /// A node in integers, if nothing is wrong with it or those before it.
    fn node(&mut self, node: &FusedNode, filter: Option<&QuantisedFilter>) -> Option<FusedNode> {
        let stem = filter.map_or(node.name.as_str(), |filter| &filter.stem);
        // What is told of it is told whatever else is wrong.
        let (own, sum) = match &node.residual {
            Some(sum) => (self.bytes(stem, Activation::None), self.bytes(sum, node.activation)),
            None => {
                let bytes = self.bytes(stem, node.activation);
                (bytes, bytes)
            }
        };
        let input = self.of_input(node.inputs[0])?;
        let (own, sum) = (own?, sum?);
        let shape = self.assembly.nodes[node.inputs[0].0].shape();
        let mut node = FusedNode { filter: None, tensor: bytes_of(node), bytes: Some(sum), ..node.clone() };
        let mut integer = match filter {
            Some(filter) => self.filter(&mut node, filter, (shape, input), own)?,
            None => self.without_filter(&node, (shape, input), own)?,
        };
        if node.adds() {
            let first = if node.layer == Layer::Add { input } else { own };
            let other = self.of_input(*node.inputs.last().expect("an addition has inputs"))?;
            integer.addition = ByteSum::of(first, other, sum).map(Addition::Tensor);
            if integer.addition.is_none() {
                let (a, b, found) = (first.scale, other.scale, sum.scale);
                let detail = format!(
                    "found {found}, expected the scale of a sum of bytes of {a} and {b} each, not one a million times as fine"
                );
                let place = Place::Tensor {
                    file: self.weights.place().to_owned(),
                    name: format!("{}.output_scale", node.value_name()),
                };
                self.faults.push(place, detail);
                return None;
            }
        }
        node.integer = Some(integer);
        Some(node)
    }

    /// The numbers of a layer with weights. Weights of nine bits make it one that reads copies of each channel.
    fn filter(
        &mut self,
        node: &mut FusedNode,
        filter: &QuantisedFilter,
        (shape, input): (Shape, Bytes),
        own: Bytes,
    ) -> Option<Integer> {
        let multiplier = filter.scale.iter().map(|scale| input.scale * scale / own.scale).collect();
        let bias = biases(&node.layer, filter, shape, input.zero_point);
        let n_copies = copies::count(&filter.weights);
        if 1 < n_copies {
            node.inputs[0] = self.copies(node.inputs[0], input, n_copies);
            node.layer = copies::layer(&node.layer, shape.channels);
        }
        let weights = copies::split(&filter.weights, filter.bias.len(), n_copies);
        let bias = bias.into_iter().map(|bias| i32::try_from(bias).ok()).collect();
        self.proved((&node.name, &node.layer, shape), weights, bias, multiplier)
    }

    /// The numbers of a mean or of an addition by itself.
    fn without_filter(
        &mut self,
        node: &FusedNode,
        (shape, input): (Shape, Bytes),
        own: Bytes,
    ) -> Option<Integer> {
        let (bias, multiplier) = match node.layer {
            Layer::Add => (Some(Vec::new()), Vec::new()),
            _ => {
                let pixels = shape.pixels();
                let bias = i32::try_from(-i64::from(input.zero_point) * pixels as i64);
                (bias.ok().map(|bias| vec![bias]), vec![input.scale / (own.scale * pixels as f32)])
            }
        };
        self.proved((&node.name, &node.layer, shape), Vec::new(), bias, multiplier)
    }

    /// The integers of a layer over such an input, whose bounds hold; a fault where they don't.
    fn proved(
        &mut self,
        (name, layer, input): (&str, &Layer, Shape),
        weights: Vec<i8>,
        bias: Option<Vec<i32>>,
        multiplier: Vec<f32>,
    ) -> Option<Integer> {
        let is_number = |m: &f32| m.is_normal() && 0.0 < *m;
        let integer = bias.map(|bias| Integer { weights, bias, multiplier, addition: None });
        let integer = integer
            .filter(|integer| integer.multiplier.iter().all(is_number) && integer.is_proved_of(layer, input));
        if integer.is_none() {
            let detail = "a sum, or what it is multiplied by, may leave 31 bits, expected integers and scales that prove that none does";
            self.faults.push(Place::layer(name), detail.to_owned());
        }
        integer
    }

    /// The node that has so many copies of each channel of another.
    fn copies(&mut self, of: FusedId, bytes: Bytes, n_copies: usize) -> FusedId {
        let known = self.copies.iter().find(|(from, n, _)| (*from, *n) == (of, n_copies));
        if let Some((.., copies)) = known {
            return *copies;
        }
        let id = self.assembly.append(copies::of(&self.assembly.nodes[of.0], of, bytes, n_copies));
        self.copies.push((of, n_copies, id));
        id
    }
}

/// The bytes of a value behind an activation; a fault where they are wrong.
fn bytes(weights: &Weights<'_>, stem: &str, activation: Activation, faults: &mut Faults) -> Option<Bytes> {
    match weights.output_bytes(stem) {
        Ok((scale, zero_point)) => Some(bounded(scale, zero_point, activation)),
        Err(fault) => {
            faults.push(fault.place, fault.detail);
            None
        }
    }
}

/// What the sums start from at each border: the bias, and what the zero point of the input is worth under the taps inside of the map.
/// LiteRT's padding is that zero point, which adds nothing.
fn biases(layer: &Layer, filter: &QuantisedFilter, input: Shape, zero_point: u8) -> Vec<i64> {
    let n = filter.bias.len();
    let n_taps = layer.window().map_or(input.pixels(), |window| window.rows.kernel * window.columns.kernel);
    let row_len = filter.weights.len() / n_taps;
    let of_tap = |tap: &[i32]| {
        let mut sums = vec![0i64; n];
        tap.iter().enumerate().for_each(|(at, w)| sums[at % n] += i64::from(*w));
        sums
    };
    let taps: Vec<Vec<i64>> = filter.weights.chunks(row_len).map(of_tap).collect();
    let of_border = |inside: &Vec<usize>| {
        let zeros = |channel: usize| inside.iter().map(|tap| taps[*tap][channel]).sum::<i64>();
        let start =
            |(channel, bias): (usize, &i32)| i64::from(*bias) - i64::from(zero_point) * zeros(channel);
        filter.bias.iter().enumerate().map(start).collect::<Vec<i64>>()
    };
    layer.taps_by_border(input).iter().flat_map(of_border).collect()
}
