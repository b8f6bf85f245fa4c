//! What the members of a map compute in, and what it takes to make and to predict those of one kind.

use std::fmt;

use mnc::Target;
use mnc::predict::{INTEGER_SHARES, Machine};
use serde::{Serialize, Serializer};

/// What a network computes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Dtype {
    /// Numbers.
    F32,
    /// Bytes and integers.
    Int8,
}

impl Dtype {
    /// In the order of a map.
    pub(super) const ALL: [Dtype; 2] = [Dtype::F32, Dtype::Int8];

    pub(super) fn of(is_int8: bool) -> Dtype {
        if is_int8 { Dtype::Int8 } else { Dtype::F32 }
    }

    pub(super) fn is_int8(self) -> bool {
        self == Dtype::Int8
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Dtype::F32 => "f32",
            Dtype::Int8 => "int8",
        })
    }
}

/// What networks of a dtype are compiled for, and predicted by.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Means {
    pub(super) dtype: Dtype,
    #[serde(serialize_with = "as_text")]
    pub(super) target: Target,
    /// `None` where the limits can't be measured.
    pub(super) machine: Option<Machine>,
}

impl Means {
    /// Why there is no prediction by them, in words that follow "No prediction".
    pub(super) fn no_prediction(&self) -> &'static str {
        let has_shares = || INTEGER_SHARES.iter().any(|shares| shares.isa == self.target.isa.name);
        match (&self.machine, self.dtype) {
            (None, _) => ": the limits of this machine can't be measured",
            (Some(_), Dtype::Int8) if has_shares() => ": it is known of weights made with --pair-safe alone",
            (Some(_), _) => " for this target: its kernels' shares of peak aren't known",
        }
    }
}

/// The targets of a map: `TARGET`, or which dtypes have which.
pub(super) fn targets(means: &[Means]) -> String {
    if let [Means { dtype: Dtype::F32, target, .. }] = means {
        return target.to_string();
    }
    let is_same = |a: &Means, b: &Means| a.target.isa.name == b.target.isa.name;
    let groups = means.chunk_by(is_same).map(|group| {
        let dtypes: Vec<String> = group.iter().map(|means| means.dtype.to_string()).collect();
        format!("{} in {}", group[0].target, dtypes.join(" and "))
    });
    groups.collect::<Vec<_>>().join(", ")
}

fn as_text<S: Serializer>(target: &Target, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(target)
}
