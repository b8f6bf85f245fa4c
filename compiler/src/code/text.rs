//! [`Code`] as text: `--dump program` and golden files.

use std::fmt;

use super::{Access, Address, Binary, BytesOfLane, Code, Half, Narrowed, Op, Ptr, Reg, Unit};

impl fmt::Display for Reg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}", self.0)
    }
}

impl fmt::Display for Half {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let half = if self.is_upper { "upper" } else { "lower" };
        write!(f, "{}.{half}", self.src)
    }
}

impl fmt::Display for Ptr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p{}", self.0)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.offset {
            0 => write!(f, "[{}]", self.ptr),
            offset => write!(f, "[{}{offset:+}]", self.ptr),
        }
    }
}

impl Binary {
    /// The mnemonic in dumps.
    pub fn mnemonic(self) -> &'static str {
        match self {
            Binary::Add => "add",
            Binary::Sub => "sub",
            Binary::Mul => "mul",
            Binary::Div => "div",
            Binary::Max => "max",
            Binary::Min => "min",
            Binary::AddIntegers => "add integers",
            Binary::MulIntegers => "mul integers",
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "kernel(")?;
        for (idx, parameter) in self.parameters.iter().enumerate() {
            let access = match parameter.access {
                Access::Read => "read",
                Access::Write => "write",
            };
            let comma = if idx == 0 { "" } else { ", " };
            write!(f, "{comma}{}: {access} {}", Ptr(idx as u8), parameter.name)?;
        }
        writeln!(
            f,
            ") of {} lanes, {} registers, {} pointers",
            self.lanes, self.n_registers, self.n_pointers
        )?;
        write_ops(f, &self.body, self.lanes, 1)
    }
}

fn write_ops(f: &mut fmt::Formatter<'_>, ops: &[Op], lanes: usize, depth: usize) -> fmt::Result {
    for op in ops {
        write!(f, "{:indent$}", "", indent = depth * 2)?;
        let part = |n: &u8| if usize::from(*n) == lanes { String::new() } else { format!(" lanes {n}") };
        match op {
            Op::Const { dst, value } => writeln!(f, "{dst} = {value:?}")?,
            Op::Copy { dst, src } => writeln!(f, "{dst} = {src}")?,
            Op::Load { dst, from, lanes } => writeln!(f, "{dst} = load {from}{}", part(lanes))?,
            Op::LoadLanes { dst, from, first, lanes } => {
                writeln!(f, "{dst} = load {from} lanes {first}..{}", first + lanes)?;
            }
            Op::Splat { dst, from } => writeln!(f, "{dst} = splat {from}")?,
            Op::LoadTwice { dst, from } => writeln!(f, "{dst} = load twice {from}")?,
            Op::Join { dst, low, high } => writeln!(f, "{dst} = join {low}, {high}")?,
            Op::Fma { acc, a, b } => writeln!(f, "{acc} += {a} * {b}")?,
            Op::MulAdd { x, factor, addend } => writeln!(f, "{x} = {x} * {factor} + {addend}")?,
            Op::FmaLane { acc, a, b, lane } => writeln!(f, "{acc} += {a} * {b}[{lane}]")?,
            Op::Binary { op, dst, a, b } => writeln!(f, "{dst} = {} {a}, {b}", op.mnemonic())?,
            Op::ConstInteger { dst, value } => writeln!(f, "{dst} = integer {value}")?,
            Op::ConstLanes { dst, values } => writeln!(f, "{dst} = integers {values:?}")?,
            Op::Permute { dst, src, order } => writeln!(f, "{dst} = permute {src}, {order}")?,
            Op::LoadBytes { dst, from, lanes } => writeln!(f, "{dst} = load bytes {from}{}", part(lanes))?,
            Op::Dot { acc, a, b, pairs_fit } => {
                let pairs = if *pairs_fit { ", pairs fit" } else { "" };
                writeln!(f, "{acc} += dot {a}, {b}{pairs}")?;
            }
            Op::DotLoad { acc, a, from } => writeln!(f, "{acc} += dot {a}, {from}")?,
            Op::DotWords { acc, a: [a, b], from: [first, second] } => {
                writeln!(f, "{acc} += dot {a}, {first} and {b}, {second}, words fit")?;
            }
            Op::WidenBytes { dst, src, bytes, is_signed } => {
                let bytes = match bytes {
                    BytesOfLane::Even => "even",
                    BytesOfLane::Odd => "odd",
                };
                let signed = if *is_signed { " signed" } else { "" };
                writeln!(f, "{dst} = {bytes}{signed} bytes {src}")?;
            }
            Op::Zip { dst, a, b, unit, is_upper } => {
                let half = if *is_upper { "upper" } else { "lower" };
                let unit = match unit {
                    Unit::Byte => "bytes",
                    Unit::Pair => "pairs",
                };
                writeln!(f, "{dst} = zip {half} {unit} {a}, {b}")?;
            }
            Op::Parts { dst, a, b, order } => writeln!(f, "{dst} = parts {order:?} of {a}, {b}")?,
            Op::Narrow { dst, a, b, to } => {
                let to = match to {
                    Narrowed::Signed16 => "16 bits",
                    Narrowed::Bytes => "bytes",
                };
                writeln!(f, "{dst} = narrow to {to} {a}, {b}")?;
            }
            Op::DotPairs { acc, a, b } => writeln!(f, "{acc} += dot pairs {a}, {b}")?,
            Op::DotPairsLoad { acc, a, from } => writeln!(f, "{acc} += dot pairs {a}, {from}")?,
            Op::ToFloat { dst, src } => writeln!(f, "{dst} = float {src}")?,
            Op::ToInteger { dst, src } => writeln!(f, "{dst} = integer {src}")?,
            Op::StoreBytes { src, to, lanes } => writeln!(f, "store bytes {to}, {src}{}", part(lanes))?,
            Op::ShiftLeft { dst, src, bits } => writeln!(f, "{dst} = {src} << {bits}")?,
            Op::ShiftRight { dst, src, bits } => writeln!(f, "{dst} = integer {src} >> {bits}")?,
            Op::Store { src, to, lanes } => writeln!(f, "store {to}, {src}{}", part(lanes))?,
            Op::Prefetch { at } => writeln!(f, "prefetch {at}")?,
            Op::SetPointer { dst, from, bytes } if dst == from => writeln!(f, "{dst} += {bytes}")?,
            Op::SetPointer { dst, from, bytes: 0 } => writeln!(f, "{dst} = {from}")?,
            Op::SetPointer { dst, from, bytes } => writeln!(f, "{dst} = {from} {bytes:+}")?,
            Op::Loop { count, body } => {
                writeln!(f, "loop {count} {{")?;
                write_ops(f, body, lanes, depth + 1)?;
                writeln!(f, "{:indent$}}}", "", indent = depth * 2)?;
            }
            Op::Heading(text) => writeln!(f, "; {text}")?,
        }
    }
    Ok(())
}
