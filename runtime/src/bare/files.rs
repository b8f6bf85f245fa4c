//! Files and folders: the calls of the kernel under their C names.
//!
//! The kernel's records of a file's state and of a folder's entries are those of the C library on 64-bit Linux.

use core::ffi::{CStr, c_char, c_int, c_void};
use core::ptr::null_mut;

use super::call::{INVALID, OUT_OF_MEMORY, c_result, call, number, set_errno};
use super::heap;

/// `AT_FDCWD`: paths count from the working directory.
const HERE: usize = -100i32 as usize;

/// Functions that are calls of the kernel: `name(arguments) = NUMBER [their words]`.
macro_rules! kernel_calls {
    ($($name:ident($($argument:ident: $kind:ty),*) -> $result:ty = $number:ident [$($word:expr),*];)*) => {
        $(
            /// # Safety
            ///
            /// As the call of the kernel of this name.
            #[cfg_attr(mnc_bare, unsafe(no_mangle))]
            pub(super) unsafe extern "C" fn $name($($argument: $kind),*) -> $result {
                // SAFETY: the caller vouches for the arguments.
                c_result(unsafe { call(number::$number, [$($word as usize),*]) }) as $result
            }
        )*
    };
}

kernel_calls! {
    read(fd: c_int, buffer: *mut c_void, bytes: usize) -> isize = READ [fd, buffer, bytes];
    write(fd: c_int, buffer: *const c_void, bytes: usize) -> isize = WRITE [fd, buffer, bytes];
    writev(fd: c_int, pieces: *const c_void, count: c_int) -> isize = WRITEV [fd, pieces, count];
    close(fd: c_int) -> c_int = CLOSE [fd];
    open(path: *const c_char, flags: c_int, mode: c_int) -> c_int = OPENAT [HERE, path, flags, mode];
    open64(path: *const c_char, flags: c_int, mode: c_int) -> c_int = OPENAT [HERE, path, flags, mode];
    lseek64(fd: c_int, offset: i64, whence: c_int) -> i64 = LSEEK [fd, offset, whence];
    ioctl(fd: c_int, request: usize, argument: *mut c_void) -> c_int = IOCTL [fd, request, argument];
    stat64(path: *const c_char, state: *mut c_void) -> c_int = NEWFSTATAT [HERE, path, state, 0];
    fstat64(fd: c_int, state: *mut c_void) -> c_int = FSTAT [fd, state];
    fstatat64(fd: c_int, path: *const c_char, state: *mut c_void, flags: c_int) -> c_int
        = NEWFSTATAT [fd, path, state, flags];
    statx(fd: c_int, path: *const c_char, flags: c_int, mask: u32, state: *mut c_void) -> c_int
        = STATX [fd, path, flags, mask, state];
    readlink(path: *const c_char, buffer: *mut c_char, bytes: usize) -> isize
        = READLINKAT [HERE, path, buffer, bytes];
    rename(from: *const c_char, to: *const c_char) -> c_int = RENAMEAT [HERE, from, HERE, to];
    unlink(path: *const c_char) -> c_int = UNLINKAT [HERE, path, 0];
    linkat(from_folder: c_int, from: *const c_char, to_folder: c_int, to: *const c_char, flags: c_int) -> c_int
        = LINKAT [from_folder, from, to_folder, to, flags];
    fsync(fd: c_int) -> c_int = FSYNC [fd];
    fchmod(fd: c_int, mode: u32) -> c_int = FCHMOD [fd, mode];
    fchown(fd: c_int, owner: u32, group: u32) -> c_int = FCHOWN [fd, owner, group];
}

/// # Safety
///
/// `state` may be written: 64 bytes.
#[cfg_attr(mnc_bare, unsafe(no_mangle))]
unsafe extern "C" fn isatty(fd: c_int) -> c_int {
    /// `TCGETS`, which only terminals answer: 36 bytes.
    const GET_TERMINAL: usize = 0x5401;
    let mut state = [0u8; 64];
    // SAFETY: the buffer is larger than the answer.
    c_int::from(unsafe { ioctl(fd, GET_TERMINAL, state.as_mut_ptr().cast()) } == 0)
}

/// # Safety
///
/// `buffer` is null or may be written, so many bytes.
#[cfg_attr(mnc_bare, unsafe(no_mangle))]
unsafe extern "C" fn getcwd(buffer: *mut c_char, bytes: usize) -> *mut c_char {
    // SAFETY: the caller vouches for the buffer.
    match c_result(unsafe { call(number::GETCWD, [buffer as usize, bytes]) }) {
        -1 => null_mut(),
        _ => buffer,
    }
}

/// An open folder.
#[repr(C, align(16))]
struct Folder {
    fd: c_int,
    /// Bytes of entries in the buffer, and how many of them have been handed out.
    filled: usize,
    position: usize,
    entries: [u64; 4096],
}

/// # Safety
///
/// `path` is a C string.
#[cfg_attr(mnc_bare, unsafe(no_mangle))]
unsafe extern "C" fn opendir(path: *const c_char) -> *mut c_void {
    /// `O_DIRECTORY | O_CLOEXEC`.
    #[cfg(target_arch = "x86_64")]
    const FOLDER: c_int = 0o2200000;
    #[cfg(target_arch = "aarch64")]
    const FOLDER: c_int = 0o2040000;
    // SAFETY: the caller vouches for the path.
    let fd = unsafe { open64(path, FOLDER, 0) };
    if fd < 0 {
        return null_mut();
    }
    // SAFETY: the pages are ours, zeroed and large enough.
    unsafe { opened(fd, heap::map(size_of::<Folder>()).cast()) }.cast()
}

/// The open folder in these pages; closed, if there are none.
///
/// # Safety
///
/// `pages` is null, or points to zeroed memory for a folder.
unsafe fn opened(fd: c_int, pages: *mut Folder) -> *mut Folder {
    if pages.is_null() {
        // SAFETY: the number is ours.
        unsafe { close(fd) };
        set_errno(OUT_OF_MEMORY);
    } else {
        // SAFETY: the caller vouches for the pages.
        unsafe { (*pages).fd = fd };
    }
    pages
}

/// # Safety
///
/// `folder` is from `opendir`.
#[cfg_attr(mnc_bare, unsafe(no_mangle))]
unsafe extern "C" fn dirfd(folder: *mut c_void) -> c_int {
    // SAFETY: the caller vouches for the folder.
    unsafe { (*folder.cast::<Folder>()).fd }
}

/// # Safety
///
/// `folder` is from `opendir`, and nobody else uses it at the same time. What it returns lasts until the next call.
#[cfg_attr(mnc_bare, unsafe(no_mangle))]
unsafe extern "C" fn readdir64(folder: *mut c_void) -> *mut c_void {
    /// Where a record says how long it is.
    const LENGTH_AT: usize = 16;
    // SAFETY: the caller vouches for the folder.
    let folder = unsafe { &mut *folder.cast::<Folder>() };
    let buffer = folder.entries.as_mut_ptr();
    if folder.position == folder.filled {
        let bytes = size_of_val(&folder.entries);
        // SAFETY: the buffer is ours.
        let filled = unsafe { call(number::GETDENTS64, [folder.fd as usize, buffer as usize, bytes]) };
        match filled {
            Ok(filled) if filled != 0 => (folder.filled, folder.position) = (filled, 0),
            Ok(_) => return null_mut(),
            Err(failure) => {
                c_result(Err(failure));
                return null_mut();
            }
        }
    }
    // SAFETY: the kernel filled the buffer with whole records, of which the position is one.
    unsafe {
        let entry = buffer.cast::<u8>().add(folder.position);
        folder.position += usize::from(entry.add(LENGTH_AT).cast::<u16>().read_unaligned());
        entry.cast()
    }
}

/// # Safety
///
/// `folder` is from `opendir` and nobody's any more.
#[cfg_attr(mnc_bare, unsafe(no_mangle))]
unsafe extern "C" fn closedir(folder: *mut c_void) -> c_int {
    // SAFETY: the caller vouches for the folder.
    unsafe {
        let result = close(dirfd(folder));
        heap::unmap(folder.cast(), size_of::<Folder>());
        result
    }
}

/// # Safety
///
/// As the kernel documents it.
#[cfg_attr(mnc_bare, unsafe(no_mangle))]
unsafe extern "C" fn mmap64(
    start: *mut c_void,
    bytes: usize,
    protection: c_int,
    flags: c_int,
    fd: c_int,
    offset: i64,
) -> *mut c_void {
    let words = [start as usize, bytes, protection as usize, flags as usize, fd as usize, offset as usize];
    // SAFETY: the caller vouches for the arguments. -1 is `MAP_FAILED`.
    c_result(unsafe { call(number::MMAP, words) }) as *mut c_void
}

/// # Safety
///
/// As the kernel documents it.
#[cfg_attr(mnc_bare, unsafe(no_mangle))]
unsafe extern "C" fn munmap(start: *mut c_void, bytes: usize) -> c_int {
    // SAFETY: the caller vouches for the mapping.
    c_result(unsafe { call(number::MUNMAP, [start as usize, bytes]) }) as c_int
}

/// # Safety
///
/// As the kernel documents it.
#[cfg_attr(mnc_bare, unsafe(no_mangle))]
unsafe extern "C" fn madvise(start: *mut c_void, bytes: usize, advice: c_int) -> c_int {
    // SAFETY: the caller vouches for the mapping.
    c_result(unsafe { call(number::MADVISE, [start as usize, bytes, advice as usize]) }) as c_int
}

/// What the kernel calls a failure, for messages: the few that a user of files meets.
///
/// # Safety
///
/// `buffer` may be written, so many bytes.
#[cfg_attr(mnc_bare, unsafe(no_mangle))]
unsafe extern "C" fn __xpg_strerror_r(code: c_int, buffer: *mut c_char, bytes: usize) -> c_int {
    let text = match code {
        1 => c"Operation not permitted",
        2 => c"No such file or directory",
        4 => c"Interrupted system call",
        5 => c"Input/output error",
        6 => c"No such device or address",
        9 => c"Bad file descriptor",
        11 => c"Resource temporarily unavailable",
        12 => c"Cannot allocate memory",
        13 => c"Permission denied",
        16 => c"Device or resource busy",
        17 => c"File exists",
        18 => c"Invalid cross-device link",
        20 => c"Not a directory",
        21 => c"Is a directory",
        22 => c"Invalid argument",
        24 => c"Too many open files",
        26 => c"Text file busy",
        27 => c"File too large",
        28 => c"No space left on device",
        30 => c"Read-only file system",
        32 => c"Broken pipe",
        36 => c"File name too long",
        40 => c"Too many levels of symbolic links",
        75 => c"Value too large for defined data type",
        _ => c"Unknown error",
    };
    copy_text(text, buffer, bytes)
}

/// As much of a text as there is room for, and a zero.
fn copy_text(text: &CStr, buffer: *mut c_char, bytes: usize) -> c_int {
    let text = text.to_bytes();
    let Some(room) = bytes.checked_sub(1) else { return INVALID };
    let len = text.len().min(room);
    // SAFETY: the caller of `strerror_r` vouches for its buffer.
    unsafe {
        core::ptr::copy_nonoverlapping(text.as_ptr().cast(), buffer, len);
        *buffer.add(len) = 0;
    }
    0
}

#[cfg(test)]
mod tests;
