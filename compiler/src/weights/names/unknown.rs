//! Lines of a file of names whose layer the network hasn't: [`Weights`] that were renamed -> faults at these lines.

use std::collections::BTreeSet;

use super::{Line, propagate};
use crate::describe::{Description, edit_distance};
use crate::error::{Fault, Result, quoted};
use crate::graph::{Graph, Knobs};
use crate::weights::Weights;
use crate::weights::config::Relative;
use crate::weights::naming::Naming;

/// What separates a layer's name from a tensor's word.
const SEPARATORS: [char; 2] = ['.', '/'];
/// Layers that a message proposes.
const MOST_PROPOSED: usize = 3;

impl Weights<'_> {
    /// Fails where a line of the file of names, if there is one, has a tensor of a layer that the network hasn't, whoever has named it.
    /// What a layer may have is checked with its numbers.
    pub(crate) fn check_layers(&self, description: &Description) -> Result<()> {
        let Some(names) = &self.file_of_names else { return Ok(()) };
        let layers = layers(description);
        // A network that can't be built has other faults.
        let Some(longest) = layers.iter().map(String::len).max() else { return Ok(()) };
        let is_known = |name: &str| {
            let ends = name.match_indices(SEPARATORS).map(|(at, _)| at);
            ends.take_while(|at| *at <= longest).any(|at| layers.contains(&name[..at]))
        };
        let mut told: BTreeSet<usize> = BTreeSet::new();
        let mut found = Vec::new();
        for (ours, tensor) in &self.tensors {
            let Some(own) = tensor.own_name.as_deref().filter(|_| !is_known(ours)) else { continue };
            let is_of = |line: &&Line| {
                line.ours.matches(ours).and_then(|numbers| line.theirs.fill(&numbers)).as_deref() == Some(own)
            };
            let Some(line) = names.lines.iter().find(is_of) else { continue };
            if told.insert(line.at.line) {
                let detail = format!(
                    "found {} for {}, expected a tensor of a layer of the network: the nearest are {}",
                    quoted(ours),
                    quoted(own),
                    nearest(ours, description)
                );
                found.push(Fault { place: names.position(line.at), detail });
            }
        }
        propagate(found, &names.place)
    }
}

/// The whole network, and its relatives.
fn graphs(description: &Description) -> Vec<Graph> {
    let own = Description { is_headless: false, ..description.clone() };
    let relatives = Relative::of(&description.name).into_iter().map(|relative| {
        let mut description = own.clone();
        relative.apply(&mut description);
        description
    });
    let all = [own.clone()].into_iter().chain(relatives);
    all.filter_map(|description| Graph::build(&description, &Knobs::default()).ok()).collect()
}

/// What anybody calls the layers of a network.
fn layers(description: &Description) -> BTreeSet<String> {
    let graphs = graphs(description);
    let stems = graphs.iter().flat_map(|graph| Naming::ALL.iter().flat_map(|naming| naming.stems(graph)));
    stems.map(|stem| stem.text).collect()
}

/// The tensors of the network whose names differ in the fewest letters, all of one naming: our own where others aren't nearer.
fn nearest(name: &str, description: &Description) -> String {
    let Some(graph) = graphs(description).into_iter().next() else { return "none".to_owned() };
    let by_naming = Naming::ALL.iter().rev().filter_map(|naming| {
        let tensors = naming.tensors(&graph).ok()?.into_iter().map(|spec| spec.tensor);
        let mut by_distance: Vec<(usize, String)> =
            tensors.map(|other| (edit_distance(name, &other), other)).collect();
        // In the order of the layers where they are as near.
        by_distance.sort_by_key(|(distance, _)| *distance);
        Some(by_distance)
    });
    let found = by_naming.min_by_key(|tensors| tensors.first().map_or(usize::MAX, |(distance, _)| *distance));
    let proposed = found.unwrap_or_default().into_iter().take(MOST_PROPOSED);
    proposed.map(|(_, tensor)| quoted(&tensor)).collect::<Vec<_>>().join(", ")
}
