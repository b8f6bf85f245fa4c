//! What an exporter's network has otherwise than the built-in one, where no key of a description says it.

use crate::describe::{
    BlockSpec, ConvSpec, Description, Expand, LayerKind, LayerSpec, Padding, Reduce, Sides, Slide, Width,
};

/// One difference.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Change {
    /// Alpha doesn't apply to the first convolution.
    FixStem,
    /// Nor to the one before the pool.
    FixHead,
    /// Alpha may make the head narrower too.
    ScaleHead,
    /// A 1x1 convolution of so many channels or alpha times as many, before the pool.
    AddHead {
        /// At alpha 1 and below.
        channels: usize,
    },
    /// Nothing stands between the pool and the classifier.
    DropTop,
    /// The first block widens its map, by 1.
    WidenFirstBlock,
    /// Blocks widen their map so many times.
    Expand(f64),
    /// Each stage has so many times as many blocks, rounded up, but for the first and the last.
    Deepen {
        /// Above 1.
        times: f64,
    },
    /// Blocks don't stride where the map is so many times smaller than the input; their windows' taps are apart instead.
    Dilate {
        /// 8 or 16.
        output_stride: usize,
    },
    /// As the author of timm built V3 first: the first block adds nothing, gates have the activation of their block and an unrounded
    /// width, the head has no bias.
    FirstV3,
}

impl Change {
    /// Makes the description of the built-in network that of the exporter's.
    pub(super) fn apply(&self, description: &mut Description) {
        let layers = &mut description.layers;
        match self {
            Change::FixStem => {
                if let Some(LayerKind::Conv { filters, .. }) = layers.first_mut().map(|layer| &mut layer.kind)
                {
                    *filters = Width::Fixed(filters.written());
                }
            }
            Change::FixHead => {
                if let Some(filters) = head(layers) {
                    *filters = Width::Fixed(filters.written());
                }
            }
            Change::ScaleHead => {
                if let Some(filters) = head(layers) {
                    *filters = Width::Scaled { channels: filters.written(), minimum: 1 };
                }
            }
            Change::AddHead { channels } => {
                let spec = layers.iter().find_map(|layer| layer.kind.spec().copied());
                let (Some(spec), Some(at)) = (spec, pool(layers)) else { return };
                let spec = ConvSpec { slide: Slide::POINTWISE, padding: Padding::Valid, ..spec };
                let filters = Width::Scaled { channels: *channels, minimum: *channels };
                let kind = LayerKind::Conv { spec, filters, groups: 1 };
                layers.insert(at, LayerSpec { name: None, input: None, repeat: 1, stage: None, kind });
            }
            Change::DropTop => {
                let (Some(pool), Some(last)) = (pool(layers), layers.len().checked_sub(1)) else { return };
                if pool < last {
                    layers.drain(pool + 1..last);
                }
            }
            Change::WidenFirstBlock => {
                let stem = layers.iter().find_map(|layer| match layer.kind {
                    LayerKind::Conv { filters, .. } => Some(filters),
                    _ => None,
                });
                // By its width: `expand = 1` is no layer in a description.
                let expand = stem.map(Expand::To);
                if let Some(block) = blocks(layers).next() {
                    block.expand = expand;
                }
            }
            Change::Expand(ratio) => {
                for block in blocks(layers) {
                    if let Some(Expand::Times(times)) = &mut block.expand {
                        *times = *ratio;
                    }
                }
            }
            Change::Deepen { times } => {
                let mut stages: Vec<&mut LayerSpec> =
                    layers.iter_mut().filter(|layer| matches!(layer.kind, LayerKind::Block(_))).collect();
                let n_stages = stages.len();
                for layer in stages.iter_mut().take(n_stages.saturating_sub(1)).skip(1) {
                    layer.repeat = (layer.repeat as f64 * times).ceil() as usize;
                }
            }
            Change::Dilate { output_stride } => *layers = dilated(layers, *output_stride),
            Change::FirstV3 => {
                if let Some(block) = blocks(layers).next() {
                    block.residual = false;
                }
                for BlockSpec { spec, squeeze, .. } in blocks(layers) {
                    let Some(squeeze) = squeeze else { continue };
                    squeeze.activation = spec.activation;
                    if let Reduce::Times { multiple, .. } = &mut squeeze.reduce {
                        *multiple = Some(1);
                    }
                }
                let after = pool(layers).unwrap_or(layers.len());
                if let Some(spec) = layers[after..].iter_mut().find_map(|layer| layer.kind.spec_mut()) {
                    spec.bias = false;
                }
            }
        }
    }
}

/// The layers without the steps behind that stride; distances between taps take their place from the next block on.
fn dilated(layers: &[LayerSpec], output_stride: usize) -> Vec<LayerSpec> {
    let (mut stride, mut dilation) = (1, 1);
    let mut all = Vec::new();
    for layer in layers {
        let step = layer.kind.spec().map_or(1, |spec| spec.slide.stride.rows);
        let is_block = matches!(layer.kind, LayerKind::Block(_));
        if !is_block || stride < output_stride {
            stride *= step;
            all.push(layer.clone());
            continue;
        }
        // The first repeat has the distance of the block before.
        let parts = [(1, dilation), (layer.repeat - 1, dilation * step)];
        dilation *= step;
        for (repeat, distance) in parts {
            let mut layer = LayerSpec { repeat, ..layer.clone() };
            if let Some(spec) = layer.kind.spec_mut() {
                spec.slide.stride = Sides::square(1);
                spec.slide.dilation = Sides::square(distance);
            }
            if 0 < repeat {
                all.push(layer);
            }
        }
    }
    all
}

fn blocks(layers: &mut [LayerSpec]) -> impl Iterator<Item = &mut BlockSpec> {
    layers.iter_mut().filter_map(|layer| match &mut layer.kind {
        LayerKind::Block(block) => Some(block),
        _ => None,
    })
}

fn pool(layers: &[LayerSpec]) -> Option<usize> {
    layers.iter().position(|layer| matches!(layer.kind, LayerKind::GlobalAveragePool))
}

/// N of the convolution before the pool.
fn head(layers: &mut [LayerSpec]) -> Option<&mut Width> {
    let at = pool(layers)?;
    match &mut layers[..at].last_mut()?.kind {
        LayerKind::Conv { filters, .. } => Some(filters),
        _ => None,
    }
}
