//! The tensors of a file that no layer wants: those of no layer are left out and told, those of a layer are faults.

use std::collections::BTreeSet;

use safetensors::Dtype;

use super::header::tensor_place;
use super::layout::Layout;
use super::naming::{Naming, Role, Stem};
use super::{Tensor, Weights};
use crate::error::{Fault, Place, plural, quoted};
use crate::graph::Graph;

/// Buffers that profilers leave in every layer, and that say nothing of what it computes.
const COUNTERS: [&str; 3] = ["num_batches_tracked", "total_ops", "total_params"];

/// Names that a line shows.
const MOST_SHOWN: usize = 3;

/// Tensors of no layer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leftovers {
    /// Their names in the file.
    pub names: Vec<String>,
    /// Their size.
    pub bytes: u64,
    /// Those that are named as layers are: the description may have forgotten some.
    pub of_layers: Vec<String>,
}

impl Leftovers {
    /// Why such names are refused where nothing may be left over.
    pub fn refusal(names: &[String]) -> String {
        let (n_left, shown) = (names.len(), Leftovers::shown(names));
        let noun = plural(n_left, "tensor");
        format!("found {n_left} {noun} that no layer wants ({shown}), expected none: strict was asked for")
    }

    /// The first of these names, and how many there are.
    pub fn shown(names: &[String]) -> String {
        let shown: Vec<String> = names.iter().take(MOST_SHOWN).map(|name| quoted(name)).collect();
        let more = if MOST_SHOWN < names.len() { ", ..." } else { "" };
        format!("{}{more}", shown.join(", "))
    }
}

impl Weights<'_> {
    /// The tensors that no layer of this graph has, under a naming; counters of batches aside, which every file has.
    pub fn leftovers(&self, graph: &Graph, naming: &Naming) -> Leftovers {
        let known = self.known(graph, naming);
        let stems = naming.stems(graph);
        let mut left = Leftovers::default();
        let mut add = |name: &str, tensor: &Tensor| {
            left.names.push(name.to_owned());
            left.bytes += tensor.data.len() as u64;
        };
        let mut of_layers = Vec::new();
        for (name, tensor) in &self.tensors {
            let is_wrong = !is_slot(&known, name)
                && (owner(&stems, name).is_some() || self.renamed_to_nothing(name, naming).is_some());
            if known.contains(name) || is_wrong {
                continue;
            }
            let in_file = self.name_in_file(name);
            add(&in_file, tensor);
            let (stem, word) = name.rsplit_once(['.', '/']).unwrap_or(("", name));
            let is_named = naming.has_word(word) && naming.could_name(stem) && !is_copy(&known, name);
            if is_float(tensor.dtype) && !tensor.shape.is_empty() && is_named {
                of_layers.push(in_file);
            }
        }
        self.outside.iter().for_each(|(name, tensor)| add(name, tensor));
        self.leftover_scales(graph, naming).into_iter().for_each(|(name, tensor)| add(name, tensor));
        left.of_layers = of_layers;
        left
    }

    /// Drops the tensors of a graph that a part of it hasn't, under a naming.
    pub(crate) fn forget_others(&mut self, whole: &Graph, part: &Graph, naming: &Naming) {
        let kept = self.known(part, naming);
        for name in self.known(whole, naming).difference(&kept) {
            self.tensors.remove(name);
        }
    }

    /// The tensors of a layer of the graph that it has no use for, by their names in the file: to leave one out would change what the
    /// network answers.
    pub(super) fn surplus(&self, graph: &Graph, naming: &Naming) -> Vec<(String, Fault)> {
        let known = self.known(graph, naming);
        let stems = naming.stems(graph);
        let names = self.names().filter(|name| !known.contains(*name) && !is_slot(&known, name));
        names
            .filter_map(|name| {
                let Some(stem) = owner(&stems, name) else { return self.renamed_to_nothing(name, naming) };
                let shape = self.shape(name).unwrap_or_default();
                let found = format!("found tensor {} {shape:?}", quoted(&self.name_in_file(name)));
                let word = &name[stem.text.len() + 1..];
                let detail = if stem.is_norm && naming.has_word(word) {
                    format!(
                        "{found} of a batch norm, expected none for this layer: leave `batch_norm = false` out of the \
                         description, or `gamma = false`"
                    )
                } else if word == naming.bias_word() {
                    format!("{found}, expected none for this layer: set its `bias = true` in the description")
                } else {
                    format!(
                        "{found}, expected no such tensor of this layer: take it out of the file if the network was \
                         trained without it"
                    )
                };
                Some((self.name_in_file(name), Fault { place: Place::layer(&stem.layer), detail }))
            })
            .collect()
    }

    /// What a user's file of names has given a name that no layer has.
    fn renamed_to_nothing(&self, name: &str, naming: &Naming) -> Option<(String, Fault)> {
        let names = self.file_of_names.as_ref()?;
        let own = self.tensors.get(name)?.own_name.clone().filter(|_| self.prefix.is_none())?;
        let detail = format!(
            "found, which {} calls {}, expected no tensor of this name for the network in the naming {naming}",
            names.place(),
            quoted(name)
        );
        Some((own.clone(), Fault { place: tensor_place(&self.place, &own), detail }))
    }

    /// A tensor that no layer wants and that has the shape of a classifier of the features that this graph ends in: its name in the
    /// file, and the shape.
    pub(crate) fn other_classifier(&self, graph: &Graph, naming: &Naming) -> Option<(String, Vec<usize>)> {
        let specs = naming.tensors(graph).ok()?;
        let last = specs.iter().rev().find(|spec| spec.role == Role::Weight)?;
        let m = last.layout.outputs(self.shape(&last.tensor)?)?;
        let known = self.known(graph, naming);
        let inside = self.tensors.iter().filter(|(name, _)| !known.contains(*name) && !is_copy(&known, name));
        let outside = self.outside.iter().filter(|(name, _)| !is_copy(&known, name));
        let mut others = inside.chain(outside);
        let is_filter = |tensor: &Tensor| match (last.layout, &tensor.shape[..]) {
            (Layout::Hwio, [found, _] | [1, 1, found, _])
            | (Layout::Oihw | Layout::Ohwi, [_, found] | [_, found, 1, 1]) => {
                *found == m && is_float(tensor.dtype)
            }
            _ => false,
        };
        let (name, tensor) = others.find(|(_, tensor)| is_filter(tensor))?;
        Some((self.name_in_file(name), tensor.shape.clone()))
    }

    fn known(&self, graph: &Graph, naming: &Naming) -> BTreeSet<String> {
        let mut known: BTreeSet<String> = naming.bookkeeping(graph).into_iter().collect();
        known.extend(naming.tensors(graph).unwrap_or_default().into_iter().map(|spec| spec.tensor));
        known
    }
}

fn is_float(dtype: Dtype) -> bool {
    matches!(dtype, Dtype::F64 | Dtype::F32 | Dtype::F16 | Dtype::BF16)
}

/// Whether it is a layer's name with something in front of it.
fn is_copy(known: &BTreeSet<String>, name: &str) -> bool {
    let longest = known.iter().map(String::len).max().unwrap_or(0);
    let starts = name.rmatch_indices(['.', '/']).map(|(at, _)| at + 1);
    let mut ends = starts.take_while(|start| name.len() - start <= longest).map(|start| &name[start..]);
    ends.any(|end| known.contains(end))
}

/// Whether it is what TensorFlow's trainer keeps of a tensor, below its name: `weights/RMSProp`, `weights/ExponentialMovingAverage`.
fn is_slot(known: &BTreeSet<String>, name: &str) -> bool {
    name.rsplit_once('/').is_some_and(|(tensor, _)| known.contains(tensor))
}

/// The layer below whose name a tensor's is, unless that only counts.
fn owner<'s>(stems: &'s [Stem], name: &str) -> Option<&'s Stem> {
    let word = name.rsplit(['.', '/']).next().unwrap_or_default();
    let is_below = |stem: &&Stem| {
        let rest = name.strip_prefix(&*stem.text);
        rest.is_some_and(|rest| rest.starts_with(['.', '/']))
    };
    // The longest: a norm's name may be below its layer's.
    let found = stems.iter().filter(is_below).max_by_key(|stem| stem.text.len());
    found.filter(|_| !COUNTERS.contains(&word))
}
