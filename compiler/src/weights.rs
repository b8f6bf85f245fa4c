//! Stage 2: safetensors -> [`Weights`] -> [`Parameters`] of a graph.
//!
//! Bytes come from the caller (the command maps the file into memory). Nothing here reads a file or knows a target.
//! In order: `header` checks the file's own claims, [`names`] renames tensors where a user says how, [`naming`] says which tensor
//! belongs to which layer, `fit` and `prefix` which of a file's names are those, `assign` checks each against the graph and turns
//! it, with its axes in the order of a [`layout`], into the order of the arithmetic, `quantised` does so where they are integers of another
//! quantiser, `leftover` lists the tensors that no layer wants.
//! [`config`] reads the JSON that lies beside it; `recognise` tells of which built-in network they are; [`propose`] says what tensors of
//! unknown names seem to be.

mod alpha;
mod assign;
pub mod config;
mod fit;
mod foreign;
mod form;
mod header;
pub mod layout;
mod leftover;
pub mod names;
pub mod naming;
mod prefix;
pub mod propose;
mod quantised;
mod random;
mod recognise;
mod write;

pub use self::fit::{Asked, Fit, Settled};
pub use self::foreign::is_safetensors;
pub(crate) use self::foreign::{FROM_KERAS, FROM_PYTORCH, FROM_SOURCE, START_BYTES};
pub use self::form::{Form, Norms};
pub use self::leftover::Leftovers;
pub use self::prefix::Prefix;
pub(crate) use self::quantised::{INPUT, QuantisedFilter};
pub use self::recognise::Recognised;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use safetensors::tensor::TensorInfo;
use safetensors::{Dtype, SafeTensors};

use self::layout::Layout;
use self::names::Names;
use crate::error::{Error, ErrorKind, Fault, Faults, Place, Result, quoted};
use crate::graph::Graph;
use crate::graph::layer::Layer;

/// The tensors of one safetensors file, or of the shards of one, with their bytes or borrowed from them.
#[derive(Clone, Debug)]
pub struct Weights<'a> {
    place: String,
    files: Vec<WeightsFile<'a>>,
    /// By their names without the prefix.
    tensors: BTreeMap<String, Tensor>,
    /// The order of filters' axes that somebody has asked for.
    asked_layout: Option<Layout>,
    /// By what the tensors were renamed.
    file_of_names: Option<Names>,
    /// Those that don't have the prefix of the others, by their names in the file.
    outside: BTreeMap<String, Tensor>,
    /// Scales and zero points of integers, by their names in the file.
    scales: BTreeMap<String, Tensor>,
    prefix: Prefix,
}

/// A file of tensors.
#[derive(Clone, Debug)]
pub struct WeightsFile<'a> {
    /// What errors call it.
    pub place: String,
    /// All of it.
    pub bytes: Cow<'a, [u8]>,
}

/// One tensor as its file holds it.
#[derive(Clone, Debug)]
struct Tensor {
    dtype: Dtype,
    shape: Vec<usize>,
    /// Which file.
    file: usize,
    /// In the file: little-endian, as long as dtype and shape say.
    data: Range<usize>,
    /// What the file calls it, where it was [renamed](Weights::rename).
    own_name: Option<String>,
}

impl Tensor {
    /// What the file calls it.
    fn name<'t>(&'t self, name: &'t str) -> &'t str {
        self.own_name.as_deref().unwrap_or(name)
    }
}

impl<'a> Weights<'a> {
    /// Reads the header of a safetensors file. `place` names the file in errors.
    ///
    /// Every claim of the header is checked against the bytes that are there before anything is believed; no number is
    /// read yet.
    ///
    /// ```
    /// let header = r#"{"a.weight": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}"#;
    /// let mut file = (header.len() as u64).to_le_bytes().to_vec();
    /// file.extend(header.as_bytes());
    /// file.extend([0; 8]);
    /// let weights = mnc::weights::Weights::parse(&file, "net.safetensors")?;
    /// assert_eq!(weights.shape("a.weight"), Some(&[2][..]));
    ///
    /// let error = mnc::weights::Weights::parse(&file[..80], "net.safetensors").unwrap_err();
    /// assert_eq!(
    ///     error.to_string(),
    ///     "net.safetensors: tensor \"a.weight\": ends at byte 8 of the data, found 4 bytes of data: the file is truncated"
    /// );
    /// # Ok::<(), mnc::Error>(())
    /// ```
    pub fn parse(bytes: impl Into<Cow<'a, [u8]>>, place: &str) -> Result<Weights<'a>> {
        let bytes = bytes.into();
        header::check(&bytes, place)?;
        // The crate has the last word on what a safetensors file is; `header` only made sure that asking it is safe and
        // that its answers aren't all we can say to a user.
        let (n_header_bytes, file) = SafeTensors::read_metadata(&bytes)
            .map_err(|error| Error::new(ErrorKind::Weights, header::header(place), error.to_string()))?;
        let start = header::LENGTH_BYTES + n_header_bytes;
        let tensor = |(name, info): (String, &TensorInfo)| {
            let data = start + info.data_offsets.0..start + info.data_offsets.1;
            (name, Tensor { dtype: info.dtype, shape: info.shape.clone(), file: 0, data, own_name: None })
        };
        let mut tensors = file.tensors().into_iter().map(tensor).collect();
        let scales = quantised::set_aside(&mut tensors);
        Ok(Weights {
            place: place.to_owned(),
            files: vec![WeightsFile { place: place.to_owned(), bytes }],
            tensors,
            scales,
            outside: BTreeMap::new(),
            prefix: Prefix::default(),
            asked_layout: None,
            file_of_names: None,
        })
    }

    /// One checkpoint of the tensors of several files.
    ///
    /// # Errors
    /// A tensor that is in two of them.
    pub(crate) fn join(place: &str, parts: Vec<Weights<'a>>) -> Result<Weights<'a>> {
        let mut all = Weights {
            place: place.to_owned(),
            files: Vec::new(),
            tensors: BTreeMap::new(),
            scales: BTreeMap::new(),
            outside: BTreeMap::new(),
            prefix: Prefix::default(),
            asked_layout: None,
            file_of_names: None,
        };
        let mut found = Vec::new();
        for part in parts {
            let first = all.files.len();
            all.files.extend(part.files);
            for (name, tensor) in part.tensors.into_iter().chain(part.scales) {
                let tensor = Tensor { file: first + tensor.file, ..tensor };
                let file = all.files[tensor.file].place.clone();
                if let Some(other) = all.tensors.insert(name.clone(), tensor) {
                    let detail =
                        format!("found it in {} too, expected it in one shard", all.files[other.file].place);
                    found.push(Fault { place: header::tensor_place(&file, &name), detail });
                }
            }
        }
        let mut faults = Faults::new(ErrorKind::Weights);
        push_listed(&mut faults, all.file(), found);
        faults.propagate()?;
        all.scales = quantised::set_aside(&mut all.tensors);
        Ok(all)
    }

    /// What errors call the file.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Where a fault of the file as a whole is.
    fn file(&self) -> Place {
        Place::File(self.place.clone())
    }

    /// The files: one, or the shards.
    pub fn files(&self) -> &[WeightsFile<'a>] {
        &self.files
    }

    /// The names of the tensors, sorted, without the prefix that they share in the file.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// Reads filters with their axes in this order, whatever their shapes say.
    pub fn set_layout(&mut self, layout: Layout) {
        self.asked_layout = Some(layout);
    }

    /// What a message calls a tensor: as the file does, and where it was renamed what it became.
    fn told(&self, name: &str) -> String {
        match self.tensors.get(name).and_then(|tensor| tensor.own_name.as_deref()) {
            Some(own) => format!("{} (for {name:?})", quoted(own)),
            None => format!("{name:?}"),
        }
    }

    /// What is taken off the names in the file.
    pub fn prefix(&self) -> &Prefix {
        &self.prefix
    }

    /// A tensor's name in the file, whether it is there or not.
    fn name_in_file(&self, name: &str) -> String {
        match self.tensors.get(name) {
            Some(tensor) => tensor.name(name).to_owned(),
            None if self.outside.contains_key(name) => name.to_owned(),
            None => self.prefix.put_on(name),
        }
    }

    /// Whether the file has a tensor of this name.
    pub(crate) fn has_in_file(&self, name: &str) -> bool {
        let mut tensors = self.tensors.iter().chain(&self.outside);
        tensors.any(|(ours, tensor)| tensor.name(ours) == name)
    }

    /// The numbers of a tensor, as the file has them.
    fn data(&self, tensor: &Tensor) -> &[u8] {
        &self.files[tensor.file].bytes[tensor.data.clone()]
    }

    /// The same tensors, of borrowed bytes.
    fn borrowed(&self) -> Weights<'_> {
        let files = self.files.iter();
        let borrowed =
            files.map(|file| WeightsFile { place: file.place.clone(), bytes: Cow::Borrowed(&*file.bytes) });
        Weights {
            place: self.place.clone(),
            files: borrowed.collect(),
            tensors: self.tensors.clone(),
            outside: self.outside.clone(),
            scales: self.scales.clone(),
            prefix: self.prefix.clone(),
            asked_layout: self.asked_layout,
            file_of_names: self.file_of_names.clone(),
        }
    }

    /// The shape of a tensor as the file holds it: `[N, M, D_K, D_K]` for a convolution.
    pub fn shape(&self, tensor: &str) -> Option<&[usize]> {
        self.tensors.get(tensor).map(|tensor| &tensor.shape[..])
    }
}

/// The numbers of one node, in the order in which the arithmetic uses them.
#[derive(Clone, Debug, PartialEq)]
pub enum NodeParameters {
    /// The layer has none.
    None,
    /// `Layer::Conv`: weights `[D_K][D_K][M][N]`; `Layer::Depthwise`: `[D_K][D_K][M]`; `Layer::Dense`: `[M][N]`.
    Filter {
        /// Output channel innermost.
        weights: Vec<f32>,
        /// `[N]`, when the layer has a bias.
        bias: Option<Vec<f32>>,
    },
    /// `Layer::BatchNorm`, each `[N]`.
    BatchNorm {
        /// Scale.
        gamma: Vec<f32>,
        /// Shift.
        beta: Vec<f32>,
        /// Running mean.
        mean: Vec<f32>,
        /// Running variance.
        variance: Vec<f32>,
    },
}

/// The numbers of every node of one graph, by [`NodeId`](crate::graph::NodeId).
#[derive(Clone, Debug, PartialEq)]
pub struct Parameters(pub Vec<NodeParameters>);

impl Parameters {
    /// Asserts that these are parameters of this graph: each layer has what it needs, each vector its length.
    ///
    /// # Panics
    ///
    /// If they are not. Parameters from [`Weights::parameters`] and [`Parameters::random`] always are, for the graph they
    /// were made for.
    pub fn verify(&self, graph: &Graph) {
        assert_eq!(self.0.len(), graph.nodes.len(), "one entry per node");
        for (node, parameters) in graph.nodes.iter().zip(&self.0) {
            let name = &node.name;
            let is_norm = matches!(node.layer, Layer::BatchNorm { .. });
            match (graph.filter(node), parameters) {
                (Some(filter), NodeParameters::Filter { weights, bias }) => {
                    let bias = bias.as_ref().map(Vec::len);
                    assert_eq!(
                        weights.len(),
                        filter.n_weights(),
                        "{name}: the filter has the layer's extent"
                    );
                    assert_eq!(bias, filter.has_bias.then_some(filter.n), "{name}: a bias has N elements");
                }
                (Some(_), _) => panic!("{name}: a layer with weights has a filter"),
                (None, NodeParameters::BatchNorm { gamma, beta, mean, variance }) if is_norm => {
                    let n = node.shape().channels;
                    for part in [gamma, beta, mean, variance] {
                        assert_eq!(part.len(), n, "{name}: each part of a batch norm has N elements");
                    }
                }
                (None, _) if is_norm => panic!("{name}: a batch norm has batch-norm parameters"),
                (None, _) => {
                    assert_eq!(parameters, &NodeParameters::None, "{name}: the layer has no parameters");
                }
            }
        }
    }
}

/// Faults of one sort are listed up to this many, the rest counted: a file of another network has thousands.
const MAX_LISTED: usize = 20;

/// Adds the first [`MAX_LISTED`] faults and, at `place`, how many more there are.
fn push_listed(faults: &mut Faults, place: Place, found: Vec<Fault>) {
    let n_more = found.len().saturating_sub(MAX_LISTED);
    for fault in found.into_iter().take(MAX_LISTED) {
        faults.push(fault.place, fault.detail);
    }
    if 0 < n_more {
        faults.push_more(place, n_more);
    }
}
