//! The instructions that the walk understands, each with what it does. Everything else is refused.
//!
//! They are those of our own objects, all back ends together, and their nearest relations; each has been held against a processor
//! (`tests/tests/machine.rs`). An entry here promises: no register, flag or byte of memory is written, and none is read,
//! beyond what its form says.

use iced_x86::{Code, ConditionCode, Instruction, OpKind};

/// What an instruction does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// The first operand becomes the second.
    Move,
    ZeroExtend,
    SignExtend,
    /// The first operand becomes the address of the second.
    Lea,
    Add,
    Subtract,
    And,
    Or,
    Xor,
    /// Flags of a difference.
    Compare,
    /// Flags of a conjunction.
    Test,
    Increment,
    Decrement,
    Negate,
    Not,
    ShiftLeft,
    ShiftRight,
    ShiftArithmetic,
    /// Without flags, the third operand says how far.
    RotateRight,
    /// The first operand times the second.
    Multiply,
    /// The second operand times the third.
    MultiplyBy,
    SetIf,
    MoveIf,
    Jump,
    JumpTo,
    JumpIf,
    Call,
    CallTo,
    Return,
    Push,
    Pop,
    /// Asks the processor: eax, ebx, ecx, edx are unknown afterwards.
    Cpuid,
    /// Asks the processor: eax, edx.
    Xgetbv,
    /// Orders accesses, or nothing at all.
    Nothing,
    /// Touches no memory as far as anybody can tell.
    Prefetch,
    SaveControl,
    LoadControl,
    /// The upper halves of all vectors become zero.
    ZeroUpper,
    /// Writes a vector, a general register or the memory that is its first operand; reads vectors, general registers, the memory of
    /// another operand. Memory is as long as the form says, and what is written there unknown.
    Vector,
    /// The same of memory that must be aligned: between registers only.
    VectorOfRegisters,
    /// A vector of which the memory operand may be one element for all.
    Broadcast32,
    /// A comparison of a vector with itself, among others: all bits set.
    Equal32,
    /// Bytes of a vector of 16 move down.
    ShiftBytes,
    /// The upper or lower half of a vector of 32 bytes is replaced.
    Insert128,
    /// Elements of 4 bytes, those whose sign is set in the vector that is the middle operand.
    MaskedLoad,
    MaskedStore,
    /// Elements in memory, those of a mask register if there is one: a bit for each, whatever its size.
    MaskedVector,
    /// A mask register becomes the lower 16 bits of a general one.
    MoveMask,
}

/// What the instruction does, if it is on the list.
pub(super) fn form(i: &Instruction) -> Option<Form> {
    let form = general(i).or_else(|| vector(i.code()))?;
    let has_memory = (0..i.op_count()).any(|op| i.op_kind(op) == OpKind::Memory);
    // SetCC and Pop to memory, stack-relative jumps and calls: we have no use for them.
    let only_registers = matches!(form, Form::VectorOfRegisters | Form::Pop | Form::SetIf);
    (!(only_registers && has_memory)).then_some(form)
}

fn general(i: &Instruction) -> Option<Form> {
    use Code as C;
    let code = i.code();
    if code.is_jcc_short_or_near() && i.op0_kind() == OpKind::NearBranch64 {
        return Some(Form::JumpIf);
    }
    if i.condition_code() != ConditionCode::None && is_conditional_move(code) {
        return Some(Form::MoveIf);
    }
    if i.condition_code() != ConditionCode::None && is_conditional_set(code) {
        return Some(Form::SetIf);
    }
    Some(match code {
        C::Mov_r32_rm32
        | C::Mov_rm32_r32
        | C::Mov_r64_rm64
        | C::Mov_rm64_r64
        | C::Mov_r32_imm32
        | C::Mov_r64_imm64
        | C::Mov_rm32_imm32
        | C::Mov_rm64_imm32
        | C::Mov_rm8_r8 => Form::Move,
        C::Movzx_r32_rm8 | C::Movzx_r64_rm8 | C::Movzx_r32_rm16 | C::Movzx_r64_rm16 => Form::ZeroExtend,
        C::Movsx_r32_rm8 | C::Movsx_r64_rm8 | C::Movsx_r32_rm16 | C::Movsx_r64_rm16 | C::Movsxd_r64_rm32 => {
            Form::SignExtend
        }
        C::Lea_r32_m | C::Lea_r64_m => Form::Lea,
        C::Add_rm32_r32
        | C::Add_rm64_r64
        | C::Add_r32_rm32
        | C::Add_r64_rm64
        | C::Add_EAX_imm32
        | C::Add_RAX_imm32
        | C::Add_rm32_imm32
        | C::Add_rm64_imm32
        | C::Add_rm32_imm8
        | C::Add_rm64_imm8 => Form::Add,
        C::Sub_rm32_r32
        | C::Sub_rm64_r64
        | C::Sub_r32_rm32
        | C::Sub_r64_rm64
        | C::Sub_EAX_imm32
        | C::Sub_RAX_imm32
        | C::Sub_rm32_imm32
        | C::Sub_rm64_imm32
        | C::Sub_rm32_imm8
        | C::Sub_rm64_imm8 => Form::Subtract,
        C::And_rm32_r32
        | C::And_rm64_r64
        | C::And_r32_rm32
        | C::And_r64_rm64
        | C::And_EAX_imm32
        | C::And_RAX_imm32
        | C::And_rm32_imm32
        | C::And_rm64_imm32
        | C::And_rm32_imm8
        | C::And_rm64_imm8 => Form::And,
        C::Or_rm32_r32
        | C::Or_rm64_r64
        | C::Or_r32_rm32
        | C::Or_r64_rm64
        | C::Or_EAX_imm32
        | C::Or_RAX_imm32
        | C::Or_rm32_imm32
        | C::Or_rm64_imm32
        | C::Or_rm32_imm8
        | C::Or_rm64_imm8 => Form::Or,
        C::Xor_rm32_r32
        | C::Xor_rm64_r64
        | C::Xor_r32_rm32
        | C::Xor_r64_rm64
        | C::Xor_EAX_imm32
        | C::Xor_RAX_imm32
        | C::Xor_rm32_imm32
        | C::Xor_rm64_imm32
        | C::Xor_rm32_imm8
        | C::Xor_rm64_imm8 => Form::Xor,
        C::Cmp_rm8_r8
        | C::Cmp_r8_rm8
        | C::Cmp_AL_imm8
        | C::Cmp_rm8_imm8
        | C::Cmp_rm32_r32
        | C::Cmp_rm64_r64
        | C::Cmp_r32_rm32
        | C::Cmp_r64_rm64
        | C::Cmp_EAX_imm32
        | C::Cmp_RAX_imm32
        | C::Cmp_rm32_imm32
        | C::Cmp_rm64_imm32
        | C::Cmp_rm32_imm8
        | C::Cmp_rm64_imm8 => Form::Compare,
        C::Test_rm8_r8
        | C::Test_rm32_r32
        | C::Test_rm64_r64
        | C::Test_AL_imm8
        | C::Test_EAX_imm32
        | C::Test_RAX_imm32
        | C::Test_rm8_imm8
        | C::Test_rm32_imm32
        | C::Test_rm64_imm32 => Form::Test,
        C::Inc_rm32 | C::Inc_rm64 => Form::Increment,
        C::Dec_rm32 | C::Dec_rm64 => Form::Decrement,
        C::Neg_rm32 | C::Neg_rm64 => Form::Negate,
        C::Not_rm32 | C::Not_rm64 => Form::Not,
        C::Shl_rm32_imm8
        | C::Shl_rm64_imm8
        | C::Shl_rm32_1
        | C::Shl_rm64_1
        | C::Shl_rm32_CL
        | C::Shl_rm64_CL => Form::ShiftLeft,
        C::Shr_rm32_imm8
        | C::Shr_rm64_imm8
        | C::Shr_rm32_1
        | C::Shr_rm64_1
        | C::Shr_rm32_CL
        | C::Shr_rm64_CL => Form::ShiftRight,
        C::Sar_rm32_imm8
        | C::Sar_rm64_imm8
        | C::Sar_rm32_1
        | C::Sar_rm64_1
        | C::Sar_rm32_CL
        | C::Sar_rm64_CL => Form::ShiftArithmetic,
        C::VEX_Rorx_r32_rm32_imm8 | C::VEX_Rorx_r64_rm64_imm8 => Form::RotateRight,
        C::Imul_r32_rm32 | C::Imul_r64_rm64 => Form::Multiply,
        C::Imul_r32_rm32_imm8 | C::Imul_r64_rm64_imm8 | C::Imul_r32_rm32_imm32 | C::Imul_r64_rm64_imm32 => {
            Form::MultiplyBy
        }
        C::Jmp_rel8_64 | C::Jmp_rel32_64 => Form::Jump,
        C::Jmp_rm64 => Form::JumpTo,
        C::Call_rel32_64 => Form::Call,
        C::Call_rm64 => Form::CallTo,
        C::Retnq => Form::Return,
        C::Push_r64 | C::Push_rm64 | C::Pushq_imm8 | C::Pushq_imm32 => Form::Push,
        C::Pop_r64 => Form::Pop,
        C::Cpuid => Form::Cpuid,
        C::Xgetbv => Form::Xgetbv,
        C::Mfence | C::Nopd | C::Nop_rm32 => Form::Nothing,
        C::Prefetcht0_m8 | C::Prefetcht1_m8 | C::Prefetcht2_m8 | C::Prefetchnta_m8 => Form::Prefetch,
        C::Stmxcsr_m32 | C::VEX_Vstmxcsr_m32 => Form::SaveControl,
        C::Ldmxcsr_m32 | C::VEX_Vldmxcsr_m32 => Form::LoadControl,
        _ => return None,
    })
}

fn vector(code: Code) -> Option<Form> {
    use Code as C;
    Some(match code {
        C::VEX_Vzeroupper => Form::ZeroUpper,
        C::VEX_Kmovw_kr_r32 => Form::MoveMask,
        C::VEX_Vpcmpeqd_xmm_xmm_xmmm128 => Form::Equal32,
        C::VEX_Vpsrldq_xmm_xmm_imm8 => Form::ShiftBytes,
        C::VEX_Vinserti128_ymm_ymm_xmmm128_imm8 => Form::Insert128,
        C::VEX_Vmaskmovps_ymm_ymm_m256 => Form::MaskedLoad,
        C::VEX_Vmaskmovps_m256_ymm_ymm => Form::MaskedStore,
        C::EVEX_Vmovups_zmm_k1z_zmmm512
        | C::EVEX_Vmovups_ymm_k1z_ymmm256
        | C::EVEX_Vmovups_ymmm256_k1z_ymm
        | C::EVEX_Vmovups_zmmm512_k1z_zmm
        | C::EVEX_Vpmovzxbd_zmm_k1z_xmmm128
        | C::EVEX_Vpmovusdb_xmmm128_k1z_zmm => Form::MaskedVector,
        C::EVEX_Vpmaxsd_zmm_k1z_zmm_zmmm512b32 => Form::Broadcast32,
        // Memory must be aligned to their size, or else they stop the program.
        C::Movdqa_xmm_xmmm128
        | C::Movaps_xmm_xmmm128
        | C::Movapd_xmm_xmmm128
        | C::Xorps_xmm_xmmm128
        | C::Pxor_xmm_xmmm128
        | C::VEX_Vmovaps_xmm_xmmm128
        | C::VEX_Vmovaps_ymm_ymmm256
        | C::VEX_Vmovdqa_xmm_xmmm128
        | C::VEX_Vmovdqa_ymm_ymmm256
        | C::EVEX_Vmovaps_zmm_k1z_zmmm512 => Form::VectorOfRegisters,
        // Moves.
        C::Movdqu_xmm_xmmm128
        | C::Movdqu_xmmm128_xmm
        | C::Movups_xmm_xmmm128
        | C::Movups_xmmm128_xmm
        | C::VEX_Vmovups_xmm_xmmm128
        | C::VEX_Vmovups_xmmm128_xmm
        | C::VEX_Vmovups_ymm_ymmm256
        | C::VEX_Vmovups_ymmm256_ymm
        | C::VEX_Vmovdqu_xmm_xmmm128
        | C::VEX_Vmovdqu_xmmm128_xmm
        | C::VEX_Vmovdqu_ymm_ymmm256
        | C::VEX_Vmovdqu_ymmm256_ymm
        | C::VEX_Vmovss_xmm_m32
        | C::VEX_Vmovss_m32_xmm
        | C::VEX_Vmovss_xmm_xmm_xmm
        | C::VEX_Vmovsd_xmm_m64
        | C::VEX_Vmovsd_m64_xmm
        | C::VEX_Vmovd_xmm_rm32
        | C::VEX_Vmovd_rm32_xmm
        | C::VEX_Vmovq_xmm_rm64
        | C::VEX_Vmovq_rm64_xmm
        | C::VEX_Vmovq_xmm_xmmm64
        | C::VEX_Vmovq_xmmm64_xmm
        | C::VEX_Vpinsrb_xmm_xmm_r32m8_imm8
        | C::VEX_Vpinsrd_xmm_xmm_rm32_imm8
        | C::VEX_Vpextrb_r32m8_xmm_imm8
        | C::VEX_Vpextrd_rm32_xmm_imm8
        | C::VEX_Vbroadcastss_xmm_m32
        | C::VEX_Vbroadcastss_ymm_m32
        | C::VEX_Vbroadcastss_xmm_xmm
        | C::VEX_Vbroadcastss_ymm_xmm
        | C::EVEX_Vbroadcastss_zmm_k1z_xmmm32
        | C::EVEX_Vbroadcastf32x8_zmm_k1z_m256
        | C::EVEX_Vshuff32x4_zmm_k1z_zmm_zmmm512b32_imm8
        | C::VEX_Vinsertps_xmm_xmm_xmmm32_imm8
        | C::VEX_Vpshufd_xmm_xmmm128_imm8
        | C::VEX_Vshufps_xmm_xmm_xmmm128_imm8
        | C::VEX_Vunpcklps_xmm_xmm_xmmm128
        | C::VEX_Vpbroadcastd_xmm_xmmm32
        | C::VEX_Vpalignr_xmm_xmm_xmmm128_imm8
        | C::VEX_Vpunpckhbw_xmm_xmm_xmmm128
        | C::VEX_Vpblendvb_xmm_xmm_xmmm128_xmm
        | C::VEX_Vmovlhps_xmm_xmm_xmm
        | C::VEX_Vmovhlps_xmm_xmm_xmm => Form::Vector,
        // Arithmetic.
        C::VEX_Vaddps_xmm_xmm_xmmm128
        | C::VEX_Vaddps_ymm_ymm_ymmm256
        | C::VEX_Vaddss_xmm_xmm_xmmm32
        | C::EVEX_Vaddps_zmm_k1z_zmm_zmmm512b32_er
        | C::VEX_Vsubps_xmm_xmm_xmmm128
        | C::VEX_Vsubps_ymm_ymm_ymmm256
        | C::VEX_Vsubss_xmm_xmm_xmmm32
        | C::EVEX_Vsubps_zmm_k1z_zmm_zmmm512b32_er
        | C::VEX_Vmulps_xmm_xmm_xmmm128
        | C::VEX_Vmulps_ymm_ymm_ymmm256
        | C::VEX_Vmulss_xmm_xmm_xmmm32
        | C::EVEX_Vmulps_zmm_k1z_zmm_zmmm512b32_er
        | C::VEX_Vdivps_xmm_xmm_xmmm128
        | C::VEX_Vdivps_ymm_ymm_ymmm256
        | C::VEX_Vdivss_xmm_xmm_xmmm32
        | C::EVEX_Vdivps_zmm_k1z_zmm_zmmm512b32_er
        | C::VEX_Vmaxps_xmm_xmm_xmmm128
        | C::VEX_Vmaxps_ymm_ymm_ymmm256
        | C::VEX_Vmaxss_xmm_xmm_xmmm32
        | C::EVEX_Vmaxps_zmm_k1z_zmm_zmmm512b32_sae
        | C::VEX_Vminps_xmm_xmm_xmmm128
        | C::VEX_Vminps_ymm_ymm_ymmm256
        | C::VEX_Vminss_xmm_xmm_xmmm32
        | C::EVEX_Vminps_zmm_k1z_zmm_zmmm512b32_sae
        | C::VEX_Vfmadd132ps_xmm_xmm_xmmm128
        | C::VEX_Vfmadd213ps_xmm_xmm_xmmm128
        | C::VEX_Vfmadd231ps_xmm_xmm_xmmm128
        | C::VEX_Vfmadd132ps_ymm_ymm_ymmm256
        | C::VEX_Vfmadd213ps_ymm_ymm_ymmm256
        | C::VEX_Vfmadd231ps_ymm_ymm_ymmm256
        | C::VEX_Vfmadd132ss_xmm_xmm_xmmm32
        | C::VEX_Vfmadd213ss_xmm_xmm_xmmm32
        | C::VEX_Vfmadd231ss_xmm_xmm_xmmm32
        | C::EVEX_Vfmadd132ps_zmm_k1z_zmm_zmmm512b32_er
        | C::EVEX_Vfmadd213ps_zmm_k1z_zmm_zmmm512b32_er
        | C::EVEX_Vfmadd231ps_zmm_k1z_zmm_zmmm512b32_er
        | C::VEX_Vcmpps_xmm_xmm_xmmm128_imm8
        | C::VEX_Vcvtdq2ps_xmm_xmmm128
        | C::VEX_Vcvtdq2ps_ymm_ymmm256
        | C::EVEX_Vcvtdq2ps_zmm_k1z_zmmm512b32_er
        | C::EVEX_Vcvtps2dq_zmm_k1z_zmmm512b32_er
        | C::VEX_Vcvtsi2ss_xmm_xmm_rm32
        | C::VEX_Vcvtsi2ss_xmm_xmm_rm64
        | C::VEX_Vcvtps2dq_ymm_ymmm256 => Form::Vector,
        // Arithmetic of integers.
        C::VEX_Vpmovzxbw_xmm_xmmm64
        | C::VEX_Vpmovzxwd_xmm_xmmm64
        | C::VEX_Vpmovzxbd_xmm_xmmm32
        | C::VEX_Vpmovzxbd_ymm_xmmm64
        | C::VEX_Vpmovsxbw_xmm_xmmm64
        | C::VEX_Vpsubd_xmm_xmm_xmmm128
        | C::VEX_Vphaddd_xmm_xmm_xmmm128
        | C::VEX_Vpaddd_xmm_xmm_xmmm128
        | C::VEX_Vpaddd_ymm_ymm_ymmm256
        | C::EVEX_Vpaddd_zmm_k1z_zmm_zmmm512b32
        | C::VEX_Vpaddw_ymm_ymm_ymmm256
        | C::EVEX_Vpaddw_zmm_k1z_zmm_zmmm512
        | C::VEX_Vpmullw_xmm_xmm_xmmm128
        | C::VEX_Vpmulld_xmm_xmm_xmmm128
        | C::VEX_Vpmulld_ymm_ymm_ymmm256
        | C::EVEX_Vpmulld_zmm_k1z_zmm_zmmm512b32
        | C::VEX_Vpdpbusd_ymm_ymm_ymmm256
        | C::EVEX_Vpdpbusd_zmm_k1z_zmm_zmmm512b32
        | C::VEX_Vpmaddubsw_ymm_ymm_ymmm256
        | C::EVEX_Vpmaddubsw_zmm_k1z_zmm_zmmm512
        | C::VEX_Vpmaddwd_xmm_xmm_xmmm128
        | C::VEX_Vpmaddwd_ymm_ymm_ymmm256
        | C::EVEX_Vpmaddwd_zmm_k1z_zmm_zmmm512
        | C::VEX_Vpackssdw_xmm_xmm_xmmm128
        | C::VEX_Vpackssdw_ymm_ymm_ymmm256
        | C::EVEX_Vpackssdw_zmm_k1z_zmm_zmmm512b32
        | C::VEX_Vpackuswb_xmm_xmm_xmmm128
        | C::VEX_Vpackuswb_ymm_ymm_ymmm256
        | C::EVEX_Vpackuswb_zmm_k1z_zmm_zmmm512
        | C::VEX_Vpunpcklbw_ymm_ymm_ymmm256
        | C::VEX_Vpunpckhbw_ymm_ymm_ymmm256
        | C::VEX_Vpunpcklwd_ymm_ymm_ymmm256
        | C::VEX_Vpunpckhwd_ymm_ymm_ymmm256
        | C::EVEX_Vpunpcklbw_zmm_k1z_zmm_zmmm512
        | C::EVEX_Vpunpckhbw_zmm_k1z_zmm_zmmm512
        | C::EVEX_Vpunpcklwd_zmm_k1z_zmm_zmmm512
        | C::EVEX_Vpunpckhwd_zmm_k1z_zmm_zmmm512
        | C::VEX_Vpermd_ymm_ymm_ymmm256
        | C::EVEX_Vpermd_zmm_k1z_zmm_zmmm512b32
        | C::VEX_Vpermq_ymm_ymmm256_imm8 => Form::Vector,
        // Bits.
        C::VEX_Vxorps_xmm_xmm_xmmm128
        | C::VEX_Vxorps_ymm_ymm_ymmm256
        | C::VEX_Vandps_xmm_xmm_xmmm128
        | C::VEX_Vandnps_xmm_xmm_xmmm128
        | C::VEX_Vorps_xmm_xmm_xmmm128
        | C::VEX_Vpxor_xmm_xmm_xmmm128
        | C::VEX_Vpand_xmm_xmm_xmmm128
        | C::VEX_Vpand_ymm_ymm_ymmm256
        | C::EVEX_Vpandd_zmm_k1z_zmm_zmmm512b32
        | C::VEX_Vpor_xmm_xmm_xmmm128
        | C::EVEX_Vpxord_zmm_k1z_zmm_zmmm512b32
        | C::VEX_Vpslld_xmm_xmm_imm8
        | C::VEX_Vpslld_ymm_ymm_imm8
        | C::VEX_Vpsrld_xmm_xmm_imm8
        | C::VEX_Vpsrld_ymm_ymm_imm8
        | C::EVEX_Vpslld_zmm_k1z_zmmm512b32_imm8
        | C::VEX_Vpsrad_xmm_xmm_imm8
        | C::VEX_Vpsrad_ymm_ymm_imm8
        | C::EVEX_Vpsrad_zmm_k1z_zmmm512b32_imm8
        | C::VEX_Vpsllw_ymm_ymm_imm8
        | C::EVEX_Vpsllw_zmm_k1z_zmmm512_imm8
        | C::VEX_Vpsrlw_ymm_ymm_imm8
        | C::EVEX_Vpsrlw_zmm_k1z_zmmm512_imm8
        | C::VEX_Vpsraw_ymm_ymm_imm8
        | C::EVEX_Vpsraw_zmm_k1z_zmmm512_imm8 => Form::Vector,
        _ => return None,
    })
}

fn is_conditional_move(code: Code) -> bool {
    use Code as C;
    matches!(
        code,
        C::Cmovo_r32_rm32
            | C::Cmovno_r32_rm32
            | C::Cmovb_r32_rm32
            | C::Cmovae_r32_rm32
            | C::Cmove_r32_rm32
            | C::Cmovne_r32_rm32
            | C::Cmovbe_r32_rm32
            | C::Cmova_r32_rm32
            | C::Cmovs_r32_rm32
            | C::Cmovns_r32_rm32
            | C::Cmovp_r32_rm32
            | C::Cmovnp_r32_rm32
            | C::Cmovl_r32_rm32
            | C::Cmovge_r32_rm32
            | C::Cmovle_r32_rm32
            | C::Cmovg_r32_rm32
            | C::Cmovo_r64_rm64
            | C::Cmovno_r64_rm64
            | C::Cmovb_r64_rm64
            | C::Cmovae_r64_rm64
            | C::Cmove_r64_rm64
            | C::Cmovne_r64_rm64
            | C::Cmovbe_r64_rm64
            | C::Cmova_r64_rm64
            | C::Cmovs_r64_rm64
            | C::Cmovns_r64_rm64
            | C::Cmovp_r64_rm64
            | C::Cmovnp_r64_rm64
            | C::Cmovl_r64_rm64
            | C::Cmovge_r64_rm64
            | C::Cmovle_r64_rm64
            | C::Cmovg_r64_rm64
    )
}

fn is_conditional_set(code: Code) -> bool {
    use Code as C;
    matches!(
        code,
        C::Seto_rm8
            | C::Setno_rm8
            | C::Setb_rm8
            | C::Setae_rm8
            | C::Sete_rm8
            | C::Setne_rm8
            | C::Setbe_rm8
            | C::Seta_rm8
            | C::Sets_rm8
            | C::Setns_rm8
            | C::Setp_rm8
            | C::Setnp_rm8
            | C::Setl_rm8
            | C::Setge_rm8
            | C::Setle_rm8
            | C::Setg_rm8
    )
}
