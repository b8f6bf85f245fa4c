//! A description need not come from a file: what the parser promises is checked again where arithmetic relies on it.

use crate::describe::{
    Description, Expand, INPUT_NAME, LayerKind, MAX_CHANNELS, MAX_DILATION, MAX_EXPAND, MAX_JOINED,
    MAX_KERNEL, MAX_LAYERS, MAX_MULTIPLIER, MAX_PAD, MAX_SIDE, MAX_STRIDE, MAX_UPSAMPLE, Padding, Pads,
    Reduce, Rounding, Slide, Width,
};
use crate::error::{Faults, Place};

/// Notes every number of a description that no file could have.
pub(super) fn check_ranges(description: &Description, faults: &mut Faults) {
    let (input, network) = (Place::layer(INPUT_NAME), Place::named("network"));
    let alpha = Place::flag("alpha");
    let mut check = |place: &Place, what: &str, found: usize, last: usize| {
        if found < 1 || last < found {
            faults.push(place.clone(), format!("found {what} {found}, expected 1 to {last}"));
        }
    };
    check(&input, "height", description.input.height, MAX_SIDE);
    check(&input, "width", description.input.width, MAX_SIDE);
    check(&input, "channels", description.input.channels, MAX_CHANNELS);
    check(&network, "classes", description.classes, MAX_CHANNELS);
    match description.rounding {
        Rounding::Floor { minimum } => check(&alpha, "minimum", minimum, MAX_CHANNELS),
        Rounding::Nearest { multiple } => check(&alpha, "multiple", multiple, MAX_CHANNELS),
        Rounding::NearestOfWhole { multiple, minimum } => {
            check(&alpha, "multiple", multiple, MAX_CHANNELS);
            check(&alpha, "minimum", minimum, MAX_CHANNELS);
        }
    }
    let total = description.layers.iter().fold(0, |sum: usize, layer| sum.saturating_add(layer.n_layers()));
    check(&network, "number of layers", total, MAX_LAYERS);
    let mut factors = Vec::new();
    for (idx, layer) in description.layers.iter().enumerate() {
        let place = Place::Layer(layer.name.clone().unwrap_or_else(|| format!("layer {}", idx + 1)));
        check(&place, "repeat", layer.repeat, MAX_LAYERS);
        for width in layer.kind.widths() {
            check(&place, "channels", width.written(), MAX_CHANNELS);
            if let Width::Scaled { minimum, .. } = width {
                check(&place, "minimum", minimum, MAX_CHANNELS);
            }
        }
        if let Some(Reduce::Times { times, multiple }) = layer.kind.squeeze().map(|squeeze| squeeze.reduce) {
            check(&place, "reduce multiple", multiple.unwrap_or(1), MAX_CHANNELS);
            if !(0.0 < times && times <= 1.0) {
                factors.push((place.clone(), "reduce", times, 1.0));
            }
        }
        if let LayerKind::Conv { groups, .. } = layer.kind {
            check(&place, "groups", groups, MAX_CHANNELS);
        }
        if let LayerKind::Depthwise { multiplier, .. } = layer.kind {
            check(&place, "multiplier", multiplier, MAX_MULTIPLIER);
        }
        if let LayerKind::Block(block) = &layer.kind {
            if let Some(kernel) = block.start_kernel {
                check(&place, "start kernel", kernel.rows, MAX_KERNEL);
                check(&place, "start kernel", kernel.columns, MAX_KERNEL);
            }
            if let Some(Expand::Times(times)) = block.expand
                && !(0.0 < times && times <= MAX_EXPAND)
            {
                factors.push((place.clone(), "expand", times, MAX_EXPAND));
            }
        }
        if let LayerKind::Concat { from } = &layer.kind {
            check(&place, "layers to join", from.len(), MAX_JOINED - 1);
        }
        if let LayerKind::Upsample { factor } = &layer.kind {
            check(&place, "factor", *factor, MAX_UPSAMPLE);
        }
        let spec = layer.kind.spec().map(|spec| (spec.slide, spec.padding));
        let pool = if let LayerKind::Pool { slide, padding, .. } = &layer.kind {
            Some((*slide, *padding))
        } else {
            None
        };
        if let Some((slide, padding)) = spec.or(pool) {
            let Slide { kernel, stride, dilation } = slide;
            for (what, sides, most) in [
                ("kernel", kernel, MAX_KERNEL),
                ("stride", stride, MAX_STRIDE),
                ("dilation", dilation, MAX_DILATION),
            ] {
                check(&place, what, sides.rows, most);
                check(&place, what, sides.columns, most);
            }
            if let Padding::Numbers(Pads { top, left, bottom, right }) = padding {
                let most = top.max(left).max(bottom).max(right);
                check(&place, "padding", most.max(1), MAX_PAD);
            }
        }
    }
    for (place, what, times, last) in factors {
        faults.push(place, format!("found {what} {times:?}, expected a number above 0, at most {last:?}"));
    }
}
