//! An executable that mnc made, run as a child process: what it is, how fast it starts, its latencies, its profile.
//!
//! So the command measures what users run, and needs no `unsafe` code to do it.

use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use mnc::{Compiled, Error, ErrorKind, Place, Result};
use mnc_runtime::info::Info;
use mnc_runtime::measured::Latencies;
use mnc_runtime::measured::profile::Profile;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::files::{self, Kind};
use super::guard::Watched;
use super::link::{self, Program};

/// An executable on disk.
#[derive(Clone, Debug)]
pub(super) struct Executable {
    /// Absolute, so that no shell path is searched.
    path: PathBuf,
    /// What people call it: the path as typed, or nothing for one in a temporary folder.
    pub(super) typed: Option<String>,
    /// What it says of itself, on this machine.
    pub(super) info: Info,
    /// Of the file.
    pub(super) bytes: u64,
    /// From network and weights to the file, where this process made it.
    pub(super) compile_time: Option<Duration>,
}

/// From the start of a process to its first result.
#[derive(Clone, Copy, Debug)]
pub(super) struct Start {
    /// As the parent sees it.
    pub(super) first_result: Duration,
    /// The first inference alone, as the child sees it.
    pub(super) first_run: Duration,
}

/// The option of executables whose runs take a picture's bytes.
const BYTES: &str = "--bytes";

impl Executable {
    /// The executable that a user names.
    pub(super) fn open(path: &Path) -> Result<Executable> {
        let typed = path.display().to_string();
        let read = |error| {
            super::fail::<()>(path, format!("{error}, expected a network or an executable made by mnc"))
                .unwrap_err()
        };
        let absolute = path.canonicalize().map_err(read)?;
        // Any program would run; one that carries no description isn't ours, and nobody knows what it would do.
        let bytes = files::read_bytes(&absolute, Kind::Artefact).map_err(read)?;
        if !bytes.windows(DESCRIPTION.len()).any(|window| window == DESCRIPTION) {
            return super::fail(path, "not made by mnc, expected an executable of `mnc compile`");
        }
        Executable::described(absolute, Some(typed), bytes.len() as u64)
    }

    /// Links a compiled network into an executable at `path`; its compile time counts from `started`.
    pub(super) fn link(
        compiled: &Compiled,
        program: Program,
        path: &Path,
        started: Instant,
    ) -> Result<Executable> {
        let bytes = link::link(&compiled.executable_object()?, program, false)?;
        files::write_scratch(path, &bytes, true)?;
        let compile_time = started.elapsed();
        let executable = Executable::described(path.to_owned(), None, bytes.len() as u64)?;
        Ok(Executable { compile_time: Some(compile_time), ..executable })
    }

    fn described(path: PathBuf, typed: Option<String>, bytes: u64) -> Result<Executable> {
        let info = finish(&path, spawn(&path, &["--info", "--json"])?)?;
        let info = Info::from_json(&info).map_err(|error| {
            Error::new(ErrorKind::Io, Place::file(&path), format!("{error}; compile it again"))
        })?;
        Ok(Executable { path, typed, info, bytes, compile_time: None })
    }

    /// `mobilenet-v1 0.5@160`, behind the path if the user named one.
    pub(super) fn label(&self) -> String {
        let Info { network, alpha, input, .. } = &self.info;
        let side = if input.height == input.width {
            input.height.to_string()
        } else {
            format!("{}x{}", input.height, input.width)
        };
        let network = format!("{network} {alpha}@{side}");
        self.typed.as_ref().map_or(network.clone(), |typed| format!("{typed}: {network}"))
    }

    /// One process that runs once, on numbers or on bytes.
    pub(super) fn start(&self, threads: usize, takes_bytes: bool) -> Result<Start> {
        let threads = threads.to_string();
        let mut args = vec!["--bench", "0", "--harness", "--threads", &threads];
        args.extend(takes_bytes.then_some(BYTES));
        let started = Instant::now();
        let mut child = spawn(&self.path, &args)?;
        // The answers are written after the first run; what is read first is read when they are known.
        let mut head = [0; 1];
        let stdout = child.child.stdout.as_mut().expect("the child's output is piped");
        let n_read = stdout.read(&mut head).unwrap_or(0);
        let first_result = started.elapsed();
        let rest = finish(&self.path, child)?;
        let text = String::from_utf8_lossy(&rest);
        let first_run = text
            .lines()
            .find_map(|line| line.strip_prefix("#first_ms "))
            .and_then(|ms| ms.parse::<f64>().ok())
            .and_then(|ms| Duration::try_from_secs_f64(ms / 1e3).ok())
            .filter(|_| n_read == 1);
        match first_run {
            Some(first_run) => Ok(Start { first_result, first_run }),
            None => super::fail(&self.path, "found no #first_ms in what it wrote; compile it again"),
        }
    }

    /// One process that times `n_runs` runs after `n_warm_up` others, on numbers or on bytes.
    pub(super) fn bench(
        &self,
        threads: usize,
        n_runs: usize,
        n_warm_up: usize,
        takes_bytes: bool,
    ) -> Result<Latencies> {
        let [threads, runs, warm_up] = [threads, n_runs, n_warm_up].map(|number| number.to_string());
        let mut args = vec!["--bench", &runs, "--warmup", &warm_up, "--threads", &threads, "--json"];
        args.extend(takes_bytes.then_some(BYTES));
        self.json(&args)
    }

    /// One process that times each step on one thread.
    pub(super) fn profile(&self, n_runs: usize) -> Result<Profile> {
        self.json(&[&format!("--profile={n_runs}"), "--json"])
    }

    /// One process that speaks to the user itself.
    pub(super) fn tell(&self, options: &[OsString]) -> Result<()> {
        let mut command = Command::new(&self.path);
        command.args(options).stdin(Stdio::null()).stderr(Stdio::piped());
        let running = started(&self.path, &mut command)?;
        let output = running
            .child
            .wait_with_output()
            .map_err(|error| Error::new(ErrorKind::Io, Place::file(&self.path), error.to_string()))?;
        // Whoever read the process has enough.
        if is_broken_pipe(output.status) { Ok(()) } else { ended(&self.path, output).map(drop) }
    }

    /// One process that classifies the pictures of a folder, the five most probable classes of each.
    /// A picture without an answer is one of them.
    pub(super) fn classify(&self, folder: &Path) -> Result<Vec<Answer>> {
        let running = spawn(
            &self.path,
            &["--json".as_ref(), "--top".as_ref(), "5".as_ref(), "--".as_ref(), folder.as_os_str()],
        )?;
        let output = running
            .child
            .wait_with_output()
            .map_err(|error| Error::new(ErrorKind::Io, Place::file(&self.path), error.to_string()))?;
        // A file that failed is in the document, which then is whole all the same.
        match serde_json::from_slice(&output.stdout) {
            Ok(answers) => Ok(answers),
            Err(error) => ended(&self.path, output)
                .and_then(|_| super::fail(&self.path, format!("{error} in its answers; compile it again"))),
        }
    }

    /// The file.
    pub(super) fn read(&self) -> Result<Vec<u8>> {
        files::read(&self.path, Kind::Artefact)
    }

    /// How many numbers it answers with.
    pub(super) fn n_outputs(&self) -> usize {
        self.info.output.shape.iter().product()
    }

    fn json<T: DeserializeOwned>(&self, args: &[impl AsRef<OsStr>]) -> Result<T> {
        let json = finish(&self.path, spawn(&self.path, args)?)?;
        serde_json::from_slice(&json).map_err(|error| {
            let option = args[0].as_ref().display();
            let detail = format!("{error} in what {option} wrote; compile it again");
            Error::new(ErrorKind::Io, Place::file(&self.path), detail)
        })
    }
}

/// What a network says of a picture.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Answer {
    /// As it was named or found.
    pub(super) file: PathBuf,
    /// The most probable class first.
    #[serde(default)]
    pub(super) top: Vec<Top>,
    /// Why there is none.
    #[serde(default)]
    pub(super) error: Option<String>,
}

/// One class of an answer.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) struct Top {
    /// Its output.
    pub(super) index: usize,
}

/// How the description begins that every executable carries.
const DESCRIPTION: &[u8] = b"{\"schema\":";

/// A child that the keeper knows.
struct Running {
    child: Child,
    _watched: Watched,
}

fn spawn(path: &Path, args: &[impl AsRef<OsStr>]) -> Result<Running> {
    let mut command = Command::new(path);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    started(path, &mut command)
}

fn started(path: &Path, command: &mut Command) -> Result<Running> {
    let (child, _watched) = Watched::child(command).map_err(|error| {
        let detail = format!("{error}, expected an executable that runs on this machine");
        Error::new(ErrorKind::Io, Place::file(path), detail)
    })?;
    Ok(Running { child, _watched })
}

/// The rest of the child's output, once it has ended well.
fn finish(path: &Path, running: Running) -> Result<Vec<u8>> {
    let output = running
        .child
        .wait_with_output()
        .map_err(|error| Error::new(ErrorKind::Io, Place::file(path), error.to_string()))?;
    ended(path, output)
}

/// Whether a process ended because nobody reads it any more.
#[cfg(unix)]
fn is_broken_pipe(status: ExitStatus) -> bool {
    use std::os::unix::process::ExitStatusExt;
    const SIGPIPE: i32 = 13;
    status.signal() == Some(SIGPIPE)
}

/// There are no signals: the executable says by itself that this is no failure.
#[cfg(not(unix))]
fn is_broken_pipe(_: ExitStatus) -> bool {
    false
}

/// What the child wrote, if it ended well.
fn ended(path: &Path, output: Output) -> Result<Vec<u8>> {
    if output.status.success() {
        return Ok(output.stdout);
    }
    let log = String::from_utf8_lossy(&output.stderr);
    let why = log.lines().next_back().unwrap_or("it said nothing");
    Err(Error::new(ErrorKind::Io, Place::file(path), format!("it stopped ({}): {why}", output.status)))
}
