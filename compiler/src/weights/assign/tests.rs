use std::path::PathBuf;

use safetensors::tensor::TensorView;

use super::super::config::ModelConfig;
use super::*;
use crate::describe::Sides;
use crate::describe::{Description, builtin};
use crate::graph::Knobs;
use crate::random::Random;

/// 3 -> 2 pointwise channels with bias, a depthwise layer of 2 x 2 taps with batch norm, a dense layer without bias.
fn small() -> Graph {
    let text = r#"
        name = "net"
        classes = 3
        padding = "valid"
        [input]
        height = 3
        width = 2
        channels = 3
        [alpha]
        minimum = 1
        [[layer]]
        kind = "pointwise"
        name = "point"
        filters = 2
        batch_norm = false
        bias = true
        [[layer]]
        kind = "depthwise"
        name = "depth"
        kernel = 2
        [[layer]]
        kind = "dense"
        name = "dense"
        bias = false
    "#;
    let description = Description::parse(text, "net.toml").unwrap();
    Graph::build(&description, &Knobs::default()).unwrap()
}

/// Tensors that a test can spoil before they are written.
struct Draft(Vec<(String, Dtype, Vec<usize>, Vec<u8>)>);

impl Draft {
    /// The small network's tensors, numbered through from 1 in the order of the listing.
    fn small() -> Draft {
        let mut next = 0.0;
        let specs = Naming::PLAIN.tensors(&small()).unwrap();
        let tensors = specs.into_iter().map(|spec| {
            let numbers: Vec<f32> = (0..spec.shape.iter().product())
                .map(|_| {
                    next += 1.0;
                    next
                })
                .collect();
            (spec.tensor, Dtype::F32, spec.shape, numbers.iter().flat_map(|x| x.to_le_bytes()).collect())
        });
        Draft(tensors.collect())
    }

    fn get(&mut self, name: &str) -> &mut (String, Dtype, Vec<usize>, Vec<u8>) {
        self.0.iter_mut().find(|tensor| tensor.0 == name).unwrap()
    }

    fn set(&mut self, name: &str, index: usize, x: f32) {
        self.get(name).3[4 * index..4 * index + 4].copy_from_slice(&x.to_le_bytes());
    }

    fn bytes(&self) -> Vec<u8> {
        let views = self
            .0
            .iter()
            .map(|(name, dtype, shape, data)| (name, TensorView::new(*dtype, shape.clone(), data).unwrap()));
        safetensors::serialize(views, None).unwrap()
    }
}

/// Spoils the small network's file and compares the faults.
fn check(spoil: impl FnOnce(&mut Draft), expected: &str) {
    let mut draft = Draft::small();
    spoil(&mut draft);
    let bytes = draft.bytes();
    let error = Weights::parse(&bytes, "w").unwrap().parameters(&small(), None).unwrap_err();
    assert_eq!(error.to_string(), expected);
}

#[test]
fn order_of_the_arithmetic() {
    let bytes = Draft::small().bytes();
    let parameters = Weights::parse(&bytes, "w").unwrap().parameters(&small(), None).unwrap();
    let of = |name: &str| &parameters.0[small().id(name).unwrap().0];
    let [input, point, depth, norm, dense] = ["input", "point", "depth", "depth.norm", "dense"].map(of);
    assert_eq!(input, &NodeParameters::None);
    let filter = |weights: &[f32], bias: Option<&[f32]>| NodeParameters::Filter {
        weights: weights.to_vec(),
        bias: bias.map(<[f32]>::to_vec),
    };
    // [N, M] = [[1, 2, 3], [4, 5, 6]] -> [M][N]
    assert_eq!(point, &filter(&[1., 4., 2., 5., 3., 6.], Some(&[7., 8.])));
    // [M, 1, D_K, D_K] = [[9, 10, 11, 12], [13, 14, 15, 16]] -> [D_K][D_K][M]
    assert_eq!(depth, &filter(&[9., 13., 10., 14., 11., 15., 12., 16.], None));
    assert_eq!(
        norm,
        &NodeParameters::BatchNorm {
            gamma: vec![17., 18.],
            beta: vec![19., 20.],
            mean: vec![21., 22.],
            variance: vec![23., 24.]
        }
    );
    // 2 x 1 x 2 inputs, 3 outputs: [N, M] = [[25, ...], [29, ...], [33, ...]] -> [M][N]
    assert_eq!(dense, &filter(&[25., 29., 33., 26., 30., 34., 27., 31., 35., 28., 32., 36.], None));
}

/// A dense layer over a map of 2 x 3 x 2, whose file has the channels first.
#[test]
fn channels_first() {
    let graph = |flatten: &str, input: &str| {
        let text = format!(
            "name = \"net\"\nclasses = 2\ninput = {input}\n[[layer]]\nkind = \"dense\"\nname = \"dense\"\n{flatten}"
        );
        Graph::build(&Description::parse(&text, "net.toml").unwrap(), &Knobs::default()).unwrap()
    };
    let input = "{ height = 2, width = 3, channels = 2 }";
    let first = graph("flatten = \"chw\"", input);
    // What stands at unit n, channel m, row y, column x is 1000 n + 100 m + 10 y + x.
    let at = |n: usize, m: usize, y: usize, x: usize| (1000 * n + 100 * m + 10 * y + x) as f32;
    let units = |map: &dyn Fn(usize) -> Vec<f32>| [map(0), map(1)].concat();
    let chw = |n| {
        let positions = (0..2).flat_map(|m| (0..2).flat_map(move |y| (0..3).map(move |x| (m, y, x))));
        positions.map(|(m, y, x)| at(n, m, y, x)).collect()
    };
    let hwc = |n| {
        let positions = (0..2).flat_map(|y| (0..3).flat_map(move |x| (0..2).map(move |m| (m, y, x))));
        positions.map(|(m, y, x)| at(n, m, y, x)).collect()
    };
    let file = |weights: Vec<f32>, m: usize| {
        let bytes = |numbers: &[f32]| numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
        Draft(vec![
            ("dense.weight".to_owned(), Dtype::F32, vec![2, m], bytes(&weights)),
            ("dense.bias".to_owned(), Dtype::F32, vec![2], bytes(&[5.0, 6.0])),
        ])
        .bytes()
    };
    let read = |file: &[u8], graph: &Graph| Weights::parse(file, "w").unwrap().parameters(graph, None);
    let channels_first = file(units(&chw), 12);
    let expected = read(&file(units(&hwc), 12), &graph("", input)).unwrap();
    let found = read(&channels_first, &first).unwrap();
    assert_eq!(found, expected);
    assert_eq!(found.to_safetensors(&first, &Naming::PLAIN).unwrap(), channels_first);
    let error = read(&file(vec![0.0; 4], 2), &first).unwrap_err();
    assert_eq!(error.to_string(), "dense: tensor \"dense.weight\" is [2, 2], expected [2, 12] (N=2, M=12)");
    // Of one pixel, both orders are one.
    let pixel = "{ height = 1, width = 1, channels = 2 }";
    let one = file(vec![1.0, 2.0, 3.0, 4.0], 2);
    assert_eq!(
        read(&one, &graph("flatten = \"chw\"", pixel)).unwrap(),
        read(&one, &graph("", pixel)).unwrap()
    );
}

#[test]
fn standard_convolution() {
    // [N, M, D_K, D_K] with N = 2, M = 2, D_K = 2 -> [D_K][D_K][M][N]; what stands at n, m, tap is 100 n + 10 m + tap.
    let file: Vec<f32> =
        [0, 1, 2, 3, 10, 11, 12, 13, 100, 101, 102, 103, 110, 111, 112, 113].map(|x| x as f32).to_vec();
    let expected =
        [0, 100, 10, 110, 1, 101, 11, 111, 2, 102, 12, 112, 3, 103, 13, 113].map(|x| x as f32).to_vec();
    let shape = FilterShape {
        window: Some(Sides::square(2)),
        m: 2,
        n: 2,
        groups: 1,
        is_flat: false,
        has_bias: false,
    };
    assert_eq!(transpose_filter(&file, shape, Order::file(shape.n, shape.m, shape.taps())), expected);
}

#[test]
fn spoiled_tensors() {
    check(
        |draft| draft.get("point.weight").2 = vec![3, 2, 1, 1],
        r#"point: tensor "point.weight" is [3, 2, 1, 1], expected [2, 3, 1, 1] (N=2, M=3)"#,
    );
    check(
        |draft| draft.get("depth.weight").2 = vec![2, 2, 2],
        r#"depth: tensor "depth.weight" is [2, 2, 2], expected [2, 1, 2, 2] (M=2, D_K=2)"#,
    );
    check(
        |draft| draft.get("dense.weight").2 = vec![4, 3],
        r#"dense: tensor "dense.weight" is [4, 3], expected [3, 4] (N=3, M=4)"#,
    );
    // Weights of another number of classes.
    let draft = |draft: &mut Draft| {
        draft.get("dense.weight").2 = vec![2, 4];
        draft.get("dense.weight").3.truncate(4 * 8);
    };
    check(
        draft,
        "dense: tensor \"dense.weight\" is [2, 4], expected [3, 4] (N=3, M=4); for 2 classes set `classes` in the description \
         (`mnc describe`), or `num_labels` (timm: `num_classes`) in config.json",
    );
    check(
        |draft| draft.get("point.bias").1 = Dtype::I32,
        r#"point: tensor "point.bias" is I32, expected F32, F64, F16 or BF16"#,
    );
    check(
        |draft| draft.get("depth.norm.mean").0 = "depth.norm.man".to_owned(),
        "2 faults in the weights:\n  \
         depth.norm: tensor \"depth.norm.mean\" is missing, expected [2] (N=2)\n  \
         depth: found tensor \"depth.norm.man\" [2], expected no such tensor of this layer: take it out of the file if the \
         network was trained without it",
    );
}

/// To leave a tensor of a layer out would change what the network answers; one of no layer changes nothing.
#[test]
fn tensors_that_nobody_wants() {
    let push = |name: &str| {
        let (name, data) = (name.to_owned(), [1.0f32, 2.0].map(f32::to_le_bytes).concat());
        move |draft: &mut Draft| draft.0.push((name, Dtype::F32, vec![2], data))
    };
    check(
        push("depth.bias"),
        "depth: found tensor \"depth.bias\" [2], expected none for this layer: set its `bias = true` in the description",
    );
    check(
        push("point.norm.gamma"),
        "point: found tensor \"point.norm.gamma\" [2] of a batch norm, expected none for this layer: leave \
         `batch_norm = false` out of the description, or `gamma = false`",
    );
    let mut draft = Draft::small();
    let expected = Weights::parse(draft.bytes(), "w").unwrap().parameters(&small(), None).unwrap();
    for name in ["exponential.moving.average", "ema.point.weight", "depth.total_ops", "late.weight"] {
        push(name)(&mut draft);
    }
    draft.0.push(("epoch".to_owned(), Dtype::I64, Vec::new(), vec![0; 8]));
    draft.0.push(("mask".to_owned(), Dtype::BOOL, vec![3], vec![0; 3]));
    let bytes = draft.bytes();
    let weights = Weights::parse(&bytes, "w").unwrap();
    assert_eq!(weights.parameters(&small(), None).unwrap(), expected);
    let left = weights.leftovers(&small(), &Naming::PLAIN);
    assert_eq!((left.names.len(), left.bytes), (6, 4 * 8 + 8 + 3));
    assert_eq!(left.of_layers, ["late.weight"], "a layer may have been forgotten");
}

#[test]
fn spoiled_numbers() {
    check(
        |draft| draft.set("depth.weight", 6, f32::NAN),
        r#"depth: tensor "depth.weight" holds NaN at [1, 0, 1, 0], expected finite numbers"#,
    );
    check(
        |draft| {
            draft.set("dense.weight", 11, f32::INFINITY);
            draft.set("dense.weight", 4, f32::NEG_INFINITY);
        },
        r#"dense: tensor "dense.weight" holds -inf at [1, 0] and 1 more such, expected finite numbers"#,
    );
    check(
        |draft| draft.set("depth.norm.variance", 1, -0.5),
        r#"depth.norm: tensor "depth.norm.variance" holds -0.5 at [1], expected finite numbers from 0 up"#,
    );
    let mut draft = Draft::small();
    draft.set("depth.norm.variance", 0, 0.0);
    draft.set("depth.norm.variance", 1, -0.0);
    let bytes = draft.bytes();
    Weights::parse(&bytes, "w").unwrap().parameters(&small(), None).unwrap();
}

/// Halves are widened exactly, signs, subnormals and all.
#[test]
fn halves() {
    let numbers = [1.5f32, -0.0, -2.0f32.powi(-24), 65504.0, 0.33325195, -6.0];
    let write = |dtype: Dtype, bytes: Vec<u8>| {
        let mut draft = Draft::small();
        let tensor = draft.get("point.weight");
        (tensor.1, tensor.3) = (dtype, bytes);
        let bytes = draft.bytes();
        let parameters = Weights::parse(&bytes, "w").unwrap().parameters(&small(), None).unwrap();
        let NodeParameters::Filter { weights, .. } = parameters.0[1].clone() else { panic!("a filter") };
        weights.iter().map(|x| x.to_bits()).collect::<Vec<_>>()
    };
    let expected = |numbers: [f32; 6]| [0, 3, 1, 4, 2, 5].map(|index| numbers[index].to_bits()).to_vec();
    let f16_bytes = numbers.iter().flat_map(|&x| f16::from_f32(x).to_le_bytes()).collect();
    assert_eq!(write(Dtype::F16, f16_bytes), expected(numbers));
    let bf16_numbers =
        [1.5f32, -0.0, f32::MIN_POSITIVE, 3.0e38, -1.0, 0.1].map(|x| bf16::from_f32(x).to_f32());
    let bf16_bytes = bf16_numbers.iter().flat_map(|&x| bf16::from_f32(x).to_le_bytes()).collect();
    assert_eq!(write(Dtype::BF16, bf16_bytes), expected(bf16_numbers));
}

#[test]
fn detection() {
    let description = builtin("mobilenet-v1").unwrap().description();
    let graph = Graph::build(&description, &Knobs { alpha: 0.25, resolution: None }).unwrap();
    let parameters = Parameters::random(&graph, 3);
    // torchvision has no V1.
    for naming in [&Naming::HUGGING_FACE, &Naming::TIMM, &Naming::PLAIN] {
        let bytes = parameters.to_safetensors(&graph, naming).unwrap();
        let weights = Weights::parse(&bytes, "w").unwrap();
        assert_eq!(weights.detect(&graph).unwrap(), naming);
        assert_eq!(weights.parameters(&graph, None).unwrap(), parameters);
        // Another network's graph: faults, as many as are readable.
        let wide = Graph::build(&description, &Knobs { alpha: 0.5, resolution: None }).unwrap();
        let error = weights.parameters(&wide, Some(naming)).unwrap_err();
        assert_eq!(error.faults().len(), 21, "{error}");
        assert_eq!(error.faults()[20].to_string(), "w: 116 more faults of the same sort");
        assert!(error.to_string().starts_with("136 faults in the weights:\n"), "{error}");
    }
    let bytes = Draft::small().bytes();
    let error = Weights::parse(&bytes, "w").unwrap().detect(&graph).unwrap_err();
    assert_eq!(
        error.to_string(),
        "7 faults in the weights:\n  \
         w: naming huggingface (Hugging Face MobileNetV1 and MobileNetV2ForImageClassification) misses 137 of 137 tensors, the first is \
         \"mobilenet_v1.conv_stem.convolution.weight\"\n  \
         w: naming timm (timm mobilenetv1_* to mobilenetv4_conv_*) misses 137 of 137 tensors, the first is \"conv_stem.weight\"\n  \
         w: naming torchvision (torchvision mobilenet_v2 and mobilenet_v3_*) doesn't fit the network: conv_pw_2: found no \
         name for this layer in the naming torchvision (torchvision mobilenet_v2 and mobilenet_v3_*)\n  \
         w: naming keras (keras.applications MobileNet, V2, V3) misses 137 of 137 tensors, the first is \"conv1/kernel\"\n  \
         w: naming slim (TF-slim mobilenet_v1, v2, v3) misses 137 of 137 tensors, the first is \
         \"MobilenetV1/Conv2d_0/weights\"\n  \
         w: naming plain (mnc, by the layers' names) misses 137 of 137 tensors, the first is \"conv_1.weight\"\n  \
         w: found \"dense.weight\", \"depth.norm.beta\", \"depth.norm.gamma\" (8 in all), expected the tensors of one naming; for other names: `mnc \
         tensors NETWORK --match w -o names.toml` (docs/names.md)"
    );
}

/// Whatever a valid container holds: a result, no panic.
#[test]
fn arbitrary_tensors() {
    let graph = small();
    let mut random = Random::new(11);
    let mut n_valid = 0;
    for _ in 0..2_000 {
        let mut draft = Draft::small();
        for _ in 0..random.bits() % 3 {
            let index = random.bits() as usize % draft.0.len();
            let tensor = &mut draft.0[index];
            let byte = random.bits() as usize % tensor.3.len();
            match random.bits() % 5 {
                0 => tensor.2.rotate_left(1),
                1 => tensor.3[byte] = random.bits() as u8,
                2 => tensor.1 = Dtype::I32,
                3 => tensor.0.push('x'),
                _ => {
                    draft.0.remove(index);
                }
            }
        }
        let bytes = draft.bytes();
        n_valid += usize::from(Weights::parse(&bytes, "w").unwrap().parameters(&graph, None).is_ok());
    }
    assert!((200..1_800).contains(&n_valid), "{n_valid} files were valid");
}

/// Trained weights, each with its config: those of the repository, and those that a checkout has beside it.
fn trained() -> Vec<(PathBuf, PathBuf)> {
    let person = mnc_need::workspace().join("examples/person-detector");
    let mut files = vec![(person.join("person.safetensors"), person.join("config.json"))];
    for folder in ["weights", "default"].into_iter().filter_map(mnc_need::shared_data) {
        let entries = folder.read_dir().unwrap().map(|entry| entry.unwrap().path());
        let is_weights = |path: &PathBuf| {
            let name = path.to_string_lossy();
            name.ends_with(".safetensors") && !name.contains(".io.")
        };
        files.extend(entries.filter(is_weights).map(|path| {
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            let config = path.with_file_name(format!("{}.config.json", name.trim_end_matches(".f16")));
            (path, config)
        }));
    }
    files.sort();
    files
}

#[test]
fn trained_weights() {
    for (path, config) in trained() {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let config = ModelConfig::parse(&std::fs::read_to_string(config).unwrap(), "config.json").unwrap();
        let mut description = builtin("mobilenet-v1").unwrap().description();
        config.apply(&mut description);
        let bytes = std::fs::read(&path).unwrap();
        let weights = Weights::parse(&bytes, &name).unwrap();
        let alpha = weights.infer_alpha(&description, None).unwrap();
        assert_eq!(Some(alpha), config.alpha(), "{name}");
        let graph = Graph::build(&description, &Knobs { alpha, resolution: None }).unwrap();
        let parameters = weights.parameters(&graph, None).unwrap();

        let fused = crate::passes::run(&graph, &parameters).unwrap();
        assert_eq!(fused.nodes.len(), 30, "{name}");
        // See the data's README: these were folded before they were written, as batch norms that change nothing.
        let is_identity = !["synthbn", "vww", "person"].iter().any(|word| name.contains(word));
        if is_identity {
            check_unchanged(&graph, &parameters, &fused);
        }
    }
}

/// Weights are those of the file, biases the betas, to the bit.
fn check_unchanged(graph: &Graph, parameters: &Parameters, fused: &crate::passes::Fused) {
    use crate::passes::Filter;
    let bits = |numbers: &[f32]| numbers.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    let mut n_checked = 0;
    for node in &fused.nodes {
        if node.layer.window().is_none() {
            continue;
        }
        let Filter { weights, bias } = node.filter.as_ref().expect("a convolution has a filter");
        let of = |name: &str| &parameters.0[graph.id(name).unwrap().0];
        let NodeParameters::Filter { weights: own, .. } = of(&node.name) else { panic!("a filter") };
        let NodeParameters::BatchNorm { beta, .. } = of(&format!("{}.norm", node.name)) else {
            panic!("a norm")
        };
        assert!(bits(weights) == bits(own) && bits(bias) == bits(beta), "{}", node.name);
        n_checked += 1;
    }
    assert_eq!(n_checked, 27);
}

/// A file has no tensor for a gamma or a beta that the network doesn't have; they are 1 and 0.
#[test]
fn norms_without_gamma_or_beta() {
    let text = "name = \"net\"\nclasses = 1\ninput = { height = 8, width = 8, channels = 3 }\n\
                layer = [{ kind = \"conv\", filters = 8, batch_norm = { epsilon = 0.5, gamma = false } },\n\
                         { kind = \"depthwise\", batch_norm = { beta = false } }]";
    let description = Description::parse(text, "net.toml").unwrap();
    let graph = Graph::build(&description, &Knobs::default()).unwrap();
    let parameters = Parameters::random(&graph, 4);
    let NodeParameters::BatchNorm { gamma, beta, .. } = &parameters.0[graph.id("conv_1.norm").unwrap().0]
    else {
        panic!("a norm")
    };
    assert!(gamma.iter().all(|x| *x == 1.0) && beta.iter().any(|x| *x != 0.0));
    let bytes = parameters.to_safetensors(&graph, &Naming::PLAIN).unwrap();
    let weights = Weights::parse(&bytes, "net.safetensors").unwrap();
    let missing = ["conv_1.norm.gamma", "conv_dw_1.norm.beta"];
    assert!(missing.iter().all(|name| !weights.tensors.contains_key(*name)));
    assert_eq!(weights.tensors.len(), 2 + 3 + 3);
    assert_eq!(weights.parameters(&graph, None).unwrap(), parameters);
}
