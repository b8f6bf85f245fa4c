//! A seed -> bytes that are nearly one.

use crate::random::Random;

/// Longer inputs than this are cut: what readers do with size alone is tested elsewhere.
const MOST_BYTES: usize = 1 << 20;

/// How many changes an input may have; few leave more of it to be read.
const MOST_CHANGES: [usize; 4] = [1, 1, 2, 6];

/// Numbers at which sizes and offsets go wrong.
const EDGES: [u64; 16] = [
    0,
    1,
    2,
    7,
    8,
    63,
    64,
    0x7f,
    0x80,
    0xffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    1 << 62,
    i64::MAX as u64,
    u64::MAX,
];

/// Numbers as a text has them.
const WRITTEN: [&str; 14] = [
    "0",
    "-0",
    "1",
    "-1",
    "7",
    "1025",
    "65537",
    "4294967296",
    "9223372036854775807",
    "18446744073709551616",
    "1e308",
    "1e-400",
    "0.1",
    "nan",
];

/// One of the seeds with a few changes.
pub(super) fn mutate(random: &mut Random, corpus: &[Vec<u8>], words: &[&str]) -> Vec<u8> {
    let mut bytes = corpus[random.within(0, corpus.len() - 1)].clone();
    let most = random.pick(&MOST_CHANGES);
    for _ in 0..random.within(1, most) {
        if bytes.is_empty() {
            bytes.push(random.bits() as u8);
        }
        match random.within(0, if words.is_empty() { 8 } else { 11 }) {
            0 => flip(random, &mut bytes),
            1 => {
                let at = place(random, &bytes);
                bytes[at] = random.bits() as u8;
            }
            2 => number(random, &mut bytes),
            3 => cut(random, &mut bytes),
            4 => {
                let from = range(random, &bytes);
                let copy = bytes[from].to_vec();
                insert(random, &mut bytes, &copy);
            }
            5 => bytes.truncate(random.within(0, bytes.len())),
            6 => {
                let other = &corpus[random.within(0, corpus.len() - 1)];
                if !other.is_empty() {
                    let from = range(random, other);
                    insert(random, &mut bytes, &other[from]);
                }
            }
            7 => {
                let from = range(random, &bytes);
                let fill = random.pick(&[0, 0xff, b' ', b'0']);
                bytes[from].fill(fill);
            }
            8 => {
                let (a, b) = (place(random, &bytes), place(random, &bytes));
                bytes.swap(a, b);
            }
            9 => digits(random, &mut bytes),
            _ => {
                let word = random.pick(words);
                if random.percent(50) {
                    cut(random, &mut bytes);
                }
                insert(random, &mut bytes, word.as_bytes());
            }
        }
        bytes.truncate(MOST_BYTES);
    }
    bytes
}

fn place(random: &mut Random, bytes: &[u8]) -> usize {
    // Headers are short and come first.
    let most = if random.percent(40) { bytes.len().min(256) } else { bytes.len() };
    random.within(0, most - 1)
}

/// A short piece, seldom a long one.
fn range(random: &mut Random, bytes: &[u8]) -> std::ops::Range<usize> {
    let start = place(random, bytes);
    let most = if random.percent(80) { 16 } else { bytes.len() };
    start..bytes.len().min(start + random.within(1, most))
}

fn flip(random: &mut Random, bytes: &mut [u8]) {
    let at = place(random, bytes);
    bytes[at] ^= 1 << random.within(0, 7);
}

/// A whole number of two, four or eight bytes, or the length of all, a little more or less.
fn number(random: &mut Random, bytes: &mut [u8]) {
    let value = if random.percent(30) {
        (bytes.len() as u64).wrapping_add_signed(random.within(0, 16) as i64 - 8)
    } else {
        random.pick(&EDGES)
    };
    let len = random.pick(&[2, 4, 8]);
    let at = place(random, bytes);
    let at = if random.percent(70) { at - at % len } else { at };
    let little = value.to_le_bytes();
    for (to, from) in bytes[at..].iter_mut().zip(&little[..len]) {
        *to = *from;
    }
}

fn cut(random: &mut Random, bytes: &mut Vec<u8>) {
    let gone = range(random, bytes);
    bytes.drain(gone);
}

fn insert(random: &mut Random, bytes: &mut Vec<u8>, piece: &[u8]) {
    let at = if bytes.is_empty() { 0 } else { place(random, bytes) };
    bytes.splice(at..at, piece.iter().copied());
}

/// Another number for one that the text has.
fn digits(random: &mut Random, bytes: &mut Vec<u8>) {
    let at = place(random, bytes);
    let Some(start) = bytes[at..].iter().position(u8::is_ascii_digit).map(|first| at + first) else { return };
    let len = bytes[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    bytes.splice(start..start + len, random.pick(&WRITTEN).bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nothing panics on short seeds, a number gives the same bytes again, and numbers give different ones.
    #[test]
    fn inputs_are_determined_and_differ() {
        for corpus in
            [vec![Vec::new()], vec![vec![7]], vec![b"name = \"x\"\nclasses = 10\n".to_vec(), vec![0; 300]]]
        {
            let all = |words| -> Vec<Vec<u8>> {
                (0..2000).map(|seed| mutate(&mut Random::new(seed), &corpus, words)).collect()
            };
            assert_eq!(all(&["kind", "[["]), all(&["kind", "[["]));
            let (mut found, n_least) = (all(&[]), if corpus[0].len() < 2 { 100 } else { 1500 });
            found.sort();
            found.dedup();
            assert!(n_least < found.len(), "{} of 2000 differ", found.len());
        }
    }
}
