//! A crate of somebody else's that depends on ours by path: what users of the macro and of build scripts have.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::folder::Folder;
use crate::need;

/// The manifest of whoever uses the macro.
pub const MACRO: &str = "[dependencies]\nmnc-macros = { path = \"{root}/macros\" }\nmnc-runtime = { path = \"{root}/runtime\" }\n";

/// The manifest of whoever has a build script.
pub const BUILD_SCRIPT: &str = "[dependencies]\nmnc-runtime = { path = \"{root}/runtime\" }\n\
    [build-dependencies]\nmnc = { path = \"{root}/compiler\", default-features = false, features = [\"cranelift\"] }\n";

/// A package in a folder of its own, outside of the workspace. All of them share one target directory, and are best built with
/// `--release`: for another profile all that they depend on is compiled again.
#[derive(Debug)]
pub struct UserCrate {
    name: String,
    folder: Folder,
    /// Where cargo builds, below `CARGO_TARGET_TMPDIR` of the test.
    target_dir: PathBuf,
    cargo: PathBuf,
}

/// What cargo tells of a unit of the package.
#[derive(Debug)]
pub struct Message(serde_json::Value);

impl Message {
    /// Whether cargo compiled it now; `None` of messages about anything else.
    pub fn was_compiled(&self) -> Option<bool> {
        Some(!self.0["fresh"].as_bool()?)
    }

    /// The build script, as a program.
    pub fn build_script(&self) -> Option<PathBuf> {
        let is_script = self.0["target"]["kind"][0] == "custom-build";
        is_script.then(|| self.0["filenames"][0].as_str().map(PathBuf::from))?
    }

    /// The folder that the build script has written into.
    pub fn out_dir(&self) -> Option<PathBuf> {
        self.0["out_dir"].as_str().map(PathBuf::from)
    }
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
        let target_dir = target_dir.as_ref().join("user-crates");
        Some(UserCrate { name: name.to_owned(), folder, target_dir, cargo })
    }

    /// Writes a file of the package and says where.
    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        self.folder.write(name, bytes)
    }

    /// Makes a file of a terabyte that takes no room.
    ///
    /// # Panics
    /// When the file system has no such files.
    pub fn long_file(&self, name: &str) {
        let file = std::fs::File::create(self.path().join(name)).expect("the folder is ours");
        file.set_len(1 << 40).expect("the file system has sparse files");
    }

    /// A FIFO in the package, as [`Folder::fifo`] makes it.
    pub fn fifo(&self, name: &str) -> Option<PathBuf> {
        self.folder.fifo(name)
    }

    /// The package's name.
    pub fn name(&self) -> &str {
        &self.name
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

    /// Builds the package with arguments for `cargo build`; what cargo tells of it, and of nothing that it depends on.
    ///
    /// # Panics
    /// When it doesn't compile.
    pub fn build(&self, arguments: &[&str]) -> Vec<Message> {
        let mut command = self.cargo(&["build", "--message-format", "json"]);
        let output = need::run(command.args(arguments));
        let messages = String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect::<Vec<_>>();
        let parse = |line: &String| serde_json::from_str(line).expect("cargo writes JSON");
        let messages = messages.iter().map(parse).map(Message);
        let folder = self.path().display().to_string();
        messages
            .filter(|Message(it)| it["package_id"].as_str().is_some_and(|id| id.contains(&folder)))
            .collect()
    }

    /// A file below the shared target directory.
    pub fn built(&self, below: &str) -> PathBuf {
        self.target_dir.join(below)
    }
}
