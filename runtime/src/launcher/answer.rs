//! Every file -> its answer, in order. What an answer is made of, and how it is shown, is the business of an [`Answers`].

use super::args::Options;
use super::inputs::{self, Listed, Listing};
use super::interrupt::Document;
use super::model::Model;
use super::picture::Picture;
use super::prepare::Prepare;
use super::{Stop, bench, refused};
use indicatif::{ProgressBar, ProgressStyle};
use std::ffi::c_int;
use std::io::{self, IsTerminal};
use std::path::Path;
use std::time::{Duration, Instant};

/// Who makes answers of outputs.
pub(crate) trait Answers {
    /// Takes the picture whose input lies in a place of the batch; none if the file holds an input.
    fn take(&mut self, place: usize, file: &Path, picture: Option<Picture>);
    /// Writes the answer of the file whose input lay there, all of it.
    fn answer(&mut self, place: usize, file: &str, output: &[f32], milliseconds: f64) -> io::Result<()>;
    /// Does what comes after an answer. The error is the line to show.
    fn after(&mut self, place: usize) -> Result<(), String>;
    /// Notes a file that has no answer; people are told elsewhere.
    fn fault(&mut self, file: &str, error: &str) -> io::Result<()>;
    /// Ends the document.
    fn finish(self) -> io::Result<()>;
}

/// Answers for every file, and returns the exit code.
pub(crate) fn all(
    program: &str,
    options: &Options,
    mut model: Model,
    listing: Listing,
    mut answers: impl Answers,
) -> Result<c_int, Stop> {
    let prepare = Prepare::new(&model.info).map_err(Stop::Failed)?;
    let info = model.info.clone();
    if let Some(seed) = info.random_weights {
        eprintln!("{program}: the weights are random (seed {seed}): the answers mean nothing");
    }
    let document = Document::new(options.json);
    let Listing { files, notes } = listing;
    notes.iter().for_each(|note| eprintln!("{program}: {note}"));
    let mut progress = Progress::new(files.len());
    let mut code = 0;
    let (input_len, output_len) = (info.input.len(), model.output().len() / info.batch);
    for files in files.chunks(info.batch) {
        let mut n_loaded = 0;
        let mut faults = Vec::with_capacity(files.len());
        for Listed { path, fault } in files {
            // The next place of the batch; those behind the last hold what they held, and nobody asks for their answers.
            let input = &mut model.input[n_loaded * input_len..][..input_len];
            let fault = match fault {
                Some(fault) => Some(fault.clone()),
                None => match inputs::load(path, &prepare, input, options.most_memory) {
                    Ok(picture) => {
                        answers.take(n_loaded, path, picture);
                        n_loaded += 1;
                        None
                    }
                    Err(fault) => Some(fault),
                },
            };
            faults.push(fault);
        }
        let mut milliseconds = 0.0;
        if n_loaded != 0 {
            let latency = bench::timed(&mut model).map_err(|status| refused(status, &info))?;
            milliseconds = bench::to_ms(latency) / n_loaded as f64;
        }
        let mut outputs = model.output().chunks_exact(output_len).enumerate();
        for (file, fault) in files.iter().zip(faults) {
            let name = file.path.to_string_lossy();
            if let Some(fault) = fault {
                code = 1;
                progress.hide(|| eprintln!("{program}: {name}: {fault}"));
                progress.hide(|| document.element(|| answers.fault(&name, &fault)))?;
            } else if let Some((place, output)) = outputs.next() {
                progress.hide(|| document.element(|| answers.answer(place, &name, output, milliseconds)))?;
                if let Err(fault) = answers.after(place) {
                    code = 1;
                    progress.hide(|| eprintln!("{program}: {fault}"));
                }
            }
        }
        progress.advance(files.len());
    }
    document.last(|| answers.finish())?;
    Ok(code)
}

/// A bar on standard error, for a person who would otherwise wait without a sign.
struct Progress {
    started: Instant,
    n_files: usize,
    n_done: usize,
    bar: Option<ProgressBar>,
}

impl Progress {
    fn new(n_files: usize) -> Progress {
        Progress { started: Instant::now(), n_files, n_done: 0, bar: None }
    }

    fn advance(&mut self, n_files: usize) {
        self.n_done += n_files;
        let is_long = Duration::from_millis(500) < self.started.elapsed() && self.n_done < self.n_files;
        if self.bar.is_none() && is_long && io::stderr().is_terminal() {
            let style = ProgressStyle::with_template("{bar:30} {pos}/{len} files, {eta} left");
            let bar = ProgressBar::new(self.n_files as u64);
            self.bar = Some(bar.with_style(style.expect("the template is ours and well formed")));
        }
        if let Some(bar) = &self.bar {
            bar.set_position(self.n_done as u64);
        }
    }

    /// Takes the bar out of the way of what `write` writes.
    fn hide<T>(&self, write: impl FnOnce() -> T) -> T {
        match &self.bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
