//! Photographs against the inputs that Pillow makes of them, where the test data is at hand.

use super::inputs::Loader;
use super::picture::Memory;
use super::prepare::Prepare;
use crate::info::{Info, Input, Resample, Resize, tests::example};
use std::fs;
use std::path::Path;

/// Pillow's inputs (NCHW) of the first photographs of a network's recorded answers.
struct Expected {
    files: Vec<String>,
    input: Vec<f32>,
    side: usize,
}

fn read(folder: &Path, network: &str) -> Expected {
    let json = fs::read(folder.join(format!("{network}.json"))).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    let names = json["io"]["inputs_are"].as_array().unwrap().iter();
    // After the photographs come noise and zeros.
    let files =
        names.map(|name| name.as_str().unwrap().to_string()).take_while(|name| name.ends_with(".jpg"));
    // safetensors: eight bytes of length, so many of JSON, then the data.
    let bytes = fs::read(folder.join(format!("{network}.io.safetensors"))).unwrap();
    let header_len = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: serde_json::Value = serde_json::from_slice(&bytes[8..8 + header_len]).unwrap();
    let at = |i: usize| 8 + header_len + header["input"]["data_offsets"][i].as_u64().unwrap() as usize;
    let input = bytes[at(0)..at(1)].as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
    Expected { files: files.collect(), input, side: header["input"]["shape"][2].as_u64().unwrap() as usize }
}

/// The pictures behind the files that `pillow` reads: rows, columns and channels of a formula.
fn formula(width: usize, height: usize) -> Vec<u8> {
    let mut file = format!("P6 {width} {height} 255\n").into_bytes();
    for y in 0..height {
        for x in 0..width {
            file.extend((0..3).map(|c| (((x * 37 + y * 101 + c * 59) * (x + 3 * y + 1)) >> 2) as u8));
        }
    }
    file
}

/// Resize and crop are those of Pillow 13's `resize(…, BILINEAR)` and `crop`, to the last bit.
#[test]
fn lossless_pictures_become_pillows_to_the_last_bit() {
    let check = |(width, height): (usize, usize), side: (usize, usize), resize, expected: &[u8]| {
        let input = Input { height: side.0, width: side.1, channels: 3 };
        let mut info = Info { input, ..example() };
        info.preprocess.resize = resize;
        info.preprocess.multiplier = vec![1.0; 3];
        info.preprocess.offset = vec![0.0; 3];
        let name = format!("mnc-runtime-pillow-{}-{width}x{height}-{}.ppm", std::process::id(), side.0);
        let path = std::env::temp_dir().join(name);
        fs::write(&path, formula(width, height)).unwrap();
        let mut found = vec![0.0; input.len()];
        let loader = Loader { prepare: Prepare::new(&info).unwrap(), keeps: false };
        loader.load(&path, &mut found, Memory::new(1 << 20)).unwrap();
        fs::remove_file(&path).unwrap();
        assert_eq!(found, expected.iter().copied().map(f32::from).collect::<Vec<f32>>(), "{resize:?}");
    };
    let cover = |side| Resize::Cover { height: side, width: side };
    check((45, 37), (20, 20), cover(23), include_bytes!("fixtures/pillow-cover.rgb"));
    check((6, 9), (16, 16), cover(18), include_bytes!("fixtures/pillow-grow.rgb"));
    check((45, 37), (12, 16), Resize::Stretch, include_bytes!("fixtures/pillow-stretch.rgb"));
}

/// The same for the other filters: Pillow 13's `resize`, shrinking and growing, one result behind the other.
#[test]
fn every_filter_is_pillows_to_the_last_bit() {
    let mut expected: &[u8] = include_bytes!("fixtures/pillow-filters.rgb");
    for resample in
        [Resample::Nearest, Resample::Box, Resample::Hamming, Resample::Bicubic, Resample::Lanczos]
    {
        for ((width, height), (w, h)) in [((45, 37), (13, 11)), ((7, 6), (16, 18))] {
            let mut info = Info { input: Input { height: h, width: w, channels: 3 }, ..example() };
            info.preprocess.resize = Resize::Stretch;
            info.preprocess.resample = resample;
            info.preprocess.multiplier = vec![1.0; 3];
            info.preprocess.offset = vec![0.0; 3];
            let found = super::input_of(&info, &formula(width, height)).unwrap();
            let (now, later) = expected.split_at(found.len());
            assert!(
                found.iter().zip(now).all(|(x, byte)| *x == f32::from(*byte)),
                "{resample:?} to {w} x {h}"
            );
            expected = later;
        }
    }
    assert!(expected.is_empty());
}

/// What is left between us and Pillow is that two JPEG decoders may differ.
#[test]
fn photographs_become_pillows_inputs() {
    let Some(data) = mnc_need::shared_data("") else { return };
    for (network, cover) in
        [("mobilenet_v1_1.0_224", 256), ("mobilenet_v1_0.5_160", 183), ("mobilenet_v1_0.25_128", 146)]
    {
        let Expected { files, input: expected, side } = read(&data.join("expected"), network);
        let mut info = Info { input: Input { height: side, width: side, channels: 3 }, ..example() };
        info.preprocess.resize = Resize::Cover { height: cover, width: cover };
        let loader = Loader { prepare: Prepare::new(&info).unwrap(), keeps: false };
        let mut input = vec![0.0; info.input.len()];
        assert_eq!(files.len(), 6);
        for (file, expected) in files.iter().zip(expected.chunks_exact(input.len())) {
            loader.load(&data.join("images").join(file), &mut input, Memory::new(64 << 20)).unwrap();
            let steps = |i: usize| {
                let (pixel, c) = (i / 3, i % 3);
                ((input[i] - expected[c * side * side + pixel]) * 127.5).abs()
            };
            let max = (0..input.len()).map(steps).fold(0.0, f32::max);
            let mean = (0..input.len()).map(steps).sum::<f32>() / input.len() as f32;
            assert!(
                max < 4.5 && mean < 0.05,
                "{network}, {file}: {max} steps of 255 apart, {mean} on average"
            );
        }
    }
}
