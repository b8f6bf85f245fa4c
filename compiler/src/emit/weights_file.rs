//! Packed weights -> a file beside the object, to be mapped into memory and shared by processes.
//!
//! | bytes | hold, little-endian |
//! |---|---|
//! | 0..8 | `MNCWGHTS` |
//! | 8..16 | the version of the file, [`VERSION`] |
//! | 16..24 | bytes of the weights |
//! | 24..32 | [`checksum`] of the weights |
//! | 32..64 | SHA-256 of the weights |
//! | 64.. | the weights: f32, as the object's kernels read them |
//!
//! The object knows all 64 bytes and the checksum, and binds to nothing else. The checksum finds damage, at the speed of the
//! memory; who must keep out forgeries compares SHA-256.

use sha2::{Digest, Sha256};

/// The version of the file.
pub const VERSION: u64 = 1;
/// Bytes before the weights.
pub const HEADER_BYTES: usize = 64;

/// Where the four lanes of the checksum begin.
pub(super) const SEEDS: [u64; 4] =
    [0x243f_6a88_85a3_08d3, 0x1319_8a2e_0370_7344, 0xa409_3822_299f_31d0, 0x082e_fa98_ec4e_6c89];
/// An odd factor with bits everywhere.
pub(super) const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;
/// A multiplication carries upwards only; the rotation brings the upper bits down again.
pub(super) const ROTATION: u32 = 29;

/// Adds a word to a hash. For each word it is a bijection of hashes, so a change in one place is never lost.
pub(super) fn mix(hash: u64, word: u64) -> u64 {
    (hash ^ word).wrapping_mul(MULTIPLIER).rotate_left(ROTATION)
}

/// The checksum of weights, whose bytes are a multiple of 32: four lanes, each over every fourth word, then over the lanes.
///
/// # Panics
/// When they aren't.
pub fn checksum(weights: &[u8]) -> u64 {
    let (blocks, rest) = weights.as_chunks::<32>();
    assert!(rest.is_empty(), "packed weights fill cache lines");
    let mut lanes = SEEDS;
    for block in blocks {
        for (lane, word) in lanes.iter_mut().zip(block.as_chunks::<8>().0) {
            *lane = mix(*lane, u64::from_le_bytes(*word));
        }
    }
    lanes.into_iter().fold(0, mix)
}

/// What an object knows of its weights file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeightsFile {
    payload_bytes: usize,
    checksum: u64,
    sha256: [u8; 32],
}

impl WeightsFile {
    /// The file of those weights.
    pub fn of(weights: &[u8]) -> WeightsFile {
        WeightsFile {
            payload_bytes: weights.len(),
            checksum: checksum(weights),
            sha256: Sha256::digest(weights).into(),
        }
    }

    /// The whole file, of the same weights.
    pub fn bytes(&self, weights: &[u8]) -> Vec<u8> {
        [&self.header(), weights].concat()
    }

    /// Size of the file.
    pub fn file_bytes(&self) -> usize {
        HEADER_BYTES + self.payload_bytes
    }

    /// SHA-256 of the weights, in lower-case hexadecimal.
    pub fn sha256(&self) -> String {
        self.sha256.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    pub(super) fn payload_bytes(&self) -> usize {
        self.payload_bytes
    }

    pub(super) fn checksum(&self) -> u64 {
        self.checksum
    }

    /// The bytes before the weights.
    pub(super) fn header(&self) -> [u8; HEADER_BYTES] {
        let mut header = [0; HEADER_BYTES];
        header[..8].copy_from_slice(b"MNCWGHTS");
        for (idx, word) in [VERSION, self.payload_bytes as u64, self.checksum].into_iter().enumerate() {
            header[8 + idx * 8..][..8].copy_from_slice(&word.to_le_bytes());
        }
        header[32..].copy_from_slice(&self.sha256);
        header
    }

    /// What marks a workspace as bound to these weights: memory that nobody wrote holds it with a chance of 2^-128.
    pub(super) fn mark(&self) -> [u64; 2] {
        let (words, _) = self.sha256.as_chunks::<8>();
        [words[0], words[1]].map(u64::from_le_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::tensor::f32_bytes;

    #[test]
    fn the_checksum_finds_what_a_product_alone_would_miss() {
        let weights: Vec<u8> = (0..1024u32).map(|idx| (idx * 7) as u8).collect();
        let expected = checksum(&weights);
        // One bit anywhere; two signs in one lane; two words exchanged.
        for bit in 0..weights.len() * 8 {
            let mut damaged = weights.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(checksum(&damaged), expected, "bit {bit}");
        }
        let mut damaged = weights.clone();
        (damaged[7], damaged[39]) = (damaged[7] ^ 0x80, damaged[39] ^ 0x80);
        assert_ne!(checksum(&damaged), expected, "two signs");
        let mut damaged = weights;
        (0..8).for_each(|idx| damaged.swap(idx, 32 + idx));
        assert_ne!(checksum(&damaged), expected, "two words");
    }

    #[test]
    fn the_header_says_what_follows() {
        let weights = f32_bytes(&[1.0; 16]);
        let file = WeightsFile::of(&weights);
        let bytes = file.bytes(&weights);
        assert_eq!(bytes.len(), file.file_bytes());
        assert_eq!(&bytes[..24], b"MNCWGHTS\x01\0\0\0\0\0\0\0\x40\0\0\0\0\0\0\0");
        assert_eq!(bytes[24..32], checksum(&bytes[64..]).to_le_bytes());
        assert_eq!(bytes[32..64], *Sha256::digest(&bytes[64..]));
        assert_eq!(bytes[64..68], 1.0f32.to_le_bytes());
    }
}
