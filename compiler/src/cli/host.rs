//! The machine that the command runs on: its triple and what its CPU can do.

use std::sync::OnceLock;

use mnc::target::{Isa, PLATFORMS};
use mnc::{Result, Target};

use super::machine;

/// The target of `--target` and `--target-cpu`: the host's triple by default, `native` for the best of the host's CPU.
pub(super) fn target(triple: Option<&str>, cpu: Option<&str>) -> Result<Target> {
    let host = target_lexicon::HOST.to_string();
    let triple = triple.unwrap_or(&host);
    match cpu {
        Some("native") if triple == host => native(triple),
        Some("native") => super::usage(
            "--target-cpu",
            format!(
                "native means this machine ({host}), expected a CPU of {triple}: `mnc targets` lists them"
            ),
        ),
        cpu => Target::new(triple, cpu),
    }
}

/// What this CPU has beyond the instruction set of a target that is this machine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Wider {
    /// Wider vectors, which are faster.
    Faster(&'static Isa),
    /// Wider vectors, which it computes in parts.
    NoGain(Gain),
}

/// What wider vectors were measured to bring.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Gain {
    /// The narrower ones, and multiply-adds of a core in GFLOP/s.
    pub(super) from: (&'static Isa, f64),
    /// The wider ones.
    pub(super) to: (&'static Isa, f64),
}

impl Gain {
    /// Wider vectors waste more on what doesn't fill them, so they must bring something where all are full.
    const LEAST: f64 = 1.25;

    fn is_worth_it(&self) -> bool {
        Gain::LEAST <= self.to.1 / self.from.1
    }
}

/// What the CPU could do beyond the target, if there is anything to say.
pub(super) fn wider(target: &Target, is_int8: bool) -> Option<Wider> {
    if target.triple != target_lexicon::HOST {
        return None;
    }
    if is_int8 && let Some(isa) = dot_products() {
        let mut versions = target.wider.iter().chain([&target.isa]);
        let has_as_good = versions.any(|version| version.native_dot && isa.lanes <= version.lanes);
        return (!has_as_good).then_some(Wider::Faster(isa));
    }
    let (best, unused) = best()?;
    let widest = target.wider.first().unwrap_or(&target.isa);
    if widest.lanes < best.lanes {
        return Some(Wider::Faster(best));
    }
    unused.filter(|gain| target.isa.lanes < gain.to.0.lanes).map(Wider::NoGain)
}

/// Whether this CPU has all that code for an instruction set needs.
pub(super) fn runs(isa: &Isa) -> bool {
    missing(isa).is_empty()
}

/// Of the instruction sets that this CPU has, the one that is expected to be the fastest.
fn native(triple: &str) -> Result<Target> {
    // The platform's own default first: an unknown triple is reported there.
    let default = Target::new(triple, None)?;
    match best() {
        Some((isa, _)) => Target::new(triple, Some(isa.name)),
        None => {
            let detail = format!(
                "this CPU lacks {}, expected a CPU with all of {}",
                missing(default.isa).join(", "),
                default.isa.name
            );
            super::usage("--target-cpu native", detail)
        }
    }
}

/// The target for a network in int8. Of several versions one has dot products of bytes, and so has what `native` chooses where this
/// CPU has them: that gains several times what wider vectors do.
pub(super) fn for_int8(target: Target, cpu: Option<&str>) -> Result<Target> {
    match dot_products() {
        _ if !target.wider.is_empty() => Ok(target.with_dot_products()),
        Some(isa) if cpu == Some("native") => Target::new(&target.triple.to_string(), Some(isa.name)),
        Some(_) | None => Ok(target),
    }
}

/// The instruction set of this CPU that has dot products of bytes, of several that of the widest vectors.
pub(super) fn dot_products() -> Option<&'static Isa> {
    let triple = target_lexicon::HOST.to_string();
    let platform = PLATFORMS.iter().find(|platform| platform.triple == triple)?;
    platform.isas.iter().copied().filter(|isa| isa.native_dot && runs(isa)).max_by_key(|isa| isa.lanes)
}

/// The widest vectors of this CPU that it gains by, and wider ones that it doesn't gain by; `None` if it runs no code of the platform.
/// Measured once: the summary must not say other than what `native` has chosen.
fn best() -> Option<(&'static Isa, Option<Gain>)> {
    static BEST: OnceLock<Option<(&'static Isa, Option<Gain>)>> = OnceLock::new();
    *BEST.get_or_init(find_best)
}

fn find_best() -> Option<(&'static Isa, Option<Gain>)> {
    let triple = target_lexicon::HOST.to_string();
    let platform = PLATFORMS.iter().find(|platform| platform.triple == triple)?;
    let mut found = platform.isas.iter().copied().filter(|isa| runs(isa));
    let mut best = found.next()?;
    let mut unused = None;
    // Dot products of bytes are of no use to networks in f32.
    for isa in found.filter(|isa| platform.isas[0].lanes < isa.lanes && !isa.native_dot) {
        // What can't be measured is taken to be what it seems.
        let gain = machine::peaks([best, isa]).map(|[from, to]| Gain { from: (best, from), to: (isa, to) });
        match gain.filter(|gain| !gain.is_worth_it()) {
            Some(gain) => unused = Some(gain),
            None => best = isa,
        }
    }
    Some((best, unused))
}

/// The features that code for this instruction set needs and this CPU doesn't have, or is not known to have.
fn missing(isa: &Isa) -> Vec<&'static str> {
    isa.cpu_features.iter().copied().filter(|feature| !has(feature)).collect()
}

#[cfg(target_arch = "x86_64")]
fn has(feature: &str) -> bool {
    // The macro takes literals only, and knows other names than the operating system.
    match feature {
        "avx" => is_x86_feature_detected!("avx"),
        "avx2" => is_x86_feature_detected!("avx2"),
        "fma" => is_x86_feature_detected!("fma"),
        "bmi1" => is_x86_feature_detected!("bmi1"),
        "bmi2" => is_x86_feature_detected!("bmi2"),
        "f16c" => is_x86_feature_detected!("f16c"),
        "avx512f" => is_x86_feature_detected!("avx512f"),
        "avx512bw" => is_x86_feature_detected!("avx512bw"),
        "avx512cd" => is_x86_feature_detected!("avx512cd"),
        "avx512dq" => is_x86_feature_detected!("avx512dq"),
        "avx512vl" => is_x86_feature_detected!("avx512vl"),
        "avx_vnni" => is_x86_feature_detected!("avxvnni"),
        "avx512_vnni" => is_x86_feature_detected!("avx512vnni"),
        _ => false,
    }
}

#[cfg(target_arch = "aarch64")]
fn has(feature: &str) -> bool {
    match feature {
        // Mandatory in ARMv8-A.
        "asimd" => true,
        "asimddp" => std::arch::is_aarch64_feature_detected!("dotprod"),
        "i8mm" => std::arch::is_aarch64_feature_detected!("i8mm"),
        _ => false,
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn has(_: &str) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A feature that `has` doesn't know would hide an instruction set from `native` for ever.
    #[test]
    fn every_feature_of_the_table_is_known() {
        let source = include_str!("host.rs");
        let on_riscv = |isa: &&&Isa| isa.name.starts_with("rv64");
        for isa in mnc::target::ISAS.iter().filter(|isa| !on_riscv(isa)) {
            for feature in isa.cpu_features {
                assert!(source.contains(&format!("\"{feature}\" =>")), "{feature} of {}", isa.name);
            }
        }
    }

    #[test]
    fn halves_are_no_gain() {
        let isas = mnc::target::ISAS;
        let gain = |from, to| Gain { from: (isas[0], from), to: (isas[1], to) };
        assert!(gain(118.2, 236.0).is_worth_it() && gain(100.0, 160.0).is_worth_it());
        assert!(!gain(118.2, 118.2).is_worth_it() && !gain(100.0, 120.0).is_worth_it());
    }

    #[test]
    fn native_is_of_the_host() {
        let error = target(Some("riscv64gc-unknown-linux-gnu"), Some("native")).unwrap_err();
        assert!(error.to_string().contains("expected a CPU of riscv64gc-unknown-linux-gnu"), "{error}");
    }
}
