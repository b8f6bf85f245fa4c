//! Relocatable objects -> static executable of Linux, by our own linker: no system linker, no C library, no files.
//!
//! It takes ELF objects for x86-64 or aarch64 that were compiled for any address, keeps the sections that the entry
//! reaches, gives each an address, and resolves what the sections say of each other. The kernel loads the program at an
//! address of its own choice; words that hold addresses are listed in a table, from which the program's first instructions
//! correct them, and lie where nothing can be written after that. What an ordinary linker does beyond that (shared libraries, archives, constructors, debug information, relaxation) isn't needed for the launcher
//! and a network, and isn't here: an object that asks for it is refused.

mod inputs;
mod layout;
mod relative;
mod relocate;

use object::elf;

use crate::error::{self, Error, ErrorKind, Faults, Result};
use inputs::Inputs;
use layout::Layout;

/// Links objects to an executable that begins at the symbol `entry`.
///
/// The same objects in the same order give the same bytes.
///
/// # Errors
/// Objects that aren't ELF files of one architecture that we know, symbols that nobody defines or that two define, and
/// relocations that we don't know or that don't reach.
pub fn link(objects: &[&[u8]], entry: &str) -> Result<Vec<u8>> {
    let inputs = Inputs::parse(objects)?;
    let reached = inputs.reach(entry)?;
    let layout = Layout::new(&inputs, &reached)?;
    let mut image = layout.image(&inputs, inputs.entry(entry)?)?;
    let mut faults = Faults::new(ErrorKind::Emit);
    for section in layout.sections() {
        relocate::section(&inputs, &layout, section, &mut image, &mut faults)?;
    }
    faults.propagate()?;
    Ok(image)
}

/// The architectures that we link for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Machine {
    X86_64,
    Aarch64,
}

impl Machine {
    fn of(machine: u16) -> Option<Machine> {
        match machine {
            elf::EM_X86_64 => Some(Machine::X86_64),
            elf::EM_AARCH64 => Some(Machine::Aarch64),
            _ => None,
        }
    }

    fn number(self) -> u16 {
        match self {
            Machine::X86_64 => elf::EM_X86_64,
            Machine::Aarch64 => elf::EM_AARCH64,
        }
    }

    /// The largest page of a kernel for this architecture: what segments are kept apart by.
    fn page(self) -> u64 {
        match self {
            Machine::X86_64 => 4 << 10,
            Machine::Aarch64 => 64 << 10,
        }
    }
}

fn fault(place: impl Into<String>, detail: impl Into<String>) -> Error {
    Error::new(ErrorKind::Emit, error::Place::named(place), detail)
}

#[cfg(test)]
mod tests;
