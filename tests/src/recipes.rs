//! Synthetic checkpoints of the shared data, made from their recipes: the files that an exporter would write, with seeded
//! numbers, and the logits that its own code gave for them.
//!
//! In: `next/synthetic/synthetic.json` (keys, shapes, configurations) and `synthetic.safetensors` (statistics of batch norms,
//! logits). Out: the bytes of a safetensors file, whose SHA-256 the recipe tells, and its inputs. All numbers come from splitmix64
//! by exactly rounded operations, in the order that the head of `next/make_synthetic.py` states.

use std::path::{Path, PathBuf};

use mnc::job::Job;
use mnc::request::{Network, Numbers, Package, Request};
use safetensors::SafeTensors;
use serde_json::Value;

use crate::folder::Folder;
use crate::need;
use crate::recorded::TrainedNetwork;

/// The recipes, read.
#[derive(Debug)]
pub struct Recipes {
    networks: Value,
    /// A safetensors file: statistics and logits.
    numbers: Vec<u8>,
}

/// One recipe.
#[derive(Clone, Copy, Debug)]
pub struct Recipe<'a> {
    /// `timm.mobilenetv2_100`.
    pub name: &'a str,
    value: &'a Value,
    numbers: &'a [u8],
}

impl Recipes {
    /// Reads the recipes, where they are.
    ///
    /// # Panics
    /// When they can't be read.
    pub fn read() -> Option<Recipes> {
        let folder = need::shared_data("next/synthetic")?;
        let json = crate::recorded::read(&folder.join("synthetic.json"));
        let mut json: Value = serde_json::from_slice(&json).expect("the recipes are JSON");
        let numbers = crate::recorded::read(&folder.join("synthetic.safetensors"));
        Some(Recipes { networks: json["networks"].take(), numbers })
    }

    /// Every name, in the order of the file's keys.
    pub fn names(&self) -> Vec<&str> {
        let networks = self.networks.as_object().expect("an object by name");
        networks.keys().map(String::as_str).collect()
    }

    /// The recipe of this name.
    ///
    /// # Panics
    /// When there is none.
    pub fn get(&self, name: &str) -> Recipe<'_> {
        let networks = self.networks.as_object().expect("an object by name");
        let (name, value) = networks.get_key_value(name).unwrap_or_else(|| panic!("{name} has a recipe"));
        Recipe { name, value, numbers: &self.numbers }
    }
}

/// A tensor of a recipe.
struct Row<'a> {
    key: &'a str,
    dtype: &'a str,
    shape: Vec<usize>,
    rule: &'a str,
}

impl Row<'_> {
    fn element_bytes(&self) -> usize {
        match self.dtype {
            "F32" => 4,
            "I64" => 8,
            other => panic!("{}: {other} is no type of a recipe", self.key),
        }
    }

    fn len(&self) -> usize {
        self.shape.iter().product()
    }
}

impl<'a> Recipe<'a> {
    /// The shape of each tensor by its name, in the order in which the exporter's code made them.
    ///
    /// # Panics
    /// As [`Recipe::weights`].
    pub fn shapes(&self) -> Vec<(&'a str, Vec<usize>)> {
        let rows = self.value["tensors"].as_array().expect("tensors").iter().map(row);
        rows.map(|row| (row.key, row.shape)).collect()
    }

    /// The safetensors file.
    ///
    /// # Panics
    /// When the recipe isn't what it should be.
    pub fn weights(&self) -> Vec<u8> {
        let mut rows: Vec<Row<'_>> =
            self.value["tensors"].as_array().expect("tensors").iter().map(row).collect();
        // Long elements first, as safetensors' own writer lays them out.
        rows.sort_by(|a, b| b.element_bytes().cmp(&a.element_bytes()).then(a.key.cmp(b.key)));
        let mut header = String::from(r#"{"__metadata__":{"format":"pt"}"#);
        let mut end = 0;
        for row in &rows {
            let start = end;
            end += row.len() * row.element_bytes();
            let shape = Value::from(row.shape.clone());
            let (key, dtype) = (row.key, row.dtype);
            header +=
                &format!(r#","{key}":{{"dtype":"{dtype}","shape":{shape},"data_offsets":[{start},{end}]}}"#);
        }
        header.push('}');
        while header.len() % 8 != 0 {
            header.push(' ');
        }
        let mut file = (header.len() as u64).to_le_bytes().to_vec();
        file.extend(header.as_bytes());
        let statistics = SafeTensors::deserialize(self.numbers).expect("the statistics are safetensors");
        for row in &rows {
            self.push_tensor(row, &statistics, &mut file);
        }
        file
    }

    /// What the exporter writes beside the weights: `config.json` or `preprocessor_config.json`, where it writes such.
    pub fn json(&self, name: &str) -> Option<String> {
        let value = &self.value[name.strip_suffix(".json").expect("a JSON file")];
        (!value.is_null()).then(|| value.to_string())
    }

    /// What the weights' SHA-256 has to be.
    pub fn sha256(&self) -> &'a str {
        self.value["sha256"].as_str().expect("a hash")
    }

    /// The inputs, each in the order row, column, channel.
    pub fn inputs(&self) -> Vec<Vec<f32>> {
        let shape: Vec<usize> = numbers(&self.value["input"]);
        let &[count, channels, height, width] = &shape[..] else { panic!("an input has four axes") };
        let map = |idx: usize| {
            let seed = seed(&format!("{}/input/{idx}", self.name));
            let noise = |channel: usize, row: usize, column: usize| {
                let word = word(seed, (channel * height + row) * width + column);
                (word >> 48) as f64 / 32768.0 - 1.0
            };
            let pixel = |channel: usize, row: usize, column: usize| {
                let fine = noise(channel, row, column);
                if idx.is_multiple_of(2) {
                    return fine as f32;
                }
                let coarse = noise(channel, row / 32 * 32, column / 32 * 32);
                (fine / 4.0 + 3.0 * coarse / 4.0) as f32
            };
            let mut map = Vec::with_capacity(channels * height * width);
            for row in 0..height {
                for column in 0..width {
                    map.extend((0..channels).map(|channel| pixel(channel, row, column)));
                }
            }
            map
        };
        (0..count).map(map).collect()
    }

    /// The logits of each input, evaluated in f64 by the exporter's own code.
    pub fn logits(&self) -> Vec<Vec<f64>> {
        crate::recorded::rows(self.numbers, &format!("{}/logits_f64", self.name))
    }

    /// The index of each input's largest logit.
    pub fn top1(&self) -> Vec<usize> {
        numbers(&self.value["logits"]["top1"])
    }

    /// Writes the folder as it would be downloaded, weights as `model.safetensors`; their path.
    ///
    /// # Panics
    /// When the folder can't be written to.
    pub fn write(&self, folder: &Path) -> PathBuf {
        let write = |name: &str, bytes: &[u8]| {
            let path = folder.join(name);
            std::fs::write(&path, bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            path
        };
        for name in ["config.json", "preprocessor_config.json"] {
            if let Some(text) = self.json(name) {
                write(name, text.as_bytes());
            }
        }
        write("model.safetensors", &self.weights())
    }

    /// The network of its folder, as `mnc compile FOLDER` finds it.
    ///
    /// # Panics
    /// When the compiler refuses it.
    pub fn read(&self) -> TrainedNetwork {
        let fail = |error: mnc::Error| -> ! { panic!("{}: {error}", self.name) };
        let folder = Folder::new();
        let weights = self.write(folder.path());
        let network = Network::Named(folder.path().display().to_string());
        let mut files = Package::new("");
        let opened = Job::resolve(&Request::new(network, Numbers::File(weights)), &mut files)
            .and_then(|job| job.open(&mut files))
            .unwrap_or_else(|error| fail(error));
        let (graph, _) = opened.graph().unwrap_or_else(|error| fail(error));
        let weights = opened.weights().expect("there are some");
        let parameters = weights.parameters(&graph, None).unwrap_or_else(|error| fail(error));
        TrainedNetwork { graph, parameters, inputs: self.inputs(), logits: self.logits() }
    }

    fn push_tensor(&self, row: &Row<'_>, statistics: &SafeTensors<'_>, file: &mut Vec<u8>) {
        let text = format!("{}/{}", self.name, row.key);
        let numbers = seed(&text);
        let mut push = |x: f64| file.extend((x as f32).to_le_bytes());
        match row.rule {
            "count" => file.extend(vec![0; row.len() * row.element_bytes()]),
            "stat" => {
                let statistics = statistics.tensor(&text).expect("the statistics are there");
                for bytes in statistics.data().as_chunks::<2>().0 {
                    push(widened(u16::from_le_bytes(*bytes)));
                }
            }
            "weight" | "gate" => {
                let fan_in: usize = row.shape[1..].iter().product();
                let scale = f64::sqrt(2.0 / fan_in as f64) / sigma();
                let filters = seed(&format!("{text}/filter"));
                let gate = if row.rule == "gate" { 8.0 } else { 1.0 };
                for i in 0..row.len() {
                    let gain = 0.5 + (word(filters, i / fan_in) & 0xffff) as f64 / 65536.0;
                    push(bell(word(numbers, i)) * scale * gain * gate);
                }
            }
            "gamma" => (0..row.len()).for_each(|i| {
                let word = word(numbers, i);
                let x = 1.0 + bell(word) * (0.25 / sigma());
                push(if word.is_multiple_of(16) { -x } else { x });
            }),
            "beta" => (0..row.len()).for_each(|i| push(bell(word(numbers, i)) * (0.3 / sigma()))),
            "bias" => (0..row.len()).for_each(|i| push(bell(word(numbers, i)) * (0.1 / sigma()))),
            other => panic!("{text}: {other} is no rule"),
        }
    }
}

fn row(value: &Value) -> Row<'_> {
    let text = |at: usize| value[at].as_str().expect("a text");
    Row { key: text(0), dtype: text(1), shape: numbers(&value[2]), rule: text(3) }
}

fn numbers(value: &Value) -> Vec<usize> {
    let numbers = value.as_array().expect("an array").iter();
    numbers.map(|number| number.as_u64().expect("a whole number") as usize).collect()
}

/// FNV-1a.
fn seed(text: &str) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    text.bytes().fold(0xcbf2_9ce4_8422_2325, step)
}

/// The `i`-th number of splitmix64.
fn word(seed: u64, i: usize) -> u64 {
    let z = seed.wrapping_add((i as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

/// Nearly normal, of standard deviation [`sigma`].
fn bell(word: u64) -> f64 {
    let parts: u64 = (0..4).map(|part| word >> (16 * part) & 0xffff).sum();
    (parts as i64 - 131_070) as f64
}

fn sigma() -> f64 {
    f64::sqrt((65536.0 * 65536.0 - 1.0) / 3.0)
}

/// An F16 as the number that it is.
fn widened(bits: u16) -> f64 {
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f64::from(bits & 1023));
    let size = match exponent {
        0 => fraction * f64::powi(2.0, -24),
        31 => panic!("statistics are finite"),
        _ => (1024.0 + fraction) * f64::powi(2.0, exponent - 25),
    };
    if bits >> 15 == 1 { -size } else { size }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mnc::emit::manifest::File;

    /// Every file is the one that the recipe's author made, to the byte.
    #[test]
    fn files_are_those_of_the_recipes() {
        let Some(recipes) = Recipes::read() else { return };
        let names = recipes.names();
        assert_eq!(names.len(), 26);
        crate::each(&names, |name| {
            let recipe = recipes.get(name);
            let found = File::new("weights", name, &recipe.weights()).sha256;
            assert_eq!(found, recipe.sha256(), "{name}");
        });
    }

    /// An input is what its logits were computed from: its first pixel, by the words alone.
    #[test]
    fn inputs_are_in_our_order() {
        let Some(recipes) = Recipes::read() else { return };
        let inputs = recipes.get("hf.mobilenet_v2_0.35_96").inputs();
        assert_eq!((inputs.len(), inputs[0].len()), (2, 96 * 96 * 3));
        let word =
            |idx: usize, i: usize| word(seed(&format!("hf.mobilenet_v2_0.35_96/input/{idx}")), i) >> 48;
        let noise = |idx, i| word(idx, i) as f64 / 32768.0 - 1.0;
        // Row 33, column 40, channel 2.
        let (at, i) = ((33 * 96 + 40) * 3 + 2, (2 * 96 + 33) * 96 + 40);
        assert_eq!(f64::from(inputs[0][at]), noise(0, i));
        let corner = noise(1, (2 * 96 + 32) * 96 + 32);
        assert_eq!(inputs[1][at], (noise(1, i) / 4.0 + 3.0 * corner / 4.0) as f32);
    }

    #[test]
    fn halves() {
        for (bits, expected) in [(0x3c00, 1.0), (0xc000, -2.0), (1, f64::powi(2.0, -24)), (0x7bff, 65504.0)] {
            assert_eq!(widened(bits), expected);
        }
        assert!(widened(0x8000).is_sign_negative());
    }
}
