//! What a network costs: multiply-adds, parameters and memory, by the paper's formulas (sections 3.1 and 3.2).
//!
//! [`Graph`] -> [`Report`]; nothing is measured here. The conventions are those with which the tables of the paper come out:
//!
//! - One multiplication and one addition are one multiply-add.
//! - Padding is counted as if every tap were inside the image.
//! - Batch norms, activations, additions, elementwise products, moves of channels and pixels, pooling and softmax cost nothing.
//! - Parameters are the weights of convolutions and dense layers, and the biases that the layers have themselves: batch norm
//!   is left out. Two further counts put it back, as gamma and beta, or as the bias that is left after folding.

use std::fmt;
use std::ops::AddAssign;

use serde::{Serialize, Serializer};

use crate::describe::Sides;
use crate::graph::layer::{FilterShape, Layer, Pooling};
use crate::graph::shape::{Axis, Shape, Window};
use crate::graph::tensor::{Dtype, Tensor};
use crate::graph::{Graph, Node};

/// Bytes of a parameter.
const WEIGHT_BYTES: u64 = Dtype::F32.bytes() as u64;

/// What a layer, a kind of layers or a network costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Cost {
    /// Multiply-adds of one inference.
    #[serde(rename = "multiply_adds")]
    pub mult_adds: u64,
    /// Of these, those on padding, which kernels leave out.
    pub padding_mult_adds: u64,
    /// Weights of filters, without any bias.
    pub weights: u64,
    /// Weights and the layers' own biases, without batch norm: the paper's parameters.
    pub parameters: u64,
    /// The same with batch norms folded: every layer that has a batch norm has one bias per output channel.
    pub parameters_folded: u64,
    /// Parameters and each batch norm's gamma and beta: TF-slim's count.
    pub parameters_batch_norm: u64,
    /// Bytes of the folded parameters as f32, or of the integers of a network in int8; packing for a target may add to it.
    pub weight_bytes: u64,
    /// Bytes of the outputs, as if each were stored.
    pub output_bytes: u64,
}

impl AddAssign for Cost {
    fn add_assign(&mut self, other: Cost) {
        self.mult_adds += other.mult_adds;
        self.padding_mult_adds += other.padding_mult_adds;
        self.weights += other.weights;
        self.parameters += other.parameters;
        self.parameters_folded += other.parameters_folded;
        self.parameters_batch_norm += other.parameters_batch_norm;
        self.weight_bytes += other.weight_bytes;
        self.output_bytes += other.output_bytes;
    }
}

/// The kinds of Table 2. `Display` gives the name for tables and files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Standard convolution, by D_K: `conv 3x3`.
    Conv(Sides),
    /// Depthwise convolution, by D_K: `depthwise 3x3`.
    Depthwise(Sides),
    /// Convolution in groups: `grouped 3x3`.
    Grouped(Sides),
    /// 1x1 convolution of stride 1: `pointwise`.
    Pointwise,
    /// Fully connected: `dense`.
    Dense,
    /// Batch norm with no layer before it to be folded into: `batch norm`.
    BatchNorm,
    /// `add`
    Add,
    /// `multiply`
    Multiply,
    /// `max pool`
    MaxPool,
    /// `average pool`
    AveragePool,
    /// `concat`
    Concat,
    /// `upsample`
    Upsample,
    /// `pool`
    Pool,
    /// `softmax`
    Softmax,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kind::Conv(kernel) => write!(f, "conv {kernel}"),
            Kind::Depthwise(kernel) => write!(f, "depthwise {kernel}"),
            Kind::Grouped(kernel) => write!(f, "grouped {kernel}"),
            Kind::Pointwise => f.write_str("pointwise"),
            Kind::Dense => f.write_str("dense"),
            Kind::BatchNorm => f.write_str("batch norm"),
            Kind::Add => f.write_str("add"),
            Kind::Multiply => f.write_str("multiply"),
            Kind::MaxPool => f.write_str("max pool"),
            Kind::AveragePool => f.write_str("average pool"),
            Kind::Concat => f.write_str("concat"),
            Kind::Upsample => f.write_str("upsample"),
            Kind::Pool => f.write_str("pool"),
            Kind::Softmax => f.write_str("softmax"),
        }
    }
}

impl Serialize for Kind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// One layer: its batch norm and activation belong to it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LayerCost {
    /// The node's name.
    pub name: String,
    /// Its kind.
    pub kind: Kind,
    /// The shape of its output.
    #[serde(serialize_with = "serialize_shape")]
    pub output: Shape,
    /// What it costs.
    #[serde(flatten)]
    pub cost: Cost,
    /// At a pointwise layer that follows a depthwise one: multiply-adds of both over those of one standard convolution with the
    /// same window, 1/N + 1/D_K^2 (section 3.1).
    pub reduction: Option<f64>,
}

/// All layers of one kind.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct KindCost {
    /// The kind.
    pub kind: Kind,
    /// How many layers there are of it.
    pub n_layers: usize,
    /// What they cost together.
    #[serde(flatten)]
    pub cost: Cost,
    /// Their part of the network's multiply-adds, in percent.
    #[serde(rename = "multiply_adds_percent")]
    pub mult_adds_percent: f64,
    /// Their part of the network's parameters, in percent.
    pub parameters_percent: f64,
}

/// What a network costs, layer by layer, kind by kind and in all.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// The network's name.
    pub network: String,
    /// The width multiplier.
    pub alpha: f64,
    /// The input's shape: the resolution.
    #[serde(serialize_with = "serialize_shape")]
    pub input: Shape,
    /// Whether it is one in bytes and integers; left out where it isn't.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_int8: bool,
    /// Each layer in order.
    pub layers: Vec<LayerCost>,
    /// Each kind, in order of first appearance.
    pub kinds: Vec<KindCost>,
    /// The whole network.
    pub total: Cost,
    /// Workspace of one inference, for the caller to fill: it depends on the target's schedule, not on the graph alone.
    pub workspace_bytes: Option<usize>,
}

impl Report {
    /// Counts a graph.
    ///
    /// ```
    /// use mnc::{cost::Report, describe, graph::{Graph, Knobs}};
    /// let description = describe::builtin("mobilenet-v1").unwrap().description();
    /// let report = Report::of(&Graph::build(&description, &Knobs::default())?);
    /// assert_eq!(report.total.mult_adds, 568_741_376); // the paper's 569 million
    /// # Ok::<(), mnc::Error>(())
    /// ```
    pub fn of(graph: &Graph) -> Report {
        let mut layers: Vec<LayerCost> = Vec::new();
        // By node: the layer in `layers` that its output belongs to.
        let mut owners: Vec<Option<usize>> = Vec::with_capacity(graph.nodes.len());
        for node in &graph.nodes {
            let owner = node.inputs.first().and_then(|input| owners[input.0]);
            owners.push(count_node(graph, node, owner, &mut layers));
        }
        Report::of_layers(graph, layers)
    }

    /// A graph's layers, added up.
    pub(crate) fn of_layers(graph: &Graph, layers: Vec<LayerCost>) -> Report {
        let mut total = Cost::default();
        layers.iter().for_each(|layer| total += layer.cost);
        Report {
            network: graph.name.clone(),
            alpha: graph.alpha,
            input: graph.input_shape(),
            is_int8: false,
            kinds: by_kind(&layers, total),
            layers,
            total,
            workspace_bytes: None,
        }
    }

    /// Everything, as one indented JSON object.
    ///
    /// ```
    /// # use mnc::{cost::Report, describe, graph::{Graph, Knobs}};
    /// # let description = describe::builtin("mobilenet-v1").unwrap().description();
    /// let report = Report::of(&Graph::build(&description, &Knobs::default())?);
    /// assert!(report.to_json().contains(r#""kind": "depthwise 3x3""#));
    /// # Ok::<(), mnc::Error>(())
    /// ```
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("numbers and strings always have a JSON form")
    }

    /// The layers as comma-separated values under a line of headings, with a last line for the network.
    ///
    /// ```
    /// # use mnc::{cost::Report, describe, graph::{Graph, Knobs}};
    /// # let description = describe::builtin("mobilenet-v1").unwrap().description();
    /// let report = Report::of(&Graph::build(&description, &Knobs::default())?);
    /// assert_eq!(report.to_csv().lines().nth(1).unwrap(), "conv_1,conv 3x3,112,112,32,10838016,864,896,928,3584,,1605632");
    /// # Ok::<(), mnc::Error>(())
    /// ```
    pub fn to_csv(&self) -> String {
        let mut csv =
            "name,kind,height,width,channels,multiply_adds,parameters,parameters_folded,parameters_batch_norm,\
                       weight_bytes,reduction,output_bytes\n"
                .to_string();
        for layer in &self.layers {
            let Shape { height, width, channels } = layer.output;
            let reduction = layer.reduction.map_or(String::new(), |reduction| format!("{reduction:.6}"));
            let (name, kind, cost) = (csv_field(&layer.name), layer.kind, numbers(&layer.cost));
            csv += &format!(
                "{name},{kind},{height},{width},{channels},{cost},{reduction},{}\n",
                layer.cost.output_bytes
            );
        }
        csv += &format!("total,,,,,{},,{}\n", numbers(&self.total), self.total.output_bytes);
        csv
    }
}

/// Adds what a node costs, and hands back the layer that its output belongs to. `owner` is that of its first input.
fn count_node(
    graph: &Graph,
    node: &Node,
    owner: Option<usize>,
    layers: &mut Vec<LayerCost>,
) -> Option<usize> {
    let input = node.inputs.first().map(|input| graph.node(*input).shape());
    let mut cost = input.map_or(Cost::default(), |input| of_layer(&node.layer, input, node.shape()));
    let kind = match &node.layer {
        Layer::Input => return None,
        Layer::Activation(_) => return owner,
        Layer::BatchNorm { gamma, beta, .. } => {
            let n = node.shape().channels as u64;
            let vectors = u64::from(*gamma) + u64::from(*beta);
            if let Some(idx) = owner.filter(|idx| layers[*idx].cost.weights != 0) {
                count_batch_norm(&mut layers[idx].cost, n, vectors);
                return owner;
            }
            count_batch_norm(&mut cost, n, vectors);
            Kind::BatchNorm
        }
        Layer::Conv { window: Window::POINTWISE, .. } => Kind::Pointwise,
        Layer::Conv { window, .. } => Kind::Conv(window.slide().kernel),
        Layer::Depthwise { window, .. } => Kind::Depthwise(window.slide().kernel),
        Layer::Grouped { window, .. } => Kind::Grouped(window.slide().kernel),
        Layer::Dense { .. } => Kind::Dense,
        Layer::Add => Kind::Add,
        Layer::Multiply => Kind::Multiply,
        Layer::Pool { pooling: Pooling::Max, .. } => Kind::MaxPool,
        Layer::Pool { pooling: Pooling::Average { .. }, .. } => Kind::AveragePool,
        Layer::Concat => Kind::Concat,
        Layer::Upsample { .. } => Kind::Upsample,
        Layer::GlobalAveragePool => Kind::Pool,
        Layer::Softmax => Kind::Softmax,
    };
    cost.output_bytes = output_bytes(node.tensor);
    let reduction = if kind == Kind::Pointwise { reduction(graph, node, &cost) } else { None };
    layers.push(LayerCost { name: node.name.clone(), kind, output: node.shape(), cost, reduction });
    Some(layers.len() - 1)
}

/// What a pointwise layer and the depthwise one before it, if there is one, save over a standard convolution.
fn reduction(graph: &Graph, pointwise: &Node, cost: &Cost) -> Option<f64> {
    let depthwise = depthwise_before(graph, pointwise)?;
    let (m, n) = (depthwise.n as u64, pointwise.shape().channels as u64);
    let taps = (depthwise.taps() * pointwise.shape().pixels()) as u64;
    Some((taps * m + cost.mult_adds) as f64 / (taps * m * n) as f64)
}

/// The taps of all positions of a window that are on the map, not on its padding.
fn inside(window: Window, input: Shape, output: Shape) -> u64 {
    let along = |axis: Axis, extent: usize, positions: usize| -> u64 {
        (0..positions).map(|out| axis.taps(out, extent).len() as u64).sum()
    };
    along(window.rows, input.height, output.height) * along(window.columns, input.width, output.width)
}

/// What a layer costs by itself, of its first input's shape and its output's.
pub fn of_layer(layer: &Layer, input: Shape, output: Shape) -> Cost {
    let Some(filter) = layer.filter(input) else { return Cost::default() };
    let mut cost = filter_cost(filter, output);
    if let Some(window) = layer.window() {
        let per_tap = (filter.n_weights() / filter.taps()) as u64;
        cost.padding_mult_adds = cost.mult_adds - per_tap * inside(window, input, output);
    }
    cost
}

/// Bytes of a value that is stored.
pub(crate) fn output_bytes(tensor: Tensor) -> u64 {
    (tensor.shape.len() * tensor.dtype.bytes()) as u64
}

/// A layer with a filter, each of whose weights is used once per output pixel.
fn filter_cost(filter: FilterShape, output: Shape) -> Cost {
    let weights = filter.n_weights() as u64;
    let parameters = weights + if filter.has_bias { filter.n as u64 } else { 0 };
    Cost {
        mult_adds: weights * output.pixels() as u64,
        padding_mult_adds: 0,
        weights,
        parameters,
        parameters_folded: parameters,
        parameters_batch_norm: parameters,
        weight_bytes: WEIGHT_BYTES * parameters,
        output_bytes: 0,
    }
}

/// A batch norm over `n` channels: so many vectors of gamma and beta, or the bias that folding leaves where the layer has none.
fn count_batch_norm(cost: &mut Cost, n: u64, vectors: u64) {
    cost.parameters_batch_norm += vectors * n;
    cost.parameters_folded = cost.parameters_folded.max(cost.weights + n);
    cost.weight_bytes = WEIGHT_BYTES * cost.parameters_folded;
}

/// The filter of the depthwise layer whose output, normalised and activated, this node reads.
fn depthwise_before(graph: &Graph, node: &Node) -> Option<FilterShape> {
    let mut before = graph.node(*node.inputs.first()?);
    while let Layer::BatchNorm { .. } | Layer::Activation(_) = before.layer {
        before = graph.node(before.inputs[0]);
    }
    if matches!(before.layer, Layer::Depthwise { .. }) { graph.filter(before) } else { None }
}

fn by_kind(layers: &[LayerCost], total: Cost) -> Vec<KindCost> {
    let mut kinds: Vec<KindCost> = Vec::new();
    for layer in layers {
        let idx = kinds.iter().position(|entry| entry.kind == layer.kind).unwrap_or_else(|| {
            let cost = Cost::default();
            let entry = KindCost {
                kind: layer.kind,
                n_layers: 0,
                cost,
                mult_adds_percent: 0.0,
                parameters_percent: 0.0,
            };
            kinds.push(entry);
            kinds.len() - 1
        });
        kinds[idx].n_layers += 1;
        kinds[idx].cost += layer.cost;
    }
    let percent = |part: u64, whole: u64| if whole == 0 { 0.0 } else { 100.0 * part as f64 / whole as f64 };
    for entry in &mut kinds {
        entry.mult_adds_percent = percent(entry.cost.mult_adds, total.mult_adds);
        entry.parameters_percent = percent(entry.cost.parameters, total.parameters);
    }
    kinds
}

fn serialize_shape<S: Serializer>(shape: &Shape, serializer: S) -> Result<S::Ok, S::Error> {
    [shape.height, shape.width, shape.channels].serialize(serializer)
}

fn numbers(cost: &Cost) -> String {
    let Cost { mult_adds, parameters, parameters_folded, parameters_batch_norm, weight_bytes, .. } = cost;
    format!("{mult_adds},{parameters},{parameters_folded},{parameters_batch_norm},{weight_bytes}")
}

/// A field as RFC 4180 wants it. Names from files need no quotes; graphs made by hand may hold anything.
pub fn csv_field(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_string()
    }
}

#[cfg(test)]
mod tests;
