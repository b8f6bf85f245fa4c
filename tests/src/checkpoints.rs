//! Trained weights that were published, each with the network that it is of.

use std::path::PathBuf;

use safetensors::SafeTensors;
use serde_json::Value;

use crate::folder::Folder;
use crate::need;
use crate::recorded::read;

/// Weights in a file, and the argument that names their network.
#[derive(Debug)]
pub struct Checkpoint {
    /// A file: of weights that tell their network, or a description.
    pub network: PathBuf,
    /// The weights.
    pub weights: PathBuf,
}

/// A file of the shared data.
pub fn shared(name: &str) -> Option<PathBuf> {
    need::shared_data(&format!("next/{name}"))
}

/// What writes each of them to a folder; `None` without the shared data.
pub const ALL: [fn(&Folder) -> Option<Checkpoint>; 4] =
    [mobilenetv2_torchvision, pp_lcnet_orientation, mobilenetv3_large_backbone, ultraface];

/// MobileNetV2 of torchvision, in F16, whose variances are subnormal or 0 for some channels. Without its configuration.
pub fn mobilenetv2_torchvision(folder: &Folder) -> Option<Checkpoint> {
    let weights =
        folder.write("v2.safetensors", read(&shared("weights/mobilenetv2_torchvision.safetensors")?));
    Some(Checkpoint { network: weights.clone(), weights })
}

/// PP-LCNet that tells which way up a picture is, described layer by layer, in the plain naming.
///
/// # Panics
/// When the description isn't there.
pub fn pp_lcnet_orientation(folder: &Folder) -> Option<Checkpoint> {
    let weights = shared("weights/pp_lcnet_1.0_224_orientation.safetensors")?;
    let text =
        std::fs::read_to_string(need::workspace().join("tests/published/lcnet.toml")).expect("it is there");
    // The exporter of this file made the head without a bias.
    let text = text
        .replace("classes = 1000", "classes = 4")
        .replace("batch_norm = false", "batch_norm = false\nbias = false");
    Some(Checkpoint { network: folder.write("lcnet.toml", text), weights })
}

/// MobileNetV3-large without its head; the features of strides 4, 8, 16 and 32, of which the first two lie inside of blocks.
///
/// # Panics
/// When the built-in network has become another.
pub fn mobilenetv3_large_backbone(folder: &Folder) -> Option<Checkpoint> {
    let weights = shared("weights/mobilenetv3_large_0.75_backbone.safetensors")?;
    let weights = folder.write("backbone.safetensors", read(&weights));
    let text = mnc::describe::builtin("mobilenet-v3-large").expect("it is built in").text;
    // Without what follows stage 5.
    let end =
        text.find("stage = 6").and_then(|at| text[..at].rfind("[[layer]]")).expect("stage 6 is its last");
    // Blocks 2.0 and 2.2 are the first and the last repeat of the fourth layer that is a block, 4.1 and 5.2 the last of the eighth and ninth.
    let mut n_blocks = 0;
    let mut text = text[..end].lines().fold(String::new(), |text, line| {
        let is_block = line == "kind = \"inverted_residual\"";
        n_blocks += usize::from(is_block);
        let name = if is_block { format!("name = \"part{n_blocks}\"\n") } else { String::new() };
        text + line + "\n" + &name
    });
    text.insert_str(0, "outputs = [\"part4_1_expand\", \"part4_3_expand\", \"part8\", \"part9\"]\n");
    Some(Checkpoint { network: folder.write("backbone.toml", text), weights })
}

/// UltraFace, the face detector of the examples, under the names of its description.
pub fn ultraface(folder: &Folder) -> Option<Checkpoint> {
    let weights = read(&shared("weights/ultraface_slim_320.safetensors")?);
    let table = faces()?;
    let weights = renamed(&weights, table["layers"].as_array().expect("an array of layers"));
    let network = need::workspace().join("examples/face-detector/faces.toml");
    Some(Checkpoint { network, weights: folder.write("faces.safetensors", weights) })
}

/// What is recorded of UltraFace: its layers, and the faces in three photographs.
///
/// # Panics
/// When it isn't JSON.
pub fn faces() -> Option<Value> {
    let table = shared("expected/ultraface_slim_320.json")?;
    Some(serde_json::from_slice(&read(&table)).expect("it is JSON"))
}

/// Layers' names with the signs that descriptions allow.
fn plain(name: &Value) -> String {
    name.as_str().expect("a name").replace('.', "_")
}

/// The file with the tensors' names in the plain naming.
fn renamed(file: &[u8], layers: &[Value]) -> Vec<u8> {
    let file = SafeTensors::deserialize(file).expect("it is safetensors");
    let mut tensors = Vec::new();
    for layer in layers {
        let (name, ours) = (layer["name"].as_str().expect("a name"), plain(&layer["name"]));
        let bias = layer["bias"]
            .as_bool()
            .expect("yes or no")
            .then(|| (format!("{name}.bias"), format!("{ours}.bias")));
        let norms = ["weight gamma", "bias beta", "running_mean mean", "running_var variance"];
        let norm = layer["norm"].as_str().into_iter().flat_map(|norm| {
            let words = norms.iter().filter_map(|words| words.split_once(' '));
            let ours = &ours;
            words.map(move |(theirs, word)| (format!("{norm}.{theirs}"), format!("{ours}.norm.{word}")))
        });
        let weight = (format!("{name}.weight"), format!("{ours}.weight"));
        for (theirs, ours) in [weight].into_iter().chain(bias).chain(norm.collect::<Vec<_>>()) {
            tensors.push((ours, file.tensor(&theirs).unwrap_or_else(|error| panic!("{theirs}: {error}"))));
        }
    }
    safetensors::serialize(tensors, None).expect("names are unique")
}
