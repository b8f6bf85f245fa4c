//! The tables of a network whose weights come at run time: its tensors, and where each layer is among the packed numbers.

use std::fmt::Write as _;

use crate::error::Result;
use crate::graph::Graph;
use crate::graph::layer::{FilterShape, Layer};
use crate::graph::tensor::Dtype;
use crate::program::{Program, ProgramFilter};
use crate::weights::layout::Layout;
use crate::weights::naming::{Naming, TensorSpec};

/// The tensors of a network under one naming, layer by layer.
#[derive(Clone, Debug)]
pub struct Tables {
    layers: Vec<TableLayer>,
}

/// A layer with a filter.
#[derive(Clone, Debug)]
struct TableLayer {
    name: String,
    /// Those of its batch norm behind its own.
    tensors: Vec<TensorSpec>,
    /// Of its batch norm.
    epsilon: Option<f64>,
    /// As Rust makes the order of its filter.
    order: String,
}

impl Tables {
    /// The tables of a graph, without their places.
    ///
    /// # Errors
    /// A layer that the naming has no name for.
    pub fn new(graph: &Graph, naming: &Naming) -> Result<Tables> {
        let specs = naming.tensors(graph)?;
        let mut layers = Vec::new();
        for (idx, node) in graph.nodes.iter().enumerate() {
            let Some(filter) = graph.filter(node) else { continue };
            let mut nodes = graph.nodes.iter().enumerate();
            let norm = nodes.find_map(|(norm_idx, norm)| match norm.layer {
                Layer::BatchNorm { epsilon, .. } if norm.inputs[0].0 == idx => Some((norm_idx, epsilon)),
                _ => None,
            });
            let of = |idx: usize| specs.iter().filter(move |spec| spec.node.0 == idx).cloned();
            let tensors: Vec<TensorSpec> =
                of(idx).chain(norm.into_iter().flat_map(|(idx, _)| of(idx))).collect();
            let layout = tensors.first().map_or(Layout::Oihw, |spec| spec.layout);
            layers.push(TableLayer {
                name: node.name.clone(),
                tensors,
                epsilon: norm.map(|(_, epsilon)| epsilon),
                order: order(&filter, layout),
            });
        }
        Ok(Tables { layers })
    }

    /// Numbers of all tensors.
    pub(super) fn n_numbers(&self) -> usize {
        self.layers.iter().flat_map(|layer| &layer.tensors).map(n_numbers).sum()
    }

    /// The rows of the list of tensors.
    pub(super) fn tensors(&self) -> String {
        let (mut text, mut offset) = (String::new(), 0);
        for layer in &self.layers {
            for spec in &layer.tensors {
                let TensorSpec { tensor, shape, role, .. } = spec;
                let layer = &layer.name;
                let _ = writeln!(
                    text,
                    "            Tensor {{ name: {tensor:?}, layer: {layer:?}, role: Role::{role:?}, shape: &{shape:?}, offset: {offset} }},"
                );
                offset += n_numbers(spec);
            }
        }
        text
    }

    /// The trait by which the runtime finds both lists.
    pub(super) fn layout(&self, program: &Program, type_name: &str) -> String {
        let (mut rows, mut first_tensor) = (String::new(), 0);
        for TableLayer { name, tensors, epsilon, order } in &self.layers {
            let place = program.filters.iter().find(|filter| filter.layer == *name);
            let ProgramFilter { first, packing, .. } = place.expect("every filter has been packed");
            let first = first / Dtype::F32.bytes();
            let ((width, n_panels), rest) = packing.panels();
            let range = first_tensor..first_tensor + tensors.len();
            // By its path: a user's type may be called `Some`.
            let epsilon = match epsilon {
                Some(epsilon) => format!("::core::option::Option::Some({epsilon:?})"),
                None => "::core::option::Option::None".to_owned(),
            };
            let depth = packing.depth();
            let _ = writeln!(
                rows,
                "            Layer {{\n                \
                 tensors: {range:?},\n                \
                 order: {order},\n                \
                 epsilon: {epsilon},\n                \
                 packing: Packing::new({depth}, ({width}, {n_panels}), {rest}),\n                \
                 first: {first},\n            }},"
            );
            first_tensor = range.end;
        }
        format!(
            "\n    impl Layout for {type_name} {{\n        \
             const TENSORS: &'static [Tensor] = {type_name}::TENSORS;\n        \
             const LAYERS: &'static [Layer] = &[\n{rows}        ];\n    }}\n"
        )
    }
}

/// The call that makes an order of axes.
fn order(filter: &FilterShape, layout: Layout) -> String {
    let (FilterShape { n, m, .. }, taps) = (*filter, filter.taps());
    match layout {
        Layout::Oihw => format!("Order::file({n}, {m}, {taps})"),
        Layout::Hwio | Layout::Ohwi => {
            let strides = layout.strides(filter);
            format!("Order::with_strides({n}, {m}, {taps}, {strides:?})")
        }
    }
}

fn n_numbers(spec: &TensorSpec) -> usize {
    spec.shape.iter().product()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::describe::builtin;
    use crate::graph::Knobs;

    /// `mnc tensors` lists the same.
    #[test]
    fn tensors_are_in_the_order_of_their_naming() {
        let description = builtin("mobilenet-v1").unwrap().description();
        let graph = Graph::build(&description, &Knobs { alpha: 0.25, resolution: None }).unwrap();
        for naming in [&Naming::HUGGING_FACE, &Naming::TIMM, &Naming::PLAIN] {
            let tables = Tables::new(&graph, naming).unwrap();
            let found: Vec<TensorSpec> = tables.layers.into_iter().flat_map(|layer| layer.tensors).collect();
            assert_eq!(found, naming.tensors(&graph).unwrap());
        }
    }
}
