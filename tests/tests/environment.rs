//! Floating-point environments: whatever a host or a thread of its pool has set, the bits are the reference's, and it gets
//! back what it had.
//!
//! The host is a program in C: in Rust a changed environment is undefined behaviour.

use std::path::PathBuf;
use std::process::Command;

use mnc::graph::Graph;
use mnc::target::PLATFORMS;
use mnc::weights::Parameters;
use mnc::{Compiled, Options, Target, reference};
use mnc_tests::folder::Folder;
use mnc_tests::networks::{self, RandomNetwork};
use mnc_tests::{bits, need};

const HOST_C: &str = include_str!("../fixtures/environment.c");

/// What the program ends with on a CPU that lacks a feature.
const MISSING_CPU_FEATURE: i32 = 3;

/// How programs are linked and run.
struct Machine {
    cc: PathBuf,
    /// What runs them, with its arguments; empty for this machine.
    emulator: Vec<String>,
}

impl Machine {
    fn here() -> Option<Machine> {
        Some(Machine { cc: need::program("cc")?, emulator: Vec::new() })
    }

    fn emulated(cc: &str, emulator: &str, cpu: &str) -> Option<Machine> {
        let (cc, emulator) = (need::program(cc)?, need::program(emulator)?);
        let emulator = [emulator.display().to_string(), "-cpu".to_owned(), cpu.to_owned()];
        Some(Machine { cc, emulator: emulator.into() })
    }

    /// Runs the network in every environment on each of the inputs.
    fn check(&self, compiled: &Compiled, inputs: &[Vec<f32>]) {
        let folder = Folder::new();
        let expected = inputs.iter().flat_map(|input| reference::output(&compiled.fused, input));
        folder.write("expected", bits::to_bytes(&expected.collect::<Vec<f32>>()));
        folder.write("inputs", bits::to_bytes(&inputs.concat()));
        folder.write("net.h", compiled.header());
        folder.write("net.o", compiled.object().expect("the network can be emitted"));
        folder.write("environment.c", HOST_C);
        let flags = ["-std=c11", "-O1", "-Wall", "-Wextra", "-Werror", "-static", "-pthread", "-o", "host"];
        let takes_bytes = compiled.info.takes_bytes().then_some("-DTAKES_BYTES");
        let files = ["environment.c", "net.o"];
        need::run(
            Command::new(&self.cc).current_dir(folder.path()).args(flags).args(takes_bytes).args(files),
        );
        let words: Vec<&str> =
            self.emulator.iter().map(String::as_str).chain(["./host", "inputs", "expected"]).collect();
        let output = Command::new(words[0]).args(&words[1..]).current_dir(folder.path()).output();
        let output = output.expect("the program starts");
        if output.status.code() == Some(MISSING_CPU_FEATURE) {
            return need::skip_cpu(compiled);
        }
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {}, {said}", compiled.target, output.status);
    }
}

fn compile(graph: &Graph, parameters: &Parameters, target: &Target) -> Compiled {
    let options = Options { name: "net", labels: &[] };
    mnc::compile(graph.clone(), parameters, target, &options).expect("the network is legal")
}

/// One with steps for pools, and random ones whose inputs are denormal.
fn check_networks(machine: &Machine, target: &Target, resolution: usize) {
    let (graph, parameters) = networks::builtin("mobilenet-v1", 0.25, resolution);
    let compiled = compile(&graph, &parameters, target);
    assert!(compiled.program.steps.iter().any(|step| 1 < step.tasks.len()), "a step for pools");
    machine.check(&compiled, &[networks::input(graph.input_shape(), 1)]);
    for seed in 0..4 {
        let network = RandomNetwork::new(seed);
        machine.check(&compile(&network.graph, &network.parameters, target), &network.inputs());
    }
}

#[test]
fn here() {
    let Some(machine) = Machine::here() else { return };
    for target in need::host_targets() {
        check_networks(&machine, &target, 64);
    }
}

#[test]
fn aarch64() {
    if let Some(machine) = Machine::emulated("aarch64-linux-gnu-gcc", "qemu-aarch64", "max") {
        let target = Target::new("aarch64-unknown-linux-gnu", None).expect("a row of the table");
        check_networks(&machine, &target, 32);
    }
}

#[test]
fn riscv64() {
    let cpu = "rv64,v=true,vlen=128,zba=true,zbb=true,zbs=true";
    if let Some(machine) = Machine::emulated("riscv64-linux-gnu-gcc", "qemu-riscv64", cpu) {
        let target = Target::new("riscv64gc-unknown-linux-gnu", None).expect("a row of the table");
        check_networks(&machine, &target, 32);
    }
}

/// Each platform says what a run sets and restores.
#[test]
fn every_platform_has_an_environment() {
    for isa in PLATFORMS.iter().flat_map(|platform| platform.isas) {
        assert!(isa.float_control.is_some(), "{}", isa.name);
    }
}
