//! The one error type: what stage failed, and every fault that the stage found.
//!
//! A fault is a place and a detail ("found, expected"), one lower-case line without a full stop. A stage collects its
//! faults in [`Faults`] and reports them together, so that a user mends a file once, not once a run.

use std::borrow::Cow;
use std::fmt;
use std::path::Path;

/// The stage, and so the kind of input, that an [`Error`] speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// An option of the caller: alpha, resolution, a name, a combination that can't be.
    Options,
    /// The network description (TOML).
    Description,
    /// The weights file, or a configuration beside it.
    Weights,
    /// The graph that description, alpha and resolution give: a shape that can't be.
    Graph,
    /// A file of choices for the schedule.
    Schedule,
    /// The target triple or CPU.
    Target,
    /// Writing code, objects or executables.
    Emit,
    /// Reading or writing a file, running a tool.
    Io,
    /// What was asked of a network, and none meets: a budget.
    Unmet,
}

impl ErrorKind {
    fn noun(self) -> &'static str {
        match self {
            ErrorKind::Options => "options",
            ErrorKind::Description => "network description",
            ErrorKind::Weights => "weights",
            ErrorKind::Graph => "network",
            ErrorKind::Schedule => "schedule",
            ErrorKind::Target => "target",
            ErrorKind::Emit => "emitted code",
            ErrorKind::Io => "files",
            ErrorKind::Unmet => "demands",
        }
    }
}

/// Where something is wrong. Doors point there; only `Display` makes text of it.
///
/// ```
/// use mnc::{Place, describe::Description};
/// let error = Description::parse("name = \"net\"\nclasses = 0\n", "net.toml").unwrap_err();
/// let place = &error.faults()[2].place;
/// assert_eq!(*place, Place::Text { file: "net.toml".to_owned(), line: 2, column: Some(11) });
/// assert_eq!(place.to_string(), "net.toml:2:11");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A position in a text: `net.toml:12:5`.
    Text {
        /// As the user named it.
        file: String,
        /// From 1.
        line: usize,
        /// From 1, in characters; `None` where the fault is of the whole line.
        column: Option<usize>,
    },
    /// What a file has under a key, without a position: `config.json: size: shortest_edge`.
    Entry {
        /// As the user named it.
        file: String,
        /// Keys from the outside in, each but the last with a colon.
        key: String,
    },
    /// A tensor of a weights file.
    Tensor {
        /// As the user named it.
        file: String,
        /// Quoted where it is shown.
        name: String,
    },
    /// A file or folder, as the user named it.
    File(String),
    /// A layer of the network.
    Layer(String),
    /// An option or a knob, as the door spells it: `--weights`, `alpha`.
    Flag(String),
    /// Anything else that has a name: the network as a whole, a target, a tool, a symbol.
    Named(String),
}

impl Place {
    /// A line of a text, from 1.
    pub fn line(file: &str, line: usize) -> Place {
        Place::Text { file: file.to_owned(), line, column: None }
    }

    /// A file or folder.
    pub fn file(path: impl AsRef<Path>) -> Place {
        Place::File(path.as_ref().display().to_string())
    }

    /// A layer.
    pub fn layer(name: &str) -> Place {
        Place::Layer(name.to_owned())
    }

    /// An option or a knob.
    pub fn flag(name: &str) -> Place {
        Place::Flag(name.to_owned())
    }

    /// Anything else that has a name.
    pub fn named(name: impl Into<String>) -> Place {
        Place::Named(name.into())
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Text { file, line, column: Some(column) } => {
                write!(f, "{}:{line}:{column}", one_line(file))
            }
            Place::Text { file, line, column: None } => write!(f, "{}:{line}", one_line(file)),
            Place::Entry { file, key } => write!(f, "{}: {}", one_line(file), one_line(key)),
            Place::Tensor { file, name } => write!(f, "{}: tensor {}", one_line(file), quoted(name)),
            Place::File(name) | Place::Layer(name) | Place::Flag(name) | Place::Named(name) => {
                f.write_str(&one_line(name))
            }
        }
    }
}

/// A name from a file, fit for one line of a message: quoted, escaped, cut when absurdly long.
pub(crate) fn quoted(name: &str) -> String {
    quoted_to(name, 120)
}

/// The same, cut behind so many characters.
pub(crate) fn quoted_to(name: &str, most_chars: usize) -> String {
    match name.char_indices().nth(most_chars) {
        None => format!("{name:?}"),
        Some((end, _)) => format!("{:?}... ({} bytes)", &name[..end], name.len()),
    }
}

/// Whether a character only takes its place in a line: none that moves a terminal's cursor or turns the direction of text.
pub fn is_plain(letter: char) -> bool {
    let turns = matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    !letter.is_control() && !turns
}

/// A text that somebody else has written, fit for one line: characters that are not [plain](is_plain) are escaped.
///
/// ```
/// assert_eq!(mnc::one_line("caf\u{e9}\n\u{1b}[31m"), "caf\u{e9}\\n\\u{1b}[31m");
/// ```
pub fn one_line(text: &str) -> Cow<'_, str> {
    if text.chars().all(is_plain) {
        return Cow::Borrowed(text);
    }
    let mut line = String::with_capacity(text.len() + 8);
    for letter in text.chars() {
        match is_plain(letter) {
            true => line.push(letter),
            false => line.extend(letter.escape_default()),
        }
    }
    Cow::Owned(line)
}

/// The word for so many.
pub(crate) fn plural(number: usize, word: &str) -> String {
    format!("{word}{}", if number == 1 { "" } else { "s" })
}

/// One thing that is wrong: where, and what was found and expected there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where.
    pub place: Place,
    /// What was found, what was expected and, where it isn't plain, what to do.
    pub detail: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.detail)
    }
}

/// Why the compiler stopped: the stage and all of its faults.
///
/// ```
/// use mnc::{Error, ErrorKind, Place};
/// let error = Error::new(ErrorKind::Options, Place::flag("alpha"), "found 0, expected a number above 0");
/// assert_eq!(error.to_string(), "alpha: found 0, expected a number above 0");
/// ```
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    faults: Vec<Fault>,
    /// Faults that stand together in one line of the list, but for the first of them.
    n_unlisted: usize,
}

/// What a fallible function of this crate returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error with one fault.
    pub fn new(kind: ErrorKind, place: Place, detail: impl Into<String>) -> Error {
        Error::of(kind, Fault { place, detail: detail.into() })
    }

    /// An error with this fault.
    pub fn of(kind: ErrorKind, fault: Fault) -> Error {
        Error(Box::new(Inner { kind, faults: vec![fault], n_unlisted: 0 }))
    }

    /// The stage that failed.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Every fault, in the order in which the stage met them; at least one.
    pub fn faults(&self) -> &[Fault] {
        &self.0.faults
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.faults() {
            [fault] => write!(f, "{fault}"),
            faults => {
                let n_faults = faults.len() + self.0.n_unlisted;
                write!(f, "{n_faults} faults in the {}:", self.0.kind.noun())?;
                faults.iter().try_for_each(|fault| write!(f, "\n  {fault}"))
            }
        }
    }
}

/// As it is displayed: a build script's `main` returns it, and Rust prints that with `Debug`.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Error {}

/// The faults that a stage has met so far.
pub(crate) struct Faults {
    kind: ErrorKind,
    faults: Vec<Fault>,
    n_unlisted: usize,
}

impl Faults {
    pub(crate) fn new(kind: ErrorKind) -> Faults {
        Faults { kind, faults: Vec::new(), n_unlisted: 0 }
    }

    pub(crate) fn push(&mut self, place: Place, detail: impl Into<String>) {
        self.faults.push(Fault { place, detail: detail.into() });
    }

    /// Counts further faults like those before, at least one, in one line.
    pub(crate) fn push_more(&mut self, place: Place, n_more: usize) {
        self.push(place, format!("{n_more} more faults of the same sort"));
        self.n_unlisted += n_more - 1;
    }

    /// `Ok(())` when nothing was wrong, else one error with every fault.
    pub(crate) fn propagate(self) -> Result<()> {
        if self.faults.is_empty() {
            return Ok(());
        }
        Err(Error(Box::new(Inner { kind: self.kind, faults: self.faults, n_unlisted: self.n_unlisted })))
    }
}
