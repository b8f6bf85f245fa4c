//! Says whether there is a person in each photograph, with the network compiled into this very program.

use image::imageops::FilterType;
use mnc_macros::mobilenet;
use mnc_runtime::network::Resize;
use mnc_runtime::pool::Pool;

mobilenet! {
    /// Is there a person in the photograph?
    pub struct PersonDetector {
        network: "mobilenet-v1",
        weights: "../person-detector/person.safetensors",
    }
}

/// Bytes of a pixel.
const CHANNELS: usize = PersonDetector::INPUT_CHANNELS;

fn main() {
    let paths: Vec<String> = std::env::args().skip(1).collect();
    let mut workspace = PersonDetectorWorkspace::boxed();
    let pool = Pool::new(2);
    for path in paths {
        let picture = image::open(&path).unwrap_or_else(|error| panic!("{path}: {error}")).into_rgb8();
        let picture = resize(&picture);
        // The centre of it, where it lies: the rows of the whole picture are the distance from one row to the next.
        let (width, height) = (picture.width() as usize, picture.height() as usize);
        let left = (width - PersonDetector::INPUT_WIDTH) / 2;
        let top = (height - PersonDetector::INPUT_HEIGHT) / 2;
        let (pixels, row_stride) = (&picture.as_raw()[(top * width + left) * CHANNELS..], width * CHANNELS);
        let output = *PersonDetector::run_u8(pixels, row_stride, &mut workspace);
        let parallel = PersonDetector::run_u8_parallel(pixels, row_stride, &mut workspace, &pool);
        assert_eq!(output, *parallel, "threads change nothing");
        let [(best, _)] = PersonDetector::top(&output);
        println!("{path}: {}", PersonDetector::LABELS[best]);
    }
}

/// As large as the network wants it before the centre is cut out.
fn resize(picture: &image::RgbImage) -> image::RgbImage {
    let (width, height) = (picture.width(), picture.height());
    let (width, height) = match PersonDetector::RESIZE {
        Resize::Cover { height: rows, width: columns } => {
            let scale = f64::max(rows as f64 / f64::from(height), columns as f64 / f64::from(width));
            let side = |side: u32| (f64::from(side) * scale).round() as u32;
            (side(width).max(columns as u32), side(height).max(rows as u32))
        }
        Resize::Stretch { height, width } => (width as u32, height as u32),
        // Another network's: this one covers.
        Resize::Border { .. } | Resize::None => return picture.clone(),
    };
    image::imageops::resize(picture, width, height, FilterType::Triangle)
}
