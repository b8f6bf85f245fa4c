//! `mnc inspect`: an object, library or executable -> what it holds, and whether it keeps its promises.

use std::path::{Path, PathBuf};

use mnc::Result;
use mnc::emit::manifest::{File, Manifest};
use mnc::inspect::{Promise, Report, inspect};
use serde::Serialize;

use super::fail;
use super::files::{self, Kind};
use super::output::print;
use super::text::{fold, numbers, size, table, thousands};

/// Proves what an object promises, from its bytes alone
///
/// Reads symbols, sections and relocations of an object, a shared library or an executable. Of x86-64 objects and libraries it
/// also walks through the machine code: every instruction that a call runs, every address that it reads or writes, the stack.
/// If a manifest (`mnc compile --emit manifest`) lies beside the file, the file must be the one that it names, byte for byte, and so
/// must the header and the other files of the set that lie beside it.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  mnc inspect net.o
  mnc inspect net/libnet.so --manifest net/net.json
  mnc inspect net.o --json | jq .stack_bytes

Exit code: 0; 1 if a promise is broken or the file can't be read; 2 if the
command line is wrong.")]
pub(super) struct Args {
    /// What `mnc compile` wrote: an object, a shared library, an executable
    file: PathBuf,
    /// The manifest that names the file [default: NAME.json beside it, if there is one that does]
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,
    /// One JSON document
    #[arg(long)]
    json: bool,
}

/// The report with what depends on files.
#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    file: String,
    sha256: &'a str,
    #[serde(flatten)]
    report: &'a Report,
    is_kept: bool,
}

pub(super) fn run(args: &Args) -> Result<()> {
    let bytes = files::read(&args.file, Kind::Artefact)?;
    let mut report = match inspect(&bytes) {
        Ok(report) => report,
        Err(error) => {
            let faults: Vec<String> = error.faults().iter().map(|fault| fault.detail.clone()).collect();
            return fail(&args.file, faults.join("; "));
        }
    };
    let name = args.file.file_name().unwrap_or_default().to_string_lossy();
    let content = File::new("", &name, &bytes);
    match_manifest(args, &mut report, &content)?;
    let is_kept = report.is_kept();
    print(&if args.json {
        let file = args.file.display().to_string();
        let document = Document { schema: 1, file, sha256: &content.sha256, report: &report, is_kept };
        serde_json::to_string_pretty(&document).expect("a report is numbers and strings") + "\n"
    } else {
        text(&report, &content)
    })?;
    if is_kept {
        return Ok(());
    }
    let broken = report.promises.iter().filter(|promise| promise.kept == Some(false));
    let broken: Vec<String> =
        broken.map(|promise| format!("{} ({})", promise.promise, promise.found)).collect();
    fail(&args.file, format!("broken: {}", broken.join("; ")))
}

/// Whether the file is the one that the manifest names, and so are the files of the set that lie beside it: a header of another
/// network has other sizes.
fn match_manifest(args: &Args, report: &mut Report, content: &File) -> Result<()> {
    const PROMISE: &str = "as its manifest says";
    let Some((path, manifest)) = find_manifest(args, report, &content.file)? else {
        let found = "no manifest beside the file".to_owned();
        report.promises.push(Promise { promise: PROMISE, kept: None, found });
        return Ok(());
    };
    let place = path.display();
    let named = manifest.outputs.iter().find(|output| output.file == content.file);
    let (kept, found) = match named {
        None => (false, format!("{place} doesn't name {}", content.file)),
        Some(output) if output.sha256 != content.sha256 => {
            (false, format!("SHA-256 {}, in {place} {}", content.sha256, output.sha256))
        }
        Some(_) => (true, format!("{place}, SHA-256 {}", content.sha256)),
    };
    let promise = if kept { PROMISE } else { "differs from its manifest" };
    report.promises.push(Promise { promise, kept: Some(kept), found });
    let others = manifest.outputs.iter().filter(|output| output.file != content.file);
    report.promises.extend(match_others(&args.file, others));
    Ok(())
}

/// The other files of a set, in the folder of the file.
fn match_others<'a>(file: &Path, others: impl Iterator<Item = &'a File>) -> Option<Promise> {
    let (mut same, mut faults, mut missing) = (Vec::new(), Vec::new(), Vec::new());
    for other in others {
        let path = file.with_file_name(&other.file);
        // A name is a name, no way to somewhere else.
        if Path::new(&other.file).file_name() != Some(other.file.as_ref()) {
            faults.push(format!("{:?} is no name of a file", other.file));
        } else if path.symlink_metadata().is_err() {
            missing.push(other.file.clone());
        } else {
            match files::read(&path, Kind::Artefact) {
                Ok(bytes) if File::new("", &other.file, &bytes).sha256 == other.sha256 => {
                    same.push(other.file.clone());
                }
                Ok(_) => faults.push(format!("{} differs from its manifest", other.file)),
                Err(_) => faults.push(format!("{} can't be read", other.file)),
            }
        }
    }
    let mut parts = faults.clone();
    if !same.is_empty() {
        parts.push(format!("as it says: {}", same.join(", ")));
    }
    if !missing.is_empty() {
        parts.push(format!("not beside it: {}", missing.join(", ")));
    }
    let kept = if faults.is_empty() { (!same.is_empty()).then_some(true) } else { Some(false) };
    let promise = Promise { promise: "the other files of its manifest", kept, found: parts.join("; ") };
    (!promise.found.is_empty()).then_some(promise)
}

/// The manifest that was asked for, or one beside the file that names it.
fn find_manifest(args: &Args, report: &Report, file: &str) -> Result<Option<(PathBuf, Manifest)>> {
    let read = |path: &Path| -> Result<Manifest> {
        let text = files::read(path, Kind::Manifest)?;
        Manifest::from_json(&text).or_else(|detail| fail(path, detail))
    };
    if let Some(path) = &args.manifest {
        return Ok(Some((path.clone(), read(path)?)));
    }
    let name = report.info.as_ref().map_or("", |info| info.name.as_str());
    let beside = [args.file.with_extension("json"), args.file.with_file_name(format!("{name}.json"))];
    for path in beside.into_iter().filter(|path| path.is_file()) {
        // Any JSON may lie there; only a manifest that speaks of this file is meant.
        if let Ok(manifest) = read(&path)
            && manifest.outputs.iter().any(|output| output.file == file)
        {
            return Ok(Some((path, manifest)));
        }
    }
    Ok(None)
}

fn text(report: &Report, content: &File) -> String {
    let mut text = format!("{} ({}, {})\n", content.file, report.format, size(content.bytes));
    let mut rows: Vec<[String; 2]> = Vec::new();
    let mut row = |name: &str, value: String| rows.push([format!("  {name}"), value]);
    if let Some(info) = &report.info {
        let alpha = numbers(&[info.alpha]);
        row("network", format!("{} {alpha}, called {}, by mnc {}", info.network, info.name, info.compiler));
        row("target", format!("{} ({}: {})", info.target, info.isa, info.cpu_features.join(", ")));
        let bytes = |bytes: u64| format!("{} bytes", thousands(bytes));
        row("weights", bytes(info.weight_bytes));
        row("workspace", bytes(info.workspace_bytes));
    }
    row("code", format!("{} bytes", thousands(report.code_bytes)));
    row("constants", format!("{} bytes", thousands(report.constant_bytes)));
    let relocations: Vec<String> =
        report.relocations.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    row("relocations", if relocations.is_empty() { "none".to_owned() } else { relocations.join(", ") });
    if let Some(bytes) = report.stack_bytes {
        row("stack", format!("{} bytes", thousands(bytes)));
    }
    let width = rows.iter().map(|[name, _]| name.len()).max().unwrap_or(0);
    let rows: String = rows.iter().map(|[name, value]| format!("{name:<width$}  {value}\n")).collect();
    text += &fold(&rows);
    if !report.walks.is_empty() {
        let rows = report.walks.iter().map(|walk| {
            let returns: Vec<String> = walk.returns.iter().map(i32::to_string).collect();
            vec![
                format!("  {}", walk.entry),
                thousands(walk.instructions),
                thousands(walk.accesses),
                thousands(walk.stack_bytes),
                returns.join(", "),
            ]
        });
        text.push('\n');
        text += &table(&["  entry", ">instructions", ">accesses", ">stack", "returns"], rows);
    }
    text.push('\n');
    for promise in &report.promises {
        let mark = match promise.kept {
            Some(true) => "kept   ",
            Some(false) => "BROKEN ",
            None => "-      ",
        };
        text += &fold(&format!("  {mark} {}: {}\n", promise.promise, promise.found));
    }
    text
}
