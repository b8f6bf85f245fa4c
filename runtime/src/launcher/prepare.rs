//! Picture -> the network's input: geometry, crop, normalisation.

use super::picture::{Grey, Memory, Picture, Rows, Shape, Way};
use super::resize::{Window, resize, resize_rows};
use crate::info::{ChannelOrder, CropRounding, Info, Input, Preprocess, Resample, Resize};

/// The way from a picture to an input of one network.
#[derive(Debug)]
pub(crate) struct Prepare {
    input: Input,
    resize: Resize,
    resample: Resample,
    crop_rounding: CropRounding,
    /// For each input channel the picture's channel and the value of each of its 256 levels.
    channels: Vec<(usize, [f32; 256])>,
    /// The level of each input channel around pictures that don't cover the input.
    fill: Vec<u8>,
}

/// What the network sees of an upright picture along one axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Seen {
    /// Of the resized picture.
    pub(crate) window: Window,
    /// Pixels of the border in front of it.
    pub(crate) before: usize,
    /// The input's extent, border and picture.
    pub(crate) len: usize,
}

impl Seen {
    /// A picture of the input's extent.
    pub(crate) fn whole(len: usize) -> Seen {
        Seen { window: Window { full: len, start: 0, len }, before: 0, len }
    }
}

impl Prepare {
    /// Checks the description's preprocessing and tabulates it.
    pub(crate) fn new(info: &Info) -> Result<Prepare, String> {
        Prepare::of(&info.input, &info.preprocess)
    }

    /// The same of what a description says of pictures.
    pub(crate) fn of(input: &Input, preprocess: &Preprocess) -> Result<Prepare, String> {
        let n = input.channels;
        let place = "network description: preprocess";
        if n != 1 && n != 3 {
            return Err(format!("{place}: found {n} input channels, expected 1 or 3"));
        }
        let (multipliers, offsets) = (&preprocess.multiplier, &preprocess.offset);
        if (multipliers.len(), offsets.len()) != (n, n) {
            let found = (multipliers.len(), offsets.len());
            return Err(format!("{place}: found {found:?} multipliers and offsets, expected {n} of each"));
        }
        if let Resize::Cover { height, width }
        | Resize::Squash { height, width }
        | Resize::Border { height, width } = preprocess.resize
            && (height < input.height || width < input.width)
        {
            let Input { height: h, width: w, .. } = input;
            return Err(format!("{place}: found {height} x {width}, expected at least {h} x {w}"));
        }
        let fill = preprocess.fill.clone();
        if matches!(preprocess.resize, Resize::Border { .. }) && fill.len() != n {
            return Err(format!("{place}: found {} levels of a border, expected {n}", fill.len()));
        }
        let table = |c: usize| {
            let from = match preprocess.channel_order {
                ChannelOrder::Rgb => c,
                ChannelOrder::Bgr => n - 1 - c,
            };
            (from, std::array::from_fn(|level| (level as f32).mul_add(multipliers[c], offsets[c])))
        };
        let (resize, resample, crop_rounding) =
            (preprocess.resize, preprocess.resample, preprocess.crop_rounding);
        let channels = (0..n).map(table).collect();
        Ok(Prepare { input: *input, resize, resample, crop_rounding, channels, fill })
    }

    /// What of an upright picture of that size the network sees, columns before rows.
    pub(crate) fn seen(&self, (width, height): (usize, usize)) -> (Seen, Seen) {
        let Input { height: h, width: w, .. } = self.input;
        let is_even = self.crop_rounding == CropRounding::Even;
        let (full_width, full_height) = match self.resize {
            Resize::Stretch => (w, h),
            Resize::Squash { height, width } => (width, height),
            Resize::Crop | Resize::Keep => (width, height),
            Resize::Cover { height: th, width: tw } if is_even && th != tw => {
                let [x, y] = [(width, tw), (height, th)].map(|(side, of)| side as f64 / of as f64);
                by_ratio((width, height), x.min(y))
            }
            Resize::Border { height: th, width: tw } if is_even => {
                let [x, y] = [(width, tw), (height, th)].map(|(side, of)| side as f64 / of as f64);
                by_ratio((width, height), x.max(y))
            }
            Resize::Border { height: th, width: tw } => {
                if height * tw <= width * th {
                    (tw, (tw * height / width).max(1))
                } else {
                    ((th * width / height).max(1), th)
                }
            }
            Resize::Cover { height: th, width: tw } => {
                if height * tw <= width * th {
                    (th * width / height, th)
                } else {
                    (tw, tw * height / width)
                }
            }
        };
        let centre = |full: usize, len: usize| {
            if full < len && matches!(self.resize, Resize::Border { .. }) {
                let window = Window { full, start: 0, len: full };
                return Seen { window, before: (len - full) / 2, len };
            }
            let left_off = full.saturating_sub(len);
            // Half of 3, 7, 11 and so on is as far from an even number above as from an odd one below.
            let up = is_even && left_off % 4 == 3;
            Seen { window: Window { full, start: left_off / 2 + usize::from(up), len }, before: 0, len }
        };
        (centre(full_width, w), centre(full_height, h))
    }

    /// Writes the input of `picture`, `input` being as long as the network's, and gives the picture back, in grey if the network
    /// takes that.
    pub(crate) fn fill(
        &self,
        picture: Picture,
        input: &mut [f32],
        memory: &mut Memory,
    ) -> Result<Picture, String> {
        let picture = if self.channels.len() == 1 { picture.into_grey() } else { picture };
        let (columns, rows) = self.seen_within(picture.size())?;
        let resized = resize(&picture, self.resample, columns.window, rows.window, memory)
            .map_err(too_large(picture.size()))?;
        self.write(&resized, (columns.before, rows.before), input);
        Ok(picture)
    }

    /// The same of a picture that is read row by row. Returns the size of the upright picture.
    pub(crate) fn fill_rows(
        &self,
        picture: &dyn Rows,
        input: &mut [f32],
        memory: &mut Memory,
    ) -> Result<(usize, usize), String> {
        let Shape { width, height, orientation, .. } = picture.shape();
        let size = if Way::of(orientation).swaps { (height, width) } else { (width, height) };
        let (columns, rows) = self.seen_within(size)?;
        let grey = Grey(picture);
        let picture = if self.channels.len() == 1 { &grey } else { picture };
        let resized = resize_rows(picture, self.resample, columns.window, rows.window, memory)
            .map_err(too_large(size))?;
        self.write(&resized, (columns.before, rows.before), input);
        Ok(size)
    }

    /// What the network sees of a picture of that size, if it takes it.
    fn seen_within(&self, (width, height): (usize, usize)) -> Result<(Seen, Seen), String> {
        let (columns, rows) = self.seen((width, height));
        let Input { height: h, width: w, .. } = self.input;
        let is_other = match self.resize {
            Resize::Keep => (width, height) != (w, h),
            Resize::Border { .. } => false,
            Resize::Cover { .. } | Resize::Stretch | Resize::Squash { .. } | Resize::Crop => {
                columns.window.full < w || rows.window.full < h
            }
        };
        if is_other {
            let least = if self.resize == Resize::Keep { "" } else { "at least " };
            return Err(format!(
                "found {width} x {height} pixels, expected {least}{w} x {h}: this network's pictures aren't resized"
            ));
        }
        Ok((columns, rows))
    }

    /// Normalises pixels, which begin in a column and a row of the input.
    fn write(&self, resized: &Picture, (left, top): (usize, usize), input: &mut [f32]) {
        let n = self.channels.len();
        if (resized.width, resized.height) != (self.input.width, self.input.height) {
            for values in input.chunks_exact_mut(n) {
                for ((value, (_, table)), level) in values.iter_mut().zip(&self.channels).zip(&self.fill) {
                    *value = table[usize::from(*level)];
                }
            }
        }
        let rows = resized.pixels.chunks_exact(resized.width * resized.channels);
        for (to, from) in input.chunks_exact_mut(self.input.width * n).skip(top).zip(rows) {
            let pixels = from.chunks_exact(resized.channels);
            for (values, pixel) in to.chunks_exact_mut(n).skip(left).zip(pixels) {
                for (value, (from, table)) in values.iter_mut().zip(&self.channels) {
                    // A grey picture has one channel for all.
                    *value = table[usize::from(*pixel.get(*from).unwrap_or(&pixel[0]))];
                }
            }
        }
    }
}

fn too_large((width, height): (usize, usize)) -> impl Fn(String) -> String {
    move |error| {
        if error.starts_with("found") { error } else { format!("found {width} x {height} pixels, {error}") }
    }
}

/// Both sides by a ratio, as timm computes it in f64.
fn by_ratio((width, height): (usize, usize), ratio: f64) -> (usize, usize) {
    let [width, height] = [width, height].map(|side| to_even(side as f64 / ratio).max(1));
    (width, height)
}

/// The nearest whole number, of two the even one.
fn to_even(x: f64) -> usize {
    let whole = x as usize;
    let rest = x - whole as f64;
    whole + usize::from(0.5 < rest || (rest == 0.5 && whole % 2 == 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::info::tests::example;
    use image::metadata::Orientation;

    #[test]
    fn the_shorter_side_covers_and_the_centre_is_cut_out() {
        let check = |size @ (w, h), rule, expected: [(usize, usize); 2]| {
            let (columns, rows) = windows_of(rule, CropRounding::Down, size);
            assert_eq!([(columns.full, columns.start), (rows.full, rows.start)], expected, "{w} x {h}");
            assert_eq!((columns.len, rows.len), (224, 224));
        };
        let cover = Resize::Cover { height: 256, width: 256 };
        check((500, 375), cover, [(341, 58), (256, 16)]);
        check((375, 500), cover, [(256, 16), (341, 58)]);
        check((256, 256), cover, [(256, 16), (256, 16)]);
        check((10, 20), cover, [(256, 16), (512, 144)]);
        check((65535, 1), cover, [(65535 * 256, (65535 * 256 - 224) / 2), (256, 16)]);
        check((500, 375), Resize::Stretch, [(224, 0), (224, 0)]);
        check((500, 375), Resize::Squash { height: 256, width: 229 }, [(229, 2), (256, 16)]);
        check((224, 227), Resize::Crop, [(224, 0), (227, 1)]);
        check((100, 50), Resize::Cover { height: 224, width: 300 }, [(448, 112), (224, 0)]);
        check((100, 90), Resize::Cover { height: 224, width: 300 }, [(300, 38), (270, 23)]);
    }

    fn windows_of(resize: Resize, crop_rounding: CropRounding, size: (usize, usize)) -> (Window, Window) {
        let mut info = Info { input: Input { height: 224, width: 224, channels: 3 }, ..example() };
        (info.preprocess.resize, info.preprocess.crop_rounding) = (resize, crop_rounding);
        let (columns, rows) = Prepare::new(&info).unwrap().seen(size);
        (columns.window, rows.window)
    }

    /// timm's `ResizeKeepRatio` to the longer side and `CenterCropOrPad`: in the middle, one pixel more of the border behind.
    #[test]
    fn a_picture_may_lie_on_a_border() {
        let seen = |(height, width), rounding, size| {
            let mut info = Info { input: Input { height: 224, width: 224, channels: 3 }, ..example() };
            info.preprocess.resize = Resize::Border { height, width };
            (info.preprocess.crop_rounding, info.preprocess.fill) = (rounding, vec![1, 2, 3]);
            let (columns, rows) = Prepare::new(&info).unwrap().seen(size);
            [columns, rows]
                .map(|Seen { window: Window { full, start, len }, before, .. }| (full, start, len, before))
        };
        use CropRounding::{Down, Even};
        assert_eq!(seen((224, 224), Even, (500, 375)), [(224, 0, 224, 0), (168, 0, 168, 28)]);
        assert_eq!(seen((224, 224), Even, (375, 500)), [(168, 0, 168, 28), (224, 0, 224, 0)]);
        // 374 * 224 / 500 is 167.552.
        assert_eq!(seen((224, 224), Even, (500, 374))[1], (168, 0, 168, 28));
        assert_eq!(seen((224, 224), Down, (500, 374))[1], (167, 0, 167, 28));
        assert_eq!(seen((224, 224), Down, (224, 224)), [(224, 0, 224, 0); 2]);
        // Larger than the input along one axis, smaller along the other.
        assert_eq!(seen((256, 256), Even, (500, 375)), [(256, 16, 224, 0), (192, 0, 192, 16)]);
        assert_eq!(seen((256, 256), Even, (9000, 1)), [(256, 16, 224, 0), (1, 0, 1, 111)]);
        assert_eq!(seen((256, 256), Down, (1, 9000)), [(1, 0, 1, 111), (256, 16, 224, 0)]);
    }

    #[test]
    fn a_border_has_its_own_value_in_each_channel() {
        let mut info = Info { input: Input { height: 3, width: 4, channels: 3 }, ..example() };
        info.preprocess.resize = Resize::Border { height: 3, width: 4 };
        info.preprocess.multiplier = vec![1.0, 2.0, 0.5];
        info.preprocess.offset = vec![0.0, 10.0, -1.0];
        info.preprocess.fill = vec![9, 8, 6];
        let input_of = |info: &Info, channels, pixel: &[u8], (width, height): (usize, usize)| {
            let pixels = pixel.repeat(width * height);
            let picture = Picture { width, height, channels, pixels, orientation: Orientation::NoTransforms };
            let mut input = vec![f32::NAN; info.input.len()];
            Prepare::new(info).unwrap().fill(picture, &mut input, &mut Memory::new(1 << 12)).unwrap();
            input
        };
        let (border, pixel) = ([9.0, 26.0, 2.0], [10.0, 50.0, 14.0]);
        let row = |row: [[f32; 3]; 4]| row.concat();
        let found = input_of(&info, 3, &[10, 20, 30], (40, 10));
        assert_eq!(found, [row([border; 4]), row([pixel; 4]), row([border; 4])].concat());
        let found = input_of(&info, 3, &[10, 20, 30], (20, 30));
        assert_eq!(found, row([border, pixel, pixel, border]).repeat(3));
        assert_eq!(input_of(&info, 3, &[10, 20, 30], (4, 3)), row([pixel; 4]).repeat(3));
        // The border's order is the input's, and grey pictures of a coloured network have it too.
        info.preprocess.channel_order = ChannelOrder::Bgr;
        let found = input_of(&info, 1, &[10], (20, 30));
        assert_eq!(found, row([border, [10.0, 30.0, 4.0], [10.0, 30.0, 4.0], border]).repeat(3));
        info.input.channels = 1;
        info.preprocess.multiplier.truncate(1);
        info.preprocess.offset.truncate(1);
        info.preprocess.fill.truncate(1);
        assert_eq!(input_of(&info, 1, &[10], (20, 30)), [9.0, 10.0, 10.0, 9.0].repeat(3));
        info.preprocess.fill.clear();
        let error = Prepare::new(&info).err().unwrap();
        assert_eq!(error, "network description: preprocess: found 0 levels of a border, expected 1");
    }

    /// Python's `round` of halves, which torchvision and timm call.
    #[test]
    fn a_middle_between_pixels_may_be_rounded_to_even() {
        let starts = |crop| {
            [224, 225, 226, 227, 228, 229, 231]
                .map(|side| windows_of(Resize::Crop, crop, (side, 224)).0.start)
        };
        assert_eq!(starts(CropRounding::Down), [0, 0, 1, 1, 2, 2, 3]);
        assert_eq!(starts(CropRounding::Even), [0, 0, 1, 2, 2, 2, 4]);
        // timm's `ResizeKeepRatio` for what isn't square; torchvision's rule, which rounds down, for what is.
        let full = |height, width, size| {
            let (columns, rows) = windows_of(Resize::Cover { height, width }, CropRounding::Even, size);
            (columns.full, rows.full)
        };
        assert_eq!(full(256, 256, (500, 375)), (341, 256));
        assert_eq!(full(224, 300, (100, 90)), (300, 270));
        assert_eq!(full(224, 300, (1000, 749)), (300, 225));
        assert_eq!(full(224, 300, (1000, 667)), (336, 224));
        assert_eq!([2.5, 3.5, 3.4, 3.6, 4.0].map(to_even), [2, 4, 3, 4, 4]);
    }

    #[test]
    fn pictures_that_are_not_resized_have_the_size() {
        let check = |resize, (width, height): (usize, usize), expected: Option<&str>| {
            let mut info = Info { input: Input { height: 3, width: 4, channels: 3 }, ..example() };
            info.preprocess.resize = resize;
            let (channels, orientation) = (3, Orientation::NoTransforms);
            let pixels = vec![7; width * height * channels];
            let picture = Picture { width, height, channels, pixels, orientation };
            let mut input = vec![0.0; info.input.len()];
            let filled = Prepare::new(&info).unwrap().fill(picture, &mut input, &mut Memory::new(1 << 10));
            assert_eq!(filled.err().as_deref(), expected);
            assert!(expected.is_some() || input.iter().all(|x| *x == input[0] && *x != 0.0), "{input:?}");
        };
        check(Resize::Keep, (4, 3), None);
        check(Resize::Crop, (4, 3), None);
        check(Resize::Crop, (9, 8), None);
        let why = "this network's pictures aren't resized";
        check(Resize::Keep, (9, 8), Some(&format!("found 9 x 8 pixels, expected 4 x 3: {why}")));
        check(Resize::Crop, (3, 8), Some(&format!("found 3 x 8 pixels, expected at least 4 x 3: {why}")));
        check(Resize::Crop, (9, 2), Some(&format!("found 9 x 2 pixels, expected at least 4 x 3: {why}")));
    }

    #[test]
    fn pixels_become_values_in_the_order_of_the_channels() {
        let mut info = example();
        info.input = Input { height: 1, width: 1, channels: 3 };
        info.preprocess.resize = Resize::Stretch;
        info.preprocess.multiplier = vec![1.0, 2.0, 0.5];
        info.preprocess.offset = vec![0.0, 10.0, -1.0];
        let check = |info: &Info, pixels: &[u8], expected: &[f32]| {
            let orientation = Orientation::NoTransforms;
            let (channels, pixels) = (pixels.len(), pixels.to_vec());
            let picture = Picture { width: 1, height: 1, channels, pixels, orientation };
            let mut input = vec![0.0; info.input.len()];
            Prepare::new(info).unwrap().fill(picture, &mut input, &mut Memory::new(1 << 10)).unwrap();
            assert_eq!(input, expected);
        };
        check(&info, &[10, 20, 30], &[10.0, 50.0, 14.0]);
        check(&info, &[100], &[100.0, 210.0, 49.0]);
        info.preprocess.channel_order = ChannelOrder::Bgr;
        check(&info, &[10, 20, 30], &[30.0, 50.0, 4.0]);
        info.input.channels = 1;
        info.preprocess.multiplier.truncate(1);
        info.preprocess.offset.truncate(1);
        check(&info, &[10, 20, 30], &[18.0]);
    }

    #[test]
    fn each_value_is_one_fused_multiply_add() {
        let mut info = example();
        info.input = Input { height: 1, width: 1, channels: 3 };
        let prepare =
            Prepare::new(&Info { input: Input { height: 1, width: 1, channels: 3 }, ..info }).unwrap();
        let expected = |level: u8| f32::from(level).mul_add(1.0 / 127.5, -1.0);
        assert!((0..=255).all(|level| prepare.channels[0].1[usize::from(level)] == expected(level)));
    }

    #[test]
    fn contradictions_are_refused() {
        let check = |change: fn(&mut Info), expected: &str| {
            let mut info = example();
            change(&mut info);
            let error = Prepare::new(&info).err().unwrap();
            assert_eq!(error, format!("network description: preprocess: {expected}"));
        };
        check(|info| info.input.channels = 4, "found 4 input channels, expected 1 or 3");
        check(
            |info| info.preprocess.offset.clear(),
            "found (3, 0) multipliers and offsets, expected 3 of each",
        );
        check(|info| info.input.height = 147, "found 146 x 146, expected at least 147 x 128");
    }
}
