//! Random networks: compiled code, interpreter and reference agree bit for bit, and what the plan promises holds.

use std::fmt::Write as _;

use mnc::plan::{Plan, WORKSPACE_ALIGN};
use mnc::program::{ProgramStep, Turn};
use mnc::schedule::{Chain, Place, Step, ValueId};
use mnc::target::{ISAS, X86_64_V3};
use mnc::weights::Weights;
use mnc::weights::naming::Naming;
use mnc::{Compiled, Options, Target, reference};
use mnc_runtime::abi::Status;
use mnc_tests::link::Linked;
use mnc_tests::networks::{RandomNetwork, SMALL_CACHES};
use mnc_tests::turns::{backwards, forwards, shuffled};
use mnc_tests::{bits, each, need, pool};

/// How many networks, one a seed: usually.
const N_NETWORKS: u64 = 400;
/// Networks of one shared library: linking costs as much as compiling one of them.
const BATCH: u64 = 20;

fn compile(network: &RandomNetwork, target: &Target, name: &str) -> Compiled {
    mnc::compile(network.graph.clone(), &network.parameters, target, &Options { name, labels: &[] })
        .unwrap_or_else(|error| panic!("seed {}: {error}\n{}", network.seed, network.toml))
}

/// Collects what is wrong, so that one run shows all of it.
fn report(faults: Vec<String>) {
    if faults.is_empty() {
        return;
    }
    let mut text = format!("{} faults", faults.len());
    for fault in faults.iter().take(5) {
        write!(text, "\n\n{fault}").expect("a String takes every write");
    }
    panic!("{text}");
}

fn fault(network: &RandomNetwork, what: &str, detail: &str) -> String {
    format!("seed {}, {what}: {detail}\nalpha = {}\n{}", network.seed, network.graph.alpha, network.toml)
}

fn seeds() -> Vec<u64> {
    (0..need::n_seeds(N_NETWORKS)).collect()
}

#[test]
fn compiled_equals_reference() {
    let mut targets = need::host_targets();
    if let Some(target) = targets.iter().find(|target| target.isa.name == X86_64_V3.name).cloned() {
        targets.push(Target { isa: &SMALL_CACHES[0], ..target });
    }
    let batches: Vec<Vec<u64>> = seeds().chunks(BATCH as usize).map(<[u64]>::to_vec).collect();
    let check = |batch: &Vec<u64>| -> Vec<String> {
        let networks: Vec<RandomNetwork> = batch.iter().map(|seed| RandomNetwork::new(*seed)).collect();
        let compiled: Vec<(&RandomNetwork, Compiled)> = networks
            .iter()
            .flat_map(|network| targets.iter().enumerate().map(move |(idx, target)| (network, idx, target)))
            .map(|(network, idx, target)| {
                (network, compile(network, target, &format!("n{}_{idx}", network.seed)))
            })
            .collect();
        let objects = compiled.iter().map(|(network, compiled)| {
            let bytes = compiled
                .object()
                .unwrap_or_else(|error| panic!("{}", fault(network, "object", &error.to_string())));
            (compiled.info.name.as_str(), bytes)
        });
        let Some(linked) = Linked::new(objects) else { return Vec::new() };
        let mut faults = Vec::new();
        for (network, compiled) in &compiled {
            let what = format!("compiled for {}", compiled.target);
            for (idx, input) in network.inputs().iter().enumerate() {
                let function = linked.network(compiled);
                let found = match function.run(input) {
                    Ok(found) => found,
                    Err(Status::MissingCpuFeature) => {
                        need::skip_cpu(compiled);
                        break;
                    }
                    Err(status) => panic!("{}", fault(network, &what, &status.to_string())),
                };
                let expected = reference::output(&compiled.fused, input);
                if let Err(error) = bits::compare(&found, &expected) {
                    faults.push(fault(network, &what, &format!("input {idx}: {error}")));
                }
                // Threads cost more than the network, so not for each input; the other pools have none.
                let pool = [&pool::ALL_AT_ONCE, &pool::FORWARDS, &pool::BACKWARDS][idx.min(2)];
                let parallel = function.run_on(input, pool).map_err(|status| status.to_string());
                if let Err(error) = parallel.and_then(|found| bits::compare(&found, &expected)) {
                    faults.push(fault(network, &what, &format!("input {idx}, in parallel: {error}")));
                }
            }
        }
        faults
    };
    report(each(&batches, check).concat());
}

/// Enough of these small networks are computed in bands, and in several of them, for that to be tested.
#[test]
fn many_networks_have_bands() {
    let target = Target { isa: &SMALL_CACHES[0], ..need::target_of(ISAS[0]) };
    let has_bands = |seed: &u64| {
        let compiled = compile(&RandomNetwork::new(*seed), &target, "net");
        let steps = &compiled.plan.schedule.steps;
        let rows = |chain: &Chain| chain.stages[chain.stages.len() - 1].kernel.output().shape.height;
        steps.iter().filter_map(Step::chain).any(|chain| chain.band_rows < rows(chain))
    };
    let n = each(&seeds(), has_bands).into_iter().filter(|has| *has).count();
    assert!(seeds().len() / 40 <= n, "{n} networks have a chain in several bands");
}

/// Enough of these small networks are cut into parts for the parallel runs to mean something.
#[test]
fn many_networks_have_parts() {
    let target = need::target_of(ISAS[0]);
    let has_parts = |seed: &u64| {
        let compiled = compile(&RandomNetwork::new(*seed), &target, "net");
        compiled.program.steps.iter().any(|step| 1 < step.tasks.len())
    };
    let n = each(&seeds(), has_parts).into_iter().filter(|has| *has).count();
    assert!(seeds().len() / 5 <= n, "{n} networks have a step of several parts");
}

/// Enough of these small networks have parts that may resume where another has ended.
#[test]
fn many_networks_have_parts_that_resume() {
    let target = Target { isa: &SMALL_CACHES[0], ..need::target_of(ISAS[0]) };
    let resumes = |seed: &u64| {
        let compiled = compile(&RandomNetwork::new(*seed), &target, "net");
        compiled.program.steps.iter().flat_map(|step| &step.tasks).any(|task| task.resume.is_some())
    };
    let n = each(&seeds(), resumes).into_iter().filter(|has| *has).count();
    assert!(seeds().len() / 40 <= n, "{n} networks have a part that may resume");
}

/// The programs of every processor, those that this machine can't run included.
#[test]
fn interpreter_equals_reference() {
    let small = SMALL_CACHES.iter().map(|isa| Target { isa, ..need::target_of(ISAS[0]) });
    let targets: Vec<Target> = ISAS.iter().map(|isa| need::target_of(isa)).chain(small).collect();
    let check = |seed: &u64| -> Vec<String> {
        let network = RandomNetwork::new(*seed);
        let inputs = network.inputs();
        let mut faults = Vec::new();
        let mut expected: Vec<Vec<f32>> = Vec::new();
        for target in &targets {
            let compiled = compile(&network, target, "net");
            if expected.is_empty() {
                expected = inputs.iter().map(|input| reference::output(&compiled.fused, input)).collect();
            }
            let what = format!("interpreted for {}", target.isa.name);
            for (idx, (input, expected)) in inputs.iter().zip(&expected).enumerate() {
                let found = compiled.program.interpret(input).map_err(|violation| violation.to_string());
                if let Err(error) = found.and_then(|found| bits::compare(&found, expected)) {
                    faults.push(fault(&network, &what, &format!("input {idx}: {error}")));
                }
            }
            // As a pool does: what passes in one order passes in all in which the same tasks resume.
            for (order, turns) in [
                ("forwards", &mut forwards as &mut dyn FnMut(&ProgramStep) -> Vec<Turn>),
                ("backwards", &mut backwards),
                ("shuffled", &mut shuffled(*seed)),
            ] {
                let found = compiled.program.interpret_tasks(&inputs[1], turns);
                let found = found.map_err(|violation| violation.to_string());
                if let Err(error) = found.and_then(|found| bits::compare(&found, &expected[1])) {
                    faults.push(fault(&network, &what, &format!("tasks {order}: {error}")));
                }
            }
            if let Err(error) = check_plan(&compiled.plan) {
                faults.push(fault(&network, &what, &error));
            }
        }
        faults
    };
    report(each(&seeds(), check).concat());
}

/// The plan's promise, worked out here from the steps alone: between the step that writes a value and the last that reads it,
/// its bytes are its own, and all of them lie in the workspace.
fn check_plan(plan: &Plan) -> Result<(), String> {
    let schedule = &plan.schedule;
    let placed: Vec<(ValueId, usize, usize)> = (0..schedule.values.len())
        .map(ValueId)
        .filter(|id| schedule.value(*id).place == Place::Workspace)
        .map(|id| {
            let start = plan.offset(id).ok_or_else(|| format!("v{} has no place", id.0))?;
            Ok((id, start, start + schedule.value(id).map.len() * 4))
        })
        .collect::<Result<_, String>>()?;
    for (id, start, end) in &placed {
        if start % WORKSPACE_ALIGN != 0 || plan.workspace_bytes < *end {
            return Err(format!("v{} lies at {start}..{end} of {}", id.0, plan.workspace_bytes));
        }
    }
    // A value is alive at a step that writes it, and at every step from then until the last that reads it.
    let alive = |id: ValueId, step: usize| {
        let writes = |step: &Step| step.writes == id || step.buffers().contains(&id);
        let written = schedule.steps[..=step].iter().any(writes);
        let read = schedule.steps[step..].iter().any(|step| step.reads.contains(&id));
        written && (read || writes(&schedule.steps[step]))
    };
    for step in 0..schedule.steps.len() {
        let now: Vec<_> = placed.iter().filter(|(id, ..)| alive(*id, step)).collect();
        for (idx, (a, a_start, a_end)) in now.iter().enumerate() {
            if let Some((b, ..)) = now[..idx].iter().find(|(_, start, end)| a_start < end && start < a_end) {
                return Err(format!("v{} and v{} overlap at step {}", a.0, b.0, schedule.steps[step].name));
            }
        }
    }
    Ok(())
}

/// Numbers come back from a file as they went in.
#[test]
fn parameters_survive_a_file() {
    let seeds: Vec<u64> = seeds().into_iter().step_by(3).collect();
    let check = |seed: &u64| {
        let network = RandomNetwork::new(*seed);
        let RandomNetwork { graph, parameters, .. } = &network;
        let fail = |error: mnc::Error| -> ! { panic!("{}", fault(&network, "weights", &error.to_string())) };
        let file = parameters.to_safetensors(graph, &Naming::PLAIN).unwrap_or_else(|error| fail(error));
        let weights = Weights::parse(&file, "random.safetensors").unwrap_or_else(|error| fail(error));
        let found = weights.parameters(graph, Some(&Naming::PLAIN)).unwrap_or_else(|error| fail(error));
        // -0 equals 0 here, so the bytes as well.
        assert_eq!(&found, parameters, "{}", network.toml);
        assert_eq!(found.to_safetensors(graph, &Naming::PLAIN).unwrap_or_else(|error| fail(error)), file);
    };
    each(&seeds, check);
}
