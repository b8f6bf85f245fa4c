//! Nothing is left behind by a `mnc` that is killed: a second process, the keeper, knows what lies on disk and what runs.
//!
//! The keeper is this program again, with one argument, at the other end of a pipe. It is told of each temporary file, folder
//! and child before it exists or as soon as it does, and when it is gone. The pipe closes when this process ends, however it
//! ends, and the keeper tidies up: it kills children, completes a set of renames that was begun, removes files and folders. A
//! handler of signals or a destructor alone could not do that after a SIGKILL. It starts with the first thing to tell.
//!
//! For SIGINT, SIGTERM and SIGHUP there is a handler too, which waits for the keeper: who waits for `mnc` finds all tidy.

mod keeper;

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use mnc::{Error, ErrorKind, Place, Result};
use mnc_runtime::files::{Rename, random_name};

use keeper::Record;
pub(super) use keeper::keep;

/// The argument that makes this program a keeper.
pub(super) const ARGUMENT: &str = "--keep-tidy-until-the-pipe-closes";

/// The keeper of this process.
enum State {
    /// Nothing has been told yet.
    Idle,
    Running {
        keeper: Child,
        pipe: ChildStdin,
    },
    /// There is none, and will be none.
    Off,
}

static STATE: Mutex<State> = Mutex::new(State::Idle);

fn state() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn tell(records: &[Record<'_>]) {
    step(records, || ());
}

/// Tells the keeper, and then does what it was told of. A signal that comes meanwhile waits: the keeper would tidy up too early.
fn step<T>(records: &[Record<'_>], work: impl FnOnce() -> T) -> T {
    let mut state = state();
    begin(&mut state);
    write(&mut state, records);
    work()
}

/// Starts the keeper, if that hasn't been tried.
fn begin(state: &mut State) {
    if matches!(state, State::Idle) {
        *state = start();
    }
}

fn write(state: &mut State, records: &[Record<'_>]) {
    let bytes: Vec<u8> = records.iter().flat_map(Record::to_bytes).collect();
    if let State::Running { pipe, .. } = state
        // A keeper that was killed leaves us without; the work is done all the same.
        && pipe.write_all(&bytes).is_err()
    {
        stop(state);
    }
}

fn start() -> State {
    // A test is another program, which would not keep.
    if cfg!(test) {
        return State::Off;
    }
    let program = if cfg!(target_os = "linux") {
        // Also where the file has been replaced since.
        Ok(PathBuf::from("/proc/self/exe"))
    } else {
        std::env::current_exe()
    };
    let Ok(program) = program else { return State::Off };
    let mut command = Command::new(program);
    command.arg(ARGUMENT).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    // Signals of a terminal and of a shell reach the group of `mnc`, and must not end its keeper.
    own_group(&mut command);
    command.current_dir("/");
    // Without a keeper, for there are no more processes, a SIGKILL leaves something. That is no reason not to compile.
    let Ok(mut keeper) = command.spawn() else { return State::Off };
    let pipe = keeper.stdin.take().expect("its standard input is piped");
    handle_signals();
    State::Running { keeper, pipe }
}

/// Closes the pipe and waits until all is tidy.
fn stop(state: &mut State) {
    if let State::Running { mut keeper, pipe } = std::mem::replace(state, State::Off) {
        drop(pipe);
        let _ = keeper.wait();
    }
}

/// At the end of the process. If a signal came before, this never returns.
pub(super) fn finish() {
    stop(&mut state());
}

/// Puts a command into a process group of its own.
fn own_group(command: &mut Command) {
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(command, 0);
    #[cfg(not(unix))]
    let _ = command;
}

/// Ends as the signal would have, after the keeper has tidied up.
#[cfg(unix)]
fn handle_signals() {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let is_ignored = ignored_signals();
    let wanted: Vec<i32> =
        [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|signal| !is_ignored(*signal)).collect();
    let Ok(mut signals) = signal_hook::iterator::Signals::new(&wanted) else { return };
    let wait = move || {
        if let Some(signal) = signals.forever().next() {
            // Held until the end: what the main thread would tell, or say, comes too late.
            let mut state = state();
            stop(&mut state);
            let _ = signal_hook::low_level::emulate_default_handler(signal);
        }
    };
    let thread = std::thread::Builder::new().name("signals".to_owned()).stack_size(128 << 10).spawn(wait);
    if thread.is_err() {
        // Then the signals end this process as ever, and the keeper tidies up a moment later.
        for signal in wanted {
            let always = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
            let _ = signal_hook::flag::register_conditional_default(signal, always);
        }
    }
}

#[cfg(not(unix))]
fn handle_signals() {}

/// Signals that this process was told to ignore, as `nohup` does, stay ignored.
#[cfg(unix)]
fn ignored_signals() -> impl Fn(i32) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    move |signal| mask >> (signal - 1) & 1 == 1
}

/// A temporary file is about to be made.
pub(super) fn file_begins<T>(path: &Path, make: impl FnOnce() -> T) -> T {
    step(&[Record::File(&absolute(path))], make)
}

/// A temporary file is gone.
pub(super) fn file_ends(path: &Path) {
    tell(&[Record::Gone(&absolute(path))]);
}

/// From here on all of them are done, or none.
pub(super) fn renames_begin<T>(renames: &[Rename], commit: impl FnOnce() -> T) -> T {
    let paths: Vec<(PathBuf, PathBuf)> =
        renames.iter().map(|rename| (absolute(&rename.from), absolute(&rename.to))).collect();
    let pairs = paths.iter().flat_map(|(from, to)| [Record::From(from), Record::To(to)]);
    step(&pairs.chain([Record::Commit]).collect::<Vec<_>>(), commit)
}

/// The keeper works in another folder.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// A folder for temporary files, which goes when this does.
#[derive(Debug)]
pub(super) struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// An empty one, that nobody else may look into.
    pub(super) fn new() -> Result<Scratch> {
        let path = absolute(&std::env::temp_dir()).join(format!("mnc-{}", random_name()));
        let mut builder = fs::DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        if let Err(error) = step(&[Record::Folder(&path)], || builder.create(&path)) {
            tell(&[Record::Gone(&path)]);
            let place = Place::file(std::env::temp_dir());
            return Err(Error::new(
                ErrorKind::Io,
                place,
                format!("{error}, expected a folder to write temporary files to (TMPDIR names another)"),
            ));
        }
        Ok(Scratch { path })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// A path in it.
    pub(super) fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // The keeper tries again, if it is there.
        if fs::remove_dir_all(&self.path).is_ok() {
            tell(&[Record::Gone(&self.path)]);
        }
    }
}

/// A child that dies with this process, alone or with its whole group.
#[derive(Debug)]
pub(super) struct Watched {
    pid: u32,
    is_group: bool,
}

impl Watched {
    /// Starts a child.
    ///
    /// # Errors
    /// A command that can't be started.
    pub(super) fn child(command: &mut Command) -> io::Result<(Child, Watched)> {
        Watched::start(command, false)
    }

    /// Starts a child that leads a group of its own.
    ///
    /// # Errors
    /// A command that can't be started.
    pub(super) fn group(command: &mut Command) -> io::Result<(Child, Watched)> {
        own_group(command);
        Watched::start(command, true)
    }

    fn start(command: &mut Command, is_group: bool) -> io::Result<(Child, Watched)> {
        // Held until the keeper knows the child: a signal that comes meanwhile waits.
        let mut state = state();
        begin(&mut state);
        let child = command.spawn()?;
        let watched = Watched { pid: child.id(), is_group };
        write(&mut state, &[Record::Process { pid: watched.pid, is_group }]);
        Ok((child, watched))
    }

    /// Kills it, or what is left of its group.
    pub(super) fn kill(&self) {
        keeper::kill(self.pid, self.is_group);
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        tell(&[Record::Ended(self.pid)]);
    }
}
