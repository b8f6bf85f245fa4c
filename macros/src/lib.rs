//! The macro `mobilenet!`, to come: a network as Rust kernels in the user's own crate.
//!
//! It will read a description and its weights when the crate is built, call the library `mnc` (without its features
//! `cranelift` and `cli`, so that nobody pays for a code generator that isn't used), and expand to kernels in Rust with
//! the same bits as those of `mnc compile`. Until then the crate has nothing in it; objects link into Rust programs
//! through the C interface in `docs/abi.md`.
