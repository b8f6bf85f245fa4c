//! Names as words and numbers: `model.10` comes behind `model.2`.

use std::cmp::Ordering;

/// A name in pieces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tokens(pub(super) Vec<Token>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// Of letters, or of signs.
    Word(String),
    /// As `{i}` reads it: without zeros in front.
    Number(i64),
}

/// As many digits as a placeholder takes.
const MAX_DIGITS: usize = 9;

#[derive(PartialEq, Eq, Clone, Copy)]
enum Sort {
    Digit,
    Letter,
    Sign,
}

impl Tokens {
    pub(super) fn of(name: &str) -> Tokens {
        let sort = |c: char| match c {
            c if c.is_ascii_digit() => Sort::Digit,
            c if c.is_alphabetic() => Sort::Letter,
            _ => Sort::Sign,
        };
        let mut tokens: Vec<Token> = Vec::new();
        let mut rest = name;
        while let Some(first) = rest.chars().next() {
            let end = rest.find(|c| sort(c) != sort(first)).unwrap_or(rest.len());
            // Each sign by itself.
            let end = if sort(first) == Sort::Sign { first.len_utf8() } else { end };
            let (text, behind) = rest.split_at(end);
            rest = behind;
            let is_number =
                sort(first) == Sort::Digit && end <= MAX_DIGITS && (text == "0" || !text.starts_with('0'));
            tokens.push(match text.parse() {
                Ok(number) if is_number => Token::Number(number),
                _ => Token::Word(text.to_owned()),
            });
        }
        Tokens(tokens)
    }

    /// Adds a word that the name leaves out.
    pub(super) fn push(&mut self, word: &str) {
        self.0.push(Token::Word(word.to_owned()));
    }

    /// The same with each number left out.
    pub(super) fn template(&self) -> String {
        let pieces = self.0.iter().map(|token| match token {
            Token::Word(word) => word.as_str(),
            Token::Number(_) => "\0",
        });
        pieces.collect()
    }

    pub(super) fn numbers(&self) -> Vec<i64> {
        let numbers = self.0.iter().filter_map(|token| match token {
            Token::Number(number) => Some(*number),
            Token::Word(_) => None,
        });
        numbers.collect()
    }

    /// How many tokens two names begin with in common.
    pub(super) fn shared(&self, other: &Tokens) -> usize {
        self.0.iter().zip(&other.0).take_while(|(a, b)| a == b).count()
    }

    /// The last word.
    pub(super) fn last_word(&self) -> String {
        let words = self.0.iter().rev().filter_map(|token| match token {
            Token::Word(word) if word.chars().all(char::is_alphabetic) => Some(word.to_lowercase()),
            Token::Word(_) | Token::Number(_) => None,
        });
        words.take(1).next().unwrap_or_default()
    }
}

impl Ord for Tokens {
    fn cmp(&self, other: &Tokens) -> Ordering {
        let mut pairs = self.0.iter().zip(&other.0);
        let order = pairs.find_map(|pair| {
            let order = match pair {
                (Token::Word(a), Token::Word(b)) => a.cmp(b),
                (Token::Number(a), Token::Number(b)) => a.cmp(b),
                (Token::Number(_), Token::Word(_)) => Ordering::Less,
                (Token::Word(_), Token::Number(_)) => Ordering::Greater,
            };
            (order != Ordering::Equal).then_some(order)
        });
        order.unwrap_or_else(|| self.0.len().cmp(&other.0.len()))
    }
}

impl PartialOrd for Tokens {
    fn partial_cmp(&self, other: &Tokens) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
