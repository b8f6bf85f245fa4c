//! Which tensor of a file belongs to which layer: one const [`Naming`] per exporter.
//!
//! A naming is data: patterns for the places where a convolution can stand, and the words that an exporter uses for
//! weight, bias and the four vectors of a batch norm. A further scheme is a const here, its line in [`Naming::ALL`] and a
//! listing in the tests. Knows names and shapes, never bytes.

use std::collections::BTreeMap;
use std::fmt;

pub use mnc_runtime::weights::Role;

use crate::error::{Error, ErrorKind, Faults, Place, Result};
use crate::graph::layer::Layer;
use crate::graph::shape::Window;
use crate::graph::{Graph, NodeId};

/// How one exporter names the tensors of a network.
///
/// In patterns `{name}` is the layer's name, `{i}` counts the convolutions after the first from 0, and `{stage}`, `{block}`
/// count depthwise-separable blocks, a new stage beginning at each that strides.
#[derive(Debug, PartialEq, Eq)]
pub struct Naming {
    /// As options and errors spell it: `huggingface`.
    pub name: &'static str,
    /// Whose files are named so.
    pub exporter: &'static str,
    /// The first convolution, when it is a standard one.
    stem: Pattern,
    /// Depthwise convolutions.
    depthwise: Pattern,
    /// Pointwise convolutions.
    pointwise: Pattern,
    /// Standard convolutions after the first, where the exporter knows such.
    conv: Option<Pattern>,
    /// Dense layers.
    dense: &'static str,
    /// After the filter's pattern: weight, bias.
    filter_words: [&'static str; 2],
    /// After the norm's pattern: gamma, beta, mean, variance.
    norm_words: [&'static str; 4],
    /// After the norm's pattern: tensors of no use at inference, ignored.
    bookkeeping: &'static [&'static str],
}

/// The two prefixes of a convolution's tensors.
#[derive(Debug, PartialEq, Eq)]
struct Pattern {
    filter: &'static str,
    norm: &'static str,
}

impl Naming {
    /// Hugging Face transformers, `MobileNetV1ForImageClassification`.
    pub const HUGGING_FACE: Naming = {
        const LAYER: Pattern = Pattern {
            filter: "mobilenet_v1.layer.{i}.convolution",
            norm: "mobilenet_v1.layer.{i}.normalization",
        };
        Naming {
            name: "huggingface",
            exporter: "Hugging Face MobileNetV1ForImageClassification",
            stem: Pattern {
                filter: "mobilenet_v1.conv_stem.convolution",
                norm: "mobilenet_v1.conv_stem.normalization",
            },
            depthwise: LAYER,
            pointwise: LAYER,
            conv: None,
            dense: "classifier",
            filter_words: TORCH_FILTER,
            norm_words: TORCH_NORM,
            bookkeeping: TORCH_BOOKKEEPING,
        }
    };

    /// timm, `mobilenetv1_*`.
    pub const TIMM: Naming = Naming {
        name: "timm",
        exporter: "timm mobilenetv1_*",
        stem: Pattern { filter: "conv_stem", norm: "bn1" },
        depthwise: Pattern { filter: "blocks.{stage}.{block}.conv_dw", norm: "blocks.{stage}.{block}.bn1" },
        pointwise: Pattern { filter: "blocks.{stage}.{block}.conv_pw", norm: "blocks.{stage}.{block}.bn2" },
        conv: None,
        dense: "classifier",
        filter_words: TORCH_FILTER,
        norm_words: TORCH_NORM,
        bookkeeping: TORCH_BOOKKEEPING,
    };

    /// Our own, for described networks: tensors are called as the description calls the layers.
    pub const PLAIN: Naming = {
        const LAYER: Pattern = Pattern { filter: "{name}", norm: "{name}.norm" };
        Naming {
            name: "plain",
            exporter: "mnc, by the layers' names",
            stem: LAYER,
            depthwise: LAYER,
            pointwise: LAYER,
            conv: Some(LAYER),
            dense: "{name}",
            filter_words: TORCH_FILTER,
            norm_words: ["gamma", "beta", "mean", "variance"],
            bookkeeping: &[],
        }
    };

    /// Every naming, in the order in which they are tried.
    pub const ALL: &[&Naming] = &[&Naming::HUGGING_FACE, &Naming::TIMM, &Naming::PLAIN];

    /// The naming of this name.
    ///
    /// ```
    /// use mnc::weights::naming::Naming;
    /// assert_eq!(Naming::by_name("timm"), Some(&Naming::TIMM));
    /// assert_eq!(Naming::by_name("Timm"), None);
    /// ```
    pub fn by_name(name: &str) -> Option<&'static Naming> {
        Naming::ALL.iter().copied().find(|naming| naming.name == name)
    }

    /// The naming of a name that a user gave.
    ///
    /// # Errors
    /// There is none of this name.
    pub fn asked(name: &str) -> Result<&'static Naming> {
        let known: Vec<&str> = Naming::ALL.iter().map(|naming| naming.name).collect();
        let detail = || format!("found {name:?}, expected one of {}", known.join(", "));
        Naming::by_name(name).ok_or_else(|| Error::new(ErrorKind::Options, Place::flag("naming"), detail()))
    }

    /// The tensors that a file of this graph's numbers has under this naming, in the order of the nodes; bookkeeping aside.
    ///
    /// A layer that the exporter has no name for is a fault, and so is a name that two layers share.
    ///
    /// ```
    /// use mnc::graph::{Graph, Knobs};
    /// use mnc::weights::naming::Naming;
    /// let description = mnc::describe::builtin("mobilenet-v1").unwrap().description();
    /// let graph = Graph::build(&description, &Knobs::default())?;
    /// let specs = Naming::TIMM.tensors(&graph)?;
    /// assert_eq!(specs.len(), 137);
    /// assert_eq!(specs[5].to_string(), "conv_dw_1 weight blocks.0.0.conv_dw.weight [32, 1, 3, 3]");
    /// # Ok::<(), mnc::Error>(())
    /// ```
    pub fn tensors(&self, graph: &Graph) -> Result<Vec<TensorSpec>> {
        let mut faults = Faults::new(ErrorKind::Weights);
        let mut specs: Vec<TensorSpec> = Vec::new();
        let prefixes = self.prefixes(graph);
        for (index, (node, prefix)) in graph.nodes.iter().zip(&prefixes).enumerate() {
            let shapes = file_shapes(graph, NodeId(index));
            if shapes.is_empty() {
                continue;
            }
            let Some(prefix) = prefix else {
                faults.push(
                    Place::layer(&node.name),
                    format!("found no name for this layer in the naming {self}"),
                );
                continue;
            };
            specs.extend(shapes.into_iter().map(|(role, shape)| TensorSpec {
                node: NodeId(index),
                layer: node.name.clone(),
                role,
                tensor: format!("{prefix}.{}", self.word(role)),
                shape,
            }));
        }
        let mut layers: BTreeMap<&str, &str> = BTreeMap::new();
        for spec in &specs {
            if let Some(other) = layers.insert(&spec.tensor, &spec.layer) {
                let tensor = &spec.tensor;
                faults.push(
                    Place::layer(&spec.layer),
                    format!("found tensor {tensor:?} in the naming {self} for {other} as well"),
                );
            }
        }
        faults.propagate()?;
        Ok(specs)
    }

    /// The tensors that an exporter adds and inference has no use for: `….num_batches_tracked`.
    pub fn bookkeeping(&self, graph: &Graph) -> Vec<String> {
        graph
            .nodes
            .iter()
            .zip(self.prefixes(graph))
            .filter(|(node, _)| matches!(node.layer, Layer::BatchNorm { .. }))
            .filter_map(|(_, prefix)| prefix)
            .flat_map(|prefix| self.bookkeeping.iter().map(move |word| format!("{prefix}.{word}")))
            .collect()
    }

    fn word(&self, role: Role) -> &'static str {
        match role {
            Role::Weight => self.filter_words[0],
            Role::Bias => self.filter_words[1],
            Role::Gamma => self.norm_words[0],
            Role::Beta => self.norm_words[1],
            Role::Mean => self.norm_words[2],
            Role::Variance => self.norm_words[3],
        }
    }

    /// For each node with parameters the part of its tensors' names before the last dot; `None` where there is none.
    fn prefixes(&self, graph: &Graph) -> Vec<Option<String>> {
        let mut walk = Walk::default();
        let mut norms: Vec<Option<String>> = vec![None; graph.nodes.len()];
        let mut filters: Vec<Option<String>> = Vec::with_capacity(graph.nodes.len());
        for (index, node) in graph.nodes.iter().enumerate() {
            let pattern = match &node.layer {
                Layer::Conv { window, .. } => {
                    let is_first = walk.n_convolutions == 0;
                    walk.step();
                    match *window {
                        _ if is_first => Some(&self.stem),
                        Window::POINTWISE => Some(&self.pointwise),
                        _ => self.conv.as_ref(),
                    }
                }
                Layer::Depthwise { window, .. } => {
                    walk.step();
                    walk.step_block(window.stride);
                    Some(&self.depthwise)
                }
                Layer::Dense { .. } => {
                    filters.push(walk.expand(self.dense, &node.name));
                    continue;
                }
                Layer::BatchNorm { .. } => {
                    filters.push(norms[node.inputs[0].0].take());
                    continue;
                }
                // A layer with weights that no naming knows is told apart by `tensors`, which finds no name for it.
                _ => {
                    filters.push(None);
                    continue;
                }
            };
            norms[index] = pattern.and_then(|pattern| walk.expand(pattern.norm, &node.name));
            filters.push(pattern.and_then(|pattern| walk.expand(pattern.filter, &node.name)));
        }
        filters
    }
}

impl fmt::Display for Naming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.exporter)
    }
}

/// One tensor that a file must have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorSpec {
    /// The node that it belongs to.
    pub node: NodeId,
    /// That node's name.
    pub layer: String,
    /// What it is to the node.
    pub role: Role,
    /// Its name in the file.
    pub tensor: String,
    /// Its shape in the file: `[N, M, D_K, D_K]`, depthwise `[M, 1, D_K, D_K]`, dense `[N, M]`, else `[N]`.
    pub shape: Vec<usize>,
}

impl fmt::Display for TensorSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} {:?}", self.layer, self.role, self.tensor, self.shape)
    }
}

/// The tensors of a node, with their shapes in a file.
fn file_shapes(graph: &Graph, id: NodeId) -> Vec<(Role, Vec<usize>)> {
    let node = &graph.nodes[id.0];
    let vector = |role: Role| (role, vec![node.shape().channels]);
    if let Layer::BatchNorm { .. } = node.layer {
        return [Role::Gamma, Role::Beta, Role::Mean, Role::Variance].map(vector).to_vec();
    }
    let Some(filter) = graph.filter(node) else { return Vec::new() };
    let bias = filter.has_bias.then(|| vector(Role::Bias));
    [(Role::Weight, filter.file_axes())].into_iter().chain(bias).collect()
}

/// Where in the network the walk over the nodes stands.
#[derive(Default)]
struct Walk {
    /// Convolutions of any sort so far, this one included.
    n_convolutions: usize,
    /// Stage and block of the last depthwise convolution.
    block: Option<(usize, usize)>,
}

impl Walk {
    fn step(&mut self) {
        self.n_convolutions += 1;
    }

    fn step_block(&mut self, stride: usize) {
        self.block = Some(match self.block {
            None => (0, 0),
            Some((stage, block)) if stride == 1 => (stage, block + 1),
            Some((stage, _)) => (stage + 1, 0),
        });
    }

    /// The pattern with its placeholders filled in; `None` when the place has no such number.
    fn expand(&self, pattern: &str, name: &str) -> Option<String> {
        let mut text = pattern.replace("{name}", name);
        if pattern.contains("{i}") {
            text = text.replace("{i}", &self.n_convolutions.checked_sub(2)?.to_string());
        }
        if pattern.contains("{stage}") {
            let (stage, block) = self.block?;
            text = text.replace("{stage}", &stage.to_string()).replace("{block}", &block.to_string());
        }
        Some(text)
    }
}

const TORCH_FILTER: [&str; 2] = ["weight", "bias"];
const TORCH_NORM: [&str; 4] = ["weight", "bias", "running_mean", "running_var"];
const TORCH_BOOKKEEPING: &[&str] = &["num_batches_tracked"];

#[cfg(test)]
mod tests;
