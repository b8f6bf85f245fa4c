//! The outputs of a classifier -> what people are shown of them, and the largest first: what the executables print, without a heap.

use crate::exp::exp;

/// Probabilities of which one is true: the softmax over all outputs.
///
/// ```
/// let [yes, no] = mnc_runtime::scores::softmax(&[1.0, 1.0]);
/// assert_eq!((yes, no), (0.5, 0.5));
/// ```
pub fn softmax<const N: usize>(output: &[f32; N]) -> [f64; N] {
    let max = output.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let exps = output.map(|x| exp(f64::from(x) - f64::from(max)));
    let sum: f64 = exps.iter().sum();
    exps.map(|it| it / sum)
}

/// Probabilities of which any may be true: the sigmoid of each output.
///
/// ```
/// assert_eq!(mnc_runtime::scores::sigmoid(&[0.0]), [0.5]);
/// ```
pub fn sigmoid<const N: usize>(output: &[f32; N]) -> [f64; N] {
    output.map(|x| {
        let x = f64::from(x);
        // The exponential of what isn't positive can't overflow.
        let small = exp(-x.abs());
        if x < 0.0 { small / (1.0 + small) } else { 1.0 / (1.0 + small) }
    })
}

/// The positions of the `K` largest outputs, the largest first. Equal ones keep their order; NaN comes last.
///
/// ```
/// assert_eq!(mnc_runtime::scores::top(&[1.0, 3.0, 2.0, 3.0]), [1, 3, 2]);
/// ```
pub fn top<const K: usize, const N: usize>(output: &[f32; N]) -> [usize; K] {
    const { assert!(K <= N, "there are fewer outputs than that") };
    // Whether `a` comes before `b`.
    let is_before = |a: usize, b: usize| match output[a].partial_cmp(&output[b]) {
        Some(core::cmp::Ordering::Greater) => true,
        Some(core::cmp::Ordering::Less) => false,
        Some(core::cmp::Ordering::Equal) => a < b,
        None => match (output[a].is_nan(), output[b].is_nan()) {
            (false, _) => true,
            (true, false) => false,
            (true, true) => a < b,
        },
    };
    let mut found = [0; K];
    for place in 0..K {
        let last = place.checked_sub(1).map(|before| found[before]);
        let left = (0..N).filter(|idx| last.is_none_or(|last| is_before(last, *idx)));
        found[place] = left.reduce(|a, b| if is_before(b, a) { b } else { a }).unwrap_or(0);
    }
    found
}

/// The `K` largest outputs with their scores, in the order of [`top`]. A call of it brings no name into the code of a network, whose
/// type may have any.
///
/// ```
/// assert_eq!(mnc_runtime::scores::ranked(&[1.0, 3.0], &[0.25, 0.75]), [(1, 0.75)]);
/// ```
pub fn ranked<const K: usize, const N: usize>(output: &[f32; N], scores: &[f64; N]) -> [(usize, f64); K] {
    top(output).map(|idx| (idx, scores[idx]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_outputs_keep_their_order_and_nan_is_last() {
        assert_eq!(top(&[1.0, 3.0, 3.0, 1.0]), [1, 2, 0, 3]);
        assert_eq!(top(&[f32::NAN, f32::NEG_INFINITY, f32::NAN, 5.0, f32::INFINITY]), [4, 3, 1, 0, 2]);
        assert_eq!(top(&[0.0, -0.0, 0.0]), [0, 1, 2]);
        assert_eq!(top(&[7.0]), [] as [usize; 0]);
    }

    #[test]
    fn scores_of_what_is_no_number() {
        assert!(softmax(&[] as &[f32; 0]).is_empty());
        assert!(softmax(&[0.0, f32::NAN]).iter().all(|it| it.is_nan()));
        assert_eq!(softmax(&[1000.0, 1000.0, -1000.0]), [0.5, 0.5, 0.0]);
        assert_eq!(sigmoid(&[f32::MAX, f32::MIN]), [1.0, 0.0]);
    }
}
