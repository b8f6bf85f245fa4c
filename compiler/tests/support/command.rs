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

/// Standard output of what must succeed without a word on standard error, but for warnings of a busy machine.
pub(crate) fn stdout(folder: &Path, args: &[&str], more: &[&str]) -> String {
    let (code, out, err) = mnc(folder, args, more);
    let rest: Vec<&str> = err.lines().filter(|line| !line.starts_with("warning: ")).collect();
    assert_eq!((code, rest), (0, Vec::new()), "{args:?} {more:?}: {err}");
    out
}

/// The one JSON document that it prints.
pub(crate) fn json(folder: &Path, args: &[&str], more: &[&str]) -> Value {
    serde_json::from_str(&stdout(folder, args, more)).expect("one JSON document")
}

/// Whether executables can be linked here. Where nothing may be missing, they must.
pub(crate) fn has_compiler() -> bool {
    mnc_need::program("cc").is_some()
}
