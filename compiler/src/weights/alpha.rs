//! [`Weights`] x description -> alpha, read from the channel counts of the tensors.
//!
//! What alpha a file was trained at is written nowhere that can be trusted, but in the shapes it can't be wrong. The network of a
//! candidate is built, and the output channels of all of its layers are compared with the file's. No layer gets narrower when alpha
//! grows: so the alphas that fit are one range, whose ends are found by halving. Several alphas may give the same counts; one that
//! families are published at is the likeliest, then the one with the fewest digits, which a person chose.

use std::collections::BTreeMap;

use super::naming::{Naming, Role};
use super::{Weights, push_listed};
use crate::describe::Description;
use crate::error::{Error, ErrorKind, Fault, Faults, Place, Result};
use crate::graph::layer::Layer;
use crate::graph::{Graph, Knobs, MAX_ALPHA};

/// Candidates are multiples of 1 / STEPS: decimals of up to [`MAX_DIGITS`] digits after the point.
const STEPS: u32 = 10_000;
const MAX_DIGITS: u32 = 4;

/// Alphas at which MobileNets are published, the likeliest first.
const PUBLISHED: [u32; 11] =
    [10_000, 7_500, 5_000, 2_500, 3_500, 14_000, 13_000, 12_500, 11_000, 12_000, 15_000];

impl Weights<'_> {
    /// The alpha at which the described network has the channel counts of this file: of all that give exactly these one of those
    /// that families are published at, else the decimal of fewest digits. Fails when no decimal of up to four does.
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
        let observed = self.observe(&graph, naming)?;
        if observed.is_empty() {
            let detail = format!(
                "found no convolution's tensor, expected some in the naming {naming} to read alpha from"
            );
            return Err(Error::new(ErrorKind::Weights, self.file(), detail));
        }
        let family = Family { description, observed };
        let (lowest, highest) = family.fitting();
        let fits = |candidate: u32| lowest <= candidate && candidate <= highest;
        let alpha = match PUBLISHED.into_iter().chain(by_digits(lowest, highest)).find(|at| fits(*at)) {
            Some(candidate) => alpha_of(candidate),
            None => family.closest(),
        };
        // A layer that alpha doesn't change may still be another one.
        self.check(&family, alpha).map(|()| alpha)
    }

    /// The output channels of each layer with a filter that the file has, depthwise convolutions aside, which have those of the
    /// layer before.
    fn observe(&self, graph: &Graph, naming: &Naming) -> Result<Vec<Observed>> {
        let specs = self.specs(graph, naming)?.into_iter();
        let observed = specs.filter_map(|spec| {
            let layer = &graph.node(spec.node).layer;
            let is_convolution = matches!(layer, Layer::Conv { .. });
            let is_of_interest = is_convolution || matches!(layer, Layer::Dense { .. });
            if spec.role != Role::Weight || !is_of_interest {
                return None;
            }
            let n = spec.layout.outputs(self.shape(&spec.tensor)?)?;
            Some(Observed { name: spec.layer, n, is_convolution })
        });
        Ok(observed.collect())
    }

    /// Every layer that has other channels than this alpha gives is a fault. Only a convolution's says that the network is another
    /// one: classes are chosen apart from alpha.
    fn check(&self, family: &Family<'_>, alpha: f64) -> Result<()> {
        let widths = widths(&Graph::build(family.description, &Knobs { alpha, resolution: None })?);
        let layers: Vec<&Observed> = family.observed.iter().filter(|layer| layer.is_convolution).collect();
        let (fit, wrong): (Vec<&Observed>, Vec<&Observed>) =
            layers.iter().copied().partition(|layer| widths.get(&layer.name) == Some(&layer.n));
        let found = wrong.iter().map(|layer| {
            let expected = widths.get(&layer.name).copied().unwrap_or(0);
            Fault {
                place: Place::layer(&layer.name),
                detail: format!(
                    "found N={}, expected {expected} at alpha {alpha}, which fits {} of {} layers",
                    layer.n,
                    fit.len(),
                    layers.len()
                ),
            }
        });
        let mut faults = Faults::new(ErrorKind::Weights);
        push_listed(&mut faults, self.file(), found.collect());
        faults.propagate()
    }
}

/// A layer as the file has it.
struct Observed {
    name: String,
    n: usize,
    is_convolution: bool,
}

/// A network at every alpha, beside a file of it.
struct Family<'d> {
    description: &'d Description,
    observed: Vec<Observed>,
}

impl Family<'_> {
    /// The first and the last candidate at which every layer that alpha changes is as wide as in the file; the first is behind the
    /// last where there is none.
    fn fitting(&self) -> (u32, u32) {
        let last = (MAX_ALPHA * f64::from(STEPS)) as u32;
        let narrowest = self.widths(1);
        // The widest one that can be built: a large input has no room for more.
        let widest = (0..8).find_map(|halvings| self.widths(last >> halvings));
        let (Some(narrowest), Some(widest)) = (narrowest, widest) else { return (last, 0) };
        let changes: Vec<&Observed> = (self.observed.iter())
            .filter(|layer| narrowest.get(&layer.name) != widest.get(&layer.name))
            .collect();
        if changes.is_empty() {
            return (1, last);
        }
        let all = |candidate: u32, holds: fn(usize, usize) -> bool| {
            // What can't be built is too large.
            let Some(widths) = self.widths(candidate) else { return holds(usize::MAX, 0) };
            changes.iter().all(|layer| widths.get(&layer.name).is_some_and(|&n| holds(n, layer.n)))
        };
        let lowest = first(last, |candidate| all(candidate, |ours, file| file <= ours));
        let above = first(last, |candidate| !all(candidate, |ours, file| ours <= file));
        (lowest, above - 1)
    }

    /// N of every layer at a candidate, if there is such a network.
    fn widths(&self, candidate: u32) -> Option<BTreeMap<String, usize>> {
        let knobs = Knobs { alpha: alpha_of(candidate), resolution: None };
        Graph::build(self.description, &knobs).ok().map(|graph| widths(&graph))
    }

    /// The candidate of two digits that gives the most layers the file's width.
    fn closest(&self) -> f64 {
        let last = (MAX_ALPHA * f64::from(STEPS)) as u32;
        let candidates = PUBLISHED.into_iter().chain(by_digits(1, last).take_while(|at| at % 100 == 0));
        let n_fits = |candidate: u32| {
            let widths = self.widths(candidate).unwrap_or_default();
            let fits = |layer: &&Observed| widths.get(&layer.name) == Some(&layer.n);
            self.observed.iter().filter(fits).count()
        };
        let mut best = (0, PUBLISHED[0]);
        for candidate in candidates {
            let n_fits = n_fits(candidate);
            if best.0 < n_fits {
                best = (n_fits, candidate);
            }
        }
        alpha_of(best.1)
    }
}

fn widths(graph: &Graph) -> BTreeMap<String, usize> {
    let filters = graph.nodes.iter().filter_map(|node| Some((node.name.clone(), graph.filter(node)?.n)));
    filters.collect()
}

/// Dividing gives the f64 that the decimal is read as.
fn alpha_of(candidate: u32) -> f64 {
    f64::from(candidate) / f64::from(STEPS)
}

/// The first of 1 to `last` for which it holds, `last + 1` where it never does; it holds for all behind one for which it does.
fn first(last: u32, holds: impl Fn(u32) -> bool) -> u32 {
    let (mut low, mut high) = (1, last + 1);
    while low < high {
        let middle = low + (high - low) / 2;
        if holds(middle) { high = middle } else { low = middle + 1 }
    }
    low
}

/// The candidates of a range, those of fewest digits first.
fn by_digits(lowest: u32, highest: u32) -> impl Iterator<Item = u32> {
    (0..=MAX_DIGITS).flat_map(move |digits| {
        let unit = STEPS / 10u32.pow(digits);
        let start = lowest.div_ceil(unit).max(1);
        (start..=highest / unit).map(move |steps| steps * unit)
    })
}

#[cfg(test)]
mod tests {
    use super::super::Parameters;
    use super::*;
    use crate::describe::{InputSpec, LayerKind, Rounding, Width, builtin};

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
            // Every layer has the minimum: the first alpha of two digits that gives it.
            (Rounding::Floor { minimum: 64 }, 0.06, "0.01"),
            // Published ones before others of as many digits, 0.37 and 0.38.
            (Rounding::Nearest { multiple: 64 }, 0.37, "0.35"),
        ] {
            check(rounding, alpha, expected);
        }
    }

    /// Whatever the family and the alpha: the network that is found has the file's shapes.
    #[test]
    fn every_family() {
        for network in crate::describe::BUILTIN {
            let mut description = network.description();
            description.input = InputSpec { height: 64, width: 64, channels: 3 };
            let graph = |alpha| Graph::build(&description, &Knobs { alpha, resolution: None }).unwrap();
            for alpha in [0.05, 0.35, 0.36, 0.5, 0.75, 1.0, 1.1, 1.25, 1.4] {
                let trained = graph(alpha);
                let bytes = Parameters::zeros(&trained).to_safetensors(&trained, &Naming::PLAIN).unwrap();
                let weights = Weights::parse(&bytes, "w").unwrap();
                let found = weights.infer_alpha(&description, None);
                let found = found.unwrap_or_else(|error| panic!("{} {alpha}: {error}", network.name));
                assert_eq!(widths(&graph(found)), widths(&trained), "{} {alpha} {found}", network.name);
                let is_published = PUBLISHED.map(alpha_of).contains(&alpha);
                assert!(!is_published || found == alpha || alpha == 1.1, "{} {alpha} {found}", network.name);
            }
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
