//! A proposal -> the text of a file of names, with patterns where several lines are of one form.

use std::fmt::Write as _;

use super::tokens::{Token, Tokens};
use super::{Proposal, Row};

/// Fewer are written as they are.
const SHORTEST_RUN: usize = 3;

/// In place of a name.
pub(super) const NOTHING: &str = "= ? \"\"  # nothing fits";

/// How many of the others are named.
const MAX_OTHERS: usize = 8;

impl Proposal {
    /// The file of names; `network` is what it was proposed for.
    pub fn text(&self, network: &str) -> String {
        let mut text =
            format!("# The tensors of {network}, proposed by `mnc tensors --match`. Check them.\n");
        if self.has_questions() {
            text += "# Behind a ? stands a proposal that nobody has confirmed: take the ? away, or write the tensor that is right.\n";
        }
        let _ = writeln!(text, "axes = \"{}\"", self.layout);
        let ignored = self.ignored.iter().map(|name| quote(name));
        let _ = match self.ignored.len() {
            0 => Ok(()),
            _ => writeln!(text, "ignore = [{}]", ignored.collect::<Vec<_>>().join(", ")),
        };
        text.push('\n');
        for line in self.lines() {
            let _ = writeln!(text, "{line}");
        }
        if !self.left.is_empty() {
            text += "\n# No layer wants these:\n";
            for name in &self.left {
                let _ = writeln!(text, "# ignore = {}", quote(name));
            }
        }
        text
    }

    /// Whether somebody has to decide.
    pub fn has_questions(&self) -> bool {
        self.rows.iter().any(|row| row.tensor.is_none() || !row.also.is_empty())
    }

    fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let mut is_done = vec![false; self.rows.len()];
        let names: Vec<Option<(Tokens, Tokens)>> = (self.rows.iter())
            .map(|row| Some((Tokens::of(&row.spec.tensor), Tokens::of(row.tensor.as_ref()?))))
            .collect();
        for first in 0..self.rows.len() {
            if is_done[first] {
                continue;
            }
            let run = if self.is_plain { vec![first] } else { self.run(&names, first, &is_done) };
            match run.as_slice() {
                [_, second, ..] if SHORTEST_RUN <= run.len() => {
                    lines.extend(self.pattern(&names, &run, *second));
                    run.iter().for_each(|idx| is_done[*idx] = true);
                }
                _ => {
                    lines.push(plain(&self.rows[first]));
                    is_done[first] = true;
                }
            }
        }
        lines
    }

    /// The rows of one form that begin with this one and whose numbers grow as the first two's do, if a pattern of them fits no other
    /// tensor.
    fn run(&self, names: &[Option<(Tokens, Tokens)>], first: usize, is_done: &[bool]) -> Vec<usize> {
        let Some((ours, theirs)) = &names[first] else { return vec![first] };
        let forms = (ours.template(), theirs.template());
        let same = |idx: &usize| {
            let is_same = |(ours, theirs): &(Tokens, Tokens)| (ours.template(), theirs.template()) == forms;
            !is_done[*idx] && names[*idx].as_ref().is_some_and(is_same)
        };
        let mut run = vec![first];
        for next in (first + 1..self.rows.len()).filter(same) {
            let second = *run.get(1).unwrap_or(&next);
            let asks = |idx: usize| self.rows[idx].also.len().min(MAX_OTHERS);
            let holds = asks(next) == asks(first)
                && Relation::of(names, first, second).is_some_and(|relation| relation.holds(names, next));
            if !holds {
                break;
            }
            run.push(next);
        }
        run
    }

    /// The line of a run, and what fits as well in its first.
    fn pattern(&self, names: &[Option<(Tokens, Tokens)>], run: &[usize], second: usize) -> Option<String> {
        let relation = Relation::of(names, run[0], second)?;
        let (ours, theirs) = names[run[0]].as_ref()?;
        let (ours, theirs) = (relation.ours(ours), relation.theirs(theirs));
        Some(line(&ours, &theirs, &self.rows[run[0]].also))
    }
}

/// `"ours" = "theirs"`, with what else would do.
fn line(ours: &str, theirs: &str, also: &[String]) -> String {
    if also.is_empty() {
        return format!("{} = {}", quote(ours), quote(theirs));
    }
    let others: Vec<String> = also.iter().take(MAX_OTHERS).map(|name| quote(name)).collect();
    let more = if also.len() < MAX_OTHERS + 1 {
        String::new()
    } else {
        format!(", {} more", also.len() - MAX_OTHERS)
    };
    format!("{} = ? {}  # also fits: {}{more}", quote(ours), quote(theirs), others.join(", "))
}

fn plain(row: &Row) -> String {
    let ours = braces(&row.spec.tensor);
    match &row.tensor {
        Some(tensor) => {
            let also: Vec<String> = row.also.clone();
            line(&ours, &braces(tensor), &also)
        }
        None => format!("{} {NOTHING} {:?}", quote(&ours), row.spec.shape),
    }
}

fn braces(name: &str) -> String {
    name.replace('{', "{{").replace('}', "}}")
}

/// As TOML has it.
fn quote(name: &str) -> String {
    let mut text = String::from("\"");
    for c in name.chars() {
        match c {
            '"' | '\\' => text.extend(['\\', c]),
            '\n' => text += "\\n",
            '\t' => text += "\\t",
            '\r' => text += "\\r",
            c if c.is_control() => {
                let _ = write!(text, "\\u{:04x}", u32::from(c));
            }
            c => text.push(c),
        }
    }
    text + "\""
}

/// How the numbers of one form go together.
struct Relation {
    /// Which number of ours grows.
    at: usize,
    /// Each of theirs: so many times ours, and so much more.
    theirs: Vec<(i64, i64)>,
    fixed: Vec<i64>,
}

impl Relation {
    /// That of two rows.
    fn of(names: &[Option<(Tokens, Tokens)>], first: usize, second: usize) -> Option<Relation> {
        let numbers =
            |idx: usize| names[idx].as_ref().map(|(ours, theirs)| (ours.numbers(), theirs.numbers()));
        let ((ours, theirs), (next_ours, next_theirs)) = (numbers(first)?, numbers(second)?);
        let mut changed = (0..ours.len()).filter(|&at| ours[at] != next_ours[at]);
        let at = changed.next()?;
        let step = next_ours[at] - ours[at];
        let pairs = theirs.iter().zip(&next_theirs);
        let theirs: Option<Vec<(i64, i64)>> = pairs
            .map(|(a, b)| {
                let factor = (b - a) / step;
                let is_whole = 0 <= factor && factor * step == b - a && factor < 1_000_000;
                let offset = a - factor * ours[at];
                (is_whole && offset.abs() < 1_000_000 || factor == 0 && a == b).then_some((factor, offset))
            })
            .collect();
        let theirs = theirs.filter(|theirs| theirs.iter().any(|(factor, _)| 0 < *factor))?;
        changed.next().is_none().then_some(Relation { at, theirs, fixed: ours })
    }

    fn holds(&self, names: &[Option<(Tokens, Tokens)>], idx: usize) -> bool {
        let Some((ours, theirs)) = &names[idx] else { return false };
        let ours = ours.numbers();
        let i = ours[self.at];
        let is_fixed = (0..ours.len()).all(|at| at == self.at || ours[at] == self.fixed[at]);
        let expected = self.theirs.iter().map(|(factor, offset)| factor * i + offset);
        is_fixed && theirs.numbers().into_iter().eq(expected)
    }

    fn ours(&self, tokens: &Tokens) -> String {
        let at = self.at;
        written(tokens, |idx, number| if idx == at { "{i}".to_owned() } else { number.to_string() })
    }

    fn theirs(&self, tokens: &Tokens) -> String {
        written(tokens, |idx, number| {
            let sign = |offset: i64| match offset {
                0 => String::new(),
                _ => format!("{offset:+}"),
            };
            match self.theirs[idx] {
                (0, _) => number.to_string(),
                (1, offset) => format!("{{i{}}}", sign(offset)),
                (factor, offset) => format!("{{{factor}*i{}}}", sign(offset)),
            }
        })
    }
}

/// The name with its numbers written anew.
fn written(tokens: &Tokens, mut number: impl FnMut(usize, i64) -> String) -> String {
    let mut text = String::new();
    let mut n_numbers = 0;
    for token in &tokens.0 {
        match token {
            Token::Word(word) => text += &braces(word),
            Token::Number(value) => {
                text += &number(n_numbers, *value);
                n_numbers += 1;
            }
        }
    }
    text
}
