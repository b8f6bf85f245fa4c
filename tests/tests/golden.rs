//! Golden text: every stage of tiny networks, as committed beside their descriptions in `golden/`.
//!
//! `UPDATE_GOLDEN=1 cargo test -p mnc-tests --test golden` writes them anew; nothing else does.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use mnc::describe::Description;
use mnc::describe::Sides;
use mnc::emit::object::FunctionText;
use mnc::emit::rust::{self, Names, Source, Weights};
use mnc::graph::{Graph, Knobs};
use mnc::kernels::{Family, KernelName};
use mnc::quantize::sample::with_integers;
use mnc::target::{Isa, X86_64_V3, X86_64_V3_CRANELIFT, X86_64_V3_VNNI, X86_64_V4};
use mnc::weights::Parameters;
use mnc::{Compiled, Options, Target};
use mnc_tests::need;

const BLESS: &str = "UPDATE_GOLDEN=1 cargo test -p mnc-tests --test golden";
/// Lines of a diff that are shown.
const MOST_LINES: usize = 60;

fn folder() -> PathBuf {
    need::workspace().join("tests/golden")
}

fn compile(case: &Path, isa: &Isa) -> Compiled {
    compile_for(case, &Target::new("x86_64-unknown-linux-gnu", Some(isa.name)).expect("a row of the table"))
}

fn compile_for(case: &Path, target: &Target) -> Compiled {
    let text = std::fs::read_to_string(case.join("network.toml")).expect("a case has a network.toml");
    let description = Description::parse(&text, "network.toml").unwrap_or_else(|error| panic!("{error}"));
    let graph = Graph::build(&description, &Knobs::default()).unwrap_or_else(|error| panic!("{error}"));
    let parameters = Parameters::random(&graph, 1);
    mnc::compile(graph, &parameters, target, &Options { name: "net", labels: &[] })
        .unwrap_or_else(|error| panic!("{error}"))
}

/// The network in int8, with random numbers.
fn compile_int8(case: &Path, isa: &Isa) -> Compiled {
    let Compiled { graph, fused, target, .. } = compile(case, isa);
    let fused = with_integers(&fused, 1).expect("its layers have a form in integers");
    mnc::compile_fused(graph, fused, &target, &Options { name: "net", labels: &[] }, None)
        .unwrap_or_else(|error| panic!("{error}"))
}

/// The functions of a network that have a text of this sort, in order.
fn listing(compiled: &Compiled, text: impl Fn(FunctionText) -> Option<String>) -> String {
    let functions = compiled.texts().unwrap_or_else(|error| panic!("{error}")).into_iter();
    functions
        .filter_map(|function| Some(format!("; {}\n{}\n", function.symbol.clone(), text(function)?)))
        .collect()
}

/// What `mobilenet!` expands to, its weights in a file.
fn expanded(compiled: &Compiled) -> String {
    let weights = Weights::Constants("*include_bytes!(\"weights\")");
    let names = Names { type_name: "Net", visibility: "pub", weights };
    let Source { types, items } = rust::network(&compiled.program, &compiled.info, &names);
    format!("pub struct Net;\n{types}const _: () = {{\n{items}}};\n")
}

/// The folders in `golden/`.
const CASES: [&str; 7] = [BLOCKS, "branches", "full-conv", REMAINDERS, "residual", "separable", WINDOWS];
/// The cases that show AVX-512 code alone: what becomes of pixels and channels that fill no tile, and windows of all sorts.
const REMAINDERS: &str = "remainders";
const WINDOWS: &str = "windows";
/// The case that shows what comes before kernels alone: they are those of other cases.
const BLOCKS: &str = "blocks";

/// The case that shows code in int8.
const INT8: &str = "separable";

/// File name and text of each dump: x86-64-v3 in f32, but for the Cranelift IR and the code for AVX-512 and AVX-VNNI.
fn dumps(case: &Path) -> Vec<(&'static str, String)> {
    // What Cranelift makes of its IR is not our text.
    let machine_code = |compiled: &Compiled| {
        listing(compiled, |function| function.clif.is_none().then_some(function.assembly))
    };
    let avx512 = ("x86-avx512", machine_code(&compile(case, &X86_64_V4)));
    if case.ends_with(REMAINDERS) || case.ends_with(WINDOWS) {
        return vec![avx512];
    }
    let compiled = compile(case, &X86_64_V3);
    let stages = vec![
        ("graph", compiled.graph.to_string()),
        ("fused", compiled.fused.to_string()),
        ("schedule", compiled.plan.schedule.to_string()),
        ("plan", compiled.plan.to_string()),
    ];
    if case.ends_with(BLOCKS) {
        return stages;
    }
    let code = [
        ("program", compiled.program.to_string()),
        ("x86", machine_code(&compiled)),
        avx512,
        ("clif", listing(&compile(case, &X86_64_V3_CRANELIFT), |function| function.clif)),
        ("net.h", compiled.header()),
        ("expanded.rs", expanded(&compile_for(case, &Target::rust()))),
    ];
    let int8 = case
        .ends_with(INT8)
        .then(|| ("x86-int8-avxvnni", machine_code(&compile_int8(case, &X86_64_V3_VNNI))));
    stages.into_iter().chain(code).chain(int8).collect()
}

/// What changed: the lines between the common head and the common tail, first the expected ones.
fn diff(expected: &str, found: &str) -> String {
    let (expected, found): (Vec<&str>, Vec<&str>) = (expected.lines().collect(), found.lines().collect());
    let head = expected.iter().zip(&found).take_while(|(a, b)| a == b).count();
    let (old, new) = (&expected[head..], &found[head..]);
    let tail = old.iter().rev().zip(new.iter().rev()).take_while(|(a, b)| a == b).count();
    let (old, new) = (&old[..old.len() - tail], &new[..new.len() - tail]);
    let side = |sign: char, lines: &[&str]| {
        let shown: String = lines.iter().take(MOST_LINES).map(|line| format!("{sign} {line}\n")).collect();
        let more = lines.len().saturating_sub(MOST_LINES);
        if more == 0 { shown } else { format!("{shown}{sign} ... {more} lines more\n") }
    };
    format!("from line {}:\n{}{}", head + 1, side('-', old), side('+', new))
}

fn check(case: &str) {
    let folder = folder().join(case);
    let is_blessing = std::env::var("UPDATE_GOLDEN").as_deref() == Ok("1");
    let mut wrong = String::new();
    for (name, found) in dumps(&folder) {
        let path = folder.join(name);
        if is_blessing {
            std::fs::write(&path, found).expect("the golden file can be written");
            continue;
        }
        match std::fs::read_to_string(&path) {
            Err(error) => wrong += &format!("\ntests/golden/{case}/{name}: {error}\n"),
            Ok(expected) if expected == found => {}
            Ok(expected) => wrong += &format!("\ntests/golden/{case}/{name} {}", diff(&expected, &found)),
        }
    }
    assert!(wrong.is_empty(), "{wrong}\nwhere the new text is right: {BLESS}");
}

#[test]
fn blocks() {
    check(BLOCKS);
}

#[test]
fn windows() {
    check(WINDOWS);
}

#[test]
fn separable() {
    check("separable");
}

#[test]
fn residual() {
    check("residual");
}

#[test]
fn branches() {
    check("branches");
}

#[test]
fn full_conv() {
    check("full-conv");
}

#[test]
fn remainders() {
    check(REMAINDERS);
}

/// The code that no CPU of ours may run is there to be read: every family of kernels, and tiles that are cut short.
#[test]
fn avx512_text_has_every_kernel() {
    let cases = CASES.map(|case| folder().join(case));
    let names: Vec<KernelName> = cases
        .iter()
        .flat_map(|case| compile(case, &X86_64_V4).program.kernels)
        .map(|kernel| kernel.name)
        .collect();
    let has = |wanted: &dyn Fn(Family) -> bool| names.iter().any(|name| wanted(name.family));
    for stride in [1, 2].map(Sides::square) {
        assert!(has(&|family| matches!(family, Family::Conv(slide) if slide.stride == stride)));
        assert!(has(&|family| matches!(family, Family::Depthwise(slide) if slide.stride == stride)));
    }
    // What makes bytes of an input is int8's alone, whose text is for AVX-VNNI.
    for family in Family::WINDOWLESS.into_iter().filter(|family| *family != Family::Quantise) {
        assert!(names.iter().any(|name| name.family == family), "{family:?}");
    }
}

/// No case without a test, no file without a dump.
#[test]
fn nothing_else_lies_there() {
    let names = |folder: &Path| -> BTreeSet<String> {
        let entries = std::fs::read_dir(folder).expect("the folder can be read");
        entries
            .map(|entry| entry.expect("the entry can be read").file_name().to_string_lossy().into_owned())
            .collect()
    };
    let cases = names(&folder());
    assert_eq!(cases, CASES.map(str::to_owned).into());
    for case in cases {
        let dumps = dumps(&folder().join(&case));
        let expected: BTreeSet<String> =
            dumps.iter().map(|(name, _)| *name).chain(["network.toml"]).map(str::to_owned).collect();
        // While new ones are being written, some aren't there yet.
        let extra: Vec<String> = names(&folder().join(&case)).difference(&expected).cloned().collect();
        assert!(extra.is_empty(), "{case}: {extra:?}");
    }
}

#[test]
fn a_diff_shows_what_changed() {
    assert_eq!(diff("a\nb\nc\nd\n", "a\nB\nB2\nd\n"), "from line 2:\n- b\n- c\n+ B\n+ B2\n");
    assert_eq!(diff("a\n", "a\nb\n"), "from line 2:\n+ b\n");
}
