//! Trained weights, inputs and the answers that other engines gave: of the person detector in the repository, of larger
//! networks in the folder beside it.

use std::path::{Path, PathBuf};

use mnc::describe::{self, Description};
use mnc::graph::{Graph, Knobs};
use mnc::weights::config::ModelConfig;
use mnc::weights::{Parameters, Weights};
use safetensors::{Dtype, SafeTensors};

use crate::need;

/// One set of trained weights with its answers.
#[derive(Clone, Copy, Debug)]
pub struct Trained {
    /// The safetensors file.
    pub weights: &'static str,
    /// The `config.json` beside it.
    pub config: &'static str,
    /// The file that has `input`.
    pub inputs: &'static str,
    /// The file that has the answers.
    pub answers: &'static str,
    /// The tensor of the answers there, evaluated in f64.
    pub logits: &'static str,
    /// Whether paths are relative to the repository, which always has the files, and not to the shared data.
    pub is_ours: bool,
}

const fn in_shared(
    weights: &'static str,
    config: &'static str,
    inputs: &'static str,
    answers: &'static str,
) -> Trained {
    Trained { weights, config, inputs, answers, logits: "logits_f64", is_ours: false }
}

/// Every set that there is.
pub const TRAINED: [Trained; 8] = [
    in_shared(
        "weights/mobilenet_v1_0.25_128.safetensors",
        "weights/mobilenet_v1_0.25_128.config.json",
        "expected/mobilenet_v1_0.25_128.io.safetensors",
        "expected/mobilenet_v1_0.25_128.io.safetensors",
    ),
    in_shared(
        "weights/mobilenet_v1_0.25_128_synthbn.safetensors",
        "weights/mobilenet_v1_0.25_128_synthbn.config.json",
        "expected/mobilenet_v1_0.25_128.io.safetensors",
        "expected/mobilenet_v1_0.25_128_synthbn.io.safetensors",
    ),
    in_shared(
        "weights/mobilenet_v1_0.25_96_vww.safetensors",
        "weights/mobilenet_v1_0.25_96_vww.config.json",
        "expected/mobilenet_v1_0.25_96_vww.io.safetensors",
        "expected/mobilenet_v1_0.25_96_vww.io.safetensors",
    ),
    in_shared(
        "weights/mobilenet_v1_0.5_160.safetensors",
        "weights/mobilenet_v1_0.5_160.config.json",
        "expected/mobilenet_v1_0.5_160.io.safetensors",
        "expected/mobilenet_v1_0.5_160.io.safetensors",
    ),
    in_shared(
        "weights/mobilenet_v1_1.0_224.safetensors",
        "weights/mobilenet_v1_1.0_224.config.json",
        "expected/mobilenet_v1_1.0_224.io.safetensors",
        "expected/mobilenet_v1_1.0_224.io.safetensors",
    ),
    in_shared(
        "weights/mobilenetv1_100_timm.safetensors",
        "weights/mobilenetv1_100_timm.config.json",
        "expected/mobilenet_v1_1.0_224.io.safetensors",
        "expected/mobilenetv1_100_timm.io.safetensors",
    ),
    in_shared(
        "default/mobilenet_v1_0.25_96_person.safetensors",
        "default/mobilenet_v1_0.25_96_person.config.json",
        "default/mobilenet_v1_0.25_96_person.io.safetensors",
        "default/mobilenet_v1_0.25_96_person.io.safetensors",
    ),
    // Of F16.
    Trained {
        weights: "examples/person-detector/person.safetensors",
        config: "examples/person-detector/config.json",
        inputs: "tests/recorded/person/io.safetensors",
        answers: "tests/recorded/person/io.safetensors",
        logits: "logits_f16_file_f64",
        is_ours: true,
    },
];

/// A set, read.
#[derive(Debug)]
pub struct TrainedNetwork {
    /// `mobilenet-v1` at the file's alpha and the config's resolution.
    pub graph: Graph,
    /// The file's numbers.
    pub parameters: Parameters,
    /// NHWC.
    pub inputs: Vec<Vec<f32>>,
    /// For each input.
    pub logits: Vec<Vec<f64>>,
}

impl Trained {
    /// One of its files, where it is there.
    pub fn file(&self, name: &str) -> Option<PathBuf> {
        if self.is_ours { Some(need::workspace().join(name)) } else { need::shared_data(name) }
    }

    /// Reads the set as `mnc compile mobilenet-v1` does: the config onto the built-in description, alpha from the tensors.
    ///
    /// # Panics
    /// When the compiler refuses one of the files.
    pub fn read(&self) -> Option<TrainedNetwork> {
        let files = [self.weights, self.config, self.inputs, self.answers].map(|name| self.file(name));
        let [Some(weights), Some(config), Some(inputs), Some(answers)] = files else { return None };
        let text = std::fs::read_to_string(config).expect("the config can be read");
        let mut description = describe::builtin("mobilenet-v1").expect("it is built in").description();
        ModelConfig::parse(&text, self.config)
            .unwrap_or_else(|error| panic!("{error}"))
            .apply(&mut description);
        let (graph, parameters) = assign(&description, &read(&weights), self.weights);
        Some(TrainedNetwork {
            graph,
            parameters,
            inputs: maps(&read(&inputs), "input"),
            logits: rows(&read(&answers), self.logits),
        })
    }
}

fn assign(description: &Description, bytes: &[u8], place: &str) -> (Graph, Parameters) {
    let fail = |error: mnc::Error| -> ! { panic!("{error}") };
    let weights = Weights::parse(bytes, place).unwrap_or_else(|error| fail(error));
    let alpha = weights.infer_alpha(description, None).unwrap_or_else(|error| fail(error));
    let graph =
        Graph::build(description, &Knobs { alpha, resolution: None }).unwrap_or_else(|error| fail(error));
    let parameters = weights.parameters(&graph, None).unwrap_or_else(|error| fail(error));
    (graph, parameters)
}

/// The bytes of a file of the shared data.
///
/// # Panics
/// When it can't be read.
pub fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The maps of an F32 tensor `[count, channels, height, width]`, each in the order row, column, channel.
///
/// # Panics
/// When the file has no such tensor.
pub fn maps(file: &[u8], tensor: &str) -> Vec<Vec<f32>> {
    maps_of(file, tensor, Dtype::F32, crate::bits::from_bytes)
}

/// The same of an F64 tensor.
///
/// # Panics
/// When the file has no such tensor.
pub fn maps_f64(file: &[u8], tensor: &str) -> Vec<Vec<f64>> {
    maps_of(file, tensor, Dtype::F64, |bytes| {
        bytes.as_chunks::<8>().0.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect()
    })
}

fn maps_of<T: Copy>(file: &[u8], tensor: &str, dtype: Dtype, read: fn(&[u8]) -> Vec<T>) -> Vec<Vec<T>> {
    let file = SafeTensors::deserialize(file).expect("the file is safetensors");
    let view = file.tensor(tensor).expect("the file has the tensor");
    let &[count, channels, height, width] = view.shape() else { panic!("{tensor} has four axes") };
    assert_eq!(view.dtype(), dtype);
    let values = read(view.data());
    let pixels = height * width;
    let map = |idx: usize| {
        let map = &values[idx * channels * pixels..];
        (0..pixels)
            .flat_map(|pixel| (0..channels).map(move |channel| map[channel * pixels + pixel]))
            .collect()
    };
    (0..count).map(map).collect()
}

/// The numbers of an F64 tensor, for each of its first axis.
///
/// # Panics
/// When the file has no such tensor.
pub fn vectors(file: &[u8], tensor: &str) -> Vec<Vec<f64>> {
    let file = SafeTensors::deserialize(file).expect("the file is safetensors");
    let view = file.tensor(tensor).expect("the file has the tensor");
    assert_eq!(view.dtype(), Dtype::F64);
    let values: Vec<f64> =
        view.data().as_chunks::<8>().0.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect();
    values.chunks_exact(values.len() / view.shape()[0]).map(<[f64]>::to_vec).collect()
}

/// The rows of an F64 tensor `[count, len]`.
pub fn rows(file: &[u8], tensor: &str) -> Vec<Vec<f64>> {
    let file = SafeTensors::deserialize(file).expect("the file is safetensors");
    let view = file.tensor(tensor).expect("the file has the tensor");
    let &[_, len] = view.shape() else { panic!("{tensor} has two axes") };
    assert_eq!(view.dtype(), Dtype::F64);
    let values: Vec<f64> =
        view.data().as_chunks::<8>().0.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect();
    values.chunks_exact(len).map(<[f64]>::to_vec).collect()
}
