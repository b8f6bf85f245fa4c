//! The first work of a program: the kernel has loaded it anywhere, and words that hold addresses know only their distance from
//! its start.
//!
//! Nothing here may look at such a word before it is corrected: no table of functions, no string of a message.

use super::call::{number, raw};
use super::program::{HEADERS, Header, N_HEADERS, THEMSELVES};

/// `PT_DYNAMIC` and `PT_GNU_RELRO`.
const DYNAMIC: u32 = 2;
const PROTECTED: u32 = 0x6474_e552;

/// `DT_RELR` and `DT_RELRSZ`.
const TABLE: usize = 36;
const TABLE_BYTES: usize = 35;

/// Corrects the words that hold addresses, then takes away the right to write to them.
///
/// # Safety
///
/// Called once, before anything else, with the environment that the kernel left, which the auxiliary vector follows.
pub(super) unsafe fn this_program(environment: *const usize) {
    const PAGE_BYTES: usize = 6;
    let (mut headers, mut n_headers, mut page) = (core::ptr::null::<Header>(), 0, 4096);
    // SAFETY: the environment ends with a null, the vector behind it with a pair of kind zero.
    unsafe {
        let mut word = environment;
        while *word != 0 {
            word = word.add(1);
        }
        word = word.add(1);
        while *word != 0 {
            match *word {
                HEADERS => headers = *word.add(1) as *const Header,
                N_HEADERS => n_headers = *word.add(1),
                PAGE_BYTES => page = *word.add(1),
                _ => {}
            }
            word = word.add(2);
        }
    }
    let (mut base, mut table, mut table_bytes, mut protected) = (0usize, 0, 0, (0, 0));
    let mut at = 0;
    while at < n_headers {
        // SAFETY: the kernel says where the headers lie and how many there are. Our linker puts that of themselves first.
        unsafe {
            let header = headers.add(at);
            let address = (*header).address as usize;
            match (*header).kind {
                THEMSELVES => base = (headers as usize).wrapping_sub(address),
                DYNAMIC => {
                    let mut pair = base.wrapping_add(address) as *const usize;
                    while *pair != 0 {
                        match *pair {
                            TABLE => table = *pair.add(1),
                            TABLE_BYTES => table_bytes = *pair.add(1),
                            _ => {}
                        }
                        pair = pair.add(2);
                    }
                }
                PROTECTED => protected = (address, (*header).bytes as usize),
                _ => {}
            }
        }
        at += 1;
    }
    // SAFETY: the linker made the table, of words in this program that are writable still.
    unsafe { correct(base, base.wrapping_add(table) as *const usize, table_bytes / size_of::<usize>()) };
    let (address, bytes) = protected;
    let start = base.wrapping_add(address) & !(page - 1);
    let end = base.wrapping_add(address).wrapping_add(bytes);
    // SAFETY: the segment has its pages for itself. `raw`, for a failure would be kept in thread-local memory, which isn't there
    // yet; should there be one, the words stay writable.
    unsafe { raw(number::MPROTECT, [start, end.wrapping_sub(start), 1, 0, 0, 0]) };
}

/// Adds the program's start to every word that the table names.
///
/// # Safety
///
/// The table has so many words, as `DT_RELR` has them, and speaks of words that may be written.
unsafe fn correct(base: usize, table: *const usize, n_words: usize) {
    let mut next = core::ptr::null_mut::<usize>();
    let mut at = 0;
    while at < n_words {
        // SAFETY: the caller vouches for the table.
        unsafe {
            let word = *table.add(at);
            if word & 1 == 0 {
                next = base.wrapping_add(word) as *mut usize;
                *next = (*next).wrapping_add(base);
                next = next.add(1);
            } else {
                let mut bits = word >> 1;
                let mut place = next;
                while bits != 0 {
                    if bits & 1 == 1 {
                        *place = (*place).wrapping_add(base);
                    }
                    bits >>= 1;
                    place = place.wrapping_add(1);
                }
                next = next.wrapping_add(usize::BITS as usize - 1);
            }
        }
        at += 1;
    }
}
