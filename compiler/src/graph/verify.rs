//! The promises of a [`Graph`], checked. [`Graph::build`] keeps them; a pass or a test that changes a graph may not.

use std::collections::HashSet;

use super::layer::Layer;
use super::{Graph, Node};
use crate::error::{ErrorKind, Faults, Place, Result};

pub(super) fn verify(graph: &Graph) -> Result<()> {
    let mut faults = Faults::new(ErrorKind::Graph);
    let mut names = HashSet::new();
    for (idx, node) in graph.nodes.iter().enumerate() {
        if let Err(detail) = verify_node(graph, idx, node) {
            faults.push(Place::layer(&node.name), detail);
        }
        if !names.insert(node.name.as_str()) {
            faults.push(
                Place::layer(&node.name),
                format!("found this name again at node {idx}, expected unique names"),
            );
        }
    }
    if graph.nodes.is_empty() {
        faults.push(Place::named("network"), "found no node, expected at least the input");
    }
    if graph.outputs.len() != graph.output_names.len() {
        let (found, expected) = (graph.output_names.len(), graph.outputs.len());
        let detail = format!("found {found} names of outputs, expected {expected}");
        faults.push(Place::named("network"), detail);
    }
    if graph.outputs.is_empty() {
        faults.push(Place::named("network"), "found no output, expected at least one");
    }
    for output in graph.outputs.iter().filter(|output| output.0 >= graph.nodes.len()) {
        faults.push(
            Place::named("network"),
            format!("found output {}, expected one of {} nodes", output.0, graph.nodes.len()),
        );
    }
    faults.propagate()
}

fn verify_node(graph: &Graph, idx: usize, node: &Node) -> Result<(), String> {
    if let Some(input) = node.inputs.iter().find(|input| input.0 >= idx) {
        return Err(format!("found input {} of node {idx}, expected an earlier node", input.0));
    }
    if node.shape().is_empty() {
        return Err(format!("found an empty map of {}, expected at least one element", node.shape()));
    }
    if idx == 0 {
        let is_input = node.layer == Layer::Input && node.inputs.is_empty();
        return if is_input {
            Ok(())
        } else {
            Err("found it first, expected the network's input there".to_string())
        };
    }
    let expected = node.layer.output_shape(&graph.input_shapes(node))?;
    if node.shape() == expected {
        Ok(())
    } else {
        Err(format!("found a map of {}, expected {expected}", node.shape()))
    }
}
