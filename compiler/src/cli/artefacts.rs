//! Formats -> bytes: everything that is written, made before anything is written.

use mnc::cost::Report;
use mnc::emit::archive::archive;
use mnc::emit::manifest::{File, Manifest, Origin};
use mnc::emit::object::FunctionText;
use mnc::emit::package::Package;
use mnc::{Compiled, Result, Target};

use super::files::{self, Output};
use super::link::{self, Program};
use super::output::{self, Destination, Format};

/// A file, or a text for standard output.
pub(super) struct Artefact {
    pub(super) format: Format,
    pub(super) destination: Destination,
    pub(super) bytes: Vec<u8>,
}

/// What formats are made with.
pub(super) struct Tools {
    /// The program around an executable's network, where an executable is asked for.
    pub(super) program: Option<Program>,
    /// Whether to show the linker's command.
    pub(super) verbose: bool,
}

/// Makes every format. `origin` is asked for only if a manifest is among them, which hashes all the others.
pub(super) fn make(
    compiled: &Compiled,
    outputs: &[(Format, Destination)],
    tools: &Tools,
    origin: impl FnOnce() -> Result<Origin>,
) -> Result<Vec<Artefact>> {
    let needs_object = |(format, _): &(Format, Destination)| {
        [Format::Obj, Format::Staticlib, Format::Cdylib].contains(format)
    };
    let object = if outputs.iter().any(needs_object) { compiled.object()? } else { Vec::new() };
    let mut artefacts: Vec<Artefact> = Vec::with_capacity(outputs.len());
    let mut origin = Some(origin);
    // The manifest, which speaks of all the others, comes last.
    let (last, first): (Vec<_>, Vec<_>) = outputs.iter().partition(|(format, _)| *format == Format::Manifest);
    for (format, destination) in first.into_iter().chain(last) {
        let bytes = match format {
            Format::Exe => {
                let program = tools.program.expect("an executable's program was found before");
                link::link(&compiled.executable_object()?, program, tools.verbose)?
            }
            Format::Obj => object.clone(),
            Format::Staticlib => archive(&object, &format!("{}.o", compiled.info.name), &compiled.target)?,
            Format::Cdylib if outputs.iter().any(|(format, _)| *format == Format::Python) => {
                let (name, file) = (&compiled.info.name, destination.file_name());
                link::python_library(&object, name, &file, &compiled.target, tools.verbose)?
            }
            Format::Cdylib => {
                link::shared(&object, &destination.file_name(), &compiled.target, tools.verbose)?
            }
            Format::Header => compiled.header().into_bytes(),
            Format::WeightsFile => compiled.weights_file().expect("the network has been given one"),
            Format::Cmake => package(compiled, outputs, |package| package.cmake()),
            Format::PkgConfig => package(compiled, outputs, |package| package.pkg_config()),
            Format::Python => python(compiled, outputs),
            Format::Manifest => {
                let origin = origin.take().expect("a format is made once")()?;
                let file = |made: &Artefact| {
                    File::new(made.format.name(), &made.destination.file_name(), &made.bytes)
                };
                let outputs = artefacts.iter().map(file).collect();
                let total = Report::of(&compiled.graph).total;
                Manifest::new(&compiled.info, &total, origin, outputs).to_json().into_bytes()
            }
            Format::Asm => listing(compiled, |function| function.assembly)?.into_bytes(),
            Format::Clif => {
                let text = |function: FunctionText| function.clif.unwrap_or_else(|| NO_CLIF.to_owned());
                listing(compiled, text)?.into_bytes()
            }
        };
        artefacts.push(Artefact { format: *format, destination: destination.clone(), bytes });
    }
    Ok(artefacts)
}

/// Writes all of them, or none. Who finds the header or the manifest finds what they speak of: these get their names last.
pub(super) fn write(artefacts: &[Artefact]) -> Result<()> {
    let mut files: Vec<(Format, Output<'_>)> = Vec::new();
    for Artefact { format, destination, bytes } in artefacts {
        match destination {
            Destination::Stdout => {}
            Destination::File(path) => {
                files.push((*format, Output { path, bytes, is_executable: format.is_executable() }));
            }
        }
    }
    files.sort_by_key(|(format, _)| match format {
        Format::Manifest => 2,
        Format::Header => 1,
        _ => 0,
    });
    files::write_set(&files.into_iter().map(|(_, file)| file).collect::<Vec<_>>())?;
    let texts = artefacts.iter().filter(|made| made.destination == Destination::Stdout);
    texts.into_iter().try_for_each(|made| output::print_bytes(&made.bytes))
}

/// A text that speaks of the files beside it.
fn package(
    compiled: &Compiled,
    outputs: &[(Format, Destination)],
    text: impl Fn(Package<'_>) -> String,
) -> Vec<u8> {
    let name = |wanted: Format| {
        let found = outputs.iter().find(|(format, _)| *format == wanted);
        found.map(|(_, destination)| destination.file_name())
    };
    let [object, staticlib, cdylib] = [Format::Obj, Format::Staticlib, Format::Cdylib].map(name);
    text(Package {
        info: &compiled.info,
        object: object.as_deref(),
        staticlib: staticlib.as_deref(),
        cdylib: cdylib.as_deref(),
    })
    .into_bytes()
}

/// The module over the shared library beside it.
fn python(compiled: &Compiled, outputs: &[(Format, Destination)]) -> Vec<u8> {
    let library = outputs.iter().find(|(format, _)| *format == Format::Cdylib);
    let (_, library) = library.expect("the company of formats has been checked");
    mnc::emit::python::module(&compiled.info, &library.file_name()).into_bytes()
}

/// In place of the IR of a function that was written as machine code.
const NO_CLIF: &str = "; machine code, without Cranelift IR: --emit asm shows it";

/// Every function under a line with its symbol and layers.
fn listing(compiled: &Compiled, text: impl Fn(FunctionText) -> String) -> Result<String> {
    let mut listing =
        format!("; @generated by mnc {}: {}\n", compiled.info.compiler, title(compiled, &compiled.target));
    for function in compiled.texts()? {
        let layers = if function.layers.is_empty() {
            String::new()
        } else {
            format!(": {}", function.layers.join(", "))
        };
        listing += &format!("\n; {}{layers}\n", function.symbol);
        listing += text(function).trim_end();
        listing.push('\n');
    }
    Ok(listing)
}

fn title(compiled: &Compiled, target: &Target) -> String {
    format!(
        "network {}, alpha {}, input {}, target {target}",
        compiled.info.network, compiled.info.alpha, compiled.program.input
    )
}
