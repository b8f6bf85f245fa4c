//! `malloc` and its kin: the crate `dlmalloc` over mappings of the kernel, behind one lock.

use core::ffi::{c_int, c_void};
use core::ptr::null_mut;
use std::sync::{Mutex, MutexGuard};

use dlmalloc::{Allocator, Dlmalloc};

use super::call::{self, OUT_OF_MEMORY, call, number, set_errno};

/// The largest page of aarch64; where pages are smaller, a multiple of them.
const PAGE: usize = 64 << 10;

/// The alignment of `malloc`.
const MIN_ALIGN: usize = 16;

/// Where `dlmalloc` has its memory from.
struct Pages;

// SAFETY: mappings are zeroed, nobody else's, and stay until they are given back.
unsafe impl Allocator for Pages {
    fn alloc(&self, size: usize) -> (*mut u8, usize, u32) {
        (map(size), size, 0)
    }

    fn remap(&self, start: *mut u8, old: usize, new: usize, can_move: bool) -> *mut u8 {
        // SAFETY: the mapping is the allocator's, which asks for it.
        let result = unsafe { call(number::MREMAP, [start.addr(), old, new, usize::from(can_move)]) };
        result.map_or(null_mut(), |address| address as *mut u8)
    }

    fn free_part(&self, start: *mut u8, old: usize, new: usize) -> bool {
        // SAFETY: the allocator doesn't use the end of its mapping any more.
        unsafe { unmap(start.add(new), old - new) }
    }

    fn free(&self, start: *mut u8, size: usize) -> bool {
        // SAFETY: the allocator doesn't use the mapping any more.
        unsafe { unmap(start, size) }
    }

    fn can_release_part(&self, _: u32) -> bool {
        true
    }

    fn allocates_zeros(&self) -> bool {
        true
    }

    fn page_size(&self) -> usize {
        PAGE
    }
}

static HEAP: Mutex<Dlmalloc<Pages>> = Mutex::new(Dlmalloc::new_with_allocator(Pages));

/// The heap, for one thread at a time. Nobody panics in it, and a panic ends the program.
fn heap() -> MutexGuard<'static, Dlmalloc<Pages>> {
    HEAP.lock().unwrap_or_else(|error| error.into_inner())
}

/// Zeroed pages of our own; null when there are none.
pub(super) fn map(bytes: usize) -> *mut u8 {
    const READ_WRITE: usize = 0b11;
    const PRIVATE_ANONYMOUS: usize = 0x22;
    // SAFETY: a mapping wherever there is room touches nobody's memory.
    let result = unsafe { call(number::MMAP, [0, bytes, READ_WRITE, PRIVATE_ANONYMOUS, usize::MAX, 0]) };
    result.map_or(null_mut(), |address| address as *mut u8)
}

/// Whether the pages are given back. A failure leaves them, which is harmless.
///
/// # Safety
///
/// The bytes are a mapping, or the end of one, that nobody uses any more.
pub(super) unsafe fn unmap(start: *mut u8, bytes: usize) -> bool {
    // SAFETY: the caller vouches for the mapping.
    unsafe { call(number::MUNMAP, [start.addr(), bytes]) }.is_ok()
}

/// The block as C has it: null and `errno` when there is none.
fn c_block(block: *mut u8) -> *mut c_void {
    if block.is_null() {
        set_errno(OUT_OF_MEMORY);
    }
    block.cast()
}

#[cfg_attr(mnc_bare, unsafe(no_mangle))]
extern "C" fn malloc(size: usize) -> *mut c_void {
    // SAFETY: any size may be asked for.
    c_block(unsafe { heap().c_malloc(size) })
}

#[cfg_attr(mnc_bare, unsafe(no_mangle))]
extern "C" fn calloc(count: usize, size: usize) -> *mut c_void {
    let Some(bytes) = count.checked_mul(size) else { return c_block(null_mut()) };
    // SAFETY: any size may be asked for, at the heap's own alignment.
    c_block(unsafe { heap().calloc(bytes, MIN_ALIGN) })
}

/// # Safety
///
/// `memory` may be written.
#[cfg_attr(mnc_bare, unsafe(no_mangle))]
unsafe extern "C" fn posix_memalign(memory: *mut *mut c_void, align: usize, size: usize) -> c_int {
    if !align.is_power_of_two() || PAGE < align {
        return call::INVALID;
    }
    // SAFETY: the alignment is a power of two.
    let block = unsafe { heap().c_memalign(align, size) };
    if block.is_null() {
        return OUT_OF_MEMORY;
    }
    // SAFETY: the caller vouches for the pointer.
    unsafe { *memory = block.cast() };
    0
}

/// # Safety
///
/// `block` is null, or from `malloc` or its kin and nobody's any more.
#[cfg_attr(mnc_bare, unsafe(no_mangle))]
unsafe extern "C" fn free(block: *mut c_void) {
    // SAFETY: the caller vouches for the block.
    unsafe { heap().c_free(block.cast()) };
}

/// # Safety
///
/// As [`free`]; `block` is nobody's any more if the result isn't null.
#[cfg_attr(mnc_bare, unsafe(no_mangle))]
unsafe extern "C" fn realloc(block: *mut c_void, size: usize) -> *mut c_void {
    // SAFETY: the caller vouches for the block.
    c_block(unsafe { heap().c_realloc(block.cast(), size) })
}

#[cfg(test)]
mod tests;
