//! A tuning as TOML text, and back.

use serde::{Deserialize, Serialize};
use toml::Spanned;

use super::{ChainChoice, LayerChoice, TunedNetwork, Tuning};
use crate::error::{Error, ErrorKind, Faults, Place, Result};

/// The version of the file.
const SCHEMA: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    schema: u32,
    network: String,
    alpha: f64,
    input: String,
    isa: String,
    cpu: String,
    #[serde(default)]
    layer: Vec<LayerRow>,
    #[serde(default)]
    chain: Vec<ChainRow>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LayerRow {
    name: Spanned<String>,
    kernel: Spanned<String>,
    reason: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ChainRow {
    name: Spanned<String>,
    band_rows: usize,
    reason: String,
}

impl Tuning {
    /// Reads what [`Tuning::to_toml`] wrote, or somebody by hand. `place` is what errors call the text.
    ///
    /// # Errors
    /// Text that isn't TOML, keys that are missing or unknown, names of kernels that aren't any, layers named twice.
    pub fn parse(text: &str, place: &str) -> Result<Tuning> {
        let line = |at: usize| 1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count();
        let file: File = toml::from_str(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            let detail = error.message().trim_end_matches('.').replace('\n', ", ");
            Error::new(ErrorKind::Schedule, Place::line(place, line(at)), detail)
        })?;
        let mut faults = Faults::new(ErrorKind::Schedule);
        if file.schema != SCHEMA {
            faults.push(
                Place::file(place),
                format!("found schema {}, expected {SCHEMA}; tune again", file.schema),
            );
        }
        let mut layers: Vec<LayerChoice> = Vec::new();
        for LayerRow { name, kernel, reason } in file.layer {
            let line = line(name.span().start);
            let name = name.into_inner();
            if layers.iter().any(|other| other.name == name) {
                faults
                    .push(Place::line(place, line), format!("found {name} again, expected each layer once"));
                continue;
            }
            match kernel.into_inner().parse() {
                Ok(kernel) => layers.push(LayerChoice { name, kernel, reason, line }),
                Err(detail) => faults.push(Place::line(place, line), detail),
            }
        }
        let mut chains: Vec<ChainChoice> = Vec::new();
        for ChainRow { name, band_rows, reason } in file.chain {
            let line = line(name.span().start);
            let name = name.into_inner();
            if chains.iter().any(|other| other.name == name) {
                faults
                    .push(Place::line(place, line), format!("found {name} again, expected each chain once"));
            } else {
                chains.push(ChainChoice { name, band_rows, reason, line });
            }
        }
        faults.propagate()?;
        Ok(Tuning {
            place: place.to_owned(),
            network: TunedNetwork { name: file.network, alpha: file.alpha, input: file.input },
            isa: file.isa,
            cpu: file.cpu,
            layers,
            chains,
        })
    }

    /// The choices as a file.
    pub fn to_toml(&self) -> String {
        // Where something stands in a text that isn't written yet, nobody asks.
        let text = |text: &str| Spanned::new(0..0, text.to_owned());
        let layer = |choice: &LayerChoice| LayerRow {
            name: text(&choice.name),
            kernel: text(&choice.kernel.to_string()),
            reason: choice.reason.clone(),
        };
        let chain = |choice: &ChainChoice| ChainRow {
            name: text(&choice.name),
            band_rows: choice.band_rows,
            reason: choice.reason.clone(),
        };
        let TunedNetwork { name, alpha, input } = &self.network;
        let file = File {
            schema: SCHEMA,
            network: name.clone(),
            alpha: *alpha,
            input: input.clone(),
            isa: self.isa.clone(),
            cpu: self.cpu.clone(),
            layer: self.layers.iter().map(layer).collect(),
            chain: self.chains.iter().map(chain).collect(),
        };
        toml::to_string(&file).expect("numbers and strings always have a TOML form")
    }
}
