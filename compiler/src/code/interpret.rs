//! Runs a [`Code`] over checked memory: the oracle for every other reader.
//!
//! Each access is held against the buffer that its pointer was derived from: in bounds, aligned to an element, writable where
//! it writes, written before it is read, and by nobody who may run at the same time. A register is checked to be set before its
//! use. What passes here touches nothing that it was not given, on any processor.

mod parts;
mod region;

use std::fmt;

pub use region::{Region, Runner};

use super::{Access, Address, Binary, BytesOfLane, Code, Half, Op, PART, Ptr, Reg};
use crate::graph::tensor::Dtype;
use crate::passes::fit_together;

/// Where an argument points: a region and a byte of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Argument {
    /// Position in the list of regions.
    pub region: usize,
    /// Bytes after the region's first; what is outside of the region may not be used.
    pub byte: i64,
}

/// A promise that a kernel broke.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation(String);

impl Violation {
    pub(crate) fn new(text: String) -> Violation {
        Violation(text)
    }

    /// The same with the place where it happened.
    pub(crate) fn at(self, place: &str) -> Violation {
        Violation(format!("{place}: {}", self.0))
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Violation {}

/// Runs the kernel on those arguments, one per parameter.
///
/// # Errors
/// The first access outside of its buffer, read of something unwritten, write to something constant, or use of what somebody else
/// may write at the same time.
pub fn run(
    code: &Code,
    regions: &mut [Region],
    arguments: &[Argument],
    runner: &Runner,
) -> Result<(), Violation> {
    assert_eq!(code.parameters.len(), arguments.len(), "one argument for each parameter");
    let mut pointers = vec![None; code.n_pointers];
    for ((slot, argument), parameter) in pointers.iter_mut().zip(arguments).zip(&code.parameters) {
        *slot = Some(Pointer { region: argument.region, offset: argument.byte, access: parameter.access });
    }
    let mut machine = Machine {
        lanes: code.lanes,
        regions,
        runner,
        pointers,
        registers: vec![0.0; code.n_registers * code.lanes],
        set: vec![false; code.n_registers],
    };
    machine.run(&code.body)
}

#[derive(Clone, Copy)]
struct Pointer {
    region: usize,
    /// Bytes from the region's start.
    offset: i64,
    access: Access,
}

struct Machine<'a> {
    lanes: usize,
    regions: &'a mut [Region],
    runner: &'a Runner,
    pointers: Vec<Option<Pointer>>,
    registers: Vec<f32>,
    set: Vec<bool>,
}

impl Machine<'_> {
    fn run(&mut self, ops: &[Op]) -> Result<(), Violation> {
        for op in ops {
            self.step(op).map_err(|violation| match op {
                Op::Loop { .. } => violation,
                _ => Violation(format!("{op:?}: {}", violation.0)),
            })?;
        }
        Ok(())
    }

    fn step(&mut self, op: &Op) -> Result<(), Violation> {
        match *op {
            Op::Const { dst, value } => self.write(dst).fill(value),
            Op::Copy { dst, src } => {
                let from = self.read(src)?;
                let to = self.span(dst).start;
                self.registers.copy_within(from, to);
                self.set[usize::from(dst.0)] = true;
            }
            Op::Load { dst, from, lanes } => {
                let at = self.pointer(from.ptr)?;
                let to = self.span(dst);
                let byte = at.offset + i64::from(from.offset);
                let bytes = usize::from(lanes) * Dtype::F32.bytes();
                let bytes = self.regions[at.region].read(byte, bytes, self.runner)?;
                let (loaded, behind) = self.registers[to].split_at_mut(lanes.into());
                for (lane, bytes) in loaded.iter_mut().zip(bytes.as_chunks().0) {
                    *lane = f32::from_le_bytes(*bytes);
                }
                behind.fill(0.0);
                self.set[usize::from(dst.0)] = true;
            }
            Op::LoadLanes { dst, from, first, lanes } => {
                let at = self.pointer(from.ptr)?;
                let byte = at.offset + i64::from(from.offset);
                let bytes = usize::from(lanes) * Dtype::F32.bytes();
                let loaded = self.regions[at.region].read(byte, bytes, self.runner)?.as_chunks().0.to_vec();
                let lanes = self.write(dst);
                lanes.fill(0.0);
                for (lane, bytes) in lanes[first.into()..].iter_mut().zip(loaded) {
                    *lane = f32::from_le_bytes(bytes);
                }
            }
            Op::Splat { dst, from } => {
                let at = self.pointer(from.ptr)?;
                let byte = at.offset + i64::from(from.offset);
                let bytes = self.regions[at.region].read(byte, Dtype::F32.bytes(), self.runner)?;
                let value = f32::from_le_bytes(bytes.as_chunks().0[0]);
                self.write(dst).fill(value);
            }
            Op::LoadTwice { dst, from } => {
                let (half, to) = (self.lanes / 2, self.span(dst).start);
                let at = self.pointer(from.ptr)?;
                let byte = at.offset + i64::from(from.offset);
                let bytes = self.regions[at.region].read(byte, half * Dtype::F32.bytes(), self.runner)?;
                for (lane, bytes) in bytes.as_chunks().0.iter().enumerate() {
                    let value = f32::from_le_bytes(*bytes);
                    (self.registers[to + lane], self.registers[to + half + lane]) = (value, value);
                }
                self.set[usize::from(dst.0)] = true;
            }
            Op::Join { dst, low, high } => {
                let half = self.lanes / 2;
                let mut lanes = Vec::with_capacity(self.lanes);
                for Half { src, is_upper } in [low, high] {
                    let start = self.read(src)?.start + if is_upper { half } else { 0 };
                    lanes.extend_from_slice(&self.registers[start..start + half]);
                }
                self.write(dst).copy_from_slice(&lanes);
            }
            Op::Fma { acc, a, b } => {
                let (acc, a, b) = (self.read(acc)?.start, self.read(a)?.start, self.read(b)?.start);
                for lane in 0..self.lanes {
                    let product = self.registers[a + lane]
                        .mul_add(self.registers[b + lane], self.registers[acc + lane]);
                    self.registers[acc + lane] = product;
                }
            }
            Op::MulAdd { x, factor, addend } => {
                let (factor, addend) = (self.read(factor)?.start, self.read(addend)?.start);
                let x = self.read(x)?.start;
                for lane in 0..self.lanes {
                    let value = self.registers[x + lane]
                        .mul_add(self.registers[factor + lane], self.registers[addend + lane]);
                    self.registers[x + lane] = value;
                }
            }
            Op::FmaLane { acc, a, b, lane } => {
                let (acc, a, b) = (self.read(acc)?.start, self.read(a)?.start, self.read(b)?.start);
                let factor = self.registers[b + usize::from(lane)];
                for lane in 0..self.lanes {
                    self.registers[acc + lane] =
                        self.registers[a + lane].mul_add(factor, self.registers[acc + lane]);
                }
            }
            Op::Binary { op, dst, a, b } => {
                let (a, b, dst_span) = (self.read(a)?.start, self.read(b)?.start, self.span(dst));
                for lane in 0..self.lanes {
                    let value = binary(op, self.registers[a + lane], self.registers[b + lane])?;
                    self.registers[dst_span.start + lane] = value;
                }
                self.set[usize::from(dst.0)] = true;
            }
            Op::ConstInteger { dst, value } => self.write(dst).fill(integer_bits(value)),
            Op::ConstLanes { dst, ref values } => {
                for (lane, value) in self.write(dst).iter_mut().zip(values) {
                    *lane = integer_bits((*value).into());
                }
            }
            Op::Permute { dst, src, order } => {
                let from = self.registers[self.read(src)?].to_vec();
                let order = self.registers[self.read(order)?].to_vec();
                for (lane, number) in self.write(dst).iter_mut().zip(order) {
                    let number = integer(number);
                    let value = usize::try_from(number).ok().and_then(|number| from.get(number));
                    *lane = *value.ok_or_else(|| Violation(format!("there is no lane {number}")))?;
                }
            }
            Op::LoadBytes { dst, from, lanes } => {
                let at = self.pointer(from.ptr)?;
                let to = self.span(dst);
                let byte = at.offset + i64::from(from.offset);
                let bytes = self.regions[at.region].read(byte, lanes.into(), self.runner)?;
                let (loaded, behind) = self.registers[to].split_at_mut(lanes.into());
                for (lane, byte) in loaded.iter_mut().zip(bytes) {
                    *lane = integer_bits((*byte).into());
                }
                behind.fill(integer_bits(0));
                self.set[usize::from(dst.0)] = true;
            }
            Op::Dot { acc, a, b, pairs_fit } => {
                let b: Vec<[u8; 4]> =
                    self.registers[self.read(b)?].iter().map(|lane| lane.to_bits().to_le_bytes()).collect();
                let fits = |b: &[u8; 4]| {
                    b.as_chunks().0.iter().all(|pair: &[u8; 2]| fit_together(pair.map(u8::cast_signed)))
                };
                if let (true, Some(b)) = (pairs_fit, b.iter().find(|b| !fits(b))) {
                    return Err(Violation(format!("the pairs of {b:?} don't fit")));
                }
                self.dot(acc, a, &b)?;
            }
            Op::DotLoad { acc, a, from } => {
                let b = self.words(from)?;
                self.dot(acc, a, &b)?;
            }
            Op::DotWords { acc, a, from } => {
                let [first, second] = [self.words(from[0])?, self.words(from[1])?];
                for (first, second) in first.iter().zip(&second) {
                    let [a, b, c, d] = *first;
                    let [e, f, g, h] = *second;
                    let sums = [[a, b, e, f], [c, d, g, h]];
                    if !sums.iter().all(|sum| fit_together(sum.map(u8::cast_signed))) {
                        return Err(Violation(format!(
                            "the pairs of {first:?} and {second:?} don't fit together"
                        )));
                    }
                }
                self.dot(acc, a[0], &first)?;
                self.dot(acc, a[1], &second)?;
            }
            Op::WidenBytes { dst, src, bytes, is_signed } => {
                let (from, to) = (self.read(src)?.start, self.span(dst).start);
                let first = usize::from(bytes == BytesOfLane::Odd);
                for lane in 0..self.lanes {
                    let all = self.registers[from + lane].to_bits().to_le_bytes();
                    let widened = [all[first], all[first + 2]].map(|byte| match is_signed {
                        true => i16::from(byte.cast_signed()),
                        false => i16::from(byte),
                    });
                    self.registers[to + lane] = f32::from_bits(lane_of(widened));
                }
                self.set[usize::from(dst.0)] = true;
            }
            Op::Zip { dst, a, b, unit, is_upper } => {
                self.part_by_part(dst, (a, b), |a, b| parts::zipped(a, b, unit, is_upper))?;
            }
            Op::Parts { dst, a, b, order } => {
                let [a, b] = [self.read(a)?, self.read(b)?].map(|span| self.registers[span].to_vec());
                let words = PART / Dtype::F32.bytes();
                let lanes = order.iter().enumerate().flat_map(|(idx, part)| {
                    let from = if idx < 2 { &a } else { &b };
                    from[usize::from(*part) * words..][..words].to_vec()
                });
                let lanes: Vec<f32> = lanes.collect();
                self.write(dst).copy_from_slice(&lanes);
            }
            Op::Narrow { dst, a, b, to } => {
                self.part_by_part(dst, (a, b), |a, b| parts::narrowed(a, b, to))?;
            }
            Op::DotPairs { acc, a, b } => {
                let b: Vec<u32> = self.registers[self.read(b)?].iter().map(|lane| lane.to_bits()).collect();
                self.dot_pairs(acc, a, &b)?;
            }
            Op::DotPairsLoad { acc, a, from } => {
                let b: Vec<u32> = self.words(from)?.into_iter().map(u32::from_le_bytes).collect();
                self.dot_pairs(acc, a, &b)?;
            }
            Op::ToFloat { dst, src } => {
                let (from, to) = (self.read(src)?.start, self.span(dst).start);
                for lane in 0..self.lanes {
                    self.registers[to + lane] = integer(self.registers[from + lane]) as f32;
                }
                self.set[usize::from(dst.0)] = true;
            }
            Op::ToInteger { dst, src } => {
                let (from, to) = (self.read(src)?.start, self.span(dst).start);
                for lane in 0..self.lanes {
                    let rounded = self.registers[from + lane].round_ties_even();
                    if !(-2_147_483_648.0..2_147_483_648.0).contains(&rounded) {
                        return Err(Violation(format!("{rounded} is no integer of 32 bits")));
                    }
                    self.registers[to + lane] = integer_bits(rounded as i32);
                }
                self.set[usize::from(dst.0)] = true;
            }
            Op::StoreBytes { src, to, lanes } => {
                let from = self.read(src)?;
                let values = self.registers[from.start..from.start + usize::from(lanes)].to_vec();
                let bytes = self.target(to, lanes.into())?;
                for (value, byte) in values.iter().zip(bytes) {
                    *byte = integer(*value).clamp(0, 255) as u8;
                }
                self.set[usize::from(src.0)] = false;
            }
            Op::ShiftLeft { dst, src, bits } => {
                let (from, to) = (self.read(src)?.start, self.span(dst).start);
                for lane in 0..self.lanes {
                    self.registers[to + lane] = f32::from_bits(self.registers[from + lane].to_bits() << bits);
                }
                self.set[usize::from(dst.0)] = true;
            }
            Op::ShiftRight { dst, src, bits } => {
                let (from, to) = (self.read(src)?.start, self.span(dst).start);
                for lane in 0..self.lanes {
                    self.registers[to + lane] = integer_bits(integer(self.registers[from + lane]) >> bits);
                }
                self.set[usize::from(dst.0)] = true;
            }
            Op::Store { src, to, lanes } => {
                let from = self.read(src)?;
                let values = self.registers[from.start..from.start + usize::from(lanes)].to_vec();
                let bytes = self.target(to, values.len() * Dtype::F32.bytes())?;
                for (value, bytes) in values.iter().zip(bytes.as_chunks_mut().0) {
                    *bytes = value.to_le_bytes();
                }
            }
            Op::Prefetch { at } => {
                self.pointer(at.ptr)?;
            }
            Op::SetPointer { dst, from, bytes } => {
                let from = self.pointer(from)?;
                self.pointers[usize::from(dst.0)] = Some(Pointer { offset: from.offset + bytes, ..from });
            }
            Op::Loop { count, ref body } => {
                for _ in 0..count {
                    self.run(body)?;
                }
            }
            Op::Heading(_) => {}
        }
        Ok(())
    }

    /// acc += the products of the numbers of 16 bits of a and of b, lane by lane.
    fn dot_pairs(&mut self, acc: Reg, a: Reg, b: &[u32]) -> Result<(), Violation> {
        let (acc, a) = (self.read(acc)?.start, self.read(a)?.start);
        for (lane, b) in b.iter().enumerate() {
            let [a, b] = [self.registers[a + lane].to_bits(), *b].map(numbers_of);
            let products = a.into_iter().zip(b).map(|(a, b)| i64::from(a) * i64::from(b));
            let sum = i64::from(integer(self.registers[acc + lane])) + products.sum::<i64>();
            self.registers[acc + lane] = integer_bits(small(sum)?);
        }
        Ok(())
    }

    /// For each lane the four bytes from an address on.
    fn words(&mut self, from: Address) -> Result<Vec<[u8; 4]>, Violation> {
        let at = self.pointer(from.ptr)?;
        let (byte, n) = (at.offset + i64::from(from.offset), self.lanes * Dtype::F32.bytes());
        Ok(self.regions[at.region].read(byte, n, self.runner)?.as_chunks().0.to_vec())
    }

    /// acc += the products of the bytes of a and of b, lane by lane.
    fn dot(&mut self, acc: Reg, a: Reg, b: &[[u8; 4]]) -> Result<(), Violation> {
        let (acc, a) = (self.read(acc)?.start, self.read(a)?.start);
        for (lane, b) in b.iter().enumerate() {
            if b.contains(&i8::MIN.cast_unsigned()) {
                return Err(Violation(format!("{b:?} has -128, which has no opposite")));
            }
            let a = self.registers[a + lane].to_bits().to_le_bytes();
            let product = |(a, b): (u8, &u8)| i64::from(a) * i64::from(b.cast_signed());
            let sum: i64 = a.into_iter().zip(b).map(product).sum();
            let sum = i64::from(integer(self.registers[acc + lane])) + sum;
            self.registers[acc + lane] = integer_bits(small(sum)?);
        }
        Ok(())
    }

    /// So many bytes from an address on, to be written.
    fn target(&mut self, to: Address, bytes: usize) -> Result<&mut [u8], Violation> {
        let at = self.pointer(to.ptr)?;
        let region = &mut self.regions[at.region];
        if at.access != Access::Write {
            let name = &region.name;
            return Err(Violation(format!("{name} is written through a pointer that may only read")));
        }
        region.write(at.offset + i64::from(to.offset), bytes, self.runner)
    }

    fn span(&self, register: Reg) -> std::ops::Range<usize> {
        let start = usize::from(register.0) * self.lanes;
        start..start + self.lanes
    }

    fn read(&self, register: Reg) -> Result<std::ops::Range<usize>, Violation> {
        if self.set[usize::from(register.0)] {
            return Ok(self.span(register));
        }
        Err(Violation(format!("{register} is read before it is set")))
    }

    fn write(&mut self, register: Reg) -> &mut [f32] {
        self.set[usize::from(register.0)] = true;
        let span = self.span(register);
        &mut self.registers[span]
    }

    fn pointer(&self, ptr: Ptr) -> Result<Pointer, Violation> {
        self.pointers[usize::from(ptr.0)].ok_or_else(|| Violation(format!("{ptr} is used before it is set")))
    }
}

/// The integer of a lane.
fn integer(lane: f32) -> i32 {
    lane.to_bits() as i32
}

/// A lane that holds an integer.
fn integer_bits(value: i32) -> f32 {
    f32::from_bits(value as u32)
}

/// A lane of two numbers of 16 bits, the first in its lower half.
fn lane_of(numbers: [i16; 2]) -> u32 {
    let [low, high] = numbers.map(i16::cast_unsigned);
    u32::from(low) | u32::from(high) << 16
}

fn numbers_of(lane: u32) -> [i16; 2] {
    [lane as u16, (lane >> 16) as u16].map(u16::cast_signed)
}

/// A sum that was promised to stay an i32.
fn small(sum: i64) -> Result<i32, Violation> {
    i32::try_from(sum).map_err(|_| Violation(format!("a sum of integers is {sum}, which isn't below 2^31")))
}

fn binary(op: Binary, a: f32, b: f32) -> Result<f32, Violation> {
    Ok(match op {
        Binary::AddIntegers => integer_bits(small(i64::from(integer(a)) + i64::from(integer(b)))?),
        Binary::MulIntegers => integer_bits(small(i64::from(integer(a)) * i64::from(integer(b)))?),
        Binary::Add => a + b,
        Binary::Sub => a - b,
        Binary::Mul => a * b,
        Binary::Div => a / b,
        Binary::Max => {
            if a > b {
                a
            } else {
                b
            }
        }
        Binary::Min => {
            if a < b {
                a
            } else {
                b
            }
        }
    })
}

#[cfg(test)]
mod tests;
