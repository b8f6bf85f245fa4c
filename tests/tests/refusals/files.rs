//! Files and folders that are something else than weights.

use super::Case;

pub(super) fn cases() -> Vec<Case> {
    let lfs = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 17\n";
    let index = r#"{"metadata": {}, "weight_map": {"conv_1.weight": "model-00001-of-00002.safetensors"}}"#;
    vec![
        Case::weights("net.safetensors", lfs),
        Case::weights("net.safetensors", "<!DOCTYPE html>\n<html><body>Not found</body></html>"),
        Case::weights("net.bin", b"PK\x03\x04\x00\x00\x00\x00\x00\x00archive/data.pkl"),
        Case::weights("net.pth", b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."),
        Case::weights("net.h5", b"\x89HDF\r\n\x1a\n\0\0\0\0\0\0\0\0"),
        Case::weights("net.onnx", b"\x08\x07\x12\x07pytorch\x1a\x052.1.0:\x00"),
        Case::weights("net.tflite", b"\x1c\0\0\0TFL3\0\0\0\0\0\0\0\0"),
        Case::weights("model.safetensors.index.json", index),
        Case::weights(
            "net.npz",
            b"PK\x03\x04\x14\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x0b\0\0\0conv_1.npy",
        ),
        Case::weights("net.npy", b"\x93NUMPY\x01\x00v\x00{'descr': '<f4'"),
        Case::weights("net.gguf", b"GGUF\x03\0\0\0\0\0\0\0\0\0\0\0"),
        Case::weights("net.tar.gz", b"\x1f\x8b\x08\0\0\0\0\0\0\x03"),
        Case::weights("net.safetensors", "{\"error\": \"Repository not found\"}"),
        Case::weights("net.safetensors", ""),
        Case::weights("net.safetensors", "weights"),
        Case::compile([("weights/", Vec::new())], ["--weights", "weights"]),
        Case::folder([("net/tf_model.h5", Vec::new())]),
        Case::folder([("net/saved_model.pb", Vec::new())]),
        Case::folder([("net/model.onnx", Vec::new())]),
        Case::folder([("net/model.safetensors.index.json", index.into())]),
        Case::folder([]),
        Case::folder([("net/pytorch_model.bin", Vec::new())]),
    ]
}
