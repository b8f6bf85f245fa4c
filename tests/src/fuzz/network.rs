//! Random networks: whatever the compiler makes of one gives the reference's bits.

use mnc::{Options, reference};
use mnc_runtime::abi::Status;

use super::Target;
use crate::link::Linked;
use crate::networks::RandomNetwork;
use crate::{bits, need, pool};

/// The bytes are the seed of a network; it runs in the interpreter and, where this machine links, as machine code for
/// every instruction set, alone and on a pool.
pub(super) const NETWORK: Target = Target {
    name: "network",
    run,
    seeds: || (0..8u64).map(|seed| (seed * 0x9e37_79b9).to_le_bytes().to_vec()).collect(),
    words: &[],
    n_inputs: 100,
};

fn run(bytes: &[u8]) -> bool {
    let mix = |seed: u64, byte: &u8| (seed ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    let network = RandomNetwork::new(bytes.iter().fold(0xcbf2_9ce4_8422_2325, mix));
    let place = format!("seed {}\n{}", network.seed, network.toml);
    let inputs = network.inputs();
    for target in need::host_targets() {
        let options = Options { name: "net", labels: &[] };
        let compiled = mnc::compile(network.graph.clone(), &network.parameters, &target, &options)
            .unwrap_or_else(|error| panic!("{place}: {error}"));
        let expected: Vec<Vec<f32>> =
            inputs.iter().map(|input| reference::output(&compiled.fused, input)).collect();
        let found = compiled.program.interpret(&inputs[0]).unwrap_or_else(|fault| panic!("{place}: {fault}"));
        bits::compare(&found, &expected[0]).unwrap_or_else(|error| panic!("{place} interpreted: {error}"));
        let Some(linked) = Linked::one(&compiled) else { continue };
        let linked = linked.network(&compiled);
        for (input, expected) in inputs.iter().zip(&expected) {
            for pool in [None, Some(&pool::BACKWARDS), Some(&pool::ALL_AT_ONCE)] {
                let found = pool.map_or_else(|| linked.run(input), |pool| linked.run_on(input, pool));
                match found {
                    Ok(found) => bits::compare(&found, expected)
                        .unwrap_or_else(|error| panic!("{place} for {target}: {error}")),
                    Err(Status::MissingCpuFeature) => need::skip_cpu(&compiled),
                    Err(status) => panic!("{place} for {target}: {status}"),
                }
            }
        }
    }
    true
}
