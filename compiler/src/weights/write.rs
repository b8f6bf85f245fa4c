//! [`Parameters`] -> safetensors, under any naming: the way back, for tests and for users who make their own weights.

use safetensors::Dtype;
use safetensors::tensor::TensorView;

use super::naming::{Naming, Role, TensorSpec};
use super::{NodeParameters, Parameters};
use crate::error::{Error, ErrorKind, Place, Result};
use crate::graph::Graph;
use crate::graph::tensor::f32_bytes;

impl Parameters {
    /// A safetensors file of F32 tensors, named and shaped as the exporter of this naming would; what it adds for
    /// bookkeeping is there as well. The same parameters give the same bytes.
    ///
    /// Fails when the naming has no name for a layer of the graph.
    ///
    /// # Panics
    ///
    /// If these are not parameters of this graph (see [`Parameters::verify`]).
    pub fn to_safetensors(&self, graph: &Graph, naming: &Naming) -> Result<Vec<u8>> {
        self.verify(graph);
        let mut tensors: Vec<(String, Dtype, Vec<usize>, Vec<u8>)> = Vec::new();
        for spec in naming.tensors(graph)? {
            let bytes = f32_bytes(&self.tensor(graph, &spec));
            tensors.push((spec.tensor, Dtype::F32, spec.shape, bytes));
        }
        for name in naming.bookkeeping(graph) {
            tensors.push((name, Dtype::I64, Vec::new(), vec![0; 8]));
        }
        let views = tensors
            .iter()
            .map(|(name, dtype, shape, bytes)| Ok((name, TensorView::new(*dtype, shape.clone(), bytes)?)));
        views
            .collect::<Result<Vec<_>, _>>()
            .and_then(|views| safetensors::serialize(views, None))
            .map_err(|error| Error::new(ErrorKind::Weights, Place::named(&graph.name), error.to_string()))
    }
}

impl Parameters {
    /// The numbers of one tensor in a file's order.
    pub fn tensor(&self, graph: &Graph, spec: &TensorSpec) -> Vec<f32> {
        in_file_order(&self.0[spec.node.0], graph, spec)
    }

    /// A file of these tensors under names of choice.
    #[cfg(test)]
    pub(super) fn to_file(
        &self,
        graph: &Graph,
        tensors: impl Iterator<Item = (String, TensorSpec)>,
    ) -> Result<Vec<u8>> {
        file_of(tensors.map(|(name, spec)| {
            let numbers = self.tensor(graph, &spec);
            (name, spec.shape, numbers)
        }))
    }
}

/// A file of tensors by name, shape and numbers.
#[cfg(test)]
pub(super) fn file_of(tensors: impl Iterator<Item = (String, Vec<usize>, Vec<f32>)>) -> Result<Vec<u8>> {
    let tensors: Vec<(String, Vec<usize>, Vec<u8>)> =
        tensors.map(|(name, shape, numbers)| (name, shape, f32_bytes(&numbers))).collect();
    let views = tensors
        .iter()
        .map(|(name, shape, bytes)| Ok((name, TensorView::new(Dtype::F32, shape.clone(), bytes)?)));
    views
        .collect::<Result<Vec<_>, _>>()
        .and_then(|views| safetensors::serialize(views, None))
        .map_err(|error| Error::new(ErrorKind::Weights, Place::named("a file"), error.to_string()))
}

/// The numbers of one tensor in a file's order.
fn in_file_order(parameters: &NodeParameters, graph: &Graph, spec: &TensorSpec) -> Vec<f32> {
    match (parameters, spec.role) {
        (NodeParameters::Filter { weights, .. }, Role::Weight) => {
            // [D_K][D_K][M][N] -> [N, M, D_K, D_K], or as the layout says.
            let filter = graph.filter(graph.node(spec.node)).expect("weights are of a filter");
            let (n, m, taps) = (filter.n, filter.m, filter.taps());
            let order = spec.layout.order(&filter, &spec.shape, &spec.shape);
            let [tap_stride, m_stride, n_stride] = order.expect("a filter has its own shape").strides();
            let mut file = vec![0.0; weights.len()];
            debug_assert_eq!(weights.len(), taps * m * n, "a filter has the layer's extent");
            for (at, outputs) in weights.chunks_exact(n).enumerate() {
                let start = at / m * tap_stride + at % m * m_stride;
                for (n_idx, weight) in outputs.iter().enumerate() {
                    file[start + n_idx * n_stride] = *weight;
                }
            }
            file
        }
        (NodeParameters::Filter { bias: Some(bias), .. }, Role::Bias) => bias.clone(),
        (NodeParameters::BatchNorm { gamma, .. }, Role::Gamma) => gamma.clone(),
        (NodeParameters::BatchNorm { beta, .. }, Role::Beta) => beta.clone(),
        (NodeParameters::BatchNorm { mean, .. }, Role::Mean) => mean.clone(),
        (NodeParameters::BatchNorm { variance, .. }, Role::Variance) => variance.clone(),
        (_, role) => panic!("{}: parameters have the {role} that the graph asks for", spec.layer),
    }
}
