//! The keeper's side of the pipe: what it is told, and what it does when the pipe closes.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::io::{self, BufRead};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use mnc_runtime::files::kept_name;

/// One thing that the keeper is told: a letter, its words, a zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Record<'a> {
    /// A temporary file.
    File(&'a Path),
    /// A temporary folder.
    Folder(&'a Path),
    /// A file or a folder that is no more.
    Gone(&'a Path),
    /// A rename: from here,
    From(&'a Path),
    /// to there.
    To(&'a Path),
    /// The renames that were told are begun.
    Commit,
    /// A child that runs.
    Process { pid: u32, is_group: bool },
    /// A child that has ended.
    Ended(u32),
}

impl<'a> Record<'a> {
    pub(super) fn to_bytes(self: &Record<'a>) -> Vec<u8> {
        let (letter, words) = match self {
            Record::File(path) => (b'f', path.as_os_str().as_encoded_bytes().to_vec()),
            Record::Folder(path) => (b'd', path.as_os_str().as_encoded_bytes().to_vec()),
            Record::Gone(path) => (b'x', path.as_os_str().as_encoded_bytes().to_vec()),
            Record::From(path) => (b'r', path.as_os_str().as_encoded_bytes().to_vec()),
            Record::To(path) => (b't', path.as_os_str().as_encoded_bytes().to_vec()),
            Record::Commit => (b'c', Vec::new()),
            Record::Process { pid, is_group: false } => (b'p', pid.to_string().into_bytes()),
            Record::Process { pid, is_group: true } => (b'g', pid.to_string().into_bytes()),
            Record::Ended(pid) => (b'e', pid.to_string().into_bytes()),
        };
        let mut bytes = vec![letter];
        bytes.extend(words);
        bytes.push(0);
        bytes
    }

    /// One record without its zero; `None` for what nobody writes.
    fn parse(bytes: &'a [u8]) -> Option<Record<'a>> {
        let (letter, words) = bytes.split_first()?;
        let path = || Some(Path::new(os_str(words)?));
        let pid = || std::str::from_utf8(words).ok()?.parse().ok();
        Some(match letter {
            b'f' => Record::File(path()?),
            b'd' => Record::Folder(path()?),
            b'x' => Record::Gone(path()?),
            b'r' => Record::From(path()?),
            b't' => Record::To(path()?),
            b'c' => Record::Commit,
            b'p' => Record::Process { pid: pid()?, is_group: false },
            b'g' => Record::Process { pid: pid()?, is_group: true },
            b'e' => Record::Ended(pid()?),
            _ => return None,
        })
    }
}

#[cfg(unix)]
fn os_str(bytes: &[u8]) -> Option<&OsStr> {
    Some(std::os::unix::ffi::OsStrExt::from_bytes(bytes))
}

#[cfg(not(unix))]
fn os_str(bytes: &[u8]) -> Option<&OsStr> {
    std::str::from_utf8(bytes).ok().map(OsStr::new)
}

/// The whole work of a keeper.
pub(in crate::cli) fn keep() -> ExitCode {
    let mut kept = Kept::default();
    let mut input = io::stdin().lock();
    let mut bytes = Vec::new();
    // A record without its zero was cut by the end of its writer, who then did nothing of what it says.
    while input.read_until(0, &mut bytes).is_ok() && bytes.pop() == Some(0) {
        if let Some(record) = Record::parse(&bytes) {
            kept.take(record);
        }
        bytes.clear();
    }
    kept.tidy();
    ExitCode::SUCCESS
}

/// What there is at the moment.
#[derive(Debug, Default)]
struct Kept {
    files: BTreeSet<PathBuf>,
    folders: BTreeSet<PathBuf>,
    /// By temporary file: its name to be.
    renames: BTreeMap<PathBuf, PathBuf>,
    is_committed: bool,
    /// The last temporary file of a rename that was told.
    from: PathBuf,
    /// Whether a process leads a group.
    processes: BTreeMap<u32, bool>,
}

impl Kept {
    fn take(&mut self, record: Record<'_>) {
        match record {
            Record::File(path) => {
                self.files.insert(path.to_owned());
                // A new set begins.
                self.is_committed = false;
            }
            Record::Folder(path) => {
                self.folders.insert(path.to_owned());
            }
            Record::Gone(path) => {
                self.files.remove(path);
                self.folders.remove(path);
                self.renames.remove(path);
            }
            Record::From(path) => self.from = path.to_owned(),
            Record::To(path) => {
                self.renames.insert(std::mem::take(&mut self.from), path.to_owned());
            }
            Record::Commit => self.is_committed = true,
            Record::Process { pid, is_group } => {
                self.processes.insert(pid, is_group);
            }
            Record::Ended(pid) => {
                self.processes.remove(&pid);
            }
        }
    }

    fn tidy(&self) {
        self.processes.iter().for_each(|(pid, is_group)| kill(*pid, *is_group));
        if self.is_committed {
            for (from, to) in &self.renames {
                // What was renamed already isn't there any more.
                let _ = fs::rename(from, to);
            }
        }
        for file in &self.files {
            let _ = fs::remove_file(file);
            let _ = fs::remove_file(kept_name(file));
        }
        self.folders.iter().for_each(|folder| remove(folder));
    }
}

/// Removes a folder, into which a process that was killed just now may still have written.
fn remove(folder: &Path) {
    for _ in 0..50 {
        match fs::remove_dir_all(folder) {
            Ok(()) => return,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

/// Ends a process, or every process of a group.
#[cfg(unix)]
pub(super) fn kill(pid: u32, is_group: bool) {
    use rustix::process::{Pid, Signal, kill_process, kill_process_group};
    // 0 and 1 are never children of ours.
    let Some(pid) = i32::try_from(pid).ok().filter(|pid| 1 < *pid).and_then(Pid::from_raw) else { return };
    // It may have ended by itself.
    let _ = if is_group { kill_process_group(pid, Signal::KILL) } else { kill_process(pid, Signal::KILL) };
}

#[cfg(not(unix))]
pub(super) fn kill(_: u32, _: bool) {}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(records: &[Record<'_>]) -> Kept {
        let mut kept = Kept::default();
        for record in records {
            let mut bytes = record.to_bytes();
            assert_eq!(bytes.pop(), Some(0));
            assert_eq!(Record::parse(&bytes), Some(*record));
            kept.take(Record::parse(&bytes).unwrap());
        }
        kept
    }

    #[test]
    fn what_is_gone_is_forgotten() {
        let [a, b] = ["/gone/a", "/gone/b"].map(Path::new);
        let process = Record::Process { pid: 12345, is_group: true };
        let records = [Record::File(a), Record::Folder(b), process, Record::Gone(b), Record::Ended(12345)];
        let kept = told(&records);
        assert_eq!(kept.files.len(), 1);
        assert!(kept.folders.is_empty() && kept.processes.is_empty() && kept.renames.is_empty());
        assert_eq!(Record::parse(b"pabc"), None);
        assert_eq!(Record::parse(b""), None);
    }

    /// A set of two, told up to each moment: no file of it, or both.
    #[test]
    fn sets_are_whole_whenever_the_writer_ends() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let (temporary, last) = ([path(".t1"), path(".t2")], [path("a"), path("b")]);
        let records = [
            Record::File(&temporary[0]),
            Record::File(&temporary[1]),
            Record::From(&temporary[0]),
            Record::To(&last[0]),
            Record::From(&temporary[1]),
            Record::To(&last[1]),
            Record::Commit,
        ];
        for n_told in 0..=records.len() {
            temporary.iter().take(n_told).for_each(|path| fs::write(path, "new").unwrap());
            last.iter().for_each(|path| fs::write(path, "old").unwrap());
            // The writer has got that far with its renames.
            if n_told == records.len() {
                fs::hard_link(&last[0], kept_name(&temporary[0])).unwrap();
                fs::rename(&temporary[0], &last[0]).unwrap();
            }
            told(&records[..n_told]).tidy();
            let expected = if n_told == records.len() { "new" } else { "old" };
            assert_eq!(last.each_ref().map(|path| fs::read_to_string(path).unwrap()), [expected; 2]);
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "after {n_told}");
        }
    }
}
