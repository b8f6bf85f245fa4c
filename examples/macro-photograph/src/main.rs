//! Says whether there is a person in each photograph, with the network compiled into this very program.

use image::imageops::FilterType;
use mnc_macros::mobilenet;
use mnc_runtime::pool::Pool;

mobilenet! {
    /// Is there a person in the photograph?
    pub struct PersonDetector {
        network: "mobilenet-v1",
        weights: "../person-detector/person.safetensors",
    }
}

/// The photograph's shorter side becomes 110 pixels; the middle 96 x 96 of it are looked at.
const COVER: u32 = 110;

fn main() {
    let paths: Vec<String> = std::env::args().skip(1).collect();
    let mut workspace = PersonDetectorWorkspace::boxed();
    let pool = Pool::new(2);
    for path in paths {
        let picture = image::open(&path).unwrap_or_else(|error| panic!("{path}: {error}")).into_rgb8();
        let input = normalise(&picture);
        let scores = *PersonDetector::run(&input, &mut workspace);
        assert_eq!(scores, *PersonDetector::run_parallel(&input, &mut workspace, &pool), "threads change nothing");
        let best = if scores[0] < scores[1] { 1 } else { 0 };
        println!("{path}: {}", PersonDetector::LABELS[best]);
    }
}

/// The input's length is part of its type: another network's doesn't compile.
fn normalise(picture: &image::RgbImage) -> [f32; PersonDetector::INPUT_LEN] {
    let (side, wide) = (PersonDetector::INPUT_WIDTH as u32, picture.width().max(picture.height()));
    let long = COVER * wide / picture.width().min(picture.height());
    let (width, height) = if picture.width() < picture.height() { (COVER, long) } else { (long, COVER) };
    let picture = image::imageops::resize(picture, width, height, FilterType::Triangle);
    let (left, top) = ((width - side) / 2, (height - side) / 2);
    let bytes = image::imageops::crop_imm(&picture, left, top, side, side).to_image().into_raw();
    std::array::from_fn(|idx| {
        let channel = idx % PersonDetector::INPUT_CHANNELS;
        f32::from(bytes[idx]).mul_add(PersonDetector::MULTIPLIER[channel], PersonDetector::OFFSET[channel])
    })
}
