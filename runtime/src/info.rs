//! The description of a network inside its executable: typed here, JSON between compiler and launcher.
//!
//! The compiler writes it and the launcher reads it with the same types. Every size is in the unit that its name ends
//! in. A field is never removed or given another meaning without a new [`SCHEMA`].

use crate::detect::{Detector, Map, Rule};
use serde::{Deserialize, Serialize};

/// The version of the JSON.
pub const SCHEMA: u32 = 4;

/// All that is known of a compiled network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Info {
    /// [`SCHEMA`] of the writer.
    pub schema: u32,
    /// The name that prefixes the symbols: `classify`.
    pub name: String,
    /// The network: `mobilenet-v1`.
    pub network: String,
    /// The version of the compiler.
    pub compiler: String,
    /// The width multiplier.
    pub alpha: f64,
    /// Images of one run, one behind the other in input and output.
    pub batch: usize,
    /// The shape of one image.
    pub input: Input,
    /// Shape and meaning of the output of one image.
    pub output: Output,
    /// How the outputs become boxes, of a detector. [`Info::from_json`] leaves it out, which keeps its reader out of classifiers:
    /// [`Info::whole_from_json`] reads it.
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub detect: Option<Detect>,
    /// How a picture becomes an input.
    pub preprocess: Preprocess,
    /// The name of each output, of a detector's classes, or nothing.
    pub labels: Vec<String>,
    /// The triple compiled for.
    pub target: String,
    /// The instruction set compiled for: `x86-64-v3`.
    pub isa: String,
    /// Wider instruction sets that the artefact has code for too; it runs instead where the CPU has them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub wider: Vec<String>,
    /// The CPU features that the code needs.
    pub cpu_features: Vec<String>,
    /// Bytes of the caller's workspace.
    pub workspace_bytes: u64,
    /// Bytes of packed weights.
    pub weight_bytes: u64,
    /// Where the weights are, if not in the object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights_file: Option<WeightsFile>,
    /// The seed of weights that were drawn at random: what such a network answers means nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub random_weights: Option<u64>,
    /// What neither a file nor an option says of how the weights were trained, and was assumed, with the reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub assumed: Vec<String>,
    /// Multiply-adds of one run, as the paper counts them, without those of channels that are left out.
    pub multiply_adds: u64,
    /// Of these, those on padding, which kernels leave out.
    #[serde(default)]
    pub padding_multiply_adds: u64,
    /// Channels that are the same whatever the input is, and left out; of a network in int8, and of one in f32 where any are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub constant_channels: Option<ConstantChannels>,
    /// What the network does, in order.
    pub steps: Vec<StepInfo>,
}

/// One step of a network: a layer, or several that are computed together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepInfo {
    /// The layer: `conv_pw_7`; `conv_1..conv_pw_1` for layers that are computed together.
    pub name: String,
    /// The kernel that computes it: `f32_pointwise_6x16_relu6_fma3`; those of several layers are joined by `+`.
    pub kernel: String,
    /// Multiply-adds of the step, as the paper counts them.
    pub multiply_adds: u64,
    /// Of these, those on padding, which kernels leave out.
    #[serde(default)]
    pub padding_multiply_adds: u64,
    /// Bytes of weights and biases that the step reads.
    pub weight_bytes: u64,
    /// Bytes that the step reads of other steps' results or of the network's input.
    pub input_bytes: u64,
    /// Bytes that the step writes.
    pub output_bytes: u64,
}

/// What of a network is left out because it is the same whatever the input is: channels of layers with weights, and what goes with them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConstantChannels {
    /// How many are left out.
    pub left_out: u64,
    /// How many there were.
    pub channels: u64,
    /// Weights that there were.
    pub weights_before: u64,
    /// Weights that are left.
    pub weights: u64,
    /// Multiply-adds of one run that there were.
    pub multiply_adds_before: u64,
    /// Whether the network is in f32, and so the same for pictures alone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub in_f32: bool,
}

/// A file of packed weights, as the compiler wrote it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WeightsFile {
    /// Its name, without a folder.
    pub file: String,
    /// Its size.
    pub bytes: u64,
    /// SHA-256 of the weights in it, behind its header, in lower-case hexadecimal.
    pub sha256: String,
}

/// The input of one image, rows of pixels with their channels side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// 3, or 1 for a network of grey pictures.
    pub channels: usize,
}

impl Input {
    /// f32 elements of one image.
    pub fn len(&self) -> usize {
        self.height * self.width * self.channels
    }

    /// Whether there is nothing to put in.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The output of one image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// Rows, columns and channels.
    pub shape: Vec<usize>,
    /// What the numbers are.
    pub kind: OutputKind,
    /// What people are shown of them.
    pub scores: Scores,
    /// The outputs of a network that has several, in the order in which they lie there without gaps; the shape is then that of
    /// all of them in a row. Nothing for one output.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<OutputPart>,
}

/// One of several outputs of one image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputPart {
    /// The layer, as the description calls it.
    pub name: String,
    /// Where it begins in the output of the image; a multiple of 4.
    pub offset_bytes: u64,
    /// Rows, columns and channels.
    pub shape: Vec<usize>,
    /// What the numbers are.
    pub kind: OutputKind,
}

impl OutputPart {
    /// f32 elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether it has no element, as no output of a network does.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its elements, of those of an image's output.
    ///
    /// # Panics
    /// When `output` is shorter than the network's.
    pub fn of<'o, T>(&self, output: &'o [T]) -> &'o [T] {
        &output[self.offset_bytes as usize / size_of::<f32>()..][..self.len()]
    }
}

/// How the outputs of an image become boxes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Detect {
    /// How numbers become scores and boxes.
    pub rule: Rule,
    /// The priors, in their order.
    pub maps: Vec<Map<Vec<[f64; 2]>>>,
}

impl Detect {
    /// What makes the boxes.
    pub fn detector(&self) -> Detector<'_, Vec<[f64; 2]>> {
        Detector { rule: self.rule, maps: &self.maps }
    }

    /// Reads what of [`Info::to_json`] says it, if that is the description of a detector; the error says where it goes wrong.
    pub fn from_json(json: &[u8]) -> Result<Option<Detect>, String> {
        #[derive(Deserialize)]
        struct Whole {
            #[serde(default)]
            detect: Option<Detect>,
        }
        let whole: Whole = serde_json::from_slice(json).map_err(|e| format!("network description: {e}"))?;
        Ok(whole.detect)
    }
}

/// What the numbers of an output are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OutputKind {
    /// Scores before softmax, one a class.
    Logits,
    /// Scores after softmax, one a class.
    Probabilities,
    /// A feature map; its channels aren't classes.
    Features,
}

/// What an answer shows of each output. The compiler decides it once; every program that shows answers keeps to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scores {
    /// A probability: the softmax over all outputs.
    Softmax,
    /// A probability of its own: the sigmoid of the output.
    Sigmoid,
    /// A probability: the output itself, for the network ends in a softmax layer.
    Probabilities,
    /// The output itself, which is no probability.
    Values,
}

/// How a picture of 8-bit pixels becomes an input: resize, crop, then `fma(pixel, multiplier[c], offset[c])`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Preprocess {
    /// The size before the crop.
    pub resize: Resize,
    /// The filter; left out where it is the usual one.
    #[serde(default, skip_serializing_if = "is_default")]
    pub resample: Resample,
    /// Where the crop begins; left out where it is the usual place.
    #[serde(default, skip_serializing_if = "is_default")]
    pub crop_rounding: CropRounding,
    /// The levels of a border, one an input channel; left out where no picture has one.
    #[serde(default, skip_serializing_if = "is_default")]
    pub fill: Vec<u8>,
    /// One factor an input channel.
    pub multiplier: Vec<f32>,
    /// One summand an input channel.
    pub offset: Vec<f32>,
    /// The order of the input's channels.
    pub channel_order: ChannelOrder,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// The size to which a picture is resized. Where that is more than the input's, the middle is cut out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "ResizeJson", into = "ResizeJson")]
pub enum Resize {
    /// Keep the aspect and cover `height` x `width`.
    Cover {
        /// Rows to cover.
        height: usize,
        /// Columns to cover.
        width: usize,
    },
    /// Take the input's size, whatever becomes of the aspect.
    Stretch,
    /// Take this size, whatever becomes of the aspect.
    Squash {
        /// Rows.
        height: usize,
        /// Columns.
        width: usize,
    },
    /// Keep the aspect and fit into `height` x `width`; around it is `fill`.
    Border {
        /// Rows to fit into.
        height: usize,
        /// Columns to fit into.
        width: usize,
    },
    /// Stay as it is, and be of the input's size or larger.
    Crop,
    /// Stay as it is, and be of the input's size.
    Keep,
}

/// The JSON of [`Resize`]. An enum that serde tags itself takes kilobytes more in every executable.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct ResizeJson {
    rule: ResizeRule,
    #[serde(default, skip_serializing_if = "is_default")]
    height: usize,
    #[serde(default, skip_serializing_if = "is_default")]
    width: usize,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ResizeRule {
    Cover,
    Stretch,
    Squash,
    Border,
    Crop,
    Keep,
}

impl From<ResizeJson> for Resize {
    fn from(ResizeJson { rule, height, width }: ResizeJson) -> Resize {
        match rule {
            ResizeRule::Cover => Resize::Cover { height, width },
            ResizeRule::Stretch => Resize::Stretch,
            ResizeRule::Squash => Resize::Squash { height, width },
            ResizeRule::Border => Resize::Border { height, width },
            ResizeRule::Crop => Resize::Crop,
            ResizeRule::Keep => Resize::Keep,
        }
    }
}

impl From<Resize> for ResizeJson {
    fn from(resize: Resize) -> ResizeJson {
        let (rule, height, width) = match resize {
            Resize::Cover { height, width } => (ResizeRule::Cover, height, width),
            Resize::Stretch => (ResizeRule::Stretch, 0, 0),
            Resize::Squash { height, width } => (ResizeRule::Squash, height, width),
            Resize::Border { height, width } => (ResizeRule::Border, height, width),
            Resize::Crop => (ResizeRule::Crop, 0, 0),
            Resize::Keep => (ResizeRule::Keep, 0, 0),
        };
        ResizeJson { rule, height, width }
    }
}

/// The filter by which a picture is resized, widened when shrinking; as Pillow has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Resample {
    /// The nearest pixel, without a filter.
    Nearest,
    /// The mean.
    Box,
    /// A triangle.
    #[default]
    Bilinear,
    /// A sine cardinal in the window of that name.
    Hamming,
    /// Cubics of the slope -0.5.
    Bicubic,
    /// A sine cardinal in one of three times its width.
    Lanczos,
}

impl Resample {
    /// All of them.
    pub const ALL: [Resample; 6] = [
        Resample::Nearest,
        Resample::Box,
        Resample::Bilinear,
        Resample::Hamming,
        Resample::Bicubic,
        Resample::Lanczos,
    ];

    /// Its name in the JSON, which is that in Pillow.
    pub fn name(self) -> &'static str {
        match self {
            Resample::Nearest => "nearest",
            Resample::Box => "box",
            Resample::Bilinear => "bilinear",
            Resample::Hamming => "hamming",
            Resample::Bicubic => "bicubic",
            Resample::Lanczos => "lanczos",
        }
    }
}

/// Where the input begins in the resized picture, if as many pixels can't be left off on both sides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CropRounding {
    /// Half of the pixels that are left off, rounded down: transformers.
    #[default]
    Down,
    /// Half of them, rounded to an even number: torchvision and timm. A side that covers more than an input that isn't square is
    /// rounded likewise, instead of down.
    Even,
}

/// The order of an input's channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChannelOrder {
    /// Red first.
    Rgb,
    /// Blue first.
    Bgr,
}

/// Most channels of a picture of bytes, which `NAME_run_u8` takes.
pub const MOST_CHANNELS: usize = 4;

impl Info {
    /// Whether it computes in bytes and integers.
    pub fn is_int8(&self) -> bool {
        self.constant_channels.is_some_and(|told| !told.in_f32)
    }

    /// Whether the input is a picture of bytes, so that there is a `NAME_run_u8`.
    pub fn takes_bytes(&self) -> bool {
        (1..=MOST_CHANNELS).contains(&self.input.channels)
    }

    /// The JSON on one line. The same description gives the same bytes.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a description is numbers and strings: all of it has a JSON form")
    }

    /// Reads what [`Info::to_json`] wrote; the error says where it goes wrong and what was expected.
    pub fn from_json(json: &[u8]) -> Result<Info, String> {
        let info: Info = serde_json::from_slice(json).map_err(|e| format!("network description: {e}"))?;
        if info.schema != SCHEMA {
            return Err(format!("network description: found schema {}, expected {SCHEMA}", info.schema));
        }
        Ok(info)
    }

    /// As [`Info::from_json`], with what makes boxes.
    pub fn whole_from_json(json: &[u8]) -> Result<Info, String> {
        Ok(Info { detect: Detect::from_json(json)?, ..Info::from_json(json)? })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn example() -> Info {
        Info {
            schema: SCHEMA,
            name: "classify".to_string(),
            network: "mobilenet-v1".to_string(),
            compiler: "0.1.0".to_string(),
            alpha: 0.25,
            batch: 1,
            input: Input { height: 128, width: 128, channels: 3 },
            output: Output {
                shape: vec![1, 1, 3],
                kind: OutputKind::Logits,
                scores: Scores::Softmax,
                parts: Vec::new(),
            },
            detect: None,
            preprocess: Preprocess {
                resize: Resize::Cover { height: 146, width: 146 },
                resample: Resample::Bilinear,
                crop_rounding: CropRounding::Down,
                fill: Vec::new(),
                multiplier: vec![1.0 / 127.5; 3],
                offset: vec![-1.0; 3],
                channel_order: ChannelOrder::Rgb,
            },
            labels: vec![
                "background".to_string(),
                "tench, Tinca tinca".to_string(),
                "\"quoted\" é".to_string(),
            ],
            target: "x86_64-unknown-linux-gnu".to_string(),
            isa: "x86-64-v3".to_string(),
            wider: Vec::new(),
            cpu_features: vec!["avx".to_string(), "fma".to_string()],
            workspace_bytes: 1 << 20,
            weight_bytes: 1_900_000,
            weights_file: None,
            random_weights: None,
            assumed: Vec::new(),
            multiply_adds: 14_000_000,
            padding_multiply_adds: 0,
            constant_channels: None,
            steps: vec![StepInfo {
                name: "conv_pw_1".to_string(),
                kernel: "f32_pointwise_6x16_relu6_fma3".to_string(),
                multiply_adds: 14_000_000,
                padding_multiply_adds: 0,
                weight_bytes: 1_900_000,
                input_bytes: 196_608,
                output_bytes: 12,
            }],
        }
    }

    #[test]
    fn json_gives_the_same_back() {
        let info = example();
        assert_eq!(Info::from_json(info.to_json().as_bytes()), Ok(info.clone()));
        let stretch = Preprocess {
            resize: Resize::Squash { height: 140, width: 150 },
            resample: Resample::Lanczos,
            crop_rounding: CropRounding::Even,
            ..info.preprocess.clone()
        };
        let assumed = vec!["preprocessing: no preprocessor_config.json".to_string()];
        let constant_channels = Some(ConstantChannels { left_out: 3, channels: 9, ..Default::default() });
        let info = Info { preprocess: stretch, random_weights: Some(7), assumed, constant_channels, ..info };
        assert_eq!(Info::from_json(info.to_json().as_bytes()), Ok(info));
    }

    #[test]
    fn json_has_the_documented_names() {
        let json = example().to_json();
        for part in [
            r#"{"schema":4,"name":"classify","network":"mobilenet-v1","compiler":"0.1.0","alpha":0.25,"#,
            r#""batch":1,"input":{"height":128,"width":128,"channels":3},"output":{"shape":[1,1,3],"kind":"logits","scores":"softmax"},"#,
            r#""preprocess":{"resize":{"rule":"cover","height":146,"width":146},"multiplier":[0.007843138,"#,
            r#""channel_order":"rgb"},"labels":["background","#,
            r#""cpu_features":["avx","fma"],"workspace_bytes":1048576,"weight_bytes":1900000,"#,
            r#""steps":[{"name":"conv_pw_1","kernel":"f32_pointwise_6x16_relu6_fma3","multiply_adds":14000000,"padding_multiply_adds":0,"#,
            r#""weight_bytes":1900000,"input_bytes":196608,"output_bytes":12}]"#,
        ] {
            assert!(json.contains(part), "{part} in {json}");
        }
    }

    #[test]
    fn what_is_unusual_in_pictures_has_its_names_too() {
        let mut info = example();
        info.preprocess.resize = Resize::Keep;
        info.preprocess.crop_rounding = CropRounding::Even;
        for resample in Resample::ALL.into_iter().filter(|filter| *filter != Resample::Bilinear) {
            info.preprocess.resample = resample;
            let name = resample.name();
            let part = format!(
                r#""preprocess":{{"resize":{{"rule":"keep"}},"resample":"{name}","crop_rounding":"even","#
            );
            assert!(info.to_json().contains(&part), "{part}");
        }
    }

    #[test]
    fn another_schema_is_refused() {
        let json = Info { schema: 3, ..example() }.to_json();
        let error = "network description: found schema 3, expected 4";
        assert_eq!(Info::from_json(json.as_bytes()), Err(error.to_string()));
        assert!(Info::from_json(b"{").is_err());
    }
}
