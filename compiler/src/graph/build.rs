//! [`Description`] x [`Knobs`] -> [`Graph`]: sugar expanded, names given, shapes computed.

use std::collections::{HashMap, HashSet};

use super::layer::{Activation, Layer};
use super::shape::{Shape, Window};
use super::tensor::Tensor;
use super::{Graph, Knobs, Node, NodeId};
use crate::describe::{
    ConvSpec, Description, INPUT_NAME, LayerKind, LayerSpec, MAX_CHANNELS, MAX_KERNEL, MAX_LAYERS, MAX_SIDE,
    MAX_STRIDE, Padding, Rounding, Scores,
};
use crate::error::{ErrorKind, Faults, Place, Result};

/// Most elements of one feature map: 1 GiB of f32.
const MAX_MAP_LEN: u64 = 1 << 28;
/// Most weights of all layers: 4 GiB of f32.
const MAX_WEIGHTS: u64 = 1 << 30;

pub(super) fn build(description: &Description, knobs: &Knobs) -> Result<Graph> {
    let mut options = Faults::new(ErrorKind::Options);
    knobs.check(description.input, &mut options);
    options.propagate()?;

    let mut faults = Faults::new(ErrorKind::Graph);
    check_ranges(description, &mut faults);
    // Shapes of illegal windows aren't worth computing.
    faults.propagate()?;

    let mut builder = Builder::new(description, knobs);
    for layer in &description.layers {
        builder.add_layer(layer);
    }
    builder.finish()
}

/// A description need not come from a file: what the parser promises is checked again where arithmetic relies on it.
fn check_ranges(description: &Description, faults: &mut Faults) {
    let (input, network) = (Place::layer(INPUT_NAME), Place::named("network"));
    let alpha = Place::flag("alpha");
    let mut check = |place: &Place, what: &str, found: usize, last: usize| {
        if found < 1 || last < found {
            faults.push(place.clone(), format!("found {what} {found}, expected 1 to {last}"));
        }
    };
    check(&input, "height", description.input.height, MAX_SIDE);
    check(&input, "width", description.input.width, MAX_SIDE);
    check(&input, "channels", description.input.channels, MAX_CHANNELS);
    check(&network, "classes", description.classes, MAX_CHANNELS);
    match description.rounding {
        Rounding::Floor { minimum } => check(&alpha, "minimum", minimum, MAX_CHANNELS),
        Rounding::Nearest { multiple } => check(&alpha, "multiple", multiple, MAX_CHANNELS),
    }
    let total = description.layers.iter().fold(0, |sum: usize, layer| sum.saturating_add(layer.n_layers()));
    check(&network, "number of layers", total, MAX_LAYERS);
    for (idx, layer) in description.layers.iter().enumerate() {
        let place = Place::Layer(layer.name.clone().unwrap_or_else(|| format!("layer {}", idx + 1)));
        check(&place, "repeat", layer.repeat, MAX_LAYERS);
        let (spec, n) = match &layer.kind {
            LayerKind::Conv { spec, filters, .. } | LayerKind::Separable { spec, filters, .. } => {
                (Some(spec), *filters)
            }
            LayerKind::Depthwise { spec } => (Some(spec), 1),
            LayerKind::Dense { units, .. } => (None, units.unwrap_or(1)),
            LayerKind::Add { .. } | LayerKind::GlobalAveragePool | LayerKind::Softmax => (None, 1),
        };
        check(&place, "channels", n, MAX_CHANNELS);
        if let Some(spec) = spec {
            check(&place, "kernel", spec.kernel, MAX_KERNEL);
            check(&place, "stride", spec.stride, MAX_STRIDE);
        }
    }
}

/// Kinds that are counted apart when layers are named.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Conv,
    Depthwise,
    Pointwise,
    Add,
    Pool,
    Dense,
    Softmax,
}

impl Kind {
    fn stem(self) -> &'static str {
        match self {
            Kind::Conv => "conv",
            Kind::Depthwise => "conv_dw",
            Kind::Pointwise => "conv_pw",
            Kind::Add => "add",
            Kind::Pool => "pool",
            Kind::Dense => "dense",
            Kind::Softmax => "softmax",
        }
    }
}

/// Gives layers their names.
#[derive(Default)]
struct Names {
    /// Layers of each kind so far, named ones too: `conv_dw_3` is the third depthwise layer whatever the others are called.
    n_kinds: HashMap<Kind, usize>,
}

impl Names {
    /// Those of the layers that one repeat of a described layer becomes, in their order.
    fn of(&mut self, kind: &LayerKind, name: Option<&str>) -> Vec<String> {
        let mut layer = |kind: Kind, ending: &str| {
            let n = self.n_kinds.entry(kind).or_insert(0);
            *n += 1;
            name.map_or_else(|| format!("{}_{n}", kind.stem()), |name| format!("{name}{ending}"))
        };
        match kind {
            LayerKind::Conv { spec, .. } if spec.kernel == 1 && spec.stride == 1 => {
                vec![layer(Kind::Pointwise, "")]
            }
            LayerKind::Conv { .. } => vec![layer(Kind::Conv, "")],
            LayerKind::Depthwise { .. } => vec![layer(Kind::Depthwise, "")],
            LayerKind::Separable { .. } => vec![layer(Kind::Depthwise, "_dw"), layer(Kind::Pointwise, "_pw")],
            LayerKind::Add { .. } => vec![layer(Kind::Add, "")],
            LayerKind::GlobalAveragePool => vec![layer(Kind::Pool, "")],
            LayerKind::Dense { .. } => vec![layer(Kind::Dense, "")],
            LayerKind::Softmax => vec![layer(Kind::Softmax, "")],
        }
    }

    /// The same for each of its repeats.
    fn repeats(&mut self, layer: &LayerSpec) -> Vec<Vec<String>> {
        let repeat = |idx: usize| {
            let name = layer.name.as_ref();
            let name =
                name.map(|name| if layer.repeat == 1 { name.clone() } else { format!("{name}_{idx}") });
            self.of(&layer.kind, name.as_deref())
        };
        (1..=layer.repeat).map(repeat).collect()
    }
}

/// For each described layer, the names of the layers that it becomes, repeats included; batch norms and activations are called
/// after them.
pub(super) fn layer_names(description: &Description) -> Vec<Vec<String>> {
    let mut names = Names::default();
    description.layers.iter().map(|layer| names.repeats(layer).concat()).collect()
}

struct Builder<'d> {
    description: &'d Description,
    knobs: &'d Knobs,
    faults: Faults,
    nodes: Vec<Node>,
    names: Names,
    /// Output of each named layer, after its activation, and after its last repeat.
    named: HashMap<&'d str, NodeId>,
    n_weights: u64,
    /// The node that the next layer reads.
    last: NodeId,
}

impl<'d> Builder<'d> {
    fn new(description: &'d Description, knobs: &'d Knobs) -> Builder<'d> {
        let input = description.input;
        let (height, width) = knobs.resolution.map_or((input.height, input.width), |r| (r.height, r.width));
        let shape = Shape { height, width, channels: input.channels };
        let mut builder = Builder {
            description,
            knobs,
            faults: Faults::new(ErrorKind::Graph),
            nodes: Vec::new(),
            names: Names::default(),
            named: HashMap::from([(INPUT_NAME, NodeId(0))]),
            n_weights: 0,
            last: NodeId(0),
        };
        builder.check_map(INPUT_NAME, shape);
        builder.nodes.push(Node {
            name: INPUT_NAME.to_string(),
            layer: Layer::Input,
            inputs: Vec::new(),
            tensor: Tensor::f32(shape),
        });
        builder
    }

    fn finish(mut self) -> Result<Graph> {
        if self.description.layers.is_empty() {
            self.faults.push(Place::named("network"), "found no layer, expected at least one");
        }
        if self.n_weights > MAX_WEIGHTS {
            let found = self.n_weights;
            self.faults.push(
                Place::named("network"),
                format!("found {found} weights, expected at most {MAX_WEIGHTS}"),
            );
        }
        let mut names = HashSet::new();
        for node in &self.nodes {
            if !names.insert(node.name.as_str()) {
                self.faults.push(
                    Place::layer(&node.name),
                    "found two layers of this name, expected a name of its own for each",
                );
            }
        }
        self.check_readers();
        self.check_scores();
        self.faults.propagate()?;
        let graph = Graph {
            name: self.description.name.clone(),
            alpha: self.knobs.alpha,
            nodes: self.nodes,
            outputs: vec![self.last],
            preprocess: self.description.preprocess.clone(),
            scores: self.description.scores,
            batch: 1,
        };
        debug_assert_eq!(graph.verify().map_err(|error| error.to_string()), Ok(()), "a built graph verifies");
        Ok(graph)
    }

    /// What the outputs are said to mean has to fit the last layer.
    fn check_scores(&mut self) {
        let Node { name, layer, tensor: Tensor { shape, .. }, .. } = &self.nodes[self.last.0];
        let is_softmax = matches!(layer, Layer::Softmax);
        let found = |rule: Scores| format!("found {:?}", rule.name());
        if is_softmax && shape.channels == 1 {
            let detail = "found one channel, expected several: the softmax of one number is always 1";
            self.faults.push(Place::layer(name), detail);
        }
        match self.description.scores {
            Some(rule) if is_softmax => {
                let detail = format!("{} behind the layer {name}, a softmax, expected none", found(rule));
                self.faults.push(Place::named("scores"), detail);
            }
            Some(rule @ Scores::Softmax) if shape.pixels() == 1 && shape.channels == 1 => {
                let detail = format!("{} for one output, expected \"sigmoid\" or \"values\"", found(rule));
                self.faults.push(Place::named("scores"), detail);
            }
            Some(rule @ (Scores::Softmax | Scores::Sigmoid)) if shape.pixels() != 1 => {
                let detail = format!("{} for a map of {shape}, expected \"values\"", found(rule));
                self.faults.push(Place::named("scores"), detail);
            }
            Some(Scores::Softmax | Scores::Sigmoid | Scores::Values) | None => {}
        }
    }

    fn add_layer(&mut self, layer: &'d LayerSpec) {
        let repeats = self.names.repeats(layer);
        if let Some(input) = &layer.input {
            self.last = self.earlier(&repeats[0][0], "input", input);
        }
        for names in repeats {
            self.add_once(&layer.kind, names);
        }
        if let Some(name) = &layer.name {
            self.named.insert(name, self.last);
        }
    }

    fn add_once(&mut self, kind: &'d LayerKind, names: Vec<String>) {
        let mut names = names.into_iter();
        let mut name = || names.next().expect("each layer has a name");
        match kind {
            LayerKind::Conv { spec, filters, scaled } => self.add_conv(name(), spec, *filters, *scaled),
            LayerKind::Depthwise { spec } => self.add_depthwise(name(), spec),
            LayerKind::Separable { spec, filters, scaled } => {
                self.add_depthwise(name(), spec);
                let pointwise = name();
                let spec = ConvSpec { kernel: 1, stride: 1, padding: Padding::Valid, ..*spec };
                self.add_conv(pointwise, &spec, *filters, *scaled);
            }
            LayerKind::Add { from, activation } => {
                let name = name();
                let other = self.earlier(&name, "from", from);
                let inputs = vec![self.last, other];
                self.push(name.clone(), Layer::Add, inputs);
                self.activate(&name, *activation);
            }
            LayerKind::GlobalAveragePool => {
                self.push(name(), Layer::GlobalAveragePool, vec![self.last]);
            }
            LayerKind::Dense { units, activation, bias } => {
                let name = name();
                let n = units.unwrap_or(self.description.classes);
                self.push(name.clone(), Layer::Dense { n, bias: *bias }, vec![self.last]);
                self.activate(&name, *activation);
            }
            LayerKind::Softmax => {
                self.push(name(), Layer::Softmax, vec![self.last]);
            }
        }
    }

    /// The output of the layer that a key names; a stand-in, the last one, when there is no such layer.
    fn earlier(&mut self, place: &str, key: &str, name: &str) -> NodeId {
        self.named.get(name).copied().unwrap_or_else(|| {
            let detail = format!("found `{key}` {name:?}, expected the name of an earlier layer");
            self.faults.push(Place::layer(place), detail);
            self.last
        })
    }

    /// A layer whose output nobody reads is a mistake: what was behind it reads another.
    fn check_readers(&mut self) {
        let mut is_read = vec![false; self.nodes.len()];
        is_read[self.last.0] = true;
        self.nodes.iter().flat_map(|node| &node.inputs).for_each(|input| is_read[input.0] = true);
        for (node, _) in self.nodes.iter().zip(is_read).filter(|(_, is_read)| !is_read) {
            // Batch norms and activations are called after their layer.
            let layer = node.name.split('.').next().unwrap_or(&node.name);
            let detail = "found no layer that reads it, expected one, by its `input` or `from`";
            self.faults.push(Place::layer(layer), detail);
        }
    }

    fn add_conv(&mut self, name: String, spec: &ConvSpec, filters: usize, scaled: bool) {
        let window = self.window(spec);
        let n = if scaled { self.description.rounding.apply(self.knobs.alpha, filters) } else { filters };
        self.push(name.clone(), Layer::Conv { window, n, bias: spec.bias }, vec![self.last]);
        self.normalise_and_activate(&name, spec);
    }

    fn add_depthwise(&mut self, name: String, spec: &ConvSpec) {
        let window = self.window(spec);
        self.push(name.clone(), Layer::Depthwise { window, bias: spec.bias }, vec![self.last]);
        self.normalise_and_activate(&name, spec);
    }

    fn window(&self, spec: &ConvSpec) -> Window {
        let input = self.nodes[self.last.0].shape();
        Window::resolve(spec.kernel, spec.stride, spec.padding, (input.height, input.width))
    }

    fn normalise_and_activate(&mut self, name: &str, spec: &ConvSpec) {
        if spec.batch_norm {
            let epsilon = self.description.batch_norm_epsilon;
            self.push(format!("{name}.norm"), Layer::BatchNorm { epsilon }, vec![self.last]);
        }
        self.activate(name, spec.activation);
    }

    fn activate(&mut self, name: &str, activation: Activation) {
        if activation != Activation::None {
            let name = format!("{name}.{}", activation.word());
            self.push(name, Layer::Activation(activation), vec![self.last]);
        }
    }

    /// Adds a node and makes it the one that the next layer reads.
    fn push(&mut self, name: String, layer: Layer, inputs: Vec<NodeId>) {
        let shapes: Vec<Shape> = inputs.iter().map(|id| self.nodes[id.0].shape()).collect();
        let shape = layer.output_shape(&shapes).unwrap_or_else(|detail| {
            self.faults.push(Place::layer(&name), detail);
            stand_in(&layer, shapes[0])
        });
        self.check_map(&name, shape);
        let n_weights = layer.filter(shapes[0]).map_or(0, |filter| filter.n_weights());
        self.n_weights = self.n_weights.saturating_add(n_weights as u64);
        self.last = NodeId(self.nodes.len());
        self.nodes.push(Node { name, layer, inputs, tensor: Tensor::f32(shape) });
    }

    fn check_map(&mut self, name: &str, shape: Shape) {
        let len = shape.height as u64 * shape.width as u64 * shape.channels as u64;
        if len > MAX_MAP_LEN {
            self.faults.push(
                Place::layer(name),
                format!("found a map of {shape}, expected at most {MAX_MAP_LEN} elements"),
            );
        }
    }
}

/// The shape to go on with after a fault: the largest that any padding gives, so that what fails later fails by itself.
fn stand_in(layer: &Layer, input: Shape) -> Shape {
    match (layer.window(), layer.filter(input)) {
        (Some(window), Some(filter)) => Shape {
            height: input.height.div_ceil(window.stride),
            width: input.width.div_ceil(window.stride),
            channels: filter.n,
        },
        _ => input,
    }
}
