//! Every row of the kernel registry, on every instruction set of this CPU: `cargo bench -p mnc-tests`.
//!
//! The kernels are those of the built-in networks and of `rows.toml`, each once by its name; a new one appears as soon as a
//! network has it, and a family that no network has is an error. Beside criterion's times: GFLOP/s at best, and the share of
//! the core's peak, which is measured between the samples. Taps on padding count as multiply-adds, and kernels leave them
//! out: a convolution over a small map may seem faster than the peak.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use criterion::{Criterion, SamplingMode, Throughput};
use mnc::describe::{BUILTIN, Description};
use mnc::graph::{Graph, Knobs};
use mnc::kernels::{Family, Kernel, Operation};
use mnc::weights::Parameters;
use mnc::{Compiled, Options, Target};
use mnc_runtime::peak::Probe;
use mnc_tests::need;
use mnc_tests::steps::Steps;

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(800))
        .sample_size(20)
        .configure_from_args();
    let Some(platform) = need::host() else { return };
    for isa in platform.isas {
        let target = Target::new(platform.triple, Some(isa.name)).expect("a row of the table");
        let mut seen = BTreeSet::new();
        for description in descriptions() {
            bench_network(&mut criterion, &compile(&description, &target), &mut seen);
        }
    }
    criterion.final_summary();
}

/// Maps of the built-in networks are small enough here to be computed layer by layer, not in bands.
fn descriptions() -> Vec<Description> {
    let rows = Description::parse(include_str!("rows.toml"), "rows.toml").expect("it is well formed");
    let builtin = BUILTIN.iter().map(|builtin| builtin.description());
    [rows].into_iter().chain(builtin).collect()
}

fn compile(description: &Description, target: &Target) -> Compiled {
    let resolution = (description.name != "rows").then(|| "64".parse().expect("a resolution"));
    let graph = Graph::build(description, &Knobs { alpha: 1.0, resolution }).expect("it is a network");
    let parameters = Parameters::random(&graph, 1);
    let options = Options { name: "rows", labels: &[] };
    let compiled = mnc::compile(graph, &parameters, target, &options).expect("it can be compiled");
    if description.name == "rows" {
        every_row_is_there(&compiled);
    }
    compiled
}

/// A new family has no arm here: give it a layer in `rows.toml` and a line.
fn every_row_is_there(compiled: &Compiled) {
    let mut rows = [false; 13];
    for (_, kernel) in compiled.plan.schedule.layers(&compiled.fused) {
        rows[match kernel {
            Kernel::Conv(_) => 0,
            Kernel::Pointwise(_) => 1,
            Kernel::Depthwise(_) => 2,
            Kernel::Dense(_) => 3,
            Kernel::GlobalAveragePool(_) => 4,
            Kernel::Elementwise(kernel) => match kernel.operation {
                Operation::Add => 5,
                Operation::Multiply => 12,
            },
            Kernel::Softmax(_) => 6,
            Kernel::Concat(_) => 8,
            Kernel::Upsample(_) => 9,
            Kernel::WindowPool(_) => 10,
            Kernel::Copy(_) => 7,
            Kernel::Grouped(_) => 11,
            Kernel::Quantise(_) => unreachable!("networks in f32 read numbers"),
        }] = true;
    }
    // Copies are no layers.
    let copies = compiled.program.kernels.iter().any(|kernel| kernel.name.family == Family::Copy);
    rows[7] = copies;
    assert!(rows.iter().all(|row| *row), "rows.toml has every kernel: {rows:?}");
}

/// The kernels of a network that nobody has seen yet.
fn bench_network(criterion: &mut Criterion, compiled: &Compiled, seen: &mut BTreeSet<String>) {
    let n_inputs = compiled.program.input.len();
    let input: Vec<f32> = (0..n_inputs).map(|i| (i % 255) as f32 / 127.5 - 1.0).collect();
    let Some(mut steps) = Steps::new(compiled, &input) else {
        println!("{}: skipped, this CPU lacks it or there is no linker", compiled.target.isa.name);
        return;
    };
    let probe = Probe::new(compiled.target.isa.name);
    for (step_idx, (step, info)) in compiled.plan.schedule.steps.iter().zip(&compiled.info.steps).enumerate()
    {
        let is_new = step.chain().is_none() && seen.insert(info.kernel.clone());
        if !is_new {
            continue;
        }
        let n_flops = 2 * info.multiply_adds;
        let (mut best, mut peak) = (0.0f64, 0.0f64);
        let mut group = criterion.benchmark_group(compiled.target.isa.name);
        group.sampling_mode(SamplingMode::Flat);
        group.throughput(match n_flops {
            0 => Throughput::Bytes(info.input_bytes + info.output_bytes),
            n_flops => Throughput::Elements(n_flops),
        });
        let mut ran = false;
        group.bench_function(&info.kernel, |bencher| {
            ran = true;
            bencher.iter_custom(|n_runs| {
                peak = probe.map_or(peak, |probe| peak.max(probe.fma()));
                let start = Instant::now();
                (0..n_runs).for_each(|_| steps.run(step_idx));
                let elapsed = start.elapsed();
                best = best.max((n_flops * n_runs) as f64 / elapsed.as_nanos().max(1) as f64);
                elapsed
            });
        });
        group.finish();
        if ran && n_flops != 0 {
            let shape = compiled.plan.schedule.value(step.writes).map.shape;
            let share =
                if peak == 0.0 { "unknown".to_owned() } else { format!("{:.1} %", best / peak * 100.0) };
            println!(
                "    {} -> {shape}: {best:.1} GFLOP/s at best, {share} of the peak {peak:.1}",
                info.name
            );
        }
    }
}
