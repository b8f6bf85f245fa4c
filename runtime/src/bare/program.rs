//! Where the kernel says that the program's headers lie, and what one of them has.

/// `AT_PHDR` and `AT_PHNUM` of the auxiliary vector.
pub(super) const HEADERS: usize = 3;
pub(super) const N_HEADERS: usize = 5;

/// `PT_PHDR`: the headers themselves, from which follows where the program is.
pub(super) const THEMSELVES: u32 = 6;

/// Elf64_Phdr.
#[repr(C)]
pub(super) struct Header {
    pub(super) kind: u32,
    flags: u32,
    offset: u64,
    pub(super) address: u64,
    physical: u64,
    pub(super) file_bytes: u64,
    pub(super) bytes: u64,
    pub(super) align: u64,
}
