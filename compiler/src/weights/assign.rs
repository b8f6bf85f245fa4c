//! [`Weights`] x graph x naming -> [`Parameters`]: each tensor found, checked and brought into the arithmetic's order.
//!
//! Files hold filters as `[N, M, D_K, D_K]`, the order of PyTorch; the chain of multiply-adds runs over kernel row, kernel
//! column and input channel with the output channel innermost. Knows the graph's shapes; folds nothing.

use std::collections::BTreeSet;

use half::{bf16, f16};
use mnc_runtime::filter::{self, Filter, Order, Packing};
use safetensors::Dtype;

use super::header::tensor_place;
use super::naming::{Naming, Role, TensorSpec};
use super::{NodeParameters, Parameters, Weights, push_listed};
use crate::error::{ErrorKind, Fault, Faults, Place, Result, quoted};
use crate::graph::layer::{FilterShape, Layer};
use crate::graph::{Graph, Node, NodeId};

impl Weights<'_> {
    /// The naming that knows the most tensors of this file, for a network of this graph's layers.
    ///
    /// At least half of a naming's tensors must be there: `classifier.weight` alone says nothing.
    pub fn detect(&self, graph: &Graph) -> Result<&'static Naming> {
        let mut faults = Faults::new(ErrorKind::Weights);
        let mut best: Option<(usize, &'static Naming)> = None;
        for &naming in Naming::ALL {
            let specs = match naming.tensors(graph) {
                Ok(specs) => specs,
                Err(error) => {
                    faults.push(
                        self.file(),
                        format!("naming {naming} doesn't fit the network: {}", error.faults()[0]),
                    );
                    continue;
                }
            };
            let missing: Vec<&TensorSpec> =
                specs.iter().filter(|spec| !self.tensors.contains_key(&spec.tensor)).collect();
            let n_found = specs.len() - missing.len();
            if specs.len() <= 2 * n_found && best.is_none_or(|(most, _)| most < n_found) {
                best = Some((n_found, naming));
            }
            if let Some(first) = missing.first() {
                faults.push(
                    self.file(),
                    format!(
                        "naming {naming} misses {} of {} tensors, the first is {:?}",
                        missing.len(),
                        specs.len(),
                        first.tensor
                    ),
                );
            }
        }
        if let Some((_, naming)) = best {
            return Ok(naming);
        }
        let examples: Vec<String> = self.names().take(3).map(quoted).collect();
        let found = if examples.is_empty() { "no tensors".to_owned() } else { examples.join(", ") };
        faults.push(
            self.file(),
            format!("found {found} ({} in all), expected the tensors of one naming", self.tensors.len()),
        );
        faults.propagate()?;
        unreachable!("a fault was pushed just now");
    }

    /// The numbers of every node of the graph, under a naming or the one that [`Weights::detect`] finds.
    ///
    /// A tensor that is missing, of another shape or dtype, that holds NaN, an infinity or a negative variance is a fault;
    /// so is one that the network has no use for. All are reported together.
    ///
    /// ```
    /// use mnc::graph::{Graph, Knobs};
    /// use mnc::weights::{Parameters, Weights, naming::Naming};
    /// let description = mnc::describe::builtin("mobilenet-v1").unwrap().description();
    /// let graph = Graph::build(&description, &Knobs { alpha: 0.25, resolution: None })?;
    /// let parameters = Parameters::random(&graph, 1);
    /// let file = parameters.to_safetensors(&graph, &Naming::HUGGING_FACE)?;
    /// let weights = Weights::parse(&file, "net.safetensors")?;
    /// assert_eq!(weights.parameters(&graph, None)?, parameters);
    ///
    /// let graph = Graph::build(&description, &Knobs { alpha: 0.5, resolution: None })?;
    /// let error = weights.parameters(&graph, None).unwrap_err();
    /// assert_eq!(
    ///     error.faults()[0].to_string(),
    ///     "conv_1: tensor \"mobilenet_v1.conv_stem.convolution.weight\" is [8, 3, 3, 3], expected [16, 3, 3, 3] \
    ///      (N=16, M=3, D_K=3)"
    /// );
    /// # Ok::<(), mnc::Error>(())
    /// ```
    pub fn parameters(&self, graph: &Graph, naming: Option<&'static Naming>) -> Result<Parameters> {
        let naming = match naming {
            Some(naming) => naming,
            None => self.detect(graph)?,
        };
        let specs = naming.tensors(graph)?;
        let mut found = Vec::new();
        let mut parts: Vec<Parts> = vec![Parts::default(); graph.nodes.len()];
        for spec in &specs {
            match self.numbers(graph, spec) {
                Ok(numbers) => parts[spec.node.0][spec.role as usize] = numbers,
                Err(detail) => found.push(Fault { place: Place::layer(&spec.layer), detail }),
            }
        }
        let mut faults = Faults::new(ErrorKind::Weights);
        push_listed(&mut faults, self.file(), found);
        push_listed(&mut faults, self.file(), self.unknown(graph, naming, &specs));
        faults.propagate()?;

        let nodes = parts.into_iter().enumerate().map(|(index, parts)| arrange(graph, NodeId(index), parts));
        let parameters = Parameters(nodes.collect());
        if cfg!(debug_assertions) {
            parameters.verify(graph);
        }
        Ok(parameters)
    }

    /// The tensors that no layer asks for.
    fn unknown(&self, graph: &Graph, naming: &Naming, specs: &[TensorSpec]) -> Vec<Fault> {
        let mut known: BTreeSet<String> = naming.bookkeeping(graph).into_iter().collect();
        known.extend(specs.iter().map(|spec| spec.tensor.clone()));
        self.names()
            .filter(|&name| !known.contains(name))
            .map(|name| Fault {
                place: tensor_place(&self.place, name),
                detail: format!(
                    "found, expected no tensor of this name for the network in the naming {naming}"
                ),
            })
            .collect()
    }

    /// One tensor's numbers in the file's order, or what is wrong with it.
    fn numbers(&self, graph: &Graph, spec: &TensorSpec) -> Result<Vec<f32>, String> {
        let TensorSpec { tensor: name, shape: expected, .. } = spec;
        let Some(tensor) = self.tensors.get(name) else {
            return Err(format!("tensor {name:?} is missing, expected {expected:?}{}", symbols(graph, spec)));
        };
        if tensor.shape != *expected {
            return Err(format!(
                "tensor {name:?} is {:?}, expected {expected:?}{}{}",
                tensor.shape,
                symbols(graph, spec),
                hint(graph, spec, &tensor.shape)
            ));
        }
        let numbers = widen(tensor.dtype, &self.bytes[tensor.data.clone()])
            .ok_or_else(|| format!("tensor {name:?} is {}, expected F32, F16 or BF16", tensor.dtype))?;
        let mut wrong = numbers.iter().enumerate().filter(|&(_, &x)| !spec.role.allows(x));
        if let Some((index, x)) = wrong.next() {
            let more = match wrong.count() {
                0 => String::new(),
                n_more => format!(" and {n_more} more such"),
            };
            return Err(format!(
                "tensor {name:?} holds {x} at {:?}{more}, expected {}",
                position(index, &tensor.shape),
                spec.role.rule()
            ));
        }
        Ok(numbers)
    }
}

/// The numbers as f32, in the file's order; `None` for a dtype that isn't read. Nothing is rounded: F16 and BF16 are subsets of
/// F32.
fn widen(dtype: Dtype, data: &[u8]) -> Option<Vec<f32>> {
    let read_2 = |widen: fn([u8; 2]) -> f32| data.as_chunks().0.iter().map(|&bytes| widen(bytes)).collect();
    match dtype {
        Dtype::F32 => Some(data.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()),
        Dtype::F16 => Some(read_2(|bytes| f16::from_le_bytes(bytes).to_f32())),
        Dtype::BF16 => Some(read_2(|bytes| bf16::from_le_bytes(bytes).to_f32())),
        // Another crate's open list.
        _ => None,
    }
}

/// What to do about a classifier that was trained for another number of classes: only N differs, in the last layer with weights.
fn hint(graph: &Graph, spec: &TensorSpec, found: &[usize]) -> String {
    let has_filter = |node: &Node| {
        let input = node.inputs.first().map(|input| graph.node(*input).shape());
        input.is_some_and(|input| node.layer.filter(input).is_some())
    };
    let last = graph.nodes.iter().rposition(has_filter);
    let is_classifier = last == Some(spec.node.0) && spec.role == Role::Weight;
    match (found, spec.shape.as_slice()) {
        ([n, rest @ ..], [_, expected @ ..]) if is_classifier && rest == expected => format!(
            "; for {n} classes set `classes` in the description (`mnc describe`), or put the weights' config.json beside them"
        ),
        _ => String::new(),
    }
}

/// The tensors of one node by [`Role`], each in the file's order; empty where the node has none.
type Parts = [Vec<f32>; Role::ALL.len()];

/// From the file's order to the arithmetic's.
fn arrange(graph: &Graph, id: NodeId, parts: Parts) -> NodeParameters {
    let node = &graph.nodes[id.0];
    let [weight, bias, gamma, beta, mean, variance] = parts;
    match graph.filter(node) {
        Some(shape) => NodeParameters::Filter {
            weights: transpose_filter(&weight, shape),
            bias: shape.has_bias.then_some(bias),
        },
        None if matches!(node.layer, Layer::BatchNorm { .. }) => {
            let or = |part: Vec<f32>, number: f32| {
                if part.is_empty() { vec![number; node.shape().channels] } else { part }
            };
            NodeParameters::BatchNorm { gamma: or(gamma, 1.0), beta: or(beta, 0.0), mean, variance }
        }
        None => NodeParameters::None,
    }
}

/// `[n][m][taps]` -> `[taps][m][n]`.
fn transpose_filter(file: &[f32], shape: FilterShape) -> Vec<f32> {
    let order = Order::file(shape.n, shape.m, shape.taps());
    let filter = Filter { weights: file, order, bias: None, norm: None };
    let mut rows = vec![0.0; shape.n + file.len()];
    filter::pack(&filter, &Packing::chain(shape.n, shape.fan_in()), &mut rows)
        .expect("only a batch norm makes numbers infinite");
    rows.split_off(shape.n)
}

/// The extents of a shape in the paper's symbols: ` (N=512, M=256)`.
fn symbols(graph: &Graph, spec: &TensorSpec) -> String {
    let node = graph.node(spec.node);
    match graph.filter(node) {
        Some(filter) if spec.role == Role::Weight => format!(" ({})", filter.symbols()),
        Some(_) | None => format!(" (N={})", node.shape().channels),
    }
}

/// The indices of the `index`-th element of a tensor of this shape.
fn position(mut index: usize, shape: &[usize]) -> Vec<usize> {
    let mut position = vec![0; shape.len()];
    for (at, &extent) in position.iter_mut().zip(shape).rev() {
        *at = index % extent;
        index /= extent;
    }
    position
}

#[cfg(test)]
mod tests;
