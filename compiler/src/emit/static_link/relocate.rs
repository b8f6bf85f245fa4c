//! Relocations -> bytes: each kind that our objects have, by the formulas of the two architectures' ELF supplements.
//!
//! S is the address of the symbol, A the addend, P the address that is patched, G that of the symbol's slot.

use std::collections::BTreeSet;

use object::{ObjectSection, Relocation, RelocationFlags, elf};

use super::inputs::{Inputs, Place, SectionId, name};
use super::layout::Layout;
use super::{Machine, fault};
use crate::error::{self, Faults, Result};

/// A relocation kind that we know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rule {
    value: Value,
    field: Field,
}

/// What is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Value {
    /// S + A
    Absolute,
    /// S + A - P
    Relative,
    /// G + A - P
    SlotRelative,
    /// Page(S + A) - Page(P)
    Page,
    /// G
    Slot,
    /// Page(G) - Page(P)
    SlotPage,
    /// S + A as an offset from the thread pointer
    Thread,
}

impl Value {
    fn needs_slot(self) -> bool {
        match self {
            Value::SlotRelative | Value::Slot | Value::SlotPage => true,
            Value::Absolute | Value::Relative | Value::Page | Value::Thread => false,
        }
    }
}

/// How it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    /// A word of so many bytes that holds the value without a sign, with one, or either way.
    Word64,
    Unsigned32,
    Signed32,
    Either32,
    /// The immediate of `adr` or `adrp`, 21 bits, so many low bits dropped.
    Adr(u32),
    /// The 12-bit immediate of `add`, `ldr` or `str`: bits from so many on, without a check for more.
    Low12(u32),
    /// Bits 12 to 23 in the immediate of `add`.
    High12,
    /// A branch's distance in words: so many bits, from bit so many on.
    Branch(u32, u32),
}

fn rule(machine: Machine, kind: u32) -> Option<Rule> {
    let (value, field) = match machine {
        Machine::X86_64 => match kind {
            elf::R_X86_64_64 => (Value::Absolute, Field::Word64),
            elf::R_X86_64_32 => (Value::Absolute, Field::Unsigned32),
            elf::R_X86_64_32S => (Value::Absolute, Field::Signed32),
            elf::R_X86_64_PC32 | elf::R_X86_64_PLT32 => (Value::Relative, Field::Signed32),
            elf::R_X86_64_PC64 => (Value::Relative, Field::Word64),
            elf::R_X86_64_GOTPCREL | elf::R_X86_64_GOTPCRELX | elf::R_X86_64_REX_GOTPCRELX => {
                (Value::SlotRelative, Field::Signed32)
            }
            elf::R_X86_64_TPOFF32 => (Value::Thread, Field::Signed32),
            elf::R_X86_64_TPOFF64 => (Value::Thread, Field::Word64),
            _ => return None,
        },
        Machine::Aarch64 => match kind {
            elf::R_AARCH64_ABS64 => (Value::Absolute, Field::Word64),
            elf::R_AARCH64_ABS32 => (Value::Absolute, Field::Either32),
            elf::R_AARCH64_PREL64 => (Value::Relative, Field::Word64),
            elf::R_AARCH64_PREL32 => (Value::Relative, Field::Signed32),
            elf::R_AARCH64_ADR_PREL_LO21 => (Value::Relative, Field::Adr(0)),
            elf::R_AARCH64_ADR_PREL_PG_HI21 => (Value::Page, Field::Adr(12)),
            elf::R_AARCH64_ADD_ABS_LO12_NC | elf::R_AARCH64_LDST8_ABS_LO12_NC => {
                (Value::Absolute, Field::Low12(0))
            }
            elf::R_AARCH64_LDST16_ABS_LO12_NC => (Value::Absolute, Field::Low12(1)),
            elf::R_AARCH64_LDST32_ABS_LO12_NC => (Value::Absolute, Field::Low12(2)),
            elf::R_AARCH64_LDST64_ABS_LO12_NC => (Value::Absolute, Field::Low12(3)),
            elf::R_AARCH64_LDST128_ABS_LO12_NC => (Value::Absolute, Field::Low12(4)),
            elf::R_AARCH64_CALL26 | elf::R_AARCH64_JUMP26 => (Value::Relative, Field::Branch(26, 0)),
            elf::R_AARCH64_CONDBR19 => (Value::Relative, Field::Branch(19, 5)),
            elf::R_AARCH64_TSTBR14 => (Value::Relative, Field::Branch(14, 5)),
            elf::R_AARCH64_ADR_GOT_PAGE => (Value::SlotPage, Field::Adr(12)),
            elf::R_AARCH64_LD64_GOT_LO12_NC => (Value::Slot, Field::Low12(3)),
            elf::R_AARCH64_TLSLE_ADD_TPREL_HI12 => (Value::Thread, Field::High12),
            elf::R_AARCH64_TLSLE_ADD_TPREL_LO12 | elf::R_AARCH64_TLSLE_ADD_TPREL_LO12_NC => {
                (Value::Thread, Field::Low12(0))
            }
            _ => return None,
        },
    };
    Some(Rule { value, field })
}

fn kind(relocation: &Relocation) -> u32 {
    match relocation.flags() {
        RelocationFlags::Elf { r_type } => r_type,
        _ => unreachable!("the objects are ELF files"),
    }
}

/// The places whose addresses these sections look up in slots, each once.
pub(super) fn slots(inputs: &Inputs<'_>, sections: &BTreeSet<SectionId>) -> Vec<Place> {
    let mut places = Vec::new();
    for id in sections {
        for (_, relocation) in inputs.section(*id).relocations() {
            let needs = rule(inputs.machine, kind(&relocation)).is_some_and(|rule| rule.value.needs_slot());
            let place = inputs.target(id.file, &relocation).ok().filter(|_| needs);
            places.extend(place.filter(|place| !places.contains(place)));
        }
    }
    places
}

/// The words of a section that hold an address in the program, by their distance from its start; they are what a program that is
/// loaded anywhere has to correct.
pub(super) fn words(inputs: &Inputs<'_>, id: SectionId) -> Vec<u64> {
    let relocations = inputs.section(id).relocations();
    let is_word = |relocation: &Relocation| {
        let rule = rule(inputs.machine, kind(relocation));
        let place = || inputs.target(id.file, relocation);
        rule == Some(Rule { value: Value::Absolute, field: Field::Word64 })
            && matches!(place(), Ok(Place::Section(..)))
    };
    relocations.filter(|(_, relocation)| is_word(relocation)).map(|(offset, _)| offset).collect()
}

/// What can't be known before the program is loaded: an address in less than a word, or the distance to nothing.
fn needs_fixed_address(rule: Rule, target: Place) -> bool {
    match (rule.value, rule.field) {
        (Value::Absolute, Field::Unsigned32 | Field::Signed32 | Field::Either32) => {
            matches!(target, Place::Section(..))
        }
        (Value::Relative | Value::Page, _) => !matches!(target, Place::Section(..)),
        _ => false,
    }
}

/// Resolves a section's relocations in the image.
pub(super) fn section(
    inputs: &Inputs<'_>,
    layout: &Layout,
    id: SectionId,
    image: &mut [u8],
    faults: &mut Faults,
) -> Result<()> {
    let spot = layout.spot(id);
    let section = inputs.section(id);
    let Some(start) = spot.file_offset else { return Ok(()) };
    for (offset, relocation) in section.relocations() {
        let place = format!("{}, byte {offset} of its section {}", name(id.file), id.index);
        let kind = kind(&relocation);
        let Some(rule) = rule(inputs.machine, kind) else {
            faults.push(
                error::Place::named(place),
                format!("relocation of type {kind}, which this linker doesn't know"),
            );
            continue;
        };
        let target =
            inputs.target(id.file, &relocation).expect("the sections that are kept have no missing symbols");
        // A call of a weak function that nobody defines never happens: the code asks first. The ELF supplement of aarch64 makes
        // it go to the next instruction.
        let is_idle = matches!(rule.field, Field::Branch(..)) && target == Place::Nothing;
        if !is_idle && needs_fixed_address(rule, target) {
            faults.push(
                error::Place::named(place),
                format!("relocation of type {kind} needs a program at a fixed address"),
            );
            continue;
        }
        let at = start + offset as usize;
        let room = if rule.field == Field::Word64 { 8 } else { 4 };
        let Some(bytes) = image.get_mut(at..at + room).filter(|_| offset + room as u64 <= section.size())
        else {
            return Err(fault(place, "relocation behind the end of the section"));
        };
        let address = spot.address + offset;
        let value = match is_idle {
            true => 4,
            false => value(inputs.machine, layout, rule.value, (target, relocation.addend()), address),
        };
        if store(rule.field, value, bytes).is_none() {
            faults.push(
                error::Place::named(place),
                format!("a value of {value:#x} doesn't fit a relocation of type {kind}"),
            );
        }
    }
    Ok(())
}

const PAGE: i64 = 4096;

fn value(machine: Machine, layout: &Layout, value: Value, (target, addend): (Place, i64), p: u64) -> i64 {
    let s_plus_a = || (layout.address(target) as i64).wrapping_add(addend);
    let p = p as i64;
    let g = || layout.slot(target) as i64;
    match value {
        Value::Absolute => s_plus_a(),
        Value::Relative => s_plus_a().wrapping_sub(p),
        Value::SlotRelative => g() + addend - p,
        Value::Page => (s_plus_a() & -PAGE).wrapping_sub(p & -PAGE),
        Value::Slot => g(),
        Value::SlotPage => (g() & -PAGE) - (p & -PAGE),
        Value::Thread => {
            let (bytes, align) = layout.thread_memory();
            let offset = layout.thread_offset(s_plus_a() as u64) as i64;
            match machine {
                // The variables end at the thread pointer.
                Machine::X86_64 => offset - bytes.next_multiple_of(align) as i64,
                // They begin behind the two words at the thread pointer.
                Machine::Aarch64 => offset + 16u64.next_multiple_of(align) as i64,
            }
        }
    }
}

/// Puts a value into its field; `None` if it doesn't fit.
fn store(field: Field, value: i64, bytes: &mut [u8]) -> Option<()> {
    let word = u32::from_le_bytes(bytes[..4].try_into().expect("a relocation has four bytes at least"));
    let fits = |bits: u32| (-(1i64 << (bits - 1))..1i64 << (bits - 1)).contains(&value);
    let word = match field {
        Field::Word64 => {
            bytes.copy_from_slice(&value.to_le_bytes());
            return Some(());
        }
        Field::Unsigned32 => u32::try_from(value).ok()?,
        Field::Signed32 => i32::try_from(value).ok()? as u32,
        Field::Either32 => (-(1i64 << 31)..1i64 << 32).contains(&value).then_some(value as u32)?,
        Field::Adr(shift) => {
            let immediate = (value >> shift) as u32;
            fits(21 + shift)
                .then_some(word & !0x60ff_ffe0 | (immediate & 3) << 29 | (immediate >> 2 & 0x7_ffff) << 5)?
        }
        Field::Low12(shift) => {
            let is_aligned = value & ((1 << shift) - 1) == 0;
            is_aligned.then_some(word & !(0xfff << 10) | ((value & 0xfff) as u32 >> shift) << 10)?
        }
        Field::High12 => (0..1i64 << 24)
            .contains(&value)
            .then_some(word & !(0xfff << 10) | ((value >> 12) as u32) << 10)?,
        Field::Branch(bits, at) => {
            let mask = (1u32 << bits) - 1;
            let distance = (value >> 2) as u32 & mask;
            (fits(bits + 2) && value % 4 == 0).then_some(word & !(mask << at) | distance << at)?
        }
    };
    bytes.copy_from_slice(&word.to_le_bytes());
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(field: Field, word: u32, value: i64, expected: Option<u32>) {
        let mut bytes = word.to_le_bytes();
        let stored = store(field, value, &mut bytes).map(|()| u32::from_le_bytes(bytes));
        assert_eq!(stored, expected, "{field:?} of {value:#x}");
    }

    /// Against the encodings that an assembler gives.
    #[test]
    fn fields_of_instructions() {
        check(Field::Branch(26, 0), 0x9400_0000, 8, Some(0x9400_0002)); // bl .+8
        check(Field::Branch(26, 0), 0x9400_0000, -4, Some(0x97ff_ffff)); // bl .-4
        check(Field::Branch(26, 0), 0x9400_0000, 1 << 27, None);
        check(Field::Branch(26, 0), 0x9400_0000, 2, None);
        check(Field::Branch(19, 5), 0x5400_0000, 16, Some(0x5400_0080)); // b.eq .+16
        check(Field::Adr(12), 0x9000_0000, 0x1000, Some(0xb000_0000)); // adrp x0, one page on
        check(Field::Adr(12), 0x9000_0000, -0x1000, Some(0xf0ff_ffe0));
        check(Field::Adr(12), 0x9000_0000, 1 << 32, None);
        check(Field::Low12(0), 0x9100_0000, 0x1234, Some(0x9108_d000)); // add x0, x0, #0x234
        check(Field::Low12(3), 0xf940_0000, 0x1238, Some(0xf941_1c00)); // ldr x0, [x0, #0x238]
        check(Field::Low12(3), 0xf940_0000, 0x1234, None);
        check(Field::High12, 0x9140_0000, 0x5010, Some(0x9140_1400)); // add x0, x0, #5, lsl #12
        check(Field::High12, 0x9140_0000, -1, None);
    }

    #[test]
    fn words_have_limits() {
        check(Field::Signed32, 0, -1, Some(u32::MAX));
        check(Field::Signed32, 0, 1 << 31, None);
        check(Field::Unsigned32, 0, 1 << 31, Some(1 << 31));
        check(Field::Unsigned32, 0, -1, None);
        check(Field::Either32, 0, (1 << 32) - 1, Some(u32::MAX));
        check(Field::Either32, 0, 1 << 32, None);
    }
}
