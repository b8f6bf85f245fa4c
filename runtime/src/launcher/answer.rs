//! Every file -> its answer, in order. What an answer is made of, and how it is shown, is the business of an [`Answers`].
//!
//! Where there are at least as many batches as threads, each thread takes whole batches ([`crew`]): reading a photograph takes
//! longer than a small network, and can't be shared. Otherwise the threads share each inference.

mod crew;

use super::args::Options;
use super::inputs::{Listed, Listing, Loaded, Loader};
use super::interrupt::Document;
use super::model::Model;
use super::picture::Memory;
use super::prepare::Prepare;
use super::{Stop, bench, refused, tell};
use crate::abi::Status;
use crew::Crew;
use indicatif::{ProgressBar, ProgressStyle};
use std::ffi::c_int;
use std::io::{self, IsTerminal};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Who makes answers of outputs.
pub(crate) trait Answers {
    /// Takes what was loaded into a place of the batch.
    fn take(&mut self, place: usize, file: &Path, loaded: Loaded);
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
        tell(format_args!("{program}: the weights are random (seed {seed}): the answers mean nothing\n"));
    }
    let document = Document::new(options.json);
    let Listing { files, notes } = listing;
    notes.iter().for_each(|note| tell(format_args!("{program}: {note}\n")));
    let mut progress = Progress::new(files.len());
    let mut code = 0;
    let output_len = model.output().len() / info.batch;
    let loader = Loader { prepare, keeps: options.draw.is_some() };
    let work = Arc::new(Work { files, batch: info.batch, loader, most_memory: options.most_memory });
    let crew = Crew::start(&model, &work);
    for idx in 0..work.n_batches() {
        let files = work.files_of(idx);
        let done = match &crew {
            Some(crew) => crew.wait_for_next(),
            None => work.answer(&mut model, idx, || Memory::new(options.most_memory)),
        };
        let Done { loaded, outputs, milliseconds } = done.map_err(|status| refused(status, &info))?;
        let mut outputs = outputs.chunks_exact(output_len).enumerate();
        for (file, loaded) in files.iter().zip(loaded) {
            let name = file.path.to_string_lossy();
            match loaded {
                Err(fault) => {
                    code = 1;
                    progress.hide(|| tell(format_args!("{program}: {name}: {fault}\n")));
                    progress.hide(|| document.element(|| answers.fault(&name, &fault)))?;
                }
                Ok(loaded) => {
                    let Some((place, output)) = outputs.next() else { continue };
                    answers.take(place, &file.path, loaded);
                    progress
                        .hide(|| document.element(|| answers.answer(place, &name, output, milliseconds)))?;
                    if let Err(fault) = answers.after(place) {
                        code = 1;
                        progress.hide(|| tell(format_args!("{program}: {fault}\n")));
                    }
                }
            }
        }
        if let Some(crew) = &crew {
            crew.advance();
        }
        progress.advance(files.len());
    }
    document.last(|| answers.finish())?;
    Ok(code)
}

/// What there is to do, a batch at a time.
#[derive(Debug)]
struct Work {
    files: Vec<Listed>,
    /// Files of a batch.
    batch: usize,
    loader: Loader,
    most_memory: u64,
}

/// A batch that the network has seen.
#[derive(Debug)]
struct Done {
    /// Of each file what it was, or its fault.
    loaded: Vec<Result<Loaded, String>>,
    /// Of those that aren't at fault.
    outputs: Vec<f32>,
    /// For each of them.
    milliseconds: f64,
}

impl Work {
    fn n_batches(&self) -> usize {
        self.files.len().div_ceil(self.batch)
    }

    fn files_of(&self, batch_idx: usize) -> &[Listed] {
        let start = batch_idx * self.batch;
        &self.files[start..(start + self.batch).min(self.files.len())]
    }

    /// Loads a batch, a file at a time, and runs the network on it.
    fn answer(
        &self,
        model: &mut Model,
        batch_idx: usize,
        memory: impl Fn() -> Memory,
    ) -> Result<Done, Status> {
        let input_len = model.info.input.len();
        let output_len = model.output().len() / self.batch;
        let mut n_loaded = 0;
        let load = |Listed { path, fault }: &Listed| {
            // The next place of the batch; those behind the last hold what they held, and nobody asks for their answers.
            let input = &mut model.input[n_loaded * input_len..][..input_len];
            let loaded = match fault {
                Some(fault) => Err(fault.clone()),
                None => self.loader.load(path, input, memory()),
            };
            n_loaded += usize::from(loaded.is_ok());
            loaded
        };
        let loaded = self.files_of(batch_idx).iter().map(load).collect();
        let mut milliseconds = 0.0;
        if n_loaded != 0 {
            milliseconds = bench::to_ms(bench::timed(model)?) / n_loaded as f64;
        }
        let outputs = model.output()[..n_loaded * output_len].to_vec();
        Ok(Done { loaded, outputs, milliseconds })
    }
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
