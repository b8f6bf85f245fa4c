//! [`Weights`] -> which built-in network they are of, where nobody says it: its names and shapes are tried.

use super::fit::{Asked, Settled};
use super::naming::{Naming, Role};
use super::{Leftovers, Weights};
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
    /// Tensors that are named as layers are and that the network hasn't, by their names in the file.
    unknown: Vec<String>,
}

impl Weights<'_> {
    /// The built-in network that has these tensors, with the same widths at some alpha; the number of classes is the file's, which
    /// may lack the classifier. Tensors of no layer don't matter, but one that is named as a layer's is of another network.
    ///
    /// # Errors
    /// None has; the nearest one is told. Two copies of it.
    ///
    /// ```
    /// use mnc::graph::{Graph, Knobs};
    /// use mnc::weights::{Asked, Parameters, Weights, naming::Naming};
    /// let description = mnc::describe::builtin("mobilenet-v1").unwrap().description();
    /// let graph = Graph::build(&description, &Knobs { alpha: 0.25, resolution: None })?;
    /// let file = Parameters::random(&graph, 1).to_safetensors(&graph, &Naming::TIMM)?;
    /// let found = Weights::parse(&file, "net.safetensors")?.recognise(Asked::default())?;
    /// assert_eq!((found.network.name, found.naming.name), ("mobilenet-v1", "timm"));
    /// # Ok::<(), mnc::Error>(())
    /// ```
    pub fn recognise(&self, asked: Asked<'_>) -> Result<Recognised> {
        let mut nearest: Option<Fit> = None;
        for network in describe::BUILTIN {
            let mut description = network.description();
            let Some(Settled { fit: found, form }) = self.settle(&description, asked)? else { continue };
            form.apply(&mut description);
            let graph = Graph::build(&description, &Knobs::default())?;
            let naming = found.naming;
            let mut tensors = self.borrowed();
            tensors.take_off(&found.prefix);
            let mut unknown = tensors.leftovers(&graph, naming).of_layers;
            unknown.extend(tensors.surplus(&graph, naming).into_iter().map(|(name, _)| name));
            let fit = Fit {
                recognised: Recognised { network, naming },
                n_expected: naming.tensors(&graph)?.len(),
                n_missing: found.n_missing,
                unknown,
            };
            let is_whole = fit.n_missing == 0 && fit.unknown.is_empty();
            if is_whole && tensors.infer_alpha(&description, Some(naming)).is_ok() {
                return Ok(fit.recognised);
            }
            let distance = |fit: &Fit| fit.n_missing + fit.unknown.len();
            if nearest.as_ref().is_none_or(|other| distance(&fit) < distance(other)) {
                nearest = Some(fit);
            }
        }
        Err(Error::new(ErrorKind::Weights, self.file(), self.unrecognised(nearest)))
    }

    fn unrecognised(&self, nearest: Option<Fit>) -> String {
        let examples: Vec<String> = self.names().take(3).map(quoted).collect();
        let found = if examples.is_empty() { "no tensors".to_owned() } else { examples.join(", ") };
        let networks: Vec<&str> = describe::BUILTIN.iter().map(|network| network.name).collect();
        let why = match nearest {
            Some(Fit { recognised, n_missing: 0, unknown, .. }) if unknown.is_empty() => {
                format!(
                    "; of {}, in the naming {}, no alpha has their widths",
                    recognised.network.name, recognised.naming
                )
            }
            Some(Fit { recognised, n_expected, n_missing, unknown }) => {
                let such = match unknown.is_empty() {
                    true => String::new(),
                    false => format!(" ({})", Leftovers::shown(&unknown)),
                };
                format!(
                    "; {}, in the naming {}, misses {n_missing} of its {n_expected} tensors and doesn't know {} others{such}",
                    recognised.network.name,
                    recognised.naming,
                    unknown.len()
                )
            }
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
                let found = weights
                    .recognise(Asked::default())
                    .unwrap_or_else(|error| panic!("{} {naming}: {error}", network.name));
                assert_eq!((found.network, found.naming), (network, *naming));
                assert_eq!(weights.classes(&graph, naming), Some(3));

                let names: Vec<String> =
                    naming.tensors(&graph).unwrap().into_iter().map(|spec| spec.tensor).collect();
                let mut changed = weights.clone();
                let lost = names[random.bits() as usize % names.len()].clone();
                let tensor = changed.tensors.remove(&lost).unwrap();
                let error = changed.recognise(Asked::default()).unwrap_err().to_string();
                let expected = format!("{}, in the naming {naming}, misses 1 of its", network.name);
                assert!(error.contains(&expected), "{error}");
                changed.tensors.insert("another".to_owned(), tensor);
                assert!(changed.recognise(Asked::default()).is_err());
            }
        }
    }
}
