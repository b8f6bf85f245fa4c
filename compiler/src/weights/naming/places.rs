//! Graph -> where each of its layers with a filter stands, counted in all the ways in which exporters count.

use std::collections::BTreeMap;

use crate::graph::layer::FilterShape;
use crate::graph::{Graph, Role};

/// A layer's place.
#[derive(Clone, Debug)]
pub(super) struct Place<'g> {
    /// The layer's name.
    name: &'g str,
    stage: usize,
    block: usize,
    pub(super) role: Role,
    /// The block among those of the body; outside of the body how many those before it are.
    pub(super) i: usize,
    /// The layer among those of the body with a filter.
    c: usize,
    /// The part of its block.
    p: usize,
    /// The convolution of its block, squeeze-and-excite aside, from 1.
    n: usize,
    /// Whether the block has a layer that widens its map.
    pub(super) is_widened: bool,
    /// Whether that layer's window is larger than 1x1.
    pub(super) is_fused: bool,
}

impl Place<'_> {
    pub(super) fn is_in_body(&self) -> bool {
        self.role.is_of_body()
    }

    /// The pattern with its placeholders filled in.
    pub(super) fn fill(&self, pattern: &str) -> String {
        let mut text = String::with_capacity(pattern.len() + self.name.len());
        let mut rest = pattern;
        while let Some((before, after)) = rest.split_once('{') {
            text += before;
            let filled = after.split_once('}').and_then(|(word, after)| Some((self.word(word)?, after)));
            let (word, after) = filled.unwrap_or(("{".to_owned(), after));
            text += &word;
            rest = after;
        }
        text + rest
    }

    /// What a placeholder stands for; `None` of what is none here.
    fn word(&self, placeholder: &str) -> Option<String> {
        let number = match placeholder {
            "name" => return Some(self.name.to_owned()),
            "stage" => self.stage,
            "block" => self.block,
            "i" => self.i,
            "i+1" => self.i + 1,
            "i-1" => self.i.checked_sub(1)?,
            "c" => self.c,
            "p" => self.p,
            "p+1" => self.p + 1,
            "n" => self.n,
            _ => return None,
        };
        Some(number.to_string())
    }
}

/// How a block widens its map.
#[derive(Clone, Copy, Default)]
struct Widening {
    is_widened: bool,
    is_fused: bool,
}

/// The place of each node with a filter; `None` for the others.
pub(super) fn places(graph: &Graph) -> Vec<Option<Place<'_>>> {
    let mut blocks: BTreeMap<(usize, usize), Widening> = BTreeMap::new();
    for node in &graph.nodes {
        let (Some(origin), Some(filter)) = (node.origin, graph.filter(node)) else { continue };
        if origin.role == Role::Expand {
            let widening = Widening { is_widened: true, is_fused: 1 < taps(filter) };
            blocks.insert((origin.stage, origin.block), widening);
        }
    }
    let mut counts = Counts::default();
    let nodes = graph.nodes.iter();
    nodes
        .map(|node| {
            let origin = node.origin.filter(|_| graph.filter(node).is_some())?;
            let key = (origin.stage, origin.block);
            let is_in_body = origin.role.is_of_body();
            if is_in_body {
                counts.step(key, origin.role);
            }
            let widening = blocks.get(&key).copied().filter(|_| is_in_body).unwrap_or_default();
            Some(Place {
                name: &node.name,
                stage: origin.stage,
                block: origin.block,
                role: origin.role,
                i: if is_in_body { counts.n_blocks - 1 } else { counts.n_blocks },
                c: counts.n_layers.saturating_sub(1),
                p: counts.n_parts.saturating_sub(1),
                n: counts.n_convolutions,
                is_widened: widening.is_widened,
                is_fused: widening.is_fused,
            })
        })
        .collect()
}

fn taps(filter: FilterShape) -> usize {
    filter.taps()
}

/// What was met so far.
#[derive(Default)]
struct Counts {
    block: Option<(usize, usize)>,
    n_blocks: usize,
    n_layers: usize,
    /// Of the block.
    n_parts: usize,
    /// Of the block.
    n_convolutions: usize,
}

impl Counts {
    fn step(&mut self, block: (usize, usize), role: Role) {
        if self.block != Some(block) {
            *self = Counts {
                block: Some(block),
                n_blocks: self.n_blocks + 1,
                n_layers: self.n_layers,
                ..Counts::default()
            };
        }
        self.n_layers += 1;
        match role {
            // The second half of a part.
            Role::Gate => {}
            Role::Reduce => self.n_parts += 1,
            Role::Stem
            | Role::Conv
            | Role::Expand
            | Role::StartDepthwise
            | Role::Depthwise
            | Role::Pointwise
            | Role::Project
            | Role::Head
            | Role::Classifier => {
                self.n_parts += 1;
                self.n_convolutions += 1;
            }
        }
    }
}
