//! Texts: descriptions, JSON beside weights, schedules, manifests, names.

use std::sync::OnceLock;

use mnc::cost::Report;
use mnc::describe::{BUILTIN, Description};
use mnc::emit::manifest::{File, Manifest, Origin};
use mnc::graph::{Graph, Knobs, Resolution};
use mnc::kernels::KernelName;
use mnc::passes::Fused;
use mnc::schedule::tuning::Tuning;
use mnc::target::ISAS;
use mnc::weights::config::{ModelConfig, PreprocessorConfig};
use mnc::{Marks, Options, Target as Platform};

use super::Target;
use crate::networks::{self, RandomNetwork};

/// Graphs with more multiply-adds are only priced.
const CHEAP: u64 = 2_000_000;

pub(super) const DESCRIPTION: Target = Target {
    name: "description",
    run: description,
    seeds: || {
        let built_in = BUILTIN.iter().map(|network| network.text.as_bytes().to_vec());
        built_in.chain((0..40).map(|seed| RandomNetwork::new(seed).toml.into_bytes())).collect()
    },
    words: &[
        "[[layer]]\n",
        "kind = \"conv\"\n",
        "kind = \"separable\"\n",
        "kind = \"add\"\nfrom = \"input\"\n",
        "kind = \"dense\"\n",
        "kind = \"softmax\"\n",
        "kind = \"global_average_pool\"\n",
        "repeat = ",
        "kernel = ",
        "stride = 2\n",
        "filters = ",
        "padding = \"valid\"\n",
        "classes = ",
        "activation = \"relu\"\n",
        "name = \"a\"\n",
        "[alpha]\n",
        "minimum = ",
        "multiple = ",
        "[preprocess]\n",
        "mean = [",
        "std = [0.0]\n",
        "input = { ",
        " = ",
        "\"",
        "'''",
        "\u{0}",
        "\u{feff}",
        "\u{10ffff}",
        "\r\n",
    ],
    n_inputs: 20_000,
};

fn description(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let Ok(description) = Description::parse(text, "fuzz.toml") else { return false };
    let mut is_legal = false;
    for (alpha, side) in [(1.0, None), (0.25, Some(32)), (1.4, Some(33))] {
        let resolution = side.map(|side| Resolution { height: side, width: side + 1 });
        let Ok(graph) = Graph::build(&description, &Knobs { alpha, resolution }) else { continue };
        let total = Report::of(&graph).total;
        // Small ones go all the way to code.
        if total.mult_adds < CHEAP && total.parameters < CHEAP && graph.nodes.len() < 40 {
            let parameters = mnc::weights::Parameters::random(&graph, 1);
            let target = Platform::new("x86_64-unknown-linux-gnu", None).expect("a row of the table");
            let options = Options { name: "fuzz", labels: &[] };
            _ = mnc::compile(graph, &parameters, &target, &options);
        }
        is_legal = true;
    }
    is_legal
}

/// Keys that exporters write, values that belong to others.
const JSON: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "null",
    "true",
    "1e999",
    "-1",
    "0.5",
    "\"\"",
    "\"\\u0000\"",
    "\"\\ud800\"",
    "\"size\": ",
    "\"shortest_edge\": ",
    "\"height\": ",
    "\"crop_size\": ",
    "\"image_mean\": ",
    "\"image_std\": ",
    "\"resample\": ",
    "\"do_resize\": ",
    "\"id2label\": ",
    "\"0\": ",
    "\"image_size\": ",
    "\"depth_multiplier\": ",
    "\"hidden_act\": ",
    "\"pretrained_cfg\": ",
    "\"interpolation\": ",
    "\"num_classes\": ",
    "\"layer_norm_eps\": ",
    "\"rescale_factor\": ",
];

fn mobilenet() -> Description {
    mnc::describe::builtin("mobilenet-v1").expect("it is built in").description()
}

pub(super) const CONFIG: Target = Target {
    name: "config",
    run: |bytes| {
        let Ok(text) = std::str::from_utf8(bytes) else { return false };
        let Ok(config) = ModelConfig::parse(text, "config.json") else { return false };
        let mut description = mobilenet();
        config.apply(&mut description);
        _ = config.labels();
        let knobs = Knobs { alpha: config.alpha().unwrap_or(1.0), resolution: config.resolution() };
        Graph::build(&description, &knobs).is_ok()
    },
    seeds: || vec![include_bytes!("../../../examples/person-detector/config.json").to_vec()],
    words: JSON,
    n_inputs: 50_000,
};

pub(super) const PREPROCESSOR: Target = Target {
    name: "preprocessor",
    run: |bytes| {
        let Ok(text) = std::str::from_utf8(bytes) else { return false };
        let Ok(config) = PreprocessorConfig::parse(text, "preprocessor_config.json") else { return false };
        let mut description = mobilenet();
        config.apply(&mut description);
        Graph::build(&description, &Knobs::default()).is_ok()
    },
    seeds: || vec![include_bytes!("../../../examples/person-detector/preprocessor_config.json").to_vec()],
    words: JSON,
    n_inputs: 50_000,
};

/// A network that schedules are checked against.
fn scheduled() -> &'static (Graph, Fused) {
    static NETWORK: OnceLock<(Graph, Fused)> = OnceLock::new();
    NETWORK.get_or_init(|| {
        let (graph, parameters) = networks::builtin("mobilenet-v1", 0.25, 64);
        let fused = mnc::passes::run(&graph, &parameters).expect("it is legal");
        (graph, fused)
    })
}

pub(super) const SCHEDULE: Target = Target {
    name: "schedule",
    run: |bytes| {
        let Ok(text) = std::str::from_utf8(bytes) else { return false };
        let Ok(tuning) = Tuning::parse(text, "fuzz.toml") else { return false };
        let again = Tuning::parse(&tuning.to_toml(), "fuzz.toml").expect("what is written can be read");
        assert_eq!(again.to_toml(), tuning.to_toml());
        let (graph, fused) = scheduled();
        ISAS.iter().any(|isa| tuning.check(graph, fused, &[*isa]).is_ok())
    },
    seeds: || {
        let (graph, _) = scheduled();
        let empty = ISAS.iter().map(|isa| Tuning::new(graph, isa, "a CPU").to_toml());
        let full = empty.clone().map(|text| {
            text.replace("layer = []\nchain = []\n", "")
                + "\n[[layer]]\nname = \"conv_pw_1\"\nkernel = \"f32_pointwise_4x16_relu6_fma3\"\nreason = \"2 %\"\n\
                   \n[[chain]]\nfirst = \"conv_dw_1\"\nlast = \"conv_pw_1\"\nrows = 4\nreason = \"\"\n"
        });
        empty.chain(full).map(String::into_bytes).collect()
    },
    words: &[
        "[[layer]]\n",
        "[[chain]]\n",
        "name = ",
        "kernel = ",
        "reason = ",
        "rows = ",
        "first = ",
        "last = ",
        "schema = ",
        "\"f32_pointwise_2x16_relu6_fma3\"",
        "\"f32_depthwise_3x3s1_7x8_relu6_fma3\"",
        "\"conv_dw_2\"",
        "\n",
        "\"",
        "=",
        "[]",
    ],
    n_inputs: 20_000,
};

pub(super) const MANIFEST: Target = Target {
    name: "manifest",
    run: |bytes| {
        let Ok(manifest) = Manifest::from_json(bytes) else { return false };
        let again = manifest.to_json();
        assert_eq!(Manifest::from_json(again.as_bytes()).map(|read| read.to_json()), Ok(again));
        true
    },
    seeds: || {
        let (graph, parameters) = networks::builtin("mobilenet-v1", 0.25, 32);
        let total = Report::of(&graph).total;
        let target = Platform::new("x86_64-unknown-linux-gnu", None).expect("a row of the table");
        let labels: Vec<String> = (0..1001).map(|idx| format!("{idx}\t\"")).collect();
        let options = Options { name: "net", labels: &labels };
        let compiled = mnc::compile(graph, &parameters, &target, &options);
        let outputs = vec![File::new("obj", "net.o", b"object"), File::new("header", "net.h", b"")];
        let marks =
            Marks { random_weights: Some(1), assumed: vec!["padding same: no config.json".to_owned()] };
        let compiled = compiled.expect("the network is legal, and so are its labels").with_marks(&marks);
        let origin = Origin {
            description: "name = \"mobilenet-v1\"".to_owned(),
            changed: vec!["config.json: 2 classes".to_owned()],
            full: mobilenet().input,
            notes: vec!["left out: x".to_owned()],
            inputs: vec![File::new("weights", "w.safetensors", b"numbers")],
        };
        vec![Manifest::new(&compiled.info, &total, origin, outputs).to_json().into_bytes()]
    },
    words: JSON,
    n_inputs: 20_000,
};

/// Words of the command line: targets, CPUs, resolutions, symbols, kernels.
pub(super) const NAMES: Target = Target {
    name: "names",
    run: |bytes| {
        let Ok(text) = std::str::from_utf8(bytes) else { return false };
        let (triple, cpu) = text.split_once(' ').unwrap_or((text, ""));
        let target = Platform::new(triple, (!cpu.is_empty()).then_some(cpu));
        let resolution = text.parse::<Resolution>();
        let name = Options::name_of(text);
        assert!(name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_'), "{name}");
        assert!(name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'), "{name}");
        let kernel = text.parse::<KernelName>();
        if let Ok(kernel) = &kernel {
            assert_eq!(kernel.to_string().parse().as_ref(), Ok(kernel));
        }
        target.is_ok() || resolution.is_ok() || kernel.is_ok()
    },
    seeds: || {
        let texts = [
            "x86_64-unknown-linux-gnu x86-64-v4",
            "riscv64gc-unknown-linux-gnu",
            "aarch64-apple-darwin armv8-a",
            "192x160",
            "224",
            "f32_depthwise_3x3s2_7x8_relu6_fma3",
            "mobilenet-v1 0.25@128",
            "9 lives\u{e9}\u{1f600}",
        ];
        texts.map(|text| text.as_bytes().to_vec()).to_vec()
    },
    words: &[
        "x86_64", "-", "unknown", "linux", "gnu", "x", "_", "s", "relu6", "0", "\u{0}", "\u{202e}",
        "\u{fffd}",
    ],
    n_inputs: 100_000,
};
