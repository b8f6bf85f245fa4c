//! The functions in assembly, under names of ours, against what Rust does.

use core::ffi::{c_int, c_void};

unsafe extern "C" {
    #[link_name = "mnc_bare_memcpy"]
    fn memcpy(to: *mut c_void, from: *const c_void, bytes: usize) -> *mut c_void;
    #[link_name = "mnc_bare_memmove"]
    fn memmove(to: *mut c_void, from: *const c_void, bytes: usize) -> *mut c_void;
    #[link_name = "mnc_bare_memset"]
    fn memset(to: *mut c_void, value: c_int, bytes: usize) -> *mut c_void;
    #[link_name = "mnc_bare_memcmp"]
    fn memcmp(a: *const c_void, b: *const c_void, bytes: usize) -> c_int;
    #[link_name = "mnc_bare_strlen"]
    fn strlen(text: *const c_void) -> usize;
}

/// Every short length, and those around a step of a loop.
fn lengths() -> impl Iterator<Item = usize> {
    (0..=64).chain([65, 79, 80, 81, 127, 128, 129, 255, 256, 1000, 4095, 4096, 4097, 70_000])
}

/// Bytes of which none is like its neighbours.
fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|idx| (idx * 167 + idx / 256 * 13 + 1) as u8).collect()
}

#[test]
fn copies_that_are_apart() {
    for len in lengths() {
        for (from, to) in [(0, 0), (1, 0), (0, 1), (3, 9), (15, 8)] {
            let source = pattern(from + len + 16);
            for copy in [memcpy, memmove] {
                let mut found = vec![0xee; to + len + 16];
                let mut expected = found.clone();
                expected[to..to + len].copy_from_slice(&source[from..from + len]);
                let start = found[to..].as_mut_ptr().cast();
                // SAFETY: both slices are longer than that.
                assert_eq!(unsafe { copy(start, source[from..].as_ptr().cast(), len) }, start);
                assert!(found == expected, "{len} bytes from {from} to {to}");
            }
        }
    }
}

#[test]
fn moves_that_overlap_in_both_directions() {
    let distances = (0..=33).chain([47, 48, 49, 63, 64, 65, 1000]);
    for distance in distances {
        for len in lengths() {
            for (from, to) in [(8, 8 + distance), (8 + distance, 8)] {
                let mut found = pattern(len + distance + 24);
                let mut expected = found.clone();
                expected.copy_within(from..from + len, to);
                let memory = found.as_mut_ptr();
                // SAFETY: the memory is longer than both pieces.
                unsafe {
                    let start = memory.add(to).cast();
                    assert_eq!(memmove(start, memory.add(from).cast(), len), start);
                }
                assert!(found == expected, "{len} bytes from {from} to {to}");
            }
        }
    }
}

#[test]
fn memory_is_filled() {
    for len in lengths() {
        // C takes a whole number of which the lowest byte counts.
        for value in [0, 1, 0x7f, 0xff, 0x1234_5680, -1] {
            let mut found = vec![0x33; len + 9];
            let start = found[4..].as_mut_ptr().cast();
            // SAFETY: the memory is longer than that.
            assert_eq!(unsafe { memset(start, value, len) }, start);
            let mut expected = vec![0x33; len + 9];
            expected[4..4 + len].fill(value as u8);
            assert!(found == expected, "{len} bytes of {value}");
        }
    }
}

#[test]
fn comparisons_have_a_sign() {
    for len in lengths().filter(|len| *len < 300) {
        let a = pattern(len + 1);
        // SAFETY: both slices are as long as that.
        let compare =
            |a: &[u8], b: &[u8]| unsafe { memcmp(a.as_ptr().cast(), b.as_ptr().cast(), len) }.signum();
        let mut other = a.clone();
        other[len] ^= 1;
        assert_eq!(compare(&a, &other), 0, "what follows doesn't count");
        for at in 0..len {
            for byte in [0, 0x7f, 0x80, 0xff] {
                let mut b = a.clone();
                b[at] = byte;
                assert_eq!(compare(&a, &b), a.cmp(&b) as c_int, "byte {at} of {len}");
            }
        }
    }
}

#[test]
fn texts_end_at_zero() {
    for len in lengths() {
        let mut text = vec![0xffu8; len + 3];
        text[len] = 0;
        // SAFETY: the text ends.
        assert_eq!(unsafe { strlen(text.as_ptr().cast()) }, len);
    }
}
