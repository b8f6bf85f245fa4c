//! Channels of different values that belong together: what layers that take channel for channel tie to each other.

use super::Fused;

/// Sets of channels, numbered over all values.
pub(crate) struct Ties {
    /// By node: the number of its first channel.
    first: Vec<usize>,
    /// By number: another of its set, or itself.
    other: Vec<usize>,
}

impl Ties {
    /// Each by itself.
    pub(crate) fn new(network: &Fused) -> Ties {
        let mut n = 0;
        let mut first = Vec::with_capacity(network.nodes.len());
        for node in &network.nodes {
            first.push(n);
            n += node.shape().channels;
        }
        Ties { first, other: (0..n).collect() }
    }

    /// How many channels there are.
    pub(crate) fn len(&self) -> usize {
        self.other.len()
    }

    /// The number that stands for the set of a channel.
    pub(crate) fn set(&mut self, node: usize, channel: usize) -> usize {
        let mut number = self.first[node] + channel;
        while self.other[number] != number {
            self.other[number] = self.other[self.other[number]];
            number = self.other[number];
        }
        number
    }

    /// Makes the sets of two channels one, each a node and a channel of it.
    pub(crate) fn tie(&mut self, a: (usize, usize), b: (usize, usize)) {
        let (a, b) = (self.set(a.0, a.1), self.set(b.0, b.1));
        self.other[a.max(b)] = a.min(b);
    }
}
