//! How much memory the prefix codes of a lossless WebP take in its decoder, which allocates them without asking.
//!
//! The pixels of a large picture may be coded by 65,536 groups of five codes, and a few bytes of the file describe a code whose table
//! takes thousands. So the file's beginning is walked as the decoder does it, up to the last code in front of the pixels, and
//! nothing of it is kept but numbers. Knows no pixels.

/// The longest code that the decoder finds in one table; longer ones go on in a tree.
const TABLE_BITS: usize = 10;
/// A table's entry, and two nodes of a tree.
const ENTRY_BYTES: u64 = 4;
const NODES_BYTES: u64 = 32;
/// A group beside what its codes point to, while the vector of groups grows.
const GROUP_BYTES: u64 = 2 * 5 * 64;
/// Of each allocation.
const HEAD_BYTES: u64 = 32;

/// The symbols of a group's codes: green with lengths, red, blue, alpha, distances.
const ALPHABETS: [usize; 5] = [256 + N_LENGTHS, 256, 256, 256, 40];
const N_LENGTHS: usize = 24;

/// The bytes of all tables of a picture at once; `None` if its codes can't be read.
pub(super) fn bytes(data: &[u8]) -> Option<u64> {
    let mut bits = Bits { bytes: data, at: 0 };
    if bits.take(8)? != 0x2f {
        return None;
    }
    let (mut width, height) = (1 + bits.take(14)?, 1 + bits.take(14)?);
    bits.take(1 + 3)?;
    let mut transforms = [false; 4];
    while bits.take(1)? == 1 {
        let transform = bits.take(2)?;
        if std::mem::replace(&mut transforms[transform], true) {
            return None;
        }
        match transform {
            // Predictors and factors of colours, one for each block.
            0 | 1 => {
                let block = 2 + bits.take(3)?;
                sub_picture(&mut bits, parts(width, block) * parts(height, block))?;
            }
            3 => {
                let n_colours = 1 + bits.take(8)?;
                sub_picture(&mut bits, n_colours)?;
                // Several indices in a pixel.
                let together = [(2, 3), (4, 2), (16, 1)].into_iter().find(|(most, _)| n_colours <= *most);
                width = parts(width, together.map_or(0, |(_, bits)| bits));
            }
            _ => {}
        }
    }
    let n_cached = cache(&mut bits)?;
    let n_groups = if bits.take(1)? == 1 {
        let block = 2 + bits.take(3)?;
        1 + sub_picture(&mut bits, parts(width, block) * parts(height, block))?
    } else {
        1
    };
    let mut bytes = n_groups as u64 * GROUP_BYTES;
    for _ in 0..n_groups {
        group(&mut bits, n_cached, |code| bytes += code.table_bytes())?;
    }
    Some(bytes)
}

fn parts(extent: usize, bits: usize) -> usize {
    extent.div_ceil(1 << bits)
}

/// Walks a picture of one group, and returns the largest number that red and green make: others of its pixels are copies.
fn sub_picture(bits: &mut Bits<'_>, n_pixels: usize) -> Option<usize> {
    let n_cached = cache(bits)?;
    let mut codes = Vec::with_capacity(ALPHABETS.len());
    group(bits, n_cached, |code| codes.push(code))?;
    let [green, red, blue, alpha, distance] = &codes[..] else { return None };
    let (mut at, mut most) = (0, 0);
    while at < n_pixels {
        let symbol = green.read(bits)?;
        at += match symbol {
            0..256 => {
                most = most.max(red.read(bits)? << 8 | symbol);
                blue.read(bits)?;
                alpha.read(bits)?;
                1
            }
            _ if symbol < 256 + N_LENGTHS => {
                let len = long(bits, symbol - 256)?;
                let code = distance.read(bits)?;
                long(bits, code)?;
                len
            }
            _ => 1,
        };
    }
    (at == n_pixels).then_some(most)
}

/// How many colours are remembered.
fn cache(bits: &mut Bits<'_>) -> Option<usize> {
    if bits.take(1)? == 0 {
        return Some(0);
    }
    let cache_bits = bits.take(4)?;
    (1..=11).contains(&cache_bits).then_some(1 << cache_bits)
}

/// A length or a distance.
fn long(bits: &mut Bits<'_>, code: usize) -> Option<usize> {
    if code < 4 {
        return Some(code + 1);
    }
    let extra = (code - 2) >> 1;
    Some(((2 + code % 2) << extra) + bits.take(extra)? + 1)
}

fn group(bits: &mut Bits<'_>, n_cached: usize, mut each: impl FnMut(Code)) -> Option<()> {
    for (idx, alphabet) in ALPHABETS.into_iter().enumerate() {
        each(Code::describe(bits, alphabet + if idx == 0 { n_cached } else { 0 })?);
    }
    Some(())
}

/// A canonical prefix code.
struct Code {
    /// How many symbols have a code of so many bits.
    counts: [usize; 16],
    /// By the lengths of their codes, then by themselves.
    symbols: Vec<u16>,
}

impl Code {
    /// Reads the description of one.
    fn describe(bits: &mut Bits<'_>, n_symbols: usize) -> Option<Code> {
        /// In which order the lengths of the codes of lengths come.
        const ORDER: [usize; 19] = [17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
        let mut lengths = vec![0; n_symbols];
        if bits.take(1)? == 1 {
            let has_two = bits.take(1)? == 1;
            let width = if bits.take(1)? == 1 { 8 } else { 1 };
            let first = bits.take(width)?;
            let second = if has_two { bits.take(8)? } else { first };
            let both =
                [first, second].map(|symbol| u16::try_from(symbol).ok().filter(|_| symbol < n_symbols));
            let mut counts = [0; 16];
            counts[usize::from(has_two)] = 1 + usize::from(has_two);
            return Some(Code { counts, symbols: vec![both[0]?, both[1]?] });
        }
        let mut of_lengths = [0; ORDER.len()];
        let n_lengths = 4 + bits.take(4)?;
        for at in ORDER.into_iter().take(n_lengths) {
            of_lengths[at] = bits.take(3)?;
        }
        let of_lengths = Code::new(&of_lengths)?;
        let mut left = n_symbols;
        if bits.take(1)? == 1 {
            let width = 2 + 2 * bits.take(3)?;
            left = 2 + bits.take(width)?;
        }
        let (mut at, mut last) = (0, 8);
        while at < n_symbols && 0 < left {
            left -= 1;
            let symbol = of_lengths.read(bits)?;
            let (times, length) = match symbol {
                0..16 => (1, symbol),
                16 => (3 + bits.take(2)?, last),
                17 => (3 + bits.take(3)?, 0),
                _ => (11 + bits.take(7)?, 0),
            };
            lengths.get_mut(at..at + times)?.fill(length);
            at += times;
            if length != 0 {
                last = length;
            }
        }
        Code::new(&lengths)
    }

    /// A code of these lengths, if there is one.
    fn new(lengths: &[usize]) -> Option<Code> {
        let mut counts = [0; 16];
        lengths.iter().for_each(|length| counts[*length] += 1);
        counts[0] = 0;
        let mut symbols = Vec::new();
        for length in 1..counts.len() {
            let with = lengths.iter().zip(0..).filter(|(found, _)| **found == length);
            symbols.extend(with.map(|(_, symbol)| symbol));
        }
        let free = counts.iter().skip(1).try_fold(1_usize, |free, count| (2 * free).checked_sub(*count))?;
        match (symbols.len(), free) {
            // One that needs no bit.
            (1, _) => counts = std::array::from_fn(|length| usize::from(length == 0)),
            (0, _) | (_, 1..) => return None,
            (_, 0) => {}
        }
        Some(Code { counts, symbols })
    }

    fn read(&self, bits: &mut Bits<'_>) -> Option<usize> {
        if self.counts[0] != 0 {
            return self.symbols.first().map(|symbol| usize::from(*symbol));
        }
        let (mut code, mut first, mut index) = (0, 0, 0);
        for count in &self.counts[1..] {
            code |= bits.take(1)?;
            if code < first + count {
                return self.symbols.get(index + code - first).map(|symbol| usize::from(*symbol));
            }
            index += count;
            first = (first + count) << 1;
            code <<= 1;
        }
        None
    }

    /// What the decoder makes of it.
    fn table_bytes(&self) -> u64 {
        let longest = self.counts.iter().rposition(|count| *count != 0).unwrap_or(0);
        if longest == 0 {
            return 0;
        }
        let in_tree: usize = self.counts[TABLE_BITS + 1..].iter().sum();
        (ENTRY_BYTES << longest.min(TABLE_BITS)) + in_tree.max(2) as u64 * NODES_BYTES + 2 * HEAD_BYTES
    }
}

/// Bits, the lowest of each byte first.
struct Bits<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl Bits<'_> {
    fn take(&mut self, n: usize) -> Option<usize> {
        let mut number = 0;
        for idx in 0..n {
            let at = self.at + idx;
            number |= usize::from(self.bytes.get(at / 8)? >> (at % 8) & 1) << idx;
        }
        self.at += n;
        Some(number)
    }
}

#[cfg(test)]
mod tests;
