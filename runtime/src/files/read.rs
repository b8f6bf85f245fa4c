//! A path -> the bytes of a plain file of a sane length.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::path::Path;

/// The bytes of a plain file, at most so many.
///
/// A FIFO or a device is refused without waiting for it, and a file's length before its content is read.
///
/// # Errors
/// What can't be opened, isn't a plain file, is longer, or needs more memory than there is.
pub fn read(path: &Path, most_bytes: u64) -> io::Result<Vec<u8>> {
    let (file, len) = open(path)?;
    if most_bytes < len {
        return Err(too_long(len, most_bytes));
    }
    // Files of the kernel say that they are empty, and aren't.
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(len as usize + 1).map_err(|_| {
        io::Error::new(
            io::ErrorKind::OutOfMemory,
            format!("found {len} bytes, more than there is memory for"),
        )
    })?;
    (&file).take(most_bytes + 1).read_to_end(&mut bytes)?;
    let found = bytes.len() as u64;
    match () {
        () if most_bytes < found => Err(too_long(found, most_bytes)),
        () if found < len => {
            Err(io::Error::other(format!("found {found} of {len} bytes: the file was cut while it was read")))
        }
        () => Ok(bytes),
    }
}

/// The same, and what a pipe brings that is this process's own: `/dev/stdin`, and the `/dev/fd/63` of a shell's `<(command)`.
///
/// # Errors
/// Those of [`read`].
pub fn read_or_pipe(path: &Path, most_bytes: u64) -> io::Result<Vec<u8>> {
    if ["/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"].iter().any(|name| path == *name) {
        return bounded(io::stdin().lock(), most_bytes);
    }
    if path.starts_with("/dev/fd") || path.starts_with("/proc/self/fd") {
        // Linux says what a descriptor is. A named FIFO is none of these: opening one may wait.
        let kind = std::fs::read_link(path).unwrap_or_default();
        if kind.to_string_lossy().starts_with("pipe:") {
            return bounded(File::open(path)?, most_bytes);
        }
    }
    read(path, most_bytes)
}

fn bounded(source: impl Read, most_bytes: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(most_bytes + 1).read_to_end(&mut bytes)?;
    let found = bytes.len() as u64;
    if most_bytes < found { Err(too_long(found, most_bytes)) } else { Ok(bytes) }
}

fn too_long(found: u64, most: u64) -> io::Error {
    io::Error::other(format!("found {found} bytes, expected at most {most}"))
}

/// Opens a plain file and tells its length. What the path names is asked of the open file: between a question and an opening
/// it might change.
///
/// # Errors
/// What can't be opened, or isn't a plain file.
pub fn open(path: &Path) -> io::Result<(File, u64)> {
    let mut options = OpenOptions::new();
    options.read(true);
    // An opening that waits, as that of a FIFO does, would wait for ever.
    without_waiting(&mut options);
    let file = options.open(path)?;
    let metadata = file.metadata()?;
    match what(&metadata) {
        None => Ok((file, metadata.len())),
        Some(what) => Err(io::Error::other(format!("not a plain file ({what})"))),
    }
}

#[cfg(unix)]
fn without_waiting(options: &mut OpenOptions) {
    use std::os::unix::fs::OpenOptionsExt;
    /// `O_NONBLOCK | O_NOCTTY`
    const FLAGS: i32 = if cfg!(target_os = "linux") { 0o4000 | 0o400 } else { 0x4 | 0x2_0000 };
    options.custom_flags(FLAGS);
}

#[cfg(not(unix))]
fn without_waiting(_: &mut OpenOptions) {}

/// What is no plain file, in a word.
pub(super) fn what(metadata: &Metadata) -> Option<&'static str> {
    let kind = metadata.file_type();
    if kind.is_file() {
        return None;
    }
    if kind.is_dir() {
        return Some("a folder");
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        let kinds = [
            (kind.is_fifo(), "a FIFO"),
            (kind.is_socket(), "a socket"),
            (kind.is_char_device(), "a device"),
            (kind.is_block_device(), "a device"),
        ];
        if let Some((_, what)) = kinds.into_iter().find(|(is, _)| *is) {
            return Some(what);
        }
    }
    Some("something else")
}

/// Whether two paths lead to one file: by the same name, through links, or because it has several names.
pub fn same_file(a: &Path, b: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let id = |path: &Path| path.metadata().map(|metadata| (metadata.dev(), metadata.ino()));
        matches!((id(a), id(b)), (Ok(a), Ok(b)) if a == b)
    }
    #[cfg(not(unix))]
    {
        matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
    }
}
