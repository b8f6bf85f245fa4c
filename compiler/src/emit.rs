//! [`Program`](crate::program::Program) -> files: one output format per module, one reader of
//! [`Code`](crate::code::Code) per module.

#[cfg(feature = "cranelift")]
pub mod archive;
#[cfg(feature = "cranelift")]
mod clif;
#[cfg(feature = "cranelift")]
mod cpu_check;
#[cfg(feature = "cranelift")]
mod entry;
#[cfg(feature = "cranelift")]
mod float_control;
pub mod header;
#[cfg(feature = "cli")]
pub mod launcher;
#[cfg(all(test, feature = "cranelift"))]
mod limits;
#[cfg(feature = "cranelift")]
pub mod manifest;
#[cfg(feature = "cranelift")]
pub mod object;
pub mod package;
pub mod python;
pub mod rust;
#[cfg(feature = "cranelift")]
pub mod static_link;
#[cfg(feature = "cranelift")]
pub mod weights_file;
#[cfg(feature = "cranelift")]
pub mod workspace;
#[cfg(feature = "cranelift")]
mod x86;
