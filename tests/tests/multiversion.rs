//! Objects with code for several instruction sets: each version gives the bits of the reference, the widest that the CPU has
//! is taken, and the weights are there once.

use std::process::Command;

use mnc::quantize::sample::with_integers;
use mnc::target::{Isa, X86_64_V3, X86_64_V3_VNNI, X86_64_V4, X86_64_V4_VNNI};
use mnc::{Compiled, Options, Target, reference};
use mnc_runtime::abi::Status;
use mnc_tests::folder::Folder;
use mnc_tests::guarded::Guarded;
use mnc_tests::link::{Linked, Network};
use mnc_tests::{bits, need, networks};

fn compile(isa: Option<&str>) -> Compiled {
    let (graph, parameters) = networks::builtin("mobilenet-v1", 0.25, 64);
    let target = Target::new("x86_64-unknown-linux-gnu", isa).expect("a row of the table");
    let target = if isa.is_none() { target.multiversion().expect("there are two") } else { target };
    mnc::compile(graph, &parameters, &target, &Options { name: "net", labels: &[] })
        .expect("the network is legal")
}

/// The versions of a network in int8, in the order in which the CPU is asked.
const VERSIONS: [&Isa; 4] = [&X86_64_V4_VNNI, &X86_64_V3_VNNI, &X86_64_V4, &X86_64_V3];

/// The bytes that a network for `isa` leaves behind once the CPU was found to have it.
fn proof(isa: &Isa) -> [u8; 16] {
    let words = isa.cpu_check.expect("x86-64 has levels").proof();
    let mut bytes = [0; 16];
    bytes.chunks_exact_mut(8).zip(words).for_each(|(chunk, word)| chunk.copy_from_slice(&word.to_le_bytes()));
    bytes
}

/// One inference in a workspace that ends with `before`: the status, the output, and how the workspace ends after it.
fn run(compiled: &Compiled, network: &Network<'_>, before: [u8; 16]) -> (Status, Vec<f32>, [u8; 16]) {
    let input = networks::input(compiled.program.input, 1);
    let proof = compiled.program.state_offset..compiled.program.state_offset + 16;
    let mut memory = [
        Guarded::of(&input, 0),
        Guarded::new(network.output_len * 4, 0, 0xff),
        Guarded::new(network.workspace_bytes, 0, 0xff),
    ];
    memory[2].bytes_mut()[proof.clone()].copy_from_slice(&before);
    let [x, y, workspace] = memory.each_mut().map(Guarded::as_mut_ptr);
    // SAFETY: the three point to as much memory as the network says, the workspace at a cache line.
    let status = unsafe { network.call(x.cast(), y.cast(), workspace) };
    let after = memory[2].bytes()[proof].try_into().expect("a proof has sixteen bytes");
    (status, memory[1].values(), after)
}

#[test]
#[cfg(target_arch = "x86_64")]
fn the_widest_that_the_cpu_has_runs_and_all_agree() {
    let compiled = compile(None);
    let Some(linked) = Linked::one(&compiled) else { return };
    let network = linked.network(&compiled);
    let expected = reference::output(&compiled.fused, &networks::input(compiled.program.input, 1));
    let wide = is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512cd")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl")
        // Of AMD's family 25 a Zen 4 has them, in halves.
        && std::arch::x86_64::__cpuid(1).eax & 0x0ff0_0f00 != 0x00a0_0f00;
    let (status, found, after) = run(&compiled, &network, [0; 16]);
    if status == Status::MissingCpuFeature {
        return need::skip_cpu(&compiled);
    }
    assert_eq!(bits::compare(&found, &expected), Ok(()));
    assert_eq!(after, proof(if wide { &X86_64_V4 } else { &X86_64_V3 }));
    // A workspace that says AVX2 gets the AVX2 version: nobody is asked again.
    let (status, found, after) = run(&compiled, &network, proof(&X86_64_V3));
    assert_eq!((status, bits::compare(&found, &expected)), (Status::Ok, Ok(())));
    assert_eq!(after, proof(&X86_64_V3));
}

#[test]
fn the_weights_are_shared() {
    let [both, narrow, wide] = [None, Some("x86-64-v3"), Some("x86-64-v4")].map(compile);
    let len = |compiled: &Compiled| compiled.program.constants.len();
    let wider = &both.wider[0].program;
    assert_eq!(wider.constants, both.program.constants);
    // Depthwise filters are packed by vectors, so they are there twice.
    let most = len(&narrow).max(len(&wide)) * 21 / 20;
    assert!(len(&both) < most, "{} for both, {} and {} for one", len(&both), len(&narrow), len(&wide));
    assert_eq!(
        both.program.workspace_bytes,
        narrow.program.workspace_bytes.max(wide.program.workspace_bytes)
    );
    for (program, isa) in [(&both.program, &X86_64_V3), (wider, &X86_64_V4)] {
        assert_eq!(program.isa, isa);
        let input = networks::input(program.input, 1);
        let found = program.interpret(&input).expect("every access is inside its buffer");
        assert_eq!(bits::compare(&found, &reference::output(&both.fused, &input)), Ok(()));
    }
}

/// Emulated processors without AVX-512, and one without AVX2.
#[test]
fn other_processors_get_what_they_can_run() {
    let (Some(cc), Some(qemu)) = (need::program("cc"), need::program("qemu-x86_64")) else { return };
    let compiled = compile(None);
    let folder = Folder::new();
    let input = networks::input(compiled.program.input, 1);
    folder.write("net.h", compiled.header());
    folder.write("run.c", include_str!("../fixtures/run.c"));
    folder.write("net.o", compiled.object().expect("the network can be emitted"));
    folder.write("inputs", bits::to_bytes(&input));
    let flags = ["-std=c11", "-O1", "-static", "-o", "run", "run.c", "net.o"];
    need::run(Command::new(cc).current_dir(folder.path()).args(flags));
    let emulate = |cpu: &str| {
        let arguments = ["-cpu", cpu, "./run", "inputs", "outputs"];
        Command::new(&qemu).current_dir(folder.path()).args(arguments).output().expect("the emulator starts")
    };
    let output = emulate("Haswell");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let outputs = std::fs::read(folder.path().join("outputs")).expect("the program wrote its outputs");
    let expected = reference::output(&compiled.fused, &input);
    assert_eq!(bits::compare(&bits::from_bytes(&outputs), &expected), Ok(()));

    let output = emulate("Nehalem");
    let code = Status::MissingCpuFeature.code();
    assert_eq!(output.status.code(), Some(-code), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Of a network in int8 the first version is the one with dot products of bytes; all give the bits of the reference.
#[test]
fn int8_has_dot_products_of_bytes() {
    let (graph, parameters) = networks::builtin("mobilenet-v1", 0.25, 64);
    let fused = mnc::passes::run(&graph, &parameters).expect("it can be folded");
    let fused = with_integers(&fused, 1).expect("all of its layers have integers");
    let target = Target::new("x86_64-unknown-linux-gnu", None).expect("a row of the table");
    let target = target.multiversion().expect("there are two").with_dot_products();
    let options = Options { name: "net", labels: &[] };
    let compiled = mnc::compile_fused(graph, fused, &target, &options, None).expect("the network is legal");
    let programs: Vec<_> =
        compiled.wider.iter().map(|version| &version.program).chain([&compiled.program]).collect();
    assert!(programs.iter().map(|program| program.isa).eq(VERSIONS));
    assert_eq!(compiled.wider[2].info.wider, ["x86-64-v4-vnni", "x86-64-v3-vnni"]);
    let input = networks::input(compiled.program.input, 1);
    let expected = reference::output(&compiled.fused, &input);
    for program in programs {
        assert_eq!(program.constants, compiled.program.constants, "the weights are there once");
        let found = program.interpret(&input).expect("every access is inside its buffer");
        assert_eq!(bits::compare(&found, &expected), Ok(()));
    }
    let n_dots = |compiled: &Compiled| -> usize {
        let texts = compiled.texts().expect("the network can be emitted");
        texts.iter().map(|function| function.assembly.matches("vpdpbusd").count()).sum()
    };
    let alone = |isa: &str| {
        let target = Target::new("x86_64-unknown-linux-gnu", Some(isa)).expect("a row of the table");
        let (graph, fused) = (compiled.graph.clone(), compiled.fused.clone());
        n_dots(&mnc::compile_fused(graph, fused, &target, &options, None).expect("the network is legal"))
    };
    let [wide, narrow, none @ ..] = VERSIONS.map(|isa| alone(isa.name));
    assert!(0 < wide && 0 < narrow, "{wide} and {narrow} dot products");
    assert_eq!((n_dots(&compiled), none), (wide + narrow, [0, 0]));
    let Some(linked) = Linked::one(&compiled) else { return };
    let network = linked.network(&compiled);
    let mut ran = 0;
    // What this CPU takes, and the narrowest, which it is told to.
    for before in [[0; 16], proof(&X86_64_V3)] {
        let (status, found, after) = run(&compiled, &network, before);
        if status == Status::MissingCpuFeature {
            return need::skip_cpu(&compiled);
        }
        assert_eq!((status, bits::compare(&found, &expected)), (Status::Ok, Ok(())));
        assert!(VERSIONS.map(proof).contains(&after));
        ran += 1;
    }
    assert_eq!(ran, 2);
}

#[test]
fn only_targets_with_wider_vectors_have_versions() {
    for (triple, cpu) in
        [("aarch64-unknown-linux-gnu", None), ("x86_64-unknown-linux-gnu", Some("x86-64-v4"))]
    {
        let target = Target::new(triple, cpu).expect("a row of the table");
        let error = target.multiversion().unwrap_err().to_string();
        assert!(error.contains("no wider instruction set beside it"), "{error}");
    }
}
