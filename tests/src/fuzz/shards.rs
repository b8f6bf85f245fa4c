//! The index of a checkpoint in shards: which files are read because it says so, and what becomes of their tensors.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use mnc::files::Kind;
use mnc::job::Job;
use mnc::request::{Files, Network, Numbers, Request};
use mnc::weights::Parameters;
use mnc::weights::naming::Naming;
use safetensors::SafeTensors;

use super::Target;
use super::binary::{SMALL, small};

const INDEX: &str = "downloaded/model.safetensors.index.json";
const SHARDS: [&str; 2] = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];

/// A folder with an index that somebody else has written, and the shards of a small network.
struct Folder<'a> {
    index: &'a [u8],
    shards: &'a BTreeMap<PathBuf, Vec<u8>>,
}

impl Files for Folder<'_> {
    fn is_file(&self, path: &Path) -> bool {
        assert_eq!(path.parent(), Path::new(INDEX).parent(), "an index looks for files beside it alone");
        path == Path::new(INDEX) || self.shards.contains_key(path)
    }

    fn folder(&self, _: &Path) -> Option<Vec<String>> {
        None
    }

    fn start(&self, _: &Path) -> Vec<u8> {
        Vec::new()
    }

    fn read(&mut self, path: &Path, _: Kind) -> io::Result<Vec<u8>> {
        assert_eq!(path.parent(), Path::new(INDEX).parent(), "an index names files beside it alone");
        if path == Path::new(INDEX) {
            return Ok(self.index.to_vec());
        }
        self.shards.get(path).cloned().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }
}

/// The names of the small network's tensors in two halves, and their files.
fn halves() -> [(Vec<String>, Vec<u8>); 2] {
    let graph = small();
    let file =
        Parameters::random(&graph, 1).to_safetensors(&graph, &Naming::PLAIN).expect("it can be written");
    let file = SafeTensors::deserialize(&file).expect("it is a safetensors file");
    let mut tensors = file.tensors();
    tensors.sort_by(|a, b| a.0.cmp(&b.0));
    let second = tensors.split_off(tensors.len() / 2);
    [tensors, second].map(|tensors| {
        let names = tensors.iter().map(|(name, _)| name.clone()).collect();
        (names, safetensors::serialize(tensors, None).expect("names are unique"))
    })
}

pub(super) const INDEX_OF_SHARDS: Target = Target {
    name: "index",
    run: |bytes| {
        static SHARDS_OF: std::sync::OnceLock<BTreeMap<PathBuf, Vec<u8>>> = std::sync::OnceLock::new();
        let shards = SHARDS_OF.get_or_init(|| {
            let files = SHARDS.iter().zip(halves());
            files.map(|(name, (_, file))| (Path::new(INDEX).with_file_name(name), file)).collect()
        });
        let network = Network::Inline { text: SMALL.to_owned(), place: "small.toml".to_owned() };
        let request = Request::new(network, Numbers::File(PathBuf::from(INDEX)));
        let mut files = Folder { index: bytes, shards };
        let opened = Job::resolve(&request, &mut files).and_then(|job| job.open(&mut files));
        let Ok(opened) = opened else { return false };
        let Ok((graph, _)) = opened.graph() else { return false };
        let weights = opened.weights().expect("the request names a file");
        weights.parameters(&graph, None).is_ok()
    },
    seeds: || {
        let [first, second] = halves();
        let rows = |names: &[String], shard: &str| -> String {
            names.iter().map(|name| format!("{name:?}:{shard:?},")).collect()
        };
        let both = rows(&first.0, SHARDS[0]) + &rows(&second.0, SHARDS[1]);
        let map = both.trim_end_matches(',');
        vec![
            format!("{{\"metadata\":{{\"total_size\":1000}},\"weight_map\":{{{map}}}}}").into_bytes(),
            // What isn't named is read all the same, for its shard is.
            format!(
                "{{\"weight_map\":{{{:?}:{:?},{:?}:{:?}}}}}",
                first.0[0], SHARDS[0], second.0[0], SHARDS[1]
            )
            .into_bytes(),
        ]
    },
    words: &[
        "\"weight_map\":{",
        "\"metadata\":",
        SHARDS[0],
        SHARDS[1],
        "../model-00001-of-00002.safetensors",
        "/etc/passwd",
        "model.safetensors.index.json",
        "..",
        ".",
        "\\\\",
        "\\u0000",
        "/",
        ":",
        "\"",
        "null",
        "{",
        "}",
        ",",
    ],
    n_inputs: 20_000,
};
