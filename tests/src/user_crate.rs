//! A crate of somebody else's that depends on ours by path: what users of the macro and of build scripts have.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::folder::Folder;
use crate::need;

/// A package in a folder of its own, outside of the workspace. All of them share one target directory.
#[derive(Debug)]
pub struct UserCrate {
    folder: Folder,
    /// Where cargo builds, below `CARGO_TARGET_TMPDIR` of the test.
    target_dir: PathBuf,
    cargo: PathBuf,
}

impl UserCrate {
    /// A package without sources. `manifest` is what stands in `Cargo.toml` after `[package]`; `{root}` is our workspace.
    /// `None` without cargo.
    pub fn new(target_dir: impl AsRef<Path>, name: &str, manifest: &str) -> Option<UserCrate> {
        let cargo = need::program("cargo")?;
        let folder = Folder::new();
        let manifest = manifest.replace("{root}", &need::workspace().display().to_string());
        let package = format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n");
        folder.write("Cargo.toml", format!("{package}\n{manifest}\n[workspace]\n"));
        // The versions that the workspace has, and so has downloaded.
        let lock =
            std::fs::read(need::workspace().join("Cargo.lock")).expect("the workspace has a Cargo.lock");
        folder.write("Cargo.lock", lock);
        for below in ["src/bin", "data"] {
            std::fs::create_dir_all(folder.path().join(below)).expect("the folder is ours");
        }
        Some(UserCrate { folder, target_dir: target_dir.as_ref().join("user-crates"), cargo })
    }

    /// Writes a file of the package and says where.
    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        self.folder.write(name, bytes)
    }

    /// The package's folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A cargo command in the package, offline.
    pub fn cargo(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.cargo);
        command.args(arguments).arg("--quiet").arg("--offline").current_dir(self.path());
        command.env("CARGO_TARGET_DIR", &self.target_dir).env_remove("RUSTFLAGS");
        // What this test's own cargo was told is not meant for the other.
        for name in ["CARGO_MANIFEST_DIR", "CARGO_PKG_NAME", "RUSTC_WORKSPACE_WRAPPER"] {
            command.env_remove(name);
        }
        command
    }

    /// A file below the shared target directory.
    pub fn built(&self, below: &str) -> PathBuf {
        self.target_dir.join(below)
    }
}
