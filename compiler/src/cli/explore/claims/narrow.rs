//! Claim 4: a narrow network against a shallow one of the same cost.

use mnc_runtime::chart::Scale;

use super::super::chart::{Mark, Point, Scatter, Series};
use super::super::map::Measured;
use super::super::pictures::{Figure, values};
use super::super::published::{NARROW_TOP1, SEPARABLE_TOP1, SHALLOW_TOP1};
use super::{Claim, Evidence, Finding, times};

/// How far the times may be apart to be "similar": their multiply-adds are 6 % apart.
const SIMILAR: f64 = 0.10;

pub(super) fn claim(evidence: Evidence<'_>) -> Claim {
    let Evidence { whole, narrow, shallow, .. } = evidence;
    let ratio = |of: fn(&Measured) -> f64| of(narrow) / of(shallow);
    let time = ratio(|member| member.latency.median);
    let mult_adds = ratio(|member| member.mult_adds as f64);
    let parameters = ratio(|member| member.parameters as f64);
    let gain = NARROW_TOP1 - SHALLOW_TOP1;
    let findings = vec![
        Finding::judged(
            (mult_adds - 1.0).abs() <= SIMILAR,
            format!(
                "counted: {:.0} against {:.0} million multiply-adds ({mult_adds:.2} times), {:.2} against {:.2} million parameters ({parameters:.2} times)",
                narrow.mult_adds as f64 / 1e6,
                shallow.mult_adds as f64 / 1e6,
                narrow.parameters as f64 / 1e6,
                shallow.parameters as f64 / 1e6,
            ),
        ),
        Finding::timed(
            (time - 1.0).abs() <= SIMILAR,
            format!(
                "timed: {:.3} against {:.3} ms, {time:.2} times; {} as fast as the whole network",
                narrow.latency.median,
                shallow.latency.median,
                faster(whole, [narrow, shallow])
            ),
        ),
        Finding::note(format!(
            "accuracy is the paper's own (Table 5, published, not measured here): {NARROW_TOP1} against {SHALLOW_TOP1} % top-1, {gain:.1} points for the narrow one"
        )),
    ];
    let point = |member: &Measured, top1: f64, name: &str| Point {
        at: (member.latency.median, top1),
        name: name.to_owned(),
        hint: format!("{name}: {:.3} ms, top-1 {top1} %", member.latency.median),
        is_main: true,
    };
    let series =
        |colour, points| Series { colour, mark: Mark::Circle, name: String::new(), points, is_joined: true };
    let scatter = Scatter {
        description: "Accuracy against latency of a narrow and of a shallow network".to_owned(),
        x: values("median latency, ms", Scale::Linear),
        y: values("top-1 accuracy, %, Table 5", Scale::Linear),
        series: vec![
            series(
                0,
                vec![
                    point(whole, SEPARABLE_TOP1, "whole: alpha 1.0"),
                    point(narrow, NARROW_TOP1, "narrow: alpha 0.75"),
                ],
            ),
            series(
                1,
                vec![
                    point(whole, SEPARABLE_TOP1, ""),
                    point(shallow, SHALLOW_TOP1, "shallow: five blocks less"),
                ],
            ),
        ],
        lines: Vec::new(),
    };
    let text = format!(
        "From the whole network, two ways to about the same time: a narrower one loses {:.1} points of published top-1, a shallower one {:.1}.",
        SEPARABLE_TOP1 - NARROW_TOP1,
        SEPARABLE_TOP1 - SHALLOW_TOP1
    );
    Claim {
        title: "Narrower is better than shallower at the same cost".to_owned(),
        paper: "at similar cost and parameters, alpha 0.75 is 3 points better than five layers less (section 4.1, Table 5)".to_owned(),
        findings,
        figures: vec![Figure::new("Narrow against shallow", text, |size| scatter.draw(size))],
    }
}

fn faster(whole: &Measured, others: [&Measured; 2]) -> String {
    let [a, b] = others.map(|other| times(whole.latency.median / other.latency.median));
    if a == b { format!("{a} times") } else { format!("{a} and {b} times") }
}
