//! `mnc inspect` on files that break a promise: whatever isn't known to be harmless is refused, with a line that names it.

#[path = "hostile/calls.rs"]
mod calls;
#[path = "hostile/code.rs"]
mod code;
#[path = "hostile/files.rs"]
mod files;
#[path = "hostile/forge.rs"]
mod forge;
#[path = "hostile/integers.rs"]
mod integers;
#[path = "hostile/libraries.rs"]
mod libraries;
#[path = "hostile/values.rs"]
mod values;
#[path = "hostile/ways.rs"]
mod ways;

/// What is broken, in one line.
fn broken(bytes: &[u8]) -> String {
    let report = match mnc::inspect::inspect(bytes) {
        Ok(report) => report,
        Err(error) => return error.to_string(),
    };
    let broken = report.promises.iter().filter(|promise| promise.kept == Some(false));
    broken.map(|promise| format!("{}: {}", promise.promise, promise.found)).collect::<Vec<_>>().join("; ")
}

/// The line must name what is wrong.
fn check(what: &str, bytes: &[u8], words: &str) {
    let found = broken(bytes);
    assert!(!found.is_empty(), "{what} is called sound");
    assert!(found.contains(words), "{what}: found {found:?}, expected {words:?}");
}
