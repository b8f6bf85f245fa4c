//! JPEGs of every common kind: whole ones give the decoder's pixels, damaged ones an error.

use super::super::counting::most_bytes;
use super::super::tests::{PLENTY, decode};
use super::*;

/// Pictures of 45 x 37 pixels, gradients and noise, and one of a single pixel, written by libjpeg-turbo.
const FILES: [(&str, &[u8]); 11] = [
    ("420", include_bytes!("fixtures/420.jpg")),
    ("422", include_bytes!("fixtures/422.jpg")),
    ("444", include_bytes!("fixtures/444.jpg")),
    ("restarts", include_bytes!("fixtures/restarts.jpg")),
    ("progressive", include_bytes!("fixtures/progressive.jpg")),
    ("progressive-restarts", include_bytes!("fixtures/progressive-restarts.jpg")),
    ("grey", include_bytes!("fixtures/grey.jpg")),
    ("grey-progressive", include_bytes!("fixtures/grey-progressive.jpg")),
    ("cmyk", include_bytes!("fixtures/cmyk.jpg")),
    ("rgb", include_bytes!("fixtures/rgb.jpg")),
    ("one", include_bytes!("fixtures/one.jpg")),
];

/// The first one of [`FILES`]' kind with the colours in one scan, and the same picture with its colours in several.
const TOGETHER: &[u8] = include_bytes!("fixtures/together.jpg");
const APART: [(&str, &[u8]); 3] = [
    ("one by one", include_bytes!("fixtures/apart.jpg")),
    ("two and one", include_bytes!("fixtures/apart-pairs.jpg")),
    ("with restarts", include_bytes!("fixtures/apart-restarts.jpg")),
];

fn file(name: &str) -> &'static [u8] {
    FILES.iter().find(|(known, _)| *known == name).expect("it is one of the files").1
}

/// Where the data of the first scan begins, and the end marker.
fn data(file: &[u8]) -> std::ops::Range<usize> {
    let scan = file.windows(2).position(|pair| pair == [0xff, 0xda]).expect("there is a scan");
    let len = usize::from(u16::from_be_bytes([file[scan + 2], file[scan + 3]]));
    scan + 2 + len..file.len() - 2
}

fn refused(bytes: &[u8]) -> bool {
    match decode(bytes) {
        Ok(_) => false,
        Err(error) => {
            assert!(error.starts_with("found ") && error.contains(", expected "), "{error}");
            true
        }
    }
}

#[test]
fn whole_files_give_the_pixels_of_the_decoder() {
    for (name, file) in FILES {
        let expected = image::load_from_memory(file).expect("a whole file");
        let picture = decode(file).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(picture.size(), (expected.width() as usize, expected.height() as usize), "{name}");
        assert_eq!(picture.pixels, expected.into_bytes(), "{name}");
    }
}

/// Phones put films, depth and further pictures behind the picture.
#[test]
fn what_follows_the_picture_is_not_read() {
    for (name, file) in FILES {
        for more in [&[0; 100][..], file, &file[..file.len() / 2]] {
            assert_eq!(decode(&[file, more].concat()), decode(file), "{name}");
        }
    }
}

/// Any number of 0xff may precede a marker, and other segments the picture; a picture within a segment is none of its.
#[test]
fn markers_are_found_where_they_may_be() {
    for (name, file) in FILES {
        let data = data(file);
        let segment = [&[0xff, 0xe2, 0x04, 0x02][..], &[0x11; 0x400], &[0xff, 0xff, 0xff]].concat();
        let thumbnail = [&[0xff, 0xed][..], &(file.len() as u16 + 2).to_be_bytes(), file].concat();
        let with = [
            &file[..2],
            &segment,
            &[0xe3, 0, 2],
            &thumbnail,
            &file[2..data.end],
            &[0xff; 3],
            &file[data.end..],
        ];
        assert_eq!(decode(&with.concat()), decode(file), "{name}");
    }
}

#[test]
fn files_that_are_cut_anywhere_are_refused() {
    for (name, file) in FILES {
        for len in 0..file.len() {
            assert!(refused(&file[..len]), "{name}, {len} of {} bytes", file.len());
        }
    }
}

/// A copy that was broken off and closed. Scans that are missing as a whole are legal, if each colour has one.
#[test]
fn an_end_marker_makes_no_part_whole() {
    for (name, file) in FILES {
        for len in 2..file.len() - 2 {
            let is_marker = |at: usize| file[at] == 0xff && matches!(file[at + 1], 0xda | 0xc4);
            if is_marker(len) || is_marker(len - 1) {
                continue;
            }
            let closed = [&file[..len], &[0xff, 0xd9]].concat();
            // The last byte may hold nothing but filling.
            if refused(&closed) {
                continue;
            }
            assert!(file.len() - 4 < len, "{name}, {len} of {} bytes", file.len());
        }
    }
}

/// What the data of a scan loses is missed, wherever that is: bytes, blocks, restart intervals.
#[test]
fn lost_and_doubled_data_is_refused() {
    for (name, file) in FILES.iter().filter(|(name, _)| *name != "one") {
        let data = data(file);
        let (mut n, mut n_refused) = (0, 0);
        for at in data.clone().take(200).step_by(3).filter(|at| at + 20 < data.end) {
            n += 2;
            n_refused += usize::from(refused(&[&file[..at], &file[at + 20..]].concat()));
            n_refused += usize::from(refused(&[&file[..at + 20], &file[at..]].concat()));
        }
        // A block of noise has more than 20 bytes: some of it still adds up to the right number of blocks.
        assert!(n * 3 / 4 <= n_refused, "{name}: {n_refused} of {n}");
    }
    let file = file("restarts");
    let marker =
        |number: u8| file.windows(2).position(|pair| pair == [0xff, 0xd0 + number]).expect("it is there");
    let [first, second, third] = [0, 1, 2].map(marker);
    assert!(refused(&[&file[..first], &file[second..]].concat()));
    let exchanged = [&file[..first], &file[second..third], &file[first..second], &file[third..]];
    assert!(refused(&exchanged.concat()));
}

/// A flipped bit is seen if the number of blocks isn't right after it, or a value is out of range. Many give another legal picture:
/// the codes find back into step within a block.
#[test]
fn flipped_bits_are_refused_where_they_show() {
    for (name, file) in FILES.iter().filter(|(name, _)| *name != "one") {
        let data = data(file);
        let bits: Vec<usize> = (8 * data.start..8 * data.end).collect();
        let flipped = |bits: &[usize]| {
            let mut bytes = file.to_vec();
            bits.iter().for_each(|bit| bytes[bit / 8] ^= 0x80 >> (bit % 8));
            usize::from(refused(&bytes))
        };
        let one: usize = bits.iter().step_by(7).map(|bit| flipped(&[*bit])).sum();
        let n = bits.len().div_ceil(7);
        let step = bits.len() / 6;
        let five: usize =
            (0..60).map(|i| flipped(&std::array::from_fn::<usize, 5, _>(|j| bits[j * step + i * 5]))).sum();
        // Scans of a progressive picture depend on each other.
        let (least_one, least_five) = if name.contains("progressive") { (n / 2, 57) } else { (n / 5, 36) };
        assert!(
            least_one <= one && least_five <= five,
            "{name}: {one} of {n}, and {five} of 60 with five flips"
        );
    }
}

#[test]
fn frames_that_nobody_writes_are_named() {
    let whole = file("420");
    let frame = whole.windows(2).position(|pair| pair == [0xff, 0xc0]).expect("there is a frame");
    let with = |at: usize, byte: u8| {
        let mut bytes = whole.to_vec();
        bytes[frame + at] = byte;
        decode(&bytes).unwrap_err()
    };
    let expected = "JPEG, expected a baseline or progressive one of 8 bits and 1, 3 or 4 colours";
    assert_eq!(with(1, 0xc9), format!("found an arithmetic-coded {expected}"));
    assert_eq!(with(1, 0xc3), format!("found a lossless {expected}"));
    assert_eq!(with(1, 0xc5), format!("found a hierarchical {expected}"));
    assert_eq!(with(4, 12), format!("found a 12-bit, 3-colour {expected}"));
    assert_eq!(with(9, 2), format!("found a 8-bit, 2-colour {expected}"));
    assert!(with(11, 0x50).contains("a colour has a resolution that can't be"));
    // Places of the frame's sampling.
    let sampled = |at: [u8; 3]| {
        let mut bytes = TOGETHER.to_vec();
        let frame = bytes.windows(2).position(|pair| pair == [0xff, 0xc0]).expect("there is a frame");
        [bytes[frame + 11], bytes[frame + 14], bytes[frame + 17]] = at;
        decode(&bytes).unwrap_err()
    };
    let error =
        "found a JPEG with colours sampled 1 x 1, 2 x 2, 1 x 1, expected no colour finer than the first";
    assert!(sampled([0x11, 0x22, 0x11]).starts_with(error), "{}", sampled([0x11, 0x22, 0x11]));
    for other in [[0x11, 0x11, 0x12], [0x41, 0x22, 0x11], [0x13, 0x12, 0x12], [0x21, 0x41, 0x41]] {
        assert!(sampled(other).starts_with("found a JPEG with colours sampled "), "{}", sampled(other));
    }
    let sized = |bytes: [u8; 4]| {
        let mut changed = whole.to_vec();
        changed[frame + 5..frame + 9].copy_from_slice(&bytes);
        decode(&changed).unwrap_err()
    };
    assert_eq!(sized([0; 4]), "found 0 x 0 pixels, expected at least one and at most 65535 a side");
    assert!(sized([0xff; 4]).starts_with("found a damaged JPEG"));
}

/// A kilobyte can ask for gigabytes: what decoding takes is known from the frame, before any of it is allocated.
#[test]
fn coefficients_are_counted_before_they_are_allocated() {
    let mut bytes = file("progressive").to_vec();
    let frame = bytes.windows(2).position(|pair| pair == [0xff, 0xc2]).expect("there is a frame");
    bytes[frame + 5..frame + 9].copy_from_slice(&[0x20, 0, 0x20, 0]);
    let error = decode(&bytes).unwrap_err();
    // 8192 x 8192 of three bytes, and of half as many coefficients in each of two colours, of two bytes each.
    assert!(error.starts_with("found 8192 x 8192 pixels, which takes 38"), "{error}");
    let whole = file("progressive");
    let taken = |limit| Picture::decode(Format::Jpeg, whole, &mut Memory::new(limit)).is_ok();
    let least = (0..PLENTY).step_by(1000).find(|limit| taken(*limit)).expect("it can be decoded");
    // 5 kB of pixels, 7 kB of coefficients, rows of blocks.
    assert!((12_000..60_000).contains(&least), "{least}");
}

/// Motion JPEG leaves out the tables that everybody has.
#[test]
fn usual_tables_may_be_missing() {
    let mut bytes = file("420")[..2].to_vec();
    bytes.extend(b"\xff\xe0\0\x10AVI1\0\0\0\0\0\0\0\0\0\0");
    let mut at = 2;
    let whole = file("420");
    while whole[at + 1] != 0xda {
        let end = at + 2 + usize::from(u16::from_be_bytes([whole[at + 2], whole[at + 3]]));
        if whole[at + 1] != 0xc4 && whole[at + 1] != 0xe0 {
            bytes.extend(&whole[at..end]);
        }
        at = end;
    }
    bytes.extend(&whole[at..]);
    assert!(decode(&bytes) == decode(whole), "{:?}", decode(&bytes).err());
}

/// Without the segment of Motion JPEG too, as some cameras write their frames.
#[test]
fn usual_tables_may_be_missing_without_a_word() {
    let tables = TOGETHER.windows(2).position(|pair| pair == [0xff, 0xc4]).expect("there are tables");
    let without = [&TOGETHER[..tables], &TOGETHER[data(TOGETHER).start - 14..]].concat();
    assert!(TOGETHER.len() - 400 < without.len() + 200 && decode(&without) == decode(TOGETHER));
}

/// A file with filling before each marker behind data.
fn filled(file: &[u8], filling: &[u8]) -> Vec<u8> {
    let mut filled = file[..data(file).start].to_vec();
    let mut at = filled.len();
    while at < file.len() {
        match file[at..] {
            [0xff, 0, ..] => {
                filled.extend([0xff, 0]);
                at += 2;
            }
            [0xff, marker, ..] => {
                filled.extend(filling);
                let is_alone = matches!(marker, 0xd0..=0xd9);
                let len = if is_alone { 0 } else { u16::from_be_bytes([file[at + 2], file[at + 3]]) };
                filled.extend(&file[at..at + 2 + usize::from(len)]);
                at += 2 + usize::from(len);
            }
            [byte, ..] => {
                filled.push(byte);
                at += 1;
            }
            [] => break,
        }
    }
    filled
}

/// Cameras write words of a fixed size: what is left of the last is filling.
#[test]
fn filling_before_markers_is_left_out() {
    for (name, file) in FILES.iter().chain(&APART) {
        let fillings =
            [&[0][..], &[0; 7], &[0; 4096], &[0xff; 6], &[0, 0xff, 0xff], &[0, 0, 0xff, 0, 0], &[0xff, 0]];
        for filling in fillings {
            let filled = filled(file, filling);
            assert!(file.len() + filling.len() <= filled.len());
            let picture = decode(&filled);
            assert!(picture == decode(file), "{name}, {filling:?}: {:?}", picture.err());
        }
        for rest in [&[0x55][..], &[0, 0, 1], &[0xff, 0, 0x12, 0x34]] {
            assert!(refused(&filled(file, rest)), "{name}, {rest:?}");
        }
    }
}

/// The last interval of blocks may be closed by a marker as the others are.
#[test]
fn a_restart_marker_may_follow_the_last_block() {
    let mut bytes = TOGETHER.to_vec();
    let scan = data(TOGETHER).start - 14;
    // As many units as there are.
    bytes.splice(scan..scan, [0xff, 0xdd, 0, 4, 0, 9]);
    let expected = decode(TOGETHER);
    let with = |marker: &[u8]| decode(&[&bytes[..bytes.len() - 2], marker, &[0xff, 0xd9]].concat());
    assert!(with(&[]) == expected && with(&[0xff, 0xd0]) == expected, "{:?}", with(&[0xff, 0xd0]).err());
    assert!(with(&[0, 0xff, 0xff, 0xd0]) == expected);
    assert!(with(&[0xff, 0xd1]).is_err() && with(&[0xff, 0xd0, 0x12]).is_err());
    assert!(with(&[0xff, 0xd0, 0xff, 0xd1]).is_err());
    // A cut behind a marker lacks blocks.
    let restarts = file("restarts");
    let marker = restarts.windows(2).position(|pair| pair == [0xff, 0xd1]).expect("it is there");
    assert!(refused(&[&restarts[..marker + 2], &[0xff, 0xd9]].concat()));
}

/// A large file may have a few other bytes, as some webcams write them, also before restart markers.
#[test]
fn a_few_other_bytes_are_left_out_of_large_files() {
    for file in [TOGETHER, file("restarts"), APART[2].1] {
        let with = |others: &[u8]| decode(&[&filled(file, others), &[0; 20_000][..]].concat());
        for others in [&[0x55][..], &[0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde, 0xf0]] {
            assert!(with(others) == decode(file), "{others:?}: {:?}", with(others).err());
        }
        assert!(with(&[0x55; 9]).is_err());
    }
}

/// A copy that was broken off, filled up and closed. A few zero bits may still be codes of empty blocks, so of the last unit the
/// end can be lost.
#[test]
fn filling_makes_no_part_whole() {
    for (name, file) in FILES.iter().chain(&APART).filter(|(name, _)| *name != "one") {
        let data = data(file);
        // In the last scan: of a progressive picture others may be missing.
        let last = file.windows(2).rposition(|pair| pair == [0xff, 0xda]).expect("there is a scan") + 10;
        assert!(last + 80 < data.end, "{name}");
        for len in last..data.end - 40 {
            for filling in [&[0; 20][..], &[0; 2000], &[0xff; 20], &[0xff, 0, 0xff, 0]] {
                let closed = [&file[..len], filling, &[0xff, 0xd9]].concat();
                assert!(refused(&closed), "{name}, {len} of {} bytes, {filling:?}", file.len());
            }
        }
    }
}

#[test]
fn colours_that_come_apart_give_the_same_pixels() {
    let expected = decode(TOGETHER).expect("a whole file");
    for (name, file) in APART {
        assert!(decode(file) == Ok(expected.clone()), "{name}: {:?}", decode(file).err());
        for len in 0..file.len() - 2 {
            assert!(refused(&file[..len]), "{name}, {len} of {} bytes", file.len());
            let closed = [&file[..len], &[0xff, 0xd9]].concat();
            // The last byte may hold nothing but filling.
            assert!(file.len() - 4 < len || refused(&closed), "{name}, {len} of {} bytes", file.len());
        }
    }
}

/// A picture of noise in `n` colours, each with a scan of its own: its data weighs more than its pixels.
fn noise(side: usize, n: usize) -> Vec<u8> {
    let mut state = 1u32;
    let mut channel = || {
        let mut random = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        let pixels: Vec<u8> = (0..side * side).map(|_| random()).collect();
        let mut bytes = Vec::new();
        let encoder = image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, 100);
        image::ImageEncoder::write_image(
            encoder,
            &pixels,
            side as u32,
            side as u32,
            image::ExtendedColorType::L8,
        )
        .expect("it can be encoded");
        bytes
    };
    let grey: Vec<Vec<u8>> = (0..n).map(|_| channel()).collect();
    let (mut whole, mut at) = (grey[0][..2].to_vec(), 2);
    while grey[0][at + 1] != 0xda {
        let segment =
            &grey[0][at..][..2 + usize::from(u16::from_be_bytes([grey[0][at + 2], grey[0][at + 3]]))];
        at += segment.len();
        if segment[1] != 0xc0 {
            whole.extend(segment);
            continue;
        }
        whole.extend([0xff, 0xc0, 0, 8 + 3 * n as u8]);
        whole.extend(&segment[4..9]);
        whole.push(n as u8);
        (1..=n as u8).for_each(|id| whole.extend([id, 0x11, 0]));
    }
    for (id, grey) in (1..).zip(&grey) {
        whole.extend([0xff, 0xda, 0, 8, 1, id, 0, 0, 63, 0]);
        whole.extend(&grey[data(grey)]);
    }
    whole.extend([0xff, 0xd9]);
    whole
}

/// The limit counts at least what is taken: by the check, by what is written in place of scans that the decoder doesn't take,
/// and by the decoder.
#[test]
fn the_limit_counts_what_is_taken() {
    let (apart, larger) = (noise(500, 3), noise(600, 3));
    let grey = noise(800, 1);
    // Filling before the end marker: a copy without it is decoded.
    let copied = [&grey[..grey.len() - 2], &[0; 9000], &[0xff, 0xd9]].concat();
    // The same with tables that have to be put in.
    let tables = grey.windows(2).position(|pair| pair == [0xff, 0xc4]).expect("there are tables");
    let without = [&grey[..tables], &grey[data(&grey).start - 10..]].concat();
    let small = TOGETHER.to_vec();
    let files = [
        ("apart", apart),
        ("apart, larger", larger),
        ("grey", grey),
        ("copied", copied),
        ("without tables", without),
        ("small", small),
    ];
    for (name, file) in files {
        let with = |limit| {
            Picture::decode(Format::Jpeg, &file, &mut Memory::new(limit)).map(|picture| picture.size())
        };
        assert!(with(PLENTY).is_ok(), "{name}: {:?}", with(PLENTY));
        let most = most_bytes(|| drop(with(PLENTY)));
        let (mut low, mut least) = (0, PLENTY);
        while low + 1 < least {
            let middle = (low + least) / 2;
            match with(middle) {
                Ok(_) => least = middle,
                Err(_) => low = middle,
            }
        }
        println!("{name}: {} bytes of file, {most} held, {least} counted", file.len());
        // What isn't counted is tables and small buffers, whatever the size of the picture.
        assert!(most <= least + (64 << 10), "{name}: {most} bytes were held, {least} counted");
        assert!(least <= 3 * most, "{name}: {most} bytes were held, {least} counted");
    }
}

/// Strips of any height give the rows of the whole, and none that wasn't asked for. Progressive pictures and those whose colours come
/// apart have no strips.
#[test]
fn strips_have_the_pixels_of_the_whole() {
    let mut n_strips = 0;
    for (name, file) in FILES.iter().chain(&APART).chain(&[("together", TOGETHER)]) {
        let whole = decode(file).expect("a whole file");
        let stride = whole.width * whole.channels;
        let Some(mut strips) = check(file, &mut Memory::new(PLENTY)).expect("a whole file").strips else {
            assert!(name.contains("progressive") || APART.iter().any(|(apart, _)| apart == name), "{name}");
            continue;
        };
        for strip_bytes in [1, 16 * stride, 16 << 20] {
            strips.strip_bytes = strip_bytes;
            for start in 0..whole.height {
                let mut memory = Memory::new(PLENTY);
                for end in [start, start + 1, whole.height.min(start + 9), whole.height] {
                    let mut next = start;
                    let mut take = |y: usize, row: &[u8]| {
                        assert_eq!((y, row), (next, &whole.pixels[y * stride..][..stride]), "{name}");
                        next += 1;
                    };
                    super::super::Rows::read(&strips, start..end, &mut memory, &mut take).expect(name);
                    assert_eq!(next, end, "{name}");
                    n_strips += 1;
                }
            }
        }
    }
    assert!(2000 < n_strips, "{n_strips}");
}

/// A picture too large for its memory is read in strips, if nobody wants it whole.
#[test]
fn large_pictures_take_the_memory_of_a_strip() {
    let (width, height) = (3000, 2000);
    let pixels: Vec<u8> = (0..3 * width * height).map(|i| (i / 7 % 256) as u8).collect();
    let mut file = Vec::new();
    let encoder = image::codecs::jpeg::JpegEncoder::new_with_quality(&mut file, 50);
    let colour = image::ExtendedColorType::Rgb8;
    image::ImageEncoder::write_image(encoder, &pixels, width, height, colour).expect("it can be encoded");
    drop(pixels);
    let limit = file.len() as u64 + (8 << 20);
    let error = Picture::decode(Format::Jpeg, &file, &mut Memory::new(limit)).unwrap_err();
    assert!(error.starts_with("found 3000 x 2000 pixels, which takes "), "{error}");
    let whole = decode(&file).expect("there is plenty");
    let stride = 3 * whole.width;
    let mut n_rows = 0;
    let most = most_bytes(|| {
        let mut memory = Memory::new(limit);
        let decoded = Picture::decode_or_rows(Format::Jpeg, &file, &mut memory).expect("a whole file");
        let Decoded::Rows(rows) = decoded else { panic!("it doesn't fit") };
        let mut take = |y: usize, row: &[u8]| {
            assert!(row == &whole.pixels[y * stride..][..stride], "row {y}");
            n_rows += 1;
        };
        rows.read(0..height as usize, &mut memory, &mut take).expect("it is whole");
    });
    assert!(n_rows == height && most < limit, "{n_rows} rows, {most} bytes");
}
