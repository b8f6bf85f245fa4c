//! The keys of `[detect]`.

use super::super::detect::{
    DetectSpec, Extra, MAX_CANDIDATES, MAX_CELL_PRIORS, MAX_PRIOR_MAPS, Order, PriorMap, Priors, Probability,
    Unit,
};
use super::super::source::{Section, Source, quote};
use super::super::{MAX_CHANNELS, MAX_OUTPUTS, MAX_STRIDE};

/// Sides of a prior, in either unit.
const SIDES: std::ops::RangeInclusive<f64> = 1e-3..=65536.0;
const RATIOS: std::ops::RangeInclusive<f64> = 0.01..=100.0;
/// Pixels from cell to cell: the product of five strides of the largest kind.
const MAX_CELL: usize = MAX_STRIDE.pow(5);

/// The table, if there is one. `outputs` are the names of the network's outputs.
pub(super) fn read_detect(
    source: &Source<'_>,
    file: &Section<'_>,
    outputs: &[String],
    classes: usize,
) -> Option<DetectSpec> {
    let section = file.section("detect")?;
    section.only(&[
        "scores",
        "locations",
        "probability",
        "background",
        "threshold",
        "overlap",
        "candidates",
        "most_boxes",
        "order",
        "center_variance",
        "size_variance",
        "clip",
        "unit",
        "priors",
    ]);
    let scores = read_names(source, &section, "scores", outputs);
    let locations = read_names(source, &section, "locations", outputs);
    if let Some(both) = locations.iter().find(|name| scores.contains(name)) {
        section.fault(
            "locations",
            format!("`locations`: found {both:?}, which has the scores, expected another output"),
        );
    }
    let probabilities = [
        ("softmax", Probability::Softmax),
        ("sigmoid", Probability::Sigmoid),
        ("values", Probability::Values),
    ];
    let probability = section.required_choice("probability", &probabilities).unwrap_or(Probability::Sigmoid);
    let background = section
        .has("background")
        .then(|| section.integer("background", 0..=classes.clamp(1, MAX_CHANNELS) - 1, None));
    if probability == Probability::Softmax && background.is_none() {
        section
            .missing("`background`", "the class that is no object, as every softmax of a detector has one");
    }
    if background.is_some() && classes == 1 {
        section
            .fault("background", "`background`: found the only class, expected `classes` above 1".to_owned());
    }
    let candidates = section.integer("candidates", 1..=MAX_CANDIDATES, Some(400));
    let orders = [("xywh", Order::Xywh), ("yxhw", Order::Yxhw)];
    let spec = DetectSpec {
        probability,
        background,
        threshold: section.number("threshold", 0.0..=DetectSpec::MAX_THRESHOLD, Some(0.5)),
        overlap: section.number("overlap", 0.0..=1.0, Some(0.5)),
        candidates,
        most_boxes: section.integer("most_boxes", 1..=candidates, Some(candidates.min(100))),
        order: section.choice("order", &orders, Order::Xywh),
        center_variance: section.number("center_variance", DetectSpec::VARIANCES, None),
        size_variance: section.number("size_variance", DetectSpec::VARIANCES, None),
        clip: section.boolean("clip", false),
        priors: read_priors(&section),
        scores,
        locations,
    };
    let n_maps = spec.n_maps();
    for (key, names) in [("scores", &spec.scores), ("locations", &spec.locations)] {
        if !names.is_empty() && n_maps != 0 && names.len() != n_maps && names.len() != 1 {
            let detail = format!(
                "`{key}`: found {} outputs for {n_maps} maps of priors, expected {n_maps}, or one that has all",
                names.len()
            );
            section.fault(key, detail);
        }
    }
    Some(spec)
}

/// Names of outputs, each once.
fn read_names(source: &Source<'_>, section: &Section<'_>, key: &str, outputs: &[String]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for (at, name) in section.names(key, MAX_OUTPUTS - 1) {
        let found = quote(&name);
        if !outputs.contains(&name) {
            source.fault(at, format!("`{key}`: found {found}, expected one of the names in `outputs`"));
        } else if names.contains(&name) {
            source.fault(at, format!("`{key}`: found {found} twice, expected each output once"));
        }
        names.push(name);
    }
    names
}

fn read_priors(section: &Section<'_>) -> Priors {
    if section.is_table("priors") {
        if section.has("unit") {
            let detail = "`unit` has no meaning where `priors` is a rule of scales, expected it absent";
            section.fault("unit", detail.to_owned());
        }
        return read_scales(&section.section("priors").expect("it is a table"));
    }
    let units = [("pixels", Unit::Pixels), ("input", Unit::Input)];
    let unit = section.choice("unit", &units, Unit::Pixels);
    let maps = section.sections("priors");
    if MAX_PRIOR_MAPS < maps.len() {
        let detail = format!("`priors`: found {} maps, expected at most {MAX_PRIOR_MAPS}", maps.len());
        section.fault("priors", detail);
    }
    Priors::Maps { unit, maps: maps.iter().take(MAX_PRIOR_MAPS).map(read_map).collect() }
}

fn read_map(map: &Section<'_>) -> PriorMap {
    map.only(&["sizes", "ratios", "stride"]);
    let sides = map.sizes("sizes", MAX_CELL_PRIORS, SIDES);
    let ratios = if map.has("ratios") { map.list("ratios", MAX_CELL_PRIORS, RATIOS) } else { vec![1.0] };
    if map.has("ratios") && sides.iter().any(|[width, height]| width != height) {
        let detail = "`ratios` has no meaning where `sizes` has widths and heights, expected it absent";
        map.fault("ratios", detail.to_owned());
    }
    let sizes: Vec<[f64; 2]> = sides
        .iter()
        .flat_map(|[w, h]| ratios.iter().map(move |ratio| [w * ratio.sqrt(), h / ratio.sqrt()]))
        .collect();
    if MAX_CELL_PRIORS < sizes.len() {
        let detail = format!("`sizes`: found {} priors, expected at most {MAX_CELL_PRIORS}", sizes.len());
        map.fault("sizes", detail);
    }
    let stride = map.has("stride").then(|| map.sides("stride", 1..=MAX_CELL, 1));
    PriorMap { sizes, stride }
}

fn read_scales(rule: &Section<'_>) -> Priors {
    rule.only(&["first", "last", "ratios", "extra", "reduced"]);
    let extras = [("none", Extra::None), ("second", Extra::Second), ("last", Extra::Last)];
    Priors::Scales {
        first: rule.number("first", 0.001..=1.0, None),
        last: rule.number("last", 0.001..=1.0, None),
        ratios: rule.list("ratios", MAX_CELL_PRIORS - 1, RATIOS),
        extra: rule.choice("extra", &extras, Extra::None),
        reduced: rule.boolean("reduced", false),
    }
}
