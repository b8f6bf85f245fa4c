//! `size`, `crop_size` and what says whether they count -> how the image is brought to size, and to which.

use serde_json::Value;

use super::super::json::{self, Object};
use super::super::keys;
use super::class::{Class, CropPct};
use crate::describe::{Margin, Resize};
use crate::error::Faults;

/// `size` or `crop_size`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Size {
    ShortestEdge(usize),
    Exact(usize, usize),
}

/// What becomes of an image, if the file says it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Extent {
    pub(super) resize: Option<Resize>,
    pub(super) height_width: Option<(usize, usize)>,
}

impl Extent {
    fn new(resize: Resize, height_width: Option<(usize, usize)>) -> Extent {
        Extent { resize: Some(resize), height_width }
    }

    /// Padding to the size that the image has is none.
    pub(super) fn check_pad(self, root: &Object<'_>, faults: &mut Faults) {
        let pads = root.read("do_pad", "true or false", faults, Value::as_bool) == Some(true);
        let to = read_size(root, "pad_size", true, faults);
        if !pads || (to.is_none() && root.has("pad_size")) {
            return;
        }
        if to.is_none() || to != self.height_width.map(|(height, width)| Size::Exact(height, width)) {
            let same = "false, or pad_size with the height and width that the image has by then";
            root.fault("do_pad", &format!("{same}: mnc doesn't pad so; {}", keys::PREPROCESSOR_WAY), faults);
        }
    }

    pub(super) fn read(
        root: &Object<'_>,
        class: Option<&Class>,
        resizes: bool,
        faults: &mut Faults,
    ) -> Extent {
        let is = |key: &str, faults: &mut Faults| root.read(key, "true or false", faults, Value::as_bool);
        let is_square = is("default_to_square", faults).unwrap_or(class.is_some_and(|class| class.is_square));
        let stated = read_size(root, "size", is_square, faults);
        let crop = read_size(root, "crop_size", true, faults);
        let does_crop = is("do_center_crop", faults);
        let crop_pct = root.read("crop_pct", "a number from 0.25 to 1", faults, |value| {
            json::positive(value).filter(|share| (0.25..=1.0).contains(share))
        });
        // What is there and wrong has been told.
        if (root.has("size") && stated.is_none()) || (root.has("crop_size") && crop.is_none()) {
            return Extent::default();
        }
        let size = stated.or(class.map(|class| class.size));
        let crops = does_crop.unwrap_or(match class {
            Some(class) => class.crop.is_some(),
            None => crop.is_some() || !matches!(size, Some(Size::Exact(..))),
        });
        let side = class.and_then(|class| class.crop);
        let crop = crop.or(side.map(|side| Size::Exact(side, side))).filter(|_| crops);
        let crop = match crop {
            Some(Size::ShortestEdge(_)) => {
                root.fault("crop_size", "height and width", faults);
                return Extent::default();
            }
            Some(Size::Exact(height, width)) => Some((height, width)),
            None => None,
        };
        if !resizes {
            return match (crops, size) {
                (true, _) => Extent::new(Resize::Crop, crop),
                (false, Some(Size::Exact(height, width))) if stated.is_some() => {
                    Extent::new(Resize::Keep, Some((height, width)))
                }
                (false, _) => Extent::new(Resize::Keep, None),
            };
        }
        let share = class.map_or(CropPct::Unused, |class| class.crop_pct);
        match (size, share) {
            (Some(Size::ShortestEdge(edge)), CropPct::Small(usual)) => {
                if crop.is_some_and(|crop| crop != (edge, edge)) {
                    root.fault("crop_size", &format!("{edge}x{edge}, as the size"), faults);
                }
                let resize = match edge < 384 {
                    true => Resize::Cover(Margin::CropPct(crop_pct.unwrap_or(usual))),
                    false => Resize::Stretch(Margin::NONE),
                };
                Extent::new(resize, Some((edge, edge)))
            }
            (Some(_), CropPct::Small(_)) => {
                root.fault("size", "its shortest_edge", faults);
                Extent::default()
            }
            (Some(Size::ShortestEdge(edge) | Size::Exact(edge, _)), CropPct::Always(usual)) => {
                let is_whole =
                    size == Some(Size::ShortestEdge(edge)) || size == Some(Size::Exact(edge, edge));
                if !is_whole || crop != Some((edge, edge)) {
                    root.fault("crop_size", &format!("{edge}x{edge}, as the size"), faults);
                }
                Extent::new(Resize::Cover(Margin::CropPct(crop_pct.unwrap_or(usual))), Some((edge, edge)))
            }
            (size, CropPct::Unused | CropPct::Always(_) | CropPct::Small(_)) => {
                if crop_pct.is_some() {
                    root.fault("crop_pct", "none: the class that is named doesn't read it", faults);
                }
                usual(root, size, crop, crops, faults)
            }
        }
    }
}

/// Of a class without rules of its own.
fn usual(
    root: &Object<'_>,
    size: Option<Size>,
    crop: Option<(usize, usize)>,
    crops: bool,
    faults: &mut Faults,
) -> Extent {
    match (size, crop) {
        (Some(Size::Exact(height, width)), None) if !crops => {
            Extent::new(Resize::Stretch(Margin::NONE), Some((height, width)))
        }
        (Some(Size::Exact(height, width)), Some((crop_height, crop_width))) => {
            let margin = Margin::Ratio(height as f64 / crop_height as f64);
            let fits = (margin.around(crop_height), margin.around(crop_width)) == (height, width);
            if !fits || height < crop_height || 4 * crop_height < height {
                let detail = format!(
                    "found {crop_height}x{crop_width}, expected at most the {height}x{width} of size, at least a quarter, and of its proportions"
                );
                faults.push(root.at("crop_size"), detail);
            }
            Extent::new(Resize::Stretch(margin), Some((crop_height, crop_width)))
        }
        (Some(Size::ShortestEdge(edge)), Some((height, width))) => {
            if height != width {
                let detail = format!("found {height}x{width} with a shortest_edge, expected a square");
                faults.push(root.at("crop_size"), detail);
            } else if 4 * height < edge {
                faults.push(
                    root.at("size: shortest_edge"),
                    format!("found {edge}, expected at most {}, 4 times what is cut out", 4 * height),
                );
            } else if edge < height {
                faults.push(
                    root.at("size: shortest_edge"),
                    format!("found {edge}, expected at least {height}, the side that is cut out"),
                );
            }
            let margin = Margin::Ratio(edge as f64 / height as f64);
            Extent::new(Resize::Cover(margin), Some((height, width)))
        }
        (Some(Size::ShortestEdge(_)), None) if !crops => {
            faults.push(
                root.at("do_center_crop"),
                "found false with a size by its shortest_edge, expected true: a network's input has one size",
            );
            Extent::default()
        }
        (_, height_width) => Extent { resize: None, height_width },
    }
}

/// What bounds a size without fixing it.
const BOUNDS: [&str; 3] = ["longest_edge", "max_height", "max_width"];

/// `{"shortest_edge": s}`, `{"height": h, "width": w}`, `[h, w]`, or a lone number as older files have it.
fn read_size(root: &Object<'_>, key: &str, is_square: bool, faults: &mut Faults) -> Option<Size> {
    let expected = "height and width, or shortest_edge and no other, from 1 to 16777216";
    let bounds =
        |edge: &&str| root.value(key).and_then(|size| size.get(*edge)).is_some_and(|value| !value.is_null());
    if let Some(bound) = BOUNDS.into_iter().find(|edge| bounds(edge)) {
        let way = r#"say resize = "border" or "stretch" in a description's [preprocess] and leave the file out (--preprocessor none)"#;
        let expected = format!(
            "height and width, or shortest_edge: with {bound} images have many sizes, and a network's input has one; {way}"
        );
        root.fault(key, &expected, faults);
        return None;
    }
    root.read(key, expected, faults, |value| {
        if let Some(items) = value.as_array() {
            return match items.iter().map(json::count).collect::<Option<Vec<usize>>>()?.as_slice() {
                [height, width] => Some(Size::Exact(*height, *width)),
                _ => None,
            };
        }
        let Some(map) = value.as_object() else {
            let side = json::count(value)?;
            return Some(if is_square { Size::Exact(side, side) } else { Size::ShortestEdge(side) });
        };
        let stated: Vec<(&str, usize)> = map
            .iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(key, value)| Some((key.as_str(), json::count(value)?)))
            .collect::<Option<_>>()?;
        match stated.as_slice() {
            [("height", height), ("width", width)] | [("width", width), ("height", height)] => {
                Some(Size::Exact(*height, *width))
            }
            [("shortest_edge", edge)] => Some(Size::ShortestEdge(*edge)),
            _ => None,
        }
    })
}
