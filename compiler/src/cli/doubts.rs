//! What makes measured times doubtful: other work on the machine, times far apart, a core below what it showed, a prediction missed.
//!
//! Whoever shows figures asks here and shows the doubts beside them. The limits are wide: a doubt means that the figures say
//! little, not that they are a little worse than they could be.

use std::fs;

use super::text::tell;
use mnc_runtime::measured::{Latencies, Speed, peak_name, unit};

/// Medians above so many minima were measured on a disturbed machine, and so were 95th percentiles.
const MOST_MEDIAN: f64 = 1.3;
const MOST_P95: f64 = 2.0;
/// A core that shows less than this of its best was somebody else's for a while.
const LEAST_OF_PEAK: f64 = 0.8;
/// Minima so many times above or below a prediction.
const MOST_MISSED: f64 = 1.5;
/// The time that a host may take from a virtual machine.
const MOST_STOLEN: f64 = 0.02;
/// Load beyond the cores: an average over a minute still has what ended before.
const LOAD_SLACK: f64 = 0.5;
/// Networks that are named with one doubt; the others are counted.
const N_NAMED: usize = 3;

/// The machine from the first measurement on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Watch {
    load: Option<f64>,
    ticks: Option<Ticks>,
}

/// Of all cores since the machine started.
#[derive(Clone, Copy, Debug)]
struct Ticks {
    all: u64,
    stolen: u64,
}

impl Watch {
    /// Looks at the machine before the first measurement.
    pub(super) fn begin() -> Watch {
        let load = fs::read_to_string("/proc/loadavg").ok();
        let load = load.and_then(|text| text.split_whitespace().next()?.parse().ok());
        Watch { load, ticks: Ticks::now() }
    }

    /// What speaks against what was measured since then.
    pub(super) fn doubts(&self, timed: &[Timed]) -> Vec<String> {
        let threads = timed.iter().map(|timed| timed.latencies.work.threads).max().unwrap_or(1);
        let mut doubts = self.of_machine(threads);
        doubts.extend(of(timed));
        doubts
    }

    /// What the machine did beside measurements with at most so many threads.
    pub(super) fn of_machine(&self, threads: usize) -> Vec<String> {
        let n_cores = std::thread::available_parallelism().map_or(1, usize::from);
        let stolen = self.ticks.zip(Ticks::now()).and_then(|(before, now)| now.stolen_since(before));
        self.load
            .and_then(|load| busy(load, threads, n_cores))
            .into_iter()
            .chain(stolen.and_then(robbed))
            .collect()
    }
}

impl Ticks {
    fn now() -> Option<Ticks> {
        Ticks::parse(&fs::read_to_string("/proc/stat").ok()?)
    }

    /// The first line of `/proc/stat`: `cpu`, then user, nice, system, idle, iowait, irq, softirq, steal.
    fn parse(text: &str) -> Option<Ticks> {
        let line = text.lines().next()?.strip_prefix("cpu ")?;
        let ticks: Vec<u64> =
            line.split_whitespace().take(8).map(|number| number.parse().ok()).collect::<Option<_>>()?;
        Some(Ticks { all: ticks.iter().sum(), stolen: *ticks.get(7)? })
    }

    fn stolen_since(self, before: Ticks) -> Option<f64> {
        let [all, stolen] = [self.all.checked_sub(before.all)?, self.stolen.checked_sub(before.stolen)?];
        (all != 0).then(|| stolen as f64 / all as f64)
    }
}

fn busy(load: f64, threads: usize, n_cores: usize) -> Option<String> {
    let is_busy = n_cores as f64 + LOAD_SLACK < load + threads.min(n_cores) as f64;
    let cores = if n_cores == 1 { "1 core".to_owned() } else { format!("{n_cores} cores") };
    is_busy.then(|| {
        format!(
            "the load average was {load:.1} on {cores} before the first run: other work took turns with this"
        )
    })
}

fn robbed(stolen: f64) -> Option<String> {
    (MOST_STOLEN < stolen)
        .then(|| format!("the host gave {:.0} % of this virtual machine's time to others", stolen * 100.0))
}

/// What was measured of one network.
#[derive(Clone, Debug)]
pub(super) struct Timed {
    /// What people call it.
    label: String,
    /// All of its runs.
    latencies: Latencies,
    /// The core's peak in each of its processes.
    peaks: Vec<f64>,
    /// Milliseconds of an undisturbed run.
    predicted: Option<f64>,
}

impl Timed {
    /// A network, its rounds, and the milliseconds that were predicted for one thread.
    ///
    /// # Panics
    /// Without a round.
    pub(super) fn new(label: String, rounds: &[Latencies], predicted: Option<f64>) -> Timed {
        let latencies = Latencies::merge(rounds).expect("there is a round, and a run in it");
        let peaks = rounds.iter().filter_map(|round| round.work.fma_peak_gflops).collect();
        Timed { label, latencies, peaks, predicted }
    }
}

/// The doubts of several networks, those of one kind together.
fn of(networks: &[Timed]) -> Vec<String> {
    let kinds: [fn(&Timed) -> Option<String>; 4] =
        [Timed::spread, Timed::weak_core, Timed::above_peak, Timed::missed];
    kinds
        .into_iter()
        .filter_map(|kind| {
            together(networks.iter().filter_map(|network| Some((network.label.as_str(), kind(network)?))))
        })
        .collect()
}

/// One line of all networks with a doubt.
fn together<'a>(found: impl Iterator<Item = (&'a str, String)>) -> Option<String> {
    let found: Vec<String> = found.map(|(label, doubt)| format!("{label}: {doubt}")).collect();
    let rest = found.len().saturating_sub(N_NAMED);
    let named = found.iter().take(N_NAMED).cloned().collect::<Vec<_>>().join("; ");
    match (found.is_empty(), rest) {
        (true, _) => None,
        (false, 0) => Some(named),
        (false, 1) => Some(format!("{named}; and another network like that")),
        (false, rest) => Some(format!("{named}; and {rest} more networks like that")),
    }
}

impl Timed {
    fn spread(&self) -> Option<String> {
        let summary = self.latencies.summary;
        let [median, p95] = [summary.median, summary.p95].map(|ms| ms / summary.min);
        (MOST_MEDIAN < median || MOST_P95 < p95)
            .then(|| format!("the median is {median:.1} times the minimum, p95 {p95:.1} times"))
    }

    fn weak_core(&self) -> Option<String> {
        let best = self.peaks.iter().copied().reduce(f64::max)?;
        let n_weak = self.peaks.iter().filter(|peak| **peak < LEAST_OF_PEAK * best).count();
        (n_weak != 0).then(|| {
            let percent = LEAST_OF_PEAK * 100.0;
            format!(
                "in {n_weak} of {} rounds the core stayed below {percent} % of its peak",
                self.peaks.len()
            )
        })
    }

    fn above_peak(&self) -> Option<String> {
        let Speed { gflops, .. } = self.latencies.at_min;
        let work = self.latencies.work;
        let peak = work.fma_peak_gflops? * work.threads as f64;
        (peak < gflops).then(|| {
            format!(
                "{gflops:.1} {} are more than the {} peak of {peak:.1}, which was measured in a bad moment",
                unit(work.is_int8),
                peak_name(work.is_int8)
            )
        })
    }

    fn missed(&self) -> Option<String> {
        let (min, predicted) = (self.latencies.summary.min, self.predicted?);
        let factor = min / predicted;
        let is_missed = MOST_MISSED < factor.max(1.0 / factor);
        is_missed.then(|| format!("the minimum is {factor:.1} times the predicted {predicted:.3} ms"))
    }
}

/// On standard error, behind the figures.
pub(super) fn warn(doubts: &[String]) {
    for doubt in doubts {
        tell(format_args!("warning: {doubt}\n"));
    }
    if !doubts.is_empty() {
        tell(format_args!("warning: these figures say little; measure again when the machine is quiet\n"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mnc_runtime::measured::Work;

    fn latencies(milliseconds: &[f64]) -> Latencies {
        let work = Work {
            multiply_adds: 50_000_000,
            padding_multiply_adds: 0,
            threads: 1,
            fma_peak_gflops: Some(100.0),
            is_int8: false,
        };
        Latencies::new(milliseconds.to_vec(), work, None).unwrap()
    }

    fn check(milliseconds: &[f64], peaks: &[f64], predicted: Option<f64>, expected: &[&str]) {
        let timed = Timed {
            label: "net".to_owned(),
            latencies: latencies(milliseconds),
            peaks: peaks.to_vec(),
            predicted,
        };
        assert_eq!(of(&[timed]), expected, "{milliseconds:?}");
    }

    #[test]
    fn quiet_figures_raise_no_doubt() {
        check(&[2.0, 2.1, 2.2], &[100.0, 99.0, 85.0], Some(2.1), &[]);
        check(&[2.0], &[], None, &[]);
    }

    #[test]
    fn disturbed_figures_raise_one_each() {
        check(&[2.0, 4.0, 4.1], &[], None, &["net: the median is 2.0 times the minimum, p95 2.0 times"]);
        let mut tail = vec![2.0; 18];
        tail.extend([9.0, 9.0]);
        check(&tail, &[], None, &["net: the median is 1.0 times the minimum, p95 4.5 times"]);
        check(
            &[2.0],
            &[100.0, 79.0, 10.0],
            None,
            &["net: in 2 of 3 rounds the core stayed below 80 % of its peak"],
        );
        check(&[2.0], &[], Some(1.0), &["net: the minimum is 2.0 times the predicted 1.000 ms"]);
        check(&[2.0], &[], Some(10.0), &["net: the minimum is 0.2 times the predicted 10.000 ms"]);
        check(
            &[0.5],
            &[100.0],
            None,
            &["net: 200.0 GFLOP/s are more than the FMA peak of 100.0, which was measured in a bad moment"],
        );
    }

    #[test]
    fn many_networks_make_one_line() {
        let wide = Timed::new("a".to_owned(), &[latencies(&[2.0, 6.0]), latencies(&[6.0])], Some(1.9));
        assert_eq!(of(&[]), [""; 0]);
        let found = of(&vec![wide.clone(); 6]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].starts_with("a: the median is 3.0 times the minimum, p95 3.0 times; a: "),
            "{found:?}"
        );
        assert!(found[0].ends_with("; and 3 more networks like that"), "{found:?}");
        assert!(of(&vec![wide; 4])[0].ends_with("; and another network like that"));
    }

    #[test]
    fn a_busy_machine_is_told() {
        let check = |load, threads, n_cores, is_busy| {
            assert_eq!(busy(load, threads, n_cores).is_some(), is_busy, "{load} {threads} {n_cores}");
        };
        check(0.3, 1, 2, false);
        check(1.4, 1, 2, false);
        check(1.6, 1, 2, true);
        check(0.6, 2, 2, true);
        check(0.4, 99, 2, false);
        check(12.0, 1, 64, false);
        check(12.0, 1, 2, true);
        assert_eq!(robbed(0.01), None);
        assert_eq!(robbed(0.14).unwrap(), "the host gave 14 % of this virtual machine's time to others");
    }

    #[test]
    fn stolen_time_is_the_eighth_number() {
        let ticks = |text| Ticks::parse(text).map(|ticks| (ticks.all, ticks.stolen));
        assert_eq!(ticks("cpu  10 0 10 70 0 0 0 10 5 5\ncpu0 1 2"), Some((100, 10)));
        assert_eq!(ticks("cpu  10 0 10 70\n"), None);
        assert_eq!(ticks("cpu  10 0 x 70 0 0 0 10\n"), None);
        assert_eq!(ticks(""), None);
        let (before, now) = (Ticks { all: 100, stolen: 10 }, Ticks { all: 200, stolen: 30 });
        assert_eq!(now.stolen_since(before), Some(0.2));
        assert_eq!((before.stolen_since(now), now.stolen_since(now)), (None, None));
    }
}
