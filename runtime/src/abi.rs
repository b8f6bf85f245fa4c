//! The C interface of a compiled network: status codes, the parallel callback, the table an executable's network fills.
//!
//! A network `NAME` exports `int32_t NAME_run(const float *input, float *output, void *workspace)`. The input is NHWC,
//! f32 and already normalised; the workspace is the caller's, so two threads with two workspaces may run one network.
//! `NAME_run_parallel` takes a `const struct mnc_parallel *` too and gives the same bits, whatever the number of threads.
//! `NAME_run_u8` and `NAME_run_u8_parallel` take a picture's bytes and normalise them. Where the weights lie in a file,
//! `NAME_bind` tells a workspace where that file is in memory.

use core::ffi::c_void;

/// The version of [`ModelAbi`] and of the functions it points to.
pub const ABI_VERSION: u64 = 4;

/// The alignment of a workspace, in bytes: one cache line, and the widest vector register.
pub const WORKSPACE_ALIGN: usize = 64;

/// What `NAME_run` returned.
///
/// ```
/// use mnc_runtime::abi::Status;
/// assert_eq!(Status::from_code(0), Status::Ok);
/// assert_eq!(Status::from_code(-3).to_string(), "the CPU lacks a feature that the network was compiled for");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// 0: the output is written.
    Ok,
    /// -1: a pointer is null, or the pool's function is.
    NullPointer,
    /// -2: the workspace isn't aligned to [`WORKSPACE_ALIGN`].
    MisalignedWorkspace,
    /// -3: the CPU lacks a feature that the object was built for; nothing was run.
    MissingCpuFeature,
    /// -4: the row stride of a picture is smaller than a row, or so large that its rows reach around the address space.
    ShortRowStride,
    /// -5: the weights lie outside of the object, and the workspace hasn't been bound to them.
    NotBound,
    /// -6: the bytes to bind to aren't the weights that the object was compiled with, or not all of them, or misaligned.
    WrongWeights,
    /// A code that this version doesn't know.
    Unknown(i32),
}

impl Status {
    /// The status of a returned code.
    pub const fn from_code(code: i32) -> Status {
        match code {
            0 => Status::Ok,
            -1 => Status::NullPointer,
            -2 => Status::MisalignedWorkspace,
            -3 => Status::MissingCpuFeature,
            -4 => Status::ShortRowStride,
            -5 => Status::NotBound,
            -6 => Status::WrongWeights,
            code => Status::Unknown(code),
        }
    }

    /// The code that stands for this status.
    pub const fn code(self) -> i32 {
        match self {
            Status::Ok => 0,
            Status::NullPointer => -1,
            Status::MisalignedWorkspace => -2,
            Status::MissingCpuFeature => -3,
            Status::ShortRowStride => -4,
            Status::NotBound => -5,
            Status::WrongWeights => -6,
            Status::Unknown(code) => code,
        }
    }
}

impl core::fmt::Display for Status {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Status::Ok => f.write_str("ok"),
            Status::NullPointer => f.write_str("a pointer is null"),
            Status::MisalignedWorkspace => {
                write!(f, "the workspace isn't aligned to {WORKSPACE_ALIGN} bytes")
            }
            Status::MissingCpuFeature => {
                f.write_str("the CPU lacks a feature that the network was compiled for")
            }
            Status::ShortRowStride => {
                f.write_str("the row stride is smaller than a row, or larger than memory")
            }
            Status::NotBound => f.write_str("the workspace hasn't been bound to the weights"),
            Status::WrongWeights => {
                write!(
                    f,
                    "these aren't the weights that the network was compiled with, undamaged and aligned to \
                     {WORKSPACE_ALIGN} bytes"
                )
            }
            Status::Unknown(code) => write!(f, "unknown status {code}"),
        }
    }
}

/// `NAME_run`: input, output, workspace; returns a [`Status`] code.
pub type Run = unsafe extern "C" fn(*const f32, *mut f32, *mut u8) -> i32;

/// `NAME_run_parallel`: as [`Run`], and the pool that runs the pieces of each step.
pub type RunParallel = unsafe extern "C" fn(*const f32, *mut f32, *mut u8, *const Parallel) -> i32;

/// `NAME_run_u8`: interleaved bytes, the bytes from one row to the next, output, workspace.
pub type RunU8 = unsafe extern "C" fn(*const u8, usize, *mut f32, *mut u8) -> i32;

/// `NAME_run_u8_parallel`: as [`RunU8`], and the pool that runs the pieces of each step.
pub type RunU8Parallel = unsafe extern "C" fn(*const u8, usize, *mut f32, *mut u8, *const Parallel) -> i32;

/// `NAME_bind`, of a network whose weights lie outside of its object: workspace, a weights file in memory, its bytes.
pub type Bind = unsafe extern "C" fn(*mut u8, *const u8, usize) -> i32;

/// Runs one step of a network, all of its pieces one after the other: input, output, workspace, and the step's position.
/// Steps 0, 1, … in order do what [`Run`] does. Nothing is checked, and the floating-point environment has to be the default.
pub type RunStep = unsafe extern "C" fn(*const f32, *mut f32, *mut u8, u64);

/// One piece of parallel work: the caller's argument and the index of the piece.
pub type Task = unsafe extern "C" fn(arg: *mut c_void, index: usize);

/// `struct mnc_parallel`: how a network asks its caller to run pieces of work side by side, so that any pool fits.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Parallel {
    /// The pool, handed back to `run`.
    pub ctx: *mut c_void,
    /// Calls `task(arg, index)` once for each index below `count`, in any order and on any threads, and returns when
    /// all of them are done. It runs in the floating-point environment of the entry's caller; a task sets the default
    /// and gives back what its thread had.
    pub run: unsafe extern "C" fn(ctx: *mut c_void, task: Task, arg: *mut c_void, count: usize),
}

/// What `mnc_model`, the one function an executable's network supplies to the launcher, fills in.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct ModelAbi {
    /// [`ABI_VERSION`] of the compiler; read before any other field.
    pub abi_version: u64,
    /// The network, on the caller's thread.
    pub run: Run,
    /// The network, on the threads of a pool.
    pub run_parallel: RunParallel,
    /// The description of the network: JSON in UTF-8, without a terminating zero.
    pub info: *const u8,
    /// Bytes at `info`.
    pub info_len: u64,
    /// Bytes that `run` needs as its workspace, aligned to [`WORKSPACE_ALIGN`].
    pub workspace_bytes: u64,
    /// f32 elements of the input.
    pub input_len: u64,
    /// f32 elements of the output.
    pub output_len: u64,
    /// One step of the network, for profiles.
    pub step: RunStep,
    /// Steps of the network.
    pub n_steps: u64,
    /// Binds a workspace to weights; `None` where they are part of the executable.
    pub bind: Option<Bind>,
    /// `mnc_detecting` of the launcher, where the outputs become boxes: what only that takes is reached through it alone.
    pub detecting: Option<extern "C" fn() -> *const c_void>,
    /// The network on a picture's bytes, on the caller's thread; `None` where its input is no picture.
    pub run_u8: Option<RunU8>,
    /// The same on the threads of a pool.
    pub run_u8_parallel: Option<RunU8Parallel>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_statuses_are_inverse() {
        for code in -9..3 {
            assert_eq!(Status::from_code(code).code(), code);
        }
    }

    #[test]
    fn the_table_has_the_layout_that_objects_write() {
        assert_eq!(core::mem::offset_of!(ModelAbi, run), 8);
        assert_eq!(core::mem::offset_of!(ModelAbi, run_parallel), 16);
        assert_eq!(core::mem::offset_of!(ModelAbi, info), 24);
        assert_eq!(core::mem::offset_of!(ModelAbi, output_len), 56);
        assert_eq!(core::mem::offset_of!(ModelAbi, step), 64);
        assert_eq!(core::mem::offset_of!(ModelAbi, n_steps), 72);
        assert_eq!(core::mem::offset_of!(ModelAbi, bind), 80);
        assert_eq!(core::mem::offset_of!(ModelAbi, detecting), 88);
        assert_eq!(core::mem::offset_of!(ModelAbi, run_u8), 96);
        assert_eq!(core::mem::offset_of!(ModelAbi, run_u8_parallel), 104);
        assert_eq!(size_of::<ModelAbi>(), 112);
    }
}
