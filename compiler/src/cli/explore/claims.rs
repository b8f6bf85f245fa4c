//! The paper's claims, each against what was counted and measured here, marked as confirmed or not.
//!
//! What counts as confirmed is fixed beside each finding, not fitted to a run.

mod narrow;
mod pointwise;
mod scaling;
mod separable;

use mnc_runtime::chart::Short;
use serde::Serialize;

use super::map::{Map, Measured};
use super::pictures::Figure;

/// What the claims are judged by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Evidence<'a> {
    /// The map in f32, for the laws of scaling.
    pub(super) map: &'a Map,
    /// 1.0 at 224 x 224.
    pub(super) whole: &'a Measured,
    /// 0.75 at 224 x 224.
    pub(super) narrow: &'a Measured,
    /// Standard convolutions instead of separable ones.
    pub(super) full_conv: &'a Measured,
    /// Without the five layers at 14 x 14 x 512.
    pub(super) shallow: &'a Measured,
}

/// A claim of the paper.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Claim {
    /// What it is about.
    pub(super) title: String,
    /// What the paper says, and where.
    pub(super) paper: String,
    /// What was found here.
    pub(super) findings: Vec<Finding>,
    #[serde(skip)]
    pub(super) figures: Vec<Figure>,
}

/// One thing that was counted or measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Finding {
    /// With the numbers.
    pub(super) text: String,
    /// Whether it is as the paper has it; `None` where the paper says nothing.
    pub(super) confirmed: Option<bool>,
    /// Whether the clock has said it.
    #[serde(skip)]
    is_timed: bool,
}

impl Finding {
    fn judged(confirmed: bool, text: String) -> Finding {
        Finding { text, confirmed: Some(confirmed), is_timed: false }
    }

    fn timed(confirmed: bool, text: String) -> Finding {
        Finding { is_timed: true, ..Finding::judged(confirmed, text) }
    }

    fn note(text: String) -> Finding {
        Finding { text, confirmed: None, is_timed: false }
    }

    /// The word for it.
    pub(super) fn verdict(&self) -> &'static str {
        match self.confirmed {
            Some(true) => "confirmed",
            Some(false) => "not confirmed",
            None => "noted",
        }
    }
}

/// All four, in the order of the paper.
pub(super) fn judge(evidence: Evidence<'_>) -> Vec<Claim> {
    vec![
        separable::claim(evidence),
        pointwise::claim(evidence),
        scaling::claim(evidence),
        narrow::claim(evidence),
    ]
}

/// Takes back what doubtful times have decided.
pub(super) fn withhold(claims: &mut [Claim]) {
    let findings = claims.iter_mut().flat_map(|claim| &mut claim.findings);
    findings.filter(|finding| finding.is_timed).for_each(|finding| {
        finding.confirmed = None;
        finding.text += ", on a machine that was disturbed";
    });
}

/// The claims as text.
pub(super) fn to_text(claims: &[Claim]) -> String {
    let mut text = String::new();
    for (idx, claim) in claims.iter().enumerate() {
        text += &format!("\n{}. {}\n   The paper: {}\n", idx + 1, claim.title, claim.paper);
        for finding in &claim.findings {
            text += &format!("   {:>13}: {}\n", finding.verdict(), finding.text);
        }
    }
    text
}

/// `8.6`, or `12` where decimals don't matter.
fn times(ratio: f64) -> String {
    if ratio < 99.5 { format!("{ratio:.1}") } else { Short(ratio.round()).to_string() }
}

fn percent(share: Option<f64>) -> String {
    share.map_or("an unknown share".to_owned(), |share| format!("{:.0} %", share * 100.0))
}
