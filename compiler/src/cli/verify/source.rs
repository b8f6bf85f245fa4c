//! The network that is named on the command line, with its numbers.

use std::path::PathBuf;

use mnc::graph::{Graph, Knobs, Resolution};
use mnc::weights::naming::Naming;
use mnc::weights::{Parameters, Weights};
use mnc::{Result, Target, request};

use super::super::config::{self, Sources};
use super::super::files::{self, Kind};
use super::super::network;

/// The arguments about the network, as those of `mnc compile`.
#[derive(Debug, clap::Args)]
pub(super) struct Source {
    /// Trained weights: safetensors
    #[arg(long, short, value_name = "FILE", conflicts_with = "random_weights", help_heading = "Network")]
    weights: Option<PathBuf>,
    /// Weights drawn at random instead
    #[arg(long, value_name = "SEED", help_heading = "Network")]
    random_weights: Option<u64>,
    /// Whose tensor names the weights have [default: the one that fits]
    #[arg(long, value_parser = network::naming(), help_heading = "Network")]
    naming: Option<&'static Naming>,
    /// Model configuration, or `none` [default: looked for beside the weights]
    #[arg(long, value_name = "FILE", help_heading = "Network")]
    config: Option<PathBuf>,
    /// Preprocessor configuration, or `none` [default: looked for beside the weights]
    #[arg(long, value_name = "FILE", help_heading = "Network")]
    preprocessor: Option<PathBuf>,
    /// Width multiplier; checked against the weights [default: theirs]
    #[arg(long, value_name = "A", value_parser = network::alpha, help_heading = "Network")]
    alpha: Option<f64>,
    /// Resolution multiplier of the description's input
    #[arg(long, value_name = "R", value_parser = network::rho, help_heading = "Network")]
    rho: Option<f64>,
    /// Input size, N or HEIGHTxWIDTH [default: that of the configuration, else of the description]
    #[arg(long, value_name = "N|HxW", value_parser = network::resolution, conflicts_with = "rho")]
    #[arg(help_heading = "Network")]
    resolution: Option<Resolution>,
}

/// What the network is compiled for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'a> {
    pub(super) target: &'a Target,
    /// Images of one run.
    pub(super) batch: usize,
    /// Whether its weights are in the object.
    pub(super) is_inside: bool,
}

impl Source {
    /// Reads description, configuration and weights; the network's sizes are checked before any weights are made of them.
    pub(super) fn read(&self, name: &str, wanted: &Wanted<'_>) -> Result<(Graph, Parameters)> {
        let written = network::written(name)?;
        let resolution = match self.rho {
            Some(rho) => Some(Resolution::from_rho(written.description.input, rho)?),
            None => self.resolution,
        };
        let weights = self.weights.as_deref();
        let sources =
            Sources { config: self.config.as_deref(), preprocessor: self.preprocessor.as_deref(), weights };
        let configured = config::apply(written, sources)?;
        let file = weights.map(|path| files::read(path, Kind::Weights)).transpose()?;
        let place = weights.map_or(String::new(), |path| path.display().to_string());
        let weights = file.as_deref().map(|bytes| Weights::parse(bytes, &place)).transpose()?;
        let (alpha, _) = request::choose_alpha(
            (&configured.description, self.naming),
            weights.as_ref().map(|weights| (weights, place.as_str())),
            (self.alpha, configured.alpha),
        )?;
        let mut graph = Graph::build(&configured.description, &Knobs { alpha, resolution })?;
        graph.batch = wanted.batch;
        mnc::check_sizes(&graph, wanted.target, wanted.is_inside)?;
        let parameters = match (&weights, self.random_weights) {
            (Some(weights), _) => weights.parameters(&graph, self.naming)?,
            (None, Some(seed)) => Parameters::random(&graph, seed),
            (None, None) => {
                let detail = format!(
                    "found none, expected a file (`mnc tensors {name}` lists what must be in it), or --random-weights SEED"
                );
                return super::super::usage("--weights", detail);
            }
        };
        Ok((graph, parameters))
    }
}
