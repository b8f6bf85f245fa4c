//! `mnc bench`: latencies of compiled networks, in interleaved rounds, beside what the core could do meanwhile.

use std::collections::BTreeMap;

use mnc::Result;
use mnc::predict::Machine;
use mnc::target::Isa;
use mnc_runtime::measured::{Latencies, Speed, Summary, peak_name, unit};
use mnc_runtime::peak::cpu_name;
use serde::Serialize;

use super::doubts::{self, Timed, Watch};
use super::executable::Executable;
use super::machine::{self, Network};
use super::output::print;
use super::rounds::{self, Measured, Rounds, Subject};
use super::text::{fold, size, table};
use super::variants::{self, Executables};

/// Measures how fast compiled networks are
///
/// Each network runs in a process of its own, and the processes take turns for several rounds, so that all of them meet
/// the same machine. Between its runs each process measures the core's peak of multiply-adds: a latency means little
/// without what the core could do in the same second.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  mnc bench ./classify
  mnc bench ./old ./new --threads 1,2
  mnc bench mobilenet-v1 --alpha 0.5 --target-cpu x86-64-v3,native
  mnc bench mobilenet-v1 --alpha 1,0.75,0.5,0.25 --resolution 224,192,160,128 \\
    --target-cpu native
  mnc bench downloaded/ --threads 1,2
  mnc bench mobilenet-v1 --json > bench.json")]
pub(super) struct Args {
    /// Executables made by `mnc compile`, or networks to compile: built-in ones, paths of descriptions (.toml), folders with weights
    #[arg(required = true, value_name = "EXECUTABLE|NETWORK")]
    what: Vec<String>,
    #[command(flatten)]
    variants: variants::Variants,
    /// Numbers of threads that work on each inference, separated by commas; `auto` is one a core
    #[arg(long, short, value_name = "T", value_delimiter = ',', default_value = "1", value_parser = threads)]
    threads: Vec<usize>,
    /// Processes of each network; they take turns
    #[arg(long, value_name = "N", default_value = "5", value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// Timed runs of each process [default: a quarter of a second of them, 20 to 500]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    runs: Option<u32>,
    /// Runs of each process before the first that counts
    #[arg(long, value_name = "N", default_value = "10")]
    warmup: u32,
    /// Run on a picture's bytes, as a camera has them, instead of on numbers made of them before
    #[arg(long)]
    bytes: bool,
    /// One JSON document, with every latency
    #[arg(long)]
    json: bool,
}

fn threads(text: &str) -> Result<usize, String> {
    match (text, text.parse()) {
        ("auto", _) => Ok(std::thread::available_parallelism().map_or(1, usize::from)),
        (_, Ok(threads @ 1..=1024)) => Ok(threads),
        _ => Err("expected a number from 1 to 1024, or auto".to_owned()),
    }
}

pub(super) fn run(args: &Args) -> Result<()> {
    let executables = variants::executables(&args.what, &args.variants)?;
    let with_threads =
        |executable| args.threads.iter().map(move |threads| Subject { executable, threads: *threads });
    let subjects: Vec<Subject<'_>> = executables.list.iter().flat_map(with_threads).collect();
    let rounds = Rounds {
        n_rounds: args.rounds.into(),
        n_runs: args.runs.map(|runs| runs as usize),
        n_warm_up: args.warmup as usize,
        takes_bytes: args.bytes,
    };
    let predicted = predictions(&executables);
    let watch = Watch::begin();
    let measured = rounds::measure(&subjects, rounds)?;
    let timed: Vec<Timed> = subjects
        .iter()
        .zip(&measured)
        .zip(predicted.iter().flat_map(|ms| args.threads.iter().map(|threads| ms.filter(|_| *threads == 1))))
        .map(|((subject, measured), predicted)| {
            Timed::new(subject.executable.label(), &measured.rounds, predicted)
        })
        .collect();
    let doubts = watch.doubts(&timed);
    let rows: Vec<Row<'_>> =
        subjects.iter().zip(&measured).map(|(subject, measured)| Row::new(*subject, measured)).collect();
    print(&if args.json { json(&rows, rounds, &doubts) } else { text(&rows, rounds) })?;
    doubts::warn(&doubts);
    Ok(())
}

/// Milliseconds on one thread of each network that was compiled for this.
fn predictions(executables: &Executables) -> Vec<Option<f64>> {
    let mut machines: BTreeMap<(&str, bool), Option<Machine>> = BTreeMap::new();
    let mut of = |(network, isa): &(Network, &'static Isa)| {
        let is_int8 = network.integers.is_some();
        let measured = machines.entry((isa.name, is_int8));
        let machine = measured.or_insert_with(|| machine::measure(isa, is_int8)).as_ref()?;
        Some(network.predict(isa, machine)?.microseconds / 1e3)
    };
    executables.networks.iter().map(|network| network.as_ref().and_then(&mut of)).collect()
}

/// A subject and what was measured of it.
#[derive(Debug, Serialize)]
struct Row<'a> {
    label: String,
    network: &'a str,
    alpha: f64,
    height: usize,
    width: usize,
    isa: &'a str,
    executable_bytes: u64,
    weight_bytes: u64,
    workspace_bytes: u64,
    compile_seconds: Option<f64>,
    /// Milliseconds from the start of a process to its first result.
    start: Summary,
    latencies: &'a Latencies,
}

impl Row<'_> {
    fn new<'a>(subject: Subject<'a>, measured: &'a Measured) -> Row<'a> {
        let executable: &'a Executable = subject.executable;
        let info = &executable.info;
        Row {
            label: executable.label(),
            network: &info.network,
            alpha: info.alpha,
            height: info.input.height,
            width: info.input.width,
            isa: &info.isa,
            executable_bytes: executable.bytes,
            weight_bytes: info.weight_bytes,
            workspace_bytes: info.workspace_bytes,
            compile_seconds: executable.compile_time.map(|time| time.as_secs_f64()),
            start: measured.start,
            latencies: &measured.latencies,
        }
    }
}

fn json(rows: &[Row<'_>], rounds: Rounds, warnings: &[String]) -> String {
    let document = serde_json::json!({
        "schema": 1,
        "cpu": cpu_name(),
        "rounds": rounds.n_rounds,
        "warm_up": rounds.n_warm_up,
        "input": if rounds.takes_bytes { "bytes" } else { "numbers" },
        "networks": rows,
        "warnings": warnings,
    });
    format!("{document}\n")
}

fn text(rows: &[Row<'_>], rounds: Rounds) -> String {
    let cpu = cpu_name().map_or(String::new(), |name| format!("{name}; "));
    let measured = |row: &Row<'_>| match row.latencies.work.is_int8 {
        true => format!("{}, products of bytes", row.isa),
        false => row.isa.to_owned(),
    };
    let is_int8 = |row: &Row<'_>| row.latencies.work.is_int8;
    let what = match (rows.iter().all(is_int8), rows.iter().any(is_int8)) {
        (false, true) => "FMA or integer",
        (all, _) => peak_name(all),
    };
    let mut by_isa: Vec<(String, f64, &str)> = Vec::new();
    for row in rows {
        let (isa, Some(peak)) = (measured(row), row.latencies.work.fma_peak_gflops) else { continue };
        match by_isa.iter_mut().find(|(known, ..)| *known == isa) {
            Some((_, best, _)) => *best = best.max(peak),
            None => by_isa.push((isa, peak, unit(is_int8(row)))),
        }
    }
    let peaks: Vec<String> =
        by_isa.iter().map(|(isa, peak, unit)| format!("{peak:.1} {unit} ({isa})")).collect();
    let peaks = if peaks.is_empty() { "not known".to_owned() } else { peaks.join(", ") };
    let Rounds { n_rounds, takes_bytes, .. } = rounds;
    let input = if takes_bytes { ", on a picture's bytes" } else { "" };
    format!(
        "{}\n{}\n{}",
        fold(&format!(
            "{cpu}{what} peak of a core, between the runs: {peaks}\n{n_rounds} interleaved rounds{input}; milliseconds\n"
        )),
        latencies_table(rows),
        rest_table(rows)
    )
}

fn latencies_table(rows: &[Row<'_>]) -> String {
    let has_int8 = rows.iter().any(|row| row.latencies.work.is_int8);
    let mut headings = vec![
        "network",
        "instructions",
        ">threads",
        ">M mult-adds",
        ">runs",
        ">min",
        ">median",
        ">p95",
        if has_int8 { ">GOP/s" } else { ">GFLOP/s" },
        ">of peak, min",
        ">median",
    ];
    // With itself there is nothing to compare.
    let is_comparison = 1 < rows.len();
    if is_comparison {
        headings.push(">speedup");
    }
    let percent =
        |speed: Speed| speed.share_of_peak.map_or("-".to_owned(), |share| format!("{:.1} %", share * 100.0));
    let cells = rows.iter().map(|row| {
        let Latencies { milliseconds, summary, work, at_min, at_median, .. } = row.latencies;
        let mut cells = vec![
            row.label.clone(),
            row.isa.to_owned(),
            work.threads.to_string(),
            format!("{:.1}", work.multiply_adds as f64 / 1e6),
            milliseconds.len().to_string(),
            ms(summary.min),
            ms(summary.median),
            ms(summary.p95),
            format!("{:.1}", at_median.gflops),
            percent(*at_min),
            percent(*at_median),
        ];
        if is_comparison {
            cells.push(format!("{:.2}", rows[0].latencies.summary.median / summary.median));
        }
        cells
    });
    let note =
        if is_comparison { "speedup: median of the first line divided by this line's median\n" } else { "" };
    table(&headings, cells) + note
}

/// What a user feels beside the latency.
fn rest_table(rows: &[Row<'_>]) -> String {
    let headings = [
        "network",
        "instructions",
        ">threads",
        ">start to first result",
        ">peak memory",
        ">executable",
        ">without weights",
        ">compile time",
    ];
    let cells = rows.iter().map(|row| {
        vec![
            row.label.clone(),
            row.isa.to_owned(),
            row.latencies.work.threads.to_string(),
            format!("{} ms", ms(row.start.median)),
            row.latencies.peak_memory_bytes.map_or("-".to_owned(), size),
            size(row.executable_bytes),
            size(row.executable_bytes.saturating_sub(row.weight_bytes)),
            row.compile_seconds.map_or("-".to_owned(), |seconds| format!("{seconds:.2} s")),
        ]
    });
    table(&headings, cells)
}

fn ms(milliseconds: f64) -> String {
    format!("{milliseconds:.3}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use mnc_runtime::measured::Work;

    fn row<'a>(label: &str, latencies: &'a Latencies) -> Row<'a> {
        Row {
            label: label.to_owned(),
            network: "net",
            alpha: 1.0,
            height: 8,
            width: 8,
            isa: "x86-64-v3",
            executable_bytes: 3_000_000,
            weight_bytes: 2_000_000,
            workspace_bytes: 1000,
            compile_seconds: None,
            start: Summary { min: 1.0, median: 2.0, p95: 3.0 },
            latencies,
        }
    }

    #[test]
    fn tables_compare_with_the_first_line() {
        let latencies = |ms: f64, peak| {
            let work = Work {
                multiply_adds: 50_000_000,
                padding_multiply_adds: 0,
                threads: 1,
                fma_peak_gflops: peak,
                is_int8: false,
            };
            Latencies::new(vec![ms, ms * 2.0], work, Some(4_000_000)).unwrap()
        };
        let (slow, fast) = (latencies(2.0, Some(100.0)), latencies(1.0, None));
        let rounds = Rounds { n_rounds: 2, n_runs: None, n_warm_up: 1, takes_bytes: false };
        let text = text(&[row("./a", &slow), row("./b", &fast)], rounds);
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert!(text.contains("between the runs: 100.0 GFLOP/s (x86-64-v3)\n2 interleaved rounds"), "{text}");
        let share = ["50.0", "50.0", "%", "50.0", "%", "1.00"];
        assert_eq!(lines[4][..8], ["./a", "x86-64-v3", "1", "50.0", "2", "2.000", "2.000", "4.000"]);
        assert_eq!(lines[4][8..], share);
        assert_eq!(lines[5][8..], ["100.0", "-", "-", "2.00"]);
        assert_eq!(
            lines[9][..],
            ["./a", "x86-64-v3", "1", "2.000", "ms", "4.0", "MB", "3.0", "MB", "1.0", "MB", "-"]
        );
    }

    #[test]
    fn one_line_is_no_comparison() {
        let work = Work {
            multiply_adds: 1,
            padding_multiply_adds: 0,
            threads: 1,
            fma_peak_gflops: None,
            is_int8: false,
        };
        let latencies = Latencies::new(vec![1.0], work, None).unwrap();
        assert!(!latencies_table(&[row("./a", &latencies)]).contains("speedup"));
    }
}
