//! Text -> the lines of a file of names, `KEY = VALUE`. A line is also one of TOML where its key is in quotes.
//!
//! Keys without quotes may have dots and braces. Knows no meaning of keys.

use super::Position;
use crate::error::quoted;

/// A line.
pub(super) struct Entry {
    pub(super) key: Text,
    pub(super) value: Value,
}

/// A text with its place.
pub(super) struct Text {
    pub(super) at: Position,
    pub(super) text: String,
}

pub(super) enum Value {
    /// `"a"`
    One(Text),
    /// `? "a"`
    Undecided(Text),
    /// `["a", "b"]`
    List(Vec<Text>),
}

type Found<T> = Result<T, (Position, String)>;

/// Every line that isn't empty, or what is wrong with it.
pub(super) fn entries(text: &str) -> impl Iterator<Item = Found<Entry>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    text.lines().enumerate().filter_map(|(idx, line)| {
        let mut cursor = Cursor { line, at: 0, number: idx + 1 };
        cursor.skip_spaces();
        (!cursor.is_at_end()).then(|| cursor.entry())
    })
}

struct Cursor<'t> {
    line: &'t str,
    /// In bytes.
    at: usize,
    /// From 1.
    number: usize,
}

impl Cursor<'_> {
    fn rest(&self) -> &str {
        &self.line[self.at..]
    }

    fn position(&self) -> Position {
        Position { line: self.number, column: self.line[..self.at].chars().count() + 1 }
    }

    fn skip_spaces(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start().len();
    }

    /// A comment is an end.
    fn is_at_end(&self) -> bool {
        self.rest().is_empty() || self.rest().starts_with('#')
    }

    fn take(&mut self, sign: char) -> bool {
        let is_there = self.rest().starts_with(sign);
        if is_there {
            self.at += sign.len_utf8();
        }
        is_there
    }

    /// What is next, for people.
    fn found(&self) -> String {
        if self.is_at_end() {
            return "nothing".to_owned();
        }
        let word = self.rest().split(char::is_whitespace).next().unwrap_or("");
        quoted(word)
    }

    fn wrong<T>(&self, expected: &str) -> Found<T> {
        Err((self.position(), format!("found {}, expected {expected}", self.found())))
    }

    fn entry(&mut self) -> Found<Entry> {
        let key = self.key()?;
        self.skip_spaces();
        if !self.take('=') {
            return self.wrong("= behind the name of a layer's tensor: conv_1.weight = \"stem.weight\"");
        }
        self.skip_spaces();
        let value = if self.take('[') {
            Value::List(self.list()?)
        } else if self.take('?') {
            self.skip_spaces();
            Value::Undecided(self.text()?)
        } else {
            Value::One(self.text()?)
        };
        self.skip_spaces();
        if !self.is_at_end() {
            return self.wrong("the end of the line, or # and a comment");
        }
        Ok(Entry { key, value })
    }

    fn key(&mut self) -> Found<Text> {
        if self.rest().starts_with(['"', '\'']) {
            return self.text();
        }
        if self.rest().starts_with('[') {
            return self.wrong("a line such as conv_1.weight = \"stem.weight\", and no tables");
        }
        let at = self.position();
        // Spaces may be inside of braces.
        let mut is_inside = false;
        let end = self.rest().find(|c: char| {
            is_inside = (is_inside || c == '{') && c != '}';
            c == '=' || c == '#' || c == '"' || c.is_whitespace() && !is_inside
        });
        let end = end.unwrap_or(self.rest().len());
        let text = self.rest()[..end].to_owned();
        if text.is_empty() {
            return self.wrong("the name of a layer's tensor: conv_1.weight = \"stem.weight\"");
        }
        self.at += end;
        Ok(Text { at, text })
    }

    fn list(&mut self) -> Found<Vec<Text>> {
        let mut texts = Vec::new();
        loop {
            self.skip_spaces();
            if self.take(']') {
                return Ok(texts);
            }
            texts.push(self.text()?);
            self.skip_spaces();
            if !self.take(',') && !self.rest().starts_with(']') {
                return self.wrong(", or ] on the same line");
            }
        }
    }

    /// `"with \"escapes\""` or `'without'`.
    fn text(&mut self) -> Found<Text> {
        let at = self.position();
        if self.take('\'') {
            let Some(end) = self.rest().find('\'') else {
                return Err((at, "found no second ', expected the name to end on its line".to_owned()));
            };
            let text = self.rest()[..end].to_owned();
            self.at += end + 1;
            return Ok(Text { at, text });
        }
        if !self.take('"') {
            let what = "a name in quotes, \"stem.weight\"";
            return self.wrong(what);
        }
        let mut text = String::new();
        loop {
            let Some(c) = self.rest().chars().next() else {
                return Err((at, "found no second \", expected the name to end on its line".to_owned()));
            };
            self.at += c.len_utf8();
            match c {
                '"' => return Ok(Text { at, text }),
                '\\' => text.push(self.escape()?),
                c => text.push(c),
            }
        }
    }

    /// What is behind a backslash: TOML's letters.
    fn escape(&mut self) -> Found<char> {
        let at = Position { column: self.position().column - 1, ..self.position() };
        let wrong =
            || Err((at, "found a backslash, expected \\\\, \\\", \\n, \\t, \\r or \\uXXXX".to_owned()));
        let Some(c) = self.rest().chars().next() else { return wrong() };
        self.at += c.len_utf8();
        let n_digits = match c {
            '\\' | '"' => return Ok(c),
            'n' => return Ok('\n'),
            't' => return Ok('\t'),
            'r' => return Ok('\r'),
            'u' => 4,
            'U' => 8,
            _ => return wrong(),
        };
        let digits =
            self.rest().get(..n_digits).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
        let c = digits.and_then(|digits| char::from_u32(u32::from_str_radix(digits, 16).ok()?));
        let Some(c) = c else { return wrong() };
        self.at += n_digits;
        Ok(c)
    }
}
