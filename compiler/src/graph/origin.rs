//! Where in its network a layer stands: what exporters call tensors by.

/// The place of a layer with weights, left on its node by the description that it came from.
///
/// A network is a stem, a body of stages of blocks, a head and a classifier. Stages and blocks are counted as timm does
/// (`blocks.{stage}.{block}`): a layer's `stage` says the stage, and without it one begins where a block strides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    /// The stage of the body, from 0; 0 outside of the body.
    pub stage: usize,
    /// The block in its stage, from 0; 0 outside of the body.
    pub block: usize,
    /// What the layer does there.
    pub role: Role,
}

/// What a layer does in its block, or outside of the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// The first convolution, where it is a standard one of no stage.
    Stem,
    /// A convolution that is a block of its own.
    Conv,
    /// The 1x1 convolution that widens a block's map.
    Expand,
    /// A depthwise convolution before [`Role::Expand`].
    StartDepthwise,
    /// The depthwise convolution of a block.
    Depthwise,
    /// The 1x1 convolution behind a depthwise one that nothing has widened.
    Pointwise,
    /// The first layer of a squeeze-and-excite.
    Reduce,
    /// Its second.
    Gate,
    /// The 1x1 convolution that narrows a block's map.
    Project,
    /// A 1x1 convolution or dense layer between the body and the classifier, before or behind the pool.
    Head,
    /// The last layer, where it is dense or looks at one pixel.
    Classifier,
}

impl Role {
    /// Whether such a layer is part of a stage.
    pub fn is_of_body(self) -> bool {
        match self {
            Role::Stem | Role::Head | Role::Classifier => false,
            Role::Conv
            | Role::Expand
            | Role::StartDepthwise
            | Role::Depthwise
            | Role::Pointwise
            | Role::Reduce
            | Role::Gate
            | Role::Project => true,
        }
    }
}
