//! Claim 2: where multiply-adds, parameters and time are.

use mnc::cost::Report;

use super::super::chart::{Bars, Row};
use super::super::pictures::{Figure, legend, parts, shares, time_shares};
use super::super::published::POINTWISE_PERCENT;
use super::{Claim, Evidence, Finding, scaling};

/// Points by which a share may differ from a printed one and be the same: the paper rounds, and leaves out a bias.
const SAME_COUNT: f64 = 0.1;
/// Points by which time may differ from the 95 % of the text.
const SAME_TIME: f64 = 2.5;

pub(super) fn claim(evidence: Evidence<'_>) -> Claim {
    let whole = evidence.whole;
    let report = Report::of(&scaling::graph(whole.member.alpha, whole.member.resolution()));
    let by_kind = |of: fn(&mnc::cost::Cost) -> u64| {
        shares(report.kinds.iter().map(|kind| (kind.kind.to_string(), of(&kind.cost) as f64)))
    };
    let mult_adds = by_kind(|cost| cost.mult_adds);
    let parameters = by_kind(|cost| cost.parameters);
    let time = time_shares(whole);
    let (paper_mult_adds, paper_parameters) = POINTWISE_PERCENT;
    let is = |found: f64, expected: f64, most: f64| (found - expected).abs() <= most;
    let findings = vec![
        Finding::judged(
            is(mult_adds[0], paper_mult_adds, SAME_COUNT),
            format!("{:.2} % of the multiply-adds (Table 2: {paper_mult_adds})", mult_adds[0]),
        ),
        Finding::judged(
            is(parameters[0], paper_parameters, SAME_COUNT),
            format!("{:.2} % of the parameters (Table 2: {paper_parameters})", parameters[0]),
        ),
        Finding::timed(
            is(time[0], 95.0, SAME_TIME),
            format!(
                "{:.1} % of the time here; depthwise layers take {:.1} %, the first layer {:.1} %, the dense one {:.1} %",
                time[0], time[1], time[2], time[3]
            ),
        ),
        Finding::note(format!(
            "{:.0} % of the time were measured of several layers together and divided as the prediction has it",
            whole.shared_out * 100.0
        )),
    ];
    let row = |(name, shares): (&str, [f64; 5])| Row {
        name: name.to_owned(),
        parts: parts(shares),
        text: String::new(),
        is_second: false,
    };
    let rows = [("multiply-adds", mult_adds), ("parameters", parameters), ("time", time)];
    let text = format!(
        "1x1 convolutions hold {:.0} % of the multiply-adds and take {:.0} % of the time.",
        mult_adds[0], time[0]
    );
    let bars = Bars {
        description: text.clone(),
        title: "share, %".to_owned(),
        most: 100.0,
        rows: rows.map(row).to_vec(),
        legend: legend(),
    };
    Claim {
        title: "Nearly all is in the 1x1 convolutions".to_owned(),
        paper: "95 % of the computation time and 75 % of the parameters are in 1x1 convolutions (section 3.2, Table 2)".to_owned(),
        findings,
        figures: vec![Figure::new(format!("Where {} spends what", whole.member), text, |size| bars.draw(size))],
    }
}
