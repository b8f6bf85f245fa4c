//! `[detect]` meets the outputs: the cells of each map of priors, and where their numbers lie.

use mnc_runtime::detect::{Map, Probability, Rule};
use mnc_runtime::info::Detect;

use super::super::NodeId;
use super::super::shape::Shape;
use super::Builder;
use crate::describe::Sides;
use crate::describe::detect::{DetectSpec, Extra, MAX_CANDIDATES, PriorMap, Priors, Unit};
use crate::error::{ErrorKind, Faults, Place, Result};

/// Numbers of a box.
const N_NUMBERS: usize = 4;

/// Outputs that have the numbers of one sort.
struct Numbers<'a> {
    /// The key that names them.
    key: &'static str,
    /// Numbers of a prior, and what they are.
    of_prior: usize,
    /// Each output's name, shape and first element.
    outputs: Vec<(&'a str, Shape, usize)>,
}

impl Builder<'_> {
    /// The detector that the description speaks of.
    pub(super) fn detect(&self, outputs: &[NodeId], names: &[String]) -> Result<Option<Detect>> {
        let Some(spec) = &self.description.detect else { return Ok(None) };
        let mut faults = Faults::new(ErrorKind::Graph);
        check(spec, self.description.classes, &mut faults);
        let input = self.nodes[0].shape();
        let mut first = 0;
        let mut places = Vec::new();
        for (id, name) in outputs.iter().zip(names) {
            let shape = self.nodes[id.0].shape();
            places.push((name.as_str(), shape, first));
            first += shape.len();
        }
        let mut find = |key: &'static str, names: &[String], of_prior: usize| {
            let find = |name: &String| {
                let found = places.iter().copied().find(|(other, ..)| other == name);
                if found.is_none() {
                    let detail = format!("{key}: found {name:?}, expected the name of an output");
                    faults.push(Place::named("detect"), detail);
                }
                found
            };
            let outputs: Vec<_> = names.iter().map(find).collect();
            Numbers { key, of_prior, outputs: outputs.into_iter().flatten().collect() }
        };
        let scores = find("scores", &spec.scores, self.description.classes);
        let locations = find("locations", &spec.locations, N_NUMBERS);
        // What is missing has no shape to go on with.
        faults.propagate()?;
        let mut faults = Faults::new(ErrorKind::Graph);
        let maps = Maps { spec, input, scores, locations }.read(&mut faults);
        faults.propagate()?;
        Ok(Some(Detect { rule: rule(spec, self.description.classes), maps }))
    }
}

/// Numbers that no file could have.
fn check(spec: &DetectSpec, classes: usize, faults: &mut Faults) {
    let mut expect = |is_legal: bool, what: &str| {
        if !is_legal {
            faults.push(Place::named("detect"), format!("found {what}, expected what a description may say"));
        }
    };
    let n_maps = spec.n_maps();
    expect((0.0..=DetectSpec::MAX_THRESHOLD).contains(&spec.threshold), "a threshold out of its range");
    expect((0.0..=1.0).contains(&spec.overlap), "an overlap out of its range");
    expect((1..=MAX_CANDIDATES).contains(&spec.candidates), "candidates out of their range");
    expect((1..=spec.candidates).contains(&spec.most_boxes), "most boxes out of their range");
    for variance in [spec.center_variance, spec.size_variance] {
        expect(DetectSpec::VARIANCES.contains(&variance), "a variance out of its range");
    }
    expect(
        spec.background.is_none_or(|class| class < classes && 1 < classes),
        "a background that is no class",
    );
    for names in [&spec.scores, &spec.locations] {
        expect(
            n_maps != 0 && (names.len() == n_maps || names.len() == 1),
            "another number of outputs than of maps",
        );
    }
}

fn rule(spec: &DetectSpec, n_classes: usize) -> Rule {
    Rule {
        probability: spec.probability,
        n_classes,
        background: spec.background,
        threshold: spec.threshold,
        least: least(spec.probability, spec.threshold),
        overlap: spec.overlap,
        candidates: spec.candidates,
        most_boxes: spec.most_boxes,
        order: spec.order,
        center_variance: spec.center_variance,
        size_variance: spec.size_variance,
    }
}

/// A bound below which no score passes the threshold. A millionth of room is more than any logarithm or exponential is off, and
/// the rounding gives the same bound on every machine that compiles.
fn least(probability: Probability, threshold: f64) -> f64 {
    /// exp of it is 0.
    const NEVER: f64 = -1000.0;
    let exact = match probability {
        Probability::Softmax => threshold.ln(),
        Probability::Sigmoid => (threshold / (1.0 - threshold)).ln(),
        Probability::Values => return threshold,
    };
    (exact * 1e6).floor().max(NEVER * 1e6) / 1e6 - 1e-6
}

/// What the cells are worked out of.
struct Maps<'a> {
    spec: &'a DetectSpec,
    input: Shape,
    scores: Numbers<'a>,
    locations: Numbers<'a>,
}

impl Maps<'_> {
    fn read(&self, faults: &mut Faults) -> Vec<Map<Vec<[f64; 2]>>> {
        let n_maps = self.spec.n_maps();
        let mut maps = Vec::new();
        for idx in 0..n_maps {
            let (mut priors, stride) = self.priors(idx, n_maps);
            if self.spec.clip {
                priors.iter_mut().flatten().for_each(|side| *side = side.min(1.0));
            }
            let Some((rows, columns)) = self.cells(idx, n_maps, stride, faults) else { continue };
            let divisors = match stride {
                Some(Sides { rows, columns }) => {
                    [self.input.height as f64 / rows as f64, self.input.width as f64 / columns as f64]
                }
                None => [rows as f64, columns as f64],
            };
            maps.push(Map { rows, columns, divisors, scores: 0, locations: 0, priors });
        }
        if maps.len() == n_maps {
            let scores = place(&self.scores, &maps, faults);
            let locations = place(&self.locations, &maps, faults);
            for ((map, scores), locations) in maps.iter_mut().zip(scores).zip(locations) {
                (map.scores, map.locations) = (scores, locations);
            }
        }
        maps
    }

    /// Width and height of the priors of a cell, of an input of 1 x 1, and the stride.
    fn priors(&self, idx: usize, n_maps: usize) -> (Vec<[f64; 2]>, Option<Sides>) {
        match &self.spec.priors {
            Priors::Maps { unit, maps } => {
                let PriorMap { sizes, stride } = &maps[idx];
                let (width, height) = match unit {
                    Unit::Pixels => (self.input.width as f64, self.input.height as f64),
                    Unit::Input => (1.0, 1.0),
                };
                (sizes.iter().map(|[w, h]| [w / width, h / height]).collect(), *stride)
            }
            Priors::Scales { first, last, ratios, extra, reduced } => {
                let scale = |idx: usize| match n_maps {
                    1 => *first,
                    _ => first + (last - first) * idx as f64 / (n_maps - 1) as f64,
                };
                let shape = |scale: f64, ratio: f64| [scale * ratio.sqrt(), scale / ratio.sqrt()];
                let this = scale(idx);
                if *reduced && idx == 0 {
                    return (vec![shape(0.1, 1.0), shape(this, 2.0), shape(this, 0.5)], None);
                }
                let next = if idx + 1 == n_maps { 1.0 } else { scale(idx + 1) };
                let mut priors: Vec<[f64; 2]> = ratios.iter().map(|ratio| shape(this, *ratio)).collect();
                let between = shape((this * next).sqrt(), 1.0);
                match extra {
                    Extra::None => {}
                    Extra::Second => priors.insert(priors.len().min(1), between),
                    Extra::Last => priors.push(between),
                }
                (priors, None)
            }
        }
    }

    /// Rows and columns of a map: those of its outputs, or those that its stride gives.
    fn cells(
        &self,
        idx: usize,
        n_maps: usize,
        stride: Option<Sides>,
        faults: &mut Faults,
    ) -> Option<(usize, usize)> {
        let place = || Place::named("detect");
        let of_stride = stride.map(|stride| {
            (self.input.height.div_ceil(stride.rows), self.input.width.div_ceil(stride.columns))
        });
        let mut known = of_stride.map(|cells| (cells, "the stride".to_owned()));
        for numbers in [&self.scores, &self.locations] {
            // One output for several maps has no rows and columns of theirs.
            if numbers.outputs.len() != n_maps || n_maps == 1 && of_stride.is_some() {
                continue;
            }
            let (name, shape, _) = numbers.outputs[idx];
            let cells = (shape.height, shape.width);
            match &known {
                None => known = Some((cells, name.to_owned())),
                Some((other, _)) if *other == cells => {}
                Some((other, from)) => {
                    let (rows, columns) = other;
                    let detail = format!(
                        "found {} x {} cells in the output {name}, expected {rows} x {columns} as of {from}",
                        cells.0, cells.1
                    );
                    faults.push(place(), detail);
                    return None;
                }
            }
        }
        if known.is_none() {
            let detail = format!(
                "found no `stride` in map {} of the priors, expected one: an output that has several maps doesn't say how many \
                 cells each has",
                idx + 1
            );
            faults.push(place(), detail);
        }
        known.map(|(cells, _)| cells)
    }
}

/// Where the numbers of each map begin, in outputs that have as many as the priors take.
fn place(numbers: &Numbers<'_>, maps: &[Map<Vec<[f64; 2]>>], faults: &mut Faults) -> Vec<usize> {
    let Numbers { key, of_prior, outputs } = numbers;
    let mut fault = |name: &str, shape: Shape, n_priors: usize| {
        let (found, expected) = (shape.len(), n_priors * of_prior);
        if found != expected {
            let detail = format!(
                "{key}: found {found} numbers in the output {name} ({shape}), expected {expected}: {n_priors} priors with \
                 {of_prior} each"
            );
            faults.push(Place::named("detect"), detail);
        }
    };
    if outputs.len() == maps.len() {
        return (outputs.iter().zip(maps))
            .map(|((name, shape, first), map)| {
                fault(name, *shape, map.n_priors());
                *first
            })
            .collect();
    }
    let (name, shape, mut next) = outputs[0];
    fault(name, shape, maps.iter().map(Map::n_priors).sum());
    let first = |map: &Map<Vec<[f64; 2]>>| {
        let first = next;
        next += map.n_priors() * of_prior;
        first
    };
    maps.iter().map(first).collect()
}
