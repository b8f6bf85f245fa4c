//! `malloc` and its kin: powers of two from lists, large blocks from the kernel.
//!
//! A block begins with a header that says where the block begins and how long it is; what the caller gets lies behind it,
//! at the alignment asked for. The launcher allocates rarely and from few threads, so one spin lock guards the lists.

use core::cell::UnsafeCell;
use core::ffi::{c_int, c_void};
use core::hint;
use core::ptr::{self, null_mut};
use core::sync::atomic::{AtomicBool, Ordering};

use super::call::{self, OUT_OF_MEMORY, call, number, set_errno};

/// Shortest block: header and as much again.
const MIN_BYTES: usize = 2 * HEADER_BYTES;

/// Blocks from here on are mappings of their own.
const LARGE_BYTES: usize = 128 << 10;

/// What the kernel is asked for when a list is empty.
const CHUNK_BYTES: usize = 1 << 20;

const N_CLASSES: usize = (LARGE_BYTES / MIN_BYTES).ilog2() as usize;

const PAGE: usize = 64 << 10;

/// Stands before what the caller gets.
#[derive(Clone, Copy)]
#[repr(C)]
struct Header {
    start: *mut u8,
    bytes: usize,
}

const HEADER_BYTES: usize = size_of::<Header>();

/// The alignment of `malloc`.
const MIN_ALIGN: usize = 16;

struct Lists {
    /// Free blocks by class; the first word of each is the next one.
    free: [*mut u8; N_CLASSES],
    /// Memory that was never a block.
    chunk: *mut u8,
    chunk_bytes: usize,
}

struct Heap {
    locked: AtomicBool,
    lists: UnsafeCell<Lists>,
}

// SAFETY: the lists are only touched under the lock.
unsafe impl Sync for Heap {}

static HEAP: Heap = Heap {
    locked: AtomicBool::new(false),
    lists: UnsafeCell::new(Lists { free: [null_mut(); N_CLASSES], chunk: null_mut(), chunk_bytes: 0 }),
};

impl Heap {
    fn with<T>(&self, work: impl FnOnce(&mut Lists) -> T) -> T {
        while self.locked.swap(true, Ordering::Acquire) {
            hint::spin_loop();
        }
        // SAFETY: we hold the lock, and `work` doesn't come back here.
        let result = work(unsafe { &mut *self.lists.get() });
        self.locked.store(false, Ordering::Release);
        result
    }
}

/// The list of blocks of so many bytes, a power of two.
fn class(bytes: usize) -> usize {
    (bytes / MIN_BYTES).ilog2() as usize
}

impl Lists {
    /// A block of so many bytes, a power of two below [`LARGE_BYTES`]; null when there is no memory.
    fn take(&mut self, bytes: usize) -> *mut u8 {
        let head = self.free[class(bytes)];
        if !head.is_null() {
            // SAFETY: a free block holds the next one.
            self.free[class(bytes)] = unsafe { *head.cast::<*mut u8>() };
            return head;
        }
        if self.chunk_bytes < bytes {
            // What is left of the old chunk is lost: less than one large block.
            self.chunk = map(CHUNK_BYTES);
            if self.chunk.is_null() {
                self.chunk_bytes = 0;
                return null_mut();
            }
            self.chunk_bytes = CHUNK_BYTES;
        }
        let block = self.chunk;
        // SAFETY: so much is left of the chunk.
        self.chunk = unsafe { block.add(bytes) };
        self.chunk_bytes -= bytes;
        block
    }

    /// # Safety
    ///
    /// `block` is of so many bytes, from [`Lists::take`], and nobody's any more.
    unsafe fn give(&mut self, block: *mut u8, bytes: usize) {
        // SAFETY: the caller vouches for the block.
        unsafe { *block.cast::<*mut u8>() = self.free[class(bytes)] };
        self.free[class(bytes)] = block;
    }
}

/// Zeroed pages of our own; null when there are none.
pub(super) fn map(bytes: usize) -> *mut u8 {
    const READ_WRITE: usize = 0b11;
    const PRIVATE_ANONYMOUS: usize = 0x22;
    // SAFETY: a mapping wherever there is room touches nobody's memory.
    let result = unsafe { call(number::MMAP, [0, bytes, READ_WRITE, PRIVATE_ANONYMOUS, usize::MAX, 0]) };
    result.map_or(null_mut(), |address| address as *mut u8)
}

/// # Safety
///
/// The bytes are a mapping that nobody uses any more.
pub(super) unsafe fn unmap(start: *mut u8, bytes: usize) {
    // SAFETY: the caller vouches for the mapping. A failure leaves it, which is harmless.
    let _ = unsafe { call(number::MUNMAP, [start as usize, bytes]) };
}

/// The bytes of the block that holds so much behind header and alignment.
fn block_bytes(size: usize, align: usize) -> Option<usize> {
    let slack = if align <= MIN_ALIGN { 0 } else { align };
    let bytes = size.checked_add(HEADER_BYTES + slack)?.max(MIN_BYTES);
    if bytes < LARGE_BYTES {
        let bytes = bytes.next_power_of_two();
        if bytes < LARGE_BYTES {
            return Some(bytes);
        }
    }
    bytes.checked_next_multiple_of(PAGE).map(|bytes| bytes.max(2 * LARGE_BYTES))
}

/// Memory for so many bytes, and whether it is known to be zero; null and `errno` when there is none.
fn allocate(size: usize, align: usize) -> (*mut u8, bool) {
    let block = block_bytes(size, align).map(|bytes| {
        let is_large = LARGE_BYTES <= bytes;
        let start = if is_large { map(bytes) } else { HEAP.with(|lists| lists.take(bytes)) };
        (start, bytes, is_large)
    });
    match block {
        Some((start, bytes, is_large)) if !start.is_null() => {
            let address = (start as usize + HEADER_BYTES).next_multiple_of(align.max(MIN_ALIGN));
            // SAFETY: `block_bytes` made room for the header before and the size behind the address.
            let payload = unsafe { start.add(address - start as usize) };
            // SAFETY: as above.
            unsafe { payload.cast::<Header>().sub(1).write(Header { start, bytes }) };
            (payload, is_large)
        }
        _ => {
            set_errno(OUT_OF_MEMORY);
            (null_mut(), false)
        }
    }
}

#[cfg_attr(mnc_bare, unsafe(no_mangle))]
extern "C" fn malloc(size: usize) -> *mut c_void {
    allocate(size, MIN_ALIGN).0.cast()
}

#[cfg_attr(mnc_bare, unsafe(no_mangle))]
extern "C" fn calloc(count: usize, size: usize) -> *mut c_void {
    let Some(bytes) = count.checked_mul(size) else {
        set_errno(OUT_OF_MEMORY);
        return null_mut();
    };
    let (payload, is_zero) = allocate(bytes, MIN_ALIGN);
    if !payload.is_null() && !is_zero {
        // SAFETY: the block has so many bytes.
        unsafe { ptr::write_bytes(payload, 0, bytes) };
    }
    payload.cast()
}

/// # Safety
///
/// `memory` may be written.
#[cfg_attr(mnc_bare, unsafe(no_mangle))]
unsafe extern "C" fn posix_memalign(memory: *mut *mut c_void, align: usize, size: usize) -> c_int {
    if !align.is_power_of_two() || PAGE < align {
        return call::INVALID;
    }
    let (payload, _) = allocate(size, align);
    if payload.is_null() {
        return OUT_OF_MEMORY;
    }
    // SAFETY: the caller vouches for the pointer.
    unsafe { *memory = payload.cast() };
    0
}

/// # Safety
///
/// `payload` is from `malloc` or its kin.
unsafe fn header(payload: *mut c_void) -> Header {
    // SAFETY: the caller vouches for the block, which has its header before the payload.
    unsafe { payload.cast::<Header>().sub(1).read() }
}

/// # Safety
///
/// `payload` is null, or from `malloc` or its kin and nobody's any more.
#[cfg_attr(mnc_bare, unsafe(no_mangle))]
unsafe extern "C" fn free(payload: *mut c_void) {
    if payload.is_null() {
        return;
    }
    // SAFETY: the caller vouches for the block.
    let Header { start, bytes } = unsafe { header(payload) };
    if LARGE_BYTES <= bytes {
        // SAFETY: a large block is a mapping of its own.
        unsafe { unmap(start, bytes) };
    } else {
        // SAFETY: any other is from the lists.
        HEAP.with(|lists| unsafe { lists.give(start, bytes) });
    }
}

/// # Safety
///
/// As [`free`]; `payload` is nobody's any more if the result isn't null.
#[cfg_attr(mnc_bare, unsafe(no_mangle))]
unsafe extern "C" fn realloc(payload: *mut c_void, size: usize) -> *mut c_void {
    if payload.is_null() {
        return malloc(size);
    }
    // SAFETY: the caller vouches for the block.
    let Header { start, bytes } = unsafe { header(payload) };
    let room = bytes - (payload as usize - start as usize);
    if size <= room && room / 4 <= size {
        return payload;
    }
    let fresh = malloc(size);
    if !fresh.is_null() {
        // SAFETY: both blocks have so many bytes, and the old one is the caller's.
        unsafe {
            ptr::copy_nonoverlapping(payload.cast::<u8>(), fresh.cast(), size.min(room));
            free(payload);
        }
    }
    fresh
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fills a block with its number and holds it against what is there when it is given back.
    struct Block {
        payload: *mut u8,
        size: usize,
        fill: u8,
    }

    impl Block {
        fn new(payload: *mut c_void, size: usize, fill: u8) -> Block {
            assert!(!payload.is_null());
            // SAFETY: the block has so many bytes.
            unsafe { ptr::write_bytes(payload.cast::<u8>(), fill, size) };
            Block { payload: payload.cast(), size, fill }
        }

        fn check(&self, len: usize) {
            // SAFETY: the block has so many bytes.
            let bytes = unsafe { core::slice::from_raw_parts(self.payload, len.min(self.size)) };
            assert!(bytes.iter().all(|byte| *byte == self.fill), "block of {} bytes", self.size);
        }
    }

    #[test]
    fn blocks_are_aligned_and_apart() {
        let sizes = [0, 1, 15, 16, 17, 100, 4096, 100_000, 131_000, 131_072, 1 << 20, 5 << 20];
        let mut blocks = Vec::new();
        for round in 0..3u8 {
            for (idx, size) in sizes.into_iter().enumerate() {
                let align = [16, 64, 4096, 65536][idx % 4];
                let mut payload = null_mut();
                // SAFETY: the pointer is ours.
                assert_eq!(unsafe { posix_memalign(&raw mut payload, align, size) }, 0);
                assert_eq!(payload as usize % align, 0);
                blocks.push(Block::new(payload, size, round * 40 + idx as u8));
                blocks.push(Block::new(malloc(size), size, round * 40 + idx as u8 + 20));
            }
            // Every other one is used again in the next round.
            for idx in (0..blocks.len()).step_by(2).rev() {
                let block = blocks.swap_remove(idx);
                block.check(block.size);
                // SAFETY: the block is ours alone.
                unsafe { free(block.payload.cast()) };
            }
        }
        blocks.iter().for_each(|block| block.check(block.size));
    }

    #[test]
    fn memory_is_kept_when_it_grows_and_zero_when_asked_for() {
        let mut block = Block::new(malloc(10), 10, 7);
        for size in [20, 5000, 200_000, 3 << 20, 50] {
            // SAFETY: the block is ours alone.
            let payload = unsafe { realloc(block.payload.cast(), size) };
            let grown = Block { payload: payload.cast(), ..block };
            grown.check(block.size.min(size));
            block = Block::new(payload, size, 7);
        }
        // SAFETY: as above.
        unsafe { free(block.payload.cast()) };
        for size in [40, 100_000, 1 << 20] {
            let dirty = Block::new(malloc(size), size, 9);
            // SAFETY: as above.
            unsafe { free(dirty.payload.cast()) };
            let zero = Block { payload: calloc(size / 4, 4).cast(), size, fill: 0 };
            zero.check(size);
        }
    }

    #[test]
    fn too_much_is_refused() {
        for size in [usize::MAX, usize::MAX - 15, usize::MAX - 70_000, 1 << 60] {
            assert!(malloc(size).is_null());
        }
        assert!(calloc(usize::MAX, 2).is_null());
        let mut payload = null_mut();
        // SAFETY: the pointer is ours.
        assert_eq!(unsafe { posix_memalign(&raw mut payload, 24, 8) }, call::INVALID);
    }
}
