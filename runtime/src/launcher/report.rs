//! Answers -> text for people, or one JSON document that grows by one element a file.

use super::answer::Answers;
use super::inputs::Loaded;
use super::rank::{shown, top_k};
use crate::info::{ConstantChannels, Info, Output, OutputKind, OutputPart, Resize, Scores};
use serde::{Serialize, Serializer};
use std::io::{self, Write};
use std::path::Path;

/// One class of an answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Class<'a> {
    index: usize,
    label: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    probability: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logit: Option<f32>,
    /// The output, where it is no probability.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<f32>,
}

/// The answer for one file, as it is in JSON.
#[derive(Debug, Serialize)]
pub(crate) struct Answer<'a> {
    file: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    top: Vec<Class<'a>>,
    /// Every output, when they were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<&'a [f32]>,
    /// The same by their names, where there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    outputs: Option<Parts<'a>>,
    milliseconds: f64,
    /// The seed of weights that were drawn at random.
    #[serde(skip_serializing_if = "Option::is_none")]
    random_weights: Option<u64>,
}

/// A file without an answer, as it is in JSON.
#[derive(Debug, Serialize)]
struct Fault<'a> {
    file: &'a str,
    error: &'a str,
}

/// Several outputs of one image, as a map. Collected into a `BTreeMap` it made each program 7.5 kB longer.
#[derive(Debug)]
pub(super) struct Parts<'a> {
    pub(super) parts: &'a [OutputPart],
    pub(super) output: &'a [f32],
}

impl Parts<'_> {
    /// Each under its name, one number a line.
    pub(super) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        for part in self.parts {
            writeln!(out, "{} ({})", part.name, axes(&part.shape))?;
            part.of(self.output).iter().try_for_each(|value| writeln!(out, "  {value:?}"))?;
        }
        Ok(())
    }
}

impl Serialize for Parts<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.parts.iter().map(|part| (&part.name, part.of(self.output))))
    }
}

/// What of an answer is shown, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    pub(crate) json: bool,
    pub(crate) raw: bool,
    pub(crate) top: usize,
}

/// Writes answers in order.
pub(crate) struct Report<'a, W: Write> {
    out: W,
    style: Style,
    info: &'a Info,
    n_answers: usize,
}

impl<'a, W: Write> Report<'a, W> {
    pub(crate) fn new(out: W, style: Style, info: &'a Info) -> Report<'a, W> {
        // The channels of a feature map have no names to rank.
        let raw = style.raw || info.output.kind == OutputKind::Features;
        Report { out, style: Style { raw, ..style }, info, n_answers: 0 }
    }
}

impl<W: Write> Answers for Report<'_, W> {
    fn take(&mut self, _: usize, _: &Path, _: Loaded) {}

    fn after(&mut self, _: usize) -> Result<(), String> {
        Ok(())
    }

    fn answer(&mut self, _: usize, file: &str, output: &[f32], milliseconds: f64) -> io::Result<()> {
        let (info, out) = (self.info, &mut self.out);
        let parts = &info.output.parts;
        let is_first = self.n_answers == 0;
        self.n_answers += 1;
        if self.style.json {
            let top = classes(info, output, self.style.top);
            let answer = Answer {
                file,
                top,
                output: (self.style.raw && parts.is_empty()).then_some(output),
                outputs: (!parts.is_empty()).then_some(Parts { parts, output }),
                milliseconds,
                random_weights: info.random_weights,
            };
            out.write_all(separator(is_first))?;
            serde_json::to_writer(&mut *out, &answer)?;
        } else if !parts.is_empty() {
            writeln!(out, "{}{file}", if is_first { "" } else { "\n" })?;
            Parts { parts, output }.write(out)?;
        } else if self.style.raw {
            for value in output {
                writeln!(out, "{value:?}")?;
            }
        } else {
            writeln!(out, "{}{file}", if is_first { "" } else { "\n" })?;
            let is_class = info.output.scores != Scores::Values;
            for class in classes(info, output, self.style.top) {
                match (class.probability, class.value) {
                    (Some(probability), _) => write!(out, "  {probability:.4}  ")?,
                    (None, value) => write!(out, "  {:?}  ", value.unwrap_or(f32::NAN))?,
                }
                match class.label {
                    Some(label) => writeln!(out, "{label}  ({})", class.index)?,
                    None if is_class => writeln!(out, "class {}", class.index)?,
                    None => writeln!(out, "output {}", class.index)?,
                }
            }
        }
        out.flush()
    }

    fn fault(&mut self, file: &str, error: &str) -> io::Result<()> {
        if !self.style.json {
            return Ok(());
        }
        self.n_answers += 1;
        write_fault(&mut self.out, self.n_answers == 1, (file, error))
    }

    fn finish(mut self) -> io::Result<()> {
        if self.style.json {
            self.out.write_all(end(self.n_answers))?;
        }
        self.out.flush()
    }
}

/// What comes before an element of the document.
pub(super) fn separator(is_first: bool) -> &'static [u8] {
    if is_first { b"[\n" } else { b",\n" }
}

/// What comes behind so many.
pub(super) fn end(n_answers: usize) -> &'static [u8] {
    if n_answers == 0 { b"[]\n" } else { b"\n]\n" }
}

/// The element of a file without an answer.
pub(super) fn write_fault(
    out: &mut impl Write,
    is_first: bool,
    (file, error): (&str, &str),
) -> io::Result<()> {
    out.write_all(separator(is_first))?;
    serde_json::to_writer(&mut *out, &Fault { file, error })?;
    out.flush()
}

/// The outputs to show, the largest first. The channels of a feature map aren't among them.
fn classes<'a>(info: &'a Info, output: &[f32], k: usize) -> Vec<Class<'a>> {
    if info.output.kind == OutputKind::Features {
        return Vec::new();
    }
    let scores = info.output.scores;
    let shown = shown(scores, output);
    let class = |index: usize| Class {
        index,
        label: info.labels.get(index).map(String::as_str),
        probability: (scores != Scores::Values).then_some(shown[index]),
        logit: matches!(scores, Scores::Softmax | Scores::Sigmoid).then_some(output[index]),
        value: (scores == Scores::Values).then_some(output[index]),
    };
    top_k(output, k).into_iter().map(class).collect()
}

/// Writes what `--info` shows; what answers are, if the outputs aren't shown as they are.
pub(crate) fn describe(info: &Info, boxes: Option<String>, out: &mut impl Write) -> io::Result<()> {
    let Info { input, output, preprocess, .. } = info;
    let features =
        if info.cpu_features.is_empty() { "none".to_string() } else { info.cpu_features.join(", ") };
    let filter = preprocess.resample.name();
    let resize = match preprocess.resize {
        Resize::Stretch => format!("stretch, {filter}"),
        Resize::Cover { height, width } => format!("cover {height} x {width}, {filter}, centre crop"),
        Resize::Squash { height, width } => format!("stretch to {height} x {width}, {filter}, centre crop"),
        Resize::Border { height, width } => format!("fit {height} x {width}, {filter}, centre, on a border"),
        Resize::Crop => "no resize, centre crop".to_string(),
        Resize::Keep => "no resize".to_string(),
    };
    let rows = [
        ("name", info.name.clone()),
        ("network", format!("{}, alpha {}", info.network, info.alpha)),
        ("batch", info.batch.to_string()),
        ("input", format!("{} x {} x {} f32", input.height, input.width, input.channels)),
        ("preprocess", format!("{resize}, {:?}", preprocess.channel_order).to_lowercase()),
        ("output", outputs(output)),
        ("answers", boxes.unwrap_or_else(|| answers(output.scores).to_string())),
        ("labels", info.labels.len().to_string()),
        ("weights", format!("{} bytes{}{}", info.weight_bytes, weights_file(info), random(info))),
        ("workspace", format!("{} bytes", info.workspace_bytes)),
        ("multiply-adds", format!("{}{}", info.multiply_adds, left_out(info))),
        ("target", format!("{}, {}", info.target, info.isa)),
        ("CPU features", features),
        ("compiler", format!("mnc {}", info.compiler)),
    ];
    let assumed = info.assumed.iter().map(|assumed| ("assumed", assumed.clone()));
    rows.into_iter().chain(assumed).try_for_each(|(name, value)| writeln!(out, "{name:<13}  {value}"))
}

fn axes(shape: &[usize]) -> String {
    shape.iter().map(usize::to_string).collect::<Vec<String>>().join(" x ")
}

/// Shape and kind, of several outputs with their names.
fn outputs(output: &Output) -> String {
    let words = |shape: &[usize], kind: OutputKind| format!("{} f32, {kind:?}", axes(shape)).to_lowercase();
    let part = |part: &OutputPart| format!("{} {}", part.name, words(&part.shape, part.kind));
    match output.parts.as_slice() {
        [] => words(&output.shape, output.kind),
        parts => parts.iter().map(part).collect::<Vec<String>>().join("; "),
    }
}

fn random(info: &Info) -> String {
    info.random_weights.map_or_else(String::new, |seed| format!(", RANDOM (seed {seed})"))
}

/// What is left out of a network because it is the same whatever the input is.
fn left_out(info: &Info) -> String {
    info.constant_channels.map_or_else(String::new, |told| {
        let ConstantChannels { left_out, channels, multiply_adds_before, .. } = told;
        format!(" (of {multiply_adds_before}: {left_out} of {channels} channels are constant)")
    })
}

fn answers(scores: Scores) -> &'static str {
    match scores {
        Scores::Softmax => "probabilities, the softmax of the outputs",
        Scores::Sigmoid => "probabilities, the sigmoid of each output",
        Scores::Probabilities => "probabilities, the outputs",
        Scores::Values => "the outputs, which are no probabilities",
    }
}

/// Where the weights are, if not in the program.
fn weights_file(info: &Info) -> String {
    info.weights_file.as_ref().map_or_else(String::new, |file| format!(", in {}", file.file))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::info::tests::example;

    fn check(style: Style, outputs: &[[f32; 3]], expected: &str) {
        let (info, mut out) = (example(), Vec::new());
        let mut report = Report::new(&mut out, style, &info);
        for (output, file) in outputs.iter().zip(["a.jpg", "b.jpg"]) {
            report.answer(0, file, output, 1.25).unwrap();
        }
        report.finish().unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    const HUMAN: Style = Style { json: false, raw: false, top: 2 };

    #[test]
    fn people_get_blocks() {
        let expected = "a.jpg\n  0.6652  tench, Tinca tinca  (1)\n  0.2447  background  (0)\n\n\
                        b.jpg\n  NaN  background  (0)\n  NaN  \"quoted\" é  (2)\n";
        check(HUMAN, &[[1.0, 2.0, 0.0], [0.0, f32::NAN, -1.0]], expected);
        check(HUMAN, &[], "");
    }

    #[test]
    fn raw_output_comes_back_to_the_last_bit() {
        let style = Style { raw: true, ..HUMAN };
        check(style, &[[0.1, -0.0, 1e-40]], "0.1\n-0.0\n1e-40\n");
    }

    #[test]
    fn json_is_one_document() {
        let style = Style { json: true, raw: true, top: 1 };
        check(style, &[], "[]\n");
        let first = r#"{"file":"a.jpg","top":[{"index":1,"label":"tench, Tinca tinca","probability":1.0,"logit":99.5}],"output":[0.1,99.5,-0.0],"milliseconds":1.25}"#;
        let second = r#"{"file":"b.jpg","top":[{"index":0,"label":"background","probability":null,"logit":null}],"output":[null,null,null],"milliseconds":1.25}"#;
        check(style, &[[0.1, 99.5, -0.0], [f32::NAN; 3]], &format!("[\n{first},\n{second}\n]\n"));
    }

    #[test]
    fn a_document_has_the_files_without_an_answer() {
        let (info, mut out) = (example(), Vec::new());
        let style = Style { json: true, raw: false, top: 1 };
        let mut report = Report::new(&mut out, style, &info);
        report.fault("a.jpg", "found \"x\"").unwrap();
        report.answer(0, "b.jpg", &[0.0, 99.0, 0.0], 1.0).unwrap();
        report.fault("c.jpg", "gone").unwrap();
        report.finish().unwrap();
        let json: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(json[0], serde_json::json!({"file": "a.jpg", "error": "found \"x\""}));
        assert_eq!((&json[1]["file"], &json[1]["top"][0]["index"]), (&"b.jpg".into(), &1.into()));
        assert_eq!((json.as_array().unwrap().len(), &json[2]["error"]), (3, &"gone".into()));
    }

    #[test]
    fn probabilities_are_shown_as_they_are_and_features_in_full() {
        let mut info = example();
        info.output.kind = OutputKind::Probabilities;
        info.output.scores = Scores::Probabilities;
        info.labels.clear();
        let shown = |info: &Info, style| {
            let mut out = Vec::new();
            Report::new(&mut out, style, info).answer(0, "a", &[0.25, 0.5, 0.125], 1.0).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert_eq!(shown(&info, HUMAN), "a\n  0.5000  class 1\n  0.2500  class 0\n");
        info.output.kind = OutputKind::Features;
        info.output.scores = Scores::Values;
        assert_eq!(shown(&info, HUMAN), "0.25\n0.5\n0.125\n");
        let json = shown(&info, Style { json: true, ..HUMAN });
        assert_eq!(json, "[\n{\"file\":\"a\",\"output\":[0.25,0.5,0.125],\"milliseconds\":1.0}");
    }

    /// One output has no softmax, and what isn't a probability isn't called one.
    #[test]
    fn outputs_are_shown_as_they_were_trained() {
        let mut info = example();
        info.labels = vec!["person".to_string()];
        let shown = |info: &Info, json, output: &[f32]| {
            let mut out = Vec::new();
            let style = Style { json, ..HUMAN };
            Report::new(&mut out, style, info).answer(0, "a", output, 1.0).unwrap();
            String::from_utf8(out).unwrap()
        };
        info.output.scores = Scores::Sigmoid;
        assert_eq!(shown(&info, false, &[2.415]), "a\n  0.9180  person  (0)\n");
        assert_eq!(shown(&info, false, &[-3.743, 0.0]), "a\n  0.5000  class 1\n  0.0231  person  (0)\n");
        let json = shown(&info, true, &[0.0]);
        assert!(
            json.contains(r#""top":[{"index":0,"label":"person","probability":0.5,"logit":0.0}]"#),
            "{json}"
        );
        info.output.scores = Scores::Values;
        assert_eq!(shown(&info, false, &[2.415]), "a\n  2.415  person  (0)\n");
        let json = shown(&info, true, &[2.415]);
        assert!(json.contains(r#""top":[{"index":0,"label":"person","value":2.415}]"#), "{json}");
        info.labels.clear();
        assert_eq!(shown(&info, false, &[2.415]), "a\n  2.415  output 0\n");
    }

    #[test]
    fn the_description_names_what_is_inside() {
        let mut out = Vec::new();
        describe(&example(), None, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        for line in [
            "network        mobilenet-v1, alpha 0.25\n",
            "input          128 x 128 x 3 f32\n",
            "preprocess     cover 146 x 146, bilinear, centre crop, rgb\n",
            "output         1 x 1 x 3 f32, logits\n",
            "answers        probabilities, the softmax of the outputs\n",
            "CPU features   avx, fma\n",
        ] {
            assert!(text.contains(line), "{line} in\n{text}");
        }
    }
}
