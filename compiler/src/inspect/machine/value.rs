//! What a register or a word on the stack holds: a number, or a distance from something of which only the beginning's name is known.
//!
//! Where a buffer, the stack or the code itself lies is decided when a program runs, so no question about that has an answer here: a
//! jump that depends on it is taken both ways. What is true of every place has one: two pointers into one buffer differ by their
//! offsets, no buffer begins at 0, a workspace begins at a multiple of 64.

/// Where something begins that a value counts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in crate::inspect) struct Origin(u16);

impl Origin {
    /// Nowhere: a plain number.
    pub(in crate::inspect) const NUMBER: Origin = Origin(0);
    pub(in crate::inspect) const INPUT: Origin = Origin(1);
    pub(in crate::inspect) const OUTPUT: Origin = Origin(2);
    pub(in crate::inspect) const WORKSPACE: Origin = Origin(3);
    pub(in crate::inspect) const POOL: Origin = Origin(4);
    pub(in crate::inspect) const PICTURE: Origin = Origin(5);
    pub(in crate::inspect) const WEIGHTS: Origin = Origin(6);
    pub(in crate::inspect) const STACK: Origin = Origin(7);
    /// The function of the caller's pool.
    pub(in crate::inspect) const POOL_RUN: Origin = Origin(8);
    /// Where the caller goes on.
    pub(in crate::inspect) const CALLER: Origin = Origin(9);
    /// What the caller's pool gets back: anything.
    pub(in crate::inspect) const POOL_CONTEXT: Origin = Origin(10);
    /// The caller's MXCSR.
    pub(in crate::inspect) const CONTROL: Origin = Origin(11);
    /// The first word by which a workspace is bound: it has the address of the weights in it.
    pub(in crate::inspect) const BOUND: Origin = Origin(12);
    /// The same with its lowest bit turned over: of a workspace that isn't bound.
    pub(in crate::inspect) const NOT_BOUND: Origin = Origin(13);
    const KEPT: u16 = 16;
    const IMAGE: u16 = 32;
    const VALUES: u16 = 256;
    const UNKNOWN: Origin = Origin(u16::MAX);

    /// How many parts of an image have an origin of their own.
    pub(in crate::inspect) const MOST_PARTS: usize = 200;

    /// What a register holds that a function gives back.
    pub(super) fn kept(register: usize) -> Origin {
        Origin(Origin::KEPT + register as u16)
    }

    /// A part of the file in memory.
    pub(in crate::inspect) fn image(part: usize) -> Origin {
        assert!(part < Origin::MOST_PARTS, "an image has few parts");
        Origin(Origin::IMAGE + part as u16)
    }

    /// A value of the workspace, as far as a kernel may reach it.
    pub(super) fn value(idx: usize) -> Origin {
        assert!(idx < MOST_VALUES, "a layout has few values");
        Origin(Origin::VALUES + idx as u16)
    }

    /// Which value of the workspace it is.
    pub(super) fn value_idx(self) -> Option<usize> {
        (self != Origin::UNKNOWN).then_some(())?;
        self.0.checked_sub(Origin::VALUES).map(usize::from)
    }

    pub(super) fn image_part(self) -> Option<usize> {
        let part = usize::from(self.0.checked_sub(Origin::IMAGE)?);
        (part < Origin::MOST_PARTS).then_some(part)
    }

    /// Whether it is an address of the lower half, never null.
    fn is_address(self) -> bool {
        (Origin::INPUT.0..=Origin::POOL_RUN.0).contains(&self.0)
            || self.image_part().is_some()
            || self.value_idx().is_some()
    }

    /// Of what power of two its address is a multiple.
    fn align(self) -> u64 {
        match self {
            Origin::WORKSPACE | Origin::WEIGHTS => 64,
            Origin::STACK => 16,
            _ => 1,
        }
    }
}

/// Values of one workspace.
pub(super) const MOST_VALUES: usize = 65_000;

/// A value of 64 bits: `origin + rows * stride + offset`, where the stride is that of the caller's picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::inspect) struct Value {
    pub(in crate::inspect) origin: Origin,
    pub(in crate::inspect) rows: i32,
    pub(in crate::inspect) offset: u64,
}

/// Of a compared pair: what the flags say. `None` is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Flags {
    pub(super) zero: Option<bool>,
    pub(super) sign: Option<bool>,
    pub(super) carry: Option<bool>,
    pub(super) overflow: Option<bool>,
    pub(super) parity: Option<bool>,
}

impl Flags {
    /// Those that a result alone decides.
    pub(super) fn of(result: u64, bits: u32) -> Flags {
        Flags {
            zero: Some(cut(result, bits) == 0),
            sign: Some(result >> (bits - 1) & 1 != 0),
            parity: Some((result as u8).count_ones().is_multiple_of(2)),
            ..Flags::default()
        }
    }
}

/// The lower bits.
pub(super) fn cut(value: u64, bits: u32) -> u64 {
    if bits == 64 { value } else { value & ((1 << bits) - 1) }
}

/// Farther from the beginning of something than this, order isn't known.
const FAR: u64 = 1 << 46;

/// What is known of the stride.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::inspect) struct Stride {
    pub(in crate::inspect) least: u64,
    pub(in crate::inspect) most: u64,
}

impl Value {
    pub(in crate::inspect) const UNKNOWN: Value = Value { origin: Origin::UNKNOWN, rows: 0, offset: 0 };
    /// The caller's stride.
    pub(in crate::inspect) const STRIDE: Value = Value { origin: Origin::NUMBER, rows: 1, offset: 0 };

    pub(in crate::inspect) const fn number(number: u64) -> Value {
        Value { origin: Origin::NUMBER, rows: 0, offset: number }
    }

    pub(in crate::inspect) const fn at(origin: Origin, offset: u64) -> Value {
        Value { origin, rows: 0, offset }
    }

    pub(in crate::inspect) fn is_unknown(self) -> bool {
        self.origin == Origin::UNKNOWN
    }

    /// The number, if it is one.
    pub(in crate::inspect) fn known(self) -> Option<u64> {
        (self.origin == Origin::NUMBER && self.rows == 0).then_some(self.offset)
    }

    pub(super) fn add(self, other: Value) -> Value {
        let origin = match (self.origin, other.origin) {
            (Origin::UNKNOWN, _) | (_, Origin::UNKNOWN) => return Value::UNKNOWN,
            (origin, Origin::NUMBER) | (Origin::NUMBER, origin) => origin,
            _ => return Value::UNKNOWN,
        };
        let Some(rows) = self.rows.checked_add(other.rows) else { return Value::UNKNOWN };
        Value { origin, rows, offset: self.offset.wrapping_add(other.offset) }
    }

    pub(super) fn sub(self, other: Value) -> Value {
        let origin = match (self.origin, other.origin) {
            (Origin::UNKNOWN, _) | (_, Origin::UNKNOWN) => return Value::UNKNOWN,
            (origin, Origin::NUMBER) => origin,
            (left, right) if left == right => Origin::NUMBER,
            _ => return Value::UNKNOWN,
        };
        let Some(rows) = self.rows.checked_sub(other.rows) else { return Value::UNKNOWN };
        Value { origin, rows, offset: self.offset.wrapping_sub(other.offset) }
    }

    /// Times a number.
    pub(super) fn mul(self, other: Value) -> Value {
        let (value, factor) = match (self.known(), other.known()) {
            (_, Some(factor)) => (self, factor),
            (Some(factor), _) => (other, factor),
            _ => return Value::UNKNOWN,
        };
        if value.origin != Origin::NUMBER {
            return Value::UNKNOWN;
        }
        let rows = i32::try_from(factor as i64).ok().and_then(|factor| value.rows.checked_mul(factor));
        match rows {
            _ if value.rows == 0 => Value::number(value.offset.wrapping_mul(factor)),
            Some(rows) => Value { rows, offset: value.offset.wrapping_mul(factor), ..value },
            None => Value::UNKNOWN,
        }
    }

    pub(super) fn and(self, other: Value) -> Value {
        if let (Some(left), Some(right)) = (self.known(), other.known()) {
            return Value::number(left & right);
        }
        let (pointer, mask) = match (self.known(), other.known()) {
            (_, Some(mask)) => (self, mask),
            (Some(mask), _) => (other, mask),
            _ => return Value::UNKNOWN,
        };
        match mask {
            0 => Value::number(0),
            _ if pointer.rows == 0 && mask < pointer.origin.align() => Value::number(pointer.offset & mask),
            _ => Value::UNKNOWN,
        }
    }

    /// An operation that only plain numbers have.
    pub(super) fn both(self, other: Value, operation: impl Fn(u64, u64) -> u64) -> Value {
        match (self.known(), other.known()) {
            (Some(left), Some(right)) => Value::number(operation(left, right)),
            _ => Value::UNKNOWN,
        }
    }

    /// The lower bits, the others zero.
    pub(super) fn cut(self, bits: u32) -> Value {
        match self.known() {
            Some(number) => Value::number(cut(number, bits)),
            None if bits == 64 => self,
            // MXCSR has 32 bits.
            None if bits == 32 && self == Value::at(Origin::CONTROL, 0) => self,
            None => Value::UNKNOWN,
        }
    }

    fn is_near(self) -> bool {
        self.origin.is_address() && self.rows == 0 && self.offset < FAR
    }

    /// Flags of `self - other`, of 64 bits.
    pub(super) fn compare(self, other: Value, stride: Stride) -> Flags {
        if let (Some(left), Some(right)) = (self.known(), other.known()) {
            return subtract(left, right, 64);
        }
        // Two places in one buffer; a place in a buffer and null.
        if self.is_near() && (other == Value::number(0) || (other.is_near() && self.origin == other.origin)) {
            if other.origin == self.origin {
                return Flags { parity: None, ..subtract(self.offset, other.offset, 64) };
            }
            let (zero, sign, carry, overflow) = (Some(false), Some(false), Some(false), Some(false));
            return Flags { zero, sign, carry, overflow, parity: None };
        }
        if !self.is_unknown() && self == other {
            return subtract(0, 0, 64);
        }
        let outside = |number| (!(stride.least..=stride.most).contains(&number)).then_some(false);
        match (self, other.known(), self.known()) {
            (Value::STRIDE, Some(number), _) => Flags {
                carry: order(stride.most < number, number <= stride.least),
                zero: outside(number),
                ..Flags::default()
            },
            (_, _, Some(number)) if other == Value::STRIDE => Flags {
                carry: order(number < stride.least, stride.most <= number),
                zero: outside(number),
                ..Flags::default()
            },
            _ => Flags::default(),
        }
    }
}

fn order(is_less: bool, is_not: bool) -> Option<bool> {
    if is_less {
        Some(true)
    } else if is_not {
        Some(false)
    } else {
        None
    }
}

/// Flags of a difference of numbers.
pub(super) fn subtract(left: u64, right: u64, bits: u32) -> Flags {
    let (left, right) = (cut(left, bits), cut(right, bits));
    let result = left.wrapping_sub(right);
    let sign = |value: u64| value >> (bits - 1) & 1 != 0;
    Flags {
        carry: Some(left < right),
        overflow: Some(sign(left) != sign(right) && sign(result) != sign(left)),
        ..Flags::of(result, bits)
    }
}

/// Flags of a sum of numbers.
pub(super) fn sum(left: u64, right: u64, bits: u32) -> Flags {
    let (left, right) = (cut(left, bits), cut(right, bits));
    let result = cut(left.wrapping_add(right), bits);
    let sign = |value: u64| value >> (bits - 1) & 1 != 0;
    Flags {
        carry: Some(result < left),
        overflow: Some(sign(left) == sign(right) && sign(result) != sign(left)),
        ..Flags::of(result, bits)
    }
}
