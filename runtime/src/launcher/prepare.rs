//! Picture -> the network's input: geometry, crop, normalisation.

use super::picture::{Memory, Picture};
use super::resize::{Window, resize};
use crate::info::{ChannelOrder, Info, Input, Resize};

/// The way from a picture to an input of one network.
#[derive(Debug)]
pub(crate) struct Prepare {
    input: Input,
    resize: Resize,
    /// For each input channel the picture's channel and the value of each of its 256 levels.
    channels: Vec<(usize, [f32; 256])>,
}

impl Prepare {
    /// Checks the description's preprocessing and tabulates it.
    pub(crate) fn new(info: &Info) -> Result<Prepare, String> {
        let Info { input, preprocess, .. } = info;
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
        if let Resize::Cover { height, width } = preprocess.resize
            && (height < input.height || width < input.width)
        {
            let Input { height: h, width: w, .. } = input;
            return Err(format!("{place}: found cover {height} x {width}, expected at least {h} x {w}"));
        }
        let table = |c: usize| {
            let from = match preprocess.channel_order {
                ChannelOrder::Rgb => c,
                ChannelOrder::Bgr => n - 1 - c,
            };
            (from, std::array::from_fn(|level| (level as f32).mul_add(multipliers[c], offsets[c])))
        };
        Ok(Prepare { input: *input, resize: preprocess.resize, channels: (0..n).map(table).collect() })
    }

    /// What of an upright picture of that size the network sees, columns before rows.
    pub(crate) fn windows(&self, (width, height): (usize, usize)) -> (Window, Window) {
        windows(width, height, self.resize, self.input)
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
        let (width, height) = picture.size();
        let (columns, rows) = self.windows((width, height));
        let resized = resize(&picture, columns, rows, memory)
            .map_err(|error| format!("found {width} x {height} pixels, {error}"))?;
        let pixels = resized.pixels.chunks_exact(resized.channels);
        for (values, pixel) in input.chunks_exact_mut(self.channels.len()).zip(pixels) {
            for (value, (from, table)) in values.iter_mut().zip(&self.channels) {
                // A grey picture has one channel for all.
                *value = table[usize::from(*pixel.get(*from).unwrap_or(&pixel[0]))];
            }
        }
        Ok(picture)
    }
}

/// The resize and crop, columns before rows, of a picture of at least one pixel.
fn windows(width: usize, height: usize, rule: Resize, input: Input) -> (Window, Window) {
    let (full_width, full_height) = match rule {
        Resize::Stretch => (input.width, input.height),
        Resize::Cover { height: th, width: tw } => {
            if height * tw <= width * th {
                (th * width / height, th)
            } else {
                (tw, tw * height / width)
            }
        }
    };
    let centre = |full: usize, len: usize| Window { full, start: (full - len) / 2, len };
    (centre(full_width, input.width), centre(full_height, input.height))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::info::tests::example;
    use image::metadata::Orientation;

    #[test]
    fn the_shorter_side_covers_and_the_centre_is_cut_out() {
        let check = |(w, h), rule, expected: [(usize, usize); 2]| {
            let input = Input { height: 224, width: 224, channels: 3 };
            let (columns, rows) = windows(w, h, rule, input);
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
        check((100, 50), Resize::Cover { height: 224, width: 300 }, [(448, 112), (224, 0)]);
        check((100, 90), Resize::Cover { height: 224, width: 300 }, [(300, 38), (270, 23)]);
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
        check(|info| info.input.height = 147, "found cover 146 x 146, expected at least 147 x 128");
    }
}
