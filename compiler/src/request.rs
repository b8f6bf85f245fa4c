//! What a user asks for, whichever door they come through: names, paths and knobs, as they were typed.
//!
//! In: a way to read files. Out: the texts behind the names, for [`Job::resolve`](crate::job::Job::resolve). Reads nothing
//! itself: files are the business of the door that asks.

mod configured;
mod download;
mod labels;
mod package;
mod renames;
mod weights;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

pub use self::configured::{Configured, PREPROCESSING, Reading, Trained, beside};
pub use self::download::{Download, is_weights};
pub use self::labels::{Labels, labels};
pub use self::package::Package;
pub use self::renames::Renames;
pub(crate) use self::weights::{located, weight_files, weights};
use crate::describe::{self, BUILTIN, Description};
use crate::error::{Error, ErrorKind, Fault, Place, Result};
use crate::files::Kind;
use crate::weights::config::Said;

/// Where the network's description comes from.
#[derive(Clone, Debug)]
pub enum Network {
    /// A built-in network's name, or a path: of a description, of a folder as it was downloaded, of weights.
    Named(String),
    /// A description as text, and what errors call it.
    Inline {
        /// TOML.
        text: String,
        /// The file in `file:line:column`.
        place: String,
    },
}

/// Where the numbers come from.
#[derive(Clone, Debug)]
pub enum Numbers {
    /// A safetensors file.
    File(PathBuf),
    /// Drawn at random, to measure or to test.
    Random(u64),
    /// Brought by who runs the network. The compiled one has zeros, a place for each layer.
    Runtime,
    /// Nobody said. What needs no numbers can be had all the same, then this is the error.
    Missing(Fault),
}

/// What becomes of channels that are the same whatever the input is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Constant {
    /// They leave networks in int8, whose answers stay what they are.
    #[default]
    LeftOutOfInt8,
    /// They stay.
    Kept,
    /// They leave networks in f32 too, whose input is a picture then: of other numbers the answer is another one, and of pictures its last
    /// digits may differ.
    LeftOut,
}

/// A network, its weights, and the knobs.
#[derive(Clone, Debug)]
pub struct Request {
    /// The network.
    pub network: Network,
    /// Its numbers.
    pub numbers: Numbers,
    /// The name of the tensors' naming; found out if `None`.
    pub naming: Option<String>,
    /// A file that says what the weights' tensors are called.
    pub names: Option<PathBuf>,
    /// The order of the axes of their filters; found out if `None`.
    pub axes: Option<String>,
    /// What the names of the tensors begin with in front of the naming's; found out if `None`.
    pub prefix: Option<String>,
    /// Whether tensors that no layer wants are refused.
    pub strict: bool,
    /// Whether the network ends before its classifier.
    pub features: bool,
    /// What becomes of channels that are the same whatever the input is.
    pub constant: Constant,
    /// The model's configuration, `none` for none; looked for beside the weights if `None`.
    pub config: Option<PathBuf>,
    /// The preprocessor's configuration, likewise.
    pub preprocessor: Option<PathBuf>,
    /// A file with the name of an output on each line, `imagenet` for the built-in ones or `none`; if `None`, those of the
    /// configuration, else what [`Labels`] assumes.
    pub labels: Option<PathBuf>,
    /// Width multiplier, checked against the weights; else theirs.
    pub alpha: Option<f64>,
    /// Resolution multiplier.
    pub rho: Option<f64>,
    /// `160` or `192x160`.
    pub resolution: Option<String>,
}

impl Request {
    /// A network with its weights, everything else by default.
    pub fn new(network: Network, numbers: Numbers) -> Request {
        Request {
            network,
            numbers,
            naming: None,
            names: None,
            axes: None,
            prefix: None,
            strict: false,
            features: false,
            constant: Constant::default(),
            config: None,
            preprocessor: None,
            labels: None,
            alpha: None,
            rho: None,
            resolution: None,
        }
    }
}

/// A network as its author wrote it.
#[derive(Clone, Debug)]
pub struct Written {
    /// The name of its file, without a folder.
    pub file: String,
    /// TOML.
    pub text: String,
    /// What the text says.
    pub description: Description,
    /// Of which facts of the training it speaks. A built-in network speaks of none: its values are those of one exporter's
    /// weights.
    pub said: Said,
}

impl Network {
    /// Reads the description.
    ///
    /// # Errors
    /// A file that can't be read, or is none; every fault of the description.
    pub fn read(&self, files: &mut impl Files) -> Result<Written> {
        let (place, text) = match self {
            Network::Inline { text, place } => (place, text.clone()),
            Network::Named(name) => match describe::builtin(name) {
                Some(builtin) => {
                    return Ok(Written {
                        file: format!("{}.toml", builtin.name),
                        text: builtin.text.to_owned(),
                        description: builtin.description(),
                        said: Said::default(),
                    });
                }
                None => (name, files.text(Path::new(name), Kind::Network)?),
            },
        };
        let has = |key: &str| Description::has_key(&text, key);
        let said = Said {
            preprocess: has("preprocess"),
            padding: has("padding"),
            epsilon: has("batch_norm_epsilon"),
            rounding: has("alpha"),
            classes: has("classes"),
            resolution: has("input"),
        };
        let description = Description::parse(&text, place)?;
        Ok(Written { file: file_name(Path::new(place)), text, description, said })
    }
}

/// How a door reads files, and what it makes of paths that aren't absolute.
pub trait Files {
    /// Whether there is such a file.
    fn is_file(&self, path: &Path) -> bool;

    /// The names of the files in a folder, sorted; `None` where there is no such folder.
    fn folder(&self, path: &Path) -> Option<Vec<String>>;

    /// The first bytes of a plain file, enough to tell what it is; none where there is no such file.
    fn start(&self, path: &Path) -> Vec<u8>;

    /// Its content, within the bound of its kind. An error's text says where the file was looked for.
    ///
    /// # Errors
    /// Those of [`crate::files::read`].
    fn read(&mut self, path: &Path, kind: Kind) -> io::Result<Vec<u8>>;

    /// What the error of a file that can't be read says was expected.
    fn expected(&self, kind: Kind) -> String {
        match kind {
            Kind::Network => {
                let names: Vec<&str> = BUILTIN.iter().map(|builtin| builtin.name).collect();
                format!("{} or {}", names.join(", "), kind.expected())
            }
            _ => kind.expected().to_owned(),
        }
    }

    /// Its content; the error names it.
    ///
    /// # Errors
    /// As [`Files::read`].
    fn bytes(&mut self, path: &Path, kind: Kind) -> Result<Vec<u8>> {
        self.read(path, kind).map_err(|error| unread(path, &error, &self.expected(kind)))
    }

    /// Its content as text.
    ///
    /// # Errors
    /// As [`Files::read`], and what is not UTF-8.
    fn text(&mut self, path: &Path, kind: Kind) -> Result<String> {
        String::from_utf8(self.bytes(path, kind)?).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            unread(path, &format_args!("found a byte that is not UTF-8 at offset {at}"), &self.expected(kind))
        })
    }
}

fn unread(path: &Path, why: &dyn fmt::Display, expected: &str) -> Error {
    Error::new(ErrorKind::Io, Place::file(path), format!("{why}, expected {expected}"))
}

/// A path's last part: where the folder is has no place in what is compiled.
pub fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}
