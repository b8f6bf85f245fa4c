//! The machine that the command runs on: its triple and what its CPU can do.

use mnc::target::{Isa, PLATFORMS};
use mnc::{Result, Target};

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

/// The instruction set of this CPU with wider vectors than those of a target that is this machine, if there is one.
pub(super) fn faster(target: &Target) -> Option<&'static Isa> {
    let is_host = target.triple == target_lexicon::HOST;
    let best = native(&target.triple.to_string()).ok().filter(|_| is_host)?.isa;
    let widest = target.wider.first().unwrap_or(&target.isa);
    (widest.lanes < best.lanes).then_some(best)
}

/// Whether this CPU has all that code for an instruction set needs.
pub(super) fn runs(isa: &Isa) -> bool {
    missing(isa).is_empty()
}

/// Of the instruction sets that this CPU has, the one with the widest vectors.
fn native(triple: &str) -> Result<Target> {
    // The platform's own default first: an unknown triple is reported there.
    let default = Target::new(triple, None)?;
    let isas =
        PLATFORMS.iter().find(|platform| platform.triple == triple).map_or(&[][..], |platform| platform.isas);
    let best = isas.iter().filter(|isa| runs(isa)).max_by_key(|isa| isa.lanes);
    match best {
        Some(isa) => Target::new(triple, Some(isa.name)),
        None => {
            let detail =
                format!("this CPU lacks {} for {}", missing(default.isa).join(", "), default.isa.name);
            super::usage("--target-cpu native", detail)
        }
    }
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
        "avx512_vnni" => is_x86_feature_detected!("avx512vnni"),
        _ => false,
    }
}

#[cfg(target_arch = "aarch64")]
fn has(feature: &str) -> bool {
    // Mandatory in ARMv8-A.
    feature == "asimd"
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
    #[cfg(target_arch = "x86_64")]
    fn every_feature_of_the_table_is_known() {
        let source = include_str!("host.rs");
        for isa in mnc::target::ISAS.iter().filter(|isa| isa.name.starts_with("x86")) {
            for feature in isa.cpu_features {
                assert!(source.contains(&format!("\"{feature}\" =>")), "{feature} of {}", isa.name);
            }
        }
    }

    #[test]
    fn native_is_of_the_host() {
        let error = target(Some("riscv64gc-unknown-linux-gnu"), Some("native")).unwrap_err();
        assert!(error.to_string().contains("expected a CPU of riscv64gc-unknown-linux-gnu"), "{error}");
    }
}
