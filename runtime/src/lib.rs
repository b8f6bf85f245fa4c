//! What a network compiled by `mnc` meets at run time.
//!
//! | module | feature | holds |
//! |---|---|---|
//! | [`abi`] | none, `no_std` | the C interface of a compiled network: types and status codes |
//! | [`network`], [`simd`], [`fma`] | none, `no_std` | what the macro `mobilenet!` expands to: memory, vectors, threads |
//! | [`detect`] | none, `no_std` | the outputs of a detector become boxes |
//! | [`scores`] | none, `no_std` | the outputs of a classifier become probabilities, the largest first |
//! | [`weights`], [`filter`] | none, `no_std` | weights at run time; how they are ordered, folded and packed, then or when compiling |
//! | `pool` | `std` | a thread pool made for a network's short steps, behind [`abi::Parallel`] |
//! | `peak` | `std` | what this core can do at most: multiply-adds and reads |
//! | `files` | `std` | plain files read within bounds, and sets of files written whole or not at all |
//! | `info` | `info` | the JSON that describes a network inside its executable |
//! | `measured` | `info` | what a measuring executable tells, as JSON, and the arithmetic of latencies |
//! | `pictures` | `info` | which files of a folder are pictures |
//! | `limits` | `info` | the limits of this core, sampled with `peak` between the runs of a network |
//! | `orders` | `info` | what `mnc verify` asks of an executable, and the answers, as bytes |
//! | `chart` | `chart` | axes and labels of pictures in SVG |
//! | `bare` | `bare` | what the launcher needs of a C library, for executables without one |
//! | `launcher` | `launcher` | the program around a network: arguments, pictures, answers, benchmark, profile |
//!
//! Nothing here knows how a network is compiled. The compiler knows the others, and embeds the
//! launcher as bytes.
//!
//! # A network on two threads
//!
//! An object brings no threads of its own: it asks its caller for them, step by step. Any pool that can run `count`
//! pieces of work side by side will do; this one comes with the runtime. The answer is the same to the last bit for any
//! number of threads.
//!
#![cfg_attr(feature = "std", doc = "```no_run")]
#![cfg_attr(not(feature = "std"), doc = "```text")]
//! use mnc_runtime::abi::{Parallel, Status};
//! use mnc_runtime::pool::Pool;
//!
//! // As the network's header has them.
//! const INPUT_LEN: usize = 224 * 224 * 3;
//! const WORKSPACE_BYTES: usize = 4 << 20;
//! unsafe extern "C" {
//!     fn classify_run_parallel(
//!         input: *const f32,
//!         output: *mut f32,
//!         workspace: *mut u8,
//!         pool: *const Parallel,
//!     ) -> i32;
//! }
//!
//! #[repr(align(64))]
//! struct Workspace([u8; WORKSPACE_BYTES]);
//!
//! let pool = Pool::new(2);
//! let mut workspace = Box::new(Workspace([0; WORKSPACE_BYTES]));
//! let (input, mut output) = (vec![0.0f32; INPUT_LEN], vec![0.0f32; 1000]);
//! let parallel = pool.parallel();
//! // SAFETY: the lengths are the header's, the workspace is aligned and nobody else's, and the pool outlives the call.
//! let code = unsafe {
//!     classify_run_parallel(input.as_ptr(), output.as_mut_ptr(), workspace.0.as_mut_ptr(), &raw const parallel)
//! };
//! assert_eq!(Status::from_code(code), Status::Ok);
//! ```
//!
//! # Measuring
//!
//! The launcher times a network beside what its core can do in the same second, for a latency alone says little:
//!
//! - `--bench N` prints latencies and the share of the core's peak in multiply-adds at the least and at the median;
//!   `--harness` adds the lines that a program which compares engines wants: start, first run, its outputs.
//! - `--profile` times each step through [`abi::ModelAbi::step`], keeps the best of many runs, and sets it against the
//!   step's roofline: its multiply-adds at peak, or its bytes at the speed of the memory that they must come from. As a
//!   table, as JSON, and with `--svg FILE` as a picture.

#![cfg_attr(not(feature = "std"), no_std)]

pub mod abi;
#[cfg(all(
    feature = "bare",
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64"),
    any(mnc_bare, test)
))]
mod bare;
#[cfg(feature = "chart")]
pub mod chart;
pub mod detect;
mod exp;
#[cfg(feature = "std")]
pub mod files;
pub mod filter;
mod fma;
#[cfg(feature = "info")]
pub mod info;
#[cfg(feature = "launcher")]
pub mod launcher;
#[cfg(feature = "info")]
pub mod limits;
#[cfg(feature = "info")]
pub mod measured;
pub mod network;
#[cfg(feature = "info")]
pub mod orders;
#[cfg(feature = "std")]
pub mod peak;
#[cfg(feature = "info")]
pub mod pictures;
#[cfg(feature = "std")]
pub mod pool;
pub mod scores;
pub mod simd;
mod sqrt;
pub mod weights;

pub use fma::fma;

/// The entry point of executables. The compiler's build script alone sets `mnc_main`: a feature would put a second
/// `main` into every test program of a build with all features.
#[cfg(mnc_main)]
mod entry {
    use core::ffi::{c_char, c_int};

    unsafe extern "C" {
        fn mnc_model(out: *mut crate::abi::ModelAbi);
    }

    /// What the object of a detector refers to, and no other.
    #[unsafe(no_mangle)]
    extern "C" fn mnc_detecting() -> *const core::ffi::c_void {
        crate::launcher::detecting()
    }

    /// What the Python module calls. An executable's linker leaves it out.
    ///
    /// # Safety
    ///
    /// Null, or an order of which [`crate::launcher::fill`] may follow all pointers.
    #[cfg(not(mnc_bare))]
    #[unsafe(no_mangle)]
    unsafe extern "C" fn mnc_prepare(order: *mut crate::launcher::Order) -> i32 {
        // SAFETY: the caller vouches for it.
        unsafe { order.as_mut().map_or(1, |order| crate::launcher::fill(order)) }
    }

    #[unsafe(no_mangle)]
    extern "C" fn main(argc: c_int, argv: *const *const c_char) -> c_int {
        // SAFETY: the C start-up code passes argc and argv as the standard has them, and the compiler links each
        // launcher with an object whose `mnc_model` fills the table.
        unsafe { crate::launcher::start(argc, argv, mnc_model) }
    }
}
