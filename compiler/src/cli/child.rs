//! A program of the system, run with a limit of time and without a way to stay behind or to fill memory.

use std::io::{self, Read};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::guard::Watched;

/// How a program ended.
#[derive(Debug)]
pub(super) struct Ended {
    /// `None` if it had to be stopped.
    pub(super) status: Option<ExitStatus>,
    /// The lines that it wrote to standard error, as far as they are kept.
    pub(super) log: Vec<String>,
}

/// Bytes of standard error that are kept. The rest is read and dropped.
const MOST_LOG_BYTES: u64 = 64 << 10;

/// Runs a command, for so long at most. Whatever it started is gone when this returns.
///
/// # Errors
/// A command that can't be started.
pub(super) fn run(command: &mut Command, limit: Duration) -> io::Result<Ended> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let (mut child, watched) = Watched::group(command)?;
    let mut stderr = child.stderr.take().expect("its standard error is piped");
    let log = thread::Builder::new().stack_size(256 << 10).spawn(move || {
        let mut kept = Vec::new();
        // What can't be read any more is no fault of the link.
        let _ = (&mut stderr).take(MOST_LOG_BYTES).read_to_end(&mut kept);
        let _ = io::copy(&mut stderr, &mut io::sink());
        kept
    });
    let started = Instant::now();
    let mut pause = Duration::from_millis(1);
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break Some(status);
        }
        if limit <= started.elapsed() {
            break None;
        }
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    };
    // Also what it left running: that would hold the pipe open.
    watched.kill();
    if status.is_none() {
        child.wait()?;
    }
    let log = log.map_or(Vec::new(), |log| log.join().unwrap_or_default());
    Ok(Ended { status, log: String::from_utf8_lossy(&log).lines().map(clean).collect() })
}

/// A line that leaves the terminal as it is: no control characters, and of a sane length.
pub(super) fn clean(line: &str) -> String {
    const MOST_CHARS: usize = 400;
    let is_harmless = |c: &char| *c == '\t' || mnc::is_plain(*c);
    line.chars().filter(is_harmless).take(MOST_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_go() {
        assert_eq!(clean("a\x1b[31mb\x07\u{9b}2J\u{202e}c\td"), "a[31mb2Jc\td");
        assert_eq!(clean(&"x".repeat(1000)).len(), 400);
    }

    #[cfg(unix)]
    #[test]
    fn a_program_that_hangs_is_stopped_with_all_that_it_started() {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "echo says >&2; sleep 1000 & sleep 1000"]);
        let ended = run(&mut command, Duration::from_millis(300)).unwrap();
        assert!(ended.status.is_none());
        assert_eq!(ended.log, ["says"]);
        // What it leaves running holds the pipe; without an end of that, this would never return.
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "sleep 1000 & exit 3"]);
        let ended = run(&mut command, Duration::from_secs(1000)).unwrap();
        assert_eq!(ended.status.unwrap().code(), Some(3));
    }
}
