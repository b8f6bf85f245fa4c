//! A picture's bytes, or the numbers that they stand for -> a network's input, with the bits of `NAME_run_u8` and `NAME_run`.

use core::mem::MaybeUninit;

use crate::fma;

/// What the numbers of an input become of which a network in int8 reads bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ByteInput<const CHANNELS: usize> {
    /// Bytes for 1, by channel.
    pub scale: [f32; CHANNELS],
    /// The byte, seldom a whole one, that stands for 0.
    pub offset: [f32; CHANNELS],
}

impl<const CHANNELS: usize> ByteInput<CHANNELS> {
    /// The byte of a number of a channel: the product plus the offset, the two rounded once, then to the nearest byte. What is no
    /// number becomes 0.
    #[inline]
    fn byte(&self, channel: usize, x: f32) -> u8 {
        // In the low bits of a number so large that their distance is 1.
        const LARGE: f32 = 12_582_912.0;
        let v = fma(x, self.scale[channel], self.offset[channel]);
        // The bound wins where v is no number.
        let v = if v > 0.0 { v } else { 0.0 };
        let v = if v < 255.0 { v } else { 255.0 };
        (v + LARGE).to_bits() as u8
    }

    /// Fills an input.
    ///
    /// # Panics
    /// If the input has another length.
    pub(super) fn quantise(&self, numbers: &[f32], input: &mut [MaybeUninit<u8>]) {
        assert_eq!(input.len(), numbers.len(), "each number becomes a byte");
        for (values, numbers) in input.chunks_mut(CHANNELS).zip(numbers.chunks(CHANNELS)) {
            for (channel, (value, x)) in values.iter_mut().zip(numbers).enumerate() {
                value.write(self.byte(channel, *x));
            }
        }
    }
}

/// The pictures of a network: their size, and what a byte becomes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Picture<const CHANNELS: usize> {
    /// Rows.
    pub height: usize,
    /// Pixels of a row.
    pub width: usize,
    /// By which a byte is multiplied, one factor a channel of the input.
    pub multiplier: [f32; CHANNELS],
    /// What is added to the product, the two rounded once.
    pub offset: [f32; CHANNELS],
    /// Whether the last channel of a picture is the first of the input.
    pub is_reversed: bool,
}

/// How a photograph becomes a picture of the network's size. What is larger then loses its margin: the centre is cut out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resize {
    /// Keep the aspect, and just cover this size.
    Cover {
        /// Rows to cover.
        height: usize,
        /// Columns to cover.
        width: usize,
    },
    /// Take this size, whatever becomes of the aspect.
    Stretch {
        /// Rows.
        height: usize,
        /// Columns.
        width: usize,
    },
    /// Keep the aspect, and just fit into this size. Around it, in the middle, is the border.
    Border {
        /// Rows.
        height: usize,
        /// Columns.
        width: usize,
        /// The border's bytes, one an input channel.
        fill: &'static [u8],
    },
    /// Leave it as large as it is.
    None,
}

impl<const CHANNELS: usize> Picture<CHANNELS> {
    /// Values of an input.
    pub const fn len(&self) -> usize {
        self.height * self.width * CHANNELS
    }

    /// Whether it has no pixel, which no network's picture is.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// # Panics
    /// If rows that begin so many bytes after each other are no picture in `bytes`.
    pub fn check(&self, bytes: &[u8], row_stride: usize) {
        let row = self.width * CHANNELS;
        assert!(row <= row_stride, "found rows of {row_stride} bytes, expected at least {row}");
        // The last row may end where its pixels do.
        let least = self.height.saturating_sub(1).checked_mul(row_stride).and_then(|it| it.checked_add(row));
        assert!(
            least.is_some_and(|least| least <= bytes.len()),
            "found {} bytes, expected {} rows, each {row_stride} bytes behind the one before",
            bytes.len(),
            self.height
        );
    }

    /// Fills an input.
    ///
    /// # Panics
    /// As [`Picture::check`], and if the input has another length.
    pub fn normalise(&self, bytes: &[u8], row_stride: usize, input: &mut [MaybeUninit<f32>]) {
        self.fill(bytes, row_stride, input, |channel, byte| self.number(channel, byte));
    }

    /// Fills an input of bytes, with those of the numbers that the picture's stand for.
    ///
    /// # Panics
    /// As [`Picture::normalise`].
    pub(super) fn quantise(
        &self,
        by: &ByteInput<CHANNELS>,
        (bytes, row_stride): (&[u8], usize),
        input: &mut [MaybeUninit<u8>],
    ) {
        self.fill(bytes, row_stride, input, |channel, byte| by.byte(channel, self.number(channel, byte)));
    }

    /// What a byte stands for.
    fn number(&self, channel: usize, byte: u8) -> f32 {
        fma(f32::from(byte), self.multiplier[channel], self.offset[channel])
    }

    fn fill<T: Copy>(
        &self,
        bytes: &[u8],
        row_stride: usize,
        input: &mut [MaybeUninit<T>],
        value_of: impl Fn(usize, u8) -> T,
    ) {
        self.check(bytes, row_stride);
        assert_eq!(input.len(), self.len(), "the input is the picture's");
        for channel in 0..CHANNELS {
            let from = if self.is_reversed { CHANNELS - 1 - channel } else { channel };
            // A byte has few values, and a fused multiply-add is slow where the target has no instruction for it.
            let levels: [T; 256] = core::array::from_fn(|byte| value_of(channel, byte as u8));
            for (row, values) in input.chunks_exact_mut(self.width * CHANNELS).enumerate() {
                let pixels = bytes[row * row_stride..].chunks_exact(CHANNELS);
                for (value, pixel) in values[channel..].iter_mut().step_by(CHANNELS).zip(pixels) {
                    value.write(levels[usize::from(pixel[from])]);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PICTURE: Picture<3> = Picture {
        height: 2,
        width: 2,
        multiplier: [1.0, 2.0, 0.1],
        offset: [0.0, -1.0, 0.3],
        is_reversed: false,
    };

    fn normalised(picture: &Picture<3>, bytes: &[u8], row_stride: usize) -> Vec<f32> {
        let mut input = [MaybeUninit::new(f32::NAN); 12];
        picture.normalise(bytes, row_stride, &mut input);
        // SAFETY: all of it is initialised from the start.
        input.iter().map(|value| unsafe { value.assume_init() }).collect()
    }

    #[test]
    fn rows_may_lie_apart() {
        let bytes: Vec<u8> = (0..17).map(|idx| 15 * idx).collect();
        let expected = |first: usize, is_reversed: bool| -> Vec<f32> {
            let value = |idx: usize| {
                let (channel, pixel) = (idx % 3, idx / 3);
                let from = if is_reversed { 2 - channel } else { channel };
                let byte = bytes[pixel / 2 * first + pixel % 2 * 3 + from];
                f32::from(byte).mul_add(PICTURE.multiplier[channel], PICTURE.offset[channel])
            };
            (0..12).map(value).collect()
        };
        assert_eq!(normalised(&PICTURE, &bytes, 6), expected(6, false));
        assert_eq!(normalised(&PICTURE, &bytes, 11), expected(11, false));
        let reversed = Picture { is_reversed: true, ..PICTURE };
        assert_eq!(normalised(&reversed, &bytes, 7), expected(7, true));
    }

    const BY: ByteInput<3> = ByteInput { scale: [1.0, 60.0, 2.5], offset: [0.0, 127.5, 0.5] };

    #[test]
    fn bytes_are_those_of_the_numbers() {
        let byte =
            |channel: usize, x: f32| x.mul_add(BY.scale[channel], BY.offset[channel]).round_ties_even() as u8;
        let numbers =
            [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -0.0, 0.5, 1.5, 2.5, 254.5, 255.5, -1.25, 1e9];
        for (channel, x) in (0..3).flat_map(|channel| numbers.map(|x| (channel, x))) {
            assert_eq!(BY.byte(channel, x), byte(channel, x), "{x} of channel {channel}");
        }
        let bytes: Vec<u8> = (0..17).map(|idx| 15 * idx).collect();
        let found = |quantise: &dyn Fn(&mut [MaybeUninit<u8>])| -> Vec<u8> {
            let mut input = [MaybeUninit::new(7); 12];
            quantise(&mut input);
            // SAFETY: all of it is initialised from the start.
            input.iter().map(|value| unsafe { value.assume_init() }).collect()
        };
        let numbers = normalised(&PICTURE, &bytes, 8);
        let expected: Vec<u8> = numbers.iter().enumerate().map(|(idx, x)| byte(idx % 3, *x)).collect();
        assert_eq!(found(&|input| PICTURE.quantise(&BY, (&bytes, 8), input)), expected);
        assert_eq!(found(&|input| BY.quantise(&numbers, input)), expected);
    }

    #[test]
    fn what_is_no_picture_is_refused() {
        let check = |n_bytes: usize, row_stride: usize| {
            std::panic::catch_unwind(|| PICTURE.check(&vec![0; n_bytes], row_stride)).is_ok()
        };
        assert!(check(12, 6) && check(13, 6) && check(14, 8));
        assert!(!check(11, 6) && !check(13, 8) && !check(99, 5) && !check(99, usize::MAX));
    }
}
