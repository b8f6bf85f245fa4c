//! `[detect]` as text, as written and with the priors of each map.

use std::fmt;

use mnc_runtime::info::Detect;

use crate::describe::detect::{DetectSpec, PriorMap, Priors};

impl fmt::Display for DetectSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let background = self.background.map_or("none".to_owned(), |class| class.to_string());
        writeln!(
            f,
            "  detect: {:?} of {}, locations {} as {:?}, background {background}",
            self.probability,
            self.scores.join(", "),
            self.locations.join(", "),
            self.order
        )?;
        writeln!(
            f,
            "    threshold {}, overlap {}, {} candidates, {} boxes, variances {} and {}, clip {}",
            self.threshold,
            self.overlap,
            self.candidates,
            self.most_boxes,
            self.center_variance,
            self.size_variance,
            self.clip
        )?;
        match &self.priors {
            Priors::Maps { unit, maps } => maps.iter().try_for_each(|PriorMap { sizes, stride }| {
                write!(f, "    priors of {unit:?} {sizes:?}")?;
                stride.map_or(Ok(()), |stride| write!(f, ", stride {stride}"))?;
                writeln!(f)
            }),
            Priors::Scales { first, last, ratios, extra, reduced } => writeln!(
                f,
                "    priors of scales {first} to {last}, ratios {ratios:?}, extra {extra:?}, reduced {reduced}"
            ),
        }
    }
}

/// A detector of a graph.
pub(super) struct DetectText<'a>(pub(super) &'a Detect);

impl fmt::Display for DetectText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n_priors: usize = self.0.maps.iter().map(|map| map.n_priors()).sum();
        writeln!(f, "  detects by {n_priors} priors of {} classes", self.0.rule.n_classes)?;
        for map in &self.0.maps {
            let [down, across] = map.divisors;
            write!(f, "    {}x{} cells of 1/{down} x 1/{across}", map.rows, map.columns)?;
            writeln!(f, ", scores +{}, locations +{}, priors {:?}", map.scores, map.locations, map.priors)?;
        }
        Ok(())
    }
}
