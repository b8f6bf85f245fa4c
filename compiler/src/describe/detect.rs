//! How a description says that outputs become boxes.

pub use mnc_runtime::detect::{Order, Probability};

use super::window::Sides;

/// Most maps of priors: each has an output for scores.
pub const MAX_PRIOR_MAPS: usize = 31;
/// Most priors of a cell.
pub const MAX_CELL_PRIORS: usize = 64;
/// Most candidates, and most boxes: what suppression takes grows with their product.
pub const MAX_CANDIDATES: usize = 4096;

/// The table `[detect]`.
#[derive(Clone, Debug, PartialEq)]
pub struct DetectSpec {
    /// Outputs that have the scores: one for each map of priors, or one for all.
    pub scores: Vec<String>,
    /// Outputs that have the numbers of boxes, likewise.
    pub locations: Vec<String>,
    /// What makes probabilities of the scores.
    pub probability: Probability,
    /// The class that is no object.
    pub background: Option<usize>,
    /// A probability must be above this, from 0 to [`DetectSpec::MAX_THRESHOLD`].
    pub threshold: f64,
    /// The most of two boxes' union that they may share, from 0 to 1.
    pub overlap: f64,
    /// How many of the best are looked at.
    pub candidates: usize,
    /// How many boxes there are at most.
    pub most_boxes: usize,
    /// The order of the numbers of a box.
    pub order: Order,
    /// Multiplies the numbers of the centre.
    pub center_variance: f64,
    /// Multiplies the numbers of the size.
    pub size_variance: f64,
    /// Whether no prior is wider or higher than the input.
    pub clip: bool,
    /// The priors.
    pub priors: Priors,
}

impl DetectSpec {
    /// The sigmoid of more is hard to tell from 1.
    pub const MAX_THRESHOLD: f64 = 0.999;
    /// The bounds of both variances.
    pub const VARIANCES: std::ops::RangeInclusive<f64> = 1e-4..=100.0;

    /// Maps of priors.
    pub fn n_maps(&self) -> usize {
        match &self.priors {
            Priors::Maps { maps, .. } => maps.len(),
            Priors::Scales { .. } => self.scores.len(),
        }
    }
}

/// Which priors there are.
#[derive(Clone, Debug, PartialEq)]
pub enum Priors {
    /// Those of each map.
    Maps {
        /// The unit of widths and heights.
        unit: Unit,
        /// The maps, in the order of the priors.
        maps: Vec<PriorMap>,
    },
    /// By the rule of SSD: a scale for each map, evenly from the first to the last.
    Scales {
        /// The scale of the first map, of the input's sides.
        first: f64,
        /// That of the last.
        last: f64,
        /// A prior for each: width by height.
        ratios: Vec<f64>,
        /// Where one more stands, whose scale lies between the map's and the next one's.
        extra: Extra,
        /// Whether the first map has three priors only, as TensorFlow's models have.
        reduced: bool,
    },
}

/// The unit of widths and heights of priors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Of the input.
    Pixels,
    /// The input's own width or height.
    Input,
}

/// Where the prior of the scale between two maps stands among those of a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extra {
    /// There is none.
    None,
    /// Behind the first: torchvision.
    Second,
    /// Behind all others: TensorFlow.
    Last,
}

/// One map of priors.
#[derive(Clone, Debug, PartialEq)]
pub struct PriorMap {
    /// Width and height of each prior of a cell.
    pub sizes: Vec<[f64; 2]>,
    /// Pixels of the input from a cell to the next; follows from the outputs when not written.
    pub stride: Option<Sides>,
}
