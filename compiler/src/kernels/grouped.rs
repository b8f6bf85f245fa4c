//! Convolution in groups: each group of output channels is a standard convolution over its own group of input channels. With one
//! input channel to a group it is a depthwise convolution of a channel multiplier.
//!
//! A vector of output channels may lie in several groups. It is then computed once for each, over that group's input, from the last
//! group to the first: each stores the channels up to its own last one, and the group before stores its own over those that
//! weren't meant.
//!
//! Loop order: vectors of channels, their groups, output rows, tiles of a row, taps, input channels of the group.
//!
//! Register map: `PIXELS` accumulators, a weight, an input element, the epilogue's; two are left for the masks of partial stores.

use std::ops::Range;

use mnc_runtime::filter::Packing;

use super::epilogue::{self, Epilogue};
use super::tile::{Cursor, Run, runs};
use super::{Family, FeatureMap, KernelName, NamedTile};
use crate::code::{Access, Builder, Code};
use crate::graph::layer::Activation;
use crate::graph::shape::Window;
use crate::target::Isa;

/// A convolution in groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Grouped {
    /// The sliding window.
    pub window: Window,
    /// A divisor of the channels of both maps.
    pub groups: usize,
    /// M channels; may be tight.
    pub input: FeatureMap,
    /// N channels, padded.
    pub output: FeatureMap,
    /// Applied to each output element.
    pub activation: Activation,
}

/// Output pixels of a tile.
const PIXELS: usize = 6;

/// One group's part of a vector of output channels.
struct Share<'a> {
    /// Channels that are stored, from the vector's first.
    lanes: usize,
    rows: &'a Run,
    columns: &'a Run,
}

impl Grouped {
    pub(super) fn name(&self, isa: &Isa) -> KernelName {
        KernelName {
            dtype: self.input.dtype,
            family: Family::Grouped(self.window.slide()),
            tile: NamedTile::row(PIXELS, isa.lanes),
            activation: self.activation,
            isa: isa.tag.to_owned(),
        }
    }

    /// Input channels of a group.
    fn m(&self) -> usize {
        self.input.shape.channels / self.groups
    }

    /// Output channels of a group.
    fn n(&self) -> usize {
        self.output.shape.channels / self.groups
    }

    fn depth(&self) -> usize {
        self.window.taps() * self.m()
    }

    /// By vector of channels: the bias, then the taps, each with the group's input channels.
    pub(super) fn packing(&self, isa: &Isa) -> Packing {
        Packing::new(self.depth(), (isa.lanes, self.output.shape.channels.div_ceil(isa.lanes)), 0)
    }

    pub(super) fn code(&self, isa: &Isa) -> Code {
        let mut b = Builder::new(isa);
        let input = b.parameter("input", Access::Read);
        let filter = b.parameter("weights", Access::Read);
        let output = b.parameter("output", Access::Write);
        let at = Cursor { input, filter, output };
        // Groups and vectors begin together again after so many vectors.
        let period = self.n() / gcd(self.n(), isa.lanes);
        let n_periods = self.output.shape.channels / (period * isa.lanes);
        b.repeat(n_periods, |b| {
            (0..period).for_each(|vector| self.vector(b, isa, at, vector, period * isa.lanes));
            b.advance(input, period * isa.lanes / self.n() * self.m());
            b.advance(filter, period * isa.lanes * (1 + self.depth()));
            b.advance(output, period * isa.lanes);
        });
        let rest = self.output.shape.channels - n_periods * period * isa.lanes;
        (0..rest.div_ceil(isa.lanes)).for_each(|vector| self.vector(&mut b, isa, at, vector, rest));
        b.finish()
    }

    /// A vector of the channels that begin at a cursor, of which there are `n_channels`.
    fn vector(&self, b: &mut Builder, isa: &Isa, at: Cursor, vector: usize, n_channels: usize) {
        let first = vector * isa.lanes;
        let channels = first..n_channels.min(first + isa.lanes);
        let height = self.input.shape.height;
        let rows = runs(self.output.shape.height, 1, |y| self.window.rows.taps(y, height));
        let width = self.input.shape.width;
        let columns = runs(self.output.shape.width, PIXELS, |x| self.window.columns.taps(x, width));
        let last = (channels.end - 1) / self.n();
        for group in (first / self.n()..=last).rev() {
            // The last group's store covers the vector, zeros behind the map's channels included.
            let lanes = if group == last { isa.lanes } else { (group + 1) * self.n() - first };
            b.heading(format!("channels {channels:?}, group {group} from the cursor on"));
            let from = [b.pointer(), b.pointer(), b.pointer()];
            b.set_pointer(from[0], at.input, (group * self.m()) as isize);
            b.set_pointer(from[1], at.filter, (first * (1 + self.depth())) as isize);
            b.set_pointer(from[2], at.output, first as isize);
            let at = Cursor { input: from[0], filter: from[1], output: from[2] };
            for rows in &rows {
                columns.iter().for_each(|columns| self.share(b, isa, at, &Share { lanes, rows, columns }));
            }
            b.free_pointers(from);
        }
    }

    /// The output rows and tiles of some runs.
    fn share(&self, b: &mut Builder, isa: &Isa, at: Cursor, share: &Share<'_>) {
        let Grouped { window, input: map_in, output: map_out, .. } = self;
        let Share { rows, columns, .. } = *share;
        let kernel_rows = rows.taps[0].clone();
        let (row_in, row_out) = (b.pointer(), b.pointer());
        let top = window.rows.offset(rows.first, kernel_rows.start) * map_in.row_stride() as isize;
        let left = window.columns.offset(columns.first, 0) * map_in.pixel_stride as isize;
        b.set_pointer(row_in, at.input, top + left);
        let first = rows.first * map_out.row_stride() + columns.first * map_out.pixel_stride;
        b.set_pointer(row_out, at.output, first as isize);
        b.repeat(rows.count, |b| {
            let (tile_in, tile_out) = (b.pointer(), b.pointer());
            b.set_pointer(tile_in, row_in, 0);
            b.set_pointer(tile_out, row_out, 0);
            b.repeat(columns.count, |b| {
                let at = Cursor { input: tile_in, output: tile_out, ..at };
                self.tile(b, isa, at, kernel_rows.clone(), share);
                b.advance(tile_in, columns.len() * window.columns.stride * map_in.pixel_stride);
                b.advance(tile_out, columns.len() * map_out.pixel_stride);
            });
            b.free_pointers([tile_in, tile_out]);
            b.advance(row_in, window.rows.stride * map_in.row_stride());
            b.advance(row_out, map_out.row_stride());
        });
        b.free_pointers([row_in, row_out]);
    }

    /// One vector of channels of one tile of pixels.
    fn tile(&self, b: &mut Builder, isa: &Isa, at: Cursor, kernel_rows: Range<usize>, share: &Share<'_>) {
        let Grouped { window, input: map_in, output: map_out, .. } = self;
        let (taps, m) = (&share.columns.taps, self.m());
        let accumulators = b.registers(taps.len());
        b.load(accumulators[0], at.filter.at(0));
        accumulators[1..].iter().for_each(|acc| b.copy(*acc, accumulators[0]));
        let (weight, element) = (b.register(), b.register());
        let (row, weights) = (b.pointer(), b.pointer());
        let row_of_weights = window.columns.kernel * m * isa.lanes;
        b.set_pointer(row, at.input, 0);
        b.set_pointer(weights, at.filter, (isa.lanes + kernel_rows.start * row_of_weights) as isize);
        b.repeat(kernel_rows.len(), |b| {
            for kx in 0..window.columns.kernel {
                let inside: Vec<usize> = (0..taps.len()).filter(|pixel| taps[*pixel].contains(&kx)).collect();
                if inside.is_empty() {
                    b.advance(weights, m * isa.lanes);
                    continue;
                }
                let from = b.pointer();
                b.set_pointer(from, row, (kx * window.columns.dilation * map_in.pixel_stride) as isize);
                b.repeat(m, |b| {
                    b.load(weight, weights.at(0));
                    for pixel in &inside {
                        b.splat(element, from.at(pixel * window.columns.stride * map_in.pixel_stride));
                        b.fma(accumulators[*pixel], element, weight);
                    }
                    b.advance(from, 1);
                    b.advance(weights, isa.lanes);
                });
                b.free_pointers([from]);
            }
            b.advance(row, window.rows.dilation * map_in.row_stride());
        });
        b.free_pointers([row, weights]);
        b.free([weight, element]);
        let scratch = epilogue::scratch(b, self.activation);
        let epilogue = Epilogue::new(b, self.activation, &scratch).expect("few accumulators leave room");
        for (pixel, acc) in accumulators.iter().enumerate() {
            epilogue.apply(b, *acc);
            b.store_part(*acc, at.output.at(pixel * map_out.pixel_stride), share.lanes);
        }
        b.free(accumulators.into_iter().chain(scratch));
    }
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}
