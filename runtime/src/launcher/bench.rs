//! Latencies: timed runs, meanwhile the core's peak, and both as text.

use super::model::Model;
use crate::abi::Status;
use crate::limits::Limits;
use crate::measured::{Latencies, Speed, Summary, Work, peak_name, unit};
use std::io::{self, Write};
use std::time::{Duration, Instant};

/// Runs before the first that counts, if nobody says how many.
pub(crate) fn warm_up(n: usize) -> usize {
    n.min(10)
}

/// How often the peak is looked at while a network is timed.
const N_LOOKS: usize = 16;

/// Runs the network `n` times on its input; `None` of no runs. Before, and now and then between, the core's peak is measured.
pub(crate) fn bench(model: &mut Model, n: usize) -> Result<Option<Latencies>, Status> {
    let mut limits = Limits::of(&model.info);
    let mut milliseconds = Vec::with_capacity(n);
    for i in 0..n {
        if i.is_multiple_of(n.div_ceil(N_LOOKS)) {
            limits.sample_fma();
            // Meanwhile the pool has fallen asleep.
            model.run()?;
        }
        milliseconds.push(to_ms(timed(model)?));
    }
    let work = Work {
        multiply_adds: model.info.multiply_adds,
        padding_multiply_adds: model.info.padding_multiply_adds,
        threads: model.threads(),
        fma_peak_gflops: limits.fma_gflops(),
        is_int8: model.info.is_int8(),
    };
    Ok(Latencies::new(milliseconds, work, peak_memory_bytes()))
}

/// Runs the network once; returns how long it took.
pub(crate) fn timed(model: &mut Model) -> Result<Duration, Status> {
    let start = Instant::now();
    model.run()?;
    Ok(start.elapsed())
}

pub(crate) fn to_ms(duration: Duration) -> f64 {
    duration.as_nanos() as f64 / 1e6
}

/// The first run for a harness: `#load_ms`, `#first_ms` and `#out` on a line each.
pub(crate) fn write_first(
    load: Duration,
    first: Duration,
    output: &[f32],
    mut out: impl Write,
) -> io::Result<()> {
    write!(out, "#load_ms {:.6}\n#first_ms {:.6}\n#out", to_ms(load), to_ms(first))?;
    output.iter().try_for_each(|value| write!(out, " {value:?}"))?;
    writeln!(out)
}

/// One latency a line, then the summary, then what it means in lines that begin with `#`; or one JSON document.
pub(crate) fn write(latencies: &Latencies, json: bool, out: &mut impl Write) -> io::Result<()> {
    if json {
        serde_json::to_writer(&mut *out, latencies)?;
        return writeln!(out);
    }
    for ms in &latencies.milliseconds {
        writeln!(out, "{ms:.6}")?;
    }
    let Summary { min, median, p95 } = latencies.summary;
    writeln!(out, "min {min:.6}  median {median:.6}  p95 {p95:.6}")?;
    let threads = latencies.work.threads;
    write!(out, "# {threads} thread{}; ", if threads == 1 { "" } else { "s" })?;
    let is_int8 = latencies.work.is_int8;
    let (what, unit) = (peak_name(is_int8), unit(is_int8));
    match latencies.work.fma_peak_gflops {
        Some(peak) => writeln!(out, "{what} peak {peak:.1} {unit} a core, measured between the runs")?,
        None => writeln!(out, "the {what} peak of this core isn't known")?,
    }
    let speed = |Speed { gflops, share_of_peak }: Speed| match share_of_peak {
        Some(share) => format!("{gflops:.1} {unit}, {:.1} % of peak", share * 100.0),
        None => format!("{gflops:.1} {unit}"),
    };
    writeln!(out, "# min: {}; median: {}", speed(latencies.at_min), speed(latencies.at_median))
}

/// The most memory that this process has had at once, where the system tells it: shared libraries and the touched part of
/// the executable included.
fn peak_memory_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::launcher::model::tests::example_model;

    #[test]
    fn the_summary_ends_the_list() {
        let check = |threads, fma_peak_gflops, expected: &str| {
            let work = Work {
                multiply_adds: 30_000_000,
                padding_multiply_adds: 0,
                threads,
                fma_peak_gflops,
                is_int8: false,
            };
            let mut out = Vec::new();
            let latencies = Latencies::new(vec![3.0, 1.0, 2.0], work, None).unwrap();
            write(&latencies, false, &mut out).unwrap();
            let list = "3.000000\n1.000000\n2.000000\nmin 1.000000  median 2.000000  p95 3.000000\n";
            assert_eq!(String::from_utf8(out).unwrap(), format!("{list}{expected}"));
        };
        check(
            2,
            Some(100.0),
            "# 2 threads; FMA peak 100.0 GFLOP/s a core, measured between the runs\n\
             # min: 60.0 GFLOP/s, 30.0 % of peak; median: 30.0 GFLOP/s, 15.0 % of peak\n",
        );
        check(
            1,
            None,
            "# 1 thread; the FMA peak of this core isn't known\n\
             # min: 60.0 GFLOP/s; median: 30.0 GFLOP/s\n",
        );
    }

    #[test]
    fn as_many_runs_are_timed_as_were_asked_for() {
        for n in [1, 16, 17, 50] {
            let latencies = bench(&mut example_model(), n).unwrap().unwrap();
            assert_eq!(latencies.milliseconds.len(), n);
        }
    }

    #[test]
    fn a_harness_gets_the_first_run_in_lines_of_its_own() {
        let mut out = Vec::new();
        let (load, first) = (Duration::from_micros(1500), Duration::from_nanos(2_000_123));
        write_first(load, first, &[0.1, -0.0, 1e-40], &mut out).unwrap();
        assert_eq!(out, b"#load_ms 1.500000\n#first_ms 2.000123\n#out 0.1 -0.0 1e-40\n");
    }
}
