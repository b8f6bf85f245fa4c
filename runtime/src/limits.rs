//! What this core can do at most, sampled between the runs of a network: the best of all samples is the limit.

use crate::info::Info;
use crate::measured::profile::Read;
use crate::peak::{Memory, Probe};

/// The limits seen so far.
#[derive(Debug)]
pub struct Limits {
    probe: Option<Probe>,
    fma_gflops: f64,
    memory: Option<Memory>,
    reads: Vec<Read>,
}

/// From what any second-level cache holds to what few last-level caches do.
const READ_BYTES: [usize; 8] = [256 << 10, 512 << 10, 1 << 20, 2 << 20, 4 << 20, 8 << 20, 16 << 20, 32 << 20];

impl Limits {
    /// No samples yet, in f32 or in products of bytes; and there won't be any where there is no probe for the instruction set.
    pub fn new(isa: &str, is_int8: bool) -> Limits {
        let probe = if is_int8 { Probe::of_bytes(isa) } else { Probe::new(isa) };
        Limits { probe, fma_gflops: 0.0, memory: None, reads: Vec::new() }
    }

    /// Those of what a network multiplies: numbers or bytes.
    pub fn of(info: &Info) -> Limits {
        Limits::new(&info.isa, info.is_int8())
    }

    /// As if these had been measured.
    #[cfg(test)]
    pub fn known(fma_gflops: f64, reads: &[Read]) -> Limits {
        Limits { probe: None, fma_gflops, memory: None, reads: reads.to_vec() }
    }

    /// Takes a few samples of multiply-adds: half a millisecond.
    pub fn sample_fma(&mut self) {
        if let Some(probe) = self.probe {
            self.fma_gflops = (0..3).map(|_| probe.fma()).fold(self.fma_gflops, f64::max);
        }
    }

    /// Takes a sample of reads of each size: some milliseconds, and the caches are cold for everybody else.
    pub fn sample_reads(&mut self) {
        let Some(probe) = self.probe else { return };
        let memory = self.memory.get_or_insert_with(|| Memory::new(READ_BYTES[READ_BYTES.len() - 1]));
        self.reads.resize(READ_BYTES.len(), Read { bytes: 0, gb_per_s: 0.0 });
        for (read, bytes) in self.reads.iter_mut().zip(READ_BYTES) {
            *read = Read { bytes, gb_per_s: probe.read(memory, bytes).max(read.gb_per_s) };
        }
    }

    /// Multiply-adds of one core, each as two operations.
    pub fn fma_gflops(&self) -> Option<f64> {
        (self.fma_gflops != 0.0).then_some(self.fma_gflops)
    }

    /// By size, smallest first; empty without samples.
    pub fn reads(&self) -> &[Read] {
        &self.reads
    }
}

/// The speed at which `bytes` are read over and over: between two measured sizes, in proportion to the logarithm.
/// `None` if nothing was measured.
///
/// ```
/// use mnc_runtime::limits::gb_per_s;
/// use mnc_runtime::measured::profile::Read;
/// let reads = [Read { bytes: 1 << 20, gb_per_s: 100.0 }, Read { bytes: 4 << 20, gb_per_s: 60.0 }];
/// assert_eq!(gb_per_s(&reads, 2 << 20), Some(80.0));
/// ```
pub fn gb_per_s(reads: &[Read], bytes: u64) -> Option<f64> {
    let (first, last) = (reads.first()?, reads.last()?);
    let bytes = bytes.clamp(first.bytes as u64, last.bytes as u64) as f64;
    let above = reads.iter().position(|read| bytes <= read.bytes as f64)?;
    let (low, high) = (reads[above.saturating_sub(1)], reads[above]);
    if low.bytes == high.bytes {
        return Some(high.gb_per_s);
    }
    let way = (bytes / low.bytes as f64).ln() / (high.bytes as f64 / low.bytes as f64).ln();
    Some(low.gb_per_s + way * (high.gb_per_s - low.gb_per_s))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speeds_between_sizes_are_between_speeds() {
        let reads = [
            Read { bytes: 1 << 10, gb_per_s: 100.0 },
            Read { bytes: 1 << 12, gb_per_s: 60.0 },
            Read { bytes: 1 << 14, gb_per_s: 10.0 },
        ];
        let check = |bytes, expected| assert_eq!(gb_per_s(&reads, bytes), Some(expected), "{bytes} bytes");
        check(0, 100.0);
        check(1 << 10, 100.0);
        check(1 << 11, 80.0);
        check(1 << 12, 60.0);
        check(1 << 13, 35.0);
        check(1 << 20, 10.0);
        assert_eq!(gb_per_s(&[], 5), None);
    }

    #[test]
    fn without_a_probe_nothing_is_known() {
        let mut limits = Limits::new("pdp11", false);
        limits.sample_fma();
        limits.sample_reads();
        assert_eq!((limits.fma_gflops(), limits.reads()), (None, &[][..]));
    }
}
