//! Two networks of others with every layer's output, as LiteRT with XNNPACK computes it.

use std::path::PathBuf;

use mnc::Compiled;
use mnc::graph::layer::Layer;
use mnc::graph::{Graph, Node, NodeId};
use mnc::job::{Job, Opened, Settings};
use mnc::passes::{self, Domain, Fused, without_constant_channels};
use mnc::quantize::others;
use mnc::request::{Constant, Network, Numbers, Package, Request};
use mnc::target::{ISAS, X86_64_V3};
use mnc::{Options, reference};
use mnc_runtime::launcher::input_for;
use mnc_tests::folder::Folder;
use mnc_tests::link::Linked;
use mnc_tests::recorded::{TRAINED, read};
use mnc_tests::{bits, need, picture, pool};
use serde_json::Value;

use super::{Tensor, Tensors, file, tensors};

/// A network of the shared data.
struct Recorded {
    weights: &'static str,
    expected: &'static str,
    layers: &'static str,
    /// Before the names of its layers' outputs.
    prefix: &'static str,
    builtin: &'static str,
    /// What its description has otherwise than the built-in one.
    changes: &'static [(&'static str, &'static str)],
    /// Its file of names, where its tensors have no exporter's.
    names: Option<&'static str>,
    n_operations: usize,
}

const VWW: Recorded = Recorded {
    weights: "next/weights/mobilenet_v1_0.25_96_vww_int8.safetensors",
    expected: "next/expected/mobilenet_v1_0.25_96_vww_int8.json",
    layers: "next/expected/mobilenet_v1_0.25_96_vww_int8.layers.safetensors",
    prefix: "xnnpack/",
    builtin: "mobilenet-v1",
    changes: &[
        ("\"relu6\"", "\"relu\""),
        ("classes = 1001", "classes = 2"),
        ("height = 224", "height = 96"),
        ("width = 224", "width = 96"),
        ("mean = [0.5, 0.5, 0.5]", "mean = [0.0, 0.0, 0.0]"),
        ("std = [0.5, 0.5, 0.5]", "std = [1.0, 1.0, 1.0]"),
    ],
    names: Some(
        "conv_1.weight = \"mobilenet_v1.conv_stem.weight\"\nconv_1.bias = \"mobilenet_v1.conv_stem.bias\"\n\
         conv_dw_{i}.weight = \"mobilenet_v1.layer.{2*i-2}.weight\"\nconv_dw_{i}.bias = \"mobilenet_v1.layer.{2*i-2}.bias\"\n\
         conv_pw_{i}.weight = \"mobilenet_v1.layer.{2*i-1}.weight\"\nconv_pw_{i}.bias = \"mobilenet_v1.layer.{2*i-1}.bias\"\n\
         dense_1.weight = \"classifier.weight\"\ndense_1.bias = \"classifier.bias\"\n",
    ),
    n_operations: 29,
};

const V2: Recorded = Recorded {
    weights: "next/weights/mobilenetv2_torchvision_int8.safetensors",
    expected: "next/expected/mobilenetv2_torchvision_int8.json",
    layers: "next/expected/mobilenetv2_torchvision_int8.layers.safetensors",
    prefix: "",
    builtin: "mobilenet-v2",
    changes: &[
        ("classes = 1001", "classes = 1000"),
        ("\"same\"", "\"symmetric\""),
        ("mean = [0.5, 0.5, 0.5]", "mean = [0.485, 0.456, 0.406]"),
        ("std = [0.5, 0.5, 0.5]", "std = [0.229, 0.224, 0.225]"),
    ],
    names: None,
    n_operations: 64,
};

/// Outputs of a network.
const MOST_OUTPUTS: usize = 32;

/// A network with its file.
struct Ready {
    recorded: &'static Recorded,
    folder: Folder,
    /// Of the operations whose bytes are compared: its value's name here, its name there, and what its bytes stand for.
    operations: Vec<Operation>,
    layers: Tensors,
    json: Value,
}

struct Operation {
    ours: String,
    theirs: String,
    scale: f32,
    zero_point: i32,
}

impl Recorded {
    fn toml(&self) -> String {
        let mut text = mnc::describe::builtin(self.builtin).expect("it is built in").text.to_owned();
        for (from, to) in self.changes {
            assert!(text.contains(from), "{from}");
            text = text.replacen(from, to, 1);
        }
        text
    }

    /// Writes the file of weights with the scales of the values, as docs/quantised.md says.
    fn ready(&'static self) -> Option<Ready> {
        let found = [self.weights, self.expected, self.layers].map(need::shared_data);
        let [Some(weights), Some(expected), Some(layers)] = found else { return None };
        let mut weights = tensors(&read(&weights));
        let json: Value = serde_json::from_slice(&read(&expected)).expect("it is JSON");
        let folder = Folder::new();
        folder.write("names.toml", self.names.unwrap_or_default());
        let mut ready =
            Ready { recorded: self, folder, operations: Vec::new(), layers: tensors(&read(&layers)), json };
        ready.folder.write("net.safetensors", file(&weights));
        let (graph, _) = ready.opened().graph().expect("its alpha is told");
        let shapes = passes::shapes(&graph).expect("it can be fused");
        let has_filter = |layer: &Layer, from: usize| layer.filter(shapes.nodes[from].shape()).is_some();
        let with_filters: Vec<&str> = shapes.nodes[1..]
            .iter()
            .filter(|node| has_filter(&node.layer, node.inputs[0].0))
            .map(|node| node.name.as_str())
            .collect();
        let of_kind = |layer: Layer| -> Vec<&str> {
            graph.nodes.iter().filter(|node| node.layer == layer).map(|node| node.name.as_str()).collect()
        };
        let mut names = [with_filters, of_kind(Layer::Add), of_kind(Layer::GlobalAveragePool)]
            .map(IntoIterator::into_iter);
        let mut add = |stem: &str, scale: &Value, zero_point: &Value| {
            let scale = scale.as_f64().expect("a scale") as f32;
            let zero_point = zero_point.as_i64().expect("a zero point") as i8;
            weights.insert(format!("{stem}.output_scale"), Tensor::f32s(&[scale]));
            weights.insert(format!("{stem}.output_zero_point"), Tensor::signed(zero_point));
            (scale, i32::from(zero_point))
        };
        let input = &ready.json["input"];
        add("input", &input["scale"], &input["zero_point"]);
        for operation in ready.json["operations"].as_array().expect("operations") {
            let theirs = operation["name"].as_str().expect("a name");
            let (kind, has_stem) = match operation["op"].as_str().expect("a kind") {
                "conv" | "depthwise" | "dense" => (0, true),
                "add" => (1, false),
                "global_average_pool" => (2, false),
                "softmax" => continue,
                other => panic!("{other}"),
            };
            let ours = names[kind].next().expect("a layer for each operation").to_owned();
            let stem = if has_stem { theirs } else { &ours };
            let (scale, zero_point) = add(stem, &operation["output_scale"], &operation["output_zero_point"]);
            ready.operations.push(Operation { ours, theirs: theirs.to_owned(), scale, zero_point });
        }
        assert!(names.iter_mut().all(|names| names.next().is_none()), "an operation for each layer");
        assert_eq!(ready.operations.len(), self.n_operations);
        ready.folder.write("net.safetensors", file(&weights));
        Some(ready)
    }
}

impl Ready {
    /// The job that a command would do.
    fn opened(&self) -> Opened {
        let network = Network::Inline { text: self.recorded.toml(), place: "net.toml".to_owned() };
        let mut request = Request::new(network, Numbers::File(PathBuf::from("net.safetensors")));
        request.names = self.recorded.names.map(|_| PathBuf::from("names.toml"));
        let files = &mut Package::new(self.folder.path());
        let opened = Job::resolve(&request, files).and_then(|job| job.open(files));
        opened.unwrap_or_else(|error| panic!("{error}"))
    }

    fn fused(&self, keep_constant: bool) -> (Graph, Fused) {
        let opened = self.opened();
        assert!(opened.is_int8());
        let opened = if keep_constant { opened.with_constant(Constant::Kept) } else { opened };
        let (graph, _) = opened.graph().expect("its alpha is told");
        let target = need::target_of(&X86_64_V3);
        let fused = opened.fused(&graph, &Settings::new(&target, "net"));
        (graph, fused.unwrap_or_else(|error| panic!("{error}")))
    }

    /// The network that returns the values of these layers, behind their activations.
    fn returning(&self, names: &[&str]) -> (Graph, Fused) {
        let opened = self.opened();
        let (mut graph, _) = opened.graph().expect("its alpha is told");
        let id_of = |name: &&str| {
            let at = graph.nodes.iter().position(|node| node.name == *name).expect("it is a layer");
            let is_activation =
                |node: &Node| matches!(node.layer, Layer::Activation(_)) && node.inputs == [NodeId(at)];
            NodeId(graph.nodes.iter().position(is_activation).unwrap_or(at))
        };
        let outputs: Vec<NodeId> = names.iter().map(id_of).collect();
        graph.output_names = names.iter().map(|name| (*name).to_owned()).collect();
        graph.outputs = outputs;
        let fused = others::read(opened.weights().expect("they are of a file"), &graph, None);
        (graph, fused.unwrap_or_else(|error| panic!("{error}")))
    }

    /// How many pictures there are.
    fn n_pictures(&self) -> usize {
        self.layers["input"].shape[0]
    }

    /// Theirs of one picture in the order rows, columns, channels.
    fn recorded(&self, name: &str, picture: usize) -> Vec<i32> {
        let Tensor { shape, bytes, .. } = &self.layers[name];
        let (channels, pixels) = (shape[1], shape[2..].iter().product::<usize>());
        let map = &bytes[picture * channels * pixels..][..channels * pixels];
        let at = |pixel: usize| {
            (0..channels).map(move |channel| i32::from(map[channel * pixels + pixel].cast_signed()))
        };
        (0..pixels).flat_map(at).collect()
    }

    /// The numbers whose bytes are those of a picture's input.
    fn input(&self, fused: &Fused, picture: usize) -> Vec<f32> {
        let bytes = fused.byte_input.as_ref().expect("it reads bytes");
        let theirs = self.recorded("input", picture);
        let number = |q: &i32| ((*q + 128) as f32 - bytes.offset[0]) / bytes.scale[0];
        let numbers: Vec<f32> = theirs.iter().map(number).collect();
        let back: Vec<i32> =
            reference::input_bytes(bytes, &numbers).iter().map(|q| i32::from(*q) - 128).collect();
        assert_eq!(back, theirs, "each byte comes back");
        numbers
    }

    /// Every value of the network, without any of its parts fused otherwise than for users.
    fn check_values(&self) {
        let (_, fused) = self.fused(true);
        for picture in 0..self.n_pictures() {
            let values = reference::run_on(&fused, &self.input(&fused, picture), 2);
            let mut n_compared = 0;
            for (node, found) in fused.nodes.iter().zip(&values).filter(|(node, _)| node.bytes.is_some()) {
                let operation = self.operations.iter().find(|operation| operation.ours == node.value_name());
                let Operation { theirs, .. } = operation.unwrap_or_else(|| panic!("{}", node.name));
                let found: Vec<i32> = found.iter().map(|q| *q as i32 - 128).collect();
                let expected = self.recorded(&format!("{}{theirs}", self.recorded.prefix), picture);
                assert!(found == expected, "{theirs}, picture {picture}");
                n_compared += 1;
            }
            // What an addition takes in isn't stored.
            let n_fused = fused.nodes.iter().filter(|node| node.residual.is_some()).count();
            assert_eq!(n_compared + n_fused, self.operations.len());
        }
    }

    /// Every operation as an output of compiled code, of reference and, on a few, of the interpreter.
    fn check_outputs(&self, interpreted: &[&mnc::target::Isa]) {
        for (part, operations) in self.operations.chunks(MOST_OUTPUTS).enumerate() {
            // Every layer is read or is an output: the last one always is.
            let last = self.operations.last().expect("it has layers");
            let mut outputs: Vec<&Operation> = operations.iter().collect();
            if outputs.iter().all(|operation| operation.ours != last.ours) {
                outputs[0] = last;
            }
            let names: Vec<&str> = outputs.iter().map(|operation| operation.ours.as_str()).collect();
            let (graph, fused) = self.returning(&names);
            let fused = if part == 0 {
                fused
            } else {
                without_constant_channels(fused, &Domain::Integers { keep_fit: part % 2 == 0 })
            };
            let numbers = |picture: usize| -> Vec<f32> {
                let of = |operation: &&Operation| -> Vec<f32> {
                    let theirs =
                        self.recorded(&format!("{}{}", self.recorded.prefix, operation.theirs), picture);
                    theirs.iter().map(|q| (q - operation.zero_point) as f32 * operation.scale).collect()
                };
                outputs.iter().flat_map(of).collect()
            };
            let compile = |target: &mnc::Target| -> Compiled {
                let options = Options { name: "net", labels: &[] };
                mnc::compile_fused(graph.clone(), fused.clone(), target, &options, None).expect("it compiles")
            };
            for target in need::host_targets() {
                let compiled = compile(&target);
                let Some(linked) = Linked::one(&compiled) else { continue };
                let network = linked.network(&compiled);
                for picture in 0..self.n_pictures() {
                    let (input, expected) = (self.input(&fused, picture), numbers(picture));
                    let case = format!("{}, part {part}, picture {picture}, {target}", self.recorded.weights);
                    bits::compare(&reference::output(&fused, &input), &expected)
                        .unwrap_or_else(|error| panic!("{case}, reference: {error}"));
                    let found = match network.run(&input) {
                        Err(mnc_runtime::abi::Status::MissingCpuFeature) => {
                            need::skip_cpu(&compiled);
                            break;
                        }
                        found => found.unwrap_or_else(|status| panic!("{case}: {status}")),
                    };
                    bits::compare(&found, &expected).unwrap_or_else(|error| panic!("{case}: {error}"));
                    let found = network.run_on(&input, &pool::BACKWARDS).expect("it runs");
                    bits::compare(&found, &expected).unwrap_or_else(|error| panic!("{case}, pool: {error}"));
                }
            }
            for isa in interpreted {
                let compiled = compile(&need::target_of(isa));
                let found = compiled.program.interpret(&self.input(&fused, 0)).expect("no access is wrong");
                bits::compare(&found, &numbers(0)).unwrap_or_else(|error| panic!("{}: {error}", isa.name));
            }
        }
    }

    /// Photographs through the entry for a picture's bytes: the other entry's answers, and LiteRT's classes.
    fn check_photographs(&self) {
        /// Decoders and filters differ by up to 4 of 255 a pixel.
        const LEAST_MARGIN: f64 = 1.0;
        let Some(folder) = need::shared_data("images") else { return };
        let Some(target) = need::host_targets().into_iter().find(|target| target.isa.name == X86_64_V3.name)
        else {
            return;
        };
        let (graph, fused) = self.fused(false);
        self.check_input_rule(&graph, &fused);
        let options = Options { name: "net", labels: &[] };
        let compiled = mnc::compile_fused(graph, fused, &target, &options, None).expect("it compiles");
        let Some(linked) = Linked::one(&compiled) else { return };
        let network = linked.network(&compiled);
        let mut preprocess = compiled.info.preprocess.clone();
        let channels = compiled.info.input.channels;
        (preprocess.multiplier, preprocess.offset) = (vec![1.0; channels], vec![0.0; channels]);
        let stride = compiled.info.input.width * channels;
        let mut n_clear = 0;
        for (idx, image) in self.json["images"].as_array().expect("images").iter().enumerate() {
            let name = image["file"].as_str().expect("a file");
            let path =
                [folder.join(name), folder.join("extra").join(name)].into_iter().find(|path| path.exists());
            let photograph = read(&path.unwrap_or_else(|| panic!("{name} is among the images")));
            let pixels = input_for(&compiled.info.input, &preprocess, &photograph).expect("it is a picture");
            let pixels: Vec<u8> = pixels.iter().map(|x| *x as u8).collect();
            let pool = [None, Some(&pool::BACKWARDS)][idx % 2];
            let found = network.run_u8(&pixels, stride, pool).expect("the CPU has what it takes");
            let expected =
                network.run(&picture::normalised(&compiled.info, &pixels, stride)).expect("it runs");
            bits::compare(&found, &expected).unwrap_or_else(|error| panic!("{name}: {error}"));
            let top = (0..found.len()).rev().max_by(|a, b| found[*a].total_cmp(&found[*b])).expect("classes");
            if LEAST_MARGIN < image["margin"].as_f64().expect("a margin") {
                n_clear += 1;
                assert_eq!(Some(top as u64), image["top5"][0]["index"].as_u64(), "{name}");
            }
        }
        println!("{}: {n_clear} photographs were clear", self.recorded.weights);
        assert!(20 <= n_clear, "{n_clear} photographs were clear");
    }

    /// The byte of each of a picture's is that of LiteRT's rule: rint(x / scale) and the zero point.
    fn check_input_rule(&self, graph: &Graph, fused: &Fused) {
        let bytes = fused.byte_input.as_ref().expect("it reads bytes");
        let scale = self.json["input"]["scale"].as_f64().expect("a scale") as f32;
        let zero_point = self.json["input"]["zero_point"].as_i64().expect("a zero point") as f32;
        for (channel, (multiplier, offset)) in graph.preprocess.constants().into_iter().enumerate() {
            for q in 0..=u8::MAX {
                let x = f32::from(q).mul_add(multiplier, offset);
                let theirs = ((x / scale).round_ties_even() + zero_point).clamp(-128.0, 127.0);
                assert_eq!(f32::from(bytes.byte(channel, x)) - 128.0, theirs, "channel {channel}, byte {q}");
            }
        }
    }
}

/// The weights are those of the network in f32, folded in f64, over their scales: what folds batch norms here and there agrees.
#[test]
fn weights_are_those_of_the_float_twin() {
    let (Some(ready), Some(twin)) = (VWW.ready(), TRAINED[2].read()) else { return };
    let file = tensors(&std::fs::read(ready.folder.path().join("net.safetensors")).expect("it is there"));
    let (_, fused) = ready.fused(true);
    let numbers = passes::run(&twin.graph, &twin.parameters).expect("it can be folded");
    let mut n_weights = 0;
    for (node, twin) in fused.nodes.iter().zip(&numbers.nodes) {
        let Some(filter) = &twin.filter else { continue };
        let operation = ready.operations.iter().find(|operation| operation.ours == node.name);
        let stem = &operation.expect("each has an operation").theirs;
        let scales = file[&format!("{stem}.weight_scale")].numbers();
        let ours = filter.weights.iter().zip(scales.iter().cycle());
        let ours: Vec<i8> = ours.map(|(w, scale)| (w / scale).round_ties_even() as i8).collect();
        assert!(node.integer.as_ref().is_some_and(|integer| integer.weights == ours), "{stem}");
        n_weights += ours.len();
    }
    assert_eq!(n_weights, 208_112);
}

#[test]
fn values_of_the_person_detector() {
    if let Some(ready) = VWW.ready() {
        ready.check_values();
    }
}

#[test]
fn outputs_of_the_person_detector() {
    if let Some(ready) = VWW.ready() {
        ready.check_outputs(ISAS);
    }
}

#[test]
fn photographs_of_the_person_detector() {
    if let Some(ready) = VWW.ready() {
        ready.check_photographs();
    }
}

#[test]
fn values_of_mobilenet_v2() {
    if let Some(ready) = V2.ready() {
        ready.check_values();
    }
}

#[test]
fn outputs_of_mobilenet_v2() {
    if let Some(ready) = V2.ready() {
        ready.check_outputs(&[]);
    }
}

#[test]
fn photographs_of_mobilenet_v2() {
    if let Some(ready) = V2.ready() {
        ready.check_photographs();
    }
}
