//! Plans -> how much memory a program will take, by arithmetic alone: nothing is packed or generated.
//!
//! What is checked here is what later stages rely on: an offset inside of a kernel fits 31 bits, an object reaches its data by
//! as many.

use std::collections::HashSet;

use crate::error::{Faults, Place};
use crate::graph::layer::Layer;
use crate::kernels::Kernel;
use crate::passes::{Fused, FusedId, FusedNode};
use crate::plan::Plan;
use crate::program::{CONSTANT_ALIGN, Program, quantise_of};
use crate::schedule::{Output, Step};

/// What an offset inside of a kernel reaches, but for what it fetches ahead.
pub(crate) const MOST_BLOCK_BYTES: usize = (1 << 31) - (1 << 24);
/// Packed weights of a convolution in groups that int8 computes as one group: a small file must not make a large program.
const MOST_JOINED_BYTES: usize = 1 << 26;
/// What 31 bits of an offset into the workspace reach.
pub(crate) const MOST_WORKSPACE_BYTES: usize = i32::MAX as usize;
/// Packed weights of an object: code reaches its data by 31 bits, and so does the program around it.
pub(crate) const MOST_OBJECT_WEIGHTS_BYTES: usize = (1 << 31) - (1 << 26);

/// The bytes of a program to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sizes {
    /// Images of one run.
    pub(crate) batch: usize,
    /// Packed weights of each layer.
    pub(crate) filters: Vec<PackedFilter>,
    /// Packed weights in all, for every instruction set.
    pub(crate) constants: usize,
    /// The caller's workspace.
    pub(crate) workspace: usize,
    /// The output of a run.
    pub(crate) output: usize,
}

/// The packed weights of a layer to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PackedFilter {
    /// The layer's name.
    pub(crate) layer: String,
    /// How many there are.
    pub(crate) bytes: usize,
    /// Whether they are a convolution's in groups, with weights of 0 for the other groups.
    pub(crate) joins_groups: bool,
}

impl Sizes {
    /// Of a network's plans, one for each instruction set. The network may be without numbers.
    pub(crate) fn of(plans: &[Plan], network: &Fused) -> Sizes {
        let mut filters = Vec::new();
        let mut known = HashSet::new();
        let mut constants = 0usize;
        for plan in plans {
            let isa = plan.schedule.isa;
            if let Some((quantise, _)) = quantise_of(plan, network) {
                constants += Kernel::Quantise(quantise).filter_bytes(isa).next_multiple_of(CONSTANT_ALIGN);
            }
            let packings = plan.schedule.steps.iter().flat_map(Step::stages);
            for stage in packings {
                let (FusedId(node), Some(packing)) = (stage.node, stage.kernel.packing(isa)) else {
                    continue;
                };
                if !known.insert((node, packing.panels(), packing.depth())) {
                    continue;
                }
                let bytes = stage.kernel.filter_bytes(isa).next_multiple_of(CONSTANT_ALIGN);
                let FusedNode { name, layer, integer, .. } = &network.nodes[node];
                let joins_groups = integer.is_some() && matches!(layer, Layer::Grouped { .. });
                filters.push(PackedFilter { layer: name.clone(), bytes, joins_groups });
                constants += bytes;
            }
        }
        let batch = plans.first().map_or(1, |plan| plan.schedule.batch);
        let output = Output::all(network).last().map_or(0, Output::end);
        Sizes {
            batch,
            filters,
            constants,
            workspace: plans.iter().map(Program::workspace_bytes).max().unwrap_or(0),
            output: batch * output,
        }
    }

    /// What no program of ours can have.
    pub(crate) fn check(&self, faults: &mut Faults) {
        for PackedFilter { layer, bytes, joins_groups } in &self.filters {
            if *joins_groups && MOST_JOINED_BYTES < *bytes {
                faults.push(
                    Place::layer(layer),
                    format!(
                        "found a filter of {bytes} bytes with weights of 0 for the other groups, as int8 computes them, expected \
                         {MOST_JOINED_BYTES} at most: leave the layer in f32 with `mnc quantize --keep-f32 {layer}`"
                    ),
                );
            } else if MOST_BLOCK_BYTES < *bytes {
                faults.push(
                    Place::layer(layer),
                    format!(
                        "found a filter of {bytes} bytes, packed for the vectors of the target, expected {MOST_BLOCK_BYTES} at \
                         most: give the layer fewer channels or a smaller input"
                    ),
                );
            }
        }
        let of_batch = format!("for a batch of {}", self.batch);
        for (what, bytes, most) in
            [("workspace", self.workspace, MOST_WORKSPACE_BYTES), ("output", self.output, MOST_BLOCK_BYTES)]
        {
            if most < bytes {
                faults.push(
                    Place::named(what),
                    format!("found {bytes} bytes {of_batch}, expected {most} at most"),
                );
            }
        }
    }

    /// What no object can hold.
    pub(crate) fn check_object(&self, faults: &mut Faults) {
        check_object_weights(self.constants, faults);
    }
}

/// Whether an object can hold so many bytes of weights.
pub(crate) fn check_object_weights(bytes: usize, faults: &mut Faults) {
    if MOST_OBJECT_WEIGHTS_BYTES < bytes {
        faults.push(
            Place::flag("weights"),
            format!(
                "found {bytes} bytes, expected {MOST_OBJECT_WEIGHTS_BYTES} at most in an object, whose code reaches its data by \
                 31 bits: keep them outside of it with `mnc compile --weights-file FILE`"
            ),
        );
    }
}
