//! What an entry asks the processor before code runs that not every processor of the architecture has.

/// A level of the x86-64 psABI, as the check at entry asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum X86Level {
    /// AVX2, FMA, BMI.
    V3,
    /// And AVX-VNNI.
    V3Vnni,
    /// Those of `V3` and AVX-512 F, BW, CD, DQ, VL.
    V4,
    /// And AVX-512 VNNI.
    V4Vnni,
}

impl X86Level {
    /// What a network leaves in its workspace once the processor has been found to have the level, so that it is asked once
    /// for each workspace: CPUID takes 100 cycles on bare metal and some 20 000 in a virtual machine.
    ///
    /// Random numbers: memory that nobody wrote holds all 128 bits by accident with a chance of 2^-128.
    pub fn proof(self) -> [u64; 2] {
        match self {
            X86Level::V3 => [0x8e3c_51f7_0b9d_42a6, 0xd16a_97e0_35c8_fb24],
            X86Level::V3Vnni => [0x0099_0cce_577e_acf9, 0x5ff1_54b0_1c33_1b9d],
            X86Level::V4 => [0x4f92_c80d_e65b_173a, 0x29b7_0ed5_9a4c_e863],
            X86Level::V4Vnni => [0xa370_5d1c_f84e_92b6, 0x7c0e_b4d3_1569_8fa2],
        }
    }
}

/// What is asked of the processor at entry, before code runs that not every processor of the architecture has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CpuCheck {
    /// CPUID, for a level of the x86-64 psABI.
    X86(X86Level),
    /// The register in which aarch64 says whether it has `sdot`. Linux answers for programs that read it.
    Aarch64Dotprod,
    /// That of `usdot`.
    Aarch64I8mm,
}

impl CpuCheck {
    /// As [`X86Level::proof`]; it takes a trap into the system there.
    pub fn proof(self) -> [u64; 2] {
        match self {
            CpuCheck::X86(level) => level.proof(),
            CpuCheck::Aarch64Dotprod => [0x5b87_e2d6_0c41_93fa, 0xe70d_3a95_f8b2_164c],
            CpuCheck::Aarch64I8mm => [0xc24d_19e8_70ba_f365, 0x16f8_ad42_e39b_5c07],
        }
    }
}
