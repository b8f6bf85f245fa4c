//! NETWORK and the two knobs, as arguments.

use std::path::Path;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use mnc::describe::{self, BUILTIN, Description};
use mnc::graph::{Knobs, MAX_ALPHA, Resolution};
use mnc::weights::config::Said;
use mnc::weights::naming::Naming;
use mnc::{Result, request};

use super::files::{self, Kind};

/// A description, and what it says by itself of how weights were trained.
#[derive(Clone, Debug)]
pub(super) struct Written {
    pub(super) description: Description,
    pub(super) said: Said,
}

impl Written {
    /// Of a built-in network nothing was said by the user.
    pub(super) fn parse(text: &str, network: &str) -> Result<Written> {
        let is_builtin = describe::builtin(network).is_some();
        let said = if is_builtin { Said::default() } else { request::said_by(text) };
        Ok(Written { description: Description::parse(text, network)?, said })
    }
}

/// The network that the user names: a built-in description, or a file.
pub(super) fn read(network: &str) -> Result<Description> {
    Ok(written(network)?.description)
}

/// The same, with what it says by itself.
pub(super) fn written(network: &str) -> Result<Written> {
    Written::parse(&text(network)?, network)
}

/// Its text.
pub(super) fn text(network: &str) -> Result<String> {
    if let Some(builtin) = describe::builtin(network) {
        return Ok(builtin.text.to_owned());
    }
    let path = if network == "-" { Path::new("/dev/stdin") } else { Path::new(network) };
    if !path.exists() && !network.ends_with(".toml") {
        let names: Vec<&str> = BUILTIN.iter().map(|builtin| builtin.name).collect();
        let detail = format!(
            "no such network, expected {}, or the path of a description such as net.toml",
            names.join(", ")
        );
        return super::fail(path, detail);
    }
    files::read_text(path, Kind::Network)
}

/// Members of the family M(alpha, rho): every width at every resolution.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Family {
    /// Width multipliers, separated by commas [default: that of the weights, else 1]
    #[arg(long, value_name = "A", value_delimiter = ',', value_parser = alpha, help_heading = "The paper's knobs")]
    alpha: Vec<f64>,
    /// Resolution multipliers of the description's input, separated by commas
    #[arg(long, value_name = "R", value_delimiter = ',', value_parser = rho, conflicts_with = "resolution")]
    #[arg(help_heading = "The paper's knobs")]
    rho: Vec<f64>,
    /// Input sizes, N or HEIGHTxWIDTH, separated by commas [default: that of the description]
    #[arg(long, value_name = "N|HxW", value_delimiter = ',', value_parser = resolution)]
    #[arg(help_heading = "The paper's knobs")]
    resolution: Vec<Resolution>,
}

impl Family {
    /// The knobs of each member; `usual_alpha` where nobody chose one.
    pub(super) fn members(&self, description: &Description, usual_alpha: f64) -> Result<Vec<Knobs>> {
        let by_rho = self.rho.iter().map(|rho| Resolution::from_rho(description.input, *rho).map(Some));
        let by_size = self.resolution.iter().map(|resolution| Ok(Some(*resolution)));
        let mut resolutions: Vec<Option<Resolution>> = by_rho.chain(by_size).collect::<Result<_>>()?;
        if resolutions.is_empty() {
            resolutions.push(None);
        }
        let alphas = if self.alpha.is_empty() { &[usual_alpha][..] } else { &self.alpha };
        let member = |alpha: &f64| {
            let alpha = *alpha;
            resolutions.iter().map(move |resolution| Knobs { alpha, resolution: *resolution })
        };
        Ok(alphas.iter().flat_map(member).collect())
    }

    /// Whether alpha was chosen.
    pub(super) fn has_alpha(&self) -> bool {
        !self.alpha.is_empty()
    }
}

/// A width multiplier in its range.
pub(super) fn alpha(text: &str) -> Result<f64, String> {
    let expected = || format!("expected a number above 0, at most {MAX_ALPHA}");
    text.parse().ok().filter(|alpha| 0.0 < *alpha && *alpha <= MAX_ALPHA).ok_or_else(expected)
}

/// A resolution multiplier; whether it fits is known with the network.
pub(super) fn rho(text: &str) -> Result<f64, String> {
    let rho: Option<f64> = text.parse().ok();
    rho.filter(|rho| 0.0 < *rho && rho.is_finite()).ok_or_else(|| "expected a number above 0".to_owned())
}

/// Most images of a batch: what more would gain is lost in the caches.
const MOST_IMAGES: usize = 256;

/// Images of one run.
pub(super) fn batch(text: &str) -> Result<usize, String> {
    let batch = text.parse().ok().filter(|batch| (1..=MOST_IMAGES).contains(batch));
    batch.ok_or_else(|| format!("expected a number of images from 1 to {MOST_IMAGES}"))
}

/// `160` or `192x160`.
pub(super) fn resolution(text: &str) -> Result<Resolution, String> {
    text.parse().map_err(|error: mnc::Error| error.faults()[0].detail.clone())
}

/// A naming by its name.
pub(super) fn naming() -> impl TypedValueParser<Value = &'static Naming> {
    PossibleValuesParser::new(Naming::ALL.iter().map(|naming| naming.name))
        .map(|name| Naming::by_name(&name).expect("the values are the namings' names"))
}
