//! The names of layers that their author gave none, and of those that one described layer becomes.

use std::collections::HashMap;

use super::layer::Pooling;
use crate::describe::{Description, LayerKind, LayerSpec, Slide};

/// Kinds that are counted apart when layers are named.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Conv,
    Depthwise,
    Pointwise,
    Block,
    Squeeze,
    Add,
    Multiply,
    MaxPool,
    AveragePool,
    Concat,
    Upsample,
    Pool,
    Dense,
    Softmax,
}

impl Kind {
    fn stem(self) -> &'static str {
        match self {
            Kind::Conv => "conv",
            Kind::Depthwise => "conv_dw",
            Kind::Pointwise => "conv_pw",
            Kind::Block => "block",
            Kind::Squeeze => "se",
            Kind::Add => "add",
            Kind::Multiply => "multiply",
            Kind::MaxPool => "max_pool",
            Kind::AveragePool => "average_pool",
            Kind::Concat => "concat",
            Kind::Upsample => "upsample",
            Kind::Pool => "pool",
            Kind::Dense => "dense",
            Kind::Softmax => "softmax",
        }
    }
}

/// Gives layers their names.
#[derive(Default)]
pub(super) struct Names {
    /// Layers of each kind so far, named ones too: `conv_dw_3` is the third depthwise layer whatever the others are called.
    n_kinds: HashMap<Kind, usize>,
}

impl Names {
    /// Those of the layers that one repeat of a described layer becomes, in their order.
    fn of(&mut self, kind: &LayerKind, name: Option<&str>) -> Vec<String> {
        let mut layer = |kind: Kind, ending: &str| {
            let n = self.n_kinds.entry(kind).or_insert(0);
            *n += 1;
            name.map_or_else(|| format!("{}_{n}", kind.stem()), |name| format!("{name}{ending}"))
        };
        match kind {
            LayerKind::Conv { spec, .. } if spec.slide == Slide::POINTWISE => {
                vec![layer(Kind::Pointwise, "")]
            }
            LayerKind::Conv { .. } => vec![layer(Kind::Conv, "")],
            LayerKind::Depthwise { .. } => vec![layer(Kind::Depthwise, "")],
            LayerKind::Separable { squeeze, .. } => {
                let depthwise = layer(Kind::Depthwise, "_dw");
                let squeeze = squeeze.map(|_| layer(Kind::Squeeze, "_se"));
                [depthwise].into_iter().chain(squeeze).chain([layer(Kind::Pointwise, "_pw")]).collect()
            }
            LayerKind::SqueezeExcite(_) => vec![layer(Kind::Squeeze, "")],
            LayerKind::Block(block) => {
                let name = layer(Kind::Block, "");
                block.parts().iter().map(|part| name.clone() + part.ending()).collect()
            }
            LayerKind::Add { .. } => vec![layer(Kind::Add, "")],
            LayerKind::Multiply { .. } => vec![layer(Kind::Multiply, "")],
            LayerKind::Pool { pooling: Pooling::Max, .. } => vec![layer(Kind::MaxPool, "")],
            LayerKind::Pool { pooling: Pooling::Average { .. }, .. } => vec![layer(Kind::AveragePool, "")],
            LayerKind::Concat { .. } => vec![layer(Kind::Concat, "")],
            LayerKind::Upsample { .. } => vec![layer(Kind::Upsample, "")],
            LayerKind::GlobalAveragePool => vec![layer(Kind::Pool, "")],
            LayerKind::Dense { .. } => vec![layer(Kind::Dense, "")],
            LayerKind::Softmax => vec![layer(Kind::Softmax, "")],
        }
    }

    /// The same for each of its repeats.
    pub(super) fn repeats(&mut self, layer: &LayerSpec) -> Vec<Vec<String>> {
        let repeat = |idx: usize| {
            let name = layer.name.as_ref();
            let name =
                name.map(|name| if layer.repeat == 1 { name.clone() } else { format!("{name}_{idx}") });
            self.of(&layer.kind, name.as_deref())
        };
        (1..=layer.repeat).map(repeat).collect()
    }
}

/// For each described layer, the names of the layers that it becomes, repeats included; batch norms and activations are called
/// after them.
pub(super) fn layer_names(description: &Description) -> Vec<Vec<String>> {
    let mut names = Names::default();
    description.layers.iter().map(|layer| names.repeats(layer).concat()).collect()
}
