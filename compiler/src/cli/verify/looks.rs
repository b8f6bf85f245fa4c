//! Where in its memory a network leaves the value of each layer, and after which step it can be seen there.

use mnc::graph::tensor::Dtype;
use mnc::kernels::FeatureMap;
use mnc::passes::FusedId;
use mnc::plan::Plan;
use mnc::program::Program;
use mnc::schedule::{Place, Step};
use mnc_runtime::orders::{Region, View};

/// A value in the network's memory.
#[derive(Clone, Debug)]
pub(super) struct Look {
    /// The layer whose value it is.
    pub(super) layer: FusedId,
    /// The step that writes it.
    pub(super) step: usize,
    pub(super) view: View,
    map: FeatureMap,
    images: usize,
}

/// What can be seen of a network.
#[derive(Clone, Debug)]
pub(super) struct Looks {
    /// After each step, in their order.
    pub(super) by_step: Vec<Look>,
    /// After each call of the pool, in their order.
    pub(super) by_call: Vec<Look>,
    /// Calls of the pool in a run.
    pub(super) n_calls: u64,
    /// Layers inside of chains, of whose values there are never more than some rows.
    pub(super) inner: Vec<FusedId>,
}

impl Looks {
    pub(super) fn new(plan: &Plan, program: &Program) -> Looks {
        let steps = &plan.schedule.steps;
        let look = |idx: usize, point: usize| look(plan, idx, point as u64);
        let by_step = (0..steps.len()).filter_map(|idx| look(idx, idx)).collect();
        let (mut by_call, mut n_calls, mut first) = (Vec::new(), 0, 0);
        for (idx, step) in program.steps.iter().enumerate() {
            match step.tasks.len() {
                // The next step's tasks do it.
                0 => {}
                // The caller does it, by the same function as a run without a pool.
                1 => first = idx + 1,
                _ => {
                    by_call.extend((first..=idx).filter_map(|idx| look(idx, n_calls)));
                    (n_calls, first) = (n_calls + 1, idx + 1);
                }
            }
        }
        let inner = |step: &Step| {
            let (_, inner) = step.stages().split_last()?;
            Some(inner.iter().map(|stage| stage.node).collect::<Vec<FusedId>>())
        };
        let inner = steps.iter().filter_map(inner).flatten().collect();
        Looks { by_step, by_call, n_calls: n_calls as u64, inner }
    }
}

/// The value that a step writes; `None` for another layout of one that is seen already.
fn look(plan: &Plan, step_idx: usize, point: u64) -> Option<Look> {
    let step = &plan.schedule.steps[step_idx];
    let layer = step.stages().last()?.node;
    let value = plan.schedule.value(step.writes);
    let (region, offset) = match value.place {
        Place::Input => return None,
        Place::Output { offset } => (Region::Output, offset),
        Place::Workspace => (Region::Workspace, plan.offset(step.writes)?),
    };
    let bytes = value.bytes() as u64;
    let view = View { point, region, offset: offset as u64, bytes };
    Some(Look { layer, step: step_idx, view, map: value.map, images: value.images })
}

impl Look {
    /// The numbers of the value, without the gaps between its pixels.
    pub(super) fn numbers(&self, bytes: &[u8]) -> Vec<f32> {
        let FeatureMap { shape, dtype, pixel_stride } = self.map;
        let floats = match dtype {
            Dtype::F32 => numbers(bytes),
            Dtype::U8 => bytes.iter().map(|byte| f32::from(*byte)).collect(),
        };
        let pixels = floats.chunks_exact(pixel_stride).take(self.images * shape.pixels());
        pixels.flat_map(|pixel| &pixel[..shape.channels]).copied().collect()
    }
}

/// Little-endian floats.
pub(super) fn numbers(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}
