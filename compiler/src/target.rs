//! What the compiler knows of a processor ([`Isa`]) and of a platform ([`Target`]).
//!
//! Generators take lane count, register counts and the form of fused multiply-add from here; nothing else in the compiler
//! decides by the name of an architecture. The CPU of the machine that the compiler runs on is never looked at.

mod cpu_check;
mod policy;

use std::fmt;
use std::str::FromStr;

use target_lexicon::{BinaryFormat, Triple};

use crate::error::{Error, ErrorKind, Place, Result};
pub use cpu_check::{CpuCheck, X86Level};
pub use policy::Policy;

/// The reader of [`Code`](crate::code::Code) that turns kernels into machine code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reader {
    /// Cranelift IR: 128-bit vectors on every target.
    Clif,
    /// x86-64 machine code with 256-bit or 512-bit vectors.
    X86,
    /// Rust source, which is somebody else's to compile.
    Rust,
}

/// The registers in which a processor keeps how it rounds and which floating-point exceptions there were.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FloatControl {
    /// x86-64: rounding, flush to zero, exception masks and flags in one register.
    Mxcsr,
    /// aarch64: FPCR for the modes, FPSR for the flags.
    Fpcr,
    /// riscv64: rounding and flags in one register.
    Fcsr,
}

/// The instruction set that kernels are generated for. One const each, listed in [`ISAS`].
#[derive(Debug, PartialEq, Eq)]
pub struct Isa {
    /// Name as in `--target-cpu` and in dumps.
    pub name: &'static str,
    /// The tag that ends kernel names.
    pub tag: &'static str,
    /// Who writes its machine code.
    pub reader: Reader,
    /// f32 elements of one vector register.
    pub lanes: usize,
    /// Vector registers that a kernel may use.
    pub vector_registers: usize,
    /// Pointers that a kernel may hold at once. Loop counters are the reader's affair.
    pub pointer_registers: usize,
    /// Whether a multiply-add takes one lane of a register as its factor (aarch64 `fmla` by element).
    pub lane_fma: bool,
    /// Whether one instruction joins halves of two registers, and one loads half a vector into both halves.
    pub joins_halves: bool,
    /// Whether one instruction adds up the products of four bytes.
    pub native_dot: bool,
    /// Whether it takes both bytes with a sign, so that a product of ours is two of its own.
    pub signed_dot: bool,
    /// Whether products of bytes whose pairs don't fit are made of 16 bits, which kernels widen them to.
    pub widens_bytes: bool,
    /// Whether the pairs of products of two words are added up in 16 bits, where they fit.
    pub adds_words: bool,
    /// Whether one instruction takes bytes of two registers in turn, and one narrows the numbers of two.
    pub zips_bytes: bool,
    /// Whether any lanes of a vector are loaded by themselves.
    pub masks_lanes: bool,
    /// Whether a word of memory may begin at any byte and is read as fast there.
    pub words_at_any_byte: bool,
    /// Vector registers that a kernel over integers may use.
    pub integer_registers: usize,
    /// Multiply-adds of whole vectors that a typical core starts in one cycle.
    pub fma_per_cycle: usize,
    /// Cycles until a multiply-add's result may be added to.
    pub fma_latency: usize,
    /// Loads that a typical core starts in one cycle.
    pub loads_per_cycle: usize,
    /// Cranelift settings that the instruction set implies, beyond the architecture's own.
    pub cranelift_flags: &'static [&'static str],
    /// What is asked of the processor at entry; `None` where that is the baseline of the architecture, or the caller's duty.
    pub cpu_check: Option<CpuCheck>,
    /// What a run sets to the default and gives back; `None` where the default is the caller's duty.
    pub float_control: Option<FloatControl>,
    /// CPU features that must be there, in the words of the operating system (`/proc/cpuinfo`).
    pub cpu_features: &'static [&'static str],
    /// Bytes of the first-level data cache of a typical core.
    pub l1_bytes: usize,
    /// Bytes of the second-level cache of a typical core.
    pub l2_bytes: usize,
    /// What generators and the scheduler choose for it.
    pub policy: Policy,
}

impl Isa {
    /// Whether the last of the vectors over so many channels has room for two pixels.
    pub fn ends_in_half(&self, channels: usize) -> bool {
        self.joins_halves && (1..=self.lanes / 2).contains(&(channels % self.lanes))
    }
}

/// The flags of Cranelift that x86-64-v3 implies.
const X86_64_V3_FLAGS: &[&str] = &[
    "has_sse3",
    "has_ssse3",
    "has_sse41",
    "has_sse42",
    "has_popcnt",
    "has_avx",
    "has_avx2",
    "has_fma",
    "has_bmi1",
    "has_bmi2",
    "has_lzcnt",
];

/// x86-64 with AVX2 and FMA: 256-bit vectors.
pub const X86_64_V3: Isa = Isa {
    name: "x86-64-v3",
    tag: "fma3",
    reader: Reader::X86,
    lanes: 8,
    vector_registers: 16,
    pointer_registers: 14,
    lane_fma: false,
    joins_halves: false,
    native_dot: false,
    signed_dot: false,
    widens_bytes: true,
    adds_words: true,
    zips_bytes: true,
    masks_lanes: false,
    words_at_any_byte: true,
    // Two are the reader's: products on their way, and what all of them take.
    integer_registers: 14,
    fma_per_cycle: 2,
    fma_latency: 4,
    loads_per_cycle: 2,
    cranelift_flags: X86_64_V3_FLAGS,
    cpu_check: Some(CpuCheck::X86(X86Level::V3)),
    float_control: Some(FloatControl::Mxcsr),
    cpu_features: &["avx", "avx2", "bmi1", "bmi2", "fma"],
    l1_bytes: 32 << 10,
    l2_bytes: 512 << 10,
    policy: Policy::SHARED_PANELS,
};

/// x86-64 with AVX2 and dot products of bytes in its vectors: client CPUs without AVX-512.
pub const X86_64_V3_VNNI: Isa = Isa {
    name: "x86-64-v3-vnni",
    tag: "avxvnni",
    native_dot: true,
    widens_bytes: false,
    adds_words: false,
    integer_registers: 16,
    cpu_check: Some(CpuCheck::X86(X86Level::V3Vnni)),
    cpu_features: &["avx", "avx2", "bmi1", "bmi2", "fma", "avx_vnni"],
    ..X86_64_V3
};

/// x86-64 with AVX-512: 512-bit vectors.
pub const X86_64_V4: Isa = Isa {
    name: "x86-64-v4",
    tag: "avx512f",
    lanes: 16,
    vector_registers: 32,
    joins_halves: true,
    masks_lanes: true,
    integer_registers: 30,
    cpu_check: Some(CpuCheck::X86(X86Level::V4)),
    cpu_features: &[
        "avx", "avx2", "bmi1", "bmi2", "fma", "avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl",
    ],
    l2_bytes: 1 << 20,
    ..X86_64_V3
};

/// x86-64 with AVX-512 and its dot products of bytes.
pub const X86_64_V4_VNNI: Isa = Isa {
    name: "x86-64-v4-vnni",
    tag: "avx512vnni",
    native_dot: true,
    widens_bytes: false,
    adds_words: false,
    integer_registers: 32,
    cpu_check: Some(CpuCheck::X86(X86Level::V4Vnni)),
    cpu_features: &[
        "avx",
        "avx2",
        "bmi1",
        "bmi2",
        "fma",
        "avx512f",
        "avx512bw",
        "avx512cd",
        "avx512dq",
        "avx512vl",
        "avx512_vnni",
    ],
    ..X86_64_V4
};

/// x86-64 with AVX2 and FMA in the 128-bit vectors of Cranelift: half as fast as `x86-64-v3`, written by the same reader as
/// the other architectures, and so their check on an x86-64 machine.
pub const X86_64_V3_CRANELIFT: Isa = Isa {
    name: "x86-64-v3-cranelift",
    tag: "fma3x4",
    reader: Reader::Clif,
    lanes: 4,
    widens_bytes: false,
    adds_words: false,
    zips_bytes: false,
    integer_registers: 16,
    policy: Policy::MACHINE_CODE,
    ..X86_64_V3
};

/// aarch64 with its mandatory Advanced SIMD.
pub const AARCH64: Isa = Isa {
    name: "armv8-a",
    tag: "neon",
    reader: Reader::Clif,
    lanes: 4,
    vector_registers: 32,
    pointer_registers: 24,
    lane_fma: true,
    joins_halves: false,
    native_dot: false,
    signed_dot: false,
    widens_bytes: false,
    adds_words: false,
    zips_bytes: false,
    masks_lanes: false,
    words_at_any_byte: true,
    integer_registers: 32,
    fma_per_cycle: 2,
    fma_latency: 4,
    loads_per_cycle: 2,
    cranelift_flags: &[],
    cpu_check: None,
    float_control: Some(FloatControl::Fpcr),
    cpu_features: &["asimd"],
    l1_bytes: 32 << 10,
    l2_bytes: 512 << 10,
    policy: Policy::MACHINE_CODE,
};

/// aarch64 with dot products of signed bytes (FEAT_DotProd): Armv8.2-A's option, which most cores since 2018 have.
pub const AARCH64_DOTPROD: Isa = Isa {
    name: "armv8-a-dotprod",
    tag: "dotprod",
    signed_dot: true,
    // The parts of the operands of a product take some.
    integer_registers: 24,
    cranelift_flags: &["has_dotprod"],
    cpu_check: Some(CpuCheck::Aarch64Dotprod),
    cpu_features: &["asimd", "asimddp"],
    ..AARCH64_I8MM
};

/// aarch64 with dot products of bytes (FEAT_I8MM), which belong to Armv8.6-A and most cores of servers and phones since 2021.
pub const AARCH64_I8MM: Isa = Isa {
    name: "armv8-a-i8mm",
    tag: "i8mm",
    native_dot: true,
    // Cranelift spills when every register is taken.
    integer_registers: 30,
    cranelift_flags: &["has_i8mm"],
    cpu_check: Some(CpuCheck::Aarch64I8mm),
    cpu_features: &["asimd", "i8mm"],
    ..AARCH64
};

/// riscv64 with the vector extension, at least 128 bits wide.
pub const RISCV64: Isa = Isa {
    name: "rv64gcv",
    tag: "rvv128",
    reader: Reader::Clif,
    lanes: 4,
    // v0 is the mask register.
    vector_registers: 31,
    pointer_registers: 20,
    lane_fma: false,
    joins_halves: false,
    native_dot: false,
    signed_dot: false,
    widens_bytes: false,
    adds_words: false,
    zips_bytes: false,
    masks_lanes: false,
    // The specification lets it trap, or take hundreds of cycles.
    words_at_any_byte: false,
    integer_registers: 31,
    fma_per_cycle: 2,
    fma_latency: 4,
    loads_per_cycle: 2,
    cranelift_flags: &[
        "has_m",
        "has_a",
        "has_f",
        "has_d",
        "has_v",
        "has_zvl128b",
        "has_zba",
        "has_zbb",
        "has_zbs",
    ],
    cpu_check: None,
    float_control: Some(FloatControl::Fcsr),
    cpu_features: &["v", "zba", "zbb", "zbs"],
    l1_bytes: 32 << 10,
    l2_bytes: 512 << 10,
    policy: Policy::MACHINE_CODE,
};

/// What Rust source is written for: the registers of x86-64 with AVX2, which are also 32 registers of 128 bits, in pairs. No
/// platform's: rustc knows the processor, and the same text and packed weights serve all of them.
pub const RUST: Isa = Isa {
    name: "rust",
    tag: "f32x8",
    reader: Reader::Rust,
    // rustc does, and keeps what it has widened.
    widens_bytes: false,
    adds_words: false,
    zips_bytes: false,
    words_at_any_byte: false,
    cranelift_flags: &[],
    cpu_check: None,
    // Rust assumes the default everywhere.
    float_control: None,
    cpu_features: &[],
    policy: Policy { unroll: 1, few_kernels: true, ..Policy::SHARED_PANELS },
    ..X86_64_V3
};

/// Every instruction set of a platform, the default of its architecture first.
pub const ISAS: &[&Isa] = &[
    &X86_64_V3,
    &X86_64_V4,
    &X86_64_V3_VNNI,
    &X86_64_V4_VNNI,
    &X86_64_V3_CRANELIFT,
    &AARCH64,
    &AARCH64_DOTPROD,
    &AARCH64_I8MM,
    &RISCV64,
];

/// Those of aarch64 where a program may ask the processor.
const AARCH64_LINUX: &[&Isa] = &[&AARCH64, &AARCH64_DOTPROD, &AARCH64_I8MM];
/// The instruction sets of x86-64 platforms.
const X86_64: &[&Isa] = &[&X86_64_V3, &X86_64_V4, &X86_64_V3_VNNI, &X86_64_V4_VNNI, &X86_64_V3_CRANELIFT];

/// A platform that objects are written for: a row of `mnc targets`.
#[derive(Debug)]
pub struct Platform {
    /// LLVM-style triple, as `--target` takes it.
    pub triple: &'static str,
    /// Instruction sets to choose from with `--target-cpu`, the default first.
    pub isas: &'static [&'static Isa],
}

/// Every platform. `mnc targets` prints this table.
pub const PLATFORMS: &[Platform] = &[
    Platform { triple: "x86_64-unknown-linux-gnu", isas: X86_64 },
    Platform { triple: "x86_64-unknown-linux-musl", isas: X86_64 },
    Platform { triple: "x86_64-apple-darwin", isas: X86_64 },
    Platform { triple: "x86_64-pc-windows-msvc", isas: X86_64 },
    Platform { triple: "aarch64-unknown-linux-gnu", isas: AARCH64_LINUX },
    Platform { triple: "aarch64-unknown-linux-musl", isas: AARCH64_LINUX },
    // It doesn't let programs ask the processor.
    Platform { triple: "aarch64-apple-darwin", isas: &[&AARCH64] },
    Platform { triple: "riscv64gc-unknown-linux-gnu", isas: &[&RISCV64] },
];

/// What a platform's objects are written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectFormat {
    /// Linux.
    Elf,
    /// macOS.
    MachO,
    /// Windows.
    Coff,
}

/// A platform together with the instruction set chosen on it.
///
/// ```
/// let target = mnc::Target::new("aarch64-unknown-linux-gnu", None)?;
/// assert_eq!(target.isa.lanes, 4);
/// # Ok::<(), mnc::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Target {
    /// The platform's triple.
    pub triple: Triple,
    /// The instruction set.
    pub isa: &'static Isa,
    /// Those beyond it whose code an object carries too, the first preferred; which one runs is decided at entry.
    pub wider: Vec<&'static Isa>,
}

impl Target {
    /// The target of that triple and CPU; the platform's default instruction set when `cpu` is `None`.
    ///
    /// # Errors
    /// An unknown triple or CPU; the error lists those that there are.
    pub fn new(triple: &str, cpu: Option<&str>) -> Result<Target> {
        let wanted = Triple::from_str(triple).map_err(|error| {
            Error::new(
                ErrorKind::Target,
                Place::named(triple),
                format!("not a target triple ({error}), `mnc targets` lists them"),
            )
        })?;
        let platform = PLATFORMS.iter().find(|platform| platform.parsed() == wanted).ok_or_else(|| {
            let known: Vec<&str> = PLATFORMS.iter().map(|platform| platform.triple).collect();
            Error::new(
                ErrorKind::Target,
                Place::named(triple),
                format!("unknown target, expected one of {}", known.join(", ")),
            )
        })?;
        let isa = match cpu {
            None => platform.isas[0],
            Some(cpu) => platform.isas.iter().find(|isa| isa.name == cpu).ok_or_else(|| {
                let known: Vec<&str> = platform.isas.iter().map(|isa| isa.name).collect();
                let detail = format!("unknown CPU of {triple}, expected one of {}", known.join(", "));
                Error::new(ErrorKind::Target, Place::named(cpu), detail)
            })?,
        };
        Ok(Target { triple: wanted, isa, wider: Vec::new() })
    }

    /// The target with code for every wider instruction set that shares its packed weights, to be chosen from at entry.
    ///
    /// ```
    /// let target = mnc::Target::new("x86_64-unknown-linux-gnu", None)?.multiversion()?;
    /// assert_eq!(target.to_string(), "x86_64-unknown-linux-gnu (x86-64-v4 or x86-64-v3)");
    /// # Ok::<(), mnc::Error>(())
    /// ```
    ///
    /// # Errors
    /// A target that has no such instruction set.
    pub fn multiversion(self) -> Result<Target> {
        let isa = self.isa;
        // Dot products of bytes are of no use to networks in f32.
        let mut wider: Vec<&'static Isa> =
            self.sharing().filter(|other| isa.lanes < other.lanes && !other.native_dot).collect();
        wider.sort_by_key(|other| std::cmp::Reverse(other.lanes));
        if wider.is_empty() {
            let detail =
                format!("{} has no wider instruction set beside it, expected x86-64-v3 of x86-64", isa.name);
            return Err(Error::new(ErrorKind::Target, Place::flag("multiversion"), detail));
        }
        Ok(Target { wider, ..self })
    }

    /// A target of several instruction sets with those that have dot products of bytes too, for a network in int8. They come first, the
    /// widest before the others: one instruction in place of three and more gains what no width of vectors does.
    ///
    /// ```
    /// let target = mnc::Target::new("x86_64-unknown-linux-gnu", None)?.multiversion()?.with_dot_products();
    /// let versions = "x86-64-v4-vnni or x86-64-v3-vnni or x86-64-v4 or x86-64-v3";
    /// assert_eq!(target.to_string(), format!("x86_64-unknown-linux-gnu ({versions})"));
    /// # Ok::<(), mnc::Error>(())
    /// ```
    pub fn with_dot_products(self) -> Target {
        let isa = self.isa;
        if self.wider.is_empty() {
            return self;
        }
        let is_beyond = |other: &&Isa| other.native_dot && (!isa.native_dot || isa.lanes < other.lanes);
        let mut wider: Vec<&'static Isa> = self.sharing().filter(is_beyond).collect();
        wider.sort_by_key(|other| std::cmp::Reverse(other.lanes));
        // Where the last version has dot products, nothing without them is better.
        wider.extend(self.wider.iter().filter(|other| !other.native_dot && !isa.native_dot));
        Target { wider, ..self }
    }

    /// The instruction sets of the platform whose packed weights are those of this one.
    fn sharing(&self) -> impl Iterator<Item = &'static Isa> + use<> {
        let platform = PLATFORMS.iter().find(|platform| platform.parsed() == self.triple);
        let panels = self.isa.policy.panel_channels;
        let isas = platform.into_iter().flat_map(|platform| platform.isas).copied();
        isas.filter(move |other| panels.is_some() && other.policy.panel_channels == panels)
    }

    /// The target of Rust source ([`RUST`]): any platform.
    pub fn rust() -> Target {
        Target { triple: Triple::unknown(), isa: &RUST, wider: Vec::new() }
    }

    /// Whether exported C symbols carry a leading underscore in the object file.
    pub fn mangles_with_underscore(&self) -> bool {
        matches!(self.triple.binary_format, BinaryFormat::Macho)
    }

    /// The format of the platform's objects.
    pub fn object_format(&self) -> ObjectFormat {
        match self.triple.binary_format {
            BinaryFormat::Macho => ObjectFormat::MachO,
            BinaryFormat::Coff => ObjectFormat::Coff,
            _ => ObjectFormat::Elf,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (", self.triple)?;
        self.wider.iter().try_for_each(|isa| write!(f, "{} or ", isa.name))?;
        write!(f, "{})", self.isa.name)
    }
}

impl Platform {
    fn parsed(&self) -> Triple {
        Triple::from_str(self.triple).expect("every triple of the platform table parses")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What an instruction set says is what the reader of its code can do.
    #[test]
    fn bytes_are_widened_in_machine_code_without_dot_products() {
        let all = ISAS.iter().copied().chain([&RUST]);
        let found: Vec<&str> = all.clone().filter(|isa| isa.widens_bytes).map(|isa| isa.name).collect();
        let expected = all.filter(|isa| isa.reader == Reader::X86 && !isa.native_dot);
        assert_eq!(found, expected.map(|isa| isa.name).collect::<Vec<_>>());
    }

    #[test]
    fn every_platform_is_a_target() {
        for platform in PLATFORMS {
            for isa in platform.isas {
                assert_eq!(Target::new(platform.triple, Some(isa.name)).unwrap().isa, *isa);
                assert!(ISAS.contains(isa));
            }
        }
    }

    #[test]
    fn versions_with_dot_products_come_first() {
        let versions = |cpu, is_int8| {
            let target = Target::new("x86_64-unknown-linux-gnu", Some(cpu)).unwrap().multiversion().unwrap();
            let target = if is_int8 { target.with_dot_products() } else { target };
            // Said twice it is the same.
            let again = target.clone().with_dot_products();
            assert!(!is_int8 || again.wider == target.wider, "{again}");
            target.wider.iter().map(|isa| isa.name).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(versions("x86-64-v3", false), "x86-64-v4");
        assert_eq!(versions("x86-64-v3", true), "x86-64-v4-vnni x86-64-v3-vnni x86-64-v4");
        assert_eq!(versions("x86-64-v3-vnni", false), "x86-64-v4");
        assert_eq!(versions("x86-64-v3-vnni", true), "x86-64-v4-vnni");
    }

    /// An object remembers by it which of its versions runs.
    #[test]
    fn every_level_has_a_proof_of_its_own() {
        let proofs: Vec<[u64; 2]> =
            ISAS.iter().filter_map(|isa| isa.cpu_check).map(CpuCheck::proof).collect();
        let distinct: std::collections::BTreeSet<&[u64; 2]> = proofs.iter().collect();
        // Code of Cranelift has the level of AVX2 too.
        assert_eq!((proofs.len(), distinct.len()), (7, 6));
    }

    #[test]
    fn unknown_names_list_the_known() {
        let error = Target::new("mips-unknown-linux-gnu", None).unwrap_err().to_string();
        assert!(error.contains("expected one of x86_64-unknown-linux-gnu"), "{error}");
        let error = Target::new("x86_64-unknown-linux-gnu", Some("pentium")).unwrap_err().to_string();
        let expected =
            "pentium: unknown CPU of x86_64-unknown-linux-gnu, expected one of x86-64-v3, x86-64-v4,";
        assert!(error.starts_with(expected), "{error}");
    }
}
