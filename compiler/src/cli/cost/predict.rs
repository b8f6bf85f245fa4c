//! `mnc cost --predict`: how long a network will take on this machine, before it is compiled.

use mnc::predict::{INTEGER_SHARES, LayerTime, Machine, Prediction, SHARES};
use mnc::{Result, Target};
use serde::Serialize;

use super::super::machine::{self, Network};
use super::super::text::{size, table};

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
    /// Left out of networks in f32.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    is_int8: bool,
    layers: Vec<LayerTime>,
}

/// The networks, all in f32 or all in int8, on this machine as text, JSON or CSV.
pub(super) fn output(networks: &[Network], target: &Target, (json, csv): (bool, bool)) -> Result<String> {
    let isa = target.isa;
    let is_int8 = networks.iter().any(|network| network.integers.is_some());
    let Some(machine) = machine::measure(isa, is_int8) else {
        let detail = format!(
            "found no way to measure the limits of this CPU for {}, expected another --target-cpu",
            isa.name
        );
        return super::super::usage("--predict", detail);
    };
    let shares = if is_int8 { &INTEGER_SHARES[..] } else { &SHARES };
    let expected = networks.iter().map(|network| match network.predict(isa, &machine) {
        Some(prediction) => Ok(Expected::new(network, prediction)),
        None if shares.iter().any(|shares| shares.isa == isa.name) => super::super::usage(
            "--predict",
            "found weights whose products don't fit into 16 bits, expected those of --pair-safe, made by this build, on a CPU without VNNI",
        ),
        None => {
            let known = shares.iter().map(|shares| shares.isa).collect::<Vec<_>>().join(", ");
            super::super::usage(
                "--predict",
                format!("found {}, expected one of {known}: only their kernels were measured", isa.name),
            )
        }
    });
    let expected = expected.collect::<Result<Vec<Expected<'_>>>>()?;
    Ok(match expected.as_slice() {
        expected if json => document(expected, target, &machine),
        expected if csv => to_csv(expected),
        [one] => layers(one) + &footer(target, &machine, is_int8),
        expected => members(expected) + &footer(target, &machine, is_int8),
    })
}

impl Expected<'_> {
    fn new(network: &Network, prediction: Prediction) -> Expected<'_> {
        let graph = &network.graph;
        let input = graph.input_shape();
        Expected {
            network: &graph.name,
            alpha: graph.alpha,
            input: [input.height, input.width, input.channels],
            mult_adds: network.report().total.mult_adds,
            is_int8: network.integers.is_some(),
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

fn footer(target: &Target, machine: &Machine, is_int8: bool) -> String {
    let reads = machine.reads.iter().map(|read| format!("{} {:.0}", size(read.bytes as u64), read.gb_per_s));
    format!(
        "\nOne thread, undisturbed, on {target}. This machine: {:.0} {}; reads in GB/s: {}.\n\
         A layer takes as long as its multiply-adds at the usual share of that peak or as its bytes, whichever takes longer.\n",
        machine.fma_gflops,
        if is_int8 { "GOP/s of products of bytes" } else { "GFLOP/s of multiply-adds" },
        reads.collect::<Vec<_>>().join(", ")
    )
}
