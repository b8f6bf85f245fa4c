//! What one picture may take, and memory that fails in words instead of ending the program.
//!
//! The size of a picture is what its file says: a few kilobytes can ask for gigabytes. So every buffer whose length comes from a
//! file is counted against a limit and allocated fallibly. Decoders allocate some of theirs without asking; [`Memory::expect`]
//! asks for them, before the decoder does.

use super::together::{Share, Together};
use std::io::{self, Read};
use std::sync::Arc;

/// The option that raises the limit.
const HINT: &str = "--max-picture-memory allows more";

/// Memory for small things that decoders allocate beside the buffers that are counted.
const SPARE_BYTES: u64 = 4 << 20;

/// The memory of one picture.
#[derive(Debug)]
pub(crate) struct Memory {
    limit: u64,
    held: u64,
    /// Its part of what all pictures may take, where several are read at once.
    share: Option<Share>,
}

impl Memory {
    pub(crate) fn new(limit: u64) -> Memory {
        Memory { limit, held: 0, share: None }
    }

    /// That of a picture of a batch, beside others that are read at the same time.
    pub(crate) fn among(limit: u64, together: &Arc<Together>, batch: usize) -> Memory {
        Memory { share: Some(Share::new(together.clone(), batch)), ..Memory::new(limit) }
    }

    /// Waits until the answers for all pictures of batches before have been given.
    pub(crate) fn wait_for_turn(&self) {
        if let Some(share) = &self.share {
            share.wait_for_turn();
        }
    }

    /// From now on so many bytes are held.
    pub(crate) fn keep(&mut self, bytes: usize) {
        self.held = bytes as u64;
        if let Some(share) = &mut self.share {
            share.shrink(self.held);
        }
    }

    /// Counts bytes that are about to be allocated, or have been. The error begins with their number.
    pub(crate) fn take(&mut self, bytes: u64) -> Result<(), String> {
        let held = self.held.saturating_add(bytes);
        if self.limit < held {
            let (need, limit) = (size(held), size(self.limit));
            return Err(format!("which takes {need} of memory, expected at most {limit}; {HINT}"));
        }
        // What was free again may be asked for by a decoder that doesn't count: the share never shrinks meanwhile.
        if let Some(share) = &mut self.share {
            share.grow(held);
        }
        self.held = held;
        Ok(())
    }

    /// Counts bytes that are free again.
    pub(crate) fn give(&mut self, bytes: usize) {
        self.held = self.held.saturating_sub(bytes as u64);
    }

    /// Asks whether so many bytes could be allocated beside what is held, and holds none of them.
    pub(crate) fn expect(&mut self, bytes: u64) -> Result<(), String> {
        self.take(bytes)?;
        self.held -= bytes;
        let room = usize::try_from(bytes.saturating_add(SPARE_BYTES)).unwrap_or(usize::MAX);
        Vec::<u8>::new().try_reserve_exact(room).map_err(|_| lacking(bytes))
    }

    /// Zeros.
    pub(crate) fn buffer(&mut self, len: usize) -> Result<Vec<u8>, String> {
        let mut buffer = Vec::new();
        self.take(len as u64)?;
        buffer.try_reserve_exact(len).map_err(|_| lacking(len as u64))?;
        buffer.resize(len, 0);
        Ok(buffer)
    }

    /// Zeros of 64 bits.
    pub(crate) fn words(&mut self, len: usize) -> Result<Vec<u64>, String> {
        let mut words = Vec::new();
        self.take(len as u64 * 8)?;
        words.try_reserve_exact(len).map_err(|_| lacking(len as u64 * 8))?;
        words.resize(len, 0);
        Ok(words)
    }

    /// All bytes of `source` behind those that were read before. `len` is how many there are in all, where that is known.
    pub(crate) fn read(
        &mut self,
        before: &[u8],
        mut source: impl Read,
        len: Option<u64>,
    ) -> Result<Vec<u8>, String> {
        let mut bytes = Vec::new();
        // One more than there should be: the end of the file is seen without another buffer.
        let mut more = len.map_or(64 << 10, |len| len.saturating_add(1)).max(before.len() as u64 + 1);
        loop {
            self.take(more).map_err(|error| format!("found a file of {} or more, {error}", size(more)))?;
            let room = usize::try_from(more).map_err(|_| format!("found a file, {}", lacking(more)))?;
            bytes.try_reserve_exact(room).map_err(|_| format!("found a file, {}", lacking(more)))?;
            if bytes.is_empty() {
                bytes.extend_from_slice(before);
            }
            let room = bytes.capacity() - bytes.len();
            let read = source.by_ref().take(room as u64).read_to_end(&mut bytes).map_err(unreadable)?;
            if read < room {
                return Ok(bytes);
            }
            more = (bytes.capacity() as u64).min(self.limit - self.held).max(1);
        }
    }
}

pub(crate) fn unreadable(error: io::Error) -> String {
    format!("{error}, expected a readable file")
}

fn lacking(bytes: u64) -> String {
    format!("which takes {} of memory, more than there is", size(bytes))
}

/// Bytes in words: `480 MiB`.
pub(crate) fn size(bytes: u64) -> String {
    match bytes {
        0..0x2800 => format!("{bytes} bytes"),
        0x2800..0xa0_0000 => format!("{} KiB", bytes.div_ceil(1 << 10)),
        _ => format!("{} MiB", bytes.div_ceil(1 << 20)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_counted() {
        let mut memory = Memory::new(100);
        assert_eq!(memory.buffer(60).unwrap(), [0; 60]);
        let error =
            "which takes 110 bytes of memory, expected at most 100 bytes; --max-picture-memory allows more";
        assert_eq!(memory.buffer(50), Err(error.to_string()));
        assert_eq!(memory.expect(50), Err(error.to_string()));
        memory.give(20);
        assert_eq!(memory.expect(50), Ok(()));
        assert_eq!(memory.words(6).unwrap(), [0; 6]);
        let mut all = Memory::new(u64::MAX);
        let error = all.buffer(isize::MAX as usize).unwrap_err();
        assert!(error.ends_with("of memory, more than there is"), "{error}");
        assert!(all.expect(u64::MAX - 1).is_err());
    }

    #[test]
    fn files_are_read_up_to_the_limit() {
        let bytes: Vec<u8> = (0..200_000u32).map(|i| i as u8).collect();
        for len in [None, Some(200_000), Some(0), Some(70_000)] {
            let read = Memory::new(1 << 20).read(&bytes[..64], &bytes[64..], len);
            assert_eq!(read.unwrap(), bytes, "{len:?}");
        }
        // Files that say nothing of their length end at the limit too.
        let read = Memory::new(1 << 20).read(b"BM", io::repeat(0), None).unwrap_err();
        assert!(read.starts_with("found a file of ") && read.contains("expected at most 1024 KiB"), "{read}");
        let read = Memory::new(1 << 20).read(b"BM", io::repeat(0), Some(2 << 20)).unwrap_err();
        assert!(read.starts_with("found a file of 2049 KiB or more, which takes 2049 KiB"), "{read}");
    }

    #[test]
    fn sizes_are_read_aloud() {
        assert_eq!([size(10_239), size(10_240), size(500 << 20)], ["10239 bytes", "10 KiB", "500 MiB"]);
    }
}
