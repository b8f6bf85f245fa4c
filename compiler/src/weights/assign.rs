//! [`Weights`] x graph x naming -> [`Parameters`]: each tensor found, checked and brought into the arithmetic's order.
//!
//! Files hold filters as `[N, M, D_K, D_K]`, the order of PyTorch, or as another `layout` says; the chain of multiply-adds runs
//! over kernel row, kernel column and input channel with the output channel innermost. Knows the graph's shapes; folds nothing.

use half::{bf16, f16};
use mnc_runtime::filter::{self, Filter, Order, Packing};
use safetensors::Dtype;

use super::header::tensor_place;
use super::layout::{self, Layout};
use super::naming::{Naming, Role, TensorSpec};
use super::{NodeParameters, Parameters, Tensor, Weights, push_listed};
use crate::error::{Error, ErrorKind, Fault, Faults, Place, Result, quoted};
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
            format!(
                "found {found} ({} in all), expected the tensors of one naming; for other names: `mnc tensors NETWORK --match {} \
                 -o names.toml` (docs/names.md)",
                self.tensors.len(),
                self.place
            ),
        );
        faults.propagate()?;
        unreachable!("a fault was pushed just now");
    }

    /// The numbers of every node of the graph, under a naming or the one that [`Weights::detect`] finds.
    ///
    /// A tensor that is missing, of another shape or dtype, that holds NaN, an infinity or a negative variance is a fault;
    /// so is one of a layer that has no use for it. All are reported together. Those of no layer are left out
    /// ([`Weights::leftovers`]).
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
        let specs = self.specs(graph, naming)?;
        let mut found = Vec::new();
        let mut parts: Vec<Parts> = vec![Parts::default(); graph.nodes.len()];
        let mut orders: Vec<Option<Order>> = vec![None; graph.nodes.len()];
        for spec in &specs {
            match self.numbers(graph, spec) {
                Ok((numbers, order)) => {
                    parts[spec.node.0][spec.role as usize] = numbers;
                    orders[spec.node.0] = orders[spec.node.0].or(order);
                }
                Err(detail) => found.push(Fault { place: Place::layer(&spec.layer), detail }),
            }
        }
        let mut faults = Faults::new(ErrorKind::Weights);
        push_listed(&mut faults, self.file(), found);
        let surplus = self.surplus(graph, naming);
        push_listed(&mut faults, self.file(), surplus.into_iter().map(|(_, fault)| fault).collect());
        faults.propagate()?;

        let nodes = parts.into_iter().zip(orders).enumerate();
        let nodes = nodes.map(|(index, (parts, order))| arrange(graph, NodeId(index), parts, order));
        let parameters = Parameters(nodes.collect());
        if cfg!(debug_assertions) {
            parameters.verify(graph);
        }
        Ok(parameters)
    }

    /// The tensors of a graph under a naming, their axes in this file's order.
    pub(super) fn specs(&self, graph: &Graph, naming: &Naming) -> Result<Vec<TensorSpec>> {
        naming.tensors_in(graph, self.layout(graph, naming)?)
    }

    /// The order of this file's axes: the one that was [asked for](Weights::set_layout), else the one that the filters' shapes
    /// tell, else the naming's own.
    ///
    /// # Errors
    /// Filters of two orders; a naming that has no name for a layer; names that no exporter gave, and filters that tell nothing.
    pub fn layout(&self, graph: &Graph, naming: &Naming) -> Result<Layout> {
        if let Some(layout) = self.asked_layout {
            return Ok(layout);
        }
        let mut told: Option<(Layout, &str, &Tensor)> = None;
        let specs = naming.tensors(graph)?;
        for spec in specs.iter().filter(|spec| spec.role == Role::Weight) {
            let filter = graph.filter(graph.node(spec.node)).expect("weights are of a filter");
            let Some(tensor) = self.tensors.get(&spec.tensor) else { continue };
            let Some(layout) = Layout::of(&filter, &tensor.shape) else { continue };
            match told {
                Some((other, name, first)) if other != layout => {
                    let detail = format!(
                        "is {:?}, {layout} by its shape, but {} is {:?}, {other}; expected one order of axes in a \
                         file: transpose one of the two",
                        tensor.shape,
                        self.told(name),
                        first.shape
                    );
                    let place = tensor_place(&self.place, tensor.name(&spec.tensor));
                    return Err(Error::new(ErrorKind::Weights, place, detail));
                }
                Some(_) => {}
                None => told = Some((layout, &spec.tensor, tensor)),
            }
        }
        match told {
            Some((layout, ..)) => Ok(layout),
            None if self.file_of_names.is_some() => {
                let detail = format!(
                    "found no filter whose shape tells the order of its axes, expected --axes with {}",
                    layout::EXPECTED
                );
                Err(Error::new(ErrorKind::Weights, self.file(), detail))
            }
            None => Ok(naming.layout()),
        }
    }

    /// What the file of names has for a tensor that isn't there.
    fn names_of_missing(&self, name: &str) -> String {
        let Some(names) = &self.file_of_names else { return String::new() };
        let lines = names.expected(name);
        let lines: Vec<String> =
            lines.iter().map(|(line, own)| format!("{} by line {line}", quoted(own))).collect();
        match lines.is_empty() {
            true => format!("; no line of {} speaks of it", names.place()),
            false => format!("; in {} it is {}", names.place(), lines.join(" or ")),
        }
    }

    /// The dtype of numbers that are rounded, where a layer has such.
    pub(crate) fn rounded(&self, graph: &Graph, naming: &Naming) -> Option<Dtype> {
        let specs = naming.tensors(graph).ok()?;
        let dtypes = specs.iter().filter_map(|spec| Some(self.tensors.get(&spec.tensor)?.dtype));
        dtypes.into_iter().find(|dtype| *dtype == Dtype::F64)
    }

    /// The tensor that is asked for, a filter's with the order of its axes, or what is wrong with its shape.
    pub(super) fn fitting(
        &self,
        graph: &Graph,
        spec: &TensorSpec,
    ) -> Result<(&Tensor, Option<Order>), String> {
        let TensorSpec { tensor: name, shape: expected, layout, .. } = spec;
        let Some(tensor) = self.tensors.get(name) else {
            let names = self.names_of_missing(name);
            return Err(format!(
                "tensor {:?} is missing, expected {expected:?}{}{names}",
                self.name_in_file(name),
                symbols(graph, spec)
            ));
        };
        let filter = graph.filter(graph.node(spec.node)).filter(|_| spec.role == Role::Weight);
        let order = filter.and_then(|filter| {
            let is_same = without_ones(&tensor.shape) == without_ones(expected);
            layout.order(&filter, expected, if is_same { expected } else { &tensor.shape })
        });
        // Axes of one element say nothing: a vector may be `[C]`, `[C, 1, 1]` or `[1, C, 1, 1]`.
        let fits = match filter {
            Some(_) => order.is_some(),
            None => longer_axes(&tensor.shape).eq(longer_axes(expected)),
        };
        if !fits {
            return Err(format!(
                "tensor {} is {:?}, expected {expected:?}{}{}",
                self.told(name),
                tensor.shape,
                symbols(graph, spec),
                hint(graph, spec, &tensor.shape)
            ));
        }
        Ok((tensor, order))
    }

    /// One tensor's numbers in the file's order, a filter's with that order, or what is wrong with it.
    fn numbers(&self, graph: &Graph, spec: &TensorSpec) -> Result<(Vec<f32>, Option<Order>), String> {
        let (tensor, order) = self.fitting(graph, spec)?;
        let told = self.told(&spec.tensor);
        let numbers = widen(tensor.dtype, self.data(tensor))
            .ok_or_else(|| format!("tensor {told} is {}, expected F32, F64, F16 or BF16", tensor.dtype))?;
        let mut wrong = numbers.iter().enumerate().filter(|&(_, &x)| !spec.role.allows(x));
        if let Some((index, x)) = wrong.next() {
            let more = match wrong.count() {
                0 => String::new(),
                n_more => format!(" and {n_more} more such"),
            };
            return Err(format!(
                "tensor {told} holds {x} at {:?}{more}, expected {}",
                position(index, &tensor.shape),
                spec.role.rule()
            ));
        }
        Ok((numbers, order))
    }
}

/// A shape without the axes of one element that it ends in: dense layers are `[N, M]` or `[N, M, 1, 1]`.
fn without_ones(shape: &[usize]) -> &[usize] {
    let n_axes = shape.iter().rposition(|&extent| extent != 1).map_or(0, |last| last + 1);
    &shape[..n_axes]
}

/// The axes of a shape that have more than one element.
fn longer_axes(shape: &[usize]) -> impl Iterator<Item = usize> {
    shape.iter().copied().filter(|&extent| extent != 1)
}

/// The numbers as f32, in the file's order; `None` for a dtype that isn't read. F64 is rounded, each number once; F16 and BF16 are
/// subsets of F32.
fn widen(dtype: Dtype, data: &[u8]) -> Option<Vec<f32>> {
    let read_2 = |widen: fn([u8; 2]) -> f32| data.as_chunks().0.iter().map(|&bytes| widen(bytes)).collect();
    match dtype {
        Dtype::F32 => Some(data.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()),
        // What is too large for F32 becomes an infinity, which no tensor may have.
        Dtype::F64 => {
            Some(data.as_chunks().0.iter().map(|&bytes| f64::from_le_bytes(bytes) as f32).collect())
        }
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
    let others = |shape: &[usize]| match spec.layout {
        Layout::Oihw | Layout::Ohwi => shape.get(1..).map(<[usize]>::to_vec),
        Layout::Hwio => shape.split_last().map(|(_, rest)| rest.to_vec()),
    };
    match spec.layout.outputs(found) {
        Some(n) if is_classifier && others(found) == others(&spec.shape) => format!(
            "; for {n} classes set `classes` in the description (`mnc describe`), or `num_labels` (timm: `num_classes`) in config.json"
        ),
        _ => String::new(),
    }
}

/// The tensors of one node by [`Role`], each in the file's order; empty where the node has none.
type Parts = [Vec<f32>; Role::ALL.len()];

/// From the file's order to the arithmetic's.
fn arrange(graph: &Graph, id: NodeId, parts: Parts, order: Option<Order>) -> NodeParameters {
    let node = &graph.nodes[id.0];
    let [weight, bias, gamma, beta, mean, variance] = parts;
    match graph.filter(node) {
        Some(shape) => NodeParameters::Filter {
            weights: transpose_filter(&weight, shape, order.expect("a filter that fits has an order")),
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

/// The file's order -> `[taps][m][n]`.
pub(super) fn transpose_filter(file: &[f32], shape: FilterShape, order: Order) -> Vec<f32> {
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
