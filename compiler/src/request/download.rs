//! A folder as it was downloaded, or a file of weights, in place of a network -> the request that names all of its parts.
//!
//! The network is that of `config.json`, else the built-in one that has the tensors. Knows names of files; numbers are read by
//! [`crate::job`].

use std::path::{Path, PathBuf};

use super::configured::find_file;
use super::weights::{is_index, is_shard};
use super::{Files, Network, Numbers, Renames, Request, file_name};
use crate::describe::{self, Builtin};
use crate::error::{Error, ErrorKind, Place, Result, quoted};
use crate::files::Kind;
use crate::quantize::file::{Origin, is_int8, origin};
use crate::weights::config::ModelConfig;
use crate::weights::naming::Naming;
use crate::weights::{Asked, FROM_KERAS, FROM_PYTORCH, FROM_SOURCE, Weights, is_safetensors};

/// A request whose network was found and not named.
#[derive(Clone, Debug)]
pub struct Download {
    /// The same with a built-in network, and the files of the folder where the user named no others.
    pub request: Request,
    /// Which network, and by what.
    pub recognised: String,
}

/// What hubs call the weights of a folder.
const WEIGHTS: &str = "model.safetensors";
/// Weights of other formats, with what makes safetensors of them.
const OTHERS: [(&str, &str); 14] = [
    ("pytorch_model.bin", FROM_PYTORCH),
    (".pth", FROM_PYTORCH),
    (".pt", FROM_PYTORCH),
    (".pth.tar", FROM_PYTORCH),
    (".ckpt", FROM_PYTORCH),
    (".h5", FROM_KERAS),
    (".keras", FROM_KERAS),
    ("saved_model.pb", FROM_KERAS),
    (".index", FROM_KERAS),
    (".msgpack", FROM_KERAS),
    (".onnx", FROM_SOURCE),
    (".tflite", FROM_SOURCE),
    (".npz", FROM_SOURCE),
    (".bin", FROM_SOURCE),
];

impl Download {
    /// Finds the parts of a folder or a file of weights; `None` where the network is a name or a description.
    ///
    /// # Errors
    /// A folder without weights where they are needed; an architecture that nobody knows; tensors of no built-in network.
    pub fn open(request: &Request, files: &mut impl Files) -> Result<Option<Download>> {
        let Network::Named(name) = &request.network else { return Ok(None) };
        if describe::builtin(name).is_some() {
            return Ok(None);
        }
        let path = Path::new(name);
        let mut request = request.clone();
        if files.folder(path).is_some() {
            let path = &super::weights::snapshot(path, files)?;
            let names = files.folder(path).unwrap_or_default();
            if let Numbers::Missing(_) = request.numbers {
                request.numbers = Numbers::File(weights_in(path, &names)?);
            }
            for (named, file) in [
                (&mut request.config, "config.json"),
                (&mut request.preprocessor, "preprocessor_config.json"),
            ] {
                if named.is_none() && names.iter().any(|name| name == file) {
                    *named = Some(path.join(file));
                }
            }
        } else if is_weights(name, files) {
            if let Numbers::Missing(_) = request.numbers {
                request.numbers = Numbers::File(path.to_owned());
            }
        } else {
            return Ok(None);
        }
        let mut request = super::weights::located(&request, files)?;
        let (network, recognised) = recognise(&request, files)?;
        request.network = network;
        Ok(Some(Download { request, recognised }))
    }
}

/// Whether a name is that of a file of weights, or of an index of shards: by its ending, else by its content.
pub fn is_weights(name: &str, files: &impl Files) -> bool {
    let path = Path::new(name);
    let ends_so = path.extension().is_some_and(|ending| ending == "safetensors") || is_index(name);
    ends_so || is_safetensors(&files.start(path))
}

/// The weights among the names of a folder: a file, or an index of shards.
pub(super) fn weights_in(folder: &Path, names: &[String]) -> Result<PathBuf> {
    let indices: Vec<&String> = names.iter().filter(|name| is_index(name)).collect();
    let found: Vec<&String> =
        names.iter().filter(|name| name.ends_with(".safetensors") && !is_shard(name)).collect();
    let shards: Vec<&String> = names.iter().filter(|name| is_shard(name)).collect();
    match (&found[..], &indices[..], &shards[..]) {
        ([only], ..) => return Ok(folder.join(only)),
        _ if found.iter().any(|name| *name == WEIGHTS) => return Ok(folder.join(WEIGHTS)),
        ([], [only], _) => return Ok(folder.join(only)),
        ([], [], [first, ..]) if first.contains("-00001-of-") => return Ok(folder.join(first)),
        _ => {}
    }
    let n_found = found.len() + indices.len();
    let other = OTHERS.iter().find_map(|(ending, way)| {
        let name = names.iter().find(|name| name.ends_with(ending))?;
        Some((name, way))
    });
    let detail = match (n_found, other) {
        (0, Some((name, way))) => format!("found {name}, expected {WEIGHTS}: {way}"),
        (0, None) => format!("found no weights in this folder, expected {WEIGHTS}"),
        (n_found, _) => {
            format!("found {n_found} files of weights and no {WEIGHTS}, expected --weights to name one")
        }
    };
    Err(Error::new(ErrorKind::Io, Place::file(folder), detail))
}

/// The network of the configuration, else of the tensors; and how it is known.
fn recognise(request: &Request, files: &mut impl Files) -> Result<(Network, String)> {
    let weights = match &request.numbers {
        Numbers::File(path) => Some(path.as_path()),
        Numbers::Random(_) | Numbers::Runtime | Numbers::Missing(_) => None,
    };
    if let Some(path) = find_file(files, request.config.as_deref(), weights, "config.json") {
        let text = files.text(&path, Kind::Configuration)?;
        let config = ModelConfig::parse(&text, &path.display().to_string())?;
        if let Some(architecture) = config.architecture() {
            let network = architecture
                .builtin()
                .map_err(|detail| Error::new(ErrorKind::Weights, Place::file(&path), detail))?;
            return Ok((named(network), format!("{}, says {}", architecture.name(), file_name(&path))));
        }
    }
    let Some(path) = weights else {
        let detail =
            "found neither a config.json that names the architecture nor weights, expected one of the two";
        let Network::Named(name) = &request.network else { unreachable!("only a path is opened") };
        return Err(Error::new(ErrorKind::Io, Place::file(name), detail));
    };
    let mut weights = super::weights(path, files)?;
    if let Some(found) = quantised(&weights)? {
        return Ok(found);
    }
    Renames::read(request, files)?.apply(&mut weights)?;
    let naming = request.naming.as_deref().map(Naming::asked).transpose()?;
    if let Some(prefix) = &request.prefix {
        weights.check_prefix(prefix)?;
    }
    let asked = Asked { naming, prefix: request.prefix.as_deref(), needs_classifier: false };
    let found = weights.recognise(asked)?;
    Ok((
        named(found.network),
        format!("by the tensors of {}, in the naming {}", file_name(path), found.naming),
    ))
}

fn named(builtin: &Builtin) -> Network {
    Network::Named(builtin.name.to_owned())
}

/// The network of which a file of `mnc quantize` was made; nothing of other files.
fn quantised(weights: &Weights<'_>) -> Result<Option<(Network, String)>> {
    let [file] = weights.files() else { return Ok(None) };
    if !is_int8(&file.bytes) {
        return Ok(None);
    }
    let Origin { network, said, .. } = origin(&file.bytes, &file.place)?;
    let told = format!("{network}, of which {} was quantised", file_name(Path::new(&file.place)));
    match (describe::builtin(&network), said.description) {
        (Some(builtin), _) => Ok(Some((named(builtin), told))),
        (None, Some(text)) => Ok(Some((Network::Inline { text, place: file.place.clone() }, told))),
        (None, None) => {
            let detail = format!(
                "found int8 of {}, which isn't built in, expected its description too: mnc compile NET.toml --weights FILE",
                quoted(&network)
            );
            Err(Error::new(ErrorKind::Weights, Place::file(&file.place), detail))
        }
    }
}
