//! Shapes of feature maps and the sizes that windows give them.

use std::fmt;

use crate::describe::Padding;

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

/// Rows and columns of padding around a feature map. A padded tap is outside the chain of multiply-adds: it is skipped, not
/// multiplied with zero (see [`crate::reference`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Pads {
    /// Rows above the first.
    pub top: usize,
    /// Columns left of the first.
    pub left: usize,
    /// Rows below the last.
    pub bottom: usize,
    /// Columns right of the last.
    pub right: usize,
}

/// A square window that slides over a feature map: kernel side D_K, stride, padding resolved to numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    /// D_K: rows and columns of the kernel, 1 to 7.
    pub d_k: usize,
    /// Step in both directions, 1 or 2.
    pub stride: usize,
    /// Resolved padding.
    pub pads: Pads,
}

impl Window {
    /// The 1x1 window of a pointwise convolution: no padding, stride 1.
    pub const POINTWISE: Window =
        Window { d_k: 1, stride: 1, pads: Pads { top: 0, left: 0, bottom: 0, right: 0 } };

    /// A window over an input of `height` x `width`, its padding resolved. The window may still be too large for the padded
    /// input: [`Window::output`] tells.
    ///
    /// ```
    /// use mnc::describe::Padding;
    /// use mnc::graph::shape::{Pads, Window};
    /// let window = Window::resolve(3, 2, Padding::Same, (224, 224));
    /// assert_eq!(window.pads, Pads { top: 0, left: 0, bottom: 1, right: 1 });
    /// assert_eq!(window.output(224, 224), Some((112, 112)));
    /// ```
    pub fn resolve(d_k: usize, stride: usize, padding: Padding, (height, width): (usize, usize)) -> Window {
        let axis = |extent: usize| match padding {
            Padding::Same => {
                let out = extent.div_ceil(stride);
                let total = ((out.saturating_sub(1)) * stride + d_k).saturating_sub(extent);
                (total / 2, total - total / 2)
            }
            Padding::Symmetric => (d_k / 2, d_k / 2),
            Padding::Valid => (0, 0),
        };
        let ((top, bottom), (left, right)) = (axis(height), axis(width));
        Window { d_k, stride, pads: Pads { top, left, bottom, right } }
    }

    /// Rows and columns of the output for an input of `height` x `width`; `None` when the padded input is smaller than the
    /// window.
    pub fn output(self, height: usize, width: usize) -> Option<(usize, usize)> {
        let axis = |padded: usize| Some(padded.checked_sub(self.d_k)?.checked_div(self.stride)? + 1);
        let Pads { top, left, bottom, right } = self.pads;
        Some((axis(height + top + bottom)?, axis(width + left + right)?))
    }

    /// The taps `k` in `0..d_k` that fall inside an axis of `extent` elements for output position `out`, where `before` elements
    /// of padding come first: input position `out * stride + k - before`.
    ///
    /// The range is empty where the whole window lies in the padding.
    pub fn taps(self, out: usize, before: usize, extent: usize) -> std::ops::Range<usize> {
        let origin = out * self.stride;
        let low = before.saturating_sub(origin).min(self.d_k);
        let high = (extent + before).saturating_sub(origin).min(self.d_k);
        low..high.max(low)
    }

    /// Taps in row direction for output row `y` of an input of `height` rows.
    pub fn rows(self, y: usize, height: usize) -> std::ops::Range<usize> {
        self.taps(y, self.pads.top, height)
    }

    /// Taps in column direction for output column `x` of an input of `width` columns.
    pub fn columns(self, x: usize, width: usize) -> std::ops::Range<usize> {
        self.taps(x, self.pads.left, width)
    }
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
        let window = Window::resolve(d_k, stride, padding, (extent, 64));
        let found = window.output(extent, 64).map(|(out, _)| (window.pads.top, window.pads.bottom, out));
        assert_eq!(found, expected, "{extent} {d_k}x{d_k} s{stride} {padding:?}");
        let transposed = Window::resolve(d_k, stride, padding, (64, extent));
        assert_eq!((transposed.pads.left, transposed.pads.right), (window.pads.top, window.pads.bottom));
    }

    #[test]
    fn padding_along_an_axis() {
        use Padding::{Same, Symmetric, Valid};
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
    }

    #[test]
    fn same_gives_the_rounded_up_quotient() {
        for extent in 1..=40 {
            for d_k in 1..=7 {
                for stride in 1..=2 {
                    let window = Window::resolve(d_k, stride, Padding::Same, (extent, extent));
                    let out = extent.div_ceil(stride);
                    assert_eq!(window.output(extent, extent), Some((out, out)), "{extent} {d_k} {stride}");
                }
            }
        }
    }
}
