//! Stage 4: [`Graph`] with its parameters -> [`Fused`].
//!
//! Batch norms are folded into the weights before them, activations into the layer before them: a [`Fused`] network has neither
//! by itself any more. An addition behind a 1x1 convolution becomes part of that. One pass per file. Knows no target.

mod constant_channels;
mod fold_batch_norm;
mod fuse_activation;
mod fuse_residual;
mod integer;
mod mantissas;
mod ties;

use mnc_runtime::filter::{self, Packing};

pub use constant_channels::{Domain, without_constant_channels};
pub use integer::{Addition, ByteInput, ByteSum, Bytes, Fit, Integer, MOST_WEIGHT, is_clamp};
pub(crate) use integer::{CHANNELS_OF_WORDS, factors, finish, fit_together, to_byte, together};
pub use mantissas::Mantissas;
pub(crate) use mantissas::STEP as MULTIPLIER_STEP;
pub(crate) use ties::Ties;

use crate::error::Result;
use crate::graph::Graph;
use crate::graph::layer::{Activation, Layer};
use crate::graph::shape::{Shape, Window};
use crate::graph::tensor::{Dtype, Tensor};
use crate::weights::Parameters;

/// Runs every pass, in their order.
///
/// Fails where a batch norm or an activation has no layer before it to become part of, or where a folded number is not a
/// finite f32.
///
/// ```
/// use mnc::graph::{Graph, Knobs, layer::Activation};
/// use mnc::passes;
/// use mnc::weights::Parameters;
/// let description = mnc::describe::builtin("mobilenet-v1").unwrap().description();
/// let graph = Graph::build(&description, &Knobs { alpha: 0.25, resolution: None })?;
/// let fused = passes::run(&graph, &Parameters::random(&graph, 1))?;
/// // The input, 27 convolutions that had a batch norm and a ReLU6 each, pool, dense.
/// assert_eq!((graph.nodes.len(), fused.nodes.len()), (84, 30));
/// assert_eq!(fused.nodes[2].name, "conv_dw_1");
/// assert_eq!(fused.nodes[2].activation, Activation::Relu6);
/// # Ok::<(), mnc::Error>(())
/// ```
///
/// # Panics
///
/// If the parameters are not this graph's (see [`Parameters::verify`]).
pub fn run(graph: &Graph, parameters: &Parameters) -> Result<Fused> {
    let fused = fuse(fold_batch_norm::run(graph, parameters)?)?;
    if cfg!(debug_assertions) {
        fused.verify();
    }
    Ok(fused)
}

/// The network without numbers, each filter empty: enough to schedule and to plan it, before its numbers take memory.
///
/// # Errors
/// As [`run`], but for what numbers do.
pub fn shapes(graph: &Graph) -> Result<Fused> {
    fuse(fold_batch_norm::shapes(graph)?)
}

fn fuse(folded: Fused) -> Result<Fused> {
    Ok(fuse_residual::run(fuse_activation::run(folded)?))
}

/// A node's position in [`Fused::nodes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FusedId(pub usize);

/// The numbers of a layer with weights: f32, rounded once from f64.
#[derive(Clone, Debug, PartialEq)]
pub struct Filter {
    /// In the order of the chain of multiply-adds, output channel innermost: a convolution's `[D_K][D_K][M][N]`, a depthwise one's
    /// `[D_K][D_K][M]`, a dense layer's `[M][N]` with M = H W C of the input.
    pub weights: Vec<f32>,
    /// `[N]`
    pub bias: Vec<f32>,
}

impl Filter {
    /// Bytes of weights and biases.
    pub fn bytes(&self) -> usize {
        (self.weights.len() + self.bias.len()) * Dtype::F32.bytes()
    }

    /// The numbers in the layout of a packing.
    pub fn pack(&self, packing: &Packing) -> Vec<f32> {
        let Filter { weights, bias } = self;
        let order = filter::Order::chain(bias.len(), weights.len() / bias.len());
        let filter = filter::Filter { weights, order, bias: Some(bias), norm: None };
        let mut packed = vec![0.0; packing.len()];
        filter::pack(&filter, packing, &mut packed).expect("only a batch norm makes numbers infinite");
        packed
    }
}

/// One fused node.
#[derive(Clone, Debug, PartialEq)]
pub struct FusedNode {
    /// The name of the layer that it computes: `conv_dw_3`; where it adds a residual, that of the convolution.
    pub name: String,
    /// What it computes: never a batch norm or an activation. Whether the graph's layer had a bias says nothing here.
    pub layer: Layer,
    /// Its numbers, if it has weights.
    pub filter: Option<Filter>,
    /// Applied to each output element.
    pub activation: Activation,
    /// The addition that is part of it, by name: its last input, the residual, is added to each output element before the
    /// activation.
    pub residual: Option<String>,
    /// Its inputs; each id is smaller than the node's own.
    pub inputs: Vec<FusedId>,
    /// Its output.
    pub tensor: Tensor,
    /// What the bytes of its output stand for, where it is bytes.
    pub bytes: Option<Bytes>,
    /// The scale of each channel of them; none where all have that of `bytes`, which is the largest.
    pub scales: Vec<f32>,
    /// Its numbers, if it computes in integers.
    pub integer: Option<Integer>,
}

/// The network that is scheduled: no batch norm, no lone activation.
#[derive(Clone, Debug, PartialEq)]
pub struct Fused {
    /// The nodes, each after its inputs; node 0 is the only [`Layer::Input`].
    pub nodes: Vec<FusedNode>,
    /// The nodes whose values the network returns.
    pub outputs: Vec<FusedId>,
    /// For each of them, what its users call it.
    pub output_names: Vec<String>,
    /// How numbers of the input become bytes, where node 0 is bytes.
    pub byte_input: Option<ByteInput>,
}

impl Fused {
    /// The network that returns the value of one of its layers, without the nodes that this doesn't need. Bytes are returned as their
    /// numbers, 0 to 255.
    pub fn cut(&self, layer: FusedId) -> Fused {
        let mut is_needed = vec![false; self.nodes.len()];
        (is_needed[0], is_needed[layer.0]) = (true, true);
        for (idx, node) in self.nodes.iter().enumerate().rev() {
            if is_needed[idx] {
                node.inputs.iter().for_each(|input| is_needed[input.0] = true);
            }
        }
        let place = |id: &FusedId| FusedId(is_needed[..id.0].iter().filter(|needed| **needed).count());
        let kept = self.nodes.iter().zip(&is_needed).filter(|(_, needed)| **needed);
        let moved =
            |node: &FusedNode| FusedNode { inputs: node.inputs.iter().map(place).collect(), ..node.clone() };
        let mut nodes: Vec<FusedNode> = kept.map(|(node, _)| moved(node)).collect();
        let mut output = place(&layer);
        if nodes[output.0].bytes.is_some() {
            nodes.push(nodes[output.0].byte_numbers(output));
            output = FusedId(nodes.len() - 1);
        }
        Fused {
            nodes,
            outputs: vec![output],
            output_names: vec![self.nodes[layer.0].value_name().to_owned()],
            byte_input: self.byte_input.clone(),
        }
    }

    /// Whether a node behind another one reads a value.
    pub(crate) fn is_read_after(&self, value: usize, node: usize) -> bool {
        self.nodes[node + 1..].iter().any(|node| node.inputs.iter().any(|id| id.0 == value))
    }

    /// Whether a node has the value of the one before it in another form, bytes or numbers: it has its name.
    pub fn is_conversion(&self, node: &FusedNode) -> bool {
        node.inputs.first().is_some_and(|id| self.nodes[id.0].value_name() == node.name)
    }

    /// Asserts what later stages rely on: inputs precede their users, shapes follow from windows, every vector has the
    /// length that its layer needs, every number is finite.
    ///
    /// # Panics
    ///
    /// If one of these doesn't hold; after [`run`] all do.
    pub fn verify(&self) {
        assert!(!self.outputs.is_empty(), "a network returns something");
        assert_eq!(self.outputs.len(), self.output_names.len(), "every output has a name");
        assert!(self.outputs.iter().all(|id| id.0 < self.nodes.len()), "outputs are nodes");
        let takes_bytes = self.nodes[0].tensor.dtype == Dtype::U8;
        assert_eq!(self.byte_input.is_some(), takes_bytes, "an input of bytes says what they stand for");
        for (index, node) in self.nodes.iter().enumerate() {
            let name = &node.name;
            assert!(!node.shape().is_empty(), "{name}: no map is empty");
            assert!(node.inputs.iter().all(|id| id.0 < index), "{name}: inputs come before");
            assert_eq!(index == 0, node.layer == Layer::Input, "{name}: node 0 is the only input");
            if index != 0 {
                let inputs: Vec<Tensor> = node.inputs.iter().map(|id| self.nodes[id.0].tensor).collect();
                node.verify(&inputs);
            }
        }
    }
}

impl FusedNode {
    /// The shape of its output.
    pub fn shape(&self) -> Shape {
        self.tensor.shape
    }

    /// The layer whose value it is: the last of those that are part of it, but for its activation.
    pub fn value_name(&self) -> &str {
        self.residual.as_deref().unwrap_or(&self.name)
    }

    /// Whether it is an addition, or has one as its part.
    pub(crate) fn adds(&self) -> bool {
        self.residual.is_some() || self.layer == Layer::Add
    }

    /// The row of factors of a packed filter, one for each channel: what bytes that are added to its sums are multiplied by; or what
    /// numbers behind an activation become bytes by, one over the scale. None where all channels have the same, and where the multipliers
    /// do that.
    pub fn factors(&self) -> Vec<f32> {
        if let Some(Addition::Channels(factors)) = self.integer.as_ref().and_then(|it| it.addition.as_ref()) {
            return factors.clone();
        }
        match self.ending() {
            (activation, Some(_)) if !is_clamp(activation) => {
                self.scales.iter().map(|scale| 1.0 / scale).collect()
            }
            _ => Vec::new(),
        }
    }

    /// What becomes of its sums times multipliers, or of its products: the activation, and bytes where they become such. Where an addition
    /// of bytes is part of the layer, both are before that.
    pub fn ending(&self) -> (Activation, Option<Bytes>) {
        match self.integer.as_ref().and_then(|integer| integer.addition.as_ref()) {
            Some(Addition::Tensor(addition)) => (Activation::None, Some(addition.own)),
            Some(Addition::Channels(_)) | None => (self.activation, self.bytes),
        }
    }

    /// How a residual is added to its sums, if these are its bytes, with such scales of the channels.
    ///
    /// # Panics
    /// When the residual has no bytes.
    pub(crate) fn residual_addition(&self, residual: &FusedNode, bytes: Bytes, scales: &[f32]) -> Addition {
        let of_residual = residual.scales_of(residual.bytes.expect("it has bytes"), &residual.scales);
        let of_sum = self.scales_of(bytes, scales);
        Addition::Channels(of_residual.iter().zip(&of_sum).map(|(residual, sum)| residual / sum).collect())
    }

    /// The numbers of its bytes, as a node behind it: each byte times one.
    fn byte_numbers(&self, id: FusedId) -> FusedNode {
        self.times(id, 0, vec![1.0; self.shape().channels])
    }

    /// What its bytes stand for, as a node behind it: scale (byte - zero point).
    ///
    /// # Panics
    /// When it has no bytes.
    pub(crate) fn numbers(&self, id: FusedId) -> FusedNode {
        let bytes = self.bytes.expect("it has bytes");
        self.times(id, -i32::from(bytes.zero_point), self.scales_of(bytes, &self.scales))
    }

    /// The bytes of its numbers, as a node behind it: round(number / scale) + zero point, kept between the bounds. An f32 multiplies by one
    /// over the scale of its channel.
    pub(crate) fn quantised(&self, id: FusedId, bytes: Bytes, scales: Vec<f32>) -> FusedNode {
        let weights = self.scales_of(bytes, &scales).iter().map(|scale| 1.0 / scale).collect();
        let filter = Some(Filter { weights, bias: vec![0.0; self.shape().channels] });
        let tensor = Tensor { shape: self.shape(), dtype: Dtype::U8 };
        FusedNode { filter, tensor, bytes: Some(bytes), scales, ..self.converted(id) }
    }

    /// The scale of every channel.
    pub(crate) fn scales_of(&self, bytes: Bytes, scales: &[f32]) -> Vec<f32> {
        if scales.is_empty() { vec![bytes.scale; self.shape().channels] } else { scales.to_vec() }
    }

    /// A node behind it: the sum of each of its bytes and the bias, times the multiplier of its channel.
    fn times(&self, id: FusedId, bias: i32, multiplier: Vec<f32>) -> FusedNode {
        let n = self.shape().channels;
        let numbers = Integer { weights: vec![1; n], bias: vec![bias; n], multiplier, addition: None };
        FusedNode { integer: Some(numbers), ..self.converted(id) }
    }

    /// A node behind it, without numbers: the same value in another form.
    pub(crate) fn converted(&self, id: FusedId) -> FusedNode {
        FusedNode {
            name: self.value_name().to_owned(),
            layer: Layer::Depthwise { window: Window::POINTWISE, bias: false },
            filter: None,
            activation: Activation::None,
            residual: None,
            inputs: vec![id],
            tensor: Tensor::f32(self.shape()),
            bytes: None,
            scales: Vec::new(),
            integer: None,
        }
    }

    /// Bytes of its weights, biases and multipliers.
    pub fn filter_bytes(&self) -> usize {
        match &self.integer {
            Some(Integer { weights, bias, multiplier, .. }) if !weights.is_empty() => {
                weights.len() + size_of_val(bias.as_slice()) + size_of_val(multiplier.as_slice())
            }
            _ => self.filter.as_ref().map_or(0, Filter::bytes),
        }
    }

    fn verify(&self, inputs: &[Tensor]) {
        let FusedNode { name, layer, filter, activation, .. } = self;
        let dtypes: Vec<Dtype> = inputs.iter().map(|input| input.dtype).collect();
        let shapes: Vec<Shape> = inputs.iter().map(|input| input.shape).collect();
        let inputs = shapes.as_slice();
        let inputs = match (&self.residual, inputs) {
            (Some(_), [inputs @ .., residual]) => {
                assert_eq!(*residual, self.shape(), "{name}: the residual has the shape of the output");
                inputs
            }
            _ => inputs,
        };
        let is_folded = !matches!(layer, Layer::BatchNorm { .. } | Layer::Activation(_));
        assert!(is_folded, "{name}: batch norms and activations are part of other nodes");
        assert_eq!(layer.output_shape(inputs), Ok(self.shape()), "{name}: the shape is that of its layer");
        assert!(
            layer.takes_activation() || *activation == Activation::None,
            "{name}: the layer has no activation"
        );
        assert_eq!(self.bytes.is_some(), self.tensor.dtype == Dtype::U8, "{name}: bytes stand for something");
        let n_scales = self.scales.len();
        assert!(n_scales == 0 || n_scales == self.shape().channels, "{name}: every channel has a scale");
        assert!(n_scales == 0 || self.bytes.is_some(), "{name}: scales are those of bytes");
        if let Some(integer) = &self.integer {
            assert!(dtypes.iter().all(|dtype| *dtype == Dtype::U8), "{name}: integers are computed of bytes");
            assert_eq!(*filter, None, "{name}: it computes in integers alone");
            return integer.verify(self, inputs[0]);
        }
        assert!(dtypes.iter().all(|dtype| *dtype == Dtype::F32), "{name}: numbers are computed of numbers");
        let is_conversion = matches!(layer, Layer::Depthwise { window: Window::POINTWISE, .. });
        assert!(self.bytes.is_none() || is_conversion, "{name}: only a conversion makes bytes of numbers");
        let extent = layer.filter(inputs[0]).map(|filter| (filter.n_weights(), filter.n));
        let found = filter.as_ref().map(|filter| (filter.weights.len(), filter.bias.len()));
        assert_eq!(found, extent, "{name}: weights and bias have the layer's extent");
        let numbers = filter.iter().flat_map(|filter| filter.weights.iter().chain(&filter.bias));
        assert!(numbers.into_iter().all(|x| x.is_finite()), "{name}: numbers are finite");
    }
}

/// How often each of `n_nodes` nodes occurs in `reads`.
fn count_readers(n_nodes: usize, reads: impl Iterator<Item = usize>) -> Vec<usize> {
    let mut n_readers = vec![0; n_nodes];
    reads.for_each(|index| n_readers[index] += 1);
    n_readers
}

#[cfg(test)]
mod tests;
