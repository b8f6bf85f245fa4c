//! What a detector's program does otherwise: outputs -> boxes in the picture, shown and painted.
//!
//! Only the object of a detector refers to [`DETECTING`] (`abi::ModelAbi::detecting`), so that a linker leaves all of this out of
//! the programs of other networks.

mod draw;
mod font;
mod paint;
#[cfg(test)]
mod tests;

use super::Stop;
use super::answer::{self, Answers};
use super::args::{self, Options};
use super::inputs::{self, Listing, Loaded};
use super::model::Model;
use super::prepare::{Prepare, Seen};
use super::report::{Parts, end, separator, write_fault};
use super::resize::Window;
use crate::detect::Found;
use crate::info::{Detect, Info};
use draw::Draw;
use serde::Serialize;
use std::ffi::c_int;
use std::io::{self, BufWriter, StdoutLock, Write};
use std::path::Path;

/// The functions by which the program's other modules reach this one.
pub(crate) struct Detecting {
    /// The text of `--help`, for a program and what it does.
    pub(crate) help: fn(&str, &str) -> String,
    /// How many names of classes there are.
    pub(crate) n_classes: fn(&[u8]) -> Result<usize, String>,
    /// What `--info` says of answers.
    pub(crate) answers: fn(&[u8]) -> Result<String, String>,
    /// Answers for every file.
    pub(crate) find: fn(&str, &Options, Model, BufWriter<StdoutLock<'static>>) -> Result<c_int, Stop>,
}

/// They.
pub(crate) static DETECTING: Detecting = Detecting { help: args::help_of_detector, n_classes, answers, find };

/// The detector of a network's description.
fn read(json: &[u8]) -> Result<Detect, String> {
    Detect::from_json(json)?.ok_or_else(|| "network description: found no `detect`, expected one".to_string())
}

fn n_classes(json: &[u8]) -> Result<usize, String> {
    Ok(read(json)?.rule.n_classes)
}

fn answers(json: &[u8]) -> Result<String, String> {
    let Detect { rule, maps } = read(json)?;
    let n_priors: usize = maps.iter().map(|map| map.n_priors()).sum();
    Ok(format!("boxes with a score above {}, by {n_priors} priors", rule.threshold))
}

fn find(
    program: &str,
    options: &Options,
    model: Model,
    out: BufWriter<StdoutLock<'static>>,
) -> Result<c_int, Stop> {
    let info = model.info.clone();
    let listing = inputs::list(&options.inputs);
    let boxes = Boxes::new(options, &info, (model.info_json(), &listing), out)?;
    answer::all(program, options, model, listing, boxes)
}

/// Makes and shows the boxes of each picture.
pub(super) struct Boxes<'a, W: Write> {
    out: W,
    options: &'a Options,
    info: &'a Info,
    detect: Detect,
    prepare: Prepare,
    draw: Option<Draw>,
    /// Memory for candidates.
    found: Vec<Found>,
    /// What lies in each place of the batch.
    places: Vec<Option<Place>>,
    n_answers: usize,
}

/// A picture on its way.
struct Place {
    /// Columns and rows of the upright picture, or of the input where there is none.
    size: (usize, usize),
    /// What of the picture the network sees, along each.
    seen: (Seen, Seen),
    /// With the picture to be painted on, if there is one.
    loaded: Loaded,
    boxes: Vec<Box>,
    file: std::path::PathBuf,
}

/// A box in pixels of the upright picture.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Box {
    index: usize,
    label: Option<String>,
    score: f64,
    left: f64,
    top: f64,
    right: f64,
    bottom: f64,
    prior: usize,
}

/// The answer for one file, as it is in JSON.
#[derive(Serialize)]
struct Answer<'a> {
    file: &'a str,
    width: usize,
    height: usize,
    boxes: &'a [Box],
    /// Every output, when they were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    outputs: Option<Parts<'a>>,
    milliseconds: f64,
    /// The seed of weights that were drawn at random.
    #[serde(skip_serializing_if = "Option::is_none")]
    random_weights: Option<u64>,
}

impl<'a, W: Write> Boxes<'a, W> {
    pub(super) fn new(
        options: &'a Options,
        info: &'a Info,
        (json, listing): (&[u8], &Listing),
        out: W,
    ) -> Result<Boxes<'a, W>, Stop> {
        let detect = read(json).map_err(Stop::Failed)?;
        let draw = Draw::new(options, listing, info).map_err(Stop::Usage)?;
        let found = vec![Found::default(); detect.rule.candidates];
        let places = (0..info.batch).map(|_| None).collect();
        let prepare = Prepare::new(info).map_err(Stop::Failed)?;
        Ok(Boxes { out, options, info, detect, prepare, draw, found, places, n_answers: 0 })
    }

    /// The boxes of an output in a picture, those outside of it left out.
    fn boxes(&mut self, output: &[f32], size: (usize, usize), seen: (Seen, Seen)) -> Vec<Box> {
        let found = self.detect.detector().boxes(output, &mut self.found);
        let labels = &self.info.labels;
        let across = |edge| in_picture(edge, seen.0, size.0);
        let down = |edge| in_picture(edge, seen.1, size.1);
        let boxes = found.iter().map(|found| Box {
            index: found.class,
            label: labels.get(found.class).cloned(),
            score: found.score,
            left: across(found.left),
            top: down(found.top),
            right: across(found.right),
            bottom: down(found.bottom),
            prior: found.prior,
        });
        let boxes = boxes.filter(|found| found.left < found.right && found.top < found.bottom);
        boxes.take(self.options.top.unwrap_or(usize::MAX)).collect()
    }
}

/// An edge in pixels of a picture of that size, of which the network has seen a window; not beyond the picture's edges.
fn in_picture(edge: f64, seen: Seen, size: usize) -> f64 {
    let Seen { window: Window { full, start, .. }, before, len } = seen;
    let size = size as f64;
    let pixels = (edge * len as f64 + (start as f64 - before as f64)) * size / full as f64;
    pixels.clamp(0.0, size)
}

impl<W: Write> Answers for Boxes<'_, W> {
    fn take(&mut self, place: usize, file: &Path, loaded: Loaded) {
        let input = self.info.input;
        let (size, seen) = match loaded.size {
            Some(size) => (size, self.prepare.seen(size)),
            None => ((input.width, input.height), (Seen::whole(input.width), Seen::whole(input.height))),
        };
        self.places[place] = Some(Place { size, seen, loaded, boxes: Vec::new(), file: file.to_owned() });
    }

    fn answer(&mut self, place: usize, file: &str, output: &[f32], milliseconds: f64) -> io::Result<()> {
        let Some(Place { size, seen, .. }) = self.places[place] else { return Ok(()) };
        let boxes = self.boxes(output, size, seen);
        let is_first = self.n_answers == 0;
        self.n_answers += 1;
        let (info, options, out) = (self.info, self.options, &mut self.out);
        let parts = &info.output.parts;
        if options.json {
            let answer = Answer {
                file,
                width: size.0,
                height: size.1,
                boxes: &boxes,
                outputs: options.raw.then_some(Parts { parts, output }),
                milliseconds,
                random_weights: info.random_weights,
            };
            out.write_all(separator(is_first))?;
            serde_json::to_writer(&mut *out, &answer)?;
        } else {
            writeln!(out, "{}{file}", if is_first { "" } else { "\n" })?;
            if options.raw {
                Parts { parts, output }.write(out)?;
            } else {
                write_boxes(&boxes, out)?;
            }
        }
        out.flush()?;
        if let Some(place) = &mut self.places[place] {
            place.boxes = boxes;
        }
        Ok(())
    }

    fn after(&mut self, place: usize) -> Result<(), String> {
        match (self.places[place].take(), &self.draw) {
            (Some(Place { loaded, boxes, file, .. }), Some(draw)) => {
                draw.paint(&file, loaded.picture.as_ref(), &boxes, self.options.most_memory)
            }
            _ => Ok(()),
        }
    }

    fn fault(&mut self, file: &str, error: &str) -> io::Result<()> {
        if !self.options.json {
            return Ok(());
        }
        self.n_answers += 1;
        write_fault(&mut self.out, self.n_answers == 1, (file, error))
    }

    fn finish(mut self) -> io::Result<()> {
        if self.options.json {
            self.out.write_all(end(self.n_answers))?;
        }
        self.out.flush()
    }
}

/// Boxes for people: score, label, and the pixels of two corners.
fn write_boxes(boxes: &[Box], out: &mut impl Write) -> io::Result<()> {
    if boxes.is_empty() {
        writeln!(out, "  nothing found")?;
    }
    for Box { index, label, score, left, top, right, bottom, .. } in boxes {
        match label {
            Some(label) => write!(out, "  {score:.4}  {label}  ({index})")?,
            None => write!(out, "  {score:.4}  class {index}")?,
        }
        writeln!(out, "  from {left:.1}, {top:.1} to {right:.1}, {bottom:.1}")?;
    }
    Ok(())
}
