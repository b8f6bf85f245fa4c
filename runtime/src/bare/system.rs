//! The process: environment, time, randomness, and the questions that have one answer here.

use core::ffi::{CStr, c_char, c_int, c_void};
use core::ptr::{null, null_mut};
use core::sync::atomic::{AtomicPtr, Ordering};

use super::call::{INVALID, c_result, call, exit_group, number, raw, set_errno};

/// The environment: pointers to C strings, and a null.
static ENVIRONMENT: AtomicPtr<*const c_char> = AtomicPtr::new(null_mut());

/// Keeps what the kernel left behind the arguments: the environment, and behind its null the auxiliary vector.
///
/// # Safety
///
/// `environment` is that, and stays.
pub(super) unsafe fn remember(environment: *const *const c_char) {
    ENVIRONMENT.store(environment.cast_mut(), Ordering::Relaxed);
}

/// The strings of the environment.
fn environment() -> impl Iterator<Item = *const c_char> {
    let first = ENVIRONMENT.load(Ordering::Relaxed).cast_const();
    let mut next = first;
    core::iter::from_fn(move || {
        if first.is_null() {
            return None;
        }
        // SAFETY: the walk ends at the null that ends the environment.
        let string = unsafe { *next };
        (!string.is_null()).then(|| {
            // SAFETY: the string wasn't the null.
            next = unsafe { next.add(1) };
            string
        })
    })
}

/// # Safety
///
/// `name` is a C string.
#[cfg_attr(mnc_bare, unsafe(no_mangle))]
unsafe extern "C" fn getenv(name: *const c_char) -> *const c_char {
    // SAFETY: the caller vouches for the name.
    let name = unsafe { CStr::from_ptr(name) }.to_bytes();
    for string in environment() {
        // SAFETY: the environment consists of C strings.
        let bytes = unsafe { CStr::from_ptr(string) }.to_bytes();
        if bytes.strip_prefix(name).is_some_and(|rest| rest.starts_with(b"=")) {
            // SAFETY: the value begins behind the name and `=`, inside the string.
            return unsafe { string.add(name.len() + 1) };
        }
    }
    null()
}

/// An entry of the auxiliary vector; zero when the kernel didn't say.
#[cfg_attr(mnc_bare, unsafe(no_mangle))]
pub(super) extern "C" fn getauxval(kind: usize) -> usize {
    let first = ENVIRONMENT.load(Ordering::Relaxed).cast_const();
    if first.is_null() {
        return 0;
    }
    // SAFETY: the vector follows the environment's null, in pairs, and ends with a pair of kind zero.
    unsafe {
        let mut pair = first.add(environment().count() + 1).cast::<[usize; 2]>();
        while (*pair)[0] != 0 {
            if (*pair)[0] == kind {
                return (*pair)[1];
            }
            pair = pair.add(1);
        }
    }
    0
}

/// # Safety
///
/// `time` may be written: two words.
#[cfg_attr(mnc_bare, unsafe(no_mangle))]
unsafe extern "C" fn clock_gettime(clock: c_int, time: *mut [i64; 2]) -> c_int {
    // SAFETY: the caller vouches for the pointer.
    c_result(unsafe { call(number::CLOCK_GETTIME, [clock as usize, time as usize]) }) as c_int
}

/// # Safety
///
/// `buffer` may be written, so many bytes.
#[cfg_attr(mnc_bare, unsafe(no_mangle))]
unsafe extern "C" fn getrandom(buffer: *mut c_void, bytes: usize, flags: u32) -> isize {
    // SAFETY: the caller vouches for the buffer.
    c_result(unsafe { call(number::GETRANDOM, [buffer as usize, bytes, flags as usize]) })
}

/// Any call of the kernel: the standard library makes that of futexes so.
///
/// # Safety
///
/// As the kernel documents the call.
#[cfg_attr(mnc_bare, unsafe(no_mangle))]
unsafe extern "C" fn syscall(
    number: usize,
    a: usize,
    b: usize,
    c: usize,
    d: usize,
    e: usize,
    f: usize,
) -> isize {
    // SAFETY: the caller vouches for the call.
    c_result(unsafe { call(number, [a, b, c, d, e, f]) })
}

/// # Safety
///
/// `set` may be written, so many bytes.
#[cfg_attr(mnc_bare, unsafe(no_mangle))]
unsafe extern "C" fn sched_getaffinity(pid: c_int, bytes: usize, set: *mut u8) -> c_int {
    // SAFETY: the caller vouches for the set.
    match unsafe { call(number::SCHED_GETAFFINITY, [pid as usize, bytes, set as usize]) } {
        Ok(written) => {
            // SAFETY: as above; the kernel leaves the rest of the set alone.
            unsafe { core::ptr::write_bytes(set.add(written), 0, bytes - written) };
            0
        }
        failure => c_result(failure) as c_int,
    }
}

#[cfg_attr(mnc_bare, unsafe(no_mangle))]
extern "C" fn sysconf(name: c_int) -> isize {
    const PAGE_SIZE: c_int = 30;
    const PROCESSORS_CONFIGURED: c_int = 83;
    const PROCESSORS_ONLINE: c_int = 84;
    /// Of the auxiliary vector.
    const PAGE_SIZE_ENTRY: usize = 6;
    match name {
        PAGE_SIZE => getauxval(PAGE_SIZE_ENTRY).max(4096) as isize,
        PROCESSORS_CONFIGURED | PROCESSORS_ONLINE => {
            let mut set = [0u8; 128];
            // SAFETY: the set is ours.
            match unsafe { sched_getaffinity(0, set.len(), set.as_mut_ptr()) } {
                0 => set.iter().map(|byte| byte.count_ones() as isize).sum(),
                _ => -1,
            }
        }
        _ => {
            set_errno(INVALID);
            -1
        }
    }
}

#[cfg_attr(mnc_bare, unsafe(no_mangle))]
pub(super) extern "C" fn getpid() -> c_int {
    // SAFETY: the call takes nothing.
    unsafe { raw(number::GETPID, [0; 6]) as c_int }
}

#[cfg_attr(mnc_bare, unsafe(no_mangle))]
pub(super) extern "C" fn gettid() -> c_int {
    // SAFETY: the call takes nothing.
    unsafe { raw(number::GETTID, [0; 6]) as c_int }
}

/// Waits for a signal, that is, for the end.
#[cfg_attr(mnc_bare, unsafe(no_mangle))]
extern "C" fn pause() -> c_int {
    // SAFETY: the call takes no memory.
    c_result(unsafe { call(number::PPOLL, [0, 0, 0, 0]) }) as c_int
}

/// Ends the process by the signal `SIGABRT`.
#[cfg_attr(mnc_bare, unsafe(no_mangle))]
pub(super) extern "C" fn abort() -> ! {
    const SIGABRT: usize = 6;
    // SAFETY: the signal is for ourselves.
    let _ = unsafe { call(number::TGKILL, [getpid() as usize, gettid() as usize, SIGABRT]) };
    exit_group(134)
}

/// A program without shared libraries has no symbols to look up: the standard library takes its fallback.
#[cfg_attr(mnc_bare, unsafe(no_mangle))]
extern "C" fn dlsym(_: *const c_void, _: *const c_char) -> *const c_void {
    null()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_and_what_follows_it_are_found() {
        let strings = [c"AB=1".as_ptr(), c"A=two".as_ptr(), c"EMPTY=".as_ptr(), null()];
        let vector = [6usize, 65536, 25, 77, 0, 0];
        let stack: Vec<usize> = strings.iter().map(|s| s.addr()).chain(vector).collect();
        // The provenance of the strings is exposed: they are read through the words of the stack.
        strings.iter().for_each(|string| {
            string.expose_provenance();
        });
        // SAFETY: the words are laid out as the kernel does, and outlive what looks at them.
        let value = |name: &CStr| unsafe {
            remember(stack.as_ptr().cast());
            let value = getenv(name.as_ptr());
            (!value.is_null()).then(|| CStr::from_ptr(value).to_str().unwrap())
        };
        assert_eq!(value(c"A"), Some("two"));
        assert_eq!(value(c"AB"), Some("1"));
        assert_eq!(value(c"EMPTY"), Some(""));
        assert_eq!(value(c"B"), None);
        assert_eq!((getauxval(25), getauxval(24), sysconf(30)), (77, 0, 65536));
        // SAFETY: nothing may look at the words any more.
        unsafe { remember(null()) };
    }

    #[test]
    fn the_machine_answers() {
        let processors = std::thread::available_parallelism().unwrap().get();
        assert!(processors as isize <= sysconf(84));
        assert_eq!(getpid() as u32, std::process::id());
        let mut time = [0; 2];
        // SAFETY: the pointer is ours.
        assert_eq!(unsafe { clock_gettime(1, &raw mut time) }, 0);
        assert!(time[0] != 0 || time[1] != 0);
    }
}
