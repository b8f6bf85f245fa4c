//! A network under load: many inferences, threads, processes, children, libraries that come and go, little stack. Every output
//! has the bits of the first and memory stays what it was. `MNC_LOAD=N` does N times as much.

use std::process::{Command, Stdio};

use mnc::{Compiled, Options};
use mnc_tests::folder::Folder;
use mnc_tests::{need, networks};

/// Kilobytes by which a process may grow: pages that are touched for the first time late, no leak of one run in ten.
const MOST_GROWN: i64 = 256;

/// How much of everything is done.
fn times(n: usize) -> String {
    let factor = match std::env::var("MNC_LOAD") {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("MNC_LOAD: found {text:?}, expected a number")),
        Err(_) => 1,
    };
    (n * factor).to_string()
}

/// The program `load` and the library `libnet.so`, for each instruction set of this machine.
fn programs() -> Vec<(Folder, Compiled)> {
    let Some(cc) = need::program("cc") else { return Vec::new() };
    let build = |target: mnc::Target| {
        let (graph, parameters) = networks::builtin("mobilenet-v1", 0.25, 32);
        let options = Options { name: "net", labels: &[] };
        let compiled = mnc::compile(graph, &parameters, &target, &options).expect("the network is legal");
        let folder = Folder::new();
        folder.write("net.h", compiled.header());
        folder.write("net.o", compiled.object().expect("it can be emitted"));
        folder.write("load.c", include_str!("../fixtures/load.c"));
        let flags =
            ["-std=c11", "-O1", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-o", "load", "load.c", "net.o"];
        need::run(Command::new(&cc).current_dir(folder.path()).args(flags).args(["-pthread", "-ldl"]));
        need::run(Command::new(&cc).current_dir(folder.path()).args(["-shared", "-o", "libnet.so", "net.o"]));
        (folder, compiled)
    };
    need::host_targets().into_iter().map(build).collect()
}

/// Runs a mode of the program for each instruction set.
fn check(arguments: &[&str]) {
    for (folder, compiled) in programs() {
        let output = Command::new("./load").current_dir(folder.path()).args(arguments).output();
        let output = output.expect("the program starts");
        match output.status.code() {
            Some(0) => {}
            Some(3) => {
                need::skip_cpu(&compiled);
                continue;
            }
            _ => panic!("{arguments:?}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr)),
        }
        let text = String::from_utf8_lossy(&output.stdout);
        let grown: i64 = text.trim().parse().unwrap_or_else(|_| panic!("{arguments:?}: printed {text:?}"));
        assert!(grown < MOST_GROWN, "{arguments:?} for {}: grew by {grown} kB", compiled.target);
    }
}

#[test]
fn many_inferences() {
    check(&["runs", &times(5_000)]);
}

#[test]
fn eight_threads_with_eight_workspaces_each() {
    check(&["threads", "8", "8", &times(10)]);
}

#[test]
fn sixty_four_threads_on_a_pool() {
    check(&["pool", "64", &times(10)]);
}

#[test]
fn children_after_a_run() {
    check(&["fork", &times(100)]);
}

/// The smallest stack of which docs/abi.md speaks.
#[test]
fn sixty_four_kilobytes_of_stack() {
    check(&["stack", "65536"]);
}

#[test]
fn a_library_loaded_a_thousand_times() {
    check(&["dlopen", "./libnet.so", &times(1_000)]);
}

#[test]
fn two_hundred_processes_at_once() {
    let Some((folder, compiled)) = programs().into_iter().next() else { return };
    let start = |_| {
        let mut command = Command::new("./load");
        command.current_dir(folder.path()).args(["runs", &times(10)]).stdout(Stdio::null());
        command.spawn().expect("the program starts")
    };
    let children: Vec<_> = (0..200).map(start).collect();
    for (idx, mut child) in children.into_iter().enumerate() {
        let status = child.wait().expect("a child can be waited for");
        if status.code() == Some(3) {
            need::skip_cpu(&compiled);
            continue;
        }
        assert!(status.success(), "process {idx}: {status}");
    }
}
