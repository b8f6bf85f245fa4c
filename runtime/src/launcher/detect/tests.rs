//! From outputs to what is shown and painted, without a network.

use super::paint::Canvas;
use super::*;
use crate::detect::{Map, Order, Probability, Rule};
use crate::info::tests::example;
use crate::info::{Input, Resize};
use crate::launcher::inputs::Listed;
use crate::launcher::picture::{Memory, Picture};
use image::metadata::Orientation;
use std::fs;
use std::path::PathBuf;

/// Two priors of half the input each, left and right, one class behind the background.
fn info() -> Info {
    let rule = Rule {
        probability: Probability::Values,
        n_classes: 2,
        background: Some(0),
        threshold: 0.5,
        least: 0.5,
        overlap: 0.5,
        candidates: 3,
        most_boxes: 3,
        order: Order::Xywh,
        center_variance: 0.1,
        size_variance: 0.2,
    };
    let map =
        Map { rows: 1, columns: 2, divisors: [1.0, 2.0], scores: 0, locations: 4, priors: vec![[0.5, 1.0]] };
    let detect = Some(Detect { rule, maps: vec![map] });
    let mut info = Info { detect, input: Input { height: 10, width: 20, channels: 3 }, ..example() };
    info.preprocess.resize = Resize::Stretch;
    info.labels = vec!["nothing".to_string(), "cat".to_string()];
    info
}

/// The outputs for those scores of the two priors; the right box reaches beyond the edge.
fn output(left: f32, right: f32) -> Vec<f32> {
    vec![0.0, left, 0.0, right, 0.0, 0.0, 0.0, 0.0, 5.0, 0.0, 0.0, 0.0]
}

fn picture(width: usize, height: usize, channels: usize) -> Picture {
    let pixels = (0..width * height * channels).map(|i| (i % 7) as u8).collect();
    Picture { width, height, channels, pixels, orientation: Orientation::NoTransforms }
}

fn listing(names: &[&str]) -> Listing {
    let listed = |name: &&str| Listed { path: PathBuf::from(name), fault: None };
    Listing { files: names.iter().map(listed).collect(), notes: Vec::new() }
}

/// What is printed for pictures of those sizes and outputs.
fn printed(options: &Options, info: &Info, pictures: &[(Option<Picture>, Vec<f32>)]) -> String {
    let mut out = Vec::new();
    let json = info.to_json();
    let mut boxes = Boxes::new(options, info, (json.as_bytes(), &listing(&["a"])), &mut out)
        .unwrap_or_else(|_| panic!("the options are legal"));
    for (picture, output) in pictures {
        let size = picture.as_ref().map(Picture::size);
        let loaded = Loaded::new(size, picture.clone(), Memory::new(1 << 30));
        boxes.take(0, Path::new("a.jpg"), loaded);
        boxes.answer(0, "a.jpg", output, 1.5).unwrap();
        boxes.after(0).unwrap();
    }
    boxes.fault("b.jpg", "gone").unwrap();
    boxes.finish().unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn people_get_corners_in_pixels() {
    let all = [
        (Some(picture(200, 50, 3)), output(0.75, 0.875)),
        (None, output(0.75, 0.0)),
        (Some(picture(1, 1, 3)), output(0.0, f32::NAN)),
    ];
    let expected = "a.jpg\n  0.8750  cat  (1)  from 150.0, 0.0 to 200.0, 50.0\n  \
                    0.7500  cat  (1)  from 0.0, 0.0 to 100.0, 50.0\n\n\
                    a.jpg\n  0.7500  cat  (1)  from 0.0, 0.0 to 10.0, 10.0\n\n\
                    a.jpg\n  nothing found\n";
    assert_eq!(printed(&Options::default(), &info(), &all), expected);
    let top = Options { top: Some(1), ..Options::default() };
    let unnamed = Info { labels: Vec::new(), ..info() };
    let expected = "a.jpg\n  0.8750  class 1  from 150.0, 0.0 to 200.0, 50.0\n";
    assert_eq!(printed(&top, &unnamed, &all[..1]), expected);
}

#[test]
fn programs_get_one_document() {
    let json = Options { json: true, ..Options::default() };
    let found = printed(&json, &info(), &[(Some(picture(40, 20, 3)), output(0.75, 0.0))]);
    let expected = "[\n{\"file\":\"a.jpg\",\"width\":40,\"height\":20,\"boxes\":[{\"index\":1,\"label\":\"cat\",\
                    \"score\":0.75,\"left\":0.0,\"top\":0.0,\"right\":20.0,\"bottom\":20.0,\"prior\":0}],\
                    \"milliseconds\":1.5},\n{\"file\":\"b.jpg\",\"error\":\"gone\"}\n]\n";
    assert_eq!(found, expected);
    let found = printed(&json, &info(), &[(Some(picture(1, 1, 1)), output(0.0, 0.0))]);
    assert!(found.contains("\"width\":1,\"height\":1,\"boxes\":[],\"milliseconds\""), "{found}");
}

/// Of what the network hasn't seen, boxes tell what they reach; of what the picture hasn't, nothing.
#[test]
fn edges_are_those_of_the_picture() {
    let window = |full, start, len| Seen { window: Window { full, start, len }, before: 0, len };
    let check = |edge, seen, size, expected: f64| assert_eq!(in_picture(edge, seen, size), expected);
    check(0.25, window(20, 0, 20), 200, 50.0);
    // 256 pixels of 512, of which the middle 224 are seen.
    check(0.0, window(256, 16, 224), 512, 32.0);
    check(1.0, window(256, 16, 224), 512, 480.0);
    check(1.05, window(256, 16, 224), 512, 502.400_000_000_000_03);
    check(1.5, window(256, 16, 224), 512, 512.0);
    check(-1e300, window(256, 16, 224), 512, 0.0);
    // A box that lies beyond the picture's edge is none.
    let mut outside = output(0.0, 0.75);
    outside[8] = 40.0;
    let expected = "a.jpg\n  nothing found\n";
    assert_eq!(printed(&Options::default(), &info(), &[(Some(picture(9, 9, 3)), outside)]), expected);
    // 100 pixels of 200 in the middle of 224, with a border of 62 on both sides.
    let bordered = Seen { window: window(100, 0, 100).window, before: 62, len: 224 };
    check(62.0 / 224.0, bordered, 200, 0.0);
    check(0.5, bordered, 200, 100.0);
    check(0.0, bordered, 200, 0.0);
    check(1.0, bordered, 200, 200.0);
}

fn found(left: f64, top: f64, right: f64, bottom: f64) -> Box {
    Box { index: 1, label: Some("é".to_string()), score: 0.5, left, top, right, bottom, prior: 0 }
}

/// Boxes at every place and pictures of every size: nothing is painted outside, and something inside.
#[test]
fn painting_stays_inside() {
    for (width, height) in [(1, 1), (1, 40), (40, 1), (3, 2), (64, 48), (900, 700)] {
        for channels in [1, 3] {
            let picture = picture(width, height, channels);
            let mut memory = Memory::new(64 << 20);
            let mut canvas = Canvas::of(&picture, &mut memory).unwrap();
            let before = canvas.to_png(&mut memory).unwrap();
            let (w, h) = (width as f64, height as f64);
            for corner in [found(0.0, 0.0, w, h), found(w - 0.5, h - 0.5, w, h), found(0.0, 0.0, 0.1, 0.1)] {
                canvas.paint(&corner);
            }
            let after = canvas.to_png(&mut memory).unwrap();
            assert_ne!(before, after);
            let read = image_of(&after);
            assert_eq!((read.0, read.1), (width as u32, height as u32));
        }
    }
    let error = Canvas::of(&picture(100, 100, 3), &mut Memory::new(50_000)).map(|_| ()).unwrap_err();
    assert!(error.starts_with("which takes"), "{error}");
}

/// Columns, rows and pixels of a PNG.
fn image_of(png: &[u8]) -> (u32, u32, Vec<u8>) {
    let mut reader = png::Decoder::new(io::Cursor::new(png)).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let frame = reader.next_frame(&mut pixels).unwrap();
    (frame.width, frame.height, pixels)
}

#[test]
fn frames_are_where_the_boxes_are() {
    let picture = Picture { pixels: vec![9; 60 * 50 * 3], ..picture(60, 50, 3) };
    let mut memory = Memory::new(1 << 20);
    let mut canvas = Canvas::of(&picture, &mut memory).unwrap();
    canvas.paint(&found(10.2, 20.0, 29.5, 40.0));
    let (_, _, pixels) = image_of(&canvas.to_png(&mut memory).unwrap());
    let is_painted = |x: usize, y: usize| pixels[(y * 60 + x) * 3..][..3] != [9; 3];
    for (x, y, expected) in [
        (10, 20, true),
        (29, 20, true),
        (10, 39, true),
        (29, 39, true),
        (20, 39, true),
        (20, 40, false),
        (9, 30, false),
        (10, 30, true),
        (30, 30, false),
        (20, 30, false),
        // The label is above, on nine rows.
        (11, 11, true),
        (11, 10, false),
    ] {
        assert_eq!(is_painted(x, y), expected, "{x}, {y}");
    }
}

#[test]
fn pictures_are_painted_beside_what_is_read() {
    let folder = std::env::temp_dir().join(format!("mnc-runtime-draw-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let [photo, other, painted] = ["photo.png", "photo.jpg", "painted.png"].map(|name| folder.join(name));
    fs::write(&photo, "").unwrap();
    fs::write(&other, "").unwrap();
    let check = |draw: &Path, files: &[&Path], expected: Result<(), &str>| {
        let options = Options { draw: Some(draw.to_owned()), ..Options::default() };
        let names: Vec<&str> = files.iter().map(|file| file.to_str().unwrap()).collect();
        let found = Draw::new(&options, &listing(&names), &info()).map(|_| ());
        let shown = format!("{}/", folder.display());
        assert_eq!(found.map_err(|error| error.replace(&shown, "")), expected.map_err(str::to_string));
    };
    check(&painted, &[&photo], Ok(()));
    check(&folder.join("painted.PNG"), &[&photo], Ok(()));
    // In the folder of the photographs itself, `photo.jpg` would replace nothing that is read, but `photo.png` itself.
    check(&folder, &[&other, Path::new("-")], Ok(()));
    check(&folder, &[&photo], Err("--draw: photo.png is an input, expected another place for photo.png"));
    let twins = [Path::new("x/photo.jpg"), Path::new("y/photo.png")];
    let error = "--draw: x/photo.jpg and y/photo.png would both be painted to inner/photo.png, expected one run for each";
    let inner = folder.join("inner");
    fs::create_dir_all(&inner).unwrap();
    check(&inner, &twins, Err(error));
    check(&photo, &[&photo], Err("--draw: photo.png is an input, expected another place for photo.png"));
    check(
        &painted,
        &[&photo, &other],
        Err("--draw: found 2 files to paint and one name, painted.png, expected a folder"),
    );
    check(
        &folder.join("a.jpg"),
        &[&photo],
        Err("--draw: found a.jpg, expected a file that ends in .png, or a folder"),
    );
    check(&folder.join("none/"), &[&photo], Err("--draw: found no folder none/, expected one that exists"));
    fs::remove_dir_all(&folder).unwrap();
}
