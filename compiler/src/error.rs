//! The one error type: what stage failed, and every fault that the stage found.
//!
//! A fault is a place and a detail ("found, expected"), one lower-case line without a full stop. A stage collects its
//! faults in [`Faults`] and reports them together, so that a user mends a file once, not once a run.

use std::fmt;

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

/// One thing that is wrong: where, and what was found and expected there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where: `net.toml:12:5`, a layer, a tensor, a flag. Never empty.
    pub place: String,
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
/// use mnc::{Error, ErrorKind};
/// let error = Error::new(ErrorKind::Options, "alpha", "found 0, expected a number above 0");
/// assert_eq!(error.to_string(), "alpha: found 0, expected a number above 0");
/// ```
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    faults: Vec<Fault>,
}

/// What a fallible function of this crate returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error with one fault.
    pub fn new(kind: ErrorKind, place: impl Into<String>, detail: impl Into<String>) -> Error {
        Error(Box::new(Inner { kind, faults: vec![Fault { place: place.into(), detail: detail.into() }] }))
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
                write!(f, "{} faults in the {}:", faults.len(), self.0.kind.noun())?;
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
}

impl Faults {
    pub(crate) fn new(kind: ErrorKind) -> Faults {
        Faults { kind, faults: Vec::new() }
    }

    pub(crate) fn push(&mut self, place: impl Into<String>, detail: impl Into<String>) {
        self.faults.push(Fault { place: place.into(), detail: detail.into() });
    }

    /// `Ok(())` when nothing was wrong, else one error with every fault.
    pub(crate) fn propagate(self) -> Result<()> {
        if self.faults.is_empty() {
            return Ok(());
        }
        Err(Error(Box::new(Inner { kind: self.kind, faults: self.faults })))
    }
}
