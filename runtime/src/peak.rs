//! What this core can do at most: fused multiply-adds, products of bytes and reads, measured where a network is measured, between its runs.
//!
//! A share of peak means something only against the peak of the same core in the same second: clocks move with heat and
//! with neighbours. So a sample is short, and whoever times a network takes one now and then and keeps the best.

use std::time::Instant;

/// The vectors in which an instruction set computes, on a CPU that has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    vectors: Vectors,
    sums: Sums,
}

/// What is multiplied and added up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sums {
    /// f32.
    Numbers,
    /// Bytes times signed bytes, in one instruction for four of them.
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    Dots,
    /// The same in five for eight of them: products in pairs, twice, both added up in 16 bits, pairs of those, the sum.
    #[cfg(target_arch = "x86_64")]
    Pairs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Vectors {
    #[cfg(target_arch = "x86_64")]
    Ymm,
    #[cfg(target_arch = "x86_64")]
    Zmm,
    #[cfg(target_arch = "aarch64")]
    Neon,
}

impl Probe {
    /// The probe for an instruction set by its name in a network's description. `None` if there is none for it, or if
    /// this CPU can't run it.
    ///
    /// ```
    /// use mnc_runtime::peak::Probe;
    /// assert_eq!(Probe::new("rv64gcv"), None);
    /// if let Some(probe) = Probe::new("x86-64-v3") {
    ///     let best = (0..5).map(|_| probe.fma()).fold(0.0, f64::max);
    ///     println!("{best:.1} GFLOP/s");
    /// }
    /// ```
    pub fn new(isa: &str) -> Option<Probe> {
        Some(Probe { vectors: Vectors::of(isa)?, sums: Sums::Numbers })
    }

    /// The same for sums of bytes times signed bytes, as the code of that instruction set computes them: by dot products where it has
    /// them, else by products in pairs, two words at a time, which is what weights of `--pair-safe` need. `None` as above, and where no fast code for them is
    /// known.
    pub fn of_bytes(isa: &str) -> Option<Probe> {
        Some(Probe { vectors: Vectors::of(isa)?, sums: Sums::of_bytes(isa)? })
    }

    /// One sample of the rate of multiply-adds, on f32 or on bytes, in billions of operations a second; each of them counts as two
    /// operations. Takes about 0.2 ms, touches no memory.
    pub fn fma(self) -> f64 {
        let start = Instant::now();
        let n_flops = self.sums.run(self.vectors);
        n_flops as f64 / start.elapsed().as_nanos() as f64
    }

    /// One sample of the rate at which the first `bytes` of `memory` are read over and over, in GB/s, after a reading
    /// that isn't timed.
    ///
    /// # Panics
    ///
    /// When `memory` is shorter, or `bytes` isn't a multiple of [`Memory::STEP`] above zero.
    pub fn read(self, memory: &Memory, bytes: usize) -> f64 {
        assert!(bytes.is_multiple_of(Memory::STEP) && 0 < bytes, "reads are whole steps");
        let lines = &memory.lines[..bytes / size_of::<Line>()];
        self.vectors.read(lines);
        // Long enough for the clock.
        let n_readings = ((2 << 20) / bytes).max(1);
        let start = Instant::now();
        (0..n_readings).for_each(|_| self.vectors.read(lines));
        (n_readings * bytes) as f64 / start.elapsed().as_nanos() as f64
    }
}

/// What [`Probe::read`] reads.
#[derive(Debug)]
pub struct Memory {
    lines: Vec<Line>,
}

#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
#[expect(dead_code, reason = "read by assembly alone")]
struct Line([u8; 64]);

impl Memory {
    /// Readings are a multiple of so many bytes.
    pub const STEP: usize = 512;

    /// So many bytes, rounded up to a step, each of them written: what nobody has written is one page of zeros.
    pub fn new(bytes: usize) -> Memory {
        Memory { lines: vec![Line([1; 64]); bytes.next_multiple_of(Memory::STEP) / size_of::<Line>()] }
    }
}

#[cfg(target_arch = "aarch64")]
impl Sums {
    fn of_bytes(isa: &str) -> Option<Sums> {
        // Both instruction sets have `sdot`, as fast as `usdot`.
        let is_one = ["armv8-a-dotprod", "armv8-a-i8mm"].contains(&isa);
        (is_one && std::arch::is_aarch64_feature_detected!("dotprod")).then_some(Sums::Dots)
    }

    fn run(self, vectors: Vectors) -> u64 {
        match self {
            Sums::Numbers => vectors.fma(),
            Sums::Dots => dots(),
        }
    }
}

/// Runs independent chains of dot products as [`Vectors::fma`] does multiply-adds.
#[cfg(target_arch = "aarch64")]
fn dots() -> u64 {
    use std::arch::asm;
    const N_LOOPS: u64 = 50_000;
    // SAFETY: `of_bytes` has asked the CPU for the instruction. No memory is touched. Registers 8 to 15, half of which calls preserve, are
    // named.
    unsafe {
        asm!(
            "movi v30.16b, #1",
            "movi v31.16b, #1",
            ".irp i, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23",
            "movi v\\i\\().16b, #0",
            ".endr",
            "2:",
            ".irp i, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23",
            // sdot v<i>.4s, v30.16b, v31.16b, which assemblers of the baseline don't know.
            ".inst 0x4e9f97c0 + \\i",
            ".endr",
            "subs x0, x0, #1",
            "b.ne 2b",
            inout("x0") N_LOOPS => _,
            out("v8") _, out("v9") _, out("v10") _, out("v11") _,
            out("v12") _, out("v13") _, out("v14") _, out("v15") _,
            clobber_abi("C"),
            options(nomem, nostack),
        );
    }
    N_LOOPS * 24 * 16 * 2
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
impl Sums {
    fn of_bytes(_: &str) -> Option<Sums> {
        None
    }

    fn run(self, vectors: Vectors) -> u64 {
        match self {
            Sums::Numbers => vectors.fma(),
        }
    }
}

/// Sums of products of bytes: how many bytes a vector has, the number of chains and their registers, those of the factors, what empties a
/// register `i`, and what adds to it. The value is how many operations those were.
#[cfg(target_arch = "x86_64")]
macro_rules! chains {
    ($bytes:literal, $n:literal, $sums:literal, $factors:literal, $empty:literal, $($step:literal,)+) => {{
        const N_LOOPS: u64 = 50_000;
        // SAFETY: `of_bytes` has asked the CPU for what `Vectors::of` has not. No memory is touched; all vector registers are given up by
        // the calling convention that is named as clobbered.
        unsafe {
            std::arch::asm!(
                concat!(".irp i, ", $sums, ",", $factors),
                $empty,
                ".endr",
                "2:",
                concat!(".irp i, ", $sums),
                $($step,)+
                ".endr",
                "dec rcx",
                "jnz 2b",
                "vzeroupper",
                inout("rcx") N_LOOPS => _,
                clobber_abi("sysv64"),
                options(nomem, nostack),
            );
        }
        N_LOOPS * $n * $bytes * 2
    }};
}

#[cfg(target_arch = "x86_64")]
impl Sums {
    fn of_bytes(isa: &str) -> Option<Sums> {
        match isa {
            "x86-64-v4-vnni" => is_x86_feature_detected!("avx512vnni").then_some(Sums::Dots),
            "x86-64-v3-vnni" => is_x86_feature_detected!("avxvnni").then_some(Sums::Dots),
            "x86-64-v4" => is_x86_feature_detected!("avx512bw").then_some(Sums::Pairs),
            "x86-64-v3" => Some(Sums::Pairs),
            // Cranelift's code takes more steps.
            _ => None,
        }
    }

    /// Runs independent chains; returns how many operations those were.
    fn run(self, vectors: Vectors) -> u64 {
        // Where products take steps, the temporary register is another one each time, as far as the CPU is concerned.
        match (self, vectors) {
            (Sums::Numbers, vectors) => vectors.fma(),
            (Sums::Dots, Vectors::Zmm) => chains!(
                64,
                24,
                "0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23",
                "30,31",
                "vpxord zmm\\i, zmm\\i, zmm\\i",
                "vpdpbusd zmm\\i, zmm30, zmm31",
            ),
            // The assembler means AVX-512 unless it is told otherwise.
            (Sums::Dots, Vectors::Ymm) => chains!(
                32,
                14,
                "0,1,2,3,4,5,6,7,8,9,10,11,12,13",
                "14,15",
                "vpxor ymm\\i, ymm\\i, ymm\\i",
                "{{vex}} vpdpbusd ymm\\i, ymm14, ymm15",
            ),
            (Sums::Pairs, Vectors::Zmm) => chains!(
                128,
                16,
                "0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15",
                "29,30,31",
                "vpxord zmm\\i, zmm\\i, zmm\\i",
                "vpmaddubsw zmm28, zmm30, zmm31",
                "vpmaddubsw zmm27, zmm30, zmm31",
                "vpaddw zmm28, zmm28, zmm27",
                "vpmaddwd zmm28, zmm28, zmm29",
                "vpaddd zmm\\i, zmm\\i, zmm28",
            ),
            (Sums::Pairs, Vectors::Ymm) => chains!(
                64,
                11,
                "0,1,2,3,4,5,6,7,8,9,10",
                "13,14,15",
                "vpxor ymm\\i, ymm\\i, ymm\\i",
                "vpmaddubsw ymm12, ymm14, ymm15",
                "vpmaddubsw ymm11, ymm14, ymm15",
                "vpaddw ymm12, ymm12, ymm11",
                "vpmaddwd ymm12, ymm12, ymm13",
                "vpaddd ymm\\i, ymm\\i, ymm12",
            ),
        }
    }
}

#[cfg(target_arch = "x86_64")]
impl Vectors {
    fn of(isa: &str) -> Option<Vectors> {
        let is_512 = is_x86_feature_detected!("avx512f");
        let is_256 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
        match isa {
            isa if isa.starts_with("x86-64-v4") && is_512 => Some(Vectors::Zmm),
            isa if isa.starts_with("x86-64-v3") && is_256 => Some(Vectors::Ymm),
            _ => None,
        }
    }

    /// Runs independent chains of multiply-adds, more of them than the units' latency times their number; returns how
    /// many operations those were.
    fn fma(self) -> u64 {
        use std::arch::asm;
        const N_LOOPS: u64 = 50_000;
        // Numbers that stay far from infinity and from denormals for so long.
        let factors: [f32; 2] = [0.5, 0.001];
        match self {
            // SAFETY: `of` has asked the CPU. Memory is only read, at the two factors; all vector registers are given
            // up by the calling convention that is named as clobbered.
            Vectors::Ymm => unsafe {
                asm!(
                    "vbroadcastss ymm12, [rsi]",
                    "vbroadcastss ymm13, [rsi + 4]",
                    ".irp i, 0,1,2,3,4,5,6,7,8,9,10,11",
                    "vmovaps ymm\\i, ymm12",
                    ".endr",
                    "2:",
                    ".rept 2",
                    ".irp i, 0,1,2,3,4,5,6,7,8,9,10,11",
                    "vfmadd231ps ymm\\i, ymm12, ymm13",
                    ".endr",
                    ".endr",
                    "dec rcx",
                    "jnz 2b",
                    "vzeroupper",
                    inout("rcx") N_LOOPS => _,
                    in("rsi") factors.as_ptr(),
                    clobber_abi("sysv64"),
                    options(readonly, nostack),
                );
                N_LOOPS * 24 * 8 * 2
            },
            // SAFETY: as above.
            Vectors::Zmm => unsafe {
                asm!(
                    "vbroadcastss zmm30, [rsi]",
                    "vbroadcastss zmm31, [rsi + 4]",
                    ".irp i, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23",
                    "vmovaps zmm\\i, zmm30",
                    ".endr",
                    "2:",
                    ".irp i, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23",
                    "vfmadd231ps zmm\\i, zmm30, zmm31",
                    ".endr",
                    "dec rcx",
                    "jnz 2b",
                    "vzeroupper",
                    inout("rcx") N_LOOPS => _,
                    in("rsi") factors.as_ptr(),
                    clobber_abi("sysv64"),
                    options(readonly, nostack),
                );
                N_LOOPS * 24 * 16 * 2
            },
        }
    }

    /// Loads every vector of `lines`, whose bytes are a multiple of [`Memory::STEP`] above zero.
    fn read(self, lines: &[Line]) {
        use std::arch::asm;
        let n_steps = size_of_val(lines) / Memory::STEP;
        match self {
            // SAFETY: `of` has asked the CPU; the loop reads the bytes of `lines` once, a step each time around.
            Vectors::Ymm => unsafe {
                asm!(
                    "2:",
                    ".irp i, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15",
                    "vmovaps ymm\\i, [rsi + 32 * \\i]",
                    ".endr",
                    "add rsi, 512",
                    "dec rcx",
                    "jnz 2b",
                    "vzeroupper",
                    inout("rcx") n_steps => _,
                    inout("rsi") lines.as_ptr() => _,
                    clobber_abi("sysv64"),
                    options(readonly, nostack),
                );
            },
            // SAFETY: as above.
            Vectors::Zmm => unsafe {
                asm!(
                    "2:",
                    ".irp i, 0,1,2,3,4,5,6,7",
                    "vmovaps zmm\\i, [rsi + 64 * \\i]",
                    ".endr",
                    "add rsi, 512",
                    "dec rcx",
                    "jnz 2b",
                    "vzeroupper",
                    inout("rcx") n_steps => _,
                    inout("rsi") lines.as_ptr() => _,
                    clobber_abi("sysv64"),
                    options(readonly, nostack),
                );
            },
        }
    }
}

#[cfg(target_arch = "aarch64")]
impl Vectors {
    fn of(isa: &str) -> Option<Vectors> {
        // NEON belongs to the architecture.
        isa.starts_with("armv8").then_some(Vectors::Neon)
    }

    /// Runs independent chains of multiply-adds, more of them than the units' latency times their number; returns how
    /// many operations those were.
    fn fma(self) -> u64 {
        use std::arch::asm;
        const N_LOOPS: u64 = 50_000;
        // Numbers that stay far from infinity and from denormals for so long.
        let factors: [f32; 2] = [0.5, 0.001];
        // SAFETY: memory is only read, at the two factors. Registers 8 to 15, half of which calls preserve, are named.
        unsafe {
            asm!(
                "ld1r {{v30.4s}}, [x1]",
                "add x1, x1, #4",
                "ld1r {{v31.4s}}, [x1]",
                ".irp i, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23",
                "mov v\\i\\().16b, v30.16b",
                ".endr",
                "2:",
                ".irp i, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23",
                "fmla v\\i\\().4s, v30.4s, v31.4s",
                ".endr",
                "subs x0, x0, #1",
                "b.ne 2b",
                inout("x0") N_LOOPS => _,
                inout("x1") factors.as_ptr() => _,
                out("v8") _, out("v9") _, out("v10") _, out("v11") _,
                out("v12") _, out("v13") _, out("v14") _, out("v15") _,
                clobber_abi("C"),
                options(readonly, nostack),
            );
        }
        N_LOOPS * 24 * 4 * 2
    }

    /// Loads every vector of `lines`, whose bytes are a multiple of [`Memory::STEP`] above zero.
    fn read(self, lines: &[Line]) {
        use std::arch::asm;
        let n_steps = size_of_val(lines) / Memory::STEP;
        // SAFETY: the loop reads the bytes of `lines` once, a step each time around.
        unsafe {
            asm!(
                "2:",
                ".rept 4",
                "ldp q0, q1, [x1]",
                "ldp q2, q3, [x1, #32]",
                "ldp q4, q5, [x1, #64]",
                "ldp q6, q7, [x1, #96]",
                "add x1, x1, #128",
                ".endr",
                "subs x0, x0, #1",
                "b.ne 2b",
                inout("x0") n_steps => _,
                inout("x1") lines.as_ptr() => _,
                clobber_abi("C"),
                options(readonly, nostack),
            );
        }
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
impl Vectors {
    fn of(_: &str) -> Option<Vectors> {
        None
    }

    fn fma(self) -> u64 {
        match self {}
    }

    fn read(self, _: &[Line]) {
        match self {}
    }
}

/// What the system calls this CPU, if it says so in the usual place.
pub fn cpu_name() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_string()).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_measures_what_the_cpu_has() {
        let (own, foreign) = match std::env::consts::ARCH {
            "x86_64" => (&["x86-64-v3", "x86-64-v4"][..], "armv8-a"),
            "aarch64" => (&["armv8-a"][..], "x86-64-v3"),
            _ => (&[][..], "armv8-a"),
        };
        for (idx, isa) in own.iter().enumerate() {
            let Some(probe) = Probe::new(isa) else {
                // The first of them is what networks are compiled for unless somebody asks for more.
                let skip = if idx == 0 { mnc_need::skip } else { mnc_need::skip_optional };
                skip(&format!("a CPU with {isa}"));
                continue;
            };
            let memory = Memory::new(1000);
            let samples = [probe.fma(), probe.read(&memory, 512), probe.read(&memory, 1024)];
            // Even an emulator is above, and no core of this world is faster.
            assert!(samples.iter().all(|sample| (0.001..1e5).contains(sample)), "{isa}: {samples:?}");
        }
        assert_eq!([Probe::new(foreign), Probe::new("pdp11")], [None, None]);
        for isa in
            ["x86-64-v3", "x86-64-v3-vnni", "x86-64-v4", "x86-64-v4-vnni", "armv8-a-dotprod", "armv8-a-i8mm"]
        {
            let Some((numbers, bytes)) = Probe::new(isa).zip(Probe::of_bytes(isa)) else { continue };
            let best = |probe: Probe| (0..20).map(|_| probe.fma()).fold(0.0, f64::max);
            // Four times as many in one instruction, or in three; an emulator has a rate of its own for each.
            assert!((0.2..20.0).contains(&(best(bytes) / best(numbers))), "{isa}");
        }
        assert_eq!([Probe::of_bytes("armv8-a"), Probe::of_bytes("x86-64-v3-cranelift")], [None, None]);
    }
}
