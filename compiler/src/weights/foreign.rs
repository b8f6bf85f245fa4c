//! What a file is that isn't safetensors, told from its first bytes and its name, and what to do about it.
//!
//! Nothing is decoded: only what makes a format known is looked at.

/// So many bytes at the start say what a file is.
pub(crate) const START_BYTES: usize = 4096;

/// As safetensors' own bound on its header says.
const MOST_HEADER_BYTES: u64 = 100_000_000;

/// What is to be done about weights of PyTorch.
pub(crate) const FROM_PYTORCH: &str = "write safetensors with `safetensors.torch.save_file(torch.load(FILE, map_location=\"cpu\"), \"model.safetensors\")` (docs/from-pytorch.md)";
/// About weights of Keras or TensorFlow.
pub(crate) const FROM_KERAS: &str = "load the model where it was trained, and write its weights with `safetensors.numpy.save_file` (docs/from-keras.md)";
/// About what came from a server.
const AGAIN: &str = "download the file again";
/// About a format that no weights can be taken out of in a line.
pub(crate) const FROM_SOURCE: &str = "take the weights of the model that it was made from, as safetensors";
/// About archives.
const UNPACK: &str = "unpack it first";

/// What a file is that can't be safetensors: `found ..., expected a safetensors file: DO`. `None` where it may be, or is nothing that we
/// know.
pub(super) fn told(bytes: &[u8], name: &str) -> Option<String> {
    let (what, way_out) = known(bytes, name)?;
    Some(format!("found {what}, expected a safetensors file: {way_out}"))
}

/// What a text is that should be another one, and what is to be done about it: what came in its place from a server or a repository.
pub(super) fn text(text: &str) -> Option<(&'static str, &'static str)> {
    let start = &text.as_bytes()[..text.len().min(START_BYTES)];
    if text.trim().is_empty() {
        return Some(("an empty file", AGAIN));
    }
    by_magic(start).or_else(|| by_text(start).filter(|_| text.trim_start().starts_with('<')))
}

/// Whether a file that begins so may be safetensors: the length of its header, and the header.
pub fn is_safetensors(start: &[u8]) -> bool {
    match start.split_first_chunk() {
        Some((length, [b'{', ..])) => u64::from_le_bytes(*length) <= MOST_HEADER_BYTES,
        Some(_) | None => false,
    }
}

fn known(bytes: &[u8], name: &str) -> Option<(&'static str, &'static str)> {
    let start = &bytes[..bytes.len().min(START_BYTES)];
    if bytes.is_empty() {
        return Some(("an empty file", AGAIN));
    }
    if is_safetensors(start) {
        return None;
    }
    by_magic(start).or_else(|| by_name(name)).or_else(|| by_protocol_buffer(start)).or_else(|| by_text(start))
}

fn by_magic(start: &[u8]) -> Option<(&'static str, &'static str)> {
    let has = |word: &[u8]| start.windows(word.len()).any(|bytes| bytes == word);
    if start.starts_with(b"PK\x03\x04") {
        return Some(if has(b"data.pkl") {
            ("PyTorch's own format (a zip with a pickle in it)", FROM_PYTORCH)
        } else if has(b"model.weights.h5") || has(b"metadata.json") {
            ("a Keras model (.keras)", FROM_KERAS)
        } else if has(b".npy") {
            (
                "NumPy arrays (.npz)",
                "write them with `safetensors.numpy.save_file(dict(numpy.load(FILE)), \"model.safetensors\")`",
            )
        } else {
            ("a zip archive", UNPACK)
        });
    }
    if start.get(4..8) == Some(b"TFL3") {
        return Some(("a TensorFlow Lite model (.tflite)", FROM_SOURCE));
    }
    if start.get(257..262) == Some(b"ustar") {
        return Some(("a tar archive", UNPACK));
    }
    let magic: [(&[u8], &str, &str); 19] = [
        // A pickle of protocol 2 to 5.
        (b"\x80\x02", "PyTorch's old format (a pickle)", FROM_PYTORCH),
        (b"\x80\x03", "a pickle", FROM_PYTORCH),
        (b"\x80\x04", "a pickle", FROM_PYTORCH),
        (b"\x80\x05", "a pickle", FROM_PYTORCH),
        (b"\x93NUMPY", "a NumPy array (.npy)", "write all arrays with `safetensors.numpy.save_file`"),
        (b"\x89HDF\r\n\x1a\n", "an HDF5 file, as Keras writes (.h5)", FROM_KERAS),
        (b"GGUF", "a GGUF file", FROM_SOURCE),
        (b"\x1f\x8b", "a gzip archive", UNPACK),
        (b"7z\xbc\xaf\x27\x1c", "a 7z archive", UNPACK),
        (b"\xfd7zXZ\0", "an xz archive", UNPACK),
        (b"BZh", "a bzip2 archive", UNPACK),
        (b"\x28\xb5\x2f\xfd", "a zstd archive", UNPACK),
        (b"Rar!", "a rar archive", UNPACK),
        (b"PK\x05\x06", "an empty zip archive", AGAIN),
        (b"\x7fELF", "a program or library", "name the file with the weights"),
        (b"\xff\xd8\xff", "a JPEG picture", "name the file with the weights"),
        (b"\x89PNG", "a PNG picture", "name the file with the weights"),
        (b"%PDF", "a PDF document", "name the file with the weights"),
        (b"version https://git-lfs", "a Git LFS pointer", "run `git lfs pull` in its repository"),
    ];
    let found = magic.into_iter().find(|(magic, ..)| start.starts_with(magic));
    found.map(|(_, what, way_out)| (what, way_out))
}

/// Formats whose bytes say little.
fn by_name(name: &str) -> Option<(&'static str, &'static str)> {
    let name = name.to_ascii_lowercase();
    let ends = |endings: &[&str]| endings.iter().any(|ending| name.ends_with(ending));
    if ends(&[".onnx"]) {
        Some(("an ONNX model", FROM_SOURCE))
    } else if ends(&[".pt", ".pth", "pytorch_model.bin", ".ckpt.pt"]) {
        Some(("PyTorch's own format", FROM_PYTORCH))
    } else if name.contains(".ckpt") || name.contains(".data-0000") || ends(&[".pb", "variables.index"]) {
        Some(("a TensorFlow model", FROM_KERAS))
    } else if ends(&[".msgpack"]) {
        Some(("weights of Flax (.msgpack)", FROM_SOURCE))
    } else if ends(&[".caffemodel", ".mlmodel", ".pdparams", ".nnef", ".param"]) {
        Some(("another framework's model", FROM_SOURCE))
    } else {
        None
    }
}

/// ONNX and TensorFlow begin with a version, then a text or a message.
fn by_protocol_buffer(start: &[u8]) -> Option<(&'static str, &'static str)> {
    match start {
        [0x08, 0x01, 0x12, ..] => Some(("a TensorFlow SavedModel", FROM_KERAS)),
        [0x08, 0x02..=0x20, 0x12 | 0x1a | 0x22 | 0x2a | 0x32 | 0x3a | 0x42, ..] => {
            Some(("an ONNX model", FROM_SOURCE))
        }
        _ => None,
    }
}

fn by_text(start: &[u8]) -> Option<(&'static str, &'static str)> {
    // The last letter may be cut.
    let text = match std::str::from_utf8(start) {
        Ok(text) => text,
        Err(error) if start.len() == START_BYTES && error.error_len().is_none() => {
            std::str::from_utf8(&start[..error.valid_up_to()]).ok()?
        }
        Err(_) => return None,
    };
    let is_text = |letter: char| !letter.is_control() || matches!(letter, '\n' | '\r' | '\t');
    let text = text.trim_start_matches('\u{feff}').trim_start();
    if text.is_empty() || !text.chars().all(is_text) {
        return None;
    }
    let lower = text.to_ascii_lowercase();
    Some(if lower.starts_with("<!doctype html") || lower.starts_with("<html") || lower.starts_with("<head") {
        ("an HTML page", "download the file itself, not the page that shows it")
    } else if lower.starts_with('<') {
        ("an XML document, as servers answer errors", AGAIN)
    } else if lower.starts_with(['{', '[']) && lower.contains("\"weight_map\"") {
        ("an index of shards", "name it so that it ends in .safetensors.index.json")
    } else if lower.starts_with(['{', '[']) && lower.contains("\"error\"") {
        ("a JSON document, a server's error", AGAIN)
    } else if lower.starts_with(['{', '[']) {
        ("a JSON document", "name the weights, not their configuration")
    } else {
        ("a text file", "name the file with the weights")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &[u8], name: &str, expected: Option<&str>) {
        let found = told(bytes, name);
        let what =
            found.as_deref().and_then(|found| found.strip_prefix("found ")?.split(", expected a s").next());
        assert_eq!(what, expected, "{name}");
    }

    #[test]
    fn formats() {
        let zip = |name: &str| {
            let mut bytes = b"PK\x03\x04".to_vec();
            bytes.extend([0; 26]);
            bytes.extend(name.as_bytes());
            bytes
        };
        let mut tflite = vec![0x1c, 0, 0, 0];
        tflite.extend(b"TFL3");
        let mut tar = vec![0; 257];
        tar.extend(b"ustar\0");
        let pytorch = "PyTorch's own format (a zip with a pickle in it)";
        for (bytes, name, expected) in [
            (Vec::new(), "w", "an empty file"),
            (
                b"version https://git-lfs.example/spec/v1\noid sha256:0\nsize 1\n".to_vec(),
                "w",
                "a Git LFS pointer",
            ),
            (b"\n<!DOCTYPE HTML><html>".to_vec(), "w", "an HTML page"),
            (b"\xef\xbb\xbf<html>".to_vec(), "w", "an HTML page"),
            (b"<?xml version=\"1.0\"?><Error>".to_vec(), "w", "an XML document, as servers answer errors"),
            (b"{\"error\": \"not found\"}".to_vec(), "w", "a JSON document, a server's error"),
            (b"{\"model_type\": \"x\"}".to_vec(), "w", "a JSON document"),
            (b"{\"metadata\": {}, \"weight_map\": {}}".to_vec(), "w", "an index of shards"),
            (zip("archive/data.pkl"), "w", pytorch),
            (zip("model/data.pkl"), "model.safetensors", pytorch),
            (zip("weight.npy"), "w", "NumPy arrays (.npz)"),
            (zip("metadata.json"), "w", "a Keras model (.keras)"),
            (zip("photo.jpg"), "w", "a zip archive"),
            (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.".to_vec(), "w", "PyTorch's old format (a pickle)"),
            (b"\x80\x04\x95".to_vec(), "w", "a pickle"),
            (b"\x93NUMPY\x01\0".to_vec(), "w", "a NumPy array (.npy)"),
            (b"\x89HDF\r\n\x1a\n\0".to_vec(), "w", "an HDF5 file, as Keras writes (.h5)"),
            (b"\x08\x07\x12\x07pytorch".to_vec(), "w", "an ONNX model"),
            (b"\x08\x01\x12\xd0\x95".to_vec(), "w", "a TensorFlow SavedModel"),
            (vec![1, 2, 3, 0xff], "model.ckpt.data-00000-of-00001", "a TensorFlow model"),
            (tflite, "w", "a TensorFlow Lite model (.tflite)"),
            (b"GGUF\x03\0\0\0".to_vec(), "w", "a GGUF file"),
            (b"\x1f\x8b\x08".to_vec(), "w", "a gzip archive"),
            (b"7z\xbc\xaf\x27\x1c".to_vec(), "w", "a 7z archive"),
            (tar, "w", "a tar archive"),
            (b"name = \"net\"\nclasses = 2\n".to_vec(), "w", "a text file"),
        ] {
            check(&bytes, name, Some(expected));
        }
        // What may be safetensors, and what is nothing that we know.
        check(b"\x80\x02\0\0\0\0\0\0{\"a\"", "w", None);
        check(b"{\x01\0\0\0\0\0\0{\"a\"", "w", None);
        check(&[0; 64], "w", None);
        check(&[0xff; 5000], "w", None);
    }
}
