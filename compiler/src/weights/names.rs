//! A file of names: what the tensors of somebody's weights are called here. Text -> [`Names`] -> renamed [`Weights`].
//!
//! A line has a name that `mnc tensors` lists and the name that the file of weights has in its place. After that no stage knows
//! that the file's names were others, but for messages. Lines are read in `lines`, matched in `pattern`.

mod lines;
mod pattern;
mod plain;
mod unknown;

use std::collections::{BTreeMap, BTreeSet};

use self::lines::{Entry, Value};
use self::pattern::{Glob, Pattern};
use super::layout::{self, Layout};
use super::naming::{AVERAGE, Naming, respelled};
use super::{MAX_LISTED, Weights};
use crate::error::{Error, ErrorKind, Fault, Place, Result, quoted};
use crate::graph::Graph;

/// A file of names.
#[derive(Clone, Debug)]
pub struct Names {
    /// What errors call it.
    place: String,
    lines: Vec<Line>,
    ignored: Vec<Ignored>,
    layout: Option<Layout>,
}

/// A name here for a name there.
#[derive(Clone, Debug)]
struct Line {
    at: Position,
    ours: Pattern,
    theirs: Pattern,
}

/// Tensors that no layer is to have.
#[derive(Clone, Debug)]
struct Ignored {
    at: Position,
    glob: Glob,
}

/// Where in the file something is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Position {
    line: usize,
    column: usize,
}

/// What became of a file's tensors.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Renamed {
    /// How many have another name now.
    pub n_renamed: usize,
    /// How many were to be ignored.
    pub n_ignored: usize,
    /// Lines of things to ignore that the weights haven't.
    pub unused: Vec<usize>,
}

impl Names {
    /// Reads a file of names. `place` names it in errors.
    ///
    /// ```
    /// use mnc::weights::names::Names;
    /// let text = r#"
    ///     axes = "HWIO"
    ///     ignore = ["*/ExponentialMovingAverage", "global_step"]
    ///     conv_1.weight = "stem/kernel"
    ///     conv_dw_{i}.weight = "block{i-1}/depthwise/kernel"
    /// "#;
    /// Names::parse(text, "names.toml")?;
    ///
    /// let error = Names::parse("conv_{i}.weight = \"stem\"", "names.toml").unwrap_err();
    /// assert_eq!(
    ///     error.to_string(),
    ///     "names.toml:1:1: found {i} in \"conv_{i}.weight\" alone, expected it in the file's name \"stem\" too"
    /// );
    /// # Ok::<(), mnc::Error>(())
    /// ```
    ///
    /// # Errors
    /// Every line that is none.
    pub fn parse(text: &str, place: &str) -> Result<Names> {
        let mut names =
            Names { place: place.to_owned(), lines: Vec::new(), ignored: Vec::new(), layout: None };
        let mut found = Vec::new();
        let mut layout_at: Option<usize> = None;
        for entry in lines::entries(text) {
            let added = entry.and_then(|Entry { key, value }| names.add(&key, value, &mut layout_at));
            if let Err((at, detail)) = added {
                found.push(Fault { place: names.position(at), detail });
            }
        }
        if found.is_empty() && names.lines.is_empty() && names.ignored.is_empty() && names.layout.is_none() {
            let detail = "found no line, expected some such as conv_1.weight = \"stem.weight\"";
            found.push(Fault { place: Place::file(place), detail: detail.to_owned() });
        }
        propagate(found, place)?;
        Ok(names)
    }

    fn add(
        &mut self,
        key: &lines::Text,
        value: Value,
        layout_at: &mut Option<usize>,
    ) -> Result<(), (Position, String)> {
        let at = key.at;
        match (key.text.as_str(), value) {
            ("axes", Value::One(text)) => {
                if let Some(line) = layout_at {
                    return Err((at, format!("found axes again, expected them once: line {line} has them")));
                }
                *layout_at = Some(at.line);
                let found = || format!("axes: found {}, expected {}", quoted(&text.text), layout::EXPECTED);
                self.layout = Some(Layout::by_name(&text.text).ok_or_else(|| (text.at, found()))?);
                Ok(())
            }
            ("ignore", Value::One(text)) => self.ignore(text),
            ("ignore", Value::List(texts)) => texts.into_iter().try_for_each(|text| self.ignore(text)),
            ("axes", Value::List(_)) => {
                Err((at, format!("axes: found a list, expected {}", layout::EXPECTED)))
            }
            (name, Value::Undecided(text)) => Err((
                text.at,
                format!(
                    "{name}: found ? before {}, expected a decision: take the ? away if it is right, or write the tensor that is",
                    quoted(&text.text)
                ),
            )),
            (name, Value::List(_)) => {
                Err((at, format!("{name}: found a list, expected the name of one tensor in quotes")))
            }
            (name, Value::One(text)) => {
                let ours = Pattern::parse(name).map_err(|detail| (at, detail))?;
                let theirs = Pattern::parse(&text.text).map_err(|detail| (text.at, detail))?;
                for (one, other, place, what) in
                    [(&ours, &theirs, at, "the file's name"), (&theirs, &ours, text.at, "the layer's name")]
                {
                    if let Some(letter) =
                        one.variables().find(|letter| !other.variables().any(|it| it == *letter))
                    {
                        let (one, other) = (quoted(one.text()), quoted(other.text()));
                        let detail =
                            format!("found {{{letter}}} in {one} alone, expected it in {what} {other} too");
                        return Err((place, detail));
                    }
                }
                if ours.variables().next().is_none()
                    && let Some(line) = self.lines.iter().find(|line| line.ours.text() == ours.text())
                {
                    let detail = format!(
                        "found {} again, expected it once: line {} has it",
                        quoted(name),
                        line.at.line
                    );
                    return Err((at, detail));
                }
                if self.lines.len() == MAX_LINES {
                    return Err((at, format!("found more than {MAX_LINES} lines, expected fewer")));
                }
                self.lines.push(Line { at, ours, theirs });
                Ok(())
            }
        }
    }

    fn ignore(&mut self, text: lines::Text) -> Result<(), (Position, String)> {
        if self.ignored.len() == MAX_PATTERNS {
            return Err((text.at, format!("found more than {MAX_PATTERNS} names to ignore, expected fewer")));
        }
        self.ignored.push(Ignored { at: text.at, glob: Glob::parse(&text.text) });
        Ok(())
    }

    fn position(&self, at: Position) -> Place {
        Place::Text { file: self.place.clone(), line: at.line, column: Some(at.column) }
    }

    /// The order of axes that the file states.
    pub fn layout(&self) -> Option<Layout> {
        self.layout
    }

    /// What the file of weights would call a tensor: the lines that speak of it, each with its number.
    pub(super) fn expected(&self, ours: &str) -> Vec<(usize, String)> {
        let lines = self.lines.iter();
        lines
            .filter_map(|line| Some((line.at.line, line.theirs.fill(&line.ours.matches(ours)?)?)))
            .take(MAX_LISTED)
            .collect()
    }

    /// What errors call the file.
    pub fn place(&self) -> &str {
        &self.place
    }
}

/// Lines in all: as many as a file of weights may have tensors.
const MAX_LINES: usize = 100_000;
/// Lines that have to be compared with every tensor.
const MAX_PATTERNS: usize = 1_000;

/// What the tensors of a file are called here, before they are.
struct Renaming<'n> {
    names: &'n Names,
    /// Those that a line without placeholders names.
    spoken_of: BTreeSet<String>,
    /// By the file's name.
    new: BTreeMap<String, (String, Position)>,
    /// By the new name.
    taken: BTreeMap<String, String>,
    faults: Vec<Fault>,
}

impl Renaming<'_> {
    fn add(&mut self, theirs: &str, ours: String, at: Position) {
        let place = self.names.position(at);
        if let Some((other, line)) = self.new.get(theirs) {
            let detail = format!(
                "found {} for {}, which line {} has for {}; expected one layer for a tensor",
                quoted(theirs),
                quoted(&ours),
                line.line,
                quoted(other)
            );
            self.faults.push(Fault { place, detail });
        } else if let Some(other) = self.taken.get(&ours) {
            let line = self.new.get(other).map_or(0, |(_, line)| line.line);
            let detail = format!(
                "found {} for {}, which line {line} says is {}; expected one tensor for a layer",
                quoted(theirs),
                quoted(&ours),
                quoted(other)
            );
            self.faults.push(Fault { place, detail });
        } else {
            self.taken.insert(ours.clone(), theirs.to_owned());
            self.new.insert(theirs.to_owned(), (ours, at));
        }
    }
}

impl Weights<'_> {
    /// Calls the tensors as the file of names says; those of which it doesn't speak keep their names. Its order of axes is taken,
    /// and the tensors that it ignores are left out.
    ///
    /// ```
    /// use mnc::weights::{Weights, names::Names};
    /// let header = r#"{"stem/w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}"#;
    /// let mut file = (header.len() as u64).to_le_bytes().to_vec();
    /// file.extend(header.as_bytes());
    /// file.extend([0; 8]);
    /// let mut weights = Weights::parse(&file, "net.safetensors")?;
    /// let renamed = weights.rename(&Names::parse("conv_1.bias = 'stem/w'", "names.toml")?)?;
    /// assert_eq!(renamed.n_renamed, 1);
    /// assert_eq!(weights.names().next(), Some("conv_1.bias"));
    /// # Ok::<(), mnc::Error>(())
    /// ```
    ///
    /// # Errors
    /// A line whose tensor the weights haven't; two lines for one tensor, or two tensors for one layer.
    pub fn rename(&mut self, names: &Names) -> Result<Renamed> {
        let mut renaming = Renaming {
            names,
            spoken_of: BTreeSet::new(),
            new: BTreeMap::new(),
            taken: BTreeMap::new(),
            faults: Vec::new(),
        };
        let n_patterns = names.lines.iter().filter(|line| line.theirs.variables().next().is_some()).count();
        if MAX_PATTERNS < n_patterns {
            let detail =
                format!("found {n_patterns} lines with placeholders, expected at most {MAX_PATTERNS}");
            return Err(Error::new(ErrorKind::Weights, Place::file(&names.place), detail));
        }
        // Those without placeholders first: they go before the others.
        let (plain, forms): (Vec<&Line>, Vec<&Line>) =
            names.lines.iter().partition(|line| line.theirs.variables().next().is_none());
        renaming.spoken_of = plain.iter().map(|line| line.theirs.stem()).collect();
        for line in plain.into_iter().chain(forms) {
            let is_used = self.match_line(line, &mut renaming);
            if !is_used {
                let nearest = self.nearest(&line.theirs.stem());
                let nearest =
                    nearest.map_or(String::new(), |name| format!(", the nearest is {}", quoted(name)));
                let detail = format!(
                    "found no tensor {} in {}{nearest}; expected one: mend the line or take it out",
                    quoted(line.theirs.text()),
                    self.place
                );
                renaming.faults.push(Fault { place: names.position(line.at), detail });
            }
        }
        let Renaming { new, faults: mut found, .. } = renaming;
        let (gone, unused) = self.ignored(names, &new, &mut found);
        for (theirs, (ours, at)) in &new {
            let stays = self.tensors.contains_key(ours) && !new.contains_key(ours) && !gone.contains(ours);
            if stays {
                let detail = format!(
                    "found {} for {}, a name that another tensor of {} has; expected a line for that one too, or `ignore`",
                    quoted(theirs),
                    quoted(ours),
                    self.place
                );
                found.push(Fault { place: names.position(*at), detail });
            }
        }
        found.sort_by_key(|fault| match fault.place {
            Place::Text { line, .. } => line,
            _ => 0,
        });
        propagate(found, &names.place)?;

        let told = Renamed { n_renamed: new.len(), n_ignored: gone.len(), unused };
        let tensors = std::mem::take(&mut self.tensors).into_iter().filter(|(name, _)| !gone.contains(name));
        self.tensors = tensors
            .map(|(name, mut tensor)| match new.get(&name) {
                Some((ours, _)) => {
                    tensor.own_name = Some(name);
                    (ours.clone(), tensor)
                }
                None => (name, tensor),
            })
            .collect();
        self.asked_layout = self.asked_layout.or(names.layout);
        self.file_of_names = Some(names.clone());
        Ok(told)
    }

    /// Calls tensors of TensorFlow and Keras as the tables of namings do, whatever the file's spelling: `conv_dw_1/depthwise_kernel:0` of
    /// Keras 2 becomes `conv_dw_1/kernel` of Keras 3.
    pub fn respell(&mut self) {
        // A name that the user gave stays.
        let own = self.tensors.iter().filter(|(_, tensor)| tensor.own_name.is_none());
        let mut new = respelled(own.map(|(name, _)| name.as_str()));
        new.retain(|_, spelled| !self.tensors.contains_key(spelled));
        if new.is_empty() {
            return;
        }
        let tensors = std::mem::take(&mut self.tensors).into_iter();
        self.tensors = tensors
            .map(|(name, mut tensor)| match new.remove(&name) {
                Some(spelled) => {
                    tensor.own_name.get_or_insert(name);
                    (spelled, tensor)
                }
                None => (name, tensor),
            })
            .collect();
    }

    /// Whether a file of names renamed tensors of nobody that are as PyTorch's modules have them: those of TensorFlow have another order of
    /// axes.
    pub(crate) fn has_torch_names(&self, graph: &Graph, naming: &Naming) -> bool {
        let n_renamed = self.tensors.values().filter(|tensor| tensor.own_name.is_some()).count();
        let is_of_nobody = self.file_of_names.is_some() && *naming == Naming::PLAIN;
        is_of_nobody
            && self.tensors.len() < 2 * n_renamed
            && self.layout(graph, naming).is_ok_and(|layout| layout == Layout::Oihw)
    }

    /// Whether tensors are moving averages, of which the file has nothing else.
    pub(crate) fn are_averages(&self) -> bool {
        let mut own = self.tensors.values().filter_map(|tensor| tensor.own_name.as_deref());
        // A user's file of names says itself what it takes.
        self.file_of_names.is_none() && own.any(|name| name.ends_with(AVERAGE))
    }

    /// Whether there is a tensor for a line.
    fn match_line(&self, line: &Line, renaming: &mut Renaming<'_>) -> bool {
        if line.theirs.variables().next().is_none() {
            let theirs = line.theirs.stem();
            let is_there = self.tensors.contains_key(&theirs);
            if is_there {
                renaming.add(&theirs, line.ours.stem(), line.at);
            }
            return is_there;
        }
        let mut is_used = false;
        let stem = line.theirs.stem();
        for theirs in self.tensors.range(stem.clone()..).map(|(name, _)| name) {
            if !theirs.starts_with(&stem) {
                break;
            }
            let Some(numbers) = line.theirs.matches(theirs).filter(|_| !renaming.spoken_of.contains(theirs))
            else {
                continue;
            };
            // The layer's name may have no number so small.
            let Some(ours) = line.ours.fill(&numbers) else { continue };
            is_used = true;
            renaming.add(theirs, ours, line.at);
        }
        is_used
    }

    /// The tensors to leave out, and the lines that name none.
    fn ignored(
        &self,
        names: &Names,
        new: &BTreeMap<String, (String, Position)>,
        found: &mut Vec<Fault>,
    ) -> (BTreeSet<String>, Vec<usize>) {
        let (mut gone, mut unused) = (BTreeSet::new(), Vec::new());
        for Ignored { at, glob } in &names.ignored {
            let mut is_used = false;
            for name in self.tensors.keys().filter(|name| glob.matches(name)) {
                is_used = true;
                if let Some((ours, line)) = new.get(name) {
                    let detail = format!(
                        "found {} to ignore, which line {} has for {}; expected one of the two",
                        quoted(name),
                        line.line,
                        quoted(ours)
                    );
                    found.push(Fault { place: names.position(*at), detail });
                }
                gone.insert(name.clone());
            }
            if !is_used {
                unused.push(at.line);
            }
        }
        (gone, unused)
    }

    /// The tensor whose name begins as this one for the longest.
    fn nearest(&self, name: &str) -> Option<&str> {
        let shared = |other: &str| name.bytes().zip(other.bytes()).take_while(|(a, b)| a == b).count();
        let around =
            [self.tensors.range(name.to_owned()..).next(), self.tensors.range(..name.to_owned()).next_back()];
        let around = around.into_iter().flatten().map(|(other, _)| other.as_str());
        around.max_by_key(|other| shared(other)).filter(|other| 0 < shared(other))
    }
}

/// One error of all faults; the first of them where there are many.
fn propagate(found: Vec<Fault>, place: &str) -> Result<()> {
    let mut faults = crate::error::Faults::new(ErrorKind::Weights);
    super::push_listed(&mut faults, Place::file(place), found);
    faults.propagate()
}

#[cfg(test)]
mod tests;
