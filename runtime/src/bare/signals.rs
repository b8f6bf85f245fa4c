//! Handlers of signals, as far as a document needs them that a signal cuts off.

use core::ffi::c_int;

use super::call::{c_result, call, number};
use super::system::{getpid, gettid};

/// What the kernel takes, on x86-64 and aarch64.
#[repr(C)]
struct Action {
    handler: usize,
    flags: usize,
    restorer: usize,
    mask: u64,
}

/// Calls that the signal interrupts begin again.
const RESTART: usize = 0x1000_0000;
/// The action says how a handler returns.
#[cfg(target_arch = "x86_64")]
const RESTORER: usize = 0x0400_0000;

/// Where a handler returns to: the call that puts the interrupted registers back. Other processors' kernels bring their own.
#[cfg(target_arch = "x86_64")]
#[unsafe(naked)]
unsafe extern "C" fn restore() {
    core::arch::naked_asm!("mov eax, 15", "syscall")
}

#[cfg(target_arch = "x86_64")]
fn return_path() -> (usize, usize) {
    (RESTORER, restore as unsafe extern "C" fn() as usize)
}

#[cfg(target_arch = "aarch64")]
fn return_path() -> (usize, usize) {
    (0, 0)
}

/// Sets a signal's handler and returns the one before.
///
/// # Safety
///
/// `handler` is 0 (the default), 1 (ignored), or a function that takes the signal's number and may run at any moment.
#[cfg_attr(mnc_bare, unsafe(no_mangle))]
unsafe extern "C" fn signal(signal: c_int, handler: usize) -> usize {
    let (flag, restorer) = return_path();
    let action = Action { handler, flags: RESTART | flag, restorer, mask: 0 };
    let mut old = Action { handler: 0, flags: 0, restorer: 0, mask: 0 };
    let arguments =
        [signal as usize, (&raw const action) as usize, (&raw mut old) as usize, size_of::<u64>()];
    // SAFETY: both actions are ours, and the caller vouches for the handler.
    match c_result(unsafe { call(number::RT_SIGACTION, arguments) }) {
        0 => old.handler,
        _ => usize::MAX,
    }
}

/// Sends this thread a signal.
#[cfg_attr(mnc_bare, unsafe(no_mangle))]
extern "C" fn raise(signal: c_int) -> c_int {
    // SAFETY: the call takes no memory.
    let result = unsafe { call(number::TGKILL, [getpid() as usize, gettid() as usize, signal as usize]) };
    c_result(result) as c_int
}

#[cfg(test)]
mod tests {
    use core::sync::atomic::{AtomicI32, Ordering::SeqCst};

    use super::*;

    static SEEN: AtomicI32 = AtomicI32::new(0);

    extern "C" fn note(signal: c_int) {
        SEEN.store(signal, SeqCst);
    }

    #[test]
    fn handlers_are_called_and_return() {
        const SIGUSR2: c_int = 12;
        // SAFETY: the handler only stores a number, and nobody else has one for this signal.
        unsafe {
            assert_eq!(signal(SIGUSR2, note as extern "C" fn(c_int) as usize), 0);
            assert_eq!(raise(SIGUSR2), 0);
            assert_eq!(SEEN.load(SeqCst), SIGUSR2);
            assert_eq!(signal(SIGUSR2, 1), note as extern "C" fn(c_int) as usize);
            assert_eq!(raise(SIGUSR2), 0);
            assert_eq!(signal(SIGUSR2, 0), 1);
            // No signal has this number.
            assert_eq!(signal(999, 0), usize::MAX);
        }
    }
}
