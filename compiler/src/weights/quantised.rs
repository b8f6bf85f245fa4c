//! Weights of a network that another quantiser has made: integers, with the scales and zero points beside them.
//!
//! docs/quantised.md tells the layout. Scales are set aside when a file is read: names, prefixes and shapes are then found as those of
//! any other file. Knows nothing of what a layer computes.

use std::collections::{BTreeMap, BTreeSet};

use safetensors::Dtype;

use super::assign::transpose_filter;
use super::header::tensor_place;
use super::naming::{Naming, Role, TensorSpec};
use super::{Tensor, Weights, push_listed};
use crate::error::{ErrorKind, Fault, Faults, Place, Result};
use crate::graph::layer::Layer;
use crate::graph::{Graph, Node};

/// What the network's input is called beside its scale.
pub(crate) const INPUT: &str = "input";
/// Of the weights of a layer: from one integer to the next. It says that a file is one of these.
const WEIGHT_SCALE: &str = "weight_scale";
/// The integer that stands for 0 there; absent where it is 0.
const WEIGHT_ZERO_POINT: &str = "weight_zero_point";
/// Of the bytes of a layer's output.
const OUTPUT_SCALE: &str = "output_scale";
/// The byte that stands for 0 there.
const OUTPUT_ZERO_POINT: &str = "output_zero_point";

/// The integers of a layer with weights.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct QuantisedFilter {
    /// In the order of the arithmetic, `[taps][M][N]`, the zero point taken off: -255 to 255.
    pub(crate) weights: Vec<i32>,
    /// Of each of the N channels.
    pub(crate) scale: Vec<f32>,
    /// `[N]`; zeros where the layer has none.
    pub(crate) bias: Vec<i32>,
    /// What the names of the layer's scales begin with.
    pub(crate) stem: String,
}

/// Takes the scales and zero points out of a file's tensors; none of a file that isn't one of these.
pub(super) fn set_aside(tensors: &mut BTreeMap<String, Tensor>) -> BTreeMap<String, Tensor> {
    let is_scale = |name: &String| word(name) == WEIGHT_SCALE;
    let is_integer = |tensor: &Tensor| matches!(tensor.dtype, Dtype::I8 | Dtype::U8);
    if !(tensors.keys().any(is_scale) && tensors.values().any(is_integer)) {
        return BTreeMap::new();
    }
    let words = [WEIGHT_SCALE, WEIGHT_ZERO_POINT, OUTPUT_SCALE, OUTPUT_ZERO_POINT];
    let (aside, rest) =
        std::mem::take(tensors).into_iter().partition(|(name, _)| words.contains(&word(name)));
    *tensors = rest;
    aside
}

/// What stands before the last part of a name.
fn stem(name: &str) -> &str {
    name.rsplit_once(['.', '/']).map_or("", |(stem, _)| stem)
}

/// The last part of a name.
fn word(name: &str) -> &str {
    name.rsplit(['.', '/']).next().unwrap_or_default()
}

impl Weights<'_> {
    /// Whether these are integers with scales, of another quantiser than ours.
    pub fn is_quantised(&self) -> bool {
        !self.scales.is_empty()
    }

    /// The integers of each node with weights, under a naming or the one that [`Weights::detect`] finds.
    ///
    /// # Errors
    /// Tensors that are missing, of another shape or type; scales that are none.
    pub(crate) fn quantised_filters(
        &self,
        graph: &Graph,
        naming: Option<&'static Naming>,
    ) -> Result<Vec<Option<QuantisedFilter>>> {
        let naming = match naming {
            Some(naming) => naming,
            None => self.detect(graph)?,
        };
        let specs = self.specs(graph, naming)?;
        let mut found = Vec::new();
        let mut filters: Vec<Option<QuantisedFilter>> = vec![None; graph.nodes.len()];
        for spec in &specs {
            let at_layer = |detail: String| Fault { place: Place::layer(&spec.layer), detail };
            match spec.role {
                Role::Weight => match self.integers(graph, spec) {
                    Ok(filter) => filters[spec.node.0] = Some(filter),
                    Err(fault) => found.push(fault),
                },
                Role::Bias => match self.bias(graph, spec) {
                    Ok(bias) => {
                        // The weights come first; without them there is a fault.
                        filters[spec.node.0].iter_mut().for_each(|filter| filter.bias.clone_from(&bias));
                    }
                    Err(detail) => found.push(at_layer(detail)),
                },
                // Every batch norm has one; the rest of it is as wrong.
                Role::Gamma | Role::Beta | Role::Mean => {}
                Role::Variance => {
                    let detail = "is a batch norm beside weights in integers, expected it folded into the weights before they were quantised";
                    found.push(at_layer(detail.to_owned()));
                }
            }
        }
        let surplus = self.surplus(graph, naming);
        let mut faults = Faults::new(ErrorKind::Weights);
        push_listed(&mut faults, self.file(), found);
        push_listed(&mut faults, self.file(), surplus.into_iter().map(|(_, fault)| fault).collect());
        faults.propagate()?;
        Ok(filters)
    }

    /// The scales and zero points that no layer of this graph has, under a naming.
    pub(super) fn leftover_scales(&self, graph: &Graph, naming: &Naming) -> Vec<(&str, &Tensor)> {
        let specs = naming.tensors(graph).unwrap_or_default();
        let filters = specs.iter().filter(|spec| spec.role == Role::Weight);
        let filters =
            filters.filter_map(|spec| Some(stem(self.tensors.get(&spec.tensor)?.name(&spec.tensor))));
        let filters: BTreeSet<&str> = filters.collect();
        // The others have bytes under their own names.
        let has_bytes = |node: &&Node| {
            let is_part =
                matches!(node.layer, Layer::BatchNorm { .. } | Layer::Activation(_) | Layer::Softmax);
            !is_part && graph.filter(node).is_none()
        };
        let others = graph.nodes.iter().filter(has_bytes);
        let others: BTreeSet<&str> = others.map(|node| node.name.as_str()).chain([INPUT]).collect();
        let is_left = |name: &str| {
            let is_output = matches!(word(name), OUTPUT_SCALE | OUTPUT_ZERO_POINT);
            !(filters.contains(stem(name)) || is_output && others.contains(stem(name)))
        };
        let scales = self.scales.iter().map(|(name, tensor)| (name.as_str(), tensor));
        scales.filter(|(name, _)| is_left(name)).collect()
    }

    /// What the bytes of a value stand for: their scale, and the zero point as a byte from 0 to 255.
    pub(crate) fn output_bytes(&self, stem: &str) -> Result<(f32, u8), Fault> {
        let [scale] = self.scales_of(stem, OUTPUT_SCALE, 1)?[..] else { unreachable!("one was asked for") };
        let name = format!("{stem}.{OUTPUT_ZERO_POINT}");
        let Some(tensor) = self.scales.get(&name) else {
            return Err(self.fault(&name, "found none, expected I8 or U8 of one number".to_owned()));
        };
        // A signed byte is ours less 128.
        match (tensor.dtype, self.data(tensor)) {
            (Dtype::I8, &[byte]) => Ok((scale, byte ^ 0x80)),
            (Dtype::U8, &[byte]) => Ok((scale, byte)),
            (dtype, _) => {
                let shape = &tensor.shape;
                let detail = format!("found {dtype} {shape:?}, expected I8 or U8 of one number");
                Err(self.fault(&name, detail))
            }
        }
    }

    /// Weights and scales of one layer, its bias not yet.
    fn integers(&self, graph: &Graph, spec: &TensorSpec) -> Result<QuantisedFilter, Fault> {
        let at_layer = |detail: String| Fault { place: Place::layer(&spec.layer), detail };
        let (tensor, order) = self.fitting(graph, spec).map_err(at_layer)?;
        let shape = graph.filter(graph.node(spec.node)).expect("weights are of a filter");
        let data = self.data(tensor).iter();
        let numbers: Vec<f32> = match tensor.dtype {
            Dtype::I8 => data.map(|byte| f32::from(byte.cast_signed())).collect(),
            Dtype::U8 => data.map(|byte| f32::from(*byte)).collect(),
            dtype => {
                let told = self.told(&spec.tensor);
                return Err(at_layer(format!("tensor {told} is {dtype}, expected I8 or U8 with a scale")));
            }
        };
        let file_name = tensor.name(&spec.tensor);
        let stem = stem(file_name).to_owned();
        let scale = self.scales_of(&stem, WEIGHT_SCALE, shape.n)?;
        let zero_points = self.zero_points(&stem, tensor.dtype, shape.n)?;
        // Bytes are whole numbers that an f32 holds.
        let weights = transpose_filter(&numbers, shape, order.expect("a filter that fits has an order"));
        let weights = weights.iter().zip(zero_points.iter().cycle()).map(|(w, zero)| *w as i32 - zero);
        Ok(QuantisedFilter { weights: weights.collect(), scale, bias: vec![0; shape.n], stem })
    }

    fn bias(&self, graph: &Graph, spec: &TensorSpec) -> Result<Vec<i32>, String> {
        let (tensor, _) = self.fitting(graph, spec)?;
        if tensor.dtype != Dtype::I32 {
            return Err(format!("tensor {} is {}, expected I32", self.told(&spec.tensor), tensor.dtype));
        }
        let (numbers, _) = self.data(tensor).as_chunks();
        Ok(numbers.iter().map(|bytes| i32::from_le_bytes(*bytes)).collect())
    }

    /// So many scales, or one for all.
    fn scales_of(&self, stem: &str, word: &str, n: usize) -> Result<Vec<f32>, Fault> {
        let name = format!("{stem}.{word}");
        let Some(tensor) = self.scales.get(&name) else {
            return Err(self.fault(&name, format!("found none, expected F32 {}", numbers_for(n))));
        };
        let count: usize = tensor.shape.iter().product();
        if tensor.dtype != Dtype::F32 || (count != 1 && count != n) {
            let detail =
                format!("found {} {:?}, expected F32 {}", tensor.dtype, tensor.shape, numbers_for(n));
            return Err(self.fault(&name, detail));
        }
        let numbers = crate::graph::tensor::f32_numbers(self.data(tensor));
        if let Some(x) = numbers.iter().find(|x| !(x.is_normal() && 0.0 < **x)) {
            return Err(self.fault(
                &name,
                format!("found {x:?}, expected finite numbers above 0, none of them denormal"),
            ));
        }
        Ok(numbers.into_iter().cycle().take(n).collect())
    }

    /// Of the weights, of each channel.
    fn zero_points(&self, stem: &str, dtype: Dtype, n: usize) -> Result<Vec<i32>, Fault> {
        let name = format!("{stem}.{WEIGHT_ZERO_POINT}");
        let Some(tensor) = self.scales.get(&name) else {
            return match dtype {
                Dtype::I8 => Ok(vec![0; n]),
                _ => Err(self.fault(&name, format!("found none, expected {dtype} {}", numbers_for(n)))),
            };
        };
        let count: usize = tensor.shape.iter().product();
        if tensor.dtype != dtype || (count != 1 && count != n) {
            let (found, shape) = (tensor.dtype, &tensor.shape);
            let detail =
                format!("found {found} {shape:?}, expected {dtype}, as the weights, {}", numbers_for(n));
            return Err(self.fault(&name, detail));
        }
        let is_signed = dtype == Dtype::I8;
        let wide = |byte: &u8| if is_signed { i32::from(byte.cast_signed()) } else { i32::from(*byte) };
        Ok(self.data(tensor).iter().map(wide).cycle().take(n).collect())
    }

    fn fault(&self, name: &str, detail: String) -> Fault {
        Fault { place: tensor_place(&self.place, name), detail }
    }
}

fn numbers_for(n: usize) -> String {
    if n == 1 { "of one number".to_owned() } else { format!("of one number, or of {n}") }
}
