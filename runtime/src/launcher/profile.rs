//! Time per step of a network, set against what this core can do: multiply-adds, and reads of so many bytes.
//!
//! The bound of a step is its roofline: it can't be done before its multiply-adds are done at the core's peak, nor before
//! its bytes have come. Weights come at the speed at which as much memory as the whole network has is read over and
//! over, for between two runs the others' have passed; what a step reads and writes of results comes at the speed of
//! their own size. A step that is faster than that had its weights in a nearer memory, and that one's speed is its roof. A step may be held up by something else, such as loads from the first-level cache: then it stays
//! below its roof.

mod table;

pub(crate) use table::size;

use super::bench::to_ms;
use super::model::Model;
use crate::abi::Status;
use crate::info::{Info, StepInfo};
use crate::limits::{Limits, gb_per_s};
use crate::measured::profile::{Bound, Profile, Read, Roof, StepProfile, Total};
use crate::measured::share_of;
use std::io::{self, Write};
use std::time::{Duration, Instant};

/// How long a profile takes if nobody says how many runs.
const USUAL_TIME: Duration = Duration::from_secs(2);

/// How often the core's limits are measured meanwhile, at most, and after how many runs at least: a look takes longer than
/// many a network.
const N_LOOKS: usize = 12;
const LEAST_RUNS_A_LOOK: usize = 10;

/// Runs the network's steps in order, over and over, and keeps the best time of each.
pub(crate) fn measure(model: &mut Model, n_runs: Option<usize>) -> Result<Profile, Status> {
    let (_, run_time) = (model.run()?, timed_run(model)?);
    let n_runs = n_runs.unwrap_or_else(|| {
        let n_fitting = USUAL_TIME.as_nanos() / run_time.as_nanos().max(1);
        n_fitting.clamp(30, 5000) as usize
    });
    let mut limits = Limits::of(&model.info);
    let mut best_run = run_time;
    let mut best = vec![Duration::MAX; model.info.steps.len()];
    let clock = clock();
    for i in 0..n_runs {
        if i.is_multiple_of(n_runs.div_ceil(N_LOOKS).max(LEAST_RUNS_A_LOOK)) {
            limits.sample_reads();
            limits.sample_fma();
            // The network's memory comes back into the caches.
            model.run()?;
        }
        if i.is_multiple_of(4) {
            best_run = best_run.min(timed_run(model)?);
        }
        let mut start = Instant::now();
        for (step_idx, best) in best.iter_mut().enumerate() {
            model.step(step_idx);
            let end = Instant::now();
            *best = (*best).min(end - start);
            start = end;
        }
    }
    best.iter_mut().for_each(|best| *best = best.saturating_sub(clock));
    Ok(Profile::new(&model.info, n_runs, (&best, best_run), &limits))
}

fn timed_run(model: &mut Model) -> Result<Duration, Status> {
    super::bench::timed(model)
}

/// What a look at the clock costs.
fn clock() -> Duration {
    let looks = |_| {
        let start = Instant::now();
        start.elapsed()
    };
    (0..100).map(looks).min().unwrap_or_default()
}

impl Profile {
    fn new(
        info: &Info,
        n_runs: usize,
        (best, best_run): (&[Duration], Duration),
        limits: &Limits,
    ) -> Profile {
        let (peak, reads) = (limits.fma_gflops(), limits.reads());
        let network_bytes = info.weight_bytes + info.workspace_bytes;
        let total_time: Duration = best.iter().sum();
        let step = |(info, time): (&StepInfo, &Duration)| {
            let microseconds = micros(*time);
            let gflops = gflops(done(info), microseconds);
            let bytes = info.weight_bytes + info.input_bytes + info.output_bytes;
            StepProfile {
                kind: kind(&info.kernel).to_string(),
                microseconds,
                share: ratio(microseconds, micros(total_time)),
                gflops,
                share_of_peak: peak.map(|peak| share_of(peak, gflops)),
                flops_per_byte: ratio(2.0 * done(info) as f64, bytes as f64),
                roof: peak.and_then(|peak| Roof::new(info, microseconds, peak, (reads, network_bytes))),
                info: info.clone(),
            }
        };
        let steps: Vec<StepProfile> = info.steps.iter().zip(best).map(step).collect();
        let total = Total::new(&steps, micros(best_run), peak);
        Profile {
            network: info.network.clone(),
            alpha: info.alpha,
            height: info.input.height,
            width: info.input.width,
            isa: info.isa.clone(),
            is_int8: info.is_int8(),
            cpu: crate::peak::cpu_name(),
            n_runs,
            fma_peak_gflops: peak,
            reads: reads.to_vec(),
            network_bytes,
            steps,
            total,
        }
    }

    /// The fastest and the slowest memory that a step may meet: bytes that are read over and over, and how fast.
    pub(crate) fn memory(&self) -> Option<[(u64, f64); 2]> {
        let at = |bytes| Some((bytes, gb_per_s(&self.reads, bytes)?));
        let near = self.reads.first()?.bytes as u64;
        Some([at(near)?, at(self.network_bytes.max(near))?])
    }

    /// A table, or one JSON document.
    pub(crate) fn write(&self, json: bool, out: &mut impl Write) -> io::Result<()> {
        if !json {
            return table::write(self, out);
        }
        serde_json::to_writer(&mut *out, self)?;
        writeln!(out)
    }
}

impl Roof {
    /// `None` if nothing is known of the memory.
    fn new(
        step: &StepInfo,
        microseconds: f64,
        peak_gflops: f64,
        (reads, network_bytes): (&[Read], u64),
    ) -> Option<Roof> {
        let compute = 2.0 * done(step) as f64 / (peak_gflops * 1e3);
        let results = step.input_bytes + step.output_bytes;
        let results = results as f64 / (gb_per_s(reads, results)? * 1e3);
        let memory = |weights_within: u64| {
            Some(results + step.weight_bytes as f64 / (gb_per_s(reads, weights_within)? * 1e3))
        };
        let mut memory_time = memory(network_bytes)?;
        for nearer in reads.iter().rev().map(|read| read.bytes as u64).filter(|bytes| *bytes < network_bytes)
        {
            if memory_time <= microseconds {
                break;
            }
            memory_time = memory(nearer)?;
        }
        let bound = if memory_time <= compute { Bound::Compute } else { Bound::Memory };
        // What is left above is the noise of the limits.
        let least = compute.max(memory_time).min(microseconds);
        Some(Roof { bound, microseconds: least, share: ratio(least, microseconds) })
    }
}

impl Bound {
    fn name(self) -> &'static str {
        match self {
            Bound::Compute => "compute",
            Bound::Memory => "memory",
        }
    }
}

impl Total {
    fn new(steps: &[StepProfile], run_microseconds: f64, peak: Option<f64>) -> Total {
        let sum = |of: fn(&StepProfile) -> u64| steps.iter().map(of).sum::<u64>();
        let microseconds: f64 = steps.iter().map(|step| step.microseconds).sum();
        let multiply_adds = sum(|step| step.info.multiply_adds);
        let done = sum(|step| done(&step.info));
        let [weight_bytes, input_bytes, output_bytes] = [
            sum(|step| step.info.weight_bytes),
            sum(|step| step.info.input_bytes),
            sum(|step| step.info.output_bytes),
        ];
        let gflops = gflops(done, microseconds);
        let roof = |step: &StepProfile| step.roof.map(|roof| roof.microseconds);
        let roof_microseconds = steps.iter().map(roof).sum::<Option<f64>>().filter(|_| !steps.is_empty());
        let bytes = weight_bytes + input_bytes + output_bytes;
        Total {
            microseconds,
            run_microseconds,
            multiply_adds,
            gflops,
            share_of_peak: peak.map(|peak| share_of(peak, gflops)),
            weight_bytes,
            input_bytes,
            output_bytes,
            flops_per_byte: ratio(2.0 * done as f64, bytes as f64),
            roof_microseconds,
            roof_share: roof_microseconds.map(|roof| ratio(roof, microseconds)),
        }
    }
}

fn micros(duration: Duration) -> f64 {
    to_ms(duration) * 1e3
}

/// The multiply-adds that a kernel does: those on padding are left out.
pub(super) fn done(step: &StepInfo) -> u64 {
    step.multiply_adds.saturating_sub(step.padding_multiply_adds)
}

/// A multiply-add is two operations.
fn gflops(multiply_adds: u64, microseconds: f64) -> f64 {
    ratio(2.0 * multiply_adds as f64, microseconds * 1e3)
}

/// Zero of nothing: a step may move nothing, and take no time that a clock sees.
fn ratio(part: f64, whole: f64) -> f64 {
    if whole == 0.0 { 0.0 } else { part / whole }
}

/// What a kernel computes, by its name: `pointwise` of `f32_pointwise_6x16_relu6_fma3`. What isn't the name of one kernel
/// says how several run together.
fn kind(kernel: &str) -> &str {
    if kernel.contains([' ', '+']) { "chain" } else { kernel.split('_').nth(1).unwrap_or(kernel) }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::info::tests::example;
    use crate::launcher::model::tests::example_model;

    fn step(name: &str, kernel: &str, [multiply_adds, weight, input, output]: [u64; 4]) -> StepInfo {
        let (name, kernel) = (name.to_string(), kernel.to_string());
        let [weight_bytes, input_bytes, output_bytes] = [weight, input, output];
        StepInfo {
            name,
            kernel,
            multiply_adds,
            padding_multiply_adds: 0,
            weight_bytes,
            input_bytes,
            output_bytes,
        }
    }

    /// A core of 100 GFLOP/s that reads 100 GB/s, 20 where the network's whole memory is.
    pub(crate) fn profile() -> Profile {
        let info = Info {
            steps: vec![
                step("conv1", "f32_conv_3x3s2_6x8_relu6_fma3", [5_000_000, 4_000, 200_000, 300_000]),
                step("conv_dw_1", "f32_depthwise_3x3s1_7x8_relu6_fma3", [1_000_000, 400, 500_000, 500_000]),
                step("conv_pw_1", "f32_pointwise_6x16_relu6_fma3", [50_000_000, 1_000_000, 50_000, 50_000]),
                step("softmax", "f32_softmax_1x8_fma3", [0, 0, 4_000, 4_000]),
            ],
            weight_bytes: 3 << 20,
            workspace_bytes: 1 << 20,
            ..example()
        };
        let reads = [
            Read { bytes: 1 << 20, gb_per_s: 100.0 },
            Read { bytes: 2 << 20, gb_per_s: 60.0 },
            Read { bytes: 4 << 20, gb_per_s: 20.0 },
        ];
        let best = [125, 50, 1250, 1].map(Duration::from_micros);
        let limits = Limits::known(100.0, &reads);
        let mut profile = Profile::new(&info, 150, (&best, Duration::from_micros(1400)), &limits);
        profile.cpu = Some("Example 9000".to_string());
        profile
    }

    #[test]
    fn a_step_is_bound_by_what_takes_longest() {
        let check = |i: usize, share_of_peak: f64, bound, microseconds: f64| {
            let step = &profile().steps[i];
            let roof = step.roof.unwrap();
            assert!((step.share_of_peak.unwrap() - share_of_peak).abs() < 1e-9, "{step:?}");
            assert!((roof.microseconds - microseconds).abs() < 1e-9 && roof.bound == bound, "{step:?}");
        };
        check(0, 0.8, Bound::Compute, 100.0);
        check(1, 0.4, Bound::Compute, 20.0);
        check(2, 0.8, Bound::Compute, 1000.0);
        check(3, 0.0, Bound::Memory, 0.08);
        let total = profile().total;
        assert_eq!(
            (total.microseconds, total.multiply_adds, total.weight_bytes),
            (1426.0, 56_000_000, 1_004_400)
        );
        assert!((total.roof_microseconds.unwrap() - 1120.08).abs() < 1e-9);
    }

    #[test]
    fn no_step_is_above_its_roof() {
        let reads = [Read { bytes: 1 << 20, gb_per_s: 100.0 }, Read { bytes: 4 << 20, gb_per_s: 20.0 }];
        let step = step("dense", "f32_dense_1x16_fma3", [250_000, 1_000_000, 0, 0]);
        let check = |microseconds: f64, bound, least: f64| {
            let roof = Roof::new(&step, microseconds, 100.0, (&reads, 4 << 20)).unwrap();
            assert!(roof.bound == bound && (roof.microseconds - least).abs() < 1e-9, "{roof:?}");
            assert!(roof.share <= 1.0, "{roof:?}");
        };
        check(60.0, Bound::Memory, 50.0);
        // Its weights came from the second-level cache.
        check(30.0, Bound::Memory, 10.0);
        check(9.0, Bound::Memory, 9.0);
        let padded = StepInfo { padding_multiply_adds: 50_000, weight_bytes: 0, ..step.clone() };
        let roof = Roof::new(&padded, 8.0, 100.0, (&reads, 4 << 20)).unwrap();
        assert_eq!((roof.bound, roof.microseconds), (Bound::Compute, 4.0));
    }

    #[test]
    fn kinds_are_read_from_kernels_names() {
        assert_eq!(kind("f32_pointwise_6x16_relu6_fma3"), "pointwise");
        assert_eq!(kind("6 kernels in bands of 8 rows"), "chain");
        assert_eq!(kind("f32_conv_3x3s2_6x8_relu6_fma3+f32_depthwise_3x3s1_7x8_relu6_fma3"), "chain");
        assert_eq!(kind("mystery"), "mystery");
    }

    #[test]
    fn json_holds_all_of_it() {
        let mut out = Vec::new();
        profile().write(true, &mut out).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(json["steps"][2]["name"], "conv_pw_1");
        assert_eq!(json["steps"][2]["kind"], "pointwise");
        assert_eq!(json["steps"][2]["weight_bytes"], 1_000_000);
        assert_eq!(json["steps"][2]["roof"]["bound"], "compute");
        assert_eq!(json["fma_peak_gflops"], 100.0);
        assert_eq!(json["reads"][1]["gb_per_s"], 60.0);
        assert_eq!(json["total"]["run_microseconds"], 1400.0);
    }

    #[test]
    fn a_network_is_measured() {
        let profile = measure(&mut example_model(), Some(3)).unwrap();
        assert_eq!((profile.n_runs, profile.steps.len()), (3, 1));
        // The example says 14 million multiply-adds and does three copies.
        let StepProfile { microseconds, share, .. } = profile.steps[0];
        // Three copies may take no time that a clock sees.
        assert_eq!(share, if microseconds == 0.0 { 0.0 } else { 1.0 });
    }
}
