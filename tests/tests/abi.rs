//! The promises of the C header, from C, from C++ and from threads.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

use mnc::target::PLATFORMS;
use mnc::{Compiled, Options, Target, reference};
use mnc_runtime::abi::{Parallel, Status, WORKSPACE_ALIGN};
use mnc_tests::folder::Folder;
use mnc_tests::guarded::Guarded;
use mnc_tests::link::{Linked, Network};
use mnc_tests::networks::{self, RandomNetwork};
use mnc_tests::{bits, each, need, pool};

/// Standards that the header is written for, with the language's name on the command line.
const STANDARDS: [(&str, &str); 3] = [("c", "c99"), ("c", "c11"), ("c++", "c++17")];
const WARNINGS: [&str; 4] = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"];

fn compile(name: &str, target: &Target) -> Compiled {
    compile_sized(name, target, (0.25, 32))
}

fn compile_sized(name: &str, target: &Target, (alpha, resolution): (f64, usize)) -> Compiled {
    let (graph, parameters) = networks::builtin("mobilenet-v1", alpha, resolution);
    mnc::compile(graph, &parameters, target, &Options { name, labels: &[] }).expect("the network is legal")
}

/// For each instruction set of this machine.
fn with_network(check: impl Fn(&Compiled, &Network<'_>)) {
    with_network_of((0.25, 32), check);
}

fn with_network_of(size: (f64, usize), check: impl Fn(&Compiled, &Network<'_>)) {
    for target in need::host_targets() {
        let compiled = compile_sized("net", &target, size);
        let Some(linked) = Linked::one(&compiled) else { return };
        let network = linked.network(&compiled);
        let input = networks::input(compiled.program.input, 1);
        if network.run(&input) == Err(Status::MissingCpuFeature) {
            need::skip_cpu(&compiled);
            continue;
        }
        check(&compiled, &network);
    }
}

/// The C compilers and C++ compilers of this machine.
fn compilers() -> Vec<[std::path::PathBuf; 2]> {
    let gcc = [need::program("gcc"), need::program("g++")];
    let clang = [need::program("clang"), need::program("clang++")];
    [gcc, clang].into_iter().filter_map(|[c, cxx]| Some([c?, cxx?])).collect()
}

fn compile_c(
    compilers: &[std::path::PathBuf; 2],
    (language, standard): (&str, &str),
    folder: &Path,
    rest: &[&str],
) {
    let compiler = &compilers[usize::from(language == "c++")];
    let standard = format!("-std={standard}");
    let flags = ["-x", language, standard.as_str()].into_iter().chain(WARNINGS).chain(rest.iter().copied());
    need::run(Command::new(compiler).current_dir(folder).args(flags.map(OsStr::new)));
}

/// The headers of a classifier, of one with its weights in a file, and of a network that returns a feature map of many channels.
#[test]
fn the_header_compiles_everywhere() {
    let target = Target::new("x86_64-unknown-linux-gnu", None).expect("a row of the table");
    let random = RandomNetwork::new(1);
    let options = Options { name: "net", labels: &[] };
    let random =
        mnc::compile(random.graph, &random.parameters, &target, &options).expect("the network is legal");
    let outside = compile("net", &target).with_weights_file("net.weights");
    for compiled in [compile("net", &target), random, outside] {
        let folder = Folder::new();
        folder.write("net.h", compiled.header());
        folder.write("header.c", include_str!("../fixtures/header.c"));
        for compilers in compilers() {
            for standard in STANDARDS {
                let bytes = if compiled.info.takes_bytes() { "-DTAKES_BYTES" } else { "-DTAKES_NONE" };
                compile_c(&compilers, standard, folder.path(), &[bytes, "-fsyntax-only", "header.c"]);
            }
        }
    }
}

/// Only objects for more than the baseline of their architecture ask the processor for its features.
#[test]
fn the_header_names_no_status_that_the_object_never_returns() {
    let network = RandomNetwork::new(1);
    for target in PLATFORMS.iter().flat_map(need::targets_of) {
        let options = Options { name: "net", labels: &[] };
        let compiled = mnc::compile(network.graph.clone(), &network.parameters, &target, &options);
        let compiled = compiled.expect("the network is legal");
        let has =
            |header: &str, status: Status| header.contains(&format!("     {:3}  {status}", status.code()));
        let header = compiled.header();
        let takes_bytes = compiled.info.takes_bytes();
        for (status, expected) in [
            (Status::NullPointer, true),
            (Status::MisalignedWorkspace, true),
            (Status::MissingCpuFeature, target.isa.cpu_check.is_some()),
            (Status::ShortRowStride, takes_bytes),
            (Status::NotBound, false),
            (Status::WrongWeights, false),
        ] {
            assert_eq!(has(&header, status), expected, "{status} of {target}");
        }
        let outside = compiled.with_weights_file("net.weights").header();
        assert!(has(&outside, Status::NotBound) && has(&outside, Status::WrongWeights), "{target}");
    }
}

#[test]
fn two_networks_in_one_program() {
    for target in need::host_targets().into_iter().take(1) {
        let first = compile("first", &target);
        let network = RandomNetwork::new(2);
        let options = Options { name: "second", labels: &[] };
        let second = mnc::compile(network.graph, &network.parameters, &target, &options).expect("legal");

        let folder = Folder::new();
        folder.write("two.c", include_str!("../fixtures/two.c"));
        let mut expected = Vec::new();
        for compiled in [&first, &second] {
            let name = &compiled.info.name;
            folder.write(&format!("{name}.h"), compiled.header());
            folder.write(&format!("{name}.o"), compiled.object().expect("it can be emitted"));
            let input: Vec<f32> =
                (0..compiled.program.input.len()).map(|idx| (idx % 17) as f32 / 8.0 - 1.0).collect();
            expected.extend(reference::output(&compiled.fused, &input));
        }
        for compilers in compilers() {
            for standard in STANDARDS {
                // `-x none`: what follows is told by its name again.
                let rest = ["two.c", "-x", "none", "first.o", "second.o", "-o", "two"];
                compile_c(&compilers, standard, folder.path(), &rest);
                let output = Command::new(folder.path().join("two")).output().expect("the program starts");
                match output.status.code() {
                    Some(0) => {}
                    Some(3) => return need::skip_cpu(&first),
                    _ => panic!("{standard:?}: {}", output.status),
                }
                let text = String::from_utf8(output.stdout).expect("the program prints digits");
                let bits = |line| f32::from_bits(u32::from_str_radix(line, 16).expect("a line is a number"));
                let found: Vec<f32> = text.lines().map(bits).collect();
                bits::compare(&found, &expected).unwrap_or_else(|error| panic!("{standard:?}: {error}"));
            }
        }
    }
}

#[test]
fn wrong_pointers_get_their_status_and_nothing_is_written() {
    with_network(|compiled, network| {
        let input = networks::input(compiled.program.input, 1);
        for (nulls, past_line, expected) in [
            ([true, false, false], 0, Status::NullPointer),
            ([false, true, false], 0, Status::NullPointer),
            ([false, false, true], 0, Status::NullPointer),
            ([true, true, true], 0, Status::NullPointer),
            ([false, false, false], 4, Status::MisalignedWorkspace),
            ([false, false, false], 1, Status::MisalignedWorkspace),
            ([false, false, false], WORKSPACE_ALIGN / 2, Status::MisalignedWorkspace),
        ] {
            let mut memory = [
                Guarded::of(&input, 0),
                Guarded::new(network.output_len * 4, 0, 0x5a),
                Guarded::new(network.workspace_bytes, past_line, 0x5a),
            ];
            let pointers = memory.each_mut().map(Guarded::as_mut_ptr);
            let pointer = |idx: usize| if nulls[idx] { std::ptr::null_mut() } else { pointers[idx] };
            // SAFETY: each pointer is null or points to as much memory as the network says.
            let status = unsafe { network.call(pointer(0).cast(), pointer(1).cast(), pointer(2)) };
            assert_eq!(status, expected, "{nulls:?}, workspace {past_line} bytes past a cache line");
            // SAFETY: likewise, and the pool lives for ever.
            let status = unsafe {
                network.call_parallel(pointer(0).cast(), pointer(1).cast(), pointer(2), &pool::BACKWARDS)
            };
            assert_eq!(
                status, expected,
                "in parallel: {nulls:?}, workspace {past_line} bytes past a cache line"
            );
            assert!(memory.iter().all(Guarded::is_intact));
            for part in &memory[1..] {
                assert!(part.bytes().iter().all(|byte| *byte == 0x5a), "nothing is written on an error");
            }
        }
        let mut memory = [
            Guarded::of(&input, 0),
            Guarded::new(network.output_len * 4, 0, 0x5a),
            Guarded::new(network.workspace_bytes, 0, 0x5a),
        ];
        let [x, y, workspace] = memory.each_mut().map(Guarded::as_mut_ptr);
        // SAFETY: the three point to as much memory as the network says; the pool is null.
        let status = unsafe { network.call_parallel(x.cast(), y.cast(), workspace, std::ptr::null()) };
        assert_eq!(status, Status::NullPointer, "no pool");
        // A pool of zero bytes: neither context nor function.
        let empty = std::mem::MaybeUninit::<Parallel>::zeroed();
        // SAFETY: likewise; the pool's function is null.
        let status = unsafe { network.call_parallel(x.cast(), y.cast(), workspace, empty.as_ptr()) };
        assert_eq!(status, Status::NullPointer, "a pool without a function");
        for pool in [std::ptr::null(), empty.as_ptr()] {
            let pixels = (memory[0].as_mut_ptr().cast_const(), network.row_bytes);
            // SAFETY: the input is longer than the picture; the pool is null, or its function.
            let status = unsafe { network.call_u8(pixels, y.cast(), workspace, Some(pool)) };
            assert_eq!(status, Status::NullPointer, "no pool for bytes, or one without a function");
        }
        assert!(memory[2].bytes().iter().all(|byte| *byte == 0x5a), "nothing is written on an error");
        assert!(memory[1].bytes().iter().all(|byte| *byte == 0x5a), "nothing is written on an error");
    });
}

#[test]
fn eight_threads_share_one_network() {
    with_network(|compiled, network| {
        let inputs: Vec<Vec<f32>> =
            (0..8).map(|seed| networks::input(compiled.program.input, seed)).collect();
        let expected = each(&inputs, |input| reference::output(&compiled.fused, input));
        let start = std::sync::Barrier::new(inputs.len());
        std::thread::scope(|scope| {
            for (input, expected) in inputs.iter().zip(&expected) {
                scope.spawn(|| {
                    start.wait();
                    for _ in 0..20 {
                        let found = network.run(input).expect("the CPU has what it takes");
                        assert_eq!(bits::compare(&found, expected), Ok(()));
                    }
                });
            }
        });
    });
}

/// The pieces of a step in any order, one by one or all at once.
#[test]
fn pools_change_nothing() {
    with_network(|compiled, network| {
        let input = networks::input(compiled.program.input, 1);
        let expected = reference::output(&compiled.fused, &input);
        for pool in [&pool::FORWARDS, &pool::BACKWARDS, &pool::ALL_AT_ONCE] {
            let found = network.run_on(&input, pool).expect("the CPU has what it takes");
            assert_eq!(bits::compare(&found, &expected), Ok(()));
        }
        // A network of this size has something to share out.
        assert!(compiled.program.steps.iter().any(|step| 1 < step.tasks.len()));
    });
}

/// Parts that run through two layers, while another part is still in the first of them.
#[test]
fn pools_may_run_ahead_within_a_pair() {
    with_network_of((0.5, 96), |compiled, network| {
        assert!(compiled.plan.schedule.steps.iter().any(|step| step.half().is_some()));
        let input = networks::input(compiled.program.input, 1);
        let expected = reference::output(&compiled.fused, &input);
        for pool in [&pool::FORWARDS, &pool::BACKWARDS, &pool::ALL_AT_ONCE] {
            let found = network.run_on(&input, pool).expect("the CPU has what it takes");
            assert_eq!(bits::compare(&found, &expected), Ok(()));
        }
    });
}

/// Zeros, NaN, what an earlier inference left: all the same to the next one.
#[test]
fn the_content_of_the_workspace_does_not_matter() {
    with_network(|compiled, network| {
        let input = networks::input(compiled.program.input, 1);
        let expected = reference::output(&compiled.fused, &input);
        // As f32: 0, NaN, 3.4e38, -1.8e-12.
        for fill in [0, 0xff, 0x7f, 0xac] {
            let found = network.run_over(&input, fill).expect("the CPU has what it takes");
            assert_eq!(bits::compare(&found, &expected), Ok(()), "workspace of {fill:#x}");
        }
        let mut memory = [
            Guarded::of(&input, 8),
            Guarded::new(network.output_len * 4, 4, 0xff),
            Guarded::new(network.workspace_bytes, 0, 0xff),
        ];
        for seed in [2, 3, 1] {
            let input = networks::input(compiled.program.input, seed);
            memory[0] = Guarded::of(&input, 8);
            let [x, y, workspace] = memory.each_mut().map(Guarded::as_mut_ptr);
            // SAFETY: the three point to as much memory as the network says, the workspace at a cache line.
            assert_eq!(unsafe { network.call(x.cast(), y.cast(), workspace) }, Status::Ok);
        }
        assert_eq!(bits::compare(&memory[1].values(), &expected), Ok(()));
    });
}

#[test]
fn the_description_is_that_of_the_compiler() {
    with_network(|compiled, network| {
        assert_eq!(network.info(), compiled.info.to_json());
    });
}
