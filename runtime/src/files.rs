//! Files as the command and executables read and write them: nothing is believed before it is known to be a plain file, and a
//! set of files is written whole or not at all.
//!
//! Only the standard library is needed. What a process that is killed leaves behind is the business of a [`Witness`].

mod read;
mod target;
#[cfg(test)]
mod tests;

use std::fs::{self, File, OpenOptions, TryLockError};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

pub use read::{open, read, read_or_pipe, same_file};
use target::Target;
pub use target::{folder, is_stream};

/// A file to write.
#[derive(Clone, Copy, Debug)]
pub struct Output<'a> {
    /// As the user names it. Links are followed.
    pub path: &'a Path,
    /// All of it.
    pub bytes: &'a [u8],
    /// Whether it may be run.
    pub is_executable: bool,
}

/// A temporary file that takes the place of another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rename {
    /// The temporary file.
    pub from: PathBuf,
    /// The name that it gets.
    pub to: PathBuf,
}

/// Who is told what lies on disk meanwhile, to tidy up after a process that is killed.
pub trait Witness {
    /// A temporary file is about to be made, by a step that nobody may tidy up in the middle of.
    fn begins(&mut self, temporary: &Path, make: impl FnOnce() -> io::Result<File>) -> io::Result<File>;
    /// Every temporary file is whole: from here on all of them get their names, or none, by a step as before.
    fn commits<T>(&mut self, renames: &[Rename], commit: impl FnOnce() -> T) -> T;
    /// These temporary files are gone.
    fn ends(&mut self, renames: &[Rename]);
}

/// What went wrong, and with which of the files.
#[derive(Debug)]
pub struct Failure {
    /// As it was named.
    pub path: PathBuf,
    /// The reason.
    pub error: io::Error,
}

/// Writes one file, whole or not at all, as [`write_set`] does: that of a program which writes no other, and has nobody to tell.
///
/// # Errors
/// A failure that leaves everything as it was.
pub fn write(output: Output<'_>) -> io::Result<()> {
    match target::of(output.path)? {
        Target::Stream(mut file) => file.write_all(output.bytes),
        Target::Place { path, old } => {
            let temporary = temporary_beside(&path);
            let written = make(&output, &temporary)
                .and_then(|file| fill(file, &output, old.as_ref()))
                .and_then(|()| fs::rename(&temporary, &path));
            if written.is_err() {
                let _ = fs::remove_file(&temporary);
            }
            written
        }
    }
}

/// Writes a set of files, all of them or none.
///
/// Each goes to a temporary file in the folder of its target, on disk, before the first of them is renamed; what existed keeps
/// its mode and, where that is allowed, its owner. Devices, FIFOs and the streams of a process are written into, after every
/// temporary file is whole and before anything is renamed. The renames follow the order of the set.
///
/// # Errors
/// The first failure. No file of the set has changed then, and no temporary file is left.
pub fn write_set(outputs: &[Output<'_>], witness: &mut impl Witness) -> Result<(), Failure> {
    let mut staged: Vec<Staged<'_>> = Vec::new();
    let mut streams: Vec<(Output<'_>, File)> = Vec::new();
    let result = stage(outputs, witness, &mut staged, &mut streams).and_then(|()| pour(&mut streams));
    let renames: Vec<Rename> = staged.iter().map(|staged| staged.rename.clone()).collect();
    if let Err(failure) = result {
        remove(renames.iter().map(|rename| &rename.from));
        witness.ends(&renames);
        return Err(failure);
    }
    if renames.is_empty() {
        return Ok(());
    }
    let result = witness.commits(&renames, || commit(&staged));
    witness.ends(&renames);
    result
}

/// A temporary file that is whole.
struct Staged<'a> {
    path: &'a Path,
    rename: Rename,
}

/// Makes the temporary files, and opens what is written into.
fn stage<'a>(
    outputs: &[Output<'a>],
    witness: &mut impl Witness,
    staged: &mut Vec<Staged<'a>>,
    streams: &mut Vec<(Output<'a>, File)>,
) -> Result<(), Failure> {
    for output in outputs {
        let fail = |error| Failure { path: output.path.to_owned(), error };
        match target::of(output.path).map_err(fail)? {
            Target::Stream(file) => streams.push((*output, file)),
            Target::Place { path, old } => {
                if staged.iter().any(|other| is_one_place(&other.rename.to, &path)) {
                    return Err(fail(io::Error::other(
                        "another file of the set goes there, expected a name of its own",
                    )));
                }
                let from = temporary_beside(&path);
                let rename = Rename { from: from.clone(), to: path };
                staged.push(Staged { path: output.path, rename });
                let file = witness.begins(&from, || make(output, &from)).map_err(fail)?;
                fill(file, output, old.as_ref()).map_err(fail)?;
            }
        }
    }
    Ok(())
}

/// Writes into devices and streams, which have no whole and no half.
fn pour(streams: &mut [(Output<'_>, File)]) -> Result<(), Failure> {
    for (output, file) in streams {
        let poured = file.write_all(output.bytes).and_then(|()| file.flush());
        poured.map_err(|error| Failure { path: output.path.to_owned(), error })?;
    }
    Ok(())
}

/// A name that nobody has, in the same folder: only there a rename is one step. Drawn at random: another process of this number
/// may write there from another container.
fn temporary_beside(path: &Path) -> PathBuf {
    folder(path).join(format!(".mnc-{}", random_name()))
}

/// Sixteen digits that nobody has drawn yet.
pub fn random_name() -> String {
    format!("{:016x}", RandomState::new().build_hasher().finish())
}

/// One temporary file, empty.
fn make(output: &Output<'_>, temporary: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    target::mode(&mut options, output.is_executable);
    options.open(temporary)
}

/// Makes it whole, on disk, with the mode and the owner of the file that it will replace.
fn fill(mut file: File, output: &Output<'_>, old: Option<&fs::Metadata>) -> io::Result<()> {
    file.write_all(output.bytes)?;
    if let Some(old) = old {
        target::take_after(&file, old, output.is_executable)?;
    }
    file.sync_all()
}

/// What had the name of a file that was renamed.
enum Before {
    /// Nothing.
    Nothing,
    /// A file, which has this name now.
    Kept(PathBuf),
    /// A file that could not be kept, on a file system where a file has one name.
    Gone,
}

/// Whether two paths without links at their ends are one name in one folder.
fn is_one_place(a: &Path, b: &Path) -> bool {
    a.file_name() == b.file_name() && same_file(folder(a), folder(b))
}

/// Keeps the renames of other processes, of one set into the same folder, out of ours. A folder needs no file for that.
fn lock(path: &Path) -> Option<File> {
    let folder = File::open(folder(path)).ok()?;
    for _ in 0..500 {
        match folder.try_lock() {
            Ok(()) => return Some(folder),
            Err(TryLockError::WouldBlock) => thread::sleep(Duration::from_millis(20)),
            Err(TryLockError::Error(_)) => return None,
        }
    }
    // Ten seconds are more than renames take: it is locked for another reason.
    None
}

/// Gives the temporary files their names. If one can't have its name, those before it are taken back.
fn commit(staged: &[Staged<'_>]) -> Result<(), Failure> {
    let _lock = staged.first().filter(|_| 1 < staged.len()).and_then(|first| lock(&first.rename.to));
    let mut before: Vec<Before> = Vec::new();
    let mut failure = None;
    for (idx, Staged { path, rename }) in staged.iter().enumerate() {
        // The last one's failure changes nothing, so the last one needs no way back.
        if idx + 1 < staged.len() {
            before.push(keep(rename));
        }
        if let Err(error) = fs::rename(&rename.from, &rename.to) {
            failure = Some(Failure { path: path.to_path_buf(), error });
            take_back(&staged[..idx], &before);
            remove(staged[idx..].iter().map(|staged| &staged.rename.from));
            break;
        }
    }
    remove(before.iter().filter_map(|before| match before {
        Before::Kept(kept) => Some(kept),
        Before::Nothing | Before::Gone => None,
    }));
    let mut folders: Vec<&Path> = staged.iter().map(|staged| folder(&staged.rename.to)).collect();
    folders.dedup();
    // Not every file system can; the files themselves are on disk.
    folders.iter().for_each(|folder| drop(File::open(folder).and_then(|folder| folder.sync_all())));
    failure.map_or(Ok(()), Err)
}

/// Gives the file that is about to be replaced a second name.
fn keep(rename: &Rename) -> Before {
    let kept = kept_name(&rename.from);
    match fs::hard_link(&rename.to, &kept) {
        Ok(()) => Before::Kept(kept),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Before::Nothing,
        Err(_) => Before::Gone,
    }
}

/// The second name of the file that a temporary one replaces.
pub fn kept_name(temporary: &Path) -> PathBuf {
    temporary.with_extension("old")
}

/// Puts back what was there, or nothing.
fn take_back(done: &[Staged<'_>], before: &[Before]) {
    for (Staged { rename, .. }, before) in done.iter().zip(before) {
        // Nothing better can be done with a second failure.
        let _ = match before {
            Before::Kept(kept) => fs::rename(kept, &rename.to),
            Before::Nothing => fs::remove_file(&rename.to),
            Before::Gone => Ok(()),
        };
    }
}

fn remove<'a>(paths: impl Iterator<Item = &'a PathBuf>) {
    // What isn't there needs no removal.
    paths.for_each(|path| drop(fs::remove_file(path)));
}
