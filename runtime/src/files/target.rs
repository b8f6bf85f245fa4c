//! Where a path leads: to a place for a file, or into a device or a stream.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use super::read::what;

/// What a path to write to stands for.
#[derive(Debug)]
pub(super) enum Target {
    /// A name in a folder, and the plain file that has it now.
    Place { path: PathBuf, old: Option<Metadata> },
    /// What takes bytes one after the other: a device, a FIFO, a file that another process opened for this one.
    Stream(File),
}

/// As many links as Linux follows.
const MOST_LINKS: usize = 40;

/// The folder of a file.
pub fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Follows links to the last name, which need not exist.
pub(super) fn of(path: &Path) -> io::Result<Target> {
    if is_descriptor(path) {
        return stream(path);
    }
    match fs::metadata(path) {
        Ok(old) if what(&old).is_none() => {
            check_writable(path)?;
            Ok(Target::Place { path: last_name(path)?, old: Some(old) })
        }
        Ok(other) => match what(&other) {
            Some(what @ ("a folder" | "a socket")) => Err(io::Error::other(format!("is {what}"))),
            _ => stream(path),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let last = last_name(path)?;
            if last != path && !folder(&last).is_dir() {
                let detail = format!("is a link to {}, whose folder isn't there", last.display());
                return Err(io::Error::new(io::ErrorKind::NotFound, detail));
            }
            Ok(Target::Place { path: last, old: None })
        }
        Err(error) => Err(error),
    }
}

/// Whether what is written to the path goes into something that is there, a device, a FIFO or a descriptor, and no file of that
/// name is made.
pub fn is_stream(path: &Path) -> bool {
    is_descriptor(path) || fs::metadata(path).is_ok_and(|found| what(&found).is_some())
}

/// Whether the path names a descriptor of a process, through links or not. What lies behind is somebody's open file: a new file
/// under its name would not be the one that they read.
fn is_descriptor(path: &Path) -> bool {
    let is_own = |path: &Path| {
        let text = path.to_string_lossy();
        let in_proc = text.starts_with("/proc/") && text.contains("/fd/");
        in_proc || text.starts_with("/dev/fd/") || ["/dev/stdout", "/dev/stderr"].contains(&&*text)
    };
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        if is_own(&path) {
            return true;
        }
        match fs::read_link(&path) {
            Ok(next) => path = beside(&path, next),
            Err(_) => return false,
        }
    }
    false
}

/// What a link leads to.
fn beside(link: &Path, next: PathBuf) -> PathBuf {
    link.parent().map_or(next.clone(), |folder| folder.join(next))
}

/// Opens what is written into. Nothing is made here and nothing is cut: a file behind a descriptor gets the bytes at its end.
fn stream(path: &Path) -> io::Result<Target> {
    Ok(Target::Stream(OpenOptions::new().append(true).open(path)?))
}

/// A rename asks the folder alone whether it may; the file's own mode is asked here.
fn check_writable(path: &Path) -> io::Result<()> {
    match OpenOptions::new().write(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(error),
        // A program that runs can't be opened, but replaced.
        _ => Ok(()),
    }
}

/// The path without links at its end.
fn last_name(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        match fs::read_link(&path) {
            Ok(next) => path = beside(&path, next),
            Err(_) => return Ok(path),
        }
    }
    Err(io::Error::other(format!("found more than {MOST_LINKS} links, one behind the other, expected fewer")))
}

/// The mode of a new file; the process's mask is applied to it.
pub(super) fn mode(options: &mut OpenOptions, is_executable: bool) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(if is_executable { 0o777 } else { 0o666 });
    }
    #[cfg(not(unix))]
    let _ = (options, is_executable);
}

/// Gives a new file the mode and the owner of the old one. Who may read a program may run it.
pub(super) fn take_after(file: &File, old: &Metadata, is_executable: bool) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
        let new = file.metadata()?;
        if (new.uid(), new.gid()) != (old.uid(), old.gid()) {
            // Only root may give files away; a group of one's own may be kept without.
            let _ = fchown(file, Some(old.uid()), Some(old.gid()))
                .or_else(|_| fchown(file, None, Some(old.gid())));
        }
        let mode = old.mode() & 0o777;
        let run = if is_executable { (mode & 0o444) >> 2 } else { 0 };
        file.set_permissions(fs::Permissions::from_mode(mode | run))
    }
    #[cfg(not(unix))]
    {
        let _ = (file, old, is_executable);
        Ok(())
    }
}
