//! Outputs -> probabilities, and the most probable classes first.

use std::cmp::Ordering;

/// Softmax in f64: for people to read; a network that ends in softmax computes its own.
pub(crate) fn softmax(logits: &[f32]) -> Vec<f64> {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut exps: Vec<f64> = logits.iter().map(|&x| (f64::from(x) - f64::from(max)).exp()).collect();
    let sum: f64 = exps.iter().sum();
    exps.iter_mut().for_each(|e| *e /= sum);
    exps
}

/// The positions of the `k` largest values, largest first. Equal values keep their order; NaN comes last.
pub(crate) fn top_k(values: &[f32], k: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_unstable_by(|&a, &b| descending(values[a], values[b]).then(a.cmp(&b)));
    order.truncate(k);
    order
}

fn descending(a: f32, b: f32) -> Ordering {
    b.partial_cmp(&a).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn top_k_orders_ties_by_index_and_nan_last() {
        let check =
            |values: &[f32], k, expected: &[usize]| assert_eq!(top_k(values, k), expected, "{values:?}");
        check(&[1.0, 3.0, 2.0], 2, &[1, 2]);
        check(&[1.0, 3.0, 3.0, 1.0], 4, &[1, 2, 0, 3]);
        check(&[f32::NAN, f32::NEG_INFINITY, f32::NAN, 5.0, f32::INFINITY], 9, &[4, 3, 1, 0, 2]);
        check(&[0.0, -0.0, 0.0], 3, &[0, 1, 2]);
        check(&[], 3, &[]);
    }

    #[test]
    fn softmax_sums_to_one_and_never_panics() {
        let p = softmax(&[1000.0, 1000.0, -1000.0]);
        assert_eq!(p, [0.5, 0.5, 0.0]);
        assert!(softmax(&[0.0, f32::NAN]).iter().all(|p| p.is_nan()));
        assert!(softmax(&[f32::INFINITY, 0.0])[0].is_nan());
        assert!(softmax(&[]).is_empty());
    }
}
