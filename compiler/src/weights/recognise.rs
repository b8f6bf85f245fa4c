//! [`Weights`] -> which built-in network they are of, where nobody says it: its names and shapes are tried.

use super::config::{Exporter, Relative, Said};
use super::fit::{Asked, Settled};
use super::naming::{Naming, Role};
use super::{Leftovers, Weights};
use crate::describe::{self, Builtin, Description};
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
    /// What the file lacks, by the names that it would have there.
    missing: Vec<String>,
    /// Tensors that are named as layers are and that the network hasn't, by their names in the file.
    unknown: Vec<String>,
    /// All of them are there, no others, and some alpha has their widths.
    is_whole: bool,
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
            let description = network.description();
            let mut tensors = self.borrowed();
            tensors.adopt_names(&description, asked)?;
            let Some(fit) = tensors.fit_of(network, &description, asked)? else { continue };
            if fit.is_whole || tensors.relative(network, &description, asked)?.is_some() {
                return Ok(fit.recognised);
            }
            let distance = |fit: &Fit| fit.missing.len() + fit.unknown.len();
            if nearest.as_ref().is_none_or(|other| distance(&fit) < distance(other)) {
                nearest = Some(fit);
            }
        }
        Err(Error::new(ErrorKind::Weights, self.file(), self.unrecognised(nearest)))
    }

    /// The relative of a built-in network that these are the tensors of, where they aren't those of the network itself.
    ///
    /// # Errors
    /// As [`Weights::fit`].
    pub(crate) fn relative(
        &self,
        network: &'static Builtin,
        description: &Description,
        asked: Asked<'_>,
    ) -> Result<Option<Relative>> {
        let is_network = |fit: Option<Fit>| fit.is_none_or(|fit| fit.is_whole);
        if is_network(self.fit_of(network, description, asked)?) {
            return Ok(None);
        }
        for relative in Relative::of(network.name) {
            let mut description = description.clone();
            relative.apply(&mut description);
            let fit = self.fit_of(network, &description, asked)?;
            if fit.is_some_and(|fit| fit.is_whole && fit.recognised.naming.name == relative.naming) {
                return Ok(Some(relative));
            }
        }
        Ok(None)
    }

    /// How well the tensors are those of a description of a built-in network, or of a relative of it; `None` where half of them are
    /// missing.
    fn fit_of(
        &self,
        network: &'static Builtin,
        description: &Description,
        asked: Asked<'_>,
    ) -> Result<Option<Fit>> {
        let mut description = description.clone();
        let Some(Settled { fit: found, form }) = self.settle(&description, asked)? else { return Ok(None) };
        form.apply(&mut description);
        let graph = Graph::build(&description, &Knobs::default())?;
        let naming = found.naming;
        let mut tensors = self.borrowed();
        tensors.take_off(&found.prefix);
        let mut unknown = tensors.leftovers(&graph, naming).of_layers;
        unknown.extend(tensors.surplus(&graph, naming).into_iter().map(|(name, _)| name));
        let has_widths = |description: &Description| tensors.infer_alpha(description, Some(naming)).is_ok();
        let mut own = description.clone();
        if let Some(exporter) = Exporter::of(naming.name, &description) {
            exporter.apply(&mut own, Said::NOTHING, true);
        }
        let is_named = found.n_missing == 0 && unknown.is_empty();
        let specs = naming.tensors(&graph)?;
        let missing = specs.iter().filter(|spec| !tensors.tensors.contains_key(&spec.tensor));
        Ok(Some(Fit {
            recognised: Recognised { network, naming },
            n_expected: specs.len(),
            missing: missing.map(|spec| tensors.name_in_file(&spec.tensor)).collect(),
            is_whole: is_named && (has_widths(&description) || has_widths(&own)),
            unknown,
        }))
    }

    fn unrecognised(&self, nearest: Option<Fit>) -> String {
        let examples: Vec<String> = self.names().take(3).map(quoted).collect();
        let found = if examples.is_empty() { "no tensors".to_owned() } else { examples.join(", ") };
        let networks: Vec<&str> = describe::BUILTIN.iter().map(|network| network.name).collect();
        let why = match nearest {
            Some(Fit { recognised, missing, unknown, .. }) if missing.is_empty() && unknown.is_empty() => {
                format!(
                    "; of {}, in the naming {}, no alpha has their widths",
                    recognised.network.name, recognised.naming
                )
            }
            Some(Fit { recognised, n_expected, missing, unknown, .. }) => {
                let such = |names: &[String]| match names.is_empty() {
                    true => String::new(),
                    false => format!(" ({})", Leftovers::shown(names)),
                };
                format!(
                    "; {}, in the naming {}, misses {} of its {n_expected} tensors{} and doesn't know {} others{}",
                    recognised.network.name,
                    recognised.naming,
                    missing.len(),
                    such(&missing),
                    unknown.len(),
                    such(&unknown)
                )
            }
            None => String::new(),
        };
        format!(
            "found {found} ({} in all), expected the tensors of {}, or a description of the network{why}; for other names: `mnc \
             tensors NETWORK --match {} -o names.toml` (docs/names.md)",
            self.names().count(),
            networks.join(", "),
            self.place
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
