//! Threads: thread-local memory, POSIX threads over `clone`, and their keys.
//!
//! Every thread has a record, which its thread pointer leads to, and beside it a copy of the program's thread-local
//! memory: below the thread pointer on x86-64, behind it on aarch64. Variables there are what the linker has resolved as
//! offsets from the thread pointer.

use core::cell::Cell;
use core::ffi::{c_char, c_int, c_void};
use core::ptr::{self, null_mut};
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use super::call::{OUT_OF_MEMORY, call, number};
use super::heap;

/// Keys of thread-local values; the standard library takes a handful.
const N_KEYS: usize = 32;

/// The record of a thread.
#[repr(C, align(16))]
struct Thread {
    /// Where x86-64 looks for the record's own address.
    this: *mut Thread,
    /// Its number while it runs; the kernel writes zero at its end and wakes who waits.
    id: AtomicU32,
    start: Option<unsafe extern "C" fn(*mut c_void) -> *mut c_void>,
    argument: *mut c_void,
    result: *mut c_void,
    /// Stack, thread-local memory and record.
    mapping: *mut u8,
    mapping_bytes: usize,
    values: [Cell<*mut c_void>; N_KEYS],
}

/// The program's thread-local memory as its file has it.
#[derive(Clone, Copy)]
struct Template {
    start: *const u8,
    file_bytes: usize,
    bytes: usize,
    align: usize,
}

impl Template {
    /// Found in the program headers that the kernel points at.
    fn of_program() -> Template {
        use super::program::{HEADERS, Header, N_HEADERS, THEMSELVES};
        use super::system::getauxval;
        const TLS: u32 = 7;
        let headers = getauxval(HEADERS) as *const Header;
        let mut base = 0;
        let n_headers = if headers.is_null() { 0 } else { getauxval(N_HEADERS) };
        for idx in 0..n_headers {
            // SAFETY: the kernel says where the headers lie and how many there are.
            let header = unsafe { &*headers.add(idx) };
            if header.kind == THEMSELVES {
                base = headers.addr().wrapping_sub(header.address as usize);
            }
            if header.kind == TLS {
                return Template {
                    start: base.wrapping_add(header.address as usize) as *const u8,
                    file_bytes: header.file_bytes as usize,
                    bytes: header.bytes as usize,
                    align: (header.align as usize).max(16),
                };
            }
        }
        Template { start: ptr::null(), file_bytes: 0, bytes: 0, align: 16 }
    }

    /// Bytes of thread-local memory and record together, and slack to align them.
    fn block_bytes(self) -> usize {
        let gap = TCB_BYTES.next_multiple_of(self.align);
        self.bytes.next_multiple_of(self.align) + gap + size_of::<Thread>() + 2 * self.align
    }

    /// Lays record and thread-local memory out behind `start`; returns the record.
    ///
    /// # Safety
    ///
    /// `start` is followed by [`Template::block_bytes`] zeroed bytes.
    unsafe fn place(self, start: *mut u8) -> *mut Thread {
        let aligned = start.addr().next_multiple_of(self.align);
        let before = if cfg!(target_arch = "x86_64") {
            self.bytes.next_multiple_of(self.align)
        } else {
            size_of::<Thread>().next_multiple_of(self.align)
        };
        // SAFETY: the caller vouches for the room.
        unsafe {
            let pointer = start.add(aligned - start.addr() + before);
            let (thread, variables) = if cfg!(target_arch = "x86_64") {
                (pointer, pointer.sub(before))
            } else {
                (pointer.sub(size_of::<Thread>()), pointer.add(TCB_BYTES.next_multiple_of(self.align)))
            };
            ptr::copy_nonoverlapping(self.start, variables, self.file_bytes);
            let thread = thread.cast::<Thread>();
            (*thread).this = thread;
            thread
        }
    }
}

/// What the ABI keeps free between the thread pointer and the variables behind it.
const TCB_BYTES: usize = 16;

/// The thread pointer that leads to a record.
fn pointer_to(thread: *mut Thread) -> usize {
    let behind = if cfg!(target_arch = "x86_64") { 0 } else { size_of::<Thread>() };
    thread.addr() + behind
}

/// The record of the thread that asks.
fn current() -> *mut Thread {
    let thread: *mut Thread;
    // SAFETY: the thread pointer was set before anybody could ask.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        core::arch::asm!("mov {}, fs:0", out(reg) thread, options(nostack, pure, readonly));
    }
    // SAFETY: as above.
    #[cfg(target_arch = "aarch64")]
    unsafe {
        let pointer: *mut Thread;
        core::arch::asm!("mrs {}, tpidr_el0", out(reg) pointer, options(nostack, pure, nomem));
        thread = pointer.sub(1);
    }
    thread
}

/// Gives the thread that the process began with its record.
///
/// # Safety
///
/// Called once, before anything touches thread-local memory.
pub(super) unsafe fn adopt_main_thread() {
    let template = Template::of_program();
    let start = heap::map(template.block_bytes());
    if start.is_null() {
        super::call::exit_group(127);
    }
    // SAFETY: the mapping is as long as asked for and zeroed; the thread pointer leads to the record from here on.
    unsafe {
        let thread = template.place(start);
        set_pointer(pointer_to(thread));
        (*thread).id.store(super::system::gettid() as u32, Ordering::Relaxed);
    }
}

/// # Safety
///
/// `pointer` leads to a record.
#[cfg(target_arch = "x86_64")]
unsafe fn set_pointer(pointer: usize) {
    const ARCH_PRCTL: usize = 158;
    const SET_FS: usize = 0x1002;
    // SAFETY: the caller vouches for the pointer. `raw`, for a failure would be kept in thread-local memory.
    unsafe { super::call::raw(ARCH_PRCTL, [SET_FS, pointer, 0, 0, 0, 0]) };
}

/// # Safety
///
/// `pointer` leads to a record.
#[cfg(target_arch = "aarch64")]
unsafe fn set_pointer(pointer: usize) {
    // SAFETY: the caller vouches for the pointer.
    unsafe { core::arch::asm!("msr tpidr_el0, {}", in(reg) pointer, options(nostack)) };
}

unsafe extern "C" {
    /// Starts a thread that calls `run(argument)` on the stack that ends at `stack`. Returns a negative `errno` or zero.
    fn mnc_clone(
        flags: usize,
        stack: *mut u8,
        id: *mut AtomicU32,
        pointer: usize,
        run: unsafe extern "C" fn(*mut c_void) -> !,
        argument: *mut c_void,
    ) -> isize;
}

// The new thread returns from the call of the kernel as well, but on an empty stack: it must not return any further.
#[cfg(target_arch = "x86_64")]
core::arch::global_asm!(
    ".section .text.mnc_clone, \"ax\", @progbits",
    ".globl mnc_clone",
    ".type mnc_clone, @function",
    "mnc_clone:",
    "mov r11, rcx", // pointer
    "mov r10, rdx", // cleared at the end of the thread
    "mov [rsi - 8], r9",
    "mov [rsi - 16], r8",
    "sub rsi, 16",
    "mov r8, r11",
    "mov eax, 56",
    "syscall",
    "test rax, rax",
    "jnz 2f",
    "xor ebp, ebp",
    "pop rax",
    "pop rdi",
    "call rax",
    "ud2",
    "2:",
    "ret",
    ".text",
);
#[cfg(target_arch = "aarch64")]
core::arch::global_asm!(
    ".section .text.mnc_clone, \"ax\", @progbits",
    ".globl mnc_clone",
    ".type mnc_clone, @function",
    "mnc_clone:",
    "stp x4, x5, [x1, #-16]!",
    "mov x4, x2", // cleared at the end of the thread; x3 is the thread pointer already
    "mov x8, #220",
    "svc #0",
    "cbnz x0, 2f",
    "mov x29, xzr",
    "ldp x1, x0, [sp], #16",
    "blr x1",
    "brk #1",
    "2:",
    "ret",
    ".text",
);

/// Of `pthread_attr_t` we use the first word: the size of the stack.
type Attributes = usize;

const STACK_BYTES: usize = 2 << 20;

/// Below a stack, so that its overflow is no other memory's.
const GUARD_BYTES: usize = 64 << 10;

/// # Safety
///
/// `thread` and `attributes` are the caller's, `start` may be called with `argument` on another thread.
#[cfg_attr(mnc_bare, unsafe(no_mangle))]
unsafe extern "C" fn pthread_create(
    thread: *mut usize,
    attributes: *const Attributes,
    start: unsafe extern "C" fn(*mut c_void) -> *mut c_void,
    argument: *mut c_void,
) -> c_int {
    /// Memory, files and signals are shared (`CLONE_VM`, `FS`, `FILES`, `SIGHAND`, `THREAD`, `SYSVSEM`), the thread pointer
    /// is set (`SETTLS`), the number cleared at the end (`CHILD_CLEARTID`).
    const FLAGS: usize = 0x100 | 0x200 | 0x400 | 0x800 | 0x1_0000 | 0x4_0000 | 0x8_0000 | 0x20_0000;
    // SAFETY: the caller vouches for the attributes.
    let wanted = if attributes.is_null() { 0 } else { unsafe { *attributes } };
    let stack_bytes = if wanted == 0 { STACK_BYTES } else { wanted }.next_multiple_of(GUARD_BYTES);
    let template = Template::of_program();
    let bytes = GUARD_BYTES + stack_bytes + template.block_bytes();
    let mapping = heap::map(bytes);
    if mapping.is_null() {
        return OUT_OF_MEMORY;
    }
    // SAFETY: the mapping holds guard, stack and block in this order, and belongs to the new thread alone.
    unsafe {
        let _ = call(number::MPROTECT, [mapping.addr(), GUARD_BYTES, 0]);
        let stack = mapping.add(GUARD_BYTES + stack_bytes);
        let record = template.place(stack);
        (*record).start = Some(start);
        (*record).argument = argument;
        (*record).mapping = mapping;
        (*record).mapping_bytes = bytes;
        (*record).id.store(u32::MAX, Ordering::Relaxed);
        *thread = record.addr();
        let id = &raw mut (*record).id;
        let result = mnc_clone(FLAGS, stack, id, pointer_to(record), run, record.cast());
        if result < 0 {
            heap::unmap(mapping, bytes);
            return -result as c_int;
        }
    }
    0
}

/// The life of a thread.
///
/// # Safety
///
/// `record` is the record of the thread that calls.
unsafe extern "C" fn run(record: *mut c_void) -> ! {
    // SAFETY: the caller vouches for the record; whoever joins waits for the end of the thread.
    unsafe {
        let record = record.cast::<Thread>();
        let start = (*record).start.expect("a thread is created with a start");
        (*record).result = start((*record).argument);
        end_values(&(*record).values);
        loop {
            super::call::raw(number::EXIT, [0; 6]);
        }
    }
}

/// # Safety
///
/// `thread` is from `pthread_create`, neither joined nor detached before; `result` is null or may be written.
#[cfg_attr(mnc_bare, unsafe(no_mangle))]
unsafe extern "C" fn pthread_join(thread: usize, result: *mut *mut c_void) -> c_int {
    const WAIT: usize = 0;
    let record = thread as *mut Thread;
    // SAFETY: the caller vouches for the thread, whose record stays until here; afterwards it is nobody's.
    unsafe {
        loop {
            let id = (*record).id.load(Ordering::Acquire);
            if id == 0 {
                break;
            }
            let _ = call(number::FUTEX, [(&raw const (*record).id).addr(), WAIT, id as usize, 0]);
        }
        if !result.is_null() {
            *result = (*record).result;
        }
        heap::unmap((*record).mapping, (*record).mapping_bytes);
    }
    0
}

/// The memory of a detached thread is kept: a launcher ends soon after its threads.
#[cfg_attr(mnc_bare, unsafe(no_mangle))]
extern "C" fn pthread_detach(_: usize) -> c_int {
    0
}

#[cfg_attr(mnc_bare, unsafe(no_mangle))]
extern "C" fn pthread_self() -> usize {
    current().addr()
}

#[cfg_attr(mnc_bare, unsafe(no_mangle))]
extern "C" fn pthread_setname_np(_: usize, _: *const c_char) -> c_int {
    0
}

/// # Safety
///
/// `attributes` may be written.
#[cfg_attr(mnc_bare, unsafe(no_mangle))]
unsafe extern "C" fn pthread_attr_init(attributes: *mut Attributes) -> c_int {
    // SAFETY: the caller vouches for the pointer.
    unsafe { *attributes = 0 };
    0
}

/// # Safety
///
/// `attributes` may be written.
#[cfg_attr(mnc_bare, unsafe(no_mangle))]
unsafe extern "C" fn pthread_attr_setstacksize(attributes: *mut Attributes, bytes: usize) -> c_int {
    // SAFETY: the caller vouches for the pointer.
    unsafe { *attributes = bytes };
    0
}

#[cfg_attr(mnc_bare, unsafe(no_mangle))]
extern "C" fn pthread_attr_destroy(_: *mut Attributes) -> c_int {
    0
}

type Destructor = unsafe extern "C" fn(*mut c_void);

/// Destructors by key, as addresses; zero for a key without one.
static DESTRUCTORS: [AtomicUsize; N_KEYS] = [const { AtomicUsize::new(0) }; N_KEYS];
static NEXT_KEY: AtomicU32 = AtomicU32::new(0);

/// # Safety
///
/// `key` may be written.
#[cfg_attr(mnc_bare, unsafe(no_mangle))]
unsafe extern "C" fn pthread_key_create(key: *mut u32, destructor: Option<Destructor>) -> c_int {
    /// `EAGAIN`.
    const NO_MORE: c_int = 11;
    let next = NEXT_KEY.fetch_add(1, Ordering::Relaxed);
    let Some(slot) = DESTRUCTORS.get(next as usize) else { return NO_MORE };
    slot.store(destructor.map_or(0, |destructor| destructor as usize), Ordering::Release);
    // SAFETY: the caller vouches for the pointer.
    unsafe { *key = next };
    0
}

/// The values of the thread that asks.
fn values<'a>() -> &'a [Cell<*mut c_void>; N_KEYS] {
    // SAFETY: the record of a thread lives as long as the thread, and is nobody else's while it runs.
    unsafe { &(*current()).values }
}

/// A key is not used again.
#[cfg_attr(mnc_bare, unsafe(no_mangle))]
extern "C" fn pthread_key_delete(key: u32) -> c_int {
    if let Some(slot) = DESTRUCTORS.get(key as usize) {
        slot.store(0, Ordering::Release);
    }
    0
}

#[cfg_attr(mnc_bare, unsafe(no_mangle))]
extern "C" fn pthread_getspecific(key: u32) -> *mut c_void {
    values().get(key as usize).map_or(null_mut(), Cell::get)
}

#[cfg_attr(mnc_bare, unsafe(no_mangle))]
extern "C" fn pthread_setspecific(key: u32, value: *mut c_void) -> c_int {
    match values().get(key as usize) {
        Some(slot) => {
            slot.set(value);
            0
        }
        None => super::call::INVALID,
    }
}

/// Calls the destructors of a thread's values, of which some set values again.
fn end_values(values: &[Cell<*mut c_void>; N_KEYS]) {
    const N_ROUNDS: usize = 4;
    for _ in 0..N_ROUNDS {
        for (value, destructor) in values.iter().zip(&DESTRUCTORS) {
            let (value, destructor) = (value.replace(null_mut()), destructor.load(Ordering::Acquire));
            if !value.is_null() && destructor != 0 {
                // SAFETY: the key was created with this destructor for such values.
                unsafe { core::mem::transmute::<usize, Destructor>(destructor)(value) };
            }
        }
    }
}
