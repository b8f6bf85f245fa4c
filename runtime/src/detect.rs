//! The outputs of a detector -> boxes, without a heap.
//!
//! A prior is a box at a fixed place of the input. For each of them a detector has a score for each class, and four numbers that
//! say by how much an object's box differs from it. [`Detector::boxes`] takes the best scores, makes boxes of their numbers, and
//! leaves out those that overlap with a better one. Order and rounding of each operation are in `docs/arithmetic.md`: the header
//! in C and the module in Python have the same, and the same bits come out.

use core::cmp::Ordering;

use crate::exp::exp;

#[cfg(test)]
mod tests;

/// How numbers become scores and boxes.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "info", derive(serde::Serialize, serde::Deserialize))]
pub struct Rule {
    /// What makes a probability of a score.
    pub probability: Probability,
    /// Scores of a prior, that of the background included.
    pub n_classes: usize,
    /// The class that is no object.
    pub background: Option<usize>,
    /// A probability must be above this.
    pub threshold: f64,
    /// What can't pass the threshold is below this: a score, less the largest of its prior where the softmax is taken. It spares
    /// most priors the exponential and changes no result.
    pub least: f64,
    /// Of two boxes of a class whose intersection is more than this share of their union, the worse is left out.
    pub overlap: f64,
    /// How many of the best are looked at.
    pub candidates: usize,
    /// How many boxes there are at most.
    pub most_boxes: usize,
    /// The order of a prior's four numbers.
    pub order: Order,
    /// Multiplies the numbers of the centre.
    pub center_variance: f64,
    /// Multiplies the numbers of the size.
    pub size_variance: f64,
}

/// What makes a probability of a score.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "info", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "lowercase"))]
pub enum Probability {
    /// The softmax over a prior's classes.
    Softmax,
    /// The sigmoid of each score.
    Sigmoid,
    /// Nothing: the scores are probabilities.
    Values,
}

/// The order of a prior's four numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "info", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "lowercase"))]
pub enum Order {
    /// Centre x, centre y, width, height.
    Xywh,
    /// Centre y, centre x, height, width.
    Yxhw,
}

/// A grid of cells over the input, with the same priors in each.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "info", derive(serde::Serialize, serde::Deserialize))]
pub struct Map<P> {
    /// Cells from top to bottom.
    pub rows: usize,
    /// Cells from left to right.
    pub columns: usize,
    /// How many cells the input is high and wide: the centre of the first is half of one from the edge.
    pub divisors: [f64; 2],
    /// The first score, by position in the output of an image. The classes of a prior follow each other, then the priors of a
    /// cell, the cells of a row, the rows.
    pub scores: usize,
    /// The first of the numbers for boxes, in the same order.
    pub locations: usize,
    /// Width and height of each prior of a cell, of an input of 1 x 1.
    pub priors: P,
}

/// All that it takes to make boxes of an output.
#[derive(Clone, Copy, Debug)]
pub struct Detector<'a, P = &'a [[f64; 2]]> {
    /// How.
    pub rule: Rule,
    /// The grids, in the order of the priors.
    pub maps: &'a [Map<P>],
}

/// A box that has been found, of an input of 1 x 1 with its origin in the upper left corner. It may reach beyond the edges.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Found {
    /// What it is.
    pub class: usize,
    /// The prior that found it.
    pub prior: usize,
    /// Its probability.
    pub score: f64,
    /// Its edges.
    pub left: f64,
    /// The upper edge.
    pub top: f64,
    /// The right edge.
    pub right: f64,
    /// The lower edge.
    pub bottom: f64,
}

impl<P: AsRef<[[f64; 2]]>> Detector<'_, P> {
    /// The boxes in the output of an image, the best first. `found` is memory for the candidates.
    ///
    /// The time is that of one look at each score, and of at most `candidates` x `most_boxes` comparisons of two boxes.
    ///
    /// ```
    /// use mnc_runtime::detect::{Detector, Found, Map, Order, Probability, Rule};
    /// let rule = Rule {
    ///     probability: Probability::Sigmoid,
    ///     n_classes: 1,
    ///     background: None,
    ///     threshold: 0.5,
    ///     least: -1e-6,
    ///     overlap: 0.5,
    ///     candidates: 4,
    ///     most_boxes: 4,
    ///     order: Order::Xywh,
    ///     center_variance: 0.1,
    ///     size_variance: 0.2,
    /// };
    /// let map = Map {
    ///     rows: 1, columns: 2, divisors: [1.0, 2.0], scores: 0, locations: 2, priors: &[[0.5, 1.0]][..],
    /// };
    /// let output = [-3.0, 3.0, 9.0, 9.0, 9.0, 9.0, 0.0, 0.0, 0.0, 0.0];
    /// let mut found = [Found::default(); 4];
    /// let boxes = Detector { rule, maps: &[map] }.boxes(&output, &mut found);
    /// assert_eq!((boxes.len(), boxes[0].prior, boxes[0].left, boxes[0].right), (1, 1, 0.5, 1.0));
    /// ```
    ///
    /// # Panics
    /// When `output` is shorter than that of an image, or `found` than the rule's candidates.
    pub fn boxes<'f>(&self, output: &[f32], found: &'f mut [Found]) -> &'f [Found] {
        let mut heap = Heap { items: &mut found[..self.rule.candidates], len: 0 };
        let mut prior = 0;
        for map in self.maps {
            let n_scores = map.n_priors() * self.rule.n_classes;
            for scores in output[map.scores..][..n_scores].chunks_exact(self.rule.n_classes) {
                self.rule.each(scores, |class, score| {
                    heap.offer(Found { class, prior, score, ..Found::default() });
                });
                prior += 1;
            }
        }
        let len = heap.sort();
        let mut n_placed = 0;
        for idx in 0..len {
            if let Some(placed) = self.place(found[idx], output) {
                found[n_placed] = placed;
                n_placed += 1;
            }
        }
        let n_kept = self.suppress(&mut found[..n_placed]);
        &found[..n_kept]
    }

    /// The candidate with its edges, unless they are no box.
    fn place(&self, candidate: Found, output: &[f32]) -> Option<Found> {
        let mut at = candidate.prior;
        let map = self.maps.iter().find(|map| {
            let is_here = at < map.n_priors();
            at -= if is_here { 0 } else { map.n_priors() };
            is_here
        })?;
        let priors = map.priors.as_ref();
        let (cell, [width, height]) = (at / priors.len(), priors[at % priors.len()]);
        let (row, column) = (cell / map.columns, cell % map.columns);
        let numbers = output[map.locations + 4 * at..].first_chunk::<4>()?.map(f64::from);
        let [x, y, w, h] = match self.rule.order {
            Order::Xywh => numbers,
            Order::Yxhw => [numbers[1], numbers[0], numbers[3], numbers[2]],
        };
        let Rule { center_variance, size_variance, .. } = self.rule;
        let axis = |along: f64, size: f64, prior: f64, cell: usize, divisor: f64| {
            let centre = along * center_variance * prior + (cell as f64 + 0.5) / divisor;
            let half = exp(size * size_variance) * prior * 0.5;
            [centre - half, centre + half]
        };
        let [left, right] = axis(x, w, width, column, map.divisors[1]);
        let [top, bottom] = axis(y, h, height, row, map.divisors[0]);
        let is_legal = |from: f64, to: f64| 0.0 < to - from && to - from < f64::INFINITY;
        let placed = Found { left, top, right, bottom, ..candidate };
        (is_legal(left, right) && is_legal(top, bottom)).then_some(placed)
    }

    /// Moves those to the front that no better one of their class overlaps too much; how many they are.
    fn suppress(&self, found: &mut [Found]) -> usize {
        let mut n_kept = 0;
        for idx in 0..found.len() {
            if n_kept == self.rule.most_boxes {
                break;
            }
            let this = found[idx];
            let is_same = |kept: &Found| kept.class == this.class && kept.overlaps(&this, self.rule.overlap);
            if !found[..n_kept].iter().any(is_same) {
                found[n_kept] = this;
                n_kept += 1;
            }
        }
        n_kept
    }
}

impl<P: AsRef<[[f64; 2]]>> Map<P> {
    /// Priors of all cells.
    pub fn n_priors(&self) -> usize {
        self.rows * self.columns * self.priors.as_ref().len()
    }
}

impl Rule {
    /// Calls `take` with each class of a prior that is likely enough, and its probability.
    fn each(&self, scores: &[f32], mut take: impl FnMut(usize, f64)) {
        let objects =
            || scores.iter().copied().map(f64::from).enumerate().filter(|(c, _)| Some(*c) != self.background);
        match self.probability {
            Probability::Softmax => {
                let max = scores.iter().fold(f32::NEG_INFINITY, |max, x| if max < *x { *x } else { max });
                let max = f64::from(max);
                // What is no number is below nothing, and fails the threshold.
                if objects().all(|(_, x)| x - max < self.least) {
                    return;
                }
                let sum = scores.iter().fold(0.0, |sum, x| sum + exp(f64::from(*x) - max));
                objects().map(|(class, x)| (class, exp(x - max) / sum)).for_each(|(class, score)| {
                    if self.threshold < score {
                        take(class, score);
                    }
                });
            }
            Probability::Sigmoid => objects().for_each(|(class, x)| {
                if x < self.least {
                    return;
                }
                let small = exp(if x < 0.0 { x } else { -x });
                let score = if x < 0.0 { small / (1.0 + small) } else { 1.0 / (1.0 + small) };
                if self.threshold < score {
                    take(class, score);
                }
            }),
            Probability::Values => objects().for_each(|(class, score)| {
                if self.threshold < score {
                    take(class, score);
                }
            }),
        }
    }
}

impl Found {
    /// Whether it comes before another: by its score, then by its prior, then by its class.
    fn is_before(&self, other: &Found) -> bool {
        match other.score.partial_cmp(&self.score) {
            Some(Ordering::Less) => true,
            Some(Ordering::Greater) => false,
            Some(Ordering::Equal) | None => (self.prior, self.class) < (other.prior, other.class),
        }
    }

    fn overlaps(&self, other: &Found, limit: f64) -> bool {
        let width = least(self.right, other.right) - most(self.left, other.left);
        let height = least(self.bottom, other.bottom) - most(self.top, other.top);
        if width <= 0.0 || height <= 0.0 {
            return false;
        }
        let shared = width * height;
        limit * (self.area() + other.area() - shared) < shared
    }

    fn area(&self) -> f64 {
        (self.right - self.left) * (self.bottom - self.top)
    }
}

fn least(a: f64, b: f64) -> f64 {
    if a < b { a } else { b }
}

fn most(a: f64, b: f64) -> f64 {
    if b < a { a } else { b }
}

/// The best candidates so far, the worst of them in front: each comes after those at 2 i + 1 and 2 i + 2.
struct Heap<'f> {
    items: &'f mut [Found],
    len: usize,
}

impl Heap<'_> {
    fn offer(&mut self, candidate: Found) {
        if self.len == self.items.len() {
            if candidate.is_before(&self.items[0]) {
                self.items[0] = candidate;
                self.sink(self.len);
            }
            return;
        }
        let mut at = self.len;
        self.items[at] = candidate;
        self.len += 1;
        while at != 0 && self.items[(at - 1) / 2].is_before(&self.items[at]) {
            self.items.swap(at, (at - 1) / 2);
            at = (at - 1) / 2;
        }
    }

    /// Moves the first down, among so many.
    fn sink(&mut self, len: usize) {
        let mut at = 0;
        loop {
            let mut last = at;
            for below in [2 * at + 1, 2 * at + 2] {
                if below < len && self.items[last].is_before(&self.items[below]) {
                    last = below;
                }
            }
            if last == at {
                return;
            }
            self.items.swap(at, last);
            at = last;
        }
    }

    /// Puts the best in front; how many there are.
    fn sort(mut self) -> usize {
        for end in (1..self.len).rev() {
            self.items.swap(0, end);
            self.sink(end);
        }
        self.len
    }
}
