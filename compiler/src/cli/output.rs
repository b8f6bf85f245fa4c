//! What is written and where: formats, file names, whole files or nothing.

use std::env::consts::EXE_EXTENSION;
use std::fs::Permissions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use mnc::target::ObjectFormat;
use mnc::{Error, ErrorKind, Result, Target};

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

    /// The name of its file, as the target's tools look for it.
    fn file_name(self, stem: &str, target: &Target) -> String {
        let object_format = target.object_format();
        match self {
            Format::Exe if EXE_EXTENSION.is_empty() => stem.to_owned(),
            Format::Exe => format!("{stem}.{EXE_EXTENSION}"),
            Format::Obj => format!("{stem}.o"),
            Format::Staticlib if object_format == ObjectFormat::Coff => format!("{stem}.lib"),
            Format::Staticlib => format!("lib{stem}.a"),
            Format::Cdylib if object_format == ObjectFormat::MachO => format!("lib{stem}.dylib"),
            Format::Cdylib => format!("lib{stem}.so"),
            Format::Header => format!("{stem}.h"),
            Format::Cmake => format!("{stem}Config.cmake"),
            Format::PkgConfig => format!("{stem}.pc"),
            Format::Python => format!("{stem}.py"),
            Format::Manifest => format!("{stem}.json"),
            Format::WeightsFile => format!("{stem}.weights"),
            Format::Asm => format!("{stem}.s"),
            Format::Clif => format!("{stem}.clif"),
        }
    }

    /// Whether its file may be run.
    pub(super) fn is_executable(self) -> bool {
        matches!(self, Format::Exe | Format::Cdylib)
    }

    fn is_text(self) -> bool {
        match self {
            Format::Exe | Format::Obj | Format::Staticlib | Format::Cdylib => false,
            // These speak of files, or are one that others speak of.
            Format::Cmake | Format::PkgConfig | Format::Python | Format::Manifest | Format::WeightsFile => {
                false
            }
            Format::Header | Format::Asm | Format::Clif => true,
        }
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
    if output.is_some_and(|output| output == "-") {
        return match wanted.as_slice() {
            [format] if format.is_text() => Ok(vec![(*format, Destination::Stdout)]),
            _ => super::usage("-o -", "standard output takes one of --emit header, asm, clif, or a dump"),
        };
    }
    check_company(&wanted)?;
    let file = |format: Format| match output {
        Some(folder) if is_folder(folder) => folder.join(format.file_name(name, target)),
        Some(output) if wanted.len() == 1 => output.to_owned(),
        Some(output) => output.with_file_name(format.file_name(&stem(output), target)),
        None => format.file_name(name, target).into(),
    };
    let destinations: Vec<_> =
        wanted.iter().map(|format| (*format, Destination::File(file(*format)))).collect();
    for (_, destination) in &destinations {
        if let Destination::File(path) = destination {
            check(path, output.is_some_and(is_folder))?;
        }
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
    let file = Destination::File(path.to_owned());
    if destinations.iter().any(|(_, other)| *other == file) {
        return super::usage(
            "--weights-file",
            format!("{} is written already, expected another file", path.display()),
        );
    }
    destinations.push((Format::WeightsFile, file));
    Ok(destinations)
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

/// The last part of the path without an extension of ours. `mobilenet_v1_0.25` keeps its `.25`.
fn stem(path: &Path) -> String {
    let is_ours = |extension: &str| ["o", "obj", "h", "py", "s", "clif", "exe"].contains(&extension);
    let name = match path.extension().and_then(|extension| extension.to_str()) {
        Some(extension) if is_ours(extension) => path.file_stem(),
        _ => path.file_name(),
    };
    name.map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}

/// What can be known to fail before any work is done.
fn check(path: &Path, makes_folder: bool) -> Result<()> {
    if path.is_dir() {
        return super::fail(path, "is a folder, expected the name of a file to write");
    }
    let folder = folder(path);
    if !folder.is_dir() && !makes_folder {
        return super::fail(path, format!("found no folder {}, expected it to exist", folder.display()));
    }
    Ok(())
}

/// Fails when a file to write is one that was read.
pub(super) fn check_not_an_input(destinations: &[(Format, Destination)], inputs: &[&Path]) -> Result<()> {
    let same = |a: &Path, b: &Path| matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b);
    for (_, destination) in destinations {
        if let Destination::File(path) = destination
            && inputs.iter().any(|input| same(path, input))
        {
            return super::usage("-o", format!("{} is an input, expected another file", path.display()));
        }
    }
    Ok(())
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Writes a whole file or nothing: to a temporary one beside it, which is then renamed.
pub(super) fn write(path: &Path, bytes: &[u8], is_executable: bool) -> Result<()> {
    let write = || -> io::Result<()> {
        // Only `-o FOLDER/` names one that isn't there.
        std::fs::create_dir_all(folder(path))?;
        let mut builder = tempfile::Builder::new();
        builder.prefix(".mnc-");
        let permissions = permissions(is_executable);
        if let Some(permissions) = permissions {
            builder.permissions(permissions);
        }
        let mut file = builder.tempfile_in(folder(path))?;
        file.write_all(bytes)?;
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    };
    write().map_err(|error| {
        Error::new(ErrorKind::Io, path.display().to_string(), format!("{error}, expected to write it"))
    })
}

/// Those of a new file; the process's mask is applied to them.
#[cfg(unix)]
fn permissions(is_executable: bool) -> Option<Permissions> {
    use std::os::unix::fs::PermissionsExt;
    Some(Permissions::from_mode(if is_executable { 0o777 } else { 0o666 }))
}

#[cfg(not(unix))]
fn permissions(_: bool) -> Option<Permissions> {
    None
}

/// Writes to standard output. A reader that has had enough is no failure.
pub(super) fn print(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Error::new(ErrorKind::Io, "standard output", error.to_string()))
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
            let found = [Format::Staticlib, Format::Cdylib].map(|format| format.file_name("net", &target));
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
        for formats in [&[Format::Obj][..], &[Format::Header, Format::Asm]] {
            let error = destinations(formats, Some(Path::new("-")), "net", &linux()).unwrap_err();
            assert_eq!(
                error.to_string(),
                "-o -: standard output takes one of --emit header, asm, clif, or a dump"
            );
        }
    }
}
