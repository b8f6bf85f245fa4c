//! The decoder against the plainest one there is: every prior in a table, every probability, one sort.

use super::*;

/// A prior with its scores and numbers.
struct Prior {
    centre: [f64; 2],
    size: [f64; 2],
    scores: Vec<f64>,
    numbers: [f64; 4],
}

fn table(detector: &Detector<'_, Vec<[f64; 2]>>, output: &[f32]) -> Vec<Prior> {
    let mut table = Vec::new();
    for map in detector.maps {
        let (mut score, mut number) = (map.scores, map.locations);
        for row in 0..map.rows {
            for column in 0..map.columns {
                for size in &map.priors {
                    let next = |at: &mut usize| {
                        *at += 1;
                        f64::from(output[*at - 1])
                    };
                    let scores = (0..detector.rule.n_classes).map(|_| next(&mut score)).collect();
                    let [a, b, c, d] = [(); 4].map(|()| next(&mut number));
                    let numbers =
                        if detector.rule.order == Order::Xywh { [a, b, c, d] } else { [b, a, d, c] };
                    let [height, width] = map.divisors;
                    let centre = [(column as f64 + 0.5) / width, (row as f64 + 0.5) / height];
                    table.push(Prior { centre, size: *size, scores, numbers });
                }
            }
        }
    }
    table
}

fn probability(rule: &Rule, scores: &[f64], class: usize) -> f64 {
    match rule.probability {
        Probability::Softmax => {
            let max = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let mut sum = 0.0;
            for x in scores {
                sum += exp(x - max);
            }
            exp(scores[class] - max) / sum
        }
        Probability::Sigmoid if scores[class] < 0.0 => exp(scores[class]) / (1.0 + exp(scores[class])),
        Probability::Sigmoid => 1.0 / (1.0 + exp(-scores[class])),
        Probability::Values => scores[class],
    }
}

fn reference(detector: &Detector<'_, Vec<[f64; 2]>>, output: &[f32]) -> Vec<Found> {
    let rule = detector.rule;
    let table = table(detector, output);
    let mut all = Vec::new();
    for (idx, prior) in table.iter().enumerate() {
        for class in 0..rule.n_classes {
            let score = probability(&rule, &prior.scores, class);
            if Some(class) != rule.background && score > rule.threshold {
                all.push(Found { class, prior: idx, score, ..Found::default() });
            }
        }
    }
    // The sort is stable: those of equal scores stay in the order of priors and classes.
    all.sort_by(|a, b| b.score.partial_cmp(&a.score).expect("what is no number passed no threshold"));
    all.truncate(rule.candidates);
    let mut kept: Vec<Found> = Vec::new();
    for mut found in all {
        let Prior { centre, size, numbers, .. } = &table[found.prior];
        let mut edges = [[0.0; 2]; 2];
        for axis in 0..2 {
            let middle = numbers[axis] * rule.center_variance * size[axis] + centre[axis];
            let extent = exp(numbers[2 + axis] * rule.size_variance) * size[axis] * 0.5;
            edges[axis] = [middle - extent, middle + extent];
        }
        let [[left, right], [top, bottom]] = edges;
        let (width, height) = (right - left, bottom - top);
        if !width.is_finite() || !height.is_finite() || width <= 0.0 || height <= 0.0 {
            continue;
        }
        (found.left, found.top, found.right, found.bottom) = (left, top, right, bottom);
        let hides = |other: &Found| {
            let across = found.right.min(other.right) - found.left.max(other.left);
            let down = found.bottom.min(other.bottom) - found.top.max(other.top);
            let shared = across.max(0.0) * down.max(0.0);
            let area = |found: &Found| (found.right - found.left) * (found.bottom - found.top);
            other.class == found.class && shared > rule.overlap * (area(other) + area(&found) - shared)
        };
        if kept.len() < rule.most_boxes && !kept.iter().any(hides) {
            kept.push(found);
        }
    }
    kept
}

struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) as usize % n
    }

    fn between(&mut self, from: f64, to: f64) -> f64 {
        from + (to - from) * self.below(1 << 30) as f64 / f64::from(1 << 30)
    }
}

/// The bound that the compiler gives for a threshold.
fn least_for(probability: Probability, threshold: f64) -> f64 {
    match probability {
        Probability::Softmax => threshold.ln() - 1e-6,
        Probability::Sigmoid => (threshold / (1.0 - threshold)).ln() - 1e-6,
        Probability::Values => threshold,
    }
}

fn rule(random: &mut Random) -> Rule {
    let n_classes = 1 + random.below(5);
    let probability = [Probability::Softmax, Probability::Sigmoid, Probability::Values][random.below(3)];
    let threshold = [0.01, 0.3, 0.5, 0.7, 0.999][random.below(5)];
    Rule {
        probability,
        n_classes,
        background: (random.below(2) == 0).then(|| random.below(n_classes)),
        threshold,
        least: least_for(probability, threshold),
        overlap: random.between(0.0, 1.0),
        candidates: 1 + random.below(40),
        most_boxes: 1 + random.below(20),
        order: [Order::Xywh, Order::Yxhw][random.below(2)],
        center_variance: random.between(0.05, 1.0),
        size_variance: random.between(0.05, 1.0),
    }
}

/// Numbers as networks give them, many of them equal, and now and then what no network should give.
fn output(random: &mut Random, len: usize) -> Vec<f32> {
    let odd = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, -1e30, 1e-40, -0.0, 88.0];
    let is_odd = random.below(3) == 0;
    let mut number = || match random.below(if is_odd { 8 } else { 7 }) {
        0..=2 => random.between(-6.0, 6.0) as f32,
        3..=6 => random.below(5) as f32 - 2.0,
        _ => odd[random.below(odd.len())],
    };
    (0..len).map(|_| number()).collect()
}

#[test]
fn random_detectors_find_what_the_reference_finds() {
    let mut random = Random(0x1234_5678_9abc_def1);
    let mut n_boxes = 0;
    for round in 0..if cfg!(miri) { 20 } else { 3000 } {
        let rule = rule(&mut random);
        let mut first = random.below(3);
        let maps: Vec<Map<Vec<[f64; 2]>>> = (0..1 + random.below(3))
            .map(|_| {
                let (rows, columns) = (1 + random.below(5), 1 + random.below(5));
                let divisors = [rows as f64 - random.between(0.0, 0.9), columns as f64];
                let sizes = 1 + random.below(4);
                let priors =
                    (0..sizes).map(|_| [(); 2].map(|()| random.between(0.05, 1.2))).collect::<Vec<_>>();
                let n = rows * columns * priors.len();
                let (scores, locations) = (first, first + n * rule.n_classes + random.below(3));
                first = locations + 4 * n + random.below(3);
                Map { rows, columns, divisors, scores, locations, priors }
            })
            .collect();
        let output = output(&mut random, first);
        let detector = Detector { rule, maps: &maps };
        let mut memory = vec![Found { class: 9, score: f64::NAN, ..Found::default() }; rule.candidates];
        let boxes = detector.boxes(&output, &mut memory);
        assert_eq!(boxes, reference(&detector, &output), "round {round}: {detector:?}");
        n_boxes += boxes.len();
    }
    assert!(cfg!(miri) || 3000 < n_boxes, "{n_boxes} boxes in all, expected at least one a round");
}

/// One map of one row, whose priors differ in their class scores alone.
fn row(probability: Probability, scores: &[[f32; 2]], check: impl Fn(&[Found])) {
    let n = scores.len();
    let rule = Rule {
        probability,
        n_classes: 2,
        background: Some(0),
        threshold: 0.5,
        least: least_for(probability, 0.5),
        overlap: 0.5,
        candidates: n,
        most_boxes: n,
        order: Order::Xywh,
        center_variance: 0.1,
        size_variance: 0.2,
    };
    let priors = vec![[0.5 / n as f64, 0.5]];
    let divisors = [1.0, n as f64];
    let map = Map { rows: 1, columns: n, divisors, scores: 0, locations: 2 * n, priors };
    let output = [scores.concat(), vec![0.0; 4 * n]].concat();
    check(Detector { rule, maps: &[map] }.boxes(&output, &mut vec![Found::default(); n]));
}

#[test]
fn ties_go_to_the_first_prior_and_the_threshold_is_not_passed_by_itself() {
    let scores = [[0.0, 0.0], [0.0, 2.0], [0.0, 3.0], [0.0, 2.0], [f32::NAN, 9.0], [9.0, f32::NAN]];
    row(Probability::Softmax, &scores, |boxes| {
        let priors: Vec<usize> = boxes.iter().map(|found| found.prior).collect();
        assert_eq!(priors, [2, 1, 3]);
    });
    row(Probability::Sigmoid, &scores, |boxes| {
        let priors: Vec<usize> = boxes.iter().map(|found| found.prior).collect();
        // The sigmoid doesn't look at the background.
        assert_eq!(priors, [4, 2, 1, 3]);
    });
    row(Probability::Values, &[[0.0, 0.5], [0.0, 0.75], [0.0, f32::INFINITY]], |boxes| {
        assert_eq!(boxes.iter().map(|found| found.score).collect::<Vec<_>>(), [f64::INFINITY, 0.75]);
    });
    let infinite = [[f32::NEG_INFINITY; 2], [f32::INFINITY; 2], [f32::NEG_INFINITY, 1.0]];
    row(Probability::Softmax, &infinite, |boxes| {
        assert_eq!(boxes.iter().map(|found| found.prior).collect::<Vec<_>>(), [2]);
    });
}

#[test]
fn nothing_is_found_in_nothing() {
    row(Probability::Softmax, &[[5.0, -5.0]; 7], |boxes| assert!(boxes.is_empty()));
    row(Probability::Softmax, &[[f32::NAN; 2]; 7], |boxes| assert!(boxes.is_empty()));
}
