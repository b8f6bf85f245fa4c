//! Files that describe more tables than pixels.

use super::super::super::tests::decode;
use super::super::super::{Format, Memory, Picture, counting};
use super::*;

/// Bits as a file has them.
#[derive(Default)]
struct Written {
    bits: Vec<bool>,
}

impl Written {
    fn put(&mut self, number: usize, n_bits: usize) {
        self.bits.extend((0..n_bits).map(|idx| number >> idx & 1 == 1));
    }

    /// A code of one symbol below 256.
    fn single(&mut self, symbol: usize) {
        [(1, 1), (0, 1), (1, 1), (symbol, 8)].iter().for_each(|(number, n_bits)| self.put(*number, *n_bits));
    }

    /// A code of these lengths, each said in four bits.
    fn code(&mut self, lengths: &[usize]) {
        self.put(0, 1);
        self.put(19 - 4, 4);
        (17..19).for_each(|_| self.put(0, 3));
        (0..6).for_each(|_| self.put(4, 3));
        self.put(0, 3);
        (6..16).for_each(|_| self.put(4, 3));
        self.put(1, 1);
        self.put(5, 3);
        self.put(lengths.len() - 2, 12);
        for length in lengths {
            // Codes begin with their highest bit.
            (0..4).rev().for_each(|bit| self.put(length >> bit & 1, 1));
        }
    }

    fn file(&self) -> Vec<u8> {
        let byte = |bits: &[bool]| bits.iter().rev().fold(0, |byte, bit| byte << 1 | u8::from(*bit));
        let mut data: Vec<u8> = self.bits.chunks(8).map(byte).collect();
        data.resize(data.len().next_multiple_of(2), 0);
        let chunk = [b"VP8L", &(data.len() as u32).to_le_bytes()[..], &data].concat();
        [b"RIFF", &(chunk.len() as u32 + 4).to_le_bytes()[..], b"WEBP", &chunk].concat()
    }
}

/// A picture of 16 x 16 pixels by the last of these groups. The codes of the others have these lengths; none is that of one symbol.
fn picture(n_groups: usize, lengths: [&[usize]; 5]) -> Vec<u8> {
    let mut written = Written::default();
    for (number, n_bits) in [(0x2f, 8), (15, 14), (15, 14), (0, 4), (0, 1), (1, 1), (11, 4), (1, 1), (2, 3)] {
        written.put(number, n_bits);
    }
    // One pixel says how many groups there are, in red and green.
    written.put(0, 1);
    let last = n_groups - 1;
    for symbol in [last & 255, last >> 8, 0, 0, 0] {
        written.single(symbol);
    }
    for group in 0..n_groups {
        for code in lengths {
            match (group, code) {
                (group, [_, ..]) if group != last => written.code(code),
                _ => written.single(7),
            }
        }
    }
    written.file()
}

const WIDE: [usize; 11] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 10];

/// Few bytes of a file may ask for many of memory; all of it is counted.
#[test]
fn the_limit_counts_tables() {
    let deep = [11; 2048];
    let narrow: &[usize] = &[];
    for (name, n_groups, lengths) in [
        ("one symbol each", 65_536, [narrow; 5]),
        ("tables", 900, [&WIDE[..]; 5]),
        ("trees", 150, [&deep[..], &WIDE, narrow, narrow, narrow]),
        ("two symbols", 5000, [&[1, 1][..]; 5]),
    ] {
        let file = picture(n_groups, lengths);
        let expected = Picture { pixels: vec![7; 768], ..decode(&picture(1, [narrow; 5])).unwrap() };
        assert_eq!(decode(&file), Ok(expected), "{name}");
        let with = |limit| Picture::decode(Format::WebP, &file, &mut Memory::new(limit)).map(drop);
        let most = counting::most_bytes(|| drop(with(64 << 20)));
        assert!(3 * file.len() as u64 + (1 << 20) < most, "{name}: {most} bytes for {}", file.len());
        let error = with(most - (256 << 10)).expect_err(name);
        assert!(error.starts_with("found 16 x 16 pixels, which takes "), "{name}: {error}");
        assert!(with(3 * most).is_ok(), "{name}: {most}");
    }
}

/// What can't be walked to the pixels is refused, wherever it ends.
#[test]
fn what_is_not_whole_has_no_tables() {
    let file = picture(3, [&WIDE, &[1, 1], &WIDE, &[2, 2, 2, 2], &WIDE]);
    let data = &file[20..];
    assert!(bytes(data).is_some());
    let pixels = (0..data.len()).find(|len| bytes(&data[..*len]).is_some()).unwrap();
    assert!(data.len() - pixels < 3, "{pixels} of {}", data.len());
    for lengths in [&[1, 1, 1][..], &[1, 2], &[0, 0], &[15, 15]] {
        let file = picture(2, [lengths, &[1, 1], &[1, 1], &[1, 1], &[1, 1]]);
        assert_eq!(bytes(&file[20..]), None, "{lengths:?}");
        assert!(decode(&file).is_err(), "{lengths:?}");
    }
    // One that takes no bit however long it is said to be.
    assert!(bytes(&picture(2, [&[0, 9], &[1, 1], &[1, 1], &[1, 1], &[1, 1]])[20..]).is_some());
}
