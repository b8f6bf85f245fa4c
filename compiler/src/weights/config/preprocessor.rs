//! Hugging Face's `preprocessor_config.json` -> how an image becomes the input.

mod class;
mod extent;

use self::class::Class;
use self::extent::Extent;
use super::Said;
use super::json::{self, Object};
use super::keys;
use crate::describe::{ChannelOrder, Description, Resample, Resize};
use crate::error::{ErrorKind, Faults, Place, Result};

/// What a `preprocessor_config.json` says: resize, cut, scale, normalise. A key that isn't there has the default of the class that
/// the file names; if it names none, the description stays as it is there.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PreprocessorConfig {
    resize: Option<Resize>,
    resample: Option<Resample>,
    height_width: Option<(usize, usize)>,
    scale: Option<f64>,
    mean: Option<PerChannel>,
    std: Option<PerChannel>,
    channel_order: Option<ChannelOrder>,
    unknown: Vec<String>,
}

/// One number for all channels, or one for each.
#[derive(Clone, Debug, PartialEq)]
enum PerChannel {
    All(f64),
    Each(Vec<f64>),
}

/// How a pixel's value becomes the network's: (x * scale - offset - mean) / std.
#[derive(Clone, Debug, Default, PartialEq)]
struct Values {
    scale: Option<f64>,
    mean: Option<PerChannel>,
    std: Option<PerChannel>,
}

impl PreprocessorConfig {
    /// Reads a `preprocessor_config.json`, or a `processor_config.json` that has one within. `place` names the file in errors.
    ///
    /// What the compiler's own preparation of images can't do (a size of only the longest edge, padding to it) is a fault: a network fed
    /// otherwise than it was trained loses accuracy silently.
    ///
    /// ```
    /// use mnc::weights::config::PreprocessorConfig;
    /// let text = r#"{"size": {"shortest_edge": 256}, "crop_size": {"height": 224, "width": 224}, "resample": 3}"#;
    /// PreprocessorConfig::parse(text, "preprocessor_config.json")?;
    ///
    /// let error = PreprocessorConfig::parse(r#"{"resample": "area"}"#, "preprocessor_config.json").unwrap_err();
    /// assert_eq!(
    ///     error.to_string(),
    ///     "preprocessor_config.json: resample: found \"area\", expected 0 (nearest), 1 (lanczos), 2 (bilinear), \
    ///      3 (bicubic), 4 (box) or 5 (hamming)"
    /// );
    /// # Ok::<(), mnc::Error>(())
    /// ```
    pub fn parse(text: &str, place: &str) -> Result<PreprocessorConfig> {
        let root = json::parse(text, place)?;
        let root = json::root(&root, place)?;
        let mut faults = Faults::new(ErrorKind::Weights);
        let within = root.object("image_processor", &mut faults);
        let config = read(within.as_ref().unwrap_or(&root), &mut faults);
        faults.propagate()?;
        Ok(config)
    }

    /// What of the training the file speaks of.
    pub fn said(&self) -> Said {
        let preprocess =
            self.resize.is_some() || self.scale.is_some() || self.mean.is_some() || self.std.is_some();
        Said { preprocess, resolution: self.height_width.is_some(), ..Said::default() }
    }

    /// Keys that nobody knows, which are passed over.
    pub fn unknown(&self) -> &[String] {
        &self.unknown
    }

    /// Checks that there is a mean and a deviation for each channel of the input, as transformers does. Equal ones for a coloured
    /// picture are that of a grey one too.
    ///
    /// # Errors
    /// Which key has how many numbers.
    ///
    /// ```
    /// use mnc::weights::config::PreprocessorConfig;
    /// let config = PreprocessorConfig::parse(r#"{"image_mean": [0.4, 0.5]}"#, "p.json")?;
    /// assert_eq!(
    ///     config.check_channels(3, "p.json").unwrap_err().to_string(),
    ///     "p.json: image_mean: found 2 numbers, expected 3, one for each channel of the input"
    /// );
    /// # Ok::<(), mnc::Error>(())
    /// ```
    pub fn check_channels(&self, channels: usize, place: &str) -> Result<()> {
        let mut faults = Faults::new(ErrorKind::Weights);
        for (key, numbers) in [("image_mean", &self.mean), ("image_std", &self.std)] {
            let found = numbers.as_ref().map_or(channels, |numbers| numbers.for_channels(channels).len());
            if found != channels {
                let place = Place::Entry { file: place.to_owned(), key: key.to_owned() };
                faults.push(place, super::not_one_each(found, channels));
            }
        }
        faults.propagate()
    }

    /// Changes the description to what the file says: input size, resizing, scale, mean, standard deviation.
    pub fn apply(&self, description: &mut Description) {
        let (input, preprocess) = (&mut description.input, &mut description.preprocess);
        (input.height, input.width) = self.height_width.unwrap_or((input.height, input.width));
        super::set(&mut preprocess.resize, self.resize);
        super::set(&mut preprocess.resample, self.resample);
        if self.resize.is_some() {
            // That of transformers, whoever's the description's is.
            preprocess.crop_rounding = Default::default();
        }
        super::set(&mut preprocess.scale, self.scale);
        super::set(&mut preprocess.mean, self.mean.as_ref().map(|mean| mean.for_channels(input.channels)));
        super::set(&mut preprocess.std, self.std.as_ref().map(|std| std.for_channels(input.channels)));
        super::set(&mut preprocess.channel_order, self.channel_order);
    }
}

fn read(root: &Object<'_>, faults: &mut Faults) -> PreprocessorConfig {
    let unknown = keys::settle(root, keys::PREPROCESSOR, keys::PREPROCESSOR_WAY, faults);
    let class = class::read(root, faults);
    let is = |key: &str, default: Option<bool>, faults: &mut Faults| {
        root.read(key, "true or false", faults, serde_json::Value::as_bool).or(default)
    };
    let resize = is("do_resize", None, faults).unwrap_or(true);
    let filter = root.read("resample", RESAMPLES, faults, resample);
    let extent = Extent::read(root, class, resize, faults);
    extent.check_pad(root, faults);
    if filter.is_none() && !root.has("resample") && class.is_some_and(|class| class.resample.is_none()) {
        root.fault("resample", "a filter: versions of transformers have different ones by default", faults);
    }
    let flips = is("do_flip_channel_order", class.map(|class| class.flips), faults);
    let values = read_values(root, class, flips == Some(true), faults);
    PreprocessorConfig {
        resize: extent.resize,
        resample: filter.or(class.and_then(|class| class.resample)).filter(|_| resize),
        height_width: extent.height_width,
        scale: values.scale,
        mean: values.mean,
        std: values.std,
        channel_order: flips.map(|flips| if flips { ChannelOrder::Bgr } else { ChannelOrder::Rgb }),
        unknown,
    }
}

const RESAMPLES: &str = "0 (nearest), 1 (lanczos), 2 (bilinear), 3 (bicubic), 4 (box) or 5 (hamming)";

/// Pillow's numbers.
fn resample(value: &serde_json::Value) -> Option<Resample> {
    match value.as_u64()? {
        0 => Some(Resample::Nearest),
        1 => Some(Resample::Lanczos),
        2 => Some(Resample::Bilinear),
        3 => Some(Resample::Bicubic),
        4 => Some(Resample::Box),
        5 => Some(Resample::Hamming),
        _ => None,
    }
}

fn read_values(root: &Object<'_>, class: Option<&Class>, flips: bool, faults: &mut Faults) -> Values {
    let is = |key: &str, default: bool, faults: &mut Faults| {
        root.read(key, "true or false", faults, serde_json::Value::as_bool).unwrap_or(default)
    };
    let rescales = is("do_rescale", true, faults);
    let normalizes = is("do_normalize", true, faults) && class.is_none_or(|class| class.normal.is_some());
    let offset = is("rescale_offset", false, faults) && rescales;
    let twice = is("include_top", class.is_some_and(|class| class.divides_twice), faults);
    let factor = root.read("rescale_factor", json::FACTOR, faults, json::factor);
    let mean =
        root.read("image_mean", "a number or an array of numbers, from -1e9 to 1e9", faults, |value| {
            PerChannel::read(value, json::summand)
        });
    let std = root.read("image_std", "a number or an array of numbers, from 1e-9 to 1e9", faults, |value| {
        PerChannel::read(value, json::factor)
    });
    if let (Some(PerChannel::Each(mean)), Some(PerChannel::Each(std))) = (&mean, &std)
        && mean.len() != std.len()
    {
        faults.push(
            root.at("image_std"),
            format!("found {} numbers, expected {} as in image_mean", std.len(), mean.len()),
        );
    }
    let normal = class.and_then(|class| class.normal);
    let mean = mean.or(normal.map(|(mean, _)| PerChannel::Each(mean.to_vec())));
    let std = std.or(normal.map(|(_, std)| PerChannel::Each(std.to_vec())));
    let knows_all = |numbers: &Option<PerChannel>| numbers.as_ref().is_none_or(PerChannel::is_even);
    if flips && normalizes && !(knows_all(&mean) && knows_all(&std)) {
        root.fault("do_flip_channel_order", "false, or the same mean and std for all channels", faults);
    }
    let scale = match (rescales, factor) {
        (false, _) => Some(1.0),
        (true, None) => class.map(|_| 1.0 / 255.0),
        (true, factor) => factor,
    };
    let mut divisor = if normalizes { std.clone() } else { Some(PerChannel::All(1.0)) };
    if twice {
        divisor = divisor.map(|once| once.times(std.as_ref().unwrap_or(&PerChannel::All(1.0))));
    }
    let mut summand = if normalizes { mean } else { Some(PerChannel::All(0.0)) };
    if offset {
        summand = summand.map(|summand| summand.plus(1.0));
    }
    Values { scale, mean: summand, std: divisor }
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
            PerChannel::Each(numbers) if channels == 1 && self.is_even() => vec![numbers[0]],
            PerChannel::Each(numbers) => numbers.clone(),
        }
    }

    /// Whether all channels have one number.
    fn is_even(&self) -> bool {
        match self {
            PerChannel::All(_) => true,
            PerChannel::Each(numbers) => numbers.windows(2).all(|pair| pair[0] == pair[1]),
        }
    }

    fn plus(self, more: f64) -> PerChannel {
        match self {
            PerChannel::All(x) => PerChannel::All(x + more),
            PerChannel::Each(numbers) => PerChannel::Each(numbers.iter().map(|x| x + more).collect()),
        }
    }

    fn times(self, other: &PerChannel) -> PerChannel {
        match (self, other) {
            (PerChannel::All(x), PerChannel::All(y)) => PerChannel::All(x * y),
            (PerChannel::All(x), PerChannel::Each(ys)) => {
                PerChannel::Each(ys.iter().map(|y| x * y).collect())
            }
            (PerChannel::Each(xs), PerChannel::All(y)) => {
                PerChannel::Each(xs.iter().map(|x| x * y).collect())
            }
            (PerChannel::Each(xs), PerChannel::Each(ys)) => {
                PerChannel::Each(xs.iter().zip(ys).map(|(x, y)| x * y).collect())
            }
        }
    }
}
