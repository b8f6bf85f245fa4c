//! What a measuring executable tells, typed once: the launcher writes it as JSON, `mnc bench` reads it.
//!
//! Also the one arithmetic of latencies: which value of many stands for all, how fast it is, how near the core's peak.

pub mod profile;

use serde::{Deserialize, Serialize};

/// Three of many measured values, each one that was measured.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The smallest.
    pub min: f64,
    /// The smallest that half of the values don't exceed.
    pub median: f64,
    /// The smallest that 95 % of the values don't exceed.
    pub p95: f64,
}

impl Summary {
    /// `None` of nothing.
    ///
    /// ```
    /// use mnc_runtime::measured::Summary;
    /// let summary = Summary::of(&[3.0, 1.0, 2.0]).unwrap();
    /// assert_eq!((summary.min, summary.median, summary.p95), (1.0, 2.0, 3.0));
    /// ```
    pub fn of(values: &[f64]) -> Option<Summary> {
        let mut sorted = values.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        let percentile = |p| percentile(&sorted, p);
        Some(Summary { min: percentile(0)?, median: percentile(50)?, p95: percentile(95)? })
    }
}

/// The smallest value that at least `p` per cent of the values don't exceed (nearest rank): always one that was measured.
fn percentile(sorted: &[f64], p: usize) -> Option<f64> {
    let rank = (sorted.len() * p).div_ceil(100).max(1);
    sorted.get(rank - 1).copied()
}

/// What is done in the time that is measured, and what it could be done with.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Work {
    /// Of one inference, as the paper counts them.
    pub multiply_adds: u64,
    /// Of these, those on padding, which kernels leave out: they count for no speed.
    #[serde(default)]
    pub padding_multiply_adds: u64,
    /// That work on each inference.
    pub threads: usize,
    /// Of one core, of an int8 network in products of bytes; `None` where it can't be measured.
    pub fma_peak_gflops: Option<f64>,
    /// Whether it computes in bytes and integers; left out where it doesn't.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_int8: bool,
}

/// What the peak of a core is called, of networks in f32 or of those in bytes and integers.
pub fn peak_name(is_int8: bool) -> &'static str {
    if is_int8 { "integer" } else { "FMA" }
}

/// The unit of a speed, likewise: a multiply-add is two operations.
pub fn unit(is_int8: bool) -> &'static str {
    if is_int8 { "GOP/s" } else { "GFLOP/s" }
}

impl Work {
    /// How fast a latency is.
    pub fn speed(self, milliseconds: f64) -> Speed {
        let done = self.multiply_adds.saturating_sub(self.padding_multiply_adds);
        let gflops = 2.0 * done as f64 / (milliseconds * 1e6);
        let share_of_peak = self.fma_peak_gflops.map(|peak| share_of(peak * self.threads as f64, gflops));
        Speed { gflops, share_of_peak }
    }
}

/// The share of a peak, at most 1: whatever is faster than the peak has shown that the peak was looked at in a bad moment.
pub(crate) fn share_of(peak: f64, gflops: f64) -> f64 {
    (gflops / peak).min(1.0)
}

/// How fast a latency is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Speed {
    /// A multiply-add is two operations.
    pub gflops: f64,
    /// Of the peak of as many cores as there are threads, from 0 to 1.
    pub share_of_peak: Option<f64>,
}

/// The latencies of a benchmark, in milliseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Latencies {
    /// Of each run, in order.
    pub milliseconds: Vec<f64>,
    /// All of them summed up.
    #[serde(flatten)]
    pub summary: Summary,
    /// What was run.
    #[serde(flatten)]
    pub work: Work,
    /// How fast the fastest run was.
    pub at_min: Speed,
    /// How fast the median was.
    pub at_median: Speed,
    /// The most memory that the process had at once, shared libraries included, where the system tells it.
    pub peak_memory_bytes: Option<u64>,
}

impl Latencies {
    /// `None` of no runs.
    pub fn new(milliseconds: Vec<f64>, work: Work, peak_memory_bytes: Option<u64>) -> Option<Latencies> {
        let summary = Summary::of(&milliseconds)?;
        let (at_min, at_median) = (work.speed(summary.min), work.speed(summary.median));
        Some(Latencies { milliseconds, summary, work, at_min, at_median, peak_memory_bytes })
    }

    /// Several rounds of one network as one: all of their runs, the best of the peaks, the most of the memory.
    pub fn merge(rounds: &[Latencies]) -> Option<Latencies> {
        let milliseconds = rounds.iter().flat_map(|round| &round.milliseconds).copied().collect();
        let peaks = rounds.iter().filter_map(|round| round.work.fma_peak_gflops);
        let work = Work { fma_peak_gflops: peaks.reduce(f64::max), ..rounds.first()?.work };
        let memory = rounds.iter().filter_map(|round| round.peak_memory_bytes).max();
        Latencies::new(milliseconds, work, memory)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_measured_values() {
        let check = |n: u32, p, expected: Option<f64>| {
            let sorted: Vec<f64> = (1..=n).map(f64::from).collect();
            assert_eq!(percentile(&sorted, p), expected, "{n} values, {p} %");
        };
        check(0, 50, None);
        check(1, 0, Some(1.0));
        check(1, 95, Some(1.0));
        check(3, 50, Some(2.0));
        check(4, 50, Some(2.0));
        check(20, 95, Some(19.0));
        check(100, 95, Some(95.0));
        check(101, 95, Some(96.0));
    }

    #[test]
    fn padding_is_no_speed_and_no_share_is_above_one() {
        let work = |padding_multiply_adds| Work {
            multiply_adds: 30_000_000,
            padding_multiply_adds,
            threads: 1,
            fma_peak_gflops: Some(50.0),
            is_int8: false,
        };
        let check = |padding, gflops, share| {
            assert_eq!(work(padding).speed(1.0), Speed { gflops, share_of_peak: Some(share) });
        };
        check(0, 60.0, 1.0);
        check(5_000_000, 50.0, 1.0);
        check(10_000_000, 40.0, 0.8);
        check(u64::MAX, 0.0, 0.0);
    }

    fn latencies(milliseconds: &[f64], peak: Option<f64>) -> Latencies {
        let work = Work {
            multiply_adds: 30_000_000,
            padding_multiply_adds: 0,
            threads: 2,
            fma_peak_gflops: peak,
            is_int8: false,
        };
        Latencies::new(milliseconds.to_vec(), work, Some(5)).unwrap()
    }

    #[test]
    fn rounds_are_one_measurement() {
        let merged = Latencies::merge(&[latencies(&[3.0, 1.0], Some(90.0)), latencies(&[2.0], Some(100.0))]);
        assert_eq!(merged, Some(latencies(&[3.0, 1.0, 2.0], Some(100.0))));
        assert_eq!(merged.unwrap().at_min, Speed { gflops: 60.0, share_of_peak: Some(0.3) });
        assert_eq!(Latencies::merge(&[]), None);
    }

    #[test]
    fn json_is_flat_and_gives_the_same_back() {
        let latencies = latencies(&[0.25, 0.5], None);
        let json = serde_json::to_string(&latencies).unwrap();
        let expected = r#"{"milliseconds":[0.25,0.5],"min":0.25,"median":0.25,"p95":0.5,"multiply_adds":30000000,"padding_multiply_adds":0,"threads":2,"fma_peak_gflops":null,"#;
        assert!(json.starts_with(expected), "{json}");
        assert_eq!(serde_json::from_str::<Latencies>(&json).unwrap(), latencies);
    }
}
