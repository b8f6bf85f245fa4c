//! [`Weights`] -> which built-in network they are of, where nobody says it: its names and shapes are tried.

use std::collections::BTreeSet;

use super::Weights;
use super::naming::{Naming, Role};
use crate::describe::{self, Builtin};
use crate::error::{Error, ErrorKind, Result, quoted};
use crate::graph::{Graph, Knobs, Role as LayerRole};

/// A built-in network whose tensors these are.
#[derive(Clone, Copy, Debug)]
pub struct Recognised {
    /// The network.
    pub network: &'static Builtin,
    /// Whose names the tensors have.
    pub naming: &'static Naming,
}

/// How well a network fits.
struct Fit {
    recognised: Recognised,
    n_expected: usize,
    n_missing: usize,
    n_unknown: usize,
}

impl Weights<'_> {
    /// The built-in network that has exactly these tensors, with the same widths at some alpha; the number of classes is the file's.
    ///
    /// # Errors
    /// None has; the nearest one is told.
    ///
    /// ```
    /// use mnc::graph::{Graph, Knobs};
    /// use mnc::weights::{Parameters, Weights, naming::Naming};
    /// let description = mnc::describe::builtin("mobilenet-v1").unwrap().description();
    /// let graph = Graph::build(&description, &Knobs { alpha: 0.25, resolution: None })?;
    /// let file = Parameters::random(&graph, 1).to_safetensors(&graph, &Naming::TIMM)?;
    /// let found = Weights::parse(&file, "net.safetensors")?.recognise()?;
    /// assert_eq!((found.network.name, found.naming.name), ("mobilenet-v1", "timm"));
    /// # Ok::<(), mnc::Error>(())
    /// ```
    pub fn recognise(&self) -> Result<Recognised> {
        let mut nearest: Option<Fit> = None;
        for network in describe::BUILTIN {
            let graph = Graph::build(&network.description(), &Knobs::default())?;
            for naming in Naming::ALL {
                let Some(fit) = self.fit(Recognised { network, naming }, &graph) else { continue };
                let is_whole = fit.n_missing == 0 && fit.n_unknown == 0;
                if is_whole && self.infer_alpha(&network.description(), Some(naming)).is_ok() {
                    return Ok(fit.recognised);
                }
                let distance = |fit: &Fit| fit.n_missing + fit.n_unknown;
                if nearest.as_ref().is_none_or(|other| distance(&fit) < distance(other)) {
                    nearest = Some(fit);
                }
            }
        }
        Err(Error::new(ErrorKind::Weights, self.file(), self.unrecognised(nearest)))
    }

    fn fit(&self, recognised: Recognised, graph: &Graph) -> Option<Fit> {
        let naming = recognised.naming;
        let specs = naming.tensors(graph).ok()?;
        let n_missing = specs.iter().filter(|spec| self.shape(&spec.tensor).is_none()).count();
        let mut known: BTreeSet<String> = naming.bookkeeping(graph).into_iter().collect();
        known.extend(specs.iter().map(|spec| spec.tensor.clone()));
        let n_unknown = self.names().filter(|&name| !known.contains(name)).count();
        // One tensor of many says nothing.
        (2 * n_missing <= specs.len()).then_some(Fit {
            recognised,
            n_expected: specs.len(),
            n_missing,
            n_unknown,
        })
    }

    fn unrecognised(&self, nearest: Option<Fit>) -> String {
        let examples: Vec<String> = self.names().take(3).map(quoted).collect();
        let found = if examples.is_empty() { "no tensors".to_owned() } else { examples.join(", ") };
        let networks: Vec<&str> = describe::BUILTIN.iter().map(|network| network.name).collect();
        let why = match nearest {
            Some(Fit { recognised, n_missing: 0, n_unknown: 0, .. }) => {
                format!(
                    "; of {}, in the naming {}, no alpha has their widths",
                    recognised.network.name, recognised.naming
                )
            }
            Some(Fit { recognised, n_expected, n_missing, n_unknown }) => format!(
                "; {}, in the naming {}, misses {n_missing} of its {n_expected} tensors and doesn't know {n_unknown} others",
                recognised.network.name, recognised.naming
            ),
            None => String::new(),
        };
        format!(
            "found {found} ({} in all), expected the tensors of {}, or a description of the network{why}",
            self.names().count(),
            networks.join(", ")
        )
    }

    /// How many classes the file's classifier has, under that naming.
    pub fn classes(&self, graph: &Graph, naming: &Naming) -> Option<usize> {
        let specs = self.specs(graph, naming).ok()?;
        let is_classifier =
            |id| graph.node(id).origin.is_some_and(|origin| origin.role == LayerRole::Classifier);
        let spec = specs.iter().find(|spec| spec.role == Role::Weight && is_classifier(spec.node))?;
        spec.layout.outputs(self.shape(&spec.tensor)?)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Parameters;
    use super::*;
    use crate::random::Random;

    /// Every built-in network is told from all others, in each naming that has names for it; and what has lost or gained a tensor is
    /// none.
    #[test]
    fn every_network_is_told_apart() {
        let mut random = Random::new(5);
        for network in describe::BUILTIN {
            let knobs = Knobs { alpha: 0.5, resolution: None };
            let mut description = network.description();
            description.classes = 3;
            let graph = Graph::build(&description, &knobs).unwrap();
            for naming in Naming::ALL {
                let parameters = Parameters::zeros(&graph);
                let Ok(bytes) = parameters.to_safetensors(&graph, naming) else { continue };
                let weights = Weights::parse(&bytes, "w").unwrap();
                let found =
                    weights.recognise().unwrap_or_else(|error| panic!("{} {naming}: {error}", network.name));
                assert_eq!((found.network, found.naming), (network, *naming));
                assert_eq!(weights.classes(&graph, naming), Some(3));

                let names: Vec<String> =
                    naming.tensors(&graph).unwrap().into_iter().map(|spec| spec.tensor).collect();
                let mut changed = weights.clone();
                let lost = names[random.bits() as usize % names.len()].clone();
                let tensor = changed.tensors.remove(&lost).unwrap();
                let error = changed.recognise().unwrap_err().to_string();
                let expected = format!("{}, in the naming {naming}, misses 1 of its", network.name);
                assert!(error.contains(&expected), "{error}");
                changed.tensors.insert("another".to_owned(), tensor);
                assert!(changed.recognise().is_err());
            }
        }
    }
}
