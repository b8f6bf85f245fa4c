//! What is written and where: formats, file names, standard output. The files themselves are written by [`super::files`].

use std::env::consts::EXE_EXTENSION;
use std::ffi::{OsStr, OsString};
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use mnc::target::ObjectFormat;
use mnc::{Error, ErrorKind, Place, Result, Target};

use super::files::{self, folder, same_file};

/// What a network can be compiled to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// Executable that classifies images
    Exe,
    /// Relocatable object with the C interface
    Obj,
    /// Static library of that object
    Staticlib,
    /// Shared library of that object
    Cdylib,
    /// C header of the object and of the libraries
    Header,
    /// CMake package: find_package(NAME), target mnc::NAME
    Cmake,
    /// pkg-config file
    PkgConfig,
    /// Python module, and the shared library that it loads
    Python,
    /// JSON: network, shapes, preprocessing, labels, SHA-256 of what was read and written
    Manifest,
    /// Weights outside of the code; --weights-file asks for it, not --emit
    #[value(skip)]
    WeightsFile,
    /// Disassembly, for reading
    Asm,
    /// Cranelift IR, for reading
    Clif,
}

impl Format {
    /// As in `--emit`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Format::Exe => "exe",
            Format::Obj => "obj",
            Format::Staticlib => "staticlib",
            Format::Cdylib => "cdylib",
            Format::Header => "header",
            Format::Cmake => "cmake",
            Format::PkgConfig => "pkg-config",
            Format::Python => "python",
            Format::Manifest => "manifest",
            Format::WeightsFile => "weights-file",
            Format::Asm => "asm",
            Format::Clif => "clif",
        }
    }

    /// The name of its file, as the target's tools look for it: what comes before the stem and behind it.
    fn affixes(self, target: &Target) -> (&'static str, String) {
        let object_format = target.object_format();
        let (before, behind) = match self {
            Format::Exe if EXE_EXTENSION.is_empty() => ("", ""),
            Format::Exe => return ("", format!(".{EXE_EXTENSION}")),
            Format::Obj => ("", ".o"),
            Format::Staticlib if object_format == ObjectFormat::Coff => ("", ".lib"),
            Format::Staticlib => ("lib", ".a"),
            Format::Cdylib if object_format == ObjectFormat::MachO => ("lib", ".dylib"),
            Format::Cdylib => ("lib", ".so"),
            Format::Header => ("", ".h"),
            Format::Cmake => ("", "Config.cmake"),
            Format::PkgConfig => ("", ".pc"),
            Format::Python => ("", ".py"),
            Format::Manifest => ("", ".json"),
            Format::WeightsFile => ("", ".weights"),
            Format::Asm => ("", ".s"),
            Format::Clif => ("", ".clif"),
        };
        (before, behind.to_owned())
    }

    fn file_name(self, stem: &OsStr, target: &Target) -> OsString {
        let (before, behind) = self.affixes(target);
        let mut name = OsString::from(before);
        name.push(stem);
        name.push(behind);
        name
    }

    /// Whether its file may be run.
    pub(super) fn is_executable(self) -> bool {
        matches!(self, Format::Exe | Format::Cdylib)
    }

    /// Whether it speaks of other files, or is one that others speak of by name: such a file needs a name.
    fn needs_name(self) -> bool {
        match self {
            Format::Cmake
            | Format::PkgConfig
            | Format::Python
            | Format::Manifest
            | Format::WeightsFile
            | Format::Cdylib => true,
            Format::Exe | Format::Obj | Format::Staticlib => false,
            Format::Header | Format::Asm | Format::Clif => false,
        }
    }

    /// Whether a terminal could show it.
    fn is_text(self) -> bool {
        matches!(self, Format::Header | Format::Asm | Format::Clif)
    }
}

/// Where a format goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Destination {
    Stdout,
    File(PathBuf),
}

impl Destination {
    /// The last part of its path.
    pub(super) fn file_name(&self) -> String {
        match self {
            Destination::Stdout => "-".to_owned(),
            Destination::File(path) => {
                path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
            }
        }
    }
}

/// Each format with its destination, in the order in which they were asked for. `name` is what files are called without `-o`,
/// or in a folder.
pub(super) fn destinations(
    formats: &[Format],
    output: Option<&Path>,
    name: &str,
    target: &Target,
) -> Result<Vec<(Format, Destination)>> {
    let mut wanted: Vec<Format> = Vec::new();
    formats.iter().for_each(|format| {
        if !wanted.contains(format) {
            wanted.push(*format);
        }
    });
    // The module is nothing without the library.
    if wanted.contains(&Format::Python) && !wanted.contains(&Format::Cdylib) {
        wanted.push(Format::Cdylib);
    }
    if output.is_some_and(is_stdout) {
        return match wanted.as_slice() {
            [format] if !format.needs_name() => {
                check_terminal(*format)?;
                Ok(vec![(*format, Destination::Stdout)])
            }
            _ => super::usage(
                "-o -",
                "standard output takes one of --emit exe, obj, staticlib, header, asm, clif, or a dump",
            ),
        };
    }
    check_company(&wanted)?;
    let file = |format: Format| match output {
        Some(folder) if is_folder(folder) => folder.join(format.file_name(name.as_ref(), target)),
        Some(output) if wanted.len() == 1 => output.to_owned(),
        Some(output) => output.with_file_name(format.file_name(&stem(output), target)),
        None => format.file_name(name.as_ref(), target).into(),
    };
    if let Some(output) = output.filter(|output| 1 < wanted.len() && is_special(output)) {
        return super::fail(output, "is no plain file, expected a file or a folder for several formats");
    }
    let mut destinations: Vec<(Format, Destination)> = Vec::new();
    for format in wanted.iter().copied() {
        let path = file(format);
        check(&path, output.is_some_and(is_folder))?;
        check_name(format, &path, &wanted)?;
        check_new("-o", &path, &destinations)?;
        destinations.push((format, Destination::File(path)));
    }
    Ok(destinations)
}

/// The same, and the weights file if there is to be one.
pub(super) fn with_weights_file(
    mut destinations: Vec<(Format, Destination)>,
    path: Option<&Path>,
) -> Result<Vec<(Format, Destination)>> {
    let Some(path) = path else { return Ok(destinations) };
    let beside = |(_, other): &(Format, Destination)| matches!(other, Destination::File(other) if folder(other) == folder(path));
    check(path, destinations.iter().any(beside))?;
    check_name(Format::WeightsFile, path, &[])?;
    check_new("--weights-file", path, &destinations)?;
    destinations.push((Format::WeightsFile, Destination::File(path.to_owned())));
    Ok(destinations)
}

/// Fails if something else goes to that file already.
pub(super) fn check_new(place: &str, path: &Path, destinations: &[(Format, Destination)]) -> Result<()> {
    let is_same = |other: &Path| {
        other == path || same_place(other, path) || (same_file(other, path) && !is_special(path))
    };
    let taken =
        destinations.iter().any(|(_, other)| matches!(other, Destination::File(other) if is_same(other)));
    match taken {
        true => super::usage(place, format!("{} is written already, expected another file", path.display())),
        false => Ok(()),
    }
}

/// Whether both are one name in one folder, `net` and `./net`.
fn same_place(a: &Path, b: &Path) -> bool {
    a.file_name() == b.file_name() && same_file(folder(a), folder(b))
}

/// Standard output by one of its names.
fn is_stdout(path: &Path) -> bool {
    ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"].iter().any(|name| path == *name)
}

/// A device, a FIFO, a socket.
fn is_special(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| !metadata.is_file() && !metadata.is_dir())
}

/// A terminal is no place for code: it would take it for commands.
fn check_terminal(format: Format) -> Result<()> {
    if !format.is_text() && io::stdout().is_terminal() {
        let detail =
            format!("standard output is a terminal, expected a pipe or a file for {}", format.name());
        return super::usage("-o -", detail);
    }
    Ok(())
}

/// Files that are named in other files must have a name that can be written there.
fn check_name(format: Format, path: &Path, wanted: &[Format]) -> Result<()> {
    let is_named = format.needs_name() || wanted.iter().any(|other| other.needs_name());
    if !is_named || path.file_name().is_some_and(|name| name.to_str().is_some()) {
        return Ok(());
    }
    let detail = format!("found a name that is not UTF-8, which other files can't state ({})", format.name());
    super::fail(path, detail)
}

/// Files that speak of others need them.
fn check_company(wanted: &[Format]) -> Result<()> {
    const LIBRARIES: [Format; 3] = [Format::Staticlib, Format::Cdylib, Format::Obj];
    for format in [Format::Cmake, Format::PkgConfig].into_iter().filter(|format| wanted.contains(format)) {
        let has_library = wanted.iter().any(|other| LIBRARIES.contains(other));
        if !has_library || !wanted.contains(&Format::Header) {
            let place = format!("--emit {}", format.name());
            return super::usage(&place, "expected header and one of staticlib, cdylib, obj beside it");
        }
    }
    Ok(())
}

/// Whether the user means a folder: there is one, or the path ends like one.
fn is_folder(path: &Path) -> bool {
    path.is_dir() || path.to_string_lossy().ends_with(std::path::is_separator)
}

/// The last part of the path without what we would put around it. `mobilenet_v1_0.25` keeps its `.25`.
fn stem(path: &Path) -> OsString {
    const ENDINGS: [&str; 14] =
        ["o", "obj", "h", "py", "s", "clif", "exe", "json", "pc", "weights", "a", "lib", "so", "dylib"];
    let whole = path.file_name().unwrap_or_default();
    // Only names that are text have an ending of ours; others are kept as they are.
    let Some(name) = whole.to_str() else { return without_ending(path, &ENDINGS) };
    if let Some(name) = name.strip_suffix("Config.cmake").filter(|name| !name.is_empty()) {
        return name.into();
    }
    match name.rsplit_once('.') {
        Some((stem, "a" | "so" | "dylib")) => {
            let bare = stem.strip_prefix("lib").filter(|bare| !bare.is_empty());
            bare.unwrap_or(if stem.is_empty() { name } else { stem }).into()
        }
        Some((stem, ending)) if !stem.is_empty() && ENDINGS.contains(&ending) => stem.into(),
        _ => whole.to_owned(),
    }
}

fn without_ending(path: &Path, endings: &[&str]) -> OsString {
    let is_ours = path.extension().and_then(OsStr::to_str).is_some_and(|ending| endings.contains(&ending));
    let name = if is_ours { path.file_stem() } else { path.file_name() };
    name.unwrap_or_default().to_owned()
}

/// What can be known to fail before any work is done.
pub(super) fn check(path: &Path, makes_folder: bool) -> Result<()> {
    if path.is_dir() {
        return super::fail(path, "is a folder, expected the name of a file to write");
    }
    let folder = folder(path);
    if !folder.is_dir() && !makes_folder {
        return super::fail(path, format!("found no folder {}, expected it to exist", folder.display()));
    }
    Ok(())
}

/// Fails when a file to write is one that is read: one of these, or one that has been read.
pub(super) fn check_not_an_input(
    destinations: &[(Format, Destination)],
    others: &[&Path],
    inputs: &[&Path],
) -> Result<()> {
    let files = destinations.iter().filter_map(|(_, destination)| match destination {
        Destination::File(path) => Some(path.as_path()),
        Destination::Stdout => None,
    });
    for path in files.chain(others.iter().copied()) {
        if inputs.iter().any(|input| same_file(path, input)) {
            return super::usage("-o", format!("{} is an input, expected another file", path.display()));
        }
        files::check_not_read("-o", path)?;
    }
    Ok(())
}

/// Writes text to standard output.
pub(super) fn print(text: &str) -> Result<()> {
    print_bytes(text.as_bytes())
}

/// Writes to standard output. A reader that has had enough is no failure.
pub(super) fn print_bytes(bytes: &[u8]) -> Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Error::new(ErrorKind::Io, Place::named("standard output"), error.to_string()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn linux() -> Target {
        Target::new("x86_64-unknown-linux-gnu", None).unwrap()
    }

    fn check(formats: &[Format], output: Option<&str>, expected: &[&str]) {
        let found = destinations(formats, output.map(Path::new), "net", &linux()).unwrap();
        let found: Vec<String> = found
            .into_iter()
            .map(|(_, destination)| match destination {
                Destination::Stdout => "-".to_owned(),
                Destination::File(path) => path.display().to_string(),
            })
            .collect();
        assert_eq!(found, expected, "{formats:?} {output:?}");
    }

    #[test]
    #[cfg(unix)]
    fn names() {
        use Format::{Asm, Cdylib, Clif, Cmake, Exe, Header, Manifest, Obj, PkgConfig, Staticlib};
        check(&[Exe], None, &["net"]);
        check(&[Exe], Some("classify"), &["classify"]);
        check(&[Obj, Header, Obj], None, &["net.o", "net.h"]);
        check(&[Obj], Some("any.thing"), &["any.thing"]);
        check(&[Obj, Header], Some("any.o"), &["any.o", "any.h"]);
        check(&[Obj, Manifest], Some("any.json"), &["any.o", "any.json"]);
        check(&[Exe, Asm, Clif], Some("v1_0.25"), &["v1_0.25", "v1_0.25.s", "v1_0.25.clif"]);
        check(&[Header], Some("-"), &["-"]);
        check(&[Obj], Some("new/"), &["new/net.o"]);
        let all = [Obj, Staticlib, Cdylib, Header, Cmake, PkgConfig, Manifest];
        let names = ["net.o", "libnet.a", "libnet.so", "net.h", "netConfig.cmake", "net.pc", "net.json"];
        check(&all, Some("new/"), &names.map(|name| format!("new/{name}")).each_ref().map(String::as_str));
        check(&all, None, &names);
    }

    #[test]
    fn libraries_are_called_as_each_system_calls_them() {
        for (triple, expected) in [
            ("aarch64-apple-darwin", ["libnet.a", "libnet.dylib"]),
            ("x86_64-pc-windows-msvc", ["net.lib", "libnet.so"]),
        ] {
            let target = Target::new(triple, None).unwrap();
            let found =
                [Format::Staticlib, Format::Cdylib].map(|format| format.file_name("net".as_ref(), &target));
            assert_eq!(found, expected, "{triple}");
        }
    }

    #[test]
    fn a_package_needs_something_to_speak_of() {
        for formats in
            [&[Format::Cmake][..], &[Format::Header, Format::PkgConfig], &[Format::Obj, Format::Cmake]]
        {
            let error = destinations(formats, None, "net", &linux()).unwrap_err().to_string();
            assert!(
                error.ends_with("expected header and one of staticlib, cdylib, obj beside it"),
                "{error}"
            );
        }
    }

    #[test]
    fn standard_output_takes_one_text() {
        for formats in [&[Format::Manifest][..], &[Format::Cdylib], &[Format::Header, Format::Asm]] {
            let error = destinations(formats, Some(Path::new("-")), "net", &linux()).unwrap_err();
            assert_eq!(
                error.to_string(),
                "-o -: standard output takes one of --emit exe, obj, staticlib, header, asm, clif, or a dump"
            );
        }
        for name in ["-", "/dev/stdout", "/dev/fd/1"] {
            check(&[Format::Header], Some(name), &["-"]);
        }
    }

    /// Whatever of a set is named, the others are named alike.
    #[test]
    fn stems() {
        for (name, expected) in [
            ("net.o", "net"),
            ("net.json", "net"),
            ("net.pc", "net"),
            ("net.weights", "net"),
            ("netConfig.cmake", "net"),
            ("libnet.a", "net"),
            ("libnet.so", "net"),
            ("libnet.dylib", "net"),
            ("net.lib", "net"),
            ("v1_0.25", "v1_0.25"),
            ("lib.a", "lib"),
            (".o", ".o"),
            (".a", ".a"),
            ("Config.cmake", "Config.cmake"),
        ] {
            assert_eq!(stem(Path::new(name)), expected, "{name}");
        }
    }
}
