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
        Case::weights("net.7z", b"7z\xbc\xaf\x27\x1c\0\0"),
        Case::weights("net.xz", b"\xfd7zXZ\0\0\0"),
        Case::weights("net.bz2", b"BZh91AY&SY"),
        Case::weights("net.zst", b"\x28\xb5\x2f\xfd\0\0\0\0"),
        Case::weights("net.rar", b"Rar!\x1a\x07\0\0"),
        Case::weights("net.tar", [&[0; 257][..], b"ustar\0"].concat()),
        Case::weights("net.zip", b"PK\x03\x04\x14\0\0\0\0\0\0\0photo"),
        Case::weights("empty.zip", b"PK\x05\x06\0\0\0\0\0\0\0\0"),
        Case::weights("net.keras", b"PK\x03\x04\x14\0\0\0\0\0\0\0metadata.json"),
        Case::weights("net.pkl", b"\x80\x04\x95\0\0\0\0\0"),
        Case::weights("net", b"\x7fELF\x02\x01\x01\0\0\0"),
        Case::weights("photo.jpg", b"\xff\xd8\xff\xe0\0\x10JFIF"),
        Case::weights("photo.png", b"\x89PNG\r\n\x1a\n\0\0"),
        Case::weights("paper.pdf", b"%PDF-1.7\n\x01"),
        Case::weights("model.pt", b"\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
        Case::weights("model.ckpt.data-00000-of-00001", b"\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
        Case::weights("flax_model.msgpack", b"\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
        Case::weights("net.caffemodel", b"\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
        Case::weights("saved_model", b"\x08\x01\x12\xd0\x95\x01\x01\x01\x01"),
        Case::weights("net.safetensors", "<?xml version=\"1.0\"?><Error><Code>NoSuchKey</Code></Error>"),
        Case::weights("index.json", index),
        Case::weights("config.json", "{\"model_type\": \"mobilenet_v1\"}"),
        Case::compile([("weights/", Vec::new())], ["--weights", "weights"]),
        Case::folder([("net/tf_model.h5", Vec::new())]),
        Case::folder([("net/saved_model.pb", Vec::new())]),
        Case::folder([("net/model.onnx", Vec::new())]),
        Case::folder([("net/model.safetensors.index.json", index.into())]),
        Case::folder([]),
        Case::folder([("net/pytorch_model.bin", Vec::new())]),
    ]
}
