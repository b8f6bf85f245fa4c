//! Maximum or mean of each channel over a sliding window, of the taps inside of the map, in row order.
//!
//! One pixel at a time; borders have code of their own. The maximum of two numbers that a processor gives loses a NaN in one of
//! its operands, so a second register is multiplied in at the end: 1, or NaN as soon as a tap was one.
//!
//! Bytes have no NaN: their maximum is one of numbers, which they are for the comparison. Their mean is that of an exact sum.
//!
//! Register map: the result, one input vector; for a maximum its proof, a temporary and three constants.

use super::tile::{Run, runs};
use super::{Family, FeatureMap, KernelName, NamedTile};
use crate::code::{Access, Address, Binary, Builder, Code, Ptr};
use crate::graph::layer::{Activation, Pooling};
use crate::graph::shape::Window;
use crate::graph::tensor::Dtype;
use crate::reference::pool_reciprocal;
use crate::target::Isa;

/// A pool with a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WindowPool {
    /// What is made of the taps.
    pub pooling: Pooling,
    /// The sliding window.
    pub window: Window,
    /// Padded.
    pub input: FeatureMap,
    /// Padded.
    pub output: FeatureMap,
    /// The byte that stands for 0, in maps of bytes.
    pub zero_point: u8,
}

impl WindowPool {
    pub(super) fn name(&self, isa: &Isa) -> KernelName {
        let slide = self.window.slide();
        KernelName {
            dtype: self.input.dtype,
            family: match self.pooling {
                Pooling::Max => Family::MaxPool(slide),
                Pooling::Average { .. } => Family::AveragePool(slide),
            },
            tile: NamedTile::row(1, isa.lanes),
            activation: Activation::None,
            isa: isa.tag.to_owned(),
        }
    }

    pub(super) fn code(&self, isa: &Isa) -> Code {
        let WindowPool { window: Window { rows, columns }, input: map_in, output: map_out, .. } = *self;
        let row_runs = runs(map_out.shape.height, 1, |y| rows.taps(y, map_in.shape.height));
        let column_runs = runs(map_out.shape.width, 1, |x| columns.taps(x, map_in.shape.width));
        let mut b = Builder::new(isa);
        let input = b.parameter("input", Access::Read);
        let output = b.parameter("output", Access::Write);
        for run in &row_runs {
            let (row_in, row_out) = (b.pointer(), b.pointer());
            let first = rows.offset(run.first, run.taps[0].start) * map_in.row_words() as isize;
            b.set_pointer(row_in, input, first);
            b.set_pointer(row_out, output, (run.first * map_out.row_words()) as isize);
            b.repeat(run.count, |b| {
                for columns in &column_runs {
                    self.pixels(b, isa, [row_in, row_out], (run, columns));
                }
                b.advance(row_in, rows.stride * map_in.row_words());
                b.advance(row_out, map_out.row_words());
            });
            b.free_pointers([row_in, row_out]);
        }
        b.finish()
    }

    /// The pixels of a row under which the window has the same taps.
    fn pixels(&self, b: &mut Builder, isa: &Isa, [row_in, row_out]: [Ptr; 2], (row_run, run): (&Run, &Run)) {
        let WindowPool { window: Window { columns, .. }, input: map_in, output: map_out, .. } = *self;
        let (pixel_in, pixel_out) = (b.pointer(), b.pointer());
        let first = columns.offset(run.first, run.taps[0].start) * map_in.pixel_words() as isize;
        b.set_pointer(pixel_in, row_in, first);
        b.set_pointer(pixel_out, row_out, (run.first * map_out.pixel_words()) as isize);
        b.repeat(run.count, |b| {
            let (from, to) = (b.pointer(), b.pointer());
            b.set_pointer(from, pixel_in, 0);
            b.set_pointer(to, pixel_out, 0);
            b.repeat(map_out.shape.channels.div_ceil(isa.lanes), |b| {
                let taps = (row_run.taps[0].len(), run.taps[0].len());
                match map_in.dtype {
                    Dtype::F32 => self.vector(b, [from, to], taps),
                    Dtype::U8 => self.byte_vector(b, [from, to], taps),
                }
                b.advance(from, map_in.words(isa.lanes));
                b.advance(to, map_out.words(isa.lanes));
            });
            b.free_pointers([from, to]);
            b.advance(pixel_in, columns.stride * map_in.pixel_words());
            b.advance(pixel_out, map_out.pixel_words());
        });
        b.free_pointers([pixel_in, pixel_out]);
    }

    /// One vector of channels of one pixel.
    fn vector(&self, b: &mut Builder, [from, to]: [Ptr; 2], taps: (usize, usize)) {
        let WindowPool { pooling, window, .. } = *self;
        let (result, x) = (b.register(), b.register());
        let (proof, bounded) = (b.register(), b.register());
        let [zero, low, high] = [0.0, -1.0, 1.0].map(|value| {
            let register = b.register();
            if pooling == Pooling::Max {
                b.constant(register, value);
            }
            register
        });
        match pooling {
            Pooling::Max => {
                b.constant(result, f32::NEG_INFINITY);
                b.constant(proof, 1.0);
            }
            Pooling::Average { .. } => b.constant(result, 0.0),
        }
        self.each_tap(b, from, taps, |b, tap| {
            b.load(x, tap);
            match pooling {
                Pooling::Max => {
                    b.binary(Binary::Max, result, x, result);
                    // Finite, so that its product with zero is zero, unless it is NaN.
                    b.binary(Binary::Max, bounded, low, x);
                    b.binary(Binary::Min, bounded, high, bounded);
                    b.fma(proof, bounded, zero);
                }
                Pooling::Average { .. } => b.binary(Binary::Add, result, result, x),
            }
        });
        match pooling {
            Pooling::Max => b.binary(Binary::Mul, result, result, proof),
            Pooling::Average { .. } => {
                b.constant(x, pool_reciprocal(pooling.divisor(window, taps.0 * taps.1)));
                b.binary(Binary::Mul, result, result, x);
            }
        }
        b.store(result, to.at(0));
        b.free([result, x, proof, bounded, zero, low, high]);
    }

    /// The same of bytes.
    fn byte_vector(&self, b: &mut Builder, [from, to]: [Ptr; 2], taps: (usize, usize)) {
        let (pooling, n_taps) = (self.pooling, taps.0 * taps.1);
        let zero_point = i32::from(self.zero_point);
        let (result, x) = (b.register(), b.register());
        match pooling {
            Pooling::Max => b.constant(result, 0.0),
            Pooling::Average { .. } => b.constant_integer(result, -zero_point * n_taps as i32),
        }
        let lanes = b.lanes();
        self.each_tap(b, from, taps, |b, tap| {
            b.load_bytes(x, tap, lanes);
            match pooling {
                Pooling::Max => {
                    b.to_float(x, x);
                    b.binary(Binary::Max, result, x, result);
                }
                Pooling::Average { .. } => b.binary(Binary::AddIntegers, result, result, x),
            }
        });
        if pooling != Pooling::Max {
            b.to_float(result, result);
            b.constant(x, pool_reciprocal(pooling.divisor(self.window, n_taps)));
            b.binary(Binary::Mul, result, result, x);
        }
        b.to_integer(result, result);
        // A mean lies between the bytes of which it is one, that of 0 among them, and so does the byte of it.
        if pooling != Pooling::Max && zero_point != 0 {
            b.constant_integer(x, zero_point);
            b.binary(Binary::AddIntegers, result, result, x);
        }
        b.store_bytes(result, to.at(0), lanes);
        b.free([result, x]);
    }

    /// Calls for so many rows and columns of taps.
    fn each_tap(
        &self,
        b: &mut Builder,
        from: Ptr,
        (n_rows, n_columns): (usize, usize),
        each: impl Fn(&mut Builder, Address),
    ) {
        let WindowPool { window: Window { rows, columns }, input: map_in, .. } = *self;
        let row = b.pointer();
        b.set_pointer(row, from, 0);
        b.repeat(n_rows, |b| {
            for tap in 0..n_columns {
                each(b, row.at(tap * columns.dilation * map_in.pixel_words()));
            }
            b.advance(row, rows.dilation * map_in.row_words());
        });
        b.free_pointers([row]);
    }
}
