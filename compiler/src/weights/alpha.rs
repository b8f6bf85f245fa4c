//! [`Weights`] x description -> alpha, read from the channel counts of the tensors.
//!
//! What alpha a file was trained at is written nowhere that can be trusted, but in the shapes it can't be wrong. Several
//! alphas may give the same counts; the one with the fewest digits is the one that a person chose.

use super::naming::{Naming, Role};
use super::{Weights, push_listed};
use crate::describe::{Description, LayerKind, Rounding, Width};
use crate::error::{Error, ErrorKind, Fault, Faults, Place, Result};
use crate::graph::layer::Layer;
use crate::graph::{Graph, Knobs, MAX_ALPHA};

/// Decimals are tried up to this many digits after the point.
const MAX_DIGITS: i32 = 4;

impl Weights<'_> {
    /// The alpha at which the described network has the channel counts of this file: of all that give exactly these the
    /// decimal of fewest digits. Fails when no decimal of up to four does.
    ///
    /// ```
    /// use mnc::graph::{Graph, Knobs};
    /// use mnc::weights::{Parameters, Weights, naming::Naming};
    /// let description = mnc::describe::builtin("mobilenet-v1").unwrap().description();
    /// let graph = Graph::build(&description, &Knobs { alpha: 0.25, resolution: None })?;
    /// let file = Parameters::random(&graph, 1).to_safetensors(&graph, &Naming::TIMM)?;
    /// let weights = Weights::parse(&file, "net.safetensors")?;
    /// assert_eq!(weights.infer_alpha(&description, None)?, 0.25);
    /// # Ok::<(), mnc::Error>(())
    /// ```
    pub fn infer_alpha(&self, description: &Description, naming: Option<&'static Naming>) -> Result<f64> {
        let graph = Graph::build(description, &Knobs::default())?;
        let naming = match naming {
            Some(naming) => naming,
            None => self.detect(&graph)?,
        };
        let layers = self.observe(description, &graph, naming)?;
        if layers.is_empty() {
            let detail = format!(
                "found no convolution's tensor, expected some in the naming {naming} to read alpha from"
            );
            return Err(Error::new(ErrorKind::Weights, self.file(), detail));
        }
        let scaled = layers.iter().filter(|layer| matches!(layer.filters, Width::Scaled { minimum: 1, .. }));
        let widest = scaled.max_by_key(|layer| layer.filters.written());
        let Some(widest) = widest else {
            // Alpha changes nothing.
            return self.check(&layers, 1.0, description.rounding).map(|()| 1.0);
        };
        let mut closest = None;
        for alpha in candidates(widest, description.rounding) {
            if !widest.fits(alpha, description.rounding) {
                continue;
            }
            let n_fits = layers.iter().filter(|layer| layer.fits(alpha, description.rounding)).count();
            if n_fits == layers.len() {
                return Ok(alpha);
            }
            if closest.is_none_or(|(most, _)| most < n_fits) {
                closest = Some((n_fits, alpha));
            }
        }
        let Some((_, alpha)) = closest else {
            let Observed { name, filters, n, .. } = widest;
            let filters = filters.written();
            let detail = format!(
                "found N={n}, expected {filters} times an alpha of up to {MAX_DIGITS} digits and {MAX_ALPHA}"
            );
            return Err(Error::new(ErrorKind::Weights, Place::layer(name), detail));
        };
        self.check(&layers, alpha, description.rounding).map(|()| alpha)
    }

    /// The output channels of each standard or pointwise convolution that the file has, beside the described ones.
    fn observe(&self, description: &Description, graph: &Graph, naming: &Naming) -> Result<Vec<Observed>> {
        let described = description.layers.iter().flat_map(|layer| {
            let filters = match layer.kind {
                LayerKind::Conv { filters, .. } | LayerKind::Separable { filters, .. } => Some(filters),
                _ => None,
            };
            std::iter::repeat_n(filters, layer.repeat).flatten()
        });
        let specs = naming.tensors(graph)?;
        let convolutions = specs.into_iter().filter(|spec| {
            spec.role == Role::Weight && matches!(graph.node(spec.node).layer, Layer::Conv { .. })
        });
        let observed = convolutions.zip(described).filter_map(|(spec, filters)| {
            let n = *self.shape(&spec.tensor)?.first()?;
            Some(Observed { name: spec.layer, filters, n })
        });
        Ok(observed.collect())
    }

    /// Every layer that has other channels than this alpha gives is a fault.
    fn check(&self, layers: &[Observed], alpha: f64, rounding: Rounding) -> Result<()> {
        let (fit, wrong): (Vec<_>, Vec<_>) = layers.iter().partition(|layer| layer.fits(alpha, rounding));
        let found = wrong.iter().map(|layer| Fault {
            place: Place::layer(&layer.name),
            detail: format!(
                "found N={}, expected {} at alpha {alpha}, which fits {} of {} layers",
                layer.n,
                layer.expected(alpha, rounding),
                fit.len(),
                layers.len()
            ),
        });
        let mut faults = Faults::new(ErrorKind::Weights);
        push_listed(&mut faults, self.file(), found.collect());
        faults.propagate()
    }
}

/// A convolution: N as described and as the file has it.
struct Observed {
    name: String,
    filters: Width,
    n: usize,
}

impl Observed {
    fn expected(&self, alpha: f64, rounding: Rounding) -> usize {
        self.filters.channels(rounding, alpha)
    }

    fn fits(&self, alpha: f64, rounding: Rounding) -> bool {
        self.expected(alpha, rounding) == self.n
    }
}

/// The decimals that could have made a layer's channels what they are: fewest digits first, among those of as many digits
/// the closest to the plain quotient.
fn candidates(layer: &Observed, rounding: Rounding) -> impl Iterator<Item = f64> {
    let (filters, n) = (layer.filters.written() as f64, layer.n as f64);
    // How far rounding can have moved N.
    let (below, above) = match rounding {
        Rounding::Floor { minimum } if layer.n <= minimum => (n, 1.0),
        Rounding::Floor { .. } => (0.0, 1.0),
        Rounding::NearestOfWhole { minimum, .. } if layer.n <= minimum => (n, minimum as f64),
        Rounding::Nearest { multiple } | Rounding::NearestOfWhole { multiple, .. } => {
            (multiple as f64 + 1.0, multiple as f64 + 1.0)
        }
    };
    let quotient = n / filters;
    let first = ((n - below) / filters).clamp(0.0, MAX_ALPHA);
    let last = ((n + above) / filters).clamp(0.0, MAX_ALPHA);
    (1..=MAX_DIGITS).flat_map(move |digits| {
        let unit = 10f64.powi(digits);
        let range = ((first * unit) as u32).max(1)..=(last * unit) as u32;
        // Dividing gives the f64 that the decimal is read as.
        let mut alphas: Vec<f64> = range.map(|steps| f64::from(steps) / unit).collect();
        alphas.sort_by(|a, b| (a - quotient).abs().total_cmp(&(b - quotient).abs()));
        alphas
    })
}

#[cfg(test)]
mod tests {
    use super::super::Parameters;
    use super::*;
    use crate::describe::{InputSpec, builtin};

    /// The alpha that is read from a file of the network built at `alpha`, or the faults.
    fn check(rounding: Rounding, alpha: f64, expected: &str) {
        let mut description = builtin("mobilenet-v1").unwrap().description();
        description.rounding = rounding;
        // Weights don't depend on it.
        description.input = InputSpec { height: 32, width: 32, channels: 3 };
        let graph = Graph::build(&description, &Knobs { alpha, resolution: None }).unwrap();
        let bytes = Parameters::random(&graph, 1).to_safetensors(&graph, &Naming::HUGGING_FACE).unwrap();
        check_file(&bytes, &description, expected);
    }

    fn check_file(bytes: &[u8], description: &Description, expected: &str) {
        let found = match Weights::parse(bytes, "w").unwrap().infer_alpha(description, None) {
            Ok(alpha) => alpha.to_string(),
            Err(error) => error.to_string(),
        };
        assert_eq!(found, expected);
    }

    #[test]
    fn read_from_shapes() {
        let floor = Rounding::Floor { minimum: 8 };
        let nearest = Rounding::Nearest { multiple: 8 };
        for (rounding, alpha, expected) in [
            (floor, 1.0, "1"),
            (floor, 0.25, "0.25"),
            (floor, 0.35, "0.35"),
            (floor, 0.1, "0.1"),
            (floor, 1.0 / 3.0, "0.3331"),
            (nearest, 0.25, "0.25"),
            (nearest, 0.35, "0.35"),
            (nearest, 0.6, "0.6"),
            (nearest, 1.25, "1.25"),
            // Every layer has the minimum: the largest alpha of two digits that still gives it.
            (Rounding::Floor { minimum: 64 }, 0.01, "0.06"),
        ] {
            check(rounding, alpha, expected);
        }
    }

    #[test]
    fn no_alpha_fits() {
        let description = builtin("mobilenet-v1").unwrap().description();
        let mut other = description.clone();
        let LayerKind::Separable { filters, .. } = &mut other.layers[1].kind else {
            panic!("a separable layer")
        };
        *filters = Width::Scaled { channels: 70, minimum: 1 };
        let graph = Graph::build(&other, &Knobs { alpha: 0.5, resolution: None }).unwrap();
        let bytes = Parameters::random(&graph, 1).to_safetensors(&graph, &Naming::HUGGING_FACE).unwrap();
        check_file(
            &bytes,
            &description,
            "conv_pw_1: found N=35, expected 32 at alpha 0.5, which fits 13 of 14 layers",
        );

        // Nothing below alpha 4 makes 7 channels of 1024.
        let LayerKind::Separable { filters, .. } = &mut other.layers[9].kind else {
            panic!("a separable layer")
        };
        *filters = Width::Scaled { channels: 8, minimum: 1 };
        let graph = Graph::build(&other, &Knobs::default()).unwrap();
        let bytes = Parameters::random(&graph, 1).to_safetensors(&graph, &Naming::HUGGING_FACE).unwrap();
        let found = Weights::parse(&bytes, "w").unwrap().infer_alpha(&description, None).unwrap_err();
        assert!(found.faults().len() > 1, "{found}");
    }
}
