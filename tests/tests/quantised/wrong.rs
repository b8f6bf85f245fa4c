//! Files of quantised networks that are wrong are refused, by the name of what is wrong.

use mnc::describe::Description;
use mnc::graph::{Graph, Knobs};
use mnc::job::{Job, Settings};
use mnc::quantize::others;
use mnc::request::{Network, Numbers, Package, Request};
use mnc::target::X86_64_V3;
use mnc::weights::Weights;
use mnc::weights::naming::Naming;
use mnc_tests::folder::Folder;
use mnc_tests::need;
use mnc_tests::random::Random;
use safetensors::Dtype;

use super::{Tensor, Tensors, file, random};

const TINY: &str = r#"
name = "tiny"
classes = 3
activation = "relu6"
input = { height = 8, width = 8, channels = 3 }
layer = [
    { name = "conv_1", kind = "conv", filters = 8, batch_norm = false },
    { kind = "pointwise", filters = 8, activation = "none", batch_norm = false },
    { kind = "add", from = "conv_1" },
    { kind = "global_average_pool" },
    { kind = "dense" },
    { kind = "softmax" },
]
"#;

fn graph(toml: &str) -> Graph {
    let description = Description::parse(toml, "net.toml").expect("it is legal");
    Graph::build(&description, &Knobs::default()).expect("it is legal")
}

/// Signed weights of one layer, whose names the graph gives.
fn tiny() -> Tensors {
    let mut tensors = Tensors::new();
    let mut random = Random::new(1);
    for (name, shape) in
        [("conv_1", vec![8, 3, 3, 3]), ("conv_pw_1", vec![8, 8, 1, 1]), ("dense_1", vec![3, 8])]
    {
        let (n, len) = (shape[0], shape.iter().product());
        let bytes = (0..len).map(|_| (random.within(0, 200) as i16 - 100) as i8 as u8).collect();
        tensors.insert(format!("{name}.weight"), Tensor { dtype: Dtype::I8, shape, bytes });
        tensors.insert(format!("{name}.weight_scale"), Tensor::f32s(&vec![0.01; n]));
        tensors.insert(format!("{name}.bias"), Tensor::i32s(&vec![100; n]));
    }
    for name in ["input", "conv_1", "conv_pw_1", "add_1", "pool_1", "dense_1"] {
        tensors.insert(format!("{name}.output_scale"), Tensor::f32s(&[0.05]));
        tensors.insert(format!("{name}.output_zero_point"), Tensor::signed(-7));
    }
    tensors
}

fn read(tensors: &Tensors, toml: &str) -> mnc::Result<mnc::passes::Fused> {
    let file = file(tensors);
    others::read(&Weights::parse(&file, "net.safetensors")?, &graph(toml), Some(&Naming::PLAIN))
}

#[test]
fn each_fault_is_named() {
    read(&tiny(), TINY).unwrap_or_else(|error| panic!("{error}"));
    let check = |name: &str, change: &dyn Fn(&mut Tensor), expected: &str| {
        let mut tensors = tiny();
        change(tensors.get_mut(name).unwrap_or_else(|| panic!("there is a {name}")));
        let error = read(&tensors, TINY).expect_err(expected).to_string();
        assert!(error.contains(expected), "{name}: {error}");
    };
    let set =
        |number: f32| move |tensor: &mut Tensor| tensor.bytes[..4].copy_from_slice(&number.to_le_bytes());
    let scale = "found NaN, expected finite numbers above 0";
    check("conv_1.weight_scale", &set(f32::NAN), scale);
    check("input.output_scale", &set(0.0), "found 0.0, expected finite numbers above 0");
    check(
        "input.output_scale",
        &set(1e-39),
        "found 1e-39, expected finite numbers above 0, none of them denormal",
    );
    check("add_1.output_scale", &set(-1.0), "found -1.0, expected finite numbers above 0");
    check("dense_1.output_scale", &set(f32::INFINITY), "found inf, expected finite numbers above 0");
    check("conv_1.weight_scale", &set(1e9), "may leave 31 bits");
    check("add_1.output_scale", &set(1e-8), "not one a million times as fine");
    let overflow = |tensor: &mut Tensor| tensor.bytes[..4].copy_from_slice(&i32::MAX.to_le_bytes());
    check("conv_1.bias", &overflow, "may leave 31 bits");
    check("conv_1.bias", &|tensor| *tensor = Tensor::f32s(&[0.0; 8]), "is F32, expected I32");
    check(
        "conv_1.weight",
        &|tensor| tensor.dtype = Dtype::U8,
        "found none, expected U8 of one number, or of 8",
    );
    check(
        "conv_1.weight",
        &|tensor| *tensor = Tensor { shape: vec![8, 3, 3, 3], ..Tensor::f32s(&[0.0; 216]) },
        "is F32, expected I8 or U8 with a scale",
    );
    check("conv_1.weight", &|tensor| tensor.shape = vec![8, 3, 9, 1], "expected [8, 3, 3, 3]");
    check(
        "conv_1.weight_scale",
        &|tensor| *tensor = Tensor::f32s(&[1.0; 5]),
        "found F32 [5], expected F32 of one number, or of 8",
    );
    check(
        "add_1.output_zero_point",
        &|tensor| *tensor = Tensor::i32s(&[3]),
        "found I32 [1], expected I8 or U8 of one number",
    );
    let missing = |name: &str, expected: &str| {
        let mut tensors = tiny();
        tensors.remove(name).unwrap_or_else(|| panic!("there is a {name}"));
        let error = read(&tensors, TINY).expect_err(expected).to_string();
        assert!(error.contains(name) && error.contains(expected), "{name}: {error}");
    };
    missing("input.output_scale", "found none, expected F32 of one number");
    missing("add_1.output_zero_point", "found none, expected I8 or U8 of one number");
    missing("conv_pw_1.output_scale", "found none, expected F32 of one number");
    missing("dense_1.weight_scale", "found none, expected F32 of one number, or of 3");
    missing("dense_1.bias", "is missing, expected [3]");
    missing("dense_1.weight", "is missing, expected [3, 8]");
    let mut zeros = tiny();
    zeros.insert("conv_1.weight_zero_point".to_owned(), Tensor::i32s(&[0]));
    let error = read(&zeros, TINY).expect_err("it is refused").to_string();
    assert!(error.contains("found I32 [1], expected I8, as the weights, of one number, or of 8"), "{error}");
}

#[test]
fn other_layers_are_refused() {
    let refused = |toml: &str, expected: &str| {
        let error = read(&tiny(), toml).expect_err(expected).to_string();
        assert!(error.contains(expected), "{error}");
    };
    let swish = TINY.replace("relu6", "hard_swish");
    refused(&swish, "found the activation hard_swish in a network of another quantiser");
    let product = TINY.replace("kind = \"add\"", "kind = \"multiply\"");
    refused(&product, "found a product of maps in a network of another quantiser");
    let joined = TINY.replace("kind = \"add\", from = \"conv_1\"", "kind = \"concat\", from = [\"conv_1\"]");
    refused(
        &joined,
        "found a pool with a window, a concat or an upsampling in a network of another quantiser",
    );
    let norms = TINY.replacen(", batch_norm = false", "", 1);
    refused(&norms, "conv_1.norm: is a batch norm beside weights in integers");
}

/// A file through the door that all share: a softmax behind bytes, and what is refused there.
#[test]
fn jobs_take_them() {
    let folder = Folder::new();
    folder.write("net.safetensors", file(&tiny()));
    let network = Network::Inline { text: TINY.to_owned(), place: "net.toml".to_owned() };
    let request = Request::new(network, Numbers::File("net.safetensors".into()));
    let files = &mut Package::new(folder.path());
    let opened = Job::resolve(&request, files).and_then(|job| job.open(files)).expect("it is a network");
    assert!(opened.is_int8());
    assert!(opened.job().told().contains(&"int8: bytes and integers, quantised by others".to_owned()));
    let (graph, _) = opened.graph().expect("it has one");
    let target = need::target_of(&X86_64_V3);
    let settings = Settings::new(&target, "net");
    let error = opened.parameters(&graph, &settings).expect_err("they are integers").to_string();
    assert!(error.contains("found a network in integers, expected its numbers in f32"), "{error}");
    let compiled = opened.run(graph, &settings).expect("it compiles");
    let input: Vec<f32> = (0..192).map(|idx| idx as f32 / 30.0).collect();
    let found = compiled.program.interpret(&input).expect("no access is wrong");
    assert_eq!(found, mnc::reference::output(&compiled.fused, &input));
    assert!((found.iter().sum::<f32>() - 1.0).abs() < 1e-5, "{found:?}");
}

/// Scales of no layer are left out and told of, or refused.
#[test]
fn scales_too_many_are_told() {
    let folder = Folder::new();
    let opened = |tensors: &Tensors, strict: bool| {
        folder.write("net.safetensors", file(tensors));
        let network = Network::Inline { text: TINY.to_owned(), place: "net.toml".to_owned() };
        let request = Request::new(network, Numbers::File("net.safetensors".into()));
        let files = &mut Package::new(folder.path());
        Job::resolve(&Request { strict, ..request }, files).and_then(|job| job.open(files))
    };
    let told = |tensors: &Tensors| opened(tensors, false).expect("it is a network").job().told().join("\n");
    assert!(!told(&tiny()).contains("left out") && opened(&tiny(), true).is_ok());
    let has = |name: &str| tiny().contains_key(name);
    assert!(has("conv_1.output_scale") && !has("extra.output_scale"));
    // An addition has no weights, a softmax no bytes.
    for name in
        ["extra.output_scale", "extra.weight_zero_point", "add_1.weight_scale", "softmax.output_scale"]
    {
        let mut tensors = tiny();
        tensors.insert(name.to_owned(), Tensor::f32s(&[0.05]));
        let told = told(&tensors);
        assert!(
            told.contains(&format!("left out: 1 tensor that no layer wants, 4 bytes: \"{name}\"")),
            "{told}"
        );
        let error = opened(&tensors, true).expect_err(name).to_string();
        assert!(error.contains(&format!("found 1 tensor that no layer wants (\"{name}\")")), "{error}");
    }
}

/// Any file is refused or gives a network whose sums are proved.
#[test]
fn damaged_files_are_refused_or_read() {
    let drawn: Vec<random::Drawn> = (0..400).filter_map(random::network).take(6).collect();
    assert_eq!(drawn.len(), 6);
    let mut random = Random::new(1);
    let mut n_refused = 0;
    for round in 0..3000 {
        let drawn = &drawn[round % 6];
        let mut damaged = file(&drawn.tensors);
        for _ in 0..random.within(1, 4) {
            let at = random.within(0, damaged.len() - 1);
            damaged[at] = random.bits() as u8;
        }
        if random.percent(20) {
            damaged.truncate(random.within(0, damaged.len()));
        }
        let read = Weights::parse(&damaged, "net")
            .and_then(|weights| others::read(&weights, &drawn.graph, Some(&Naming::PLAIN)));
        match read {
            Ok(network) => network.verify(),
            Err(_) => n_refused += 1,
        }
    }
    assert!(500 <= n_refused, "{n_refused} were refused");
}
