//! Pictures as bytes, and what becomes of them before the first layer.

use mnc_runtime::info::{ChannelOrder, Info};

use crate::random::Random;

/// The input that the bytes give, rows `stride` bytes apart: each value is one fused multiply-add, as whoever prepares a
/// picture for `NAME_run` computes it.
pub fn normalised(info: &Info, pixels: &[u8], stride: usize) -> Vec<f32> {
    let (channels, preprocess) = (info.input.channels, &info.preprocess);
    let value = |row: usize, at: usize| {
        let (pixel, channel) = (at / channels, at % channels);
        let from = match preprocess.channel_order {
            ChannelOrder::Rgb => channel,
            ChannelOrder::Bgr => channels - 1 - channel,
        };
        let level = f32::from(pixels[row * stride + pixel * channels + from]);
        level.mul_add(preprocess.multiplier[channel], preprocess.offset[channel])
    };
    let (rows, row_len) = (info.input.height * info.batch, info.input.width * channels);
    (0..rows).flat_map(|row| (0..row_len).map(move |at| (row, at))).map(|(row, at)| value(row, at)).collect()
}

/// Bytes of all sorts for the pictures of a run, rows `stride` bytes apart, none behind the last row.
pub fn random(info: &Info, stride: usize, seed: u64) -> Vec<u8> {
    let mut random = Random::new(seed);
    let rows = info.input.height * info.batch;
    let len = (rows - 1) * stride + info.input.width * info.input.channels;
    (0..len).map(|_| random.bits() as u8).collect()
}

/// The same rows with `gap` bytes between one and the next.
pub fn spread(pixels: &[u8], row_bytes: usize, gap: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(pixels.len() / row_bytes * (row_bytes + gap));
    for row in pixels.chunks_exact(row_bytes) {
        bytes.extend_from_slice(row);
        bytes.extend(std::iter::repeat_n(0xa5, gap));
    }
    bytes.truncate(bytes.len() - gap);
    bytes
}
