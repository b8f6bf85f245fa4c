//! Blocks are apart, aligned, kept and zeroed; what is freed is used again for other sizes and given back.

use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

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

    fn free(self) {
        self.check(self.size);
        // SAFETY: the block is ours alone.
        unsafe { free(self.payload.cast()) };
    }
}

#[test]
fn blocks_are_aligned_and_apart() {
    let sizes = [0, 1, 15, 16, 17, 100, 4096, 100_000, 131_000, 131_072, 1 << 20, 5 << 20];
    let mut blocks = Vec::new();
    for round in 0..3u8 {
        for (idx, size) in sizes.into_iter().enumerate() {
            for (align_idx, align) in [16, 64, 4096, 65536].into_iter().enumerate() {
                let mut payload = null_mut();
                // SAFETY: the pointer is ours.
                assert_eq!(unsafe { posix_memalign(&raw mut payload, align, size) }, 0);
                assert_eq!(payload.addr() % align, 0);
                blocks.push(Block::new(payload, size, round * 80 + (idx * 4 + align_idx) as u8));
            }
            let payload = malloc(size);
            assert_eq!(payload.addr() % MIN_ALIGN, 0);
            blocks.push(Block::new(payload, size, round * 80 + idx as u8 + 50));
        }
        // Every other one is used again in the next round.
        for idx in (0..blocks.len()).step_by(2).rev() {
            blocks.swap_remove(idx).free();
        }
    }
    blocks.into_iter().for_each(Block::free);
}

#[test]
fn memory_is_kept_when_it_grows_and_zero_when_asked_for() {
    let mut block = Block::new(malloc(10), 10, 7);
    for size in [20, 5000, 200_000, 3 << 20, 50, 1, 300_000] {
        // SAFETY: the block is ours alone.
        let payload = unsafe { realloc(block.payload.cast(), size) };
        let grown = Block { payload: payload.cast(), ..block };
        grown.check(block.size.min(size));
        block = Block::new(payload, size, 7);
    }
    block.free();
    for size in [40, 100_000, 1 << 20] {
        Block::new(malloc(size), size, 9).free();
        let zero = Block { payload: calloc(size / 4, 4).cast(), size, fill: 0 };
        zero.free();
    }
    // SAFETY: null is a new block, and no block at all.
    Block::new(unsafe { realloc(null_mut(), 9) }, 9, 1).free();
    // SAFETY: as above.
    unsafe { free(null_mut()) };
}

#[test]
fn too_much_is_refused_and_the_block_stays() {
    for size in [usize::MAX, usize::MAX - 15, usize::MAX - 70_000, 1 << 60] {
        assert!(malloc(size).is_null());
        let mut payload = null_mut();
        // SAFETY: the pointer is ours.
        assert_eq!(unsafe { posix_memalign(&raw mut payload, 64, size) }, OUT_OF_MEMORY);
        let block = Block::new(malloc(100), 100, 3);
        // SAFETY: the block is ours alone, and stays ours.
        assert!(unsafe { realloc(block.payload.cast(), size) }.is_null());
        block.free();
    }
    assert!(calloc(usize::MAX, 2).is_null());
    for align in [0, 24, 2 * PAGE] {
        let mut payload = null_mut();
        // SAFETY: the pointer is ours.
        assert_eq!(unsafe { posix_memalign(&raw mut payload, align, 8) }, call::INVALID);
    }
}

#[test]
fn threads_share_it() {
    std::thread::scope(|scope| {
        for thread in 0..8u8 {
            scope.spawn(move || {
                let mut blocks = Vec::new();
                for round in 0..400usize {
                    let size = (round * 7919 + usize::from(thread) * 104_729) % 20_000;
                    blocks.push(Block::new(malloc(size), size, thread * 16 + (round % 16) as u8));
                    if 8 < blocks.len() {
                        blocks.swap_remove(round % 8).free();
                    }
                }
                blocks.into_iter().for_each(Block::free);
            });
        }
    });
}

/// How many bytes of address space `Counted` has for itself.
const ROOM: usize = 64 << 20;

/// Pages that are counted. They lie one below the other, as the kernel places them in a program of one thread:
/// mappings of other tests between them would keep `dlmalloc` from joining anything.
struct Counted {
    bytes: AtomicUsize,
    room: AtomicPtr<u8>,
    left: AtomicUsize,
}

impl Counted {
    fn new() -> Counted {
        let room = map(ROOM);
        assert!(!room.is_null());
        Counted { bytes: AtomicUsize::new(0), room: AtomicPtr::new(room), left: AtomicUsize::new(ROOM) }
    }
}

// SAFETY: each byte of the room is handed out once, zeroed as it was mapped, and stays until it is given back.
unsafe impl Allocator for Counted {
    fn alloc(&self, size: usize) -> (*mut u8, usize, u32) {
        let Some(left) = self.left.load(Ordering::Relaxed).checked_sub(size) else {
            return (null_mut(), 0, 0);
        };
        self.left.store(left, Ordering::Relaxed);
        self.bytes.fetch_add(size, Ordering::Relaxed);
        // SAFETY: the offset is within the room.
        (unsafe { self.room.load(Ordering::Relaxed).add(left) }, size, 0)
    }

    fn remap(&self, _: *mut u8, _: usize, _: usize, _: bool) -> *mut u8 {
        null_mut()
    }

    fn free_part(&self, start: *mut u8, old: usize, new: usize) -> bool {
        self.bytes.fetch_sub(old - new, Ordering::Relaxed);
        Pages.free_part(start, old, new)
    }

    fn free(&self, start: *mut u8, size: usize) -> bool {
        self.bytes.fetch_sub(size, Ordering::Relaxed);
        Pages.free(start, size)
    }

    fn can_release_part(&self, flags: u32) -> bool {
        Pages.can_release_part(flags)
    }

    fn allocates_zeros(&self) -> bool {
        Pages.allocates_zeros()
    }

    fn page_size(&self) -> usize {
        Pages.page_size()
    }
}

/// Small blocks that were freed make room for large ones, and nearly all of it goes back to the kernel.
#[test]
fn freed_memory_is_joined_and_given_back() {
    let mut heap = Dlmalloc::new_with_allocator(Counted::new());
    let mapped = |heap: &Dlmalloc<Counted>| heap.allocator().bytes.load(Ordering::Relaxed);
    // SAFETY: the blocks are ours alone, and freed once.
    unsafe {
        let small: Vec<*mut u8> = (0..1000).map(|idx| heap.c_malloc(9_000 + idx)).collect();
        let most = mapped(&heap);
        for from in [1, 0] {
            small.iter().skip(from).step_by(2).for_each(|block| heap.c_free(*block));
        }
        let large: Vec<*mut u8> = (0..40).map(|_| heap.c_malloc(200_000)).collect();
        assert!(mapped(&heap) <= most, "{} bytes are mapped, {most} were", mapped(&heap));
        large.iter().for_each(|block| heap.c_free(*block));
        heap.trim(0);
    }
    assert!(mapped(&heap) < 1 << 20, "{} bytes stay", mapped(&heap));
}
