//! Text for people: colours, thousands, tables.

use std::io::IsTerminal;

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

/// A table without lines. A heading that begins with `>` aligns its column to the right.
pub(super) fn table(headings: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(headings.iter().map(|heading| heading.trim_start_matches('>')));
    rows.into_iter().for_each(|row| {
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
        assert_eq!(table(&["name", ">n"], rows), "name   n\na     10\nbb     9\n");
    }
}
