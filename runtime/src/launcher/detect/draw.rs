//! `--draw`: where each picture goes, and how it gets there.

use super::super::args::Options;
use super::super::inputs::Listing;
use super::super::picture::{Memory, Picture};
use super::super::weights;
use super::Box;
use super::paint::Canvas;
use crate::files::{self, Output};
use crate::info::Info;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// Where painted pictures go.
pub(super) enum Draw {
    /// The only picture, to a file.
    File(PathBuf),
    /// Each to a file of its name in a folder.
    Folder(PathBuf),
}

impl Draw {
    /// Checks what `--draw` says against the files of a run; none without it. The error is the line to show.
    pub(super) fn new(options: &Options, listing: &Listing, info: &Info) -> Result<Option<Draw>, String> {
        let Some(path) = &options.draw else { return Ok(None) };
        let shown = path.display();
        let draw = if path.is_dir() {
            Draw::Folder(path.clone())
        } else if path.as_os_str().to_string_lossy().ends_with(['/', std::path::MAIN_SEPARATOR]) {
            return Err(format!("--draw: found no folder {shown}, expected one that exists"));
        } else {
            let ending = path.extension().and_then(OsStr::to_str).unwrap_or("");
            if !ending.eq_ignore_ascii_case("png") {
                return Err(format!("--draw: found {shown}, expected a file that ends in .png, or a folder"));
            }
            if listing.files.len() != 1 {
                let n = listing.files.len();
                return Err(format!(
                    "--draw: found {n} files to paint and one name, {shown}, expected a folder"
                ));
            }
            Draw::File(path.clone())
        };
        let weights = info.weights_file.as_ref().and_then(|wanted| weights::find(None, wanted).ok());
        let program = std::env::current_exe().ok();
        let read: Vec<&Path> = (listing.files.iter().map(|file| file.path.as_path()))
            .chain(
                [&options.labels, &options.weights, &weights, &program]
                    .into_iter()
                    .flatten()
                    .map(PathBuf::as_path),
            )
            .collect();
        let mut targets: BTreeMap<PathBuf, &Path> = BTreeMap::new();
        for file in &listing.files {
            let target = draw.target(&file.path);
            if read.iter().any(|input| files::same_file(&target, input)) {
                let target = target.display();
                return Err(format!(
                    "--draw: {target} is an input, expected another place for {}",
                    file.path.display()
                ));
            }
            if let Some(other) = targets.get(&target) {
                let (file, other, target) = (file.path.display(), other.display(), target.display());
                return Err(format!(
                    "--draw: {other} and {file} would both be painted to {target}, expected one run for each"
                ));
            }
            targets.insert(target, &file.path);
        }
        Ok(Some(draw))
    }

    /// The file for a picture.
    fn target(&self, file: &Path) -> PathBuf {
        match self {
            Draw::File(path) => path.clone(),
            Draw::Folder(folder) => {
                let stem =
                    if file == "-" { OsStr::new("stdin") } else { file.file_stem().unwrap_or_default() };
                let mut name = stem.to_os_string();
                name.push(".png");
                folder.join(name)
            }
        }
    }

    /// Paints boxes on a picture and writes it, whole or not at all.
    pub(super) fn paint(
        &self,
        file: &Path,
        picture: Option<&Picture>,
        boxes: &[Box],
        most_memory: u64,
    ) -> Result<(), String> {
        let name = file.display();
        let Some(picture) = picture else {
            return Err(format!("{name}: found an input, expected a picture to paint on"));
        };
        let mut memory = Memory::new(most_memory);
        let painted = Canvas::of(picture, &mut memory).and_then(|mut canvas| {
            boxes.iter().rev().for_each(|found| canvas.paint(found));
            canvas.to_png(&mut memory)
        });
        let png = painted.map_err(|error| format!("{name}: found a picture to paint on, {error}"))?;
        let path = self.target(file);
        let output = Output { path: &path, bytes: &png, is_executable: false };
        files::write(output).map_err(|error| format!("{}: {error}, expected to write there", path.display()))
    }
}
