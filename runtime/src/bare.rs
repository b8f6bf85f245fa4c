//! The launcher without a C library: a static program needs only the kernel of Linux under it.
//!
//! Rust's standard library asks for some eighty functions by their C names. Here they are, as far as the launcher needs
//! them, over system calls; the compiler's own linker (`emit/static_link.rs`) joins them with the launcher and a network.
//! Their callers are the standard library's, and the launcher's own handler of signals, so what these never ask for isn't here:
//! no stdio, no locale, and `atexit` and constructors don't run. The compiler's build script alone sets `mnc_bare`, which gives the functions
//! their C names; tests call them by their Rust paths.

#![cfg_attr(
    not(mnc_bare),
    allow(dead_code, reason = "the linker finds callers by C names, which tests don't give the functions")
)]

mod bytes;
mod call;
mod files;
mod heap;
mod math;
mod program;
#[cfg(mnc_bare)]
mod relocate;
mod signals;
mod system;
mod threads;
mod unwind;

#[cfg(mnc_bare)]
mod start {
    use core::ffi::{c_char, c_int};

    use super::{call, relocate, system, threads};

    // The kernel enters here with the stack pointer at `argc`; a zero frame pointer ends every chain of frames.
    #[cfg(target_arch = "x86_64")]
    core::arch::global_asm!(
        ".globl _start",
        ".section .text._start, \"ax\", @progbits",
        "_start:",
        "xor ebp, ebp",
        "mov rdi, rsp",
        "and rsp, -16",
        "call {start}",
        "ud2",
        ".text",
        start = sym start,
    );
    #[cfg(target_arch = "aarch64")]
    core::arch::global_asm!(
        ".globl _start",
        ".section .text._start, \"ax\", @progbits",
        "_start:",
        "mov x29, xzr",
        "mov x30, xzr",
        "mov x0, sp",
        "bl {start}",
        "brk #1",
        ".text",
        start = sym start,
    );

    unsafe extern "C" {
        fn main(argc: c_int, argv: *const *const c_char) -> c_int;
    }

    /// # Safety
    ///
    /// `stack` is what the kernel left there: `argc`, the arguments, a null, the environment, a null, the auxiliary vector.
    unsafe extern "C" fn start(stack: *const usize) -> ! {
        // SAFETY: the caller vouches for the layout of the stack; nothing has used thread-local memory yet.
        let code = unsafe {
            let argc = *stack;
            let argv = stack.add(1).cast::<*const c_char>();
            relocate::this_program(argv.add(argc + 1).cast());
            system::remember(argv.add(argc + 1));
            threads::adopt_main_thread();
            main(argc as c_int, argv)
        };
        call::exit_group(code)
    }
}
