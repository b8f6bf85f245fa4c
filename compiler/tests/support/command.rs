//! The command as a child process.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

/// Exit code, standard output, standard error.
pub(crate) fn mnc(folder: &Path, args: &[&str], more: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mnc"));
    command.args(args).args(more).current_dir(folder).env_remove("CC").stdin(Stdio::null());
    let output = command.output().expect("mnc runs");
    let text = |bytes| String::from_utf8(bytes).expect("output is UTF-8");
    (output.status.code().expect("not ended by a signal"), text(output.stdout), text(output.stderr))
}

/// Standard output of what must succeed without a word on standard error.
pub(crate) fn stdout(folder: &Path, args: &[&str], more: &[&str]) -> String {
    let (code, out, err) = mnc(folder, args, more);
    assert_eq!((code, err.as_str()), (0, ""), "{args:?} {more:?}");
    out
}

/// The one JSON document that it prints.
pub(crate) fn json(folder: &Path, args: &[&str], more: &[&str]) -> Value {
    serde_json::from_str(&stdout(folder, args, more)).expect("one JSON document")
}

/// Whether executables can be linked here. Where nothing may be missing, they must.
pub(crate) fn has_compiler() -> bool {
    has_program("cc")
}

/// Whether a program runs here; a test that needs it says that it skips. Where nothing may be missing, it must be there.
pub(crate) fn has_program(name: &str) -> bool {
    let found = Command::new(name).arg("--version").output().is_ok();
    if !found {
        assert_ne!(std::env::var("MNC_REQUIRE_ALL").as_deref(), Ok("1"), "no program {name}");
        println!("skipped: no program {name}");
    }
    found
}
