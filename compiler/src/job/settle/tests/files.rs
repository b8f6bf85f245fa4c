//! The files of a checkpoint: shards, caches, other formats.

use std::path::{Path, PathBuf};

use super::{Memory, Row, network, opened, write};
use crate::request::Numbers;
use crate::weights::naming::Naming;

/// A checkpoint in two files, with and without its index, in a folder and in a cache.
#[test]
fn shards() {
    let (rows, parameters) = network("mobilenet-v1", &Naming::TIMM);
    let (first, second) = rows.split_at(rows.len() / 3);
    let names = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
    let index = |change: &dyn Fn(&mut serde_json::Map<String, serde_json::Value>)| {
        let of = |rows: &[Row], shard: &str| -> Vec<(String, serde_json::Value)> {
            rows.iter().map(|row| (row.0.clone(), shard.into())).collect()
        };
        let mut map = [of(first, names[0]), of(second, names[1])].concat().into_iter().collect();
        change(&mut map);
        serde_json::json!({"metadata": {"total_size": 1}, "weight_map": map}).to_string().into_bytes()
    };
    let folder = |index: Option<Vec<u8>>| {
        let mut files = Memory::default();
        for (name, rows) in names.into_iter().zip([first, second]) {
            files.0.insert(Path::new("d").join(name), write(rows));
        }
        if let Some(index) = index {
            files.0.insert("d/model.safetensors.index.json".into(), index);
        }
        files
    };
    let whole = index(&|_| {});
    let read = |files: &mut Memory, network: &str, weights: Option<&str>| {
        let opened = opened(network, files, |request| {
            if let Some(path) = weights {
                request.numbers = Numbers::File(path.into());
            }
        })?;
        assert_eq!(opened.weights().unwrap().files().len(), 2);
        let (graph, _) = opened.graph()?;
        opened.weights().unwrap().parameters(&graph, None)
    };
    let with_index = [
        ("d", None),
        ("d/model.safetensors.index.json", None),
        ("mobilenet-v1", Some("d")),
        ("mobilenet-v1", Some("d/model.safetensors.index.json")),
        ("mobilenet-v1", Some("d/model-00002-of-00002.safetensors")),
    ];
    for (network, weights) in with_index {
        let found = read(&mut folder(Some(whole.clone())), network, weights);
        assert_eq!(found.unwrap_or_else(|error| panic!("{network} {weights:?}: {error}")), parameters);
    }
    let without_index = [("d", None), ("mobilenet-v1", Some("d/model-00001-of-00002.safetensors"))];
    for (network, weights) in without_index {
        assert_eq!(read(&mut folder(None), network, weights).unwrap(), parameters);
    }

    let fails = |index: Vec<u8>, spoil: &dyn Fn(&mut Memory), expected: &str| {
        let mut files = folder(Some(index));
        spoil(&mut files);
        assert_eq!(read(&mut files, "d", None).unwrap_err().to_string(), expected);
    };
    let place = "d/model.safetensors.index.json";
    fails(
        whole.clone(),
        &|files| {
            files.0.remove(Path::new("d/model-00002-of-00002.safetensors"));
        },
        &format!("{place}: found no file {:?} beside it, which it names: download all shards", names[1]),
    );
    fails(
        index(&|map| {
            map.insert("classifier.weight".to_owned(), names[0].into());
        }),
        &|_| {},
        &format!(
            "{place}: found no tensor \"classifier.weight\" in {:?}, where the index says it is, nor 0 others where it says: \
             download all again",
            names[0]
        ),
    );
    for path in ["../x.safetensors", "/x.safetensors", "a/b", "a\\b", "..", ""] {
        fails(
            index(&|map| {
                map.insert("classifier.weight".to_owned(), path.into());
            }),
            &|_| {},
            &format!("{place}: found the shard {path:?}, expected a file in the same folder"),
        );
    }
    fails(
        whole,
        &|files| {
            let twice = [second, &first[..1]].concat();
            files.0.insert(Path::new("d").join(names[1]), write(&twice));
        },
        &format!(
            "d/{}: tensor {:?}: found it in d/{} too, expected it in one shard",
            names[1], first[0].0, names[0]
        ),
    );
    fails(
        b"{}".to_vec(),
        &|_| {},
        &format!(
            "{place}: found missing field `weight_map` at line 1 column 2, expected an index of shards with a `weight_map`"
        ),
    );
    fails(b"{\"weight_map\": {}}".to_vec(), &|_| {}, &format!("{place}: found 0 shards, expected 1 to 1000"));
}

/// A repository as Hugging Face's cache has it: revisions of links into blobs.
#[test]
fn a_repository_of_the_cache() {
    let (rows, parameters) = network("mobilenet-v1", &Naming::HUGGING_FACE);
    let config = br#"{"architectures": ["MobileNetV1ForImageClassification"], "image_size": 64}"#;
    let mut files = Memory::default();
    let root = PathBuf::from("models--google--mobilenet");
    files.0.insert(root.join("blobs/abc"), Vec::new());
    for revision in ["1111", "2222"] {
        files.0.insert(root.join("snapshots").join(revision).join("model.safetensors"), write(&rows));
        files.0.insert(root.join("snapshots").join(revision).join("config.json"), config.to_vec());
    }
    let read = |files: &mut Memory, network: &str, weights: Option<&str>| {
        let opened = opened(network, files, |request| {
            if let Some(path) = weights {
                request.numbers = Numbers::File(path.into());
            }
        })?;
        assert_eq!(opened.job().description().input.height, 64, "the configuration is that of the revision");
        let (graph, _) = opened.graph()?;
        opened.weights().unwrap().parameters(&graph, None)
    };
    let root = root.to_str().unwrap();
    let error = read(&mut files, root, None).unwrap_err().to_string();
    let expected = format!(
        "{root}: found 2 revisions and none that refs/main names, expected one: name its folder in snapshots"
    );
    assert_eq!(error, expected);
    files.0.insert(format!("{root}/refs/main").into(), b"2222\n".to_vec());
    assert_eq!(read(&mut files, root, None).unwrap(), parameters);
    assert_eq!(read(&mut files, "mobilenet-v1", Some(root)).unwrap(), parameters);
    assert_eq!(read(&mut files, &format!("{root}/snapshots/1111"), None).unwrap(), parameters);
}

/// Folders of other formats, and other formats in place of weights.
#[test]
fn weights_of_other_formats() {
    let fails = |network: &str, files: &[(&str, &[u8])], expected: &str| {
        let mut files = Memory(files.iter().map(|(name, bytes)| (name.into(), bytes.to_vec())).collect());
        let error = opened(network, &mut files, |_| {}).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
    };
    for name in ["pytorch_model.bin", "net.pth", "last.ckpt", "net.pth.tar"] {
        let expected = format!(
            "d: found {name}, expected model.safetensors: write safetensors with `safetensors.torch.save_file("
        );
        fails("d", &[(&format!("d/{name}"), b"x"), ("d/config.json", b"{}")], &expected);
    }
    for (name, way) in [
        ("tf_model.h5", "load the model"),
        ("saved_model.pb", "load the model"),
        ("net.keras", "load the model"),
        ("model.onnx", "take the weights"),
        ("net.tflite", "take the weights"),
    ] {
        let expected = format!("d: found {name}, expected model.safetensors: {way}");
        fails("d", &[(&format!("d/{name}"), b"x")], &expected);
    }
    fails("d", &[("d/readme.md", b"x")], "d: found no weights in this folder, expected model.safetensors");
    let pointer: &[u8] = b"version https://git-lfs.example/spec/v1\noid sha256:0\nsize 1\n";
    for file in ["d", "d/model.safetensors"] {
        fails(
            file,
            &[("d/model.safetensors", pointer)],
            "d/model.safetensors: found a Git LFS pointer, expected a safetensors file: run `git lfs pull`",
        );
    }
}
