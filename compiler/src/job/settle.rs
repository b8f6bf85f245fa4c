//! A job and the tensors of its file: whose names they have, what of the network they are, and what nobody else says of it.

use std::ffi::OsStr;
use std::path::Path;

use super::{Job, Note, WARNING};
use crate::describe::{Description, builtin};
use crate::error::{Error, ErrorKind, Place, Result, plural, quoted};
use crate::graph::{Graph, Knobs, Node, Role};
use crate::request::{Labels, Trained};
use crate::weights::config::{PYTORCH, Relative};
use crate::weights::naming::{Naming, Role as TensorRole};
use crate::weights::{Asked, Leftovers, Norms, Settled, Weights};

impl Job {
    /// Gives the tensors the names of a naming, and takes from them what no configuration says: how the network is in the file, whose
    /// code has written it, and its classes.
    pub(super) fn settle(&mut self, weights: &mut Weights<'_>) -> Result<()> {
        let is_builtin = super::is_builtin(&self.written);
        let prefix = self.prefix.clone();
        if let Some(prefix) = &prefix {
            weights.check_prefix(prefix)?;
        }
        let asked = Asked { naming: self.naming, prefix: prefix.as_deref(), needs_classifier: !is_builtin };
        weights.adopt_names(self.description(), asked)?;
        let relative = self.take_relative(weights, asked)?;
        let description = &mut self.configured.description;
        let Some(Settled { fit, form }) = weights.settle(description, asked)? else {
            return self.check_naming(weights, asked);
        };
        weights.take_off(&fit.prefix);
        form.apply(description);
        let Ok(graph) = Graph::build(description, &Knobs::default()) else { return Ok(()) };
        if !fit.prefix.is_none() {
            self.note("prefix", fit.prefix.to_string());
        }
        if form.norms != Norms::Described {
            self.note("norms", form.norms.to_string());
        }
        if form.is_headless {
            self.check_classifier(weights, &graph, fit.naming)?;
            self.note(
                "features",
                "the file has no classifier: the network returns what that would read".to_owned(),
            );
        }
        self.drop_labels_of_classes(&graph);
        let rounding = self.configured.description.rounding;
        let place = weights.place().to_owned();
        let has_torch_names = weights.has_torch_names(&graph, fit.naming);
        let trained = Trained {
            naming: if has_torch_names { PYTORCH } else { fit.naming.name },
            relative: relative
                .as_ref()
                .filter(|relative| relative.naming == "timm")
                .map(|relative| relative.model),
            names: &names_in(&place),
            is_builtin,
        };
        if self.configured.take_exporter(&trained, self.written.said) {
            // Widths are facts: the exporter's rounding may not be that of these.
            let fits = |job: &Job| weights.infer_alpha(job.description(), Some(fit.naming)).is_ok();
            if !fits(self) {
                self.configured.description.rounding = rounding;
            }
            self.assumed = self.configured.assumed(self.written.said);
        }
        if let Some(classes) = weights.classes(&graph, fit.naming).filter(|_| is_builtin)
            && self.configured.take_classes(classes)
        {
            self.note("classes", format!("{classes}, as many as the weights' classifier has"));
        }
        if let Some(dtype) = weights.rounded(&graph, fit.naming) {
            self.note("rounded", format!("numbers of {dtype} to F32, each once"));
        }
        self.forget_classifier(weights, &graph, fit.naming);
        let left = weights.leftovers(&graph, fit.naming);
        self.tell_leftovers(weights, &left, &fit.copies)
    }

    /// Makes the built-in network the relative of it that the tensors are of, where no configuration says what it is.
    fn take_relative(&mut self, weights: &Weights<'_>, asked: Asked<'_>) -> Result<Option<Relative>> {
        let description = &self.configured.description;
        let Some(network) = builtin(&description.name).filter(|_| super::is_builtin(&self.written)) else {
            return Ok(None);
        };
        // Who says otherwise says it of these layers.
        if self.configured.names_model() {
            return Ok(None);
        }
        let description = &mut self.configured.description;
        let relative = weights.relative(network, description, asked)?;
        if let Some(relative) = &relative {
            relative.apply(description);
            self.note("model", format!("{}, by its tensors", relative.model));
        }
        Ok(relative)
    }

    /// A classifier that is there and not asked for is no tensor too many.
    fn forget_classifier(&self, weights: &mut Weights<'_>, graph: &Graph, naming: &Naming) {
        let whole = Description { is_headless: false, ..self.description().clone() };
        if let (true, Ok(whole)) = (graph.is_headless, Graph::build(&whole, &Knobs::default())) {
            weights.forget_others(&whole, graph, naming);
        }
    }

    /// Where the network has no classifier, a configuration's labels name nothing of it.
    fn drop_labels_of_classes(&mut self, graph: &Graph) {
        let is_classifier = |node: &Node| node.origin.is_some_and(|origin| origin.role == Role::Classifier);
        let n_outputs: usize = graph.outputs.iter().map(|id| graph.node(*id).shape().len()).sum();
        let has_classes = graph.nodes.iter().any(is_classifier);
        let n_labels = match &self.labels {
            Labels::Named(labels) | Labels::Unsaid(labels) => labels.len(),
            Labels::None | Labels::ImageNet => 0,
        };
        let name_others = 0 < n_labels && n_labels != n_outputs && graph.detect.is_none() && !has_classes;
        if self.labels_file.is_none() && (graph.is_headless || name_others) {
            self.labels = Labels::None;
        }
    }

    fn note(&mut self, subject: &'static str, text: String) {
        self.notes.push(Note { subject, text });
    }

    /// One line where the names are another exporter's than the user says.
    fn check_naming(&self, weights: &Weights<'_>, asked: Asked<'_>) -> Result<()> {
        let Some(naming) = asked.naming else { return Ok(()) };
        let others = Asked { naming: None, ..asked };
        let Some(found) = weights.settle(self.description(), others)? else { return Ok(()) };
        let detail =
            format!("found tensors named as by {}, expected {naming}: leave `naming` out", found.fit.naming);
        Err(Error::new(ErrorKind::Weights, Place::file(weights.place()), detail))
    }

    /// A network may lose its classifier, but not because that has another name.
    fn check_classifier(&self, weights: &Weights<'_>, graph: &Graph, naming: &Naming) -> Result<()> {
        let Some((name, shape)) = weights.other_classifier(graph, naming) else { return Ok(()) };
        let lines = self.lines_of_classifier(weights, &name, naming);
        let way = match lines.is_empty() {
            true => format!("rename it as `mnc tensors {}` lists it", self.written.description.name),
            false => format!("write {} into a file for --names", lines.join(" and ")),
        };
        let detail = format!(
            "found no classifier by the naming {naming}, but {} {shape:?}, which may be it: {way}, or ask for the features \
             without it (--features)",
            quoted(&name)
        );
        Err(Error::new(ErrorKind::Weights, Place::file(weights.place()), detail))
    }

    /// What a file of names would say of a tensor that may be the classifier's filter, and of its bias.
    fn lines_of_classifier(&self, weights: &Weights<'_>, name: &str, naming: &Naming) -> Vec<String> {
        let whole = Description { is_headless: false, ..self.description().clone() };
        let specs =
            Graph::build(&whole, &Knobs::default()).ok().and_then(|graph| Naming::PLAIN.tensors(&graph).ok());
        let specs = specs.unwrap_or_default();
        let Some(last) = specs.iter().rev().find(|spec| spec.role == TensorRole::Weight) else {
            return Vec::new();
        };
        let module = name.rfind(['.', '/']).map_or("", |at| &name[..=at]);
        let of_role =
            |role: TensorRole| specs.iter().find(|spec| spec.node == last.node && spec.role == role);
        let line = |role: TensorRole, theirs: &str| {
            Some(format!("`{} = {}`", of_role(role)?.tensor, quoted(theirs)))
        };
        let bias = Some(format!("{module}{}", naming.bias_word())).filter(|bias| weights.has_in_file(bias));
        let lines = [line(TensorRole::Weight, name), bias.and_then(|bias| line(TensorRole::Bias, &bias))];
        lines.into_iter().flatten().collect()
    }

    fn tell_leftovers(&mut self, weights: &Weights<'_>, left: &Leftovers, copies: &[String]) -> Result<()> {
        let n_left = left.names.len();
        if n_left == 0 {
            return Ok(());
        }
        if self.strict {
            let detail = Leftovers::refusal(&left.names);
            return Err(Error::new(ErrorKind::Weights, Place::file(weights.place()), detail));
        }
        let (shown, noun) = (Leftovers::shown(&left.names), plural(n_left, "tensor"));
        self.note("left out", format!("{n_left} {noun} that no layer wants, {} bytes: {shown}", left.bytes));
        if let Some(copy) = copies.first() {
            self.note(
                "left out",
                format!("another copy of the network among them: --prefix {copy} takes it"),
            );
        }
        if !left.of_layers.is_empty() {
            let text = format!(
                "{} of them named as layers are ({}): does the description lack a layer?",
                left.of_layers.len(),
                Leftovers::shown(&left.of_layers)
            );
            self.note(WARNING, text);
        }
        Ok(())
    }
}

/// The names of a file and its folder.
fn names_in(path: &str) -> Vec<&str> {
    Path::new(path).iter().rev().take(2).filter_map(OsStr::to_str).collect()
}

#[cfg(test)]
mod tests;
