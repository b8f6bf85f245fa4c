//! [`Program`](crate::program::Program) -> files: one output format per module, one reader of
//! [`Code`](crate::code::Code) per module.

#[cfg(feature = "cranelift")]
mod clif;
#[cfg(feature = "cranelift")]
mod entry;
pub mod header;
#[cfg(feature = "cli")]
pub mod launcher;
#[cfg(feature = "cranelift")]
pub mod object;
#[cfg(feature = "cranelift")]
mod x86;
