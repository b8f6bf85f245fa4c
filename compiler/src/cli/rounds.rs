//! Interleaved rounds: every executable in turn, over and over, a fresh process each time.
//!
//! A shared machine is now faster and now slower, for seconds at a time. What is measured one after the other meets
//! different machines; what takes turns meets the same ones, and only then may be compared.

use std::fmt;
use std::sync::LazyLock;
use std::time::Duration;

use indicatif::{HumanDuration, MultiProgress, ProgressBar, ProgressState, ProgressStyle};
use mnc::Result;
use mnc_runtime::measured::profile::Profile;
use mnc_runtime::measured::{Latencies, Summary};

use super::executable::Executable;

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rounds {
    /// Processes of each subject.
    pub(super) n_rounds: usize,
    /// Timed runs of a process; as many as fit into the usual time if not given.
    pub(super) n_runs: Option<usize>,
    /// Runs of a process before those.
    pub(super) n_warm_up: usize,
    /// Whether they take a picture's bytes.
    pub(super) takes_bytes: bool,
}

/// What takes a turn in each round.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subject<'a> {
    /// What is run.
    pub(super) executable: &'a Executable,
    /// That work on each inference.
    pub(super) threads: usize,
}

/// What all rounds of a subject gave.
#[derive(Clone, Debug)]
pub(super) struct Measured {
    /// Those of each process.
    pub(super) rounds: Vec<Latencies>,
    /// All timed runs.
    pub(super) latencies: Latencies,
    /// Milliseconds from the start of a process to its first result, one a round.
    pub(super) start: Summary,
}

/// The time that the timed runs of a process take, if nobody says how many.
const USUAL_TIME: Duration = Duration::from_millis(250);

/// Measures the subjects.
pub(super) fn measure(subjects: &[Subject<'_>], rounds: Rounds) -> Result<Vec<Measured>> {
    let progress = progress("rounds", subjects.len() * rounds.n_rounds);
    let mut seen: Vec<Seen> = subjects.iter().map(|_| Seen::default()).collect();
    for round in 0..rounds.n_rounds {
        for (Subject { executable, threads }, seen) in in_turn(round, subjects, &mut seen) {
            progress.set_message(executable.label());
            let start = executable.start(*threads, rounds.takes_bytes)?;
            seen.starts.push(start.first_result.as_secs_f64() * 1e3);
            // As many in the first round as in the others: a median over all of them weighs them alike.
            let n_runs =
                *seen.n_runs.get_or_insert_with(|| rounds.n_runs.unwrap_or_else(|| fitting(start.first_run)));
            seen.latencies.push(executable.bench(*threads, n_runs, rounds.n_warm_up, rounds.takes_bytes)?);
            progress.inc(1);
        }
    }
    progress.finish_and_clear();
    Ok(seen.into_iter().map(Seen::sum_up).collect())
}

/// The profiles of each executable, one a round, of so many runs each.
pub(super) fn profiles(
    executables: &[Executable],
    n_rounds: usize,
    n_runs: usize,
    what: &str,
) -> Result<Vec<Vec<Profile>>> {
    let progress = progress(what, executables.len() * n_rounds);
    let mut profiles: Vec<Vec<Profile>> = executables.iter().map(|_| Vec::new()).collect();
    for round in 0..n_rounds {
        for (executable, seen) in in_turn(round, executables, &mut profiles) {
            seen.push(executable.profile(n_runs)?);
            progress.inc(1);
        }
    }
    progress.finish_and_clear();
    Ok(profiles)
}

/// Forwards in even rounds, backwards in odd ones, so that nobody always follows the same one.
fn in_turn<'a, A, B>(round: usize, of: &'a [A], seen: &'a mut [B]) -> Vec<(&'a A, &'a mut B)> {
    let mut turns: Vec<(&A, &mut B)> = of.iter().zip(seen).collect();
    if round % 2 == 1 {
        turns.reverse();
    }
    turns
}

/// The rounds of a subject so far.
#[derive(Default)]
struct Seen {
    n_runs: Option<usize>,
    starts: Vec<f64>,
    latencies: Vec<Latencies>,
}

impl Seen {
    fn sum_up(self) -> Measured {
        let latencies = Latencies::merge(&self.latencies).expect("there is a round, and a run in it");
        let start = Summary::of(&self.starts).expect("there is a round");
        Measured { rounds: self.latencies, latencies, start }
    }
}

/// The first run of a process is slower than the others, so these take less than the usual time.
fn fitting(first_run: Duration) -> usize {
    let n_fitting = USUAL_TIME.as_nanos() / first_run.as_nanos().max(1);
    n_fitting.clamp(20, 500) as usize
}

/// Work may be part of other work that has a bar: bars that are there at once stand below each other.
static BARS: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);

/// A bar on standard error, for people only; it goes away when it is done.
pub(super) fn progress(what: &str, len: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix} {bar:30} {pos}/{len}{rest} {msg}");
    let style = style.expect("the template is ours and well formed");
    let bar = BARS.add(ProgressBar::new(len as u64));
    bar.set_style(style.with_key("rest", |state: &ProgressState, out: &mut dyn fmt::Write| {
        // Before the first is done nobody knows how long they take; that a bar is incomplete is no fault.
        let _ = match state.pos() {
            0 => Ok(()),
            _ => write!(out, ", {:#} left", HumanDuration(state.eta())),
        };
    }));
    bar.set_prefix(what.to_owned());
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_networks_run_less_often() {
        for (microseconds, expected) in [(0, 500), (1000, 250), (5000, 50), (80_000, 20)] {
            assert_eq!(fitting(Duration::from_micros(microseconds)), expected, "{microseconds} us");
        }
    }
}
