//! Between which numbers each channel of each value stays, over all inputs of a [`Domain`].
//!
//! In f32 the interval goes through a layer step by step, in the stated order. A fused multiply-add is rounded once, which keeps the order
//! of what is rounded: with bounds of the factor and of the chain, those of the next step are two more steps of the same kind. So no
//! number of the network is outside of its span, to the last bit. Each border has a chain of its own, of the taps inside of the map.

use super::{Domain, Numbers, Reads, Summing, bytes};
use crate::graph::activation::activate;
use crate::graph::layer::{Activation, Layer, Pooling};
use crate::graph::shape::{Shape, Window};
use crate::passes::{Bytes, Filter, Fused, FusedNode};

/// The numbers between which a channel stays, at every pixel; of bytes their numbers. A bound of 0 stands for -0 too.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Span {
    pub(super) low: f32,
    pub(super) high: f32,
}

impl Span {
    /// All numbers, infinities and NaN.
    const ANYTHING: Span = Span { low: f32::NEG_INFINITY, high: f32::INFINITY };
    /// What a sigmoid gives.
    const SHARE: Span = Span { low: 0.0, high: 1.0 };

    /// A single number.
    pub(super) fn of(number: f32) -> Span {
        Span { low: number, high: number }
    }

    /// All that bytes may be.
    pub(super) fn of_bytes(bytes: Bytes) -> Span {
        Span { low: bytes.low.into(), high: bytes.high.into() }
    }

    /// Whether it is finite, whatever the input is.
    pub(super) fn is_known(self) -> bool {
        self.low.is_finite() && self.high.is_finite()
    }

    /// The only number, where there is one; 0 for both zeros.
    pub(super) fn constant(self) -> Option<f32> {
        (self.is_known() && self.low == self.high).then_some(self.low)
    }

    /// From the lowest to the highest of both.
    pub(super) fn joined(self, other: Span) -> Span {
        Span { low: self.low.min(other.low), high: self.high.max(other.high) }
    }

    /// The next step of a chain.
    fn add_product(&mut self, x: Span, w: f32) {
        let (low, high) = if w < 0.0 { (x.high, x.low) } else { (x.low, x.high) };
        // An infinite factor leaves the chain infinite, or NaN.
        *self = Span { low: low.mul_add(w, self.low), high: high.mul_add(w, self.high) };
    }

    fn sum(self, other: Span) -> Span {
        Span { low: self.low + other.low, high: self.high + other.high }
    }

    fn product(self, other: Span) -> Span {
        if !self.is_known() || !other.is_known() {
            return Span::ANYTHING;
        }
        let ends = [other.low, other.high];
        let products = [self.low, self.high].into_iter().flat_map(|a| ends.map(|b| Span::of(a * b)));
        products.reduce(Span::joined).expect("four corners")
    }

    /// The mean of so many taps inside of a map: their sum from +0 on, times the reciprocal of the divisor.
    fn mean(self, n_inside: usize, divisor: usize) -> Span {
        let mut sum = Span::of(0.0);
        (0..n_inside).for_each(|_| sum = sum.sum(self));
        sum.product(Span::of(1.0 / divisor as f32))
    }

    fn activated(self, activation: Activation) -> Span {
        let ends = |activation: Activation| Span {
            low: activate(self.low, activation),
            high: activate(self.high, activation),
        };
        if !self.is_known() {
            return Span::ANYTHING;
        }
        if rises(activation) || self.constant().is_some() {
            return ends(activation);
        }
        match activation {
            Activation::HardSwish => self.product(ends(Activation::HardSigmoid)),
            Activation::Swish => self.product(Span::SHARE),
            Activation::Sigmoid => Span::SHARE,
            Activation::None
            | Activation::Relu
            | Activation::Relu6
            | Activation::LeakyRelu { .. }
            | Activation::HardSigmoid => unreachable!("it rises"),
        }
    }
}

/// Whether a larger number never becomes a smaller one than another.
pub(super) fn rises(activation: Activation) -> bool {
    match activation {
        // Each step of them is rounded, which keeps the order.
        Activation::None
        | Activation::Relu
        | Activation::Relu6
        | Activation::LeakyRelu { .. }
        | Activation::HardSigmoid => true,
        // Their polynomial promises none, and two of them fall before they rise.
        Activation::Sigmoid | Activation::Swish | Activation::HardSwish => false,
    }
}

/// Of each node the span of each channel; nothing where the domain has no use for it.
pub(super) fn spans(network: &Fused, domain: &Domain) -> Vec<Vec<Span>> {
    let mut all: Vec<Vec<Span>> = Vec::with_capacity(network.nodes.len());
    for node in &network.nodes {
        let inputs: Vec<(Shape, &[Span])> =
            node.inputs.iter().map(|id| (network.nodes[id.0].shape(), all[id.0].as_slice())).collect();
        let summing = Summing::of(node, domain, |from| network.nodes[from].shape());
        all.push(match domain {
            Domain::Integers { .. } => bytes::spans_of(
                node,
                summing.as_ref(),
                inputs.first().copied().unwrap_or((node.shape(), &[])),
            ),
            Domain::Floats { bounds } => numbers(node, summing.as_ref(), &inputs, bounds),
        });
    }
    all
}

/// Of a node in f32.
fn numbers(
    node: &FusedNode,
    summing: Option<&Summing<'_>>,
    inputs: &[(Shape, &[Span])],
    bounds: &[(f32, f32)],
) -> Vec<Span> {
    let Some((input, spans)) = inputs.first().copied() else {
        return bounds.iter().map(|(low, high)| Span { low: *low, high: *high }).collect();
    };
    let both = |join: fn(Span, Span) -> Span, other: &[Span]| -> Vec<Span> {
        spans.iter().zip(other).map(|(a, b)| join(*a, *b)).collect()
    };
    let means = |counts: &[(usize, usize)]| -> Vec<Span> {
        let mean = |span: &Span| {
            let means = counts.iter().map(|(n_inside, divisor)| span.mean(*n_inside, *divisor));
            means.reduce(Span::joined).expect("a window has a position")
        };
        spans.iter().map(mean).collect()
    };
    let mut values = match node.layer {
        Layer::Conv { .. } | Layer::Depthwise { .. } | Layer::Grouped { .. } | Layer::Dense { .. } => {
            let Some(Summing { numbers: Numbers::Floats(Some(filter)), reads, .. }) = summing else {
                unreachable!("a layer with weights has a filter")
            };
            chains(node, filter, *reads, (input, spans))
        }
        Layer::GlobalAveragePool => means(&[(input.pixels(), input.pixels())]),
        Layer::Pool { pooling: Pooling::Max, .. } | Layer::Upsample { .. } => spans.to_vec(),
        Layer::Pool { pooling, window } => means(&counts(pooling, window, input)),
        Layer::Concat => inputs.iter().flat_map(|(_, spans)| *spans).copied().collect(),
        Layer::Add => both(Span::sum, inputs[1].1),
        Layer::Multiply => both(Span::product, inputs[1].1),
        Layer::Softmax => vec![Span::ANYTHING; spans.len()],
        Layer::Input | Layer::BatchNorm { .. } | Layer::Activation(_) => {
            unreachable!("the input has none, and norms and activations are part of other nodes")
        }
    };
    if let (Some(_), [.., (_, residual)]) = (&node.residual, inputs) {
        values.iter_mut().zip(*residual).for_each(|(sum, residual)| *sum = sum.sum(*residual));
    }
    values.iter().map(|span| span.activated(node.activation)).collect()
}

/// Of each border of a pool, how many taps are inside of the map, and by what their sum is divided.
fn counts(pooling: Pooling, window: Window, input: Shape) -> Vec<(usize, usize)> {
    let borders = window.borders((input.height, input.width));
    let inside = borders.iter().map(|(rows, columns)| rows.len() * columns.len());
    inside.map(|n_inside| (n_inside, pooling.divisor(window, n_inside))).collect()
}

/// The chains of multiply-adds of each output channel, at any border.
fn chains(node: &FusedNode, filter: &Filter, reads: Reads, (input, spans): (Shape, &[Span])) -> Vec<Span> {
    let Filter { weights, bias } = filter;
    let n = bias.len();
    let (m, per_group) = match reads {
        Reads::All => (input.channels, n),
        Reads::Group { m, n } => (m, n),
        Reads::Pixels => unreachable!("a pool has no weights"),
    };
    let at_border = |inside: Vec<usize>| {
        let mut chains: Vec<Span> = bias.iter().map(|bias| Span::of(*bias)).collect();
        for tap in inside {
            for ci in 0..m {
                let row = &weights[(tap * m + ci) * n..][..n];
                for (channel, (chain, w)) in chains.iter_mut().zip(row).enumerate() {
                    chain.add_product(spans[channel / per_group * m + ci], *w);
                }
            }
        }
        chains
    };
    let both = |a: Vec<Span>, b: Vec<Span>| -> Vec<Span> {
        // The lower of NaN and a number would be the number.
        let both =
            |(a, b): (&Span, &Span)| if a.is_known() && b.is_known() { a.joined(*b) } else { Span::ANYTHING };
        a.iter().zip(&b).map(both).collect()
    };
    let borders = node.layer.taps_by_border(input).into_iter();
    borders.map(at_border).reduce(both).expect("a window has a position")
}
