//! Files mapped into memory: weights are read where they lie, page by page.

use std::fs::File;
use std::path::Path;

use memmap2::Mmap;
use mnc::Result;

/// The bytes of a file.
///
/// # Errors
/// A file that can't be opened, and whatever isn't a plain file.
#[allow(unsafe_code, reason = "mapping a file is unsafe, and here is the only place that does it")]
pub(super) fn map(path: &Path) -> Result<Mmap> {
    let io = |error: std::io::Error| {
        super::fail::<()>(path, format!("{error}, expected a readable file")).unwrap_err()
    };
    let file = File::open(path).map_err(io)?;
    if !file.metadata().map_err(io)?.is_file() {
        return super::fail(path, "not a plain file, expected one that can be mapped into memory");
    }
    // SAFETY: the mapping is private and only read. The bytes must not change while they are mapped: that nobody writes to
    // the file during a compilation is asked of the user in `mnc help compile`, as every program that maps its input must.
    unsafe { Mmap::map(&file) }.map_err(io)
}
