//! Graph x seed -> [`Parameters`] of plausible size: tests and measurements need numbers, not training.
//!
//! Only exactly rounded operations are used, so that a seed gives the same bits on every machine.

use super::{NodeParameters, Parameters};
use crate::graph::layer::Layer;
use crate::graph::{Graph, Node};
use crate::random::Random;

impl Parameters {
    /// Parameters that keep the activations of a deep network in range: half of them 0 behind a ReLU6, a few in a hundred
    /// clipped at 6. Batch norms are near the identity, one gamma in eight is negative.
    ///
    /// The same graph and seed give the same numbers everywhere.
    pub fn random(graph: &Graph, seed: u64) -> Parameters {
        let nodes = graph.nodes.iter().enumerate().map(|(index, node)| {
            // A generator of its own per node: a layer keeps its numbers when a later one changes.
            let mut random = Random::new(seed ^ (index as u64).wrapping_mul(0xd134_2543_de82_ef95));
            random_node(graph, node, &mut random)
        });
        Parameters(nodes.collect())
    }

    /// Zeros throughout, but for batch norms that change nothing: enough to plan a network, whatever its numbers.
    ///
    /// ```
    /// use mnc::graph::{Graph, Knobs};
    /// use mnc::weights::Parameters;
    /// let description = mnc::describe::builtin("mobilenet-v1").unwrap().description();
    /// let graph = Graph::build(&description, &Knobs { alpha: 0.25, resolution: None })?;
    /// let fused = mnc::passes::run(&graph, &Parameters::zeros(&graph))?;
    /// assert_eq!(mnc::reference::output(&fused, &vec![1.0; graph.input_shape().len()]), vec![0.0; 1001]);
    /// # Ok::<(), mnc::Error>(())
    /// ```
    pub fn zeros(graph: &Graph) -> Parameters {
        Parameters(graph.nodes.iter().map(|node| zero_node(graph, node)).collect())
    }
}

fn zero_node(graph: &Graph, node: &Node) -> NodeParameters {
    let n = node.shape.channels;
    let input = || graph.nodes[node.inputs[0].0].shape;
    let (n_weights, bias) = match &node.layer {
        Layer::Conv { window, bias, .. } => (window.d_k * window.d_k * input().channels * n, *bias),
        Layer::Depthwise { window, bias } => (window.d_k * window.d_k * n, *bias),
        Layer::Dense { bias, .. } => (input().len() * n, *bias),
        Layer::BatchNorm { .. } => {
            let (zeros, ones) = (vec![0.0; n], vec![1.0; n]);
            return NodeParameters::BatchNorm {
                gamma: ones.clone(),
                beta: zeros.clone(),
                mean: zeros,
                variance: ones,
            };
        }
        Layer::Input | Layer::Activation(_) | Layer::Add | Layer::GlobalAveragePool | Layer::Softmax => {
            return NodeParameters::None;
        }
    };
    NodeParameters::Filter { weights: vec![0.0; n_weights], bias: bias.then(|| vec![0.0; n]) }
}

fn random_node(graph: &Graph, node: &Node, random: &mut Random) -> NodeParameters {
    let n = node.shape.channels;
    let input = || graph.nodes[node.inputs[0].0].shape;
    let (fan_in, n_filters, gain, bias) = match &node.layer {
        Layer::Conv { window, bias, .. } => (window.d_k * window.d_k * input().channels, n, GAIN, *bias),
        Layer::Depthwise { window, bias } => (window.d_k * window.d_k, n, GAIN, *bias),
        // No ReLU halves the mean square after the last layer.
        Layer::Dense { bias, .. } => (input().len(), n, 1.0, *bias),
        Layer::BatchNorm { .. } => {
            let mut vector = |number: &mut dyn FnMut(&mut Random) -> f64| -> Vec<f32> {
                (0..n).map(|_| number(random) as f32).collect()
            };
            return NodeParameters::BatchNorm {
                gamma: vector(&mut |random| {
                    let size = 1.0 + 0.15 * random.normal();
                    if random.bits() % 8 == 0 { -size } else { size }
                }),
                beta: vector(&mut |random| 0.2 * random.normal()),
                mean: vector(&mut |random| 0.1 * random.normal()),
                variance: vector(&mut |random| 0.7 + 0.6 * random.uniform()),
            };
        }
        Layer::Input | Layer::Activation(_) | Layer::Add | Layer::GlobalAveragePool | Layer::Softmax => {
            return NodeParameters::None;
        }
    };
    // An input lies in -1 to 1; from its first reader on, values are so large that ReLU6 clips some.
    let first = if node.inputs.iter().any(|id| graph.node(*id).layer == Layer::Input) { 4.0 } else { 1.0 };
    let scale = first * f64::sqrt(gain / fan_in as f64);
    let weights = (0..fan_in * n_filters).map(|_| (scale * random.normal()) as f32).collect();
    let bias = bias.then(|| (0..n).map(|_| (0.1 * random.normal()) as f32).collect());
    NodeParameters::Filter { weights, bias }
}

/// Variance of a filter times its fan-in. 2 keeps the mean square where a ReLU follows (He et al., 2015); 3 makes up for
/// what ReLU6 clips and for taps in the padding: measured at alpha 0.25 to 1, about half of every layer's outputs are 0, a
/// few in a hundred 6, and the root mean square stays between 1.3 and 3.
const GAIN: f64 = 3.0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::describe::builtin;
    use crate::graph::Knobs;

    fn graph() -> Graph {
        let description = builtin("mobilenet-v1").unwrap().description();
        Graph::build(&description, &Knobs { alpha: 0.25, resolution: Some("32".parse().unwrap()) }).unwrap()
    }

    /// The numbers are part of recorded answers elsewhere: they are the same on every machine and stay what they are.
    #[test]
    fn reproducible() {
        let graph = graph();
        assert_eq!(Parameters::random(&graph, 1), Parameters::random(&graph, 1));
        assert_ne!(Parameters::random(&graph, 1), Parameters::random(&graph, 2));
        let NodeParameters::Filter { weights, .. } = &Parameters::random(&graph, 1).0[1] else {
            panic!("the stem has a filter")
        };
        let bits: Vec<u32> = weights[..4].iter().map(|x| x.to_bits()).collect();
        assert_eq!(bits, [1076059053, 1057254705, 3210258267, 3210617954]);
    }
}
