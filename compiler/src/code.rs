//! The register-level kernel language.
//!
//! A kernel is one [`Code`]: a structured program over numbered vector registers, numbered pointers and counted loops. All
//! shapes are fixed when it is generated, so every address is a pointer plus a constant and no index arithmetic is left for
//! run time. Registers are mutable; a generator takes them from [`Builder`], which fails loudly past the count of the
//! [`Isa`](crate::target::Isa), so that a reader to machine code is a table and not a register allocator.
//!
//! Kernels are generated once ([`crate::kernels`]) and read by several readers: [`interpret`] runs them over checked memory,
//! [`crate::emit`] writes machine code. A reader handles every [`Op`]; there is no `_` arm over it.
//!
//! # Arithmetic
//! Each lane of each operation is IEEE 754 binary32, rounded once, to nearest even. NaN is a value like any other, but which
//! NaN comes out (sign, payload) is the processor's choice.
//!
//! A lane may hold an i32 as well, or four bytes, which memory has in ascending order. Which it is, is the generator's affair; its
//! sums of integers stay below 2^31.

pub mod builder;
pub mod interpret;
mod text;

pub use builder::Builder;

use crate::graph::tensor::Dtype;

/// A vector register of [`Code::lanes`] f32 elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reg(pub u8);

/// A pointer register. The first ones are the kernel's parameters, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ptr(pub u8);

/// Pointer plus a constant number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    /// The pointer.
    pub ptr: Ptr,
    /// Bytes after it; a multiple of 4 unless bytes are loaded or stored, or four of them loaded as one element.
    pub offset: i32,
}

impl Ptr {
    /// The address `elements` f32 after this pointer.
    pub fn at(self, elements: usize) -> Address {
        self.at_bytes(elements * Dtype::F32.bytes())
    }

    /// The address so many bytes after this pointer.
    pub fn at_bytes(self, bytes: usize) -> Address {
        let offset = i32::try_from(bytes).expect("an offset inside a kernel fits 31 bits");
        Address { ptr: self, offset }
    }
}

impl Address {
    /// The address so many f32 behind this one.
    pub fn after(self, elements: usize) -> Address {
        let Address { offset, .. } = self.ptr.at(elements);
        let offset = self.offset.checked_add(offset).expect("an offset inside a kernel fits 31 bits");
        Address { offset, ..self }
    }
}

/// An operation on two registers, lane by lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Binary {
    /// a + b
    Add,
    /// a - b
    Sub,
    /// a * b
    Mul,
    /// a / b
    Div,
    /// a > b ? a : b, so b when either is NaN and when both are zero (x86 `maxps`).
    Max,
    /// a < b ? a : b, so b when either is NaN and when both are zero (x86 `minps`).
    Min,
    /// a + b of integers.
    AddIntegers,
    /// a * b of integers; the product is one of 32 bits.
    MulIntegers,
}

/// Half of the lanes of a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Half {
    /// Read.
    pub src: Reg,
    /// Whether it is the upper one.
    pub is_upper: bool,
}

impl Reg {
    /// The lanes of its lower half.
    pub fn lower(self) -> Half {
        Half { src: self, is_upper: false }
    }

    /// The lanes of its upper half.
    pub fn upper(self) -> Half {
        Half { src: self, is_upper: true }
    }
}

/// Two of the four bytes of a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BytesOfLane {
    /// The first and the third.
    Even,
    /// The second and the fourth.
    Odd,
}

/// Bytes that zips and narrowing steps work on by themselves.
pub const PART: usize = 16;

/// Bytes that stay together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unit {
    /// Each by itself.
    Byte,
    /// Two neighbours.
    Pair,
}

/// What numbers become that have half as many bits then: the nearest that there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Narrowed {
    /// Integers of 32 bits, numbers of 16 with a sign.
    Signed16,
    /// Numbers of 16 bits with a sign, bytes without.
    Bytes,
}

/// One step of a kernel.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// All lanes become `value`.
    Const {
        /// Written.
        dst: Reg,
        /// The constant.
        value: f32,
    },
    /// dst = src
    Copy {
        /// Written.
        dst: Reg,
        /// Read.
        src: Reg,
    },
    /// The first `lanes` lanes from consecutive elements of memory, zero in the others. No alignment is asked for.
    Load {
        /// Written.
        dst: Reg,
        /// Read.
        from: Address,
        /// 1 to [`Code::lanes`].
        lanes: u8,
    },
    /// Some lanes from consecutive elements of memory, zero in the others: where the instruction set has
    /// [masks](crate::target::Isa::masks_lanes).
    LoadLanes {
        /// Written.
        dst: Reg,
        /// Read: the first of these elements.
        from: Address,
        /// The first of the lanes.
        first: u8,
        /// How many.
        lanes: u8,
    },
    /// One element of memory into all lanes. It may begin at any byte where the instruction set has
    /// [such words](crate::target::Isa::words_at_any_byte).
    Splat {
        /// Written.
        dst: Reg,
        /// Read.
        from: Address,
    },
    /// Half as many consecutive elements of memory as there are lanes, into both halves.
    LoadTwice {
        /// Written.
        dst: Reg,
        /// Read.
        from: Address,
    },
    /// A half of one register, then a half of another.
    Join {
        /// Written.
        dst: Reg,
        /// What the lower lanes become.
        low: Half,
        /// What the upper lanes become.
        high: Half,
    },
    /// acc = a * b + acc, rounded once.
    Fma {
        /// Read and written.
        acc: Reg,
        /// Factor.
        a: Reg,
        /// Factor.
        b: Reg,
    },
    /// x = x * factor + addend, rounded once.
    MulAdd {
        /// Read and written.
        x: Reg,
        /// Factor.
        factor: Reg,
        /// Added.
        addend: Reg,
    },
    /// acc = a * b\[lane\] + acc, rounded once.
    FmaLane {
        /// Read and written.
        acc: Reg,
        /// Factor.
        a: Reg,
        /// One lane of it is the factor of all.
        b: Reg,
        /// Which.
        lane: u8,
    },
    /// dst = a op b
    Binary {
        /// The operation.
        op: Binary,
        /// Written.
        dst: Reg,
        /// First operand.
        a: Reg,
        /// Second operand.
        b: Reg,
    },
    /// All lanes become the integer `value`.
    ConstInteger {
        /// Written.
        dst: Reg,
        /// The constant.
        value: i32,
    },
    /// Each lane becomes an integer of its own.
    ConstLanes {
        /// Written.
        dst: Reg,
        /// One for each lane.
        values: Vec<u8>,
    },
    /// The first `lanes` lanes become integers, each a byte of memory without a sign; the others zero.
    LoadBytes {
        /// Written.
        dst: Reg,
        /// Read; any byte.
        from: Address,
        /// 1 to [`Code::lanes`].
        lanes: u8,
    },
    /// The integers of acc, plus four products each: the bytes of a's lane, without a sign, times those of b's, with one.
    ///
    /// Where the pairs fit, the products of the first two bytes of b's lane with the largest bytes add up to no more than an i16 has
    /// room for, of those that are positive and of those that are negative, and so do those of the last two.
    Dot {
        /// Read and written.
        acc: Reg,
        /// Four bytes without a sign in each lane.
        a: Reg,
        /// Four bytes with a sign in each lane, none below -127: each has an opposite.
        b: Reg,
        /// Whether the pairs of b fit.
        pairs_fit: bool,
    },
    /// The same with b from consecutive elements of memory; nothing is known of its pairs.
    DotLoad {
        /// Read and written.
        acc: Reg,
        /// Four bytes without a sign in each lane.
        a: Reg,
        /// Read.
        from: Address,
    },
    /// [`Op::Dot`] twice, with the b of both from consecutive elements of memory. Their pairs fit, the first of one together with the first
    /// of the other, and the second with the second.
    DotWords {
        /// Read and written.
        acc: Reg,
        /// Four bytes without a sign in each lane.
        a: [Reg; 2],
        /// Read; no byte below -127.
        from: [Address; 2],
    },
    /// Two bytes of each lane as numbers of 16 bits, the earlier one in the lower half of the lane.
    WidenBytes {
        /// Written.
        dst: Reg,
        /// Read; may be `dst`.
        src: Reg,
        /// Which.
        bytes: BytesOfLane,
        /// Whether they have a sign.
        is_signed: bool,
    },
    /// Of each 16 bytes the lower eight of a and of b in turn, or the upper eight.
    Zip {
        /// Written; may be `a` or `b`.
        dst: Reg,
        /// Read, the first of each two.
        a: Reg,
        /// Read, the second of each two.
        b: Reg,
        /// What takes turns.
        unit: Unit,
        /// Whether it is the upper ones.
        is_upper: bool,
    },
    /// Of four times 16 bytes, two of a and two of b.
    Parts {
        /// Written; may be `a` or `b`.
        dst: Reg,
        /// Read.
        a: Reg,
        /// Read.
        b: Reg,
        /// Which: the first two of a, the last two of b.
        order: [u8; 4],
    },
    /// In each 16 bytes the narrowed numbers that a has there, then those of b.
    Narrow {
        /// Written; may be `a` or `b`.
        dst: Reg,
        /// Read.
        a: Reg,
        /// Read.
        b: Reg,
        /// What they become.
        to: Narrowed,
    },
    /// Each lane becomes that lane of src whose number the lane of order holds.
    Permute {
        /// Written; may be `src`.
        dst: Reg,
        /// Read.
        src: Reg,
        /// Numbers of lanes.
        order: Reg,
    },
    /// The integers of acc, plus two products each: the numbers of 16 bits of a's lane, with a sign, times those of b's.
    DotPairs {
        /// Read and written.
        acc: Reg,
        /// Factor.
        a: Reg,
        /// Factor.
        b: Reg,
    },
    /// The same with b from consecutive elements of memory.
    DotPairsLoad {
        /// Read and written.
        acc: Reg,
        /// Factor.
        a: Reg,
        /// Read.
        from: Address,
    },
    /// Integers as f32, rounded to nearest even.
    ToFloat {
        /// Written.
        dst: Reg,
        /// Read.
        src: Reg,
    },
    /// Numbers between -2^31 and 2^31 as integers, rounded to nearest even; those beyond 2^22 may become any integer beyond it with their
    /// sign.
    ToInteger {
        /// Written.
        dst: Reg,
        /// Read.
        src: Reg,
    },
    /// The integers of the first `lanes` lanes, kept between 0 and 255, to consecutive bytes of memory.
    StoreBytes {
        /// Read, and undefined afterwards.
        src: Reg,
        /// Written; any byte.
        to: Address,
        /// 1 to [`Code::lanes`].
        lanes: u8,
    },
    /// The bits of each lane shifted left, zeros coming in: how softmax builds a power of two.
    ShiftLeft {
        /// Written.
        dst: Reg,
        /// Read.
        src: Reg,
        /// 1 to 31.
        bits: u8,
    },
    /// Integers shifted right, the sign coming in: divided by a power of two, rounded down.
    ShiftRight {
        /// Written.
        dst: Reg,
        /// Read.
        src: Reg,
        /// 1 to 31.
        bits: u8,
    },
    /// The first `lanes` lanes to consecutive elements of memory.
    Store {
        /// Read.
        src: Reg,
        /// Written.
        to: Address,
        /// 1 to [`Code::lanes`].
        lanes: u8,
    },
    /// A hint that the cache line at the address will be read soon; never faults, has no effect on values.
    Prefetch {
        /// Any byte of the line; may lie outside of every buffer.
        at: Address,
    },
    /// dst = from + bytes. The result may point anywhere; only accesses are checked.
    SetPointer {
        /// Written.
        dst: Ptr,
        /// Read; may be `dst`.
        from: Ptr,
        /// Added.
        bytes: i64,
    },
    /// The body, `count` times.
    Loop {
        /// At least 2.
        count: u32,
        /// What is repeated.
        body: Vec<Op>,
    },
    /// A heading for dumps and disassemblies: what the next lines do.
    Heading(String),
}

/// What a kernel does with the memory behind a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// Reads only.
    Read,
    /// Writes, and may read what it wrote.
    Write,
}

/// A pointer parameter of a kernel.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// As in dumps: `input`, `weights`, `output`.
    pub name: &'static str,
    /// What the kernel may do with it.
    pub access: Access,
}

/// A kernel in the kernel language.
#[derive(Clone, Debug, PartialEq)]
pub struct Code {
    /// Elements of a vector register.
    pub lanes: usize,
    /// Pointers 0.. at entry.
    pub parameters: Vec<Parameter>,
    /// Pointers in all, parameters included.
    pub n_pointers: usize,
    /// Vector registers in all.
    pub n_registers: usize,
    /// The program.
    pub body: Vec<Op>,
}

impl Code {
    /// Whether an operation of the kernel is such a one, in a loop or not.
    pub fn any(&self, is_such: &dyn Fn(&Op) -> bool) -> bool {
        fn any(ops: &[Op], is_such: &dyn Fn(&Op) -> bool) -> bool {
            ops.iter().any(|op| is_such(op) || matches!(op, Op::Loop { body, .. } if any(body, is_such)))
        }
        any(&self.body, is_such)
    }

    /// Operations in the text of the kernel, loop bodies counted once: what a reader's time and size go with.
    pub fn n_ops(&self) -> usize {
        fn count(ops: &[Op]) -> usize {
            ops.iter().map(|op| if let Op::Loop { body, .. } = op { 1 + count(body) } else { 1 }).sum()
        }
        count(&self.body)
    }
}
