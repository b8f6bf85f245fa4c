//! A process that has the network and does what it is asked ([`mnc_runtime::orders`]): a crash, a hang and a wrong answer of the
//! code under test are seen from here.

use std::ffi::OsString;
use std::io::{self, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{self, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use mnc::{Error, ErrorKind, Place, Result};
use mnc_runtime::orders::{self, Order};

use super::super::child::clean;
use super::super::guard::Watched;
use super::emulator::Emulator;

/// How to start a program.
#[derive(Clone, Debug)]
pub(super) struct Launch {
    pub(super) emulator: Emulator,
    pub(super) program: PathBuf,
    pub(super) arguments: Vec<OsString>,
    /// How long an answer may take.
    pub(super) patience: Duration,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The process ended: how, and its last words.
    Ended(String),
    /// It said nothing for so long.
    Silent(Duration),
    /// It gave a reason.
    Refused(String),
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Failure::Ended(how) => write!(f, "it stopped: {how}"),
            Failure::Silent(time) => write!(f, "no answer within {} s (--timeout)", time.as_secs()),
            Failure::Refused(reason) => f.write_str(reason),
        }
    }
}

/// A running process.
#[derive(Debug)]
pub(super) struct Child {
    process: process::Child,
    stdin: ChildStdin,
    answers: Receiver<io::Result<Result<Vec<u8>, String>>>,
    words: Option<JoinHandle<String>>,
    patience: Duration,
    /// It dies with this process.
    _watched: Watched,
}

impl Launch {
    /// Starts a process.
    pub(super) fn start(&self) -> Result<Child> {
        let mut command = match self.emulator.words.split_first() {
            None => Command::new(&self.program),
            Some((emulator, words)) => {
                let mut command = Command::new(emulator);
                command.args(words).arg(&self.program);
                command
            }
        };
        command.args(&self.arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let (mut process, watched) = spawn(&mut command).map_err(|error| {
            let detail = format!("{error}, expected an executable that runs on this machine");
            Error::new(ErrorKind::Io, Place::file(&self.program), detail)
        })?;
        let stdin = process.stdin.take().expect("it is piped");
        let stdout = process.stdout.take().expect("it is piped");
        let stderr = process.stderr.take().expect("it is piped");
        let (sender, answers) = channel();
        thread::spawn(move || {
            let mut stdout = BufReader::new(stdout);
            loop {
                let answer = orders::read_answer(&mut stdout);
                let is_end = answer.is_err();
                if sender.send(answer).is_err() || is_end {
                    return;
                }
            }
        });
        let words = Some(thread::spawn(move || last_words(stderr)));
        Ok(Child { process, stdin, answers, words, patience: self.patience, _watched: watched })
    }
}

/// Starts a command. While another thread starts one, that child has for a moment all that is open here, so that a program just
/// written is still being written.
fn spawn(command: &mut Command) -> io::Result<(process::Child, Watched)> {
    for _ in 0..200 {
        match Watched::child(command) {
            Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy => {
                thread::sleep(Duration::from_millis(5));
            }
            started => return started,
        }
    }
    Watched::child(command)
}

/// The last line of what a process says, of which no more than a part is kept.
fn last_words(stderr: impl Read) -> String {
    let mut bytes = Vec::new();
    let mut stderr = BufReader::new(stderr);
    let _ = stderr.by_ref().take(1 << 16).read_to_end(&mut bytes);
    let _ = io::copy(&mut stderr, &mut io::sink());
    let text = String::from_utf8_lossy(&bytes);
    let line = text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it said nothing");
    clean(line)
}

impl Child {
    /// The answer to an order, behind which comes the input of a run.
    pub(super) fn ask(&mut self, order: &Order, input: &[f32]) -> Result<Vec<u8>, Failure> {
        let mut bytes = Vec::with_capacity(1 << 12);
        order.write(&mut bytes).expect("memory takes every write");
        bytes.extend(input.iter().flat_map(|x| x.to_le_bytes()));
        if self.stdin.write_all(&bytes).and_then(|()| self.stdin.flush()).is_err() {
            return Err(self.ended());
        }
        match self.answers.recv_timeout(self.patience) {
            Ok(Ok(Ok(answer))) => Ok(answer),
            Ok(Ok(Err(reason))) => Err(Failure::Refused(reason)),
            Ok(Err(_)) | Err(RecvTimeoutError::Disconnected) => Err(self.ended()),
            Err(RecvTimeoutError::Timeout) => {
                self.kill();
                Err(Failure::Silent(self.patience))
            }
        }
    }

    /// How the process ended that has closed its output.
    fn ended(&mut self) -> Failure {
        // One that lives on without an output is of no use either; one that is dead doesn't mind.
        let status = match self.process.try_wait() {
            Ok(Some(status)) => Ok(status),
            _ => {
                thread::sleep(Duration::from_millis(100));
                let _ = self.process.kill();
                self.process.wait()
            }
        };
        let words = self.words.take().and_then(|words| words.join().ok());
        let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
        Failure::Ended(format!("{status}, {}", words.unwrap_or_default()))
    }

    fn kill(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
    }
}
