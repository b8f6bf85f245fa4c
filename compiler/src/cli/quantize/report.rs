//! What `mnc quantize` tells, as text and as JSON.

use std::path::Path;
use std::time::Duration;

use mnc::passes::Fused;
use mnc::quantize::{Certificate, Choice, Comparison, Distance};
use serde::Serialize;

use super::super::text::{fold, size, table};
use super::Made;
use super::pictures::{Set, Sets};

/// The version of the JSON.
const SCHEMA: u32 = 1;

#[derive(Serialize)]
pub(super) struct Document {
    schema: u32,
    network: String,
    alpha: f64,
    input: String,
    file: String,
    file_bytes: usize,
    f32_bytes: usize,
    /// What becomes of a picture before the first layer.
    preprocessing: String,
    calibration: String,
    judged: String,
    layers: Vec<Layer>,
    /// Layers that the measured error left in f32.
    chosen_f32: Vec<Choice>,
    classifier: Option<Classifier>,
    images: Option<Images>,
}

#[derive(Serialize)]
struct Layer {
    name: String,
    output: String,
    /// None where the value has no error.
    snr_db: Option<f64>,
    /// None of numbers.
    scale: Option<f32>,
    zero_point: Option<u8>,
}

#[derive(Serialize)]
struct Output {
    name: String,
    /// None where it has no error.
    snr_db: Option<f64>,
}

#[derive(Serialize)]
struct Classifier {
    pictures: usize,
    logits_snr_db: Option<f64>,
    sigma: f64,
    margin: f64,
    same_answer: usize,
    predicted_same_answer: f64,
    beyond_margin: usize,
    beyond_margin_other_answer: usize,
}

#[derive(Serialize)]
struct Images {
    told: String,
    outputs: Vec<Output>,
    classifier: Option<Classifier>,
    /// None where nobody says what the pictures show.
    accuracy: Option<Accuracy>,
}

/// Pictures whose first answer is right.
#[derive(Serialize)]
struct Accuracy {
    pictures: usize,
    int8_right: usize,
    f32_right: usize,
}

impl Accuracy {
    fn of(set: &Set, comparison: &Comparison) -> Option<Accuracy> {
        let pairs = || set.truth.iter().zip(&comparison.answers);
        let pictures = pairs().count();
        (0 < pictures).then(|| Accuracy {
            pictures,
            int8_right: pairs().filter(|(right, (_, int8))| *right == int8).count(),
            f32_right: pairs().filter(|(right, (f32, _))| *right == f32).count(),
        })
    }

    fn to_text(&self) -> String {
        let Accuracy { pictures, int8_right, f32_right } = *self;
        let share = |right: usize| format!("{right} ({:.1} %)", 100.0 * right as f64 / pictures as f64);
        format!("right answer   of {pictures} in int8 {}, in f32 {}\n", share(int8_right), share(f32_right))
    }
}

fn finite(db: f64) -> Option<f64> {
    db.is_finite().then_some(db)
}

impl From<&Certificate> for Classifier {
    fn from(certificate: &Certificate) -> Classifier {
        let Certificate { n_pictures, snr_db, sigma, n_same, predicted, margin, n_beyond, n_beyond_other } =
            *certificate;
        Classifier {
            pictures: n_pictures,
            logits_snr_db: finite(snr_db),
            sigma,
            margin,
            same_answer: n_same,
            predicted_same_answer: predicted,
            beyond_margin: n_beyond,
            beyond_margin_other_answer: n_beyond_other,
        }
    }
}

impl Document {
    /// Of a network and the path of its file.
    pub(super) fn new(made: &Made, path: &Path) -> Document {
        let Made { graph, numbers, choices, preprocessing, sets, comparison, beside, bytes } = made;
        let Sets { calibration, judges } = sets;
        let layer = |(idx, Distance { name, bytes, snr_db }): (usize, &Distance)| Layer {
            name: name.clone(),
            output: numbers.nodes[idx + 1].shape().to_string(),
            snr_db: finite(*snr_db),
            scale: bytes.map(|bytes| bytes.scale),
            zero_point: bytes.map(|bytes| bytes.zero_point),
        };
        Document {
            schema: SCHEMA,
            network: graph.name.clone(),
            alpha: graph.alpha,
            input: graph.input_shape().to_string(),
            file: path.display().to_string(),
            file_bytes: bytes.len(),
            f32_bytes: numbers
                .nodes
                .iter()
                .flat_map(|node| &node.filter)
                .map(mnc::passes::Filter::bytes)
                .sum(),
            preprocessing: preprocessing.clone(),
            calibration: calibration.told.clone(),
            judged: judges.told.clone(),
            layers: comparison.layers.iter().enumerate().map(layer).collect(),
            chosen_f32: choices.clone(),
            classifier: comparison.certificate.as_ref().map(Classifier::from),
            images: beside.as_ref().map(|(set, comparison)| Images {
                told: set.told.clone(),
                outputs: outputs(numbers, comparison),
                classifier: comparison.certificate.as_ref().map(Classifier::from),
                accuracy: Accuracy::of(set, comparison),
            }),
        }
    }

    pub(super) fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("numbers and strings always have a JSON form") + "\n"
    }

    pub(super) fn to_text(&self, took: Duration) -> String {
        let row = |layer: &Layer| {
            vec![
                layer.name.clone(),
                layer.output.clone(),
                number(layer.snr_db),
                layer.scale.map_or("f32".to_owned(), |scale| format!("{scale:.5}")),
                layer.zero_point.map_or(String::new(), |zero| zero.to_string()),
            ]
        };
        let headings = ["layer", "output", ">SNR, dB", ">scale", ">zero point"];
        let layers = table(&headings, self.layers.iter().map(row));
        let mut text = format!("{}, alpha {}, input {}\n\n{layers}\n", self.network, self.alpha, self.input);
        let mut lines = self.chosen_f32.iter().map(chosen).collect::<String>();
        lines += &format!("preprocessing  {}\n", self.preprocessing);
        lines += &format!("calibrated on  {}\njudged on      {}\n", self.calibration, self.judged);
        match &self.classifier {
            Some(classifier) => lines += &classifier.to_text(),
            None => {
                lines += "The network is no classifier of one output: the table is all there is to tell.\n";
            }
        }
        if let Some(Images { told, outputs, classifier, accuracy }) = &self.images {
            lines += &format!("\ncompared on    {told}\n");
            lines += &match classifier {
                Some(classifier) => classifier.to_text(),
                None => {
                    let each = |Output { name, snr_db }: &Output| format!("{name} {}", decibels(*snr_db));
                    format!("outputs        {}\n", outputs.iter().map(each).collect::<Vec<_>>().join(", "))
                }
            };
            lines += &accuracy.as_ref().map_or(String::new(), Accuracy::to_text);
        }
        lines += &format!(
            "\nwrote          {}, {} where f32 has {}, in {:.1} s\n",
            self.file,
            size(self.file_bytes as u64),
            size(self.f32_bytes as u64),
            took.as_secs_f64()
        );
        text += &fold(&lines);
        text
    }
}

/// Layers in f32 for the sake of one, as the calibration's pictures show it.
fn chosen(Choice { layers, fell, fell_db, outputs_db }: &Choice) -> String {
    let rise = |[before, after]: &[f64; 2]| format!("from {before:.1} to {after:.1} dB");
    let (layers, fall, outputs) = (layers.join(", "), rise(fell_db), rise(outputs_db));
    format!("in f32         {layers}: {fell} rises {fall}, the outputs {outputs}\n")
}

/// How far each output of a network is from f32.
fn outputs(numbers: &Fused, comparison: &Comparison) -> Vec<Output> {
    let names = numbers.outputs.iter().zip(&numbers.output_names);
    let layer = |idx: usize| comparison.layers.get(idx.checked_sub(1)?);
    names
        .filter_map(|(id, name)| layer(id.0).map(|layer| (name, layer)))
        .map(|(name, layer)| Output { name: name.clone(), snr_db: finite(layer.snr_db) })
        .collect()
}

/// None is no error at all.
fn number(db: Option<f64>) -> String {
    db.map_or("exact".to_owned(), |db| format!("{db:.1}"))
}

fn decibels(db: Option<f64>) -> String {
    number(db) + if db.is_some() { " dB" } else { "" }
}

impl Classifier {
    fn to_text(&self) -> String {
        let Classifier { pictures, same_answer, beyond_margin, beyond_margin_other_answer, .. } = self;
        format!(
            "logits         {}, sigma of a logit's error {:.4}\n\
             same answer    {same_answer} of {pictures} as f32; expected of such pictures: {:.1} %\n\
             margin         {:.3}: where the largest logit is further ahead, the answer is that of f32\n\
             beyond it      {beyond_margin} of {pictures} pictures, {beyond_margin_other_answer} of them with another answer\n",
            decibels(self.logits_snr_db),
            self.sigma,
            100.0 * self.predicted_same_answer,
            self.margin,
        )
    }
}
