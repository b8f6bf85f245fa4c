//! The entropy-coded data of a scan, bit by bit, and the tables of its codes.

/// What is wrong with the data of a scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    EndsEarly,
    EndsLate,
    UnknownCode,
    PastTheBlock,
    TooLarge,
    RunPastTheEnd,
    Restart,
}

impl Fault {
    pub(super) fn text(self) -> &'static str {
        match self {
            Fault::EndsEarly => "the data of a scan ends too early",
            Fault::EndsLate => "there is data behind the last block of a scan",
            Fault::UnknownCode => "the data of a scan holds a code that is in no table",
            Fault::PastTheBlock => "the data of a scan holds more than 64 coefficients for a block",
            Fault::TooLarge => "the data of a scan holds a coefficient that no pixels have",
            Fault::RunPastTheEnd => "a run of empty blocks goes on behind the last",
            Fault::Restart => "a restart marker is missing or not the next",
        }
    }
}

/// Bits looked up at once; longer codes are rare.
const LOOKUP_BITS: u32 = 9;

/// A table of codes of up to 16 bits.
#[derive(Clone, Debug)]
pub(super) struct Codes {
    /// For the next bits the length of their code and its symbol; length 0 for longer codes.
    lookup: Vec<(u8, u8)>,
    /// By length: the first code, how many there are, and where their symbols are.
    ranges: [(u32, u32, usize); 17],
    symbols: Vec<u8>,
}

impl Codes {
    /// The table of so many codes of each length from 1 to 16; `None` if there can't be so many.
    pub(super) fn new(counts: &[u8; 16], symbols: &[u8]) -> Option<Codes> {
        let mut ranges = [(0, 0, 0); 17];
        let mut lookup = vec![(0, 0); 1 << LOOKUP_BITS];
        let (mut code, mut at) = (0u32, 0usize);
        for (len, &count) in (1u32..).zip(counts) {
            let count = u32::from(count);
            ranges[len as usize] = (code, count, at);
            if 1 << len < code + count {
                return None;
            }
            if len <= LOOKUP_BITS {
                for idx in 0..count {
                    let symbol = *symbols.get(at + idx as usize)?;
                    let first = ((code + idx) << (LOOKUP_BITS - len)) as usize;
                    lookup[first..first + (1 << (LOOKUP_BITS - len))].fill((len as u8, symbol));
                }
            }
            at += count as usize;
            code = (code + count) << 1;
        }
        Some(Codes { lookup, ranges, symbols: symbols.get(..at)?.to_vec() })
    }

    /// The table as a file has it, at a place of a class.
    pub(super) fn write(&self, place: u8, to: &mut Vec<u8>) {
        to.extend([0xff, 0xc4]);
        to.extend((self.symbols.len() as u16 + 19).to_be_bytes());
        to.push(place);
        to.extend(self.ranges[1..].iter().map(|(_, count, _)| *count as u8));
        to.extend(&self.symbols);
    }

    /// The length and the symbol of the code that 16 bits begin with.
    fn find(&self, bits: u32) -> Result<(u32, u8), Fault> {
        let (len, symbol) = self.lookup[(bits >> (16 - LOOKUP_BITS)) as usize];
        if len != 0 {
            return Ok((u32::from(len), symbol));
        }
        for len in LOOKUP_BITS + 1..=16 {
            let (first, count, at) = self.ranges[len as usize];
            let code = bits >> (16 - len);
            if code.wrapping_sub(first) < count {
                return Ok((len, self.symbols[at + (code - first) as usize]));
            }
        }
        Err(Fault::UnknownCode)
    }
}

/// A reader of bits that stops at the next marker.
#[derive(Clone, Debug)]
pub(super) struct Bits<'b> {
    bytes: &'b [u8],
    /// Behind the last byte in the buffer.
    pub(super) at: usize,
    /// The next bits, from the top.
    buffer: u64,
    /// How many of them there are.
    len: u32,
}

impl<'b> Bits<'b> {
    pub(super) fn new(bytes: &'b [u8], at: usize) -> Bits<'b> {
        Bits { bytes, at, buffer: 0, len: 0 }
    }

    /// Leaves at least 32 bits in the buffer, or all that there are before the next marker.
    fn fill(&mut self) {
        if let Some(chunk) = self.bytes.get(self.at..).and_then(<[u8]>::first_chunk)
            && !chunk.contains(&0xff)
        {
            self.buffer |= u64::from(u32::from_be_bytes(*chunk)) << (32 - self.len);
            self.len += 32;
            self.at += 4;
            return;
        }
        while self.len <= 56 {
            let step = match self.bytes.get(self.at..self.bytes.len().min(self.at + 2)) {
                // A zero behind 0xff says that it is no marker.
                Some([0xff, 0]) => 2,
                Some([0xff, ..] | []) | None => return,
                Some(_) => 1,
            };
            self.buffer |= u64::from(self.bytes[self.at]) << (56 - self.len);
            self.len += 8;
            self.at += step;
        }
    }

    fn skip_filled(&mut self, n: u32) -> Result<(), Fault> {
        if self.len < n {
            return Err(Fault::EndsEarly);
        }
        self.buffer <<= n;
        self.len -= n;
        Ok(())
    }

    /// The symbol of the next code; with `value` the bits behind it too, as many as its lower half says.
    #[inline]
    pub(super) fn symbol(&mut self, codes: &Codes, value: bool) -> Result<u8, Fault> {
        if self.len < 32 {
            self.fill();
        }
        let (len, symbol) = codes.find((self.buffer >> 48) as u32)?;
        let value = if value { u32::from(symbol & 15) } else { 0 };
        self.skip_filled(len + value)?;
        Ok(symbol)
    }

    /// The next `n` bits, at most 16.
    pub(super) fn take(&mut self, n: u32) -> Result<u32, Fault> {
        if self.len < 32 {
            self.fill();
        }
        let bits = (self.buffer >> 32 >> (32 - n)) as u32;
        self.skip_filled(n)?;
        Ok(bits)
    }

    /// The next number of `n` bits, at most 16: numbers without their top bit are the negative ones.
    pub(super) fn number(&mut self, n: u32) -> Result<i32, Fault> {
        let bits = self.take(n)? as i32;
        Ok(if n != 0 && bits < 1 << (n - 1) { bits - (1 << n) + 1 } else { bits })
    }

    /// Leaves out bits, of which there are at most 64 for a block.
    pub(super) fn skip(&mut self, mut n: u32) -> Result<(), Fault> {
        while 16 < n {
            self.take(16)?;
            n -= 16;
        }
        self.take(n).map(drop)
    }

    /// Leaves the bits that fill the last byte and returns where the data ends. Only filling may stand between it and the next
    /// marker, where `at` is then: cameras that write in words of a fixed size put zeros or 0xff there, or a few bytes of anything.
    pub(super) fn end(&mut self) -> Result<usize, Fault> {
        // Damage mostly leaves a block too many, which has more bytes, except in small files. In one of 40 kB and more, eight bytes
        // cost a hundredth of what is found.
        let most_others = (self.bytes.len() / 2500).min(8);
        // Zeros at the end of the data are no block of a camera's: a cut picture was filled up with them.
        const MOST_ZEROS: usize = 2;
        let mut end = self.at;
        for _ in 0..self.len / 8 {
            end -= if self.bytes[..end].ends_with(&[0xff, 0]) { 2 } else { 1 };
        }
        let (mut at, mut others) = (end, 0);
        loop {
            match self.bytes.get(at..) {
                Some([0, ..] | [0xff, 0 | 0xff, ..]) => {}
                Some([0xff, ..] | []) | None => break,
                Some(_) if others == most_others => return Err(Fault::EndsLate),
                Some(_) => others += 1,
            }
            at += 1;
        }
        if self.bytes[end..at].contains(&0) && self.bytes[..end].ends_with(&[0; MOST_ZEROS]) {
            return Err(Fault::EndsLate);
        }
        (self.at, self.buffer, self.len) = (at, 0, 0);
        Ok(end)
    }

    /// Takes the restart marker of that number and returns where the data before it ends.
    pub(super) fn restart(&mut self, number: usize) -> Result<usize, Fault> {
        let end = self.end()?;
        let marker = [0xff, 0xd0 + (number % 8) as u8];
        if !self.bytes.get(self.at..).is_some_and(|bytes| bytes.starts_with(&marker)) {
            return Err(Fault::Restart);
        }
        self.at += 2;
        Ok(end)
    }

    /// Copies the next code and the bits of its value.
    pub(super) fn copy(&mut self, codes: &Codes, to: &mut Writer) -> Result<u8, Fault> {
        if self.len < 32 {
            self.fill();
        }
        let (len, symbol) = codes.find((self.buffer >> 48) as u32)?;
        let n = len + u32::from(symbol & 15);
        to.put((self.buffer >> 32 >> (32 - n)) as u32, n);
        self.skip_filled(n)?;
        Ok(symbol)
    }
}

/// Bits to write.
#[derive(Debug, Default)]
pub(super) struct Writer {
    bytes: Vec<u8>,
    /// The bits of the byte that isn't full, from below, and how many there are.
    last: u64,
    len: u32,
}

impl Writer {
    /// Writes the lowest `n` bits, at most 32.
    pub(super) fn put(&mut self, bits: u32, n: u32) {
        self.last = self.last << n | u64::from(bits) & ((1 << n) - 1);
        self.len += n;
        while 8 <= self.len {
            self.len -= 8;
            self.bytes.push((self.last >> self.len) as u8);
        }
    }

    /// Moves all bits of another one behind these.
    pub(super) fn append(&mut self, more: &mut Writer) {
        more.bytes.drain(..).for_each(|byte| self.put(u32::from(byte), 8));
        self.put(more.last as u32, more.len);
        more.len = 0;
    }

    /// The data of a scan: a last byte filled with ones, and no marker.
    pub(super) fn finish(mut self, to: &mut Vec<u8>) {
        self.put(0x7f, 7);
        for byte in self.bytes {
            to.push(byte);
            if byte == 0xff {
                to.push(0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_told_apart_by_their_first_bits() {
        // 0, 10, 110 and, of 12 bits, 111000000000.
        let mut counts = [0; 16];
        [counts[0], counts[1], counts[2], counts[11]] = [1, 1, 1, 1];
        let codes = Codes::new(&counts, &[7, 8, 9, 10]).unwrap();
        let mut bits = Bits::new(&[0b0101_1011, 0b1000_0000, 0b0000_1111], 0);
        let symbols: Vec<_> = std::iter::repeat_with(|| bits.symbol(&codes, false)).take(7).collect();
        assert_eq!(symbols, [Ok(7), Ok(8), Ok(9), Ok(10), Ok(7), Ok(7), Err(Fault::UnknownCode)]);
        counts[0] = 3;
        assert!(Codes::new(&counts, &[0; 9]).is_none());
        assert!(Codes::new(&[1; 16], &[0; 9]).is_none());
    }

    #[test]
    fn data_ends_at_a_marker_and_nowhere_else() {
        let mut bits = Bits::new(&[0xff, 0, 0xa5, 0xff, 0xd9], 0);
        assert_eq!([bits.take(8), bits.take(4)], [Ok(255), Ok(0xa)]);
        assert_eq!((bits.end(), bits.at), (Ok(3), 3));
        assert_eq!(bits.take(1), Err(Fault::EndsEarly));
        let mut bits = Bits::new(&[0x12, 0x34, 0xff, 0xff, 0xd1, 0x56], 0);
        assert_eq!(bits.take(7), Ok(9));
        assert_eq!(bits.restart(1), Err(Fault::EndsLate));
        assert_eq!(bits.take(8).map(drop), Ok(()));
        assert_eq!(bits.restart(0), Err(Fault::Restart));
        // It goes on at the 0xff before the marker.
        assert_eq!((bits.restart(9), bits.take(8)), (Ok(3), Ok(0x56)));
        assert_eq!(bits.skip(1), Err(Fault::EndsEarly));
    }

    #[test]
    fn filling_is_zeros_and_ones_and_little_else() {
        let check = |bytes: &[u8], expected: Result<usize, Fault>| {
            let mut bits = Bits::new(bytes, 0);
            bits.skip(13).unwrap();
            assert_eq!(bits.end(), expected, "{bytes:?}");
            assert!(expected.is_err() || bytes[bits.at..] == [0xff, 0xd9]);
        };
        check(&[0xff, 0, 0x12, 0xff, 0xd9], Ok(3));
        check(&[0xff, 0, 0x12, 0, 0, 0xff, 0xd9], Ok(3));
        check(&[0x12, 0xff, 0, 0xff, 0, 0, 0xff, 0xff, 0xff, 0xd9], Ok(3));
        check(&[&[0x12, 0x34][..], &[0; 100], &[0xff; 9], &[0xd9]].concat(), Ok(2));
        check(&[0x12, 0x34, 0, 1, 0xff, 0xd9], Err(Fault::EndsLate));
        check(&[0x12, 0x34, 0, 0xff, 0, 0, 0xfe, 0xff, 0xd9], Err(Fault::EndsLate));
        // In a large file there may be eight other bytes.
        let large = |others: &[u8]| {
            let bytes = [&[0x12, 0x34][..], others, &[0, 0xff, 0xd9], &[0x77; 20_000]].concat();
            let mut bits = Bits::new(&bytes, 0);
            bits.skip(13).unwrap();
            (bits.end(), bits.at)
        };
        assert_eq!(large(&[0x55; 8]), (Ok(2), 11));
        assert_eq!(large(&[0x55; 9]).0, Err(Fault::EndsLate));
        assert_eq!(large(&[0x55, 0].repeat(9)).0, Err(Fault::EndsLate));
        let mut bits = Bits::new(&[0x12, 0, 0, 0, 0, 0, 0xff, 0xd9], 0);
        bits.skip(30).unwrap();
        assert_eq!(bits.end(), Err(Fault::EndsLate), "the zeros are read as data");
    }

    #[test]
    fn written_bits_are_read_again() {
        let (mut bits, mut more) = (Writer::default(), Writer::default());
        more.put(0x1234, 13);
        bits.put(0xffff_ffff, 13);
        bits.append(&mut more);
        bits.append(&mut more);
        let mut bytes = Vec::new();
        bits.finish(&mut bytes);
        let mut read = Bits::new(&bytes, 0);
        assert_eq!([read.take(13), read.take(13), read.end().map(|_| 0)], [Ok(0x1fff), Ok(0x1234), Ok(0)]);
        assert_eq!(bytes, [0xff, 0, 0xfc, 0x8d, 0x3f]);
    }
}
