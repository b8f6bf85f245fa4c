//! [`Description`] x [`Knobs`] -> [`Graph`]: sugar expanded, names given, shapes computed.

mod block;
mod detect;
mod ranges;
mod walk;

use std::collections::{HashMap, HashSet};

use self::ranges::check_ranges;
use self::walk::Walk;
use super::layer::{Activation, Layer};
use super::names::Names;
use super::origin::{Origin, Role};
use super::shape::{Shape, Window};
use super::tensor::Tensor;
use super::{Graph, Knobs, Node, NodeId};
use crate::describe::{
    ConvSpec, Description, INPUT_NAME, LayerKind, LayerSpec, NormSpec, Padding, Scores, Slide, Width,
};
use crate::error::{Error, ErrorKind, Faults, Place, Result};

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

struct Builder<'d> {
    description: &'d Description,
    knobs: &'d Knobs,
    faults: Faults,
    nodes: Vec<Node>,
    names: Names,
    walk: Walk,
    /// The place of the layer that is added.
    origin: Option<Origin>,
    /// Output of each named layer and of its parts, after its activation, and after its last repeat.
    named: HashMap<String, NodeId>,
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
            walk: Walk::default(),
            origin: None,
            named: HashMap::from([(INPUT_NAME.to_owned(), NodeId(0))]),
            n_weights: 0,
            last: NodeId(0),
        };
        builder.check_map(INPUT_NAME, shape);
        builder.nodes.push(Node {
            name: INPUT_NAME.to_string(),
            layer: Layer::Input,
            inputs: Vec::new(),
            tensor: Tensor::f32(shape),
            origin: None,
        });
        builder
    }

    fn finish(mut self) -> Result<Graph> {
        let (outputs, output_names) = self.outputs();
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
        self.check_readers(&outputs);
        self.check_scores(&outputs);
        std::mem::replace(&mut self.faults, Faults::new(ErrorKind::Graph)).propagate()?;
        let detect = self.detect(&outputs, &output_names)?;
        self.walk.finish(&mut self.nodes);
        let (outputs, output_names) = match self.description.is_headless {
            true => self.leave_classifier_out()?,
            false => (outputs, output_names),
        };
        let graph = Graph {
            name: self.description.name.clone(),
            alpha: self.knobs.alpha,
            nodes: self.nodes,
            outputs,
            output_names,
            preprocess: self.description.preprocess.clone(),
            scores: self.description.scores.filter(|_| !self.description.is_headless),
            is_headless: self.description.is_headless,
            detect,
            batch: 1,
        };
        debug_assert_eq!(graph.verify().map_err(|error| error.to_string()), Ok(()), "a built graph verifies");
        Ok(graph)
    }

    /// Ends the network where its classifier would begin; what it returns then.
    fn leave_classifier_out(&mut self) -> Result<(Vec<NodeId>, Vec<String>)> {
        let wrong = |detail: &str| Error::new(ErrorKind::Graph, Place::named("features"), detail);
        if !self.description.outputs.is_empty() || self.description.detect.is_some() {
            return Err(wrong(
                "found a description with `outputs`, expected one whose last layer is the classifier",
            ));
        }
        let is_classifier = |node: &Node| node.origin.is_some_and(|origin| origin.role == Role::Classifier);
        let idx = self.nodes.iter().position(is_classifier);
        let Some(idx) = idx.filter(|idx| self.nodes[*idx].inputs == [NodeId(idx - 1)]) else {
            return Err(wrong(
                "found no classifier at the network's end, expected a `dense` layer to leave out",
            ));
        };
        self.nodes.truncate(idx);
        let name = self.nodes[idx - 1].name.split('.').next().unwrap_or_default().to_owned();
        Ok((vec![NodeId(idx - 1)], vec![name]))
    }

    /// What the network returns, and how the description calls it.
    fn outputs(&mut self) -> (Vec<NodeId>, Vec<String>) {
        if self.description.outputs.is_empty() {
            // Batch norms and activations are called after their layer.
            let last = self.nodes[self.last.0].name.split('.').next().unwrap_or_default();
            return (vec![self.last], vec![last.to_owned()]);
        }
        let mut outputs: Vec<NodeId> = Vec::new();
        for name in &self.description.outputs {
            let detail = match self.named.get(name.as_str()) {
                Some(NodeId(0)) => {
                    format!("found {name:?}, the network's input, expected the name of a layer")
                }
                Some(id) if outputs.contains(id) => format!("found {name:?} twice, expected each layer once"),
                Some(id) => {
                    outputs.push(*id);
                    continue;
                }
                None => format!("found {name:?}, expected the name of a layer"),
            };
            self.faults.push(Place::named("outputs"), detail);
        }
        (outputs, self.description.outputs.clone())
    }

    /// What the outputs are said to mean has to fit the last layer.
    fn check_scores(&mut self, outputs: &[NodeId]) {
        for id in outputs {
            let node = &self.nodes[id.0];
            if node.layer == Layer::Softmax && node.shape().channels == 1 {
                let detail = "found one channel, expected several: the softmax of one number is always 1";
                self.faults.push(Place::layer(&node.name), detail);
            }
        }
        let found = |rule: Scores| format!("found {:?}", rule.name());
        let [output] = outputs else {
            let rule = self.description.scores.filter(|rule| *rule != Scores::Values);
            if let Some(rule) = rule.filter(|_| !outputs.is_empty()) {
                let detail = format!("{} for {} outputs, expected \"values\"", found(rule), outputs.len());
                self.faults.push(Place::named("scores"), detail);
            }
            return;
        };
        let Node { name, layer, tensor: Tensor { shape, .. }, .. } = &self.nodes[output.0];
        let is_softmax = matches!(layer, Layer::Softmax);
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
        if let Err(last) = self.walk.next(layer.stage) {
            let stage = layer.stage.unwrap_or(0);
            let detail =
                format!("found stage {stage} behind a layer of stage {last}, expected {last} or more");
            self.faults.push(Place::layer(&repeats[0][0]), detail);
        }
        if let Some(input) = &layer.input {
            self.last = self.earlier(&repeats[0][0], "input", input);
        }
        let start = self.nodes.len();
        for (idx, names) in repeats.into_iter().enumerate() {
            self.add_once(&layer.kind, names, idx == 0);
        }
        if let Some(name) = &layer.name {
            // Batch norms and activations are called after their layer, and what others read is behind them.
            for (idx, node) in self.nodes.iter().enumerate().skip(start) {
                let part = node.name.split('.').next().unwrap_or_default();
                self.named.insert(part.to_owned(), NodeId(idx));
            }
            self.named.insert(name.clone(), self.last);
        }
    }

    fn add_once(&mut self, kind: &'d LayerKind, names: Vec<String>, is_first: bool) {
        self.origin = None;
        let mut names = names.into_iter();
        let mut name = || names.next().expect("each layer has a name");
        match kind {
            LayerKind::Conv { spec, filters, groups } => self.add_conv(name(), spec, *filters, *groups),
            LayerKind::Depthwise { spec, multiplier } => self.add_depthwise(name(), spec, *multiplier),
            LayerKind::Separable { spec, squeeze, filters } => {
                self.add_depthwise(name(), spec, 1);
                if let Some(squeeze) = squeeze {
                    self.add_squeeze(name(), squeeze);
                }
                let pointwise = name();
                let spec = ConvSpec { slide: Slide::POINTWISE, padding: Padding::Valid, ..*spec };
                self.add_conv(pointwise, &spec, *filters, 1);
            }
            LayerKind::Block(block) => self.add_block(block, names.collect(), is_first),
            LayerKind::SqueezeExcite(squeeze) => self.add_squeeze(name(), squeeze),
            LayerKind::Add { from, activation } => self.add_pair(name(), Layer::Add, from, *activation),
            LayerKind::Multiply { from, activation } => {
                self.add_pair(name(), Layer::Multiply, from, *activation);
            }
            LayerKind::Pool { pooling, slide, padding } => {
                let input = self.nodes[self.last.0].shape();
                let window = Window::resolve(*slide, *padding, (input.height, input.width));
                self.push(name(), Layer::Pool { pooling: *pooling, window }, vec![self.last]);
            }
            LayerKind::Concat { from } => {
                let name = name();
                let mut inputs = vec![self.last];
                inputs.extend(from.iter().map(|from| self.earlier(&name, "from", from)));
                self.push(name, Layer::Concat, inputs);
            }
            LayerKind::Upsample { factor } => {
                self.push(name(), Layer::Upsample { factor: *factor }, vec![self.last]);
            }
            LayerKind::GlobalAveragePool => {
                self.push(name(), Layer::GlobalAveragePool, vec![self.last]);
            }
            LayerKind::Dense { units, flatten, activation, bias } => {
                let name = name();
                let n = units.unwrap_or(self.description.classes);
                self.origin = Some(self.walk.dense(self.next_id()));
                let layer = Layer::Dense { n, flatten: *flatten, bias: *bias };
                self.push(name.clone(), layer, vec![self.last]);
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
    fn check_readers(&mut self, outputs: &[NodeId]) {
        let mut is_read = vec![false; self.nodes.len()];
        outputs.iter().for_each(|id| is_read[id.0] = true);
        self.nodes.iter().flat_map(|node| &node.inputs).for_each(|input| is_read[input.0] = true);
        for (node, _) in self.nodes.iter().zip(is_read).filter(|(_, is_read)| !is_read) {
            // Batch norms, activations and the layers of a gate are called after their layer.
            let layer = node.name.split('.').next().unwrap_or(&node.name);
            let detail = "found no layer that reads it, expected one, by its `input` or `from`, or its name in `outputs`";
            self.faults.push(Place::layer(layer), detail);
        }
    }

    fn add_conv(&mut self, name: String, spec: &ConvSpec, filters: Width, groups: usize) {
        let window = self.window(spec);
        let is_pointwise = window == Window::POINTWISE;
        self.origin = Some(self.walk.conv(self.next_id(), is_pointwise, spec.slide.stride));
        let n = filters.channels(self.description.rounding, self.knobs.alpha);
        if groups == 1 {
            self.push_conv(name, spec, n);
        } else {
            self.push_filter(name, spec, Layer::Grouped { window, n, groups, bias: spec.bias });
        }
    }

    /// Several filters to a channel are groups of one input channel.
    fn add_depthwise(&mut self, name: String, spec: &ConvSpec, multiplier: usize) {
        self.origin = Some(self.walk.depthwise(self.next_id(), spec.slide.stride));
        if multiplier == 1 {
            return self.push_depthwise(name, spec);
        }
        let groups = self.nodes[self.last.0].shape().channels;
        let (window, n) = (self.window(spec), groups.saturating_mul(multiplier));
        self.push_filter(name, spec, Layer::Grouped { window, n, groups, bias: spec.bias });
    }

    /// A standard convolution with what follows it, all at the place that `origin` tells.
    fn push_conv(&mut self, name: String, spec: &ConvSpec, n: usize) {
        self.push_filter(name, spec, Layer::Conv { window: self.window(spec), n, bias: spec.bias });
    }

    fn push_depthwise(&mut self, name: String, spec: &ConvSpec) {
        self.push_filter(name, spec, Layer::Depthwise { window: self.window(spec), bias: spec.bias });
    }

    fn push_filter(&mut self, name: String, spec: &ConvSpec, layer: Layer) {
        self.push(name.clone(), layer, vec![self.last]);
        self.normalise_and_activate(&name, spec);
    }

    /// The id of the node that is added next.
    fn next_id(&self) -> NodeId {
        NodeId(self.nodes.len())
    }

    /// A layer of two inputs, the second of which it names.
    fn add_pair(&mut self, name: String, layer: Layer, from: &str, activation: Activation) {
        let other = self.earlier(&name, "from", from);
        self.push(name.clone(), layer, vec![self.last, other]);
        self.activate(&name, activation);
    }

    fn window(&self, spec: &ConvSpec) -> Window {
        let input = self.nodes[self.last.0].shape();
        Window::resolve(spec.slide, spec.padding, (input.height, input.width))
    }

    fn normalise_and_activate(&mut self, name: &str, spec: &ConvSpec) {
        if let Some(NormSpec { epsilon, gamma, beta }) = spec.norm {
            let epsilon = epsilon.unwrap_or(self.description.batch_norm_epsilon);
            self.push(format!("{name}.norm"), Layer::BatchNorm { epsilon, gamma, beta }, vec![self.last]);
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
        self.last = self.next_id();
        self.nodes.push(Node { name, layer, inputs, tensor: Tensor::f32(shape), origin: self.origin });
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
            height: input.height.div_ceil(window.rows.stride),
            width: input.width.div_ceil(window.columns.stride),
            channels: filter.n,
        },
        _ => input,
    }
}
