//! Prints the faces in a picture of 320 x 240 pixels, in those of the photograph that it was.

use mnc_runtime::detect::Found;

include!(concat!(env!("OUT_DIR"), "/faces.rs"));

fn main() {
    let [path, width, height] = &std::env::args().skip(1).collect::<Vec<String>>()[..] else {
        panic!("expected a PPM of 320 x 240 pixels, and width and height of the photograph");
    };
    let [width, height] = [width, height].map(|side| side.parse::<f64>().expect("a number of pixels"));
    let file = std::fs::read(path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let pixels = file.strip_prefix(b"P6\n320 240\n255\n").unwrap_or_else(|| panic!("{path}: no PPM of 320 x 240"));
    let input: Vec<f32> = (pixels.iter().enumerate())
        .map(|(idx, byte)| f32::from(*byte).mul_add(Faces::MULTIPLIER[idx % 3], Faces::OFFSET[idx % 3]))
        .collect();
    let mut workspace = FacesWorkspace::boxed();
    let output = Faces::run(input.first_chunk().expect("the picture is whole"), &mut workspace);
    let mut found = [Found::default(); Faces::CANDIDATES];
    for face in Faces::detect(output, &mut found) {
        let Found { class, score, left, top, right, bottom, .. } = *face;
        let label = Faces::LABELS[class];
        let [left, right, top, bottom] = [left * width, right * width, top * height, bottom * height];
        println!("{score:.4}  {label}  from {left:.1}, {top:.1} to {right:.1}, {bottom:.1}");
    }
}
