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
    let vector = |number: f32| vec![number; node.shape().channels];
    match graph.filter(node) {
        Some(filter) => NodeParameters::Filter {
            weights: vec![0.0; filter.n_weights()],
            bias: filter.has_bias.then(|| vector(0.0)),
        },
        None if matches!(node.layer, Layer::BatchNorm { .. }) => NodeParameters::BatchNorm {
            gamma: vector(1.0),
            beta: vector(0.0),
            mean: vector(0.0),
            variance: vector(1.0),
        },
        None => NodeParameters::None,
    }
}

fn random_node(graph: &Graph, node: &Node, random: &mut Random) -> NodeParameters {
    let n = node.shape().channels;
    let Some(filter) = graph.filter(node) else {
        return match node.layer {
            Layer::BatchNorm { gamma, beta, .. } => {
                let mut norm = random_norm(n, random);
                if let NodeParameters::BatchNorm { gamma: scale, beta: shift, .. } = &mut norm {
                    if !gamma {
                        scale.fill(1.0);
                    }
                    if !beta {
                        shift.fill(0.0);
                    }
                }
                norm
            }
            _ => NodeParameters::None,
        };
    };
    // No ReLU halves the mean square after the last layer, which is the only one without a window.
    let gain = if filter.window.is_some() { GAIN } else { 1.0 };
    // An input lies in -1 to 1; from its first reader on, values are so large that ReLU6 clips some.
    let first = if node.inputs.iter().any(|id| graph.node(*id).layer == Layer::Input) { 4.0 } else { 1.0 };
    let scale = first * f64::sqrt(gain / filter.fan_in() as f64);
    let weights = (0..filter.n_weights()).map(|_| (scale * random.normal()) as f32).collect();
    let bias = filter.has_bias.then(|| (0..n).map(|_| (0.1 * random.normal()) as f32).collect());
    NodeParameters::Filter { weights, bias }
}

fn random_norm(n: usize, random: &mut Random) -> NodeParameters {
    let mut vector = |number: &mut dyn FnMut(&mut Random) -> f64| -> Vec<f32> {
        (0..n).map(|_| number(random) as f32).collect()
    };
    NodeParameters::BatchNorm {
        gamma: vector(&mut |random| {
            let size = 1.0 + 0.15 * random.normal();
            if random.bits() % 8 == 0 { -size } else { size }
        }),
        beta: vector(&mut |random| 0.2 * random.normal()),
        mean: vector(&mut |random| 0.1 * random.normal()),
        variance: vector(&mut |random| 0.7 + 0.6 * random.uniform()),
    }
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
