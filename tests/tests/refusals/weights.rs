//! Weights that don't fit a network.

use serde_json::json;

use super::Case;

/// A safetensors file of zeros.
fn tensors(list: &[(&str, &str, &[usize])]) -> Vec<u8> {
    let mut header = serde_json::Map::new();
    let mut end = 0;
    for (name, dtype, shape) in list {
        let bytes = match *dtype {
            "F64" | "I64" => 8,
            "F16" | "BF16" => 2,
            "I8" | "U8" | "BOOL" => 1,
            _ => 4,
        };
        let start = end;
        end += shape.iter().product::<usize>() * bytes;
        header.insert(
            (*name).to_owned(),
            json!({"dtype": dtype, "shape": shape, "data_offsets": [start, end]}),
        );
    }
    let header = serde_json::Value::Object(header).to_string();
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.into_bytes());
    bytes.resize(bytes.len() + end, 0);
    bytes
}

/// The tensors of the network of the cases, one of them changed.
fn changed<'a>(name: &'a str, dtype: &'a str, shape: &'a [usize]) -> Vec<u8> {
    let mut list: Vec<(&str, &str, &[usize])> = vec![
        ("conv_1.weight", "F32", &[8, 3, 3, 3]),
        ("conv_1.norm.gamma", "F32", &[8]),
        ("conv_1.norm.beta", "F32", &[8]),
        ("conv_1.norm.mean", "F32", &[8]),
        ("conv_1.norm.variance", "F32", &[8]),
        ("dense_1.weight", "F32", &[2, 8]),
        ("dense_1.bias", "F32", &[2]),
    ];
    match list.iter_mut().find(|(other, ..)| *other == name) {
        Some(found) => *found = (name, dtype, shape),
        None => list.push((name, dtype, shape)),
    }
    list.retain(|(_, dtype, _)| !dtype.is_empty());
    tensors(&list)
}

/// The network's weights with a file of names.
fn named(text: &str) -> Case {
    let whole = changed("conv_1.weight", "F32", &[8, 3, 3, 3]);
    Case::compile(
        [("net.safetensors", whole), ("names.toml", text.into())],
        ["--weights", "net.safetensors", "--names", "names.toml"],
    )
}

/// A narrow V3 under timm's names.
fn timm_v3() -> Vec<u8> {
    let description = mnc::describe::builtin("mobilenet-v3-small").expect("it is built in").description();
    let knobs = mnc::graph::Knobs { alpha: 0.1, resolution: None };
    let graph = mnc::graph::Graph::build(&description, &knobs).expect("it is legal");
    let zeros = mnc::weights::Parameters::zeros(&graph);
    zeros.to_safetensors(&graph, &mnc::weights::naming::Naming::TIMM).expect("timm has names for it")
}

pub(super) fn cases() -> Vec<Case> {
    let whole = changed("conv_1.weight", "F32", &[8, 3, 3, 3]);
    vec![
        Case::weights("net.safetensors", changed("dense_1.bias", "", &[])),
        Case::weights("net.safetensors", changed("dense_1.weight", "F32", &[2, 9])),
        Case::weights("net.safetensors", changed("dense_1.weight", "F32", &[3, 8])),
        Case::weights("net.safetensors", changed("conv_1.weight", "I32", &[8, 3, 3, 3])),
        Case::weights("net.safetensors", changed("conv_1.bias", "F32", &[8])),
        Case::weights("net.safetensors", &whole[..whole.len() - 4]),
        Case::compile(
            [("net.safetensors", whole.clone())],
            ["--weights", "net.safetensors", "--naming", "timm"],
        ),
        Case::compile([("net.safetensors", whole.clone())], ["--weights", "net.safetensors", "--alpha", "4"]),
        Case::compile(
            [("net.safetensors", changed("epoch", "F32", &[1]))],
            ["--weights", "net.safetensors", "--strict"],
        ),
        Case::compile(
            [("net.safetensors", whole.clone()), ("labels.txt", b"cat\ndog\nbird\n".to_vec())],
            ["--weights", "net.safetensors", "--labels", "labels.txt"],
        ),
        Case {
            arguments: vec!["compile", "net.safetensors", "--emit", "header", "-o", "net.h"],
            ..Case::weights("net.safetensors", timm_v3())
        },
        Case::configured("config.json", r#"{"architecture": "mobilenetv2_100"}"#, "--config"),
        named("conv_1.weight = model.0.weight"),
        named("conv_1.weight = \"model.0.weight\""),
        named("conv_1.weight = \"dense_1.weight\""),
        named("conv_2.weight = \"conv_1.weight\""),
        named("axes = \"WHIO\""),
        named("conv_1.weight = ? \"conv_1.weight\""),
        Case::compile([("net.safetensors", whole)], ["--weights", "other.safetensors"]),
    ]
}
