//! Pixels -> fewer or more pixels: a filter, widened when shrinking, of which only a window is computed.
//!
//! The arithmetic is Pillow's `Image.resize` to the last bit (`libImaging/Resample.c`): weights in f64, rounded to 22-bit fixed
//! point; first along rows, rounded to 8 bits, then along columns. Pillow 13 begins with the columns where the height shrinks by more
//! than twice as many pixels as the width; we keep to the order of all versions before, by which networks were judged. Its nearest
//! pixel isn't a filter there but a map of places (`libImaging/Geometry.c`): here a filter of one weight, 1. Networks are trained and judged on its pixels.

mod rows;

pub(crate) use self::rows::resize_rows;
use super::picture::{Memory, Picture};
use crate::info::Resample;
use image::metadata::Orientation;
use std::f64::consts::{FRAC_PI_2, PI};

/// A resize to `full` pixels along one axis, of which `len` from `start` on are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) full: usize,
    pub(crate) start: usize,
    pub(crate) len: usize,
}

/// Resizes the upright picture to `rows.full` x `columns.full` and returns the window; pixels outside of it cost nothing.
pub(crate) fn resize(
    picture: &Picture,
    filter: Resample,
    columns: Window,
    rows: Window,
    memory: &mut Memory,
) -> Result<Picture, String> {
    let ((width, height), channels) = (picture.size(), picture.channels);
    let (across, down) = (taps(width, columns, filter), taps(height, rows, filter));
    // The rows of the picture that the window reads.
    let first = down.iter().map(|tap| tap.start).min().unwrap_or(0);
    let end = down.iter().map(|tap| tap.start + tap.weights.len()).max().unwrap_or(0);
    let narrow_stride = columns.len * channels;
    let mut line = memory.buffer(width * channels)?;
    let mut narrow = memory.buffer((end - first) * narrow_stride)?;
    for (y, to) in (first..end).zip(narrow.chunks_exact_mut(narrow_stride)) {
        let from = picture.row(y, &mut line);
        match channels {
            1 => along_grey_row(from, &across, to),
            _ => along_rgb_row(from.as_chunks().0, &across, to.as_chunks_mut().0),
        }
    }
    along_columns(&narrow, first, &down, narrow_stride, memory).map(|pixels| {
        let orientation = Orientation::NoTransforms;
        Picture { width: columns.len, height: rows.len, channels, pixels, orientation }
    })
}

/// The second pass, over rows that are as narrow as the result; `first` is the number of the first of them.
fn along_columns(
    narrow: &[u8],
    first: usize,
    down: &[Tap],
    narrow_stride: usize,
    memory: &mut Memory,
) -> Result<Vec<u8>, String> {
    let mut pixels = memory.buffer(down.len() * narrow_stride)?;
    let mut sums = vec![0; narrow_stride];
    for (tap, to) in down.iter().zip(pixels.chunks_exact_mut(narrow_stride)) {
        sums.fill(HALF);
        for (from, &weight) in
            narrow[(tap.start - first) * narrow_stride..].chunks(narrow_stride).zip(&tap.weights)
        {
            sums.iter_mut().zip(from).for_each(|(sum, &pixel)| *sum += i32::from(pixel) * weight);
        }
        to.iter_mut().zip(&sums).for_each(|(pixel, &sum)| *pixel = to_pixel(sum));
    }
    Ok(pixels)
}

// One function a number of channels, with its sums in registers: a loop over channels isn't unrolled by a build for
// size, and takes three times as long.

fn along_grey_row(from: &[u8], taps: &[Tap], to: &mut [u8]) {
    for (tap, to) in taps.iter().zip(to) {
        let mut sum = HALF;
        for (&pixel, &weight) in from[tap.start..].iter().zip(&tap.weights) {
            sum += i32::from(pixel) * weight;
        }
        *to = to_pixel(sum);
    }
}

fn along_rgb_row(from: &[[u8; 3]], taps: &[Tap], to: &mut [[u8; 3]]) {
    for (tap, to) in taps.iter().zip(to) {
        let (mut red, mut green, mut blue) = (HALF, HALF, HALF);
        for (&[r, g, b], &weight) in from[tap.start..].iter().zip(&tap.weights) {
            red += i32::from(r) * weight;
            green += i32::from(g) * weight;
            blue += i32::from(b) * weight;
        }
        *to = [to_pixel(red), to_pixel(green), to_pixel(blue)];
    }
}

/// The source pixels of one output pixel and their weights.
struct Tap {
    start: usize,
    weights: Vec<i32>,
}

/// The fixed point of the weights: 8 bits of pixel and 2 of headroom leave 22 of 32.
const FRACTION_BITS: u32 = 22;
const HALF: i32 = 1 << (FRACTION_BITS - 1);

fn to_pixel(sum: i32) -> u8 {
    (sum >> FRACTION_BITS).clamp(0, 255) as u8
}

fn taps(source: usize, window: Window, filter: Resample) -> Vec<Tap> {
    let scale = source as f64 / window.full as f64;
    if filter == Resample::Nearest {
        // A sum, as Pillow's: a product would be rounded to another pixel here and there.
        let places = std::iter::successors(Some(scale * 0.5), |place| Some(place + scale));
        let tap = |place| Tap { start: (place as usize).min(source - 1), weights: vec![1 << FRACTION_BITS] };
        return places.skip(window.start).take(window.len).map(tap).collect();
    }
    let widening = scale.max(1.0);
    let support = radius(filter) * widening;
    let narrowing = 1.0 / widening;
    let tap = |position: usize| {
        let centre = (position as f64 + 0.5) * scale;
        // The casts cut a negative start off at 0, and the rounding is Pillow's.
        let start = (centre - support + 0.5) as usize;
        let end = ((centre + support + 0.5) as usize).min(source);
        let weight = |x: usize| weight(filter, (x as f64 - centre + 0.5) * narrowing);
        let sum: f64 = (start..end).map(weight).sum();
        let fixed = |x| {
            let share = weight(x) / sum;
            (share * f64::from(1 << FRACTION_BITS) + 0.5_f64.copysign(share)) as i32
        };
        Tap { start, weights: (start..end).map(fixed).collect() }
    };
    (window.start..window.start + window.len).map(tap).collect()
}

/// Half the base of a filter, in pixels of the smaller picture.
fn radius(filter: Resample) -> f64 {
    match filter {
        Resample::Nearest | Resample::Box => 0.5,
        Resample::Bilinear | Resample::Hamming => 1.0,
        Resample::Bicubic => 2.0,
        Resample::Lanczos => 3.0,
    }
}

fn weight(filter: Resample, from_centre: f64) -> f64 {
    let x = from_centre.abs();
    // Of two pixels half a pixel away one counts.
    let is_inside = x < radius(filter) || from_centre == 0.5;
    match filter {
        _ if !is_inside => 0.0,
        Resample::Nearest | Resample::Box => 1.0,
        Resample::Bilinear => 1.0 - x,
        Resample::Hamming if x == 0.0 => 1.0,
        // Pillow has the two numbers in single precision.
        Resample::Hamming => sinc(x) * (f64::from(0.54_f32) + f64::from(0.46_f32) * sine(x * PI + FRAC_PI_2)),
        Resample::Bicubic if x < 1.0 => ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0,
        Resample::Bicubic => (((x - 5.0) * x + 8.0) * x - 4.0) * A,
        Resample::Lanczos => sinc(x) * sinc(x / 3.0),
    }
}

/// The slope of the cubics.
const A: f64 = -0.5;

fn sinc(x: f64) -> f64 {
    if x == 0.0 { 1.0 } else { sine(x * PI) / (x * PI) }
}

/// The sine from 0 to 10, to a few of the last bits: of a weight 22 bits are kept. Smaller than a C library's, and the same on
/// every system.
fn sine(x: f64) -> f64 {
    /// What pi is above its rounded value.
    const REST: f64 = 1.224_646_799_147_353_2e-16;
    let n = (x / PI + 0.5) as i32;
    let x = x - f64::from(n) * PI - f64::from(n) * REST;
    // x - x^3/3! + x^5/5! - ..., from the inside out.
    let term = |sum: f64, i: i32| 1.0 - x * x / f64::from((2 * i) * (2 * i + 1)) * sum;
    let series = (1..=11).rev().fold(1.0, term) * x;
    if n % 2 == 0 { series } else { -series }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(full: usize) -> Window {
        Window { full, start: 0, len: full }
    }

    fn gradient(width: usize, height: usize, channels: usize) -> Picture {
        let pixels = (0..width * height * channels).map(|i| (i * 37 % 251) as u8).collect();
        Picture { width, height, channels, pixels, orientation: Orientation::NoTransforms }
    }

    fn resize(picture: &Picture, columns: Window, rows: Window) -> Picture {
        resize_by(Resample::Bilinear, picture, columns, rows)
    }

    fn resize_by(filter: Resample, picture: &Picture, columns: Window, rows: Window) -> Picture {
        super::resize(picture, filter, columns, rows, &mut Memory::new(1 << 20)).unwrap()
    }

    #[test]
    fn the_same_size_gives_the_same_pixels() {
        let picture = gradient(7, 5, 3);
        for filter in Resample::ALL {
            assert_eq!(resize_by(filter, &picture, whole(7), whole(5)), picture, "{filter:?}");
        }
    }

    #[test]
    fn shrinking_averages_and_growing_interpolates() {
        let check = |pixels: &[u8], full, expected: &[u8]| {
            let row = Picture { pixels: pixels.to_vec(), ..gradient(pixels.len(), 1, 1) };
            assert_eq!(resize(&row, whole(full), whole(1)).pixels, expected);
            let column = Picture { pixels: pixels.to_vec(), ..gradient(1, pixels.len(), 1) };
            assert_eq!(resize(&column, whole(1), whole(full)).pixels, expected);
        };
        // Weights 1, 3, 3, 1 and at an edge 3, 3, 1: the filter is two output pixels wide.
        check(&[0, 0, 80, 80], 2, &[11, 69]);
        check(&[0, 100], 4, &[0, 25, 75, 100]);
        check(&[10, 20, 30], 1, &[20]);
    }

    /// A picture that lies on its side is resized as the upright one is.
    #[test]
    fn the_camera_may_be_held_in_any_way() {
        for exif in 1..=8 {
            let lying = Picture { orientation: Orientation::from_exif(exif).unwrap(), ..gradient(9, 7, 3) };
            let (width, height) = lying.size();
            let mut line = vec![0; width * 3];
            let pixels = (0..height).flat_map(|y| lying.row(y, &mut line).to_vec()).collect();
            let upright = Picture { pixels, ..gradient(width, height, 3) };
            let part = |picture| resize(picture, Window { full: 6, start: 1, len: 4 }, whole(5));
            assert_eq!(part(&lying), part(&upright), "{exif}");
        }
    }

    #[test]
    fn too_little_memory_is_an_error() {
        let mut memory = Memory::new(500);
        let picture = gradient(40, 30, 3);
        let error =
            super::resize(&picture, Resample::Bilinear, whole(16), whole(12), &mut memory).unwrap_err();
        assert!(error.starts_with("which takes 1560 bytes of memory, expected at most 500 bytes"), "{error}");
    }

    #[test]
    fn a_window_is_a_part_of_the_whole() {
        let picture = gradient(40, 30, 3);
        let windows = [Window { full: 16, start: 5, len: 8 }, Window { full: 12, start: 2, len: 9 }];
        for filter in Resample::ALL {
            let all = resize_by(filter, &picture, whole(16), whole(12));
            let part = resize_by(filter, &picture, windows[0], windows[1]);
            for y in 0..9 {
                let from = ((y + 2) * 16 + 5) * 3;
                assert_eq!(part.pixels[y * 24..][..24], all.pixels[from..][..24], "{filter:?}");
            }
        }
    }
}
