//! A network in integers <-> a safetensors file, whose layout docs/int8.md tells.
//!
//! The file is believed no more than one of weights: every length, every sum and every number is checked before the network is made.

mod lines;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};

use safetensors::tensor::{SafeTensors, TensorView};
use safetensors::{Dtype, View};
use serde::{Deserialize, Serialize};

use super::assembly::Assembly;
use super::{byte_input, bytes_of, check};
use crate::error::{Error, ErrorKind, Faults, Place, Result, is_plain, one_line, quoted, quoted_to};
use crate::graph::Graph;
use crate::graph::layer::{FilterShape, Layer};
use crate::passes::{
    self, Addition, ByteInput, ByteSum, Bytes, Filter, Fused, FusedNode, Integer, MOST_WEIGHT, is_clamp,
};
use crate::weights::Weights;

/// The only key of the file's metadata: a text with all that is no tensor.
const KEY: &str = "mnc.int8";
/// Of [`Metadata`] and the tensors.
const SCHEMA: u32 = 4;

/// How the numbers came about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provenance {
    /// The pictures on which it was calibrated.
    pub calibration: String,
    /// See [`super::Options::pair_safe`].
    pub pair_safe: bool,
    /// The deviation of a logit's error, where the network is a classifier.
    pub sigma: Option<f64>,
    /// The pictures on which that was measured.
    pub judged: Option<String>,
    /// The seed of weights that were drawn at random.
    pub random_weights: Option<u64>,
    /// What was assumed of the training, each with the reason.
    pub assumed: Vec<String>,
    /// The layers that the measured error left in f32.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chosen_f32: Vec<String>,
}

impl Provenance {
    fn texts(&self) -> impl Iterator<Item = &String> {
        let Provenance { calibration, judged, assumed, chosen_f32, .. } = self;
        [calibration].into_iter().chain(judged).chain(assumed).chain(chosen_f32)
    }

    /// The same, with texts that a file may hold.
    fn in_lines(&self) -> Provenance {
        let line = |text: &String| one_line(text).into_owned();
        Provenance {
            calibration: line(&self.calibration),
            judged: self.judged.as_ref().map(line),
            assumed: self.assumed.iter().map(line).collect(),
            ..self.clone()
        }
    }
}

/// What was said of the network, by whomever.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Said {
    /// Its description in TOML, with all that configurations and tensors have changed; none where no file can say it.
    pub description: Option<String>,
    /// Whether it ends before its classifier.
    pub features: bool,
    /// The names of its outputs; empty where nobody says them.
    pub labels: Vec<String>,
    /// Whether they are ImageNet's all the same, if it has as many classes.
    pub may_be_imagenet: bool,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Metadata {
    schema: u32,
    compiler: String,
    network: String,
    alpha: f64,
    /// Height, width and channels of a picture.
    input: [usize; 3],
    /// What each layer computes: what must agree with the network that the file is read for.
    layers: Vec<String>,
    /// Those that are computed in f32, but for a softmax.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    f32: Vec<String>,
    said: Said,
    provenance: Provenance,
}

/// A tensor of the file.
struct Tensor {
    name: String,
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl View for &Tensor {
    fn dtype(&self) -> Dtype {
        self.dtype
    }
    fn shape(&self) -> &[usize] {
        &self.shape
    }
    fn data(&self) -> std::borrow::Cow<'_, [u8]> {
        self.bytes.as_slice().into()
    }
    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}

/// The file of a network in integers. The same network gives the same bytes.
///
/// # Errors
/// Numbers that a safetensors file can't hold.
///
/// # Panics
/// When a layer has neither integers nor a softmax, or adds a residual by XNNPACK's rule: another quantiser's network, which is read from
/// its own file.
pub fn write(network: &Fused, graph: &Graph, said: &Said, provenance: &Provenance) -> Result<Vec<u8>> {
    let mut tensors = Vec::new();
    if let Some(ByteInput { scale, offset }) = &network.byte_input {
        tensors.push(f32_tensor("input.scale", scale));
        tensors.push(f32_tensor("input.offset", offset));
    }
    let is_own = |node: &&FusedNode| !network.is_conversion(node);
    for node in network.nodes.iter().filter(is_own) {
        if let Some(filter) = &node.filter {
            let shape = node.layer.filter(network.nodes[node.inputs[0].0].shape());
            let shape = shape.expect("it has weights");
            let (axes, weights) = in_file_order(&shape, &filter.weights);
            tensors.push(f32_tensor_of(&format!("{}.weight", node.name), axes, &weights));
            tensors.push(f32_tensor(&format!("{}.bias", node.name), &filter.bias));
        }
        if let Some(integer) = &node.integer {
            let filter = node.layer.filter(network.nodes[node.inputs[0].0].shape());
            if let Some(filter) = filter {
                let (shape, bytes) = in_file_order(&filter, &integer.weights);
                let bytes = bytes.iter().map(|w| w.cast_unsigned()).collect();
                tensors.push(Tensor {
                    name: format!("{}.weight", node.name),
                    dtype: Dtype::I8,
                    shape,
                    bytes,
                });
            }
            let n = integer.multiplier.len();
            if let Some(n_borders) = integer.bias.len().checked_div(n) {
                tensors.push(Tensor {
                    name: format!("{}.bias", node.name),
                    dtype: Dtype::I32,
                    shape: vec![n_borders, n],
                    bytes: integer.bias.iter().flat_map(|bias| bias.to_le_bytes()).collect(),
                });
                tensors.push(f32_tensor(&format!("{}.multiplier", node.name), &integer.multiplier));
            }
        }
        let addition = node.integer.as_ref().and_then(|integer| integer.addition.as_ref());
        let is_of_others = node.residual.is_some() && matches!(addition, Some(Addition::Tensor(_)));
        assert!(!is_of_others, "{}: the numbers of another quantiser", node.name);
        let is_of_it = |other: &&FusedNode| network.is_conversion(other) && other.name == node.value_name();
        let made = network.nodes.iter().filter(is_of_it).find(|other| other.bytes.is_some());
        if node.integer.is_some() && node.layer.keeps_scales() {
            continue;
        }
        if let Some(FusedNode { bytes: Some(bytes), scales, .. }) = made.or(Some(node)) {
            tensors.extend(bytes_tensors(node.value_name(), *bytes, scales));
        }
    }
    let in_f32 = |node: &&FusedNode| node.integer.is_none() && node.layer != Layer::Softmax;
    let metadata = Metadata {
        schema: SCHEMA,
        compiler: env!("CARGO_PKG_VERSION").to_owned(),
        network: graph.name.clone(),
        alpha: graph.alpha,
        input: [graph.input_shape().height, graph.input_shape().width, graph.input_shape().channels],
        layers: lines::of(network),
        f32: network.nodes[1..].iter().filter(is_own).filter(in_f32).map(|node| node.name.clone()).collect(),
        said: said.clone(),
        provenance: provenance.in_lines(),
    };
    let text = serde_json::to_string(&metadata).expect("numbers and strings always have a JSON form");
    // One key: those of a map come in any order.
    let metadata = HashMap::from([(KEY.to_owned(), text)]);
    let views = tensors.iter().map(|tensor| (tensor.name.as_str(), tensor));
    safetensors::serialize(views, Some(metadata))
        .map_err(|error| Error::new(ErrorKind::Weights, Place::named(&graph.name), error.to_string()))
}

/// What bytes stand for, whose channels may have scales of their own.
fn bytes_tensors(name: &str, bytes: Bytes, scales: &[f32]) -> [Tensor; 2] {
    let Bytes { scale, zero_point, low, high } = bytes;
    let bytes = vec![zero_point, low, high];
    let bounds = Tensor { name: format!("{name}.bytes"), dtype: Dtype::U8, shape: vec![3], bytes };
    let scales = if scales.is_empty() { &[scale] } else { scales };
    [f32_tensor(&format!("{name}.scale"), scales), bounds]
}

fn f32_tensor(name: &str, numbers: &[f32]) -> Tensor {
    f32_tensor_of(name, vec![numbers.len()], numbers)
}

fn f32_tensor_of(name: &str, shape: Vec<usize>, numbers: &[f32]) -> Tensor {
    let bytes = crate::graph::tensor::f32_bytes(numbers);
    Tensor { name: name.to_owned(), dtype: Dtype::F32, shape, bytes }
}

/// The weights as files have them, channels first, with their shape.
fn in_file_order<T: Copy>(filter: &FilterShape, weights: &[T]) -> (Vec<usize>, Vec<T>) {
    let (taps, m, n) = extents(filter);
    let mut file = Vec::with_capacity(weights.len());
    for n_idx in 0..n {
        for m_idx in 0..m {
            file.extend((0..taps).map(|tap| weights[(tap * m + m_idx) * n + n_idx]));
        }
    }
    (file_shape(filter), file)
}

/// The way back.
fn in_own_order<T: Copy>(filter: &FilterShape, file: &[T]) -> Vec<T> {
    let (taps, m, n) = extents(filter);
    let mut weights = Vec::with_capacity(file.len());
    for tap in 0..taps {
        for m_idx in 0..m {
            weights.extend((0..n).map(|n_idx| file[(n_idx * m + m_idx) * taps + tap]));
        }
    }
    weights
}

/// Taps, inputs under each and outputs. A dense layer has its inputs in the order of memory: rows, columns, channels.
fn extents(filter: &FilterShape) -> (usize, usize, usize) {
    if filter.is_flat { (1, filter.fan_in(), filter.n) } else { (filter.taps(), filter.m, filter.n) }
}

fn file_shape(filter: &FilterShape) -> Vec<usize> {
    if filter.is_flat { vec![filter.n, filter.fan_in()] } else { filter.file_axes() }
}

/// Whether a file of tensors is one of these: to be asked of a file that may hold numbers in f32.
pub fn is_int8(bytes: &[u8]) -> bool {
    let Ok((_, header)) = SafeTensors::read_metadata(bytes) else { return false };
    header.metadata().as_ref().is_some_and(|metadata| metadata.contains_key(KEY))
}

/// What a file says of the network that it was made of.
#[derive(Clone, Debug, PartialEq)]
pub struct Origin {
    /// Its name.
    pub network: String,
    /// Its width multiplier.
    pub alpha: f64,
    /// Rows and columns of its input.
    pub extent: (usize, usize),
    /// What else was said of it.
    pub said: Said,
    /// How the numbers came about.
    pub provenance: Provenance,
}

/// What the file says of itself; whether that is so is seen when it is read.
///
/// # Errors
/// A file that `mnc quantize` didn't write.
pub fn origin(bytes: &[u8], place: &str) -> Result<Origin> {
    let Metadata { network, alpha, input: [height, width, _], said, provenance, .. } =
        metadata(bytes, place)?;
    Ok(Origin { network, alpha, extent: (height, width), said, provenance })
}

/// Reads the file of a network whose graph is known. `place` names it in errors.
///
/// # Errors
/// A file that is no whole safetensors file, was made of another network or for other pictures, or holds numbers that nothing of this
/// compiler wrote.
pub fn read(bytes: &[u8], place: &str, graph: &Graph) -> Result<(Fused, Provenance)> {
    // Checks every claim of the header.
    Weights::parse(bytes, place)?;
    let wrong = |detail: String| Error::new(ErrorKind::Weights, Place::file(place), detail);
    let file = SafeTensors::deserialize(bytes).map_err(|error| wrong(error.to_string()))?;
    let metadata = metadata(bytes, place)?;
    let shapes = passes::shapes(graph)?;
    check_network(&metadata, graph, &shapes, place)?;
    let forms = check::forms(&shapes, &metadata.f32)?;
    let constants = graph.preprocess.constants();
    let mut reader =
        Reader { file: &file, place, faults: Faults::new(ErrorKind::Weights), taken: BTreeSet::new() };
    let expected = byte_input(&constants)?;
    let (scale, offset) =
        (reader.f32s("input.scale", &[constants.len()]), reader.f32s("input.offset", &[constants.len()]));
    for (name, found, expected) in
        [("input.scale", &scale, &expected.scale), ("input.offset", &offset, &expected.offset)]
    {
        if let Some(found) = found
            && found != expected
        {
            let detail = format!(
                "found {found:?}, expected {expected:?}, as the network's pictures are normalised: give the same --preprocessor, or one description for both (docs/int8.md)"
            );
            reader.fault(name, detail);
        }
    }
    let mut assembly = Assembly::new(&shapes.nodes[0], expected);
    for (node, form) in shapes.nodes.iter().zip(&forms).skip(1) {
        let node = FusedNode { inputs: assembly.inputs(node, *form)?, ..node.clone() };
        if form.in_f32 {
            let (node, bytes) = reader.node_in_f32(node, &assembly.nodes, form.has_bytes);
            assembly.push_f32(node, bytes);
        } else if form.keeps_bytes {
            assembly.push(reader.kept_bytes(&node, &assembly.nodes).unwrap_or(node));
        } else {
            assembly.push(reader.node(&node, &assembly.nodes, !form.has_bytes).unwrap_or(node));
        }
    }
    for name in file.names() {
        if !reader.taken.contains(name) {
            reader.fault(name, "no layer of the network has it, expected it absent".to_owned());
        }
    }
    reader.faults.propagate()?;
    Ok((assembly.finish(&shapes)?, metadata.provenance))
}

/// What stands beside the tensors.
fn metadata(bytes: &[u8], place: &str) -> Result<Metadata> {
    let wrong = |detail: String| {
        let place = Place::Entry { file: place.to_owned(), key: format!("__metadata__: {KEY}") };
        Error::new(ErrorKind::Weights, place, detail)
    };
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(|error| wrong(error.to_string()))?;
    let text = header.metadata().as_ref().and_then(|metadata| metadata.get(KEY));
    let text =
        text.ok_or_else(|| wrong("found none, expected a file that `mnc quantize` wrote".to_owned()))?;
    // What the schema is comes first: another one has other keys.
    #[derive(Deserialize)]
    struct Version {
        schema: u32,
    }
    let version: Version = serde_json::from_str(text).map_err(|error| wrong(error.to_string()))?;
    if version.schema != SCHEMA {
        let found = version.schema;
        return Err(wrong(format!(
            "found schema {found}, expected {SCHEMA}: quantise the network again with this `mnc`"
        )));
    }
    let metadata: Metadata = serde_json::from_str(text).map_err(|error| wrong(error.to_string()))?;
    // They are shown, and stand in headers.
    if let Some(text) = metadata.provenance.texts().find(|text| !text.chars().all(is_plain)) {
        return Err(wrong(format!("found {}, expected a text of one line", quoted(text))));
    }
    Ok(metadata)
}

/// The file is of this network: every layer computes the same.
fn check_network(metadata: &Metadata, graph: &Graph, shapes: &Fused, place: &str) -> Result<()> {
    let wrong = |detail: String| Err(Error::new(ErrorKind::Weights, Place::file(place), detail));
    const OTHER: &str = "it was quantised from another network, or with a configuration that isn't here";
    let way = match metadata.said.description {
        Some(_) => "give the file alone in place of the network, it has its own description",
        None => "give the same --config, or one description for both (docs/int8.md)",
    };
    let expected = lines::of(shapes);
    let (found, expected) = (&metadata.layers, &expected);
    if let Some((found, expected)) = found.iter().zip(expected).find(|(found, expected)| found != expected) {
        // What differs may be the last word of it.
        let (found, expected) = (quoted_to(found, 1000), quoted_to(expected, 1000));
        return wrong(format!(
            "found the layer {found}, expected {expected} of {} with alpha {}: {OTHER}: {way}",
            graph.name, graph.alpha
        ));
    }
    if found.len() != expected.len() {
        return wrong(format!(
            "found {} layers, expected the {} of {}: {OTHER}: {way}",
            found.len(),
            expected.len(),
            graph.name
        ));
    }
    Ok(())
}

/// The tensors of a file, and what is wrong with them.
struct Reader<'a> {
    file: &'a SafeTensors<'a>,
    place: &'a str,
    faults: Faults,
    taken: BTreeSet<String>,
}

impl Reader<'_> {
    fn fault(&mut self, name: &str, detail: String) {
        self.faults.push(Place::Tensor { file: self.place.to_owned(), name: name.to_owned() }, detail);
    }

    fn tensor(&mut self, name: &str, dtype: Dtype, shape: &[usize]) -> Option<TensorView<'_>> {
        self.taken.insert(name.to_owned());
        let detail = match self.file.tensor(name) {
            Err(_) => "found none, expected it of this network".to_owned(),
            Ok(view) if view.dtype() == dtype && view.shape() == shape => return self.file.tensor(name).ok(),
            Ok(view) => {
                let (found_dtype, found_shape) = (view.dtype(), view.shape());
                format!("found {found_dtype:?} {found_shape:?}, expected {dtype:?} {shape:?}")
            }
        };
        self.fault(name, detail);
        None
    }

    fn f32s(&mut self, name: &str, shape: &[usize]) -> Option<Vec<f32>> {
        let numbers = crate::graph::tensor::f32_numbers(self.tensor(name, Dtype::F32, shape)?.data());
        if let Some(x) = numbers.iter().find(|x| !x.is_finite()) {
            self.fault(name, format!("found {x}, expected finite numbers"));
            return None;
        }
        Some(numbers)
    }

    /// Numbers above 0 whose reciprocals are numbers too.
    fn scales(&mut self, name: &str, len: usize) -> Option<Vec<f32>> {
        let numbers = self.f32s(name, &[len])?;
        if let Some(x) = numbers.iter().find(|x| !(**x > 0.0 && (1.0 / **x).is_finite())) {
            self.fault(name, format!("found {x:?}, expected numbers above 0 whose reciprocals are finite"));
            return None;
        }
        Some(numbers)
    }

    /// A node in f32, from those before it; and the bytes that are made of it, with the scales of its channels.
    fn node_in_f32(
        &mut self,
        node: FusedNode,
        before: &[FusedNode],
        has_bytes: bool,
    ) -> (FusedNode, Option<(Bytes, Vec<f32>)>) {
        let shape = node.layer.filter(before[node.inputs[0].0].shape());
        let filter = shape.and_then(|shape| {
            let weights = self.f32s(&format!("{}.weight", node.name), &file_shape(&shape));
            let bias = self.f32s(&format!("{}.bias", node.name), &[shape.n]);
            Some(Filter { weights: in_own_order(&shape, &weights?), bias: bias? })
        });
        let n_channels = node.shape().channels;
        let bytes = has_bytes.then(|| self.bytes(node.value_name(), n_channels)).flatten();
        (FusedNode { filter, ..node }, bytes)
    }

    /// A node whose bytes stand for what those of its inputs do.
    fn kept_bytes(&mut self, node: &FusedNode, before: &[FusedNode]) -> Option<FusedNode> {
        let inputs: Vec<&FusedNode> = node.inputs.iter().map(|id| &before[id.0]).collect();
        let kept = node.keeping_bytes(&inputs);
        let mut zeros =
            inputs.iter().filter_map(|input| Some((input.name.as_str(), input.bytes?.zero_point)));
        if let Some((first, zero)) = zeros.next().filter(|_| kept.is_none())
            && let Some((name, found)) = zeros.find(|(_, other)| *other != zero)
        {
            let detail = format!(
                "found the zero point {found}, expected {zero} as of {first}, beside which {} has it: quantise the network again",
                node.name
            );
            self.fault(&format!("{name}.bytes"), detail);
        }
        kept
    }

    /// A node in integers, from those before it.
    fn node(&mut self, node: &FusedNode, before: &[FusedNode], is_number: bool) -> Option<FusedNode> {
        let name = |part: &str| format!("{}.{part}", node.name);
        let input = before[node.inputs[0].0].shape();
        let filter = node.layer.filter(input);
        let [_, n_biases, n] = Integer::extents(&node.layer, input);
        let weights = match &filter {
            None => Some(Vec::new()),
            Some(filter) => self.weights(&name("weight"), filter),
        };
        let (bias, multiplier) = match n_biases.checked_div(n) {
            None => (Some(Vec::new()), Some(Vec::new())),
            Some(n_borders) => {
                let bias = self.tensor(&name("bias"), Dtype::I32, &[n_borders, n]).map(|view| {
                    let (numbers, _) = view.data().as_chunks();
                    numbers.iter().map(|bytes| i32::from_le_bytes(*bytes)).collect::<Vec<i32>>()
                });
                (bias, self.scales(&name("multiplier"), n))
            }
        };
        // Without weights there is one factor behind an activation.
        let may_differ = filter.is_some() || is_clamp(node.activation);
        let n_channels = if may_differ { node.shape().channels } else { 1 };
        let bytes = if is_number { Some(None) } else { self.bytes(node.value_name(), n_channels).map(Some) };
        let (bytes, scales) = match bytes {
            Some(Some((bytes, scales))) => (Some(Some(bytes)), scales),
            Some(None) => (Some(None), Vec::new()),
            None => (None, Vec::new()),
        };
        let addition = self.addition(node, before, bytes.flatten().map(|bytes| (bytes, scales.as_slice())));
        let integer =
            Integer { weights: weights?, bias: bias?, multiplier: multiplier?, addition: addition? };
        let bytes = bytes?;
        if !integer.is_proved_of(&node.layer, input) {
            self.fault(
                &name("bias"),
                "a sum may leave 31 bits, expected bounds that prove that none does".to_owned(),
            );
            return None;
        }
        let tensor = if bytes.is_some() { bytes_of(node) } else { node.tensor };
        Some(FusedNode { filter: None, tensor, bytes, scales, integer: Some(integer), ..node.clone() })
    }

    /// The addition that is part of a node, or is it, if there is any.
    fn addition(
        &mut self,
        node: &FusedNode,
        before: &[FusedNode],
        sum: Option<(Bytes, &[f32])>,
    ) -> Option<Option<Addition>> {
        if !node.adds() {
            return Some(None);
        }
        let other = &before[node.inputs[node.inputs.len() - 1].0];
        // What lacks has been told.
        let (other_bytes, (sum, scales)) = (other.bytes?, sum?);
        if node.residual.is_some() {
            return Some(Some(node.residual_addition(other, sum, scales)));
        }
        let (own, other) = (before[node.inputs[0].0].bytes?, other_bytes);
        let addition = ByteSum::of(own, other, sum).map(Addition::Tensor);
        if addition.is_none() {
            let (a, b, found) = (own.scale, other.scale, sum.scale);
            let detail = format!(
                "found {found}, expected the scale of a sum of bytes of {a} and {b} each, not one a million times as fine"
            );
            self.fault(&format!("{}.scale", node.value_name()), detail);
        }
        Some(Some(addition?))
    }

    fn weights(&mut self, name: &str, filter: &FilterShape) -> Option<Vec<i8>> {
        let view = self.tensor(name, Dtype::I8, &file_shape(filter))?;
        let weights: Vec<i8> = view.data().iter().map(|byte| byte.cast_signed()).collect();
        if weights.iter().any(|w| *w < -MOST_WEIGHT) {
            self.fault(name, format!("found {}, expected -{MOST_WEIGHT} to {MOST_WEIGHT}", i8::MIN));
            return None;
        }
        Some(in_own_order(filter, &weights))
    }

    /// What bytes stand for: of all channels, or with a scale for each of so many.
    fn bytes(&mut self, node: &str, n_channels: usize) -> Option<(Bytes, Vec<f32>)> {
        let scale = format!("{node}.scale");
        let has_own = self.file.tensor(&scale).is_ok_and(|view| view.shape() != [1]);
        let scales = self.scales(&scale, if has_own { n_channels } else { 1 });
        let name = format!("{node}.bytes");
        let numbers = self.tensor(&name, Dtype::U8, &[3]).map(|view| view.data().to_vec())?;
        let &[zero_point, low, high] = numbers.as_slice() else { unreachable!("its shape is that of three") };
        if high <= low {
            self.fault(&name, format!("found {low} to {high}, expected the lower bound first"));
            return None;
        }
        let scales = scales?;
        let scale = scales.iter().copied().fold(0.0, f32::max);
        Some((Bytes { scale, zero_point, low, high }, if has_own { scales } else { Vec::new() }))
    }
}
