//! [`Weights`] of somebody's network x its description -> a file of names, proposed.
//!
//! Filters are found by their shapes and their order (`filters`), what else a layer has by words in its name and by the filter that is
//! named most alike (`vectors`). Where two tensors would do, neither is taken silently: the file then has a question mark, which
//! [`names`](super::names) refuses. `file` writes it, with patterns where they say the same. Reads no numbers.

mod file;
mod filters;
mod tokens;
mod vectors;

use std::collections::BTreeSet;

use safetensors::Dtype;

use self::tokens::Tokens;
use super::Weights;
use super::layout::Layout;
use super::names::Names;
use super::naming::{Naming, Role, TensorSpec};
use crate::describe::Description;
use crate::error::Result;
use crate::graph::{Graph, Knobs};

/// What the tensors of a file seem to be.
#[derive(Clone, Debug)]
pub struct Proposal {
    /// Each tensor that the network needs, in its order.
    pub rows: Vec<Row>,
    /// The width multiplier at which the file's filters are those of the network.
    pub alpha: f64,
    /// How many classes its classifier has.
    pub classes: usize,
    /// The order of its axes.
    pub layout: Layout,
    /// Tensors that no layer seems to want; numbers that training counts in are not among them.
    pub left: Vec<String>,
    /// What is to be ignored.
    ignored: Vec<String>,
    /// Whether patterns say more than the rows do.
    is_plain: bool,
}

/// A tensor that the network needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Which, in the plain naming.
    pub spec: TensorSpec,
    /// What the file calls it; `None` where nothing fits.
    pub tensor: Option<String>,
    /// What fits as well.
    pub also: Vec<String>,
}

/// A tensor of the file.
#[derive(Clone, Debug)]
struct Candidate<'w> {
    name: &'w str,
    shape: &'w [usize],
    tokens: Tokens,
    /// Where it begins in the file.
    offset: usize,
    /// Whether a bias lies beside it.
    has_bias: bool,
}

/// The network's side of a row, to be filled in.
struct Wanted<'g> {
    graph: &'g Graph,
    rows: Vec<Row>,
    taken: BTreeSet<String>,
}

impl Wanted<'_> {
    fn take(&mut self, row: usize, tensor: &Candidate<'_>, also: Vec<String>) {
        self.taken.insert(tensor.name.to_owned());
        self.rows[row].tensor = Some(tensor.name.to_owned());
        self.rows[row].also = also;
    }

    fn has(&self, candidate: &Candidate<'_>) -> bool {
        self.taken.contains(candidate.name)
    }
}

impl Weights<'_> {
    /// What the tensors of this file seem to be in the described network, whatever they are called.
    ///
    /// ```
    /// use mnc::graph::{Graph, Knobs};
    /// use mnc::weights::{Parameters, Weights, naming::Naming};
    /// let description = mnc::describe::builtin("mobilenet-v1").unwrap().description();
    /// let graph = Graph::build(&description, &Knobs { alpha: 0.25, resolution: None })?;
    /// let file = Parameters::zeros(&graph).to_safetensors(&graph, &Naming::TIMM)?;
    /// let proposal = Weights::parse(&file, "net.safetensors")?.propose(&description, None)?;
    /// assert_eq!(proposal.alpha, 0.25);
    /// assert!(proposal.text("mobilenet-v1").contains("\"conv_dw_1.weight\" = \"blocks.0.0.conv_dw.weight\""));
    /// # Ok::<(), mnc::Error>(())
    /// ```
    ///
    /// # Errors
    /// Filters that are not those of this network at any alpha; filters whose shapes tell no order of axes.
    pub fn propose(&self, description: &Description, alpha: Option<f64>) -> Result<Proposal> {
        let is_number = |dtype: Dtype| matches!(dtype, Dtype::F64 | Dtype::F32 | Dtype::F16 | Dtype::BF16);
        let numbers = self.tensors.iter().filter(|(_, tensor)| is_number(tensor.dtype));
        let biases: BTreeSet<&str> = vectors::biases(self.names()).collect();
        let mut candidates: Vec<Candidate<'_>> = numbers
            .map(|(name, tensor)| Candidate {
                name,
                shape: &tensor.shape,
                tokens: Tokens::of(name),
                offset: tensor.data.start,
                has_bias: 1 < rank(&tensor.shape) && biases.contains(vectors::module(name)),
            })
            .collect();
        candidates.sort_by(|a, b| a.tokens.cmp(&b.tokens));
        for (idx, word) in vectors::words_of_variables(&candidates) {
            candidates[idx].tokens.push(word);
            let layer = vectors::module(candidates[idx].name);
            let filters = candidates.iter_mut().filter(|tensor| 1 < rank(tensor.shape));
            for filter in filters.filter(|tensor| vectors::module(tensor.name) == layer) {
                filter.has_bias = true;
            }
        }
        let layout = self.layout_of_candidates(description, &candidates)?;
        let mut description = description.clone();
        if vectors::are_folded(&candidates) {
            fold(&mut description);
        }
        let filters: Vec<&Candidate<'_>> =
            candidates.iter().filter(|tensor| 1 < rank(tensor.shape)).collect();
        let (alpha, classes) = self.member(&mut description, alpha, layout, &filters)?;
        let graph = Graph::build(&description, &Knobs { alpha, resolution: None })?;
        let specs = Naming::PLAIN.tensors_in(&graph, layout)?;
        let rows = specs.into_iter().map(|spec| Row { spec, tensor: None, also: Vec::new() }).collect();
        let mut wanted = Wanted { graph: &graph, rows, taken: BTreeSet::new() };
        filters::assign(&mut wanted, layout, &filters);
        vectors::assign(&mut wanted, &candidates);

        let Wanted { rows, taken, .. } = wanted;
        let left: Vec<String> = candidates
            .iter()
            .map(|tensor| tensor.name)
            .filter(|name| !taken.contains(*name))
            .map(str::to_owned)
            .collect();
        let (ignored, left) = self.split_left(left);
        let mut proposal = Proposal { rows, alpha, classes, layout, left, ignored, is_plain: false };
        proposal.is_plain = !self.says_the_same(&proposal);
        Ok(proposal)
    }

    /// Whether the file with its patterns renames what the rows have, and nothing else.
    fn says_the_same(&self, proposal: &Proposal) -> bool {
        let text = proposal.text("");
        let decided = text
            .lines()
            .filter(|line| !line.contains(file::NOTHING))
            .map(|line| line.replacen("= ? ", "= ", 1));
        let mut weights = self.clone();
        let names = Names::parse(&decided.collect::<Vec<_>>().join("\n"), "");
        let renamed = names.and_then(|names| weights.rename(&names));
        let n_rows = proposal.rows.iter().filter(|row| row.tensor.is_some()).count();
        let is_there = |row: &Row| match &row.tensor {
            Some(own) => weights
                .tensors
                .get(&row.spec.tensor)
                .is_some_and(|tensor| tensor.name(&row.spec.tensor) == own),
            None => true,
        };
        renamed.is_ok_and(|renamed| renamed.n_renamed == n_rows) && proposal.rows.iter().all(is_there)
    }

    /// What training counts with, by a pattern where there are many; and the rest.
    fn split_left(&self, left: Vec<String>) -> (Vec<String>, Vec<String>) {
        let is_counter = |name: &str| name.ends_with("num_batches_tracked");
        let mut ignored = Vec::new();
        let counters: Vec<&String> = self.tensors.keys().filter(|name| is_counter(name)).collect();
        match counters[..] {
            [] => {}
            [only] => ignored.push(only.clone()),
            _ => ignored.push("*num_batches_tracked".to_owned()),
        }
        (ignored, left.into_iter().filter(|name| !is_counter(name)).collect())
    }
}

/// Axes, those of one element aside.
fn rank(shape: &[usize]) -> usize {
    shape.iter().filter(|&&extent| extent != 1).count()
}

/// The network without batch norms and with a bias in their place.
fn fold(description: &mut Description) {
    for layer in &mut description.layers {
        if let Some(spec) = layer.kind.spec_mut()
            && spec.norm.take().is_some()
        {
            spec.bias = true;
        }
    }
}

/// Whether a row is the filter of its layer.
fn is_filter(row: &Row) -> bool {
    row.spec.role == Role::Weight
}

#[cfg(test)]
mod tests;
