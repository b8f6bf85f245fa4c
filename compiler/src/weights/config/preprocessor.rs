//! Hugging Face's `preprocessor_config.json` -> how an image becomes the input.

use super::Said;
use super::json::{self, Object};
use crate::describe::{Description, Margin, Resize};
use crate::error::{ErrorKind, Faults, Result};

/// What a `preprocessor_config.json` says: resize, cut, scale, normalise. A key that isn't there leaves the description as
/// it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PreprocessorConfig {
    resize: Option<Resize>,
    height_width: Option<(usize, usize)>,
    scale: Option<f64>,
    mean: Option<PerChannel>,
    std: Option<PerChannel>,
}

/// One number for all channels, or one for each.
#[derive(Clone, Debug, PartialEq)]
enum PerChannel {
    All(f64),
    Each(Vec<f64>),
}

/// `size` or `crop_size`.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Size {
    ShortestEdge(usize),
    Exact(usize, usize),
}

impl PreprocessorConfig {
    /// Reads a `preprocessor_config.json`. `place` names the file in errors.
    ///
    /// What the compiler's own preparation of images can't do (another filter than bilinear, no resizing, cutting out of a
    /// stretched image) is a fault: a network fed otherwise than it was trained loses accuracy silently.
    ///
    /// ```
    /// use mnc::weights::config::PreprocessorConfig;
    /// let text = r#"{"size": {"shortest_edge": 256}, "crop_size": {"height": 224, "width": 224}, "resample": 2}"#;
    /// PreprocessorConfig::parse(text, "preprocessor_config.json")?;
    ///
    /// let error = PreprocessorConfig::parse(r#"{"resample": 3}"#, "preprocessor_config.json").unwrap_err();
    /// assert_eq!(error.to_string(), "preprocessor_config.json: resample: found 3, expected 2, the bilinear filter");
    /// # Ok::<(), mnc::Error>(())
    /// ```
    pub fn parse(text: &str, place: &str) -> Result<PreprocessorConfig> {
        let root = json::parse(text, place)?;
        let root = json::root(&root, place)?;
        let mut faults = Faults::new(ErrorKind::Weights);
        root.read("resample", "2, the bilinear filter", &mut faults, |value| {
            value.as_u64().filter(|&filter| filter == 2)
        });
        root.read("do_resize", "true", &mut faults, |value| value.as_bool().filter(|&resizes| resizes));
        let (resize, height_width) = read_extent(&root, &mut faults);

        let mut does = |key: &str| {
            root.read(key, "true or false", &mut faults, serde_json::Value::as_bool).unwrap_or(true)
        };
        let (does_rescale, does_normalize) = (does("do_rescale"), does("do_normalize"));
        let factor = root.read("rescale_factor", json::POSITIVE, &mut faults, json::positive);
        let mean = root.read("image_mean", "a number or an array of numbers", &mut faults, |value| {
            PerChannel::read(value, json::number)
        });
        let std = root.read("image_std", "a number above 0 or an array of such", &mut faults, |value| {
            PerChannel::read(value, json::positive)
        });
        if let (Some(PerChannel::Each(mean)), Some(PerChannel::Each(std))) = (&mean, &std)
            && mean.len() != std.len()
        {
            faults.push(
                root.at("image_std"),
                format!("found {} numbers, expected {} as in image_mean", std.len(), mean.len()),
            );
        }
        faults.propagate()?;
        Ok(PreprocessorConfig {
            resize,
            height_width,
            scale: if does_rescale { factor } else { Some(1.0) },
            mean: if does_normalize { mean } else { Some(PerChannel::All(0.0)) },
            std: if does_normalize { std } else { Some(PerChannel::All(1.0)) },
        })
    }

    /// What of the training the file speaks of.
    pub fn said(&self) -> Said {
        let preprocess =
            self.resize.is_some() || self.scale.is_some() || self.mean.is_some() || self.std.is_some();
        Said { preprocess, ..Said::default() }
    }

    /// Changes the description to what the file says: input size, resizing, scale, mean, standard deviation.
    pub fn apply(&self, description: &mut Description) {
        let (input, preprocess) = (&mut description.input, &mut description.preprocess);
        (input.height, input.width) = self.height_width.unwrap_or((input.height, input.width));
        super::set(&mut preprocess.resize, self.resize);
        super::set(&mut preprocess.scale, self.scale);
        super::set(&mut preprocess.mean, self.mean.as_ref().map(|mean| mean.for_channels(input.channels)));
        super::set(&mut preprocess.std, self.std.as_ref().map(|std| std.for_channels(input.channels)));
    }
}

impl PerChannel {
    fn read(value: &serde_json::Value, convert: fn(&serde_json::Value) -> Option<f64>) -> Option<PerChannel> {
        if value.is_array() {
            return json::list(value, convert).map(PerChannel::Each);
        }
        convert(value).map(PerChannel::All)
    }

    fn for_channels(&self, channels: usize) -> Vec<f64> {
        match self {
            PerChannel::All(x) => vec![*x; channels],
            PerChannel::Each(numbers) => numbers.clone(),
        }
    }
}

/// How the image is brought to size, and to which, from `size`, `do_center_crop` and `crop_size`.
fn read_extent(root: &Object<'_>, faults: &mut Faults) -> (Option<Resize>, Option<(usize, usize)>) {
    let size = read_size(root, "size", Size::ShortestEdge, faults);
    let crop = read_size(root, "crop_size", |side| Size::Exact(side, side), faults);
    let does_crop = root
        .read("do_center_crop", "true or false", faults, serde_json::Value::as_bool)
        .unwrap_or(crop.is_some() || !matches!(size, Some(Size::Exact(..))));
    let crop = if does_crop { crop } else { None };
    match (size, crop) {
        (Some(Size::Exact(height, width)), None) if !does_crop => {
            (Some(Resize::Stretch(Margin::NONE)), Some((height, width)))
        }
        (Some(Size::Exact(height, width)), Some(Size::Exact(crop_height, crop_width))) => {
            if (height, width) != (crop_height, crop_width) {
                faults.push(
                    root.at("crop_size"),
                    format!(
                        "found {crop_height}x{crop_width}, expected {height}x{width} as in size, or size by its \
                         shortest_edge"
                    ),
                );
            }
            (Some(Resize::Stretch(Margin::NONE)), Some((height, width)))
        }
        (Some(Size::ShortestEdge(edge)), Some(Size::Exact(height, width))) => {
            let side = height.min(width);
            if edge < side {
                faults.push(
                    root.at("size: shortest_edge"),
                    format!("found {edge}, expected at least {side}, the side that is cut out"),
                );
            }
            (Some(Resize::Cover(Margin::Ratio(edge as f64 / side as f64))), Some((height, width)))
        }
        (Some(Size::ShortestEdge(_)), None) if !does_crop => {
            faults.push(
                root.at("do_center_crop"),
                "found false with a size by its shortest_edge, expected true: a network's input has one size",
            );
            (None, None)
        }
        (None, Some(Size::Exact(height, width))) => (None, Some((height, width))),
        (_, Some(Size::ShortestEdge(_))) => {
            faults.push(root.at("crop_size"), "found a shortest_edge, expected height and width");
            (None, None)
        }
        (_, None) => (None, None),
    }
}

/// `{"shortest_edge": s}`, `{"height": h, "width": w}`, or a lone number as older files have it.
fn read_size(root: &Object<'_>, key: &str, lone: fn(usize) -> Size, faults: &mut Faults) -> Option<Size> {
    root.read(key, "shortest_edge, or height and width, from 1 to 16777216", faults, |value| {
        if !value.is_object() {
            return json::count(value).map(lone);
        }
        let side = |key: &str| value.get(key).and_then(json::count);
        match (side("height"), side("width")) {
            (Some(height), Some(width)) => Some(Size::Exact(height, width)),
            _ => side("shortest_edge").map(Size::ShortestEdge),
        }
    })
}
