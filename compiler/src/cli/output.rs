//! What is written and where: formats, file names, whole files or nothing.

use std::ffi::OsString;
use std::fs::Permissions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use mnc::{Error, ErrorKind, Result};

/// What a network can be compiled to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// Executable that classifies images
    Exe,
    /// Relocatable object with the C interface
    Obj,
    /// C header of that object
    Header,
    /// Disassembly, for reading
    Asm,
    /// Cranelift IR, for reading
    Clif,
}

impl Format {
    fn extension(self) -> &'static str {
        match self {
            Format::Exe => std::env::consts::EXE_EXTENSION,
            Format::Obj => "o",
            Format::Header => "h",
            Format::Asm => "s",
            Format::Clif => "clif",
        }
    }

    fn is_text(self) -> bool {
        match self {
            Format::Exe | Format::Obj => false,
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

/// Each format with its destination, in the order in which they were asked for. `name` is what files are called without `-o`.
pub(super) fn destinations(
    formats: &[Format],
    output: Option<&Path>,
    name: &str,
) -> Result<Vec<(Format, Destination)>> {
    let mut wanted: Vec<Format> = Vec::new();
    formats.iter().for_each(|format| {
        if !wanted.contains(format) {
            wanted.push(*format);
        }
    });
    if output.is_some_and(|output| output == "-") {
        return match wanted.as_slice() {
            [format] if format.is_text() => Ok(vec![(*format, Destination::Stdout)]),
            _ => super::usage("-o -", "standard output takes one of --emit header, asm, clif, or a dump"),
        };
    }
    let file = |format: Format| match output {
        Some(output) if wanted.len() == 1 => output.to_owned(),
        Some(output) => with_extension(stem(output), format),
        None => with_extension(Path::new(name).as_os_str().to_owned(), format),
    };
    let destinations: Vec<_> =
        wanted.iter().map(|format| (*format, Destination::File(file(*format)))).collect();
    for (_, destination) in &destinations {
        if let Destination::File(path) = destination {
            check(path)?;
        }
    }
    Ok(destinations)
}

/// The path without an extension of ours. `mobilenet_v1_0.25` keeps its `.25`.
fn stem(path: &Path) -> OsString {
    let is_ours = |extension: &str| ["o", "obj", "h", "s", "clif", "exe"].contains(&extension);
    match path.extension().and_then(|extension| extension.to_str()) {
        Some(extension) if is_ours(extension) => path.with_extension("").into_os_string(),
        _ => path.as_os_str().to_owned(),
    }
}

fn with_extension(mut stem: OsString, format: Format) -> PathBuf {
    if !format.extension().is_empty() {
        stem.push(".");
        stem.push(format.extension());
    }
    stem.into()
}

/// What can be known to fail before any work is done.
fn check(path: &Path) -> Result<()> {
    if path.is_dir() {
        return super::fail(path, "is a folder, expected the name of a file to write");
    }
    let folder = folder(path);
    if !folder.is_dir() {
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

    fn check(formats: &[Format], output: Option<&str>, expected: &[&str]) {
        let found = destinations(formats, output.map(Path::new), "net").unwrap();
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
        use Format::{Asm, Clif, Exe, Header, Obj};
        check(&[Exe], None, &["net"]);
        check(&[Exe], Some("classify"), &["classify"]);
        check(&[Obj, Header, Obj], None, &["net.o", "net.h"]);
        check(&[Obj], Some("any.thing"), &["any.thing"]);
        check(&[Obj, Header], Some("any.o"), &["any.o", "any.h"]);
        check(&[Exe, Asm, Clif], Some("v1_0.25"), &["v1_0.25", "v1_0.25.s", "v1_0.25.clif"]);
        check(&[Header], Some("-"), &["-"]);
    }

    #[test]
    fn standard_output_takes_one_text() {
        for formats in [&[Format::Obj][..], &[Format::Header, Format::Asm]] {
            let error = destinations(formats, Some(Path::new("-")), "net").unwrap_err();
            assert_eq!(
                error.to_string(),
                "-o -: standard output takes one of --emit header, asm, clif, or a dump"
            );
        }
    }
}
