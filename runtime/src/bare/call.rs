//! System calls of Linux: the instruction, the numbers, the way failures are told.

use core::arch::asm;
use core::cell::Cell;

/// Numbers of system calls, which differ by architecture.
#[cfg(target_arch = "x86_64")]
pub(super) mod number {
    pub(in crate::bare) const READ: usize = 0;
    pub(in crate::bare) const WRITE: usize = 1;
    pub(in crate::bare) const CLOSE: usize = 3;
    pub(in crate::bare) const FSTAT: usize = 5;
    pub(in crate::bare) const LSEEK: usize = 8;
    pub(in crate::bare) const MMAP: usize = 9;
    pub(in crate::bare) const MPROTECT: usize = 10;
    pub(in crate::bare) const MUNMAP: usize = 11;
    pub(in crate::bare) const RT_SIGACTION: usize = 13;
    pub(in crate::bare) const IOCTL: usize = 16;
    pub(in crate::bare) const WRITEV: usize = 20;
    pub(in crate::bare) const MREMAP: usize = 25;
    pub(in crate::bare) const MADVISE: usize = 28;
    pub(in crate::bare) const GETPID: usize = 39;
    pub(in crate::bare) const EXIT: usize = 60;
    pub(in crate::bare) const FSYNC: usize = 74;
    pub(in crate::bare) const GETCWD: usize = 79;
    pub(in crate::bare) const FCHMOD: usize = 91;
    pub(in crate::bare) const FCHOWN: usize = 93;
    pub(in crate::bare) const GETTID: usize = 186;
    pub(in crate::bare) const FUTEX: usize = 202;
    pub(in crate::bare) const SCHED_GETAFFINITY: usize = 204;
    pub(in crate::bare) const GETDENTS64: usize = 217;
    pub(in crate::bare) const CLOCK_GETTIME: usize = 228;
    pub(in crate::bare) const EXIT_GROUP: usize = 231;
    pub(in crate::bare) const TGKILL: usize = 234;
    pub(in crate::bare) const OPENAT: usize = 257;
    pub(in crate::bare) const NEWFSTATAT: usize = 262;
    pub(in crate::bare) const UNLINKAT: usize = 263;
    pub(in crate::bare) const RENAMEAT: usize = 264;
    pub(in crate::bare) const LINKAT: usize = 265;
    pub(in crate::bare) const READLINKAT: usize = 267;
    pub(in crate::bare) const PPOLL: usize = 271;
    pub(in crate::bare) const GETRANDOM: usize = 318;
    pub(in crate::bare) const STATX: usize = 332;
}

/// Numbers of system calls, which differ by architecture.
#[cfg(target_arch = "aarch64")]
pub(super) mod number {
    pub(in crate::bare) const GETCWD: usize = 17;
    pub(in crate::bare) const IOCTL: usize = 29;
    pub(in crate::bare) const UNLINKAT: usize = 35;
    pub(in crate::bare) const LINKAT: usize = 37;
    pub(in crate::bare) const RENAMEAT: usize = 38;
    pub(in crate::bare) const FCHMOD: usize = 52;
    pub(in crate::bare) const FCHOWN: usize = 55;
    pub(in crate::bare) const OPENAT: usize = 56;
    pub(in crate::bare) const CLOSE: usize = 57;
    pub(in crate::bare) const GETDENTS64: usize = 61;
    pub(in crate::bare) const LSEEK: usize = 62;
    pub(in crate::bare) const READ: usize = 63;
    pub(in crate::bare) const WRITE: usize = 64;
    pub(in crate::bare) const WRITEV: usize = 66;
    pub(in crate::bare) const PPOLL: usize = 73;
    pub(in crate::bare) const READLINKAT: usize = 78;
    pub(in crate::bare) const NEWFSTATAT: usize = 79;
    pub(in crate::bare) const FSTAT: usize = 80;
    pub(in crate::bare) const FSYNC: usize = 82;
    pub(in crate::bare) const EXIT: usize = 93;
    pub(in crate::bare) const EXIT_GROUP: usize = 94;
    pub(in crate::bare) const FUTEX: usize = 98;
    pub(in crate::bare) const CLOCK_GETTIME: usize = 113;
    pub(in crate::bare) const SCHED_GETAFFINITY: usize = 123;
    pub(in crate::bare) const TGKILL: usize = 131;
    pub(in crate::bare) const RT_SIGACTION: usize = 134;
    pub(in crate::bare) const GETPID: usize = 172;
    pub(in crate::bare) const GETTID: usize = 178;
    pub(in crate::bare) const MUNMAP: usize = 215;
    pub(in crate::bare) const MREMAP: usize = 216;
    pub(in crate::bare) const MMAP: usize = 222;
    pub(in crate::bare) const MPROTECT: usize = 226;
    pub(in crate::bare) const MADVISE: usize = 233;
    pub(in crate::bare) const GETRANDOM: usize = 278;
    pub(in crate::bare) const STATX: usize = 291;
}

/// `ENOMEM`, the one failure that we report of our own.
pub(super) const OUT_OF_MEMORY: i32 = 12;

/// `EINVAL`.
pub(super) const INVALID: i32 = 22;

/// Makes a system call and hands back what the kernel left: a result, or a negative `errno`.
///
/// # Safety
///
/// As the kernel documents the call.
#[cfg(target_arch = "x86_64")]
pub(super) unsafe fn raw(number: usize, arguments: [usize; 6]) -> isize {
    let [a, b, c, d, e, f] = arguments;
    let result;
    // SAFETY: the caller vouches for the call; the kernel changes rax, rcx and r11 only.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number => result,
            in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d, in("r8") e, in("r9") f,
            lateout("rcx") _, lateout("r11") _,
            options(nostack),
        );
    }
    result
}

/// Makes a system call and hands back what the kernel left: a result, or a negative `errno`.
///
/// # Safety
///
/// As the kernel documents the call.
#[cfg(target_arch = "aarch64")]
pub(super) unsafe fn raw(number: usize, arguments: [usize; 6]) -> isize {
    let [a, b, c, d, e, f] = arguments;
    let result;
    // SAFETY: the caller vouches for the call; the kernel changes x0 only.
    unsafe {
        asm!(
            "svc #0",
            in("x8") number,
            inlateout("x0") a => result,
            in("x1") b, in("x2") c, in("x3") d, in("x4") e, in("x5") f,
            options(nostack),
        );
    }
    result
}

/// The `errno` of a call that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Failure(i32);

/// Makes a system call of up to six arguments; those that are missing are zero.
///
/// # Safety
///
/// As the kernel documents the call.
pub(super) unsafe fn call<const N: usize>(number: usize, arguments: [usize; N]) -> Result<usize, Failure> {
    let mut all = [0; 6];
    all[..N].copy_from_slice(&arguments);
    // SAFETY: the caller vouches for the call.
    let result = unsafe { raw(number, all) };
    // The last page of addresses is never a result.
    if (-4095..0).contains(&result) { Err(Failure(-result as i32)) } else { Ok(result as usize) }
}

/// The result as C has it: -1 and `errno` for a failure.
pub(super) fn c_result(result: Result<usize, Failure>) -> isize {
    match result {
        Ok(value) => value as isize,
        Err(Failure(code)) => {
            set_errno(code);
            -1
        }
    }
}

std::thread_local! {
    static ERRNO: Cell<i32> = const { Cell::new(0) };
}

pub(super) fn set_errno(code: i32) {
    ERRNO.set(code);
}

#[cfg_attr(mnc_bare, unsafe(no_mangle))]
pub(super) extern "C" fn __errno_location() -> *mut i32 {
    ERRNO.with(Cell::as_ptr)
}

/// Ends the process.
pub(super) fn exit_group(code: i32) -> ! {
    loop {
        // SAFETY: the call takes no memory and doesn't return.
        unsafe { raw(number::EXIT_GROUP, [code as usize, 0, 0, 0, 0, 0]) };
    }
}
