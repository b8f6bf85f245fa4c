//! Bytes: safetensors, weights files, objects, pictures.

use std::sync::OnceLock;

use mnc::describe::Description;
use mnc::graph::{Graph, Knobs};
use mnc::inspect::inspect;
use mnc::quantize;
use mnc::weights::naming::Naming;
use mnc::weights::{Parameters, Weights};
use mnc::{Compiled, Options, Target as Platform};
use mnc_runtime::abi::Status;
use mnc_runtime::info::{ChannelOrder, CropRounding, Info, Input, Preprocess, Resample, Resize};
use mnc_runtime::launcher::input_of;

use super::Target;
use crate::guarded::Guarded;
use crate::link::Linked;
use crate::networks::RandomNetwork;

/// A few layers of every kind of filter.
pub(super) const SMALL: &str = "name = \"small\"\nclasses = 3\ninput = { height = 6, width = 5, channels = 3 }\n\
                     [[layer]]\nkind = \"conv\"\nfilters = 4\nstride = 2\n[[layer]]\nkind = \"separable\"\nfilters = 5\n\
                     [[layer]]\nkind = \"global_average_pool\"\n[[layer]]\nkind = \"dense\"\n";

pub(super) fn small() -> Graph {
    let description = Description::parse(SMALL, "small.toml").expect("it is legal");
    Graph::build(&description, &Knobs::default()).expect("it is legal")
}

pub(super) const SAFETENSORS: Target = Target {
    name: "safetensors",
    run: |bytes| {
        static GRAPH: OnceLock<Graph> = OnceLock::new();
        let graph = GRAPH.get_or_init(small);
        let Ok(weights) = Weights::parse(bytes, "fuzz.safetensors") else { return false };
        for name in weights.names() {
            _ = weights.shape(name);
        }
        _ = weights.detect(graph);
        if let Ok(Some(fit)) = weights.fit(graph, Naming::ALL, None) {
            _ = weights.leftovers(graph, fit.naming);
        }
        let Ok(parameters) = weights.parameters(graph, None) else { return false };
        parameters.verify(graph);
        // Numbers may fold to what is no number: an error, no panic.
        mnc::passes::run(graph, &parameters).is_ok()
    },
    seeds: || {
        let graph = small();
        let file = |seed| Parameters::random(&graph, seed).to_safetensors(&graph, &Naming::PLAIN);
        [1, 2].into_iter().map(|seed| file(seed).expect("it can be written")).collect()
    },
    words: &[
        "\"dtype\":\"F16\"",
        "\"BF16\"",
        "\"I64\"",
        "\"shape\":[",
        "\"data_offsets\":[",
        "__metadata__",
        "{",
        "}",
        "[",
        "]",
        ",",
        "18446744073709551615",
        "4294967296",
        "0",
        "\\u0000",
    ],
    n_inputs: 40_000,
};

pub(super) const INT8: Target = Target {
    name: "int8",
    run: |bytes| {
        static GRAPH: OnceLock<Graph> = OnceLock::new();
        let graph = GRAPH.get_or_init(small);
        let Ok((network, provenance)) = quantize::file::read(bytes, "fuzz.safetensors", graph) else {
            return false;
        };
        // What has been read can be written and computed: no sum leaves an i32.
        assert!(
            quantize::file::write(&network, graph, &quantize::file::Said::default(), &provenance).is_ok()
        );
        let input: Vec<f32> = (0..graph.input_shape().len()).map(|idx| (idx % 3) as f32 - 1.0).collect();
        mnc::reference::output(&network, &input).len() == 3
    },
    seeds: || {
        let graph = small();
        let file = |seed| {
            let shape = graph.input_shape();
            let (bytes, constants) =
                (quantize::leaves::pictures(shape, 2, seed), graph.preprocess.constants());
            let pictures = quantize::Pictures { bytes: &bytes, constants: &constants, n_threads: 1 };
            let parameters = Parameters::random(&graph, seed);
            let options = quantize::Options::default();
            let networks = quantize::quantize(&graph, &parameters, &pictures, &options, &|| ());
            let integers = networks.expect("every layer has integers").integers;
            let provenance = quantize::file::Provenance {
                calibration: "leaves".to_owned(),
                pair_safe: false,
                sigma: Some(0.5),
                judged: None,
                random_weights: Some(seed),
                assumed: Vec::new(),
                chosen_f32: Vec::new(),
            };
            quantize::file::write(&integers, &graph, &quantize::file::Said::default(), &provenance)
                .expect("it can be written")
        };
        [1, 2].map(file).into()
    },
    words: &[
        "\"dtype\":\"I8\"",
        "\"I32\"",
        "\"U8\"",
        "\"shape\":[",
        "\"data_offsets\":[",
        "__metadata__",
        "mnc.int8",
        "\\\"schema\\\":",
        "\\\"layers\\\":[",
        "null",
        "4294967296",
    ],
    n_inputs: 20_000,
};

/// The small network with its weights in a file, and that file.
fn outside() -> Option<&'static (Compiled, Vec<u8>, Linked)> {
    static NETWORK: OnceLock<Option<(Compiled, Vec<u8>, Linked)>> = OnceLock::new();
    let network = NETWORK.get_or_init(|| {
        let graph = small();
        let parameters = Parameters::random(&graph, 1);
        let target = crate::need::host_targets().into_iter().next()?;
        let options = Options { name: "net", labels: &[] };
        let compiled = mnc::compile(graph, &parameters, &target, &options).expect("it is legal");
        let compiled = compiled.with_weights_file("net.weights");
        let file = compiled.weights_file().expect("it has one");
        let linked = Linked::one(&compiled)?;
        Some((compiled, file, linked))
    });
    network.as_ref()
}

/// Bound by a compiled network, which believes nobody: a file is taken if it is the network's own, to the last bit.
pub(super) const WEIGHTS_FILE: Target = Target {
    name: "weights_file",
    run: |bytes| {
        let Some((compiled, own, linked)) = outside() else { return false };
        let network = linked.network(compiled);
        let mut workspace = Guarded::new(network.workspace_bytes, 0, 0xff);
        let mut file = Guarded::new(bytes.len(), 0, 0);
        file.bytes_mut().copy_from_slice(bytes);
        // SAFETY: the workspace is as long as the network says.
        let status = unsafe { network.bind(workspace.as_mut_ptr(), file.bytes()) };
        assert!(workspace.is_intact() && file.is_intact());
        assert_eq!(status == Status::Ok, bytes == own, "{status} for {} bytes", bytes.len());
        status == Status::Ok
    },
    seeds: || outside().map(|(_, file, _)| file.clone()).into_iter().collect(),
    words: &[],
    n_inputs: 40_000,
};

/// Objects of every platform, small ones.
pub(super) const OBJECT: Target = Target {
    name: "object",
    run: |bytes| inspect(bytes).is_ok_and(|report| report.is_kept()),
    seeds: || {
        let triples = [
            "x86_64-unknown-linux-gnu",
            "aarch64-unknown-linux-gnu",
            "x86_64-apple-darwin",
            "x86_64-pc-windows-msvc",
        ];
        let graph = small();
        let parameters = Parameters::random(&graph, 1);
        let object = |triple: &&str| {
            let target = Platform::new(triple, None).expect("a row of the table");
            let options = Options { name: "net", labels: &[] };
            let compiled = mnc::compile(graph.clone(), &parameters, &target, &options).expect("it is legal");
            compiled.object().expect("it can be emitted")
        };
        triples.iter().map(object).collect()
    },
    words: &[],
    n_inputs: 20_000,
};

/// Pictures as executables read them: decoded, turned, resized, normalised.
pub(super) const PICTURE: Target = Target {
    name: "picture",
    run: |bytes| {
        let mut is_accepted = false;
        for (channels, resize, resample, crop_rounding) in [
            (3, Resize::Cover { height: 12, width: 12 }, Resample::Bilinear, CropRounding::Down),
            (1, Resize::Stretch, Resample::Lanczos, CropRounding::Down),
            (3, Resize::Cover { height: 12, width: 10 }, Resample::Nearest, CropRounding::Even),
            (3, Resize::Border { height: 12, width: 10 }, Resample::Bicubic, CropRounding::Even),
        ] {
            let preprocess = Preprocess {
                resize,
                resample,
                crop_rounding,
                fill: vec![124; channels],
                channel_order: ChannelOrder::Rgb,
                multiplier: vec![2.0 / 255.0; channels],
                offset: vec![-1.0; channels],
            };
            let input = Input { height: 11, width: 9, channels };
            if let Ok(values) = input_of(&Info { input, preprocess, ..info() }, bytes) {
                assert_eq!(values.len(), input.len());
                assert!(values.iter().all(|value| (-1.001..=1.001).contains(value)), "{values:?}");
                is_accepted = true;
            }
        }
        is_accepted
    },
    seeds: || {
        let files: [&[u8]; 5] = [
            include_bytes!("../../../runtime/src/launcher/picture/fixtures/alpha.webp"),
            include_bytes!("../../../runtime/src/launcher/picture/fixtures/lossy.webp"),
            include_bytes!("../../../runtime/src/launcher/picture/fixtures/animated.webp"),
            include_bytes!("../../../runtime/src/launcher/picture/fixtures/interlaced.gif"),
            include_bytes!("../../../runtime/src/launcher/picture/fixtures/animated.gif"),
        ];
        files.iter().map(|file| file.to_vec()).collect()
    },
    words: &[],
    n_inputs: 15_000,
};

/// Of any network: pictures look at the input alone.
fn info() -> Info {
    let network = RandomNetwork::new(1);
    let target = Platform::new("x86_64-unknown-linux-gnu", None).expect("a row of the table");
    let options = Options { name: "net", labels: &[] };
    static INFO: OnceLock<Info> = OnceLock::new();
    INFO.get_or_init(|| {
        mnc::compile(network.graph, &network.parameters, &target, &options).expect("it is legal").info
    })
    .clone()
}
