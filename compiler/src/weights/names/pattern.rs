//! Names with placeholders, `model.{i+1}.0.weight`: text -> numbers, numbers -> text.
//!
//! A placeholder has one letter and may multiply and add: `{i}`, `{i-1}`, `{3*i+2}`. `{{` and `}}` are braces.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::error::quoted;

/// A name, or the names of one form.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    /// As it was written.
    text: String,
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Number(Number),
}

/// `factor` times the letter plus `offset`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Number {
    letter: char,
    factor: i64,
    offset: i64,
}

/// What the letters are.
pub(super) type Numbers = BTreeMap<char, i64>;

/// Digits of a number: no network has a billion layers.
const MAX_DIGITS: usize = 9;

impl Pattern {
    /// # Errors
    /// A brace without its other half, a placeholder that is none, two of them without a text between.
    pub(super) fn parse(text: &str) -> Result<Pattern, String> {
        let wrong = |what: String| Err(format!("{}: {what}", quoted(text)));
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            if let Some(behind) = rest.strip_prefix("{{").or_else(|| rest.strip_prefix("}}")) {
                plain.push(first);
                rest = behind;
            } else if let Some(behind) = rest.strip_prefix('{') {
                let Some((inside, behind)) = behind.split_once('}') else {
                    return wrong(
                        "found { without }, expected a placeholder such as {i}, or {{ for a brace".into(),
                    );
                };
                let Some(number) = Number::parse(inside) else {
                    return wrong(format!(
                        "found {{{inside}}}, expected a placeholder such as {{i}}, {{i+1}} or {{3*i-2}}, or {{{{ for a brace"
                    ));
                };
                if !plain.is_empty() {
                    pieces.push(Piece::Text(std::mem::take(&mut plain)));
                }
                pieces.push(Piece::Number(number));
                rest = behind;
            } else if first == '}' {
                return wrong("found } without {, expected }} for a brace".into());
            } else {
                plain.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain));
        }
        let is_digit = |end: Option<char>| end.is_some_and(|c| c.is_ascii_digit());
        for pair in pieces.windows(2) {
            let touches = match (&pair[0], &pair[1]) {
                (Piece::Number(_), Piece::Number(_)) => true,
                (Piece::Number(_), Piece::Text(text)) => is_digit(text.chars().next()),
                (Piece::Text(text), Piece::Number(_)) => is_digit(text.chars().next_back()),
                (Piece::Text(_), Piece::Text(_)) => false,
            };
            if touches {
                return wrong(
                    "found a placeholder beside digits, expected a letter or a sign between them".into(),
                );
            }
        }
        if pieces.is_empty() {
            return Err("found an empty name, expected that of a tensor".to_owned());
        }
        Ok(Pattern { text: text.to_owned(), pieces })
    }

    /// As it was written.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The letters of its placeholders.
    pub(super) fn variables(&self) -> impl Iterator<Item = char> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Number(number) => Some(number.letter),
            Piece::Text(_) => None,
        })
    }

    /// What is before the first placeholder: all of it where there is none.
    pub(super) fn stem(&self) -> String {
        match self.pieces.first() {
            Some(Piece::Text(text)) => text.clone(),
            Some(Piece::Number(_)) | None => String::new(),
        }
    }

    /// The numbers that make the pattern this name.
    pub(super) fn matches(&self, name: &str) -> Option<Numbers> {
        let mut numbers = Numbers::new();
        let mut rest = name;
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => rest = rest.strip_prefix(text.as_str())?,
                Piece::Number(number) => {
                    let n_digits = rest.bytes().take_while(u8::is_ascii_digit).count();
                    let (digits, behind) = rest.split_at(n_digits);
                    let is_whole = digits == "0" || !digits.starts_with('0');
                    if !(1..=MAX_DIGITS).contains(&n_digits) || !is_whole {
                        return None;
                    }
                    let letter = number.solve(digits.parse().ok()?)?;
                    if *numbers.entry(number.letter).or_insert(letter) != letter {
                        return None;
                    }
                    rest = behind;
                }
            }
        }
        rest.is_empty().then_some(numbers)
    }

    /// The name of these numbers; `None` where one would be negative, or is missing.
    pub(super) fn fill(&self, numbers: &Numbers) -> Option<String> {
        let mut name = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => name += text,
                Piece::Number(Number { letter, factor, offset }) => {
                    let value = numbers.get(letter)?.checked_mul(*factor)?.checked_add(*offset)?;
                    if value < 0 {
                        return None;
                    }
                    let _ = write!(name, "{value}");
                }
            }
        }
        Some(name)
    }
}

impl Number {
    /// `i`, `i+1`, `i-1`, `3*i`, `3*i+1`.
    fn parse(text: &str) -> Option<Number> {
        let text: String = text.chars().filter(|c| *c != ' ').collect();
        let at = text.find(|c: char| c.is_ascii_lowercase())?;
        let letter = text[at..].chars().next()?;
        let count = |digits: &str| {
            let is_count = (1..=6).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
            is_count.then(|| digits.parse::<i64>().ok())?
        };
        let factor = match &text[..at] {
            "" => 1,
            before => count(before.strip_suffix('*').unwrap_or(before)).filter(|&factor| 0 < factor)?,
        };
        let behind = &text[at + 1..];
        let offset = match behind.split_at_checked(1) {
            None => 0,
            Some(("+", digits)) => count(digits)?,
            Some(("-", digits)) => -count(digits)?,
            Some(_) => return None,
        };
        Some(Number { letter, factor, offset })
    }

    /// The letter for which this is the value, from 0 up.
    fn solve(self, value: i64) -> Option<i64> {
        let rest = value - self.offset;
        (0 <= rest && rest % self.factor == 0).then_some(rest / self.factor)
    }
}

/// A name in which `*` is any text.
#[derive(Clone, Debug)]
pub(super) struct Glob {
    parts: Vec<String>,
}

impl Glob {
    pub(super) fn parse(text: &str) -> Glob {
        Glob { parts: text.split('*').map(str::to_owned).collect() }
    }

    /// From the left, each part at its first place; the last at the end.
    pub(super) fn matches(&self, name: &str) -> bool {
        let [first, middle @ .., last] = &self.parts[..] else { return self.parts[0] == name };
        let Some(mut rest) = name.strip_prefix(first.as_str()) else { return false };
        for part in middle {
            match rest.find(part.as_str()) {
                Some(at) => rest = &rest[at + part.len()..],
                None => return false,
            }
        }
        rest.ends_with(last.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The name that the second pattern makes of what the first finds in a name.
    fn check(from: &str, to: &str, name: &str, expected: Option<&str>) {
        let pattern = |text| Pattern::parse(text).unwrap();
        let found = pattern(from).matches(name).and_then(|numbers| pattern(to).fill(&numbers));
        assert_eq!(found.as_deref(), expected, "{from} {to} {name}");
    }

    #[test]
    fn names_by_patterns() {
        for (from, to, name, expected) in [
            ("a.{i}.b", "c_{i}", "a.12.b", Some("c_12")),
            ("a.{i}.b", "c_{i+1}", "a.12.b", Some("c_13")),
            ("a.{i+1}.b", "c_{i}", "a.0.b", None),
            ("a.{i}", "c_{i-1}", "a.0", None),
            ("a.{3*i+1}", "c_{i}", "a.7", Some("c_2")),
            ("a.{3*i+1}", "c_{i}", "a.8", None),
            ("a.{2i}", "{i}", "a.8", Some("4")),
            ("a.{i}.{j}", "{j}x{ i + 1 }", "a.4.5", Some("5x5")),
            ("{i}.{i}", "{i}", "3.3", Some("3")),
            ("{i}.{i}", "{i}", "3.4", None),
            ("a.{i}", "{i}", "a.007", None),
            ("a.{i}", "{i}", "a.0", Some("0")),
            ("a.{i}", "{i}", "a.1234567890", None),
            ("a.{i}", "{i}", "a.", None),
            ("{{i}}.{i}", "ä{i}", "{i}.3", Some("ä3")),
        ] {
            check(from, to, name, expected);
        }
    }

    #[test]
    fn patterns_that_are_none() {
        for (text, expected) in [
            ("a{", r#""a{": found { without }, expected a placeholder such as {i}, or {{ for a brace"#),
            ("a}", r#""a}": found } without {, expected }} for a brace"#),
            (
                "a{block}",
                r#""a{block}": found {block}, expected a placeholder such as {i}, {i+1} or {3*i-2}, or {{ for a brace"#,
            ),
            (
                "a{0*i}",
                r#""a{0*i}": found {0*i}, expected a placeholder such as {i}, {i+1} or {3*i-2}, or {{ for a brace"#,
            ),
            (
                "a{i}{j}",
                r#""a{i}{j}": found a placeholder beside digits, expected a letter or a sign between them"#,
            ),
            (
                "a1{i}",
                r#""a1{i}": found a placeholder beside digits, expected a letter or a sign between them"#,
            ),
            ("", "found an empty name, expected that of a tensor"),
        ] {
            assert_eq!(Pattern::parse(text).unwrap_err(), expected);
        }
        for text in ["{9999999*i}", "{i+9999999}", "{i+}", "{i*2}", "{ä}", "{i+1+1}", "{-1}"] {
            assert!(Pattern::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn globs() {
        for (glob, name, expected) in [
            ("a.b", "a.b", true),
            ("a.b", "a.bc", false),
            ("*.n", "a.b.n", true),
            ("*.n", "a.n.b", false),
            ("a*b*c", "abc", true),
            ("a*b*c", "axbxbxc", true),
            ("a*b*c", "axc", false),
            ("a*a", "a", false),
            ("*", "", true),
            ("a**b", "aüb", true),
        ] {
            assert_eq!(Glob::parse(glob).matches(name), expected, "{glob} {name}");
        }
    }
}
