//! A folder for the files of one test, gone when the test is.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// A new empty folder, removed with all its files on drop.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// # Panics
    /// When the system's folder for temporary files takes no more.
    #[expect(clippy::new_without_default, reason = "it makes a folder, which no default should")]
    pub fn new() -> Folder {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("mnc-tests-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Folder(path)
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file and says where.
    ///
    /// # Panics
    /// When it can't be written.
    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        path
    }

    /// Makes a FIFO and says where. Somebody opens it and closes it again: who waits for that reads nothing, and a test of
    /// theirs fails where it would hang. `None` where there are no FIFOs.
    pub fn fifo(&self, name: &str) -> Option<PathBuf> {
        let mkfifo = crate::need::program("mkfifo")?;
        let path = self.0.join(name);
        crate::need::run(std::process::Command::new(mkfifo).arg(&path));
        let writer = path.clone();
        // It waits for a reader; the end of the test program is its own too.
        std::thread::spawn(move || drop(std::fs::OpenOptions::new().write(true).open(writer)));
        Some(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A file that stays behind is no reason to fail.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
