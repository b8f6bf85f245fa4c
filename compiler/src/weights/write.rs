//! [`Parameters`] -> safetensors, under any naming: the way back, for tests and for users who make their own weights.

use safetensors::Dtype;
use safetensors::tensor::TensorView;

use super::naming::{Naming, Role, TensorSpec};
use super::{NodeParameters, Parameters};
use crate::error::{Error, ErrorKind, Place, Result};
use crate::graph::Graph;

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
            let numbers = in_file_order(&self.0[spec.node.0], graph, &spec);
            let bytes = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
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

/// The numbers of one tensor in a file's order.
fn in_file_order(parameters: &NodeParameters, graph: &Graph, spec: &TensorSpec) -> Vec<f32> {
    match (parameters, spec.role) {
        (NodeParameters::Filter { weights, .. }, Role::Weight) => {
            // [D_K][D_K][M][N] -> [N, M, D_K, D_K]
            let filter = graph.filter(graph.node(spec.node)).expect("weights are of a filter");
            let (n, m, taps) = (filter.n, filter.m, filter.taps());
            let mut file = Vec::with_capacity(weights.len());
            for n_idx in 0..n {
                for m_idx in 0..m {
                    file.extend((0..taps).map(|tap| weights[(tap * m + m_idx) * n + n_idx]));
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
