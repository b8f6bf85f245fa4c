//! Which layers f32 has to compute, by the error that is measured on the calibration's pictures.
//!
//! A network whose outputs have [`HOLDS`] decibels stays in bytes. Else the layer that is furthest below what it reads is looked at: it may
//! lack precision itself, or an addition by itself or a concat gives it or its inputs scales of channels that are too coarse. Each of these is computed in f32
//! for a try, and what gains most for its multiply-adds stays so.

use serde::Serialize;

use super::check::{self, Form};
use super::report::{Squares, compare};
use super::{Calibrated, Pictures};
use crate::cost;
use crate::graph::layer::Layer;
use crate::passes::{Fused, FusedId};

/// Decibels of every output from which on a network stays in bytes: an error of a tenth.
const HOLDS: f64 = 20.0;
/// By how much a layer is below the least of its inputs where something is wrong with it.
const FALL: f64 = 10.0;
/// What layers in f32 have to gain, on the mean of the outputs: half of the squares of the errors.
const GAIN: f64 = 3.0;
/// Networks that are tried. Each takes about a quarter of the time of quantising.
const MOST_TRIES: usize = 12;
/// Pictures of the calibration on which they are tried.
const N_PICTURES: usize = 8;
/// From here on a value counts as exact: an error of a hundredth.
const EXACT: f64 = 40.0;

/// Layers that f32 computes for the sake of one.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Choice {
    /// Their names.
    pub layers: Vec<String>,
    /// The one that was far below its inputs.
    pub fell: String,
    /// Its signal to noise in decibels before, and with those layers in f32.
    pub fell_db: [f64; 2],
    /// The same of the outputs, on the mean.
    pub outputs_db: [f64; 2],
}

/// The nodes by which a network is judged: what it returns, and what a softmax at its end reads.
pub(super) fn judged(network: &Fused) -> Vec<usize> {
    let before_softmax = |id: usize| match network.nodes[id].layer {
        Layer::Softmax => network.nodes[id].inputs[0].0,
        _ => id,
    };
    let mut judged: Vec<usize> = network.outputs.iter().map(|id| before_softmax(id.0)).collect();
    judged.retain(|idx| *idx != 0);
    judged.sort_unstable();
    judged.dedup();
    judged
}

/// Whether a network stays in bytes that gives such values on its pictures in both forms, of each picture those of the judged nodes.
pub(super) fn holds(expected: &[Vec<Vec<f32>>], found: &[Vec<Vec<f32>>]) -> bool {
    let n_judged = expected.first().map_or(0, Vec::len);
    (0..n_judged).all(|output| {
        let mut squares = Squares::default();
        for (expected, found) in expected.iter().zip(found) {
            squares.add(Squares::between(&expected[output], &found[output]));
        }
        HOLDS <= squares.db()
    })
}

/// What was measured of a network.
struct Measured {
    forms: Vec<Form>,
    /// Of every node.
    db: Vec<f64>,
    /// Of the judged ones.
    outputs: Vec<f64>,
}

impl Measured {
    fn mean(&self) -> f64 {
        self.outputs.iter().sum::<f64>() / self.outputs.len() as f64
    }
}

/// The layers to compute in f32, beside those that are.
pub(super) fn layers(calibrated: &Calibrated<'_>, pictures: &Pictures<'_>) -> Vec<Choice> {
    let network = &calibrated.network;
    let step = pictures.bytes.len().div_ceil(N_PICTURES);
    let some: Vec<Vec<u8>> = pictures.bytes.iter().step_by(step).cloned().collect();
    let pictures = Pictures { bytes: &some, ..*pictures };
    // Numbers that no scale holds are no way out.
    let measure = |names: &[String]| -> Option<Measured> {
        let forms = check::forms(network, names).ok()?;
        let made = calibrated.quantize(&forms, &pictures, &|| ()).ok()?;
        let layers = compare(network, &made.integers, &pictures, &|| ()).layers;
        let of_layers = layers.iter().map(|layer| layer.snr_db.clamp(-EXACT, EXACT));
        let db: Vec<f64> = [EXACT].into_iter().chain(of_layers).collect();
        let outputs = judged(network).iter().map(|idx| db[*idx]).collect();
        Some(Measured { forms, db, outputs })
    };
    let names = |layers: &[usize]| -> Vec<String> {
        layers.iter().map(|idx| network.nodes[*idx].name.clone()).collect()
    };
    let mut kept = calibrated.options.keep_f32.clone();
    let mut choices: Vec<Choice> = Vec::new();
    let mut tried: Vec<Vec<usize>> = Vec::new();
    let Some(mut now) = measure(&kept) else { return choices };
    while now.outputs.iter().any(|db| *db < HOLDS) {
        let mut best: Option<(f64, Choice, Measured)> = None;
        for idx in falls(network, &now.db) {
            for layers in causes(network, idx, &now.forms) {
                if tried.contains(&layers) || tried.len() == MOST_TRIES {
                    continue;
                }
                tried.push(layers.clone());
                let Some(after) = measure(&[kept.clone(), names(&layers)].concat()) else { continue };
                let gain = after.mean() - now.mean();
                let per_product = gain / products(network, &layers);
                if GAIN <= gain && best.as_ref().is_none_or(|(most, ..)| *most < per_product) {
                    let choice = Choice {
                        layers: names(&layers),
                        fell: network.nodes[idx].name.clone(),
                        fell_db: [now.db[idx], after.db[idx]],
                        outputs_db: [now.mean(), after.mean()],
                    };
                    best = Some((per_product, choice, after));
                }
            }
            if best.is_some() {
                break;
            }
        }
        let Some((_, choice, after)) = best else { break };
        kept.extend(choice.layers.iter().cloned());
        choices.push(choice);
        now = after;
    }
    choices
}

/// The nodes that are far below the least of their inputs, the furthest first.
fn falls(network: &Fused, db: &[f64]) -> Vec<usize> {
    let fall = |idx: usize| {
        let inputs = network.nodes[idx].inputs.iter().map(|id| db[id.0]);
        inputs.fold(EXACT, f64::min) - db[idx]
    };
    let mut falls: Vec<usize> = (1..network.nodes.len()).filter(|idx| FALL <= fall(*idx)).collect();
    falls.sort_by(|a, b| fall(*b).total_cmp(&fall(*a)));
    falls
}

/// The layers that may be why a node is far below its inputs: it alone, each addition by itself or concat of its value or of one of its inputs, and it with
/// the layers before it; without those that are in f32 already.
fn causes(network: &Fused, idx: usize, forms: &[Form]) -> Vec<Vec<usize>> {
    let before: Vec<usize> = network.nodes[idx].inputs.iter().map(|id| id.0).filter(|id| *id != 0).collect();
    let is_near = |id: &FusedId| id.0 == idx || before.contains(&id.0);
    let adds = |other: &usize| {
        let other = &network.nodes[*other];
        // A residual binds nobody's scales.
        (other.layer == Layer::Add || other.layer == Layer::Concat) && other.inputs.iter().any(is_near)
    };
    let additions = (1..network.nodes.len()).filter(adds).map(|other| vec![other]);
    let with_inputs = [before.clone(), vec![idx]].concat();
    let mut causes: Vec<Vec<usize>> = Vec::new();
    for mut cause in [vec![idx]].into_iter().chain(additions).chain([with_inputs]) {
        cause.retain(|layer| !forms[*layer].in_f32);
        cause.sort_unstable();
        cause.dedup();
        if !cause.is_empty() && !causes.contains(&cause) {
            causes.push(cause);
        }
    }
    causes
}

/// Multiply-adds of some layers, at least one.
fn products(network: &Fused, layers: &[usize]) -> f64 {
    let of = |idx: &usize| {
        let node = &network.nodes[*idx];
        cost::of_layer(&node.layer, network.nodes[node.inputs[0].0].shape(), node.shape()).mult_adds
    };
    layers.iter().map(of).sum::<u64>().max(1) as f64
}
