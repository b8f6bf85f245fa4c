//! What tests need beyond a Rust toolchain, and the one rule for where it is missing: the test stops there, and its
//! program ends with a list of the tests that did so, under the harness's own count, which takes them for passed.
//!
//! - `MNC_REQUIRE_ALL=1`: what is missing is a failure.
//! - `MNC_SKIPPED=FILE`: a line for each test and what it missed is appended to the file: program, test, missing; by tabs.
//!
//! And how much tests do of what needs nothing but time: `MNC_CASES`, see [`Cases`].

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// Tests of this program, each with something that it missed.
static SKIPPED: Mutex<BTreeSet<(String, String)>> = Mutex::new(BTreeSet::new());

/// Notes that something is missing.
///
/// # Panics
/// Where nothing may be missing.
pub fn skip(missing: &str) {
    assert!(!requires_all(), "{missing}: missing, and MNC_REQUIRE_ALL=1 allows no skip");
    skip_optional(missing);
}

/// Notes that something is missing that no test insists on: what neither a package of the system nor cargo brings.
///
/// # Panics
/// When the file that `MNC_SKIPPED` names can't be written.
pub fn skip_optional(missing: &str) {
    let program = std::env::current_exe().ok();
    let program = program.as_deref().and_then(Path::file_stem).unwrap_or_default().to_string_lossy();
    // Cargo appends a hash to the names of test programs.
    let program = program.rsplit_once('-').map_or(&*program, |(name, _)| name);
    // The harness names a test's thread after it.
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("?");
    let mut skipped = SKIPPED.lock().unwrap_or_else(|error| error.into_inner());
    if skipped.is_empty() {
        // SAFETY: the function takes nothing, returns nothing and doesn't unwind.
        let failed = unsafe { libc::atexit(tell) };
        assert_eq!(failed, 0, "the C library has room for the function");
    }
    if !skipped.insert((test.to_owned(), missing.to_owned())) {
        return;
    }
    if let Some(path) = std::env::var_os("MNC_SKIPPED") {
        let line = format!("{program}\t{test}\t{missing}\n");
        let file = OpenOptions::new().create(true).append(true).open(&path);
        file.and_then(|mut file| file.write_all(line.as_bytes()))
            .unwrap_or_else(|error| panic!("MNC_SKIPPED={}: {error}", path.display()));
    }
}

/// Sets the signals that end a program to what they do by default, here and in the programs that this process starts. A shell's `&`
/// and `nohup` make all of them ignore some, and a test that sends one would wait for an end that doesn't come.
#[cfg(unix)]
pub fn heed_signals() {
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT] {
        // SAFETY: no handler of this process is taken away: the harness has none.
        let before = unsafe { libc::signal(signal, libc::SIG_DFL) };
        assert_ne!(before, libc::SIG_ERR, "signal {signal} has a default");
    }
}

/// Lists the tests at the end of the program, where the harness has said its last.
extern "C" fn tell() {
    let skipped = SKIPPED.lock().unwrap_or_else(|error| error.into_inner());
    let tests: BTreeSet<&String> = skipped.iter().map(|(test, _)| test).collect();
    let mut text = format!("skipped: {} of these tests, in part or as a whole, for want of\n", tests.len());
    for (test, missing) in skipped.iter() {
        text += &format!("    {missing} ({test})\n");
    }
    // Nobody is left to tell that standard error is closed.
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Whether nothing may be missing.
pub fn requires_all() -> bool {
    std::env::var("MNC_REQUIRE_ALL").as_deref() == Ok("1")
}

/// How many cases a test takes of those that it could: seeds of random networks, sizes, targets. `MNC_CASES` says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cases {
    /// `few`: enough to see that all that a test needs is there, where another run has taken the usual ones.
    Few,
    /// Not set.
    Usual,
    /// `all`: every combination, for hours.
    All,
}

impl Cases {
    /// # Panics
    /// When `MNC_CASES` is neither `few` nor `all`.
    pub fn asked() -> Cases {
        match std::env::var("MNC_CASES").as_deref() {
            Err(_) => Cases::Usual,
            Ok("few") => Cases::Few,
            Ok("all") => Cases::All,
            Ok(other) => panic!("MNC_CASES: found {other:?}, expected few, all or nothing"),
        }
    }
}

/// How many seeds a test draws that usually draws that many: few are a tenth of them, all are ten times as many.
pub fn n_seeds(usual: u64) -> u64 {
    match Cases::asked() {
        Cases::Few => usual.div_ceil(10),
        Cases::Usual => usual,
        Cases::All => usual * 10,
    }
}

/// A program on the search path.
///
/// # Panics
/// Where nothing may be missing and it is.
pub fn program(name: &str) -> Option<PathBuf> {
    let found = optional_program(name);
    if found.is_none() {
        skip(&format!("the program {name}"));
    }
    found
}

/// The same for a program that no test insists on.
pub fn optional_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// A file or folder of the trained weights and photographs that lie beside the workspace.
///
/// # Panics
/// Where nothing may be missing and it is.
pub fn shared_data(name: &str) -> Option<PathBuf> {
    let path = workspace().join("../shared/data").join(name);
    if path.exists() {
        return Some(path);
    }
    skip(&format!("../shared/data/{name}"));
    None
}

/// The root of the repository.
pub fn workspace() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2);
    root.expect("the package lies in the workspace").to_owned()
}
