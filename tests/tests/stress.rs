//! The runtime's pool and the marks of parts that may resume, on a processor whose memory model is weaker than x86-64's: many runs
//! of one executable in an emulator, whose threads are threads of this machine, each compared with the reference bit for bit.

use std::process::Command;

use mnc::describe::Description;
use mnc::graph::{Graph, Knobs};
use mnc::weights::Parameters;
use mnc::{Options, Target};
use mnc_tests::command::mnc;
use mnc_tests::folder::Folder;
use mnc_tests::need;
use serde_json::Value;

const TRIPLE: &str = "aarch64-unknown-linux-gnu";

/// Maps larger than the cache, in a chain of several parts: each looks whether the part before it is done. Little arithmetic.
const TALL: &str = "name = \"tall\"\nclasses = 3\ninput = { height = 320, width = 64, channels = 3 }\n\
    [[layer]]\nkind = \"conv\"\nfilters = 8\n[[layer]]\nkind = \"separable\"\nfilters = 8\n\
    [[layer]]\nkind = \"separable\"\nfilters = 8\nstride = 2\n\
    [[layer]]\nkind = \"global_average_pool\"\n[[layer]]\nkind = \"dense\"\n";

/// Runs with each number of threads.
const RUNS: u64 = 20;

#[test]
fn pools_of_two_to_eight_threads_give_the_bits_of_one() {
    let Some(mnc) = mnc() else { return };
    if need::program("qemu-aarch64").is_none() || !need::has_std(TRIPLE) {
        return;
    }
    let description = Description::parse(TALL, "tall.toml").expect("it is legal");
    let graph = Graph::build(&description, &Knobs::default()).expect("it is legal");
    let parameters = Parameters::random(&graph, 1);
    let target = Target::new(TRIPLE, None).expect("a row of the table");
    let options = Options { name: "tall", labels: &[] };
    let compiled = mnc::compile(graph, &parameters, &target, &options).expect("it is legal");
    let tasks = compiled.program.steps.iter().flat_map(|step| &step.tasks);
    let n_resuming = tasks.filter(|task| task.resume.is_some()).count();
    assert!(3 <= n_resuming, "{n_resuming} parts may resume, expected several");

    let folder = Folder::new();
    folder.write("tall.toml", TALL);
    let mut command = Command::new(mnc);
    command.current_dir(folder.path()).args(["verify", "tall.toml", "--random-weights", "1", "--json"]);
    command.args(["--target", TRIPLE, "--linker", "internal", "--inputs", "1"]);
    command.args(["--threads", "2,3,4,5,6,7,8", "--runs", &RUNS.to_string()]);
    let output = need::run(&mut command);
    let document: Value = serde_json::from_slice(&output.stdout).expect("one document");
    assert_eq!(document["is_right"], true, "{document}");
    let n_runs = document["n_runs"].as_u64().unwrap_or(0);
    assert!(7 * RUNS <= n_runs, "{n_runs} runs: {document}");
}
