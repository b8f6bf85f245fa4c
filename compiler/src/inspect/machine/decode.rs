//! Bytes -> steps: what an instruction means to the walk, or why it is refused. Each address is decoded once.

use iced_x86::{
    ConditionCode, Formatter as _, Instruction, IntelFormatter, OpKind, Register, RoundingControl,
};

use super::super::image::{Image, Relocated};
use super::instructions::{Form, form};
use super::value::Value;

/// Where a value comes from or goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operand {
    General(u8),
    Vector(u8),
    Mask(u8),
    Immediate(u64),
    Memory,
    Nothing,
}

/// Which elements are touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mask {
    All,
    /// Those of this mask register.
    Register(u8),
    /// Those whose sign is set in this vector.
    Vector(u8),
}

/// A memory operand.
#[derive(Clone, Copy, Debug)]
pub(super) struct Memory {
    /// What it counts from without its registers: 0, or a place of the image.
    pub(super) start: Value,
    pub(super) base: Option<u8>,
    pub(super) index: Option<(u8, u8)>,
    pub(super) bytes: u16,
    /// Of one element, of which a mask has a bit.
    pub(super) element_bytes: u16,
    pub(super) reads: bool,
    pub(super) writes: bool,
    pub(super) mask: Mask,
}

/// An instruction as the walk takes it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    pub(super) next: u64,
    pub(super) form: Form,
    pub(super) to: Operand,
    pub(super) from: Operand,
    pub(super) third: Operand,
    /// Of the first operand, and of the second.
    pub(super) bits: u16,
    pub(super) from_bits: u16,
    pub(super) condition: ConditionCode,
    /// Of direct jumps and calls.
    pub(super) target: u64,
    pub(super) memory: Option<Memory>,
    /// Of the halves of a vector: the upper one.
    pub(super) is_upper: bool,
}

/// Decodes the image's code where the walk comes by.
pub(super) struct Decoder<'a> {
    image: &'a Image<'a>,
    steps: Vec<Step>,
    /// For each byte of the code, the step that begins there, plus one.
    known: Vec<u32>,
}

impl<'a> Decoder<'a> {
    pub(super) fn new(image: &'a Image<'a>) -> Decoder<'a> {
        Decoder { image, steps: Vec::new(), known: vec![0; image.code().bytes.len()] }
    }

    /// The instruction at a place of the code.
    pub(super) fn step(&mut self, ip: u64) -> Result<&Step, String> {
        let code = self.image.code();
        let offset = ip.checked_sub(code.start).filter(|offset| *offset < code.bytes.len() as u64);
        let offset = offset.ok_or_else(|| format!("{ip:#x} isn't code"))? as usize;
        if self.known[offset] == 0 {
            let step = self.decode(ip, offset).map_err(|fault| format!("{}: {fault}", self.text(ip)))?;
            self.steps.push(step);
            self.known[offset] = self.steps.len() as u32;
        }
        Ok(&self.steps[self.known[offset] as usize - 1])
    }

    /// The place and the instruction, for messages.
    pub(super) fn text(&self, ip: u64) -> String {
        let code = self.image.code();
        let mut text = format!("{ip:#x} ");
        if let Some(bytes) = code.bytes.get(ip.wrapping_sub(code.start) as usize..) {
            let instruction = iced_x86::Decoder::with_ip(64, bytes, ip, 0).decode();
            IntelFormatter::new().format(&instruction, &mut text);
        }
        text
    }

    fn decode(&self, ip: u64, offset: usize) -> Result<Step, String> {
        let bytes = &self.image.code().bytes[offset..];
        let mut decoder = iced_x86::Decoder::with_ip(64, bytes, ip, 0);
        let i = decoder.decode();
        if i.is_invalid() {
            return Err("these bytes are no instruction".to_owned());
        }
        let constants = decoder.get_constant_offsets(&i);
        let place = |has: bool, at: usize, size: usize| (has && size == 4).then_some(ip + at as u64);
        let fields = [
            place(
                constants.has_displacement(),
                constants.displacement_offset(),
                constants.displacement_size(),
            ),
            place(constants.has_immediate(), constants.immediate_offset(), constants.immediate_size()),
        ];
        self.translate(&i, &bytes[..i.len()], fields)
    }

    /// `fields` are the places of the instruction's displacement and of its constant, if they have 32 bits.
    fn translate(&self, i: &Instruction, bytes: &[u8], fields: [Option<u64>; 2]) -> Result<Step, String> {
        let form = form(i).ok_or("an instruction that a network has no use for")?;
        check_prefixes(i, bytes)?;
        let [displacement, constant] = fields;
        let relocated = self.image.relocated_within(i.ip(), i.next_ip())?;
        let explicit = (0..i.op_count()).find(|op| i.op_kind(*op) == OpKind::Memory);
        let is_relative = explicit.is_some() && i.memory_base() == Register::RIP;
        let memory_field = relocated.filter(|(at, _)| is_relative && displacement == Some(*at));
        let is_branch = i.op0_kind() == OpKind::NearBranch64;
        let branch_field = relocated.filter(|(at, _)| is_branch && constant == Some(*at));
        if relocated.is_some() && memory_field.is_none() && branch_field.is_none() {
            return Err("a relocation that is no address of its own".to_owned());
        }
        let memory = match explicit {
            Some(op) => Some(self.memory(i, (form, op), memory_field)?),
            None => None,
        };
        let target = match branch_field {
            _ if !is_branch => 0,
            Some((at, Relocated::Place(value))) => {
                let value = value.add(Value::number(i.next_ip().wrapping_sub(at)));
                self.image.code_place(value).ok_or("a jump to what isn't code")?
            }
            Some((_, Relocated::Slot(_))) => return Err("a jump to a slot of addresses".to_owned()),
            None => i.near_branch64(),
        };
        let (to, from, third) = (operand(i, 0)?, operand(i, 1)?, operand(i, 2)?);
        Ok(Step {
            next: i.next_ip(),
            form,
            to,
            from,
            third,
            bits: bits(i, 0),
            from_bits: bits(i, 1),
            condition: i.condition_code(),
            target,
            memory,
            is_upper: form == Form::Insert128 && i.immediate(3) & 1 == 1,
        })
    }

    fn memory(
        &self,
        i: &Instruction,
        (form, op): (Form, u32),
        field: Option<(u64, Relocated)>,
    ) -> Result<Memory, String> {
        let register = |register: Register| match register {
            Register::None | Register::RIP => Ok(None),
            register if register.is_gpr64() => Ok(Some(register.number() as u8)),
            _ => Err("an address that isn't made of 64-bit registers".to_owned()),
        };
        let displacement = i.memory_displacement64();
        let start = match field {
            Some((at, Relocated::Place(value))) => value.add(Value::number(i.next_ip().wrapping_sub(at))),
            Some((_, Relocated::Slot(slot))) if form == Form::Move && op == 1 => slot,
            Some((_, Relocated::Slot(_))) => return Err("a slot of addresses that isn't loaded".to_owned()),
            // For these operands this is the address itself.
            None if i.memory_base() == Register::RIP => Value::at(self.image.code().origin, displacement),
            None => Value::number(displacement),
        };
        let index = register(i.memory_index())?.map(|index| (index, i.memory_index_scale() as u8));
        let mask = match (form, i.op_mask()) {
            (Form::MaskedLoad | Form::MaskedStore, _) => Mask::Vector(i.op1_register().number() as u8),
            (_, Register::None) => Mask::All,
            (_, mask) => Mask::Register(mask.number() as u8),
        };
        let reads_only = matches!(
            form,
            Form::Compare | Form::Test | Form::JumpTo | Form::CallTo | Form::Push | Form::LoadControl
        );
        let writes_only = matches!(
            form,
            Form::Move | Form::Vector | Form::MaskedVector | Form::MaskedStore | Form::SaveControl
        );
        let is_access = !matches!(form, Form::Lea | Form::Prefetch | Form::Nothing);
        Ok(Memory {
            start,
            base: register(i.memory_base())?,
            index,
            bytes: if is_access { i.memory_size().size() as u16 } else { 0 },
            element_bytes: i.memory_size().element_size() as u16,
            reads: is_access && (op != 0 || !writes_only),
            writes: is_access && op == 0 && !reads_only,
            mask,
        })
    }
}

/// Prefixes that are no part of the instruction itself, in any of the forms that there are.
fn check_prefixes(i: &Instruction, bytes: &[u8]) -> Result<(), String> {
    let legacy = |byte: &u8| matches!(byte, 0x26 | 0x2e | 0x36 | 0x3e | 0x64..=0x67 | 0xf0 | 0xf2 | 0xf3);
    let n_prefixes = bytes.iter().take_while(|byte| legacy(byte)).count();
    let own: &[u8] = match i.code() {
        iced_x86::Code::Movdqu_xmm_xmmm128 | iced_x86::Code::Movdqu_xmmm128_xmm => &[0xf3],
        iced_x86::Code::Movdqa_xmm_xmmm128
        | iced_x86::Code::Movapd_xmm_xmmm128
        | iced_x86::Code::Pxor_xmm_xmmm128 => &[0x66],
        _ => &[],
    };
    if bytes[..n_prefixes] != *own {
        return Err("a prefix that a network has no use for".to_owned());
    }
    let form = form(i);
    let is_masked = i.op_mask() != Register::None;
    if (is_masked && form != Some(Form::MaskedVector))
        || i.rounding_control() != RoundingControl::None
        || i.suppress_all_exceptions()
        || (i.is_broadcast() && form != Some(Form::Broadcast32))
    {
        return Err("a mask, a rounding or a broadcast that a network has no use for".to_owned());
    }
    Ok(())
}

fn operand(i: &Instruction, op: u32) -> Result<Operand, String> {
    if i.op_count() <= op {
        return Ok(Operand::Nothing);
    }
    let register = i.op_register(op);
    Ok(match i.op_kind(op) {
        OpKind::Register if matches!(register, Register::AH | Register::BH | Register::CH | Register::DH) => {
            return Err("the second byte of a register".to_owned());
        }
        OpKind::Register if register.is_gpr() => Operand::General(register.full_register().number() as u8),
        OpKind::Register if register.is_vector_register() => Operand::Vector(register.number() as u8),
        OpKind::Register if register.is_k() => Operand::Mask(register.number() as u8),
        OpKind::Register => return Err("a register that a network has no use for".to_owned()),
        OpKind::Memory => Operand::Memory,
        OpKind::NearBranch64 => Operand::Nothing,
        _ => Operand::Immediate(
            i.try_immediate(op).map_err(|_| "an operand that isn't understood".to_owned())?,
        ),
    })
}

fn bits(i: &Instruction, op: u32) -> u16 {
    if i.op_count() <= op {
        return 0;
    }
    match i.op_kind(op) {
        OpKind::Register => i.op_register(op).size() as u16 * 8,
        OpKind::Memory => i.memory_size().size() as u16 * 8,
        _ => 64,
    }
}
