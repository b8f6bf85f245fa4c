//! Choices that replace those of the cost model: a schedule is data that can be printed and overridden.
//!
//! Somebody has timed a network on a machine and wrote down which register tile won for a layer and how many rows a band
//! should have. The same file gives the same schedule again, on any machine and without timing. Nothing is timed here.

mod file;

use super::depthwise::MOST_ROWS;
use super::{Schedule, tiling};
use crate::error::{ErrorKind, Faults, Place, Result};
use crate::graph::Graph;
use crate::graph::shape::Shape;
use crate::kernels::{
    Conv, Depthwise, Ending, FeatureMap, Kernel, KernelName, NamedTile, Pointwise, Tile, split_evenly,
};
use crate::passes::Fused;
use crate::target::Isa;

/// What was chosen for one network on one instruction set.
#[derive(Clone, Debug, PartialEq)]
pub struct Tuning {
    /// Where it was read, for errors: the file's path.
    pub place: String,
    /// The network that it is for: name, alpha and input.
    pub network: TunedNetwork,
    /// The instruction set that it is for.
    pub isa: String,
    /// The CPU that it was measured on, as its system calls it.
    pub cpu: String,
    /// Kernels, by layer.
    pub layers: Vec<LayerChoice>,
    /// Bands, by chain.
    pub chains: Vec<ChainChoice>,
}

/// A member of a family.
#[derive(Clone, Debug, PartialEq)]
pub struct TunedNetwork {
    /// The description's name.
    pub name: String,
    /// The width multiplier.
    pub alpha: f64,
    /// The shape of the input: `224x224x3`.
    pub input: String,
}

/// The kernel of a layer.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerChoice {
    /// The layer.
    pub name: String,
    /// Its kernel, of which only the tile is a choice.
    pub kernel: KernelName,
    /// Why: `tuned: 4.2 % less than 6x64`.
    pub reason: String,
    /// The line of the file.
    pub line: usize,
}

/// The bands of a chain.
#[derive(Clone, Debug, PartialEq)]
pub struct ChainChoice {
    /// The step: `conv_1..conv_pw_2`.
    pub name: String,
    /// Rows of the last layer that a band computes; 0 to compute each layer by itself.
    pub band_rows: usize,
    /// Why.
    pub reason: String,
    /// The line of the file.
    pub line: usize,
}

impl TunedNetwork {
    /// What identifies a graph here.
    pub fn of(graph: &Graph) -> TunedNetwork {
        let input = graph.nodes[0].shape().to_string();
        TunedNetwork { name: graph.name.clone(), alpha: graph.alpha, input }
    }
}

impl Tuning {
    /// No choices yet.
    pub fn new(graph: &Graph, isa: &Isa, cpu: &str) -> Tuning {
        Tuning {
            place: String::new(),
            network: TunedNetwork::of(graph),
            isa: isa.name.to_owned(),
            cpu: cpu.to_owned(),
            layers: Vec::new(),
            chains: Vec::new(),
        }
    }

    pub(super) fn layer(&self, name: &str) -> Option<&LayerChoice> {
        self.layers.iter().find(|choice| choice.name == name)
    }

    pub(super) fn chain(&self, name: &str) -> Option<&ChainChoice> {
        self.chains.iter().find(|choice| choice.name == name)
    }

    /// Whether every choice can be made for that network on one of those instruction sets.
    ///
    /// # Errors
    /// Another network, alpha, input or instruction set; layers that aren't there, kernels of another kind, tiles without
    /// enough registers, bands of more rows than there are. One fault a line.
    pub fn check(&self, graph: &Graph, fused: &Fused, isas: &[&'static Isa]) -> Result<()> {
        let mut faults = Faults::new(ErrorKind::Schedule);
        let Some(isa) = isas.iter().find(|isa| isa.name == self.isa) else {
            let names: Vec<&str> = isas.iter().map(|isa| isa.name).collect();
            let detail = format!("made for {}, expected {}; tune again", self.isa, names.join(" or "));
            faults.push(Place::file(&self.place), detail);
            return faults.propagate();
        };
        let found = TunedNetwork::of(graph);
        if self.network != found {
            let told = |network: &TunedNetwork| {
                let TunedNetwork { name, alpha, input } = network;
                format!("{name}, alpha {alpha}, input {input}")
            };
            faults.push(
                Place::file(&self.place),
                format!("made for {}, expected {}; tune again", told(&self.network), told(&found)),
            );
            return faults.propagate();
        }
        let schedule = Schedule::build(fused, isa);
        for choice in &self.layers {
            if let Err(detail) = check_layer(choice, fused, &schedule) {
                faults.push(Place::line(&self.place, choice.line), detail);
            }
        }
        for choice in &self.chains {
            if let Err(detail) = check_chain(choice, &schedule) {
                faults.push(Place::line(&self.place, choice.line), detail);
            }
        }
        faults.propagate()
    }
}

fn check_layer(choice: &LayerChoice, fused: &Fused, schedule: &Schedule) -> std::result::Result<(), String> {
    let LayerChoice { name, kernel: wanted, .. } = choice;
    let isa = schedule.isa;
    let kernel =
        schedule.layers(fused).find(|(layer, _)| *layer == name).map(|(_, kernel)| kernel).ok_or_else(
            || format!("found no layer {name} in this network, expected one of its layers; tune again"),
        )?;
    let own = kernel.name(isa);
    if (KernelName { tile: own.tile, ..wanted.clone() }) != own {
        return Err(format!("found {wanted} for {name}, expected another tile of {own}"));
    }
    let NamedTile { rows, pixels, channels } = wanted.tile;
    let is_legal = match kernel {
        Kernel::Pointwise(Pointwise { output, ending, .. }) | Kernel::Conv(Conv { output, ending, .. }) => {
            rows == 1
                && channels.is_multiple_of(isa.lanes)
                && tiling::is_legal(wanted.tile.of_lanes(isa.lanes), output.shape.channels, *ending, isa)
        }
        Kernel::Depthwise(kernel) => {
            let kernel = kernel.with_tile(wanted.tile, isa);
            channels == kernel.channels(isa)
                && (1..=MOST_ROWS).contains(&rows)
                && (1..=kernel.most_pixels(rows, isa)).contains(&pixels)
        }
        Kernel::Grouped(_)
        | Kernel::Dense(_)
        | Kernel::GlobalAveragePool(_)
        | Kernel::Elementwise(_)
        | Kernel::WindowPool(_)
        | Kernel::Concat(_)
        | Kernel::Upsample(_)
        | Kernel::Softmax(_)
        | Kernel::Quantise(_)
        | Kernel::Copy(_) => wanted.tile == own.tile,
    };
    if is_legal {
        return Ok(());
    }
    let known: Vec<String> = candidates(kernel, isa).iter().map(KernelName::to_string).collect();
    Err(format!("found the tile {} for {name}, expected one such as {}", wanted.tile, known.join(", ")))
}

fn check_chain(choice: &ChainChoice, schedule: &Schedule) -> std::result::Result<(), String> {
    let ChainChoice { name, band_rows, .. } = choice;
    let mut chains = schedule.steps.iter().filter(|step| step.chain().is_some());
    let step = chains
        .find(|step| step.name == *name)
        .ok_or_else(|| format!("found no layers {name} that could be computed in bands, expected some of this network; tune again"))?;
    let height = schedule.value(step.writes).map.shape.height;
    if *band_rows <= height {
        Ok(())
    } else {
        Err(format!("found bands of {band_rows} rows for {name}, expected at most {height}"))
    }
}

/// Tiles that are worth timing for a kernel, its own first; no two of them cut the work alike.
pub fn candidates(kernel: &Kernel, isa: &Isa) -> Vec<KernelName> {
    let own = kernel.name(isa);
    let tiles: Vec<NamedTile> = match kernel {
        Kernel::Pointwise(kernel) => tiles(kernel.output.shape.pixels(), kernel.output, kernel.ending, isa),
        Kernel::Conv(kernel) => tiles(kernel.output.shape.width, kernel.output, kernel.ending, isa),
        Kernel::Depthwise(kernel) => {
            let Shape { height, width, .. } = kernel.output.shape;
            let of_rows = |kernel: Depthwise, rows: usize| {
                let most = kernel.most_pixels(rows, isa).min(MOST_DEPTHWISE_PIXELS);
                let tried = if rows == 1 { most } else { HEIGHTS };
                let pixels = distinct(width, most.clamp(1, 2)..=most).take(tried);
                pixels.map(move |pixels| NamedTile { rows, pixels, channels: kernel.channels(isa) })
            };
            let of_form = |kernel: Depthwise| {
                distinct(height, 1..=MOST_ROWS).flat_map(move |rows| of_rows(kernel, rows))
            };
            kernel.in_all_forms(isa).into_iter().flat_map(of_form).collect()
        }
        Kernel::Grouped(_)
        | Kernel::Dense(_)
        | Kernel::GlobalAveragePool(_)
        | Kernel::Elementwise(_)
        | Kernel::WindowPool(_)
        | Kernel::Concat(_)
        | Kernel::Upsample(_)
        | Kernel::Softmax(_)
        | Kernel::Quantise(_)
        | Kernel::Copy(_) => Vec::new(),
    };
    let others = tiles.into_iter().filter(|tile| *tile != own.tile);
    let others: Vec<KernelName> = others.map(|tile| KernelName { tile, ..own.clone() }).collect();
    [own].into_iter().chain(others).collect()
}

/// Longer steps of a depthwise layer than that were never worth it.
const MOST_DEPTHWISE_PIXELS: usize = 14;
/// Heights of a tile that are tried for each width: the largest that the registers leave room for, and a few lower.
const HEIGHTS: usize = 3;

fn tiles(pixels: usize, output: FeatureMap, ending: Ending, isa: &Isa) -> Vec<NamedTile> {
    let channels = output.shape.channels;
    let total = channels.div_ceil(isa.lanes);
    let mut tiles = Vec::new();
    for Tile { mr: most, vectors } in tiling::largest(channels, ending, isa) {
        let heights = distinct(pixels, 1..=most).take(HEIGHTS);
        tiles.extend(heights.map(|pixels| NamedTile::row(pixels, vectors * isa.lanes)));
        if total <= vectors {
            // A wider one has nothing more to hold.
            break;
        }
    }
    tiles
}

/// The heights that cut `extent` differently, the largest first.
fn distinct(extent: usize, heights: std::ops::RangeInclusive<usize>) -> impl Iterator<Item = usize> {
    let mut last = None;
    heights.rev().filter(move |height| {
        let pieces = Some(split_evenly(extent, *height));
        let is_new = pieces != last;
        last = pieces;
        is_new
    })
}

#[cfg(test)]
mod tests;
