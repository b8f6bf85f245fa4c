//! Counts stages and blocks while layers are added, and tells each its place.

use super::super::origin::{Origin, Role};
use super::super::{Node, NodeId};
use crate::describe::Sides;

/// Where in the network the layers that are added stand.
#[derive(Default)]
pub(super) struct Walk {
    /// Stage and block of the last block of the body.
    block: Option<(usize, usize)>,
    /// What the described layer that is added says of its stage.
    described: Option<usize>,
    /// Whether that block is a depthwise convolution that no 1x1 convolution has followed.
    is_open: bool,
    /// Layers with a filter so far.
    filters: Vec<NodeId>,
    /// Those that are blocks of their own unless nothing but such layers follows them.
    loose: Vec<NodeId>,
}

impl Walk {
    /// Goes on to the next described layer. Fails with the stage of the last block where that is a later one than the layer says:
    /// a stage is one run of blocks.
    pub(super) fn next(&mut self, stage: Option<usize>) -> Result<(), usize> {
        self.described = stage;
        match (self.block, stage) {
            (Some((last, _)), Some(stage)) if stage < last => Err(last),
            _ => Ok(()),
        }
    }

    /// The place of a standard convolution that no block made; `id` is its node's.
    pub(super) fn conv(&mut self, id: NodeId, is_pointwise: bool, stride: Sides) -> Origin {
        self.filters.push(id);
        let in_block = self.described.is_none() || self.described == self.block.map(|(stage, _)| stage);
        if std::mem::take(&mut self.is_open) && is_pointwise && in_block {
            return self.here(Role::Pointwise);
        }
        if self.described.is_none() {
            if self.filters.len() == 1 {
                return Origin { stage: 0, block: 0, role: Role::Stem };
            }
            if is_pointwise {
                self.loose.push(id);
            }
        }
        self.begin(stride);
        self.here(Role::Conv)
    }

    /// The place of a depthwise convolution that no block made.
    pub(super) fn depthwise(&mut self, id: NodeId, stride: Sides) -> Origin {
        self.filters.push(id);
        self.begin(stride);
        self.is_open = true;
        self.here(Role::Depthwise)
    }

    /// The place of a dense layer.
    pub(super) fn dense(&mut self, id: NodeId) -> Origin {
        self.filters.push(id);
        self.loose.push(id);
        Origin { stage: 0, block: 0, role: Role::Head }
    }

    /// Begins a block that is made of several layers.
    pub(super) fn block(&mut self, stride: Sides) {
        self.is_open = false;
        self.begin(stride);
    }

    /// The place of a layer of it.
    pub(super) fn part(&mut self, id: NodeId, role: Role) -> Origin {
        self.filters.push(id);
        self.here(role)
    }

    fn here(&self, role: Role) -> Origin {
        let (stage, block) = self.block.unwrap_or((0, 0));
        Origin { stage, block, role }
    }

    /// Begins the next block: of the described stage, else of a new one where it strides.
    fn begin(&mut self, stride: Sides) {
        let strides = stride != Sides::square(1);
        self.block = Some(match (self.block, self.described) {
            (Some((stage, block)), Some(described)) if stage == described => (stage, block + 1),
            (_, Some(described)) => (described, 0),
            (None, None) => (0, 0),
            (Some((stage, _)), None) if strides => (stage + 1, 0),
            (Some((stage, block)), None) => (stage, block + 1),
        });
    }

    /// Tells the classifier and the layers of the head, which only the network's end tells from blocks.
    pub(super) fn finish(&self, nodes: &mut [Node]) {
        let mut loose = self.loose.iter().rev();
        let head = self.filters.iter().rev().take_while(|id| loose.next() == Some(id));
        for (idx, id) in head.enumerate() {
            let Node { layer, inputs, origin, .. } = &nodes[id.0];
            let before = *origin;
            let is_last = idx == 0 && (layer.window().is_none() || nodes[inputs[0].0].shape().pixels() == 1);
            let role = if is_last { Role::Classifier } else { Role::Head };
            // Its batch norm and activation follow it.
            for node in nodes[id.0..].iter_mut().take_while(|node| node.origin == before) {
                node.origin = Some(Origin { stage: 0, block: 0, role });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::describe::Description;
    use crate::graph::{Graph, Knobs};

    /// Each layer with a filter as `name stage.block role`, or the faults.
    fn check(layers: &[&str], expected: &[&str]) {
        let head = "name = \"net\"\nclasses = 5\ninput = { height = 16, width = 16, channels = 3 }\n";
        let text = format!("{head}layer = [{{ {} }}]", layers.join(" }, { "));
        let description = Description::parse(&text, "net.toml").unwrap_or_else(|error| panic!("{error}"));
        let found: Vec<String> = match Graph::build(&description, &Knobs::default()) {
            Ok(graph) => {
                check_followers(&graph);
                let filters = graph.nodes.iter().filter(|node| graph.filter(node).is_some());
                let place = |node: &Node| (node.name.clone(), node.origin.expect("it has a filter"));
                let line = |(name, Origin { stage, block, role })| format!("{name} {stage}.{block} {role:?}");
                filters.map(place).map(line).collect()
            }
            Err(error) => error.faults().iter().map(ToString::to_string).collect(),
        };
        assert_eq!(found, expected);
    }

    /// What is called after a layer has its place, and nothing else has one.
    fn check_followers(graph: &Graph) {
        for node in &graph.nodes {
            let layer =
                node.name.split('.').next().and_then(|name| graph.by_name(name)).expect("it is there");
            let expected = graph.filter(layer).and(layer.origin);
            assert_eq!(node.origin, expected, "{}", node.name);
        }
    }

    #[test]
    fn blocks_are_counted_by_strides() {
        check(
            &[
                "kind = 'conv', filters = 8, stride = 2",
                "kind = 'separable', filters = 8",
                "kind = 'separable', filters = 8, repeat = 2",
                "kind = 'separable', filters = 8, stride = 2",
                "kind = 'conv', filters = 8",
                "kind = 'depthwise', stride = 2",
                "kind = 'softmax'",
                "kind = 'pointwise', filters = 8",
                "kind = 'pointwise', filters = 8, name = 'before'",
                "kind = 'global_average_pool'",
                "kind = 'pointwise', filters = 8, name = 'behind'",
                "kind = 'dense'",
                "kind = 'softmax'",
            ],
            &[
                "conv_1 0.0 Stem",
                "conv_dw_1 0.0 Depthwise",
                "conv_pw_1 0.0 Pointwise",
                "conv_dw_2 0.1 Depthwise",
                "conv_pw_2 0.1 Pointwise",
                "conv_dw_3 0.2 Depthwise",
                "conv_pw_3 0.2 Pointwise",
                "conv_dw_4 1.0 Depthwise",
                "conv_pw_4 1.0 Pointwise",
                "conv_2 1.1 Conv",
                "conv_dw_5 2.0 Depthwise",
                "conv_pw_5 2.0 Pointwise",
                "before 0.0 Head",
                "behind 0.0 Head",
                "dense_1 0.0 Classifier",
            ],
        );
    }

    #[test]
    fn stages_may_be_said() {
        check(
            &[
                "kind = 'conv', filters = 8",
                "kind = 'conv', filters = 8, stage = 1",
                "kind = 'pointwise', filters = 8, stage = 1",
                "kind = 'depthwise', stage = 1",
                "kind = 'pointwise', filters = 8, stage = 1",
                "kind = 'depthwise', stage = 1",
                "kind = 'pointwise', filters = 8, stage = 3, repeat = 2",
                "kind = 'separable', filters = 8, stride = 2",
                "kind = 'pointwise', filters = 8, stage = 4",
                "kind = 'global_average_pool'",
                "kind = 'pointwise', filters = 8",
            ],
            &[
                "conv_1 0.0 Stem",
                "conv_2 1.0 Conv",
                "conv_pw_1 1.1 Conv",
                "conv_dw_1 1.2 Depthwise",
                "conv_pw_2 1.2 Pointwise",
                "conv_dw_2 1.3 Depthwise",
                "conv_pw_3 3.0 Conv",
                "conv_pw_4 3.1 Conv",
                "conv_dw_3 4.0 Depthwise",
                "conv_pw_5 4.0 Pointwise",
                "conv_pw_6 4.1 Conv",
                "conv_pw_7 0.0 Classifier",
            ],
        );
        check(
            &[
                "kind = 'conv', filters = 8, stage = 2",
                "kind = 'separable', name = 'x', filters = 8, stage = 1",
            ],
            &["x_dw: found stage 1 behind a layer of stage 2, expected 2 or more"],
        );
    }

    /// A map of several pixels is no classification.
    #[test]
    fn a_backbone_has_no_classifier() {
        check(
            &["kind = 'depthwise'", "kind = 'pointwise', filters = 8", "kind = 'pointwise', filters = 8"],
            &["conv_dw_1 0.0 Depthwise", "conv_pw_1 0.0 Pointwise", "conv_pw_2 0.0 Head"],
        );
    }
}
