//! `mnc`: an ahead-of-time compiler for the MobileNet family (arXiv 1704.04861).
//!
//! So far the front: descriptions and weights are read, graphs built, batch norms folded.

pub mod cost;
pub mod describe;
mod error;
pub mod graph;
pub mod passes;
pub mod reference;
pub mod weights;

pub use error::{Error, ErrorKind, Fault, Result};
