//! The numbers of a layer on their way into packed weights: put in order, a batch norm folded into them, laid out in panels.
//!
//! The compiler does this when it compiles and [`weights`](crate::weights) at run time, with the same bits because it is the
//! same code. Needs no `std` and no heap; knows no layer and no register tile.

use core::iter;

use crate::sqrt::sqrt;

/// The numbers of a layer with N output channels.
#[derive(Clone, Copy, Debug)]
pub struct Filter<'a> {
    /// The filter itself.
    pub weights: &'a [f32],
    /// Which of them is where.
    pub order: Order,
    /// `[N]`; zeros if there is none.
    pub bias: Option<&'a [f32]>,
    /// The batch norm that follows.
    pub norm: Option<BatchNorm<'a>>,
}

/// How a filter lies in memory: the distances from a tap, an input channel and an output channel to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    taps: usize,
    m: usize,
    n: usize,
    strides: [usize; 3],
}

impl Order {
    /// As files and PyTorch have it: `[N, M, D_K, D_K]` of D_K^2 taps; a depthwise filter `[M, 1, D_K, D_K]` has one input
    /// channel to each output, a dense one `[N, M]` one tap.
    pub const fn file(n: usize, m: usize, taps: usize) -> Order {
        Order { taps, m, n, strides: [1, taps, m * taps] }
    }

    /// As the arithmetic runs: `[depth][N]`, the products of a chain in their order, output channel innermost.
    pub const fn chain(n: usize, depth: usize) -> Order {
        Order { taps: 1, m: depth, n, strides: [0, n, 1] }
    }

    /// With distances of one's own: from a tap, an input channel and an output channel to the next.
    pub const fn with_strides(n: usize, m: usize, taps: usize, strides: [usize; 3]) -> Order {
        Order { taps, m, n, strides }
    }

    /// The distances from a tap, an input channel and an output channel to the next.
    pub const fn strides(self) -> [usize; 3] {
        self.strides
    }

    /// Products of each output element.
    pub const fn depth(self) -> usize {
        self.taps * self.m
    }

    /// Output channels.
    pub const fn n(self) -> usize {
        self.n
    }

    /// For each product of a chain, where it is for output channel 0.
    fn rows(self) -> impl Iterator<Item = usize> {
        let [tap_stride, m_stride, _] = self.strides;
        (0..self.taps).flat_map(move |tap| (0..self.m).map(move |m| tap * tap_stride + m * m_stride))
    }
}

/// A batch norm at inference, each vector `[N]`: gamma (x - mean) / sqrt(variance + epsilon) + beta.
#[derive(Clone, Copy, Debug)]
pub struct BatchNorm<'a> {
    /// Added to the variance.
    pub epsilon: f64,
    /// Scale; 1 without.
    pub gamma: Option<&'a [f32]>,
    /// Shift; 0 without.
    pub beta: Option<&'a [f32]>,
    /// Running mean.
    pub mean: &'a [f32],
    /// Running variance.
    pub variance: &'a [f32],
}

impl BatchNorm<'_> {
    /// By what the weights of a channel are multiplied, and what its bias becomes. With the weights' products, all of it is
    /// f64, rounded to f32 once.
    fn fold(&self, channel: usize, bias: f32) -> (f64, f32) {
        let [mean, variance] = [self.mean, self.variance].map(|part| f64::from(part[channel]));
        let gamma = self.gamma.map_or(1.0, |part| f64::from(part[channel]));
        let beta = self.beta.map_or(0.0, |part| f64::from(part[channel]));
        let scale = gamma / sqrt(variance + self.epsilon);
        // Written so that a beta of -0 survives a mean of 0.
        (scale, (beta - (mean - f64::from(bias)) * scale) as f32)
    }
}

/// The layout of a packed filter: panels of channels, each the bias and then `depth` rows of the panel's channels, with zeros
/// behind N.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packing {
    width: usize,
    n_panels: usize,
    rest: usize,
    depth: usize,
}

impl Packing {
    /// `n_panels` panels of `width` channels, then one of `rest` if that isn't 0.
    pub const fn new(depth: usize, (width, n_panels): (usize, usize), rest: usize) -> Packing {
        Packing { width, n_panels, rest, depth }
    }

    /// The bias and the chain behind it: one panel of N channels.
    pub const fn chain(n: usize, depth: usize) -> Packing {
        Packing::new(depth, (n, 1), 0)
    }

    /// Elements in all.
    #[expect(clippy::len_without_is_empty, reason = "a filter has channels")]
    pub const fn len(&self) -> usize {
        self.n_channels() * (1 + self.depth)
    }

    /// Channels, those behind N included.
    pub const fn n_channels(&self) -> usize {
        self.width * self.n_panels + self.rest
    }

    /// Products of each output element.
    pub const fn depth(&self) -> usize {
        self.depth
    }

    /// Channels of the panels but the last, how many there are, and channels of the last if it is narrower.
    pub const fn panels(&self) -> ((usize, usize), usize) {
        ((self.width, self.n_panels), self.rest)
    }
}

/// A number that a batch norm has made infinite, or none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NotFinite {
    /// Whether it is the bias, or a weight.
    pub is_bias: bool,
    /// Of which output channel.
    pub channel: usize,
    /// What became of it.
    pub value: f32,
}

/// Channels whose scales are at hand together. A first-level cache has eight ways, and lines of as many channels of a file,
/// which are often a power of two apart, all want the same ones: sixteen take more than twice as long.
const GROUP: usize = 8;

/// Writes a filter in the layout of `packing`, its batch norm folded.
///
/// ```
/// use mnc_runtime::filter::{Filter, Order, Packing, pack};
/// let order = Order::file(3, 2, 1);
/// let filter = Filter { weights: &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], order, bias: None, norm: None };
/// let packing = Packing::new(2, (2, 1), 2);
/// let mut packed = [f32::NAN; 12];
/// pack(&filter, &packing, &mut packed)?;
/// assert_eq!(packed, [0.0, 0.0, 1.0, 3.0, 2.0, 4.0, 0.0, 0.0, 5.0, 0.0, 6.0, 0.0]);
/// # Ok::<(), mnc_runtime::filter::NotFinite>(())
/// ```
///
/// # Errors
/// The first number that folding makes infinite; finite ones without a batch norm stay as they are.
///
/// # Panics
/// When the lengths are not those of the order and the packing.
pub fn pack(filter: &Filter<'_>, packing: &Packing, into: &mut [f32]) -> Result<(), NotFinite> {
    let n = filter.order.n;
    assert_eq!(filter.weights.len(), filter.order.depth() * n, "a filter has the extent of its order");
    assert_eq!(filter.order.depth(), packing.depth, "a packing has the rows of the filter");
    assert_eq!(into.len(), packing.len(), "the place of a filter has the extent of its packing");
    let mut left = into;
    let mut first = 0;
    let rest = (packing.rest != 0).then_some(packing.rest);
    for width in iter::repeat_n(packing.width, packing.n_panels).chain(rest) {
        let (panel, behind) = left.split_at_mut(width * (1 + packing.depth));
        filter.panel(panel, width, first);
        if filter.norm.is_some()
            && let Some(at) = panel.iter().position(|x| !x.is_finite())
        {
            return Err(NotFinite { is_bias: at < width, channel: first + at % width, value: panel[at] });
        }
        left = behind;
        first += width;
    }
    Ok(())
}

impl Filter<'_> {
    /// Writes the panel of the channels from `first` on.
    fn panel(&self, panel: &mut [f32], width: usize, first: usize) {
        let n_live = self.order.n.saturating_sub(first).min(width);
        let (biases, rows) = panel.split_at_mut(width);
        biases.fill(0.0);
        if let Some(bias) = self.bias {
            biases[..n_live].copy_from_slice(&bias[first..first + n_live]);
        }
        if n_live < width {
            rows.chunks_exact_mut(width).for_each(|row| row[n_live..].fill(0.0));
        }
        let n_stride = self.order.strides[2];
        if self.norm.is_none() && n_stride == 1 {
            for (row, from) in rows.chunks_exact_mut(width).zip(self.order.rows()) {
                row[..n_live].copy_from_slice(&self.weights[from + first..from + first + n_live]);
            }
            return;
        }
        for start in (0..n_live).step_by(GROUP) {
            let lanes = start..(start + GROUP).min(n_live);
            // Times 1 is exact.
            let mut scales = [1.0; GROUP];
            if let Some(norm) = &self.norm {
                for (scale, lane) in scales.iter_mut().zip(lanes.clone()) {
                    (*scale, biases[lane]) = norm.fold(first + lane, biases[lane]);
                }
            }
            for (row, from) in rows.chunks_exact_mut(width).zip(self.order.rows()) {
                let mut from = from + (first + start) * n_stride;
                for (to, scale) in row[lanes.clone()].iter_mut().zip(&scales) {
                    *to = (f64::from(self.weights[from]) * scale) as f32;
                    from += n_stride;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(filter: &Filter<'_>, packing: &Packing) -> [f32; 12] {
        let mut packed = [f32::NAN; 12];
        pack(filter, packing, &mut packed).unwrap();
        packed
    }

    #[test]
    fn taps_come_before_channels() {
        // [N=2, M=2, two taps], each number its own indices.
        let weights = [0.0, 1.0, 10.0, 11.0, 100.0, 101.0, 110.0, 111.0];
        let filter =
            Filter { weights: &weights, order: Order::file(2, 2, 2), bias: Some(&[7.0, 8.0]), norm: None };
        let chain = [7.0, 8.0, 0.0, 100.0, 10.0, 110.0, 1.0, 101.0, 11.0, 111.0];
        let mut found = [f32::NAN; 10];
        pack(&filter, &Packing::chain(2, 4), &mut found).unwrap();
        assert_eq!(found, chain);
        // From the order of the arithmetic to panels, it is the same filter.
        let again = Filter { weights: &chain[2..], order: Order::chain(2, 4), ..filter };
        pack(&again, &Packing::chain(2, 4), &mut found).unwrap();
        assert_eq!(found, chain);
    }

    #[test]
    fn panels_end_with_a_narrower_one_and_zeros() {
        let weights: [f32; 5] = [1.0, 2.0, 3.0, 4.0, 5.0];
        for order in [Order::file(5, 1, 1), Order::chain(5, 1)] {
            let filter = Filter { weights: &weights, order, bias: Some(&weights), norm: None };
            let found = packed(&filter, &Packing::new(1, (4, 1), 2));
            assert_eq!(found, [1.0, 2.0, 3.0, 4.0, 1.0, 2.0, 3.0, 4.0, 5.0, 0.0, 5.0, 0.0]);
        }
    }

    /// More channels than a group, in both orders: each is folded with its own norm.
    #[test]
    fn norms_are_folded_channel_by_channel() {
        const N: usize = 37;
        let numbers = |seed: u32| -> [f32; N] {
            core::array::from_fn(|idx| ((idx as u32).wrapping_mul(2_654_435_761) ^ seed) as f32 / 2e9 - 1.0)
        };
        let [weights, bias, gamma, beta, mean] = [1, 2, 3, 4, 5].map(numbers);
        let variance = numbers(6).map(f32::abs);
        let norm = BatchNorm {
            epsilon: 1e-3,
            gamma: Some(&gamma),
            beta: Some(&beta),
            mean: &mean,
            variance: &variance,
        };
        for order in [Order::file(N, 1, 1), Order::chain(N, 1)] {
            let filter = Filter { weights: &weights, order, bias: Some(&bias), norm: Some(norm) };
            let mut found = [f32::NAN; 2 * N];
            pack(&filter, &Packing::chain(N, 1), &mut found).unwrap();
            for channel in 0..N {
                let [w, b, gamma, beta, mean, variance] =
                    [weights, bias, gamma, beta, mean, variance].map(|part| f64::from(part[channel]));
                let scale = gamma / f64::sqrt(variance + 1e-3);
                assert_eq!(found[channel], (beta - (mean - b) * scale) as f32);
                assert_eq!(found[N + channel], (w * scale) as f32);
            }
        }
    }

    #[test]
    fn what_overflows_is_named() {
        let ones = [1.0; 3];
        let gamma = [1.0, 1.0, 4.0];
        let norm =
            BatchNorm { epsilon: 0.0, gamma: Some(&gamma), beta: Some(&ones), mean: &ones, variance: &ones };
        let weights = [1.0, 1.0, f32::MAX];
        let filter = Filter { weights: &weights, order: Order::file(3, 1, 1), bias: None, norm: Some(norm) };
        let found = pack(&filter, &Packing::new(1, (2, 1), 2), &mut [0.0; 8]);
        assert_eq!(found, Err(NotFinite { is_bias: false, channel: 2, value: f32::INFINITY }));
    }
}
