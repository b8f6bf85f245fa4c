//! Text for people: colours, thousands, tables.

use std::fmt::Display;
use std::io::{IsTerminal, Write};

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

/// Red and bold, on a terminal whose user doesn't object (no-color.org).
pub(super) fn red(text: &str) -> String {
    let objects = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    if std::io::stderr().is_terminal() && !objects {
        format!("\x1b[1;31m{text}\x1b[0m")
    } else {
        text.to_owned()
    }
}

/// Writes to standard error. Nobody may be reading it any more, which changes nothing of the work.
pub(super) fn tell(text: impl Display) {
    let _ = write!(std::io::stderr(), "{text}");
}

/// `4231976` as `4,231,976`.
pub(super) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (idx, digit) in digits.chars().enumerate() {
        if 0 < idx && (digits.len() - idx).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Bytes to three digits or so: `912 B`, `16.9 MB`.
pub(super) fn size(bytes: u64) -> String {
    let mut scaled = bytes as f64;
    if scaled < 1000.0 {
        return format!("{bytes} B");
    }
    let mut unit = "";
    for next in ["kB", "MB", "GB"] {
        if scaled < 1000.0 {
            break;
        }
        (scaled, unit) = (scaled / 1000.0, next);
    }
    if scaled < 100.0 { format!("{scaled:.1} {unit}") } else { format!("{scaled:.0} {unit}") }
}

/// One number where all are the same; no more digits than matter.
pub(super) fn numbers(numbers: &[f64]) -> String {
    let texts: Vec<String> =
        numbers.iter().map(|number| ((number * 1e4).round() / 1e4).to_string()).collect();
    match texts.as_slice() {
        [first, others @ ..] if others.iter().all(|other| other == first) => first.clone(),
        texts => texts.join(", "),
    }
}

/// How many columns a terminal has. Where text goes elsewhere it is as wide as it is, unless the user says `COLUMNS`.
fn columns(stream: &(impl IsTerminal + Stream)) -> Option<usize> {
    if stream.is_terminal() {
        return stream.columns();
    }
    std::env::var("COLUMNS").ok()?.parse().ok().filter(|columns| 0 < *columns)
}

/// What may be a terminal.
#[cfg(unix)]
trait Stream: std::os::fd::AsFd {
    fn columns(&self) -> Option<usize> {
        let size = rustix::termios::tcgetwinsize(self).ok()?;
        Some(usize::from(size.ws_col)).filter(|columns| 0 < *columns)
    }
}

/// What may be a terminal.
#[cfg(not(unix))]
trait Stream {
    fn columns(&self) -> Option<usize> {
        None
    }
}

impl Stream for std::io::Stdout {}
impl Stream for std::io::Stderr {}

/// A table without lines, for standard output. A heading that begins with `>` aligns its column to the right. Where it would be wider
/// than the terminal, each row becomes a card.
pub(super) fn table(headings: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let rows: Vec<Vec<String>> = rows.into_iter().collect();
    let text = lined(headings, &rows);
    match columns(&std::io::stdout()) {
        Some(columns) if text.lines().any(|line| columns < line.chars().count()) => {
            folded(&cards(headings, &rows), columns)
        }
        Some(_) | None => text,
    }
}

fn lined(headings: &[&str], rows: &[Vec<String>]) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(headings.iter().map(|heading| heading.trim_start_matches('>')));
    rows.iter().for_each(|row| {
        table.add_row(row);
    });
    for (idx, heading) in headings.iter().enumerate() {
        let column = table.column_mut(idx).expect("a column per heading");
        column.set_padding((0, 2));
        if heading.starts_with('>') {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let mut text: String = table.lines().map(|line| format!("{}\n", line.trim_end())).collect();
    text.shrink_to_fit();
    text
}

/// A card for each row: the first cell, and below it the others that hold something, each behind its heading.
fn cards(headings: &[&str], rows: &[Vec<String>]) -> String {
    let headings: Vec<&str> = headings.iter().map(|heading| heading.trim_start_matches('>').trim()).collect();
    let width = headings.iter().skip(1).map(|heading| heading.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for row in rows {
        let mut cells = headings.iter().zip(row).filter(|(_, cell)| !cell.trim().is_empty());
        if let Some((heading, cell)) = cells.next() {
            text += &format!("{}\n", format!("{heading} {}", cell.trim()).trim_start());
        }
        for (heading, cell) in cells {
            text += &format!("  {heading:<width$}  {}\n", cell.trim());
        }
    }
    text
}

/// Lines for standard output; those that are wider than the terminal go on below, between words.
pub(super) fn fold(text: &str) -> String {
    columns(&std::io::stdout()).map_or_else(|| text.to_owned(), |columns| folded(text, columns))
}

/// The same for standard error.
pub(super) fn fold_error(text: &str) -> String {
    columns(&std::io::stderr()).map_or_else(|| text.to_owned(), |columns| folded(text, columns))
}

/// Goes on two columns to the right of a line's start, or below its value: behind the first gap of two columns or more.
fn folded(text: &str, columns: usize) -> String {
    let mut folded = String::new();
    for line in text.lines() {
        let start = line.chars().take_while(|c| *c == ' ').count();
        let chars: Vec<char> = line.chars().collect();
        let gap = (start..chars.len().saturating_sub(1)).find(|at| chars[*at..*at + 2] == [' ', ' ']);
        let value = gap.and_then(|gap| (gap..chars.len()).find(|at| chars[*at] != ' '));
        let indent = value.filter(|value| value * 2 <= columns).unwrap_or(start + 2);
        let mut rest: &[char] = &chars;
        let mut before = 0;
        while columns < before + rest.len() {
            let room = columns.saturating_sub(before);
            // A word that is longer than a line stays whole.
            let is_break = |at: &usize| rest[*at] == ' ' && rest[..*at].iter().any(|c| *c != ' ');
            let first = if before == 0 { value.unwrap_or(0) } else { 0 };
            let at = (first..rest.len().min(room + 1)).rev().find(is_break);
            let Some(at) = at.or_else(|| (first..rest.len()).find(is_break)) else { break };
            folded += &format!("{:before$}{}\n", "", rest[..at].iter().collect::<String>().trim_end());
            rest = &rest[at + 1..];
            rest = &rest[rest.iter().take_while(|c| **c == ' ').count()..];
            before = indent;
        }
        folded += &format!("{:before$}{}\n", "", rest.iter().collect::<String>());
    }
    folded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        for (number, expected) in [(0, "0"), (999, "999"), (1000, "1,000"), (4_231_976, "4,231,976")] {
            assert_eq!(thousands(number), expected);
        }
        for (bytes, expected) in
            [(0, "0 B"), (999, "999 B"), (1234, "1.2 kB"), (16_927_908, "16.9 MB"), (123_456, "123 kB")]
        {
            assert_eq!(size(bytes), expected);
        }
    }

    #[test]
    fn tables_have_no_trailing_space() {
        let rows = [vec!["a".to_owned(), "10".to_owned()], vec!["bb".to_owned(), "9".to_owned()]];
        assert_eq!(lined(&["name", ">n"], &rows), "name   n\na     10\nbb     9\n");
    }

    #[test]
    fn rows_become_cards() {
        let rows = [vec!["a".to_owned(), "10".to_owned(), String::new()]];
        let expected = "name a\n  how many  10\n";
        assert_eq!(cards(&["name", ">how many", "more"], &rows), expected);
    }

    #[test]
    fn long_lines_go_on_below() {
        let check = |text: &str, columns, expected: &str| {
            let found = folded(text, columns);
            assert_eq!(found, expected, "{columns}");
            let is_narrow = |line: &str| line.chars().count() <= columns || !line.trim().contains(' ');
            assert!(found.lines().all(is_narrow), "{found}");
        };
        check("one two three\n", 99, "one two three\n");
        check("one two three", 8, "one two\n  three\n");
        check("one two three", 7, "one two\n  three\n");
        check("  key   one two three", 16, "  key   one two\n        three\n");
        check("    somewhat_longer_than_it one", 12, "    somewhat_longer_than_it\n      one\n");
        check("\n", 5, "\n");
        check("  \u{e9}\u{e9} \u{e9}\u{e9}\u{e9}", 6, "  \u{e9}\u{e9}\n    \u{e9}\u{e9}\u{e9}\n");
    }
}
