//! Which vector of a file is which layer's bias, gamma, beta, mean or variance: by words, and by the filter that is named most alike.

use std::collections::BTreeMap;

use super::super::naming::Role;
use super::tokens::Tokens;
use super::{Candidate, Wanted, is_filter, rank};
use crate::graph::NodeId;
use crate::graph::layer::Layer;

/// What the last word of a vector's name says that it is; a bias may be a norm's beta.
fn role(tokens: &Tokens) -> Option<Role> {
    match tokens.last_word().as_str() {
        "gamma" | "scale" | "weight" | "weights" => Some(Role::Gamma),
        "beta" | "bias" | "biases" | "offset" | "shift" => Some(Role::Beta),
        "mean" | "mu" => Some(Role::Mean),
        "var" | "variance" => Some(Role::Variance),
        _ => None,
    }
}

/// The words that files of Keras 3 leave to the order of a layer's variables: `vars/0` to `vars/3` of a batch norm, `vars/1` beside
/// the filter `vars/0`. By the tensor's number in `candidates`.
pub(super) fn words_of_variables(candidates: &[Candidate<'_>]) -> Vec<(usize, &'static str)> {
    let mut layers: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (idx, tensor) in candidates.iter().enumerate() {
        let layer = module(tensor.name);
        if layer.ends_with("/vars") || layer.ends_with(".vars") {
            layers.entry(layer).or_default().push(idx);
        }
    }
    let mut words = Vec::new();
    for (layer, variables) in layers {
        // They are sorted.
        let is_counted =
            |(n, idx): (usize, &usize)| candidates[*idx].name[layer.len() + 1..] == n.to_string();
        if !variables.iter().enumerate().all(is_counted) {
            continue;
        }
        let ranks: Vec<usize> = variables.iter().map(|idx| rank(candidates[*idx].shape).min(2)).collect();
        match (&variables[..], &ranks[..]) {
            ([_, bias], [2, 0 | 1]) => words.push((*bias, "bias")),
            (norm, [0 | 1, 0 | 1, 0 | 1, 0 | 1]) => {
                words.extend(norm.iter().copied().zip(["gamma", "beta", "mean", "variance"]));
            }
            _ => {}
        }
    }
    words
}

/// The modules that have a bias.
pub(super) fn biases<'n>(names: impl Iterator<Item = &'n str>) -> impl Iterator<Item = &'n str> {
    names
        .filter(|name| role(&Tokens::of(name)) == Some(Role::Beta))
        .map(module)
        .filter(|module| !module.is_empty())
}

/// Everything before the last sign.
pub(super) fn module(name: &str) -> &str {
    name.rfind(['.', '/', ':']).map_or("", |at| &name[..at])
}

/// Whether the norms have become biases: words for all, and none for a mean or a variance.
pub(super) fn are_folded(candidates: &[Candidate<'_>]) -> bool {
    let n_filters = candidates.iter().filter(|tensor| 1 < rank(tensor.shape)).count();
    let vectors: Vec<&Candidate<'_>> = candidates.iter().filter(|tensor| rank(tensor.shape) < 2).collect();
    let has = |wanted: Role| vectors.iter().any(|tensor| role(&tensor.tokens) == Some(wanted));
    !has(Role::Mean) && !has(Role::Variance) && !vectors.is_empty() && vectors.len() <= n_filters
}

/// A layer's filter, and where its vectors are among the rows.
struct Group {
    filter: Tokens,
    module: String,
    /// Rows by role, those of the norm behind the filter too.
    rows: BTreeMap<Role, usize>,
}

/// Fills in the rows of vectors.
pub(super) fn assign(wanted: &mut Wanted<'_>, candidates: &[Candidate<'_>]) {
    let groups = groups(wanted);
    let vectors: Vec<&Candidate<'_>> =
        candidates.iter().filter(|tensor| rank(tensor.shape) < 2 && !wanted.has(tensor)).collect();
    // A bias that lies beside a filter is that layer's own.
    for tensor in &vectors {
        if role(&tensor.tokens) != Some(Role::Beta) {
            continue;
        }
        let own = groups.iter().find(|group| group.module == module(tensor.name));
        if let Some(row) = own.and_then(|group| group.rows.get(&Role::Bias))
            && fits(wanted, *row, tensor)
        {
            wanted.take(*row, tensor, Vec::new());
        }
    }
    for wanted_role in [Role::Gamma, Role::Beta, Role::Mean, Role::Variance] {
        let of_role: Vec<&Candidate<'_>> = vectors
            .iter()
            .copied()
            .filter(|tensor| role(&tensor.tokens) == Some(wanted_role) && !wanted.has(tensor))
            .filter(|tensor| {
                !groups.iter().any(|group| !group.module.is_empty() && group.module == module(tensor.name))
            })
            .collect();
        nearest_first(wanted, &groups, &of_role, &[wanted_role]);
    }
    // What is left has no word of ours. Who writes four vectors writes them in this order, but nobody has promised it.
    let rest: Vec<&Candidate<'_>> = vectors
        .iter()
        .copied()
        .filter(|tensor| role(&tensor.tokens).is_none() && !wanted.has(tensor))
        .collect();
    nearest_first(wanted, &groups, &rest, &[Role::Bias, Role::Gamma, Role::Beta, Role::Mean, Role::Variance]);
}

/// Each layer with a filter that was found.
fn groups(wanted: &Wanted<'_>) -> Vec<Group> {
    let mut of_node: BTreeMap<NodeId, Group> = BTreeMap::new();
    for row in wanted.rows.iter().filter(|row| is_filter(row)) {
        let Some(tensor) = &row.tensor else { continue };
        let group =
            Group { filter: Tokens::of(tensor), module: module(tensor).to_owned(), rows: BTreeMap::new() };
        of_node.insert(row.spec.node, group);
    }
    for (idx, row) in wanted.rows.iter().enumerate().filter(|(_, row)| !is_filter(row)) {
        let node = wanted.graph.node(row.spec.node);
        let filter =
            if matches!(node.layer, Layer::BatchNorm { .. }) { node.inputs[0] } else { row.spec.node };
        if let Some(group) = of_node.get_mut(&filter) {
            group.rows.insert(row.spec.role, idx);
        }
    }
    of_node.into_values().collect()
}

/// Whether a vector is as long as a row wants it.
fn fits(wanted: &Wanted<'_>, row: usize, tensor: &Candidate<'_>) -> bool {
    let n: usize = tensor.shape.iter().product();
    wanted.rows[row].tensor.is_none() && wanted.rows[row].spec.shape.iter().product::<usize>() == n
}

/// Gives vectors to the layers whose filters are named most alike, those with the most in common first. Of layers that have as
/// much in common, in their order.
fn nearest_first(wanted: &mut Wanted<'_>, groups: &[Group], vectors: &[&Candidate<'_>], roles: &[Role]) {
    let mut by_prefix: BTreeMap<(usize, Vec<String>), Vec<&Candidate<'_>>> = BTreeMap::new();
    for tensor in vectors {
        let shared = groups.iter().map(|group| group.filter.shared(&tensor.tokens)).max().unwrap_or(0);
        let prefix = tensor.tokens.0[..shared].iter().map(|token| format!("{token:?}")).collect();
        by_prefix.entry((usize::MAX - shared, prefix)).or_default().push(tensor);
    }
    for ((shared, _), tensors) in by_prefix {
        let shared = usize::MAX - shared;
        let open = |wanted: &Wanted<'_>, group: &Group| -> Vec<usize> {
            let rows = roles.iter().filter_map(|role| group.rows.get(role).copied());
            rows.filter(|row| wanted.rows[*row].tensor.is_none()).collect()
        };
        let near: Vec<Vec<usize>> = groups
            .iter()
            .filter(|group| shared <= group.filter.shared(&tensors[0].tokens))
            .map(|group| open(wanted, group))
            .filter(|rows| !rows.is_empty())
            .collect();
        let n_rows: usize = near.iter().map(Vec::len).sum();
        let in_order = near.iter().flatten().zip(&tensors).all(|(row, tensor)| fits(wanted, *row, tensor));
        if n_rows == tensors.len() && in_order {
            let mut tensors = tensors.iter();
            for rows in &near {
                let chunk: Vec<&&Candidate<'_>> = tensors.by_ref().take(rows.len()).collect();
                for (row, tensor) in rows.iter().zip(&chunk) {
                    let others = chunk.iter().map(|other| other.name).filter(|name| *name != tensor.name);
                    wanted.take(*row, tensor, others.map(str::to_owned).collect());
                }
            }
            continue;
        }
        // By length alone: all that would do are named.
        for row in near.iter().flatten() {
            let fitting: Vec<&&Candidate<'_>> =
                tensors.iter().filter(|tensor| fits(wanted, *row, tensor) && !wanted.has(tensor)).collect();
            let all = tensors.iter().filter(|tensor| fits(wanted, *row, tensor));
            let names: Vec<String> = all.map(|tensor| tensor.name.to_owned()).collect();
            if let Some(tensor) = fitting.first() {
                let also = names.into_iter().filter(|name| name != tensor.name).collect();
                wanted.take(*row, tensor, also);
            }
        }
    }
}
