//! Files come back as they were, and nothing else is believed.

use super::*;
use crate::quantize::tests::{network, quantized, some_layers};
use crate::random::Random;

fn provenance() -> Provenance {
    Provenance {
        calibration: "noise".to_owned(),
        pair_safe: false,
        sigma: Some(0.1),
        judged: None,
        random_weights: Some(1),
        assumed: vec!["padding same: nobody says".to_owned()],
        chosen_f32: vec!["first".to_owned()],
    }
}

fn said() -> Said {
    Said { description: None, features: true, labels: vec!["cat".to_owned()], may_be_imagenet: true }
}

fn file(seed: u64) -> (Graph, Fused, Vec<u8>) {
    let network = network(seed);
    let keep_f32 = some_layers(&network.0, seed);
    let options = crate::quantize::Options { keep_f32, ..Default::default() };
    let (_, integers) = quantized(&network, &options, 1).expect("it can be quantised");
    let bytes = write(&integers, &network.0, &said(), &provenance()).expect("it can be written");
    (network.0, integers, bytes)
}

#[test]
fn files_come_back() {
    for seed in 0..60 {
        let (graph, integers, bytes) = file(seed);
        assert!(is_int8(&bytes));
        let (found, told) =
            read(&bytes, "net.int8.safetensors", &graph).unwrap_or_else(|error| panic!("{seed}: {error}"));
        assert!(found == integers, "{seed}: the network differs");
        assert_eq!(told, provenance());
        let again = write(&found, &graph, &said(), &told).expect("it can be written");
        assert!(again == bytes, "{seed}: other bytes");
    }
}

/// The tensors of a file, to change one of them.
fn changed(bytes: &[u8], change: impl Fn(&mut Vec<Tensor>)) -> Vec<u8> {
    let file = SafeTensors::deserialize(bytes).expect("it is one");
    let (_, header) = SafeTensors::read_metadata(bytes).expect("it has one");
    let mut tensors: Vec<Tensor> = file
        .tensors()
        .into_iter()
        .map(|(name, view)| Tensor {
            name,
            dtype: view.dtype(),
            shape: view.shape().to_vec(),
            bytes: view.data().to_vec(),
        })
        .collect();
    // They come in any order.
    tensors.sort_by(|a, b| a.name.cmp(&b.name));
    change(&mut tensors);
    let views = tensors.iter().map(|tensor| (tensor.name.as_str(), tensor));
    safetensors::serialize(views, header.metadata().clone()).expect("it can be written")
}

#[test]
fn wrong_numbers_are_refused() {
    let (graph, _, bytes) = file(4);
    let check = |ending: &str, change: &dyn Fn(&mut Tensor), expected: &str| {
        let bytes = changed(&bytes, |tensors| {
            let tensor = tensors.iter_mut().find(|tensor| tensor.name.ends_with(ending));
            change(tensor.unwrap_or_else(|| panic!("there is a {ending}")));
        });
        let error = read(&bytes, "net", &graph).expect_err("it is refused").to_string();
        assert!(error.contains(expected), "{ending}: {error}");
    };
    let set = |number: [u8; 4]| move |tensor: &mut Tensor| tensor.bytes[..4].copy_from_slice(&number);
    check(".multiplier", &set(f32::NAN.to_le_bytes()), "found NaN, expected finite numbers");
    check(".multiplier", &set((-1.0f32).to_le_bytes()), "found -1.0, expected numbers above 0");
    check(
        ".multiplier",
        &set(1e-39f32.to_le_bytes()),
        "found 1e-39, expected numbers above 0 whose reciprocals",
    );
    check(".multiplier", &set(1e30f32.to_le_bytes()), "a sum may leave 31 bits");
    check(".scale", &set(0.0f32.to_le_bytes()), "");
    check("input.offset", &set(3.0f32.to_le_bytes()), "found [3.0");
    check("input.offset", &set(3.0f32.to_le_bytes()), "as the network's pictures are normalised");
    check(".bias", &set(i32::MIN.to_le_bytes()), "a sum may leave 31 bits");
    check(".weight", &|tensor| tensor.bytes[0] = 128, "found -128, expected -127 to 127");
    check(
        ".bytes",
        &|tensor| tensor.bytes.copy_from_slice(&[0, 9, 9]),
        "found 9 to 9, expected the lower bound first",
    );
    check(".bytes", &|tensor| tensor.name += "s", "no layer of the network has it");
    check(
        ".bias",
        &|tensor| (tensor.dtype, tensor.shape) = (Dtype::F32, tensor.shape.clone()),
        "expected I32",
    );
    check(".weight", &|tensor| tensor.shape.insert(0, 1), "expected I8");
    check(".weight", &|tensor| tensor.name.clear(), "found none, expected it of this network");
}

/// Layers that keep what bytes stand for have no tensors; the parts of a concat have one byte of 0.
#[test]
fn kept_bytes_have_no_tensors() {
    let network = crate::quantize::tests::kept();
    let (_, integers) = quantized(&network, &Default::default(), 1).expect("it can be quantised");
    let bytes = write(&integers, &network.0, &said(), &provenance()).expect("it can be written");
    assert!(read(&bytes, "net", &network.0).expect("it was just written").0 == integers);
    let file = SafeTensors::deserialize(&bytes).expect("it is a file of tensors");
    assert!(!file.names().iter().any(|name| name.starts_with("joined.") || name.starts_with("large")));
    let moved = changed(&bytes, |tensors| {
        let of_wide = tensors.iter_mut().find(|tensor| tensor.name == "wide.bytes");
        of_wide.expect("it has bytes").bytes[0] ^= 1;
    });
    let error = read(&moved, "net", &network.0).expect_err("it is refused").to_string();
    assert!(error.contains("beside which joined has it: quantise the network again"), "{error}");
}

#[test]
fn other_networks_are_refused() {
    let (_, _, bytes) = file(4);
    let (other, _, others) = file(5);
    let error = read(&bytes, "net", &other).expect_err("it is of another").to_string();
    assert!(error.contains("it was quantised from another network"), "{error}");
    assert!(read(&others, "net", &other).is_ok());
    let plain = crate::weights::Parameters::random(&other, 1)
        .to_safetensors(&other, &crate::weights::naming::Naming::PLAIN)
        .expect("it can be written");
    assert!(!is_int8(&plain));
    let error = read(&plain, "net", &other).expect_err("it is f32").to_string();
    assert_eq!(error, "net: __metadata__: mnc.int8: found none, expected a file that `mnc quantize` wrote");
}

/// The window of a pool is part of what it computes, though nothing else of the network may tell it.
#[test]
fn another_window_is_another_network() {
    let graph = |kernel: usize| {
        let text = format!(
            "name = \"net\"\nclasses = 2\ninput = {{ height = 9, width = 9, channels = 3 }}\n\
             [[layer]]\nkind = \"conv\"\nfilters = 8\n\
             [[layer]]\nkind = \"max_pool\"\nname = \"pool\"\nkernel = {kernel}\nstride = 1\npadding = \"same\"\n\
             [[layer]]\nkind = \"pointwise\"\nfilters = 2\n"
        );
        let description = crate::describe::Description::parse(&text, "net.toml").expect("it is legal");
        Graph::build(&description, &crate::graph::Knobs::default()).expect("it is legal")
    };
    let of = |kernel: usize| {
        let graph = graph(kernel);
        let parameters = crate::weights::Parameters::random(&graph, 1);
        (graph, parameters)
    };
    let (_, integers) = quantized(&of(3), &Default::default(), 1).expect("it can be quantised");
    let bytes = write(&integers, &graph(3), &said(), &provenance()).expect("it can be written");
    assert!(read(&bytes, "net", &graph(3)).is_ok());
    let error = read(&bytes, "net", &graph(5)).expect_err("it is of another").to_string();
    assert!(error.contains("found the layer \"pool: pool Max (rows 3 by 1"), "{error}");
    assert!(error.contains("expected \"pool: pool Max (rows 5 by 1"), "{error}");
}

/// Texts of the file are shown on terminals and stand in headers.
#[test]
fn texts_are_one_line() {
    let network = network(4);
    let (_, integers) = quantized(&network, &Default::default(), 1).expect("it can be quantised");
    let told = Provenance { calibration: "a\nb \u{1b}[31m".to_owned(), ..provenance() };
    let bytes = write(&integers, &network.0, &said(), &told).expect("it can be written");
    let (_, found) = read(&bytes, "net", &network.0).expect("it was just written");
    assert_eq!(found.calibration, "a\\nb \\u{1b}[31m");
    let (_, header) = SafeTensors::read_metadata(&bytes).expect("it has one");
    let mut metadata = header.metadata().clone().expect("it has it");
    let text = metadata.get_mut(KEY).expect("it has it");
    *text = text.replace("nobody says", "x *\\\\\\n/ int y;");
    let file = SafeTensors::deserialize(&bytes).expect("it is one");
    let forged = safetensors::serialize(file.tensors(), Some(metadata)).expect("it can be written");
    let error = read(&forged, "net", &network.0).expect_err("it is refused").to_string();
    let expected = r#"found "padding same: x *\\\n/ int y;", expected a text of one line"#;
    assert!(error.ends_with(expected), "{error}");
}

/// Any bytes get an answer.
#[test]
fn damaged_files_are_refused_or_read() {
    let (graph, _, bytes) = file(6);
    let mut random = Random::new(1);
    for _ in 0..3000 {
        let mut damaged = bytes.clone();
        for _ in 0..random.within(1, 4) {
            let at = random.within(0, damaged.len() - 1);
            damaged[at] = random.bits() as u8;
        }
        if random.percent(20) {
            damaged.truncate(random.within(0, damaged.len()));
        }
        if let Ok((network, _)) = read(&damaged, "net", &graph) {
            network.verify();
        }
        _ = is_int8(&damaged);
    }
}
