//! x86-64 machine code as text, with the headings of the kernel between the instructions.

use std::fmt::Write as _;

use iced_x86::{Decoder, DecoderOptions, Formatter, IntelFormatter};

use super::Kernel;

/// The kernel's instructions in Intel syntax, one a line, offsets from its start.
pub(crate) fn listing(kernel: &Kernel) -> String {
    let mut formatter = IntelFormatter::new();
    formatter.options_mut().set_hex_prefix("0x");
    formatter.options_mut().set_hex_suffix("");
    formatter.options_mut().set_space_after_operand_separator(true);
    let mut headings = kernel.headings.iter().peekable();
    let mut text = String::new();
    for instruction in &mut Decoder::new(64, &kernel.bytes, DecoderOptions::NONE) {
        let offset = instruction.ip();
        while let Some((_, heading)) = headings.next_if(|(at, _)| *at as u64 <= offset) {
            writeln!(text, "  ; {heading}").expect("a String takes every write");
        }
        let mut line = String::new();
        formatter.format(&instruction, &mut line);
        writeln!(text, "  {offset:5x}: {line}").expect("a String takes every write");
    }
    text
}
