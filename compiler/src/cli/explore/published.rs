//! What the authors of the built-in families published: at which alphas they trained them, and how accurate those are. Not
//! measured here, and of their checkpoints, whoever's weights are compiled. A family without a line has no accuracies in print that
//! are its authors' own and say at which size.
//!
//! The paper of V1 (arXiv 1704.04861) prints eight members of the family, in tables of section 4; Figure 4 shows all sixteen, but
//! as dots. The checkpoints that the authors released later come with a table of all sixteen. The two differ by up to 1.1 points,
//! so a map takes the whole of one: the release. Members that the paper prints are shown with its number beside.

use super::dtype::Dtype;
use super::map::{Accuracy, Member};

/// A built-in family.
#[derive(Debug, PartialEq)]
pub(super) struct Family {
    name: &'static str,
    /// At which it was trained, the widest first.
    pub(super) alphas: &'static [f64],
    /// Where the accuracies come from, in one line.
    pub(super) source: &'static str,
    /// alpha, side, top-1, top-5 where it is told.
    released: &'static [(f64, usize, f64, Option<f64>)],
}

const V1: &str = "published with the authors' checkpoints (TF-slim, mobilenet_v1.md): ImageNet validation set, \
     single crop; not measured here";
const LATER: &str = "published with the authors' checkpoints (TF-slim, nets/mobilenet/README.md): ImageNet; not measured here";

const FAMILIES: [Family; 9] = [
    Family { name: "mobilenet-v1", alphas: &[1.0, 0.75, 0.5, 0.25], source: V1, released: &RELEASED_V1 },
    Family {
        name: "mobilenet-v2",
        alphas: &[1.4, 1.3, 1.0, 0.75, 0.5, 0.35],
        source: LATER,
        released: &RELEASED_V2,
    },
    Family {
        name: "mobilenet-v3-large",
        alphas: &[1.0, 0.75],
        source: LATER,
        released: &[(1.0, 224, 75.2, None), (0.75, 224, 73.3, None)],
    },
    Family {
        name: "mobilenet-v3-large-minimalistic",
        alphas: &[1.0],
        source: LATER,
        released: &[(1.0, 224, 72.3, None)],
    },
    Family {
        name: "mobilenet-v3-small",
        alphas: &[1.0, 0.75],
        source: LATER,
        released: &[(1.0, 224, 67.5, None), (0.75, 224, 65.4, None)],
    },
    Family {
        name: "mobilenet-v3-small-minimalistic",
        alphas: &[1.0],
        source: LATER,
        released: &[(1.0, 224, 61.9, None)],
    },
    Family { name: "mobilenet-v4-conv-small", alphas: &[1.0], source: "", released: &[] },
    Family { name: "mobilenet-v4-conv-medium", alphas: &[1.0], source: "", released: &[] },
    Family { name: "mobilenet-v4-conv-large", alphas: &[1.0], source: "", released: &[] },
];

const RELEASED_V1: [(f64, usize, f64, Option<f64>); 16] = [
    (1.0, 224, 70.9, Some(89.9)),
    (1.0, 192, 70.0, Some(89.2)),
    (1.0, 160, 68.0, Some(87.7)),
    (1.0, 128, 65.2, Some(85.8)),
    (0.75, 224, 68.4, Some(88.2)),
    (0.75, 192, 67.2, Some(87.3)),
    (0.75, 160, 65.3, Some(86.0)),
    (0.75, 128, 62.1, Some(83.9)),
    (0.5, 224, 63.3, Some(84.9)),
    (0.5, 192, 61.7, Some(83.6)),
    (0.5, 160, 59.1, Some(81.9)),
    (0.5, 128, 56.3, Some(79.4)),
    (0.25, 224, 49.8, Some(74.2)),
    (0.25, 192, 47.7, Some(72.3)),
    (0.25, 160, 45.5, Some(70.3)),
    (0.25, 128, 41.5, Some(66.3)),
];

const RELEASED_V2: [(f64, usize, f64, Option<f64>); 22] = [
    (1.4, 224, 75.0, Some(92.5)),
    (1.3, 224, 74.4, Some(92.1)),
    (1.0, 224, 71.8, Some(91.0)),
    (1.0, 192, 70.7, Some(90.1)),
    (1.0, 160, 68.8, Some(89.0)),
    (1.0, 128, 65.3, Some(86.9)),
    (1.0, 96, 60.3, Some(83.2)),
    (0.75, 224, 69.8, Some(89.6)),
    (0.75, 192, 68.7, Some(88.9)),
    (0.75, 160, 66.4, Some(87.3)),
    (0.75, 128, 63.2, Some(85.3)),
    (0.75, 96, 58.8, Some(81.6)),
    (0.5, 224, 65.4, Some(86.4)),
    (0.5, 192, 63.9, Some(85.4)),
    (0.5, 160, 61.0, Some(83.2)),
    (0.5, 128, 57.7, Some(80.8)),
    (0.5, 96, 51.2, Some(75.8)),
    (0.35, 224, 60.3, Some(82.9)),
    (0.35, 192, 58.2, Some(81.2)),
    (0.35, 160, 55.7, Some(79.1)),
    (0.35, 128, 50.8, Some(75.0)),
    (0.35, 96, 45.5, Some(70.4)),
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

impl Family {
    /// The built-in family of that name.
    pub(super) fn by_name(name: &str) -> Option<&'static Family> {
        FAMILIES.iter().find(|family| family.name == name)
    }

    /// What the release says of a member; `None` of one that it doesn't have.
    pub(super) fn accuracy(&self, member: Member) -> Option<Accuracy> {
        let side = side_in_print(member)?;
        let row = self.released.iter().find(|row| row.0 == member.alpha && row.1 == side)?;
        Some(Accuracy { top1: row.2, top5: row.3 })
    }

    /// Top-1 that the paper of V1 prints, and the number of the table.
    pub(super) fn printed(&self, member: Member) -> Option<(f64, u8)> {
        let side = side_in_print(member).filter(|_| self.name == "mobilenet-v1")?;
        let row = PRINTED.iter().find(|row| row.0 == member.alpha && row.1 == side)?;
        Some((row.2, row.3))
    }
}

/// What is in print is of square pictures, and of networks in f32.
fn side_in_print(member: Member) -> Option<usize> {
    let Member { height, width, dtype, .. } = member;
    (height == width && dtype == Dtype::F32).then_some(height)
}

#[cfg(test)]
mod tests {
    use mnc::describe::BUILTIN;

    use super::*;

    /// What is in print is of a built-in network, at an alpha that a map has unless it is told another.
    #[test]
    fn rows_are_of_members() {
        for family in &FAMILIES {
            assert!(BUILTIN.iter().any(|network| network.name == family.name), "{}", family.name);
            for row in family.released {
                assert!(family.alphas.contains(&row.0), "{} {row:?}", family.name);
                assert!(row.3.is_none_or(|top5| row.2 < top5), "{} {row:?}", family.name);
            }
            assert_eq!(family.source.is_empty(), family.released.is_empty(), "{}", family.name);
        }
    }

    #[test]
    fn accuracies_are_of_their_family() {
        let check = |name: &str, alpha: f64, side: usize, expected: Option<(f64, Option<f64>)>| {
            let family = Family::by_name(name).expect("it is a family");
            let member = Member { alpha, height: side, width: side, dtype: Dtype::F32 };
            let found = family.accuracy(member);
            assert_eq!(found.map(|found| (found.top1, found.top5)), expected, "{name} {alpha}@{side}");
            assert_eq!(family.accuracy(Member { dtype: Dtype::Int8, ..member }), None);
        };
        check("mobilenet-v1", 0.5, 160, Some((59.1, Some(81.9))));
        check("mobilenet-v2", 0.5, 160, Some((61.0, Some(83.2))));
        check("mobilenet-v2", 1.4, 192, None);
        check("mobilenet-v3-small", 0.75, 224, Some((65.4, None)));
        check("mobilenet-v4-conv-small", 1.0, 224, None);
        assert_eq!(Family::by_name("mobilenet-v1-shallow"), None);
    }
}
