//! What a timm model's `config.json` says of pictures: size, crop, filter, mean, deviation.

use super::super::json::{self, Object};
use super::super::{ModelConfig, not_one_each, set};
use crate::describe::{CropRounding, Margin, Resample, Resize};
use crate::error::Faults;

/// What is there; what isn't is `None`.
#[derive(Clone, Debug, Default)]
pub(super) struct Pictures {
    height_width: Option<(usize, usize)>,
    channels: Option<usize>,
    crop_pct: Option<f64>,
    mode: Option<Mode>,
    filter: Option<Resample>,
    mean: Option<Vec<f64>>,
    std: Option<Vec<f64>>,
}

/// timm's `crop_mode`.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mode {
    Center,
    Squash,
    Border,
}

/// The keys by which a file is known to speak of pictures.
pub(super) const KEYS: [&str; 6] = ["input_size", "interpolation", "crop_pct", "crop_mode", "mean", "std"];

/// What timm does where nobody says it.
struct Defaults {
    filter: Resample,
    crop_pct: f64,
    mean: [f64; 3],
    std: [f64; 3],
}

const DEFAULT: Defaults = Defaults {
    filter: Resample::Bicubic,
    crop_pct: 0.875,
    mean: [0.485, 0.456, 0.406],
    std: [0.229, 0.224, 0.225],
};

const INTERPOLATIONS: &str = r#""bicubic", "bilinear", "nearest", "lanczos", "box" or "hamming""#;

impl Pictures {
    /// Reads the keys, each of the object that `find` names for it.
    pub(super) fn read<'o, 'j: 'o>(find: impl Fn(&str) -> &'o Object<'j>, faults: &mut Faults) -> Pictures {
        let input_size =
            find("input_size").read("input_size", "[channels, height, width]", faults, |value| {
                <[usize; 3]>::try_from(json::list(value, json::count)?).ok()
            });
        let in_chans = find("in_chans").read("in_chans", json::COUNT, faults, json::count);
        let crop_pct = find("crop_pct").read("crop_pct", "a number from 0.25 to 1", faults, |value| {
            json::not_negative(value).filter(|&share| share == 0.0 || (0.25..=1.0).contains(&share))
        });
        let filter = find("interpolation").read("interpolation", INTERPOLATIONS, faults, |value| {
            let name = value.as_str()?;
            let name = if name.is_empty() { DEFAULT.filter.name() } else { name };
            Resample::ALL.into_iter().find(|filter| filter.name() == name)
        });
        let mode =
            find("crop_mode").read("crop_mode", r#""center", "squash" or "border""#, faults, |value| {
                match value.as_str()? {
                    "" | "center" => Some(Mode::Center),
                    "squash" => Some(Mode::Squash),
                    "border" => Some(Mode::Border),
                    _ => None,
                }
            });
        // A model for grey pictures keeps the size of the coloured ones that its weights came with.
        let channels = in_chans.or(input_size.map(|[channels, ..]| channels));
        let mut numbers = |key: &str, expected: &str, convert: fn(&serde_json::Value) -> Option<f64>| {
            let found = find(key).read(key, expected, faults, |value| json::list(value, convert))?;
            let n_found = found.len();
            let fitted = for_channels(found, channels.unwrap_or(3));
            if fitted.is_none() {
                faults.push(find(key).at(key), not_one_each(n_found, channels.unwrap_or(3)));
            }
            fitted
        };
        let mean = numbers("mean", "an array of numbers", json::summand);
        let std = numbers("std", "an array of numbers above 0", json::factor);
        if let (Some(Mode::Border), Some(mean)) = (mode, &mean)
            && !mean.iter().all(|mean| (0.0..=1.0).contains(mean))
        {
            let place = find("mean");
            place.fault("mean", r#"numbers from 0 to 1, the border of crop_mode "border""#, faults);
        }
        let height_width = input_size.map(|[_, height, width]| (height, width));
        Pictures {
            height_width,
            channels,
            crop_pct: crop_pct.filter(|&share| share != 0.0),
            mode,
            filter,
            mean,
            std,
        }
    }

    /// With timm's own values where the file has none.
    pub(super) fn or_default(self) -> Pictures {
        let has_three = self.channels.unwrap_or(3) == 3;
        let or = |numbers: Option<Vec<f64>>, default: [f64; 3]| {
            numbers.or_else(|| has_three.then(|| default.to_vec()))
        };
        Pictures {
            crop_pct: self.crop_pct.or(Some(DEFAULT.crop_pct)),
            mode: self.mode.or(Some(Mode::Center)),
            filter: self.filter.or(Some(DEFAULT.filter)),
            mean: or(self.mean, DEFAULT.mean),
            std: or(self.std, DEFAULT.std),
            ..self
        }
    }

    /// Writes what is there over what a configuration says.
    pub(super) fn apply(self, config: &mut ModelConfig) {
        if self.crop_pct.is_some() || self.mode.is_some() {
            let margin = Margin::CropPct(self.crop_pct.unwrap_or(DEFAULT.crop_pct));
            config.resize = Some(match self.mode.unwrap_or(Mode::Center) {
                Mode::Center => Resize::Cover(margin),
                Mode::Squash => Resize::Stretch(margin),
                Mode::Border => Resize::Border(margin),
            });
            config.crop_rounding = Some(CropRounding::Even);
        }
        if self.mode == Some(Mode::Border) {
            let mean = self.mean.as_ref().or(config.mean.as_ref());
            config.fill = mean.map(|mean| mean.iter().map(|x| (255.0 * x).round_ties_even() as u8).collect());
        }
        config.height_width = self.height_width.or(config.height_width);
        config.channels = self.channels.or(config.channels);
        set(&mut config.resample, self.filter.map(Some));
        set(&mut config.mean, self.mean.map(Some));
        set(&mut config.std, self.std.map(Some));
    }
}

/// One number is that of all channels; a grey picture has the mean of those of a coloured one.
fn for_channels(numbers: Vec<f64>, channels: usize) -> Option<Vec<f64>> {
    match (numbers.len(), channels) {
        (found, channels) if found == channels => Some(numbers),
        (1, channels) => Some(vec![numbers[0]; channels]),
        (found, 1) => Some(vec![numbers.iter().sum::<f64>() / found as f64]),
        _ => None,
    }
}
