//! `mnc`: an ahead-of-time compiler for the MobileNet family (arXiv 1704.04861).
//!
//! It reads a network description and trained weights, fixes the width multiplier alpha, the resolution and every shape, and
//! writes native code that does this one network and nothing else.
//!
//! ```text
//!   network.toml            weights.safetensors
//!        | describe              | weights
//!   Description  --- graph --- Parameters          alpha and the resolution applied, every shape known
//!                     |
//!                   Graph
//!                     | passes                     batch norms folded, activations fused
//!                   Fused  ---------- reference    the definition of correct
//!                     | quantize                   bytes and integers for those who ask for them
//!                     | schedule                   a kernel for each layer, with the reason
//!                  Schedule
//!                     | plan                       a place in the workspace for each value
//!                    Plan
//!                     | program                    kernels as Code, packed constants, calls
//!                  Program ---------- interpret    the oracle of every emitter
//!                     | emit
//!        object, header, assembly, Cranelift IR
//! ```
//!
//! Each stage is a type, and what a stage has removed can't be expressed after it. The core reads no file, no clock, no
//! environment and no CPU: the same input gives the same bytes.
//!
//! ```
//! use mnc::graph::{Graph, Knobs};
//! use mnc::weights::Parameters;
//!
//! let description = mnc::describe::builtin("mobilenet-v1").unwrap().description();
//! let graph = Graph::build(&description, &Knobs { alpha: 0.25, resolution: Some("32".parse()?) })?;
//! let parameters = Parameters::random(&graph, 1);
//! let target = mnc::Target::new("x86_64-unknown-linux-gnu", None)?;
//! let options = mnc::Options { name: "tiny", labels: &[] };
//! let compiled = mnc::compile(graph, &parameters, &target, &options)?;
//! assert!(compiled.header().contains("int32_t tiny_run(const float *input, float *output, void *workspace);"));
//! # Ok::<(), mnc::Error>(())
//! ```

#![forbid(unsafe_code)]

#[cfg(feature = "cranelift")]
pub mod build;
pub mod code;
mod compile;
pub mod cost;
pub mod describe;
pub mod dump;
pub mod emit;
mod error;
pub mod files;
pub mod graph;
#[cfg(feature = "cranelift")]
pub mod inspect;
pub mod job;
pub mod kernels;
pub mod passes;
pub mod plan;
pub mod predict;
pub mod program;
pub mod quantize;
pub mod random;
pub mod reference;
pub mod request;
pub mod sample;
pub mod schedule;
pub mod target;
pub mod weights;

pub use compile::{Compiled, Marks, Options, check_sizes, compile, compile_fused, compile_tuned, preprocess};
pub use error::{Error, ErrorKind, Fault, Place, Result, is_plain, one_line};
pub use target::Target;
