//! Pictures of every format, whole and not.

use super::*;
use image::{DynamicImage, ImageFormat, RgbImage};
use std::io::Cursor;

/// More than any picture here needs.
pub(super) const PLENTY: u64 = 64 << 20;

fn photo() -> RgbImage {
    RgbImage::from_fn(5, 3, |x, y| image::Rgb([(x * 50) as u8, (y * 80) as u8, 200]))
}

fn encode(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

pub(super) fn decode(bytes: &[u8]) -> Result<Picture, String> {
    Picture::decode(Format::of(bytes)?, bytes, &mut Memory::new(PLENTY))
}

fn upright(width: usize, height: usize, channels: usize, pixels: Vec<u8>) -> Picture {
    Picture { width, height, channels, pixels, orientation: Orientation::NoTransforms }
}

#[test]
fn lossless_formats_give_their_pixels() {
    let rgb = DynamicImage::from(photo());
    let expected = upright(5, 3, 3, photo().into_raw());
    for format in [ImageFormat::Png, ImageFormat::Bmp, ImageFormat::Pnm] {
        assert_eq!(decode(&encode(&rgb, format)), Ok(expected.clone()), "{format:?}");
    }
    for deeper in [rgb.to_rgba8().into(), rgb.to_rgb16().into(), rgb.to_rgba16().into()] {
        assert_eq!(decode(&encode(&deeper, ImageFormat::Png)), Ok(expected.clone()));
    }
    assert_eq!(decode(&encode(&rgb.to_rgb16().into(), ImageFormat::Pnm)), Ok(expected));
}

#[test]
fn grey_stays_grey() {
    let grey = DynamicImage::from(photo()).to_luma8();
    let expected = upright(5, 3, 1, grey.clone().into_raw());
    let deeper = DynamicImage::from(grey.clone()).to_luma_alpha16();
    assert_eq!(decode(&encode(&grey.into(), ImageFormat::Png)), Ok(expected.clone()));
    assert_eq!(decode(&encode(&deeper.into(), ImageFormat::Png)), Ok(expected.clone()));
    assert_eq!(expected.clone().into_grey(), expected);
    assert_eq!(
        upright(1, 2, 3, vec![255, 255, 255, 0, 255, 0]).into_grey(),
        upright(1, 2, 1, vec![255, 150])
    );
}

#[test]
fn every_orientation_is_undone() {
    for exif in 1..=8 {
        let orientation = Orientation::from_exif(exif).unwrap();
        let mut expected = DynamicImage::from(photo());
        expected.apply_orientation(orientation);
        let picture = Picture { orientation, ..upright(5, 3, 3, photo().into_raw()) };
        let (width, height) = picture.size();
        assert_eq!((width, height), (expected.width() as usize, expected.height() as usize));
        let mut line = vec![0; 3 * width];
        let rows: Vec<u8> = (0..height).flat_map(|y| picture.row(y, &mut line).to_vec()).collect();
        assert_eq!(rows, expected.into_bytes(), "{orientation:?}");
    }
}

/// A file that is cut anywhere is no picture. Of an ASCII file the last number may lose digits unseen.
#[test]
fn cut_files_are_refused_in_every_format() {
    let rgb = DynamicImage::from(photo());
    let files = [
        encode(&rgb, ImageFormat::Png),
        encode(&rgb, ImageFormat::Bmp),
        encode(&rgb, ImageFormat::Pnm),
        RUNS.to_vec(),
        b"P3 2 1 255 1 2 3 4 5 6".to_vec(),
        b"P1 3 2 1 0 1 0 1 0".to_vec(),
        b"P4 9 1\n\x80\x80".to_vec(),
    ];
    for file in &files {
        assert!(decode(file).is_ok(), "{:?}: {:?}", &file[..8], decode(file));
        for len in 0..file.len() {
            let error = decode(&file[..len]).expect_err("a part is no picture");
            assert!(error.starts_with("found ") && error.contains(", expected "), "{len}: {error}");
        }
    }
    let error = decode(&files[0][..files[0].len() - 1]).unwrap_err();
    assert!(error.starts_with("found a damaged PNG, expected a whole one: "), "{error}");
}

/// A BMP of 4 x 2 pixels in runs, with their end.
const RUNS: &[u8] = b"BM\x46\0\0\0\0\0\0\0\x3e\0\0\0\x28\0\0\0\x04\0\0\0\x02\0\0\0\x01\0\x08\0\
\x01\0\0\0\x0a\0\0\0\0\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\x10\x20\x30\0\xf0\xe0\xd0\0\x04\x01\0\0\x04\0\0\0\0\x01";

/// PNG has checksums: no bit of a file is without one, except the name of the format.
#[test]
fn no_bit_of_a_png_may_change() {
    let file = encode(&DynamicImage::from(photo()), ImageFormat::Png);
    for bit in 64..file.len() * 8 {
        let mut changed = file.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(decode(&changed).is_err(), "bit {bit}");
    }
}

#[test]
fn what_is_no_picture_is_named() {
    let check = |bytes: &[u8], expected: &str| {
        let error = decode(bytes).unwrap_err();
        assert!(error.starts_with(expected), "{error}");
    };
    check(b"", "found an empty file, expected a picture");
    check(b"\xff\xd8\xff\xe0", "found a damaged JPEG, expected a whole one: it ends within a segment");
    let size = "found 60000 x 60000 pixels, which takes 10300 MiB of memory, expected at most 64 MiB; ";
    check(b"P6 60000 60000 255\n", size);
    check(b"P6 70000 1 255\n", "found 70000 x 1 pixels, expected at least one and at most 65535 a side");
    check(b"P6 0 0 255\n", "found ");
}

/// What a picture takes is known before it is taken, its file not counted here.
#[test]
fn memory_is_bounded() {
    let file = encode(&DynamicImage::from(photo()), ImageFormat::Bmp);
    let with = |limit| Picture::decode(Format::Bmp, &file, &mut Memory::new(limit));
    assert!(with(45 + 20).is_ok());
    let error = "found 5 x 3 pixels, which takes 65 bytes of memory, expected at most 64 bytes; ";
    assert!(with(64).unwrap_err().starts_with(error), "{:?}", with(64));
}

/// Files and the pixels that Pillow makes of them: 13.0, turned upright, as RGB.
macro_rules! pillow {
    ($($name:literal),*) => {
        [$((
            $name,
            include_bytes!(concat!("fixtures/", $name)).as_slice(),
            include_bytes!(concat!("fixtures/", $name, ".rgb")).as_slice(),
        )),*]
    };
}

const PILLOW: [(&str, &[u8], &[u8]); 7] = pillow![
    "lossless.webp",
    "alpha.webp",
    "lossy.webp",
    "lossy-alpha.webp",
    "animated.webp",
    "interlaced.gif",
    "animated.gif"
];

/// Pictures in other colours than red, green and blue of 8 bits, or several in a file, of which the first counts.
const SORTS: [(&str, &[u8], &[u8]); 12] = pillow![
    "cmyk.jpg",
    "cmyk-plain.jpg",
    "ycck.jpg",
    "grey.jpg",
    "two.mpo",
    "palette-transparent.png",
    "palette-bytes.png",
    "grey-alpha.png",
    "grey-16.png",
    "rgb-transparent.png",
    "one-bit.png",
    "animated.png"
];

/// Two decoders of JPEG may differ by a level here and there, and by one more where four colours become three.
#[test]
fn every_sort_has_pillows_pixels() {
    for (name, file, expected) in SORTS {
        let picture = decode(file).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(picture.size(), (12, 10), "{name}");
        let pixels: Vec<u8> = match picture.channels {
            1 => picture.pixels.iter().flat_map(|level| [*level; 3]).collect(),
            _ => picture.pixels,
        };
        let apart = pixels.iter().zip(expected).map(|(x, y)| x.abs_diff(*y)).max();
        let most = if name.ends_with("png") { 0 } else { 3 };
        assert!(pixels.len() == expected.len() && apart <= Some(most), "{name}: {apart:?} levels apart");
    }
}

#[test]
fn webp_and_gif_have_pillows_pixels() {
    for (name, file, expected) in PILLOW {
        let picture = decode(file).unwrap_or_else(|error| panic!("{name}: {error}"));
        let (width, height) = picture.size();
        let mut line = vec![0; 3 * width];
        let rows: Vec<u8> = (0..height).flat_map(|y| picture.row(y, &mut line).to_vec()).collect();
        assert_eq!((picture.channels, rows.as_slice()), (3, expected), "{name}");
        // What follows is somebody else's.
        assert_eq!(decode(&[file, b"and so on"].concat()).as_ref(), Ok(&picture), "{name}");
        for len in 0..file.len() {
            let error = decode(&file[..len]).expect_err("a part is no picture");
            assert!(error.starts_with("found ") && error.contains(", expected "), "{name}, {len}: {error}");
        }
        // A change may leave a picture. It ends in an answer or in words.
        for bit in 0..8 * file.len() {
            let mut changed = file.to_vec();
            changed[bit / 8] ^= 1 << (bit % 8);
            if let Err(error) = decode(&changed) {
                assert!(error.starts_with("found ") && !error.contains('\n'), "{name}, bit {bit}: {error}");
            }
        }
    }
}

/// A GIF of one frame somewhere on a canvas: one pixel after the other, each a code of four bits behind a code that clears.
fn gif(
    canvas: [u16; 2],
    frame: [u16; 4],
    palette: &[[u8; 3]],
    transparent: Option<u8>,
    pixels: &[u8],
) -> Vec<u8> {
    let mut file = b"GIF89a".to_vec();
    file.extend(canvas.iter().flat_map(|n| n.to_le_bytes()));
    file.extend([0x80 | (palette.len().ilog2() as u8 - 1), 0, 0]);
    file.extend(palette.as_flattened());
    file.extend([0x21, 0xf9, 4, u8::from(transparent.is_some()), 0, 0, transparent.unwrap_or(0), 0, 0x2c]);
    file.extend(frame.iter().flat_map(|n| n.to_le_bytes()));
    file.extend([0, 3]);
    let codes = pixels.iter().flat_map(|pixel| [8, *pixel]).chain([9, 0]);
    let codes: Vec<u8> = codes.collect();
    let data: Vec<u8> = codes.chunks_exact(2).map(|pair| pair[0] | pair[1] << 4).collect();
    file.push(data.len() as u8);
    file.extend(data);
    file.extend([0, 0x3b]);
    file
}

/// The frame may be smaller than the canvas, lie outside of it, or have indices that no palette has. The pixels are Pillow's.
#[test]
fn gif_frames_lie_on_their_canvas() {
    let palette = [[10, 20, 30], [200, 0, 0], [0, 200, 0], [0, 0, 200]];
    let colour = |index: usize| palette.get(index).copied().unwrap_or([0; 3]);
    let check = |canvas, frame, transparent, pixels: &[u8], size: (usize, usize), indices: &[usize]| {
        let picture = decode(&gif(canvas, frame, &palette, transparent, pixels)).unwrap();
        let expected: Vec<[u8; 3]> = indices.iter().map(|index| colour(*index)).collect();
        assert_eq!((picture.size(), picture.pixels.as_slice()), (size, expected.as_flattened()));
    };
    check([3, 2], [1, 1, 2, 1], None, &[1, 2], (3, 2), &[0, 0, 0, 0, 1, 2]);
    check([3, 2], [1, 1, 2, 1], Some(3), &[3, 2], (3, 2), &[3, 3, 3, 3, 3, 2]);
    check([3, 2], [0, 0, 2, 1], Some(7), &[7, 5], (3, 2), &[7, 5, 7, 7, 7, 7]);
    check([1, 1], [1, 1, 2, 1], None, &[1, 2], (3, 2), &[0, 0, 0, 0, 1, 2]);
    let greys = [[0; 3], [1; 3], [2; 3], [3; 3]];
    let picture = decode(&gif([2, 1], [0, 0, 2, 1], &greys, None, &[2, 6])).unwrap();
    assert_eq!(picture.pixels, [2, 2, 2, 6, 6, 6]);
    let few = decode(&gif([3, 1], [0, 0, 3, 1], &palette, None, &[1, 2])).unwrap_err();
    assert!(few.starts_with("found a damaged GIF, expected a whole one: "), "{few}");
    assert!(decode(&gif([0, 0], [0, 0, 0, 0], &palette, None, &[])).is_err());
}

/// What a picture of these formats takes is counted before it is taken.
#[test]
fn the_limit_counts_what_webp_and_gif_take() {
    let noise: Vec<u8> = (0..600 * 400 * 4u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let webp = |colour, channels: usize| {
        let mut file = Vec::new();
        let pixels = &noise[..600 * 400 * channels];
        image_webp::WebPEncoder::new(&mut file).encode(pixels, 600, 400, colour).expect("it can be encoded");
        file
    };
    let palette = [[10, 20, 30], [200, 0, 0], [0, 200, 0], [0, 0, 200]];
    let files = [
        ("rgb", webp(image_webp::ColorType::Rgb8, 3)),
        ("rgba", webp(image_webp::ColorType::Rgba8, 4)),
        ("lossy", PILLOW[2].1.to_vec()),
        ("gif", gif([600, 400], [20, 20, 3, 1], &palette, None, &[1, 2, 3])),
    ];
    for (name, file) in files {
        let format = Format::of(&file).unwrap();
        let with =
            |limit| Picture::decode(format, &file, &mut Memory::new(limit)).map(|picture| picture.size());
        assert!(with(PLENTY).is_ok(), "{name}: {:?}", with(PLENTY));
        let most = counting::most_bytes(|| drop(with(PLENTY)));
        let (mut low, mut least) = (0, PLENTY);
        while low + 1 < least {
            let middle = (low + least) / 2;
            match with(middle) {
                Ok(_) => least = middle,
                Err(_) => low = middle,
            }
        }
        // Beside it there are tables.
        assert!(most <= least + (128 << 10), "{name}: {most} bytes were held, {least} counted");
        assert!(least <= 3 * most, "{name}: {most} bytes were held, {least} counted");
    }
}

#[test]
fn exif_is_found_wherever_a_format_has_it() {
    let upside_down = |file: &[u8]| {
        let picture = decode(file).unwrap_or_else(|error| panic!("{error}"));
        picture.orientation == Orientation::Rotate180
    };
    let exif = exif::tests::block(false, &[(0x112, 3, 1, 3)]);
    let xmp = b"<x tiff:Orientation=\"3\"/>".as_slice();
    let png = encode(&photo().into(), ImageFormat::Png);
    let chunk = |name: &[u8], data: &[u8]| {
        let named = [name, data].concat();
        let step = |crc: u32, _| if crc & 1 == 0 { crc >> 1 } else { crc >> 1 ^ 0xedb8_8320 };
        let crc = !named.iter().fold(u32::MAX, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step));
        [&(data.len() as u32).to_be_bytes(), named.as_slice(), &crc.to_be_bytes()].concat()
    };
    let text = [b"XML:com.adobe.xmp\0\0\0\0\0", xmp].concat();
    // As zlib stores it, without compression.
    let zlib = |data: &[u8]| {
        let (low, high) = data.iter().fold((1_u32, 0_u32), |(low, high), byte| {
            let low = (low + u32::from(*byte)) % 65521;
            (low, (high + low) % 65521)
        });
        let len = data.len() as u16;
        [
            &[0x78, 1, 1],
            &len.to_le_bytes()[..],
            &(!len).to_le_bytes(),
            data,
            &(high << 16 | low).to_be_bytes(),
        ]
        .concat()
    };
    let packed = [b"XML:com.adobe.xmp\0\x01\0en\0x\0".as_slice(), &zlib(xmp)].concat();
    let digits: String = exif.iter().map(|byte| format!("{byte:02x}")).collect();
    let (start, end) = digits.split_at(20);
    let profile = format!("\nexif\n      {}\n{start}\n{end}\n", exif.len());
    let plain = [b"Raw profile type exif\0", profile.as_bytes()].concat();
    let packed_profile = [b"Raw profile type exif\0\0".as_slice(), &zlib(profile.as_bytes())].concat();
    for extra in [
        chunk(b"eXIf", &exif),
        chunk(b"iTXt", &text),
        chunk(b"iTXt", &packed),
        chunk(b"tEXt", &plain),
        chunk(b"zTXt", &packed_profile),
    ] {
        // Behind the header, and behind the pixels.
        for place in [33, png.len() - 12] {
            assert!(upside_down(&[&png[..place], &extra, &png[place..]].concat()), "{place}");
        }
    }
    // What can't be read says nothing, and the chunk made for it counts first.
    let upright = exif::tests::block(false, &[(0x112, 3, 1, 1)]);
    for extra in [
        chunk(b"iTXt", &packed[..packed.len() - 20]),
        chunk(b"zTXt", &packed_profile[..40]),
        chunk(b"zTXt", &[b"Raw profile type exif\0\x01".as_slice(), &zlib(profile.as_bytes())].concat()),
        chunk(b"tEXt", b"Raw profile type exif\0\nexif\n 4\nzz"),
        [chunk(b"eXIf", &upright), chunk(b"zTXt", &packed_profile)].concat(),
    ] {
        assert!(!upside_down(&[&png[..33], &extra, &png[33..]].concat()));
    }
    let jpeg = encode(&photo().into(), ImageFormat::Jpeg);
    let segment = |data: &[&[u8]]| {
        let data = data.concat();
        [&[0xff, 0xe1], &(data.len() as u16 + 2).to_be_bytes()[..], &data].concat()
    };
    let name = b"http://ns.adobe.com/xap/1.0/\0".as_slice();
    let other = exif::tests::block(true, &[(0x112, 3, 1, 6)]);
    // A block that goes on in the next segment.
    let long = exif::tests::block(true, &[(0x112, 3, 3, 100)]);
    let rest = [vec![0; 100 - long.len()], vec![3, 0, 0, 0, 0, 0]].concat();
    for segments in [
        segment(&[b"Exif\0\0", &exif]),
        segment(&[name, xmp]),
        [segment(&[name, b"of XMP"]), segment(&[b"Exif\0\0", &exif])].concat(),
        [segment(&[b"Exif\0\0", &exif]), segment(&[b"Exif\0\0", &other])].concat(),
        [segment(&[b"Exif\0\0", &long]), segment(&[b"Exif\0\0", &rest])].concat(),
    ] {
        assert!(upside_down(&[&jpeg[..2], &segments, &jpeg[2..]].concat()), "{segments:?}");
    }
}

/// A PNG whose pixels don't fit comes row by row, if nobody wants it whole: the same rows, and damage is found as before.
#[test]
fn a_png_comes_row_by_row() {
    let large = RgbImage::from_fn(400, 300, |x, y| image::Rgb([x as u8, y as u8, (x * y) as u8]));
    let rgb = DynamicImage::from(large);
    for image in [rgb.clone(), rgb.to_rgba16().into(), rgb.to_luma8().into(), rgb.to_luma_alpha16().into()] {
        let file = encode(&image, ImageFormat::Png);
        let whole = decode(&file).unwrap();
        let limit = file.len() as u64 + 60_000;
        let read = |file: &[u8], rows: std::ops::Range<usize>| {
            let mut memory = Memory::new(limit);
            let rows_of = match Picture::decode_or_rows(Format::Png, file, &mut memory)? {
                Decoded::Rows(rows) => rows,
                Decoded::Whole(_) => panic!("it doesn't fit"),
            };
            let mut found = Vec::new();
            rows_of.read(rows, &mut memory, &mut |_, row| found.extend_from_slice(row))?;
            Ok::<_, String>(found)
        };
        let stride = whole.width * whole.channels;
        assert_eq!(read(&file, 0..300).unwrap(), whole.pixels);
        assert_eq!(read(&file, 20..23).unwrap(), whole.pixels[20 * stride..23 * stride]);
        // Some hundred places of each file, odd steps apart so that they are of all kinds.
        let n_bits = 8 * file.len();
        for len in (0..file.len()).step_by((file.len() / 200) | 1).chain(file.len() - 16..file.len()) {
            assert!(read(&file[..len], 0..1).is_err(), "{len}");
        }
        for bit in (64..n_bits).step_by((n_bits / 600) | 1) {
            let mut changed = file.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(read(&changed, 0..1).is_err(), "bit {bit}");
        }
    }
}
