//! Stage 3: [`Description`] x alpha x resolution -> [`Graph`].
//!
//! Repeats and the separable sugar are expanded, alpha is applied to the channels, the resolution to the input, padding is
//! resolved, and every shape is known. Knows no weights and no target.

pub mod activation;
mod build;
mod knobs;
pub mod layer;
mod names;
mod origin;
pub mod shape;
pub mod tensor;
#[cfg(test)]
mod tests;
mod verify;

use mnc_runtime::info::Detect;

pub use self::knobs::{Knobs, MAX_ALPHA, Resolution, SIDES};
use self::layer::{FilterShape, Layer};
pub use self::origin::{Origin, Role};
use self::shape::Shape;
use self::tensor::Tensor;
use crate::describe::{Description, Preprocess, Scores};
use crate::error::Result;

/// A node's position in [`Graph::nodes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub usize);

/// One node: a layer applied to the outputs of earlier nodes.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Unique name, as in dumps, errors and symbols: `conv_dw_3`, `conv_dw_3.norm`, `conv_dw_3.relu6`.
    pub name: String,
    /// What it computes.
    pub layer: Layer,
    /// Its inputs; each id is smaller than the node's own.
    pub inputs: Vec<NodeId>,
    /// Its output.
    pub tensor: Tensor,
    /// Where a layer with a filter stands in the network; a batch norm and an activation have that of their layer.
    pub origin: Option<Origin>,
}

impl Node {
    /// The shape of its output.
    pub fn shape(&self) -> Shape {
        self.tensor.shape
    }
}

/// A network with every shape known, in topological order. Node 0 is the only [`Layer::Input`].
#[derive(Clone, Debug, PartialEq)]
pub struct Graph {
    /// The description's name: `mobilenet-v1`.
    pub name: String,
    /// The width multiplier that was applied.
    pub alpha: f64,
    /// The nodes, each after its inputs.
    pub nodes: Vec<Node>,
    /// The nodes whose values the network returns, one behind the other.
    pub outputs: Vec<NodeId>,
    /// For each of them, the name of the layer as the description calls it.
    pub output_names: Vec<String>,
    /// How an image becomes the input.
    pub preprocess: Preprocess,
    /// What the outputs mean, if anybody said it.
    pub scores: Option<Scores>,
    /// Whether its classifier is left out: what it returns are features.
    pub is_headless: bool,
    /// How the outputs become boxes, of a detector.
    pub detect: Option<Detect>,
    /// Images that one run takes, one behind the other. Shapes are those of one image, and so is the arithmetic.
    pub batch: usize,
}

impl Graph {
    /// Applies alpha and the resolution to a description. Every layer whose shape can't be is reported, by its name.
    ///
    /// ```
    /// use mnc::graph::{Graph, Knobs};
    /// let description = mnc::describe::builtin("mobilenet-v1").unwrap().description();
    /// let graph = Graph::build(&description, &Knobs { alpha: 0.5, resolution: Some("160".parse()?) })?;
    /// assert_eq!(graph.input_shape().to_string(), "160x160x3");
    /// assert_eq!(graph.by_name("conv_pw_13").unwrap().shape().to_string(), "5x5x512");
    /// # Ok::<(), mnc::Error>(())
    /// ```
    pub fn build(description: &Description, knobs: &Knobs) -> Result<Graph> {
        build::build(description, knobs)
    }

    /// For each layer of a description, in order, the names of the layers that it becomes: two of a separable one, one more set
    /// for each repeat.
    ///
    /// ```
    /// let description = mnc::describe::builtin("mobilenet-v1").unwrap().description();
    /// let names = mnc::graph::Graph::layer_names(&description);
    /// assert_eq!((names[0].as_slice(), names[1][1].as_str()), (&["conv_1".to_owned()][..], "conv_pw_1"));
    /// ```
    pub fn layer_names(description: &Description) -> Vec<Vec<String>> {
        names::layer_names(description)
    }

    /// The node of an id of this graph.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0]
    }

    /// The id of the node of that name.
    pub fn id(&self, name: &str) -> Option<NodeId> {
        self.nodes.iter().position(|node| node.name == name).map(NodeId)
    }

    /// The node of that name.
    pub fn by_name(&self, name: &str) -> Option<&Node> {
        self.id(name).map(|id| self.node(id))
    }

    /// The shape of the network's input.
    pub fn input_shape(&self) -> Shape {
        self.nodes[0].shape()
    }

    /// The filter of a node of this graph, if it has one.
    pub fn filter(&self, node: &Node) -> Option<FilterShape> {
        node.layer.filter(self.node(*node.inputs.first()?).shape())
    }

    /// The shapes of the inputs of a node of this graph.
    pub fn input_shapes(&self, node: &Node) -> Vec<Shape> {
        node.inputs.iter().map(|id| self.node(*id).shape()).collect()
    }

    /// Checks what every stage relies on: node 0 is the only input, inputs come before their users, names are unique, and
    /// each shape is the one that the node's layer gives.
    pub fn verify(&self) -> Result<()> {
        verify::verify(self)
    }
}
