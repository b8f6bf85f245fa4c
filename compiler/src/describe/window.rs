//! Windows as descriptions say them: how large, how far they step, how they are padded. What becomes of them over a map of known
//! extent is [`Window`](crate::graph::shape::Window).

use std::fmt;

/// A number for rows and one for columns: how large a kernel is, how far it steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Sides {
    /// Of rows.
    pub rows: usize,
    /// Of columns.
    pub columns: usize,
}

impl Sides {
    /// The same number for both.
    pub const fn square(side: usize) -> Sides {
        Sides { rows: side, columns: side }
    }

    /// One number where both are the same.
    pub fn side(self) -> Option<usize> {
        (self.rows == self.columns).then_some(self.rows)
    }

    /// Their product.
    pub fn area(self) -> usize {
        self.rows * self.columns
    }
}

/// `10x4`
impl fmt::Display for Sides {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.rows, self.columns)
    }
}

/// What a window is before it is laid over a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Slide {
    /// D_K, taps in both directions.
    pub kernel: Sides,
    /// Step.
    pub stride: Sides,
    /// Distance between taps.
    pub dilation: Sides,
}

impl Slide {
    /// One tap, no step.
    pub const POINTWISE: Slide = Slide::square(1, 1);

    /// A square kernel of side D_K, its taps neighbours.
    pub const fn square(d_k: usize, stride: usize) -> Slide {
        Slide { kernel: Sides::square(d_k), stride: Sides::square(stride), dilation: Sides::square(1) }
    }
}

/// `3x3s2`, `10x4s2x1`, `3x3s1d2`: kernel, stride, dilation if there is one.
impl fmt::Display for Slide {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.kernel)?;
        for (letter, sides) in [('s', self.stride), ('d', self.dilation)] {
            match sides.side() {
                Some(1) if letter == 'd' => {}
                Some(side) => write!(f, "{letter}{side}")?,
                None => write!(f, "{letter}{sides}")?,
            }
        }
        Ok(())
    }
}

/// Rule that gives the rows and columns of padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding {
    /// TensorFlow's SAME: out = ceil(in / stride), the smaller half of the padding first.
    Same,
    /// PyTorch's `D_K / 2` on all sides.
    Symmetric,
    /// None.
    Valid,
    /// Keras's `ZeroPadding2D` before a window that strides: `D_K / 2 - 1` first, `D_K / 2` last; elsewhere as [`Padding::Same`].
    Keras,
    /// As written.
    Numbers(Pads),
}

/// Rows and columns of padding around a feature map.
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

/// `same`, or rows and columns `0,0,1,1` (top, left, bottom, right).
impl fmt::Display for Padding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Padding::Same => f.write_str("same"),
            Padding::Symmetric => f.write_str("symmetric"),
            Padding::Valid => f.write_str("valid"),
            Padding::Keras => f.write_str("keras"),
            Padding::Numbers(Pads { top, left, bottom, right }) => write!(f, "{top},{left},{bottom},{right}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slides_say_what_is_unusual() {
        let odd = Slide {
            kernel: Sides { rows: 10, columns: 4 },
            stride: Sides { rows: 2, columns: 1 },
            dilation: Sides { rows: 1, columns: 3 },
        };
        let shown = [Slide::square(3, 2), Slide { dilation: Sides::square(2), ..Slide::square(5, 1) }, odd];
        assert_eq!(shown.map(|slide| slide.to_string()), ["3x3s2", "5x5s1d2", "10x4s2x1d1x3"]);
    }
}
