//! What a network's values are like on some pictures, and what its batch norms say of them.

use super::Pictures;
use super::forward::{Ready, Run, Value};
use super::parts::parallel;
use crate::graph::layer::Layer;
use crate::graph::{Graph, NodeId};
use crate::passes::Fused;
use crate::weights::{NodeParameters, Parameters};

/// Of one node.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    /// Of each channel before the activation: the mean.
    pub(super) mean: Vec<f64>,
    /// The standard deviation.
    pub(super) deviation: Vec<f64>,
    /// The smallest number behind the activation.
    pub(super) least: f32,
    /// The largest.
    pub(super) most: f32,
    /// The smallest of each channel.
    pub(super) least_of: Vec<f32>,
    /// The largest.
    pub(super) most_of: Vec<f32>,
    /// Of each channel behind the activation: the mean of the squares.
    pub(super) power: Vec<f64>,
}

/// Sums on the way to [`Seen`].
#[derive(Clone, Debug)]
struct Sums {
    n: usize,
    n_values: usize,
    sum: Vec<f64>,
    squares: Vec<f64>,
    value: Range,
    /// Behind the activation.
    least_of: Vec<f32>,
    most_of: Vec<f32>,
    power: Vec<f64>,
}

#[derive(Clone, Copy, Debug)]
struct Range {
    least: f32,
    most: f32,
}

impl Range {
    const NOTHING: Range = Range { least: f32::INFINITY, most: f32::NEG_INFINITY };

    fn add(&mut self, values: &[f32]) {
        for x in values {
            self.least = self.least.min(*x);
            self.most = self.most.max(*x);
        }
    }

    fn merge(&mut self, other: Range) {
        self.least = self.least.min(other.least);
        self.most = self.most.max(other.most);
    }
}

impl Sums {
    fn new(n_channels: usize) -> Sums {
        let zeros = vec![0.0; n_channels];
        Sums {
            n: 0,
            n_values: 0,
            sum: zeros.clone(),
            squares: zeros.clone(),
            value: Range::NOTHING,
            least_of: vec![f32::INFINITY; n_channels],
            most_of: vec![f32::NEG_INFINITY; n_channels],
            power: zeros,
        }
    }

    fn add_sums(&mut self, values: &[f32]) {
        for pixel in values.chunks_exact(self.sum.len()) {
            self.n += 1;
            for ((sum, squares), x) in self.sum.iter_mut().zip(&mut self.squares).zip(pixel) {
                let x = f64::from(*x);
                *sum += x;
                *squares += x * x;
            }
        }
    }

    fn add_values(&mut self, values: &[f32]) {
        self.value.add(values);
        for pixel in values.chunks_exact(self.sum.len()) {
            self.n_values += 1;
            let ranges = self.least_of.iter_mut().zip(&mut self.most_of);
            for (((least, most), power), x) in ranges.zip(&mut self.power).zip(pixel) {
                *least = least.min(*x);
                *most = most.max(*x);
                *power += f64::from(*x) * f64::from(*x);
            }
        }
    }

    fn merge(&mut self, other: &Sums) {
        self.n += other.n;
        self.n_values += other.n_values;
        self.least_of.iter_mut().zip(&other.least_of).for_each(|(least, x)| *least = least.min(*x));
        self.most_of.iter_mut().zip(&other.most_of).for_each(|(most, x)| *most = most.max(*x));
        self.power.iter_mut().zip(&other.power).for_each(|(power, x)| *power += x);
        self.sum.iter_mut().zip(&other.sum).for_each(|(sum, x)| *sum += x);
        self.squares.iter_mut().zip(&other.squares).for_each(|(sum, x)| *sum += x);
        self.value.merge(other.value);
    }

    fn seen(&self) -> Seen {
        let n = self.n.max(1) as f64;
        let mean: Vec<f64> = self.sum.iter().map(|sum| sum / n).collect();
        let variance = |(squares, mean): (&f64, &f64)| (squares / n - mean * mean).max(0.0);
        let deviation = self.squares.iter().zip(&mean).map(|pair| variance(pair).sqrt()).collect();
        let Range { least, most } = self.value;
        let n_values = self.n_values.max(1) as f64;
        let power = self.power.iter().map(|power| power / n_values).collect();
        let (least_of, most_of) = (self.least_of.clone(), self.most_of.clone());
        Seen { mean, deviation, least, most, least_of, most_of, power }
    }
}

/// Of every node, in f32, on the pictures; a node without weights has no sums before an activation. And of each picture the values of the
/// nodes by which the network is judged.
pub(super) fn gather(
    ready: &Ready<'_>,
    pictures: &Pictures<'_>,
    judged: &[usize],
    done: &(dyn Fn() + Sync),
) -> (Vec<Seen>, Vec<Vec<Vec<f32>>>) {
    let nodes = &ready.network.nodes;
    let one = |idx: usize| -> (Vec<Sums>, Vec<Vec<f32>>) {
        let mut all: Vec<Sums> = nodes.iter().map(|node| Sums::new(node.shape().channels)).collect();
        let mut values = Vec::with_capacity(judged.len());
        let mut run = Run::new(ready, Value::Numbers(pictures.numbers(idx)));
        for (idx, sums) in all.iter_mut().enumerate().skip(1) {
            let value = run.step(idx, &mut |values| sums.add_sums(values)).stored();
            sums.add_values(&value);
            if judged.contains(&idx) {
                values.push(value);
            }
            done();
        }
        (all, values)
    };
    // Picture by picture in their order, so that threads change no bit.
    let mut total: Vec<Sums> = nodes.iter().map(|node| Sums::new(node.shape().channels)).collect();
    let mut values = Vec::with_capacity(pictures.bytes.len());
    for (picture, judged) in parallel(pictures.bytes.len(), pictures.n_threads, &one) {
        total.iter_mut().zip(&picture).for_each(|(total, sums)| total.merge(sums));
        values.push(judged);
    }
    (total.iter().map(Sums::seen).collect(), values)
}

/// The batch norm behind a layer: beta and |gamma|, the mean and the deviation of what is before its activation.
#[derive(Clone, Debug)]
pub(super) struct Norm {
    beta: Vec<f32>,
    gamma: Vec<f32>,
}

impl Norm {
    /// Of the layer of that name; none where it stands for nothing, as those do that were put into a file of folded weights.
    fn of(graph: &Graph, parameters: &Parameters, name: &str) -> Option<Norm> {
        let id: NodeId = graph.id(name)?;
        let reads = |node: &crate::graph::Node| node.inputs == [id];
        let behind = graph.nodes.iter().position(reads)?;
        let Layer::BatchNorm { epsilon, .. } = graph.nodes[behind].layer else { return None };
        let NodeParameters::BatchNorm { gamma, beta, mean, variance } = &parameters.0[behind] else {
            return None;
        };
        let is_one = |x: f64| (x - 1.0).abs() < 1e-5;
        let is_identity = gamma.iter().all(|gamma| is_one(f64::from(*gamma)))
            && mean.iter().all(|mean| *mean == 0.0)
            && variance.iter().all(|variance| is_one(f64::from(*variance) + epsilon));
        let gamma = gamma.iter().map(|gamma| gamma.abs()).collect();
        (!is_identity).then(|| Norm { beta: beta.clone(), gamma })
    }

    /// Beta + 6 gamma, the largest of all channels.
    pub(super) fn most(&self) -> f64 {
        (0..self.beta.len()).map(|channel| self.most_of(channel)).fold(0.0, f64::max)
    }

    /// The same of one.
    pub(super) fn most_of(&self, channel: usize) -> f64 {
        f64::from(self.beta[channel]) + 6.0 * f64::from(self.gamma[channel])
    }

    /// How many channels were seen to vary, and how many of them with a deviation within a factor of two of gamma. A channel that is
    /// dead says nothing: its norm multiplies a variance of next to nothing.
    fn fitting(&self, seen: &Seen) -> (usize, usize) {
        let mut counts = (0, 0);
        for (gamma, deviation) in self.gamma.iter().zip(&seen.deviation) {
            let gamma = f64::from(*gamma);
            if 0.01 * gamma < *deviation {
                counts.0 += 1;
                counts.1 += usize::from(gamma <= 2.0 * deviation && *deviation <= 2.0 * gamma);
            }
        }
        counts
    }
}

/// The batch norms of a network's nodes, if what was seen bears out their numbers: those of half of the channels that vary. By layer some would
/// fail for the pictures' sake, which may be harder than what the network was trained on.
pub(super) fn norms(
    graph: &Graph,
    parameters: &Parameters,
    network: &Fused,
    seen: &[Seen],
) -> Vec<Option<Norm>> {
    let norms: Vec<Option<Norm>> =
        network.nodes.iter().map(|node| Norm::of(graph, parameters, &node.name)).collect();
    let known = || norms.iter().zip(seen).filter_map(|(norm, seen)| norm.as_ref().map(|norm| (norm, seen)));
    let counts = known().map(|(norm, seen)| norm.fitting(seen));
    let (n_channels, n_fitting) = counts.fold((0, 0), |all, more| (all.0 + more.0, all.1 + more.1));
    if 2 * n_fitting < n_channels { vec![None; norms.len()] } else { norms }
}
