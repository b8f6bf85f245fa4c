//! A profile: the time of each step of a network, set against what the core could do meanwhile.

use crate::info::StepInfo;
use serde::{Deserialize, Serialize};

/// A measured network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    /// The network: `mobilenet-v1`.
    pub network: String,
    /// The width multiplier.
    pub alpha: f64,
    /// Rows of the input.
    pub height: usize,
    /// Columns of the input.
    pub width: usize,
    /// The instruction set compiled for.
    pub isa: String,
    /// Whether it computes in bytes and integers; left out where it doesn't.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_int8: bool,
    /// As the system calls it, where it says.
    pub cpu: Option<String>,
    /// Of which the best of each step is told.
    pub n_runs: usize,
    /// Of this core; `None` where it can't be measured, and then nothing is known of bounds.
    pub fma_peak_gflops: Option<f64>,
    /// Reading so many bytes over and over.
    pub reads: Vec<Read>,
    /// Weights and workspace.
    pub network_bytes: u64,
    /// In the order in which they run.
    pub steps: Vec<StepProfile>,
    /// The network as a whole.
    pub total: Total,
}

/// How fast so many bytes are read over and over.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Read {
    /// So many.
    pub bytes: usize,
    /// 10^9 bytes a second.
    pub gb_per_s: f64,
}

/// A measured step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepProfile {
    /// What it is.
    #[serde(flatten)]
    pub info: StepInfo,
    /// What the kernel computes: `pointwise`; `chain` of layers computed together.
    pub kind: String,
    /// The best of all runs.
    pub microseconds: f64,
    /// Of the sum of all steps, from 0 to 1.
    pub share: f64,
    /// A multiply-add is two operations.
    pub gflops: f64,
    /// Of the core's peak, from 0 to 1.
    pub share_of_peak: Option<f64>,
    /// Operations for each byte of weights, input and output.
    pub flops_per_byte: f64,
    /// What it can't be faster than.
    pub roof: Option<Roof>,
}

/// What a step can't be faster than.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Roof {
    /// Which of the two it is.
    pub bound: Bound,
    /// The least time.
    pub microseconds: f64,
    /// How near the step is, from 0 to 1; above 1 if its bytes were nearer than is assumed.
    pub share: f64,
}

/// What bounds a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Bound {
    /// Its multiply-adds.
    Compute,
    /// Its bytes.
    Memory,
}

/// The network as a whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Total {
    /// The sum of the steps' best.
    pub microseconds: f64,
    /// The best whole run.
    pub run_microseconds: f64,
    /// Of all steps.
    pub multiply_adds: u64,
    /// A multiply-add is two operations.
    pub gflops: f64,
    /// Of the core's peak, from 0 to 1.
    pub share_of_peak: Option<f64>,
    /// Of all steps.
    pub weight_bytes: u64,
    /// Of all steps.
    pub input_bytes: u64,
    /// Of all steps.
    pub output_bytes: u64,
    /// Operations for each of these bytes.
    pub flops_per_byte: f64,
    /// The sum of the steps' roofs.
    pub roof_microseconds: Option<f64>,
    /// How near the sum of the steps is.
    pub roof_share: Option<f64>,
}
