//! Texts of the source against lines of the pages, both ways: a placeholder of either fits anything.

use std::collections::BTreeSet;

/// The fixed parts of a format string, without those of no letter.
pub(crate) struct Pattern {
    parts: Vec<String>,
}

impl Pattern {
    /// One for each line of the text.
    pub(crate) fn all(text: &str) -> Vec<Pattern> {
        text.split('\n').map(Pattern::of).collect()
    }

    fn of(line: &str) -> Pattern {
        let (mut parts, mut part) = (Vec::new(), String::new());
        let mut letters = line.trim().chars().peekable();
        while let Some(letter) = letters.next() {
            match letter {
                '{' | '}' if letters.peek() == Some(&letter) => {
                    part.push(letter);
                    letters.next();
                }
                '{' => {
                    parts.push(std::mem::take(&mut part));
                    letters.by_ref().find(|letter| *letter == '}');
                }
                _ => part.push(letter),
            }
        }
        parts.push(part);
        parts.retain(|part| !part.is_empty());
        Pattern { parts }
    }

    /// Words of letters in it: a text of fewer than two is a name.
    pub(crate) fn n_words(&self) -> usize {
        let words = self.parts.iter().flat_map(|part| part.split_whitespace());
        words.filter(|word| word.chars().any(char::is_alphabetic)).count()
    }

    /// Where the parts stand in a line, one after the other.
    pub(crate) fn find(&self, line: &str) -> Option<Vec<(usize, usize)>> {
        let mut places = Vec::new();
        let mut from = 0;
        for part in &self.parts {
            let at = from + line[from..].find(part.as_str())?;
            from = at + part.len();
            places.push((at, from));
        }
        Some(places)
    }
}

/// The words of a page's line that no text of the source has: those in capitals and those without letters stand for others.
pub(crate) fn unknown(line: &str, patterns: &[Pattern]) -> BTreeSet<String> {
    let mut known = vec![false; line.len()];
    for pattern in patterns {
        for start in line.char_indices().map(|(at, _)| at) {
            let starts = pattern.parts.first().is_some_and(|part| line[start..].starts_with(part.as_str()));
            if let Some(places) = starts.then(|| pattern.find(&line[start..])).flatten() {
                places.iter().for_each(|(from, to)| known[start + from..start + to].fill(true));
            }
        }
    }
    let mut words = BTreeSet::new();
    let mut at = 0;
    for word in line.split_inclusive(|c: char| !c.is_alphanumeric()) {
        let letters = word.trim_end_matches(|c: char| !c.is_alphanumeric());
        // HEIGHTxWIDTH is a placeholder too.
        let is_fixed = letters.chars().any(|letter| letter.is_lowercase() && letter != 'x');
        if is_fixed && !known[at..at + letters.len()].iter().all(|known| *known) {
            words.insert(letters.to_owned());
        }
        at += word.len();
    }
    words
}
