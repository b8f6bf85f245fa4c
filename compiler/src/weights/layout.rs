//! The order in which a file has the axes of a filter: PyTorch's, TensorFlow's, TFLite's.
//!
//! A file has one order. It is told by the shapes of its windows: a filter `[3, 3, 32, 64]` is TensorFlow's, `[64, 32, 3, 3]`
//! PyTorch's. Knows no names and no bytes.

use std::fmt;

use mnc_runtime::filter::Order;

use crate::describe::Sides;
use crate::error::{Error, ErrorKind, Place, Result};
use crate::graph::layer::FilterShape;

/// An order of axes: O are the outputs N, I the inputs M, H and W the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Layout {
    /// `[N, M, D_K, D_K]`, depthwise `[M, 1, D_K, D_K]`, dense `[N, M]`: PyTorch.
    Oihw,
    /// `[D_K, D_K, M, N]`, depthwise `[D_K, D_K, M, 1]`, dense `[M, N]`: TensorFlow, Keras, Flax.
    Hwio,
    /// `[N, D_K, D_K, M]`, depthwise `[M, D_K, D_K, 1]` or `[1, D_K, D_K, M]`, dense `[N, M]`: TFLite, MLX.
    Ohwi,
}

impl Layout {
    /// Every order.
    pub const ALL: [Layout; 3] = [Layout::Oihw, Layout::Hwio, Layout::Ohwi];

    /// As options and files spell it.
    pub fn name(self) -> &'static str {
        match self {
            Layout::Oihw => "OIHW",
            Layout::Hwio => "HWIO",
            Layout::Ohwi => "OHWI",
        }
    }

    /// The order of this name.
    ///
    /// ```
    /// use mnc::weights::layout::Layout;
    /// assert_eq!(Layout::by_name("HWIO"), Some(Layout::Hwio));
    /// ```
    pub fn by_name(name: &str) -> Option<Layout> {
        Layout::ALL.into_iter().find(|layout| layout.name() == name)
    }

    /// The order of a name that a user gave.
    ///
    /// # Errors
    /// There is none of this name.
    pub fn asked(name: &str) -> Result<Layout> {
        Layout::by_name(name).ok_or_else(|| {
            let detail = format!("found {name:?}, expected {EXPECTED}");
            Error::new(ErrorKind::Options, Place::flag("axes"), detail)
        })
    }

    /// A filter's shape in this order; `oihw` is its shape in PyTorch's.
    pub(super) fn shape(self, filter: &FilterShape, oihw: &[usize]) -> Vec<usize> {
        match (self, oihw) {
            (Layout::Oihw, _) => oihw.to_vec(),
            (Layout::Hwio, &[n, _, h, w]) if is_depthwise(filter) => {
                vec![h, w, filter.groups, n / filter.groups]
            }
            (Layout::Hwio, &[n, m, h, w]) => vec![h, w, m, n],
            (Layout::Ohwi, &[n, m, h, w]) => vec![n, h, w, m],
            (Layout::Hwio, &[n, m]) => vec![m, n],
            (Layout::Hwio | Layout::Ohwi, other) => other.to_vec(),
        }
    }

    /// The distances from a tap, an input channel and an output channel of a filter to the next.
    pub(crate) fn strides(self, filter: &FilterShape) -> [usize; 3] {
        let FilterShape { m, n, .. } = *filter;
        let taps = filter.taps();
        match self {
            // Also elements of a map, channels first.
            Layout::Oihw => [1, taps, m * taps],
            Layout::Hwio if filter.is_flat => [n, taps * n, 1],
            Layout::Hwio => [m * n, n, 1],
            Layout::Ohwi if filter.is_flat => [1, taps, m * taps],
            Layout::Ohwi => [m, 1, m * taps],
        }
    }

    /// Where the numbers of a filter are in a tensor of this shape, which in this order would be `expected`; `None` where it is
    /// another filter's.
    pub(super) fn order(self, filter: &FilterShape, expected: &[usize], found: &[usize]) -> Option<Order> {
        let FilterShape { m, n, .. } = *filter;
        let taps = filter.taps();
        let strides = self.strides(filter);
        let order = |strides| Some(Order::with_strides(n, m, taps, strides));
        if found == expected || self != Layout::Oihw && is_same(found, expected, filter) {
            return order(strides);
        }
        match (self, found) {
            // Flax has the channels of a depthwise filter as outputs: the same numbers in the same order.
            (Layout::Hwio, &[h, w, 1, last]) if is_depthwise(filter) => {
                (last == n && is_window(filter, h, w)).then(|| order(strides))?
            }
            (Layout::Ohwi, &[1, h, w, last]) if is_depthwise(filter) => {
                (last == n && is_window(filter, h, w)).then(|| order([n, n, 1]))?
            }
            (Layout::Oihw | Layout::Hwio | Layout::Ohwi, _) => None,
        }
    }

    /// The output channels of a filter of this shape.
    pub(super) fn outputs(self, shape: &[usize]) -> Option<usize> {
        match self {
            Layout::Oihw | Layout::Ohwi => shape.first().copied(),
            Layout::Hwio => shape.last().copied(),
        }
    }

    /// The one order in which a filter with a window can have this shape, however wide it is; `None` where several would do.
    pub(super) fn of(filter: &FilterShape, found: &[usize]) -> Option<Layout> {
        let &[a, b, c, d] = found else { return None };
        if filter.is_flat {
            return None;
        }
        // What the two inner channels of a depthwise filter may be.
        let is_depthwise = is_depthwise(filter);
        let one = |x: usize| !is_depthwise || x == 1;
        let fits = Layout::ALL.into_iter().filter(|layout| match layout {
            Layout::Oihw => is_window(filter, c, d) && one(b),
            Layout::Hwio => is_window(filter, a, b) && (one(c) || one(d)),
            Layout::Ohwi => is_window(filter, b, c) && (one(a) || one(d)),
        });
        let fits: Vec<Layout> = fits.collect();
        match fits[..] {
            [only] => Some(only),
            _ => None,
        }
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a user may say.
pub(super) const EXPECTED: &str = "OIHW (PyTorch), HWIO (TensorFlow, Keras) or OHWI (TFLite)";

fn is_depthwise(filter: &FilterShape) -> bool {
    1 < filter.groups && filter.m == 1
}

fn is_window(filter: &FilterShape, h: usize, w: usize) -> bool {
    filter.window.unwrap_or(Sides::square(1)) == (Sides { rows: h, columns: w })
}

/// The same shape, or the same but for the sides of a window of one pixel.
fn is_same(found: &[usize], expected: &[usize], filter: &FilterShape) -> bool {
    let channels = |shape: &[usize]| shape.iter().copied().filter(|&extent| extent != 1).collect::<Vec<_>>();
    let looks_at_one_pixel = filter.taps() == 1 && !is_depthwise(filter);
    found == expected || looks_at_one_pixel && channels(found) == channels(expected)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conv(n: usize, m: usize, side: usize, groups: usize) -> FilterShape {
        FilterShape { window: Some(Sides::square(side)), m, n, groups, is_flat: false, has_bias: false }
    }

    #[test]
    fn shapes_tell_the_order() {
        let (standard, depthwise) = (conv(64, 32, 3, 1), conv(32, 1, 3, 32));
        for (filter, found, expected) in [
            (standard, vec![64, 32, 3, 3], Some(Layout::Oihw)),
            (standard, vec![3, 3, 32, 64], Some(Layout::Hwio)),
            (standard, vec![64, 3, 3, 32], Some(Layout::Ohwi)),
            (standard, vec![3, 3, 3, 64], None),
            (standard, vec![64, 32], None),
            (depthwise, vec![8, 1, 3, 3], Some(Layout::Oihw)),
            (depthwise, vec![3, 3, 8, 1], Some(Layout::Hwio)),
            (depthwise, vec![3, 3, 1, 8], Some(Layout::Hwio)),
            (depthwise, vec![1, 3, 3, 8], Some(Layout::Ohwi)),
            (depthwise, vec![8, 3, 3, 1], Some(Layout::Ohwi)),
            (conv(64, 64, 1, 1), vec![64, 64, 1, 1], Some(Layout::Oihw)),
            (conv(64, 64, 1, 1), vec![1, 1, 64, 64], Some(Layout::Hwio)),
            (conv(64, 64, 1, 1), vec![64, 64], None),
            (conv(64, 1, 1, 1), vec![1, 1, 1, 64], None),
        ] {
            assert_eq!(Layout::of(&filter, &found), expected, "{found:?}");
        }
    }

    /// Each order's numbers, told by where output 1, input 1, tap 1 lie.
    #[test]
    fn orders() {
        for (filter, layout, found, expected) in [
            (conv(4, 5, 2, 1), Layout::Oihw, vec![4, 5, 2, 2], Some([1, 4, 20])),
            (conv(4, 5, 2, 1), Layout::Hwio, vec![2, 2, 5, 4], Some([20, 4, 1])),
            (conv(4, 5, 2, 1), Layout::Ohwi, vec![4, 2, 2, 5], Some([5, 1, 20])),
            (conv(4, 5, 2, 1), Layout::Hwio, vec![4, 5, 2, 2], None),
            (conv(6, 1, 2, 3), Layout::Hwio, vec![2, 2, 3, 2], Some([6, 6, 1])),
            (conv(6, 1, 2, 3), Layout::Hwio, vec![2, 2, 1, 6], Some([6, 6, 1])),
            (conv(6, 1, 2, 3), Layout::Ohwi, vec![6, 2, 2, 1], Some([1, 1, 4])),
            (conv(6, 1, 2, 3), Layout::Ohwi, vec![1, 2, 2, 6], Some([6, 6, 1])),
            (conv(4, 5, 1, 1), Layout::Hwio, vec![1, 1, 5, 4], Some([20, 4, 1])),
            (conv(4, 5, 1, 1), Layout::Hwio, vec![5, 4], Some([20, 4, 1])),
            (conv(4, 5, 1, 1), Layout::Hwio, vec![4, 5], None),
        ] {
            let expected =
                expected.map(|strides| Order::with_strides(filter.n, filter.m, filter.taps(), strides));
            let shape = layout.shape(&filter, &filter.file_axes());
            assert_eq!(layout.order(&filter, &shape, &found), expected, "{layout} {found:?}");
        }
    }
}
