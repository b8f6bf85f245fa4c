//! Pictures as bytes of a network's input: from files by the code that executables read them with, and those that `mnc` brings.

use std::path::{Path, PathBuf};

use mnc::Result;
use mnc::graph::Graph;
use mnc::quantize::crops::{Photograph, crops};
use mnc::quantize::leaves;
use mnc_runtime::info::{ChannelOrder, CropRounding, Input, Preprocess, Resample, Resize};
use mnc_runtime::launcher::{input_for, input_from};

use super::super::text::tell;
use super::super::{fail, files, labelled, verify};
use super::refused;

/// The photographs of the person detector: an astronaut (NASA, public domain), a cat (S. van der Walt, CC0); with their sides.
const PHOTOGRAPHS: [(&[u8], usize, usize); 2] = [
    (include_bytes!("../../../../examples/person-detector/photos/astronaut.jpg"), 512, 512),
    (include_bytes!("../../../../examples/person-detector/photos/chelsea.jpg"), 451, 300),
];
/// Of each sort.
const N_BROUGHT: usize = 16;
/// Of a folder, at most: more gain next to nothing.
const MOST: usize = 128;
/// Of a folder that is compared on.
const MOST_COMPARED: usize = 1000;
/// From so many on, some of a folder are kept for judging.
const ENOUGH: usize = 8;
/// One of so many then.
const EVERY: usize = 4;

/// Pictures and what the report calls them.
pub(super) struct Set {
    /// As [`mnc::quantize::Pictures`] has them.
    pub(super) bytes: Vec<Vec<u8>>,
    pub(super) told: String,
    /// Of each picture the output that is right; nothing where nobody says.
    pub(super) truth: Vec<usize>,
}

impl Set {
    fn new(bytes: Vec<Vec<u8>>, told: String) -> Set {
        Set { bytes, told, truth: Vec::new() }
    }
}

/// What a network is made with, and what it is judged on.
pub(super) struct Sets {
    pub(super) calibration: Set,
    pub(super) judges: Set,
}

/// The user's pictures, or those that there are.
pub(super) fn sets(graph: &Graph, calibrate: Option<&Path>) -> Result<Sets> {
    let channels = graph.input_shape().channels;
    if channels != 1 && channels != 3 {
        return refused(format!(
            "found a network of {channels} input channels, expected 1 or 3: it is calibrated on pictures"
        ));
    }
    let Some(folder) = calibrate else {
        let mut bytes = leaves::pictures(graph.input_shape(), N_BROUGHT, 1);
        bytes.extend(parts(graph, 1));
        let told =
            format!("{N_BROUGHT} synthetic pictures and {N_BROUGHT} parts of the two photographs of `mnc`");
        return Ok(Sets { calibration: Set::new(bytes, told), judges: other_parts(graph) });
    };
    check(folder)?;
    let files = spread(verify::list(&[folder.to_owned()])?, MOST);
    if files.len() == 1 {
        tell(format_args!("warning: --calibrate: found one picture, which is little; 32 are enough\n"));
    }
    let is_enough = ENOUGH <= files.len();
    let is_kept = |idx: usize| is_enough && idx % EVERY == EVERY - 1;
    let some = |kept: bool| -> Result<Vec<Vec<u8>>> {
        let files = files.iter().enumerate().filter(|(idx, _)| is_kept(*idx) == kept);
        files.map(|(_, file)| read(graph, file)).collect()
    };
    let (bytes, kept) = (some(false)?, some(true)?);
    let told = |n: usize, what: &str| format!("{n} {what}{}", pictures_of(n, folder));
    let judges = if kept.is_empty() {
        other_parts(graph)
    } else {
        let told = told(kept.len(), "other ");
        Set::new(kept, told)
    };
    let told = told(bytes.len(), "");
    Ok(Sets { calibration: Set::new(bytes, told), judges })
}

/// The pictures of a folder with what they show, where a file or the folders below say it; of very many some from everywhere, for all
/// of them lie in memory. `names` are those of the outputs.
pub(super) fn folder(graph: &Graph, folder: &Path, labels: Option<&Path>, names: &[String]) -> Result<Set> {
    check(folder)?;
    let (files, labels): (Vec<PathBuf>, Vec<String>) = match (labels, verify::list(&[folder.to_owned()])) {
        (None, Ok(files)) => (files, Vec::new()),
        // Folders below it are classes; without any the first error says more.
        (None, Err(error)) => labelled::read(folder, None).or(Err(error))?.into_iter().unzip(),
        (Some(file), _) => labelled::read(folder, Some(file))?.into_iter().unzip(),
    };
    let of = |file: &PathBuf| if labels.is_empty() { file.clone() } else { folder.join(file) };
    let n = files.len();
    let files = spread(files.iter().map(of).collect(), MOST_COMPARED);
    let labels = spread(labels, MOST_COMPARED);
    let truth = truth(graph, &files, &labels, names)?;
    let bytes: Vec<Vec<u8>> = files.iter().map(|file| read(graph, file)).collect::<Result<_>>()?;
    let of = if bytes.len() < n { format!(" of the {n}") } else { String::new() };
    let told = format!("{}{of} {}", bytes.len(), pictures_of(n, folder));
    Ok(Set { bytes, told, truth })
}

/// Refuses a folder that isn't there, before it is taken for a picture.
fn check(folder: &Path) -> Result<()> {
    if folder.exists() { Ok(()) } else { fail(folder, "found no such folder, expected one with pictures") }
}

/// The outputs that are right.
fn truth(graph: &Graph, files: &[PathBuf], labels: &[String], names: &[String]) -> Result<Vec<usize>> {
    let n_outputs = match graph.outputs[..] {
        [output] if graph.node(output).shape().pixels() == 1 => graph.node(output).shape().channels,
        _ => 1,
    };
    if n_outputs == 1 && !labels.is_empty() {
        return Err(mnc::Error::new(
            mnc::ErrorKind::Options,
            mnc::Place::flag("--images"),
            "found labels of pictures, expected a network with one output of several classes for them: give a folder of pictures alone",
        ));
    }
    let labelled = files.iter().zip(labels);
    labelled.map(|(file, label)| labelled::class_of(file, label, names, n_outputs)).collect()
}

/// What a report says behind a number.
fn pictures_of(n: usize, folder: &Path) -> String {
    let word = if n == 1 { "picture" } else { "pictures" };
    format!("{word} of {}", mnc::one_line(&folder.display().to_string()))
}

/// At most so many, the same distance apart.
fn spread<T>(all: Vec<T>, most: usize) -> Vec<T> {
    let n = all.len();
    let kept = |idx: &usize| n <= most || idx * most / n != (idx + 1) * most / n;
    all.into_iter().enumerate().filter(|(idx, _)| kept(idx)).map(|(_, one)| one).collect()
}

fn other_parts(graph: &Graph) -> Set {
    let told = format!("{N_BROUGHT} other parts of the two photographs of `mnc`");
    Set::new(parts(graph, 2), told)
}

/// Parts of our photographs, brought to the size of the input as they are.
fn parts(graph: &Graph, seed: u64) -> Vec<Vec<u8>> {
    let shape = graph.input_shape();
    let (input, mut preprocess) = wanted(graph);
    preprocess.resize = Resize::Stretch;
    let photographs = PHOTOGRAPHS.map(|(file, width, height)| photograph(file, width, height));
    let parts = crops(&photographs, (shape.height, shape.width), N_BROUGHT, seed);
    let bytes =
        |part: &Photograph| levels(input_for(&input, &preprocess, &part.to_pnm()).expect("it is a picture"));
    parts.iter().map(bytes).collect()
}

/// A photograph as it is in its file.
fn photograph(file: &[u8], width: usize, height: usize) -> Photograph {
    let preprocess = Preprocess {
        resize: Resize::Keep,
        resample: Resample::Bilinear,
        crop_rounding: CropRounding::Down,
        fill: Vec::new(),
        multiplier: vec![1.0; 3],
        offset: vec![0.0; 3],
        channel_order: ChannelOrder::Rgb,
    };
    let input = Input { height, width, channels: 3 };
    let pixels = levels(input_for(&input, &preprocess, file).expect("the photograph is whole"));
    Photograph { width, height, pixels }
}

fn read(graph: &Graph, path: &Path) -> Result<Vec<u8>> {
    let (input, preprocess) = wanted(graph);
    files::takes(path);
    input_from(&input, &preprocess, path).map(levels).or_else(|error| fail(path, error))
}

/// What executables do with pictures, but for the normalisation: the bytes themselves come out.
fn wanted(graph: &Graph) -> (Input, Preprocess) {
    let shape = graph.input_shape();
    let mut preprocess = mnc::preprocess(&graph.preprocess, shape);
    preprocess.multiplier = vec![1.0; shape.channels];
    preprocess.offset = vec![0.0; shape.channels];
    (Input { height: shape.height, width: shape.width, channels: shape.channels }, preprocess)
}

/// Numbers that are bytes.
fn levels(numbers: Vec<f32>) -> Vec<u8> {
    numbers.into_iter().map(|x| x as u8).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_files_some_are_kept() {
        let files = |n: usize| (0..n).map(|idx| PathBuf::from(idx.to_string())).collect::<Vec<_>>();
        for (n, most) in [(0, 5), (4, 5), (5, 5), (6, 5), (1000, 7), (12_345, 1000)] {
            let kept = spread(files(n), most);
            assert_eq!(kept.len(), n.min(most), "{n} {most}");
            assert!(kept.windows(2).all(|two| two[0] != two[1]));
        }
    }
}
