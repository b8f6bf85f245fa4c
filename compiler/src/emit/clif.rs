//! Reader of [`Code`]: Cranelift IR, four lanes, for every target that Cranelift has.
//!
//! Vector registers and pointers of the kernel language become frontend variables, so that loops get their block parameters
//! from Cranelift's own SSA construction.

use cranelift_codegen::ir::condcodes::FloatCC;
use cranelift_codegen::ir::types::{F32, F32X4, I8, I8X16, I32, I32X4, I64};
use cranelift_codegen::ir::{ConstantData, Endianness, Function, InstBuilder, MemFlagsData, Value};
use cranelift_codegen::isa::TargetFrontendConfig;
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext, Variable};

use crate::code::{Address, Binary, Code, Op, Ptr, Reg};
use crate::graph::tensor::Dtype;
use crate::target::Isa;

/// Lanes of a Cranelift vector.
pub(super) const LANES: usize = 4;

/// 2^22: no number of this size or below loses a digit before the point when three times it is added.
pub(super) const MOST_INTEGER: f32 = 4_194_304.0;

/// Where functions are built, and for which target.
pub(super) struct Frontend {
    pub(super) context: FunctionBuilderContext,
    pub(super) config: TargetFrontendConfig,
}

/// Accesses that can't trap; the builder of kernels has checked them, but promises no alignment.
pub(super) fn memory() -> MemFlagsData {
    MemFlagsData::new().with_notrap()
}

/// Fills `func`, whose signature has a pointer for each parameter, with a kernel.
pub(super) fn kernel(frontend: &mut Frontend, func: &mut Function, code: &Code, isa: &Isa) {
    assert_eq!(code.lanes, LANES, "Cranelift's vectors have four lanes");
    let config = frontend.config;
    let mut b = FunctionBuilder::new(func, &mut frontend.context);
    let entry = b.create_block();
    b.append_block_params_for_function_params(entry);
    b.switch_to_block(entry);
    b.seal_block(entry);
    let arguments = b.block_params(entry).to_vec();

    let pointers: Vec<Variable> = (0..code.n_pointers).map(|_| b.declare_var(I64)).collect();
    let registers: Vec<Variable> = (0..code.n_registers).map(|_| b.declare_var(F32X4)).collect();
    for (pointer, argument) in pointers.iter().zip(arguments) {
        b.def_var(*pointer, argument);
    }
    let mut reader = KernelReader { b, pointers, registers, signed_dot: isa.signed_dot };
    reader.ops(&code.body);
    let mut b = reader.b;
    b.ins().return_(&[]);
    b.finalize(config);
}

struct KernelReader<'a> {
    b: FunctionBuilder<'a>,
    pointers: Vec<Variable>,
    registers: Vec<Variable>,
    signed_dot: bool,
}

impl KernelReader<'_> {
    fn ops(&mut self, ops: &[Op]) {
        ops.iter().for_each(|op| self.op(op));
    }

    fn op(&mut self, op: &Op) {
        match *op {
            Op::Const { dst, value } => {
                let scalar = self.b.ins().f32const(value);
                let vector = self.b.ins().splat(F32X4, scalar);
                self.set(dst, vector);
            }
            Op::Copy { dst, src } => {
                let value = self.get(src);
                self.set(dst, value);
            }
            Op::Load { dst, from, lanes } => {
                let value = self.load(from, lanes.into());
                self.set(dst, value);
            }
            Op::Splat { dst, from } => {
                let pointer = self.pointer(from.ptr);
                let scalar = self.b.ins().load(F32, memory(), pointer, from.offset);
                let vector = self.b.ins().splat(F32X4, scalar);
                self.set(dst, vector);
            }
            Op::Fma { acc, a, b } => {
                let (x, y, sum) = (self.get(a), self.get(b), self.get(acc));
                let value = self.b.ins().fma(x, y, sum);
                self.set(acc, value);
            }
            Op::MulAdd { x, factor, addend } => {
                let (number, factor, addend) = (self.get(x), self.get(factor), self.get(addend));
                let value = self.b.ins().fma(number, factor, addend);
                self.set(x, value);
            }
            Op::LoadTwice { .. } | Op::Join { .. } => {
                unreachable!("vectors of four lanes are never halved, and their instruction sets say so")
            }
            Op::Zip { .. }
            | Op::Narrow { .. }
            | Op::Parts { .. }
            | Op::ConstLanes { .. }
            | Op::Permute { .. }
            | Op::DotLoad { .. }
            | Op::DotWords { .. }
            | Op::LoadLanes { .. } => {
                unreachable!("no kernel zips or narrows bytes here, as the instruction sets say")
            }
            Op::WidenBytes { .. } | Op::DotPairs { .. } | Op::DotPairsLoad { .. } => {
                unreachable!("a dot product widens its bytes itself, and the instruction sets say so")
            }
            Op::FmaLane { acc, a, b, lane } => {
                let (x, y, sum) = (self.get(a), self.get(b), self.get(acc));
                let factor = self.broadcast_lane(y, lane);
                let value = self.b.ins().fma(x, factor, sum);
                self.set(acc, value);
            }
            Op::Binary { op, dst, a, b } => {
                let (x, y) = (self.get(a), self.get(b));
                let value = self.binary(op, x, y);
                self.set(dst, value);
            }
            Op::ConstInteger { dst, value } => {
                let scalar = self.b.ins().iconst(I32, i64::from(value as u32));
                let vector = self.b.ins().splat(I32X4, scalar);
                self.set_integers(dst, vector);
            }
            Op::LoadBytes { dst, from, lanes } => {
                let value = self.load_bytes(from, lanes.into());
                self.set_integers(dst, value);
            }
            Op::Dot { acc, a, b, .. } => {
                let value = self.dot(acc, a, b);
                self.set_integers(acc, value);
            }
            Op::ToFloat { dst, src } => {
                let value = self.integers(src);
                let value = self.b.ins().fcvt_from_sint(F32X4, value);
                self.set(dst, value);
            }
            Op::ToInteger { dst, src } => {
                let value = self.rounded(src);
                self.set_integers(dst, value);
            }
            Op::StoreBytes { src, to, lanes } => self.store_bytes(src, to, lanes.into()),
            Op::ShiftLeft { dst, src, bits } => {
                let value = self.get(src);
                let integers = self.b.ins().bitcast(I32X4, lane_order(), value);
                let shifted = self.b.ins().ishl_imm_u(integers, i64::from(bits));
                let value = self.b.ins().bitcast(F32X4, lane_order(), shifted);
                self.set(dst, value);
            }
            Op::ShiftRight { dst, src, bits } => {
                let value = self.integers(src);
                let value = self.b.ins().sshr_imm_u(value, i64::from(bits));
                self.set_integers(dst, value);
            }
            Op::Store { src, to, lanes } => self.store(src, to, lanes.into()),
            // Cranelift has no prefetch; a hint may be left out.
            Op::Prefetch { .. } | Op::Heading(_) => {}
            Op::SetPointer { dst, from, bytes } => {
                let pointer = self.pointer(from);
                let value = if bytes == 0 { pointer } else { self.b.ins().iadd_imm_s(pointer, bytes) };
                self.b.def_var(self.pointers[usize::from(dst.0)], value);
            }
            Op::Loop { count, ref body } => self.repeat(count, body),
        }
    }

    /// A counter from `count` down to zero.
    fn repeat(&mut self, count: u32, body: &[Op]) {
        let counter = self.b.declare_var(I64);
        let start = self.b.ins().iconst(I64, i64::from(count));
        self.b.def_var(counter, start);
        let (top, after) = (self.b.create_block(), self.b.create_block());
        self.b.ins().jump(top, &[]);
        self.b.switch_to_block(top);
        self.ops(body);
        let value = self.b.use_var(counter);
        let left = self.b.ins().iadd_imm_s(value, -1);
        self.b.def_var(counter, left);
        self.b.ins().brif(left, top, &[], after, &[]);
        self.b.seal_block(top);
        self.b.switch_to_block(after);
        self.b.seal_block(after);
    }

    fn binary(&mut self, op: Binary, x: Value, y: Value) -> Value {
        match op {
            Binary::Add => self.b.ins().fadd(x, y),
            Binary::Sub => self.b.ins().fsub(x, y),
            Binary::Mul => self.b.ins().fmul(x, y),
            Binary::Div => self.b.ins().fdiv(x, y),
            // `fmax` and `fmin` treat NaN and -0 otherwise. On x86-64 this pair of instructions becomes one `maxps`.
            Binary::Max => self.select_less(y, x, x, y),
            Binary::Min => self.select_less(x, y, x, y),
            Binary::AddIntegers | Binary::MulIntegers => {
                let [x, y] = [x, y].map(|value| self.b.ins().bitcast(I32X4, lane_order(), value));
                let is_sum = op == Binary::AddIntegers;
                let result = if is_sum { self.b.ins().iadd(x, y) } else { self.b.ins().imul(x, y) };
                self.b.ins().bitcast(F32X4, lane_order(), result)
            }
        }
    }

    /// smaller < larger ? yes : no, lane by lane.
    fn select_less(&mut self, smaller: Value, larger: Value, yes: Value, no: Value) -> Value {
        let mask = self.b.ins().fcmp(FloatCC::LessThan, smaller, larger);
        let mask = self.b.ins().bitcast(F32X4, lane_order(), mask);
        self.b.ins().bitselect(mask, yes, no)
    }

    /// One lane in all lanes, in the form that aarch64 folds into `fmla` by element.
    fn broadcast_lane(&mut self, vector: Value, lane: u8) -> Value {
        let bytes = self.b.ins().bitcast(I8X16, lane_order(), vector);
        let mask: Vec<u8> = (0..16).map(|byte| lane * 4 + byte % 4).collect();
        let mask = self.b.func.dfg.immediates.push(ConstantData::from(mask.as_slice()));
        let shuffled = self.b.ins().shuffle(bytes, bytes, mask);
        self.b.ins().bitcast(F32X4, lane_order(), shuffled)
    }

    fn load(&mut self, from: Address, lanes: usize) -> Value {
        let pointer = self.pointer(from.ptr);
        if lanes == LANES {
            return self.b.ins().load(F32X4, memory(), pointer, from.offset);
        }
        let zero = self.b.ins().f32const(0.0);
        let mut vector = self.b.ins().splat(F32X4, zero);
        for lane in 0..lanes {
            let element =
                self.b.ins().load(F32, memory(), pointer, from.offset + (lane * Dtype::F32.bytes()) as i32);
            vector = self.b.ins().insertlane(vector, element, lane as u8);
        }
        vector
    }

    fn store(&mut self, src: Reg, to: Address, lanes: usize) {
        let (value, pointer) = (self.get(src), self.pointer(to.ptr));
        if lanes == LANES {
            self.b.ins().store(memory(), value, pointer, to.offset);
            return;
        }
        for lane in 0..lanes {
            let element = self.b.ins().extractlane(value, lane as u8);
            self.b.ins().store(memory(), element, pointer, to.offset + (lane * Dtype::F32.bytes()) as i32);
        }
    }

    /// Rounded integers, those beyond 2^22 cut off there: a large number is added that leaves them in the low bits. Conversions of
    /// riscv64 round in a mode of their own, which stops qemu 7.2.
    fn rounded(&mut self, src: Reg) -> Value {
        let value = self.get(src);
        let mut constant = |value: f32| {
            let scalar = self.b.ins().f32const(value);
            self.b.ins().splat(F32X4, scalar)
        };
        let [least, most, magic] = [-MOST_INTEGER, MOST_INTEGER, 3.0 * MOST_INTEGER].map(&mut constant);
        let value = self.select_less(value, least, least, value);
        let value = self.select_less(most, value, most, value);
        let sum = self.b.ins().fadd(value, magic);
        let bits = self.b.ins().bitcast(I32X4, lane_order(), sum);
        let zero = self.b.ins().bitcast(I32X4, lane_order(), magic);
        self.b.ins().isub(bits, zero)
    }

    fn load_bytes(&mut self, from: Address, lanes: usize) -> Value {
        let pointer = self.pointer(from.ptr);
        let word = if lanes == LANES {
            let word = self.b.ins().load(I32, memory(), pointer, from.offset);
            self.b.ins().scalar_to_vector(I32X4, word)
        } else {
            let zero = self.b.ins().iconst(I32, 0);
            let word = (0..lanes).fold(zero, |word, lane| {
                let byte = self.b.ins().uload8(I32, memory(), pointer, from.offset + lane as i32);
                let byte = self.b.ins().ishl_imm_u(byte, lane as i64 * 8);
                self.b.ins().bor(word, byte)
            });
            self.b.ins().scalar_to_vector(I32X4, word)
        };
        let bytes = self.b.ins().bitcast(I8X16, lane_order(), word);
        let halves = self.b.ins().uwiden_low(bytes);
        self.b.ins().uwiden_low(halves)
    }

    /// Four products of each lane.
    fn dot(&mut self, acc: Reg, a: Reg, b: Reg) -> Value {
        let [a, b] = [a, b].map(|register| {
            let value = self.get(register);
            self.b.ins().bitcast(I8X16, lane_order(), value)
        });
        let sum = self.integers(acc);
        if !self.signed_dot {
            let low = (self.b.ins().uwiden_low(a), self.b.ins().swiden_low(b));
            let high = (self.b.ins().uwiden_high(a), self.b.ins().swiden_high(b));
            return self.add_products(sum, [low, high]);
        }
        // a b = (a mod 128) b + (-128) (-b) where a's upper bit is set: as bytes with a sign, that bit is -128, and b has an opposite.
        let [lower, upper] = [0x7f, 0x80].map(|bits| {
            let bits = self.b.ins().iconst(I8, bits);
            let bits = self.b.ins().splat(I8X16, bits);
            self.b.ins().band(a, bits)
        });
        let opposite = self.b.ins().ineg(b);
        [(lower, b), (upper, opposite)].into_iter().fold(sum, |sum, (a, b)| {
            let low = (self.b.ins().swiden_low(a), self.b.ins().swiden_low(b));
            let high = (self.b.ins().swiden_high(a), self.b.ins().swiden_high(b));
            self.add_products(sum, [low, high])
        })
    }

    /// Products of 16 bits, which those of a byte and one with a sign have, and sums of 32. Of these operations in this order Cranelift
    /// makes one `usdot`, or `sdot`, where the processor has it: a test holds that.
    fn add_products(&mut self, sum: Value, halves: [(Value, Value); 2]) -> Value {
        let [low, high] = halves.map(|(a, b)| {
            let products = self.b.ins().imul(a, b);
            let (first, second) = (self.b.ins().swiden_low(products), self.b.ins().swiden_high(products));
            self.b.ins().iadd_pairwise(first, second)
        });
        let products = self.b.ins().iadd_pairwise(low, high);
        self.b.ins().iadd(products, sum)
    }

    fn store_bytes(&mut self, src: Reg, to: Address, lanes: usize) {
        let (value, pointer) = (self.integers(src), self.pointer(to.ptr));
        // To 16 bits with a sign, then to 8 without: between 0 and 255 in both steps.
        let halves = self.b.ins().snarrow(value, value);
        let bytes = self.b.ins().unarrow(halves, halves);
        let words = self.b.ins().bitcast(I32X4, lane_order(), bytes);
        let word = self.b.ins().extractlane(words, 0);
        if lanes == LANES {
            self.b.ins().store(memory(), word, pointer, to.offset);
            return;
        }
        for lane in 0..lanes {
            let byte = self.b.ins().ushr_imm_u(word, lane as i64 * 8);
            self.b.ins().istore8(memory(), byte, pointer, to.offset + lane as i32);
        }
    }

    /// A register as integers.
    fn integers(&mut self, register: Reg) -> Value {
        let value = self.get(register);
        self.b.ins().bitcast(I32X4, lane_order(), value)
    }

    fn set_integers(&mut self, register: Reg, value: Value) {
        let value = self.b.ins().bitcast(F32X4, lane_order(), value);
        self.set(register, value);
    }

    fn get(&mut self, register: Reg) -> Value {
        self.b.use_var(self.registers[usize::from(register.0)])
    }

    fn set(&mut self, register: Reg, value: Value) {
        self.b.def_var(self.registers[usize::from(register.0)], value);
    }

    fn pointer(&mut self, ptr: Ptr) -> Value {
        self.b.use_var(self.pointers[usize::from(ptr.0)])
    }
}

/// How a cast between vectors of different lanes sees its bytes.
pub(super) fn lane_order() -> MemFlagsData {
    MemFlagsData::new().with_endianness(Endianness::Little)
}
