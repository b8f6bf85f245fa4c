//! A file of `mnc quantize` in place of weights: what it says of its network becomes the job's.

use std::path::Path;

use super::{Job, Marks, Note, Opened, is_builtin};
use crate::describe::Description;
use crate::error::{Error, ErrorKind, Place, Result};
use crate::graph::Graph;
use crate::passes::Fused;
use crate::quantize::file::{self, Origin, Said};
use crate::request::{Labels, file_name};
use crate::weights::Weights;

/// Such a file.
#[derive(Clone, Debug)]
pub(super) struct Integers {
    pub(super) place: String,
    bytes: Vec<u8>,
    pub(super) origin: Origin,
}

impl Integers {
    /// Of weights, if they are one.
    pub(super) fn of(weights: &Weights<'_>) -> Result<Option<Integers>> {
        let [only] = weights.files() else { return Ok(None) };
        if !file::is_int8(&only.bytes) {
            return Ok(None);
        }
        Integers::new(only.bytes.to_vec(), &only.place).map(Some)
    }

    fn new(bytes: Vec<u8>, place: &str) -> Result<Integers> {
        let origin = file::origin(&bytes, place)?;
        Ok(Integers { place: place.to_owned(), bytes, origin })
    }

    /// The network of a graph, whole.
    pub(super) fn network(&self, graph: &Graph) -> Result<Fused> {
        file::read(&self.bytes, &self.place, graph).map(|(network, _)| network)
    }

    /// The alpha of the file, if nobody asks for another one.
    pub(super) fn alpha(&self, asked: Option<f64>) -> Result<f64> {
        let (alpha, place) = (self.origin.alpha, &self.place);
        match asked {
            Some(asked) if asked != alpha => {
                let detail = format!("found {asked}, expected {alpha}, the alpha of {place}");
                Err(Error::new(ErrorKind::Weights, Place::flag("alpha"), detail))
            }
            _ => Ok(alpha),
        }
    }

    /// What makes the network less than a trained one.
    pub(super) fn marks(&self) -> Marks {
        let provenance = &self.origin.provenance;
        Marks { random_weights: provenance.random_weights, assumed: provenance.assumed.clone() }
    }

    fn note(&self) -> Note {
        let provenance = &self.origin.provenance;
        let sigma = match (provenance.sigma, &provenance.judged) {
            (Some(sigma), Some(judged)) => format!("; sigma of a logit's error {sigma:.4} on {judged}"),
            _ => String::new(),
        };
        let chosen = match provenance.chosen_f32.as_slice() {
            [] => String::new(),
            layers => format!("; in f32 for their error: {}", layers.join(", ")),
        };
        let text = format!("bytes and integers, calibrated on {}{sigma}{chosen}", provenance.calibration);
        Note { subject: "int8", text }
    }
}

impl Job {
    /// Takes what a file says of itself, where nobody says it otherwise.
    pub(super) fn take(&mut self, integers: &Integers) -> Result<()> {
        let Origin { extent: (height, width), said, provenance, .. } = &integers.origin;
        // What it was quantised with is what lies beside it or more.
        if let (Some(text), true) = (&said.description, self.is_as_quantised(&integers.origin)) {
            self.notes.clear();
            let description = Description::parse(text, &integers.place)?;
            let is_headless = said.features || self.configured.description.is_headless;
            self.configured
                .adopt(&file_name(Path::new(&integers.place)), Description { is_headless, ..description });
        }
        self.notes.push(integers.note());
        if self.resolution.is_none() {
            self.resolution = Some(format!("{height}x{width}").parse()?);
        }
        if !self.has_own_labels && self.configured.labels.is_none() {
            self.labels = match said.labels.clone() {
                labels if said.may_be_imagenet => Labels::Unsaid(labels),
                labels if labels.is_empty() => Labels::None,
                labels => Labels::Named(labels),
            };
        }
        self.assumed.clone_from(&provenance.assumed);
        Ok(())
    }

    /// Whether nobody says otherwise what the network is: it is the file's own, or the built-in one of which the file was made.
    fn is_as_quantised(&self, origin: &Origin) -> bool {
        let is_same = is_builtin(&self.written) && self.written.description.name == origin.network;
        !self.has_own_configuration && (is_same || self.recognised.is_some())
    }
}

impl Opened {
    /// The same with what `mnc quantize` makes of its weights, the bytes of a file, in place of them.
    ///
    /// # Errors
    /// Bytes that are no such file.
    pub fn quantised(mut self, bytes: Vec<u8>) -> Result<Opened> {
        let place = self.weights.as_ref().map_or("the weights", |weights| weights.place()).to_owned();
        let integers = Integers::new(bytes, &place)?;
        self.job.notes.push(integers.note());
        self.integers = Some(integers);
        Ok(self)
    }

    /// The files that were read of the weights: place and bytes.
    pub fn weight_files(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let parts = self.weights.iter().flat_map(|weights| weights.files());
        let integers = self.integers.iter().filter(|_| self.weights.is_none());
        parts
            .map(|part| (part.place.as_str(), &part.bytes[..]))
            .chain(integers.map(|integers| (integers.place.as_str(), &integers.bytes[..])))
    }

    /// What a file of the network says of it.
    pub fn said(&self) -> Said {
        let description = self.job.description();
        let (labels, may_be_imagenet) = match &self.job.labels {
            Labels::Named(labels) => (labels.clone(), false),
            Labels::Unsaid(labels) => (labels.clone(), true),
            Labels::None | Labels::ImageNet => (Vec::new(), false),
        };
        Said {
            description: description.to_toml(),
            features: description.is_headless,
            labels,
            may_be_imagenet,
        }
    }
}
