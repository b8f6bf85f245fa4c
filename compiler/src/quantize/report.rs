//! How far a network in integers is from itself in f32 on some pictures.

use super::Pictures;
use super::forward::{Ready, Run, Value};
use super::parts::parallel;
use crate::graph::layer::Layer;
use crate::passes::{Bytes, Fused, FusedId, FusedNode};

/// How far a value is from the one in f32.
#[derive(Clone, Debug, PartialEq)]
pub struct Distance {
    /// The layer, or the output.
    pub name: String,
    /// What its bytes stand for, where it has bytes.
    pub bytes: Option<Bytes>,
    /// Signal to noise: 10 log10 of the squares of the numbers over those of the errors. Infinite where there is no error.
    pub snr_db: f64,
}

/// What can be said of a classifier's answers.
///
/// Errors of logits are much like independent ones of a normal distribution. So one number, sigma, tells how often the largest logit
/// changes.
#[derive(Clone, Debug, PartialEq)]
pub struct Certificate {
    /// Pictures on which it was measured.
    pub n_pictures: usize,
    /// Signal to noise of the logits, the mean of each picture's taken off.
    pub snr_db: f64,
    /// The deviation of a logit's error, likewise.
    pub sigma: f64,
    /// How many of the pictures have the same largest logit.
    pub n_same: usize,
    /// The share that sigma lets expect, from how far the largest logit in f32 is ahead of the next.
    pub predicted: f64,
    /// 2 sqrt(2) sigma: where the largest logit is further ahead of the next, the answer is as good as always that of f32.
    pub margin: f64,
    /// How many of the pictures are beyond.
    pub n_beyond: usize,
    /// How many of those have another answer all the same.
    pub n_beyond_other: usize,
}

/// A network in f32 and in integers, on the same pictures.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// Layer by layer, of all in a row.
    pub layers: Vec<Distance>,
    /// Of a network that has one output of several classes.
    pub certificate: Option<Certificate>,
    /// By picture, the largest logit in f32 and in integers; none without a certificate.
    pub answers: Vec<(usize, usize)>,
}

/// Squares of a signal and of its error.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Squares {
    signal: f64,
    noise: f64,
}

impl Squares {
    /// Of numbers and what is there in their place.
    pub(super) fn between(expected: &[f32], found: &[f32]) -> Squares {
        let mut squares = Squares::default();
        for (x, y) in expected.iter().zip(found) {
            let (x, y) = (f64::from(*x), f64::from(*y));
            squares.add(Squares { signal: x * x, noise: (x - y) * (x - y) });
        }
        squares
    }

    pub(super) fn add(&mut self, other: Squares) {
        self.signal += other.signal;
        self.noise += other.noise;
    }

    /// Signal to noise.
    pub(super) fn db(self) -> f64 {
        if self.noise == 0.0 { f64::INFINITY } else { 10.0 * (self.signal / self.noise).log10() }
    }
}

/// What one picture shows.
struct One {
    layers: Vec<Squares>,
    logits: Option<(Vec<f32>, Vec<f32>)>,
}

/// Runs both networks on pictures that say nothing of the truth, and compares them.
///
/// # Panics
/// When the two aren't of the same layers.
pub fn compare(
    numbers: &Fused,
    integers: &Fused,
    pictures: &Pictures<'_>,
    done: &(dyn Fn() + Sync),
) -> Comparison {
    // The other has nodes that make numbers of bytes, or bytes of numbers.
    let is_own = |node: &&FusedNode| !integers.is_conversion(node);
    assert_eq!(integers.nodes.iter().filter(is_own).count(), numbers.nodes.len(), "one network in two forms");
    let logits = logits(numbers);
    let ready = [numbers, integers].map(Ready::new);
    let one = |idx: usize| -> One {
        let mut in_numbers = Run::new(&ready[0], Value::Numbers(pictures.numbers(idx)));
        let mut in_integers = Run::new(&ready[1], Value::Bytes(pictures.bytes[idx].clone()));
        let mut one = One { layers: Vec::new(), logits: None };
        let mut idx = 0;
        for (place, node) in integers.nodes.iter().enumerate().skip(1) {
            let found = in_integers.step(place, &mut |_| ());
            if integers.is_conversion(node) {
                continue;
            }
            idx += 1;
            let found = found.meant(node.bytes, &node.scales);
            let expected = in_numbers.step(idx, &mut |_| ()).stored();
            one.layers.push(Squares::between(&expected, &found));
            if Some(FusedId(idx)) == logits {
                one.logits = Some((expected, found));
            }
            done();
        }
        one
    };
    let all = parallel(pictures.bytes.len(), pictures.n_threads, &one);
    let mut layers = vec![Squares::default(); numbers.nodes.len() - 1];
    for one in &all {
        layers.iter_mut().zip(&one.layers).for_each(|(all, one)| all.add(*one));
    }
    let named = integers.nodes[1..].iter().filter(is_own).zip(layers);
    let answers: Vec<(Vec<f32>, Vec<f32>)> = all.into_iter().filter_map(|one| one.logits).collect();
    Comparison {
        layers: named
            .map(|(node, squares)| Distance {
                name: node.name.clone(),
                bytes: node.bytes,
                snr_db: squares.db(),
            })
            .collect(),
        certificate: (!answers.is_empty()).then(|| Certificate::of(&answers)),
        answers: answers.iter().map(|(expected, found)| (largest(expected).0, largest(found).0)).collect(),
    }
}

/// The node whose value has a number for each class; none where the network is no classifier.
fn logits(network: &Fused) -> Option<FusedId> {
    let [output] = network.outputs.as_slice() else { return None };
    let node = &network.nodes[output.0];
    let logits = if node.layer == Layer::Softmax { node.inputs[0] } else { *output };
    let shape = network.nodes[logits.0].shape();
    (shape.pixels() == 1 && 1 < shape.channels).then_some(logits)
}

/// Where the largest number is, the first of several, and how far it is ahead of the next.
fn largest(numbers: &[f32]) -> (usize, f64) {
    let mut first = 0;
    for (idx, x) in numbers.iter().enumerate() {
        if *x > numbers[first] {
            first = idx;
        }
    }
    let others = numbers.iter().enumerate().filter(|(idx, _)| *idx != first);
    let next = others.fold(f64::NEG_INFINITY, |most, (_, x)| most.max(f64::from(*x)));
    (first, f64::from(numbers[first]) - next)
}

impl Certificate {
    fn of(answers: &[(Vec<f32>, Vec<f32>)]) -> Certificate {
        let mut squares = Squares::default();
        let n_classes = answers[0].0.len();
        for (expected, found) in answers {
            let centred = |numbers: &[f32]| -> Vec<f64> {
                let mean = numbers.iter().map(|x| f64::from(*x)).sum::<f64>() / numbers.len() as f64;
                numbers.iter().map(|x| f64::from(*x) - mean).collect()
            };
            for (x, y) in centred(expected).into_iter().zip(centred(found)) {
                squares.add(Squares { signal: x * x, noise: (x - y) * (x - y) });
            }
        }
        // The mean that is taken off takes one of the errors with it.
        let sigma = (squares.noise / (answers.len() * (n_classes - 1)) as f64).sqrt();
        let margin = 2.0 * f64::sqrt(2.0) * sigma;
        let same = |(expected, _): &(Vec<f32>, Vec<f32>)| match sigma {
            0.0 => 1.0,
            sigma => 1.0 - 0.5 * erfc(largest(expected).1 / (2.0 * sigma)),
        };
        let predicted = answers.iter().map(same).sum::<f64>() / answers.len() as f64;
        let is_same = |(expected, found): &&(Vec<f32>, Vec<f32>)| largest(expected).0 == largest(found).0;
        let is_beyond = |(_, found): &&(Vec<f32>, Vec<f32>)| margin < largest(found).1;
        let n_beyond = answers.iter().filter(is_beyond).count();
        Certificate {
            n_pictures: answers.len(),
            snr_db: squares.db(),
            sigma,
            n_same: answers.iter().filter(is_same).count(),
            predicted,
            margin,
            n_beyond,
            n_beyond_other: n_beyond - answers.iter().filter(is_beyond).filter(is_same).count(),
        }
    }
}

/// The complementary error function of a number that isn't below 0, within 1.5e-7 (Abramowitz and Stegun, 7.1.26).
fn erfc(x: f64) -> f64 {
    const COEFFICIENTS: [f64; 5] =
        [1.061_405_429, -1.453_152_027, 1.421_413_741, -0.284_496_736, 0.254_829_592];
    let t = 1.0 / (1.0 + 0.327_591_1 * x);
    let polynomial = COEFFICIENTS.iter().fold(0.0, |sum, coefficient| (sum + coefficient) * t);
    polynomial * (-x * x).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_function_has_its_known_values() {
        for (x, expected) in [(0.0, 1.0), (0.5, 0.479_500_122), (1.0, 0.157_299_207), (2.0, 0.004_677_735)] {
            assert!((erfc(x) - expected).abs() < 2e-7, "erfc({x}) = {}", erfc(x));
        }
    }

    /// Ten classes with errors of a known deviation.
    #[test]
    fn sigma_is_that_of_the_errors() {
        let mut random = crate::random::Random::new(1);
        let mut answer = |_| -> (Vec<f32>, Vec<f32>) {
            let expected: Vec<f32> = (0..10).map(|_| (random.normal() * 2.0) as f32).collect();
            // What all logits of a picture share changes no answer.
            let shift = random.signed() * 100.0;
            let found = expected.iter().map(|x| x + shift + (random.normal() * 0.25) as f32).collect();
            (expected, found)
        };
        let answers: Vec<_> = (0..2000).map(&mut answer).collect();
        let certificate = Certificate::of(&answers);
        assert!((certificate.sigma - 0.25).abs() < 0.005, "{certificate:?}");
        assert!((certificate.snr_db - 20.0 * f64::log10(2.0 / 0.25)).abs() < 0.3, "{certificate:?}");
        let measured = certificate.n_same as f64 / 2000.0;
        assert!((certificate.predicted - measured).abs() < 0.02, "{certificate:?}");
        assert!(certificate.n_beyond > 500 && certificate.n_beyond_other * 50 < certificate.n_beyond);
    }
}
