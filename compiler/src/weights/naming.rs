//! Which tensor of a file belongs to which layer: one const [`Naming`] per exporter.
//!
//! A layer is found by its role in its block, which the graph knows. A naming is data: for each role a pattern of the filter's
//! tensors and of the batch norm's, and the words that an exporter uses for weight, bias and the four vectors of a batch norm. The
//! tables are in `exporters`, what patterns are filled with is counted in `places`. Knows names and shapes, never bytes.

mod exporters;
mod places;
mod spelling;

use std::collections::BTreeMap;
use std::fmt;

pub use mnc_runtime::weights::Role;

pub(super) use self::spelling::{AVERAGE, respelled};

use self::places::{Place as LayerPlace, places};
use super::layout::Layout;
use crate::error::{Error, ErrorKind, Faults, Place, Result};
use crate::graph::layer::Layer;
use crate::graph::{Graph, NodeId, Role as LayerRole};

/// How one exporter names the tensors of its networks.
#[derive(Debug, PartialEq, Eq)]
pub struct Naming {
    /// As options and errors spell it: `huggingface`.
    pub name: &'static str,
    /// Whose files are named so.
    pub exporter: &'static str,
    /// Its families of networks. The first that has a name for every layer of a graph names it.
    families: &'static [Family],
    /// The order of its filters' axes, where their shapes don't tell.
    layout: Layout,
    /// Between a pattern and a word.
    separator: char,
    /// After the filter's pattern: weight, bias.
    filter_words: [&'static str; 2],
    /// In place of the first, where the filter is a depthwise one.
    depthwise_word: &'static str,
    /// After the norm's pattern: gamma, beta, mean, variance.
    norm_words: [&'static str; 4],
    /// After the norm's pattern: tensors of no use at inference, ignored.
    bookkeeping: &'static [&'static str],
}

/// The names of networks that are built of the same blocks.
#[derive(Debug, PartialEq, Eq)]
struct Family {
    /// The first that holds for a layer names it.
    rules: &'static [Rule],
    /// How many axes the filter of a 1x1 convolution or a dense layer has in a file.
    axes: Axes,
}

/// The two prefixes of a layer's tensors.
///
/// In patterns `{name}` is the layer's name, `{stage}` and `{block}` are its origin's, `{i}` counts the blocks of the body from 0
/// (in the head it is their number) and `{c}` its layers with filters. `{p}` counts the parts of a block from 0, where a
/// squeeze-and-excite is one part, and `{n}` its batch norms from 1. `{i+1}`, `{i-1}` and `{p+1}` are what they say.
#[derive(Debug, PartialEq, Eq)]
struct Rule {
    /// Of which layers; of every one if `None`.
    role: Option<LayerRole>,
    /// In which blocks.
    when: When,
    filter: &'static str,
    /// Empty where the exporter has no norm.
    norm: &'static str,
}

/// Blocks that an exporter names otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    Always,
    /// The first block of the body.
    First,
    /// One that widens its map.
    Widened,
    /// One that widens it by a window larger than 1x1.
    Fused,
}

/// The axes of a filter that looks at one pixel.
#[derive(Debug, PartialEq, Eq)]
enum Axes {
    /// `[N, M]` of dense layers, `[N, M, 1, 1]` of convolutions.
    OfLayer,
    /// `[N, M]` of layers of these roles, `[N, M, 1, 1]` of the others.
    TwoIn(&'static [LayerRole]),
}

impl Axes {
    fn apply(&self, layer: LayerRole, shape: &mut Vec<usize>) {
        let Axes::TwoIn(roles) = self else { return };
        let looks_at_one_pixel = shape[2..].iter().all(|&side| side == 1);
        if looks_at_one_pixel {
            shape.resize(if roles.contains(&layer) { 2 } else { 4 }, 1);
        }
    }
}

impl Naming {
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
        self.tensors_in(graph, self.layout)
    }

    /// The same, with the axes of filters in an order of choice.
    ///
    /// # Errors
    /// As [`Naming::tensors`].
    pub fn tensors_in(&self, graph: &Graph, layout: Layout) -> Result<Vec<TensorSpec>> {
        let mut faults = Faults::new(ErrorKind::Weights);
        let mut specs: Vec<TensorSpec> = Vec::new();
        let (family, prefixes) = self.prefixes(graph);
        for (index, (node, prefix)) in graph.nodes.iter().zip(&prefixes).enumerate() {
            let is_depthwise = graph.filter(node).is_some_and(|filter| 1 < filter.groups && filter.m == 1);
            let mut shapes = file_shapes(graph, NodeId(index), &family.axes);
            if shapes.is_empty() {
                continue;
            }
            if let (Some(filter), Some((Role::Weight, shape))) = (graph.filter(node), shapes.first_mut()) {
                *shape = layout.shape(&filter, shape);
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
                tensor: format!("{prefix}{}{}", self.separator, self.word(role, is_depthwise)),
                shape,
                layout,
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

    /// The order of its filters' axes, where their shapes don't tell.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// The tensors that an exporter adds and inference has no use for: `….num_batches_tracked`.
    pub fn bookkeeping(&self, graph: &Graph) -> Vec<String> {
        graph
            .nodes
            .iter()
            .zip(self.prefixes(graph).1)
            .filter(|(node, _)| matches!(node.layer, Layer::BatchNorm { .. }))
            .filter_map(|(_, prefix)| prefix)
            .flat_map(|prefix| {
                self.bookkeeping.iter().map(move |word| format!("{prefix}{}{word}", self.separator))
            })
            .collect()
    }

    /// What the tensors of each layer with a filter begin with, and those of a batch norm behind it, whether it has one or not.
    pub(super) fn stems(&self, graph: &Graph) -> Vec<Stem> {
        let places = places(graph);
        let (family, _) = self.prefixes(graph);
        let mut stems = Vec::new();
        for (node, place) in graph.nodes.iter().zip(&places) {
            let Some(place) = place else { continue };
            let Some(rule) = family.rules.iter().find(|rule| rule.holds(place)) else { continue };
            for (pattern, is_norm) in [(rule.filter, false), (rule.norm, true)] {
                if !pattern.is_empty() {
                    stems.push(Stem { text: place.fill(pattern), layer: node.name.clone(), is_norm });
                }
            }
        }
        stems
    }

    /// Whether the exporter could call a layer so, other than the classifier.
    pub(super) fn could_name(&self, stem: &str) -> bool {
        let rules = self.families.iter().flat_map(|family| family.rules);
        let rules = rules.filter(|rule| rule.role != Some(LayerRole::Classifier));
        rules.flat_map(|rule| [rule.filter, rule.norm]).any(|pattern| could_be(pattern, stem))
    }

    /// Whether it ends names of numbers of a layer so.
    pub(super) fn has_word(&self, word: &str) -> bool {
        self.filter_words.contains(&word) || self.depthwise_word == word || self.norm_words.contains(&word)
    }

    /// How it calls the variance of a batch norm.
    pub(super) fn variance_word(&self) -> &'static str {
        self.word(Role::Variance, false)
    }

    /// How it calls a bias.
    pub(crate) fn bias_word(&self) -> &'static str {
        self.word(Role::Bias, false)
    }

    fn word(&self, role: Role, is_depthwise: bool) -> &'static str {
        match role {
            Role::Weight if is_depthwise => self.depthwise_word,
            Role::Weight => self.filter_words[0],
            Role::Bias => self.filter_words[1],
            Role::Gamma => self.norm_words[0],
            Role::Beta => self.norm_words[1],
            Role::Mean => self.norm_words[2],
            Role::Variance => self.norm_words[3],
        }
    }

    /// The family that names a graph, and for each node with parameters the part of its tensors' names before the last dot; `None`
    /// where there is none.
    fn prefixes(&self, graph: &Graph) -> (&'static Family, Vec<Option<String>>) {
        let places = places(graph);
        let named = self.families.iter().map(|family| {
            let prefixes = family.prefixes(graph, &places);
            let has_parameters = |index: usize| !file_shapes(graph, NodeId(index), &family.axes).is_empty();
            let n_unnamed =
                (0..graph.nodes.len()).filter(|&idx| prefixes[idx].is_none() && has_parameters(idx)).count();
            (n_unnamed, family, prefixes)
        });
        // The first of those that leave the fewest without a name.
        let best = named.min_by_key(|(n_unnamed, ..)| *n_unnamed).expect("an exporter has a family");
        (best.1, best.2)
    }
}

/// What names of tensors begin with.
#[derive(Clone, Debug)]
pub(super) struct Stem {
    pub(super) text: String,
    /// Whose they are.
    pub(super) layer: String,
    /// Of the batch norm behind it.
    pub(super) is_norm: bool,
}

/// Whether a pattern, filled with some numbers, gives this text.
fn could_be(pattern: &str, text: &str) -> bool {
    if pattern.contains("{name}") {
        return true;
    }
    let n_parts = |text: &str| text.split(['.', '/']).count();
    n_parts(pattern) == n_parts(text)
        && pattern.split(['.', '/']).zip(text.split(['.', '/'])).all(part_could_be)
}

/// The same of a part between separators: `Conv2d_{c}_depthwise`.
fn part_could_be((pattern, text): (&str, &str)) -> bool {
    let Some((start, rest)) = pattern.split_once('{') else { return pattern == text };
    let Some(text) = text.strip_prefix(start) else { return false };
    let end = rest.split_once('}').map_or("", |(_, end)| end);
    let after = text.trim_start_matches(|letter: char| letter.is_ascii_digit());
    after.len() < text.len() && part_could_be((end, after))
}

impl Family {
    fn prefixes(&self, graph: &Graph, places: &[Option<LayerPlace<'_>>]) -> Vec<Option<String>> {
        let rules: Vec<Option<&Rule>> = places
            .iter()
            .map(|place| self.rules.iter().find(|rule| place.as_ref().is_some_and(|place| rule.holds(place))))
            .collect();
        let prefix = |index: usize, pattern: fn(&Rule) -> &'static str| {
            let pattern = pattern(rules[index]?);
            (!pattern.is_empty()).then(|| places[index].as_ref().map(|place| place.fill(pattern)))?
        };
        let nodes = graph.nodes.iter().enumerate();
        nodes
            .map(|(index, node)| match node.layer {
                Layer::BatchNorm { .. } => prefix(node.inputs[0].0, |rule| rule.norm),
                _ => prefix(index, |rule| rule.filter),
            })
            .collect()
    }
}

impl Rule {
    fn holds(&self, place: &LayerPlace<'_>) -> bool {
        let is_of_role = self.role.is_none_or(|role| role == place.role);
        is_of_role
            && match self.when {
                When::Always => true,
                When::First => place.is_in_body() && place.i == 0,
                When::Widened => place.is_widened,
                When::Fused => place.is_fused,
            }
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
    /// Its shape in the file: `[N, M, D_K, D_K]`, depthwise `[M, 1, D_K, D_K]`, dense `[N, M]`, else `[N]`; filters of another
    /// layout than [`Layout::Oihw`] as that one says.
    pub shape: Vec<usize>,
    /// The order of a filter's axes.
    pub layout: Layout,
}

impl fmt::Display for TensorSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} {:?}", self.layer, self.role, self.tensor, self.shape)
    }
}

/// The tensors of a node, with their shapes in a file.
fn file_shapes(graph: &Graph, id: NodeId, axes: &Axes) -> Vec<(Role, Vec<usize>)> {
    let node = &graph.nodes[id.0];
    let vector = |role: Role| (role, vec![node.shape().channels]);
    if let Layer::BatchNorm { gamma, beta, .. } = node.layer {
        let roles = [(Role::Gamma, gamma), (Role::Beta, beta), (Role::Mean, true), (Role::Variance, true)];
        return roles.into_iter().filter(|(_, is_there)| *is_there).map(|(role, _)| vector(role)).collect();
    }
    let Some(filter) = graph.filter(node) else { return Vec::new() };
    let mut shape = filter.file_axes();
    if let Some(origin) = node.origin {
        axes.apply(origin.role, &mut shape);
    }
    let bias = filter.has_bias.then(|| vector(Role::Bias));
    [(Role::Weight, shape)].into_iter().chain(bias).collect()
}

#[cfg(test)]
mod tests;
