//! The manifest beside an artefact: all that is known of it, as JSON, and the SHA-256 of what went in and came out.
//!
//! Whoever gets the files can check that they are those that were made, from what, and how to feed them. Holds no time and no
//! path: the same input gives the same bytes.

use mnc_runtime::info::{ConstantChannels, Info, Input, Output, Preprocess, WeightsFile};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::cost::Cost;
use crate::describe::InputSpec;

/// The version of the JSON.
pub const SCHEMA: u32 = 2;

/// What there is to say of a compiled network and of its files.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`SCHEMA`] of the writer.
    pub schema: u32,
    /// The version of the compiler.
    pub compiler: String,
    /// The prefix of the exported symbols.
    pub name: String,
    /// The network's own name.
    pub network: String,
    /// The network as its author wrote it, TOML line by line.
    pub description: Vec<String>,
    /// What the configuration files and the code of the weights' exporter changed of it, a line for each.
    pub changed: Vec<String>,
    /// The width multiplier.
    pub alpha: f64,
    /// The resolution multiplier; `None` where rows and columns have different ones.
    pub rho: Option<f64>,
    /// Images of one run.
    pub batch: usize,
    /// Shape of one image.
    pub input: Input,
    /// Shape of the output of one image, and what the numbers are.
    pub output: Output,
    /// From a picture to an input.
    pub preprocess: Preprocess,
    /// The name of each output, or nothing.
    pub labels: Vec<String>,
    /// The triple compiled for.
    pub target: String,
    /// The instruction set that runs wherever the artefact does.
    pub isa: String,
    /// Wider instruction sets that there is code for too.
    pub wider: Vec<String>,
    /// The CPU features that the code needs.
    pub cpu_features: Vec<String>,
    /// Bytes of the caller's workspace.
    pub workspace_bytes: u64,
    /// Bytes of packed weights.
    pub weight_bytes: u64,
    /// The file of the packed weights, if they aren't in the code.
    pub weights_file: Option<WeightsFile>,
    /// Multiply-adds of one image, by the paper's formulas.
    pub multiply_adds: u64,
    /// Parameters of the network, by the paper's formulas.
    pub parameters: u64,
    /// Channels that are one byte whatever the input is, and left out; of a network in int8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub constant_channels: Option<ConstantChannels>,
    /// The seed of weights drawn at random, in place of a file.
    pub random_weights: Option<u64>,
    /// What neither a file nor an option says of how the weights were trained, and was assumed, with the reason.
    #[serde(default)]
    pub assumed: Vec<String>,
    /// What was made of the weights' tensors before they were compiled, and which are left out.
    #[serde(default)]
    pub notes: Vec<String>,
    /// What was read.
    pub inputs: Vec<File>,
    /// What was written, but for the manifest itself.
    pub outputs: Vec<File>,
}

/// A file, by its name alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// What it is: `weights`, `obj`.
    pub kind: String,
    /// Its name, without a folder.
    pub file: String,
    /// Its size.
    pub bytes: u64,
    /// SHA-256 of its content, in lower-case hexadecimal.
    pub sha256: String,
}

impl File {
    /// The row of that content.
    ///
    /// ```
    /// let file = mnc::emit::manifest::File::new("weights", "w.safetensors", b"abc");
    /// assert_eq!(file.sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    /// ```
    pub fn new(kind: &str, file: &str, content: &[u8]) -> File {
        let sha256 = Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect();
        File { kind: kind.to_owned(), file: file.to_owned(), bytes: content.len() as u64, sha256 }
    }
}

/// Where a compiled network came from.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The text of the description, TOML, before alpha and the resolution.
    pub description: String,
    /// What the configuration files and the exporter changed of it.
    pub changed: Vec<String>,
    /// Its input at rho = 1.
    pub full: InputSpec,
    /// What was made of the weights' tensors.
    pub notes: Vec<String>,
    /// The files that were read.
    pub inputs: Vec<File>,
}

impl Manifest {
    /// The manifest of a network and of the files that were made of it.
    pub fn new(info: &Info, total: &Cost, origin: Origin, outputs: Vec<File>) -> Manifest {
        let (info, full) = (info.clone(), origin.full);
        let [rho, columns] = [(info.input.height, full.height), (info.input.width, full.width)]
            .map(|(extent, full)| extent as f64 / full as f64);
        Manifest {
            schema: SCHEMA,
            compiler: info.compiler,
            name: info.name,
            network: info.network,
            description: origin.description.lines().map(str::to_owned).collect(),
            changed: origin.changed,
            alpha: info.alpha,
            rho: (rho == columns).then_some(rho),
            batch: info.batch,
            input: info.input,
            output: info.output,
            preprocess: info.preprocess,
            labels: info.labels,
            target: info.target,
            isa: info.isa,
            wider: info.wider,
            cpu_features: info.cpu_features,
            workspace_bytes: info.workspace_bytes,
            weight_bytes: info.weight_bytes,
            weights_file: info.weights_file,
            multiply_adds: total.mult_adds,
            parameters: total.parameters,
            constant_channels: info.constant_channels,
            random_weights: info.random_weights,
            assumed: info.assumed,
            notes: origin.notes,
            inputs: origin.inputs,
            outputs,
        }
    }

    /// The JSON, for people too: a line for each field.
    pub fn to_json(&self) -> String {
        let json = serde_json::to_string_pretty(self);
        json.expect("a manifest is numbers and strings: all of it has a JSON form") + "\n"
    }

    /// Reads what [`Manifest::to_json`] wrote; the error says where it goes wrong and what was expected.
    ///
    /// # Errors
    /// What isn't a manifest, or is one of another schema.
    pub fn from_json(json: &[u8]) -> Result<Manifest, String> {
        let manifest: Manifest =
            serde_json::from_slice(json).map_err(|error| format!("manifest: {error}"))?;
        if manifest.schema != SCHEMA {
            return Err(format!("manifest: found schema {}, expected {SCHEMA}", manifest.schema));
        }
        Ok(manifest)
    }
}
