//! Writes a [`Code`]: registers and pointers from allocators that fail loudly, loops as closures.

use super::{Access, Address, Binary, BytesOfLane, Code, Half, Narrowed, Op, Parameter, Ptr, Reg, Unit};
use crate::graph::tensor::Dtype;
use crate::target::Isa;

/// A kernel in the making.
pub struct Builder {
    lanes: usize,
    registers: Pool,
    pointers: Pool,
    parameters: Vec<Parameter>,
    /// The body being written, innermost loop last.
    bodies: Vec<Vec<Op>>,
}

/// Numbers in use, lowest free first.
struct Pool {
    what: &'static str,
    limit: usize,
    used: Vec<bool>,
}

impl Pool {
    fn take(&mut self) -> u8 {
        let number = self.used.iter().position(|used| !used).unwrap_or(self.used.len());
        assert!(
            number < self.limit,
            "a generator stays within the {} {} of its instruction set",
            self.limit,
            self.what
        );
        if number == self.used.len() {
            self.used.push(true);
        } else {
            self.used[number] = true;
        }
        number as u8
    }

    fn give_back(&mut self, number: u8) {
        let used = std::mem::replace(&mut self.used[usize::from(number)], false);
        assert!(used, "a generator frees one of the {} once", self.what);
    }
}

impl Builder {
    /// An empty kernel of that instruction set.
    pub fn new(isa: &Isa) -> Builder {
        Builder::with_registers(isa, isa.vector_registers)
    }

    /// The same with so many of its vector registers.
    pub fn with_registers(isa: &Isa, limit: usize) -> Builder {
        Builder {
            lanes: isa.lanes,
            registers: Pool { what: "vector registers", limit, used: Vec::new() },
            pointers: Pool { what: "pointer registers", limit: isa.pointer_registers, used: Vec::new() },
            parameters: Vec::new(),
            bodies: vec![Vec::new()],
        }
    }

    /// Elements of a vector register.
    pub fn lanes(&self) -> usize {
        self.lanes
    }

    /// Declares the next parameter.
    pub fn parameter(&mut self, name: &'static str, access: Access) -> Ptr {
        let ptr = self.pointer();
        assert_eq!(usize::from(ptr.0), self.parameters.len(), "parameters come before other pointers");
        self.parameters.push(Parameter { name, access });
        ptr
    }

    /// A free vector register, its content undefined.
    pub fn register(&mut self) -> Reg {
        Reg(self.registers.take())
    }

    /// `count` free vector registers.
    pub fn registers(&mut self, count: usize) -> Vec<Reg> {
        (0..count).map(|_| self.register()).collect()
    }

    /// How many vector registers are free.
    pub fn n_free_registers(&self) -> usize {
        self.registers.limit - self.registers.used.iter().filter(|used| **used).count()
    }

    /// Gives registers back.
    pub fn free(&mut self, registers: impl IntoIterator<Item = Reg>) {
        registers.into_iter().for_each(|register| self.registers.give_back(register.0));
    }

    /// A free pointer, its content undefined.
    pub fn pointer(&mut self) -> Ptr {
        Ptr(self.pointers.take())
    }

    /// Gives pointers back.
    pub fn free_pointers(&mut self, pointers: impl IntoIterator<Item = Ptr>) {
        pointers.into_iter().for_each(|ptr| self.pointers.give_back(ptr.0));
    }

    /// Appends an operation.
    pub fn push(&mut self, op: Op) {
        self.bodies.last_mut().expect("a body is open until the end").push(op);
    }

    /// A heading for dumps.
    pub fn heading(&mut self, text: impl Into<String>) {
        self.push(Op::Heading(text.into()));
    }

    /// dst = value in all lanes
    pub fn constant(&mut self, dst: Reg, value: f32) {
        self.push(Op::Const { dst, value });
    }

    /// dst = src
    pub fn copy(&mut self, dst: Reg, src: Reg) {
        self.push(Op::Copy { dst, src });
    }

    /// A whole vector from memory.
    pub fn load(&mut self, dst: Reg, from: Address) {
        self.load_part(dst, from, self.lanes);
    }

    /// The first `lanes` elements of a vector from memory, zeros behind them.
    pub fn load_part(&mut self, dst: Reg, from: Address, lanes: usize) {
        self.push(Op::Load { dst, from, lanes: self.checked_lanes(lanes) });
    }

    /// So many lanes from the first one on from memory, zeros in the others.
    pub fn load_lanes(&mut self, dst: Reg, from: Address, (first, lanes): (usize, usize)) {
        let last = self.checked_lanes(first + lanes);
        self.push(Op::LoadLanes { dst, from, first: last - lanes as u8, lanes: lanes as u8 });
    }

    /// One element into all lanes.
    pub fn splat(&mut self, dst: Reg, from: Address) {
        self.push(Op::Splat { dst, from });
    }

    /// Half a vector from memory, into both halves.
    pub fn load_twice(&mut self, dst: Reg, from: Address) {
        self.push(Op::LoadTwice { dst, from });
    }

    /// Two halves into one register.
    pub fn join(&mut self, dst: Reg, low: Half, high: Half) {
        self.push(Op::Join { dst, low, high });
    }

    /// acc += a * b
    pub fn fma(&mut self, acc: Reg, a: Reg, b: Reg) {
        self.push(Op::Fma { acc, a, b });
    }

    /// x = x * factor + addend
    pub fn mul_add(&mut self, x: Reg, factor: Reg, addend: Reg) {
        self.push(Op::MulAdd { x, factor, addend });
    }

    /// acc += a * b\[lane\]
    pub fn fma_lane(&mut self, acc: Reg, a: Reg, b: Reg, lane: usize) {
        self.push(Op::FmaLane { acc, a, b, lane: lane as u8 });
    }

    /// dst = a op b
    pub fn binary(&mut self, op: Binary, dst: Reg, a: Reg, b: Reg) {
        self.push(Op::Binary { op, dst, a, b });
    }

    /// The integer `value` in all lanes.
    pub fn constant_integer(&mut self, dst: Reg, value: i32) {
        self.push(Op::ConstInteger { dst, value });
    }

    /// An integer for each lane.
    pub fn constant_lanes(&mut self, dst: Reg, values: Vec<u8>) {
        assert_eq!(values.len(), self.lanes, "each lane has its value");
        self.push(Op::ConstLanes { dst, values });
    }

    /// dst = the lanes of src in an order.
    pub fn permute(&mut self, dst: Reg, src: Reg, order: Reg) {
        self.push(Op::Permute { dst, src, order });
    }

    /// Bytes of memory as integers, zeros behind them.
    pub fn load_bytes(&mut self, dst: Reg, from: Address, lanes: usize) {
        self.push(Op::LoadBytes { dst, from, lanes: self.checked_lanes(lanes) });
    }

    /// acc += the products of four bytes each.
    pub fn dot(&mut self, acc: Reg, a: Reg, b: Reg, pairs_fit: bool) {
        self.push(Op::Dot { acc, a, b, pairs_fit });
    }

    /// acc += the products of four bytes each, those with a sign from memory.
    pub fn dot_load(&mut self, acc: Reg, a: Reg, from: Address) {
        self.push(Op::DotLoad { acc, a, from });
    }

    /// Two bytes of each lane as numbers of 16 bits.
    pub fn widen_bytes(&mut self, dst: Reg, src: Reg, bytes: BytesOfLane, is_signed: bool) {
        self.push(Op::WidenBytes { dst, src, bytes, is_signed });
    }

    /// dst = the lower or upper bytes of a and b in turn.
    pub fn zip(&mut self, dst: Reg, (a, b): (Reg, Reg), unit: Unit, is_upper: bool) {
        self.push(Op::Zip { dst, a, b, unit, is_upper });
    }

    /// dst = two times 16 bytes of a, then two of b.
    pub fn parts(&mut self, dst: Reg, (a, b): (Reg, Reg), order: [u8; 4]) {
        self.push(Op::Parts { dst, a, b, order });
    }

    /// dst = the numbers of a and of b in half as many bits.
    pub fn narrow(&mut self, dst: Reg, (a, b): (Reg, Reg), to: Narrowed) {
        self.push(Op::Narrow { dst, a, b, to });
    }

    /// [`Op::DotWords`].
    pub fn dot_words(&mut self, acc: Reg, a: [Reg; 2], from: [Address; 2]) {
        self.push(Op::DotWords { acc, a, from });
    }

    /// acc += the products of two numbers of 16 bits each.
    pub fn dot_pairs(&mut self, acc: Reg, a: Reg, b: Reg) {
        self.push(Op::DotPairs { acc, a, b });
    }

    /// The same, with factors from memory.
    pub fn dot_pairs_load(&mut self, acc: Reg, a: Reg, from: Address) {
        self.push(Op::DotPairsLoad { acc, a, from });
    }

    /// dst = src as f32
    pub fn to_float(&mut self, dst: Reg, src: Reg) {
        self.push(Op::ToFloat { dst, src });
    }

    /// dst = round(src) as an integer
    pub fn to_integer(&mut self, dst: Reg, src: Reg) {
        self.push(Op::ToInteger { dst, src });
    }

    /// Integers to memory as bytes.
    pub fn store_bytes(&mut self, src: Reg, to: Address, lanes: usize) {
        self.push(Op::StoreBytes { src, to, lanes: self.checked_lanes(lanes) });
    }

    /// The bits of each lane shifted left.
    pub fn shift_left(&mut self, dst: Reg, src: Reg, bits: u8) {
        self.push(Op::ShiftLeft { dst, src, bits });
    }

    /// Integers divided by a power of two, rounded down.
    pub fn shift_right(&mut self, dst: Reg, src: Reg, bits: u8) {
        self.push(Op::ShiftRight { dst, src, bits });
    }

    /// A whole vector to memory.
    pub fn store(&mut self, src: Reg, to: Address) {
        self.store_part(src, to, self.lanes);
    }

    /// The first `lanes` elements of a vector to memory.
    pub fn store_part(&mut self, src: Reg, to: Address, lanes: usize) {
        self.push(Op::Store { src, to, lanes: self.checked_lanes(lanes) });
    }

    /// dst = from + elements * 4 bytes
    pub fn set_pointer(&mut self, dst: Ptr, from: Ptr, elements: isize) {
        self.set_pointer_bytes(dst, from, elements * Dtype::F32.bytes() as isize);
    }

    /// dst = from + bytes
    pub fn set_pointer_bytes(&mut self, dst: Ptr, from: Ptr, bytes: isize) {
        self.push(Op::SetPointer { dst, from, bytes: bytes as i64 });
    }

    /// ptr += bytes
    pub fn advance_bytes(&mut self, ptr: Ptr, bytes: usize) {
        if bytes != 0 {
            self.push(Op::SetPointer { dst: ptr, from: ptr, bytes: bytes as i64 });
        }
    }

    /// ptr += elements * 4 bytes
    pub fn advance(&mut self, ptr: Ptr, elements: usize) {
        if elements != 0 {
            self.set_pointer(ptr, ptr, elements as isize);
        }
    }

    /// The body `count` times; nothing for 0, no loop for 1.
    pub fn repeat(&mut self, count: usize, body: impl FnOnce(&mut Builder)) {
        match count {
            0 => {}
            1 => body(self),
            _ => {
                self.bodies.push(Vec::new());
                body(self);
                let body = self.bodies.pop().expect("the loop's body is open");
                let count = u32::try_from(count).expect("a loop count fits 32 bits");
                self.push(Op::Loop { count, body });
            }
        }
    }

    /// The finished kernel.
    pub fn finish(mut self) -> Code {
        let body = self.bodies.pop().expect("the outermost body is open");
        assert!(self.bodies.is_empty(), "every loop is closed");
        Code {
            lanes: self.lanes,
            parameters: self.parameters,
            n_pointers: self.pointers.used.len(),
            n_registers: self.registers.used.len(),
            body,
        }
    }

    fn checked_lanes(&self, lanes: usize) -> u8 {
        assert!((1..=self.lanes).contains(&lanes), "a partial access covers 1 to {} lanes", self.lanes);
        lanes as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::X86_64_V3;

    #[test]
    fn registers_are_reused_lowest_first() {
        let mut b = Builder::new(&X86_64_V3);
        let first = b.registers(3);
        b.free([first[1]]);
        assert_eq!(b.register(), first[1]);
        assert_eq!(b.register(), Reg(3));
    }

    #[test]
    fn past_the_last_register_is_loud() {
        let result = std::panic::catch_unwind(|| Builder::new(&X86_64_V3).registers(17));
        assert!(result.is_err());
    }

    #[test]
    fn loops_of_one_and_none_leave_no_loop() {
        let mut b = Builder::new(&X86_64_V3);
        let r = b.register();
        b.repeat(0, |b| b.constant(r, 0.0));
        b.repeat(1, |b| b.constant(r, 1.0));
        b.repeat(2, |b| b.constant(r, 2.0));
        let code = b.finish();
        assert_eq!(code.body.len(), 2);
        assert!(matches!(&code.body[1], Op::Loop { count: 2, body } if body.len() == 1));
    }
}
