//! The launcher, embedded: the program that is linked around the network of an executable.
//!
//! It defines `main` and calls `mnc_model`, which the network's object must define (`mnc_runtime::abi::ModelAbi`).
//! The build script makes it from the runtime; what it does with a picture isn't known here.

use target_lexicon::OperatingSystem;

use crate::target::Target;

/// A program that lacks only its network.
#[derive(Clone, Copy, Debug)]
pub struct Launcher {
    /// The target it was built for.
    pub triple: &'static str,
    /// A relocatable object, or a static library.
    pub bytes: &'static [u8],
    /// Whether the bytes are a static library, which a linker tells by the file's name: `.a`, else `.o`.
    pub is_archive: bool,
    /// The linker's arguments for the system's libraries, in order: `-lgcc_s`, `-lc`.
    pub libraries: &'static [&'static str],
}

/// The launcher for a target, if this `mnc` carries one: for now, that of its own target.
///
/// ```
/// use mnc::emit::launcher::launcher_for;
/// assert!(launcher_for("pdp11-unknown-unix").is_none());
/// ```
pub fn launcher_for(triple: &str) -> Option<&'static Launcher> {
    (triple == LAUNCHER.triple).then_some(&LAUNCHER)
}

static LAUNCHER: Launcher = include!(concat!(env!("OUT_DIR"), "/launcher.rs"));

/// The launcher for our own linker ([`super::static_link`]): it needs no C library and no system linker.
#[derive(Clone, Copy, Debug)]
pub struct BareLauncher {
    /// The target it was built for. It runs on any Linux of that architecture.
    pub triple: &'static str,
    /// Relocatable objects that define `_start` and lack only `mnc_model`; `None` if Rust's standard library for the
    /// target wasn't there when `mnc` was built.
    pub objects: Option<&'static [&'static [u8]]>,
}

/// The launcher for our own linker, if that target has one: Linux on x86-64 or aarch64.
pub fn bare_launcher_for(target: &Target) -> Option<&'static BareLauncher> {
    let is_linux = target.triple.operating_system == OperatingSystem::Linux;
    let architecture = target.triple.architecture.into_str();
    BARE.iter().find(|launcher| is_linux && launcher.triple.split('-').next() == Some(&*architecture))
}

static BARE: [BareLauncher; 2] = include!(concat!(env!("OUT_DIR"), "/bare.rs"));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_launcher_of_this_machine_has_main() {
        let launcher = launcher_for(LAUNCHER.triple).unwrap();
        let has = |needle: &[u8]| launcher.bytes.windows(needle.len()).any(|window| window == needle);
        assert!(has(b"\0main\0") && has(b"mnc_model\0"));
        assert!(launcher.libraries.iter().all(|library| !library.contains(char::is_whitespace)));
    }

    /// What `mnc` carries for each target, with all that only a detector's program takes. How large executables are is measured in
    /// the tests of linking.
    #[test]
    fn the_launcher_is_small() {
        if !LAUNCHER.is_archive {
            let len = LAUNCHER.bytes.len();
            assert!(len < 3_000_000, "{len} bytes, expected below 3000000");
        }
    }
}
