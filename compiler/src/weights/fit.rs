//! [`Weights`] x graph -> under which naming and which prefix the file has its tensors.

use std::collections::HashSet;

use super::form::{Form, Norms};
use super::naming::Naming;
use super::prefix::{self, Prefix};
use super::{Tensor, Weights};
use crate::describe::Description;
use crate::error::{Error, ErrorKind, Place, Result, quoted};
use crate::graph::{Graph, Knobs};

/// Of files with more tensors only the form that is described is tried: no network has so many.
const MOST_TENSORS: usize = 10_000;

/// How a file names the tensors of a graph.
#[derive(Clone, Debug)]
pub struct Fit {
    /// Whose names they are.
    pub naming: &'static Naming,
    /// What they have in front of these.
    pub prefix: Prefix,
    /// How many tensors of the graph the file hasn't.
    pub n_missing: usize,
    /// Prefixes of further copies of the network.
    pub copies: Vec<String>,
    n_found: usize,
}

/// A description's network as a file has it.
#[derive(Clone, Debug)]
pub struct Settled {
    /// By which names.
    pub fit: Fit,
    /// What it has otherwise.
    pub form: Form,
}

/// What the user says of a file's names.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asked<'a> {
    /// Whose they are.
    pub naming: Option<&'static Naming>,
    /// What they begin with.
    pub prefix: Option<&'a str>,
    /// Whether a network without its classifier would be another one.
    pub needs_classifier: bool,
}

impl Weights<'_> {
    /// How a file has the network of a description; `None` where it hasn't half of its tensors in any form. Where it has all of
    /// them in no form, the described one is taken: then what is missing is a fault.
    ///
    /// # Errors
    /// As [`Weights::fit`].
    pub fn settle(&self, description: &Description, asked: Asked<'_>) -> Result<Option<Settled>> {
        let asked_naming = asked.naming.as_slice();
        let namings = if asked_naming.is_empty() { Naming::ALL } else { asked_naming };
        let mut described = None;
        let has_norms = namings.iter().any(|naming| self.has_word(naming.variance_word()));
        for form in Form::all() {
            if form != Form::DESCRIBED && MOST_TENSORS < self.tensors.len() {
                break;
            }
            // What a file has of a network it has of it without its classifier or gammas too, but for one with its norms folded.
            let may_be = match form.norms {
                Norms::Folded => !has_norms,
                Norms::Described | Norms::WithoutGamma | Norms::WithoutBeta => {
                    form == Form::DESCRIBED || described.is_some()
                }
            };
            if !may_be {
                continue;
            }
            if form.is_headless && (asked.needs_classifier || description.is_headless) {
                continue;
            }
            let mut formed = description.clone();
            form.apply(&mut formed);
            let Ok(graph) = Graph::build(&formed, &Knobs::default()) else { continue };
            let Some(fit) = self.fit(&graph, namings, asked.prefix)? else { continue };
            let is_whole =
                fit.n_missing == 0 && (form == Form::DESCRIBED || !self.has_other(description, &graph, &fit));
            if is_whole {
                return Ok(Some(Settled { fit, form }));
            }
            if form == Form::DESCRIBED {
                described = Some(Settled { fit, form });
            }
        }
        Ok(described)
    }

    fn has_word(&self, word: &str) -> bool {
        self.names().any(|name| name.rsplit(['.', '/']).next() == Some(word))
    }

    /// Whether the file has a tensor of the description that it wouldn't have in the form of this graph.
    fn has_other(&self, description: &Description, formed: &Graph, fit: &Fit) -> bool {
        let Ok(described) = Graph::build(description, &Knobs::default()) else { return false };
        let names = |graph: &Graph| -> HashSet<String> {
            let specs = fit.naming.tensors(graph).unwrap_or_default();
            specs.into_iter().map(|spec| spec.tensor).collect()
        };
        let formed = names(formed);
        let mut others = names(&described).into_iter().filter(|name| !formed.contains(name));
        others.any(|name| self.tensors.contains_key(&fit.prefix.put_on(&name)))
    }

    /// The naming, one of these, and the prefix under which the file has the most tensors of a graph; `None` where it hasn't half of
    /// them under any. `asked` is the prefix that the user says.
    ///
    /// # Errors
    /// Two copies of the network, neither at the top of the file.
    pub fn fit(
        &self,
        graph: &Graph,
        namings: &[&'static Naming],
        asked: Option<&str>,
    ) -> Result<Option<Fit>> {
        let names: Vec<&str> = self.names().collect();
        let mut best: Option<Fit> = None;
        for &naming in namings {
            let Ok(specs) = naming.tensors(graph) else { continue };
            let wanted: HashSet<&str> = specs.iter().map(|spec| &*spec.tensor).collect();
            let Some(found) = prefix::best(&names, &wanted, asked) else { continue };
            if wanted.len() <= 2 * found.n_found
                && best.as_ref().is_none_or(|best| best.n_found < found.n_found)
            {
                best = Some(Fit {
                    naming,
                    prefix: found.prefix,
                    n_missing: wanted.len() - found.n_found,
                    copies: found.rivals,
                    n_found: found.n_found,
                });
            }
        }
        if let Some(Fit { prefix, copies, .. }) = &best
            && let (false, Some(other)) = (prefix.taken.is_empty(), copies.first())
        {
            let detail = format!(
                "found the network twice, as {} and as {}, expected one: say which with --prefix {}",
                quoted(&prefix.taken),
                quoted(other),
                prefix.taken
            );
            return Err(Error::new(ErrorKind::Weights, self.file(), detail));
        }
        Ok(best)
    }

    /// Fails where no tensor has the prefix that the user says.
    pub(crate) fn check_prefix(&self, asked: &str) -> Result<()> {
        let mut names = self.names();
        if names.any(|name| has_prefix(name, asked)) {
            return Ok(());
        }
        let first = self.names().next().map_or("none".to_owned(), quoted);
        let detail = format!(
            "found {}, expected what names in {} begin with, such as {first}",
            quoted(asked),
            self.place
        );
        Err(Error::new(ErrorKind::Weights, Place::flag("prefix"), detail))
    }

    /// Forgets the tensors that don't have the prefix that the user says.
    ///
    /// # Errors
    /// None has it.
    pub fn keep_prefix(&mut self, asked: &str) -> Result<()> {
        self.check_prefix(asked)?;
        self.tensors.retain(|name, _| has_prefix(name, asked));
        Ok(())
    }

    /// Gives the tensors the names without the prefix. Those that don't have it are nobody's from then on.
    pub(crate) fn take_off(&mut self, prefix: &Prefix) {
        if prefix.is_none() {
            return;
        }
        for (name, tensor) in std::mem::take(&mut self.tensors) {
            match prefix.take_off(&name) {
                Some(short) if !self.tensors.contains_key(&short) => {
                    let own_name = tensor.own_name.or_else(|| (short != name).then_some(name));
                    self.tensors.insert(short, Tensor { own_name, ..tensor });
                }
                Some(_) | None => {
                    self.outside.insert(name, tensor);
                }
            }
        }
        self.prefix = prefix.clone();
    }
}

/// Whether a name begins with what the user says, as a whole part.
fn has_prefix(name: &str, asked: &str) -> bool {
    match name.strip_prefix(asked) {
        Some(rest) => asked.is_empty() || asked.ends_with(['.', '/']) || rest.starts_with(['.', '/']),
        None => false,
    }
}
