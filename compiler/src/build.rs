//! The door for build scripts: compiles a network for cargo's target, hands the object to the linker, and writes bindings.
//!
//! ```no_run
//! // build.rs
//! fn main() -> Result<(), mnc::Error> {
//!     mnc::build::Model::new("mobilenet-v1").weights("weights/net.safetensors").emit("Classifier")
//! }
//! ```
//!
//! In the crate, `include!(concat!(env!("OUT_DIR"), "/classifier.rs"));` then brings the struct `Classifier`, with the same
//! functions, constants and workspace as the macro's. The bindings name the crate `mnc_runtime`.
//!
//! Beside the command's, this is the one module that reads files and the environment, as build scripts are there to do.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use mnc_runtime::files::{self, Output};

use crate::compile::{Compiled, Options};
use crate::emit::archive::archive;
use crate::emit::rust::bindings;
use crate::error::{Error, ErrorKind, Fault, Place, Result};
use crate::job::{Job, Settings};
use crate::request::{Constant, Network, Numbers, Package, Request};
use crate::target::Target;

/// A network to be linked into the crate whose build script runs.
#[derive(Clone, Debug)]
#[must_use = "nothing is compiled before `emit`"]
pub struct Model {
    request: Request,
    cpu: Option<String>,
}

impl Model {
    /// A built-in network's name, or the path of a description, from the package's folder like every path here.
    pub fn new(network: impl Into<String>) -> Model {
        let detail = "found none, expected `.weights(\"FILE.safetensors\")` or `.random_weights(1)`";
        let numbers = Numbers::Missing(Fault { place: Place::flag("weights"), detail: detail.to_owned() });
        Model { request: Request::new(Network::Named(network.into()), numbers), cpu: None }
    }

    /// Its weights in safetensors.
    pub fn weights(mut self, path: impl Into<PathBuf>) -> Model {
        self.request.numbers = Numbers::File(path.into());
        self
    }

    /// Weights drawn at random instead, to measure or to test.
    pub fn random_weights(mut self, seed: u64) -> Model {
        self.request.numbers = Numbers::Random(seed);
        self
    }

    /// Whose tensor names the weights have; found out without it.
    pub fn naming(mut self, name: impl Into<String>) -> Model {
        self.request.naming = Some(name.into());
        self
    }

    /// A file that says what the weights' tensors are called.
    pub fn names(mut self, path: impl Into<PathBuf>) -> Model {
        self.request.names = Some(path.into());
        self
    }

    /// The order of the axes of the weights' filters: `OIHW`, `HWIO` or `OHWI`; found out without it.
    pub fn axes(mut self, order: impl Into<String>) -> Model {
        self.request.axes = Some(order.into());
        self
    }

    /// What the names of the tensors begin with in front of the naming's, such as `ema.`; what they share without it.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Model {
        self.request.prefix = Some(prefix.into());
        self
    }

    /// Refuses weights with tensors that no layer wants, instead of leaving them out.
    pub fn strict(mut self) -> Model {
        self.request.strict = true;
        self
    }

    /// Leaves the classifier out: the network returns the features that it would read.
    pub fn features(mut self) -> Model {
        self.request.features = true;
        self
    }

    /// Keeps channels of int8 that are one byte whatever the input is; they are left out otherwise, which changes no answer.
    pub fn keep_constant(mut self) -> Model {
        self.request.constant = Constant::Kept;
        self
    }

    /// Leaves channels out of a network in f32 too that are the same for every picture. Inputs that are no picture get another answer, and
    /// the last digits of answers may differ.
    pub fn drop_constant(mut self) -> Model {
        self.request.constant = Constant::LeftOut;
        self
    }

    /// The model's configuration, or `none`; looked for beside the weights without it.
    pub fn config(mut self, path: impl Into<PathBuf>) -> Model {
        self.request.config = Some(path.into());
        self
    }

    /// The preprocessor's configuration, or `none`; looked for beside the weights without it.
    pub fn preprocessor(mut self, path: impl Into<PathBuf>) -> Model {
        self.request.preprocessor = Some(path.into());
        self
    }

    /// A file with the name of an output on each line; those of the configuration without it.
    pub fn labels(mut self, path: impl Into<PathBuf>) -> Model {
        self.request.labels = Some(path.into());
        self
    }

    /// Width multiplier, checked against the weights; theirs without it.
    pub fn alpha(mut self, alpha: f64) -> Model {
        self.request.alpha = Some(alpha);
        self
    }

    /// Resolution multiplier.
    pub fn rho(mut self, rho: f64) -> Model {
        self.request.rho = Some(rho);
        self
    }

    /// `160`, or `"192x160"`.
    pub fn resolution(mut self, resolution: impl ToString) -> Model {
        self.request.resolution = Some(resolution.to_string());
        self
    }

    /// Instruction set, as `mnc targets` lists them; the target's first without it.
    pub fn target_cpu(mut self, cpu: impl Into<String>) -> Model {
        self.cpu = Some(cpu.into());
        self
    }

    /// Compiles the network for cargo's target, writes `lib*.a` and `type_name` in lower case `.rs` into `OUT_DIR`, and tells
    /// cargo to link the one and to come back when an input changes.
    ///
    /// # Errors
    /// Those of `mnc compile`; a target that no object is written for; not being called by a build script.
    pub fn emit(&self, type_name: &str) -> Result<()> {
        bindings::check_type_name(type_name)
            .map_err(|detail| Error::new(ErrorKind::Options, Place::flag("type"), detail))?;
        let target = Target::new(&variable("TARGET")?.to_string_lossy(), self.cpu.as_deref())?;
        let out_dir = PathBuf::from(variable("OUT_DIR")?);
        let mut files = Package::new(variable("CARGO_MANIFEST_DIR")?);
        let package = variable("CARGO_PKG_NAME")?;
        // Two packages may have a type of one name.
        let name = Options::name_of(&format!("mnc_{}_{type_name}", package.to_string_lossy())).to_lowercase();
        claim(&name, type_name)?;
        let opened = Job::resolve(&self.request, &mut files)?.open(&mut files)?;
        for note in &opened.job().notes {
            println!("cargo::warning={type_name}: {}: {}", note.subject, note.text);
        }
        let (graph, _) = opened.graph()?;
        let compiled = opened.run(graph, &Settings::new(&target, &name))?;
        write(&out_dir, &name, type_name, &compiled)?;
        // Whatever a script prints replaces cargo's own idea of when to run it again, that it has changed included.
        println!("cargo::rerun-if-changed=build.rs");
        for path in files.read {
            println!("cargo::rerun-if-changed={}", path.display());
        }
        println!("cargo::rustc-link-search=native={}", out_dir.display());
        println!("cargo::rustc-link-lib=static={name}");
        Ok(())
    }
}

/// Types of this script, each with the name of its library.
static CLAIMED: Mutex<Vec<(String, String)>> = Mutex::new(Vec::new());

/// Takes the name of a library. Types that differ in case alone, or in letters that no symbol has, would get one library, which is
/// the later one's.
fn claim(name: &str, type_name: &str) -> Result<()> {
    let mut claimed = CLAIMED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, other)) = claimed.iter().find(|(taken, other)| taken == name && other != type_name) {
        let detail = format!(
            "found {type_name:?} beside {other:?}, expected names that differ in ASCII letters, digits or _, case aside: both \
             libraries would be called {name}"
        );
        return Err(Error::new(ErrorKind::Options, Place::flag("type"), detail));
    }
    claimed.push((name.to_owned(), type_name.to_owned()));
    Ok(())
}

fn write(out_dir: &Path, name: &str, type_name: &str, compiled: &Compiled) -> Result<()> {
    let is_msvc = compiled.target.triple.environment == target_lexicon::Environment::Msvc;
    let library = if is_msvc { format!("{name}.lib") } else { format!("lib{name}.a") };
    let files = [
        (library, archive(&compiled.object()?, &format!("{name}.o"), &compiled.target)?),
        (
            format!("{}.rs", type_name.to_lowercase()),
            bindings::bindings(&compiled.program, &compiled.info, type_name).into_bytes(),
        ),
    ];
    for (file, bytes) in files {
        let path = out_dir.join(file);
        files::write(Output { path: &path, bytes: &bytes, is_executable: false })
            .map_err(|error| Error::new(ErrorKind::Io, Place::file(&path), error.to_string()))?;
    }
    Ok(())
}

fn variable(name: &str) -> Result<OsString> {
    env::var_os(name).ok_or_else(|| {
        let detail =
            "found no such variable, expected to be called by a build script, for which cargo sets it";
        Error::new(ErrorKind::Io, Place::named(name), detail)
    })
}
