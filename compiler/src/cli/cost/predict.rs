//! `mnc cost --predict`: how long a network will take on this machine, before it is compiled.

use mnc::cost::Report;
use mnc::graph::Graph;
use mnc::predict::{LayerTime, Machine, Prediction, SHARES, predict};
use mnc::{Result, Target};
use serde::Serialize;

use super::super::text::{size, table};
use super::super::{host, machine};

/// A network and what is expected of it.
#[derive(Debug, Serialize)]
struct Expected<'a> {
    network: &'a str,
    alpha: f64,
    /// Height, width, channels.
    input: [usize; 3],
    #[serde(rename = "multiply_adds")]
    mult_adds: u64,
    /// One inference on one thread, undisturbed.
    milliseconds: f64,
    layers: Vec<LayerTime>,
}

/// The graphs on this machine as text, JSON or CSV.
pub(super) fn output(graphs: &[Graph], cpu: &str, (json, csv): (bool, bool)) -> Result<String> {
    let target = host::target(None, Some(cpu))?;
    let isa = target.isa;
    let Some(machine) = machine::measure(isa) else {
        let detail = format!(
            "found no way to measure the limits of this CPU for {}, expected another --target-cpu",
            isa.name
        );
        return super::super::usage("--predict", detail);
    };
    let expected = graphs.iter().map(|graph| match predict(graph, isa, &machine) {
        Some(prediction) => Ok(Expected::new(graph, prediction)),
        None => {
            let known = SHARES.map(|shares| shares.isa).join(", ");
            super::super::usage(
                "--predict",
                format!("found {}, expected one of {known}: only their kernels were measured", isa.name),
            )
        }
    });
    let expected = expected.collect::<Result<Vec<Expected<'_>>>>()?;
    Ok(match expected.as_slice() {
        expected if json => document(expected, &target, &machine),
        expected if csv => to_csv(expected),
        [one] => layers(one) + &footer(&target, &machine),
        expected => members(expected) + &footer(&target, &machine),
    })
}

impl Expected<'_> {
    fn new(graph: &Graph, prediction: Prediction) -> Expected<'_> {
        let input = graph.input_shape();
        Expected {
            network: &graph.name,
            alpha: graph.alpha,
            input: [input.height, input.width, input.channels],
            mult_adds: Report::of(graph).total.mult_adds,
            milliseconds: prediction.microseconds / 1e3,
            layers: prediction.layers,
        }
    }
}

fn document(expected: &[Expected<'_>], target: &Target, machine: &Machine) -> String {
    #[derive(Serialize)]
    struct Document<'a> {
        target: String,
        machine: &'a Machine,
        networks: &'a [Expected<'a>],
    }
    let document = Document { target: target.to_string(), machine, networks: expected };
    serde_json::to_string_pretty(&document).expect("numbers and strings always have a JSON form") + "\n"
}

fn to_csv(expected: &[Expected<'_>]) -> String {
    let row = |Expected { alpha, input, mult_adds, milliseconds, .. }: &Expected<'_>| {
        format!("{alpha},{},{},{},{mult_adds},{milliseconds:.6}\n", input[0], input[1], input[2])
    };
    let rows: String = expected.iter().map(row).collect();
    format!("alpha,height,width,channels,multiply_adds,predicted_ms\n{rows}")
}

fn layers(expected: &Expected<'_>) -> String {
    let Expected { network, alpha, input, milliseconds, layers, .. } = expected;
    let row = |layer: &LayerTime| {
        let is_memory = layer.compute_microseconds < layer.memory_microseconds;
        vec![
            layer.name.clone(),
            layer.kind.to_string(),
            format!("{:.1}", layer.compute_microseconds),
            format!("{:.1}", layer.memory_microseconds),
            format!("{:.1}", layer.microseconds),
            format!("{:.1}", layer.microseconds / milliseconds / 10.0),
            if is_memory { "memory" } else { "compute" }.to_owned(),
        ]
    };
    let headings = ["layer", "kind", ">compute us", ">memory us", ">us", ">%", "bound"];
    let [height, width, channels] = input;
    format!(
        "{network}, alpha {alpha}, input {height}x{width}x{channels}\n\n{}\npredicted  {milliseconds:.3} ms\n",
        table(&headings, layers.iter().map(row))
    )
}

fn members(expected: &[Expected<'_>]) -> String {
    let row = |Expected { alpha, input, mult_adds, milliseconds, .. }: &Expected<'_>| {
        let [height, width, channels] = input;
        vec![
            alpha.to_string(),
            format!("{height}x{width}x{channels}"),
            format!("{:.1}", *mult_adds as f64 / 1e6),
            format!("{milliseconds:.3}"),
        ]
    };
    let headings = [">alpha", "input", ">million multiply-adds", ">predicted ms"];
    format!("{}\n\n{}", expected[0].network, table(&headings, expected.iter().map(row)))
}

fn footer(target: &Target, machine: &Machine) -> String {
    let reads = machine.reads.iter().map(|read| format!("{} {:.0}", size(read.bytes as u64), read.gb_per_s));
    format!(
        "\nOne thread, undisturbed, on {target}. This machine: {:.0} GFLOP/s of multiply-adds; reads in GB/s: {}.\n\
         A layer takes as long as its multiply-adds at the usual share of that peak or as its bytes, whichever takes longer.\n",
        machine.fma_gflops,
        reads.collect::<Vec<_>>().join(", ")
    )
}
