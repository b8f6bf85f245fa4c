//! A map -> its pictures.

use mnc_runtime::chart::Scale;
use mnc_runtime::measured::unit;

use super::super::text::size as bytes;
use super::budget::Budgets;
use super::chart::{Bars, Line, Mark, Part, Point, Row, Scatter, Series, Size, Values};
use super::dtype::Dtype;
use super::map::{Map, Measured};

/// A picture with what there is to see in it.
#[derive(Clone, Debug)]
pub(super) struct Figure {
    pub(super) title: String,
    pub(super) text: String,
    pub(super) wide: String,
    pub(super) narrow: String,
}

impl Figure {
    pub(super) fn new(title: impl Into<String>, text: String, draw: impl Fn(Size) -> String) -> Figure {
        Figure { title: title.into(), text, wide: draw(Size::Wide), narrow: draw(Size::Narrow) }
    }
}

/// Every picture that the map has the numbers for.
pub(super) fn all(map: &Map, budgets: &Budgets) -> Vec<Figure> {
    let figures = [
        accuracy_by_latency(map, budgets),
        accuracy_by_size(map, budgets),
        Some(latency_by_mult_adds(map)),
        Some(kinds(map)),
        predicted(map),
    ];
    figures.into_iter().flatten().collect()
}

pub(super) fn values(title: impl Into<String>, scale: Scale) -> Values {
    Values { title: title.into(), scale }
}

/// The alphas of a map in order of first appearance: each has a colour.
fn alphas(map: &Map) -> Vec<f64> {
    let mut alphas: Vec<f64> = Vec::new();
    for member in &map.members {
        if !alphas.contains(&member.member.alpha) {
            alphas.push(member.member.alpha);
        }
    }
    alphas
}

/// How many colours the style has.
pub(super) const N_COLOURS: usize = 8;

fn hint(member: &Measured) -> String {
    let accuracy = member.top1().map_or(String::new(), |top1| format!(", top-1 {top1:.1} %"));
    format!(
        "{}: {:.3} ms{accuracy}, {}",
        member.member,
        member.latency.median,
        bytes(member.executable_bytes)
    )
}

/// Dtypes are told apart by the form of their dots, alphas by colour.
fn mark(dtype: Dtype) -> Mark {
    match dtype {
        Dtype::F32 => Mark::Circle,
        Dtype::Int8 => Mark::Square,
    }
}

/// The line of a dtype's peak: the class of its style, and how it looks.
fn guide(dtype: Dtype) -> (&'static str, &'static str) {
    match dtype {
        Dtype::F32 => ("guide", "dashed"),
        Dtype::Int8 => ("guide faint", "dotted"),
    }
}

/// Which dots are which, in a sentence with a space before it; nothing where all are of one dtype.
fn marks(map: &Map) -> String {
    let word = |dtype| match mark(dtype) {
        Mark::Circle => format!("circles are {dtype}"),
        Mark::Square => format!("squares are {dtype}"),
    };
    match map.dtypes().map(word).collect::<Vec<_>>() {
        words if words.len() < 2 => String::new(),
        words => format!(" Of the dots {}.", words.join(", ")),
    }
}

/// One series an alpha and dtype, its dots in order of cost.
fn by_alpha(
    map: &Map,
    at: impl Fn(&Measured) -> Option<(f64, f64)>,
    name: impl Fn(&Measured) -> String,
    is_main: impl Fn(&Measured) -> bool,
) -> Vec<Series> {
    let series = |(idx, alpha): (usize, f64), dtype: Dtype| {
        let of_alpha = map.of(dtype).filter(|member| member.member.alpha == alpha);
        let point = |member: &Measured| {
            Some(Point { at: at(member)?, name: name(member), hint: hint(member), is_main: is_main(member) })
        };
        let mut points: Vec<Point> = of_alpha.filter_map(point).collect();
        points.sort_by(|a, b| b.at.0.total_cmp(&a.at.0));
        let name = match dtype {
            Dtype::F32 => format!("alpha {alpha:?}"),
            dtype => format!("alpha {alpha:?} {dtype}"),
        };
        Series { colour: idx % N_COLOURS, mark: mark(dtype), name, points, is_joined: true }
    };
    let of_alpha = |alpha: (usize, f64)| map.dtypes().map(move |dtype| (alpha, dtype));
    let all = alphas(map).into_iter().enumerate().flat_map(of_alpha);
    all.map(|(alpha, dtype)| series(alpha, dtype)).filter(|series| !series.points.is_empty()).collect()
}

/// Values on either side of all members', for lines through the whole plot.
fn around(map: &Map, of: impl Fn(&Measured) -> f64) -> [f64; 2] {
    let values = || map.members.iter().map(&of);
    [values().fold(f64::INFINITY, f64::min) / 2.0, values().fold(0.0, f64::max) * 2.0]
}

fn latency_by_mult_adds(map: &Map) -> Figure {
    let at = |member: &Measured| Some((member.mult_adds as f64 / 1e6, member.latency.median));
    let peak = |dtype: Dtype| {
        let peak = map.of(dtype).filter_map(|member| member.fma_peak_gflops).reduce(f64::max)?;
        Some((dtype, peak * map.setting.threads as f64))
    };
    let peaks: Vec<(Dtype, f64)> = map.dtypes().filter_map(peak).collect();
    let lines = peaks.iter().map(|(dtype, peak)| Line {
        class: guide(*dtype).0,
        points: around(map, |member| member.mult_adds as f64 / 1e6)
            .map(|millions| (millions, 2.0 * millions / peak))
            .to_vec(),
        name: String::new(),
    });
    // Of those of one dtype.
    let of_first = || map.of(map.members[0].member.dtype);
    let largest = of_first().max_by_key(|member| member.mult_adds).expect("a map has members");
    let smallest = of_first().min_by_key(|member| member.mult_adds).expect("a map has members");
    let speed = |(dtype, peak): &(Dtype, f64)| format!("{} {}", peak.round(), unit(dtype.is_int8()));
    let text = format!(
        "{} does {:.1} times the multiply-adds of {} and takes {:.1} times as long. {}{}{}",
        largest.member,
        largest.mult_adds as f64 / smallest.mult_adds as f64,
        smallest.member,
        largest.latency.median / smallest.latency.median,
        map.beside_f32().map_or(String::new(), |text| format!("{text}. ")),
        match &peaks[..] {
            [] => String::new(),
            [peak] =>
                format!("The line is what {}, the measured peak of multiply-adds, would take.", speed(peak)),
            peaks => {
                let one = |peak: &(Dtype, f64)| format!("{} {} in {}", guide(peak.0).1, speed(peak), peak.0);
                let each: Vec<String> = peaks.iter().map(one).collect();
                let each = each.join(", ");
                format!("The lines are what the measured peaks of multiply-adds would take: {each}.")
            }
        },
        marks(map),
    );
    let scatter = Scatter {
        description: format!("Latency against multiply-adds. {text}"),
        x: values("million multiply-adds", Scale::Log),
        y: values("median latency, ms", Scale::Log),
        series: by_alpha(map, at, |member| member.member.side(), |_| true),
        lines: lines.collect(),
    };
    Figure::new("Latency against multiply-adds", text, |size| scatter.draw(size))
}

/// The front as stairs: what it takes to be this accurate.
fn stairs(front: &[&Measured], cost: impl Fn(&Measured) -> f64) -> Line {
    let mut points: Vec<(f64, f64)> = Vec::new();
    for member in front {
        let (x, y) = (cost(member), member.top1().unwrap_or(f64::NAN));
        if let Some((_, last)) = points.last() {
            points.push((x, *last));
        }
        points.push((x, y));
    }
    Line { class: "front", points, name: String::new() }
}

/// Accuracy against one cost, with the front and the budget of that cost.
fn accuracy_by(
    map: &Map,
    (title, cost): (&str, fn(&Measured) -> f64),
    budget: Option<(f64, String)>,
) -> Option<Scatter> {
    let front = map.front(cost);
    let at = |member: &Measured| Some((cost(member), member.top1()?));
    let on_front = |member: &Measured| front.iter().any(|other| other.member == member.member);
    let series: Vec<Series> = by_alpha(map, at, |member| member.member.to_string(), on_front)
        .into_iter()
        // The dots carry alpha in their names.
        .map(|series| Series { name: String::new(), is_joined: false, ..series })
        .collect();
    if series.is_empty() {
        return None;
    }
    let mut lines = vec![stairs(&front, cost)];
    lines.extend(budget.map(|(limit, name)| Line {
        class: "limit",
        points: [0.0, 100.0].map(|accuracy| (limit, accuracy)).to_vec(),
        name,
    }));
    Some(Scatter {
        description: format!("Accuracy against {title}, with the Pareto front"),
        x: values(title, Scale::Log),
        y: values(format!("top-1 accuracy, %, {}", map.accuracy_source.word()), Scale::Linear),
        series,
        lines,
    })
}

fn front_text(map: &Map, cost: fn(&Measured) -> f64, better: &str) -> String {
    let front = map.front(cost);
    format!(
        "Filled dots and the line: the {} of {} members that no other beats, by being both {better} and more accurate. \
         Accuracy: {}.{}",
        front.len(),
        map.members.len(),
        map.accuracy_source.text(),
        marks(map),
    )
}

const LATENCY: (&str, fn(&Measured) -> f64) = ("median latency, ms", |member| member.latency.median);

pub(super) fn accuracy_by_latency(map: &Map, budgets: &Budgets) -> Option<Figure> {
    let budget = budgets.latency_ms.map(|ms| (ms, format!("{ms} ms allowed")));
    let scatter = accuracy_by(map, LATENCY, budget)?;
    let text = front_text(map, LATENCY.1, "faster");
    Some(Figure::new("Accuracy against latency: the front", text, |size| scatter.draw(size)))
}

fn accuracy_by_size(map: &Map, budgets: &Budgets) -> Option<Figure> {
    let cost: fn(&Measured) -> f64 = |member| member.executable_bytes as f64 / 1e6;
    let budget =
        budgets.executable_bytes.map(|limit| (limit as f64 / 1e6, format!("{} allowed", bytes(limit))));
    let scatter = accuracy_by(map, ("size of the executable, MB", cost), budget)?;
    let text = front_text(map, cost, "smaller");
    Some(Figure::new("Accuracy against size", text, |size| scatter.draw(size)))
}

/// Each kind with a colour that it has in all pictures.
pub(super) const KINDS: [(&str, &str, usize); 5] = [
    ("pointwise", "1x1 convolutions", 0),
    ("depthwise 3x3", "depthwise 3x3", 1),
    ("conv 3x3", "standard 3x3", 2),
    ("dense", "dense", 3),
    ("", "the rest", 4),
];

/// The part of each of [`KINDS`] in a whole, in percent.
pub(super) fn shares(kinds: impl Iterator<Item = (String, f64)>) -> [f64; KINDS.len()] {
    let mut sums = [0.0; KINDS.len()];
    for (kind, value) in kinds {
        let idx = KINDS.iter().position(|(known, ..)| *known == kind).unwrap_or(KINDS.len() - 1);
        sums[idx] += value;
    }
    let whole: f64 = sums.iter().sum();
    sums.map(|sum| if whole == 0.0 { 0.0 } else { 100.0 * sum / whole })
}

/// Parts of a bar of 100.
pub(super) fn parts(shares: [f64; KINDS.len()]) -> Vec<Part> {
    let part = |(share, (_, name, colour)): (f64, (&str, &str, usize))| Part {
        colour,
        value: share,
        text: if share < 0.05 { name.to_owned() } else { format!("{share:.1}") },
    };
    shares.into_iter().zip(KINDS).map(part).collect()
}

pub(super) fn legend() -> Vec<(usize, String)> {
    KINDS.map(|(_, name, colour)| (colour, name.to_owned())).to_vec()
}

/// The shares of time of a member's kinds of layers.
pub(super) fn time_shares(member: &Measured) -> [f64; KINDS.len()] {
    shares(member.kinds.iter().map(|kind| (kind.kind.clone(), kind.microseconds)))
}

fn kinds(map: &Map) -> Figure {
    let row = |member: &Measured| Row {
        name: member.member.to_string(),
        parts: parts(time_shares(member)),
        text: format!("{:.3} ms", member.latency.median),
        is_second: false,
    };
    let of_pointwise = || map.members.iter().map(|member| time_shares(member)[0]);
    let (least, most) = (of_pointwise().fold(100.0, f64::min), of_pointwise().fold(0.0, f64::max));
    let shared = map.members.iter().map(|member| member.shared_out).fold(0.0, f64::max);
    let text = format!(
        "1x1 convolutions take {least:.0} to {most:.0} % of the time. Layers that are computed together, a few rows at a time, are \
         measured together: their time, up to {:.0} % of a network's, is divided {}.",
        shared * 100.0,
        match (map.median_error().is_some(), map.no_prediction().is_empty()) {
            (true, true) => "as the prediction has it",
            (true, false) => "as the prediction has it, without one by their multiply-adds",
            (false, _) => "by their multiply-adds",
        },
    );
    let bars = Bars {
        description: format!("Time by kind of layer. {text}"),
        title: "share of the time of all layers, %".to_owned(),
        most: 100.0,
        rows: map.members.iter().map(row).collect(),
        legend: legend(),
    };
    Figure::new("Time by kind of layer", text, |size| bars.draw(size))
}

fn predicted(map: &Map) -> Option<Figure> {
    let error = map.median_error()?;
    let n_predicted = map.members.iter().filter(|member| member.predicted_ms.is_some()).count();
    let worst = map.members.iter().max_by(|a, b| {
        let size = |member: &Measured| member.error().map_or(0.0, f64::abs);
        size(a).total_cmp(&size(b))
    })?;
    let text = format!(
        "Predicted from the counts, the peak and the read speeds of this machine, before anything was compiled: half of the {} \
         predictions are within {:.1} % of the measured median, all within {:.1} % ({}). The band is 15 % to either side. The \
         shares of peak that it assumes were measured on other networks than those of the paper.{}",
        n_predicted,
        error * 100.0,
        worst.error()?.abs() * 100.0,
        worst.member,
        marks(map),
    );
    let ends = around(map, |member| member.latency.median);
    let along = |factor: f64| ends.map(|ms| (ms, ms * factor)).to_vec();
    let line = |class, factor| Line { class, points: along(factor), name: String::new() };
    let scatter = Scatter {
        description: format!("Measured against predicted latency. {text}"),
        x: values("predicted, ms", Scale::Log),
        y: values("measured median, ms", Scale::Log),
        series: by_alpha(
            map,
            |member| Some((member.predicted_ms?, member.latency.median)),
            |member| member.member.side(),
            |_| true,
        )
        .into_iter()
        .map(|series| Series { is_joined: false, ..series })
        .collect(),
        lines: vec![line("guide", 1.0), line("guide faint", 1.15), line("guide faint", 1.0 / 1.15)],
    };
    Some(Figure::new("Predicted against measured", text, |size| scatter.draw(size)))
}
