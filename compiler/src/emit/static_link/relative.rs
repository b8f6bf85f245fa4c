//! Addresses of words that hold addresses -> the table by which a program that was loaded anywhere corrects them.
//!
//! The format is `DT_RELR` of the ELF specification: an even word is the address of a word to correct, an odd one a set of bits
//! that say which of the 63 words behind the last are to be corrected too.

/// Words that a set of bits speaks of.
const PER_SET: u64 = 63;

/// The table of those addresses, which are multiples of 8 in ascending order.
pub(super) fn table(addresses: &[u64]) -> Vec<u64> {
    let mut table = Vec::new();
    let mut rest = addresses;
    while let Some((first, others)) = rest.split_first() {
        table.push(*first);
        rest = others;
        let mut base = first + 8;
        loop {
            let in_set = rest.iter().take_while(|address| **address < base + PER_SET * 8).count();
            if in_set == 0 {
                break;
            }
            let (now, later) = rest.split_at(in_set);
            let bits = now.iter().fold(0, |bits, address| bits | 1 << ((address - base) / 8));
            table.push(bits << 1 | 1);
            rest = later;
            base += PER_SET * 8;
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a loader reads the table.
    fn addresses(table: &[u64]) -> Vec<u64> {
        let (mut found, mut next) = (Vec::new(), 0);
        for word in table {
            if word & 1 == 0 {
                found.push(*word);
                next = word + 8;
            } else {
                found.extend((0..PER_SET).filter(|bit| word >> (bit + 1) & 1 == 1).map(|bit| next + bit * 8));
                next += PER_SET * 8;
            }
        }
        found
    }

    #[test]
    fn tables_are_read_back() {
        let sparse = [8, 0x1000, 0x1008, 0x1008 + 63 * 8, 0x1008 + 64 * 8, 0x9000];
        let dense: Vec<u64> = (0..1000).map(|word| 0x40_0000 + word * 8).collect();
        for all in [&[][..], &[16], &sparse, &dense] {
            assert_eq!(addresses(&table(all)), all);
        }
        assert_eq!(table(&dense).len(), 1 + 999usize.div_ceil(63));
    }
}
