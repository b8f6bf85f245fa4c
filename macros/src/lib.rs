//! The macro `mobilenet!`: a trained network as Rust kernels in the user's own crate.
//!
//! ```ignore
//! mnc_macros::mobilenet! {
//!     /// Names what is in a photograph.
//!     pub struct Classifier {
//!         network: "mobilenet-v1",
//!         weights: "weights/mobilenet_v1_0.25_128.safetensors",
//!         resolution: 128,
//!     }
//! }
//!
//! let mut workspace = ClassifierWorkspace::boxed();
//! let scores: &[f32; 1001] = Classifier::run(&image, &mut workspace);
//! ```
//!
//! The expansion names the crate `mnc_runtime`, which has to be among the dependencies too. `docs/macro.md` in the repository
//! has the whole syntax. This crate parses it, calls the compiler, and brings its errors to the words at fault.

#![forbid(unsafe_code)]

mod expand;
mod inline;
mod parse;

/// Expands to a struct of the given name with the functions `run` and `run_parallel`, the constants of the network, and a type
/// for its workspace.
#[proc_macro]
pub fn mobilenet(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    let definition = syn::parse_macro_input!(input as parse::Definition);
    expand::expand(&definition).unwrap_or_else(syn::Error::into_compile_error).into()
}
