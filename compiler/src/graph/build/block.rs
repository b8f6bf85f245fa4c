//! A block becomes its layers.

use super::super::Role;
use super::super::layer::Layer;
use super::Builder;
use crate::describe::{
    BlockPart, BlockSpec, ConvSpec, Expand, Padding, Reduce, Rounding, Sides, Slide, SqueezeSpec,
};

impl Builder<'_> {
    /// Adds one repeat of a block; only the first strides.
    pub(super) fn add_block(&mut self, block: &BlockSpec, names: Vec<String>, is_first: bool) {
        let input = self.last;
        let m = self.nodes[input.0].shape().channels;
        let stride = if is_first { block.spec.slide.stride } else { Sides::square(1) };
        let slide = Slide { stride, ..block.spec.slide };
        let strided = BlockSpec { spec: ConvSpec { slide, ..block.spec }, ..block.clone() };
        let (rounding, alpha) = (self.description.rounding, self.knobs.alpha);
        let n = block.filters.channels(rounding, alpha);
        self.walk.block(stride);
        for (part, name) in block.parts().into_iter().zip(names) {
            let spec = strided.spec_of(part);
            match part {
                BlockPart::Start => {
                    self.part(Role::StartDepthwise);
                    self.push_depthwise(name, &spec);
                }
                BlockPart::Expand => {
                    let width = match block.expand {
                        Some(Expand::Times(times)) => rounding.apply(times, m),
                        Some(Expand::To(width)) => width.channels(rounding, alpha),
                        None => m,
                    };
                    self.part(Role::Expand);
                    self.push_conv(name, &spec, width);
                }
                BlockPart::Middle => {
                    self.part(Role::Depthwise);
                    self.push_depthwise(name, &spec);
                }
                BlockPart::Squeeze => {
                    if let Some(squeeze) = &block.squeeze {
                        self.add_squeeze(name, squeeze);
                    }
                }
                BlockPart::Project => {
                    self.part(if block.expand.is_some() { Role::Project } else { Role::Pointwise });
                    self.push_conv(name, &spec, n);
                }
                BlockPart::Sum if stride == Sides::square(1) && m == n => {
                    self.origin = None;
                    let inputs = vec![self.last, input];
                    self.push(name, Layer::Add, inputs);
                }
                BlockPart::Sum => {}
            }
        }
    }

    /// The last map, each channel times its gate.
    pub(super) fn add_squeeze(&mut self, name: String, squeeze: &SqueezeSpec) {
        let map = self.last;
        let m = self.nodes[map.0].shape().channels;
        let (rounding, alpha) = (self.description.rounding, self.knobs.alpha);
        let between = match squeeze.reduce {
            Reduce::Times { times, multiple } => {
                multiple.map_or(rounding, |multiple| Rounding::Nearest { multiple }).apply(times, m)
            }
            Reduce::To(width) => width.channels(rounding, alpha),
        };
        self.origin = None;
        self.push(format!("{name}.pool"), Layer::GlobalAveragePool, vec![map]);
        let spec = ConvSpec {
            slide: Slide::POINTWISE,
            padding: Padding::Valid,
            activation: squeeze.activation,
            norm: None,
            bias: true,
        };
        self.part(Role::Reduce);
        self.push_conv(format!("{name}.reduce"), &spec, between);
        self.part(Role::Gate);
        self.push_conv(format!("{name}.expand"), &ConvSpec { activation: squeeze.gate, ..spec }, m);
        self.origin = None;
        self.push(name, Layer::Multiply, vec![map, self.last]);
    }

    fn part(&mut self, role: Role) {
        self.origin = Some(self.walk.part(self.next_id(), role));
    }
}

#[cfg(test)]
mod tests {
    use crate::describe::Description;
    use crate::graph::layer::Layer;
    use crate::graph::{Graph, Knobs, Node};

    /// Of each layer: name, shape, window, place, and the layers that it reads; or the faults.
    fn check(alpha: f64, layers: &[&str], expected: &[&str]) {
        let head = "name = \"net\"\nclasses = 5\ninput = { height = 8, width = 8, channels = 8 }\n\
                    alpha = { rounding = 'nearest', multiple = 8 }\n";
        let text = format!("{head}layer = [{{ {} }}]", layers.join(" }, { "));
        let description = Description::parse(&text, "net.toml").unwrap_or_else(|error| panic!("{error}"));
        let found: Vec<String> = match Graph::build(&description, &Knobs { alpha, resolution: None }) {
            Ok(graph) => {
                let follows =
                    |node: &Node| matches!(node.layer, Layer::BatchNorm { .. } | Layer::Activation(_));
                let layers = graph.nodes.iter().skip(1).filter(|node| !follows(node));
                layers.map(|node| line(&graph, node)).collect()
            }
            Err(error) => error.faults().iter().map(ToString::to_string).collect(),
        };
        assert_eq!(found, expected);
    }

    fn line(graph: &Graph, node: &Node) -> String {
        let window =
            node.layer.window().map(|window| format!(" {}/{}", window.rows.kernel, window.rows.stride));
        let place = node.origin.map(|at| format!(" {}.{} {:?}", at.stage, at.block, at.role));
        let inputs: Vec<&str> = node.inputs.iter().map(|id| graph.node(*id).name.as_str()).collect();
        let (window, place) = (window.unwrap_or_default(), place.unwrap_or_default());
        format!("{} {}{window}{place} <- {}", node.name, node.shape(), inputs.join(" "))
    }

    #[test]
    fn inverted_residuals() {
        check(
            0.5,
            &[
                "kind = 'conv', filters = 32",
                "kind = 'inverted_residual', expand = 1, filters = 32, activation = 'relu'",
                "kind = 'inverted_residual', expand = 4.5, kernel = 5, filters = 48, stride = 2, repeat = 2, name = 'x'",
                "kind = 'inverted_residual', expanded = 24, filters = 24, scaled = false, batch_norm = false",
                "kind = 'inverted_residual', expanded = 48, filters = 48, stage = 7",
                "kind = 'inverted_residual', filters = 48, stage = 7, residual = false",
                "kind = 'pointwise', filters = 1280, minimum = 1280",
            ],
            &[
                "conv_1 8x8x16 3/1 0.0 Stem <- input",
                "block_1_dw 8x8x16 3/1 0.0 Depthwise <- conv_1.relu6",
                "block_1_project 8x8x16 1/1 0.0 Pointwise <- block_1_dw.relu",
                "block_1_add 8x8x16 <- block_1_project.norm conv_1.relu6",
                // 4.5 x 16 = 72.
                "x_1_expand 8x8x72 1/1 1.0 Expand <- block_1_add",
                "x_1_dw 4x4x72 5/2 1.0 Depthwise <- x_1_expand.relu6",
                "x_1_project 4x4x24 1/1 1.0 Project <- x_1_dw.relu6",
                // 4.5 x 24 = 108, halfway: up.
                "x_2_expand 4x4x112 1/1 1.1 Expand <- x_1_project.norm",
                "x_2_dw 4x4x112 5/1 1.1 Depthwise <- x_2_expand.relu6",
                "x_2_project 4x4x24 1/1 1.1 Project <- x_2_dw.relu6",
                "x_2_add 4x4x24 <- x_2_project.norm x_1_project.norm",
                // As wide as the input, and yet a layer; neither width is scaled.
                "block_4_expand 4x4x24 1/1 1.2 Expand <- x_2_add",
                "block_4_dw 4x4x24 3/1 1.2 Depthwise <- block_4_expand.relu6",
                "block_4_project 4x4x24 1/1 1.2 Project <- block_4_dw.relu6",
                "block_4_add 4x4x24 <- block_4_project x_2_add",
                "block_5_expand 4x4x24 1/1 7.0 Expand <- block_4_add",
                "block_5_dw 4x4x24 3/1 7.0 Depthwise <- block_5_expand.relu6",
                "block_5_project 4x4x24 1/1 7.0 Project <- block_5_dw.relu6",
                "block_5_add 4x4x24 <- block_5_project.norm block_4_add",
                "block_6_dw 4x4x24 3/1 7.1 Depthwise <- block_5_add",
                "block_6_project 4x4x24 1/1 7.1 Pointwise <- block_6_dw.relu6",
                "conv_pw_1 4x4x1280 1/1 0.0 Head <- block_6_project.norm",
            ],
        );
    }

    #[test]
    fn their_relatives() {
        check(
            1.0,
            &[
                "kind = 'fused_inverted_residual', expand = 2, filters = 8",
                "kind = 'universal_inverted_bottleneck', start_kernel = 5, middle_kernel = 3, expand = 2, filters = 16, \
                 stride = 2, repeat = 2, name = 'u'",
                "kind = 'universal_inverted_bottleneck', start_kernel = 5, expand = 1, filters = 16, stride = 2",
                "kind = 'universal_inverted_bottleneck', expanded = 40, filters = 16",
            ],
            &[
                "block_1_expand 8x8x16 3/1 0.0 Expand <- input",
                "block_1_project 8x8x8 1/1 0.0 Project <- block_1_expand.relu6",
                "block_1_add 8x8x8 <- block_1_project.norm input",
                "u_1_start 8x8x8 5/1 1.0 StartDepthwise <- block_1_add",
                "u_1_expand 8x8x16 1/1 1.0 Expand <- u_1_start.norm",
                "u_1_dw 4x4x16 3/2 1.0 Depthwise <- u_1_expand.relu6",
                "u_1_project 4x4x16 1/1 1.0 Project <- u_1_dw.relu6",
                "u_2_start 4x4x16 5/1 1.1 StartDepthwise <- u_1_project.norm",
                "u_2_expand 4x4x32 1/1 1.1 Expand <- u_2_start.norm",
                "u_2_dw 4x4x32 3/1 1.1 Depthwise <- u_2_expand.relu6",
                "u_2_project 4x4x16 1/1 1.1 Project <- u_2_dw.relu6",
                "u_2_add 4x4x16 <- u_2_project.norm u_1_project.norm",
                "block_4_start 2x2x16 5/2 2.0 StartDepthwise <- u_2_add",
                "block_4_expand 2x2x16 1/1 2.0 Expand <- block_4_start.norm",
                "block_4_project 2x2x16 1/1 2.0 Project <- block_4_expand.relu6",
                "block_5_expand 2x2x40 1/1 2.1 Expand <- block_4_project.norm",
                "block_5_project 2x2x16 1/1 2.1 Project <- block_5_expand.relu6",
                "block_5_add 2x2x16 <- block_5_project.norm block_4_project.norm",
            ],
        );
    }

    /// Gates are between the depthwise convolution and what follows it, in its block.
    #[test]
    fn gates() {
        check(
            0.5,
            &[
                "kind = 'inverted_residual', expand = 9, filters = 16, reduce = 0.25",
                "kind = 'inverted_residual', filters = 16, reduce = 0.25, reduce_multiple = 3, residual = false, name = 'x'",
                "kind = 'separable', filters = 16, reduced = 48, name = 'y'",
                "kind = 'depthwise'",
                "kind = 'squeeze_excite', reduced = 5, scaled = false",
                "kind = 'pointwise', filters = 16",
            ],
            &[
                // 9 x 8, and 16 instead of 18 would be more than 10 % less.
                "block_1_expand 8x8x72 1/1 0.0 Expand <- input",
                "block_1_dw 8x8x72 3/1 0.0 Depthwise <- block_1_expand.relu6",
                "block_1_se.pool 1x1x72 <- block_1_dw.relu6",
                "block_1_se.reduce 1x1x24 1/1 0.0 Reduce <- block_1_se.pool",
                "block_1_se.expand 1x1x72 1/1 0.0 Gate <- block_1_se.reduce.relu",
                "block_1_se 8x8x72 <- block_1_dw.relu6 block_1_se.expand.hard_sigmoid",
                "block_1_project 8x8x8 1/1 0.0 Project <- block_1_se",
                "block_1_add 8x8x8 <- block_1_project.norm input",
                "x_dw 8x8x8 3/1 0.1 Depthwise <- block_1_add",
                "x_se.pool 1x1x8 <- x_dw.relu6",
                "x_se.reduce 1x1x3 1/1 0.1 Reduce <- x_se.pool",
                "x_se.expand 1x1x8 1/1 0.1 Gate <- x_se.reduce.relu",
                "x_se 8x8x8 <- x_dw.relu6 x_se.expand.hard_sigmoid",
                "x_project 8x8x8 1/1 0.1 Pointwise <- x_se",
                "y_dw 8x8x8 3/1 0.2 Depthwise <- x_project.norm",
                "y_se.pool 1x1x8 <- y_dw.relu6",
                "y_se.reduce 1x1x24 1/1 0.2 Reduce <- y_se.pool",
                "y_se.expand 1x1x8 1/1 0.2 Gate <- y_se.reduce.relu",
                "y_se 8x8x8 <- y_dw.relu6 y_se.expand.hard_sigmoid",
                "y_pw 8x8x8 1/1 0.2 Pointwise <- y_se",
                "conv_dw_2 8x8x8 3/1 0.3 Depthwise <- y_pw.relu6",
                "se_2.pool 1x1x8 <- conv_dw_2.relu6",
                "se_2.reduce 1x1x5 1/1 0.3 Reduce <- se_2.pool",
                "se_2.expand 1x1x8 1/1 0.3 Gate <- se_2.reduce.relu",
                "se_2 8x8x8 <- conv_dw_2.relu6 se_2.expand.hard_sigmoid",
                "conv_pw_2 8x8x8 1/1 0.3 Pointwise <- se_2",
            ],
        );
    }

    /// Channels agree and rows don't: that no input can be added is said, not passed over.
    #[test]
    fn a_residual_of_another_shape_is_a_fault() {
        let block = "kind = 'inverted_residual', filters = 8, padding = 'valid'";
        check(1.0, &[block], &["block_1_add: found 8x8x8 to add to 6x6x8, expected 6x6x8"]);
        let alone = format!("{block}, residual = false");
        check(
            1.0,
            &[&alone],
            &[
                "block_1_dw 6x6x8 3/1 0.0 Depthwise <- input",
                "block_1_project 6x6x8 1/1 0.0 Pointwise <- block_1_dw.relu6",
            ],
        );
    }
}
