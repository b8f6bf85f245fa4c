//! Says whether there is a person in a picture of 96 x 96 pixels, with a network that the build script compiled and linked.

use mnc_runtime::pool::Pool;

include!(concat!(env!("OUT_DIR"), "/persondetector.rs"));

fn main() {
    let path = std::env::args().nth(1).expect("a PPM of 96 x 96 pixels");
    let file = std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let pixels = file.strip_prefix(b"P6\n96 96\n255\n").unwrap_or_else(|| panic!("{path}: no PPM of 96 x 96"));
    let input: [f32; PersonDetector::INPUT_LEN] = std::array::from_fn(|idx| {
        let channel = idx % PersonDetector::INPUT_CHANNELS;
        f32::from(pixels[idx]).mul_add(PersonDetector::MULTIPLIER[channel], PersonDetector::OFFSET[channel])
    });
    let mut workspace = PersonDetectorWorkspace::boxed();
    let scores = *PersonDetector::run(&input, &mut workspace);
    assert_eq!(scores, *PersonDetector::run_parallel(&input, &mut workspace, &Pool::new(2)), "threads change nothing");
    for (label, score) in PersonDetector::LABELS.iter().zip(scores) {
        println!("{score:10.6}  {label}");
    }
}
