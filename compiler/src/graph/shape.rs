//! Shapes of feature maps and the sizes that windows give them.

use std::fmt;
use std::ops::Range;

use crate::describe::{Padding, Pads, Sides, Slide};

/// The extent of one feature map, without the batch: H x W x C, stored with the channel innermost (NHWC).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shape {
    /// Rows, D_F of the paper when the map is square.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Channels: M as a layer's input, N as its output.
    pub channels: usize,
}

impl Shape {
    /// Pixels of one channel.
    pub fn pixels(self) -> usize {
        self.height * self.width
    }

    /// Elements in all.
    pub fn len(self) -> usize {
        self.pixels() * self.channels
    }

    /// Whether the map has no element; a shape in a verified graph never is.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}x{}", self.height, self.width, self.channels)
    }
}

/// What a window does along one axis: its taps, its steps, and padding resolved to numbers.
///
/// A padded tap is outside the chain of multiply-adds: it is skipped, not multiplied with zero (see [`crate::reference`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Axis {
    /// D_K: taps.
    pub kernel: usize,
    /// Elements from one position of the window to the next.
    pub stride: usize,
    /// Elements from one tap to the next; 1 where they are neighbours.
    pub dilation: usize,
    /// Elements of padding before the first.
    pub before: usize,
    /// Elements of padding behind the last.
    pub after: usize,
}

impl Axis {
    /// Elements from the first tap to the last, both counted.
    pub fn span(self) -> usize {
        (self.kernel - 1) * self.dilation + 1
    }

    /// Elements from the first tap of a position to the last tap of the last of so many, both counted.
    pub fn covered(self, positions: usize) -> usize {
        (positions - 1) * self.stride + self.span()
    }

    /// Positions of the window over `extent` elements; `None` when they and their padding are fewer than it spans.
    pub fn output(self, extent: usize) -> Option<usize> {
        let free = (extent + self.before + self.after).checked_sub(self.span())?;
        Some(free.checked_div(self.stride)? + 1)
    }

    /// The taps `k` in `0..kernel` that fall inside an axis of `extent` elements for output position `out`: input position
    /// `out * stride + k * dilation - before`.
    ///
    /// The range is empty where the whole window lies in the padding.
    pub fn taps(self, out: usize, extent: usize) -> Range<usize> {
        let origin = out * self.stride;
        let first_from =
            |element: usize| element.saturating_sub(origin).div_ceil(self.dilation).min(self.kernel);
        let (low, high) = (first_from(self.before), first_from(extent + self.before));
        low..high.max(low)
    }

    /// As [`Axis::taps`], but no taps are always the range 0..0.
    pub fn border(self, out: usize, extent: usize) -> Range<usize> {
        whole(self.taps(out, extent))
    }

    /// Elements from the first of the axis to a tap at an output position; negative in the padding.
    pub fn offset(self, out: usize, tap: usize) -> isize {
        (out * self.stride + tap * self.dilation) as isize - self.before as isize
    }
}

/// A window that slides over a feature map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    /// From row to row.
    pub rows: Axis,
    /// From column to column.
    pub columns: Axis,
}

impl Window {
    /// The 1x1 window of a pointwise convolution: no padding, stride 1.
    pub const POINTWISE: Window = {
        let axis = Axis { kernel: 1, stride: 1, dilation: 1, before: 0, after: 0 };
        Window { rows: axis, columns: axis }
    };

    /// A window over an input of `height` x `width`, its padding resolved. The window may still be too large for the padded
    /// input: [`Window::output`] tells.
    ///
    /// ```
    /// use mnc::describe::{Padding, Slide};
    /// use mnc::graph::shape::Window;
    /// let window = Window::resolve(Slide::square(3, 2), Padding::Same, (224, 224));
    /// assert_eq!((window.rows.before, window.rows.after), (0, 1));
    /// assert_eq!(window.output(224, 224), Some((112, 112)));
    /// ```
    pub fn resolve(slide: Slide, padding: Padding, (height, width): (usize, usize)) -> Window {
        let Slide { kernel, stride, dilation } = slide;
        let rows =
            Axis { kernel: kernel.rows, stride: stride.rows, dilation: dilation.rows, before: 0, after: 0 };
        let columns = Axis {
            kernel: kernel.columns,
            stride: stride.columns,
            dilation: dilation.columns,
            before: 0,
            after: 0,
        };
        let pad = |axis: Axis, extent: usize, numbers: fn(Pads) -> (usize, usize)| {
            let (before, after) = match padding {
                Padding::Same => same(axis, extent),
                Padding::Keras if axis.stride == 1 => same(axis, extent),
                Padding::Keras => ((axis.span() / 2).saturating_sub(1), axis.span() / 2),
                Padding::Symmetric => (axis.span() / 2, axis.span() / 2),
                Padding::Valid => (0, 0),
                Padding::Numbers(pads) => numbers(pads),
            };
            Axis { before, after, ..axis }
        };
        Window {
            rows: pad(rows, height, |pads| (pads.top, pads.bottom)),
            columns: pad(columns, width, |pads| (pads.left, pads.right)),
        }
    }

    /// The same without its padding.
    pub fn slide(self) -> Slide {
        let Window { rows, columns } = self;
        Slide {
            kernel: Sides { rows: rows.kernel, columns: columns.kernel },
            stride: Sides { rows: rows.stride, columns: columns.stride },
            dilation: Sides { rows: rows.dilation, columns: columns.dilation },
        }
    }

    /// Positions of the kernel.
    pub fn taps(self) -> usize {
        self.rows.kernel * self.columns.kernel
    }

    /// The taps that are inside of a map of `height` x `width`, as kernel rows and kernel columns, for every position of the
    /// window; each pair once, in the order of the positions. One pair where there is no padding. Where no tap is inside, the range is
    /// 0..0.
    ///
    /// ```
    /// use mnc::describe::{Padding, Slide};
    /// use mnc::graph::shape::Window;
    /// let window = Window::resolve(Slide::square(3, 2), Padding::Same, (224, 224));
    /// assert_eq!(window.borders((224, 224)), [(0..3, 0..3), (0..3, 0..2), (0..2, 0..3), (0..2, 0..2)]);
    /// ```
    pub fn borders(self, (height, width): (usize, usize)) -> Vec<(Range<usize>, Range<usize>)> {
        let along = |axis: Axis, extent: usize| {
            let mut found: Vec<Range<usize>> = Vec::new();
            for position in 0..axis.output(extent).unwrap_or(0) {
                let taps = axis.border(position, extent);
                if !found.contains(&taps) {
                    found.push(taps);
                }
            }
            found
        };
        let (rows, columns) = (along(self.rows, height), along(self.columns, width));
        let pairs = |rows: Range<usize>| columns.iter().map(move |columns| (rows.clone(), columns.clone()));
        rows.into_iter().flat_map(pairs).collect()
    }

    /// Which of [`Window::borders`] has the taps of a position.
    ///
    /// # Panics
    /// When none has.
    pub fn border(
        borders: &[(Range<usize>, Range<usize>)],
        rows: &Range<usize>,
        columns: &Range<usize>,
    ) -> usize {
        let taps = (whole(rows.clone()), whole(columns.clone()));
        borders.iter().position(|border| *border == taps).expect("every position has a border")
    }

    /// Rows and columns of the output for an input of `height` x `width`; `None` when the padded input is smaller than the
    /// window.
    pub fn output(self, height: usize, width: usize) -> Option<(usize, usize)> {
        Some((self.rows.output(height)?, self.columns.output(width)?))
    }
}

/// Taps, no taps always being the same range.
fn whole(taps: Range<usize>) -> Range<usize> {
    if taps.is_empty() { 0..0 } else { taps }
}

/// Padding before and behind an axis that gives ceil(extent / stride) positions, the smaller half first.
fn same(axis: Axis, extent: usize) -> (usize, usize) {
    let out = extent.div_ceil(axis.stride);
    let total = (out.saturating_sub(1) * axis.stride + axis.span()).saturating_sub(extent);
    (total / 2, total - total / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Padding before and after, and outputs, along one axis.
    fn check(
        extent: usize,
        d_k: usize,
        stride: usize,
        padding: Padding,
        expected: Option<(usize, usize, usize)>,
    ) {
        let slide = Slide::square(d_k, stride);
        let window = Window::resolve(slide, padding, (extent, 64));
        let found = window.output(extent, 64).map(|(out, _)| (window.rows.before, window.rows.after, out));
        assert_eq!(found, expected, "{extent} {slide} {padding:?}");
        let transposed = Window::resolve(slide, padding, (64, extent));
        assert_eq!(transposed.columns, window.rows);
    }

    #[test]
    fn padding_along_an_axis() {
        use Padding::{Keras, Same, Symmetric, Valid};
        check(8, 3, 1, Same, Some((1, 1, 8)));
        check(8, 3, 2, Same, Some((0, 1, 4)));
        check(7, 3, 2, Same, Some((1, 1, 4)));
        check(8, 2, 1, Same, Some((0, 1, 8)));
        check(1, 7, 2, Same, Some((3, 3, 1)));
        check(8, 1, 2, Same, Some((0, 0, 4)));
        check(8, 3, 2, Symmetric, Some((1, 1, 4)));
        check(7, 3, 2, Symmetric, Some((1, 1, 4)));
        check(8, 2, 1, Symmetric, Some((1, 1, 9)));
        check(8, 3, 2, Valid, Some((0, 0, 3)));
        check(7, 7, 1, Valid, Some((0, 0, 1)));
        check(6, 7, 1, Valid, None);
        check(8, 3, 2, Keras, Some((0, 1, 4)));
        check(7, 3, 2, Keras, Some((0, 1, 3)));
        check(7, 5, 2, Keras, Some((1, 2, 3)));
        check(7, 3, 1, Keras, Some((1, 1, 7)));
        check(8, 1, 2, Keras, Some((0, 0, 4)));
    }

    /// Taps counted one by one, for every place of small windows.
    #[test]
    fn taps_are_those_inside() {
        for kernel in 1..=5 {
            for stride in 1..=4 {
                for dilation in 1..=3 {
                    for (before, after) in [(0, 0), (1, 0), (0, 2), (4, 3), (9, 9)] {
                        let axis = Axis { kernel, stride, dilation, before, after };
                        for extent in 1..=12 {
                            for out in 0..axis.output(extent).unwrap_or(0) {
                                let is_inside =
                                    |tap: &usize| (0..extent as isize).contains(&axis.offset(out, *tap));
                                let expected: Vec<usize> = (0..kernel).filter(is_inside).collect();
                                let found: Vec<usize> = axis.taps(out, extent).collect();
                                assert_eq!(found, expected, "{axis:?} {extent} {out}");
                            }
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn same_gives_the_rounded_up_quotient() {
        for extent in 1..=40 {
            for d_k in 1..=7 {
                for stride in 1..=4 {
                    let window = Window::resolve(Slide::square(d_k, stride), Padding::Same, (extent, extent));
                    let out = extent.div_ceil(stride);
                    assert_eq!(window.output(extent, extent), Some((out, out)), "{extent} {d_k} {stride}");
                }
            }
        }
    }
}
