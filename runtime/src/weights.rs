//! Weights that a network of `mobilenet!` gets at run time: tensors as files have them -> numbers as its kernels read them.
//!
//! The expansion supplies the tables ([`Layout`]); order, folding and packing are [`filter`](crate::filter)'s, and so the
//! compiler's. Needs no `std` and no heap. Knows no file format.

use core::fmt;
use core::marker::PhantomData;
use core::ops::Range;

use crate::filter::{BatchNorm, Filter, Order, Packing, pack};

/// What a tensor is to its layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// Filter of a convolution or matrix of a dense layer.
    Weight,
    /// The layer's own bias.
    Bias,
    /// Scale of a batch norm.
    Gamma,
    /// Shift of a batch norm.
    Beta,
    /// Running mean of a batch norm.
    Mean,
    /// Running variance of a batch norm.
    Variance,
}

impl Role {
    /// Every role, in the order of the declaration.
    pub const ALL: [Role; 6] =
        [Role::Weight, Role::Bias, Role::Gamma, Role::Beta, Role::Mean, Role::Variance];

    /// Whether such a tensor may hold this number.
    #[inline]
    pub fn allows(self, x: f32) -> bool {
        match self {
            Role::Variance => (0.0..f32::INFINITY).contains(&x),
            Role::Weight | Role::Bias | Role::Gamma | Role::Beta | Role::Mean => x.is_finite(),
        }
    }

    /// What [`Role::allows`] asks for, in words.
    pub fn rule(self) -> &'static str {
        match self {
            Role::Variance => "finite numbers from 0 up",
            Role::Weight | Role::Bias | Role::Gamma | Role::Beta | Role::Mean => "finite numbers",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Role::Weight => "weight",
            Role::Bias => "bias",
            Role::Gamma => "gamma",
            Role::Beta => "beta",
            Role::Mean => "mean",
            Role::Variance => "variance",
        })
    }
}

/// A tensor that a network takes, named and shaped as in a file.
#[derive(Debug, PartialEq, Eq)]
pub struct Tensor {
    /// Its name: `conv_1.weight`.
    pub name: &'static str,
    /// The layer that it becomes part of; of a batch norm's tensors, the layer before the norm.
    pub layer: &'static str,
    /// What it is there.
    pub role: Role,
    /// Its shape, the last index fastest: `[N, M, D_K, D_K]`, depthwise `[M, 1, D_K, D_K]`, dense `[N, M]`, else `[N]`.
    pub shape: &'static [usize],
    /// Numbers of all tensors before it in the network's list.
    pub offset: usize,
}

impl Tensor {
    /// How many numbers it has.
    pub const fn n_numbers(&self) -> usize {
        let (mut n, mut axis) = (1, 0);
        while axis < self.shape.len() {
            n *= self.shape[axis];
            axis += 1;
        }
        n
    }

    /// Where it is if all tensors lie one behind the other, in the order of the network's list.
    ///
    /// ```
    /// use mnc_runtime::weights::{Role, Tensor};
    /// let bias = Tensor { name: "dense_1.bias", layer: "dense_1", role: Role::Bias, shape: &[3], offset: 12 };
    /// assert_eq!(bias.range(), 12..15);
    /// ```
    pub const fn range(&self) -> Range<usize> {
        self.offset..self.offset + self.n_numbers()
    }
}

/// A layer's place in the packed weights.
#[derive(Debug)]
pub struct Layer {
    /// Its tensors in the network's list.
    pub tensors: Range<usize>,
    /// The order of its filter.
    pub order: Order,
    /// Of its batch norm, if it has one.
    pub epsilon: Option<f64>,
    /// How its kernel reads it.
    pub packing: Packing,
    /// Where it begins.
    pub first: usize,
}

/// The tables of a network: what it takes, and where it wants it.
pub trait Layout {
    /// Its tensors, those of a layer side by side.
    const TENSORS: &'static [Tensor];
    /// Its layers.
    const LAYERS: &'static [Layer];
}

/// The weights of the network `N`, `PACKED` numbers in the order in which its kernels read them. All are zero until they are
/// set.
///
/// They are large. A `static` takes them without a heap, and [`Weights::boxed`] puts them on one without passing through the
/// stack.
///
/// ```
/// use mnc_runtime::filter::{Order, Packing};
/// use mnc_runtime::weights::{Layer, Layout, Role, Tensor, Weights};
///
/// // `mobilenet!` writes these tables; here for a dense layer of two inputs and three outputs.
/// struct Net;
/// impl Layout for Net {
///     const TENSORS: &'static [Tensor] = &[
///         Tensor { name: "dense_1.weight", layer: "dense_1", role: Role::Weight, shape: &[3, 2], offset: 0 },
///         Tensor { name: "dense_1.bias", layer: "dense_1", role: Role::Bias, shape: &[3], offset: 6 },
///     ];
///     const LAYERS: &'static [Layer] = &[Layer {
///         tensors: 0..2,
///         order: Order::file(3, 2, 1),
///         epsilon: None,
///         packing: Packing::new(2, (8, 1), 0),
///         first: 0,
///     }];
/// }
///
/// let mut weights = Weights::<Net, 32>::new();
/// let numbers = [0.5, -0.5, 1.0, 2.0, 0.25, 4.0, 1.0, 2.0, 3.0];
/// weights.set(|tensor| numbers.get(tensor.range()))?;
///
/// let error = weights.set(|tensor| Some(&numbers[..tensor.offset])).unwrap_err();
/// assert_eq!(error.to_string(), "tensor \"dense_1.weight\": found 0 numbers, expected 6, [3, 2]");
/// # Ok::<(), mnc_runtime::weights::Error>(())
/// ```
#[repr(C, align(64))]
pub struct Weights<N, const PACKED: usize> {
    packed: [f32; PACKED],
    network: PhantomData<fn() -> N>,
}

impl<N: Layout, const PACKED: usize> Weights<N, PACKED> {
    /// Weights that are all zero.
    #[expect(clippy::new_without_default, reason = "a default of megabytes would be moved about unseen")]
    pub const fn new() -> Self {
        const { verify(N::TENSORS, N::LAYERS, PACKED) };
        Weights { packed: [0.0; PACKED], network: PhantomData }
    }

    /// Weights that are all zero, on the heap.
    #[cfg(feature = "std")]
    pub fn boxed() -> Box<Self> {
        const { verify(N::TENSORS, N::LAYERS, PACKED) };
        // SAFETY: bytes of zero are numbers of zero.
        unsafe { Box::new_zeroed().assume_init() }
    }

    /// Sets all of them: `source` is asked for the numbers of each tensor, in the order of its shape.
    ///
    /// Batch norms are folded into the filters before them. Nothing is allocated, and `source` may be asked twice.
    ///
    /// # Errors
    /// A tensor that `source` doesn't have, of another length, or that holds NaN, an infinity or a negative variance: the
    /// weights are what they were. A number that becomes infinite when a norm is folded: some layers may have their new
    /// numbers, and the weights want to be set again.
    pub fn set<'v>(&mut self, source: impl Fn(&'static Tensor) -> Option<&'v [f32]>) -> Result<(), Error> {
        write::<N>(&mut self.packed, &source, false)
    }

    /// Sets the layers that `source` has tensors of, and leaves the others as they are.
    ///
    /// # Errors
    /// As [`Weights::set`]; a layer of which `source` has some tensors needs all of them.
    pub fn update<'v>(&mut self, source: impl Fn(&'static Tensor) -> Option<&'v [f32]>) -> Result<(), Error> {
        write::<N>(&mut self.packed, &source, true)
    }

    /// The first of them.
    pub const fn as_ptr(&self) -> *const f32 {
        self.packed.as_ptr()
    }
}

impl<N, const PACKED: usize> fmt::Debug for Weights<N, PACKED> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Weights").field("packed", &PACKED).finish_non_exhaustive()
    }
}

/// Asserts that tables fit each other, when they are compiled.
const fn verify(tensors: &[Tensor], layers: &[Layer], n_packed: usize) {
    let mut idx = 0;
    while idx < layers.len() {
        let Layer { tensors: Range { start, end }, order, packing, first, .. } = &layers[idx];
        assert!(*first + packing.len() <= n_packed, "a layer lies inside of the packed weights");
        assert!(packing.depth() == order.depth(), "a layer is packed as it is ordered");
        assert!(*start < *end && *end <= tensors.len(), "a layer has tensors");
        let mut tensor = *start;
        while tensor < *end {
            let expected = match tensors[tensor].role {
                Role::Weight => order.depth() * order.n(),
                _ => order.n(),
            };
            assert!(tensors[tensor].n_numbers() == expected, "a tensor has the extent of its layer");
            tensor += 1;
        }
        idx += 1;
    }
}

/// Who has the numbers.
type Source<'s, 'v> = &'s dyn Fn(&'static Tensor) -> Option<&'v [f32]>;

/// Every tensor is looked at before the first is written.
fn write<N: Layout>(packed: &mut [f32], source: Source<'_, '_>, is_update: bool) -> Result<(), Error> {
    for layer in N::LAYERS {
        let tensors = &N::TENSORS[layer.tensors.clone()];
        if let Some(parts) = parts(tensors, source, is_update)? {
            check_numbers(tensors, &parts)?;
        }
    }
    for layer in N::LAYERS {
        let tensors = &N::TENSORS[layer.tensors.clone()];
        if let Some(parts) = parts(tensors, source, is_update)? {
            write_layer(packed, (layer, tensors), &parts)?;
        }
    }
    Ok(())
}

/// The numbers of a layer by [`Role`]; none where it has no such tensor.
type Parts<'v> = [Option<&'v [f32]>; Role::ALL.len()];

/// The layer's tensors, or nothing if an update has none of them.
fn parts<'v>(
    tensors: &'static [Tensor],
    source: Source<'_, 'v>,
    is_update: bool,
) -> Result<Option<Parts<'v>>, Error> {
    let mut parts = Parts::default();
    for tensor in tensors {
        parts[tensor.role as usize] = source(tensor);
    }
    if is_update && parts.iter().all(Option::is_none) {
        return Ok(None);
    }
    for tensor in tensors {
        match parts[tensor.role as usize] {
            None => return Err(Error { tensor, fault: Fault::Missing }),
            Some(numbers) if numbers.len() != tensor.n_numbers() => {
                return Err(Error { tensor, fault: Fault::Length { found: numbers.len() } });
            }
            Some(_) => {}
        }
    }
    Ok(Some(parts))
}

fn check_numbers(tensors: &'static [Tensor], parts: &Parts<'_>) -> Result<(), Error> {
    for tensor in tensors {
        let numbers = parts[tensor.role as usize].unwrap_or_default();
        if let Some(index) = numbers.iter().position(|x| !tensor.role.allows(*x)) {
            return Err(Error { tensor, fault: Fault::Number { index, found: numbers[index] } });
        }
    }
    Ok(())
}

fn write_layer(
    packed: &mut [f32],
    (layer, tensors): (&Layer, &'static [Tensor]),
    parts: &Parts<'_>,
) -> Result<(), Error> {
    let part = |role: Role| parts[role as usize].unwrap_or_default();
    let norm = layer.epsilon.map(|epsilon| BatchNorm {
        epsilon,
        gamma: parts[Role::Gamma as usize],
        beta: parts[Role::Beta as usize],
        mean: part(Role::Mean),
        variance: part(Role::Variance),
    });
    let bias = parts[Role::Bias as usize];
    let filter = Filter { weights: part(Role::Weight), order: layer.order, bias, norm };
    let place = &mut packed[layer.first..layer.first + layer.packing.len()];
    pack(&filter, &layer.packing, place).map_err(|fault| {
        let role = if fault.is_bias { Role::Beta } else { Role::Weight };
        let tensor = tensors.iter().find(|tensor| tensor.role == role).unwrap_or(&tensors[0]);
        Error { tensor, fault: Fault::Folded { channel: fault.channel, found: fault.value } }
    })
}

/// Why weights were not set.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Error {
    /// The tensor at fault.
    pub tensor: &'static Tensor,
    /// What is wrong with it.
    pub fault: Fault,
}

/// What is wrong with a tensor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    /// It isn't there.
    Missing,
    /// It isn't [`Tensor::n_numbers`] long.
    Length {
        /// Its length.
        found: usize,
    },
    /// It holds a number that [`Role::allows`] doesn't.
    Number {
        /// The first such number's place.
        index: usize,
        /// The number.
        found: f32,
    },
    /// The batch norm makes a number infinite.
    Folded {
        /// Of this output channel.
        channel: usize,
        /// The number.
        found: f32,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tensor { name, shape, role, .. } = self.tensor;
        let n = self.tensor.n_numbers();
        write!(f, "tensor {name:?}: ")?;
        match self.fault {
            Fault::Missing => write!(f, "is missing, expected {n} numbers, {shape:?}"),
            Fault::Length { found } => write!(f, "found {found} numbers, expected {n}, {shape:?}"),
            Fault::Number { index, found } => {
                write!(f, "found {found} at {index}, expected {}", role.rule())
            }
            Fault::Folded { channel, found } => {
                write!(
                    f,
                    "found {found} in channel {channel} with the batch norm folded, expected finite numbers"
                )
            }
        }
    }
}

impl core::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pointwise layer of two channels with a norm, and a dense one with a bias.
    struct Net;

    const fn tensor(name: &'static str, role: Role, shape: &'static [usize], offset: usize) -> Tensor {
        Tensor { name, layer: "layer", role, shape, offset }
    }

    impl Layout for Net {
        const TENSORS: &'static [Tensor] = &[
            tensor("a.weight", Role::Weight, &[2, 1, 1, 1], 0),
            tensor("a.norm.gamma", Role::Gamma, &[2], 2),
            tensor("a.norm.beta", Role::Beta, &[2], 4),
            tensor("a.norm.mean", Role::Mean, &[2], 6),
            tensor("a.norm.variance", Role::Variance, &[2], 8),
            tensor("b.weight", Role::Weight, &[1, 2], 10),
            tensor("b.bias", Role::Bias, &[1], 12),
        ];
        const LAYERS: &'static [Layer] = &[
            Layer {
                tensors: 0..5,
                order: Order::file(2, 1, 1),
                epsilon: Some(0.25),
                packing: Packing::new(1, (4, 1), 0),
                first: 0,
            },
            Layer {
                tensors: 5..7,
                order: Order::file(1, 2, 1),
                epsilon: None,
                packing: Packing::new(2, (1, 1), 0),
                first: 16,
            },
        ];
    }

    const NUMBERS: [f32; 13] = [3.0, 4.0, 1.0, 2.0, 0.5, 0.0, 1.0, 0.0, 0.75, 0.75, 5.0, 6.0, 7.0];
    const A: [f32; 8] = [-0.5, 0.0, 0.0, 0.0, 3.0, 8.0, 0.0, 0.0];

    fn weights() -> Weights<Net, 32> {
        let mut weights = Weights::new();
        weights.set(|tensor| NUMBERS.get(tensor.range())).unwrap();
        weights
    }

    #[test]
    fn layers_are_folded_and_packed() {
        let weights = weights();
        assert_eq!(weights.packed[..8], A);
        assert_eq!(weights.packed[16..19], [7.0, 5.0, 6.0]);
        assert_eq!(weights.as_ptr().align_offset(64), 0);
    }

    /// What `source` has in its place is refused with this text, and nothing has changed.
    fn check(source: impl Fn(&'static Tensor) -> Option<&'static [f32]>, expected: &str) {
        struct Text([u8; 200], usize);
        impl fmt::Write for Text {
            fn write_str(&mut self, text: &str) -> fmt::Result {
                self.0[self.1..self.1 + text.len()].copy_from_slice(text.as_bytes());
                self.1 += text.len();
                Ok(())
            }
        }
        let mut weights = weights();
        let error = weights.set(source).unwrap_err();
        let mut text = Text([0; 200], 0);
        fmt::write(&mut text, format_args!("{error}")).unwrap();
        assert_eq!(core::str::from_utf8(&text.0[..text.1]), Ok(expected));
        assert_eq!(weights.packed, self::weights().packed);
    }

    #[test]
    fn what_is_refused_changes_nothing() {
        let but = |name: &'static str, other: Option<&'static [f32]>| {
            move |tensor: &'static Tensor| {
                if tensor.name == name { other } else { NUMBERS.get(tensor.range()) }
            }
        };
        check(but("b.bias", None), "tensor \"b.bias\": is missing, expected 1 numbers, [1]");
        check(but("b.weight", Some(&[0.0; 3])), "tensor \"b.weight\": found 3 numbers, expected 2, [1, 2]");
        check(but("b.weight", Some(&[])), "tensor \"b.weight\": found 0 numbers, expected 2, [1, 2]");
        check(
            but("b.weight", Some(&[0.0, f32::NAN])),
            "tensor \"b.weight\": found NaN at 1, expected finite numbers",
        );
        check(
            but("a.norm.variance", Some(&[1.0, -1.0])),
            "tensor \"a.norm.variance\": found -1 at 1, expected finite numbers from 0 up",
        );
    }

    #[test]
    fn norms_that_overflow_are_refused() {
        let source = |tensor: &'static Tensor| {
            if tensor.role == Role::Gamma { Some(&[1.0, f32::MAX][..]) } else { NUMBERS.get(tensor.range()) }
        };
        let error = Weights::<Net, 32>::new().set(source).unwrap_err();
        assert_eq!(error.tensor.name, "a.weight");
        assert_eq!(error.fault, Fault::Folded { channel: 1, found: f32::INFINITY });
    }

    #[test]
    fn updates_are_of_whole_layers() {
        let mut weights = Weights::<Net, 32>::new();
        let only = |prefix: &'static str| {
            move |tensor: &'static Tensor| {
                if tensor.name.starts_with(prefix) { NUMBERS.get(tensor.range()) } else { None }
            }
        };
        weights.update(only("b.")).unwrap();
        assert_eq!(weights.packed[..8], [0.0; 8]);
        weights.update(only("a.")).unwrap();
        assert_eq!(weights.packed, self::weights().packed);
        weights.update(only("nothing")).unwrap();
        let error = weights.update(only("a.norm")).unwrap_err();
        assert_eq!((error.tensor.name, error.fault), ("a.weight", Fault::Missing));
    }
}
