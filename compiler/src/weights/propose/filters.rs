//! Which filter of a file is which layer's: by shape, and among those of one shape by order.

use std::collections::{BTreeMap, BTreeSet};

use super::super::{Weights, push_listed};
use super::{Candidate, Layout, Row, Wanted, is_filter};
use crate::describe::{Description, Sides};
use crate::error::{Error, ErrorKind, Fault, Faults, Place, Result, quoted};
use crate::graph::layer::FilterShape;
use crate::graph::{Graph, Knobs, Role as LayerRole};
use crate::weights::layout;

/// What tells a filter's shape, whatever the order of its axes: window, N, M.
type Shape = (usize, usize, usize, usize);

/// And whether it has a bias, where the file's names tell that.
type Key = (Shape, bool);

/// Most of the widths that somebody has trained.
const ALPHAS: [f64; 11] = [1.0, 0.75, 0.5, 0.25, 0.35, 1.4, 1.3, 1.25, 1.1, 1.2, 1.5];

/// The key of a filter of the network.
fn shape_of(filter: &FilterShape) -> Shape {
    if filter.is_flat {
        return (1, 1, filter.n, filter.fan_in());
    }
    let Sides { rows, columns } = filter.window.unwrap_or(Sides::square(1));
    (rows, columns, filter.n, filter.m)
}

/// The key of a tensor in an order of axes.
fn shape(layout: Layout, shape: &[usize]) -> Shape {
    let (n, m, h, w) = match (layout, shape) {
        (Layout::Oihw, &[n, m, h, w]) => (n, m, h, w),
        (Layout::Hwio, &[h, w, m, n]) => (n, m, h, w),
        (Layout::Ohwi, &[n, h, w, m]) => (n, m, h, w),
        (Layout::Hwio, &[m, n]) => (n, m, 1, 1),
        (_, &[n, m]) => (n, m, 1, 1),
        (_, &[n, m, 1]) => (n, m, 1, 1),
        _ => (0, 0, 0, 0),
    };
    // Depthwise filters have their one input on either side.
    match (h * w, n, m) {
        (1, ..) => (h, w, n, m),
        (_, 1, m) => (h, w, m, 1),
        _ => (h, w, n, m),
    }
}

impl Weights<'_> {
    /// The order of axes that the windows of the network tell.
    pub(super) fn layout_of_candidates(
        &self,
        description: &Description,
        candidates: &[Candidate<'_>],
    ) -> Result<Layout> {
        if let Some(layout) = self.asked_layout {
            return Ok(layout);
        }
        let graph = Graph::build(description, &Knobs::default())?;
        let filters: Vec<FilterShape> = graph.nodes.iter().filter_map(|node| graph.filter(node)).collect();
        let mut told: BTreeMap<Layout, &Candidate<'_>> = BTreeMap::new();
        for candidate in candidates {
            let layouts: BTreeSet<Layout> =
                filters.iter().filter_map(|filter| Layout::of(filter, candidate.shape)).collect();
            if let (1, Some(layout)) = (layouts.len(), layouts.first()) {
                told.entry(*layout).or_insert(candidate);
            }
        }
        let mut told = told.into_iter();
        match (told.next(), told.next()) {
            (Some((layout, _)), None) => Ok(layout),
            (None, _) => {
                let detail = format!(
                    "found no filter whose shape tells the order of its axes, expected --axes with {}",
                    layout::EXPECTED
                );
                Err(Error::new(ErrorKind::Weights, self.file(), detail))
            }
            (Some((one, first)), Some((other, second))) => {
                let detail = format!(
                    "found {} {:?}, {one} by its shape, and {} {:?}, {other}; expected one order of axes in a file, or --axes",
                    quoted(first.name),
                    first.shape,
                    quoted(second.name),
                    second.shape
                );
                Err(Error::new(ErrorKind::Weights, self.file(), detail))
            }
        }
    }

    /// The alpha and the classes at which the network has filters of these shapes.
    pub(super) fn member(
        &self,
        description: &mut Description,
        alpha: Option<f64>,
        layout: Layout,
        filters: &[&Candidate<'_>],
    ) -> Result<(f64, usize)> {
        let mut found: BTreeMap<Shape, usize> = BTreeMap::new();
        for filter in filters {
            *found.entry(shape(layout, filter.shape)).or_default() += 1;
        }
        let steps = (1..=40).map(|step| f64::from(step) / 20.0);
        let alphas: Vec<f64> = match alpha {
            Some(alpha) => vec![alpha],
            None => ALPHAS.into_iter().chain(steps).collect(),
        };
        let mut nearest: Option<(usize, f64, Vec<Fault>)> = None;
        for alpha in alphas {
            let Ok(graph) = Graph::build(description, &Knobs { alpha, resolution: None }) else { continue };
            let mut left = found.clone();
            let mut missing = Vec::new();
            let mut classifier = None;
            for node in &graph.nodes {
                let Some(filter) = graph.filter(node) else { continue };
                if node.origin.is_some_and(|origin| origin.role == LayerRole::Classifier) {
                    classifier = Some(shape_of(&filter));
                    continue;
                }
                match left.get_mut(&shape_of(&filter)).filter(|n_left| 0 < **n_left) {
                    Some(n_left) => *n_left -= 1,
                    None => missing.push(Fault {
                        place: Place::layer(&node.name),
                        detail: format!(
                            "found no filter left with {} in {}, expected one at alpha {alpha}",
                            filter.symbols(),
                            self.place
                        ),
                    }),
                }
            }
            let classes = match classifier {
                None => Some(description.classes),
                Some(key) if left.get(&key).is_some_and(|n_left| 0 < *n_left) => Some(description.classes),
                Some((h, w, _, m)) => {
                    let mut fit = left
                        .iter()
                        .filter(|((a, b, _, other), n_left)| (*a, *b, *other) == (h, w, m) && 0 < **n_left);
                    match (fit.next(), fit.next()) {
                        (Some(((.., n, _), _)), None) => Some(*n),
                        _ => None,
                    }
                }
            };
            if missing.is_empty() {
                let Some(classes) = classes else {
                    let detail = "found no one filter left for the classifier, expected one: a description with as many \
                                  `classes` as it has tells which";
                    return Err(Error::new(ErrorKind::Weights, self.file(), detail));
                };
                description.classes = classes;
                return Ok((alpha, classes));
            }
            if nearest.as_ref().is_none_or(|(n_missing, ..)| missing.len() < *n_missing) {
                nearest = Some((missing.len(), alpha, missing));
            }
        }
        let mut faults = Faults::new(ErrorKind::Weights);
        if let Some((_, _, missing)) = nearest {
            push_listed(&mut faults, self.file(), missing);
        }
        faults.propagate()?;
        Err(Error::new(
            ErrorKind::Weights,
            self.file(),
            "found no network at any alpha, expected one whose layers have the filters' widths",
        ))
    }
}

/// Fills in the rows of filters.
pub(super) fn assign(wanted: &mut Wanted<'_>, layout: Layout, filters: &[&Candidate<'_>]) {
    let rows = wanted.rows.iter().enumerate().filter(|(_, row)| is_filter(row));
    let mut classes: BTreeMap<Key, (Vec<usize>, Vec<&Candidate<'_>>)> = BTreeMap::new();
    let filter_of =
        |row: &Row| wanted.graph.filter(wanted.graph.node(row.spec.node)).expect("weights are of a filter");
    // Only where as many have a bias as should.
    let n_biases = rows.clone().filter(|(_, row)| filter_of(row).has_bias).count();
    let tells_biases = n_biases == filters.iter().filter(|filter| filter.has_bias).count();
    for (idx, row) in rows {
        let filter = filter_of(row);
        classes.entry((shape_of(&filter), tells_biases && filter.has_bias)).or_default().0.push(idx);
    }
    for filter in filters {
        let key = (shape(layout, filter.shape), tells_biases && filter.has_bias);
        if let Some(class) = classes.get_mut(&key) {
            class.1.push(*filter);
        }
    }
    // In the order of names; where that of the file is the network's from end to end, in that.
    let by_name = pairs(&classes);
    for (_, tensors) in classes.values_mut() {
        tensors.sort_by_key(|tensor| tensor.offset);
    }
    let mut by_offset = pairs(&classes);
    by_offset.sort_by_key(|(_, tensor)| tensor.offset);
    let is_in_order = by_offset.iter().map(|(row, _)| *row).is_sorted();
    let is_exact = classes.values().all(|(rows, tensors)| rows.len() == tensors.len());
    let pairs = if is_in_order && is_exact { by_offset.clone() } else { by_name };

    for (rows, tensors) in classes.values() {
        let templates: BTreeSet<String> = tensors.iter().map(|tensor| tensor.tokens.template()).collect();
        let mut sequence: Vec<_> =
            pairs.iter().filter(|(_, tensor)| templates.contains(&tensor.tokens.template())).collect();
        sequence.sort_by(|(_, a), (_, b)| a.tokens.cmp(&b.tokens));
        // More than one form of names has an order only if filters of other shapes confirm it.
        let is_told = templates.len() == 1 || rows.len() < sequence.len();
        let is_sure = is_exact && is_in_order
            || rows.len() == tensors.len()
                && (rows.len() == 1 || is_told && sequence.iter().map(|(row, _)| *row).is_sorted());
        for (row, tensor) in pairs.iter().filter(|(row, _)| rows.contains(row)) {
            let others = tensors.iter().map(|other| other.name).filter(|name| *name != tensor.name);
            let also = if is_sure { Vec::new() } else { others.map(str::to_owned).collect() };
            wanted.take(*row, tensor, also);
        }
    }
}

type Classes<'a, 'w> = BTreeMap<Key, (Vec<usize>, Vec<&'a Candidate<'w>>)>;

/// The first row of a shape with the first tensor of it, and so on.
fn pairs<'a, 'w>(classes: &Classes<'a, 'w>) -> Vec<(usize, &'a Candidate<'w>)> {
    let each = classes.values().flat_map(|(rows, tensors)| rows.iter().copied().zip(tensors.iter().copied()));
    each.collect()
}
