//! Accuracies that the authors published. Not measured here, and of their checkpoints, whoever's weights are compiled.
//!
//! The paper (arXiv 1704.04861) prints eight members of the family, in tables of section 4; Figure 4 shows all sixteen, but as
//! dots. The checkpoints that the authors released later come with a table of all sixteen. The two differ by up to 1.1 points,
//! so a map takes the whole of one: the release. Members that the paper prints are shown with its number beside.

use mnc::graph::Resolution;

use super::map::Accuracy;

/// Where [`accuracy`] comes from, in one line.
pub(super) const RELEASE: &str = "published with the authors' checkpoints (TF-slim, mobilenet_v1.md): ImageNet validation set, \
     single crop; not measured here";

/// alpha, side, top-1, top-5.
const RELEASED: [(f64, usize, f64, f64); 16] = [
    (1.0, 224, 70.9, 89.9),
    (1.0, 192, 70.0, 89.2),
    (1.0, 160, 68.0, 87.7),
    (1.0, 128, 65.2, 85.8),
    (0.75, 224, 68.4, 88.2),
    (0.75, 192, 67.2, 87.3),
    (0.75, 160, 65.3, 86.0),
    (0.75, 128, 62.1, 83.9),
    (0.5, 224, 63.3, 84.9),
    (0.5, 192, 61.7, 83.6),
    (0.5, 160, 59.1, 81.9),
    (0.5, 128, 56.3, 79.4),
    (0.25, 224, 49.8, 74.2),
    (0.25, 192, 47.7, 72.3),
    (0.25, 160, 45.5, 70.3),
    (0.25, 128, 41.5, 66.3),
];

/// alpha, side, top-1, table.
const PRINTED: [(f64, usize, f64, u8); 8] = [
    (1.0, 224, 70.6, 6),
    (0.75, 224, 68.4, 6),
    (0.5, 224, 63.7, 6),
    (0.25, 224, 50.6, 6),
    (1.0, 192, 69.1, 7),
    (1.0, 160, 67.2, 7),
    (1.0, 128, 64.4, 7),
    (0.5, 160, 60.2, 9),
];

/// Top-1 of Table 5: alpha 0.75, and the network without the five layers at 14 x 14 x 512.
pub(super) const NARROW_TOP1: f64 = 68.4;
/// The other row of Table 5.
pub(super) const SHALLOW_TOP1: f64 = 65.3;
/// Top-1 of Table 4: standard convolutions, and separable ones.
pub(super) const FULL_CONV_TOP1: f64 = 71.7;
/// The other row of Table 4.
pub(super) const SEPARABLE_TOP1: f64 = 70.6;
/// Percent of multiply-adds and of parameters in 1x1 convolutions, Table 2.
pub(super) const POINTWISE_PERCENT: (f64, f64) = (94.86, 74.59);

/// What the release says of a member; `None` of one that it doesn't have.
pub(super) fn accuracy(alpha: f64, resolution: Resolution) -> Option<Accuracy> {
    let side = square(resolution)?;
    let row = RELEASED.iter().find(|row| row.0 == alpha && row.1 == side)?;
    Some(Accuracy { top1: row.2, top5: row.3 })
}

/// Top-1 that the paper prints, and the number of the table.
pub(super) fn printed(alpha: f64, resolution: Resolution) -> Option<(f64, u8)> {
    let side = square(resolution)?;
    let row = PRINTED.iter().find(|row| row.0 == alpha && row.1 == side)?;
    Some((row.2, row.3))
}

fn square(resolution: Resolution) -> Option<usize> {
    (resolution.height == resolution.width).then_some(resolution.height)
}
