//! The macro against the object of the same network, MobileNetV1 1.0 at 224 with AVX2, in one process and in turns, and whether it
//! has its share of the object's speed.
//!
//! `cargo bench -p mnc-tests --bench macro_speed -- chrt -r 50 taskset -c 0`: what follows `--` stands before the program that
//! measures, here to pin it; it may be left out.

use std::process::Command;

use mnc::cost::Report;
use mnc::describe;
use mnc::graph::{Graph, Knobs};
use mnc_runtime::measured::{Summary, Work};
use mnc_tests::need;
use mnc_tests::user_crate::UserCrate;

/// Of the object's speed, at the minimum. The median is that of a shared machine: what neighbours leave of the memory's speed
/// decides it.
const LEAST_SHARE: f64 = 0.85;
const N_ROUNDS: usize = 40;

/// Both ways in one crate.
const MANIFEST: &str = "[dependencies]\nmnc-macros = { path = \"{root}/macros\" }\nmnc-runtime = { path = \"{root}/runtime\" }\n\
    [build-dependencies]\nmnc = { path = \"{root}/compiler\", default-features = false, features = [\"cranelift\"] }\n";

fn main() {
    if need::program("cc").is_none() || !has_avx2() {
        return;
    }
    let Some(package) = UserCrate::new(env!("CARGO_TARGET_TMPDIR"), "macro-speed", MANIFEST) else {
        return;
    };
    package.write("build.rs", include_str!("../fixtures/speed_build.rs"));
    package.write("src/main.rs", include_str!("../fixtures/speed_main.rs"));
    package.build(&["--release"]);
    let program = package.built("release").join(package.name());

    let before: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let mut command = match before.split_first() {
        Some((first, others)) => {
            let mut command = Command::new(first);
            command.args(others).arg(program);
            command
        }
        None => Command::new(program),
    };
    let output = need::run(command.arg(N_ROUNDS.to_string()));
    let text = String::from_utf8_lossy(&output.stdout);
    let numbers = |name: &str| -> Vec<f64> {
        let numbers = text.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        numbers.map(|number| number.parse().expect("the program writes numbers")).collect()
    };

    let description = describe::builtin("mobilenet-v1").expect("it is built in").description();
    let graph = Graph::build(&description, &Knobs::default()).expect("it is a network");
    let peak = numbers("peak").into_iter().fold(0.0, f64::max);
    let total = Report::of(&graph).total;
    let work = Work {
        multiply_adds: total.mult_adds,
        padding_multiply_adds: total.padding_mult_adds,
        threads: 1,
        fma_peak_gflops: Some(peak),
        is_int8: false,
    };
    println!("1.0@224 on one thread, {N_ROUNDS} rounds in turns, peak {peak:.1} GFLOP/s");
    println!("{:8} {:>10} {:>10} {:>14}", "", "minimum", "median", "share of peak");
    let [of_macro, of_object] = ["macro", "object"].map(|name| {
        let summary = Summary::of(&numbers(name)).expect("the program ran it");
        let share = work.speed(summary.min).share_of_peak.expect("the peak was measured");
        println!("{name:8} {:>7.2} ms {:>7.2} ms {:>12.1} %", summary.min, summary.median, share * 100.0);
        summary
    });
    let shares = [of_object.min / of_macro.min, of_object.median / of_macro.median];
    let [at_minimum, at_median, least] = [shares[0], shares[1], LEAST_SHARE].map(|share| share * 100.0);
    println!(
        "{:8} {at_minimum:>8.1} % {at_median:>8.1} %   of the object's speed; at least {least:.0} % at the minimum",
        ""
    );
    if shares[0] < LEAST_SHARE {
        println!("macro_speed: the macro is slower than it should be");
    }
}

/// Whether this is the CPU that the figure is about.
fn has_avx2() -> bool {
    let has = mnc_runtime::peak::Probe::new("x86-64-v3").is_some();
    if !has {
        println!("skipped: macro_speed, which needs an x86-64 CPU with AVX2");
    }
    has
}
