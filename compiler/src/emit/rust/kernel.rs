//! A kernel's [`Code`] as a function in Rust over any `mnc_runtime::simd::Registers`.

use std::fmt::Write as _;

use super::scope::{Node, scopes};
use crate::code::{Access, Address, Code, Op, Ptr};
use crate::graph::tensor::Dtype;

/// Writes the function under the given name, indented by two levels.
pub(super) fn kernel(out: &mut String, name: &str, doc: &str, code: &Code) {
    let parameters: Vec<String> = code
        .parameters
        .iter()
        .map(|parameter| {
            let access = match parameter.access {
                Access::Read => "const",
                Access::Write => "mut",
            };
            format!("{}: *{access} f32", parameter.name)
        })
        .collect();
    let mut writer = Writer { code, lines: Vec::new(), declared: Default::default(), depth: 5 };
    writer.block(&scopes(&code.body), &[]);
    let _ = writeln!(out, "        /// {doc}");
    let _ = writeln!(out, "        #[inline(never)]");
    let _ = writeln!(out, "        pub(crate) unsafe fn {name}<R: Registers>({}) {{", parameters.join(", "));
    let _ = writeln!(
        out,
        "            // SAFETY: each access lies inside of the buffers; the compiler's interpreter holds that."
    );
    let _ = writeln!(out, "            unsafe {{");
    let _ = writeln!(out, "                R::with(#[inline(always)] |r| {{");
    for Line { depth, text } in writer.lines {
        let _ = writeln!(out, "{:indent$}{text}", "", indent = depth * 4);
    }
    let _ = writeln!(out, "                }});");
    let _ = writeln!(out, "            }}");
    let _ = writeln!(out, "        }}");
}

struct Line {
    depth: usize,
    text: String,
}

struct Writer<'a> {
    code: &'a Code,
    lines: Vec<Line>,
    /// For each variable, the line of its innermost declaration so far.
    declared: std::collections::BTreeMap<Ptr, usize>,
    depth: usize,
}

impl Writer<'_> {
    /// A block; variables of `outer` are those of a block around it.
    fn block(&mut self, nodes: &[Node<'_>], outer: &[Ptr]) {
        for node in nodes {
            match node {
                Node::Op(op) => self.op(op, outer),
                Node::Loop { count, body, outer: written } => {
                    // What the loop leaves behind, or hands from round to round, has a declaration by now.
                    let all: Vec<Ptr> = written.iter().chain(outer).copied().collect();
                    for ptr in written {
                        self.ensure_declared(*ptr);
                    }
                    self.line(format!("for _ in 0..{count} {{"));
                    self.depth += 1;
                    let before = self.declared.clone();
                    self.block(body, &all);
                    self.declared = before;
                    self.depth -= 1;
                    self.line("}".to_owned());
                }
            }
        }
    }

    fn line(&mut self, text: String) {
        self.lines.push(Line { depth: self.depth, text });
    }

    /// Declares a variable that a loop is about to write, or marks its declaration as one that changes.
    fn ensure_declared(&mut self, ptr: Ptr) {
        if let Some(line) = self.declared.get(&ptr) {
            let text = &mut self.lines[*line].text;
            if !text.starts_with("let mut ") {
                *text = text.replacen("let ", "let mut ", 1);
            }
            return;
        }
        let pointer = self.pointer(ptr);
        self.declared.insert(ptr, self.lines.len());
        self.line(format!("let mut {pointer} = {pointer};"));
    }

    /// Sets a variable: a new one of this block, or one of a block around it.
    fn set(&mut self, ptr: Ptr, value: &str, outer: &[Ptr]) {
        let name = self.pointer(ptr);
        if outer.contains(&ptr) {
            self.line(format!("{name} = {value};"));
        } else {
            self.declared.insert(ptr, self.lines.len());
            self.line(format!("let {name} = {value};"));
        }
    }

    fn op(&mut self, op: &Op, outer: &[Ptr]) {
        let lanes_of = |lanes: u8| (usize::from(lanes) != self.code.lanes).then_some(lanes);
        let part = |lanes: u8| match lanes_of(lanes) {
            None => String::new(),
            Some(lanes) => format!("_part::<{lanes}>"),
        };
        let line = match *op {
            Op::Const { dst, value } if value.is_finite() => format!("r.constant({}, {value:?});", dst.0),
            // What is no number has no literal.
            Op::Const { dst, value } => {
                format!("r.constant({}, ::core::primitive::f32::from_bits({:#x}));", dst.0, value.to_bits())
            }
            Op::Copy { dst, src } => format!("r.copy({}, {});", dst.0, src.0),
            Op::Load { dst, from, lanes } => {
                format!("r.load{}({}, {});", part(lanes), dst.0, self.address(from))
            }
            Op::Splat { dst, from } => format!("r.splat({}, {});", dst.0, self.address(from)),
            Op::Fma { acc, a, b } => format!("r.fma({}, {}, {});", acc.0, a.0, b.0),
            Op::MulAdd { x, factor, addend } => format!("r.mul_add({}, {}, {});", x.0, factor.0, addend.0),
            Op::ConstInteger { dst, value } => format!("r.constant_integer({}, {value});", dst.0),
            Op::LoadBytes { dst, from, lanes } => {
                format!("r.load_bytes::<{lanes}>({}, {});", dst.0, self.byte_address(from))
            }
            Op::StoreBytes { src, to, lanes } => {
                format!("r.store_bytes::<{lanes}>({}, {});", src.0, self.byte_address(to))
            }
            Op::Dot { acc, a, b, pairs_fit } => {
                format!("r.dot::<{pairs_fit}>({}, {}, {});", acc.0, a.0, b.0)
            }
            Op::ToFloat { dst, src } => format!("r.to_float({}, {});", dst.0, src.0),
            Op::ToInteger { dst, src } => format!("r.to_integer({}, {});", dst.0, src.0),
            Op::ShiftRight { dst, src, bits } => format!("r.shift_right::<{bits}>({}, {});", dst.0, src.0),
            Op::FmaLane { .. }
            | Op::LoadTwice { .. }
            | Op::Join { .. }
            | Op::WidenBytes { .. }
            | Op::DotLoad { .. }
            | Op::DotWords { .. }
            | Op::LoadLanes { .. }
            | Op::ConstLanes { .. }
            | Op::Permute { .. }
            | Op::Zip { .. }
            | Op::Narrow { .. }
            | Op::Parts { .. }
            | Op::DotPairs { .. }
            | Op::DotPairsLoad { .. } => {
                unreachable!("this instruction set has no such operation, and says so")
            }
            Op::Binary { op, dst, a, b } => {
                format!("r.{}({}, {}, {});", op.mnemonic().replace(' ', "_"), dst.0, a.0, b.0)
            }
            Op::ShiftLeft { dst, src, bits } => format!("r.shift_left::<{bits}>({}, {});", dst.0, src.0),
            Op::Store { src, to, lanes } => {
                format!("r.store{}({}, {});", part(lanes), src.0, self.address(to))
            }
            Op::Prefetch { at } => format!("R::prefetch({});", self.address(at)),
            Op::SetPointer { dst, from, bytes } => {
                let value = self.offset(from, bytes);
                return self.set(dst, &value, outer);
            }
            Op::Heading(ref text) => format!("// {text}"),
            Op::Loop { .. } => unreachable!("a loop is a node of its own"),
        };
        self.line(line);
    }

    /// A parameter's name, or a number.
    fn pointer(&self, ptr: Ptr) -> String {
        match self.code.parameters.get(usize::from(ptr.0)) {
            Some(parameter) => parameter.name.to_owned(),
            None => ptr.to_string(),
        }
    }

    /// A pointer and a count of elements.
    fn address(&self, at: Address) -> String {
        assert!(0 <= at.offset && at.offset % 4 == 0, "an access lies whole elements behind its pointer");
        format!("{}, {}", self.pointer(at.ptr), at.offset / Dtype::F32.bytes() as i32)
    }

    /// A pointer and a count of bytes.
    fn byte_address(&self, at: Address) -> String {
        assert!(0 <= at.offset, "an access lies behind its pointer");
        format!("{}, {}", self.pointer(at.ptr), at.offset)
    }

    /// Pointers may point anywhere between accesses, so the arithmetic wraps. Only copies of bytes move by less than an element.
    fn offset(&self, ptr: Ptr, bytes: i64) -> String {
        let (pointer, element) = (self.pointer(ptr), Dtype::F32.bytes() as u64);
        let (of, count) = match bytes.unsigned_abs() {
            0 => return pointer,
            bytes if bytes.is_multiple_of(element) => ("", bytes / element),
            bytes => ("byte_", bytes),
        };
        let direction = if 0 < bytes { "add" } else { "sub" };
        format!("{pointer}.wrapping_{of}{direction}({count})")
    }
}
