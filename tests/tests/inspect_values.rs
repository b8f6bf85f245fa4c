//! `mnc inspect` holds each kernel to the values of the workspace that it was called for.

use std::fs;
use std::process::Command;

use mnc::inspect::inspect;
use mnc::program::{Argument, Call, Program};
use mnc::{Compiled, Options, Target};
use mnc_tests::command::mnc;
use mnc_tests::folder::Folder;
use mnc_tests::{need, networks};

const X86: &str = "x86_64-unknown-linux-gnu";
const ISAS: [&str; 2] = ["x86-64-v3", "x86-64-v4"];

fn compiled(target: &Target) -> Compiled {
    let (graph, parameters) = networks::builtin("mobilenet-v1", 0.25, 32);
    mnc::compile(graph, &parameters, target, &Options { name: "net", labels: &[] }).expect("it is legal")
}

fn target(isa: &str) -> Target {
    Target::new(X86, Some(isa)).expect("a row of the table")
}

/// What is said against an object, if anything.
fn found(compiled: &Compiled) -> String {
    let report = inspect(&compiled.object().expect("it can be written")).expect("it can be read");
    let broken = report.promises.iter().filter(|promise| promise.kept == Some(false));
    broken.map(|promise| format!("{}: {}\n", promise.promise, promise.found)).collect()
}

/// Every call of the first step, on one thread and on several.
fn first_calls(program: &mut Program) -> impl Iterator<Item = &mut Call> {
    let step = &mut program.steps[0];
    step.calls.iter_mut().chain(step.tasks.iter_mut().flat_map(|task| &mut task.calls))
}

#[test]
fn versions_of_one_object_keep_to_their_own_values() {
    let several = target(ISAS[0]).multiversion().expect("there are two");
    let compiled = compiled(&several);
    assert_eq!(found(&compiled), "");
}

/// How often a file lists values.
fn n_lists(bytes: &[u8]) -> usize {
    const START: &[u8] = b"[{\"steps\":[{\"name\":";
    bytes.windows(START.len()).filter(|window| *window == START).count()
}

/// The list goes where the description goes, except into executables, which nobody walks: they stay as small as they were.
#[test]
fn every_object_and_library_has_one_list() {
    let several = compiled(&target(ISAS[0]).multiversion().expect("there are two"));
    assert_eq!(n_lists(&several.object().expect("it can be written")), 1);
    assert_eq!(n_lists(&several.executable_object().expect("it can be written")), 0);
    let Some(mnc) = mnc() else { return };
    let folder = Folder::new();
    let network =
        ["compile", "mobilenet-v1", "--random-weights", "1", "--alpha", "0.25", "--resolution", "32", "-q"];
    let emit = ["--target", X86, "--name", "net", "-o", "net/", "--emit", "obj,staticlib,cdylib,exe"];
    need::run(Command::new(mnc).current_dir(folder.path()).args(network).args(emit));
    let read = |file: &str| fs::read(folder.path().join("net").join(file)).expect("it was written");
    for (file, n) in [("net.o", 1), ("libnet.a", 1), ("libnet.so", 1), ("net", 0)] {
        assert_eq!(n_lists(&read(file)), n, "{file}");
    }
    // A static library holds the object as it is.
    let (library, object) = (read("libnet.a"), read("net.o"));
    assert!(library.windows(object.len()).any(|window| window == object));
    for file in ["net.o", "libnet.so"] {
        let report = inspect(&read(file)).expect("it can be read");
        assert!(report.is_kept() && !report.walks.is_empty(), "{file}: {report:#?}");
    }
}

/// One element farther than it should: inside of the workspace, behind the value's end.
#[test]
fn a_kernel_that_leaves_its_value_is_refused() {
    for isa in ISAS {
        let mut compiled = compiled(&target(isa));
        let value = compiled.program.steps[0].calls.last().expect("it has calls").arguments.last().copied();
        let Some(Argument::Workspace { value, .. }) = value else { panic!("{value:?}") };
        let name = compiled.program.values[value].name.clone();
        for call in first_calls(&mut compiled.program) {
            for argument in &mut call.arguments {
                if let Argument::Workspace { value: of, offset } = argument
                    && *of == value
                {
                    *offset += 4;
                }
            }
        }
        let found = found(&compiled);
        let step = &compiled.program.steps[0].name;
        for entry in ["net_run: ", "net_run_parallel: ", "net_run_u8: ", "net_run_u8_parallel: "] {
            assert!(found.contains(entry), "{isa}: {entry} in {found}");
        }
        assert!(
            found.contains(&format!(": {step}: net_")) && found.contains(&format!(" of {name}")),
            "{found}"
        );
    }
}

#[test]
fn a_value_that_nobody_writes_is_not_read() {
    for isa in ISAS {
        let mut compiled = compiled(&target(isa));
        // On one thread the first step does what the second does, on several each task does what the first does.
        compiled.program.steps[0].calls = compiled.program.steps[1].calls.clone();
        for step in compiled.program.steps.iter_mut().filter(|step| 1 < step.tasks.len()) {
            let first = step.tasks[0].calls.clone();
            step.tasks.iter_mut().for_each(|task| task.calls.clone_from(&first));
        }
        assert!(compiled.program.steps.iter().any(|step| 1 < step.tasks.len()), "{isa}: a step for a pool");
        let found = found(&compiled);
        for entry in ["net_run: ", "net_run_parallel: "] {
            assert!(found.contains(entry), "{isa}: {entry} in {found}");
        }
        assert!(found.contains("before they are written"), "{found}");
    }
}

/// Two steps whose code is exchanged.
#[test]
fn steps_have_their_order() {
    let mut compiled = compiled(&target(ISAS[0]));
    let (first, second) = compiled.program.steps.split_at_mut(4);
    std::mem::swap(&mut first[3].calls, &mut second[0].calls);
    let step = first[3].name.clone();
    let found = found(&compiled);
    assert!(found.contains(&format!(": {step}: net_")), "{found}");
    assert!(found.contains("of the workspace, of ") || found.contains("before they are written"), "{found}");
}

/// A program's values may be changed behind its code: so the list says what isn't so.
fn told(change: impl FnOnce(&mut Program)) -> String {
    let mut compiled = compiled(&target(ISAS[0]));
    change(&mut compiled.program);
    found(&compiled)
}

#[test]
fn a_list_that_is_not_that_of_the_code_is_refused() {
    let dead = told(|program| {
        let value = program.values.iter_mut().find(|value| value.first_step < value.last_step);
        let value = value.expect("an output is read in the step behind it");
        value.last_step = value.first_step;
    });
    assert!(dead.contains(" only"), "{dead}");
    let shorter = told(|program| program.values[1].bytes -= 4);
    assert!(shorter.contains("bytes at byte"), "{shorter}");
    let overlapping = told(|program| program.values[1] = program.values[2].clone());
    assert!(overlapping.contains("lies in the bytes of "), "{overlapping}");
    let tasks = told(|program| {
        let step = program.steps.iter().position(|step| 1 < step.tasks.len()).expect("a step for a pool");
        program.steps[step].name = "\u{202e}\n".to_owned();
        program.values.retain(|value| value.first_step != step);
    });
    assert!(tasks.contains("\\u{202e}\\n: net_") && !tasks.contains('\u{202e}'), "{tasks}");
    // One version's list for both, and a list too few.
    let several = compiled(&target(ISAS[0]).multiversion().expect("there are two"));
    let object = several.object().expect("it can be written");
    let start = object.windows(9).position(|window| window == b"[{\"steps\"").expect("there is a list");
    let end = start + object[start..].iter().position(|byte| *byte == 0).expect("it ends");
    let list: serde_json::Value = serde_json::from_slice(&object[start..end]).expect("it is JSON");
    let [wide, narrow] = &list.as_array().expect("it is an array")[..] else { panic!("{list}") };
    let with = |list: serde_json::Value| {
        let text = list.to_string();
        let mut object = object.clone();
        object[start..end].fill(b' ');
        object[start..start + text.len()].copy_from_slice(text.as_bytes());
        let report = inspect(&object).expect("it can be read");
        let broken = report.promises.into_iter().filter(|promise| promise.kept == Some(false));
        broken.map(|promise| promise.found).collect::<String>()
    };
    assert_eq!(with(serde_json::json!([wide, narrow])), "");
    assert_eq!(with(serde_json::json!([narrow, wide])), "", "no order is promised");
    assert!(with(serde_json::json!([narrow])).contains("lists of the values of 1 workspaces"));
    let narrows = with(serde_json::json!([narrow, narrow]));
    assert!(narrows.contains("; in another order of its versions: "), "{narrows}");
}
