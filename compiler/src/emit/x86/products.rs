//! Products of bytes: one instruction where the processor has dot products, else pairs of them in 16 bits where they fit, else of bytes
//! that are widened.

use iced_x86::{IcedError, Instruction};

use super::{Writer, memory};
use crate::code::{Address, BytesOfLane, Code, Op, Reg};

/// Two ones of 16 bits: pairs of products are added up by them.
const ONES: u32 = 0x0001_0001;
/// The even bytes.
const EVEN_BYTES: u32 = 0x00ff_00ff;

/// The word that an operation takes beside its operands while products are made; a kernel has one kind of them.
fn product_word(op: &Op) -> Option<u32> {
    match op {
        Op::Dot { .. } | Op::DotWords { .. } => Some(ONES),
        Op::WidenBytes { .. } => Some(EVEN_BYTES),
        _ => None,
    }
}

/// The word that a kernel's products take, in all lanes of a register; none where the processor has dot products.
pub(super) fn word_of(code: &Code, native_dot: bool) -> Option<u32> {
    let is_taken = |word: &u32| !native_dot && code.any(&|op| product_word(op) == Some(*word));
    let words: Vec<u32> = [ONES, EVEN_BYTES].into_iter().filter(is_taken).collect();
    assert!(words.len() <= 1, "a kernel makes products in one way");
    words.first().copied()
}

/// Where the second factor of products is.
pub(super) enum Factor {
    Register(Reg),
    Memory(Address),
}

impl Writer<'_> {
    /// The word that products take, before the first of them.
    pub(super) fn load_product_word(&mut self, code: &Code) -> Result<(), IcedError> {
        let Some(word) = word_of(code, self.native_dot) else { return Ok(()) };
        let [register] = self.spares().map(|register| self.vector(register));
        let at = self.constant_place(word);
        self.emit(Instruction::with2(self.forms.splat_memory, register, at)?)
    }

    /// Products of four bytes each; without an instruction for it, pairs of products that fit into 16 bits.
    pub(super) fn dot(&mut self, acc: Reg, a: Reg, b: Reg, pairs_fit: bool) -> Result<(), IcedError> {
        let forms = self.forms;
        let [acc, a, b] = [acc, a, b].map(|register| self.vector(register));
        if self.native_dot {
            return self.emit(Instruction::with3(forms.dot, acc, a, b)?);
        }
        assert!(pairs_fit, "where pairs don't fit, kernels widen bytes, as the instruction set says");
        let [product, ones] = self.spares().map(|register| self.vector(register));
        self.emit(Instruction::with3(forms.byte_pairs, product, a, b)?)?;
        self.emit(Instruction::with3(forms.pairs, product, product, ones)?)?;
        self.emit(Instruction::with3(forms.add_integers, acc, acc, product)?)
    }

    /// Products of twice four bytes each, whose pairs add up in 16 bits.
    pub(super) fn dot_words(&mut self, acc: Reg, a: [Reg; 2], from: [Address; 2]) -> Result<(), IcedError> {
        let forms = self.forms;
        let acc = self.vector(acc);
        let [other, product, ones] = self.spares().map(|register| self.vector(register));
        for (product, (a, from)) in [product, other].into_iter().zip(a.into_iter().zip(from)) {
            self.emit(Instruction::with3(forms.byte_pairs, product, self.vector(a), memory(from))?)?;
        }
        self.emit(Instruction::with3(forms.add_16, product, product, other)?)?;
        self.emit(Instruction::with3(forms.pairs, product, product, ones)?)?;
        self.emit(Instruction::with3(forms.add_integers, acc, acc, product)?)
    }

    pub(super) fn widen_bytes(
        &mut self,
        dst: Reg,
        src: Reg,
        bytes: BytesOfLane,
        is_signed: bool,
    ) -> Result<(), IcedError> {
        let forms = self.forms;
        let [mask] = self.spares();
        let [mask, dst, src] = [mask, dst, src].map(|register| self.vector(register));
        let right = if is_signed { forms.arithmetic_right_16 } else { forms.right_16 };
        match (bytes, is_signed) {
            (BytesOfLane::Odd, _) => self.emit(Instruction::with3(right, dst, src, 8u32)?),
            (BytesOfLane::Even, true) => {
                self.emit(Instruction::with3(forms.left_16, dst, src, 8u32)?)?;
                self.emit(Instruction::with3(right, dst, dst, 8u32)?)
            }
            (BytesOfLane::Even, false) => self.emit(Instruction::with3(forms.and, dst, src, mask)?),
        }
    }

    /// Products of two numbers of 16 bits each.
    pub(super) fn dot_pairs(&mut self, acc: Reg, a: Reg, b: Factor) -> Result<(), IcedError> {
        let forms = self.forms;
        let [product, _] = self.spares();
        let [product, acc, a] = [product, acc, a].map(|register| self.vector(register));
        self.emit(match b {
            Factor::Register(b) => Instruction::with3(forms.pairs, product, a, self.vector(b))?,
            Factor::Memory(from) => Instruction::with3(forms.pairs, product, a, memory(from))?,
        })?;
        self.emit(Instruction::with3(forms.add_integers, acc, acc, product)?)
    }

    /// Registers for products on their way, and as the last for the word of [`product_word`].
    fn spares<const N: usize>(&self) -> [Reg; N] {
        let spares = self.spare.last_chunk();
        *spares.expect("kernels over integers leave registers for products where there is no dot product")
    }
}
