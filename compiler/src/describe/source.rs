//! Typed reading of TOML tables, with every fault kept until the end.
//!
//! A reader that meets a fault notes it with its line and column and hands back a stand-in, so that the rest of the file is
//! read too. [`Source::finish`] fails when there was any fault: a stand-in never leaves this module's users. Knows TOML and
//! nothing of networks.

mod lists;

use std::cell::RefCell;
use std::fmt::Display;
use std::ops::RangeInclusive;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::window::Sides;
use crate::error::{ErrorKind, Faults, Place, Result};

/// Longest piece of the user's text that an error repeats, in characters.
const MAX_QUOTED: usize = 40;

/// The text of one file and the faults that were found in it so far.
pub(super) struct Source<'t> {
    place: &'t str,
    text: &'t str,
    /// Byte offset and detail of each fault.
    faults: RefCell<Vec<(usize, String)>>,
}

impl<'t> Source<'t> {
    pub(super) fn new(text: &'t str, place: &'t str) -> Source<'t> {
        Source { place, text, faults: RefCell::new(Vec::new()) }
    }

    /// The root table. A file that isn't TOML is not read further: what a broken line meant is guesswork.
    pub(super) fn parse(&self) -> Option<Spanned<DeTable<'t>>> {
        let (root, errors) = DeTable::parse_recoverable(self.text);
        for error in &errors {
            let detail = error.message().trim_end_matches('.').replace('\n', ", ");
            self.fault(error.span().map_or(0, |span| span.start), format!("not TOML: {detail}"));
        }
        errors.is_empty().then_some(root)
    }

    /// Notes a fault at a byte offset.
    pub(super) fn fault(&self, at: usize, detail: impl Into<String>) {
        self.faults.borrow_mut().push((at, detail.into()));
    }

    /// All faults from the top of the file to its end, if there are any.
    pub(super) fn finish(self) -> Result<()> {
        let mut found = self.faults.into_inner();
        found.sort_by_key(|(at, _)| *at);
        let mut faults = Faults::new(ErrorKind::Description);
        // One walk over the text, not one per fault: a hostile file may have a fault a line.
        let (mut offset, mut line, mut column) = (0, 1, 1);
        for (at, detail) in found {
            for c in self.text.get(offset..at).unwrap_or("").chars() {
                (line, column) = if c == '\n' { (line + 1, 1) } else { (line, column + 1) };
            }
            offset = offset.max(at);
            let file = self.place.to_owned();
            faults.push(Place::Text { file, line, column: Some(column) }, detail);
        }
        faults.propagate()
    }
}

/// One table of the file.
pub(super) struct Section<'s> {
    source: &'s Source<'s>,
    table: &'s DeTable<'s>,
    /// How errors call it: `the file`, `[input]`, `a layer of kind "conv"`.
    noun: String,
    /// Byte offset of its header.
    pub(super) at: usize,
}

impl<'s> Section<'s> {
    pub(super) fn new(
        source: &'s Source<'s>,
        table: &'s DeTable<'s>,
        noun: String,
        at: usize,
    ) -> Section<'s> {
        Section { source, table, noun, at }
    }

    /// The same table under another name.
    pub(super) fn called(self, noun: String) -> Section<'s> {
        Section { noun, ..self }
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// Notes a fault at the value of `key`, or at the header when the key is absent.
    pub(super) fn fault(&self, key: &str, detail: String) {
        let at = self.table.get(key).map_or(self.at, |value| value.span().start);
        self.source.fault(at, detail);
    }

    /// Notes that one of several keys is required.
    pub(super) fn missing(&self, keys: &str, expected: &str) {
        self.source.fault(self.at, format!("{} has no {keys}, expected {expected}", self.noun));
    }

    /// Notes a fault for each key outside `keys`.
    pub(super) fn only(&self, keys: &[&str]) {
        for key in self.table.keys() {
            let name = key.get_ref().as_ref();
            if keys.contains(&name) {
                continue;
            }
            let hint = match nearest(name, keys) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("expected {}", list(keys)),
            };
            let found = quote(name);
            self.source.fault(key.span().start, format!("unknown key {found} in {}, {hint}", self.noun));
        }
    }

    /// A whole number in `range`; without `default` the key is required.
    pub(super) fn integer(&self, key: &str, range: RangeInclusive<usize>, default: Option<usize>) -> usize {
        let expected = format!("a whole number from {} to {}", range.start(), range.end());
        self.read(key, &expected, default, |value| integer_in(value, &range)).unwrap_or(*range.start())
    }

    /// A whole number in `range` for rows and columns alike, or one for each.
    pub(super) fn sides(&self, key: &str, range: RangeInclusive<usize>, default: usize) -> Sides {
        let (first, last) = (range.start(), range.end());
        let expected = format!("a whole number from {first} to {last}, or two as [rows, columns]");
        let sides = self.read(key, &expected, Some(Sides::square(default)), |value| {
            let DeValue::Array(array) = value else { return integer_in(value, &range).map(Sides::square) };
            let [rows, columns] = &array[..] else {
                return Err(format!("an array of {}", array.len()));
            };
            let [rows, columns] = [rows, columns].map(|side| integer_in(side.get_ref(), &range));
            Ok(Sides { rows: rows?, columns: columns? })
        });
        sides.unwrap_or(Sides::square(*first))
    }

    /// Whether the value of a key is a string.
    pub(super) fn is_text(&self, key: &str) -> bool {
        matches!(self.table.get(key).map(Spanned::get_ref), Some(DeValue::String(_)))
    }

    /// Whether the value of a key is a table.
    pub(super) fn is_table(&self, key: &str) -> bool {
        matches!(self.table.get(key).map(Spanned::get_ref), Some(DeValue::Table(_)))
    }

    /// A number in `range`, written as a float or an integer; without `default` the key is required.
    pub(super) fn number(&self, key: &str, range: RangeInclusive<f64>, default: Option<f64>) -> f64 {
        let expected = expected_number(&range);
        self.read(key, &expected, default, |value| number_in(value, &range)).unwrap_or(*range.start())
    }

    /// An array of `len` numbers in `range`; `default` for each of them when the key is absent.
    pub(super) fn numbers(
        &self,
        key: &str,
        len: usize,
        range: RangeInclusive<f64>,
        default: f64,
    ) -> Vec<f64> {
        let Some(value) = self.table.get(key) else { return vec![default; len] };
        let expected = format!("an array of {len} numbers, one per input channel");
        let DeValue::Array(array) = value.get_ref() else {
            let found = describe(value.get_ref());
            self.fault(key, format!("`{key}`: found {found}, expected {expected}"));
            return vec![default; len];
        };
        if array.len() != len {
            self.fault(key, format!("`{key}`: found {} numbers, expected {expected}", array.len()));
        }
        let one = |item: &Spanned<DeValue<'_>>| {
            number_in(item.get_ref(), &range).unwrap_or_else(|found| {
                let expected = expected_number(&range);
                self.source.fault(item.span().start, format!("`{key}`: found {found}, expected {expected}"));
                default
            })
        };
        array.iter().map(one).collect()
    }

    pub(super) fn boolean(&self, key: &str, default: bool) -> bool {
        let value = self.read(key, "true or false", Some(default), |value| match value {
            DeValue::Boolean(value) => Ok(*value),
            other => Err(describe(other)),
        });
        value.unwrap_or(default)
    }

    /// One of a closed set of words.
    pub(super) fn choice<T: Copy>(&self, key: &str, choices: &[(&str, T)], default: T) -> T {
        if self.has(key) { self.required_choice(key, choices).unwrap_or(default) } else { default }
    }

    /// A fault if there is a key that others make pointless.
    pub(super) fn meaningless(&self, key: &str, beside: &str) {
        if self.has(key) {
            self.fault(key, format!("`{key}` has no meaning {beside}, expected it absent"));
        }
    }

    /// One of a closed set of words; `None` after a fault, for a reader that can't go on with a stand-in.
    pub(super) fn required_choice<T: Copy>(&self, key: &str, choices: &[(&str, T)]) -> Option<T> {
        let words: Vec<String> = choices.iter().map(|(word, _)| format!("\"{word}\"")).collect();
        self.read(key, &list_of(&words), None, |value| match value {
            DeValue::String(text) => {
                let chosen = choices.iter().find(|(word, _)| text.as_ref() == *word);
                chosen.map(|(_, value)| *value).ok_or_else(|| quote(text))
            }
            other => Err(describe(other)),
        })
    }

    /// A name: letters, digits, `_` and `-` (and `.` where `dots` says so), a letter first, at most 64.
    pub(super) fn name(&self, key: &str, dots: bool, required: bool) -> Option<String> {
        if !required && !self.has(key) {
            return None;
        }
        let dot = if dots { "`.`, " } else { "" };
        let expected = format!("a name of at most 64 letters, digits, {dot}`_` and `-`, a letter first");
        let legal = |text: &str| {
            text.len() <= 64
                && text.starts_with(|c: char| c.is_ascii_alphabetic())
                && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-' || dots && c == '.')
        };
        self.read(key, &expected, None, |value| match value {
            DeValue::String(text) if legal(text) => Ok(text.to_string()),
            DeValue::String(text) => Err(quote(text)),
            other => Err(describe(other)),
        })
    }

    /// An array of one to `most` names, each with the byte offset where it stands; nothing after a fault.
    pub(super) fn names(&self, key: &str, most: usize) -> Vec<(usize, String)> {
        let found = match self.table.get(key).map(Spanned::get_ref) {
            Some(DeValue::Array(items)) if (1..=most).contains(&items.len()) => {
                let name = |item: &Spanned<DeValue<'_>>| match item.get_ref() {
                    DeValue::String(text) => Some((item.span().start, text.to_string())),
                    other => {
                        let fault = format!("`{key}`: found {}, expected a name", describe(other));
                        self.source.fault(item.span().start, fault);
                        None
                    }
                };
                return items.iter().filter_map(name).collect();
            }
            Some(DeValue::Array(items)) => format!("{} names", items.len()),
            Some(other) => describe(other),
            None => "nothing".to_string(),
        };
        self.fault(key, format!("`{key}`: found {found}, expected an array of 1 to {most} names"));
        Vec::new()
    }

    /// The table under `key`, if there is one.
    pub(super) fn section(&self, key: &str) -> Option<Section<'s>> {
        let value = self.table.get(key)?;
        let DeValue::Table(table) = value.get_ref() else {
            let found = describe(value.get_ref());
            self.fault(key, format!("`{key}`: found {found}, expected a table, [{key}]"));
            return None;
        };
        Some(Section::new(self.source, table, format!("[{key}]"), value.span().start))
    }

    /// The tables of the array under `key`, as `[[key]]` writes it, of which there must be one.
    pub(super) fn sections(&self, key: &str) -> Vec<Section<'s>> {
        let Some(value) = self.table.get(key) else {
            self.source.fault(self.at, format!("{} has no [[{key}]], expected at least one", self.noun));
            return Vec::new();
        };
        let fault = |at: usize, value: &DeValue<'_>| {
            let found = describe(value);
            self.source.fault(at, format!("`{key}`: found {found}, expected tables, [[{key}]]"));
        };
        let DeValue::Array(array) = value.get_ref() else {
            fault(value.span().start, value.get_ref());
            return Vec::new();
        };
        if array.is_empty() {
            self.fault(key, format!("`{key}`: found an empty array, expected at least one [[{key}]]"));
        }
        let mut sections = Vec::new();
        for item in array {
            match item.get_ref() {
                DeValue::Table(table) => {
                    sections.push(Section::new(self.source, table, format!("[[{key}]]"), item.span().start));
                }
                other => fault(item.span().start, other),
            }
        }
        sections
    }

    /// The value of `key`, its default, or `None` after a fault. `convert` says what it found when that wouldn't do.
    fn read<T>(
        &self,
        key: &str,
        expected: &str,
        default: Option<T>,
        convert: impl Fn(&DeValue<'_>) -> Result<T, String>,
    ) -> Option<T> {
        let Some(value) = self.table.get(key) else {
            if default.is_none() {
                self.source.fault(self.at, format!("{} has no `{key}`, expected {expected}", self.noun));
            }
            return default;
        };
        match convert(value.get_ref()) {
            Ok(value) => Some(value),
            Err(found) => {
                self.fault(key, format!("`{key}`: found {found}, expected {expected}"));
                None
            }
        }
    }
}

fn integer_in(value: &DeValue<'_>, range: &RangeInclusive<usize>) -> Result<usize, String> {
    let DeValue::Integer(digits) = value else { return Err(describe(value)) };
    let number = usize::from_str_radix(digits.as_str(), digits.radix()).ok();
    number.filter(|number| range.contains(number)).ok_or_else(|| quote_plain(&digits.to_string()))
}

fn number_in(value: &DeValue<'_>, range: &RangeInclusive<f64>) -> Result<f64, String> {
    let (number, written) = match value {
        DeValue::Float(digits) => (digits.as_str().parse().ok(), digits.to_string()),
        DeValue::Integer(digits) if digits.radix() == 10 => {
            (digits.as_str().parse().ok(), digits.to_string())
        }
        other => return Err(describe(other)),
    };
    // NaN is in no range.
    number.filter(|number: &f64| range.contains(number)).ok_or_else(|| quote_plain(&written))
}

fn expected_number(range: &RangeInclusive<f64>) -> String {
    format!("a number from {:?} to {:?}", range.start(), range.end())
}

/// What a value of a wrong type is called.
fn describe(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => quote(text),
        DeValue::Integer(digits) => quote_plain(&digits.to_string()),
        DeValue::Float(digits) => quote_plain(&digits.to_string()),
        DeValue::Boolean(value) => value.to_string(),
        DeValue::Datetime(_) => "a date".to_string(),
        DeValue::Array(_) => "an array".to_string(),
        DeValue::Table(_) => "a table".to_string(),
    }
}

/// The user's text in quotes, escaped and shortened so that the message stays one readable line.
pub(super) fn quote(text: &str) -> String {
    let mut shown: String = text.chars().take(MAX_QUOTED).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    format!("{shown:?}")
}

/// Digits, shortened alike.
fn quote_plain(text: &str) -> String {
    let shown: String = text.chars().take(MAX_QUOTED).collect();
    if shown.len() < text.len() { format!("{shown}…") } else { shown }
}

/// `a`, `b` or `c`, in backticks.
fn list(words: &[&str]) -> String {
    list_of(&words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>())
}

fn list_of(words: &[impl Display]) -> String {
    let mut text = String::new();
    for (idx, word) in words.iter().enumerate() {
        let joint = if idx == 0 {
            ""
        } else if idx + 1 == words.len() {
            " or "
        } else {
            ", "
        };
        text += &format!("{joint}{word}");
    }
    text
}

/// The one of `words` that `text` may have been meant to be: at most a third of its letters differ.
pub(super) fn nearest<'w>(text: &str, words: &[&'w str]) -> Option<&'w str> {
    let distances = words.iter().map(|word| (edit_distance(text, word), *word));
    let (distance, word) = distances.min_by_key(|(distance, _)| *distance)?;
    let (typed, meant) = (text.chars().count(), word.chars().count());
    // A third of the letters wrong is another word: `dilation` is no `activation`.
    let is_typo = distance <= (typed.min(meant) / 3).max(1) && distance < typed.min(meant);
    let is_part = 2 < typed.min(meant) && (word.starts_with(text) || text.starts_with(word));
    (is_typo || is_part).then_some(word)
}

/// Letters to insert, leave out, replace or swap with the next: Damerau's distance, of neighbours that are swapped once.
pub(crate) fn edit_distance(a: &str, b: &str) -> usize {
    // Keys are short; what a hostile file writes need not be.
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().take(64).collect(), b.chars().take(64).collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = replaced.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if 1 < i && 1 < j && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn what_was_meant_is_a_typo_away() {
        let words =
            ["activation", "bias", "classes", "kernel", "input", "padding", "stride", "batch_norm_epsilon"];
        let check =
            |text: &str, expected: Option<&str>| assert_eq!(nearest(text, &words), expected, "{text}");
        check("activaton", Some("activation"));
        check("bais", Some("bias"));
        check("inptu", Some("input"));
        check("class", Some("classes"));
        check("kernel_size", Some("kernel"));
        check("batch_norm_eps", Some("batch_norm_epsilon"));
        check("strides", Some("stride"));
        for other in ["dilation", "groups", "a", "", "pooling", "units", "basis_of_it"] {
            check(other, None);
        }
    }
}
