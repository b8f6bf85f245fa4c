//! Outputs -> what is shown of them, and the largest first.
//!
//! The exponential is that of the crate libm whatever C library the program has: the same bits in every executable.

use crate::info::Scores;
use std::cmp::Ordering;

/// What people are shown of each output, in f64: a network that ends in softmax computes its own.
pub(crate) fn shown(scores: Scores, output: &[f32]) -> Vec<f64> {
    match scores {
        Scores::Softmax => softmax(output),
        Scores::Sigmoid => output.iter().map(|&x| sigmoid(f64::from(x))).collect(),
        Scores::Probabilities | Scores::Values => output.iter().copied().map(f64::from).collect(),
    }
}

fn softmax(logits: &[f32]) -> Vec<f64> {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut exps: Vec<f64> = logits.iter().map(|&x| libm::exp(f64::from(x) - f64::from(max))).collect();
    let sum: f64 = exps.iter().sum();
    exps.iter_mut().for_each(|e| *e /= sum);
    exps
}

/// By the exponential of what isn't positive, which can't overflow.
fn sigmoid(x: f64) -> f64 {
    let small = libm::exp(-x.abs());
    if x < 0.0 { small / (1.0 + small) } else { 1.0 / (1.0 + small) }
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

    /// The bits of musl's `exp`, on which no C library has a say.
    #[test]
    fn probabilities_have_these_bits() {
        let check = |scores, output: &[f32], expected: &[u64]| {
            let bits: Vec<u64> = shown(scores, output).into_iter().map(f64::to_bits).collect();
            assert_eq!(bits, expected, "{scores:?} {output:?} {bits:#x?}");
        };
        let bits =
            [0x3fb6_4f17_0f07_7b9a, 0x3fe4_9af2_13f4_b34a, 0x3fce_522d_1a57_1a02, 0x3fa0_69fc_3949_6c2a];
        check(Scores::Softmax, &[1.0, 3.0, 2.0, 0.0], &bits);
        let bits = [0x3f37_68bd_80b1_0d60, 0x3fe5_b9d8_331b_c67c, 0x3fd4_8675_6a68_46c4];
        check(Scores::Softmax, &[-0.3, 7.25, 6.5], &bits);
        let bits =
            [0x3fed_5ff6_085e_037b, 0x3f97_b0b6_50ea_8dfb, 0x3fe0_0000_0000_0000, 0x3fe0_0000_0000_0000];
        check(Scores::Sigmoid, &[2.415, -3.743, 0.0, -0.0], &bits);
        check(Scores::Sigmoid, &[f32::MAX, f32::MIN], &[1.0f64.to_bits(), 0]);
        check(Scores::Values, &[-7.5], &[(-7.5f64).to_bits()]);
        check(Scores::Probabilities, &[0.25], &[0.25f64.to_bits()]);
        assert!(shown(Scores::Sigmoid, &[f32::NAN])[0].is_nan());
    }

    /// What a network in Rust shows is what an executable shows.
    #[test]
    fn networks_in_rust_have_the_same_bits() {
        let mut state = 7u32;
        for _ in 0..2000 {
            let output: [f32; 9] = std::array::from_fn(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 8) as f32 / 65536.0 - 128.0
            });
            let bits = |scores: &[f64]| scores.iter().map(|it| it.to_bits()).collect::<Vec<u64>>();
            assert_eq!(bits(&shown(Scores::Softmax, &output)), bits(&crate::scores::softmax(&output)));
            assert_eq!(bits(&shown(Scores::Sigmoid, &output)), bits(&crate::scores::sigmoid(&output)));
            assert_eq!(top_k(&output, 9), crate::scores::top::<9, 9>(&output));
        }
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
