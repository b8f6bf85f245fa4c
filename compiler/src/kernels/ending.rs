//! What a kernel sums, and what becomes of its sums.
//!
//! Chains of f32 get an activation, or become bytes. Sums of integers, bytes times signed bytes, are multiplied by a number of their channel, get an
//! activation where it is more than bounds, and become bytes or stay numbers: step for step as `reference/integer.rs`.

use std::ops::Range;

use super::epilogue::{self, Epilogue};
use crate::code::{Address, Binary, Builder, Reg};
use crate::graph::layer::Activation;
use crate::graph::shape::Window;
use crate::graph::tensor::Dtype;
use crate::passes::{Fit, Mantissas};
use crate::target::Isa;

/// What is summed, and what becomes of the sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ending {
    /// Numbers; the activation is applied to them.
    Float(Activation),
    /// Numbers, of which bytes are made.
    Bytes(ByteEnding),
    /// Bytes times signed bytes.
    Integer(IntegerEnding),
}

/// What becomes of sums of integers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct IntegerEnding {
    /// How many of its products add up within 16 bits.
    pub fit: Fit,
    /// Applied to the numbers that sums times multipliers are.
    pub activation: Activation,
    /// How numbers become bytes; they are stored as they are without.
    pub bytes: Option<ByteEnding>,
    /// The addition of the residual.
    pub addition: Option<ByteResidual>,
    /// Whether the sums start as [mantissas](crate::passes::Mantissas).
    pub in_mantissas: bool,
    /// The positions of the whole layer, a border of which has a bias of its own; `None` where there is one bias.
    pub borders: Option<Borders>,
}

/// How numbers become bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ByteEnding {
    /// What they are multiplied by before.
    pub factor: Factor,
    /// Added when they are rounded.
    pub zero_point: u8,
    /// The lowest.
    pub low: u8,
    /// The highest.
    pub high: u8,
}

/// What numbers are multiplied by before they become bytes: 1 / scale, where the multipliers don't do that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Factor {
    /// Nothing.
    One,
    /// The bits of an f32.
    Same(u32),
    /// That of their channel, in the row of the packed filter behind the multipliers.
    OfChannel,
}

/// What the ending of a tile's sums finds in memory.
#[derive(Clone, Copy)]
pub(super) struct Operands<'a> {
    /// The multipliers of the channels.
    pub(super) multiplier: Address,
    /// Their factors or addends, where they have such.
    pub(super) factor: Address,
    /// For each of the sums, the bytes that an addition takes.
    pub(super) residuals: &'a [Address],
}

/// How the bytes of a residual are added: see [`crate::passes::Addition`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ByteResidual {
    /// To the bytes of the sums.
    Tensor(ByteAddition),
    /// To the sums, each times the factor of its channel, in the row of the packed filter behind the multipliers.
    Channels,
}

/// How two bytes become that of their sum: see [`crate::passes::ByteSum`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ByteAddition {
    /// What the sum starts from.
    pub bias: i32,
    /// Of each of the two.
    pub multipliers: [i32; 2],
    /// To the right.
    pub shift: u8,
    /// What follows; without a factor.
    pub bytes: ByteEnding,
}

/// A window over a map, whole: pieces of a layer find the border of the whole by its taps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Borders {
    /// The window.
    pub window: Window,
    /// Rows and columns of the map.
    pub extent: (usize, usize),
}

impl Borders {
    fn all(self) -> Vec<(Range<usize>, Range<usize>)> {
        self.window.borders(self.extent)
    }
}

impl Ending {
    /// How the elements are stored that it sums.
    pub fn dtype(self) -> Dtype {
        match self {
            Ending::Float(_) | Ending::Bytes(_) => Dtype::F32,
            Ending::Integer(_) => Dtype::U8,
        }
    }

    /// The activation, if it is more than bounds of bytes.
    pub fn activation(self) -> Activation {
        match self {
            Ending::Float(activation) | Ending::Integer(IntegerEnding { activation, .. }) => activation,
            Ending::Bytes(_) => Activation::None,
        }
    }

    /// Rows of a packed filter before its weights.
    pub(super) fn head_rows(self) -> usize {
        match self {
            Ending::Float(_) | Ending::Bytes(_) => 1,
            Ending::Integer(ending) => ending.multiplier_row() + 1 + usize::from(ending.has_factors()),
        }
    }

    /// Which bias a position starts from that takes such taps.
    pub(super) fn border(self, rows: &Range<usize>, columns: &Range<usize>) -> usize {
        let Ending::Integer(IntegerEnding { borders: Some(borders), .. }) = self else { return 0 };
        Window::border(&borders.all(), rows, columns)
    }

    /// Registers of a kernel that ends so.
    pub fn registers(self, isa: &Isa) -> usize {
        match self {
            Ending::Float(_) => isa.vector_registers,
            Ending::Bytes(_) => isa.integer_registers,
            // Two words have a product each.
            Ending::Integer(_) => isa.integer_registers - usize::from(self.adds_words(isa)),
        }
    }

    /// Registers beside the sums: as many as the operands of a step, and those of what becomes of integers, which can't wait in memory.
    pub fn operands(self, of_step: usize) -> usize {
        match self {
            Ending::Float(_) => of_step,
            Ending::Bytes(_) => of_step.max(1),
            Ending::Integer(ending) => of_step.max(2 + epilogue::n_temporaries(ending.activation)),
        }
    }

    /// Whether bytes are widened before their products are made.
    pub fn widens_bytes(self, isa: &Isa) -> bool {
        matches!(self, Ending::Integer(IntegerEnding { fit: Fit::One, .. })) && isa.widens_bytes
    }

    /// Whether the pairs of two words are added up before they are widened.
    pub fn adds_words(self, isa: &Isa) -> bool {
        matches!(self, Ending::Integer(IntegerEnding { fit: Fit::Four, .. })) && isa.adds_words
    }

    /// acc += element * factor, or the products of their bytes.
    pub(super) fn add_product(self, b: &mut Builder, acc: Reg, element: Reg, factor: Reg) {
        match self {
            Ending::Float(_) | Ending::Bytes(_) => b.fma(acc, element, factor),
            Ending::Integer(ending) => b.dot(acc, element, factor, Fit::One < ending.fit),
        }
    }

    /// Registers for what becomes of the sums, out of those that are free.
    pub(super) fn scratch(self, b: &mut Builder) -> Vec<Reg> {
        match self {
            Ending::Float(activation) => epilogue::scratch(b, activation),
            Ending::Bytes(_) => b.registers(1),
            Ending::Integer(ending) => b.registers(ending.needs().min(b.n_free_registers())),
        }
    }
}

impl IntegerEnding {
    /// The row of a packed filter in which the multipliers are: behind the biases.
    pub(super) fn multiplier_row(self) -> usize {
        self.borders.map_or(1, |borders| borders.all().len())
    }

    fn has_factors(self) -> bool {
        let is_of_channel = |bytes: ByteEnding| bytes.factor == Factor::OfChannel;
        self.in_mantissas
            || self.bytes.is_some_and(is_of_channel)
            || self.addition == Some(ByteResidual::Channels)
    }

    /// Registers beside the sums: a multiplier, a constant, and those of the activation.
    fn needs(self) -> usize {
        2 + epilogue::n_registers(self.activation)
    }

    /// Makes numbers of sums, times the multipliers; the register that these were in.
    fn numbers(self, b: &mut Builder, operands: Operands<'_>, scratch: &[Reg], sums: &[Reg]) -> Reg {
        let (factor, free) = scratch.split_first().expect("a tile leaves a register for the multiplier");
        let epilogue =
            Epilogue::new(b, self.activation, free).expect("a tile leaves room for the activation");
        b.load(*factor, operands.multiplier);
        for sum in sums {
            b.to_float(*sum, *sum);
            b.binary(Binary::Mul, *sum, *sum, *factor);
            epilogue.apply(b, *sum);
        }
        *factor
    }

    /// Makes integers of sums that become bytes. What a byte can't hold, who stores them has to cut off.
    ///
    /// # Panics
    /// When there is no scratch register; one, for an addition.
    pub(super) fn integers(
        self,
        b: &mut Builder,
        operands: Operands<'_>,
        scratch: &[Reg],
        (sums, bytes): (&[Reg], ByteEnding),
    ) {
        if self.in_mantissas {
            return bytes.rounded_at_once(b, operands, scratch, sums);
        }
        let factor = self.numbers(b, operands, scratch, sums);
        let loaded = || *scratch.get(1).expect("an addition has a register for its residual");
        match self.addition {
            Some(ByteResidual::Channels) => {
                let (loaded, lanes) = (loaded(), b.lanes());
                b.load(factor, operands.factor);
                for (sum, residual) in sums.iter().zip(operands.residuals) {
                    b.load_bytes(loaded, *residual, lanes);
                    b.to_float(loaded, loaded);
                    b.fma(*sum, loaded, factor);
                }
                bytes.integers(b, (factor, None), bytes.needed_bounds(), sums);
            }
            Some(ByteResidual::Tensor(addition)) => {
                bytes.scale_and_bound(b, (factor, Some(operands.factor)), (true, true), sums);
                sums.iter().for_each(|sum| b.to_integer(*sum, *sum));
                // The bytes are whole numbers from their zero point on.
                let own = ByteAddition {
                    bias: addition.bias + addition.multipliers[0] * i32::from(bytes.zero_point),
                    ..addition
                };
                own.integers(b, [factor, loaded()], operands.residuals, sums);
            }
            None => bytes.integers(b, (factor, Some(operands.factor)), bytes.needed_bounds(), sums),
        }
    }

    /// Makes numbers or bytes of sums and stores them.
    ///
    /// # Panics
    /// As [`IntegerEnding::integers`].
    pub(super) fn store(
        self,
        b: &mut Builder,
        operands: Operands<'_>,
        scratch: &[Reg],
        sums: &[(Reg, Address)],
    ) {
        let registers = registers(sums);
        match self.bytes {
            Some(bytes) => {
                self.integers(b, operands, scratch, (&registers, bytes));
                store(b, sums);
            }
            None => {
                self.numbers(b, operands, scratch, &registers);
                sums.iter().for_each(|(sum, place)| b.store(*sum, *place));
            }
        }
    }
}

impl ByteAddition {
    /// Adds the bytes of a residual to integers; with two registers for constants and a residual. What a byte can't hold, who stores
    /// them has to cut off.
    fn integers(self, b: &mut Builder, [passing, loaded]: [Reg; 2], residuals: &[Address], sums: &[Reg]) {
        let ByteAddition { bias, multipliers, shift, bytes } = self;
        let lanes = b.lanes();
        for (op, constant) in [(Binary::MulIntegers, multipliers[0]), (Binary::AddIntegers, bias)] {
            b.constant_integer(passing, constant);
            sums.iter().for_each(|sum| b.binary(op, *sum, *sum, passing));
        }
        b.constant_integer(passing, multipliers[1]);
        for (sum, residual) in sums.iter().zip(residuals) {
            b.load_bytes(loaded, *residual, lanes);
            b.binary(Binary::MulIntegers, loaded, loaded, passing);
            b.binary(Binary::AddIntegers, *sum, *sum, loaded);
            b.shift_right(*sum, *sum, shift);
        }
        if bytes.low == 0 && bytes.high == u8::MAX {
            return add_integer(b, passing, bytes.zero_point.into(), sums);
        }
        sums.iter().for_each(|sum| b.to_float(*sum, *sum));
        bytes.integers(b, (passing, None), (true, true), sums);
    }

    /// The same, and stores the bytes.
    pub(super) fn store(
        self,
        b: &mut Builder,
        registers_free: [Reg; 2],
        residuals: &[Address],
        sums: &[(Reg, Address)],
    ) {
        self.integers(b, registers_free, residuals, &registers(sums));
        store(b, sums);
    }
}

impl ByteEnding {
    /// Whether sums times multipliers have to be kept from below and from above. They are proved to be below 2^31, and of those what a byte
    /// can't hold is cut off when it is stored; behind a factor they may be anything.
    fn needed_bounds(self) -> (bool, bool) {
        let is_proved = self.factor == Factor::One;
        (!is_proved || self.low != 0, !is_proved || self.high != u8::MAX)
    }

    /// Makes bytes of numbers and stores them, with a register for constants in turn.
    pub(super) fn store(self, b: &mut Builder, passing: Reg, sums: &[(Reg, Address)]) {
        self.integers(b, (passing, None), (true, true), &registers(sums));
        store(b, sums);
    }

    /// Makes integers of numbers whose channels may have factors of their own, and of which only some need their bounds.
    fn integers(
        self,
        b: &mut Builder,
        (passing, factors): (Reg, Option<Address>),
        bounds: (bool, bool),
        sums: &[Reg],
    ) {
        self.scale_and_bound(b, (passing, factors), bounds, sums);
        sums.iter().for_each(|sum| b.to_integer(*sum, *sum));
        add_integer(b, passing, self.zero_point.into(), sums);
    }

    /// Makes integers of sums that are [mantissas](crate::passes::Mantissas): multiplied, rounded and moved to where the bits of a number
    /// are the integer by one operation, and brought back by another.
    fn rounded_at_once(self, b: &mut Builder, operands: Operands<'_>, scratch: &[Reg], sums: &[Reg]) {
        let [factor, addend, ..] = *scratch else {
            panic!("a tile leaves a register for the multiplier and one for the addend")
        };
        b.load(factor, operands.multiplier);
        b.load(addend, operands.factor);
        sums.iter().for_each(|sum| b.mul_add(*sum, factor, addend));
        self.keep_between(b, (factor, Mantissas::WHOLE), self.needed_bounds(), sums);
        let whole = Mantissas::WHOLE.to_bits().cast_signed();
        add_integer(b, factor, i32::from(self.zero_point) - whole, sums);
    }

    fn scale_and_bound(
        self,
        b: &mut Builder,
        (passing, factors): (Reg, Option<Address>),
        bounds: (bool, bool),
        sums: &[Reg],
    ) {
        match self.factor {
            Factor::One => {}
            Factor::Same(bits) => by_constant(b, (Binary::Mul, f32::from_bits(bits)), passing, sums),
            Factor::OfChannel => {
                b.load(passing, factors.expect("only layers with weights have factors of channels"));
                sums.iter().for_each(|sum| b.binary(Binary::Mul, *sum, *sum, passing));
            }
        }
        self.keep_between(b, (passing, 0.0), bounds, sums);
    }

    /// Keeps numbers that stand upon another between those of the bounds that are needed.
    fn keep_between(
        self,
        b: &mut Builder,
        (passing, upon): (Reg, f32),
        (from_below, from_above): (bool, bool),
        sums: &[Reg],
    ) {
        let at = |byte: u8| upon + (f32::from(byte) - f32::from(self.zero_point));
        if from_below {
            by_constant(b, (Binary::Max, at(self.low)), passing, sums);
        }
        if from_above {
            by_constant(b, (Binary::Min, at(self.high)), passing, sums);
        }
    }
}

/// The operation of each with a constant, which takes a register.
fn by_constant(b: &mut Builder, (op, constant): (Binary, f32), passing: Reg, sums: &[Reg]) {
    b.constant(passing, constant);
    sums.iter().for_each(|sum| b.binary(op, *sum, *sum, passing));
}

/// Adds an integer to each.
fn add_integer(b: &mut Builder, passing: Reg, integer: i32, sums: &[Reg]) {
    if integer != 0 {
        b.constant_integer(passing, integer);
        sums.iter().for_each(|sum| b.binary(Binary::AddIntegers, *sum, *sum, passing));
    }
}

/// Stores integers as bytes.
fn store(b: &mut Builder, sums: &[(Reg, Address)]) {
    let lanes = b.lanes();
    sums.iter().for_each(|(sum, place)| b.store_bytes(*sum, *place, lanes));
}

fn registers(sums: &[(Reg, Address)]) -> Vec<Reg> {
    sums.iter().map(|(sum, _)| *sum).collect()
}
