//! Claim 3: the laws of the two knobs.

use mnc::cost::{Kind, Report};
use mnc::describe;
use mnc::graph::{Graph, Knobs, Resolution};
use mnc_runtime::chart::Scale;

use super::super::chart::{Line, Mark, Point, Scatter, Series};
use super::super::map::{Map, Measured};
use super::super::pictures::{Figure, N_COLOURS, values};
use super::{Claim, Evidence, Finding, times};

/// How far an exponent may be from 2 for "roughly": 10 %.
const ROUGHLY: f64 = 0.2;

/// MobileNetV1 with these knobs.
pub(super) fn graph(alpha: f64, resolution: Resolution) -> Graph {
    let description = describe::builtin("mobilenet-v1").expect("it is built in").description();
    let knobs = Knobs { alpha, resolution: Some(resolution) };
    Graph::build(&description, &knobs).expect("a network of these knobs was compiled before")
}

pub(super) fn claim(evidence: Evidence<'_>) -> Claim {
    let map = evidence.map;
    let mut findings = Vec::new();
    let time = fit(map, |member| member.latency.median);
    let mult_adds = fit(map, |member| member.mult_adds as f64);
    let is_square = |exponent: f64| (exponent - 2.0).abs() <= ROUGHLY;
    match (time, mult_adds) {
        (Some(time), Some(mult_adds)) => {
            for (name, time, counted) in
                [("alpha", time.alpha, mult_adds.alpha), ("rho", time.rho, mult_adds.rho)]
            {
                findings.push(Finding::timed(
                    is_square(time),
                    format!(
                        "time grows with {name} to the power of {time:.2}; multiply-adds with {counted:.2}"
                    ),
                ));
            }
            findings.push(Finding::note(format!(
                "the two powers together give each time within {:.0} % (fitted to the medians of the {} members)",
                time.worst * 100.0,
                map.members.len()
            )));
        }
        _ => findings.push(Finding::note(
            "time was not fitted: the map has one alpha or one resolution only".to_owned(),
        )),
    }
    findings.extend(parameters(map));
    Claim {
        title: "Cost falls with the square of alpha and of rho, parameters with that of alpha".to_owned(),
        paper: "computational cost and parameters fall by roughly alpha², cost by rho²; rho leaves the parameters alone \
                (sections 3.3 and 3.4)"
            .to_owned(),
        findings,
        figures: vec![picture(map)],
    }
}

/// A law: constant * alpha^a * rho^r.
struct Law {
    alpha: f64,
    rho: f64,
    /// The largest distance of a value from the law, as a share.
    worst: f64,
}

/// Least squares over the logarithms. `None` where a knob has one value only.
fn fit(map: &Map, value: impl Fn(&Measured) -> f64) -> Option<Law> {
    // Sides stand for rho: a constant factor is no matter to an exponent.
    let rho = |member: &Measured| ((member.member.height * member.member.width) as f64).sqrt().ln();
    let rows: Vec<[f64; 3]> = map
        .members
        .iter()
        .map(|member| [member.member.alpha.ln(), rho(member), value(member).ln()])
        .collect();
    let mean = |column: usize| rows.iter().map(|row| row[column]).sum::<f64>() / rows.len() as f64;
    let means = [mean(0), mean(1), mean(2)];
    let product =
        |a: usize, b: usize| rows.iter().map(|row| (row[a] - means[a]) * (row[b] - means[b])).sum::<f64>();
    let determinant = product(0, 0) * product(1, 1) - product(0, 1).powi(2);
    if determinant < 1e-9 {
        return None;
    }
    let alpha = (product(0, 2) * product(1, 1) - product(1, 2) * product(0, 1)) / determinant;
    let rho = (product(1, 2) * product(0, 0) - product(0, 2) * product(0, 1)) / determinant;
    let constant = means[2] - alpha * means[0] - rho * means[1];
    let distance = |row: &[f64; 3]| ((row[2] - constant - alpha * row[0] - rho * row[1]).exp() - 1.0).abs();
    Some(Law { alpha, rho, worst: rows.iter().map(distance).fold(0.0, f64::max) })
}

/// Parameters are counted, not measured: by alpha over the whole network and over its 1x1 convolutions, and by rho.
fn parameters(map: &Map) -> Vec<Finding> {
    let alphas = || map.members.iter().map(|member| member.member.alpha);
    let (least, most) = (alphas().fold(f64::INFINITY, f64::min), alphas().fold(0.0, f64::max));
    let mut findings = Vec::new();
    if least < most {
        let counts = [least, most].map(|alpha| {
            let report = Report::of(&graph(alpha, map.members[0].member.resolution()));
            let pointwise = report.kinds.iter().find(|kind| kind.kind == Kind::Pointwise);
            [report.total.parameters, pointwise.map_or(0, |kind| kind.cost.parameters)]
        });
        let exponent =
            |idx: usize| (counts[1][idx] as f64 / counts[0][idx] as f64).ln() / (most / least).ln();
        findings.push(Finding::judged(
            (exponent(1) - 2.0).abs() <= ROUGHLY,
            format!(
                "parameters of the 1x1 convolutions grow with alpha to the power of {:.2} (from alpha {least:?} to {most:?})",
                exponent(1)
            ),
        ));
        findings.push(Finding::judged(
            (exponent(0) - 2.0).abs() <= ROUGHLY,
            format!(
                "parameters of the whole network only with {:.2}: the dense layer has alpha times as many, not alpha²",
                exponent(0)
            ),
        ));
    }
    let differs = map.members.iter().any(|member| {
        let of_alpha = |other: &&Measured| other.member.alpha == member.member.alpha;
        map.members.iter().filter(of_alpha).any(|other| other.parameters != member.parameters)
    });
    findings.push(Finding::judged(
        !differs,
        "parameters are the same at every resolution, counted for each member".to_owned(),
    ));
    findings
}

/// Time against alpha² rho², both set against the largest member, with the law as a line.
fn picture(map: &Map) -> Figure {
    let law = |member: &Measured| {
        let pixels = (member.member.height * member.member.width) as f64;
        member.member.alpha.powi(2) * pixels
    };
    let largest = map.members.iter().max_by(|a, b| law(a).total_cmp(&law(b))).expect("a map has members");
    let relative =
        |member: &Measured| (law(member) / law(largest), member.latency.median / largest.latency.median);
    let excess = |member: &Measured| {
        let (x, y) = relative(member);
        y / x
    };
    let worst = map.members.iter().max_by(|a, b| excess(a).total_cmp(&excess(b))).expect("a map has members");
    let mut alphas: Vec<f64> = map.members.iter().map(|member| member.member.alpha).collect();
    alphas.dedup();
    let series = alphas.iter().enumerate().map(|(idx, alpha)| {
        let of_alpha = map.members.iter().filter(|member| member.member.alpha == *alpha);
        let point = |member: &Measured| Point {
            at: relative(member),
            name: member.member.side(),
            hint: format!("{}: {} times alpha² rho²", member.member, times(excess(member))),
            is_main: true,
        };
        Series {
            colour: idx % N_COLOURS,
            mark: Mark::Circle,
            name: format!("alpha {alpha:?}"),
            points: of_alpha.map(point).collect(),
            is_joined: false,
        }
    });
    let text = format!(
        "Time, set against {}. On the line it would be in proportion to alpha² rho²; {} is farthest above it, with {} times what the law \
         says. First layer, depthwise layers and dense layer shrink with alpha, not with its square.",
        largest.member,
        worst.member,
        times(excess(worst))
    );
    let line = Line {
        class: "guide",
        points: [1e-6, 10.0].map(|value| (value, value)).to_vec(),
        name: String::new(),
    };
    let scatter = Scatter {
        description: text.clone(),
        x: values(format!("alpha² rho², {} = 1", largest.member), Scale::Log),
        y: values(format!("time, {} = 1", largest.member), Scale::Log),
        series: series.collect(),
        lines: vec![line],
    };
    Figure::new("Time against alpha² rho²", text, |size| scatter.draw(size))
}
